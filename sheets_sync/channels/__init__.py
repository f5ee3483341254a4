"""What a channel is, in prose and as a protocol. One file a channel beside this one.

A channel adapter speaks one vendor's wire protocol and holds no state of ours. It imports neither the ledger nor
another channel. It reads *levels* (listings, figures, orders as they stand now) and writes figures; what they mean for
stock is decided elsewhere.

The contract, which `tests/contract.py::ChannelContract` holds every adapter to:

- `push` gives one result for each target, in order, always. One bad listing never spoils the others. A write whose
  answer is lost gives UNKNOWN for its targets, and is never sent again by the adapter.
- Where `capabilities.compare_and_set` is true, a target with `expected` set is applied only if the listing shows just
  that figure, and is STALE (with `actual` where the vendor tells) otherwise. Elsewhere `expected` is ignored.
- `figures` gives an entry for each ref it was asked for, in order; `shows=None` where the listing is gone.
- `listings` gives every listing, in pages. A page without listings and with a cursor: the channel is still preparing
  its answer, and is to be asked again, later.
- `orders(since)` gives every order changed at or after `since` (the overlap is the adapter's own), in pages, each order
  a whole cumulative level with the vendor's own version and times, `read_at` being `clock()` from *before* the request.
- `order(id)` gives the order, or one with state GONE and no lines where the channel has it no more.
- `verify` is pure: raw bytes in, a Delivery out, or Unsigned, TooOld, Malformed. Constant time, old secret accepted
  while it is rotated. Where `capabilities.proof` is a KEY, no signal carries an order's level: it says where to look.
- `signals` is pure and never raises on a body that `verify` took: what it cannot read gives no signal.
- Errors are those of `sheets_sync.errors`; messages name what to do and never a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

from sheets_sync.model import Figure, Order, Ref, RemoteListing

T = TypeVar("T")
Clock = Callable[[], datetime]


class Basis(Enum):
    """What the figure that we write means to the channel (DESIGN.md section 6)."""

    AVAILABLE = "available"  # what may be sold; the channel lowers it itself with each sale
    GROSS = "gross"  # the channel subtracts its own open reservations from it


class Proof(Enum):
    """How a delivery proves who sent it; without it, nothing is taken."""

    SIGNATURE = "signature"  # over the raw body: what it says is what the channel said, and a level in it may be booked
    KEY = "key"  # a secret beside a body that nobody signed: it vouches for the sender, and no order in it is believed


@dataclass(frozen=True)
class Capabilities:
    """What a channel can do, in plain attributes."""

    basis: Basis
    compare_and_set: bool
    idempotency_key: bool
    asynchronous: bool  # `push` may answer ACCEPTED; ask `results` later
    readable: bool  # `figures` works
    max_batch: int  # targets a call
    grouped_by: Literal["none", "place", "listing", "parent"] = "none"  # what a batch must share
    writes_per_listing_per_day: int | None = None
    webhooks: bool = True
    proof: Proof = Proof.SIGNATURE
    orders_lag: timedelta = timedelta(0)  # how late the order list may run; "read" means complete up to now - lag
    orders_every: timedelta = timedelta(0)  # how often that list may be read for ever; what is saved up serves raises
    own_sources: frozenset[str] | None = frozenset()  # of orders, surely its own (O10); None: whatever it names
    looks: int | None = None  # listings looked at and written one by one in a pass at most, where limits make it slow
    read_back: float | None = None  # listings a second whose figures may be read for ever: a share of the limits


class Outcome(StrEnum):
    """What became of one target."""

    APPLIED = "applied"  # the listing shows the figure now
    ACCEPTED = "accepted"  # a job to ask about
    STALE = "stale"  # compare-and-set found another figure; nothing was written
    RETRY = "retry"  # not written; try again after `retry_after` seconds
    REFUSED = "refused"  # not written; the reason is in `why`
    UNKNOWN = "unknown"  # sent, and no answer: look before anything else


@dataclass(frozen=True)
class Target:
    """One figure to write, already in the channel's basis. `key` is new for each attempt, stored before it is sent."""

    ref: Ref
    figure: int
    expected: int | None = None  # what we think it shows; None: no check
    key: str = ""


