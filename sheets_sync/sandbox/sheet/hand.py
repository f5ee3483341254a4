"""What a person does at the page, on its way into the store: in the right place, allowed, and to be taken back.

A page names rows as it last saw them (`base`, a revision). `Hand.edit` carries its requests to where those rows are
now, asks before a protected cell is written, refuses what a strict drop-down does not offer, and keeps what undoes it
for the page that did it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sheets_sync.sandbox.sheet import a1
from sheets_sync.sandbox.sheet.a1 import Box
from sheets_sync.sandbox.sheet.draft import BOUNDS, Refused
from sheets_sync.sandbox.sheet.grid import Book, Json, Tab
from sheets_sync.sandbox.sheet.moves import Move, carried, carried_bound, carried_gap, parked
from sheets_sync.sandbox.sheet.store import Applied, Store
from sheets_sync.sandbox.sheet.undo import PutBack, Step, step_back
from sheets_sync.sandbox.sheet.view import misfit

PAGES = 64  # pages whose edits can be undone; those that did nothing for longest are forgotten
STEPS = 100  # edits of one page that can be undone
KINDS = frozenset(
    {
        "addSheet",
        "clearBasicFilter",
        "clearCells",
        "copyPaste",
        "deleteDimension",
        "deleteSheet",
        "duplicateSheet",
        "enterValues",
        "insertDimension",
        "moveDimension",
        "setBasicFilter",
        "sortRange",
        "updateDimensionProperties",
        "updateSheetProperties",
    }
)
_VIEWS = frozenset({"clearBasicFilter", "setBasicFilter", "updateDimensionProperties"})  # nothing to take back


class Protected(Exception):
    """Cells that are written by someone else: the person is told why, and may still do it."""


class Outdated(Exception):
    """The page shows a workbook so old that its rows can not be found again; it has to look first."""


class NothingToDo(Exception):
    """There is nothing to undo or redo."""


@dataclass
class _Stacks:
    back: list[Step] = field(default_factory=list)
    forth: list[Step] = field(default_factory=list)
    done: dict[str, Done] = field(default_factory=dict)  # by the page's own id of the edit


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an edit: the revision it led to, how much can be undone and redone, cells left alone."""

    revision: int
    undo: int
    redo: int
    left: int = 0
    sheet_id: int | None = None  # the tab in which something was undone or done again
    replies: Sequence[Json] = ()


