"""Amazon: the contract against the local Amazon, published examples, and what only this vendor does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from sheets_sync.channels import Channel, Outcome, RawRequest, SignalKind, Target, all_pages, orders_to_open_with
from sheets_sync.channels.amazon import FEED_PATIENCE, PATCH_PATIENCE, Amazon, hooks
from sheets_sync.channels.amazon.hooks import KEY_HEADER
from sheets_sync.channels.amazon.listings import read_feed_report, read_item, read_report
from sheets_sync.channels.amazon.orders import read_order, was_not_there
from sheets_sync.channels.amazon.queue import SqsQueue
from sheets_sync.channels.amazon.returns import read_returns, with_returns
from sheets_sync.channels.amazon.wire import Steady
from sheets_sync.channels.http import Token
from sheets_sync.config import Settings, SheetSettings
from sheets_sync.desk import Desk
from sheets_sync.errors import (
    ChannelRefused,
    CredentialsRefused,
    Malformed,
    RateLimited,
)
from sheets_sync.ledger import Ledger
from sheets_sync.model import OrderState, Ref
from sheets_sync.pulling import pull
from sheets_sync.sandbox.shops._common import Answer, Drop, Running, Seen
from sheets_sync.sandbox.shops.amazon import Pace, Plan, Wanted, serve
from tests.amazon_models import Checked, operations
from tests.contract import ChannelContract, Counter, Receiver
from tests.contract_channel import an_hour_ago
from tests.hands import Clock

SECRET = "the-key-of-the-api-destination"
SHARED = Path(__file__).resolve().parents[2] / "shared"
AWS = {"aws_account": "123456789012", "aws_region": "eu-west-1"}


def adapter(running: Running, **given: Any) -> Amazon:
    keys = running.credentials
    about = {
        "client_id": keys["client_id"], "client_secret": keys["client_secret"], "refresh_token": keys["refresh_token"],
        "address": running.base_url, "webhook_secret": SECRET, **AWS,
    }  # fmt: skip
    return Amazon("amazon", keys["seller_id"], keys["marketplaces"].split(","), **{**about, **given})


class AmazonCounter(Counter):
    """A local Amazon where everything is applied at once, and nobody counts the calls."""

    can_delete = False

    @property
    def shop(self) -> Any:
        return self.running.shop

    def another(self, **credentials: str) -> Channel:
        wrong = {"client_secret": "wrong"} if credentials.pop("wrong", "") else {}
        return adapter(self.running, **credentials, **wrong)

    def add(self, sku: str, title: str, stock: int) -> None:
        self.shop.add_product(sku, title, stock)

    def figure(self, sku: str) -> int | None:
        figure: int | None = self.shop.figure(sku)
        return figure

    def buy(self, sku: str, units: int) -> str:
        return str(self.shop.buy(sku, units))

    def ship(self, order: str) -> None:
        self.shop.ship(order)

    def cancel(self, order: str) -> None:
        self.shop.cancel(order)

    def delete(self, order: str) -> None:
        raise NotImplementedError("an order on Amazon cannot be deleted")

    def webhook_secret(self) -> str:
        return SECRET

    def resign(self, request: RawRequest, body: bytes) -> RawRequest:
        return replace(request, body=body)

    def settle(self) -> None:
        assert self.shop.wait_delivered()

    def missing_ref(self) -> Ref:
        return Ref("000-0000000-0000000")

    def is_write(self, seen: Seen) -> bool:
        reads = ("/auth/", "/documents")
        return seen.method in ("POST", "PUT", "PATCH", "DELETE") and not any(part in seen.path for part in reads)


@pytest.fixture
def counter() -> Iterator[AmazonCounter]:
    with serve(None, pace=Pace.at_once()) as running:
        running.shop.limits.enforced = False
        # a seller of much business: the header says so
        for operation in ("patchListingsItem", "searchListingsItems", "notifications"):
            running.shop.limits.plans[operation] = Plan(5000, 5)
        checked = Checked(running.faults.app, operations(SHARED)) if SHARED.is_dir() else None
        if checked is not None:
            running.faults.app = checked
        channel = adapter(running)
        yield AmazonCounter(running, channel)
        channel.close()
        # an oversold figure is what the contract asks for, and not what Amazon's model knows
        problems = [p for p in (checked.problems if checked else ()) if "is less than the minimum of 0" not in p]
        assert not problems, problems


class TestAmazon(ChannelContract):
    @pytest.fixture
    def counter(self, counter: AmazonCounter) -> Iterator[AmazonCounter]:
        yield counter

    @pytest.fixture
    def receiver(self, counter: AmazonCounter) -> Iterator[Receiver]:
        receiver = Receiver()
        # the seller's own rule in AWS: each event goes to our address, with a key that he made up
        counter.shop.notices.forward(f"{receiver.url}/webhooks/amazon", SECRET, KEY_HEADER)
        yield receiver
        receiver.close()


# orders: what they mean -----------------------------------------------------------------------------------------

AT = "2026-03-02T09:00:00Z"
LATER = "2026-03-02T12:00:00Z"


def an_order(
    status: str, ordered: int = 2, fulfilled: int | None = 0, unfulfilled: int | None = 0, **more: Any
) -> dict[str, Any]:
    """A body as small as Amazon's model allows."""
    done = {"quantityFulfilled": fulfilled, "quantityUnfulfilled": unfulfilled}
    item = {
        "orderItemId": "1", "quantityOrdered": ordered, "product": {"sellerSku": "MUG", "title": "Mug"},
        "fulfillment": {k: v for k, v in done.items() if v is not None},
    }  # fmt: skip
    if "cancellation" in more:
        item["cancellation"] = more.pop("cancellation")
    return {
        "orderId": "111-2222222-3333333", "createdTime": AT, "lastUpdatedTime": LATER, "salesChannel": {},
        "orderItems": [item], "fulfillment": {"fulfillmentStatus": status, "fulfilledBy": "MERCHANT"}, **more,
    }  # fmt: skip


