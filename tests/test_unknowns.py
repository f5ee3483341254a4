"""What nobody knows of the real service, either way: `doctor` refuses the sheet, or the service is right there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import gspread
import pytest

from sheets_sync.model import Kind
from sheets_sync.sandbox.sheet.server import Running, serve
from sheets_sync.sandbox.sheet.store import Store
from sheets_sync.sandbox.sheet.unknowns import DEFAULT, Unknowns
from sheets_sync.sheet import SheetAccess, Workbook, connect, doctor
from tests.sheet_server import gspread_for
from tests.world import World

KEY = "book"
RELIED_ON = {
    "copies_hidden_rows": "the image is whole under a filter",
    "keeps_given_range_ids": "a named range takes the id that we give it",
    "name_is_free_at_once": "one batch deletes and adds one name",
}
"""What the service can not do without, and the check of `doctor` that must find it missing."""

NAMES = [field.name for field in fields(Unknowns)]
EVERY = [Unknowns(*flags) for flags in product((True, False), repeat=len(NAMES))]
BEARABLE = [u for u in EVERY if all(getattr(u, name) for name in RELIED_ON)]


def named(unknowns: Unknowns) -> str:
    return "+".join(unknowns.changed()) or "default"


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serve() as running:
        running.store.create("Stock", KEY)
        yield running


@pytest.fixture(scope="module")
def workbook(running: Running) -> Workbook:
    return connect(SheetAccess(running.base_url, KEY))


@pytest.fixture
def behaving(running: Running) -> Iterator[Store]:
    yield running.store
    running.store.unknowns = DEFAULT


@pytest.mark.parametrize("unknowns", EVERY, ids=named)
def test_doctor_proves_the_sheet_where_the_service_is_right_and_nowhere_else(
    behaving: Store, workbook: Workbook, unknowns: Unknowns
) -> None:
    before = workbook.layout()
    behaving.unknowns = unknowns
    bad = {check.name for check in doctor.examine(workbook).checks if not check.ok}
    missing = {check for name, check in RELIED_ON.items() if not getattr(unknowns, name)}
    assert bool(bad) == bool(missing)
    assert missing <= bad, "each that is missing is named, whatever else is"
    after = workbook.layout()
    assert (after.tabs, after.named_ranges) == (before.tabs, before.named_ranges), "nothing is left behind"


# --- each, either way


def book_of(behaving: Store, running: Running) -> gspread.Spreadsheet:
    behaving.create("Either way", "either", tabs=[{"title": "Stock", "sheetId": 0}, {"title": "Other", "sheetId": 1}])
    return gspread_for(running.base_url).open_by_key("either")


@pytest.fixture
def either(behaving: Store, running: Running) -> Iterator[gspread.Spreadsheet]:
    yield book_of(behaving, running)
    behaving.delete("either")


def send(book: gspread.Spreadsheet, *wanted: dict[str, Any]) -> Any:
    return book.batch_update({"requests": list(wanted)})


def refused(book: gspread.Spreadsheet, *wanted: dict[str, Any]) -> str:
    with pytest.raises(gspread.exceptions.APIError) as caught:
        send(book, *wanted)
    return str(caught.value.response.json()["error"]["message"])


def rows(first: int, last: int, sheet: int = 0, column: int = 0) -> dict[str, int]:
    where = {"startRowIndex": first, "endRowIndex": last, "startColumnIndex": column, "endColumnIndex": column + 1}
    return {"sheetId": sheet, **where}


def add(name: str, key: str = "") -> dict[str, Any]:
    given = {"namedRangeId": key} if key else {}
    return {"addNamedRange": {"namedRange": {**given, "name": name, "range": rows(0, 1)}}}


@pytest.mark.parametrize("takes", [True, False])
def test_a_copy_takes_rows_behind_a_filter_or_leaves_them_out(
    behaving: Store, either: gspread.Spreadsheet, takes: bool
) -> None:
    behaving.unknowns = replace(DEFAULT, copies_hidden_rows=takes)
    behaving.type("either", "Stock", "A1", [["head"], ["a"], ["hide"], ["b"]])
    criteria = {"columnIndex": 0, "filterCriteria": {"hiddenValues": ["hide"]}}
    send(either, {"setBasicFilter": {"filter": {"range": rows(0, 4), "filterSpecs": [criteria]}}})
    copy = {"pasteType": "PASTE_VALUES", "pasteOrientation": "NORMAL"}
    send(either, {"copyPaste": {"source": rows(1, 4), "destination": rows(0, 3, sheet=1), **copy}})
    send(either, {"copyPaste": {"source": rows(1, 4), "destination": rows(1, 4, column=1), **copy}})
    assert behaving.rows("either", "Other") == ([["a"], ["hide"], ["b"]] if takes else [["a"], ["b"]])
    beside = [row[1:] for row in behaving.rows("either", "Stock")]
    assert beside == ([[], ["a"], ["hide"], ["b"]] if takes else [[], ["a"], [], ["b"]])


def test_named_ranges_either_way(behaving: Store, either: gspread.Spreadsheet) -> None:
    gone = {"deleteNamedRange": {"namedRangeId": "77"}}
    assert refused(either, gone).endswith("No NamedRange with id: 77")
    behaving.unknowns = replace(DEFAULT, refuses_missing_range=False)
    assert send(either, gone)["replies"] == [{}]

    behaving.unknowns = replace(DEFAULT, keeps_given_range_ids=False)
    made = send(either, add("one", "1604417325"))["replies"][0]["addNamedRange"]["namedRange"]
    assert made["namedRangeId"] != "1604417325" and made["namedRangeId"].isdigit()
    assert [r["namedRangeId"] for r in either.list_named_ranges()] == [made["namedRangeId"]]

    again = [{"deleteNamedRange": {"namedRangeId": made["namedRangeId"]}}, add("ONE")]
    behaving.unknowns = replace(DEFAULT, name_is_free_at_once=False)
    assert "a named range with that name already exists" in refused(either, *again)
    behaving.unknowns = DEFAULT
    send(either, *again)
    assert [r["name"] for r in either.list_named_ranges()] == ["ONE"]


def test_find_and_replace_in_numbers_or_only_in_texts(behaving: Store, either: gspread.Spreadsheet) -> None:
    behaving.type("either", "Stock", "A1", [["10", "'10"]])
    find = {"findReplace": {"find": "10", "replacement": "20", "sheetId": 0}}
    behaving.unknowns = replace(DEFAULT, replaces_in_numbers=False)
    assert send(either, find)["replies"][0]["findReplace"]["occurrencesChanged"] == 1
    assert behaving.rows("either", "Stock") == [[10, 20]]
    behaving.unknowns = DEFAULT
    assert send(either, find)["replies"][0]["findReplace"]["occurrencesChanged"] == 1
    assert behaving.rows("either", "Stock") == [[20, 20]]


def test_the_first_or_the_last_refusal_is_named(behaving: Store, either: gspread.Spreadsheet) -> None:
    bad = [{"deleteSheet": {"sheetId": 77}}, add("fine"), {"deleteSheet": {"sheetId": 78}}]
    assert refused(either, *bad) == "Invalid requests[0].deleteSheet: No sheet with id: 77"
    behaving.unknowns = replace(DEFAULT, names_first_refusal=False)
    assert refused(either, *bad) == "Invalid requests[2].deleteSheet: No sheet with id: 78"
    assert either.list_named_ranges() == []


@pytest.mark.parametrize("back", [True, False])
def test_an_old_version_brings_its_named_ranges_back_or_not(
    behaving: Store, either: gspread.Spreadsheet, back: bool
) -> None:
    send(either, add("then", "1000000001"))
    behaving.type("either", "Stock", "A1", "someone else's edit begins a new version")
    then = behaving.versions("either")[-1].number
    send(either, {"deleteNamedRange": {"namedRangeId": "1000000001"}}, add("now", "1000000002"))
    behaving.unknowns = replace(DEFAULT, restores_named_ranges=back)
    behaving.restore("either", then)
    assert [r["name"] for r in either.list_named_ranges()] == (["then"] if back else ["now"])


def test_the_journal_knows_how_the_sheet_behaved(tmp_path: Path) -> None:
    """A file written by a server that behaved one way is read the same by one that behaves the other way."""
    odd = Unknowns(**dict.fromkeys(NAMES, False))
    store = Store(tmp_path / "book.jsonl", unknowns=odd)
    store.create("Book", KEY, tabs=["Stock"])
    store.apply(KEY, [add("one", "1604417325"), {"deleteNamedRange": {"namedRangeId": "not there"}}])
    store.type(KEY, "Stock", "A1", "10")
    store.apply(KEY, [{"findReplace": {"find": "10", "replacement": "20", "allSheets": True}}])
    before = store.book(KEY)
    store.close()
    again = Store(tmp_path / "book.jsonl")
    after = again.book(KEY)
    again.close()
    assert after.named.keys() == before.named.keys() != {"1604417325"}
    assert after.tabs[0].values == before.tabs[0].values == [[10], *[[]] * 999]


# --- the service, where doctor lets it run


class Clock:
    """The machine's, and as far ahead as a test says."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def day(world: World, clock: Clock) -> None:
    """Typed under a filter, in the gap before an exchange, and into a workbook that goes back in time."""
    world.begin()
    doctor_says = doctor.examine(world.workbook)
    assert doctor_says.proven
    key, stock = world.book.spreadsheet_id, world.store.book(world.book.spreadsheet_id).tab_named("Stock")
    criteria = {"columnIndex": world.header().index("SKU"), "filterCriteria": {"hiddenValues": ["1E5", "MAR1"]}}
    whole = {"sheetId": stock.sheet_id, "startRowIndex": 0}
    world.store.apply(key, [{"setBasicFilter": {"filter": {"range": whole, "filterSpecs": [criteria]}}}], "person")
    world.type("00123", "8")
    world.type("1E5", "25")
    world.faults.just_before(lambda: world.type("MAR1", "6"))
    world.passes()
    assert [world.figures(sku) for sku in ("00123", "1E5", "MAR1", "1-2")] == ["8/0/8", "25/0/25", "6/0/6", "7/0/7"]

    before = world.store.versions(key)[-1].number
    world.type("1-2", "9")
    world.passes()
    world.store.restore(key, before)
    world.sheet_pass()  # what it sees may be a stale read
    clock.ahead += timedelta(minutes=5)
    world.passes()
    assert world.figures("1-2") == "9/0/9", "the ledger stands"
    assert world.cell("1-2") == 9, "and the workbook shows it again"
    world.type("00123", "5")
    world.passes()
    assert world.figures("00123") == "5/0/5"
    world.faults.lose_answer()
    world.type("00123", "4")
    world.passes()
    assert world.figures("00123") == "4/0/4"
    typed = [event.change.on_hand for event in world.events("00123") if event.fact.kind is Kind.ADJUSTMENT]
    assert typed == [-2, -3, -1], "each typed change is counted once"
    assert {name: world.figure(name, "00123") for name in world.shops} == dict.fromkeys(world.shops, 4)


SINGLY = [DEFAULT, *(replace(DEFAULT, **{name: False}) for name in NAMES if name not in RELIED_ON), BEARABLE[-1]]


@pytest.mark.parametrize("unknowns", SINGLY, ids=named)
def test_the_service_is_right_wherever_doctor_lets_it_run(tmp_path: Path, unknowns: Unknowns) -> None:
    clock = Clock()
    world = World(tmp_path, vendors=("woocommerce",), unknowns=unknowns, clock=clock)
    try:
        day(world, clock)
    finally:
        world.close()
