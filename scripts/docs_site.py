"""The hooks of the docs site: pages that stand elsewhere in the checkout, or are made from code.

mkdocs calls these functions (``hooks`` in ``mkdocs.yml``). README.md becomes the first page;
CONTRIBUTING.md, CHANGELOG.md and the benchmarks' README pages beside it; the recipes, the public
Python names and the notebook a page each. Links between them lead to the pages; a link to a file
that is no page becomes its name.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Files of the checkout that are pages, with the pages' names."""

NOTEBOOK = ROOT / "docs" / "notebooks" / "first_run.ipynb"
HOMES = {page: (ROOT / file).parent for file, page in PAGES.items()} | {
    "notebook.md": NOTEBOOK.parent
}
"""The folders that a page's links count from, where it is not that of the docs."""

NAMES = PAGES | {NOTEBOOK.relative_to(ROOT).as_posix(): "notebook.md"}
"""The pages that stand for files of the checkout, wherever a link leads to one of these."""

LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put pages of the docs that the navigation does not name at the end of the guide."""
    nav = config.nav
    assert nav is not None
    (guide,) = (entry["Guide"] for entry in nav if isinstance(entry, dict) and "Guide" in entry)
    named = json.dumps(nav)
    for page in sorted((ROOT / "docs").glob("*.md")):
        if f'"{page.name}"' not in named:
            guide.append(page.name)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not stand in the folder of the docs."""
    made = {page: (ROOT / file).read_text(encoding="utf-8") for file, page in PAGES.items()}
    made["recipes.md"] = recipes_page(sorted((ROOT / "recipes").rglob("*.yaml")))
    made["python.md"] = python_page()
    made["notebook.md"] = notebook_page(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that lead out of the docs into links between pages, outside of code."""
    folder = HOMES.get(page.file.src_uri, ROOT / "docs")
    parts = FENCE.split(markdown)
    return "".join(
        part if place % 2 else LINK.sub(lambda found: _relinked(found, folder), part)
        for place, part in enumerate(parts)
    )


def _relinked(found: re.Match[str], folder: Path) -> str:
    target, _, anchor = found["target"].partition("#")
    if not target or "://" in target or target.startswith("mailto:"):
        return found[0]
    path = (folder / target).resolve()
    if not path.is_relative_to(ROOT) or not path.exists():
        return found[0]  # mkdocs tells of it
    place = path.relative_to(ROOT).as_posix()
    name = NAMES.get(place) or place.removeprefix("docs/")
    if place not in NAMES and not place.startswith("docs/"):
        text = found["text"]
        return text if "`" in text else f"{text} (`{place}`)"
    return f"[{found['text']}]({name}{'#' if anchor else ''}{anchor})"


def recipes_page(files: Iterable[Path]) -> str:
    """Returns all recipes, each under its name."""
    parts = [
        "# Recipes\n\nOne file an experiment, with its numbers, cost and time. `potstill plan` "
        "looks at one before it runs.\n"
    ]
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        text = file.read_text(encoding="utf-8")
        parts.append(f"## {name.removeprefix('recipes/')}\n\n```yaml\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def python_page() -> str:
    """Returns the page of the public Python names, from their docstrings."""
    import potstill

    rows = [f"::: potstill.{potstill._HOMES[name]}.{name}\n" for name in potstill.__all__]
    exchange = [f"::: potstill.exchange.{name}\n" for name in EXCHANGE]
    return (
        "# Python\n\nThe public names of `potstill`, each as `potstill.NAME`.\n\n"
        + "\n".join(rows)
        + "\n## Data out and in\n\n"
        + "\n".join(exchange)
    )


EXCHANGE = ("export_run", "export_logs", "import_file", "ExportResult", "LogResult", "ImportResult")


def notebook_page(notebook: Mapping[str, Any]) -> str:
    """Returns a notebook as a page: its texts, its code, and what the code showed."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [_shown(output) for output in cell.get("outputs", ())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _shown(output: Mapping[str, Any]) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        html = "".join(data["text/html"])
        return re.sub(r"\n\s*\n", "\n", html).strip()  # a blank line would end the block of HTML
    text = "".join(data.get("text/plain", output.get("text", ())))
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""
