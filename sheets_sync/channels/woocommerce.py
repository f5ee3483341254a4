"""WooCommerce, REST API v3: `WooCommerce` is the channel; everything that reads a body is a pure function above it.

The figure (`stock_quantity`) is what may be sold: the shop takes units off when an order reaches processing, on-hold or
completed, and writes beside each line what it took (`_reduced_stock`) and what a refund put back
(`_restock_refunded_items`). There is no compare-and-set and no idempotency key, and webhooks are sent once, so a look
is always what counts. Times are read from the `_gmt` fields only: the others are in the site's own zone.

Sources: the REST docs (woocommerce.github.io/woocommerce-rest-api-docs), WooCommerce 11.0.1's own code, and what a real
11.0.1 and 9.0.2 did when driven.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import re
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import orjson
import requests
from requests.auth import AuthBase, HTTPBasicAuth

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
    SignalKind,
    Target,
)
from sheets_sync.channels.http import TIMEOUT, Answer, HttpRefused, Limiter, Session, failed, http_date
from sheets_sync.errors import (
    ChannelRefused,
    CredentialsRefused,
    Malformed,
    OtherSide,
    SheetsSyncError,
    Unavailable,
    Unsigned,
)
from sheets_sync.model import Figure, Order, OrderLine, OrderState, Ref, RemoteListing, Shipment

# limits: WooCommerce has none of its own, hosts do; small and steady is what a shared host bears ------------------

BATCH = 100
"""Rows a batch call takes; one more is a 413 for all of them."""

PAGE = 100
"""Rows a page can have."""

PAGE_OVERLAP = 5
"""Rows that two pages share: a row that leaves the list between two reads moves the others up, past a page's edge."""

CALLS_PER_SECOND, CALLS_AT_ONCE = 10.0, 20.0

OVERLAP = timedelta(minutes=5)
"""`orders` reads this much further back than asked: clocks differ, and the shop's dates are whole seconds."""

SAME_MOMENT = timedelta(seconds=2)
"""Dates this near to each other belong to one save of the order."""

RETRY_AFTER = 30.0
"""Seconds until a write that the shop could not take is worth trying again, where it does not say."""

HOOK_TOPICS = ("order.created", "order.updated", "order.deleted", "order.restored")
"""What we subscribe to. Not product.updated: each of our own writes would come back as one, through the shop's cron."""

ORDER_FIELDS = (
    "id,number,status,date_created_gmt,date_modified_gmt,date_paid_gmt,date_completed_gmt,created_via,payment_method,"
    "line_items,refunds"
)
"""All that is asked of an order: no name, address or e-mail of a buyer."""

PRODUCT_FIELDS = "id,name,type,sku,global_unique_id,manage_stock,stock_quantity,parent_id,attributes"

# the vendor's words -----------------------------------------------------------------------------------------------

STATES: Mapping[str, OrderState] = MappingProxyType(
    {
        "pending": OrderState.PENDING,  # placed, not paid; the figure is untouched
        "on-hold": OrderState.PENDING,  # awaiting a transfer; the figure has been lowered
        "processing": OrderState.OPEN,  # paid, to be shipped
        "completed": OrderState.DONE,  # shipped: the only word for it that the core has
        "cancelled": OrderState.CANCELLED,  # by whom, it does not say (O2: counts as the buyer)
        "failed": OrderState.CANCELLED,  # the payment failed; may still be paid, then it is open again
        "refunded": OrderState.CANCELLED,  # all the money went back; says nothing about the units
        "trash": OrderState.GONE,
    }
)
"""Order statuses; plugins rename and add some, those are UNKNOWN and treated as open."""

CARTS = frozenset({"checkout-draft", "auto-draft", "draft"})
"""Not orders yet: a shopper is in the checkout, or an admin began to type."""

PAID_LATER = frozenset({"bacs", "cheque"})
"""Payment methods whose orders wait on-hold, so that the figure was lowered before the payment."""

SKIPPED_TYPES = frozenset({"grouped", "external"})
"""Products with no stock of their own: a list of others, a link to another shop."""


# signing ----------------------------------------------------------------------------------------------------------


