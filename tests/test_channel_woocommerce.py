"""WooCommerce: the contract against the local shop, real recordings, and what only this vendor does."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sheets_sync.channels import Channel, RawRequest
from sheets_sync.channels.woocommerce import WooCommerce
from sheets_sync.sandbox.shops._common import Seen
from sheets_sync.sandbox.shops.woocommerce import serve
from tests.contract import ChannelContract, Counter

SECRET = "hook-secret"


class WooCounter(Counter):
    """A local WooCommerce."""

    def another(self, **credentials: str) -> Channel:
        wrong = "ck_wrong" if credentials.pop("wrong", "") else ""
        given = {"webhook_secret": SECRET, **credentials}
        keys = self.running.credentials
        return WooCommerce(
            "woo", self.running.base_url, wrong or keys["consumer_key"], keys["consumer_secret"], **given
        )

    def add(self, sku: str, title: str, stock: int) -> None:
        self.running.shop.add_product(sku, title, stock)

    def figure(self, sku: str) -> int | None:
        figure: int | None = self.running.shop.figure(sku)
        return figure

    def buy(self, sku: str, units: int) -> str:
        return str(self.running.shop.buy(sku, units))

    def ship(self, order: str) -> None:
        self.running.shop.ship(int(order))

    def cancel(self, order: str) -> None:
        self.running.shop.cancel(int(order))

    def delete(self, order: str) -> None:
        self.running.shop.trash(int(order), forever=True)

    def webhook_secret(self) -> str:
        return SECRET

    def resign(self, request: RawRequest, body: bytes) -> RawRequest:
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).digest()
        headers = {k: v for k, v in request.headers.items() if k.lower() != "x-wc-webhook-signature"}
        return replace(
            request, body=body, headers={**headers, "X-WC-Webhook-Signature": base64.b64encode(digest).decode()}
        )

    def settle(self) -> None:
        assert self.running.shop.wait_delivered()

    def is_write(self, seen: Seen) -> bool:
        return seen.method in ("POST", "PUT", "DELETE")


@pytest.fixture
def counter() -> Iterator[WooCounter]:
    with serve(None) as running:
        keys = running.credentials
        channel = WooCommerce(
            "woo", running.base_url, keys["consumer_key"], keys["consumer_secret"], webhook_secret=SECRET
        )
        yield WooCounter(running, channel)
        channel.close()


class TestWooCommerce(ChannelContract):
    @pytest.fixture
    def counter(self, counter: WooCounter) -> Iterator[WooCounter]:
        yield counter
