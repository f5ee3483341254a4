"""The Admin GraphQL API over the shop: parse, validate, price, execute, and answer as the vendor does.

One operation is one transaction: an answer is sent when it is durable, and a failure of ours changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    execute,
    get_directive_values,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    parse,
    type_from_ast,
    validate,
)

from sheets_sync.sandbox.shops._common import Clock, ShopRefuses
from sheets_sync.sandbox.shops.shopify import _returns
from sheets_sync.sandbox.shops.shopify._bulk import Bulk
from sheets_sync.sandbox.shops.shopify._cost import SINGLE_QUERY_MOST, Bucket, CostMeter
from sheets_sync.sandbox.shops.shopify._hooks import Hooks
from sheets_sync.sandbox.shops.shopify._model import MOST, Claim, Refunded, Shop
from sheets_sync.sandbox.shops.shopify._orders import Doc, current, fulfilment_word, unfulfilled
from sheets_sync.sandbox.shops.shopify._schema import REASONS, SDL

if TYPE_CHECKING:
    from graphql import GraphQLResolveInfo

    Info = GraphQLResolveInfo[Any]

MOST_INPUTS = 250
MOST_PAGE = 250
CURRENCY = "EUR"
KEY_LIFE = timedelta(hours=24)
ORDERS_REACH = timedelta(days=60)
STATES = ("available", "committed", "on_hand", "incoming", "reserved", "damaged", "quality_control", "safety_stock")

Fields = dict[str, Any]
Problem = dict[str, Any]


class Engine:
    """Answers GraphQL requests of one app. `scopes` bound what it may see: without read_all_orders, 60 days."""

    def __init__(self, shop: Shop, hooks: Hooks, clock: Clock, domain: str, scopes: Sequence[str]) -> None:
        self.shop = shop
        self.hooks = hooks
        self.clock = clock
        self.domain = domain
        self.scopes = tuple(scopes)
        self.bucket = Bucket()
        self.schema = _schema()
        self.bulk = Bulk(shop, self._execute_in_bulk)
        self._idempotent = next(d for d in self.schema.directives if d.name == "idempotent")
        self._parsed: dict[str, DocumentNode | list[GraphQLError]] = {}

    # one request ----------------------------------------------------------------------------------------------------

    def answer(self, query: str, variables: Mapping[str, Any], operation_name: str | None = None) -> Fields:
        """The JSON answer to one request; HTTP status 200 whatever it says, as the vendor does."""
        try:
            document = self._document(query)
        except GraphQLError as error:
            return {"errors": [error.formatted]}
        if isinstance(document, list):
            return {"errors": [error.formatted for error in document]}
        operation = _operation(document, operation_name)
        if operation is None:
            return {"errors": [{"message": "An operation name is required"}]}
        return self._run(document, operation, variables, operation_name)

    def _document(self, query: str) -> DocumentNode | list[GraphQLError]:
        """The query parsed, or what is wrong with it; kept, as clients send the same few words again and again."""
        found = self._parsed.get(query)
        if found is None:
            document = parse(query)
            found = self._parsed[query] = validate(self.schema, document) or document
            if len(self._parsed) > 200:
                self._parsed.pop(next(iter(self._parsed)))
        return found

    def _run(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
        operation_name: str | None,
    ) -> Fields:
        strangers = _unknown_fields(self.schema, operation, variables)
        if strangers:
            return {"errors": strangers}
        fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        meter = CostMeter(self.schema, operation, fragments, variables)
        requested = meter.requested()
        if requested > SINGLE_QUERY_MOST:
            return _too_dear(requested)
        if not self.bucket.take(requested, self.clock()):
            return self._throttled(requested)
        with self.shop.store.transaction():
            result = execute(
                self.schema,
                document,
                root_value=self._root(),
                variable_values=dict(variables),
                operation_name=operation_name,
                field_resolver=_resolve,
            )
            assert isinstance(result, ExecutionResult)
            _raise_ours(result)
        actual = min(requested, meter.actual(result.data))
        self.bucket.give_back(requested - actual)
        return self._answer(result, requested, actual)

    def _execute_in_bulk(self, document: DocumentNode) -> ExecutionResult:
        result = execute(self.schema, document, root_value=self._root(), field_resolver=_resolve)
        assert isinstance(result, ExecutionResult)
        _raise_ours(result)
        return result

    def _answer(self, result: ExecutionResult, requested: int, actual: int) -> Fields:
        answer: Fields = {}
        if result.errors:
            answer["errors"] = [_formatted(error) for error in result.errors]
        answer["data"] = result.data
        cost = {"requestedQueryCost": requested, "actualQueryCost": actual}
        answer["extensions"] = {"cost": cost | {"throttleStatus": self.bucket.status(self.clock())}}
        return answer

    def _throttled(self, requested: int) -> Fields:
        cost = {"requestedQueryCost": requested, "actualQueryCost": None}
        return {
            "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],
            "extensions": {"cost": cost | {"throttleStatus": self.bucket.status(self.clock())}},
        }

    def _root(self) -> Fields:
        return self._queries() | self._mutations()

    # queries --------------------------------------------------------------------------------------------------------

    def _queries(self) -> Fields:
        return {
            "shop": self._shop,
            "currentAppInstallation": self._installation,
            "node": lambda info, id: self._node(id),
            "nodes": self._nodes,
            "location": lambda info, id=None: self._by_gid("Location", id or gid("Location", self.shop.location_id)),
            "locations": self._locations,
            "product": lambda info, id: self._by_gid("Product", id),
            "products": lambda info, **a: self._page("product", self._product, a, _catalogue_filter),
            "productVariant": lambda info, id: self._by_gid("ProductVariant", id),
            "productVariants": lambda info, **a: self._page("variant", self._variant, a, _catalogue_filter),
            "inventoryItem": lambda info, id: self._by_gid("InventoryItem", id),
            "inventoryItems": lambda info, **a: self._page("item", self._item, a, _catalogue_filter),
            "inventoryLevel": lambda info, id: self._by_gid("InventoryLevel", id),
            "order": lambda info, id: self._by_gid("Order", id),
            "orders": self._orders,
            "fulfillmentOrder": lambda info, id: self._by_gid("FulfillmentOrder", id),
            "reverseFulfillmentOrder": lambda info, id: self._by_gid("ReverseFulfillmentOrder", id),
            "productVariantsCount": self._how_many_variants,
            "bulkOperation": lambda info, id: self.bulk.look(number(id, "BulkOperation")),
            "webhookSubscription": lambda info, id: self._by_gid("WebhookSubscription", id),
            "webhookSubscriptions": self._subscriptions,
        }

    def _shop(self, info: Info) -> Fields:
        return {
            "id": gid("Shop", 1),
            "name": self.shop.display_name,
            "myshopifyDomain": self.domain,
            "ianaTimezone": "America/Bogota",
            "currencyCode": CURRENCY,
            "url": f"https://{self.domain}",
        }

    def _how_many_variants(self, info: Info, query: str | None = None, limit: int | None = 10_000) -> Fields:
        (row,) = self.shop.docs.rows("SELECT count(*) AS n FROM doc WHERE kind = ?", ["variant"])
        return {"count": row["n"] if limit is None else min(row["n"], limit)}

    def _installation(self, info: Info) -> Fields:
        scopes = [{"handle": scope, "description": scope.replace("_", " ").capitalize()} for scope in self.scopes]
        return {"id": gid("AppInstallation", 1), "accessScopes": scopes}

    def _nodes(self, info: Info, ids: Sequence[str]) -> list[Fields | None]:
        if len(ids) > MOST_INPUTS:
            raise _too_many("ids", len(ids))
        return [self._node(id) for id in ids]

    def _node(self, id: str) -> Fields | None:
        found = re.match(r"gid://shopify/(\w+)/", id)
        if found is None:
            raise GraphQLError(f"Invalid global id '{id}'", extensions={"code": "argumentLiteralsIncompatible"})
        return self._by_gid(found[1], id)

    def _by_gid(self, kind: str, id: str) -> Fields | None:
        readers: dict[str, tuple[str, Callable[[Doc], Fields]]] = {
            "Location": ("location", self._location),
            "Product": ("product", self._product),
            "ProductVariant": ("variant", self._variant),
            "InventoryItem": ("item", self._item),
            "Order": ("order", self._order),
            "WebhookSubscription": ("subscription", self._subscription),
        }
        if kind == "InventoryLevel":
            return self._level_by_gid(id)
        if kind == "FulfillmentOrder":
            return self._fulfillment_order_by_gid(id)
        if kind in ("Fulfillment", "Refund"):
            return self._part_by_gid(kind, id)
        if kind in ("Return", "ReverseFulfillmentOrder"):
            return self._return_by_gid(kind, id)
        if kind not in readers:
            return None
        doc = self.shop.docs.get(readers[kind][0], number(id, kind))
        if doc is None or (kind == "Order" and not self._in_reach(doc)):
            return None
        return readers[kind][1](doc)

    def _in_reach(self, order: Doc) -> bool:
        return "read_all_orders" in self.scopes or bool(order["created_at"] >= self._reach())

    def _reach(self) -> str:
        return (self.clock().astimezone(UTC) - ORDERS_REACH).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _locations(self, info: Info, **arguments: Any) -> Fields:
        inactive = arguments.pop("includeInactive", False)
        docs = [d for d in self.shop.docs.select("location") if d["active"] or inactive]
        return listed([self._location(d) for d in docs], arguments)

    def _orders(self, info: Info, **arguments: Any) -> Fields:
        by_update = arguments.pop("sortKey", "PROCESSED_AT") == "UPDATED_AT"

        def only(query: str | None) -> tuple[str, list[object]]:
            where, values = _time_filter(query)
            if "read_all_orders" in self.scopes:
                return where, values
            return where + " AND json_extract(body, '$.created_at') >= ?", [*values, self._reach()]

        return self._page("order", self._order, arguments, only, by_sort=by_update)

    def _subscriptions(self, info: Info, **arguments: Any) -> Fields:
        topics, uri = arguments.pop("topics", None), arguments.pop("uri", None)
        docs = [
            d
            for d in self.shop.docs.select("subscription")
            if (not topics or d["topic"] in topics) and (uri is None or d["uri"] == uri)
        ]
        return listed([self._subscription(d) for d in docs], arguments)

    def _page(
        self,
        kind: str,
        show: Callable[[Doc], Fields],
        arguments: Mapping[str, Any],
        only: Callable[[str | None], tuple[str, list[object]]],
        *,
        by_sort: bool = False,
    ) -> Fields:
        """A page straight from the store: key set paging over (sort, id) or id."""
        size, after, backwards = page_arguments(arguments)
        down = bool(arguments.get("reverse")) != backwards
        by_sort = by_sort or arguments.get("sortKey") == "SKU"
        where, values = only(arguments.get("query"))
        if after is not None:
            where += (
                f" AND (sort, id) {'<' if down else '>'} (?, ?)" if by_sort else f" AND id {'<' if down else '>'} ?"
            )
            values += after if by_sort else after[1:]
        way = "DESC" if down else "ASC"
        order = f"sort {way}, id {way}" if by_sort else f"id {way}"
        sql = f"SELECT sort, id, body FROM doc WHERE kind = ? {where} ORDER BY {order} LIMIT ?"
        rows = self.shop.docs.rows(sql, [kind, *values, size + 1])
        kept = rows[:size]
        edges = [{"cursor": _cursor(row["sort"], row["id"]), "node": show(json.loads(row["body"]))} for row in kept]
        return connection(edges, len(rows) > size, after is not None, backwards)

    # objects --------------------------------------------------------------------------------------------------------

    def _location(self, doc: Doc) -> Fields:
        return {
            "__typename": "Location",
            "id": gid("Location", doc["id"]),
            "legacyResourceId": str(doc["id"]),
            "name": doc["name"],
            "isActive": doc["active"],
            "fulfillsOnlineOrders": doc["online"],
            "isFulfillmentService": doc.get("service", False),
            "shipsInventory": doc["online"],
            "createdAt": doc["created_at"],
            "updatedAt": doc["updated_at"],
            "inventoryLevel": lambda info, inventoryItemId, includeInactive=False: self._item_level(
                self.shop.docs.get("item", number(inventoryItemId, "InventoryItem")), doc["id"], includeInactive
            ),
        }

    def _product(self, doc: Doc) -> Fields:
        return {
            "__typename": "Product",
            "id": gid("Product", doc["id"]),
            "legacyResourceId": str(doc["id"]),
            "title": doc["title"],
            "status": "ACTIVE",
            "createdAt": doc["created_at"],
            "updatedAt": doc["updated_at"],
            "totalInventory": lambda info: sum(
                self._total_available(v["item_id"]) for v in self._variants(doc) if self._tracked(v)
            ),
            "tracksInventory": lambda info: any(self._tracked(v) for v in self._variants(doc)),
            "variants": lambda info, **a: listed([self._variant(v) for v in self._variants(doc)], a),
        }

    def _variants(self, product: Doc) -> list[Doc]:
        return self.shop.docs.select("variant", "AND json_extract(body, '$.product_id') = ?", (product["id"],))

    def _tracked(self, variant: Doc) -> bool:
        return bool(self._must("item", variant["item_id"])["tracked"])

    def _variant(self, doc: Doc) -> Fields:
        product = self.shop.docs.get("product", doc["product_id"])
        assert product is not None
        return {
            "__typename": "ProductVariant",
            "id": gid("ProductVariant", doc["id"]),
            "legacyResourceId": str(doc["id"]),
            "sku": doc["sku"],
            "barcode": doc.get("barcode"),
            "title": doc["title"],
            "displayName": f"{product['title']} - {doc['title']}",
            "price": doc["price"],
            "inventoryPolicy": doc["policy"],
            "inventoryQuantity": lambda info: self._total_available(doc["item_id"]),
            "inventoryItem": lambda info: self._item(self._must("item", doc["item_id"])),
            "product": self._product(product),
            "createdAt": doc["created_at"],
            "updatedAt": doc["updated_at"],
        }

    def _total_available(self, item_id: int) -> int:
        levels = self._must("item", item_id)["levels"].values()
        return sum(level["available"] for level in levels if level["active"])

    def _must(self, kind: str, id: int) -> Doc:
        doc = self.shop.docs.get(kind, id)
        assert doc is not None, f"{kind} {id} is missing"
        return doc

    def _item(self, doc: Doc) -> Fields:
        return {
            "__typename": "InventoryItem",
            "id": gid("InventoryItem", doc["id"]),
            "legacyResourceId": str(doc["id"]),
            "sku": doc["sku"],
            "tracked": doc["tracked"],
            "requiresShipping": True,
            "createdAt": doc["created_at"],
            "updatedAt": doc["updated_at"],
            "variant": lambda info: self._variant(self._must("variant", doc["variant_id"])),
            "inventoryLevel": lambda info, locationId, includeInactive=False: self._item_level(
                doc, number(locationId, "Location"), includeInactive
            ),
            "inventoryLevels": lambda info, **a: self._item_levels(doc, a),
        }

    def _item_levels(self, doc: Doc, arguments: dict[str, Any]) -> Fields:
        inactive = arguments.pop("includeInactive", False)
        levels = [self._item_level(doc, int(place), inactive) for place in doc["levels"]]
        return listed([level for level in levels if level is not None], arguments)

    def _item_level(self, item: Doc | None, place: int, inactive: bool) -> Fields | None:
        level = None if item is None else item["levels"].get(str(place))
        if item is None or level is None or not (level["active"] or inactive):
            return None
        return self._level(item, place, level)

    def _level(self, item: Doc, place: int, level: Doc) -> Fields:
        return {
            "__typename": "InventoryLevel",
            "id": f"{gid('InventoryLevel', place)}?inventory_item_id={item['id']}",
            "isActive": level["active"],
            "item": lambda info: self._item(item),
            "location": lambda info: self._location(self._must("location", place)),
            "createdAt": level["created_at"],
            "updatedAt": level["updated_at"],
            "quantities": lambda info, names: [_quantity(item, place, level, name) for name in names],
        }

    def _level_by_gid(self, id: str) -> Fields | None:
        found = re.fullmatch(r"gid://shopify/InventoryLevel/(\d+)\?inventory_item_id=(\d+)", id)
        if found is None:
            return None
        return self._item_level(self.shop.docs.get("item", int(found[2])), int(found[1]), True)

    def _order(self, doc: Doc) -> Fields:
        return {
            "__typename": "Order",
            "id": gid("Order", doc["id"]),
            "legacyResourceId": str(doc["id"]),
            "name": doc["name"],
            "email": doc["email"],
            "note": doc["note"],
            "test": doc["test"],
            "edited": doc["edited"],
            "confirmed": True,
            "closed": doc["closed_at"] is not None,
            "closedAt": doc["closed_at"],
            "createdAt": doc["created_at"],
            "processedAt": doc["processed_at"],
            "updatedAt": doc["updated_at"],
            "cancelledAt": doc["cancelled_at"],
            "cancelReason": doc["cancel_reason"],
            "cancellation": {"staffNote": doc["staff_note"]} if doc["cancelled_at"] else None,
            "displayFinancialStatus": doc["financial"],
            "displayFulfillmentStatus": fulfilment_word(doc),
            "tags": doc.get("tags", []),
            "currencyCode": CURRENCY,
            "totalPriceSet": _money(_total(doc, lambda line: line["quantity"])),
            "currentTotalPriceSet": _money(_total(doc, current)),
            "sourceName": doc["source"],
            "sourceIdentifier": doc["source_identifier"],
            "lineItems": lambda info, **a: listed([self._line(line) for line in doc["lines"]], a),
            "fulfillments": lambda info, first=None: [self._fulfillment(doc, f) for f in doc["fulfillments"][:first]],
            "fulfillmentOrders": lambda info, **a: listed(
                [self._fulfillment_order(doc, f) for f in doc["fulfillment_orders"]], a
            ),
            "refunds": lambda info, first=None: [self._refund(doc, r) for r in doc["refunds"][:first]],
            "returnStatus": _returns.status(doc),
            "returns": lambda info, **a: listed(
                [_returns.shown_return(doc, one, self._line, listed) for one in doc.get("returns", [])], a
            ),
        }

    def _line(self, line: Doc) -> Fields:
        variant = None if line["variant_id"] is None else self.shop.docs.get("variant", line["variant_id"])
        name = f"{line['title']} - {line['variant_title']}" if line["variant_title"] else line["title"]
        return {
            "__typename": "LineItem",
            "id": gid("LineItem", line["id"]),
            "sku": line["sku"],
            "title": line["title"],
            "name": name,
            "variantTitle": line["variant_title"],
            "originalUnitPriceSet": _money(Decimal(line["price"])),
            "quantity": line["quantity"],
            "currentQuantity": current(line),
            "unfulfilledQuantity": unfulfilled(line),
            "fulfillableQuantity": unfulfilled(line),
            "nonFulfillableQuantity": line["quantity"] - line["fulfilled"] - unfulfilled(line),
            "refundableQuantity": current(line),
            "requiresShipping": True,
            "variant": None if variant is None else self._variant(variant),
            "product": lambda info: (
                None if line["product_id"] is None else self._product(self._must("product", line["product_id"]))
            ),
        }

    def _fulfillment(self, order: Doc, doc: Doc) -> Fields:
        lines = {line["id"]: line for line in order["lines"]}
        parts = [
            {
                "id": gid("FulfillmentLineItem", part["id"]),
                "quantity": part["quantity"],
                "lineItem": self._line(lines[part["line_id"]]),
            }
            for part in doc["lines"]
        ]
        return {
            "__typename": "Fulfillment",
            "id": gid("Fulfillment", doc["id"]),
            "legacyResourceId": str(doc["id"]),
            "name": f"{order['name']}-F{doc['number']}",
            "status": doc["status"],
            "createdAt": doc["created_at"],
            "updatedAt": doc["updated_at"],
            "location": lambda info: self._location(self._must("location", doc["location_id"])),
            "totalQuantity": sum(part["quantity"] for part in doc["lines"]),
            "order": lambda info: self._order(order),
            "fulfillmentLineItems": lambda info, **a: listed(parts, a),
        }

    def _fulfillment_order(self, order: Doc, doc: Doc) -> Fields:
        lines = {line["id"]: line for line in order["lines"]}
        parts = [self._fulfillment_order_line(part, lines[part["line_id"]]) for part in doc["lines"]]
        left = sum(part["remainingQuantity"] for part in parts)
        sent = any(lines[part["line_id"]]["fulfilled"] for part in doc["lines"])
        return {
            "__typename": "FulfillmentOrder",
            "id": gid("FulfillmentOrder", doc["id"]),
            "status": "CLOSED" if not left else "IN_PROGRESS" if sent else "OPEN",
            "requestStatus": "UNSUBMITTED",
            "createdAt": doc["created_at"],
            "updatedAt": order["updated_at"],
            "orderId": gid("Order", order["id"]),
            "orderName": order["name"],
            "order": lambda info: self._order(order),
            "assignedLocation": lambda info: self._assigned(doc["location_id"]),
            "lineItems": lambda info, **a: listed(parts, a),
        }

    def _assigned(self, place: int) -> Fields:
        location = self._location(self._must("location", place))
        return {"name": location["name"], "location": location}

    def _fulfillment_order_line(self, part: Doc, line: Doc) -> Fields:
        return {
            "__typename": "FulfillmentOrderLineItem",
            "id": gid("FulfillmentOrderLineItem", part["id"]),
            "inventoryItemId": None if line["item_id"] is None else gid("InventoryItem", line["item_id"]),
            "sku": line["sku"],
            "totalQuantity": line["quantity"] - line["removed"],
            "remainingQuantity": unfulfilled(line),
            "requiresShipping": True,
            "lineItem": self._line(line),
        }

    def _fulfillment_order_by_gid(self, id: str) -> Fields | None:
        found = self._find_fulfillment_order(id)
        return None if found is None else self._fulfillment_order(*found)

    def _part_by_gid(self, kind: str, id: str) -> Fields | None:
        wanted = number(id, kind)
        for order in self._orders_naming(wanted):
            for doc in order["fulfillments" if kind == "Fulfillment" else "refunds"]:
                if doc["id"] == wanted:
                    return self._fulfillment(order, doc) if kind == "Fulfillment" else self._refund(order, doc)
        return None

    def _return_by_gid(self, kind: str, id: str) -> Fields | None:
        wanted = number(id, kind)
        for order in self._orders_naming(wanted):
            for one in order.get("returns", []):
                if kind == "Return" and one["id"] == wanted:
                    return _returns.shown_return(order, one, self._line, listed)
                if kind == "ReverseFulfillmentOrder" and one["reverse_id"] == wanted:
                    shown = _returns.shown_reverse(order, one, self._line, listed)
                    return shown | {"order": self._order(order)}
        return None

    def _orders_naming(self, id: int) -> list[Doc]:
        return self.shop.docs.select("order", "AND instr(body, ?) > 0", (str(id),))

    def _find_fulfillment_order(self, id: str) -> tuple[Doc, Doc] | None:
        wanted = number(id, "FulfillmentOrder")
        for order in self._orders_naming(wanted):
            for doc in order["fulfillment_orders"]:
                if doc["id"] == wanted:
                    return order, doc
        return None

    def _refund(self, order: Doc, doc: Doc) -> Fields:
        lines = {line["id"]: line for line in order["lines"]}
        parts = [
            {
                "id": gid("RefundLineItem", part["id"]),
                "lineItem": self._line(lines[part["line_id"]]),
                "location": self._place_or_none(part["location_id"]),
                "quantity": part["quantity"],
                "restocked": part["restocked"],
                "restockType": part["restock"],
            }
            for part in doc["lines"]
        ]
        back = doc["return_id"]
        return {
            "__typename": "Refund",
            "id": gid("Refund", doc["id"]),
            "legacyResourceId": str(doc["id"]),
            "note": doc["note"],
            "createdAt": doc["created_at"],
            "processedAt": doc["created_at"],
            "updatedAt": doc["created_at"],
            "order": lambda info: self._order(order),
            "return": None if back is None else {"id": gid("Return", back), "name": f"{order['name']}-R1"},
            "refundLineItems": lambda info, **a: listed(parts, a),
        }

    def _place_or_none(self, place: int | None) -> Fields | None:
        return None if place is None else self._location(self._must("location", place))

    def _subscription(self, doc: Doc) -> Fields:
        return {
            "__typename": "WebhookSubscription",
            "id": gid("WebhookSubscription", doc["id"]),
            "legacyResourceId": str(doc["id"]),
            "topic": doc["topic"],
            "uri": doc["uri"],
            "callbackUrl": doc["uri"],
            "format": doc.get("format", "JSON"),
            "filter": doc.get("filter"),
            "includeFields": doc.get("includeFields") or [],
            "metafieldNamespaces": doc.get("metafieldNamespaces") or [],
            "name": doc.get("name"),
            "endpoint": {"__typename": "WebhookHttpEndpoint", "callbackUrl": doc["uri"]},
            "createdAt": doc["created_at"],
            "updatedAt": doc["updated_at"],
        }

    # mutations ------------------------------------------------------------------------------------------------------

    def _mutations(self) -> Fields:
        return {
            "inventorySetQuantities": self._set_quantities,
            "inventoryAdjustQuantities": self._adjust_quantities,
            "inventorySetOnHandQuantities": self._set_on_hand,
            "inventoryActivate": self._inventory_activate,
            "orderCreate": self._order_create,
            "orderMarkAsPaid": self._order_pay,
            "orderCancel": self._order_cancel,
            "orderDelete": self._order_delete,
            "fulfillmentCreate": self._fulfillment_create,
            "fulfillmentCancel": self._fulfillment_cancel,
            "refundCreate": self._refund_create,
            "bulkOperationRunQuery": lambda info, query, groupObjects=False: self._bulk_run(query),
            "webhookSubscriptionCreate": self._subscription_create,
            "webhookSubscriptionUpdate": self._subscription_update,
            "webhookSubscriptionDelete": self._subscription_delete,
        }

    def _set_quantities(self, info: Info, input: Fields) -> Fields:
        _needs_change_from("InventoryQuantityInput", input["quantities"], info)
        return self._inventory(info, input, "quantities", self._set_problems)

    def _adjust_quantities(self, info: Info, input: Fields) -> Fields:
        _needs_change_from("InventoryChangeInput", input["changes"], info)
        return self._inventory(info, input, "changes", self._adjust_problems)

    def _set_on_hand(self, info: Info, input: Fields) -> Fields:
        _needs_change_from("InventorySetQuantityInput", input["setQuantities"], info)
        return self._inventory(info, input | {"name": "on_hand"}, "setQuantities", self._set_problems)

    def _inventory(self, info: Info, input: Fields, entries: str, judge: Callable[[Fields], list[Problem]]) -> Fields:
        """Both stock mutations: the idempotency key first, then all checks, then the writes."""
        if len(input[entries]) > MOST_INPUTS:
            raise _too_many(f"input.{entries}", len(input[entries]))
        key = self._idempotency_key(info)
        print_of = hashlib.sha256(json.dumps(input, sort_keys=True).encode()).hexdigest()
        known = self._known_key(key)
        if known is not None:
            return self._shown_payload(_replayed(known, print_of))
        problems = judge(input)
        wrong = {problem["field"][2] for problem in problems if len(problem["field"]) > 2}
        all_wrong = any(len(problem["field"]) < 3 for problem in problems)
        apply_good = self.shop.mixed_batch == "apply_good" and not all_wrong
        good = [] if problems and not apply_good else [e for i, e in enumerate(input[entries]) if str(i) not in wrong]
        group = self._write(input, good)
        self._remember_key(key, print_of, failed=bool(problems), group=group)
        return self._shown_payload({"inventoryAdjustmentGroup": group, "userErrors": problems})

    def _shown_payload(self, payload: Fields) -> Fields:
        group = payload["inventoryAdjustmentGroup"]
        if group is None:
            return payload
        changes = [
            change
            | {
                "item": self._by_gid("InventoryItem", change["item"]),
                "location": self._by_gid("Location", change["location"]),
            }
            for change in group["changes"]
        ]
        return payload | {"inventoryAdjustmentGroup": group | {"changes": changes}}

    def _write(self, input: Fields, entries: Iterable[Fields]) -> Fields | None:
        """Write good entries; the group with its changes, or None where nothing changed (recorded so)."""
        changes: list[Fields] = []
        for entry in entries:
            item_id, place = number(entry["inventoryItemId"], "InventoryItem"), number(entry["locationId"], "Location")
            level = self._must("item", item_id)["levels"][str(place)]
            delta = entry["delta"] if "delta" in entry else entry["quantity"] - _state(level, input["name"])
            if not delta:
                continue
            self.shop.move(item_id, place, delta)
            changes += [
                {
                    "name": name,
                    "delta": delta,
                    "quantityAfterChange": None,
                    "item": entry["inventoryItemId"],
                    "location": entry["locationId"],
                    "ledgerDocumentUri": None,
                }
                for name in ("available", "on_hand")
            ]
        if not changes:
            return None
        return {
            "id": gid("InventoryAdjustmentGroup", self.shop.docs.new_id()),
            "createdAt": self.shop.now(),
            "reason": input["reason"],
            "referenceDocumentUri": input.get("referenceDocumentUri"),
            "changes": changes,
        }

    def _set_problems(self, input: Fields) -> list[Problem]:
        name = "setQuantities" if "setQuantities" in input else "quantities"
        if input["name"] not in ("available", "on_hand"):
            return [problem("INVALID_NAME", "The quantity name must be either 'available' or 'on_hand'.", "name")]
        problems = _reason_problems(input)
        if name == "quantities":  # the older mutation has no code for it
            problems += _duplicates(input[name])
        for index, entry in enumerate(input[name]):
            problems += self._place_problems(name, index, entry)
            problems += _bounds((name, str(index), "quantity"), entry["quantity"], input["name"])
        return problems + self._stale(name, input, problems)

    def _adjust_problems(self, input: Fields) -> list[Problem]:
        if input["name"] != "available":
            text = "The specified quantity name is invalid. Valid values are: available."
            return [problem("INVALID_QUANTITY_NAME", text, "name")]
        problems = _reason_problems(input)
        for index, entry in enumerate(input["changes"]):
            problems += self._place_problems("changes", index, entry)
        return problems + self._stale("changes", input, problems)

    def _place_problems(self, entries: str, index: int, entry: Fields) -> list[Problem]:
        item = self.shop.docs.get("item", number(entry["inventoryItemId"], "InventoryItem"))
        location = self.shop.docs.get("location", number(entry["locationId"], "Location"))
        problems: list[Problem] = []
        if item is None:
            text = "The specified inventory item could not be found."
            problems.append(problem("INVALID_INVENTORY_ITEM", text, entries, str(index), "inventoryItemId"))
        if location is None:
            text = "The specified location could not be found."
            problems.append(problem("INVALID_LOCATION", text, entries, str(index), "locationId"))
        if item is None or location is None:
            return problems
        if not item["mutable"]:
            text = "The specified inventory item is not allowed to be adjusted via API."
            return [problem("NON_MUTABLE_INVENTORY_ITEM", text, entries, str(index), "inventoryItemId")]
        level = item["levels"].get(str(location["id"]))
        if level is None or not level["active"]:
            text = "The specified inventory item is not stocked at the location."
            return [problem("ITEM_NOT_STOCKED_AT_LOCATION", text, entries, str(index), "locationId")]
        return []

    def _stale(self, entries: str, input: Fields, known: Sequence[Problem]) -> list[Problem]:
        """Entries, otherwise good, whose figure is not the expected one."""
        wrong = {problem["field"][2] for problem in known if len(problem["field"]) > 2}
        problems = []
        for index, entry in enumerate(input[entries]):
            if str(index) in wrong:
                continue
            item = self._must("item", number(entry["inventoryItemId"], "InventoryItem"))
            now = _state(item["levels"][str(number(entry["locationId"], "Location"))], input["name"])
            if entry["changeFromQuantity"] is not None and entry["changeFromQuantity"] != now:
                text = "The changeFromQuantity value does not match persisted value."
                path = (entries, str(index), "changeFromQuantity")
                problems.append(problem("CHANGE_FROM_QUANTITY_STALE", text, *path))
        return problems

    def _idempotency_key(self, info: Info) -> str:
        values = get_directive_values(self._idempotent, info.field_nodes[0], info.variable_values)
        key = str((values or {}).get("key", ""))
        if values is None or not key.strip():
            raise GraphQLError(
                "The @idempotent directive is required for this mutation but was not provided.",
                nodes=info.field_nodes,
                extensions={"code": "BAD_REQUEST"},
            )
        return key

    def _known_key(self, key: str) -> Doc | None:
        found = self.shop.docs.select("key", "AND sort = ?", (key,))
        live = [d for d in found if datetime.fromisoformat(d["at"]) > self.clock() - KEY_LIFE]
        return live[-1] if live else None

    def _remember_key(self, key: str, print_of: str, *, failed: bool, group: Fields | None) -> None:
        doc: Doc = {
            "id": self.shop.docs.new_id(),
            "at": self.clock().astimezone(UTC).isoformat(),
            "print": print_of,
            "failed": failed,
            "group": group,
        }
        self.shop.docs.put("key", doc, key)
        if doc["id"] % 64 == 0:
            self.forget_keys()

    def forget_keys(self) -> None:
        """Drop idempotency keys that are past their 24 hours."""
        oldest = (self.clock().astimezone(UTC) - KEY_LIFE).isoformat()
        with self.shop.store.transaction() as db:
            db.execute("DELETE FROM doc WHERE kind = 'key' AND json_extract(body, '$.at') < ?", (oldest,))

    def _inventory_activate(
        self,
        info: Info,
        inventoryItemId: str,
        locationId: str,
        available: int | None = None,
        onHand: int | None = None,
    ) -> Fields:
        self._idempotency_key(info)
        item = self.shop.docs.get("item", number(inventoryItemId, "InventoryItem"))
        place = self.shop.docs.get("location", number(locationId, "Location"))
        if item is None or place is None:
            which = ("inventoryItemId", "inventory item") if item is None else ("locationId", "location")
            text = f"The specified {which[1]} could not be found."
            return {"inventoryLevel": None, "userErrors": [{"field": [which[0]], "message": text}]}
        if available is not None and onHand is not None:
            text = "Not allowed to set both available and onHand quantities."
            return {"inventoryLevel": None, "userErrors": [{"field": ["available"], "message": text}]}
        self.shop.activate(item, place["id"], available if onHand is None else onHand)
        return {"inventoryLevel": self._item_level(item, place["id"], True), "userErrors": []}

    def _order_create(self, info: Info, order: Fields, options: Fields | None = None) -> Fields:
        behaviour = (options or {}).get("inventoryBehaviour", "BYPASS")
        lines = order.get("lineItems") or []
        if not lines:
            return _order_refused("INVALID", "Line items must have at least one line item", "lineItems")
        claims = [
            Claim(
                number(line["variantId"], "ProductVariant") if line.get("variantId") else None,
                line["quantity"],
                line.get("title", ""),
                line.get("sku"),
            )
            for line in lines
        ]
        known = {
            "email": "email",
            "note": "note",
            "test": "test",
            "tags": "tags",
            "sourceIdentifier": "source_identifier",
        }
        fields = {name: order[key] for key, name in known.items() if key in order}
        fields["financial"] = order.get("financialStatus", "PAID")
        try:
            doc = self.shop.checkout(
                claims, behaviour=behaviour, source=order.get("sourceName") or "local-app", **fields
            )
        except ShopRefuses as refusal:
            code = "INVENTORY_CLAIM_FAILED" if "reserve inventory" in str(refusal) else "INVALID"
            return _order_refused(code, str(refusal), "lineItems")
        return {"order": self._order(doc), "userErrors": []}

    def _order_pay(self, info: Info, input: Fields) -> Fields:
        try:
            doc = self.shop.pay(number(input["id"], "Order"))
        except ShopRefuses as refusal:
            return {"order": None, "userErrors": [{"field": ["id"], "message": str(refusal)}]}
        return {"order": self._order(doc), "userErrors": []}

    def _order_cancel(
        self,
        info: Info,
        orderId: str,
        restock: bool,
        reason: str,
        refund: bool | None = None,
        refundMethod: Fields | None = None,
        notifyCustomer: bool = False,
        staffNote: str | None = None,
    ) -> Fields:
        money = bool(refund or (refundMethod or {}).get("originalPaymentMethodsRefund"))
        try:
            self.shop.cancel(number(orderId, "Order"), restock=restock, reason=reason, refund=money, note=staffNote)
        except ShopRefuses as refusal:
            code = "NOT_FOUND" if "does not exist" in str(refusal) else "INVALID"
            said = {"field": ["orderId"], "message": str(refusal)}
            return {"job": None, "orderCancelUserErrors": [said | {"code": code}], "userErrors": [said]}
        job = {"id": gid("Job", self.shop.docs.new_id()), "done": True}
        return {"job": job, "orderCancelUserErrors": [], "userErrors": []}

    def _order_delete(self, info: Info, orderId: str) -> Fields:
        try:
            self.shop.delete_order(number(orderId, "Order"))
        except ShopRefuses as refusal:
            said = {"field": ["orderId"], "message": str(refusal), "code": "NOT_FOUND"}
            return {"deletedId": None, "userErrors": [said]}
        return {"deletedId": orderId, "userErrors": []}

    def _fulfillment_create(self, info: Info, fulfillment: Fields, message: str | None = None) -> Fields:
        try:
            doc, made = self._fulfil(fulfillment["lineItemsByFulfillmentOrder"])
        except ShopRefuses as refusal:
            return {"fulfillment": None, "userErrors": [{"field": ["fulfillment"], "message": str(refusal)}]}
        return {"fulfillment": self._fulfillment(doc, made), "userErrors": []}

    def _fulfil(self, groups: Sequence[Fields]) -> tuple[Doc, Doc]:
        wanted: dict[int, int] = {}
        orders: dict[int, int] = {}
        for group in groups:
            found = self._find_fulfillment_order(group["fulfillmentOrderId"])
            if found is None:
                raise ShopRefuses("Fulfillment order does not exist.")
            order, doc = found
            orders[order["id"]] = doc["location_id"]
            wanted |= _units_of(order, doc, group.get("fulfillmentOrderLineItems") or [])
        if len(orders) != 1:
            raise ShopRefuses("All fulfillment orders must belong to the same order.")
        ((order_id, place),) = orders.items()
        shipped = self.shop.ship(order_id, wanted or {0: 0}, location_id=place)
        return shipped, shipped["fulfillments"][-1]

    def _fulfillment_cancel(self, info: Info, id: str) -> Fields:
        wanted = number(id, "Fulfillment")
        try:
            for order in self._orders_naming(wanted):
                if any(f["id"] == wanted for f in order["fulfillments"]):
                    doc = self.shop.cancel_fulfillment(order["id"], wanted)
                    made = next(f for f in doc["fulfillments"] if f["id"] == wanted)
                    return {"fulfillment": self._fulfillment(doc, made), "userErrors": []}
            raise ShopRefuses("Fulfillment not found.")
        except ShopRefuses as refusal:
            return {"fulfillment": None, "userErrors": [{"field": ["id"], "message": str(refusal)}]}

    def _refund_create(self, info: Info, input: Fields) -> Fields:
        parts = [
            Refunded(
                number(line["lineItemId"], "LineItem"),
                line["quantity"],
                line.get("restockType") or "NO_RESTOCK",
                number(line["locationId"], "Location") if line.get("locationId") else None,
            )
            for line in input.get("refundLineItems") or []
        ]
        try:
            doc = self.shop.refund(number(input["orderId"], "Order"), parts, note=input.get("note"))
        except ShopRefuses as refusal:
            said = {"field": ["refundLineItems"], "message": str(refusal)}
            return {"order": None, "refund": None, "userErrors": [said]}
        return {"order": self._order(doc), "refund": self._refund(doc, doc["refunds"][-1]), "userErrors": []}

    def _bulk_run(self, query: str) -> Fields:
        try:
            problems = validate(self.schema, parse(query))
        except GraphQLError as error:
            problems = [error]
        if problems:
            said = {"field": ["query"], "message": f"Invalid bulk query: {problems[0].message}", "code": "INVALID"}
            return {"bulkOperation": None, "userErrors": [said]}
        return self.bulk.begin(query)

    def _subscription_create(self, info: Info, topic: str, webhookSubscription: Fields) -> Fields:
        uri = webhookSubscription.get("uri") or webhookSubscription.get("callbackUrl")
        why = self._bad_address(topic, uri)
        if why is not None or uri is None:
            said = {"field": ["webhookSubscription", "callbackUrl"], "message": why}
            return {"webhookSubscription": None, "userErrors": [said]}
        fields = {k: v for k, v in webhookSubscription.items() if k not in ("uri", "callbackUrl")}
        doc = self.hooks.subscribe(topic, uri, **fields)
        return {"webhookSubscription": self._subscription(doc), "userErrors": []}

    def _bad_address(self, topic: str, uri: str | None) -> str | None:
        if not uri:
            return "Address can't be blank"
        # The real service takes https only; a rehearsal on this machine has no certificate.
        local = re.match(r"http://(127\.0\.0\.1|localhost|\[::1\])([:/]|$)", uri)
        if not uri.startswith("https://") and not local:
            return "Address protocol http:// is not supported"
        known = self.shop.docs.select("subscription", "AND sort = ?", (topic,))
        return "Address for this topic has already been taken" if any(d["uri"] == uri for d in known) else None

    def _subscription_update(self, info: Info, id: str, webhookSubscription: Fields) -> Fields:
        doc = self.shop.docs.get("subscription", number(id, "WebhookSubscription"))
        if doc is None:
            said = {"field": ["id"], "message": "Webhook subscription does not exist"}
            return {"webhookSubscription": None, "userErrors": [said]}
        fields = dict(webhookSubscription)
        uri = fields.pop("uri", None) or fields.pop("callbackUrl", None) or doc["uri"]
        doc |= fields | {"uri": uri, "updated_at": self.shop.now()}
        self.shop.docs.put("subscription", doc, doc["topic"])
        return {"webhookSubscription": self._subscription(doc), "userErrors": []}

    def _subscription_delete(self, info: Info, id: str) -> Fields:
        if self.hooks.remove(number(id, "WebhookSubscription")):
            return {"deletedWebhookSubscriptionId": id, "userErrors": []}
        said = {"field": ["id"], "message": "Webhook subscription does not exist"}
        return {"deletedWebhookSubscriptionId": None, "userErrors": [said]}


@cache
def _schema() -> GraphQLSchema:
    return build_schema(SDL)


# ids, pages, small pure parts ---------------------------------------------------------------------------------------


def gid(kind: str, id: int) -> str:
    return f"gid://shopify/{kind}/{id}"


def number(id: str, kind: str) -> int:
    """The number in a global id; 0, which nothing has, where it is another kind's."""
    found = re.fullmatch(rf"gid://shopify/{kind}/(\d{{1,18}})", id)
    if found is None and not id.startswith("gid://shopify/"):
        raise GraphQLError(f"Invalid global id '{id}'", extensions={"code": "argumentLiteralsIncompatible"})
    return int(found[1]) if found else 0


