"""Rows about which there is little to say, told at once, by column; the others go one by one (`stocktake.py`). Pure.

Nearly all rows of a large table name a SKU that stands in no other row, with a whole number, a time that can be read
and words that are understood. Of those, `sift` tells the ones of which nothing has moved since, by their balances
alone; `Sifted.told` those that did move, by what moved after the count, where no later count stands and nothing is
struck. Told together they take a small part of the time, and they mean the same: a property of the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from functools import cached_property
from itertools import compress, repeat
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sheets_sync import stocktake
from sheets_sync.model import Balance, Cell, Kind
from sheets_sync.stocktake import APART, MOST, MOVED_WITHIN, Line, Names, Row, Take

Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]
Seconds = NDArray[np.float64]

Move = Sequence[Any]
"""(SKU, kind, when, on_hand, committed, what was counted, what is struck) of an event, as `View.moves` gives it."""


# the rows -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """Rows by column, those in which something was typed; `numbers` are their rows in the sheet."""

    numbers: Sequence[int]
    codes: Sequence[Cell]
    counted: Sequence[Cell]
    at: Sequence[Cell]
    notes: Sequence[Cell]
    orders: Sequence[Cell]
    costs: Sequence[Cell]

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Row]:
        return map(Row._make, zip(*self._columns, strict=True))

    def row(self, at: int) -> Row:
        """One row, by its place counted from 0."""
        return Row(*(column[at] for column in self._columns))

    def rows(self, which: Iterable[int]) -> list[Row]:
        """Some of them."""
        return [self.row(at) for at in which]

    @property
    def _columns(self) -> tuple[Sequence[Any], ...]:
        return (self.numbers, self.codes, self.counted, self.at, self.notes, self.orders, self.costs)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Table:
        """Rows as a table."""
        columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
        return cls(*columns) if columns else cls((), (), (), (), (), (), ())


def table_of(columns: Mapping[str, Sequence[Cell]], first: int) -> Table:
    """The rows in which something was typed. `columns` are those of TYPED, by name, from row `first` on."""
    length = max(map(len, columns.values()), default=0)
    filled = [_filled(columns.get(name, ()), length) for name in stocktake.TYPED]
    skus, codes = filled[0], filled[1]
    if columns.get(stocktake.BARCODE):
        skus = [code if sku is None else sku for sku, code in zip(skus, codes, strict=True)]
    every: list[Sequence[Any]] = [range(first, first + length), skus, *filled[2:]]
    if None in skus:
        there = [any(cell is not None for cell in cells) for cells in zip(*every[1:], strict=True)]
        every = [list(compress(column, there)) for column in every]
    return Table(*every)


def _filled(cells: Sequence[Cell], length: int) -> Sequence[Cell]:
    return cells if len(cells) == length else [*cells, *([None] * (length - len(cells)))]


def figure_keys(codes: Iterable[Cell], counted: Iterable[Cell], notes: Iterable[Cell]) -> list[str]:
    """A name for each row's figure by its contents, wherever the row is sorted to; of equal ones the n-th."""
    keys = [f"{a}\x1f{b}\x1f{c or ''}" for a, b, c in zip(codes, counted, notes, strict=True)]
    if len(set(keys)) == len(keys):
        return keys
    times: dict[str, int] = {}
    for at, key in enumerate(keys):
        n = times[key] = times.get(key, 0) + 1
        keys[at] = key if n == 1 else f"{key}\x1f{n}"
    return keys


# the cells beside them ------------------------------------------------------------------------------------------


