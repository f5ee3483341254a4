"""Orders 2026-01-01, Listings Items 2021-08-01, FBA Inventory v1 and Sellers v1 of one account."""

from __future__ import annotations

import base64
import binascii
import json
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from flask import Blueprint, Response, request

from sheets_sync.sandbox.shops.amazon import shapes
from sheets_sync.sandbox.shops.amazon.front import (
    Answered,
    Desk,
    Json,
    Refused,
    among,
    body,
    in_json,
    invalid,
    not_found,
    several,
    text_of,
    time,
    whole,
)
from sheets_sync.sandbox.shops.amazon.model import MARKETPLACES, SELLER_CHANNEL, Shop, stored

ORDER_DATA = ("BUYER", "RECIPIENT", "PROCEEDS", "EXPENSE", "PROMOTION", "CANCELLATION", "FULFILLMENT", "PACKAGES",
              "TAX", "PAYMENT", "FULFILLMENT_ORDERS")  # fmt: skip
PEOPLE = {"BUYER", "RECIPIENT"}
"""Given to applications with a role for personal data only; this one has none."""

STATUSES = ("PENDING_AVAILABILITY", "PENDING", "UNSHIPPED", "PARTIALLY_SHIPPED", "SHIPPED", "CANCELLED",
            "UNFULFILLABLE")  # fmt: skip
LISTING_DATA = ("summaries", "attributes", "issues", "offers", "fulfillmentAvailability", "procurement",
                "relationships", "productTypes")  # fmt: skip
SORTED = {"sku": "sku", "createdDate": "created", "lastUpdatedDate": "updated"}
OPERATIONS = ("add", "replace", "merge", "delete")
LAST = timedelta(minutes=2)
"""`lastUpdatedBefore` must lie this long before the request."""

MOST_SEARCHED = 1000
"""Listings that can be paged through in one search, however many there are."""

MOST_UNITS = 9_999_999


def api(desk: Desk) -> Blueprint:
    """The routes of these four APIs."""
    pages = Blueprint("sp-api", __name__)
    in_json(pages)
    _orders(pages, desk)
    _listings(pages, desk)
    _others(pages, desk)
    return pages


# orders ---------------------------------------------------------------------------------------------------------


def _orders(pages: Blueprint, desk: Desk) -> None:
    shop = desk.shop

    @pages.get("/orders/2026-01-01/orders")
    def search_orders() -> Response:
        return desk.answer("searchOrders", lambda db: (200, _search_orders(shop, db)))

    @pages.get("/orders/2026-01-01/orders/<order>")
    def get_order(order: str) -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            included = _order_data()
            return 200, {"order": shapes.order(shop, db, shop.purchase(db, order), included)}

        return desk.answer("getOrder", do)


def _order_data() -> list[str]:
    included = among("includedData", ORDER_DATA)
    if PEOPLE & set(included):
        raise Refused(
            403, "Unauthorized", "Access to requested resource is denied.", "This application has no PII role."
        )
    return included


def _search_orders(shop: Shop, db: sqlite3.Connection) -> Json:
    included, size = _order_data(), whole("maxResultsPerPage", 100, 1, 100)
    where, values, upto = _order_filter(shop)
    token = request.args.get("paginationToken")
    after = _opened(token) if token else None
    if after is not None:  # the end of the search stays where it was when its first page was asked for
        upto, where, values = after["upto"], [*where, "(updated, id) > (?, ?)"], [*values, after["at"], after["id"]]
    by = "created" if "createdAfter" in request.args else "updated"
    rows = db.execute(
        f"SELECT * FROM purchase WHERE {by} <= ? AND {' AND '.join(where)} ORDER BY updated, id LIMIT ?",
        (upto, *values, size + 1),
    ).fetchall()
    page = rows[:size]
    answer: Json = {"orders": [shapes.order(shop, db, row, included) for row in page]}
    if len(rows) > size:
        last = page[-1]
        answer["pagination"] = {"nextToken": _sealed({"upto": upto, "at": last["updated"], "id": last["id"]})}
    answer["createdBefore" if by == "created" else "lastUpdatedBefore"] = shapes.seconds(upto)
    return answer


