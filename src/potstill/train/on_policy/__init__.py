"""On-policy training: the student writes, a teacher scores, the student learns from the scores.

A training is cut into rounds. When it reaches one, the student as it is by then answers some
questions (:mod:`.student_writer`), the teacher says how likely it finds each token, its likeliest
ones are carried to the student's tokens (:mod:`.written_answers`), and some optimiser steps learn
them::

    questions ─ student ─▶ answers ─ teacher ─▶ scores ─ alignment ─▶ examples ─▶ optimiser steps
        ▲                                                                              │
        └───────────────────────────── the next round ◀────────────────────────────────┘

Answers and scores are completions in the store: what was paid for is never asked for again, and a
training that goes on from a checkpoint finds there what its later rounds have written. GKD, arXiv
2306.13649, is the loss; the alignment is Byte-Prefix Marginalization, arXiv 2607.22334.
"""
