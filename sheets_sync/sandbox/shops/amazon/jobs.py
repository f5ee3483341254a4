"""Feeds and Reports 2021-06-30: what is handed in or asked for in one document, and worked on while time passes.

A document lies behind a presigned address that opens for five minutes. A feed of listings is read message by message;
its processing report, gzipped, says which were not taken. What was taken is applied as the feed ends.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from datetime import timedelta

from flask import Blueprint, Response, request

from sheets_sync.sandbox.shops.amazon.api import issues
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
    texts_of,
    whole,
)
from sheets_sync.sandbox.shops.amazon.gate import same
from sheets_sync.sandbox.shops.amazon.model import SELLER_CHANNEL, Shop
from sheets_sync.sandbox.shops.amazon.shapes import listing, seconds

LISTINGS_FEED = "JSON_LISTINGS_FEED"
MOST_MESSAGES = 25_000
OPEN_FOR = timedelta(minutes=5)
LEGACY = frozenset(
    {"POST_INVENTORY_AVAILABILITY_DATA", "POST_PRODUCT_DATA", "POST_FLAT_FILE_INVLOADER_DATA",
     "POST_FLAT_FILE_PRICEANDQUANTITYONLY_UPDATE_DATA"}
)  # fmt: skip
"""XML and flat files for listings and stock: taken, and FATAL since 2025-07-31."""

ALL_LISTINGS = "GET_MERCHANT_LISTINGS_ALL_DATA"
RETURNS = "GET_FLAT_FILE_RETURNS_DATA_BY_RETURN_DATE"
FIRST_ID = 50_000_000_000
"""Ids look like Amazon's, and never like ours."""


