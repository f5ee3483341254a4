"""The folder of what vendors publish, walked file by file: the adapter takes each, the local shop's answers fit each.

Every file of the three vendors must be somebody's: of a check here, or of a test elsewhere that is named. A file that
nobody has fails, and so does a check that finds no file. "Fits" means: whatever the local shop says is said under the
vendor's names, with values of the vendor's types; a local shop may leave out what nobody here reads.
"""

from __future__ import annotations

import ast
import base64
import fnmatch
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from graphql import GraphQLEnumType, GraphQLNonNull, GraphQLSchema, build_schema, get_named_type, get_nullable_type
from graphql.type import GraphQLList

from sheets_sync.channels import Outcome, RawRequest, SignalKind, Target
from sheets_sync.channels.amazon import Amazon
from sheets_sync.channels.amazon import listings as amazon_listings
from sheets_sync.channels.amazon.hooks import read_signal, without_buyers
from sheets_sync.channels.amazon.orders import read_order as read_amazon_order
from sheets_sync.channels.shopify.api import graphql_error
from sheets_sync.channels.shopify.deliveries import read_signals, signed_by
from sheets_sync.channels.shopify.orders import read_body
from sheets_sync.channels.woocommerce import read_batch, read_listing, read_order, read_refunds, signature
from sheets_sync.errors import ChannelRefused, RateLimited
from sheets_sync.model import OrderState, Ref
from sheets_sync.sandbox import shops
from sheets_sync.sandbox.shops import Running, Seed
from sheets_sync.sandbox.shops.amazon import Pace, Plan
from sheets_sync.sandbox.shops.shopify import Refunded, sign
from sheets_sync.sandbox.shops.shopify._rest import order_body
from sheets_sync.sandbox.shops.shopify._schema import SDL
from sheets_sync.sandbox.shops.woocommerce.hooks import signature as woo_signature
from tests.amazon_models import Operation, operations
from tests.contract_channel import Receiver
from tests.hands import Clock
from tests.test_channel_woocommerce import Api as WooApi
from tests.test_channel_woocommerce import raw_request
from tests.test_sandbox_amazon import (
    EVENT_BRIDGE,
    Application,
    destination,
    handed_in,
    message,
    processing_report,
    subscribed,
)

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent
FOLDER = ROOT.parents[1] / "shared" / "conformance" / "channels"
VENDORS = ("amazon", "shopify", "woocommerce")


def files() -> list[str]:
    """Paths under the folder; none where it is absent."""
    found = (p for vendor in VENDORS for p in (FOLDER / vendor).rglob("*") if p.is_file())
    return sorted(str(p.relative_to(FOLDER)) for p in found)


# what fits ------------------------------------------------------------------------------------------------------


def misfits(mine: Any, theirs: Any, where: str = "", newer: frozenset[str] = frozenset()) -> list[str]:
    """What `mine` says that `theirs` does not know, or says as another type. Lists: by all that theirs hold."""
    if mine is None or theirs is None or theirs == [] or theirs == {}:
        return []
    if isinstance(mine, dict) and isinstance(theirs, dict):
        unknown = [f"{where}.{k}" for k in mine.keys() - theirs.keys() - newer]
        return unknown + [
            x for k in mine.keys() & theirs.keys() for x in misfits(mine[k], theirs[k], f"{where}.{k}", newer)
        ]
    if isinstance(mine, list) and isinstance(theirs, list):
        whole = together(theirs)
        return [x for one in mine for x in misfits(one, whole, f"{where}[]", newer)]
    same = type(mine) is type(theirs) or isinstance(mine, int | float) and isinstance(theirs, int | float)
    return [] if same else [f"{where}: {type(mine).__name__} for {type(theirs).__name__}"]


def together(several: list[Any]) -> Any:
    """All that elements of a list have between them."""
    found: Any = several[0]
    for one in several[1:]:
        if isinstance(found, dict) and isinstance(one, dict):
            found = {
                k: together([x[k] for x in (found, one) if k in x and x[k] is not None] or [None])
                for k in {**found, **one}
            }
        elif isinstance(found, list) and isinstance(one, list):
            found = [*found, *one]
    return found


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


