"""Workbooks and ledgers that go back in time, chains that get lost: nothing is lost, and what is unsure is asked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from sheets_sync import answering, exchange, recovery, review
from sheets_sync.errors import BadInput, SheetNotReady
from sheets_sync.ledger import Ledger
from sheets_sync.model import Look
from sheets_sync.sheet import tabs
from tests.hands import Clock
from tests.sheet_server import is_batch_update, is_read
from tests.world import World

MUG, PLATE = "00123", "MAR1"


class Day(World):
    """A world whose clock the test moves."""

    def __init__(self, folder: Path) -> None:
        self.time = Clock()
        super().__init__(folder, vendors=("woocommerce",), clock=self.time)

    def wait_for_restored(self) -> None:
        """Looks over more than the time in which a read may be stale."""
        for _ in range(3):
            self.time.tick(seconds=20)
            self.sheet_pass()

    @property
    def id(self) -> str:
        return str(self.book.spreadsheet_id)

    def chain(self) -> dict[str, str]:
        return self.workbook.named_range_ids()

    def restore(self, version: int, *, named_ranges: bool = True) -> None:
        self.store.restore(self.id, version, named_ranges=named_ranges)

    def version(self) -> int:
        last = self.store.versions(self.id)[-1]
        mark = {"range": {"sheetId": 0, "startRowIndex": 0, "endRowIndex": 1}, "fields": "note"}
        # Edits of one hand within a short time make one version: what comes next must be another one.
        self.store.apply(self.id, [{"updateCells": mark}], "person" if last.who == "api" else "api")
        return int(last.number)

    def kinds(self, sku: str) -> list[str]:
        with self.ledger.read() as view:
            return [q.kind for q in view.questions(sku=sku)]


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    made = Day(tmp_path)
    try:
        made.begin()
        yield made
    finally:
        made.close()


# a chain that was lost ------------------------------------------------------------------------------------------


def test_the_chain_is_made_again_where_its_named_range_was_deleted(day: Day) -> None:
    day.store.apply(day.id, [{"deleteNamedRange": {"namedRangeId": next(iter(day.chain().values()))}}], "person")
    day.type(MUG, "8")
    day.passes()
    assert (day.cell(MUG), day.figures(MUG), day.questions()) == (8, "8/0/8", {})
    assert list(day.chain()) == [exchange.CHAIN_NAME]


def test_exchange_tab_deleted_takes_a_new_name_because_the_old_one_is_blocked(day: Day) -> None:
    day.store.apply(day.id, [{"deleteSheet": {"sheetId": day.workbook.layout().tabs[tabs.EXCHANGE].id}}], "person")
    day.type(MUG, "8")
    day.passes()
    assert (day.cell(MUG), day.figures(MUG), day.questions()) == (8, "8/0/8", {})
    assert f"{exchange.CHAIN_NAME}_2" in day.chain()
    day.restart()
    day.type(MUG, "7")
    day.passes()
    assert day.figures(MUG) == "7/0/7"


def test_exchange_tab_emptied_in_a_version_that_was_brought_back(day: Day) -> None:
    old = day.version()
    day.type(MUG, "8")
    day.passes()
    day.restore(old)
    sheet = day.workbook.layout().tabs[tabs.EXCHANGE].id
    day.store.apply(day.id, [{"updateCells": {"range": {"sheetId": sheet}, "fields": "userEnteredValue"}}], "person")
    day.wait_for_restored()
    day.passes()
    assert (day.cell(MUG), day.figures(MUG), day.questions()) == (8, "8/0/8", {})


def test_exchange_tab_emptied_is_found_by_the_chain(day: Day) -> None:
    sheet = day.workbook.layout().tabs[tabs.EXCHANGE].id
    day.store.apply(day.id, [{"updateCells": {"range": {"sheetId": sheet}, "fields": "userEnteredValue"}}], "person")
    day.type(MUG, "8")
    day.passes()
    assert (day.cell(MUG), day.figures(MUG), day.questions()) == (8, "8/0/8", {})


def test_a_late_request_made_for_a_lost_chain_is_refused(day: Day) -> None:
    day.type(MUG, "8")
    held = day.faults.late()
    day.sheet_pass()
    day.store.apply(day.id, [{"deleteSheet": {"sheetId": day.workbook.layout().tabs[tabs.EXCHANGE].id}}], "person")
    day.passes()
    assert held.result(timeout=10)().status == 400
    day.passes()
    assert (day.cell(MUG), day.figures(MUG), day.questions()) == (8, "8/0/8", {})


@pytest.mark.parametrize("heard", ["nothing", "that it was refused"])
def test_an_image_that_is_lost_is_asked_about_and_never_taken_as_unchanged(day: Day, heard: str) -> None:
    day.type(MUG, "8")
    if heard == "nothing":
        day.faults.lose_answer()
    else:  # it arrived twice, and the second answer is what we heard
        day.faults.order(lambda call, proceed: (proceed(), proceed())[1], is_batch_update)
    day.sheet_pass()  # it landed; nobody has read its image
    day.store.apply(day.id, [{"deleteSheet": {"sheetId": day.workbook.layout().tabs[tabs.EXCHANGE].id}}], "person")
    day.passes()
    assert day.kinds(MUG) == ["lost_image"]
    assert "over 8" in day.status(MUG)
    assert (day.cell(MUG), day.figures(MUG)) == (10, "10/0/10")
    with day.ledger.read() as view:
        question = view.questions(sku=MUG)[0]
    answering.answer(day.desk, review.short_id(question), "seen")
    day.type(MUG, "8")
    day.passes()
    assert (day.figures(MUG), day.kinds(MUG)) == ("8/0/8", [])


def test_an_image_that_is_lost_is_asked_about_though_reads_are_old_and_we_heard_a_refusal(day: Day) -> None:
    day.type(MUG, "8")
    before = day.store.book(day.id).copy()
    day.faults.order(lambda call, proceed: (proceed(), proceed())[1], is_batch_update)
    day.sheet_pass()
    day.store.apply(day.id, [{"deleteSheet": {"sheetId": day.workbook.layout().tabs[tabs.EXCHANGE].id}}], "person")
    column = day.letter(tabs.TAG_EXCHANGE)
    day.faults.stale(before, lambda call: is_read(call) and f"!{column}2:{column}" in unquote(call.query))
    day.passes()
    assert day.kinds(MUG) == ["lost_image"]
    assert (day.cell(MUG), day.figures(MUG)) == (10, "10/0/10")


@pytest.mark.parametrize("lost", ["the tab is gone", "the tab is empty"])
@pytest.mark.parametrize("name", [PLATE, "MAR1-B"], ids=["as it was", "with another SKU"])
def test_a_row_that_was_moved_to_where_a_lost_exchange_wrote_is_asked_about(day: Day, name: str, lost: str) -> None:
    """The mug's figure fell on the plate's row, whose count was typed in that moment."""
    day.type(MUG, "8")

    def swapped() -> None:
        day.type(PLATE, "15")
        day.type(PLATE, name, tabs.SKU)
        day.store.sort(day.id, tabs.STOCK, day.letter(tabs.SKU), True)

    day.faults.order(lambda call, proceed: (swapped(), proceed(), proceed())[2], is_batch_update)
    day.sheet_pass()
    sheet = day.workbook.layout().tabs[tabs.EXCHANGE].id
    emptied = {"updateCells": {"range": {"sheetId": sheet}, "fields": "userEnteredValue"}}
    day.store.apply(day.id, [emptied if "empty" in lost else {"deleteSheet": {"sheetId": sheet}}], "person")
    day.passes()
    assert (day.kinds(MUG), day.kinds(name)) == (["lost_image"], ["lost_image"])
    assert "another SKU's figure" in day.status(name)


# a workbook that went back --------------------------------------------------------------------------------------


@pytest.mark.parametrize("named_ranges", [True, False], ids=["with named ranges", "without named ranges"])
def test_a_restored_version_changes_nothing_in_the_ledger_and_its_rows_are_written_again(
    day: Day, named_ranges: bool
) -> None:
    old = day.version()
    day.type(MUG, "8")
    day.type("1E5", "25")
    day.passes()
    day.restore(old, named_ranges=named_ranges)
    assert day.cell(MUG) == 10
    day.wait_for_restored()
    day.passes()
    assert (day.cell(MUG), day.figures(MUG), day.cell("1E5")) == (8, "8/0/8", 25)
    assert day.questions() == {}
    day.type(MUG, "7")
    day.passes()
    assert day.figures(MUG) == "7/0/7"
    events = [row[0] for row in day.store.rows(day.id, tabs.LEDGER)[1:] if row and row[0] != ""]
    assert events == sorted(range(1, day.last_event() + 1), reverse=True)


@pytest.mark.parametrize("lost_then", [False, True], ids=["", "and the chain is gone"])
@pytest.mark.parametrize("named_ranges", [True, False], ids=["with named ranges", "without named ranges"])
def test_a_version_from_before_the_chain_took_another_name_is_followed_too(
    day: Day, named_ranges: bool, lost_then: bool
) -> None:
    day.type("1E5", "21")
    old = day.version()  # with a typed figure that no exchange has taken
    day.type("1E5", "20")
    day.store.apply(day.id, [{"deleteSheet": {"sheetId": day.workbook.layout().tabs[tabs.EXCHANGE].id}}], "person")
    day.type(MUG, "8")
    day.passes()
    assert f"{exchange.CHAIN_NAME}_2" in day.chain()
    day.restore(old, named_ranges=named_ranges)
    for id in day.chain().values() if lost_then else ():
        day.store.apply(day.id, [{"deleteNamedRange": {"namedRangeId": id}}], "person")
    day.wait_for_restored()
    day.passes()
    assert (day.cell(MUG), day.figures(MUG), day.figures("1E5")) == (8, "8/0/8", "20/0/20")
    assert (day.cell("1E5"), day.questions()) == (21, {"1E5": "restored"})
    day.type(MUG, "7")
    day.passes()
    assert (day.cell(MUG), day.figures(MUG)) == (7, "7/0/7")


@pytest.mark.parametrize(
    ("word", "after"), [("record it", "5/0/5"), ("count", "7/0/7"), ("put back", "8/0/8")], ids=lambda v: str(v)
)
def test_a_change_in_a_restored_version_is_asked_about(day: Day, word: str, after: str) -> None:
    day.type(MUG, "7")
    old = day.version()  # with a typed figure that no exchange has taken
    day.type(MUG, "10")
    shop = day.shops["woocommerce"].shop
    shop.ship(shop.buy(MUG, 2, pay=True))
    day.passes()
    day.restore(old)
    day.wait_for_restored()
    day.passes()
    assert (day.figures(MUG), day.cell(MUG), day.kinds(MUG)) == ("8/0/8", 7, ["restored"])
    assert "old version" in day.status(MUG)
    with day.ledger.read() as view:
        question = view.questions(sku=MUG)[0]
    answering.answer(day.desk, review.short_id(question), word)
    day.passes()
    assert (day.figures(MUG), day.kinds(MUG)) == (after, [])
    assert day.cell(MUG) == int(after.split("/")[0])


def test_an_older_workbook_is_followed_once_though_the_first_answer_was_a_refusal(day: Day) -> None:
    """The exchange that followed it arrived twice: what was typed while it was made is asked about, not overwritten."""
    old = day.version()
    day.type(MUG, "8")
    day.passes()
    day.restore(old)
    day.faults.order(lambda call, proceed: (day.type(MUG, "6"), proceed(), proceed())[2], is_batch_update)
    day.wait_for_restored()
    day.passes()
    assert (day.figures(MUG), day.kinds(MUG)) == ("8/0/8", ["used_tag"])
    assert "6 stood over a figure whose change is recorded already" in day.status(MUG)


def test_a_request_that_lands_late_on_the_old_version_that_it_was_made_for_asks_about_what_it_overwrote(
    day: Day,
) -> None:
    old = day.version()
    day.type(MUG, "8")
    late = day.faults.late()
    day.passes()
    day.type(PLATE, "3")
    day.passes()
    day.restore(old)
    day.type(MUG, "6")
    day.type("1E5", "25")
    assert late.result(timeout=10)().status == 200
    assert day.cell(MUG) == 8, "6 was overwritten"
    day.wait_for_restored()
    day.passes()
    assert (day.figures(MUG), day.figures("1E5"), day.figures(PLATE)) == ("8/0/8", "20/0/20", "3/0/3")
    assert (day.kinds(MUG), day.kinds("1E5"), day.kinds(PLATE)) == (["lost_cell"], ["restored"], [])
    assert "6 stood in On hand of this row" in day.status(MUG)
    events = [row[0] for row in day.store.rows(day.id, tabs.LEDGER)[1:] if row and row[0] != ""]
    assert events == sorted(range(1, day.last_event() + 1), reverse=True)


def test_a_stale_look_is_waited_out_and_asks_nothing(day: Day) -> None:
    day.type(MUG, "8")
    day.passes()
    with day.ledger.read() as view:
        head = view.head()
    old = day.version()
    day.type(MUG, "7")
    day.passes()
    newest = day.version()
    day.restore(old)
    assert day.sheet_pass().rows == 0  # for all that can be known, this read may just be old
    day.restore(newest)
    day.passes()
    assert (day.figures(MUG), day.questions()) == ("7/0/7", {})
    with day.ledger.read() as view:
        assert view.head() != head


def test_two_stale_looks_a_minute_apart_are_no_restored_version(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop slept between them: the mark is read once more by itself before anything is believed of it."""
    really, seen = day.workbook.look, list[Look]()
    monkeypatch.setattr(day.workbook, "look", lambda columns: seen.append(really(columns)) or seen[-1])
    day.passes()
    day.type(MUG, "8")
    stale = [seen[-1], seen[-1]]
    day.passes()
    monkeypatch.setattr(day.workbook, "look", lambda columns: stale.pop() if stale else really(columns))
    assert day.sheet_pass().rows == 0
    day.type("1E5", "19")
    day.time.tick(minutes=10)
    day.passes()
    assert (stale, day.figures("1E5"), day.questions()) == ([], "19/0/19", {})


