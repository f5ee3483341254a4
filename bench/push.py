"""10,000 changed listings: calls against the fewest that the batch rule allows, time against what the limits allow.

    python -m bench.push [shopify] [woocommerce] [http_json] [amazon] [amazon_singly] [--listings 10000]

The product's own pass pushes them through the real adapter over HTTP to the local shop, on a simulated clock: only
waiting for a limit takes time, so that what is measured is how well the limits are used. First all figures fall, then
all rise, which costs what law 3 demands besides: looks, and the orders behind them. (Of counts that go both ways those
that fall are written first, in calls of their own.) The allowance is empty when it begins; the floor is the time in
which the limit lets the same calls through, each as soon as the allowance holds what it asks for.

Amazon counts each operation by itself, and takes its own time: a feed is worked through and shows a minute later. Each
of its two ways is measured: `amazon` as the adapter chooses, which is a feed, `amazon_singly` with the feed forbidden.
In step means there that every figure was read back. Of what is scarce (feeds) some are saved up, as after any rest.

Beside it stands what connectors do that make a call a listing: the calls, and the time that the same limit lets them
through in.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import SecretStr

from sheets_sync import onboarding
from sheets_sync.batching import GROUPS
from sheets_sync.channel_sync import ChannelMemory, channel_pass
from sheets_sync.channels import Channel
from sheets_sync.channels.amazon import FEED_SETTLES, Amazon, wire
from sheets_sync.channels.http import Limiter
from sheets_sync.channels.http_json import HttpJson
from sheets_sync.channels.shopify import Shopify
from sheets_sync.channels.woocommerce import WooCommerce
from sheets_sync.config import (
    AmazonSettings,
    ChannelSettings,
    HttpJsonSettings,
    Settings,
    SheetSettings,
    ShopifySettings,
    WooCommerceSettings,
)
from sheets_sync.desk import Desk
from sheets_sync.errors import RateLimited
from sheets_sync.ledger import Ledger
from sheets_sync.logs import configure
from sheets_sync.model import Fact, Kind, Listing, Stock
from sheets_sync.sandbox.shops import Running, Seed, serve
from sheets_sync.sandbox.shops.amazon import Pace

BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)
MOST_PASSES = 600
VARIATIONS = 10  # of each variable product; every second listing is one of them where that matters


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        """As a clock on the wall."""
        return BEGIN + timedelta(seconds=self.passed)

    def seconds(self) -> float:
        """As a stop-watch."""
        return self.passed

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.passed += seconds


@dataclass(frozen=True)
class Limit:
    """What a vendor allows: `rate` a second, `burst` at once; `single` is what a call for one listing costs."""

    rate: float
    burst: float
    single: float
    unit: str


@dataclass
class Counted:
    """Calls by what they are for, and what they cost in the limit's unit."""

    calls: Counter[str] = field(default_factory=Counter)
    costs: list[tuple[float, float]] = field(default_factory=list)  # what each call asked for, and what it took

    def floor_of(self, vendor: Vendor) -> float:
        """Seconds in which the vendor's limits let these calls through, with the time that it takes itself."""
        return vendor.floor(self) if vendor.floor else self.floor(vendor.limit)

    def floor(self, limit: Limit) -> float:
        """Seconds in which the limit lets these calls through, from an empty allowance on."""
        passed, left = 0.0, 0.0
        for asked, took in self.costs:
            wait = max(0.0, asked - left) / limit.rate
            passed, left = passed + wait, min(limit.burst, left + wait * limit.rate) - took
        return passed


@dataclass(frozen=True)
class Vendor:
    """One kind of channel, as the bench drives it."""

    limit: Limit
    settings: Callable[[Running], ChannelSettings]
    adapter: Callable[[Running, Time, Limiter], Channel]
    purpose: Callable[[Any], str]
    seeds: Callable[[int], list[Seed]]
    kind: str = ""  # of the shop, where the name is another
    floor: Callable[[Counted], float] | None = None


