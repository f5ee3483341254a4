"""Many changes typed in the gap between a look and its exchange: found only in the image, held together (H1, H2).

The image is judged as a look would have been: from as many changes on, or as many zeros, the rows are held as one
question of origin *image*. Our own write has replaced what was typed, so the question keeps all of it: figures over
their tags, reasons and notes. An approval takes each row as if it had been typed alone, under every other rule.

A row that another hold keeps in its cell, and that a sort has moved under our write, is not ours to take: it goes back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sheets_sync import guard, masses
from sheets_sync.edits import Known, hold
from sheets_sync.masses import Holds, Row
from sheets_sync.model import Cell, Fact, Kind, Origin, Question, Tag

Pair = tuple[str, str]
"""(exchange of the tag, SKU)."""


@dataclass(frozen=True)
class Texts:
    """The Reason and Note that stood beside a change."""

    reason: str = ""
    note: str = ""


def together(fresh: Sequence[Row], known: Known, at: datetime) -> frozenset[Pair]:
    """Which of these changes are too many to be taken without an answer, or a column moved without its rows (H4)."""
    if _moved(fresh):
        return frozenset((row.exchange, row.sku) for row in fresh)
    found, _ = masses.find(fresh, (), (), known.holds, {}, at)
    return frozenset((row.exchange, row.sku) for question in found for row in masses.rows_of(question))


def _moved(rows: Sequence[Row]) -> bool:
    return len(rows) > 1 and sorted(row.typed or 0 for row in rows) == sorted(row.tag for row in rows)


def in_cells(known: Known) -> dict[Pair, Cell]:
    """What the open holds of the look keep in their cells."""
    rows = (row for question in known.masses for row in masses.rows_of(question))
    held = {**known.moved, **{(row.exchange, row.sku): row.typed for row in rows}}
    return {pair: typed for pair, typed in held.items() if known.approved.get(pair) != typed}


def question(held: Mapping[Row, Texts], listings: Mapping[str, int], at: datetime) -> Question:
    """One question about all of them."""
    rows = list(held)
    one = masses.hold(masses.MASS, rows, listings, at)
    said = {row.sku: [texts.reason, texts.note] for row, texts in held.items() if texts != Texts()}
    moved = " These are the old figures in another order: was On hand sorted without its rows?" if _moved(rows) else ""
    text = f"{one.text}{moved} They were typed while we wrote these rows, whose cells show the ledger's figures now."
    about = {**one.about, "texts": json.dumps(said, ensure_ascii=False)}
    return replace(one, key=f"{one.key}:image", text=text, origin=Origin.IMAGE, about=about)


def by_sku(asked: Iterable[Question]) -> dict[str, Question]:
    """The questions about what no cell shows any more, by SKU; of one about many rows, what it says of each."""
    out: dict[str, Question] = {}
    for one in asked:
        if one.origin is Origin.IMAGE:
            rows = masses.rows_of(one)
            out |= {row.sku: replace(one, sku=row.sku, text=_status(row)) for row in rows} or {one.sku: one}
    return out


def _status(row: Row) -> str:
    return (
        f"held with others that were changed at once: {guard.shown(row.typed)} was typed over {row.tag} while we "
        "wrote. Answer in Review; the cell shows the ledger's figure."
    )


def pairs_of(asked: Question) -> frozenset[Pair]:
    """The rows of a question, as `Known` is asked for them."""
    return frozenset((row.exchange, row.sku) for row in masses.rows_of(asked))


def approved(
    asked: Question, known: Known, at: datetime, *, actor: str, name: str, note: str
) -> tuple[list[Fact], list[Question]]:
    """What an approval records, each against the figure of now, and what has to be asked about a row alone.

    `name`: how people call the question; its batch has that name, and is undone as one.
    """
    stock = dict(known.stock)
    known = replace(known, holds=Holds(), stock=stock)
    facts, questions = list[Fact](), list[Question]()
    said = json.loads(str(asked.about.get("texts") or "{}"))
    for row in masses.rows_of(asked):
        texts = Texts(*said.get(row.sku, ()))
        assert type(row.typed) is int
        if row.sku not in stock:
            questions.append(guard.lost_cell(row.sku, "On hand", row.typed, at))
            continue
        tag = Tag(row.sku, row.tag, row.exchange)
        held = hold(row.sku, row.typed, tag, texts.reason, known, at)
        if held:
            questions.append(in_image(held, row.typed, texts))
            continue
        moved = guard.moved_by(row.typed - row.tag, texts.reason, stock[row.sku])
        assert moved is not None
        stock[row.sku] = stock[row.sku].plus(moved)
        facts.append(Fact(
            f"edit:{row.exchange}:{row.sku}", row.sku, Kind.ADJUSTMENT, at, moved, source="review", actor=actor,
            reference=guard.typed_reference(row.typed, row.tag), reason=texts.reason, note=note or texts.note,
            batch=f"review-{name}",
        ))  # fmt: skip
    return facts, questions


def in_image(held: Question, typed: Cell, texts: Texts) -> Question:
    """The same question about a change that only an image has shown: its cell has our figure now."""
    about = {**held.about, "reason": texts.reason, "note": texts.note}
    return replace(held, text=guard.in_gap(held.text, typed), origin=Origin.IMAGE, about=about)