# a ledger that went back, a workbook of another one ---------------------------------------------------------------


def back_up(day: Day, folder: Path) -> Path:
    day.ledger.close()
    copy = folder / "backup.db"
    shutil.copy(folder / "ledger.db", copy)
    reopen(day)
    return copy


def reopen(day: Day) -> None:
    day.ledger = Ledger.open(day.ledger_url, clock=day.clock)
    day.restart()


def bring_back(day: Day, backup: Path, folder: Path) -> None:
    day.ledger.close()
    for left in folder.glob("ledger.db*"):
        left.unlink()
    shutil.copy(backup, folder / "ledger.db")
    reopen(day)


def test_a_ledger_from_a_backup_takes_and_writes_nothing_until_a_person_says_which_stands(
    day: Day, tmp_path: Path
) -> None:
    backup = back_up(day, tmp_path)
    day.type(MUG, "8")
    day.passes()
    bring_back(day, backup, tmp_path)
    day.type("1E5", "19")
    with pytest.raises(SheetNotReady, match="sheets-sync adopt"):
        day.sheet_pass()
    assert (day.figures(MUG), day.cell(MUG), day.cell("1E5")) == ("10/0/10", 8, 19)


def test_adopt_workbook_counts_what_it_shows(day: Day, tmp_path: Path) -> None:
    backup = back_up(day, tmp_path)
    day.type(MUG, "8")
    day.passes()
    bring_back(day, backup, tmp_path)
    differ = recovery.differences(day.desk, day.workbook)
    assert [(d.sku, d.ledger, d.sheet) for d in differ] == [(MUG, 10, 8)]
    recovery.adopt(day.desk, day.workbook, recovery.WORKBOOK)
    day.passes()
    assert (day.figures(MUG), day.cell(MUG), day.questions(), day.ledger.verify()) == ("8/0/8", 8, {}, [])
    assert day.figure("woocommerce", MUG) == 8


