"""Amazon, Selling Partner API: `Amazon` is one seller's account in one region, in one or several marketplaces.

The figure is the quantity of the seller's own fulfilment: what may be sold. Amazon takes units off it when an order is
placed, pending or not. There is no compare-and-set and no idempotency key, and what is written is only *accepted*: it
is applied when it is read back. A few figures go one by one, many in one feed, whichever is sooner by the limits.

The list of orders is the truth, and scarce: one call in 179 seconds, 20 saved up. It is complete up to two minutes ago.
Notifications shorten the wait for one order; they are never believed, only looked after (`hooks.py`).

What is unsatisfying: between accepted and applied a sale may slip in, which the write then overwrites. The look that
reads it back shows that, and what is sold by then is taken off again. Whether marketplaces share a figure, nobody has
written down: each is read, the highest counts, and lowering writes only where more is shown.

Sources: Amazon's published models (Orders 2026-01-01, Listings Items 2021-08-01, Feeds and Reports 2021-06-30,
Notifications v1) and their usage plans.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson

from sheets_sync.channels import (
    Basis,
    Capabilities,
    Clock,
    Delivery,
    Health,
    Hook,
    Outcome,
    Page,
    Proof,
    Pulled,
    PushResult,
    RawRequest,
    Reply,
    Signal,
    Target,
)
from sheets_sync.channels.amazon import hooks, wire
from sheets_sync.channels.amazon.listings import (
    MOST_FIGURE,
    Seen,
    feed,
    listing_of,
    merged,
    patch,
    read_feed_report,
    read_item,
    read_patched,
    read_report,
    read_stock_of_amazon,
)
from sheets_sync.channels.amazon.orders import INCLUDED, read_order, when
from sheets_sync.channels.amazon.queue import SqsQueue
from sheets_sync.channels.amazon.returns import Returns, with_returns
from sheets_sync.channels.amazon.subscriptions import Resources, Subscriptions
from sheets_sync.channels.amazon.wire import iso, quoted
from sheets_sync.channels.http import TIMEOUT, HttpRefused, Shelf, failed
from sheets_sync.errors import (
    ChannelRefused,
    CredentialsRefused,
    Malformed,
    OtherSide,
    OutcomeUnknown,
    RateLimited,
    Unavailable,
    Unsigned,
)
from sheets_sync.model import LONG_AGO, Figure, Order, OrderState, Ref, RemoteListing

T = TypeVar("T")

PAGE = 20
"""Listings a call: a page of the search, or SKUs asked for by name."""

WINDOW = 1000
"""Listings that the search pages through; of more, only the report knows."""

ORDERS_PAGE = 100
OPEN = "PENDING_AVAILABILITY,PENDING,UNSHIPPED,PARTIALLY_SHIPPED"
FEED_MESSAGES = 25_000

ORDERS_EVERY = timedelta(seconds=179)
ORDERS_LAG = timedelta(minutes=2)
"""How late the list of orders runs: Amazon gives those changed up to two minutes before the request."""

OVERLAP = timedelta(minutes=10)
"""`orders` reads this much further back than asked, which is more than the list runs late."""

FEED_TAKES = timedelta(minutes=2)
"""How long a feed is taken to be in work, until one has told."""

PATCH_SETTLES = timedelta(seconds=60)
"""So long a single figure mostly takes to show."""

PATCH_PATIENCE = timedelta(minutes=15)
FEED_PATIENCE = timedelta(hours=6)
"""After that nobody knows what became of what Amazon accepted, and the figures are looked at."""

REPORT_LASTS = timedelta(hours=1)
"""For so long a report's list of SKUs is good; their figures are read anew each time."""

REPORT_AGAIN = 30.0
"""Seconds until it is worth asking again whether a report has been made."""

FEED_SETTLES = timedelta(seconds=60)
"""A feed that is done has accepted its figures; so long it takes them to show."""

LOOKS = 100
"""Listings looked at and written in a pass: twenty seconds by the limits. More wait for the next, or go in a feed."""