def _order_filter(shop: Shop) -> tuple[list[str], list[object], str]:
    """Conditions, their values, and up to when the list is complete."""
    created, updated = time("createdAfter"), time("lastUpdatedAfter")
    if (created is None) == (updated is None):
        raise invalid("You must provide exactly one of createdAfter and lastUpdatedAfter.")
    by, since = ("created", created) if created else ("updated", updated)
    assert since is not None
    before = time("createdBefore" if created else "lastUpdatedBefore")
    other = time("lastUpdatedBefore" if created else "createdBefore")
    if other is not None:
        raise invalid("createdAfter and createdBefore belong together, and so do the lastUpdated dates.")
    upto = _complete_until(shop, since, before)
    where, values = [f"{by} >= ?"], [stored(since)]
    for column, given in (
        ("status", among("fulfillmentStatuses", STATUSES)),
        ("marketplace", several("marketplaceIds", 50) or list(shop.marketplaces)),
    ):
        if given:
            where.append(f"{column} IN ({', '.join('?' * len(given))})")
            values += given
    parties = among("fulfilledBy", ("MERCHANT", "AMAZON"))
    if len(set(parties)) == 1:
        where.append("channel = ?" if parties[0] == "MERCHANT" else "channel <> ?")
        values.append(SELLER_CHANNEL)
    return where, list(values), upto


def _complete_until(shop: Shop, since: datetime, before: datetime | None) -> str:
    late = shop.now() - shop.pace.order_list
    if before is not None:
        if before > shop.now() - LAST:
            raise invalid("The date before must be at least two minutes before the time of the request.")
        if before < since:
            raise invalid("The date before must be equal to or after the date after.")
        late = min(late, before)
    return stored(late)


def _sealed(values: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _opened(token: str) -> Json:
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError):
        raise invalid("The pagination token is not valid.") from None
    if not isinstance(found, dict):
        raise invalid("The pagination token is not valid.")
    return found


# listings -------------------------------------------------------------------------------------------------------


def _listings(pages: Blueprint, desk: Desk) -> None:
    shop = desk.shop

    @pages.get("/listings/2021-08-01/items/<seller>")
    def search_listings(seller: str) -> Response:
        return desk.answer("searchListingsItems", lambda db: (200, _search_listings(shop, db, seller)))

    @pages.get("/listings/2021-08-01/items/<seller>/<path:sku>")
    def get_listing(seller: str, sku: str) -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            marketplaces, included = _asked(shop, seller), among("includedData", LISTING_DATA, "summaries")
            name = _sku()
            row = db.execute("SELECT * FROM listing WHERE sku = ?", (name,)).fetchone()
            if row is None or not set(marketplaces) & set(json.loads(row["marketplaces"])):
                raise not_found(f"SKU '{name}' not found in marketplace {','.join(marketplaces)}")
            return 200, shapes.listing(shop, db, row, included, marketplaces)

        return desk.answer("getListingsItem", do)

    @pages.patch("/listings/2021-08-01/items/<seller>/<path:sku>")
    def patch_listing(seller: str, sku: str) -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            marketplaces = _asked(shop, seller)
            preview = among("mode", ("VALIDATION_PREVIEW",)) != []
            return 200, _patch(shop, db, _sku(), body(), marketplaces, preview=preview)

        return desk.answer("patchListingsItem", do)


def _sku() -> str:
    """The SKU as it was encoded: the server's own path has lost whether a slash was."""
    raw = str(request.environ.get("REQUEST_URI") or request.environ.get("RAW_URI") or request.path)
    return unquote(raw.partition("?")[0].split("/", 5)[5])


def _asked(shop: Shop, seller: str) -> list[str]:
    """The marketplaces asked for, of the seller asked for."""
    if seller != shop.seller:
        raise Refused(403, "Unauthorized", "Access to requested resource is denied.", "This is another seller's.")
    given = several("marketplaceIds")
    if not given:
        raise invalid("Required parameter 'marketplaceIds' is missing.")
    for marketplace in given:
        if marketplace not in shop.marketplaces:
            raise invalid(f"Invalid 'marketplaceIds' provided: {marketplace}.")
    return given


