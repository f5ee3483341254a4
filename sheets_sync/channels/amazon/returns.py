"""What buyers send back to the seller: Amazon's orders do not tell, only its report of returns does.

The report GET_FLAT_FILE_RETURNS_DATA_BY_RETURN_DATE says which units of which order are on their way back, or there,
but not in what state: that is for a person to say. It is asked for now and then, made by Amazon in its own time, and
read when it is there; nothing waits for it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from sheets_sync.channels.amazon import wire
from sheets_sync.channels.amazon.listings import report_text
from sheets_sync.errors import CredentialsRefused, OtherSide
from sheets_sync.model import Order

log = structlog.get_logger(__name__)

REPORT_TYPE = "GET_FLAT_FILE_RETURNS_DATA_BY_RETURN_DATE"
EVERY = timedelta(hours=3)
OVERLAP = timedelta(days=2)
"""Each report begins so much before the one before it ended: it goes by the day."""

FIRST = timedelta(days=14)
"""Who asks for orders of longer ago is only beginning with us, and has dealt with what came back before."""

MOST_AT_ONCE = 20
"""Orders read again in one go: one call each, at one in two seconds once those saved up are used."""

_NEVER_CAME = ("denied", "rejected", "cancel", "declined")
"""Words in the status of a return that was not agreed to."""

Units = Mapping[str, int]
"""Units on their way back, by SKU."""

Rows = dict[str, tuple[str, int]]
"""Returns of one order: what tells a row from others -> SKU and units."""


def read_returns(body: bytes) -> dict[str, Rows]:
    """Returns by order. A report without the columns for that says nothing."""
    rows = csv.reader(report_text(body).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = [name.strip().lower() for name in next(rows, [])]
    found: dict[str, Rows] = {}
    if body and not set(_NEEDED) <= set(header):
        log.warning("returns.unreadable", header=header[:20])
        return found
    for cells in rows:
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        units = row.get("return quantity", "")
        status = row.get("return request status", "").lower()
        if not units.isdigit() or any(word in status for word in _NEVER_CAME):
            continue
        sku = row["merchant sku"]
        key = row.get("amazon rma id") or f"{row.get('return request date', '')} {sku}"
        found.setdefault(row["order id"], {})[f"{key} {sku}"] = (sku, int(units))
    return found


_NEEDED = ("order id", "merchant sku", "return quantity")


def with_returns(order: Order, units: Units) -> Order:
    """The order with what comes back of it, at most what was shipped; the first lines of a SKU first."""
    left = Counter(dict(units))
    lines = []
    for line in order.lines:
        back = min(left[line.sku or ""], line.sent)
        left[line.sku or ""] -= back
        lines.append(replace(line, returned=back))
    return replace(order, lines=tuple(lines))


@dataclass
class Returns:
    """The reports of returns of one seller: at most one in the making, and what the last ones said."""

    api: wire.Api
    marketplaces: tuple[str, ...]
    ordered: str = ""
    upto: datetime | None = None  # until when the reports reach
    ends: datetime | None = None  # until when the one in the making does
    known: dict[str, Rows] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)  # orders of which the last report says something new
    refused: str = ""

    def news(self, since: datetime, now: datetime) -> list[str]:
        """Orders to be read again, some of them; none while nothing is known that is new. Never raises."""
        try:
            if self.ordered:
                self._fetch()
            elif not self.refused and (self.upto is None or now - self.upto >= EVERY):
                begin = self.upto or (since if now - since < FIRST else now)
                self._order(min(begin, now) - OVERLAP, now)
        except CredentialsRefused as error:
            self.refused = str(error)
            log.warning("returns.refused", channel=self.api.who, why=str(error)[:200])
        except OtherSide as error:
            log.info("returns.later", channel=self.api.who, why=str(error)[:200])
        some, self.waiting = self.waiting[:MOST_AT_ONCE], self.waiting[MOST_AT_ONCE:]
        return some

    def _order(self, start: datetime, now: datetime) -> None:
        body = {
            "reportType": REPORT_TYPE,
            "marketplaceIds": list(self.marketplaces),
            "dataStartTime": wire.iso(start),
            "dataEndTime": wire.iso(now),
        }
        self.ordered, self.ends = wire.order_report(self.api, body), now

    def _fetch(self) -> None:
        found = wire.made_report(self.api, self.ordered)
        if found is None:
            return
        self.ordered, self.upto = "", self.ends
        for order, rows in read_returns(found).items():
            before = self.known.get(order, {})
            self.known[order] = {**before, **rows}
            if self.known[order] != before:
                self.waiting.append(order)

    def units(self, order: str) -> Units:
        """What comes back of an order, as far as the reports told."""
        found: Counter[str] = Counter()
        for sku, units in self.known.get(order, {}).values():
            found[sku] += units
        return found
