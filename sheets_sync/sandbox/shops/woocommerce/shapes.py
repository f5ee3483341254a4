"""The bodies of the REST API v3, key for key as a WooCommerce 11 answers."""

from __future__ import annotations

import html
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from sheets_sync.sandbox.shops.woocommerce.model import Shop, local_time, sku_of, sold

Json = dict[str, Any]

_NO_ADDRESS = {
    k: ""
    for k in (
        "first_name",
        "last_name",
        "company",
        "address_1",
        "address_2",
        "city",
        "state",
        "postcode",
        "country",
        "phone",
    )
}


@dataclass(frozen=True)
class Shapes:
    """Builds answers inside a transaction. `base_url` as the shop knows itself, `offset` of its time zone."""

    shop: Shop
    base_url: str
    offset: timedelta

    # products

    def product(self, db: sqlite3.Connection, row: sqlite3.Row) -> Json:
        """A product as `/products` answers it; a variation as a webhook or `?sku=` shows it."""
        body = {**self._product_head(row), **self._price(row), **_PRODUCT_REST, **self._stock(db, row)}
        body["parent_id"], body["sku"] = row["parent_id"], sku_of(db, row)
        body["global_unique_id"] = _barcode(db, row)
        # the real one has it as text there
        body["total_sales"] = str(row["total_sales"]) if row["type"] == "variation" else row["total_sales"]
        body["variations"] = [r["id"] for r in variations(db, row["id"])]
        body["has_options"] = row["type"] == "variable"
        body["attributes"] = self._attributes(db, row)
        body["_links"] = self._links(f"products/{row['id']}", "products")
        return body

    def variation(self, db: sqlite3.Connection, row: sqlite3.Row) -> Json:
        """A variation as `/products/<parent>/variations` answers it; `manage_stock` may be the word "parent"."""
        head = self._product_head(row)
        body = {k: head[k] for k in head if k not in ("slug", "featured", "catalog_visibility", "short_description")}
        body |= {**self._price(row), **_VARIATION_REST, **self._stock(db, row)}
        body["name"], body["sku"] = row["option"], sku_of(db, row)
        body["parent_id"] = row["parent_id"]
        body["global_unique_id"] = _barcode(db, row)
        body["attributes"] = [{"id": 0, "name": "Option", "slug": "option", "option": row["option"]}]
        if row["manage_stock"] == "parent":
            body["manage_stock"] = "parent"
        parent = f"products/{row['parent_id']}"
        body["_links"] = self._links(f"{parent}/variations/{row['id']}", f"{parent}/variations") | {
            "up": [{"href": self._href(parent)}]
        }
        return body

    def _product_head(self, row: sqlite3.Row) -> Json:
        slug = "-".join(str(row["name"]).lower().split())
        return {
            "id": row["id"],
            "name": html.escape(row["name"], quote=False),
            "slug": slug,
            "permalink": f"{self.base_url}/product/{quote(slug)}/",
            **self._dates(row, "created", "modified"),
            "type": row["type"],
            "status": row["status"],
            "featured": False,
            "catalog_visibility": "visible",
            "description": "",
            "short_description": "",
            "sku": row["sku"],
        }

    def _price(self, row: sqlite3.Row) -> Json:
        price = str(row["price"])
        return {
            "price": price,
            "regular_price": price,
            "sale_price": "",
            "price_html": f"<span>{html.escape(price)}</span>",
        }

    def _stock(self, db: sqlite3.Connection, row: sqlite3.Row) -> Json:
        keeper = self.shop.stock_row(db, row["id"])
        stock = None if keeper is None else int(keeper["stock"] or 0)
        backorders = str(row["backorders"])
        out = stock is not None and stock <= 0
        return {
            "manage_stock": keeper is not None,
            "stock_quantity": stock,
            "stock_status": ("onbackorder" if backorders != "no" else "outofstock") if out else "instock",
            "backorders": backorders,
            "backorders_allowed": backorders != "no",
            "backordered": bool(out and stock is not None and stock < 0 and backorders != "no"),
            "low_stock_amount": None,
        }

    def _attributes(self, db: sqlite3.Connection, row: sqlite3.Row) -> list[Json]:
        if row["type"] == "variation":
            return [{"id": 0, "name": "Option", "slug": "option", "option": row["option"]}]
        options = [r["option"] for r in variations(db, row["id"])]
        if not options:
            return []
        one = {"id": 0, "name": "Option", "slug": "Option", "position": 0, "visible": True, "variation": True}
        return [one | {"options": options}]

    # orders

    def order(self, db: sqlite3.Connection, row: sqlite3.Row) -> Json:
        order = int(row["id"])
        total = f"{self.shop.total(db, order):.2f}"
        extra = json.loads(row["extra"])
        paid, status = row["paid"], str(row["status"])
        return {
            "id": order,
            "parent_id": 0,
            "status": status,
            "currency": "EUR",
            "version": self.shop.release,
            "prices_include_tax": False,
            **self._dates(row, "created", "modified"),
            **dict.fromkeys(("discount_total", "discount_tax", "shipping_total", "shipping_tax", "cart_tax"), "0.00"),
            "total": total,
            "total_tax": "0.00",
            "customer_id": 0,
            "order_key": row["order_key"],
            "billing": {**_NO_ADDRESS, "email": "", **extra.get("billing", {})},
            "shipping": {**_NO_ADDRESS, **extra.get("shipping", {})},
            "payment_method": extra.get("payment_method", ""),
            "payment_method_title": extra.get("payment_method_title", ""),
            "transaction_id": extra.get("transaction_id", ""),
            "customer_ip_address": "",
            "customer_user_agent": "",
            "created_via": row["created_via"],
            "customer_note": extra.get("customer_note", ""),
            **self._dates(row, "completed", "paid"),
            "cart_hash": "",
            "number": str(order),
            "meta_data": extra.get("meta_data", []),
            "line_items": [self.line(db, r) for r in self.shop.lines(db, order)],
            **{kind: [] for kind in ("tax_lines", "shipping_lines", "fee_lines", "coupon_lines")},
            "refunds": [
                {"id": r["id"], "reason": r["reason"], "total": f"-{r['amount']}", "total_tax": "0.00"}
                for r in refunds(db, order)
            ],
            "payment_url": f"{self.base_url}/checkout/order-pay/{order}/?pay_for_order=true&key={row['order_key']}",
            "is_editable": status in ("pending", "on-hold"),
            "needs_payment": status in ("pending", "failed") and paid is None,
            "needs_processing": True,
            "currency_symbol": "€",
            "_links": self._links(f"orders/{order}", "orders"),
        }

    def line(self, db: sqlite3.Connection, row: sqlite3.Row) -> Json:
        product = db.execute("SELECT * FROM product WHERE id = ?", (sold(row),)).fetchone()
        total = f"{Decimal(row['price']) * row['quantity']:.2f}"
        notes = (("_reduced_stock", row["reduced"]), ("_restock_refunded_items", row["restocked"]))
        return {
            "id": row["id"],
            "name": row["name"],
            "product_id": row["product_id"],
            "variation_id": row["variation_id"],
            "quantity": row["quantity"],
            "tax_class": "",
            "subtotal": total,
            "subtotal_tax": "0.00",
            "total": total,
            "total_tax": "0.00",
            "taxes": [],
            "meta_data": [_meta(row["id"] * 10 + i, key, n) for i, (key, n) in enumerate(notes) if n is not None],
            "sku": "" if product is None else sku_of(db, product),
            "global_unique_id": "",
            "price": float(row["price"]),
            "image": {"id": "", "src": ""},
            "parent_name": product["name"].partition(" - ")[0] if row["variation_id"] and product is not None else None,
        }

    def refund(self, db: sqlite3.Connection, row: sqlite3.Row) -> Json:
        order, refund = row["order_id"], row["id"]
        path = f"orders/{order}/refunds"
        return {
            "id": refund,
            **self._dates(row, "created"),
            "amount": row["amount"],
            "reason": row["reason"],
            "refunded_by": 1,
            "refunded_payment": False,
            "meta_data": [{"id": refund * 10, "key": "_refund_type", "value": "partial"}],
            "line_items": [self._refund_line(db, r) for r in refund_lines(db, refund)],
            **{kind: [] for kind in ("shipping_lines", "tax_lines", "fee_lines")},
            "_links": self._links(f"{path}/{refund}", path) | {"up": [{"href": self._href(f"orders/{order}")}]},
        }

    def _refund_line(self, db: sqlite3.Connection, row: sqlite3.Row) -> Json:
        line = db.execute("SELECT * FROM line WHERE id = ?", (row["line_id"],)).fetchone()
        total = f"-{Decimal(row['total']):.2f}"
        body = self.line(db, line) if line is not None else {}
        return body | {
            "id": 1_000_000 + row["id"],
            "quantity": -row["quantity"],
            **dict.fromkeys(("subtotal", "total"), total),
            "meta_data": [_meta(row["id"] * 10, "_refunded_item_id", row["line_id"])],
        }

    # webhooks

    def webhook(self, row: sqlite3.Row) -> Json:
        """The secret is never answered."""
        resource, event = str(row["topic"]).split(".")
        return {
            "id": row["id"],
            "name": row["name"],
            "status": row["status"],
            "topic": row["topic"],
            "resource": resource,
            "event": event,
            "hooks": [f"woocommerce_{event}_{resource}"],
            "delivery_url": row["delivery_url"],
            **self._dates(row, "created", "modified"),
            "_links": self._links(f"webhooks/{row['id']}", "webhooks"),
        }

    # small things

    def _dates(self, row: sqlite3.Row, *names: str) -> Json:
        both: Json = {}
        for name in names:
            both[f"date_{name}"] = local_time(row[name], self.offset)
            both[f"date_{name}_gmt"] = row[name]
        return both

    def _href(self, path: str) -> str:
        return f"{self.base_url}/wp-json/wc/v3/{path}"

    def _links(self, own: str, collection: str) -> Json:
        return {"self": [{"href": self._href(own)}], "collection": [{"href": self._href(collection)}]}


