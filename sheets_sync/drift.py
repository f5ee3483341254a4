"""Drift: a listing shows what we did not write and no order explains, after its orders have been read once more (P5).

It is put right by the same pass, as any listing that is out of step; here it is told: what was seen, its likely cause,
and an answer that takes the difference over instead, for whoever counted in the shop. A listing that drifts again and
again is told by an alert: another program writes it, and a fight that nobody sees sells units that are gone.

Where a channel's list of orders runs late, that is known only once a read began so much later than the look; until then
what is missing counts as sold (`late_orders`), and what looked odd waits in the ledger, so that a restart forgets none.

Only what is certain is called drift. Where an order came within the clock allowance of the look, or it is not known
what to expect, nothing is said; the next look will tell. Nor is anything said of a listing that this process has not
seen before: a write of ours may have got through without its answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from sheets_sync import offers
from sheets_sync.desk import kits_of
from sheets_sync.kits import PART, Kits
from sheets_sync.ledger import Tx, View
from sheets_sync.model import Cell, Event, Figure, Kind, LineState, Listing, Origin, Question, Ref

KIND = "drift"
READ_BACK = timedelta(minutes=15)
"""How long a figure is believed before it is read again though nothing has changed, where orders are told at once."""

SOONEST = timedelta(seconds=30)
"""The same where the list of orders runs late, for a figure is the first to tell of a sale there. With more listings
than the channel's limits allow to be read so often, it is as often as they do."""

AT_ONCE = 100
"""Listings that one pass reads back at most."""

DAY = timedelta(days=1)
OFTEN = 3
"""Times within a day from which on a drifting listing is a fight."""


class Cause(Enum):
    """What is the likely cause of a drift."""

    EDITED = "it was edited there"
    SOLD = "it was edited there, or sold by something whose orders we are not told of"
    LOST = "our last figure got lost there, as it showed just what it had shown before it"
    APP = "another app writes it, too"


@dataclass(frozen=True)
class Suspect:
    """A listing, as it was known before a look, that showed something else. The orders behind the look will tell."""

    before: Listing
    shows: int
    look_at: datetime
    upto: int  # the last event known when the look began
    undoes: int | None = None  # packs: what shows again if our last write was lost

    @property
    def odd(self) -> int:
        """Packs more (or fewer) than expected."""
        expected = offers.expected(self.before)
        assert expected is not None
        return self.shows - expected


@dataclass(frozen=True)
class Drift:
    """One listing that showed `shows` where `expected` was to be seen, in its own packs."""

    listing: Listing
    expected: int
    shows: int
    lost: bool = False  # it shows what it showed before our last write

    @property
    def units(self) -> int:
        """What the difference would be on the shelf."""
        return (self.shows - self.expected) * self.listing.pack_size

    def cause(self, times: int) -> Cause:
        """Its likely cause, where it is the so-many-eth time within a day."""
        if self.lost and times == 1:
            return Cause.LOST
        if times > 1:
            return Cause.APP
        return Cause.SOLD if self.shows < self.expected else Cause.EDITED


_SUSPECTS = TypeAdapter(list[Suspect])


def _suspects_state(channel: str) -> str:
    """Where those wait that a late list of orders has not caught up with yet, whoever drives the channel then."""
    return f"suspects:{channel}"


def waiting(view: View, channel: str) -> list[Suspect]:
    """Those that wait for a channel's late list of orders."""
    return _SUSPECTS.validate_python(view.get(_suspects_state(channel), []))


def wait(tx: Tx, channel: str, of: Sequence[Suspect]) -> None:
    """Keep these, and no others."""
    tx.put(_suspects_state(channel), _SUSPECTS.dump_python(list(of), mode="json") or None)


def suspects(
    looked: Iterable[tuple[Listing, int]], sees: Mapping[Ref, Figure], undoes: Mapping[Ref, int], look_at: datetime
) -> list[Suspect]:
    """Those of a look that show another figure than was expected; each with the last event known by then."""
    out = []
    for item, upto in looked:
        shows = sees[item.ref].shows
        if shows is not None and item.sku and item.pushable and offers.expected(item) not in (None, shows):
            out.append(Suspect(item, shows, look_at, upto, undoes.get(item.ref)))
    return out


