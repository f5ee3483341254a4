"""What an order document says: pure readings of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Doc = dict[str, Any]


def stamp(moment: datetime) -> str:
    """A time as the shop keeps it: UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unfulfilled(line: Doc) -> int:
    """Units still to be shipped."""
    return int(line["quantity"] - line["fulfilled"] - line["removed"])


def current(line: Doc) -> int:
    """Units ordered without those refunded or removed."""
    return int(line["quantity"] - line["removed"] - line["refunded"])


def fulfilment_word(order: Doc) -> str:
    sent = sum(line["fulfilled"] for line in order["lines"])
    open_units = sum(unfulfilled(line) for line in order["lines"])
    if sent and not open_units:
        return "FULFILLED"
    return "PARTIALLY_FULFILLED" if sent else "UNFULFILLED"
