"""Rows go to folders and addresses in files of equal size, and come back from there."""

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from click.testing import CliRunner, Result
from exchange_runs import curated_run, fill, open_run, write_recipe
from pyarrow import parquet

from potstill.cli import main
from potstill.errors import ConfigError, MissingExtraError
from potstill.exchange import addresses, export_to, import_from, shards
from potstill.exchange.export import write_rows


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_ROWS", 4)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A mock of S3 on this machine, with a bucket; gives the bucket's address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patched:
        host, port = server.get_host_and_port()
        patched.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patched.setenv("AWS_ACCESS_KEY_ID", "test")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patched.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").mkdir("rows")
        yield "s3://rows"
        fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


@pytest.fixture
def memory() -> Iterator[str]:
    """An address of fsspec's own."""
    yield "memory://rows"
    fsspec.filesystem("memory").store.clear()


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def answers(run: Path) -> list[tuple[object, ...]]:
    db = sqlite3.connect(run / "run.sqlite")
    found = db.execute(
        "SELECT hex(request_key), sample, text FROM completions ORDER BY id"
    ).fetchall()
    db.close()
    return found


@pytest.mark.parametrize("remote", [False, True])
def test_an_export_that_breaks_off_mixes_with_no_earlier_one(
    tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch, remote: bool
) -> None:
    recipe, place = filled(tmp_path), f"{memory}/pool/" if remote else f"{tmp_path}/pool/"
    assert command("export", recipe, place, "--what", "completions").exit_code == 0
    written = []

    def breaks(file: Path, *rest: Any) -> int:
        written.append(file)
        if len(written) == 2:
            raise OSError("no space left")
        return write_rows(file, *rest)

    monkeypatch.setattr(shards, "write_rows", breaks)
    assert command("export", recipe, place, "--what", "completions", "--overwrite").exit_code != 0
    left = addresses.shelf_at(place).names()
    # A folder of this machine keeps the earlier export whole; an address has the new files alone.
    assert left == [f"completions-{n:05}.parquet" for n in range(1 if remote else 3)]


def filled(folder: Path) -> Path:
    """A run of nine completions."""
    recipe = write_recipe(folder)
    with open_run(recipe) as run:
        fill(run, ["We count. The answer is {answer}.", "So {answer}.", "It is 1."])
    return recipe


def test_shards_go_to_s3_and_come_back(tmp_path: Path, s3: str) -> None:
    recipe, place = filled(tmp_path), f"{s3}/first/pool/"
    told = command("export", recipe, place, "--what", "completions")
    assert (told.exit_code, "9 completions rows in s3://rows/first/pool/" in told.output) == (
        0,
        True,
    )
    names = fsspec.filesystem("s3").ls("rows/first/pool")
    assert names == [f"rows/first/pool/completions-{n:05}.parquet" for n in range(3)]
    other = write_recipe(tmp_path, "other")
    assert "9 completions stored" in command("import", other, place).output
    assert "9 already there" in command("import", other, place).output
    assert answers(tmp_path / "other") == answers(tmp_path / "run")
    again = command("export", recipe, place, "--what", "completions")
    assert again.exit_code == 2 and "3 files of completions already" in again.output
    assert "Traceback" not in again.output


def test_one_file_goes_to_an_address_and_comes_back(tmp_path: Path, memory: str) -> None:
    with open_run(filled(tmp_path)) as run:
        assert export_to(run, f"{memory}/pool.jsonl.gz", "completions").rows == 9
        with pytest.raises(ConfigError, match=r"memory://rows/pool.jsonl.gz is there already"):
            export_to(run, f"{memory}/pool.jsonl.gz", "completions")
        with pytest.raises(ConfigError, match="ends in"):
            export_to(run, f"{memory}/pool.csv", "completions")
    with open_run(write_recipe(tmp_path, "other")) as run:
        assert import_from(run, f"{memory}/pool.jsonl.gz").stored == 9
        assert import_from(run, f"{memory}/pool*").there == 9


def test_a_folder_of_this_machine_takes_shards_and_is_read_whole_or_by_pattern(
    tmp_path: Path,
) -> None:
    out = f"{tmp_path}/made/"
    with open_run(filled(tmp_path)) as run:
        assert export_to(run, out, "completions").rows == 9
        sizes = [parquet.read_metadata(file).num_rows for file in sorted(Path(out).iterdir())]
        assert sizes == [4, 4, 1]
        fewer = export_to(run, out, "completions", overwrite=True, stages=("generate",))
        assert fewer.rows == 9 and len([*Path(out).iterdir()]) == 3
        (Path(out) / "completions-00007.parquet").write_bytes(b"of a longer export")
        export_to(run, out, "completions", overwrite=True)
        assert len([*Path(out).iterdir()]) == 3, "what a longer one left is gone"
    with open_run(write_recipe(tmp_path, "other")) as run:
        assert import_from(run, f"{out}completions-0000[01].parquet").stored == 4 + 4
        assert import_from(run, out).stored == 1


def test_rationales_come_back_from_several_files_as_one_import(tmp_path: Path, memory: str) -> None:
    with curated_run(write_recipe(tmp_path)) as run:
        assert export_to(run, f"{memory}/told/", "rationales").rows == 6
    with open_run(write_recipe(tmp_path, "other")) as other:
        result = import_from(other, f"{memory}/told/")
        assert (result.kind, result.stored, result.left_out) == ("rationales", 6, 0)
        assert result.models.total() == 6


def test_a_damaged_file_is_told_by_its_address(tmp_path: Path, memory: str) -> None:
    fsspec.filesystem("memory").pipe_file("/rows/bad.parquet", b"PAR1 and no more")
    with (
        open_run(write_recipe(tmp_path)) as run,
        pytest.raises(Exception, match=r"memory://rows/bad\.parquet") as told,
    ):
        import_from(run, f"{memory}/bad.parquet")
    assert str(tmp_path) not in str(told.value)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nosuch://a/b/", "Give an address that fsspec knows"),
        ("memory://empty/", "holds no file that ends in"),
        ("memory://rows/none.parquet", "cannot be read"),
        ("ftp://me:secret@host/a/", "an address with a password"),
    ],
)
def test_what_cannot_be_opened_is_one_line(tmp_path: Path, place: str, words: str) -> None:
    told = command("import", write_recipe(tmp_path), place)
    assert told.exit_code == 2 and words in told.output, told.output
    assert len(told.output.strip().splitlines()) == 1 and "secret" not in told.output


def test_a_missing_package_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    known = sys.modules["fsspec.registry"].__dict__["_registry"]  # those that were loaded
    for protocol in ("s3", "s3a"):
        monkeypatch.delitem(known, protocol, raising=False)
    with (
        open_run(write_recipe(tmp_path)) as run,
        pytest.raises(MissingExtraError, match=r"pip install 'potstill\[s3\]'"),
    ):
        import_from(run, "s3://rows/a/")
