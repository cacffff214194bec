"""The Fisher-weighted mean: values by hand, the information by its definition, the command."""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tiny_models import build_tiny_causal, build_tiny_seq2seq
from tiny_runs import two_finished_runs

from potstill.cli import main
from potstill.store import Store

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from potstill.merge.fisher import (  # noqa: E402
    fisher_diagonal,
    fisher_mean,
    score_direction,
    weighted_mean,
)
from potstill.merge.weights import TokenIds, average  # noqa: E402
from potstill.models.local.loading import load_model_and_tokenizer  # noqa: E402

EXAMPLES = [TokenIds([5, 6, 7], [9, 10, 11]), TokenIds([12, 5], [6])]


# values by hand ----------------------------------------------------------------------------------


def test_each_weight_is_weighted_by_the_members_information() -> None:
    tensors = [torch.tensor([3.0, 2.0, 5.0]), torch.tensor([1.0, 4.0, 1.0])]
    fishers = [torch.tensor([1.0, 0.0, 2.0]), torch.tensor([3.0, 2.0, 2.0])]
    merged = weighted_mean(tensors, fishers)  # 3 + 3 of 4, 0 + 8 of 2, 10 + 2 of 4
    assert merged.tolist() == pytest.approx([1.5, 4.0, 3.0], abs=1e-5)
    assert weighted_mean(tensors[::-1], fishers[::-1]).tolist() == pytest.approx(merged.tolist())


def test_a_weight_that_nobody_depends_on_becomes_the_average() -> None:
    tensors = [torch.tensor([3.0, 8.0]), torch.tensor([1.0, 4.0])]
    one, two = torch.tensor([1.0, 0.0]), torch.tensor([3.0, 0.0])
    assert weighted_mean(tensors, [one, two]).tolist() == pytest.approx([1.5, 6.0], abs=1e-5)
    nothing = torch.zeros(2)
    assert weighted_mean(tensors, [nothing, nothing]).tolist() == [2.0, 6.0]


def test_what_has_no_information_is_averaged_and_tied_names_stay_one_tensor() -> None:
    shared = [torch.tensor([3.0]), torch.tensor([1.0])]
    members = [
        {"embed": own, "head": own, "buffer": torch.tensor([4.0 * place]), "steps": torch.tensor(7)}
        for place, own in enumerate(shared)
    ]
    fishers = [{"embed": torch.tensor([1.0])}, {"embed": torch.tensor([3.0])}]
    merged = fisher_mean(members, fishers).weights
    assert merged["embed"].tolist() == merged["head"].tolist() == pytest.approx([1.5], abs=1e-5)
    assert merged["buffer"].tolist() == [2.0]
    assert merged["steps"].item() == 7


def test_equal_information_gives_the_average() -> None:
    members = [{"w": torch.randn(4, 3)} for _ in range(3)]
    fisher = {"w": torch.rand(4, 3)}
    merged = fisher_mean(members, [fisher] * 3).weights
    torch.testing.assert_close(merged["w"], average(members)["w"])


# the information ---------------------------------------------------------------------------------


class AllSigns:
    """Stands for a generator: the draws of ``torch.randint`` are these."""

    def __init__(self, draws: Iterator[Tensor]) -> None:
        self.draws = draws


def test_the_direction_has_the_covariance_of_the_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all signs of three labels, the mean of u u^T is diag(p) - p p^T exactly."""
    p = torch.tensor([[0.7, 0.2, 0.1]])
    draws = [torch.tensor([signs]) for signs in product((0, 1), repeat=3)]
    drawn = iter(draws)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: next(drawn))
    made = [score_direction(p.log(), torch.Generator())[0] for _ in draws]
    mean = torch.stack([torch.outer(u, u) for u in made]).mean(0)
    expected = torch.tensor([[0.21, -0.14, -0.07], [-0.14, 0.16, -0.02], [-0.07, -0.02, 0.09]])
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-6)


def logits_of(model: Any, example: TokenIds) -> Tensor:
    """The logits at an example's target tokens, by a plain call."""
    count = len(example.target)
    if model.config.is_encoder_decoder:
        written = [model.config.decoder_start_token_id, *example.target[:-1]]
        ids, own = torch.tensor([example.prompt]), torch.tensor([written])
        logits = model(input_ids=ids, decoder_input_ids=own).logits
    else:
        logits = model(torch.tensor([[*example.prompt, *example.target[:-1]]])).logits
    chosen: Tensor = logits[0, -count:]
    return chosen


