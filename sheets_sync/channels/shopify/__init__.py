"""Shopify, Admin GraphQL 2026-07: `Shopify` is the channel; what reads a body is a pure function in a file beside it.

A listing is a variant: `Ref(variant, its inventory item, location)`; the lines of an order name the variant only. The
figure is `available` of the inventory item at one location: what may be sold. Shopify takes units off it when an
order is placed, paid or not, and puts them back where a cancellation or a refund restocks. Figures are set in batches
with a compare-and-set (`changeFromQuantity`, its null spelt out) and an idempotency key for each attempt.

`ids` · `documents` (GraphQL) · `api` (calls, cost, tokens) · `listings` · `writes` · `orders` · `deliveries`

What is unsatisfying: times are whole seconds, so two changes of one second carry the same version; whether a batch
with one bad entry applies the others is not published, so `push` is right either way.

Sources: shopify.dev (Admin GraphQL 2026-07, limits, webhooks, client credentials, expiring offline access tokens, bulk
operations), recorded answers of 2026-04.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sheets_sync.channels import (
    Basis,
    Capabilities,
    Clock,
    Delivery,
    Health,
    Hook,
    Outcome,
    Page,
    PushResult,
    RawRequest,
    Reply,
    Signal,
    Target,
)
from sheets_sync.channels.http import TIMEOUT, Limiter, Shelf, failed
from sheets_sync.channels.shopify import documents as ask
from sheets_sync.channels.shopify.api import Api, Keys, TooDear
from sheets_sync.channels.shopify.deliveries import DISPOSED, body_of, header, read_signals, resource_signal, signed_by
from sheets_sync.channels.shopify.ids import bare, bare_or_blank, gid, time_of
from sheets_sync.channels.shopify.listings import read_bulk, read_figure, read_variant
from sheets_sync.channels.shopify.orders import HAS_RETURNS, OWN_CHECKOUTS, from_anywhere, read_node
from sheets_sync.channels.shopify.writes import RETRY_AFTER, batch_key, read_set, set_variables, unfit
from sheets_sync.errors import (
    ChannelRefused,
    CredentialsRefused,
    Malformed,
    OtherSide,
    TooOld,
    Unavailable,
    Unsigned,
)
from sheets_sync.model import LONG_AGO, Figure, Order, OrderState, Ref, RemoteListing

T = TypeVar("T")

BATCH = 250
"""Entries that an input array takes; one more and all of them are refused."""

LISTINGS_PAGE = 250
FIGURES_PAGE = 100
"""Inventory items a read: three points each, and one query must stay below a thousand."""

BULK_FROM = 2_500
"""Variants from which on they are read by a bulk operation: ten pages take a Standard shop half a minute's points."""

BULK_LOOKS = (0.5, 1.0, 1.5, 2.0)
"""Seconds between looks at a bulk operation that runs; after the last one the caller has its turn."""

ORDER_PAGES = (25, 8, 2)
"""Orders a page; the next smaller one where the vendor prices a query above its limit."""

REST_PAGE = 100
"""Lines a call where an order has more than come with it."""

RETURNS_PAGE = 5
"""Returns of one order, and deliveries back of one return, a read; an order with more is read on."""

OVERLAP = timedelta(minutes=5)
"""`orders` reads this much further back than asked: clocks differ, and the shop's times are whole seconds."""

REPLAY_WINDOW = timedelta(hours=48)
"""A delivery older than this is refused. Retries, which carry the first attempt's time, end after 4 hours."""

ROUNDS = 4
"""Times that a batch is sent without its bad entries before the rest is left for the next pass."""

SCOPES = ("read_products", "read_inventory", "write_inventory", "read_locations", "read_orders", "read_returns")

HOOK_TOPICS = (
    "ORDERS_CREATE",
    "ORDERS_UPDATED",
    "ORDERS_CANCELLED",
    "ORDERS_DELETE",
    "REVERSE_FULFILLMENT_ORDERS_DISPOSE",
    "INVENTORY_LEVELS_UPDATE",
)
"""What we subscribe to. Fulfilments, refunds and edits come as ORDERS_UPDATED, with the whole order. Each figure that
we write comes back as an INVENTORY_LEVELS_UPDATE: it carries the level, and one that we expect says nothing new."""

_DONE, _RUNS = "COMPLETED", frozenset({"CREATED", "RUNNING"})
_NO_BULK_NOW = frozenset({"OPERATION_IN_PROGRESS", "LIMIT_REACHED"})
_BULK = "bulk:"


