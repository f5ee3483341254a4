"""The local sheet answers as the Sheets API does, loses nothing that it acknowledged, and shows what it has."""

from __future__ import annotations

import gc
import importlib.util
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gspread
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from sheets_sync.sandbox.sheet import a1, entered, mask, page
from sheets_sync.sandbox.sheet.display import show
from sheets_sync.sandbox.sheet.journal import DataFileError
from sheets_sync.sandbox.sheet.server import Running, run, serve
from sheets_sync.sandbox.sheet.store import BadRange, Refused, Store
from tests.sheet_server import DEADLINE, QUOTA, UNAVAILABLE, Faults, client_class, gspread_for, is_batch_update, is_read

KEY = "book"
STOCK = 101
REPLAYED = 785  # recorded exchanges that are answered the same; may only grow


@pytest.fixture
def book(local_sheet: Running) -> gspread.Spreadsheet:
    """A workbook with the tabs Stock (id 101) and Other, opened by gspread."""
    local_sheet.store.create("Stock book", KEY, tabs=[{"title": "Stock", "sheetId": STOCK}, "Other"])
    return gspread_for(local_sheet.base_url).open_by_key(KEY)


def batch(book: gspread.Spreadsheet, *wanted: dict[str, Any]) -> Any:
    return book.batch_update({"requests": list(wanted)})


def refused(book: gspread.Spreadsheet, *wanted: dict[str, Any]) -> str:
    with pytest.raises(gspread.exceptions.APIError) as caught:
        batch(book, *wanted)
    error = caught.value.response.json()["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    return str(error["message"])


def rows(store: Store, tab: str = "Stock") -> list[list[Any]]:
    return store.rows(KEY, tab)


def span(r0: int, r1: int, c0: int, c1: int, sheet: int = STOCK) -> dict[str, int]:
    return {"sheetId": sheet, "startRowIndex": r0, "endRowIndex": r1, "startColumnIndex": c0, "endColumnIndex": c1}


def lines(dimension: str, start: int, end: int, sheet: int = STOCK) -> dict[str, Any]:
    return {"sheetId": sheet, "dimension": dimension, "startIndex": start, "endIndex": end}


# --- the exchange


def exchange_blocks(shared: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[list[str]]]:
    """The two batches of EXCHANGE.md and the image that it shows."""
    text = (shared / "EXCHANGE.md").read_text("utf-8")
    first, second = (json.loads(block)["requests"] for block in re.findall(r"```json\n(.*?)```", text, re.S))
    table = re.search(r"\| `_exchange`.*?\n\|[-| ]+\n((?:\|.*\n)+)", text)
    assert table
    image = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[1].splitlines()]
    return first, second, image


@pytest.fixture
def exchange_book(book: gspread.Spreadsheet, local_sheet: Running) -> gspread.Spreadsheet:
    header = [
        "",
        "SKU",
        "Title",
        "tag SKU",
        "tag figure",
        "tag exchange",
        "On hand",
        "Reason",
        "Note",
        "Shelf",
        "Status",
    ]
    stock = book.worksheet("Stock")
    stock.resize(9000, 11)
    stock.update(range_name="A1", values=[header], raw=True)
    stock.update(
        range_name="B5",
        values=[["00123", "Mug, blue", "00123", 10, "1588001231", 8, "damage", "", "A-3", "ok"]],
        raw=True,
    )
    stock.update(
        range_name="B9000", values=[["1E5", "Scarf", "1E5", 20, "1604417325", 25, "", "", "B-1", "ok"]], raw=True
    )
    return book


def test_the_exchange_of_the_design_runs_as_written(
    exchange_book: gspread.Spreadsheet, local_sheet: Running, faults: Faults, shared: Path
) -> None:
    first, second, image = exchange_blocks(shared)
    store = local_sheet.store
    batch(exchange_book, *first)
    assert "a named range with that name already exists" in refused(exchange_book, first[1])
    assert 'A sheet with the name "_exchange" already exists' in refused(
        exchange_book, {"addSheet": {"properties": {"title": "_exchange"}}}
    )

    faults.just_before(lambda: store.type(KEY, "Stock", "G5", "7"))
    batch(exchange_book, *second)

    read = exchange_book.values_batch_get(["'_exchange'!A1:J"], params={"valueRenderOption": "UNFORMATTED_VALUE"})
    values = read["valueRanges"][0]["values"]
    padded = [[str(cell) for cell in row] + [""] * (10 - len(row)) for row in values]
    assert padded == image
    assert [row[3:] for row in (store.rows(KEY, "Stock")[i] for i in (4, 8999))] == [
        ["00123", 5, "2093318842", 5, "", "", "A-3", "-2 recorded, now 5; for exactly 8 use Set to"],
        ["1E5", 25, "2093318842", 25, "", "", "B-1", "+5 recorded, now 25"],
    ]

    before = store.book(KEY)
    assert refused(exchange_book, *second) == "Invalid requests[0].updateNamedRange: No NamedRange with id: 1604417325"
    assert store.book(KEY) is before, "the same request sent twice lands once"


def test_a_late_request_is_refused_by_the_chain(
    exchange_book: gspread.Spreadsheet, local_sheet: Running, faults: Faults, shared: Path
) -> None:
    first, second, _ = exchange_blocks(shared)
    batch(exchange_book, *first)
    held = faults.late()
    with pytest.raises(requests.exceptions.ConnectionError):
        batch(exchange_book, *second)
    batch(exchange_book, *second)
    before = local_sheet.store.book(KEY)
    assert held.result(DEADLINE)().status == 400
    assert local_sheet.store.book(KEY) is before


def test_a_named_range_whose_tab_is_gone_is_not_listed_and_blocks_its_name(
    exchange_book: gspread.Spreadsheet, shared: Path
) -> None:
    first, _, _ = exchange_blocks(shared)
    batch(exchange_book, *first)
    batch(exchange_book, {"deleteSheet": {"sheetId": 900}})
    assert exchange_book.list_named_ranges() == []
    again = refused(
        exchange_book,
        first[0],
        first[1] | {"addNamedRange": {"namedRange": {"name": "sheets_sync_exchange", "range": span(0, 1, 0, 1, 900)}}},
    )
    assert "Cannot add named range with name sheets_sync_exchange" in again


REFUSALS = [
    (
        {"updateNamedRange": {"namedRange": {"namedRangeId": "77", "name": "x"}, "fields": "name"}},
        "No NamedRange with id: 77",
    ),
    ({"deleteNamedRange": {"namedRangeId": "77"}}, "No NamedRange with id: 77"),
    (
        {"appendDimension": {"sheetId": STOCK, "dimension": "ROWS", "length": 10**9}},
        "This action would increase the number of cells in the workbook above the limit of 10000000 cells.",
    ),
    ({"deleteSheet": {"sheetId": 77}}, "No sheet with id: 77"),
    (
        {"addSheet": {"properties": {"title": "Other"}}},
        'A sheet with the name "Other" already exists. Please enter another name.',
    ),
    ({"updateCells": {"range": span(0, 1, 0, 1, 77), "fields": "*"}}, "No sheet with id: 77"),
    (
        {"updateCells": {"range": span(1000, 1001, 0, 1), "fields": "*"}},
        "Range (Stock!A1001) exceeds grid limits. Max rows: 1000, max columns: 26",
    ),
    (
        {"updateCells": {"range": span(0, 1, 0, 1), "rows": [{}, {}], "fields": "*"}},
        "Attempting to write row: 1, beyond the last requested row of: 0",
    ),
    (
        {"appendCells": {"sheetId": STOCK, "rows": [{"values": [{}] * 27}], "fields": "*"}},
        "Attempting to write column: 26, beyond the last requested column of: 25",
    ),
    (
        {"updateProtectedRange": {"protectedRange": {"protectedRangeId": 7}, "fields": "*"}},
        "No ProtectedRange with id: 7",
    ),
    (
        {"updateCells": {"range": span(0, 1, 0, 1)}},
        "At least one field must be listed in 'fields'. (Use '*' to indicate all fields.)",
    ),
]