def called_off(by: str, reason: str = "") -> dict[str, Any]:
    return {"cancellationExecution": {"cancelledBy": by, "cancelReason": reason}}


@pytest.mark.parametrize(
    ("status", "unfulfilled", "cancelled"),
    [
        ("PENDING", 0, 0),  # it may not be filled in yet
        ("PENDING", None, 0),
        ("PENDING_AVAILABILITY", 0, 0),
        ("UNSHIPPED", 2, 0),
        ("UNSHIPPED", 1, 1),
        ("UNSHIPPED", None, 0),
        ("CANCELLED", 0, 2),
        ("CANCELLED", None, 2),
        ("CANCELLED", 2, 0),  # still to be shipped, says Amazon: then nothing is given back
        ("A_NEW_WORD", 0, 2),
    ],
)
def test_O4_cancelled_is_what_is_neither_fulfilled_nor_unfulfilled(
    status: str, unfulfilled: int | None, cancelled: int
) -> None:
    (line,) = read_order(an_order(status, unfulfilled=unfulfilled)).lines
    assert (line.ordered, line.cancelled, line.sent) == (2, cancelled, 0)


@pytest.mark.parametrize(
    ("by", "reason", "freely", "if_pending"),
    [
        ("BUYER", "Changed mind", True, False),
        ("BUYER", "No Inventory", False, False),
        ("MERCHANT", "Buyer requested cancellation", False, False),
        ("MERCHANT", "NO_INVENTORY", False, False),
        ("AMAZON", "Payment failed", False, True),
        ("AMAZON", "Out of stock", False, False),
        ("", "", False, True),
    ],
)
def test_O2_who_cancelled_decides_whether_it_comes_back_by_itself(
    by: str, reason: str, freely: bool, if_pending: bool
) -> None:
    (line,) = read_order(an_order("CANCELLED", cancellation=called_off(by, reason) if by else {})).lines
    assert (line.freely, line.free_if_pending, line.cancelled) == (freely, if_pending, 2)
    assert line.not_there == was_not_there(reason)


def test_reasons_that_say_that_it_was_not_there() -> None:
    assert all(was_not_there(r) for r in ("No Inventory", "NoInventory", "OUT_OF_STOCK", "Item unavailable"))
    assert not any(was_not_there(r) for r in ("", "Buyer Cancelled", "Shipping address undeliverable", "PricingError"))


def test_O2_a_request_to_cancel_alone_does_nothing() -> None:
    asked = {"cancellationRequest": {"requester": "BUYER", "cancelReason": "Changed mind"}}
    order = read_order(an_order("UNSHIPPED", unfulfilled=2, cancellation=asked))
    assert (order.state, order.lines[0].cancelled) == (OrderState.OPEN, 0)
    assert "asks to cancel" in order.note


def test_O1_units_take_the_time_of_their_package_and_else_only_the_latest_is_known() -> None:
    packages = [
        {"packageReferenceId": "1", "shipTime": "2026-03-02T10:00:00Z", "packageStatus": {"status": "SHIPPED"},
         "packageItems": [{"orderItemId": "1", "quantity": 1}, {"orderItemId": "other", "quantity": 7}]},
        {"packageReferenceId": "2", "createdTime": "2026-03-02T11:00:00Z", "packageStatus": {"status": "PENDING"},
         "packageItems": [{"orderItemId": "1", "quantity": 1}]},
        {"packageReferenceId": "3", "shipTime": "2026-03-02T11:00:00Z", "packageStatus": {"status": "CANCELLED"},
         "packageItems": [{"orderItemId": "1", "quantity": 1}]},
    ]  # fmt: skip
    (line,) = read_order(an_order("PARTIALLY_SHIPPED", 4, 3, 1, packages=packages)).lines
    assert [(s.at.hour, s.units, s.at_latest) for s in line.shipped] == [(10, 1, False), (12, 2, True)]
    (line,) = read_order(an_order("UNSHIPPED", 4, 0, 4, packages=packages)).lines
    assert line.shipped == (), "what Amazon calls unfulfilled has not left, whatever its labels say"


@pytest.mark.parametrize(
    ("body", "state", "paid"),
    [
        (an_order("PENDING"), OrderState.PENDING, False),
        (an_order("PENDING_AVAILABILITY"), OrderState.PENDING, False),
        (an_order("UNSHIPPED", 2, 0, 2), OrderState.OPEN, True),
        (an_order("SHIPPED", 2, 2, 0), OrderState.DONE, True),
        (an_order("SOMETHING"), OrderState.UNKNOWN, True),
    ],
)
def test_words_of_amazons(body: dict[str, Any], state: OrderState, paid: bool) -> None:
    order = read_order(body)
    assert (order.state, order.paid, bool(order.note)) == (state, paid, state is OrderState.UNKNOWN)


