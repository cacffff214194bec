"""The chosen student of a run in the form that a server loads.

Every form is a new folder with a README that says how it is started and asked::

    vllm      the model as transformers loads it, and the command line of vLLM
    gguf      one file for llama.cpp
    ollama    that file, and a Modelfile
    adapter   the low-rank weights alone, for a server that has the start
    mlx       the model for Apple's processors
"""

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

from potstill.checksums import CHECKSUMS
from potstill.deploy.gguf_file import GgufType, gguf_converter, write_gguf
from potstill.deploy.modelfile import GoTemplate, Turns, go_template, modelfile
from potstill.deploy.serving_notes import ServingFacts, serving_notes
from potstill.errors import ConfigError, DataError, MissingExtraError, ModelError, extra
from potstill.evaluate import word_as_trained
from potstill.pipeline.measured_student import MeasuredStudent, measured_student
from potstill.pipeline.run import Run
from potstill.records.training import ADAPTER, PREFIX_FILE
from potstill.text.terminal_text import terminal_text
from potstill.whole_files import new_folder, write_whole

StudentForm = Literal["gguf", "ollama", "vllm", "adapter", "mlx"]

FORMS: tuple[StudentForm, ...] = ("gguf", "ollama", "vllm", "adapter", "mlx")

MLX = "mlx_lm.convert"
"""The command of the package mlx-lm."""

CONTEXT = 4096
"""Tokens of prompt and answer together that a server is told to have room for, unless answers
alone may be longer."""


class ExportedStudent(NamedTuple):
    """A student in a form that a server loads."""

    files: tuple[Path, ...]
    lines: tuple[str, ...]
    """How it is started and verified, and what should be known of it, a line each."""


class _Source(NamedTuple):
    """The student's folder, worded as it was measured."""

    student: MeasuredStudent
    folder: Path
    facts: ServingFacts
    positions: int | None
    """The longest text of the model, in tokens; None where it does not say."""


def export_student(
    run: Run, form: StudentForm, out: Path, *, gguf_type: GgufType | None = None
) -> ExportedStudent:
    """Write the chosen student of a run to a folder, in a form that a server loads.

    Args:
        run: A run that was evaluated; it is read alone.
        form: The form.
        out: The folder: new or empty.
        gguf_type: The number format of a GGUF file; by default f16, which keeps the digits of
            bfloat16 weights, and in which llama.cpp rounds less and computes faster.

    Raises:
        PotstillError: There is no student yet, it cannot be had in this form, what converts it is
            not installed, or the folder is in use.
    """
    student = measured_student(run)
    if gguf_type is not None and form not in ("gguf", "ollama"):
        raise ConfigError(f"a number format is chosen for a GGUF file, and --to is {form}.")
    if student.checkpoint.encoder_decoder and form in ("gguf", "ollama", "vllm"):
        raise ConfigError(
            f"{student.model} is an encoder-decoder model, which {form} does not serve; "
            "potstill serve does."
        )
    _check_tools(form, out, student)
    with TemporaryDirectory() as temporary, new_folder(out) as unfinished:
        source = _source(student, Path(temporary) / student.name)
        lines = _WRITERS[form](source, unfinished, gguf_type or "f16")
        notes = serving_notes(form, source.facts, out, run.folder)
        card = student.model / "README.md"
        text = card.read_text(encoding="utf-8") if card.is_file() else f"# {student.name}\n"
        write_whole(unfinished / "README.md", f"{text.rstrip()}\n\n{notes.section}")
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return ExportedStudent(tuple(files), (*lines, *notes.lines))


def _check_tools(form: StudentForm, out: Path, student: MeasuredStudent) -> None:
    """Find out what is missing before anything is written."""
    if form in ("gguf", "ollama"):
        gguf_converter()
    if form == "mlx" and shutil.which(MLX) is None:
        command = shlex.join([MLX, "--hf-path", str(student.model), "--mlx-path", str(out)])
        raise MissingExtraError(
            f"MLX's form is made by {MLX}, which is not on the PATH. On a Mac: pip install mlx-lm, "
            f"then repeat this command, or run: {command}"
        )


