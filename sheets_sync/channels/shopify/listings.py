"""Listings and figures: a variant, its inventory item, and where that is stocked; read in pages or by a bulk operation.

A bulk operation answers with a file of lines: each object on its own, a nested one with the id of the object that it
belongs to, and not always below it. `read_bulk` puts the variants together again, so that both ways give the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import orjson

from sheets_sync.channels.shopify.ids import bare, sku_of, title_of
from sheets_sync.model import Figure, Ref, RemoteListing


def read_variant(
    node: Mapping[str, Any], location: str = "", mapped: Collection[str] = ()
) -> Iterator[RemoteListing]:  # fmt: skip
    """The listings of a variant: one, or with `mapped` locations one at each of its own (P8). `location`: the one
    location that was chosen, "" where none was.
    """
    levels = {bare(level["location"]["id"]): level for level in node["inventoryItem"]["inventoryLevels"]["nodes"]}
    if location:
        levels = {place: level for place, level in levels.items() if place == location}
    if not mapped or not levels:
        yield _listing(node, levels)
        return
    for place, level in levels.items():
        unmapped = "" if place in mapped else (
            f"its location {level['location']['name']} ({place}) is none of yours: add it to location_of in the shop's "
            "section of config.toml"
        )  # fmt: skip
        yield _listing(node, {place: level}, unmapped)


def _listing(node: Mapping[str, Any], levels: Mapping[str, Mapping[str, Any]], unmapped: str = "") -> RemoteListing:
    item = node["inventoryItem"]
    place = next(iter(levels)) if len(levels) == 1 else ""
    why_not = _why_not(item, levels) or unmapped
    return RemoteListing(
        ref=Ref(bare(node["id"]), bare(item["id"]), place),
        sku=sku_of(node["sku"]),
        title=title_of(node["product"]["title"], node["title"]),
        shows=_summed(levels.values()) if item["tracked"] else None,
        pushable=not why_not,
        why_not=why_not,
        barcode=str(node.get("barcode") or ""),
    )


def _why_not(item: Mapping[str, Any], levels: Mapping[str, Mapping[str, Any]]) -> str:
    if not item["tracked"]:
        return "Shopify does not track its quantity: tick 'Track quantity' in the product's Inventory box"
    if not levels:
        return "not stocked at a location that we may set: tick one in the product's Inventory box"
    names = [f"{level['location']['name']} ({place})" for place, level in levels.items()]
    if len(levels) > 1:
        return (
            f"kept at {len(levels)} locations, {', '.join(names)}: it is only shown until the shop's section of "
            "config.toml says by location_of which of yours they are"
        )
    if any(level["location"]["isFulfillmentService"] for level in levels.values()):
        return f"{names[0]} is a fulfilment service, which sets its own figures"
    return ""


def _summed(levels: Iterable[Mapping[str, Any]], name: str = "available") -> int | None:
    figures = [int(q["quantity"]) for level in levels for q in level["quantities"] if q["name"] == name]
    return sum(figures) if figures else None


def read_figure(ref: Ref, node: Mapping[str, Any] | None) -> Figure:
    """The figure of an inventory item; None where it is gone, untracked, or not stocked there."""
    if not node or not node["tracked"]:
        return Figure(ref, None)
    if "inventoryLevels" in node:
        return Figure(ref, _summed(node["inventoryLevels"]["nodes"]))
    levels = [] if node["inventoryLevel"] is None else [node["inventoryLevel"]]
    return Figure(ref, _summed(levels), promised=_summed(levels, "committed"))


def read_bulk(
    lines: Iterable[bytes], location: str = "", mapped: Collection[str] = ()
) -> Iterator[RemoteListing]:  # fmt: skip
    """The listings in a bulk operation's file. ValueError where it is not what was asked for."""
    variants: list[dict[str, Any]] = []
    levels: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        if not line.strip():
            continue
        found = orjson.loads(line)
        if "__parentId" in found:
            levels.setdefault(str(found["__parentId"]), []).append(found)
        else:
            variants.append(found)
    for variant in variants:
        item = variant["inventoryItem"]
        # which of the two objects around it a level names as its parent is not published
        nodes = levels.get(str(item["id"]), []) + levels.get(str(variant["id"]), [])
        yield from read_variant(
            {**variant, "inventoryItem": {**item, "inventoryLevels": {"nodes": nodes}}}, location, mapped
        )  # fmt: skip