# the local shops ------------------------------------------------------------------------------------------------


class Street:
    """One of each local shop, with an order of every kind; each is opened when it is first asked for."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.clock = Clock()

    def _open(self, vendor: str, *seeds: Seed) -> Running:
        # WooCommerce's keys are signed with the machine's time
        clock = {} if vendor == "woocommerce" else {"clock": self.clock}
        return self.stack.enter_context(shops.serve(vendor, None, seed=seeds, **clock))

    @cached_property
    def amazon(self) -> Application:
        running = self._open("amazon", Seed("A", "Mug", 50), Seed("B", "Scarf", 9))
        running.shop.pace = Pace.at_once()
        running.shop.limits.enforced = False
        running.shop.add_product("FBA", "Lamp", fba=3)
        app = Application(running, self.clock)
        subscribed(app, destination(app, EVENT_BRIDGE)["destinationId"])
        running.shop.notices.forward("http://127.0.0.1:9/", "k")
        running.shop.notices.paused = True
        return app

    @cached_property
    def amazon_order(self) -> str:
        """Shipped in part, asked to be cancelled, and cancelled late by the seller."""
        shop = self.amazon.shop
        order = shop.buy("A", 3)
        shop.ship(order, {"A": 1})
        shop.ask_to_cancel(order)
        shop.seller_cancels(order)
        return order

    @cached_property
    def shopify(self) -> Running:
        return self._open("shopify", Seed("A", "Mug", 50), Seed("S", "Small", 9, variant_of="Shirt"))

    @cached_property
    def shopify_order(self) -> Json:
        """Shipped, and a part of it taken back."""
        shop = self.shopify.shop
        id = shop.buy("A", 3)["id"]
        shop.ship(id)
        line = shop.order(id)["lines"][0]["id"]
        shop.refund(id, [Refunded(line, 1, "RETURN")], returned=True)
        return order_body(shop.order(id))

    @cached_property
    def woo(self) -> Woo:
        running = self._open("woocommerce", Seed("A", "Mug", 50), Seed("S", "Small", 9, variant_of="Shirt"))
        order = running.shop.buy("A", 3)
        running.shop.refund(order, {"A": 1})
        return Woo(running, order)


class Woo:
    """The local WooCommerce, with an order that was refunded in part."""

    def __init__(self, running: Running, order: int) -> None:
        self.shop, self.order, self._api = running.shop, order, WooApi(running)

    def __call__(self, method: str, path: str, body: object = None) -> Any:
        answer = self._api(method, path, body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    @cached_property
    def delivered(self) -> dict[str, RawRequest]:
        """A delivery of each topic that is recorded, and the ping."""
        receiver = Receiver()
        try:
            topics = ("order.created", "order.updated", "order.deleted", "product.updated")
            wanted = {*topics, "ping", "product.updated variation"}
            for topic in topics:
                self("POST", "webhooks", {"topic": topic, "delivery_url": receiver.url, "secret": "s"})
            order = self.shop.buy("A", 1)
            assert self.shop.wait_delivered()
            self.shop.set_figure("S", 8)
            assert self.shop.wait_delivered()
            self.shop.ship(order)
            assert self.shop.wait_delivered()
            self.shop.trash(order)
            assert self.shop.wait_delivered()
            got = receiver.wait(lambda found: {_topic(r) for r in found} >= wanted)
        finally:
            receiver.close()
        return {_topic(request): request for request in got}

    @property
    def shirt(self) -> int:
        """The product that has variations."""
        return next(int(p["id"]) for p in self("GET", "products") if p["type"] == "variable")


def _topic(request: RawRequest) -> str:
    """A delivery's topic; a variation's body is not quite a product's."""
    variation = b'"type":"variation"' in request.body
    return (request.header("X-WC-Webhook-Topic") or "ping") + (" variation" if variation else "")


