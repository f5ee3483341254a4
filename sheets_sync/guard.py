"""What is held, what is asked, and the words for it. A seller reads these sentences in Status; each says what to do.

A question has a key made of what was seen, so the same sight never asks twice and goes when its cause goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sheets_sync.model import Cell, Event, Kind, Origin, Question, Reason, Stock, Tag
from sheets_sync.stock import MOST

KINDS = {
    "text": "what stands in On hand is not a whole number",
    "below_zero": "the change would leave fewer than no units (S2)",
    "other_tag": "the row's hidden tag names another SKU: the SKU cell was changed, or the row was copied",
    "used_tag": "the row's change was recorded already: a copied row, or an old version of it",
    "untagged": "a figure was typed for a SKU that has a count, in a row that we have not written",
    "stray": "a figure that we left in the row by mistake, before it had a SKU",
    "reason": "the reason given does not fit the change (S11)",
    "undo": "the cell shows the figure from before the last edit again (S4)",
    "duplicate": "a SKU stands in several rows; none of them counts",
    "sku_number": "the SKU is a number or a formula result, so its leading zeros may be lost",
    "moved_column": "a column was sorted or moved without its rows (H4)",
    "drift": "a listing showed what no order explains (P5)",
    "undo_event": "Undo was ticked in the Ledger tab",
    "undo_refused": "Undo was ticked, and it cannot be undone",
    "mass": "many counts were changed at once, or set to zero (H1)",
    "jump": "a count rose improbably (H1)",
    "cleared": "On hand of many rows was cleared (H1)",
    "rows_missing": "half the rows are gone",
    "formula_held": "On hand holds a formula that refers to other cells (S6)",
    "late_note": "a Reason or Note stands in a row without a change (S5)",
    "restored": "a change stands in a version of the spreadsheet that was brought back",
    "lost_image": "what an exchange overwrote in this row was lost with the tab `_exchange`",
    "rename": "a new SKU appeared while another vanished (S9)",
    "alike": "a new SKU looks like one that has a count (S9)",
    "vanished": "a SKU has a count but no row any more",
    "lost_cell": "what a person typed was overwritten, and could not be put back",
    "formula": "what was overwritten may have been a formula; its value was put back",
    "unknown_sku": "an order names a SKU that we do not know (O8)",
    "cancellation": "the seller or the marketplace cancelled late (O2)",
    "gone_order": "the channel has no such order any more (O9)",
    "before_opening": "an order from before the opening still shows open units (B2)",
    "make_kit": "a SKU with a count of its own was made a kit (K1)",
    "start_undone": "Start was undone, and shops still show what we wrote (B6)",
    "order_source": "orders come from a source that may be another channel (O10)",
    "new_listing": "a listing appeared after Start, with a SKU that we do not know (B7)",
    "is_order": "a plus that an order's open question may be about (S10)",
    "adjustment": "a row of Adjustments equals a recorded one whose Id is gone (S8)",
    "adjustment_order": "the same as is_order, of a row of Adjustments",
    "stock_take": "a stock-take that looks improbable: large differences, many zeros, columns that slipped",
    "waiting": "promised units have not been shipped for long (O3)",
    "count_between": "a shipment's time moved over a count (O1)",
    "return": "units came back: sellable, damaged, or not arrived (O5)",
}


QUOTED = 60
"""Letters of what a person typed that a message repeats."""


@dataclass(frozen=True)
class Limits:
    """What is taken without asking. Config, `[limits]`."""

    batch_bytes: int = 1_500_000
    batch_requests: int = 2_000
    image_gap: int = 50  # rows that an image may copy in vain to save a request


def shown(cell: Cell) -> str:
    """A cell as a person sees it."""
    if cell is None:
        return "nothing"
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, str):
        return f"'{cell}'" if len(cell) <= QUOTED else f"'{cell[:QUOTED]}…'"
    return f"{cell:g}" if isinstance(cell, float) else str(cell)


def unmarked(text: str) -> str:
    """What Status says of a row that waits for a person, without the mark before it."""
    return text.removeprefix("? ").removeprefix("held: ")


def is_count(cell: Cell) -> bool:
    """A whole number of units, not below zero and not beyond belief. `True`, text and 3.5 are not."""
    return type(cell) is int and 0 <= cell <= MOST


# questions ------------------------------------------------------------------------------------------------------


def ask(
    kind: str,
    sku: str,
    text: str,
    at: datetime,
    *,
    typed: Cell = None,
    tag: Tag | None = None,
    origin: Origin = Origin.CELL,
    reference: str = "",
    about: Mapping[str, Cell] | None = None,
) -> Question:
    """A question whose key is its content. `kind` is one of KINDS; `about` what an answer will need besides."""
    base = tag.exchange if tag else None
    key = f"{kind}:{sku}:{base or ''}:{typed!r}:{reference}"
    more = {**({"exchange": base} if base is not None else {}), **(about or {})}
    return Question(key, kind, sku, text, origin, typed, tag.figure if tag else None, reference, at, more)


def not_a_count(typed: Cell, on_hand: int | None) -> str:
    keeps = "" if on_hand is None else f"; the ledger keeps {on_hand}"
    if typed is None:
        return f"? On hand is empty{keeps}. Type a whole number."
    if type(typed) is int and typed < 0:
        return f"? {typed} is below zero{keeps}. Type how many are there, 0 or more."
    if type(typed) is int and typed > MOST:
        return f"? {typed} is more than anybody has{keeps}. Was it a barcode? Type a whole number."
    if isinstance(typed, str) and typed.isdecimal():
        return f"? {shown(typed)} is text here, not a number{keeps}. Type it again as a number."
    if isinstance(typed, str) and not typed.strip():
        return f"? On hand holds nothing but spaces{keeps}. Type a whole number, like 12."
    if isinstance(typed, str) and typed in _ERRORS:
        return f"? What stands in On hand gives {typed}{keeps}. Mend the formula, or type a whole number."
    if isinstance(typed, float):
        what = "a date with a time" if typed > 1_000 else "a part, a percentage, a time of day"
        return f"? {shown(typed)} is not a whole number of units ({what}?){keeps}. Type a whole number, like 12."
    return f"? {shown(typed)} is not a whole number of units{keeps}. Type digits alone, like 12."


_ERRORS = frozenset("#DIV/0! #N/A #NAME? #NULL! #NUM! #REF! #VALUE! #ERROR!".split())
"""What the sheet shows where a formula fails."""


def count_of_kit(typed: Cell, sku: str) -> str:
    return f"? {shown(typed)} was typed, but {sku} is a kit and has no count. Clear On hand, and count its components."


def below_zero(typed: int, tag: int, on_hand: int) -> str:
    change = typed - tag
    return (
        f"held: {tag} to {typed} is {change}, but only {on_hand} are left, which would give {on_hand + change}. "
        f"Put {tag} or {on_hand} back, or count again."
    )


def other_tag(tag: Tag, known: bool) -> str:
    if known:
        return (
            f"? This row last held {shown(tag.sku)}; its figure was not taken. "
            "Put the SKU back, or clear On hand to get this SKU's own figure."
        )
    return f"? This row was copied from {shown(tag.sku)}. Clear On hand, wait a moment, then type this SKU's count."


def used_tag(typed: Cell) -> str:
    return (
        f"? {shown(typed)} stood over a figure whose change is recorded already (a copied row, or an old version). "
        "It was not taken again; type the change once more if you meant it."
    )


def untagged(typed: Cell, on_hand: int) -> str:
    return (
        f"? {shown(typed)} was typed in a new row, but this SKU already has {on_hand}. "
        f"Clear On hand to see {on_hand} here, then change it."
    )


def stray(figure: Cell) -> str:
    """Of a figure of ours that may be mistaken for a new SKU's count."""
    return (
        f"? {shown(figure)} was left in this row by mistake before it had a SKU, while columns moved. "
        "Type this SKU's count; if it is just that one, answer 'count' in Review."
    )


