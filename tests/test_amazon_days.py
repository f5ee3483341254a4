"""The seller's day with Amazon, through the real doors: the local Amazon, its notifications, Review, the other shop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sheets_sync import drift
from sheets_sync.assembly import _applying
from sheets_sync.channels import Page
from sheets_sync.channels.amazon.hooks import KEY_HEADER
from sheets_sync.config import ChannelSettings
from sheets_sync.errors import RateLimited
from sheets_sync.model import Kind, Order
from sheets_sync.sandbox import shops
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sandbox.shops.amazon import Pace, Unknowns
from sheets_sync.sheet import tabs
from tests.hands import Clock
from tests.test_review import Day
from webhook.app import create_app
from webhook.server import serve

pytestmark = pytest.mark.xdist_group("amazon days")  # one world for all of them

SKUS = ("COUNT", "LATE", "RETURN", "BUYER", "PAYS", "ASKS", "UNSEEN", "SLOW", "GIVES", "TOLD")


class AmazonDay(Day):
    """A web shop and Amazon, Amazon at its own pace; its notifications come in by HTTP."""

    clock: Clock

    @staticmethod
    def _channel(name: str, shop: shops.Running, *, primary: bool) -> ChannelSettings:
        settings = Day._channel(name, shop, primary=primary)
        aws = {"aws_account_id": "123456789012", "aws_region": "eu-west-1"}
        return settings.model_copy(update=aws) if name == "amazon" else settings

    @property
    def amazon(self):  # type: ignore[no-untyped-def]
        return self.shops["amazon"].shop

    def soon(self) -> None:
        """Some seconds later: notifications have come in, and everybody has looked."""
        self.settle(0.2)

    def settle(self, *after: float) -> None:
        """Minutes later: a reason to raise, the list of orders that knows of it, the raise, Amazon's word for it."""
        for minutes in after or (0.2, 2.5, 0.5, 0.5):
            self.clock.tick(minutes=minutes)
            assert self.amazon.wait_delivered()
            self.passes()

    def figures_everywhere(self, sku: str) -> tuple[int | None, int | None]:
        return self.figure("woocommerce", sku), self.figure("amazon", sku)

    def asked(self, sku: str) -> int:
        """The row in Review of what is asked about a SKU, as people count."""
        header, *rows = self.store.rows(self.id, tabs.REVIEW)
        at = header.index(tabs.SKU)
        return next(number for number, row in enumerate(rows, 2) if len(row) > at and row[at] == sku)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AmazonDay]:
    seeds = [Seed(sku, f"thing {sku}", 10) for sku in SKUS]
    folder: Path = tmp_path_factory.mktemp("amazon")
    made = AmazonDay(folder, vendors=("woocommerce", "amazon"), seeds=seeds, clock=Clock())
    try:
        app = create_app(made.ledger, made.desk.channels, apply=_applying(made.desk), wake=lambda name: None)
        with serve(app, "127.0.0.1", 0) as web:
            made.begin()
            made.amazon.pace = Pace()
            made.amazon.notices.forward(f"{web.url}/webhooks/amazon", "hook-secret", KEY_HEADER)
            made.desk.channels["amazon"].ensure_hooks(web.url)
            made.settle()
            yield made
    finally:
        made.close()


def test_a_count_reaches_amazon(day: AmazonDay) -> None:
    day.type("COUNT", "7")
    day.passes()
    assert day.figures("COUNT") == "7/0/7"
    assert day.figure("woocommerce", "COUNT") == 7
    day.settle()
    assert day.figures_everywhere("COUNT") == (7, 7)
    day.type("COUNT", "12")
    day.settle()
    assert day.figures_everywhere("COUNT") == (12, 12)
    day.amazon.set_figure("COUNT", 20)  # somebody types in Seller Central; a notification says so
    day.soon()
    day.soon()
    assert day.figures_everywhere("COUNT") == (12, 12), "counts are made in the sheet, and nowhere else"


