"""Pausing (P7): a channel, a SKU, or a SKU on one channel is not raised for a while; lowering goes on.

What is paused keeps what it shows until it sells, and never offers more than is there. To stop selling is another
thing: Max 0 in the Listings tab. A pause may have an end; then the next pass raises what waited, by the rules of every
raise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sheets_sync.desk import FROZEN, Desk
from sheets_sync.errors import BadInput
from sheets_sync.ledger import View
from sheets_sync.model import Cell

PAUSES = "pauses"
"""State: the pauses, each as [channel, SKU, until]; "" stands for all of them, and for no end."""


@dataclass(frozen=True)
class Pause:
    """What is paused: a channel, a SKU, or one on the other; and until when."""

    channel: str = ""
    sku: str = ""
    until: datetime | None = None

    def words(self, titles: Mapping[str, str]) -> str:
        """For people."""
        on = f" on {titles.get(self.channel, self.channel)}" if self.channel and self.sku else ""
        what = f"{self.sku}{on}" if self.sku else titles.get(self.channel, self.channel)
        return f"{what} is paused{ending(self.until)}: it is lowered when it has to be, and not raised."


def ending(until: datetime | None) -> str:
    """The end of a pause, to be set behind words."""
    return f" until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if until else ""


class Everything(Collection[str]):
    """All SKUs there are: a whole channel is paused."""

    def __contains__(self, _: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def pauses(view: View, now: datetime) -> list[Pause]:
    """Those in force."""
    found = [Pause(c, s, datetime.fromisoformat(u) if u else None) for c, s, u in view.get(PAUSES, ())]
    return [pause for pause in found if pause.until is None or pause.until > now]


def not_raised(view: View, channel: str, now: datetime) -> Collection[str]:
    """SKUs that this channel is not to be raised for: paused (P7), or being counted (C7)."""
    mine = [pause for pause in pauses(view, now) if pause.channel in ("", channel)]
    if any(pause.channel and not pause.sku for pause in mine):
        return Everything()
    return frozenset(view.get(FROZEN) or ()) | {pause.sku for pause in mine if pause.sku}


def pause(desk: Desk, wanted: Pause) -> None:
    """Begin a pause, or give it another end. Raises BadInput where there is nothing that it could mean."""
    now = desk.clock()
    if not wanted.channel and not wanted.sku:
        raise BadInput("Say what to pause: --channel NAME, --sku SKU, or both for that SKU on that channel.")
    if wanted.channel and wanted.channel not in desk.settings.channels:
        raise BadInput(f"There is no channel {wanted.channel!r}; config.toml has {', '.join(desk.settings.channels)}.")
    if wanted.until is not None and wanted.until <= now:
        raise BadInput(f"The end of the pause,{ending(wanted.until).removeprefix(' until')}, has passed already.")
    with desk.ledger.begin() as tx:
        if wanted.sku and not tx.balances([wanted.sku]) and not tx.listings(skus=[wanted.sku]):
            raise BadInput(f"There is no SKU {wanted.sku!r}. A SKU is text, written just so, zeros included.")
        others = [p for p in pauses(tx, now) if (p.channel, p.sku) != (wanted.channel, wanted.sku)]
        tx.put(PAUSES, [_kept(one) for one in (*others, wanted)])
    desk.wake_others()


def resume(desk: Desk, channel: str, sku: str) -> None:
    """End a pause now. Raises BadInput where there is none."""
    with desk.ledger.begin() as tx:
        found = pauses(tx, desk.clock())
        left = [p for p in found if (p.channel, p.sku) != (channel, sku)]
        if len(left) == len(found):
            raise BadInput("That is not paused; `sheets-sync pause` lists what is.")
        tx.put(PAUSES, [_kept(one) for one in left] or None)
    desk.wake_others()


def _kept(one: Pause) -> list[str]:
    return [one.channel, one.sku, one.until.astimezone(UTC).isoformat() if one.until else ""]


def shown(view: View, now: datetime, titles: Mapping[str, str], status: Mapping[str, Cell]) -> dict[str, Cell]:
    """Status of the SKUs that are paused: what it said, and that."""
    out: dict[str, Any] = {}
    for one in pauses(view, now):
        if one.sku:
            on = f" on {titles.get(one.channel, one.channel)}" if one.channel else ""
            said = out.get(one.sku, status.get(one.sku))
            out[one.sku] = f"{said or 'ok'}; paused{on}{ending(one.until)}"
    return out
