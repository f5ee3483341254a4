"""What the ledger knows that a decision about the sheet needs, read from one view of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sheets_sync import adjusting, edits, guard, masses
from sheets_sync.desk import ANSWERED, UNDONE, UNDONE_TAG, Desk, kits_of
from sheets_sync.ledger import View
from sheets_sync.model import MAIN, Cell, Event, Look, Origin, Question, StockKey
from sheets_sync.review import APPROVED

OURS_FOR = timedelta(days=1)  # for so long what we wrote by mistake is told from what people type


def known_of(
    view: View, desk: Desk, skus: frozenset[str], pairs: frozenset[tuple[str, str]], *, adopting: bool = False
) -> edits.Known:
    """What settling must know of these SKUs, read in the transaction that records."""
    balances = view.balances(skus)
    kits = frozenset(kits_of(view))
    stock = {k.sku: b.stock for k, b in balances.items() if b.counted and k.location == MAIN and k.sku not in kits}
    edited = {sku: e for sku, e in view.last_edits(skus).items() if _moved_since(e, balances[StockKey(sku)].event_id)}
    questions, holds = view.questions(), desk.holds
    asked = frozenset((str(q.about.get("exchange")), q.sku) for q in questions if q.kind == "restored")
    many = len(pairs) >= min((n for n in (holds.edits, holds.zeros) if n is not None), default=len(pairs) + 1)
    return edits.Known(
        stock, view.taken(pairs), answered(view, pairs), restored=asked & pairs, last_edit=_figures(edited),
        orders_asked=adjusting.orders_held(questions), approved=approved(view, pairs), kits=kits, holds=holds,
        masses=held_in_cells(questions), moved=moved_columns(questions), computed=computed(questions),
        undone=undone(view, pairs),
        misplaced=misplaced(view),
        orders=adjusting.orders_known(view, desk, skus), adopting=adopting,
        counted_at={k.sku: b.last_count_at for k, b in balances.items() if b.counted and k.location == MAIN},
        listings=Counter(item.sku for item in view.listings(skus=skus) if item.sku) if many else {},
    )  # fmt: skip


def held_in_cells(asked: Iterable[Question]) -> list[Question]:
    """The open holds of many rows that still stand in the sheet."""
    return [q for q in asked if q.kind in masses.KINDS and q.origin is Origin.CELL]


def moved_columns(asked: Iterable[Question]) -> dict[tuple[str, str], Cell]:
    """H4: the figures, by (exchange, SKU), that are held because a column was moved without its rows."""
    return {(str(q.about.get("exchange")), q.sku): q.typed for q in asked if q.kind == "moved_column"}


def kept(asked: Iterable[Question]) -> list[Question]:
    """The open questions about cells that the cells alone do not tell again."""
    found = [q for q in asked if q.origin is Origin.CELL]
    return [q for q in found if q.kind in ("restored", "moved_column") or q.reference == guard.CAME_BACK]


def computed(asked: Iterable[Question]) -> dict[tuple[str, str], Question]:
    """S6: what is held because a formula in the sheet gives it or gave it, by (exchange, SKU)."""
    held = [q for q in asked if q.kind == "formula_held" and q.origin is Origin.CELL]
    came_back = [q for q in held if q.reference == guard.CAME_BACK]
    return {(str(q.about.get("exchange")), q.sku): q for q in (*held, *came_back)}


def answered(view: View, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Cell]:
    """Of these (exchange, SKU), the figures that an answer in Review has settled. They are kept like used tags."""
    found = view.taken((ANSWERED + exchange_id, sku) for exchange_id, sku in pairs)
    return {(exchange_id.removeprefix(ANSWERED), sku): typed for (exchange_id, sku), typed in found.items()}


def approved(view: View, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Cell]:
    """Of these (exchange, SKU), the figures of holds that were approved (H1)."""
    found = view.taken((APPROVED + exchange_id, sku) for exchange_id, sku in pairs)
    return {(exchange_id.removeprefix(APPROVED), sku): typed for (exchange_id, sku), typed in found.items()}


def misplaced(view: View) -> frozenset[tuple[str, Cell]]:
    """SKUs and the figures that we wrote into their rows by mistake, where what stood there still has to go back."""
    columns = (edits.ON_HAND, edits.TAG_FIGURE)  # one of the two may have had another header then
    return frozenset((item["sku"], item["expect"]) for _, item in view.put_backs() if item["column"] in columns)


def counted_before(
    view: View, counted_at: Mapping[str, datetime], made_at: datetime, newest: int | None
) -> frozenset[str]:
    """SKUs that were counted before an exchange's look, though later by the clock, which went back since. `newest` is
    the newest event as that look began, None where nobody knows it.
    """
    later = {sku for sku, at in counted_at.items() if at > made_at}
    if not later or newest is None:
        return frozenset()
    return frozenset(later - {e.fact.sku for e in view.events(after=newest) if e.fact.count is not None})


def strays(view: View, look: Look, counted: Collection[str], now: datetime) -> frozenset[Cell]:
    """Figures of ours that stayed, without their tags, in rows that had no SKU: they open none."""
    columns = look.columns
    rows = zip(columns[edits.SKU], columns[edits.ON_HAND], columns[edits.TAG_EXCHANGE], strict=True)
    if not any(tag is None and figure is not None and sku and sku not in counted for sku, figure, tag in rows):
        return frozenset()
    return frozenset(item["expect"] for item in view.put_backs_since(now - OURS_FOR) if not item["sku"])


def about_theirs(view: View, asked: Sequence[Question], now: datetime) -> list[Question]:
    """Without the questions about cells that were ours: columns and rows moved in two gaps running, and what the second
    exchange overwrote there was what the first had written by mistake. On hand is always asked about.
    """
    doubtful = [q for q in asked if q.kind == "lost_cell" and q.reference != edits.ON_HAND]
    if not doubtful:
        return list(asked)
    wrote = [(item["sku"], item["expect"]) for item in view.put_backs_since(now - OURS_FOR)]
    named = {key.sku for key in view.balances({q.sku for q in doubtful})}
    values = {expect for _, expect in wrote}
    ours = [q for q in doubtful if ((q.sku, q.typed) in wrote if q.sku in named else q.typed in values)]
    return [q for q in asked if q not in ours]


def undone(view: View, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Cell]:
    """Of these (exchange, SKU), the figures that this exchange overwrote by mistake, where they were put back into
    another row or none, and nobody has counted or answered them since."""
    pairs = list(pairs)
    typed = view.taken((UNDONE + exchange_id, sku) for exchange_id, sku in pairs)
    if not typed:
        return {}
    waiting = {(str(item["group"]).partition(":")[0], item["sku"]) for _, item in view.put_backs()}
    tags = view.taken((UNDONE_TAG + exchange_id, sku) for exchange_id, sku in pairs)
    over = {(exchange_id.removeprefix(UNDONE_TAG), sku): (str(tag), sku) for (exchange_id, sku), tag in tags.items()}
    found = {(exchange_id.removeprefix(UNDONE), sku): figure for (exchange_id, sku), figure in typed.items()}
    known = view.taken(over.values()).keys() | answered(view, over.values()).keys()
    return {pair: figure for pair, figure in found.items() if pair not in waiting and over[pair] not in known}


def undone_marks(settled: Mapping[tuple[str, str], tuple[Cell, Cell]]) -> dict[tuple[str, str], Cell]:
    """The same, as it is kept: like used tags."""
    return {
        (mark + exchange_id, sku): cell
        for (exchange_id, sku), cells in settled.items()
        for mark, cell in zip((UNDONE, UNDONE_TAG), cells, strict=True)
    }


def last_edits(edited: Mapping[str, Event], last: Mapping[str, Event]) -> dict[str, tuple[int, int]]:
    """S4: of SKUs that others have moved since their last edit, the figure before that edit and its change."""
    return _figures({sku: e for sku, e in edited.items() if sku in last and _moved_since(e, last[sku].id)})


def _moved_since(edit: Event, last_event: int) -> bool:
    return last_event > edit.id


def _figures(edited: Mapping[str, Event]) -> dict[str, tuple[int, int]]:
    out = {}
    for sku, event in edited.items():
        typed = guard.typed_in(event.fact.reference)
        if typed is not None:
            out[sku] = (typed - event.change.on_hand, event.change.on_hand)
    return out


def held(asked: Iterable[Question], kinds: Collection[str]) -> dict[str, Cell]:
    """SKU -> what was typed, of edits held in their cells, alone or with others (H2)."""
    out: dict[str, Cell] = {}
    for question in asked:
        if question.origin is not Origin.CELL:
            continue
        if question.kind in kinds:
            out[question.sku] = question.typed
        out |= {row.sku: row.typed for row in masses.rows_of(question)}
    return out


def typed_skus(look: Look) -> list[str]:
    """SKUs of the rows in which something was typed."""
    columns = look.columns
    rows = zip(columns[edits.SKU], columns[edits.ON_HAND], columns[edits.TAG_FIGURE], strict=True)
    return [sku for sku, figure, tag in rows if isinstance(sku, str) and figure != tag]


def typed_pairs(look: Look) -> list[tuple[str, str]]:
    """(tag's exchange, SKU) of the rows in which something was typed, as answers are kept by."""
    columns = look.columns
    rows = zip(
        *(columns[name] for name in (edits.SKU, edits.ON_HAND, edits.TAG_FIGURE, edits.TAG_EXCHANGE)), strict=True
    )
    typed = [(str(e), sku) for sku, figure, tag, e in rows if isinstance(sku, str) and figure != tag]
    return [pair for e, sku in typed for pair in ((e, sku), (edits.NEW, sku), (edits.TYPO, sku))]
