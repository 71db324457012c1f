"""The page in a real browser: nothing fails, nothing leaves, nothing is cut, and what can be used works."""

import itertools
import re
from contextlib import contextmanager

import page_data
import pytest

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
NAMES = ("with_policies", "with_ensemble", "hostile")


@contextmanager
def opened(browser, path, size="desktop", **options):
    """The page, drawn; fails on any console message or request."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, accept_downloads=True, **options
    )
    page = context.new_page()
    faults = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: faults.append(request.url) if not local(request.url) else None)
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    try:
        yield page
    finally:
        context.close()
    assert faults == []


def until(page, condition):
    """Wait for a condition by asking again and again: the page's policy lets no string be run as a poll."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never came true: {condition}")


def local(url):
    return url.startswith(("file:", "data:", "blob:"))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_it_draws_every_chart_without_a_fault_and_nothing_is_cut(browser, pages, name, size):
    with opened(browser, pages[name], size) as page:
        charts = page.locator(".chart").count()
        assert charts >= 2
        assert page.locator(".chart svg.main-svg").count() >= charts
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        cut = page.evaluate(
            """() => [...document.querySelectorAll("main *")].filter((e) => {
                const box = e.getBoundingClientRect();
                return box.width && !e.closest(".scroll, .chart, .quiet, svg") &&
                    (box.right > innerWidth + 1 || box.left < -1);
            }).map((e) => e.outerHTML.slice(0, 80))"""
        )
        assert cut == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["with_policies", "with_ensemble", "odd"])
def test_titles_ticks_and_names_lie_within_their_charts(browser, pages, name, size):
    with opened(browser, pages[name], size) as page:
        cut = page.evaluate(
            """() => [...document.querySelectorAll(".chart")].flatMap((chart) => {
                const frame = chart.getBoundingClientRect();
                return [...chart.querySelectorAll("text")].filter((text) => {
                    const box = text.getBoundingClientRect();
                    return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1 ||
                        box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
                }).map((text) => chart.dataset.chart + ": " + text.textContent);
            })"""
        )
        assert cut == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["with_policies", "with_ensemble", "odd"])
def test_no_words_of_a_chart_cover_others(browser, pages, name, size):
    with opened(browser, pages[name], size) as page:
        covered = page.evaluate(
            """() => [...document.querySelectorAll(".chart")].flatMap((chart) => {
                const words = [...chart.querySelectorAll("text")].filter((text) => text.textContent.trim());
                const boxes = words.map((text) => text.getBoundingClientRect());
                return words.flatMap((text, i) => words.slice(0, i).filter((_, j) => {
                    const [a, b] = [boxes[i], boxes[j]];
                    return Math.min(a.right, b.right) - Math.max(a.left, b.left) > 4 &&
                        Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 5;
                }).map((other) => chart.dataset.chart + ": " + text.textContent + " on " + other.textContent));
            })"""
        )
        assert covered == []


def test_hovering_tells_the_numbers(browser, pages):
    with opened(browser, pages["with_policies"]) as page:
        box = page.locator('.chart[data-chart="plane"] .nsewdrag').first.bounding_box()
        page.locator('.chart[data-chart="plane"]').scroll_into_view_if_needed()
        box = page.locator('.chart[data-chart="plane"] .nsewdrag').first.bounding_box()
        seen = set()
        for step in range(1, 40):
            page.mouse.move(box["x"] + box["width"] * step / 40, box["y"] + box["height"] * 0.5)
            page.wait_for_timeout(15)
            seen.update(page.locator(".hoverlayer .hovertext").all_text_contents())
        told = " ".join(seen)
        assert re.search(r"nats", told)
        assert re.search(r"[+-]0\.\d+ ?\[", told)


def test_switches_hide_and_show_their_traces_by_keyboard(browser, pages):
    with opened(browser, pages["with_policies"]) as page:
        button = page.get_by_role("button", name="best-of-N").first
        drawn = page.locator('.chart[data-chart="plane"] .scatterlayer .trace')
        before = drawn.count()
        button.focus()
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-pressed") == "false"
        assert drawn.count() == before - 1
        page.keyboard.press("Space")
        assert button.get_attribute("aria-pressed") == "true"
        assert drawn.count() == before


def test_prompts_are_searched_sorted_and_paged(browser, pages):
    table = page_data.with_policies().content.prompts.table
    with opened(browser, pages["with_policies"]) as page:
        rows = page.locator("#prompt-table tbody tr")
        assert rows.count() == 25
        page.get_by_role("button", name="Next").click()
        assert rows.first.locator("th").inner_text() == table["prompt"].iloc[25]
        page.get_by_label("Search prompts").fill("p01")
        assert rows.count() == 10
        assert "10 of 10" in page.locator("#count").inner_text()
        page.get_by_label("Search prompts").fill("")
        for expected in (table.nsmallest(1, "mean"), table.nlargest(1, "mean")):
            page.locator("#prompt-table thead button", has_text=re.compile("^mean")).click()
            assert rows.first.locator("th").inner_text() == expected["prompt"].iloc[0]
        page.get_by_label("Columns of").select_option("ppo")
        assert "gain" in page.locator("#prompt-table thead").inner_text()


