"""B7: a listing that appears after Start, of a SKU that nobody knows: it is asked about, and opened on a person's word.

Its figure is opened as the primary's was (B3): what its channel shows, and what it has taken off for units that are
still to be shipped. Its orders so far waited for the SKU and are counted then, each with its own time (O8, law 2).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from sheets_sync import booking, guard, seed_day
from sheets_sync.channels import Basis
from sheets_sync.desk import Desk
from sheets_sync.errors import BadInput
from sheets_sync.ledger import Tx
from sheets_sync.model import MAIN, Event, Fact, Kind, LineState, Listing, Question, Ref

KIND = "new_listing"
AT_ONCE = 50
"""A catalogue that grows by more than this is asked about in the Listings tab alone, not one by one in Review."""


def questions(desk: Desk, new: Iterable[Listing], at: datetime) -> list[Question]:
    """One question for each of these listings that nothing is matched to and that could be."""
    could = [i for i in new if i.sku is None and i.remote_sku and i.pushable and i.shown is not None]
    return [_question(desk, item, at) for item in {item.ref.listing: item for item in reversed(could)}.values()][::-1]


def _question(desk: Desk, item: Listing, at: datetime) -> Question:
    title = desk.titles[item.channel]
    text = (
        f"? {title} has a new listing, {item.title or item.remote_sku}, with the SKU {item.remote_sku}, which nobody "
        f"knows here. It shows {item.shown}. Open it with that figure, leave it alone, or map it in the Listings tab."
    )
    about = {"channel": item.channel, "listing": item.ref.listing, "parent": item.ref.parent, "place": item.ref.place}
    name = f"{item.channel}/{item.ref.listing}/{item.ref.place}"
    return guard.ask(KIND, item.remote_sku or "", text, at, reference=name, about=about)


def known_now(tx: Tx, skus: Collection[str | None]) -> None:
    """Close the questions about listings of these SKUs: they are ours now, by another road."""
    keys = {q.key for q in tx.questions() if q.kind == KIND and q.sku in skus} if skus else set()
    tx.close_questions(keys, "its SKU is known now")


def open_with_its_figure(tx: Tx, desk: Desk, question: Question, actor: str) -> list[Event]:
    """Open the SKU and match the listing. Raises BadInput where that can't be done any more."""
    about = question.about
    name = str(about["channel"])
    ref = Ref(str(about["listing"]), str(about["parent"]), str(about["place"]))
    item = next((found for found in tx.listings(name, ids=[ref.listing]) if found.ref == ref), None)
    sku = item.remote_sku if item else None
    if item is None or sku is None or item.shown is None or item.shown_at is None:
        raise BadInput("That listing is gone, or shows no figure any more; answer leave alone.")
    if item.sku is not None or any(b.counted for b in tx.balances([sku]).values()):
        raise BadInput(f"{sku} has been opened or mapped meanwhile; answer leave alone.")
    waiting = [line for line in tx.lines(name, open_only=True) if line.sku is None and _names(line, ref)]
    gross = desk.channels[name].capabilities.basis is Basis.GROSS
    held = booking.policies(tx, desk, name)
    on_shelf = [line for line in waiting if not (line.paid and held.at(line.placed_at).at_once)]
    here = 0 if gross else sum(seed_day.taken_and_here(line.level) for line in on_shelf)
    places = [i for i in tx.listings(name, ids=[ref.listing]) if i.pushable and i.shown is not None and i.sku is None]
    units = {desk.place_of(one): (one.shown or 0) * item.pack_size for one in places}
    units[desk.place_of(item)] += here * item.pack_size
    fact = Fact(
        f"opening:{name}:{ref.listing}:{ref.place}:{sku}", sku, Kind.OPENING, item.shown_at, source=name, actor=actor,
        reference=f"{desk.titles[name]} showed {item.shown}",
    )  # fmt: skip
    tx.put_listings([replace(one, sku=sku) for one in places])
    events = tx.append(_at_place(fact, place, n) for place, n in {MAIN: 0, **units}.items())
    for line in waiting:
        events += booking.settle(tx, desk, replace(line, sku=sku, pack_size=item.pack_size), actor=desk.titles[name])
    return events


def _names(line: LineState, ref: Ref) -> bool:
    """Whether an order's line is of that listing, at whatever place of its channel."""
    return line.level.ref is not None and line.level.ref.listing == ref.listing


def _at_place(fact: Fact, place: str, units: int) -> Fact:
    key = fact.key if place == MAIN else f"{fact.key}:{place}"
    return replace(fact, key=key, location=place, count=max(0, units))