class Shopify:
    """One Shopify shop. `shop` is its myshopify.com name, `address` where its API is, `name` our word for it.

    Signed in by a permanent `access_token`; by an app's `client_id` and `client_secret`, which give one for a day; or
    by those and a `refresh_token`: each is used once, and the next is kept on `shelf` before it is used. Webhooks are
    signed with the app's secret, or with `webhook_secret` where that is given; the old one is accepted while it
    changes. `location`: the number of the one location to set; `places`: those that are set each for itself (P8);
    without either each SKU's only location.
    """

    kind = "shopify"
    capabilities = Capabilities(
        basis=Basis.AVAILABLE,
        compare_and_set=True,
        idempotency_key=True,
        asynchronous=False,
        readable=True,
        max_batch=BATCH,
        own_sources=OWN_CHECKOUTS,
    )

    def __init__(
        self,
        name: str,
        shop: str,
        address: str = "",
        *,
        access_token: str = "",
        refresh_token: str = "",
        client_id: str = "",
        client_secret: str = "",
        webhook_secret: str = "",
        old_webhook_secret: str = "",
        location: str = "",
        places: Collection[str] = (),
        replay_window: timedelta = REPLAY_WINDOW,
        clock: Clock = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        shelf: Shelf | None = None,
        limiter: Limiter | None = None,
        timeout: tuple[float, float] = TIMEOUT,
    ) -> None:
        self.name = name
        self.shop = shop
        self._clock, self._sleep = clock, sleep
        self._location = bare_or_blank(location or None)
        self._places = tuple(places)
        self._window = replay_window
        self._accepted = tuple(s for s in (webhook_secret or client_secret, old_webhook_secret) if s)
        self._api = Api(
            name,
            address.rstrip("/") or f"https://{shop}",
            Keys(access_token, refresh_token, client_id, client_secret),
            secrets=(webhook_secret, old_webhook_secret),
            clock=clock,
            shelf=shelf,
            limiter=limiter,
            timeout=timeout,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._api.close()

    # is it well?

    def check(self) -> Health:
        """Shop, token, scopes, locations, clock, and whether our webhooks are alive. Changes nothing."""
        try:
            answer = self._api.ask(ask.WHO, {})
            alive = {node["topic"] for node in self._all_hooks() if self._is_ours(node)} & set(HOOK_TOPICS)
        except (OtherSide, CredentialsRefused) as error:
            return Health(ok=False, problems=(str(error),))
        data = answer.data["data"]
        problems = [*self._wrong_shop(data["shop"]), *_missing_scopes(data), *self._wrong_location(data)]
        if alive and len(alive) < len(HOOK_TOPICS):
            lost = ", ".join(topic for topic in HOOK_TOPICS if topic not in alive)
            problems.append(f"Shopify dropped the webhooks {lost}: start sheets-sync again, which makes them anew.")
        if not self._accepted:
            problems.append(
                "No secret is known to verify webhooks with: give client_secret or webhook_secret in config.toml."
            )
        return Health(
            ok=not problems,
            account=f"{data['shop']['name']} ({data['shop']['myshopifyDomain']})",
            problems=tuple(problems),
            clock_skew=None if answer.date is None else answer.date - self._clock(),
            facts={
                "locations": self._told_locations(data),
                "webhooks": str(len(alive)),
                "older orders": "yes" if "read_all_orders" in _scopes(data) else "60 days",
            },
        )

    def _wrong_shop(self, shop: Mapping[str, Any]) -> list[str]:
        if shop["myshopifyDomain"] == self.shop:
            return []
        return [
            f"The token belongs to {shop['myshopifyDomain']}, not to {self.shop}: check shop and keys in config.toml."
        ]

    def _wrong_location(self, data: Mapping[str, Any]) -> list[str]:
        known = {bare(node["id"]): node for node in data["locations"]["nodes"]}
        names = ", ".join(f"{id} ({node['name']})" for id, node in known.items())
        meant = [self._location, *self._places] if self._location else self._places
        return [f"The shop has no location {id}; it has {names}." for id in meant if id not in known]

    def _told_locations(self, data: Mapping[str, Any]) -> str:
        """The shop's locations; of several those that are none of ours, with the setting that maps them (P8)."""
        active = {bare(node["id"]): node["name"] for node in data["locations"]["nodes"] if node["isActive"]}
        if len(active) < 2 or self._location:
            return ", ".join(active.values())
        return ", ".join(
            f"{name} ({id})" + ("" if id in self._places else ", not mapped by location_of")
            for id, name in active.items()
        )

    def ensure_hooks(self, base_url: str) -> Sequence[Hook]:
        """Subscribe to HOOK_TOPICS at our address; what pointed to an earlier address of ours is taken down."""
        address = f"{base_url.rstrip('/')}/webhooks/{self.name}"
        ours, stale = set[str](), list[str]()
        for node in self._all_hooks():
            if node["uri"] == address:
                ours.add(node["topic"])
            elif self._is_ours(node):
                stale.append(node["id"])
        for id in stale:
            self._api.change(ask.HOOK_DROP, {"id": id})
        again = bool(ours or stale)
        return [
            Hook(topic, address, "kept" if topic in ours else self._make_hook(topic, address, again))
            for topic in HOOK_TOPICS
        ]

    def _is_ours(self, node: Mapping[str, Any]) -> bool:
        return str(node["uri"]).endswith(f"/webhooks/{self.name}")

    def _make_hook(self, topic: str, address: str, again: bool) -> str:
        answer = self._api.change(ask.HOOK_MAKE, {"topic": topic, "uri": address})
        errors = answer.data["data"]["webhookSubscriptionCreate"]["userErrors"]
        if errors:
            return f"refused: {errors[0]['message']}"
        return "made again" if again else "made"

    def _all_hooks(self) -> Iterator[Mapping[str, Any]]:
        after: str | None = None
        while True:
            found = self._api.ask(ask.HOOKS, {"after": after}).data["data"]["webhookSubscriptions"]
            yield from found["nodes"]
            if not found["pageInfo"]["hasNextPage"]:
                return
            after = found["pageInfo"]["endCursor"]

    # listings

    def listings(self, cursor: str | None = None) -> Page[RemoteListing]:
        """Every variant, with the figure of its location, or at each that is mapped; why it can't be pushed where not.

        A large shop is read by a bulk operation, whose answer takes a while: until then pages come without listings.
        """
        if cursor is not None and cursor.startswith(_BULK):
            return self._bulk_page(cursor)
        if cursor is None and self._is_large():
            begun = self._begin_bulk()
            if begun is not None:
                return Page((), f"{_BULK}{begun}")
        found = self._api.data(ask.LISTINGS, {"first": LISTINGS_PAGE, "after": cursor})["productVariants"]
        items = (read_variant(node, self._location, self._places) for node in found["nodes"])
        return Page([item for of_one in items for item in of_one], _next(found))

    def _is_large(self) -> bool:
        count = self._api.data(ask.HOW_MANY, {"most": BULK_FROM})["productVariantsCount"]
        return count is not None and int(count["count"]) >= BULK_FROM

    def _begin_bulk(self) -> str | None:
        """The number of a new bulk operation; None where the shop runs all that it may: then pages will do."""
        answer = self._api.change(ask.BULK, {"query": ask.BULK_LISTINGS}).data["data"]["bulkOperationRunQuery"]
        errors = answer["userErrors"]
        if errors and errors[0]["code"] in _NO_BULK_NOW:
            return None
        if errors or answer["bulkOperation"] is None:
            said = errors[0]["message"] if errors else "no operation was begun"
            raise ChannelRefused(f"{self.name}: Shopify does not read the listings in bulk: {said}")
        return bare(answer["bulkOperation"]["id"])

    def _bulk_page(self, cursor: str) -> Page[RemoteListing]:
        id = cursor.removeprefix(_BULK)
        for pause in BULK_LOOKS:
            found = self._api.data(ask.BULK_STATE, {"id": gid("BulkOperation", id)})["bulkOperation"]
            if found is None or found["status"] not in _RUNS:
                return Page(self._bulk_listings(found))
            self._sleep(pause)
        return Page((), cursor)

    def _bulk_listings(self, found: Mapping[str, Any] | None) -> list[RemoteListing]:
        if found is None or found["status"] != _DONE:
            said = "is gone" if found is None else f"ended as {found['status']} ({found['errorCode']})"
            raise ChannelRefused(f"{self.name}: the bulk operation that reads the listings {said}; it is begun again")
        if found["url"] is None:  # nothing was found
            return []
        try:
            return list(read_bulk(self._api.lines(found["url"]), self._location, self._places))
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"{self.name}: the bulk operation's file could not be read ({error!r})") from error

    def figures(self, refs: Sequence[Ref]) -> Sequence[Figure]:
        """What is available of each inventory item at its location; over all locations where it names none."""
        figures: dict[Ref, Figure] = {}
        for place in dict.fromkeys(ref.place for ref in refs):
            here = [ref for ref in dict.fromkeys(refs) if ref.place == place]
            for chunk in _chunks(here, FIGURES_PAGE):
                figures |= self._figures(place, chunk)
        return [figures[ref] for ref in refs]

    def _figures(self, place: str, refs: Sequence[Ref]) -> dict[Ref, Figure]:
        ids = [gid("InventoryItem", ref.parent) for ref in refs]
        if place:
            answer = self._api.ask(ask.FIGURES, {"ids": ids, "place": gid("Location", place)})
        else:
            answer = self._api.ask(ask.SUMS, {"ids": ids})
        return {ref: read_figure(ref, node) for ref, node in zip(refs, answer.data["data"]["nodes"], strict=True)}

    # pushing

    def push(self, targets: Sequence[Target]) -> Sequence[PushResult]:
        """Set figures, 250 a call, each only from the figure expected. A bad entry costs a call, not the batch."""
        results: dict[int, PushResult] = {}
        good: dict[tuple[str, str], int] = {}
        for position, target in enumerate(targets):
            entry = (target.ref.parent, target.ref.place)
            why = unfit(target, entry in good)
            if why is None:
                good[entry] = position
            else:
                results[position] = why
        for chunk in _chunks(list(good.values()), BATCH):
            settled = self._push_batch([targets[position] for position in chunk], anything_done=bool(results))
            results |= {position: settled[targets[position].ref] for position in chunk}
        return [results[position] for position in range(len(targets))]

    def _push_batch(self, targets: Sequence[Target], *, anything_done: bool) -> dict[Ref, PushResult]:
        settled: dict[Ref, PushResult] = {}
        left = tuple(targets)
        for attempt in range(ROUNDS):
            try:
                answer = self._api.change(ask.SET, set_variables(left, batch_key(left, attempt)))
            except (OtherSide, CredentialsRefused) as error:
                if isinstance(error, CredentialsRefused) and not anything_done and not settled:
                    raise
                return settled | {target.ref: failed(target, error, RETRY_AFTER) for target in left}
            verdict = read_set(left, answer.data["data"]["inventorySetQuantities"])
            settled |= verdict.settled
            left = verdict.left
            if not left:
                return settled
        why = "other entries of its batch were refused again and again"
        return settled | {t.ref: PushResult(t.ref, Outcome.RETRY, why=why, retry_after=RETRY_AFTER) for t in left}

    def results(self, job: str) -> Sequence[PushResult] | None:
        """Shopify answers at once; there is never a job to ask about."""
        return ()

    # orders

    def orders(self, since: datetime, cursor: str | None = None) -> Page[Order]:
        """Every order updated since, five minutes of overlap included, the longest unchanged first.

        An order that changes while we page moves to the end, so none is missed. Without the scope read_all_orders
        Shopify shows those of the last 60 days; a deleted one is in no list.
        """
        read_at = self._clock()
        query = f"updated_at:>='{since.astimezone(UTC) - OVERLAP:%Y-%m-%dT%H:%M:%SZ}'"
        found = self._orders_page(query, cursor)
        return Page([self._order(node, read_at) for node in found["nodes"]], _next(found))

    def _orders_page(self, query: str, cursor: str | None) -> Mapping[str, Any]:
        found: Mapping[str, Any]
        for first in ORDER_PAGES:
            try:
                found = self._api.data(ask.ORDERS, {"first": first, "after": cursor, "query": query})["orders"]
            except TooDear:
                if first == ORDER_PAGES[-1]:
                    raise
            else:
                return found
        raise AssertionError("unreachable: the smallest page returns or raises")

    def order(self, order_id: str) -> Order:
        """The order, also by what a delivery named instead of it: goods that came back and were disposed of."""
        read_at = self._clock()
        if order_id.startswith(DISPOSED):
            order_id = self._order_disposed(order_id.removeprefix(DISPOSED)) or "0"
        node = self._api.data(ask.ORDER, {"id": gid("Order", bare(order_id))})["order"]
        if node is None:
            note = "Shopify shows no such order: deleted, or older than 60 days where the app lacks read_all_orders"
            return Order(bare(order_id), LONG_AGO, read_at, OrderState.GONE, (), read_at=read_at, note=note)
        return self._order(node, read_at)

    def _order(self, node: dict[str, Any], read_at: datetime) -> Order:
        self._complete(node, "lineItems", ask.MORE_LINES)
        for fulfilment in node["fulfillments"]:
            self._complete(fulfilment, "fulfillmentLineItems", ask.MORE_SENT)
        for refund in node["refunds"]:
            self._complete(refund, "refundLineItems", ask.MORE_BACK)
        returns = self._returns(node["id"]) if node["returnStatus"] in HAS_RETURNS else ()
        return self._placed(read_node(node, returns, read_at))

    def _placed(self, order: Order) -> Order:
        return from_anywhere(order) if self._location or self._places else order

    def _returns(self, id: str) -> list[Mapping[str, Any]]:
        """An order's returns, with what became of the goods; asked for only where there are any, as it is dear."""
        returns: list[Mapping[str, Any]] = []
        after: str | None = None
        while True:
            node = self._api.data(ask.RETURNS, {"id": id, "first": RETURNS_PAGE, "after": after})["order"]
            if node is None:
                raise Unavailable(f"{self.name}: {id} went away while it was read; read it again")
            found = node["returns"]
            for one in found["nodes"]:
                self._complete(one, "reverseFulfillmentOrders", ask.MORE_REVERSE, RETURNS_PAGE)
                for reverse in one["reverseFulfillmentOrders"]["nodes"]:
                    self._complete(reverse, "lineItems", ask.MORE_REVERSE_LINES)
            returns += found["nodes"]
            after = _next(found)
            if after is None:
                return returns

    def _order_disposed(self, id: str) -> str | None:
        found = self._api.data(ask.DISPOSED, {"id": gid("ReverseFulfillmentOrder", id)})["reverseFulfillmentOrder"]
        return None if found is None or found["order"] is None else bare(found["order"]["id"])

    def _complete(self, owner: dict[str, Any], name: str, document: str, first: int = REST_PAGE) -> None:
        """Read on where a long order has more lines than came with it."""
        found = owner[name]
        nodes = list(found["nodes"])
        while found["pageInfo"]["hasNextPage"]:
            variables = {"id": owner["id"], "first": first, "after": found["pageInfo"]["endCursor"]}
            node = self._api.data(document, variables)["node"]
            if node is None:
                raise Unavailable(f"{self.name}: {owner['id']} went away while it was read; read it again")
            found = node[name]
            nodes += found["nodes"]
        owner[name] = {**found, "nodes": nodes}

    # deliveries

    def handshake(self, request: RawRequest) -> Reply | None:
        """Shopify asks for none."""
        return None

    def verify(self, request: RawRequest) -> Delivery:
        """The raw body's signature by the app's secret, then its age. Deliveries made by hand in the shop's
        Notifications page are signed with another secret, and are refused.
        """
        if not signed_by(self._accepted, request.body, header(request, "Hmac-Sha256")):
            raise Unsigned(
                f"{self.name}: the delivery is not signed with this app's secret; check client_secret or webhook_secret"
            )
        sent_at = self._sent_at(header(request, "Triggered-At"))
        if body_of(request) is None:
            raise Malformed(f"{self.name}: the delivery is signed, but its body is no JSON object")
        id = header(request, "Webhook-Id") or header(request, "Event-Id") or hashlib.sha256(request.body).hexdigest()
        return Delivery(id, header(request, "Topic") or "", sent_at)

    def _sent_at(self, text: str | None) -> datetime | None:
        if text is None:
            return None
        try:
            sent_at = time_of(text)
        except ValueError as error:
            raise Malformed(f"{self.name}: the delivery's X-Shopify-Triggered-At is no time") from error
        if abs(self._clock() - sent_at) > self._window:
            raise TooOld(
                f"{self.name}: the delivery was triggered at {sent_at:%Y-%m-%d %H:%M}, too long ago to be taken"
            )
        return sent_at

    def signals(self, request: RawRequest) -> Sequence[Signal]:
        """Which order or listing to look at. An app has one secret for all its shops: those of others say nothing."""
        body = body_of(request)
        domain = header(request, "Shop-Domain")
        if body is None or (domain is not None and domain != self.shop):
            return ()
        try:
            resource = header(request, "Resource-Id")
            signals = resource_signal(resource) if resource else read_signals(header(request, "Topic") or "", body)
            return [s if s.order is None else replace(s, order=self._placed(s.order)) for s in signals]
        except (KeyError, TypeError, ValueError, AttributeError):
            return ()


def _scopes(data: Mapping[str, Any]) -> set[str]:
    granted = {scope["handle"] for scope in data["currentAppInstallation"]["accessScopes"]}
    return granted | {scope.replace("write_", "read_", 1) for scope in granted if scope.startswith("write_")}


def _missing_scopes(data: Mapping[str, Any]) -> list[str]:
    missing = [scope for scope in SCOPES if scope not in _scopes(data)]
    return [f"The app lacks {', '.join(missing)}: add it in the app's version, and install that."] if missing else []


def _next(found: Mapping[str, Any]) -> str | None:
    page = found["pageInfo"]
    return str(page["endCursor"]) if page["hasNextPage"] else None


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
