"""The nouns of the trade, frozen. Everything else is a function over these.

Counts are whole numbers of units. Times are aware UTC datetimes. A SKU is text and never becomes a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

MAIN = "main"
"""The location that every seller has until places are mapped."""


EVERY_SKU = "(all SKUs)"
"""What an event stands under that is about no single SKU. It has no stock, so that no balance is ever told of it."""

Cell = int | float | str | bool | None
"""One cell as a read gives it: 10.0 is 10, "" is None."""

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(StrEnum):
    """What an event did. The ledger has no other kinds."""

    OPENING = "opening"  # the first count of a SKU: at Start, or a new row's first figure
    ADJUSTMENT = "adjustment"  # a person changed on_hand by n, with a reason
    STOCK_TAKE = "stock_take"  # on_hand was exactly n at a moment
    ORDER = "order"  # units promised to a buyer (or the promise grew or shrank)
    CANCELLATION = "cancellation"  # a promise ended without a shipment
    SHIPMENT = "shipment"  # promised units left
    RETURN = "return"  # shipped units came back, sellable or damaged
    TRANSFER = "transfer"  # units moved between locations: two legs, one batch
    REVERSAL = "reversal"  # an earlier fact is struck
    CORRECTION = "correction"  # no fact: the running sum is put right after a fact learned late


COUNT_KINDS = frozenset({Kind.OPENING, Kind.STOCK_TAKE})


class Reason(StrEnum):
    """Why a person changed a count."""

    RETURN = "return"  # a buyer's unit came back
    CANCELLATION = "cancellation"  # a cancelled order's units go back to the shelf
    DAMAGE = "damage"  # still there, not sellable any more: on_hand to damaged
    REPAIRED = "repaired"  # sellable again: damaged to on_hand
    DISPOSED = "disposed"  # damaged units were thrown away
    LOSS = "loss"  # gone, nobody knows where
    FOUND = "found"  # there after all
    RECEIVED = "received"  # delivered by a supplier
    SOLD = "sold"  # sold outside every channel
    CORRECTION = "correction"  # the figure was wrong
    OTHER = "other"


class Stock(NamedTuple):
    """Three figures of one SKU at one location, or a change of them."""

    on_hand: int = 0
    committed: int = 0
    damaged: int = 0

    @property
    def available(self) -> int:
        """on_hand - committed; kept and shown when negative."""
        return self.on_hand - self.committed

    def plus(self, other: Stock, times: int = 1) -> Stock:
        return Stock(
            self.on_hand + times * other.on_hand,
            self.committed + times * other.committed,
            self.damaged + times * other.damaged,
        )

    def minus(self, other: Stock) -> Stock:
        return self.plus(other, -1)


class StockKey(NamedTuple):
    """What a balance belongs to."""

    sku: str
    location: str = MAIN


# the ledger -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fact:
    """Something that happened, to be recorded once. The ledger turns it into an event (and perhaps a correction).

    Exactly one of three forms: a *move* (`change`), a *count* (`count`: on_hand was n at `occurred_at`; `change` is
    worked out), or a *strike* (`strikes`: the dedup key of the fact that is undone; `change` is worked out).
    """

    key: str  # dedup key, chosen by whoever starts the action; same key with other contents is an error
    sku: str
    kind: Kind
    occurred_at: datetime
    change: Stock = Stock()
    count: int | None = None
    strikes: str | None = None
    location: str = MAIN
    source: str = ""  # where it came from: "sheet", a channel's name, "cli"
    actor: str = ""  # who, as far as we know
    reference: str = ""  # order, count or row: what a person would look up
    line: str = ""  # the order line's key; a count's `apart` names lines
    apart: frozenset[str] = frozenset()  # C3: lines whose units were added to this count
    reason: str = ""
    note: str = ""
    batch: str = ""


@dataclass(frozen=True)
class Event:
    """One recorded row of the ledger. `change` and `balance` let any row explain itself, like a bank statement.

    A correction carries the key of the count that it restores in `corrects`, and is no fact (`fact.key` is unique
    all the same). `fact.change` of a count or strike, as stored, is the change that it made.
    """

    id: int  # order of recording over the whole ledger
    seq: int  # per (SKU, location), from 1 without gaps
    fact: Fact
    change: Stock
    balance: Stock
    recorded_at: datetime
    corrects: str = ""

    @property
    def is_fact(self) -> bool:
        return self.fact.kind is not Kind.CORRECTION


@dataclass(frozen=True)
class Balance:
    """Where one SKU stands at one location, with what the fast road of law 2 needs to know."""

    key: StockKey
    stock: Stock = Stock()
    seq: int = 0
    counted: bool = False  # a standing count exists: without one there is no offer (B1)
    last_at: datetime = LONG_AGO  # the latest `occurred_at` of any fact here
    last_count_at: datetime = LONG_AGO  # the latest `occurred_at` of a count here, standing or struck
    event_id: int = 0  # the event that made it so


# orders ---------------------------------------------------------------------------------------------------------


class Ref(NamedTuple):
    """One listing as its channel knows it. `listing` is unique within a channel for a `place`."""

    listing: str  # Shopify: variant id; WooCommerce: product or variation id
    parent: str = ""  # WooCommerce: the variation's product; Shopify: inventory item id
    place: str = ""  # the channel's own location id, "" where it has none


@dataclass(frozen=True)
class Shipment:
    """Units of a line that left, with the channel's own time for it."""

    at: datetime
    units: int
    place: str = ""
    at_latest: bool = False  # `at` is only the latest that they can have left: the channel has one time for many steps
    after: datetime | None = None  # then: when they had not left yet, as far as we saw


