"""Training texts by each of the common chat templates, compared with the template's own text.

Run: python benchmarks/chat_templates.py [--wheel .templates] [--data ../shared/data]
     [--tokenizer FOLDER ...] [--page docs/chat-templates.md]

The templates are those in the wheel ``axolotl==0.19.0``, which is installed without what it depends
on into a folder of its own, and read there. Each is set on each tokenizer. Of a template's tags,
``<|im_end|>`` and its like, a tokenizer lacks most; they are added to it as control tokens, as they
are in the tokenizers that the template was written for.

For each pair: the text of prompt and target together is what the template renders, with and without
thinking, behind a system turn, and behind earlier turns; an answer that is begun stands as it does
in training; the prompt's tokens are those that are asked; the loss counts on the answer and what
ends its turn, and on nothing else.
"""

import argparse
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from potstill.errors import ModelError
from potstill.models.local.answer_layout import AnswerLayout, end_ids, thinking_template
from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.records import Example, Message, Request
from potstill.train.encoding import Encoded, Encoder

WHEEL = "axolotl==0.19.0"
PLACE = Path("axolotl", "utils", "chat_templates", "templates")
QUESTION, ANSWER, THINKING = "What is 3 + 4?", "3 and 4 make 7.\nThe answer is 7.", "Count: 4, 5."
EARLIER = (
    Message(role="user", content="What is 1 + 1?"),
    Message(role="assistant", content="The answer is 2."),
)
SYSTEM = Message(role="system", content="Be brief.")
ASKED = Message(role="user", content=QUESTION)
CASES: Mapping[str, tuple[Message, ...]] = {
    "answer": (ASKED,),
    "system": (SYSTEM, ASKED),
    "turns": (*EARLIER, ASKED),
}
TOKENIZERS = ("gpt2", "qwen2", "llama3", "llama2", "mistral")
"""Published tokenizers of decoder-only models."""

_TAG = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]|\[\|[a-z]+\|\]")


class Row(NamedTuple):
    """A template in the table."""

    name: str
    layout: AnswerLayout
    end: str
    """The tokens that end an answer, as text."""

    outcomes: Mapping[str, str]
    """The outcome of each check: empty where it holds, else how the template differs."""

    faults: tuple[str, ...]
    """Failed checks that have no reason in the template."""


def template_folder(wheel: Path) -> Path | None:
    """Returns the folder of the templates: in the wheel's own folder, or where it is installed."""
    if (wheel / PLACE).is_dir():
        return wheel / PLACE
    spec = importlib.util.find_spec("axolotl")
    folders = spec.submodule_search_locations if spec else None
    place = Path(folders[0]).parent / PLACE if folders else None
    return place if place and place.is_dir() else None


def read_templates(folder: Path) -> dict[str, str]:
    """Returns the templates by name."""
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.jinja"))}


def fit(tokenizer: PreTrainedTokenizerBase, templates: Sequence[str]) -> None:
    """Add the tags of templates to a tokenizer as control tokens, and what it lacks beside them."""
    if tokenizer.bos_token is None:
        tokenizer.add_special_tokens({"bos_token": "<s>"})
    if tokenizer.eos_token is None:
        tokenizer.add_special_tokens({"eos_token": "</s>"})
    tags = list[str]()
    for template in templates:
        tokenizer.chat_template = template
        tags += _TAG.findall(_rendered(tokenizer, CASES["turns"], ANSWER, None) or "")
    known = {*tokenizer.all_special_tokens, "<think>", "</think>"}
    further = [tag for tag in dict.fromkeys(tags) if tag not in known]
    tokenizer.add_special_tokens({"additional_special_tokens": further})


def checked(name: str, template: str, made: PreTrainedTokenizerBase) -> Row:
    """Returns what a template makes of questions and answers, and whether training agrees.

    Args:
        name: The template's name.
        template: Its text.
        made: A tokenizer to set it on, which knows its tags; see :func:`fit`.
    """
    made.chat_template = template
    encoder, prompts = Encoder(made, encoder_decoder=False), PromptEncoder(made, name)
    layout, ends = prompts.layout, end_ids(made, prompts.layout)
    outcomes, faults = dict[str, str](), list[str]()
    for case, turns in CASES.items():
        try:
            (one,) = encoder.encode([_example(turns, None)], max_length=100_000).examples
        except ModelError as error:
            outcomes[case] = f"refused: {_reason(error)}"
            continue
        faults += _faults(case, made, prompts, turns, None, one, ends)
        outcomes[case] = _against_template(made, turns, None, one, layout.plain_differs)
    outcomes["thinking"] = _thinking(made, name, ends, faults)
    (one,) = encoder.encode([_example((ASKED,), None)], max_length=100_000).examples
    begun = ANSWER.partition("\n")[0]
    prefilled = prompts.prompt_text(Request(prompt=(ASKED,), answer_prefix=begun))
    whole = _text(made, [*one.prompt, *one.target])
    if not _same(whole[: len(prefilled)], prefilled):
        faults.append("an answer that is begun stands otherwise than in training")
    outcomes["prefix"] = ""
    return Row(name, layout, _text(made, ends), outcomes, tuple(faults))