def page_arguments(arguments: Mapping[str, Any]) -> tuple[int, list[Any] | None, bool]:
    """Size, where to begin, and whether it is read from the end."""
    first, last = arguments.get("first"), arguments.get("last")
    size = first if last is None else last
    if size is None or (first is not None and last is not None):
        raise GraphQLError("you must provide one of first or last", extensions={"code": "BAD_REQUEST"})
    if not 0 < size <= MOST_PAGE:
        raise GraphQLError(f"first or last must be between 1 and {MOST_PAGE}", extensions={"code": "BAD_REQUEST"})
    cursor = arguments.get("before") if last is not None else arguments.get("after")
    return size, None if cursor is None else _position(cursor), last is not None


def _cursor(sort: str, id: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([sort, id]).encode()).decode()


def _position(cursor: str) -> list[Any]:
    try:
        sort, id = json.loads(base64.urlsafe_b64decode(cursor))
    except (ValueError, TypeError) as error:
        raise GraphQLError("Invalid cursor for current pagination sort.", extensions={"code": "BAD_REQUEST"}) from error
    return [str(sort), int(id)]


def connection(edges: list[Fields], more: bool, earlier: bool, backwards: bool) -> Fields:
    if backwards:
        edges = edges[::-1]
    page = {
        "hasNextPage": earlier if backwards else more,
        "hasPreviousPage": more if backwards else earlier,
        "startCursor": edges[0]["cursor"] if edges else None,
        "endCursor": edges[-1]["cursor"] if edges else None,
    }
    return {"edges": edges, "nodes": [edge["node"] for edge in edges], "pageInfo": page}


