"""The guide stage: the chosen student with the teacher's steps → guided predictions and scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from potstill.errors import ConfigError
from potstill.grading.grade import GRADER_VERSION
from potstill.guide.baselines import (
    SHARES,
    EarlierAnswers,
    by_doubt,
    controlled,
    doubts,
    routed,
    sampled,
)
from potstill.guide.experiment import GuideModels, Rounds, SplitExperiment
from potstill.guide.scoring import Graded, Grader, Scorer, Taken
from potstill.guide.settings import GuideSettings
from potstill.guide.thresholds import GateSelection, choose
from potstill.guide.types import GuidedAnswer, Policy
from potstill.guide.uncertainty import Signals
from potstill.keys import settings_hash
from potstill.records import GuidedKind, GuidedPrediction, GuidedScore, Question, Task
from potstill.runtime.progress import Meter
from potstill.sampling.ask import Answer
from potstill.store import Store
from potstill.text.steps import StepKind


class GuidanceResult(NamedTuple):
    """What the stage found."""

    scores: list[GuidedScore]
    notes: list[str]
    """What else a reader should know, one sentence each."""


class GuideContext(NamedTuple):
    """Where guidance is measured."""

    store: Store
    folder: Path
    """The run's, which gets ``guide.json`` where a policy is conditional."""

    meter: Meter


def guide(
    task: Task,
    parties: GuideModels,
    settings: GuideSettings,
    bench: GuideContext,
    *,
    layout: StepKind,
    seed: int,
) -> GuidanceResult:
    """Measure every policy, control and baseline on the same test questions.

    Thresholds of conditional policies are chosen on development questions. Every answer of either
    model is in the store before it counts, and policies share what they ask alike.

    Args:
        task: The task that was trained for.
        parties: The two models, and how they are asked.
        settings: Of this stage.
        bench: Where it is measured.
        layout: How the student's kept rationales are laid out.
        seed: Of all that is drawn.

    Raises:
        ConfigError: A policy has the teacher go on from steps that are there, and it cannot.
    """
    _check(settings, parties)
    rounds = Rounds(
        models={"student": parties.student, "teacher": parties.teacher},
        store=bench.store,
        meter=bench.meter,
        budget=settings.overall_budget,
    )
    fields = [
        SplitExperiment(
            task=task,
            split=split,
            parties=parties,
            manner=settings.manner(layout),
            rounds=rounds,
            seed=seed,
        )
        for split in ("dev", "test")
    ]
    dev, test = fields
    chosen = choose(dev, settings)
    if any(policy.conditional for policy in settings.followed):
        chosen.judging.write(bench.folder)
    measured = _Test(test, settings, chosen)
    scores = [*chosen.scores, *measured.scores()]
    made_by = settings_hash(settings.model_dump(mode="json"), task.rule, GRADER_VERSION, seed)
    bench.store.replace_guidance(
        scores,
        [*chosen.predictions, *measured.predictions],
        grader=GRADER_VERSION,
        settings_hash=made_by,
    )
    return GuidanceResult(scores, [*chosen.notes, *measured.notes, *_used_up(rounds)])


def _used_up(rounds: Rounds) -> list[str]:
    """What to tell of a budget that did not suffice."""
    if not rounds.refused:
        return []
    return [
        f"guide.overall_budget was used up: {rounds.refused:,} requests for a step were not "
        f"sent after {rounds.spent:,} teacher tokens, and the student went on alone."
    ]


def _check(settings: GuideSettings, parties: GuideModels) -> None:
    for policy in settings.followed:
        if not parties.continues and policy.places.stop > 1:
            raise ConfigError(
                f"guide.policies names {policy.name}, and {parties.teacher.name} cannot go on "
                "from steps that are there. With recorded rationales take never, first, "
                "when_unsure or learned, or ask a live teacher."
            )
    if not parties.continues and (settings.kind == "question" or "question" in settings.controls):
        raise ConfigError(
            f"guidance by questions asks the teacher for one, and {parties.teacher.name} holds "
            "recorded rationales. Take another kind and leave the control out, or ask a live "
            "teacher."
        )