@pytest.fixture(scope="module")
def street() -> Iterator[Street]:
    street = Street()
    with street.stack:
        yield street


# Amazon ---------------------------------------------------------------------------------------------------------


def amazon_error(file: Path, street: Street) -> None:
    published, shop = read(file), street.amazon.shop
    shop.limits.enforced, shop.limits.plans["getOrder"] = True, Plan(0.5, 0)
    try:
        answer = street.amazon.ask("GET", "/orders/2026-01-01/orders/1")
        assert (answer.status_code, answer.json()) == (429, published)
        with pytest.raises(RateLimited):
            adapter(street.amazon).order("1")
    finally:
        shop.limits.enforced, shop.limits.plans["getOrder"] = False, Plan(0.5, 30)


def adapter(app: Application) -> Amazon:
    keys = {k: app.running.credentials[k] for k in ("client_id", "client_secret", "refresh_token")}
    return Amazon("amazon", app.seller, ["A1F83G8C2ARO7P"], address=app.running.base_url, clock=app.clock, **keys)


def amazon_order(file: Path, street: Street) -> None:
    published = read(file)
    theirs = together(published["orders"]) if "orders" in published else published["order"]
    for body in published.get("orders") or [published["order"]]:
        order = read_amazon_order(body)
        # O4: all units were fulfilled, so an execution of a cancellation frees none
        assert [(x.ordered, sum(n.units for n in x.shipped), x.cancelled) for x in order.lines] == [
            (i["quantityOrdered"], i["quantityOrdered"], 0) for i in body["orderItems"]
        ]
        assert (order.id, order.state) == (body["orderId"], OrderState.DONE)
    mine = street.amazon.order(street.amazon_order)
    example = {**theirs, "orderItems": [*theirs["orderItems"], *_cancelled_example()]}
    assert misfits(mine, example) == []
    if "orders" in published:
        answer = street.amazon.orders(maxResultsPerPage=1)
        assert misfits({k: v for k, v in answer.items() if k != "orders"}, published) == []


def _cancelled_example() -> list[Json]:
    """Only the list's example has a cancellation."""
    return [
        o for x in read(FOLDER / "amazon/orders_2026-01-01.searchOrders.200.json")["orders"] for o in x["orderItems"]
    ]


def amazon_listing(file: Path, street: Street) -> None:
    published = read(file)
    for item in published.get("items") or [published]:
        listing = amazon_listings.listing_of(amazon_listings.read_item(item))
        assert (listing.sku, listing.pushable) == (item["sku"], listing.shows is not None)
    data = "summaries,offers,fulfillmentAvailability,issues"
    if "items" in published:
        mine = street.amazon.search(includedData=data, pageSize=1)
        assert misfits({**mine, "items": []}, published) == []
        items, theirs = mine["items"], together([*published["items"], read(file.with_name("getListingsItem.200.json"))])
    else:
        items, theirs = (
            [street.amazon.get(street.amazon.path(sku), marketplaceIds=UK, includedData=data) for sku in ("A", "FBA")],
            published,
        )
    fba = {"fnSku": "X000"}  # only offers that Amazon ships have one, and no example shows it
    assert [misfits(item, {**theirs, "summaries": [{**together(theirs["summaries"]), **fba}]}) for item in items] == [
        []
    ] * len(items)


UK = "A1F83G8C2ARO7P"


def amazon_patched(file: Path, street: Street) -> None:
    published, target = read(file), Target(Ref("GM-ZDPI-9B4E"), 3)
    assert amazon_listings.read_patched(target, published, "job").outcome is Outcome.ACCEPTED
    mine = street.amazon.patch("A", 50)
    assert (misfits(mine, published), mine["status"]) == ([], published["status"])


