"""The shop itself: products, stock at locations, orders. How this vendor moves stock, and nothing about its wire.

For each inventory item and location the shop keeps `available` and `committed`; on_hand is their sum.

    sale          available - n, committed + n        at creation, paid or not
    fulfilment    committed - n                       so on_hand - n
    cancellation  committed - n, available + n        with restock; without it the units leave on_hand
    return        available + n                       a refund of shipped units with restock

Orders made by an app with inventory behaviour BYPASS (the API's default) claim nothing and move nothing.
Everything is a JSON document in one SQLite file. Times are kept to the second, as the vendor does, so two changes of
one second carry the same `updated_at`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sheets_sync.sandbox.shops._common import (
    Action,
    Clock,
    OrderRow,
    Seed,
    ShopRefuses,
    Shown,
    Store,
)
from sheets_sync.sandbox.shops.shopify._orders import Doc, current, fulfilment_word, stamp, unfulfilled
from sheets_sync.sandbox.shops.shopify._rest import body_for

Emit = Callable[[str, Doc], None]
"""Called with a topic ("orders/create") and the REST-shaped body, inside the change's own transaction."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS doc (
    kind TEXT NOT NULL, id INTEGER NOT NULL, sort TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS doc_sort ON doc (kind, sort, id);
"""

FIRST_ID = 7_100_000_000_001
MOST = 1_000_000_000


@dataclass(frozen=True)
class Claim:
    """Part of a new order: units of a variant, or of nothing that the shop knows (`variant_id` None)."""

    variant_id: int | None
    units: int
    title: str = ""
    sku: str | None = None


@dataclass(frozen=True)
class Refunded:
    """Part of a refund. `restock`: CANCEL, RETURN or NO_RESTOCK."""

    line_id: int
    units: int
    restock: str
    location_id: int | None = None


class Docs:
    """JSON documents by kind and id, with one sort key each."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, kind: str, id: int) -> Doc | None:
        with self.store.transaction() as db:
            row = db.execute("SELECT body FROM doc WHERE kind = ? AND id = ?", (kind, id)).fetchone()
        return None if row is None else json.loads(row["body"])

    def put(self, kind: str, doc: Doc, sort: str = "") -> Doc:
        with self.store.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO doc (kind, id, sort, body) VALUES (?, ?, ?, ?)",
                (kind, doc["id"], sort, json.dumps(doc, ensure_ascii=False, separators=(",", ":"))),
            )
        return doc

    def delete(self, kind: str, id: int) -> None:
        with self.store.transaction() as db:
            db.execute("DELETE FROM doc WHERE kind = ? AND id = ?", (kind, id))

    def select(self, kind: str, where: str = "", values: Sequence[object] = (), order: str = "id") -> list[Doc]:
        """`where` and `order` are SQL of this package over id, sort and body; values are bound."""
        sql = f"SELECT body FROM doc WHERE kind = ? {where} ORDER BY {order}"
        with self.store.transaction() as db:
            return [json.loads(row["body"]) for row in db.execute(sql, (kind, *values))]

    def rows(self, sql: str, values: Sequence[object]) -> list[sqlite3.Row]:
        with self.store.transaction() as db:
            return db.execute(sql, tuple(values)).fetchall()

    def new_id(self) -> int:
        """Ids are unique over all kinds, as gids are: a variant's never equals its inventory item's."""
        return self.next("next_id", FIRST_ID)

    def next(self, name: str, first: int) -> int:
        """The next number of a series."""
        with self.store.transaction():
            number = int(self.store.setting(name, lambda: str(first)))
            self.store.set_setting(name, str(number + 1))
        return number


