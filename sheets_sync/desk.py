"""What a pass works with: the ledger, the channels and the settings; and how the state between passes is kept.

The names of the small states in the ledger stand here, so that no two places invent their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sheets_sync.channels import Channel
from sheets_sync.channels.http import Token
from sheets_sync.config import Settings
from sheets_sync.guard import Limits
from sheets_sync.kits import Kits
from sheets_sync.kits import at as kits_at
from sheets_sync.kits import available as kits_available
from sheets_sync.ledger import Ledger, Tx, View
from sheets_sync.masses import Holds
from sheets_sync.model import MAIN, Balance, Event, Listing, Question, Ref, StockKey
from sheets_sync.places import shares
from sheets_sync.sheet import tabs

STARTED = "started"  # when Start was, ISO; None before
OPENED = "opened"  # the time of the last opening that Start made at once, ISO
LAST_OPENED = "last_opened"  # of the last one of all, ISO: what did not stand still is opened by starting again
START_WANTED = "start_wanted"  # the Start tick was seen, and by which row
PRIMARY = "primary"  # the channel's name, where the sheet says another one than the config
ROWS = "rows"  # SKUs that have a row in Stock, or had one
LEDGER_SHOWN = "ledger_shown"  # the last event that the Ledger tab shows
UNDONE = "undone:"  # before the exchange of a mistaken write: the figure that it overwrote
UNDONE_TAG = "undone tag:"  # and the exchange of that figure's tag
ANSWERED = "answered:"  # before a used tag's exchange: what was typed over it was answered in Review
ARCHIVED = "archived"  # SKUs whose row is gone on purpose: never added or missed again
CHAIN = "chain"  # the named range's name; another one once the first was lost with its tab
ADOPTING = "adopting"  # a person said that the ledger stands: the next pass asks about every change in the workbook
KITS = "kits"  # kit SKU -> component SKU -> units
IMPORTED = "imported"  # which primary marketplace the first import took, when, and what the config said then
SEED_TYPED = "seed_typed"  # what people typed in Seed day: row key -> [cell, when it was first seen]
SEED_ANSWER = "seed_answer"  # whether the primary's figure leaves out other channels' open orders
SEED_ORDERS = "seed_orders"  # open orders as the import saw them
RETIRED = "retired"  # when the primary marketplace was retired, ISO
STARTS = "starts"  # how often counting has begun; after an undone Start it begins again
STOCK_TAKE = "stock_take"  # the stock-take that stands in its tab: name, when it began, when it was posted
STOCK_TAKE_NUMBER = "stock_take_number"  # how many there were
STOCK_TAKE_SEEN = "stock_take_seen"  # when each figure without a time was first seen: time -> names of figures
STOCK_TAKE_POSTED = "stock_take_posted"  # SKU -> digest of what was posted and still stands in the tab
FROZEN = "frozen"  # C7: SKUs that no channel is raised for, as they are being counted
TROUBLES = "troubles"  # what each loop stumbles over, and since when; gone once it works again
LOW_LEVELS = "low_levels"  # Low-stock levels as the sheet showed them last, by SKU
PROVEN = "proven"  # what doctor saw, by spreadsheet id


def orders_cursor(channel: str) -> str:
    """Up to when a channel's orders have been read."""
    return f"orders:{channel}"


def joined(channel: str) -> str:
    """When a channel that came after Start was read for the first time (B5), ISO."""
    return f"joined:{channel}"


def unseen_sales(channel: str) -> str:
    """What looks at a channel found sold that its orders do not show yet; promised on every channel (P5)."""
    return f"unseen:{channel}"


def channel_state(channel: str) -> str:
    """What the Channels tab tells of a channel: last push, last order, last error, progress."""
    return f"channel:{channel}"


def token_state(channel: str) -> str:
    """A channel's newest token: a secret, shown nowhere."""
    return f"token:{channel}"


def kits_of(view: View) -> Kits:
    """The kits that are in force."""
    found: Kits = view.get(KITS, {})
    return found


def start_batch(desk: Desk, view: View) -> str:
    """The batch of the openings that count now; after an undone Start it is another one."""
    again = view.get(STARTS, 0)
    return f"start-{desk.ledger.id}" + (f"-{again + 1}" if again else "")


def opening_key(view: View, sku: str) -> str:
    """The key of the opening by which Start opens a SKU; after an undone Start it is another one."""
    again = view.get(STARTS, 0)
    return f"opening:{again}:{sku}" if again else f"opening:{sku}"


def utcnow() -> datetime:
    return datetime.now(UTC)


def _quiet(_: str) -> None:
    pass