# the vendors ----------------------------------------------------------------------------------------------------------


def simple(count: int) -> list[Seed]:
    """Products without variations."""
    return [Seed(f"S-{i:05}", f"Product {i}", 50) for i in range(count)]


def half_variable(count: int) -> list[Seed]:
    """Half of the listings are variations, ten to a product."""
    plain = count // 2
    return simple(plain) + [
        Seed(f"V-{i:05}", f"Size {i % VARIATIONS}", 50, variant_of=f"Variable {i // VARIATIONS}")
        for i in range(count - plain)
    ]


COMMON: Mapping[str, Any] = MappingProxyType({"name": "shop", "title": "Shop", "primary": True})


def _secret(running: Running, name: str) -> SecretStr:
    return SecretStr(running.credentials[name])


def _shopify_settings(running: Running) -> ChannelSettings:
    shop, token = running.credentials["shop"], _secret(running, "access_token")
    return ShopifySettings(**COMMON, shop=shop, base_url=running.base_url, access_token=token)


def _shopify(running: Running, time: Time, limiter: Limiter) -> Channel:
    keys = running.credentials
    return Shopify(
        "shop", keys["shop"], running.base_url, access_token=keys["access_token"], clock=time.now, sleep=time.sleep,
        limiter=limiter,
    )  # fmt: skip


def _shopify_purpose(seen: Any) -> str:
    names = {b"mutation SetFigures": "write", b"query Figures": "look", b"query Orders": "orders"}
    return next((what for start, what in names.items() if start in seen.body), "other")


def _woo_settings(running: Running) -> ChannelSettings:
    keys = {name: _secret(running, name) for name in ("consumer_key", "consumer_secret")}
    return WooCommerceSettings(**COMMON, base_url=running.base_url, **keys)


def _woo(running: Running, time: Time, limiter: Limiter) -> Channel:
    keys = running.credentials
    return WooCommerce(
        "shop", running.base_url, keys["consumer_key"], keys["consumer_secret"], clock=time.now, limiter=limiter
    )


def _woo_purpose(seen: Any) -> str:
    if seen.method == "POST":
        return "write"
    return "orders" if seen.path.endswith("/orders") else "look" if "include=" in seen.query else "other"


def _json_settings(running: Running) -> ChannelSettings:
    return HttpJsonSettings(**COMMON, base_url=running.base_url, secret=_secret(running, "secret"))


def _json(running: Running, time: Time, limiter: Limiter) -> Channel:
    return HttpJson("shop", running.base_url, running.credentials["secret"], clock=time.now, limiter=limiter)


def _json_purpose(seen: Any) -> str:
    words = {"/figures": "write", "/figures/read": "look", "/orders": "orders"}
    return words.get(seen.path.removeprefix("/sync"), "other")


def _amazon_settings(running: Running) -> ChannelSettings:
    keys = running.credentials
    secrets = {name: _secret(running, name) for name in ("client_id", "client_secret", "refresh_token")}
    marketplaces = keys["marketplaces"].split(",")
    return AmazonSettings(
        **COMMON, seller_id=keys["seller_id"], marketplaces=marketplaces, base_url=running.base_url, **secrets
    )


def _amazon(running: Running, time: Time, limiter: Limiter) -> Amazon:
    keys = running.credentials
    return Amazon(
        "shop", keys["seller_id"], keys["marketplaces"].split(","), client_id=keys["client_id"],
        client_secret=keys["client_secret"], refresh_token=keys["refresh_token"], address=running.base_url,
        clock=time.now, sleep=time.sleep,
    )  # fmt: skip


class Singly(Amazon):
    """One that never hands in a feed."""

    def in_bulk(self, count: int) -> bool:
        return False


def _singly(running: Running, time: Time, limiter: Limiter) -> Channel:
    channel = _amazon(running, time, limiter)
    channel.__class__ = Singly
    return channel


