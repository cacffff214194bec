"""The store: everything a run has paid for or worked out, in one SQLite file; the only SQL.

One process writes, any number read at the same time. A completion is committed, and flushed to the
disk, before it counts, so kill -9, a power cut or a full disk loses nothing that was stored.
"""

from potstill.store.completion_texts import CompletionTexts
from potstill.store.completions import StoredCompletion
from potstill.store.database import lock_holder
from potstill.store.found_capabilities import CapabilityTables
from potstill.store.joined import JoinTables
from potstill.store.kept_tasks import TaskTables
from potstill.store.pooled import GradedQuestion, PooledCompletion, PooledRationale, PoolTables
from potstill.store.provenance import Provenance, ProvenanceTables, Stage, Writer
from potstill.store.results import CurationTables, ResultTables
from potstill.store.sent_requests import AnsweredRequest, SentRequests

__all__ = [
    "AnsweredRequest",
    "GradedQuestion",
    "PooledCompletion",
    "PooledRationale",
    "Provenance",
    "Stage",
    "Store",
    "StoredCompletion",
    "Writer",
    "lock_holder",
]


class Store(
    PoolTables,
    CompletionTexts,
    CurationTables,
    ResultTables,
    CapabilityTables,
    ProvenanceTables,
    TaskTables,
    SentRequests,
    JoinTables,
):
    """The store of one run.

    Use as a context manager. A second writer on the same file is refused at once. A file of an
    older schema is brought up to date, also for a reader; ``untouched`` reads it as a copy in
    memory, so that the potstill that wrote it, which may be at work, can go on with it.

    Raises:
        StoreError: Another process writes this run, the file is of a newer version, or it is not
            a store. Every method raises it when the disk is full or the file is damaged.
    """
