"""The local Amazon through its own door: HTTP as a seller's application speaks it, with the clock turned by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests

from sheets_sync.sandbox import shops
from sheets_sync.sandbox.shops import Running, Seed
from sheets_sync.sandbox.shops.amazon import LocalShop, Pace, Unknowns, Wanted
from tests.amazon_models import Checked, operations
from tests.hands import Clock

UK, DE = "A1F83G8C2ARO7P", "A1PA6795UKMFR9"
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

    def item(self, sku: str, **params: Any) -> Any:
        path = f"/listings/2021-08-01/items/{self.seller}/{quote(sku, safe='')}"
        return self.get(path, marketplaceIds=UK, includedData="summaries,fulfillmentAvailability,attributes", **params)

    def patch(self, sku: str, quantity: object, op: str = "merge", **params: Any) -> Any:
        value = [{"fulfillment_channel_code": "DEFAULT", "quantity": quantity}]
        body = {
            "productType": "HOME",
            "patches": [{"op": op, "path": "/attributes/fulfillment_availability", "value": value}],
        }
        path = f"/listings/2021-08-01/items/{self.seller}/{quote(sku, safe='')}"
        answer = self.ask("PATCH", path, body, marketplaceIds=UK, **params)
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
