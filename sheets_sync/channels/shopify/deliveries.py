"""Webhooks: whose they are, and what they say to look at."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import orjson

from sheets_sync.channels import RawRequest, Signal, SignalKind
from sheets_sync.channels.shopify.ids import bare
from sheets_sync.channels.shopify.orders import read_body
from sheets_sync.model import Figure, Ref

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

DISPOSED = "disposed:"
"""Before the number of a parcel that came back: a delivery names it, and `Shopify.order` finds whose it was."""


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
    if topic == "reverse_fulfillment_orders/dispose":
        return (Signal(SignalKind.ORDER, f"{DISPOSED}{bare(body['id'])}"),)
    if kind == "inventory_levels":
        return (Signal(SignalKind.LISTING, figure=_level(body)),)
    return (Signal(SignalKind.OTHER),)


def _level(body: Mapping[str, Any]) -> Figure | None:
    """The level that a body carries. It names an inventory item and a location, but no variant."""
    if body.get("available") is None:
        return None
    place = Ref("", bare(body["inventory_item_id"]), bare(body["location_id"]))
    return Figure(place, int(body["available"]))


_RESOURCES = MappingProxyType({"Order": SignalKind.ORDER, "ProductVariant": SignalKind.LISTING})


def resource_signal(id: str) -> tuple[Signal, ...]:
    """What the newer `shopify-resource-id` header points at."""
    parts = id.split("/")
    kind = _RESOURCES.get(parts[3]) if len(parts) > 4 else None
    return (Signal(SignalKind.OTHER),) if kind is None else (Signal(kind, bare(id)),)


def body_of(request: RawRequest) -> dict[str, Any] | None:
    """A delivery's body, where it is a JSON object."""
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None
