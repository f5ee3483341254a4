"""`create_app`: raw body -> channel.verify -> stored once -> durable -> applied -> 200.

The idea: a delivery is worth nothing until it is durable, and everything after that moment is answered 200. Whether it
could be applied at once is our own affair: it waits in the ledger for the next pass. Before that moment every refusal
has the status that makes the vendor do the right thing: 4xx for what will never do, 503 for what should come again.

`Inbox` is all of that without a web framework; Flask is the door around it.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from flask import Flask, Response, abort, g, render_template, request
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, InternalServerError

from sheets_sync import __version__
from sheets_sync.channels import Channel, RawRequest
from sheets_sync.errors import DeliveryRefused, Malformed, SheetsSyncError, TooOld, Unavailable, Unsigned
from sheets_sync.model import StoredDelivery
from webhook.shelf import Shelf

if TYPE_CHECKING:
    from sheets_sync.ledger import Ledger

MAX_BODY = 5_000_000
"""Bytes. The longest orders seen are a tenth of it; it bounds what a stranger can make us read."""

RETRY_AFTER = 30
"""Seconds that a vendor is asked to wait while the ledger is away. Those that know better ignore it."""

TOKEN_HEADER = "X-Sheets-Sync-Token"

NOT_KEPT = frozenset({"authorization", "proxy-authorization", "cookie", "x-sheets-sync-key"})
"""Headers that are never stored with a delivery: they let whoever reads them in."""

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")

DELIVERIES = Counter("sheets_sync_deliveries", "Webhook deliveries by what became of them.", ["channel", "outcome"])
SECONDS = Histogram("sheets_sync_delivery_seconds", "From a delivery's arrival to its answer.", ["channel"])
HINTS = Counter("sheets_sync_edit_hints", "Edit notifications from the sheet.", ["outcome"])

AWAY = (Unavailable, SQLAlchemyError)
"""What the ledger raises where its database does not answer."""

Apply = Callable[[str, StoredDelivery], None]
Wake = Callable[[str], None]
Clock = Callable[[], datetime]

log = structlog.get_logger(__name__)


def utcnow() -> datetime:
    """The present, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Answer:
    """What the vendor is told. `outcome` is the word for it in the metrics."""

    status: int
    outcome: str
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    retry_after: int | None = None


REFUSALS: Mapping[type[DeliveryRefused], tuple[str, bytes]] = {
    Unsigned: ("unsigned", b"the signature is missing or wrong\n"),
    TooOld: ("stale", b"made too long ago\n"),
    Malformed: ("malformed", b"this cannot be read\n"),
}
"""What a stranger is told; why exactly stands in the log alone."""


@dataclass(frozen=True)
class Inbox:
    """Takes deliveries. `apply` is called with the channel's name and the delivery once it is durable.

    `apply` marks the delivery applied in its own transaction; where it raises, the delivery stays waiting.
    """

    shelf: Shelf
    channels: Mapping[str, Channel]
    apply: Apply
    clock: Clock = utcnow

    def take(self, name: str, raw: RawRequest, durable: Callable[[], None] = lambda: None) -> Answer:
        """Answer one request to a channel's webhook address. `durable` is called once it can no longer be lost.

        Raises only what is a bug in an adapter or in `apply`.
        """
        channel = self.channels[name]
        greeting = channel.handshake(raw)
        if greeting is not None:
            log.info("delivery: handshake answered", channel=name, status=greeting.status)
            return Answer(greeting.status, "handshake", greeting.body, greeting.content_type)
        try:
            delivery = self._verified(channel, raw)
        except DeliveryRefused as error:
            return self._refuse(name, raw, error)
        try:
            new = self.shelf.store(delivery)
        except AWAY as error:
            log.error("delivery: the ledger is away, so it must come again", channel=name, error=type(error).__name__)
            return Answer(503, "ledger away", b"not now; send it again\n", retry_after=RETRY_AFTER)
        durable()
        about = {"channel": name, "topic": delivery.topic, "id": delivery.id, "bytes": len(raw.body)}
        if not new:
            log.info("delivery: had it already", **about)
            return Answer(200, "again")
        return self._apply(name, delivery, about)

    def _verified(self, channel: Channel, raw: RawRequest) -> StoredDelivery:
        delivery = channel.verify(raw)
        if not delivery.id:
            raise Malformed("it has no id, so it could not be told from others")
        headers = {key: value for key, value in raw.headers.items() if key.lower() not in NOT_KEPT}
        body = raw.body if delivery.kept is None else delivery.kept
        return StoredDelivery(channel.name, delivery.id, delivery.topic, headers, body, self.clock())

    def _refuse(self, name: str, raw: RawRequest, error: DeliveryRefused) -> Answer:
        outcome, words = next((said for kind, said in REFUSALS.items() if isinstance(error, kind)), ("refused", b""))
        log.warning(f"delivery: {outcome}", channel=name, status=error.status, why=str(error), bytes=len(raw.body))
        return Answer(error.status, outcome, words)

    def _apply(self, name: str, delivery: StoredDelivery, about: Mapping[str, object]) -> Answer:
        try:
            self.apply(name, delivery)
        except (SheetsSyncError, SQLAlchemyError) as error:
            log.warning("delivery: kept for the next pass", why=type(error).__name__, **about)
            return Answer(200, "waiting")
        log.info("delivery: applied", **about)
        return Answer(200, "applied")


