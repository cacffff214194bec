"""The tables of the store, as ordered steps that bring an older file up to date.

A step is SQL, or a function where rows have to be read to know what becomes of them.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from potstill.store.old_names import type_systems

SchemaStep = str | Callable[[sqlite3.Connection, Path], None]
"""SQL, or what a function does to the file, told the folder that the file is in."""

_TYPED_POLICIES = """
    CREATE TABLE guided_scores_by_policy (
        kind TEXT NOT NULL, name TEXT NOT NULL, signal TEXT, number NUMERIC,
        task TEXT NOT NULL, split TEXT NOT NULL,
        accuracy REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL, total INTEGER NOT NULL,
        guided INTEGER NOT NULL, teacher_tokens REAL NOT NULL, student_tokens REAL NOT NULL,
        cost REAL NOT NULL, leaked INTEGER NOT NULL, unleaked_accuracy REAL, difference REAL,
        difference_low REAL, difference_high REAL, p_value REAL, settings_hash TEXT NOT NULL
    );
    INSERT INTO guided_scores_by_policy
    SELECT kind,
        CASE
            WHEN kind = 'control' THEN substr(policy, 9)
            WHEN kind = 'routing' THEN 'routing'
            WHEN kind = 'sampled' THEN 'pass_at'
            WHEN kind != 'policy' THEN policy
            WHEN policy GLOB 'at_[0-9]*' THEN 'at'
            WHEN policy GLOB 'first_n_[0-9]*' THEN 'first_n'
            WHEN policy GLOB 'when_unsure_*' THEN 'when_unsure'
            ELSE policy
        END,
        CASE
            WHEN kind = 'routing' THEN rtrim(rtrim(substr(policy, 9), '0123456789.'), '_')
            WHEN kind = 'policy' AND policy GLOB 'when_unsure_*' THEN substr(policy, 13)
        END,
        CASE
            WHEN kind = 'routing'
            THEN CAST(substr(policy, length(rtrim(policy, '0123456789.')) + 1) AS REAL)
            WHEN kind = 'sampled' THEN CAST(substr(policy, 9) AS INTEGER)
            WHEN kind = 'policy' AND policy GLOB 'at_[0-9]*' THEN CAST(substr(policy, 4) AS INTEGER)
            WHEN kind = 'policy' AND policy GLOB 'first_n_[0-9]*'
            THEN CAST(substr(policy, 9) AS INTEGER)
        END,
        task, split, accuracy, low, high, total, guided, teacher_tokens, student_tokens, cost,
        leaked, unleaked_accuracy, difference, difference_low, difference_high, p_value,
        settings_hash
    FROM guided_scores ORDER BY rowid;
    CREATE TABLE guided_predictions_by_policy (
        kind TEXT NOT NULL, name TEXT NOT NULL, signal TEXT, number NUMERIC,
        task TEXT NOT NULL, split TEXT NOT NULL, question_id TEXT NOT NULL,
        text TEXT NOT NULL, guidance TEXT NOT NULL, answer TEXT, correct INTEGER NOT NULL,
        leaked INTEGER NOT NULL, student_tokens INTEGER NOT NULL, teacher_tokens INTEGER NOT NULL,
        cost REAL NOT NULL, steps INTEGER, grader TEXT NOT NULL, settings_hash TEXT NOT NULL
    );
    INSERT INTO guided_predictions_by_policy
    SELECT
        CASE
            WHEN policy GLOB 'control_*' THEN 'control'
            WHEN policy IN ('never', 'teacher') THEN 'alone'
            WHEN policy IN ('first', 'learned') OR policy GLOB 'at_[0-9]*'
                OR policy GLOB 'first_n_[0-9]*' OR policy GLOB 'when_unsure_*' THEN 'policy'
            ELSE 'self'
        END,
        CASE
            WHEN policy GLOB 'control_*' THEN substr(policy, 9)
            WHEN policy GLOB 'at_[0-9]*' THEN 'at'
            WHEN policy GLOB 'first_n_[0-9]*' THEN 'first_n'
            WHEN policy GLOB 'when_unsure_*' THEN 'when_unsure'
            ELSE policy
        END,
        CASE WHEN policy GLOB 'when_unsure_*' THEN substr(policy, 13) END,
        CASE
            WHEN policy GLOB 'at_[0-9]*' THEN CAST(substr(policy, 4) AS INTEGER)
            WHEN policy GLOB 'first_n_[0-9]*' THEN CAST(substr(policy, 9) AS INTEGER)
        END,
        task, split, question_id, text, guidance, answer, correct, leaked, student_tokens,
        teacher_tokens, cost, steps, grader, settings_hash
    FROM guided_predictions ORDER BY rowid;
    DROP TABLE guided_scores;
    DROP TABLE guided_predictions;
    ALTER TABLE guided_scores_by_policy RENAME TO guided_scores;
    ALTER TABLE guided_predictions_by_policy RENAME TO guided_predictions;
    CREATE UNIQUE INDEX guided_scores_once ON guided_scores
        (kind, name, ifnull(signal, ''), ifnull(number, 0), task, split);
    CREATE UNIQUE INDEX guided_predictions_once ON guided_predictions
        (kind, name, ifnull(signal, ''), ifnull(number, 0), task, split, question_id);
