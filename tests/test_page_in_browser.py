"""The page of a run in a real browser: it draws, filters, is steered by keys, and asks nobody."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from filled_pages import HOSTILE_TEXTS, KINDS, PAGES
from real_browser import Watched, chromium, watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WIDTHS = (390, 820, 1440)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The address of each kind of page."""
    return {
        name: make(tmp_path_factory.mktemp(name)).resolve().as_uri() for name, make in PAGES.items()
    }


@pytest.fixture
def demo(browser: "Browser", pages: dict[str, str]) -> Iterator[Watched]:
    with watched(browser) as page:
        page.open(pages["demo_like"])
        yield page
        page.check("file://")


def sums(rest: str = "") -> str:
    """The address of the leading task's test questions."""
    return f"#questions?task=two_step_arithmetic{rest}"


def go(demo: Watched, address: str) -> None:
    """Follow an address on the page, as a link does."""
    demo.page.evaluate(
        """(address) => {
            document.getElementById("found").textContent = "";
            if (location.hash === address) dispatchEvent(new HashChangeEvent("hashchange"));
            location.hash = address;
        }""",
        address,
    )
    demo.drawn()


def open_everything(page: Watched) -> None:
    """Open the first question and all that is folded on the page."""
    page.page.evaluate(
        "() => document.querySelectorAll('details:not(.one), #list > li:first-child > details')"
        ".forEach((one) => (one.open = true))"
    )
    page.page.wait_for_timeout(50)
    page.page.evaluate("() => document.querySelectorAll('details:not(.one)')"
                       ".forEach((one) => (one.open = true))")  # fmt: skip


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("kind", KINDS)
def test_every_plot_draws_and_nobody_is_asked(
    browser: "Browser", pages: dict[str, str], kind: str, width: int
) -> None:
    """Some charts have a form for each width, of which the other one is hidden."""
    with watched(browser, width=width) as page:
        page.open(pages[kind])
        open_everything(page)
        sizes = page.page.evaluate(
            """() => [...document.querySelectorAll("svg")]
                .filter((one) => one.checkVisibility())
                .map((one) => {
                const { width, height } = one.getBoundingClientRect();
                const drawn = one.querySelectorAll("path, polyline, line, rect, circle, text");
                return [width, height, drawn.length, one.outerHTML.slice(0, 80)];
            })"""
        )
        assert all(width > 1 and height > 1 and drawn for width, height, drawn, _ in sizes), sizes
        assert sizes or kind == "several_teachers"
        page.check("file://")
        assert page.requests == [pages[kind]]


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", PAGES)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    browser: "Browser", pages: dict[str, str], kind: str, width: int, dark: bool
) -> None:
    with watched(browser, width=width, dark=dark, bypass_csp=True) as page:
        page.open(pages[kind])
        open_everything(page)
        assert page.wider_than_the_screen() == []
        assert page.axe_findings() == []


@pytest.mark.parametrize("width", [320, 390])
def test_a_long_name_of_a_model_widens_no_small_screen(
    browser: "Browser", pages: dict[str, str], width: int
) -> None:
    with watched(browser, width=width) as page:
        page.open(pages["demo_like"])
        page.page.evaluate(
            "() => document.querySelectorAll('.facts dd').forEach("
            "(one) => (one.textContent = 'hf:organisation/' + 'Long-'.repeat(9)))"
        )
        open_everything(page)
        assert page.wider_than_the_screen() == []


