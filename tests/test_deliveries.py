"""Webhooks, end to end: what the local shops send and what real ones sent, through the real Flask app, into the ledger.

Whatever comes twice, at one instant, late or in the wrong order is one commitment and one release (RULES O).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import stamina
from sqlalchemy.exc import OperationalError

from sheets_sync.channels import RawRequest
from sheets_sync.errors import Unavailable
from sheets_sync.ledger import Tx
from sheets_sync.model import StoredDelivery
from sheets_sync.order_book import apply_delivery
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sandbox.shops._common import Answer, Seen
from tests.contract_channel import Receiver
from tests.hands import DEADLINE, VENDORS, Clock, Hands, hands_of
from tests.world import SEEDS, World
from webhook.app import create_app
from webhook.server import serve

LEVEL = "inventory_levels/update"
MUG = "00123"
Post = Callable[[RawRequest], int]


@dataclass
class Office:
    """A world after Start with the real web app before it, and a shop whose deliveries a test holds in its hands."""

    world: World
    clock: Clock
    shop: Hands
    url: str
    post_box: Receiver

    @property
    def name(self) -> str:
        return self.shop.vendor

    def caught(self, act: Callable[[], Any]) -> list[RawRequest]:
        """What the shop sends about orders for what is done; none of it has reached us."""
        self.shop.settle()
        self.post_box.forget()
        act()
        self.shop.settle()
        signed = ("x-shopify-hmac-sha256", "x-wc-webhook-signature")
        orders = [r for r in self.post_box.wait(lambda _: True) if r.header("X-Shopify-Topic") != LEVEL]
        return [r for r in orders if any(map(r.header, signed))]

    def post(self, request: RawRequest) -> int:
        """As the shop would: to the address of its channel."""
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
        url = f"{self.url}/webhooks/{self.name}"
        return requests.post(url, data=request.body, headers=headers, timeout=DEADLINE).status_code

    def ledger_says(self, sku: str = MUG) -> list[tuple[str, int, int]]:
        """(kind, on_hand, committed) of all that happened since the opening."""
        return [(e.fact.kind.value, e.change.on_hand, e.change.committed) for e in self.world.events(sku)][1:]

    def stored(self) -> list[StoredDelivery]:
        with self.world.ledger.read() as view:
            return view.deliveries(self.name)


@contextmanager
def office_with(folder: Path, vendor: str, *, start: bool = True, url: str | None = None) -> Iterator[Office]:
    clock = Clock(datetime.now(UTC))  # recorded and vendor-signed deliveries are of our own days
    world = World(folder, vendors=(vendor, *(v for v in VENDORS if v != vendor)), clock=clock, ledger_url=url)
    box = Receiver()
    desk = world.desk

    def apply(name: str, delivery: StoredDelivery) -> None:
        apply_delivery(desk, desk.channels[name], delivery, fetch=False)

    app = create_app(world.ledger, desk.channels, apply=apply, wake=desk.wake, clock=clock)
    try:
        with stamina.set_testing(True, attempts=2), serve(app) as web:
            if start:
                world.begin()
                clock.tick(minutes=5)
            hooks = desk.channels[vendor].ensure_hooks(box.url)
            assert hooks and all(h.state == "made" for h in hooks)
            yield Office(world, clock, hands_of(world.shops[vendor]), web.url, box)
    finally:
        box.close()
        world.close()


@pytest.fixture(params=VENDORS)
def office(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Office]:
    with office_with(tmp_path, request.param) as found:
        yield found


@pytest.fixture(params=VENDORS)
def office_on_postgres(tmp_path: Path, request: pytest.FixtureRequest, postgres_url: str) -> Iterator[Office]:
    with office_with(tmp_path, request.param, url=postgres_url) as found:
        yield found


@pytest.fixture(params=VENDORS)
def before_start(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Office]:
    with office_with(tmp_path, request.param, start=False) as found:
        yield found


def story_of_an_order(office: Office, last: str) -> list[list[RawRequest]]:
    """What the shop sends, step by step: placed, paid, and then cancelled or shipped."""
    placed: list[str] = []
    steps = [office.caught(lambda: placed.append(office.shop.buy(MUG, 2, paid=False)))]
    for act in (office.shop.pay, getattr(office.shop, last)):
        office.clock.tick(seconds=5)
        steps.append(office.caught(lambda act=act: act(placed[0])))
    assert all(steps), [len(step) for step in steps]
    return steps


# once, whatever comes -------------------------------------------------------------------------------------------


def test_a_delivery_is_booked_at_once(office: Office) -> None:
    [first, *_] = office.caught(lambda: office.shop.buy(MUG, 2))
    assert office.post(first) == 200
    assert office.world.figures(MUG) == "10/2/8"
    assert {d.state for d in office.stored()} == {"applied"}


def test_order_webhooks_twice_are_one_commitment_and_one_release(office: Office) -> None:
    for step in story_of_an_order(office, "cancel"):
        for request in (*step, *step):
            assert office.post(request) == 200
    office.world.channel_pass(office.name)
    assert office.ledger_says() == [("order", 0, 2), ("cancellation", 0, -2)]
    assert office.world.figures(MUG) == "10/0/10"


def at_the_same_instant(office: Office) -> None:
    requests_ = [request for step in story_of_an_order(office, "cancel") for request in step]
    everybody = [request for request in requests_ for _ in range(4)]
    ready = threading.Barrier(len(everybody))

    def send(request: RawRequest) -> int:
        ready.wait(DEADLINE)
        return office.post(request)

    with ThreadPoolExecutor(len(everybody)) as pool:
        assert set(pool.map(send, everybody)) == {200}
    office.world.channel_pass(office.name)
    assert office.world.figures(MUG) == "10/0/10"
    assert sum(committed for _, _, committed in office.ledger_says()) == 0
    assert len(office.ledger_says()) in (0, 2), "one commitment and one release; neither where the end came first"
    assert len({d.id for d in office.stored()}) == len(office.stored())
    assert office.world.ledger.verify() == []


def test_order_webhooks_at_the_same_instant_are_one(office: Office) -> None:
    at_the_same_instant(office)


def test_order_webhooks_at_the_same_instant_are_one_on_postgresql(office_on_postgres: Office) -> None:
    at_the_same_instant(office_on_postgres)


def test_paid_before_create_is_one_commitment(office: Office) -> None:
    created, paid, _ = story_of_an_order(office, "ship")
    for request in (*paid, *created):
        assert office.post(request) == 200
    assert office.ledger_says() == [("order", 0, 2)]
    assert office.world.figures(MUG) == "10/2/8"


def test_cancelled_before_create_is_released(office: Office) -> None:
    created, paid, cancelled = story_of_an_order(office, "cancel")
    for request in (*cancelled, *paid, *created):
        assert office.post(request) == 200
        office.world.channel_pass(office.name)
    assert office.world.figures(MUG) == "10/0/10"
    assert sum(committed for _, _, committed in office.ledger_says()) == 0


def test_shipped_before_create_has_left_once(office: Office) -> None:
    created, paid, shipped = story_of_an_order(office, "ship")
    for request in (*shipped, *created, *paid, *shipped):
        assert office.post(request) == 200
    office.world.channel_pass(office.name)
    assert office.world.figures(MUG) == "8/0/8"
    assert office.ledger_says() == [("order", 0, 2), ("shipment", -2, -2)]


def test_a_webhook_and_a_read_of_the_same_order_are_one(office: Office) -> None:
    caught = office.caught(lambda: office.shop.buy(MUG, 2))
    office.world.channel_pass(office.name)
    for request in caught:
        assert office.post(request) == 200
    office.world.channel_pass(office.name)
    assert office.ledger_says() == [("order", 0, 2)]


def test_O9_an_order_deleted_is_asked_and_stays_committed(office: Office) -> None:
    order = office.shop.buy(MUG, 2)
    office.world.passes()
    office.clock.tick(minutes=5)
    for request in office.caught(lambda: office.shop.delete(order)):
        assert office.post(request) == 200
    office.world.passes()
    assert (office.world.figures(MUG), office.world.questions()) == ("10/2/8", {MUG: "gone_order"})
    assert {d.state for d in office.stored()} == {"applied"}


def test_an_unsigned_delivery_changes_nothing(office: Office) -> None:
    [first, *_] = office.caught(lambda: office.shop.buy(MUG, 2))
    wrong = RawRequest(first.method, first.url, first.headers, first.body.replace(b"2", b"3", 1))
    assert office.post(wrong) == 401
    assert (office.stored(), office.ledger_says()) == ([], [])


# what could not be applied --------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Unavailable("the ledger is busy"), OperationalError("INSERT", {}, OSError("full"))])
def test_what_could_not_be_applied_is_applied_by_the_next_pass(
    office: Office, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    caught = office.caught(lambda: office.shop.buy(MUG, 2))

    def busy(self: Tx, *_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Tx, "put_lines", busy)
        assert {office.post(request) for request in caught} == {200}
    assert {d.state for d in office.stored()} == {"waiting"} and office.ledger_says() == []
    orders_away = office.shop.watched(lambda seen: Answer(503) if office.shop.is_orders(seen) else None)
    with orders_away, pytest.raises(Unavailable):
        office.world.channel_pass(office.name)
    assert office.ledger_says() == [("order", 0, 2)], "by the delivery itself, not by the list of orders"
    assert {d.state for d in office.stored()} == {"applied"}


def test_a_crash_between_storing_and_applying_loses_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    caught = office.caught(lambda: office.shop.buy(MUG, 2))

    def dies(self: Tx, *_: object) -> None:
        raise RuntimeError("a bug of ours")

    with monkeypatch.context() as patch:
        patch.setattr(Tx, "append", dies)
        assert {office.post(request) for request in caught} == {200}, "it is durable: the shop must not send it again"
    office.world.restart()
    office.world.channel_pass(office.name)
    assert office.ledger_says() == [("order", 0, 2)]
    assert {d.state for d in office.stored()} == {"applied"}


def test_while_the_ledger_is_away_the_shop_is_asked_to_send_it_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    [first, *_] = office.caught(lambda: office.shop.buy(MUG, 2))

    def away(self: Tx, *_: object) -> bool:
        raise Unavailable("the ledger is away")

    with monkeypatch.context() as patch:
        patch.setattr(Tx, "store_delivery", away)
        assert office.post(first) == 503
    assert office.stored() == []
    assert office.post(first) == 200
    assert office.ledger_says() == [("order", 0, 2)]


def test_one_delivery_that_the_shop_will_never_explain_holds_up_no_other(office: Office) -> None:
    """Its body names an order only; asked for it, the shop answers a definite no, each time."""
    caught = office.caught(lambda: office.shop.delete(office.shop.buy("1E5", 1)))
    gone = [request for request in caught if b"line_items" not in request.body]
    assert gone
    for request in gone:
        assert office.post(request) == 200
    assert "waiting" in {d.state for d in office.stored()}
    office.shop.buy(MUG, 2)

    def refuses(seen: Seen) -> Answer | None:
        asks = b"query Order(" in seen.body or re.search(r"/orders/\d+$", seen.path)
        return Answer(400, {"Content-Type": "application/json"}, b'{"code": "no", "message": "No."}') if asks else None

    with office.shop.watched(refuses):
        for _ in range(2):
            office.world.channel_pass(office.name)
    assert office.ledger_says() == [("order", 0, 2)]
    assert {d.state for d in office.stored()} <= {"failed", "applied"}
    assert any(d.note for d in office.stored() if d.state == "failed")


# before Start ---------------------------------------------------------------------------------------------------


def test_a_delivery_before_start_does_nothing(before_start: Office) -> None:
    office = before_start
    caught = office.caught(lambda: office.shop.buy(MUG, 2))
    for request in caught:
        assert office.post(request) == 200
    assert office.world.events() == []
    office.world.begin()
    assert office.world.figures(MUG) == "10/2/8"
    assert office.ledger_says() == [("order", 0, 2)]


def test_before_start_a_deletion_does_nothing_either(before_start: Office) -> None:
    office = before_start
    for request in office.caught(lambda: office.shop.delete(office.shop.buy(MUG, 2))):
        assert office.post(request) == 200
    office.world.begin()
    assert office.world.questions() == {}
    assert "waiting" not in {d.state for d in office.stored()}


# what real shops sent -------------------------------------------------------------------------------------------


@contextmanager
def started(folder: Path, seeds: Sequence[Seed], at: datetime, vendor: str = "woocommerce") -> Iterator[Any]:
    """The ledger of a seller who started at `at`, and the web app before it."""
    clock = Clock(at)
    world = World(folder, vendors=(vendor,), clock=clock, seeds=list(seeds))
    desk = world.desk

    def apply(name: str, delivery: StoredDelivery) -> None:
        apply_delivery(desk, desk.channels[name], delivery, fetch=False)

    app = create_app(world.ledger, desk.channels, apply=apply, wake=desk.wake, clock=clock)
    try:
        with stamina.set_testing(True, attempts=2), serve(app) as web:
            world.begin()
            yield world, clock, web.url
    finally:
        world.close()


def raw(url: str, request: bytes) -> bytes:
    """Byte by byte, as it was recorded."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), DEADLINE) as line:
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := line.recv(65536):
            answer += chunk
    return answer


