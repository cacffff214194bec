"""lm-evaluation-harness: a task in YAML and its command; it keeps no probabilities of answers."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from peers.job import Job, Kept, drive

TASK = """
task: mock
dataset_path: json
dataset_kwargs:
  data_files: {{test: {questions}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{a}}}}"
generation_kwargs:
  until: []
  do_sample: {sampled}
  temperature: {temperature}
  max_gen_toks: {max_tokens}
repeats: {samples}
filter_list:
  - name: vote
    filter:
      - {{function: regex, regex_pattern: "The answer is (-?[0-9]+)"}}
      - {{function: majority_vote}}
      - {{function: take_first}}
metric_list:
  - metric: exact_match
"""


def ask(job: Job) -> None:
    """Become its command. Its cache is used where the job will be repeated."""
    folder = Path(job.folder)
    folder.mkdir(exist_ok=True)
    task = TASK.format(
        questions=job.questions,
        sampled=str(job.temperature > 0).lower(),
        temperature=job.temperature,
        max_tokens=job.max_tokens,
        samples=job.samples,
    )
    (folder / "mock.yaml").write_text(task)
    server = {
        "model": "mock",
        "base_url": f"{job.url}/chat/completions",
        "num_concurrent": job.in_flight,
        "tokenizer_backend": "none",
    }
    settings = ",".join(f"{name}={value}" for name, value in server.items())
    command = [sys.executable, "-m", "lm_eval", "--model", "local-chat-completions"]
    command += ["--model_args", settings, "--tasks", "mock", "--include_path", job.folder]
    command += ["--output_path", f"{job.folder}/results", "--log_samples", "--apply_chat_template"]
    if job.resumable:
        command += ["--use_cache", f"{job.folder}/cache"]
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": f"{job.folder}/datasets"}
    os.execv(sys.executable, command)


def read(job: Job) -> Iterator[Kept]:
    """Returns the answers that its newest file of samples holds."""
    files = Path(job.folder, "results").rglob("samples_*.jsonl")
    newest = max(files, key=lambda path: path.stat().st_mtime)
    for line in newest.read_text().splitlines():
        row = json.loads(line)
        for _ in row["resps"][0]:
            yield Kept(row["doc"]["q"])


if __name__ == "__main__":
    drive(ask, read, files="results/**/*")