@dataclass
class Books:
    """Balances and last events as of the last refresh; only what has changed is read again."""

    balances: dict[StockKey, Balance] = field(default_factory=dict)
    last: dict[str, Event] = field(default_factory=dict)
    available: dict[str, int | None] = field(default_factory=dict)
    """Units that may be sold, by SKU, over these locations (K5). A SKU without a count has none (B1)."""

    upto: int = 0
    kits: Kits = field(default_factory=dict)
    places: Collection[str] | None = None  # the locations that are summed; None: all

    _FIRST = 20_000

    def refresh(self, view: View) -> set[str]:
        """Bring it up to the snapshot of `view`; gives the SKUs that may have changed."""
        newest, made_of = view.last_event_id(), kits_of(view)
        if newest == self.upto and self.balances and made_of == self.kits:
            return set()
        since = self.upto if newest > self.upto else 0  # events become visible in the order of their ids
        changed = view.balances(since=since)
        self.balances.update(changed)
        skus = {key.sku for key in changed}
        self._sum(skus)
        if self.upto:
            events: Iterable[Event] = view.events(after=since)
        else:
            events = reversed(view.events(limit=self._FIRST, newest_first=True))
        for event in events:
            self.last[event.fact.sku] = event
        self.upto = newest
        return skus | self._make_kits(made_of, skus)

    def _make_kits(self, made_of: Kits, changed: set[str]) -> set[str]:
        """K1, K2: what is available of the kits that are new, or of whose components one has changed."""
        before, self.kits = self.kits, made_of
        ended = before.keys() - made_of.keys()
        for kit in ended:
            self._sum({kit})
        touched = {
            kit for kit, parts in made_of.items()
            if before.get(kit) != parts or kit in changed or not changed.isdisjoint(parts)
        }  # fmt: skip
        places = self._summed() if touched else ()
        for kit in touched:
            self.available[kit] = kits_available(made_of[kit], self.balances, places)
        return touched | ended

    def _summed(self) -> Collection[str]:
        return {key.location for key in self.balances} if self.places is None else self.places

    def lies(self, sku: str, places: Iterable[str]) -> dict[str, int]:
        """Units that may be sold at each of these locations; kits that can be made there (K2)."""
        made_of = self.kits.get(sku)
        if made_of is not None:
            return {place: kits_at(made_of, self.balances, place) for place in places}
        found = {place: self.balances.get(StockKey(sku, place)) for place in places}
        return {place: b.stock.available for place, b in found.items() if b is not None and b.counted}

    def summed(self, sku: str, places: Collection[str]) -> int | None:
        """Units that may be sold over these locations; None where it has no count at any."""
        if sku in self.kits:
            return kits_available(self.kits[sku], self.balances, places)
        lies = self.lies(sku, places)
        return sum(lies.values()) if lies else None

    def _sum(self, skus: set[str]) -> None:
        places = self._summed()
        for sku in skus:
            here = (self.balances.get(StockKey(sku, place)) for place in places)
            counted = [balance.stock.available for balance in here if balance is not None and balance.counted]
            self.available[sku] = sum(counted) if counted else None


@dataclass
class Shelf:
    """A channel's listings as of the last refresh; only what was put since is read again."""

    listings: dict[Ref, Listing] = field(default_factory=dict)
    by_sku: dict[str, set[Ref]] = field(default_factory=dict)
    upto: int = 0

    def refresh(self, view: View, channel: str) -> set[Ref]:
        """Bring it up to the snapshot of `view`; gives the listings that were put since."""
        newest = view.listings_revision()
        changed = view.listings(channel, since=self.upto) if newest != self.upto else []
        for item in changed:
            before = self.listings.get(item.ref)
            if before is not None and before.sku is not None:
                self.by_sku[before.sku].discard(item.ref)
            if item.sku is not None:
                self.by_sku.setdefault(item.sku, set()).add(item.ref)
            self.listings[item.ref] = item
        self.upto = newest
        return {item.ref for item in changed}


@dataclass(frozen=True)
class TokenShelf:
    """A channel's tokens in the ledger's database, so that a rotating one survives a crash and is seen by every
    process. Only the newest is kept, with the name of the credentials that it belongs to.
    """

    ledger: Ledger
    channel: str

    def load(self, seed: str) -> Token | None:
        """The token stored last, unless it belongs to other credentials."""
        with self.ledger.read() as view:
            kept = view.get(token_state(self.channel), {})
        if kept.get("seed") != seed:
            return None
        ends = kept["expires_at"]
        return Token(kept["value"], datetime.fromisoformat(ends) if ends else None, kept["refresh"])

    def store(self, seed: str, token: Token) -> None:
        """Keep it in a transaction of its own."""
        ends = token.expires_at.isoformat() if token.expires_at else None
        kept = {"seed": seed, "value": token.value, "expires_at": ends, "refresh": token.refresh}
        with self.ledger.begin() as tx:
            tx.put(token_state(self.channel), kept)


