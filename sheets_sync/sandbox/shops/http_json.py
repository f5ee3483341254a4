"""A local shop with an API of its own: protocol 1 of docs/channels/http_json.md, as its programmers would write it.

It is an example of the other side: one table of products, one of orders, a figure that is lowered with each order in
the same transaction, a write that is made only from the figure expected, deliveries signed and tried again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, request

from sheets_sync.sandbox.shops._common import (
    Action,
    Clock,
    Courier,
    Faults,
    HttpServer,
    OrderRow,
    Parcel,
    Running,
    Seed,
    ShopRefuses,
    Shown,
    Store,
    random_secret,
    storefront_pages,
    utc_now,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS product (
    id INTEGER PRIMARY KEY, sku TEXT, title TEXT NOT NULL, figure INTEGER, price TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS barcode (product INTEGER PRIMARY KEY REFERENCES product, code TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS purchase (id INTEGER PRIMARY KEY, updated_at TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS purchase_updated ON purchase (updated_at, id);
CREATE TABLE IF NOT EXISTS used (number TEXT PRIMARY KEY, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY, number TEXT NOT NULL, body BLOB NOT NULL, due TEXT NOT NULL, tries INTEGER NOT NULL
);
"""

_PRODUCTS = """
SELECT product.*, coalesce(barcode.code, '') AS barcode FROM product LEFT JOIN barcode ON barcode.product = product.id
WHERE product.id > ? ORDER BY product.id LIMIT ?
"""

PAGE = 100
MOST_ROWS = 200
MOST_BODY = 4 * 1024 * 1024
WINDOW = timedelta(minutes=5)
RETRIES = tuple(timedelta(seconds=s) for s in (5, 30, 300, 1800, 7200))
"""Pauses before a delivery is tried again; after the last one it is given up."""

Doc = dict[str, Any]


