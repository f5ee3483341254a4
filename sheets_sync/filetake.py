"""`take`: a stock-take from a file, compared with the ledger and, where asked for, posted. (The tab: `counting.py`.)

A file is known by its contents: its counts without a time count as of when it was first given to us, and it is posted
once, however often it is given again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from sheets_sync import bulk, countfiles, counting, stocktake
from sheets_sync.adjustments import named
from sheets_sync.bulk import Standing, Table
from sheets_sync.counting import Preview, Wishes
from sheets_sync.desk import Desk
from sheets_sync.errors import BadInput, SellerMustAct
from sheets_sync.ledger import Tx, View
from sheets_sync.model import MAIN, Event
from sheets_sync.stocktake import Names
from sheets_sync.takereport import Report

Barcodes = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Asked:
    """What a person wants of a file. `again`: it was posted before and shall be posted once more."""

    full: bool = False
    zero: bool = False
    choice: str | None = None
    counted_at: str | None = None
    post: bool = False
    sure: bool = False  # improbable counts are right
    again: bool = False
    location: str = ""  # where it was counted, as people call it; "": at the main location


@dataclass(frozen=True)
class Taken:
    """What came of it. `name` is the batch in the ledger; `events` of this run alone."""

    report: Report
    preview: Preview
    events: tuple[Event, ...] = ()
    name: str = ""
    before: str = ""  # it had been posted already, as this batch


def take(
    desk: Desk, path: Path, asked: Asked, zone: tzinfo, barcodes: Callable[[], Barcodes], *,
    actor: str = "cli", step: Callable[[int], None] = lambda _: None,
) -> Taken:  # fmt: skip
    """Read `path`, compare it, and post it if `asked.post`; all of it or nothing.

    Raises BadInput for a file that cannot be understood, SellerMustAct where something has to be said before Post.
    """
    with counting.uncollected():
        return _take(desk, path, asked, zone, barcodes, actor, step)


def _take(
    desk: Desk, path: Path, asked: Asked, zone: tzinfo, barcodes: Callable[[], Barcodes], actor: str,
    step: Callable[[int], None],
) -> Taken:  # fmt: skip
    found = countfiles.read(path, step)
    rows = _rows(found, path)
    titles = desk.settings.locations.by_title
    location = named(asked.location, titles, "--location")
    mark = "stock_take_file:" + hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    mark += "" if location == MAIN else f":{location}"
    now = desk.clock()
    default_at = _counted_at(asked.counted_at, zone)
    with desk.ledger.begin() as tx:
        kept: dict[str, Any] = tx.get(mark) or {"seen": now.isoformat()}
        tx.put(mark, kept)
    seen_at = [datetime.fromisoformat(kept["seen"])] * len(rows)
    wishes = Wishes(asked.full, now if asked.full and asked.zero else None, asked.choice, default_at, location)
    with desk.ledger.read() as view:
        names = _names(view, rows, barcodes)
        preview = _compare(view, desk, rows, seen_at, names, wishes, zone, now, step)
        started = desk.started_at(view) is not None
    before = "" if asked.again else str(kept.get("posted") or "")
    events: list[Event] = []
    name = ""
    if asked.post and not before:
        _refuse(preview, asked, started)
        with desk.ledger.begin() as tx:
            again = tx.get(mark) or {}
            before = "" if asked.again else str(again.get("posted") or "")
            if not before:
                fresh = _compare(tx, desk, rows, seen_at, names, wishes, zone, now, lambda _: None)
                _refuse(fresh, asked, started)
                preview, name = fresh, counting.next_name(tx)
                events = counting.record(tx, name, preview, actor=actor)
                tx.put(mark, {**again, "posted": name})
    if events:
        desk.wake_others()
    where = [f"Counted at {titles[location]}."] if len(titles) > 1 else []
    notes = [f"Read as {found.how}.", *where, *_notes(preview, name or before)]
    report = Report(
        name or f"Stock-take from {path.name}", now, zone, preview.totals, preview.counts, preview.grouped.flags,
        dict(zip(rows.numbers, rows.codes, strict=True)), preview.missing, bool(name), notes,
    )  # fmt: skip
    return Taken(report, preview, tuple(events), name, before)


def _rows(found: countfiles.CountFile, path: Path) -> Table:
    header = stocktake.header_of(found.rows[: stocktake.HEAD_ROWS])
    if header is None:
        raise BadInput(
            f"{path}: no row among the first {stocktake.HEAD_ROWS} names a SKU (or Barcode) and Counted. Give the "
            "columns a header, like SKU;Counted."
        )
    if header.twice:
        raise BadInput(f"{path}: the header {header.twice[0]!r} stands over two columns; rename one.")
    body = found.rows[header.row :]
    columns = dict(zip(header.at, countfiles.columns_of(body, list(header.at.values())), strict=True))
    return bulk.table_of(columns, header.row + 1)


def _counted_at(text: str | None, zone: tzinfo) -> datetime | None:
    read = None if text is None else stocktake.moment_of(text, zone)
    if isinstance(read, str):
        raise BadInput(read.replace("Counted at", "--counted-at"))
    return read


def _names(view: View, rows: Table, barcodes: Callable[[], Barcodes]) -> Names:
    balances = view.balances()
    listed = {item.sku for item in view.listings() if item.sku}
    names = counting.names_of(view, balances, listed, {})
    if all(code is None or str(code).strip() in names.skus for code in rows.codes):
        return names
    return counting.names_of(view, balances, listed, barcodes())


def _compare(
    view: View | Tx, desk: Desk, rows: Table, seen_at: list[datetime], names: Names, wishes: Wishes, zone: tzinfo,
    now: datetime, step: Callable[[int], None],
) -> Preview:  # fmt: skip
    allowance = desk.settings.limits.clock_allowance
    standing = Standing(b for key, b in view.balances().items() if key.location == wishes.location)
    return counting.compare(
        view, standing, rows, seen_at, names, wishes, zone, now, allowance=allowance, step=step
    )  # fmt: skip


def _refuse(preview: Preview, asked: Asked, started: bool) -> None:
    if not started:
        raise SellerMustAct("Counting has not begun: run `sheets-sync start` first.")
    if preview.empty:
        raise SellerMustAct("Nothing in this file counts; see why in the report. Nothing was posted.")
    if preview.obstacles:
        raise SellerMustAct(" ".join(_in_words(one) for one in preview.obstacles) + " Nothing was posted.")
    if preview.doubts and not asked.sure:
        raise SellerMustAct(
            f"This looks improbable: {' '.join(preview.doubts)} Nothing was posted. If it is right, add --sure."
        )


def _in_words(obstacle: str) -> str:
    """The tab's words, with the command line's ways."""
    return obstacle.replace("Choose in Open orders.", "Say --open-orders, or fill in the column Open orders.").replace(
        f"Fill in Counted at, or {stocktake.AT_ALL}.", "Say --counted-at, or fill in the column Counted at."
    )


def _notes(preview: Preview, name: str) -> list[str]:
    if name:
        return [f"To take it back: sheets-sync undo {name}"]
    return [*map(_in_words, preview.obstacles), *preview.doubts]
