"""WooCommerce: the contract against the local shop, real recordings, and what only this vendor does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import responses
import responses.matchers
import stamina
from requests_oauthlib import OAuth1 as OtherOAuth1
from werkzeug.test import Client

from sheets_sync.channels import Channel, Outcome, RawRequest, SignalKind, Target, all_pages
from sheets_sync.channels.woocommerce import (
    OVERLAP,
    WooCommerce,
    oauth_signature,
    read_batch,
    read_listing,
    read_order,
    signature,
    whole,
)
from sheets_sync.errors import CredentialsRefused, Unavailable, Unsigned
from sheets_sync.model import Order, OrderLine, OrderState, Ref
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sandbox.shops._common import Answer, Running, Seen, ShopRefuses
from sheets_sync.sandbox.shops.woocommerce import LocalShop, serve
from tests.contract import ChannelContract, Counter, Receiver
from tests.world import World

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


@pytest.fixture
def shop(counter: WooCounter) -> LocalShop:
    model: LocalShop = counter.running.shop
    return model


@pytest.fixture
def woo(counter: WooCounter) -> WooCommerce:
    assert isinstance(counter.channel, WooCommerce)
    return counter.channel


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


class Api:
    """The vendor's API as a third party with the credentials drives it, signed by another OAuth implementation."""

    def __init__(self, running: Running) -> None:
        keys = running.credentials
        self.base = f"{running.base_url}/wp-json/wc/v3/"
        self.auth = OtherOAuth1(
            keys["consumer_key"], keys["consumer_secret"], signature_type="query", signature_method="HMAC-SHA256"
        )

    def __call__(self, method: str, path: str, body: object = None, **query: object) -> requests.Response:
        return requests.request(method, self.base + path, params=query, json=body, auth=self.auth, timeout=10)


@pytest.fixture
def api(counter: WooCounter) -> Api:
    return Api(counter.running)


def line(channel: Channel, order: int) -> OrderLine:
    (only,) = channel.order(str(order)).lines
    return only


# levels: what an order's status and refunds mean ----------------------------------------------------------------


def test_P1_pending_commits_for_us_and_takes_nothing_off_there(shop: LocalShop, woo: WooCommerce) -> None:
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 2, pay=False)
    level = woo.order(str(order))
    assert (level.state, level.paid) == (OrderState.PENDING, False)
    assert (level.lines[0].ordered, level.lines[0].taken, level.lines[0].cancelled) == (2, 0, 0)
    assert shop.figure("A") == 10
    shop.pay(order)
    assert (line(woo, order).taken, shop.figure("A")) == (2, 8)


def test_on_hold_has_taken_and_is_not_paid(shop: LocalShop, woo: WooCommerce) -> None:
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 2, pay=False)
    shop.hold(order)
    level = woo.order(str(order))
    assert (level.state, level.paid, level.lines[0].taken, shop.figure("A")) == (OrderState.PENDING, False, 2, 8)


def test_failed_gives_back_and_may_be_paid_after_all(shop: LocalShop, woo: WooCommerce, api: Api) -> None:
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 2)
    api("PUT", f"orders/{order}", {"status": "failed"})
    failed = line(woo, order)
    assert (failed.cancelled, failed.freely, failed.taken, shop.figure("A")) == (2, True, 0, 10)
    shop.pay(order)
    assert (line(woo, order).cancelled, line(woo, order).taken, shop.figure("A")) == (0, 2, 8)


def test_a_refund_that_restocks_before_shipping_calls_off_freely(shop: LocalShop, woo: WooCommerce) -> None:
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 5)
    shop.refund(order, {"A": 2})
    level = line(woo, order)
    assert (level.ordered, level.cancelled, level.freely, level.taken, level.returned) == (5, 2, True, 3, 0)
    assert shop.figure("A") == 7


def test_a_refund_without_restock_before_shipping_is_asked(shop: LocalShop, woo: WooCommerce) -> None:
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 5)
    shop.refund(order, {"A": 2}, restock=False)
    level = line(woo, order)
    assert (level.cancelled, level.freely, level.taken) == (2, False, 5)
    assert shop.figure("A") == 5


def test_cancelled_after_a_refund_without_restock_the_shop_puts_all_of_it_back(
    shop: LocalShop, woo: WooCommerce
) -> None:
    """As measured: also the units that the refund left out; what Review was told of them goes before."""
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 5)
    shop.refund(order, {"A": 2}, restock=False)
    shop.cancel(order)
    level = line(woo, order)
    assert (level.cancelled, level.freely, level.taken, shop.figure("A")) == (5, True, 0, 10)


def test_refunded_after_shipping_is_a_return_and_restocked_says_what_the_shop_did(
    shop: LocalShop, woo: WooCommerce, counter: WooCounter
) -> None:
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 5)
    shop.ship(order)
    sleepless_second(counter)
    shop.refund(order, {"A": 2})
    shop.refund(order, {"A": 1}, restock=False)
    level = line(woo, order)
    assert ([s.units for s in level.shipped], level.cancelled, level.returned, level.restocked) == ([5], 0, 3, 2)


def test_refunded_in_full_by_its_status_restocks_nothing_and_is_asked(
    shop: LocalShop, woo: WooCommerce, api: Api
) -> None:
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 2)
    assert api("PUT", f"orders/{order}", {"status": "refunded"}).json()["refunds"][0]["total"] == "-20.00"
    level = line(woo, order)
    assert (level.cancelled, level.freely, level.taken, shop.figure("A")) == (2, False, 2, 8)


def test_shipped_then_cancelled_does_not_come_back_by_itself(shop: LocalShop, woo: WooCommerce) -> None:
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 2)
    shop.ship(order)
    shop.cancel(order)
    level = woo.order(str(order))
    units = level.lines[0]
    assert level.state is OrderState.DONE
    assert ([s.units for s in units.shipped], units.cancelled, units.returned, units.restocked) == ([2], 0, 2, 0)
    assert (units.taken, shop.figure("A")) == (0, 10)


