"""The white space around a rationale in the text that it was taken from."""


def with_own_space(rationale: str, written: str) -> str:
    r"""Returns a rationale with the white space that its writer put around it.

    White space between it and a closing statement of the answer, which was taken off, is the
    statement's::

        with_own_space("One and one.", "\n\nOne and one.\n")  ─▶  "\n\nOne and one.\n"
        with_own_space("So.", " So.\nThe answer is 2.")        ─▶  " So."

    Args:
        rationale: Without white space around it.
        written: The whole text, without thinking; where the rationale does not stand in it, the
            rationale is returned as it is.
    """
    if not rationale or rationale not in written:
        return rationale
    before, _, behind = written.partition(rationale)
    before = before if before.isspace() else ""
    return before + rationale + (behind if behind.isspace() else "")
