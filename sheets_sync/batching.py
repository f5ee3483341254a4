"""`batches(items, most, group)`: writes in the order of their urgency, cut so that they cost the fewest calls.

What a call must share differs: a location, a parent, nothing. Cut by urgency alone, a batch would name a hundred
parents, and be a hundred calls. So what shares a call goes with the most urgent of its own, and small groups go
together in one batch, which is one step of work: stored before it is sent, sent, and recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

from sheets_sync.model import Ref

T = TypeVar("T")

GROUPS: dict[str, Callable[[Ref], Hashable]] = {
    "none": lambda ref: None,
    "place": lambda ref: ref.place,
    "listing": lambda ref: ref.listing,
    "parent": lambda ref: ref.parent,
}
"""What a batch must share, by the word of a channel's `capabilities.grouped_by`."""


def batches(items: Sequence[T], most: int, group: Callable[[T], Hashable]) -> Iterator[list[T]]:
    """Batches of at most `most` items, of whole calls. `items` come most urgent first.

    No call of the answer could be saved: each group of n items is in ceil(n / most) calls, each in one batch whole.
    """
    batch: list[T] = []
    for call in calls(items, most, group):
        if len(batch) + len(call) > most:
            yield batch
            batch = []
        batch += call
    if batch:
        yield batch


def calls(items: Sequence[T], most: int, group: Callable[[T], Hashable]) -> Iterator[list[T]]:
    """The calls: what shares a group, at most `most` together; groups in the order of their most urgent item."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(group(item), []).append(item)
    for members in groups.values():
        for start in range(0, len(members), most):
            yield members[start : start + most]
