"""A workbook in the making: the copy that a batch works on, and what its requests have in common."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from sheets_sync.sandbox.sheet import a1, formula, mask
from sheets_sync.sandbox.sheet.a1 import Box
from sheets_sync.sandbox.sheet.grid import Book, Json, Tab
from sheets_sync.sandbox.sheet.moves import Move
from sheets_sync.sandbox.sheet.unknowns import DEFAULT, Unknowns

CELL_LIMIT, COLUMN_LIMIT = 10_000_000, 18_278
BOUNDS = ("startRowIndex", "endRowIndex", "startColumnIndex", "endColumnIndex")


class Refused(ValueError):
    """A request that is not valid; the whole batch is refused with it. Answered 400 INVALID_ARGUMENT."""


class Draft:
    """The next state of a book, in the making.

    `ids` yields fresh numbers for what a request leaves unnamed (the journal replays the same ones), `now` is the time
    of the batch, `owner` the address that owns the spreadsheet.
    """

    def __init__(self, book: Book, ids: Iterator[int], now: datetime, owner: str, unknowns: Unknowns = DEFAULT) -> None:
        self.before = book
        self.book = book.copy()
        self.ids, self.owner, self.unknowns = ids, owner, unknowns
        self.now = now.astimezone(_zone(book))
        self.names_gone: set[str] = set()  # of named ranges deleted in this batch, in lower case
        self.moves: list[Move] = []  # rows and columns that changed their numbers, in order
        self._own: set[int] = set()

    def finish(self) -> Book:
        """The next book: formulas reckoned, revision counted up."""
        if any(tab.has_formulas for tab in self.book.tabs):
            self._reckon()
        self.book.revision = self.before.revision + 1
        return self.book

    def touched(self) -> list[int]:
        """The ids of the tabs that were changed, added or removed."""
        before, after = ({tab.sheet_id: tab for tab in book.tabs} for book in (self.before, self.book))
        return [i for i in before.keys() | after.keys() if before.get(i) is not after.get(i)]

    def _reckon(self) -> None:
        reckoner = formula.Reckoner(self.book, self.now)
        for tab in list(self.book.tabs):
            for row, column, _ in list(tab.cells_with_formulas()):
                value = reckoner.value(tab, row, column)
                old = tab.value(row, column)
                if type(value) is not type(old) or value != old:
                    own, texts = self.tab(tab.sheet_id), tab.formulas[row]
                    own.put_values(row, column, [value])
                    own.formulas[row] = texts

    # finding

    def look(self, sheet_id: int) -> Tab:
        """A tab, for reading."""
        tab = self.book.tab(sheet_id)
        if tab is None:
            raise Refused(f"No sheet with id: {sheet_id}")
        return tab

    def tab(self, sheet_id: int) -> Tab:
        """A tab, for writing: copied at the first call in this batch."""
        tab = self.look(sheet_id)
        if sheet_id not in self._own:
            self._own.add(sheet_id)
            index = self.book.tabs.index(tab)
            tab = self.book.tabs[index] = tab.copy()
        return tab

    def box(self, tab: Tab, grid_range: Json, beyond: bool = False) -> Box:
        """The cells of a GridRange; refused where it leaves the grid, unless `beyond`: then it is cut."""
        r0, r1, c0, c1 = (grid_range.get(bound) for bound in BOUNDS)
        box = Box(r0 or 0, len(tab.values) if r1 is None else r1, c0 or 0, len(tab.columns) if c1 is None else c1)
        if box.r0 < 0 or box.c0 < 0 or box.r0 > box.r1 or box.c0 > box.c1:
            raise Refused(f"{_words(grid_range)} is not a range: a start lies behind its end.")
        if beyond:
            return Box(box.r0, min(box.r1, len(tab.values)), box.c0, min(box.c1, len(tab.columns)))
        if box.r1 > len(tab.values) or box.c1 > len(tab.columns):
            name = a1.name_of(tab.title, box) if box.height and box.width else _words(grid_range)
            raise Refused(
                f"Range ({name}) exceeds grid limits. Max rows: {len(tab.values)}, max columns: {len(tab.columns)}"
            )
        return box

    def reach(self, grid_range: Json) -> tuple[Tab, Box]:
        """Tab, for writing, and cells of a GridRange."""
        tab = self.tab(grid_range.get("sheetId") or 0)
        return tab, self.box(tab, grid_range)

    def check_room(self, sheet_id: int, rows: int, columns: int) -> None:
        """Refuse, before it is made, a tab of a size that the workbook has no room for."""
        others = sum(len(t.values) * len(t.columns) for t in self.book.tabs if t.sheet_id != sheet_id)
        if others + rows * columns > CELL_LIMIT or columns > COLUMN_LIMIT:
            raise Refused(
                f"This action would increase the number of cells in the workbook above the limit of {CELL_LIMIT} cells."
            )

    def fresh_id(self) -> int:
        return next(self.ids)

    def tabs_with_formulas(self) -> list[Tab]:
        return [self.tab(tab.sheet_id) for tab in self.book.tabs if tab.has_formulas]


def _zone(book: Book) -> ZoneInfo:
    try:
        return ZoneInfo(book.properties.get("timeZone") or "Etc/GMT")
    except (LookupError, OSError, ValueError):
        return ZoneInfo("Etc/GMT")


def _words(grid_range: Json) -> str:
    return "GridRange " + ", ".join(f"{k}: {v}" for k, v in grid_range.items())


def mask_of(body: Json, root: str = "") -> mask.Mask:
    """The request's field mask, required; `root` may be spelled out in it and is dropped."""
    text = body.get("fields")
    if not text:
        raise Refused("At least one field must be listed in 'fields'. (Use '*' to indicate all fields.)")
    tree = mask.parse(text)
    inner = tree.get(root) if root else None
    return inner if inner and len(tree) == 1 else tree


def last_body_row(tab: Tab) -> int | None:
    last = len(tab.values) - 1
    return last if last >= (tab.grid.get("frozenRowCount") or 0) and last >= 0 else None


def stored_range(draft: Draft, grid_range: Json) -> Json:
    """A GridRange as it is kept and answered: the id 0 is left out, the tab must be there."""
    tab = draft.look(grid_range.get("sheetId") or 0)
    draft.box(tab, grid_range)
    bounds = {bound: grid_range[bound] for bound in BOUNDS if grid_range.get(bound) is not None}
    return ({"sheetId": tab.sheet_id} if tab.sheet_id else {}) | bounds


def range_of(tab: Tab, box: Box) -> Json:
    where = dict(zip(BOUNDS, (box.r0, box.r1, box.c0, box.c1), strict=True))
    return ({"sheetId": tab.sheet_id} if tab.sheet_id else {}) | where
