"""The docs as a site: built strictly, without network, and without a request in any page."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from script_modules import script_module

import potstill

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "notebooks" / "first_run.ipynb"
NOWHERE = "http://127.0.0.1:9"
"""A proxy that is none: whatever asks the network fails."""

pytest.importorskip("mkdocstrings", reason="the extra docs is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once."""
    out = tmp_path_factory.mktemp("docs") / "site"
    proxies = {f"{scheme}_proxy": NOWHERE for scheme in ("http", "https", "all")}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)],
        cwd=ROOT,
        env={**os.environ, **proxies, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


class Fetched(HTMLParser):
    """Collects what a browser fetches to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        names = ["src", "srcset", "poster", "data"]
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            names.append("href")
        self.addresses += [address for name in names if (address := values.get(name))]


def fetched(page: Path) -> list[str]:
    reader = Fetched()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader.addresses


def pages(site: Path) -> Iterator[Path]:
    found = sorted(site.rglob("*.html"))
    assert len(found) > 25
    yield from found


@pytest.mark.slow
def test_no_page_asks_another_machine_for_anything(site: Path) -> None:
    for page in pages(site):
        for address in fetched(page):
            assert not re.match(r"(\w+:)?//", address), f"{page.name}: {address}"
            if not address.startswith("data:"):
                file = address.partition("#")[0].partition("?")[0]
                where = (
                    site / file.removeprefix("/") if file.startswith("/") else page.parent / file
                )
                assert where.exists(), f"{page.name}: {address}"
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"@import|url\([\"']?(https?:)?//", text), style.name


@pytest.mark.slow
def test_the_public_names_stand_with_their_docstrings(site: Path) -> None:
    text = (site / "python.html").read_text(encoding="utf-8")
    for name in potstill.__all__:
        home = potstill._HOMES[name]
        assert f'id="potstill.{home}.{name}"' in text, name
    assert "Write completions, rationales or training rows of a run to a file" in text


@pytest.mark.slow
def test_recipes_readme_and_notebook_are_pages(site: Path) -> None:
    recipes = (site / "recipes.html").read_text(encoding="utf-8")
    for file in (ROOT / "recipes").rglob("*.yaml"):
        assert file.relative_to(ROOT / "recipes").as_posix() in recipes
    assert 'href="tutorial.html"' in (site / "index.html").read_text(encoding="utf-8")
    assert "A first run, from Python" in (site / "notebook.html").read_text(encoding="utf-8")


def test_links_of_the_checkout_lead_to_pages_or_become_names() -> None:
    hooks = script_module("docs_site")
    relinked = {
        "[data](docs/data.md#own)": "[data](data.md#own)",
        "[rules](CONTRIBUTING.md)": "[rules](contributing.md)",
        "[licence](LICENSE)": "licence (`LICENSE`)",
        "[run](docs/notebooks/first_run.ipynb)": "[run](notebook.md)",
        "[out](https://example.org)": "[out](https://example.org)",
        "[gone](docs/gone.md)": "[gone](docs/gone.md)",
        "[here](#install)": "[here](#install)",
    }
    for link, wanted in relinked.items():
        assert hooks.LINK.sub(lambda found: hooks._relinked(found, ROOT), link) == wanted


def test_a_notebooks_page_has_texts_code_and_what_it_showed() -> None:
    hooks = script_module("docs_site")
    html = {"output_type": "display_data", "data": {"text/html": ["<p>a\n", "\n", "b</p>"]}}
    plain = {"output_type": "stream", "text": ["12\n"]}
    cells = [
        {"cell_type": "markdown", "source": ["# Head"]},
        {"cell_type": "code", "source": ["1 + 1"], "outputs": [html, plain]},
    ]
    assert hooks.notebook_page({"cells": cells}) == (
        "# Head\n\n```python\n1 + 1\n```\n\n<p>a\nb</p>\n\n```text\n12\n```\n"
    )


# the notebook ------------------------------------------------------------------------------------


SMALL = {'"train": 300': '"train": 24', '"dev": 40': '"dev": 4', '"test": 100': '"test": 6',
         '"steps": 300': '"steps": 4'}  # fmt: skip
"""Changes that keep every cell and make it short; ``scripts/notebook.py`` runs it as it stands."""


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    text = NOTEBOOK.read_text(encoding="utf-8")
    for setting, smaller in SMALL.items():
        quoted = json.dumps(setting)[1:-1]
        assert text.count(quoted) == 1, setting
        text = text.replace(quoted, json.dumps(smaller)[1:-1])
    notebook = nbformat.reads(text, as_version=4)
    place = {"metadata": {"path": tmp_path}}
    client.NotebookClient(notebook, timeout=600, resources=place).execute()
    shown = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    values = [output.data for outputs in shown for output in outputs if "data" in output]
    assert sum("text/html" in data for data in values) >= 5


def test_the_notebook_is_kept_with_what_it_showed() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert sum(bool(cell["outputs"]) for cell in code) >= 6
    for cell in code:
        assert not any(output["output_type"] == "error" for output in cell["outputs"])