def test_taken_back_to_be_worked_on_is_not_shipped(shop: LocalShop, woo: WooCommerce, api: Api) -> None:
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 2)
    shop.ship(order)
    api("PUT", f"orders/{order}", {"status": "processing"})
    level = woo.order(str(order))
    assert (level.state, level.lines[0].sent, level.lines[0].taken) == (OrderState.OPEN, 0, 2)


def test_an_edited_quantity_is_another_level(shop: LocalShop, woo: WooCommerce) -> None:
    shop.add_product("A", "A", 20)
    order = shop.buy("A", 5)
    shop.set_quantity(order, "A", 8)
    assert (line(woo, order).ordered, line(woo, order).taken, shop.figure("A")) == (8, 8, 12)
    shop.set_quantity(order, "A", 0)
    assert (woo.order(str(order)).lines, shop.figure("A")) == ((), 20)


def test_taken_at_is_told_only_where_it_is_certain(shared_order: dict[str, Any]) -> None:
    created, paid, later = "2026-11-23T10:00:00", "2026-11-23T10:05:00", "2026-11-23T11:00:00"

    def taken_at(modified: str, method: str) -> datetime | None:
        dates = {"date_created_gmt": created, "date_paid_gmt": paid, "date_modified_gmt": modified}
        return read_order({**shared_order, **dates, "payment_method": method}).lines[0].taken_at

    assert taken_at(created, "bacs") == datetime.fromisoformat(created).replace(tzinfo=UTC)
    assert taken_at(paid, "stripe") == datetime.fromisoformat(paid).replace(tzinfo=UTC)
    assert taken_at(paid, "bacs") is None  # on-hold before: taken then, when nobody says
    assert taken_at(later, "stripe") is None  # edited since: what was taken may have changed with it


def test_O9_an_order_in_the_trash_is_gone_and_found_by_polling(shop: LocalShop, woo: WooCommerce) -> None:
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 2)
    shop.trash(order)
    since = datetime.now(UTC) - timedelta(hours=1)
    listed = {o.id: o for o in all_pages(lambda cursor: woo.orders(since, cursor))}
    assert listed[str(order)].state is OrderState.GONE and woo.order(str(order)).state is OrderState.GONE
    assert listed[str(order)].lines == ()
    assert shop.figure("A") == 8
    shop.restore(order)
    assert line(woo, order).ordered == 2


def test_a_status_of_a_plugin_is_taken_as_open_and_said(shared_order: dict[str, Any]) -> None:
    order = read_order({**shared_order, "status": "awaiting-pickup"})
    assert order.state is OrderState.UNKNOWN and "awaiting-pickup" in order.note
    assert (order.lines[0].ordered, order.lines[0].sent, order.lines[0].cancelled) == (3, 0, 0)


def test_a_cart_in_the_checkout_is_no_order(shop: LocalShop, woo: WooCommerce, api: Api) -> None:
    shop.add_product("A", "A", 10)
    order = api("POST", "orders", {"status": "checkout-draft", "line_items": [{"sku": "A"}]}).json()["id"]
    assert woo.order(str(order)).lines == ()
    since = datetime.now(UTC) - timedelta(hours=1)
    assert not [o for o in all_pages(lambda cursor: woo.orders(since, cursor)) if o.id == str(order)]


def test_only_gmt_dates_are_read() -> None:
    with serve(None, utc_offset=timedelta(hours=9)) as running:
        keys = running.credentials
        woo = WooCommerce("woo", running.base_url, keys["consumer_key"], keys["consumer_secret"])
        running.shop.add_product("A", "A", 10)
        order = str(running.shop.buy("A", 1))
        assert abs(woo.order(order).placed_at - datetime.now(UTC)) < timedelta(seconds=10)
        found = all_pages(lambda cursor: woo.orders(datetime.now(UTC), cursor))
        assert [o.id for o in found] == [order]
        late = datetime.now(UTC) + OVERLAP + timedelta(seconds=5)
        assert not list(all_pages(lambda cursor: woo.orders(late, cursor)))
        woo.close()


def test_no_buyer_is_read(shop: LocalShop, woo: WooCommerce, counter: WooCounter) -> None:
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 1)
    with counter.faults(lambda seen: None) as asked:
        woo.order(str(order))
        list(all_pages(lambda cursor: woo.orders(datetime.now(UTC), cursor)))
    assert asked and all("_fields=" in seen.query and "billing" not in seen.query for seen in asked)


def sleepless_second(counter: WooCounter) -> None:
    """The shop's clock moves on by a second: its dates are whole seconds."""
    clock = counter.running.shop
    before = clock._clock
    clock._clock = lambda: before() + timedelta(seconds=2)


# listings and pushes --------------------------------------------------------------------------------------------


def test_variations_are_pushed_through_their_parent(shop: LocalShop, woo: WooCommerce, counter: WooCounter) -> None:
    shop.add_product("S", "Small", 1, variant_of="Shirt")
    shop.add_product("M", "Medium", 1, variant_of="Shirt")
    shop.add_product("P", "Plain", 1)
    shop.add_product("H", "One size", 1, variant_of="Hat")
    listings = {x.sku: x for x in all_pages(woo.listings)}
    assert listings.keys() == {"S", "M", "P", "H"}  # a variable product without a figure is no listing
    assert listings["M"].title == "Shirt - Medium"
    targets = [Target(listings[sku].ref, 5) for sku in ("M", "P", "H", "S")]
    with counter.faults(lambda seen: None) as asked:
        results = woo.push(targets)
    assert [(r.ref, r.outcome, r.actual) for r in results] == [(t.ref, Outcome.APPLIED, 5) for t in targets]
    assert len(asked) == 3 and {shop.figure(sku) for sku in ("S", "M", "P", "H")} == {5}
    assert [f.shows for f in woo.figures([t.ref for t in targets])] == [5, 5, 5, 5]


