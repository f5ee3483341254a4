"""Shopify, Admin GraphQL 2026-07: `Shopify` is the channel; everything that reads a body is a pure function above it.

A listing is a variant: `Ref(variant, its inventory item, location)`; the lines of an order name the variant only. The
figure is `available` of the inventory item at one location: what may be sold. Shopify takes units off it when an
order is placed, paid or not, and puts them back where a cancellation or a refund restocks. Figures are set in batches
with a compare-and-set (`changeFromQuantity`, its null spelt out) and an idempotency key for each attempt.

An order is read from two sources, GraphQL and the REST-shaped body of a webhook. Both become the same few facts
(`Line`, `Left`, `Back`), and one function says what they mean. Cancelled units are those that are neither shipped nor
still to be shipped, in the vendor's own count: a refund without restock is no proof, since Shopify counts shipped units
as refunded first.

What is unsatisfying: times are whole seconds, so two changes of one second carry the same version; whether a batch
with one bad entry applies the others is not published, so `push` is right either way.

Sources: shopify.dev (Admin GraphQL 2026-07, limits, webhooks, client credentials), recorded answers of 2026-04.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeVar

import orjson

from sheets_sync.channels import (
    Basis,
    Capabilities,
    Clock,
    Delivery,
    Health,
    Hook,
    Outcome,
    Page,
    PushResult,
    RawRequest,
    Reply,
    Signal,
    SignalKind,
    Target,
)
from sheets_sync.channels.http import TIMEOUT, Answer, HttpRefused, Limiter, Session, Token, TokenAuth, TokenKeeper
from sheets_sync.errors import (
    ChannelRefused,
    CredentialsRefused,
    Malformed,
    OtherSide,
    OutcomeUnknown,
    RateLimited,
    SheetsSyncError,
    TooOld,
    Unavailable,
    Unsigned,
)
from sheets_sync.model import LONG_AGO, Figure, Order, OrderLine, OrderState, Ref, RemoteListing, Shipment

T = TypeVar("T")

API_VERSION = "2026-07"

# limits: a bucket of cost points for each app and shop; every answer says what is left of it ----------------------

BATCH = 250
"""Entries that an input array takes; one more and all of them are refused."""

POINTS_PER_SECOND, POINTS_AT_ONCE = 100.0, 1000.0
"""Until the first answer tells: the Standard plan's rate, and the most that a single query may cost."""

USUAL_COST = 50.0
"""Points to wait for before the first call of a kind; afterwards what the vendor asked for it last time."""

LISTINGS_PAGE = 250
FIGURES_PAGE = 100
"""Inventory items a read: three points each, and one query must stay below a thousand."""

ORDER_PAGES = (25, 8, 2)
"""Orders a page; the next smaller one where the vendor prices a query above its limit."""

REST_PAGE = 100
"""Lines a call where an order has more than come with it."""

MOST_PLACES = 20
"""Locations looked at for a SKU that is kept at several."""

MOST_FIGURE = 1_000_000_000

OVERLAP = timedelta(minutes=5)
"""`orders` reads this much further back than asked: clocks differ, and the shop's times are whole seconds."""

REPLAY_WINDOW = timedelta(hours=48)
"""A delivery older than this is refused. Retries, which carry the first attempt's time, end after 4 hours."""

RETRY_AFTER = 10.0
"""Seconds until a write that was not made is worth trying again, where the vendor does not say."""

ROUNDS = 4
"""Times that a batch is sent without its bad entries before the rest is left for the next pass."""

SCOPES = ("read_products", "read_inventory", "write_inventory", "read_locations", "read_orders", "read_returns")

HOOK_TOPICS = (
    "ORDERS_CREATE",
    "ORDERS_UPDATED",
    "ORDERS_CANCELLED",
    "ORDERS_DELETE",
)
"""What we subscribe to. Fulfilments, refunds and edits come as ORDERS_UPDATED, with the whole order. Not
INVENTORY_LEVELS_UPDATE: each figure that we write would come back as one."""

# the vendor's words -----------------------------------------------------------------------------------------------

PAYMENT: Mapping[str, tuple[OrderState, bool]] = MappingProxyType(
    {
        "PENDING": (OrderState.PENDING, False),  # placed, not paid; the figure has been lowered all the same
        "AUTHORIZED": (OrderState.OPEN, False),  # the card is good for it, the seller takes the money later
        "PARTIALLY_PAID": (OrderState.OPEN, False),
        "PAID": (OrderState.OPEN, True),
        "PARTIALLY_REFUNDED": (OrderState.OPEN, True),  # says nothing about units
        "REFUNDED": (OrderState.OPEN, True),  # says nothing about units
        "VOIDED": (OrderState.OPEN, False),  # an authorisation was given up; the order may stand
        "EXPIRED": (OrderState.PENDING, False),  # not paid in time; the order stands until someone cancels it
    }
)
"""Financial status: how an order stands that is neither cancelled nor shipped, and whether it is paid."""

NEVER_PAID = frozenset({"PENDING", "EXPIRED", "VOIDED"})
"""Financial statuses of an order that was never paid: cancelled, its units come back by themselves (O2)."""

BUYER_REASONS = frozenset({"CUSTOMER", "DECLINED", "FRAUD"})
"""Reasons for cancelling that leave the units on the shelf: the buyer would not have them, or could not pay."""

NOT_THERE = "INVENTORY"
"""The reason that says the unit was not on the shelf: asked, whatever Shopify made of its own figure (O2)."""

RESTOCKED = frozenset({"CANCEL", "RETURN", "LEGACY_RESTOCK"})
"""Restock types that put units back on `available`; NO_RESTOCK does not."""

OWN_CHECKOUTS = frozenset({"web", "pos", "shopify_draft_order", "iphone", "android"})
"""Sources whose orders surely lowered the figure. An app's order need not: the API's default, BYPASS, claims nothing,
and no field tells. When such an order took its units is then not known, so that the figure is looked at (P2)."""

GONE_FROM_US = frozenset({"SUCCESS"})
"""Fulfilment statuses that mean the units left. PENDING and OPEN wait at a service; the others never left."""

