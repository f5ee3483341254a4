"""Amazon's notifications: what they say to look at. Pure functions of what came in.

Amazon sends them to EventBridge or to SQS, never to a web address, and signs nothing. EventBridge hands them on to an
API destination, with a key that the seller made up in a header. So a key vouches for the sender and for nothing in the
body: a body is never believed, it only says where to look. Names are written `Payload` in some and `payload` in others.

An order's notification carries the postal code of its buyer: what is stored is without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from sheets_sync.channels import RawRequest, Signal, SignalKind
from sheets_sync.channels.amazon.orders import when
from sheets_sync.model import Figure, Ref

KEY_HEADER = "X-Sheets-Sync-Key"
"""The header that the seller gives the connection of the API destination."""

VERSIONS: Mapping[str, str] = {
    "ORDER_CHANGE": "1.0",
    "LISTINGS_ITEM_MFN_QUANTITY_CHANGE": "1.0",
    "FEED_PROCESSING_FINISHED": "2020-09-04",
}
"""What we subscribe to, and the version of each payload."""

BY_EVENT_BRIDGE = frozenset({"LISTINGS_ITEM_MFN_QUANTITY_CHANGE"})
"""What Amazon's pages send by EventBridge; the others go to queues. It refuses the wrong one, and then says so."""

_BUYERS = frozenset({"destinationpostalcode", "recipient", "buyer", "buyerinfo", "shippingaddress"})


def body_of(request: RawRequest) -> dict[str, Any] | None:
    """The notification itself, also where EventBridge or a pipe from a queue put it into an envelope.

    None: no JSON object.
    """
    body = _loaded(request.body)
    if body is None:
        return None
    if "detail-type" in body and isinstance(body.get("detail"), dict):
        return dict(body["detail"])
    if "messageId" in body and isinstance(body.get("body"), str):
        return _loaded(body["body"].encode())
    return body


def _loaded(text: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def get(body: object, *names: str) -> Any:
    """What stands under a path of names, whatever their case; None where there is nothing."""
    for name in names:
        if not isinstance(body, dict):
            return None
        body = next((value for key, value in body.items() if str(key).lower() == name.lower()), None)
    return body


def id_of(body: Mapping[str, Any]) -> str:
    """Unique for what it says: Amazon's own id, or the body's."""
    own = get(body, "NotificationMetadata", "NotificationId")
    return str(own) if own else hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def sent_at(body: Mapping[str, Any]) -> datetime | None:
    """When it was published, as far as it says so."""
    for path in (("NotificationMetadata", "PublishTime"), ("EventTime",)):
        try:
            return when(get(body, *path))
        except ValueError:
            continue
    return None


def without_buyers(body: Any) -> Any:
    """The same, without what is about a buyer."""
    if isinstance(body, dict):
        return {k: without_buyers(v) for k, v in body.items() if str(k).lower() not in _BUYERS}
    return [without_buyers(one) for one in body] if isinstance(body, list) else body


def read_signal(body: Mapping[str, Any], seller: str) -> Signal | None:
    """What to look at; None: nothing, or it is another seller's."""
    kind, payload = get(body, "NotificationType"), get(body, "Payload")
    if kind == "ORDER_CHANGE":
        change = get(payload, "OrderChangeNotification")
        order = get(change, "AmazonOrderId")
        about = Signal(SignalKind.ORDER, str(order)) if order else None
        return about if _is_ours(change, seller) else None
    if kind == "LISTINGS_ITEM_MFN_QUANTITY_CHANGE":
        return _listing(payload) if _is_ours(payload, seller) else None
    if kind == "FEED_PROCESSING_FINISHED":
        about = Signal(SignalKind.OTHER, str(get(payload, "feedProcessingFinishedNotification", "feedId") or ""))
        return about if _is_ours(get(payload, "feedProcessingFinishedNotification"), seller) else None
    return None


def _listing(payload: object) -> Signal | None:
    sku, shows = get(payload, "Sku"), get(payload, "Quantity")
    if not sku:
        return None
    ref = Ref(str(sku))
    own = get(payload, "FulfillmentChannelCode") in (None, "DEFAULT") and isinstance(shows, int)
    return Signal(SignalKind.LISTING, ref.listing, figure=Figure(ref, shows) if own else None)


def _is_ours(about: object, seller: str) -> bool:
    """One queue may take several sellers' notifications. Where the seller is not named it is ours."""
    return get(about, "SellerId") in (None, "", seller)
