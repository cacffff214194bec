"""Published completions with their gold answers and the authors' verdicts, one reader a folder.

A reader yields everything that a model wrote and an answer can be read from. Where a file has the
authors' prediction and no verdict, the verdict is that the prediction is the gold answer: numbers
by value, everything else as a string without regard to case.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from flat_outputs import (
    abel,
    llm_adapters,
    math500_final_answers,
    mmlu_pro,
    natural_program,
    plan_and_solve,
    thinking_traces,
    xot,
)
from published import (
    Published,
    Row,
    boxed,
    files,
    load,
    options,
    same,
    same_number,
    value,
)

from potstill.records import AnswerType

LEFT_OUT = {
    "tree_of_thought_game24": "an answer is an equation to be checked, not one to be read",
    "faithful_cot/*NL+SL*": "an answer is what the program prints when it is run",
    "grace/multiarith_test": "questions only",
}


BBH_TYPES: Mapping[str, AnswerType] = {
    "boolean_expressions": "yes_no",
    "causal_judgement": "yes_no",
    "dyck_languages": "list",
    "navigate": "yes_no",
    "object_counting": "number",
    "sports_understanding": "yes_no",
}


def bbh(folder: Path) -> Iterator[Published]:
    """The verdict is an exact match after "answer is", which gives the published totals."""
    for name, content in files(folder, "*"):
        if name.endswith("_eval_metrics"):
            continue
        kind = BBH_TYPES.get(name.rpartition("/")[2], "choice")
        for number_, row in enumerate(content["outputs"]):
            question = row["input"].rpartition("\n\nQ:")[2]
            listed = question.partition("Options:")[2].partition("\nA:")[0]
            read = row["prediction"].rpartition("answer is ")[2].strip().removesuffix(".")
            gold = row["target"].strip()
            yield Published(
                id=f"{name}#{number_}",
                answer_type=kind,
                question=question,
                text=row["prediction"],
                gold=gold.strip("()") if kind == "choice" else gold,
                choices=tuple(re.findall(r"\([A-Z]\) (.*)", listed)) if kind == "choice" else (),
                theirs=read == gold,
                predicted=read,
            )


CLOSING: Mapping[AnswerType, re.Pattern[str]] = {
    "choice": re.compile(r"(?<![A-Z])[A-E](?![A-Za-z])"),
    "number": re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?|-?\.\d+"),
    "yes_no": re.compile(r"True|False", re.IGNORECASE),
}


def cot_granularity(folder: Path) -> Iterator[Published]:
    """The closing answer is the gold answer, so a reader should find every one right.

    Left out are the 20 rows that close without an answer ("The answer is not given.").
    """
    for name, rows in files(folder):
        part = name.rpartition("/")[2].lower()
        kind: AnswerType = (
            "choice"
            if part.startswith(("aqua", "csqa"))
            else "yes_no"
            if part.startswith(("st", "strategy"))
            else "number"
        )
        for place, row in enumerate(rows):
            closing = CLOSING[kind].findall(re.split("(?i)answer is", row["output"])[-1])
            if not closing:
                continue
            yield Published(
                id=f"{name}#{place}",
                answer_type=kind,
                question=row["instruction"],
                text=row["output"],
                gold=closing[-1],
                choices=options(row["instruction"]) if kind == "choice" else (),
                theirs=True,
                predicted=closing[-1],
            )


def distilling_step_by_step(folder: Path) -> Iterator[Published]:
    """Yields answers without verdicts. PaLM's SVAMP answers are equations, in brackets."""
    for split in ("train", "test"):
        suffix = ".json.gz" if split == "train" else ".json"
        cqa = load(folder / "cqa" / f"cqa_{split}{suffix}")
        svamp = load(folder / "svamp" / f"svamp_{split}.json")
        for start, name, texts in _palm(folder, "cqa", split):
            for place, text in enumerate(texts):
                row = cqa[start + place]
                yield _chosen(f"{name}#{place}", row["question"], text, row)
        for start, name, texts in _palm(folder, "svamp", split):
            for place, text in enumerate(texts):
                row = svamp[start + place]
                yield _valued(f"{name}#{place}", row["input"], text, row["label"], "math")
        for row, (place, answer) in zip(
            svamp, enumerate(load(folder / "svamp" / f"svamp_{split}_llama3.json")), strict=True
        ):
            name = f"{folder.name}/svamp/svamp_{split}_llama3#{place}"
            yield _valued(name, row["input"], answer["gen_label"], row["label"], "number")
    test = load(folder / "cqa" / "cqa_test.json")
    answers = load(folder / "cqa" / "cqa_test_llama3.json")
    for place, (row, answer) in enumerate(zip(test, answers, strict=True)):
        name = f"{folder.name}/cqa/cqa_test_llama3#{place}"
        yield _chosen(name, row["question"], answer["gen_label"], row)


