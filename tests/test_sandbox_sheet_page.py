"""The local sheet's page in a real browser: what a seller does there is in the workbook, and the other way round."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest

import sheets_sync.sandbox.sheet as package
from sheets_sync.sandbox.sheet.server import Running, serve
from tests.sheet_server import gspread_for
from tests.world import World

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

KEY, STOCK = "book", 101
HEADERS = ["SKU", "Title", "tag", "On hand", "Take", "Reason", "State", "Committed"]
SKU, TITLE, ON_HAND, TAKE, REASON, STATE, COMMITTED = range(1, 8)  # the cells that are seen; the tag is hidden
PICTURES = Path(__file__).resolve().parents[1] / "test-output"
STATIC = Path(package.__file__).parent / "static"
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
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        pytest.skip("no Chromium is installed, so the browser tests can not run")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


def column(index: int) -> dict[str, int]:
    return {"sheetId": STOCK, "startRowIndex": 1, "startColumnIndex": index, "endColumnIndex": index + 1}


def words(*texts: str) -> dict[str, Any]:
    return {"type": "ONE_OF_LIST", "values": [{"userEnteredValue": text} for text in texts]}


def look(running: Running) -> None:
    """What the service sets up in a seller's sheet: text, tick boxes, drop-downs, protection, colours, notes."""
    text, bold = {"numberFormat": {"type": "TEXT"}}, {"textFormat": {"bold": True}}
    below_zero = {"type": "NUMBER_LESS", "values": [{"userEnteredValue": "0"}]}
    pink = {"backgroundColor": {"red": 1, "green": 0.9, "blue": 0.9}}
    place = {"sheetId": STOCK, "startColumnIndex": 7, "endColumnIndex": 8}
    hidden = {"sheetId": STOCK, "dimension": "COLUMNS", "startIndex": 2, "endIndex": 3}
    wide = {"sheetId": STOCK, "dimension": "COLUMNS", "startIndex": 1, "endIndex": 2}
    why = "Committed is written by the service"
    note = {"rows": [{"values": [{"note": "Units on the shelf."}]}], "fields": "note"}
    requests: list[dict[str, Any]] = [
        {"repeatCell": {"range": column(0), "cell": {"userEnteredFormat": text}, "fields": "userEnteredFormat"}},
        {"setDataValidation": {"range": column(4), "rule": {"condition": {"type": "BOOLEAN"}, "strict": True}}},
        {"setDataValidation": {"range": column(5), "rule": {"condition": words("damage", "found", "loss")}}},
        {"setDataValidation": {"range": column(6), "rule": {"condition": words("draft", "active"), "strict": True}}},
        {"addProtectedRange": {"protectedRange": {"range": place, "description": why, "warningOnly": True}}},
        {"updateDimensionProperties": {"range": hidden, "properties": {"hiddenByUser": True}, "fields": "*"}},
        {"updateDimensionProperties": {"range": wide, "properties": {"pixelSize": 220}, "fields": "*"}},
        {
            "addConditionalFormatRule": {
                "rule": {"ranges": [column(3)], "booleanRule": {"condition": below_zero, "format": pink}}
            }
        },
        {"repeatCell": {"range": column(3), "cell": {"userEnteredFormat": bold}, "fields": "userEnteredFormat"}},
        {"updateCells": {"start": {"sheetId": STOCK, "rowIndex": 0, "columnIndex": 3}, **note}},
    ]
    running.store.apply(KEY, requests)


