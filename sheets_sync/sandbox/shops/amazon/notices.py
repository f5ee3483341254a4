"""Notifications v1, and the parts of AWS that they end in: an EventBridge API destination, an SQS queue.

Amazon itself posts to no one. In AWS, a seller's rule forwards each event to an address, with a header of the seller's
own; a pipe does the same with what comes into the queue; or the seller's program empties the queue. All deliver at
least once and in no order. `Notices.forward` makes the rule, `Notices.pipe` the pipe; the queue is there anyway.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import md5
from typing import Any

from flask import Blueprint, Response, request

from sheets_sync.sandbox.shops._common import Parcel
from sheets_sync.sandbox.shops.amazon.aws import Refusal, check
from sheets_sync.sandbox.shops.amazon.front import (
    Answered,
    Desk,
    Json,
    Refused,
    body,
    in_json,
    invalid,
    not_found,
    several,
    text_of,
)
from sheets_sync.sandbox.shops.amazon.gate import GRANTLESS
from sheets_sync.sandbox.shops.amazon.model import SELLER_CHANNEL, Shop, loaded, stored
from sheets_sync.sandbox.shops.amazon.shapes import moment, seconds

AWS_ACCOUNT, REGION, QUEUE = "123456789012", "eu-west-1", "spapi"
APPLICATION = "amzn1.sellerapps.app.local"
TIMEOUT = 5.0
FOR_A_DAY = timedelta(hours=24)
TRIED_AGAIN = frozenset({401, 407, 409, 429})
"""HTTP answers below 500 after which EventBridge tries again."""

VERSIONS: Mapping[str, str] = {
    "ORDER_CHANGE": "1.0",
    "LISTINGS_ITEM_MFN_QUANTITY_CHANGE": "1.0",
    "FEED_PROCESSING_FINISHED": "2020-09-04",
    "REPORT_PROCESSING_FINISHED": "2020-09-04",
}
SERVICES: Mapping[str, str] = {
    "ORDER_CHANGE": "sqs",
    "LISTINGS_ITEM_MFN_QUANTITY_CHANGE": "eventBridge",
    "FEED_PROCESSING_FINISHED": "sqs",
    "REPORT_PROCESSING_FINISHED": "sqs",
}
"""Where each type goes by Amazon's pages."""

OLD_STATUSES = {
    "PENDING_AVAILABILITY": "PendingAvailability",
    "PENDING": "Pending",
    "UNSHIPPED": "Unshipped",
    "PARTIALLY_SHIPPED": "PartiallyShipped",
    "SHIPPED": "Shipped",
    "CANCELLED": "Canceled",
}
"""Notifications speak as Orders v0 did."""


@dataclass(frozen=True)
class Sent:
    """What went out, for tests and curious people."""

    url: str
    body: bytes
    status: int | None