@dataclass
class Desk:
    """The parts of a running service. `wake` shortens the wait for a loop: "sheet", "start" or a channel's name."""

    ledger: Ledger
    channels: Mapping[str, Channel]
    settings: Settings
    clock: Callable[[], datetime] = utcnow
    wake: Callable[[str], None] = _quiet

    @property
    def titles(self) -> dict[str, str]:
        return {name: c.title for name, c in self.settings.channels.items()}

    @property
    def locations(self) -> list[str]:
        """The titles of our locations, the main one first, where there are several; else none."""
        about = self.settings.locations
        return list(about.by_title.values()) if about.several else []

    @property
    def on_hand_at(self) -> dict[str, str]:
        """The headers of Stock that show what lies at locations other than the main one, by the location's name."""
        return {name: tabs.on_hand_at(title) for name, title in list(self.settings.locations.by_title.items())[1:]}

    @property
    def tabs(self) -> tuple[tabs.Tab, ...]:
        """Every tab of the workbook, as channels and locations would have it."""
        return tabs.wanted(list(self.titles.values()), self.locations)

    def place_of(self, item: Listing) -> str:
        """The location that a listing's own figure is about: of one figure over several the main one, or the first."""
        draws = self.settings.draws_from(item.channel)
        one = MAIN if MAIN in draws else draws[0]
        return self.settings.channels[item.channel].places.get(item.ref.place, one)

    def units(self, books: Books, item: Listing, summed: int | None) -> int | None:
        """What a listing may offer of the `summed` units that its channel has of the SKU. One at a place that is a
        location of ours gets what lies there, such that its SKU's places together offer no more (K5, P8).
        """
        about = self.settings.channels[item.channel]
        place = about.places.get(item.ref.place)
        if summed is None or place is None or item.sku is None:
            return summed
        order = self.settings.draws_from(item.channel)
        lies, held = books.lies(item.sku, order), item.hold_back
        if item.held_back is None:
            summed -= held  # once for all of the channel's places
        else:
            lies[place] = lies.get(place, 0) - held
        return shares(summed, lies, order)[place] + held

    def available(self, books: Books, item: Listing) -> int | None:
        """Units that a listing may offer, out of books over all locations."""
        sku, names = item.sku or "", self.settings.locations.names
        draws = self.settings.draws_from(item.channel)
        summed = books.available.get(sku) if set(draws) == set(names) else books.summed(sku, draws)
        return self.units(books, item, summed)

    @property
    def limits(self) -> Limits:
        wanted = self.settings.limits
        return Limits(wanted.batch_bytes, wanted.batch_requests, wanted.image_gap)

    @property
    def holds(self) -> Holds:
        """From how many on changes in the sheet are asked about; 0 in the config: never."""
        wanted = self.settings.limits
        return Holds(wanted.hold_edits or None, wanted.hold_zeros or None, wanted.hold_jump or None)

    def primary(self, view: View) -> str | None:
        """The primary marketplace's name: as ticked in the sheet, or else as the config says."""
        ticked = view.get(PRIMARY)
        if ticked in self.settings.channels:
            return str(ticked)
        return self.settings.primary.name if self.settings.primary else None

    def started_at(self, view: View) -> datetime | None:
        at = view.get(STARTED)
        return datetime.fromisoformat(at) if at else None

    def joined_at(self, view: View, channel: str) -> datetime | None:
        """When a channel that came after Start was first read; None for one that was there at Start."""
        at = view.get(joined(channel))
        return datetime.fromisoformat(at) if at else None

    def opened_at(self, view: View) -> datetime | None:
        """When the last opening of Start was made: a moment after Start itself."""
        at = view.get(OPENED) or view.get(STARTED)
        return datetime.fromisoformat(at) if at else None

    def wake_others(self, but: str = "") -> None:
        """Something changed that every other side may have to show."""
        for name in ("sheet", *self.channels):
            if name != but:
                self.wake(name)


def remember(tx: Tx, channel: str, **changes: Any) -> None:
    """Note something about a channel for the Channels tab; nothing is written where it says so already."""
    before = tx.get(channel_state(channel), {})
    after = {**before, **{k: v.isoformat() if isinstance(v, datetime) else v for k, v in changes.items()}}
    if after != before:
        tx.put(channel_state(channel), after)


def reconcile_questions(tx: Tx, now_open: Iterable[Question], mine: Callable[[Question], bool], why: str) -> None:
    """Ask what is new, and close what is mine and has lost its cause."""
    wanted = {q.key: q for q in now_open}
    old = {q.key for q in tx.questions() if mine(q)}
    tx.ask(q for key, q in wanted.items() if key not in old)
    tx.close_questions(old - wanted.keys(), why)