def test_filters_chips_and_counts_agree(demo: Watched) -> None:
    page = demo.page
    go(demo, sums())
    (both, lost), (gained, neither) = [
        [int(cell) for cell in row]
        for row in page.evaluate(
            "() => [...document.querySelectorAll('#changed tbody tr')]"
            ".map((row) => [...row.querySelectorAll('a')].map((one) => one.textContent))"
        )
    ]
    assert both + lost + gained + neither == 60
    page.click("#changed td a >> nth=2")  # gained
    page.wait_for_function("() => location.hash.includes('student=right')")
    assert page.inner_text("#found").endswith(f"of {gained} that match")
    pressed = page.locator("button[aria-pressed='true']")
    assert [text.split()[1] for text in pressed.all_inner_texts()] == ["wrong", "right"]
    wrong = page.get_by_role("group", name="Teacher").get_by_role("button", name="wrong")
    wrong.click()
    page.wait_for_function("() => location.hash.includes('wrong=teacher')")
    assert len(demo.ids()) < gained
    page.click("#clear")
    page.wait_for_function("() => !location.hash.includes('wrong=teacher')")
    assert page.inner_text("#found").endswith("of 60")


def test_a_search_and_an_order_stand_in_the_address(demo: Watched) -> None:
    page = demo.page
    go(demo, sums())
    page.fill("#search", "MARIA HAS 7 BOXES")
    page.wait_for_function("() => location.hash.includes('q=MARIA')")
    page.wait_for_function("() => document.querySelectorAll('#list > li').length === 1")
    assert demo.ids() == ["test-4"]
    page.select_option("#sort", "length")
    page.wait_for_function("() => location.hash.includes('sort=length')")
    page.fill("#search", "")
    page.wait_for_function("() => !location.hash.includes('q=')")


def test_an_address_leads_to_its_questions_and_opens_one(
    browser: "Browser", pages: dict[str, str]
) -> None:
    with watched(browser) as page:
        address = "#questions?task=two_step_arithmetic&sort=order&question=test-40"
        page.open(pages["demo_like"] + address)
        assert page.ids()[15] == "test-40"  # of the second page
        assert page.page.locator("details.one[open]").count() == 1
        assert page.page.evaluate(
            "() => document.activeElement.getBoundingClientRect().top < innerHeight"
        )
        train = "#questions?task=two_step_arithmetic&split=train&verdict=kept&sort=order"
        page.page.evaluate("(address) => (location.hash = address)", train)
        page.page.wait_for_function("() => document.getElementById('set').value === '1'")
        page.page.wait_for_function(
            "() => document.querySelector('#list .id').dataset.id.startsWith('train')"
        )
        page.check("file://")


def test_keys_go_down_and_up_open_and_search(demo: Watched) -> None:
    page = demo.page
    go(demo, sums("&sort=order"))
    focused = "() => document.activeElement.querySelector?.('.id')?.dataset.id"
    for key, expected in (("j", "test-0"), ("j", "test-1"), ("k", "test-0")):
        page.keyboard.press(key)
        assert page.evaluate(focused) == expected
    page.keyboard.press("Enter")
    page.wait_for_selector("details.one[open] .whole")
    page.wait_for_function("() => location.hash.includes('question=test-0')")
    page.keyboard.press("Enter")
    page.wait_for_selector("details.one[open]", state="detached")
    page.wait_for_function("() => !location.hash.includes('question=')")
    for _ in range(25):  # past the end of the page
        page.keyboard.press("j")
    page.wait_for_function("() => location.hash.includes('page=2')")
    page.keyboard.press("/")
    assert page.evaluate("() => document.activeElement.id") == "search"
    page.keyboard.press("j")  # is typed
    assert page.input_value("#search") == "j"


LINKS = {"tile": "#findings a[href^='#questions?']", "row": "svg.dumbbell.wide a"}
"""Links elsewhere on the page that lead to questions."""


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_keys_are_the_questions_once_a_link_has_led_there(demo: Watched, link: str) -> None:
    page = demo.page
    for _ in range(2):  # the second time the address does not change
        page.locator(link).first.press("Enter")
        page.wait_for_function("() => document.activeElement.id === 'questions-title'")
        demo.drawn()
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_selector("#list > li:nth-child(2) > details[open]")
        page.keyboard.press("Enter")
        page.wait_for_selector("details.one[open]", state="detached")
        page.wait_for_function("() => !location.hash.includes('question=')")
        page.keyboard.press("/")
        assert page.evaluate("() => document.activeElement.id") == "search"


