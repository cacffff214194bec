"""A student is exported as servers load it, and verified where it is served."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from deployed_run import deployed_run, sharpen
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from potstill.checksums import write_checksums
from potstill.cli import main

CONVERTER = """
import json, sys
from pathlib import Path
folder, out, kind = Path(sys.argv[1]), Path(sys.argv[3]), sys.argv[5]
if not (folder / "config.json").is_file():
    sys.exit("no config")
out.write_bytes(b"GGUF" + (folder / "chat_template.jinja").read_bytes() + kind.encode())
"""


def potstill(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose student was trained in fine_tune_cot, from a start with a chat template."""
    return deployed_run(tmp_path_factory.mktemp("plain") / "run", chat=True)


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose student was trained in chats."""
    return deployed_run(tmp_path_factory.mktemp("chat") / "run", data_format="chat", chat=True)


@pytest.fixture
def converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for llama.cpp's converter."""
    script = tmp_path / "llama" / "convert_hf_to_gguf.py"
    script.parent.mkdir()
    script.write_text(CONVERTER)
    monkeypatch.setenv("LLAMA_CPP", str(script.parent))
    return script


def rendered(folder: Path, text: str) -> str:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return str(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
    )


def test_the_chat_route_of_a_plain_student_words_its_format(plain: Path, chatty: Path) -> None:
    assert rendered(plain / "model", " How many? ") == "How many? ###"
    assert rendered(chatty / "model", "How many?") == "user: How many?<eos>assistant: "


def test_a_folder_answers_its_chat_route_as_measured(plain: Path, chatty: Path) -> None:
    for run in (plain, chatty):
        done = potstill("verify", run, "--folder", run / "model", "--quiet")
        assert done.exit_code == 0, done.output
        assert "verify: 2 of 2 predictions equal (2 needed), 2 of them word for word" in done.output


def test_a_template_that_words_otherwise_is_found(plain: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(plain / "model", other)
    (other / "chat_template.jinja").write_text("{{ messages[0]['content'] }} ####")
    done = potstill("verify", plain, "--folder", other, "--quiet")
    assert done.exit_code == 1, done.output
    assert "verify: 0 of 2 predictions equal" in done.output
    assert "likely cause: the template: the server's prompt is another" in done.output
    assert "' ###'" in done.output.replace("What is 7 + 7?", "")
    assert "####" in done.output


def test_other_weights_are_found(plain: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(plain / "model", other)
    sharpen(other, seed=1)
    (other / "checksums.sha256").unlink(missing_ok=True)
    done = potstill("verify", plain, "--folder", other, "--quiet")
    assert done.exit_code == 1, done.output
    assert "likely cause: the weights: with the same prompt 0% of the answers" in done.output


def test_vllm_gets_a_folder_and_a_command(plain: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # An older potstill left it so: with the start's own template, and checksums of it.
    shutil.copy2(plain.with_name("start") / "chat_template.jinja", plain / "model")
    write_checksums(plain / "model")
    done = potstill("export-model", plain, "--to", "vllm", "--out", out, "--quiet")
    assert done.exit_code == 0, done.output
    assert rendered(out, "How many?") == "How many? ###"
    assert json.loads((out / "generation_config.json").read_text())["do_sample"] is False
    readme = (out / "README.md").read_text()
    command = "vllm serve . --served-model-name run"
    assert command in readme
    assert """--override-generation-config '{"temperature": 0}'""" in readme
    assert readme.startswith("# the card\n")
    assert "verify it: potstill verify" in done.output
    shutil.copy2(out / "chat_template.jinja", plain / "model")
    (plain / "model" / "checksums.sha256").unlink()
    again = potstill("verify", plain, "--folder", out, "--quiet")
    assert again.exit_code == 0, again.output


def test_gguf_is_made_by_the_converter(plain: Path, tmp_path: Path, converter: Path) -> None:
    out = tmp_path / "out"
    done = potstill("export-model", plain, "--to", "gguf", "--out", out, "--dtype", "q8_0")
    assert done.exit_code == 0, done.output
    content = (out / "run-q8_0.gguf").read_bytes()
    assert b"Made by potstill" in content
    assert content.endswith(b"q8_0")
    assert "llama-server -m ./*.gguf --jinja" in (out / "README.md").read_text()


def test_a_gguf_file_of_bfloat16_weights_is_of_f16(
    plain: Path, tmp_path: Path, converter: Path
) -> None:
    """f16 keeps their digits; a weight that it has no number for is told."""
    run = tmp_path / "run"
    shutil.copytree(plain, run)
    (run / "model" / "checksums.sha256").unlink(missing_ok=True)
    file = run / "model" / "model.safetensors"
    weights = {name: weight.bfloat16() for name, weight in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})
    config = run / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "bfloat16"}))
    done = potstill("export-model", run, "--to", "gguf", "--out", tmp_path / "one")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "one" / "run-f16.gguf").is_file()
    name = next(iter(weights))
    weights[name].view(-1)[0] = -1e5
    save_file(weights, file, metadata={"format": "pt"})
    done = potstill("export-model", run, "--to", "gguf", "--out", tmp_path / "two")
    assert done.exit_code == 2
    assert f"{name} holds a weight beyond 65,504, which f16 has no number for" in done.output
    done = potstill(
        "export-model", run, "--to", "gguf", "--out", tmp_path / "two", "--dtype", "bf16"
    )
    assert done.exit_code == 0, done.output


