import json
import shlex
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import yaml
from click.testing import CliRunner, Result
from tiny_models import Architecture, build_tiny_causal, build_tiny_seq2seq
from tiny_runs import finished_run, two_finished_runs

import potstill.merge.stage
from potstill.cli import main
from potstill.errors import ConfigError, DataError, ModelError
from potstill.merge import MergeSettings
from potstill.models import open_model
from potstill.records import Completion, Request
from potstill.runtime.progress import Meter
from potstill.store import Store

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from potstill.merge.members import merge_models  # noqa: E402
from potstill.merge.stage import MergeRun, merge_settings  # noqa: E402
from potstill.merge.weights import (  # noqa: E402  # noqa: E402
    MergedWeights,
    TokenIds,
    average,
    gram_matrices,
    linear_layers,
    regmean,
    regression_mean,
)
from potstill.models.local.ensemble import EnsembleModel  # noqa: E402
from potstill.models.local.loading import load_model_and_tokenizer  # noqa: E402
from potstill.models.local.model import HFModel  # noqa: E402
from potstill.models.settings import LocalSettings  # noqa: E402

QUIET = Meter(None)
EXAMPLES = [TokenIds([5, 6, 7, 8], [9, 10, 11]), TokenIds([12, 5], [6]), TokenIds([20], [21, 22])]


def matrix(*rows: Sequence[float]) -> Tensor:
    made: Tensor = torch.tensor(rows, dtype=torch.float64)
    return made


def drawn(*shape: int, seed: int = 0) -> Tensor:
    made: Tensor = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return made


# worked values -----------------------------------------------------------------------------------


def test_the_average_is_the_mean_of_each_weight() -> None:
    members = [
        {"a.weight": matrix([1, 2], [3, 4]).float(), "steps": torch.tensor(7)},
        {"a.weight": matrix([3, 0], [5, -4]).float(), "steps": torch.tensor(9)},
    ]
    merged = average(members)
    assert merged["a.weight"].tolist() == [[2, 1], [4, 0]]
    assert merged["steps"].item() == 7


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (1.0, [0.4, 0.8]),  # [[3, 1], [1, 2]]^-1 [2, 2]
        (0.5, [3.25 / 5.75, 3.5 / 5.75]),  # [[3, .5], [.5, 2]]^-1 [2, 1.5]
        (0.0, [2 / 3, 0.5]),  # each input by itself
    ],
)
def test_regmean_by_hand(alpha: float, expected: list[float]) -> None:
    grams = [matrix([2, 1], [1, 1]), matrix([1, 0], [0, 1])]
    weights = [matrix([1], [0]), matrix([0], [1])]
    merged, singular = regression_mean(weights, grams, alpha=alpha)
    assert merged[:, 0].tolist() == pytest.approx(expected, rel=1e-12)
    assert not singular


def test_regmean_minimises_the_squared_differences_of_outputs() -> None:
    inputs = [drawn(50, 6, seed=1), 3 * drawn(20, 6, seed=2), drawn(9, 6, seed=3)]
    weights = [drawn(6, 4, seed=seed) for seed in (4, 5, 6)]
    # A Gram is a mean over a member's tokens, so each member's rows weigh one over their number.
    rows = torch.cat([x / len(x) ** 0.5 for x in inputs]).double()
    outputs = [x @ w / len(x) ** 0.5 for x, w in zip(inputs, weights, strict=True)]
    expected = torch.linalg.lstsq(rows, torch.cat(outputs).double()).solution
    grams = [x.T @ x / len(x) for x in inputs]
    merged, _ = regression_mean(weights, grams, alpha=1.0)
    torch.testing.assert_close(merged, expected, rtol=1e-4, atol=1e-5)
    backwards, _ = regression_mean(weights[::-1], grams[::-1], alpha=1.0)
    torch.testing.assert_close(backwards, merged, rtol=1e-9, atol=1e-9)


