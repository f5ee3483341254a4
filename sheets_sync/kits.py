"""Kits: SKUs made of other SKUs. What stands in the Kits tab, what a kit has available, and what its orders take. Pure.

A kit has no balance (K1). What is available of it is worked out at each location, since it is packed there, and summed
(K2). An order of a kit is an order of its components, as the kit was when it was first read (K3): `expand` makes a line
of each component, and keeps to those that it made before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from sheets_sync.model import Balance, Cell, LineState, OrderLine, StockKey

Kits = Mapping[str, Mapping[str, int]]
"""Units of each component in one of the kit, by kit SKU and component SKU."""

KIT, COMPONENT, UNITS = "Kit SKU", "Component SKU", "Units"
PART = "#"
"""Between an order line's own id and the number of a component's part of it."""


@dataclass(frozen=True)
class Rows:
    """What the tab says: whole kits, and what is wrong with the other rows, by row number."""

    kits: Kits
    problems: Mapping[int, str]
    rows: Mapping[int, tuple[str, str]]  # (kit, component) of the rows that are read


def read(page: Mapping[int, Mapping[str, Cell]], ours: Collection[str]) -> Rows:
    """The rows of the tab. A kit of which one row is wrong is not read at all; its rows say why."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    rows: dict[int, tuple[str, str]] = {}
    problems: dict[int, str] = {}
    for number, cells in page.items():
        kit, component, units = _text(cells.get(KIT)), _text(cells.get(COMPONENT)), _units(cells.get(UNITS))
        if not kit and not component and cells.get(UNITS) is None:
            continue
        says = _wrong(kit, component, units, ours, found)
        rows[number] = (kit, component)
        if says:
            problems[number] = says
        elif units is not None:
            found[kit][component] = units
    for number, (kit, component) in rows.items():
        loop = _loop(kit, component, found) if number not in problems else ""
        if loop:
            problems[number] = f"? Kits cannot stand in kits: {loop}. List what {component} is made of here instead."
    bad = {rows[number][0] for number in problems}
    for number, (kit, _) in rows.items():
        if kit in bad and number not in problems:
            problems[number] = f"waits for the other rows of {kit}"
    return Rows({kit: parts for kit, parts in found.items() if kit not in bad}, problems, rows)


def _wrong(kit: str, component: str, units: int | None, ours: Collection[str], found: Kits) -> str:
    if not kit or not component:
        return f"? {KIT if not kit else COMPONENT} is missing, or is a number; format the column as plain text"
    if units is None:
        return "? Units must be a whole number from 1 on: how many of the component one kit has"
    if component not in ours:
        return f"? {component} is no SKU of yours: add it in Stock first"
    if component in found.get(kit, {}):
        return f"? {component} stands in two rows of {kit}: keep one"
    return ""


def _loop(kit: str, component: str, found: Kits) -> str:
    """The way from a component that is a kit itself, as far as it goes; "" where it is none."""
    if component == kit:
        return f"{kit} > {kit}"
    way, at = [kit, component], component
    while at in found and len(way) < 6:
        at = next(iter(found[at]))
        way.append(at)
        if at == kit:
            break
    return " > ".join(way) if component in found else ""


def available(kit: Mapping[str, int], balances: Mapping[StockKey, Balance], places: Collection[str]) -> int | None:
    """K2: whole kits at each location, summed. None while a component has no count anywhere."""
    if not all(any(_is_counted(balances.get(StockKey(sku, place))) for place in places) for sku in kit):
        return None
    return sum(at(kit, balances, place) for place in places)


def at(kit: Mapping[str, int], balances: Mapping[StockKey, Balance], place: str) -> int:
    """K2: whole kits that can be made at one location."""
    return min(_at(sku, place, balances) // units for sku, units in kit.items())


def _is_counted(balance: Balance | None) -> bool:
    return balance is not None and balance.counted


def _at(sku: str, place: str, balances: Mapping[StockKey, Balance]) -> int:
    balance = balances.get(StockKey(sku, place))
    return balance.stock.available if balance is not None and balance.counted else 0


def described(kit: Mapping[str, int]) -> str:
    """What a kit is made of, in words."""
    return "a kit of " + " and ".join(f"{units} {sku}" for sku, units in kit.items())


# orders ---------------------------------------------------------------------------------------------------------


def expand(
    line: OrderLine, stored: Mapping[str, LineState], resolve: Callable[[OrderLine], tuple[str | None, int]], kits: Kits
) -> list[tuple[OrderLine, str | None, int]]:
    """(line, SKU, units in one) for each component of a kit's line, or the line itself. What was stored decides."""
    parts = [p for id, p in stored.items() if id.startswith(f"{line.id}{PART}")]
    if parts:
        parts.sort(key=lambda p: int(p.level.id.rsplit(PART, 1)[1]))
        return [(_part(line, n), part.sku, part.pack_size) for n, part in enumerate(parts)]
    sku, pack_size = resolve(line)
    known = stored.get(line.id)
    if sku not in kits or (known is not None and known.sku is not None):
        return [(line, sku, pack_size)]
    return [(_part(line, n), c, units * pack_size) for n, (c, units) in enumerate(kits[str(sku)].items())]


def parts_of(line: LineState, kit: Mapping[str, int], pack_size: int) -> list[LineState]:
    """A line that waited for its SKU, which is a kit: a line for each component."""
    return [
        replace(line, key=f"{line.key}{PART}{n}", level=_part(line.level, n), sku=sku, pack_size=units * pack_size)
        for n, (sku, units) in enumerate(kit.items())
    ]


def _part(line: OrderLine, number: int) -> OrderLine:
    """A component's part. What the channel took off its own figure, it took off once, so one part alone tells of it."""
    made = replace(line, id=f"{line.id}{PART}{number}")
    return made if number == 0 else replace(made, taken=0, taken_at=None)


def _text(cell: Cell) -> str:
    return cell.strip() if isinstance(cell, str) else ""


def _units(cell: Cell) -> int | None:
    if isinstance(cell, str) and cell.strip().isascii() and cell.strip().isdigit() and len(cell) < 8:
        cell = int(cell)
    return cell if type(cell) is int and cell >= 1 else None
