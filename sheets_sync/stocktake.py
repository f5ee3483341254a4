"""A stock-take: rows that people pasted -> what was counted of each SKU, what differs, what cannot be true. Pure.

`group` reads the rows: one `Take` a SKU, summed over its rows (C4), and the words about every row that does not count.
`reckon` compares a take with the ledger by law 2: what was on hand when it was counted, and what has left or come back
since. `obstacles` and `improbable` look at the whole: what has to be answered before Post, and what nobody believes
unasked. A figure that cannot be read is flagged and never 0; it stops no other row.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from functools import cached_property, lru_cache
from typing import NamedTuple

from sheets_sync import guard, stock
from sheets_sync.model import LONG_AGO, MAIN, Balance, Cell, Event, Fact, Kind
from sheets_sync.names import bare, form

SKU, BARCODE, COUNTED, AT, NOTE, ORDERS, COST = (
    "SKU", "Barcode", "Counted", "Counted at", "Note", "Open orders", "Cost",
)  # fmt: skip
EXPECTED, DIFFERENCE, STATUS = "Expected", "Difference", "Status"
TYPED = (SKU, BARCODE, COUNTED, AT, NOTE, ORDERS, COST)
SHOWN = (EXPECTED, DIFFERENCE, STATUS)

IN_COUNT, APART = "in the count", "packed apart"
PARTIAL, FULL = "Partial", "Full"

HEAD_ROWS = 12
"""The header stands somewhere in these first rows; the last one that names SKU and Counted is the header."""

MOVED_WITHIN = timedelta(hours=48)
"""C2: a count without a time is asked about where its SKU moved this recently."""

MOST = 1_000_000
"""Units of one row beyond which nobody has counted: a barcode scanned into the wrong cell."""

# headers --------------------------------------------------------------------------------------------------------

_NAMES: Mapping[str, str] = {
    "sku": SKU, "seller sku": SKU, "item sku": SKU, "product sku": SKU, "variant sku": SKU, "stock code": SKU,
    "item number": SKU, "part number": SKU, "artikelnummer": SKU, "artikelnr": SKU, "art nr": SKU, "référence": SKU,
    "reference": SKU, "referencia": SKU, "codice": SKU, "artikel": SKU, "article": SKU, "item": SKU, "code": SKU,
    "barcode": BARCODE, "ean": BARCODE, "upc": BARCODE, "gtin": BARCODE, "ean13": BARCODE, "code barre": BARCODE,
    "strichcode": BARCODE, "barcode value": BARCODE,
    "counted": COUNTED, "count": COUNTED, "counted quantity": COUNTED, "counted qty": COUNTED, "qty": COUNTED,
    "quantity": COUNTED, "qty counted": COUNTED, "stock count": COUNTED, "physical count": COUNTED, "units": COUNTED,
    "gezählt": COUNTED, "menge": COUNTED, "anzahl": COUNTED, "quantité": COUNTED, "quantite": COUNTED,
    "cantidad": COUNTED, "quantità": COUNTED, "aantal": COUNTED,
    "counted at": AT, "counted on": AT, "scanned at": AT, "scan time": AT, "timestamp": AT, "time": AT, "date": AT,
    "datetime": AT, "date time": AT, "gezählt am": AT, "zeitpunkt": AT, "zeit": AT, "datum": AT,
    "note": NOTE, "notes": NOTE, "place": NOTE, "shelf": NOTE, "bin": NOTE, "location": NOTE, "remark": NOTE,
    "comment": NOTE, "lagerplatz": NOTE, "lagerort": NOTE, "bemerkung": NOTE,
    "open orders": ORDERS,
    "cost": COST, "unit cost": COST, "cost price": COST, "purchase price": COST, "ek": COST, "einkaufspreis": COST,
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """Where the columns stand: `at` those that were typed, `shown` those of the service, counted from 0."""

    row: int  # as people count
    at: Mapping[str, int]
    shown: Mapping[str, int] = field(default_factory=dict)
    width: int = 0  # columns that have a header, in this row or one above
    twice: tuple[str, ...] = ()


def header_of(rows: Sequence[Sequence[Cell]]) -> Header | None:
    """The header among the first rows: the last one that names a SKU (or a barcode) and a count.

    Our own columns may stand in it, or under a header further up where this one leaves them free.
    """
    tops = [(number, _named(cells)) for number, cells in enumerate(rows[:HEAD_ROWS], start=1)]
    found = [(number, names) for number, names in tops if COUNTED in names and (SKU in names or BARCODE in names)]
    if not found:
        return None
    row, names = found[-1]
    here = rows[row - 1]
    shown: dict[str, int] = {}
    for number, _ in found:
        for at, cell in enumerate(rows[number - 1]):
            free = number == row or at >= len(here) or here[at] is None
            if isinstance(cell, str) and cell.strip() in SHOWN and free:
                shown[cell.strip()] = at
    twice = tuple(name for name in TYPED if sum(_text(c) == name for c in here) > 1)
    width = max(_width(rows[number - 1]) for number, _ in found)
    return Header(row, names, shown, width, twice)


def _named(cells: Sequence[Cell]) -> dict[str, int]:
    """Our columns by the words over them. Our own word goes before another for the same, the left one before others."""
    found: dict[str, int] = {}
    for at, cell in enumerate(cells):
        name = _NAMES.get(_folded(cell)) if isinstance(cell, str) else None
        if name is not None and (name not in found or (_text(cell) == name != _text(cells[found[name]]))):
            found[name] = at
    return found


def _folded(text: str) -> str:
    return " ".join(re.sub(r"[^\w]+", " ", text.casefold().replace("_", " ")).split())


def _width(cells: Sequence[Cell]) -> int:
    return max((at for at, cell in enumerate(cells, start=1) if cell is not None), default=0)


# rows -----------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """One row as it was typed or pasted. `code` is a SKU, or a barcode that stands for one."""

    number: int
    code: Cell
    counted: Cell
    at: Cell = None
    note: Cell = None
    orders: Cell = None
    cost: Cell = None


# cells ----------------------------------------------------------------------------------------------------------

_WHOLE = re.compile(r"[0-9]{1,9}(?:[.,]0{1,2})?")
_DOTTED = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})[ T]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_DAY_ZERO = datetime(1899, 12, 30)  # noqa: DTZ001 - spreadsheets count local days from here, without a zone


def _either(cell: Cell) -> bool:
    return isinstance(cell, str) and re.fullmatch(r"[0-9]{1,3}[.,' ][0-9]{3}", cell.strip()) is not None


def units_of(cell: Cell) -> int | str:
    """A count, or words about why it is none. Text that can be read in one way only is read."""
    if isinstance(cell, str) and _WHOLE.fullmatch(cell.strip()):
        cell = int(re.split("[.,]", cell.strip())[0])
    if cell is None:
        return "blank: not counted"
    if not guard.is_count(cell):
        either = " It may mean thousands or a fraction; write it without a point or comma." if _either(cell) else ""
        return f"Counted: {guard.shown(cell)} is not a whole number of units, 0 or more.{either} It is not read as 0."
    units = int(cell)
    if units >= MOST:
        return f"Counted: {units} is no count. Was a barcode scanned into this cell?"
    return units


def moment_of(cell: Cell, zone: tzinfo) -> datetime | str:
    """C2: when it was counted, in UTC; a minute means its end. Words where that cannot be told for certain."""
    if isinstance(cell, bool) or cell is None:
        return _NO_TIME.format(guard.shown(cell))
    if isinstance(cell, int | float):
        if not 1 <= cell < 150_000:
            return f"Counted at: {_clock_time(cell)} has no date; write it like 2026-03-02 10:41."
        if cell == int(cell):
            return f"Counted at: {_DAY_ZERO + timedelta(days=cell):%Y-%m-%d} has no time of day; add it, like 10:41."
        local = _DAY_ZERO + timedelta(seconds=round(cell * 86_400))
    else:
        read = _from_text(cell.strip())
        if isinstance(read, str):
            return read
        local = read
    if local.second == 0 and local.microsecond == 0:
        local += timedelta(seconds=59, microseconds=999_999)
    if local.tzinfo is not None:
        return local.astimezone(UTC)
    early, late = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() != late.utcoffset():
        return f"Counted at: {local:%Y-%m-%d %H:%M} is no clear time (the clocks were changed); add +00:00, say."
    return early.astimezone(UTC)


_NO_TIME = "Counted at: {} is no time that can be read for certain; write it like 2026-03-02 10:41."


def _clock_time(cell: int | float) -> str:
    if not 0 <= cell < 1:
        return str(cell)
    return f"{_DAY_ZERO + timedelta(seconds=round(cell * 86_400)):%H:%M}"


def _from_text(text: str) -> datetime | str:
    dotted = _DOTTED.fullmatch(text)
    try:
        if dotted:
            day, month, year, hour, minute, second = (int(n or 0) for n in dotted.groups())
            return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - local; the caller knows the zone
        read = datetime.fromisoformat(text)
    except ValueError:
        return _NO_TIME.format(guard.shown(text))
    if ":" not in text:
        return f"Counted at: {text} has no time of day; add it, like 10:41."
    return read


def cost_of(cell: Cell) -> Decimal | None:
    """What one unit costs; None where that cannot be read for certain."""
    text = str(cell).strip() if cell is not None and not isinstance(cell, bool) else ""
    if not re.fullmatch(r"[0-9]+(?:[.,][0-9]+)?", text) or re.fullmatch(r"[0-9]{1,3},[0-9]{3}", text):
        return None
    try:
        return Decimal(text.replace(",", "."))
    except InvalidOperation:
        return None


def choice_of(cell: Cell) -> str | None:
    """C3: IN_COUNT or APART; None where nothing is chosen. Raises ValueError for other words."""
    text = _text(cell).casefold()
    if not text:
        return None
    if text.startswith("in"):
        return IN_COUNT
    if text.startswith(("packed", "apart", "gone", "already")):
        return APART
    raise ValueError(f"Open orders: {guard.shown(cell)} is neither '{IN_COUNT}' nor '{APART}'.")


def _text(cell: Cell) -> str:
    return "" if cell is None else str(cell).strip()


# names ----------------------------------------------------------------------------------------------------------

Kits = Mapping[str, Mapping[str, int]]
"""By a kit's SKU, its components and how many units of each."""