def test_O11_what_amazon_ships_moves_nothing() -> None:
    body = an_order("UNSHIPPED", 2, 0, 2)
    body["fulfillment"]["fulfilledBy"] = "AMAZON"
    assert read_order(body).by_channel


@pytest.mark.parametrize("body", [{}, {"orderId": 1}, an_order("SHIPPED") | {"createdTime": "yesterday"}, [], None])
def test_what_is_no_order_is_malformed(body: Any) -> None:
    with pytest.raises(Malformed):
        read_order(body)


# what Amazon has published --------------------------------------------------------------------------------------


def published(shared: Path) -> Path:
    return shared / "conformance" / "channels" / "amazon"


def test_O4_the_published_examples_are_read(shared: Path) -> None:
    alone = read_order(json.loads((published(shared) / "orders_2026-01-01.getOrder.200.json").read_text())["order"])
    assert (alone.state, alone.lines[0].ordered, alone.lines[0].sent) == (OrderState.DONE, 3, 3)
    found = json.loads((published(shared) / "orders_2026-01-01.searchOrders.200.json").read_text())
    orders = [read_order(body) for body in found["orders"]]
    line = next(line for order in orders for line in order.lines if line.ordered == 2 and line.sent == 2)
    assert (line.cancelled, line.freely) == (0, True), "ordered 2, fulfilled 2, cancelled by the merchant: nothing"


def test_every_order_in_the_published_model_is_read(shared: Path) -> None:
    model = json.loads(
        (published(shared) / "spapi_models/models/orders-api-model/orders_2026-01-01.json").read_text("utf-8")
    )
    bodies = [body for body in walk(model) if isinstance(body, dict) and isinstance(body.get("orderId"), str)]
    bodies = [body for body in bodies if "orderItems" in body]
    assert bodies
    for body in bodies:
        assert all(line.cancelled + line.sent <= line.ordered for line in read_order(body).lines)


def walk(value: Any) -> Iterator[Any]:
    yield value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from walk(part)


def test_the_published_listings_and_feed_reports_are_read(shared: Path) -> None:
    one = read_item(json.loads((published(shared) / "getListingsItem.200.json").read_text()))
    assert (one.sku, one.shows, one.by_amazon, one.product_type) == ("GM-ZDPI-9B4E", 100, False, "LUGGAGE")
    found = json.loads((published(shared) / "searchListingsItems.200.json").read_text("utf-8"))
    assert [read_item(item).sku for item in found["items"]]
    report = (published(shared) / "listings-feed-processing-report-v2.example.json").read_bytes()
    assert {(r.ref.listing, r.outcome) for r in read_feed_report(report)} == {
        ("My-SKU-B", Outcome.REFUSED), ("My-SKU-C", Outcome.REFUSED),
    }  # fmt: skip


def test_the_published_notifications_say_where_to_look(shared: Path) -> None:
    said = {}
    for path in sorted((published(shared) / "notifications").glob("*.json")):
        body = json.loads(path.read_text())
        of_a_pipe = {"messageId": "1", "receiptHandle": "2", "body": json.dumps(body), "eventSource": "aws:sqs"}
        for sent in (body, {"detail-type": "ORDER_CHANGE", "source": "aws.partner", "detail": body}, of_a_pipe):
            request = RawRequest("POST", "", {}, orjson.dumps(sent))
            understood = hooks.body_of(request)
            assert understood is not None and hooks.sent_at(understood) is not None
            assert hooks.id_of(understood) == hooks.get(body, "NotificationMetadata", "NotificationId")
            for seller in ("A3TH9S8BH6GOGM", "AXXXXXXXXXXXXX"):
                signal = hooks.read_signal(understood, seller)
                if signal is not None:
                    said[path.name] = (signal.kind, signal.id, signal.figure.shows if signal.figure else None)
    assert said == {
        "OrderChangeNotification.0.json": (SignalKind.ORDER, "903-8868176-2219830", None),
        "ListingsItemMfnQuantityChange.0.json": (SignalKind.LISTING, "NLS-SHOES-03", 99),
        "FeedProcessingFinishedNotification.0.json": (SignalKind.OTHER, "53347018456", None),
        "FeedProcessingFinishedNotification.1.json": (SignalKind.OTHER, "53347018456", None),
    }


# returns --------------------------------------------------------------------------------------------------------

RETURNS = (
    "Order ID\tReturn request date\tReturn request status\tAmazon RMA ID\tMerchant SKU\tReturn quantity\tReason\n"
    "1-2-3\t02-Mar-2026\tApproved\tD1\tMUG\t1\tNot needed\n"
    "1-2-3\t03-Mar-2026\tCompleted\tD2\tMUG\t1\tBroken\n"
    "1-2-3\t03-Mar-2026\tDenied\tD3\tMUG\t1\tLate\n"
    "4-5-6\t03-Mar-2026\tApproved\tD4\tCUP\tmany\tOdd\n"
)


