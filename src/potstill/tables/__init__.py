"""Files of rows that others wrote: JSON lines, JSON, separated text, Parquet; and their faults."""

from potstill.tables.encodings import FileLayout
from potstill.tables.faults import listed_faults, own_text
from potstill.tables.source_rows import Row, SourceRow, first_row, row_count, rows, source_rows

__all__ = [
    "FileLayout",
    "Row",
    "SourceRow",
    "first_row",
    "listed_faults",
    "own_text",
    "row_count",
    "rows",
    "source_rows",
]
