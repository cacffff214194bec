"""bespokelabs-curator: an LLM block on its litellm back end, the one that starts offline.

It reads one choice of an answer and no probabilities, so it is given jobs of one sample only.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from peers.job import Job, Kept, drive

os.environ |= {
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_API_KEY": "none",
    "TELEMETRY_ENABLED": "False",
}

UNLIMITED = 10_000_000


def ask(job: Job) -> None:
    """Call the block on all questions; its cache is the job's folder."""
    from bespokelabs import curator

    class Answers(curator.LLM):  # type: ignore[misc]
        """One answer to each question."""

        def prompt(self, row: dict[str, str]) -> str:
            """The question as it is."""
            return row["q"]

        def parse(self, row: dict[str, str], response: str) -> dict[str, str]:
            """The question beside its answer."""
            return {"question": row["q"], "answer": response}

    block = Answers(
        model_name="openai/mock",
        backend="litellm",
        backend_params={
            "base_url": job.url,
            "max_concurrent_requests": job.in_flight,
            "max_requests_per_minute": UNLIMITED,
            "max_tokens_per_minute": UNLIMITED,
            "invalid_finish_reasons": ["content_filter"],
        },
        generation_params={"max_tokens": job.max_tokens, "temperature": job.temperature},
    )
    block(job.rows(), working_dir=job.folder)


def read(job: Job) -> Iterator[Kept]:
    """Returns the answers that the newest data set in its cache holds."""
    from datasets import Dataset

    files = Path(job.folder).glob("*/*.arrow")
    rows = [path for path in files if not path.name.startswith("cache-")]  # those hold an order
    newest = max(rows, key=lambda path: path.stat().st_mtime)
    for row in Dataset.from_file(str(newest)):
        yield Kept(row["question"])


if __name__ == "__main__":
    drive(ask, read)