def test_O5_the_report_of_returns_is_read_row_by_row() -> None:
    assert read_returns(RETURNS.encode()) == {"1-2-3": {"D1 MUG": ("MUG", 1), "D2 MUG": ("MUG", 1)}}
    assert read_returns(b"") == read_returns(b"what\tis this\n1\t2\n") == {}
    order = with_returns(read_order(an_order("SHIPPED", 2, 2, 0)), {"MUG": 5, "CUP": 1})
    assert [line.returned for line in order.lines] == [2], "at most what was shipped"


def test_O5_what_comes_back_is_told_with_its_order_when_the_report_is_there() -> None:
    with an_amazon() as (running, channel, clock):
        running.shop.add_product("A", "A", 10)
        order = running.shop.buy("A", 3)
        running.shop.ship(order)
        since = clock()
        clock.tick(hours=30)
        running.shop.returns(order, {"A": 1})
        assert not [o for o in channel.orders(clock()).items if o.id == order], "the report is being made"
        clock.tick(minutes=4)
        (again,) = [o for o in channel.orders(clock()).items if o.id == order]
        assert (again.lines[0].returned, again.lines[0].sent) == (1, 3)
        clock.tick(minutes=4)
        assert not [o for o in channel.orders(clock()).items if o.id == order], "once is enough"
        clock.tick(hours=26)
        running.shop.returns(order, {"A": 2})
        for _ in range(3):
            clock.tick(minutes=4)
            found = [o.lines[0].returned for o in channel.orders(clock()).items if o.id == order]
        assert found in ([3], []) and channel.order(order).lines[0].returned == 3, "parts are summed"
        assert channel.orders(since).cursor is None


def test_a_role_that_is_missing_for_returns_stops_nothing(counter: AmazonCounter) -> None:
    denied = Answer(403, body=b'{"errors":[{"code":"Unauthorized","message":"Access denied"}]}')
    with counter.faults(lambda seen: denied if "/reports/" in seen.path else None) as asked:
        for _ in range(3):
            counter.channel.orders(datetime.now(UTC))
    assert len([seen for seen in asked if "/reports/" in seen.path]) == 1
    assert "Access denied" in counter.channel.check().facts["returns"]


# buyers ---------------------------------------------------------------------------------------------------------


def test_no_buyer_is_asked_for_and_none_is_kept(counter: AmazonCounter) -> None:
    counter.add("A", "A", 10)
    with counter.faults(lambda seen: None) as asked:
        counter.channel.order(counter.buy("A", 1))
        list(all_pages(lambda cursor: counter.channel.orders(datetime.now(UTC), cursor)))
    assert asked and not any(word in seen.query for seen in asked for word in ("BUYER", "RECIPIENT"))
    change = {"AmazonOrderId": "1-2-3", "Summary": {"DestinationPostalCode": "48110", "OrderStatus": "Unshipped"}}
    body = {"NotificationType": "ORDER_CHANGE", "Payload": {"OrderChangeNotification": change}}
    delivery = counter.channel.verify(RawRequest("POST", "", {KEY_HEADER: SECRET}, orjson.dumps(body)))
    assert delivery.kept is not None and b"48110" not in delivery.kept
    kept = RawRequest("POST", "", {}, delivery.kept)
    assert [s.id for s in counter.channel.signals(kept)] == ["1-2-3"], "what is kept says the same"


# listings -------------------------------------------------------------------------------------------------------


def test_what_amazon_fulfils_is_shown_and_never_pushed(counter: AmazonCounter) -> None:
    counter.shop.add_product("F", "By Amazon", fba=5)
    counter.add("OWN", "By the seller", 4)
    listing = counter.listing("F")
    assert (listing.pushable, listing.shows) == (False, 5) and "FBA" in listing.why_not
    assert (counter.listing("OWN").pushable, counter.listing("OWN").shows) == (True, 4)
    denied = Answer(403, body=b'{"errors":[{"code":"Unauthorized","message":"Access denied"}]}')
    with counter.faults(lambda seen: denied if "/fba/" in seen.path else None):
        assert counter.listing("F").shows is None, "without that role it is shown without its figure"
    assert counter.channel.figures([listing.ref])[0].shows is None


def test_skus_that_a_list_or_a_path_would_tear_apart(counter: AmazonCounter) -> None:
    for sku in ("a,b", "x/y", "100%", "p?q#r", "a+b c"):
        counter.add(sku, sku, 3)
        target = counter.target(sku, 4, expected=3)
        assert counter.channel.push([target])[0].outcome is Outcome.APPLIED, sku
        assert counter.figure(sku) == 4


def test_a_catalogue_beyond_the_search_comes_from_its_report(counter: AmazonCounter) -> None:
    counter.shop.seed(())
    with counter.shop.store.transaction():
        for number in range(1010):
            counter.add(f"R-{number:04}", f"Thing {number}", number % 7)
    counter.shop.pace = replace(Pace.at_once(), feed_waits=timedelta(hours=1))
    with pytest.raises(RateLimited, match="making the list") as asked:
        counter.channel.listings()
    assert asked.value.retry_after
    counter.shop.pace = Pace.at_once()
    counter.shop.store._db.execute("UPDATE job SET starts = ?, ends = ?", ["2000-01-01T00:00:00.000000Z"] * 2)
    found = {x.sku: x for x in all_pages(counter.channel.listings)}
    assert len(found) == 1010 and found["R-0005"].shows == 5 and found["R-0005"].title == "Thing 5"