class Hand:
    """All pages of one store. Safe for many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pages: OrderedDict[tuple[str, str], _Stacks] = OrderedDict()
        self._back: OrderedDict[tuple[str, int], int] = OrderedDict()  # revision of a deletion -> that of its undo
        self._lock = threading.Lock()

    def _stacks(self, spreadsheet_id: str, page: str) -> _Stacks:
        key = spreadsheet_id, page
        stacks = self._pages.setdefault(key, _Stacks())
        self._pages.move_to_end(key)
        while len(self._pages) > PAGES:
            self._pages.popitem(last=False)
        return stacks

    def depth(self, spreadsheet_id: str, page: str) -> tuple[int, int]:
        """How many edits of a page can be undone, and redone."""
        with self._lock:
            stacks = self._pages.get((spreadsheet_id, page)) or _Stacks()
            return len(stacks.back), len(stacks.forth)

    def edit(
        self,
        spreadsheet_id: str,
        requests: Sequence[Json],
        base: int | None = None,
        page: str = "",
        confirmed: bool = False,
        edit_id: str = "",
    ) -> Done:
        """Apply a person's requests, whole or not at all; raises Refused, Protected, Outdated, Unknown.

        An `edit_id` that the page sent before is not applied again: its answer was lost on the way.
        """
        with self._lock:
            known = self._pages.get((spreadsheet_id, page))
            if known and edit_id in known.done:
                return known.done[edit_id]
        sent: list[Json] = []

        def prepared(book: Book) -> list[Json]:
            moves = self._moves(spreadsheet_id, base, book)
            sent[:] = [_carried(request, moves) for request in requests] if moves else requests
            if not confirmed:
                _check_protected(book, sent)
            return sent

        applied = self._store.apply(spreadsheet_id, prepared, "person", lambda after: _check_choices(after, sent))
        with self._lock:
            stacks = self._stacks(spreadsheet_id, page) if page else _Stacks()
            if not sent[0].keys() & _VIEWS:
                step = step_back(sent, applied.moves, applied.before, applied.book)
                stacks.back = [*stacks.back, step][-STEPS:] if step else stacks.back
                stacks.forth = []
            done = Done(applied.book.revision, len(stacks.back), len(stacks.forth), replies=applied.replies)
            if edit_id:
                stacks.done[edit_id] = done
                while len(stacks.done) > STEPS:
                    del stacks.done[next(iter(stacks.done))]
            return done

    def undo(self, spreadsheet_id: str, page: str) -> Done:
        """Take back the page's last edit; raises NothingToDo, Refused (then that edit can not be undone any more)."""
        return self._step(spreadsheet_id, page, lambda stacks: (stacks.back, stacks.forth))

    def redo(self, spreadsheet_id: str, page: str) -> Done:
        """Do again what was undone last; raises as `undo`."""
        return self._step(spreadsheet_id, page, lambda stacks: (stacks.forth, stacks.back))

    def _step(self, spreadsheet_id: str, page: str, sides: Callable[[_Stacks], tuple[list[Step], list[Step]]]) -> Done:
        with self._lock:
            stacks = self._stacks(spreadsheet_id, page)
            source, target = sides(stacks)
            if not source:
                raise NothingToDo
            step = source.pop()  # gone even where it is refused: else undo would be stuck at it for ever
            sent: list[Json] = []

            def prepared(book: Book) -> list[Json]:
                sent[:] = step.requests(book, self._moves(spreadsheet_id, step.revision, book))
                return sent

            applied = self._store.apply(spreadsheet_id, prepared, "person")
            back = step_back(sent, applied.moves, applied.before, applied.book)
            if isinstance(step, PutBack):
                self._back[spreadsheet_id, step.revision] = applied.book.revision
                while len(self._back) > PAGES * STEPS:
                    self._back.popitem(last=False)
            if back:
                target.append(back)
            depth = len(stacks.back), len(stacks.forth)
            return Done(applied.book.revision, *depth, _left(applied), step.sheet_id)

    def forget(self, spreadsheet_id: str) -> None:
        """After an old version came back nothing can be undone; the version history has it all."""
        with self._lock:
            for key in [key for key in self._pages if key[0] == spreadsheet_id]:
                del self._pages[key]

    def _moves(self, spreadsheet_id: str, base: int | None, book: Book) -> Sequence[Move]:
        if base is None or base == book.revision:
            return ()
        changes = self._store.since(spreadsheet_id, base)
        if changes is None:
            raise Outdated
        moves = {change.revision: list(change.moves) for change in changes}
        for gone, lanes in moves.items():
            back = self._back.get((spreadsheet_id, gone))
            if back in moves and lanes and moves[back]:
                lanes[0], moves[back][0] = parked(lanes[0], moves[back][0], gone)
        return [move for lanes in moves.values() for move in lanes]


def _left(applied: Applied) -> int:
    return sum((reply.get("restoreCells") or {}).get("left", 0) for reply in applied.replies)


# in the right place


def _carried(request: Json, moves: Sequence[Move]) -> Json:
    """The request, naming the same rows and columns by the numbers that they have now."""
    kind, body = next(iter(request.items()))
    if kind == "enterValues":
        return {kind: _carried_values(body, moves)}
    moved = dict(body)
    for name in ("range", "source", "destination"):
        if isinstance(body.get(name), dict):
            if "dimension" in body[name]:
                moved[name] = _carried_span(body[name], moves)
            else:
                moved[name] = (_carried_block if kind in ("copyPaste", "clearCells") else _carried_range)(
                    body[name], moves
                )
    if "destinationIndex" in body:
        source = body["source"]
        moved["destinationIndex"] = carried_gap(
            body["destinationIndex"], moves, source.get("sheetId") or 0, source["dimension"]
        )
    if kind == "sortRange":
        sheet_id = body["range"].get("sheetId") or 0
        moved["sortSpecs"] = [
            {**spec, "dimensionIndex": _still(spec.get("dimensionIndex") or 0, moves, sheet_id, "COLUMNS")}
            for spec in body.get("sortSpecs") or ()
        ]
    return {kind: moved}


def _still(index: int, moves: Sequence[Move], sheet_id: int, dimension: str) -> int:
    place = carried(index, moves, sheet_id, dimension)
    if place is None:
        what = f"Row {index + 1}" if dimension == "ROWS" else f"Column {a1.letters(index)}"
        raise Refused(f"{what} was deleted by someone else meanwhile.")
    return place


def _carried_values(body: Json, moves: Sequence[Move]) -> Json:
    """Typed cells land in the rows they were typed in; a block that others tore apart is refused."""
    sheet_id, r0, c0 = body.get("sheetId") or 0, body.get("rowIndex") or 0, body.get("columnIndex") or 0
    rows = [_still(r0 + i, moves, sheet_id, "ROWS") for i in range(len(body["rows"]))]
    width = max((len(row) for row in body["rows"]), default=0)
    columns = [_still(c0 + i, moves, sheet_id, "COLUMNS") for i in range(width)]
    for lanes in (rows, columns):
        if lanes and lanes != list(range(lanes[0], lanes[0] + len(lanes))):
            raise Refused("Rows or columns were moved by someone else meanwhile. Look, and do it again.")
    return {**body, "rowIndex": rows[0] if rows else r0, "columnIndex": columns[0] if columns else c0}


