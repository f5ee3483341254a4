"""The sheet through real gspread, against the local sheet server; and what a misbehaving server does to us."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import gspread
import pytest
import requests
import stamina

from sheets_sync import edits
from sheets_sync.errors import (
    BadInput,
    CredentialsRefused,
    OutcomeUnknown,
    RateLimited,
    SheetNotReady,
    Unavailable,
)
from sheets_sync.model import Reason
from sheets_sync.sandbox.sheet.server import DROPPED, Answer, Call, Proceed, Running, serve
from sheets_sync.sheet import SheetAccess, Workbook, authorize, connect, create, doctor, setup, tabs
from sheets_sync.sheet.client import Limiter
from tests.contract_sheet import CHANNELS, TABS, SheetContract, chain, init, new_id, plan, type_in

BOOK = "book"
Script = Callable[[Call, Proceed], Any]


class Gate:
    """Stands between client and server: remembers every call and lets a test's script answer instead."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.script: Script | None = None

    def __call__(self, call: Call, proceed: Proceed) -> Any:
        self.calls.append(call)
        return self.script(call, proceed) if self.script else proceed()

    def writes(self) -> int:
        return sum(call.method != "GET" for call in self.calls)

    def first(self, *answers: Any) -> None:
        """Give these answers first, one a call; then all is well again."""
        waiting = list(answers)
        self.script = lambda call, proceed: waiting.pop(0) if waiting else proceed()

    def watch(self) -> Gate:
        self.calls.clear()
        return self


def google(status: int, message: str, **headers: str) -> Answer:
    body = {"error": {"code": status, "message": message, "status": "X"}}
    return Answer(status, {"Content-Type": "application/json; charset=UTF-8", **headers}, json.dumps(body).encode())


def html(status: int, text: str) -> Answer:
    return Answer(status, {"Content-Type": "text/html"}, f"<html><style>p{{}}</style><p>{text}</p></html>".encode())


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Running, Gate]]:
    gate = Gate()
    with serve(middleware=gate) as running:
        yield running, gate


@pytest.fixture
def gate(server: tuple[Running, Gate]) -> Iterator[Gate]:
    server[1].calls.clear()
    yield server[1]
    server[1].script = None


@pytest.fixture
def local(server: tuple[Running, Gate], gate: Gate) -> Iterator[Running]:
    running, _ = server
    running.store.create("Stock of a shop", spreadsheet_id=BOOK)
    yield running
    running.store.delete(BOOK)


@pytest.fixture
def access(local: Running) -> SheetAccess:
    return SheetAccess(local.base_url, BOOK)


@pytest.fixture
def workbook(access: SheetAccess) -> Workbook:
    workbook = connect(access)
    init(workbook)
    return workbook


class TestLocalSheet(SheetContract):
    @pytest.fixture
    def access(self, local: Running) -> SheetAccess:
        return SheetAccess(local.base_url, BOOK)


GOOGLE = ("SHEETS_SYNC_TEST_SPREADSHEET", "SHEETS_SYNC_TEST_CREDENTIALS")


@pytest.mark.skipif(
    not all(map(os.environ.get, GOOGLE)), reason=f"no spreadsheet at Google: {' and '.join(GOOGLE)} not set"
)
class TestGoogle(SheetContract):
    """On a spreadsheet of your own, which is written to: its id, and the key file of a service account."""

    @pytest.fixture
    def access(self) -> SheetAccess:
        return SheetAccess(None, os.environ[GOOGLE[0]], Path(os.environ[GOOGLE[1]]))


# tabs -----------------------------------------------------------------------------------------------------------


def test_stock_has_a_column_a_channel_behind_what_stays_in_sight() -> None:
    headers = [c.header for c in tabs.stock_columns(CHANNELS)]
    assert headers == [
        *("SKU", "Title", "tag SKU", "tag figure", "tag exchange", "On hand", "Reason", "Note"),
        *("Committed", "Available", "Status", "Web shop", "Market"),
        *("Damaged", "Low-stock level", "Paused", "Updated"),
    ]
    assert [c.header for c in tabs.stock_columns(CHANNELS) if c.hidden] == ["tag SKU", "tag figure", "tag exchange"]


NARROW = 1280 - 52 - 14  # pixels of a small screen, less the row numbers and the scroll bar


