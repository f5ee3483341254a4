"""B2, B4: on which side of its SKU's opening a thing happened. Vendors tell whole seconds; here Start takes less."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from sheets_sync import answering, onboarding, review
from sheets_sync.model import Order, OrderLine, OrderState, Shipment
from sheets_sync.order_book import book_orders
from sheets_sync.sandbox.shops import Seed
from tests.hands import VENDORS, Clock, Hands, hands_of
from tests.world import World

SKUS = ("TILL", "SHIPS", "BACK", "GONE", "LATE", "OLD", "OPEN", "MOVES", "PAID", "WAITS")


class Second(Clock):
    """A clock on which everything happens within one second, until it is told otherwise."""

    def __call__(self) -> datetime:
        self._at += timedelta(microseconds=20)
        return self._at


@dataclass
class Shop:
    """A world after Start, in the second in which it was; orders are told as a vendor tells them."""

    world: World
    clock: Second
    first: Hands
    moving: Sequence[str]
    unpaid: str
    number: int = 0

    @property
    def second(self) -> datetime:
        """The second of Start, as a vendor tells it."""
        with self.world.ledger.read() as view:
            opened = self.world.desk.opened_at(view)
        assert opened is not None
        return opened.replace(microsecond=0)

    def order(self, line: OrderLine, at: datetime, **more: Any) -> Order:
        self.number += 1
        base = {"id": f"n{self.number}", "placed_at": at, "updated_at": at, "state": OrderState.OPEN, "paid": True}
        return Order(lines=(line,), **{**base, **more})

    def answers(self, sku: str, word: str) -> None:
        with self.world.ledger.read() as view:
            (question,) = view.questions(sku=sku)
        answering.answer(self.world.desk, review.short_id(question), word)

    def reads(self, order: Order, channel: str) -> None:
        with self.world.ledger.begin() as tx:
            book_orders(tx, self.world.desk, channel, [replace(order, read_at=self.clock())])

    def told(self, order: Order, channel: str = "") -> str:
        """It is read three times: then, once more, and a day later with another version."""
        after = set()
        for hours in (0, 0, 24):
            again = replace(order, updated_at=order.updated_at + timedelta(hours=hours))
            self.reads(again, channel or self.first.vendor)
            after.add(self.world.figures(str(order.lines[0].sku)))
        (figures,) = after
        return figures


@pytest.fixture(scope="module", params=VENDORS)
def shop(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Shop]:
    clock, first = Second(), str(request.param)
    vendors = (first, *(v for v in VENDORS if v != first))
    seeds = [Seed(sku, f"thing {sku}", 10) for sku in SKUS]
    world = World(tmp_path_factory.mktemp("openings"), vendors=vendors, seeds=seeds, clock=clock)
    world.desk.settings = _with(world, first, ships="at_once")
    hands = hands_of(world.shops[first])
    try:
        hands.buy("PAID", 2)
        unpaid = hands.buy("OPEN", 1, paid=False)
        clock.tick(hours=1)
        onboarding.set_up(world.desk, world.workbook)
        onboarding.import_catalogues(world.desk)
        looks = 0

        def moves(seen: Any) -> None:
            """It is sold between two looks, paid and shipped before the third one."""
            nonlocal looks
            looks += hands.is_look(seen)
            if looks == 1 and hands.is_look(seen):
                hands.ship(hands.buy("MOVES", 3))

        with hands.watched(moves):
            started = onboarding.start(world.desk)
        yield Shop(world, clock, hands, started.moving, unpaid)
    finally:
        world.close()


def _with(world: World, channel: str, **how: Any) -> Any:
    settings = world.desk.settings
    return dataclasses.replace(
        settings, channels={**settings.channels, channel: settings.channels[channel].model_copy(update=how)}
    )


pytestmark = pytest.mark.xdist_group("openings")


def test_O6_a_paid_sale_of_a_till_is_not_on_the_shelf_any_more_when_counting_begins(shop: Shop) -> None:
    assert shop.world.figures("PAID") == "8/0/8"
    assert shop.world.figures("OPEN") == "10/1/9"
    shop.first.pay(shop.unpaid)
    shop.clock.tick(minutes=5)
    shop.world.passes()
    assert shop.world.figures("OPEN") == "9/0/9", "it left when it was paid, after the opening"


def test_B4_what_moved_while_start_looked_is_opened_by_the_next_look_and_nothing_moves_twice(shop: Shop) -> None:
    assert (shop.moving, shop.world.figures("MOVES")) == ((), "7/0/7")
    shop.world.passes()
    assert shop.world.figures("MOVES") == "7/0/7"
    sold = OrderLine("1", 2, "MOVES")
    assert shop.told(shop.order(sold, shop.second)) == "5/0/5"


def test_B2_a_tills_sale_in_the_very_second_of_start_is_counted(shop: Shop) -> None:
    assert shop.told(shop.order(OrderLine("1", 2, "TILL"), shop.second)) == "8/0/8"


def test_B2_an_order_of_the_other_shop_shipped_in_that_second_is_counted(shop: Shop) -> None:
    other = next(v for v in VENDORS if v != shop.first.vendor)
    left = OrderLine("1", 3, "SHIPS", shipped=(Shipment(shop.second, 1),))
    assert shop.told(shop.order(left, shop.second), other) == "9/2/7"
    late = OrderLine("1", 3, "LATE", shipped=(Shipment(shop.second, 1, at_latest=True),))
    assert shop.told(shop.order(late, shop.second - timedelta(seconds=20)), other) == "9/2/7"
    assert "LATE" not in shop.world.questions()


def test_B2_units_put_back_or_lost_in_that_second_are_counted(shop: Shop) -> None:
    other = next(v for v in VENDORS if v != shop.first.vendor)
    sent = (Shipment(shop.second - timedelta(hours=1), 2),)
    back = OrderLine("1", 2, "BACK", shipped=sent, returned=1, restocked=1)
    order = shop.order(back, shop.second, placed_at=shop.second - timedelta(hours=2))
    first = replace(order, lines=(replace(back, returned=0, restocked=0),), updated_at=shop.second - timedelta(hours=1))
    shop.reads(first, other)
    assert shop.told(order, other) == "11/0/11"
    gone = OrderLine("1", 2, "GONE", cancelled=2, freely=False)
    assert shop.told(shop.order(gone, shop.second, state=OrderState.CANCELLED), other) == "10/2/8"
    shop.answers("GONE", "gone")
    assert shop.world.figures("GONE") == "8/0/8"


def test_B2_units_that_the_opening_saw_waiting_left_after_it_whatever_the_channel_says_of_when(shop: Shop) -> None:
    other = next(v for v in VENDORS if v != shop.first.vendor)
    waits = OrderLine("1", 2, "WAITS")
    order = shop.order(waits, shop.second - timedelta(hours=1), placed_at=shop.second - timedelta(hours=2))
    shop.reads(order, other)
    shop.answers("WAITS", "counted")
    left = replace(waits, shipped=(Shipment(shop.second + timedelta(hours=3), 1, at_latest=True),))
    after = replace(order, lines=(left,), updated_at=shop.second + timedelta(hours=3))
    assert shop.told(after, other) == "9/1/8"
    assert "WAITS" not in shop.world.questions(), "nobody is asked on which side of the opening it left"


def test_B2_what_happened_long_before_and_is_told_late_is_believed(shop: Shop) -> None:
    other = next(v for v in VENDORS if v != shop.first.vendor)
    before = shop.second - timedelta(minutes=5)
    old = OrderLine("1", 2, "OLD", shipped=(Shipment(before, 2),))
    assert shop.told(shop.order(old, before), other) == "10/0/10"
    assert shop.world.ledger.verify() == []
