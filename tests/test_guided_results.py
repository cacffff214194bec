"""Putting the guided answers of several seeds together."""

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from guided_run import predicted, scored

from potstill.experiment.experiment_page import experiment_figures, experiment_page
from potstill.experiment.guided_results import (
    GUIDED_HEADS,
    guided_figures,
    guided_results,
    guided_rows,
)
from potstill.experiment.seeded_runs import SeededRun
from potstill.records import GuidedPrediction, GuidedScore, Policy
from potstill.store import Store
from potstill.store.database import row_of
from potstill.store.schema import MIGRATIONS


def answers(
    policy: str, right: str, *, tokens: Sequence[int] = (), leaked: Sequence[int] = ()
) -> Iterator[GuidedPrediction]:
    """Answers to questions 0, 1, ..., where 1 is a right one and 0 a wrong one."""
    for number, mark in enumerate(right):
        yield predicted(
            policy,
            number,
            mark == "1",
            teacher_tokens=tokens[number] if tokens else 0,
            leaked=number in leaked,
        )


def kept(folder: Path, *given: GuidedPrediction, scores: Sequence[GuidedScore] = ()) -> Path:
    """A run with guided answers."""
    with Store(folder / "run.sqlite") as store:
        store.replace_guidance(scores, given, grader="2", settings_hash="")
    return folder


SCORES = (
    (scored("first", 0.75, total=4), scored("routing_random_0.5", 0.5, 50.0, total=4)),
    (
        scored("routing_random_0.5", 0.75, 30.0, total=12),
        scored("routing_random_0.5", 0.1, 9.0, total=9, split="dev"),
        scored("teacher", 1.0, 40.0, total=4),
    ),
)


@pytest.fixture
def runs(tmp_path: Path) -> dict[int, Path]:
    """Two seeds of four questions each, which are not the same ones under the same ids."""
    tens = [10] * 4
    return {
        0: kept(
            tmp_path / "0",
            *answers("never", "1000"),
            *answers("first", "1110", tokens=tens, leaked=[1]),
            *answers("learned", "1100", tokens=[0, 10, 0, 0], leaked=[1]),
            *(predicted("first", 0, True, split="dev", question_id=f"dev-{n}") for n in range(9)),
            scores=SCORES[0],
        ),
        1: kept(
            tmp_path / "1",
            *answers("never", "0100"),
            *answers("first", "1011", tokens=tens, leaked=[1]),
            *answers("learned", "0110", tokens=[0, 0, 10, 0]),
            scores=SCORES[1],
        ),
    }


# (gain of learned, gain of first), by question of either seed
GAINS = [(0, 0), (1, 1), (0, 1), (0, 0), (0, 1), (0, -1), (1, 1), (0, 1)]


def test_seeds_are_pooled_and_pairs_stay_within_a_seed(runs: Mapping[int, Path]) -> None:
    policies, _ = guided_results(runs)
    never, first, learned = policies
    results = [policy.results for policy in policies]
    assert [result.name for result in results] == ["never", "first", "learned"]
    assert [(result.right, result.total) for result in results] == [(2, 8), (6, 8), (4, 8)]
    assert [each.teacher_tokens for each in policies] == [0.0, 10.0, 2.5]
    assert never.against is None
    assert first.against and learned.against
    over_runs, against = first.against
    assert over_runs == (2, 0.5, None, None)  # the same gain in both runs tells no variance
    assert (against.only_first, against.only_second, against.total) == (5, 1, 8)
    assert against.difference == 0.5
    assert against.p_value == pytest.approx(14 / 64)  # 2 (C(6,0) + C(6,1)) / 2^6
    pairs = learned.against.over_questions
    assert (pairs.only_first, pairs.only_second) == (2, 0)


def test_questions_whose_guidance_leaks_are_counted_apart(runs: Mapping[int, Path]) -> None:
    never, first, learned = guided_results(runs)[0]
    # first leaks to a right answer of one seed and to a wrong one of the other
    assert (never.unleaked, first.unleaked, learned.unleaked) == ((2, 8), (5, 6), (3, 7))


