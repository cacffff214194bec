"""Wrong rationales as what a student learns not to write: the loss, the place, the training."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from tiny_models import build_tiny_causal, build_tiny_seq2seq

from potstill.errors import ConfigError, DataError
from potstill.models.local.loading import load_model_and_tokenizer
from potstill.models.settings import LocalSettings
from potstill.pipeline.recipe import load_recipe
from potstill.records import Example, Question, Rationale
from potstill.train.batches import flat, padded
from potstill.train.encoding import Encoded, EncodedExamples
from potstill.train.examples import example_shares, make_examples
from potstill.train.losses import Targets, loss_of, sample_matching, unlikelihood
from potstill.train.reporter import TrainProgress
from potstill.train.resolution import pass_size
from potstill.train.settings import StudentSettings, TrainSettings
from potstill.train.student import TrainedStudent, train_student, training_identity
from potstill.train.wrong_chains import (
    WRONG_CHAINS,
    UnlikelihoodSettings,
    departing,
    with_departures,
)

# the loss ----------------------------------------------------------------------------------------


def test_the_loss_and_its_gradient_by_hand() -> None:
    """q = 3/4 of two tokens: log 4 nats; q up at the label, q times the other's share down."""
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]], requires_grad=True)
    nats = unlikelihood(logits, torch.tensor([0, 1]))
    assert nats.tolist() == pytest.approx([math.log(4), math.log(2)])
    nats.sum().backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([0.75, -0.75, -0.5, 0.5])


def test_the_gradient_is_that_of_the_plain_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(40, 11, generator=generator)
    labels = torch.randint(0, 11, (40,), generator=generator)
    factors = torch.rand(40, generator=generator)
    ours, plain = logits.clone().requires_grad_(), logits.double().requires_grad_()
    (factors * unlikelihood(ours, labels)).sum().backward()
    probabilities = plain.softmax(1).gather(1, labels[:, None])[:, 0]
    expected = -(1 - probabilities).log()
    (factors.double() * expected).sum().backward()
    torch.testing.assert_close(
        unlikelihood(logits, labels).double(), expected, rtol=1e-4, atol=1e-6
    )
    assert ours.grad is not None and plain.grad is not None
    torch.testing.assert_close(ours.grad.double(), plain.grad, rtol=1e-4, atol=1e-6)


def test_however_sure_the_student_is_the_gradient_is_bounded_and_ends_at_zero() -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0], [40.0, 0.0, 0.0], [-200.0, 0.0, 0.0]])
    logits.requires_grad_()
    nats = unlikelihood(logits, torch.tensor([0, 0, 0]))
    nats.sum().backward()
    assert bool(nats.isfinite().all())
    assert nats[1].item() == pytest.approx(40 - math.log(2), abs=1e-4)  # exact beyond 1 - q = 0
    assert logits.grad is not None
    assert bool((logits.grad.abs() <= 1).all())
    assert logits.grad[1].tolist() == pytest.approx([1.0, -0.5, -0.5])
    assert logits.grad[2].tolist() == [0.0, 0.0, 0.0]
    # A student that follows it alone settles: minus the cross-entropy would go on for ever.
    free = torch.zeros(1, 3, requires_grad=True)
    optimiser = torch.optim.SGD([free], lr=1.0)
    steps = []
    for _ in range(200):
        optimiser.zero_grad()
        unlikelihood(free, torch.tensor([0])).sum().backward()
        optimiser.step()
        steps.append(free.detach().clone())
    assert float((steps[-1] - steps[-2]).abs().max()) < 0.01
    assert float(free.detach().softmax(1)[0, 0]) < 0.01


