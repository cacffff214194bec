"""A bare loop on the official SDK that writes each answer as JSON to a file."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

from openai import AsyncOpenAI, omit
from peers.job import Job, Kept, distinct, drive

FILE = "answers.jsonl"


def ask(job: Job) -> None:
    """Ask everything, whatever is there."""
    asyncio.run(_ask(job))


async def _ask(job: Job) -> None:
    Path(job.folder).mkdir(exist_ok=True)
    questions = iter(job.rows())
    client = AsyncOpenAI(base_url=job.url, api_key="none")
    with (Path(job.folder) / FILE).open("a") as file:

        async def work() -> None:
            for row in questions:
                answer = await client.chat.completions.create(
                    model="mock",
                    messages=[{"role": "user", "content": row["q"]}],
                    n=job.samples,
                    temperature=job.temperature,
                    max_tokens=job.max_tokens,
                    logprobs=True if job.top_logprobs else omit,
                    top_logprobs=job.top_logprobs or omit,
                )
                file.write(json.dumps(row["q"]) + "\t" + answer.to_json(indent=None) + "\n")

        await asyncio.gather(*(work() for _ in range(job.in_flight)))


def read(job: Job) -> Iterator[Kept]:
    """Returns the answers that the file holds."""
    for line in (Path(job.folder) / FILE).read_text().splitlines():
        question, _, answer = line.partition("\t")
        for choice in json.loads(answer)["choices"]:
            listed = (choice.get("logprobs") or {}).get("content", [])
            names = ((bytes(top["bytes"]) for top in at["top_logprobs"]) for at in listed)
            yield Kept(question, distinct(names))


if __name__ == "__main__":
    drive(ask, read)
