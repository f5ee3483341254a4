"""Where rows and columns went: what names a place by number is carried along by it.

A page that shows revision 7 names row 12 as it stood then; by revision 9 others may have inserted rows above. `carried`
takes such a number through all moves since. Undo and the cursor of every open page depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Place = Callable[[int], int | None]  # an index before to the index after; None where it is gone


@dataclass(frozen=True, slots=True)
class Move:
    """Rows or columns of one tab that changed their numbers in one request.

    `place` takes an index before it to the index after it. `splice` is (at, removed, added) where lanes were taken out
    or put in; None where they only changed places.
    """

    sheet_id: int
    dimension: str
    place: Place
    splice: tuple[int, int, int] | None = None
    brings_back: bool = False  # knows the lanes that an earlier `parked` move of the same list took out


def parked(gone: Move, back: Move, key: int) -> tuple[Move, Move]:
    """A deletion and the undo of it, as moves that lose nothing: what went out by one comes back by the other.

    In between a lane has a number below zero, made from `key`, which every deletion has for itself.
    """
    assert gone.splice and back.splice
    (start, removed, _), (at, _, added) = gone.splice, back.splice
    first = -(key * 10**8) - 1

    def out(index: int) -> int | None:
        return first - (index - start) if start <= index < start + removed else gone.place(index)

    def into(index: int) -> int | None:
        if index >= 0:
            return back.place(index)
        return at + first - index if 0 <= first - index < added else index

    return (
        Move(gone.sheet_id, gone.dimension, out, gone.splice),
        Move(back.sheet_id, back.dimension, into, back.splice, brings_back=True),
    )


def reordered(sheet_id: int, order: Mapping[int, int], dimension: str = "ROWS") -> Move:
    """A move of the lanes in `order`, old index to new; all others stay."""
    return Move(sheet_id, dimension, lambda index: order.get(index, index))


def carried(index: int, moves: Iterable[Move], sheet_id: int, dimension: str) -> int | None:
    """The index after the moves; None where its row or column is gone."""
    at: int | None = index
    for move in moves:
        if at is None:
            return None
        if move.sheet_id == sheet_id and move.dimension == dimension and (at >= 0 or move.brings_back):
            at = move.place(at)
    return at if at is None or at >= 0 else None


def carried_gap(index: int, moves: Iterable[Move], sheet_id: int, dimension: str) -> int:
    """Like `carried` for a gap between two lanes, named by the lane behind it: where that is gone, the gap is not."""
    moves = list(moves)
    lane = carried(index, moves, sheet_id, dimension)
    return carried_bound(index, moves, sheet_id, dimension) if lane is None else lane


def carried_bound(index: int, moves: Iterable[Move], sheet_id: int, dimension: str) -> int:
    """Like `carried` for the bound of a range, which grows and shrinks but does not follow a lane that is sorted."""
    at = index
    for move in moves:
        if move.sheet_id != sheet_id or move.dimension != dimension:
            continue
        if move.splice is None:  # lanes changed places among themselves
            continue
        start, removed, added = move.splice
        at = at if at < start else start if at < start + removed else at - removed + added
    return at
