import os
import subprocess
import sys
from pathlib import Path

import pytest

from potstill.errors import ConfigError
from potstill.whole_files import unfinished_folder, whole_file, whole_folder, write_whole


def test_a_file_is_written_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "notes.txt"
    write_whole(path, "one")
    write_whole(path, "zwei ä")
    assert path.read_text(encoding="utf-8") == "zwei ä"
    write_whole(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert [*path.parent.iterdir()] == [path]


def test_a_write_that_fails_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    write_whole(path, "before")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"half of")
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]


KILLED = """
import os, signal, sys
from pathlib import Path
from potstill.whole_files import whole_file

with whole_file(Path(sys.argv[1])) as file:
    file.write(b"half of")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    """A killed process leaves a named unfinished file on systems without unnamed ones."""
    path = tmp_path / "notes[1].txt"
    write_whole(path, "before")
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False).returncode < 0
    assert path.read_text() == "before"
    assert len([*tmp_path.iterdir()]) == 2 - hasattr(os, "O_TMPFILE")
    (tmp_path / ".notes[1].txt.999999999.unfinished").write_text("half of")
    write_whole(path, "after")
    assert path.read_text() == "after"
    assert [*tmp_path.iterdir()] == [path]


def test_another_process_at_work_on_the_same_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    theirs = tmp_path / f".notes.txt.{os.getppid()}.unfinished"
    theirs.write_text("half of")
    write_whole(path, "ours")
    assert theirs.exists()


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write .*file/notes\.txt: .*file is no folder"):
        write_whole(tmp_path / "file" / "notes.txt", "one")


def write_model(folder: Path, weights: str) -> None:
    with whole_folder(folder) as unfinished:
        (unfinished / "weights").write_text(weights)
        assert not folder.exists() or (folder / "weights").read_text() == "before"


def test_a_folder_is_replaced_once_the_new_one_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "model"
    write_model(folder, "before")
    (folder / "only then").touch()
    write_model(folder, "after")
    assert [file.name for file in folder.iterdir()] == ["weights"]
    assert (folder / "weights").read_text() == "after"
    assert [*folder.parent.iterdir()] == [folder]


def test_a_folder_that_fails_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_model(folder, "before")
    with pytest.raises(KeyboardInterrupt), whole_folder(folder) as unfinished:
        (unfinished / "weights").write_text("half of")
        raise KeyboardInterrupt
    assert (folder / "weights").read_text() == "before"
    assert [*tmp_path.iterdir()] == [folder]


def test_what_a_killed_process_left_of_a_folder_is_not_in_the_next_one(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    left = unfinished_folder(folder)
    left.mkdir()
    (left / "half").touch()
    write_model(folder, "whole")
    assert [file.name for file in folder.iterdir()] == ["weights"]
    assert [*tmp_path.iterdir()] == [folder]


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write .*file/model"):
        write_model(tmp_path / "file" / "model", "whole")
