import gzip
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from potstill.errors import DataError, MissingExtraError
from potstill.grading import math_pool
from potstill.grading.answers import math
from potstill.tasks import grade

math_verify = pytest.importorskip("math_verify")
TOWER = "9^{9^{9^9}}"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("So \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("First \\boxed{3}, then \\boxed{4}. The answer is 4 metres.", "4"),
        ("\\boxed{\\sqrt{\\frac{1}{\\sqrt{2}}}} is it.", "\\sqrt{\\frac{1}{\\sqrt{2}}}"),
        ("\\boxed{\\left\\{ 1, 2 \\right\\}}", "\\{1,2\\}"),
        ("\\fbox{7}", "7"),
        ("\\boxed{5} or rather \\boxed{\\frac{1", "5"),
        ("The answer is $x = 5$.", "x=5"),
        ("The answer is $2$ and $3$.", "2,3"),
        ("The final answer is:\n\\[ \\dfrac12 \\]", "\\frac{1}{2}"),
        ("The answer is 5 because $x + 1 = 6$.", "5"),
        ("Answer: 11,\\! 111", "11,111"),
        ("It follows that $y = \\frac{\\pi}{4}$.", "y=\\frac{\\pi}{4}"),
        ("Thus $y = 5$, the length of side $D$.", "y=5"),
        ("With $x$ cats there are 12 in all", "12"),
        ("p - q", "p-q"),
        ("**Answer:** $18", "18"),
        ("I do not know.", None),
        ("\\boxed{", None),
        ("\\boxed{}", None),
        ("", None),
    ],
)
def test_expressions_are_read(text: str, answer: str | None) -> None:
    assert grade("math", text, "1").answer == answer


QUICK = [
    ("\\frac{1}{2}", "\\dfrac12", True),
    ("\\frac{1}{2}", "0.5", True),
    ("\\frac{1}{2}", "1/2", True),
    ("-\\frac{1}{2}", "\u2212.5", True),
    ("3\\frac{1}{2}", "7/2", True),
    ("2 1/2", "2.5", True),
    ("1,000", "1{,}000", True),
    ("1000", "1,\\!000", True),
    ("1000", "1.000", False),
    ("90^\\circ", "90", True),
    ("90^{\\circ}", "90\u00b0", True),
    ("45\\%", "45%", True),
    ("45\\%", "45", True),
    ("\\$18.00", "18", True),
    ("18\\text{ cm}^2", "18", True),
    ("18", "18 apples", True),
    ("150", "150 mL", True),
    ("8\\!:\\!34 \\text{ p.m.}", "8:34\\text{ PM}", True),
    ("8\\!:\\!34 \\text{ p.m.}", "8:34\\text{ a.m.}", False),
    ("5", "x = 5", True),
    ("\\text{(C)}", "C", True),
    ("\\text{Even}", "even", True),
    ("\\text{listen}", "silent", False),
    ("listen", "silent", False),
    ("\\text{even}", "5", False),
    ("18", "81", False),
    ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\frac{\\pi}{2})", True),
]
ALGEBRA = [
    ("10^{-3}", "0.001", True),
    ("2^{-2}", "\\frac{1}{4}", True),
    ("50\\%", "0.5", True),
    ("\\frac{1}{3}", "0.333333", True),
    ("\\frac{1}{3}", "0.333", False),
    ("\\sqrt{8}", "2\\sqrt{2}", True),
    ("y = 2x + 1", "y = 1 + 2x", True),
    ("(x+1)^2", "x^2 + 2x + 1", True),
    ("(1,2)", "(2,1)", False),
    ("[1,2)", "[1,2]", False),
    ("\\{1,2\\}", "\\{2,1\\}", True),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}", True),
    ("6 + 9i", "9i + 6", True),
    ("24", "4! = 24", True),
]


@pytest.mark.parametrize(("gold", "answer", "correct"), QUICK)
def test_most_answers_need_no_algebra(gold: str, answer: str, correct: bool) -> None:
    assert math.equal(math.normal(gold), math.normal(answer)) is correct
    assert grade("math", f"\\boxed{{{answer}}}", gold).correct is correct


@pytest.mark.parametrize(("gold", "answer", "correct"), ALGEBRA)
def test_the_rest_is_left_to_math_verify(gold: str, answer: str, correct: bool) -> None:
    quick = math.equal(math.normal(gold), math.normal(answer))
    assert quick is None or quick is correct
    assert grade("math", f"The answer is ${answer}$.", gold).correct is correct


def test_the_gold_answer_may_be_a_whole_solution() -> None:
    assert grade("math", "\\boxed{5}", "Since $2+3=5$, it is $\\boxed{5}$.").correct
    assert grade("math", "\\boxed{18}", "She makes 9 * 2 = 18.\n#### 18").correct
    with pytest.raises(DataError, match=r"answer 'It is .* gives none"):
        grade("math", "5", "It is $\\boxed{}$.")


@given(top=st.integers(-(10**9), 10**9), bottom=st.integers(1, 10**6))
def test_a_fraction_equals_itself_however_it_is_written(top: int, bottom: int) -> None:
    sign = "-" if top < 0 else ""
    fraction = f"{sign}\\frac{{{abs(top)}}}{{{bottom}}}"
    assert math.equal(fraction, f"{top}/{bottom}") is True
    assert math.equal(fraction, math.normal(f"${sign}\\dfrac{{{abs(top)}}}{{{bottom}}}$.")) is True
    assert math.equal(fraction, f"{top + bottom}/{bottom}") is False


@given(st.text(max_size=200))
def test_any_text_is_normalised_once_and_for_all(text: str) -> None:
    assert math.equal(math.normal(text), math.normal(text)) is True
    grade("math", text, "1")