def bad_reason(reason: str, change: int, damaged: int) -> str:
    if reason == Reason.DISPOSED:
        return "? 'disposed' takes from Damaged, not from On hand. Put the figure back, or choose another reason."
    if reason == Reason.REPAIRED:
        return (
            f"? 'repaired' moves units from Damaged, where {damaged} are; this change is {change:+d}. "
            "Correct it, or choose another reason."
        )
    return f"? '{reason}' lowers On hand; this change is {change:+d}. Put the figure back, or choose another reason."


def lost_cell(sku: str, column: str, typed: Cell, at: datetime) -> Question:
    where = f"{column} of this row" if sku else f"{column} of a row without a SKU"
    text = f"? {shown(typed)} stood in {where} and was overwritten while rows moved. Type it again."
    return ask("lost_cell", sku, text, at, typed=typed, origin=Origin.IMAGE, reference=column)


def gap_text(typed: Cell, on_hand: int) -> str:
    return f"? {shown(typed)} was typed while we wrote and is not a whole number; the ledger keeps {on_hand}."


def in_gap(text: str, typed: Cell) -> str:
    """The same question about something that our own write has meanwhile replaced in its cell."""
    return f"{text} (You typed {shown(typed)}; the cell shows the ledger's figure now.)"


def restored(typed: int, tag: int, on_hand: int) -> str:
    change, back = typed - tag, " or ".join(map(str, dict.fromkeys((tag, on_hand))))
    return (
        f"held: an old version of the spreadsheet was brought back, and {typed} stands over {tag} in it ({change:+d}). "
        f"The ledger has {on_hand}. Answer in Review, or type {back}."
    )


