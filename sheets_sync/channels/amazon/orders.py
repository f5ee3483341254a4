"""Amazon's orders (API 2026-01-01) as levels. Everything here is a pure function of a body.

What an order's line says is cumulative: ordered, fulfilled, unfulfilled; what is neither was cancelled (O4). While an
order is pending the unfulfilled units may not be filled in yet, and nothing is cancelled. When units left stands in the
packages; of fulfilled units that stand in none, only the order's last change is known, which may be later.

A buyer's request to cancel changes nothing: only a cancellation that was carried out does. The model's optional fields
are all taken as optional.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sheets_sync.errors import Malformed
from sheets_sync.model import Order, OrderLine, OrderState, Ref, Shipment

INCLUDED = "FULFILLMENT,CANCELLATION,PACKAGES"
"""The data sets asked for. Never BUYER or RECIPIENT: no name, address or e-mail of a buyer is requested."""

STATES: Mapping[str, OrderState] = MappingProxyType(
    {
        "PENDING_AVAILABILITY": OrderState.PENDING,  # a pre-order: the release date is in the future; it commits
        "PENDING": OrderState.PENDING,  # the payment is being verified; Amazon's figure has been lowered
        "UNSHIPPED": OrderState.OPEN,
        "PARTIALLY_SHIPPED": OrderState.OPEN,
        "SHIPPED": OrderState.DONE,
        "CANCELLED": OrderState.CANCELLED,
    }
)
"""Fulfilment statuses. UNFULFILLABLE is for Amazon's own fulfilment only; elsewhere it is a word we do not know."""

NEVER_LEFT = frozenset({"CANCELLED", "PENDING"})
"""Statuses of a package whose units are with the seller still: a label was bought, or given back."""

_NOT_THERE = re.compile(r"(no|outof|insufficient|lackof|zero)(inventory|stock)|notinstock|(item|product)?unavailable")


def read_order(body: Mapping[str, Any], *, read_at: datetime | None = None, one_figure: bool = True) -> Order:
    """An order's level. Raises Malformed where the body is no order: no id, no times, no items.

    `one_figure` False: the seller's marketplaces may keep a figure each, and which of them this order lowered is not
    said in a way that helps: then it is looked at (P2).
    """
    try:
        placed, updated = when(body["createdTime"]), when(body["lastUpdatedTime"])
        order_id, items = str(body["orderId"]), list(body["orderItems"])
        about = body.get("fulfillment") or {}
        status = str(about.get("fulfillmentStatus") or "")
        packages = list(body.get("packages") or ())
        lines = tuple(_line(item, status, packages, placed, updated) for item in items)
        if not one_figure:
            lines = tuple(replace(line, taken_at=None) for line in lines)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed(f"Amazon: this body is no order ({type(error).__name__}: {error})") from error
    state = STATES.get(status, OrderState.UNKNOWN)
    known = f"Amazon says '{status}', which we do not know: taken as open" if state is OrderState.UNKNOWN else ""
    return Order(
        id=order_id,
        number=order_id,  # what sellers and buyers call it; the seller's own number is an alias
        placed_at=placed,
        updated_at=updated,
        state=state,
        lines=lines,
        paid=bool(status) and state is not OrderState.PENDING,
        source=str((body.get("salesChannel") or {}).get("marketplaceName") or ""),
        by_channel=about.get("fulfilledBy") == "AMAZON",
        read_at=read_at,
        note=known or _asked_to_cancel(items),
    )


def when(text: object) -> datetime:
    """A time as Amazon writes it. ValueError where it is none, or has no zone."""
    at = datetime.fromisoformat(str(text))
    if at.tzinfo is None:
        raise ValueError(f"'{text}' has no time zone")
    return at


def _line(
    item: Mapping[str, Any], status: str, packages: Sequence[Mapping[str, Any]], placed: datetime, updated: datetime
) -> OrderLine:  # fmt: skip
    product, done = item["product"], item.get("fulfillment") or {}
    sku = str(product.get("sellerSku") or "") or None
    ordered, fulfilled = int(item["quantityOrdered"]), int(done.get("quantityFulfilled") or 0)
    cancelled = _cancelled(status, ordered, fulfilled, done.get("quantityUnfulfilled"))
    by, reason = _who_and_why(item)
    freely = by == "BUYER" and not was_not_there(reason)
    item_id = str(item["orderItemId"])
    return OrderLine(
        id=item_id,
        ordered=ordered,
        sku=sku,
        ref=Ref(sku) if sku else None,
        title=str(product.get("title") or ""),
        shipped=tuple(_shipments(item_id, fulfilled, packages, updated)),
        cancelled=cancelled,
        freely=freely if status == "CANCELLED" else freely or not cancelled,
        not_there=bool(cancelled) and was_not_there(reason),
        ordered_gone=status == "CANCELLED" and ordered == 0,
        free_if_pending=status == "CANCELLED" and by in ("", "AMAZON") and not was_not_there(reason),
        returned_apart=True,
        # what Amazon does with its figure after a late cancellation nobody has written down: then it is looked at
        taken=ordered - (cancelled if freely else 0),
        taken_at=placed,
    )


def _cancelled(status: str, ordered: int, fulfilled: int, unfulfilled: object) -> int:
    """O4: `ordered - fulfilled - unfulfilled`, in every status but those in which unfulfilled need not be filled in."""
    if STATES.get(status) is OrderState.PENDING:
        return 0
    if unfulfilled is None:
        return ordered - fulfilled if status == "CANCELLED" else 0
    return max(0, ordered - fulfilled - int(str(unfulfilled)))


def _who_and_why(item: Mapping[str, Any]) -> tuple[str, str]:
    done = (item.get("cancellation") or {}).get("cancellationExecution") or {}
    return str(done.get("cancelledBy") or ""), str(done.get("cancelReason") or "")


def was_not_there(reason: str) -> bool:
    """Whether a reason says that the unit was not on the shelf, as "No Inventory" does: then it is asked (O2)."""
    return bool(_NOT_THERE.search(re.sub(r"[^a-z]", "", reason.lower())))


def _asked_to_cancel(items: Sequence[Mapping[str, Any]]) -> str:
    """A request alone moves nothing, but the seller may want to know of it."""
    asked = any(
        (item.get("cancellation") or {}).get("cancellationRequest") and not _who_and_why(item)[0] for item in items
    )
    return "the buyer asks to cancel it: only you can, until it is shipped" if asked else ""


def _shipments(
    item_id: str, fulfilled: int, packages: Sequence[Mapping[str, Any]], updated: datetime
) -> Iterator[Shipment]:  # fmt: skip
    """What left, with the packages' own times. What is in no package left at the latest when the order changed last."""
    left = fulfilled
    for at, units in sorted(_packed(item_id, packages)):
        units = min(units, left)
        left -= units
        if units:
            yield Shipment(at, units)
    if left > 0:
        yield Shipment(updated, left, at_latest=True)


def _packed(item_id: str, packages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[datetime, int]]:
    for package in packages:
        at = package.get("shipTime") or package.get("createdTime")
        status = str((package.get("packageStatus") or {}).get("status") or "")
        if at is None or status in NEVER_LEFT and not package.get("shipTime"):
            continue
        if status == "CANCELLED":
            continue
        for row in package.get("packageItems") or ():
            if str(row["orderItemId"]) == item_id:
                yield when(at), int(row["quantity"])
