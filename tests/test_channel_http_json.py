"""A shop with an API of its own: the contract against the local shop, its signatures, and shops that get it wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from sheets_sync.channels import Channel, Outcome, RawRequest, SignalKind, all_pages
from sheets_sync.channels.http_json import HttpJson, read_listing, read_order, signature, signed_by
from sheets_sync.errors import ChannelRefused, Malformed, TooOld, Unavailable, Unsigned
from sheets_sync.model import Figure, OrderState
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sandbox.shops._common import Answer, Seen
from sheets_sync.sandbox.shops.http_json import serve, sign
from tests.contract import ChannelContract, Counter
from tests.contract_channel import Receiver, once
from tests.world import World

SECRET = "sync_a_secret_that_both_sides_know"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "channels" / "http_json.md"


class JsonCounter(Counter):
    """A local shop of its own."""

    def another(self, **credentials: str) -> Channel:
        secret = "sync_wrong" if credentials.pop("wrong", "") else SECRET
        return HttpJson("ours", self.running.base_url, secret, **{"webhook_secret": SECRET, **credentials})

    def add(self, sku: str, title: str, stock: int) -> None:
        self.running.shop.add_product(sku, title, stock)

    def figure(self, sku: str) -> int | None:
        figure: int | None = self.running.shop.figure(sku)
        return figure

    def buy(self, sku: str, units: int) -> str:
        return str(self.running.shop.buy(sku, units))

    def ship(self, order: str) -> None:
        self.running.shop.ship(order)

    def cancel(self, order: str) -> None:
        self.running.shop.cancel(order)

    def delete(self, order: str) -> None:
        self.running.shop.delete(order)

    def webhook_secret(self) -> str:
        return SECRET

    def resign(self, request: RawRequest, body: bytes) -> RawRequest:
        id, at = request.header("webhook-id") or "", request.header("webhook-timestamp") or ""
        kept = {k: v for k, v in request.headers.items() if k.lower() != "webhook-signature"}
        return replace(request, body=body, headers={**kept, "webhook-signature": sign(SECRET, id, at, body)})

    def settle(self) -> None:
        assert self.running.shop.courier.wait_idle()

    def is_write(self, seen: Seen) -> bool:
        return seen.path.endswith("/figures") or seen.method == "PUT"


@pytest.fixture
def counter() -> Iterator[JsonCounter]:
    with serve(secret=SECRET) as running:
        channel = HttpJson("ours", running.base_url, SECRET, webhook_secret=SECRET)
        yield JsonCounter(running, channel)
        channel.close()


class TestHttpJson(ChannelContract):
    @pytest.fixture
    def counter(self, counter: JsonCounter) -> Iterator[JsonCounter]:
        yield counter


# signatures -----------------------------------------------------------------------------------------------------------


def test_the_standard_webhooks_vector(shared: Path) -> None:
    vector = json.loads((shared / "conformance" / "channels" / "standard-webhooks" / "vector.json").read_text())
    parts = (vector["webhook-id"], str(vector["webhook-timestamp"]), vector["body"].encode())
    assert signature(vector["secret"], *parts) == vector["webhook-signature"] == sign(vector["secret"], *parts)
    both = f"v1,AAAA {vector['webhook-signature']}"
    assert signed_by(["another", vector["secret"]], both, *parts) and not signed_by(["another"], both, *parts)
    assert not signed_by([], both, *parts) and not signed_by([vector["secret"]], "", *parts)


def test_the_pages_own_vector_is_right() -> None:
    """A shop's programmers check their signature with it."""
    page = PAGE.read_text()
    secret, body = "sync_example", b'{"figures":[{"id":"7","figure":5,"expected":8}]}'
    ours = signature(secret, "c0ffee", "1780000000", "POST", "/sync/figures", body)
    assert secret in page and body.decode() in page and ours in page
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code is not None
    scope: dict[str, Any] = {}
    exec(code[1], scope)  # noqa: S102 - the page's own example
    assert scope["signature"](secret, "c0ffee", "1780000000", "POST", "/sync/figures", body) == ours


