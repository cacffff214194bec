"""distilabel: a pipeline of two steps, one of them its TextGeneration on an OpenAILLM."""

import logging
from collections.abc import Iterator
from pathlib import Path

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration
from peers.job import Job, Kept, distinct, drive

FILE = "data.parquet"


def ask(job: Job) -> None:
    """Run the pipeline with its cache.

    All questions are one batch, which is fastest; a batch is what is lost when it is killed, so a
    job that will be is cut into batches of what is in flight.
    """
    # It silences the HTTP library of its time; today's would print a line for every request.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    rows = [{"instruction": row["q"]} for row in job.rows()]
    batch = job.in_flight if job.resumable else len(rows)
    generation = {"max_new_tokens": job.max_tokens, "temperature": job.temperature}
    if job.top_logprobs:
        generation |= {"logprobs": True, "top_logprobs": job.top_logprobs}
    with Pipeline(name="benchmark", cache_dir=job.folder) as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=batch)
        generate = TextGeneration(
            llm=OpenAILLM(
                model="mock", base_url=job.url, api_key="none", generation_kwargs=generation
            ),
            num_generations=job.samples,
            input_batch_size=batch,
        )
        load >> generate
    distiset = pipeline.run(use_cache=True)
    Path(job.folder).mkdir(exist_ok=True)
    distiset["default"]["train"].to_parquet(Path(job.folder) / FILE)


def read(job: Job) -> Iterator[Kept]:
    """Returns the answers that the data set holds."""
    from datasets import Dataset

    for row in Dataset.from_parquet(str(Path(job.folder) / FILE), cache_dir=f"{job.folder}.cache"):
        if row["generation"] is None:
            continue
        logprobs = row.get("llm_text_generation_0_logprobs") or []
        names = ((top["token"] for top in position) for position in logprobs)
        yield Kept(row["instruction"], distinct(names))


if __name__ == "__main__":
    drive(ask, read, files=FILE)