def test_a_converter_that_fails_is_told(plain: Path, tmp_path: Path, converter: Path) -> None:
    converter.write_text("raise SystemExit('BPE pre-tokenizer was not recognized')")
    done = potstill("export-model", plain, "--to", "gguf", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "BPE pre-tokenizer was not recognized" in done.output
    assert not (tmp_path / "out").exists()


def test_a_converter_that_is_not_there_is_told(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    for form in ("gguf", "ollama"):
        done = potstill("export-model", plain, "--to", form, "--out", tmp_path / "out")
        assert done.exit_code == 2
        assert "set LLAMA_CPP to their folder" in done.output
    done = potstill("export-model", plain, "--to", "mlx", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "pip install mlx-lm" in done.output
    assert "mlx_lm.convert --hf-path" in done.output


def test_ollama_gets_a_modelfile(
    plain: Path, chatty: Path, tmp_path: Path, converter: Path
) -> None:
    done = potstill("export-model", plain, "--to", "ollama", "--out", tmp_path / "one")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "one" / "Modelfile").read_text()
    assert text.startswith('FROM ./run-f16.gguf\nTEMPLATE """{{ .Prompt }} ###{{ .Response }}')
    for line in ("temperature 0", "repeat_penalty 1", "num_predict 8", 'stop "<eos>"'):
        assert f"PARAMETER {line}\n" in text
    done = potstill("export-model", chatty, "--to", "ollama", "--out", tmp_path / "two")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "two" / "Modelfile").read_text()
    assert (
        'TEMPLATE """{{ if .System }}system: {{ .System }}<eos>{{ end }}'
        'user: {{ .Prompt }}<eos>assistant: {{ .Response }}<eos>"""' in text
    )
    assert "ollama create run -f ./Modelfile" in (tmp_path / "two" / "README.md").read_text()


def test_an_adapter_needs_one(plain: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = potstill("export-model", plain, "--to", "adapter", "--out", out)
    assert done.exit_code == 2
    assert "holds no adapter" in done.output
    model = tmp_path / "run" / "model"
    shutil.copytree(plain, tmp_path / "run")
    (model / "adapter").mkdir()
    (model / "adapter" / "adapter_config.json").write_text("{}")
    done = potstill("export-model", tmp_path / "run", "--to", "adapter", "--out", out)
    assert done.exit_code == 0, done.output
    assert (out / "adapter_config.json").read_text() == "{}"
    assert "Made by potstill" in (out / "chat_template.jinja").read_text()


def test_mlx_is_made_by_its_command(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "mlx_lm.convert"
    script.write_text(
        f"#!{sys.executable}\nimport shutil, sys\nshutil.copytree(sys.argv[2], sys.argv[4])\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    done = potstill("export-model", plain, "--to", "mlx", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert rendered(tmp_path / "out", "How many?") == "How many? ###"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "give one of --server URL, --ollama NAME and --folder FOLDER"),
        (["--ollama", "a", "--server", "http://h/v1"], "give one of"),
        (["--folder", "nowhere", "--questions", "0"], "0 is not in the range"),
        (["--server", "ftp://h"], "is no address"),
    ],
)
def test_what_cannot_be_verified_is_told(plain: Path, words: list[Any], told: str) -> None:
    done = potstill("verify", plain, *words)
    assert done.exit_code == 2
    assert told in done.output


def test_a_run_without_a_student_is_told(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    for words in (["verify", "--folder", "x"], ["export-model", "--to", "vllm", "--out", "y"]):
        done = potstill(words[0], tmp_path / "run", *words[1:])
        assert done.exit_code == 2
        assert "model is missing, though a student was chosen" in done.output.replace("\n", " ")