def test_adopt_workbook_wants_one_count_for_each_sku(day: Day, tmp_path: Path) -> None:
    """Else the figure that our older self wrote there would be taken for the ledger's own, and be overwritten."""
    backup = back_up(day, tmp_path)
    day.type(MUG, "8")
    day.passes()
    copy = day.row(MUG) + 1
    day.store.insert_rows(day.id, tabs.STOCK, copy)
    day.store.copy_row(day.id, tabs.STOCK, copy - 1, copy)
    day.type("1E5", "19 pcs")
    bring_back(day, backup, tmp_path)
    with pytest.raises(BadInput) as error:
        recovery.adopt(day.desk, day.workbook, recovery.WORKBOOK)
    assert f"{MUG} stands in rows {copy - 1}, {copy}; On hand of 1E5" in str(error.value)
    assert "shows '19 pcs'" in str(error.value) and "Nothing was changed" in str(error.value)
    day.store.delete_rows(day.id, tabs.STOCK, copy)
    day.type("1E5", "19")
    recovery.adopt(day.desk, day.workbook, recovery.WORKBOOK)
    day.passes()
    assert (day.figures(MUG), day.figures("1E5"), day.questions()) == ("8/0/8", "19/0/19", {})


def test_adopt_ledger_writes_its_figures_and_asks_about_changes(day: Day, tmp_path: Path) -> None:
    backup = back_up(day, tmp_path)
    day.type(MUG, "8")
    day.passes()
    bring_back(day, backup, tmp_path)
    day.type("1E5", "19")
    recovery.adopt(day.desk, day.workbook, recovery.LEDGER)
    day.passes()
    assert (day.figures(MUG), day.cell(MUG), day.kinds(MUG)) == ("10/0/10", 10, [])
    assert (day.figures("1E5"), day.cell("1E5"), day.kinds("1E5")) == ("20/0/20", 19, ["restored"])