def listed(nodes: Sequence[Fields], arguments: Mapping[str, Any]) -> Fields:
    """A connection over a short list."""
    size, position, backwards = page_arguments(arguments)
    ordered = list(enumerate(nodes))
    if bool(arguments.get("reverse")) != backwards:
        ordered.reverse()
    if position is not None:
        at = next((i for i, (index, _) in enumerate(ordered) if index == position[1]), len(ordered))
        ordered = ordered[at + 1 :]
    edges = [{"cursor": _cursor("", index), "node": node} for index, node in ordered[:size]]
    return connection(edges, len(ordered) > size, position is not None, backwards)


_TERM = re.compile(r"""(\w+):(>=|<=|>|<)?(?:'([^']*)'|"([^"]*)"|(\S+))""")
_COLUMNS = {"updated_at": "updated_at", "created_at": "created_at", "processed_at": "processed_at"}


def _time_filter(query: str | None) -> tuple[str, list[object]]:
    """The search syntax for times; terms that the vendor would not know are ignored, as it does."""
    where, values = "", list[object]()
    for name, comparator, *texts in _TERM.findall(query or ""):
        if name in _COLUMNS:
            moment = _moment(texts[0] or texts[1] or texts[2])
            where += f" AND json_extract(body, '$.{_COLUMNS[name]}') {comparator or '='} ?"
            values.append(moment)
    return where, values


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise GraphQLError(f"Invalid timestamp '{text}' in query", extensions={"code": "BAD_REQUEST"}) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _catalogue_filter(query: str | None) -> tuple[str, list[object]]:
    where, values = _time_filter(query)
    for name, _, *texts in _TERM.findall(query or ""):
        if name == "sku":
            where += " AND sort = ?"
            values.append(texts[0] or texts[1] or texts[2])
    return where, values