def test_regmean_of_one_member_is_that_member() -> None:
    x, weight = drawn(40, 6), drawn(6, 4, seed=1)
    merged, singular = regression_mean([weight], [x.T @ x], alpha=0.9)
    torch.testing.assert_close(merged, weight.double(), rtol=1e-9, atol=1e-9)
    assert not singular


def test_regmean_with_equal_grams_is_the_average() -> None:
    weights = [drawn(5, 3, seed=1), drawn(5, 3, seed=2)]
    mean = (weights[0].double() + weights[1].double()) / 2
    for gram in (torch.eye(5), drawn(9, 5).T @ drawn(9, 5)):
        merged, _ = regression_mean(weights, [gram, gram], alpha=0.9)
        torch.testing.assert_close(merged, mean, rtol=1e-9, atol=1e-9)


def test_what_no_input_tells_apart_becomes_the_average() -> None:
    inputs = [drawn(3, 6, seed=1), drawn(2, 6, seed=2)]  # 5 tokens, 6 inputs
    for x in inputs:
        x[:, 4] = 0
    weights = [drawn(6, 2, seed=3), drawn(6, 2, seed=4)]
    merged, singular = regression_mean(weights, [x.T @ x for x in inputs], alpha=1.0)
    assert singular
    torch.testing.assert_close(merged[4], (weights[0][4] + weights[1][4]).double() / 2)
    for x, weight in zip(inputs, weights, strict=True):  # fewer tokens than inputs: all are met
        torch.testing.assert_close(x.double() @ merged, (x @ weight).double(), rtol=0, atol=1e-3)
    nothing, singular = regression_mean(weights, [torch.zeros(6, 6)] * 2, alpha=1.0)
    assert singular
    torch.testing.assert_close(nothing, (weights[0] + weights[1]).double() / 2)


# models ------------------------------------------------------------------------------------------


Build = Callable[..., Path]
BUILDS: dict[str, Build] = {
    "llama": lambda folder, seed: build_tiny_causal(folder, "llama", seed=seed),
    "gpt2": lambda folder, seed: build_tiny_causal(folder, "gpt2", seed=seed),
    "t5": lambda folder, seed: unsure(build_tiny_seq2seq(folder, seed=seed)),
}


def unsure(folder: Path) -> Path:
    """The same T5 with small embeddings: with large ones it is certain of each token."""
    model = loaded(folder)
    with torch.no_grad():
        model.shared.weight.mul_(0.05)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=BUILDS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models of one shape."""
    folder = tmp_path_factory.mktemp(request.param)
    return of_one_tokenizer(BUILDS[request.param](folder / str(seed), seed=seed) for seed in (1, 2))


def of_one_tokenizer(folders: Iterable[Path]) -> list[Path]:
    """The same models, all with the first one's tokenizer: training one is not deterministic."""
    first, *others = folders
    for other in others:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(first / name, other / name)
    return [first, *others]


def loaded(folder: Path) -> Any:
    """The model in a folder; what it is made of is known only when it is there."""
    return load_model_and_tokenizer(str(folder), dtype="float32").model


def test_linear_layers_leave_out_a_tied_head(tmp_path: Path) -> None:
    for name, tied in {"llama": False, "gpt2": True}.items():
        model = loaded(BUILDS[name](tmp_path / name, seed=0))
        layers = linear_layers(model)
        assert ("lm_head" in layers) == (not tied)
        inputs_first = tied  # GPT-2's weights are (inputs, outputs)
        assert {*layers.values()} == {inputs_first}