@dataclass(frozen=True)
class OrderLine:
    """A line's level: all that the channel's last version says of it, cumulative. Units are the listing's packs."""

    id: str
    ordered: int
    sku: str | None = None  # the SKU as the channel writes it; None where it has none
    ref: Ref | None = None
    title: str = ""
    shipped: tuple[Shipment, ...] = ()
    cancelled: int = 0
    freely: bool = True  # cancelled by the buyer or while pending: comes back by itself (O2)
    not_there: bool = False  # cancelled for a reason that says the unit was not on the shelf (O2)
    ordered_gone: bool = False  # once cancelled, the channel says 0 was ordered: what it said before counts
    free_if_pending: bool = False  # not by the buyer: comes back by itself only where the order was pending till then
    cancelled_at: datetime | None = None
    returned: int = 0
    returned_apart: bool = False  # its channel tells of returns in another place: the most that was ever told counts
    restocked: int = 0  # of `returned`, those that the channel itself put back
    returned_to: str = ""  # the channel's own place where they were put, where it says so
    taken: int = 0  # units that the channel has taken off its own figure for this line, as of this level (P1)
    taken_at: datetime | None = None  # when it last did so or gave back; None: not known

    @property
    def sent(self) -> int:
        return sum(s.units for s in self.shipped)


class OrderState(StrEnum):
    PENDING = "pending"  # placed, not paid or still to be confirmed: it commits
    OPEN = "open"  # to be shipped, in whole or in part
    DONE = "done"  # nothing is left to be shipped
    CANCELLED = "cancelled"  # called off as a whole
    GONE = "gone"  # the channel has no such order any more (trashed, deleted)
    UNKNOWN = "unknown"  # a word of the vendor's that we do not know; treated as open


@dataclass(frozen=True)
class Order:
    """An order as one reading shows it. `updated_at` is the vendor's own version of it."""

    id: str
    placed_at: datetime
    updated_at: datetime
    state: OrderState
    lines: tuple[OrderLine, ...]
    number: str = ""  # what buyer and seller call it
    paid: bool = False
    source: str = ""  # O10: which app or marketplace brought it in
    by_channel: bool = False  # O11: the channel ships it from its own stock
    read_at: datetime | None = None  # when our read began; None: it came in a delivery
    note: str = ""  # what was odd, in words
    changed_at: datetime | None = None  # when it changed last, where `updated_at` is known to run behind
    since: datetime | None = None  # what earlier readings did not show happened after that

    @property
    def changed(self) -> datetime:
        """The time of what it shows, where that has none of its own."""
        return self.changed_at or self.updated_at