def amazon_feed(file: Path, street: Street) -> None:
    """The local shop takes the published feed as it is, but for the seller's id; the schemas take what we send."""
    published, shop = read(file), street.amazon.shop
    for kept in published["messages"]:
        if not shop_has(street, kept["sku"]):
            shop.add_product(kept["sku"], "As published", 1, product_type="LUGGAGE")
    feed = handed_in(
        street.amazon, published["messages"], **{k: v for k, v in published["header"].items() if k != "sellerId"}
    )
    report = processing_report(street.amazon, feed)
    assert (report["summary"]["messagesAccepted"], report["issues"]) == (len(published["messages"]), [])
    assert [shop.figure(f"My-SKU-{letter}") for letter in "BDE"] == [10, 10, 10]
    schemas = FOLDER / "amazon/spapi_models/schemas/feeds"
    jsonschema.validate(report, read(schemas / "listings-feed-processing-report-schema-v2.json"))
    assert not shop_has(street, "My-SKU-A")


def shop_has(street: Street, sku: str) -> bool:
    with street.amazon.shop.store.transaction() as db:
        return db.execute("SELECT 1 FROM listing WHERE sku = ?", (sku,)).fetchone() is not None


def amazon_feed_report(file: Path, street: Street) -> None:
    published = read(file)
    refused = list(amazon_listings.read_feed_report(file.read_bytes()))
    assert [(r.ref.listing, r.outcome) for r in refused] == [
        ("My-SKU-B", Outcome.REFUSED),
        ("My-SKU-C", Outcome.REFUSED),
    ]
    report = {"includedData": ["summaries", "fulfillmentAvailability"], "apiVersion": "2021-08-01"}
    feed = handed_in(street.amazon, [message(1, "A", 50), message(2, "B", -1)], report=report)
    assert misfits(processing_report(street.amazon, feed), published) == []


def amazon_feed_schema(file: Path, street: Street) -> None:
    ours = json.loads(amazon_listings.feed("A1", [Target(Ref("00123"), 7), Target(Ref("ü/1"), 0)], {"00123": "HOME"}))
    whole = {**ours, "header": {**ours["header"]}}
    for document in ours["messages"] if "message" in file.name else [whole]:
        jsonschema.validate(document, read(file))


def amazon_report_schema(file: Path, street: Street) -> None:
    feed = handed_in(street.amazon, [message(1, "A", 50), message(2, "none", 1)])
    jsonschema.validate(processing_report(street.amazon, feed), read(file))


TOLD = {
    "OrderChangeNotification": "ORDER_CHANGE",
    "ListingsItemMfnQuantityChange": "LISTINGS_ITEM_MFN_QUANTITY_CHANGE",
    "FeedProcessingFinishedNotification": "FEED_PROCESSING_FINISHED",
}
"""What we subscribe to; the other notifications are about FBA, a listing's state, or vendors' stock."""


def told(street: Street, kind: str) -> list[Json]:
    """What the local shop has told of a kind."""
    assert street.amazon_order
    handed_in(street.amazon, [message(1, "A", 49)])
    street.amazon.shop.set_figure("B", street.amazon.shop.figure("B") + 1)
    with street.amazon.shop.store.transaction() as db:
        events = [json.loads(row["body"]) for row in db.execute("SELECT body FROM message")]
    return [e["detail"] for e in events if e["detail-type"] == kind]


def amazon_notification(file: Path, street: Street) -> None:
    published, name = read(file), file.name.split(".")[0]
    payload = published.get("Payload") or published.get("payload")
    seller = payload.get("SellerId") or payload.get("OrderChangeNotification", {}).get("SellerId") or "A3TH9S8BH6GOGM"
    signal = read_signal(published, seller)
    assert read_signal(published, "A-STRANGER") is None or "sellerId" not in json.dumps(payload).replace(
        "SellerId", "sellerId"
    )
    assert "48110" not in json.dumps(without_buyers(published))
    if name not in TOLD:
        assert signal is None
        return
    kinds = {"ORDER_CHANGE": SignalKind.ORDER, "LISTINGS_ITEM_MFN_QUANTITY_CHANGE": SignalKind.LISTING}
    assert signal is not None and signal.kind is kinds.get(TOLD[name], SignalKind.OTHER)
    mine = told(street, TOLD[name])
    whole = read(file.with_name(f"{name}.0.json"))  # of two examples the other one leaves out the seller
    assert mine and [misfits(one, whole) for one in mine] == [[]] * len(mine)


