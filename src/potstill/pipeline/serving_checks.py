"""What a server that answers for students cannot do, found before anything is asked."""

from potstill.errors import ConfigError
from potstill.evaluate.settings import EvaluateSettings
from potstill.models.settings import LocalSettings


def check_serving(student: LocalSettings, evaluate: EvaluateSettings) -> None:
    """Refuse settings that only this process keeps beside a server that the recipe names.

    Raises:
        ConfigError: There are such.
    """
    if student.serve not in (None, "auto") and evaluate.thinking_tokens is not None:
        raise ConfigError(
            "evaluate.thinking_tokens ends thinking in this process alone, and student.serve "
            "has a server answer. Leave one of them out, or set student.serve to auto."
        )