def quantile(shares: Mapping[float, float], level: float) -> float:
    """The least value up to which there is so much of the probability."""
    total, reached = sum(shares.values()), 0.0
    for value in sorted(shares):
        reached += shares[value] / total
        if reached >= level:
            return value
    raise AssertionError("probabilities sum to 1")


def test_the_kept_gain_and_its_interval(runs: Mapping[int, Path]) -> None:
    never, first, learned = guided_results(runs)[0]
    assert never.kept is None and first.kept is None and learned.kept
    assert (learned.kept.gain, learned.kept.tokens) == (2 / 4, 20 / 80)
    # all draws of eight questions by how often each kind of gain is in them
    kinds = {kind: GAINS.count(kind) / 8 for kind in GAINS}
    shares: dict[float, float] = {}
    for counts in product(range(9), repeat=len(kinds)):
        if sum(counts) != 8:
            continue
        ours, most = (
            sum(count * kind[side] for count, kind in zip(counts, kinds, strict=True))
            for side in (0, 1)
        )
        if most > 0:
            chance = math.factorial(8) * math.prod(
                p**count / math.factorial(count)
                for count, p in zip(counts, kinds.values(), strict=True)
            )
            shares[ours / most] = shares.get(ours / most, 0.0) + chance
    assert learned.kept.interval == (quantile(shares, 0.025), quantile(shares, 0.975))


@pytest.mark.parametrize(("learned", "share"), [("1110", 1.0), ("1000", 0.0), ("0000", -1 / 2)])
def test_the_ends_of_the_kept_gain(tmp_path: Path, learned: str, share: float) -> None:
    folder = kept(
        tmp_path,
        *answers("never", "1000"),
        *answers("first", "1110", tokens=[5] * 4),
        *answers("when_unsure_entropy", learned, tokens=[5, 0, 0, 0]),
    )
    found = guided_results({0: folder})[0][2].kept
    assert found and (found.gain, found.tokens) == (share, 1 / 4)
    if share >= 0:  # it is the same in every draw
        assert found.interval == (share, share)


@pytest.mark.parametrize(
    ("first", "tokens"),
    [("1000", 5), ("0000", 5), ("0100", 5), ("1110", 0)],
    ids=["no gain", "a loss", "a gain and a loss", "tokens are not known"],
)
def test_where_nothing_is_gained_there_is_no_share(tmp_path: Path, first: str, tokens: int) -> None:
    folder = kept(
        tmp_path,
        *answers("never", "1000"),
        *answers("first", first, tokens=[tokens] * 4),
        *answers("learned", "1100"),
    )
    policies, expected = guided_results({0: folder})
    assert policies[2].kept is None
    assert guided_rows(policies, expected)[2][-1] == ""
    figures = json.dumps(guided_figures(policies, expected), allow_nan=False)
    assert json.loads(figures)["policies"]["learned"]["kept"] is None


def test_baselines_without_answers_are_weighted_by_their_questions(
    runs: Mapping[int, Path],
) -> None:
    expected = guided_results(runs)[1]
    # (4 * 0.5 + 12 * 0.75) / 16 and (4 * 50 + 12 * 30) / 16; first has its answers
    assert expected == [("routing_random_0.5", 11 / 16, 35.0), ("teacher", 1.0, 40.0)]


def test_the_lines_of_the_table(runs: Mapping[int, Path]) -> None:
    policies, expected = guided_results(runs)
    never, first, learned, routing, teacher = guided_rows(policies, expected)
    assert never == ["never", "2/8", "25.0", "-", "", "", "", "0.0", "", "25.0 of 8", ""]
    assert first[:7] == ["first", "6/8", "75.0", "-", "+50.0", "-", "-"]
    assert first[7:] == ["10.0", "", "83.3 of 6", ""]
    assert learned[-1].startswith("50% (0% to ") and learned[-1].endswith("%) at 25%")
    assert routing == ["routing_random_0.5", "", "68.8", "", "", "", "", "35.0", "", "", ""]
    assert teacher == ["teacher", "", "100.0", "", "", "", "", "40.0", "", "", ""]
    assert {len(GUIDED_HEADS)} == {len(row) for row in (never, first, routing)}