def recorded(shared: Path, pattern: str = "*") -> list[bytes]:
    folder = shared / "conformance" / "channels" / "woocommerce" / "recorded" / "webhooks"
    found = [path.read_bytes() for path in sorted(folder.glob(f"{pattern}.http"))]
    if not found:
        pytest.skip(f"no recorded deliveries in {folder}")
    return [re.sub(rb"^POST \S+", b"POST /webhooks/woocommerce", one, count=1) for one in found]


def as_delivered(shared: Path, topic: str, body: bytes) -> bytes:
    """A real order's body in a real delivery's headers, signed with the secret that the recordings were made with."""
    [like, *_] = recorded(shared, f"{topic.replace('.', '_')}*")
    head = like.partition(b"\r\n\r\n")[0]
    signature = base64.b64encode(hmac.new(b"hook-secret", body, hashlib.sha256).digest())
    head = re.sub(rb"(?m)^X-WC-Webhook-Signature: .*$", b"X-WC-Webhook-Signature: " + signature + b"\r", head)
    head = re.sub(rb"(?m)^Content-Length: .*$", b"Content-Length: %d\r" % len(body), head)
    return head.replace(b"\r\r", b"\r") + b"\r\n\r\n" + body


def test_a_real_woocommerces_order_is_committed_once(tmp_path: Path, shared: Path) -> None:
    file = shared / "conformance" / "channels" / "woocommerce" / "recorded" / "order_processing.json"
    body = file.read_bytes().strip()
    order = json.loads(body)
    ordered = Counter({line["sku"]: line["quantity"] for line in order["line_items"]})
    assert order["status"] == "processing" and ordered
    placed = datetime.fromisoformat(order["date_created_gmt"]).replace(tzinfo=UTC)
    seeds = [Seed(sku, sku, 100) for sku in ordered]
    with started(tmp_path, seeds, placed - timedelta(days=1)) as (world, clock, url):
        clock.tick(days=2)
        for topic in ("order.updated", "order.created", "order.updated"):
            assert raw(url, as_delivered(shared, topic, body)).startswith(b"HTTP/1.1 200")
        for sku, units in ordered.items():
            assert world.figures(sku) == f"100/{units}/{100 - units}"
        assert world.ledger.verify() == []