@pytest.mark.parametrize(
    ("title", "in_sight"),
    [
        (tabs.STOCK, tabs.STATUS), (tabs.REVIEW, tabs.DECISION), (tabs.ADJUSTMENTS, tabs.STATUS),
        (tabs.LEDGER, tabs.COMMITTED), (tabs.LISTINGS_TAB, tabs.OFFERS), (tabs.SEED_DAY, tabs.ODD),
        (tabs.CHANNELS, tabs.OUT_OF_STEP), (tabs.STOCK_TAKE, "Difference"), (tabs.WHY, tabs.COMMITTED_CHANGE),
    ],
)  # fmt: skip
def test_what_a_seller_needs_first_is_in_sight_on_a_narrow_screen(title: str, in_sight: str) -> None:
    columns = next(tab for tab in tabs.wanted(["Shopify", "WooCommerce", "Amazon"]) if tab.title == title).columns
    upto = [c.header for c in columns].index(in_sight) + 1
    assert sum(c.width for c in columns[:upto] if not c.hidden) <= NARROW


def test_no_header_is_cut_off() -> None:
    """Nearly eight pixels a letter, and room for the lock."""
    wide = tabs.wanted(["Shopify", "WooCommerce", "A shop with a title"], ["Main", "Shed behind the house"])
    for tab in wide:
        for column in (*tab.columns, *tab.head):
            lock = 16 if column.writer is tabs.Writer.SERVICE else 0
            assert column.hidden or column.width >= 10 + lock + 7.6 * len(column.header), (tab.title, column.header)


@pytest.mark.parametrize("titles", [["Status"], ["Web", "Web"], [" "], ["On hand"]])
def test_a_channel_title_that_cannot_head_a_column_is_refused(titles: list[str]) -> None:
    with pytest.raises(BadInput, match="title"):
        tabs.stock_columns(titles)


def test_every_header_is_used_once_and_the_reasons_are_the_ledgers() -> None:
    for tab in TABS:
        headers, keys = [c.header for c in tab.columns], [c.key for c in tab.columns]
        assert len(set(headers)) == len(headers) and len(set(keys)) == len(keys)
    assert next(c for c in TABS[0].columns if c.header == tabs.REASON).choices == tuple(Reason)


@pytest.mark.parametrize(
    "name", ["SKU", "TITLE", "ON_HAND", "REASON", "NOTE", "STATUS", "TAG_SKU", "TAG_FIGURE", "TAG_EXCHANGE"]
)
def test_the_headers_that_edits_names_are_the_ones_of_the_tab(name: str) -> None:
    if hasattr(edits, name):
        assert getattr(edits, name) == getattr(tabs, name)


# init -----------------------------------------------------------------------------------------------------------


def test_init_formats_protects_and_offers_choices(workbook: Workbook) -> None:
    survey = workbook.survey(TABS)
    stock = survey.found[tabs.STOCK]
    at = {header: i for i, header in enumerate(stock.header)}
    assert survey.plain == {tab.title: True for tab in TABS if tabs.SKU in {c.header for c in tab.columns}}
    assert stock.frozen_rows == 1
    assert [h for h in stock.header if stock.hidden(at[h])] == ["tag SKU", "tag figure", "tag exchange"]
    reasons = stock.cell(1, at[tabs.REASON])["dataValidation"]
    assert [v["userEnteredValue"] for v in reasons["condition"]["values"]] == list(Reason)
    assert not reasons.get("strict")
    assert all(p["warningOnly"] for found in survey.found.values() for p in found.protections)
    protected = {p["range"]["startColumnIndex"] for p in stock.protections}
    assert protected == {at[c.header] for c in TABS[0].columns if c.writer is tabs.Writer.SERVICE}
    assert len(stock.rules) == 4
    ticks = survey.found[tabs.CHANNELS]
    start = ticks.header.index(tabs.START)
    assert [ticks.cell(row, start)["dataValidation"]["condition"]["type"] for row in (1, 2)] == ["BOOLEAN"] * 2


def test_every_request_of_init_is_in_googles_schema() -> None:
    document = pytest.importorskip("googleapiclient").__path__[0]
    schemas = json.loads(Path(document, "discovery_cache/documents/sheets.v4.json").read_text())["schemas"]

    def check(name: str, value: Any, path: str) -> None:
        known = schemas[name].get("properties", {})
        for key, inner in value.items():
            assert key in known, f"{path}.{key} is not in {name}"
            spec = known[key]
            items = inner if isinstance(inner, list) else [inner]
            ref = spec.get("$ref") or spec.get("items", {}).get("$ref")
            for item in items if ref else ():
                check(ref, item, f"{path}.{key}")
            if "enum" in spec:
                assert inner in spec["enum"], f"{path}.{key}: {inner}"

    layout = connect_layout_of_an_empty_workbook()
    made = setup.plan(setup.Survey(layout), TABS, setup.fresh_ids(layout))
    for request in [*setup.first_exchange(new_id(), "led-1", BOOK, made.stock_tab_id), *made.requests]:
        check("Request", request, "request")


def connect_layout_of_an_empty_workbook() -> Any:
    from sheets_sync.model import Layout

    return Layout(BOOK, "x", "Etc/GMT", {}, {})


