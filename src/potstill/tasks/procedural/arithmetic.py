"""Word problems of two operations, and of three or four in other stories.

A story is data: its operations are applied from left to right to its numbers. The story
``boxes-loose`` with the operations ``*+`` and the numbers 3, 5 and 2 asks how many pens are in 3
boxes of 5 and 2 loose ones; its steps are "3 * 5 = 15" and "15 + 2 = 17".
"""

from dataclasses import dataclass
from random import Random

from potstill.tasks.procedural.family import ITEMS, NAMES, Draft

LARGEST = 100
"""No sum, difference or product on the way goes over this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """A template: ``{who}``, ``{whom}``, ``{item}`` and the numbers ``{a}``, ``{b}``, ..."""

    name: str
    text: str
    operations: str
    """One of ``+-*`` for each step; step i joins the value so far and number i + 1."""

    ranges: tuple[tuple[int, int], ...]
    """Lowest and highest of each number, both included."""

    steps: tuple[str, ...]
    """One sentence a step in the story's terms, with the equation at ``{}``."""


TWO_STEP = (
    Story(
        name="buy-give",
        text="{who} has {a} {item}. {who} buys {b} more and then gives {c} to {whom}. "
        "How many {item} does {who} have now?",
        operations="+-",
        ranges=((3, 19), (2, 9), (2, 9)),
        steps=("{who} has {} {item} after buying.", "After giving some away {} are left."),
    ),
    Story(
        name="lose-find",
        text="{who} had {a} {item} and lost {b} of them. Later {who} found {c} {item}. "
        "How many {item} does {who} have in the end?",
        operations="-+",
        ranges=((4, 19), (2, 9), (2, 9)),
        steps=("After the loss {} {item} are left.", "With the ones found {who} has {}."),
    ),
    Story(
        name="boxes-loose",
        text="{who} has {a} boxes with {b} {item} in each box, and {c} loose {item}. "
        "How many {item} are there in all?",
        operations="*+",
        ranges=((2, 9), (2, 9), (2, 9)),
        steps=("The boxes hold {} {item}.", "With the loose ones there are {}."),
    ),
    Story(
        name="trays-sold",
        text="{who} fills {a} trays with {b} {item} on each tray. Then {c} {item} are sold. "
        "How many {item} remain?",
        operations="*-",
        ranges=((2, 9), (2, 9), (2, 9)),
        steps=("The trays hold {} {item}.", "After the sale {} remain."),
    ),
    Story(
        name="every-day",
        text="Every day {who} makes {a} {item} in the morning and {b} in the evening. "
        "How many {item} does {who} make in {c} days?",
        operations="+*",
        ranges=((2, 9), (2, 9), (2, 5)),
        steps=("In one day {who} makes {} {item}.", "In all days it is {}."),
    ),
    Story(
        name="bags-torn",
        text="{who} packs bags of {a} {item}, but {b} {item} fall out of each bag. "
        "How many {item} are in {c} bags?",
        operations="-*",
        ranges=((4, 12), (2, 9), (2, 5)),
        steps=("Each bag keeps {} {item}.", "All bags hold {}."),
    ),
)
MULTI_STEP = (
    Story(
        name="bus",
        text="A bus leaves with {a} people. At the first stop {b} people get on. At the second "
        "stop {c} people get off. At the last stop {d} people get on. How many people "
        "ride the bus?",
        operations="+-+",
        ranges=((5, 19), (2, 9), (2, 9), (2, 9)),
        steps=("At first {} people ride.", "Then {} people ride.", "At last {} people ride."),
    ),
    Story(
        name="savings",
        text="{who} saves {a} coins a week for {b} weeks. Then {who} pays {c} coins for a game and "
        "{d} coins for a snack. What is left of the money?",
        operations="*--",
        ranges=((2, 9), (3, 9), (2, 9), (2, 9)),
        steps=("The savings are {} coins.", "The game leaves {}.", "The snack leaves {}."),
    ),
    Story(
        name="orchard",
        text="In an orchard {a} rows of {b} trees were planted. A storm felled {c} trees, and {d} "
        "new trees were set. How many trees does the orchard have today?",
        operations="*-+",
        ranges=((2, 9), (2, 9), (2, 9), (2, 9)),
        steps=("The rows had {} trees.", "The storm left {}.", "With the new trees it is {}."),
    ),
    Story(
        name="tank",
        text="A tank holds {a} litres. Rain adds {b} litres, cows drink {c} litres, the garden "
        "takes {d} litres and a pump adds {e} litres. How many litres does the tank hold now?",
        operations="+--+",
        ranges=((5, 19), (2, 9), (2, 9), (2, 9), (2, 9)),
        steps=(
            "Rain makes it {}.",
            "Cows leave {}.",
            "The garden leaves {}.",
            "The pump makes {}.",
        ),
    ),
    Story(
        name="teams",
        text="A team of {a} players is joined by {b} players and {c} guests. Each of them gets {d} "
        "bottles, and {e} bottles break. How many whole bottles are there?",
        operations="++*-",
        ranges=((2, 5), (2, 5), (2, 5), (2, 4), (2, 9)),
        steps=("With players it is {}.", "With guests it is {}.", "They get {}.", "Whole are {}."),
    ),
)