def test_the_shop_takes_no_call_twice_none_that_is_old_and_none_for_another_address(counter: JsonCounter) -> None:
    counter.add("A", "A", 3)
    with counter.faults(lambda seen: None) as seen:
        counter.listing("A")
    call = seen[0]
    url, signed = counter.running.base_url, {k: v for k, v in call.headers.items() if k.startswith("Sync-")}
    assert requests.get(f"{url}/listings", headers=signed, timeout=5).status_code == 401, "it was made before"
    at = str(int(datetime.now(UTC).timestamp()))
    old = str(int((datetime.now(UTC) - timedelta(hours=1)).timestamp()))

    def get(path: str, number: str, at: str, signed_path: str) -> int:
        headers = {"Sync-Id": number, "Sync-Timestamp": at}
        headers["Sync-Signature"] = sign(SECRET, number, at, "GET", signed_path, b"")
        return requests.get(f"{url}{path}", headers=headers, timeout=5).status_code

    assert get("/listings", "n1", at, "/sync/listings") == 200
    assert get("/listings", "n2", old, "/sync/listings") == 401
    assert get("/listings?cursor=0", "n3", at, "/sync/listings") == 401
    assert get("/orders/1", "n4", at, "/sync/listings") == 401
    assert requests.get(f"{url}/listings", timeout=5).status_code == 401


def test_a_delivery_of_another_hour_is_refused(counter: JsonCounter) -> None:
    channel = counter.channel

    def delivery(at: str, body: bytes = b"{}", id: str = "msg_1") -> RawRequest:
        headers = {"webhook-id": id, "webhook-timestamp": at, "webhook-signature": sign(SECRET, id, at, body)}
        return RawRequest("POST", "http://here/", headers, body)

    now = int(datetime.now(UTC).timestamp())
    assert channel.verify(delivery(str(now - 200))).id == "msg_1"
    for off in (-400, 400):
        with pytest.raises(TooOld):
            channel.verify(delivery(str(now + off)))
    for odd in (delivery("soon"), delivery(str(now), id=""), delivery("9" * 30)):
        with pytest.raises(Malformed):
            channel.verify(odd)
    unsigned = replace(delivery(str(now)), headers={"webhook-id": "msg_1", "webhook-timestamp": str(now)})
    with pytest.raises(Unsigned):
        channel.verify(unsigned)


# levels ---------------------------------------------------------------------------------------------------------------


def test_what_the_seller_and_the_buyer_do_is_a_level(counter: JsonCounter) -> None:
    counter.add("A", "A", 10)
    shop = counter.running.shop
    order = shop.buy("A", 4, paid=False, source="our app")
    read = counter.channel.order(order)
    assert (read.state, read.paid, read.source, read.number) == (OrderState.PENDING, False, "our app", f"J-{order}")
    shop.pay(order)
    shop.ship(order, 1)
    line = counter.one_line(order)
    assert (line.sent, line.taken, counter.channel.order(order).state) == (1, 4, OrderState.OPEN)
    shop.cancel(order, by="seller", restock=False)
    line = counter.one_line(order)
    assert (line.cancelled, line.freely, line.taken) == (3, False, 4), "asked: the seller cancelled"
    shop.take_back(order, 1, restock=True)
    line = counter.one_line(order)
    assert (line.returned, line.restocked, line.taken, counter.figure("A")) == (1, 1, 3, 7)
    other = shop.buy("A", 2)
    shop.edit(other, 3)
    assert (counter.one_line(other).ordered, counter.one_line(other).taken, counter.figure("A")) == (3, 3, 4)