def send_as_person(local: Running, *requests: dict[str, Any]) -> None:
    local.store.apply(BOOK, list(requests), "person")


def test_init_repairs_what_was_deleted_and_then_finds_nothing(local: Running, workbook: Workbook) -> None:
    layout = workbook.layout()
    stock, ledger = layout.tabs[tabs.STOCK].id, layout.tabs[tabs.LEDGER].id
    whole = {"sheetId": stock, "startColumnIndex": 0, "endColumnIndex": 16}
    tags = {"sheetId": stock, "dimension": "COLUMNS", "startIndex": 2, "endIndex": 5}
    protection = workbook.survey(TABS).found[tabs.STOCK].protections[0]["protectedRangeId"]
    send_as_person(
        local,
        {"deleteSheet": {"sheetId": ledger}},
        {"repeatCell": {"range": whole, "cell": {}, "fields": "userEnteredFormat,dataValidation"}},
        {"updateDimensionProperties": {"range": tags, "properties": {"hiddenByUser": False}, "fields": "hiddenByUser"}},
        {"deleteProtectedRange": {"protectedRangeId": protection}},
        {"deleteConditionalFormatRule": {"sheetId": stock, "index": 0}},
        {
            "updateSheetProperties": {
                "properties": {"sheetId": stock, "gridProperties": {"frozenRowCount": 0}},
                "fields": "gridProperties.frozenRowCount",
            }
        },
    )
    made = init(workbook)
    assert "made the tab Ledger" in made.says
    assert "Stock: made 'SKU' plain text again" in made.says
    assert "Stock: froze the header" in made.says
    assert "Stock: hid 'tag SKU'" in made.says
    assert "Stock: gave 'Reason' its choices again" in made.says
    assert plan(workbook).requests == ()
    test_init_formats_protects_and_offers_choices(workbook)


@pytest.mark.parametrize(
    ("row", "cell"), [(701, {"userEnteredFormat": {"numberFormat": {"type": "NUMBER"}}}), (1000, {})]
)
def test_one_sku_cell_that_lost_plain_text_is_seen(local: Running, workbook: Workbook, row: int, cell: Any) -> None:
    stock = workbook.layout().tabs[tabs.STOCK].id
    where = {"sheetId": stock, "startRowIndex": row - 1, "endRowIndex": row, "startColumnIndex": 0, "endColumnIndex": 1}
    send_as_person(local, {"repeatCell": {"range": where, "cell": cell, "fields": "userEnteredFormat.numberFormat"}})
    assert plan(workbook).says == ("Stock: made 'SKU' plain text again",)
    init(workbook)
    local.store.type(BOOK, tabs.STOCK, f"A{row}", "00777")
    assert local.store.cell(BOOK, tabs.STOCK, f"A{row}") == "00777"


def test_a_header_that_is_gone_gets_a_new_column_and_no_cell_of_a_person_changes(
    local: Running, workbook: Workbook
) -> None:
    local.store.insert_columns(BOOK, tabs.STOCK, "B")
    local.store.type(BOOK, tabs.STOCK, "B1", [["Shelf"], ["A-3"], ["A-4"]])
    local.store.move_columns(BOOK, tabs.STOCK, "G", "A")
    local.store.insert_columns(BOOK, tabs.STOCK, "S")
    local.store.type(BOOK, tabs.STOCK, "S5", "my own remark, under no header")
    status = gspread.utils.rowcol_to_a1(1, workbook.look().header.index(tabs.STATUS) + 1)
    local.store.type(BOOK, tabs.STOCK, status, "Zustand")
    before = local.store.rows(BOOK, tabs.STOCK)

    made = init(workbook)

    assert made.says[0] == "Stock: added 'Status'"
    assert all("colour" in words for words in made.says[1:])  # Status had two; Google moves a formula's letters itself
    after = local.store.rows(BOOK, tabs.STOCK)
    width = len(before[0])
    new = after[0].index(tabs.STATUS)
    assert new == len([h for h in before[0] if h])
    left_out = [[cell for i, cell in enumerate(row) if i != new] for row in after]
    assert [row[: width - 1] for row in left_out] == [row[: width - 1] for row in before]
    assert "my own remark, under no header" in left_out[4]
    assert plan(workbook).requests == ()


def test_a_new_channel_gets_its_column_behind_the_others(workbook: Workbook) -> None:
    more = tabs.wanted([*CHANNELS, "Fair"])
    made = init(workbook, more)
    assert made.says == (
        "Stock: added 'Fair'",
        "Seed day: added 'Fair'",
        "Seed day: gave the colours back",
        "Channels: gave 'Primary' its choices again",
        "Channels: gave 'Start' its choices again",
    )
    assert workbook.look().header[-1] == "Fair"
    assert plan(workbook, more).requests == ()


