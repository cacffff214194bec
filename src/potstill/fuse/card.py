"""The model card of a fused student."""

from collections.abc import Mapping, Sequence

from potstill.records import Score

CARD = """---
base_model: {start}
tags: [potstill, model-fusion, chain-of-thought]
---
# {name} of {count} students

Fused with potstill from students that were each specialised from `{start}`:

{members}

{how}

## How to ask it

On each task in the data format of the student that was trained for it, which stands above and in
the model card of that student's run.

## Accuracy on test questions

| system | task | right | accuracy | 95% interval |
|---|---|---|---|---|
{rows}

Intervals are Wilson's. Fusing students of different tasks can destroy what one of them had learned:
compare the fused model with each member.
"""


def model_card(
    name: str,
    how: str,
    members: Mapping[str, str],
    scores: Sequence[Score],
    *,
    start: str,
) -> str:
    """The model card's text.

    Args:
        name: The fused model's.
        how: How it was fused, in a sentence.
        members: By name, what each was trained for.
        scores: Of all systems on the test questions of all tasks.
        start: What the members started from.
    """
    rows = [
        f"| {score.system} | {score.task} | {score.correct}/{score.total} "
        f"| {score.correct / score.total:.1%} | {score.low:.1%} to {score.high:.1%} |"
        for score in scores
    ]
    return CARD.format(
        start=start,
        name=name,
        count=len(members),
        members="\n".join(f"- `{member}`: {told}" for member, told in members.items()),
        how=how,
        rows="\n".join(rows),
    )