@pytest.fixture
def sheet() -> Iterator[Running]:
    with serve() as running:
        frozen = {"rowCount": 100, "columnCount": 9, "frozenRowCount": 1, "frozenColumnCount": 1}
        stock = {"title": "Stock", "sheetId": STOCK, "gridProperties": frozen}
        running.store.create("Local stock", KEY, tabs=[stock, "Ledger", {"title": "_exchange", "hidden": True}])
        look(running)
        running.store.type(KEY, "Stock", "A1", [HEADERS])
        rows = [["00123", "Mug", "t1", "10"], ["1E5", "Scarf", "t2", "20"], ["MAR1", "Hat", "t3", "30"]]
        running.store.type(KEY, "Stock", "A2", rows)
        yield running


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[[Running], Any]]:
    """Opens pages that may reach their own server alone; any error in the page fails the test."""
    strange: list[str] = []
    contexts = []

    def open_page(sheet: Running, width: int = 1280, height: int = 760) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=sheet.base_url)

        def guard(route: Any) -> None:
            if route.request.url.startswith(sheet.base_url):
                route.continue_()
            else:
                strange.append(route.request.url)
                route.abort()

        context.route("**/*", guard)
        page = context.new_page()
        page.on("pageerror", lambda error: strange.append(str(error)))
        page.goto(sheet.page_url(KEY))
        ready(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert strange == [], "no error, and no request to anywhere else"


@pytest.fixture
def page(opened: Callable[[Running], Any], sheet: Running) -> Any:
    return opened(sheet)


def ready(page: Any) -> None:
    expect(page.locator("body[data-ready]")).to_be_attached()
    saved(page)


def cell(page: Any, row: int, place: int) -> Any:
    """The cell at a shown row (counted from 1) and a visible column (counted from 1)."""
    return page.locator(f'#grid .slick-row[data-row="{row - 1}"] .slick-cell.l{place}')


def saved(page: Any) -> None:
    expect(page.locator("#state")).to_have_text("All changes saved")


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def paste(page: Any, text: str) -> None:
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    press(page, "Control+V")


def picture(page: Any, name: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=str(PICTURES / f"sheet-{name}.png"))


def eventually(page: Any, true: Callable[[], bool]) -> None:
    """Waits for something on the server's side that the page shows no sign of; the page goes on meanwhile."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it did not happen"
        page.wait_for_timeout(10)


# typing


def test_typing_a_count_and_moving_on(page: Any, sheet: Running) -> None:
    cell(page, 2, ON_HAND).click()
    page.keyboard.type("8")
    press(page, "Enter")
    page.keyboard.type("=4*5")
    press(page, "Tab")
    expect(cell(page, 2, ON_HAND)).to_have_text("8")
    expect(cell(page, 3, ON_HAND)).to_have_text("20")
    saved(page)
    assert [row[3] for row in sheet.store.rows(KEY, "Stock")[1:3]] == [8, 20]
    assert sheet.store.book(KEY).tabs[0].formulas[2] == {3: "=4*5"}
    cell(page, 2, ON_HAND).click()
    press(page, "Delete")
    expect(cell(page, 2, ON_HAND)).to_have_text("")
    cell(page, 3, TITLE).dblclick()
    press(page, "Escape")
    saved(page)
    assert sheet.store.cell(KEY, "Stock", "D2") == ""
    assert sheet.store.cell(KEY, "Stock", "B3") == "Scarf"


def test_the_formula_bar_shows_what_was_typed_and_takes_it(page: Any, sheet: Running) -> None:
    sheet.store.type(KEY, "Stock", "D2", "=2+3")
    expect(cell(page, 2, ON_HAND)).to_have_text("5")
    cell(page, 2, ON_HAND).click()
    expect(page.locator("#where")).to_have_text("D2")
    expect(page.locator("#formula")).to_have_value("=2+3")
    page.locator("#formula").fill("=2+4")
    press(page, "Enter")
    expect(cell(page, 2, ON_HAND)).to_have_text("6")
    expect(page.locator("#where")).to_have_text("D3")


def test_hidden_tabs_and_columns_are_not_shown_and_text_is_escaped(page: Any, sheet: Running) -> None:
    assert page.locator("#tabs button").all_inner_texts() == ["Stock", "Ledger"]
    assert page.locator(".slick-header-column").all_inner_texts() == ["", *"ABDEFGHI"]
    evil = "<img src=x onerror=alert(1)>"
    gspread_for(sheet.base_url).open_by_key(KEY).worksheet("Stock").update(range_name="B2", values=[[evil]], raw=True)
    expect(cell(page, 2, TITLE)).to_have_text(evil)
    expect(page.locator(".badge")).to_have_text("Local sheet")
    picture(page, "stock")


def test_looks_that_the_api_set(page: Any, sheet: Running) -> None:
    sheet.store.type(KEY, "Stock", "D2", "-4")
    value = cell(page, 2, ON_HAND).locator(".v")
    expect(value).to_have_class("v right fresh")
    expect(value).to_have_css("font-weight", "600")
    expect(value).to_have_css("background-color", "rgb(255, 230, 230)")
    expect(cell(page, 1, ON_HAND).locator(".v")).to_have_attribute("title", "Units on the shelf.")
    expect(cell(page, 1, COMMITTED).locator(".lock")).to_have_attribute("title", "Committed is written by the service")


# blocks


def test_a_pasted_block_leaves_hidden_columns_alone(page: Any, sheet: Running) -> None:
    cell(page, 5, SKU).click()
    paste(page, '007\tCap\t3\nMAR2\t"Two\nlines"\t4\n')
    expect(cell(page, 6, SKU)).to_have_text("MAR2")
    saved(page)
    assert sheet.store.rows(KEY, "Stock")[4:] == [["007", "Cap", "", 3], ["MAR2", "Two\nlines", "", 4]]
    press(page, "Control+C")
    assert page.evaluate("navigator.clipboard.readText()") == '007\tCap\t3\nMAR2\t"Two\nlines"\t4'
    press(page, "Control+Z")
    expect(cell(page, 5, SKU)).to_have_text("")
    saved(page)
    assert len(sheet.store.rows(KEY, "Stock")) == 4


def test_five_thousand_rows_are_pasted_as_one_edit_and_copied_back(page: Any, sheet: Running) -> None:
    text = "\n".join(f"SKU-{i:05}\tTitle {i}\t{i}" for i in range(5000))
    before = sheet.store.book(KEY).revision
    cell(page, 2, SKU).click()
    paste(page, text)
    eventually(page, lambda: len(sheet.store.rows(KEY, "Stock")) == 5001)
    expect(cell(page, 2, SKU)).to_have_text("SKU-00000")
    saved(page)
    assert sheet.store.book(KEY).revision == before + 1
    assert sheet.store.rows(KEY, "Stock")[5000][:4] == ["SKU-04999", "Title 4999", "", 4999]
    assert sheet.store.cell(KEY, "Stock", "C2") == "t1", "the hidden tag is as it was"
    press(page, "Control+ArrowDown")
    expect(cell(page, 5001, SKU)).to_have_text("SKU-04999")
    cell(page, 5001, SKU).click()
    press(page, "Control+A", "Control+C")
    expect(page.locator("#say")).to_contain_text("rows copied")
    assert len(page.evaluate("navigator.clipboard.readText()").split("\n")) == 5001
    press(page, "Control+Z")
    eventually(page, lambda: len(sheet.store.rows(KEY, "Stock")) == 4)


def test_fill_down_and_clear_keep_tick_boxes(page: Any, sheet: Running) -> None:
    cell(page, 2, ON_HAND).click()
    press(page, "Shift+ArrowDown", "Shift+ArrowDown", "Control+D")
    expect(cell(page, 4, ON_HAND)).to_have_text("10")
    cell(page, 2, TAKE).locator("input").click()
    expect(cell(page, 2, TAKE).locator("input")).to_be_checked()
    saved(page)
    press(page, "Delete")
    expect(cell(page, 2, TAKE).locator("input")).not_to_be_checked()
    saved(page)
    assert sheet.store.cell(KEY, "Stock", "E2") is False
    assert [row[3] for row in sheet.store.rows(KEY, "Stock")[1:4]] == [10, 10, 10]


# undo


def test_undo_and_redo(page: Any, sheet: Running) -> None:
    cell(page, 2, ON_HAND).click()
    page.keyboard.type("7")
    press(page, "Enter")
    saved(page)
    press(page, "Control+Z")
    expect(cell(page, 2, ON_HAND)).to_have_text("10")
    expect(page.locator("#redo")).to_be_enabled()
    press(page, "Control+Y")
    expect(cell(page, 2, ON_HAND)).to_have_text("7")
    page.click("#undo")
    expect(cell(page, 2, ON_HAND)).to_have_text("10")
    expect(page.locator("#undo")).to_be_disabled()
    page.get_by_role("tab", name="Ledger").click()
    expect(page.get_by_role("tab", name="Ledger")).to_have_attribute("aria-selected", "true")
    press(page, "Control+Y")
    expect(page.get_by_role("tab", name="Stock")).to_have_attribute("aria-selected", "true")
    expect(cell(page, 2, ON_HAND)).to_have_text("7")


def test_undo_never_takes_back_what_the_service_wrote_since(page: Any, sheet: Running) -> None:
    cell(page, 2, ON_HAND).click()
    paste(page, "7\n8\n9")
    expect(cell(page, 4, ON_HAND)).to_have_text("9")
    saved(page)
    stock = gspread_for(sheet.base_url).open_by_key(KEY).worksheet("Stock")
    stock.update(range_name="D3", values=[[5]], raw=True)
    stock.insert_row(["NEW"], 2)
    expect(cell(page, 2, SKU)).to_have_text("NEW")
    press(page, "Control+Z")
    expect(page.locator("#say")).to_contain_text("1 cell was changed by someone else")
    assert [row[3] if len(row) > 3 else None for row in sheet.store.rows(KEY, "Stock")[1:5]] == [None, 10, 5, 30]


def test_deleted_rows_come_back_with_what_is_hidden_in_them(page: Any, sheet: Running) -> None:
    cell(page, 3, SKU).click()
    page.click("#delete")
    expect(cell(page, 3, SKU)).to_have_text("MAR1")
    saved(page)
    press(page, "Control+Z")
    expect(cell(page, 3, SKU)).to_have_text("1E5")
    saved(page)
    assert sheet.store.rows(KEY, "Stock")[2] == ["1E5", "Scarf", "t2", 20]
    cell(page, 3, SKU).click()
    page.click("#insert")
    expect(cell(page, 4, SKU)).to_have_text("1E5")
    saved(page)
    press(page, "Control+Z")
    expect(cell(page, 3, SKU)).to_have_text("1E5")


# ticks, choices, protection


def test_ticks_sorting_and_its_undo(page: Any, sheet: Running) -> None:
    cell(page, 2, TAKE).locator("input").click()
    expect(cell(page, 2, TAKE).locator("input")).to_be_checked()
    saved(page)
    assert sheet.store.cell(KEY, "Stock", "E2") is True
    press(page, "Space")
    expect(cell(page, 2, TAKE).locator("input")).not_to_be_checked()
    saved(page)
    cell(page, 3, ON_HAND).click()
    page.click("#descending")
    expect(cell(page, 2, SKU)).to_have_text("MAR1")
    saved(page)
    assert [row[:3:2] for row in sheet.store.rows(KEY, "Stock")[1:]] == [["MAR1", "t3"], ["1E5", "t2"], ["00123", "t1"]]
    sheet.store.type(KEY, "Stock", "D2", "31")
    press(page, "Control+Z")
    expect(cell(page, 2, SKU)).to_have_text("00123")
    saved(page)
    assert [row[3] for row in sheet.store.rows(KEY, "Stock")[1:]] == [10, 20, 31], "moved back, not written back"


def test_drop_downs_strict_and_not(page: Any, sheet: Running) -> None:
    cell(page, 2, REASON).click()
    press(page, "Enter")
    page.locator("select.editor").select_option("found")
    expect(cell(page, 2, REASON)).to_have_text("found")
    page.keyboard.type("stolen")
    press(page, "Enter")
    expect(cell(page, 2, REASON)).to_have_text("stolen")
    saved(page)
    expect(cell(page, 2, REASON).locator(".v.misfit")).to_be_visible()
    cell(page, 2, STATE).click()
    page.keyboard.type("gone")
    press(page, "Enter")
    expect(page.locator("#unsaved")).to_contain_text("G2: “gone” is none of: draft, active.")
    expect(cell(page, 2, STATE).locator(".v.failed")).to_have_text("gone")
    picture(page, "refused")
    page.get_by_role("button", name="Discard").click()
    saved(page)
    assert [row[5:7] for row in sheet.store.rows(KEY, "Stock")[1:2]] == [["stolen"]]


def test_a_protected_column_says_why_and_then_takes_it(page: Any, sheet: Running) -> None:
    cell(page, 2, COMMITTED).click()
    page.keyboard.type("4")
    press(page, "Enter")
    expect(page.locator("#ask p")).to_contain_text("Committed is written by the service")
    picture(page, "protected")
    page.get_by_role("button", name="Cancel").click()
    expect(cell(page, 2, COMMITTED)).to_have_text("")
    saved(page)
    cell(page, 2, COMMITTED).click()
    page.keyboard.type("4")
    press(page, "Enter")
    page.get_by_role("button", name="Write anyway").click()
    expect(cell(page, 2, COMMITTED)).to_have_text("4")
    saved(page)
    assert sheet.store.cell(KEY, "Stock", "H2") == 4


# others


def test_two_pages_and_a_program_see_each_other(page: Any, sheet: Running) -> None:
    other = page.context.new_page()
    other.goto(sheet.page_url(KEY))
    ready(other)
    cell(page, 2, ON_HAND).click()
    page.keyboard.type("7")
    press(page, "Enter")
    expect(cell(other, 2, ON_HAND)).to_have_text("7")
    stock = gspread_for(sheet.base_url).open_by_key(KEY).worksheet("Stock")
    stock.update(range_name="D2", values=[[5]], raw=True)
    for shown in (page, other):
        expect(cell(shown, 2, ON_HAND)).to_have_text("5")
        expect(cell(shown, 2, ON_HAND).locator(".fresh")).to_be_attached()
    other.get_by_role("tab", name="Ledger").click()
    sheet.store.type(KEY, "Ledger", "A1", "adjustment")
    expect(cell(other, 1, 1)).to_have_text("adjustment")


def test_two_browsers_agree_and_a_change_is_shown_within_half_a_second(
    opened: Callable[[Running], Any], page: Any, sheet: Running
) -> None:
    other = opened(sheet)
    watch = """place => new Promise(done => {
        const seen = () => document.querySelector(place)?.textContent === "77" && done(Date.now());
        new MutationObserver(seen).observe(document.getElementById("grid"), {subtree: true, childList: true});
    })"""
    place = f'#grid .slick-row[data-row="1"] .slick-cell.l{ON_HAND}'
    for shown in (page, other):
        shown.evaluate("([place, watch]) => { window.seen = eval(watch)(place); 0 }", [place, watch])
    written = time.time()
    sheet.store.apply(KEY, [{"enterValues": {"sheetId": STOCK, "rowIndex": 1, "columnIndex": 3, "rows": [[77]]}}])
    for shown in (page, other):
        assert shown.evaluate("window.seen") / 1000 - written < 0.5


def test_a_half_typed_count_stays_with_its_row(page: Any, sheet: Running) -> None:
    cell(page, 3, ON_HAND).click()
    page.keyboard.type("25")
    gspread_for(sheet.base_url).open_by_key(KEY).worksheet("Stock").insert_row(["NEW"], 2)
    expect(cell(page, 2, SKU)).to_have_text("NEW")
    expect(page.locator("#where")).to_have_text("D4")
    press(page, "Enter")
    expect(cell(page, 4, ON_HAND)).to_have_text("25")
    saved(page)
    assert sheet.store.rows(KEY, "Stock")[3] == ["1E5", "Scarf", "t2", 25]


# what goes wrong


def test_what_could_not_be_saved_is_kept_and_never_shown_as_saved(page: Any, sheet: Running) -> None:
    page.context.route("**/edits", lambda route: route.abort())
    cell(page, 2, TITLE).click()
    page.keyboard.type("Big mug")
    press(page, "Enter")
    expect(page.locator("#state")).to_contain_text("not saved")
    expect(cell(page, 2, TITLE).locator(".v.failed")).to_have_text("Big mug")
    expect(page.locator("#unsaved")).to_contain_text("can not be reached")
    picture(page, "unsaved")
    page.get_by_role("button", name="Copy the text").click()
    expect(page.locator("#say")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "Big mug"
    page.context.unroute("**/edits")
    sheet.store.insert_rows(KEY, "Stock", 2)
    expect(cell(page, 3, TITLE).locator(".v.failed")).to_have_text("Big mug")
    page.get_by_role("button", name="Try again").click()
    saved(page)
    expect(cell(page, 3, TITLE)).to_have_text("Big mug")
    assert sheet.store.cell(KEY, "Stock", "B3") == "Big mug"


def test_an_edit_whose_answer_was_lost_is_made_once(page: Any, sheet: Running) -> None:
    def lose(route: Any) -> None:
        route.fetch()
        route.abort()

    page.context.route("**/edits", lose, times=1)
    cell(page, 2, SKU).click()
    page.click("#insert")
    expect(page.locator("#unsaved")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    saved(page)
    assert [row[0] if row else "" for row in sheet.store.rows(KEY, "Stock")] == ["SKU", "", "00123", "1E5", "MAR1"]


def test_a_server_that_is_gone_is_said(page: Any, sheet: Running) -> None:
    sheet.close()
    expect(page.locator("#state")).to_contain_text("Not connected")
    cell(page, 2, TITLE).click()
    page.keyboard.type("y")
    press(page, "Enter")
    expect(cell(page, 2, TITLE).locator(".v.failed")).to_have_text("y")


def test_a_page_goes_on_after_the_server_was_started_again(
    opened: Callable[[Running], Any], sheet: Running, tmp_path: Path
) -> None:
    data = tmp_path / "book.jsonl"
    with socket.create_server(("127.0.0.1", 0)) as free:  # a port asked for by number can be had again at once
        port = free.getsockname()[1]
    with serve(data, port=port) as first:
        first.store.create("Book", KEY, tabs=["Stock"])
        first.store.type(KEY, "Stock", "A1", "before")
        page = opened(first)
        cell(page, 2, 1).click()
        page.keyboard.type("half")
    expect(page.locator("#state")).to_contain_text("Not connected")
    with serve(data, port=port) as second:
        second.store.insert_rows(KEY, "Stock", 1)
        expect(cell(page, 2, 1)).to_have_text("before", timeout=15_000)
        expect(page.locator("#unsaved")).to_contain_text("the sheet was reloaded while you typed")
        page.get_by_role("button", name="Copy the text").click()
        assert page.evaluate("navigator.clipboard.readText()") == "half"
        page.get_by_role("button", name="Discard").click()
        saved(page)
        cell(page, 3, 1).click()
        page.keyboard.type("after")
        press(page, "Enter")
        saved(page)
        assert second.store.cell(KEY, "Stock", "A3") == "after"


# versions


def test_an_old_version_is_looked_at_and_restored(page: Any, sheet: Running) -> None:
    gspread_for(sheet.base_url).open_by_key(KEY).worksheet("Stock").update(range_name="D2", values=[[5]], raw=True)
    cell(page, 2, ON_HAND).click()
    expect(cell(page, 2, ON_HAND)).to_have_text("5")
    page.keyboard.type("1")
    press(page, "Enter")
    expect(cell(page, 2, ON_HAND)).to_have_text("1")
    saved(page)
    page.click("#history")
    versions = page.locator("#versions li button")
    expect(versions.first).to_contain_text("Today's version")
    versions.nth(1).click()
    expect(cell(page, 2, ON_HAND)).to_have_text("5")
    expect(page.locator("#past")).to_contain_text("You are looking at")
    picture(page, "versions")
    cell(page, 2, ON_HAND).click()
    page.keyboard.type("9")
    expect(page.locator("#say")).to_contain_text("old version")
    page.get_by_role("button", name="Restore this version").click()
    page.get_by_role("button", name="Restore", exact=True).click()
    saved(page)
    expect(cell(page, 2, ON_HAND)).to_have_text("5")
    assert sheet.store.cell(KEY, "Stock", "D2") == 5
    expect(versions.first).to_contain_text("restored")


# filter, find, columns, tabs


def test_a_filter_is_a_view_and_pasting_skips_what_it_hides(page: Any, sheet: Running) -> None:
    page.click("#filter")
    cell(page, 1, TITLE).locator(".funnel").click()
    page.locator("#menu label", has_text="Scarf").locator("input").uncheck()
    picture(page, "filter")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(cell(page, 3, SKU)).to_have_text("MAR1")
    expect(cell(page, 3, 0)).to_have_text("4")
    cell(page, 2, ON_HAND).click()
    paste(page, "11\n33")
    expect(cell(page, 3, ON_HAND)).to_have_text("33")
    saved(page)
    assert [row[3] for row in sheet.store.rows(KEY, "Stock")[1:]] == [11, 20, 33]
    page.click("#filter")
    expect(cell(page, 3, SKU)).to_have_text("1E5")


def test_find_goes_from_one_to_the_next(page: Any, sheet: Running) -> None:
    sheet.store.type(KEY, "Stock", "B90", "Scarf, red")
    press(page, "Control+F")
    page.keyboard.type("scarf")
    expect(page.locator("#found")).to_have_text("1 of 2")
    expect(page.locator("#where")).to_have_text("B3")
    press(page, "Enter")
    expect(page.locator("#where")).to_have_text("B90")
    expect(cell(page, 90, TITLE)).to_be_visible()


def test_columns_are_inserted_moved_and_deleted(page: Any, sheet: Running) -> None:
    def choose(words: str) -> None:
        page.click("#lanes")
        page.get_by_role("menuitem", name=words).click()
        saved(page)

    cell(page, 2, TITLE).click()
    choose("Move column right")
    expect(cell(page, 1, TITLE)).to_have_text("On hand")
    choose("Insert column left")
    expect(page.locator(".slick-header-column")).to_have_count(10)
    expect(cell(page, 1, 3)).to_have_text("")
    choose("Delete columns")
    expect(page.locator(".slick-header-column")).to_have_count(9)
    assert sheet.store.rows(KEY, "Stock")[0] == ["SKU", "tag", "On hand", "Title", *HEADERS[4:]]
    for _ in range(3):
        press(page, "Control+Z")
    saved(page)
    eventually(page, lambda: sheet.store.rows(KEY, "Stock")[0] == HEADERS)


def test_tabs_are_added_renamed_and_deleted(page: Any, sheet: Running) -> None:
    page.click("#addtab")
    made = page.get_by_role("tab", name="Sheet4")
    expect(made).to_have_attribute("aria-selected", "true")
    made.dblclick()
    page.locator("#ask input").fill("Notes")
    press(page, "Enter")
    made = page.get_by_role("tab", name="Notes")
    expect(made).to_be_visible()
    page.get_by_role("tab", name="Stock").click()
    expect(cell(page, 1, TITLE)).to_have_text("Title")  # else the cell clicked is one of the tab before
    cell(page, 2, TITLE).click()
    page.keyboard.type("kept by going")
    made.click()
    expect(made).to_have_attribute("aria-selected", "true")
    eventually(page, lambda: sheet.store.cell(KEY, "Stock", "B2") == "kept by going")
    made.click(button="right")
    page.get_by_role("menuitem", name="Delete…").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(made).to_have_count(0)
    assert [tab.title for tab in sheet.store.book(KEY).tabs] == ["Stock", "Ledger", "_exchange"]


def test_the_keyboard_alone_is_enough(page: Any, sheet: Running) -> None:
    press(page, "ArrowDown", "End", "Home", "Shift+F10")
    expect(page.get_by_role("menuitem", name="Edit")).to_be_focused()
    press(page, "Escape", "F6")
    press(page, "F6", "F6", "F6", "F6")
    press(page, "Control+Home", "ArrowRight", "ArrowRight")
    page.keyboard.type("42")
    press(page, "Tab")
    expect(cell(page, 2, ON_HAND)).to_have_text("42")
    press(page, "Control+Shift+PageDown")
    expect(page.get_by_role("tab", name="Ledger")).to_have_attribute("aria-selected", "true")
    press(page, "Control+/")
    expect(page.locator("#ask")).to_contain_text("fill down")
    picture(page, "keys")


# files


def test_files_go_out_and_come_in(page: Any, sheet: Running, tmp_path: Path) -> None:
    page.click("#file")
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Download this tab as CSV").click()
    assert download.value.suggested_filename == "Local stock - Stock.csv"
    text = download.value.path().read_bytes().decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text)))[1][:4] == ["00123", "Mug", "t1", "10"]
    page.click("#file")
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Download the workbook as Excel").click()
    excel = openpyxl.load_workbook(io.BytesIO(download.value.path().read_bytes()))
    assert [(s.title, s.sheet_state) for s in excel.worksheets] == [
        ("Stock", "visible"),
        ("Ledger", "visible"),
        ("_exchange", "hidden"),
    ]
    assert excel["Stock"]["A2"].value == "00123"
    source = tmp_path / "Count.csv"
    source.write_text("SKU;Counted\n00123;4\n1E5;5\n=1+1;6\n")
    page.click("#file")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("menuitem", name="Import a CSV").click()
    chooser.value.set_files(source)
    expect(page.get_by_role("tab", name="Count")).to_have_attribute("aria-selected", "true")
    rows = sheet.store.rows(KEY, "Count")
    assert rows == [["SKU", "Counted"], ["00123", 4], ["1E5", 5], ["=1+1", 6]]


# much, and small screens


def test_a_hundred_thousand_rows_scroll(browser: Any, opened: Callable[[Running], Any]) -> None:
    with serve() as sheet:
        grid = {"rowCount": 100_001, "columnCount": 9, "frozenRowCount": 1, "frozenColumnCount": 1}
        sheet.store.create("Large", KEY, tabs=[{"title": "Stock", "sheetId": STOCK, "gridProperties": grid}])
        rows = [[f"SKU-{i}", f"Title {i}", "", i % 50, "", "", "", i % 7] for i in range(1, 100_001)]
        sheet.store.apply(KEY, [{"enterValues": {"sheetId": STOCK, "rows": [HEADERS, *rows], "typed": False}}])
        page = opened(sheet)
        page.mouse.move(640, 400)
        frames = page.evaluate(
            """async () => {
                const pane = document.querySelector(".slick-viewport-bottom.slick-viewport-right");
                const times = [];
                let last = performance.now();
                for (let i = 0; i < 60; i++) {
                    pane.scrollTop += 120;
                    await new Promise(requestAnimationFrame);
                    times.push(performance.now() - last);
                    last = performance.now();
                }
                return times.sort((a, b) => a - b);
            }"""
        )
        assert frames[30] < 60, f"a frame takes {frames[30]:.0f} ms"
        press(page, "Control+ArrowDown")
        expect(cell(page, 100_001, SKU)).to_have_text("SKU-100000")
        expect(cell(page, 1, SKU)).to_have_text("SKU")
        page.mouse.wheel(0, -5000)
        expect(cell(page, 99_785, SKU)).to_have_text("SKU-99784")


def test_on_a_tablet_nothing_is_cut_off(opened: Callable[..., Any], sheet: Running) -> None:
    page = opened(sheet, 820, 1180)
    assert page.evaluate("document.documentElement.scrollWidth") <= 820
    expect(page.locator("#find")).to_be_visible()
    picture(page, "tablet")


# the files of the grid


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("slick.core.js", "34fdd20ddbed9b98"),
        ("slick.interactions.js", "09f105b193ce300e"),
        ("slick.cellrangedecorator.js", "522e00f18d9a125c"),
        ("slick.cellrangeselector.js", "e1821121184f0442"),
        ("slick.cellselectionmodel.js", "bdeb0cacc4ffcdeb"),
        ("slick.grid.js", "30179ba19697311a"),
        ("slick.grid.css", "0e7cff2da3f989c9"),
    ],
)
def test_the_vendored_grid_is_as_published(name: str, begins: str) -> None:
    content = (STATIC / "slickgrid" / name).read_bytes()
    assert hashlib.sha256(content).hexdigest().startswith(begins)
    assert "MIT" in (STATIC / "slickgrid" / "LICENSE").read_text()


# the service behind it


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    try:
        made.begin()
        yield made
    finally:
        made.close()


def test_a_count_follows_a_purchase(browser: Any, world: World) -> None:
    page = browser.new_page(viewport={"width": 1500, "height": 760})
    page.goto(world.sheet.page_url(world.book.spreadsheet_id))
    page.get_by_role("tab", name="Stock", exact=True).click()
    ready(page)
    row, seen = world.row("00123"), [name for name in world.header() if not str(name).startswith("tag ")]
    on_hand, committed, available = (
        cell(page, row, seen.index(name) + 1) for name in ("On hand", "Committed", "Available")
    )
    expect(available).to_have_text("10")
    world.shops["woocommerce"].shop.buy("00123", 3)
    world.passes()
    expect(committed).to_have_text("3")
    expect(available).to_have_text("7")
    on_hand.click()
    page.keyboard.type("8")
    press(page, "Enter")
    saved(page)
    world.passes()
    expect(available).to_have_text("5")
    assert (world.figures("00123"), world.figure("woocommerce2", "00123")) == ("8/3/5", 5)
    picture(page, "purchase")
    page.close()