def test_grams_are_means_over_the_tokens_that_are_read(tmp_path: Path) -> None:
    model = loaded(build_tiny_causal(tmp_path))
    grams = gram_matrices(model, EXAMPLES)
    texts = [[*example.prompt, *example.target[:-1]] for example in EXAMPLES]
    assert [len(text) for text in texts] == [6, 2, 2]
    with torch.no_grad():
        runs = [model.model(torch.tensor([text]), output_hidden_states=True) for text in texts]
        embedded = torch.cat([run.hidden_states[0][0] for run in runs])
        last = torch.cat([run.last_hidden_state[0] for run in runs])
        first = model.model.layers[0].input_layernorm(embedded)
    assert grams.keys() == linear_layers(model).keys()
    for name, x in {"model.layers.0.self_attn.k_proj": first, "lm_head": last}.items():
        torch.testing.assert_close(grams[name], x.T @ x / 10, rtol=1e-4, atol=1e-5)


def test_an_encoder_decoder_s_grams_count_what_each_side_reads(tmp_path: Path) -> None:
    model = loaded(build_tiny_seq2seq(tmp_path))
    grams = gram_matrices(model, EXAMPLES)
    with torch.no_grad():
        read = [model.encoder(torch.tensor([example.prompt]))[0][0] for example in EXAMPLES]
        start = model.config.decoder_start_token_id
        written = torch.tensor([i for e in EXAMPLES for i in [start, *e.target[:-1]]])
        first = model.decoder.block[0].layer[0].layer_norm(model.shared(written))
    x = torch.cat(read)
    assert len(x) == 7
    cross = grams["decoder.block.1.layer.1.EncDecAttention.k"]
    torch.testing.assert_close(cross, x.T @ x / 7, rtol=1e-4, atol=1e-6)
    own = grams["decoder.block.0.layer.0.SelfAttention.q"]
    torch.testing.assert_close(own, first.T @ first / 6, rtol=1e-4, atol=1e-6)


def test_merge_modelss_write_as_their_weights_say(pair: list[Path], tmp_path: Path) -> None:
    """RegMean comes nearer than the average to the members' outputs, layer by layer."""
    models = [loaded(folder) for folder in pair]
    grams = [gram_matrices(model, EXAMPLES * 3) for model in models]
    states = [model.state_dict() for model in models]
    layers = linear_layers(models[0])
    merged, means = regmean(states, grams, layers, alpha=1.0).weights, average(states)
    linear = {f"{layer}.weight" for layer in layers}
    for name, weight in merged.items():
        if name not in linear:
            assert torch.equal(weight, means[name])

    def error(weights: dict[str, Tensor], layer: str) -> float:
        total = 0.0
        for state, gram in zip(states, grams, strict=True):
            apart = (weights[f"{layer}.weight"] - state[f"{layer}.weight"]).double()
            apart = apart if layers[layer] else apart.T
            total += float((apart.T @ gram[layer].double() @ apart).trace())
        return total

    for layer in layers:
        assert error(merged, layer) < error(means, layer)
    made = merge_models(pair, lambda members, named: regmean(members, grams, named, alpha=1.0))
    for name, weight in made.loaded.model.state_dict().items():
        assert torch.equal(weight, merged[name])


def test_a_tied_head_stays_tied(tmp_path: Path) -> None:
    built = (BUILDS["gpt2"](tmp_path / str(seed), seed=seed) for seed in (1, 2))
    pair = of_one_tokenizer(built)
    model: Any = merge_models(
        pair, lambda members, _: MergedWeights(average(members), ())
    ).loaded.model
    assert model.lm_head.weight is model.transformer.wte.weight
    first, second = (loaded(folder) for folder in pair)
    mean = (first.transformer.wte.weight + second.transformer.wte.weight) / 2
    torch.testing.assert_close(model.lm_head.weight, mean)