class Word(NamedTuple):
    """One answer of a person, with its own time: a field of `Said`, or on which side of a count units left."""

    what: str
    units: int
    at: datetime


@dataclass(frozen=True)
class Said:
    """What people decided about a line, in units. `heard` keeps the time of each answer; without one it is `at`."""

    back: int = 0  # cancelled units: back to stock
    gone: int = 0  # cancelled units: were not there
    damaged: int = 0  # cancelled units: there, not sellable
    kept: int = 0  # O3: waiting units: back to stock
    left: int = 0  # O3: waiting units: shipped
    good: int = 0  # returned, sellable
    broken: int = 0  # returned, damaged
    at: datetime = LONG_AGO
    absent: int = 0  # returned, says the channel, and not arrived
    counted: int = 0  # returned, sellable, and in a count since: `heard` has the time of that count
    came: int = 0  # returned, says a person, whatever the channel knows of it
    waits: datetime = LONG_AGO  # O3: until then nothing is asked about waiting units
    heard: tuple[Word, ...] = ()


MoveKey = tuple[Kind, datetime]
Moves = Mapping[MoveKey, Stock]
"""What an order line moved or should have moved: a set of timed changes (O1)."""

Split = tuple[tuple[str, int], ...]
"""Units in a row of locations: where what was promised lies (K5)."""


@dataclass(frozen=True)
class LineState:
    """All that the ledger keeps of one order line (law 1)."""

    key: str  # channel/order/line
    channel: str
    order_id: str
    level: OrderLine
    placed_at: datetime
    version: datetime  # the vendor's `updated_at` of the level
    read_at: datetime | None
    state: OrderState
    paid: bool = False
    paid_at: datetime | None = None  # by when it was paid, where an earlier reading showed that it was not
    number: str = ""
    source: str = ""  # which app or marketplace brought its order in (O10)
    sku: str | None = None  # our SKU; None while unknown (O8)
    pack_size: int = 1  # as it was when first committed
    said: Said = Said()
    baseline: OrderLine | None = None  # its level at the opening (B2)
    counted: bool = True  # False: "do not count this line" (O7, O10, O11)
    moved: Moves = field(default_factory=dict)  # at all locations
    revision: int = 0  # grows with each booking; part of the dedup keys
    split: Split = ()  # where its promised units lie (K5); nothing: all at the main location
    away: tuple[tuple[str, Kind, datetime, Stock], ...] = ()  # of `moved`, what it moved at other locations than that


# listings -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RemoteListing:
    """A listing as its channel shows it."""

    ref: Ref
    sku: str | None
    title: str
    shows: int | None  # the figure, in the channel's own basis; None: it keeps none
    pushable: bool = True
    why_not: str = ""  # in words for the seller, where it can't be pushed
    reserved: int = 0  # gross channels: the channel's own open reservations, in the same look
    barcode: str = ""  # GTIN, EAN or UPC, where the channel knows one


@dataclass(frozen=True)
class Figure:
    """One listing's figure as just read."""

    ref: Ref
    shows: int | None
    reserved: int = 0
    promised: int | None = None  # packs of open orders that `shows` leaves out, where the channel keeps that of a place


