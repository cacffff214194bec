"""The limits at which an on-policy training ends, since the student has begun to collapse."""

from pydantic import Field

from potstill.settings import Settings


class LimitSettings(Settings):
    """The limits at which a training ends, at its last good checkpoint; null turns one off.

    Figures are those of a round's answers. A figure has to pass its limit in ``patience`` rounds in
    a row; ``mass``, ``end`` and ``unlearned`` end a training in its first round, too, before the
    rest of it is paid for.
    """

    patience: int = Field(default=2, ge=1)
    """Rounds in a row beyond a limit, so that one odd round of few answers ends nothing."""

    mass: float | None = Field(default=0.5, gt=0, lt=1)
    """Least share of the student's tokens among the teacher's top K; healthy students have above
    0.9, the ids of another tokenizer less than 0.3. Below it the texts are not the teacher's kind:
    other words or marks, another tokenizer, or a start that cannot answer."""

    mass_loss: float | None = Field(default=0.15, gt=0, lt=1)
    """Most that this share may fall below the first round's (0.15: 15 points); a loss that works
    raises it."""

    end: float | None = Field(default=0.001, gt=0, lt=1)
    """Least mean probability that the teacher gives to the end where the student ends. Below it
    the student learns never to end."""

    ended: float | None = Field(default=0.5, gt=0, lt=1)
    """Least share of answers that end by themselves, by that of the first round (0.5: half of it);
    not looked at where only the first tokens are written."""

    repeated: float | None = Field(default=0.3, gt=0, lt=1)
    """Most that the share of repeated runs of four tokens may rise above the first round's (0.3: 30
    points)."""

    entropy: float | None = Field(default=0.1, gt=0, lt=1)
    """Least entropy of the student, by the lesser of its own in the first round and the teacher's
    on the same text (0.1: a tenth); not looked at where that is below 0.25 nats a token."""

    unlearned: float | None = Field(default=0.5, gt=0, lt=1)
    """Most of the answers of which nothing can be learned: empty, without scores, or too long."""

    staleness: int | None = Field(default=64, ge=0)
    """Oldest answer that is learned, in optimiser steps: an older one was written by another
    student. Found before anything is written."""