def test_a_page_beyond_the_last_is_the_last(demo: Watched) -> None:
    go(demo, sums("&sort=order&page=99999"))
    assert demo.page.inner_text("#found") == "51\N{EN DASH}60 of 60"
    assert demo.ids() == [f"test-{number}" for number in range(50, 60)]
    assert demo.page.locator("#next").is_disabled()
    demo.page.click("#previous")
    demo.page.wait_for_function("() => location.hash.includes('page=2')")


def test_what_guidance_gained_stands_apart_from_the_tiles(
    browser: "Browser", pages: dict[str, str]
) -> None:
    with watched(browser) as page:
        page.open(pages["guided"])
        gap = page.page.evaluate(
            """() => document.querySelector("#findings + .announced").getBoundingClientRect().top
                - document.getElementById("findings").getBoundingClientRect().bottom"""
        )
        assert gap >= 12


def test_hostile_text_is_shown_as_text(demo: Watched) -> None:
    page = demo.page
    for number, text in enumerate(HOSTILE_TEXTS, start=1):
        go(demo, sums(f"&question=test-{number}"))
        shown = page.locator("details.one[open] .panel", has_text="Rationale tuning").first
        written = shown.locator(":scope > .written").inner_text()
        assert "Prompt as sent" in shown.inner_text() and "Thinking, 9 characters" in (
            shown.inner_text()
        )
        if len(text) > 3_000:
            assert "997,000 characters left out" in written
        else:
            visible = text.translate({0x1B: "\u241b", 0: "\u2400", 0x7F: "\u2421"})
            assert written.strip() == visible.strip()
    assert "owned" not in page.title()
    assert page.locator("#list img, #list script, #list table, #list b, #list i").count() == 0
    assert demo.wider_than_the_screen() == []


def test_what_the_model_was_unsure_of_is_shaded(demo: Watched) -> None:
    go(demo, sums("&question=test-1"))
    shades = demo.page.locator("details.one[open] .sure")
    assert shades.first.get_attribute("title") == "probability 10%"
    assert demo.page.locator(".sure-1").count() == demo.page.locator(".sure-2").count()


def test_guided_words_are_marked_and_policies_are_filters(
    browser: "Browser", pages: dict[str, str]
) -> None:
    with watched(browser) as page:
        page.open(pages["guided"] + "#questions?right=guided:first_n_2&wrong=guided:first")
        assert page.ids()
        page.page.keyboard.press("j")
        page.page.keyboard.press("Enter")
        marked = page.page.locator("details.one[open] .written mark").first
        assert marked.inner_text() == "There are 6 apples."
        page.check("file://")


def test_a_question_is_copied_as_json(browser: "Browser", pages: dict[str, str]) -> None:
    with watched(browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.open(pages["demo_like"] + "#questions?task=two_step_arithmetic&question=test-1")
        page.page.get_by_role("button", name="Copy as JSON").click()
        page.page.get_by_role("button", name="Copied").wait_for()
        copied = json.loads(page.page.evaluate("() => navigator.clipboard.readText()"))
        assert copied["id"] == "test-1" and HOSTILE_TEXTS[0] in str(copied["answers"])


def test_a_marked_step_is_one_element_however_many_tokens_are_shaded(demo: Watched) -> None:
    page, number = demo.page, len(HOSTILE_TEXTS) + 1
    go(demo, sums(f"&question=test-{number}"))
    page.wait_for_selector("details.one[open] .sure")
    marked = page.locator("details.one[open] .panel", has_text="9,999").locator("em.differs")
    assert marked.count() == 1 and marked.inner_text() == "So it is 7 and 9,999."
    assert marked.locator(".sure").count() > 5
    assert "is, in each answer, the first step with a number that" in page.inner_text(
        "details.one[open]"
    )
    go(demo, sums("&question=test-1"))  # of which the student's answer has no number
    page.wait_for_selector("details.one[open] em.differs")
    assert page.locator("details.one[open] .written em.differs").count() == 1
    assert "the other answer has no such step" in page.inner_text("details.one[open]")
