"""On which side of its SKU's opening a thing happened (B2, B4). `Beginning.after` is the rule, for readings made since.

The opening's own reading of the orders shows all that had happened by then, and its figure has seen it: that is the
line's baseline, whatever times it carries. So what a later reading shows and that one did not has happened since. Its
time may say otherwise by as much as clocks differ: a vendor's clock runs behind, and most cut off the fraction of a
second, so that a sale in the very second of Start seems to lie before it. Such times are put just after the opening;
those further back are believed, as they are of things that we were told late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sheets_sync.desk import LAST_OPENED, Desk, opening_key
from sheets_sync.ledger import View
from sheets_sync.model import Order


@dataclass(frozen=True)
class Window:
    """Times that seem to lie before an opening, and do not."""

    since: datetime
    opened: datetime

    def right(self, at: datetime) -> datetime:
        """`at`, or just after the opening."""
        return self.opened + timedelta(microseconds=1) if self.since <= at <= self.opened else at


@dataclass(frozen=True)
class Beginning:
    """When a channel's orders began to count: at Start, or when it joined (B5)."""

    started: datetime
    opened: datetime  # the last of the openings that Start made at once
    last: datetime  # the last of all: what did not stand still then is opened by starting again
    primary: bool
    joined: bool
    allowance: timedelta

    @classmethod
    def of(cls, view: View, desk: Desk, channel: str) -> Beginning | None:
        """As the ledger has it; None before Start."""
        allowance, joined = desk.settings.limits.clock_allowance, desk.joined_at(view, channel)
        if joined is not None:
            return cls(joined, joined, joined, False, True, allowance)
        started, opened = desk.started_at(view), desk.opened_at(view)
        if started is None or opened is None:
            return None
        last = view.get(LAST_OPENED)
        primary = desk.primary(view) == channel
        return cls(started, opened, datetime.fromisoformat(last) if last else opened, primary, False, allowance)

    @property
    def limit(self) -> datetime:
        """What was placed before that was there before us."""
        return self.started - self.allowance

    def windows(self, view: View, skus: Iterable[str | None]) -> dict[str | None, Window | None]:
        """By SKU; None for one that a person counted for the opening: the moment of that word is its own."""
        names = {sku for sku in skus if sku is not None}
        keys = {} if self.joined else {opening_key(view, sku): sku for sku in names}
        out: dict[str | None, Window | None] = dict.fromkeys((None, *names), Window(self.limit, self.opened))
        for event in view.events_by_key(keys):
            at = event.fact.occurred_at
            if event.fact.source == "sheet":
                out[event.fact.sku] = None
            else:  # other channels' orders were read when Start began, the primary's at the SKU's own look
                early = not self.primary and at <= self.opened
                out[event.fact.sku] = Window(self.limit if early else at - self.allowance, at)
        return out

    def after(self, view: View, order: Order, skus: Mapping[str, str | None], *, shown: bool) -> Order:
        """A reading made since the opening, with its times on the right side of it. `skus`: ours, by line; `shown`:
        the opening's own reading had the order already.
        """
        if order.placed_at > self.last:
            return order
        by_sku = self.windows(view, skus.values())
        return _right(order, {id: by_sku[sku] for id, sku in skus.items()}, shown=shown)


def _right(order: Order, windows: Mapping[str, Window | None], *, shown: bool) -> Order:
    lines = []
    for line in order.lines:
        window = windows.get(line.id)
        if window is not None:
            line = replace(
                line,
                shipped=tuple(replace(s, at=window.right(s.at)) for s in line.shipped),
                cancelled_at=window.right(line.cancelled_at) if line.cancelled_at else None,
                taken_at=window.right(line.taken_at) if line.taken_at and line.restocked else line.taken_at,
            )
        lines.append(line)
    mine = [window for window in windows.values() if window is not None]
    placed = order.placed_at if shown else _latest(order.placed_at, mine)
    changed = _latest(order.updated_at, mine)
    return replace(
        order,
        lines=tuple(lines),
        placed_at=placed,
        changed_at=changed if changed != order.updated_at else None,
        since=min((window.opened for window in mine), default=None) if shown else None,
    )


def _latest(at: datetime, windows: Iterable[Window]) -> datetime:
    return max((window.right(at) for window in windows), default=at)
