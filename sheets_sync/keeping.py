"""The tabs beside Stock that people fill in and the service keeps, in one place: what `sync` asks of them each pass.

Each tab has a module of its own that reads it, takes what was typed, and says which cells to change; here stands when
each of them is due. They are levels, like all of the sheet: a look that comes late or twice does no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sheets_sync import kits_tab, listings_tab, pages, plan_tab, seed_day, undoing, why_tab
from sheets_sync.desk import Desk
from sheets_sync.exchange import Request
from sheets_sync.model import Layout, Lease
from sheets_sync.sheet import tabs
from sheets_sync.sheet.workbook import Workbook

TABS = (tabs.SEED_DAY, tabs.LISTINGS_TAB, tabs.KITS, tabs.PLAN, tabs.WHY)


@dataclass
class Seen:
    """What one driver of a sheet keeps of these tabs between two passes."""

    seed_day: seed_day.Seen = field(default_factory=seed_day.Seen)
    listings: listings_tab.Seen = field(default_factory=listings_tab.Seen)
    undo: undoing.Seen = field(default_factory=undoing.Seen)
    kits: kits_tab.Seen = field(default_factory=kits_tab.Seen)
    plan: plan_tab.Seen = field(default_factory=plan_tab.Seen)
    why: why_tab.Seen = field(default_factory=why_tab.Seen)


@dataclass(frozen=True)
class Kept:
    """What a look at them led to: requests for the closing batch. `again`: there is more to do at once."""

    requests: tuple[Request, ...] = ()
    again: bool = False


def take(
    desk: Desk, workbook: Workbook, seen: Seen, layout: Callable[[], Layout], lease: Lease | None
) -> Kept:  # fmt: skip
    """Look at the tabs that are due, keep what people typed, and say what has to be shown."""
    tops = pages.Tops(workbook.values, (tabs.PLAN, tabs.WHY))
    found = [
        kits_tab.take(desk, workbook, seen.kits, layout, lease),
        listings_tab.take(desk, workbook, seen.listings, layout, lease),
        seed_day.take(desk, workbook, seen.seed_day, layout, lease),
        undoing.take(desk, workbook, seen.undo, layout, lease),
        plan_tab.take(desk, tops, seen.plan, layout, lease),
        why_tab.take(desk, tops, seen.why, layout),
    ]
    return Kept(tuple(r for one in found for r in one.requests), any(one.requests or one.more for one in found))
