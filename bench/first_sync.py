"""Import, Start and first sync of four local shops: time against what the shops' own limits allow.

    python -m bench.first_sync [--skus 10000]

The product's own import, Start and passes, through the real adapters over HTTP, on simulated clocks: only waiting for a
limit, or for a shop that still prepares an answer, takes time. Each shop has a clock and limits of its own, as shops
have, so a step takes as long as its slowest shop. All shops but the primary show another figure for every SKU.

The floor is the time in which each shop's limit lets just these calls through, each as soon as the allowance holds what
it asks for; of every step the slowest shop again. Start waits for the import, and the first sync for Start.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench.push import BEGIN, MOST_PASSES, VENDORS, Counted, Time, _closing
from sheets_sync import onboarding
from sheets_sync.channel_sync import ChannelMemory, channel_pass
from sheets_sync.channels.http import Limiter
from sheets_sync.config import Settings, SheetSettings
from sheets_sync.desk import Desk
from sheets_sync.ledger import Ledger
from sheets_sync.logs import configure
from sheets_sync.sandbox.shops import Seed, serve

SHOPS = {"shopify": "shopify", "shopify2": "shopify", "woocommerce": "woocommerce", "http_json": "http_json"}


class Shop:
    """One local shop with its clock, its limit, and what its calls cost."""

    def __init__(self, name: str, kind: str, skus: int, folder: Path, stack: ExitStack) -> None:
        self.name, self.vendor, self.time, self.counted = name, VENDORS[kind], Time(), Counted()
        limit, shows = self.vendor.limit, 50 if name == "shopify" else 40
        seeds = [Seed(f"S-{i:05}", f"Product {i}", shows) for i in range(skus)]
        self.running = stack.enter_context(serve(kind, None, seed=seeds, clock=self.time.now))
        limiter = Limiter(limit.rate, limit.burst, clock=self.time.seconds, sleep=self.time.sleep)
        self.channel: Any = self.vendor.adapter(self.running, self.time, limiter)
        self.channel.name = name
        stack.callback(self.channel.close)
        about = self.vendor.settings(self.running)
        self.settings = about.model_copy(update={"name": name, "title": name, "primary": name == "shopify"})
        self.memory = ChannelMemory()
        self._count()

    def _count(self) -> None:
        """What each call costs, in its limit's unit."""
        if self.vendor.limit.unit == "calls":
            self.running.middleware = lambda seen: self.counted.costs.append((1.0, 1.0))
            return
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


class Seller:
    """Four shops, one ledger; `step` measures one step of the beginning."""

    def __init__(self, skus: int, folder: Path, stack: ExitStack) -> None:
        self.shops = {name: Shop(name, kind, skus, folder, stack) for name, kind in SHOPS.items()}
        ledger = stack.enter_context(_closing(Ledger.open(f"sqlite:///{folder}/ledger.db", clock=self.now)))
        settings = Settings(
            folder / "config.toml", SheetSettings(spreadsheet_id="x", base_url="http://127.0.0.1:1"),
            channels={name: shop.settings for name, shop in self.shops.items()},
        )  # fmt: skip
        self.desk = Desk(ledger, {name: shop.channel for name, shop in self.shops.items()}, settings, self.now)

    def now(self) -> datetime:
        """The latest of the shops' clocks."""
        return BEGIN + timedelta(seconds=max(shop.time.passed for shop in self.shops.values()))

    def step(self, what: str, work: Any) -> tuple[float, float]:
        """(seconds that it took, seconds that the limits allow), of the slowest shop each."""
        together = max(shop.time.passed for shop in self.shops.values())
        for shop in self.shops.values():
            shop.time.passed, shop.counted.costs = together, []
        work()
        took = max(shop.time.passed for shop in self.shops.values()) - together
        allowed = max(floor(shop) for shop in self.shops.values())
        calls = sum(len(shop.counted.costs) for shop in self.shops.values())
        print(f"| {what} | {calls:,} | {took:.1f} s | {allowed:.1f} s | {took / allowed if allowed else 1:.3f} |")
        return took, allowed

    def sync(self) -> None:
        """Passes over each shop until it shows the counts."""
        for name, shop in self.shops.items():
            for _ in range(MOST_PASSES):
                report = channel_pass(self.desk, name, shop.memory, None)
                if not report.out_of_step and shop.memory.reading is None:
                    break
                shop.time.sleep(0.0 if report.again else report.after or 60.0)
            else:
                raise AssertionError(f"{name} is not in step")


def floor(shop: Shop) -> float:
    """Seconds in which the limit lets these calls through, from a full allowance on."""
    limit = shop.vendor.limit
    passed, left = 0.0, limit.burst
    for asked, took in shop.counted.costs:
        wait = max(0.0, asked - left) / limit.rate
        passed, left = passed + wait, min(limit.burst, left + wait * limit.rate) - took
    return passed


def main(arguments: Sequence[str] | None = None) -> None:
    """The table, a line a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skus", type=int, default=10_000)
    given = parser.parse_args(arguments)
    configure(logging.ERROR, sys.stderr)
    began = time.monotonic()
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="bench-first-") as folder:
        seller = Seller(given.skus, Path(folder), stack)
        print("| step | calls | time | limits allow | ratio |\n|---|---|---|---|---|")
        steps = [
            seller.step("import", lambda: onboarding.import_catalogues(seller.desk)),
            seller.step("Start", lambda: onboarding.start(seller.desk)),
            seller.step("first sync", seller.sync),
        ]
        took, allowed = sum(t for t, _ in steps), sum(a for _, a in steps)
        print(f"| all of it | | {took:.1f} s | {allowed:.1f} s | {took / allowed:.3f} |")
    print(f"  ({time.monotonic() - began:.0f} s of real time)", file=sys.stderr)


if __name__ == "__main__":
    main()
