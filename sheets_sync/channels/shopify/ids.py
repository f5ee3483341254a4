"""Ids, SKUs, titles and times, as Shopify writes them and as we keep them."""

from __future__ import annotations

from datetime import UTC, datetime


def gid(kind: str, id: str) -> str:
    """The global id of a number that we keep: `gid://shopify/Order/1`."""
    return f"gid://shopify/{kind}/{id}"


def bare(id: str | int) -> str:
    """The number in a global id, or a REST id as text: what we keep. ValueError where there is none."""
    found = str(id).rpartition("/")[2].partition("?")[0]
    if not (found.isascii() and found.isdigit()):
        raise ValueError(f"'{id}' is no id of Shopify's")
    return found


def bare_or_blank(id: str | int | None) -> str:
    """`bare`, or "" where there is none."""
    return "" if id is None else bare(id)


def sku_of(text: object) -> str | None:
    """As it stands: text, never a number. Blank is none."""
    return text if isinstance(text, str) and text.strip() else None


def title_of(product: str, variant: str | None) -> str:
    """A listing's title: the product's, with the variant's where it has one of its own."""
    return product if not variant or variant == "Default Title" else f"{product} - {variant}"


def time_of(text: str) -> datetime:
    """A moment, aware. ValueError where the text is none, or has no zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time '{text}' has no zone")
    return moment.astimezone(UTC)