def test_policies_are_held_against_routing_at_their_own_price(tmp_path: Path) -> None:
    folders = {}
    for seed, first in enumerate(("1110", "1100")):
        folders[seed] = tmp_path / str(seed)
        folders[seed].mkdir()
        kept(
            folders[seed],
            *answers("never", "1000"),
            *answers("teacher", "1110", tokens=[20] * 4),
            *answers("first", first, tokens=[10, 0, 10, 20]),
        )
    policies, expected = guided_results(folders)
    never, teacher, first_step = policies
    assert (never.routed, teacher.routed) == (None, None)
    # Half of the teacher's tokens: the line has (1/4 + 3/4) / 2; the two are 3/4 and 2/4.
    assert first_step.routed is not None
    assert first_step.routed.difference == pytest.approx(0.125)
    row = guided_rows(policies, expected)[2]
    assert row[8].startswith("+12.5 (") and row[7] == "10.0"
    figures = json.loads(json.dumps(guided_figures(policies, expected), allow_nan=False))
    assert figures["policies"]["first"]["routed"]["difference"] == pytest.approx(0.125)
    alone, _ = guided_results({0: folders[0]})
    assert alone[2].routed is None  # a single run has no interval over runs


def test_where_all_leaks_there_is_no_accuracy_without(tmp_path: Path) -> None:
    folder = kept(tmp_path, *answers("never", "10"), *answers("first", "11", leaked=[0, 1]))
    policies, expected = guided_results({0: folder})
    assert guided_rows(policies, expected)[1][9] == ""


def test_runs_without_guidance_have_no_lines(tmp_path: Path) -> None:
    found = guided_results({0: kept(tmp_path)})
    assert found == ([], [])
    assert guided_rows(*found) == []
    assert guided_figures(*found) == {"policies": {}, "expected": {}}


def test_the_figures_are_plain_values(runs: Mapping[int, Path]) -> None:
    figures = guided_figures(*guided_results(runs))
    figures = json.loads(json.dumps(figures, allow_nan=False))
    learned = figures["policies"]["learned"]
    assert (learned["right"], learned["total"], learned["unleaked"]) == (4, 8, [3, 7])
    assert learned["against"]["over_runs"]["difference"] == 0.25
    assert learned["kept"]["gain"] == 0.5 and len(learned["kept"]["interval"]) == 2
    assert figures["expected"]["teacher"]["accuracy"] == 1.0


def test_guidance_has_its_part_of_the_page(runs: Mapping[int, Path], tmp_path: Path) -> None:
    seeded = [
        SeededRun(tmp_path / "short.yaml", variant, seed, (), runs[seed])
        for variant, seed in (("", 0), ("other", 1))
    ]
    page = experiment_page(tmp_path / "short.yaml", seeded, [])
    plain, other = page.split("### guidance, other")
    assert "### guidance\n" in plain and "| first | 3/4 |" in plain
    assert "| first | 3/4 |" in other and "| teacher |  | 100.0 |" in other
    guidance = experiment_figures(seeded, [])["guidance"]
    assert isinstance(guidance, dict) and list(guidance) == ["", "other"]


