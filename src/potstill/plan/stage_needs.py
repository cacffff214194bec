"""The needs of each stage of a run: generate, a debate, evaluate, guide.

Each function reads from the recipe and the store what its stage would ask the teachers, as the
stage itself does, without opening a model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from potstill.guide import GuideSettings
from potstill.guide.decoder import PIECES
from potstill.guide.gate_choice import ASKING_SHARES
from potstill.pipeline.run import Run
from potstill.pipeline.stage_inputs import learns_rationales
from potstill.plan.needs import Later, Ledger, Need, needs_of_samples, needs_until_enough
from potstill.plan.scoring_needs import scoring_needs
from potstill.records import Question, Split, Task
from potstill.records.policy import ANY_STEP, ROUTE
from potstill.sampling.ask import SamplingParams
from potstill.sampling.debate import AskedTeacher, further_requests, read_rounds


def run_needs(run: Run, ledger: Ledger, teachers: Sequence[AskedTeacher]) -> list[Need]:
    """Everything that the run's stages ask of teachers, in the order in which they ask it.

    Args:
        run: Opened for reading; its models are not opened.
        ledger: Counts against the run's store.
        teachers: In the order of the recipe; the first is measured, and guides.
    """
    needs = [need for teacher in teachers for need in generate_needs(run, ledger, teacher)]
    if run.recipe.generate.debate is not None:
        needs += _debate_needs(run, ledger, teachers)
    needs += scoring_needs(run, ledger, teachers)
    needs += _evaluate_needs(run, ledger, teachers[0])
    if run.recipe.guide is not None:
        needs += _guide_needs(run, ledger, teachers[0], run.recipe.guide)
    return [need for need in needs if need.there or need.missing]


def generate_needs(run: Run, ledger: Ledger, teacher: AskedTeacher) -> list[Need]:
    """The first needs of one teacher: rationales, with the second step where there is one."""
    what = f"rationales of {teacher.name}" if run.recipe.teachers else "rationales"
    if not learns_rationales(run.recipe.train.students.values()):
        what += ", learned by no student"
    enough = run.recipe.generate.enough_right
    if enough is not None:
        most_wrong = run.recipe.generate.most_wrong
        return needs_until_enough(
            ledger, teacher, run.task, enough=enough, what=what, most_wrong=most_wrong
        )
    return needs_of_samples(
        ledger, teacher, run.task, "train", teacher.asking, stage="generate", what=what
    )


def _debate_needs(run: Run, ledger: Ledger, teachers: Sequence[AskedTeacher]) -> Iterator[Need]:
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
                    *({answer.sample for answer in answers} for answers in before.values())
                )
                known = [
                    request
                    for request in further_requests(question, teacher, before, task=run.task.name)
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
        waiting = sampling.samples - settled
        need.later.append(Later(like, waiting, sampling.max_tokens, after=teachers))


def _evaluate_needs(run: Run, ledger: Ledger, teacher: AskedTeacher) -> Iterator[Need]:
    """The first teacher's own answers, greedy, to all that systems are measured on."""
    settings = run.recipe.evaluate
    if not settings.teacher:
        return
    greedy = replace(teacher.asking, sampling=SamplingParams(max_tokens=settings.max_tokens))
    # A Socratic pair with as many steps as the teacher takes needs its answers to choose by, too.
    counts_teacher = any(pair.count == "teacher" for pair in settings.socratic.values())
    splits: tuple[Split, ...]
    for entry in run.entries:
        asking = entry.asking or greedy
        splits = ("dev", "test") if counts_teacher and entry.followed else ("test",)
        for split in splits:
            what = f"teacher on {entry.name} {split}"
            yield from needs_of_samples(
                ledger, teacher, entry.task, split, asking, stage="evaluate", what=what
            )


def _guide_needs(
    run: Run, ledger: Ledger, teacher: AskedTeacher, settings: GuideSettings
) -> Iterator[Need]:
    """The teacher's own answers, chains for controls, and steps inside the student's answers."""
    task, limit = run.task, run.recipe.evaluate.max_tokens
    greedy = replace(teacher.asking, sampling=SamplingParams(max_tokens=limit))
    what = f"teacher on {task.name}"
    yield from needs_of_samples(ledger, teacher, task, "test", greedy, stage="guide", what=what)
    if any(policy.when in (ANY_STEP, ROUTE) for policy in settings.undecided):
        yield from needs_of_samples(ledger, teacher, task, "dev", greedy, stage="guide", what=what)
    if "wrong_chain" in settings.controls:
        chains = SamplingParams(
            samples=settings.chains,
            temperature=settings.temperature,
            max_tokens=limit,
            seed=run.recipe.seed,
        )
        asking = replace(teacher.asking, sampling=chains)
        what = "chains that may err"
        yield from needs_of_samples(ledger, teacher, task, "test", asking, stage="guide", what=what)
    if run.recipe.teacher.can_continue:
        yield _step_needs(ledger, task, teacher._replace(asking=greedy), settings)


def _step_needs(ledger: Ledger, task: Task, teacher: AskedTeacher, settings: GuideSettings) -> Need:
    """Steps in the student's answers: at most as many as the policies place or allow for.

    The text before a step is the student's to write, so it is not known which of them are stored;
    as many as are stored are taken to be of those.
    """
    test, dev = task.splits["test"], task.splits["dev"]
    need = Need(stage="guide", what="steps inside answers", teacher=teacher, questions=len(test))
    # Policies that begin at the first step share their steps; `at` a later one has its own.
    policies = settings.followed
    placed = [policy for policy in policies if policy.when != ANY_STEP]
    from_first = max((len(policy.places) for policy in placed), default=0)
    at_later = sum(policy.places.start > 0 for policy in placed)
    any_step = [policy for policy in policies if policy.when == ANY_STEP]
    controls = sum(name in ("hint", "question") for name in settings.controls)
    in_test = from_first + at_later + controls + sum(policy.steps for policy in any_step)
    tried = len(ASKING_SHARES) + 1  # thresholds, the last of which hands every step over
    in_dev = int(bool(settings.undecided))
    in_dev += sum(tried * policy.steps for policy in any_step if policy in settings.undecided)
    stepped = [question for question in test for _ in range(in_test)]
    stepped += [question for question in dev for _ in range(in_dev)]
    need.there = sum(
        pooled.model == teacher.model and pooled.completion.request.answer_prefix != ""
        for pooled in ledger.store.pool(("guide",))
    )
    for question in stepped[need.there :]:
        like = teacher.asking.request(question)
        need.later.append(Later(like, PIECES, settings.step_tokens, 1 / PIECES, after=1))
    return need
