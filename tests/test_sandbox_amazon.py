"""The local Amazon through its own door: HTTP as a seller's application speaks it, with the clock turned by hand."""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
import requests

from sheets_sync.sandbox import shops
from sheets_sync.sandbox.shops import Running, Seed
from sheets_sync.sandbox.shops._common import Answer, Drop
from sheets_sync.sandbox.shops.amazon import LocalShop, Pace, Unknowns, Wanted, serve
from sheets_sync.sandbox.shops.amazon.aws import signature
from sheets_sync.sandbox.shops.amazon.notices import VERSIONS
from tests.amazon_models import Checked, operations
from tests.contract_channel import Receiver
from tests.hands import Clock

UK, DE = "A1F83G8C2ARO7P", "A1PA6795UKMFR9"
SCHEMAS = {
    "ORDER_CHANGE": "OrderChangeNotification",
    "LISTINGS_ITEM_MFN_QUANTITY_CHANGE": "ListingsItemMfnQuantityChange",
    "FEED_PROCESSING_FINISHED": "FeedProcessingFinishedNotification",
}
NOTIFICATIONS = "conformance/channels/amazon/spapi_models/schemas/notifications"
FEEDS = "conformance/channels/amazon/spapi_models/schemas/feeds"
AWKWARD = ("00123", "1E5", "A/B %2F+&?#ü 1", "-", "=1+1")


