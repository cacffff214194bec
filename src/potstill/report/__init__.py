"""report: the run as a page, a summary for programs and a table for the terminal."""

from potstill.report.run_facts import RunFacts
from potstill.report.stage import ReportFiles, report_results, write_report, write_results
from potstill.report.tables import accuracy_table
from potstill.report.teacher_tables import teachers_table

__all__ = [
    "ReportFiles",
    "RunFacts",
    "accuracy_table",
    "report_results",
    "teachers_table",
    "write_report",
    "write_results",
]