class Notices:
    """Subscriptions, what they are told, and the outbox of the rule and the pipe that hand it on."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.paused = False
        self.sent: list[Sent] = []
        self.arrived = threading.Condition()
        shop.told = self.tell

    def forward(self, url: str, key: str, header: str = "x-api-key", *, bare: bool = False) -> None:
        """The rule in AWS: post each event to `url`, with the seller's own header. `bare`: without its envelope."""
        self._hand_on("eventBridge", url, key, header, bare)

    def pipe(self, url: str, key: str, header: str = "x-api-key", *, bare: bool = False) -> None:
        """The pipe in AWS: post what comes into the queue, as its record or `bare`, and take it off when delivered."""
        self._hand_on("sqs", url, key, header, bare)

    def _hand_on(self, source: str, url: str, key: str, header: str, bare: bool) -> None:
        with self.shop.store.transaction() as db:
            db.execute("INSERT OR REPLACE INTO target VALUES (?, ?, ?, ?, ?)", (source, url, header, key, int(bare)))

    # what is told -----------------------------------------------------------------------------------------------

    def tell(self, db: sqlite3.Connection, kind: str, about: Mapping[str, Any]) -> None:
        """Queue what the subscription of a kind is told, where there is one."""
        row = db.execute("SELECT * FROM subscription WHERE type = ?", (kind,)).fetchone()
        if row is None:
            return
        if kind == "ORDER_CHANGE":
            order = self.shop.purchase(db, about["order"])
            if not _wanted(json.loads(row["directive"]), about["change"], order["marketplace"]):
                return
            notice = self._order_change(db, order, about["change"])
        elif kind == "LISTINGS_ITEM_MFN_QUANTITY_CHANGE":
            notice = {
                "SellerId": self.shop.seller,
                "FulfillmentChannelCode": SELLER_CHANNEL,
                "Sku": about["sku"],
                "Quantity": about["quantity"],
            }
        else:
            notice = self._finished(kind, about)
        self._queue(db, row, self._enveloped(kind, row["id"], notice))

    def _enveloped(self, kind: str, subscription: str, payload: Json) -> Json:
        now = self.shop.now()
        exact = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
        old = kind in ("ORDER_CHANGE", "LISTINGS_ITEM_MFN_QUANTITY_CHANGE")
        version = VERSIONS[kind]
        envelope = {
            "NotificationVersion": version,
            "NotificationType": kind,
            "PayloadVersion": version,
            "EventTime": exact,
            "Payload": payload,
            "NotificationMetadata": {
                "ApplicationId": APPLICATION,
                "SubscriptionId": subscription,
                "PublishTime": exact,
                "NotificationId": str(uuid.uuid4()),
            },
        }
        return envelope if old else _small(envelope)

    def _order_change(self, db: sqlite3.Connection, row: sqlite3.Row, change: str) -> Json:
        items = self.shop.items(db, row["id"])
        shipped = sum(i["shipped"] for i in items)
        left = sum(i["ordered"] - i["shipped"] - i["cancelled"] for i in items)
        requested = change == "BuyerRequestedChange"
        return {
            "OrderChangeNotification": {
                "NotificationLevel": "OrderLevel",
                "SellerId": self.shop.seller,
                "AmazonOrderId": row["id"],
                "OrderChangeType": change,
                "OrderChangeTrigger": {
                    "TimeOfOrderChange": seconds(row["updated"]),
                    "ChangeReason": "Buyer Requested Cancel" if requested else "Order Status Change",
                },
                "Summary": {
                    "MarketplaceId": row["marketplace"],
                    "OrderStatus": OLD_STATUSES[row["status"]],
                    "PurchaseDate": seconds(row["created"]),
                    "DestinationPostalCode": None,
                    "FulfillmentType": "MFN" if row["channel"] == SELLER_CHANNEL else "AFN",
                    "OrderType": "Preorder" if row["status"] == "PENDING_AVAILABILITY" else "StandardOrder",
                    "NumberOfItemsShipped": shipped,
                    "NumberOfItemsUnshipped": left,
                    "EarliestShipDate": seconds(row["created"]),
                    "LatestShipDate": seconds(row["ship_by"]),
                    "OrderItems": [_order_item(i) for i in items],
                },
            }
        }

    def _finished(self, kind: str, about: Mapping[str, Any]) -> Json:
        what = "Feed" if kind.startswith("FEED") else "Report"
        small = what.lower()
        notice = {
            "sellerId": self.shop.seller,
            "accountId": f"amzn1.merchant.o.{self.shop.seller}",
            f"{small}Id": about["id"],
            f"{small}Type": about["type"],
            "processingStatus": about["status"],
        }
        if about["result"]:
            notice["resultFeedDocumentId" if what == "Feed" else "reportDocumentId"] = about["result"]
        return {f"{small}ProcessingFinishedNotification": notice}

    def _queue(self, db: sqlite3.Connection, subscription: sqlite3.Row, notice: Json) -> None:
        destination = db.execute("SELECT * FROM destination WHERE id = ?", (subscription["destination"],)).fetchone()
        if destination is None:
            return
        (source,) = json.loads(destination["resource"])
        message = notice if source == "sqs" or self._is_bare(db, source) else self._event(destination, notice)
        if source == "sqs" or self._target(db, source) is not None:
            now = self.shop.stamp()
            text = json.dumps(message, ensure_ascii=False)
            db.execute("INSERT INTO message (source, body, queued, due) VALUES (?, ?, ?, ?)", (source, text, now, now))
        with self.arrived:
            self.arrived.notify_all()
        self.shop.wake()

    def _target(self, db: sqlite3.Connection, source: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = db.execute("SELECT * FROM target WHERE source = ?", (source,)).fetchone()
        return row

    def _is_bare(self, db: sqlite3.Connection, source: str) -> bool:
        target = self._target(db, source)
        return target is not None and bool(target["bare"])

    def _event(self, destination: sqlite3.Row, notice: Json) -> Json:
        """As EventBridge hands it on."""
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": notice.get("NotificationType") or notice.get("notificationType"),
            "source": json.loads(destination["resource"])["eventBridge"]["name"],
            "account": AWS_ACCOUNT,
            "time": moment(self.shop.now()),
            "region": REGION,
            "resources": [],
            "detail": notice,
        }

    # the outbox of the rule -------------------------------------------------------------------------------------

    def next_parcel(self) -> Parcel | float | None:
        """What is due; as the courier asks, time passes in the account, too."""
        with self.shop.store.transaction() as db:
            self.shop.catch_up(db)
            row = None
            if not self.paused:
                row = db.execute(
                    "SELECT m.*, t.url, t.header, t.key, t.bare FROM message m JOIN target t ON t.source = m.source"
                    " ORDER BY m.due, m.id LIMIT 1"
                ).fetchone()
            if row is not None and row["due"] <= self.shop.stamp():
                return _parcel(row)
        waits = [] if row is None else [max((loaded(row["due"]) - self.shop.now()).total_seconds(), 0.0)]
        soon = self.shop.next_due()
        return min([*waits, *([] if soon is None else [soon])], default=None)

    def delivered(self, parcel: Parcel, status: int | None) -> None:
        self.sent.append(Sent(parcel.url, parcel.body, status))
        with self.shop.store.transaction() as db:
            row = db.execute("SELECT * FROM message WHERE id = ?", (parcel.id,)).fetchone()
            again = status is None or status >= 500 or status in TRIED_AGAIN
            if row is None or not again or loaded(row["queued"]) + FOR_A_DAY < self.shop.now():
                db.execute("DELETE FROM message WHERE id = ?", (parcel.id,))
                return
            wait = timedelta(seconds=min(30 * 2 ** row["tries"], 600))
            db.execute(
                "UPDATE message SET tries = tries + 1, due = ? WHERE id = ?",
                (stored(self.shop.now() + wait), parcel.id),
            )