def unexplained(
    view: View, channel: str, of: Sequence[Suspect], kits: Kits, allowance: timedelta, places: Collection[str] = ()
) -> list[Drift]:
    """Which of these no order explains, by what was booked of the channel since they were looked at. `places` are the
    channel's own where it keeps a figure at each: no order tells from which it took its units.
    """
    if not of:
        return []
    skus = {sku for one in of for sku in _skus(one.before, kits)}
    news = [
        e for e in view.events(after=min(one.upto for one in of)) if e.fact.source == channel and e.fact.sku in skus
    ]
    orders = {e.fact.line.split("/", 1)[1].rsplit("/", 1)[0] for e in news if e.fact.line}
    known = {line.key: line for order in orders for line in view.lines(channel, order_id=order)}
    found = (found_of(one, [e for e in news if e.id > one.upto], known, kits, allowance) for one in of)
    drifts = [(one, drift) for one, drift in zip(of, found, strict=True) if drift is not None]
    moved = {e.fact.sku for e in news}
    drifts = [d for d in drifts if not (d[0].before.ref.place in places and _skus(d[0].before, kits) & moved)]
    if not drifts:
        return []
    told, open_ = {e.fact.line for e in news}, view.lines(channel, skus=skus, open_only=True)
    quiet = [line for line in open_ if line.key not in told]
    return [drift for one, drift in drifts if not any(_explains(line, one, allowance) for line in quiet)]


def _explains(line: LineState, suspect: Suspect, allowance: timedelta) -> bool:
    """Whether an order changed without an event, and with it perhaps the channel's figure: it was pending, and is paid.
    Its units were promised before.
    """
    if line.read_at is None or line.read_at < suspect.look_at - allowance:
        return False
    ref = line.level.ref
    return ref is None or ref.listing == suspect.before.ref.listing


def found_of(
    suspect: Suspect, news: Iterable[Event], known: Mapping[str, LineState], kits: Kits, allowance: timedelta
) -> Drift | None:
    """Drift of one listing. Each order says which listing it was made on, so neither a kit nor another listing of the
    same SKU is in the way; one that does not say leaves it open.
    """
    sold = _sold(suspect.before, news, known, kits)
    return None if sold is None else found(suspect, sold, allowance)


def found(suspect: Suspect, sold: Iterable[tuple[Event, Fraction]], allowance: timedelta) -> Drift | None:
    """Drift of one listing; `sold`: events of its own orders recorded since, with the packs that each took."""
    before, packs = suspect.before, Fraction(0)
    expected = offers.expected(before)
    if expected is None or not before.pushable:
        return None
    for event, took in sold:
        if abs(event.fact.occurred_at - suspect.look_at) <= allowance or event.fact.kind not in _PLAIN:
            return None  # it may lie on either side of the look, or the channel may have given units back for it
        if event.fact.occurred_at > suspect.look_at or event.fact.kind is not Kind.ORDER:
            continue
        since = allowance if before.shown_at is None else event.fact.occurred_at - before.shown_at
        if abs(since) < allowance:
            return None  # the figure known before may have had that sale in it already, or not
        packs += took if since > timedelta(0) else 0
    expected = max(0, expected - int(packs))
    shows = suspect.shows
    return None if shows == expected else Drift(before, expected, shows, shows - expected == suspect.undoes)


_PLAIN = (Kind.ORDER, Kind.SHIPMENT)


def _skus(item: Listing, kits: Kits) -> set[str]:
    """The SKUs that are booked when it sells."""
    return {str(item.sku), *kits.get(str(item.sku), ())}


def _sold(
    item: Listing, news: Iterable[Event], known: Mapping[str, LineState], kits: Kits
) -> list[tuple[Event, Fraction]] | None:
    """The events of this listing's orders, with the packs that each took; None where one does not say whose it is."""
    skus, out = _skus(item, kits), list[tuple[Event, Fraction]]()
    for event in news:
        if event.fact.sku not in skus:
            continue
        line = known.get(event.fact.line or "")
        if line is None or (line.level.ref is None and not line.level.sku):
            return None
        ref = line.level.ref
        mine = ref.listing == item.ref.listing if ref is not None else line.level.sku == item.remote_sku
        if mine and (event.fact.sku == item.sku or line.level.id.endswith(f"{PART}0")):  # a kit's first part tells
            out.append((event, Fraction(event.change.committed, line.pack_size)))  # a part of it, of each location
    return out