ORDER_TOPICS = frozenset(
    {
        "orders/create",
        "orders/updated",
        "orders/cancelled",
        "orders/paid",
        "orders/fulfilled",
        "orders/partially_fulfilled",
    }
)
"""Topics whose body is the whole order."""

WHY: Mapping[str, str] = MappingProxyType(
    {
        "INVALID_INVENTORY_ITEM": "Shopify has no such inventory item any more: the product was deleted there",
        "INVALID_LOCATION": "Shopify has no such location any more",
        "ITEM_NOT_STOCKED_AT_LOCATION": "not stocked at its location: tick the location in the product's Inventory box",
        "NON_MUTABLE_INVENTORY_ITEM": "a bundle: Shopify works its figure out from its parts, and it cannot be set",
        "INVALID_QUANTITY_TOO_HIGH": "the figure is higher than Shopify takes (1,000,000,000)",
        "INVALID_QUANTITY_TOO_LOW": "the figure is lower than Shopify takes (-1,000,000,000)",
        "INVALID_QUANTITY_NEGATIVE": "Shopify does not take a negative figure here",
    }
)
"""User error codes of inventorySetQuantities, in words for the seller."""

STALE_CODES = frozenset({"CHANGE_FROM_QUANTITY_STALE", "COMPARE_QUANTITY_STALE"})
KEY_CODES = frozenset({"IDEMPOTENCY_KEY_PARAMETER_MISMATCH", "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED"})
"""The key was used before, in vain or for something else: nothing was written, and another key is needed."""

BUSY_CODE = "IDEMPOTENCY_CONCURRENT_REQUEST"

# documents ----------------------------------------------------------------------------------------------------------

WHO = """
query Who {
  shop { name myshopifyDomain }
  currentAppInstallation { accessScopes { handle } }
  locations(first: 50) { nodes { id name isActive } }
}
"""

LISTINGS = f"""
query Listings($first: Int!, $after: String) {{
  productVariants(first: $first, after: $after) {{
    nodes {{
      id sku title
      product {{ title }}
      inventoryItem {{
        id tracked
        inventoryLevels(first: {MOST_PLACES}) {{
          nodes {{ location {{ id name isFulfillmentService }} quantities(names: ["available"]) {{ name quantity }} }}
        }}
      }}
    }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}
"""

FIGURES = """
query Figures($ids: [ID!]!, $place: ID!) {
  nodes(ids: $ids) {
    ... on InventoryItem {
      id tracked
      inventoryLevel(locationId: $place) { quantities(names: ["available"]) { name quantity } }
    }
  }
}
"""

SUMS = f"""
query Sums($ids: [ID!]!) {{
  nodes(ids: $ids) {{
    ... on InventoryItem {{
      id tracked
      inventoryLevels(first: {MOST_PLACES}) {{ nodes {{ quantities(names: ["available"]) {{ name quantity }} }} }}
    }}
  }}
}}
"""

SET = """
mutation SetFigures($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id changes { name item { id } location { id } } }
    userErrors { field message code }
  }
}
"""

_LINES = """
  nodes { id sku title variantTitle quantity currentQuantity unfulfilledQuantity variant { id } }
  pageInfo { hasNextPage endCursor }
"""
_SENT_LINES = "nodes { quantity lineItem { id } } pageInfo { hasNextPage endCursor }"
_BACK_LINES = "nodes { quantity restockType restocked lineItem { id } } pageInfo { hasNextPage endCursor }"
_ORDER = f"""
  id name createdAt updatedAt cancelledAt cancelReason displayFinancialStatus sourceName
  lineItems(first: 50) {{ {_LINES} }}
  fulfillments {{ id status createdAt location {{ id }} fulfillmentLineItems(first: 50) {{ {_SENT_LINES} }} }}
  refunds {{ id createdAt return {{ id }} refundLineItems(first: 50) {{ {_BACK_LINES} }} }}
"""

ORDERS = f"""
query Orders($first: Int!, $after: String, $query: String!) {{
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
    nodes {{ {_ORDER} }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}
"""

ORDER = f"""
query Order($id: ID!) {{ order(id: $id) {{ {_ORDER} }} }}
"""

MORE_LINES = f"""
query MoreLines($id: ID!, $first: Int!, $after: String) {{
  node(id: $id) {{ ... on Order {{ lineItems(first: $first, after: $after) {{ {_LINES} }} }} }}
}}
"""

MORE_SENT = f"""
query MoreSent($id: ID!, $first: Int!, $after: String) {{
  node(id: $id) {{ ... on Fulfillment {{ fulfillmentLineItems(first: $first, after: $after) {{ {_SENT_LINES} }} }} }}
}}
"""

MORE_BACK = f"""
query MoreBack($id: ID!, $first: Int!, $after: String) {{
  node(id: $id) {{ ... on Refund {{ refundLineItems(first: $first, after: $after) {{ {_BACK_LINES} }} }} }}
}}
"""

HOOKS = """
query Hooks($after: String) {
  webhookSubscriptions(first: 100, after: $after) {
    nodes { id topic uri }
    pageInfo { hasNextPage endCursor }
  }
}
"""

HOOK_MAKE = """
mutation HookMake($topic: WebhookSubscriptionTopic!, $uri: String!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: { uri: $uri, format: JSON }) {
    webhookSubscription { id }
    userErrors { field message }
  }
}
"""

HOOK_DROP = """
mutation HookDrop($id: ID!) {
  webhookSubscriptionDelete(id: $id) { deletedWebhookSubscriptionId userErrors { field message } }
}
"""

DOCUMENTS: Mapping[str, str] = MappingProxyType(
    {
        "who": WHO,
        "listings": LISTINGS,
        "figures": FIGURES,
        "sums": SUMS,
        "set": SET,
        "orders": ORDERS,
        "order": ORDER,
        "more lines": MORE_LINES,
        "more sent": MORE_SENT,
        "more back": MORE_BACK,
        "hooks": HOOKS,
        "hook make": HOOK_MAKE,
        "hook drop": HOOK_DROP,
    }
)
"""Every GraphQL document that leaves here; a test holds each to the published schema."""


# ids ----------------------------------------------------------------------------------------------------------------


def gid(kind: str, id: str) -> str:
    """The global id of a number that we keep: `gid://shopify/Order/1`."""
    return f"gid://shopify/{kind}/{id}"


