"""When a channel's list of orders runs late, or may be read only now and then: what a raise has to wait for.

Two clocks gate a raise there (P4, P5). The list is complete up to `lag` ago, so a reason to raise is old enough only
once a read began that long after it. And a figure below what we expected is a sale that the list does not show yet:
those packs stay promised until a read began that long after the look which found them missing. Lowering waits for
nothing, as everywhere.

What one channel sold unseen is promised on all of them, so each tells the others, and a later process of its own.

Reads are scarce, so one is made when it is due, or when it lets something be raised. After a start nobody knows what
was sold since the last look before it: nothing is raised until the list has caught up with the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sheets_sync import offers
from sheets_sync.model import Figure, Listing, Ref

Found = tuple[tuple[int, datetime], ...]
"""Units or packs that looks found missing, with the time of each look."""

Told = Mapping[str, Sequence[Sequence[object]]]
"""What a channel tells the others, as JSON has it: SKU -> (units, time of the look), each."""


def units_told(told: Told | None) -> dict[str, int]:
    """Units of each SKU that a channel sold and no order shows yet."""
    return {sku: sum(units for units, _ in _read(found)) for sku, found in (told or {}).items()}


def _read(found: Sequence[Sequence[object]]) -> Found:
    return tuple((int(str(units)), datetime.fromisoformat(str(at))) for units, at in found)


@dataclass
class Reads:
    """What one driver of a channel knows of its order list. `lag` and `every` are the channel's own."""

    lag: timedelta = timedelta(0)
    every: timedelta = timedelta(0)
    born: datetime | None = None
    read_at: datetime | None = None  # when the last complete read began
    not_before: datetime | None = None  # the channel said so
    missing: dict[Ref, Found] = field(default_factory=dict)
    """Packs sold unseen, and by which look: each look's own are let go once a read must have shown them."""

    unsure: dict[Ref, datetime] = field(default_factory=dict)
    """Listings whose figure was seen when nobody knew what to expect, and when."""

    before: dict[str, Found] = field(default_factory=dict)
    """Units of SKUs that an earlier process found missing, likewise."""

    @property
    def late(self) -> bool:
        """Whether any of this is needed."""
        return self.lag > timedelta(0) or self.every > timedelta(0)

    def is_due(self, now: datetime) -> bool:
        """Whether the list is to be read in any case."""
        if self.born is None:
            self.born = now
        if not self.is_allowed(now):
            return False
        return self.read_at is None or now - self.read_at >= self.every

    def is_allowed(self, now: datetime) -> bool:
        """Whether the channel's limits may let it be read, as far as it said so."""
        return self.not_before is None or now >= self.not_before

    def was_read(self, begun: datetime) -> None:
        """A read that began then has ended and is booked: sales that it must have shown are missing no more."""
        self.read_at, self.not_before = begun, None
        self.missing = {ref: left for ref, found in self.missing.items() if (left := self._left(found, begun))}
        self.before = {sku: left for sku, found in self.before.items() if (left := self._left(found, begun))}
        self.unsure = {ref: at for ref, at in self.unsure.items() if at >= begun - self.lag}

    def _left(self, found: Found, begun: datetime | None) -> Found:
        return found if begun is None else tuple(f for f in found if f[1] >= begun - self.lag)

    def to_tell(self, listings: Mapping[Ref, Listing], begun: datetime | None = None) -> dict[str, list[list[object]]]:
        """What to tell the others; with `begun` what is left of it after a read that began then."""
        told: dict[str, list[list[object]]] = {}
        for ref, found in self.missing.items():
            item = listings.get(ref)
            if item is None or item.sku is None:
                continue
            for packs, at in self._left(found, begun):
                told.setdefault(item.sku, []).append([packs * item.pack_size, at.isoformat()])
        for sku, found in self.before.items():
            for units, at in self._left(found, begun):
                told.setdefault(sku, []).append([units, at.isoformat()])
        return told

    def take_over(self, told: Told | None) -> None:
        """What an earlier process of this channel told."""
        self.before = {sku: _read(found) for sku, found in (told or {}).items()}

    def saw(self, before: Iterable[Listing], sees: Mapping[Ref, Figure], at: datetime) -> None:
        """A look: what it shows less than we expected was sold."""
        for item in before:
            expect, shows = offers.expected(item), sees[item.ref].shows
            if expect is not None and shows is not None and shows < expect:
                self.missing[item.ref] = (*self.missing.get(item.ref, ()), (expect - shows, at))

    def doubt(self, refs: Iterable[Ref], at: datetime) -> None:
        """A look after a write of which nobody said what it showed: what is missing there, that look could not tell."""
        self.unsure |= dict.fromkeys(refs, at)

    def reason(self, ref: Ref, raised_at: datetime | None) -> datetime | None:
        """What a raise of this listing has to be later than: the reason to raise it, and any such look."""
        return max(filter(None, (raised_at, self.unsure.get(ref))), default=None)

    def promised(self, ref: Ref) -> int:
        """Packs that were sold there and that no order explains yet."""
        return sum(packs for packs, _ in self.missing.get(ref, ()))

    def promised_units(self, item: Listing) -> int:
        """The same in units, with what an earlier process found."""
        before = self.before.get(item.sku or "", ())
        return self.promised(item.ref) * item.pack_size + sum(units for units, _ in before)

    def opens_at(self, raised_at: datetime | None) -> datetime:
        """A read that begins after this lets a listing be raised whose reason was recorded at `raised_at`."""
        assert self.born is not None
        return max(self.born, raised_at or self.born) + self.lag

    def waits_until(self, raised_at: datetime | None, now: datetime) -> datetime | None:
        """Until when a listing cannot be raised whatever is read by now; None: it can be, or a read may let it."""
        opens = self.opens_at(raised_at)
        until = max(opens, self.not_before or opens)
        return None if self.knows(raised_at) or until < now else until

    def knows(self, raised_at: datetime | None) -> bool:
        """Whether the last read began late enough for that."""
        return self.read_at is not None and self.read_at > self.opens_at(raised_at)
