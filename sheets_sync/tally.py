"""A stock-take as a whole: what it comes to, what has to be answered before Post, and what nobody believes. Pure.

`Tally.of` takes the rows that were told at once, by column, and the others, one by one; the rest are questions to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from sheets_sync import stocktake
from sheets_sync.bulk import Flags, Plain, Whole
from sheets_sync.stocktake import AT_ALL, Line, many

_NOTHING = -(2**62)
"""Stands where nothing is expected: no count is equal to it."""


@dataclass(frozen=True)
class Tally:
    """Every count of a stock-take, by column: those that were told at once, then the others in their order."""

    plain: Plain
    others: Sequence[Line]
    units: Whole
    expected: Whole  # _NOTHING where a SKU is counted for the first time
    row: Whole  # 0 where a SKU has several rows, or none

    @classmethod
    def of(cls, plain: Plain, others: Sequence[Line]) -> Tally:
        """Of these counts."""

        def joined(column: Sequence[int] | Whole, rest: Iterable[int]) -> Whole:
            return np.concatenate([np.asarray(column, np.int64), np.fromiter(rest, np.int64, len(others))])

        return cls(
            plain,
            others,
            joined(plain.units, (line.take.units for line in others)),
            joined(plain.expected, (_NOTHING if line.expected is None else line.expected for line in others)),
            joined(plain.numbers, (line.take.rows[0] if len(line.take.rows) == 1 else 0 for line in others)),
        )

    def __len__(self) -> int:
        return len(self.units)

    @property
    def known(self) -> Flags:
        """Of which a count stood before."""
        known: Flags = self.expected != _NOTHING
        return known

    @property
    def off(self) -> Flags:
        """Those that differ."""
        off: Flags = self.known & (self.units != self.expected)
        return off

    def sku(self, n: int) -> str:
        """What the n-th of them counts."""
        return self.plain.skus[n] if n < len(self.plain) else self.others[n - len(self.plain)].take.sku


@dataclass(frozen=True)
class Totals:
    """What stands above the rows."""

    rows: int = 0
    skus: int = 0
    flagged: int = 0
    differ: int = 0
    up: int = 0
    down: int = 0
    value: Decimal | None = None  # of the differences, where costs are given

    def words(self) -> str:
        """In one sentence."""
        parts = [many(self.rows, "row"), f"{many(self.skus, 'SKU')} counted"]
        parts.append(f"{self.differ:,} {'differs' if self.differ == 1 else 'differ'}")
        if self.differ:
            parts[-1] += f" ({many(self.up, 'unit')} up, {self.down:,} down)"
        if self.value is not None:
            parts.append(f"value {self.value:+,}")
        if self.flagged:
            parts.append(f"{many(self.flagged, 'row')} flagged and not counted")
        return ", ".join(parts) + "."


def totals(rows: int, flagged: int, tally: Tally) -> Totals:
    """Differences are against what was expected; a first count is none."""
    off = tally.off
    differences = tally.units[off] - tally.expected[off]
    up, down = differences[differences > 0].sum(), -differences[differences < 0].sum()
    return Totals(rows, len(tally), flagged, len(differences), int(up), int(down), _value(tally))


def _value(tally: Tally) -> Decimal | None:
    """None where no cost can be read. A cost of what does not differ adds 0, to its own number of places."""
    worth: Decimal | None = None
    for cost, difference in _costs(tally):
        worth = (worth or Decimal(0)) + cost * difference
    return worth


def _costs(tally: Tally) -> Iterator[tuple[Decimal, int]]:
    plain = tally.plain
    cells = set(plain.table.costs) - {None}
    if cells:
        read = {cell: stocktake.cost_of(cell) for cell in cells}
        differences = (plain.units - plain.expected).tolist()
        for at, difference in zip(plain.at.tolist(), differences, strict=True):
            cost = read.get(plain.table.costs[at])
            if cost is not None:
                yield cost, difference
    for line in tally.others:
        if line.take.cost is not None:
            yield line.take.cost, line.difference or 0


def obstacles(tally: Tally, choice: str | None) -> list[str]:
    """What a person has to say before Post: C3, asked once a session; C2, where a time is missing."""
    plain, others = tally.plain, tally.others
    asks, untimed = [], []
    if choice is None:
        open_ = np.flatnonzero(plain.promised > 0).tolist()
        asks = [plain.skus[n] for n in open_ if plain.choices[plain.at[n]] is None]
        asks += [line.take.sku for line in others if line.promised and line.take.choice is None]
    if plain.moved:
        untimed = [sku for sku, at in zip(plain.skus, plain.at.tolist(), strict=True) if at in plain.moved]
    untimed += [line.take.sku for line in others if line.moved]
    out = []
    if asks:
        out.append(
            f"{_some(asks)} had open orders: were those units in the count, or packed apart or already gone? Choose "
            "in Open orders."
        )
    if untimed:
        out.append(
            f"{_some(untimed)} moved in the last 48 hours: when was it counted? Fill in Counted at, or {AT_ALL}."
        )
    return out


def _some(skus: Sequence[str]) -> str:
    few = ", ".join(skus[:3])
    return few if len(skus) <= 3 else f"{len(skus):,} SKUs ({few}, ...)"


# what nobody believes -------------------------------------------------------------------------------------------


def improbable(tally: Tally, twice: int, zeroed: int, stocked: int) -> list[str]:
    """Why a whole count cannot be believed without asking. `twice` of its SKUs stand twice with one figure; `zeroed`
    SKUs of `stocked` would be set to 0 uncounted.
    """
    known, off, expected = int(tally.known.sum()), tally.off, np.maximum(tally.expected, 0)
    out = []
    differ, units = int(off.sum()), int(np.abs(tally.units[off] - tally.expected[off]).sum())
    whole = int(expected.sum())
    if known >= 10 and differ > known / 2 and units > whole / 2:
        out.append(f"{differ:,} of {known:,} SKUs differ, by {units:,} units where {whole:,} were expected.")
    zeros = int((off & (tally.units == 0) & (expected > 0)).sum())
    if zeros >= 5 and zeros > known / 5:
        out.append(f"{zeros:,} of {known:,} SKUs were counted 0 and had stock.")
    if zeroed >= 2 and zeroed > stocked / 4:
        out.append(f"{zeroed:,} of {stocked:,} SKUs with stock were not counted and would become 0.")
    jumps = np.flatnonzero(off & (tally.units >= 100) & (tally.units > 10 * np.maximum(expected, 1)))
    if len(jumps):
        first = int(jumps[0])
        out.append(
            f"{many(len(jumps), 'SKU')} counted more than ten times as high as expected ({tally.sku(first)}: "
            f"{tally.units[first]} for {tally.expected[first]})."
        )
    out += _shifted(tally)
    if twice >= 3 and twice * 2 > len(tally):
        out.append(f"{twice:,} SKUs stand twice with the same figure. Was the table pasted twice?")
    return out


def _shifted(tally: Tally) -> list[str]:
    """Rows below one another whose counts are what the row above, or below, should have: they slipped by a row."""
    off = tally.off & (tally.row > 0)
    if int(off.sum()) < 3:
        return []
    beside = np.full(int(tally.row.max()) + 2, _NOTHING)
    beside[tally.row] = tally.expected
    beside[0] = _NOTHING  # is no row
    order = np.argsort(tally.row[off], kind="stable")
    rows, units = tally.row[off][order], tally.units[off][order]
    once = np.append(rows[1:] != rows[:-1], True)  # a kit's row counts several SKUs
    rows, units = rows[once], units[once]
    for step, where in ((-1, "above"), (1, "below")):
        slipped = beside[rows + step] == units
        most = _longest(rows.tolist(), slipped.tolist()) if slipped.sum() >= 3 else 0
        if most >= 5 or (most >= 3 and most * 2 > len(tally)):
            return [f"{most:,} rows in a row have counts that the row {where} should have. Did columns slip by a row?"]
    return []


def _longest(rows: Sequence[int], slipped: Sequence[bool]) -> int:
    """How many slipped without a break; one row between two is none."""
    most = run = previous = 0
    for row, slip in zip(rows, slipped, strict=True):
        run = (run + 1 if row - previous <= 2 else 1) if slip else 0
        most, previous = max(most, run), row
    return most