# when ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pace:
    """How often a channel's figures are read back."""

    least: timedelta  # between two readings of a listing
    a_second: float | None = None  # how many listings the channel's limits let us read back for ever
    selling: Collection[str] = ()  # SKUs that moved lately

    def sells(self, item: Listing) -> bool:
        """Whether a sale there that we do not see is likely, and would matter."""
        return item.sku in self.selling and item.shown != 0

    def believed(self, of: Collection[Listing]) -> tuple[timedelta, timedelta]:
        """How long figures are believed: of listings that sell, and of the rest. Where limits do not let all be read
        so often, half of what they allow goes to those that sell.
        """
        if not self.a_second or len(of) <= self.a_second * self.least.total_seconds():
            return self.least, self.least
        sells = sum(map(self.sells, of))
        return self._at_half(sells), self._at_half(len(of) - sells)

    def _at_half(self, listings: int) -> timedelta:
        return max(self.least, timedelta(seconds=2 * listings / (self.a_second or 1.0)))


@dataclass
class Readings:
    """When figures are read back next."""

    not_before: datetime | None = None

    def may(self, now: datetime) -> bool:
        """Whether it is worth asking."""
        return self.not_before is None or now >= self.not_before

    def due(self, listings: Iterable[Listing], now: datetime, most: int, pace: Pace) -> list[Listing]:
        """Listings whose figure was not seen for a while, the longest overdue first; and when to ask again.

        One that waits for the answer to a write is left alone: what it shows says nothing.
        """
        mine = [item for item in listings if item.pushable and item.sku and not item.pending_job]
        sold, rest = pace.believed(mine)
        seen = [(at, item) for item in mine if (at := item.shown_at) is not None]
        due_at = sorted((at + (sold if pace.sells(item) else rest), item.ref, item) for at, item in seen)
        old = [item for at, _, item in due_at if at < now]
        if len(old) > most:  # the rest has its turn once these are paid for
            self.not_before = now + timedelta(seconds=most / pace.a_second if pace.a_second else 1.0)
        else:
            self.not_before = due_at[len(old)][0] if len(old) < len(due_at) else now + sold
        return old[:most]


# told -----------------------------------------------------------------------------------------------------------


def state(channel: str) -> str:
    """The name of what is kept of a channel's drift: times by listing, of the last day."""
    return f"drift:{channel}"


def note(
    tx: Tx, channel: str, title: str, drifts: Sequence[Drift], now: datetime,
    places: Mapping[str, str] = MappingProxyType({}),
) -> None:  # fmt: skip
    """Ask about each, in place of what was asked about that listing before. `places` are the channel's own places that
    are locations of ours: a listing there is one of its own.
    """
    made = kits_of(tx)
    kept: dict[str, Any] = _recent(tx.get(state(channel), {}), now)
    references = {_reference(channel, one.listing.ref, places) for one in drifts}
    tx.close_questions(
        [q.key for q in tx.questions() if q.kind == KIND and q.reference in references], "it drifted again"
    )
    for one in drifts:
        name = one.listing.ref.listing
        times = [*kept.get(name, {}).get("times", ()), now.isoformat()]
        kept[name] = {"sku": one.listing.sku, "times": times}
        question = _question(one, channel, title, len(times), now, places, is_kit=one.listing.sku in made)
        tx.ask([question])
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


def _reference(channel: str, ref: Ref, places: Collection[str]) -> str:
    return f"{channel}/{ref.listing}" + (f"/{ref.place}" if ref.place in places else "")


def _question(
    drift: Drift, channel: str, title: str, times: int, now: datetime, places: Mapping[str, str], *, is_kit: bool
) -> Question:
    listing, about = drift.listing, dict[str, Cell](units=drift.units, times=times, kit=is_kit)
    reference = _reference(channel, listing.ref, places)
    if listing.ref.place in places:
        about["location"] = places[listing.ref.place]  # taken over, the difference is one of that location
    return Question(
        f"{KIND}:{reference}:{now.isoformat()}", KIND, listing.sku or "", _words(drift, title, times), Origin.IMAGE,
        reference=reference, asked_at=now, about=about,
    )  # fmt: skip


def _words(drift: Drift, title: str, times: int) -> str:
    text = (
        f"? {title} showed {drift.shows} of {drift.listing.sku} where {drift.expected} was expected, and no order "
        f"explains it; probably {drift.cause(times).value}. It is put right. All counts are changed in this sheet, not "
        "in the shop."
    )
    if times >= OFTEN:
        text += f" It has happened {times} times within a day: stop whatever else writes this listing, or pause it."
    return text