def test_every_delivery_says_what_it_carries(counter: JsonCounter, receiver: Receiver) -> None:
    counter.add("A", "A", 10)
    counter.channel.ensure_hooks(receiver.url)
    order = counter.buy("A", 1)
    counter.running.shop.set_figure("A", 4)
    counter.delete(order)
    counter.settle()
    changed, figure, deleted = (counter.channel.signals(r)[0] for r in receiver.wait(lambda got: len(got) >= 3))
    assert changed.kind is SignalKind.ORDER and changed.order is not None and changed.order.read_at is None
    assert (figure.kind, figure.figure) == (SignalKind.LISTING, Figure(counter.listing("A").ref, 4))
    assert (deleted.kind, deleted.id, deleted.gone) == (SignalKind.ORDER, order, True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def test_deliveries_that_fail_are_tried_again_and_found_by_check(counter: JsonCounter, receiver: Receiver) -> None:
    counter.add("A", "A", 10)
    counter.running.shop.retries = (timedelta(0), timedelta(0))
    counter.channel.ensure_hooks(receiver.url)
    receiver.status = 503
    counter.buy("A", 1)
    assert len({r.header("webhook-id") for r in receiver.wait(lambda got: len(got) == 3)}) == 1
    counter.settle()
    health = counter.channel.check()
    assert not health.ok and "failed since" in health.problems[0]
    receiver.status = 200
    assert counter.channel.ensure_hooks(receiver.url)[0].state == "made again"
    assert counter.channel.check().ok


# shops that get it wrong ----------------------------------------------------------------------------------------------

LINE = {"id": 1, "ordered": 2, "taken": 2}
ORDER = {
    "id": 5, "state": "open", "placed_at": "2026-03-02T09:00:00Z", "updated_at": "2026-03-02T10:00:00+01:00",
    "lines": [LINE],
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""}, {"id": None}, {"state": None}, {"placed_at": "yesterday"}, {"updated_at": "2026-03-02T09:00:00"},
        {"lines": None}, {"lines": [7]}, {"lines": [LINE | {"ordered": -1}]}, {"lines": [LINE | {"ordered": "2"}]},
        {"lines": [LINE | {"ordered": 2.5}]}, {"lines": [LINE | {"taken": True}]}, {"lines": [{"id": 1, "ordered": 2}]},
        {"lines": [LINE | {"shipped": [{"units": 1}]}]}, {"lines": [LINE | {"sku": 123}]},
    ],
)  # fmt: skip
def test_an_order_that_is_not_of_the_protocol_is_never_half_read(counter: JsonCounter, change: dict[str, Any]) -> None:
    body = json.dumps({"orders": [ORDER | change], "next": None}).encode()
    json_type = {"Content-Type": "application/json"}
    with counter.faults(once(Answer(200, json_type, body))), pytest.raises(ChannelRefused, match="not of the protocol"):
        counter.orders(datetime.now(UTC))
    delivery = json.dumps({"type": "order.changed", "order": ORDER | change}).encode()
    signals = counter.channel.signals(RawRequest("POST", "", {}, delivery))
    assert all(s.order is None for s in signals)


def test_a_word_that_the_protocol_does_not_know_is_taken_as_open_and_said() -> None:
    read = read_order(ORDER | {"state": "on its way"})
    assert read.state is OrderState.UNKNOWN and "on its way" in read.note
    assert read.updated_at == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert read.lines[0].freely and read.lines[0].ref is None


def test_a_listing_says_why_it_cannot_be_pushed() -> None:
    assert read_listing({"id": 7, "sku": "00123", "title": "Mug", "figure": None}).why_not
    barred = read_listing({"id": 7, "sku": "00123", "title": "Mug", "figure": 3, "why_not": "made to order"})
    assert (barred.pushable, barred.why_not, barred.shows, barred.sku) == (False, "made to order", 3, "00123")
    with pytest.raises(ValueError, match="no whole number"):
        read_listing({"id": 7, "title": "Mug", "figure": "3"})


ROWS: dict[str, tuple[object, Outcome]] = {
    "nothing about it": ({"results": []}, Outcome.UNKNOWN),
    "no list": ({"done": True}, Outcome.UNKNOWN),
    "another word": ({"results": [{"id": "1", "outcome": "ok"}]}, Outcome.UNKNOWN),
    "another figure": ({"results": [{"id": "1", "outcome": "applied", "figure": 4}]}, Outcome.UNKNOWN),
    "stale": ({"results": [{"id": "1", "outcome": "stale", "figure": 4}]}, Outcome.STALE),
    "refused": ({"results": [{"id": "1", "outcome": "refused", "why": "made to order"}]}, Outcome.REFUSED),
    "bare": ({"results": [{"id": 1, "outcome": "applied"}]}, Outcome.APPLIED),
}