@dataclass(frozen=True)
class Names:
    """What may be counted: SKUs, the barcodes that stand for them, and kits."""

    skus: AbstractSet[str]
    barcodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by `bare`
    kits: Kits = field(default_factory=dict)

    def of(self, code: Cell) -> tuple[str, str]:
        """(SKU, "") for what a row names, or ("", why it names none)."""
        if isinstance(code, float | bool):
            return "", f"SKU: {guard.shown(code)} is no SKU; format the cell as plain text and write it again."
        name = _text(code)
        if not name:
            return "", "SKU: missing."
        meant = self.barcodes.get(bare(name), ()) if name.isdigit() else ()
        if name in self.skus or name in self.kits:
            others = [sku for sku in meant if sku != name]
            zeros = self._with_zeros(name) if isinstance(code, int) else []
            if others or zeros:
                return "", f"{name} is a SKU, and may also stand for {(others or zeros)[0]}. Write it as plain text."
            return name, ""
        if len(meant) == 1:
            return meant[0], ""
        if meant:
            return "", f"The barcode {name} stands beside several SKUs in Stock: {', '.join(meant[:3])}."
        return "", self._unknown(name, code)

    def _with_zeros(self, name: str) -> list[str]:
        return [
            sku
            for sku in self._alike.get(form(name, separators=False), [])
            if sku != name and sku.lstrip("0") == name.lstrip("0")
        ]

    def _unknown(self, name: str, code: Cell) -> str:
        like = self._alike.get(form(name, separators=False), [])
        hint = f" Is it {like[0]}?" if like else ""
        if isinstance(code, int) and not like and 40_000 <= code < 60_000:
            hint = f" Is it a date ({_DAY_ZERO + timedelta(days=code):%Y-%m-%d})? Write the SKU as plain text."
        elif _DATE_LIKE.fullmatch(name) and not like:
            hint = " It looks like a date: did a spreadsheet make one of it? Write the SKU as plain text."
        elif _SHORTENED.fullmatch(name) and not like:
            hint = " A spreadsheet shortened it; format its cell as plain text and write it again."
        return f"The SKU {guard.shown(name)} is unknown.{hint} Put it into the Stock tab first if it is new."

    @cached_property
    def _alike(self) -> Mapping[str, list[str]]:
        index: dict[str, list[str]] = defaultdict(list)
        for sku in sorted(self.skus):
            index[form(sku, separators=False)].append(sku)
        return dict(index)


