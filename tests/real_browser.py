"""A real browser for tests: Chromium by Playwright, watched for errors and for requests.

Tests that need it are skipped where one of the two is missing. ``CHROMIUM`` names the program where
it is not on the path.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on the path; name it by CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page of a browser, with what went wrong on it and what it asked for."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def open(self, address: str) -> "Page":
        """Open a page; its list of questions, if it has one, is drawn then."""
        self.page.goto(address)
        self.drawn()
        return self.page

    def drawn(self) -> None:
        """Wait for the list of questions."""
        self.page.wait_for_function(
            "() => !document.getElementById('list') || document.getElementById('found').textContent"
        )

    def ids(self) -> list[str]:
        """The ids of the questions that are listed."""
        found: list[str] = self.page.evaluate(
            "() => [...document.querySelectorAll('#list .id')].map((one) => one.dataset.id)"
        )
        return found

    def axe_findings(self) -> list[str]:
        """Returns the faults that axe-core finds for people who do not see, or see little."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright")
        found = axe.Axe().run(self.page, options={"resultTypes": ["violations"]}).response
        return [
            f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def wider_than_the_screen(self) -> list[str]:
        """Returns the elements beyond the right edge of a page that scrolls sideways; else none."""
        found: list[str] = self.page.evaluate(
            """() => {
                const wide = document.documentElement.scrollWidth - innerWidth;
                if (wide <= 0) return [];
                return [...document.querySelectorAll("body *")]
                    .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
                    .map((one) => one.outerHTML.slice(0, 120));
            }"""
        )
        return found

    def check(self, *origins: str) -> None:
        """Nothing went wrong, and nothing was asked of anybody else."""
        assert self.faults == []
        assert [asked for asked in self.requests if not asked.startswith(origins)] == []


@contextmanager
def watched(
    browser: "Browser", *, width: int = 1440, dark: bool = False, **more: Any
) -> Iterator[Watched]:
    """A new page of so many pixels' width."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        **more,
    )
    try:
        yield Watched(context.new_page())
    finally:
        context.close()
