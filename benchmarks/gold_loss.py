"""One batch's loss between two tokenizers, ours beside TRL's GOLD; see distillation_loss."""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from potstill.records import TeacherSpan, TokenLogprobs
from potstill.train.alignment import Vocabulary, soft_targets
from potstill.train.losses import Targets, matching_loss
from potstill.train.settings import MatchingSettings

TEACHER, STUDENT = 16_384, 8_192
BATCH, ROUNDS, CANDIDATES = 8, 5, 20
BIGRAMS, UNIGRAMS = 0.8, 0.199
"""Weights of the counts in the teacher's probabilities; the rest is uniform."""


class Side(NamedTuple):
    """A tokenizer and the batch in its tokens."""

    tokenizer: PreTrainedTokenizerBase
    ids: list[list[int]]


class Pair(NamedTuple):
    """The batch on both sides, and what the two models say of it."""

    texts: list[str]
    teacher: Side
    student: Side
    teacher_logits: list[Tensor]
    """``(T, V)`` of each text, at each of its tokens, and one for the end."""

    student_logits: list[Tensor]


def made_tokenizer(texts: list[str], entries: int) -> PreTrainedTokenizerBase:
    """Byte-level BPE of the texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=entries,
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>")


def counted(ids: list[list[int]], corpus: list[list[int]], vocabulary: int) -> list[Tensor]:
    """Log-probabilities by bigram counts, each text begun and ended by token 0."""
    following: dict[int, NDArray[np.float32]] = {}
    wanted, unigrams = {token for text in ids for token in (0, *text)}, np.zeros(vocabulary)
    for text in corpus:
        for before, token in zip([0, *text], [*text, 0], strict=True):
            unigrams[token] += 1
            if before in wanted:
                following.setdefault(before, np.zeros(vocabulary, np.float32))[token] += 1
    floor = UNIGRAMS * unigrams / unigrams.sum() + (1 - BIGRAMS - UNIGRAMS) / vocabulary
    rows = {
        before: torch.from_numpy(np.log(BIGRAMS * counts / counts.sum() + floor)).float()
        for before, counts in following.items()
    }
    return [torch.stack([rows[before] for before in (0, *text)]) for text in ids]


def material(data: Path) -> Pair:
    """Solutions of GSM8K; the teacher's bigram counts, a student that knows nothing."""
    lines = (data / "gsm8k" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    corpus, texts = [f"{row['question']}\n{row['answer']}" for row in rows], []
    texts = [row["answer"] for row in rows[:BATCH]]
    sides = []
    for entries in (TEACHER, STUDENT):
        tokenizer = made_tokenizer(corpus, entries)
        sides.append(Side(tokenizer, tokenizer(texts)["input_ids"]))
    teacher, student = sides
    known = teacher.tokenizer([row["answer"] for row in rows])["input_ids"]
    torch.manual_seed(0)
    return Pair(
        texts,
        teacher,
        student,
        counted(teacher.ids, known, len(teacher.tokenizer)),
        [torch.randn(len(ids) + 1, len(student.tokenizer)) for ids in student.ids],
    )


def span_of(text: str, ids: list[int], logits: Tensor, vocabulary: Vocabulary) -> TeacherSpan:
    """Returns the span of the teacher's text that a store or a server holds."""
    logprobs = logits[:-1].log_softmax(1)
    top = logprobs.topk(CANDIDATES, 1)
    written = torch.tensor(ids)[:, None]
    token_bytes, lengths = vocabulary.names(
        torch.cat([written, top.indices], 1).numpy().astype("i4")
    )
    tokens = TokenLogprobs(
        logprobs=torch.cat([logprobs.gather(1, written), top.values], 1).numpy(),
        token_bytes=token_bytes,
        lengths=lengths,
    )
    return TeacherSpan(tokens=tokens, start=0, end=len(text.encode()), shift=0)


def seconds_of(work: Callable[[], object]) -> float:
    """The median of a few rounds after the first, which fills caches."""
    taken = []
    for _ in range(1 + ROUNDS):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return statistics.median(taken[1:])


def our_rows(pair: Pair) -> list[dict[str, Any]]:
    """Ours, with the alignment and without; a store keeps no alignment, training makes it once."""
    vocabulary = Vocabulary(pair.student.tokenizer)
    names = Vocabulary(pair.teacher.tokenizer)
    spans = [
        span_of(text, ids, logits, names)
        for text, ids, logits in zip(pair.texts, pair.teacher.ids, pair.teacher_logits, strict=True)
    ]
    logits_NV = torch.cat([logits[:-1] for logits in pair.student_logits]).requires_grad_()
    labels_N = torch.tensor([token for ids in pair.student.ids for token in ids])

    def aligned() -> Targets:
        carried = [
            soft_targets(text, ids, span, vocabulary)
            for text, ids, span in zip(pair.texts, pair.student.ids, spans, strict=True)
        ]
        rows = [
            (torch.from_numpy(one.ids).T.long(), torch.from_numpy(one.probabilities).T)
            for one in carried
        ]
        return Targets(
            labels_N,
            _rows([ids for ids, _ in rows], fill=-1),
            _rows([probabilities for _, probabilities in rows], fill=0),
            torch.cat([torch.from_numpy(one.tail) for one in carried]),
            torch.cat([torch.from_numpy(one.soft) for one in carried]),
        )

    targets = aligned()
    assert targets.soft_N is not None
    assert targets.tail_N is not None

    def loss(targets: Targets) -> None:
        logits_NV.grad = None
        matching_loss(logits_NV, targets, MatchingSettings()).mean().backward()

    mass = float(((1 - targets.tail_N) * targets.soft_N).mean())
    return [
        {"system": "ours, loss", "seconds": seconds_of(lambda: loss(targets)), "mass": mass},
        {
            "system": "ours, alignment and loss",
            "seconds": seconds_of(lambda: loss(aligned())),
            "mass": mass,
        },
    ]


def _rows(columns: list[Tensor], *, fill: int) -> Tensor:
    """``(K, T)`` of each text, as ``(N, K)`` of all."""
    width = max(len(column) for column in columns)
    return torch.cat(
        [
            torch.nn.functional.pad(column, (0, 0, 0, width - len(column)), value=fill).T
            for column in columns
        ]
    )


def gold_rows(pair: Pair) -> list[dict[str, Any]]:
    """GOLD's, its grouping by byte offsets counted in, the offsets given."""
    from trl.experimental.gold import GOLDConfig
    from trl.experimental.gold.gold_trainer import ULDLoss
    from trl.experimental.utils import encode_with_byte_offsets

    def side(texts: Side, logits: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits, labels, ids and offsets, a token before each text and one after it."""
        backend = texts.tokenizer.backend_tokenizer
        offsets = [spans for _, spans in encode_with_byte_offsets(backend, pair.texts)]
        ids = pad_sequence([torch.tensor([0, *one, 0]) for one in texts.ids], batch_first=True)
        labels = [torch.tensor([-100, *one, 0]) for one in texts.ids]
        ends = [torch.tensor([(0, 0), *one, one[-1][1:] * 2]) for one in offsets]
        return (
            pad_sequence([torch.cat([one, one[:1]]) for one in logits], batch_first=True),
            pad_sequence(labels, batch_first=True, padding_value=-100),
            ids,
            pad_sequence(ends, batch_first=True),
        )

    teacher = side(pair.teacher, pair.teacher_logits)
    student = side(pair.student, pair.student_logits)
    rows = []
    for hybrid in (True, False):
        with TemporaryDirectory() as folder:
            config = GOLDConfig(
                output_dir=folder,
                use_cpu=True,
                bf16=False,
                report_to="none",
                uld_token_merge_strategy="bayesian",
                uld_use_hybrid_loss=hybrid,
            )
        loss = ULDLoss(config, pair.student.tokenizer, pair.teacher.tokenizer)
        logits = student[0].requires_grad_()

        def step(loss: Any = loss, logits: Tensor = logits) -> None:
            logits.grad = None
            sides = zip((logits, *student[1:]), teacher, strict=True)
            loss(*(tensor for both in sides for tensor in both)).backward()

        rows.append(
            {
                "system": f"GOLD, hybrid {'on' if hybrid else 'off'}",
                "seconds": seconds_of(step),
                "mass": named_mass(loss, pair, student, teacher) if hybrid else 0.0,
            }
        )
    return rows


def named_mass(loss: Any, pair: Pair, student: Any, teacher: Any) -> float:
    """The merged distributions' mass on tokens with a namesake, one distribution a group."""
    mass, namesakes = 0.0, sorted(loss._teacher_matched_ids)
    for row, (logits, ids) in enumerate(zip(pair.teacher_logits, pair.teacher.ids, strict=True)):
        _, groups = loss._align_by_byte_offsets(
            student[3][row, 1 : len(pair.student.ids[row]) + 1].tolist(),
            teacher[3][row, 1 : len(ids) + 1].tolist(),
        )
        merged = loss._merge_probabilities_with_alignment_groups(
            logits[:-1].softmax(1), groups, ids
        )
        mass += float(merged[:, namesakes].sum())
    return mass / sum(len(ids) for ids in pair.student.ids)


def beside_gold(data: Path) -> dict[str, Any]:
    """A row for each system, or why theirs was left out."""
    if not data.is_dir():
        print(f"two tokenizers: left out, there is no {data}")
        return {"left_out": "the texts are not there"}
    pair = material(data)
    probabilities = torch.cat([logits[:-1] for logits in pair.teacher_logits]).softmax(1)
    top = float(probabilities.topk(CANDIDATES, 1).values.sum(1).mean())
    print(f"\nthe teacher's {CANDIDATES} likeliest tokens hold {top:.3f} of its mass\n")
    rows = our_rows(pair)
    try:
        rows += gold_rows(pair)
    except ImportError as error:
        print(f"GOLD: left out, {error}")
    print("| two tokenizers | ms a batch | teacher's mass |\n|---|---|---|")
    for row in rows:
        print(f"| {row['system']} | {row['seconds'] * 1e3:,.1f} | {row['mass']:.3f} |", flush=True)
    return {"mass_of_candidates": top, "rows": rows}