_DATE_LIKE = re.compile(
    r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?|\d{1,2}[./]\d{1,2}[./](\d{2}|\d{4})|"
    r"\d{1,2}[-. ]+[^\W\d]{3,9}|[^\W\d]{3,9}[-. ]+\d{2,4}"
)
_SHORTENED = re.compile(r"\d([.,]\d+)?[eE]\+\d+")


# what was counted of each SKU -----------------------------------------------------------------------------------


class Part(NamedTuple):
    """What one row says of one SKU."""

    row: int
    units: int
    at: datetime
    given: bool  # Counted at was filled in; otherwise `at` is when the figure was first seen
    note: str
    choice: str | None
    cost: Decimal | None = None
    kit: str = ""  # these units are components of a counted kit


class Take(NamedTuple):
    """One SKU as it was counted, over all of its rows."""

    sku: str
    units: int
    at: datetime
    given: bool
    rows: tuple[int, ...] = ()
    first_at: datetime = LONG_AGO  # the earliest time of its rows
    choice: str | None = None
    note: str = ""
    cost: Decimal | None = None
    sums: tuple[int, ...] = ()  # the rows' figures where there are several

    @property
    def digest(self) -> str:
        """The same count of the same SKU, as typed, has the same."""
        told = repr((self.sku, self.units, self.at.timestamp(), self.note))
        return hashlib.blake2b(told.encode(), digest_size=6).hexdigest()


