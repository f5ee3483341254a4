"""A shop with an API of its own: `HttpJson` speaks protocol 1 of docs/channels/http_json.md, which the shop implements.

The protocol asks of a shop what keeps stock safe and little else: whole levels with times of its own, a write that is
made only from the figure expected, a result for each row, and a signature on all that passes. Calls are signed with
the shared secret over id, time, method, address and body; deliveries come signed by the Standard Webhooks rules.

The figure is what may be sold: the shop lowers it itself with each order, and says of each line what it took.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import requests
from requests.auth import AuthBase

from sheets_sync.channels import (
    Basis,
    Capabilities,
    Clock,
    Delivery,
    Health,
    Hook,
    Outcome,
    Page,
    PushResult,
    RawRequest,
    Reply,
    Signal,
    SignalKind,
    Target,
)
from sheets_sync.channels.http import TIMEOUT, HttpRefused, Limiter, Session, failed
from sheets_sync.errors import (
    ChannelRefused,
    CredentialsRefused,
    Malformed,
    OtherSide,
    TooOld,
    Unavailable,
    Unsigned,
)
from sheets_sync.model import Figure, Order, OrderLine, OrderState, Ref, RemoteListing, Shipment

PROTOCOL = 1

BATCH = 200
"""Figures that are read or written a call."""

CALLS_PER_SECOND, CALLS_AT_ONCE = 10.0, 20.0
"""A shop that bears less says 429, with Retry-After."""

OVERLAP = timedelta(minutes=5)
"""`orders` reads this much further back than asked: clocks differ."""

REPLAY_WINDOW = timedelta(minutes=5)
"""A delivery or a call signed longer ago, or further ahead, is refused."""

RETRY_AFTER = 30.0
"""Seconds until a write that was not made is worth trying again, where the shop does not say."""

STATES: Mapping[str, OrderState] = MappingProxyType(
    {
        "pending": OrderState.PENDING,  # placed, not paid or not confirmed yet
        "open": OrderState.OPEN,  # to be shipped, in whole or in part
        "done": OrderState.DONE,  # nothing is left to be shipped
        "cancelled": OrderState.CANCELLED,  # called off as a whole
    }
)
"""The protocol's words for orders; any other is UNKNOWN and treated as open."""

OUTCOMES: Mapping[str, Outcome] = MappingProxyType(
    {"applied": Outcome.APPLIED, "stale": Outcome.STALE, "refused": Outcome.REFUSED}
)


# signing --------------------------------------------------------------------------------------------------------------


def key_of(secret: str) -> bytes:
    """The key in a secret: Standard Webhooks' `whsec_` and base64, or the text itself."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            pass
    return secret.encode()


def signature(secret: str, *parts: str | bytes) -> str:
    """`v1,` and base64(HMAC-SHA256(key, the parts joined by full stops))."""
    text = b".".join(part.encode() if isinstance(part, str) else part for part in parts)
    return "v1," + base64.b64encode(hmac.new(key_of(secret), text, hashlib.sha256).digest()).decode()


def signed_by(secrets: Iterable[str], given: str, *parts: str | bytes) -> bool:
    """Whether one of `secrets` made one of the signatures in `given`, in constant time for each."""
    found = False
    for secret in secrets:
        wanted = signature(secret, *parts).encode()
        for one in given.split():
            found |= hmac.compare_digest(one.encode(), wanted)
    return found


class Signed(AuthBase):
    """Signs each call: what it asks of whom, when, and a number that is never used twice."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret, self._clock = secret, clock

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        number, at = random.token_hex(16), str(int(self._clock().timestamp()))
        parts = (number, at, str(request.method), address_of(str(request.url)), body)
        request.headers["Sync-Id"], request.headers["Sync-Timestamp"] = number, at
        request.headers["Sync-Signature"] = signature(self._secret, *parts)
        return request


def address_of(url: str) -> str:
    """What of a URL is signed: path and query, as they are sent."""
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


# reading bodies -------------------------------------------------------------------------------------------------------


def read_listing(body: Mapping[str, Any]) -> RemoteListing:
    """One listing. ValueError, KeyError or TypeError where it is none."""
    why_not = _text(body.get("why_not"))
    figure = body["figure"]
    if figure is None and not why_not:
        why_not = "the shop keeps no figure for it"
    return RemoteListing(
        ref=Ref(_id(body["id"])),
        sku=_text(body.get("sku")) or None,
        title=_text(body.get("title")),
        shows=None if figure is None else _whole(figure),
        pushable=not why_not,
        why_not=why_not,
        barcode=_text(body.get("barcode")),
    )