class Beside:
    """What stands beside the rows, by column, from row `first` on: Expected, Difference, Status."""

    def __init__(self, first: int, columns: Sequence[Sequence[Cell]], last: int = 0) -> None:
        self.first = first
        length = max(last - first + 1, *map(len, columns), 0)
        self.columns = [_objects(column, length) for column in columns]

    @property
    def last(self) -> int:
        """The lowest row."""
        return self.first + len(self.columns[0]) - 1

    def of(self, row: int) -> tuple[Cell, Cell, Cell]:
        """What stands beside one row."""
        if not self.first <= row <= self.last:
            return None, None, None
        a, b, c = (column[row - self.first] for column in self.columns)
        return a, b, c

    def set(self, row: int, cells: Sequence[Cell]) -> None:
        """For one row that is there."""
        for column, cell in zip(self.columns, cells, strict=True):
            column[row - self.first] = cell

    def fill(self, rows: Sequence[int], columns: Sequence[Sequence[Cell]]) -> None:
        """For many."""
        at = np.array(rows, np.int64) - self.first
        for column, cells in zip(self.columns, columns, strict=True):
            column[at] = _objects(cells, len(cells))

    def unlike(self, shows: Beside) -> dict[int, tuple[Cell, ...]]:
        """By row, the cells of the rows of which one shows something else; `shows` has no other rows."""
        differ = np.zeros(len(self.columns[0]), np.bool_)
        for column, other in zip(self.columns, shows.columns, strict=True):
            differ |= column != _objects(other, len(column))
        at = np.flatnonzero(differ)
        cells = zip(*(column[at].tolist() for column in self.columns), strict=True)
        return dict(zip((at + self.first).tolist(), cells, strict=True))


def _objects(cells: Sequence[Cell] | NDArray[Any], length: int) -> NDArray[Any]:
    column = np.empty(length, object)
    column[: len(cells)] = cells
    return column


# the balances ---------------------------------------------------------------------------------------------------


class Standing:
    """The balances of one location, by column. `refresh` brings them up to date at the cost of what has changed."""

    def __init__(self, balances: Iterable[Balance] = ()) -> None:
        self.balances: list[Balance] = []
        self.place: dict[str, int] = {}
        self.columns = _columns(())
        self.refresh(balances)

    def refresh(self, balances: Iterable[Balance]) -> None:
        """These are the balances now; most of them are the very ones that were there before, at the same place."""
        before, self.balances = self.balances, list(balances)
        now = self.balances
        if len(now) < len(before) or any(
            old.key != new.key for old, new in zip(before, now, strict=False) if old is not new
        ):
            before, self.place, self.columns = [], {}, _columns(())
        changed = [at for at, (old, new) in enumerate(zip(before, now, strict=False)) if old is not new]
        changed += range(len(before), len(now))
        self.place |= {now[at].key.sku: at for at in changed}
        fresh = _columns([now[at] for at in changed])
        if len(changed) == len(now):
            self.columns = fresh
        elif changed:
            for column, values in zip(self.columns, fresh, strict=True):
                column.resize(len(now), refcheck=False)
                column[changed] = values

    @property
    def stocked(self) -> int:
        """How many SKUs have stock."""
        return int((self.columns.counted & (self.columns.on_hand > 0)).sum())

    def get(self, sku: str) -> Balance | None:
        """One balance, if there is one."""
        at = self.place.get(sku)
        return None if at is None else self.balances[at]

    def places(self, codes: Sequence[Any]) -> Whole:
        """Where the balance of each code is; -1 where it has none."""
        return np.fromiter(map(self.place.get, codes, repeat(-1)), np.int64, len(codes))


class Columns(NamedTuple):
    """Of balances; times in seconds since 1970, in which two moments a microsecond apart still differ."""

    on_hand: Whole
    committed: Whole
    counted: Flags
    last_at: Seconds
    last_count_at: Seconds


def _columns(balances: Sequence[Balance]) -> Columns:
    return Columns(
        np.array([b.stock[0] for b in balances], np.int64),
        np.array([b.stock[1] for b in balances], np.int64),
        np.array([b.counted for b in balances], np.bool_),
        np.array([b.last_at.timestamp() for b in balances], np.float64),
        np.array([b.last_count_at.timestamp() for b in balances], np.float64),
    )


