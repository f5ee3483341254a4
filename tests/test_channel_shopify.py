"""Shopify: the contract against the local shop, the published schema, recordings, and what only this vendor does."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from graphql import GraphQLSchema, build_schema, parse, validate

from sheets_sync.channels import Channel, Outcome, RawRequest, SignalKind, Target, all_pages
from sheets_sync.channels.http import Limiter, Token
from sheets_sync.channels.shopify import HOOK_TOPICS, Shopify, orders
from sheets_sync.channels.shopify.api import graphql_error
from sheets_sync.channels.shopify.deliveries import read_signals, signed_by
from sheets_sync.channels.shopify.documents import DOCUMENTS
from sheets_sync.channels.shopify.ids import bare
from sheets_sync.channels.shopify.orders import read_body
from sheets_sync.channels.shopify.writes import (
    BUSY_CODE,
    KEY_CODES,
    STALE_CODES,
    WHY,
    batch_key,
    read_set,
    set_variables,
)
from sheets_sync.errors import (
    ChannelRefused,
    CredentialsRefused,
    Malformed,
    OutcomeUnknown,
    RateLimited,
    TooOld,
    Unavailable,
    Unsigned,
)
from sheets_sync.model import OrderLine, OrderState, Ref, Shipment
from sheets_sync.sandbox.shops._common import Answer, Drop, Running, Seed, Seen
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
        return Ref("99999998", "99999999", str(self.running.shop.location_id))

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


# the published schema, and recordings -------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def recordings(shared: Path) -> Path:
    return shared / "conformance" / "channels" / "shopify"


@pytest.fixture(scope="session")
def published(recordings: Path) -> GraphQLSchema:
    return build_schema((recordings / "admin-2026-07.graphql").read_text(), assume_valid=True)


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_document_is_valid_under_the_published_schema(published: GraphQLSchema, name: str) -> None:
    assert validate(published, parse(DOCUMENTS[name])) == []


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_document_is_valid_in_the_local_shop(name: str) -> None:
    assert validate(build_schema(SDL), parse(DOCUMENTS[name])) == []


def test_the_local_shop_has_the_vendors_names_and_types(published: GraphQLSchema) -> None:
    wrong = [
        f"{name}.{field}"
        for name, kind in build_schema(SDL).type_map.items()
        if not name.startswith("__")
        for field, mine in getattr(kind, "fields", {}).items()
        if not _same_field(mine, getattr(published.type_map[name], "fields", {}).get(field))
    ]
    assert wrong == []


def _same_field(mine: Any, theirs: Any) -> bool:
    arguments = getattr(mine, "args", {}).items()
    return (
        theirs is not None
        and str(mine.type) == str(theirs.type)
        and all(
            name in theirs.args and str(theirs.args[name].type) == str(argument.type) for name, argument in arguments
        )
    )


MUTATIONS = {
    "quantities": ("inventorySetQuantities", "InventorySetQuantitiesInput"),
    "setQuantities": ("inventorySetOnHandQuantities", "InventorySetOnHandQuantitiesInput"),
    "changes": ("inventoryAdjustQuantities", "InventoryAdjustQuantitiesInput"),
}

MUTATION = """#graphql
  mutation Recorded(
    $input: INPUT!, $idempotencyKey: String!) {
    NAME(input: $input) @idempotent(key: $idempotencyKey) {
      inventoryAdjustmentGroup {
        id createdAt reason referenceDocumentUri
        changes { name delta quantityAfterChange item { id } location { id name } }
      }
      userErrors { field message code } } }
