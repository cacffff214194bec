"""Which question of a task a stored request asks, or a row of a file is about."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from potstill.prompts.formats import FORMATS
from potstill.prompts.styles import STYLES, PromptStyle, question_text, shows_exemplars
from potstill.records import Question, Request, Split, Task
from potstill.sampling.debate import OTHERS

_KEY = 32
"""Characters by which questions are looked up before they are compared as a whole."""


class Placed(NamedTuple):
    """A question and the split that it is in."""

    question: Question
    split: Split


class _Frame(NamedTuple):
    """What stands around the question in the prompts of a style."""

    before: str
    after: str
    first: bool
    """Whether the prompt begins with ``before``; worked questions precede it otherwise."""


class TaskQuestions:
    """The questions of a task, found by id, by text or by what a model was sent.

    Args:
        task: Its questions, of all splits.
        styles: Further prompt styles, beside all that potstill knows.
    """

    def __init__(self, task: Task, styles: Iterable[PromptStyle] = ()) -> None:
        self.task = task
        self.by_id: dict[str, Placed] = {}
        self._by_text: defaultdict[str, list[Placed]] = defaultdict(list)
        self._by_key: defaultdict[str, list[tuple[str, Placed]]] = defaultdict(list)
        for split, questions in task.splits.items():
            for question in questions:
                self._add(Placed(question, split))
        self._lengths = sorted({len(key) for key in self._by_key}, reverse=True)
        self._frames = _frames([*styles, *_known_styles()])

    def _add(self, placed: Placed) -> None:
        shown = question_text(placed.question)
        self.by_id.setdefault(placed.question.id, placed)
        self._by_text[_words(placed.question.text)].append(placed)
        if _words(shown) != _words(placed.question.text):
            self._by_text[_words(shown)].append(placed)
        self._by_key[shown[:_KEY]].append((shown, placed))

    def with_text(self, text: str) -> list[Placed]:
        """The questions with this text, with or without their options; white space aside."""
        return self._by_text.get(_words(text), [])

    def asked_by(self, request: Request) -> Placed | None:
        """The question that a request puts to a model; None where it puts none of the task's.

        Found are the requests of every prompt style and data format, second steps that ask for the
        answer, and the further rounds of a debate.
        """
        if isinstance(request.prompt, str):
            prompt = request.prompt
        else:
            turns = (turn.content for turn in request.prompt if turn.role == "user")
            prompt = next(turns, "")
        found = [each for frame in self._frames for each in self._framed(prompt, frame)]
        return max(found, key=lambda each: len(each[0]))[1] if found else None

    def _framed(self, prompt: str, frame: _Frame) -> Iterator[tuple[str, Placed]]:
        """The questions that a prompt can hold, in one frame."""
        if frame.first and not prompt.startswith(frame.before):
            return
        start = 0 if frame.first else prompt.rfind(frame.before)
        if start < 0:
            return
        rest = prompt[start + len(frame.before) :]
        for length in self._lengths:
            for shown, placed in self._by_key.get(rest[:length], ()):
                if rest.startswith(shown) and _ends(rest[len(shown) :], frame.after):
                    yield shown, placed


def _ends(rest: str, after: str) -> bool:
    """Whether what follows a question is what a style, a second step or a debate puts there."""
    return rest == after or (bool(after) and rest.startswith(after)) or rest.startswith(_DEBATE)


_DEBATE = f"\n\n{OTHERS}"


def _known_styles() -> Iterator[PromptStyle]:
    yield from STYLES.values()
    for data_format in FORMATS.values():
        for encoder_decoder in (True, False):
            yield data_format.style(encoder_decoder=encoder_decoder)


def _frames(styles: Iterable[PromptStyle]) -> list[_Frame]:
    """What stands around the question in these styles, each once."""
    frames = {}
    for style in styles:
        before, _, after = style.template.partition("{question}")
        first = not shows_exemplars(style)
        frames[_Frame(before.rpartition("{exemplars}")[2], after, first)] = True
    return list(frames)


def _words(text: str) -> str:
    return " ".join(text.split())