# the rows that are told at once ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Times:
    """The times of a table: few, as a scanner or a look gives many rows one."""

    moments: Sequence[datetime]
    given: Flags
    of_row: Whole  # which of them; -1 where the row has none that can be read

    @cached_property
    def seconds(self) -> Seconds:
        return np.array([at.timestamp() for at in self.moments], np.float64)


def _times_of(
    table: Table, seen_at: Sequence[datetime], zone: tzinfo, latest: datetime, default_at: datetime | None
) -> _Times:
    moments: list[datetime] = []
    number: dict[Cell, int] = {}
    for cell in set(table.at):
        read = default_at if cell is None else stocktake.moment_of(cell, zone)
        if isinstance(read, datetime):
            number[cell] = len(moments) if read <= latest else -1
            moments += [read] if read <= latest else []
    given = len(moments)
    of_row = np.fromiter(map(number.get, table.at, repeat(-1)), np.int64, len(table))
    if default_at is None and None in table.at:
        first: dict[datetime, int] = {}
        for at, cell in enumerate(table.at):
            if cell is None:
                of_row[at] = first.setdefault(seen_at[at], given + len(first))
        moments += first
    return _Times(moments, np.arange(len(moments)) < given, of_row)


@dataclass(frozen=True)
class Plain:
    """What `Line` says of one row each, by column."""

    table: Table
    times: _Times
    at: Whole  # places in the table; the columns below are of these rows
    units: Whole
    expected: Whole
    now: Whole
    promised: Whole
    choices: Sequence[str | None]  # of all rows of the table, like the two below
    since: Mapping[int, tuple[tuple[str, int], ...]] = field(default_factory=dict)  # what happened after the count
    moved: Collection[int] = ()  # rows without a time that moved lately (C2)

    def __len__(self) -> int:
        return len(self.at)

    @cached_property
    def skus(self) -> list[str]:
        """What they count."""
        return self._picked(self.table.codes)

    @cached_property
    def numbers(self) -> list[int]:
        """The rows in the sheet."""
        return self._picked(self.table.numbers)

    def _picked(self, column: Sequence[Any]) -> list[Any]:
        return [column[at] for at in self.at.tolist()]

    def line(self, n: int) -> Line:
        """The n-th of them, as it would be told by itself."""
        at = int(self.at[n])
        number, code, _, _, note, _, cost = self.table.row(at)
        time = int(self.times.of_row[at])
        moment, units = self.times.moments[time], int(self.units[n])
        take = Take(
            str(code), units, moment, bool(self.times.given[time]), (number,), moment, self.choices[at],
            "" if note is None else str(note).strip(), None if cost is None else stocktake.cost_of(cost),
        )  # fmt: skip
        return Line(
            take, units, int(self.expected[n]), int(self.now[n]), since=self.since.get(at, ()),
            promised=max(0, int(self.promised[n])), moved=at in self.moved,
        )  # fmt: skip

    def lines(self) -> dict[str, Line]:
        """All of them, by SKU."""
        return {sku: self.line(n) for n, sku in enumerate(self.skus)}

    def without(self, skus: Collection[str]) -> tuple[Plain, list[int]]:
        """The others; and the places in the table of these."""
        if not skus:
            return self, []
        keep = np.array([sku not in skus for sku in self.skus], np.bool_)
        return self._only(keep), self.at[~keep].tolist()

    def _only(self, keep: Flags) -> Plain:
        return replace(
            self, at=self.at[keep], units=self.units[keep], expected=self.expected[keep], now=self.now[keep],
            promised=self.promised[keep],
        )  # fmt: skip

    def said(self, zone: tzinfo, today: datetime, *, posted: bool = False) -> list[str]:
        """Each row's Status in the words of `stocktake.said`; those that say the same are told once."""
        words: dict[str, int] = {}
        day = today.astimezone(zone).date()
        of_time = [words.setdefault(stocktake.when(t, zone, day), len(words)) for t in self.times.moments]
        stories: dict[object, int] = {}
        story = np.zeros(len(self.table), np.int64)
        for at, since in self.since.items():
            story[at] = stories.setdefault(since, len(stories) + 1)
        when = np.array(of_time, np.int64)[self.times.of_row[self.at]]
        kinds = (story[self.at] * (len(words) + 1) + when) * MOST + self.units
        _, first, same = np.unique(kinds, return_index=True, return_inverse=True)
        texts = [stocktake.said(self.line(n), zone, today, posted=posted) for n in first.tolist()]
        return [texts[n] for n in same.tolist()]