def moved_figures(rows: int) -> str:
    return (
        f"held: the figures of {rows} rows are the old ones in another order. Was On hand sorted without its rows? "
        "Undo it in the sheet (Ctrl+Z), or answer in Review."
    )


def moved_skus(rows: int) -> str:
    return (
        f"held: the SKUs of {rows} rows are the old ones in another order. Was the SKU column sorted without its rows? "
        "Undo it in the sheet (Ctrl+Z), or answer in Review."
    )


def formula(text: str, value: Cell, on_hand: int | None) -> str:
    keeps = "" if on_hand is None else f" The ledger keeps {on_hand}."
    return (
        f"held: {text} gives {shown(value)} now and refers to other cells, so it may change by itself.{keeps} "
        "Type a number instead, or take its value as a count in Review."
    )


def gap_formula(value: Cell, on_hand: int) -> str:
    return (
        f"held: a formula that refers to other cells was typed here while we wrote, and gave {shown(value)}. "
        f"The ledger keeps {on_hand}. Type a number, or take its value as a count in Review."
    )


CAME_BACK = "came back as its value"
"""The reference of a `formula_held` whose formula is gone."""


def came_back(value: Cell, on_hand: int | None) -> str:
    """S6: of a formula that we overwrote as rows moved, and that gave this value."""
    keeps = "" if on_hand is None else f" The ledger keeps {on_hand}."
    return (
        f"held: a formula that refers to other cells stood here. As rows moved while we wrote, only its value "
        f"{shown(value)} came back.{keeps} Type another number, or take its value as a count in Review."
    )


def late_note(text: str) -> str:
    return f"? '{text}' stands here without a change and will not be kept for the next one. Clear it, or type it again."


def lost_image(seen: Cell, wrote: Cell) -> str:
    return (
        f"? We wrote {shown(wrote)} here over {shown(seen)}, and what stood there in that moment was lost with the tab "
        "_exchange. If you changed this figure just then, change it once more."
    )


def lost_row() -> str:
    """Of a row that came to stand where an exchange wrote, whose image is lost."""
    return (
        "? This row was moved while we wrote, and we wrote another SKU's figure over this one. What stood here in that "
        "moment was lost with the tab _exchange. If you changed this figure just then, change it once more."
    )


