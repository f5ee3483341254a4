"""Orders: two sources, GraphQL and the REST-shaped body of a webhook, become the same few facts (`Line`, `Left`,
`Back`, `Disposed`), and one function, `meaning`, says what those are worth.

Cancelled units are those that are neither shipped nor still to be shipped, in the vendor's own count: a refund without
restock is no proof, since Shopify counts shipped units as refunded first.

Units that came back are told twice: by a refund, which is money with a word about the shelf, and, where the seller
works with returns, by what became of each unit when it arrived (its disposition). Of one return the larger of the two
counts, and what was missing did not come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sheets_sync.channels.shopify.ids import bare, bare_or_blank, sku_of, time_of, title_of
from sheets_sync.model import Order, OrderLine, OrderState, Ref, Shipment

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

HAS_RETURNS = frozenset({"IN_PROGRESS", "INSPECTION_COMPLETE", "RETURNED", "RETURN_FAILED"})
"""Return statuses of an order whose goods may be on their way back or here. A request is only a wish."""

CAME_BACK = frozenset({"RESTOCKED", "NOT_RESTOCKED", "PROCESSING_REQUIRED"})
"""Dispositions of units that arrived. Only RESTOCKED put them back on `available`."""

ABSENT = "MISSING"
"""The disposition of units that were expected and did not arrive."""

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
    """Units of a line in one refund. `of`: the return that it belongs to, so that units are on their way back."""

    line: str
    units: int
    type: str
    restocked: bool
    at: datetime
    of: str = ""
    place: str = ""  # where they were put


@dataclass(frozen=True)
class Disposed:
    """What became of units of a line in one return. `due`: how many of it were to come in that `parcel`."""

    line: str
    units: int
    type: str
    at: datetime
    of: str
    parcel: str
    due: int


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
    disposed: tuple[Disposed, ...] = ()


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
    disposed = [d for d in seen.disposed if d.line == line.id]
    returned, restocked = _came_back(back, disposed)
    return OrderLine(
        id=line.id,
        ordered=line.units,
        sku=line.sku,
        ref=line.ref,
        title=line.title,
        shipped=shipped,
        cancelled=cancelled,
        freely=_freely(seen, cancelled, restocked_cancel),
        not_there=bool(cancelled) and seen.reason == NOT_THERE,
        cancelled_at=_cancelled_at(seen, back) if cancelled else None,
        returned=min(sent, returned),
        restocked=min(sent, restocked),
        returned_to=next((b.place for b in reversed(put_back) if b.type == "RETURN" and b.place), ""),
        taken=max(0, line.units - restocked_cancel - restocked),
        taken_at=_taken_at(seen, put_back, disposed),
    )


def _taken_at(seen: Seen, put_back: Sequence[Back], disposed: Sequence[Disposed]) -> datetime | None:
    """When the shop last moved its own figure for a line; None where an app's order may not have moved it at all."""
    if seen.source not in OWN_CHECKOUTS:
        return None
    return max([seen.placed_at, *(b.at for b in put_back), *(d.at for d in disposed if d.type == "RESTOCKED")])


def _came_back(back: Sequence[Back], disposed: Sequence[Disposed]) -> tuple[int, int]:
    """Units of one line that came back, and of those the units that the shop put back on its figure."""
    returned = restocked = 0
    for of in dict.fromkeys([*(b.of for b in back), *(d.of for d in disposed)]):
        refunds = [b for b in back if b.of == of and (b.type == "RETURN" or (of and b.type == "NO_RESTOCK"))]
        parcels = [d for d in disposed if d.of == of]
        missing = sum(d.units for d in parcels if d.type == ABSENT)
        came = sum(_came(parcels, parcel, due) for parcel, due in dict.fromkeys((d.parcel, d.due) for d in parcels))
        returned += max(came, sum(b.units for b in refunds) - missing)
        restocked += max(
            sum(d.units for d in parcels if d.type == "RESTOCKED"),
            sum(b.units for b in refunds if b.type == "RETURN" and b.restocked),
        )
    return returned, min(restocked, returned)


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


def from_anywhere(order: Order) -> Order:
    """The order of a shop with several locations, of which one is ours: no field of it tells which one was lowered, so
    that nobody knows what that one shows now (P2), and it is looked at.
    """
    return replace(order, lines=tuple(replace(line, taken_at=None) for line in order.lines))


