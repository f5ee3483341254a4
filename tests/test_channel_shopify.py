"""Shopify: the contract against the local shop, the published schema, recordings, and what only this vendor does."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from graphql import GraphQLSchema, build_schema, parse, validate

from sheets_sync.channels import Channel, Outcome, RawRequest, SignalKind, Target, all_pages
from sheets_sync.channels import shopify as adapter
from sheets_sync.channels.http import Limiter
from sheets_sync.channels.shopify import DOCUMENTS, HOOK_TOPICS, Shopify, batch_key, read_body, read_set, signed_by
from sheets_sync.errors import (
    ChannelRefused,
    CredentialsRefused,
    Malformed,
    OutcomeUnknown,
    RateLimited,
    TooOld,
    Unsigned,
)
from sheets_sync.model import OrderState, Ref
from sheets_sync.sandbox.shops._common import Answer, Running, Seed, Seen
from sheets_sync.sandbox.shops.shopify import Claim, Refunded, serve
from sheets_sync.sandbox.shops.shopify._schema import SDL
from tests.contract import ChannelContract, Counter, Receiver
from tests.contract_channel import once

SECRET = "shpss_a_secret_of_the_app"


def channel_for(running: Running, **given: Any) -> Shopify:
    keys = running.credentials
    known = {"client_id": keys["client_id"], "client_secret": keys["client_secret"]} | given
    return Shopify("web", keys["shop"], running.base_url, **known)


class ShopifyCounter(Counter):
    """A local Shopify."""

    def another(self, **credentials: str) -> Channel:
        wrong = credentials.pop("wrong", "")
        token = "shpat_wrong" if wrong else self.running.credentials["access_token"]
        return channel_for(self.running, client_id="", client_secret="", access_token=token, **credentials)

    def add(self, sku: str, title: str, stock: int) -> None:
        self.running.shop.add_product(sku, title, stock)

    def figure(self, sku: str) -> int | None:
        figure: int | None = self.running.shop.figure(sku)
        return figure

    def buy(self, sku: str, units: int) -> str:
        return str(self.running.shop.buy(sku, units)["id"])

    def ship(self, order: str) -> None:
        self.running.shop.ship(int(order))

    def cancel(self, order: str) -> None:
        self.running.shop.cancel(int(order))

    def delete(self, order: str) -> None:
        self.running.shop.delete_order(int(order))

    def webhook_secret(self) -> str:
        return SECRET

    def resign(self, request: RawRequest, body: bytes) -> RawRequest:
        digest = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
        kept = {k: v for k, v in request.headers.items() if k.lower() != "x-shopify-hmac-sha256"}
        return replace(request, body=body, headers={**kept, "X-Shopify-Hmac-SHA256": digest})

    def settle(self) -> None:
        assert self.running.shop.courier.wait_idle()

    def missing_ref(self) -> Ref:
        return Ref("99999999", "99999998", str(self.running.shop.location_id))

    def is_write(self, seen: Seen) -> bool:
        return b"mutation " in seen.body

    # what only Shopify has

    @property
    def shop(self) -> Any:
        return self.running.shop

    def line(self, order: Any, index: int = 0) -> int:
        return int(order["lines"][index]["id"])

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """A third party that holds the credentials."""
        answer = requests.post(
            f"{self.running.base_url}/admin/api/2026-07/graphql.json",
            json={"query": query, "variables": variables},
            headers={"X-Shopify-Access-Token": self.running.credentials["access_token"]},
            timeout=10,
        )
        assert answer.status_code == 200
        body: dict[str, Any] = answer.json()
        return body


@pytest.fixture
def counter() -> Iterator[ShopifyCounter]:
    with serve(None, credentials={"client_secret": SECRET}) as running:
        channel = channel_for(running)
        yield ShopifyCounter(running, channel)
        channel.close()


class TestShopify(ChannelContract):
    @pytest.fixture
    def counter(self, counter: ShopifyCounter) -> Iterator[ShopifyCounter]:
        yield counter

    def test_a_level_in_a_delivery_is_the_level_that_is_read(self, counter: Counter, receiver: Receiver) -> None:
        """But for the listing's inventory item, which a webhook body does not name: its lines are known by SKU."""
        deliveries = self.hooked(counter, receiver)
        inline = [s.order for r in deliveries for s in counter.channel.signals(r) if s.order is not None]
        assert inline
        for level in inline:
            read = counter.channel.order(level.id)
            lines = tuple(replace(line, ref=None) for line in read.lines)
            assert replace(read, read_at=None, lines=lines) == level
