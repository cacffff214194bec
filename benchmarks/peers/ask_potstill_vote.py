"""potstill's vote of the evaluate stage, put to a server: it ends where no sample can change it."""

from collections.abc import Iterator

from peers.ask_potstill import write_recipe
from peers.job import Job, Kept, drive

from potstill.evaluate.measure import vote, winner
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.runtime.progress import Meter
from potstill.sampling.ask import answers
from potstill.tasks import grade


def ask(job: Job) -> None:
    """Draw samples until every vote is settled."""
    with Run(load_recipe(write_recipe(job)), Meter.on_stderr()) as run:
        _ = run.asked_teacher
        questions = run.task.splits["train"]
        vote(run.teacher, run.task, questions, run.asking, run.context, label="vote")


def read(job: Job) -> Iterator[Kept]:
    """The stored samples; every question's vote is counted on the way."""
    with Run(load_recipe(write_recipe(job)), Meter(None), read_only=True) as run:
        for question in run.task.splits["train"]:
            stored = answers(run.asked_teacher.name, run.store, question, run.asking)
            votes = [grade(run.task, sample.text, question).answer for sample in stored]
            assert stored[winner(run.task, votes)].text
            yield from (Kept(question.text) for _ in stored)


if __name__ == "__main__":
    drive(ask, read, files="run.sqlite*")