class Jobs:
    """The account's feeds and reports."""

    def __init__(self, shop: Shop, base_url: str) -> None:
        self.shop, self.base_url = shop, base_url
        shop.finish_job = self.finish

    # documents --------------------------------------------------------------------------------------------------

    def new_document(self, db: sqlite3.Connection, content_type: str, content: bytes | None = None) -> str:
        id = f"amzn1.tortuga.4.eu.{secrets.token_hex(16)}"
        values = (id, "", self.shop.stamp(), content_type, content)
        db.execute("INSERT INTO document VALUES (?, ?, ?, ?, ?)", values)
        return id

    def address(self, db: sqlite3.Connection, id: str) -> str:
        """A fresh presigned address of a document."""
        key = secrets.token_hex(32)
        done = db.execute("UPDATE document SET key = ?, expires = ? WHERE id = ?", (key, self.shop.stamp(OPEN_FOR), id))
        if done.rowcount != 1:
            raise not_found(f"there is no document {id}")
        return f"{self.base_url}/documents/{id}?X-Amz-Expires=300&X-Amz-Signature={key}"

    def described(self, db: sqlite3.Connection, id: str, name: str) -> Json:
        """Where a finished document is to be had."""
        row = db.execute("SELECT content FROM document WHERE id = ?", (id,)).fetchone()
        answer: Json = {name: id, "url": self.address(db, id)}
        if row["content"] is not None and bytes(row["content"]).startswith(b"\x1f\x8b"):
            answer["compressionAlgorithm"] = "GZIP"
        return answer

    def opened(self, db: sqlite3.Connection, id: str, key: str) -> sqlite3.Row:
        row = db.execute("SELECT * FROM document WHERE id = ?", (id,)).fetchone()
        if row is None or not same(key, row["key"]) or row["expires"] <= self.shop.stamp():
            raise Refused(403, "AccessDenied", "Request has expired, or its signature is not right.")
        return row  # type: ignore[no-any-return]

    # jobs -------------------------------------------------------------------------------------------------------

    def start(self, db: sqlite3.Connection, kind: str, type: str, marketplaces: list[str], input: str) -> str:
        """`input`: the feed's document, or the report's time range. The job's public id."""
        for marketplace in marketplaces:
            if marketplace not in self.shop.marketplaces:
                raise invalid(f"Invalid marketplaceIds: {marketplace}.")
        pace = self.shop.pace
        starts, ends = self.shop.stamp(pace.feed_waits), self.shop.stamp(pace.feed_waits + pace.feed_works)
        cursor = db.execute(
            "INSERT INTO job (kind, type, marketplaces, input, status, created, starts, ends)"
            " VALUES (?, ?, ?, ?, 'IN_QUEUE', ?, ?, ?)",
            (kind, type, json.dumps(marketplaces), input, self.shop.stamp(), starts, ends),
        )
        self.shop.catch_up(db)
        self.shop.wake()
        return str(FIRST_ID + (cursor.lastrowid or 0))

    def row(self, db: sqlite3.Connection, kind: str, id: str) -> sqlite3.Row:
        number = int(id) - FIRST_ID if id.isascii() and id.isdigit() else 0
        row = db.execute("SELECT * FROM job WHERE id = ? AND kind = ?", (number, kind)).fetchone()
        if row is None:
            raise not_found(f"there is no {kind} {id}")
        return row  # type: ignore[no-any-return]

    def finish(self, db: sqlite3.Connection, row: sqlite3.Row) -> None:
        """What the job was for, at its end."""
        status, result = self._feed(db, row) if row["kind"] == "feed" else self._report(db, row)
        db.execute("UPDATE job SET status = ?, result = ? WHERE id = ?", (status, result, row["id"]))
        kind = "FEED_PROCESSING_FINISHED" if row["kind"] == "feed" else "REPORT_PROCESSING_FINISHED"
        about = {"id": str(FIRST_ID + row["id"]), "type": row["type"], "status": status, "result": result}
        self.shop.told(db, kind, about)

    # feeds ------------------------------------------------------------------------------------------------------

    def _feed(self, db: sqlite3.Connection, row: sqlite3.Row) -> tuple[str, str]:
        if row["type"] != LISTINGS_FEED:
            return "FATAL", ""
        content = db.execute("SELECT content FROM document WHERE id = ?", (row["input"],)).fetchone()["content"]
        feed, wrong = _read_feed(bytes(content), self.shop.seller)
        done = Processed(self.shop, db, row, feed)
        if wrong:
            done.wrong({"severity": "ERROR", "message": wrong})
        for message in feed.get("messages", []) if not wrong else []:
            done.take(message)
        report = gzip.compress(json.dumps(done.report(), ensure_ascii=False).encode())
        return "FATAL" if wrong else "DONE", self.new_document(db, "application/json; charset=UTF-8", report)

    # reports ----------------------------------------------------------------------------------------------------

    def _report(self, db: sqlite3.Connection, row: sqlite3.Row) -> tuple[str, str]:
        makers: Mapping[str, Callable[..., list[list[object]]]] = {ALL_LISTINGS: _all_listings, RETURNS: _returns}
        rows = makers[row["type"]](self.shop, db, row)
        text = io.StringIO()
        csv.writer(text, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\r\n").writerows(
            [" ".join(str(cell).split()) for cell in line] for line in rows
        )
        charset = self.shop.unknowns.report_charset
        packed = gzip.compress(text.getvalue().encode(charset, "replace"))
        return "DONE", self.new_document(db, f"text/tab-separated-values; charset={charset}", packed)


def _read_feed(content: bytes, seller: str) -> tuple[Json, str]:
    """The feed, and why it cannot be read as a whole."""
    try:
        feed = json.loads(gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content)
    except (ValueError, OSError) as error:
        return {}, f"The feed is not valid JSON: {error}"
    header = feed.get("header") if isinstance(feed, dict) else None
    if not isinstance(header, dict) or header.get("version") != "2.0" or header.get("sellerId") != seller:
        return {}, "The header must have the version 2.0 and this seller's id."
    messages = feed.get("messages")
    if not isinstance(messages, list) or not 1 <= len(messages) <= MOST_MESSAGES:
        return {}, f"A feed has from 1 to {MOST_MESSAGES} messages."
    ids = [m.get("messageId") for m in messages if isinstance(m, dict)]
    if len(set(ids)) != len(messages) or not all(isinstance(i, int) and i >= 1 for i in ids):
        return {}, "Each message needs a messageId of its own, a whole number from 1 on."
    return feed, ""


