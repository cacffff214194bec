"""Pictures of a run's page for the docs: on a phone and a desk, in light and dark.

Run: make demo && .venv/bin/python scripts/screenshots.py runs/demo

The head shows how long the run took, so the demonstration is made anew on a machine that does
nothing else (``rm -r runs/demo`` first). ``--place questions`` leaves the head as it is, ``--out``
names another folder than docs/images.

Chromium is found on the path, or named by CHROMIUM; playwright comes with the extra dev. Each
picture is of what fits a screen: the head of the page, and a question that the student has lost.
"""

import argparse
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SCREENS = {"desktop": (1440, 1080), "phone": (390, 844)}
"""Width and height in pixels."""

SCHEMES = ("light", "dark")

LARGEST = 300_000
"""Bytes of a picture."""

PLACES = {
    "head": "",
    "questions": "#questions?start=right&student=wrong",
}
"""The pictures: each shows the page at an address that ends in this fragment."""


def picture(browser: "Browser", page: Path, place: str, screen: str, scheme: str) -> bytes:
    """Returns a picture of a place on a page, as PNG."""
    width, height = SCREENS[screen]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        has_touch=screen == "phone",
        is_mobile=screen == "phone",
    )
    opened = context.new_page()
    opened.goto(page.resolve().as_uri() + place)
    if place:
        opened.wait_for_selector("#list > li")
        opened.keyboard.press("j")
        opened.keyboard.press("Enter")
        opened.wait_for_selector("details.one[open] .whole")
        top = "details.one[open]" if screen == "phone" else "#questions"
        opened.evaluate("(top) => document.querySelector(top).scrollIntoView()", top)
    taken = opened.screenshot()
    context.close()
    return taken


def main() -> None:
    """Make the pictures.

    Raises:
        SystemExit: There is no page, no browser, or a picture is too large for the repository.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run's folder, with its report.html")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--place", choices=PLACES, help="only these pictures; by default all")
    arguments = parser.parse_args()
    page, program = arguments.run / "report.html", os.environ.get("CHROMIUM", "chromium")
    if not page.is_file() or shutil.which(program) is None:
        raise SystemExit(f"{page} or the browser {program} is missing.")
    from playwright.sync_api import sync_playwright

    arguments.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which(program))
        for name in [arguments.place] if arguments.place else PLACES:
            for screen in SCREENS:
                for scheme in SCHEMES:
                    taken = picture(browser, page, PLACES[name], screen, scheme)
                    file = arguments.out / f"report-{name}-{screen}-{scheme}.png"
                    if len(taken) > LARGEST:
                        raise SystemExit(f"{file} would have {len(taken):,} bytes.")
                    file.write_bytes(taken)
                    print(f"{file}: {len(taken):,} bytes")
        browser.close()


if __name__ == "__main__":
    main()
