"""The tab Plan: a tick in its second row asks what the next pass would do, and the rows below answer.

The pass over the sheet only takes the tick and shows what was made; the dry run itself takes its time, so a loop of its
own makes it (`planning.py`). What is shown was so when it was made, as its first row says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sheets_sync import pages, showing
from sheets_sync.desk import Desk
from sheets_sync.exchange import Request
from sheets_sync.model import Cell, Layout, Lease
from sheets_sync.pages import Changes
from sheets_sync.sheet import tabs

WANTED = "plan_wanted"
"""State: when the tick was seen, ISO, until the plan is made."""

PLAN = "plan"
"""State: the plan that was made last: `at`, ISO, `says`, and its rows."""

EVERY = timedelta(seconds=20)
MOST = 1_000
"""Rows that are shown; `sheets-sync sync --dry-run` prints all."""

UNDER_WAY = "being made: it reads what a pass would read, and writes nothing"


@dataclass
class Seen:
    """What one driver of a sheet keeps of the tab between two passes."""

    next_at: datetime | None = None
    shown: str = ""  # which plan the tab shows


def take(
    desk: Desk, tops: pages.Tops, seen: Seen, layout: Callable[[], Layout], lease: Lease | None
) -> Changes:  # fmt: skip
    """Take the tick, and show the plan that was made since; when it is due."""
    now = desk.clock()
    with desk.ledger.read() as view:
        made, wanted = view.get(PLAN, {}), view.get(WANTED)
    news = bool(made) and made["at"] != seen.shown and not wanted
    if not news and seen.next_at is not None and now < seen.next_at:
        return Changes()
    seen.next_at = now + EVERY
    header, first = tops.of(tabs.PLAN)
    ticked = first.get(tabs.MAKE_PLAN) is True
    if ticked and not wanted:
        with desk.ledger.begin(lease) as tx:
            tx.put(WANTED, now.isoformat())
        desk.wake("plan")
    says = UNDER_WAY if ticked or wanted else made.get("says")
    cells: dict[str, Cell] = {tabs.MAKE_PLAN: False} if ticked else {}
    cells |= {tabs.WOULD: says} if first.get(tabs.WOULD) != says else {}
    sheet = layout().tabs[tabs.PLAN]
    requests = showing.placed([(2, cells)], header, sheet.id)
    if made and not wanted:
        seen.shown = made["at"]
    if news and first.get(tabs.WOULD) != says:  # else it stands there since before a restart
        requests += _rows(made["rows"], header, sheet.id, sheet.rows)
    return Changes(tuple(requests), False)


def _rows(lines: Sequence[Sequence[Cell]], header: Sequence[Cell], sheet: int, there: int) -> list[Request]:
    """All of our cells below the tick's row: what was shown before goes. Columns of others stay as they are."""
    height = min(there - 2, MOST)
    shown = list(lines)[:height]
    if len(lines) > height and height > 0:
        shown[-1] = [f"and {len(lines) - height + 1} lines more: `sheets-sync sync --dry-run` prints all"]
    rows = [dict(zip(tabs.PLAN_LINE, line, strict=False)) for line in shown]
    return pages.block(rows, tabs.PLAN_LINE, header, sheet, 2, height)
