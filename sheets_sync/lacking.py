"""SKUs of ours that a channel has no listing of, and which of its unmatched listings one of them may be. Pure.

Nothing is matched by guess: a suggestion has a reason, and is dropped where more than one listing fits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sheets_sync.mapping import marks
from sheets_sync.model import Listing

MOST = 100
"""SKUs of one channel that are named; those with a suggestion come first."""


@dataclass(frozen=True)
class Lack:
    """A SKU without a listing on a channel. `sku` is "" for the last one, which tells how many more there are."""

    channel: str
    sku: str
    title: str
    says: str


def find(skus: Iterable[str], listings: Collection[Listing], channels: Iterable[str], most: int = MOST) -> list[Lack]:
    """By channel, in their order. A channel that has no listing at all has not been read yet, and lacks nothing."""
    ours = list(dict.fromkeys(skus))
    by_channel: dict[str, list[Listing]] = defaultdict(list)
    by_sku: dict[str, list[Listing]] = defaultdict(list)
    for item in listings:
        by_channel[item.channel].append(item)
        if item.sku is not None:
            by_sku[item.sku].append(item)
    return [one for name in channels for one in _of(name, ours, by_channel[name], by_sku, most)]


def _of(
    channel: str, ours: Collection[str], there: Collection[Listing], by_sku: dict[str, list[Listing]], most: int
) -> list[Lack]:  # fmt: skip
    matched = {item.sku for item in there}
    lacking = [sku for sku in ours if sku not in matched] if there else []
    if not lacking:
        return []
    unmatched = _Unmatched(item for item in there if item.sku is None)
    found = [Lack(channel, sku, _title(by_sku[sku]), unmatched.like(sku, by_sku[sku])) for sku in lacking]
    found.sort(key=lambda one: not one.says)
    if len(found) > most:
        more = f"and {len(found) - most:,} more: sheets-sync listings --unmatched"
        return [*found[:most], Lack(channel, "", "", more)]
    return found


def _title(items: Iterable[Listing]) -> str:
    return next((item.title for item in items if item.title), "")


class _Unmatched:
    """The listings of one channel that count as nothing yet, by what tells them."""

    def __init__(self, items: Iterable[Listing]) -> None:
        self._by: dict[tuple[str, str], list[Listing]] = defaultdict(list)
        for item in items:
            for mark in marks(item, item.remote_sku or "").items():
                self._by[mark].append(item)

    def like(self, sku: str, elsewhere: Collection[Listing]) -> str:
        """Which of them may be `sku`, in words; "" where nothing, or more than one, fits."""
        wanted = [mark for item in elsewhere for mark in marks(item, sku).items()]
        for how in ("barcode", "SKU", "title"):
            found = {item.ref: item for mark in wanted if mark[0] == how for item in self._by.get(mark, ())}
            if len(found) == 1:
                (item,) = found.values()
                alike = "a SKU that looks alike" if how == "SKU" else f"the same {how}"
                name = item.remote_sku or item.title or item.ref.listing
                return f"Is it {name} there? It has {alike}: type {sku} under SKU in the row of that listing if so"
        return ""
