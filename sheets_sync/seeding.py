"""The seed-day matrix: every SKU with what each channel shows, what it would open with, and what is odd about it.

`matrix` is the one function. What the primary marketplace shows is copied everywhere, so it is looked at before it is
believed: B1 to B4, B7. Nothing here is a decision of ours: the primary's figure is preselected, a person may type
another one, and what can't be a count is not opened at all.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from sheets_sync import names
from sheets_sync.model import Cell, Listing

LEAVE_OUT = "leave out"
"""Typed instead of a count: this SKU is not opened."""

LEFT_OUT, STILL_IN = "left out", "still in it"
"""The two answers to the one question about other channels' open orders (B3)."""


class Odd(StrEnum):
    """What may be wrong with a row, worst first."""

    NOT_A_COUNT = "typed, and not a count"
    NO_SKU = "no SKU"
    DUPLICATE = "several listings with one SKU"
    LOOK_ALIKE = "SKUs that look alike"
    NEGATIVE = "negative figure"
    FILLER = "looks like a filler"
    UNTRACKED = "no stock kept"
    NOT_SET = "can't be set there"
    VARIATIONS = "keeps the stock of its variations"
    KIT = "a kit"
    NO_PARTNER = "on one channel only"
    NOT_ON_PRIMARY = "not on the primary"
    DIFFERS = "figures differ"


@dataclass(frozen=True)
class Typed:
    """What a person typed over a row's opening, and when that was first seen (B4)."""

    cell: Cell
    at: datetime

    @property
    def count(self) -> int | None:
        """The units typed; None where that is no count."""
        return self.cell if type(self.cell) is int and self.cell >= 0 else None

    @property
    def leaves_out(self) -> bool:
        """Whether the person said that this SKU is not opened yet."""
        return isinstance(self.cell, str) and self.cell.strip().casefold() == LEAVE_OUT


@dataclass(frozen=True)
class Row:
    """One line of the matrix. `opens` is None where it would not be opened; `odd` says why, among the rest."""

    key: str
    sku: str | None
    title: str
    figures: Mapping[str, int | None]  # by channel, of those that have it; several listings of one SKU are no figure
    primary: int | None
    opens: int | None
    open_orders: Mapping[str, int]  # units, by channel
    odd: tuple[tuple[Odd, str], ...] = ()


@dataclass(frozen=True)
class Seed:
    """What the matrix is made of. `orders` are open units by channel and SKU, `left_out` those units of the primary's
    own open orders that its figure has left out already (B3).
    """

    primary: str
    titles: Mapping[str, str]
    listings: Sequence[Listing]
    orders: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    typed: Mapping[str, Typed] = field(default_factory=dict)
    answer: str = ""
    kits: Collection[str] = ()

    @cached_property
    def elsewhere(self) -> Counter[str]:
        """Units of open orders on channels other than the primary, by SKU."""
        out: Counter[str] = Counter()
        for channel, units in self.orders.items():
            if channel != self.primary:
                out.update(units)
        return out


def matrix(seed: Seed) -> list[Row]:
    """The rows: SKUs as the primary lists them, then those of other channels only, then listings without a SKU."""
    by_sku: dict[str, list[Listing]] = defaultdict(list)
    nameless = []
    for item in sorted(seed.listings, key=lambda item: item.channel != seed.primary):
        sku = sku_of(item)
        if sku is None:
            nameless.append(item)
        else:
            by_sku[sku].append(item)
    alike = _look_alikes(by_sku)
    parents = {(item.channel, item.ref.parent): item.title for item in seed.listings if item.ref.parent}
    rows = [_row(seed, sku, items, alike.get(sku, ()), parents) for sku, items in by_sku.items()]
    return [*rows, *(_nameless(seed, item) for item in nameless)]


def sku_of(item: Listing) -> str | None:
    """The SKU a listing stands for on seed day: the one it is mapped to, else its own."""
    return item.sku or (item.remote_sku.strip() or None if item.remote_sku else None)


def summary(rows: Iterable[Row]) -> dict[Odd, list[Row]]:
    """The rows by what is odd about them, in the order of `Odd`; only what there is."""
    found: dict[Odd, list[Row]] = {odd: [] for odd in Odd}
    for row in rows:
        for odd in dict.fromkeys(kind for kind, _ in row.odd):
            found[odd].append(row)
    return {odd: those for odd, those in found.items() if those}


_FILLER = re.compile(r"9{3,}|10{3,}|12345\d*")


# one row --------------------------------------------------------------------------------------------------------