def _thinking(
    made: PreTrainedTokenizerBase, name: str, ends: Sequence[int], faults: list[str]
) -> str:
    """Returns how an answer with thinking differs from what the template renders."""
    if opened := thinking_template(made):
        made.chat_template = opened
    prompts = PromptEncoder(made, name)
    encoder = Encoder(made, encoder_decoder=False)
    (one,) = encoder.encode([_example((ASKED,), THINKING)], max_length=100_000).examples
    faults += _faults("thinking", made, prompts, (ASKED,), THINKING, one, ends)
    differs = _against_template(made, (ASKED,), THINKING, one, prompts.layout.thinking_differs)
    told = "the template closes the thinking in its prompt unless enable_thinking is set"
    return "; ".join(filter(None, [told if opened else "", differs]))


def _example(turns: tuple[Message, ...], thinking: str | None) -> Example:
    return Example(prompt=turns, target=ANSWER, thinking=thinking)


def _faults(
    case: str,
    made: PreTrainedTokenizerBase,
    prompts: PromptEncoder,
    turns: tuple[Message, ...],
    thinking: str | None,
    one: Encoded,
    ends: Sequence[int],
) -> Iterator[str]:
    """Yields what does not hold of one example, whatever the template."""
    request = Request(prompt=turns)
    asked = made.apply_chat_template(
        [{"role": turn.role, "content": turn.content} for turn in turns],
        tokenize=False,
        add_generation_prompt=True,
    )
    if one.prompt != prompts.prompt_ids(request) or not _same(_text(made, one.prompt), str(asked)):
        yield f"{case}: the prompt is not what is asked"
    written = prompts.laid_out(request, ANSWER, thinking)
    if list(one.target[-len(ends) :]) != list(ends):
        yield f"{case}: the end of the turn is not learned"
    if not _same(_text(made, one.target[: -len(ends)]), written):
        yield f"{case}: more or less than the answer is learned"


def _against_template(
    made: PreTrainedTokenizerBase,
    turns: tuple[Message, ...],
    thinking: str | None,
    one: Encoded,
    reason: str,
) -> str:
    """Returns how prompt and target differ from the rendered turns; empty where they do not."""
    trained = _text(made, [*one.prompt, *one.target])
    for whole in _renderings(made, turns, thinking):
        rest = whole[len(trained) :] if whole.startswith(trained) else None
        if rest is None and _same(whole[: len(trained)], trained):
            rest = whole[len(trained) :]
        if rest is None and _same(whole, trained):
            return ""
        if rest is not None and (not rest.strip() or _TAG.match(rest.strip())):
            return ""
        if rest is None and _same(trained.rstrip(), whole.rstrip()):
            return ""
        if _same(trained.removesuffix(str(made.eos_token)), whole.rstrip()):
            return "the template ends an answer with nothing; the end of the text is learned"
    if SYSTEM in turns and SYSTEM.content not in (_rendered(made, turns, ANSWER, None) or ""):
        return "the template shows the system turn in a last question alone, not before an answer"
    return reason or "the template renders the turns otherwise"


def _renderings(
    made: PreTrainedTokenizerBase, turns: tuple[Message, ...], thinking: str | None
) -> Iterator[str]:
    """Yields the turns as the template renders them, thinking in a field or in the answer."""
    whole = _rendered(made, turns, ANSWER, thinking)
    if whole is not None:
        yield whole
    if thinking is not None:
        layout = PromptEncoder(made, "").layout
        inside = layout.opening.removeprefix(layout.plain) + thinking + layout.closing + ANSWER
        whole = _rendered(made, turns, inside, None)
        if whole is not None:
            yield whole


def _rendered(
    made: PreTrainedTokenizerBase, turns: tuple[Message, ...], answer: str, thinking: str | None
) -> str | None:
    """Returns the turns with their answer as the template renders them; None where it refuses."""
    plain = [{"role": str(turn.role), "content": turn.content} for turn in turns]
    fields = dict.fromkeys(("reasoning_content", "reasoning", "thinking"), thinking or "")
    last = {"role": "assistant", "content": answer}
    try:
        text = made.apply_chat_template(
            [*plain, last | (fields if thinking else {})], tokenize=False
        )
    except Exception as error:  # a template is a program that somebody else wrote
        if "apply" in str(error):
            raise
        return None
    return str(text)