class Processed:
    """One feed of listings as it is worked through."""

    def __init__(self, shop: Shop, db: sqlite3.Connection, job: sqlite3.Row, feed: Json) -> None:
        self.shop, self.db, self.job, self.feed = shop, db, job, feed
        self.issues: list[Json] = []
        self.taken: list[str] = []
        self.refused = 0

    def wrong(self, issue: Json) -> None:
        self.issues.append(issue)

    def take(self, message: Json) -> None:
        """Apply a message, or note why not."""
        sku, found = message.get("sku"), []
        row = self.db.execute("SELECT * FROM listing WHERE sku = ?", (sku,)).fetchone()
        try:
            patches = _patches_of(message)
            found = issues(
                row, text_of(message, "productType") if message["operationType"] != "DELETE" else "", patches
            )
        except Refused as error:
            found = [{"code": "90000", "severity": "ERROR", "message": error.message}]
        if message.get("operationType") == "DELETE" and row is not None:
            self.db.execute("DELETE FROM listing WHERE sku = ?", (sku,))
            self.taken.append(str(sku))
            return
        for issue in found:
            named = {k: issue[k] for k in ("code", "severity", "message")}
            attribute = {"attributeName": issue["attributeNames"][0]} if issue.get("attributeNames") else {}
            self.wrong({"messageId": message["messageId"], **({"sku": sku} if sku else {}), **named, **attribute})
        if found:
            self.refused += 1
            return
        self.taken.append(str(sku))
        overtaken = row["patched"] > self.job["created"] and not self.shop.unknowns.feeds_overtake
        if not overtaken:  # else what was submitted later, and done before, stays
            self.shop.patch(self.db, row["sku"], patches, json.loads(self.job["marketplaces"]))

    def report(self) -> Json:
        """The processing report, as the published schema has it."""
        header: Json = {"sellerId": self.shop.seller, "version": "2.0", "feedId": str(FIRST_ID + self.job["id"])}
        answer: Json = {
            "header": header,
            "issues": self.issues,
            "summary": {
                "errors": len(self.issues),
                "warnings": 0,
                "messagesProcessed": len(self.taken) + self.refused,
                "messagesAccepted": len(self.taken),
                "messagesInvalid": self.refused,
            },
        }
        wanted = self.feed.get("header", {}).get("report")
        if isinstance(wanted, dict):
            header["report"] = wanted
            answer["summary"]["itemSummary"] = {"items": len(self.taken), "errors": 0, "warnings": 0}
            answer["items"] = [self._item(sku, wanted["includedData"]) for sku in self.taken]
        return answer

    def _item(self, sku: str, included: list[str]) -> Json:
        row = self.db.execute("SELECT * FROM listing WHERE sku = ?", (sku,)).fetchone()
        return (
            {"sku": sku}
            if row is None
            else listing(self.shop, self.db, row, included, json.loads(self.job["marketplaces"]))
        )


def _patches_of(message: Json) -> list[Json]:
    """What a message does, in patches. PARTIAL_UPDATE and UPDATE replace each attribute that they name."""
    kind = message.get("operationType")
    if kind == "DELETE":
        return []
    if kind == "PATCH":
        patches = message.get("patches")
        if not isinstance(patches, list) or not patches:
            raise invalid("'patches' is required for PATCH.")
        return patches
    attributes = message.get("attributes")
    if kind not in ("PARTIAL_UPDATE", "UPDATE") or not isinstance(attributes, dict) or not attributes:
        raise invalid("A message needs an operationType and its attributes.")
    return [{"op": "replace", "path": f"/attributes/{name}", "value": value} for name, value in attributes.items()]


# what reports hold ----------------------------------------------------------------------------------------------

_LISTING_COLUMNS = (
    "item-name", "item-description", "listing-id", "seller-sku", "price", "quantity", "open-date", "image-url",
    "item-is-marketplace", "product-id-type", "zshop-shipping-fee", "item-note", "item-condition", "zshop-category1",
    "zshop-browse-path", "zshop-storefront-feature", "asin1", "asin2", "asin3", "will-ship-internationally",
    "expedited-shipping", "zshop-boldface", "product-id", "bid-for-featured-placement", "add-delete",
    "pending-quantity", "fulfillment-channel", "merchant-shipping-group", "status",
)  # fmt: skip

_RETURN_COLUMNS = (
    "Order ID", "Order date", "Return request date", "Return request status", "Amazon RMA ID", "Merchant RMA ID",
    "ASIN", "Merchant SKU", "Item Name", "Return quantity", "Return Reason", "In policy", "Return type", "Resolution",
    "Return delivery date", "Order quantity",
)  # fmt: skip
"""Of the report's columns those that are about units; the others are about money and labels."""