def _search_listings(shop: Shop, db: sqlite3.Connection, seller: str) -> Json:
    marketplaces, included = _asked(shop, seller), among("includedData", LISTING_DATA, "summaries")
    size = whole("pageSize", 10, 1, 20)
    where, values = _listing_filter()
    order = SORTED[(among("sortBy", SORTED) or ["lastUpdatedDate"])[0]]
    way = (among("sortOrder", ("ASC", "DESC")) or ["DESC"])[0]
    rows = db.execute(f"SELECT * FROM listing WHERE {where} ORDER BY {order} {way}, sku", values).fetchall()
    found = [row for row in rows if set(json.loads(row["marketplaces"])) & set(marketplaces)]
    token = request.args.get("pageToken")
    at = int(_opened(token).get("at", 0)) if token else 0
    page, next_at = found[at : at + size], at + size
    answer: Json = {
        "numberOfResults": len(found),
        "pagination": {},
        "items": [shapes.listing(shop, db, row, included, marketplaces) for row in page],
    }
    if next_at < min(len(found), MOST_SEARCHED):
        answer["pagination"]["nextToken"] = _sealed({"at": next_at})
    if at:
        answer["pagination"]["previousToken"] = _sealed({"at": max(at - size, 0)})
    return answer


def _listing_filter() -> tuple[str, list[object]]:
    where: list[str] = ["1"]
    values: list[object] = []
    skus, kind = several("identifiers", 20), request.args.get("identifiersType")
    if bool(skus) != bool(kind):
        raise invalid("'identifiers' and 'identifiersType' must be given together.")
    if skus:
        column = {"SKU": "sku", "ASIN": "asin"}.get(kind or "")
        if column is None:
            raise invalid(f"Invalid value '{kind}' for identifiersType.")
        where.append(f"{column} IN ({', '.join('?' * len(skus))})")
        values += skus
    for name, condition in (
        ("createdAfter", "created >= ?"),
        ("createdBefore", "created <= ?"),
        ("lastUpdatedAfter", "updated >= ?"),
        ("lastUpdatedBefore", "updated <= ?"),
    ):
        if (at := time(name)) is not None:
            where.append(condition)
            values.append(stored(at))
    return " AND ".join(where), values


def _patch(
    shop: Shop, db: sqlite3.Connection, sku: str, asked: Json, marketplaces: Sequence[str], *, preview: bool
) -> Json:
    patches = asked.get("patches")
    if not isinstance(patches, list) or not patches:
        raise invalid("'patches' must have at least one operation.")
    row = db.execute("SELECT * FROM listing WHERE sku = ?", (sku,)).fetchone()
    found = issues(row, text_of(asked, "productType"), patches)
    status = "INVALID" if found else "VALID" if preview else "ACCEPTED"
    answer = {"sku": sku, "status": status, "submissionId": uuid.uuid4().hex, "issues": found}
    if status == "ACCEPTED":
        db.execute("UPDATE listing SET patched = ? WHERE sku = ?", (shop.stamp(), sku))
        shop.submit(db, sku, patches, marketplaces, shop.stamp(shop.pace.listing))
    for issue in found:
        issue["marketplaceIds"] = list(marketplaces)
    return answer


def issues(row: sqlite3.Row | None, product_type: str, patches: Sequence[Any]) -> list[Json]:
    """Why a submission for a listing cannot be taken; none: it can."""
    if row is None:
        return [_issue("13013", "This SKU does not exist in the catalogue.", "INVALID_ATTRIBUTE")]
    if product_type not in (row["product_type"], "PRODUCT"):
        message = f"The product type '{product_type}' is not that of this listing."
        return [_issue("4000003", message, "INVALID_ATTRIBUTE", "productType")]
    return [issue for patch in patches for issue in _patch_issues(row, patch)]


