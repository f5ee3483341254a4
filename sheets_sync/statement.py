"""Why is it 7? One SKU's events as a bank statement, the sum that law 2 makes of them, and what led to an oversell.

`statement` says of each event what it still does: counted, before a count and seen by it, struck, or a correction. The
sum is the last standing count and what happened after it. `oversell` finds the last time that more was promised than
there was: the sales that raced, what we knew when they began, and the hold back that would have been enough.

What is unsatisfying: the ledger keeps sales, not the figures that a channel showed meanwhile. So the hold back is that
of a channel in step with what we knew; where a channel sold more than that, the words say that it was not in step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sheets_sync import stock
from sheets_sync.model import Event, Fact, Kind, Stock
from sheets_sync.views import WORDS

Tell = Callable[[datetime], str]
"""How a moment is written for a person: in their own time."""


@dataclass(frozen=True)
class Row:
    """One event, with what it does to on_hand today, in words; "" where it simply counts."""

    event: Event
    does: str = ""


@dataclass(frozen=True)
class Statement:
    """All events of one SKU at one location, in the order in which we learned of them, and what they come to."""

    sku: str
    location: str
    now: Stock
    rows: tuple[Row, ...]
    count: Event | None  # the last standing count
    apart: int = 0  # units added to that count for open orders (C3) that have left since
    since: tuple[Event, ...] = ()  # what moved on_hand after that count, as it happened
    promised: Mapping[str, int] = field(default_factory=dict)  # committed, by what it is for

    def sentences(self, tell: Tell) -> list[str]:
        """The sum in words: on hand, committed, available."""
        out = [self._on_hand(tell)]
        if self.promised:
            orders = ", ".join(f"{units} {name}" for name, units in self.promised.items())
            out.append(f"Committed is {self.now.committed}: {orders}.")
        if self.now.damaged:
            out.append(f"Damaged is {self.now.damaged}: there, and not sellable.")
        out.append(
            f"Available is {self.now.available}: {self.now.on_hand} on hand less {self.now.committed} committed."
        )
        return out

    def _on_hand(self, tell: Tell) -> str:
        begin = "no count stands, so it begins at 0"
        if self.count is not None:
            fact = self.count.fact
            begin = f"event {self.count.id} counted {fact.count} at {tell(fact.occurred_at)}"
        steps = [begin]
        if self.apart:
            steps.append(f"{self.apart:+d} that the count had added for open orders and that have left")
        totals: dict[Kind, list[int]] = {}
        for event in self.since:
            totals.setdefault(event.fact.kind, []).append(event.fact.change.on_hand)
        steps += [f"{sum(units):+d} by {_times(len(units), WORDS[kind])}" for kind, units in totals.items()]
        if len(steps) == 1 and self.count is not None:
            steps.append("nothing has moved it since")
        return f"On hand is {self.now.on_hand}: {'; '.join(steps)}."


def _times(n: int, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n} {what}s"


def titled(events: Iterable[Event], titles: Mapping[str, str]) -> list[Event]:
    """Events that name their channel as the seller does."""
    return [replace(e, fact=replace(e.fact, source=titles.get(e.fact.source, e.fact.source))) for e in events]


def statement(events: Sequence[Event]) -> Statement:
    """The statement over all events of one SKU at one location, in the order of recording; at least one."""
    facts = [e.fact for e in events if e.is_fact]
    by_key = {e.fact.key: e for e in events}
    ordered = stock.in_order(facts)
    last = max((i for i, fact in enumerate(ordered) if fact.count is not None), default=-1)
    count = ordered[last] if last >= 0 else None
    seen, after = ordered[: max(last, 0)], ordered[last + 1 :]
    apart = count.apart if count else frozenset()
    does = _does(events, by_key, {f.key for f in ordered}, {f.key for f in seen}, count, apart)
    return Statement(
        sku=events[-1].fact.sku,
        location=events[-1].fact.location,
        now=events[-1].balance,
        rows=tuple(Row(e, does.get(e.fact.key, "")) for e in events),
        count=by_key[count.key] if count else None,
        apart=sum(f.change.on_hand for f in seen if f.line in apart and f.count is None),
        since=tuple(by_key[f.key] for f in after if f.change.on_hand),
        promised=_promised(ordered),
    )


def _does(
    events: Sequence[Event], by_key: Mapping[str, Event], standing: set[str], seen: set[str], count: Fact | None,
    apart: frozenset[str],
) -> dict[str, str]:  # fmt: skip
    """What each event does today, by key, where it is not simply part of the sum."""
    struck = {e.fact.strikes: e for e in events if e.fact.strikes is not None}
    out: dict[str, str] = {}
    for event in events:
        fact = event.fact
        if not event.is_fact:
            named = by_key.get(event.corrects)
            out[fact.key] = f"restores the count of event {named.id}" if named else "restores a count"
        elif fact.strikes is not None:
            out[fact.key] = f"strikes event {by_key[fact.strikes].id}"
            if fact.key in struck:
                out[fact.key] += f", and is struck itself by event {struck[fact.key].id}"
        elif fact.key not in standing:
            out[fact.key] = f"struck by event {struck[fact.key].id}"
        elif count is not None and fact.key == count.key:
            out[fact.key] = "the last count: it is right about everything before it"
        elif fact.key in seen and count is not None and not (fact.line and fact.line in apart):
            if fact.count is not None or fact.change.on_hand:
                out[fact.key] = f"before the count of event {by_key[count.key].id}, which has seen it"
    return out


def _promised(ordered: Sequence[Fact]) -> dict[str, int]:
    """Units still committed, by order as a person would look it up."""
    units: Counter[str] = Counter()
    for fact in ordered:
        if fact.count is None and fact.change.committed:
            units[f"for order {fact.reference} at {fact.source}" if fact.line else "by other events"] += (
                fact.change.committed
            )
    return {name: n for name, n in units.items() if n}


def formula(sku: str, column: str = "F") -> str:
    """The balance as a spreadsheet sums it over the exported ledger (`sheets-sync ledger export`, imported as text).

    F sums to on hand, G to committed, H to damaged. EXACT, because SUMIFS takes 00123 and 123 for the same.
    """
    text = sku.replace('"', '""')
    return f'=SUMPRODUCT(EXACT($B$2:$B,"{text}")*{column}$2:{column})'


# oversells ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Oversell:
    """The last time that available went below zero, and what would have prevented it.

    `known` is what we knew to be available when the race began, after the event `before`; `sold` is what each channel
    sold from then on. `hold_back`: units on each listing that would have been enough; 0 where a channel sold more than
    it could have shown; None where no hold back would have helped.
    """

    event: Event  # the one that took it below zero
    short: int  # units, at the worst
    race: tuple[Event, ...]  # from the first that raced to the worst moment
    before: Event | None
    known: int
    sold: Mapping[str, int]
    hold_back: int | None
    over: bool  # available is not below zero any more

    def sentences(self, tell: Tell) -> list[str]:
        """The timeline that led to it, and the hold back that would have prevented it."""
        out = [f"Oversold by {self.short} at {tell(self.event.fact.occurred_at)}{', and mended since' * self.over}:"]
        if self.before is not None:
            out.append(f"  {tell(self.before.recorded_at)}  we knew of {self.known} available")
        out += [f"  {tell(e.fact.occurred_at)}  {_told(e)}{_learned(e, tell)}" for e in self.race]
        return [*out, self._advice()]

    def _advice(self) -> str:
        channels = " and ".join(f"{name} ({units})" for name, units in self.sold.items())
        if not self.sold:
            return "No sale raced here: a count or a change by hand left fewer than were promised already."
        if self.before is None:
            return f"Sold: {channels}. There never were as many, so the listing showed more than it should."
        if self.hold_back is None:
            return "No hold back would have prevented it: units were found missing after they had been sold."
        if self.hold_back == 0:
            return (
                f"Sold meanwhile: {channels}. One of them sold more than we knew of, so it showed more than it should: "
                "its figure was changed there, or ours had not reached it. A hold back does not help against that."
            )
        return (
            f"Sold meanwhile: {channels}. A hold back of {self.hold_back} on each listing of {self.event.fact.sku} "
            "would have prevented it."
        )


def _told(event: Event) -> str:
    change = event.change.available
    where = f" at {event.fact.source}" if event.fact.source else ""
    name = f" {event.fact.reference}" if event.fact.reference else ""
    return f"{WORDS[event.fact.kind]}{name}{where}: {change:+d}, available {event.balance.available}"


def _learned(event: Event, tell: Tell) -> str:
    happened, learned = tell(event.fact.occurred_at), tell(event.recorded_at)
    return "" if happened == learned else f" (we learned of it at {learned})"


def oversell(events: Sequence[Event]) -> Oversell | None:
    """The last oversell among all events of one SKU at one location, in the order of recording; None: there was none.

    A count that is not there yet oversells nothing: orders of a SKU that was never counted only wait.
    """
    first = _last_fall(events)
    if first is None:
        return None
    end = next((i for i in range(first, len(events)) if events[i].balance.available >= 0), len(events))
    worst = min(range(first, end), key=lambda i: events[i].balance.available)
    begin = _race_began(events, first)
    race = tuple(e for e in events[begin + 1 : worst + 1] if e.change.available)
    before = events[begin] if begin >= 0 else None
    known = max(0, before.balance.available) if before else 0
    sold: Counter[str] = Counter()
    for event in race:
        if event.fact.kind is Kind.ORDER and event.change.committed > 0:
            sold[event.fact.source] += event.change.committed
    others = sum(e.change.available for e in race) + sold.total()
    return Oversell(
        event=events[first],
        short=-events[worst].balance.available,
        race=race,
        before=before,
        known=known,
        sold=dict(sold),
        hold_back=enough(known, sold, known + others),
        over=end < len(events),
    )


def _last_fall(events: Sequence[Event]) -> int | None:
    counted, was, found = False, 0, None
    for i, event in enumerate(events):
        now = event.balance.available
        if counted and now < 0 <= was:
            found = i
        counted = counted or event.fact.count is not None
        was = now
    return found


def _race_began(events: Sequence[Event], fell: int) -> int:
    """The last event that we knew when the order that fell was placed, and that left enough for it; -1: none did."""
    fall = events[fell]
    for i in range(fell - 1, -1, -1):
        known = events[i].recorded_at <= fall.fact.occurred_at or fall.fact.kind is not Kind.ORDER
        if known and events[i].balance.available >= max(1, fall.change.committed):
            return i
    return -1


def enough(known: int, sold: Mapping[str, int], there: int) -> int | None:
    """The smallest hold back with which channels that sold `sold` each would have sold at most what was `there`.

    Each channel shows at most `known - hold back`, and sells no more than it shows.
    """

    def is_enough(held: int) -> bool:
        return sum(min(units, known - held) for units in sold.values()) <= there

    held = bisect_left(range(known + 1), True, key=is_enough)
    return held if held <= known else None