"""


@dataclass(frozen=True)
class Recorded:
    """One recorded write: what was sent, what came back."""

    where: str
    entries: str
    given: dict[str, Any]
    answer: dict[str, Any]

    @property
    def keyless(self) -> bool:
        said = [e["message"] for e in self.answer.get("errors", [])]
        return any("@idempotent directive is required" in text for text in said)


def exchanges(recorded: Any, where: str = "") -> Iterator[Recorded]:
    """Every write of figures in a recording."""
    if isinstance(recorded, dict):
        given, answer = recorded.get("variables"), recorded.get("response")
        if isinstance(given, dict) and isinstance(answer, dict):
            found = [name for name in MUTATIONS if _sets_figures(given, name)]  # not inventoryMoveQuantities
            yield from (Recorded(where, name, given, answer) for name in found)
        for key, inner in recorded.items():
            if key != "upstreamCalls":
                yield from exchanges(inner, f"{where}/{key}")
    elif isinstance(recorded, list):
        for inner in recorded:
            yield from exchanges(inner, where)


def _sets_figures(given: dict[str, Any], name: str) -> bool:
    return all("locationId" in entry for entry in (given.get("input") or {}).get(name) or [{}])


def every_exchange(recordings: Path) -> list[Recorded]:
    files = sorted((recordings / "admin-2026-04").glob("inventory*.json"))
    return [one for path in files for one in exchanges(json.loads(path.read_text()), path.name)]


def test_the_local_shop_answers_writes_as_the_vendor_was_recorded(recordings: Path, counter: ShopifyCounter) -> None:
    counter.add("A", "A", 0)
    counter.add("B", "B", 0)
    recorded = every_exchange(recordings)
    ours = {sku: counter.listing(sku).ref for sku in "AB"}
    answers = [(one, replay(counter, one, ours), MUTATIONS[one.entries][0]) for one in recorded]
    different = [
        (one.where, _essence(mine, name), _essence(one.answer, name))
        for one, mine, name in answers
        if _essence(mine, name) != _essence(one.answer, name)
    ]
    assert different == []
    assert len(recorded) >= 50 and {one.entries for one in recorded} == set(MUTATIONS)


def replay(counter: ShopifyCounter, one: Recorded, ours: dict[str, Ref]) -> dict[str, Any]:
    """The recorded input on our items and location, whose figures are what the recording expected to find."""
    mine = copy.deepcopy(one.given)
    skus, free = dict[str, str](), iter(ours)
    for entry in mine["input"][one.entries]:
        item, place = entry["inventoryItemId"], entry["locationId"]
        sku = skus[item] if item in skus else skus.setdefault(item, next(free))
        if not _unknown(item):
            entry["inventoryItemId"] = f"gid://shopify/InventoryItem/{ours[sku].parent}"
        if not _unknown(place):
            entry["locationId"] = f"gid://shopify/Location/{ours[sku].place}"
        counter.shop.set_figure(sku, entry.get("changeFromQuantity") or 0)
    name, kind = MUTATIONS[one.entries]
    query = MUTATION.replace("INPUT", kind).replace("NAME", name)
    if one.keyless:
        query = query.replace("@idempotent(key: $idempotencyKey)", "").replace(", $idempotencyKey: String!", "")
    mine["idempotencyKey"] = f"{one.where} {counter.shop.docs.new_id()}"
    return counter.graphql(query, **mine)


def _unknown(id: str) -> bool:
    """Ids that the recordings use for things that do not exist."""
    return id.rpartition("/")[2] in ("42", "515151515151", "999999999999")


def _essence(answer: dict[str, Any], name: str) -> Any:
    """An answer without ids, times, places in the query and what is left in the bucket."""
    errors = [
        (e["message"], e["extensions"]["code"], e.get("path"), e["extensions"].get("problems"))
        for e in answer.get("errors", [])
    ]
    payload = (answer.get("data") or {}).get(name)
    group = None if payload is None else payload["inventoryAdjustmentGroup"]
    changes = None if group is None else [(c["name"], c["delta"]) for c in group["changes"]]
    cost = answer.get("extensions", {}).get("cost", {})
    return errors, payload and payload["userErrors"], changes, bool(cost), cost.get("actualQueryCost")


def test_recorded_answers_are_read_as_what_they_mean(recordings: Path) -> None:
    met: dict[str, Outcome] = {}
    for one in every_exchange(recordings):
        if one.entries != "quantities":
            continue
        error = graphql_error("web", one.answer, write=True)
        if error is not None:
            assert type(error) is ChannelRefused
            continue
        payload = one.answer["data"]["inventorySetQuantities"]
        targets = [_target_of(entry, i) for i, entry in enumerate(one.given["input"]["quantities"])]
        verdict = read_set(targets, payload)
        assert not verdict.left
        code = payload["userErrors"][0]["code"] if payload["userErrors"] else ""
        met[code] = verdict.settled[targets[0].ref].outcome
    assert met[""] is Outcome.APPLIED
    assert {"INVALID_INVENTORY_ITEM", "INVALID_LOCATION", "INVALID_QUANTITY_TOO_HIGH", "INVALID_NAME"} <= met.keys()
    assert {outcome for code, outcome in met.items() if code} == {Outcome.REFUSED}


def _target_of(entry: dict[str, Any], index: int) -> Target:
    ref = Ref(str(index), bare(entry["inventoryItemId"]), bare(entry["locationId"]))
    return Target(ref, entry["quantity"], entry.get("changeFromQuantity"), str(index))


def test_every_error_code_of_a_write_has_its_meaning(published: GraphQLSchema, recordings: Path) -> None:
    """Of the published enum and of the recordings: stale, busy, another key, or words for the seller."""
    known = {*WHY, *STALE_CODES, *KEY_CODES, BUSY_CODE}
    assert set(published.type_map["InventorySetQuantitiesUserErrorCode"].values) == known  # type: ignore[attr-defined]
    recorded = {
        error["code"]
        for one in every_exchange(recordings)
        if one.entries == "quantities"
        for error in ((one.answer.get("data") or {}).get("inventorySetQuantities") or {"userErrors": []})["userErrors"]
    }
    assert recorded and recorded <= known


def test_webhook_subscriptions_are_refused_as_recorded(recordings: Path, counter: ShopifyCounter) -> None:
    recorded = json.loads((recordings / "admin-2026-04" / "webhook-subscription-conformance.json").read_text())
    theirs = recorded["validation"]["response"]["payload"]["data"]
    query = """mutation($id: ID!, $update: WebhookSubscriptionInput!) {
      updateUnknown: webhookSubscriptionUpdate(id: $id, webhookSubscription: $update) {
        webhookSubscription { id } userErrors { field message } }
      deleteUnknown: webhookSubscriptionDelete(id: $id) {
        deletedWebhookSubscriptionId userErrors { field message } }
      createMissingUri: webhookSubscriptionCreate(topic: SHOP_UPDATE, webhookSubscription: { format: JSON }) {
        webhookSubscription { id } userErrors { field message } } }"""
    given = recorded["validation"]["variables"]
    mine = counter.graphql(query, id=given["unknownId"], update=given["unknownUpdateInput"])
    assert mine["data"] == theirs
    cost = recorded["validation"]["response"]["payload"]["extensions"]["cost"]
    assert mine["extensions"]["cost"]["requestedQueryCost"] == cost["requestedQueryCost"]


def test_a_cancelled_order_reads_as_recorded(recordings: Path, counter: ShopifyCounter) -> None:
    recorded = json.loads((recordings / "admin-2026-04" / "orderCancel-restock-refundMethod-parity.json").read_text())
    counter.add("A", "A", 5)
    order = counter.shop.buy("A", 2)
    given = recorded["variables"] | {"orderId": f"gid://shopify/Order/{order['id']}"}
    mine = counter.graphql(
        """mutation($orderId: ID!, $restock: Boolean!, $reason: OrderCancelReason!, $notifyCustomer: Boolean,
          $staffNote: String, $refundMethod: OrderCancelRefundMethodInput) {
          orderCancel(orderId: $orderId, restock: $restock, reason: $reason, notifyCustomer: $notifyCustomer,
            staffNote: $staffNote, refundMethod: $refundMethod) { orderCancelUserErrors { field message code } } }""",
        **given,
    )
    assert mine["data"] == recorded["mutation"]["response"]["data"]
    read = counter.graphql(
        """query($id: ID!) { order(id: $id) { closed cancelReason cancellation { staffNote } displayFinancialStatus
          displayFulfillmentStatus fulfillmentOrders(first: 5) { nodes { status requestStatus lineItems(first: 5) {
          nodes { totalQuantity remainingQuantity lineItem { quantity fulfillableQuantity } } } } } } }""",
        id=given["orderId"],
    )["data"]["order"]
    theirs = recorded["downstreamRead"]["response"]["data"]["order"]
    for name in ("closed", "cancelReason", "cancellation", "displayFinancialStatus", "displayFulfillmentStatus"):
        assert read[name] == theirs[name]
    (mine_fo,), (theirs_fo,) = read["fulfillmentOrders"]["nodes"], theirs["fulfillmentOrders"]["nodes"]
    assert (mine_fo["status"], mine_fo["requestStatus"]) == (theirs_fo["status"], theirs_fo["requestStatus"])
    (line,), (their_line,) = mine_fo["lineItems"]["nodes"], theirs_fo["lineItems"]["nodes"]
    assert line["totalQuantity"] == their_line["totalQuantity"] == 0
    assert line["remainingQuantity"] == their_line["remainingQuantity"] == 0
    assert line["lineItem"]["fulfillableQuantity"] == their_line["lineItem"]["fulfillableQuantity"] == 0


@pytest.mark.parametrize("family", ["headers_2023_style", "headers_events_style"])
def test_signature_vectors_in_both_header_families(recordings: Path, family: str) -> None:
    good, bad = json.loads((recordings / "hmac_vectors.json").read_text())["vectors"]
    name = "shopify-hmac-sha256" if family == "headers_events_style" else good["header"]
    headers = good[family] | {name: good["signature"]}
    clock = datetime(2026, 1, 27, 13, tzinfo=UTC)
    channel = Shopify("web", "shop1.myshopify.com", client_secret=good["secret"], clock=lambda: clock)
    delivery = channel.verify(RawRequest("POST", "/", headers, good["body"].encode()))
    assert delivery.id == "123456789" and delivery.topic in ("products/create", "Product")
    with pytest.raises(Unsigned):
        channel.verify(RawRequest("POST", "/", headers | {name: bad["signature"]}, good["body"].encode()))
    channel.close()


def test_a_recorded_order_body_that_is_not_whole_is_a_pointer(recordings: Path) -> None:
    body = json.loads((recordings / "rest-payloads" / "order.json").read_text())["order"]
    (signal,) = read_signals("orders/updated", body)
    assert (signal.kind, signal.id, signal.order) == (SignalKind.ORDER, "450789469", None)
    for line in body["line_items"]:
        line["fulfillable_quantity"] = 1
    order = read_body(body)
    assert order is not None and [line.ordered for line in order.lines] == [1, 1, 1]
    assert all(not line.shipped for line in order.lines), "its one fulfilment has failed"
    assert order.placed_at == datetime(2008, 1, 10, 16, tzinfo=UTC)


def test_recorded_bodies_of_refunds_fulfilments_and_levels_are_pointers(recordings: Path) -> None:
    folder = recordings / "rest-payloads"
    for topic, file, kind, id in (
        ("refunds/create", "refund", SignalKind.ORDER, "450789469"),
        ("fulfillments/update", "fulfillment", SignalKind.ORDER, "450789469"),
        ("inventory_levels/update", "inventory_level", SignalKind.LISTING, ""),
    ):
        (signal,) = read_signals(topic, json.loads((folder / f"{file}.json").read_text())[file])
        assert (signal.kind, signal.id) == (kind, id)


# listings -------------------------------------------------------------------------------------------------------------


def test_P8_a_sku_at_several_locations_is_shown_and_not_pushed(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 3)
    shed = counter.shop.add_location("Shed")
    counter.shop.stock_at("A", shed, 4)
    listing = counter.listing("A")
    assert (listing.shows, listing.pushable, listing.ref.place) == (7, False, "")
    assert "Shed" in listing.why_not and "2 locations" in listing.why_not
    assert counter.channel.figures([listing.ref])[0].shows == 7
    (result,) = counter.channel.push([Target(listing.ref, 1, 7, "k")])
    assert result.outcome is Outcome.REFUSED and counter.figure("A") == 3


def test_P8_a_chosen_location_is_pushed_whatever_lies_elsewhere(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 3)
    shed = counter.shop.add_location("Shed")
    counter.shop.stock_at("A", shed, 4)
    chosen = channel_for(counter.running, location=str(shed))
    (listing,) = all_pages(chosen.listings)
    assert (listing.shows, listing.pushable, listing.ref.place) == (4, True, str(shed))
    (result,) = chosen.push([Target(listing.ref, 9, 4, "k")])
    assert result.outcome is Outcome.APPLIED
    assert (counter.figure("A"), counter.shop.figure("A", shed)) == (3, 9)
    assert channel_for(counter.running, location="77").check().problems[0].startswith("The shop has no location 77")
    chosen.close()


def test_P2_with_a_chosen_location_a_sale_may_have_been_taken_from_another(
    counter: ShopifyCounter, receiver: Receiver
) -> None:
    """No field of an order tells from which; what the chosen one shows is looked up."""
    counter.add("A", "A", 1)
    second = counter.shop.add_location("Second")
    counter.shop.stock_at("A", second, 5)
    chosen = channel_for(counter.running, location=str(counter.shop.location_id))
    chosen.ensure_hooks(receiver.url)
    order = str(counter.shop.buy("A", 3)["id"])
    assert [counter.shop.figure("A", place) for place in (counter.shop.location_id, second)] == [1, 2]
    (line,) = chosen.order(order).lines
    assert (line.taken, line.taken_at) == (3, None)
    counter.settle()
    made = receiver.wait(lambda got: any(r.header("X-Shopify-Topic") == "orders/create" for r in got))
    (inline,) = [s.order for r in made for s in chosen.signals(r) if s.order is not None]
    assert [x.taken_at for x in inline.lines] == [None]
    assert counter.channel.order(order).lines[0].taken_at is not None
    chosen.close()


def test_what_cannot_be_pushed_says_why(counter: ShopifyCounter) -> None:
    service = counter.shop.add_location("Warehouse Ltd", service=True)
    counter.shop.add_product("UNTRACKED", "Untracked", None)
    counter.shop.add_product("SERVICE", "Service", 5, location_id=service)
    counter.add("NOWHERE", "Nowhere", 5)
    counter.shop.deactivate("NOWHERE", counter.shop.location_id)
    counter.shop.add_product(None, "No SKU", 5)
    listings = {x.sku: x for x in all_pages(counter.channel.listings)}
    assert not listings["UNTRACKED"].pushable and "Track quantity" in listings["UNTRACKED"].why_not
    assert listings["UNTRACKED"].shows is None
    assert not listings["SERVICE"].pushable and "Warehouse Ltd" in listings["SERVICE"].why_not
    assert not listings["NOWHERE"].pushable and listings["NOWHERE"].shows is None
    assert listings[None].pushable and listings[None].title == "No SKU"


def test_variations_are_listings_with_a_title_of_their_own(counter: ShopifyCounter) -> None:
    for colour in ("blau", "grün"):
        counter.shop.add_product(f"T-{colour}", colour, 2, variant_of="Teekanne")
    assert [x.title for x in all_pages(counter.channel.listings)] == ["Teekanne - blau", "Teekanne - grün"]


# pushing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parent", "children_last"), [("nearest", True), ("node", True), ("nearest", False)])
def test_a_large_shop_is_read_in_bulk_and_says_the_same(
    counter: ShopifyCounter, monkeypatch: pytest.MonkeyPatch, parent: str, children_last: bool
) -> None:
    second = counter.shop.add_location("Second")
    counter.shop.add_product("A", 'Größe, "groß"', 3)
    counter.shop.add_product("B", "B", -2)
    counter.shop.add_product("C", "C", 5)
    counter.shop.add_product("C-2", "C, second", 5, variant_of="C")
    counter.shop.add_product("D", "D", 7)
    counter.shop.stock_at("D", second, 1)
    counter.shop.set_tracked("B", False)
    paged = list(all_pages(counter.channel.listings))
    monkeypatch.setattr("sheets_sync.channels.shopify.BULK_FROM", 4)
    counter.shop.api.bulk.parent, counter.shop.api.bulk.children_last = parent, children_last
    counter.shop.api.bulk.looks = 6
    slept: list[float] = []
    channel = channel_for(counter.running, sleep=slept.append)
    page, turns = channel.listings(), 0
    while page.cursor is not None:
        assert page.items == (), "it is still being made"
        page, turns = channel.listings(page.cursor), turns + 1
    assert list(page.items) == paged and len(paged) == 5
    assert turns == 2 and len(slept) == 6, "other work has its turn meanwhile"
    channel.close()


def test_a_bulk_operation_that_is_not_to_be_had(counter: ShopifyCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    counter.add("A", "A", 3)
    monkeypatch.setattr("sheets_sync.channels.shopify.BULK_FROM", 1)
    monkeypatch.setattr("sheets_sync.channels.shopify.BULK_LOOKS", (0.0,))
    bulk = counter.shop.api.bulk
    bulk.busy = True
    assert [x.sku for x in all_pages(counter.channel.listings)] == ["A"], "in pages then"
    bulk.busy, bulk.fails = False, "TIMEOUT"
    with pytest.raises(ChannelRefused, match="TIMEOUT"):
        list(all_pages(counter.channel.listings))
    bulk.fails = ""
    for fault in (
        Answer(503),
        Drop(),
        Answer(200, body=b'{"id": "gid://shopify/ProductVariant/1"'),
        Answer(200, body=b"{}"),
    ):
        with counter.faults(once(fault, lambda seen: seen.path.startswith("/bulk/"))):
            with pytest.raises(Unavailable):
                list(all_pages(counter.channel.listings))
    assert [x.sku for x in all_pages(counter.channel.listings)] == ["A"]
    with counter.faults(lambda seen: None) as seen:
        list(all_pages(counter.channel.listings))
    (file,) = [s for s in seen if s.path.startswith("/bulk/")]
    assert "X-Shopify-Access-Token" not in {name.title() for name in file.headers}


@pytest.mark.parametrize("mixed", ["refuse_all", "apply_good"])
def test_a_mixed_batch_ends_well_whichever_way_the_vendor_takes_it(counter: ShopifyCounter, mixed: str) -> None:
    counter.shop.mixed_batch = mixed
    for sku in "ABCDE":
        counter.add(sku, sku, 10)
    counter.shop.add_product("BUNDLE", "Bundle", 10, mutable=False)
    targets = [counter.target(sku, 7, 10) for sku in ["A", "B", "C", "BUNDLE", "D", "E"]]
    targets[5] = counter.target("E", 10, 10)  # nothing to change: it is not among the changes
    counter.buy("C", 1)
    results = counter.channel.push(targets)
    outcomes = [r.outcome for r in results]
    applied, refused, stale = Outcome.APPLIED, Outcome.REFUSED, Outcome.STALE
    assert outcomes == [applied, applied, stale, refused, applied, applied]
    assert "bundle" in results[3].why
    assert [counter.figure(sku) for sku in "ABCDE"] == [7, 7, 9, 7, 10]


def test_P6_a_sale_between_two_rounds_of_a_batch_is_found(counter: ShopifyCounter) -> None:
    """The good entries of a mixed batch go again with the same expected figure: never blindly."""
    counter.add("A", "A", 10)
    targets = [Target(counter.missing_ref(), 1, 1, "x"), counter.target("A", 8, 10)]
    writes = 0

    def sell_before_the_second(seen: Seen) -> None:
        nonlocal writes
        writes += counter.is_write(seen)
        if writes == 2 and counter.is_write(seen):
            counter.buy("A", 3)

    with counter.faults(sell_before_the_second):
        results = counter.channel.push(targets)
    assert [r.outcome for r in results] == [Outcome.REFUSED, Outcome.STALE]
    assert counter.figure("A") == 7


def test_no_expected_figure_is_an_explicit_null(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 10)
    with counter.faults(lambda seen: None) as seen:
        (result,) = counter.channel.push([counter.target("A", 4)])
    assert result.outcome is Outcome.APPLIED and counter.figure("A") == 4
    assert any(b'"changeFromQuantity":null' in s.body for s in seen)


def test_a_figure_already_there_is_applied(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 10)
    (result,) = counter.channel.push([counter.target("A", 10, 10)])
    assert result.outcome is Outcome.APPLIED


def test_what_would_be_refused_anyway_is_not_sent(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 10)
    first, second = counter.target("A", 5, 10), counter.target("A", 6, 10)
    results = counter.channel.push([first, second, replace(first, figure=2_000_000_000, ref=counter.missing_ref())])
    assert [r.outcome for r in results] == [Outcome.APPLIED, Outcome.RETRY, Outcome.REFUSED]
    assert counter.figure("A") == 5


def test_more_than_250_go_in_several_calls(counter: ShopifyCounter) -> None:
    for i in range(260):
        counter.add(f"S{i:03}", "S", 1)
    targets = [Target(x.ref, 2, 1, x.sku or "") for x in all_pages(counter.channel.listings)]
    with counter.faults(lambda seen: None) as seen:
        results = counter.channel.push(targets)
    assert {r.outcome for r in results} == {Outcome.APPLIED}
    assert sum(counter.is_write(s) for s in seen) == 2


def test_the_same_write_arriving_twice_is_made_once(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 10)
    target = counter.target("A", 4, 10)
    variables = set_variables([target], batch_key([target], 0))
    first = counter.graphql(DOCUMENTS["set"], **variables)
    counter.buy("A", 1)
    again = counter.graphql(DOCUMENTS["set"], **variables)
    assert first["data"] == again["data"] and counter.figure("A") == 3


def test_keys_differ_by_attempt_and_by_target() -> None:
    target = Target(Ref("1", "2", "3"), 4, 5, "k")
    keys = {
        batch_key([target], 0),
        batch_key([target], 1),
        batch_key([replace(target, key="l")], 0),
        batch_key([replace(target, figure=5)], 0),
        batch_key([target, target], 0),
    }
    assert len(keys) == 5 and batch_key([target], 0) == batch_key([target], 0)


def test_a_key_that_failed_before_is_replaced(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 10)
    target = counter.target("A", 4, 9)
    assert counter.channel.push([target])[0].outcome is Outcome.STALE
    counter.shop.set_figure("A", 9)
    assert counter.channel.push([target])[0].outcome is Outcome.APPLIED, "the used key was answered, a new one taken"


def _user_error(code: str, *path: str) -> dict[str, Any]:
    return {"code": code, "message": code.lower(), "field": ["input", *path]}


def test_answers_about_the_whole_batch() -> None:
    targets = [Target(Ref(str(i), str(i + 10), "1"), 4, 5, str(i)) for i in (1, 2)]
    refused = read_set(
        targets, {"inventoryAdjustmentGroup": None, "userErrors": [_user_error("INVALID_REASON", "reason")]}
    )
    assert {r.outcome for r in refused.settled.values()} == {Outcome.REFUSED} and not refused.left
    busy = read_set(
        targets, {"inventoryAdjustmentGroup": None, "userErrors": [_user_error("IDEMPOTENCY_CONCURRENT_REQUEST")]}
    )
    assert {r.outcome for r in busy.settled.values()} == {Outcome.UNKNOWN}
    used = read_set(
        targets, {"inventoryAdjustmentGroup": None, "userErrors": [_user_error("IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED")]}
    )
    assert not used.settled and used.left == tuple(targets)
    nameless = read_set(
        targets, {"inventoryAdjustmentGroup": None, "userErrors": [{**_user_error("NEW"), "field": None}]}
    )
    assert {r.outcome for r in nameless.settled.values()} == {Outcome.REFUSED}


# limits and tokens ----------------------------------------------------------------------------------------------------


def test_a_throttled_read_waits_for_the_bucket_and_a_write_says_when(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 10)
    target = counter.target("A", 4, 10)
    counter.shop.api.bucket.drain(3, datetime.now(UTC))
    (result,) = counter.channel.push([target])
    assert result.outcome is Outcome.RETRY and result.retry_after is not None and 0 < result.retry_after <= 1
    assert counter.figure("A") == 10
    counter.shop.api.bucket.drain(3, datetime.now(UTC))
    assert counter.channel.figures([target.ref])[0].shows == 10


def test_the_vendors_word_about_the_bucket_is_taken() -> None:
    slept: list[float] = []
    limiter = Limiter(100, 1000, clock=lambda: 0.0, sleep=slept.append)
    with serve(None) as running:
        channel = channel_for(running, limiter=limiter)
        running.shop.add_product("A", "A", 1)
        list(all_pages(channel.listings))
        running.shop.api.bucket.drain(246, datetime.now(UTC))
        list(all_pages(channel.listings))
        list(all_pages(channel.listings))
        channel.close()
    assert slept and 0 < slept[-1] < 5, "the third call costs more than the bucket had left"


def test_costs_agree_with_recorded_ones(counter: ShopifyCounter) -> None:
    """13 points for a write of one item, 10 where nothing came of it, 11 for an activation: all recorded."""
    counter.add("A", "A", 1)
    target = counter.target("A", 2, 1)
    query = DOCUMENTS["set"].replace("changes { name item", "changes { name delta item")
    good = counter.graphql(query, **set_variables([target], "k1"))["extensions"]["cost"]
    bad = counter.graphql(query, **set_variables([target], "k2"))["extensions"]["cost"]
    assert (good["requestedQueryCost"], good["actualQueryCost"]) == (13, 13)
    assert (bad["requestedQueryCost"], bad["actualQueryCost"]) == (13, 10)


def test_a_query_too_dear_is_asked_in_smaller_pages(counter: ShopifyCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    counter.add("A", "A", 100)
    bought = {counter.buy("A", 1) for _ in range(5)}
    monkeypatch.setattr("sheets_sync.sandbox.shops.shopify._graph.SINGLE_QUERY_MOST", 200)
    assert counter.orders(datetime.now(UTC) - timedelta(hours=1)).keys() == bought


def test_a_token_that_ends_is_replaced_once(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 1)
    list(all_pages(counter.channel.listings))
    counter.shop.tokens.revoke_grants()
    with counter.faults(lambda seen: None) as seen:
        assert counter.channel.push([counter.target("A", 5, 1)])[0].outcome is Outcome.APPLIED
    assert sum(s.path == "/admin/oauth/access_token" for s in seen) == 1
    assert counter.figure("A") == 5


def test_a_refresh_token_is_used_once_and_the_next_is_kept_first(counter: ShopifyCounter) -> None:
    """A public app's tokens end after an hour. A lost answer, a crash and a second process lock nobody out."""
    shelf, keys = Shelf(), counter.running.credentials
    given = {"refresh_token": keys["refresh_token"], "shelf": shelf}
    first = channel_for(counter.running, **given)
    with counter.faults(once(Drop(applied=True), lambda seen: seen.path == "/admin/oauth/access_token")):
        assert first.check().ok
    assert first.check().account
    second = channel_for(counter.running, **given)
    assert second.check().ok and len(shelf.kept) == 1, "the second finds what the first one kept"
    counter.shop.tokens.revoke_grants()
    assert first.check().ok and second.check().ok and len(shelf.kept) == 2
    lost = channel_for(counter.running, refresh_token=keys["refresh_token"])
    with pytest.raises(CredentialsRefused, match="used elsewhere") as refused:
        lost.listings()
    assert not any(secret in str(refused.value) for secret in (keys["refresh_token"], shelf.kept[-1].refresh))
    for channel in (first, second, lost):
        channel.close()