def test_a_tab_that_a_person_made_keeps_its_rows(local: Running, access: SheetAccess) -> None:
    local.store.apply(BOOK, [{"addSheet": {"properties": {"sheetId": 7, "title": "Stock"}}}], "person")
    local.store.type(BOOK, "Stock", "A1", [["SKU", "Colour"], ["a", "red"], ["b", "blue"]])
    workbook = connect(access)
    init(workbook)
    rows = local.store.rows(BOOK, "Stock")
    assert [row[:2] for row in rows[:3]] == [["SKU", "Colour"], ["a", "red"], ["b", "blue"]]
    assert rows[0][2:18] == [c.header for c in TABS[0].columns if c.header != "SKU"]
    assert plan(workbook).requests == ()


def test_widths_and_colours_that_a_person_chose_stay(local: Running, workbook: Workbook) -> None:
    stock = workbook.layout().tabs[tabs.STOCK].id
    wide = {"sheetId": stock, "dimension": "COLUMNS", "startIndex": 1, "endIndex": 2}
    send_as_person(
        local, {"updateDimensionProperties": {"range": wide, "properties": {"pixelSize": 444}, "fields": "pixelSize"}}
    )
    assert plan(workbook).requests == ()


def test_init_refuses_a_header_that_stands_twice(local: Running, workbook: Workbook) -> None:
    local.store.type(BOOK, tabs.STOCK, "B1", "SKU")
    with pytest.raises(SheetNotReady, match="'SKU'"):
        plan(workbook)


def test_a_tab_made_anew_has_another_id(local: Running, workbook: Workbook) -> None:
    old = workbook.layout().tabs[tabs.STOCK].id
    send_as_person(local, {"deleteSheet": {"sheetId": old}})
    assert init(workbook).stock_tab_id != old


def test_create_makes_a_spreadsheet_that_init_can_fill(local: Running, access: SheetAccess) -> None:
    made = create(access, "Lager Süd")
    workbook = connect(SheetAccess(access.base_url, made))
    init(workbook)
    assert workbook.layout().title == "Lager Süd"


# look -----------------------------------------------------------------------------------------------------------

NEEDED = (tabs.SKU, tabs.TAG_SKU, tabs.TAG_FIGURE, tabs.TAG_EXCHANGE, tabs.ON_HAND, tabs.REASON)


def test_a_look_is_one_call_once_the_header_is_known(gate: Gate, workbook: Workbook) -> None:
    workbook.look(NEEDED)
    gate.watch()
    workbook.look(NEEDED)
    assert len(gate.calls) == 1
    assert (
        gate.calls[0].query.count("ranges=") == 8
    )  # header, mark, the four tabs people fill in, SKU, and the tag to Reason as one run


def test_columns_that_moved_are_found_again(gate: Gate, local: Running, workbook: Workbook) -> None:
    type_in(workbook, tabs.STOCK, "A2", [["A-1", "Mug", "", "", "", "4"], ["A-2", "Cup", "", "", "", "5"]])
    workbook.look(NEEDED)
    local.store.insert_columns(BOOK, tabs.STOCK, "B", 2)
    local.store.move_columns(BOOK, tabs.STOCK, "H", "A")
    look = workbook.look(NEEDED)
    assert look.columns[tabs.SKU] == ["A-1", "A-2"] and look.columns[tabs.ON_HAND] == [4, 5]
    assert look.problems == ()


def test_a_look_whose_columns_are_newer_than_its_header_is_taken_again(
    gate: Gate, local: Running, workbook: Workbook
) -> None:
    type_in(workbook, tabs.STOCK, "A2", [["A-1", "Mug", "", "", "", "4"], ["A-2", "Cup", "", "", "", "5"]])
    workbook.look(NEEDED)

    def torn(call: Call, proceed: Proceed) -> Any:
        gate.script = None
        older = json.loads(proceed().body)
        local.store.move_columns(BOOK, tabs.STOCK, "F", "A")
        newer = json.loads(proceed().body)
        mixed = older | {"valueRanges": older["valueRanges"][:1] + newer["valueRanges"][1:]}
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(mixed).encode())

    gate.script = torn
    look = workbook.look(NEEDED)
    assert look.columns[tabs.SKU] == ["A-1", "A-2"] and look.columns[tabs.ON_HAND] == [4, 5]
    assert look.problems == ()


def test_columns_that_move_all_the_time_hold_the_tab(gate: Gate, local: Running, workbook: Workbook) -> None:
    def move(call: Call, proceed: Proceed) -> Any:
        local.store.insert_columns(BOOK, tabs.STOCK, "A")
        return proceed()

    workbook.look(NEEDED)
    gate.script = move
    assert any("moved" in problem for problem in workbook.look(NEEDED).problems)


