"""SheetContract: what a spreadsheet service must do for us, one suite for the local sheet and for Google.

A subclass gives the fixture `access`. The person of these tests types through `values.update` with USER_ENTERED, which
reads a text as the page does.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from gspread.urls import SPREADSHEET_VALUES_URL

from sheets_sync.errors import ExchangeRefused
from sheets_sync.sheet import SheetAccess, Workbook, connect, doctor, setup, tabs
from sheets_sync.sheet.workbook import Requests

CHANNELS = ("Web shop", "Market")
TABS = tabs.wanted(CHANNELS)
LEDGER = "led-5f1c"


def new_id() -> str:
    return str(random.randrange(10**9, 2**31))


def type_in(workbook: Workbook, tab: str, corner: str, rows: Sequence[Sequence[object]]) -> None:
    """What a person does: each text is read as typed."""
    url = SPREADSHEET_VALUES_URL % (workbook.spreadsheet_id, f"'{tab}'!{corner}")
    workbook._http.ask("put", url, {"valueInputOption": "USER_ENTERED"}, {"values": [list(row) for row in rows]})


def chain(old: str, new: str, tab: int) -> Requests:
    """The chain of an exchange, and `_exchange` with its ids (the product's own stands in exchange.py)."""
    where = {"sheetId": tab, "startRowIndex": 0, "endRowIndex": 1, "startColumnIndex": 0, "endColumnIndex": 1}
    named = {"name": setup.CHAIN_NAME, "range": where}
    ids = [{"userEnteredValue": {"stringValue": text}} for text in (new, old, LEDGER)]
    return [
        {"updateNamedRange": {"namedRange": {"namedRangeId": old, **named}, "fields": "name,range"}},
        {"deleteNamedRange": {"namedRangeId": old}},
        {"addNamedRange": {"namedRange": {"namedRangeId": new, **named}}},
        {"updateCells": {"range": {"sheetId": tab}, "fields": "userEnteredValue", "rows": [{"values": ids}]}},
    ]


def plan(workbook: Workbook, wanted: Sequence[tabs.Tab] = TABS) -> setup.Plan:
    survey = workbook.survey(wanted)
    return setup.plan(survey, wanted, setup.fresh_ids(survey.layout))


def init(workbook: Workbook, wanted: Sequence[tabs.Tab] = TABS) -> setup.Plan:
    """Make or repair as the product does: one chained batch, none where nothing is to do."""
    made, layout, new = plan(workbook, wanted), workbook.layout(), new_id()
    old = layout.named_ranges.get(setup.CHAIN_NAME)
    if old is None:
        front = setup.first_exchange(new, LEDGER, workbook.spreadsheet_id, made.stock_tab_id)
    else:
        front = chain(old, new, layout.tabs[tabs.EXCHANGE].id)
    if made.requests or old is None:
        workbook.send([*front, *made.requests])
    return made


class SheetContract:
    @pytest.fixture
    def access(self) -> SheetAccess:
        raise NotImplementedError("a subclass names the spreadsheet")

    @pytest.fixture
    def workbook(self, access: SheetAccess) -> Workbook:
        workbook = connect(access)
        init(workbook)
        return workbook

    def test_init_makes_every_tab_with_its_headers(self, workbook: Workbook) -> None:
        assert {tab.title for tab in TABS} | {tabs.EXCHANGE} <= set(workbook.layout().tabs)
        assert workbook.look().header == tuple(c.header for c in TABS[0].columns)

    def test_a_second_init_finds_nothing_to_do(self, workbook: Workbook) -> None:
        again = plan(workbook)
        assert again.requests == () and again.says == ()

    def test_the_first_exchange_lands_once(self, workbook: Workbook) -> None:
        before = workbook.named_range_ids()
        with pytest.raises(ExchangeRefused):
            workbook.send(setup.first_exchange(new_id(), "led-other", workbook.spreadsheet_id, 1, exchange_tab_id=901))
        assert workbook.named_range_ids() == before
        assert workbook.look().mark.ledger == LEDGER

    def test_a_sku_typed_by_a_person_stays_text(self, workbook: Workbook) -> None:
        skus = ["00123", "1-2", "MAR1", "1E5", "007", "3/4"]
        type_in(workbook, tabs.STOCK, "A2", [[sku] for sku in skus])
        assert workbook.look([tabs.SKU]).columns[tabs.SKU][: len(skus)] == skus

    def test_a_figure_is_a_whole_number_and_an_empty_cell_is_none(self, workbook: Workbook) -> None:
        type_in(workbook, tabs.STOCK, "A2", [["A-1", "", "", "", "", "10"], ["A-2"], ["A-3", "", "", "", "", "12 pcs"]])
        look = workbook.look([tabs.SKU, tabs.ON_HAND])
        assert look.columns[tabs.ON_HAND][:3] == [10, None, "12 pcs"]
        assert type(look.columns[tabs.ON_HAND][0]) is int

    def test_an_exchange_leaves_its_image(self, workbook: Workbook) -> None:
        type_in(workbook, tabs.STOCK, "A2", [["00123", "Mug", "", "", "", "7"]])
        layout, new = workbook.layout(), new_id()
        stock, image = layout.tabs[tabs.STOCK].id, layout.tabs[tabs.EXCHANGE].id
        corner = {"startRowIndex": 1, "endRowIndex": 2, "startColumnIndex": 0}
        source, target = ({"sheetId": sheet, **corner, "endColumnIndex": 6} for sheet in (stock, image))
        marked = {"rowIndex": 2, "columnIndex": 0, "sheetId": image}
        last = [{"values": [{"userEnteredValue": {"stringValue": new}}]}]
        workbook.send(
            [
                *chain(layout.named_ranges[setup.CHAIN_NAME], new, image),
                {"updateCells": {"start": marked, "rows": last, "fields": "userEnteredValue"}},
                {"copyPaste": {"source": source, "destination": target, "pasteType": "PASTE_VALUES"}},
            ]
        )
        rows = workbook.read_image(new, 10)
        assert rows is not None and rows[1] == ["00123", "Mug", None, None, None, 7]
        assert workbook.named_range_ids()[setup.CHAIN_NAME] == workbook.look().mark.exchange == new

    def test_a_batch_on_another_exchange_changes_nothing(self, workbook: Workbook) -> None:
        layout = workbook.layout()
        stock, image = layout.tabs[tabs.STOCK].id, layout.tabs[tabs.EXCHANGE].id
        write = [{"values": [{"userEnteredValue": {"numberValue": 99}}]}]
        start = {"sheetId": stock, "rowIndex": 1, "columnIndex": 5}
        before = workbook.look()
        with pytest.raises(ExchangeRefused, match="NamedRange"):
            workbook.send(
                [*chain(new_id(), new_id(), image), {"updateCells": {"start": start, "rows": write, "fields": "*"}}]
            )
        assert workbook.look().columns == before.columns
        assert workbook.named_range_ids() == dict(layout.named_ranges)

    def test_doctor_proves_it_and_leaves_nothing_behind(self, workbook: Workbook) -> None:
        before = workbook.layout()
        report = doctor.examine(workbook)
        assert report.proven, [check for check in report.checks if not check.ok]
        after = workbook.layout()
        assert (after.tabs, after.named_ranges) == (before.tabs, before.named_ranges)