class OAuth1(AuthBase):
    """One-legged OAuth 1.0a in the query, which is what WooCommerce takes over plain HTTP.

    The timestamp may be 15 minutes off, the nonce must be new. Over https the key goes as Basic instead.
    """

    def __init__(self, consumer_key: str, consumer_secret: str, clock: Clock) -> None:
        self._key, self._secret, self._clock = consumer_key, consumer_secret, clock

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = urlsplit(str(request.url))
        params = dict(parse_qsl(url.query, keep_blank_values=True)) | {
            "oauth_consumer_key": self._key,
            "oauth_nonce": secrets.token_hex(16),
            "oauth_signature_method": "HMAC-SHA256",
            "oauth_timestamp": str(int(self._clock().timestamp())),
        }
        address = urlunsplit((url.scheme, url.netloc, url.path, "", ""))
        params["oauth_signature"] = oauth_signature(str(request.method), address, params, self._secret)
        request.url = urlunsplit((url.scheme, url.netloc, url.path, urlencode(params), ""))
        return request


def nonce_was_used(response: requests.Response) -> bool:
    """Ours are random: one is known already only where the network brought the same request twice. The message is in
    the shop's language, but for this word.
    """
    return response.status_code == 401 and "nonce" in response.text.lower()


class QueryKeys(AuthBase):
    """The keys as query parameters, which WooCommerce takes over https: for hosts that strip the other header."""

    def __init__(self, consumer_key: str, consumer_secret: str) -> None:
        self._keys = {"consumer_key": consumer_key, "consumer_secret": consumer_secret}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.prepare_url(request.url, self._keys)
        return request


def oauth_signature(method: str, address: str, params: Mapping[str, str], secret: str) -> str:
    """RFC 5849 section 3.4, with HMAC-SHA256 and no token."""
    pairs = sorted((_percent(k), _percent(v)) for k, v in params.items())
    text = "&".join(_percent(part) for part in (method.upper(), address, "&".join(f"{k}={v}" for k, v in pairs)))
    return base64.b64encode(hmac.new(f"{_percent(secret)}&".encode(), text.encode(), hashlib.sha256).digest()).decode()


def _percent(text: str) -> str:
    return quote(text, safe="-._~")


def signature(secret: str, body: bytes) -> bytes:
    """X-WC-Webhook-Signature, decoded. WooCommerce signs with the secret after decoding five HTML entities in it."""
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#039;", "'"), ("&amp;", "&")):
        secret = secret.replace(entity, character)
    return hmac.new(secret.encode(), body, hashlib.sha256).digest()


# reading bodies ---------------------------------------------------------------------------------------------------


def when(text: object) -> datetime | None:
    """A `_gmt` date; it has no zone in it."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        return None


def whole(value: object) -> int | None:
    """A whole number as JSON has it (7, 7.0, "7"); None for anything else. Plugins answer fractions and text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value) else None


def noted(line: Mapping[str, Any], key: str) -> int:
    """A figure that WooCommerce keeps in a line's meta data; 0 where there is none."""
    found = (whole(m.get("value")) for m in line.get("meta_data") or () if m.get("key") == key)
    return max(next((n for n in found if n is not None), 0), 0)


@dataclass(frozen=True)
class Refunded:
    """Units of one line that were refunded, by when."""

    at: datetime
    line: str
    units: int


def read_refunds(bodies: Iterable[Mapping[str, Any]]) -> tuple[Refunded, ...]:
    """`/orders/<id>/refunds`: units by order line. Money that names no line, or no units, is no unit."""
    found = []
    for body in bodies:
        at = when(body.get("date_created_gmt"))
        for row in body.get("line_items") or ():
            line, units = noted(row, "_refunded_item_id"), whole(row.get("quantity"))
            if at is not None and line and units:
                found.append(Refunded(at, str(line), abs(units)))  # the API gives them as negative numbers
    return tuple(found)


def read_order(
    body: Mapping[str, Any], refunds: Sequence[Mapping[str, Any]] = (), *, read_at: datetime | None = None
) -> Order:
    """An order's level. `refunds` are the bodies of its refunds, where it has any.

    Raises Malformed where the body is not an order: no id, no dates, no lines.
    """
    order_id, created = whole(body.get("id")), when(body.get("date_created_gmt"))
    rows, status = body.get("line_items"), body.get("status")
    if not order_id or created is None or not isinstance(rows, list) or not isinstance(status, str):
        raise Malformed(
            "WooCommerce: this body is no order (its id, status, date_created_gmt or line_items is missing)"
        )
    status = status.removeprefix("wc-")
    state = STATES.get(status, OrderState.UNKNOWN)
    times = _Times.of(body, status, created)
    if state is OrderState.CANCELLED and times.shipped is not None:
        state = OrderState.DONE  # it had left before the money went back
    refunded = read_refunds(refunds)
    note = (
        "" if state is not OrderState.UNKNOWN else f"WooCommerce says '{status}', which we do not know: taken as open"
    )
    lines = () if state is OrderState.GONE or status in CARTS else tuple(_lines(rows, status, times, refunded))
    return Order(
        id=str(order_id),
        number=str(body.get("number") or order_id),
        placed_at=created,
        updated_at=times.modified,
        state=OrderState.PENDING if status in CARTS else state,
        lines=lines,
        paid=when(body.get("date_paid_gmt")) is not None,
        source=str(body.get("created_via") or ""),
        read_at=read_at,
        note="a cart in the checkout, no order yet" if status in CARTS else note,
    )


