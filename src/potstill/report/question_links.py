"""Where the page's browser of questions is led to: the one place that writes its address."""

from urllib.parse import urlencode


def changed_questions(task: str, *, right: str, wrong: str) -> str:
    """Returns the address of the test questions that one system has right and another wrong.

    Args:
        task: The task's name.
        right: The label of the system that answers them rightly.
        wrong: The label of the other.
    """
    return f"#questions?{urlencode({'task': task, 'right': right, 'wrong': wrong})}"
