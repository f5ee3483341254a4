"""WooCommerce's deliveries: queued one a hook and object, built when they go out, sent once, counted when they fail.

There is no retry. A failing hook is pinged again before its next delivery; the failure after the sixth disables it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sqlite3
import threading
from dataclasses import dataclass

from sheets_sync.sandbox.shops._common import Parcel, Store
from sheets_sync.sandbox.shops.woocommerce.model import MOST_FAILURES, Shop
from sheets_sync.sandbox.shops.woocommerce.shapes import Json, Shapes

TIMEOUT = 60.0


@dataclass(frozen=True)
class Sent:
    """What went out, for tests and curious people."""

    topic: str
    url: str
    body: bytes
    status: int | None


class Hooks:
    """The outbox of the shop's courier. While `cron` is False nothing goes out, like a site without traffic."""

    def __init__(self, shop: Shop, shapes: Shapes) -> None:
        self._shop, self._shapes = shop, shapes
        self._store: Store = shop.store
        self._pings: list[int] = []
        self._lock = threading.Lock()
        self._agent = f"WooCommerce/{shop.release} Hookshot (WordPress/7.1)"
        self.cron = True
        self.sent: list[Sent] = []

    def ping(self, webhook: int) -> None:
        """To be sent unsigned, as at a hook's creation."""
        with self._lock:
            self._pings.append(webhook)

    def next_parcel(self) -> Parcel | float | None:
        with self._store.transaction() as db:
            ping = self._next_ping(db)
            if ping is not None or not self.cron:
                return ping
            row = db.execute(
                "SELECT d.id AS delivery, d.object_id, w.* FROM delivery d JOIN webhook w ON w.id = d.webhook_id"
                " ORDER BY d.id"
            ).fetchone()
            if row is None:
                return None
            # gone from the queue before it is sent: a change made meanwhile is queued anew, and a crash loses it
            db.execute("DELETE FROM delivery WHERE id = ?", (row["delivery"],))
            if row["status"] != "active":
                return self.next_parcel()
            return self._parcel(db, row)

    def delivered(self, parcel: Parcel, status: int | None) -> None:
        topic = parcel.headers.get("X-WC-Webhook-Topic", "ping")
        self.sent.append(Sent(topic, parcel.url, parcel.body, status))
        if topic == "ping":
            return
        with self._store.transaction() as db:
            if status is not None and 200 <= status <= 302:
                db.execute("UPDATE webhook SET failures = 0 WHERE id = ?", (parcel.id,))
                return
            row = db.execute("SELECT * FROM webhook WHERE id = ?", (parcel.id,)).fetchone()
            if row is not None:
                self._failed(db, row)

    def _failed(self, db: sqlite3.Connection, row: sqlite3.Row) -> None:
        if row["failures"] > MOST_FAILURES:
            db.execute("UPDATE webhook SET status = 'disabled' WHERE id = ?", (row["id"],))
            db.execute("DELETE FROM delivery WHERE webhook_id = ?", (row["id"],))
            return
        db.execute("UPDATE webhook SET failures = failures + 1 WHERE id = ?", (row["id"],))
        self.ping(int(row["id"]))

    def _next_ping(self, db: sqlite3.Connection) -> Parcel | None:
        with self._lock:
            if not self._pings:
                return None
            hook = self._pings.pop(0)
        row = db.execute("SELECT * FROM webhook WHERE id = ?", (hook,)).fetchone()
        if row is None:
            return None
        headers = {"User-Agent": self._agent, "Content-Type": "application/x-www-form-urlencoded"}
        return Parcel(hook, row["delivery_url"], headers, f"webhook_id={hook}".encode(), TIMEOUT)

    def _parcel(self, db: sqlite3.Connection, row: sqlite3.Row) -> Parcel:
        resource, event = str(row["topic"]).split(".")
        body = json.dumps(self._body(db, resource, event, row["object_id"]), separators=(",", ":")).replace("/", "\\/")
        raw = body.encode()
        second = int(self._shop.seconds())
        headers = {
            "User-Agent": self._agent,
            "Content-Type": "application/json",
            "X-WC-Webhook-Source": f"{self._shapes.base_url}/",
            "X-WC-Webhook-Topic": row["topic"],
            "X-WC-Webhook-Resource": resource,
            "X-WC-Webhook-Event": event,
            "X-WC-Webhook-Signature": signature(str(row["secret"]), raw),
            "X-WC-Webhook-ID": str(row["id"]),
            # only the hook and the second: two deliveries of one second share it
            "X-WC-Webhook-Delivery-ID": hashlib.md5(f"{row['id']}{second}".encode(), usedforsecurity=False).hexdigest(),
        }
        return Parcel(int(row["id"]), row["delivery_url"], headers, raw, TIMEOUT)

    def _body(self, db: sqlite3.Connection, resource: str, event: str, thing: int) -> Json:
        if event == "deleted":
            return {"id": thing}
        table = "shop_order" if resource == "order" else "product"
        row = db.execute(f"SELECT * FROM {table} WHERE id = ?", (thing,)).fetchone()
        if row is None:
            kind = "shop_order" if resource == "order" else "product"
            return {"code": f"woocommerce_rest_{kind}_invalid_id", "message": "Invalid ID.", "data": {"status": 404}}
        return self._shapes.order(db, row) if resource == "order" else self._shapes.product(db, row)


def signature(secret: str, raw: bytes) -> str:
    """`X-WC-Webhook-Signature`: base64 of HMAC-SHA256 over the raw body."""
    return base64.b64encode(hmac.new(secret.encode(), raw, hashlib.sha256).digest()).decode()
