"""What the account looks like on the wire: orders, listings and their parts, as Amazon's models have them.

Only what was asked for is there (`includedData`), and of people nothing: no buyer, no address.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sheets_sync.sandbox.shops.amazon.model import MARKETPLACES, SELLER_CHANNEL, Shop, loaded

Json = dict[str, Any]


def seconds(text: str) -> str:
    """A stored time as Amazon writes it: whole seconds, UTC."""
    return f"{text[:19]}Z"


def moment(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}Z"


# orders ---------------------------------------------------------------------------------------------------------


def order(shop: Shop, db: sqlite3.Connection, row: sqlite3.Row, included: Collection[str]) -> Json:
    market = MARKETPLACES[row["marketplace"]]
    body: Json = {
        "orderId": row["id"],
        "createdTime": seconds(row["created"]),
        "lastUpdatedTime": seconds(row["updated"]),
        "programs": ["PREORDER"] if row["status"] == "PENDING_AVAILABILITY" else [],
        "salesChannel": {"channelName": "AMAZON", "marketplaceId": market.id, "marketplaceName": market.name},
        "orderItems": [_item(shop, row, item, included) for item in shop.items(db, row["id"])],
    }
    if "FULFILLMENT" in included:
        body["fulfillment"] = _fulfillment(row)
    if "PACKAGES" in included and row["channel"] == SELLER_CHANNEL:
        body["packages"] = [_package(p) for p in shop.packages(db, row["id"])]
    return body


def _fulfillment(row: sqlite3.Row) -> Json:
    last = loaded(row["ship_by"])
    return {
        "fulfillmentStatus": row["status"],
        "fulfilledBy": "MERCHANT" if row["channel"] == SELLER_CHANNEL else "AMAZON",
        "fulfillmentServiceLevel": "STANDARD",
        "shipByWindow": {"earliestDateTime": seconds(row["created"]), "latestDateTime": moment(last)},
        "deliverByWindow": {
            "earliestDateTime": moment(last + timedelta(days=1)),
            "latestDateTime": moment(last + timedelta(days=4)),
        },
    }


def _item(shop: Shop, row: sqlite3.Row, item: sqlite3.Row, included: Collection[str]) -> Json:
    currency = MARKETPLACES[row["marketplace"]].currency
    product: Json = {
        "asin": item["asin"],
        "title": item["title"],
        "sellerSku": item["sku"],
        "condition": {"conditionType": "NEW", "conditionSubtype": "NEW"},
    }
    pending = row["status"].startswith("PENDING")
    if not pending and item["price"]:  # what it costs is not told before the payment is verified
        product["price"] = {"unitPrice": {"amount": item["price"], "currencyCode": currency}}
    ordered = item["ordered"]
    if shop.unknowns.cancelled_orders_nothing:
        ordered -= item["cancelled"]
    body: Json = {
        "orderItemId": item["id"],
        "quantityOrdered": ordered,
        "programs": [],
        "product": product,
    }
    if "CANCELLATION" in included and (cancellation := _cancellation(item)):
        body["cancellation"] = cancellation
    if "FULFILLMENT" in included:
        body["fulfillment"] = _quantities(shop, item, pending=pending)
    return body


def _cancellation(item: sqlite3.Row) -> Json:
    body: Json = {}
    if item["request"]:
        body["cancellationRequest"] = {"requester": "BUYER", "cancelReason": item["request"]}
    if item["cancelled_by"]:
        body["cancellationExecution"] = {"cancelledBy": item["cancelled_by"], "cancelReason": item["cancel_reason"]}
    return body


def _quantities(shop: Shop, item: sqlite3.Row, *, pending: bool) -> Json:
    left = item["ordered"] - item["shipped"] - item["cancelled"]
    body: Json = {"quantityFulfilled": item["shipped"], "quantityUnfulfilled": left}
    if pending and shop.unknowns.pending_unfulfilled == "absent":
        del body["quantityUnfulfilled"]
    elif pending and shop.unknowns.pending_unfulfilled == "zero":
        body["quantityUnfulfilled"] = 0
    return body


def _package(row: sqlite3.Row) -> Json:
    return {
        "packageReferenceId": str(row["id"]),
        "createdTime": seconds(row["at"]),
        "packageStatus": {"status": "SHIPPED"},
        "carrier": "Other",
        "shipTime": seconds(row["at"]),
        "shippingService": "Standard",
        "packageItems": [{"orderItemId": i, "quantity": n} for i, n in json.loads(row["items"]).items()],
    }


# listings -------------------------------------------------------------------------------------------------------


def listing(
    shop: Shop, db: sqlite3.Connection, row: sqlite3.Row, included: Collection[str], marketplaces: Sequence[str]
) -> Json:
    """A listings item as these marketplaces have it."""
    here = [m for m in json.loads(row["marketplaces"]) if m in marketplaces]
    makers: Mapping[str, Any] = {
        "summaries": lambda: [_summary(shop, row, m) for m in here],
        "attributes": lambda: attributes(shop, row, here),
        "issues": list,
        "offers": lambda: [_offer(row, m) for m in here if row["price"]],
        "fulfillmentAvailability": lambda: _availability(shop, row, here),
        "relationships": lambda: _relationships(db, row, here),
        "productTypes": lambda: [{"marketplaceId": m, "productType": row["product_type"]} for m in here],
    }
    return {"sku": row["sku"], **{name: make() for name, make in makers.items() if name in included}}


def _summary(shop: Shop, row: sqlite3.Row, marketplace: str) -> Json:
    there = shop.quantity(row, [marketplace]) if row["channel"] == SELLER_CHANNEL else row["fba_units"]
    body: Json = {
        "marketplaceId": marketplace,
        "asin": row["asin"],
        "productType": row["product_type"],
        "conditionType": "new_new",
        "status": (["BUYABLE"] if row["channel"] and (there or 0) > 0 else []) + ["DISCOVERABLE"],
        "itemName": row["title"],
        "createdDate": seconds(row["created"]),
        "lastUpdatedDate": seconds(row["updated"]),
    }
    if row["channel"] not in (SELLER_CHANNEL, ""):
        body["fnSku"] = f"X00{row['asin'][2:]}"
    return body


def _offer(row: sqlite3.Row, marketplace: str) -> Json:
    return {
        "marketplaceId": marketplace,
        "offerType": "B2C",
        "price": {"currencyCode": MARKETPLACES[marketplace].currency, "amount": row["price"]},
        "audience": {"value": "ALL", "displayName": "Sell on Amazon"},
    }


def _availability(shop: Shop, row: sqlite3.Row, marketplaces: Sequence[str]) -> list[Json]:
    if not row["channel"]:
        return []
    quantity = shop.quantity(row, marketplaces) if row["channel"] == SELLER_CHANNEL else None
    return [{"fulfillmentChannelCode": row["channel"], **({} if quantity is None else {"quantity": quantity})}]


def attributes(shop: Shop, row: sqlite3.Row, marketplaces: Sequence[str]) -> Json:
    """What was submitted, and what every listing has."""
    known: Json = json.loads(row["attributes"])
    for name, value in (("item_name", row["title"]), ("condition_type", "new_new")):
        known.setdefault(name, [{"value": value, "marketplace_id": m} for m in marketplaces])
    for entry in _availability(shop, row, marketplaces):
        said = {"fulfillment_channel_code": entry["fulfillmentChannelCode"]}
        said |= {"quantity": entry["quantity"]} if "quantity" in entry else {}
        known["fulfillment_availability"] = [{**known.get("fulfillment_availability", [{}])[0], **said}]
    return known


def _relationships(db: sqlite3.Connection, row: sqlite3.Row, marketplaces: Sequence[str]) -> list[Json]:
    theme = {"attributes": ["color"], "theme": "COLOR"}
    if row["parent"]:
        one: Json = {"parentSkus": [row["parent"]], "variationTheme": theme, "type": "VARIATION"}
    elif not row["channel"]:
        children = db.execute("SELECT sku FROM listing WHERE parent = ? ORDER BY sku", (row["sku"],)).fetchall()
        one = {"childSkus": [c["sku"] for c in children], "variationTheme": theme, "type": "VARIATION"}
    else:
        return [{"marketplaceId": m, "relationships": []} for m in marketplaces]
    return [{"marketplaceId": m, "relationships": [one]} for m in marketplaces]


def inventory(row: sqlite3.Row) -> Json:
    """A summary of Amazon's own warehouses."""
    return {
        "asin": row["asin"],
        "fnSku": f"X00{row['asin'][2:]}",
        "sellerSku": row["sku"],
        "condition": "NewItem",
        "inventoryDetails": {
            "fulfillableQuantity": row["fba_units"],
            "reservedQuantity": {
                "totalReservedQuantity": 0,
                "pendingCustomerOrderQuantity": 0,
                "pendingTransshipmentQuantity": 0,
                "fcProcessingQuantity": 0,
            },
        },
        "lastUpdatedTime": seconds(row["updated"]),
        "productName": row["title"],
        "totalQuantity": row["fba_units"],
        "stores": [],
    }
