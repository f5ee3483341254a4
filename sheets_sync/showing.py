"""What the sheet shows besides counts, as requests of the closing batch: ledger rows, channels, questions, new rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sheets_sync import answered, edits, exchange, pausing, views
from sheets_sync.desk import IMPORTED, RETIRED, Desk, channel_state, start_batch
from sheets_sync.exchange import Request
from sheets_sync.ledger import View
from sheets_sync.model import Cell, Layout, Listing, Stock, TabInfo
from sheets_sync.sheet import tabs


def channel_states(
    desk: Desk, view: View, listings: Sequence[Listing], stock: Mapping[str, Stock], wrong: Mapping[str, str]
) -> tuple[views.ChannelState, ...]:
    """How each channel stands, for the Channels tab; `wrong`: what is wrong with what was typed there, by channel."""
    primary, started = desk.primary(view), desk.started_at(view) is not None
    paused = {
        pause.channel: f"paused{pausing.ending(pause.until)}: lowered when it has to be, never raised"
        for pause in pausing.pauses(view, desk.clock())
        if not pause.sku
    }
    paused |= wrong
    counts: dict[str, int] = {}
    for item in listings:
        counts[item.channel] = counts.get(item.channel, 0) + 1
    states = []
    for name, channel in desk.settings.channels.items():
        kept = view.get(channel_state(name), {})
        moments = {k: datetime.fromisoformat(kept[k]) if kept.get(k) else None for k in ("last_push", "last_order")}
        states.append(
            views.ChannelState(
                name=name,
                title=channel.title,
                kind=channel.kind,
                primary=name == primary,
                state=paused.get(name) or _state_words(view, kept, channel.enabled, started, name == primary),
                listings=counts.get(name, 0),
                out_of_step=kept.get("out_of_step", 0),
                last_error=kept.get("last_error", ""),
                progress=kept.get("progress", ""),
                **moments,
            )
        )
    return tuple(states)


def _state_words(view: View, kept: Mapping[str, object], enabled: bool, started: bool, primary: bool) -> str:
    if not enabled:
        return "disabled: orders are read, nothing is pushed"
    if not started and view.get(IMPORTED) is None:
        return "not imported yet: sheets-sync import"
    if started and not kept.get("first_sync"):
        return "first sync under way"
    if not started:
        return "imported; tick Start to begin" if primary else "imported"
    return "in step, retired as primary" if primary and view.get(RETIRED) else "in step"


def stays_primary(desk: Desk, view: View) -> str:
    """Why the primary marketplace can't be changed now, and how to start over on purpose."""
    primary = desk.primary(view) or ""
    title = desk.titles.get(primary, primary)
    if desk.started_at(view) is None:
        return (
            f"{title} stays the primary marketplace: the import has matched everything to its SKUs. To start over with "
            "another one: sheets-sync import --primary NAME"
        )
    return (
        f"{title} was the primary marketplace: the counts were opened from it and are yours since. To start over, "
        f"before the first sale: sheets-sync undo {start_batch(desk, view)}, then sheets-sync import --primary NAME. "
        "After a sale, correct the counts in the sheet instead"
    )


def knows_zone(layout: Layout) -> bool:
    """Whether the spreadsheet's time zone is known on this machine."""
    try:
        return bool(ZoneInfo(layout.time_zone).key)
    except (ZoneInfoNotFoundError, ValueError):
        return False