def test_deleted_columns_are_told_not_guessed(local: Running, workbook: Workbook) -> None:
    workbook.look()
    local.store.delete_columns(BOOK, tabs.STOCK, "F", 11)
    look = workbook.look([*NEEDED, tabs.UPDATED])  # whose letter lies outside the tab now
    assert any("'On hand'" in problem for problem in look.problems)
    assert tabs.ON_HAND not in look.columns


def test_a_header_that_stands_twice_holds_the_tab(local: Running, workbook: Workbook) -> None:
    local.store.type(BOOK, tabs.STOCK, "H1", "SKU")
    assert any("'SKU'" in problem and "2 columns" in problem for problem in workbook.look(NEEDED).problems)


def test_all_columns_have_the_same_length(workbook: Workbook) -> None:
    type_in(workbook, tabs.STOCK, "A2", [["A-1"], ["A-2"], ["A-3"]])
    type_in(workbook, tabs.STOCK, "G5", [["damage"]])
    look = workbook.look(NEEDED)
    assert look.rows == 4 and {len(cells) for cells in look.columns.values()} == {4}
    assert look.columns[tabs.REASON] == [None, None, None, "damage"]


def test_channels_come_with_their_rows(workbook: Workbook) -> None:
    type_in(
        workbook,
        tabs.CHANNELS,
        "A2",
        [["Web shop", "woocommerce", "TRUE"], [""], ["Market", "shopify", "FALSE", "TRUE"]],
    )
    first, second = workbook.look().channels
    assert (first["Channel"], first["Primary"], first["Start"], first["_row"]) == ("Web shop", True, None, 2)
    assert (second["Channel"], second["Primary"], second["Start"], second["_row"]) == ("Market", False, True, 4)


def test_formulas_are_read_where_they_are_asked_for(local: Running, workbook: Workbook) -> None:
    local.store.type(BOOK, tabs.STOCK, "F2", "=12+5")
    assert workbook.values(["Stock!F2"]) == [[[17]]]
    assert workbook.values(["Stock!F2"], formulas=True) == [[["=12+5"]]]


def test_a_workbook_that_was_never_initialised_says_so(access: SheetAccess) -> None:
    with pytest.raises(SheetNotReady, match="sheets-sync init"):
        connect(access).look()


# sending, and what a bad day does -------------------------------------------------------------------------------


def batch(workbook: Workbook) -> list[dict[str, Any]]:
    layout = workbook.layout()
    return chain(layout.named_ranges[setup.CHAIN_NAME], new_id(), layout.tabs[tabs.EXCHANGE].id)


LOST = [
    pytest.param(DROPPED, id="connection cut"),
    pytest.param(google(503, "The service is currently unavailable."), id="503"),
    pytest.param(google(500, "Internal error encountered."), id="500"),
    pytest.param(html(502, "Bad Gateway"), id="an HTML 502"),
    pytest.param(Answer(302, {"Location": "/spreadsheets", "Content-Type": "text/html"}, b""), id="a redirect"),
    pytest.param(html(200, "Please log in to the airport's network"), id="an HTML 200"),
    pytest.param(Answer(200, {"Content-Type": "application/json"}, b'{"replies": [{'), id="half an answer"),
]


@pytest.mark.parametrize("answer", LOST)
def test_a_lost_answer_is_unknown_and_nothing_is_sent_again(gate: Gate, workbook: Workbook, answer: Any) -> None:
    sent = batch(workbook)

    def lose(call: Call, proceed: Proceed) -> Any:
        proceed()
        return answer

    gate.watch().script = lose
    with pytest.raises(OutcomeUnknown):
        workbook.send(sent)
    assert gate.writes() == 1
    gate.script = None
    assert workbook.named_range_ids()[setup.CHAIN_NAME] == sent[2]["addNamedRange"]["namedRange"]["namedRangeId"]


def test_a_time_out_of_a_write_is_unknown(gate: Gate, local: Running, workbook: Workbook) -> None:
    sent, over = batch(workbook), threading.Event()

    def sleep(call: Call, proceed: Proceed) -> Any:
        over.wait(10)
        return proceed()

    workbook._http.set_timeout((3.05, 0.2))
    gate.watch().script = sleep
    try:
        with pytest.raises(OutcomeUnknown):
            workbook.send(sent)
        assert gate.writes() == 1
    finally:
        over.set()


def test_a_write_is_sent_again_after_429_only(gate: Gate, workbook: Workbook) -> None:
    sent = batch(workbook)
    gate.watch().first(google(429, "Quota exceeded"), google(429, "Quota exceeded", **{"Retry-After": "1"}))
    workbook.send(sent)
    assert gate.writes() == 3


