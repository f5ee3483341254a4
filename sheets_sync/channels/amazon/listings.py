"""Amazon's listings as levels, and figures as Amazon wants them written. Pure functions of bodies.

A listing is a SKU of the seller, in all marketplaces that the channel is configured with. Its figure is the quantity of
the seller's own fulfilment (DEFAULT): what may be sold. A SKU that Amazon fulfils is shown and never pushed: a figure
written there turns the offer into the seller's own and strands the stock in Amazon's warehouse.

Sources: Listings Items API 2021-08-01, JSON_LISTINGS_FEED v2, the report GET_MERCHANT_LISTINGS_ALL_DATA.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from sheets_sync.channels import Outcome, PushResult, Target
from sheets_sync.errors import ChannelRefused
from sheets_sync.model import Ref, RemoteListing

OWN = "DEFAULT"
"""The fulfilment channel of a seller who ships himself; every other code is one of Amazon's."""

ANY_PRODUCT = "PRODUCT"
"""The product type that stands for any; used where the listing's own is not known."""

MOST_FIGURE = 999_999_999

BY_AMAZON = "Amazon ships it from its own stock (FBA): its figure is only shown"
NO_FIGURE = "it has no figure of yours on Amazon: complete the offer in Seller Central"


@dataclass(frozen=True)
class Seen:
    """What one marketplace shows of a SKU."""

    sku: str
    shows: int | None  # the seller's own quantity; None: there is none
    by_amazon: bool = False
    title: str = ""
    product_type: str = ""
    barcode: str = ""  # EAN, UPC or GTIN; only where the listing's attributes were asked for


def read_item(body: Mapping[str, Any]) -> Seen:
    """One item of searchListingsItems or getListingsItem."""
    summaries = [one for one in body.get("summaries") or () if isinstance(one, dict)]
    kinds = [one for one in (*summaries, *(body.get("productTypes") or ())) if isinstance(one, dict)]
    own, others = list[int](), False
    for part in body.get("fulfillmentAvailability") or ():
        if part.get("fulfillmentChannelCode") != OWN:
            others = True
        elif isinstance(part.get("quantity"), int):
            own.append(part["quantity"])
    return Seen(
        sku=str(body["sku"]),
        shows=None if others or not own else max(own),
        by_amazon=others,
        title=next((str(one["itemName"]) for one in summaries if one.get("itemName")), ""),
        product_type=next((str(one["productType"]) for one in kinds if one.get("productType")), ""),
        barcode=_barcode((body.get("attributes") or {}).get("externally_assigned_product_identifier")),
    )


def _barcode(identifiers: object) -> str:
    """The code that the listing was made with, of attributes that Amazon defines by product type."""
    found = [one for one in identifiers if isinstance(one, dict)] if isinstance(identifiers, list) else []
    return next((str(one["value"]) for one in found if one.get("value")), "")


def merged(seen: Iterable[Seen]) -> Seen:
    """One SKU over several marketplaces. Where they keep a figure each, the highest: the one that could oversell."""
    first, *rest = seen
    for one in rest:
        figures = [figure for figure in (first.shows, one.shows) if figure is not None]
        first = Seen(
            first.sku,
            max(figures, default=None),
            first.by_amazon or one.by_amazon,
            first.title or one.title,
            first.product_type or one.product_type,
            first.barcode or one.barcode,
        )
    return first


def listing_of(seen: Seen) -> RemoteListing:
    """As the catalogue shows it. Barred where Amazon fulfils it in any of its marketplaces."""
    why_not = BY_AMAZON if seen.by_amazon else NO_FIGURE if seen.shows is None else ""
    shows = None if seen.by_amazon else seen.shows
    return RemoteListing(
        Ref(seen.sku), seen.sku, seen.title, shows, pushable=not why_not, why_not=why_not, barcode=seen.barcode
    )


def read_stock_of_amazon(body: Mapping[str, Any]) -> dict[str, int]:
    """What Amazon has in its warehouses and may sell, by SKU (FBA Inventory API v1)."""
    found = (body.get("payload") or {}).get("inventorySummaries") or ()
    units = {
        str(one["sellerSku"]): (one.get("inventoryDetails") or {}).get("fulfillableQuantity", one.get("totalQuantity"))
        for one in found
        if one.get("sellerSku")
    }
    return {sku: quantity for sku, quantity in units.items() if isinstance(quantity, int)}