@dataclass(frozen=True)
class Grouped:
    """The rows, understood. `flags` says of each row that does not count why; `named` are all SKUs that stand there."""

    takes: Mapping[str, Take]
    flags: Mapping[int, str]
    kits: Mapping[int, str] = field(default_factory=dict)  # rows of counted kits, with what they add
    named: frozenset[str] = frozenset()  # also those whose count cannot be read
    blank: frozenset[str] = frozenset()  # SKUs of rows without a figure
    twice: int = 0  # SKUs that stand in two rows or more with the same figure and no note


def group(
    rows: Sequence[Row], seen_at: Sequence[datetime], names: Names, zone: tzinfo, now: datetime, *,
    allowance: timedelta = timedelta(seconds=60), default_at: datetime | None = None,
) -> Grouped:  # fmt: skip
    """Every row read, and the rows of one SKU summed (C4).

    `seen_at` is when each row's figure was first seen, which is its time where Counted at is blank; `default_at` is
    the time that the person gave for all such rows.
    """
    work = _Grouping(names, zone, now + allowance, default_at)
    for row, first_seen in zip(rows, seen_at, strict=True):
        work.read(row, first_seen)
    return work.summed()


class _Grouping:
    def __init__(self, names: Names, zone: tzinfo, latest: datetime, default_at: datetime | None) -> None:
        self.names, self.zone, self.default_at = names, zone, default_at
        self.latest = latest + timedelta(minutes=1)  # a minute means its end
        self.parts: dict[str, list[Part]] = {}
        self.spoiled: dict[str, int] = {}  # SKU -> a row of it that cannot be read
        self.flags: dict[int, str] = {}
        self.kits: dict[int, str] = {}
        self.moments: dict[Cell, datetime | str] = {}  # a scanner gives many rows one time
        self.blank: set[str] = set()
        self.twice = 0

    def read(self, row: Row, first_seen: datetime) -> None:
        """One row. Nearly all of them name a SKU as it is written in Stock, and that is seen fast."""
        sku = row.code
        if type(sku) is not str or sku not in self.names.skus or (self.names.barcodes and sku.isdigit()):
            sku, why = self.names.of(sku)
            if why:
                self.flags[row.number] = f"? {why}"
                return
        read = self._part(row, first_seen)
        if isinstance(read, str):
            self.flags[row.number] = read if row.counted is None else f"? {read}"
            if row.counted is None:
                self.blank.add(sku)
            else:
                for name in self.names.kits.get(sku, (sku,)):
                    self.spoiled.setdefault(name, row.number)
            return
        components = self.names.kits.get(sku)
        if components is None:
            self.parts.setdefault(sku, []).append(read)
            return
        self.kits[row.number] = "a kit: adds " + ", ".join(f"{read.units * n} of {c}" for c, n in components.items())
        for component, n in components.items():
            self.parts.setdefault(component, []).append(read._replace(units=read.units * n, cost=None, kit=sku))

    def _part(self, row: Row, first_seen: datetime) -> Part | str:
        units = row.counted
        if type(units) is not int or not 0 <= units < MOST:
            read = units_of(units)
            if isinstance(read, str):
                return read
            units = read
        at: datetime | str | None = self.default_at
        if row.at is not None:
            at = self.moments.get(row.at)
            if at is None:
                at = self.moments[row.at] = moment_of(row.at, self.zone)
        if isinstance(at, str):
            return at
        if at is not None and at > self.latest:
            return "Counted at: that is still to come; put the time right."
        choice = None
        if row.orders is not None:
            try:
                choice = choice_of(row.orders)
            except ValueError as error:
                return str(error)
        note = "" if row.note is None else str(row.note).strip()
        cost = None if row.cost is None else cost_of(row.cost)
        return Part(row.number, units, at or first_seen, at is not None, note, choice, cost)

    def summed(self) -> Grouped:
        takes = {}
        for sku, parts in self.parts.items():
            if len(parts) == 1 and sku not in self.spoiled:
                takes[sku] = _single(sku, parts[0])
                continue
            why = self._why_not(sku, parts)
            if why:
                for part in parts:
                    self.flags[part.row] = f"? {why}"
                    self.kits.pop(part.row, None)
            else:
                takes[sku] = _take(sku, parts)
        named = frozenset(takes) | frozenset(self.parts) | frozenset(self.spoiled)
        return Grouped(takes, self.flags, self.kits, named, frozenset(self.blank - named), self.twice)

    def _why_not(self, sku: str, parts: Sequence[Part]) -> str:
        """C4: why these rows cannot be summed; "" where they can."""
        if sku in self.spoiled:
            return f"Row {self.spoiled[sku]} has {sku} too and cannot be read; neither counts until that is put right."
        by_note: dict[str, list[int]] = {}
        for part in parts:
            if part.note and not part.kit:
                by_note.setdefault(part.note.casefold(), []).append(part.row)
        for rows in by_note.values():
            if len(rows) > 1:
                return f"{sku} stands in {_rows(rows)} with the same note: counted twice? Keep one, or tell them apart."
        if len({part.choice for part in parts}) > 1:
            return f"{sku} stands in {_rows([p.row for p in parts])} with different words under Open orders."
        if not any(part.note or part.kit for part in parts) and len({part.units for part in parts}) == 1:
            self.twice += 1
        return ""


