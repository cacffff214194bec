"""The colour, dash and mark of every system, the same all over the page.

Starts are grey. Students have the other colours in their order, the one in ``model/`` the first.
Every five of them have all five colours and all five forms, each time paired otherwise, so that 25
are told apart.
"""

from potstill.records import System
from potstill.report.accuracy import USUAL_STUDENT, Results
from potstill.report.chart_marks import Look

STUDENT_COLOURS = 5
"""The colours of students, from 1 on, and their forms."""

START_LOOK = Look(colour=6, form=6)


def students_in_order(results: Results) -> list[System]:
    """Returns the students, the one in ``model/`` first: it leads, and gets the first colour."""
    leading = results.chosen or USUAL_STUDENT
    return sorted(results.students, key=lambda student: student != leading)


def look_of(results: Results, system: System) -> Look:
    """Returns a system's colour and form; all that is no student has those of the start."""
    students = students_in_order(results)
    return student_look(students.index(system.bare)) if system.bare in students else START_LOOK


def student_look(place: int) -> Look:
    """Returns the colour and form of the student at a place, counted from 0.

    Args:
        place: The student's place; no two of 25 look alike, and the next one looks like the first.
    """
    turn, number = divmod(place, STUDENT_COLOURS)
    return Look(colour=number + 1, form=(number + turn) % STUDENT_COLOURS + 1)
