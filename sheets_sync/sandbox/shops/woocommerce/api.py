"""`/wp-json/wc/v3`: products, variations, orders, refunds, webhooks, with WooCommerce's errors, paging and batches.

Two of its habits matter most to a client: a batch answers 200 and carries each row's error in the row, and a batch does
not check types, so `"stock_quantity": "abc"` sets 0 where a single PUT answers 400.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from math import ceil
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from sheets_sync.sandbox.shops._common import ShopRefuses
from sheets_sync.sandbox.shops.woocommerce.auth import Asked, Keys, Refused
from sheets_sync.sandbox.shops.woocommerce.hooks import Hooks
from sheets_sync.sandbox.shops.woocommerce.model import STATUSES, TOPICS, LineWanted, NotFound, Shop, new_post
from sheets_sync.sandbox.shops.woocommerce.shapes import Json, Shapes, only_fields, refunds

MOST_ROWS = 100
"""Items a page may have, and items a batch may carry in all."""

KEPT_OF_ORDER = (
    "billing",
    "shipping",
    "payment_method",
    "payment_method_title",
    "transaction_id",
    "customer_note",
    "meta_data",
)


class ApiError(Exception):
    """An error in WordPress's form."""

    def __init__(self, status: int, code: str, message: str, **data: object) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"code": code, "message": message, "data": {"status": status, **data}}