def test_a_figure_that_is_not_kept_is_not_pushable_and_says_how_to_mend_it(shop: LocalShop, woo: WooCommerce) -> None:
    shop.add_product("N", "Not tracked", None)
    shop.add_product("V", "V", variant_of="Vase", manage_stock="parent")
    listings = {x.sku: x for x in all_pages(woo.listings)}
    assert not listings["N"].pushable and "Track stock quantity" in listings["N"].why_not
    assert not listings["V"].pushable and "kept at its product" in listings["V"].why_not
    assert listings["N"].shows is None and listings["V"].shows is None
    (result,) = woo.push([Target(listings["N"].ref, 4)])
    assert result.outcome is Outcome.REFUSED and "Track stock quantity" in result.why
    assert woo.figures([listings["N"].ref])[0].shows is None


def test_variations_that_share_their_products_stock_are_sold_as_the_product(
    shop: LocalShop, woo: WooCommerce, counter: WooCounter
) -> None:
    """They go by its SKU, and so do the lines of orders; the figure is pushed to the product itself."""
    shop.add_variable("Mug, any name", "MUG", 10)
    small = shop.add_product("", "Anna", variant_of="Mug, any name", manage_stock="parent")
    shop.add_product("OWN", "Ben", 4, variant_of="Mug, any name")
    listings = {(x.sku, x.ref.listing): x for x in all_pages(woo.listings)}
    mug = next(x for (sku, _), x in listings.items() if sku == "MUG")
    anna = listings[None, str(small)]
    assert mug.pushable and mug.shows == 10 and mug.ref.parent == ""
    assert not anna.pushable and anna.shows is None
    order = shop.buy_one(str(small), 3).removeprefix("#")
    read = counter.one_line(order)
    assert (read.sku, read.ref, read.taken, shop.figure("MUG")) == ("MUG", anna.ref, 3, 7)
    assert woo.push([Target(mug.ref, 5)])[0].outcome is Outcome.APPLIED
    assert woo.figures([mug.ref, anna.ref])[0].shows == 5 and shop.figure("MUG") == 5


def test_a_shared_stock_is_kept_in_step_with_the_other_shop(tmp_path: Path) -> None:
    world = World(tmp_path, vendors=("woocommerce", "shopify"), seeds=[])
    try:
        woo, other = world.shops["woocommerce"].shop, world.shops["shopify"].shop
        woo.add_variable("Mug, any name", "MUG", 10)
        anna = woo.add_product("", "Anna", variant_of="Mug, any name", manage_stock="parent")
        other.add_product("MUG", "Mug", 10)
        world.begin()
        woo.buy_one(str(anna), 3)
        world.passes()
        assert (world.figures("MUG"), woo.figure("MUG"), other.figure("MUG")) == ("10/3/7", 7, 7)
        world.type("MUG", "20")
        world.passes()
        assert (world.figures("MUG"), woo.figure("MUG"), other.figure("MUG")) == ("20/3/17", 17, 17)
    finally:
        world.close()


def test_a_shared_stock_that_orders_would_not_count_for_is_not_pushed(shop: LocalShop, woo: WooCommerce) -> None:
    shop.add_variable("Mug", "MUG", 10)
    shop.add_product("MUG-A", "Anna", variant_of="Mug", manage_stock="parent")
    shop.add_variable("Vase", "VASE", 10)
    shop.add_product("VASE-A", "Anna", 2, variant_of="Vase")
    listings = {x.sku: x for x in all_pages(woo.listings)}
    assert not listings["MUG"].pushable and "MUG-A" in listings["MUG"].why_not
    assert not listings["VASE"].pushable and "own stock" in listings["VASE"].why_not
    assert listings["VASE-A"].pushable and listings["MUG-A"].sku == "MUG-A"


@pytest.mark.parametrize("figure", [3.5, "7", True, None, 2**40])
def test_a_row_is_looked_at_before_it_is_sent(
    shop: LocalShop, woo: WooCommerce, counter: WooCounter, figure: Any
) -> None:
    """In a batch the shop takes what is no number for 0."""
    counter.add("A", "A", 5)
    counter.add("B", "B", 5)
    odd = replace(counter.target("A", 1), figure=figure)
    results = woo.push([odd, counter.target("B", 7), Target(Ref("B-1"), 3), Target(Ref("1", "x"), 3)])
    assert [r.outcome for r in results] == [Outcome.REFUSED, Outcome.APPLIED, Outcome.REFUSED, Outcome.REFUSED]
    assert (shop.figure("A"), shop.figure("B")) == (5, 7)


def test_a_parent_that_is_gone_refuses_its_own_only(shop: LocalShop, woo: WooCommerce) -> None:
    shop.add_product("P", "Plain", 1)
    good = next(iter(all_pages(woo.listings))).ref
    gone = Ref("9999", parent="9998")
    results = woo.push([Target(gone, 3), Target(good, 3)])
    assert [r.outcome for r in results] == [Outcome.REFUSED, Outcome.APPLIED]
    assert [f.shows for f in woo.figures([gone, good])] == [None, 3]


def test_one_failed_call_of_several_spoils_only_its_own(shop: LocalShop, woo: WooCommerce, counter: WooCounter) -> None:
    for i in range(150):
        shop.add_product(f"S{i}", f"S{i}", 1)
    targets = [Target(ref, 9) for ref in dict.fromkeys(x.ref for x in all_pages(woo.listings))]
    calls = iter([None, Answer(500)])
    with counter.faults(lambda seen: next(calls)):
        results = woo.push(targets)
    assert [r.outcome for r in results] == [Outcome.APPLIED] * 100 + [Outcome.UNKNOWN] * 50


def test_keys_refused_midway_keep_what_was_done(shop: LocalShop, woo: WooCommerce, counter: WooCounter) -> None:
    for i in range(101):
        shop.add_product(f"S{i}", f"S{i}", 1)
    targets = [Target(ref, 9) for ref in dict.fromkeys(x.ref for x in all_pages(woo.listings))]
    calls = iter([None, Answer(401)])
    with counter.faults(lambda seen: next(calls)):
        results = woo.push(targets)
    assert [r.outcome for r in results] == [Outcome.APPLIED] * 100 + [Outcome.RETRY]
    shop.keys.revoke(counter.running.credentials["consumer_key"])
    with pytest.raises(CredentialsRefused):
        woo.push(targets)


