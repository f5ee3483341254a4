"""`settle`: one order line and what was decided about it -> its facts and its questions, in the caller's transaction.

Every booking of a line takes the policy that was in force when its order was placed: a policy (`ships`, `returns`,
`cancellations` in config.toml) holds for orders placed after it was set. The ledger keeps what held since when, so that
a changed setting never moves a unit of an older order (O6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sheets_sync import lines, stock
from sheets_sync.config import ChannelSettings
from sheets_sync.desk import Desk
from sheets_sync.ledger import Tx, View
from sheets_sync.lines import Policy
from sheets_sync.model import LONG_AGO, Event, LineState, Question, StockKey
from sheets_sync.places import Places, Spent

Promised = Mapping[str, Mapping[str, int]]
"""Units of open orders, by SKU and location, as a channel told them."""

CANCELLED = {"ask": "", "back_to_stock": "back", "gone": "gone", "damaged": "damaged"}
"""The words of the config for what becomes of units cancelled late, as `lines` knows them."""


def _state(channel: str) -> str:
    return f"policy:{channel}"


@dataclass(frozen=True)
class Policies:
    """A channel's policies by the time from which on they hold, the oldest first."""

    since: tuple[tuple[datetime, Policy], ...]

    def at(self, placed_at: datetime) -> Policy:
        """The policy for an order placed then."""
        held = [policy for since, policy in self.since if since <= placed_at]
        return held[-1] if held else self.since[0][1]


def policies(view: View, desk: Desk, channel: str) -> Policies:
    """What holds for a channel's orders; a setting that was changed holds from now on. Writes nothing."""
    return _policies(_history(view, desk, channel), desk)


def note_policies(tx: Tx, desk: Desk, channel: str) -> Policies:
    """The same, and a changed setting is noted with its time."""
    kept, history = tx.get(_state(channel), []), _history(tx, desk, channel)
    if kept != history:
        tx.put(_state(channel), history)
    return _policies(history, desk)


def _history(view: View, desk: Desk, channel: str) -> list[dict[str, Any]]:
    history: list[dict[str, Any]] = view.get(_state(channel), [])
    about = desk.settings.channels.get(channel)
    if about is None:
        return history or [{"since": LONG_AGO.isoformat()}]
    words = _words(about)
    if history and {k: v for k, v in history[-1].items() if k != "since"} == words:
        return history
    since = desk.clock() if history else LONG_AGO
    return [*history, {"since": since.isoformat(), **words}]


def _words(about: ChannelSettings) -> dict[str, str]:
    return {"ships": about.ships, "returns": about.returns, "cancellations": about.cancellations}


def _policies(history: list[dict[str, Any]], desk: Desk) -> Policies:
    return Policies(tuple((datetime.fromisoformat(one["since"]), _policy(one, desk)) for one in history))


def _policy(words: Mapping[str, str], desk: Desk) -> Policy:
    return Policy(
        at_once=words.get("ships") == "at_once",
        trust_restock=words.get("returns") == "trust",
        cancelled=CANCELLED[words.get("cancellations", "ask")],
        ask_after=desk.settings.limits.ask_after,
    )


def last_count(view: View) -> lines.LastCount:
    """When a SKU was last counted, by a count that stands."""

    def of(sku: str) -> datetime | None:
        balance = view.balances([sku]).get(StockKey(sku))
        if balance is None or not balance.counted:
            return None
        facts = stock.in_order(e.fact for e in view.events(sku=sku) if e.is_fact)
        return max((f.occurred_at for f in facts if f.count is not None), default=None)

    return of


