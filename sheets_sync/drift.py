"""Drift: a listing shows what we did not write and no order explains, after its orders have been read once more (P5).

It is put right by the same pass, as any listing that is out of step; here it is told: what was seen, its likely cause,
and an answer that takes the difference over instead, for whoever counted in the shop. A listing that drifts again and
again is told by an alert: another program writes it, and a fight that nobody sees sells units that are gone.

Only what is certain is called drift. Where an order came within the clock allowance of the look, or it is not known
what to expect, nothing is said; the next look will tell. Nor is anything said of a listing that this process has not
seen before: a write of ours may have got through without its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sheets_sync import offers
from sheets_sync.ledger import Tx, View
from sheets_sync.model import Event, Kind, Listing, Origin, Question, Ref

KIND = "drift"
READ_BACK = timedelta(minutes=15)
"""How long a listing's figure is believed before it is read again, though nothing has changed."""

AT_ONCE = 100
"""Listings that one pass reads back at most."""

DAY = timedelta(days=1)
OFTEN = 3
"""Times within a day from which on a drifting listing is a fight."""


@dataclass(frozen=True)
class Drift:
    """One listing that showed `shows` where `expected` was to be seen, in its own packs."""

    listing: Listing
    expected: int
    shows: int

    @property
    def units(self) -> int:
        """What the difference would be on the shelf."""
        return (self.shows - self.expected) * self.listing.pack_size


def found(
    before: Listing, shows: int | None, events: Iterable[Event], look_at: datetime, allowance: timedelta
) -> Drift | None:
    """Drift of one listing: `before` is how it was known before the look, `events` are those of its channel and SKU
    that were recorded since.
    """
    expected = offers.expected(before)
    if shows is None or expected is None or not before.pushable:
        return None
    units = 0
    for event in events:
        if abs(event.fact.occurred_at - look_at) <= allowance or event.fact.kind not in (Kind.ORDER, Kind.SHIPMENT):
            return None  # it may lie on either side of the look, or the channel may have given units back for it
        if event.fact.occurred_at < look_at:
            units += event.change.committed if event.fact.kind is Kind.ORDER else 0
    expected = max(0, expected - units // before.pack_size)
    return None if shows == expected else Drift(before, expected, shows)


def due(listings: Iterable[Listing], now: datetime, most: int | None) -> list[Listing]:
    """Listings in step whose figure was not seen for a while, the longest first."""
    old = [
        item for item in listings if item.pushable and item.sku and item.shown_at and now - item.shown_at > READ_BACK
    ]
    old.sort(key=lambda item: (item.shown_at, item.ref))
    return old[: AT_ONCE if most is None else min(most, AT_ONCE)]


# told -----------------------------------------------------------------------------------------------------------


def state(channel: str) -> str:
    """The name of what is kept of a channel's drift: times by listing, of the last day."""
    return f"drift:{channel}"


def note(tx: Tx, channel: str, title: str, drifts: Sequence[Drift], now: datetime) -> None:
    """Ask about each, in place of what was asked about that listing before."""
    kept: dict[str, Any] = _recent(tx.get(state(channel), {}), now)
    references = {_reference(channel, one.listing.ref) for one in drifts}
    tx.close_questions(
        [q.key for q in tx.questions() if q.kind == KIND and q.reference in references], "it drifted again"
    )
    for one in drifts:
        name = one.listing.ref.listing
        times = [*kept.get(name, {}).get("times", ()), now.isoformat()]
        kept[name] = {"sku": one.listing.sku, "times": times}
        tx.ask([_question(one, channel, title, len(times), now)])
    tx.put(state(channel), kept)


def _recent(kept: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    out = {}
    for name, known in kept.items():
        times = [at for at in known["times"] if now - datetime.fromisoformat(at) < DAY]
        if times:
            out[name] = {**known, "times": times}
    return out


def fights(view: View, channel: str, now: datetime) -> dict[str, int]:
    """SKUs whose listing drifts again and again -> how many times within a day."""
    known = _recent(view.get(state(channel), {}), now).values()
    return {str(one["sku"]): len(one["times"]) for one in known if len(one["times"]) >= OFTEN}


def _reference(channel: str, ref: Ref) -> str:
    return f"{channel}/{ref.listing}"


def _question(drift: Drift, channel: str, title: str, times: int, now: datetime) -> Question:
    listing = drift.listing
    reference = _reference(channel, listing.ref)
    return Question(
        f"{KIND}:{reference}:{now.isoformat()}", KIND, listing.sku or "", _words(drift, title, times), Origin.IMAGE,
        reference=reference, asked_at=now, about={"units": drift.units, "times": times},
    )  # fmt: skip


def _words(drift: Drift, title: str, times: int) -> str:
    cause = "it was edited there, or another app wrote it"
    if drift.shows < drift.expected:
        cause = "it was edited there, or sold by something whose orders we are not told of"
    text = (
        f"? {title} showed {drift.shows} of {drift.listing.sku} where {drift.expected} was expected, and no order "
        f"explains it; probably {cause}. It is put right. All counts are changed in this sheet, not in the shop."
    )
    if times >= OFTEN:
        text += f" It has happened {times} times within a day: stop whatever else writes this listing, or pause it."
    return text