def create_app(
    ledger: Ledger,
    channels: Mapping[str, Channel],
    *,
    apply: Apply,
    wake: Wake,
    hint_token: str | None = None,
    clock: Clock = utcnow,
    max_body: int = MAX_BODY,
) -> Flask:
    """The web side of the service.

    `apply` is told of every new delivery, once it is durable; `wake("sheet")` of every edit notification that carries
    `hint_token` (without a token none is heard). `max_body` is in bytes.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = max_body + 1  # a body without a length is cut there, and nothing is said of it
    inbox = Inbox(Shelf(ledger), channels, apply, clock)
    _webhooks(app, inbox, max_body)
    _edits(app, wake, hint_token)
    _pages(app, ledger, channels)
    _errors(app, max_body)
    return app


def raw_request(max_body: int) -> RawRequest:
    """The request at hand as its sender made it: the body's bytes are what was signed."""
    body = request.get_data(cache=False, parse_form_data=False)
    if len(body) > max_body:
        abort(413)
    return RawRequest(request.method, request.url, dict(request.headers), body, request.args.to_dict())


def _webhooks(app: Flask, inbox: Inbox, max_body: int) -> None:
    def durable() -> None:
        g.durable = True

    @app.post("/webhooks/<name>")
    def webhook(name: str) -> Response:
        if name not in inbox.channels:
            log.warning("delivery: for no channel of ours", channel=name[:60], status=404)
            DELIVERIES.labels("", "unknown channel").inc()
            abort(404)
        began = time.perf_counter()
        answer = inbox.take(name, raw_request(max_body), durable)
        DELIVERIES.labels(name, answer.outcome).inc()
        SECONDS.labels(name).observe(time.perf_counter() - began)
        response = Response(answer.body, answer.status, content_type=answer.content_type)
        if answer.retry_after is not None:
            response.headers["Retry-After"] = str(answer.retry_after)
        return response


def _edits(app: Flask, wake: Wake, hint_token: str | None) -> None:
    @app.post("/sheet/edited")
    def edited() -> Response:
        """A hint only: what was edited is found by looking."""
        said = request.headers.get(TOKEN_HEADER, "")
        if hint_token is None or not hmac.compare_digest(said.encode(), hint_token.encode()):
            why = "no hint token is set in [sheet]" if hint_token is None else "another token"
            log.warning("edit notification: refused", why=why, status=401)
            HINTS.labels("refused").inc()
            return Response("the token is missing or wrong\n", 401, content_type="text/plain")
        HINTS.labels("heard").inc()
        wake("sheet")
        return Response(status=204)


def _pages(app: Flask, ledger: Ledger, channels: Mapping[str, Channel]) -> None:
    @app.get("/healthz")
    def health() -> Response:
        try:
            with ledger.read() as view:
                view.last_event_id()
        except AWAY as error:
            log.error("health: the ledger is away", error=type(error).__name__)
            return Response("the ledger is away\n", 503, content_type="text/plain")
        return Response("ok\n", content_type="text/plain")

    @app.get("/metrics")
    def metrics() -> Response:
        _not_through_a_proxy()
        return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)

    @app.get("/")
    def status() -> str:
        _not_through_a_proxy()
        with ledger.read() as view:
            waiting = {name: len(view.deliveries(name, state="waiting", limit=20)) for name in channels}
            events = view.last_event_id()
        return render_template("status.html", version=__version__, channels=channels, waiting=waiting, events=events)


def _not_through_a_proxy() -> None:
    """What the proxy in front lets the world reach is webhooks; pages about us are for this machine's own network."""
    if any(header in request.headers for header in FORWARDED):
        abort(404)


def _errors(app: Flask, max_body: int) -> None:
    @app.before_request
    def not_too_long() -> None:
        """Said before any of it is read, whatever address it is for."""
        if request.content_length is not None and request.content_length > max_body:
            abort(413)

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        response = Response(f"{error.name}\n", error.code, content_type="text/plain")
        for header, value in error.get_headers():
            if header == "Allow":
                response.headers[header] = value
        if error.code == 413:
            name = (request.view_args or {}).get("name", "")
            log.warning("request: too long", path=request.path[:80], bytes=request.content_length, status=413)
            DELIVERIES.labels(name if request.endpoint == "webhook" else "", "too long").inc()
        return response

    @app.errorhandler(InternalServerError)
    def broken(error: InternalServerError) -> Response:
        """A bug of ours. A delivery that is durable is not asked for again: it waits for the next pass."""
        kept = g.get("durable", False)
        log.error("request: a bug of ours", path=request.path[:80], kept=kept, exc_info=error.original_exception)
        return Response("" if kept else "not now\n", 200 if kept else 500, content_type="text/plain")