def zone_of(layout: Layout) -> ZoneInfo:
    """The spreadsheet's own time zone; UTC where its name is unknown here."""
    try:
        return ZoneInfo(layout.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def resized(layout: Layout, requests: Sequence[Request]) -> Layout | None:
    """The layout after a batch that landed, as far as its rows go; None where only a read can tell."""
    rows: Counter[int] = Counter()
    for request in requests:
        if "appendCells" in request or "appendDimension" in request:
            return None  # cells appended may fill rows that were empty
        for kind, sign in (("insertDimension", 1), ("deleteDimension", -1)):
            span = request.get(kind, {}).get("range")
            if span is not None and span["dimension"] != "ROWS":
                return None
            if span is not None:
                rows[span["sheetId"]] += sign * (span["endIndex"] - span["startIndex"])
    return replace(
        layout, tabs={title: tab._replace(rows=tab.rows + rows[tab.id]) for title, tab in layout.tabs.items()}
    )


def same(cell: Cell, wanted: Cell) -> bool:
    """Whether a cell shows what it should; times lose a little on their way through the sheet."""
    if isinstance(cell, int | float) and isinstance(wanted, float):
        return abs(cell - wanted) < 1e-6
    return cell == wanted


def ledger_requests(
    cells: Sequence[Mapping[str, Cell]], header: Sequence[Cell], tab: TabInfo, most: int
) -> list[Request]:
    """New rows at the top, the newest first; as many leave at the bottom once the tab is full."""
    rows = [views.picked(row, header) for row in reversed(cells)]
    span = {"sheetId": tab.id, "dimension": "ROWS", "startIndex": 1, "endIndex": 1 + len(rows)}
    where = exchange.grid_range(tab.id, 1, 1 + len(rows), 0, len(header))
    out: list[Request] = [
        {"insertDimension": {"range": span, "inheritFromBefore": False}},
        {"updateCells": {"range": where, "fields": "userEnteredValue", "rows": [exchange.cells_of(r) for r in rows]}},
    ]
    if tabs.UNDO in header:
        at = header.index(tabs.UNDO)
        box = {"condition": {"type": "BOOLEAN"}, "strict": True}
        cells_ = exchange.grid_range(tab.id, 1, 1 + len(rows), at, at + 1)
        out.append({"setDataValidation": {"range": cells_, "rule": box}})
    have = tab.rows + len(rows)
    if have > most + 1:
        gone = {"sheetId": tab.id, "dimension": "ROWS", "startIndex": most + 1, "endIndex": have}
        out.append({"deleteDimension": {"range": gone}})
    return out


def placed(rows: Sequence[tuple[int, Mapping[str, Cell]]], header: Sequence[Cell], sheet: int) -> list[Request]:
    """Single cells, by row and header."""
    at = {str(name): position for position, name in enumerate(header) if name is not None}
    out: list[Request] = []
    for row, cells in rows:
        for name, value in cells.items():
            if name in at:
                where = exchange.grid_range(sheet, row - 1, row, at[name], at[name] + 1)
                written = [exchange.cells_of([value])]
                out.append({"updateCells": {"range": where, "fields": "userEnteredValue", "rows": written}})
    return out


def review_requests(
    changed: Sequence[tuple[int, Mapping[str, Cell]]],
    done: answered.Arranged,
    last: int,
    added: Sequence[tuple[Mapping[str, Cell], Sequence[str]]],
    header: Sequence[Cell],
    sheet: int,
) -> list[Request]:
    """Cells first, then answered rows to the foot (row `last`), then closed ones from the bottom up, then new rows on
    top, each with its own drop-down.
    """
    out = placed((*changed, *done.cells), header, sheet)
    at = header.index(tabs.DECISION) if tabs.DECISION in header else None
    if at is not None:
        out += [{"setDataValidation": {"range": exchange.grid_range(sheet, r - 1, r, at, at + 1)}} for r in done.sink]
    for row, to in answered.moves(done.sink, done.gone, last):
        span = {"sheetId": sheet, "dimension": "ROWS", "startIndex": row - 1, "endIndex": row}
        go = {"deleteDimension": {"range": span}}
        out.append(go if to is None else {"moveDimension": {"source": span, "destinationIndex": to - 1}})
    if not added or not header:
        return out
    span = {"sheetId": sheet, "dimension": "ROWS", "startIndex": 1, "endIndex": 1 + len(added)}
    rows = [exchange.cells_of(views.picked(cells, header)) for cells, _ in added]
    where = exchange.grid_range(sheet, 1, 1 + len(added), 0, len(header))
    out.append({"insertDimension": {"range": span, "inheritFromBefore": False}})
    out.append({"updateCells": {"range": where, "fields": "userEnteredValue", "rows": rows}})
    for number, (_, words) in enumerate(added, start=1):
        if at is not None and words:
            values = [{"userEnteredValue": word} for word in words]
            rule = {"condition": {"type": "ONE_OF_LIST", "values": values}, "strict": False, "showCustomUi": True}
            cell = exchange.grid_range(sheet, number, number + 1, at, at + 1)
            out.append({"setDataValidation": {"range": cell, "rule": rule}})
    return out


def append_rows(
    skus: Sequence[str], header: Sequence[Cell], wanted: edits.Wanted, titles: Mapping[str, str], sheet: int
) -> Request:
    """Whole rows that the service adds: SKU and Title as text, service cells; figures come with the next exchange."""
    rows = []
    for sku in skus:
        cells = {name: by_sku.get(sku) for name, by_sku in wanted.service.items()}
        named = {edits.SKU: sku, edits.TITLE: titles.get(sku) or None, edits.UPDATED: wanted.updated}
        rows.append(exchange.cells_of(views.picked(cells | named, header)))
    return {"appendCells": {"sheetId": sheet, "rows": rows, "fields": "userEnteredValue"}}