@dataclass(frozen=True)
class Listing:
    """A listing and what we know of its figure. `shown` is what it last acknowledged or was seen to show."""

    channel: str
    ref: Ref
    sku: str | None  # ours; None while unmatched
    title: str = ""
    remote_sku: str | None = None
    pack_size: int = 1
    hold_back: int = 0
    most: int | None = None
    paused: bool = False
    pushable: bool = True
    why_not: str = ""
    shown: int | None = None
    shown_at: datetime | None = None
    reserved: int = 0
    taken: int | None = 0  # packs that the channel took off since `shown_at`; None: unknown (P2)
    error: str = ""  # the last refusal, in words
    retry_at: datetime | None = None  # not to be pushed before
    attempts: int = 0  # writes sent so far; part of idempotency keys
    pending_job: str = ""  # accepted, to be asked about
    mapped: str | None = None  # the SKU of ours that a person mapped it to; None: matched by its own
    before: int | None = None  # what it showed before our first write; an undone Start may put it back (B6)
    barcode: str = ""
    held_back: int | None = None  # `hold_back` as a person set it for this listing; None: as its channel has it


# questions and holds --------------------------------------------------------------------------------------------


class Origin(StrEnum):
    CELL = "cell"  # what was typed still stands in its cell
    IMAGE = "image"  # it was overwritten in the gap; we keep it


@dataclass(frozen=True)
class Question:
    """What was seen and what each answer would do; stored, shown in Status (and in Review)."""

    key: str  # the same question has the same key, so it is never asked twice
    kind: str  # a word from `guard.KINDS`
    sku: str
    text: str  # what was seen, and what to do about it
    origin: Origin = Origin.CELL
    typed: Cell = None
    tag: Cell = None
    reference: str = ""
    asked_at: datetime = LONG_AGO
    about: Mapping[str, Cell] = field(default_factory=dict, hash=False)  # what an answer needs: the tag's exchange …


# deliveries, leases ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StoredDelivery:
    """A webhook delivery as it is kept: verified, raw, once per (channel, id)."""

    channel: str
    id: str
    topic: str
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    state: str = "waiting"  # "waiting" | "applied" | "failed"
    note: str = ""


@dataclass(frozen=True)
class Lease:
    """The right to drive a sheet or a channel until `until`. `token` is the fencing token: it only grows."""

    name: str
    holder: str
    token: int
    until: datetime


# the sheet ------------------------------------------------------------------------------------------------------


class Tag(NamedTuple):
    """The hidden cells of a row: what we last wrote there. The base of what is typed."""

    sku: Cell = None
    figure: Cell = None
    exchange: Cell = None

    @property
    def blank(self) -> bool:
        """Whether we have never written in this row, or somebody cleared the hidden cells."""
        return self.sku is None and self.figure is None and self.exchange is None


class Mark(NamedTuple):
    """The first row of `_exchange`: which exchange landed last, and whose workbook this is."""

    exchange: str = ""
    previous: str = ""
    ledger: str = ""
    spreadsheet: str = ""
    tab: str = ""


class TabInfo(NamedTuple):
    """A tab as the spreadsheet's properties show it."""

    id: int
    title: str
    rows: int
    columns: int
    hidden: bool = False
    filtered: bool = False  # a basic filter is set


@dataclass(frozen=True)
class Layout:
    """The workbook's properties: what a values read does not tell."""

    spreadsheet_id: str
    title: str
    time_zone: str
    tabs: Mapping[str, TabInfo]  # by title
    named_ranges: Mapping[str, str]  # name -> id


@dataclass(frozen=True)
class Look:
    """One read of the workbook: a hint, never proof. It need not be one snapshot and may be stale."""

    began_at: datetime
    header: tuple[Cell, ...]  # of the Stock tab, as it stands
    columns: Mapping[str, list[Cell]]  # by header; all of one length; the first entry is row 2
    rows: int  # that length
    mark: Mark
    channels: tuple[Mapping[str, Cell], ...] = ()  # rows of the Channels tab by header, with "_row"
    review: tuple[Mapping[str, Cell], ...] = ()  # rows of the Review tab, likewise
    adjustments: tuple[Mapping[str, Cell], ...] = ()  # rows of the Adjustments tab, likewise
    stock_take: tuple[tuple[Cell, ...], ...] = ()  # the first rows of the Stock take tab, as they stand
    problems: tuple[str, ...] = ()  # a header twice or missing, in words: the tab is held
