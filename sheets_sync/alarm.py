"""Alerts sent: to a webhook, by e-mail, or both; what was told is kept on the ledger's shelf.

A loop of its own, so that a mail server that is away holds up no count and no figure. Each way keeps what it has told:
where one fails, the other is not told twice. An alert that was sent when the process died may come once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

import requests
import structlog

from sheets_sync import alerts, drift
from sheets_sync.alerts import Alert, Day, Seen, Silence, Trouble
from sheets_sync.config import AlertSettings
from sheets_sync.desk import LOW_LEVELS, TROUBLES, Desk, channel_state
from sheets_sync.errors import Unavailable
from sheets_sync.ledger import View
from sheets_sync.mailing import Mail
from sheets_sync.model import Kind, StockKey

log = structlog.get_logger()

TOLD = "alerts:"  # before a way's name: the keys told, and when the last digest went
TIMEOUT = 15.0  # seconds for a webhook to answer
HELD = frozenset(
    "text below_zero reason undo is_order restored moved_column formula_held mass jump cleared rows_missing".split()
)
DAY = timedelta(days=1)
MOST_EVENTS = 100_000

Send = Callable[[str, str, Sequence[Alert]], None]
"""Subject, body and alerts. Raises Unavailable where it did not get through."""


@dataclass
class Watch:
    """What is available of the SKUs that have a Low-stock level, as of the last look; only what has changed is read."""

    low: Mapping[str, int] = field(default_factory=dict)
    units: dict[StockKey, int] = field(default_factory=dict)
    upto: int = 0

    _BACK: ClassVar[int] = 500  # events of two workers may become visible out of the order of their ids

    def available(self, view: View, low: Mapping[str, int]) -> dict[str, int]:
        """Of these SKUs, over all locations where they are counted."""
        newest = view.last_event_id()
        if low.keys() != self.low.keys():
            self.units, changed = {}, view.balances(low) if low else {}
        else:
            since = max(0, self.upto - self._BACK)
            changed = view.balances(since=since) if low and newest != self.upto else {}
        self.low, self.upto = low, newest
        self.units |= {
            key: balance.stock.available for key, balance in changed.items() if balance.counted and key.sku in low
        }
        summed: Counter[str] = Counter()
        for key, units in self.units.items():
            summed[key.sku] += units
        return dict(summed)


def seen(desk: Desk, view: View, watch: Watch) -> Seen:
    """How things stand by the ledger, in one snapshot."""
    low = view.get(LOW_LEVELS, {})
    troubles = [
        Trouble(name, str(known["text"]), datetime.fromisoformat(known["since"]))
        for name, known in view.get(TROUBLES, {}).items()
    ]
    return Seen(
        at=desk.clock(),
        available=watch.available(view, low) | view.below_zero(),
        low=low,
        held=[q for q in view.questions() if q.kind in HELD],
        troubles=troubles,
        silences=_silences(desk, view),
        fights={(name, sku): n for name in desk.titles for sku, n in drift.fights(view, name, desk.clock()).items()},
        titles=desk.titles,
    )


def _silences(desk: Desk, view: View) -> list[Silence]:
    if desk.settings.web.public_url is None:
        return []
    out = []
    for name, settings in desk.settings.channels.items():
        last_order = view.get(channel_state(name), {}).get("last_order")
        if not settings.hooks or not last_order:
            continue
        newest = view.deliveries(name, limit=1, newest_first=True)
        out.append(Silence(name, datetime.fromisoformat(last_order), newest[0].received_at if newest else None))
    return out


def note_trouble(desk: Desk, name: str, text: str) -> None:
    """What a loop stumbles over, from its first stumble until it works again (`text` is "")."""
    with desk.ledger.read() as view:
        known = view.get(TROUBLES, {}).get(name)
    if not text and known is None:
        return
    with desk.ledger.begin() as tx:
        troubles = tx.get(TROUBLES, {})
        since = troubles.pop(name, {}).get("since", desk.clock().isoformat())
        tx.put(TROUBLES, troubles | ({name: {"text": text[:300], "since": since}} if text else {}))


def standing(desk: Desk, watch: Watch | None = None) -> list[Alert]:
    """All that should be known now."""
    with desk.ledger.read() as view:
        found = seen(desk, view, watch or Watch())
    wanted = desk.settings.alerts
    return alerts.standing(found, wanted.failing_after, wanted.silent_after)


def ways(settings: AlertSettings) -> dict[str, Send]:
    """How the seller wants to be told."""
    out: dict[str, Send] = {}
    if settings.webhook_url is not None:
        out["webhook"] = _Webhook(settings.webhook_url.get_secret_value())
    if settings.email_to:
        out["email"] = Mail(settings)
    return out


def tell(desk: Desk, sends: Mapping[str, Send] | None = None, watch: Watch | None = None) -> int:
    """Send what was not told yet, and the digest where it is due; how many messages went out. `watch` spares reading.

    Raises Unavailable, once every way was tried, where one did not get through: it is tried again.
    """
    now, stand = desk.clock(), standing(desk, watch)
    failed: list[str] = []
    sent = 0
    for name, send in (ways(desk.settings.alerts) if sends is None else sends).items():
        try:
            sent += _tell(desk, name, send, stand, now)
        except Unavailable as error:
            failed.append(f"{name}: {error}")
    if failed:
        raise Unavailable("Alerts could not be sent. " + "; ".join(failed))
    return sent


def _tell(desk: Desk, name: str, send: Send, stand: Sequence[Alert], now: datetime) -> int:
    with desk.ledger.read() as view:
        told: dict[str, Any] = view.get(TOLD + name, {})
    known: dict[str, str] = told.get("keys", {})
    sent = 0
    fresh = alerts.fresh(stand, known)
    if fresh:
        send(*alerts.message(fresh), fresh)
        log.info("alerts.sent", way=name, alerts=[alert.key for alert in fresh][:20])
        sent += 1
    keys = {alert.key: known.get(alert.key, now.isoformat()) for alert in stand}
    _keep(desk, name, {**told, "keys": keys}, told)
    due = _digest_due(desk.settings.alerts, told.get("digest"), now)
    if due is not None:
        if told.get("digest"):
            send(*alerts.digest(_day(desk, due), stand, desk.titles), stand)
            sent += 1
        _keep(desk, name, {"keys": keys, "digest": due.isoformat()}, told)
    return sent


def _keep(desk: Desk, name: str, after: dict[str, Any], before: dict[str, Any]) -> None:
    if after != before:
        with desk.ledger.begin() as tx:
            tx.put(TOLD + name, after)


def _digest_due(settings: AlertSettings, last: str | None, now: datetime) -> datetime | None:
    """The time of the digest that is due; the first one after a start only notes that a day begins."""
    if settings.digest_hour is None:
        return None
    at = now.replace(hour=settings.digest_hour, minute=0, second=0, microsecond=0)
    at = at if at <= now else at - DAY
    return at if last is None or datetime.fromisoformat(last) < at else None


def _day(desk: Desk, until: datetime) -> Day:
    with desk.ledger.read() as view:
        newest = view.events(limit=MOST_EVENTS, newest_first=True)
        questions = len(view.questions())
    events = [e for e in newest if until - DAY <= e.recorded_at < until]
    orders = {(e.fact.source, e.fact.reference) for e in events if e.fact.kind is Kind.ORDER}
    return Day(until, Counter(source for source, _ in orders), len(events), questions)


def trial(desk: Desk) -> list[str]:
    """A message to every way, to see whether it arrives; the names of the ways. Raises Unavailable."""
    found = ways(desk.settings.alerts)
    for send in found.values():
        send("sheets-sync: a trial", "This is a trial: alerts will arrive here.", ())
    return list(found)


# the ways -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Webhook:
    url: str

    def __call__(self, subject: str, body: str, told: Sequence[Alert]) -> None:
        """A POST of JSON; `text` is what chat programs show."""
        listed = [{"key": alert.key, "kind": alert.kind.value, "text": alert.text} for alert in told]
        try:
            answer = requests.post(
                self.url, json={"text": f"{subject}\n{body}", "alerts": listed}, timeout=TIMEOUT, allow_redirects=False
            )  # fmt: skip
        except requests.RequestException as error:  # its words may hold the address, which is a secret
            raise Unavailable(f"the webhook cannot be reached ({type(error).__name__})") from None
        if not answer.ok or answer.is_redirect:
            raise Unavailable(f"the webhook answered {answer.status_code}")