def test_what_a_real_woocommerce_sent_is_taken_once_and_waits_for_nothing(tmp_path: Path, shared: Path) -> None:
    sent = recorded(shared)
    with started(tmp_path, SEEDS, datetime.now(UTC)) as (world, _, url):
        before = world.events()
        for one in (*sent, *reversed(sent)):
            assert raw(url, one).startswith(b"HTTP/1.1 200")
        world.channel_pass("woocommerce")
        with world.ledger.read() as view:
            kept = view.deliveries("woocommerce")
        signed = {one.partition(b"\r\n\r\n")[2] for one in sent if b"X-WC-Webhook-Signature" in one}
        assert {d.body for d in kept} == signed and len(kept) == len({d.id for d in kept})
        assert {d.state for d in kept} == {"applied"}
        assert world.events() == before, "the orders deleted there were never ours"


def test_a_real_ping_is_answered_and_a_real_error_body_is_survived(tmp_path: Path, shared: Path) -> None:
    with started(tmp_path, SEEDS, datetime.now(UTC)) as (world, _, url):
        before = world.events()
        for one in (*recorded(shared, "ping*"), *recorded(shared, "order_created*")):
            assert raw(url, one).startswith(b"HTTP/1.1 200")
        assert world.events() == before
        world.channel_pass("woocommerce")
        with world.ledger.read() as view:
            assert view.deliveries(state="waiting") == []