def _all_listings(shop: Shop, db: sqlite3.Connection, job: sqlite3.Row) -> list[list[object]]:
    wanted = set(json.loads(job["marketplaces"]))
    found = [list[object](_LISTING_COLUMNS)]
    for number, row in enumerate(db.execute("SELECT * FROM listing WHERE channel <> '' ORDER BY sku").fetchall(), 1):
        if not wanted & set(json.loads(row["marketplaces"])):
            continue
        seller_ships = row["channel"] == SELLER_CHANNEL
        quantity = shop.quantity(row, json.loads(job["marketplaces"]))
        there = quantity if seller_ships else row["fba_units"]
        cells: dict[str, object] = {
            "item-name": row["title"],
            "listing-id": f"{number:04d}ABC",
            "seller-sku": row["sku"],
            "price": row["price"],
            "quantity": quantity if seller_ships and quantity is not None else "",
            "open-date": f"{row['created'][:19].replace('T', ' ')} GMT",
            "item-is-marketplace": "y",
            "product-id-type": "1",
            "item-condition": "11",
            "asin1": row["asin"],
            "product-id": row["asin"],
            "pending-quantity": "0",
            "fulfillment-channel": row["channel"],
            "status": "Active" if there else "Inactive",
        }
        found.append([cells.get(column, "") for column in _LISTING_COLUMNS])
    return found


def _returns(shop: Shop, db: sqlite3.Connection, job: sqlite3.Row) -> list[list[object]]:
    since, until = json.loads(job["input"])
    rows = db.execute(
        "SELECT r.*, i.sku, i.asin, i.title, i.ordered, p.id AS purchase, p.created FROM returned r"
        " JOIN item i ON i.id = r.item JOIN purchase p ON p.id = i.purchase"
        " WHERE r.at >= ? AND r.at <= ? ORDER BY r.id",
        (since, until or "9"),
    ).fetchall()
    found = [list[object](_RETURN_COLUMNS)]
    for row in rows:
        day = _day(row["at"])
        found.append(
            [row["purchase"], _day(row["created"]), day, "Completed", f"D{row['id']:08d}", "", row["asin"],
             row["sku"], row["title"], row["units"], row["reason"], "Y", "C-Returns", "StandardRefund", day,
             row["ordered"]]
        )  # fmt: skip
    return found


def _day(stamp: str) -> str:
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{stamp[8:10]}-{months[int(stamp[5:7]) - 1]}-{stamp[:4]}"


# the routes -----------------------------------------------------------------------------------------------------


def jobs_api(desk: Desk, jobs: Jobs) -> Blueprint:
    """Feeds, reports, and the storage of their documents."""
    pages = Blueprint("jobs", __name__)
    in_json(pages)
    _feeds(pages, desk, jobs)
    _reports(pages, desk, jobs)
    _documents(pages, desk, jobs)
    return pages


def _feeds(pages: Blueprint, desk: Desk, jobs: Jobs) -> None:
    @pages.post("/feeds/2021-06-30/documents")
    def create_document() -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            id = jobs.new_document(db, text_of(body(), "contentType"))
            return 201, {"feedDocumentId": id, "url": jobs.address(db, id)}

        return desk.answer("createFeedDocument", do)

    @pages.get("/feeds/2021-06-30/documents/<id>")
    def get_document(id: str) -> Response:
        return desk.answer("getFeedDocument", lambda db: (200, jobs.described(db, id, "feedDocumentId")))

    @pages.post("/feeds/2021-06-30/feeds")
    def create_feed() -> Response:
        asked = request.get_json(silent=True)
        listings = isinstance(asked, dict) and asked.get("feedType") == LISTINGS_FEED

        def do(db: sqlite3.Connection) -> Answered:
            return 202, {"feedId": _create_feed(db, jobs)}

        return desk.answer("createListingsFeed" if listings else "createFeed", do)

    @pages.get("/feeds/2021-06-30/feeds")
    def get_feeds() -> Response:
        return desk.answer("getFeeds", lambda db: (200, {"feeds": _listed(db, "feed", several("feedTypes"))}))

    @pages.get("/feeds/2021-06-30/feeds/<id>")
    def get_feed(id: str) -> Response:
        return desk.answer("getFeed", lambda db: (200, _told(jobs.row(db, "feed", id))))

    @pages.delete("/feeds/2021-06-30/feeds/<id>")
    def cancel_feed(id: str) -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            row = jobs.row(db, "feed", id)
            if row["status"] != "IN_QUEUE":
                raise invalid(f"Feed {id} is {row['status']}; only one that is IN_QUEUE can be cancelled.")
            db.execute("UPDATE job SET status = 'CANCELLED' WHERE id = ?", (row["id"],))
            return 200, None

        return desk.answer("cancelFeed", do)


