"""Who wrote a guided answer and when: the identity behind every guided score and prediction.

A policy of guidance says when the teacher writes a step of the student's answer (first-step
guidance, arXiv 2311.07945), or all of it. What a policy is held against, be it a control, routing
of whole questions or several samples of the student, is told by the same record, so that each
guided score has one typed identity and one label::

    Policy(kind="policy", name="first_n", number=2)
    Policy(kind="routing", name="routing", signal="entropy", number=0.25)
    Policy(kind="policy", name="route", signal="entropy", accuracy_at_least=0.8)

have the labels ``first_n_2``, ``routing_entropy_0.25`` and ``route_entropy_accuracy_0.8``.
"""

from dataclasses import dataclass
from typing import Literal

GuidedKind = Literal["policy", "control", "routing", "alone", "self", "sampled"]
"""``alone``: the student or the teacher writes the whole answer; ``policy``: the teacher writes
steps of it; ``control``: something else stands in the place of the teacher's first step;
``routing``: whole questions go to the teacher; ``self``: the student questions itself; ``sampled``:
pass@k, right if one of k samples is."""

RANDOM = "random"
"""The ``signal`` of routing that looks at no question."""

UNCONDITIONAL = ("first", "at", "first_n")
"""The policies under which the teacher writes steps of every answer."""

ANY_STEP, ROUTE = "any_step", "route"
"""The policies by which the teacher writes any step that the student is unsure of, and whole
answers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How guided answers came about; stored as the columns of the same names."""

    kind: GuidedKind
    name: str
    """The name, by kind: ``never`` or ``teacher`` alone; the policy, e.g. ``first``, ``any_step``
    or your own ``module:name``; the control, e.g. ``hint``; ``routing``; ``pass_at``; the prompt
    style in which the student asks itself."""

    signal: str | None = None
    """``when_unsure``, ``any_step``, ``route`` and ``routing``: what tells the student's doubt."""

    number: float | None = None
    """``at``: which step, counted from 1; ``first_n``: how many steps; ``pass_at``: samples;
    ``routing``: the share of the questions that goes to the teacher, between 0 and 1;
    ``when_unsure``, ``any_step``, ``route``: the promised teacher's share, if one is."""

    accuracy_at_least: float | None = None
    """``when_unsure``, ``any_step``, ``route``: the promised accuracy, if one is. Not known of what
    an older potstill measured."""

    @property
    def label(self) -> str:
        """The name that people and files see, unique in a run: ``at_2``, ``control_hint``."""
        name = f"control_{self.name}" if self.kind == "control" else self.name
        number = None if self.number is None else f"{self.number:g}"
        promised = self.accuracy_at_least
        accuracy = None if promised is None else f"accuracy_{promised:g}"
        return "_".join(part for part in (name, self.signal, number, accuracy) if part)

    @property
    def is_conditional(self) -> bool:
        """Whether what the student writes by itself decides if the teacher is asked."""
        return self.kind == "policy" and self.name not in ("never", *UNCONDITIONAL)

    @property
    def spares_first_step(self) -> bool:
        """Whether the teacher writes the first step alone, of some of the answers."""
        return self.is_conditional and self.name not in (ANY_STEP, ROUTE)

    @property
    def is_first_step(self) -> bool:
        """Whether the teacher always writes the first step and no other."""
        return self.name == "first" or (self.name in ("at", "first_n") and self.number == 1)


ALONE = Policy(kind="alone", name="never")
"""The student without the teacher."""

TEACHER_ALONE = Policy(kind="alone", name="teacher")
"""The teacher without the student."""