def _amazon_purpose(seen: Any) -> str:
    if seen.method == "PATCH":
        return "single write"
    if seen.method == "POST" and seen.path.endswith("/feeds"):
        return "write"
    if seen.path.startswith("/listings/"):
        return "look" if "identifiers=" in seen.query else "other"
    return "orders" if seen.path.endswith("/2026-01-01/orders") else "other"


def _amazon_floor(counted: Counted) -> float:
    """Operations are counted apart, and looks go on while figures are written one by one. What a feed takes, and the
    minute until it shows, lies between the looks before and those after it.
    """
    looks, single = counted.calls["look"] / wire.SEARCH_LISTINGS.rate, counted.calls["single write"]
    if single:
        return max(looks, single / wire.PATCH_LISTING.rate)
    pace = Pace()
    return looks + (pace.feed_waits + pace.feed_works + FEED_SETTLES).total_seconds()


VENDORS: Mapping[str, Vendor] = MappingProxyType(
    {
        "shopify": Vendor(Limit(100, 2000, 13, "points"), _shopify_settings, _shopify, _shopify_purpose, simple),
        "woocommerce": Vendor(Limit(10, 20, 1, "calls"), _woo_settings, _woo, _woo_purpose, half_variable),
        "http_json": Vendor(Limit(10, 20, 1, "calls"), _json_settings, _json, _json_purpose, simple),
        "amazon": Vendor(
            Limit(5, 5, 1, "calls"), _amazon_settings, _amazon, _amazon_purpose, simple, floor=_amazon_floor
        ),
        "amazon_singly": Vendor(
            Limit(5, 5, 1, "calls"), _amazon_settings, _singly, _amazon_purpose, simple, "amazon", _amazon_floor
        ),
    }
)


# one run --------------------------------------------------------------------------------------------------------------


class Run:
    """A seller with one shop, counted and in step; then every count changes."""

    def __init__(self, name: str, count: int, folder: Path, stack: ExitStack) -> None:
        self.vendor, self.time, self.counted = VENDORS[name], Time(), Counted()
        limit = self.vendor.limit
        kind = self.vendor.kind or name
        self.running = stack.enter_context(serve(kind, None, seed=self.vendor.seeds(count), clock=self.time.now))
        self.limiter = Limiter(limit.rate, limit.burst, clock=self.time.seconds, sleep=self.time.sleep)
        self.channel = self.vendor.adapter(self.running, self.time, self.limiter)
        stack.callback(self.channel.close)
        ledger = stack.enter_context(_closing(Ledger.open(f"sqlite:///{folder}/ledger.db", clock=self.time.now)))
        settings = Settings(
            folder / "config.toml", SheetSettings(spreadsheet_id="x", base_url="http://127.0.0.1:1"),
            channels={"shop": self.vendor.settings(self.running)},
        )  # fmt: skip
        self.desk = Desk(ledger, {"shop": self.channel}, settings, self.time.now)
        self.memory = ChannelMemory()

    def begin(self) -> None:
        """To Start, and until nothing is left to do; a while later nothing is uncertain any more."""
        while True:
            try:
                onboarding.import_catalogues(self.desk)
                break
            except RateLimited as error:  # Amazon is making its report of all listings
                self.time.sleep(error.retry_after or 60.0)
        onboarding.start(self.desk)
        self.in_step()
        if self.vendor.limit.unit == "points":
            self._count_points()

    def in_step(self) -> None:
        """Passes, as the service makes them, until every listing shows its figure."""
        for _ in range(MOST_PASSES):
            report = channel_pass(self.desk, "shop", self.memory, None)
            pending = any(item.pending_job for item in self.memory.shelf.listings.values())
            if not report.out_of_step and not pending and self.memory.reading is None:
                return
            waits = (report.out_of_step or pending) and not report.again
            self.time.sleep(0.0 if not waits else 60.0 if report.after is None else max(report.after, 1.0))
        raise AssertionError("the shop is not in step")

    def change_all(self, step: int) -> int:
        """Every count falls or rises by one; how many there are."""
        with self.desk.ledger.begin() as tx:
            skus = sorted(item.sku for item in tx.listings("shop") if item.sku)
            at, change = self.time.now(), Stock(on_hand=step)
            tx.append(Fact(f"bench:{step}:{sku}", sku, Kind.ADJUSTMENT, at, change=change) for sku in skus)
        return len(skus)

    def measure(self) -> float:
        """Seconds on the simulated clock until all are in step, from an empty allowance on."""
        self.time.sleep(3600)  # nothing is uncertain any more, and the catalogue is not read meanwhile
        self.memory.catalogue_at = self.memory.tidied_at = self.time.now() + timedelta(days=1)
        self.counted = Counted()
        self.limiter.left(0)
        for name in ("searchListingsItems", "patchListingsItem"):
            if isinstance(self.channel, Amazon) and name in self.channel.api._limits:
                self.channel.api._limits[name].left(0)
        if self.vendor.limit.unit == "points":
            self.running.shop.api.bucket.drain(0, self.time.now())
        self.running.middleware = self._note
        began = self.time.passed
        self.in_step()
        self.running.middleware = None
        return self.time.passed - began

    def _note(self, seen: Any) -> None:
        self.counted.calls[self.vendor.purpose(seen)] += 1
        if self.vendor.limit.unit == "calls":
            self.counted.costs.append((1.0, 1.0))

    def _count_points(self) -> None:
        """What each query really cost, as the shop books it."""
        bucket = self.running.shop.api.bucket
        take, give_back = bucket.take, bucket.give_back

        def taken(points: int, now: datetime) -> bool:
            paid: bool = take(points, now)
            if paid:
                self.counted.costs.append((points, points))
            return paid

        def given(points: int) -> None:
            asked, took = self.counted.costs[-1]
            self.counted.costs[-1] = (asked, took - points)
            give_back(points)

        bucket.take, bucket.give_back = taken, given

    def least(self) -> int:
        """The fewest writes that the batch rule allows."""
        with self.desk.ledger.read() as view:
            listings = [item for item in view.listings("shop") if item.pushable]
        return fewest(listings, self.channel)