def test_a_quota_that_stays_used_up_ends_in_words(gate: Gate, workbook: Workbook) -> None:
    sent = batch(workbook)
    gate.watch().script = lambda call, proceed: google(429, "Quota exceeded", **{"Retry-After": "30"})
    with pytest.raises(RateLimited, match="quota") as caught:
        workbook.send(sent)
    assert caught.value.retry_after == 30 and gate.writes() == 6


@pytest.mark.parametrize("answer", LOST[:6])
def test_reads_are_made_again(gate: Gate, workbook: Workbook, answer: Any) -> None:
    gate.first(answer, answer)
    assert workbook.look().header


def test_a_read_that_never_comes_is_given_up(gate: Gate, workbook: Workbook) -> None:
    gate.watch().script = lambda call, proceed: html(502, "Bad Gateway")
    with pytest.raises(Unavailable, match="Bad Gateway"):
        workbook.layout()
    assert len(gate.calls) == 6


def test_nobody_listening_is_no_lost_write() -> None:
    with serve() as running:
        base_url = running.base_url
    with pytest.raises(Unavailable, match="no connection"):
        connect(SheetAccess(base_url, BOOK)).send([])


def test_a_wrong_request_keeps_googles_words(workbook: Workbook) -> None:
    with pytest.raises(BadInput, match=r"requests\[4\]"):
        workbook.send([*batch(workbook), {"deleteSheet": {"sheetId": 12345}}])


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_let_in_is_told_what_to_do(
    gate: Gate, local: Running, workbook: Workbook, tmp_path: Path, status: int
) -> None:
    sent = batch(workbook)
    robot = connect(SheetAccess(local.base_url, BOOK, service_account(tmp_path, f"{local.base_url}/token")))
    refused = google(status, "The caller does not have permission")
    gate.script = lambda call, proceed: proceed() if call.path == "/token" else refused
    with pytest.raises(CredentialsRefused, match="share the spreadsheet with robot@example"):
        robot.layout()
    with pytest.raises(CredentialsRefused, match="does not have permission"):
        robot.send(sent)


def test_a_spreadsheet_that_is_not_there(access: SheetAccess) -> None:
    with pytest.raises(SheetNotReady, match="id"):
        connect(SheetAccess(access.base_url, "nowhere")).layout()


def test_an_error_without_googles_form_is_survived(gate: Gate, workbook: Workbook) -> None:
    body = json.dumps({"error": "invalid_grant", "error_description": "Bad Request"}).encode()
    gate.script = lambda call, proceed: Answer(400, {"Content-Type": "application/json"}, body)
    with pytest.raises(BadInput, match="invalid_grant"):
        workbook.layout()
    gate.script = lambda call, proceed: Answer(403, {"Content-Type": "application/json"}, b"[]")
    with pytest.raises(CredentialsRefused):
        workbook.layout()


def test_drives_rate_limit_says_403_and_is_one(gate: Gate, workbook: Workbook) -> None:
    error = {"error": {"code": 403, "message": "Rate Limit", "errors": [{"reason": "userRateLimitExceeded"}]}}
    gate.first(Answer(403, {"Content-Type": "application/json"}, json.dumps(error).encode()))
    assert workbook.layout().tabs


# image ----------------------------------------------------------------------------------------------------------


def test_a_stale_image_is_read_again(gate: Gate, access: SheetAccess, workbook: Workbook) -> None:
    waited: list[float] = []
    patient = Workbook(workbook._http, BOOK, sleep=waited.append)
    sent = batch(workbook)
    new = sent[2]["addNamedRange"]["namedRange"]["namedRangeId"]
    old = patient._http.request(
        "get", f"https://sheets.googleapis.com/v4/spreadsheets/{BOOK}/values:batchGet?ranges=_exchange"
    )
    image = workbook.layout().tabs[tabs.EXCHANGE].id
    last = {"start": {"sheetId": image, "rowIndex": 2, "columnIndex": 0}, "fields": "userEnteredValue"}
    last["rows"] = [{"values": [{"userEnteredValue": {"stringValue": new}}]}]
    workbook.send([*sent, {"updateCells": last}])
    gate.first(*[Answer(200, {"Content-Type": "application/json"}, old.content)] * 2)
    rows = patient.read_image(new)
    assert rows is not None and rows[0][0] == rows[-1][0] == new
    assert len(waited) == 2
    assert patient.read_image("1111111111", tries=3) is None


