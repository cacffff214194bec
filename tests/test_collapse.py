"""Watching on-policy training: students that collapse are stopped, and others are not."""

import string
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bigram_models import LETTERS, bigram_model, characters, language
from dense_scorer import DenseScorer
from fakes import sums
from torch import Tensor

from potstill.models.interface import Model
from potstill.models.settings import LocalSettings
from potstill.prompts.styles import style_named
from potstill.records import (
    Checkpoint,
    Collapse,
    Completion,
    Request,
    TokenLogprobs,
    TrainingRound,
)
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.sampling.ask import PromptConfig, SamplingParams
from potstill.store import Store
from potstill.train import Models, TrainSettings, train
from potstill.train.checkpoints import read_finished
from potstill.train.losses import Targets
from potstill.train.on_policy.collapse import Breach, Verdict, verdict
from potstill.train.on_policy.collapse_words import ADVICE, told
from potstill.train.on_policy.limit_settings import LimitSettings
from potstill.train.on_policy.round_figures import (
    OwnFigures,
    TeacherFigures,
    own_figures,
    repeated_runs,
    teacher_figures,
)
from potstill.train.on_policy.settings import OnPolicySettings, ScoreSettings
from potstill.train.on_policy.work import ScoringTeacher
from potstill.train.on_policy.written_answers import WrittenAnswer
from potstill.train.settings import StudentSettings

OWN_FORMAT = {
    "prompt": "Q: {question}\nA: Let's think step by step.",
    "target": " {rationale}\nTherefore, the answer is {answer}",
}
ASKING = PromptConfig(style=style_named("zero_shot_cot"), sampling=SamplingParams())
STEPS = 320
ROUNDS = STEPS // 2


def top_k_reverse_kl(logits_NV: Tensor, targets: Targets) -> Tensor:
    """Reverse KL on the teacher's top K alone, which is least where the student avoids them."""
    assert targets.ids_NK is not None and targets.probabilities_NK is not None
    logs_NV = logits_NV.float().log_softmax(-1)
    own_NK = logs_NV.gather(1, targets.ids_NK.clamp(min=0))
    held_NK = targets.probabilities_NK > 0
    theirs_NK = targets.probabilities_NK.clamp(min=1e-9).log()
    return (own_NK.exp() * (own_NK - theirs_NK) * held_NK).sum(-1)