def _state(level: Doc, name: str) -> int:
    if name == "on_hand":
        return int(level["available"] + level["committed"])
    return int(level.get(name, 0)) if name in ("available", "committed") else 0


def _quantity(item: Doc, place: int, level: Doc, name: str) -> Fields:
    if name not in STATES:
        raise GraphQLError(f"Invalid quantity name '{name}'", extensions={"code": "BAD_REQUEST"})
    return {
        "id": f"{gid('InventoryQuantity', place)}-{name}?inventory_item_id={item['id']}",
        "name": name,
        "quantity": _state(level, name),
        "updatedAt": None if name == "on_hand" else level["updated_at"],
    }


def _money(amount: Decimal) -> Fields:
    one = {"amount": str(amount), "currencyCode": CURRENCY}
    return {"shopMoney": one, "presentmentMoney": one}


def _total(order: Doc, units: Callable[[Doc], int]) -> Decimal:
    return sum((Decimal(line["price"]) * units(line) for line in order["lines"]), Decimal(0))


def _units_of(order: Doc, doc: Doc, parts: Sequence[Fields]) -> dict[int, int]:
    """Line units that a fulfilment names; all that is open of the fulfilment order where it names none."""
    lines = {line["id"]: line for line in order["lines"]}
    if not parts:
        ids = [part["line_id"] for part in doc["lines"]]
        return {id: unfulfilled(lines[id]) for id in ids if unfulfilled(lines[id])}
    known = {part["id"]: part["line_id"] for part in doc["lines"]}
    wanted = {number(part["id"], "FulfillmentOrderLineItem"): part["quantity"] for part in parts}
    if not wanted.keys() <= known.keys():
        raise ShopRefuses("Fulfillment order line item does not exist.")
    return {known[id]: units for id, units in wanted.items()}