def test_adopt_finds_the_chain_under_the_name_that_it_had_to_take(day: Day, tmp_path: Path) -> None:
    backup = back_up(day, tmp_path)
    day.store.apply(day.id, [{"deleteSheet": {"sheetId": day.workbook.layout().tabs[tabs.EXCHANGE].id}}], "person")
    day.type(MUG, "8")
    day.passes()
    bring_back(day, backup, tmp_path)
    recovery.adopt(day.desk, day.workbook, recovery.WORKBOOK)
    day.passes()
    assert (day.figures(MUG), day.cell(MUG), day.questions()) == ("8/0/8", 8, {})


@pytest.mark.parametrize("what", ["its named range", "its tab"])
def test_adopt_makes_a_chain_that_was_lost_anew(day: Day, tmp_path: Path, what: str) -> None:
    backup = back_up(day, tmp_path)
    day.type(MUG, "8")
    day.passes()
    gone = (
        {"deleteSheet": {"sheetId": day.workbook.layout().tabs[tabs.EXCHANGE].id}}
        if what == "its tab"
        else {"deleteNamedRange": {"namedRangeId": next(iter(day.chain().values()))}}
    )
    bring_back(day, backup, tmp_path)
    day.store.apply(day.id, [gone], "person")
    recovery.adopt(day.desk, day.workbook, recovery.WORKBOOK)
    day.passes()
    assert (day.figures(MUG), day.cell(MUG), day.questions()) == ("8/0/8", 8, {})
    day.type(MUG, "7")
    day.passes()
    assert (day.figures(MUG), day.cell(MUG), day.questions()) == ("7/0/7", 7, {})


def test_adopt_says_what_can_stand(day: Day) -> None:
    with pytest.raises(BadInput, match="`ledger` or `workbook`"):
        recovery.adopt(day.desk, day.workbook, "both")


def test_a_copied_workbook_is_adopted_by_a_person_never_by_itself(day: Day) -> None:
    copy = day.store.copy(day.id, "Stock (copy)")
    day.type(MUG, "9")
    day.passes()
    sheet = day.settings.sheet.model_copy(update={"spreadsheet_id": copy.spreadsheet_id})
    day.settings = type(day.settings)(
        day.settings.path, sheet, day.settings.ledger, day.settings.web, day.settings.limits, day.settings.channels
    )  # fmt: skip
    day.book = copy
    day.restart()
    with pytest.raises(SheetNotReady, match="copy of another"):
        day.sheet_pass()
    recovery.adopt(day.desk, day.workbook, recovery.LEDGER)
    day.passes()
    assert (day.figures(MUG), day.cell(MUG), day.questions()) == ("9/0/9", 9, {})