def amazon_notification_schema(file: Path, street: Street) -> None:
    schema = read(file)
    for example in schema.get("examples", []):
        read_signal(example, "A1")
    if file.stem in TOLD:
        mine = told(street, TOLD[file.stem])
        assert mine
        for one in mine:
            jsonschema.validate(one, schema)


NOT_PLAYED = {
    "putListingsItem": "it would replace a whole listing",
    "deleteListingsItem": "listings are not ours to delete",
    "sendTestNotification": "it would say nothing of an order",
    "createInventoryItem": "of Amazon's own test system only",
    "deleteInventoryItem": "of Amazon's own test system only",
    "addInventory": "of Amazon's own test system only",
}
"""Operations of the models that nobody here calls. Of ordersV0, which ends on 2027-03-27, none is played."""


def amazon_model(file: Path, street: Street) -> None:
    """Each operation of a model is answered, or it is said why not. Bodies are checked in test_sandbox_amazon.py."""
    mine = [o for o in operations(FOLDER.parents[1]) if o.model == read(file)]
    assert mine
    missing = {o.id for o in mine if not _is_played(street.amazon, o)}
    assert missing == ({o.id for o in mine} if file.stem == "ordersV0" else {o.id for o in mine} & NOT_PLAYED.keys())


def _is_played(app: Application, operation: Operation) -> bool:
    path = re.sub(r"\[\^/\]\+", "x", operation.pattern.pattern.removesuffix("$")).replace("\\", "")
    answer = app.ask(operation.method, path)
    words = answer.json()["errors"][0]["message"] if answer.status_code in (404, 405) else ""
    return not words.startswith(("The requested URL was not found", "The method is not allowed"))


# Shopify --------------------------------------------------------------------------------------------------------


def shopify_vectors(file: Path, street: Street) -> None:
    for vector in read(file)["vectors"]:
        body = vector["body"].encode()
        assert signed_by([vector["secret"]], body, vector["signature"]) is vector["valid"]
        assert (sign(vector["secret"], body) == vector["signature"]) is vector["valid"]


NEWER = frozenset(
    {"admin_graphql_api_id", "confirmed", "current_quantity", "fulfillable_quantity", "location_id", "name", "order_id",
     "order_number", "processed_at", "product_exists", "restock_type", "return", "source_identifier"}
)  # fmt: skip
"""Names in today's deliveries that these examples of 2008 to 2018 do not have."""


def shopify_order(file: Path, street: Street) -> None:
    published = read(file)["order"]
    (signal,) = read_signals("orders/updated", published)
    assert (signal.kind, signal.id) == (SignalKind.ORDER, str(published["id"]))
    assert read_body(published) is None  # without fulfillable_quantity it is no whole level: a pointer
    assert misfits(street.shopify_order, published, newer=NEWER | {"refunds", "fulfillments"}) == []


def shopify_part(file: Path, street: Street) -> None:
    """A refund or a fulfilment: a pointer to its order."""
    name = file.stem
    published = read(file)[name]
    (signal,) = read_signals({"refund": "refunds/create", "fulfillment": "fulfillments/update"}[name], published)
    assert (signal.kind, signal.id) == (SignalKind.ORDER, str(published["order_id"]))
    mine = street.shopify_order[f"{name}s"][0]
    assert misfits(mine, published, newer=NEWER) == []


def shopify_level(file: Path, street: Street) -> None:
    published = read(file)
    for level in published.get("inventory_levels") or [published["inventory_level"]]:
        (signal,) = read_signals("inventory_levels/update", level)
        assert signal.kind is SignalKind.LISTING


