"""Setting figures: what is sent, and what an answer to a batch means for each of its entries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sheets_sync.channels import Outcome, PushResult, Target
from sheets_sync.channels.shopify.ids import bare, gid
from sheets_sync.model import Ref

MOST_FIGURE = 1_000_000_000

RETRY_AFTER = 10.0
"""Seconds until a write that was not made is worth trying again, where the vendor does not say."""

OURS = "Shopify refused the form of the call, which it took so far: its API may have changed; look for a newer version"

WHY: Mapping[str, str] = MappingProxyType(
    {
        "INVALID_INVENTORY_ITEM": "Shopify has no such inventory item any more: the product was deleted there",
        "INVALID_LOCATION": "Shopify has no such location any more",
        "ITEM_NOT_STOCKED_AT_LOCATION": "not stocked at its location: tick the location in the product's Inventory box",
        "NON_MUTABLE_INVENTORY_ITEM": "a bundle: Shopify works its figure out from its parts, and it cannot be set",
        "INVALID_QUANTITY_TOO_HIGH": "the figure is higher than Shopify takes (1,000,000,000)",
        "INVALID_QUANTITY_TOO_LOW": "the figure is lower than Shopify takes (-1,000,000,000)",
        "INVALID_QUANTITY_NEGATIVE": "Shopify does not take a negative figure here",
        "NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR": "its inventory item stands twice in one call",
        "INVALID_REASON": OURS,
        "INVALID_NAME": OURS,
        "INVALID_REFERENCE_DOCUMENT": OURS,
        "COMPARE_QUANTITY_REQUIRED": OURS,
    }
)
"""User error codes of inventorySetQuantities, in words for the seller."""

STALE_CODES = frozenset({"CHANGE_FROM_QUANTITY_STALE", "COMPARE_QUANTITY_STALE"})
KEY_CODES = frozenset({"IDEMPOTENCY_KEY_PARAMETER_MISMATCH", "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED"})
"""The key was used before, in vain or for something else: nothing was written, and another key is needed."""

BUSY_CODE = "IDEMPOTENCY_CONCURRENT_REQUEST"


def batch_key(targets: Sequence[Target], attempt: int) -> str:
    """An idempotency key: the same for the same targets in the same attempt, another one for every other attempt."""
    text = "\n".join(
        [str(attempt), *(f"{t.key} {t.ref.parent} {t.ref.place} {t.figure} {t.expected}" for t in targets)]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Verdict:
    """What one answer to a batch settles. `left` was not applied, as far as the answer tells, and may be sent again."""

    settled: Mapping[Ref, PushResult] = field(default_factory=dict)
    left: tuple[Target, ...] = ()


def read_set(targets: Sequence[Target], payload: Mapping[str, Any]) -> Verdict:
    """The answer to one inventorySetQuantities.

    No user error: all of it holds (a null group only says that nothing had to change). With errors: bad entries are
    settled, entries named in the group's changes were applied, and the rest is left. Sent again with the same expected
    figure, an entry that had been applied after all comes back stale, and the figure is read.
    """
    errors = payload["userErrors"]
    if not errors:
        return Verdict({t.ref: PushResult(t.ref, Outcome.APPLIED, actual=t.figure) for t in targets})
    settled: dict[Ref, PushResult] = {}
    whole = [error for error in errors if _index(error, len(targets)) is None]
    for error in errors:
        index = _index(error, len(targets))
        if index is not None:
            settled.setdefault(targets[index].ref, _refusal(targets[index].ref, error))
    group = payload["inventoryAdjustmentGroup"] or {"changes": []}
    changed = {(bare(c["item"]["id"]), bare(c["location"]["id"])) for c in group["changes"] if _named(c)}
    for target in targets:
        if (target.ref.parent, target.ref.place) in changed:
            settled.setdefault(target.ref, PushResult(target.ref, Outcome.APPLIED, actual=target.figure))
    left = tuple(target for target in targets if target.ref not in settled)
    if whole and whole[0]["code"] not in KEY_CODES:
        return Verdict(settled | {t.ref: _refusal(t.ref, whole[0]) for t in left})
    return Verdict(settled, left)


def _named(change: Mapping[str, Any]) -> bool:
    return change["item"] is not None and change["location"] is not None


def _index(error: Mapping[str, Any], count: int) -> int | None:
    """Which entry an error's path names: ["input", "quantities", "0", "inventoryItemId"]."""
    path = error["field"] or []
    if len(path) < 3 or path[1] != "quantities" or not str(path[2]).isdigit() or int(path[2]) >= count:
        return None
    return int(path[2])


def _refusal(ref: Ref, error: Mapping[str, Any]) -> PushResult:
    code, said = str(error["code"] or ""), str(error["message"])
    if code in STALE_CODES:
        return PushResult(ref, Outcome.STALE, why="the shop shows another figure than expected")
    if code == BUSY_CODE:
        return PushResult(ref, Outcome.UNKNOWN, why="Shopify is still at work on this very write")
    return PushResult(ref, Outcome.REFUSED, why=WHY.get(code, f"Shopify refused it: {said}"))


def set_variables(targets: Sequence[Target], key: str) -> dict[str, Any]:
    """The variables of one call that sets these figures."""
    entries = [
        {
            "inventoryItemId": gid("InventoryItem", target.ref.parent),
            "locationId": gid("Location", target.ref.place),
            "quantity": target.figure,
            "changeFromQuantity": target.expected,
        }
        for target in targets
    ]
    reference = f"gid://sheets-sync/Push/{key}"
    given = {"name": "available", "reason": "correction", "referenceDocumentUri": reference, "quantities": entries}
    return {"input": given, "key": key}


def unfit(target: Target, twice: bool) -> PushResult | None:
    """Why a target must not be sent; None where it may."""
    if not target.ref.place:
        return PushResult(target.ref, Outcome.REFUSED, why="kept at several locations, or at none: it is only shown")
    if abs(target.figure) > MOST_FIGURE:
        return PushResult(target.ref, Outcome.REFUSED, why=WHY["INVALID_QUANTITY_TOO_HIGH"])
    if twice:
        why = "its inventory item stands twice in one push; only the first figure was sent"
        return PushResult(target.ref, Outcome.RETRY, why=why, retry_after=0.0)
    return None