def by_definition(model: Any) -> dict[str, Tensor]:
    """sum_y p(y) (d log p(y) / d w)^2 at each target token, label by label; the mean of tokens."""
    names, weights = zip(*model.named_parameters(), strict=True)
    sums, tokens = [torch.zeros_like(weight) for weight in weights], 0
    for example in EXAMPLES:
        for logs in logits_of(model, example).log_softmax(-1):
            tokens += 1
            for log in logs:
                gradients = torch.autograd.grad(log, weights, retain_graph=True, allow_unused=True)
                for total, gradient in zip(sums, gradients, strict=True):
                    if gradient is not None:
                        total += log.detach().exp() * gradient**2
    return {name: total / tokens for name, total in zip(names, sums, strict=True)}


@pytest.mark.parametrize("kind", ["causal", "encoder_decoder"])
def test_the_information_is_in_expectation_that_of_all_labels(kind: str, tmp_path: Path) -> None:
    """The mean of many draws comes to a loop over every label, tensor by tensor."""
    build = build_tiny_causal if kind == "causal" else build_tiny_seq2seq
    loaded = load_model_and_tokenizer(str(build(tmp_path)), dtype="float32")
    model: Any = loaded.model
    keep_few_labels(model)
    expected = by_definition(model)
    draws = [fisher_diagonal(model, EXAMPLES, seed=seed) for seed in range(60)]
    for name, fisher in expected.items():
        mean = torch.stack([draw[name] for draw in draws]).mean(0)
        assert mean.dtype == torch.float32
        assert float(mean.sum()) == pytest.approx(float(fisher.sum()), rel=0.35)
        if float(fisher.sum()) > 0:
            one, other = mean.flatten().double(), fisher.flatten().double()
            assert float(one @ other / (one.norm() * other.norm())) > 0.9


def keep_few_labels(model: Any) -> None:
    """Cut the vocabulary to 24 labels, so that a loop over all of them is quick."""
    model.resize_token_embeddings(24, mean_resizing=False)
    if model.config.is_encoder_decoder:  # with large embeddings it is certain of each token
        with torch.no_grad():
            model.shared.weight.mul_(0.05)
    model.eval()


def test_signs_are_fixed_by_the_seed(tmp_path: Path) -> None:
    model = load_model_and_tokenizer(str(build_tiny_causal(tmp_path)), dtype="float32").model
    one, same, other = (fisher_diagonal(model, EXAMPLES, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


# the command -------------------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two finished runs of one start."""
    monkeypatch.chdir(tmp_path)
    return two_finished_runs(tmp_path)


def merge(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["merge", *arguments])


def test_the_command_makes_and_measures_it_beside_the_average(runs: list[str]) -> None:
    methods = ("--method", "average", "--method", "fisher")
    result = merge(*runs, "--out", "both", *methods)
    assert result.exit_code == 0, result.output + repr(result.exception)
    systems = json.loads(Path("both/summary.json").read_text())["tasks"]["sums_questions"]
    assert [*systems] == ["sums", "products", "average", "fisher"]
    card = Path("both/fisher/README.md").read_text()
    assert "arXiv 2111.09832) on at most 1,000 training examples" in card
    merged, mean = (Path("both", name, "model.safetensors") for name in ("fisher", "average"))
    assert merged.read_bytes() != mean.read_bytes()
    # Measured once: neither the model nor the information is made again, nor the data needed.
    before = {path: path.stat().st_mtime_ns for path in Path("both").rglob("*.safetensors")}
    assert len(before) == 4
    for run in runs:
        with Store(Path(run, "run.sqlite")) as store:
            store.replace_rationales([], grader="1", settings_hash="x")
    assert merge(*runs[::-1], "--out", "both", *methods).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    refused = merge(*runs, "--out", "elsewhere", "--method", "fisher")
    assert refused.exit_code == 2
    assert "holds no example that" in refused.stderr