def places(view: View, desk: Desk, channel: str, promised: Promised = MappingProxyType({})) -> Places:
    """Where a channel's units come from, and what is available at each location as `view` has it (K4, K5). Of SKUs of
    which the channel itself said where units are `promised`, what of that is not booked yet.
    """
    about = desk.settings.channels.get(channel)

    def room(line: LineState, spent: Spent) -> dict[str, int]:
        found = view.balances([line.sku]) if line.sku else {}
        told = promised.get(line.sku or "")
        if told:
            booked = {k.location: b.stock.committed + spent.get(k, 0) for k, b in found.items()}
            return {place: units - booked.get(place, 0) for place, units in told.items()}
        return {k.location: b.stock.available - spent.get(k, 0) for k, b in found.items() if b.counted}

    return Places(desk.settings.draws_from(channel), about.places if about else {}, room)


def settle(
    tx: Tx,
    desk: Desk,
    line: LineState,
    *,
    old: LineState | None = None,
    actor: str = "",
    note: str = "",
    ask: bool = True,
) -> list[Event]:
    """Book what `line` owes after a decision about it and, with `ask`, ask or close what is open on it now.

    `old` is the line as it was under another SKU: all that it moved there is taken back first.
    """
    policy, counted = note_policies(tx, desk, line.channel).at(line.placed_at), last_count(tx)
    lies = places(tx, desk, line.channel)
    settled, facts = lines.settle(line, policy, counted, old=old, places=lies, actor=actor, note=note)
    tx.put_line(settled)
    events = tx.append(facts)
    if ask:
        ask_about(tx, desk, settled, *([old.sku] if old else []))
    return events


def ask_about(tx: Tx, desk: Desk, line: LineState, *old_skus: str | None) -> None:
    """Ask what is open on a settled line, and close what is not, also under a SKU that it had before."""
    policy = policies(tx, desk, line.channel).at(line.placed_at)
    asked = [q for sku in {line.sku, line.level.sku, *old_skus} for q in asked_about_lines(tx, sku or "")]
    reconcile(tx, [line], lines.questions(line, policy, last_count(tx), desk.clock()), asked)


def asked_about_lines(view: View, sku: str | None = None) -> list[Question]:
    """The open questions, of one SKU or of all, that go by themselves when the level of their line does."""
    return [q for q in view.questions(sku=sku) if q.kind in lines.OF_LINES]


def reconcile(
    tx: Tx, about: Iterable[LineState], now_open: Sequence[Question], asked: Sequence[Question]
) -> list[Question]:  # fmt: skip
    """Of `asked`, close what is about these lines and has lost its cause, and ask what is open on them now.

    One whose words changed (fewer units are left to be decided) is asked anew. Returns what is open after that.
    """
    keys, wanted = {line.key for line in about}, {q.key: q.text for q in now_open}
    gone = {q.key for q in asked if q.about.get("line") in keys and wanted.get(q.key) != q.text}
    tx.close_questions(gone, "the order says otherwise now")
    tx.ask(now_open)
    rest = [q for q in asked if q.key not in gone and q.key not in wanted]
    return [*rest, *(q for q in now_open if q.kind in lines.OF_LINES)]


def waiting(view: View, desk: Desk, channel: str) -> list[LineState]:
    """O3: lines with promised units that have waited for longer than the config likes, and are not asked about yet."""
    now, held = desk.clock(), policies(view, desk, channel)
    old = [line for line in view.lines(channel, open_only=True) if _is_old(line, held, now)]
    asked = {q.about.get("line") for q in view.questions() if q.kind in lines.OF_LINES} if old else set()
    return [line for line in old if line.key not in asked]


def ask_waiting(tx: Tx, desk: Desk, channel: str, orders: Iterable[str]) -> list[Question]:
    """O3: ask about those of these orders, by their ids. Returns what was asked."""
    now, held, counted = desk.clock(), policies(tx, desk, channel), last_count(tx)
    meant = set(orders)
    old = [line for line in waiting(tx, desk, channel) if line.order_id in meant]
    return tx.ask(q for line in old for q in lines.questions(line, held.at(line.placed_at), counted, now))


def _is_old(line: LineState, held: Policies, now: datetime) -> bool:
    since = lines.asks_at(line, held.at(line.placed_at))
    return since is not None and now >= since
