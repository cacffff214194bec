"""Commands that bring a student to a server: export-model, verify."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from potstill.cli.app import main, open_run, quiet_option
from potstill.cli.documents import add_to_document, plain
from potstill.cli.terminal import echo
from potstill.errors import ConfigError, extra

if TYPE_CHECKING:
    from potstill.deploy import StudentForm
    from potstill.deploy.gguf_file import GgufType
    from potstill.deploy.served_answers import ServedStudent
    from potstill.pipeline.measured_student import MeasuredStudent
    from potstill.pipeline.run import Run

FORMS: tuple["StudentForm", ...] = ("gguf", "ollama", "vllm", "adapter", "mlx")

GGUF_TYPES: tuple["GgufType", ...] = ("f16", "bf16", "q8_0")


@main.command("export-model")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "form",
    type=click.Choice(FORMS),
    required=True,
    help="What is to load it: llama.cpp (gguf), Ollama, vLLM, a server that has the start and adds "
    "low-rank weights (adapter), or MLX.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Takes its files.")
@click.option(
    "--dtype",
    "gguf_type",
    type=click.Choice(GGUF_TYPES),
    help="The number format of a GGUF file; by default f16.",
)
@quiet_option
def export_model_command(
    run: Path, form: "StudentForm", out: Path, gguf_type: "GgufType | None"
) -> None:
    """Write the student that a run chose as a server loads it.

    RUN is its folder, or the recipe. OUT is a new folder; its README says how the student is
    started, asked and verified.
    """
    with extra("local", needed_for="potstill export-model"):
        from potstill.deploy import export_student

    with open_run(run, (), read_only=True) as opened_run:
        exported = export_student(opened_run, form, out, gguf_type=gguf_type)
    echo(f"export-model: {len(exported.files):,} files in {out}")
    for line in exported.lines:
        echo(f"  {line}", whole=True)
    add_to_document(folder=out, form=form, **exported._asdict())


@main.command("verify")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--server", metavar="URL", help="An OpenAI-compatible server's routes, as .../v1.")
@click.option("--model", metavar="NAME", help="The student's name there, where it has several.")
@click.option("--ollama", metavar="NAME", help="A model of Ollama's, at OLLAMA_HOST.")
@click.option("--folder", type=click.Path(path_type=Path), help="A model's folder, loaded here.")
@click.option(
    "--questions",
    default=50,
    show_default=True,
    type=click.IntRange(min=1),
    help="Test questions that are asked at most.",
)
@click.option(
    "--equal",
    type=click.IntRange(min=1),
    help="How many predictions have to be equal; 96 of 100 by default.",
)
@quiet_option
def verify_command(run: Path, questions: int, equal: int | None, **places: Any) -> None:
    """Demand of a served student the answers that were measured.

    RUN is the run that measured it: its folder, or the recipe. Give one of --server, --ollama and
    --folder. Ends with status 1 where fewer predictions are equal than have to be, and shows the
    first difference with its likely cause.
    """
    if sum(places[name] is not None for name in ("server", "ollama", "folder")) != 1:
        raise ConfigError("give one of --server URL, --ollama NAME and --folder FOLDER.")
    with extra("local", needed_for="potstill verify"):
        from potstill.deploy.verification import described, verify_student
        from potstill.pipeline.measured_student import measured_answers, measured_student

    with open_run(run, (), read_only=True) as opened_run:
        student = measured_student(opened_run)
        measured = measured_answers(opened_run, student, questions)
        served = _served(opened_run, student, **places)
        found = verify_student(student, measured, served, needed=equal)
        for line in described(found, served, student):
            echo(line)
    add_to_document(**plain(found), passed=found.passed)
    if not found.passed:
        click.get_current_context().exit(1)


def _served(
    run: "Run",
    student: "MeasuredStudent",
    *,
    server: str | None,
    model: str | None,
    ollama: str | None,
    folder: Path | None,
) -> "ServedStudent":
    """Returns the student that is served where the command says."""
    from potstill.deploy.served_answers import ServedByChat, ServedByFolder, ServedByOllama

    stop, longest = student.asking.style.stop, student.asking.sampling.max_tokens
    if ollama is not None:
        return ServedByOllama(ollama)
    if server is not None:
        return ServedByChat(server, model, stop=stop, max_tokens=longest)
    assert folder is not None
    start = run.students.start_of(student.checkpoint).settings
    return ServedByFolder(folder, start, stop=stop, max_tokens=longest)