@dataclass(frozen=True)
class _Times:
    """An order's dates, and what follows from them."""

    modified: datetime
    shipped: datetime | None  # when it was completed, where it is so still
    taken: datetime | None  # when the figure was lowered, where that is certain

    @staticmethod
    def of(body: Mapping[str, Any], status: str, created: datetime) -> _Times:
        modified = when(body.get("date_modified_gmt")) or created
        completed, paid = when(body.get("date_completed_gmt")), when(body.get("date_paid_gmt"))
        # the date stays when an order is taken back to be worked on; the status tells
        shipped = completed if status in ("completed", "refunded", "cancelled") else None
        if status == "completed":
            shipped = completed or modified
        taken = None
        if modified - created <= SAME_MOMENT:
            taken = created
        elif paid is not None and modified - paid <= SAME_MOMENT and body.get("payment_method") not in PAID_LATER:
            taken = paid
        return _Times(modified, shipped, taken)


def _lines(
    rows: Iterable[Mapping[str, Any]], status: str, times: _Times, refunded: Sequence[Refunded]
) -> Iterator[OrderLine]:
    for row in rows:
        line_id, ordered = whole(row.get("id")), whole(row.get("quantity"))
        if not line_id or ordered is None or ordered < 0:
            continue  # a fee or a fraction of something: nothing that we could count
        taken = noted(row, "_reduced_stock")
        line = OrderLine(
            id=str(line_id),
            ordered=ordered,
            sku=str(row.get("sku") or "") or None,
            ref=_ref_of(row),
            title=html.unescape(str(row.get("name") or "")),
            taken=taken,
            taken_at=times.taken if taken else None,
        )
        restocked = min(noted(row, "_restock_refunded_items"), ordered)
        yield _with_level(line, status, times, [r for r in refunded if r.line == line.id], restocked)


def _with_level(line: OrderLine, status: str, times: _Times, refunded: Sequence[Refunded], restocked: int) -> OrderLine:
    """What became of the units, by the order's status and its refunds.

    | | never completed | completed |
    |---|---|---|
    | refunded units | called off; freely only if all of them were restocked | before: called off; after: returned |
    | cancelled, failed | all called off, freely | it left: all returned; in what state, nobody said |
    | refunded (the status) | the rest is called off too, not freely: nothing was restocked | as the refunds say |
    """
    early = [r for r in refunded if times.shipped is None or r.at <= times.shipped]
    called_off = min(sum(r.units for r in early), line.ordered)
    freely = restocked >= called_off
    if times.shipped is None:
        if status in ("cancelled", "failed"):
            return replace(line, cancelled=line.ordered)
        if status == "refunded":
            called_off, freely = line.ordered, restocked >= line.ordered
        return replace(line, cancelled=called_off, freely=freely, cancelled_at=max((r.at for r in early), default=None))
    left = line.ordered - called_off
    back = min(sum(r.units for r in refunded) - sum(r.units for r in early), left)
    put_back = min(max(restocked - called_off, 0), back)
    if status == "cancelled":
        back = left  # it raises the figure without anyone having seen the goods: no word of a restock
    return replace(
        line,
        shipped=(Shipment(times.shipped, left),) if left else (),
        cancelled=called_off,
        freely=freely,
        cancelled_at=max((r.at for r in early), default=None),
        returned=back,
        restocked=put_back,
    )


def _ref_of(row: Mapping[str, Any]) -> Ref | None:
    product, variation = whole(row.get("product_id")), whole(row.get("variation_id"))
    if variation:
        return Ref(str(variation), parent=str(product or ""))
    return Ref(str(product)) if product else None


def read_variable(body: Mapping[str, Any], variations: Sequence[Mapping[str, Any]]) -> Iterator[RemoteListing]:
    """A variable product: its variations, and itself where it keeps stock for those that have none of their own.

    A line of an order names the variation, and a variation without a SKU goes by its product's. So the product can be
    pushed only where none that shares its stock has a SKU of its own: orders of that one would not count for it.
    """
    shares = [row for row in variations if row.get("manage_stock") == "parent"]
    own = sorted({sku for row in shares if (sku := _own_sku(row, body))})
    if body.get("manage_stock") is True and body.get("sku"):
        yield _with_shared_stock(read_listing(body), shares, own)
    for row in variations:
        yield read_listing(row, body)