@pytest.mark.parametrize("case", sorted(ROWS))
def test_an_answer_to_a_write_is_never_assumed(counter: JsonCounter, case: str) -> None:
    counter.add("A", "A", 8)
    target = counter.target("A", 5, 8)
    body, outcome = ROWS[case]
    answer = Answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())
    with counter.faults(once(answer, counter.is_write)):
        (result,) = counter.channel.push([target])
    assert result.outcome is outcome
    assert "made to order" in result.why or case != "refused"


def test_a_listing_twice_in_one_push_is_sent_once(counter: JsonCounter) -> None:
    counter.add("A", "A", 8)
    first, second = counter.channel.push([counter.target("A", 5, 8), counter.target("A", 6, 8)])
    assert (first.outcome, second.outcome, counter.figure("A")) == (Outcome.APPLIED, Outcome.RETRY, 5)


def test_a_shop_of_another_protocol_is_said(counter: JsonCounter) -> None:
    json_type = {"Content-Type": "application/json"}
    with counter.faults(once(Answer(200, json_type, b'{"protocol": 2, "name": "x"}'))):
        assert any("protocol 2" in p for p in counter.channel.check().problems)
    with counter.faults(once(Answer(200, json_type, b'{"protocol": 1, "name": 7}'))):
        assert any("not that of the protocol" in p for p in counter.channel.check().problems)
    with counter.faults(lambda seen: Answer(200, json_type, b"[]")), pytest.raises(Unavailable):
        list(all_pages(counter.channel.listings))


# the whole product ----------------------------------------------------------------------------------------------------


def test_a_sale_there_lowers_the_other_shop_and_a_count_raises_both(tmp_path: Path) -> None:
    world = World(tmp_path, vendors=("http_json", "shopify"), seeds=[Seed("A", "Mug", 10)])
    try:
        world.begin()
        world.shops["http_json"].shop.buy("A", 3)
        world.passes()
        assert (world.figures("A"), world.figure("http_json", "A"), world.figure("shopify", "A")) == ("10/3/7", 7, 7)
        world.type("A", "15")
        world.passes()
        assert (world.figures("A"), world.figure("http_json", "A"), world.figure("shopify", "A")) == ("15/3/12", 12, 12)
    finally:
        world.close()


def test_the_storefront_buys_ships_and_takes_back() -> None:
    with serve(seed=[Seed("A", "Mug", 2)]) as running:
        front, own = running.storefront.rstrip("/"), {"Origin": running.storefront.rstrip("/")}
        assert "Mug" in requests.get(front, timeout=5).text
        bought = requests.post(f"{front}/buy", {"product": "1", "units": "2"}, headers=own, timeout=5)
        assert "J-1001" in bought.text and running.shop.figure("A") == 0
        assert requests.post(f"{front}/buy", {"product": "1", "units": "1"}, headers=own, timeout=5).status_code == 409
        for verb in ("ship", "return"):
            requests.post(f"{front}/orders/1001", {"verb": verb}, headers=own, timeout=5)
        (line,) = running.shop.order("1001")["lines"]
        assert (len(line["shipped"]), line["returned"], line["restocked"]) == (1, 1, 0)


def test_the_shop_is_where_it_was_after_a_restart(tmp_path: Path) -> None:
    with serve(tmp_path / "shop.db", seed=[Seed("A", "Mug", 5)]) as running:
        first = dict(running.credentials)
        order = running.shop.buy("A", 2)
    with serve(tmp_path / "shop.db", seed=[Seed("A", "Mug", 9)]) as again:
        assert (again.shop.figure("A"), again.credentials, again.shop.order(order)["state"]) == (3, first, "open")
