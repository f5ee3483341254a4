"""The sheet heals: tabs, headers and protection that are gone are put back, and a whole workbook is made anew.

What is put back by itself is only what cannot be meant otherwise: a header whose cell is blank, a column or a tab of
ours that is gone, the header row. Where a person may have meant it (a tab or a header with another name), the sheet is
left alone and the message says what was seen. Stock itself comes back by a person's word (`sheets-sync rebuild-sheet`):
in it they type, and the one that was deleted may return with Ctrl+Z. Foreign tabs and columns are never touched.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from sheets_sync import exchange, onboarding, recovery
from sheets_sync.desk import LEDGER_SHOWN, ROWS, Desk
from sheets_sync.errors import SheetNotReady
from sheets_sync.exchange import Request
from sheets_sync.ledger import Tx
from sheets_sync.model import Cell, Layout, Lease
from sheets_sync.sheet import setup, tabs
from sheets_sync.sheet.workbook import Workbook

log = structlog.get_logger()

TAB_IDS = "tab_ids"
"""State: the ids of our tabs, by title."""

HEADER = "stock_header"
"""State: Stock's header row as it was when all was well."""

EVERY = timedelta(hours=1)
"""How often formats, notes and protection are compared with what they should be."""


# tabs -----------------------------------------------------------------------------------------------------------


def tabs_gone(desk: Desk, workbook: Workbook, layout: Layout) -> bool:
    """Put back the tabs that were deleted; True where one was. Raises SheetNotReady where a person has to act."""
    wanted = [tab.title for tab in desk.tabs]
    missing = [title for title in wanted if title not in layout.tabs]
    with desk.ledger.read() as view:
        known: Mapping[str, int] = view.get(TAB_IDS, {})
    if not missing:
        now = {title: layout.tabs[title].id for title in wanted}
        if now != known:
            with desk.ledger.begin() as tx:
                tx.put(TAB_IDS, now)
        return False
    _refuse_renamed(missing, known, layout)
    if tabs.STOCK in missing:
        raise SheetNotReady(
            "The tab Stock is gone; your counts are safe in the ledger, and nothing was changed. Undo it in the sheet "
            "(Ctrl+Z, or File > Version history), or have it written anew: `sheets-sync rebuild-sheet`."
        )
    if tabs.EXCHANGE not in layout.tabs:
        return False  # its chain comes first (`recovery.heal`)
    says = repair(desk, workbook)
    if not says:
        return False
    with desk.ledger.begin() as tx:
        _show_again(tx, desk, missing)
    log.warning("sheet.healed", says=list(says)[:20])
    return True


def repair(desk: Desk, workbook: Workbook) -> tuple[str, ...]:
    """`onboarding.set_up`, but not while one of Stock's headers has another name: a column of that name, made anew
    beside it, would be the second one as soon as somebody takes the renaming back.
    """
    with desk.ledger.read() as view:
        saved = [name for name in view.get(HEADER, []) if name]

    def renamed(survey: setup.Survey) -> bool:
        stock = survey.found.get(tabs.STOCK)
        now = {name for name in stock.header if name} if stock else set()
        return bool(set(saved) - now and now - set(saved)) if saved and now else False

    return onboarding.set_up(desk, workbook, unless=renamed)


def _refuse_renamed(missing: Sequence[str], known: Mapping[str, int], layout: Layout) -> None:
    titles = {info.id: title for title, info in layout.tabs.items()}
    for title in missing:
        if known.get(title) in titles:
            raise SheetNotReady(
                f"The tab {title} is called {titles[known[title]]!r} now. Rename it back to {title}; until then "
                "nothing is taken from the sheet or written there. Nothing is lost."
            )


def _show_again(tx: Tx, desk: Desk, made: Collection[str]) -> None:
    """Tabs that were made anew are to be filled again."""
    if tabs.LEDGER in made:
        tx.put(LEDGER_SHOWN, max(0, tx.last_event_id() - desk.settings.limits.events_in_sheet))


# the header -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mended:
    """What puts Stock's header right: requests for a batch of their own, or a whole repair of the workbook."""

    requests: tuple[Request, ...] = ()
    repair: bool = False