def test_an_image_without_its_last_row_is_not_whole(workbook: Workbook) -> None:
    sent = batch(workbook)
    workbook.send(sent)
    new = sent[2]["addNamedRange"]["namedRange"]["namedRangeId"]
    patient = Workbook(workbook._http, BOOK, sleep=lambda _: None)
    assert patient.image()[0][0] == new
    assert patient.read_image(new, tries=2) is None
    image = workbook.layout().tabs[tabs.EXCHANGE].id
    other = {"start": {"sheetId": image, "rowIndex": 2, "columnIndex": 0}, "fields": "userEnteredValue"}
    other["rows"] = [{"values": [{"userEnteredValue": {"stringValue": "1111111111"}}]}]
    workbook.send([{"updateCells": other}])
    assert patient.read_image(new, tries=2) is None


# credentials ----------------------------------------------------------------------------------------------------


def service_account(folder: Path, token_uri: str) -> Path:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    about = {
        "type": "service_account",
        "client_email": "robot@example.iam.gserviceaccount.com",
        "private_key": pem.decode(),
        "token_uri": token_uri,
    }
    file = folder / "service-account.json"
    file.write_text(json.dumps(about))
    return file


def test_a_service_account_signs_in_for_real(gate: Gate, local: Running, workbook: Workbook, tmp_path: Path) -> None:
    file = service_account(tmp_path, f"{local.base_url}/token")
    gate.watch()
    assert connect(SheetAccess(local.base_url, BOOK, file)).layout().tabs
    assert [call.path for call in gate.calls] == ["/token", f"/v4/spreadsheets/{BOOK}"]
    assert gate.calls[1].headers["Authorization"].startswith("Bearer ")


def test_a_key_that_google_withdrew(gate: Gate, local: Running, workbook: Workbook, tmp_path: Path) -> None:
    sent = batch(workbook)
    file = service_account(tmp_path, f"{local.base_url}/token")
    body = json.dumps({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}).encode()
    gate.watch().script = lambda call, proceed: Answer(400, {"Content-Type": "application/json"}, body)
    with pytest.raises(CredentialsRefused, match="invalid_grant"):
        connect(SheetAccess(local.base_url, BOOK, file)).send(sent)
    assert {call.path for call in gate.calls} == {"/token"}