def shopify_not_read(file: Path, street: Street) -> None:
    """REST's places and variants: read by GraphQL here, and no webhook that we subscribe to carries them."""
    published = read(file)
    kind = {"locations": "locations/update", "variant": "variants/in_stock"}[file.stem]
    one = published["locations"][0] if "locations" in published else published["variant"]
    assert all(signal.kind is not SignalKind.ORDER for signal in read_signals(kind, one))


def shopify_recording(file: Path, street: Street) -> None:
    """Every recorded answer: read without surprise, and each value one that the local shop's type may have."""
    schema = build_schema(SDL)
    found = list(_answers(read(file)))
    assert found
    for answer in found:
        error = graphql_error("web", answer, write=True)
        assert error is None or isinstance(error, ChannelRefused)
    wrong = [x for answer in found for x in _unfit(schema, answer.get("data") or {})]
    assert wrong == []


def _answers(recorded: Any) -> Iterator[Json]:
    if isinstance(recorded, dict):
        if isinstance(recorded.get("data"), dict) or isinstance(recorded.get("errors"), list):
            yield recorded
        for inner in recorded.values():
            yield from _answers(inner)
    elif isinstance(recorded, list):
        for inner in recorded:
            yield from _answers(inner)


def _unfit(schema: GraphQLSchema, data: Json) -> Iterator[str]:
    assert schema.query_type and schema.mutation_type
    roots = {**schema.query_type.fields, **schema.mutation_type.fields}
    for name, value in data.items():
        if name in roots:  # aliases, and what the local shop does not play, are the recorder's own
            yield from _unfit_value(value, roots[name].type, name)


def _unfit_value(value: Any, kind: Any, where: str) -> Iterator[str]:
    if value is None:
        if isinstance(kind, GraphQLNonNull):
            yield f"{where} is null"
        return
    kind = get_nullable_type(kind)
    if isinstance(kind, GraphQLList):
        for one in value:
            yield from _unfit_value(one, kind.of_type, f"{where}[]")
        return
    named = get_named_type(kind)
    if isinstance(named, GraphQLEnumType):
        if value not in named.values and named.name != "WebhookSubscriptionTopic":  # it has those of orders and stock
            yield f"{where}: {value}"
        return
    for name, field in getattr(named, "fields", {}).items():
        if isinstance(value, dict) and name in value:
            yield from _unfit_value(value[name], field.type, f"{where}.{name}")


# WooCommerce ----------------------------------------------------------------------------------------------------


def woo_vectors(file: Path, street: Street) -> None:
    for vector in read(file)["vectors"]:
        body = vector["body"].encode()
        assert base64.b64encode(signature(vector["secret"], body)).decode() == vector["signature"]
        # the site signs with the secret as it keeps it, entities decoded
        assert woo_signature(vector["secret"], body) == vector["signature"]


WOO_NEWER = frozenset(
    {"brands", "currency_symbol", "display_key", "display_value", "fee_lines", "global_unique_id", "has_options",
     "image", "is_editable", "low_stock_amount", "name", "needs_payment", "needs_processing", "parent_id",
     "parent_name", "payment_url", "phone", "post_password", "price_html", "shipping_lines", "slug", "tax_lines",
     "type"}
)  # fmt: skip
"""Names in 11.0 that the documentation of 2017 does not have; against recordings none is allowed."""


def newer(file: Path) -> frozenset[str]:
    return frozenset() if file.parent.name == "recorded" else WOO_NEWER


def woo_order(file: Path, street: Street) -> None:
    published = read(file)
    order = read_order(published)
    assert order.id == str(published["id"])
    assert [line.ordered for line in order.lines] == [line["quantity"] for line in published["line_items"]]
    mine = street.woo("GET", f"orders/{street.woo.order}")
    assert misfits(mine, published, newer=newer(file)) == []


