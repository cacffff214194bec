"""``store: {positions: trained}``: likeliest tokens where they are learned, all else as before."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dense_scorer import DenseScorer
from test_on_policy import letters_model, on_policy, settings, trained, weights
from test_store import tokens
from tiny_models import build_tiny_causal

from potstill.keys import request_body, request_key, stored_request
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import Completion, GivenText, Request, TokenLogprobs
from potstill.store import Store
from potstill.store.packed_logprobs import with_likeliest_at

GIVEN = GivenText(text=" 7.", ends=True)
SOME = Request(prompt="Q: 3 + 4?\nA:", max_tokens=1, top_logprobs=2, given=GIVEN)
REDUCED = Request(
    prompt=SOME.prompt, max_tokens=1, top_logprobs=2,
    given=GivenText(text=" 7.", ends=True, kept_at="half"),
)  # fmt: skip


# a record -----------------------------------------------------------------------------------------


def test_the_own_token_stays_where_it_stood() -> None:
    record = tokens([[b"a", b"b", b"a"], [b"c", b"c", b"dd"]], [[0.2, 0.5, 0.2], [0.6, 0.6, 0.3]])
    reduced = with_likeliest_at(record, np.array([False, True]))
    expected = np.log(np.array([[0.2, 0.0, 0.2], [0.6, 0.6, 0.3]], np.float32) + 1e-45)
    np.testing.assert_array_equal(np.isfinite(reduced.logprobs), expected > -50)
    kept = np.isfinite(reduced.logprobs)
    assert (reduced.logprobs[kept] == record.logprobs[kept]).all()
    assert reduced.token_bytes == b"aaccdd" and reduced.lengths is not None
    assert reduced.lengths.tolist() == [[1, 0, 1], [1, 1, 2]]


def test_ids_that_are_left_out_are_padding() -> None:
    record = TokenLogprobs(
        logprobs=np.array([[-2.0, -0.1, -3.0], [-1.0, -1.0, -2.0]], np.float32),
        ids=np.array([[5, 6, 7], [8, 8, 9]], np.int32),
    )
    reduced = with_likeliest_at(record, np.array([False, False]))
    assert reduced.ids is not None and reduced.ids.tolist() == [[5, -1, -1], [8, 8, -1]]
    assert np.isneginf(reduced.logprobs).sum() == 3


# what serves what ---------------------------------------------------------------------------------


def answer(request: Request) -> Completion:
    record = tokens([[b" 7", b" 7", b" 8"], [b".", b".", b"!"]], [[0.5, 0.5, 0.2]] * 2)
    return Completion(request=request, sample=0, text=" 7.", finish_reason="stop", logprobs=record)


def test_a_score_of_some_places_has_a_key_of_its_own_and_is_read_back() -> None:
    assert len({request_key("m", one) for one in (SOME, REDUCED)}) == 2
    for request in (SOME, REDUCED):
        body = request_body("m", request).decode()
        assert stored_request(body, max_tokens=1, samples=(0,)) == ("m", request)


def test_a_whole_score_serves_for_some_places_and_not_the_other_way_round(tmp_path: Path) -> None:
    with Store(tmp_path / "whole.sqlite") as store:
        store.add_completions("m", [answer(SOME)], stage="train")
        assert not list(store.missing("m", [REDUCED]))
        ((_, served),) = store.completions("m", REDUCED, logprobs=True)
        assert served.logprobs is not None
    with Store(tmp_path / "some.sqlite") as store:
        store.add_completions("m", [answer(REDUCED)], stage="train")
        assert list(store.missing("m", [SOME])) == [SOME]
        assert not list(store.missing("m", [REDUCED]))


# a training ---------------------------------------------------------------------------------------


def likeliest(run: Path) -> tuple[int, int]:
    """Returns how many likeliest tokens a run's scores have, and how many tokens are scored."""
    found, places = 0, 0
    with Store(run / "run.sqlite", read_only=True) as store:
        for pooled in store.pool(("train",)):
            record = store.logprobs(pooled.id) if pooled.model == "scorer" else None
            if record is not None:
                found += int(np.isfinite(record.logprobs[:, 1:]).sum())
                places += len(record.logprobs)
    return found, places


@pytest.mark.parametrize(("by", "same"), [("entropy", True), ("disagreement", False)])
def test_a_student_learns_the_same_of_half_as_many_stored_tokens(
    by: str, same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = letters_model(tmp_path / "start", seed=0)
    other = build_tiny_causal(tmp_path / "other", "qwen3", seed=1)
    teacher = letters_model(tmp_path / "teacher", seed=1) if same else other
    score = {"share": 0.5, "by": by}
    values = settings({"own": on_policy(score=score, samples=2, top=4, limits=None)})
    (*_, whole) = trained(tmp_path / "whole", start, DenseScorer(teacher), values)
    monkeypatch.setattr(Store, "kept_positions", "trained")
    scorer = DenseScorer(teacher)
    scorer.left = 15  # requests, then the machine goes off in the middle of a round
    with pytest.raises(SystemExit):
        trained(tmp_path / "reduced", start, scorer, values)
    scorer.left = None
    (*_, reduced) = trained(tmp_path / "reduced", start, scorer, values)
    expected, found = weights(tmp_path / "whole", whole), weights(tmp_path / "reduced", reduced)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    all_tokens, places = likeliest(tmp_path / "whole")
    kept_tokens, as_many = likeliest(tmp_path / "reduced")
    assert places == as_many and kept_tokens < 0.8 * all_tokens
    asked = [(request.prompt, request.given) for request in scorer.asked]
    assert len(asked) == len(set(asked))


def test_a_recipe_says_at_which_tokens(tmp_path: Path) -> None:
    recipe: dict[str, Any] = {
        "run": str(tmp_path / "run"), "task": {"name": "two_step_arithmetic"},
        "teacher": "bundled:teacher", "student": "bundled:student",
    }  # fmt: skip
    with Run(load_recipe(recipe)) as run:
        assert run.store.kept_positions == "all"
    with Run(load_recipe(recipe | {"store": {"positions": "trained"}})) as run:
        assert run.store.kept_positions == "trained"