def test_O2_cancelled_late_on_amazon_is_asked_and_decided_in_review(day: AmazonDay) -> None:
    order = day.amazon.buy("LATE", 2)
    day.soon()
    assert (day.figures("LATE"), day.figures_everywhere("LATE")) == ("10/2/8", (8, 8))
    day.clock.tick(hours=2)
    day.amazon.seller_cancels(order, "Buyer Cancelled")
    day.soon()
    assert (day.figures("LATE"), day.figures_everywhere("LATE")) == ("10/2/8", (8, 8)), "Amazon gives nothing back"
    assert day.questions()["LATE"] == "cancellation"
    day.decide("back to stock", day.asked("LATE"))
    day.settle()
    assert (day.figures("LATE"), day.figures_everywhere("LATE")) == ("10/0/10", (10, 10))
    assert [e.fact.kind for e in day.events("LATE")] == [Kind.OPENING, Kind.ORDER, Kind.CANCELLATION]


def test_O2_whatever_amazon_makes_of_its_own_figure_and_order(day: AmazonDay) -> None:
    """It gives back what the seller cancelled, and forgets how many were ordered: units are still a person's word."""
    order = day.amazon.buy("GIVES", 2)
    day.soon()
    day.clock.tick(hours=2)
    day.amazon.unknowns = Unknowns(seller_cancellation_gives_back=True, cancelled_orders_nothing=True)
    day.amazon.seller_cancels(order, "Buyer Cancelled")
    assert day.amazon.figure("GIVES") == 10
    day.settle(0.2, 0.2)
    assert (day.figures("GIVES"), day.figures_everywhere("GIVES")) == ("10/2/8", (8, 8))
    day.decide("gone", day.asked("GIVES"))
    day.settle(0.2, 0.2)
    assert (day.figures("GIVES"), day.figures_everywhere("GIVES")) == ("8/0/8", (8, 8))
    day.amazon.unknowns = Unknowns()


def test_P5_a_sale_that_no_order_shows_yet_is_promised_everywhere(day: AmazonDay) -> None:
    """Two are sold on Amazon and no notification comes: a look finds them missing, the list has them minutes later."""
    day.amazon.notices.paused = True
    day.amazon.buy("UNSEEN", 2)
    day.type("UNSEEN", "11")  # a reason to look
    day.passes()
    assert (day.figures("UNSEEN"), day.figure("amazon", "UNSEEN")) == ("11/0/11", 8)
    assert day.figure("woocommerce", "UNSEEN") == 9, "the web shop knows of them before any order does"
    day.settle()
    assert (day.figures("UNSEEN"), day.figures_everywhere("UNSEEN")) == ("11/2/9", (9, 9))
    day.amazon.notices.paused = False


def test_P5_a_figure_that_amazon_tells_of_counts_as_sold_until_the_list_has_caught_up_then_it_is_drift(
    day: AmazonDay,
) -> None:
    day.amazon.set_figure("TOLD", 8)  # by hand, but nobody can know that yet
    day.soon()
    assert (day.figures("TOLD"), day.figures_everywhere("TOLD")) == ("10/0/10", (8, 8))
    assert "TOLD" not in day.questions()
    day.restart()  # what waits for the list is not forgotten
    day.settle()
    assert (day.figures("TOLD"), day.figures_everywhere("TOLD")) == ("10/0/10", (10, 10))
    assert day.questions()["TOLD"] == "drift"
    with day.ledger.read() as view:
        assert drift.waiting(view, "amazon") == []


def test_O5_a_return_is_counted_once_and_offered_everywhere(day: AmazonDay) -> None:
    order = day.amazon.buy("RETURN", 2)
    day.soon()
    day.clock.tick(minutes=1)
    day.amazon.ship(order)
    day.soon()
    assert (day.figures("RETURN"), day.figures_everywhere("RETURN")) == ("8/0/8", (8, 8))
    day.clock.tick(hours=50)
    day.amazon.returns(order)
    day.settle(4, 4, 4)  # Amazon makes its report of returns, and it is read at the next look at the orders
    assert (day.figures("RETURN"), day.questions()["RETURN"]) == ("8/0/8", "return")
    day.decide("sellable", day.asked("RETURN"), Units="1")
    day.settle()
    assert (day.figures("RETURN"), day.figures_everywhere("RETURN")) == ("9/0/9", (9, 9))
    day.decide("damaged", day.asked("RETURN"))
    day.soon()
    assert (day.figures("RETURN"), day.figures_everywhere("RETURN")) == ("9/0/9", (9, 9))
    assert "RETURN" not in day.questions()


