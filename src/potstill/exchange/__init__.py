"""exchange: what a run has, out to files and to the hub, and files in."""

from potstill.exchange.export import Exported, export_run
from potstill.exchange.folders import Described, dataset_folder, model_folder
from potstill.exchange.foreign_rows import RowFields
from potstill.exchange.hub import Pushed, check_push, push_folder
from potstill.exchange.import_ import Imported, import_file
from potstill.exchange.rows import What

__all__ = [
    "Described",
    "Exported",
    "Imported",
    "Pushed",
    "RowFields",
    "What",
    "check_push",
    "dataset_folder",
    "export_run",
    "import_file",
    "model_folder",
    "push_folder",
]