@pytest.mark.parametrize("kind", ["service_account", "oauth_user", "telepathy"])
def test_a_file_that_is_no_key_says_what_it_should_be(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text("{}")
    with pytest.raises(CredentialsRefused, match=kind):
        connect(SheetAccess(None, BOOK, file, kind))
    with pytest.raises(CredentialsRefused):
        connect(SheetAccess(None, BOOK, tmp_path / "absent.json", kind))


def test_a_person_lets_us_in_through_the_browser(
    gate: Gate, local: Running, workbook: Workbook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, token = tmp_path / "client.json", tmp_path / "token.json"
    about = {"client_id": "us", "client_secret": "s", "auth_uri": "https://example.com/auth"}
    client.write_text(json.dumps({"installed": {**about, "token_uri": f"{local.base_url}/token"}}))
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # the token endpoint of this test speaks plain HTTP

    class Browser:
        def open(self, url: str, **_: Any) -> bool:
            asked = dict(parse_qsl(urlsplit(url).query))
            assert asked["scope"] == "https://www.googleapis.com/auth/spreadsheets"
            answer = {"state": asked["state"], "code": "4/yes", "scope": asked["scope"]}
            threading.Thread(target=requests.get, args=(asked["redirect_uri"], answer), kwargs={"timeout": 5}).start()
            return True

    monkeypatch.setattr("webbrowser.get", lambda *_: Browser())
    grant = {"access_token": "a", "refresh_token": "r", "expires_in": 3600, "token_type": "Bearer"}
    gate.script = lambda call, proceed: Answer(200, {"Content-Type": "application/json"}, json.dumps(grant).encode())
    authorize(client, token)
    assert token.stat().st_mode & 0o777 == 0o600
    gate.script = None
    assert connect(SheetAccess(local.base_url, BOOK, token, "oauth_user")).layout().tabs
    assert gate.calls[-1].headers["Authorization"] == "Bearer a"
    with pytest.raises(CredentialsRefused, match="desktop app"):
        authorize(token, token)


def test_a_proxy_for_the_internet_is_not_asked_for_a_local_sheet(
    access: SheetAccess, workbook: Workbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert connect(access).layout().tabs


def test_google_without_a_key_is_refused_before_any_call() -> None:
    with pytest.raises(CredentialsRefused, match="credentials_file"):
        connect(SheetAccess(None, BOOK))


# pace -----------------------------------------------------------------------------------------------------------


def test_no_minute_sees_more_calls_than_the_quota() -> None:
    now, at = [0.0], []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    limiter = Limiter(60, clock=lambda: now[0], sleep=sleep)
    for _ in range(300):
        limiter.wait()
        at.append(now[0])
    assert at[:10] == [0.0] * 10
    assert max(sum(start <= t < start + 60 for t in at) for start in at) <= 60
    assert at[-1] < 300 * 60 / 48  # and not much slower than allowed


# doctor ---------------------------------------------------------------------------------------------------------


def body_of(call: Call) -> str:
    return call.body.decode() if call.path.endswith(":batchUpdate") else ""


def test_doctor_tells_of_a_sheet_that_takes_a_batch_in_part(gate: Gate, local: Running, workbook: Workbook) -> None:
    """As if the requests before a refused one had been applied."""

    def half(call: Call, proceed: Proceed) -> Any:
        answer = proceed()
        if answer.status == 400 and "landed" in body_of(call):
            for request in json.loads(call.body)["requests"]:
                if "updateCells" in request:
                    local.store.apply(BOOK, [request])
        return answer

    gate.script = half
    bad = {check.name: check.saw for check in doctor.examine(workbook).checks if not check.ok}
    for name in ("a batch on another exchange is refused whole", "a batch that is refused at its end leaves nothing"):
        assert "'landed'" in bad[name]


def test_doctor_proves_nothing_under_a_filter_that_hides_nothing(gate: Gate, workbook: Workbook) -> None:
    def show_all(call: Call, proceed: Proceed) -> Any:
        answer = proceed()
        if "hiddenByFilter" in call.query:
            return Answer(200, {"Content-Type": "application/json"}, answer.body.replace(b'"hiddenByFilter":true', b""))
        return answer

    gate.script = show_all
    bad = [check for check in doctor.examine(workbook).checks if not check.ok]
    assert [check.name for check in bad] == ["the image is whole under a filter"]
    assert "nothing is proven" in bad[0].saw


def test_doctor_tells_of_a_sheet_that_does_not_refuse(gate: Gate, local: Running, workbook: Workbook) -> None:
    def lenient(call: Call, proceed: Proceed) -> Any:
        answer = proceed()
        if answer.status == 400 and "updateNamedRange" in body_of(call):
            return Answer(200, {"Content-Type": "application/json"}, b'{"replies": []}')
        return answer

    gate.script = lenient
    bad = [check for check in doctor.examine(workbook).checks if not check.ok]
    assert [check.name for check in bad] == [
        "a batch on another exchange is refused whole",
        "a batch that is refused at its end leaves nothing",
    ]
    assert all("took a batch" in check.saw for check in bad)


def test_doctor_tells_of_a_sheet_that_gives_ids_of_its_own(gate: Gate, local: Running, workbook: Workbook) -> None:
    def own(call: Call, proceed: Proceed) -> Any:
        answer = proceed()
        if call.method == "GET" and b"sheets_sync_doctor" in answer.body:
            found = json.loads(answer.body)
            for named in found["namedRanges"]:
                if named["name"].startswith("sheets_sync_doctor"):
                    named["namedRangeId"] = "4711"
            return Answer(200, {"Content-Type": "application/json"}, json.dumps(found).encode())
        return answer

    gate.script = own
    bad = [check for check in doctor.examine(workbook).checks if not check.ok]
    assert bad[0].name == "a named range takes the id that we give it" and "4711" in bad[0].saw
    assert bad[-1].name == "nothing is left behind"  # it can't remove a range whose id it isn't told
    gate.script = None
    assert doctor.examine(workbook).proven


def test_doctor_tells_of_an_image_that_leaves_out_hidden_rows(gate: Gate, local: Running, workbook: Workbook) -> None:
    def skip(call: Call, proceed: Proceed) -> Any:
        answer = proceed()
        if "copyPaste" in body_of(call):
            sheet = json.loads(call.body)["requests"][0]["copyPaste"]["destination"]["sheetId"]
            gone = {"sheetId": sheet, "dimension": "ROWS", "startIndex": 1, "endIndex": 2}
            local.store.apply(BOOK, [{"deleteDimension": {"range": gone}}])
        return answer

    gate.script = skip
    bad = [check for check in doctor.examine(workbook).checks if not check.ok]
    assert [check.name for check in bad] == ["the image is whole under a filter"]


def test_a_doctor_that_died_is_cleaned_up_by_the_next(gate: Gate, workbook: Workbook) -> None:
    before = workbook.layout()
    gone: list[bool] = []

    def die(call: Call, proceed: Proceed) -> Any:
        gone.extend([True] * ("setBasicFilter" in body_of(call)))
        return google(503, "away") if gone else proceed()

    gate.script = die
    with pytest.raises((OutcomeUnknown, Unavailable)):
        doctor.examine(workbook)
    gate.script = None
    assert any(title.startswith(doctor.SCRATCH) for title in workbook.layout().tabs)
    doctor.examine(workbook)
    after = workbook.layout()
    assert (after.tabs, after.named_ranges) == (before.tabs, before.named_ranges)