def _meta(number: int, key: str, value: object) -> Json:
    return {"id": number, "key": key, "value": str(value), "display_key": key, "display_value": str(value)}


def variations(db: sqlite3.Connection, parent: int) -> Sequence[sqlite3.Row]:
    return db.execute(
        "SELECT * FROM product WHERE parent_id = ? AND status <> 'trash' ORDER BY id", (parent,)
    ).fetchall()


def refunds(db: sqlite3.Connection, order: int) -> Sequence[sqlite3.Row]:
    """Newest first, as the API lists them."""
    return db.execute("SELECT * FROM refund WHERE order_id = ? ORDER BY id DESC", (order,)).fetchall()


def refund_lines(db: sqlite3.Connection, refund: int) -> Sequence[sqlite3.Row]:
    return db.execute("SELECT * FROM refund_line WHERE refund_id = ? ORDER BY id", (refund,)).fetchall()


def only_fields(body: Json, fields: str | None) -> Json:
    """WordPress's `_fields`: the top-level keys asked for."""
    if not fields:
        return body
    wanted = {name.strip().partition(".")[0] for name in fields.split(",")}
    return {k: v for k, v in body.items() if k in wanted}


_SIZE: Mapping[str, str] = {"length": "", "width": "", "height": ""}
_NO_SALE: Json = {
    "on_sale": False,
    **dict.fromkeys(("date_on_sale_from", "date_on_sale_from_gmt", "date_on_sale_to", "date_on_sale_to_gmt")),
}


