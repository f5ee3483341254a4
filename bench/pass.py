"""How long a typed count takes to both shops' figures, in units of the calls that it cannot do without.

    python -m bench.pass [--rounds 8]

The demo (local sheet, local Shopify and WooCommerce, the whole service with its threads, SQLite) runs in this process.
A count is typed as a person types it; the clock stops when both shops show the figure. The floor makes the same calls
through the same clients, one after another, with nothing between them: the look, the exchange, its image and one write
a shop; to raise a figure also what law 3 demands, the listing's figure and the orders behind it. What is above the
floor is deciding, recording (each step is on disk before the next call), and the threads' waiting for each other.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sheets_sync import assembly, config, demo, edits, exchange
from sheets_sync.channels import Channel, Target
from sheets_sync.desk import Desk
from sheets_sync.edits import RowWrite
from sheets_sync.logs import configure
from sheets_sync.model import Listing
from sheets_sync.recovery import exchange_id
from sheets_sync.sheet import tabs
from sheets_sync.sheet.workbook import Workbook
from sheets_sync.sync import place_of

PATIENCE = 10.0  # seconds until a figure that does not come is a failure
REST = 0.7  # seconds until the service has shown what it did, and the sheet will send a hint again


class Seller:
    """Someone at the sheet's page, with both shops open beside it."""

    def __init__(self, parts: demo.Parts) -> None:
        self.parts, self.store = parts, parts.sheet.store
        header, *rows = self.store.rows(demo.SPREADSHEET, tabs.STOCK)
        self.on_hand = header.index(tabs.ON_HAND)
        self.sku = next(
            row[header.index(tabs.SKU)] for row in rows if self._sold_everywhere(row[header.index(tabs.SKU)])
        )
        self.row = next(n for n, row in enumerate(rows, 2) if row[header.index(tabs.SKU)] == self.sku)

    def _sold_everywhere(self, sku: str) -> bool:
        return all(
            any(seed.sku == sku and (seed.stock or 0) > 5 for seed in demo.catalogue(name)) for name in demo.TITLES
        )

    def shown(self) -> list[int | None]:
        return [shop.shop.figure(self.sku) for shop in self.parts.shops.values()]

    def types(self, change: int) -> float:
        """Seconds until both shops show the new figure."""
        cell = f"{chr(65 + self.on_hand)}{self.row}"
        count = int(self.store.cell(demo.SPREADSHEET, tabs.STOCK, cell))
        wanted = [None if figure is None else figure + change for figure in self.shown()]
        start = time.perf_counter()
        self.store.type(demo.SPREADSHEET, tabs.STOCK, cell, str(count + change))
        while self.shown() != wanted:
            if time.perf_counter() - start > PATIENCE:
                raise SystemExit(f"typed {count + change} for {self.sku}; the shops show {self.shown()}, not {wanted}")
            time.sleep(0.0005)
        return time.perf_counter() - start


class Floor:
    """The calls alone."""

    def __init__(self, desk: Desk, workbook: Workbook, seller: Seller) -> None:
        self.desk, self.workbook, self.seller = desk, workbook, seller
        self.place = place_of(workbook.layout(), desk.ledger.id)
        with desk.ledger.read() as view:
            self.head, listings = view.head(), view.listings()
        self.shops = [(desk.channels[item.channel], item) for item in listings if item.sku == seller.sku]
        service = ("Committed", "Damaged", "Available", *desk.titles.values(), edits.STATUS, edits.UPDATED)
        self.columns = (*edits.NEEDED, *service)

    def lower(self) -> float:
        return self._timed(self._sheet, *(self._write(*shop) for shop in self.shops))

    def raise_(self) -> float:
        looks = [self._look(*shop) for shop in self.shops]
        return self._timed(self._sheet, *looks, *(self._write(*shop) for shop in self.shops))

    def _timed(self, *calls: Callable[[], object]) -> float:
        self._plan()
        start = time.perf_counter()
        for call in calls:
            call()
        return time.perf_counter() - start

    def _plan(self) -> None:
        look = self.workbook.look(self.columns)
        figure = look.columns[edits.ON_HAND][self.seller.row - 2]
        write = RowWrite(
            self.seller.row, self.seller.sku, figure, {edits.TAG_FIGURE: figure, edits.ON_HAND: figure}, True
        )
        with self.desk.ledger.read() as view:
            new = exchange_id(view)
        skus = frozenset({self.seller.sku})
        self.intent = exchange.plan(new, self.head, look.header, [write], skus, look.began_at)
        self.requests = exchange.compose(self.intent, self.place)
        self.head = new

    def _sheet(self) -> None:
        self.workbook.look(self.columns)
        self.workbook.send(self.requests)
        self.workbook.image(self.intent.width)

    def _look(self, channel: Channel, item: Listing) -> Callable[[], object]:
        def call() -> None:
            list(channel.figures([item.ref]))
            channel.orders(datetime.now(UTC) - timedelta(minutes=5), None)

        return call

    def _write(self, channel: Channel, item: Listing) -> Callable[[], object]:
        figure = self.seller.parts.shops[item.channel].shop.figure(self.seller.sku)
        target = Target(item.ref, figure, figure, f"floor-{time.perf_counter_ns()}")
        return lambda: channel.push([target])


def told(words: str, took: Sequence[float], floor: Sequence[float]) -> None:
    middle, lowest = statistics.median(took), min(floor)  # the limits of channels slow down a floor that hurries
    print(
        f"{words:28} p50 {middle * 1000:6.0f} ms  worst {max(took) * 1000:6.0f} ms  "
        f"floor {lowest * 1000:5.0f} ms  {middle / lowest:5.2f} x floor"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--rounds", type=int, default=8, help="counts typed down, and as many up")
    rounds = range(options.parse_args().rounds)
    configure(logging.ERROR, sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "demo"
        demo.claim(folder)
        with demo.running(folder) as parts:
            seller = Seller(parts)
            down, up = [], []
            for change, times in [(-1, down), (1, up)] * len(rounds):
                time.sleep(REST)
                times.append(seller.types(change))
            time.sleep(REST)
            parts.serving.service.stop()
            settings = config.load(folder / "config.toml")
            with assembly.desk_of(settings) as desk:
                floor = Floor(desk, assembly.workbook_of(settings), seller)
                lowest, highest = [floor.lower() for _ in rounds], [floor.raise_() for _ in rounds]
    told("lower, both shops", down, lowest)
    told("raise, both shops", up, highest)


if __name__ == "__main__":
    main()