def _parcel(row: sqlite3.Row) -> Parcel:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Amazon/EventBridge/ApiDestinations",
        row["header"]: row["key"],
    }
    body = row["body"]
    if row["source"] == "sqs" and not row["bare"]:
        body = json.dumps(_record(row), ensure_ascii=False)
    return Parcel(row["id"], row["url"], headers, body.encode(), TIMEOUT)


def _record(row: sqlite3.Row) -> Json:
    """A message of the queue as a pipe reads it."""
    return {
        "messageId": str(uuid.UUID(int=row["id"])),
        "receiptHandle": uuid.uuid4().hex,
        "body": row["body"],
        "attributes": {"ApproximateReceiveCount": str(row["tries"] + 1)},
        "messageAttributes": {},
        "md5OfBody": md5(row["body"].encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{AWS_ACCOUNT}:{QUEUE}",
        "awsRegion": REGION,
    }


def _wanted(directive: Any, change: str, marketplace: str) -> bool:
    """Whether a subscription's filter lets a change through."""
    filter = (directive or {}).get("eventFilter") or {}
    kinds, markets = filter.get("orderChangeTypes"), filter.get("marketplaceIds")
    return (not kinds or change in kinds) and (not markets or marketplace in markets)


def _order_item(item: sqlite3.Row) -> Json:
    done = item["shipped"] + item["cancelled"] == item["ordered"]
    return {
        "OrderItemId": item["id"],
        "SellerSKU": item["sku"],
        "SupplySourceId": None,
        "OrderItemStatus": "Shipped" if item["shipped"] and done else "Unshipped",
        "Quantity": item["ordered"],
        "QuantityShipped": item["shipped"],
        "IsBuyerRequestedCancel": item["request"] is not None,
    }


def _small(envelope: Json) -> Json:
    """The newer notifications write names in camelCase."""
    renamed = {name[0].lower() + name[1:]: value for name, value in envelope.items()}
    metadata = renamed["notificationMetadata"]
    renamed["notificationMetadata"] = {name[0].lower() + name[1:]: value for name, value in metadata.items()}
    return renamed


# the API --------------------------------------------------------------------------------------------------------


def notifications_api(desk: Desk) -> Blueprint:
    """Destinations and subscriptions."""
    pages = Blueprint("notifications", __name__)
    in_json(pages)
    _destinations(pages, desk)
    _subscriptions(pages, desk)
    return pages


def _destinations(pages: Blueprint, desk: Desk) -> None:
    def grantless(operation: str, do: Callable[[sqlite3.Connection], Answered]) -> Response:
        return desk.answer(operation, do, GRANTLESS)

    @pages.post("/notifications/v1/destinations")
    def create_destination() -> Response:
        return grantless("createDestination", lambda db: (200, {"payload": _create_destination(db, body())}))

    @pages.get("/notifications/v1/destinations")
    def all_destinations() -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            return 200, {"payload": [_destination(r) for r in db.execute("SELECT * FROM destination ORDER BY name")]}

        return grantless("getDestinations", do)

    @pages.get("/notifications/v1/destinations/<id>")
    def get_one_destination(id: str) -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            return 200, {"payload": _destination(_one(db, "destination", "id = ?", id))}

        return grantless("getDestination", do)

    @pages.delete("/notifications/v1/destinations/<id>")
    def delete_destination(id: str) -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            _one(db, "destination", "id = ?", id)
            db.execute("DELETE FROM destination WHERE id = ?", (id,))
            return 200, {}

        return grantless("deleteDestination", do)


def _create_destination(db: sqlite3.Connection, asked: Json) -> Json:
    wanted = asked.get("resourceSpecification")
    if not isinstance(wanted, dict) or len(wanted) != 1:
        raise invalid("'resourceSpecification' must name sqs or eventBridge.")
    id = str(uuid.uuid4())
    if isinstance(wanted.get("sqs"), dict):
        arn = text_of(wanted["sqs"], "arn")
        if arn != f"arn:aws:sqs:{REGION}:{AWS_ACCOUNT}:{QUEUE}":
            raise invalid(f"The queue {arn} is not there, or its policy does not let us send to it.")
        resource: Json = {"sqs": {"arn": arn}}
    elif isinstance(wanted.get("eventBridge"), dict):
        account, region = (text_of(wanted["eventBridge"], n) for n in ("accountId", "region"))
        name = f"aws.partner/sellingpartnerapi.amazon.com/{account}/{APPLICATION}"
        resource = {"eventBridge": {"name": name, "region": region, "accountId": account}}
    else:
        raise invalid("'resourceSpecification' must name sqs or eventBridge.")
    text = json.dumps(resource, sort_keys=True)
    if db.execute("SELECT 1 FROM destination WHERE resource = ?", (text,)).fetchone():
        raise Refused(409, "Conflict", "A destination with this resource exists already.")
    db.execute("INSERT INTO destination VALUES (?, ?, ?)", (id, text_of(asked, "name"), text))
    return {"name": asked["name"], "destinationId": id, "resource": resource}


def _one(db: sqlite3.Connection, table: str, where: str, *values: str) -> sqlite3.Row:
    row = db.execute(f"SELECT * FROM {table} WHERE {where}", values).fetchone()
    if row is None:
        raise not_found(f"there is no such {table}")
    return row  # type: ignore[no-any-return]


def _destination(row: sqlite3.Row) -> Json:
    return {"name": row["name"], "destinationId": row["id"], "resource": json.loads(row["resource"])}


def _subscription(row: sqlite3.Row) -> Json:
    answer: Json = {
        "subscriptionId": row["id"],
        "payloadVersion": row["version"],
        "destinationId": row["destination"],
    }
    directive = json.loads(row["directive"])
    return {**answer, "processingDirective": directive} if directive else answer


def _subscriptions(pages: Blueprint, desk: Desk) -> None:
    @pages.get("/notifications/v1/subscriptions")
    def all_subscriptions() -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            kinds = several("notificationTypes", 1)
            rows = db.execute("SELECT * FROM subscription WHERE type IN (?) ORDER BY type", kinds or [""])
            return 200, {"payload": {"subscriptions": [_subscription(row) for row in rows]}}

        return desk.answer("getSubscriptions", do)

    @pages.post("/notifications/v1/subscriptions/<kind>")
    def create_subscription(kind: str) -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            return 200, {"payload": _create_subscription(desk.shop, db, kind, body())}

        return desk.answer("createSubscription", do)

    @pages.get("/notifications/v1/subscriptions/<kind>")
    def get_one_subscription(kind: str) -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            return 200, {"payload": _subscription(_one(db, "subscription", "type = ?", kind))}

        return desk.answer("getSubscription", do)

    @pages.get("/notifications/v1/subscriptions/<kind>/<id>")
    def get_by_id_subscription(kind: str, id: str) -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            return 200, {"payload": _subscription(_one(db, "subscription", "type = ? AND id = ?", kind, id))}

        return desk.answer("getSubscriptionById", do, GRANTLESS)

    @pages.delete("/notifications/v1/subscriptions/<kind>/<id>")
    def delete_subscription(kind: str, id: str) -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            _one(db, "subscription", "type = ? AND id = ?", kind, id)
            db.execute("DELETE FROM subscription WHERE id = ?", (id,))
            return 200, {}

        return desk.answer("deleteSubscriptionById", do, GRANTLESS)


def _create_subscription(shop: Shop, db: sqlite3.Connection, kind: str, asked: Json) -> Json:
    version, destination = text_of(asked, "payloadVersion"), text_of(asked, "destinationId")
    if kind not in VERSIONS:
        raise invalid(f"Invalid notification type '{kind}'.")
    if version != VERSIONS[kind]:
        raise invalid(f"Invalid payloadVersion '{version}' for {kind}.")
    (service,) = json.loads(_one(db, "destination", "id = ?", destination)["resource"])
    if shop.unknowns.each_type_to_one_service and service != SERVICES[kind]:
        wrong = {"sqs": "AWS_SQS", "eventBridge": "AWS_EVENT_BRIDGE"}[service]
        details = f"Notification type {kind} does not support {wrong}"
        raise Refused(400, "InvalidInput", "The destination is not one for this notification type.", details)
    if db.execute("SELECT 1 FROM subscription WHERE type = ?", (kind,)).fetchone():
        raise Refused(409, "Conflict", f"A subscription for {kind} exists already.")
    directive = json.dumps(asked.get("processingDirective"))
    values = (str(uuid.uuid4()), kind, version, destination, directive)
    db.execute("INSERT INTO subscription VALUES (?, ?, ?, ?, ?)", values)
    return _subscription(_one(db, "subscription", "type = ?", kind))


# the queue ------------------------------------------------------------------------------------------------------


class Queue:
    """Amazon SQS, in its JSON protocol: one queue, at least once, in no order that counts."""

    def __init__(self, notices: Notices, keys: Mapping[str, str], base_url: str) -> None:
        self.notices, self.shop, self.keys = notices, notices.shop, keys
        self.url = f"{base_url}/{AWS_ACCOUNT}/{QUEUE}"
        self.arn = f"arn:aws:sqs:{REGION}:{AWS_ACCOUNT}:{QUEUE}"

    def answer(self) -> Response:
        action = request.headers.get("X-Amz-Target", "").removeprefix("AmazonSQS.")
        try:
            check(request.method, request.environ, request.get_data(), self.keys)
            asked = json.loads(request.get_data() or b"{}")
            doing: Mapping[str, Callable[[Json], Json]] = {
                "ReceiveMessage": self.receive,
                "DeleteMessage": self.delete,
                "DeleteMessageBatch": self.delete_batch,
                "GetQueueAttributes": self.attributes,
                "GetQueueUrl": lambda asked: {"QueueUrl": self.url},
            }
            if action not in doing:
                raise Refusal(400, "InvalidAction", f"The action {action} is not valid for this endpoint.")
            if asked.get("QueueUrl", self.url) != self.url or asked.get("QueueName", QUEUE) != QUEUE:
                raise Refusal(400, "com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist.")
            return _aws(200, doing[action](asked))
        except Refusal as error:
            return _aws(error.status, {"__type": error.code, "message": str(error)})

    def receive(self, asked: Json) -> Json:
        most = int(asked.get("MaxNumberOfMessages", 1))
        if not 1 <= most <= 10:
            raise Refusal(400, "com.amazonaws.sqs#InvalidParameterValue", "MaxNumberOfMessages must be 1 to 10.")
        hidden = timedelta(seconds=int(asked.get("VisibilityTimeout", 30)))
        found = self._take(most, hidden)
        if not found and (seconds := min(float(asked.get("WaitTimeSeconds", 0)), 20.0)):
            with self.notices.arrived:
                self.notices.arrived.wait(seconds)
            found = self._take(most, hidden)
        return {"Messages": found} if found else {}

    def _take(self, most: int, hidden: timedelta) -> list[Json]:
        with self.shop.store.transaction() as db:
            self.shop.catch_up(db)
            rows = db.execute(
                "SELECT * FROM message WHERE source = 'sqs' AND due <= ? ORDER BY due, id LIMIT ?",
                (self.shop.stamp(), most),
            ).fetchall()
            return [self._hide(db, row, hidden) for row in rows]

    def _hide(self, db: sqlite3.Connection, row: sqlite3.Row, hidden: timedelta) -> Json:
        receipt = uuid.uuid4().hex
        db.execute(
            "UPDATE message SET due = ?, tries = tries + 1, receipt = ? WHERE id = ?",
            (self.shop.stamp(hidden), receipt, row["id"]),
        )
        return {
            "MessageId": str(uuid.UUID(int=row["id"])),
            "ReceiptHandle": receipt,
            "MD5OfBody": md5(row["body"].encode(), usedforsecurity=False).hexdigest(),
            "Body": row["body"],
        }

    def delete(self, asked: Json) -> Json:
        with self.shop.store.transaction() as db:
            db.execute("DELETE FROM message WHERE receipt = ?", (text_or_refusal(asked, "ReceiptHandle"),))
        return {}

    def delete_batch(self, asked: Json) -> Json:
        for entry in asked.get("Entries", []):
            self.delete(entry)
        return {"Successful": [{"Id": entry["Id"]} for entry in asked.get("Entries", [])], "Failed": []}

    def attributes(self, asked: Json) -> Json:
        with self.shop.store.transaction() as db:
            waiting = db.execute("SELECT count(*) AS n FROM message WHERE source = 'sqs'").fetchone()["n"]
        return {"Attributes": {"QueueArn": self.arn, "ApproximateNumberOfMessages": str(waiting)}}


def text_or_refusal(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value:
        raise Refusal(400, "com.amazonaws.sqs#MissingParameter", f"The request must contain the parameter {name}.")
    return value


def queue_pages(queue: Queue) -> Blueprint:
    """Where AWS's own clients ask: the endpoint's root, or the queue's address."""
    pages = Blueprint("sqs", __name__)

    @pages.post("/")
    def at_the_root() -> Response:
        return queue.answer()

    @pages.post("/<account>/<name>")
    def at_the_queue(account: str, name: str) -> Response:
        return queue.answer()

    return pages


def _aws(status: int, found: Json) -> Response:
    return Response(json.dumps(found), status, content_type="application/x-amz-json-1.0")