def read_order(body: Mapping[str, Any], read_at: datetime | None = None) -> Order:
    """One order's level. ValueError, KeyError or TypeError where it is none."""
    state = _id(body["state"])
    return Order(
        id=_id(body["id"]),
        number=_text(body.get("number")) or _id(body["id"]),
        placed_at=_time(body["placed_at"]),
        updated_at=_time(body["updated_at"]),
        state=STATES.get(state, OrderState.UNKNOWN),
        paid=body.get("paid") is True,
        source=_text(body.get("source")),
        lines=tuple(_read_line(line) for line in body["lines"]),
        read_at=read_at,
        note="" if state in STATES else f"the shop says '{state}', which the protocol does not know: taken as open",
    )


def _read_line(body: Mapping[str, Any]) -> OrderLine:
    listing = body.get("listing")
    cancelled = _units(body.get("cancelled", 0))
    return OrderLine(
        id=_id(body["id"]),
        ordered=_units(body["ordered"]),
        sku=_text(body.get("sku")) or None,
        ref=None if listing is None else Ref(_id(listing)),
        title=_text(body.get("title")),
        shipped=tuple(Shipment(_time(s["at"]), _units(s["units"])) for s in body.get("shipped") or ()),
        cancelled=cancelled,
        freely=body.get("cancelled_by") != "seller",
        cancelled_at=_time(body["cancelled_at"]) if cancelled and body.get("cancelled_at") else None,
        returned=_units(body.get("returned", 0)),
        restocked=_units(body.get("restocked", 0)),
        taken=_units(body["taken"]),
        taken_at=_time(body["taken_at"]) if body.get("taken_at") else None,
    )