@dataclass(frozen=True)
class PushResult:
    """What became of one target of a push."""

    ref: Ref
    outcome: Outcome
    why: str = ""  # for the seller, in words
    actual: int | None = None  # what the listing shows, where the answer tells
    retry_after: float | None = None  # seconds
    job: str = ""


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a longer answer."""

    items: Sequence[T]
    cursor: str | None = None  # None: this was the last page


@dataclass(frozen=True)
class Health:
    """What `check` found. Every problem says what to do."""

    ok: bool
    account: str = ""  # the shop's own name, to recognise it
    problems: tuple[str, ...] = ()
    clock_skew: timedelta | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hook:
    """One webhook subscription after `ensure_hooks`."""

    topic: str
    address: str
    state: str  # "kept" | "made" | "made again" | "refused: why"


@dataclass(frozen=True)
class RawRequest:
    """An HTTP request as it came in. Header names are looked up without regard to case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str | None:
        wanted = name.lower()
        return next((v for k, v in self.headers.items() if k.lower() == wanted), None)


@dataclass(frozen=True)
class Reply:
    """An answer that the vendor's protocol asks for at once (a ping, a challenge)."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Delivery:
    """A verified delivery. `id` is unique for what it says: the same id twice is the same delivery."""

    id: str
    topic: str
    sent_at: datetime | None = None
    kept: bytes | None = None  # what is stored in place of the body, where that says who the buyer is


@dataclass(frozen=True)
class Pulled:
    """A message from a queue of the seller's own. `delivery` None: it says nothing that we know. Its body is `kept`."""

    receipt: str  # what takes it off the queue
    delivery: Delivery | None


class SignalKind(StrEnum):
    """What a signal is about."""

    ORDER = "order"  # look at this order
    LISTING = "listing"  # look at this listing
    OTHER = "other"  # nothing to look at


@dataclass(frozen=True)
class Signal:
    """What a delivery says changed: a hint, or the level itself."""

    kind: SignalKind
    id: str = ""  # order id, or `Ref.listing`
    order: Order | None = None  # the level itself, where the body carries it whole
    figure: Figure | None = None  # a listing's level likewise; its ref may be blank in what the vendor does not name
    gone: bool = False  # the order was deleted or trashed


class Channel(Protocol):
    """A place that sells. `name` is the seller's word for it in the config, `kind` the vendor."""

    name: str
    kind: str
    capabilities: Capabilities

    def check(self) -> Health: ...

    def ensure_hooks(self, base_url: str) -> Sequence[Hook]:
        """Subscribe to what we need at `{base_url}/webhooks/{name}`, again where the vendor dropped us. Idempotent."""
        ...

    def listings(self, cursor: str | None = None) -> Page[RemoteListing]: ...

    def figures(self, refs: Sequence[Ref]) -> Sequence[Figure]: ...

    def push(self, targets: Sequence[Target]) -> Sequence[PushResult]: ...

    def results(self, job: str) -> Sequence[PushResult] | None:
        """What became of an accepted push; None while it is still running.

        What the answer calls ACCEPTED still is. What it does not name has come to an end, and is to be looked at.
        Raises ChannelRefused where none of it was done.
        """
        ...

    def orders(self, since: datetime, cursor: str | None = None) -> Page[Order]: ...

    def order(self, order_id: str) -> Order: ...

    def handshake(self, request: RawRequest) -> Reply | None: ...

    def verify(self, request: RawRequest) -> Delivery: ...

    def signals(self, request: RawRequest) -> Sequence[Signal]: ...

    def close(self) -> None: ...


@runtime_checkable
class Pulls(Protocol):
    """A channel whose notifications may wait in a queue, to be read by polling."""

    def pull(self) -> Sequence[Pulled]:
        """The next messages; they come again until `pulled` takes them off. None: there is no queue, or it is empty."""
        ...

    def pulled(self, receipts: Sequence[str]) -> None:
        """These have been stored, and need not come again."""
        ...


@runtime_checkable
class WritesInBulk(Protocol):
    """A channel that writes a few figures one by one and many all at once, whichever is sooner by its limits."""

    def in_bulk(self, count: int) -> bool:
        """Whether so many figures would go all at once, were they pushed now."""
        ...


@runtime_checkable
class ListsOpenOrders(Protocol):
    """A channel whose list of orders is so scarce that months of it cannot be read in one go."""

    def open_orders(self, since: datetime, cursor: str | None = None) -> Page[Order]:
        """Orders placed since that are not finished yet: all that an opening needs (B2)."""
        ...


def orders_to_open_with(channel: Channel, since: datetime) -> Iterator[Order]:
    """What an opening reads: the orders since, or, where that list is scarce, those of them that are still open."""
    read = channel.open_orders if isinstance(channel, ListsOpenOrders) else channel.orders
    return all_pages(lambda cursor: read(since, cursor))


def all_pages(read: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """Every item of every page, lazily."""
    cursor: str | None = None
    while True:
        page = read(cursor)
        yield from page.items
        if page.cursor is None:
            return
        cursor = page.cursor
