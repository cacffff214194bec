"""Runs docs/notebooks/first_run.ipynb and keeps in it what its cells showed.

Run: python scripts/notebook.py

The run's folder stays in a temporary place. What is kept is what a reader looks at: the values of
cells, as HTML where they have it, and no warnings or progress.
"""

import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebooks" / "first_run.ipynb"
SHOWN = ("execute_result", "display_data")


def main() -> None:
    """Run the notebook and write it back."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=900, resources=place).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [_kept(one) for one in cell.outputs if one.output_type in SHOWN]
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    nbformat.write(notebook, NOTEBOOK)


def _kept(output: Any) -> Any:
    """Returns an output by HTML alone where it has it; the same value as a text is long."""
    html = output.data.get("text/html")
    data = {"text/html": html} if html else {"text/plain": output.data["text/plain"]}
    return nbformat.v4.new_output("display_data", data=data)


if __name__ == "__main__":
    main()