@pytest.mark.parametrize(
    ("wanted", "words"), REFUSALS, ids=[f"{next(iter(r))}-{i}" for i, (r, _) in enumerate(REFUSALS)]
)
def test_refusals_are_in_googles_words(
    book: gspread.Spreadsheet, local_sheet: Running, wanted: dict[str, Any], words: str
) -> None:
    before = local_sheet.store.book(KEY)
    assert refused(book, wanted) == f"Invalid requests[0].{next(iter(wanted))}: {words}"
    assert local_sheet.store.book(KEY) is before


def test_a_batch_is_applied_whole_or_not_at_all(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    local_sheet.store.type(KEY, "Stock", "A1", [["a", "1"], ["b", "2"]])
    before = rows(local_sheet.store)
    words = refused(
        book,
        {"insertDimension": {"range": lines("ROWS", 0, 5)}},
        {"updateCells": {"start": {"sheetId": STOCK}, "rows": [{"values": [{"note": "n"}]}], "fields": "note"}},
        {"addSheet": {"properties": {"title": "New"}}},
        {"sortRange": {"range": span(0, 7, 0, 2), "sortSpecs": [{"dimensionIndex": 0}]}},
        {"deleteSheet": {"sheetId": 4711}},
    )
    assert words.startswith("Invalid requests[4].deleteSheet")
    assert rows(local_sheet.store) == before
    assert [tab.title for tab in local_sheet.store.book(KEY).tabs] == ["Stock", "Other"]


def test_internal_kinds_are_not_to_be_had_through_the_api(book: gspread.Spreadsheet, faults: Faults) -> None:
    assert "Cannot find field" in refused(book, {"enterValues": {"rows": [["x"]]}})


# --- what typed text becomes

TODAY = date(2026, 11, 25)
TYPED = [
    ("12", 12, "12"),
    ("-3", -3, "-3"),
    ("3.5", 3.5, "3.5"),
    ("1,234", 1234, "1,234"),
    ("1,234.5", 1234.5, "1,234.50"),
    ("12%", 0.12, "12%"),
    ("$5", 5, "$5"),
    ("-$5.25", -5.25, "-$5.25"),
    ("(7)", -7, "-7"),
    ("1E5", 100000, "1.00E+05"),
    ("1e3", 1000, "1.00E+03"),
    ("00123", 123, "123"),
    ("'00123", "00123", "00123"),
    ("'=1+1", "=1+1", "=1+1"),
    ("true", True, "TRUE"),
    ("FALSE", False, "FALSE"),
    ("2026-11-25", 46351, "2026-11-25"),
    ("11/25/2026", 46351, "11/25/2026"),
    ("1-2", 46024, "1-2"),
    ("MAR1", 46082, "Mar 1"),
    ("Mar 1, 2025", 45717, "Mar 1, 2025"),
    ("10:30", 0.4375, "10:30"),
    ("10:30 PM", 0.9375, "10:30 PM"),
    ("2026-11-25 10:30", 46351.4375, "2026-11-25 10:30"),
    ("12 pcs", "12 pcs", "12 pcs"),
    ("1o", "1o", "1o"),
    ("3_1_0", "3_1_0", "3_1_0"),
    ("1,5", "1,5", "1,5"),
    ("13-13", "13-13", "13-13"),
    ("2026-02-30", "2026-02-30", "2026-02-30"),
    ("AB-1", "AB-1", "AB-1"),
    ("--5", "--5", "--5"),
    ("1e999", "1e999", "1e999"),
    ("+", "+", "+"),
    ("", "", ""),
]


@pytest.mark.parametrize(("text", "value", "shown"), TYPED, ids=[repr(t[0]) for t in TYPED])
def test_typed_text_is_read_as_google_reads_it(text: str, value: object, shown: str) -> None:
    read = entered.read(text, False, TODAY)
    assert (type(read.value), read.value) == (type(value), value)
    assert show(read.value, read.number_format) == shown


@pytest.mark.parametrize("text", ["00123", "1E5", "1-2", "MAR1", "=1+1", "12%", "TRUE"])
def test_a_plain_text_cell_keeps_what_is_typed(text: str) -> None:
    assert entered.read(text, True, TODAY) == entered.Entered(text)


def test_a_sku_typed_in_a_plain_text_column_survives(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    plain = {"userEnteredFormat": {"numberFormat": {"type": "TEXT"}}}
    column = {"sheetId": STOCK, "startRowIndex": 1, "startColumnIndex": 0, "endColumnIndex": 1}
    batch(book, {"repeatCell": {"range": column, "cell": plain, "fields": "userEnteredFormat.numberFormat"}})
    local_sheet.store.type(KEY, "Stock", "A2", [["00123"], ["1E5"], ["1-2"], ["MAR1"]])
    local_sheet.store.insert_rows(KEY, "Stock", 3)
    local_sheet.store.type(KEY, "Stock", "A3", "007")
    book.worksheet("Stock").append_row(["=1+1"], value_input_option="USER_ENTERED")
    assert [row[0] for row in rows(local_sheet.store)[1:]] == ["00123", "007", "1E5", "1-2", "MAR1", "=1+1"]


def test_raw_text_never_becomes_a_formula(book: gspread.Spreadsheet) -> None:
    sheet = book.worksheet("Stock")
    text = '=IMPORTXML("http://example.com", "//a")'
    sheet.update(range_name="A1", values=[[text]], raw=True)
    cell = {"userEnteredValue": {"stringValue": "=1+1"}}
    batch(
        book,
        {
            "updateCells": {
                "start": {"sheetId": STOCK, "rowIndex": 1},
                "rows": [{"values": [cell]}],
                "fields": "userEnteredValue",
            }
        },
    )
    assert sheet.get_all_values() == [[text], ["=1+1"]]


NUMBERS = [
    (1234.5, None, "1234.5"),
    (0.1 + 0.2, None, "0.3"),
    (1e21, None, "1E+21"),
    (7, {"type": "NUMBER", "pattern": "0"}, "7"),
    (-1234.567, {"type": "NUMBER", "pattern": "#,##0.00"}, "-1,234.57"),
    (0.5, {"type": "NUMBER", "pattern": "#.##"}, ".5"),
    (5, {"type": "NUMBER", "pattern": "000"}, "005"),
    (-5, {"type": "NUMBER", "pattern": "0;(0)"}, "(5)"),
    (0.256, {"type": "PERCENT"}, "25.60%"),
    (12, {"type": "CURRENCY", "pattern": '"€"0.00'}, "€12.00"),
    (3, {"type": "NUMBER", "pattern": '0" pcs"'}, "3 pcs"),
    (46351.5, {"type": "DATE_TIME", "pattern": "yyyy-mm-dd hh:mm:ss"}, "2026-11-25 12:00:00"),
    (46351.75, {"type": "DATE_TIME", "pattern": "ddd, d mmmm yyyy h:mm am/pm"}, "Wed, 25 November 2026 6:00 PM"),
    (5, {"type": "TEXT"}, "5"),
    (True, {"type": "NUMBER", "pattern": "0"}, "TRUE"),
]


@pytest.mark.parametrize(("value", "shape", "shown"), NUMBERS)
def test_numbers_are_shown_in_their_format(value: Any, shape: dict[str, Any] | None, shown: str) -> None:
    assert show(value, shape) == shown


FORMULAS = [
    ("=12+5", 17),
    ("=2*(3+4)-1", 13),
    ("=-2^2", 4),
    ("=7/2", 3.5),
    ("=1/0", "#DIV/0!"),
    ("=SUM(A1:A3)", 6),
    ("=SUM(A:A)", 6),
    ("=A1+A3*10", 31),
    ('=$A$2&" pcs"', "2 pcs"),
    ('=IF(A1<A2,"low","high")', "low"),
    ("=MAX(A1:A3, 10)", 10),
    ("=ROUND(2.5)", 3),
    ('=IFERROR(1/0, "none")', "none"),
    ("=Other!A1", "there"),
    ("='Other'!A1", "there"),
    ("=QUERY(A1:B2,2)", "#NAME?"),
    ("=1+", "#ERROR!"),
    ("=A1+Other!A1", "#VALUE!"),
    ("=Nowhere!A1", "#REF!"),
    ("=C1", "#REF!"),
    ("=25%", 0.25),
    ("=AND(ISNUMBER(A1), A1<A2)", True),
    ("=OR(ISBLANK(A9), 1/0)", "#DIV/0!"),
    ("=ISNUMBER(1/0)", False),
    ("=NOT(ISTEXT(Other!A1))", False),
]


@pytest.mark.parametrize(("text", "value"), FORMULAS, ids=[f[0] for f in FORMULAS])
def test_common_formulas_are_worked_out_and_their_text_kept(
    local_sheet: Running, book: gspread.Spreadsheet, text: str, value: Any
) -> None:
    store = local_sheet.store
    store.type(KEY, "Other", "A1", "there")
    store.type(KEY, "Stock", "A1", [["1"], ["2"], ["3"]])
    store.type(KEY, "Stock", "C1", text)
    assert store.cell(KEY, "Stock", "C1") == value
    shown = book.worksheet("Stock").get("C1", value_render_option="FORMULA")
    assert shown == [[text]]


def test_what_is_pasted_beyond_the_end_makes_the_sheet_larger(local_sheet: Running, book: gspread.Spreadsheet) -> None:
    sheet = book.worksheet("Stock")
    sheet.resize(3, 2)
    local_sheet.store.type(KEY, "Stock", "B3", [["1", "2"], ["3", "4"]])
    assert rows(local_sheet.store) == [[], [], ["", 1, 2], ["", 3, 4]]
    assert [(t.row_count, t.col_count) for t in book.worksheets()][0] == (4, 3)
    far = {"enterValues": {"sheetId": STOCK, "rowIndex": 10**9, "columnIndex": 0, "rows": [["x"]]}}
    for wanted in (far, {"enterValues": {**far["enterValues"], "rowIndex": -1}}):
        with pytest.raises(Refused):
            local_sheet.store.apply(KEY, [wanted])


def test_formulas_follow_what_they_refer_to(local_sheet: Running, book: gspread.Spreadsheet) -> None:
    store = local_sheet.store
    store.type(KEY, "Stock", "A1", [["1", "=A1*2"], ["2", "=SUM(A1:A2)"]])
    store.type(KEY, "Stock", "A1", "5")
    assert [row[1] for row in rows(store)] == [10, 7]
    store.insert_rows(KEY, "Stock", 1)
    store.insert_columns(KEY, "Stock", "A")
    formulas = book.worksheet("Stock").get("C2:C3", value_render_option="FORMULA")
    assert formulas == [["=B2*2"], ["=SUM(B2:B3)"]]
    store.delete_columns(KEY, "Stock", "B")
    assert store.cell(KEY, "Stock", "B2") == "#REF!"


# --- values


def test_values_come_in_all_forms_and_are_cut(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    local_sheet.store.type(KEY, "Stock", "A1", [["x", "", "5%"], [], ["", "2026-01-02", ""]])
    read = book.values_batch_get(
        ["Stock!A1:C3", "Stock!B:B", "Stock!1:1", "Stock!A2:C2"], params={"valueRenderOption": "UNFORMATTED_VALUE"}
    )["valueRanges"]
    assert [item["range"] for item in read] == ["Stock!A1:C3", "Stock!B1:B1000", "Stock!A1:Z1", "Stock!A2:C2"]
    assert [item.get("values") for item in read] == [
        [["x", "", 0.05], [], ["", 46024]],
        [[], [], [46024]],
        [["x", "", 0.05]],
        None,
    ]
    columns = book.values_get("Stock!A1:D3", params={"majorDimension": "COLUMNS"})
    assert columns["values"] == [["x"], ["", "", "2026-01-02"], ["5%"]]
    dates = book.values_get(
        "Stock!B3", params={"valueRenderOption": "UNFORMATTED_VALUE", "dateTimeRenderOption": "FORMATTED_STRING"}
    )
    assert dates["values"] == [["2026-01-02"]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Nowhere!A1", "Unable to parse range: Nowhere!A1"),
        ("Stock!A0", "Unable to parse range: Stock!A0"),
        ("Stock!A2000", "Range (Stock!A2000) exceeds grid limits. Max rows: 1000, max columns: 26"),
    ],
)
def test_a_bad_range_is_refused_in_googles_words(book: gspread.Spreadsheet, text: str, words: str) -> None:
    with pytest.raises(gspread.exceptions.APIError, match=re.escape(words)):
        book.values_get(text)


def test_a1_notation_both_ways() -> None:
    assert a1.split("'It''s 5'!A1:B2") == ("It's 5", "A1:B2")
    assert a1.area_of("D4:B2") == a1.Area(1, 4, 1, 4)
    assert a1.area_of("B2:B") == a1.Area(1, None, 1, 2)
    assert a1.area_of("3:4") == a1.Area(2, 4, 0, None)
    assert [a1.area_of(text) for text in ("A", "7", "A1:", "1A", "")] == [None] * 5
    assert a1.name_of("It's", a1.Box(0, 2, 25, 27)) == "'It''s'!Z1:AA2"
    assert [a1.column_of(a1.letters(n)) for n in (0, 25, 26, 701, 702)] == [0, 25, 26, 701, 702]


def test_field_masks() -> None:
    tree = mask.parse("sheets(properties.title,data/rowData/values(note)),spreadsheet_id")
    message = {
        "spreadsheetId": "x",
        "other": 1,
        "sheets": [
            {"properties": {"title": "t", "index": 0}, "data": [{"rowData": [{}, {"values": [{"note": "n", "a": 1}]}]}]}
        ],
    }
    assert mask.keep(message, tree) == {
        "spreadsheetId": "x",
        "sheets": [{"properties": {"title": "t"}, "data": [{"rowData": [{}, {"values": [{"note": "n"}]}]}]}],
    }
    for bad in ("", "a(", "a)", "a,,b", "a b!"):
        with pytest.raises(mask.BadMask):
            mask.parse(bad)


def test_append_finds_the_table_and_grows_the_grid(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    sheet = book.worksheet("Stock")
    sheet.resize(3, 4)
    sheet.update(range_name="B2", values=[["h1", "h2"], ["a", "b"]], raw=True)
    done = sheet.append_rows([["00123", 1], ["x", 2]], value_input_option="RAW")
    assert done["tableRange"] == "Stock!B2:C3"
    assert done["updates"]["updatedRange"] == "Stock!B4:C5"
    assert rows(local_sheet.store)[3:] == [["", "00123", 1], ["", "x", 2]]
    assert sheet.get_all_values() == [
        ["", "", ""],
        ["", "h1", "h2"],
        ["", "a", "b"],
        ["", "00123", "1"],
        ["", "x", "2"],
    ]


def test_values_batch_update_and_clear(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    done = book.values_batch_update(
        {
            "valueInputOption": "USER_ENTERED",
            "includeValuesInResponse": True,
            "data": [
                {"range": "Stock!A1:B2", "values": [["1", None], [None, "x"]]},
                {"range": "Other!C1", "majorDimension": "COLUMNS", "values": [["=1+1", "y"]]},
            ],
        }
    )
    assert (done["totalUpdatedCells"], done["totalUpdatedSheets"]) == (4, 2)
    assert done["responses"][1]["updatedData"]["values"] == [["2", "y"]]
    assert rows(local_sheet.store) == [[1], ["", "x"]]
    book.values_batch_clear(body={"ranges": ["Stock!A1", "Other"]})
    assert (rows(local_sheet.store), rows(local_sheet.store, "Other")) == ([[], ["", "x"]], [])
    with pytest.raises(gspread.exceptions.APIError, match="but tried writing to row"):
        book.values_update("Stock!A1:B1", {"valueInputOption": "RAW"}, {"values": [[1], [2]]})


# --- kinds


def test_copy_paste_in_its_kinds(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    store = local_sheet.store
    store.type(KEY, "Stock", "A1", [["1", "=A1+1"]])
    bold = {"userEnteredFormat": {"textFormat": {"bold": True}}}
    batch(
        book, {"repeatCell": {"range": span(0, 1, 1, 2), "cell": bold, "fields": "userEnteredFormat.textFormat.bold"}}
    )
    for kind, row in (("PASTE_VALUES", 1), ("PASTE_NORMAL", 2), ("PASTE_FORMULA", 3), ("PASTE_FORMAT", 4)):
        batch(
            book,
            {"copyPaste": {"source": span(0, 1, 0, 2), "destination": span(row, row + 1, 0, 2), "pasteType": kind}},
        )
    assert rows(store) == [[1, 2], [1, 2], [1, 2], [1, 2]]
    tab = store.book(KEY).tabs[0]
    assert [tab.formulas[r].get(1) for r in range(5)] == ["=A1+1", None, "=A3+1", "=A4+1", None]
    assert [bool(tab.style(r, 1)) for r in range(5)] == [True, False, True, False, True]
    batch(
        book, {"copyPaste": {"source": span(0, 1, 0, 1), "destination": span(0, 4, 5, 7), "pasteType": "PASTE_VALUES"}}
    )
    assert [row[5:] for row in rows(store)] == [[1, 1]] * 4


def test_rows_carry_formats_notes_and_validation(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    store = local_sheet.store
    store.type(KEY, "Stock", "A1", [["SKU", "n"], ["b", "2"], ["a", "3"], ["", "9"], ["c", "1"]])
    note = {"values": [{"note": "of b", "userEnteredFormat": {"backgroundColor": {"red": 1}}}]}
    batch(
        book,
        {
            "updateCells": {
                "start": {"sheetId": STOCK, "rowIndex": 1},
                "rows": [note],
                "fields": "note,userEnteredFormat",
            }
        },
        {"setDataValidation": {"range": span(1, 2, 1, 2), "rule": {"condition": {"type": "BOOLEAN"}}}},
    )
    store.sort(KEY, "Stock", "A")
    assert rows(store) == [["SKU", "n"], ["a", 3], ["b", 2], ["c", 1], ["", 9]]
    store.sort(KEY, "Stock", "B", descending=True)
    assert [row[0] for row in rows(store)] == ["SKU", "", "a", "b", "c"]
    store.move_rows(KEY, "Stock", 4, before=2)
    assert [row[0] for row in rows(store)] == ["SKU", "b", "", "a", "c"]
    store.insert_rows(KEY, "Stock", 2, 2)
    store.delete_rows(KEY, "Stock", 6)
    tab = store.book(KEY).tabs[0]
    assert [row[:1] for row in rows(store)] == [["SKU"], [], [], ["b"], [""], ["c"]]
    assert tab.style(3, 0) and tab.style(3, 0)["note"] == "of b"  # type: ignore[index]
    assert book.worksheet("Stock").get_notes()[3] == ["of b"]
    assert tab.style(3, 1) == {"dataValidation": {"condition": {"type": "BOOLEAN"}}}


def test_looks_move_with_inserted_and_moved_columns(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    store = local_sheet.store
    store.type(KEY, "Stock", "A1", [["a", "b", "c"]])
    cells = [{"note": note} for note in ("of a", "of b", "of c")]
    batch(book, {"updateCells": {"start": {"sheetId": STOCK}, "rows": [{"values": cells}], "fields": "note"}})
    store.insert_columns(KEY, "Stock", "B", 2)
    store.move_columns(KEY, "Stock", "A", before="F")
    assert rows(store) == [["", "", "b", "c", "a"]]
    assert book.worksheet("Stock").get_notes() == [["", "", "of b", "of c", "of a"]]
    store.delete_columns(KEY, "Stock", "B", 2)
    assert book.worksheet("Stock").get_notes() == [["", "of c", "of a"]]


def test_a_filter_hides_rows_and_a_copy_takes_them_along(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    local_sheet.store.type(KEY, "Stock", "A1", [["n"], ["1"], ["2"], ["3"]])
    criteria = [{"columnIndex": 0, "filterCriteria": {"hiddenValues": ["2"]}}]
    batch(book, {"setBasicFilter": {"filter": {"range": span(0, 4, 0, 1), "filterSpecs": criteria}}})
    fields = {"fields": "sheets.data.rowMetadata.hiddenByFilter", "ranges": "Stock!A1:A4"}
    shown = book.fetch_sheet_metadata(params=fields)["sheets"][0]["data"][0]["rowMetadata"]
    assert shown == [{}, {}, {"hiddenByFilter": True}, {}]
    batch(
        book, {"copyPaste": {"source": span(0, 4, 0, 1), "destination": span(0, 4, 2, 3), "pasteType": "PASTE_VALUES"}}
    )
    assert [row[2] for row in rows(local_sheet.store)] == ["n", 1, 2, 3]
    view = requests.get(f"{local_sheet.base_url}/spreadsheets/{KEY}/view", timeout=DEADLINE).json()
    assert [row["i"] for row in view["sheet"]["rows"]][:4] == [0, 1, 3, 4]
    batch(book, {"clearBasicFilter": {"sheetId": STOCK}})
    assert book.fetch_sheet_metadata(params=fields)["sheets"][0]["data"][0]["rowMetadata"] == [{}] * 4


def test_ranges_move_with_rows_and_columns(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    store = local_sheet.store
    batch(
        book,
        {"addNamedRange": {"namedRange": {"namedRangeId": "11", "name": "Here", "range": span(2, 4, 1, 3)}}},
        {
            "addProtectedRange": {
                "protectedRange": {
                    "range": {"sheetId": STOCK, "startColumnIndex": 2, "endColumnIndex": 3},
                    "warningOnly": True,
                }
            }
        },
        {"mergeCells": {"range": span(2, 3, 1, 3), "mergeType": "MERGE_ALL"}},
        {"setBasicFilter": {"filter": {"range": span(0, 10, 0, 4)}}},
    )
    store.insert_rows(KEY, "Stock", 1, 2)
    store.insert_columns(KEY, "Stock", "A")
    meta = book.fetch_sheet_metadata()
    assert meta["namedRanges"][0]["range"] == span(4, 6, 2, 4)
    sheet = meta["sheets"][0]
    assert sheet["protectedRanges"][0]["range"] == {"sheetId": STOCK, "startColumnIndex": 3, "endColumnIndex": 4}
    assert sheet["merges"] == [span(4, 5, 2, 4)]
    assert sheet["basicFilter"]["range"] == span(2, 12, 1, 5)
    store.move_columns(KEY, "Stock", "D", before="A")
    assert book.fetch_sheet_metadata()["sheets"][0]["protectedRanges"][0]["range"] == {
        "sheetId": STOCK,
        "startColumnIndex": 0,
        "endColumnIndex": 1,
    }
    store.delete_rows(KEY, "Stock", 5, 2)
    assert "namedRanges" not in book.fetch_sheet_metadata()


def test_tabs_are_made_copied_renamed_moved_and_hidden(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    local_sheet.store.type(KEY, "Stock", "A1", [["x", "=Other!A1"]])
    made = book.add_worksheet("New", 5, 3, index=0)
    made.update_title("It's new")
    copy = book.duplicate_sheet(STOCK, insert_sheet_index=1, new_sheet_name="Twin")
    assert copy.get_all_values() == [["x"]]
    book.worksheet("Other").update_title("Renamed tab")
    assert book.worksheet("Stock").acell("B1", value_render_option="FORMULA").value == "='Renamed tab'!A1"
    book.reorder_worksheets([book.worksheet(name) for name in ("Stock", "Renamed tab", "Twin", "It's new")])
    assert [sheet.title for sheet in book.worksheets()] == ["Stock", "Renamed tab", "Twin", "It's new"]
    made.freeze(rows=1)
    made.hide()
    assert [sheet.isSheetHidden for sheet in book.worksheets()] == [False, False, False, True]
    book.del_worksheet(copy)
    assert [sheet.title for sheet in book.worksheets()] == ["Stock", "Renamed tab", "It's new"]


def test_validation_conditional_formats_protection_and_metadata(
    book: gspread.Spreadsheet, local_sheet: Running
) -> None:
    rule = {
        "ranges": [span(1, 10, 0, 1)],
        "booleanRule": {
            "condition": {"type": "NUMBER_LESS", "values": [{"userEnteredValue": "3"}]},
            "format": {"backgroundColor": {"red": 1, "green": 0.5}},
        },
    }
    added = batch(
        book,
        {"addConditionalFormatRule": {"rule": rule, "index": 0}},
        {
            "addProtectedRange": {
                "protectedRange": {"range": span(0, 5, 0, 1), "warningOnly": True, "description": "ours"}
            }
        },
        {
            "createDeveloperMetadata": {
                "developerMetadata": {
                    "metadataKey": "k",
                    "visibility": "DOCUMENT",
                    "location": {"dimensionRange": lines("ROWS", 3, 4)},
                }
            }
        },
    )
    key = added["replies"][1]["addProtectedRange"]["protectedRange"]["protectedRangeId"]
    batch(
        book,
        {
            "updateProtectedRange": {
                "protectedRange": {"protectedRangeId": key, "description": "the service's"},
                "fields": "description",
            }
        },
        {"insertDimension": {"range": lines("ROWS", 0, 1)}},
    )
    sheet = book.fetch_sheet_metadata()["sheets"][0]
    assert sheet["protectedRanges"][0]["description"] == "the service's"
    assert sheet["conditionalFormats"][0]["ranges"] == [span(2, 11, 0, 1)]
    found = book.client.request(
        "post",
        f"https://sheets.googleapis.com/v4/spreadsheets/{KEY}/developerMetadata:search",
        json={"dataFilters": [{"developerMetadataLookup": {"metadataKey": "k"}}]},
    ).json()
    assert found["matchedDeveloperMetadata"][0]["developerMetadata"]["location"]["dimensionRange"]["startIndex"] == 4
    batch(
        book,
        {"deleteProtectedRange": {"protectedRangeId": key}},
        {"deleteConditionalFormatRule": {"sheetId": STOCK, "index": 0}},
    )
    assert {"protectedRanges", "conditionalFormats"}.isdisjoint(book.fetch_sheet_metadata()["sheets"][0])


def test_a_conditional_colour_follows_its_columns_on_the_page(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    store = local_sheet.store
    store.type(KEY, "Stock", "A1", [["Available", "Low"], ["2", "5"], ["9", "5"], ["", "5"]])
    condition = {"type": "CUSTOM_FORMULA", "values": [{"userEnteredValue": "=AND(ISNUMBER($A2),$A2<$B2)"}]}
    amber = {"backgroundColor": {"red": 1, "green": 0.9}}
    where = {"sheetId": STOCK, "startRowIndex": 1, "startColumnIndex": 0, "endColumnIndex": 1}
    rule = {"ranges": [where], "booleanRule": {"condition": condition, "format": amber}}
    batch(book, {"addConditionalFormatRule": {"rule": rule, "index": 0}})
    store.insert_columns(KEY, "Stock", "A")
    kept = book.fetch_sheet_metadata()["sheets"][0]["conditionalFormats"][0]
    assert kept["booleanRule"]["condition"]["values"] == [{"userEnteredValue": "=AND(ISNUMBER($B2),$B2<$C2)"}]
    sheet = requests.get(f"{local_sheet.base_url}/spreadsheets/{KEY}/view", timeout=DEADLINE).json()["sheet"]
    coloured = [[bool(cell and "s" in cell) for cell in row["c"][:3]] for row in sheet["rows"][:4]]
    assert coloured == [[False] * 3, [False, True, False], [False] * 3, [False] * 3]
    assert sheet["styles"] == [{"backgroundColor": "#ffe600"}]


def test_grid_data_has_what_a_mask_names(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    local_sheet.store.type(KEY, "Stock", "B2", [["7", "=1/0", "TRUE"]])
    batch(
        book,
        {
            "updateDimensionProperties": {
                "range": lines("COLUMNS", 2, 3),
                "properties": {"hiddenByUser": True, "pixelSize": 40},
                "fields": "hiddenByUser,pixelSize",
            }
        },
    )
    meta = book.fetch_sheet_metadata(params={"includeGridData": "true", "ranges": "Stock!B2:D3"})
    data = meta["sheets"][0]["data"][0]
    assert (data["startRow"], data["startColumn"], len(data["rowData"])) == (1, 1, 1)
    cells = data["rowData"][0]["values"]
    assert [cell["effectiveValue"] for cell in cells][0::2] == [{"numberValue": 7}, {"boolValue": True}]
    assert cells[1]["userEnteredValue"] == {"formulaValue": "=1/0"}
    assert cells[1]["effectiveValue"]["errorValue"]["type"] == "DIVIDE_BY_ZERO"
    assert data["columnMetadata"] == [{"pixelSize": 100}, {"pixelSize": 40, "hiddenByUser": True}, {"pixelSize": 100}]
    fields = "sheets.data.rowData.values.formattedValue"
    masked = book.fetch_sheet_metadata(params={"ranges": "Stock!B2:D3", "fields": fields})
    assert masked == {
        "sheets": [{"data": [{"rowData": [{"values": [{"formattedValue": v} for v in ("7", "#DIV/0!", "TRUE")]}]}]}]
    }
    answer = book.batch_update(
        {
            "requests": [{"findReplace": {"find": "7", "replacement": "8", "allSheets": True}}],
            "includeSpreadsheetInResponse": True,
            "responseRanges": ["Stock!B2"],
            "responseIncludeGridData": True,
        }
    )
    assert answer["replies"][0]["findReplace"]["occurrencesChanged"] == 1
    shown = answer["updatedSpreadsheet"]["sheets"][0]["data"][0]["rowData"][0]["values"]
    assert shown[0]["formattedValue"] == "8"


def test_drive_as_gspread_uses_it(gspread_client: gspread.Client) -> None:
    made = gspread_client.create("A new one's")
    assert gspread_client.open("A new one's").id == made.id
    assert [file["id"] for file in gspread_client.list_spreadsheet_files()] == [made.id]
    copy = gspread_client.copy(made.id, title="Twin", copy_permissions=False)
    assert copy.title == "Twin"
    made.share("someone@example.com", perm_type="user", role="writer", notify=False)
    gspread_client.del_spreadsheet(made.id)
    with pytest.raises(gspread.exceptions.SpreadsheetNotFound):
        gspread_client.open_by_key(made.id)
    with pytest.raises(PermissionError):
        gspread_client.open_by_key("1jIKzPs8LsiZZdLdeMEP-5ZIHw6RkjiOmj1LrJN706Yc")


def test_a_service_account_with_a_local_token_uri(local_sheet: Running, book: gspread.Spreadsheet) -> None:
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    from cryptography.hazmat.primitives.asymmetric import rsa

    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    info = {
        "client_email": "robot@example.iam",
        "token_uri": f"{local_sheet.base_url}/token",
        "private_key": pem.decode(),
    }
    client = gspread.service_account_from_dict(info, http_client=client_class(local_sheet.base_url))
    assert client.open_by_key(KEY).title == "Stock book"


# --- faults


def test_faults_between_client_and_server(book: gspread.Spreadsheet, local_sheet: Running, faults: Faults) -> None:
    add = {"addSheet": {"properties": {"title": "Made"}}}
    faults.refuse(QUOTA)
    with pytest.raises(gspread.exceptions.APIError, match="429"):
        batch(book, add)
    faults.drop()
    with pytest.raises(requests.exceptions.ConnectionError):
        batch(book, add)
    assert len(local_sheet.store.book(KEY).tabs) == 2
    faults.lose_answer(UNAVAILABLE)
    with pytest.raises(gspread.exceptions.APIError, match="503"):
        batch(book, add)
    assert len(local_sheet.store.book(KEY).tabs) == 3
    twice = faults.double()
    batch(book, {"deleteSheet": {"sheetId": local_sheet.store.book(KEY).tabs[2].sheet_id}})
    assert [answer.status for answer in twice.result(DEADLINE)] == [200, 400]
    faults.refuse(match=is_read)
    with pytest.raises(gspread.exceptions.APIError):
        book.worksheets()
    assert sum(map(is_batch_update, faults.calls)) == 4


# --- the file


def test_workbooks_are_there_after_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "book.jsonl"
    with serve(data) as running:
        running.store.create("Kept", KEY, tabs=[{"title": "Stock", "sheetId": STOCK}])
        gone = running.store.create("Gone")
        running.store.type(KEY, "Stock", "A1", [["00123", "=1/0", "2026-01-02"], ["MAR1", "TRUE", "5%"]])
        batch_kinds = [
            {"addNamedRange": {"namedRange": {"name": "n", "range": span(0, 1, 0, 1)}}},
            {"addSheet": {"properties": {"title": "_exchange", "hidden": True}}},
            {"updateCells": {"start": {"sheetId": STOCK}, "rows": [{"values": [{"note": "hi"}]}], "fields": "note"}},
        ]
        running.store.apply(KEY, batch_kinds)
        running.store.delete(gone.spreadsheet_id)
        before = state(running.store)
    for _ in range(2):  # from the journal, then from the snapshot
        store = Store(data)
        assert state(store) == before
        assert [b.spreadsheet_id for b in store.books()] == [KEY]
        assert store.deleted == {gone.spreadsheet_id}
        store.close()


def state(store: Store) -> Any:
    from sheets_sync.sandbox.sheet.journal import packed

    return json.loads(json.dumps(packed(store.book(KEY))))


@pytest.mark.parametrize("torn", [1, 7, 30])
def test_a_torn_last_line_is_dropped(tmp_path: Path, torn: int) -> None:
    data = tmp_path / "book.jsonl"
    store = Store(data)
    store.create("Kept", KEY, tabs=[{"title": "Stock", "sheetId": STOCK}])
    store.type(KEY, "Stock", "A1", "one")
    store.type(KEY, "Stock", "A2", "two")
    store.close()
    data.write_bytes(data.read_bytes()[:-torn])
    for _ in range(2):
        store = Store(data)
        assert rows(store) == [["one"]]
        store.close()


def test_one_file_has_one_server_and_another_file_is_not_touched(tmp_path: Path) -> None:
    data, other = tmp_path / "book.jsonl", tmp_path / "notes.txt"
    store = Store(data)
    with pytest.raises(DataFileError, match="in use by another local sheet"):
        Store(data)
    store.close()
    other.write_text("my notes\nmore\n")
    with pytest.raises(DataFileError, match="line 1"):
        Store(other)
    assert other.read_text() == "my notes\nmore\n"


def test_a_line_that_can_not_be_applied_is_named(tmp_path: Path) -> None:
    data = tmp_path / "book.jsonl"
    store = Store(data)
    store.create("Kept", KEY, tabs=[{"title": "Stock", "sheetId": STOCK}])
    store.close()
    line = {"at": "2026-11-25T10:00:00+00:00", "id": KEY, "requests": [{"deleteSheet": {"sheetId": 5}}], "ids": []}
    data.write_text(data.read_text() + json.dumps(line) + "\n")
    before = data.read_bytes()
    for _ in range(2):  # the file is let go, and left as it is
        with pytest.raises(DataFileError, match="line 4, can not be applied: .*No sheet with id: 5"):
            Store(data)
    assert data.read_bytes() == before


def test_run_tells_its_address_and_stops_when_told(tmp_path: Path) -> None:
    stop = threading.Event()

    def ready(running: Running) -> None:
        running.store.create("Book", KEY)
        assert requests.get(running.page_url(KEY), timeout=DEADLINE).ok
        stop.set()

    run(tmp_path / "book.jsonl", 0, ready=ready, stop=stop)
    store = Store(tmp_path / "book.jsonl")
    assert [b.spreadsheet_id for b in store.books()] == [KEY]
    store.close()


ACTS = st.one_of(
    st.tuples(
        st.just("type"), st.integers(1, 6), st.sampled_from(["5", "x", "", "=A1+1", "=SUM(A1:B3)", "2026-01-02"])
    ),
    st.tuples(st.sampled_from(["insert_rows", "delete_rows"]), st.integers(1, 6), st.integers(1, 2)),
    st.tuples(st.sampled_from(["insert_columns", "delete_columns"]), st.sampled_from("ABC"), st.integers(1, 2)),
    st.tuples(st.just("move_rows"), st.integers(1, 6), st.integers(1, 7)),
    st.tuples(st.just("move_columns"), st.sampled_from("ABCD"), st.sampled_from("ABCD")),
    st.tuples(st.just("sort"), st.sampled_from("ABC"), st.booleans()),
    st.tuples(st.just("copy_row"), st.integers(1, 6), st.integers(1, 6)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTS, max_size=14))
def test_any_day_of_edits_is_the_same_after_a_restart(acts: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as folder:
        data = Path(folder) / "book.jsonl"
        store = Store(data)
        grid = {"title": "Stock", "sheetId": STOCK, "gridProperties": {"rowCount": 8, "columnCount": 6}}
        store.create("Day", KEY, tabs=[grid])
        named = {"namedRange": {"namedRangeId": "1", "name": "here", "range": span(1, 3, 0, 2)}}
        bold = {"userEnteredFormat": {"textFormat": {"bold": True}}}
        store.apply(
            KEY, [{"addNamedRange": named}, {"repeatCell": {"range": span(1, 2, 0, 2), "cell": bold, "fields": "*"}}]
        )
        for act, where, what in acts:
            before = store.book(KEY)
            try:
                perform(store, act, where, what)
            except (Refused, BadRange):
                assert store.book(KEY) is before
            check_shape(store)
        before, revision = state(store), store.book(KEY).revision
        store.close()
        again = Store(data)
        assert state(again) == before
        assert again.book(KEY).revision == revision
        again.close()


def perform(store: Store, act: str, where: Any, what: Any) -> None:
    if act == "type":
        store.type(KEY, "Stock", f"{'ABCDEF'[where - 1]}{where}", [[what, "7"]])
    elif act in ("move_rows", "move_columns"):
        getattr(store, act)(KEY, "Stock", where, before=what)
    else:
        getattr(store, act)(KEY, "Stock", where, what)


def check_shape(store: Store) -> None:
    tab = store.book(KEY).tabs[0]
    assert len(tab.values) == len(tab.styles) == len(tab.formulas) == len(tab.rows)
    for values, style, formulas in zip(tab.values, tab.styles, tab.formulas, strict=True):
        assert max(len(values), len(style), *(c + 1 for c in formulas), 0) <= len(tab.columns)
        assert not values or values[-1] != ""
        assert not style or style[-1] is not None


KILLED = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from sheets_sync.sandbox.sheet.store import Store
store = Store(Path(sys.argv[1]))
for n in range(100000):
    store.type("book", "Stock", f"A{n % 1000 + 1}", f"value {n}")
    print(n, flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    data = tmp_path / "book.jsonl"
    store = Store(data)
    store.create("Kept", KEY, tabs=[{"title": "Stock", "sheetId": STOCK}])
    store.close()
    for stop in (3, 40):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(data)], stdout=subprocess.PIPE, text=True)
        assert child.stdout
        acknowledged = -1
        for line in child.stdout:
            acknowledged = int(line)
            if acknowledged == stop:
                child.send_signal(signal.SIGKILL)
        child.wait(DEADLINE)
        store = Store(data)
        found = [row[0] for row in rows(store)]
        store.close()
        assert found[: acknowledged + 1] == [f"value {n}" for n in range(acknowledged + 1)]
        assert len(found) <= max(acknowledged + 2, 41 + 1)


def test_a_write_that_can_not_be_kept_is_not_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "book.jsonl")
    store.create("Kept", KEY, tabs=[{"title": "Stock", "sheetId": STOCK}])

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            store.type(KEY, "Stock", "A1", "lost")
    assert rows(store) == []
    store.type(KEY, "Stock", "A1", "kept")
    store.close()
    again = Store(tmp_path / "book.jsonl")
    assert rows(again) == [["kept"]]
    again.close()


# --- the door


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "sheets.example.com"}, 403),
        ({"Host": "127.0.0.1.example.com"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "https://example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Authorization": "Bearer whatever"}, 200),
    ],
)
def test_only_its_own_address_is_answered(
    local_sheet: Running, book: gspread.Spreadsheet, headers: dict[str, str], status: int
) -> None:
    for path in ("/", f"/v4/spreadsheets/{KEY}", f"/spreadsheets/{KEY}/view"):
        assert requests.get(local_sheet.base_url + path, headers=headers, timeout=DEADLINE).status_code == status


def test_its_own_page_may_post(local_sheet: Running, book: gspread.Spreadsheet) -> None:
    url = f"{local_sheet.base_url}/spreadsheets/{KEY}/edits"
    edit = {"requests": [{"enterValues": {"sheetId": STOCK, "rowIndex": 0, "columnIndex": 0, "rows": [["=1+1"]]}}]}
    own = {"Origin": local_sheet.base_url}
    assert requests.post(url, json=edit, headers=own, timeout=DEADLINE).json()["revision"] == 2
    assert rows(local_sheet.store) == [[2]]
    form = requests.post(url, data=json.dumps(edit), headers=own | {"Content-Type": "text/plain"}, timeout=DEADLINE)
    assert form.status_code == 415
    bad = {"requests": [{"deleteNamedRange": {"namedRangeId": "1"}}]}
    assert requests.post(url, json=bad, headers=own, timeout=DEADLINE).status_code == 400


@pytest.mark.parametrize(
    "body", ["", "{", "[]", '{"requests": {}}', '{"requests": [3]}', '{"requests": []}', '{"requests": [{}]}']
)
def test_malformed_batches_are_refused(local_sheet: Running, book: gspread.Spreadsheet, body: str) -> None:
    answer = requests.post(f"{local_sheet.base_url}/v4/spreadsheets/{KEY}:batchUpdate", data=body, timeout=DEADLINE)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "wanted",
    [
        {
            "updateCells": {
                "start": {"sheetId": STOCK},
                "rows": [{"values": [{"userEnteredValue": {"numberValue": "x"}}]}],
                "fields": "*",
            }
        },
        {"updateCells": {"range": [], "fields": "*"}},
        {"updateCells": {"range": span(0, 1, 0, 1), "fields": "no(pe"}},
        {"repeatCell": 7},
        {"addNamedRange": {}},
        {"frobnicate": {}},
        {"copyPaste": {"source": span(0, 1, 0, 1)}},
        {"addSheet": {"properties": {}}, "deleteSheet": {"sheetId": 1}},
    ],
)
def test_malformed_requests_change_nothing(
    book: gspread.Spreadsheet, local_sheet: Running, wanted: dict[str, Any]
) -> None:
    before = local_sheet.store.book(KEY)
    assert refused(book, wanted).startswith("Invalid ")
    assert local_sheet.store.book(KEY) is before


# --- edit notifications


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[tuple[str, Any]], threading.Condition]]:
    got: list[tuple[str, Any]] = []
    arrived = threading.Condition()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with arrived:  # before the answer: the next hint is not sent until then
                got.append((self.headers["X-Sheets-Sync-Token"], body))
                arrived.notify_all()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hint", got, arrived
    server.shutdown()
    server.server_close()


def test_a_persons_edit_is_told_and_a_programs_is_not(
    receiver: tuple[str, list[tuple[str, Any]], threading.Condition],
) -> None:
    url, got, arrived = receiver
    with serve(notify_url=url, notify_secret="s3cret") as running:
        running.store.create("Book", KEY, tabs=[{"title": "Stock", "sheetId": STOCK}, "Other"])
        running.store.apply(KEY, [{"addSheet": {"properties": {"title": "by a program"}}}])
        for n in range(20):
            running.store.type(KEY, "Other", "A1", f"{n}")
        running.store.type(KEY, "Stock", "B3", [["7", "8"]])
        with arrived:
            assert arrived.wait_for(lambda: any(body["sheet"] == "Stock" for _, body in got), DEADLINE)
    assert {token for token, _ in got} == {"s3cret"}
    assert got[-1][1] == {"spreadsheetId": KEY, "sheet": "Stock", "range": "Stock!B3:C3"}
    assert {body["sheet"] for _, body in got} <= {"Stock", "Other"}
    assert len(got) < 12, "edits in quick succession become few hints"


def test_nobody_waits_for_a_receiver_that_is_down() -> None:
    with serve(notify_url="http://127.0.0.1:9/hint") as running:
        running.store.create("Book", KEY, tabs=["Stock"])
        running.store.type(KEY, "Stock", "A1", "5")
        assert running.store.cell(KEY, "Stock", "A1") == 5


# --- the page


def test_the_page_shows_texts_looks_and_locks(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    store = local_sheet.store
    book.worksheet("Stock").update(range_name="A1", values=[["<script>alert(1)</script>"]], raw=True)
    store.type(KEY, "Stock", "B1", [["5%", "=1+1"]])
    warning = {
        "range": {"sheetId": STOCK, "startColumnIndex": 1, "endColumnIndex": 2},
        "warningOnly": True,
        "description": "ours",
    }
    batch(
        book,
        {"addProtectedRange": {"protectedRange": warning}},
        {
            "updateDimensionProperties": {
                "range": lines("COLUMNS", 3, 26),
                "properties": {"hiddenByUser": True},
                "fields": "hiddenByUser",
            }
        },
        {"addSheet": {"properties": {"title": "_exchange", "hidden": True}}},
        {"setDataValidation": {"range": span(1, 2, 0, 1), "rule": {"condition": {"type": "BOOLEAN"}}}},
    )
    view = requests.get(f"{local_sheet.base_url}/spreadsheets/{KEY}/view", timeout=DEADLINE).json()
    assert [tab["title"] for tab in view["tabs"]] == ["Stock", "Other"]
    assert [(c["name"], c.get("lock")) for c in view["sheet"]["columns"]] == [("A", None), ("B", "ours"), ("C", None)]
    assert view["sheet"]["rows"][0]["c"] == [
        {"t": "<script>alert(1)</script>"},
        {"t": "5%", "r": 1},
        {"t": "2", "e": "=1+1", "r": 1},
    ]
    assert view["sheet"]["rows"][1]["c"][0] == {"k": "check", "v": False}
    shown = requests.get(f"{local_sheet.base_url}/spreadsheets/d/{KEY}/edit", timeout=DEADLINE)
    assert shown.url == f"{local_sheet.base_url}/spreadsheets/{KEY}"
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
    store.create("<b>bold</b>", "other")
    listed = requests.get(local_sheet.base_url, timeout=DEADLINE).text
    assert "&lt;b&gt;bold&lt;/b&gt;" in listed
    assert "Local sheet" in listed
    assert requests.get(f"{local_sheet.base_url}/spreadsheets/none", timeout=DEADLINE).status_code == 404


def test_the_page_hears_of_changes_made_through_the_api(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    url = f"{local_sheet.base_url}/spreadsheets/{KEY}/changes"
    with requests.get(url, stream=True, timeout=DEADLINE) as stream:
        events = (line for line in stream.iter_lines() if line.startswith(b"id: "))
        assert next(events).decode() == f"id: {local_sheet.store.epoch}:1"
        batch(book, {"addSheet": {}})
        newest = next(events).decode().removeprefix("id: ")
        assert newest == f"{local_sheet.store.epoch}:2"
    again = {"Last-Event-ID": newest}
    with requests.get(url, stream=True, timeout=DEADLINE, headers=again) as stream:
        batch(book, {"addSheet": {}})
        assert next(line for line in stream.iter_lines() if line.startswith(b"id: ")).endswith(b":3")


def test_many_open_pages_leave_threads_to_answer(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    url = f"{local_sheet.base_url}/spreadsheets/{KEY}/changes"
    streams = [requests.get(url, stream=True, timeout=DEADLINE) for _ in range(page.STREAMS + 5)]
    assert [s.status_code for s in streams].count(200) == page.STREAMS
    assert [s.status_code for s in streams].count(503) == 5
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(lambda _: book.values_get("Stock!A1"), range(16)))) == 16
    for stream in streams:
        stream.close()


def test_two_people_and_a_program_at_once_lose_nothing(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    store = local_sheet.store

    def add(n: int) -> None:
        if n % 2:
            store.type(KEY, "Stock", f"A{n + 1}", str(n))
        else:
            gspread_for(local_sheet.base_url).open_by_key(KEY).worksheet("Stock").update(
                range_name=f"A{n + 1}", values=[[n]], raw=True
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert rows(store) == [[n] for n in range(40)]
    assert store.book(KEY).revision == 41


# --- speed


@pytest.mark.slow
def test_100_000_rows_are_read_and_written_without_work_per_cell(local_sheet: Running) -> None:
    store = local_sheet.store
    store.create(
        "Big",
        KEY,
        tabs=[{"title": "Stock", "sheetId": STOCK, "gridProperties": {"rowCount": 100_000, "columnCount": 3}}],
    )
    typed = {"sheetId": STOCK, "rowIndex": 0, "columnIndex": 0, "typed": False}
    store.apply(KEY, [{"enterValues": {**typed, "rows": [[f"sku-{n}", n, n % 7] for n in range(100_000)]}}])
    session = requests.Session()
    url = f"{local_sheet.base_url}/v4/spreadsheets/{KEY}/values/Stock?valueRenderOption=UNFORMATTED_VALUE"
    answer = session.get(url, timeout=DEADLINE).json()
    gc.collect()
    once = best(lambda: json.dumps(answer))
    assert best(lambda: session.get(url, timeout=DEADLINE).content) < 3 * once
    cell = [{"values": [{"userEnteredValue": {"numberValue": 5}}]}]
    wanted = [{"updateCells": {"range": span(99_999, 100_000, 1, 2), "rows": cell, "fields": "userEnteredValue"}}]
    assert best(lambda: store.apply(KEY, wanted)) < once


def best(act: Any) -> float:
    def timed() -> float:
        start = time.perf_counter()
        act()
        return time.perf_counter() - start

    return min(timed() for _ in range(7))


# --- the recordings


def test_recorded_exchanges_are_answered_the_same(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recordings were made by one account, whose address the real service gives back: the server is told it."""
    folder = shared / "conformance" / "google-sheets"
    spec = importlib.util.spec_from_file_location("replay", folder / "replay.py")
    assert spec and spec.loader
    replay = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(replay)
    recorded = (folder / "recorded.jsonl").read_text("utf-8")
    owner = re.search(r'"users": ?\["([^"]+@[^"]+)"', recorded)
    assert owner
    with serve(owner=owner[1]) as running:
        replay.replay(folder / "recorded.jsonl", running.base_url)
    printed = capsys.readouterr().out
    same = int(re.findall(r"^same (\d+), different \d+$", printed, re.M)[-1])
    assert same >= REPLAYED, printed


def test_a_refusal_from_python_says_the_same_as_over_http(local_sheet: Running, book: gspread.Spreadsheet) -> None:
    with pytest.raises(Refused, match="No sheet with id: 5"):
        local_sheet.store.apply(KEY, [{"deleteSheet": {"sheetId": 5}}])
