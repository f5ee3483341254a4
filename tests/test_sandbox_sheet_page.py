"""The local sheet's page in a real browser: what a seller does there is in the workbook, and the other way round."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from sheets_sync.sandbox.sheet.server import Running, serve
from tests.sheet_server import gspread_for

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
pytestmark = pytest.mark.browser

KEY, STOCK = "book", 101
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def sheet() -> Iterator[Running]:
    with serve() as running:
        frozen = {"rowCount": 100, "columnCount": 8, "frozenRowCount": 1}
        stock = {"title": "Stock", "sheetId": STOCK, "gridProperties": frozen}
        running.store.create("Local stock", KEY, tabs=[stock, "Ledger", {"title": "_exchange", "hidden": True}])
        running.store.type(KEY, "Stock", "A1", [["SKU", "Title", "tag", "On hand", "Take"]])
        body = {"sheetId": STOCK, "startRowIndex": 1}
        text, box = {"userEnteredFormat": {"numberFormat": {"type": "TEXT"}}}, {"condition": {"type": "BOOLEAN"}}
        hidden = {"sheetId": STOCK, "dimension": "COLUMNS", "startIndex": 2, "endIndex": 3}
        running.store.apply(
            KEY,
            [
                {
                    "repeatCell": {
                        "range": {**body, "startColumnIndex": 0, "endColumnIndex": 1},
                        "cell": text,
                        "fields": "userEnteredFormat",
                    }
                },
                {"setDataValidation": {"range": {**body, "startColumnIndex": 4, "endColumnIndex": 5}, "rule": box}},
                {"updateDimensionProperties": {"range": hidden, "properties": {"hiddenByUser": True}, "fields": "*"}},
            ],
        )
        running.store.type(KEY, "Stock", "A2", [["00123", "Mug", "t1", "10"], ["1E5", "Scarf", "t2", "20"]])
        yield running


@pytest.fixture
def page(browser: Any, sheet: Running) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 760})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=sheet.base_url)
    strange: list[str] = []
    context.route(
        "**/*",
        lambda route: (
            route.continue_()
            if route.request.url.startswith(sheet.base_url)
            else (strange.append(route.request.url), route.abort())
        ),
    )
    opened = context.new_page()
    opened.on("pageerror", lambda error: strange.append(str(error)))
    opened.goto(sheet.page_url(KEY))
    expect(opened.locator("#state")).to_have_text("All changes saved")
    yield opened
    context.close()
    assert strange == [], "no error, and no request to anywhere else"


def cell(page: Any, row: int, column: int) -> Any:
    """The cell at a sheet row (counted from 1) and a visible column."""
    return page.locator(f'tr[data-row="{row - 1}"] td[data-col="{column}"]')


def saved(page: Any) -> None:
    expect(page.locator("#state")).to_have_text("All changes saved")


def test_typing_a_count_and_moving_on(page: Any, sheet: Running) -> None:
    cell(page, 2, 2).click()
    page.keyboard.type("8")
    page.keyboard.press("Enter")
    page.keyboard.type("=4*5")
    page.keyboard.press("Tab")
    expect(cell(page, 2, 2)).to_have_text("8")
    expect(cell(page, 3, 2)).to_have_text("20")
    assert [row[3] for row in sheet.store.rows(KEY, "Stock")[1:]] == [8, 20]
    assert sheet.store.book(KEY).tabs[0].formulas[2] == {3: "=4*5"}
    cell(page, 2, 2).click()
    page.keyboard.press("Delete")
    expect(cell(page, 2, 2)).to_have_text("")
    cell(page, 3, 1).dblclick()
    page.keyboard.press("Escape")
    saved(page)
    assert sheet.store.cell(KEY, "Stock", "D2") == ""
    assert sheet.store.cell(KEY, "Stock", "B3") == "Scarf"


def test_hidden_tabs_and_columns_are_not_shown_and_text_is_escaped(page: Any, sheet: Running) -> None:
    assert page.locator("#tabs button").all_inner_texts() == ["Stock", "Ledger"]
    assert page.locator("thead th").all_inner_texts() == ["", "A", "B", "D", "E", "F", "G", "H"]
    evil = "<img src=x onerror=alert(1)>"
    gspread_for(sheet.base_url).open_by_key(KEY).worksheet("Stock").update(range_name="B2", values=[[evil]], raw=True)
    expect(cell(page, 2, 1)).to_have_text(evil)


def test_a_pasted_block_leaves_hidden_columns_alone(page: Any, sheet: Running) -> None:
    cell(page, 4, 0).click()
    page.evaluate("navigator.clipboard.writeText('007\\tCap\\t3\\nMAR1\\t\"Two\\nlines\"\\t4\\n')")
    page.keyboard.press("Control+V")
    expect(cell(page, 5, 0)).to_have_text("MAR1")
    saved(page)
    assert sheet.store.rows(KEY, "Stock")[3:] == [["007", "Cap", "", 3], ["MAR1", "Two\nlines", "", 4]]
    page.keyboard.press("Control+C")
    assert page.evaluate("navigator.clipboard.readText()") == '007\tCap\t3\nMAR1\t"Two\nlines"\t4'


def test_ticks_rows_and_sorting(page: Any, sheet: Running) -> None:
    cell(page, 2, 3).locator("input").click()
    expect(cell(page, 2, 3).locator("input")).to_be_checked()
    assert sheet.store.cell(KEY, "Stock", "E2") is True
    cell(page, 3, 2).click()
    page.click("#descending")
    expect(cell(page, 2, 0)).to_have_text("1E5")
    cell(page, 2, 0).click()
    page.click("#insert")
    expect(cell(page, 3, 0)).to_have_text("1E5")
    saved(page)
    page.click("#delete")
    expect(cell(page, 2, 0)).to_have_text("1E5")
    saved(page)
    assert [row[0] for row in sheet.store.rows(KEY, "Stock")] == ["SKU", "1E5", "00123"]


def test_two_pages_and_a_program_see_each_other(page: Any, sheet: Running) -> None:
    other = page.context.new_page()
    other.goto(sheet.page_url(KEY))
    saved(other)
    cell(page, 2, 2).click()
    page.keyboard.type("7")
    page.keyboard.press("Enter")
    expect(cell(other, 2, 2)).to_have_text("7")
    gspread_for(sheet.base_url).open_by_key(KEY).worksheet("Stock").update(range_name="D2", values=[[5]], raw=True)
    for shown in (page, other):
        expect(cell(shown, 2, 2)).to_have_text("5")
    other.get_by_role("tab", name="Ledger").click()
    sheet.store.type(KEY, "Ledger", "A1", "adjustment")
    expect(cell(other, 1, 0)).to_have_text("adjustment")


def test_what_could_not_be_saved_is_not_shown_as_saved(page: Any, sheet: Running) -> None:
    cell(page, 2, 1).click()
    page.keyboard.type("x")
    page.locator(".editor").fill("x" * 50_001)
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_contain_text("Not saved")
    expect(cell(page, 2, 1)).to_have_text("Mug")
    sheet.close()
    cell(page, 2, 1).click()
    page.keyboard.type("y")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_contain_text("Not")
    expect(cell(page, 2, 1)).to_have_text("Mug")
