"""The material that the bundled pair learns from: training documents, and two tokenizers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from potstill.prompts.formats import FORMATS
from potstill.prompts.styles import STYLES, prompt_for
from potstill.records import Question
from potstill.tasks.procedural import Problem, problems
from potstill.tasks.procedural.chains import draw_fact_chain
from potstill.tasks.procedural.family import ITEMS, NAMES, split_of
from potstill.tasks.procedural.probes import WORDS

EOS = "<|endoftext|>"
PAD = "<|pad|>"
UNK = "<|unk|>"
DRILL = "drill"
"""Bare sums without a story; not a family, since nothing is asked."""

ECHO = "echo"
"""Random words and numbers said again, in order or by name: it teaches to look things up."""

TRACE = "trace"
"""The people of a fact chain from the one asked for back to the first: it teaches to look back."""

OPERATIONS = ("+", "-", "*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One training text; the loss counts on the target."""

    prompt: str
    target: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    """The share of the documents that comes from each source."""

    families: Mapping[str, float]
    """Share by family name, ``drill`` and ``echo`` included; the shares sum to 1."""

    answers_only: float
    """Share of a family's documents that give the answer without a rationale."""

    questioned: Mapping[str, float] = field(default_factory=dict)
    """Share of the rationales in each style with questions, where the family has questions."""


def documents(mixture: Mixture, count: int, seed: int) -> list[Document]:
    """Draw a shuffled mixture from the train splits.

    Args:
        mixture: Where the documents come from.
        count: About how many.
        seed: The same seed gives the same documents.
    """
    random = Random(seed)
    drawn: list[Document] = []
    for family, share in mixture.families.items():
        wanted = round(count * share)
        if family in EXERCISES:
            drawn += [EXERCISES[family](random) for _ in range(wanted)]
            continue
        for problem in problems(family, "train", wanted, seed):
            answers_only = random.random() < mixture.answers_only
            drawn.append(_answer(problem) if answers_only else _told(problem, mixture, random))
    random.shuffle(drawn)
    return drawn


def style_prompt(style: str, question: Question) -> str:
    """The plain-text prompt of a style.

    Raises:
        TypeError: The style is for chat models.
    """
    prompt = prompt_for(STYLES[style], question)
    if not isinstance(prompt, str):
        raise TypeError(f"{style} is a chat style; the bundled pair is asked in plain text.")
    return prompt


def _told(problem: Problem, mixture: Mixture, random: Random) -> Document:
    """A rationale, or one with a question at its beginning or before every step."""
    styles = list(mixture.questioned) if problem.questions else []
    # Drawn only where it matters, so that mixtures without questions stay what they were.
    if styles:
        shares = [mixture.questioned[name] for name in styles]
        style = random.choices([*styles, ""], [*shares, 1 - sum(shares)])[0]
        if style:
            return _two_steps(style, problem, _questioned(style, problem))
    return _two_steps("zero_shot_cot", problem, random.choice(problem.rationales))


def _questioned(style: str, problem: Problem) -> str:
    """The first wording with its leading question, or with a question before every step."""
    told = problem.rationales[0]
    if style == "zero_shot_quest_cot":
        return f"{problem.questions[0]} {told}"
    steps = [f"{step.removesuffix('.')}." for step in told.split(". ")]
    return " ".join(f"{ask} {step}" for ask, step in zip(problem.questions, steps, strict=True))


def _two_steps(name: str, problem: Problem, told: str) -> Document:
    """A rationale and its answer step, as potstill asks for them."""
    return Document(
        prompt=style_prompt(name, problem.question),
        target=f" {told}{STYLES[name].answer_cue} {problem.question.answer}.",
    )


def _answer(problem: Problem) -> Document:
    """The zero-shot style: an answer alone."""
    prompt = style_prompt("zero_shot", problem.question)
    return Document(prompt=prompt, target=f" {problem.question.answer}")


def _drill(random: Random) -> Document:
    """Six sums, within the sizes that the families use."""
    return Document(prompt="", target=" ".join(_sum(random) for _ in range(6)))


def _sum(random: Random) -> str:
    """One right equation as a sentence."""
    operation = random.choice(OPERATIONS)
    if operation == "*":
        right = random.randint(2, 9)
        left = random.randint(2, 19 if right <= 5 else 9)
        value = left * right
    elif operation == "+":
        left, right = random.randint(2, 60), random.randint(2, 9)
        value = left + right
    else:
        right = random.randint(2, 9)
        left = random.randint(right + 1, 90)
        value = left - right
    return f"{left} {operation} {right} = {value}."


def _echo(random: Random) -> Document:
    """A list said twice, or counts told and then told again in another order."""
    if random.random() < 0.5:
        said = " ".join(
            str(random.randint(2, 99)) if random.random() < 0.4 else random.choice(VOCABULARY)
            for _ in range(random.randint(5, 12))
        )
        return Document(prompt=f"Say again: {said}.", target=f" {said}.")
    people = random.sample(NAMES, random.randint(3, 6))
    item = random.choice(ITEMS)
    told = [f"{who} has {random.randint(2, 99)} {item}." for who in people]
    again = random.sample(told, len(told))
    return Document(prompt=" ".join(told), target=" " + " ".join(again))


def _trace(random: Random) -> Document:
    """Returns an exercise: people from the one asked about back to the one whose count is told."""
    while True:
        draft = draw_fact_chain(random)
        if split_of(f"fact_chain {draft.content}") == "train":
            break
    people = [word for word in draft.content.split() if word in NAMES]
    told = draft.text.rpartition(" How many ")[0]
    return Document(
        prompt=f"{told} Back from {people[-1]}:",
        target=" " + ", ".join(reversed(people)) + ".",
    )


EXERCISES = {DRILL: _drill, ECHO: _echo, TRACE: _trace}
VOCABULARY = NAMES + ITEMS + WORDS


def _all_wordings(mixture: Mixture, count: int) -> Iterator[str]:
    """Documents, and the same questions in the data formats that students are trained on."""
    for document in documents(mixture, count, seed=0):
        yield document.prompt + document.target
    fine_tune = FORMATS["fine_tune_cot"]
    for family in mixture.families:
        for problem in () if family in EXERCISES else problems(family, "train", count // 10, 0):
            prompt = str(fine_tune.prompt(problem.question, encoder_decoder=False))
            yield prompt + fine_tune.target(
                problem.rationales[0], problem.question.answer, encoder_decoder=False
            )


def teacher_tokenizer(mixture: Mixture) -> Tokenizer:
    """Byte-level BPE of 800 tokens; every digit is a token, and any text survives a round trip."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=[EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_all_wordings(mixture, 20_000), trainer)
    return tokenizer


def student_tokenizer(mixture: Mixture) -> Tokenizer:
    """BPE of 512 tokens that writes a space as U+2581; every digit is a token; ASCII only.

    It differs from the teacher's on purpose: matching distributions across two vocabularies is
    something the pair is there to show.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    pieces = Regex("▁?[A-Za-z]+|[0-9]|\n+|▁?[^A-Za-z0-9▁\n]+|▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="never", split=False),
            pre_tokenizers.Split(pieces, behavior="isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=[EOS, PAD, UNK],
        initial_alphabet=[chr(code) for code in range(32, 127)] + ["\n", "\t"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(_all_wordings(mixture, 20_000), trainer)
    return tokenizer
