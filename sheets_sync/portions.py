"""How much one pass takes on where a vendor's limits make each figure slow (Amazon: five written in a second).

One by one, a pass takes what is done within some twenty seconds, the smallest stock first; the next pass works out anew
what is left, with the orders that came meanwhile. What goes in bulk is taken on whole, so that it costs one write, and
is looked at in parts, with the orders between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from sheets_sync.channels import Channel, WritesInBulk

T = TypeVar("T")

PART = 1000
"""Listings looked at between two looks at the orders: ten seconds by Amazon's limits."""


def portion(channel: Channel, waiting: Sequence[T], done: int = 0) -> list[T]:
    """What to take on of what waits, most urgent first, in a pass that has done so many already."""
    able = channel.capabilities
    if able.looks is None:
        return list(waiting)
    if isinstance(channel, WritesInBulk) and channel.in_bulk(len(waiting)):
        return list(waiting[: able.max_batch])
    return list(waiting[: max(0, able.looks - done)])


def parts(channel: Channel, items: Sequence[T]) -> Iterator[Sequence[T]]:
    """What to look at before the orders are looked at again; all of it where looks are quick."""
    size = len(items) if channel.capabilities.looks is None else PART
    yield from (items[start : start + size] for start in range(0, len(items), size or 1))