def test_a_product_that_moves_while_we_page_pushes_none_past_the_edge(shop: LocalShop, woo: WooCommerce) -> None:
    for i in range(150):
        shop.add_product(f"S{i:03}", f"S{i:03}", 1)
    first = woo.listings()
    shop.delete_product("S000")
    rest = list(all_pages(lambda cursor: woo.listings(cursor or first.cursor)))
    assert {x.sku for x in (*first.items, *rest)} >= {f"S{i:03}" for i in range(1, 150)}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (7, 7),
        (7.0, 7),
        ("7", 7),
        ("-2", -2),
        (3.5, None),
        ("3.5", None),
        ("abc", None),
        (None, None),
        (True, None),
        ("", None),
    ],
)
def test_what_is_not_a_whole_number_is_no_figure(value: object, wanted: int | None) -> None:
    assert whole(value) == wanted


def test_a_fraction_in_a_figure_is_shown_as_a_problem() -> None:
    listing = read_listing({"id": 1, "sku": "A", "name": "A &amp; B", "manage_stock": True, "stock_quantity": 3.5})
    assert (listing.title, listing.shows, listing.pushable) == ("A & B", None, False)
    assert "3.5" in listing.why_not


# two releases -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["9.0.2", "11.0.1"])
def test_an_edited_quantity_is_followed_by_the_shop_or_by_us(release: str) -> None:
    """9.0 leaves its figure when a line is edited: what it took stays what it took, and the figure is lowered by us."""
    with serve(None, release=release) as running:
        shop = running.shop
        keys = running.credentials
        woo = WooCommerce("woo", running.base_url, keys["consumer_key"], keys["consumer_secret"])
        shop.add_product("A", "A", 10)
        order = shop.buy("A", 2)
        shop.set_quantity(order, "A", 5)
        read = line(woo, order)
        assert read.ordered == 5
        assert (read.taken, shop.figure("A")) == ((2, 8) if release == "9.0.2" else (5, 5))
        assert 10 - read.taken == shop.figure("A"), "what it says it took is what it took"
        woo.close()


@pytest.mark.parametrize("release", ["9.0.2", "11.0.1"])
def test_a_failed_order_gives_back_since_11(release: str) -> None:
    with serve(None, release=release) as running:
        shop = running.shop
        keys = running.credentials
        woo = WooCommerce("woo", running.base_url, keys["consumer_key"], keys["consumer_secret"])
        shop.add_product("A", "A", 10)
        order = shop.buy("A", 2)
        with shop.store.transaction() as db:
            shop.set_status(db, order, "failed")
        read = line(woo, order)
        assert (read.cancelled, read.freely) == (2, True)
        assert 10 - read.taken == shop.figure("A") == (8 if release == "9.0.2" else 10)
        woo.close()


# recordings of a real WooCommerce -------------------------------------------------------------------------------


@pytest.fixture
def recorded(shared: Path) -> Path:
    return shared / "conformance" / "channels" / "woocommerce" / "recorded"


