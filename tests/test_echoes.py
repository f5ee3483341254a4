"""What deliveries say that needs a second thought: echoes of our own writes, and bodies that leave returns out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sheets_sync.channels import RawRequest
from sheets_sync.echoes import takes_back, unexpected
from sheets_sync.model import Figure, LineState, Listing, Order, OrderLine, OrderState, Ref, StoredDelivery
from sheets_sync.order_book import apply_delivery
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sandbox.shops.shopify import Refunded
from tests.contract_channel import Receiver
from tests.hands import Clock
from tests.world import World

LEVEL = "inventory_levels/update"


def listing(shown: int | None, taken: int | None = 0) -> Listing:
    return Listing("web", Ref("v1", "i1", "p1"), "A", shown=shown, taken=taken)


@pytest.mark.parametrize(
    ("of", "told", "doubted"),
    [
        (listing(8), [8], False),  # the echo of our own write
        (listing(10, 2), [8], False),  # a sale that is booked
        (listing(8), [7], True),  # somebody else
        (listing(8), [7, 8], False),  # two writes, their echoes in order
        (listing(8), [8, 7], True),  # a late echo costs a look, no more
        (listing(8, None), [3], False),  # it will be looked at anyway
        (listing(None), [3], False),
        (listing(2, 5), [-3], False),  # oversold there: it can show no less than nothing
    ],
)
@pytest.mark.parametrize("ref", [Ref("", "i1", "p1"), Ref("v1", "i1", "p1"), Ref("v1"), Ref("v1", "i1")])
def test_an_echo_is_told_by_its_value(of: Listing, told: list[int], doubted: bool, ref: Ref) -> None:
    assert unexpected([of], [Figure(ref, n) for n in told]) == ({of.ref} if doubted else set())
    assert unexpected([of], [Figure(Ref("", "i2", "p1"), n) for n in told]) == set()


@pytest.mark.parametrize(
    ("returned", "restocked", "takes"),
    [(2, 1, False), (1, 1, True), (2, 0, True), (3, 1, False), (0, 0, True)],
)
def test_what_came_back_is_not_taken_back_by_a_body(returned: int, restocked: int, takes: bool) -> None:
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    known = OrderLine("1", 3, returned=2, restocked=1)
    stored = LineState("web/9/1", "web", "9", known, at, at, None, OrderState.DONE)
    told = Order("9", at, at, OrderState.DONE, (replace(known, returned=returned, restocked=restocked),))
    assert takes_back([stored], told) is takes
    assert not takes_back([], told)


class Shop:
    """A world with a Shopify, whose deliveries a test hands over itself."""

    def __init__(self, folder: Path) -> None:
        self.clock, seeds = Clock(), [Seed("A", "Mug", 10), Seed("B", "Plate", 5)]
        self.world = World(folder, vendors=("shopify",), seeds=seeds, clock=self.clock)
        self.world.begin()
        self.clock.tick(minutes=5)
        self.shop, self.box = self.world.shops["shopify"].shop, Receiver()
        self.world.desk.channels["shopify"].ensure_hooks(self.box.url)

    def deliver(self, topic: str = "") -> list[str]:
        """Hand over what has been sent since, as the web process does; gives the topics."""
        assert self.shop.courier.wait_idle()
        got = [r for r in self.box.wait(lambda _: True) if topic in (r.header("X-Shopify-Topic") or "")]
        self.box.forget()
        for request in got:
            self.take(request)
        return [r.header("X-Shopify-Topic") or "" for r in got]

    def take(self, request: RawRequest) -> None:
        desk, channel = self.world.desk, self.world.desk.channels["shopify"]
        seen = channel.verify(request)
        stored = StoredDelivery("shopify", seen.id, seen.topic, dict(request.headers), request.body, desk.clock())
        with desk.ledger.begin() as tx:
            tx.store_delivery(stored)
        apply_delivery(desk, channel, stored, fetch=False)

    def states(self) -> set[str]:
        with self.world.ledger.read() as view:
            return {d.state for d in view.deliveries("shopify")}

    def calls(self) -> list[str]:
        """The names of the queries that a pass makes."""
        seen: list[str] = []

        def note(request: Any) -> None:
            if request.path.endswith("/graphql.json"):
                seen.append(json.loads(request.body)["query"].split()[1].partition("(")[0])

        self.world.shops["shopify"].middleware = note
        try:
            self.world.channel_pass("shopify")
        finally:
            self.world.shops["shopify"].middleware = None
        return seen


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.box.close()
    made.world.close()


def test_our_own_figure_comes_back_and_causes_nothing(office: Shop) -> None:
    world, woken = office.world, list[str]()
    world.desk.wake = woken.append
    world.type("A", "7")
    world.passes()
    assert world.figure("shopify", "A") == 7
    woken.clear()
    assert office.deliver() == [LEVEL]
    assert woken == [] and office.states() == {"waiting"}
    assert office.calls() == ["Orders"], "the orders, as in every pass, and no look at the figure"
    assert office.states() == {"applied"}
    # a sale, whose level comes first
    office.shop.buy("A", 2)
    assert set(office.deliver(LEVEL)) == {LEVEL} and office.states() == {"applied", "waiting"}
    world.passes()
    assert world.figures("A") == "7/2/5" and world.figure("shopify", "A") == 5


def test_a_figure_changed_in_the_shop_is_found_by_its_delivery_and_put_right(office: Shop) -> None:
    world = office.world
    office.shop.set_figure("A", 3)
    assert office.deliver() == [LEVEL]
    assert "Figures" in office.calls()
    world.passes()
    assert world.figure("shopify", "A") == 10 and world.figures("A") == "10/0/10"


def test_O5_a_body_that_leaves_returns_out_takes_nothing_back(office: Shop) -> None:
    """Two came back and were put on the shelf; then a refund of money tells of the order as if none had."""
    world = office.world
    order = office.shop.buy("A", 3)
    line = order["lines"][0]["id"]
    office.shop.ship(order["id"])
    back = office.shop.returns.open(order["id"], {line: 2})
    office.shop.returns.dispose(order["id"], back, line, 2, "RESTOCKED")
    office.deliver()
    world.passes()
    assert (world.figures("A"), world.figure("shopify", "A")) == ("9/0/9", 9)
    office.clock.tick(minutes=5)
    office.shop.refund(order["id"], [Refunded(line, 1, "NO_RESTOCK")])
    assert "orders/updated" in office.deliver()
    assert world.figures("A") == "9/0/9" and "waiting" in office.states(), "it is read, not believed"
    world.passes()
    assert world.figures("A") == "9/0/9" and office.states() == {"applied"}


def test_orders_do_not_wait_for_a_catalogue_that_is_still_being_made(
    office: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large shop's bulk operation runs for minutes; a pass asks once, and the next one goes on."""
    monkeypatch.setattr("sheets_sync.channels.shopify.BULK_FROM", 1)
    monkeypatch.setattr("sheets_sync.channels.shopify.BULK_LOOKS", (0.0,))
    office.shop.api.bulk.looks = 1
    office.clock.tick(hours=1)
    office.shop.add_product("C", "Bowl", 4)
    office.shop.buy("A", 2)
    begun = office.calls()
    assert begun == ["Orders", "HowMany", "Bulk", "Figures", "Orders"] and office.world.figures("A") == "10/2/8"
    assert office.calls() == ["Orders", "BulkState"]
    with office.world.ledger.read() as view:
        assert len(view.listings("shopify")) == 2
    assert "BulkState" in office.calls()
    with office.world.ledger.read() as view:
        assert {item.remote_sku for item in view.listings("shopify")} == {"A", "B", "C"}
    assert office.calls() == ["Orders"], "and that was it for a while"
