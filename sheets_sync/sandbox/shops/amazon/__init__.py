"""A local Amazon: the Selling Partner API of one seller's account, Login with Amazon, and a storefront at `/`.

`model` is how Amazon keeps stock and what it does as time passes, `shapes` what its bodies look like, `api`, `jobs` and
`notices` what can be asked, `gate` by whom and how often, `storefront` what you can do as buyer and seller. One server
plays all hosts: the API, api.amazon.com (`/auth/o2/token`), the storage of documents and, for notifications, AWS.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from flask import Flask, Response, request

from sheets_sync.sandbox.shops._common import (
    Clock,
    Courier,
    Faults,
    HttpServer,
    Running,
    Seed,
    Store,
    random_secret,
    storefront_pages,
    utc_now,
)
from sheets_sync.sandbox.shops.amazon.api import api
from sheets_sync.sandbox.shops.amazon.front import Desk, in_json
from sheets_sync.sandbox.shops.amazon.gate import Limits, Plan, Tokens
from sheets_sync.sandbox.shops.amazon.jobs import Jobs, jobs_api
from sheets_sync.sandbox.shops.amazon.model import MARKETPLACES, SCHEMA, Pace, Unknowns, Wanted
from sheets_sync.sandbox.shops.amazon.notices import REGION, Notices, Queue, Sent, notifications_api, queue_pages
from sheets_sync.sandbox.shops.amazon.storefront import Account

__all__ = ["LocalShop", "Pace", "Plan", "Sent", "Unknowns", "Wanted", "serve"]

HOME = "A1F83G8C2ARO7P"
MOST_BODY = 16 * 1024 * 1024


class LocalShop(Account):
    """The account, and the switches that a test or a rehearsal needs: `pace`, `unknowns`, `limits`, `tokens`."""

    tokens: Tokens
    limits: Limits
    notices: Notices
    queue: Queue
    courier: Courier

    def advance(self) -> None:
        """Do what is due by now, and deliver what it says."""
        super().advance()
        self.courier.wake()

    def wait_delivered(self, timeout: float = 10.0) -> bool:
        """True once every notification that could be posted has been."""
        self.advance()
        return self.courier.wait_idle(timeout)


def serve(
    data: Path | None = None,
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    credentials: Mapping[str, str] | None = None,
    clock: Clock = utc_now,
    seed: Sequence[Seed] | None = None,
    display_name: str = "Local Amazon",
    marketplaces: Sequence[str] = (HOME,),
    pace: Pace | None = None,
    unknowns: Unknowns | None = None,
) -> Running:
    """Start a local Amazon; it listens when this returns.

    `data` is its SQLite file (None: in memory), `seed` fills an empty account, `marketplaces` are where it sells (the
    first is home). `credentials` may fix `client_id`, `client_secret`, `refresh_token`, `seller_id` or the keys of
    AWS; the others are made once and kept. `Running.shop.pace`, `.unknowns`, `.limits` may be changed at any time.
    """
    for marketplace in marketplaces:
        if marketplace not in MARKETPLACES:
            raise ValueError(f"no marketplace '{marketplace}' here; there are {', '.join(MARKETPLACES)}")
    store = Store(data, SCHEMA)
    known = _credentials(store, credentials or {})
    shop = LocalShop(store, clock, display_name, marketplaces, known["seller_id"])
    shop.pace, shop.unknowns = pace or Pace(), unknowns or Unknowns()
    shop.tokens, shop.limits = Tokens(store, clock, known), Limits(clock)
    shop.seed(seed or ())
    app = Flask("local-amazon")
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY
    in_json(app)
    faults = Faults(app.wsgi_app)
    server = HttpServer(faults, port, host)
    desk = Desk(shop, shop.tokens, shop.limits, server.base_url)
    app.register_blueprint(api(desk))
    app.register_blueprint(jobs_api(desk, Jobs(shop, server.base_url)))
    _notifications(app, desk, shop, known)
    app.register_blueprint(storefront_pages(shop))
    _login(app, shop.tokens)
    keys = {**known, "marketplaces": ",".join(marketplaces), "sqs_queue": shop.queue.url, "aws_region": REGION}
    return Running(
        name="amazon",
        base_url=server.base_url,
        storefront=f"{server.base_url}/",
        credentials=keys,
        shop=shop,
        faults=faults,
        closers=(server.close, shop.courier.close, store.close),
    )


def _credentials(store: Store, given: Mapping[str, str]) -> dict[str, str]:
    make = {
        "client_id": lambda: f"amzn1.application-oa2-client.{secrets.token_hex(16)}",
        "client_secret": lambda: random_secret("amzn1.oa2-cs.v1.", 64),
        "refresh_token": lambda: random_secret("Atzr|", 60),
        "seller_id": lambda: f"A{secrets.token_hex(6).upper()}",
        "aws_access_key_id": lambda: f"AKIA{secrets.token_hex(8).upper()}",
        "aws_secret_access_key": lambda: secrets.token_urlsafe(30),
    }
    for name in given:
        if name not in make:
            raise ValueError(f"A local Amazon has no credential '{name}'; it has {', '.join(make)}.")
        store.set_setting(name, given[name])
    return {name: store.setting(name, maker) for name, maker in make.items()}


def _login(app: Flask, tokens: Tokens) -> None:
    @app.post("/auth/o2/token")
    def token() -> Response:
        given = request.get_json(silent=True) if request.is_json else request.form.to_dict()
        status, body = tokens.grant(given if isinstance(given, dict) else {})
        return Response(json.dumps(body), status, content_type="application/json;charset=UTF-8")


def _notifications(app: Flask, desk: Desk, shop: LocalShop, known: Mapping[str, str]) -> None:
    shop.notices = Notices(shop)
    shop.queue = Queue(shop.notices, {known["aws_access_key_id"]: known["aws_secret_access_key"]}, desk.base_url)
    shop.courier = Courier(shop.notices)
    shop.wake = shop.courier.wake
    app.register_blueprint(notifications_api(desk))
    app.register_blueprint(queue_pages(shop.queue))
