"""The rounds of an on-policy training: who answers what, what is scored, and what is learned.

A round is made when the training reaches it, since only then is the student there that writes it.
Which questions it has, in which order its answers are learned, and what is drawn for each of them
follow from the seed alone.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import NamedTuple

from potstill.errors import ModelError
from potstill.launched import process_count
from potstill.models.interface import Model
from potstill.models.local.loading import load_tokenizer
from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.models.scored_tokens import scores_by_bytes
from potstill.records import Completion, Question, TokenLogprobs
from potstill.sampling.ask import complete_missing
from potstill.store.packed_logprobs import with_likeliest_at
from potstill.text.steps import step_kind
from potstill.train.batches import Order, parts_of, plan_steps
from potstill.train.encoding import Encoded
from potstill.train.on_policy.round_figures import ScoredCounts
from potstill.train.on_policy.round_watch import PROBE, RoundWatch
from potstill.train.on_policy.shared_rounds import made_by_all
from potstill.train.on_policy.student_writer import AtOnce
from potstill.train.on_policy.work import SEEDS_APART, OnPolicyWork, RoundPlan
from potstill.train.on_policy.written_answers import AnswerReader, WrittenAnswer

logger = logging.getLogger(__name__)


class RoundMaker:
    """Has the rounds written and scored, and makes examples of them.

    Args:
        work: The parts that the rounds are made of.
        reader: Reads the student's answers.
        max_length: Most tokens of an example.
        encoder_decoder: Whether the student reads its prompt with an encoder.
        watch: Looks at each round, and ends what collapses.
    """

    def __init__(
        self,
        work: OnPolicyWork,
        reader: AnswerReader,
        *,
        max_length: int,
        encoder_decoder: bool,
        watch: RoundWatch,
    ) -> None:
        self._work, self._reader = work, reader
        self._max_length, self._encoder_decoder = max_length, encoder_decoder
        self._watch = watch

    @cached_property
    def _teacher(self) -> Model:
        return AtOnce(self._work.teacher.model)

    @cached_property
    def _teacher_names(self) -> list[bytes | None]:
        tokenizer = self._work.teacher.settings.tokenizer
        assert tokenizer is not None, "only local models name tokens by id"
        return PromptEncoder(load_tokenizer(tokenizer), tokenizer.source).token_names

    @cached_property
    def _has_one_tokenizer(self) -> bool:
        """Whether the teacher is known to have the student's tokens, so that it can score them."""
        known = self._work.teacher.settings.tokenizer is not None
        return known and self._teacher_names == self._reader.token_names

    def _written_ids(self, answer: WrittenAnswer) -> list[int]:
        """Returns the tokens that were written, for a teacher that has them; else none.

        Tokens that begin with a space which is no part of the text are the teacher's own matter.
        """
        if not self._has_one_tokenizer:
            return []
        ids, names = answer.ids[answer.lead :], self._reader.token_names
        spelled = b"".join(names[token] or b"" for token in ids)
        return ids if spelled == answer.text.encode() else []

    def examples(self, questions: Sequence[Question], number: int, writer: Model) -> list[Encoded]:
        """Returns the examples of a round, made of what is stored as far as it is.

        Of several processes each writes its share, and the main one does all else.

        Args:
            questions: The round's.
            number: The round, from 0.
            writer: The student as it is now.

        Raises:
            ModelError: Nothing can be learned of it.
            TrainingCollapsed: It passes a limit.
        """
        make = partial(self._made, questions, number)
        return made_by_all(make, writer, label=self._work.label)

    def _made(self, questions: Sequence[Question], number: int, writer: Model) -> list[Encoded]:
        work, watch = self._work, self._watch
        watch.begins(number)
        written = self._written(questions, number, writer)
        kind = step_kind([completion.text for _, completion in written])
        answers = [
            answer
            for question, completion in written
            if (answer := self._reader.read(question, completion, kind)) is not None
        ]
        watch.written(written, answers)
        if number == 0 and work.settings.limits is not None and len(answers) > PROBE:
            probe = self._scored(answers[:PROBE], number)
            watch.probed(probe.counts(PROBE), probe.answers, probe.scores)
        scored = self._scored(answers, number)
        watch.scored(scored.counts(len(written)), answers, scored.scores)
        examples, too_long = scored.examples, scored.too_long
        if not examples:
            raise ModelError(
                f"{work.label}: nothing of round {number + 1} can be learned: of "
                f"{len(written):,} answers {len(answers):,} have a text, and {too_long:,} are "
                "longer than train.max_length. Look at what the student writes; a start that "
                "cannot answer yet needs on_policy.start_from."
            )
        return examples

    def _written(
        self, questions: Sequence[Question], number: int, writer: Model
    ) -> list[tuple[Question, Completion]]:
        """Returns the student's answers, those of a question side by side."""
        work = self._work
        requests = work.requests(questions, number, self._encoder_decoder)
        label = f"{work.label} writes, round {number + 1}"
        counts = complete_missing(writer, requests, work.context, label=label, stage="train")
        counts.check_any(writer.name, work.context.store)
        by_id = {question.id: question for question in questions}
        return [
            (by_id[str(request.question_id)], stored.completion)
            for request in requests
            for stored in work.context.store.completions(writer.name, request, logprobs=True)
        ]

    def _scored(self, answers: Sequence[WrittenAnswer], number: int) -> "_ScoredAnswers":
        """Returns answers with the teacher's scores, and what is learned of them."""
        completions = self._scores(answers, number)
        scores = [self._named(score) for score in completions]
        examples, too_long = self._learned(answers, completions, scores)
        return _ScoredAnswers(answers, completions, scores, examples, too_long)

    def _scores(self, answers: Sequence[WrittenAnswer], number: int) -> list[Completion | None]:
        """Returns the teacher's scores of all answers; those that failed are asked for twice."""
        work, teacher, store = self._work, self._teacher, self._work.context.store
        keeps_all = store.kept_positions == "all" or work.settings.top == 1
        requests = [
            work.teacher.request(
                answer.question,
                answer.text,
                written_behind=answer.prompt,
                ends=answer.ends,
                top=work.settings.top,
                task=work.task,
                ids=self._written_ids(answer),
                kept_at="" if keeps_all else self._reader.choice_of(answer),
            )
            for answer in answers
        ]
        answered = dict(zip(requests, answers, strict=True))

        def reduced(score: Completion) -> Completion:
            return self._reduced(answered[score.request], score)

        label = f"scores for {work.label}, round {number + 1}"
        for _ in range(2):
            counts = complete_missing(
                teacher,
                requests,
                work.context,
                label=label,
                stage="train",
                reduced=None if keeps_all else reduced,
            )
            counts.check_any(teacher.name, store)
            if not counts.failed:
                break
        stored = [store.completions(teacher.name, request, logprobs=True) for request in requests]
        return [found[0].completion if found else None for found in stored]

    def _reduced(self, answer: WrittenAnswer, score: Completion) -> Completion:
        """Returns scores with the likeliest tokens where they are learned, if some are chosen."""
        named = self._named(score)
        given = score.request.given
        if given is None or not given.kept_at or named is None or score.logprobs is None:
            return score
        try:
            kept_T = self._reader.kept(answer, score.text, named)
        except ValueError:  # they spell another text, of which nothing is learned
            return score
        return replace(score, logprobs=with_likeliest_at(score.logprobs, kept_T))

    def _named(self, score: Completion | None) -> TokenLogprobs | None:
        """Returns the scores of a text, tokens named by bytes; None where there are none."""
        if score is None or score.logprobs is None:
            return None
        names = [] if score.logprobs.ids is None else self._teacher_names
        return scores_by_bytes(score.logprobs, score.text, names)

    def _learned(
        self,
        answers: Sequence[WrittenAnswer],
        completions: Sequence[Completion | None],
        scores: Sequence[TokenLogprobs | None],
    ) -> tuple[list[Encoded], int]:
        """Returns what can be learned, and how many further answers are too long."""
        examples, too_long = list[Encoded](), 0
        for answer, completion, score in zip(answers, completions, scores, strict=True):
            if completion is None or score is None:
                continue
            try:
                given = completion.request.given
                learned = self._reader.learned(
                    answer,
                    completion.text,
                    score,
                    self._work.data_format,
                    are_reduced=given is not None and bool(given.kept_at),
                )
            except ValueError:  # the scores' tokens spell another text; nothing is learned of it
                continue
            if learned is not None and learned.length > self._max_length:
                too_long += 1
            elif learned is not None:
                examples.append(learned)
        return examples, too_long


