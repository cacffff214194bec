"""What each stage of a run asks its teachers."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from potstill.guide import GuideSettings
from potstill.guide.decoder import PIECES
from potstill.models.settings import RecordedSettings
from potstill.pipeline.run import Run
from potstill.plan.needs import Later, Ledger, Need, adaptive, plain
from potstill.records import Question, Task
from potstill.sampling.ask import SamplingParams
from potstill.sampling.debate import AskedTeacher, further_requests, read_rounds


def needs_of(run: Run, ledger: Ledger, teachers: Sequence[AskedTeacher]) -> list[Need]:
    """Everything that the run's stages ask of teachers, in the order in which they ask it.

    Args:
        run: Opened for reading; its models are not opened.
        ledger: On the run's store.
        teachers: In the order of the recipe; the first is measured, and guides.
    """
    found = [need for each in teachers for need in rationales(run, ledger, each)]
    if run.recipe.generate.debate is not None:
        found += _debate(run, ledger, teachers)
    found += _measured(run, ledger, teachers[0])
    if run.recipe.guide is not None:
        found += _guidance(run, ledger, teachers[0], run.recipe.guide)
    return [need for need in found if need.there or need.missing]


def rationales(run: Run, ledger: Ledger, teacher: AskedTeacher) -> list[Need]:
    """What one teacher is asked for first: rationales, with the second step where there is one."""
    what = f"rationales of {teacher.name}" if run.recipe.teachers else "rationales"
    enough = run.recipe.generate.enough_right
    if enough is not None:
        return adaptive(ledger, teacher, run.task, enough=enough, what=what)
    questions = run.task.splits["train"]
    return plain(ledger, teacher, questions, teacher.asking, stage="generate", what=what)


def _debate(run: Run, ledger: Ledger, teachers: Sequence[AskedTeacher]) -> Iterator[Need]:
    """Each round of a debate: known where the round before is there, else at most a sample each."""
    debate = run.recipe.generate.debate
    assert debate is not None
    for number in range(1, debate.rounds + 1):
        for teacher in teachers:
            what = f"debate round {number} of {teacher.name}"
            questions = run.task.splits["train"]
            need = Need(stage="generate", what=what, teacher=teacher, questions=len(questions))
            requests = []
            for question in questions:
                before = read_rounds(ledger.store, question, teachers, number - 1)[-1]
                settled = set.intersection(
                    *({answer.sample for answer in found} for found in before.values())
                )
                known = [
                    request
                    for request in further_requests(question, teacher, before)
                    if request.samples[0] in settled
                ]
                for request in known:
                    ledger.add(need, request)
                requests += known
                _add_later(need, question, teacher, len(settled), len(teachers))
            yield need
            if teacher.asking.style.answer_cue:
                yield ledger.second_steps(need, requests)


def _add_later(
    need: Need, question: Question, teacher: AskedTeacher, settled: int, teachers: int
) -> None:
    """The samples of a debate's round that wait for the round before."""
    sampling = teacher.asking.sampling
    if sampling.samples > settled:
        like = teacher.asking.request(question)
        open_ = sampling.samples - settled
        need.later.append(Later(like, open_, sampling.max_tokens, after=teachers))


def _measured(run: Run, ledger: Ledger, teacher: AskedTeacher) -> Iterator[Need]:
    """The first teacher's own answers, greedy, to all that systems are measured on."""
    settings = run.recipe.evaluate
    greedy = replace(teacher.asking, sampling=SamplingParams(max_tokens=settings.max_tokens))
    told = any(pair.count == "teacher" for pair in settings.socratic.values())
    for entry in run.entries:
        asking = entry.asking or greedy
        for split in ("dev", "test") if told and entry.followed else ("test",):
            questions = entry.task.splits[split]
            what = f"teacher on {entry.name} {split}"
            yield from plain(ledger, teacher, questions, asking, stage="evaluate", what=what)


def _guidance(
    run: Run, ledger: Ledger, teacher: AskedTeacher, settings: GuideSettings
) -> Iterator[Need]:
    """The teacher's own answers, chains for controls, and steps inside the student's answers."""
    task, limit = run.task, run.recipe.evaluate.max_tokens
    greedy = replace(teacher.asking, sampling=SamplingParams(max_tokens=limit))
    test = task.splits["test"]
    yield from plain(ledger, teacher, test, greedy, stage="guide", what=f"teacher on {task.name}")
    if "wrong_chain" in settings.controls:
        chains = SamplingParams(
            samples=settings.chains,
            temperature=settings.temperature,
            max_tokens=limit,
            seed=run.recipe.seed,
        )
        asking = replace(teacher.asking, sampling=chains)
        yield from plain(ledger, teacher, test, asking, stage="guide", what="chains that may err")
    if not isinstance(run.recipe.teacher, RecordedSettings):
        yield _steps(ledger, task, teacher._replace(asking=greedy), settings)


def _steps(ledger: Ledger, task: Task, teacher: AskedTeacher, settings: GuideSettings) -> Need:
    """Steps in the student's answers: as many as the policies place at most.

    What precedes a step is the student's to write, so those that are stored stand for as many.
    """
    test, dev = task.splits["test"], task.splits["dev"]
    need = Need(stage="guide", what="steps inside answers", teacher=teacher, questions=len(test))
    policies = settings.followed
    by_count = max((len(each.places) for each in policies), default=0)
    single = sum(each.places.start > 0 for each in policies)
    own = sum(name in ("hint", "question") for name in settings.controls)
    learns = any(each.conditional and each.threshold is None for each in policies)
    placed = [question for question in test for _ in range(by_count + single + own)]
    placed += [question for question in dev for _ in range(int(learns))]
    need.there = sum(
        each.model == teacher.model and each.completion.request.answer_prefix != ""
        for each in ledger.store.pool(("guide",))
    )
    for question in placed[need.there :]:
        like = teacher.asking.request(question)
        need.later.append(Later(like, PIECES, settings.step_tokens, 1 / PIECES, after=1))
    return need