def duplicate(rows: list[int]) -> str:
    return f"? This SKU stands in rows {', '.join(map(str, rows[:5]))}; none of them counts. Keep one."


def number_sku(cell: Cell) -> str:
    return f"? The SKU {shown(cell)} is a number here, so leading zeros may be lost. Format the cell as plain text."


def rename(sku: str, gone: list[str]) -> str:
    names = ", ".join(gone[:3])
    return (
        f"? New here while {names} vanished. Is {shown(sku)} its new name, or a new SKU? Answer in Review; if it was a "
        f"slip, type {names} again."
    )


def alike(sku: str, other: str) -> str:
    return (
        f"? {shown(sku)} is new here and looks like {shown(other)}, which has a count. If it was a slip, "
        "correct the SKU. Is it a new name, or really another SKU? Answer in Review."
    )


def no_sku(sku: str) -> str:
    """For the row that lost it."""
    return f"? The SKU of this row is gone; it was {shown(sku)}. Type it again; until then the row does not count."


def vanished(sku: str, on_hand: int) -> str:
    return f"? {sku} has {on_hand} on hand but no row. Put its row back: a missing row is not zero."


def back_again(typed: int, on_hand: int, undo: int) -> str:
    return (
        f"? {typed} is the figure from before your last edit. Undoing that edit gives {undo}; "
        f"adding gives {typed}. Type {undo} or another figure."
    )


def is_order(sku: str, change: int, order: str, kind: str) -> str:
    why = "were cancelled" if kind == "cancellation" else "came back"
    return (
        f"? {change:+d} of {sku} was typed, and order {order} asks about units that {why}. Is it this order? "
        "Yes answers its question instead of adding; no adds."
    )


# status ---------------------------------------------------------------------------------------------------------

OK = "ok"


def typed_reference(typed: int, tag: int) -> str:
    """What an edit's event says it came from; `typed_in` reads it back."""
    return f"typed {typed} over {tag}"


def typed_in(reference: str) -> int | None:
    words = reference.split(" ")
    return int(words[1]) if len(words) == 4 and words[0] == "typed" and words[2] == "over" else None


def recorded(change: int, now: int, typed: int | None) -> str:
    """S1: what became of a typed figure."""
    exact = "" if typed is None or typed == now else f"; for exactly {typed} use Set to"
    return f"{change:+d} recorded, now {now}{exact}"


def damaged(units: int, now: int) -> str:
    return f"{units} moved to Damaged, now {now}"


def status_of(event: Event | None) -> str:
    """What Status says of a row about which nothing is asked: its last event, in words."""
    if event is None:
        return OK
    fact, change, now = event.fact, event.change, event.balance.on_hand
    match fact.kind:
        case Kind.ADJUSTMENT if change == Stock():
            return f"remark noted, now {now}"
        case Kind.ADJUSTMENT if fact.reason == Reason.DAMAGE and change.damaged > 0:
            return damaged(change.damaged, now)
        case Kind.ADJUSTMENT:
            return recorded(change.on_hand, now, typed_in(fact.reference))
        case Kind.OPENING:
            return f"opened with {now}"
        case Kind.STOCK_TAKE:
            return f"counted {fact.count}, now {now}"
        case Kind.REVERSAL:
            return f"undone ({change.on_hand:+d}), now {now}"
        case _:
            return OK


# reasons (S11) --------------------------------------------------------------------------------------------------


def moved_by(change: int, reason: str, stock: Stock) -> Stock | None:
    """What an edit of On hand by `change` moves, or None where the reason does not fit."""
    match reason:
        case Reason.DAMAGE:
            return Stock(on_hand=change, damaged=-change) if change < 0 else None
        case Reason.REPAIRED:
            return Stock(on_hand=change, damaged=-change) if 0 < change <= stock.damaged else None
        case Reason.DISPOSED:
            return None
    return Stock(on_hand=change)