def test_a_report_in_another_encoding_or_language() -> None:
    rows = "item-name\tseller-sku\tquantity\nGröße\tÜ-1\t3\nGröße\tÜ-1\t3\nZwei\t0012\t\n"
    assert read_report(rows.encode("cp1252")) == read_report(rows.encode()) == ["Ü-1", "0012"]
    japanese = "商品名\t出品者SKU\t数量\nマグ\tM-1\t3\n"
    assert read_report(japanese.encode("cp932")) == read_report(japanese.encode()) == ["M-1"]
    with pytest.raises(ChannelRefused, match="seller-sku"):
        read_report(b"name\tprice\nMug\t3\n")


# pushing: accepted is not applied -------------------------------------------------------------------------------


@contextmanager
def an_amazon(**how: Any) -> Iterator[tuple[Running, Amazon, Clock]]:
    """A local Amazon at its own pace, on a clock that the test turns."""
    clock = Clock()
    with serve(None, clock=clock, **how) as running:
        channel = adapter(running, clock=clock)
        try:
            yield running, channel, clock
        finally:
            channel.close()


def test_accepted_is_applied_when_it_is_read_back() -> None:
    with an_amazon() as (running, channel, clock):
        running.shop.add_product("A", "A", 10)
        (result,) = channel.push([Target(Ref("A"), 7, 10, "k")])
        assert (result.outcome, running.shop.figure("A")) == (Outcome.ACCEPTED, 10)
        assert channel.results(result.job) is None, "still running"
        clock.tick(seconds=10)
        (after,) = channel.results(result.job) or ()
        assert (after.outcome, after.actual, after.ref) == (Outcome.APPLIED, 7, Ref("A"))


def test_accepted_and_not_shown_for_long_is_unknown() -> None:
    with an_amazon(pace=replace(Pace(), listing=timedelta(days=1))) as (running, channel, clock):
        running.shop.add_product("A", "A", 10)
        (result,) = channel.push([Target(Ref("A"), 7, 10, "k")])
        clock.tick(seconds=PATCH_PATIENCE.total_seconds() + 1)
        (after,) = channel.results(result.job) or ()
        assert after.outcome is Outcome.UNKNOWN and "accepted 7 and shows 10" in after.why


def test_a_figure_that_was_overtaken_is_looked_at_after_a_minute() -> None:
    with an_amazon(pace=replace(Pace(), listing=timedelta(days=1))) as (running, channel, clock):
        running.shop.add_product("A", "A", 10)
        (result,) = channel.push([Target(Ref("A"), 7, 10, "k")])
        running.shop.set_figure("A", 5)
        assert channel.results(result.job) is None, "it may be on its way"
        clock.tick(seconds=90)
        (after,) = channel.results(result.job) or ()
        assert after.outcome is Outcome.UNKNOWN


def test_invalid_is_final_and_figures_that_amazon_does_not_take_are_not_sent(counter: AmazonCounter) -> None:
    counter.add("A", "A", 1)
    with counter.faults(lambda seen: None) as asked:
        bad, low, good, twice = counter.channel.push(
            [
                Target(Ref("NO-SUCH"), 3, 1, "a"), Target(Ref("A"), -1, 1, "b"), Target(Ref("A"), 4, 1, "c"),
                Target(Ref("A"), 5, 1, "d"),
            ]
        )  # fmt: skip
    assert bad.outcome is Outcome.REFUSED and bad.why.startswith("Amazon says: ")
    assert low.outcome is Outcome.REFUSED and "0 to 999,999,999" in low.why
    assert sum(counter.is_write(seen) for seen in asked) == 2
    assert (good.outcome, twice.outcome, counter.figure("A")) == (Outcome.APPLIED, Outcome.RETRY, 4)


def test_handling_time_and_restock_date_stay_as_they_were(counter: AmazonCounter) -> None:
    counter.add("A", "A", 1)
    with counter.faults(lambda seen: None) as asked:
        counter.channel.push([counter.target("A", 5)])
    (sent,) = [json.loads(seen.body) for seen in asked if seen.method == "PATCH"]
    (change,) = sent["patches"]
    assert (change["op"], change["path"]) == ("merge", "/attributes/fulfillment_availability")
    assert change["value"] == [{"fulfillment_channel_code": "DEFAULT", "quantity": 5}]


def test_an_amazon_that_is_away_is_not_asked_once_a_listing() -> None:
    nobody = Amazon("amazon", "A1", ["M"], client_id="c", client_secret="s", refresh_token="r", address="http://127.0.0.1:1",
                    shelf=KeptToken())  # fmt: skip
    results = nobody.push([Target(Ref(f"S{n}"), 1, 0, str(n)) for n in range(20)])
    assert {r.outcome for r in results} == {Outcome.RETRY}
    nobody.close()


class KeptToken:
    """A shelf with a token that is good for a while."""

    def __init__(self) -> None:
        self.token: Token | None = Token("Atza|kept", datetime.now(UTC) + timedelta(days=999))
        self.stored: list[str] = []

    def load(self, seed: str) -> Token | None:
        return self.token

    def store(self, seed: str, token: Token) -> None:
        self.token = token
        self.stored.append(token.value)