def _barcode(db: sqlite3.Connection, row: sqlite3.Row) -> str:
    found = db.execute("SELECT code FROM barcode WHERE product_id = ?", (row["id"],)).fetchone()
    return "" if found is None else str(found["code"])


_VARIATION_REST: Json = {
    **_NO_SALE,
    "purchasable": True,
    "virtual": False,
    "downloadable": False,
    "downloads": [],
    "download_limit": -1,
    "download_expiry": -1,
    "tax_status": "taxable",
    "tax_class": "",
    "weight": "",
    "dimensions": _SIZE,
    "shipping_class": "",
    "shipping_class_id": 0,
    "image": None,
    "menu_order": 0,
    "meta_data": [],
    "global_unique_id": "",
}
_PRODUCT_REST: Json = {
    **{k: v for k, v in _VARIATION_REST.items() if k != "image"},
    "external_url": "",
    "button_text": "",
    "sold_individually": False,
    "shipping_required": True,
    "shipping_taxable": True,
    "reviews_allowed": True,
    "average_rating": "0.00",
    "rating_count": 0,
    **{
        k: []
        for k in (
            "upsell_ids",
            "cross_sell_ids",
            "brands",
            "tags",
            "images",
            "default_attributes",
            "grouped_products",
            "related_ids",
        )
    },
    "purchase_note": "",
    "categories": [{"id": 15, "name": "Uncategorized", "slug": "uncategorized"}],
    "post_password": "",
}