def _single(sku: str, one: Part) -> Take:
    return Take(sku, one.units, one.at, one.given, (one.row,), one.at, one.choice, one.note, one.cost)


def _take(sku: str, parts: Sequence[Part]) -> Take:
    return Take(
        sku,
        sum(part.units for part in parts),
        max(part.at for part in parts),
        all(part.given for part in parts),
        tuple(dict.fromkeys(part.row for part in parts)),
        min(part.at for part in parts),
        parts[0].choice,
        "; ".join(dict.fromkeys(part.note for part in parts if part.note))[:500],
        next((part.cost for part in parts if part.cost is not None), None),
        tuple(part.units for part in parts),
    )


def _rows(numbers: Sequence[int]) -> str:
    """ "rows 5, 7 and 9"."""
    few = [str(n) for n in numbers[:4]] + ([f"{len(numbers) - 4} more"] if len(numbers) > 4 else [])
    return f"row {few[0]}" if len(few) == 1 else f"rows {', '.join(few[:-1])} and {few[-1]}"


# against the ledger ---------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """What a take says against the ledger. `total` is what on_hand was then: what was counted, and what is apart."""

    take: Take
    total: int
    expected: int | None  # what should have been counted; None for a SKU's first count
    now: int  # on hand once it is posted
    apart: int = 0  # C3: units of open orders that lay elsewhere
    lines: frozenset[str] = frozenset()  # those orders' lines
    since: tuple[tuple[str, int], ...] = ()  # what happened after the count, in words and units
    promised: int = 0  # units of open orders when it was counted
    moved: bool = False  # C2: it has no time, and moved within the last 48 hours
    later: datetime | None = None  # a later count stands, and this one does not change what is on hand
    why: str = ""  # C4: why its rows cannot be summed after all

    @property
    def difference(self) -> int | None:
        """What was counted, less what was expected."""
        return None if self.expected is None else self.take.units - self.expected


