import multiprocessing
import sqlite3
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from potstill.errors import StoreError
from potstill.keys import request_key, settings_hash
from potstill.prompts.styles import style_named
from potstill.records import (
    Checkpoint,
    Completion,
    FinishReason,
    Message,
    Rationale,
    Request,
    TokenLogprobs,
    TrainingStep,
)
from potstill.store import Store
from potstill.store.packed_logprobs import collisions, missing_mass

ASKED = Request(prompt="Q: 2 + 2?", samples=(0, 1, 2), temperature=0.7, max_tokens=100)


def answer(
    request: Request, sample: int, text: str = "4", finish_reason: FinishReason = "stop"
) -> Completion:
    return Completion(
        request=request,
        sample=sample,
        text=text,
        finish_reason=finish_reason,
        completion_tokens=3,
        cost=0.5,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run.sqlite")


def test_only_what_is_missing_is_asked_for(store: Store) -> None:
    store.add_completions("m", [answer(ASKED, 0), answer(ASKED, 2)], stage="generate")
    assert list(store.missing("m", [ASKED])) == [replace(ASKED, samples=(1,))]
    assert list(store.missing("other model", [ASKED])) == [ASKED]


def test_a_request_keeps_every_question_that_it_was_asked_for(store: Store) -> None:
    named = replace(ASKED, question_id="q1", task="sums")
    other = replace(ASKED, question_id="q2", task="others")
    for sample, request in enumerate([ASKED, named, other]):
        store.add_completions("m", [answer(request, sample)], stage="generate")
    pooled = list(store.pool(["generate"]))
    assert len(pooled) == 3
    assert {stored.questions for stored in pooled} == {(("others", "q2"), ("sums", "q1"))}
    assert request_key("m", named) == request_key("m", ASKED)
    assert list(store.missing("m", [named])) == []


def test_stored_requests_are_named_when_they_are_met_again(store: Store) -> None:
    store.add_completions("m", [answer(ASKED, 0)], stage="generate")
    assert [stored.questions for stored in store.pool(["generate"])] == [()]
    named = replace(ASKED, question_id="q1", task="sums")
    store.name_questions("m", [ASKED, replace(named, prompt="never asked"), named])
    assert [stored.questions for stored in store.pool(["generate"])] == [(("sums", "q1"),)]


def test_naming_what_is_named_writes_nothing(store: Store) -> None:
    named = replace(ASKED, question_id="q1", task="sums")
    log = store.path.with_name(f"{store.path.name}-wal")
    store.name_questions("m", [named])
    before = log.stat()
    store.name_questions("m", [named, named])
    after = log.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_file_may_give_one_sample_once_for_each_of_its_questions(store: Store) -> None:
    twins = [replace(ASKED, question_id=id_, task="sums") for id_ in ("q1", "q2")]
    failed = answer(ASKED, 1, "", "error")
    rows = [*(answer(request, 0) for request in twins), failed, answer(ASKED, 1)]
    assert store.add_absent("m", rows, stage="import") == 2
    assert store.add_absent("m", rows, stage="import") == 0
    pooled = list(store.pool(["import"]))
    assert [(stored.id, stored.completion.text) for stored in pooled] == [(1, "4"), (2, "4")]
    assert {stored.questions for stored in pooled} == {(("sums", "q1"), ("sums", "q2"))}


def test_more_samples_buy_only_the_new_ones(store: Store) -> None:
    store.add_completions("m", [answer(ASKED, n) for n in range(3)], stage="generate")
    (missing,) = store.missing("m", [replace(ASKED, samples=tuple(range(5)))])
    assert missing.samples == (3, 4)


def test_a_larger_limit_buys_only_the_truncated_ones(store: Store) -> None:
    cut = answer(ASKED, 1, "4 is", "length")
    store.add_completions("m", [answer(ASKED, 0), cut, answer(ASKED, 2)], stage="generate")
    longer = replace(ASKED, max_tokens=200)
    (missing,) = store.missing("m", [longer])
    assert missing.samples == (1,)
    store.add_completions("m", [answer(longer, 1, "4 is right")], stage="generate")
    assert [c.completion.text for c in store.completions("m", longer)] == ["4", "4 is right", "4"]
    assert not list(store.missing("m", [ASKED]))


def test_a_failed_sample_is_kept_counted_and_asked_for_again(store: Store) -> None:
    failed = replace(answer(ASKED, 0, "", "error"), error="server said 500")
    store.add_completions("m", [failed, answer(ASKED, 1), answer(ASKED, 2)], stage="generate")
    assert store.failures() == {"server said 500": 1}
    assert [request.samples for request in store.missing("m", [ASKED])] == [(0,)]
    assert len(store.completions("m", ASKED)) == 2
    store.add_completions("m", [answer(ASKED, 0)], stage="generate")
    assert store.failures() == {}


def test_the_key_holds_what_determines_the_answer_and_nothing_else() -> None:
    same = [
        replace(ASKED, samples=(7,)),
        replace(ASKED, max_tokens=5),
        replace(ASKED, question="the bare question"),
    ]
    other = [
        replace(ASKED, prompt="Q: 2 + 3?"),
        replace(ASKED, prompt=(Message(role="user", content="Q: 2 + 2?"),)),
        replace(ASKED, temperature=0.8),
        replace(ASKED, seed=1),
        replace(ASKED, stop=("\n",)),
        replace(ASKED, top_logprobs=5),
        replace(ASKED, answer_prefix="First,"),
        replace(ASKED, top_p=0.9),
    ]
    key = request_key("m", ASKED)
    assert {request_key("m", request) for request in same} == {key}
    assert len({request_key("m", request) for request in other} | {key}) == len(other) + 1
    greedy = replace(ASKED, temperature=0.0)
    assert request_key("m", greedy) == request_key("m", replace(greedy, seed=9))


def tokens(names: list[list[bytes]], probabilities: list[list[float]]) -> TokenLogprobs:
    return TokenLogprobs(
        logprobs=np.log(np.array(probabilities, np.float32)),
        token_bytes=b"".join(name for row in names for name in row),
        lengths=np.array([[len(name) for name in row] for row in names], np.uint16),
    )


def test_token_probabilities_come_back_as_they_went_in(store: Store) -> None:
    request = replace(ASKED, top_logprobs=2, samples=(0, 1))
    by_bytes = tokens([[b"a", b"a", b"\xf0\x9f"], [b" b", b"c", b"c"]], [[0.5, 0.5, 0.2]] * 2)
    by_id = TokenLogprobs(
        logprobs=np.array([[-0.5, -0.5, -np.inf]], np.float32),
        ids=np.array([[70_000, 70_000, -1]], np.int32),
    )
    both = [
        replace(answer(request, 0), logprobs=by_bytes),
        replace(answer(request, 1), logprobs=by_id),
    ]
    store.add_completions("m", both, stage="generate")
    first, second = (
        stored.completion.logprobs for stored in store.completions("m", request, logprobs=True)
    )
    assert first is not None and second is not None
    assert first.token_bytes == by_bytes.token_bytes
    np.testing.assert_array_equal(first.lengths, by_bytes.lengths)
    np.testing.assert_array_equal(first.logprobs, by_bytes.logprobs)
    np.testing.assert_array_equal(second.ids, by_id.ids)
    np.testing.assert_array_equal(second.logprobs, by_id.logprobs)


def test_collisions_and_missing_mass_by_hand() -> None:
    record = tokens([[b"a", b"a", b"b"], [b"x", b"c", b"c"]], [[0.5, 0.5, 0.2], [0.1, 0.6, 0.2]])
    assert collisions(record) == 1  # the two alternatives named c
    assert missing_mass(record) == pytest.approx((0.3 + 0.2) / 2, abs=1e-6)


def test_long_names_collide_only_where_all_of_them_is_the_same() -> None:
    one, other = b"understandably", b"understandable"
    record = tokens([[one, one, other, one[:7], one[:8], other]], [[0.1] * 6])
    assert collisions(record) == 1


@pytest.mark.parametrize("seed", range(5))
def test_collisions_agree_with_a_plain_count(seed: int) -> None:
    generator = np.random.default_rng(seed)
    names = [
        [generator.integers(0, 2, size=generator.integers(0, 4)).astype(np.uint8).tobytes()
         for _ in range(6)]
        for _ in range(20)
    ]  # fmt: skip
    named = [[name for name in row[1:] if name] for row in names]
    expected = sum(len(row) - len(set(row)) for row in named)
    assert collisions(tokens(names, [[0.1] * 6] * 20)) == expected


def test_a_second_writer_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with Store(path) as writer:
        writer.add_completions("m", [answer(ASKED, 0)], stage="generate")
        with pytest.raises(StoreError, match=r"is being written by process \d+"):
            Store(path)
        with Store(path, read_only=True) as reader:
            assert len(reader.completions("m", ASKED)) == 1
    Store(path).close()


def _hold(path: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with Store(path):
        ready.set()
        multiprocessing.Event().wait(60)


def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "run.sqlite", ready))
    holder.start()
    assert ready.wait(60)
    with pytest.raises(StoreError):
        Store(tmp_path / "run.sqlite")
    holder.kill()
    holder.join()
    Store(tmp_path / "run.sqlite").close()


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="of schema 99; this potstill knows up to"):
        Store(path)