def test_downloaded_and_copied_numbers_are_the_results_to_the_last_digit(browser, pages, tmp_path):
    import pandas as pd

    content = page_data.with_policies().content
    with opened(browser, pages["with_policies"], permissions=["clipboard-read", "clipboard-write"]) as page:
        for name in ("limit", "policies", "prompts"):
            page.locator("#table-name").select_option(name)
            with page.expect_download() as waited:
                page.get_by_role("button", name="Download CSV").click()
            assert waited.value.suggested_filename == f"{name}.csv"
            waited.value.save_as(tmp_path / name)
            read = pd.read_csv(tmp_path / name)
            expected = content.tables[name]
            assert list(read.columns) == list(expected.columns)
            assert len(read) == len(expected)
            for column in expected.select_dtypes("number"):
                pd.testing.assert_series_equal(
                    read[column], expected[column].reset_index(drop=True), check_dtype=False, rtol=0, atol=0
                )
        page.get_by_role("button", name="Copy as CSV").click()
        until(page, "document.getElementById('copied').textContent === 'Copied'")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.replace("\r\n", "\n") == (tmp_path / "prompts").read_text()


def test_names_from_the_data_never_run_nor_become_elements(browser, pages):
    with opened(browser, pages["hostile"]) as page:
        page.get_by_label("Search prompts").fill("<script>")
        assert page.locator("#prompt-table tbody th").first.inner_text() == page_data.SCRIPT
        page.mouse.move(640, 450)
        assert page.evaluate("window.hacked") is None
        assert page.locator("img").count() == 0
        assert page.locator("[onerror]").count() == 0
        text = page.locator("body").inner_text()
        assert page_data.SCRIPT in text
        assert page_data.TEMPLATE in text
        assert "49" not in page.title()


def test_a_script_that_is_not_the_pages_own_is_refused(browser, pages, tmp_path):
    """Negative control: were a name let through as HTML, the browser would still not run it."""
    html = pages["hostile"].read_text()
    broken = tmp_path / "broken.html"
    broken.write_text(html.replace("<main>", f"<main>{page_data.SCRIPT}", 1))
    context = browser.new_context()
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(broken.as_uri())
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in text for text in said)
    context.close()


def test_dark_mode_follows_the_system_and_the_button(browser, pages):
    with opened(browser, pages["with_policies"], color_scheme="dark") as page:

        def paper():
            return page.evaluate(
                "getComputedStyle(document.querySelector('.chart .main-svg')).backgroundColor"
            )

        dark = paper()
        page.get_by_role("button", name="Light", exact=True).click()
        until(
            page,
            f"getComputedStyle(document.querySelector('.chart .main-svg')).backgroundColor !== '{dark}'",
        )
        assert dark == "rgb(21, 24, 28)"
        assert paper() == "rgb(255, 255, 255)"


def test_without_scripts_the_answer_and_the_numbers_are_there(browser, pages):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["with_policies"].as_uri())
    text = page.locator("body").inner_text()
    assert "any method can reach" in text
    assert "need JavaScript" in text
    assert "The limit at round budgets" in text
    context.close()


def test_every_control_and_chart_has_a_name_for_screen_readers(browser, pages):
    with opened(browser, pages["with_ensemble"]) as page:
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("main button, main input, main select, [role=img], [role=region]")]
                .filter((e) => !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length))
                .map((e) => e.outerHTML.slice(0, 80))"""
        )
        assert nameless == []
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map((e) => +e.tagName[1])")
        assert levels[0] == 1
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_what_is_folded_is_printed_and_folded_again(browser, pages):
    with opened(browser, pages["with_ensemble"]) as page:
        folded = "document.querySelectorAll('#answer details:not([open])').length"
        before = page.evaluate(folded)
        assert before >= 1
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate(folded) == 0
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate(folded) == before


def test_it_prints_light_whole_and_within_the_sheet(browser, pages, tmp_path):
    with opened(browser, pages["with_policies"], color_scheme="dark") as page:
        page.pdf(path=tmp_path / "page.pdf", format="A4")
        assert (tmp_path / "page.pdf").stat().st_size > 20_000
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        until(page, "document.querySelector('.chart svg.main-svg').getBoundingClientRect().width <= 661")
        assert (
            page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            == "rgb(255, 255, 255)"
        )
