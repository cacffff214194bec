import subprocess
import sys

import pytest

import potstill


def test_every_public_name_is_there() -> None:
    for name in potstill.__all__:
        assert getattr(potstill, name) is not None
    assert sorted(potstill.__all__) == potstill.__all__ == sorted(potstill._HOMES)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonesuch'"):
        potstill.nonesuch  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'pydantic', 'rich', 'scipy'}"
    check = f"import sys, potstill; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