def test_models_of_other_shapes_are_refused(tmp_path: Path) -> None:
    llama, qwen2, qwen3 = (
        build_tiny_causal(tmp_path / name, name) for name in ("llama", "qwen2", "qwen3")
    )
    gpt2 = build_tiny_causal(tmp_path / "gpt2", "gpt2")
    small = shutil.copytree(gpt2, tmp_path / "small")
    config = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps({**config, "n_layer": 1}))
    loaded(small).save_pretrained(small)
    other_words = shutil.copytree(gpt2, tmp_path / "other_words")
    tokenizer = json.loads((other_words / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (other_words / "tokenizer.json").write_text(json.dumps(tokenizer))

    def refusal(*folders: Path) -> str:
        with pytest.raises(ConfigError) as told:
            merge_models(folders, lambda members, _: MergedWeights(average(members), ()))
        return str(told.value)

    assert "one is a llama model, the other a qwen2 model" in refusal(llama, qwen2)
    assert "one is a qwen2 model, the other a qwen3 model" in refusal(qwen2, qwen3)
    assert "transformer.h.1.attn.c_attn.bias is [96] in one, absent" in refusal(gpt2, small)
    assert "different vocabularies" in refusal(gpt2, other_words)


# ensembles ---------------------------------------------------------------------------------------


REQUESTS = [
    Request(prompt="Q: Anna has 3 apples", max_tokens=12),
    Request(prompt="The coin was flipped once, which is odd, so it is", max_tokens=20),
    Request(prompt="5 * 6 =", max_tokens=7, answer_prefix=" 30"),
    Request(prompt="Tom flips", max_tokens=9, temperature=1.0, samples=(0, 1, 2), seed=3),
]


def opened(folder: Path, batch_tokens: int = 32_768) -> HFModel:
    settings = LocalSettings(model=f"hf:{folder}", device="cpu", batch_tokens=batch_tokens)
    return HFModel(settings, source=str(folder))


def answered(
    model: HFModel, requests: Sequence[Request] = REQUESTS
) -> dict[tuple[str, int], Completion]:
    return {(str(each.request.prompt), each.sample): each for each in model.complete(requests)}


def texts(model: HFModel) -> dict[tuple[str, int], str]:
    return {key: each.text for key, each in answered(model).items()}


def test_an_ensemble_of_a_model_with_itself_writes_as_the_model(pair: list[Path]) -> None:
    assert texts(EnsembleModel([opened(pair[0])] * 2)) == texts(opened(pair[0]))


class Naive(NamedTuple):
    """The texts that a loop without any cache writes, one at a time."""

    tokens: list[int]
    logprobs: list[float]


def naive(folders: Sequence[Path], request: Request) -> Naive:
    models = [load_model_and_tokenizer(str(folder), dtype="float32") for folder in folders]
    tokenizer, seq2seq = models[0].tokenizer, models[0].encoder_decoder
    prompt = str(request.prompt) + ("" if seq2seq else request.answer_prefix)
    ids = tokenizer(prompt)["input_ids"]
    written = [models[0].model.config.decoder_start_token_id] if seq2seq else list(ids)
    if seq2seq and request.answer_prefix:
        written += tokenizer(request.answer_prefix, add_special_tokens=False)["input_ids"]
    made = Naive([], [])
    while len(made.tokens) < request.max_tokens:
        own = torch.tensor([written])
        inputs = (
            {"input_ids": torch.tensor([ids]), "decoder_input_ids": own}
            if seq2seq
            else {"input_ids": own}
        )
        with torch.no_grad():
            logits = [model(**inputs).logits[0, -1].double() for model, *_ in models]
        mean = torch.stack([each.softmax(-1) for each in logits]).mean(0)
        token = int(mean.argmax())
        made.logprobs.append(float(mean[token].log()))
        if token == tokenizer.eos_token_id:
            break
        made.tokens.append(token)
        written.append(token)
    return made


def check_naive(folders: Sequence[Path]) -> None:
    greedy = [replace(request, top_logprobs=2) for request in REQUESTS if request.temperature == 0]
    ensemble = EnsembleModel([opened(folder) for folder in folders])
    together = answered(ensemble, greedy)
    alone = answered(opened(folders[0]), greedy)
    for request in greedy:
        written = together[str(request.prompt), 0].logprobs
        assert written is not None
        assert written.ids is not None
        expected = naive(folders, request)
        assert written.ids[:, 0].tolist() == expected.tokens
        found = written.logprobs[:, 0]
        assert found == pytest.approx(expected.logprobs[: len(found)], abs=1e-3)
        own = alone[str(request.prompt), 0].logprobs
        assert own is not None
        # Trained tokenizers differ from run to run; a member that ends at once differs, too.
        own_first = own.logprobs[:1, 0].tolist()
        assert own_first != pytest.approx(found[:1].tolist(), abs=1e-3)


def test_an_ensemble_averages_next_token_probabilities(pair: list[Path]) -> None:
    check_naive(pair)


def test_members_of_an_ensemble_may_differ_in_architecture(tmp_path: Path) -> None:
    kinds: tuple[Architecture, ...] = ("gpt2", "qwen3")
    check_naive(of_one_tokenizer(build_tiny_causal(tmp_path / kind, kind) for kind in kinds))


def test_neither_order_nor_batching_changes_what_an_ensemble_writes(pair: list[Path]) -> None:
    one, two = (opened(folder) for folder in pair)
    forward, backward = EnsembleModel([one, two]), EnsembleModel([two, one])
    narrow = EnsembleModel([opened(folder, batch_tokens=60) for folder in pair])
    assert forward.name == backward.name == narrow.name
    assert texts(forward) == texts(backward) == texts(narrow)


def test_an_ensemble_needs_one_tokenizer(tmp_path: Path) -> None:
    llama, qwen2 = (build_tiny_causal(tmp_path / name, name) for name in ("llama", "qwen2"))
    with pytest.raises(ModelError, match="have different tokenizers"):
        EnsembleModel([opened(llama), opened(qwen2)])


# the command -------------------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two finished runs of one start, on additions and on doublings."""
    monkeypatch.chdir(tmp_path)
    return two_finished_runs(tmp_path)


def merge(*arguments: str, command: str = "merge") -> Result:
    return CliRunner().invoke(main, [command, *arguments])


def refused(*arguments: str) -> str:
    return refused_by("merge", *arguments)


def refused_by(command: str, *arguments: str) -> str:
    result = merge(*arguments, command=command)
    assert result.exit_code == 2, result.output + repr(result.exception)
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def digests(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


def test_everything_is_merged_and_measured_on_all_tasks(runs: list[str]) -> None:
    result = merge(*runs, "--out", "both")
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert "merge: average of 2 students in both/average\n" in result.stdout
    told = json.loads(Path("both/summary.json").read_text())
    systems = ["sums", "products", "average", "regmean", "ensemble"]
    assert {task: [*scores] for task, scores in told["tasks"].items()} == {
        "sums_questions": systems,
        "products_questions": systems,
    }
    assert {s["total"] for scores in told["tasks"].values() for s in scores.values()} == {2}
    pairs = {(each["first"], each["second"]) for each in told["comparisons"]}
    assert len(told["comparisons"]) == 2 * len(pairs)
    assert {("average", "sums"), ("regmean", "average"), ("ensemble", "regmean")} < pairs
    assert ("products", "sums") not in pairs
    for name in ("average", "regmean"):
        card = Path("both", name, "README.md").read_text()
        assert "| products | sums_questions | " in card
        assert "- `sums`: sums_questions, asked in `fine_tune_cot`" in card
    assert Path("both/report.html").is_file()


def test_commands_for_runs_say_how_to_go_on_with_a_merge(runs: list[str]) -> None:
    assert merge(*runs, "--out", "both").exit_code == 0
    checked = merge("both", command="check")
    assert checked.exit_code == 0 and "check: both is whole" in checked.stdout, checked.output
    for command in ("status", "regrade", "report", "evaluate"):
        told = refused_by(command, "both")
        assert "both/recipe.yaml is of a merge of 2 runs" in told
        assert f"potstill merge {shlex.join(runs)} --out both ..." in told
    assert merge("both", *runs, "--out", "more", command="compare").exit_code == 0


def test_repeating_makes_and_asks_nothing_and_order_changes_nothing(runs: list[str]) -> None:
    assert merge(*runs, "--out", "both").exit_code == 0
    before = digests(Path("both"))
    assert len(before) == 4  # two models, two members' Grams
    with Store(Path("both/run.sqlite")) as store:
        (count,) = store._db.execute("SELECT count(*) FROM completions").fetchone()
    times = {path: path.stat().st_mtime_ns for path in Path("both").rglob("*.safetensors")}
    assert merge(*runs[::-1], "--out", "both").exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times
    with Store(Path("both/run.sqlite")) as store:
        assert store._db.execute("SELECT count(*) FROM completions").fetchone() == (count,)
    assert merge(*runs[::-1], "--out", "other").exit_code == 0
    other = {
        path.replace("other", "both", 1): data for path, data in digests(Path("other")).items()
    }
    assert other == before


def test_once_grams_are_there_the_training_data_need_not_be(runs: list[str]) -> None:
    assert merge(*runs, "--out", "both", "--method", "regmean").exit_code == 0
    before = digests(Path("both/regmean"))
    for run in runs:
        with Store(Path(run, "run.sqlite")) as store:
            store.replace_rationales([], grader="1", settings_hash="x")
    again = merge(*runs, "--out", "both", "--method", "regmean", "--set", "alpha=0.1")
    assert again.exit_code == 0, again.output
    assert digests(Path("both/regmean")) != before
    message = refused(*runs, "--out", "elsewhere", "--method", "regmean")
    assert "holds no example that" in message
    assert "--method average" in message


def test_alpha_is_chosen_by_development_questions(
    runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    right = {"regmean-0.9": 1, "regmean-0.5": 3, "regmean-0.1": 3}

    def measure_on_tasks(
        system: object, tasks: object, context: object, split: str
    ) -> list[object]:
        name = system.name  # type: ignore[attr-defined]
        asked.append((name, split))
        return [SimpleNamespace(score=SimpleNamespace(correct=right[name], total=4))]

    monkeypatch.setattr(potstill.merge.stage, "measure_on_tasks", measure_on_tasks)
    settings = MergeSettings(methods=("regmean",), alpha=(0.9, 0.5, 0.1))
    with MergeRun([Path(run) for run in runs], Path("both"), settings, QUIET) as run:
        run.merge()
        assert run.alpha == 0.5  # the first of equals
        assert asked == [(name, "dev") for name in right]
        assert run._dev_accuracies == {
            0.9: Fraction(1, 4),
            0.5: Fraction(3, 4),
            0.1: Fraction(3, 4),
        }
    chosen = {Path(path).parent.name: data for path, data in digests(Path("both")).items()}
    assert chosen["regmean"] == chosen["regmean-0.5"] != chosen["regmean-0.1"]


def test_what_cannot_be_merged_is_refused_in_one_line(runs: list[str], tmp_path: Path) -> None:
    assert "was given sums." in refused("sums", "--out", "x")
    assert "two or more different runs" in refused("sums", "./sums", "--out", "x")
    Path("empty").mkdir()
    assert "empty holds no finished run" in refused("sums", "empty", "--out", "x")
    assert "merge: methods.0 is 'mean'" in refused(*runs, "--out", "x", "--method", "mean")
    assert "Did you mean 'alpha'?" in refused(*runs, "--out", "x", "--set", "alhpa=1")
    assert "sums is the folder of another run" in refused(*runs, "--out", "sums")
    finished_run(Path("average"), tmp_path / "start", tmp_path / "a", sign="-")
    for name in ("teacher", "start"):
        shutil.copytree("average", f"odd/{name}")
    for run in ("average", "odd/teacher", "odd/start"):
        name = Path(run).name
        assert f"merged runs.{name}: {name} is taken" in refused("sums", run, "--out", "x")
    shutil.copytree("average", "odd/regmean-0.1")
    assert "named like a trial of RegMean" in refused("sums", "odd/regmean-0.1", "--out", "x")
    assert not Path("x").exists()


def test_one_task_with_two_sets_of_test_questions_is_refused(
    runs: list[str], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    finished_run(Path("in/sums"), tmp_path / "start", tmp_path / "b", sign="-")
    told = "sums and in/sums measure sums_questions on different test questions"
    assert told in refused("sums", "in/sums", "--out", "x")


def test_students_of_different_starts_make_an_ensemble_alone(
    runs: list[str], tmp_path: Path
) -> None:
    start = build_tiny_causal(tmp_path / "other_start", seed=5)
    finished_run(Path("other"), start, build_tiny_causal(tmp_path / "c", seed=6), sign="-")
    message = refused("sums", "other", "--out", "x")
    assert f"sums started from hf:{tmp_path / 'start'}" in message
    assert f"other from hf:{tmp_path / 'other_start'}" in message
    told = merge("sums", "other", "--out", "x", "--method", "ensemble")
    assert told.exit_code == 0, told.output
    systems = json.loads(Path("x/summary.json").read_text())["tasks"]["sums_questions"]
    assert [*systems] == ["sums", "other", "ensemble"]


def changed(folder: str, **student: object) -> None:
    """Change the recipe's student of a finished run."""
    file = Path(folder, "recipe.yaml")
    values = yaml.safe_load(file.read_text())
    values["student"] |= student
    file.write_text(yaml.safe_dump(values))


def test_members_that_read_texts_otherwise_are_refused(runs: list[str]) -> None:
    changed("products", control_tokens=True)
    told = refused(*runs, "--out", "both")
    assert "products was trained with control_tokens, and sums without" in told


def test_each_member_is_opened_with_its_own_settings(
    runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed("products", dtype="float64")
    opened: dict[str, str] = {}

    def noted(settings: Any) -> Any:
        opened[Path(settings.source).parent.name] = settings.dtype
        return open_model(settings)

    monkeypatch.setattr(potstill.merge.stage, "open_model", noted)
    assert merge(*runs, "--out", "x", "--method", "ensemble").exit_code == 0
    assert opened == {"sums": "auto", "products": "float64"}


def test_a_model_that_is_none_of_its_run_s_checkpoints_is_refused(runs: list[str]) -> None:
    config = Path("sums/model/config.json")
    config.write_text(json.dumps({**json.loads(config.read_text()), "foreign": 1}))
    settings = merge_settings(["average"])
    with pytest.raises(DataError, match="is none of the checkpoints"):
        MergeRun([Path(run) for run in runs], Path("both"), settings, QUIET)


def test_one_value_may_be_given_for_a_list() -> None:
    settings = merge_settings((), ["methods=average", "alpha=0.1"])
    assert (settings.methods, settings.alpha) == (("average",), (0.1,))
    assert merge_settings(["average", "average"], ["alpha=[0.1, 1, 0.1]"]).alpha == (0.1, 1.0)
    assert yaml.safe_load(yaml.safe_dump(settings.model_dump(mode="json")))["alpha"] == [0.1]


def test_the_former_command_goes_on_with_a_folder_that_it_made(runs: list[str]) -> None:
    assert merge(*runs, "--out", "both", "--method", "average", command="fuse").exit_code == 0
    recipe, identity = Path("both/recipe.yaml"), Path("both/average/merged.json")
    recipe.write_text(recipe.read_text().replace("merge:", "fuse:", 1))
    identity.rename(identity.with_name("fused.json"))
    (weights,) = Path("both").rglob("*.safetensors")
    written = weights.stat().st_mtime_ns
    assert merge(*runs, "--out", "both", "--method", "average").exit_code == 0
    assert weights.stat().st_mtime_ns == written
    assert recipe.read_text().startswith("merge:")