def problem(code: str, message: str, *path: str) -> Problem:
    return {"code": code, "message": message, "field": ["input", *path]}


def _reason_problems(input: Fields) -> list[Problem]:
    if input["reason"] in REASONS:
        return []
    text = f"The specified reason is invalid. Valid values are: {', '.join(REASONS)}."
    return [problem("INVALID_REASON", text, "reason")]


def _duplicates(entries: Sequence[Fields]) -> list[Problem]:
    pairs = [(entry["inventoryItemId"], entry["locationId"]) for entry in entries]
    text = "The combination of inventoryItemId and locationId must be unique."
    return [
        problem("NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR", text, "quantities", str(index), "locationId")
        for index, pair in enumerate(pairs)
        if pairs.count(pair) > 1
    ]


def _bounds(path: Sequence[str], units: int, name: str) -> list[Problem]:
    if units > MOST:
        return [problem("INVALID_QUANTITY_TOO_HIGH", f"The quantity can't be higher than {MOST:,}.", *path)]
    if units < -MOST:
        return [problem("INVALID_QUANTITY_TOO_LOW", f"The quantity can't be lower than -{MOST:,}.", *path)]
    if units < 0 and name == "on_hand":
        return [problem("INVALID_QUANTITY_NEGATIVE", "The quantity can't be negative.", *path)]
    return []