def test_O2_what_the_buyer_cancels_in_time_or_never_pays_for_comes_back_by_itself(day: AmazonDay) -> None:
    day.amazon.pace = replace(Pace(), payment=timedelta(hours=1))
    bought, unpaid = day.amazon.buy("BUYER", 2), day.amazon.buy("PAYS", 3, paid=False)
    day.soon()
    assert (day.figures("BUYER"), day.figures("PAYS")) == ("10/2/8", "10/3/7"), "pending commits"
    assert day.figures_everywhere("PAYS") == (7, 7)
    day.amazon.cancel(bought)
    day.amazon.payment_fails(unpaid)
    day.settle()
    assert (day.figures("BUYER"), day.figures("PAYS")) == ("10/0/10", "10/0/10")
    assert day.figures_everywhere("BUYER") == day.figures_everywhere("PAYS") == (10, 10)
    assert not {"BUYER", "PAYS"} & day.questions().keys()
    day.amazon.pace = Pace()


def test_O2_a_buyer_who_asks_to_cancel_moves_nothing_and_the_order_may_be_shipped(day: AmazonDay) -> None:
    order = day.amazon.buy("ASKS", 2)
    day.clock.tick(hours=2)
    day.amazon.ask_to_cancel(order)
    day.soon()
    assert (day.figures("ASKS"), day.figures_everywhere("ASKS")) == ("10/2/8", (8, 8))
    assert "ASKS" not in day.questions()
    day.amazon.ship(order)
    day.soon()
    assert day.figures("ASKS") == "8/0/8"


def test_nothing_of_a_buyer_and_no_key_lies_in_the_ledger(day: AmazonDay) -> None:
    with day.ledger.read() as view:
        stored = view.deliveries("amazon")
    assert stored
    for delivery in stored:
        assert b"PostalCode" not in delivery.body and KEY_HEADER.lower() not in {k.lower() for k in delivery.headers}


def test_lowering_on_amazon_waits_for_no_answer(day: AmazonDay) -> None:
    """Amazon takes its time to apply a figure, and a lower one is wanted meanwhile: it is sent all the same."""
    day.amazon.pace = replace(Pace(), listing=timedelta(minutes=3))
    day.type("SLOW", "8")
    day.passes()
    day.type("SLOW", "6")
    day.passes()
    assert (day.figure("woocommerce", "SLOW"), day.figure("amazon", "SLOW")) == (6, 10)
    day.settle(3.5, 1, 1)
    assert day.figures_everywhere("SLOW") == (6, 6)
    with day.ledger.read() as view:
        (listing,) = view.listings("amazon", skus=["SLOW"])
    assert (listing.pending_job, listing.shown, listing.error) == ("", 6, "")
    day.amazon.pace = Pace()


def test_a_list_of_orders_that_limits_cut_short_is_read_on_where_it_was(day: AmazonDay) -> None:
    """More pages than Amazon allows at once: what was read is booked, and the next read begins with the next page."""
    channel = day.desk.channels["amazon"]
    read: list[str | None] = []
    whole = channel.orders

    def three_pages(since: datetime, cursor: str | None = None) -> Page[Order]:
        read.append(cursor)
        if len(read) == 3:
            raise RateLimited("used up", 170.0)
        page = whole(since)
        return page if cursor == "3" else Page(page.items, {None: "2", "2": "3"}[cursor])

    channel.orders = three_pages  # type: ignore[method-assign]
    try:
        for _ in range(3):
            day.clock.tick(minutes=4)
            day.channel_pass("amazon")
    finally:
        del channel.orders
    assert read[:4] == [None, "2", "3", "3"]
    assert read[4:] == [None, "2", "3"]