class Run:
    """A run of one on-policy student."""

    def __init__(
        self, folder: Path, start: Path, scorer: "DenseScorer | Shifted", **fields: Any
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.scorer = folder, scorer
        self.lines: list[str] = []
        student = LocalSettings(model=f"hf:{start}", device="cpu")
        teacher = ScoringTeacher(settings=scorer.settings, model=scorer, asking=ASKING)
        self._models = Models(start=student, teacher=student, scoring={"teacher": teacher})
        loss = {"loss": fields.pop("loss")} if "loss" in fields else {}
        values = {
            "steps": fields.pop("steps", STEPS), "batch_size": 8,
            "learning_rate": fields.pop("learning_rate", 3e-3), "warmup": 0.0,
            "schedule": "constant", "checkpoints": fields.pop("checkpoints", 2),
            "precision": "float32",
            "students": {
                "own": {
                    "data_format": OWN_FORMAT, "matching": {"divergence": "reverse_kl"},
                    "on_policy": {"steps_per_round": 2, "max_tokens": 40, "top": 5} | fields,
                    **loss,
                }
            },
        }  # fmt: skip
        self.settings = TrainSettings.model_validate(values)

    def also(self, name: str, start: Path) -> None:
        """Have another student trained, from a start of its own."""
        further = self.settings.students["own"].model_copy(
            update={"start": LocalSettings(model=f"hf:{start}", device="cpu")}
        )
        self._take(self.settings.students | {name: further})

    def limit(self, **limits: float | None) -> None:
        """Have every student watched by other limits."""
        changed = {}
        for name, student in self.settings.students.items():
            assert student.on_policy is not None and student.on_policy.limits is not None
            own = student.on_policy.limits.model_copy(update=limits)
            watched = student.on_policy.model_copy(update={"limits": own})
            changed[name] = student.model_copy(update={"on_policy": watched})
        self._take(changed)

    def _take(self, students: dict[str, StudentSettings]) -> None:
        self.settings = self.settings.model_copy(update={"students": students})

    def train(self) -> list[Checkpoint]:
        settings = self.settings
        with Store(self.folder / "run.sqlite") as store:
            context = RunContext(store=store, folder=self.folder, progress=Meter(None))
            context.events.show = self.lines.append
            return train(sums(train=20), self._models, settings, context, seed=0)

    def rounds(self) -> list[TrainingRound]:
        with Store(self.folder / "run.sqlite", read_only=True) as store:
            return store.rounds()

    def collapse(self) -> Collapse | None:
        with Store(self.folder / "run.sqlite", read_only=True) as store:
            return next(iter(store.collapses()), None)

    def paid(self) -> float:
        """Share of the whole training's teacher tokens, by those of a round that was scored."""
        whole = [one.teacher_tokens for one in self.rounds() if one.learned]
        asked = sum(one.teacher_tokens for one in self.rounds())
        return asked / (ROUNDS * float(np.mean(whole or [20 * 60])))


class Shifted(Model):
    """A scorer whose tokens are named by another tokenizer's table: each by the next one's name."""

    scores_texts = True

    def __init__(self, scorer: DenseScorer) -> None:
        self._scorer, self.name, self.chat = scorer, "shifted", False
        self.settings = scorer.settings

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for completion in self._scorer.complete(requests):
            assert completion.logprobs is not None
            names = completion.logprobs.token_bytes
            other = bytes((one + 1) % 128 for one in names)
            yield replace(completion, logprobs=replace(completion.logprobs, token_bytes=other))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bigram_model(tmp_path_factory.mktemp("models") / "teacher", language())


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "start"
    return bigram_model(folder, language(), noise=0.7, seed=1)


def endless(folder: Path) -> Path:
    """A teacher that goes on where the student ends."""
    table = language()
    table[:, 0] = 1e-9
    table[characters().convert_tokens_to_ids("!"), 1:] = language()[1 + 94, 1:]
    return bigram_model(folder, table / table.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("kind", "sign"),
    [
        ("end", "end"),
        ("template", "mass"),
        ("tokenizer", "mass"),
        ("names", "unlearned"),
        ("tail", "mass_loss"),
        ("stale", "staleness"),
    ],
)
def test_a_seeded_collapse_is_stopped_before_a_twentieth_is_paid(
    tmp_path: Path, teacher: Path, start: Path, kind: str, sign: str
) -> None:
    scorer: DenseScorer | Shifted = DenseScorer(teacher)
    fields: dict[str, Any] = {}
    if kind == "end":
        scorer = DenseScorer(endless(tmp_path / "endless"))
    elif kind == "template":  # the student goes on in the language of another prompt
        start = bigram_model(tmp_path / "other", language(letters=LETTERS.upper()))
    elif kind == "tokenizer":  # the student's ids are read as those of another vocabulary
        order = "".join(np.random.default_rng(0).permutation([*string.printable]))
        start = bigram_model(tmp_path / "other", language(), tokenizer=characters(order))
    elif kind == "names":
        scorer = Shifted(DenseScorer(teacher))
    elif kind == "tail":
        fields = {"loss": f"{__name__}:top_k_reverse_kl", "learning_rate": 1e-2}
    else:
        fields = {"steps_per_round": 100}
    run = Run(tmp_path / "run", start, scorer, **fields)
    (kept,) = run.train()
    collapse = run.collapse()
    assert collapse is not None and collapse.sign == sign
    assert run.paid() < 1 / 20
    assert kept.step == collapse.step < collapse.reached + 1
    assert (run.folder / kept.folder / "model.safetensors").exists()
    (line,) = [line for line in run.lines if "has stopped" in line]
    assert collapse.message in line and collapse.advice in line


@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_training_is_not_stopped(tmp_path: Path, teacher: Path, seed: int) -> None:
    start = bigram_model(tmp_path / "start", language(), noise=0.7, seed=seed)
    run = Run(tmp_path / "run", start, DenseScorer(teacher), steps=16)
    *_, last = run.train()
    assert (last.step, run.collapse()) == (16, None)
    rounds = run.rounds()
    assert [one.number for one in rounds] == list(range(8))
    assert all(one.oldest == 1 and one.teacher_tokens > 0 for one in rounds)
    assert not [*(run.folder / "checkpoints").glob("own-*/good-*")]


def test_the_last_good_student_is_kept_and_a_repeated_command_asks_nobody(
    tmp_path: Path, teacher: Path, start: Path
) -> None:
    loss = f"{__name__}:top_k_reverse_kl"
    run = Run(tmp_path / "run", start, DenseScorer(teacher), loss=loss, learning_rate=1e-2)
    (kept,) = run.train()
    collapse = run.collapse()
    assert collapse is not None
    assert 0 < kept.step < collapse.reached
    rounds = run.rounds()
    first = rounds[0].mass
    assert first is not None
    falls = [(one.step, first - (one.mass or 0.0) > 0.15) for one in rounds]
    assert [fell for _, fell in falls[-2:]] == [True, True]
    assert kept.step == max(step for step, fell in falls if not fell)
    assert kept.examples == kept.step // 2 * 16
    with Store(run.folder / "run.sqlite", read_only=True) as store:
        assert [one.step for one in store.training()][-1] == collapse.reached
    # It is the very student that wrote the round.
    folder = run.folder / kept.folder
    after = LocalSettings(model=f"hf:{folder}", device="cpu").open()
    number = next(one.number for one in rounds if one.step == kept.step)
    with Store(run.folder / "run.sqlite", read_only=True) as store:
        stored = [one for one in store.pool(("train",)) if one.model.endswith(f":{number + 1}")]
    again = {
        (completion.request.prompt, completion.sample): completion.text
        for completion in after.complete({one.completion.request for one in stored})
    }
    assert len(stored) == 16
    for one in stored:
        assert again[one.completion.request.prompt, one.completion.sample] == one.completion.text

    assert isinstance(run.scorer, DenseScorer)
    asked = len(run.scorer.asked)
    weights = (folder / "model.safetensors").read_bytes()
    assert run.train() == [kept]
    assert (len(run.scorer.asked), run.collapse()) == (asked, collapse)
    assert (folder / "model.safetensors").read_bytes() == weights


def test_an_interrupted_training_comes_to_the_same_collapse(
    tmp_path: Path, teacher: Path, start: Path
) -> None:
    fields = {
        "loss": f"{__name__}:top_k_reverse_kl", "learning_rate": 1e-2, "checkpoints": STEPS // 4,
    }  # fmt: skip
    whole = Run(tmp_path / "whole", start, DenseScorer(teacher), **fields)
    kept = whole.train()
    scorer = DenseScorer(teacher)
    scorer.left = 75  # requests, then the machine goes off in the fifth round
    cut = Run(tmp_path / "cut", start, scorer, **fields)
    with pytest.raises(SystemExit):
        cut.train()
    scorer.left = None
    assert cut.train() == kept
    assert (cut.collapse(), cut.rounds()) == (whole.collapse(), whole.rounds())
    asked = [(request.prompt, request.given) for request in scorer.asked]
    assert len(asked) == len(set(asked))


def test_a_lifted_limit_has_the_student_trained_on_and_others_are_trained(
    tmp_path: Path, teacher: Path, start: Path
) -> None:
    other = bigram_model(tmp_path / "other", language(letters=LETTERS.upper()))
    scorer = DenseScorer(teacher)
    run = Run(tmp_path / "run", other, scorer, steps=4, checkpoints=1)
    run.also("well", start)
    assert [(one.student, one.step) for one in run.train()] == [("own", 0), ("well", 4)]
    collapse = run.collapse()
    assert collapse is not None and collapse.student == "own"
    own, *_ = run.rounds()
    assert (own.number, own.learned) == (0, 0)
    assert len(scorer.asked) == 8 + 2 * 16
    run.limit(mass=None)
    assert [(one.student, one.step) for one in run.train()] == [("own", 4), ("well", 4)]
    assert run.collapse() is None
    asked = [(request.prompt, request.given) for request in scorer.asked]
    assert len(asked) == len(set(asked))


def test_another_patience_has_a_stopped_student_looked_at_again(
    tmp_path: Path, teacher: Path
) -> None:
    other = bigram_model(tmp_path / "other", language(letters=LETTERS.upper()))
    scorer = DenseScorer(teacher)
    run = Run(tmp_path / "run", other, scorer, steps=4, checkpoints=1)
    run.train()
    first = run.collapse()
    assert first is not None and first.sign == "mass"
    run.limit(patience=3)
    run.train()
    assert run.collapse() == first, "this limit ends a training in its first round in any case"
    folder = next((tmp_path / "run" / "checkpoints").glob("own-*"))
    kept = read_finished(folder)
    assert kept is not None and kept["patience"] == 3
    assert len(scorer.asked) == 8, "what was scored is stored"


def round_of(number: int, **fields: Any) -> TrainingRound:
    values: dict[str, Any] = {
        "student": "own", "number": number, "rounds": 50, "step": 10 * number, "oldest": 9,
        "answers": 40, "ended": 38, "right": 20, "student_tokens": 4000, "teacher_tokens": 6000,
        "usd": 0.0, "encoded_again": 0, "unlearned": 1, "places": 4000, "learned": 4000,
        "entropy": 0.8, "repeated": 0.1, "mass": 0.95, "teacher_logprob": -1.0,
        "teacher_entropy": 0.7, "end_probability": 0.6,
    }  # fmt: skip
    return TrainingRound(**values | fields)


BEYOND: dict[str, dict[str, Any]] = {
    "staleness": {"oldest": 65},
    "unlearned": {"unlearned": 21},
    "mass": {"mass": 0.49},
    "end": {"end_probability": 0.0009},
    "mass_loss": {"mass": 0.79},
    "ended": {"ended": 11},  # 11 of 40: at most 43%, where half of 38 of 40 is 47.5%
    "repeated": {"repeated": 0.41},
    "entropy": {"entropy": 0.069},
}
"""Figures just beyond each limit, by the first round's."""

WITHIN: dict[str, dict[str, Any]] = {
    "staleness": {"oldest": 64},
    "unlearned": {"unlearned": 20},
    "mass": {"mass": 0.81},
    "end": {"end_probability": 0.002},
    "mass_loss": {"mass": 0.81},
    "ended": {"ended": 14},  # it may be chance: up to 50%
    "repeated": {"repeated": 0.39},
    "entropy": {"entropy": 0.071},
}


@pytest.mark.parametrize("sign", BEYOND)
def test_each_limit_trips_where_it_lies_and_only_after_its_patience(sign: str) -> None:
    limits, settings = LimitSettings(), OnPolicySettings()
    first, second, third = (round_of(number, **BEYOND[sign]) for number in range(3))
    well = round_of(0)

    def judged(*rounds: TrainingRound) -> str | None:
        found = verdict(rounds, limits, settings)
        return found and found.sign

    lasting = "mass" if sign == "mass" else sign
    at_once = sign in ("staleness", "unlearned", "mass", "end")
    assert judged(first) == (sign if at_once else None)
    assert judged(well, second) == (sign if sign == "staleness" else None)
    assert judged(well, second, third) == lasting
    assert judged(well, second, round_of(2)) is None
    within = [round_of(number, **WITHIN[sign]) for number in (1, 2)]
    assert judged(well, *within) is None
    others = {name: None for name in LimitSettings.model_fields if name != "patience"}
    assert verdict([well, second, third], limits.model_copy(update=others), settings) is None
    for one in (well, second):
        line = told(Verdict(sign, Breach(1.0, 0.5), 0.5), one, settings)
        assert f"round {one.number + 1} of 50" in line and f"limits.{sign}" in line
    assert ADVICE[sign]


def test_beginnings_alone_are_not_expected_to_end() -> None:
    rounds = [round_of(0), *(round_of(number, ended=0) for number in (1, 2))]
    settings = OnPolicySettings(score=ScoreSettings(first_tokens=32))
    assert verdict(rounds, LimitSettings(), settings) is None
    whole = verdict(rounds, LimitSettings(), OnPolicySettings())
    assert whole is not None and whole.sign == "ended"


def test_a_settled_task_has_no_entropy_to_lose() -> None:
    rounds = [round_of(0, entropy=0.24), *(round_of(n, entropy=0.001) for n in (1, 2))]
    assert verdict(rounds, LimitSettings(), OnPolicySettings()) is None


def test_figures_of_what_was_written() -> None:
    assert repeated_runs([1, 2, 3, 4, 5]) == (0, 2)
    assert repeated_runs([1, 2, 1, 2, 1, 2, 1]) == (2, 4)  # 1212 and 2121 twice each
    assert repeated_runs([1, 2, 3]) == (0, 0)
    question = sums().splits["train"][0]
    texts = [("a7", [1, 2, 1, 2, 1, 2, 1], -0.5, "stop"), ("b", [3], -4.5, "length")]
    written = [
        (
            question,
            Completion(
                request=Request(prompt="p"), sample=0, text=text, finish_reason=reason,
                completion_tokens=len(ids),
                logprobs=TokenLogprobs(
                    logprobs=np.full((len(ids), 2), logprob, np.float32),
                    ids=np.array([ids, ids], np.int32).T,
                ),
            ),
        )
        for text, ids, logprob, reason in texts
    ]  # fmt: skip
    found = own_figures(written, [], lambda text, asked: "7" in text and asked is question)
    assert found == OwnFigures(
        answers=2, ended=1, right=1, student_tokens=8, encoded_again=0,
        entropy=(7 * 0.5 + 4.5) / 8, repeated=0.5,
    )  # fmt: skip


def test_figures_of_what_a_teacher_gives() -> None:
    # Two tokens and the end, of the top 2: the first is listed, the second not, the end is third.
    probabilities = np.array([[0.5, 0.5, 0.25], [0.1, 0.4, 0.1], [0.25, 0.5, 0.375]])
    scores = TokenLogprobs(
        logprobs=np.log(probabilities).astype(np.float32),
        token_bytes=b"xxy" + b"zuv" + b"ab",
        lengths=np.array([[1, 1, 1], [1, 1, 1], [0, 1, 1]], np.uint16),
    )
    answer = WrittenAnswer(
        sums().splits["train"][0], "p", 0, [1, 2], "xz", True, np.zeros((2, 2), np.float32)
    )
    found = teacher_figures([answer] * 4 + [answer], [scores] * 4 + [None])
    assert found.mass == pytest.approx(1 / 3)  # "z" is as likely as the last one, and is not it
    assert found.teacher_logprob == pytest.approx(np.log(0.5 * 0.1 * 0.25) / 3, rel=1e-6)
    assert found.end_probability == pytest.approx(0.25)
    entropies = [
        -sum(share * np.log(share) for share in row)
        for row in ([0.5, 0.25, 0.25], [0.4, 0.1, 0.5], [0.5, 0.375, 0.125])
    ]
    assert found.teacher_entropy == pytest.approx(sum(entropies) / 3, rel=1e-6)
    assert teacher_figures([answer] * 3, [scores] * 3).end_probability is None
    assert teacher_figures([answer], [None]) == TeacherFigures()