def _source(student: MeasuredStudent, folder: Path) -> _Source:
    """Copies the student to a folder, and has servers ask it as it was measured.

    A ``model/`` of an older potstill has the start's own chat template.
    """
    if (student.model / PREFIX_FILE).is_file():
        raise DataError(
            f"{student.model} has a learned prefix (train.prefix), which potstill alone loads: "
            "potstill ask, serve and evaluate do. For servers train with train.lora in its place."
        )
    folder.mkdir()
    for file in sorted(student.model.iterdir()):
        # The checksums are those of model/, and files are worded anew here.
        if file.is_file() and file.name not in ("README.md", CHECKSUMS):
            # A file that is written anew replaces the link, and not the file that it leads to.
            (folder / file.name).symlink_to(file.resolve())
    exact = False
    if not student.checkpoint.encoder_decoder:
        with extra("local", needed_for="potstill export-model"):
            exact = word_as_trained(folder, student.asking)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    positions = config.get("max_position_embeddings")
    positions = positions if isinstance(positions, int) else None
    wanted = max(CONTEXT, 2 * student.asking.sampling.max_tokens)
    facts = ServingFacts(
        name=student.name,
        stop=student.asking.style.stop,
        max_tokens=student.asking.sampling.max_tokens,
        context=min(wanted, positions or wanted),
        number_format=student.number_format,
        exact=exact,
    )
    return _Source(student, folder, facts, positions)


def _copy(source: Path, folder: Path) -> None:
    for file in sorted(source.iterdir()):
        shutil.copy2(file, folder / file.name)


def _write_vllm(source: _Source, folder: Path, _: GgufType) -> list[str]:
    _copy(source.folder, folder)
    return []


def _write_gguf(source: _Source, folder: Path, gguf_type: GgufType) -> list[str]:
    write_gguf(source.folder, folder / _gguf_name(source, gguf_type), gguf_type)
    return []


def _write_ollama(source: _Source, folder: Path, gguf_type: GgufType) -> list[str]:
    template = _go_template(source)
    file = _gguf_name(source, gguf_type)
    stop = dict.fromkeys((*source.facts.stop, *_ends(source.folder)))
    text = modelfile(
        f"./{file}",
        template,
        stop=[*stop],
        max_tokens=source.facts.max_tokens,
        context=source.facts.context,
    )
    write_gguf(source.folder, folder / file, gguf_type)
    write_whole(folder / "Modelfile", text)
    return []


def _write_adapter(source: _Source, folder: Path, _: GgufType) -> list[str]:
    adapter = source.student.model / ADAPTER
    if not adapter.is_dir():
        raise DataError(
            f"{source.student.model} holds no adapter: the student was not trained with lora, or "
            "an older potstill made it. Take another form, such as --to vllm."
        )
    shutil.copytree(adapter, folder, dirs_exist_ok=True)
    for name in ("chat_template.jinja", "tokenizer_config.json", "tokenizer.json"):
        if (source.folder / name).is_file():
            shutil.copy2(source.folder / name, folder / name)
    return []


def _write_mlx(source: _Source, folder: Path, _: GgufType) -> list[str]:
    converted = folder / "converted"
    command = [MLX, "--hf-path", str(source.folder), "--mlx-path", str(converted)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode or not (converted / "config.json").is_file():
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        said = terminal_text(" | ".join(lines[-3:]))
        raise ModelError(f"{shlex.join(command)} failed (status {done.returncode}): {said}")
    for file in sorted(converted.iterdir()):
        file.rename(folder / file.name)
    converted.rmdir()
    return []


_WRITERS: dict[StudentForm, Callable[[_Source, Path, GgufType], list[str]]] = {
    "vllm": _write_vllm,
    "gguf": _write_gguf,
    "ollama": _write_ollama,
    "adapter": _write_adapter,
    "mlx": _write_mlx,
}


def _gguf_name(source: _Source, gguf_type: GgufType) -> str:
    return f"{source.student.name}-{gguf_type}.gguf"


def _go_template(source: _Source) -> GoTemplate:
    """Returns Ollama's template of a model's chat template.

    Raises:
        ModelError: It has none, or Ollama could not word chats so.
    """
    from potstill.evaluate.served_form import first_text
    from potstill.models.local.loading import first_line, quietly

    with quietly():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(source.folder)
    first = first_text(tokenizer)

    def render(turns: Turns) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        try:
            text = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # a template is a program that somebody else wrote
            raise ModelError(first_line(error)) from error
        assert isinstance(text, str)
        return text.removeprefix(first)  # Ollama puts it there

    try:
        return go_template(render)
    except ModelError as error:
        raise ModelError(
            f"{source.student.model}: {error}, so no template of Ollama words it alike. Serve it "
            "by another program: --to gguf or --to vllm."
        ) from error


def _ends(folder: Path) -> list[str]:
    """Returns the texts of the tokens that end an answer."""
    from transformers import AutoTokenizer

    path = folder / "generation_config.json"
    values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    named = values.get("eos_token_id")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id]
    known = dict.fromkeys(number for number in ids if isinstance(number, int))
    return [str(token) for token in tokenizer.convert_ids_to_tokens([*known]) if token]