def test_a_file_that_is_no_store_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 40)
    with pytest.raises(StoreError, match="is not a potstill store"):
        Store(path)


def test_a_full_disk_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        store.add_completions("m", [answer(ASKED, 0)], stage="generate")
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        big = [answer(ASKED, 1, "x" * 100_000), answer(ASKED, 2)]
        with pytest.raises(StoreError, match=r"disk is full.*stored before is safe"):
            store.add_completions("m", big, stage="generate")
        assert [stored.completion.sample for stored in store.completions("m", ASKED)] == [0]


def test_stages_show_time_tokens_and_cost(store: Store) -> None:
    store.add_stage_time("generate", 2.0)
    store.add_stage_time("train", 5.0)
    store.add_stage_time("generate", 1.5)
    store.add_completions("m", [answer(ASKED, 0), answer(ASKED, 1)], stage="generate")
    steps = [
        TrainingStep(student=name, step=step, loss=1.0, tokens=100 * step, seconds=1.0)
        for name in ("a", "b")
        for step in (1, 2)
    ]
    store.replace_training(steps, [], settings_hash="h")
    generate, train = store.stages()
    assert (generate.seconds, generate.tokens, generate.cost) == (3.5, 6, 1.0)
    assert (train.seconds, train.tokens) == (5.0, 400)