class Shop:
    """Products and orders. Order ids are text, as the protocol has them."""

    vendor = "JSON"

    def __init__(self, store: Store, clock: Clock, display_name: str) -> None:
        self.store, self.clock, self.display_name = store, clock, display_name
        self.retries = RETRIES
        self.wake: Callable[[], None] = lambda: None
        self.courier: Any = None

    # products

    def seed(self, products: Iterable[Seed]) -> None:
        """Fill an empty shop."""
        with self.store.transaction() as db:
            if db.execute("SELECT 1 FROM product LIMIT 1").fetchone() is None:
                for one in products:
                    title = f"{one.variant_of} - {one.title}" if one.variant_of else one.title
                    self.add_product(one.sku, title, one.stock, one.price)

    def add_product(self, sku: str | None, title: str, stock: int | None, price: str = "10.00") -> str:
        """A product more; its id. `stock` None: the shop keeps no figure for it."""
        with self.store.transaction() as db:
            row = db.execute(
                "INSERT INTO product (sku, title, figure, price) VALUES (?, ?, ?, ?)", (sku, title, stock, price)
            )
            return str(row.lastrowid)

    def products(self, after: int = 0, most: int = PAGE) -> list[Doc]:
        """A page of the catalogue, by id."""
        with self.store.transaction() as db:
            rows = db.execute(_PRODUCTS, (after, most)).fetchall()
        return [dict(row) for row in rows]

    def set_barcode(self, sku: str, barcode: str) -> None:
        """The seller types it for that product."""
        with self.store.transaction() as db:
            product = db.execute("SELECT id FROM product WHERE sku = ?", (sku,)).fetchone()
            db.execute("INSERT OR REPLACE INTO barcode VALUES (?, ?)", (product["id"], barcode))

    def figure(self, sku: str) -> int | None:
        """What the shop shows."""
        with self.store.transaction() as db:
            row = db.execute("SELECT figure FROM product WHERE sku = ?", (sku,)).fetchone()
        if row is None:
            raise KeyError(sku)
        return None if row["figure"] is None else int(row["figure"])

    def figures(self, ids: Sequence[str]) -> list[Doc]:
        """The figures of these products; what is not there is left out."""
        marks = ",".join("?" * len(ids))
        with self.store.transaction() as db:
            rows = db.execute(f"SELECT id, figure FROM product WHERE id IN ({marks})", tuple(ids)).fetchall()
        return [{"id": str(row["id"]), "figure": row["figure"]} for row in rows]

    def set_figure(self, sku: str, figure: int) -> None:
        """As the seller types it in the shop's own pages."""
        with self.store.transaction() as db:
            db.execute("UPDATE product SET figure = ? WHERE sku = ?", (figure, sku))
            (id,) = db.execute("SELECT id FROM product WHERE sku = ?", (sku,)).fetchone()
            self._tell({"type": "figure.changed", "listing": str(id), "figure": figure})

    def write(self, row: Mapping[str, Any]) -> Doc:
        """One row of a write: made only from the figure expected, in one statement."""
        id, figure, expected = row["id"], row["figure"], row["expected"]
        with self.store.transaction() as db:
            found = db.execute("SELECT figure FROM product WHERE id = ?", (id,)).fetchone()
            if found is None:
                return {"id": id, "outcome": "refused", "why": "there is no such product"}
            if found["figure"] is None:
                return {"id": id, "outcome": "refused", "why": "no figure is kept for this product"}
            if expected is not None and found["figure"] != expected:
                return {"id": id, "outcome": "stale", "figure": found["figure"]}
            db.execute("UPDATE product SET figure = ? WHERE id = ?", (figure, id))
            if found["figure"] != figure:
                self._tell({"type": "figure.changed", "listing": str(id), "figure": figure})
            return {"id": id, "outcome": "applied", "figure": figure}

    # orders

    def buy(self, sku: str, units: int = 1, *, paid: bool = True, source: str = "web") -> str:
        """A buyer orders; the figure is lowered in the same transaction. The order's id."""
        with self.store.transaction() as db:
            product = db.execute("SELECT * FROM product WHERE sku = ?", (sku,)).fetchone()
            if product is None:
                raise ShopRefuses("There is no such product.")
            if product["figure"] is not None and product["figure"] < units:
                raise ShopRefuses(f"Only {max(0, product['figure'])} left of {product['title']}.")
            now = self._now()
            (id,) = db.execute("SELECT coalesce(max(id), 1000) + 1 FROM purchase").fetchone()
            line = {
                "id": f"{id}-1", "listing": str(product["id"]), "sku": sku, "title": product["title"],
                "ordered": units, "shipped": [], "cancelled": 0, "cancelled_by": None, "cancelled_at": None,
                "returned": 0, "restocked": 0, "taken": 0, "taken_at": None,
            }  # fmt: skip
            order = {
                "id": str(id), "number": f"J-{id}", "placed_at": now, "state": "open" if paid else "pending",
                "paid": paid, "source": source, "lines": [line],
            }  # fmt: skip
            self._take(line, units)
            self._save(order)
            return str(id)

    def order(self, id: str) -> Doc:
        """One order."""
        with self.store.transaction() as db:
            row = db.execute("SELECT body FROM purchase WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise ShopRefuses(f"There is no order {id}.")
        found: Doc = json.loads(row["body"])
        return found

    def orders(self, since: str, cursor: str | None, most: int = PAGE) -> tuple[list[Doc], str | None]:
        """Orders changed since, the longest unchanged first, so that one that changes meanwhile is not missed."""
        at, _, id = (cursor or f"{since}|0").partition("|")
        with self.store.transaction() as db:
            rows = db.execute(
                "SELECT id, updated_at, body FROM purchase WHERE updated_at >= ? AND (updated_at, id) > (?, ?) "
                "ORDER BY updated_at, id LIMIT ?",
                (since, at, int(id or 0), most),
            ).fetchall()
        last = f"{rows[-1]['updated_at']}|{rows[-1]['id']}" if len(rows) == most else None
        return [json.loads(row["body"]) for row in rows], last

    def pay(self, id: str) -> None:
        """The buyer pays."""
        self._change(id, lambda order: order.update(paid=True, state="open"))

    def ship(self, id: str, units: int | None = None) -> None:
        """The seller ships; all that is left, or so many."""

        def act(order: Doc) -> None:
            for line in order["lines"]:
                left = _open(line)
                sent = left if units is None else min(units, left)
                if sent:
                    line["shipped"].append({"at": self._now(), "units": sent})
            order["state"] = "done" if not any(map(_open, order["lines"])) else "open"

        self._change(id, act)

    def cancel(self, id: str, *, by: str = "buyer", restock: bool = True) -> None:
        """What is not shipped is called off, by the buyer or by the seller."""

        def act(order: Doc) -> None:
            for line in order["lines"]:
                left = _open(line)
                line.update(cancelled=line["cancelled"] + left, cancelled_by=by, cancelled_at=self._now())
                if restock:
                    self._take(line, -left)
            order["state"] = "cancelled"

        self._change(id, act)

    def take_back(self, id: str, units: int, *, restock: bool) -> None:
        """Units of the first line came back; the shop puts them on its figure, or does not."""

        def act(order: Doc) -> None:
            line = order["lines"][0]
            if units > sum(s["units"] for s in line["shipped"]) - line["returned"]:
                raise ShopRefuses("No more can come back than was shipped.")
            line["returned"] += units
            if restock:
                line["restocked"] += units
                self._take(line, -units)

        self._change(id, act)

    def edit(self, id: str, units: int) -> None:
        """The seller changes how many are ordered of the first line."""

        def act(order: Doc) -> None:
            line = order["lines"][0]
            self._take(line, units - line["ordered"])
            line["ordered"] = units

        self._change(id, act)

    def delete(self, id: str) -> None:
        """The order is gone; the figure stays as it is."""
        with self.store.transaction() as db:
            db.execute("DELETE FROM purchase WHERE id = ?", (id,))
            self._tell({"type": "order.deleted", "id": id})

    def _change(self, id: str, act: Callable[[Doc], object]) -> None:
        with self.store.transaction():
            order = self.order(id)
            act(order)
            self._save(order)

    def _take(self, line: Doc, units: int) -> None:
        """Take units off the figure for a line; less than nothing gives back."""
        with self.store.transaction() as db:
            db.execute(
                "UPDATE product SET figure = figure - ? WHERE id = ? AND figure IS NOT NULL", (units, line["listing"])
            )
        line.update(taken=line["taken"] + units, taken_at=self._now())

    def _save(self, order: Doc) -> None:
        order["updated_at"] = self._now()
        with self.store.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO purchase VALUES (?, ?, ?)",
                (int(order["id"]), order["updated_at"], json.dumps(order)),
            )
            self._tell({"type": "order.changed", "order": order})

    def _now(self) -> str:
        return self.clock().astimezone(UTC).isoformat(timespec="microseconds")

    # deliveries

    def hook(self) -> Doc:
        """Where deliveries go, and since when they have failed."""
        return {
            "url": self.store.setting("hook", lambda: "") or None,
            "failing_since": self.store.setting("failing", lambda: "") or None,
        }

    def set_hook(self, url: str) -> None:
        """Deliveries go there from now on."""
        self.store.set_setting("hook", url)
        self.store.set_setting("failing", "")

    def _tell(self, body: Doc) -> None:
        if not self.hook()["url"]:
            return
        with self.store.transaction() as db:
            db.execute(
                "INSERT INTO outbox (number, body, due, tries) VALUES (?, ?, ?, 0)",
                (random_secret("msg_", 24), json.dumps(body).encode(), self._now()),
            )
        self.wake()

    def next_parcel(self) -> Parcel | float | None:
        """The delivery that is due first."""
        now = self.clock()
        with self.store.transaction() as db:
            row = db.execute("SELECT * FROM outbox ORDER BY due, id LIMIT 1").fetchone()
        if row is None or not self.hook()["url"]:
            return None
        due = datetime.fromisoformat(row["due"])
        if due > now:
            return max(0.01, (due - now).total_seconds())
        at = str(int(now.timestamp()))
        headers = {
            "Content-Type": "application/json",
            "webhook-id": row["number"],
            "webhook-timestamp": at,
            "webhook-signature": sign(self.secret, row["number"], at, row["body"]),
        }
        return Parcel(row["id"], self.hook()["url"], headers, row["body"], 5.0)

    def delivered(self, parcel: Parcel, status: int | None) -> None:
        """Any 2xx will do; else it is tried again, and given up after the last try."""
        good = status is not None and 200 <= status < 300
        with self.store.transaction() as db:
            (tries,) = db.execute("SELECT tries FROM outbox WHERE id = ?", (parcel.id,)).fetchone()
            if good or tries >= len(self.retries):
                db.execute("DELETE FROM outbox WHERE id = ?", (parcel.id,))
            else:
                due = (self.clock() + self.retries[tries]).astimezone(UTC).isoformat(timespec="microseconds")
                db.execute("UPDATE outbox SET due = ?, tries = tries + 1 WHERE id = ?", (due, parcel.id))
            failing = "" if good else self.hook()["failing_since"] or self._now()
            self.store.set_setting("failing", failing)

    @property
    def secret(self) -> str:
        """What is shared with sheets-sync."""
        return self.store.setting("secret", lambda: random_secret("sync_", 40))

    # who calls

    def admits(self, number: str, at: str, given: str, method: str, address: str, body: bytes) -> bool:
        """Whether a call is signed well, of now, and not made before."""
        if not hmac.compare_digest(given.encode(), sign(self.secret, number, at, method, address, body).encode()):
            return False
        now = self.clock()
        if not at.isdigit() or abs(now.timestamp() - int(at)) > WINDOW.total_seconds():
            return False
        with self.store.transaction() as db:
            db.execute("DELETE FROM used WHERE at < ?", ((now - 2 * WINDOW).isoformat(),))
            added = db.execute("INSERT OR IGNORE INTO used VALUES (?, ?)", (number, now.isoformat()))
            return added.rowcount == 1

    # the storefront

    def shown(self) -> list[Shown]:
        """What a buyer sees."""
        return [
            Shown(str(p["id"]), p["title"], p["sku"] or "", p["figure"], p["figure"] is None or p["figure"] > 0)
            for p in self.products(most=1000)
        ]

    def order_rows(self) -> list[OrderRow]:
        """The newest orders."""
        with self.store.transaction() as db:
            rows = db.execute("SELECT body FROM purchase ORDER BY id DESC LIMIT 200").fetchall()
        return [_order_row(json.loads(row["body"])) for row in rows]

    def buy_one(self, product_id: str, units: int) -> str:
        """As a buyer does, paid at once; the order's number."""
        with self.store.transaction() as db:
            row = db.execute("SELECT sku FROM product WHERE id = ?", (product_id,)).fetchone()
        if row is None or row["sku"] is None:
            raise ShopRefuses("There is no such product.")
        return str(self.order(self.buy(row["sku"], units))["number"])

    def act(self, order_id: str, verb: str) -> None:
        """A button beside an order."""
        actions: dict[str, Callable[[str], None]] = {
            "pay": self.pay,
            "ship": self.ship,
            "cancel": self.cancel,
            "cancel_late": lambda id: self.cancel(id, by="seller", restock=False),
            "return": lambda id: self.take_back(id, 1, restock=False),
        }
        if verb not in actions:
            raise ShopRefuses("That cannot be done here.")
        actions[verb](order_id)