def woo_product(file: Path, street: Street) -> None:
    published = read(file)
    for body in published if isinstance(published, list) else [published]:
        assert read_listing(body).ref.listing == str(body["id"])
    theirs = together(published) if isinstance(published, list) else published
    for mine in street.woo("GET", "products"):
        asked = {k: v for k, v in mine.items() if k in theirs} if isinstance(published, list) else mine  # with _fields
        assert misfits(asked, theirs, newer=newer(file)) == []
        assert theirs.keys() <= mine.keys() or file.name == "product.json"


def woo_variation(file: Path, street: Street) -> None:
    published = read(file)
    parent = street.woo("GET", f"products/{street.woo.shirt}")
    listing = read_listing(published, parent)
    assert (listing.ref.listing, listing.ref.parent) == (str(published["id"]), str(parent["id"]))
    (mine,) = street.woo("GET", f"products/{parent['id']}/variations")
    published["status"] = "publish"  # the documentation's "true" was never one of its words
    assert misfits(mine, published, newer=newer(file)) == []


def woo_refund(file: Path, street: Street) -> None:
    published = read(file)
    units = sum(refund.units for refund in read_refunds([published]))
    assert units == -sum(line["quantity"] for line in published["line_items"])
    (mine,) = street.woo("GET", f"orders/{street.woo.order}/refunds")
    assert misfits(mine, published, newer=newer(file)) == []


def woo_batch(file: Path, street: Street) -> None:
    """A recorded batch is read row by row; the local shop's has the same rows."""
    published = read(file)
    rows = published if isinstance(published, list) else published.get("update") or published["create"]
    answer = {"update": rows}
    targets = [Target(Ref(str(row["id"])), row.get("stock_quantity") or 0) for row in rows]
    outcomes = [result.outcome for result in read_batch(targets, answer)]
    assert len(outcomes) == len(rows) and Outcome.ACCEPTED not in outcomes
    sku, path = (
        ("S", f"products/{street.woo.shirt}/variations/batch") if "variations" in file.name else ("A", "products/batch")
    )
    asked = {
        "update": [{"id": street.woo.shop.product_id(sku), "stock_quantity": 9}, {"id": 999999, "stock_quantity": 1}]
    }
    mine = street.woo("POST", path, asked)
    theirs = together([*rows, {"error": {"code": "", "message": "", "data": {"status": 0}}}])
    assert [misfits(row, theirs, newer=newer(file)) for row in mine["update"]] == [[]] * len(mine["update"])


def woo_delivery(file: Path, street: Street) -> None:
    """The local shop sends what is recorded, under the same headers and with a body of the same kind."""
    recorded = raw_request(file)
    topic = _topic(recorded)
    mine = street.woo.delivered[topic]
    transport = {"host", "accept", "accept-encoding", "connection", "content-length", "referer", "expect"}
    names = {name.lower() for name in mine.headers} - transport
    assert names == {name.lower() for name in recorded.headers} - transport
    if topic == "ping":
        assert re.fullmatch(rb"webhook_id=\d+", mine.body) and re.fullmatch(rb"webhook_id=\d+", recorded.body)
        return
    said = json.loads(recorded.body)
    if "code" not in said:  # one recorded body is WordPress's own error, signed
        assert misfits(json.loads(mine.body), said) == []


# who has which --------------------------------------------------------------------------------------------------

Check = Callable[[Path, Street], None]

