"""Token probabilities come out of the store as they went in, or within the bound that is stated."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from potstill.errors import StoreError
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import Completion, Request, TokenLogprobs
from potstill.store import Store
from potstill.store.packed_logprobs import PackedLogprobs, pack, unpack
from potstill.store.probability_codec import ProbabilityForm, compact_error, decode, encode
from potstill.store.schema import MIGRATIONS

REQUEST = Request(prompt="Q: 3 + 4?", top_logprobs=2)
NUMBERS = st.one_of(
    st.floats(-40, 0, width=32), st.sampled_from([0.0, -0.0, -np.inf, np.nan, -9999.0, 1e-4])
)


@st.composite
def records(draw: st.DrawFn) -> TokenLogprobs:
    """Any token probabilities: of no tokens, of no likeliest ones, with names that stand twice."""
    tokens, columns = draw(st.integers(0, 5)), draw(st.integers(1, 14))
    count = tokens * columns
    values = draw(st.lists(NUMBERS, min_size=count, max_size=count))
    logprobs = np.array(values, np.float32).reshape(tokens, columns)
    if tokens and columns > 1 and draw(st.booleans()):  # as it mostly is
        logprobs[:, 0] = logprobs[:, columns // 2]
    if draw(st.booleans()):
        ids = draw(st.lists(st.integers(-1, 2**31 - 1), min_size=count, max_size=count))
        return TokenLogprobs(
            logprobs=logprobs, ids=np.array(ids, np.int32).reshape(tokens, columns)
        )
    name = st.one_of(st.binary(max_size=3), st.binary(min_size=250, max_size=300))
    names = draw(st.lists(name, min_size=count, max_size=count))
    return TokenLogprobs(
        logprobs=logprobs,
        token_bytes=b"".join(names),
        lengths=np.array([len(each) for each in names], np.uint16).reshape(tokens, columns),
    )


def same_names(one: TokenLogprobs, two: TokenLogprobs) -> bool:
    if one.ids is not None:
        return two.ids is not None and np.array_equal(one.ids, two.ids)
    assert one.lengths is not None and two.lengths is not None
    return one.token_bytes == two.token_bytes and np.array_equal(one.lengths, two.lengths)


@settings(max_examples=150)
@given(records())
def test_the_exact_form_keeps_every_bit(record: TokenLogprobs) -> None:
    back = decode(encode(record, "exact"), *record.logprobs.shape)
    assert back.logprobs.tobytes() == record.logprobs.tobytes()
    assert same_names(record, back)


@settings(max_examples=150)
@given(records())
def test_the_compact_form_keeps_names_and_is_off_by_its_bound_at_most(
    record: TokenLogprobs,
) -> None:
    back = decode(encode(record, "compact"), *record.logprobs.shape)
    assert same_names(record, back)
    known = np.isfinite(record.logprobs)
    assert np.array_equal(np.isnan(record.logprobs), np.isnan(back.logprobs))
    assert np.array_equal(np.isneginf(record.logprobs), np.isneginf(back.logprobs))
    nats, kept = (each.logprobs[known].astype(float) for each in (record, back))
    assert (np.abs(kept - nats) <= compact_error(nats)).all()
    assert (np.abs(np.exp(kept) - np.exp(nats)) < 0.00025).all()
    again = decode(encode(back, "compact"), *record.logprobs.shape)
    assert again.logprobs.tobytes() == back.logprobs.tobytes()


def worded(tokens: int = 150, top: int = 20) -> TokenLogprobs:
    """Probabilities spread as a language model's: few likely tokens, a long tail, names of words.

    Gaps between neighbours are exponential with a mean of 0.5 nats, wider at the top; names are
    drawn from a vocabulary of 30,000 by Zipf's law.
    """
    generator = np.random.default_rng(0)
    gaps = generator.exponential(0.5, (tokens, top)) * np.where(np.arange(top) < 3, 3, 0.4)
    likeliest = -0.1 * generator.exponential(1, (tokens, 1)) - np.cumsum(gaps, axis=1)
    ranks = np.minimum(generator.zipf(1.3, (tokens, top)), 30_000)
    letters = np.frombuffer(generator.bytes(6 * 30_001), np.uint8).reshape(-1, 6) % 26 + 97
    ids = np.concatenate([ranks[:, :1], ranks], axis=1)
    names = [letters[each].tobytes()[: 1 + each % 6] for each in ids.ravel().tolist()]
    return TokenLogprobs(
        logprobs=np.concatenate([likeliest[:, :1], likeliest], axis=1).astype(np.float32),
        token_bytes=b"".join(names),
        lengths=np.array([len(each) for each in names], np.uint16).reshape(ids.shape),
    )


def test_compact_probabilities_take_less_than_sixty_bytes_a_token() -> None:
    record = worded()
    plain = record.logprobs.nbytes + len(record.token_bytes) + 2 * record.logprobs.size
    assert plain / 150 > 180
    assert len(encode(record, "compact")) / 150 < 60
    assert len(encode(record, "exact")) < 0.6 * plain


def stored(folder: Path, record: TokenLogprobs, form: ProbabilityForm = "exact") -> Path:
    """A store with one completion."""
    completion = Completion(
        request=REQUEST, sample=0, text="7", finish_reason="stop", logprobs=record
    )
    with Store(folder / "run.sqlite") as store:
        store.probability_form = form
        store.add_completions("m", [completion], stage="generate")
    return folder / "run.sqlite"


def read(path: Path) -> TokenLogprobs:
    with Store(path, read_only=True) as store:
        ((_, completion),) = store.completions("m", REQUEST, logprobs=True)
    assert completion.logprobs is not None
    return completion.logprobs


def test_the_store_keeps_the_form_that_it_is_told(tmp_path: Path) -> None:
    record = worded(tokens=40, top=5)
    exact, compact = (stored(tmp_path / form, record, form) for form in ("exact", "compact"))
    assert read(exact).logprobs.tobytes() == record.logprobs.tobytes()
    off = np.abs(read(compact).logprobs - record.logprobs)
    assert (off <= compact_error(record.logprobs)).all() and off.max() > 0
    sizes = [
        sqlite3.connect(path).execute("SELECT length(logprobs) FROM logprobs").fetchone()[0]
        for path in (exact, compact)
    ]
    assert sizes[1] < 0.8 * sizes[0]


def test_rows_of_an_older_potstill_are_read_as_they_are(tmp_path: Path) -> None:
    record = worded(tokens=7, top=5)
    path = stored(tmp_path, record)
    assert record.lengths is not None
    with sqlite3.connect(path) as db:
        db.execute(
            "UPDATE logprobs SET logprobs = ?, token_bytes = ?, lengths = ?",
            (record.logprobs.tobytes(), record.token_bytes, record.lengths.tobytes()),
        )
    db.close()
    back = read(path)
    assert back.logprobs.tobytes() == record.logprobs.tobytes()
    assert same_names(record, back)


@pytest.mark.parametrize("form", ["exact", "compact"])
def test_damaged_bytes_are_an_error_and_never_other_numbers(form: ProbabilityForm) -> None:
    packed = pack(worded(tokens=9, top=12), form)
    for blob in (b"", b"\xff" + packed.logprobs[1:], packed.logprobs[:30]):
        with pytest.raises(ValueError, match=r"form|decompress|reshape"):
            unpack(PackedLogprobs(packed.tokens, packed.top, blob))
    with pytest.raises(ValueError, match="reshape"):
        unpack(packed._replace(tokens=8))


def test_an_older_potstill_refuses_a_store_that_it_cannot_read(tmp_path: Path) -> None:
    path = stored(tmp_path, worded(tokens=2, top=2))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("potstill.store.database.MIGRATIONS", MIGRATIONS[:-1])
        with pytest.raises(StoreError, match="Use the newer potstill"):
            Store(path, read_only=True)


def test_a_recipe_says_how_its_run_keeps_probabilities(tmp_path: Path) -> None:
    values: dict[str, object] = {
        "run": str(tmp_path / "run"),
        "task": {"name": "two_step_arithmetic", "train": 2, "dev": 1, "test": 1},
        "teacher": {"model": "bundled:teacher"},
        "student": "bundled:student",
    }
    forms = []
    for store in ({}, {"store": {"probabilities": "compact"}}):
        with Run(load_recipe({**values, **store})) as run:
            forms.append((run.store.probability_form, run.identity.recipe_hash))
    assert [form for form, _ in forms] == ["exact", "compact"]
    assert forms[0][1] == forms[1][1], "it is the same run, and nothing of it is stale"
