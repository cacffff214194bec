"""How a student that was exported is started, asked and verified, in words."""

import json
import shlex
from pathlib import Path
from typing import NamedTuple

from potstill.runtime.number_formats import served_format


class ServingFacts(NamedTuple):
    """The facts that whoever serves a student has to know."""

    name: str
    """The name that it is offered by."""

    stop: tuple[str, ...]
    """Strings that end an answer, which clients of most servers have to send."""

    max_tokens: int
    """The longest answer when it was measured."""

    context: int
    """The longest prompt and answer together that a server should have room for, in tokens."""

    number_format: str | None
    """The number format that it was measured in; None where that is not known."""

    exact: bool
    """Whether its chat template gives the very tokens that it was measured with."""


class ServingNotes(NamedTuple):
    """The notes on serving, for a terminal and for a README."""

    lines: list[str]
    section: str


def serving_notes(form: str, facts: ServingFacts, out: Path, run: Path) -> ServingNotes:
    """Returns how a student in a form is started, asked and verified.

    Args:
        form: The form, a key of ``student_forms.FORMS``.
        facts: The facts that whoever serves it has to know.
        out: The folder that it was written to.
        run: The run's folder.
    """
    commands = _commands(form, facts, out, run)
    remarks = _remarks(form, facts)
    shown = [command.replace(shlex.quote(str(out)), ".") for command in commands.start]
    section = ["## Serve it", "", *_block(shown)]
    if commands.verify:
        section += [
            "",
            "Where the run is at hand, this asks it the run's test questions and demands",
        ]
        section += ["the measured answers:", "", *_block([commands.verify])]
    section += ["", *(f"- {remark}" for remark in remarks)] if remarks else []
    lines = [f"serve it: {command}" for command in commands.start]
    lines += [f"verify it: {commands.verify}"] if commands.verify else []
    return ServingNotes([*lines, *remarks], "\n".join(section) + "\n")


class _Commands(NamedTuple):
    start: list[str]
    verify: str | None


def _commands(form: str, facts: ServingFacts, out: Path, run: Path) -> _Commands:
    folder, name = shlex.quote(str(out)), shlex.quote(facts.name)
    verify = f"potstill verify {shlex.quote(str(run))}"
    if form == "vllm":
        return _Commands([vllm_command(facts, out)], f"{verify} --server http://127.0.0.1:8000/v1")
    if form == "gguf":
        start = (
            f"llama-server -m {folder}/*.gguf --jinja -c {facts.context} -np 1 --temp 0 "
            f"--alias {name} --port 8080"
        )
        return _Commands([start], f"{verify} --server http://127.0.0.1:8080/v1")
    if form == "ollama":
        create = f"ollama create {name} -f {folder}/Modelfile"
        return _Commands([create, f"ollama run {name}"], f"{verify} --ollama {name}")
    if form == "mlx":
        start = f"mlx_lm.server --model {folder} --temp 0 --port 8080"
        return _Commands([start], f"{verify} --server http://127.0.0.1:8080/v1")
    start = f"vllm serve START --enable-lora --lora-modules {name}={folder}"
    return _Commands([start], f"{verify} --server http://127.0.0.1:8000/v1 --model {name}")


def vllm_command(facts: ServingFacts, out: Path) -> str:
    """Returns vLLM's command line for a student."""
    words = ["vllm", "serve", str(out), "--served-model-name", facts.name]
    if facts.number_format is not None:
        words += ["--dtype", served_format(facts.number_format)]
    words += ["--max-model-len", str(facts.context)]
    # A client that says nothing of it would else be answered by chance.
    words += ["--override-generation-config", json.dumps({"temperature": 0})]
    return shlex.join(words)


def _remarks(form: str, facts: ServingFacts) -> list[str]:
    remarks = []
    if form not in ("ollama",) and facts.stop:
        listed = json.dumps([*facts.stop], ensure_ascii=False)
        remarks.append(f"clients have to send its stop strings: {listed}")
    if form not in ("ollama",):
        remarks.append(
            f'it was measured greedily (clients send "temperature": 0) with at most '
            f"{facts.max_tokens:,} tokens an answer"
        )
    if facts.number_format is not None:
        remarks.append(f"it was measured in {facts.number_format}; another number format may "
                       "answer a few questions otherwise")  # fmt: skip
    if form == "adapter":
        remarks.append(
            "START is the model that base_model_name_or_path in adapter_config.json names"
        )
    if not facts.exact:
        remarks.append(
            "its chat template does not give the very tokens that it was measured with; ask it by "
            "the completions route"
        )
    return remarks


def _block(lines: list[str]) -> list[str]:
    return ["```sh", *lines, "```"]