def _with_shared_stock(
    listing: RemoteListing, shares: Sequence[Mapping[str, Any]], own: Sequence[str]
) -> RemoteListing:
    """The product's own listing, by who shares its figure."""
    why_not = listing.why_not
    if not shares:
        why_not = "each of its variations keeps its own stock: those are pushed"
    elif own:
        why_not = (
            f"variations that share its stock have SKUs of their own ({', '.join(own[:5])}): clear these, so that "
            "their orders count for it, or give each variation its own stock in WooCommerce"
        )
    return replace(listing, pushable=not why_not, why_not=why_not)


def _own_sku(row: Mapping[str, Any], parent: Mapping[str, Any]) -> str:
    """A variation's SKU; one without shows its product's."""
    sku = str(row.get("sku") or "")
    return "" if sku == str(parent.get("sku") or "") else sku


def read_listing(body: Mapping[str, Any], parent: Mapping[str, Any] | None = None) -> RemoteListing:
    """A product, or a variation of `parent`."""
    number = str(body["id"])
    shows = whole(body.get("stock_quantity"))
    managed = body.get("manage_stock")
    sku = str(body.get("sku") or "") or None
    why_not = ""
    if managed == "parent":
        sku = sku if parent is None else _own_sku(body, parent) or None
        why_not = "its stock is kept at its product, for all variations that have none of their own"
    elif managed is not True:
        why_not = "its stock is not tracked: tick 'Track stock quantity for this product' in WooCommerce"
    elif shows is None:
        why_not = f"its stock is {body.get('stock_quantity')!r}, which is not a whole number: correct it in WooCommerce"
    return RemoteListing(
        ref=Ref(number, parent=str(parent["id"]) if parent is not None else ""),
        sku=sku,
        title=_title(body, parent),
        shows=shows if managed is True else None,
        pushable=not why_not,
        why_not=why_not,
        barcode=str(body.get("global_unique_id") or ""),  # since WooCommerce 9.2
    )


def _title(body: Mapping[str, Any], parent: Mapping[str, Any] | None) -> str:
    if parent is None:
        return html.unescape(str(body.get("name") or ""))
    options = ", ".join(str(a.get("option") or "") for a in body.get("attributes") or ())
    return html.unescape(f"{parent.get('name') or ''} - {options or body.get('name') or body['id']}")


MOST_FIGURE = 2**31 - 1
"""More than this does not fit the shop's own tables."""


def unfit(target: Target) -> PushResult | None:
    """Why a row must not be sent; None where it may. The shop does not look: what is no number would set 0."""
    ids = (target.ref.listing, target.ref.parent or "0")
    if not all(id.isascii() and id.isdigit() for id in ids):
        return PushResult(target.ref, Outcome.REFUSED, "its id is not one of WooCommerce's: read the listings again")
    if type(target.figure) is not int or abs(target.figure) > MOST_FIGURE:
        return PushResult(target.ref, Outcome.REFUSED, f"{target.figure!r} is no figure that the shop can keep")
    return None


def read_batch(targets: Sequence[Target], answer: object) -> list[PushResult]:
    """The rows of a batch's answer, one result a target: an error stands inside of its row, under HTTP 200."""
    rows = answer.get("update") if isinstance(answer, dict) else None
    by_id = {str(row.get("id")): row for row in rows or () if isinstance(row, dict)}
    return [_row_result(target, by_id.get(target.ref.listing)) for target in targets]


def _row_result(target: Target, row: Mapping[str, Any] | None) -> PushResult:
    if row is None:
        return PushResult(target.ref, Outcome.UNKNOWN, "the shop's answer says nothing about this product")
    error = row.get("error")
    if isinstance(error, dict):
        return _row_error(target, error)
    shows = whole(row.get("stock_quantity"))
    if row.get("manage_stock") is not True:
        why = "the shop ignored the figure, its stock is not tracked: tick 'Track stock quantity for this product'"
        return PushResult(target.ref, Outcome.REFUSED, why)
    if shows != target.figure:
        return PushResult(target.ref, Outcome.UNKNOWN, f"the shop answered {shows}, not {target.figure}", actual=shows)
    return PushResult(target.ref, Outcome.APPLIED, actual=shows)


