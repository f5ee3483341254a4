"""Where an order's units lie: which locations a line fills, and from which of them its moves take (K4, K5). Pure.

Law 1 says what a line should have moved in all; `spread` lays that out over locations, so that each of its moves,
summed over them, is law 1's own. What was promised lies in a fixed row, the line's `split`: the locations in the
channel's order, filled by what was available there when the units were first promised, and what no location had at the
end, on the first. Shipments take from the front of that row, save that one from a known place takes what is promised
there first; what is called off leaves from its end. So readings that we missed change nothing here either.

`shares` is the other way round: what a channel that keeps a figure at each of its own places may offer at each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sheets_sync.model import MAIN, Kind, LineState, Moves, Split, Stock, StockKey

PlacedKey = tuple[str, Kind, datetime]
PlacedMoves = Mapping[PlacedKey, Stock]
"""What a line moved or should have moved, by location, kind and time."""

Leg = tuple[datetime, int, str]
"""Units that left: when, how many, and the location where the channel says so, else ""."""

Spent = Mapping[StockKey, int]
Room = Callable[[LineState, Spent], Mapping[str, int]]
"""What is available for a line at each location, less what other lines of the same order have just been promised."""


def no_room(line: LineState, spent: Spent) -> Mapping[str, int]:
    """A `Room` of nothing: all falls on the first location."""
    return {}


@dataclass(frozen=True)
class Places:
    """Where a channel's units come from."""

    order: tuple[str, ...] = (MAIN,)  # the locations that it draws from, the first to be filled first
    of: Mapping[str, str] = field(default_factory=dict)  # the channel's own places, as locations of ours
    room: Room = no_room


ONE = Places()


def fill(units: int, room: Mapping[str, int], order: Sequence[str]) -> Split:
    """K5: `units` over the locations in this order, by what is available there; the remainder falls on the first."""
    out: list[tuple[str, int]] = []
    for place in order:
        here = min(units, max(0, room.get(place, 0)))
        units -= here
        out += [(place, here)] if here else []
    return (*out, (order[0], units)) if units else tuple(out)


def split_of(line: LineState, want: Moves, places: Places, spent: Spent) -> Split:
    """Where the line's promised units lie. What was decided stays; what was promised since is filled likewise."""
    if places.order == (MAIN,) and not line.split:
        return ()
    more = _promised(want) - sum(units for _, units in line.split)
    if more <= 0:
        return line.split
    if not line.split and line.moved:  # promised before there were several locations
        return ((MAIN, more),)
    room = places.room(line, spent) if len(places.order) > 1 else {}
    return (*line.split, *fill(more, room, places.order))


def placed(line: LineState) -> dict[PlacedKey, Stock]:
    """What the line has moved, by location."""
    out: dict[PlacedKey, Stock] = {(MAIN, kind, at): change for (kind, at), change in line.moved.items()}
    for place, kind, at, change in line.away:
        out[place, kind, at] = change
        out[MAIN, kind, at] = out.get((MAIN, kind, at), Stock()).minus(change)
    return {key: change for key, change in out.items() if any(change)}


def away(moves: PlacedMoves) -> tuple[tuple[str, Kind, datetime, Stock], ...]:
    """Of these moves those outside the main location, as a line keeps them."""
    return tuple((place, kind, at, change) for (place, kind, at), change in moves.items() if place != MAIN)


def spread(want: Moves, split: Split, legs: Iterable[Leg], back_to: str = "") -> dict[PlacedKey, Stock]:
    """What a line should have moved, by location. `legs`: what left, in time; `back_to`: where returned units went."""
    lies = _Row(_as_many(split, _promised(want)))
    out = dict[PlacedKey, Stock]()

    def add(place: str, kind: Kind, at: datetime, change: Stock) -> None:
        out[place, kind, at] = out.get((place, kind, at), Stock()).plus(change)

    for kind, at in want:
        if kind is Kind.ORDER:
            for place, units in lies.units:
                add(place, kind, at, Stock(committed=units))
    gone = _Row()
    for at, released, left in _shipped(want, legs, lies):
        add(released[0], Kind.SHIPMENT, at, Stock(committed=-released[1]))
        add(left, Kind.SHIPMENT, at, Stock(on_hand=-released[1]))
        gone.units.append((left, released[1]))
    for (kind, at), change in want.items():
        if kind is Kind.CANCELLATION:
            for place, part in _called_off(change, lies):
                add(place, kind, at, part)
        elif kind is Kind.RETURN:
            for place, part in _returned(change, gone, back_to):
                add(place, kind, at, part)
    return {key: change for key, change in out.items() if any(change)}