def many(running: Running, count: int) -> list[Target]:
    with running.shop.store.transaction():
        for number in range(count):
            running.shop.add_product(f"B-{number:04}", f"Thing {number}", 10)
    return [Target(Ref(f"B-{number:04}"), 3, 10, str(number)) for number in range(count)]


def test_many_go_in_one_feed_where_that_is_sooner() -> None:
    with an_amazon() as (running, channel, clock):
        targets = many(running, 900)
        targets.insert(7, Target(Ref("NO-SUCH"), 3, 10, "x"))
        calls: list[Seen] = []
        running.middleware = lambda seen: calls.append(seen)
        results = channel.push(targets)
        running.middleware = None
        assert [r.ref for r in results] == [t.ref for t in targets]
        assert {r.outcome for r in results} == {Outcome.ACCEPTED} and len({r.job for r in results}) == 1
        assert not [seen for seen in calls if seen.method == "PATCH"]
        assert len([seen for seen in calls if "/auth/" not in seen.path]) == 3, "a place, the document, the feed"
        job = results[0].job
        assert channel.results(job) is None
        clock.tick(seconds=20)
        assert channel.results(job) is None, "done, and about to show"
        clock.tick(minutes=2)
        (refused,) = channel.results(job) or ()
        assert (refused.ref.listing, refused.outcome) == ("NO-SUCH", Outcome.REFUSED)
        assert running.shop.figure("B-0000") == running.shop.figure("B-0899") == 3
        few = channel.push([Target(Ref(f"B-{n:04}"), 4, 3, f"again {n}") for n in range(3)])
        assert {json.loads(r.job)[0] for r in few} == {"patch"}


def test_a_feed_that_amazon_did_not_take_says_so_and_one_that_never_ends_is_given_up() -> None:
    with an_amazon() as (running, channel, clock):
        job = channel.push(many(running, 800))[0].job
        body = {"feedId": "1", "feedType": "JSON_LISTINGS_FEED", "createdTime": AT, "processingStatus": "FATAL"}
        running.middleware = lambda seen: (
            Answer(200, body=json.dumps(body).encode()) if "/feeds/" in seen.path else None
        )
        with pytest.raises(ChannelRefused, match="FATAL"):
            channel.results(job)
        body["processingStatus"] = "IN_QUEUE"
        assert channel.results(job) is None
        clock.tick(seconds=FEED_PATIENCE.total_seconds() + 1)
        assert channel.results(job) == ()


@pytest.mark.parametrize("path", ["/feeds/2021-06-30/documents", "/feeds/2021-06-30/feeds"])
def test_a_feed_whose_answer_is_lost_is_unknown_only_where_it_may_be_on_its_way(path: str) -> None:
    with an_amazon() as (running, channel, _):
        targets = many(running, 800)
        running.middleware = lambda seen: Drop(applied=True) if seen.path == path else None
        outcomes = {result.outcome for result in channel.push(targets)}
        assert outcomes == {Outcome.UNKNOWN if path.endswith("feeds") else Outcome.RETRY}


# limits and tokens ----------------------------------------------------------------------------------------------


def test_the_list_of_orders_is_read_twenty_times_and_then_when_amazon_allows_it_again() -> None:
    with an_amazon() as (running, channel, clock):
        for _ in range(20):
            channel.orders(clock())
        began = datetime.now(UTC)
        with pytest.raises(RateLimited) as limited:
            channel.orders(clock())
        assert datetime.now(UTC) - began < timedelta(seconds=1), "nobody waits for that"
        assert 170 < (limited.value.retry_after or 0) < 180
        clock.tick(seconds=(limited.value.retry_after or 0) + 1)
        assert channel.orders(clock()).cursor is None
        restarted = adapter(running, clock=clock)
        with pytest.raises(RateLimited) as limited:
            restarted.orders(clock())
        assert (limited.value.retry_after or 0) > 100, "Amazon knows better than a process that has just begun"
        restarted.close()


def test_a_clock_that_is_set_back_makes_nobody_wait_for_it() -> None:
    times = iter([datetime(2026, 3, 2, hour, tzinfo=UTC) for hour in (9, 10, 8, 9)])
    seconds = Steady(lambda: next(times))
    assert [round(b - a) for a, b in pairwise([seconds(), seconds(), seconds(), seconds()])] == [3600, 0, 3600]


def test_an_opening_reads_only_what_is_open(counter: AmazonCounter) -> None:
    counter.add("A", "A", 100)
    waits, sent, off = (counter.buy("A", 1) for _ in range(3))
    unpaid = counter.shop.place([Wanted("A", 1)])
    counter.ship(sent)
    counter.cancel(off)
    found = {order.id: order for order in orders_to_open_with(counter.channel, an_hour_ago())}
    assert waits in found and not {sent, off} & found.keys()
    assert found.keys() <= {waits, unpaid}


def test_times_yet_to_come_are_not_asked_for(counter: AmazonCounter) -> None:
    with counter.faults(lambda seen: None) as asked:
        assert not counter.channel.orders(datetime.now(UTC) + timedelta(hours=1)).items
    assert not asked