def _row_error(target: Target, error: Mapping[str, Any]) -> PushResult:
    code, data = str(error.get("code") or ""), error.get("data")
    status = whole(data.get("status")) if isinstance(data, dict) else None
    if status is not None and status >= 500:
        return PushResult(target.ref, Outcome.UNKNOWN, f"the shop failed on this product ({code})")
    if code.endswith("invalid_id") or code == "woocommerce_rest_invalid_product_id":
        return PushResult(target.ref, Outcome.REFUSED, "the shop has no such product any more")
    message = html.unescape(str(error.get("message") or code))[:300]
    return PushResult(target.ref, Outcome.REFUSED, f"the shop says: {message}")


def from_a_cache(headers: Mapping[str, str]) -> bool:
    """Whether an answer was kept by something before the shop, as far as its headers say."""
    said = " ".join(headers.get(name, "") for name in _CACHES).lower()
    age = headers.get("Age", "0").strip()
    return "hit" in said or (age.isdigit() and int(age) > 0)


_CACHES = ("X-Cache", "X-Cache-Status", "X-Proxy-Cache", "X-LiteSpeed-Cache", "X-FastCGI-Cache", "CF-Cache-Status")
"""Headers in which caches say HIT or MISS."""


# the channel ------------------------------------------------------------------------------------------------------