class Shelf:
    """One that remembers all it was given."""

    def __init__(self) -> None:
        self.kept: list[Token] = []

    def load(self, seed: str) -> Token | None:
        return self.kept[-1] if self.kept else None

    def store(self, seed: str, token: Token) -> None:
        self.kept.append(token)


def test_a_wrong_app_secret_is_said_without_being_shown(counter: ShopifyCounter) -> None:
    wrong = channel_for(counter.running, client_secret="shpss_this_is_wrong")
    with pytest.raises(CredentialsRefused) as refused:
        wrong.listings()
    assert "shpss" not in str(refused.value)
    wrong.close()


def test_missing_scopes_and_another_shop_are_found_by_check() -> None:
    with serve(None, scopes=("read_products", "write_inventory", "read_orders")) as running:
        problems = channel_for(running).check().problems
        assert any("read_locations, read_returns" in p for p in problems)
        other = Shopify(
            "web", "other.myshopify.com", running.base_url, access_token=running.credentials["access_token"]
        )
        problems = other.check().problems
        assert any("not to other.myshopify.com" in p for p in problems) and any("webhooks" in p for p in problems)


@pytest.mark.parametrize(
    ("code", "write", "kind"),
    [
        ("THROTTLED", True, RateLimited),
        ("ACCESS_DENIED", False, CredentialsRefused),
        ("INTERNAL_SERVER_ERROR", True, OutcomeUnknown),
        ("undefinedField", True, ChannelRefused),
    ],
)
def test_errors_in_a_200_are_sorted_by_who_must_act(code: str, write: bool, kind: type[Exception]) -> None:
    answer = {"errors": [{"message": "no", "extensions": {"code": code}}], "data": None}
    assert type(graphql_error("web", answer, write=write)) is kind