def bare(id: str | int) -> str:
    """The number in a global id, or a REST id as text: what we keep. ValueError where there is none."""
    found = str(id).rpartition("/")[2].partition("?")[0]
    if not (found.isascii() and found.isdigit()):
        raise ValueError(f"'{id}' is no id of Shopify's")
    return found


def _bare_or_blank(id: str | int | None) -> str:
    return "" if id is None else bare(id)


# orders: facts from either source -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """An order line as Shopify counts it. `current` leaves out what was refunded or removed."""

    id: str
    units: int
    current: int | None
    open: int  # not shipped yet and still to be
    sku: str | None = None
    title: str = ""
    ref: Ref | None = None


@dataclass(frozen=True)
class Left:
    """Units of a line in one fulfilment that left."""

    line: str
    shipment: Shipment


@dataclass(frozen=True)
class Back:
    """Units of a line in one refund. `returned`: it belongs to a return, so units are on their way back."""

    line: str
    units: int
    type: str
    restocked: bool
    at: datetime
    returned: bool = False


@dataclass(frozen=True)
class Seen:
    """All that one reading shows of an order, whichever form it came in."""

    id: str
    number: str
    placed_at: datetime
    updated_at: datetime
    cancelled_at: datetime | None
    reason: str
    payment: str
    source: str
    lines: tuple[Line, ...]
    left: tuple[Left, ...]
    back: tuple[Back, ...]


def meaning(seen: Seen, read_at: datetime | None = None) -> Order:
    """The order as levels: what was ordered, shipped, cancelled, returned, and taken off the shop's own figure."""
    state, paid = PAYMENT.get(seen.payment, (OrderState.UNKNOWN, False))
    note = "" if seen.payment in PAYMENT else f"Shopify's financial status '{seen.payment}' is unknown; treated as open"
    lines = tuple(_line(seen, line) for line in seen.lines)
    if seen.cancelled_at is not None:
        state = OrderState.CANCELLED
    elif lines and all(line.open == 0 for line in seen.lines):
        state = OrderState.DONE
    return Order(
        id=seen.id,
        number=seen.number,
        placed_at=seen.placed_at,
        updated_at=seen.updated_at,
        state=state,
        paid=paid,
        source=seen.source,
        lines=lines,
        read_at=read_at,
        note=note,
    )


def _line(seen: Seen, line: Line) -> OrderLine:
    shipped = tuple(sorted((left.shipment for left in seen.left if left.line == line.id), key=_when))
    back = [b for b in seen.back if b.line == line.id]
    sent = sum(shipment.units for shipment in shipped)
    cancelled = _cancelled(seen, line, sent, back)
    put_back = [b for b in back if b.restocked and b.type in RESTOCKED]
    restocked_cancel = sum(b.units for b in put_back if b.type != "RETURN")
    returned = sum(b.units for b in back if b.type == "RETURN" or (b.returned and b.type == "NO_RESTOCK"))
    return OrderLine(
        id=line.id,
        ordered=line.units,
        sku=line.sku,
        ref=line.ref,
        title=line.title,
        shipped=shipped,
        cancelled=cancelled,
        freely=_freely(seen, cancelled, restocked_cancel),
        cancelled_at=_cancelled_at(seen, back) if cancelled else None,
        returned=min(sent, returned),
        restocked=min(sent, sum(b.units for b in put_back if b.type == "RETURN")),
        taken=max(0, line.units - sum(b.units for b in put_back)),
        taken_at=max([seen.placed_at, *(b.at for b in put_back)]) if seen.source in OWN_CHECKOUTS else None,
    )


def _when(shipment: Shipment) -> tuple[datetime, str]:
    return shipment.at, shipment.place


def _cancelled(seen: Seen, line: Line, sent: int, back: Sequence[Back]) -> int:
    rest = max(0, line.units - sent)
    if seen.cancelled_at is not None:
        return rest
    called_off = max(0, rest - line.open, sum(b.units for b in back if b.type == "CANCEL"))
    # Units on hold or at a service may not be counted as open: only what was removed can have been cancelled.
    removed = rest if line.current is None else max(0, line.units - line.current)
    return min(rest, called_off, removed)


def _freely(seen: Seen, cancelled: int, put_back: int) -> bool:
    """Whether cancelled units come back by themselves: the buyer's, the unpaid, and what the shop put back itself."""
    if seen.reason == NOT_THERE:
        return False
    return put_back >= cancelled or seen.reason in BUYER_REASONS or seen.payment in NEVER_PAID


def _cancelled_at(seen: Seen, back: Sequence[Back]) -> datetime | None:
    return seen.cancelled_at or max((b.at for b in back if b.type != "RETURN"), default=None)


def read_node(node: Mapping[str, Any], read_at: datetime | None = None) -> Order:
    """An order as GraphQL gives it, its connections whole."""
    left = tuple(
        Left(bare(part["lineItem"]["id"]), Shipment(_time(f["createdAt"]), int(part["quantity"]), _place(f)))
        for f in node["fulfillments"]
        if f["status"] in GONE_FROM_US
        for part in f["fulfillmentLineItems"]["nodes"]
        if part["quantity"]
    )
    back = tuple(
        Back(
            line=bare(part["lineItem"]["id"]),
            units=int(part["quantity"]),
            type=part["restockType"],
            restocked=bool(part["restocked"]),
            at=_time(r["createdAt"] or node["updatedAt"]),
            returned=r["return"] is not None,
        )
        for r in node["refunds"]
        for part in r["refundLineItems"]["nodes"]
    )
    seen = Seen(
        id=bare(node["id"]),
        number=node["name"],
        placed_at=_time(node["createdAt"]),
        updated_at=_time(node["updatedAt"]),
        cancelled_at=None if node["cancelledAt"] is None else _time(node["cancelledAt"]),
        reason=node["cancelReason"] or "",
        payment=node["displayFinancialStatus"] or "",
        source=node["sourceName"] or "",
        lines=tuple(_node_line(line) for line in node["lineItems"]["nodes"]),
        left=left,
        back=back,
    )
    return meaning(seen, read_at)