class Shop:
    """The thread-safe model: what buyers, the seller's admin and apps do to a shop.

    Methods for tests and the storefront take a SKU, a line index or an order id as `int`; each is one transaction and
    raises ShopRefuses, with nothing changed, where the real admin would not let it happen.
    """

    vendor = "Shopify"

    def __init__(self, store: Store, clock: Clock, display_name: str) -> None:
        self.store = store
        self.docs = Docs(store)
        self.clock = clock
        self.display_name = display_name
        self.emit: Emit = lambda topic, body: None
        self.hooks: Any = (
            None  # these five are set by `serve`: webhooks, their courier, tokens, the API engine, returns
        )
        self.courier: Any = None
        self.tokens: Any = None
        self.api: Any = None
        self.returns: Any = None
        self.mixed_batch = "refuse_all"  # or "apply_good": which of the two the vendor does is not published
        if not self.docs.select("location"):
            self.add_location("Shop location")

    # places and products --------------------------------------------------------------------------------------------

    def add_location(self, name: str, *, online: bool = True, service: bool = False) -> int:
        """A place that keeps stock; its id. `service`: a fulfilment service's, which sets its own figures."""
        with self.store.transaction():
            doc = self.docs.put(
                "location",
                {
                    "id": self.docs.new_id(),
                    "name": name,
                    "active": True,
                    "online": online,
                    "service": service,
                    "created_at": self.now(),
                    "updated_at": self.now(),
                },
            )
        return int(doc["id"])

    @property
    def location_id(self) -> int:
        """The first location."""
        return int(self.docs.select("location")[0]["id"])

    def add_product(
        self,
        sku: str | None,
        title: str,
        stock: int | None,
        price: str = "10.00",
        *,
        oversell: bool = False,
        variant_of: str = "",
        mutable: bool = True,
        location_id: int | None = None,
    ) -> int:
        """A product with one variant, or a variant more of the product titled `variant_of`; the variant's id.

        `stock` None: inventory is not tracked. `oversell`: keep selling at 0 (policy CONTINUE). `mutable` False: a
        bundle's parent, whose figure the API will not set.
        """
        now = self.now()
        with self.store.transaction():
            product = self._product(variant_of or title, now)
            variant_id, item_id = self.docs.new_id(), self.docs.new_id()
            place = location_id or self.location_id
            level = {"available": stock or 0, "committed": 0, "active": True, "updated_at": now, "created_at": now}
            item = {
                "id": item_id,
                "variant_id": variant_id,
                "sku": sku,
                "tracked": stock is not None,
                "mutable": mutable,
                "levels": {str(place): level},
                "created_at": now,
                "updated_at": now,
            }
            variant = {
                "id": variant_id,
                "product_id": product["id"],
                "item_id": item_id,
                "sku": sku,
                "title": title if variant_of else "Default Title",
                "price": price,
                "policy": "CONTINUE" if oversell else "DENY",
                "created_at": now,
                "updated_at": now,
            }
            self.docs.put("item", item, sku or "")
            self.docs.put("variant", variant, sku or "")
        return variant_id

    def _product(self, title: str, now: str) -> Doc:
        found = self.docs.select("product", "AND sort = ?", (title,))
        if found:
            return found[0]
        product = {"id": self.docs.new_id(), "title": title, "created_at": now, "updated_at": now}
        self.docs.put("product", product, title)
        self.emit("products/create", {"id": product["id"], "title": title})
        return product

    def seed(self, products: Iterable[Seed]) -> None:
        """Fill an empty shop; a shop that has products stays as it is."""
        with self.store.transaction():
            if self.docs.select("variant", "", (), "id LIMIT 1"):
                return
            for product in products:
                self.add_product(
                    product.sku, product.title, product.stock, product.price, variant_of=product.variant_of
                )

    def variant(self, sku: str) -> Doc:
        found = self.docs.select("variant", "AND sort = ?", (sku,))
        if len(found) != 1:
            raise ShopRefuses(f"{len(found)} variants have the SKU '{sku}'.")
        return found[0]

    def set_barcode(self, sku: str, barcode: str) -> None:
        """The seller types it in the variant's page."""
        with self.store.transaction():
            self.docs.put("variant", {**self.variant(sku), "barcode": barcode}, sku)

    def delete_product(self, sku: str) -> None:
        """The variant, its inventory item and its levels are gone; orders keep their lines."""
        with self.store.transaction():
            variant = self.variant(sku)
            self.docs.delete("variant", variant["id"])
            self.docs.delete("item", variant["item_id"])
            self.emit("products/delete", {"id": variant["product_id"]})

    def figure(self, sku: str, location_id: int | None = None) -> int:
        """What `available` is at a location (the first one unless told)."""
        return self._stock(sku, location_id)["available"]

    def committed(self, sku: str, location_id: int | None = None) -> int:
        return self._stock(sku, location_id)["committed"]

    def on_hand(self, sku: str, location_id: int | None = None) -> int:
        level = self._stock(sku, location_id)
        return level["available"] + level["committed"]

    def _stock(self, sku: str, location_id: int | None) -> dict[str, int]:
        item = self.docs.get("item", self.variant(sku)["item_id"])
        assert item is not None
        level: dict[str, int] = item["levels"][str(location_id or self.location_id)]
        return level

    def set_figure(self, sku: str, units: int, location_id: int | None = None) -> None:
        """The seller types `available` in the admin."""
        with self.store.transaction():
            self.move(self.variant(sku)["item_id"], location_id or self.location_id, to=units)

    def stock_at(self, sku: str, location_id: int, units: int = 0) -> None:
        """Stock the SKU at one more location (or again where it was inactive)."""
        with self.store.transaction():
            item = self.docs.get("item", self.variant(sku)["item_id"])
            assert item is not None
            self.activate(item, location_id, units)

    def activate(self, item: Doc, location_id: int, units: int | None) -> None:
        now = self.now()
        level = item["levels"].setdefault(
            str(location_id), {"available": 0, "committed": 0, "active": True, "updated_at": now, "created_at": now}
        )
        level["active"] = True
        if units is not None:
            level["available"] = units
        level["updated_at"] = now
        self.docs.put("item", item, item["sku"] or "")
        self.emit("inventory_levels/connect", self.level_body(item, location_id))

    def deactivate(self, sku: str, location_id: int) -> None:
        """The SKU is not stocked there any more; its level stays, inactive."""
        with self.store.transaction():
            item = self.docs.get("item", self.variant(sku)["item_id"])
            assert item is not None
            item["levels"][str(location_id)]["active"] = False
            self.docs.put("item", item, item["sku"] or "")
            self.emit("inventory_levels/disconnect", {"inventory_item_id": item["id"], "location_id": location_id})

    def set_tracked(self, sku: str, tracked: bool) -> None:
        with self.store.transaction():
            item = self.docs.get("item", self.variant(sku)["item_id"])
            assert item is not None
            item["tracked"] = tracked
            self.docs.put("item", item, item["sku"] or "")

    def move(
        self, item_id: int, location_id: int, available: int = 0, committed: int = 0, *, to: int | None = None
    ) -> None:
        """Change a level, where there is one; `to` sets available. Fires inventory_levels/update."""
        item = self.docs.get("item", item_id)
        level = None if item is None else item["levels"].get(str(location_id))
        if item is None or level is None:
            return
        before = level["available"]
        level["available"] = before + available if to is None else to
        level["committed"] += committed
        level["updated_at"] = self.now()
        self.docs.put("item", item, item["sku"] or "")
        if level["available"] != before:
            self.emit("inventory_levels/update", self.level_body(item, location_id))

    @staticmethod
    def level_body(item: Doc, location_id: int) -> Doc:
        """The body of inventory_levels/*: REST shape."""
        level = item["levels"][str(location_id)]
        return {
            "inventory_item_id": item["id"],
            "location_id": location_id,
            "available": level["available"],
            "updated_at": level["updated_at"],
            "admin_graphql_api_id": f"gid://shopify/InventoryLevel/{location_id}?inventory_item_id={item['id']}",
        }

    # orders ---------------------------------------------------------------------------------------------------------

    def buy(self, sku: str, units: int = 1, *, paid: bool = True) -> Doc:
        """A buyer checks out; refused where the shop has too few and does not oversell. The order document."""
        return self.checkout([Claim(self.variant(sku)["id"], units)], paid=paid)

    def checkout(
        self,
        claims: Sequence[Claim],
        *,
        paid: bool = True,
        behaviour: str = "DECREMENT_OBEYING_POLICY",
        source: str = "web",
        **fields: Any,
    ) -> Doc:
        """Place an order of several lines, all or nothing. `behaviour` is the API's inventoryBehaviour."""
        now = self.now()
        with self.store.transaction():
            lines = [self._claim(claim, behaviour) for claim in claims]
            number = self.docs.next("next_number", 1001)
            order: Doc = {
                "id": self.docs.new_id(),
                "number": number,
                "name": f"#{number}",
                "created_at": now,
                "processed_at": now,
                "updated_at": now,
                "cancelled_at": None,
                "cancel_reason": None,
                "staff_note": None,
                "closed_at": None,
                "edited": False,
                "financial": "PAID" if paid else "PENDING",
                "source": source,
                "source_identifier": None,
                "note": None,
                "email": None,
                "test": False,
                "lines": lines,
                "fulfillments": [],
                "refunds": [],
                "fulfillment_orders": self._assign(lines, now),
                **fields,
            }
            self._hold_stock(lines)
            self.save(order, "orders/create", *(["orders/paid"] if order["financial"] == "PAID" else []))
        return order

    def _claim(self, claim: Claim, behaviour: str) -> Doc:
        if claim.units < 1:
            raise ShopRefuses("Quantity must be greater than 0.")
        line: Doc = {
            "id": self.docs.new_id(),
            "variant_id": None,
            "item_id": None,
            "product_id": None,
            "sku": claim.sku,
            "title": claim.title or "Item",
            "variant_title": None,
            "price": "0.00",
            "quantity": claim.units,
            "fulfilled": 0,
            "removed": 0,
            "refunded": 0,
            "claimed": False,
            "location_id": self.location_id,
        }
        if claim.variant_id is None:
            return line
        variant = self.docs.get("variant", claim.variant_id)
        if variant is None:
            raise ShopRefuses("Variant is invalid.")
        product, item = self.docs.get("product", variant["product_id"]), self.docs.get("item", variant["item_id"])
        assert product is not None and item is not None
        place = self._place_for(item, claim.units)
        obeys = behaviour == "DECREMENT_OBEYING_POLICY" and variant["policy"] == "DENY" and item["tracked"]
        if obeys and item["levels"].get(str(place), {"available": 0})["available"] < claim.units:
            raise ShopRefuses(f"Unable to reserve inventory: too few of '{product['title']}' are left.")
        return line | {
            "variant_id": variant["id"],
            "item_id": item["id"],
            "product_id": product["id"],
            "sku": variant["sku"] if claim.sku is None else claim.sku,
            "title": product["title"],
            "variant_title": None if variant["title"] == "Default Title" else variant["title"],
            "price": variant["price"],
            "claimed": item["tracked"] and behaviour != "BYPASS",
            "location_id": place,
        }

    def _place_for(self, item: Doc, units: int) -> int:
        """The first active location that has enough, else the first active one, else the shop's first."""
        active = [(int(place), level) for place, level in item["levels"].items() if level["active"]]
        enough = [place for place, level in active if level["available"] >= units]
        return (enough or [place for place, _ in active] or [self.location_id])[0]

    def _hold_stock(self, lines: Iterable[Doc]) -> None:
        for line in lines:
            if line["claimed"]:
                self.move(line["item_id"], line["location_id"], -line["quantity"], +line["quantity"])

    def _assign(self, lines: Sequence[Doc], now: str) -> list[Doc]:
        """One fulfilment order a location."""
        places = dict.fromkeys(line["location_id"] for line in lines)
        return [
            {
                "id": self.docs.new_id(),
                "location_id": place,
                "created_at": now,
                "lines": [
                    {"id": self.docs.new_id(), "line_id": line["id"]} for line in lines if line["location_id"] == place
                ],
            }
            for place in places
        ]

    def order(self, order_id: int) -> Doc:
        found = self.docs.get("order", order_id)
        if found is None:
            raise ShopRefuses("Order does not exist.")
        return found

    def pay(self, order_id: int) -> Doc:
        with self.store.transaction():
            order = self.order(order_id)
            if order["financial"] == "PAID" or order["cancelled_at"]:
                raise ShopRefuses("Order cannot be marked as paid.")
            order["financial"] = "PAID"
            return self.save(order, "orders/paid", "orders/updated")

    def ship(self, order_id: int, lines: Mapping[int, int] | None = None, *, location_id: int | None = None) -> Doc:
        """Fulfil `{line id: units}`, all that is open unless told. `location_id`: where the units leave from."""
        with self.store.transaction():
            order = self.order(order_id)
            if order["cancelled_at"]:
                raise ShopRefuses("A cancelled order cannot be fulfilled.")
            wanted = lines or {line["id"]: unfulfilled(line) for line in order["lines"] if unfulfilled(line)}
            self._check_open(order, wanted)
            place = location_id or self._line(order, next(iter(wanted)))["location_id"]
            fulfilment = {
                "id": self.docs.new_id(),
                "number": len(order["fulfillments"]) + 1,
                "location_id": place,
                "status": "SUCCESS",
                "created_at": self.now(),
                "updated_at": self.now(),
                "lines": [{"id": self.docs.new_id(), "line_id": k, "quantity": n} for k, n in wanted.items()],
            }
            for line_id, units in wanted.items():
                self._leave(self._line(order, line_id), units, place)
            order["fulfillments"].append(fulfilment)
            done = fulfilment_word(order) == "FULFILLED"
            if done:
                order["closed_at"] = self.now() if order["financial"] == "PAID" else None
            topic = "orders/fulfilled" if done else "orders/partially_fulfilled"
            return self.save(order, "fulfillments/create", topic, "orders/updated")

    def _leave(self, line: Doc, units: int, place: int) -> None:
        line["fulfilled"] += units
        if not line["claimed"]:
            return
        if place == line["location_id"]:
            self.move(line["item_id"], place, 0, -units)
            return
        self.move(line["item_id"], line["location_id"], +units, -units)
        self.move(line["item_id"], place, -units, 0)

    def _check_open(self, order: Doc, wanted: Mapping[int, int]) -> None:
        for line_id, units in wanted.items():
            line = self._line(order, line_id)
            if not 0 < units <= unfulfilled(line):
                raise ShopRefuses(f"Line '{line['title']}' has {unfulfilled(line)} units to fulfil, not {units}.")
        if not wanted:
            raise ShopRefuses("Nothing is left to fulfil.")

    @staticmethod
    def _line(order: Doc, line_id: int) -> Doc:
        found: Doc | None = next((line for line in order["lines"] if line["id"] == line_id), None)
        if found is None:
            raise ShopRefuses("Line item does not exist.")
        return found

    def cancel_fulfillment(self, order_id: int, fulfillment_id: int) -> Doc:
        """The parcel did not leave after all: its units are open again."""
        with self.store.transaction():
            order = self.order(order_id)
            found = next((f for f in order["fulfillments"] if f["id"] == fulfillment_id), None)
            if found is None or found["status"] != "SUCCESS":
                raise ShopRefuses("Fulfillment cannot be cancelled.")
            found["status"], found["updated_at"] = "CANCELLED", self.now()
            for part in found["lines"]:
                line = self._line(order, part["line_id"])
                line["fulfilled"] -= part["quantity"]
                if line["claimed"]:
                    self.move(line["item_id"], line["location_id"], 0, part["quantity"])
            order["closed_at"] = None
            return self.save(order, "fulfillments/update", "orders/updated")

    def cancel(
        self,
        order_id: int,
        *,
        restock: bool = True,
        reason: str = "CUSTOMER",
        refund: bool = True,
        note: str | None = None,
    ) -> Doc:
        """Cancel what is open. Refused once something was shipped, as in the admin."""
        with self.store.transaction():
            order = self.order(order_id)
            if order["cancelled_at"]:
                raise ShopRefuses("Order has already been cancelled.")
            if any(line["fulfilled"] for line in order["lines"]):
                raise ShopRefuses("Cannot cancel an order that has fulfillments.")
            kind = "CANCEL" if restock else "NO_RESTOCK"
            parts = [Refunded(line["id"], unfulfilled(line), kind) for line in order["lines"] if unfulfilled(line)]
            if parts:
                self._take_back(order, parts, None)
            now = self.now()
            order |= {"cancelled_at": now, "closed_at": now, "cancel_reason": reason, "staff_note": note}
            if order["financial"] == "PAID":
                order["financial"] = "REFUNDED" if refund else "PAID"
            else:
                order["financial"] = "VOIDED"
            return self.save(order, "refunds/create", "orders/cancelled", "orders/updated")

    def refund(
        self, order_id: int, parts: Sequence[Refunded], *, note: str | None = None, returned: bool = False
    ) -> Doc:
        """Refund units of lines; no parts: money only. `returned`: the refund belongs to a return."""
        with self.store.transaction():
            order = self.order(order_id)
            self._check_refund(order, parts)
            self._take_back(order, parts, note, returned)
            everything = all(current(line) == 0 for line in order["lines"])
            order["financial"] = "REFUNDED" if everything else "PARTIALLY_REFUNDED"
            return self.save(order, "refunds/create", "orders/updated")

    def _check_refund(self, order: Doc, parts: Sequence[Refunded]) -> None:
        for part in parts:
            line = self._line(order, part.line_id)
            room = unfulfilled(line) if part.restock == "CANCEL" else current(line)
            if not 0 < part.units <= room:
                raise ShopRefuses("Refund line items: quantity cannot refund more items than were purchased")

    def _take_back(self, order: Doc, parts: Sequence[Refunded], note: str | None, returned: bool = False) -> None:
        now = self.now()
        refund = {
            "id": self.docs.new_id(),
            "created_at": now,
            "note": note,
            "return_id": self.docs.new_id() if returned else None,
            "lines": [self._take_back_line(self._line(order, part.line_id), part) for part in parts],
        }
        order["refunds"].append(refund)

    def _take_back_line(self, line: Doc, part: Refunded) -> Doc:
        # Without restock the vendor counts shipped units as refunded first, and removes open ones only then.
        shipped = 0 if part.restock == "CANCEL" else min(part.units, line["fulfilled"] - line["refunded"])
        opened = part.units - shipped
        line["refunded"] += shipped
        line["removed"] += opened
        restocks = part.restock != "NO_RESTOCK"
        place = part.location_id or line["location_id"]
        if line["claimed"]:
            if opened:
                self.move(line["item_id"], line["location_id"], 0, -opened)
            if restocks:
                self.move(line["item_id"], place, part.units, 0)
        return {
            "id": self.docs.new_id(),
            "line_id": line["id"],
            "quantity": part.units,
            "restock": part.restock,
            "restocked": restocks and line["claimed"],
            "location_id": place if restocks and line["claimed"] else None,
        }

    def edit(self, order_id: int, line_id: int, units: int, *, restock: bool = True) -> Doc:
        """The seller edits the order: the line shall have `units` in all. Removed units are restocked or not."""
        with self.store.transaction():
            order = self.order(order_id)
            line = self._line(order, line_id)
            change = units - current(line)
            if change < 0:
                if -change > unfulfilled(line):
                    raise ShopRefuses("Only units that were not fulfilled can be removed.")
                self._take_back(order, [Refunded(line_id, -change, "CANCEL" if restock else "NO_RESTOCK")], None)
            elif change > 0:
                line["quantity"] += change
                if line["claimed"]:
                    self.move(line["item_id"], line["location_id"], -change, +change)
            order["edited"] = True
            return self.save(order, "orders/edited", "orders/updated")

    def add_line(self, order_id: int, sku: str, units: int) -> Doc:
        """The seller adds a line to an order."""
        with self.store.transaction():
            order = self.order(order_id)
            line = self._claim(Claim(self.variant(sku)["id"], units), "DECREMENT_IGNORING_POLICY")
            self._hold_stock([line])
            order["lines"].append(line)
            order["fulfillment_orders"] += self._assign([line], self.now())
            order["edited"] = True
            return self.save(order, "orders/edited", "orders/updated")

    def delete_order(self, order_id: int) -> None:
        """The order is gone; its stock stays where it is."""
        with self.store.transaction():
            self.order(order_id)
            self.docs.delete("order", order_id)
            self.emit("orders/delete", {"id": order_id})

    def save(self, order: Doc, *topics: str) -> Doc:
        """Store an order as changed just now, and tell of it."""
        order["updated_at"] = self.now()
        self.docs.put("order", order, order["updated_at"])
        for topic in topics:
            self.emit(topic, body_for(topic, order))
        return order

    def now(self) -> str:
        return stamp(self.clock())

    # the storefront -------------------------------------------------------------------------------------------------

    def shown(self) -> list[Shown]:
        titles = {p["id"]: p["title"] for p in self.docs.select("product")}
        items = {i["id"]: i for i in self.docs.select("item")}
        return [self._shown(v, titles[v["product_id"]], items[v["item_id"]]) for v in self.docs.select("variant")]

    @staticmethod
    def _shown(variant: Doc, title: str, item: Doc) -> Shown:
        figure = sum(level["available"] for level in item["levels"].values() if level["active"])
        if variant["title"] != "Default Title":
            title = f"{title} - {variant['title']}"
        buyable = not item["tracked"] or variant["policy"] == "CONTINUE" or figure > 0
        return Shown(str(variant["id"]), title, variant["sku"] or "", figure if item["tracked"] else None, buyable)

    def order_rows(self) -> list[OrderRow]:
        return [self._order_row(order) for order in reversed(self.docs.select("order"))]

    @staticmethod
    def _order_row(order: Doc) -> OrderRow:
        word = "CANCELLED" if order["cancelled_at"] else fulfilment_word(order)
        actions = []
        if not order["cancelled_at"]:
            if order["financial"] == "PENDING":
                actions.append(Action("pay", "Pay", "buyer"))
            if word != "FULFILLED":
                actions.append(Action("ship", "Ship"))
            if word == "UNFULFILLED":
                actions.append(Action("cancel", "Cancel", "buyer"))
                actions.append(Action("cancel_gone", "Cancel, not in stock"))
            if any(line["fulfilled"] > line["refunded"] for line in order["lines"]):
                actions.append(Action("return", "Return and restock"))
        state = f"{order['financial']}, {word}".lower().replace("_", " ")
        lines = [f"{line['quantity']} × {line['title']}" + _open_words(line) for line in order["lines"]]
        return OrderRow(str(order["id"]), order["name"], order["created_at"], state, lines, actions)

    def buy_one(self, product_id: str, units: int) -> str:
        if not product_id.isdigit():
            raise ShopRefuses("There is no such product.")
        return str(self.checkout([Claim(int(product_id), units)])["name"])

    def act(self, order_id: str, verb: str) -> None:
        actions: dict[str, Callable[[int], Doc]] = {
            "pay": self.pay,
            "ship": self.ship,
            "cancel": self.cancel,
            "cancel_gone": lambda id: self.cancel(id, restock=False, reason="INVENTORY"),
            "return": self._return_all,
        }
        if verb not in actions or not order_id.isdigit():
            raise ShopRefuses("That cannot be done here.")
        actions[verb](int(order_id))

    def _return_all(self, order_id: int) -> Doc:
        shipped = ((line["id"], line["fulfilled"] - line["refunded"]) for line in self.order(order_id)["lines"])
        return self.refund(order_id, [Refunded(id, units, "RETURN") for id, units in shipped if units > 0])


def _open_words(line: Doc) -> str:
    parts = [(line["fulfilled"], "shipped"), (line["removed"], "cancelled"), (line["refunded"], "refunded")]
    said = ", ".join(f"{units} {word}" for units, word in parts if units)
    return f" ({said})" if said else ""