class WooCommerce:
    """One WooCommerce shop. `address` is the site's (with its folder, if WordPress has one), `name` our word for it.

    `webhook_secret` is ours to choose: `ensure_hooks` gives it to the shop. The old one is accepted while it changes.
    """

    kind = "woocommerce"
    capabilities = Capabilities(
        basis=Basis.AVAILABLE,
        compare_and_set=False,
        idempotency_key=False,
        asynchronous=False,
        readable=True,
        max_batch=BATCH,
        grouped_by="parent",
        own_sources=frozenset({"checkout", "store-api", "admin", "subscription"}),
    )

    def __init__(
        self,
        name: str,
        address: str,
        consumer_key: str,
        consumer_secret: str,
        *,
        webhook_secret: str = "",
        old_webhook_secret: str = "",
        keys_in_query: bool = False,
        clock: Clock = lambda: datetime.now(UTC),
        limiter: Limiter | None = None,
        timeout: tuple[float, float] = TIMEOUT,
    ) -> None:
        self.name = name
        self._clock = clock
        self._webhook_secret = webhook_secret
        self._accepted = tuple(s for s in (webhook_secret, old_webhook_secret) if s)
        auth: AuthBase = OAuth1(consumer_key, consumer_secret, clock)
        self._by_query: Session | None = None
        if address.startswith("https:"):
            in_query = QueryKeys(consumer_key, consumer_secret)
            auth = in_query if keys_in_query else HTTPBasicAuth(consumer_key, consumer_secret)
        secrets = (consumer_secret, consumer_key, webhook_secret, old_webhook_secret)
        limiter = limiter or Limiter(CALLS_PER_SECOND, CALLS_AT_ONCE)

        def session(auth: AuthBase) -> Session:
            # caching proxies on GET are common in front of WordPress
            headers, base = {"Cache-Control": "no-cache"}, f"{address.rstrip('/')}/wp-json/wc/v3/"
            return Session(
                base, who=name, auth=auth, limiter=limiter, secrets=secrets, headers=headers, timeout=timeout,
                came_twice=nonce_was_used,
            )  # fmt: skip

        self._session = session(auth)
        if isinstance(auth, HTTPBasicAuth):
            self._by_query = session(in_query)

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()
        if self._by_query is not None:
            self._by_query.close()

    # is it well?

    def check(self) -> Health:
        """Address, key, both permissions, clock, and whether our webhooks are alive. Changes nothing."""
        problems: list[str] = []
        began = self._clock()
        seen = self._try(problems, "read orders", lambda: self._session.read("GET", "orders", params=_ONE))
        if seen is None:
            return Health(ok=False, problems=(*problems, *self._stripped()))
        shop_time = http_date(seen.headers.get("Date"))
        # an empty batch passes the permission check and changes nothing
        self._try(problems, "write stock", lambda: self._session.write("POST", "products/batch", json={"update": []}))
        answers = [seen] + [
            self._try(problems, "read products", lambda: self._session.read("GET", "products", params=_ONE))
            for _ in range(2)  # what a cache keeps, it gives to the second who asks
        ]
        if any(from_a_cache(answer.headers) for answer in answers if answer is not None):
            problems.append(
                f"{self.name}: a cache answers in the shop's place, so figures and orders would be old: exclude "
                "/wp-json/ from it (the caching plugin, the host's cache, the CDN)"
            )
        hooks = self._try(problems, "read webhooks", self._webhooks) or []
        problems += self._hook_problems(hooks)
        return Health(
            ok=not problems,
            account=self._account(),
            problems=tuple(problems),
            clock_skew=None if shop_time is None else shop_time - began,
            facts={"webhooks": str(sum(h.get("status") == "active" for h in hooks))},
        )

    def _stripped(self) -> list[str]:
        """Whether the keys are good after all, and only the header that carries them does not arrive."""
        try:
            if self._by_query is not None:
                self._by_query.read("GET", "orders", params=_ONE)
                return [
                    "The keys are good, but your host strips the Authorization header that carries them: set "
                    "keys_in_query = true, or ask the host to pass the header on."
                ]
        except SheetsSyncError:
            pass
        return []

    def _hook_problems(self, hooks: Sequence[Mapping[str, Any]]) -> list[str]:
        """Hooks of ours that the shop has switched off, or that are gone. It tells nobody, and retries nothing."""
        ours = [h for h in hooks if str(h.get("name", "")).startswith(f"sheets-sync {self.name} ")]
        alive = {str(h.get("topic")) for h in ours if h.get("status") == "active"}
        off = {str(h.get("topic")): str(h.get("status")) for h in ours if h.get("topic") not in alive}
        gone = [topic for topic in HOOK_TOPICS if ours and topic not in alive and topic not in off]
        again = "it is made again within a day, or at the next start; until then orders are read at each look"
        return [
            f"{self.name}: the shop has switched off the webhook {topic} ({status}) after failed deliveries: check "
            f"that it can reach us; {again}"
            for topic, status in off.items()
        ] + [f"{self.name}: the webhook {topic} is gone from the shop: {again}" for topic in gone]

    def _try(self, problems: list[str], doing: str, call: Any) -> Any:
        try:
            return call()
        except HttpRefused as error:
            hint = ""
            if error.status == 404:
                hint = ": is the address right, WooCommerce active, and are permalinks other than 'Plain'?"
            problems.append(f"cannot {doing}: {error}{hint}")
        except SheetsSyncError as error:
            problems.append(f"cannot {doing}: {error}")
        return None

    def _account(self) -> str:
        try:
            data = self._session.read("GET", "../../", params={"_fields": "name"}).data
        except SheetsSyncError:
            return ""
        return html.unescape(str(data.get("name") or "")) if isinstance(data, dict) else ""

    def ensure_hooks(self, base_url: str) -> Sequence[Hook]:
        """Subscribe to `HOOK_TOPICS`; a hook that the shop disabled is made anew, so that its failures are forgotten.

        WooCommerce refuses local and private receiver addresses, and sends a ping to each new hook.
        """
        address = f"{base_url.rstrip('/')}/webhooks/{self.name}"
        if not self._webhook_secret:
            return [Hook(topic, address, "refused: this channel has no webhook_secret") for topic in HOOK_TOPICS]
        there = defaultdict(list)
        for hook in self._webhooks():
            if hook.get("delivery_url") == address:
                there[str(hook.get("topic"))].append(hook)
        return [self._ensure_hook(topic, address, there[topic]) for topic in HOOK_TOPICS]

    def _ensure_hook(self, topic: str, address: str, there: Sequence[Mapping[str, Any]]) -> Hook:
        alive = [h for h in there if h.get("status") == "active"]
        try:
            if alive:
                # the secret can't be read back: writing it makes sure that it is ours
                self._session.write("PUT", f"webhooks/{alive[0]['id']}", json={"secret": self._webhook_secret})
            else:
                self._session.write("POST", "webhooks", json=self._hook(topic, address))
            for old in (h for h in there if h not in alive[:1]):
                self._session.write("DELETE", f"webhooks/{old['id']}", params={"force": "true"})
        except (ChannelRefused, CredentialsRefused) as error:
            return Hook(topic, address, f"refused: {error}")
        return Hook(topic, address, "kept" if alive else ("made again" if there else "made"))

    def _hook(self, topic: str, address: str) -> dict[str, str]:
        name = f"sheets-sync {self.name} {topic}"
        secret = self._webhook_secret
        return {"name": name, "topic": topic, "delivery_url": address, "secret": secret, "status": "active"}

    def _webhooks(self) -> list[dict[str, Any]]:
        return list(self._rows("webhooks", {}))

    # listings and figures

    def listings(self, cursor: str | None = None) -> Page[RemoteListing]:
        """A page of products; a variable product gives its variations (and itself, where it keeps their stock)."""
        start = int(cursor or 0)
        rows = self._page("products", {"_fields": PRODUCT_FIELDS, "orderby": "id", "order": "asc"}, start)
        found = [listing for row in rows if row.get("type") not in SKIPPED_TYPES for listing in self._of_product(row)]
        return Page(found, _next(start, rows))

    def _of_product(self, body: Mapping[str, Any]) -> Iterator[RemoteListing]:
        if body.get("type") != "variable":
            yield read_listing(body)
            return
        query = {"_fields": PRODUCT_FIELDS, "orderby": "id", "order": "asc"}
        rows = {row.get("id"): row for row in self._rows(f"products/{body['id']}/variations", query)}
        yield from read_variable(body, list(rows.values()))

    def figures(self, refs: Sequence[Ref]) -> Sequence[Figure]:
        """One call a hundred listings of one parent. `shows` None: gone, or no longer tracked."""
        shows: dict[Ref, int | None] = {}
        for parent, chunk in _chunks(refs, PAGE):
            ids = ",".join(dict.fromkeys(ref.listing for ref in chunk))
            query = {"include": ids, "per_page": str(PAGE), "_fields": "id,manage_stock,stock_quantity"}
            for row in self._list_or_none(_products(parent), query):
                if row.get("manage_stock") is True:
                    shows[Ref(str(row.get("id")), parent)] = whole(row.get("stock_quantity"))
        return [Figure(ref, shows.get(Ref(ref.listing, ref.parent))) for ref in refs]

    def _list_or_none(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """No rows where the parent itself is gone."""
        try:
            return _list(self._session.read("GET", path, params=query))
        except HttpRefused as error:
            if error.status == 404:
                return []
            raise

    def push(self, targets: Sequence[Target]) -> Sequence[PushResult]:
        """Absolute figures, a hundred a call, each call of one parent. `expected` is ignored: there is no check.

        Rows are not type-checked by the shop ("abc" would set 0), so only whole numbers ever leave here.
        """
        by_ref = {target.ref: target for target in targets}
        results = {ref: why for ref, target in by_ref.items() if (why := unfit(target)) is not None}
        for parent, chunk in _chunks([ref for ref in by_ref if ref not in results], BATCH):
            group = [by_ref[ref] for ref in chunk]
            for result in self._push_chunk(parent, group, anything_done=bool(results)):
                results[result.ref] = result
        return [results[target.ref] for target in targets]

    def _push_chunk(self, parent: str, group: Sequence[Target], *, anything_done: bool) -> list[PushResult]:
        body = {"update": [{"id": int(t.ref.listing), "stock_quantity": t.figure} for t in group]}
        try:
            answer = self._session.write("POST", f"{_products(parent)}/batch", json=body)
        except (OtherSide, CredentialsRefused) as error:
            if isinstance(error, CredentialsRefused) and not anything_done:
                raise
            return [failed(t, error, RETRY_AFTER) for t in group]
        return read_batch(group, answer.data)

    def results(self, job: str) -> Sequence[PushResult] | None:
        """WooCommerce answers at once; there is never a job to ask about."""
        return ()

    # orders

    def orders(self, since: datetime, cursor: str | None = None) -> Page[Order]:
        """Every order modified since (with five minutes of overlap), then the trash, which "any" leaves out.

        An order deleted for good is in no list: only its webhook, or asking for it, tells.
        """
        which, _, start = (cursor or "any:0").partition(":")
        read_at = self._clock()
        query = {
            "status": which,
            "modified_after": f"{since.astimezone(UTC) - OVERLAP:%Y-%m-%dT%H:%M:%S}",
            "dates_are_gmt": "true",
            # by id, not by date: an order that changes while we page must not push another one past a page's edge
            "orderby": "id",
            "order": "asc",
            "_fields": ORDER_FIELDS,
        }
        rows = self._page("orders", query, int(start))
        orders = [self._order(row, read_at) for row in rows if row.get("status") not in CARTS]
        after = _next(int(start), rows)
        if after is None:
            return Page(orders, "trash:0" if which == "any" else None)
        return Page(orders, f"{which}:{after}")

    def order(self, order_id: str) -> Order:
        read_at = self._clock()
        try:
            answer = self._session.read("GET", f"orders/{int(order_id)}", params={"_fields": ORDER_FIELDS})
        except HttpRefused as error:
            if error.status not in (404, 410):
                raise
            return Order(order_id, read_at, read_at, OrderState.GONE, (), number=order_id, read_at=read_at)
        return self._order(answer.data, read_at)

    def _order(self, body: Mapping[str, Any], read_at: datetime) -> Order:
        refunds: list[dict[str, Any]] = []
        if body.get("refunds") and body.get("status") != "trash":
            # the order itself tells the money only
            refunds = self._list_or_none(f"orders/{body['id']}/refunds", {"per_page": str(PAGE)})
        return read_order(body, refunds, read_at=read_at)

    # deliveries

    def handshake(self, request: RawRequest) -> Reply | None:
        """The unsigned ping of a new (or failing) hook: `webhook_id=N`, to be answered 200 and otherwise ignored."""
        form = (request.header("Content-Type") or "").startswith("application/x-www-form-urlencoded")
        if request.method == "POST" and form and re.fullmatch(rb"webhook_id=\d{1,18}", request.body):
            return Reply(200)
        return None

    def verify(self, request: RawRequest) -> Delivery:
        """Signature over the raw body, under the secret or the one before it.

        There is no time in a delivery, so no replay window: a delivery repeated has the same id, and its level is older
        than what we have. The shop's Delivery-ID alone is no id: two orders of one second share it.
        """
        try:
            given = base64.b64decode(request.header("X-WC-Webhook-Signature") or "", validate=True)
        except ValueError:
            given = b""
        matches = [hmac.compare_digest(signature(secret, request.body), given) for secret in self._accepted]
        if not any(matches):
            raise Unsigned(f"{self.name}: a delivery without a good X-WC-Webhook-Signature")
        if not isinstance(_json(request.body), dict):
            raise Malformed(f"{self.name}: a signed delivery whose body is no JSON object")
        sent = request.header("X-WC-Webhook-Delivery-ID") or ""
        number = hashlib.sha256(sent.encode() + b"\n" + request.body).hexdigest()
        return Delivery(number, request.header("X-WC-Webhook-Topic") or "")

    def signals(self, request: RawRequest) -> Sequence[Signal]:
        """An order's level where the body carries it whole (no refunds in it); else what to look at.

        A body may be an error (`{"code": …}`): the order was gone when the shop got round to sending. It says nothing.
        """
        body = _json(request.body)
        number = whole(body.get("id")) if isinstance(body, dict) else None
        if not number or not isinstance(body, dict):
            return ()
        resource, _, event = (request.header("X-WC-Webhook-Topic") or "").partition(".")
        if resource == "product":
            return (Signal(SignalKind.LISTING, str(number)),)
        if resource != "order":
            return (Signal(SignalKind.OTHER, str(number)),)
        if event == "deleted":
            return (Signal(SignalKind.ORDER, str(number), gone=True),)
        if body.get("status") in CARTS:
            return ()
        return (Signal(SignalKind.ORDER, str(number), order=_whole_order(body)),)

    # pages

    def _page(self, path: str, query: Mapping[str, str], start: int) -> list[dict[str, Any]]:
        return _list(self._session.read("GET", path, params={**query, "per_page": str(PAGE), "offset": str(start)}))

    def _rows(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        start: str | None = "0"
        while start is not None:
            rows = self._page(path, query, int(start))
            yield from rows
            start = _next(int(start), rows)


_ONE = MappingProxyType({"per_page": "1", "_fields": "id"})


def _next(start: int, rows: Sequence[object]) -> str | None:
    """Where the next page starts; None after the last one. Rows may come twice, which harms nobody."""
    return str(start + PAGE - PAGE_OVERLAP) if len(rows) >= PAGE else None


def _list(answer: Answer) -> list[dict[str, Any]]:
    if not isinstance(answer.data, list):
        raise Unavailable("WooCommerce answered something that is no list; a plugin or a proxy may be in the way")
    return [row for row in answer.data if isinstance(row, dict)]


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _whole_order(body: Mapping[str, Any]) -> Order | None:
    if body.get("refunds"):
        return None
    try:
        return read_order(body)
    except Malformed:
        return None


def _products(parent: str) -> str:
    """Variations are not reachable by /products: each row would be a 404."""
    return f"products/{int(parent)}/variations" if parent else "products"


def _chunks(refs: Iterable[Ref], size: int) -> Iterator[tuple[str, list[Ref]]]:
    groups: dict[str, list[Ref]] = defaultdict(list)
    for ref in refs:
        groups[ref.parent].append(ref)
    for parent, group in groups.items():
        for i in range(0, len(group), size):
            yield parent, group[i : i + size]
