"""The guide stage: the chosen student with the teacher's steps → guided predictions and scores.

Every policy, control and baseline answers the same test questions. Thresholds of conditional
policies are chosen on development questions first.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from potstill.errors import ConfigError
from potstill.grading.grade import GRADER_VERSION
from potstill.guide.baselines import (
    SHARES,
    EarlierAnswers,
    answer_control,
    expect_routed,
    expect_sampled,
    route_by_doubt,
    signal_values,
)
from potstill.guide.experiment import CallAnswerer, GuideModels, SplitExperiment
from potstill.guide.gate_choice import FIRST, GateSelection, choose_gates
from potstill.guide.routing import answer_routed, grade_teacher, has_answer
from potstill.guide.scoring import Expected, Graded, Grader, Scorer
from potstill.guide.settings import GuideSettings
from potstill.guide.types import GuidedAnswer
from potstill.guide.uncertainty import Gate, Signals
from potstill.keys import settings_hash
from potstill.records import GuidedPrediction, GuidedScore, Policy, Task
from potstill.records.policy import ALONE, RANDOM, ROUTE, TEACHER_ALONE
from potstill.runtime.context import RunContext
from potstill.sampling.ask import Answer, all_failed
from potstill.text.steps import StepKind


class GuidanceResult(NamedTuple):
    """The scores of an experiment with guidance."""

    scores: list[GuidedScore]
    notes: list[str]
    """Further facts for the reader, one sentence each."""


def guide(
    task: Task,
    models: GuideModels,
    settings: GuideSettings,
    context: RunContext,
    *,
    layout: StepKind,
    seed: int,
    made_by: str = "",
) -> GuidanceResult:
    """Measure every policy, control and baseline on the same test questions.

    Every answer of either model is in the store before it counts, and policies share what they ask
    alike.

    Args:
        task: The task that was trained for.
        models: The student and its teacher, and how they are asked.
        settings: The stage's settings.
        context: The run. Its folder gets ``guide.json`` where a policy is conditional.
        layout: How the student's kept rationales are laid out.
        seed: Seeds all that is drawn.
        made_by: Stands for all that determines the results, and is stored with them; by default
            a hash of the settings.

    Raises:
        ConfigError: A policy has the teacher go on from steps that are there, and it cannot.
    """
    _check(settings, models)
    answerer = CallAnswerer(
        models={"student": models.student, "teacher": models.teacher},
        context=context,
        budget=settings.overall_budget,
    )
    dev, test = (
        SplitExperiment(
            task=task,
            split=split,
            models=models,
            config=settings.config(layout),
            answerer=answerer,
            seed=seed,
        )
        for split in ("dev", "test")
    )
    selection = choose_gates(dev, settings)
    if any(policy.has_threshold for policy in settings.followed):
        selection.gates.write(context.folder)
    chains = test.chains()
    measured = _measured(test, settings, selection, chains)
    scores = [*selection.scores, *measured.scores()]
    made_by = made_by or settings_hash(
        settings.model_dump(mode="json"), task.rule, GRADER_VERSION, seed
    )
    context.store.replace_guidance(
        scores,
        [*selection.predictions, *measured.predictions],
        grader=GRADER_VERSION,
        settings_hash=made_by,
    )
    return GuidanceResult(scores, [*selection.notes, *measured.notes, *_budget_notes(answerer)])


def _measured(
    test: SplitExperiment,
    settings: GuideSettings,
    selection: GateSelection,
    chains: Mapping[str, list[Answer]],
) -> "_TestMeasurement":
    """The test questions, answered under every policy that is followed."""
    policies = {
        policy.policy: (policy, selection.gates.gate(policy))
        for policy in settings.followed
        if policy.policy not in selection.broken
    }
    routes = {
        policy: gate
        for policy, (one, gate) in policies.items()
        if one.when == ROUTE and gate is not None
    }
    answered = test.answer_under(
        {policy: pair for policy, pair in policies.items() if policy not in routes}
    )
    return _TestMeasurement(test, settings, chains, answered, routes)


def _budget_notes(answerer: CallAnswerer) -> list[str]:
    """A sentence on a budget that did not suffice."""
    if not answerer.refused:
        return []
    return [
        f"guide.overall_budget was used up: {answerer.refused:,} requests for a step were not "
        f"sent after {answerer.spent:,} teacher tokens, and the student went on alone."
    ]


def _check(settings: GuideSettings, models: GuideModels) -> None:
    """Refuse policies and kinds of guidance that the teacher cannot give."""
    if models.continues:
        return
    if models.whole_steps:
        _check_continuing(settings, models.teacher.name)
        return
    for policy in settings.needing_continuation:
        raise ConfigError(
            f"guide.policies names {policy.label}, and {models.teacher.name} cannot go on "
            "from steps that are there. With recorded rationales take never, first, "
            "when_unsure, learned or route, or ask a live teacher."
        )
    if settings.kind == "question" or "question" in settings.controls:
        raise ConfigError(
            f"guidance by questions asks the teacher for one, and {models.teacher.name} holds "
            "recorded rationales. Take another kind and leave the control out, or ask a live "
            "teacher."
        )


def _check_continuing(settings: GuideSettings, teacher: str) -> None:
    """Refuse policies for which a server would have to go on from an answer that is begun.

    Args:
        settings: The guide stage's.
        teacher: The server that was found not to.

    Raises:
        ConfigError: There is such a policy.
    """
    for policy in settings.needing_continuation:
        raise ConfigError(
            f"guide.policies names {policy.label}, for which the teacher goes on from steps that "
            f"are there, and {teacher} was tried and does not. Set teacher.chat_template to the "
            "hub name or folder of its tokenizer, by which the completions route can do it; or "
            "take never, first, when_unsure, learned or route."
        )


class _TestMeasurement:
    """The test questions, answered in every way that the settings name.

    Args:
        experiment: The questions, with both models.
        settings: The stage's settings.
        chains: The teacher's own answers, greedy, by question.
        answered: The answers under each policy, by question.
        routes: The gates of those by which whole questions go to the teacher.
    """

    def __init__(
        self,
        experiment: SplitExperiment,
        settings: GuideSettings,
        chains: Mapping[str, list[Answer]],
        answered: Mapping[Policy, Mapping[str, GuidedAnswer]],
        routes: Mapping[Policy, Gate],
    ) -> None:
        self.notes: list[str] = []
        self.predictions: list[GuidedPrediction] = []
        self._experiment, self._settings = experiment, settings
        self._chains, self._answered, self._routes = chains, answered, routes
        self._steps = {
            question.id: len(experiment.steps(question, chain))
            for question in experiment.questions
            for chain in self._chains[question.id]
        }
        self._grader = Grader(task=experiment.task, split="test", steps=self._steps)

    def scores(self) -> Iterator[GuidedScore]:
        """Every score, the student alone first and then the teacher alone."""
        answered = self._answered
        graded = {policy: self._grade(policy, answers) for policy, answers in answered.items()}
        self._scorer = Scorer(
            task=self._experiment.task.name,
            split="test",
            alone=graded[ALONE],
            resamples=self._settings.bootstrap,
            seed=self._experiment.seed,
        )
        teacher = self._teacher()
        yield self._score(ALONE, graded[ALONE])
        if teacher:
            score = self._scorer.score(TEACHER_ALONE, teacher)
            self.predictions += teacher.values()
            yield replace(score, guided=score.total)
        for policy in answered:
            if policy != ALONE:
                yield self._score(policy, graded[policy])
                self._note_silence(policy, answered[policy])
        if teacher:
            yield from self._routed(graded[ALONE], teacher)
        earlier = EarlierAnswers(
            alone=answered[ALONE], first=answered[FIRST.policy], chains=self._chains
        )
        yield from self._controls(earlier)
        if self._settings.routing and teacher:
            yield from self._routing(graded[ALONE], teacher)
        yield from self._samples()
        yield from self._self_guided()
        self._note_chains()

    def _score(self, policy: Policy, graded: Graded) -> GuidedScore:
        self.predictions += graded.values()
        return self._scorer.score(policy, graded)

    def _grade(
        self, policy: Policy, answers: Mapping[str, GuidedAnswer]
    ) -> dict[str, GuidedPrediction]:
        return {
            question.id: self._grader.grade_guided(policy, question, answers[question.id])
            for question in self._experiment.questions
            if question.id in answers
        }

    def _teacher(self) -> dict[str, GuidedPrediction]:
        """The teacher's own answers, graded; none where a file of recorded ones lacks some."""
        absent = sum(not chains for chains in self._chains.values())
        if absent and not self._experiment.models.continues:
            self.notes.append(
                f"the teacher alone and routing are left out: there is no recorded answer to "
                f"{absent:,} of {len(self._chains):,} questions."
            )
            return {}
        return grade_teacher(self._experiment, self._chains, self._grader)

    def _routed(self, alone: Graded, teacher: Graded) -> Iterator[GuidedScore]:
        """The policies by which whole questions go to the teacher."""
        drafts = self._experiment.drafts() if self._routes else {}
        for policy, gate in self._routes.items():
            asks = {id_: signals is None or gate(signals) for id_, (signals, _) in drafts.items()}
            yield self._score(policy, answer_routed(policy, asks, alone, teacher, drafts))
            silent = sum(asked and not has_answer(teacher[id_]) for id_, asked in asks.items())
            if silent:
                self._tell_silence(policy, silent, len(asks))

    def _controls(self, earlier: EarlierAnswers) -> Iterator[GuidedScore]:
        total = len(self._experiment.questions)
        for name in self._settings.controls:
            policy = Policy(kind="control", name=name)
            answers = answer_control(name, self._experiment, earlier, self._settings)
            graded = self._grade(policy, answers)
            if len(graded) < total:
                self.notes.append(
                    f"{policy.label} has nothing to begin {total - len(graded):,} of {total:,} "
                    "questions with; they are left out, and it is paired on the others."
                )
            if graded:
                yield self._score(policy, graded)

    def _routing(self, alone: Graded, teacher: Graded) -> Iterator[GuidedScore]:
        """Points of curves: no share is chosen by them."""
        for share in SHARES:
            weights = dict.fromkeys(alone, share)
            yield self._score_routing(RANDOM, share, expect_routed(alone, teacher, weights))
        signals = self._experiment.signals()
        for name in Signals._fields:
            if name == "disagreement" and not self._settings.draws:
                continue
            for share in SHARES:
                weights = route_by_doubt(signal_values(signals, name), share)
                yield self._score_routing(name, share, expect_routed(alone, teacher, weights))

    def _score_routing(
        self, signal: str, share: float, expected: Mapping[str, Expected]
    ) -> GuidedScore:
        policy = Policy(kind="routing", name="routing", signal=signal, number=share)
        return self._scorer.score_expected(policy, expected)

    def _samples(self) -> Iterator[GuidedScore]:
        """pass@k of the student alone, all by the same samples."""
        if not self._settings.pass_at:
            return
        experiment, count = self._experiment, max(self._settings.pass_at)
        drawn = experiment.samples(count, self._settings.pass_temperature)
        for k in self._settings.pass_at:
            expected = expect_sampled(experiment.task, experiment.questions, drawn, count, k)
            policy = Policy(kind="sampled", name="pass_at", number=k)
            yield self._scorer.score_expected(policy, expected)

    def _self_guided(self) -> Iterator[GuidedScore]:
        """The student's start, asked to guide itself."""
        models = self._experiment.models
        model = models.start() if models.self_asking else None
        for name, asking in models.self_asking.items():
            assert model is not None
            policy = Policy(kind="self", name=name)
            answers = self._experiment.whole_answers(model, asking, name)
            graded = {
                question.id: self._grader.grade_whole(
                    policy, question, answers[question.id], writer="student"
                )
                for question in self._experiment.questions
            }
            yield self._score(policy, graded)

    def _note_silence(self, policy: Policy, answers: Mapping[str, GuidedAnswer]) -> None:
        """Tell of answers that lack the step they were to have.

        Raises:
            ModelError: All of them do, for another reason than a budget.
        """
        silent = sum(answer.silent for answer in answers.values())
        answerer, teacher = self._experiment.answerer, self._experiment.models.teacher.name
        store = answerer.context.store
        if silent == len(answers) and not answerer.refused and store.failures(teacher):
            raise all_failed(teacher, silent, store)
        if silent:
            self._tell_silence(policy, silent, len(answers))

    def _tell_silence(self, policy: Policy, silent: int, total: int) -> None:
        self.notes.append(
            f"{policy.label}: the teacher did not answer for {silent:,} of {total:,} questions, "
            "where the student went on alone."
        )

    def _note_chains(self) -> None:
        one_step = sum(count <= 1 for count in self._steps.values())
        if one_step:
            self.notes.append(
                f"the teacher's own chain has a single step for {one_step:,} of "
                f"{len(self._experiment.questions):,} questions: there its first step may be all."
            )