READ_BACK = 0.2
"""The share of the search's limit that may go into reading figures back; raises and the catalogue need the rest."""

RETRY_AFTER = 30.0
"""Seconds until a write that was not made is worth trying again, where Amazon does not say."""

REPORT_TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"
FEED_TYPE = "JSON_LISTINGS_FEED"
_LISTING_DATA = "summaries,fulfillmentAvailability,productTypes"
_CATALOGUE_DATA = f"{_LISTING_DATA},attributes"
"""With the barcode, among much else: a catalogue is read rarely enough for that, figures are not."""


class Amazon:
    """One seller in one region. `marketplaces` are Amazon's ids of the countries sold in; `name` our word for it.

    `address` and `login` replace Amazon's own for a local shop. `webhook_secret` is the key that the seller gives the
    API destination of EventBridge; the old one is accepted while it changes. Notifications go to EventBridge of the
    AWS account `aws_account` in `aws_region` and to `queue`, each type where Amazon sends it; without both, nowhere.
    """

    kind = "amazon"
    capabilities = Capabilities(
        basis=Basis.AVAILABLE,
        compare_and_set=False,
        idempotency_key=False,
        asynchronous=True,
        readable=True,
        max_batch=FEED_MESSAGES,
        orders_lag=ORDERS_LAG,
        orders_every=ORDERS_EVERY,
        looks=LOOKS,
        own_sources=None,  # they are Amazon's own marketplaces
        proof=Proof.KEY,  # EventBridge signs nothing
    )

    def __init__(
        self,
        name: str,
        seller_id: str,
        marketplaces: Sequence[str],
        *,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        region: str = "eu",
        address: str = "",
        login: str = "",
        webhook_secret: str = "",
        old_webhook_secret: str = "",
        aws_account: str = "",
        aws_region: str = "",
        queue: SqsQueue | None = None,
        clock: Clock = lambda: datetime.now(UTC),
        shelf: Shelf | None = None,
        timeout: tuple[float, float] = TIMEOUT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name, self.seller, self.marketplaces = name, seller_id, tuple(marketplaces)
        read_back = READ_BACK * wire.SEARCH_LISTINGS.rate * PAGE / max(1, len(self.marketplaces))
        self.capabilities = replace(type(self).capabilities, read_back=read_back)
        self._clock = clock
        self._accepted = tuple(s.encode() for s in (webhook_secret, old_webhook_secret) if s)
        self.api = wire.Api(
            name,
            address or wire.REGIONS[region],
            login or address or wire.LOGIN,
            client_id=client_id,
            client_secret=client_secret,
            refresh_token=refresh_token,
            secrets=(webhook_secret, old_webhook_secret),
            clock=clock,
            shelf=shelf,
            timeout=timeout,
            sleep=sleep,
        )
        self.queue = queue
        resources = Resources(aws_account, aws_region, queue.arn if queue else "")
        self._subscriptions = Subscriptions(self.api, name, resources)
        self._returns = Returns(self.api, self.marketplaces)
        self._types: dict[str, str] = {}  # product types by SKU, as last seen
        self._reports: dict[str, tuple[datetime, list[str]]] = {}  # SKUs by marketplace, as of a report
        self._ordered: dict[str, str] = {}  # reports that Amazon is making, by marketplace
        self._feed_takes = FEED_TAKES

    def close(self) -> None:
        """Let go of the connections."""
        self.api.close()
        if self.queue is not None:
            self.queue.close()

    # is it well?

    def check(self) -> Health:
        """Token, roles, clock, notifications, and how Amazon stands on what it has not written down."""
        problems, facts = list[str](), dict[str, str]()
        skew: timedelta | None = None
        try:
            skew = self._check_listings(facts)
            self._check_orders(facts)
        except (OtherSide, CredentialsRefused) as error:
            return Health(ok=False, problems=(str(error),), facts=facts)
        try:
            problems += self._subscriptions.problems(facts)
        except (OtherSide, CredentialsRefused) as error:
            problems.append(f"cannot read the subscriptions: {error}")
        if self.queue is not None and self.queue.is_read:
            problems += self._check_queue(self.queue, facts)
        if not self._accepted and self.queue is None:
            facts["notifications"] = "none can be verified: no webhook_secret is given; orders are read by themselves"
        facts["returns"] = self._returns.refused or "read from Amazon's report every three hours, and asked in Review"
        account = f"{self.seller} in {', '.join(self.marketplaces)}"
        return Health(not problems, account, tuple(problems), skew, facts)

    def _check_listings(self, facts: dict[str, str]) -> timedelta | None:
        seen: list[dict[str, Seen]] = []
        began, skew = self._clock(), None
        for place in self.marketplaces:
            answer = self._search(place, {"pageSize": str(PAGE)})
            total = int(answer.data.get("numberOfResults") or 0)
            how = "its report lists them" if total > WINDOW else "the search lists them"
            facts[f"listings in {place}"] = f"{total}; {how}"
            seen.append({item.sku: item for item in self._items(answer.data)})
            skew = None if answer.date is None else answer.date - began
        if len(self.marketplaces) > 1:
            facts["figures of several marketplaces"] = self._shared(seen)
        return skew

    def _shared(self, seen: Sequence[Mapping[str, Seen]]) -> str:
        """Whether marketplaces show one figure or each its own, as far as a page of listings tells."""
        first = seen[0]
        others = [self._seen_in(place, list(first)) for place in self.marketplaces[1:]]
        pairs = [(first[sku].shows, other[sku].shows) for other in others for sku in other.keys() & first.keys()]
        if not pairs:
            return "no listing was found in two of them"
        differ = sum(a != b for a, b in pairs)
        return "the same wherever looked at" if not differ else f"kept apart: {differ} of {len(pairs)} differ"

    def _check_orders(self, facts: dict[str, str]) -> None:
        now = self._clock()
        answer = self._search_orders({"lastUpdatedAfter": iso(now - OVERLAP), "maxResultsPerPage": "1"})
        before = answer.data.get("lastUpdatedBefore")
        late = "not said; taken as two minutes"
        if before:
            late = f"{(now - when(before)).total_seconds():.0f} seconds"
        facts["the list of orders runs late by"] = late
        rate = answer.headers.get("x-amzn-RateLimit-Limit")
        facts["calls a second for the list of orders"] = rate or f"not said; taken as {wire.SEARCH_ORDERS.rate}"

    @staticmethod
    def _check_queue(queue: SqsQueue, facts: dict[str, str]) -> list[str]:
        try:
            facts["messages waiting in the queue"] = str(queue.waiting())
        except (OtherSide, CredentialsRefused) as error:
            return [str(error)]
        return []

    def ensure_hooks(self, base_url: str) -> Sequence[Hook]:
        """Subscribe to what `hooks.VERSIONS` names, at the seller's own EventBridge or SQS. Idempotent."""
        return self._subscriptions.ensure(f"{base_url.rstrip('/')}/webhooks/{self.name}")

    # listings and figures

    def listings(self, cursor: str | None = None) -> Page[RemoteListing]:
        """A page of 20 SKUs, with their figures over all marketplaces. A SKU of several comes with the first of them.

        Where the search does not reach, the SKUs come from a report; while Amazon makes it, RateLimited is raised.
        """
        if cursor is None:
            return self._searched(0, "")
        how, number, rest = orjson.loads(cursor)
        return self._searched(number, rest) if how == "search" else self._reported(number, rest)

    def _searched(self, number: int, token: str) -> Page[RemoteListing]:
        place = self.marketplaces[number]
        page = {"pageSize": str(PAGE), "includedData": _CATALOGUE_DATA}
        answer = self._search(place, page | ({"pageToken": token} if token else {})).data
        if not token and int(answer.get("numberOfResults") or 0) > WINDOW:
            return self._reported(number, 0)
        found = {item.sku: item for item in self._items(answer)}
        after = (answer.get("pagination") or {}).get("nextToken")
        then = _cursor("search", number, after) if after and found else self._next_place(number)
        return Page(self._here_first(number, found), then)

    def _next_place(self, number: int) -> str | None:
        return _cursor("search", number + 1, "") if number + 1 < len(self.marketplaces) else None

    def _here_first(self, number: int, found: Mapping[str, Seen]) -> list[RemoteListing]:
        """Of what one marketplace has, what no earlier one has; with the figures of all."""
        out = []
        elsewhere = [
            (other, self._seen_in(place, list(found)))
            for other, place in enumerate(self.marketplaces)
            if other != number
        ]
        for sku, item in found.items():
            there = [(other, seen[sku]) for other, seen in elsewhere if sku in seen]
            if all(other > number for other, _ in there):
                out.append(listing_of(merged([item, *(seen for _, seen in there)])))
        by_amazon = [item.ref.listing for item in out if found[item.ref.listing].by_amazon]
        stock = self._stock_of_amazon(self.marketplaces[number], by_amazon) if by_amazon else {}
        return [replace(item, shows=stock.get(item.ref.listing, item.shows)) for item in out]

    def _stock_of_amazon(self, place: str, skus: Sequence[str]) -> dict[str, int]:
        """What Amazon has of these SKUs and may sell, to be shown. Without the role for it they are shown without."""
        params = {
            "granularityType": "Marketplace",
            "granularityId": place,
            "marketplaceIds": place,
            "sellerSkus": ",".join(sku for sku in skus if "," not in sku),
            "details": "true",
        }
        try:
            answer = self.api.read(wire.FBA_INVENTORY, "/fba/inventory/v1/summaries", params).data
        except (CredentialsRefused, ChannelRefused):
            return {}
        return read_stock_of_amazon(answer)

    def _reported(self, number: int, start: int) -> Page[RemoteListing]:
        """A page of the report's SKUs, with their figures as they are now."""
        place = self.marketplaces[number]
        at, skus = self._reports.get(place, (LONG_AGO, []))
        if not skus or (start == 0 and self._clock() - at > REPORT_LASTS):
            skus = self._report(place)
        page = skus[start : start + PAGE]
        more = start + PAGE < len(skus)
        then = _cursor("report", number, start + PAGE) if more else self._next_place(number)
        return Page(self._here_first(number, self._seen_in(place, page, _CATALOGUE_DATA)), then)

    def _report(self, place: str) -> list[str]:
        """The SKUs of a report that was made for us. It takes Amazon minutes, so it is not waited for here."""
        if place not in self._ordered:
            body = {"reportType": REPORT_TYPE, "marketplaceIds": [place]}
            self._ordered[place] = wire.order_report(self.api, body)
        try:
            found = wire.made_report(self.api, self._ordered[place])
        except Unavailable:
            del self._ordered[place]
            raise
        if found is None:
            raise RateLimited(
                f"{self.name}: Amazon is making the list of all listings; it takes some minutes, asked again then",
                REPORT_AGAIN,
            )
        del self._ordered[place]
        skus = read_report(found) if found else []
        self._reports[place] = (self._clock(), skus)
        return skus

    def figures(self, refs: Sequence[Ref]) -> Sequence[Figure]:
        """20 SKUs a call and marketplace. `shows` None: gone, or not the seller's to fulfil any more."""
        found = self._seen([ref.listing for ref in refs])
        return [Figure(ref, listing_of(found[ref.listing]).shows if ref.listing in found else None) for ref in refs]

    def _seen(self, skus: Sequence[str]) -> dict[str, Seen]:
        """What is shown over all marketplaces; SKUs that are in none are left out."""
        by_place = [self._seen_in(place, skus) for place in self.marketplaces]
        return {sku: merged(here) for sku in skus if (here := [seen[sku] for seen in by_place if sku in seen])}

    def _seen_in(self, place: str, skus: Sequence[str], data: str = _LISTING_DATA) -> dict[str, Seen]:
        found: dict[str, Seen] = {}
        for chunk in _chunks([sku for sku in dict.fromkeys(skus) if "," not in sku], PAGE):
            wanted = {"identifiers": ",".join(chunk), "identifiersType": "SKU", "pageSize": str(PAGE)}
            wanted["includedData"] = data
            found |= {item.sku: item for item in self._items(self._search(place, wanted).data)}
        for sku in dict.fromkeys(sku for sku in skus if "," in sku):  # it would be read as two
            item = self._one_item(place, sku, data)
            found |= {sku: item} if item is not None else {}
        return {sku: found[sku] for sku in skus if sku in found}

    def _search(self, place: str, params: Mapping[str, str]) -> Any:
        params = {"marketplaceIds": place, "includedData": _LISTING_DATA, **params}
        return self.api.read(wire.SEARCH_LISTINGS, self._items_path(), params)

    def _one_item(self, place: str, sku: str, data: str) -> Seen | None:
        params = {"marketplaceIds": place, "includedData": data}
        try:
            answer = self.api.read(wire.GET_LISTING, self._items_path(sku), params)
        except HttpRefused as error:
            if error.status == 404:
                return None
            raise
        return self._noted(read_item(answer.data))

    def _items(self, answer: Mapping[str, Any]) -> Iterator[Seen]:
        yield from (self._noted(read_item(item)) for item in answer.get("items") or ())

    def _noted(self, item: Seen) -> Seen:
        if item.product_type:
            self._types[item.sku] = item.product_type
        return item

    def _items_path(self, sku: str | None = None) -> str:
        path = f"/listings/2021-08-01/items/{quoted(self.seller)}"
        return path if sku is None else f"{path}/{quoted(sku)}"

    # pushing

    def push(self, targets: Sequence[Target]) -> Sequence[PushResult]:
        """Absolute figures, one by one or in a feed. `expected`, what a look showed, tells lowering from raising.

        What is read back at once is APPLIED, the rest ACCEPTED. One bad listing never spoils the others.
        """
        places = self._places(targets)
        early: dict[int, PushResult] = {}
        todo: dict[Ref, Target] = {}
        for position, target in enumerate(targets):
            result = _unfit(target, target.ref in todo)
            if result is None and not places[target.ref]:
                result = PushResult(target.ref, Outcome.APPLIED, actual=target.figure)
            if result is None:
                todo[target.ref] = target
            else:
                early[position] = result
        sent = {r.ref: r for r in self._send(list(todo.values()), places, anything_done=bool(early))}
        return [early.get(position) or sent[target.ref] for position, target in enumerate(targets)]

    def _send(
        self, targets: Sequence[Target], places: Mapping[Ref, tuple[str, ...]], *, anything_done: bool
    ) -> Iterator[PushResult]:  # fmt: skip
        """One by one, or all that go everywhere in a feed."""
        alike = [target for target in targets if places[target.ref] == self.marketplaces]
        bulk = {target.ref for target in alike} if self.in_bulk(len(alike)) else set()
        single = [target for target in targets if target.ref not in bulk]
        yield from self._patch_all(single, places, anything_done=anything_done)
        yield from self._feed_all([target for target in alike if target.ref in bulk])

    def _places(self, targets: Sequence[Target]) -> dict[Ref, tuple[str, ...]]:
        """In which marketplaces to write each figure. One that lowers is written only where more than it is shown."""
        if len(self.marketplaces) == 1:
            return {target.ref: self.marketplaces for target in targets}
        skus = [target.ref.listing for target in targets]
        shown = {place: self._seen_in(place, skus) for place in self.marketplaces}

        def wanted(target: Target, place: str) -> bool:
            seen = shown[place].get(target.ref.listing)
            lowers = target.expected is not None and target.figure < target.expected
            return seen is not None and (not lowers or seen.shows is None or seen.shows > target.figure)

        listed = {sku for seen in shown.values() for sku in seen}
        return {
            t.ref: tuple(place for place in self.marketplaces if wanted(t, place) or t.ref.listing not in listed)
            for t in targets
        }

    def in_bulk(self, count: int) -> bool:
        """Whether one feed would be through before so many single calls."""
        one_by_one = self.api.ready_in(wire.PATCH_LISTING, count)
        return one_by_one > self.api.ready_in(wire.CREATE_FEED) + self._feed_takes.total_seconds()

    def _patch_all(
        self, targets: Sequence[Target], places: Mapping[Ref, tuple[str, ...]], *, anything_done: bool
    ) -> Iterator[PushResult]:  # fmt: skip
        before: tuple[Sequence[PushResult], Sequence[Target]] = ((), ())  # read back a chunk later: they show by then
        for chunk in _chunks(targets, PAGE):
            job = _cursor("patch", iso(self._clock()), [[t.ref.listing, t.figure, t.expected] for t in chunk])
            results: list[PushResult] = []
            for target in chunk:
                away = any(result.outcome is Outcome.RETRY for result in results)
                try:
                    result = _not_now(target) if away else self._patch(target, places[target.ref], job)
                except CredentialsRefused as error:
                    if not anything_done and not results:
                        raise
                    result = failed(target, error, RETRY_AFTER)
                results.append(result)
                anything_done = True
            yield from self._read_back(*before)
            before = results, chunk
        yield from self._read_back(*before)

    def _patch(self, target: Target, places: tuple[str, ...], job: str) -> PushResult:
        sku = target.ref.listing
        try:
            answer = self.api.write(
                wire.PATCH_LISTING,
                "PATCH",
                self._items_path(sku),
                params={"marketplaceIds": ",".join(places)},
                json=patch(target.figure, self._types.get(sku, "")),
            )
        except OtherSide as error:
            return failed(target, error, RETRY_AFTER)
        return read_patched(target, answer.data or {}, job)

    def _read_back(self, results: Sequence[PushResult], targets: Sequence[Target]) -> list[PushResult]:
        """The results, those that show their figure already as applied. What cannot be read stays accepted."""
        wanted = {target.ref: target.figure for target in targets}
        accepted = [result.ref for result in results if result.outcome is Outcome.ACCEPTED]
        if not accepted:
            return list(results)
        try:
            shows = {figure.ref: figure.shows for figure in self.figures(accepted)}
        except (OtherSide, CredentialsRefused):
            return list(results)
        return [
            PushResult(result.ref, Outcome.APPLIED, actual=shows[result.ref])
            if result.outcome is Outcome.ACCEPTED and shows[result.ref] == wanted[result.ref]
            else result
            for result in results
        ]

    def _feed_all(self, targets: Sequence[Target]) -> Iterator[PushResult]:
        for chunk in _chunks(targets, FEED_MESSAGES):
            try:
                job = self._send_feed(chunk)
            except (OtherSide, CredentialsRefused) as error:
                yield from (failed(target, error, RETRY_AFTER) for target in chunk)
            else:
                yield from (PushResult(target.ref, Outcome.ACCEPTED, job=job) for target in chunk)

    def _send_feed(self, targets: Sequence[Target]) -> str:
        document = self._feed_document()
        self.api.upload(str(document["url"]), feed(self.seller, targets, self._types), _JSON)
        body = {
            "feedType": FEED_TYPE,
            "marketplaceIds": list(self.marketplaces),
            "inputFeedDocumentId": document["feedDocumentId"],
        }
        answer = self.api.write(wire.CREATE_FEED, "POST", "/feeds/2021-06-30/feeds", json=body)
        return _cursor("feed", iso(self._clock()), str(answer.data["feedId"]))

    def _feed_document(self) -> Mapping[str, Any]:
        """A place for a feed. One that was made without our learning of it harms nobody."""
        body = {"contentType": _JSON}
        try:
            answer = self.api.write(wire.CREATE_FEED_DOCUMENT, "POST", "/feeds/2021-06-30/documents", json=body)
        except OutcomeUnknown as error:
            raise Unavailable(f"{error}; nothing was written") from error
        made: Mapping[str, Any] = answer.data
        return made

    def results(self, job: str) -> Sequence[PushResult] | None:
        """What became of figures that were accepted: single ones are read back, of a feed its report is read.

        Raises ChannelRefused where Amazon did not take the feed at all.
        """
        how, sent, rest = orjson.loads(job)
        if how == "feed":
            return self._feed_results(job, when(sent), rest)
        age = self._clock() - when(sent)
        shows = {f.ref.listing: f.shows for f in self.figures([Ref(sku) for sku, _, _ in rest])}
        results = [_later(sku, figure, before, shows[sku], job, age) for sku, figure, before in rest]
        return None if all(result.outcome is Outcome.ACCEPTED for result in results) else results

    def _feed_results(self, job: str, sent: datetime, feed_id: str) -> Sequence[PushResult] | None:
        about = self.api.read(wire.GET_FEED, f"/feeds/2021-06-30/feeds/{quoted(feed_id)}").data
        status, document = about.get("processingStatus"), about.get("resultFeedDocumentId")
        if status in ("IN_QUEUE", "IN_PROGRESS"):
            return () if self._clock() - sent > FEED_PATIENCE else None
        if status != "DONE":
            raise ChannelRefused(f"Amazon did not work through the feed {feed_id} ({status}); it is sent again later")
        ended = when(about["processingEndTime"]) if about.get("processingEndTime") else sent
        self._feed_takes = max(ended - sent, timedelta(seconds=10))
        if self._clock() - ended < FEED_SETTLES:
            return None
        if not document:
            return ()
        found = self.api.read(wire.GET_FEED_DOCUMENT, f"/feeds/2021-06-30/documents/{quoted(document)}").data
        return tuple(read_feed_report(self.api.download(found)))

    # orders

    def orders(self, since: datetime, cursor: str | None = None) -> Page[Order]:
        """Every order of the seller's own fulfilment that changed since, ten minutes of overlap included; and those of
        which Amazon's report of returns says something new.

        Raises RateLimited at once where the calls for this list are used up.
        """
        read_at = self._clock()
        after = since.astimezone(UTC) - OVERLAP
        if after >= read_at:
            return Page([])  # Amazon refuses times that are yet to come
        params = {"lastUpdatedAfter": iso(after), "maxResultsPerPage": str(ORDERS_PAGE)}
        answer = self._search_orders(params | ({"paginationToken": cursor} if cursor else {})).data
        then = (answer.get("pagination") or {}).get("nextToken")
        orders = [self._order(body, read_at) for body in answer.get("orders") or ()]
        if not then:
            orders += [self.order(order_id) for order_id in self._returns.news(since, read_at)]
        return Page(orders, then or None)

    def open_orders(self, since: datetime, cursor: str | None = None) -> Page[Order]:
        """Orders placed since that are still to be shipped or paid: of sixty days that is a fraction of all."""
        read_at = self._clock()
        params = {"createdAfter": iso(since), "fulfillmentStatuses": OPEN, "maxResultsPerPage": str(ORDERS_PAGE)}
        answer = self._search_orders(params | ({"paginationToken": cursor} if cursor else {})).data
        then = (answer.get("pagination") or {}).get("nextToken")
        return Page([self._order(body, read_at) for body in answer.get("orders") or ()], then or None)

    def _search_orders(self, params: Mapping[str, str]) -> Any:
        places = ",".join(self.marketplaces)
        about = {"marketplaceIds": places, "fulfilledBy": "MERCHANT", "includedData": INCLUDED}
        return self.api.read(wire.SEARCH_ORDERS, "/orders/2026-01-01/orders", {**about, **params})

    def order(self, order_id: str) -> Order:
        """One order, as a notification asks for it."""
        read_at = self._clock()
        try:
            answer = self.api.read(
                wire.GET_ORDER, f"/orders/2026-01-01/orders/{quoted(order_id)}", {"includedData": INCLUDED}
            )
        except HttpRefused as error:
            if error.status != 404:
                raise
            return Order(order_id, LONG_AGO, read_at, OrderState.GONE, (), number=order_id, read_at=read_at)
        return self._order(answer.data.get("order") or {}, read_at)

    def _order(self, body: Mapping[str, Any], read_at: datetime) -> Order:
        try:
            order = read_order(body, read_at=read_at, one_figure=len(self.marketplaces) == 1)
        except Malformed as error:
            raise Unavailable(f"{self.name}: {error}") from error
        return with_returns(order, self._returns.units(order.id))

    # deliveries

    def handshake(self, request: RawRequest) -> Reply | None:
        """EventBridge asks for none."""
        return None

    def verify(self, request: RawRequest) -> Delivery:
        """The key of the API destination, in constant time; then whether it is JSON. Nothing signs the body."""
        given = (request.header(hooks.KEY_HEADER) or "").encode()
        matches = [hmac.compare_digest(given, key) for key in self._accepted]
        if not any(matches):
            raise Unsigned(f"{self.name}: a delivery without the key in {hooks.KEY_HEADER}; check webhook_secret")
        delivery = _delivery(request)
        if delivery is None:
            raise Malformed(f"{self.name}: a delivery with the right key, whose body is no JSON object")
        return delivery

    def pull(self) -> Sequence[Pulled]:
        """The next messages of the queue; none where there is no queue, or where it is empty."""
        found = self.queue.receive() if self.queue is not None else ()
        return [Pulled(receipt, _delivery(RawRequest("POST", "", {}, body))) for receipt, body in found]

    def pulled(self, receipts: Sequence[str]) -> None:
        """What was pulled by these receipts has been stored."""
        if self.queue is not None and receipts:
            self.queue.take_off(receipts)

    def signals(self, request: RawRequest) -> Sequence[Signal]:
        """Which order or listing to look at. A level in the body is never believed."""
        body = hooks.body_of(request)
        signal = None if body is None else hooks.read_signal(body, self.seller)
        return () if signal is None else (signal,)


_JSON = "application/json; charset=UTF-8"


def _delivery(request: RawRequest) -> Delivery | None:
    """What came in, without what is about buyers; None: no notification."""
    body = hooks.body_of(request)
    if body is None:
        return None
    topic = str(hooks.get(body, "NotificationType") or "")
    return Delivery(hooks.id_of(body), topic, hooks.sent_at(body), kept=orjson.dumps(hooks.without_buyers(body)))


def _cursor(*parts: object) -> str:
    return orjson.dumps(parts).decode()


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    items = list(items)
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _unfit(target: Target, twice: bool) -> PushResult | None:
    """Why a target must not be sent; None where it may."""
    if not 0 <= target.figure <= MOST_FIGURE:
        return PushResult(target.ref, Outcome.REFUSED, why=f"Amazon takes figures from 0 to {MOST_FIGURE:,}")
    if twice:
        why = "it stands twice in one push; only the first figure was sent"
        return PushResult(target.ref, Outcome.RETRY, why=why, retry_after=0.0)
    return None


def _later(sku: str, figure: int, before: int | None, shows: int | None, job: str, age: timedelta) -> PushResult:
    """What a look says about a figure that was accepted so long ago.

    What shows neither it nor what was there before was overtaken: by a sale, or by a later figure.
    """
    if shows == figure:
        return PushResult(Ref(sku), Outcome.APPLIED, actual=shows)
    overtaken = before is not None and shows != before and age > PATCH_SETTLES
    if shows is None or overtaken or age > PATCH_PATIENCE:
        why = f"Amazon accepted {figure} and shows {'nothing' if shows is None else shows} now"
        return PushResult(Ref(sku), Outcome.UNKNOWN, why=why)
    return PushResult(Ref(sku), Outcome.ACCEPTED, job=job)


def _not_now(target: Target) -> PushResult:
    why = "Amazon could not be reached for the listing before it"
    return PushResult(target.ref, Outcome.RETRY, why=why, retry_after=RETRY_AFTER)
