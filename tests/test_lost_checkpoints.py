"""Checkpoints that are lost or damaged are found, and trained again; pickles are never read."""

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_train import learner, losses, settings, sums
from tiny_models import build_tiny_causal
from tiny_runs import PLACE, finished_run

from potstill.checksums import CHECKSUMS, REMOVED, damage, read_checksums, write_checksums
from potstill.errors import DataError, ModelError
from potstill.models.local.loading import folder_digest, load_model_and_tokenizer
from potstill.pipeline.run import Run, stored_run
from potstill.runtime.progress import Meter
from potstill.train import checkpoints
from potstill.train.student import TrainedStudent, train_student


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_causal(tmp_path_factory.mktemp("start"), "qwen3")


@pytest.fixture(scope="module")
def trained(start: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedStudent:
    folder = tmp_path_factory.mktemp("trained")
    return train_student(learner(start), sums(), settings(checkpoints=3), folder)


def cut_short(checkpoint: Path) -> None:
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def flip_a_bit(checkpoint: Path) -> None:
    """Change a weight and not the file's length, as a failing disk does."""
    file = checkpoint / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def folder_for_a_file(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()
    (checkpoint / "tokenizer.json").mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "folder gone": shutil.rmtree,
    "weights gone": lambda checkpoint: (checkpoint / "model.safetensors").unlink(),
    "weights cut": cut_short,
    "one bit": flip_a_bit,
    "empty config": lambda checkpoint: (checkpoint / "config.json").write_bytes(b""),
    "a folder for a file": folder_for_a_file,
}


@pytest.mark.parametrize("hurt", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("which", [0, -1])
def test_a_damaged_checkpoint_is_found_and_trained_again(
    start: Path,
    trained: TrainedStudent,
    tmp_path: Path,
    hurt: Callable[[Path], object],
    which: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(trained.checkpoints[0][1].parent, folder)
    expected = read_checksums(trained.checkpoints[which][1])
    hurt(folder / trained.checkpoints[which][1].name)
    assert damage(folder / trained.checkpoints[which][1].name)
    again = train_student(learner(start), sums(), settings(checkpoints=3), folder)
    assert caplog.text.count("trained again") == 1
    assert losses(again) == losses(trained)
    assert [damage(place) for _, place in again.checkpoints] == [[], [], []]
    assert read_checksums(again.checkpoints[which][1]) == expected


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("name", ["finished.json", "training.json"])
def test_damaged_marks_of_a_training_are_written_again(
    start: Path, tmp_path: Path, content: bytes, name: str
) -> None:
    from potstill.train.student import training_identity

    wanted = settings(steps=2, checkpoints=1)
    identity = training_identity(learner(start), sums(), wanted)
    folder = tmp_path / f"student-{identity[:8]}"
    first = train_student(learner(start), sums(), wanted, folder)
    before = (folder / "training.json").read_bytes()
    (folder / name).write_bytes(content)
    again = train_student(learner(start), sums(), wanted, folder)
    assert losses(again) == losses(first)
    assert (folder / "training.json").read_bytes() == before
    assert json.loads((folder / "finished.json").read_text())["steps"] == [2]


@pytest.mark.parametrize(
    "lost", ["resume/optimizer.pt", "model.safetensors", "../checkpoint-000002"]
)
def test_an_interrupted_training_begins_anew_where_its_checkpoints_are_damaged(
    start: Path, trained: TrainedStudent, tmp_path: Path, lost: str
) -> None:
    def stop(progress: object) -> None:
        if checkpoints.newest_resumable(tmp_path) == tmp_path / "checkpoint-000004":
            raise KeyboardInterrupt

    wanted = settings(checkpoints=3)
    with pytest.raises(KeyboardInterrupt):
        train_student(learner(start), sums(), wanted, tmp_path, on_step=stop)
    path = tmp_path / "checkpoint-000004" / lost
    shutil.rmtree(path) if path.is_dir() else path.write_bytes(path.read_bytes()[:-9])
    steps: list[int] = []
    again = train_student(
        learner(start), sums(), wanted, tmp_path, on_step=lambda at: steps.append(at.step)
    )
    assert steps == [1, 2, 4, 6]
    assert losses(again) == losses(trained)


def test_a_removed_checkpoint_is_no_damage_and_keeps_its_name(
    start: Path, trained: TrainedStudent, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(trained.checkpoints[0][1].parent, folder)
    first = folder / trained.checkpoints[0][1].name
    name = folder_digest(first)
    (first / "model.safetensors").unlink()
    (first / REMOVED).write_text("removed\n")
    assert folder_digest(first) == name
    seen: list[object] = []
    train_student(learner(start), sums(), settings(checkpoints=3), folder, on_step=seen.append)
    assert not seen
    with pytest.raises(ModelError, match=r"potstill clean removed them.*removed\.txt"):
        load_model_and_tokenizer(str(first))


def test_sha256sum_reads_the_checksums(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "README.md").write_text("a card")
    write_checksums(tmp_path)
    # printf '{}' | sha256sum
    digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert (tmp_path / CHECKSUMS).read_text() == f"{digest}  a.json\n"


def run_with_checkpoint(folder: Path, start: Path) -> Path:
    """A finished run, its checkpoint sealed; returns the checkpoint's folder."""
    finished_run(folder, start, start, sign="+")
    write_checksums(folder / PLACE)
    return folder / PLACE


@pytest.mark.parametrize("hurt", DAMAGES.values(), ids=DAMAGES.keys())
def test_evaluate_refuses_a_damaged_checkpoint_before_the_teacher_is_asked(
    start: Path,
    tmp_path: Path,
    hurt: Callable[[Path], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoint = run_with_checkpoint(tmp_path / "sums", start)
    hurt(checkpoint)

    def asked(self: Run) -> None:
        raise AssertionError("the teacher is asked")

    monkeypatch.setattr("potstill.pipeline.teachers.TeacherPool.first", property(asked))
    monkeypatch.setattr("potstill.pipeline.run.require_current", lambda *_: None)
    with (
        stored_run(tmp_path / "sums", Meter.on_stderr()) as run,
        pytest.raises(DataError, match=r"checkpoint-000002: .*Run potstill train"),
    ):
        run.evaluate()


# Weights of other kinds


def sharded(folder: Path, weight_map: object) -> Path:
    """A model in several files, whose index says what it is told."""
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


class _Payload:
    """Pickled, it would make a folder when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.mark),)


def pickled(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps(_Payload(mark)))


def index_names(name: str) -> Callable[[Path, Path], None]:
    def make(folder: Path, mark: Path) -> None:
        names = load_file(folder / "model.safetensors")
        sharded(folder, dict.fromkeys(names, name))
        if "/" not in name:
            pickled(folder / name, mark)

    return make


def config_names(name: str) -> Callable[[Path, Path], None]:
    def make(folder: Path, mark: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": name}))
        pickled(folder / Path(name).name, mark)

    return make


def adapter(folder: Path, mark: Path) -> None:
    values = {"peft_type": "LORA", "base_model_name_or_path": str(folder), "r": 2}
    (folder / "adapter_config.json").write_text(json.dumps(values))
    pickled(folder / "adapter_model.bin", mark)


PICKLES = {
    "an index of .bin": index_names("pytorch_model-00001-of-00001.bin"),
    "an index of .pt": index_names("weights.pt"),
    "an index without an ending": index_names("weights"),
    "an index that leaves the folder": index_names("../other/model.safetensors"),
    "a config that names an adapter": config_names("adapter_model.bin"),
    "a config that names a pickle": config_names("weights.bin"),
    "a pickled adapter": adapter,
}


@pytest.mark.parametrize("make", PICKLES.values(), ids=PICKLES.keys())
def test_only_safetensors_are_read_whatever_names_another_file(
    start: Path, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(start, folder)
    make(folder, tmp_path / "mark")
    with pytest.raises(ModelError, match=r"pickled|not beside it"):
        load_model_and_tokenizer(str(folder), device="cpu")
    assert not (tmp_path / "mark").exists()


def test_a_model_in_several_safetensors_is_read(start: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(start, folder)
    names = load_file(folder / "model.safetensors")
    sharded(folder, dict.fromkeys(names, "model-00001-of-00001.safetensors"))
    loaded = load_model_and_tokenizer(str(folder), device="cpu").model.state_dict()
    assert all(loaded[name].equal(weight) for name, weight in names.items())


def header_of_huge(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")


def without_a_weight(folder: Path) -> None:
    kept = load_file(folder / "model.safetensors")
    kept.pop("model.norm.weight")
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def with_nan(folder: Path) -> None:
    kept = load_file(folder / "model.safetensors")
    kept["model.norm.weight"][0] = torch.nan
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def config(**changes: object) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(values))

    return make


def content(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


ODD_FOLDERS: dict[str, Callable[[Path], object]] = {
    "no config": lambda folder: (folder / "config.json").unlink(),
    "empty config": content("config.json", b""),
    "a list as config": content("config.json", b"[1]"),
    "a word as config": content("config.json", b'"llama"'),
    "no JSON": content("config.json", b"{"),
    "bytes as config": content("config.json", b"\xff\xfe\x00"),
    "deep config": content("config.json", b"[" * 100_000),
    "unknown architecture": config(model_type="nothing_known", architectures=["Nothing"]),
    "no architecture": content("config.json", b"{}"),
    "an encoder": config(model_type="bert"),
    "a layer too many": config(num_hidden_layers=3),
    "wrong shapes": config(hidden_size=64),
    "words as sizes": config(hidden_size="many"),
    "no size": config(num_attention_heads=0),
    "negative": config(vocab_size=-1),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "empty weights": content("model.safetensors", b""),
    "cut weights": cut_short,
    "a text as weights": content("model.safetensors", b"version https://git-lfs.github.com/spec\n"),
    "a huge header": header_of_huge,
    "a weight missing": without_a_weight,
    "not a number": with_nan,
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
    "empty tokenizer": content("tokenizer.json", b""),
    "a tokenizer of nothing": content("tokenizer.json", b"{}"),
    "an odd tokenizer": content("tokenizer.json", b'{"model": {"type": "BPE", "vocab": 3}}'),
    "odd tokenizer config": content("tokenizer_config.json", b"[]"),
    "unknown tokenizer": content("tokenizer_config.json", b'{"tokenizer_class": "Nothing"}'),
    "odd generation config": content("generation_config.json", b"[3]"),
    "an index of nothing": lambda folder: sharded(folder, {}),
    "an index without its map": lambda folder: sharded(folder, None),
    "a shard that is not there": lambda folder: sharded(folder, {"a": "b.safetensors"}),
}


@pytest.mark.parametrize("make", ODD_FOLDERS.values(), ids=ODD_FOLDERS.keys())
def test_an_odd_folder_is_refused_in_one_line_or_loads(
    start: Path, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(start, folder)
    make(folder)
    try:
        load_model_and_tokenizer(str(folder), device="cpu")
    except ModelError as error:
        assert str(folder) in str(error)
        assert "\n" not in str(error)
    else:  # transformers does without these
        assert make in (ODD_FOLDERS["odd generation config"], ODD_FOLDERS["unknown tokenizer"])