def _id(value: object) -> str:
    """An id: text, or a whole number as text."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise ValueError(f"{value!r} is no id")
    return str(value)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no whole number")
    return value


def _units(value: object) -> int:
    units = _whole(value)
    if units < 0:
        raise ValueError(f"{units} units are below zero")
    return units


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _time(value: object) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError(f"the time '{value}' has no zone")
    return moment.astimezone(UTC)


_NO_BODY = (KeyError, ValueError, TypeError, AttributeError)


# the channel ----------------------------------------------------------------------------------------------------------


class HttpJson:
    """One shop that implements the protocol at `address`. `secret` signs our calls, `webhook_secret` its deliveries."""

    kind = "http_json"
    capabilities = Capabilities(
        basis=Basis.AVAILABLE,
        compare_and_set=True,
        idempotency_key=False,  # a write is made from a figure, so that it cannot be made twice
        asynchronous=False,
        readable=True,
        max_batch=BATCH,
        own_sources=frozenset({"shop", "web", "till"}),
    )

    def __init__(
        self,
        name: str,
        address: str,
        secret: str,
        *,
        webhook_secret: str = "",
        old_webhook_secret: str = "",
        clock: Clock = lambda: datetime.now(UTC),
        limiter: Limiter | None = None,
        timeout: tuple[float, float] = TIMEOUT,
    ) -> None:
        self.name = name
        self._clock = clock
        self._accepted = tuple(s for s in (webhook_secret, old_webhook_secret) if s)
        self._session = Session(
            address,
            who=name,
            auth=Signed(secret, clock),
            limiter=limiter or Limiter(CALLS_PER_SECOND, CALLS_AT_ONCE),
            secrets=(secret, webhook_secret, old_webhook_secret),
            timeout=timeout,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    # is it well?

    def check(self) -> Health:
        """Address, secret, protocol, clock, and whether deliveries reach us. Changes nothing."""
        began = self._clock()
        try:
            shop = self._ask("GET", "shop")
            hook = self._ask("GET", "webhook")
            problems = [*self._other_protocol(shop), *self._failing(hook)]
            skew = _time(shop["time"]) - began if shop.get("time") else None
            name, address = _text(shop.get("name")), _text(hook.get("url"))
        except (OtherSide, CredentialsRefused) as error:
            return Health(ok=False, problems=(str(error),))
        except _NO_BODY as error:
            return Health(ok=False, problems=(f"The shop's answer is not that of the protocol: {error!r}.",))
        if not self._accepted:
            problems.append("No secret is known to verify webhooks with: give webhook_secret in config.toml.")
        facts = {"webhook": address or "none"}
        return Health(ok=not problems, account=name, problems=tuple(problems), clock_skew=skew, facts=facts)

    def _other_protocol(self, shop: Mapping[str, Any]) -> list[str]:
        spoken = shop.get("protocol")
        if spoken == PROTOCOL:
            return []
        return [f"The shop speaks protocol {spoken!r}, we speak {PROTOCOL}: see docs/channels/http_json.md."]

    def _failing(self, hook: Mapping[str, Any]) -> list[str]:
        if not hook.get("failing_since"):
            return []
        since = f"{_time(hook['failing_since']):%Y-%m-%d %H:%M}"
        return [f"The shop's deliveries have failed since {since}: check that it can reach {hook.get('url')}."]

    def ensure_hooks(self, base_url: str) -> Sequence[Hook]:
        """Tell the shop our one address, again where it has another or gave up on it."""
        address = f"{base_url.rstrip('/')}/webhooks/{self.name}"
        there = self._ask("GET", "webhook")
        if there.get("url") == address and not there.get("failing_since"):
            return [Hook("all", address, "kept")]
        try:
            self._session.write("PUT", "webhook", json={"url": address})
        except HttpRefused as error:
            return [Hook("all", address, f"refused: {error}")]
        return [Hook("all", address, "made again" if there.get("url") else "made")]

    # listings and figures

    def listings(self, cursor: str | None = None) -> Page[RemoteListing]:
        """A page of the catalogue."""
        answer = self._ask("GET", "listings", {"cursor": cursor} if cursor else {})
        return self._page(answer, "listings", read_listing)

    def figures(self, refs: Sequence[Ref]) -> Sequence[Figure]:
        """Two hundred a call. `shows` None: the shop has no such listing, or keeps no figure for it."""
        shows: dict[str, int | None] = {}
        for ids in _chunks(list(dict.fromkeys(ref.listing for ref in refs))):
            answer = self._session.read("POST", "figures/read", json={"ids": ids}).data
            for row in self._rows(answer, "figures"):
                figure = row.get("figure")
                shows[str(row.get("id"))] = None if figure is None else self._read(_whole, figure)
        return [Figure(ref, shows.get(ref.listing)) for ref in refs]

    # pushing

    def push(self, targets: Sequence[Target]) -> Sequence[PushResult]:
        """Figures, two hundred a call, each made only where the shop shows the one expected."""
        by_id: dict[str, Target] = {}
        results: dict[int, PushResult] = {}
        for position, target in enumerate(targets):
            if target.ref.listing in by_id:
                why = "its listing stands twice in one push; only the first figure was sent"
                results[position] = PushResult(target.ref, Outcome.RETRY, why, retry_after=0.0)
            else:
                by_id[target.ref.listing] = target
        settled: dict[str, PushResult] = {}
        for ids in _chunks(list(by_id)):
            settled |= self._push_chunk([by_id[id] for id in ids], anything_done=bool(settled))
        return [results.get(i) or settled[target.ref.listing] for i, target in enumerate(targets)]

    def _push_chunk(self, group: Sequence[Target], *, anything_done: bool) -> dict[str, PushResult]:
        rows = [{"id": t.ref.listing, "figure": t.figure, "expected": t.expected} for t in group]
        try:
            answer = self._session.write("POST", "figures", json={"figures": rows}).data
        except (OtherSide, CredentialsRefused) as error:
            if isinstance(error, CredentialsRefused) and not anything_done:
                raise
            return {t.ref.listing: failed(t, error, RETRY_AFTER) for t in group}
        found = answer.get("results") if isinstance(answer, dict) else None
        told = {str(r.get("id")): r for r in found or () if isinstance(r, dict)}
        return {t.ref.listing: _result(t, told.get(t.ref.listing)) for t in group}

    def results(self, job: str) -> Sequence[PushResult] | None:
        """The protocol answers at once; there is never a job to ask about."""
        return ()

    # orders

    def orders(self, since: datetime, cursor: str | None = None) -> Page[Order]:
        """Every order changed since, five minutes of overlap included."""
        read_at = self._clock()
        query = {"since": f"{since.astimezone(UTC) - OVERLAP:%Y-%m-%dT%H:%M:%SZ}"}
        answer = self._ask("GET", "orders", query | ({"cursor": cursor} if cursor else {}))
        return self._page(answer, "orders", lambda body: read_order(body, read_at))

    def order(self, order_id: str) -> Order:
        """One order; GONE where the shop answers 404 or 410."""
        read_at = self._clock()
        try:
            answer = self._ask("GET", f"orders/{quote(order_id, safe='')}")
        except HttpRefused as error:
            if error.status not in (404, 410):
                raise
            return Order(order_id, read_at, read_at, OrderState.GONE, (), number=order_id, read_at=read_at)
        order: Order = self._read(lambda body: read_order(body, read_at), answer)
        return order

    # deliveries

    def handshake(self, request: RawRequest) -> Reply | None:
        """The protocol asks for none."""
        return None

    def verify(self, request: RawRequest) -> Delivery:
        """The signature of Standard Webhooks over id, time and raw body, then the age of the attempt."""
        id, at = request.header("webhook-id") or "", request.header("webhook-timestamp") or ""
        if not signed_by(self._accepted, request.header("webhook-signature") or "", id, at, request.body):
            raise Unsigned(f"{self.name}: the delivery is not signed with this channel's webhook_secret")
        if not (id and at.isascii() and at.isdigit() and len(at) < 12):
            raise Malformed(f"{self.name}: the delivery has no webhook-id, or its webhook-timestamp is no time")
        sent_at = datetime.fromtimestamp(int(at), UTC)
        if abs(self._clock() - sent_at) > REPLAY_WINDOW:
            raise TooOld(f"{self.name}: the delivery was signed at {sent_at:%Y-%m-%d %H:%M:%S}, by the shop's clock")
        body = _object(request.body)
        if body is None:
            raise Malformed(f"{self.name}: the delivery is signed, but its body is no JSON object")
        return Delivery(id, str(body.get("type") or ""), sent_at)

    def signals(self, request: RawRequest) -> Sequence[Signal]:
        """The order or the figure that a body carries; nothing where it carries neither."""
        body = _object(request.body)
        try:
            return () if body is None else _signals(body)
        except _NO_BODY:
            return ()

    # calls

    def _ask(self, method: str, path: str, query: Mapping[str, str] = MappingProxyType({})) -> Mapping[str, Any]:
        answer = self._session.read(method, path, params=query).data
        if not isinstance(answer, dict):
            raise Unavailable(f"{self.name}: {method} {path} was answered with something that is no JSON object")
        return answer

    def _page(self, answer: Mapping[str, Any], name: str, read: Any) -> Page[Any]:
        after = answer.get("next")
        return Page([self._read(read, row) for row in self._rows(answer, name)], str(after) if after else None)

    def _rows(self, answer: object, name: str) -> Iterator[Mapping[str, Any]]:
        rows = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise Unavailable(f"{self.name}: the shop's answer has no list '{name}', as the protocol wants")
        yield from (row for row in rows if isinstance(row, dict))

    def _read(self, read: Any, body: object) -> Any:
        """One row, or ChannelRefused that shows the shop's programmers what is wrong with it."""
        try:
            return read(body)
        except _NO_BODY as error:
            shown = self._session.redact(orjson.dumps(body).decode()[:200])
            raise ChannelRefused(
                f"{self.name}: the shop sent something that is not of the protocol ({error!r}): {shown}"
            ) from error


