"""Prints the package's structure in figures: files, lines, names used twice, rooms, imports.

Run: python scripts/structure.py [FOLDER]

FOLDER is a package's folder, by default ``src/potstill``. A room is a file or folder right below
it; an arrow is one room that imports another; a floor is a level of the longest chain of imports.
"""

import ast
import sys
from collections import Counter
from pathlib import Path
from statistics import median

PACKAGE = Path(__file__).parents[1] / "src" / "potstill"
NUMERIC = ("train", "models/local", "merge/weights.py", "statistics.py")
"""Path prefixes of dense numeric code, from the package's folder."""

Arrows = dict[str, set[str]]


def docstring_lines(tree: ast.Module) -> set[int]:
    """Returns the numbers of the lines that belong to strings standing alone."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def line_counts(path: Path) -> Counter[str]:
    """Counts a file's lines of code, docstrings and comments; blank lines are in none."""
    text = path.read_text(encoding="utf-8")
    inside = docstring_lines(ast.parse(text))
    counts: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        if number in inside:
            counts["docstrings"] += 1
        elif line.lstrip().startswith("#"):
            counts["comments"] += 1
        elif line.strip():
            counts["code"] += 1
    counts["all"] = text.count("\n")
    return counts


def arrows(package: Path, files: list[Path]) -> Arrows:
    """Returns which rooms each room imports."""
    rooms = {path.stem if path.is_file() else path.name for path in package.iterdir()}
    found: Arrows = {}
    for path in files:
        room = path.relative_to(package).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            for module in modules:
                first, _, rest = module.partition(".")
                other = rest.partition(".")[0]
                if first == package.name and other in rooms and other != room:
                    found.setdefault(room, set()).add(other)
    return found


def floors(imports: Arrows) -> int:
    """Returns the number of rooms on the longest chain of imports; -1 where there is a circle."""
    heights: dict[str, int] = {}
    rooms = imports.keys() | {room for others in imports.values() for room in others}
    for _ in rooms:
        before = dict(heights)
        for room in rooms:
            below = [heights.get(other, 1) for other in imports.get(room, ())]
            heights[room] = 1 + max(below, default=0)
        if heights == before:
            return max(heights.values(), default=0)
    return -1


def used_twice(names: list[str]) -> int:
    """Returns how many names occur more than once."""
    return sum(count > 1 for count in Counter(names).values())


def main() -> None:
    """Prints the figures, one a line."""
    package = Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE
    files = sorted(package.rglob("*.py"))
    counts = {path: line_counts(path) for path in files}
    total = sum(counts.values(), Counter[str]())
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    classes = [node.name for node in nodes if isinstance(node, ast.ClassDef)]
    stems = [path.stem for path in files if path.stem not in ("__init__", "settings", "stage")]
    numeric = [p for p in files if p.relative_to(package).as_posix().startswith(NUMERIC)]
    inside = sum((counts[path] for path in numeric), Counter[str]())
    imports = arrows(package, files)
    rooms = {path.relative_to(package).parts[0] for path in files}
    share = inside["comments"] / max(1, inside["comments"] + inside["code"])
    for label, value in (
        ("files", len(files)),
        ("lines", total["all"]),
        ("lines of code", total["code"]),
        ("lines of docstrings", total["docstrings"]),
        ("lines of comments", total["comments"]),
        ("lines of the median file", median(counts[path]["all"] for path in files)),
        ("files under 50 lines", sum(counts[path]["all"] < 50 for path in files)),
        ("class names used twice", used_twice(classes)),
        ("file names used twice", used_twice(stems)),
        ("comments in numeric modules, per cent of lines", round(100 * share, 1)),
        ("rooms", len(rooms)),
        ("floors", floors(imports)),
        ("arrows between rooms", sum(map(len, imports.values()))),
    ):
        print(f"{label:48} {value:>8,}")


if __name__ == "__main__":
    main()