def _patch_issues(row: sqlite3.Row, patch: Any) -> list[Json]:
    if not isinstance(patch, Mapping) or patch.get("op") not in OPERATIONS:
        raise invalid(f"'op' must be one of {', '.join(OPERATIONS)}.")
    path, value = patch.get("path"), patch.get("value", [])
    if not isinstance(path, str) or not path.startswith("/attributes/") or path.count("/") != 2:
        raise invalid("'path' must name a top-level attribute, as /attributes/NAME.")
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise invalid("'value' must be a list of objects.")
    if path != "/attributes/fulfillment_availability" or patch["op"] == "delete":
        return []
    if not row["channel"]:
        return [_issue("90244", "A parent of variations has no availability.", "INVALID_ATTRIBUTE", _FIELD)]
    if len(value) != 1:
        return [_issue("90220", f"'{_FIELD}' needs one value.", "MISSING_ATTRIBUTE", _FIELD)]
    return _availability_issues(value[0])


_FIELD = "fulfillment_availability"


def _availability_issues(value: Mapping[str, Any]) -> list[Json]:
    channel, quantity = value.get("fulfillment_channel_code"), value.get("quantity")
    if not isinstance(channel, str) or not channel:
        return [_issue("90220", "'fulfillment_channel_code' is required but missing.", "MISSING_ATTRIBUTE", _FIELD)]
    if quantity is None:
        return []
    if not isinstance(quantity, int) or isinstance(quantity, bool) or not 0 <= quantity <= MOST_UNITS:
        message = f"The value of 'quantity' must be a whole number from 0 to {MOST_UNITS}."
        return [_issue("90225", message, "INVALID_ATTRIBUTE", _FIELD)]
    return []


def _issue(code: str, message: str, category: str, attribute: str = "") -> Json:
    issue: Json = {"code": code, "message": message, "severity": "ERROR", "categories": [category]}
    if attribute:
        issue["attributeNames"] = [attribute]
    return issue


# Amazon's own warehouses, and the account ------------------------------------------------------------------------


def _others(pages: Blueprint, desk: Desk) -> None:
    shop = desk.shop

    @pages.get("/fba/inventory/v1/summaries")
    def inventory() -> Response:
        return desk.answer("getInventorySummaries", lambda db: (200, _inventory(shop, db)))

    @pages.get("/sellers/v1/marketplaceParticipations")
    def participations() -> Response:
        def do(db: sqlite3.Connection) -> Answered:
            return 200, {"payload": [_participation(shop, m) for m in shop.marketplaces]}

        return desk.answer("getMarketplaceParticipations", do)


def _inventory(shop: Shop, db: sqlite3.Connection) -> Json:
    marketplaces = several("marketplaceIds")
    if request.args.get("granularityType") != "Marketplace" or not marketplaces:
        raise invalid("granularityType must be 'Marketplace', and marketplaceIds given.")
    skus = several("sellerSkus", 50)
    token = request.args.get("nextToken")
    at = int(_opened(token).get("at", 0)) if token else 0
    rows = [
        row
        for row in db.execute("SELECT * FROM listing WHERE channel NOT IN (?, '') ORDER BY sku", (SELLER_CHANNEL,))
        if not skus or row["sku"] in skus
    ]
    answer: Json = {
        "payload": {
            "granularity": {"granularityType": "Marketplace", "granularityId": marketplaces[0]},
            "inventorySummaries": [shapes.inventory(row) for row in rows[at : at + 50]],
        }
    }
    if at + 50 < len(rows):
        answer["pagination"] = {"nextToken": _sealed({"at": at + 50})}
    return answer


def _participation(shop: Shop, marketplace: str) -> Json:
    m = MARKETPLACES[marketplace]
    return {
        "marketplace": {
            "id": m.id,
            "name": m.name,
            "countryCode": m.country,
            "defaultCurrencyCode": m.currency,
            "defaultLanguageCode": m.language,
            "domainName": f"www.{m.name.lower()}",
        },
        "storeName": shop.display_name,
        "participation": {"isParticipating": True, "hasSuspendedListings": False},
    }