def test_marked_labels_are_unlearned_and_the_others_learned() -> None:
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(1)).requires_grad_()
    labels = torch.tensor([1, 2, 3, 4, 5])
    marked = torch.tensor([False, True, False, True, False])
    student = StudentSettings(unlikelihood=UnlikelihoodSettings())
    nats = loss_of(student)(logits, Targets(labels, unlikely_N=marked))
    expected = torch.where(marked, unlikelihood(logits, labels), sample_matching(logits, labels))
    torch.testing.assert_close(nats, expected)
    (ours,) = torch.autograd.grad(nats.sum(), logits, retain_graph=True)
    (theirs,) = torch.autograd.grad(expected.sum(), logits)
    torch.testing.assert_close(ours, theirs)
    all_marked = loss_of(student)(logits, Targets(labels, unlikely_N=torch.ones(5).bool()))
    torch.testing.assert_close(all_marked, unlikelihood(logits, labels))


# the place ---------------------------------------------------------------------------------------


def example(target: list[int], *, unlikely: bool = False, question: str = "q") -> Encoded:
    name = WRONG_CHAINS if unlikely else "fine_tune_cot"
    return Encoded([1, 2], target, question_id=question, data_format=name, unlikely=unlikely)


def test_a_wrong_rationale_counts_from_where_no_right_one_goes_on_so() -> None:
    right = [example([5, 6, 7, 8]), example([5, 9, 9]), example([4, 4])]
    wrong = example([5, 6, 3, 8, 2], unlikely=True)
    (made,) = list(departing([*right, wrong], UnlikelihoodSettings(weight=0.5)))[3:]
    assert (made.target, made.skip, made.weight) == ([5, 6, 3], 2, 0.5)
    assert made.trained == [3]
    (rest,) = list(departing([*right, wrong], UnlikelihoodSettings(tokens="rest")))[3:]
    assert (rest.target, rest.trained) == ([5, 6, 3, 8, 2], [3, 8, 2])
    assert list(departing(right, UnlikelihoodSettings())) == right


def test_what_does_not_show_where_it_goes_wrong_is_left_out_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    right, placed = example([5, 6, 7]), example([5, 8], unlikely=True)
    begins_otherwise = example([8, 6, 7], unlikely=True)
    a_part_of_a_right_one = example([5, 6], unlikely=True)
    nothing_right = example([5, 6, 7], unlikely=True, question="other")
    unplaced = [begins_otherwise, a_part_of_a_right_one, nothing_right]
    encoded = EncodedExamples([right, placed, *unplaced], too_long=0)
    made = with_departures(encoded, UnlikelihoodSettings())
    assert [one.trained for one in made.examples] == [[5, 6, 7], [8]]
    assert "1 of 4 wrong rationales are learned not to be written" in caplog.text
    with pytest.raises(DataError, match="none of 3 wrong rationales begins like a right one"):
        with_departures(EncodedExamples([right, *unplaced], too_long=0), UnlikelihoodSettings())


def test_only_the_departing_token_has_a_loss_in_a_batch() -> None:
    right = example([5, 6, 7])
    wrong = example([5, 6, 3], unlikely=True)._replace(skip=2, weight=0.5)
    row = flat([right, wrong])
    # The row has 1 2 5 6 once: after 6 stand both the 7 that is learned and the 3 that is not.
    learned = dict(zip(row["targets"]["labels_N"].tolist(), row["weights"].tolist(), strict=True))
    assert learned == {5: 1.0, 6: 1.0, 7: 1.0, 3: 0.5}
    marked = row["targets"]["labels_N"][row["targets"]["unlikely_N"]]
    assert marked.tolist() == [3]
    rows = padded(0)([right, wrong])
    assert rows["targets"]["labels_N"].tolist() == [5, 6, 7, 3]
    assert rows["targets"]["unlikely_N"].tolist() == [False, False, False, True]
    assert rows["positions"].tolist() == [1, 2, 3, 7]
    assert "unlikely_N" not in flat([right])["targets"]


def test_one_label_both_learned_and_unlearned_at_a_place_stays_two() -> None:
    right = example([5, 6])
    wrong = example([5, 6], unlikely=True, question="other")._replace(skip=1)
    row = flat([right, wrong])
    assert sorted(row["targets"]["labels_N"].tolist()) == [5, 6, 6]
    assert row["targets"]["unlikely_N"].sum() == 1