"""
"""Policies of guidance in columns, in the place of names such as ``first_n_2`` and
``routing_entropy_0.25``; see :class:`potstill.records.Policy`."""

_REQUEST_QUESTIONS = """
    CREATE TABLE request_questions (
        request_key BLOB NOT NULL, task TEXT NOT NULL, question_id TEXT NOT NULL,
        PRIMARY KEY (request_key, task, question_id)
    ) WITHOUT ROWID;
"""
"""The questions that each request asks: several where a text stands under several ids. They are
written before the request is sent, so a request may not be in ``requests`` yet."""

_QUESTION_DIGESTS = """
    ALTER TABLE rationales ADD COLUMN question_digest TEXT NOT NULL DEFAULT '';
    ALTER TABLE rationales ADD COLUMN gold TEXT;
    ALTER TABLE predictions ADD COLUMN question_digest TEXT NOT NULL DEFAULT '';
    ALTER TABLE guided_predictions ADD COLUMN question_digest TEXT NOT NULL DEFAULT '';
"""
"""The question behind each rationale and test answer: its id may come to be that of another."""

_CAPABILITIES = """
    CREATE TABLE capabilities (
        address TEXT NOT NULL, model TEXT NOT NULL, route TEXT NOT NULL, name TEXT NOT NULL,
        value TEXT NOT NULL, found_at REAL NOT NULL,
        PRIMARY KEY (address, model, route, name)
    );