def test_a_comparison_that_does_not_end_is_wrong_by_timeout() -> None:
    math_pool.close()  # so that the worker's time is that of this comparison and of its start
    start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    found = grade("math", f"\\boxed{{{TOWER}}}", "5")
    assert (found.correct, found.rule, found.answer) == (False, "timeout", TOWER)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - start < 10
    assert grade("math", "\\boxed{\\sqrt{4}}", "2").correct  # a new worker took its place
    compared = math_pool.same.cache_info().misses
    assert grade("math", f"\\boxed{{{TOWER}}}", "5").rule == "timeout"
    assert math_pool.same.cache_info().misses == compared  # the same pair is compared once


def test_threads_get_right_answers_while_one_hangs() -> None:
    def check(number: int) -> bool | None:
        if number == 3:
            return math_pool.same("7", "8^{9^{9^9}}")
        return math_pool.same(str(number), f"\\sqrt{{{number**2}}}")

    assert threading.current_thread() is threading.main_thread()
    with ThreadPoolExecutor(8) as threads:
        verdicts = list(threads.map(check, range(1, 21)))
    assert verdicts == [None if number == 3 else True for number in range(1, 21)]


@pytest.fixture
def fresh_pool() -> Iterator[None]:
    math_pool.close()
    math_pool.same.cache_clear()
    yield
    math_pool.close()
    math_pool.same.cache_clear()


def test_a_worker_that_was_killed_is_replaced(fresh_pool: None) -> None:
    assert math_pool.same("2", "\\sqrt{4}") is True
    worker = math_pool._pool._idle.get()
    math_pool._pool._idle.put(worker)
    assert worker is not None
    os.kill(worker._process.pid, signal.SIGKILL)
    worker._process.wait()
    assert math_pool.same("3", "\\sqrt{9}") is None
    assert math_pool.same("4", "\\sqrt{16}") is True


def test_a_worker_that_is_stopped_is_given_up(
    fresh_pool: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(math_pool, "DEADLINE", 0.2)
    assert math_pool.same("2", "\\sqrt{4}") is True
    worker = math_pool._pool._idle.get()
    math_pool._pool._idle.put(worker)
    assert worker is not None
    os.kill(worker._process.pid, signal.SIGSTOP)
    assert math_pool.same("3", "\\sqrt{9}") is None


def test_a_long_answer_reaches_no_worker() -> None:
    assert math_pool.same("1", "1+" * 600 + "1") is False


def test_workers_end_with_their_program() -> None:
    program = (
        "from potstill.grading import math_pool; math_pool.same('2', '1+1'); "
        "worker = math_pool._pool._idle.get(); math_pool._pool._idle.put(worker); "
        "print(worker._process.pid)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(math_pool.__file__).parents[2])},
    )
    assert done.stderr == ""
    deadline = time.monotonic() + 5
    while Path(f"/proc/{int(done.stdout)}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{int(done.stdout)}").exists()


def test_without_math_verify_the_first_answer_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    math_pool.require.cache_clear()
    monkeypatch.setattr(math_pool, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'potstill\[math\]'"):
        grade("math", "no answer at all", "5")


def test_a_worker_that_does_not_start_is_an_error(
    fresh_pool: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "worker.py"
    program.write_text("print('\"No module named antlr4\"')")
    monkeypatch.setattr(math_pool, "_PROGRAM", program)
    with pytest.raises(MissingExtraError, match=r"does not start: No module named antlr4"):
        math_pool.same("2", "1+1")


@pytest.mark.parametrize("piece", ["1", "{", "\\boxed{", "$a", "\\(", "\u202e5", "\x00", "\\", " "])
def test_a_long_text_is_read_at_once(piece: str) -> None:
    start = time.process_time()
    grade("math", "The answer is " + piece * (1_000_000 // len(piece)), "\\frac{1}{2}")
    assert time.process_time() - start < 3  # about 0.5 on an idle core


def _agreement(pairs: list[tuple[str, str]]) -> list[tuple[bool, bool]]:
    """Our verdict on each text and gold answer, and that of math-verify called directly."""
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    return [
        (
            grade("math", text, gold).correct,
            math_verify.verify(math_verify.parse(f"${gold}$"), math_verify.parse(text)),
        )
        for gold, text in pairs
    ]


def test_verdicts_agree_with_math_verify_on_final_answers(shared_data: Path) -> None:
    file = shared_data / "teacher_outputs/math500_final_answers/math500_qwen3_answers.json"
    rows = json.loads(file.read_text(encoding="utf-8"))
    verdicts = _agreement([(row["answer"], row["prediction"]) for row in rows[::3]])
    assert all(ours == theirs for ours, theirs in verdicts)


def test_a_gold_answer_equals_itself_however_it_is_stated(shared_data: Path) -> None:
    file = shared_data / "teacher_outputs/math500_final_answers/math500_qwen3_answers.json"
    for row in json.loads(file.read_text(encoding="utf-8")):
        gold = row["answer"]
        for text in (
            f"Therefore, the answer is ${gold}$.",
            f"Final answer:\n\\[ {gold} \\]",
            f"Answer: {gold}",
            f"It is \\boxed{{ {gold} }}.",
            f"It follows that ${gold}$.",
        ):
            assert grade("math", text, gold).correct, text


def test_verdicts_agree_with_math_verify_on_whole_solutions(shared_data: Path) -> None:
    file = shared_data / "teacher_outputs/math_train_8_samples/gpt-4_number_theory.jsonl.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][::12]
    pairs = [(row["answer"], text) for row in rows for text in row["generated_answer"][:3]]
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    for gold, text in pairs:
        theirs = math_verify.verify(math_verify.parse(gold), math_verify.parse(text))
        assert grade("math", text, gold).correct == theirs, (gold, text)