def needs_facts(take: Take, balance: Balance | None, default: str | None, now: datetime) -> bool:
    """Whether the balance alone tells what was expected, or the SKU's events have to be read."""
    if balance is None:
        return False
    since = take.first_at if take.given else min(take.first_at, now - MOVED_WITHIN)
    return balance.last_at > since or bool(balance.stock.committed and (take.choice or default) == APART)


def reckon(
    take: Take, balance: Balance | None, facts: Sequence[Fact] | None, default: str | None, now: datetime
) -> Line:
    """A take against the ledger. `facts` are all of its SKU, in the order of recording, where they are needed.

    `default` is what the session says of open orders (C3); a row's own word goes first.
    """
    if facts is None:
        known = balance.stock.on_hand if balance is not None and balance.counted else None
        promised = max(0, balance.stock.committed) if balance is not None else 0
        return Line(take, take.units, known, take.units, promised=promised)
    standing = stock.in_order(facts)
    before = [f for f in standing if f.occurred_at <= take.at]
    after = [f for f in standing if f.occurred_at > take.at]
    open_lines = _open_lines(before)
    is_apart = (take.choice or default) == APART
    lines = frozenset(open_lines) if is_apart else frozenset()
    apart = sum(open_lines.values()) if is_apart else 0
    # the law takes off a count what those lines have moved before it: that was not there to be counted
    gone = sum(f.change.on_hand for f in before if f.count is None and f.line in lines)
    count = take.units + apart - gone
    counted = any(f.count is not None for f in standing)
    expected = stock.on_hand(facts, take.at) - apart if counted else None
    result = stock.on_hand([*facts, Fact("now", take.sku, Kind.STOCK_TAKE, take.at, count=count, apart=lines)])
    moves = [f for f in standing if f.count is None and f.change.on_hand]
    return Line(
        take, count, expected, result, apart, lines, _since(after),
        promised=max(0, sum(f.change.committed for f in before)),
        moved=not take.given and any(f.occurred_at > now - MOVED_WITHIN for f in moves),
        later=max((f.occurred_at for f in after if f.count is not None), default=None),
        why=_between(take, moves),
    )  # fmt: skip