def shopify_order(shared: Path) -> dict[str, Any]:
    order: dict[str, Any] = json.loads((shared / "conformance/channels/shopify/rest-payloads/order.json").read_text())
    return order["order"]


def of_today(order: dict[str, Any]) -> dict[str, Any]:
    """The payload of old, with what a delivery says of each line today, and its parcel out of the door."""
    done = [f | {"status": "success"} for f in order["fulfillments"]]
    left = Counter({p["id"]: p["quantity"] for f in done for p in f["line_items"]})
    lines = [line | {"fulfillable_quantity": line["quantity"] - left[line["id"]]} for line in order["line_items"]]
    return order | {"line_items": lines, "fulfillments": done}


def post_signed(world: World, url: str, clock: Clock, body: bytes, number: str) -> int:
    secret, shop = (world.shops["shopify"].credentials[k] for k in ("client_secret", "shop"))
    headers = {
        "Content-Type": "application/json",
        "X-Shopify-Topic": "orders/create",
        "X-Shopify-Hmac-Sha256": base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode(),
        "X-Shopify-Shop-Domain": shop,
        "X-Shopify-Webhook-Id": number,
        "X-Shopify-Triggered-At": clock().isoformat(),
    }
    return requests.post(f"{url}/webhooks/shopify", body, headers=headers, timeout=DEADLINE).status_code