def _open(line: Doc) -> int:
    return int(line["ordered"] - line["cancelled"] - sum(s["units"] for s in line["shipped"]))


def _order_row(order: Doc) -> OrderRow:
    actions = []
    if not order["paid"] and order["state"] == "pending":
        actions.append(Action("pay", "Pay", "buyer"))
    if any(map(_open, order["lines"])):
        actions += [Action("cancel", "Cancel", "buyer"), Action("ship", "Ship")]
        actions.append(Action("cancel_late", "Cancel, not in stock"))
    if any(sum(s["units"] for s in line["shipped"]) > line["returned"] for line in order["lines"]):
        actions.append(Action("return", "Send one back", "buyer"))
    lines = [f"{line['ordered']} × {line['title']}" for line in order["lines"]]
    return OrderRow(order["id"], order["number"], order["placed_at"][:19], order["state"], lines, actions)


def sign(secret: str, *parts: str | bytes) -> str:
    """The protocol's signature, in the shop's own words."""
    text = b".".join(part.encode() if isinstance(part, str) else part for part in parts)
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = secret.encode()
    return "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


# the wire -------------------------------------------------------------------------------------------------------------


def api(shop: Shop) -> Blueprint:
    """The protocol's calls, under `/sync`."""
    pages = Blueprint("sync", __name__, url_prefix="/sync")

    @pages.before_request
    def signed() -> Response | None:
        names = ("Sync-Id", "Sync-Timestamp", "Sync-Signature")
        number, at, given = (request.headers.get(name, "") for name in names)
        # as it came in: what a server has decoded cannot be put together again
        address = str(request.environ.get("REQUEST_URI") or request.full_path.rstrip("?"))
        if shop.admits(number, at, given, request.method, address, request.get_data()):
            return None
        return _answer(401, code="unsigned", message="The call is not signed, too old, or was made before.")

    @pages.get("/shop")
    def about() -> Response:
        return _answer(200, protocol=1, name=shop.display_name, time=shop.clock().astimezone(UTC).isoformat())

    @pages.get("/listings")
    def listings() -> Response:
        found = shop.products(int(request.args.get("cursor") or 0))
        told = ("sku", "title", "barcode", "figure")
        rows = [{"id": str(p["id"]), **{name: p[name] for name in told}} for p in found]
        return _answer(200, listings=rows, next=str(found[-1]["id"]) if len(found) == PAGE else None)

    @pages.post("/figures/read")
    def read() -> Response:
        ids = (request.get_json(silent=True) or {}).get("ids")
        if not isinstance(ids, list) or len(ids) > MOST_ROWS:
            return _answer(400, code="rows", message=f"'ids' must be a list of at most {MOST_ROWS}.")
        return _answer(200, figures=shop.figures([str(id) for id in ids]))

    @pages.post("/figures")
    def write() -> Response:
        rows = (request.get_json(silent=True) or {}).get("figures")
        if not isinstance(rows, list) or len(rows) > MOST_ROWS:
            return _answer(400, code="rows", message=f"'figures' must be a list of at most {MOST_ROWS}.")
        return _answer(200, results=[_written(shop, row) for row in rows])

    _order_calls(pages, shop)
    return pages