def _row(
    seed: Seed, sku: str, items: Sequence[Listing], alike: Sequence[str], parents: Mapping[tuple[str, str], str]
) -> Row:
    by_channel: dict[str, list[Listing]] = defaultdict(list)
    for item in items:
        by_channel[item.channel].append(item)
    figures = {name: _units(found) for name, found in by_channel.items()}
    primary, key = figures.get(seed.primary), key_of(sku)
    orders = {name: units[sku] for name, units in seed.orders.items() if units.get(sku)}
    opens, odd = _opens(seed, sku, by_channel.get(seed.primary, ()), seed.typed.get(key))
    odd += [(Odd.LOOK_ALIKE, f"easily taken for {', '.join(alike)}")] if alike else []
    for name, found in by_channel.items():
        odd += _oddities(seed.titles[name], found, parents)
    odd += _across(seed, figures)
    title = next((item.title for item in items if item.title), "")
    order = list(Odd)
    return Row(key, sku, title, figures, primary, opens, orders, tuple(sorted(odd, key=lambda o: order.index(o[0]))))


def key_of(sku: str) -> str:
    """The name of a SKU's row."""
    return f"sku:{sku}"


def _nameless(seed: Seed, item: Listing) -> Row:
    title = seed.titles[item.channel]
    odd = ((Odd.NO_SKU, f"no SKU on {title}: give it one there, or map it in the Listings tab"),)
    key = f"listing:{item.channel}/{item.ref.listing}/{item.ref.place}"
    shown = {item.channel: item.shown}
    return Row(key, None, item.title, shown, shown.get(seed.primary), None, {}, odd)


def _units(found: Sequence[Listing]) -> int | None:
    """What a channel's listing of a SKU shows, in units, at all its places. Several listings may each show the whole
    stock, so they are no sum.
    """
    shown = [item.shown * item.pack_size for item in found if item.shown is not None]
    return sum(shown) if shown and _is_one(found) else None


def _is_one(found: Sequence[Listing]) -> bool:
    """Whether these are one listing, perhaps at several of its channel's places (P8)."""
    return len({item.ref.listing for item in found}) == 1


def _opens(
    seed: Seed, sku: str, mine: Sequence[Listing], typed: Typed | None
) -> tuple[int | None, list[tuple[Odd, str]]]:
    """What the SKU opens with by B3 and B4, and what is wrong with what was typed."""
    if sku in seed.kits:
        return None, [(Odd.KIT, "a kit: its components are counted")]
    if typed is not None and typed.cell is not None:
        if typed.count is None and not typed.leaves_out:
            says = f"{typed.cell} is not a count: it is not opened until that is a whole number, or '{LEAVE_OUT}'"
            return None, [(Odd.NOT_A_COUNT, says)]
        return typed.count, []
    shows = _units([item for item in mine if item.pushable])
    if shows is None or not _is_one(mine):
        return None, []
    units = shows + seed.left_out.get(sku, 0)
    if seed.answer == LEFT_OUT:
        units += seed.elsewhere[sku]
    return (units if units >= 0 else None), []


def _oddities(
    title: str, found: Sequence[Listing], parents: Mapping[tuple[str, str], str]
) -> list[tuple[Odd, str]]:  # fmt: skip
    if not _is_one(found):
        return [(Odd.DUPLICATE, f"{len(found)} listings on {title} carry it: give each its own SKU, or map them")]
    item, odd = found[0], list[tuple[Odd, str]]()
    if not item.pushable:
        odd.append((Odd.NOT_SET, f"{title}: {item.why_not or 'its figure is not set by us'}"))
    elif item.shown is None:
        odd.append((Odd.UNTRACKED, f"{title} keeps no stock of it"))
    if item.shown is not None and item.shown < 0:
        odd.append((Odd.NEGATIVE, f"{title} shows {item.shown}"))
    if item.shown is not None and _FILLER.fullmatch(str(item.shown)):
        odd.append((Odd.FILLER, f"{item.shown} on {title} looks like a filler, not a count"))
    child = parents.get((item.channel, item.ref.listing))
    if child is not None and item.title and child.startswith(item.title):
        odd.append((Odd.VARIATIONS, f"{title} keeps the stock of its variations together here"))
    return odd


def _across(seed: Seed, figures: Mapping[str, int | None]) -> list[tuple[Odd, str]]:
    """What is odd between the channels."""
    if seed.primary not in figures:
        where = " and ".join(seed.titles[name] for name in figures)
        return [(Odd.NOT_ON_PRIMARY, f"only on {where}: type a count to open it")]
    if len(figures) == 1:
        return [(Odd.NO_PARTNER, "on no other channel")] if len(seed.titles) > 1 else []
    mine = figures[seed.primary]
    other = {n: f for n, f in figures.items() if n != seed.primary and f is not None and mine is not None and f != mine}
    says = ", ".join(f"{seed.titles[name]} shows {figure}" for name, figure in other.items())
    return [(Odd.DIFFERS, says)] if other else []


def _look_alikes(skus: Iterable[str]) -> dict[str, list[str]]:
    """The other SKUs that each may be taken for."""
    groups: dict[str, list[str]] = defaultdict(list)
    for sku in skus:
        groups[names.form(sku, separators=False)].append(sku)
    return {sku: [o for o in group if o != sku][:3] for group in groups.values() if len(group) > 1 for sku in group}
