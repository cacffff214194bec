"""inspect_ai: an evaluation set of one task, its answers scored by their number."""

import os
from collections.abc import Iterator
from pathlib import Path

from peers.job import Job, Kept, distinct, drive


def ask(job: Job) -> None:
    """Evaluate; what is repeated goes on from its log, and answers are taken from its cache."""
    os.environ |= {
        "INSPECT_CACHE_DIR": f"{job.folder}/cache",
        "LOCAL_API_KEY": "none",
        "LOCAL_BASE_URL": job.url,
    }
    from inspect_ai import Epochs, Task, eval_set
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    samples = [Sample(row["q"], target=row["a"], id=row["q"]) for row in job.rows()]
    epochs = Epochs(job.samples, "mode")
    task = Task(samples, solver=generate(), scorer=match(numeric=True), epochs=epochs)
    eval_set(
        task,
        log_dir=str(logs(job)),
        model="openai-api/local/mock",
        max_connections=job.in_flight,
        temperature=job.temperature,
        max_tokens=job.max_tokens,
        logprobs=job.top_logprobs > 0,
        top_logprobs=job.top_logprobs or None,
        cache=job.resumable,
        log_realtime=job.resumable,
        display="none",
    )


def logs(job: Job) -> Path:
    """A folder of its own for each set of samples; inspect refuses to mix them."""
    return Path(job.folder) / f"logs-{len(job.rows())}-{job.samples}-{job.max_tokens}"


def read(job: Job) -> Iterator[Kept]:
    """Returns the answers of the newest log; one that goes on from a killed one repeats them."""
    from inspect_ai.log import list_eval_logs, read_eval_log

    for info in list_eval_logs(str(logs(job)), descending=True)[:1]:
        for sample in read_eval_log(info).samples or []:
            for choice in sample.output.choices:
                positions = choice.logprobs.content if choice.logprobs else []
                names = ((bytes(top.bytes) for top in at.top_logprobs) for at in positions)
                yield Kept(str(sample.id), distinct(names))


if __name__ == "__main__":
    drive(ask, read, files="logs-*/**/*")
