"""exchange: a run's data out to files and to the hub, and other files' data in."""

from potstill.exchange.export import ExportResult, export_run
from potstill.exchange.folders import DatasetDescription, HubStudent, dataset_folder, model_folder
from potstill.exchange.foreign_rows import RowFields
from potstill.exchange.hub import PushResult, check_push, push_folder
from potstill.exchange.import_ import ImportResult, import_file
from potstill.exchange.join import JoinedRuns, join_runs
from potstill.exchange.log_folders import LogKind, LogResult, export_logs
from potstill.exchange.rows import ExportKind
from potstill.exchange.shards import export_to, import_from

__all__ = [
    "DatasetDescription",
    "ExportKind",
    "ExportResult",
    "HubStudent",
    "ImportResult",
    "JoinedRuns",
    "LogKind",
    "LogResult",
    "PushResult",
    "RowFields",
    "check_push",
    "dataset_folder",
    "export_logs",
    "export_run",
    "export_to",
    "import_file",
    "import_from",
    "join_runs",
    "model_folder",
    "push_folder",
]