def _came(parcels: Sequence[Disposed], parcel: str, due: int) -> int:
    """Units that arrived in one parcel. A unit that was looked at twice is told twice."""
    return min(sum(d.units for d in parcels if d.parcel == parcel and d.type in CAME_BACK), due)


def read_node(
    node: Mapping[str, Any], returns: Sequence[Mapping[str, Any]] = (), read_at: datetime | None = None
) -> Order:
    """An order as GraphQL gives it, its connections whole, and its returns where it has any."""
    left = tuple(
        Left(bare(part["lineItem"]["id"]), Shipment(time_of(f["createdAt"]), int(part["quantity"]), _place(f)))
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
            at=time_of(r["createdAt"] or node["updatedAt"]),
            of="" if r["return"] is None else bare(r["return"]["id"]),
            place=_place(part),
        )
        for r in node["refunds"]
        for part in r["refundLineItems"]["nodes"]
    )
    seen = Seen(
        id=bare(node["id"]),
        number=node["name"],
        placed_at=time_of(node["createdAt"]),
        updated_at=time_of(node["updatedAt"]),
        cancelled_at=None if node["cancelledAt"] is None else time_of(node["cancelledAt"]),
        reason=node["cancelReason"] or "",
        payment=node["displayFinancialStatus"] or "",
        source=node["sourceName"] or "",
        lines=tuple(_node_line(line) for line in node["lineItems"]["nodes"]),
        left=left,
        back=back,
        disposed=tuple(disposed for one in returns for disposed in _disposed(one)),
    )
    return meaning(seen, read_at)


def _disposed(one: Mapping[str, Any]) -> Iterator[Disposed]:
    """What became of the goods of one return, by order line."""
    of = bare(one["id"])
    for reverse in one["reverseFulfillmentOrders"]["nodes"]:
        for part in reverse["lineItems"]["nodes"]:
            if part["fulfillmentLineItem"] is None:
                continue  # a parcel without an order line of its own
            line, due = bare(part["fulfillmentLineItem"]["lineItem"]["id"]), int(part["totalQuantity"])
            for d in part["dispositions"]:
                yield Disposed(line, int(d["quantity"]), d["type"], time_of(d["createdAt"]), of, str(part["id"]), due)


def _node_line(line: Mapping[str, Any]) -> Line:
    variant = line["variant"]
    return Line(
        id=bare(line["id"]),
        units=int(line["quantity"]),
        current=int(line["currentQuantity"]),
        open=int(line["unfulfilledQuantity"]),
        sku=sku_of(line["sku"]),
        title=title_of(line["title"], line["variantTitle"]),
        ref=None if variant is None else Ref(bare(variant["id"])),
    )


def read_body(body: Mapping[str, Any]) -> Order | None:
    """The order in a webhook body (REST shape, no wrapper); None where it does not carry the order whole.

    It says nothing of what became of returned goods: less may have come back by it than by a read.
    """
    lines = body["line_items"]
    if any("fulfillable_quantity" not in line for line in lines) or "updated_at" not in body:
        return None
    left = tuple(
        Left(
            bare(part["id"]),
            Shipment(time_of(f["created_at"]), int(part["quantity"]), bare_or_blank(f.get("location_id"))),
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
            at=time_of(r["created_at"]),
            of=bare(r["return"]["id"]) if r.get("return") else "",
            place=bare_or_blank(part.get("location_id")),
        )
        for r in body.get("refunds") or []
        for part in r["refund_line_items"]
    )
    seen = Seen(
        id=bare(body["id"]),
        number=str(body.get("name") or ""),
        placed_at=time_of(body["created_at"]),
        updated_at=time_of(body["updated_at"]),
        cancelled_at=None if body.get("cancelled_at") is None else time_of(body["cancelled_at"]),
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
        sku=sku_of(line.get("sku")),
        title=title_of(str(line.get("title") or ""), line.get("variant_title")),
        ref=None if variant is None else Ref(bare(variant)),
    )


def _place(part: Mapping[str, Any]) -> str:
    """The location of a fulfilment, or of units in a refund."""
    return "" if part["location"] is None else bare(part["location"]["id"])