def _create_feed(db: sqlite3.Connection, jobs: Jobs) -> str:
    asked = body()
    type, id = text_of(asked, "feedType"), text_of(asked, "inputFeedDocumentId")
    if type != LISTINGS_FEED and type not in LEGACY:
        raise invalid(f"Invalid feedType: {type}.")
    row = db.execute("SELECT content FROM document WHERE id = ?", (id,)).fetchone()
    if row is None or row["content"] is None:
        raise invalid(f"Document {id} is not there, or nothing was uploaded to it.")
    return jobs.start(db, "feed", type, texts_of(asked, "marketplaceIds"), id)


def _reports(pages: Blueprint, desk: Desk, jobs: Jobs) -> None:
    @pages.post("/reports/2021-06-30/reports")
    def create_report() -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            asked = body()
            type = text_of(asked, "reportType")
            if type not in (ALL_LISTINGS, RETURNS):
                raise invalid(f"Invalid reportType: {type}.")
            since = asked.get("dataStartTime") or jobs.shop.stamp(-timedelta(days=30))
            range = json.dumps([since, asked.get("dataEndTime") or ""])
            return 202, {"reportId": jobs.start(db, "report", type, texts_of(asked, "marketplaceIds"), range)}

        return desk.answer("createReport", do)

    @pages.get("/reports/2021-06-30/reports/<id>")
    def get_report(id: str) -> Response:
        return desk.answer("getReport", lambda db: (200, _told(jobs.row(db, "report", id))))

    @pages.get("/reports/2021-06-30/documents/<id>")
    def get_report_document(id: str) -> Response:
        return desk.answer("getReportDocument", lambda db: (200, jobs.described(db, id, "reportDocumentId")))


def _listed(db: sqlite3.Connection, kind: str, types: list[str]) -> list[Json]:
    rows = db.execute("SELECT * FROM job WHERE kind = ? ORDER BY id DESC", (kind,)).fetchall()
    return [_told(row) for row in rows if not types or row["type"] in types][: whole("pageSize", 10, 1, 100)]


def _told(row: sqlite3.Row) -> Json:
    kind = row["kind"]
    answer: Json = {
        f"{kind}Id": str(FIRST_ID + row["id"]),
        f"{kind}Type": row["type"],
        "marketplaceIds": json.loads(row["marketplaces"]),
        "createdTime": seconds(row["created"]),
        "processingStatus": row["status"],
    }
    if row["status"] not in ("IN_QUEUE", "CANCELLED"):
        answer["processingStartTime"] = seconds(row["starts"])
    if row["status"] in ("DONE", "FATAL"):
        answer["processingEndTime"] = seconds(row["ends"])
    if row["result"]:
        answer["resultFeedDocumentId" if kind == "feed" else "reportDocumentId"] = row["result"]
    return answer


def _documents(pages: Blueprint, desk: Desk, jobs: Jobs) -> None:
    store = desk.shop.store

    def opened(id: str, do: Callable[[sqlite3.Connection, sqlite3.Row], Response]) -> Response:
        try:
            with store.transaction() as db:
                return do(db, jobs.opened(db, id, request.args.get("X-Amz-Signature", "")))
        except Refused as error:
            text = f"<Error><Code>{error.code}</Code><Message>{error.message}</Message></Error>"
            return Response(text, error.status, content_type="application/xml")

    @pages.put("/documents/<id>")
    def upload(id: str) -> Response:
        def do(db: sqlite3.Connection, row: sqlite3.Row) -> Response:
            if request.headers.get("Content-Type", "") != row["content_type"]:
                raise Refused(403, "SignatureDoesNotMatch", "The Content-Type is not the one that was signed.")
            db.execute("UPDATE document SET content = ? WHERE id = ?", (request.get_data(), id))
            return Response("", 200)

        return opened(id, do)

    @pages.get("/documents/<id>")
    def download(id: str) -> Response:
        return opened(id, lambda db, row: Response(row["content"] or b"", 200, content_type=row["content_type"]))
