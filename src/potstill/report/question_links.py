"""Addresses of the page's browser of questions; no other module writes them."""

from urllib.parse import urlencode

from potstill.report.accuracy import Results


def changed_questions(results: Results, task: str, *, right: str, wrong: str) -> str:
    """Returns the address of the test questions that one system has right and another wrong.

    The browser knows the page's start and student by these words, any other system by its label.

    Args:
        results: The run's results.
        task: The task's name.
        right: The label of the system that answers them rightly.
        wrong: The label of the other.
    """
    roles = {}
    if (student := results.chosen) is not None:
        roles = {results.start_of(student).label: "start", student.label: "student"}
    asked = [
        (roles[system], verdict) if system in roles else (verdict, system)
        for verdict, system in (("right", right), ("wrong", wrong))
    ]
    return f"#questions?{urlencode([('task', task), *sorted(asked)])}"
