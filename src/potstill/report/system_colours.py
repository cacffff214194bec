"""The colour, dash and mark of every system, the same all over the page.

Starts are grey. Students have the other colours in their order, the one in ``model/`` the
first; a sixth student begins again, and is told apart by its label.
"""

from potstill.records import System
from potstill.report.accuracy import USUAL_STUDENT, Results

STUDENT_COLOURS = 5
"""The series of students, from 1 on."""

START_SERIES = 6
"""The series of a start."""


def students_in_order(results: Results) -> list[System]:
    """Returns the students, the one in ``model/`` first: it leads, and gets the first colour."""
    leading = results.chosen or USUAL_STUDENT
    return sorted(results.students, key=lambda student: student != leading)


def series_of(results: Results, system: System) -> int:
    """Returns a system's series, from 1 to 6; all that is no student has that of the start."""
    students = students_in_order(results)
    if system.bare not in students:
        return START_SERIES
    return students.index(system.bare) % STUDENT_COLOURS + 1