def _needs_change_from(kind: str, entries: Sequence[Fields], info: Info) -> None:
    if all("changeFromQuantity" in entry for entry in entries):
        return
    raise GraphQLError(
        f"{kind} must include the following argument: changeFromQuantity.",
        nodes=[*info.field_nodes, *(info.operation.variable_definitions or ())],
        extensions={"code": "INVALID_FIELD_ARGUMENTS"},
    )


def _replayed(known: Doc, print_of: str) -> Fields:
    code, text = "", ""
    if known["print"] != print_of:
        code = "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"
        text = "The same idempotency key cannot be used with different operation parameters."
    elif known["failed"]:
        code = "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED"
        text = "A previous request with this idempotency key failed. Retry with a new idempotency key."
    if code:
        said = {"code": code, "message": text, "field": ["input"]}
        return {"inventoryAdjustmentGroup": None, "userErrors": [said]}
    return {"inventoryAdjustmentGroup": known["group"], "userErrors": []}


def _order_refused(code: str, message: str, *path: str) -> Fields:
    return {"order": None, "userErrors": [{"code": code, "message": message, "field": ["order", *path]}]}


# answers ------------------------------------------------------------------------------------------------------------


def _resolve(source: Any, info: Info, **arguments: Any) -> Any:
    value = source.get(info.field_name)
    return value(info, **arguments) if callable(value) else value


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if name is None:
        return operations[0] if len(operations) == 1 else None
    return next((d for d in operations if d.name is not None and d.name.value == name), None)