class _ScoredAnswers(NamedTuple):
    """Answers, the teacher's scores of them, and the examples that they make."""

    answers: Sequence[WrittenAnswer]
    completions: list[Completion | None]
    scores: list[TokenLogprobs | None]
    """Tokens named by bytes."""

    examples: list[Encoded]
    too_long: int
    """Answers left out because they are longer than ``max_length``."""

    def counts(self, written: int) -> ScoredCounts:
        """Returns what they cost, and what is learned of so many written answers.

        Answers that are the same text are scored, and counted, once.
        """
        bought = {score.request: score for score in self.completions if score is not None}.values()
        return ScoredCounts(
            teacher_tokens=sum(score.prompt_tokens + score.completion_tokens for score in bought),
            usd=sum(score.cost for score in bought),
            unlearned=written - len(self.examples),
            places=sum(len(answer.ids) + answer.ends for answer in self.answers),
            learned=sum(len(example.trained) for example in self.examples),
        )


class OnPolicySteps:
    """The optimiser steps of an on-policy training, each made when it is reached.

    Args:
        maker: Makes the examples of a round.
        plan: The sizes of rounds and steps.
        work: The parts that the rounds are made of.
        further: The teacher's rationales, learned by their text.
        further_steps: The ones of these that each step learns.
        order: The size of a step's own part, and its order; the seed is another in each round.
        batch_tokens: Most tokens that are computed at once.
    """

    def __init__(
        self,
        maker: RoundMaker,
        plan: RoundPlan,
        work: OnPolicyWork,
        *,
        further: Sequence[Encoded],
        further_steps: Sequence[Sequence[int]],
        order: Order,
        batch_tokens: int,
    ) -> None:
        self._maker, self._plan, self._work = maker, plan, work
        self._further, self._further_steps = further, further_steps
        self._order, self._batch_tokens = order, batch_tokens
        self._number = -1
        self._examples: list[Encoded] = []
        self._own_steps: Sequence[Sequence[int]] = []
        self._questions = work.round_questions(map(plan.questions_of, range(plan.rounds)))
        self._drawn = 0

    def parts(self, step: int, writer: Callable[[int], Model]) -> list[list[Encoded]]:
        """Returns what a step learns, in parts that are computed at once, as many a process.

        Args:
            step: Counted from 0.
            writer: Returns the student as it is now, by the number of the round.
        """
        number, place = divmod(step, self._plan.steps_per_round)
        if number != self._number:
            self._begin(number, writer)
        first = len(self._further)
        taken = [first + index for index in self._own_steps[place]]
        if self._further_steps:
            taken = [*self._further_steps[step], *taken]
        both = [*self._further, *self._examples]
        return [
            [both[index] for index in part]
            for part in parts_of(
                taken, both, batch_tokens=self._batch_tokens, processes=process_count()
            )
        ]

    def _begin(self, number: int, writer: Callable[[int], Model]) -> None:
        """Have a round made; the questions of those before it are gone through."""
        questions: list[Question] = []
        while self._drawn <= number:
            questions = next(self._questions)
            self._drawn += 1
        self._examples = self._maker.examples(questions, number, writer(number))
        order = self._order._replace(seed=self._order.seed * SEEDS_APART + number)
        self._own_steps = plan_steps(self._examples, order, self._plan.steps_of(number))
        self._number = number