def fewest(listings: Iterable[Listing], channel: Channel) -> int:
    """ceil(n / largest batch) of each group that must go together."""
    able = channel.capabilities
    most = able.max_batch if not isinstance(channel, Singly) else 1
    sizes = Counter(GROUPS[able.grouped_by](item.ref) for item in listings)
    return sum(ceil(n / most) for n in sizes.values())


class _closing:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def __enter__(self) -> Ledger:
        return self.ledger

    def __exit__(self, *_: object) -> None:
        self.ledger.close()


def run(name: str, count: int) -> None:
    """Measure one channel, and print its two lines of the table."""
    began = time.monotonic()
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="bench-push-") as folder:
        one = Run(name, count, Path(folder), stack)
        one.begin()
        for step, word in ((-1, "all fall"), (1, "all rise")):
            changed = one.change_all(step)
            seconds, least, limit = one.measure(), one.least(), one.vendor.limit
            calls, allowed = one.counted.calls, one.counted.floor_of(one.vendor)
            alone, writes = changed * limit.single / limit.rate, calls["write"] + calls["single write"]
            print(
                f"| {name}, {word} | {writes} | {least} | {calls['look']} | {calls['orders']} "
                f"| {calls['other']} | {seconds:.1f} s | {allowed:.1f} s | {seconds / allowed:.3f} "
                f"| {changed:,} | {alone:,.0f} s |"
            )
    print(f"  ({time.monotonic() - began:.0f} s of real time)", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> None:
    """The table, a line a channel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("channel", nargs="*", default=list(VENDORS), help=f"of {', '.join(VENDORS)}")
    parser.add_argument("--listings", type=int, default=10_000)
    given = parser.parse_args(arguments)
    configure(logging.ERROR, sys.stderr)
    print(
        "| figures | writes | least | looks | orders | other | time | limits allow | ratio | a call each | its time |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in given.channel:
        run(name, given.listings)


if __name__ == "__main__":
    main()