def test_a_token_is_fetched_once_and_kept_before_it_is_used(counter: AmazonCounter) -> None:
    shelf = KeptToken()
    shelf.token = None
    channel = adapter(counter.running, shelf=shelf)
    counter.add("A", "A", 1)
    used: list[tuple[str, bool]] = []

    def watch(seen: Seen) -> None:
        token = next((v for k, v in seen.headers.items() if k.lower() == "x-amz-access-token"), None)
        if token is not None:
            used.append((token, token in shelf.stored))

    with counter.faults(watch) as asked, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: channel.figures([Ref("A")]), range(8)))
    assert len([seen for seen in asked if "/auth/" in seen.path]) == len(shelf.stored) == 1
    assert all(kept for _, kept in used)
    again = adapter(counter.running, shelf=shelf)
    with counter.faults(watch) as asked:
        again.figures([Ref("A")])
    assert not [seen for seen in asked if "/auth/" in seen.path], "another start uses what was kept"
    for one in (channel, again):
        one.close()


def test_a_token_that_has_ended_is_renewed_and_the_call_made_again(counter: AmazonCounter) -> None:
    counter.add("A", "A", 1)
    target = counter.target("A", 5)
    counter.shop.tokens.revoke()
    assert counter.channel.push([target])[0].outcome is Outcome.APPLIED
    counter.shop.tokens.revoke()
    assert counter.channel.figures([Ref("A")])[0].shows == 5


def test_a_missing_role_is_said_and_no_new_token_is_tried(counter: AmazonCounter) -> None:
    refusal = {
        "errors": [{"code": "Unauthorized", "message": "Access to requested resource is denied.", "details": ""}]
    }
    denied = Answer(403, {"Content-Type": "application/json"}, json.dumps(refusal).encode())
    counter.channel.listings()
    with counter.faults(lambda seen: denied) as asked, pytest.raises(CredentialsRefused, match="denied"):
        counter.channel.listings()
    assert len(asked) == 1


# several marketplaces -------------------------------------------------------------------------------------------

UK, DE = "A1F83G8C2ARO7P", "A1PA6795UKMFR9"


def test_several_marketplaces_are_one_listing_with_the_highest_figure() -> None:
    with an_amazon(marketplaces=(UK, DE), pace=Pace.at_once()) as (running, channel, clock):
        running.shop.add_product("BOTH", "Both", 10)
        running.shop.add_product("HOME", "Only at home", 4, marketplaces=(UK,))
        running.shop.add_product("THERE", "Only there", 6, marketplaces=(DE,))
        found = {x.sku: x.shows for x in all_pages(channel.listings)}
        assert found == {"BOTH": 10, "HOME": 4, "THERE": 6}
        assert [f.shows for f in channel.figures([Ref("THERE"), Ref("BOTH")])] == [6, 10]
        results = channel.push([Target(Ref(sku), 3, shows, sku) for sku, shows in found.items()])
        assert {r.outcome for r in results} == {Outcome.APPLIED}
        assert {sku: running.shop.figure(sku) for sku in found} == dict.fromkeys(found, 3)
        order = channel.order(running.shop.buy("BOTH", 1))
        assert (order.lines[0].taken, order.lines[0].taken_at) == (1, None), "of which figure, a look tells"
        health = channel.check()
        assert health.facts["figures of several marketplaces"] == "the same wherever looked at"


def test_P3_where_marketplaces_keep_figures_of_their_own_lowering_raises_none_of_them(counter: AmazonCounter) -> None:
    """Germany sold one that nobody has told us: 7 there, 10 here. Lowering to 8 must not make it 8 there."""
    channel = adapter(counter.running)
    channel.marketplaces = (UK, DE)
    shown, written = {UK: 10, DE: 7}, []

    def amazon(seen: Seen) -> Answer | None:
        if "/listings/" not in seen.path:
            return None
        place = next(part for part in (UK, DE) if part in seen.query)
        if seen.method == "PATCH":
            written.append(seen.query.split("marketplaceIds=")[1].split("&")[0])
            for one in (UK, DE):
                if one in seen.query:
                    shown[one] = json.loads(seen.body)["patches"][0]["value"][0]["quantity"]
            return Answer(200, body=b'{"sku":"A","status":"ACCEPTED","submissionId":"1"}')
        item = {
            "sku": "A",
            "fulfillmentAvailability": [{"fulfillmentChannelCode": "DEFAULT", "quantity": shown[place]}],
        }
        return Answer(200, body=json.dumps({"numberOfResults": 1, "items": [item]}).encode())

    with counter.faults(amazon):
        assert channel.figures([Ref("A")])[0].shows == 10
        channel.push([Target(Ref("A"), 8, 10, "k")])
        assert (shown, written) == ({UK: 8, DE: 7}, [UK])
        channel.push([Target(Ref("A"), 9, 8, "k")])
        assert shown == {UK: 9, DE: 9}, "a raise is for all"
    channel.close()


# notifications --------------------------------------------------------------------------------------------------


def test_where_no_aws_is_given_hooks_say_what_to_do(counter: AmazonCounter) -> None:
    without = adapter(counter.running, aws_account="", aws_region="")
    assert all("aws_account_id" in hook.state for hook in without.ensure_hooks("https://here.example"))
    assert without.check().facts["notifications"].startswith("none")
    without.close()