CHECKS: dict[str, Check] = {
    "amazon/errors.429.json": amazon_error,
    "amazon/orders_*.json": amazon_order,
    "amazon/getListingsItem.*.json": amazon_listing,
    "amazon/searchListingsItems.*.json": amazon_listing,
    "amazon/patchListingsItem.*.json": amazon_patched,
    "amazon/listings-feed-v2.example.json": amazon_feed,
    "amazon/listings-feed-processing-report-v2.example.json": amazon_feed_report,
    "amazon/notifications/*.json": amazon_notification,
    "amazon/spapi_models/models/*.json": amazon_model,
    "amazon/spapi_models/schemas/notifications/*.json": amazon_notification_schema,
    "amazon/spapi_models/schemas/feeds/listings-feed-schema-v2.json": amazon_feed_schema,
    "amazon/spapi_models/schemas/feeds/listings-feed-message-schema-v2.json": amazon_feed_schema,
    "amazon/spapi_models/schemas/feeds/listings-feed-schema-v2.example.json": amazon_feed,
    "amazon/spapi_models/schemas/feeds/listings-feed-processing-report-schema-v2.json": amazon_report_schema,
    "amazon/spapi_models/schemas/feeds/listings-feed-processing-report-schema-v2.example.json": amazon_feed_report,
    "shopify/hmac_vectors.json": shopify_vectors,
    "shopify/admin-2026-04/*.json": shopify_recording,
    "shopify/rest-payloads/order.json": shopify_order,
    "shopify/rest-payloads/refund.json": shopify_part,
    "shopify/rest-payloads/fulfillment.json": shopify_part,
    "shopify/rest-payloads/inventory_level*.json": shopify_level,
    "shopify/rest-payloads/locations.json": shopify_not_read,
    "shopify/rest-payloads/variant.json": shopify_not_read,
    "woocommerce/signature_vectors.json": woo_vectors,
    "woocommerce/order.json": woo_order,
    "woocommerce/product.json": woo_product,
    "woocommerce/variation.json": woo_variation,
    "woocommerce/refund.json": woo_refund,
    "woocommerce/variations_batch_response.json": woo_batch,
    "woocommerce/recorded/order_*.json": woo_order,
    "woocommerce/recorded/refund_*.json": woo_refund,
    "woocommerce/recorded/products_list.json": woo_product,
    "woocommerce/recorded/stock_batch_*.json": woo_batch,
    "woocommerce/recorded/webhooks/*.http": woo_delivery,
}

ELSEWHERE = {
    "shopify/admin-2026-07.graphql": (
        "test_channel_shopify.py", "test_every_document_is_valid_under_the_published_schema",
        "test_the_local_shop_has_the_vendors_names_and_types", "test_every_error_code_of_a_write_has_its_meaning",
    ),
    "shopify/admin-2026-04/inventory*.json": (
        "test_channel_shopify.py", "test_the_local_shop_answers_writes_as_the_vendor_was_recorded",
        "test_recorded_answers_are_read_as_what_they_mean",
    ),
    "shopify/admin-2026-04/webhook-subscription-conformance.json": (
        "test_channel_shopify.py", "test_webhook_subscriptions_are_refused_as_recorded",
    ),
    "shopify/admin-2026-04/orderCancel-*.json": ("test_channel_shopify.py", "test_a_cancelled_order_reads_as_recorded"),
    "woocommerce/recorded/webhooks/*.http": (
        "test_channel_woocommerce.py", "test_real_deliveries_are_verified_and_pings_answered",
        "test_real_deliveries_signal_what_to_look_at",
    ),
}  # fmt: skip
"""Files that a test of another module walks too: its name, and the tests'."""


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the vendors' published examples are not beside this repository")
@pytest.mark.parametrize("name", files())
def test_what_vendors_publish_is_taken_and_fits(name: str, street: Street) -> None:
    checks = [check for pattern, check in CHECKS.items() if fnmatch.fnmatch(name, pattern)]
    told = [tests for pattern, tests in ELSEWHERE.items() if fnmatch.fnmatch(name, pattern)]
    assert checks or told, f"nobody has {name}: give it a check here"
    for check in checks:
        check(FOLDER / name, street)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the vendors' published examples are not beside this repository")
@pytest.mark.parametrize("pattern", [*CHECKS, *ELSEWHERE])
def test_each_check_has_its_files(pattern: str) -> None:
    assert fnmatch.filter(files(), pattern)
    for module, *names in [ELSEWHERE[pattern]] if pattern in ELSEWHERE else []:
        known = {n.name for n in ast.walk(ast.parse((ROOT / module).read_text())) if isinstance(n, ast.FunctionDef)}
        assert set(names) <= known
