"""Returns: goods that buyers send back, and what became of each unit when it arrived (its disposition).

Opening a return moves nothing. A unit disposed of as RESTOCKED goes back on `available`; the other words move nothing
that is kept here. Whether a disposition changes the order's own time is not published: `Returns.touches_order`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sheets_sync.sandbox.shops._common import ShopRefuses
from sheets_sync.sandbox.shops.shopify._model import Shop
from sheets_sync.sandbox.shops.shopify._orders import Doc

DISPOSITIONS = ("RESTOCKED", "NOT_RESTOCKED", "PROCESSING_REQUIRED", "MISSING")

Fields = dict[str, Any]


class Returns:
    """What a seller does with returns in the admin."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.touches_order = True

    def open(self, order_id: int, units: Mapping[int, int]) -> int:
        """The buyer sends back `units` by line id; gives the return's number."""
        with self.shop.store.transaction():
            order = self.shop.order(order_id)
            for line in order["lines"]:
                if units.get(line["id"], 0) > line["fulfilled"]:
                    raise ShopRefuses("Quantity to be returned exceeds what was fulfilled.")
            number = self.shop.docs.new_id()
            made = {
                "id": number,
                "reverse_id": self.shop.docs.new_id(),
                "lines": [{"id": self.shop.docs.new_id(), "line_id": k, "quantity": n} for k, n in units.items()],
                "disposed": [],
            }
            order.setdefault("returns", []).append(made)
            self.shop.save(order, "orders/updated")
            return number

    def dispose(self, order_id: int, return_id: int, line_id: int, units: int, word: str) -> None:
        """Units of a return have been looked at: `word` is one of DISPOSITIONS."""
        if word not in DISPOSITIONS:
            raise ShopRefuses(f"'{word}' is no disposition; use {', '.join(DISPOSITIONS)}.")
        with self.shop.store.transaction():
            order = self.shop.order(order_id)
            one = next((r for r in order.get("returns", []) if r["id"] == return_id), None)
            if one is None:
                raise ShopRefuses("Return does not exist.")
            line = next(line for line in order["lines"] if line["id"] == line_id)
            now = self.shop.now()
            one["disposed"].append(
                {"id": self.shop.docs.new_id(), "line_id": line_id, "quantity": units, "type": word, "created_at": now}
            )
            if word == "RESTOCKED" and line["claimed"]:
                self.shop.move(line["item_id"], line["location_id"], units, 0)
            if self.touches_order:
                self.shop.save(order, "orders/updated")
            else:
                self.shop.docs.put("order", order, order["updated_at"])
            self.shop.emit(
                "reverse_fulfillment_orders/dispose",
                {"id": one["reverse_id"], "admin_graphql_api_id": _gid("ReverseFulfillmentOrder", one["reverse_id"])},
            )


def status(order: Doc) -> str:
    """`Order.returnStatus`."""
    returns = order.get("returns", [])
    if not returns:
        return "NO_RETURN"
    due = sum(line["quantity"] for one in returns for line in one["lines"])
    seen = sum(d["quantity"] for one in returns for d in one["disposed"] if d["type"] != "PROCESSING_REQUIRED")
    return "RETURNED" if seen >= due else "IN_PROGRESS"


def shown_return(order: Doc, one: Doc, show_line: Callable[[Doc], Fields], page: Callable[..., Fields]) -> Fields:
    """A return as GraphQL shows it. `page` makes a connection of a list."""
    reverse = shown_reverse(order, one, show_line, page)
    return {
        "__typename": "Return",
        "id": _gid("Return", one["id"]),
        "name": f"{order['name']}-R{order['returns'].index(one) + 1}",
        "reverseFulfillmentOrders": lambda info, **a: page([reverse], a),
    }


def shown_reverse(order: Doc, one: Doc, show_line: Callable[[Doc], Fields], page: Callable[..., Fields]) -> Fields:
    """The parcel of a return."""
    lines = {line["id"]: line for line in order["lines"]}
    parts = [
        {
            "id": _gid("ReverseFulfillmentOrderLineItem", part["id"]),
            "totalQuantity": part["quantity"],
            "fulfillmentLineItem": {
                "id": _gid("FulfillmentLineItem", part["id"]),
                "quantity": part["quantity"],
                "lineItem": show_line(lines[part["line_id"]]),
            },
            "dispositions": [_disposition(d) for d in one["disposed"] if d["line_id"] == part["line_id"]],
        }
        for part in one["lines"]
    ]
    return {
        "__typename": "ReverseFulfillmentOrder",
        "id": _gid("ReverseFulfillmentOrder", one["reverse_id"]),
        "lineItems": lambda info, **a: page(parts, a),
    }


def _disposition(doc: Doc) -> Fields:
    return {
        "id": _gid("ReverseFulfillmentOrderDisposition", doc["id"]),
        "type": doc["type"],
        "quantity": doc["quantity"],
        "createdAt": doc["created_at"],
    }


def _gid(kind: str, id: int) -> str:
    return f"gid://shopify/{kind}/{id}"