class _Test:
    """The test questions, answered in every way that the settings name.

    Args:
        field: The questions.
        settings: Of the stage.
        chosen: The judges of conditional policies.
    """

    def __init__(
        self, field: SplitExperiment, settings: GuideSettings, chosen: GateSelection
    ) -> None:
        self.notes: list[str] = []
        self.predictions: list[GuidedPrediction] = []
        self._field, self._settings, self._chosen = field, settings, chosen
        self._chains = field.chains()
        self._steps = {
            each.id: len(field.steps(each, chain))
            for each in field.questions
            for chain in self._chains[each.id]
        }
        self._grader = Grader(task=field.task, split="test", steps=self._steps)

    def scores(self) -> Iterator[GuidedScore]:
        """Every score, the student alone first and then the teacher alone."""
        policies = self._settings.followed
        answered = self._field.followed([(each, self._chosen.judge(each)) for each in policies])
        graded = {name: self._graded(name, answers) for name, answers in answered.items()}
        self._scorer = Scorer(
            task=self._field.task.name,
            split="test",
            alone=graded["never"],
            resamples=self._settings.bootstrap,
            seed=self._field.seed,
        )
        teacher = self._teacher()
        yield self._score("never", "alone", graded["never"])
        if teacher:
            score = self._scorer.of("teacher", "alone", teacher)
            yield replace(score, guided=score.total)
        for policy in policies:
            if policy.when != "never":
                yield self._score(policy.name, "policy", graded[policy.name])
                self._note_silence(policy, answered[policy.name])
        known = EarlierAnswers(
            alone=answered["never"], first=answered["first"], chains=self._chains
        )
        yield from self._controls(known)
        if self._settings.routing and teacher:
            yield from self._routing(graded["never"], teacher)
        yield from self._samples()
        yield from self._self_guided()
        self._note_chains()

    def _score(self, name: str, kind: GuidedKind, answers: Graded) -> GuidedScore:
        self.predictions += answers.values()
        return self._scorer.of(name, kind, answers)

    def _graded(
        self, name: str, answers: Mapping[str, GuidedAnswer]
    ) -> dict[str, GuidedPrediction]:
        return {
            each.id: self._grader.guided(name, each, answers[each.id])
            for each in self._field.questions
            if each.id in answers
        }

    def _teacher(self) -> dict[str, GuidedPrediction]:
        """The teacher's own answers, graded; none where a file of recorded ones lacks some."""
        absent = sum(not chains for chains in self._chains.values())
        if absent and not self._field.parties.continues:
            self.notes.append(
                f"the teacher alone and routing are left out: there is no recorded answer to "
                f"{absent:,} of {len(self._chains):,} questions."
            )
            return {}
        return {
            each.id: self._whole("teacher", each, self._chains[each.id], by="teacher")
            for each in self._field.questions
        }

    def _whole(
        self, name: str, question: Question, found: Sequence[Answer], *, by: str
    ) -> GuidedPrediction:
        answer = next(iter(found), None)
        tokens = answer.completion_tokens if answer else 0
        taken = Taken(**{f"{by}_tokens": tokens}, cost=answer.cost if answer else 0.0)
        text = answer.text if answer else None
        return self._grader.told(name, question, text, guidance="", taken=taken)

    def _controls(self, known: EarlierAnswers) -> Iterator[GuidedScore]:
        total = len(self._field.questions)
        for name in self._settings.controls:
            answers = self._graded(
                f"control_{name}", controlled(name, self._field, known, self._settings)
            )
            if len(answers) < total:
                self.notes.append(
                    f"control_{name} has nothing to begin {total - len(answers):,} of {total:,} "
                    "questions with; they are left out, and it is paired on the others."
                )
            if answers:
                yield self._score(f"control_{name}", "control", answers)

    def _routing(self, alone: Graded, teacher: Graded) -> Iterator[GuidedScore]:
        """Points of curves: no share is chosen by them."""
        for share in SHARES:
            weights = dict.fromkeys(alone, share)
            yield self._scorer.expected(
                f"routing_random_{share}", "routing", routed(alone, teacher, weights)
            )
        signals = self._field.signals()
        for name in Signals._fields:
            if name == "disagreement" and not self._settings.draws:
                continue
            for share in SHARES:
                weights = by_doubt(doubts(signals, name), share)
                answers = routed(alone, teacher, weights)
                yield self._scorer.expected(f"routing_{name}_{share}", "routing", answers)

    def _samples(self) -> Iterator[GuidedScore]:
        """pass@k of the student alone, all by the same samples."""
        if not self._settings.pass_at:
            return
        field, count = self._field, max(self._settings.pass_at)
        drawn = field.samples(count, self._settings.pass_temperature)
        for k in self._settings.pass_at:
            chances = sampled(field.task, field.questions, drawn, count, k)
            yield self._scorer.expected(f"pass_at_{k}", "sampled", chances)

    def _self_guided(self) -> Iterator[GuidedScore]:
        """The student's start, asked to guide itself."""
        parties = self._field.parties
        model = parties.start() if parties.self_asking else None
        for name, asking in parties.self_asking.items():
            assert model is not None
            found = self._field.answered(model, asking, name)
            answers = {
                each.id: self._whole(name, each, found[each.id], by="student")
                for each in self._field.questions
            }
            yield self._score(name, "self", answers)

    def _note_silence(self, policy: Policy, answers: Mapping[str, GuidedAnswer]) -> None:
        silent = sum(each.silent for each in answers.values())
        if silent:
            self.notes.append(
                f"{policy.name}: the teacher did not answer for {silent:,} of {len(answers):,} "
                "questions, where the student went on alone."
            )

    def _note_chains(self) -> None:
        one_step = sum(count <= 1 for count in self._steps.values())
        if one_step:
            self.notes.append(
                f"the teacher's own chain has a single step for {one_step:,} of "
                f"{len(self._field.questions):,} questions: there its first step may be all."
            )