@pytest.fixture
def shared_order(recorded: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((recorded / "order_processing.json").read_text())
    return body


def raw_request(path: Path) -> RawRequest:
    head, _, body = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.decode().splitlines()
    headers = dict(text.split(": ", 1) for text in lines)
    method, target, _ = first.split()
    return RawRequest(method, f"http://{headers['Host']}{target}", headers, body[: int(headers["Content-Length"])])


def hooked(webhook_secret: str = SECRET) -> WooCommerce:
    return WooCommerce("woo", "https://shop.test", "ck_x", "cs_x", webhook_secret=webhook_secret)


def test_real_deliveries_are_verified_and_pings_answered(recorded: Path) -> None:
    woo = hooked()
    files = sorted((recorded / "webhooks").glob("*.http"))
    assert files
    for file in files:
        request = raw_request(file)
        if file.name.startswith("ping"):
            reply = woo.handshake(request)
            assert reply is not None and reply.status == 200
            continue
        assert woo.handshake(request) is None
        assert woo.verify(request).topic == request.header("X-WC-Webhook-Topic")


def test_real_deliveries_signal_what_to_look_at(recorded: Path) -> None:
    woo = hooked()
    hooks = recorded / "webhooks"
    assert woo.signals(raw_request(hooks / "order_created-1.http")) == ()  # an error body, signed
    (deleted,) = woo.signals(raw_request(hooks / "order_deleted-1.http"))
    assert (deleted.kind, deleted.id, deleted.gone, deleted.order) == (SignalKind.ORDER, "54", True, None)
    (product,) = woo.signals(raw_request(hooks / "product_updated-1.http"))
    assert (product.kind, product.id) == (SignalKind.LISTING, "10")
    (variation,) = woo.signals(raw_request(hooks / "product_updated-3.http"))
    assert variation.id == "52"


def test_two_real_deliveries_of_one_second_are_two(recorded: Path) -> None:
    requests_ = [raw_request(recorded / "webhooks" / f"order_deleted-{i}.http") for i in (1, 2, 3)]
    assert len({r.header("X-WC-Webhook-Delivery-ID") for r in requests_}) == 1
    assert len({hooked().verify(r).id for r in requests_}) == 3


def test_a_signature_of_a_secret_with_entities(shared: Path) -> None:
    known = json.loads((shared / "conformance/channels/woocommerce/signature_vectors.json").read_text())
    for vector in known["vectors"]:
        for secret in (vector["secret"], vector["secret_as_stored_in_wp"]):
            assert base64.b64encode(signature(secret, vector["body"].encode())).decode() == vector["signature"]


def test_a_real_order_is_read(shared_order: dict[str, Any]) -> None:
    order = read_order(shared_order)
    at = datetime(2026, 11, 23, 10, 33, 9, tzinfo=UTC)
    assert (order.id, order.number, order.state, order.paid, order.source) == (
        "57",
        "57",
        OrderState.OPEN,
        True,
        "rest-api",
    )
    assert (order.placed_at, order.updated_at) == (at, at)
    plain, shirt = order.lines
    assert plain == OrderLine("7", 3, "W-000", Ref("10"), "Widget 0", taken=3, taken_at=at)
    assert shirt == OrderLine("8", 2, "SHIRT-M", Ref("52", "50"), "Shirt - M", taken=2, taken_at=at)


def test_a_real_order_with_refunds_is_read(recorded: Path) -> None:
    body = json.loads((recorded / "order_with_refunds.json").read_text())
    refunds = [
        json.loads((recorded / f"refund_{name}.json").read_text()) for name in ("default", "no_restock", "restock")
    ]
    plain, shirt = read_order(body, refunds).lines
    # 4 of 5 refunded, 3 of them restocked: not all came back, so a person is asked
    assert (plain.ordered, plain.cancelled, plain.freely, plain.taken) == (5, 4, False, 2)
    assert (shirt.cancelled, shirt.taken) == (0, 2)


def test_a_real_mixed_batch_gives_a_result_each(recorded: Path) -> None:
    answer = json.loads((recorded / "stock_batch_mixed.json").read_text())
    targets = [Target(Ref("10"), 51), Target(Ref("999999"), 3), Target(Ref("11"), 7), Target(Ref("12"), 1)]
    results = read_batch(targets, answer)
    assert [r.outcome for r in results] == [Outcome.APPLIED, Outcome.REFUSED, Outcome.UNKNOWN, Outcome.UNKNOWN]
    assert results[2].actual == 0


def test_real_products_are_read(recorded: Path) -> None:
    bodies = json.loads((recorded / "products_list.json").read_text())
    simple = [read_listing(body) for body in bodies if body["type"] == "simple"]
    assert len(simple) == 40 and {x.shows for x in simple} == {100} and all(x.pushable for x in simple)
    assert simple[0].sku == "W-039"


def keys_of(body: object) -> object:
    """The shape of a body: keys, deeply; lists by their first element."""
    if isinstance(body, dict):
        return {k: keys_of(v) for k, v in body.items() if k not in ("_links", "meta_data", "dimensions")}
    return None


def test_the_local_shops_bodies_have_the_real_ones_keys(recorded: Path, shop: LocalShop, api: Api) -> None:
    shop.add_product("W", "Widget", 10)
    shop.add_product("M", "M", 10, variant_of="Shirt")
    order = shop.buy("W", 3)
    shop.refund(order, {"W": 1})

    def same(mine: dict[str, Any], file: str, ignore: set[str]) -> None:
        real = json.loads((recorded / file).read_text())
        assert mine.keys() - ignore == real.keys() - ignore

    mine = api("GET", f"orders/{order}").json()
    same(mine, "order_processing.json", set())
    real_line = json.loads((recorded / "order_processing.json").read_text())["line_items"][0]
    assert mine["line_items"][0].keys() == real_line.keys()
    assert {m["key"] for m in mine["line_items"][0]["meta_data"]} == {"_reduced_stock", "_restock_refunded_items"}
    same(api("GET", f"orders/{order}/refunds").json()[0], "refund_default.json", set())
    real = json.loads((recorded / "stock_batch_mixed.json").read_text())["update"]
    mixed = {"update": [{"id": 1, "stock_quantity": 5}, {"id": 999999, "stock_quantity": 5}]}
    good, bad = api("POST", "products/batch", mixed).json()["update"]
    assert good.keys() == real[0].keys() - {"permalink_template", "generated_slug"}
    assert bad == {**real[1], "id": 999999}


# signing in -----------------------------------------------------------------------------------------------------


def test_over_plain_http_only_oauth_is_taken(counter: WooCounter) -> None:
    keys = counter.running.credentials
    url = f"{counter.running.base_url}/wp-json/wc/v3/orders"
    basic = requests.get(url, auth=(keys["consumer_key"], keys["consumer_secret"]), timeout=10)
    assert (basic.status_code, basic.json()["code"]) == (401, "woocommerce_rest_cannot_view")
    assert requests.get(url, params=dict(keys), timeout=10).status_code == 401


@pytest.mark.parametrize("how", ["basic", "query", "wrong", "nothing"])
def test_over_https_the_local_shop_takes_basic_or_the_query(counter: WooCounter, how: str) -> None:
    keys = counter.running.credentials
    client = Client(counter.running.faults)
    secret = keys["consumer_secret"] if how != "wrong" else "cs_wrong"
    pair = (keys["consumer_key"], secret) if how in ("basic", "wrong") else None
    query = dict(keys) if how == "query" else {}
    answer = client.get("/wp-json/wc/v3/orders", base_url="https://127.0.0.1", auth=pair, query_string=query)
    assert answer.status_code == (200 if how in ("basic", "query") else 401)


@responses.activate
def test_over_https_the_adapter_sends_basic() -> None:
    seen = responses.get("https://shop.test/wp-json/wc/v3/orders/5", status=404, json={"code": "x"})
    assert hooked().order("5").state is OrderState.GONE
    sent = seen.calls[0].request
    assert sent.headers["Authorization"] == "Basic " + base64.b64encode(b"ck_x:cs_x").decode()
    assert "oauth" not in str(sent.url)


@responses.activate
def test_a_host_that_strips_the_header_is_found_and_the_keys_go_in_the_address() -> None:
    url = "https://shop.test/wp-json/wc/v3/orders"
    keys = {"consumer_key": "ck_x", "consumer_secret": "cs_x"}
    matcher = responses.matchers.query_param_matcher
    responses.get(
        url, status=401, json={"code": "woocommerce_rest_cannot_view"}, match=[matcher({}, strict_match=False)]
    )
    responses.get(url, json=[], match=[matcher(keys | {"per_page": "1", "_fields": "id"})])
    health = WooCommerce("woo", "https://shop.test", "ck_x", "cs_x").check()
    assert len(health.problems) == 2 and "keys_in_query" in health.problems[1]
    assert not any(secret in "".join(health.problems) for secret in keys.values())
    responses.reset()
    seen = responses.get("https://shop.test/wp-json/wc/v3/orders/5", status=404, json={"code": "x"})
    by_query = WooCommerce("woo", "https://shop.test", "ck_x", "cs_x", keys_in_query=True)
    assert by_query.order("5").state is OrderState.GONE
    sent = seen.calls[0].request
    assert "Authorization" not in sent.headers and sent.url is not None
    assert dict(parse_qsl(urlsplit(sent.url).query)).items() >= keys.items()
    responses.get("https://shop.test/wp-json/wc/v3/orders", body=requests.ConnectionError("to ?consumer_secret=cs_x"))
    with stamina.set_testing(True, attempts=1), pytest.raises(Unavailable) as refused:
        by_query.orders(datetime.now(UTC))
    assert "cs_x" not in str(refused.value)


def test_a_nonce_is_good_once_and_a_timestamp_for_15_minutes(counter: WooCounter) -> None:
    keys = counter.running.credentials
    address = f"{counter.running.base_url}/wp-json/wc/v3/orders"

    def ask(nonce: str, age: int) -> tuple[int, str]:
        params = {
            "oauth_consumer_key": keys["consumer_key"],
            "oauth_nonce": nonce,
            "oauth_signature_method": "HMAC-SHA256",
            "oauth_timestamp": str(int(datetime.now(UTC).timestamp()) - age),
            "search": "a b&c=ü",
        }
        params["oauth_signature"] = oauth_signature("GET", address, params, keys["consumer_secret"])
        answer = requests.get(address, params=params, timeout=10)
        return answer.status_code, answer.json()["message"] if answer.status_code != 200 else ""

    assert ask("n1", 0) == (200, "")
    assert ask("n1", 0) == (401, "Invalid nonce - nonce has already been used.")
    assert ask("n2", 16 * 60) == (401, "Invalid timestamp.")
    assert ask("n3", 14 * 60) == (200, "")


@responses.activate
def test_a_write_that_the_network_brought_twice_may_have_been_applied() -> None:
    """The second copy is refused, and its answer may be the one that reaches us: that says nothing of our keys."""
    said = {"code": "woocommerce_rest_authentication_error", "message": "Ungültige Nonce: wurde schon verwendet."}
    responses.post("http://shop.test/wp-json/wc/v3/products/batch", status=401, json=said)
    responses.get("http://shop.test/wp-json/wc/v3/orders/5", status=401, json=said)
    woo = WooCommerce("woo", "http://shop.test", "ck_x", "cs_x")
    (result,) = woo.push([Target(Ref("7"), 3, 4, "key")])
    assert result.outcome is Outcome.UNKNOWN
    with stamina.set_testing(True, attempts=1), pytest.raises(Unavailable):
        woo.order("5")


def test_a_read_only_key_is_found_by_check(counter: WooCounter, shop: LocalShop) -> None:
    shop.keys.add("ck_read", "cs_read_only_secret_of_this_test", "read")
    woo = WooCommerce("woo", counter.running.base_url, "ck_read", "cs_read_only_secret_of_this_test")
    health = woo.check()
    assert not health.ok and any("write" in p for p in health.problems)
    assert "cs_read_only" not in "".join(health.problems)
    woo.close()


@pytest.mark.parametrize("header", [{"X-Cache": "HIT from edge"}, {"CF-Cache-Status": "HIT"}, {"Age": "31"}])
def test_a_cache_before_the_shop_is_found_by_check(
    counter: WooCounter, woo: WooCommerce, header: dict[str, str]
) -> None:
    answered: list[Seen] = []

    def cache(seen: Seen) -> Answer | None:
        if not seen.path.endswith("/products"):
            return None
        answered.append(seen)  # the first answer is the shop's own, and is kept
        return Answer(200, {"Content-Type": "application/json", **header}, b"[]") if len(answered) > 1 else None

    with counter.faults(cache):
        health = woo.check()
    assert not health.ok and "/wp-json/" in health.problems[0]
    assert woo.check().ok


def test_an_address_without_a_shop_says_what_to_look_at(receiver: Receiver) -> None:
    receiver.status = 404
    health = WooCommerce("woo", receiver.url, "ck", "cs").check()
    assert not health.ok and "permalinks" in health.problems[0]


# webhooks -------------------------------------------------------------------------------------------------------


def test_a_hook_is_disabled_by_its_seventh_failure_and_made_again(
    shop: LocalShop, woo: WooCommerce, receiver: Receiver, api: Api
) -> None:
    woo.ensure_hooks(receiver.url)
    assert shop.wait_delivered()
    shop.add_product("A", "A", 100)
    receiver.status = 500
    for _ in range(7):
        shop.buy("A", 1)
        assert shop.wait_delivered()
    states = {h["topic"]: h["status"] for h in api("GET", "webhooks").json()}
    assert states["order.created"] == "disabled" and states["order.deleted"] == "active"
    assert any("order.created" in p for p in woo.check().problems)
    failed = [s for s in shop.sent() if s.topic == "order.created"]
    shop.buy("A", 1)
    assert shop.wait_delivered()
    assert len([s for s in shop.sent() if s.topic == "order.created"]) == len(failed) == 7  # no retries
    kept = next(h["id"] for h in api("GET", "webhooks").json() if h["topic"] == "order.restored")
    api("DELETE", f"webhooks/{kept}", force="true")
    assert any("order.restored is gone" in p for p in woo.check().problems)
    receiver.status = 200
    again = {h.topic: h.state for h in woo.ensure_hooks(receiver.url)}
    assert again["order.created"] == "made again" and again["order.deleted"] == "kept"
    assert len(api("GET", "webhooks").json()) == 4
    assert woo.check().ok


def test_an_order_that_vanished_before_delivery_is_an_error_body(
    shop: LocalShop, woo: WooCommerce, receiver: Receiver
) -> None:
    woo.ensure_hooks(receiver.url)
    assert shop.wait_delivered()
    receiver.forget()
    shop.pause_deliveries()
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 1)
    shop.trash(order, forever=True)
    shop.resume_deliveries()
    topics = {}
    for request in receiver.wait(lambda got: len(got) >= 3):
        woo.verify(request)
        topics[request.header("X-WC-Webhook-Topic")] = woo.signals(request)
    assert topics["order.created"] == topics["order.updated"] == ()
    assert topics["order.deleted"][0].gone