# orders ---------------------------------------------------------------------------------------------------------------


def test_a_pending_order_commits_and_has_been_taken(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 10)
    order = counter.shop.buy("A", 2, paid=False)
    read = counter.channel.order(str(order["id"]))
    assert (read.state, read.paid, read.lines[0].taken) == (OrderState.PENDING, False, 2)
    counter.shop.pay(order["id"])
    assert counter.channel.order(str(order["id"])).state is OrderState.OPEN


def test_O1_parts_shipped_carry_their_times_and_places(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 10)
    shed = counter.shop.add_location("Shed")
    counter.shop.stock_at("A", shed, 5)
    order = counter.shop.buy("A", 3)
    line = counter.line(order)
    counter.shop.ship(order["id"], {line: 1})
    counter.shop.ship(order["id"], {line: 2}, location_id=shed)
    read = counter.one_line(str(order["id"]))
    assert sorted((s.units, s.place) for s in read.shipped) == sorted(
        [(1, str(counter.shop.location_id)), (2, str(shed))]
    )
    assert (counter.shop.on_hand("A"), counter.shop.on_hand("A", shed)) == (9, 3)
    assert counter.shop.committed("A") == 0


def test_a_parcel_that_did_not_leave_is_open_again(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 10)
    order = counter.shop.buy("A", 2)
    made = counter.shop.ship(order["id"])["fulfillments"][0]
    counter.shop.cancel_fulfillment(order["id"], made["id"])
    read = counter.channel.order(str(order["id"]))
    assert (read.lines[0].sent, read.lines[0].cancelled, read.state) == (0, 0, OrderState.OPEN)