# the report -----------------------------------------------------------------------------------------------------

_SKU = ("seller-sku", "sku", "出品者sku", "händler-sku", "sku-vendeur", "sku-vendedor", "sku del vendedor")
"""How the report's header calls the SKU. In some marketplaces it is in the seller's language."""


def read_report(body: bytes) -> list[str]:
    """The SKUs of GET_MERCHANT_LISTINGS_ALL_DATA, in its order, each once.

    Its figures are left alone: they are as old as the report, and a figure is only good with the moment of its look.
    Raises ChannelRefused where the report has no column of SKUs.
    """
    rows = csv.reader(report_text(body).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = [name.strip().lower() for name in next(rows, [])]
    at = next((header.index(name) for name in _SKU if name in header), None)
    if at is None:
        raise ChannelRefused(
            f"Amazon's report of all listings has no column 'seller-sku'; it has: {', '.join(header)[:200]}. "
            "Set the account's report language to English in Seller Central"
        )
    return list(dict.fromkeys(row[at] for row in rows if len(row) > at and row[at]))


def report_text(body: bytes) -> str:
    """Reports come in UTF-8, or in whatever Windows spoke in that country."""
    for encoding in ("utf-8-sig", "cp932" if b"\x83" in body[:400] else "cp1252"):
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            continue
    return body.decode("latin-1")


# writing --------------------------------------------------------------------------------------------------------


def patch(figure: int, product_type: str) -> dict[str, Any]:
    """The change of one listing. `merge` leaves handling time and restock date alone, `replace` wipes them."""
    value = [{"fulfillment_channel_code": OWN, "quantity": figure}]
    change = {"op": "merge", "path": "/attributes/fulfillment_availability", "value": value}
    return {"productType": product_type or ANY_PRODUCT, "patches": [change]}


def read_patched(target: Target, body: Mapping[str, Any], job: str) -> PushResult:
    """What patchListingsItem says. ACCEPTED is not applied; INVALID is final."""
    status = body.get("status")
    if status == "ACCEPTED":
        return PushResult(target.ref, Outcome.ACCEPTED, job=job)
    if status == "INVALID":
        return PushResult(target.ref, Outcome.REFUSED, why=words(body.get("issues") or ()))
    return PushResult(target.ref, Outcome.UNKNOWN, why=f"Amazon answered with the status '{status}'")


def words(issues: Iterable[Mapping[str, Any]]) -> str:
    """Amazon's issues, errors only, for the seller."""
    said = [
        f"{one.get('message') or ''} ({one.get('code') or 'no code'})"
        for one in issues
        if one.get("severity", "ERROR") == "ERROR"
    ]
    return f"Amazon says: {'; '.join(said)[:300]}" if said else "Amazon refused it and does not say why"


def feed(seller: str, targets: Sequence[Target], product_types: Mapping[str, str]) -> bytes:
    """A JSON_LISTINGS_FEED: a message a listing, numbered from 1 in the order of the targets."""
    messages = [
        {"messageId": number, "sku": target.ref.listing, "operationType": "PATCH"}
        | patch(target.figure, product_types.get(target.ref.listing, ""))
        for number, target in enumerate(targets, 1)
    ]
    return orjson.dumps({"header": {"sellerId": seller, "version": "2.0"}, "messages": messages})


def read_feed_report(body: bytes) -> Iterator[PushResult]:
    """The listings that a feed's processing report refuses. What it does not name was accepted, and is to be looked at.

    Warnings and what was said of the listing as a whole refuse nothing.
    """
    report = orjson.loads(body)
    issues: dict[str, list[Mapping[str, Any]]] = {}
    for issue in report.get("issues") or ():
        if issue.get("severity") == "ERROR" and issue.get("sku"):
            issues.setdefault(str(issue["sku"]), []).append(issue)
    for sku, said in issues.items():
        yield PushResult(Ref(sku), Outcome.REFUSED, why=words(said))
