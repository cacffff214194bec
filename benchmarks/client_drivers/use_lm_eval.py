"""lm-evaluation-harness: log-likelihoods, rolling ones, and generation in batches.

The log-likelihoods have to be those of its own ``hf`` model, which runs the same weights.
"""

# mypy: ignore-errors
# It runs in an environment of its own, whose packages are not here.

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.tasks import TaskManager
from steps import ALONE, GUIDED, MODEL, step

WEIGHTS = os.environ["STUDENT_FOLDER"]
DOCUMENTS = [
    {"question": f"Ana has {n} pens and buys 4 more. How many pens?", "choices": ["7", "8", "9"],
     "gold": n % 3} for n in range(3, 9)
]  # fmt: skip
COMMON = "dataset_path: json\ndataset_kwargs: {{data_files: {{test: {file}}}}}\ntest_split: test\n"
TASKS = {
    "choice": "output_type: multiple_choice\ndoc_to_text: 'Q: {{question}}\\nA:'\n"
    "doc_to_choice: '{{choices}}'\ndoc_to_target: gold\nmetric_list: [{metric: acc}]\n",
    "rolling": "output_type: loglikelihood_rolling\ndoc_to_text: ''\n"
    "doc_to_target: '{{question}}'\nmetric_list: [{metric: word_perplexity}]\n",
    "write": "output_type: generate_until\ndoc_to_text: 'Q: {{question}}\\nA:'\n"
    "doc_to_target: '{{choices[gold]}}'\n"
    "generation_kwargs: {until: ['Q:'], max_gen_toks: 16}\nmetric_list: [{metric: exact_match}]\n",
}


def evaluate(model: str, arguments: dict[str, Any], tasks: TaskManager, task: str) -> Any:
    """The results and the samples of one task."""
    return lm_eval.simple_evaluate(
        model=model, model_args=arguments, tasks=[task], task_manager=tasks, batch_size=4,
        log_samples=True, bootstrap_iters=0,
    )  # fmt: skip


def responses(found: Any, task: str) -> list[list[float]]:
    """The log-likelihoods of each document."""
    samples = sorted(found["samples"][task], key=lambda sample: sample["doc_id"])
    return [
        [float(one[0] if isinstance(one, list | tuple) else one) for one in _flat(sample["resps"])]
        for sample in samples
    ]


def _flat(answers: list[list[Any]]) -> list[Any]:
    return [answer for group in answers for answer in group]


def agree(task: str) -> bool:
    """Whether the server's log-likelihoods are those of the weights."""
    theirs = responses(evaluate("hf", LOCAL, manager, task), task)
    ours = responses(evaluate("local-completions", SERVED, manager, task), task)
    pairs = [
        pair for document in zip(ours, theirs, strict=True) for pair in zip(*document, strict=True)
    ]
    return len(pairs) >= len(DOCUMENTS) and all(abs(one - other) < 1e-3 for one, other in pairs)


folder = Path(tempfile.mkdtemp())
(folder / "documents.jsonl").write_text("\n".join(map(json.dumps, DOCUMENTS)), encoding="utf-8")
for name, text in TASKS.items():
    common = COMMON.format(file=folder / "documents.jsonl")
    (folder / f"{name}.yaml").write_text(f"task: {name}\n{common}{text}", encoding="utf-8")
manager = TaskManager(include_path=str(folder), include_defaults=False)
LOCAL = {"pretrained": WEIGHTS, "device": "cpu", "dtype": "float32"}
SERVED = {
    "model": MODEL, "base_url": f"{ALONE}/completions", "tokenizer": WEIGHTS, "max_length": 256,
    "max_retries": 1,
}  # fmt: skip
CHAT = {**SERVED, "base_url": f"{GUIDED}/chat/completions"}


def chats() -> bool:
    """Generation by the chat route."""
    found = lm_eval.simple_evaluate(
        model="local-chat-completions", model_args=CHAT, tasks=["write"], task_manager=manager,
        apply_chat_template=True, bootstrap_iters=0, log_samples=True,
    )  # fmt: skip
    return bool(found["samples"]["write"][0]["resps"][0][0])


step("log-likelihoods as of the weights", lambda: agree("choice"))
step("rolling log-likelihoods", lambda: agree("rolling"))
step("generation in batches", lambda: evaluate("local-completions", SERVED, manager, "write"))
step("generation, chat", chats)