REFUNDS: dict[str, tuple[int, str, tuple[int, int, int, int, int]]] = {
    # units shipped first, restock type; cancelled, returned, restocked, taken, the shop's figure (10 before, 3 ordered)
    "cancelled": (0, "CANCEL", (2, 0, 0, 1, 9)),
    "removed, not restocked": (0, "NO_RESTOCK", (2, 0, 0, 3, 7)),
    "returned": (3, "RETURN", (0, 2, 2, 1, 9)),
    "money only": (3, "NO_RESTOCK", (0, 0, 0, 3, 7)),
    "shipped ones count as refunded first": (2, "NO_RESTOCK", (0, 0, 0, 3, 7)),
    "cancelled beside shipped ones": (1, "CANCEL", (2, 0, 0, 1, 9)),
}


@pytest.mark.parametrize("case", sorted(REFUNDS))
def test_refunds_mean_what_their_restock_type_says(counter: ShopifyCounter, case: str) -> None:
    shipped, restock, wanted = REFUNDS[case]
    counter.add("A", "A", 10)
    order = counter.shop.buy("A", 3)
    line = counter.line(order)
    if shipped:
        counter.shop.ship(order["id"], {line: shipped})
    counter.shop.refund(order["id"], [Refunded(line, 2, restock)])
    read = counter.one_line(str(order["id"]))
    assert (read.cancelled, read.returned, read.restocked, read.taken, counter.figure("A")) == wanted
    assert (read.ordered, read.sent) == (3, shipped)


def test_O5_a_return_without_restock_is_returned_and_asked(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 10)
    order = counter.shop.buy("A", 3)
    counter.ship(str(order["id"]))
    counter.shop.refund(order["id"], [Refunded(counter.line(order), 1, "NO_RESTOCK")], returned=True)
    read = counter.one_line(str(order["id"]))
    assert (read.returned, read.restocked, read.cancelled) == (1, 0, 0)


DISPOSALS = {
    "restocked": ([("RESTOCKED", 2)], None, (2, 2, 3)),
    "not restocked": ([("NOT_RESTOCKED", 2)], None, (2, 0, 5)),
    "one of each": ([("RESTOCKED", 1), ("NOT_RESTOCKED", 1)], None, (2, 1, 4)),
    "one never came": ([("RESTOCKED", 1), ("MISSING", 1)], None, (1, 1, 4)),
    "looked at twice": ([("PROCESSING_REQUIRED", 2), ("RESTOCKED", 2)], None, (2, 2, 3)),
    "and refunded": ([("RESTOCKED", 2)], (2, "NO_RESTOCK"), (2, 2, 3)),
    "refunded, one missing": ([("MISSING", 1)], (2, "NO_RESTOCK"), (1, 0, 5)),
    "refunded by a restock of its own": ([("NOT_RESTOCKED", 1)], (2, "RETURN"), (2, 2, 3)),
    "on its way": ([], None, (0, 0, 5)),
}


@pytest.mark.parametrize("case", sorted(DISPOSALS))
def test_O5_what_became_of_returned_goods_is_the_word_that_counts(case: str) -> None:
    """Returned, restocked, and what the shop holds taken off its own figure, of 5 sold and 4 shipped."""
    disposals, refund, expected = DISPOSALS[case]
    disposed = tuple(orders.Disposed("1", n, word, NINE + 2 * HOUR, "r", "p", 2) for word, n in disposals)
    refunds = () if refund is None else (orders.Back("1", refund[0], refund[1], refund[1] == "RETURN", NINE, "r"),)
    line = level(5, 5, 1, *refunds, sent=4, disposed=disposed)
    assert (line.returned, line.restocked, line.taken) == expected


@pytest.mark.parametrize("touches", [True, False])
def test_O5_a_disposition_is_found_by_its_delivery_and_read_with_its_order(
    counter: ShopifyCounter, receiver: Receiver, touches: bool
) -> None:
    """Also where it leaves the order's own time as it was."""
    counter.add("A", "A", 10)
    counter.channel.ensure_hooks(receiver.url)
    order = counter.shop.buy("A", 3)
    line = counter.line(order)
    counter.shop.ship(order["id"])
    back = counter.shop.returns.open(order["id"], {line: 2})
    assert counter.one_line(str(order["id"])).returned == 0
    counter.shop.returns.touches_order = touches
    counter.shop.returns.dispose(order["id"], back, line, 1, "RESTOCKED")
    counter.shop.returns.dispose(order["id"], back, line, 1, "NOT_RESTOCKED")
    counter.settle()
    topic = "reverse_fulfillment_orders/dispose"
    got = receiver.wait(lambda got: sum(r.header("X-Shopify-Topic") == topic for r in got) == 2)
    (signal,) = counter.channel.signals([r for r in got if r.header("X-Shopify-Topic") == topic][-1])
    read = counter.channel.order(signal.id)
    assert read.id == str(order["id"]) and signal.order is None
    assert (read.lines[0].returned, read.lines[0].restocked, read.lines[0].taken) == (2, 1, 2)
    assert counter.figure("A") == 8
    assert counter.channel.order("disposed:99").state is OrderState.GONE