OLD_SCORES = {
    "never": ("alone", Policy(kind="alone", name="never")),
    "teacher": ("alone", Policy(kind="alone", name="teacher")),
    "first": ("policy", Policy(kind="policy", name="first")),
    "at_2": ("policy", Policy(kind="policy", name="at", number=2)),
    "first_n_12": ("policy", Policy(kind="policy", name="first_n", number=12)),
    "when_unsure_min_logprob": (
        "policy",
        Policy(kind="policy", name="when_unsure", signal="min_logprob"),
    ),
    "control_own_first": ("control", Policy(kind="control", name="own_first")),
    "routing_random_0.5": (
        "routing",
        Policy(kind="routing", name="routing", signal="random", number=0.5),
    ),
    "routing_prompt_tokens_0.25": (
        "routing",
        Policy(kind="routing", name="routing", signal="prompt_tokens", number=0.25),
    ),
    "pass_at_20": ("sampled", Policy(kind="sampled", name="pass_at", number=20)),
    "zero_shot_cot": ("self", Policy(kind="self", name="zero_shot_cot")),
}


def test_an_older_store_keeps_its_scores_and_takes_those_of_other_promises(tmp_path: Path) -> None:
    """Stores were written in which a policy's promised accuracy did not tell it apart."""
    policy = Policy(kind="policy", name="route", signal="entropy", number=0.5)
    score, answer = scored(policy, 0.5), replace(predicted("first", 1, True), policy=policy)
    with closing(sqlite3.connect(tmp_path / "run.sqlite", isolation_level=None)) as db:
        for step in MIGRATIONS[:23]:
            db.executescript(step) if isinstance(step, str) else step(db, tmp_path)
        for table, record in (("guided_scores", score), ("guided_predictions", answer)):
            row = row_of(record) | {"settings_hash": "then"}
            row |= {"grader": "1"} if record is answer else {}
            del row["accuracy_at_least"]
            values = ", ".join(f":{name}" for name in row)
            db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})", row)
        db.execute("PRAGMA user_version = 23")
    with Store(tmp_path / "run.sqlite") as store:
        assert store.guided_scores() == [score]
        assert list(store.guided_predictions()) == [answer]
        assert score.policy.label == "route_entropy_0.5"
        policies = [replace(policy, accuracy_at_least=least) for least in (None, 0.6, 0.7)]
        scores = [replace(score, policy=each) for each in policies]
        answers = [replace(answer, policy=each) for each in policies]
        store.replace_guidance(scores, answers, grader="1", settings_hash="now")
        assert store.guided_scores() == scores
        assert list(store.guided_predictions()) == answers
        graded = [replace(each, correct=each.policy == policies[1]) for each in answers]
        store.regrade_guidance(graded, grader="2")
        assert list(store.guided_predictions()) == graded
        with pytest.raises(sqlite3.IntegrityError, match="guided_scores_once"):
            store.replace_guidance([*scores, scores[1]], [], grader="1", settings_hash="now")


def test_names_of_policies_in_older_runs_become_columns(tmp_path: Path) -> None:
    """Runs were written whose policies were names such as first_n_2, to be read back."""
    with closing(sqlite3.connect(tmp_path / "run.sqlite")) as db:
        for step in MIGRATIONS[:5]:
            assert isinstance(step, str)
            db.executescript(step)
        for name, (kind, _) in OLD_SCORES.items():
            db.execute(
                "INSERT INTO guided_scores VALUES"
                " (?, ?, 't', 'test', 0.5, 0, 1, 2, 0, 0, 0, 0, 0, 0.5, 0, 0, 0, 1, '')",
                (name, kind),
            )
            if kind not in ("routing", "sampled"):  # they have scores alone
                db.execute(
                    "INSERT INTO guided_predictions VALUES"
                    " (?, 't', 'test', 'q', '', '', NULL, 0, 0, 0, 0, 0, NULL, '1', '')",
                    (name,),
                )
        db.execute("PRAGMA user_version = 5")
        db.commit()
    with Store(tmp_path / "run.sqlite") as store:
        scores = [score.policy for score in store.guided_scores()]
        predictions = [prediction.policy for prediction in store.guided_predictions()]
    assert scores == [policy for _, policy in OLD_SCORES.values()]
    assert [policy.label for policy in scores] == [*OLD_SCORES]
    assert predictions == [policy for policy in scores if policy.kind not in ("routing", "sampled")]
