"""Webhook bodies: an order in the REST shape, without the outer wrapper, in the shop's own time zone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from sheets_sync.sandbox.shops.shopify._orders import Doc, current, fulfilment_word, unfulfilled

ZONE_NAME = "America/Bogota"
ZONE = timezone(timedelta(hours=-5))  # no summer time there, so no zone data is needed
_WORDS = {"FULFILLED": "fulfilled", "PARTIALLY_FULFILLED": "partial", "UNFULFILLED": None}


def body_for(topic: str, order: Doc) -> Doc:
    """The body that a topic about an order carries."""
    if topic.startswith("fulfillments/"):
        return _fulfilment(order, order["fulfillments"][-1])
    if topic.startswith("refunds/"):
        return _refund(order, order["refunds"][-1]) if order["refunds"] else {"order_id": order["id"]}
    if topic == "orders/edited":
        return {"order_edit": {"id": order["id"], "order_id": order["id"], "line_items": {}}}
    return order_body(order)


def order_body(order: Doc) -> Doc:
    """An order as orders/create, orders/updated, orders/cancelled and so on carry it."""
    return {
        "id": order["id"],
        "admin_graphql_api_id": _gid("Order", order["id"]),
        "name": order["name"],
        "number": order["number"] - 1000,
        "order_number": order["number"],
        "email": order["email"],
        "note": order["note"],
        "test": order["test"],
        "confirmed": True,
        "currency": "EUR",
        "created_at": _local(order["created_at"]),
        "processed_at": _local(order["processed_at"]),
        "updated_at": _local(order["updated_at"]),
        "cancelled_at": _local(order["cancelled_at"]),
        "cancel_reason": _lower(order["cancel_reason"]),
        "closed_at": _local(order["closed_at"]),
        "financial_status": _lower(order["financial"]),
        "fulfillment_status": _WORDS[fulfilment_word(order)],
        "source_name": order["source"],
        "source_identifier": order["source_identifier"],
        "location_id": None,
        "line_items": [_line(line) for line in order["lines"]],
        "fulfillments": [_fulfilment(order, fulfilment) for fulfilment in order["fulfillments"]],
        "refunds": [_refund(order, refund) for refund in order["refunds"]],
    }


def _line(line: Doc, units: int | None = None) -> Doc:
    open_units = unfulfilled(line)
    word = "fulfilled" if line["fulfilled"] and not open_units else "partial" if line["fulfilled"] else None
    title = f"{line['title']} - {line['variant_title']}" if line["variant_title"] else line["title"]
    return {
        "id": line["id"],
        "admin_graphql_api_id": _gid("LineItem", line["id"]),
        "variant_id": line["variant_id"],
        "product_id": line["product_id"],
        "product_exists": line["product_id"] is not None,
        "sku": line["sku"],
        "title": line["title"],
        "variant_title": line["variant_title"],
        "name": title,
        "price": line["price"],
        "quantity": line["quantity"] if units is None else units,
        "current_quantity": current(line),
        "fulfillable_quantity": open_units,
        "fulfillment_service": "manual",
        "fulfillment_status": word,
        "requires_shipping": True,
        "variant_inventory_management": "shopify" if line["claimed"] else None,
    }


def _fulfilment(order: Doc, fulfilment: Doc) -> Doc:
    lines = {line["id"]: line for line in order["lines"]}
    return {
        "id": fulfilment["id"],
        "admin_graphql_api_id": _gid("Fulfillment", fulfilment["id"]),
        "order_id": order["id"],
        "name": f"{order['name']}.{fulfilment['number']}",
        "location_id": fulfilment["location_id"],
        "service": "manual",
        "status": _lower(fulfilment["status"]),
        "created_at": _local(fulfilment["created_at"]),
        "updated_at": _local(fulfilment["updated_at"]),
        "line_items": [_line(lines[part["line_id"]], part["quantity"]) for part in fulfilment["lines"]],
    }


def _refund(order: Doc, refund: Doc) -> Doc:
    lines = {line["id"]: line for line in order["lines"]}
    return {
        "id": refund["id"],
        "admin_graphql_api_id": _gid("Refund", refund["id"]),
        "order_id": order["id"],
        "created_at": _local(refund["created_at"]),
        "processed_at": _local(refund["created_at"]),
        "note": refund["note"],
        "restock": any(part["restocked"] for part in refund["lines"]),
        "return": {"id": refund["return_id"]} if refund["return_id"] else None,
        "transactions": [],
        "order_adjustments": [],
        "refund_line_items": [
            {
                "id": part["id"],
                "line_item_id": part["line_id"],
                "quantity": part["quantity"],
                "restock_type": part["restock"].lower(),
                "location_id": part["location_id"],
                "line_item": _line(lines[part["line_id"]]),
            }
            for part in refund["lines"]
        ],
    }


def _gid(kind: str, id: int) -> str:
    return f"gid://shopify/{kind}/{id}"


def _lower(word: Any) -> str | None:
    return None if word is None else str(word).lower()


def _local(moment: str | None) -> str | None:
    return None if moment is None else datetime.fromisoformat(moment).astimezone(ZONE).isoformat()