def _carried_span(span: Json, moves: Sequence[Move]) -> Json:
    sheet_id, dimension = span.get("sheetId") or 0, span["dimension"]
    start, end = span.get("startIndex") or 0, span["endIndex"]
    first = _still(start, moves, sheet_id, dimension)
    if [carried(i, moves, sheet_id, dimension) for i in range(start, end)] != list(range(first, first + end - start)):
        raise Refused(f"These {dimension.lower()} were changed by someone else meanwhile. Look, and do it again.")
    return {**span, "startIndex": first, "endIndex": first + end - start}


def _carried_block(grid_range: Json, moves: Sequence[Move]) -> Json:
    moved = dict(grid_range)
    for start, end, dimension in (
        ("startRowIndex", "endRowIndex", "ROWS"),
        ("startColumnIndex", "endColumnIndex", "COLUMNS"),
    ):
        span = {"sheetId": grid_range.get("sheetId") or 0, "dimension": dimension}
        there = _carried_span({**span, "startIndex": grid_range[start], "endIndex": grid_range[end]}, moves)
        moved[start], moved[end] = there["startIndex"], there["endIndex"]
    return moved


def _carried_range(grid_range: Json, moves: Sequence[Move]) -> Json:
    sheet_id = grid_range.get("sheetId") or 0
    moved = dict(grid_range)
    for bound in BOUNDS:
        if grid_range.get(bound) is not None:
            dimension = "ROWS" if "Row" in bound else "COLUMNS"
            moved[bound] = carried_bound(grid_range[bound], moves, sheet_id, dimension)
    return moved


# allowed


def _written(book: Book, requests: Sequence[Json]) -> Iterator[tuple[Tab, Box]]:
    """The blocks of cells that the requests write into."""
    for request in requests:
        kind, body = next(iter(request.items()))
        if kind == "enterValues":
            where = body
            width = max((len(row) for row in body["rows"]), default=0)
            r0, c0 = body.get("rowIndex") or 0, body.get("columnIndex") or 0
            box = Box(r0, r0 + len(body["rows"]), c0, c0 + width)
        elif kind in ("copyPaste", "clearCells"):
            where = body["destination" if kind == "copyPaste" else "range"]
            box = Box(*(where[bound] for bound in BOUNDS))
        elif kind == "deleteDimension" and body["range"].get("dimension") == "COLUMNS":
            where = body["range"]
            box = Box(0, 10**9, where.get("startIndex") or 0, where["endIndex"])
        else:
            continue
        tab = book.tab(where.get("sheetId") or 0)
        if tab is not None:
            yield tab, box


def _check_protected(book: Book, requests: Sequence[Json]) -> None:
    for tab, box in _written(book, requests):
        for item in tab.protected:
            if _meets(tab, item.get("range") or {}, box) and not any(
                _within(tab, free, box) for free in item.get("unprotectedRanges") or ()
            ):
                raise Protected(item.get("description") or "These cells are protected.")


def _limits(tab: Tab, grid_range: Json) -> Box:
    r0, r1, c0, c1 = (grid_range.get(bound) for bound in BOUNDS)
    return Box(r0 or 0, 10**9 if r1 is None else r1, c0 or 0, 10**9 if c1 is None else c1)


def _meets(tab: Tab, grid_range: Json, box: Box) -> bool:
    other = _limits(tab, grid_range)
    return box.r0 < other.r1 and other.r0 < box.r1 and box.c0 < other.c1 and other.c0 < box.c1


def _within(tab: Tab, grid_range: Json, box: Box) -> bool:
    other = _limits(tab, grid_range)
    return other.r0 <= box.r0 and box.r1 <= other.r1 and other.c0 <= box.c0 and box.c1 <= other.c1


def _check_choices(book: Book, requests: Sequence[Json]) -> None:
    """A strict validation refuses what it does not offer; one that is not strict only marks it."""
    for request in requests:
        body = request.get("enterValues")
        tab = book.tab(body.get("sheetId") or 0) if body else None
        if body is None or tab is None:
            continue
        for row, values in enumerate(body["rows"], body.get("rowIndex") or 0):
            for column, value in enumerate(values, body.get("columnIndex") or 0):
                problem = value is not None and misfit(tab, row, column)
                if problem and ((tab.style(row, column) or {})["dataValidation"]).get("strict"):
                    raise Refused(f"{a1.letters(column)}{row + 1}: {problem}")
