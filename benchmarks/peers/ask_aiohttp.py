"""A bare loop on aiohttp that writes each answer's bytes to a file: the floor, not a product."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import orjson
from peers.job import Job, Kept, distinct, drive

FILE = "answers.jsonl"


def ask(job: Job) -> None:
    """Ask everything, whatever is there."""
    asyncio.run(_ask(job))


async def _ask(job: Job) -> None:
    Path(job.folder).mkdir(exist_ok=True)
    questions = iter(job.rows())
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        with (Path(job.folder) / FILE).open("ab") as file:

            async def work() -> None:
                for row in questions:
                    body = {
                        "model": "mock",
                        "messages": [{"role": "user", "content": row["q"]}],
                        "n": job.samples,
                        "temperature": job.temperature,
                        "max_tokens": job.max_tokens,
                    }
                    if job.top_logprobs:
                        body |= {"logprobs": True, "top_logprobs": job.top_logprobs}
                    url = f"{job.url}/chat/completions"
                    async with session.post(url, data=orjson.dumps(body)) as response:
                        answer = await response.read()
                    orjson.loads(answer)
                    file.write(orjson.dumps(row["q"]) + b"\t" + answer + b"\n")

            await asyncio.gather(*(work() for _ in range(job.in_flight)))


def read(job: Job) -> Iterator[Kept]:
    """Returns the answers that the file holds."""
    for line in (Path(job.folder) / FILE).read_bytes().splitlines():
        question, _, answer = line.partition(b"\t")
        for choice in orjson.loads(answer)["choices"]:
            listed = (choice["logprobs"] or {}).get("content", [])
            names = ((bytes(top["bytes"]) for top in at["top_logprobs"]) for at in listed)
            yield Kept(question.decode(), distinct(names))


if __name__ == "__main__":
    drive(ask, read)