# examples ----------------------------------------------------------------------------------------

QUESTION = Question(id="q", text="What is 5 + 3?", answer="8")


def rationale(sample: int, text: str, answer: str | None, verdict: str) -> Rationale:
    return Rationale(
        question_id="q",
        completion_id=sample,
        sample=sample,
        text=text,
        answer=answer,
        verdict=verdict,
    )


RATIONALES = [
    rationale(0, "5 + 3 = 8.", "8", "kept"),
    rationale(1, "5 + 3 = 9.", "9", "wrong_answer"),
    rationale(2, "No idea.", None, "no_answer"),
    rationale(3, "5 + 3 = 7.", "7", "wrong_answer"),
]


def test_wrong_rationales_are_closed_by_their_own_answer() -> None:
    student = StudentSettings(data_format="fine_tune_cot", unlikelihood=UnlikelihoodSettings())
    made = make_examples(RATIONALES, (QUESTION,), student, encoder_decoder=False, seed=0)
    assert [(one.target, one.unlikely, one.data_format) for one in made] == [
        (" 5 + 3 = 8. --> 8", False, "fine_tune_cot"),
        (" 5 + 3 = 9. --> 9", True, WRONG_CHAINS),
        (" 5 + 3 = 7. --> 7", True, WRONG_CHAINS),
    ]
    plain = StudentSettings(data_format="fine_tune_cot")
    without = make_examples(RATIONALES, (QUESTION,), plain, encoder_decoder=False, seed=0)
    assert list(without) == made[:1]
    few = student.model_copy(update={"samples": 2})
    assert len(make_examples(RATIONALES, (QUESTION,), few, encoder_decoder=False, seed=0)) == 2


def test_they_have_a_share_of_the_examples_and_make_no_pass_longer() -> None:
    student = StudentSettings(
        data_format="fine_tune_cot", unlikelihood=UnlikelihoodSettings(share=0.25)
    )
    assert example_shares(student) == {"fine_tune_cot": 0.75, WRONG_CHAINS: 0.25}
    names = ["fine_tune_cot"] * 6 + [WRONG_CHAINS] * 50
    assert pass_size(names, example_shares(student)) == 8


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data_format": "fine_tune_answer"}, "a student asked in fine_tune_answer writes none"),
        (
            {"data_format": "predict_explain", "unlikelihood": {}},
            "a student asked in predict writes",
        ),
        ({"wrong_answers": True}, "unlikelihood has them unlearned"),
        ({"thinking": "keep"}, "Set thinking to drop"),
        ({"replay": {"tasks": ["coin_toss"], "share": 0.8}}, "leave no examples"),
        ({"unlikelihood": {"weight": 2}}, "less than or equal to 1"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object], told: str) -> None:
    values = {"data_format": "fine_tune_cot", "unlikelihood": {}, **changes}
    with pytest.raises(ValidationError, match=told):
        StudentSettings.model_validate(values)


def test_a_recipe_that_keeps_wrong_rationales_has_none_to_unlearn() -> None:
    values = {
        "task": "two_step_arithmetic",
        "run": "runs/x",
        "teacher": "bundled:teacher",
        "student": "bundled:student",
        "curate": {"right_answer": False},
        "train": {"students": {"contrast": {"unlikelihood": {}}}},
    }
    with pytest.raises(ConfigError, match=r"train.students.contrast.unlikelihood learns from"):
        load_recipe(values)


# the training ------------------------------------------------------------------------------------


def taught(
    folder: Path, start: Path, unlikely: UnlikelihoodSettings, **more: object
) -> TrainedStudent:
    student = StudentSettings(
        start=LocalSettings(model=f"hf:{start}", device="cpu"),
        data_format="fine_tune_cot",
        unlikelihood=unlikely,
    )
    values = {"steps": 12, "batch_size": 4, "learning_rate": 1e-2, "checkpoints": 3}
    own = {name: more.pop(name) for name in ("steps", "batch_size") if name in more}
    settings = TrainSettings.model_validate({**values, **own, "precision": "float32"})
    return train_student(student, EXAMPLES, settings, folder, **more)  # type: ignore[arg-type]


