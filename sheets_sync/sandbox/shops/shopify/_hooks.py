"""Webhook subscriptions and the queue of deliveries.

A delivery keeps the body that it had when it was fired: a retry carries the *original* payload. A receiver has 5 s.
Whatever is not 2xx is tried again, 8 times over 4 hours; then the subscription is removed. Nothing is coalesced and no
order is promised.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from sheets_sync.sandbox.shops._common import Clock, Parcel, Store
from sheets_sync.sandbox.shops.shopify._model import Docs
from sheets_sync.sandbox.shops.shopify._orders import Doc, stamp

RETRIES: tuple[timedelta, ...] = tuple(timedelta(minutes=m) for m in (0.5, 2, 5, 12, 25, 40, 60, 95))
TIMEOUT = 5.0


def sign(secret: str, body: bytes) -> str:
    """base64(HMAC-SHA256(client secret, raw body))."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


class Hooks:
    """Subscriptions and their outbox, in the shop's own file. `retries` are the waits between attempts."""

    def __init__(self, store: Store, clock: Clock, domain: str, secret: str, version: str) -> None:
        self.store = store
        self.docs = Docs(store)
        self.clock = clock
        self.domain = domain
        self.secret = secret
        self.version = version
        self.retries: Sequence[timedelta] = RETRIES
        self.wake: Callable[[], None] = lambda: None

    def subscribe(self, topic: str, uri: str, **fields: object) -> Doc:
        now = stamp(self.clock())
        doc = {"id": self.docs.new_id(), "topic": topic, "uri": uri, "created_at": now, "updated_at": now, **fields}
        return self.docs.put("subscription", doc, topic)

    def remove(self, id: int) -> bool:
        with self.store.transaction() as db:
            known = self.docs.get("subscription", id) is not None
            self.docs.delete("subscription", id)
            db.execute("DELETE FROM doc WHERE kind = 'delivery' AND json_extract(body, '$.subscription') = ?", (id,))
        return known

    def emit(self, topic: str, body: Doc) -> None:
        """Queue one delivery for each subscription of the topic; same event id, own webhook id."""
        enum = topic.replace("/", "_").upper()
        with self.store.transaction():
            subscriptions = self.docs.select("subscription", "AND sort = ?", (enum,))
            event_id = str(uuid.uuid4())
            for subscription in subscriptions:
                self._queue(subscription, topic, body, event_id)
        if subscriptions:
            self.wake()

    def _queue(self, subscription: Doc, topic: str, body: Doc, event_id: str) -> None:
        now = self.clock().astimezone(UTC)
        delivery = {
            "id": self.docs.new_id(),
            "subscription": subscription["id"],
            "uri": subscription["uri"],
            "topic": topic,
            "body": json.dumps(body, ensure_ascii=False),
            "event_id": event_id,
            "webhook_id": str(uuid.uuid4()),
            "triggered_at": now.isoformat().replace("+00:00", "Z"),
            "attempts": 0,
        }
        self.docs.put("delivery", delivery, now.isoformat())

    # the outbox -----------------------------------------------------------------------------------------------------

    def next_parcel(self) -> Parcel | float | None:
        rows = self.docs.rows("SELECT sort, body FROM doc WHERE kind = 'delivery' ORDER BY sort, id LIMIT 1", ())
        if not rows:
            return None
        wait = (datetime.fromisoformat(rows[0]["sort"]) - self.clock()).total_seconds()
        return wait if wait > 0 else self._parcel(json.loads(rows[0]["body"]))

    def _parcel(self, delivery: Doc) -> Parcel:
        body = delivery["body"].encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Shopify-Captain-Hook",
            "X-Shopify-Topic": delivery["topic"],
            "X-Shopify-Hmac-SHA256": sign(self.secret, body),
            "X-Shopify-Shop-Domain": self.domain,
            "X-Shopify-API-Version": self.version,
            "X-Shopify-Webhook-Id": delivery["webhook_id"],
            "X-Shopify-Event-Id": delivery["event_id"],
            "X-Shopify-Triggered-At": delivery["triggered_at"],
        }
        return Parcel(delivery["id"], delivery["uri"], headers, body, TIMEOUT)

    def delivered(self, parcel: Parcel, status: int | None) -> None:
        with self.store.transaction():
            delivery = self.docs.get("delivery", parcel.id)
            if delivery is None:
                return
            if status is not None and 200 <= status < 300:
                self.docs.delete("delivery", parcel.id)
                return
            if delivery["attempts"] >= len(self.retries):
                self.remove(delivery["subscription"])
                return
            due = self.clock().astimezone(UTC) + self.retries[delivery["attempts"]]
            delivery["attempts"] += 1
            self.docs.put("delivery", delivery, due.isoformat())
