"""Batches of prompts that are computed together, and the prefixes that they share."""

from collections.abc import Iterator, Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from potstill.models.local import batching
from potstill.models.local.batching import (
    COSTLY_TOKENS,
    WINDOW,
    Prefixes,
    Prompt,
    PromptQueue,
    in_parts,
)
from potstill.records import Request


def shares(prompts: Sequence[Sequence[int]], room: int = 10_000) -> list[int]:
    """Returns the number of tokens that each prompt takes over from a shared prefix."""
    found = Prefixes(room).shares(prompts)
    return [0 if share is None else share.tokens for share in found]


def test_prefixes_by_hand() -> None:
    head, fork = list(range(1000)), list(range(5000, 5400))
    whole = [[*head, 7, number] for number in range(20, 25)]
    left_out = [[*head[:400], 9, *fork[:number]] for number in range(3, 5)]
    forked = [[*fork, 8, number] for number in range(3)]
    other = [[1, 2, 3]]
    # Prompts that leave an exemplar out take over the tokens before it.
    assert shares([*whole, *left_out, *forked, *other]) == [1001] * 5 + [400] * 2 + [401] * 3 + [0]
    # Two prompts with 400 tokens save fewer than a forward pass is worth.
    assert shares(forked[:2]) == [0, 0]
    assert shares(forked[:1]) == [*shares([]), 0]
    # A prompt's own last token is always run.
    assert shares([head, head]) == [999, 999]
    # Where there is little room, a prefix is cut.
    assert shares(whole, room=600) == [600] * 5


def test_a_prefix_is_kept_while_prompts_use_it() -> None:
    head = list(range(100))
    found = Prefixes(1000)
    (first, *_) = found.shares([[*head, number, 0] for number in range(10)])
    (again,) = found.shares([[*head, 50, 60]])
    assert first is not None
    assert again is not None
    assert again.prefix is first.prefix
    assert found.tokens == 100
    assert found.shares([[1, 2, 3]]) == [None]
    assert found.tokens == 0


def test_short_prefixes_are_taken_over_where_tokens_are_costly() -> None:
    """The head of a chat template: 24 tokens, of which four prompts save 72."""
    head = list(range(24))
    prompts = [[*head, number, 1, 2] for number in range(100, 104)]
    assert shares(prompts) == [0, 0, 0, 0]
    found = Prefixes(1000, COSTLY_TOKENS).shares(prompts)
    assert [share and share.tokens for share in found] == [24, 24, 24, 24]
    assert Prefixes(1000, COSTLY_TOKENS).shares(prompts[:3]) == [None, None, None]
    assert Prefixes(1000, COSTLY_TOKENS).shares([ids[10:] for ids in prompts]) == [None] * 4


def test_short_prefixes_are_copied() -> None:
    """One that fills the batch with its readers stands apart from 32 tokens on."""
    for length, apart in ((31, False), (32, True)):
        ids = [(*range(length), number, 1) for number in range(100, 140)]
        prompts = {
            str(row): Prompt(request=Request(prompt=str(row)), samples=(0,), ids=row, max_tokens=9)
            for row in ids
        }
        queue = PromptQueue(
            [prompt.request for prompt in prompts.values()],
            lambda request: prompts[str(request.prompt)],  # noqa: B023  # used before the next
            1000,
            reads_apart=lambda: True,
            sharing=COSTLY_TOKENS,
        )
        (first, *_) = queue.take(rows=0, width=0, beside=None)
        assert first.taken == length
        assert (first.apart is not None) is apart


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), max_size=12))
def test_prompts_begin_with_what_they_take_over(prompts: list[list[int]]) -> None:
    least = batching.LEAST_SHARED, batching.LEAST_SAVED
    batching.LEAST_SHARED, batching.LEAST_SAVED = 2, 2
    try:
        found = Prefixes(20)
        taken = found.shares(prompts)
    finally:
        batching.LEAST_SHARED, batching.LEAST_SAVED = least
    assert found.tokens <= 20
    for prompt, share in zip(prompts, taken, strict=True):
        if share is not None:
            assert 2 <= share.tokens < len(prompt)
            assert share.prefix.ids[: share.tokens].tolist() == prompt[: share.tokens]
    saved = sum(share.tokens for share in taken if share is not None)
    assert saved - found.tokens >= 0


def prompt(length: int, max_tokens: int = 10, samples: int = 1) -> Prompt:
    request = Request(prompt=f"{length}", samples=tuple(range(samples)))
    ids = tuple((length * 7919 + place * place) % 50_000 for place in range(length))
    return Prompt(request=request, samples=request.samples, ids=ids, max_tokens=max_tokens)


def batches(queue: PromptQueue) -> Iterator[list[Prompt]]:
    while taken := queue.take(rows=0, width=0, beside=None):
        yield taken


def test_mixed_lengths_are_batched_by_tokens_from_an_endless_generator() -> None:
    """Little padding, no batch too large, and few requests pulled ahead of what is given out."""
    pulled = given_out = 0
    random = Random(0)

    def requests() -> Iterator[Request]:
        nonlocal pulled
        while True:
            pulled += 1
            yield Request(prompt=str(int(2 ** random.uniform(2, 11))))

    queue = PromptQueue(
        requests(), lambda request: prompt(int(str(request.prompt))), 16_384, reads_apart=None
    )
    columns = real = run = padded = 0
    for number, batch in enumerate(batches(queue)):
        width = max(each.width for each in batch)
        assert width * len(batch) <= 16_384
        given_out += len(batch)
        waiting = pulled - given_out
        assert waiting * 14 <= (WINDOW + 1) * 16_384
        columns += width * len(batch)
        real += sum(each.width for each in batch)
        for part in in_parts(batch, 2048):
            run += sum(each.rest for each in part)
            padded += max(each.rest for each in part) * len(part)
        if number == 200:
            break
    assert real > 0.85 * columns
    assert run > 0.95 * padded