def test_changes_fold_into_one_delivery_with_the_latest_level(
    shop: LocalShop, woo: WooCommerce, receiver: Receiver
) -> None:
    woo.ensure_hooks(receiver.url)
    assert shop.wait_delivered()
    receiver.forget()
    shop.pause_deliveries()
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 1)
    shop.cancel(order)
    shop.resume_deliveries()
    assert shop.wait_delivered()
    bodies = {r.header("X-WC-Webhook-Topic"): r for r in receiver.wait(lambda got: len(got) >= 2)}
    assert bodies.keys() == {"order.created", "order.updated"}
    (signal_,) = woo.signals(bodies["order.created"])
    assert isinstance(signal_.order, Order) and signal_.order.lines[0].cancelled == 1


def test_an_order_with_refunds_is_only_pointed_at(shop: LocalShop, woo: WooCommerce, receiver: Receiver) -> None:
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 2)
    woo.ensure_hooks(receiver.url)
    assert shop.wait_delivered()
    receiver.forget()
    shop.refund(order, {"A": 1})
    (request,) = receiver.wait(lambda got: len(got) >= 1)
    (signal_,) = woo.signals(request)
    assert (signal_.kind, signal_.id, signal_.order) == (SignalKind.ORDER, str(order), None)


def test_a_changed_secret_reaches_the_shop(
    shop: LocalShop, woo: WooCommerce, counter: WooCounter, receiver: Receiver
) -> None:
    woo.ensure_hooks(receiver.url)
    changed = counter.another(webhook_secret="s3cr&t <new>", old_webhook_secret=SECRET)
    assert {h.state for h in changed.ensure_hooks(receiver.url)} == {"kept"}
    assert shop.wait_delivered()
    receiver.forget()
    shop.add_product("A", "A", 10)
    shop.buy("A", 1)
    for request in receiver.wait(lambda got: len(got) >= 2):
        changed.verify(request)
    changed.close()