def _raise_ours(result: ExecutionResult) -> None:
    """A failure of the shop itself must change nothing: it leaves the transaction as what it is."""
    for error in result.errors or ():
        if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
            raise error.original_error


def _formatted(error: GraphQLError) -> Fields:
    shown: Fields = dict(error.formatted)
    shown.setdefault("extensions", {"code": "BAD_REQUEST"})
    return shown


def _unknown_fields(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> list[Fields]:
    """Input fields that do not exist, in the words of the vendor's recorded refusal."""
    found: list[Fields] = []
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        kind = type_from_ast(schema, definition.type)
        problems = _strangers(kind, variables.get(name), [])
        if not problems:
            continue
        where = ", ".join(f"{'.'.join(map(str, p['path']))} ({p['explanation']})" for p in problems)
        text = f"Variable ${name} of type {kind} was provided invalid value for {where}"
        code = {"code": "INVALID_VARIABLE", "value": variables[name], "problems": problems}
        found.append(dict(GraphQLError(text, nodes=[definition], extensions=code).formatted))
    return found


def _strangers(kind: Any, value: Any, path: list[str | int]) -> list[Fields]:
    if is_non_null_type(kind):
        return _strangers(kind.of_type, value, path)
    if is_list_type(kind) and isinstance(value, list):
        return [p for i, item in enumerate(value) for p in _strangers(kind.of_type, item, [*path, i])]
    if not is_input_object_type(kind) or not isinstance(value, dict):
        return []
    found: list[Fields] = []
    for name, inner in value.items():
        if name not in kind.fields:
            found.append({"path": [*path, name], "explanation": f"Field is not defined on {kind.name}"})
        else:
            found += _strangers(kind.fields[name].type, inner, [*path, name])
    return found


def _too_many(where: str, count: int) -> GraphQLError:
    text = f"The input array size of {count} is greater than the maximum allowed of {MOST_INPUTS}."
    return GraphQLError(f"{where}: {text}", extensions={"code": "MAX_INPUT_SIZE_EXCEEDED"})


def _too_dear(cost: int) -> Fields:
    text = f"Query cost is {cost}, which exceeds the single query max cost limit ({SINGLE_QUERY_MOST})."
    code = {"code": "MAX_COST_EXCEEDED", "cost": cost, "maxCost": SINGLE_QUERY_MOST}
    return {"errors": [{"message": text, "extensions": code}]}