def _text(made: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Returns the text of token ids, control tokens among them."""
    text = made.decode(list(ids))
    assert isinstance(text, str)
    return text


def _same(one: str, other: str) -> bool:
    """Whether two texts are one, but for how SentencePiece spells a space, also at their begin."""
    one, other = one.replace("▁", " "), other.replace("▁", " ")
    return one == other or one.removeprefix(" ") == other.removeprefix(" ")


def _reason(error: ModelError) -> str:
    found = re.search(r"\((?:\w+): (.*?)\)\. Ask", str(error))
    return found[1] if found else str(error)


def install(wheel: Path) -> None:
    """Install the wheel's files into a folder of their own."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*command, str(wheel), WHEEL], check=True)


def page(rows: Sequence[Row], tokenizers: Sequence[str]) -> str:
    """Returns the table as a page of the docs."""
    held = sum(not any(row.outcomes.values()) and not row.faults for row in rows)
    lines = [
        "# Chat templates",
        "",
        "What a student of a chat format is trained on, by the template of its tokenizer. Made by "
        "`python benchmarks/chat_templates.py`, which reads the templates in the wheel "
        f"`{WHEEL}` and sets each on each of these tokenizers: {', '.join(tokenizers)}. Of a "
        "template's tags a tokenizer lacks most; they are added to it as control tokens, as they "
        "are in the tokenizers that the template was written for. The outcomes are the same for "
        "all of these tokenizers.",
        "",
        f"Of {len(rows)} templates {held} hold in every column, and the others have an exception "
        "with the reason in the template. In all of them the prompt's tokens in training are those "
        "that are asked, the loss counts on the answer and on what ends its turn alone, and an "
        "answer that is begun (a prefill, as in guidance) stands as it does in training.",
        "",
        "- **before an answer**: what the template puts between prompt and answer; it is learned.",
        "- **around thinking**: what stands before the thinking and between it and the answer.",
        "- **ends with**: the tokens that end an answer, the last of what is learned.",
        "- **answer, thinking, system, turns**: ✓ where prompt and target together are byte for "
        "byte what the template renders. Earlier turns stand in the prompt, as they are asked, and "
        "carry no loss.",
        "",
        "| template | before an answer | around thinking | ends with | answer | thinking | system "
        "| turns |",
        "|---|---|---|---|---|---|---|---|",
    ]
    notes = list(dict.fromkeys(told for row in rows for told in row.outcomes.values() if told))
    for row in rows:
        layout = row.layout
        marks = [
            f"[{notes.index(row.outcomes[case]) + 1}](#exceptions)" if row.outcomes[case] else "✓"
            for case in ("answer", "thinking", "system", "turns")
        ]
        cells = [
            row.name,
            _code(layout.plain),
            f"{_code(layout.opening)} … {_code(layout.closing)}",
            _code(row.end),
            *marks,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Exceptions", ""]
    lines += [f"{number}. {told[:1].upper()}{told[1:]}." for number, told in enumerate(notes, 1)]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    shown = text.replace("\n", "\\n").replace("|", "\\|")
    return f"`{shown}`" if shown.strip() else f"`{shown}`" if shown else "nothing"


def main() -> None:
    """Check all templates, and write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--wheel", type=Path, default=Path(".templates"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tokenizer", type=Path, nargs="*", default=[])
    parser.add_argument("--page", type=Path, default=Path("docs/chat-templates.md"))
    options = parser.parse_args()
    if template_folder(options.wheel) is None:
        install(options.wheel)
    folder = template_folder(options.wheel)
    assert folder is not None
    tokenizers = dict(_tokenizers(options.data, options.tokenizer))
    templates = read_templates(folder)
    by_tokenizer = dict[str, list[Row]]()
    for name, tokenizer in tokenizers.items():
        fit(tokenizer, [*templates.values()])
        by_tokenizer[name] = [checked(named, text, tokenizer) for named, text in templates.items()]
    first = next(iter(by_tokenizer.values()))
    for name, rows in by_tokenizer.items():
        for row, reference in zip(rows, first, strict=True):
            for fault in row.faults:
                print(f"{name}: {row.name}: {fault}")
            if row.outcomes != reference.outcomes:
                print(f"{name}: {row.name}: {row.outcomes}, elsewhere {reference.outcomes}")
    options.page.write_text(page(first, list(tokenizers)), encoding="utf-8")


def _tokenizers(
    data: Path, folders: Sequence[Path]
) -> Iterator[tuple[str, PreTrainedTokenizerBase]]:
    from tokenizer_files import READERS, READERS_INSTALLED

    for folder in folders:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        yield folder.name, tokenizer
    for name in TOKENIZERS:
        if READERS_INSTALLED or name in ("gpt2", "qwen2"):
            yield name, READERS[name](data / "tokenizers" / name)


if __name__ == "__main__":
    main()