def _open_lines(before: Iterable[Fact]) -> dict[str, int]:
    by_line: Counter[str] = Counter()
    for fact in before:
        if fact.line:
            by_line[fact.line] += fact.change.committed
    return {line: units for line, units in by_line.items() if units > 0}


def _between(take: Take, moves: Iterable[Fact]) -> str:
    """C4: rows whose times have a movement between them cannot be summed."""
    if take.first_at == take.at or not any(take.first_at < f.occurred_at <= take.at for f in moves):
        return ""
    return f"Units of {take.sku} moved between the times of its rows, so they cannot be summed. Count it in one go."


_SINCE: Mapping[Kind | str, tuple[str, int]] = {Kind.SHIPMENT: ("shipped", -1), Kind.RETURN: ("returned", 1)}


def tell(told: dict[str, int], kind: Kind | str, on_hand: int) -> None:
    """Add a movement to what is told of a SKU, by word."""
    word, sign = _SINCE.get(kind, ("added", 1) if on_hand > 0 else ("taken off", -1))
    told[word] = told.get(word, 0) + on_hand * sign


def told(words: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """What happened, in words and units."""
    return tuple((word, units) for word, units in words.items() if units)


def _since(after: Iterable[Fact]) -> tuple[tuple[str, int], ...]:
    words: dict[str, int] = {}
    for fact in after:
        if fact.count is None and fact.change.on_hand:
            tell(words, fact.kind, fact.change.on_hand)
    return told(words)


@lru_cache(4096)
def when(at: datetime, zone: tzinfo, today: date) -> str:
    """In words. A scanner, or a look, gives many rows one time."""
    local = at.astimezone(zone)
    return f"at {local:%H:%M}" if local.date() == today else f"on {local:%Y-%m-%d} at {local:%H:%M}"


def said(line: Line, zone: tzinfo, today: datetime, *, posted: bool = False) -> str:
    """The row's Status, in words: what was counted, what happened since, and what is on hand by it."""
    take = line.take
    then = when(take.at, zone, today.astimezone(zone).date())
    sums = ""
    if take.sums:
        some = " + ".join(map(str, take.sums[:6])) + (" + ..." if len(take.sums) > 6 else "")
        sums = f" ({some} in {_rows(take.rows)})"
    told = [f"counted {take.units}{sums} {then}" if take.rows else f"not counted, 0 {then}"]
    if line.apart:
        told.append(f"{line.apart} packed apart")
    told += [f"{units} {word} since" for word, units in line.since]
    if line.later is not None:
        told.append("a later count stands")
    told.append(f"now {line.now}" + ("" if posted else " once posted"))
    return ("posted: " if posted else "") + "; ".join(told)


# recorded -------------------------------------------------------------------------------------------------------


def many(n: int, what: str) -> str:
    """ "1 row", "2 rows"."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def digest_of(lines: Iterable[Line], mode: str) -> str:
    """A name for exactly these counts: what an approval holds for."""
    parts = sorted(repr((take.sku, take.units, take.at.timestamp(), take.note)) for take, *_ in lines)
    return hashlib.sha256("\n".join([mode, *parts]).encode()).hexdigest()[:20]


def fact_of(line: Line, session: str, *, actor: str, source: str = "stock-take", location: str = MAIN) -> Fact:
    """The count as the ledger takes it: once for a session and SKU."""
    take = line.take
    kind = Kind.STOCK_TAKE if line.expected is not None else Kind.OPENING
    where = f", {_rows(take.rows)}" if take.rows else ", not counted"
    return Fact(
        f"stock_take:{session}:{take.sku}", take.sku, kind, take.at, count=line.total, apart=line.lines,
        location=location, source=source, actor=actor, reference=f"{session}{where}", note=take.note, batch=session,
    )  # fmt: skip


def before_post(facts: Iterable[Event], batch: str) -> list[Fact]:
    """The facts that the ledger had of a SKU when a session was posted."""
    out = []
    for event in facts:
        if event.fact.batch == batch:
            break
        if event.is_fact:
            out.append(event.fact)
    return out


def missing(balances: Iterable[Balance], named: frozenset[str], archived: frozenset[str]) -> list[Balance]:
    """C5: what a full count has not counted: SKUs with stock that stand in no row that counts."""
    return [
        b for b in balances if b.counted and b.stock.on_hand and b.key.sku not in named and b.key.sku not in archived
    ]  # fmt: skip


# the settings above the rows -----------------------------------------------------------------------------------

POST, MODE, AT_ALL, ZERO, FREEZE, SESSION, STATE = (
    "Post", "Mode", "Counted at for all", "Not counted are 0", "Freeze", "Session", "State",
)  # fmt: skip
SKUS, DIFFER, UP, DOWN, VALUE, FLAGGED, ROWS = (
    "SKUs counted", "SKUs that differ", "Units up", "Units down", "Value", "Rows flagged", "Rows",
)  # fmt: skip
LOCATION = "Location"
CHOSEN = (POST, MODE, AT_ALL, ZERO, ORDERS, FREEZE, LOCATION)
SETTINGS_ROW, WORDS_ROW = 2, 3


@dataclass(frozen=True)
class Settings:
    """What the person chose above the rows."""

    at: Mapping[str, int] = field(default_factory=dict)  # their columns, counted from 0
    cells: Mapping[str, Cell] = field(default_factory=dict)
    words: Cell = None  # what stands below State

    @property
    def whole(self) -> bool:
        """Whether the settings stand where they should."""
        return POST in self.at

    @property
    def post(self) -> bool:
        """Whether Post is ticked."""
        return self.cells.get(POST) is True

    @property
    def full(self) -> bool:
        """Whether all SKUs are counted, and not only some."""
        return _text(self.cells.get(MODE)).casefold() == FULL.casefold()

    @property
    def zero(self) -> bool:
        """Whether what was not counted is 0, by an explicit tick."""
        return self.full and self.cells.get(ZERO) is True

    @property
    def freeze(self) -> bool:
        """C7: whether no channel may be raised meanwhile."""
        return self.cells.get(FREEZE) is True

    @property
    def choice(self) -> str | None:
        """C3: what all rows say of open orders that have no word of their own."""
        try:
            return choice_of(self.cells.get(ORDERS))
        except ValueError:
            return None

    def problems(self, zone: tzinfo) -> list[str]:
        """What cannot be read, in words."""
        out = []
        mode, at = self.cells.get(MODE), self.cells.get(AT_ALL)
        if mode is not None and _text(mode).casefold() not in (FULL.casefold(), PARTIAL.casefold()):
            out.append(f"Mode: {guard.shown(mode)} is neither {PARTIAL} nor {FULL}.")
        try:
            choice_of(self.cells.get(ORDERS))
        except ValueError as error:
            out.append(str(error))
        read = None if at is None else moment_of(at, zone)
        return [*out, read.replace("Counted at", AT_ALL)] if isinstance(read, str) else out

    def default_at(self, zone: tzinfo) -> datetime | None:
        """The time given for all rows that have none of their own."""
        at = self.cells.get(AT_ALL)
        read = None if at is None else moment_of(at, zone)
        return read if isinstance(read, datetime) else None


def settings_of(rows: Sequence[Sequence[Cell]]) -> Settings:
    """The settings in the first rows of the tab: names in row 1, what was chosen below."""
    if not rows or POST not in [_text(cell) for cell in rows[0]]:
        return Settings()
    at = {_text(name): place for place, name in reversed(list(enumerate(rows[0]))) if name is not None}
    chosen = rows[SETTINGS_ROW - 1] if len(rows) >= SETTINGS_ROW else ()
    cells = {name: chosen[place] if place < len(chosen) else None for name, place in at.items()}
    below, place = rows[WORDS_ROW - 1] if len(rows) >= WORDS_ROW else (), at.get(STATE)
    words = below[place] if place is not None and place < len(below) else None
    return Settings(at, cells, words)