def draw_two_step(random: Random) -> Draft:
    """Draws a word problem of two operations."""
    return _draw(random, TWO_STEP)


def draw_multi_step(random: Random) -> Draft:
    """Draws a word problem of three or four operations, in stories of its own."""
    return _draw(random, MULTI_STEP)


def _draw(random: Random, stories: tuple[Story, ...]) -> Draft:
    """Fills one of the stories with names and numbers."""
    story = random.choice(stories)
    numbers, values = _draw_numbers(random, story)
    who, whom = random.sample(NAMES, 2)
    words = {"who": who, "whom": whom, "item": random.choice(ITEMS)}
    letters = {chr(ord("a") + i): number for i, number in enumerate(numbers)}
    return Draft(
        text=story.text.format(**words, **letters),
        answer=str(values[-1]),
        rationales=_rationales(story, numbers, values, words),
        template_id=story.name,
        content=f"{story.name} {numbers}",
    )


def _draw_numbers(random: Random, story: Story) -> tuple[list[int], list[int]]:
    """Draws a story's numbers until every value is between 2 and ``LARGEST``.

    Returns:
        The numbers, and the values: the first number and the result of each step.
    """
    while True:
        numbers = [random.randint(low, high) for low, high in story.ranges]
        values = [numbers[0]]
        for operation, number in zip(story.operations, numbers[1:], strict=True):
            values.append(_apply(operation, values[-1], number))
        if all(2 <= value <= LARGEST for value in values):
            return numbers, values


def _apply(operation: str, left: int, right: int) -> int:
    """Returns the result of one step."""
    if operation == "*":
        return left * right
    return left + right if operation == "+" else left - right


def _rationales(
    story: Story, numbers: list[int], values: list[int], words: dict[str, str]
) -> tuple[str, ...]:
    """Returns the rationale, one equation a sentence, in four wordings."""
    equations = [
        f"{left} {operation} {right} = {value}"
        for left, operation, right, value in zip(
            values, story.operations, numbers[1:], values[1:], strict=False
        )
    ]
    first, *later = equations
    in_story = (
        step.format(equation, **words)
        for step, equation in zip(story.steps, equations, strict=True)
    )
    return (
        " ".join(in_story),
        " ".join([f"First, {first}.", *(f"Then, {equation}." for equation in later)]),
        " ".join([f"We start with {first}.", *(f"Next we get {equation}." for equation in later)]),
        " ".join(f"Step {i}: {equation}." for i, equation in enumerate(equations, 1)),
    )