def test_replacing_is_all_or_nothing(store: Store) -> None:
    store.add_completions("m", [answer(ASKED, 0)], stage="generate")
    kept = Rationale(
        question_id="q", completion_id=1, sample=0, text="2 + 2", answer="4", verdict="kept"
    )
    store.replace_rationales([kept], grader="1", settings_hash="h")
    orphan = replace(kept, completion_id=999)
    with pytest.raises(sqlite3.IntegrityError):
        store.replace_rationales([kept, orphan], grader="1", settings_hash="h")
    assert store.rationales() == [kept]


def test_checkpoints_keep_their_order_and_types(store: Store) -> None:
    checkpoints = [
        Checkpoint(student=student, step=step, folder=f"{student}/{step}",
                   data_format="fine_tune_cot", encoder_decoder=student == "z",
                   examples=10, too_long=0)
        for student in ("z", "a") for step in (10, 20)
    ]  # fmt: skip
    store.replace_training([], checkpoints, settings_hash="h")
    assert store.checkpoints() == checkpoints


def test_settings_hash_ignores_order_and_tells_values_apart() -> None:
    assert settings_hash({"a": 1, "b": 2}) == settings_hash({"b": 2, "a": 1})
    assert settings_hash({"a": 1}) != settings_hash({"a": 2})


def test_a_hash_of_settings_is_the_same_in_every_process() -> None:
    """A prompt style holds a function, whose text in Python has its place in memory."""
    style = asdict(style_named("instruct_cot"))
    said = "from potstill.keys import settings_hash; from dataclasses import asdict; "
    said += "from potstill.prompts.styles import style_named; "
    said += "print(settings_hash(asdict(style_named('instruct_cot'))))"
    other = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == settings_hash(style)
