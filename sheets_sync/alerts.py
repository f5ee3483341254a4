"""What a seller should be told of at once, each once per state, and the digest of a day.

`standing` says which alerts the world calls for now. One is told when it begins and forgotten when it has ended, so
that it is told again if it comes back; `fresh` compares with what was told. Low stock of a SKU that is oversold is not
told twice, and what a channel or the sheet stumbles over is told only once it has lasted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sheets_sync import guard
from sheets_sync.model import Question

AT_ONCE = 20
"""Alerts of one message that are spelt out; of the rest it says how many there are."""


class Kind(StrEnum):
    """What an alert is about."""

    OVERSOLD = "oversold"  # more is promised than there is
    LOW = "low_stock"  # available is at its Low-stock level, or below
    HELD = "held"  # a change waits for an answer in Review
    CHANNEL = "channel"  # a channel has been failing for a while
    SILENCE = "webhooks"  # orders were found that no webhook told of
    DRIFT = "drift"  # another program writes a listing again and again
    SHEET = "sheet"  # the sheet cannot be reached, or needs a person


TITLES = {
    Kind.OVERSOLD: "Oversold",
    Kind.LOW: "Low stock",
    Kind.HELD: "Held until you answer in Review",
    Kind.CHANNEL: "A channel is failing",
    Kind.SILENCE: "No webhooks",
    Kind.DRIFT: "Somebody else writes a listing",
    Kind.SHEET: "The sheet",
}


@dataclass(frozen=True)
class Alert:
    """One thing to be told. The same state has the same key for as long as it lasts."""

    key: str
    kind: Kind
    text: str


@dataclass(frozen=True)
class Trouble:
    """What a loop stumbles over since when; `name` is "sheet" or a channel's."""

    name: str
    text: str
    since: datetime


@dataclass(frozen=True)
class Silence:
    """A channel's newest order that we saw, and when its last webhook came (None: never)."""

    channel: str
    last_order: datetime
    last_delivery: datetime | None


@dataclass(frozen=True)
class Seen:
    """How things stand. `available` has counted SKUs only; `low` is the person's Low-stock level."""

    at: datetime
    available: Mapping[str, int] = field(default_factory=dict)
    low: Mapping[str, int] = field(default_factory=dict)
    held: Sequence[Question] = ()
    troubles: Sequence[Trouble] = ()
    silences: Sequence[Silence] = ()
    fights: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (channel, SKU) -> times it drifted in a day
    titles: Mapping[str, str] = field(default_factory=dict)


def standing(seen: Seen, failing_after: timedelta, silent_after: timedelta) -> list[Alert]:
    """All that should be known now, the gravest first."""
    alerts = [
        *(_oversold(sku, units) for sku, units in sorted(seen.available.items()) if units < 0),
        *_troubles(seen, failing_after),
        *(Alert(f"held:{q.key}", Kind.HELD, f"{q.sku}: {guard.unmarked(q.text)}") for q in seen.held),
        *_silences(seen, silent_after),
        *(_fight(seen.titles.get(name, name), name, sku, n) for (name, sku), n in sorted(seen.fights.items())),
    ]
    for sku, level in sorted(seen.low.items()):
        units = seen.available.get(sku)
        if units is not None and 0 <= units <= level:
            text = f"{sku}: {units} available, and its Low-stock level is {level}."
            alerts.append(Alert(f"low:{sku}", Kind.LOW, text))
    return alerts


def _oversold(sku: str, units: int) -> Alert:
    text = f"{sku}: {-units} more promised than there are. `sheets-sync why {sku}` shows what led to it."
    return Alert(f"oversold:{sku}", Kind.OVERSOLD, text)


def _fight(title: str, channel: str, sku: str, times: int) -> Alert:
    text = f"{sku} on {title} was changed {times} times within a day by something else, and put right each time."
    return Alert(f"drift:{channel}:{sku}", Kind.DRIFT, f"{text} Stop what writes it, or pause the listing.")


def _troubles(seen: Seen, failing_after: timedelta) -> Iterable[Alert]:
    for trouble in seen.troubles:
        if seen.at - trouble.since < failing_after:
            continue
        minutes = int((seen.at - trouble.since).total_seconds() // 60)
        kind = Kind.SHEET if trouble.name == "sheet" else Kind.CHANNEL
        what = "The sheet" if kind is Kind.SHEET else seen.titles.get(trouble.name, trouble.name)
        text = f"{what} has not worked for {minutes} minutes: {trouble.text} It is tried again all the time."
        yield Alert(f"{kind}:{trouble.name}:{trouble.since.isoformat()}", kind, text)


def _silences(seen: Seen, silent_after: timedelta) -> Iterable[Alert]:
    """An order that came long after the last webhook, and long enough ago for one to have come."""
    for one in seen.silences:
        quiet = one.last_delivery is None or one.last_order - one.last_delivery >= silent_after
        if quiet and seen.at - one.last_order >= timedelta(minutes=15):
            title = seen.titles.get(one.channel, one.channel)
            since = "ever" if one.last_delivery is None else f"since {one.last_delivery:%Y-%m-%d %H:%M} UTC"
            text = (
                f"{title} has sent no webhook {since}, though orders came; they are found by looking, only later. "
                "`sheets-sync doctor` tries it; the shop may have dropped our webhooks."
            )
            yield Alert(f"{Kind.SILENCE}:{one.channel}", Kind.SILENCE, text)


def fresh(alerts: Iterable[Alert], told: Iterable[str]) -> list[Alert]:
    """Those that were not told yet."""
    known = set(told)
    return [alert for alert in alerts if alert.key not in known]


def message(alerts: Sequence[Alert]) -> tuple[str, str]:
    """Subject and body of what is told at once."""
    counts = Counter(TITLES[alert.kind] for alert in alerts)
    subject = "sheets-sync: " + ", ".join(f"{title} ({n})" if n > 1 else title for title, n in counts.items())
    return subject, "\n".join(_listed(alerts))


def _listed(alerts: Sequence[Alert]) -> list[str]:
    lines, heading = list[str](), ""
    for alert in alerts[:AT_ONCE]:
        if TITLES[alert.kind] != heading:
            heading = TITLES[alert.kind]
            lines += ["", heading] if lines else [heading]
        lines.append(f"- {alert.text}")
    if len(alerts) > AT_ONCE:
        lines += ["", f"And {len(alerts) - AT_ONCE} more: see the sheet, or `sheets-sync alerts`."]
    return lines


@dataclass(frozen=True)
class Day:
    """What happened in a day, for its digest."""

    until: datetime
    orders: Mapping[str, int]  # by channel
    events: int
    questions: int


def digest(day: Day, alerts: Sequence[Alert], titles: Mapping[str, str]) -> tuple[str, str]:
    """Subject and body of the daily digest: what happened, and what still stands."""
    orders = ", ".join(f"{titles.get(name, name)} {n}" for name, n in sorted(day.orders.items())) or "none"
    lines = [
        f"The day until {day.until:%Y-%m-%d %H:%M} UTC.",
        f"Orders: {orders}. Events in the ledger: {day.events}. Questions in Review: {day.questions}.",
        "",
    ]
    lines += ["Still so:", "", *_listed(alerts)] if alerts else ["Nothing needs you."]
    what = f"{len(alerts)} things stand" if len(alerts) != 1 else "1 thing stands"
    return f"sheets-sync: {what if alerts else 'all is well'}", "\n".join(lines)