# sifting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sifted:
    """A table, sifted. Of the rows that can be told at once, `stirred` are those of whose SKU something moved since;
    `rest` are the places of the others.
    """

    plain: Plain
    stirred: Flags
    rest: Sequence[int]
    recent: datetime

    @cached_property
    def since(self) -> dict[str, datetime]:
        """By SKU, from when on its movements have to be known."""
        times = self.plain.times
        bounds = [
            at if given else min(at, self.recent) for at, given in zip(times.moments, times.given.tolist(), strict=True)
        ]
        at = self.plain.at[self.stirred].tolist()
        which = times.of_row[at].tolist()
        return {self.plain.table.codes[row]: bounds[time] for row, time in zip(at, which, strict=True)}

    def told(self, moves: Iterable[Move]) -> tuple[Plain, list[int]]:
        """What is told at once, given all that moved since `since` and all that was struck; the places of the rest."""
        if not self.stirred.any():
            return self.plain, list(self.rest)
        after = _After(self)
        for move in sorted(moves, key=_WHEN):
            after.hear(*move)
        plain, odd = after.told().without(after.odd)
        return plain, sorted([*self.rest, *odd])


_WHEN = itemgetter(2)

Asked = Callable[[Mapping[str, datetime]], Iterable[Move]]


@dataclass
class Heard:
    """What moved, by SKU, as it was read before: read again where the SKU has another event, or other times count."""

    moves: dict[str, tuple[tuple[int, datetime], list[Move]]] = field(default_factory=dict)

    def of(self, since: Mapping[str, datetime], standing: Standing, ask: Asked) -> list[Move]:
        """Every movement since these times; `ask` reads those that are not known."""
        versions = {sku: (standing.balances[standing.place[sku]].event_id, at) for sku, at in since.items()}
        known = {sku: self.moves[sku] for sku, version in versions.items() if self.moves.get(sku, _NONE)[0] == version}
        unknown = {sku: at for sku, at in since.items() if sku not in known} if len(known) < len(since) else {}
        for sku in unknown:
            known[sku] = versions[sku], []
        for move in ask(unknown):
            known[move[0]][1].append(move)
        self.moves = known
        return [move for _, moves in known.values() for move in moves]


_NONE: tuple[None, list[Move]] = (None, [])


class _After:
    """What happened after the rows were counted, as it is heard in the order of time."""

    def __init__(self, sifted: Sifted) -> None:
        self.plain, self.recent = sifted.plain, sifted.recent
        times, where = self.plain.times, np.flatnonzero(sifted.stirred)
        self.row = self.plain.at[where].tolist()
        self.time = [times.moments[n] for n in times.of_row[self.row].tolist()]
        self.given = times.given[times.of_row[self.row]].tolist()
        self.where = where
        self.of = {self.plain.table.codes[row]: n for n, row in enumerate(self.row)}
        self.on_hand, self.committed = [0] * len(where), [0] * len(where)
        self.words: dict[int, dict[str, int]] = {}
        self.moved: set[int] = set()
        self.odd: set[str] = set()  # struck, or counted since: told one by one

    def hear(
        self, sku: str, kind: str, at: datetime, on_hand: int, committed: int, counted: int | None, struck: str | None
    ) -> None:
        n = self.of[sku]
        if struck is not None:
            self.odd.add(sku)
        if kind == Kind.CORRECTION or counted is not None:
            return
        if at > self.time[n]:
            self.on_hand[n] += on_hand
            self.committed[n] += committed
            if on_hand:
                stocktake.tell(self.words.setdefault(n, {}), kind, on_hand)
        if on_hand and not self.given[n] and at > self.recent:
            self.moved.add(self.row[n])

    def told(self) -> Plain:
        expected, now, promised = (c.copy() for c in (self.plain.expected, self.plain.now, self.plain.promised))
        expected[self.where] -= self.on_hand
        now[self.where] += self.on_hand
        promised[self.where] -= self.committed
        since = {self.row[n]: stocktake.told(words) for n, words in self.words.items()}
        return replace(
            self.plain, expected=expected, now=now, promised=promised, moved=self.moved,
            since={row: words for row, words in since.items() if words},
        )  # fmt: skip