class Application:
    """A seller's application, as plain as can be."""

    def __init__(self, running: Running, clock: Clock) -> None:
        self.running, self.clock = running, clock
        self.shop: LocalShop = running.shop
        self.seller = running.credentials["seller_id"]
        self.session = requests.Session()
        self.session.headers["x-amz-access-token"] = self.token()["access_token"]

    def token(self, **fields: str) -> dict[str, Any]:
        known = {k: self.running.credentials[k] for k in ("client_id", "client_secret", "refresh_token")}
        given = {"grant_type": "refresh_token", **known, **fields}
        answer: dict[str, Any] = requests.post(f"{self.running.base_url}/auth/o2/token", data=given, timeout=10).json()
        return answer

    def ask(self, method: str, path: str, json: Any = None, **params: Any) -> requests.Response:
        return self.session.request(method, self.running.base_url + path, json=json, params=params, timeout=10)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.ask("GET", path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def path(self, sku: str) -> str:
        return f"/listings/2021-08-01/items/{self.seller}/{quote(sku, safe='')}"

    def item(self, sku: str, **params: Any) -> Any:
        return self.get(
            self.path(sku), marketplaceIds=UK, includedData="summaries,fulfillmentAvailability,attributes", **params
        )

    def patch(self, sku: str, quantity: object, op: str = "merge", **params: Any) -> Any:
        value = [{"fulfillment_channel_code": "DEFAULT", "quantity": quantity}]
        body = {
            "productType": "HOME",
            "patches": [{"op": op, "path": "/attributes/fulfillment_availability", "value": value}],
        }
        answer = self.ask("PATCH", self.path(sku), body, marketplaceIds=UK, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def search(self, **params: Any) -> Any:
        asked = {"marketplaceIds": UK, "includedData": "summaries,fulfillmentAvailability,productTypes", **params}
        return self.get(f"/listings/2021-08-01/items/{self.seller}", **asked)

    def order(self, order: str) -> Any:
        included = "FULFILLMENT,CANCELLATION,PACKAGES"
        return self.get(f"/orders/2026-01-01/orders/{order}", includedData=included)["order"]

    def orders(self, **params: Any) -> Any:
        asked = {"lastUpdatedAfter": "2026-01-01T00:00:00Z", "includedData": "FULFILLMENT,CANCELLATION", **params}
        return self.get("/orders/2026-01-01/orders", **asked)

    def units(self, order: str) -> tuple[str, int, int, int]:
        """Status; ordered, fulfilled, unfulfilled of its one line."""
        found = self.order(order)
        (item,) = found["orderItems"]
        done = item["fulfillment"]
        return (
            found["fulfillment"]["fulfillmentStatus"],
            item["quantityOrdered"],
            done["quantityFulfilled"],
            done["quantityUnfulfilled"],
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def amazon(clock: Clock, request: pytest.FixtureRequest) -> Iterator[Application]:
    """Every request and answer is held to Amazon's models, where they are there."""
    seeds = [Seed("00123", "Mug, blue", 10), Seed("1E5", "Scarf", 20)]
    with shops.serve("amazon", None, seed=seeds, clock=clock) as running:
        running.shop.pace = Pace.at_once()
        checked = Checked(running.faults.app, request.getfixturevalue("amazon_operations"))
        running.faults.app = checked
        yield Application(running, clock)
    assert not checked.problems, "\n".join(checked.problems)


@pytest.fixture(scope="session")
def amazon_operations(shared: Any) -> list[Any]:
    return operations(shared)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def test_a_refresh_token_opens_for_an_hour(amazon: Application, clock: Clock) -> None:
    assert amazon.ask("GET", "/orders/2026-01-01/orders/1").status_code == 404
    clock.tick(minutes=61)
    closed = amazon.ask("GET", "/orders/2026-01-01/orders/1")
    assert closed.status_code == 403
    assert closed.json()["errors"][0]["details"] == "The access token you provided has expired."
    assert amazon.token(refresh_token="Atzr|wrong")["error"] == "invalid_grant"
    assert amazon.token(client_secret="wrong")["error"] == "invalid_client"


def test_a_usage_plan_refuses_and_fills_up_again(amazon: Application, clock: Clock) -> None:
    answers = [amazon.ask("GET", "/orders/2026-01-01/orders", lastUpdatedAfter="2026-01-01T00:00:00Z")]
    answers += [amazon.ask("GET", "/orders/2026-01-01/orders", createdAfter="2026-01-01T00:00:00Z") for _ in range(20)]
    assert [a.status_code for a in answers] == [200] * 20 + [429]
    assert answers[0].headers["x-amzn-RateLimit-Limit"] == "0.0056"
    assert answers[-1].json() == {
        "errors": [
            {
                "code": "QuotaExceeded",
                "message": "You exceeded your quota for the requested resource.",
                "details": "",
            }
        ]
    }
    clock.tick(seconds=180)
    assert amazon.orders()["orders"] == []


def test_an_order_takes_stock_at_once_and_goes_through_its_states(amazon: Application, clock: Clock) -> None:
    amazon.shop.pace = Pace(payment=timedelta(minutes=1))
    order = amazon.shop.place([Wanted("00123", 3)])
    assert (amazon.shop.figure("00123"), amazon.units(order)) == (7, ("PENDING", 3, 0, 0))
    clock.tick(minutes=1)
    assert amazon.units(order) == ("UNSHIPPED", 3, 0, 3)
    amazon.shop.ship(order, {"00123": 1})
    assert amazon.units(order) == ("PARTIALLY_SHIPPED", 3, 1, 2)
    amazon.shop.ship(order)
    assert amazon.units(order) == ("SHIPPED", 3, 3, 0)
    assert [p["packageItems"][0]["quantity"] for p in amazon.order(order)["packages"]] == [1, 2]
    amazon.shop.returns(order, {"00123": 2})
    assert (amazon.shop.figure("00123"), amazon.units(order)) == (7, ("SHIPPED", 3, 3, 0))


def test_a_buyer_cancels_within_half_an_hour_and_only_asks_later(amazon: Application, clock: Clock) -> None:
    early, late = amazon.shop.buy("00123", 2), amazon.shop.buy("00123", 3)
    clock.tick(minutes=29)
    amazon.shop.cancel(early)
    assert (amazon.shop.figure("00123"), amazon.units(early)) == (7, ("CANCELLED", 2, 0, 0))
    clock.tick(minutes=1)
    with pytest.raises(Exception, match="can only ask"):
        amazon.shop.cancel(late)
    amazon.shop.ask_to_cancel(late)
    (item,) = amazon.order(late)["orderItems"]
    assert item["cancellation"] == {
        "cancellationRequest": {"requester": "BUYER", "cancelReason": "Changed mind about purchase"}
    }
    assert amazon.units(late) == ("UNSHIPPED", 3, 0, 3)
    amazon.shop.seller_cancels(late, "Buyer Canceled")
    assert (amazon.shop.figure("00123"), amazon.units(late)) == (7, ("CANCELLED", 3, 0, 0))
    (item,) = amazon.order(late)["orderItems"]
    assert item["cancellation"]["cancellationExecution"]["cancelledBy"] == "MERCHANT"


def test_a_patch_is_accepted_and_applied_later(amazon: Application, clock: Clock) -> None:
    amazon.shop.pace = Pace(listing=timedelta(minutes=3))
    assert amazon.patch("00123", 4)["status"] == "ACCEPTED"
    assert amazon.item("00123")["fulfillmentAvailability"] == [{"fulfillmentChannelCode": "DEFAULT", "quantity": 10}]
    clock.tick(minutes=3)
    assert amazon.item("00123")["fulfillmentAvailability"] == [{"fulfillmentChannelCode": "DEFAULT", "quantity": 4}]
    refused = amazon.patch("00123", -1)
    assert (refused["status"], refused["issues"][0]["attributeNames"]) == ("INVALID", ["fulfillment_availability"])
    assert amazon.patch("none", 1)["status"] == "INVALID"
    assert amazon.patch("00123", 9, mode="VALIDATION_PREVIEW")["status"] == "VALID"
    clock.tick(minutes=3)
    assert amazon.shop.figure("00123") == 4


@pytest.mark.parametrize("sku", AWKWARD)
def test_a_sku_is_text_on_the_way_there_and_back(amazon: Application, sku: str) -> None:
    if sku not in ("00123", "1E5"):
        amazon.shop.add_product(sku, "Odd", 3)
    assert amazon.item(sku)["sku"] == sku
    amazon.patch(sku, 5)
    assert amazon.shop.figure(sku) == 5
    assert [i["sku"] for i in amazon.search(identifiers=sku, identifiersType="SKU")["items"]] == [sku]


def test_a_search_goes_page_by_page(amazon: Application) -> None:
    for i in range(45):
        amazon.shop.add_product(f"P{i:02}", f"Product {i}", i)
    found, token = [], None
    while True:
        page = amazon.search(pageSize=20, **({"pageToken": token} if token else {}))
        found += [item["sku"] for item in page["items"]]
        if (token := page["pagination"].get("nextToken")) is None:
            break
    assert (len(found), len(set(found)), page["numberOfResults"]) == (47, 47, 47)


def test_the_list_of_orders_runs_late_and_says_so(amazon: Application, clock: Clock) -> None:
    amazon.shop.pace = Pace(order_list=timedelta(minutes=2), payment=timedelta(0))
    order = amazon.shop.buy("00123")
    assert amazon.orders()["orders"] == []
    assert amazon.order(order)["orderId"] == order
    clock.tick(minutes=2)
    answer = amazon.orders(fulfilledBy="MERCHANT", marketplaceIds=UK)
    assert [o["orderId"] for o in answer["orders"]] == [order]
    assert answer["lastUpdatedBefore"].startswith(f"{clock() - timedelta(minutes=2):%Y-%m-%dT%H:%M}")


def test_orders_come_in_pages_whose_end_does_not_move(amazon: Application) -> None:
    orders = [amazon.shop.buy("1E5") for _ in range(5)]
    first = amazon.orders(maxResultsPerPage=2)
    late = amazon.shop.buy("1E5")
    found = [o["orderId"] for o in first["orders"]]
    token = first["pagination"]["nextToken"]
    while token:
        page = amazon.orders(maxResultsPerPage=2, paginationToken=token)
        found += [o["orderId"] for o in page["orders"]]
        token = page.get("pagination", {}).get("nextToken")
    assert found == orders and late not in found


def test_what_nobody_knows_can_be_either(amazon: Application) -> None:
    amazon.shop.unknowns = Unknowns(
        seller_cancellation_gives_back=True, cancelled_orders_nothing=True, pending_unfulfilled="absent"
    )
    kept, back = amazon.shop.buy("00123", 1), amazon.shop.buy("00123", 2)
    amazon.shop.seller_cancels(kept, "No Inventory")
    amazon.shop.seller_cancels(back, "Buyer Canceled")
    assert (amazon.shop.figure("00123"), amazon.units(back)) == (9, ("CANCELLED", 0, 0, 0))


def test_what_amazon_ships_moves_nothing_of_the_sellers(amazon: Application, clock: Clock) -> None:
    amazon.shop.add_product("F", "In their warehouse", fba=8)
    order = amazon.shop.buy("F", 2)
    assert amazon.item("F")["fulfillmentAvailability"] == [{"fulfillmentChannelCode": "AMAZON_EU"}]
    assert amazon.order(order)["fulfillment"]["fulfilledBy"] == "AMAZON"
    clock.tick(hours=2)
    amazon.session.headers["x-amz-access-token"] = amazon.token()["access_token"]
    assert amazon.units(order) == ("SHIPPED", 2, 2, 0)
    asked = {"granularityType": "Marketplace", "granularityId": UK, "marketplaceIds": UK, "details": "true"}
    (summary,) = amazon.get("/fba/inventory/v1/summaries", **asked)["payload"]["inventorySummaries"]
    assert (summary["sellerSku"], summary["inventoryDetails"]["fulfillableQuantity"]) == ("F", 6)


# feeds and reports ----------------------------------------------------------------------------------------------


def handed_in(amazon: Application, messages: list[Any], **header: Any) -> str:
    """A feed of listings; its id."""
    document = amazon.ask("POST", "/feeds/2021-06-30/documents", {"contentType": "application/json"}).json()
    feed = {"header": {"sellerId": amazon.seller, "version": "2.0", **header}, "messages": messages}
    put = requests.put(document["url"], data=json.dumps(feed), headers={"Content-Type": "application/json"}, timeout=10)
    assert put.status_code == 200, put.text
    asked = {
        "feedType": "JSON_LISTINGS_FEED",
        "marketplaceIds": [UK],
        "inputFeedDocumentId": document["feedDocumentId"],
    }
    answer = amazon.ask("POST", "/feeds/2021-06-30/feeds", asked)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["feedId"])


def message(number: int, sku: str, quantity: object, **more: Any) -> dict[str, Any]:
    value = [{"fulfillment_channel_code": "DEFAULT", "quantity": quantity}]
    patch = {"op": "merge", "path": "/attributes/fulfillment_availability", "value": value}
    asked = {"messageId": number, "sku": sku, "operationType": "PATCH", "productType": "HOME", "patches": [patch]}
    return {**asked, **more}


def downloaded(described: dict[str, Any]) -> str:
    content = requests.get(described["url"], timeout=10)
    assert content.status_code == 200
    raw = gzip.decompress(content.content) if described.get("compressionAlgorithm") == "GZIP" else content.content
    return raw.decode(content.headers["Content-Type"].partition("charset=")[2])


def processing_report(amazon: Application, feed: str) -> Any:
    found = amazon.get(f"/feeds/2021-06-30/feeds/{feed}")
    return json.loads(downloaded(amazon.get(f"/feeds/2021-06-30/documents/{found['resultFeedDocumentId']}")))


def test_a_feed_waits_works_and_reports(amazon: Application, clock: Clock, shared: Path) -> None:
    amazon.shop.pace = Pace(feed_waits=timedelta(minutes=2), feed_works=timedelta(minutes=5))
    feed = handed_in(amazon, [message(1, "00123", 4), message(2, "1E5", -1), message(3, "none", 1)])
    told = [amazon.get(f"/feeds/2021-06-30/feeds/{feed}")["processingStatus"]]
    for minutes in (2, 5):
        clock.tick(minutes=minutes)
        told.append(amazon.get(f"/feeds/2021-06-30/feeds/{feed}")["processingStatus"])
        assert amazon.shop.figure("00123") == (10 if minutes == 2 else 4)
    assert told == ["IN_QUEUE", "IN_PROGRESS", "DONE"]
    report = processing_report(amazon, feed)
    assert report["summary"] == {
        "errors": 2,
        "warnings": 0,
        "messagesProcessed": 3,
        "messagesAccepted": 1,
        "messagesInvalid": 2,
    }
    assert [(i["messageId"], i["sku"]) for i in report["issues"]] == [(2, "1E5"), (3, "none")]
    jsonschema.validate(
        report, json.loads((shared / f"{FEEDS}/listings-feed-processing-report-schema-v2.json").read_text())
    )


@pytest.mark.parametrize("overtakes", [False, True])
def test_a_feed_and_a_later_patch_of_one_sku(amazon: Application, clock: Clock, overtakes: bool) -> None:
    amazon.shop.pace = Pace(feed_waits=timedelta(minutes=2), feed_works=timedelta(0), listing=timedelta(0))
    amazon.shop.unknowns = Unknowns(feeds_overtake=overtakes)
    handed_in(amazon, [message(1, "00123", 4)])
    clock.tick(seconds=1)
    amazon.patch("00123", 7)
    clock.tick(minutes=2)
    assert amazon.shop.figure("00123") == (4 if overtakes else 7)


def test_what_a_feed_cannot_be_is_fatal(amazon: Application) -> None:
    stranger = handed_in(amazon, [message(1, "00123", 4)], sellerId="A-STRANGER")
    assert amazon.get(f"/feeds/2021-06-30/feeds/{stranger}")["processingStatus"] == "FATAL"
    document = amazon.ask("POST", "/feeds/2021-06-30/documents", {"contentType": "text/xml"}).json()
    asked = {"marketplaceIds": [UK], "inputFeedDocumentId": document["feedDocumentId"]}
    early = amazon.ask("POST", "/feeds/2021-06-30/feeds", {"feedType": "POST_INVENTORY_AVAILABILITY_DATA", **asked})
    assert early.status_code == 400
    requests.put(document["url"], data=b"<x/>", headers={"Content-Type": "text/xml"}, timeout=10)
    old = amazon.ask("POST", "/feeds/2021-06-30/feeds", {"feedType": "POST_INVENTORY_AVAILABILITY_DATA", **asked})
    feed = old.json()["feedId"]
    assert amazon.get(f"/feeds/2021-06-30/feeds/{feed}")["processingStatus"] == "FATAL"
    assert amazon.shop.figure("00123") == 10


def test_a_presigned_address_closes_after_five_minutes(amazon: Application, clock: Clock) -> None:
    document = amazon.ask("POST", "/feeds/2021-06-30/documents", {"contentType": "application/json"}).json()
    other = requests.put(document["url"], data=b"{}", headers={"Content-Type": "text/plain"}, timeout=10)
    clock.tick(minutes=6)
    late = requests.put(document["url"], data=b"{}", headers={"Content-Type": "application/json"}, timeout=10)
    assert (other.status_code, late.status_code) == (403, 403)


def table(amazon: Application, type: str) -> list[dict[str, str]]:
    asked = {"reportType": type, "marketplaceIds": [UK]}
    report = amazon.ask("POST", "/reports/2021-06-30/reports", asked).json()["reportId"]
    document = amazon.get(f"/reports/2021-06-30/reports/{report}")["reportDocumentId"]
    text = downloaded(amazon.get(f"/reports/2021-06-30/documents/{document}"))
    header, *rows = [line.split("\t") for line in text.splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.mark.parametrize("charset", ["utf-8", "cp1252"])
def test_the_report_of_all_listings_has_what_a_search_cannot_reach(amazon: Application, charset: str) -> None:
    amazon.shop.unknowns = Unknowns(report_charset=charset)
    amazon.shop.add_product("Ü-1", "Schüssel\tgroß", None, fba=3)
    found = {row["seller-sku"]: row for row in table(amazon, "GET_MERCHANT_LISTINGS_ALL_DATA")}
    assert {sku: (row["quantity"], row["fulfillment-channel"]) for sku, row in found.items()} == {
        "00123": ("10", "DEFAULT"),
        "1E5": ("20", "DEFAULT"),
        "Ü-1": ("", "AMAZON_EU"),
    }
    assert found["Ü-1"]["item-name"] == "Schüssel groß"


def test_only_the_returns_report_tells_of_a_return(amazon: Application, clock: Clock) -> None:
    order = amazon.shop.buy("00123", 3)
    amazon.shop.ship(order)
    before = amazon.order(order)
    clock.tick(minutes=10)
    amazon.shop.returns(order, {"00123": 2})
    (row,) = table(amazon, "GET_FLAT_FILE_RETURNS_DATA_BY_RETURN_DATE")
    assert (row["Order ID"], row["Merchant SKU"], row["Return quantity"]) == (order, "00123", "2")
    assert amazon.order(order) == before


# notifications --------------------------------------------------------------------------------------------------


def grantless(amazon: Application) -> dict[str, str]:
    token = amazon.token(grant_type="client_credentials", scope="sellingpartnerapi::notifications")
    return {"x-amz-access-token": token["access_token"]}


def destination(amazon: Application, specification: dict[str, Any]) -> Any:
    url = f"{amazon.running.base_url}/notifications/v1/destinations"
    asked = {"name": "stock", "resourceSpecification": specification}
    return requests.post(url, json=asked, headers=grantless(amazon), timeout=10).json()["payload"]


def subscribed(amazon: Application, to: str, **more: Any) -> None:
    for kind, version in VERSIONS.items():
        asked = {"payloadVersion": version, "destinationId": to, **more}
        amazon.shop.limits.refill()
        answer = amazon.ask("POST", f"/notifications/v1/subscriptions/{kind}", asked)
        assert answer.status_code == 200, answer.text


EVENT_BRIDGE = {"eventBridge": {"accountId": "123456789012", "region": "eu-west-1"}}


def test_an_order_and_a_figure_are_told_by_http_with_the_sellers_own_key(
    amazon: Application, receiver: Receiver, shared: Path
) -> None:
    amazon.shop.notices.forward(f"{receiver.url}/webhooks/amazon", "the key")
    subscribed(amazon, destination(amazon, EVENT_BRIDGE)["destinationId"])
    order = amazon.shop.buy("00123", 2)
    amazon.shop.ask_to_cancel(order)
    handed_in(amazon, [message(1, "1E5", 3)])
    assert amazon.shop.wait_delivered()
    got = receiver.wait(lambda found: len(found) >= 6)
    assert {r.headers["X-Api-Key"] for r in got} == {"the key"}
    events = [json.loads(r.body) for r in got]
    assert {e["detail-type"] for e in events} == {
        "ORDER_CHANGE",
        "LISTINGS_ITEM_MFN_QUANTITY_CHANGE",
        "FEED_PROCESSING_FINISHED",
    }
    for event in events:
        name = SCHEMAS[event["detail-type"]]
        jsonschema.validate(event["detail"], json.loads((shared / f"{NOTIFICATIONS}/{name}.json").read_text()))
    orders = [e["detail"]["Payload"] for e in events if e["detail-type"] == "ORDER_CHANGE"]
    summaries = [o["OrderChangeNotification"] for o in orders]
    assert [(s["OrderChangeType"], s["Summary"]["OrderStatus"]) for s in summaries] == [
        ("OrderStatusChange", "Pending"),
        ("OrderStatusChange", "Unshipped"),
        ("BuyerRequestedChange", "Unshipped"),
    ]


def test_a_receiver_that_is_down_is_told_later(amazon: Application, receiver: Receiver, clock: Clock) -> None:
    amazon.shop.notices.forward(receiver.url, "k")
    subscribed(amazon, destination(amazon, EVENT_BRIDGE)["destinationId"])
    for figure, answer in ((9, 503), (8, 400)):  # the first is tried again, the second never
        receiver.status = answer
        amazon.shop.set_figure("00123", figure)
        assert amazon.shop.wait_delivered()
    receiver.status = 200
    clock.tick(minutes=1)
    assert amazon.shop.wait_delivered()
    told = [(json.loads(s.body)["detail"]["Payload"]["Quantity"], s.status) for s in amazon.shop.notices.sent]
    assert told == [(9, 503), (8, 400), (9, 200)]


def test_a_filter_keeps_changes_out_and_nothing_is_made_twice(amazon: Application) -> None:
    to = destination(amazon, EVENT_BRIDGE)["destinationId"]
    subscribed(amazon, to, processingDirective={"eventFilter": {
        "eventFilterType": "ORDER_CHANGE", "orderChangeTypes": ["BuyerRequestedChange"],
    }})  # fmt: skip
    amazon.shop.notices.paused = True
    amazon.shop.notices.forward("http://127.0.0.1:9/", "k")
    amazon.shop.ask_to_cancel(amazon.shop.buy("00123"))
    with amazon.shop.store.transaction() as db:
        told = [json.loads(row["body"])["detail-type"] for row in db.execute("SELECT body FROM message")]
    assert told.count("ORDER_CHANGE") == 1
    amazon.shop.limits.refill()
    again = amazon.ask(
        "POST", "/notifications/v1/subscriptions/ORDER_CHANGE", {"payloadVersion": "1.0", "destinationId": to}
    )
    assert again.status_code == 409
    known = amazon.get("/notifications/v1/subscriptions/ORDER_CHANGE")["payload"]
    url = f"{amazon.running.base_url}/notifications/v1/subscriptions/ORDER_CHANGE/{known['subscriptionId']}"
    assert requests.delete(url, headers=grantless(amazon), timeout=10).status_code == 200
    assert amazon.ask("GET", "/notifications/v1/subscriptions/ORDER_CHANGE").status_code == 404


def test_each_type_goes_where_amazons_pages_say_and_a_pipe_hands_the_queue_on(
    amazon: Application, receiver: Receiver
) -> None:
    amazon.shop.unknowns = Unknowns(each_type_to_one_service=True)
    bridge = destination(amazon, EVENT_BRIDGE)["destinationId"]
    queue = destination(amazon, {"sqs": {"arn": amazon.shop.queue.arn}})["destinationId"]
    amazon.shop.notices.forward(receiver.url, "k")
    amazon.shop.notices.pipe(receiver.url, "k")
    path = "/notifications/v1/subscriptions/ORDER_CHANGE"
    wrong = amazon.ask("POST", path, {"payloadVersion": "1.0", "destinationId": bridge})
    assert wrong.status_code == 400
    assert wrong.json()["errors"][0]["details"] == "Notification type ORDER_CHANGE does not support AWS_EVENT_BRIDGE"
    assert amazon.ask("POST", path, {"payloadVersion": "1.0", "destinationId": queue}).status_code == 200
    order = amazon.shop.buy("00123")
    assert amazon.shop.wait_delivered()
    got = [json.loads(r.body) for r in receiver.wait(lambda found: len(found) >= 2)]
    assert {record["eventSource"] for record in got} == {"aws:sqs"}
    notices = [json.loads(record["body"])["Payload"]["OrderChangeNotification"] for record in got]
    assert {notice["AmazonOrderId"] for notice in notices} == {order}
    assert sqs(amazon, "ReceiveMessage").json() == {}


def sqs(amazon: Application, action: str, secret: str = "", **asked: Any) -> requests.Response:
    """As an AWS client signs it."""
    url = amazon.running.credentials["sqs_queue"]
    body = json.dumps({"QueueUrl": url, **asked}).encode()
    headers = {
        "host": url.split("/")[2],
        "x-amz-date": "20260302T090000Z",
        "x-amz-target": f"AmazonSQS.{action}",
    }
    scope = "20260302/eu-west-1/sqs/aws4_request"
    signed = signature(
        "POST",
        "/" + url.split("/", 3)[3],
        "",
        headers,
        body,
        secret or amazon.running.credentials["aws_secret_access_key"],
        scope,
    )
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={amazon.running.credentials['aws_access_key_id']}/{scope},"
        f" SignedHeaders={';'.join(headers)}, Signature={signed}"
    )
    headers["Content-Type"] = "application/x-amz-json-1.0"
    return requests.post(url, data=body, headers=headers, timeout=10)


def test_a_queue_gives_a_message_again_until_it_is_deleted(amazon: Application, clock: Clock) -> None:
    subscribed(amazon, destination(amazon, {"sqs": {"arn": amazon.shop.queue.arn}})["destinationId"])
    amazon.shop.set_figure("00123", 9)
    assert sqs(amazon, "ReceiveMessage", secret="wrong").status_code == 403
    (first,) = sqs(amazon, "ReceiveMessage", VisibilityTimeout=60).json()["Messages"]
    assert json.loads(first["Body"])["Payload"]["Quantity"] == 9
    assert sqs(amazon, "ReceiveMessage").json() == {}
    clock.tick(seconds=61)
    (second,) = sqs(amazon, "ReceiveMessage", MaxNumberOfMessages=10).json()["Messages"]
    assert second["MessageId"] == first["MessageId"]
    entries = [{"Id": "1", "ReceiptHandle": second["ReceiptHandle"]}]
    assert sqs(amazon, "DeleteMessageBatch", Entries=entries).json()["Successful"] == [{"Id": "1"}]
    clock.tick(minutes=5)
    assert sqs(amazon, "ReceiveMessage").json() == {}
    assert sqs(amazon, "SendMessage", MessageBody="x").json()["__type"] == "InvalidAction"


def test_a_signature_is_that_of_the_published_example() -> None:
    headers = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}
    secret, scope = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830/us-east-1/service/aws4_request"
    wanted = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    assert signature("GET", "/", "", headers, b"", secret, scope) == wanted


# more than one marketplace, time, faults, the file ---------------------------------------------------------------


def test_one_figure_stands_in_every_marketplace(clock: Clock) -> None:
    with serve(None, clock=clock, marketplaces=(UK, DE), pace=Pace.at_once()) as running:
        amazon = Application(running, clock)
        amazon.shop.add_product("BOTH", "In both", 5)
        amazon.shop.add_product("UK", "In one", 5, marketplaces=[UK])
        assert [p["marketplace"]["id"] for p in amazon.get("/sellers/v1/marketplaceParticipations")["payload"]] == [
            UK,
            DE,
        ]
        found = {item["sku"]: item for item in amazon.search(marketplaceIds=f"{UK},{DE}")["items"]}
        assert [len(found[sku]["summaries"]) for sku in ("BOTH", "UK")] == [2, 1]
        assert [item["sku"] for item in amazon.search(marketplaceIds=DE)["items"]] == ["BOTH"]
        german = amazon.shop.buy("BOTH", 2, marketplace=DE)
        assert amazon.shop.figure("BOTH") == 3
        assert [o["orderId"] for o in amazon.orders(marketplaceIds=DE)["orders"]] == [german]
        assert amazon.orders(marketplaceIds=UK)["orders"] == []


def test_marketplaces_that_share_no_figure(clock: Clock) -> None:
    apart = Unknowns(a_figure_for_each_marketplace=True)
    with serve(None, clock=clock, marketplaces=(UK, DE), pace=Pace.at_once(), unknowns=apart) as running:
        amazon = Application(running, clock)
        amazon.shop.add_product("BOTH", "In both", 5)
        amazon.patch("BOTH", 3)
        order = amazon.shop.buy("BOTH", 1, marketplace=DE)
        shown = [amazon.search(marketplaceIds=place)["items"][0]["fulfillmentAvailability"] for place in (UK, DE)]
        assert [entry["quantity"] for (entry,) in shown] == [3, 4]
        amazon.shop.cancel(order)
        assert (amazon.shop.figure("BOTH", UK), amazon.shop.figure("BOTH", DE)) == (3, 5)
        amazon.shop.set_figure("BOTH", 9)
        assert (amazon.shop.figure("BOTH", UK), amazon.shop.figure("BOTH", DE)) == (9, 9)


def test_merge_keeps_and_replace_wipes_what_a_patch_does_not_name(amazon: Application) -> None:
    value = [{"fulfillment_channel_code": "DEFAULT", "quantity": 5, "lead_time_to_ship_max_days": 3}]
    patch = {"op": "replace", "path": "/attributes/fulfillment_availability", "value": value}
    asked = {"productType": "HOME", "patches": [patch]}
    assert amazon.ask("PATCH", amazon.path("00123"), asked, marketplaceIds=UK).json()["status"] == "ACCEPTED"
    kept = {"fulfillment_channel_code": "DEFAULT", "lead_time_to_ship_max_days": 3}
    amazon.patch("00123", 6)
    assert amazon.item("00123")["attributes"]["fulfillment_availability"] == [{**kept, "quantity": 6}]
    amazon.patch("00123", 7, op="replace")
    (wiped,) = amazon.item("00123")["attributes"]["fulfillment_availability"]
    assert wiped == {"fulfillment_channel_code": "DEFAULT", "quantity": 7}


def test_a_figure_strands_what_lies_at_amazon(amazon: Application) -> None:
    amazon.shop.add_product("FBA", "Lamp", fba=4)
    amazon.patch("FBA", 9)
    assert amazon.item("FBA")["fulfillmentAvailability"] == [{"fulfillmentChannelCode": "DEFAULT", "quantity": 9}]
    assert amazon.shop.fba_units("FBA") == 4


def test_what_is_never_shipped_is_cancelled_by_amazon(amazon: Application, clock: Clock) -> None:
    order, paid_late = amazon.shop.buy("00123", 2), amazon.shop.place([Wanted("1E5", 1)], preorder=True)
    assert amazon.units(paid_late)[0] == "PENDING_AVAILABILITY"
    clock.tick(days=10)
    amazon.session.headers["x-amz-access-token"] = amazon.token()["access_token"]
    assert (amazon.units(order), amazon.shop.figure("00123")) == (("CANCELLED", 2, 0, 0), 8)
    (item,) = amazon.order(order)["orderItems"]
    assert item["cancellation"]["cancellationExecution"]["cancelledBy"] == "AMAZON"
    amazon.shop.release(paid_late)
    amazon.shop.payment_fails(amazon.shop.place([Wanted("1E5", 1)], preorder=True))
    assert (amazon.units(paid_late)[0], amazon.shop.figure("1E5")) == ("UNSHIPPED", 19)


def test_faults_an_answer_lost_and_one_that_comes_from_elsewhere(amazon: Application) -> None:
    amazon.running.middleware = lambda seen: Drop(applied=True) if seen.method == "PATCH" else None
    with pytest.raises(requests.ConnectionError):
        amazon.patch("00123", 3)
    amazon.running.middleware = lambda seen: Answer(503)
    assert amazon.ask("GET", "/orders/2026-01-01/orders/1").status_code == 503
    amazon.running.middleware = None
    assert amazon.shop.figure("00123") == 3


def test_it_goes_on_from_its_file(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "amazon.db"
    seeds = [
        Seed("00123", "Mug", 10),
        Seed("S", "Small", 4, variant_of="Candle"),
        Seed("L", "Large", 4, variant_of="Candle"),
    ]
    with shops.serve("amazon", file, seed=seeds, clock=clock) as running:
        order, known = running.shop.place([Wanted("00123", 2)]), running.credentials
    clock.tick(minutes=1)
    with shops.serve("amazon", file, seed=seeds, clock=clock) as running:
        amazon = Application(running, clock)
        assert {k: v for k, v in running.credentials.items() if k != "sqs_queue"} == {
            k: v for k, v in known.items() if k != "sqs_queue"
        }
        assert (amazon.shop.figure("00123"), amazon.shop.status(order)) == (8, "UNSHIPPED")
        parent = next(
            i
            for i in amazon.search(includedData="fulfillmentAvailability,relationships")["items"]
            if "parent" in i["sku"]
        )
        assert parent["fulfillmentAvailability"] == []
        assert parent["relationships"][0]["relationships"][0]["childSkus"] == ["L", "S"]


# the storefront -------------------------------------------------------------------------------------------------


class Visitor:
    """Someone with a browser that sends what forms send."""

    def __init__(self, amazon: Application) -> None:
        self.base = amazon.running.base_url

    def page(self, path: str = "orders") -> str:
        return html.unescape(requests.get(f"{self.base}/{path}", timeout=10).text)

    def post(self, path: str, **fields: str) -> requests.Response:
        return requests.post(f"{self.base}/{path}", data=fields, headers={"Origin": self.base}, timeout=10)

    def buttons(self, order: str) -> list[str]:
        row = self.page().split(f'data-order="{order}"')[1].split("</tr>")[0]
        return re.findall(r"<button[^>]*>([^<]+)</button>", row)


def test_the_storefront_lets_you_be_buyer_and_seller(amazon: Application, clock: Clock) -> None:
    amazon.shop.pace = Pace(payment=timedelta(minutes=2))
    visitor = Visitor(amazon)
    assert "Mug, blue" in visitor.page("")
    assert visitor.post("buy", product="00123", units="3").status_code == 200
    (order,) = [row.id for row in amazon.shop.order_rows()]
    assert visitor.buttons(order) == ["Pay now", "Payment fails", "Cancel"]
    clock.tick(minutes=2)
    assert visitor.buttons(order) == ["Cancel", "Ship all", "Ship 1", "Cancel: no inventory"]
    clock.tick(minutes=30)
    assert visitor.post(f"orders/{order}", verb="cancel").status_code == 409
    visitor.post(f"orders/{order}", verb="ask")
    assert "the buyer asks to cancel" in visitor.page()
    visitor.post(f"orders/{order}", verb="ship-one")
    assert visitor.buttons(order) == [
        "Send 1 back",
        "Ship all",
        "Ship 1",
        "Cancel: buyer asked",
        "Cancel: no inventory",
    ]
    visitor.post(f"orders/{order}", verb="cancel-agreed")
    assert "2 cancelled by the seller: Buyer Canceled" in visitor.page()
    visitor.post(f"orders/{order}", verb="return")
    assert (visitor.buttons(order), amazon.shop.figure("00123")) == ([], 7)
    assert visitor.post("buy", product="00123", units="8").status_code == 409


def test_the_page_about_the_local_shops_runs() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "local-shops.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(code, "docs/local-shops.md", "exec"), {})