def _order_calls(pages: Blueprint, shop: Shop) -> None:
    @pages.get("/orders")
    def orders() -> Response:
        try:
            since = datetime.fromisoformat(request.args.get("since", "")).astimezone(UTC)
        except ValueError:
            return _answer(400, code="since", message="'since' must be a time, like 2026-03-02T09:00:00Z.")
        found, after = shop.orders(since.isoformat(timespec="microseconds"), request.args.get("cursor"))
        return _answer(200, orders=found, next=after)

    @pages.get("/orders/<id>")
    def order(id: str) -> Response:
        try:
            return _answer(200, **shop.order(id))
        except ShopRefuses as refusal:
            return _answer(404, code="no_order", message=str(refusal))

    @pages.get("/webhook")
    def hook() -> Response:
        return _answer(200, **shop.hook())

    @pages.put("/webhook")
    def set_hook() -> Response:
        url = (request.get_json(silent=True) or {}).get("url")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            return _answer(400, code="url", message="'url' must be a web address.")
        shop.set_hook(url)
        return _answer(200, **shop.hook())


def _written(shop: Shop, row: object) -> Doc:
    """A row that is not of the protocol is refused alone."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str) or "expected" not in row:
        return {"id": row.get("id") if isinstance(row, dict) else None, "outcome": "refused", "why": "no such row"}
    figures = (row.get("figure"), 0 if row["expected"] is None else row["expected"])
    if any(isinstance(n, bool) or not isinstance(n, int) for n in figures):
        return {"id": row["id"], "outcome": "refused", "why": "figure and expected must be whole numbers"}
    return shop.write(row)


def _answer(status: int, **body: object) -> Response:
    return Response(json.dumps(body, ensure_ascii=False), status, content_type="application/json; charset=utf-8")


def serve(
    data: Path | None = None,
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    secret: str = "",
    clock: Clock = utc_now,
    seed: Sequence[Seed] | None = None,
    display_name: str = "Shop of our own",
) -> Running:
    """Start a local shop that speaks the protocol; it listens when this returns. `data` is its SQLite file."""
    store = Store(data, SCHEMA)
    if secret:
        store.set_setting("secret", secret)
    shop = Shop(store, clock, display_name)
    shop.seed(seed or ())
    courier = Courier(shop)
    shop.wake, shop.courier = courier.wake, courier
    app = Flask("local-http-json")
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY
    app.register_blueprint(api(shop))
    app.register_blueprint(storefront_pages(shop))
    faults = Faults(app.wsgi_app)
    server = HttpServer(faults, port, host)
    closers = (server.close, courier.close, store.close)
    credentials = {"secret": shop.secret}
    return Running("http_json", f"{server.base_url}/sync", f"{server.base_url}/", credentials, shop, faults, closers)
