"""Low-stock levels, as people type them in Stock. What is no whole number is said in its row and warns of nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sheets_sync import guard
from sheets_sync.desk import LOW_LEVELS, Desk
from sheets_sync.model import Look
from sheets_sync.sheet import tabs


@dataclass(frozen=True)
class Typed:
    """What stands under Low-stock level in a look, in units by SKU, and what is wrong there."""

    levels: Mapping[str, int] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)


def typed(look: Look) -> Typed:
    """Read it. A blank cell, or one beside no SKU, asks for nothing."""
    cells = look.columns.get(tabs.LOW_STOCK, [])
    if cells.count(None) == len(cells):  # mostly there is nothing
        return Typed()
    rows = zip(look.columns.get(tabs.SKU, []), cells, strict=False)
    said = {sku: cell for sku, cell in rows if cell is not None and isinstance(sku, str)}
    levels = {sku: cell for sku, cell in said.items() if type(cell) is int}
    wrong = {
        sku: f"? {guard.shown(cell)} under {tabs.LOW_STOCK} is not a whole number, so nothing warns of this SKU: type "
        "one, like 5, or clear that cell"
        for sku, cell in said.items()
        if sku not in levels
    }
    return Typed(levels, wrong)


def note(desk: Desk, look: Look, before: Typed | None) -> Typed | None:
    """Keep the levels that a look shows, where they are not those of `before`; without that column it says nothing."""
    if tabs.LOW_STOCK not in look.columns:
        return before
    found = typed(look)
    if before is None or found.levels != before.levels:
        with desk.ledger.begin() as tx:
            if tx.get(LOW_LEVELS, {}) != found.levels:
                tx.put(LOW_LEVELS, found.levels)
    return found