def _palm(folder: Path, part: str, split: str) -> Iterator[tuple[int, str, list[str]]]:
    """The completions of each file, with the row of the split that they start at."""
    paths = sorted((folder / part / "palm").glob(f"{split}_CoT_*.json"))
    start = 0
    for path in paths:
        texts = load(path)
        yield start, f"{folder.name}/{part}/palm/{path.stem}", texts
        start += len(texts)


def _chosen(name: str, question: str, text: str, row: Row) -> Published:
    return Published(
        id=name,
        answer_type="choice",
        question=f"{question} {row['choices']}",
        text=text,
        gold=row["answer"],
        choices=tuple(row["choices"]),
    )


def _valued(name: str, question: str, text: str, label: str, kind: AnswerType) -> Published:
    return Published(id=name, answer_type=kind, question=question, text=text, gold=value(label))


def early_stopping_sc(folder: Path) -> Iterator[Published]:
    """Yields answers without verdicts."""
    for name, rows in files(folder):
        for place, row in enumerate(rows):
            for sample, text in enumerate(row["generated_answer"]):
                yield Published(
                    id=f"{name}#{place}/{sample}",
                    answer_type="text",
                    question=row["question"],
                    text=text,
                    gold=row["answer"],
                )


FAITHFUL_TYPES: Mapping[str, AnswerType] = {
    "AQUA": "choice",
    "CLUTRR": "choice",
    "StrategyQA": "yes_no",
    "date": "date",
    "sports": "yes_no",
}


def faithful_cot(folder: Path) -> Iterator[Published]:
    """Programs are left out. CLUTRR's options are the relations that its gold answers name."""
    for part in sorted(path.name for path in folder.iterdir()):
        gold_rows = {row["id"]: row for row in load(folder / part / "gold.jsonl")}
        golds = {key: str(row["answer"]).rpartition("#### ")[2] for key, row in gold_rows.items()}
        relations = tuple(sorted(set(golds.values()))) if part == "CLUTRR" else ()
        kind = FAITHFUL_TYPES.get(part, "number")
        for name, rows in files(folder / part, "*_[CL]*"):
            for row in rows:
                samples = row["completions"] if len(row["completions"]) > 1 else [row["completion"]]
                question = gold_rows[row["id"]]
                for sample, text in enumerate(samples):
                    single, gold = len(samples) == 1, golds[row["id"]]
                    compared = same_number if kind == "number" else same
                    theirs = compared(row["answer"], gold)
                    listed = question.get("options", ())
                    yield Published(
                        id=f"{folder.name}/{name}#{row['id']}" + ("" if single else f"/{sample}"),
                        answer_type=kind,
                        question=question["question"],
                        text=text,
                        gold=gold,
                        choices=relations or tuple(option[2:] for option in listed),
                        theirs=theirs if single else None,
                        predicted=str(row["answer"]),
                    )


def grace(folder: Path) -> Iterator[Published]:
    """The prediction is what follows "####"."""
    for name, rows in files(folder, "*train*"):
        for place, row in enumerate(rows):
            gold = row["answer"].rpartition("####")[2].strip()
            for sample, text in enumerate(row["cots"]):
                predicted = text.rpartition("####")[2].strip()
                kind = _kind(gold.removeprefix("$"))
                yield Published(
                    id=f"{name}#{place}/{sample}",
                    answer_type=kind,
                    question=row["question"],
                    text=text,
                    gold=gold,
                    theirs=(same_number if kind == "number" else same)(predicted, gold),
                    predicted=predicted,
                )


def gsm8k_gpt3_finetuned(folder: Path) -> Iterator[Published]:
    """The verdict is the file's."""
    for name, rows in files(folder):
        for place, row in enumerate(rows):
            for system in (key for key, held in row.items() if isinstance(held, dict)):
                yield Published(
                    id=f"{name}#{place}/{system}",
                    answer_type="number",
                    question=row["question"],
                    text=row[system]["solution"],
                    gold=row["ground_truth"].rpartition("A: ")[2],
                    theirs=row[system]["is_correct"],
                )


def math_train_8_samples(folder: Path) -> Iterator[Published]:
    """Yields answers without verdicts. Left out are the four questions whose gold box is empty."""
    for name, rows in files(folder):
        for place, row in enumerate(rows):
            gold = boxed(row["answer"])
            for sample, text in enumerate(row["generated_answer"] if gold else ()):
                yield Published(
                    id=f"{name}#{place}/{sample}",
                    answer_type="math",
                    question=row["question"],
                    text=text,
                    gold=gold,
                )


