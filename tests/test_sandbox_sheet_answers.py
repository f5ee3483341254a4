"""The local sheet's further answers: quotas, stale reads, refused JSON, formulas, locales, and what nobody knows."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import gspread
import orjson
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from sheets_sync.sandbox.sheet import locales, rendering, wire
from sheets_sync.sandbox.sheet.a1 import Box
from sheets_sync.sandbox.sheet.quotas import NOBODY, WINDOW, Meter, Quotas, token_for, user_of
from sheets_sync.sandbox.sheet.server import Running, serve
from sheets_sync.sandbox.sheet.store import Store
from tests import sheet_server
from tests.discovery import SHORT, answer_problems, short_form
from tests.sheet_server import DEADLINE, QUOTA, Faults, gspread_for, is_read

KEY = "book"
STOCK = 101


@pytest.fixture
def book(local_sheet: Running) -> gspread.Spreadsheet:
    """A workbook with the tabs Stock (id 101) and Other, opened by gspread."""
    local_sheet.store.create("Stock book", KEY, tabs=[{"title": "Stock", "sheetId": STOCK}, "Other"])
    return gspread_for(local_sheet.base_url).open_by_key(KEY)


# --- quotas


def test_quotas_refuse_in_googles_words_and_count_users_and_the_project() -> None:
    now = [0.0]
    meter = Meter(Quotas(reads_per_user=2, writes_per_user=1, reads_per_project=3), lambda: now[0])
    assert [meter.take("ann", read=True) for _ in range(2)] == [None, None]
    refused = meter.take("ann", read=True)
    assert (
        refused and "limit 'Read requests per minute per user' of service 'sheets.googleapis.com'" in refused["message"]
    )
    assert refused["details"][0]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert meter.take("ann", read=False) is None, "writes are counted apart"
    assert meter.take("bob", read=True) is None
    whole = meter.take("bob", read=True)
    assert whole and "limit 'Read requests per minute' of" in whole["message"]
    now[0] = WINDOW
    assert meter.take("ann", read=True) is None


def test_a_sheet_with_quotas_says_429_until_the_minute_is_over() -> None:
    with serve(quotas=Quotas(reads_per_user=3, writes_per_user=1)) as running:
        running.store.create("Book", KEY)
        url = f"{running.base_url}/v4/spreadsheets/{KEY}"
        write = {"requests": [{"addSheet": {"properties": {"title": "once"}}}]}
        answers = [requests.get(f"{url}/values/Sheet1", timeout=DEADLINE) for _ in range(4)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429]
        assert answer_problems("GET", f"/v4/spreadsheets/{KEY}", 429, answers[3].content) == []
        assert answers[3].json()["error"]["status"] == "RESOURCE_EXHAUSTED"
        assert requests.post(f"{url}:batchUpdate", json=write, timeout=DEADLINE).status_code == 200
        refused = requests.post(f"{url}:batchUpdate", json=write, timeout=DEADLINE)
        assert refused.json()["error"]["message"] == json.loads(QUOTA.body)["error"]["message"]
        assert requests.post(f"{url}:getByDataFilter", json={}, timeout=DEADLINE).status_code == 429, "it is a read"
        other = {"Authorization": f"Bearer {token_for(jwt('other@shop.test'), 'x')}"}
        assert requests.get(f"{url}/values/Sheet1", headers=other, timeout=DEADLINE).status_code == 200
        assert requests.get(f"{running.base_url}/drive/v3/files", timeout=DEADLINE).status_code == 200


def jwt(issuer: str) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"iss": issuer}).encode()).decode().rstrip("=")
    return f"head.{claims}.signature"


def test_a_user_stays_the_same_with_a_new_token() -> None:
    first, second = (f"Bearer {token_for(jwt('me@shop.test'), nonce)}" for nonce in ("a", "b"))
    assert first != second and user_of(first) == user_of(second) == "me@shop.test"
    assert user_of("") == NOBODY
    assert user_of("Bearer whatever") == "whatever"
    assert [user_of(f"Bearer {token_for(bad, 'n')}") for bad in ("", "a.b", "a.!!.c", "a.W10.c")] == [NOBODY] * 4


# --- faults


def test_a_stale_read_answers_what_stood_before(
    book: gspread.Spreadsheet, local_sheet: Running, faults: Faults
) -> None:
    stock = book.worksheet("Stock")
    stock.update(range_name="A1", values=[["old"]])
    before = local_sheet.store.book(KEY)
    stock.update(range_name="A1", values=[["new"]])
    book.batch_update({"requests": [{"addSheet": {"properties": {"title": "Third"}}}]})
    faults.stale(before)
    assert stock.acell("A1").value == "old"
    assert stock.acell("A1").value == "new"
    faults.stale(before)
    assert len(book.fetch_sheet_metadata()["sheets"]) == 2
    faults.stale(before, match=lambda call: not is_read(call))
    stock.update(range_name="A1", values=[["newer"]])
    assert stock.acell("A1").value == "newer", "a write is never applied to an older state"
    assert len(book.worksheets()) == 3


def test_a_slow_write_waits_and_lands(book: gspread.Spreadsheet, local_sheet: Running, faults: Faults) -> None:
    go = threading.Event()
    faults.slow(go)
    writer = threading.Thread(
        target=book.batch_update, args=({"requests": [{"addSheet": {"properties": {"title": "late"}}}]},)
    )
    writer.start()
    local_sheet.store.type(KEY, "Stock", "A1", "typed meanwhile")
    assert local_sheet.store.book(KEY).tab_named("late") is None
    go.set()
    writer.join(DEADLINE)
    assert local_sheet.store.book(KEY).tab_named("late") is not None


# --- formulas


SHEET = [
    ["SKU", "On hand", "Sold", "Low"],
    ["00123", "10", "3", "5"],
    ["1E5", "2", "4", ""],
    ["Käthe", "", "1", "2"],
    ["mug red", "7.5", "x", "9"],
]
FORMULAS: list[tuple[str, Any]] = [
    ("=SUM(B2:B)", 19.5),
    ("=SUM(B2:B5,1,TRUE)", 21.5),
    ("=B2-C2*2^2", -2),
    ("=-2^2", 4),
    ("=(1+2)*3%", 0.09),
    ("=0.1+0.2=0.3", False),
    ('=IF(B2<D2,"low","fine")', "fine"),
    ('=IF(B4<D4,"low","fine")', "low"),  # a blank is 0
    ('=IF(B4="","no count",B4)', "no count"),
    ('=IF(TRUE,"yes",1/0)', "yes"),
    ('=IFS(B3>5,"much",B3>0,"some")', "some"),
    ('=SWITCH(A2,"00123","mug","else")', "mug"),
    ("=CHOOSE(2,5,6,7)", 6),
    ("=IF(A1,1)", "#VALUE!"),
    ("=IF(,1,2)", 2),
    ("=AND(B2>1,C2>1)", True),
    ("=OR(B2>99,C2>99)", False),
    ("=NOT(B2>99)", True),
    ("=ROUND(2.5)&ROUND(-2.5)&ROUND(1.005,2)&ROUND(1234,-2)", "3-31.011200"),
    ("=ROUNDUP(1.1)+ROUNDDOWN(1.9)+INT(-1.5)", 1),
    ("=MOD(-1,3)", 2),
    ("=MOD(1,0)", "#DIV/0!"),
    ("=MIN(B2:B5)&MAX(B2:B5)&COUNT(B2:B5)&COUNTA(A2:D5)&COUNTBLANK(B2:B5)", "2103141"),
    ("=AVERAGE(B2:B5)", 6.5),
    ("=AVERAGE(A2:A5)", "#DIV/0!"),
    ("=MEDIAN(B2:B5)+LARGE(B2:B5,1)+SMALL(B2:B5,1)", 19.5),
    ('=COUNTIF(B2:B5,">5")', 2),
    ('=COUNTIF(A2:A5,"m*")', 1),
    ('=COUNTIF(A2:A5,"KÄTHE")', 1),
    ('=COUNTIF(B2:B5,"<>")', 3),
    ("=COUNTIF(B2:B5,10)", 1),
    ('=SUMIF(A2:A5,"00*",B2:B5)', 10),
    ('=SUMIF(B2:B5,">"&C3)', 17.5),
    ('=SUMIFS(B2:B5,B2:B5,">1",D2:D5,">6")', 7.5),
    ('=COUNTIFS(B2:B5,">1",C2:C5,">3")', 1),
    ('=AVERAGEIF(B2:B5,">5")', 8.75),
    ("=SUMPRODUCT(B2:B3,C2:C3)", 38),
    ("=SUMPRODUCT(B2:B3*C2:C3)", 38),
    ("=SUMPRODUCT(-(B2:B3>5),C2:C3)", -3),
    ('=SUMPRODUCT(EXACT(A2:A5,"1E5")*B2:B5)', 2),
    ('=VLOOKUP("1E5",A2:D5,2,FALSE)', 2),
    ('=VLOOKUP("gone",A2:D5,2,FALSE)', "#N/A"),
    ('=VLOOKUP("1E5",A2:D5,9,FALSE)', "#REF!"),
    ('=HLOOKUP("Sold",A1:D5,2,FALSE)', 3),
    ('=XLOOKUP("1E5",A2:A5,B2:B5)', 2),
    ('=XLOOKUP("gone",A2:A5,B2:B5,"none")', "none"),
    ('=INDEX(B2:B5,MATCH("1E5",A2:A5,0))', 2),
    ("=MATCH(4,{1},0)", "#ERROR!"),
    ("=INDEX(A1:D5,2,3)", 3),
    ("=INDEX(A1:D5,9,9)", "#REF!"),
    ('=IFERROR(VLOOKUP("gone",A2:D5,2,FALSE),0)', 0),
    ('=IFNA(VLOOKUP("gone",A2:D5,2,FALSE),"new")', "new"),
    ("=IFNA(1/0,5)", "#DIV/0!"),
    ("=ISNUMBER(B2)&ISNUMBER(A2)&ISBLANK(B4)&ISBLANK(A2)&ISERROR(1/0)&ISNA(NA())", "TRUEFALSETRUEFALSETRUETRUE"),
    ('=CONCATENATE(A2,"-",B2)&"!"', "00123-10!"),
    ('=JOIN(",",B2:B3)&TEXTJOIN("/",TRUE,B2:B5)', "10,210/2/7.5"),
    ("=LEFT(A5,3)&RIGHT(A5,3)&MID(A5,2,2)&LEN(A4)", "mugredug5"),
    ('=TRIM("  a  b ")&UPPER("ä")&LOWER("Ä")&PROPER("red MUG")', "a bÄäRed Mug"),
    ('=SUBSTITUTE("a-b-c","-","+")&SUBSTITUTE("a-b-c","-","+",2)', "a+b+ca-b+c"),
    ('=FIND("g","mug")&SEARCH("G","mug")', "33"),
    ('=FIND("G","mug")', "#VALUE!"),
    ('=EXACT("a","A")', False),
    ('="a"="A"', True),
    ('=VALUE("12")+VALUE("50%")', 12.5),
    ('="2"+3', 5),
    ('="x"+3', "#VALUE!"),
    ('=TEXT(1234.5,"#,##0.00")&TEXT(46000,"yyyy-mm-dd")', "1,234.502025-12-09"),
    ("=DATE(2026,14,1)-DATE(2027,2,1)", 0),
    ("=YEAR(46000)&MONTH(46000)&DAY(46000)&WEEKDAY(46000,2)", "20251292"),
    ("=Other!A1*2", 42),
    ("='Other'!A1+Other!$A$1", 42),
    ("=Nowhere!A1", "#REF!"),
    ("=ROWS(A1:D5)&COLUMNS(A1:D5)&ROW()&COLUMN()", "54110"),
    ("=UNKNOWN(1)", "#NAME?"),
    ("=unknown_name", "#NAME?"),
    ("=SUM()", "#N/A"),
    ("=1+", "#ERROR!"),
    ("=" + "(" * 3000 + "1" + ")" * 3000, "#ERROR!"),
    ("=10^400", "#NUM!"),
    ("=SQRT(-1)", "#NUM!"),
    ("=A1:A3", "#VALUE!"),
    ("=COUNTA(B2:B)", 3),
    ("=B2:B5", "#VALUE!"),
]


@pytest.fixture(scope="module")
def counting() -> Iterator[Running]:
    with serve() as running:
        running.store.create("Formulas", KEY, tabs=["Stock", "Other"])
        running.store.apply(KEY, [text_column(0, 0, 1)])
        running.store.type(KEY, "Stock", "A1", SHEET)
        running.store.type(KEY, "Other", "A1", "21")
        yield running


def text_column(sheet: int, first: int, last: int) -> dict[str, Any]:
    where = {"sheetId": sheet, "startColumnIndex": first, "endColumnIndex": last}
    cell = {"userEnteredFormat": {"numberFormat": {"type": "TEXT"}}}
    return {"repeatCell": {"range": where, "cell": cell, "fields": "userEnteredFormat.numberFormat"}}


@pytest.mark.parametrize(("text", "value"), FORMULAS, ids=[text[:60] for text, _ in FORMULAS])
def test_formulas_are_worked_out_as_google_does(counting: Running, text: str, value: Any) -> None:
    counting.store.type(KEY, "Stock", "J1", text)
    seen = counting.store.cell(KEY, "Stock", "J1")
    assert seen == (pytest.approx(value) if isinstance(value, float) else value) and isinstance(
        seen, bool
    ) == isinstance(value, bool)


def test_today_is_the_day_in_the_sheets_time_zone(local_sheet: Running) -> None:
    store = local_sheet.store
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):  # never the same day
        store.create("Book", zone, properties={"timeZone": zone})
        store.type(zone, "Sheet1", "A1", [["=TODAY()", "=NOW()-TODAY()"]])
    east, west = (store.cell(zone, "Sheet1", "A1") for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"))
    assert east - west in (1, 2)
    assert 0 <= store.cell("Pacific/Pago_Pago", "Sheet1", "B1") < 1


def test_cells_that_need_each_other_are_errors_and_long_chains_are_not(local_sheet: Running) -> None:
    store = local_sheet.store
    store.create("Book", KEY, tabs=["Stock"])
    store.type(KEY, "Stock", "A1", [["=B1", "=C1+1", "=A1"]])
    assert [store.cell(KEY, "Stock", c) for c in ("A1", "B1", "C1")] == ["#REF!"] * 3
    store.type(KEY, "Stock", "A1", [["=IF(TRUE,1,A1)", "", ""]])
    assert store.cell(KEY, "Stock", "A1") == 1
    upward = [[f"=D{row + 1}+1"] for row in range(1, 900)]
    store.type(KEY, "Stock", "D1", [*upward, ["1"]])
    assert store.cell(KEY, "Stock", "D1") == 900
    store.type(KEY, "Stock", "D900", "=D1")
    assert store.cell(KEY, "Stock", "D1") == "#REF!"


def test_a_named_range_is_known_in_formulas(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    place = {"sheetId": STOCK, "startRowIndex": 0, "endRowIndex": 2, "startColumnIndex": 0, "endColumnIndex": 1}
    book.batch_update({"requests": [{"addNamedRange": {"namedRange": {"name": "counts", "range": place}}}]})
    local_sheet.store.type(KEY, "Stock", "A1", [["4"], ["5"], ["=SUM(Counts)"]])
    assert local_sheet.store.cell(KEY, "Stock", "A3") == 9


def test_references_to_rows_and_columns_move_along(local_sheet: Running) -> None:
    store = local_sheet.store
    store.create("Book", KEY, tabs=["Stock", "Other"])

    def texts() -> list[str]:
        rows = gspread_for(local_sheet.base_url).open_by_key(KEY).worksheet("Other")
        return [row[0] for row in rows.get("A1:A6", value_render_option="FORMULA")]  # type: ignore[arg-type]

    wanted = ["=SUM(Stock!B:B)", "=SUM(Stock!B2:B)", "=SUM(Stock!$2:3)", "=SUM(Stock!B2:C4)", "=Stock!B4", "=B4"]
    store.type(KEY, "Other", "A1", [[text] for text in wanted])
    store.insert_columns(KEY, "Stock", "A")
    store.insert_rows(KEY, "Stock", 1)
    assert texts() == [
        *["=SUM(Stock!C:C)", "=SUM(Stock!C3:C)", "=SUM(Stock!$3:4)", "=SUM(Stock!C3:D5)", "=Stock!C5", "=B4"]
    ]
    store.delete_rows(KEY, "Stock", 5)
    store.delete_columns(KEY, "Stock", "C")
    assert texts() == [
        *["=SUM(Stock!#REF!)", "=SUM(Stock!#REF!)", "=SUM(Stock!$3:4)", "=SUM(Stock!C3:C4)", "=Stock!#REF!", "=B4"]
    ]
    assert [store.cell(KEY, "Other", cell) for cell in ("A1", "A3", "A5")] == ["#REF!", 0, "#REF!"]


def test_ten_thousand_formulas_do_not_hold_up_an_edit(local_sheet: Running) -> None:
    store = local_sheet.store
    store.create("Book", KEY, tabs=[{"title": "Stock", "gridProperties": {"rowCount": 10_000, "columnCount": 5}}])
    store.type(KEY, "Stock", "A1", [[f"{n}", f"=A{n + 1}*2"] for n in range(10_000)])
    began = time.perf_counter()
    store.type(KEY, "Stock", "A1", "7")
    assert time.perf_counter() - began < 2, "a fifth of that on an idle machine"
    assert store.cell(KEY, "Stock", "B1") == 14


# --- locales


TYPED = [
    ("de_DE", "1,5", 1.5, "1,5"),
    ("de_DE", "1.234,5", 1234.5, "1.234,50"),
    ("de_DE", "1.234", 1234, "1.234"),
    ("de_DE", "12,50 €", 12.5, "12,50 €"),
    ("de_DE", "50,5%", 0.505, "50,50%"),
    ("de_DE", "31.12.2026", 46387, "31.12.2026"),
    ("de_DE", "1.2.", None, "1.2"),
    ("de_DE", "2026-12-31", 46387, "2026-12-31"),
    ("de_DE", "1,5,3", "1,5,3", "1,5,3"),
    ("de_DE", "1.5.3x", "1.5.3x", "1.5.3x"),
    ("de_DE", "=1,5*2", 3, "3"),
    ("de_DE", "=SUM(1,5;2)", 3.5, "3,5"),
    ("de_DE", '="a"&1,5', "a1,5", "a1,5"),
    ("de_DE", "=1.5", "#ERROR!", "#ERROR!"),
    ("fr_FR", "1 234,5", 1234.5, "1\u00a0234,50"),
    ("fr_FR", "31/12/2026", 46387, "31/12/2026"),
    ("en_GB", "31/12/2026", 46387, "31/12/2026"),
    ("en_GB", "£3.50", 3.5, "£3.50"),
    ("en_GB", "1,5", "1,5", "1,5"),
    ("en_US", "31/12/2026", "31/12/2026", "31/12/2026"),
    ("en_US", "1.5.2026", "1.5.2026", "1.5.2026"),
    ("en_US", "1,5", "1,5", "1,5"),
    ("ja_JP", "2026/12/31", 46387, "2026/12/31"),
    ("sv_SE", "1,5", 1.5, "1,5"),
]


@pytest.mark.parametrize(("locale", "text", "value", "shown"), TYPED, ids=[f"{n}-{t}" for n, t, _, _ in TYPED])
def test_typing_and_showing_follow_the_locale(
    local_sheet: Running, locale: str, text: str, value: Any, shown: str
) -> None:
    local_sheet.store.create("Book", KEY, properties={"locale": locale})
    sheet = gspread_for(local_sheet.base_url).open_by_key(KEY).sheet1
    sheet.update(range_name="A1", values=[[text]], raw=False)
    if value is not None:
        assert sheet.acell("A1", value_render_option="UNFORMATTED_VALUE").value == value  # type: ignore[arg-type]
    assert sheet.acell("A1").value == shown


def test_a_locale_is_told_and_can_be_changed(book: gspread.Spreadsheet, local_sheet: Running) -> None:
    book.update_locale("de_DE")
    assert book.locale == "de_DE"
    local_sheet.store.type(KEY, "Stock", "A1", "2,5")
    assert local_sheet.store.cell(KEY, "Stock", "A1") == 2.5
    assert book.worksheet("Stock").get("A1") == [["2,5"]]


# --- what a call may say


def test_the_short_form_is_the_discovery_document() -> None:
    assert json.loads(SHORT.read_text("utf-8")) == short_form(), "run `python -m tests.discovery`"


def test_an_answer_that_google_would_not_give_is_seen_in_every_test(
    local_sheet: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{local_sheet.base_url}/v4/spreadsheets/{KEY}/values/A1"
    local_sheet.store.create("Stock book", KEY)
    monkeypatch.setattr(rendering, "value_range", lambda *_: {"range": 1, "frob": 2})
    assert requests.get(url, timeout=DEADLINE).status_code == 200
    seen = sorted(sheet_server._wrong)
    sheet_server._wrong.clear()
    assert len(seen) == 2 and "1 is not of type 'string'" in seen[0] and "'frob' was unexpected" in seen[1]


UNKNOWN = "Invalid JSON payload received. Unknown name "
WRONG = [
    (
        {"requests": [{"addSheet": {}, "deleteSheet": {"sheetId": 1}}]},
        [
            (
                "requests[0]",
                "Invalid value at 'requests[0]' (oneof), oneof field 'kind' is already set. Cannot set 'deleteSheet'",
            )
        ],
    ),
    ({"requsts": []}, [("", UNKNOWN + '"requsts": Cannot find field.')]),
    (
        {"requests": [{"addSheet": {"properties": {"titel": "x", "sheetId": "y"}}}]},
        [
            (
                "requests[0].add_sheet.properties",
                UNKNOWN + "\"titel\" at 'requests[0].add_sheet.properties': Cannot find field.",
            ),
            (
                "requests[0].add_sheet.properties.sheet_id",
                "Invalid value at 'requests[0].add_sheet.properties.sheet_id' (TYPE_INT32), \"y\"",
            ),
        ],
    ),
    (
        {"requests": [{"enterValues": {}}]},
        [("requests[0]", UNKNOWN + "\"enterValues\" at 'requests[0]': Cannot find field.")],
    ),
    (
        {"requests": [{"updateCells": {"range": [{}], "fields": "*"}}]},
        [
            (
                "requests[0].update_cells",
                UNKNOWN + "\"range\" at 'requests[0].update_cells': Proto field is not repeating, cannot start list.",
            )
        ],
    ),
    (
        {"requests": [{"copyPaste": {"pasteType": "PASTE_ALL"}}]},
        [
            (
                "requests[0].copy_paste.paste_type",
                "Invalid value at 'requests[0].copy_paste.paste_type' "
                '(type.googleapis.com/google.apps.sheets.v4.PasteType), "PASTE_ALL"',
            )
        ],
    ),
]


@pytest.mark.parametrize(("body", "wrong"), WRONG)
def test_a_body_with_what_the_document_does_not_name_is_refused_in_googles_words(
    book: gspread.Spreadsheet, local_sheet: Running, body: Any, wrong: list[tuple[str, str]]
) -> None:
    before = local_sheet.store.book(KEY)
    answer = requests.post(f"{local_sheet.base_url}/v4/spreadsheets/{KEY}:batchUpdate", json=body, timeout=DEADLINE)
    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (400, "INVALID_ARGUMENT")
    assert error["message"] == "\n".join(words for _, words in wrong)
    violations = error["details"][0]["fieldViolations"]
    assert [(v.get("field", ""), v["description"]) for v in violations] == wrong
    assert local_sheet.store.book(KEY) is before


def test_json_is_read_as_google_reads_it(local_sheet: Running, faults: Faults) -> None:
    """Names in snake_case, whole numbers as text or with a fraction of zero, and nulls, which are not there."""
    local_sheet.store.create("Stock book", KEY, tabs=[{"title": "Stock", "sheetId": STOCK}])
    start = {"sheet_id": str(STOCK), "rowIndex": 1.0, "columnIndex": None}
    cell = {"user_entered_value": {"number_value": 7, "stringValue": None}, "note": "n"}
    body = {
        "requests": [{"update_cells": {"start": start, "rows": [{"values": [cell]}], "fields": "*"}, "addChart": None}]
    }
    url = f"{local_sheet.base_url}/v4/spreadsheets/{KEY}"
    assert requests.post(f"{url}:batchUpdate", json=body, timeout=DEADLINE).status_code == 200
    assert local_sheet.store.rows(KEY, "Stock") == [[], [7]]
    assert {problem.split(": ")[1] for problem in faults.problems} >= {"$.requests[0]"}, "our own tests spell strictly"
    faults.problems.clear()


def test_query_parameters_and_bodies_of_every_method_are_checked(local_sheet: Running) -> None:
    local_sheet.store.create("Stock book", KEY, tabs=[{"title": "Stock", "sheetId": STOCK}])
    url = f"{local_sheet.base_url}/v4/spreadsheets"
    bad = {"frob": 1}
    for path in (f"{url}/{KEY}", f"{url}/{KEY}/values/A1", f"{url}/{KEY}/values:batchGet"):
        error = requests.get(path, params=bad, timeout=DEADLINE).json()["error"]
        assert error["message"] == UNKNOWN + (
            "\"frob\": Cannot bind query parameter. Field 'frob' could not be found in request message."
        )
    calls = {
        "post": (
            *("", f"/{KEY}:batchUpdate", f"/{KEY}:getByDataFilter", f"/{KEY}/values:batchUpdate"),
            *(f"/{KEY}/values:batchClear", f"/{KEY}/values:batchGetByDataFilter", f"/{KEY}/values/A1:append"),
            *(f"/{KEY}/values/A1:clear", f"/{KEY}/developerMetadata:search", f"/{KEY}/sheets/{STOCK}:copyTo"),
        ),
        "put": (f"/{KEY}/values/A1",),
    }
    for verb, paths in calls.items():
        for path in paths:
            answer = requests.request(verb, url + path, json=bad, timeout=DEADLINE)
            assert answer.status_code == 400, path
            assert answer.json()["error"]["message"].startswith(UNKNOWN + '"frob"'), path
    assert len(local_sheet.store.books()) == 1


def test_a_large_batch_is_checked_in_no_time() -> None:
    cell = {"userEnteredValue": {"numberValue": 5}}
    update = {"updateCells": {"rows": [{"values": [cell] * 3}] * 4000, "fields": "userEnteredValue"}}
    body = {"requests": [update]}
    assert wire.check_body("spreadsheets.batchUpdate", body) is body
    began = time.perf_counter()
    wire.check_body("spreadsheets.batchUpdate", body)
    assert time.perf_counter() - began < 0.5, "a twentieth of that on an idle machine"


# --- what is remembered of large ranges

CELLS = st.sampled_from(["", "x", 1, True, 1.5, 0, False, "1", "=A1", "=1", 46000])
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 9), st.integers(0, 2), st.lists(CELLS, min_size=1, max_size=3)),
        st.tuples(st.just("insert"), st.integers(1, 9)),
        st.tuples(st.just("delete"), st.integers(1, 9)),
        st.tuples(st.just("format"), st.integers(0, 9), st.sampled_from(["0.00", "yyyy-mm-dd"])),
    ),
    max_size=8,
)
FORMS = [
    rendering.Manner(render, major, dates, locales.ENGLISH)
    for render in ("UNFORMATTED_VALUE", "FORMATTED_VALUE", "FORMULA")
    for major in ("ROWS", "COLUMNS")
    for dates in ("SERIAL_NUMBER", "FORMATTED_STRING")
]


@settings(max_examples=150, deadline=None)
@given(ACTS)
def test_what_is_remembered_reads_as_if_it_were_not(acts: list[tuple[Any, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "BLOCK", 3)
        store = Store()
        store.create("Book", KEY, tabs=[{"title": "Stock", "sheetId": STOCK, "gridProperties": GRID}])
        for act in acts:
            store.apply(KEY, [request_of(*act)])
            tab = store.book(KEY).tabs[0]
            for box in (tab.box, Box(1, 8, 1, 3)):
                for manner in FORMS:
                    kept, fresh = rendering._kept(tab, box, manner), rendering._values(tab, box, manner)
                    assert (b"" if kept is None else orjson.dumps(kept)) == (orjson.dumps(fresh) if fresh else b"")


GRID = {"rowCount": 12, "columnCount": 4}


def request_of(kind: str, row: int, *rest: Any) -> dict[str, Any]:
    where = {"sheetId": STOCK, "startRowIndex": row, "endRowIndex": row + 1}
    if kind == "write":
        typed = {"sheetId": STOCK, "rowIndex": row, "columnIndex": rest[0], "rows": [rest[1]]}
        return {"enterValues": {**typed, "typed": True}}
    if kind == "format":
        shape = {"type": "DATE" if "y" in rest[0] else "NUMBER", "pattern": rest[0]}
        cell = {"userEnteredFormat": {"numberFormat": shape}}
        return {"repeatCell": {"range": where, "cell": cell, "fields": "userEnteredFormat.numberFormat"}}
    if kind == "insert":
        return {
            "insertDimension": {
                "range": {"sheetId": STOCK, "dimension": "ROWS", "startIndex": row, "endIndex": row + 1}
            }
        }
    return {"updateCells": {"range": where, "fields": "userEnteredValue"}}


def test_a_truth_is_not_taken_for_the_number_that_equals_it() -> None:
    store = Store()
    store.create("Book", KEY, tabs=[{"title": "Stock", "sheetId": STOCK, "gridProperties": GRID}])
    seen = []
    for value in (1, True, 1.5):
        store.apply(KEY, [request_of("write", 0, 0, [value])])
        tab = store.book(KEY).tabs[0]
        seen.append(orjson.dumps(rendering._kept(tab, tab.box, FORMS[0])))
    assert seen == [b"[[1]]", b"[[true]]", b"[[1.5]]"]


# --- filters

CONDITIONS: list[tuple[str, list[str], list[int]]] = [
    ("NUMBER_GREATER", ["5"], [1, 3]),
    ("NUMBER_GREATER_THAN_EQ", ["10"], [1, 3]),
    ("NUMBER_LESS", ["10"], [2]),
    ("NUMBER_LESS_THAN_EQ", ["2"], [2]),
    ("NUMBER_EQ", ["10"], [1]),
    ("NUMBER_NOT_EQ", ["10"], [2, 3]),
    ("NUMBER_BETWEEN", ["2", "10"], [1, 2]),
    ("NUMBER_NOT_BETWEEN", ["2", "10"], [3]),
    ("TEXT_CONTAINS", ["U"], [4]),
    ("TEXT_NOT_CONTAINS", ["u"], [1, 2, 3, 5]),
    ("TEXT_STARTS_WITH", ["m"], [4]),
    ("TEXT_ENDS_WITH", ["g"], [4]),
    ("TEXT_EQ", ["MUG"], [4]),
    ("TEXT_NOT_EQ", ["mug"], [1, 2, 3, 5]),
    ("DATE_AFTER", ["1/1/2026"], [3]),
    ("DATE_BEFORE", ["1/1/2026"], [1, 2]),
    ("BLANK", [], [5]),
    ("NOT_BLANK", [], [1, 2, 3, 4]),
    ("ONE_OF_LIST", ["2", "mug"], [2, 4]),
    ("CUSTOM_FORMULA", ["=FALSE"], [1, 2, 3, 4, 5]),  # not known here: hides nothing
]


@pytest.mark.parametrize(("kind", "wanted", "shown"), CONDITIONS, ids=[kind for kind, _, _ in CONDITIONS])
def test_a_filter_hides_what_fails_its_condition(
    book: gspread.Spreadsheet, local_sheet: Running, kind: str, wanted: list[str], shown: list[int]
) -> None:
    local_sheet.store.type(KEY, "Stock", "A1", [["head"], ["10"], ["2"], ["12/31/2026"], ["mug"]])
    condition = {"type": kind, "values": [{"userEnteredValue": text} for text in wanted]}
    place = {"sheetId": STOCK, "startRowIndex": 0, "endRowIndex": 6, "startColumnIndex": 0, "endColumnIndex": 1}
    specs = [{"columnIndex": 0, "filterCriteria": {"condition": condition}}]
    book.batch_update({"requests": [{"setBasicFilter": {"filter": {"range": place, "filterSpecs": specs}}}]})
    fields = "sheets(data(rowMetadata(hiddenByFilter)))"
    data = book.fetch_sheet_metadata({"ranges": "Stock!A1:A6", "fields": fields})["sheets"][0]["data"][0]
    assert [i for i, row in enumerate(data["rowMetadata"]) if not row.get("hiddenByFilter")] == [0, *shown]