def api(shop: Shop, shapes: Shapes, keys: Keys, hooks: Hooks) -> Blueprint:
    """The routes of the REST API."""
    routes = Blueprint("wc", __name__, url_prefix="/wp-json")
    rest = Rest(shop, shapes, hooks)

    @routes.before_request
    def only_with_a_key() -> None:
        if request.path.rstrip("/").endswith("/wp-json"):
            return
        _check_key(keys, shapes.base_url)

    @routes.errorhandler(ApiError)
    def failed(error: ApiError) -> Response:
        return _json(error.body, error.status)

    @routes.errorhandler(Refused)
    def unauthorised(error: Refused) -> Response:
        return _json({"code": error.code, "message": str(error), "data": {"status": 401}}, 401)

    @routes.errorhandler(HTTPException)
    def wrong(error: HTTPException) -> Response:
        status = error.code or 500
        return _json({"code": "rest_error", "message": error.description, "data": {"status": status}}, status)

    @routes.get("/")
    def index() -> Response:
        hours = shapes.offset.total_seconds() / 3600
        body = {"name": shop.display_name, "description": "", "url": shapes.base_url, "home": shapes.base_url}
        return _json({**body, "gmt_offset": f"{hours:g}", "namespaces": ["wc/v3"], "routes": {}})

    for path, methods, handler in rest.routes():
        routes.add_url_rule(f"/wc/v3{path}", f"{handler.__name__}{path}", handler, methods=methods)

    @routes.route("/<path:unknown>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def no_route(unknown: str) -> Response:
        raise ApiError(404, "rest_no_route", "No route was found matching the URL and request method.")

    return routes


def _check_key(keys: Keys, base_url: str) -> None:
    basic = request.authorization
    pair = None
    if basic is not None and basic.type == "basic":
        pair = (basic.username or "", basic.password or "")
    address = f"{request.scheme}://{request.host}{request.path}"
    may = keys.permissions(Asked(request.method, address, request.is_secure, request.args.to_dict(), pair))
    if may is None:
        raise ApiError(401, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")
    reads = request.method in ("GET", "HEAD", "OPTIONS")
    if may != "read_write" and may != ("read" if reads else "write"):
        word = "read" if reads else "write"
        message = f"The API key provided does not have {word} permissions."
        raise ApiError(401, "woocommerce_rest_authentication_error", message)


Handler = Callable[..., Response]


class Rest:
    """The handlers; each is one transaction."""

    def __init__(self, shop: Shop, shapes: Shapes, hooks: Hooks) -> None:
        self.shop, self.shapes, self.hooks = shop, shapes, hooks
        self.store = shop.store

    def routes(self) -> Sequence[tuple[str, list[str], Handler]]:
        change = ["PUT", "PATCH", "POST"]
        return (
            ("/products", ["GET"], self.list_products),
            ("/products", ["POST"], self.create_product),
            ("/products/batch", change, self.batch_products),
            ("/products/<int:product>", ["GET"], self.get_product),
            ("/products/<int:product>", change, self.put_product),
            ("/products/<int:product>", ["DELETE"], self.delete_product),
            ("/products/<int:parent>/variations", ["GET"], self.list_variations),
            ("/products/<int:parent>/variations", ["POST"], self.create_variation),
            ("/products/<int:parent>/variations/batch", change, self.batch_variations),
            ("/products/<int:parent>/variations/<int:variation>", ["GET"], self.get_variation),
            ("/products/<int:parent>/variations/<int:variation>", change, self.put_variation),
            ("/orders", ["GET"], self.list_orders),
            ("/orders", ["POST"], self.create_order),
            ("/orders/batch", change, self.batch_orders),
            ("/orders/<int:order>", ["GET"], self.get_order),
            ("/orders/<int:order>", change, self.put_order),
            ("/orders/<int:order>", ["DELETE"], self.delete_order),
            ("/orders/<int:order>/refunds", ["GET"], self.list_refunds),
            ("/orders/<int:order>/refunds", ["POST"], self.create_refund),
            ("/orders/<int:order>/refunds/<int:refund>", ["GET"], self.get_refund),
            ("/orders/<int:order>/refunds/<int:refund>", ["DELETE"], self.delete_refund),
            ("/webhooks", ["GET"], self.list_webhooks),
            ("/webhooks", ["POST"], self.create_webhook),
            ("/webhooks/<int:webhook>", ["GET"], self.get_webhook),
            ("/webhooks/<int:webhook>", change, self.put_webhook),
            ("/webhooks/<int:webhook>", ["DELETE"], self.delete_webhook),
        )

    # products

    def list_products(self) -> Response:
        query = request.args
        where, values = ["status <> 'trash'"], list[object]()
        if query.get("sku"):
            _in(where, values, "sku", query["sku"].split(","))
        else:
            where.append("type <> 'variation'")  # only `sku` finds a variation here
        _common_filters(where, values, self.shapes)
        with self.store.transaction() as db:
            return self._page(db, "product", where, values, lambda row: self.shapes.product(db, row))

    def list_variations(self, parent: int) -> Response:
        with self.store.transaction() as db:
            self._product(db, parent)
            where, values = ["type = 'variation'", "status <> 'trash'", "parent_id = ?"], list[object]([parent])
            if request.args.get("sku"):
                _in(where, values, "sku", request.args["sku"].split(","))
            _common_filters(where, values, self.shapes)
            return self._page(db, "product", where, values, lambda row: self.shapes.variation(db, row))

    def get_product(self, product: int) -> Response:
        with self.store.transaction() as db:
            return _one(self.shapes.product(db, self._product(db, product)))

    def get_variation(self, parent: int, variation: int) -> Response:
        with self.store.transaction() as db:
            return _one(self.shapes.variation(db, self._variation(db, parent, variation)))

    def create_product(self) -> Response:
        body = _body()
        _check_types(body, self._INTEGERS)
        with self.store.transaction() as db:
            return _one(self._new_product(db, body), 201)

    def create_variation(self, parent: int) -> Response:
        body = _body()
        _check_types(body, self._INTEGERS)
        with self.store.transaction() as db:
            return _one(self._new_variation(db, parent, body), 201)

    def put_product(self, product: int) -> Response:
        body = _body()
        _check_types(body, self._INTEGERS)
        with self.store.transaction() as db:
            return _one(self._change_product(db, product, body, single=True))

    def put_variation(self, parent: int, variation: int) -> Response:
        body = _body()
        _check_types(body, self._INTEGERS)
        with self.store.transaction() as db:
            return _one(self._change_variation(db, parent, variation, body, single=True))

    def delete_product(self, product: int) -> Response:
        with self.store.transaction() as db:
            body = self.shapes.product(db, self._product(db, product))
            self.shop.trash_product(db, product)
            return _one(body)

    def batch_products(self) -> Response:
        return self._batch(
            create=self._new_product,
            update=lambda db, row: self._change_product(db, _row_id(row), row, single=False),
            delete=lambda db, one: self._drop_product(db, one),
        )

    def batch_variations(self, parent: int) -> Response:
        return self._batch(
            create=lambda db, row: self._new_variation(db, parent, row),
            update=lambda db, row: self._change_variation(db, parent, _row_id(row), row, single=False),
            delete=lambda db, one: self._drop_product(db, one),
        )

    _INTEGERS = ("stock_quantity", "inventory_delta")

    def _product(self, db: sqlite3.Connection, product: int, status: int = 404) -> sqlite3.Row:
        row = db.execute("SELECT * FROM product WHERE id = ?", (product,)).fetchone()
        if not isinstance(row, sqlite3.Row):
            raise ApiError(status, "woocommerce_rest_product_invalid_id", "Invalid ID.")
        return row

    def _variation(self, db: sqlite3.Connection, parent: int, variation: int, status: int = 404) -> sqlite3.Row:
        row = db.execute("SELECT * FROM product WHERE id = ? AND parent_id = ?", (variation, parent)).fetchone()
        if not isinstance(row, sqlite3.Row):
            raise ApiError(status, "woocommerce_rest_product_variation_invalid_id", "Invalid ID.")
        return row

    def _new_product(self, db: sqlite3.Connection, body: Json) -> Json:
        sku, kind = str(body.get("sku", "")), str(body.get("type", "simple"))
        if kind not in ("simple", "variable", "grouped", "external"):
            raise invalid_param("type", "type is not one of simple, grouped, external, and variable.")
        self._refuse_taken_sku(db, sku, 0)
        product = self._insert(db, kind, 0, sku, str(body.get("name", "Product")), "", body)
        return self.shapes.product(db, self._product(db, product))

    def _new_variation(self, db: sqlite3.Connection, parent: int, body: Json) -> Json:
        name, sku = self._product(db, parent)["name"], str(body.get("sku", ""))
        self._refuse_taken_sku(db, sku, 0)
        option = " ".join(str(a.get("option", "")) for a in body.get("attributes", [])) or "Any"
        variation = self._insert(db, "variation", parent, sku, f"{name} - {option}", option, body)
        return self.shapes.variation(db, self._variation(db, parent, variation))

    def _insert(
        self, db: sqlite3.Connection, kind: str, parent: int, sku: str, name: str, option: str, body: Json
    ) -> int:
        now, product = self.shop.now(), new_post(db, "product")
        managed = _managed(body.get("manage_stock", False))
        stock = stock_amount(body.get("stock_quantity", 0)) if managed == "yes" else None
        db.execute(
            "INSERT INTO product (id, type, parent_id, sku, name, option, price, manage_stock, stock, created,"
            " modified) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (product, kind, parent, sku, name, option, str(body.get("regular_price", "")), managed, stock, now, now),
        )
        self.shop.queue(db, "product.created", product)
        return product

    def _change_product(self, db: sqlite3.Connection, product: int, body: Json, *, single: bool) -> Json:
        row = self._product(db, product, 404 if single else 400)
        if row["type"] == "variation":
            raise ApiError(
                404,
                "woocommerce_rest_invalid_product_id",
                "To manipulate product variations you should use the "
                "/products/&lt;product_id&gt;/variations/&lt;id&gt; endpoint.",
            )
        self._apply(db, row, body)
        return self.shapes.product(db, self._product(db, product))

    def _change_variation(
        self, db: sqlite3.Connection, parent: int, variation: int, body: Json, *, single: bool
    ) -> Json:
        self._apply(db, self._variation(db, parent, variation, 404 if single else 400), body)
        return self.shapes.variation(db, self._variation(db, parent, variation))

    def _apply(self, db: sqlite3.Connection, row: sqlite3.Row, body: Json) -> None:
        product = int(row["id"])
        if "sku" in body:
            self._refuse_taken_sku(db, str(body["sku"]), product)
        columns = {
            "sku": "sku",
            "name": "name",
            "regular_price": "price",
            "status": "status",
            "backorders": "backorders",
        }
        for key, column in columns.items():
            if key in body:
                db.execute(f"UPDATE product SET {column} = ? WHERE id = ?", (str(body[key]), product))
        if "manage_stock" in body:
            managed = _managed(body["manage_stock"])
            db.execute("UPDATE product SET manage_stock = ? WHERE id = ?", (managed, product))
            db.execute("UPDATE product SET stock = NULL WHERE id = ? AND manage_stock <> 'yes'", (product,))
        if body.get("stock_quantity") is not None:
            self.shop.set_stock(db, product, stock_amount(body["stock_quantity"]))
        elif body.get("inventory_delta") is not None:
            self.shop.set_stock(db, product, int(row["stock"] or 0) + stock_amount(body["inventory_delta"]))
        else:
            self.shop.touched_product(db, product)

    def _drop_product(self, db: sqlite3.Connection, product: int) -> Json:
        body = self.shapes.product(db, self._product(db, product, 400))
        self.shop.trash_product(db, product)
        return body

    def _refuse_taken_sku(self, db: sqlite3.Connection, sku: str, own: int) -> None:
        taken = db.execute(
            "SELECT id FROM product WHERE sku = ? AND sku <> '' AND id <> ? AND status <> 'trash'", (sku, own)
        ).fetchone()
        if taken is not None:
            message = f"The SKU ({sku}) you are trying to insert is already present in the lookup table"
            raise ApiError(400, "product_invalid_sku", message, resource_id=taken["id"], unique_sku=f"{sku}-1")

    # orders

    def list_orders(self) -> Response:
        wanted = [s.removeprefix("wc-") for s in request.args.get("status", "any").split(",")]
        unknown = [s for s in wanted if s not in STATUSES | {"any", "trash", "auto-draft"}]
        if unknown:
            raise invalid_param("status", f"status[0] is not one of any, trash, {', '.join(sorted(STATUSES))}.")
        where, values = list[str](), list[object]()
        if "any" in wanted:
            where.append("(status <> 'trash' OR ?)")
            values.append("trash" in wanted)
        else:
            _in(where, values, "status", wanted)
        _common_filters(where, values, self.shapes)
        with self.store.transaction() as db:
            return self._page(db, "shop_order", where, values, lambda row: self.shapes.order(db, row))

    def get_order(self, order: int) -> Response:
        with self.store.transaction() as db:
            return _one(self.shapes.order(db, self._order(db, order)))

    def create_order(self) -> Response:
        with self.store.transaction() as db:
            return _one(self._new_order(db, _body()), 201)

    def put_order(self, order: int) -> Response:
        with self.store.transaction() as db:
            return _one(self._change_order(db, order, _body()))

    def delete_order(self, order: int) -> Response:
        forever = request.args.get("force", "false").lower() in ("true", "1")
        with self.store.transaction() as db:
            return _one(self._drop_order(db, order, forever=forever))

    def batch_orders(self) -> Response:
        return self._batch(
            create=self._new_order,
            update=lambda db, row: self._change_order(db, _row_id(row), row),
            delete=lambda db, one: self._drop_order(db, one, forever=False),
        )

    def _drop_order(self, db: sqlite3.Connection, order: int, *, forever: bool) -> Json:
        row = self._order(db, order)
        if row["status"] == "trash" and not forever:
            raise ApiError(410, "woocommerce_rest_already_trashed", "The shop_order has already been deleted.")
        body = self.shapes.order(db, row)
        self.shop.trash(order, forever=forever)
        return body if forever else body | {"status": "trash"}

    def _order(self, db: sqlite3.Connection, order: int) -> sqlite3.Row:
        try:
            return self.shop.order_row(db, order)
        except NotFound as error:
            raise ApiError(404, "woocommerce_rest_shop_order_invalid_id", "Invalid ID.") from error

    def _new_order(self, db: sqlite3.Connection, body: Json) -> Json:
        status = self._status(body) or "pending"
        wanted = [self._line_wanted(db, line) for line in body.get("line_items", [])]
        extra = json.dumps({k: body[k] for k in KEPT_OF_ORDER if k in body})
        via = str(body.get("created_via") or "rest-api")
        order = self.shop.place(db, wanted, status=status, created_via=via, extra=extra)
        if _true(body.get("set_paid")):
            self.shop.pay(order)
        return self.shapes.order(db, self._order(db, order))

    def _change_order(self, db: sqlite3.Connection, order: int, body: Json) -> Json:
        row = self._order(db, order)
        status = self._status(body)
        extra = json.loads(row["extra"]) | {k: body[k] for k in KEPT_OF_ORDER if k in body}
        db.execute("UPDATE shop_order SET extra = ? WHERE id = ?", (json.dumps(extra), order))
        for line in body.get("line_items", []):
            self._change_line(db, order, line)
        if _true(body.get("set_paid")):
            self.shop.pay(order)
        if status is not None and status != row["status"]:
            self.shop.set_status(db, order, status)
        else:
            self.shop.touched_order(db, order)
        return self.shapes.order(db, self._order(db, order))

    def _change_line(self, db: sqlite3.Connection, order: int, line: Json) -> None:
        if "id" not in line:
            self.shop.add_line(db, order, self._line_wanted(db, line))
            return
        try:
            if line.get("quantity") is not None or line.get("product_id", 0) is None:
                self.shop.change_line(db, order, _row_id(line), stock_amount(line.get("quantity") or 0))
        except NotFound as error:
            raise ApiError(
                400, "woocommerce_rest_invalid_item_id", "Order item ID provided is not associated with order."
            ) from error

    def _status(self, body: Json) -> str | None:
        if "status" not in body:
            return None
        status = str(body["status"]).removeprefix("wc-")
        if status not in STATUSES:
            raise invalid_param("status", f"status is not one of {', '.join(sorted(STATUSES))}.")
        return status

    def _line_wanted(self, db: sqlite3.Connection, line: Json) -> LineWanted:
        product = line.get("variation_id") or line.get("product_id")
        if line.get("sku"):
            found = db.execute(
                "SELECT id FROM product WHERE sku = ? AND status <> 'trash'", (str(line["sku"]),)
            ).fetchone()
            product = found["id"] if found is not None else None
        if not product:
            raise ApiError(400, "woocommerce_rest_required_product_reference", "Product ID or SKU is required.")
        row = db.execute("SELECT id FROM product WHERE id = ?", (stock_amount(product),)).fetchone()
        if row is None:
            raise ApiError(400, "woocommerce_rest_product_invalid_id", "Invalid ID.")
        quantity = stock_amount(line.get("quantity", 1))
        price = f"{Decimal(str(line['total'])) / max(quantity, 1):.2f}" if line.get("total") else None
        return LineWanted(int(row["id"]), quantity, price)

    # refunds

    def list_refunds(self, order: int) -> Response:
        with self.store.transaction() as db:
            self._order_of_refunds(db, order)
            rows = [self.shapes.refund(db, row) for row in refunds(db, order)]
            return _json(rows, headers={"X-WP-Total": str(len(rows)), "X-WP-TotalPages": "1"})

    def get_refund(self, order: int, refund: int) -> Response:
        with self.store.transaction() as db:
            self._order_of_refunds(db, order)
            return _one(self.shapes.refund(db, self._refund(db, order, refund)))

    def create_refund(self, order: int) -> Response:
        body = _body()
        with self.store.transaction() as db:
            self._order_of_refunds(db, order)
            if _true(body.get("api_refund", True)):
                raise ApiError(
                    500,
                    "woocommerce_rest_cannot_create_order_refund",
                    "The payment gateway for this order does not exist.",
                )
            lines = {
                _row_id(i): (stock_amount(i.get("quantity", 0)), _money(i.get("refund_total", 0)))
                for i in body.get("line_items", [])
            }
            amount = Decimal(_money(body["amount"])) if "amount" in body else None
            restock, reason = _true(body.get("api_restock", True)), str(body.get("reason", ""))
            try:
                refund = self.shop.make_refund(db, order, lines, amount, restock=restock, reason=reason)
            except ShopRefuses as error:
                raise ApiError(500, "woocommerce_rest_cannot_create_order_refund", str(error)) from error
            return _one(self.shapes.refund(db, self._refund(db, order, refund)), 201)

    def delete_refund(self, order: int, refund: int) -> Response:
        if request.args.get("force", "false").lower() not in ("true", "1"):
            raise ApiError(501, "woocommerce_rest_trash_not_supported", "The order refund does not support trashing.")
        with self.store.transaction() as db:
            body = self.shapes.refund(db, self._refund(db, order, refund))
            self.shop.delete_refund(db, order, refund)
            return _one(body)

    def _order_of_refunds(self, db: sqlite3.Connection, order: int) -> None:
        if db.execute("SELECT 1 FROM shop_order WHERE id = ?", (order,)).fetchone() is None:
            raise ApiError(404, "woocommerce_rest_invalid_order_id", "Invalid order ID.")

    def _refund(self, db: sqlite3.Connection, order: int, refund: int) -> sqlite3.Row:
        row = db.execute("SELECT * FROM refund WHERE id = ? AND order_id = ?", (refund, order)).fetchone()
        if not isinstance(row, sqlite3.Row):
            raise ApiError(404, "woocommerce_rest_shop_order_refund_invalid_id", "Invalid ID.")
        return row

    # webhooks

    def list_webhooks(self) -> Response:
        where, values = list[str](), list[object]()
        status = request.args.get("status", "all")
        if status != "all":
            _in(where, values, "status", [status])
        with self.store.transaction() as db:
            return self._page(db, "webhook", where, values, self.shapes.webhook)

    def get_webhook(self, webhook: int) -> Response:
        with self.store.transaction() as db:
            return _one(self.shapes.webhook(self._webhook(db, webhook)))

    def create_webhook(self) -> Response:
        body = _body()
        topic, url = str(body.get("topic", "")), str(body.get("delivery_url", ""))
        if topic not in TOPICS:
            raise ApiError(400, "woocommerce_rest_webhook_invalid_topic", "Webhook topic must be valid.")
        if not re.match(r"https?://", url):
            message = "Webhook delivery URL must be a valid URL starting with http:// or https://."
            raise ApiError(400, "woocommerce_rest_webhook_invalid_delivery_url", message)
        with self.store.transaction() as db:
            now = self.shop.now()
            made = db.execute(
                "INSERT INTO webhook (name, status, topic, delivery_url, secret, created, modified)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    body.get("name") or f"Webhook {topic}",
                    _hook_status(body),
                    topic,
                    url,
                    str(body.get("secret", "")),
                    now,
                    now,
                ),
            )
            answer = _one(self.shapes.webhook(self._webhook(db, int(made.lastrowid or 0))), 201)
        self.hooks.ping(int(made.lastrowid or 0))
        self.shop.wake()
        return answer

    def put_webhook(self, webhook: int) -> Response:
        body = _body()
        with self.store.transaction() as db:
            self._webhook(db, webhook)
            if "status" in body:
                db.execute("UPDATE webhook SET status = ? WHERE id = ?", (_hook_status(body), webhook))
            for key in ("name", "secret", "delivery_url", "topic"):
                if key in body:
                    db.execute(f"UPDATE webhook SET {key} = ? WHERE id = ?", (str(body[key]), webhook))
            db.execute("UPDATE webhook SET modified = ? WHERE id = ?", (self.shop.now(), webhook))
            return _one(self.shapes.webhook(self._webhook(db, webhook)))

    def delete_webhook(self, webhook: int) -> Response:
        if request.args.get("force", "false").lower() not in ("true", "1"):
            raise ApiError(501, "woocommerce_rest_trash_not_supported", "Webhooks do not support trashing.")
        with self.store.transaction() as db:
            body = self.shapes.webhook(self._webhook(db, webhook))
            db.execute("DELETE FROM webhook WHERE id = ?", (webhook,))
            return _one(body)

    def _webhook(self, db: sqlite3.Connection, webhook: int) -> sqlite3.Row:
        row = db.execute("SELECT * FROM webhook WHERE id = ?", (webhook,)).fetchone()
        if not isinstance(row, sqlite3.Row):
            raise ApiError(404, "woocommerce_rest_shop_webhook_invalid_id", "Invalid ID.")
        return row

    # pages and batches

    def _page(
        self,
        db: sqlite3.Connection,
        table: str,
        where: Sequence[str],
        values: Sequence[object],
        shape: Callable[[sqlite3.Row], Json],
    ) -> Response:
        size, page = _whole("per_page", 10, 1, MOST_ROWS), _whole("page", 1, 1, 10**9)
        start = _whole("offset", (page - 1) * size, 0, 10**9)
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        total = int(db.execute(f"SELECT count(*) AS n FROM {table}{condition}", tuple(values)).fetchone()["n"])
        order = _order_by(table)
        rows = db.execute(
            f"SELECT * FROM {table}{condition} ORDER BY {order} LIMIT ? OFFSET ?", (*values, size, start)
        ).fetchall()
        pages = ceil(total / size)
        headers = {"X-WP-Total": str(total), "X-WP-TotalPages": str(pages)}
        links = _page_links(self.shapes.base_url, page, pages)
        fields = request.args.get("_fields")
        return _json(
            [only_fields(shape(r), fields) for r in rows], headers=headers | ({"Link": links} if links else {})
        )

    def _batch(
        self,
        *,
        create: Callable[[sqlite3.Connection, Json], Json],
        update: Callable[[sqlite3.Connection, Json], Json],
        delete: Callable[[sqlite3.Connection, int], Json],
    ) -> Response:
        body = _body()
        rows = {kind: body.get(kind) or [] for kind in ("create", "update", "delete")}
        if sum(map(len, rows.values())) > MOST_ROWS:
            message = f"Unable to accept more than {MOST_ROWS} items for this request."
            raise ApiError(413, "woocommerce_rest_request_entity_too_large", message)
        answer: dict[str, list[Json]] = {}
        for kind, items in rows.items():
            for item in items:
                done = self._batch_row(kind, item, create, update, delete)
                answer.setdefault(kind, []).append(done)
        return _json(answer)

    def _batch_row(
        self,
        kind: str,
        item: Any,
        create: Callable[[sqlite3.Connection, Json], Json],
        update: Callable[[sqlite3.Connection, Json], Json],
        delete: Callable[[sqlite3.Connection, int], Json],
    ) -> Json:
        number = stock_amount(item.get("id", 0) if isinstance(item, dict) else item)
        try:
            with self.store.transaction() as db:
                if kind == "delete":
                    return delete(db, number)
                return create(db, item) if kind == "create" else update(db, item)
        except ApiError as error:
            return {"id": 0 if kind == "create" else number, "error": error.body}


# reading requests -----------------------------------------------------------------------------------------------


def invalid_param(name: str, why: str) -> ApiError:
    details = {name: {"code": "rest_invalid_param", "message": why, "data": None}}
    return ApiError(400, "rest_invalid_param", f"Invalid parameter(s): {name}", params={name: why}, details=details)


def _body() -> Json:
    if not request.get_data():
        return {}
    body = request.get_json(silent=True, force=True)
    if not isinstance(body, dict):
        raise ApiError(400, "rest_invalid_json", "Invalid JSON body passed.", json_error_code=4)
    return body


def _whole(name: str, default: int, least: int, most: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not text.isdigit() or not least <= int(text) <= most:
        raise invalid_param(name, f"{name} must be between {least} (inclusive) and {most} (inclusive)")
    return int(text)


def _check_types(body: Json, names: Sequence[str]) -> None:
    """A single request is checked against the schema; rows of a batch are not."""
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        whole = isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer()
        if not whole and not (isinstance(value, str) and re.fullmatch(r"-?\d+", value)):
            raise invalid_param(name, f"{name} is not of type integer.")


def stock_amount(value: object) -> int:
    """PHP's intval: the leading whole number, or 0."""
    if isinstance(value, (int, float)):
        return int(value)
    found = re.match(r"\s*[-+]?\d+", str(value))
    return int(found.group()) if found else 0


def _row_id(row: Any) -> int:
    return stock_amount(row.get("id", 0)) if isinstance(row, dict) else 0


def _true(value: object) -> bool:
    return value.lower() in ("true", "1", "yes") if isinstance(value, str) else bool(value)


def _managed(value: object) -> str:
    return "parent" if value == "parent" else ("yes" if _true(value) else "no")


def _money(value: object) -> str:
    try:
        return f"{Decimal(str(value)):.2f}"
    except InvalidOperation as error:
        raise invalid_param("amount", "amount is not of type number.") from error


def _hook_status(body: Json) -> str:
    status = str(body.get("status", "active"))
    if status not in ("active", "paused", "disabled"):
        raise invalid_param("status", "status is not one of active, paused, and disabled.")
    return status


def _common_filters(where: list[str], values: list[object], shapes: Shapes) -> None:
    """`include`, `exclude`, and bounds on the dates; a bound itself is left out."""
    for name, column, sign in (
        ("after", "created", ">"),
        ("before", "created", "<"),
        ("modified_after", "modified", ">"),
        ("modified_before", "modified", "<"),
    ):
        if request.args.get(name):
            where.append(f"{column} {sign} ?")
            values.append(_gmt(name, request.args[name], shapes))
    for name, word in (("include", "IN"), ("exclude", "NOT IN")):
        numbers = [
            int(n) for n in re.findall(r"\d+", ",".join(request.args.getlist(name) + request.args.getlist(f"{name}[]")))
        ]
        if numbers:
            where.append(f"id {word} ({', '.join('?' * len(numbers))})")
            values.extend(numbers)


def _gmt(name: str, text: str, shapes: Shapes) -> str:
    """A bound in the site's zone, unless `dates_are_gmt`."""
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=None)
    except ValueError as error:
        raise invalid_param(name, f"{name} is not of type date-time.") from error
    return (when if _true(request.args.get("dates_are_gmt")) else when - shapes.offset).isoformat(timespec="seconds")


def _in(where: list[str], values: list[object], column: str, options: Sequence[str]) -> None:
    where.append(f"{column} IN ({', '.join('?' * len(options))})")
    values.extend(options)


def _order_by(table: str) -> str:
    columns = {"date": "created", "id": "id", "modified": "modified", "include": "id", "title": "id", "slug": "id"}
    wanted, direction = request.args.get("orderby", "date"), request.args.get("order", "desc")
    if wanted not in columns:
        raise invalid_param("orderby", f"orderby is not one of {', '.join(columns)}.")
    if direction not in ("asc", "desc"):
        raise invalid_param("order", "order is not one of asc, and desc.")
    return f"{columns[wanted]} {direction}, id {direction}"


def _page_links(base_url: str, page: int, pages: int) -> str:
    args = {k: v for k, v in request.args.items() if not k.startswith("oauth_") and k != "page"}
    links = []
    for rel, number, there in (("prev", page - 1, page > 1), ("next", page + 1, page < pages)):
        if there:
            links.append(f'<{base_url}{request.path}?{urlencode(args | {"page": str(number)})}>; rel="{rel}"')
    return ", ".join(links)


def _one(body: Json, status: int = 200) -> Response:
    return _json(only_fields(body, request.args.get("_fields")), status)


def _json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(body, ensure_ascii=True, separators=(",", ":"))
    answer = Response(text, status=status, content_type="application/json; charset=UTF-8")
    answer.headers.extend(headers or {})
    return answer
