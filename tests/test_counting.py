"""Stock-takes through the real sheet: pasted rows, previews, Post, and all that goes wrong on the dreaded day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import stamina

from sheets_sync import answering, rehearsal, review
from sheets_sync.desk import KITS, STARTED
from sheets_sync.model import Fact, Kind, Stock
from sheets_sync.onboarding import set_up
from sheets_sync.sheet import tabs
from tests.hands import Clock, Hands, hands_of
from tests.test_machine_sheet import Quick
from tests.world import SEEDS, World

MUG, SCARF, PLATE, BOWL = "00123", "1E5", "MAR1", "1-2"
TOP = 4  # the header's row
BODY = TOP + 1


class Day:
    """A world after Start, and the Stock take tab as a person uses it."""

    def __init__(self, world: World, clock: Any) -> None:
        self.world, self.clock = world, clock

    def tick(self, **how: float) -> None:
        if isinstance(self.clock, Clock):
            self.clock.tick(**how)
        else:
            self.clock.now += timedelta(**how)

    @property
    def key(self) -> str:
        return self.world.book.spreadsheet_id

    def rows(self) -> list[list[Any]]:
        return self.world.store.rows(self.key, tabs.STOCK_TAKE)

    def put(self, cell: str, text: object) -> None:
        self.world.store.type(self.key, tabs.STOCK_TAKE, cell, str(text))

    def paste(self, *rows: Sequence[object], at: int = BODY) -> None:
        """SKU, Counted, Counted at, Note, Open orders, Cost: as many as given."""
        for number, cells in enumerate(rows, start=at):
            for letter, cell in zip("ABCDEF", cells, strict=False):
                if cell is not None:
                    self.put(f"{letter}{number}", cell)

    def clear(self) -> None:
        for number in range(BODY, len(self.rows()) + 1):
            for letter in "ABCDEF":
                self.put(f"{letter}{number}", "")

    def set(self, name: str, value: object) -> None:
        names = self.rows()[0]
        self.put(f"{chr(65 + names.index(name))}2", value)

    def head(self, name: str) -> Any:
        names, values = self.rows()[:2]
        at = names.index(name)
        return values[at] if at < len(values) else None

    def state(self) -> str:
        """What State says, and the line below it."""
        names, values, words = self.rows()[:3]
        at = names.index("State")
        return f"{values[at]} {words[at] if at < len(words) else ''}"

    def shown(self, row: int = BODY) -> tuple[Any, Any, str]:
        """Expected, Difference, Status."""
        rows = self.rows()
        header, cells = rows[TOP - 1], rows[row - 1]
        found = [cells[at] if (at := header.index(n)) < len(cells) else None for n in tabs_shown()]
        return found[0], found[1], str(found[2] or "")

    def status(self, row: int = BODY) -> str:
        return self.shown(row)[2]

    def passes(self, times: int = 4) -> None:
        for _ in range(times):
            self.world.sheet_pass()
        assert self.world.ledger.verify() == []

    def post(self) -> None:
        self.set("Post", "TRUE")
        self.passes(5)

    def shop(self, vendor: str = "shopify") -> Hands:
        return hands_of(self.world.shops[vendor])

    def sold(self, sku: str, units: int) -> None:
        """Ordered, shipped, and known to us."""
        if not self.world.shops:
            with self.world.ledger.begin() as tx:
                tx.append([Fact(f"{self.clock()}", sku, Kind.SHIPMENT, self.clock(), Stock(on_hand=-units))])
            return
        order = self.shop().buy(sku, units)
        self.shop().ship(order)
        self.world.passes()

    def time(self) -> str:
        """Now, as people write it; sheets are in UTC here."""
        return f"{self.clock():%Y-%m-%d %H:%M}"

    def batches(self) -> set[str]:
        return {e.fact.batch for e in self.world.events() if e.fact.batch.startswith("stock-take")}

    def answer(self, word: str) -> None:
        with self.world.ledger.read() as view:
            (question,) = [q for q in view.questions() if q.kind == "stock_take"]
        answering.answer(self.world.desk, review.short_id(question), word)


def tabs_shown() -> tuple[str, str, str]:
    return ("Expected", "Difference", "Status")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Quick:
    """The same without a shop and without a socket, made once."""
    quick = Quick(tmp_path_factory.mktemp("template"), lambda call, proceed: proceed())
    set_up(quick.desk, quick.workbook)
    with quick.ledger.begin() as tx:
        at = quick.clock()
        tx.put(STARTED, at.isoformat())
        tx.append(Fact(f"o{seed.sku}", seed.sku, Kind.OPENING, at, count=seed.stock) for seed in SEEDS)
    quick.sheet_passes()
    quick.clock.now += timedelta(hours=72)
    quick.ledger.close()
    return quick


@pytest.fixture
def day(tmp_path: Path, template: Quick) -> Iterator[Day]:
    quick = Quick(tmp_path, lambda call, proceed: proceed(), template)
    yield Day(quick, quick.clock)
    quick.close()


@pytest.fixture
def shop_day(tmp_path: Path) -> Iterator[Day]:
    clock = Clock()
    world = World(tmp_path, vendors=("shopify",), clock=clock)
    try:
        with stamina.set_testing(True, attempts=2):
            world.begin()
            clock.tick(hours=72)
            world.passes()
            yield Day(world, clock)
    finally:
        world.close()


def test_a_paste_is_shown_within_one_pass_and_posted_once(day: Day) -> None:
    day.paste((MUG, 8), (SCARF, 20), ("NOPE", 3), (PLATE, "1o"))
    day.world.sheet_pass()
    assert day.shown()[:2] == (10, -2)
    assert day.status().startswith("counted 8 at") and day.status().endswith("; now 8 once posted")
    assert day.shown(BODY + 1)[:2] == (20, 0)
    assert "unknown" in day.status(BODY + 2)
    assert "not a whole number" in day.status(BODY + 3)
    names = ("Rows", "SKUs counted", "Rows flagged", "SKUs that differ", "Units up", "Units down")
    assert [day.head(name) for name in names] == [4, 2, 2, 1, 0, 2]
    assert day.head("Session") == "stock-take-1" and "Tick Post" in day.state()
    day.set("Post", "TRUE")
    before = day.world.last_event()
    would = rehearsal.plan(day.world.desk, day.world.workbook).events
    assert [(e.fact.sku, e.change.on_hand) for e in would] == [(MUG, -2), (SCARF, 0)], "a dry run tells it"
    assert day.world.last_event() == before and day.head("Post") is True, "and does nothing"
    day.post()
    assert day.world.figures(MUG) == "8/0/8" and day.batches() == {"stock-take-1"}
    assert day.status().startswith("posted: counted 8 at")
    assert day.head("Post") is False and day.state().startswith("Posted as stock-take-1")
    before = day.world.last_event()
    day.post()
    assert day.world.last_event() == before and day.head("Post") is False
    assert day.world.figures(PLATE) == "5/0/5", "what cannot be read is never 0"


def test_C3_C7_counting_while_orders_come_and_with_raises_frozen(shop_day: Day) -> None:
    day = shop_day
    day.sold(MUG, 1)
    day.tick(hours=60)
    order = day.shop().buy(MUG, 2)
    day.world.passes()
    assert day.world.figures(MUG) == "9/2/7"
    day.paste((MUG, 12))
    day.set("Freeze", "TRUE")
    day.passes()
    assert "had open orders: were those units in the count" in day.state()
    day.set("Post", "TRUE")
    day.passes()
    assert day.world.figures(MUG) == "9/2/7" and day.head("Post") is False, "C3 is asked once a stock-take"
    day.tick(minutes=10)
    day.shop().ship(order)
    day.world.passes()
    assert "2 shipped since; now 10" in day.status(), "12 were counted before 2 of them left"
    day.set("Open orders", "in the count")
    day.passes()
    assert "moved in the last 48 hours" in day.state()
    day.set("Counted at for all", f"{day.clock():%Y-%m-%d} 00:00:01")
    day.passes()
    assert day.status().startswith("? Counted at") is False
    day.set("Counted at for all", "")
    day.put(f"C{BODY}", f"{day.clock():%Y-%m-%d %H:%M}")
    day.passes()
    day.world.type(SCARF, "25")
    day.passes()
    day.world.passes()
    assert day.world.figure("shopify", SCARF) == 25, "what is not counted is raised as ever"
    day.world.type(MUG, "9")
    day.passes()
    day.world.passes()
    shown = day.world.figure("shopify", MUG)
    assert day.world.figures(MUG) == "9/0/9" and shown == 7, "C7: not raised while it is counted"
    day.post()
    day.world.passes()
    assert day.world.figure("shopify", MUG) == int(day.world.figures(MUG).split("/")[2])


def test_C5_a_full_count_lists_what_was_not_counted_and_zeroes_it_only_on_a_tick(day: Day) -> None:
    day.paste((MUG, 10), (SCARF, 20))
    day.set("Mode", "Full")
    day.passes()
    listed = {row[0]: number for number, row in enumerate(day.rows(), start=1) if number > BODY + 1 and row and row[0]}
    assert set(listed) == {PLATE, BOWL} and all(day.status(n) == "not counted" for n in listed.values())
    day.post()
    assert (day.world.figures(PLATE), day.world.figures(MUG)) == ("5/0/5", "10/0/10")
    assert day.batches() == {"stock-take-1"}
    day.clear()
    day.passes()
    assert day.state().startswith("Ready")
    day.paste((MUG, 10), (SCARF, 20), (PLATE, 4))
    day.set("Not counted are 0", "TRUE")
    day.passes()
    assert "Not counted: 1 SKU with stock, 0 with Post." in day.state()
    day.post()
    assert (day.world.figures(PLATE), day.world.figures(BOWL)) == ("4/0/4", "0/0/0")
    answering.undo(day.world.desk, "stock-take-2")
    day.passes()
    assert (day.world.figures(PLATE), day.world.figures(BOWL)) == ("5/0/5", "7/0/7")
    assert "undone since" in day.state()


def test_a_full_count_with_half_missing_is_held_and_asked(day: Day) -> None:
    day.paste((MUG, 10), (SCARF, 20))
    day.set("Mode", "Full")
    day.set("Not counted are 0", "TRUE")
    day.passes()
    before = day.world.last_event()
    day.post()
    assert day.world.last_event() == before and day.state().count("were not counted and would become 0") == 1
    day.answer("leave it")
    day.passes()
    assert day.world.last_event() == before
    day.post()
    day.answer("post it")
    day.passes(5)
    assert (day.world.figures(PLATE), day.world.figures(BOWL)) == ("0/0/0", "0/0/0")
    with day.world.ledger.read() as view:
        assert view.questions() == []


def test_C6_undo_after_sales_and_a_second_count(day: Day) -> None:
    day.paste((MUG, 7, None, "a count of the shelf"), (PLATE, 0))
    day.passes()
    day.post()
    assert (day.world.figures(MUG), day.world.figures(PLATE)) == ("7/0/7", "0/0/0")
    day.tick(hours=1)
    day.sold(MUG, 2)
    day.tick(hours=1)
    day.clear()
    day.passes()
    day.paste((SCARF, 21), (MUG, 4, day.time()))
    day.passes()
    day.tick(minutes=5)
    day.post()
    assert day.batches() == {"stock-take-1", "stock-take-2"} and day.world.figures(MUG) == "4/0/4"
    answering.undo(day.world.desk, "stock-take-1")
    assert (day.world.figures(MUG), day.world.figures(PLATE)) == ("4/0/4", "5/0/5"), "the later count stays right"
    answering.undo(day.world.desk, "stock-take-2")
    day.passes()
    assert (day.world.figures(MUG), day.world.figures(SCARF)) == ("8/0/8", "20/0/20"), "sales since stay"


def test_a_pasted_header_explains_columns_in_any_order_and_rows_may_be_sorted(day: Day) -> None:
    day.paste((4, "A", f"'{MUG}"), (5, "B", f"'{MUG}"), (20, "A", f"'{SCARF}"), at=BODY + 1)
    for number, cells in enumerate([("Menge", "Lagerplatz", "EAN", "x", "y", "z", "w")], start=BODY):
        for letter, cell in zip("ABCDEFG", cells, strict=False):
            day.put(f"{letter}{number}", cell)
    day.passes()
    ours, pasted, row = day.rows()[TOP - 1 : BODY + 1]
    assert pasted[:7] == ["Menge", "Lagerplatz", "EAN", "x", "y", "z", "w"], "nothing of it is overwritten"
    assert row[pasted.index("Expected")] == 10, "a column of its own, where the paste covered ours"
    assert row[ours.index("Difference")] == -1
    assert "counted 9 (4 + 5 in rows 6 and 7)" in row[ours.index("Status")]
    assert day.head("SKUs counted") == 2
    day.post()
    assert day.world.figures(MUG) == "9/0/9"


def test_barcodes_stand_for_skus_and_clashes_are_told(day: Day) -> None:
    stock = day.world.header()
    letter = chr(65 + len(stock))
    sheet = day.world.workbook.layout().tabs[tabs.STOCK].id
    day.world.workbook.send([{"appendDimension": {"sheetId": sheet, "dimension": "COLUMNS", "length": 1}}])
    day.world.store.type(day.key, tabs.STOCK, f"{letter}1", "Barcode")
    for sku, code in ((MUG, "4006381333931"), (SCARF, "036000291452"), (PLATE, "111"), (BOWL, "111")):
        day.world.store.type(day.key, tabs.STOCK, f"{letter}{day.world.row(sku)}", f"'{code}")
    with day.world.ledger.begin() as tx:
        tx.put(KITS, {"SET": {PLATE: 2}})
    day.paste(("4006381333931", 9), ("36000291452", 20), ("111", 3), (PLATE, 1), ("SET", 2))
    day.passes()
    assert day.shown(BODY + 3)[:2] == (5, 0) and day.status(BODY + 4) == f"a kit: adds 4 of {PLATE}", "C5"
    assert day.shown()[:2] == (10, -1) and day.shown(BODY + 1)[:2] == (20, 0)
    assert "stands beside several SKUs" in day.status(BODY + 2)
    day.post()
    assert day.world.figures(MUG) == "9/0/9"


def test_nothing_is_posted_on_a_stale_read_or_while_rows_change(shop_day: Day) -> None:
    day = shop_day
    day.paste((MUG, 8), (SCARF, 19))
    day.passes()
    old = day.world.store.book(day.key)
    day.put(f"B{BODY}", 9)
    day.set("Post", "TRUE")
    day.world.sheet_pass()
    assert day.state().startswith("Posting")
    day.put(f"B{BODY + 1}", 18)
    day.world.faults.stale(
        old, lambda call: f"A{BODY}" in call.query and "Stock%20take" in call.query.replace("+", "%20")
    )
    day.world.sheet_pass()
    assert len(day.world.events(SCARF)) == 1, "that reading was older than the tick"
    day.passes(6)
    assert (day.world.figures(MUG), day.world.figures(SCARF)) == ("9/0/9", "18/0/18")
    assert len(day.world.events(MUG)) == 2, "once, with what stood there at the end"


def test_an_old_version_with_post_ticked_posts_nothing(day: Day) -> None:
    day.paste((MUG, 8))
    day.passes()
    day.set("Post", "TRUE")
    version = day.world.store.versions(day.key)[-1].number
    day.passes(5)
    assert day.world.figures(MUG) == "8/0/8"
    day.clear()
    day.passes()
    before = day.world.last_event()
    day.world.store.restore(day.key, version)
    day.passes(1)
    day.tick(minutes=2)
    day.passes(8)
    assert day.world.last_event() == before, day.state()
    assert day.head("Post") is False


def test_when_a_figure_was_first_seen_outlives_the_process(day: Day) -> None:
    day.paste((MUG, 8))
    day.passes()
    day.tick(hours=1)
    day.world.type(MUG, "7")
    day.world.sheet_passes()
    day.world.restart()
    day.tick(hours=50)
    day.passes()
    assert "3 taken off since; now 5" in day.status(), "the edit was made after the figure was seen"
    day.post()
    assert day.world.figures(MUG) == "5/0/5"


def test_two_sheets_of_rows_are_two_stock_takes_and_slipped_columns_are_asked_about(day: Day) -> None:
    day.paste((MUG, 20), (SCARF, 5), (PLATE, 7), (BOWL, 1))
    day.post()
    assert "row below should have" in day.state() and day.batches() == set()
    day.paste((MUG, 10), (SCARF, 19))
    day.paste(("", ""), ("", ""), at=BODY + 2)
    day.post()
    assert day.world.figures(SCARF) == "19/0/19"
    with day.world.ledger.read() as view:
        assert view.questions() == [], "what was asked about is gone"
    day.paste((PLATE, 4), (SCARF, 1, None, "back room"), at=BODY + 2)
    day.post()
    assert "posted without this row" in day.status(BODY + 2), "it may belong to the rows above: nobody guesses"
    assert "was posted in stock-take-1 with another figure" in day.status(BODY + 3)
    assert day.batches() == {"stock-take-1"}
    day.clear()
    day.passes()
    day.paste((PLATE, 4), (SCARF, 18), (SCARF, 1, None, "back room"))
    day.post()
    assert (day.world.figures(PLATE), day.world.figures(SCARF)) == ("4/0/4", "19/0/19")
    assert day.batches() == {"stock-take-1", "stock-take-2"}


def test_settings_that_were_deleted_are_told_and_brought_back_above_the_rows(day: Day) -> None:
    sheet = day.world.workbook.layout().tabs[tabs.STOCK_TAKE].id
    span = {"sheetId": sheet, "dimension": "ROWS", "startIndex": 0, "endIndex": TOP - 1}
    day.world.workbook.send([{"deleteDimension": {"range": span}}])
    day.paste((MUG, 8), (SCARF, 20), at=2)
    day.passes()
    header, first, second = day.rows()[:3]
    at = header.index("Status")
    assert header[0] == "SKU" and "sheets-sync init" in first[at] and second[at].startswith("counted 20")
    assert set_up(day.world.desk, day.world.workbook) == ("Stock take: put the settings back above the rows",)
    assert set_up(day.world.desk, day.world.workbook) == ()
    day.passes()
    assert day.shown()[:2] == (10, -2)
    day.post()
    assert day.world.figures(MUG) == "8/0/8"


def test_what_no_ledger_can_store_is_told_and_nothing_of_the_count_is_recorded(day: Day) -> None:
    sheet = day.world.workbook.layout().tabs[tabs.STOCK_TAKE].id
    start = {"sheetId": sheet, "rowIndex": BODY - 1, "columnIndex": 3}
    odd = [{"values": [{"userEnteredValue": {"stringValue": "shelf \0"}}]}]
    day.world.workbook.send([{"updateCells": {"start": start, "rows": odd, "fields": "userEnteredValue"}}])
    day.paste((MUG, 8), (SCARF, 19))
    day.passes()
    before = day.world.last_event()
    day.post()
    assert day.world.last_event() == before and day.head("Post") is False
    assert "no database can store" in day.state()
    day.put(f"D{BODY}", "shelf")
    day.post()
    assert day.world.figures(MUG) == "8/0/8"
