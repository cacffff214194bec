"""Chains of facts in shuffled order: the hard thing is to see where to begin.

"Ben has 3 more pens than Ann. Tom has 9 pens. Ann has 5 pens. How many pens does Ben have?" has a
chain of one relation, from Ann to Ben, and a fact about Tom that is irrelevant; the answer is 8.
"""

from random import Random

from potstill.tasks.procedural.family import ITEMS, NAMES, Draft

Fact = tuple[str, str, int, str]
"""A person, the relation to another one (empty for a plain count), its number, the other person."""

RELATIONS = ("more", "fewer", "times")
LENGTHS = (1, 2, 2, 2, 3)
"""Relations on the way to the answer, drawn evenly from these."""


def draw_fact_chain(random: Random) -> Draft:
    """Draws a chain of one to three relations from a stated count to the one asked for.

    A second chain of one or two facts about other people is irrelevant. All facts are shuffled.
    """
    length = random.choice(LENGTHS)
    people = random.sample(NAMES, length + 3)
    item = random.choice(ITEMS)
    chain, counts = _draw_chain(random, people[: length + 1])
    other, _ = _draw_chain(random, people[length + 1 : length + 2 + random.randint(0, 1)])
    facts = [*chain, *other]
    random.shuffle(facts)
    sentences = " ".join(_sentence(fact, item) for fact in facts)
    return Draft(
        text=f"{sentences} How many {item} does {people[length]} have?",
        answer=str(counts[-1]),
        rationales=_rationales(chain, counts, item),
        template_id=f"{length}-of-{len(facts)}",
        content=" ".join(f"{who} {relation} {number}" for who, relation, number, _ in chain),
        questions=tuple(f"How many {item} does {who} have?" for who, _, _, _ in chain),
    )


def _draw_chain(random: Random, people: list[str]) -> tuple[list[Fact], list[int]]:
    """Draws facts that lead from the first person's count to the last one's.

    Returns:
        The facts, and everybody's count, both in the order of the people.
    """
    count = random.randint(3, 12)
    facts: list[Fact] = [(people[0], "", count, "")]
    counts = [count]
    for who, whom in zip(people[1:], people, strict=False):
        # Counts stay small: none over 12 is multiplied, and none falls to zero.
        relation = random.choice(RELATIONS if count <= 12 else ("more", "fewer"))
        if relation == "times":
            number = random.randint(2, 3)
        else:
            number = random.randint(2, 9 if relation == "more" else max(2, min(9, count - 2)))
        if relation == "fewer" and number >= count:
            relation = "more"
        count = _compute(count, relation, number)
        facts.append((who, relation, number, whom))
        counts.append(count)
    return facts, counts


def _compute(count: int, relation: str, number: int) -> int:
    """Returns the count that a relation makes of the one it refers to."""
    if relation == "times":
        return count * number
    return count + number if relation == "more" else count - number


def _sentence(fact: Fact, item: str) -> str:
    """Returns one fact as a sentence of the question."""
    who, relation, number, whom = fact
    if not relation:
        return f"{who} has {number} {item}."
    if relation == "times":
        times = "twice" if number == 2 else f"{number} times"
        return f"{who} has {times} as many {item} as {whom}."
    return f"{who} has {number} {relation} {item} than {whom}."


def _rationales(chain: list[Fact], counts: list[int], item: str) -> tuple[str, ...]:
    """Returns the steps from the beginning of the chain to its end, in three wordings."""
    first = chain[0][0]
    steps = [
        (who, f"{before} {'*+-'[('times', 'more', 'fewer').index(relation)]} {number} = {count}")
        for (who, relation, number, _), before, count in zip(
            chain[1:], counts, counts[1:], strict=False
        )
    ]
    return (
        " ".join([f"{first} has {counts[0]}.", *(f"{who} has {sum_}." for who, sum_ in steps)]),
        " ".join(
            [
                f"Start with {first}, who has {counts[0]} {item}.",
                *(f"Then {who} has {sum_} {item}." for who, sum_ in steps),
            ]
        ),
        " ".join(
            [
                f"We know that {first} has {counts[0]}.",
                *(f"So for {who} it is {sum_}." for who, sum_ in steps),
            ]
        ),
    )