def _node_line(line: Mapping[str, Any]) -> Line:
    variant = line["variant"]
    return Line(
        id=bare(line["id"]),
        units=int(line["quantity"]),
        current=int(line["currentQuantity"]),
        open=int(line["unfulfilledQuantity"]),
        sku=_sku(line["sku"]),
        title=_title(line["title"], line["variantTitle"]),
        ref=None if variant is None else Ref(bare(variant["id"])),
    )


def read_body(body: Mapping[str, Any]) -> Order | None:
    """The order in a webhook body (REST shape, no wrapper); None where it does not carry the order whole."""
    lines = body["line_items"]
    if any("fulfillable_quantity" not in line for line in lines) or "updated_at" not in body:
        return None
    left = tuple(
        Left(
            bare(part["id"]),
            Shipment(_time(f["created_at"]), int(part["quantity"]), _bare_or_blank(f.get("location_id"))),
        )
        for f in body.get("fulfillments") or []
        if str(f["status"]).upper() in GONE_FROM_US
        for part in f["line_items"]
    )
    back = tuple(
        Back(
            line=bare(part["line_item_id"]),
            units=int(part["quantity"]),
            type=str(part["restock_type"]).upper(),
            restocked=part.get("location_id", 0) is not None,  # no field says so, but where it came to does
            at=_time(r["created_at"]),
            returned=bool(r.get("return")),
        )
        for r in body.get("refunds") or []
        for part in r["refund_line_items"]
    )
    seen = Seen(
        id=bare(body["id"]),
        number=str(body.get("name") or ""),
        placed_at=_time(body["created_at"]),
        updated_at=_time(body["updated_at"]),
        cancelled_at=None if body.get("cancelled_at") is None else _time(body["cancelled_at"]),
        reason=str(body.get("cancel_reason") or "").upper(),
        payment=str(body.get("financial_status") or "").upper(),
        source=str(body.get("source_name") or ""),
        lines=tuple(_body_line(line) for line in lines),
        left=left,
        back=back,
    )
    return meaning(seen)


def _body_line(line: Mapping[str, Any]) -> Line:
    current, variant = line.get("current_quantity"), line.get("variant_id")
    return Line(
        id=bare(line["id"]),
        units=int(line["quantity"]),
        current=None if current is None else int(current),
        open=int(line["fulfillable_quantity"]),
        sku=_sku(line.get("sku")),
        title=_title(str(line.get("title") or ""), line.get("variant_title")),
        ref=None if variant is None else Ref(bare(variant)),
    )


def _place(fulfilment: Mapping[str, Any]) -> str:
    return "" if fulfilment["location"] is None else bare(fulfilment["location"]["id"])


def _sku(text: object) -> str | None:
    """As it stands: text, never a number. Blank is none."""
    return text if isinstance(text, str) and text.strip() else None


def _title(product: str, variant: str | None) -> str:
    return product if not variant or variant == "Default Title" else f"{product} - {variant}"


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time '{text}' has no zone")
    return moment.astimezone(UTC)


# listings and figures -----------------------------------------------------------------------------------------------


def read_variant(node: Mapping[str, Any], location: str = "") -> RemoteListing:
    """A listing from a variant. `location`: the one location that was chosen, "" where none was."""
    item = node["inventoryItem"]
    levels = {bare(level["location"]["id"]): level for level in item["inventoryLevels"]["nodes"]}
    if location:
        levels = {place: level for place, level in levels.items() if place == location}
    place = next(iter(levels)) if len(levels) == 1 else ""
    why_not = _why_not(item, levels)
    return RemoteListing(
        ref=Ref(bare(node["id"]), bare(item["id"]), place),
        sku=_sku(node["sku"]),
        title=_title(node["product"]["title"], node["title"]),
        shows=_available(levels.values()) if item["tracked"] else None,
        pushable=not why_not,
        why_not=why_not,
    )


def _why_not(item: Mapping[str, Any], levels: Mapping[str, Mapping[str, Any]]) -> str:
    if not item["tracked"]:
        return "Shopify does not track its quantity: tick 'Track quantity' in the product's Inventory box"
    if not levels:
        return "not stocked at a location that we may set: tick one in the product's Inventory box"
    names = [level["location"]["name"] for level in levels.values()]
    if len(levels) > 1:
        return (
            f"kept at {len(levels)} locations ({', '.join(names)}): locations are not mapped yet, so it is only shown"
        )
    if any(level["location"]["isFulfillmentService"] for level in levels.values()):
        return f"{names[0]} is a fulfilment service, which sets its own figures"
    return ""


def _available(levels: Iterable[Mapping[str, Any]]) -> int | None:
    figures = [int(q["quantity"]) for level in levels for q in level["quantities"] if q["name"] == "available"]
    return sum(figures) if figures else None


def read_figure(ref: Ref, node: Mapping[str, Any] | None) -> Figure:
    """The figure of an inventory item; None where it is gone, untracked, or not stocked there."""
    if not node or not node["tracked"]:
        return Figure(ref, None)
    if "inventoryLevels" in node:
        return Figure(ref, _available(node["inventoryLevels"]["nodes"]))
    level = node["inventoryLevel"]
    return Figure(ref, None if level is None else _available([level]))


# pushing ------------------------------------------------------------------------------------------------------------


