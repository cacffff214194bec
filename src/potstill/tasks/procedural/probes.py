"""Two families without arithmetic, to see what a specialised student forgets.

After the coin flip and last letter tasks of Wei et al. (arXiv:2201.11903).
"""

from random import Random

from potstill.tasks.procedural.family import NAMES, Draft

_WORDS = """
apple arrow baker basket beach bird boat bottle branch bread bridge brush butter cabin camel
candle canyon carpet castle cedar chair cheese circus clock cloud coat copper cotton crab
crown desk dinner dragon dream drum eagle earth engine falcon farm feather fence field flute
forest fox frog garden ghost giraffe glass grape hammer harbor hat hill honey island jacket
jungle kettle kiwi ladder lamp leaf lemon lion magnet map marble meadow mirror moon mouse
needle ocean olive orbit otter panda paper pencil piano pilot pizza planet pond pony potato
queen rabbit river robot rocket salmon shadow silver spoon star tiger violin window yogurt
zebra
"""
WORDS = tuple(_WORDS.split())


def draw_coin_toss(random: Random) -> Draft:
    """Draws a coin that three to six people flip or do not; is it still heads up?"""
    people = random.sample(NAMES, random.randint(3, 6))
    flips = [random.random() < 0.5 for _ in people]
    actions = " ".join(
        f"{who} flips the coin." if flipped else f"{who} does not flip the coin."
        for who, flipped in zip(people, flips, strict=True)
    )
    heads = sum(flips) % 2 == 0
    return Draft(
        text=f"A coin is heads up. {actions} Is the coin still heads up?",
        answer="yes" if heads else "no",
        rationales=_coin_rationales(people, flips),
        template_id=f"{len(people)}-people",
        content=" ".join(f"{who} {flipped:d}" for who, flipped in zip(people, flips, strict=True)),
    )


def _coin_rationales(people: list[str], flips: list[bool]) -> tuple[str, ...]:
    """Returns the side that is up after every person, in three wordings."""
    sides = ["heads" if sum(flips[: i + 1]) % 2 == 0 else "tails" for i in range(len(flips))]
    steps = list(zip(people, flips, sides, strict=True))
    return (
        " ".join(
            f"{who} flips it, so it is {side}." if flipped else f"{who} does not, so it is {side}."
            for who, flipped, side in steps
        ),
        " ".join(
            ["It starts as heads.", *(f"After {who} it is {side}." for who, _, side in steps)]
        ),
        " ".join(
            f"{who}: flip, {side} up." if flipped else f"{who}: no flip, {side} up."
            for who, flipped, side in steps
        ),
    )


def draw_last_letters(random: Random) -> Draft:
    """Draws two to four words; what do their last letters spell?"""
    words = random.sample(WORDS, random.randint(2, 4))
    letters = [word[-1] for word in words]
    joined = "".join(letters)
    pairs = list(zip(words, letters, strict=True))
    listed = ", ".join(letters)
    return Draft(
        text=f'Take the last letters of the words in "{" ".join(words)}" and join them.',
        answer=joined,
        rationales=(
            " ".join(f"The last letter of {word} is {letter}." for word, letter in pairs),
            " ".join(
                [*(f"{word} ends in {letter}." for word, letter in pairs), f"We join {listed}."]
            ),
            " ".join(f"From {word} take {letter}." for word, letter in pairs),
        ),
        template_id=f"{len(words)}-words",
        content=" ".join(words),
    )