def shares(units: int, lies: Mapping[str, int], order: Sequence[str]) -> dict[str, int]:
    """K5 at each place: what is available in all, laid out over what lies at each location. Their sum is `units`,
    not below 0; where a location owes more than it has, others offer that much less, the last one first.
    """
    left, out = max(0, units), dict[str, int]()
    for place in order:
        out[place] = min(left, max(0, lies.get(place, 0)))
        left -= out[place]
    return out


# parts of a spread ----------------------------------------------------------------------------------------------


class _Row:
    """Units in a fixed row of locations, to be taken from either end."""

    def __init__(self, units: Iterable[tuple[str, int]] = ()) -> None:
        self.units = [one for one in units if one[1] > 0]
        self.first = self.units[0][0] if self.units else MAIN

    def take(self, units: int, *, at: str | None = None, from_end: bool = False) -> Iterator[tuple[str, int]]:
        """So many of them, by location; with `at` only what lies there. Fewer where there are no more."""
        rest = list[tuple[str, int]]()
        for place, here in reversed(self.units) if from_end else self.units:
            n = min(units, here) if at in (None, place) else 0
            units -= n
            if n:
                yield place, n
            rest += [(place, here - n)] if here > n else []
        self.units = rest[::-1] if from_end else rest

    def take_all(self, units: int, *, from_end: bool = False) -> Iterator[tuple[str, int]]:
        """The same; what the row does not have comes from its first location."""
        for place, n in self.take(units, from_end=from_end):
            units -= n
            yield place, n
        if units:
            yield self.first, units


def _promised(want: Moves) -> int:
    return sum(change.committed for (kind, _), change in want.items() if kind is Kind.ORDER)


def _as_many(split: Split, promised: int) -> Iterator[tuple[str, int]]:
    """The first `promised` units of the row; all on the main location where there is no row."""
    for place, units in split or ((MAIN, promised),):
        n = min(units, promised)
        promised -= n
        yield place, n


def _shipped(want: Moves, legs: Iterable[Leg], lies: _Row) -> Iterator[tuple[datetime, tuple[str, int], str]]:
    """(when, where and how many were promised, where they left) of what was shipped."""
    pieces = _named(want, legs)
    later = list[Leg]()
    for at, units, place in pieces:
        for there in lies.take(units, at=place) if place else ():
            units -= there[1]
            yield at, there, place
        later += [(at, units, place)] if units else []
    for at, units, place in later:
        for there in lies.take_all(units):
            yield at, there, place or there[0]


def _named(want: Moves, legs: Iterable[Leg]) -> list[Leg]:
    """The shipments in time, each with its place. Their times may be others than the channel's: people move them."""
    rest, out = [leg for leg in legs if leg[1] > 0][::-1], list[Leg]()
    for at, units in sorted((at, -change.committed) for (kind, at), change in want.items() if kind is Kind.SHIPMENT):
        while units > 0:
            was, here, place = rest.pop() if rest else (at, units, "")
            n = min(units, here)
            units -= n
            out.append((at, n, place))
            rest += [(was, here - n, place)] if here > n else []
    return out


def _called_off(change: Stock, lies: _Row) -> Iterator[tuple[str, Stock]]:
    """What is called off leaves the row from its end: first what goes back, then what was damaged or gone."""
    damaged, gone = change.damaged, -change.on_hand - change.damaged
    for units, part in (
        (-change.committed - damaged - gone, Stock(committed=-1)),
        (damaged, Stock(-1, -1, 1)),
        (gone, Stock(-1, -1)),
    ):
        for place, n in lies.take_all(units, from_end=True):
            yield place, Stock().plus(part, n)


def _returned(change: Stock, gone: _Row, back_to: str) -> Iterator[tuple[str, Stock]]:
    for units, part in ((change.on_hand, Stock(1)), (change.damaged, Stock(damaged=1))):
        for place, n in ((back_to, units),) if back_to else gone.take_all(units):
            yield place, Stock().plus(part, n)
