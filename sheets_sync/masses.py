"""Changes that are suspicious by their number: many counts at once, many to zero, a column cleared, half the rows gone.

`find` sorts the rows of a look into holds. A hold keeps its own rows as (SKU, exchange, tag, typed), and its question
is named by the hash of exactly those: sales do not change it, later edits are judged alone, and rows can only leave
it, by being put back or typed anew (H1). Approval marks its rows; each is then taken as if it had been typed alone,
against the figure of then, under every other rule.

A look may be stale or torn. So a row has left only when two looks say so: otherwise a part of a hold might return as a
few edits that nobody would ask about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sheets_sync.model import Cell, Origin, Question

MASS, CLEARED, MISSING = "mass", "cleared", "rows_missing"
KINDS = frozenset({MASS, CLEARED, MISSING})
LEAST_MISSING = 10
"""Rows; fewer that vanish are asked about one by one, however few there were."""


@dataclass(frozen=True)
class Holds:
    """From how many on a change is asked about. None: never."""

    edits: int | None = None  # counts changed in one look
    zeros: int | None = None  # counts set to zero, or cleared, in one look
    jump: int | None = None  # units that one count rises by, where that is tenfold, too


class Row(NamedTuple):
    """One row of a hold: what was typed over which tag."""

    sku: str
    exchange: str
    tag: int
    typed: int | None


Marks = Mapping[tuple[str, str], Cell]
"""(exchange, SKU) -> what stands in the cell."""


def rows_of(question: Question) -> list[Row]:
    """The rows that a question holds; none where it holds no several."""
    text = question.about.get("rows")
    return [Row(*row) for row in json.loads(str(text))] if question.kind in (MASS, CLEARED) and text else []


def skus_of(question: Question) -> list[str]:
    """The SKUs whose rows are gone, of that question."""
    return [str(sku) for sku in json.loads(str(question.about["skus"]))] if question.kind == MISSING else []


def find(
    fresh: Sequence[Row],
    cleared: Sequence[Row],
    open_: Iterable[Question],
    holds: Holds,
    listings: Mapping[str, int],
    at: datetime, *, away: Collection[str] = (), left_before: Collection[tuple[str, str]] = (),
) -> tuple[list[Question], frozenset[tuple[str, str]]]:  # fmt: skip
    """The holds of a look, those that are open with the rows that still stand and new ones; and the rows that seem to
    have left, by (exchange, SKU).

    `fresh` are changed counts that no answer has released, `cleared` empty cells of SKUs with a count. Of SKUs that are
    `away` (gone for now, or there twice) nothing is known. `left_before` are the rows that seemed to have left before.
    """
    out, leaving = list[Question](), set[tuple[str, str]]()
    left = {(row.exchange, row.sku): row for row in (*fresh, *cleared)}
    for question in open_:
        before = rows_of(question)
        off = {row for row in before if left.get((row.exchange, row.sku)) != row and row.sku not in away}
        leaving |= {(row.exchange, row.sku) for row in off}
        stand = [row for row in before if row not in off or (row.exchange, row.sku) not in left_before]
        for row in set(before) - off:
            left.pop((row.exchange, row.sku), None)
        if stand:
            out.append(question if len(stand) == len(before) else hold(question.kind, stand, listings, at))
    news = [row for row in fresh if (row.exchange, row.sku) in left]
    zeros = [row for row in news if row.typed == 0 and row.tag > 0]
    if holds.edits is not None and len(news) >= holds.edits:
        out.append(hold(MASS, news, listings, at))
    elif holds.zeros is not None and len(zeros) >= holds.zeros:
        out.append(hold(MASS, zeros, listings, at))
    empty = [row for row in cleared if (row.exchange, row.sku) in left]
    if holds.zeros is not None and len(empty) >= holds.zeros:
        out.append(hold(CLEARED, empty, listings, at))
    return out, frozenset(leaving)


def hold(kind: str, rows: Sequence[Row], listings: Mapping[str, int], at: datetime) -> Question:
    """One question about these rows, which stand in their cells. `listings`: how many each SKU has."""
    text = _words(kind, rows, sum(listings.get(row.sku, 0) for row in rows))
    written = json.dumps(rows, separators=(",", ":"))
    return Question(_key(kind, written), kind, "", text, Origin.CELL, asked_at=at, about={"rows": written})


def _key(kind: str, contents: str) -> str:
    return f"{kind}:{hashlib.sha256(contents.encode()).hexdigest()[:24]}"


def _words(kind: str, rows: Sequence[Row], listings: int) -> str:
    some = ", ".join(f"{row.sku} {row.tag} to {'nothing' if row.typed is None else row.typed}" for row in rows[:3])
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    if kind == CLEARED:
        return f"held: On hand of {len(rows)} rows was cleared ({some}{more}). An empty cell is not zero; put back?"
    zeros = sum(row.typed == 0 for row in rows)
    change = sum((row.typed or 0) - row.tag for row in rows)
    none = f", {zeros} of them to zero" if zeros else ""
    return (
        f"held: {len(rows)} counts were changed at once{none} ({some}{more}), {change:+d} units in all. "
        f"It would change {listings} listings. Was that meant? Approve in Review, or put them back."
    )


def status_of(question: Question, row: Row) -> str:
    """What Status says of a row of a hold."""
    if question.kind == CLEARED:
        return f"held: On hand was cleared, here and elsewhere. Type {row.tag}, or answer in Review."
    return f"held with others that were changed at once. Type {row.tag} to put it back, or answer in Review."


def missing(gone: Sequence[str], of: int, at: datetime) -> Question | None:
    """One question about rows that are gone, where they are half of all or more."""
    if len(gone) < LEAST_MISSING or 2 * len(gone) < of:
        return None
    written = json.dumps(sorted(gone), separators=(",", ":"))
    text = (
        f"? {len(gone)} of {of} rows are gone ({', '.join(sorted(gone)[:3])} …). Nothing was changed: a missing "
        "row is not zero. Undo it in the sheet (Ctrl+Z), or have the rows written again."
    )
    return Question(_key(MISSING, written), MISSING, "", text, Origin.CELL, asked_at=at, about={"skus": written})


def jumps(before: int, after: int, holds: Holds) -> bool:
    """Whether one count rises improbably: by many units, and tenfold or from none."""
    return holds.jump is not None and after - before >= holds.jump and after >= 10 * max(before, 0)


def jump(typed: int, tag: int, on_hand: int) -> str:
    """The words for it."""
    return (
        f"held: {tag} to {typed} is {typed - tag:+d}, ten times what was there or more (the ledger has {on_hand}). "
        f"A slip of the keyboard, a date, a barcode? Answer in Review, or type {tag} again."
    )