def test_a_subscription_that_amazon_dropped_is_found_and_made_again(counter: AmazonCounter) -> None:
    counter.channel.ensure_hooks("https://here.example")
    assert counter.channel.check().facts["notifications"] == "3 of 3 subscribed"
    counter.shop.store._db.execute("DELETE FROM subscription WHERE type = 'ORDER_CHANGE'")
    assert counter.channel.check().facts["notifications"] == "2 of 3 subscribed"
    assert sorted(h.state for h in counter.channel.ensure_hooks("https://here.example")) == ["kept", "kept", "made"]


def test_each_type_goes_where_amazon_sends_it(counter: AmazonCounter) -> None:
    """Amazon refuses orders and feeds for EventBridge, and figures for a queue."""
    queue = SqsQueue("amazon", "https://sqs.eu-west-1.amazonaws.com/123456789012/orders", "eu-west-1", "id", "secret")
    assert queue.arn == "arn:aws:sqs:eu-west-1:123456789012:orders"
    queue.arn = counter.shop.queue.arn
    both = adapter(counter.running, queue=queue)
    assert {hook.state for hook in both.ensure_hooks("https://here.example")} == {"made"}
    rows = counter.shop.store._db.execute(
        "SELECT s.type, d.resource FROM subscription s JOIN destination d ON d.id = s.destination"
    ).fetchall()
    assert {row["type"]: "sqs" if "arn:aws:sqs" in row["resource"] else "eventBridge" for row in rows} == {
        "ORDER_CHANGE": "sqs", "FEED_PROCESSING_FINISHED": "sqs", "LISTINGS_ITEM_MFN_QUANTITY_CHANGE": "eventBridge",
    }  # fmt: skip
    assert {hook.state for hook in both.ensure_hooks("https://here.example")} == {"kept"}
    refusal = {"code": "InvalidInput", "message": "Request has invalid parameters.", "details": "does not support it"}
    counter.shop.store._db.execute("DELETE FROM subscription")
    refused = Answer(400, body=json.dumps({"errors": [refusal]}).encode())

    def no_feeds(seen: Seen) -> Answer | None:
        return refused if seen.method == "POST" and seen.path.endswith("/FEED_PROCESSING_FINISHED") else None

    with counter.faults(no_feeds):
        states = {hook.topic: hook.state for hook in both.ensure_hooks("https://here.example")}
    assert states.pop("FEED_PROCESSING_FINISHED").endswith("Request has invalid parameters. does not support it")
    assert set(states.values()) == {"made"}
    both.close()


def test_another_sellers_notification_says_nothing(counter: AmazonCounter) -> None:
    about = {"SellerId": "SOMEBODY", "Sku": "A", "Quantity": 3, "FulfillmentChannelCode": "DEFAULT"}
    body = {"NotificationType": "LISTINGS_ITEM_MFN_QUANTITY_CHANGE", "Payload": about}
    assert counter.channel.signals(RawRequest("POST", "", {}, orjson.dumps(body))) == ()


def test_notifications_wait_in_a_queue_until_they_are_stored(counter: AmazonCounter, tmp_path: Path) -> None:
    keys = counter.running.credentials
    queue = SqsQueue("amazon", keys["sqs_queue"], "eu-west-1", keys["aws_access_key_id"], keys["aws_secret_access_key"])
    queue.arn = counter.shop.queue.arn
    channel = adapter(counter.running, aws_account="", aws_region="", queue=queue)
    counter.add("A", "A", 100)
    assert {hook.state for hook in channel.ensure_hooks("https://here.example")} == {"made"}
    bought = {counter.buy("A", 1) for _ in range(12)}
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    desk = Desk(
        ledger, {"amazon": channel}, Settings(tmp_path / "config.toml", SheetSettings(base_url="http://127.0.0.1:1"))
    )
    lost = Drop(applied=False)
    counter.running.middleware = lambda seen: lost if b"Entries" in seen.body else None  # taking off fails
    assert 0 < pull(desk, channel, None) <= 10
    counter.running.middleware = None
    counter.shop.store._db.execute("UPDATE message SET due = '2000' WHERE source = 'sqs'")  # they come again
    pull(desk, channel, None)
    assert pull(desk, channel, None) == 0
    with ledger.read() as view:
        stored = view.deliveries("amazon")
    orders = [
        s.id for d in stored for s in channel.signals(RawRequest("POST", "", d.headers, d.body)) if s.kind == "order"
    ]
    assert set(orders) == bought and len(stored) == len({d.id for d in stored})
    assert channel.check().facts["messages waiting in the queue"] == "0"
    channel.close()
    ledger.close()


def test_a_queue_that_lets_us_not_in_says_what_to_do_and_stops_nothing(counter: AmazonCounter, tmp_path: Path) -> None:
    keys = counter.running.credentials
    queue = SqsQueue("amazon", keys["sqs_queue"], "eu-west-1", keys["aws_access_key_id"], "wrong")
    channel = adapter(counter.running, queue=queue)
    with pytest.raises(CredentialsRefused, match="aws_secret_access_key"):
        channel.pull()
    assert any("aws_secret_access_key" in problem for problem in channel.check().problems)
    channel.close()