@pytest.mark.parametrize(
    ("reason", "restock", "freely"),
    [
        ("CUSTOMER", True, True),
        ("CUSTOMER", False, True),
        ("DECLINED", False, True),
        ("STAFF", True, True),
        ("STAFF", False, False),
        ("OTHER", False, False),
        ("INVENTORY", True, False),
        ("INVENTORY", False, False),
    ],
)
def test_O2_who_cancelled_and_what_the_shop_put_back(
    counter: ShopifyCounter, reason: str, restock: bool, freely: bool
) -> None:
    counter.add("A", "A", 10)
    order = counter.shop.buy("A", 2)
    counter.shop.cancel(order["id"], restock=restock, reason=reason)
    read = counter.channel.order(str(order["id"]))
    (line,) = read.lines
    assert (read.state, line.cancelled, line.freely) == (OrderState.CANCELLED, 2, freely)
    assert line.cancelled_at is not None and line.taken == (0 if restock else 2)
    assert counter.figure("A") == (10 if restock else 8)
    assert counter.shop.on_hand("A") == (10 if restock else 8)


def test_O1_an_edited_order_is_another_level(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 10)
    counter.add("B", "B", 10)
    order = counter.shop.buy("A", 3)
    counter.shop.edit(order["id"], counter.line(order), 1)
    counter.shop.edit(order["id"], counter.line(order), 2)
    counter.shop.add_line(order["id"], "B", 4)
    first, second = counter.channel.order(str(order["id"])).lines
    assert (first.ordered - first.cancelled, first.taken) == (2, 2)
    assert (second.sku, second.ordered, second.taken) == ("B", 4, 4)
    assert (counter.figure("A"), counter.figure("B")) == (8, 6)


def test_P2_an_apps_order_may_have_claimed_nothing_so_its_time_is_unknown(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 10)
    variant = counter.shop.variant("A")["id"]
    by_app = counter.shop.checkout([Claim(variant, 2)], behaviour="BYPASS", source="marketplace-app")
    read = counter.channel.order(str(by_app["id"]))
    assert (read.source, read.lines[0].taken_at, counter.figure("A")) == ("marketplace-app", None, 10)


def test_a_long_order_is_read_to_its_end(counter: ShopifyCounter) -> None:
    for i in range(130):
        counter.add(f"S{i:03}", "S", 5)
    claims = [Claim(counter.shop.variant(f"S{i:03}")["id"], 2) for i in range(130)]
    order = counter.shop.checkout(claims)
    counter.ship(str(order["id"]))
    parts = [Refunded(line["id"], 1, "RETURN") for line in order["lines"]]
    counter.shop.refund(order["id"], parts)
    listed = counter.orders(datetime.now(UTC) - timedelta(hours=1))[str(order["id"])]
    assert len(listed.lines) == 130
    assert {(x.ordered, x.sent, x.returned) for x in listed.lines} == {(2, 2, 1)}


def test_an_unknown_financial_status_is_treated_as_open_and_said(counter: ShopifyCounter) -> None:
    seen = orders.Seen("1", "#1", datetime.now(UTC), datetime.now(UTC), None, "", "CRYPTO", "web", (), (), ())
    order = orders.meaning(seen)
    assert order.state is OrderState.UNKNOWN and "CRYPTO" in order.note


