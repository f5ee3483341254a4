"""A local WooCommerce 11: `serve` starts one. REST API v3 under `/wp-json/wc/v3`, a storefront at `/`.

`model` is how it keeps stock, `shapes` what its bodies look like, `api` what can be asked, `auth` by whom, `hooks` what
it sends. Behaviour follows what was measured on a real one; where it is odd, the real one is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from flask import Flask

from sheets_sync.sandbox.shops._common import (
    Clock,
    Courier,
    Faults,
    HttpServer,
    Running,
    Seed,
    Store,
    storefront_pages,
    utc_now,
)
from sheets_sync.sandbox.shops.woocommerce.api import api
from sheets_sync.sandbox.shops.woocommerce.auth import Keys
from sheets_sync.sandbox.shops.woocommerce.hooks import Hooks, Sent
from sheets_sync.sandbox.shops.woocommerce.model import RELEASE, SCHEMA, Shop
from sheets_sync.sandbox.shops.woocommerce.shapes import Shapes

__all__ = ["LocalShop", "serve"]

MOST_BODY = 8 * 1024 * 1024
"""Bytes of a request, as WordPress hosts commonly have it."""


class LocalShop(Shop):
    """The model, and the switches that a test or a rehearsal needs besides."""

    def __init__(self, store: Store, clock: Clock, display_name: str, release: str = RELEASE) -> None:
        super().__init__(store, clock, display_name, release)
        self.keys = Keys(store, clock)
        self._hooks: Hooks | None = None
        self._courier: Courier | None = None

    def delivers(self, hooks: Hooks, courier: Courier) -> None:
        self._hooks, self._courier = hooks, courier
        self.on_queued(courier.wake)

    def pause_deliveries(self) -> None:
        """Like a site without traffic: WP-Cron does not run, deliveries wait and fold into one an object."""
        if self._hooks is not None:
            self._hooks.cron = False

    def resume_deliveries(self) -> None:
        if self._hooks is not None:
            self._hooks.cron = True
        self.wake()

    def wait_delivered(self, timeout: float = 10.0) -> bool:
        """True once every delivery that could go out has gone out."""
        return self._courier is None or self._courier.wait_idle(timeout)

    def sent(self) -> Sequence[Sent]:
        """Pings and deliveries so far, with the receiver's status."""
        return () if self._hooks is None else tuple(self._hooks.sent)


def serve(
    data: Path | None,
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    credentials: Mapping[str, str] | None = None,
    clock: Clock = utc_now,
    seed: Sequence[Seed] | None = None,
    display_name: str = "Corner Shop",
    utc_offset: timedelta = timedelta(0),
    release: str = RELEASE,
) -> Running:
    """Start a local WooCommerce; it listens when this returns.

    `data` is its SQLite file (None: in memory), `seed` fills an empty shop, `utc_offset` is the site's time zone.
    `release`: 11.0.1, or 9.0.2, which keeps stock a little differently.
    `credentials`: a consumer_key and consumer_secret to use instead of ones made at random and kept.
    """
    store = Store(data, SCHEMA)
    shop = LocalShop(store, clock, display_name, release)
    shop.seed(seed or ())
    key = shop.keys.first(**(credentials or {}))
    app = Flask("local-woocommerce")
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY
    faults = Faults(app.wsgi_app)
    server = HttpServer(faults, port, host)
    shapes = Shapes(shop, server.base_url, utc_offset)
    hooks = Hooks(shop, shapes)
    courier = Courier(hooks)
    shop.delivers(hooks, courier)
    app.register_blueprint(api(shop, shapes, shop.keys, hooks))
    app.register_blueprint(storefront_pages(shop))
    return Running(
        name="woocommerce",
        base_url=server.base_url,
        storefront=f"{server.base_url}/",
        credentials=key,
        shop=shop,
        faults=faults,
        closers=(server.close, courier.close, store.close),
    )