def batch_key(targets: Sequence[Target], attempt: int) -> str:
    """An idempotency key: the same for the same targets in the same attempt, another one for every other attempt."""
    text = "\n".join(
        [str(attempt), *(f"{t.key} {t.ref.parent} {t.ref.place} {t.figure} {t.expected}" for t in targets)]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Verdict:
    """What one answer to a batch settles. `left` was not applied, as far as the answer tells, and may be sent again."""

    settled: Mapping[Ref, PushResult] = field(default_factory=dict)
    left: tuple[Target, ...] = ()


def read_set(targets: Sequence[Target], payload: Mapping[str, Any]) -> Verdict:
    """The answer to one inventorySetQuantities.

    No user error: all of it holds (a null group only says that nothing had to change). With errors: bad entries are
    settled, entries named in the group's changes were applied, and the rest is left. Sent again with the same expected
    figure, an entry that had been applied after all comes back stale, and the figure is read.
    """
    errors = payload["userErrors"]
    if not errors:
        return Verdict({t.ref: PushResult(t.ref, Outcome.APPLIED, actual=t.figure) for t in targets})
    settled: dict[Ref, PushResult] = {}
    whole = [error for error in errors if _index(error, len(targets)) is None]
    for error in errors:
        index = _index(error, len(targets))
        if index is not None:
            settled.setdefault(targets[index].ref, _refusal(targets[index].ref, error))
    group = payload["inventoryAdjustmentGroup"] or {"changes": []}
    changed = {(bare(c["item"]["id"]), bare(c["location"]["id"])) for c in group["changes"] if _named(c)}
    for target in targets:
        if (target.ref.parent, target.ref.place) in changed:
            settled.setdefault(target.ref, PushResult(target.ref, Outcome.APPLIED, actual=target.figure))
    left = tuple(target for target in targets if target.ref not in settled)
    if whole and whole[0]["code"] not in KEY_CODES:
        return Verdict(settled | {t.ref: _refusal(t.ref, whole[0]) for t in left})
    return Verdict(settled, left)


def _named(change: Mapping[str, Any]) -> bool:
    return change["item"] is not None and change["location"] is not None


def _index(error: Mapping[str, Any], count: int) -> int | None:
    """Which entry an error's path names: ["input", "quantities", "0", "inventoryItemId"]."""
    path = error["field"] or []
    if len(path) < 3 or path[1] != "quantities" or not str(path[2]).isdigit() or int(path[2]) >= count:
        return None
    return int(path[2])


def _refusal(ref: Ref, error: Mapping[str, Any]) -> PushResult:
    code, said = str(error["code"] or ""), str(error["message"])
    if code in STALE_CODES:
        return PushResult(ref, Outcome.STALE, why="the shop shows another figure than expected")
    if code == BUSY_CODE:
        return PushResult(ref, Outcome.UNKNOWN, why="Shopify is still at work on this very write")
    return PushResult(ref, Outcome.REFUSED, why=WHY.get(code, f"Shopify refused it: {said}"))


def _failed(target: Target, error: SheetsSyncError) -> PushResult:
    """What an error that came instead of an answer means for one target."""
    if isinstance(error, OutcomeUnknown):
        return PushResult(target.ref, Outcome.UNKNOWN, why=str(error))
    if isinstance(error, RateLimited):
        wait = RETRY_AFTER if error.retry_after is None else error.retry_after
        return PushResult(target.ref, Outcome.RETRY, why=str(error), retry_after=wait)
    if isinstance(error, ChannelRefused):
        return PushResult(target.ref, Outcome.REFUSED, why=str(error))
    return PushResult(target.ref, Outcome.RETRY, why=str(error), retry_after=RETRY_AFTER)


# answers of the API -------------------------------------------------------------------------------------------------


class TooDear(ChannelRefused):
    """A query that costs more than any may; a smaller page will do."""


def graphql_error(who: str, data: Any, *, write: bool) -> SheetsSyncError | None:
    """The error that a 200 carries, sorted by who must act; None where the answer is good.

    THROTTLED was not executed; how long until it may be is worked out from the bucket that comes with it.
    """
    errors: Any = data.get("errors") if isinstance(data, dict) else "the answer is not an object"
    if not errors:
        return None
    if isinstance(errors, str):
        return ChannelRefused(f"{who}: Shopify refused the request: {errors[:300]}")
    codes = {str(e.get("extensions", {}).get("code", "")) for e in errors}
    said = "; ".join(str(e.get("message", ""))[:200] for e in errors[:3])
    if "THROTTLED" in codes:
        return RateLimited(f"{who}: Shopify has no points left for this call", _wait(data))
    if "ACCESS_DENIED" in codes or "UNAUTHORIZED" in codes:
        return CredentialsRefused(
            f"{who}: the app may not do this: {said}. Give it the scopes in docs/channels/shopify.md"
        )
    if "MAX_COST_EXCEEDED" in codes:
        return TooDear(f"{who}: {said}")
    if codes & {"INTERNAL_SERVER_ERROR", "TIMEOUT"}:
        text = f"{who}: Shopify failed: {said}"
        return OutcomeUnknown(f"{text}; it may have been applied") if write else Unavailable(text)
    return ChannelRefused(f"{who}: Shopify refused the request: {said}")


def _cost(data: Any) -> Mapping[str, Any]:
    extensions = data.get("extensions") if isinstance(data, dict) else None
    cost = extensions.get("cost") if isinstance(extensions, dict) else None
    return cost if isinstance(cost, dict) else {}


def _wait(data: Any) -> float | None:
    cost = _cost(data)
    status = cost.get("throttleStatus") or {}
    if not status.get("restoreRate"):
        return None
    missing = float(cost.get("requestedQueryCost") or 0) - float(status.get("currentlyAvailable") or 0)
    return max(0.1, math.ceil(10 * missing / float(status["restoreRate"])) / 10)


# deliveries ---------------------------------------------------------------------------------------------------------


def header(request: RawRequest, name: str) -> str | None:
    """A webhook header in either of the vendor's two families: `X-Shopify-Topic` or `shopify-topic`."""
    return request.header(f"X-Shopify-{name}") or request.header(f"shopify-{name}")


def signed_by(secrets: Iterable[str], body: bytes, signature: str | None) -> bool:
    """Whether one of `secrets` signed the raw body: base64(HMAC-SHA256(secret, body)), compared in constant time."""
    try:
        given = base64.b64decode((signature or "").encode(), validate=True)
    except (binascii.Error, ValueError):
        given = b""
    found = False
    for secret in secrets:
        found |= hmac.compare_digest(hmac.new(secret.encode(), body, hashlib.sha256).digest(), given)
    return found


def read_signals(topic: str, body: Mapping[str, Any]) -> tuple[Signal, ...]:
    """What a body says to look at; nothing where it names nothing."""
    kind = topic.partition("/")[0]
    if topic == "orders/delete":
        return (Signal(SignalKind.ORDER, bare(body["id"]), gone=True),)
    if topic in ORDER_TOPICS:
        return (Signal(SignalKind.ORDER, bare(body["id"]), order=read_body(body)),)
    if topic == "orders/edited":
        return (Signal(SignalKind.ORDER, bare(body["order_edit"]["order_id"])),)
    if kind in ("refunds", "fulfillments"):
        return (Signal(SignalKind.ORDER, bare(body["order_id"])),)
    if kind == "inventory_levels":
        return (Signal(SignalKind.LISTING),)  # it names an inventory item, which is no listing's id
    return (Signal(SignalKind.OTHER),)


_RESOURCES = MappingProxyType({"Order": SignalKind.ORDER, "ProductVariant": SignalKind.LISTING})


def resource_signal(id: str) -> tuple[Signal, ...]:
    """What the newer `shopify-resource-id` header points at."""
    parts = id.split("/")
    kind = _RESOURCES.get(parts[3]) if len(parts) > 4 else None
    return (Signal(SignalKind.OTHER),) if kind is None else (Signal(kind, bare(id)),)


# the channel --------------------------------------------------------------------------------------------------------


class Shopify:
    """One Shopify shop. `shop` is its myshopify.com name, `address` where its API is, `name` our word for it.

    Signed in by a permanent `access_token`, or by an app's `client_id` and `client_secret`, which give one for a day.
    Webhooks are signed with the app's secret, or with `webhook_secret` where that is given; the old one is accepted
    while it changes. `location`: the number of the one location to set; without it each SKU's only location.
    """

    kind = "shopify"
    capabilities = Capabilities(
        basis=Basis.AVAILABLE,
        compare_and_set=True,
        idempotency_key=True,
        asynchronous=False,
        readable=True,
        max_batch=BATCH,
    )

    def __init__(
        self,
        name: str,
        shop: str,
        address: str = "",
        *,
        access_token: str = "",
        client_id: str = "",
        client_secret: str = "",
        webhook_secret: str = "",
        old_webhook_secret: str = "",
        location: str = "",
        replay_window: timedelta = REPLAY_WINDOW,
        clock: Clock = lambda: datetime.now(UTC),
        limiter: Limiter | None = None,
        timeout: tuple[float, float] = TIMEOUT,
    ) -> None:
        self.name = name
        self.shop = shop
        self._clock = clock
        self._location = _bare_or_blank(location or None)
        self._window = replay_window
        self._accepted = tuple(s for s in (webhook_secret or client_secret, old_webhook_secret) if s)
        self._client = {"client_id": client_id, "client_secret": client_secret, "grant_type": "client_credentials"}
        self._limiter = limiter or Limiter(POINTS_PER_SECOND, POINTS_AT_ONCE)
        self._costs: dict[str, float] = {}
        address = address.rstrip("/") or f"https://{shop}"
        secrets = (access_token, client_secret, webhook_secret, old_webhook_secret)
        self._door = Session(address, who=name, secrets=secrets, timeout=timeout)
        keeper = TokenKeeper(self._fetch_token, token=Token(access_token) if access_token else None, clock=clock)
        self._session = Session(
            f"{address}/admin/api/{API_VERSION}/",
            who=name,
            auth=TokenAuth(keeper, "X-Shopify-Access-Token", ""),
            limiter=None,  # calls here cost points, so `_ask` acquires them itself
            secrets=secrets,
            timeout=timeout,
        )

    def close(self) -> None:
        self._session.close()
        self._door.close()

    # is it well?

    def check(self) -> Health:
        """Shop, token, scopes, locations, clock, and whether our webhooks are alive. Changes nothing."""
        try:
            answer = self._ask(WHO, {})
            alive = {node["topic"] for node in self._all_hooks() if self._is_ours(node)} & set(HOOK_TOPICS)
        except (OtherSide, CredentialsRefused) as error:
            return Health(ok=False, problems=(str(error),))
        data = answer.data["data"]
        problems = [*self._wrong_shop(data["shop"]), *_missing_scopes(data), *self._wrong_location(data)]
        if alive and len(alive) < len(HOOK_TOPICS):
            lost = ", ".join(topic for topic in HOOK_TOPICS if topic not in alive)
            problems.append(f"Shopify dropped the webhooks {lost}: start sheets-sync again, which makes them anew.")
        if not self._accepted:
            problems.append(
                "No secret is known to verify webhooks with: give client_secret or webhook_secret in config.toml."
            )
        places = ", ".join(node["name"] for node in data["locations"]["nodes"] if node["isActive"])
        return Health(
            ok=not problems,
            account=f"{data['shop']['name']} ({data['shop']['myshopifyDomain']})",
            problems=tuple(problems),
            clock_skew=None if answer.date is None else answer.date - self._clock(),
            facts={
                "locations": places,
                "webhooks": str(len(alive)),
                "older_orders": "yes" if "read_all_orders" in _scopes(data) else "60 days",
            },
        )

    def _wrong_shop(self, shop: Mapping[str, Any]) -> list[str]:
        if shop["myshopifyDomain"] == self.shop:
            return []
        return [
            f"The token belongs to {shop['myshopifyDomain']}, not to {self.shop}: check shop and keys in config.toml."
        ]

    def _wrong_location(self, data: Mapping[str, Any]) -> list[str]:
        known = {bare(node["id"]): node for node in data["locations"]["nodes"]}
        if not self._location or self._location in known:
            return []
        names = ", ".join(f"{id} ({node['name']})" for id, node in known.items())
        return [f"The shop has no location {self._location}; it has {names}."]

    def ensure_hooks(self, base_url: str) -> Sequence[Hook]:
        """Subscribe to HOOK_TOPICS at our address; what pointed to an earlier address of ours is taken down."""
        address = f"{base_url.rstrip('/')}/webhooks/{self.name}"
        ours, stale = set[str](), list[str]()
        for node in self._all_hooks():
            if node["uri"] == address:
                ours.add(node["topic"])
            elif self._is_ours(node):
                stale.append(node["id"])
        for id in stale:
            self._change(HOOK_DROP, {"id": id})
        again = bool(ours or stale)
        return [
            Hook(topic, address, "kept" if topic in ours else self._make_hook(topic, address, again))
            for topic in HOOK_TOPICS
        ]

    def _is_ours(self, node: Mapping[str, Any]) -> bool:
        return str(node["uri"]).endswith(f"/webhooks/{self.name}")

    def _make_hook(self, topic: str, address: str, again: bool) -> str:
        answer = self._change(HOOK_MAKE, {"topic": topic, "uri": address})
        errors = answer.data["data"]["webhookSubscriptionCreate"]["userErrors"]
        if errors:
            return f"refused: {errors[0]['message']}"
        return "made again" if again else "made"

    def _all_hooks(self) -> Iterator[Mapping[str, Any]]:
        after: str | None = None
        while True:
            found = self._ask(HOOKS, {"after": after}).data["data"]["webhookSubscriptions"]
            yield from found["nodes"]
            if not found["pageInfo"]["hasNextPage"]:
                return
            after = found["pageInfo"]["endCursor"]

    # listings

    def listings(self, cursor: str | None = None) -> Page[RemoteListing]:
        """Every variant, with the figure of its location; why it can't be pushed where it has none or several."""
        found = self._ask(LISTINGS, {"first": LISTINGS_PAGE, "after": cursor}).data["data"]["productVariants"]
        return Page([read_variant(node, self._location) for node in found["nodes"]], _next(found))

    def figures(self, refs: Sequence[Ref]) -> Sequence[Figure]:
        """What is available of each inventory item at its location; over all locations where it names none."""
        figures: dict[Ref, Figure] = {}
        for place in dict.fromkeys(ref.place for ref in refs):
            here = [ref for ref in dict.fromkeys(refs) if ref.place == place]
            for chunk in _chunks(here, FIGURES_PAGE):
                figures |= self._figures(place, chunk)
        return [figures[ref] for ref in refs]

    def _figures(self, place: str, refs: Sequence[Ref]) -> dict[Ref, Figure]:
        ids = [gid("InventoryItem", ref.parent) for ref in refs]
        if place:
            answer = self._ask(FIGURES, {"ids": ids, "place": gid("Location", place)})
        else:
            answer = self._ask(SUMS, {"ids": ids})
        return {ref: read_figure(ref, node) for ref, node in zip(refs, answer.data["data"]["nodes"], strict=True)}

    # pushing

    def push(self, targets: Sequence[Target]) -> Sequence[PushResult]:
        """Set figures, 250 a call, each only from the figure expected. A bad entry costs a call, not the batch."""
        results: dict[int, PushResult] = {}
        good: dict[tuple[str, str], int] = {}
        for position, target in enumerate(targets):
            entry = (target.ref.parent, target.ref.place)
            why = _unfit(target, entry in good)
            if why is None:
                good[entry] = position
            else:
                results[position] = why
        for chunk in _chunks(list(good.values()), BATCH):
            settled = self._push_batch([targets[position] for position in chunk], anything_done=bool(results))
            results |= {position: settled[targets[position].ref] for position in chunk}
        return [results[position] for position in range(len(targets))]

    def _push_batch(self, targets: Sequence[Target], *, anything_done: bool) -> dict[Ref, PushResult]:
        settled: dict[Ref, PushResult] = {}
        left = tuple(targets)
        for attempt in range(ROUNDS):
            try:
                answer = self._change(SET, _set_variables(left, batch_key(left, attempt)))
            except (OtherSide, CredentialsRefused) as error:
                if isinstance(error, CredentialsRefused) and not anything_done and not settled:
                    raise
                return settled | {target.ref: _failed(target, error) for target in left}
            verdict = read_set(left, answer.data["data"]["inventorySetQuantities"])
            settled |= verdict.settled
            left = verdict.left
            if not left:
                return settled
        why = "other entries of its batch were refused again and again"
        return settled | {t.ref: PushResult(t.ref, Outcome.RETRY, why=why, retry_after=RETRY_AFTER) for t in left}

    def results(self, job: str) -> Sequence[PushResult] | None:
        """Shopify answers at once; there is never a job to ask about."""
        return ()

    # orders

    def orders(self, since: datetime, cursor: str | None = None) -> Page[Order]:
        """Every order updated since, five minutes of overlap included, the longest unchanged first.

        An order that changes while we page moves to the end, so none is missed. Without the scope read_all_orders
        Shopify shows those of the last 60 days; a deleted one is in no list.
        """
        read_at = self._clock()
        query = f"updated_at:>='{since.astimezone(UTC) - OVERLAP:%Y-%m-%dT%H:%M:%SZ}'"
        found = self._orders_page(query, cursor)
        return Page([self._order(node, read_at) for node in found["nodes"]], _next(found))

    def _orders_page(self, query: str, cursor: str | None) -> Mapping[str, Any]:
        found: Mapping[str, Any]
        for first in ORDER_PAGES:
            try:
                found = self._data(ORDERS, {"first": first, "after": cursor, "query": query})["orders"]
            except TooDear:
                if first == ORDER_PAGES[-1]:
                    raise
            else:
                return found
        raise AssertionError("unreachable: the smallest page returns or raises")

    def order(self, order_id: str) -> Order:
        read_at = self._clock()
        node = self._data(ORDER, {"id": gid("Order", bare(order_id))})["order"]
        if node is None:
            note = "Shopify shows no such order: deleted, or older than 60 days where the app lacks read_all_orders"
            return Order(bare(order_id), LONG_AGO, read_at, OrderState.GONE, (), read_at=read_at, note=note)
        return self._order(node, read_at)

    def _order(self, node: dict[str, Any], read_at: datetime) -> Order:
        self._complete(node, "lineItems", MORE_LINES)
        for fulfilment in node["fulfillments"]:
            self._complete(fulfilment, "fulfillmentLineItems", MORE_SENT)
        for refund in node["refunds"]:
            self._complete(refund, "refundLineItems", MORE_BACK)
        return read_node(node, read_at)

    def _complete(self, owner: dict[str, Any], name: str, document: str) -> None:
        """Read on where a long order has more lines than came with it."""
        found = owner[name]
        nodes = list(found["nodes"])
        while found["pageInfo"]["hasNextPage"]:
            variables = {"id": owner["id"], "first": REST_PAGE, "after": found["pageInfo"]["endCursor"]}
            node = self._data(document, variables)["node"]
            if node is None:
                raise Unavailable(f"{self.name}: {owner['id']} went away while it was read; read it again")
            found = node[name]
            nodes += found["nodes"]
        owner[name] = {**found, "nodes": nodes}

    # deliveries

    def handshake(self, request: RawRequest) -> Reply | None:
        """Shopify asks for none."""
        return None

    def verify(self, request: RawRequest) -> Delivery:
        """The raw body's signature by the app's secret, then its age. Deliveries made by hand in the shop's
        Notifications page are signed with another secret, and are refused.
        """
        if not signed_by(self._accepted, request.body, header(request, "Hmac-Sha256")):
            raise Unsigned(
                f"{self.name}: the delivery is not signed with this app's secret; check client_secret or webhook_secret"
            )
        sent_at = self._sent_at(header(request, "Triggered-At"))
        if _body(request) is None:
            raise Malformed(f"{self.name}: the delivery is signed, but its body is no JSON object")
        id = header(request, "Webhook-Id") or header(request, "Event-Id") or hashlib.sha256(request.body).hexdigest()
        return Delivery(id, header(request, "Topic") or "", sent_at)

    def _sent_at(self, text: str | None) -> datetime | None:
        if text is None:
            return None
        try:
            sent_at = _time(text)
        except ValueError as error:
            raise Malformed(f"{self.name}: the delivery's X-Shopify-Triggered-At is no time") from error
        if abs(self._clock() - sent_at) > self._window:
            raise TooOld(
                f"{self.name}: the delivery was triggered at {sent_at:%Y-%m-%d %H:%M}, too long ago to be taken"
            )
        return sent_at

    def signals(self, request: RawRequest) -> Sequence[Signal]:
        """Which order or listing to look at. An app has one secret for all its shops: those of others say nothing."""
        body = _body(request)
        domain = header(request, "Shop-Domain")
        if body is None or (domain is not None and domain != self.shop):
            return ()
        try:
            resource = header(request, "Resource-Id")
            return resource_signal(resource) if resource else read_signals(header(request, "Topic") or "", body)
        except (KeyError, TypeError, ValueError, AttributeError):
            return ()

    # calls

    def _data(self, document: str, variables: Mapping[str, Any]) -> Any:
        return self._ask(document, variables).data["data"]

    def _ask(self, document: str, variables: Mapping[str, Any]) -> Answer:
        """A query: may be made again."""
        self._limiter.acquire(self._costs.get(document, USUAL_COST))
        body = {"query": document, "variables": variables}
        return self._session.read("POST", "graphql.json", json=body, check=self._reader(document, write=False))

    def _change(self, document: str, variables: Mapping[str, Any]) -> Answer:
        """A mutation: sent once."""
        self._limiter.acquire(self._costs.get(document, USUAL_COST))
        body = {"query": document, "variables": variables}
        return self._session.write("POST", "graphql.json", json=body, check=self._reader(document, write=True))

    def _reader(self, document: str, *, write: bool) -> _Check:
        return _Check(self, document, write)

    def _fetch_token(self, before: Token | None) -> Token:
        if not self._client["client_secret"] or not self._client["client_id"]:
            raise CredentialsRefused(
                f"{self.name}: Shopify refuses the token. Put a new access_token, or the app's client_id and "
                "client_secret, in config.toml"
            )
        began = self._clock()
        try:
            data = self._door.read("POST", "/admin/oauth/access_token", json=self._client).data
        except HttpRefused as error:
            raise CredentialsRefused(
                f"{self.name}: Shopify gave no token ({error}). Check client_id and client_secret, that the app is "
                "installed on this shop, and that the shop belongs to the app's own organisation"
            ) from error
        life = timedelta(seconds=float(data.get("expires_in") or 0))
        return Token(str(data["access_token"]), began + life if life else None)


@dataclass(frozen=True)
class _Check:
    """Reads the cost that comes with every answer, then raises what a 200 refuses."""

    channel: Shopify
    document: str
    write: bool

    def __call__(self, answer: Answer, /) -> None:
        cost = _cost(answer.data)
        if cost.get("requestedQueryCost"):
            self.channel._costs[self.document] = float(cost["requestedQueryCost"])
        status = cost.get("throttleStatus")
        if status:
            self.channel._limiter.left(
                float(status["currentlyAvailable"]),
                rate=float(status["restoreRate"]),
                burst=float(status["maximumAvailable"]),
            )
        error = graphql_error(self.channel.name, answer.data, write=self.write)
        if error is not None:
            raise error


def _set_variables(targets: Sequence[Target], key: str) -> dict[str, Any]:
    entries = [
        {
            "inventoryItemId": gid("InventoryItem", target.ref.parent),
            "locationId": gid("Location", target.ref.place),
            "quantity": target.figure,
            "changeFromQuantity": target.expected,
        }
        for target in targets
    ]
    reference = f"gid://sheets-sync/Push/{key}"
    given = {"name": "available", "reason": "correction", "referenceDocumentUri": reference, "quantities": entries}
    return {"input": given, "key": key}


def _unfit(target: Target, twice: bool) -> PushResult | None:
    """Why a target must not be sent; None where it may."""
    if not target.ref.place:
        return PushResult(target.ref, Outcome.REFUSED, why="kept at several locations, or at none: it is only shown")
    if abs(target.figure) > MOST_FIGURE:
        return PushResult(target.ref, Outcome.REFUSED, why=WHY["INVALID_QUANTITY_TOO_HIGH"])
    if twice:
        why = "its inventory item stands twice in one push; only the first figure was sent"
        return PushResult(target.ref, Outcome.RETRY, why=why, retry_after=0.0)
    return None


def _body(request: RawRequest) -> dict[str, Any] | None:
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _scopes(data: Mapping[str, Any]) -> set[str]:
    granted = {scope["handle"] for scope in data["currentAppInstallation"]["accessScopes"]}
    return granted | {scope.replace("write_", "read_", 1) for scope in granted if scope.startswith("write_")}


def _missing_scopes(data: Mapping[str, Any]) -> list[str]:
    missing = [scope for scope in SCOPES if scope not in _scopes(data)]
    return [f"The app lacks {', '.join(missing)}: add it in the app's version, and install that."] if missing else []


def _next(found: Mapping[str, Any]) -> str | None:
    page = found["pageInfo"]
    return str(page["endCursor"]) if page["hasNextPage"] else None


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