def test_an_empty_secret_signs_nothing() -> None:
    body = b'{"id":1}'
    empty = base64.b64encode(hmac.new(b"", body, hashlib.sha256).digest()).decode()
    request = RawRequest("POST", "/", {"X-WC-Webhook-Signature": empty}, body)
    for woo in (hooked(""), hooked()):
        with pytest.raises(Unsigned):
            woo.verify(request)


def test_without_a_secret_no_hooks_are_asked_for(counter: WooCounter, api: Api) -> None:
    silent = counter.another(webhook_secret="")
    assert all(h.state.startswith("refused") for h in silent.ensure_hooks("https://us.test"))
    assert api("GET", "webhooks").json() == []
    silent.close()


@pytest.mark.parametrize("body", [b"webhook_id=5", b"webhook_id=5&x=1", b"webhook_id=", b'{"id":1}', b""])
def test_only_a_ping_is_answered_as_one(body: bytes) -> None:
    request = RawRequest("POST", "/", {"content-type": "application/x-www-form-urlencoded"}, body)
    assert (hooked().handshake(request) is not None) == (body == b"webhook_id=5")
    assert hooked().handshake(replace(request, headers={"Content-Type": "application/json"})) is None


# the local shop -------------------------------------------------------------------------------------------------


def test_a_batch_does_not_check_types_and_a_single_put_does(shop: LocalShop, api: Api) -> None:
    product = shop.add_product("A", "A", 10)
    refused = api("PUT", f"products/{product}", {"stock_quantity": "abc"})
    assert (refused.status_code, refused.json()["code"]) == (400, "rest_invalid_param")
    assert api("PUT", f"products/{product}", {"stock_quantity": 3.5}).status_code == 400
    api("POST", "products/batch", {"update": [{"id": product, "stock_quantity": "abc"}]})
    assert shop.figure("A") == 0


def test_a_batch_takes_100_rows(api: Api) -> None:
    answer = api("POST", "products/batch", {"update": [{"id": i} for i in range(101)]})
    assert (answer.status_code, answer.json()["code"]) == (413, "woocommerce_rest_request_entity_too_large")
    assert api("POST", "products/batch", {"update": [{"id": 900 + i} for i in range(100)]}).status_code == 200


def test_variations_answer_only_under_their_parent(shop: LocalShop, api: Api) -> None:
    variation = shop.add_product("M", "M", 10, variant_of="Shirt")
    (row,) = api("POST", "products/batch", {"update": [{"id": variation, "stock_quantity": 3}]}).json()["update"]
    assert (row["error"]["code"], row["error"]["data"]["status"]) == ("woocommerce_rest_invalid_product_id", 404)
    assert [p["id"] for p in api("GET", "products", sku="M").json()] == [variation]
    assert variation not in [p["id"] for p in api("GET", "products").json()]


def test_an_admin_may_sell_more_than_there_is_and_a_shopper_not(shop: LocalShop, api: Api) -> None:
    shop.add_product("A", "A", 3)
    with pytest.raises(ShopRefuses):
        shop.buy("A", 4)
    answer = api("POST", "orders", {"set_paid": True, "line_items": [{"sku": "A", "quantity": 6}]})
    assert (answer.status_code, shop.figure("A")) == (201, -3)


def test_eight_shoppers_at_once_get_three_units(shop: LocalShop) -> None:
    shop.add_product("A", "A", 3)

    def one(_: int) -> int:
        try:
            return shop.buy("A", 1) and 1
        except ShopRefuses:
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(8))) == 3
    assert shop.figure("A") == 0


def test_an_unpaid_checkout_keeps_its_units_from_others(shop: LocalShop) -> None:
    shop.add_product("A", "A", 3)
    shop.buy("A", 2, pay=False)
    with pytest.raises(ShopRefuses):
        shop.buy("A", 2)
    assert shop.buy("A", 1)