def sift(
    table: Table, seen_at: Sequence[datetime], names: Names, standing: Standing, zone: tzinfo, now: datetime, *,
    allowance: timedelta, default_at: datetime | None, choice: str | None, places: Whole | None = None,
) -> Sifted:  # fmt: skip
    """Which rows are told at once. `seen_at` is when each figure was first seen, where it has no time of its own;
    `places` are those of the codes among the balances, where they are known.
    """
    times = _times_of(table, seen_at, zone, now + allowance + timedelta(minutes=1), default_at)
    recent = now - MOVED_WITHIN
    place = standing.places(table.codes) if places is None else places
    units = np.array([n if type(n) is int and 0 <= n < MOST else -1 for n in table.counted], np.int64)
    good = (place >= 0) & (units >= 0) & (times.of_row >= 0)
    choices, unread = _choices_of(table.orders)
    good[[*unread, *_ambiguous(table.codes, names)]] = False
    at = np.flatnonzero(good)
    here = place[at]
    times_seen = np.bincount(place[place >= 0], minlength=len(standing.balances))
    books = standing.columns
    counted, given = times.seconds[times.of_row[at]], times.given[times.of_row[at]]
    stirred = books.last_at[here] > np.where(given, counted, np.minimum(counted, recent.timestamp()))
    apart = _apart(choices, choice)[at]
    keep = (times_seen[here] == 1) & books.counted[here] & (books.last_count_at[here] <= counted)
    keep &= ~(apart & (stirred | (books.committed[here] != 0)))
    at, here, stirred = at[keep], here[keep], stirred[keep]
    plain = Plain(
        table, times, at, units[at], books.on_hand[here], units[at], books.committed[here], choices
    )  # fmt: skip
    rest = np.ones(len(table), np.bool_)
    rest[at] = False
    return Sifted(plain, stirred, np.flatnonzero(rest).tolist(), recent)


def _apart(choices: Sequence[str | None], choice: str | None) -> Flags:
    """Where open orders were packed apart: by the row's own word, or else by that for all."""
    if not any(choices):
        return np.full(len(choices), choice == APART)
    return np.array([(own or choice) == APART for own in choices], np.bool_)


def _choices_of(orders: Sequence[Cell]) -> tuple[list[str | None], list[int]]:
    """What each row says of open orders (C3); the places of rows of which that cannot be told."""
    words = set(orders) - {None}
    if not words:
        return [None] * len(orders), []
    read: dict[Cell, str | None] = {None: None}
    for word in words:
        try:
            read[word] = stocktake.choice_of(word)
        except ValueError:
            continue
    return [read.get(cell) for cell in orders], [at for at, cell in enumerate(orders) if cell not in read]


def _ambiguous(codes: Sequence[Cell], names: Names) -> list[int]:
    """The places of rows that name a kit, or what may be a barcode."""
    kits = [at for at, code in enumerate(codes) if code in names.kits] if names.kits else []
    barcodes = [at for at, code in enumerate(codes) if str(code).isdigit()] if names.barcodes else []
    return kits + barcodes