NINE = datetime(2026, 7, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def level(units: int, current: int, still: int, *back: orders.Back, sent: int = 0, **fields: Any) -> OrderLine:
    """What one line means, placed at nine. `still`: units that Shopify counts as not shipped yet."""
    left = (orders.Left("1", Shipment(NINE + HOUR, sent)),) if sent else ()
    line = orders.Line("1", units, current, still, "A")
    seen = orders.Seen("9", "#9", NINE, NINE + 5 * HOUR, None, "", "PAID", "web", (line,), left, back)
    (read,) = orders.meaning(replace(seen, **fields)).lines
    return read


def back(units: int, type: str, hour: int = 2, restocked: bool = True) -> orders.Back:
    return orders.Back("1", units, type, restocked, NINE + hour * HOUR)


def test_units_on_hold_are_not_taken_for_cancelled() -> None:
    """On hold nothing is fulfillable, yet nothing was removed."""
    assert level(3, current=3, still=0).cancelled == 0


def test_a_cancelling_refund_counts_though_the_open_count_lags_behind() -> None:
    assert level(3, 1, 3, back(2, "CANCEL")).cancelled == 2


def test_a_cancelled_order_has_nothing_open_whatever_its_counts_say() -> None:
    line = level(3, 3, 3, sent=1, cancelled_at=NINE + 3 * HOUR)
    assert (line.cancelled, line.sent, line.cancelled_at) == (2, 1, NINE + 3 * HOUR)


def test_O2_what_was_never_paid_comes_back_by_itself() -> None:
    for payment, freely in (("PENDING", True), ("VOIDED", True), ("EXPIRED", True), ("PAID", False)):
        line = level(2, 0, 0, back(2, "NO_RESTOCK", restocked=False), cancelled_at=NINE, payment=payment)
        assert (line.cancelled, line.freely, line.taken) == (2, freely, 2)


def test_O5_no_more_comes_back_than_was_shipped() -> None:
    line = level(3, 0, 0, back(3, "RETURN"), sent=2)
    assert (line.returned, line.restocked) == (2, 2)


def test_a_restock_at_a_closed_location_put_nothing_back() -> None:
    """Shopify says CANCEL and `restocked` false then: nothing came back to any figure."""
    line = level(2, 0, 0, back(2, "CANCEL", restocked=False))
    assert (line.cancelled, line.taken, line.freely) == (2, 2, False)


def test_a_body_says_by_its_location_whether_units_were_restocked(counter: ShopifyCounter, receiver: Receiver) -> None:
    counter.add("A", "A", 10)
    counter.channel.ensure_hooks(receiver.url)
    order = counter.shop.checkout([Claim(counter.shop.variant("A")["id"], 2)], behaviour="BYPASS")
    counter.shop.cancel(order["id"], reason="OTHER")
    counter.settle()
    got = receiver.wait(lambda got: any(r.header("X-Shopify-Topic") == "orders/cancelled" for r in got))
    (cancelled,) = [r for r in got if r.header("X-Shopify-Topic") == "orders/cancelled"]
    (signal,) = counter.channel.signals(cancelled)
    assert signal.order == replace(counter.channel.order(str(order["id"])), read_at=None)
    assert signal.order is not None and signal.order.lines[0].freely is False


def test_times_are_those_of_what_happened() -> None:
    assert level(3, 3, 3).taken_at == NINE
    given_back = level(3, 1, 1, back(1, "CANCEL", 2), back(1, "CANCEL", 4))
    assert (given_back.taken_at, given_back.cancelled_at) == (NINE + 4 * HOUR, NINE + 4 * HOUR)
    called_off = level(3, 0, 0, back(3, "CANCEL", 4), cancelled_at=NINE + 3 * HOUR)
    assert called_off.cancelled_at == NINE + 3 * HOUR
    assert level(3, 1, 0, back(2, "RETURN", 4), sent=3).cancelled_at is None


@pytest.mark.parametrize("step", ["cancel", "ship", "return", "edit", "part"])
def test_a_webhook_body_says_the_same_as_a_read(counter: ShopifyCounter, receiver: Receiver, step: str) -> None:
    counter.add("A", "A", 10)
    counter.channel.ensure_hooks(receiver.url)
    order = counter.shop.buy("A", 3)
    line = counter.line(order)
    steps: dict[str, Callable[[], object]] = {
        "cancel": lambda: counter.shop.cancel(order["id"], restock=False, reason="STAFF"),
        "ship": lambda: counter.shop.ship(order["id"]),
        "return": lambda: (
            counter.shop.ship(order["id"]),
            counter.shop.refund(order["id"], [Refunded(line, 1, "RETURN")]),
        ),
        "edit": lambda: counter.shop.edit(order["id"], line, 2),
        "part": lambda: counter.shop.ship(order["id"], {line: 1}),
    }
    steps[step]()
    counter.settle()
    got = receiver.wait(lambda got: any(r.header("X-Shopify-Topic") == "orders/updated" for r in got))
    last = [r for r in got if r.header("X-Shopify-Topic") == "orders/updated"][-1]
    (signal,) = counter.channel.signals(last)
    read = counter.channel.order(str(order["id"]))
    assert (signal.id, signal.order) == (str(order["id"]), replace(read, read_at=None))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


# deliveries -----------------------------------------------------------------------------------------------------------


def signed(body: bytes, **headers: str) -> RawRequest:
    digest = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return RawRequest("POST", "http://here/webhooks/web", {"X-Shopify-Hmac-SHA256": digest} | given, body)


NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def bare_channel() -> Iterator[Shopify]:
    channel = Shopify("web", "x.myshopify.com", client_secret=SECRET, clock=lambda: NOW)
    yield channel
    channel.close()


def test_a_delivery_too_old_is_refused_and_a_retry_of_hours_is_not(bare_channel: Shopify) -> None:
    for hours, kind in ((4, None), (47, None), (49, TooOld), (-49, TooOld)):
        request = signed(b"{}", X_Shopify_Triggered_At=(NOW - timedelta(hours=hours)).isoformat())
        if kind is None:
            assert bare_channel.verify(request).sent_at == NOW - timedelta(hours=hours)
        else:
            with pytest.raises(kind):
                bare_channel.verify(request)
    with pytest.raises(Malformed):
        bare_channel.verify(signed(b"{}", X_Shopify_Triggered_At="yesterday"))


def test_the_delivery_id_is_the_webhook_id_or_the_event_id_or_the_body(bare_channel: Shopify) -> None:
    both = signed(b"{}", X_Shopify_Webhook_Id="w", X_Shopify_Event_Id="e")
    assert bare_channel.verify(both).id == "w"
    assert bare_channel.verify(signed(b"{}", X_Shopify_Event_Id="e")).id == "e"
    assert bare_channel.verify(signed(b"{}")).id == bare_channel.verify(signed(b"{}")).id
    assert bare_channel.verify(signed(b'{"a":1}')).id != bare_channel.verify(signed(b"{}")).id


def test_a_delivery_of_another_shop_of_the_same_app_says_nothing(bare_channel: Shopify) -> None:
    body = b'{"id": 5}'
    there = signed(body, X_Shopify_Topic="orders/delete", X_Shopify_Shop_Domain="y.myshopify.com")
    here = signed(body, X_Shopify_Topic="orders/delete", X_Shopify_Shop_Domain="x.myshopify.com")
    bare_channel.verify(there)
    assert list(bare_channel.signals(there)) == []
    (signal,) = bare_channel.signals(here)
    assert (signal.kind, signal.id, signal.gone) == (SignalKind.ORDER, "5", True)


def test_the_newer_header_family_points_at_its_resource(bare_channel: Shopify) -> None:
    request = signed(b"{}", shopify_topic="Order", shopify_resource_id="gid://shopify/Order/9")
    (signal,) = bare_channel.signals(request)
    assert (signal.kind, signal.id) == (SignalKind.ORDER, "9")


def test_signed_by_takes_any_secret_and_no_nonsense() -> None:
    good = base64.b64encode(hmac.new(b"new", b"x", hashlib.sha256).digest()).decode()
    assert signed_by(["old", "new"], b"x", good) and signed_by(["new", "old"], b"x", good)
    for bad in (None, "", "ü", "====", good[:-2], good + "A"):
        assert not signed_by(["old", "new"], b"x", bad)
    assert not signed_by([], b"x", good)


def test_hooks_at_an_earlier_address_are_taken_down(counter: ShopifyCounter) -> None:
    counter.channel.ensure_hooks("https://old.example.com")
    counter.shop.hooks.subscribe("ORDERS_CREATE", "https://somebody.example.com/else")
    states = {h.state for h in counter.channel.ensure_hooks("https://new.example.com/")}
    assert states == {"made again"}
    uris = {d["uri"] for d in counter.shop.docs.select("subscription")}
    assert uris == {"https://new.example.com/webhooks/web", "https://somebody.example.com/else"}
    assert len(counter.shop.docs.select("subscription")) == len(HOOK_TOPICS) + 1


def test_hooks_that_shopify_dropped_are_found_and_made_again(counter: ShopifyCounter) -> None:
    counter.channel.ensure_hooks("https://here.example.com")
    assert counter.channel.check().ok
    dropped = counter.shop.docs.select("subscription", "AND sort = 'ORDERS_UPDATED'")[0]
    counter.shop.hooks.remove(dropped["id"])
    health = counter.channel.check()
    assert not health.ok and "ORDERS_UPDATED" in health.problems[0]
    states = {h.topic: h.state for h in counter.channel.ensure_hooks("https://here.example.com")}
    assert states.pop("ORDERS_UPDATED") == "made again" and set(states.values()) == {"kept"}


def test_an_address_that_shopify_does_not_take_is_said(counter: ShopifyCounter) -> None:
    states = {h.state for h in counter.channel.ensure_hooks("http://shop.example.com")}
    assert states == {"refused: Address protocol http:// is not supported"}


# the local shop -------------------------------------------------------------------------------------------------------


def test_retries_carry_the_original_body_and_end_with_the_subscription(
    counter: ShopifyCounter, receiver: Receiver
) -> None:
    counter.add("A", "A", 10)
    counter.shop.hooks.retries = (timedelta(0),) * 8
    counter.shop.hooks.subscribe("ORDERS_CREATE", f"{receiver.url}/hook")
    receiver.status = 503
    order = counter.shop.buy("A", 1)
    got = receiver.wait(lambda got: len(got) == 9)
    counter.shop.cancel(order["id"])
    counter.settle()
    assert len({r.body for r in got}) == 1 and len({r.header("X-Shopify-Webhook-Id") for r in got}) == 1
    assert json.loads(got[-1].body)["cancelled_at"] is None
    assert counter.shop.docs.select("subscription") == []
    assert counter.channel.ensure_hooks(receiver.url)[0].state == "made"


def test_one_event_has_one_event_id_and_a_webhook_id_for_each_subscription(
    counter: ShopifyCounter, receiver: Receiver
) -> None:
    counter.add("A", "A", 10)
    for path in ("one", "two"):
        counter.shop.hooks.subscribe("ORDERS_CREATE", f"{receiver.url}/{path}")
    counter.buy("A", 1)
    got = receiver.wait(lambda got: len(got) == 2)
    assert len({r.header("X-Shopify-Event-Id") for r in got}) == 1
    assert len({r.header("X-Shopify-Webhook-Id") for r in got}) == 2


def test_a_third_party_drives_the_shop_by_the_vendors_own_api(counter: ShopifyCounter) -> None:
    counter.add("A", "A", 10)
    variant = f"gid://shopify/ProductVariant/{counter.shop.variant('A')['id']}"
    made = counter.graphql(
        """mutation($order: OrderCreateOrderInput!, $options: OrderCreateOptionsInput) {
          orderCreate(order: $order, options: $options) { order { id lineItems(first: 5) { nodes { id } }
            fulfillmentOrders(first: 5) { nodes { id lineItems(first: 5) { nodes { id } } } } }
            userErrors { field message code } } }""",
        order={"lineItems": [{"variantId": variant, "quantity": 3}], "financialStatus": "PAID", "sourceName": "web"},
        options={"inventoryBehaviour": "DECREMENT_OBEYING_POLICY"},
    )["data"]["orderCreate"]
    assert made["userErrors"] == [] and counter.figure("A") == 7
    (group,) = made["order"]["fulfillmentOrders"]["nodes"]
    part = [{"id": group["lineItems"]["nodes"][0]["id"], "quantity": 2}]
    shipped = counter.graphql(
        """mutation($fulfillment: FulfillmentInput!) { fulfillmentCreate(fulfillment: $fulfillment) {
          fulfillment { id status } userErrors { field message } } }""",
        fulfillment={
            "lineItemsByFulfillmentOrder": [{"fulfillmentOrderId": group["id"], "fulfillmentOrderLineItems": part}]
        },
    )["data"]["fulfillmentCreate"]
    assert shipped["userErrors"] == [] and shipped["fulfillment"]["status"] == "SUCCESS"
    back = counter.graphql(
        """mutation($input: RefundInput!) { refundCreate(input: $input) { refund { id } userErrors { message } } }""",
        input={
            "orderId": made["order"]["id"],
            "refundLineItems": [
                {"lineItemId": made["order"]["lineItems"]["nodes"][0]["id"], "quantity": 1, "restockType": "CANCEL"}
            ],
        },
    )["data"]["refundCreate"]
    assert back["userErrors"] == []
    line = counter.one_line(bare(made["order"]["id"]))
    assert (line.ordered, line.sent, line.cancelled, line.taken) == (3, 2, 1, 2)
    assert (counter.figure("A"), counter.shop.on_hand("A"), counter.shop.committed("A")) == (8, 8, 0)


def test_what_the_shop_does_not_know_is_a_graphql_error(counter: ShopifyCounter) -> None:
    assert "Cannot query field 'nothing'" in counter.graphql("{ nothing }")["errors"][0]["message"]
    assert counter.graphql("{ orders { nodes { id } } }")["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert "must be between" in counter.graphql("{ orders(first: 251) { nodes { id } } }")["errors"][0]["message"]
    ids = ["gid://shopify/InventoryItem/1"] * 251
    too_many = counter.graphql("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)
    assert too_many["errors"][0]["extensions"]["code"] in ("MAX_INPUT_SIZE_EXCEEDED", "MAX_COST_EXCEEDED")


def test_a_wrong_token_and_a_wrong_version_are_refused(counter: ShopifyCounter) -> None:
    url = f"{counter.running.base_url}/admin/api/2026-07/graphql.json"
    query = {"query": "{ shop { name } }"}
    for token in (None, "shpat_wrong", "ü".encode("latin-1").decode("latin-1")):
        headers = {} if token is None else {"X-Shopify-Access-Token": token.encode("utf-8")}
        assert requests.post(url, json=query, headers=headers, timeout=10).status_code == 401
    right = {"X-Shopify-Access-Token": counter.running.credentials["access_token"]}
    assert requests.post(url.replace("2026-07", "2025-10"), json=query, headers=right, timeout=10).status_code == 404


def test_a_token_lives_for_a_day() -> None:
    now = [datetime.now(UTC)]
    with serve(None, clock=lambda: now[0]) as running:
        channel = channel_for(running, clock=lambda: now[0])
        running.shop.add_product("A", "A", 1)
        list(all_pages(channel.listings))
        now[0] += timedelta(hours=25)
        seen: list[str] = []
        running.middleware = lambda request: seen.append(request.path)
        list(all_pages(channel.listings))
        assert seen[0] == "/admin/oauth/access_token", "renewed before it was refused"
        channel.close()


def test_orders_older_than_60_days_need_a_scope_of_their_own() -> None:
    now = [datetime.now(UTC)]
    for scopes, found in (((), OrderState.GONE), (("read_all_orders",), OrderState.OPEN)):
        with serve(None, clock=lambda: now[0], scopes=("read_orders", *scopes)) as running:
            running.shop.add_product("A", "A", 1)
            order = running.shop.buy("A")
            now[0] += timedelta(days=61)
            channel = channel_for(running, clock=lambda: now[0])
            assert channel.order(str(order["id"])).state is found
            channel.close()


def test_eight_shoppers_for_three_units_get_three(counter: ShopifyCounter) -> None:
    from concurrent.futures import ThreadPoolExecutor

    counter.add("A", "A", 3)
    variant = counter.shop.variant("A")["id"]
    page = counter.running.storefront

    def buy(_: int) -> int:
        headers = {"Origin": page.rstrip("/")}
        form = {"product": str(variant), "units": "1"}
        return requests.post(f"{page}buy", data=form, headers=headers, allow_redirects=False, timeout=30).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(buy, range(8)))
    assert codes == [303] * 3 + [409] * 5
    assert (counter.figure("A"), counter.shop.committed("A"), counter.shop.on_hand("A")) == (0, 3, 3)


def test_the_storefront_shows_buys_ships_and_takes_back(counter: ShopifyCounter) -> None:
    counter.add("00123", "<b>Löffel</b> & Co", 10)
    page = counter.running.storefront
    here = {"Origin": page.rstrip("/")}
    products = requests.get(page, timeout=10).text
    assert "00123" in products and "&lt;b&gt;Löffel&lt;/b&gt; &amp; Co" in products
    variant = counter.shop.variant("00123")["id"]
    requests.post(f"{page}buy", data={"product": str(variant), "units": "4"}, headers=here, timeout=10)
    (order,) = counter.shop.docs.select("order")
    for verb in ("ship", "return"):
        answer = requests.post(f"{page}orders/{order['id']}", data={"verb": verb}, headers=here, timeout=10)
        assert answer.status_code == 200 and order["name"] in answer.text
    assert (
        requests.post(f"{page}orders/{order['id']}", data={"verb": "cancel"}, headers=here, timeout=10).status_code
        == 409
    )
    assert requests.post(f"{page}orders/{order['id']}", data={"verb": "ship"}, timeout=10).status_code == 403
    assert counter.figure("00123") == 10


def test_the_shop_is_where_it_was_after_kill_9(tmp_path: Path) -> None:
    import os
    import signal
    import subprocess
    import sys

    file = tmp_path / "shop.db"
    program = (
        "import sys, json, pathlib, threading\n"
        "from sheets_sync.sandbox.shops import Seed, serve\n"
        "r = serve('shopify', pathlib.Path(sys.argv[1]), seed=[Seed('A', 'A', 10)])\n"
        "print(json.dumps([r.base_url, dict(r.credentials)]), flush=True)\n"
        "threading.Event().wait()\n"
    )
    command = [sys.executable, "-c", program, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as child:
        assert child.stdout is not None
        base_url, credentials = json.loads(child.stdout.readline())
        channel = Shopify("web", credentials["shop"], base_url, access_token=credentials["access_token"])
        (listing,) = all_pages(channel.listings)
        assert channel.push([Target(listing.ref, 7, 10, "k")])[0].outcome is Outcome.APPLIED
        channel.close()
        os.kill(child.pid, signal.SIGKILL)
    with serve(file, seed=[Seed("A", "A", 10)]) as again:
        assert again.credentials == credentials and again.shop.figure("A") == 7


def test_a_failure_of_the_shop_itself_changes_nothing(counter: ShopifyCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    counter.add("A", "A", 10)

    def broken(*_: object) -> None:
        raise KeyError("broken")

    target = counter.target("A", 4, 10)
    monkeypatch.setattr(counter.shop.api, "_remember_key", broken)
    with counter.faults(once(Answer(200, body=b"{}"), lambda seen: False)):
        (result,) = counter.channel.push([target])
    assert result.outcome is Outcome.UNKNOWN and counter.figure("A") == 10