LIKELIHOODS = ("more likely", "less likely", "equally likely")
MOT_TYPES: Mapping[str, AnswerType] = {
    "date": "date",
    "navigate": "yes_no",
    "crepe": "choice",
    "gsm": "number",
}


def mot_cascade(folder: Path) -> Iterator[Published]:
    """TabMWP has answers of several types, so that the gold answer tells which."""
    for name, rows in files(folder):
        part = name.rpartition("/")[2].partition("_")[0]
        for place, row in enumerate(rows):
            gold = str(row["answer"])
            kind = MOT_TYPES.get(part) or _kind(gold)
            for sample, (text, read) in enumerate(
                zip(row["generated"], row["results"], strict=True)
            ):
                yield Published(
                    id=f"{name}#{place}/{sample}",
                    answer_type=kind,
                    question=row["question"],
                    text=text,
                    gold=gold,
                    choices=LIKELIHOODS if part == "crepe" else (),
                    theirs=same(read, gold),
                    predicted=str(read),
                )


def _kind(gold: str) -> AnswerType:
    if re.fullmatch(r"-?[\d.,]+(?:/\d+)?", gold):
        return "number"
    return "yes_no" if gold in ("yes", "no", "true", "false") else "text"


def re2(folder: Path) -> Iterator[Published]:
    """The verdict is the file's score."""
    for name, rows in files(folder):
        for row in rows:
            asked = row.get("question", {})
            listed = tuple(option["text"] for option in asked.get("choices", ()))
            for style in ("vanilla", "cot"):
                for sample, text in enumerate((row[style] or {}).get("generation") or ()):
                    yield Published(
                        id=f"{name}#{row['id']}/{style}{sample}",
                        answer_type="choice" if listed else "number",
                        question=row.get("input") or asked["stem"],
                        text=text,
                        gold=str(row.get("target", row.get("answerKey"))),
                        choices=listed,
                        theirs=bool(row[style]["score"]),
                        predicted=str(row[style]["answer"]),
                    )


def tora(folder: Path) -> Iterator[Published]:
    """Program, its output and the closing sentence are one text."""
    for name, rows in files(folder):
        for row in rows:
            for sample, (text, read) in enumerate(zip(row["code"], row["pred"], strict=True)):
                yield Published(
                    id=f"{name}#{row['idx']}/{sample}",
                    answer_type="number",
                    question=row["question"],
                    text=text,
                    gold=row["gt"],
                    theirs=same(read, row["gt"]),
                    predicted=str(read),
                )


ZERO_SHOT_BLOCK = re.compile(
    r"^\d+st data\n1_th_sampling\nQ: (?P<question>.*?)\nA:(?P<text>.*?)\npred_before :"
    r".*?\npred_mode : (?P<read>.*?)\nGT : (?P<gold>.*?)$",
    re.DOTALL | re.MULTILINE,
)


def zero_shot_cot_logs(folder: Path) -> Iterator[Published]:
    """Both steps are one text, the second after the trigger, as the logs show it."""
    for path in sorted(folder.glob("*.log")):
        part = path.name.partition("_zero")[0]
        kind: AnswerType = (
            "choice"
            if part in ("aqua", "commonsensqa")
            else "yes_no"
            if part == "coin_flip"
            else "number"
        )
        for place, block in enumerate(ZERO_SHOT_BLOCK.finditer(path.read_text(encoding="utf-8"))):
            yield Published(
                id=f"{folder.name}/{path.stem}#{place}",
                answer_type=kind,
                question=block["question"],
                text=block["text"],
                gold=block["gold"],
                choices=options(block["question"]) if kind == "choice" else (),
                theirs=block["read"] == block["gold"],
                predicted=block["read"],
            )


FOLDERS: Mapping[str, Callable[[Path], Iterable[Published]]] = {
    "abel": abel,
    "bbh_code_davinci_002": bbh,
    "cot_granularity": cot_granularity,
    "distilling_step_by_step": distilling_step_by_step,
    "early_stopping_sc": early_stopping_sc,
    "faithful_cot": faithful_cot,
    "grace": grace,
    "gsm8k_gpt3_finetuned": gsm8k_gpt3_finetuned,
    "llm_adapters": llm_adapters,
    "math500_final_answers": math500_final_answers,
    "math_train_8_samples": math_train_8_samples,
    "mmlu_pro": mmlu_pro,
    "mot_cascade": mot_cascade,
    "natural_program": natural_program,
    "plan_and_solve_davinci_003": plan_and_solve,
    "re2": re2,
    "thinking_traces": thinking_traces,
    "tora": tora,
    "xot": xot,
    "zero_shot_cot_logs": zero_shot_cot_logs,
}
