"""B6: Start undone, until the first sale. Pushing stops first; then shops may get their old figures.

Nothing is deleted: the openings are struck, each order line takes back what it moved, and the next Start reads them
anew. What a listing showed before our first write is kept with it (`Listing.before`), and `to_put_back` says which of
them still show what we wrote: a figure that somebody sold from, or changed, is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sheets_sync import booking, drift, guard, lines, offers
from sheets_sync.desk import (
    LAST_OPENED,
    OPENED,
    RETIRED,
    START_WANTED,
    STARTED,
    STARTS,
    Desk,
    joined,
    orders_cursor,
    remember,
    start_batch,
)  # fmt: skip
from sheets_sync.errors import BadInput
from sheets_sync.ledger import Tx, View
from sheets_sync.model import Event, Fact, Figure, Kind, LineState, Listing, Question, Ref

KIND = "start_undone"
PUT_BACK = "put back"


def put_back_wanted(channel: str) -> str:
    """The name of the state that says whether a channel's figures from before Start are to be put back."""
    return f"put_back:{channel}"


def undo_start(tx: Tx, desk: Desk, *, actor: str = "", note: str = "") -> list[Event]:
    """Strike the openings, take back what orders moved, and stop pushing. Raises BadInput after the first sale."""
    started = desk.started_at(tx)
    if started is None:
        raise BadInput("Start is undone already; `sheets-sync start` begins again.")
    every = [line for name in desk.channels for line in tx.lines(name)]
    sale = min((line for line in every if _is_sale(line) and line.placed_at >= started), key=_placed, default=None)
    if sale is not None:
        raise BadInput(
            f"{lines.order_name(sale)} was sold since Start, so it can't be undone any more. Correct the counts in the "
            "sheet: type over On hand, or post a stock-take."
        )
    events = [event for line in every for event in _take_back(tx, desk, line, actor)]
    batch = start_batch(desk, tx)
    at = desk.clock()
    strikes = [
        Fact(
            f"undo:{e.fact.key}", e.fact.sku, Kind.REVERSAL, e.recorded_at, strikes=e.fact.key,
            location=e.fact.location, source="undo", actor=actor, reference=f"event {e.id}", note=note,
            batch=f"undo-{at.isoformat()}",
        )
        for e in tx.events(batch=batch) if e.is_fact and tx.event_by_key(f"undo:{e.fact.key}") is None
    ]  # fmt: skip
    events += tx.append(replace(fact, occurred_at=at) for fact in strikes)
    for name in (STARTED, OPENED, LAST_OPENED, START_WANTED, RETIRED):
        tx.put(name, None)
    for name in desk.channels:
        tx.put(orders_cursor(name), None)
        tx.put(joined(name), None)
        drift.wait(tx, name, ())
        remember(tx, name, progress="", out_of_step=0, first_sync="", retired_at="")
    tx.ask(_questions(tx, desk))
    tx.put(STARTS, tx.get(STARTS, 0) + 1)
    return events


def _is_sale(line: LineState) -> bool:
    return line.counted and line.baseline is None and bool(line.moved or line.sku is None)


def _placed(line: LineState) -> tuple[object, str]:
    return line.placed_at, line.key


def _take_back(tx: Tx, desk: Desk, line: LineState, actor: str) -> list[Event]:
    """What a line moved is struck; whether it counts at all stays as it was."""
    events = booking.settle(tx, desk, replace(line, counted=False), actor=actor)
    struck = next(one for one in tx.lines(line.channel, order_id=line.order_id) if one.key == line.key)
    tx.put_line(lines.forgotten(replace(struck, counted=line.counted)))
    return events


def _questions(tx: Tx, desk: Desk) -> list[Question]:
    asked = []
    for name, title in desk.titles.items():
        written = [item for item in tx.listings(name) if item.before is not None]
        if written:
            text = (
                f"? Start was undone, and nothing is pushed any more. {len(written)} listings on {title} show figures "
                f"that we wrote since. Put the figures back that {title} showed before Start?"
            )
            asked.append(guard.ask(KIND, "", text, desk.clock(), reference=title, about={"channel": name}))
    return asked


def wants_put_back(view: View, channel: str) -> bool:
    """Whether a person said that the channel shall get its figures back."""
    return bool(view.get(put_back_wanted(channel)) == PUT_BACK)


def to_put_back(
    written: Mapping[Ref, Listing], sees: Mapping[Ref, Figure]
) -> list[tuple[Listing, int, int | None]]:  # fmt: skip
    """(listing, the figure from before Start, what it shows): those that show what we wrote, and not that already."""
    out: list[tuple[Listing, int, int | None]] = []
    for ref, item in written.items():
        shows = sees[ref].shows
        if item.before is not None and shows is not None and shows == offers.expected(item) != item.before:
            out.append((item, item.before, shows))
    return out


def done(tx: Tx, desk: Desk, channel: str, number: int) -> None:
    """The figures are back: nothing is remembered of the Start that was undone."""
    tx.put_listings(replace(item, before=None) for item in tx.listings(channel) if item.before is not None)
    tx.put(put_back_wanted(channel), None)
    remember(tx, channel, progress=f"{number} figures from before Start were put back")