def test_shopifys_own_order_payload_is_committed_once(tmp_path: Path, shared: Path) -> None:
    order = shopify_order(shared)
    placed = datetime.fromisoformat(order["created_at"]).astimezone(UTC)
    skus = [line["sku"] for line in order["line_items"]]
    shipped = {p["sku"] for f in order["fulfillments"] for p in f["line_items"]}
    assert shipped and shipped < set(skus)
    with started(tmp_path, [Seed(sku, sku, 50) for sku in skus], placed - timedelta(days=1), "shopify") as found:
        world, clock, url = found
        clock.tick(days=2)
        body = json.dumps(of_today(order)).encode()
        for number in ("b54557e4", "b54557e4", "another"):
            assert post_signed(world, url, clock, body, number) == 200
        for sku in skus:
            assert world.figures(sku) == ("49/0/49" if sku in shipped else "50/1/49")
        assert world.ledger.verify() == []


def test_a_shopify_payload_that_does_not_carry_the_order_whole_is_looked_up(tmp_path: Path, shared: Path) -> None:
    """As it was recorded, years ago: nothing says what is still to be shipped. The shop is asked, and has it not."""
    order = shopify_order(shared)
    with started(tmp_path, SEEDS, datetime.now(UTC), "shopify") as (world, clock, url):
        before = world.events()
        assert post_signed(world, url, clock, json.dumps(order).encode(), "b54557e4") == 200
        with world.ledger.read() as view:
            assert [d.state for d in view.deliveries()] == ["waiting"]
        world.channel_pass("shopify")
        with world.ledger.read() as view:
            assert [d.state for d in view.deliveries()] == ["applied"]
        assert world.events() == before