def test_orders_are_placed_shipped_cancelled_and_refunded_through_the_api(shop: LocalShop, api: Api) -> None:
    shop.add_product("A", "A", 10)
    made = api("POST", "orders", {"line_items": [{"product_id": shop.product_id("A"), "quantity": 4}]}).json()
    assert (made["status"], shop.figure("A")) == ("pending", 10)
    url = f"orders/{made['id']}"
    assert api("PUT", url, {"status": "on-hold"}).json()["line_items"][0]["meta_data"][0]["value"] == "4"
    refund = {"line_items": [{"id": made["line_items"][0]["id"], "quantity": 1, "refund_total": "10.00"}]}
    assert api("POST", f"{url}/refunds", refund).status_code == 500  # api_refund defaults to true: no gateway
    assert api("POST", f"{url}/refunds", {**refund, "api_refund": False}).status_code == 201
    assert shop.figure("A") == 7
    assert api("PUT", url, {"status": "completed"}).json()["date_completed_gmt"]
    assert api("PUT", url, {"status": "cancelled"}).json()["status"] == "cancelled"
    assert shop.figure("A") == 10
    assert api("DELETE", url).json()["status"] == "trash"
    assert api("DELETE", url, force="true").status_code == 200
    gone = api("GET", url)
    assert (gone.status_code, gone.json()["code"]) == (404, "woocommerce_rest_shop_order_invalid_id")


@pytest.mark.parametrize(
    ("query", "names"), [({"per_page": 101}, "per_page"), ({"page": 0}, "page"), ({"order": "up"}, "order")]
)
def test_bad_parameters_are_refused_by_name(api: Api, query: dict[str, object], names: str) -> None:
    answer = api("GET", "orders", **query)
    assert (answer.status_code, answer.json()["code"]) == (400, "rest_invalid_param")
    assert names in answer.json()["data"]["params"]


def test_pages_carry_their_headers(shop: LocalShop, api: Api) -> None:
    for i in range(5):
        shop.add_product(f"S{i}", f"S{i}", 1)
    answer = api("GET", "products", per_page=2, page=2, orderby="id", order="asc", _fields="id,sku")
    assert [p["sku"] for p in answer.json()] == ["S2", "S3"]
    assert (answer.headers["X-WP-Total"], answer.headers["X-WP-TotalPages"]) == ("5", "3")
    assert 'rel="next"' in answer.headers["Link"] and 'rel="prev"' in answer.headers["Link"]
    assert "oauth_signature" not in answer.headers["Link"]


def test_the_storefront_sells_to_its_own_pages_only(counter: WooCounter, shop: LocalShop) -> None:
    product = shop.add_product("<S>", "Löffel <script>", 10)
    front = counter.running.storefront
    page = requests.get(front, timeout=10).text
    assert "Löffel &lt;script&gt;" in page and "<script>" not in page and "&lt;S&gt;" in page
    form = {"product": str(product), "units": "2"}
    assert requests.post(f"{front}buy", data=form, timeout=10).status_code == 403
    assert (
        requests.post(f"{front}buy", data=form, headers={"Origin": "http://evil.test"}, timeout=10).status_code == 403
    )
    assert requests.get(front, headers={"Host": "evil.test"}, timeout=10).status_code == 403
    assert shop.figure("<S>") == 10
    own = {"Origin": counter.running.base_url}
    assert "placed" in requests.post(f"{front}buy", data=form, headers=own, timeout=10).text
    assert shop.figure("<S>") == 8
    for units in ("0", "-1", "1.5", "x", "", "²"):
        assert requests.post(f"{front}buy", data={**form, "units": units}, headers=own, timeout=10).status_code == 400
    assert requests.post(f"{front}buy", data={**form, "units": "9"}, headers=own, timeout=10).status_code == 409
    assert shop.figure("<S>") == 8


def test_the_storefronts_buttons_do_what_the_status_allows(counter: WooCounter, shop: LocalShop) -> None:
    shop.add_product("A", "A", 10)
    order = shop.buy("A", 2, pay=False)
    own = {"Origin": counter.running.base_url}

    def press(verb: str) -> int:
        url = f"{counter.running.storefront}orders/{order}"
        return requests.post(url, data={"verb": verb}, headers=own, timeout=10).status_code

    assert press("ship") == 409
    assert (press("pay"), shop.status(order), shop.figure("A")) == (200, "processing", 8)
    assert (press("ship"), shop.status(order)) == (200, "completed")
    assert (press("refund"), shop.status(order), shop.figure("A")) == (200, "refunded", 10)


def test_a_shop_killed_with_9_has_all_it_answered(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sheets_sync.sandbox.shops import Seed, serve\n"
        "r = serve('woocommerce', Path(sys.argv[1]), seed=[Seed('A', 'A', 100)])\n"
        "print(r.base_url, r.credentials['consumer_key'], r.credentials['consumer_secret'], flush=True)\n"
        "import threading; threading.Event().wait()"
    )
    data = tmp_path / "shop.db"
    process = subprocess.Popen([sys.executable, "-c", program, str(data)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        base_url, key, secret = process.stdout.readline().split()
        auth = OtherOAuth1(key, secret, signature_type="query", signature_method="HMAC-SHA256")
        order = {"set_paid": True, "line_items": [{"sku": "A", "quantity": 3}]}
        made = requests.post(f"{base_url}/wp-json/wc/v3/orders", json=order, auth=auth, timeout=10)
        assert made.status_code == 201
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with serve(data, seed=[Seed("A", "A", 100)]) as again:
        assert again.shop.figure("A") == 97
        assert again.credentials == {"consumer_key": key, "consumer_secret": secret}


def test_taking_stock_is_one_at_a_time(shop: LocalShop, api: Api) -> None:
    shop.add_product("A", "A", 100)
    barrier = threading.Barrier(4)

    def sell() -> None:
        barrier.wait(10)
        for _ in range(5):
            api("POST", "orders", {"set_paid": True, "line_items": [{"sku": "A"}]})

    threads = [threading.Thread(target=sell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shop.figure("A") == 80


def test_reads_give_up_in_words(counter: WooCounter, woo: WooCommerce) -> None:
    page = Answer(200, {"Content-Type": "text/html"}, b"<html>Maintenance")
    with stamina.set_testing(True, attempts=2), counter.faults(lambda seen: page):
        health = woo.check()
    assert not health.ok and "without JSON" in health.problems[0]