def _signals(body: Mapping[str, Any]) -> tuple[Signal, ...]:
    match body.get("type"):
        case "order.changed":
            number = _id(body["order"]["id"])
            return (Signal(SignalKind.ORDER, number, order=_order_or_none(body["order"])),)
        case "order.deleted":
            return (Signal(SignalKind.ORDER, _id(body["id"]), gone=True),)
        case "figure.changed":
            ref = Ref(_id(body["listing"]))
            return (Signal(SignalKind.LISTING, ref.listing, figure=Figure(ref, _whole(body["figure"]))),)
        case _:
            return (Signal(SignalKind.OTHER),) if body.get("type") else ()


def _order_or_none(body: Mapping[str, Any]) -> Order | None:
    """The level, where it is whole; else the order is asked for."""
    try:
        return read_order(body)
    except _NO_BODY:
        return None


def _result(target: Target, row: Mapping[str, Any] | None) -> PushResult:
    if row is None:
        return PushResult(target.ref, Outcome.UNKNOWN, "the shop's answer says nothing about this listing")
    outcome = OUTCOMES.get(str(row.get("outcome")), Outcome.UNKNOWN)
    figure = row.get("figure")
    actual = figure if isinstance(figure, int) and not isinstance(figure, bool) else None
    why = str(row.get("why") or "")
    if outcome is Outcome.APPLIED and actual not in (None, target.figure):
        why = f"the shop answered {actual}, not {target.figure}"
        return PushResult(target.ref, Outcome.UNKNOWN, why, actual=actual)
    if outcome is Outcome.REFUSED:
        why = f"the shop says: {why}" if why else "the shop refused it without a reason"
    return PushResult(target.ref, outcome, why, actual=target.figure if outcome is Outcome.APPLIED else actual)


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]
