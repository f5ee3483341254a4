"""Pausing (P7): a channel, a SKU, or a SKU on one channel is not raised for a while; lowering goes on.

What is paused keeps what it shows until it sells, and never offers more than is there. To stop selling is another
thing: Max 0 in the Listings tab. A pause may have an end; then the next pass raises what waited, by the rules of every
raise.

A pause is begun by a command, or typed under Paused in Stock (a SKU) or Channels (a channel). What is typed is a level
like all of the sheet, and ends where it is cleared; each way has its own pauses, and only ends those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from sheets_sync.desk import FROZEN, Desk
from sheets_sync.errors import BadInput
from sheets_sync.ledger import View
from sheets_sync.model import Cell, Look
from sheets_sync.sheet import tabs
from sheets_sync.stocktake import moment_of

PAUSES = "pauses"
"""State: the pauses, each as [channel, SKU, until]; "" stands for all of them, and for no end."""

TYPED = "pauses_typed"
"""State: the same of those that stand in the sheet."""

YES, NO = frozenset({"yes", "y", "x", "true"}), frozenset({"", "no", "n", "false"})


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
    return [*_kept_in(view, PAUSES, now), *_kept_in(view, TYPED, now)]


def _kept_in(view: View, state: str, now: datetime) -> list[Pause]:
    found = [Pause(c, s, datetime.fromisoformat(u) if u else None) for c, s, u in view.get(state, ())]
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
        others = [p for p in _kept_in(tx, PAUSES, now) if (p.channel, p.sku) != (wanted.channel, wanted.sku)]
        tx.put(PAUSES, [_kept(one) for one in (*others, wanted)])
    desk.wake_others()


def resume(desk: Desk, channel: str, sku: str) -> None:
    """End a pause now. Raises BadInput where there is none."""
    with desk.ledger.begin() as tx:
        found = _kept_in(tx, PAUSES, desk.clock())
        left = [p for p in found if (p.channel, p.sku) != (channel, sku)]
        if len(left) == len(found):
            if any((p.channel, p.sku) == (channel, sku) for p in _kept_in(tx, TYPED, desk.clock())):
                where = "Stock" if sku else "Channels"
                raise BadInput(f"That is paused in the sheet: clear its cell under {tabs.PAUSED} in {where}.")
            raise BadInput("That is not paused; `sheets-sync pause` lists what is.")
        tx.put(PAUSES, [_kept(one) for one in left] or None)
    desk.wake_others()


def _kept(one: Pause) -> list[str]:
    return [one.channel, one.sku, one.until.astimezone(UTC).isoformat() if one.until else ""]


# in the sheet ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Typed:
    """What stands under Paused in a look, and what is wrong there, by SKU and by channel."""

    pauses: tuple[Pause, ...] = ()
    skus: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)


def typed(look: Look, titles: Mapping[str, str], zone: tzinfo) -> Typed:
    """Read it. Of a SKU in two rows either counts: a pause too many sells nothing that is gone."""
    cells = look.columns.get(tabs.PAUSED, ())
    skus = zip(look.columns.get(tabs.SKU, ()) if any(cells) else (), cells, strict=False)  # mostly there is nothing
    named = _channels(look)
    said = [("", sku, until(cell, zone)) for sku, cell in skus if isinstance(sku, str) and cell is not None]
    said += [(name, "", until(named.get(title), zone)) for name, title in titles.items()]
    good = tuple(Pause(c, s, None if u is FOREVER else u) for c, s, u in said if isinstance(u, datetime))
    wrong = [(channel, sku, text) for channel, sku, text in said if isinstance(text, str)]
    return Typed(good, {s: text for _, s, text in wrong if s}, {c: text for c, s, text in wrong if not s})


def _channels(look: Look) -> dict[str, Cell]:
    return {str(row.get(tabs.CHANNEL)): row[tabs.PAUSED] for row in look.channels if tabs.PAUSED in row}


FOREVER = datetime.max.replace(tzinfo=UTC)


def until(cell: Cell, zone: tzinfo) -> datetime | str | None:
    """The end of the pause that a cell asks for: None for no pause, FOREVER for no end; text says what is wrong."""
    word = "" if cell is None else str(cell).strip().casefold()
    if word in NO:
        return None
    if word in YES:
        return FOREVER
    if isinstance(cell, str) and ":" not in cell:
        cell = f"{cell.strip()} 00:00"  # a day means its beginning
    elif type(cell) is int:
        cell += 1 / 86_400
    at = moment_of(cell, zone)
    if isinstance(at, datetime):
        return at
    return f"? not paused: {word!r} under {tabs.PAUSED} is neither yes nor a time like 2026-03-02 10:00"


def note(desk: Desk, look: Look, zone: tzinfo) -> Typed:
    """Keep what a look shows, where it is news. What has no cell there, or is not to be seen, stays as it was."""
    found = typed(look, desk.titles, zone)
    with desk.ledger.read() as view:
        before = view.get(TYPED, ())
    has_cells = tabs.PAUSED in look.columns and any(one[1] for one in before)
    skus = set(look.columns.get(tabs.SKU, ())) if has_cells else set()
    names = {name for name, title in desk.titles.items() if title in _channels(look)}
    stay = [one for one in before if (one[1] not in skus if one[1] else one[0] not in names)]
    now = sorted([*stay, *map(_kept, found.pauses)])
    if now != list(before):
        with desk.ledger.begin() as tx:
            tx.put(TYPED, now or None)
        desk.wake_others("sheet")
    return found


def shown(view: View, now: datetime, titles: Mapping[str, str], status: Mapping[str, Cell]) -> dict[str, Cell]:
    """Status of the SKUs that are paused: what it said, and that."""
    out: dict[str, Cell] = {}
    for one in pauses(view, now):
        if one.sku:
            on = f" on {titles.get(one.channel, one.channel)}" if one.channel else ""
            said = out.get(one.sku, status.get(one.sku))
            out[one.sku] = f"{said or 'ok'}; paused{on}{ending(one.until)}"
    return out