def header_gone(
    saved: Sequence[str], header: Sequence[Cell], second: Sequence[Cell], skus: Collection[str], sheet: int
) -> Mended | str | None:
    """What is to be done about a header row that is not as it should be; words where a person has to say what they
    meant, None where nothing is known. `second` is the row below it, `skus` are those with a count.
    """
    now = ["" if cell is None else str(cell) for cell in header]
    if not saved:
        return None
    if not any(now) and [*map(str, second)][: len(saved)] == list(saved):
        span = {"sheetId": sheet, "dimension": "ROWS", "startIndex": 0, "endIndex": 1}
        return Mended(({"deleteDimension": {"range": span}},))
    if not set(now) & set(saved) - {""} and tabs.SKU in saved and _at(now, saved.index(tabs.SKU)) in skus:
        span = {"sheetId": sheet, "dimension": "ROWS", "startIndex": 0, "endIndex": 1}
        row = exchange.grid_range(sheet, 0, 1, 0, len(saved))
        return Mended(({"insertDimension": {"range": span, "inheritFromBefore": False}}, _write(row, saved)))
    if len(named := [name for name in now if name]) > len(set(named)):
        return None  # one stands twice: which of them is meant?
    lost = [name for name in saved if name and name not in now]
    strangers = [name for name in now if name and name not in saved]
    if lost and strangers:  # renamed, and perhaps moved: whoever did it may name it as before at any moment
        there = [(name, _at(now, i)) for i, name in enumerate(saved) if name in lost and _at(now, i) in strangers]
        if there:
            told = "; ".join(f"Stock has no column {old!r}: {new!r} stands there" for old, new in there[:3])
            return f"{told}. Write the header back; until then nothing is taken from Stock, and nothing is lost."
        return (
            f"Stock has no column {lost[0]!r} any more, and a new one is called {strangers[0]!r}. If it was renamed, "
            "write the header back; if the column was deleted, run `sheets-sync init`. Until then nothing is taken "
            "from Stock, and nothing is lost."
        )
    blank = [i for i, name in enumerate(saved) if name and name in lost and _at(now, i) == ""]
    if lost and len(blank) == len(lost):
        cells = [exchange.grid_range(sheet, 0, 1, i, i + 1) for i in blank]
        return Mended(tuple(_write(cell, [saved[i]]) for cell, i in zip(cells, blank, strict=True)))
    return Mended(repair=True) if lost else None


def _at(row: Sequence[str], position: int) -> str:
    return row[position] if position < len(row) else ""


def _write(where: Mapping[str, int], texts: Sequence[str]) -> Request:
    cells = exchange.cells_of([text or None for text in texts])
    return {"updateCells": {"range": where, "fields": "userEnteredValue", "rows": [cells]}}


# all of it ------------------------------------------------------------------------------------------------------


def rebuild(desk: Desk, workbook: Workbook, lease: Lease | None = None) -> tuple[str, ...]:
    """Make the workbook anew from the ledger: our tabs where they are gone, the chain, and every row. Says what it did.

    What stands there stays: a figure that somebody typed is still asked about or taken, and foreign tabs and columns
    are left alone. Raises SheetNotReady where this ledger has driven no spreadsheet yet.
    """
    with desk.ledger.read() as view:
        if not view.head():
            raise SheetNotReady("This ledger drives no spreadsheet yet: run `sheets-sync init`.")
    wanted = desk.tabs
    survey = workbook.survey(wanted)
    gone = [tab.title for tab in wanted if tab.title not in survey.layout.tabs]
    plan = setup.plan(survey, wanted, setup.fresh_ids(survey.layout))
    says = list(plan.says)
    if gone and plan.requests:  # no chain can hold what has no tab yet; it begins anew below
        workbook.send(list(plan.requests))
    if recovery.heal(desk, workbook, lease):
        says.append("made the tab _exchange and its chain")
    says += onboarding.set_up(desk, workbook)
    shown = _shown(workbook)
    with desk.ledger.begin(lease) as tx:
        tx.put(ROWS, sorted(set(tx.get(ROWS, ())) & shown))
        _show_again(tx, desk, gone)
        tx.put(TAB_IDS, None)
        tx.put(HEADER, None)
    return tuple(dict.fromkeys(says))


def _shown(workbook: Workbook) -> set[str]:
    """The SKUs that have a row."""
    look = workbook.look((tabs.SKU,))
    return {str(sku) for sku in look.columns.get(tabs.SKU, []) if sku is not None}