EXAMPLES = [
    Example(
        prompt=f"Q: What is {number} + 3? ###",
        target=f" It is {number} + 3 = {value}. --> {value}",
        question_id=str(number),
        data_format=WRONG_CHAINS if wrong else "fine_tune_cot",
        unlikely=wrong,
    )
    for number in range(0, 8, 2)
    for value, wrong in ((number + 3, False), (number + 4, True))
]


def test_a_step_minimises_both_by_their_weights(tmp_path: Path) -> None:
    """The first loss is the start's own, by plain calls: learned tokens 1, departing ones 1/4."""
    start = build_tiny_causal(tmp_path / "start", "qwen3")
    unlikely = UnlikelihoodSettings(share=0.5, weight=0.25)
    student = taught(tmp_path / "s", start, unlikely, steps=1, batch_size=8)
    model, tokenizer, _ = load_model_and_tokenizer(str(start), dtype="float32", device="cpu")
    nats, weight = 0.0, 0.0
    for right, wrong in zip(EXAMPLES[::2], EXAMPLES[1::2], strict=True):
        before = len(tokenizer(right.prompt)["input_ids"])
        good, bad = (
            [*tokenizer(f"{one.prompt}{one.target}")["input_ids"], tokenizer.eos_token_id]
            for one in (right, wrong)
        )
        place = next(i for i, (a, b) in enumerate(zip(good, bad, strict=False)) if a != b)
        with torch.no_grad():
            logs = model(torch.tensor([good])).logits[0].log_softmax(-1)
        nats -= sum(float(logs[at - 1, good[at]]) for at in range(before, len(good)))
        nats -= 0.25 * math.log(1 - math.exp(float(logs[place - 1, bad[place]])))
        weight += len(good) - before + 0.25
    assert student.examples == 8
    assert student.log[0].loss == pytest.approx(nats / weight, rel=1e-4)


def test_an_interrupted_training_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    start = build_tiny_causal(tmp_path / "start", "qwen3")
    whole = taught(tmp_path / "whole", start, UnlikelihoodSettings())

    def stop(progress: TrainProgress) -> None:
        if progress.step == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        taught(tmp_path / "cut", start, UnlikelihoodSettings(), on_step=stop)
    again = taught(tmp_path / "cut", start, UnlikelihoodSettings())
    one, other = (student.checkpoints[-1][1] / "model.safetensors" for student in (whole, again))
    assert one.read_bytes() == other.read_bytes()
    assert [line.loss for line in again.log] == [line.loss for line in whole.log]


def test_an_encoder_decoder_learns_so_too(tmp_path: Path) -> None:
    student = taught(tmp_path / "s", build_tiny_seq2seq(tmp_path / "start"), UnlikelihoodSettings())
    assert all(math.isfinite(line.loss) for line in student.log)


def test_it_is_another_student_than_without(tmp_path: Path) -> None:
    start = LocalSettings(model=f"hf:{build_tiny_causal(tmp_path)}", device="cpu")
    plain = StudentSettings(start=start, data_format="fine_tune_cot")
    settings = TrainSettings(steps=2, learning_rate=1e-2, batch_size=2)

    def identity(student: StudentSettings, examples: list[Example]) -> str:
        return training_identity(student, examples, settings)

    contrasts = [
        plain.model_copy(update={"unlikelihood": UnlikelihoodSettings(weight=weight)})
        for weight in (0.5, 1.0)
    ]
    learned = [replace(one, unlikely=False) for one in EXAMPLES]
    assert len({identity(plain, learned), *(identity(one, EXAMPLES) for one in contrasts)}) == 3
