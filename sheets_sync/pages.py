"""Tabs beside Stock that the service keeps and people fill in: what a row should show against what it shows.

Pure. A row is found by its key, wherever it was sorted to. Cells of the service are set where they differ; a person's
cells are written only in rows that are added. A row whose key is wanted no more goes, unless a person wrote in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from types import MappingProxyType

from sheets_sync import exchange, views
from sheets_sync.exchange import Request
from sheets_sync.model import Cell

MOST_CHANGED = 1_000
MOST_ADDED = 2_000
"""Rows that one pass changes or adds in one tab; the next pass does the rest."""


REST = 100
"""Reading a tab beside Stock takes at most one part in so many of the time."""


def rest(took: timedelta) -> timedelta:
    """How long a tab that took so long to read is left alone after it."""
    return min(timedelta(minutes=10), max(timedelta(seconds=15), REST * took))


@dataclass(frozen=True)
class Page:
    """A tab as one read shows it: its header, and its rows by number, cells by header."""

    header: tuple[Cell, ...]
    rows: Mapping[int, Mapping[str, Cell]]

    @classmethod
    def of(cls, values: Sequence[Sequence[Cell]]) -> Page:
        """From a tab's rows; empty ones are left out, and of a header that occurs twice the first counts."""
        header = tuple(values[0]) if values else ()
        at = {str(name): i for i, name in reversed(list(enumerate(header))) if name is not None}
        rows = {}
        for number, cells in enumerate(values[1:], start=2):
            if any(cell is not None for cell in cells):
                rows[number] = {name: cells[i] if i < len(cells) else None for name, i in at.items()}
        return cls(header, rows)


@dataclass(frozen=True)
class Changes:
    """What brings a tab up to date, as far as one pass goes; `more`: the next pass has to go on."""

    requests: tuple[Request, ...] = ()
    more: bool = False


def changes(
    page: Page, key: str, wanted: Mapping[str, Mapping[str, Cell]], new: Mapping[str, Mapping[str, Cell]],
    typed: Collection[str], sheet: int, *, gone: Mapping[str, Cell] = MappingProxyType({}),
) -> Changes:  # fmt: skip
    """`wanted`: the service's cells by row key; `new`: besides, a person's cells of rows that are added.

    `typed` are the headers in which people write: a row in which one of them has something stays when its key is wanted
    no more, and shows `gone`.
    """
    differ: list[tuple[int, dict[str, Cell]]] = []
    leave: list[int] = []
    seen: set[str] = set()
    for number, cells in page.rows.items():
        name = cells.get(key)
        if name is None:
            continue
        shows = wanted.get(str(name)) if str(name) not in seen else None  # a copied row is nobody's
        seen.add(str(name))
        if shows is None:
            written = any(cells.get(header) not in (None, False) for header in typed)
            leave += [] if written else [number]
            shows = gone if written else {}
        cells_now = {h: v for h, v in shows.items() if h in cells and not _same(cells[h], v)}
        if cells_now:
            differ.append((number, cells_now))
    missing = [name for name in wanted if name not in seen]
    requests = [*_set(differ[:MOST_CHANGED], page.header, sheet), *_drop(leave[:MOST_CHANGED], sheet)]
    if missing:
        rows = [views.picked({**wanted[n], **new.get(n, {}), key: n}, page.header) for n in missing[:MOST_ADDED]]
        added = [exchange.cells_of(row) for row in rows]
        requests.append({"appendCells": {"sheetId": sheet, "rows": added, "fields": "userEnteredValue"}})
    more = len(differ) > MOST_CHANGED or len(leave) > MOST_CHANGED or len(missing) > MOST_ADDED
    return Changes(tuple(requests), more)


def block(
    rows: Sequence[Mapping[str, Cell]], ours: Collection[str], header: Sequence[Cell], sheet: int, first: int,
    height: int,
) -> list[Request]:  # fmt: skip
    """`rows` from row `first` on, counted from 0, and nothing below them for the rest of `height`: what stood there
    goes. Only in columns named in `ours`; a request for each run of neighbours.
    """
    filled = [*rows[:height], *[{}] * (height - len(rows))] if height > 0 else []
    at = [n for n, name in enumerate(header) if name in ours and header.index(name) == n]
    out: list[Request] = []
    for _, run in groupby(enumerate(at), key=lambda n: n[1] - n[0]):
        span = [n for _, n in run]
        cells = [exchange.cells_of([row.get(str(header[n])) for n in span]) for row in filled]
        where = exchange.grid_range(sheet, first, first + len(filled), span[0], span[-1] + 1)
        out += [{"updateCells": {"range": where, "fields": "userEnteredValue", "rows": cells}}] if filled else []
    return out


@dataclass
class Tops:
    """The header and the first row of tabs that are asked by what stands there: one read for all of them, if any."""

    read: Callable[[Sequence[str]], Sequence[Sequence[Sequence[Cell]]]]
    titles: tuple[str, ...]
    found: dict[str, tuple[Sequence[Cell], Mapping[str, Cell]]] = field(default_factory=dict)

    def of(self, title: str) -> tuple[Sequence[Cell], Mapping[str, Cell]]:
        """The header, and the row below it by header."""
        if not self.found:
            blocks = self.read([f"'{one}'!1:2" for one in self.titles])
            self.found = {one: _top(rows) for one, rows in zip(self.titles, blocks, strict=True)}
        return self.found[title]


def _top(rows: Sequence[Sequence[Cell]]) -> tuple[Sequence[Cell], Mapping[str, Cell]]:
    header = rows[0] if rows else ()
    cells = [*(rows[1] if len(rows) > 1 else ()), *[None] * len(header)]
    return header, {str(name): cells[n] for n, name in reversed(list(enumerate(header))) if name is not None}


def _same(cell: Cell, wanted: Cell) -> bool:
    return cell == wanted and isinstance(cell, bool) == isinstance(wanted, bool)


def _set(differ: Iterable[tuple[int, Mapping[str, Cell]]], header: Sequence[Cell], sheet: int) -> list[Request]:
    """One request for each run of neighbouring cells in a row."""
    at = {str(name): i for i, name in reversed(list(enumerate(header))) if name is not None}
    out: list[Request] = []
    for number, cells in differ:
        run: list[tuple[int, Cell]] = []
        for position, value in sorted((at[name], value) for name, value in cells.items() if name in at):
            if run and position != run[-1][0] + 1:
                out.append(_written(run, number, sheet))
                run = []
            run.append((position, value))
        if run:
            out.append(_written(run, number, sheet))
    return out


def _written(run: Sequence[tuple[int, Cell]], number: int, sheet: int) -> Request:
    where = exchange.grid_range(sheet, number - 1, number, run[0][0], run[-1][0] + 1)
    row = exchange.cells_of([value for _, value in run])
    return {"updateCells": {"range": where, "fields": "userEnteredValue", "rows": [row]}}


def _drop(rows: Iterable[int], sheet: int) -> list[Request]:
    """From the bottom up, so that the numbers above stay right."""
    return [
        {"deleteDimension": {"range": {"sheetId": sheet, "dimension": "ROWS", "startIndex": n - 1, "endIndex": n}}}
        for n in sorted(rows, reverse=True)
    ]