"""
"""Abilities that servers were found to have; see :class:`potstill.records.Capability`."""

_PROVENANCE = """
    CREATE TABLE recipes (
        hash TEXT PRIMARY KEY, text TEXT NOT NULL, used_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE provenance (
        stage TEXT NOT NULL, settings_hash TEXT NOT NULL, recipe TEXT NOT NULL,
        inputs TEXT NOT NULL, PRIMARY KEY (stage, settings_hash)
    ) WITHOUT ROWID;
"""
"""The recipes that a run was given, and what determined the results of each stage: the values
behind the ``settings_hash`` of its rows, as a JSON object by name."""

_JUDGE_FIGURES = """
    CREATE TABLE judge_figures (
        stage TEXT NOT NULL, task TEXT NOT NULL, model TEXT NOT NULL, unread INTEGER NOT NULL,
        answered INTEGER NOT NULL, silent INTEGER NOT NULL, compared INTEGER NOT NULL,
        agreed INTEGER NOT NULL, PRIMARY KEY (stage, task)
    );
"""

_TASKS = """
    CREATE TABLE tasks (
        settings_hash TEXT PRIMARY KEY, digest TEXT NOT NULL, facts TEXT NOT NULL,
        places TEXT NOT NULL, kept_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE questions (
        task TEXT NOT NULL, split TEXT NOT NULL, place INTEGER NOT NULL, id TEXT NOT NULL,
        text TEXT NOT NULL, answer TEXT NOT NULL, choices TEXT NOT NULL, template_id TEXT,
        PRIMARY KEY (task, place)
    ) WITHOUT ROWID;
"""
"""The tasks as the run read them last, by the hash of their settings, and their questions, by the
digest of the task."""

_ENGINES = """
    CREATE TABLE engines (
        model TEXT NOT NULL, start TEXT, variant TEXT NOT NULL, step INTEGER,
        taken INTEGER NOT NULL, engine TEXT NOT NULL, number_format TEXT NOT NULL,
        settings_hash TEXT NOT NULL
    );
"""
"""The program that computed each local system; see :class:`potstill.records.SystemEngine`."""

_THINKING_ENDED = """
    ALTER TABLE completions ADD COLUMN thinking_ended INTEGER;
    ALTER TABLE predictions ADD COLUMN thinking_ended INTEGER;
    ALTER TABLE scores ADD COLUMN thinking_ended INTEGER;
"""
"""Whether a budget ended the thinking; in ``scores`` the number of such; NULL: not known."""

_MARKS = """
    ALTER TABLE rationales ADD COLUMN mark INTEGER;
    ALTER TABLE rationales ADD COLUMN right INTEGER;
"""
"""People's marks on rationales, and whether their answers are right, whatever the verdict."""

_SUITABILITY = """
    ALTER TABLE likelihoods ADD COLUMN mean_rank REAL;
    ALTER TABLE likelihoods ADD COLUMN local_naturalness REAL;
    ALTER TABLE teacher_scores ADD COLUMN rank_surprisal REAL;
    ALTER TABLE teacher_scores ADD COLUMN local_naturalness REAL;
"""
"""How well rationales suit a student, beside how likely it finds them; NULL: not measured."""

_SCORED_TEXTS = """
    CREATE TABLE scored_texts (
        text_key BLOB NOT NULL, top INTEGER NOT NULL, request_key BLOB NOT NULL,
        PRIMARY KEY (text_key, top)
    ) WITHOUT ROWID;
"""
"""The requests that scored a given text, by the key of the same without likeliest tokens: a score
with more of them is one with fewer, too."""

_ROUNDS = """
    CREATE TABLE rounds (
        training TEXT NOT NULL, student TEXT NOT NULL, start TEXT, number INTEGER NOT NULL,
        rounds INTEGER NOT NULL, step INTEGER NOT NULL, oldest INTEGER NOT NULL,
        answers INTEGER NOT NULL, ended INTEGER NOT NULL, right INTEGER,
        student_tokens INTEGER NOT NULL, teacher_tokens INTEGER NOT NULL, usd REAL NOT NULL,
        encoded_again INTEGER NOT NULL, unlearned INTEGER, places INTEGER NOT NULL,
        learned INTEGER NOT NULL, entropy REAL, repeated REAL, mass REAL, teacher_logprob REAL,
        teacher_entropy REAL, end_probability REAL, PRIMARY KEY (training, number)
    );
    CREATE TABLE collapses (
        student TEXT NOT NULL, start TEXT, sign TEXT NOT NULL, value REAL NOT NULL,
        bound REAL NOT NULL, setting REAL NOT NULL, number INTEGER NOT NULL,
        reached INTEGER NOT NULL, step INTEGER NOT NULL, message TEXT NOT NULL,
        advice TEXT NOT NULL, settings_hash TEXT NOT NULL
    );
"""
"""The rounds of on-policy trainings, also of those that no recipe names any more, by what stands
for all that determines a training; and the trainings that a limit has ended."""

_PACKED_PROBABILITIES = "SELECT 1;"
"""No table changes, but an older potstill cannot read the probabilities that are added from here
on: they stand in one column, see :mod:`potstill.store.probability_codec`."""

_MACHINES = """
    ALTER TABLE training ADD COLUMN learning_rate REAL;
    CREATE TABLE machines (
        stage TEXT NOT NULL, system TEXT NOT NULL, processor TEXT NOT NULL, cores INTEGER NOT NULL,
        memory_bytes INTEGER NOT NULL, accelerators TEXT NOT NULL, versions TEXT NOT NULL,
        UNIQUE (stage, system, processor, cores, memory_bytes, accelerators, versions)
    );
"""
"""The learning rate of each line of a training log, NULL where it is not known; and the machines
that each stage has worked on."""

_PROMISED_ACCURACY = """
    ALTER TABLE guided_scores ADD COLUMN accuracy_at_least REAL;
    ALTER TABLE guided_predictions ADD COLUMN accuracy_at_least REAL;
    DROP INDEX IF EXISTS guided_scores_once;
    DROP INDEX IF EXISTS guided_predictions_once;
    CREATE UNIQUE INDEX guided_scores_once ON guided_scores
        (kind, name, ifnull(signal, ''), ifnull(number, 0), ifnull(accuracy_at_least, 0), task,
        split);
    CREATE UNIQUE INDEX guided_predictions_once ON guided_predictions
        (kind, name, ifnull(signal, ''), ifnull(number, 0), ifnull(accuracy_at_least, 0), task,
        split, question_id);
"""
"""The accuracy that a policy of guidance promises, by which policies are told apart, too; NULL:
none, or measured before it was kept."""

MIGRATIONS: tuple[SchemaStep, ...] = (
    """
    CREATE TABLE requests (
        key BLOB PRIMARY KEY, model TEXT NOT NULL, body TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE completions (
        id INTEGER PRIMARY KEY, request_key BLOB NOT NULL REFERENCES requests (key),
        sample INTEGER NOT NULL, max_tokens INTEGER NOT NULL, text TEXT NOT NULL, thinking TEXT,
        finish_reason TEXT NOT NULL, error TEXT, prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL, cost REAL NOT NULL, created_at REAL NOT NULL,
        stage TEXT NOT NULL, UNIQUE (request_key, sample, max_tokens)
    );
    CREATE TABLE logprobs (
        completion_id INTEGER PRIMARY KEY REFERENCES completions (id) ON DELETE CASCADE,
        tokens INTEGER NOT NULL, top INTEGER NOT NULL, logprobs BLOB NOT NULL, ids BLOB,
        token_bytes BLOB, lengths BLOB, collisions INTEGER NOT NULL, missing_mass REAL NOT NULL
    );
    CREATE TABLE rationales (
        question_id TEXT NOT NULL, completion_id INTEGER NOT NULL REFERENCES completions (id),
        text TEXT NOT NULL, answer TEXT, verdict TEXT NOT NULL,
        grader TEXT NOT NULL, settings_hash TEXT NOT NULL, PRIMARY KEY (question_id, completion_id)
    );
    CREATE TABLE training (
        student TEXT NOT NULL, step INTEGER NOT NULL, loss REAL NOT NULL, tokens INTEGER NOT NULL,
        seconds REAL NOT NULL, settings_hash TEXT NOT NULL, PRIMARY KEY (student, step)
    );
    CREATE TABLE checkpoints (
        student TEXT NOT NULL, step INTEGER NOT NULL, folder TEXT NOT NULL,
        data_format TEXT NOT NULL, encoder_decoder INTEGER NOT NULL,
        examples INTEGER NOT NULL, too_long INTEGER NOT NULL, settings_hash TEXT NOT NULL,
        PRIMARY KEY (student, step)
    );
    CREATE TABLE scores (
        system TEXT NOT NULL, step INTEGER, task TEXT NOT NULL, split TEXT NOT NULL,
        correct INTEGER NOT NULL, total INTEGER NOT NULL, low REAL NOT NULL, high REAL NOT NULL,
        no_answer INTEGER NOT NULL, truncated INTEGER NOT NULL, chosen INTEGER NOT NULL,
        settings_hash TEXT NOT NULL
    );
    CREATE TABLE predictions (
        system TEXT NOT NULL, task TEXT NOT NULL, question_id TEXT NOT NULL, text TEXT NOT NULL,
        answer TEXT, correct INTEGER NOT NULL, finish_reason TEXT NOT NULL,
        completion_tokens INTEGER NOT NULL, settings_hash TEXT NOT NULL,
        PRIMARY KEY (system, task, question_id)
    );
    CREATE TABLE comparisons (
        task TEXT NOT NULL, first TEXT NOT NULL, second TEXT NOT NULL, only_first INTEGER NOT NULL,
        only_second INTEGER NOT NULL, total INTEGER NOT NULL, difference REAL NOT NULL,
        low REAL NOT NULL, high REAL NOT NULL, p_value REAL NOT NULL, settings_hash TEXT NOT NULL
    );
    CREATE TABLE stages (
        name TEXT PRIMARY KEY, seconds REAL NOT NULL
    );
    """,
    """
    ALTER TABLE rationales ADD COLUMN sample INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE predictions ADD COLUMN grader TEXT NOT NULL DEFAULT '';
    CREATE TABLE teachers (
        settings_hash TEXT PRIMARY KEY, name TEXT NOT NULL, chat INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE checkpoints ADD COLUMN parameters INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE checkpoints ADD COLUMN soft_share REAL;
    CREATE TABLE choices (
        student TEXT NOT NULL, rule TEXT NOT NULL, step INTEGER NOT NULL, used INTEGER NOT NULL,
        settings_hash TEXT NOT NULL, PRIMARY KEY (student, rule)
    );
    """,
    """
    CREATE TABLE guided_scores (
        policy TEXT NOT NULL, kind TEXT NOT NULL, task TEXT NOT NULL, split TEXT NOT NULL,
        accuracy REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL, total INTEGER NOT NULL,
        guided INTEGER NOT NULL, teacher_tokens REAL NOT NULL, student_tokens REAL NOT NULL,
        cost REAL NOT NULL, leaked INTEGER NOT NULL, unleaked_accuracy REAL, difference REAL,
        difference_low REAL, difference_high REAL, p_value REAL, settings_hash TEXT NOT NULL,
        PRIMARY KEY (policy, task, split)
    );
    CREATE TABLE guided_predictions (
        policy TEXT NOT NULL, task TEXT NOT NULL, split TEXT NOT NULL, question_id TEXT NOT NULL,
        text TEXT NOT NULL, guidance TEXT NOT NULL, answer TEXT, correct INTEGER NOT NULL,
        leaked INTEGER NOT NULL, student_tokens INTEGER NOT NULL, teacher_tokens INTEGER NOT NULL,
        cost REAL NOT NULL, steps INTEGER, grader TEXT NOT NULL, settings_hash TEXT NOT NULL,
        PRIMARY KEY (policy, task, split, question_id)
    );
    """,
    """
    ALTER TABLE rationales ADD COLUMN teacher TEXT NOT NULL DEFAULT 'teacher';
    CREATE TABLE likelihoods (
        completion_id INTEGER NOT NULL REFERENCES completions (id) ON DELETE CASCADE,
        student TEXT NOT NULL, mean_logprob REAL NOT NULL, tokens INTEGER NOT NULL,
        settings_hash TEXT NOT NULL, PRIMARY KEY (completion_id, settings_hash)
    ) WITHOUT ROWID;
    CREATE TABLE teacher_scores (
        teacher TEXT NOT NULL, round INTEGER NOT NULL, accuracy REAL NOT NULL, low REAL NOT NULL,
        high REAL NOT NULL, total INTEGER NOT NULL, samples INTEGER NOT NULL,
        kept INTEGER NOT NULL, chosen INTEGER NOT NULL, mean_logprob REAL, difference REAL,
        difference_low REAL, difference_high REAL, settings_hash TEXT NOT NULL,
        PRIMARY KEY (teacher, round)
    );
    """,
    _TYPED_POLICIES,
    type_systems,
    _REQUEST_QUESTIONS,
    _QUESTION_DIGESTS,
    _CAPABILITIES,
    _PROVENANCE,
    _TASKS,
    _JUDGE_FIGURES,
    "ALTER TABLE checkpoints ADD COLUMN trained_parameters INTEGER NOT NULL DEFAULT 0;",
    "ALTER TABLE checkpoints ADD COLUMN training TEXT NOT NULL DEFAULT '';",
    _ENGINES,
    _THINKING_ENDED,
    _MARKS,
    _SUITABILITY,
    _SCORED_TEXTS,
    _ROUNDS,
    _PACKED_PROBABILITIES,
    _MACHINES,
    _PROMISED_ACCURACY,
)
"""Ordered steps from an empty file to the newest schema; the version is how many were taken."""
