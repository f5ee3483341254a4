"""A plan made because somebody ticked Plan in the sheet: the dry run of `rehearsal.py`, kept as rows for the tab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import structlog

from sheets_sync import rehearsal, review, views
from sheets_sync.desk import Desk
from sheets_sync.errors import SellerMustAct
from sheets_sync.model import Cell, Fact
from sheets_sync.plan_tab import MOST, PLAN, WANTED
from sheets_sync.rehearsal import Plan
from sheets_sync.sheet.workbook import Workbook
from sheets_sync.stocktake import many

log = structlog.get_logger()

Line = tuple[Cell, ...]
"""What, SKU, where, what stands there, what would, and why: `tabs.PLAN_LINE`."""


def is_wanted(desk: Desk) -> bool:
    """Whether somebody has ticked for a plan that is not made yet."""
    with desk.ledger.read() as view:
        return view.get(WANTED) is not None


def make(desk: Desk, workbook: Workbook) -> None:
    """Make it, and let the next pass over the sheet show it. What keeps it from being made is shown instead."""
    try:
        made = rehearsal.plan(desk, workbook)
        lines, says = list(lines_of(made, desk)), summary(made)
    except SellerMustAct as error:
        lines, says = [("not made", None, None, None, None, str(error))], "not made"
    at = desk.clock()
    kept: dict[str, Any] = {"at": at.isoformat(), "says": f"as of {views.now_text(at)}: {says}"}
    more = len(lines) - MOST
    if more > 0:
        lines = [
            *lines[: MOST - 1],
            (f"and {more + 1} lines more", None, None, None, None, "sheets-sync sync --dry-run"),
        ]
    with desk.ledger.begin() as tx:
        tx.put(PLAN, {**kept, "rows": lines})
        tx.put(WANTED, None)
    log.info("plan.made", lines=len(lines))
    desk.wake("sheet")


def summary(plan: Plan) -> str:
    """The plan in one line."""
    calls = sum(one.writes for one in plan.calls)
    return (
        f"{many(len(plan.events), 'event')}, {many(len(plan.questions), 'question')}, "
        f"{many(len(plan.writes), 'row')} of Stock, {many(len(plan.sent), 'figure')}, {many(calls, 'call')} that "
        f"{'writes' if calls == 1 else 'write'}; none of it was done"
    )


def lines_of(plan: Plan, desk: Desk) -> Iterator[Line]:
    """Every event, question, figure and cell that would be, what approving a hold would push, and the calls."""
    titles = desk.titles
    for problem in plan.problems:
        yield "left alone", None, "Stock", None, None, problem
    for event in plan.events:
        balance, fact = event.balance, event.fact
        before = balance.on_hand - event.change.on_hand
        yield "event", fact.sku, "Ledger", before, balance.on_hand, _why(event.change._asdict(), fact)
    for question in plan.questions:
        yield "question", question.sku or None, "Review", None, None, question.text
    for sent in plan.sent:
        item = sent.listing
        yield "push", item.sku, titles[item.channel], sent.expected, sent.figure, None
    for one in plan.approvals:
        why = f"only if Review {review.short_id(one.hold)} is approved"
        yield "push", one.listing.sku, titles[one.listing.channel], one.before, one.after, why
    for row in plan.writes:
        cells = ", ".join(f"{header} = {'nothing' if cell is None else cell}" for header, cell in row.cells.items())
        yield "row", row.sku, f"Stock, row {row.row}", row.seen, row.cells.get("On hand", row.seen), cells or None
    for calls in plan.calls:
        name, why = titles.get(calls.name, calls.name), calls.trouble and f"not read to its end: {calls.trouble}"
        yield "calls", None, name, None, calls.writes, why or f"that write, beside {calls.reads} reads"


def _why(change: dict[str, int], fact: Fact) -> str:
    moved = ", ".join(f"{name.replace('_', ' ')} {n:+d}" for name, n in change.items() if n) or "no change"
    return ", ".join(filter(None, (f"{views.WORDS[fact.kind]}: {moved}", fact.reference, fact.reason, fact.note)))
