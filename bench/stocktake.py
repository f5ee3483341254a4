"""A stock-take of 100,000 rows: how long its preview takes, in units of reading the tab; then posting it, undoing it,
and memory.

    python -m bench.stocktake [--rows 100000]

The local sheet runs in a process of its own, and all times are processor time of both processes, which on a quiet
machine is what passes. `read` is the floor: the call that brings the rows, decoded into cells, after somebody changed
one of them. `preview` is all that a pass does with the tab until it knows what to show, the reading included: of a
table that was just pasted below an empty one, and of one in which ten counts were corrected since it was last shown.
One SKU in ten was sold since it was counted (`--sold 0`: none), one row in a thousand cannot be read. Memory is the
most that this process ever held: service, ledger and all.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import structlog
from pydantic import SecretStr

from sheets_sync import answering, counting, onboarding, stocktake
from sheets_sync.config import LedgerSettings, Settings, SheetSettings
from sheets_sync.desk import STARTED, Books, Desk
from sheets_sync.ledger import Ledger
from sheets_sync.model import Fact, Kind, Layout, Stock
from sheets_sync.sandbox.sheet.server import serve
from sheets_sync.sheet import tabs
from sheets_sync.sheet.client import SheetAccess
from sheets_sync.sheet.workbook import Workbook, connect

RUNS = 5
NOW = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
COUNTED_AT = 46083 + 10 / 24


def serving(tell: Connection) -> None:
    """The sheet's process: types whole tables where it is told to, and tells its processor time."""
    with serve() as running:
        book = running.store.create("Bench", tabs=("Sheet1",))
        tell.send((running.base_url, book.spreadsheet_id))
        while (told := tell.recv()) is not None:
            if told:
                running.store.apply(book.spreadsheet_id, [{"enterValues": told}])
            tell.send(time.process_time())


def sku(n: int) -> str:
    return f"SKU-{n:06}"


def opened(ledger: Ledger, rows: int, sold_every: int) -> None:
    """Every SKU has a count; of those that were sold, each was sold after it was counted."""
    with ledger.begin() as tx:
        tx.put(STARTED, (NOW - timedelta(days=10)).isoformat())
        for start in range(0, rows, 5_000):
            some = range(start, min(rows, start + 5_000))
            tx.append(Fact(f"o{n}", sku(n), Kind.OPENING, NOW - timedelta(days=9), count=20 + n % 7) for n in some)
            sold = (n for n in some if sold_every and n % sold_every == 0)
            tx.append(Fact(f"s{n}", sku(n), Kind.SHIPMENT, NOW - timedelta(hours=1), Stock(on_hand=-1)) for n in sold)


def table(rows: int) -> list[list[Any]]:
    """SKU, Counted, Counted at, Note: one in twenty differs, one in a thousand cannot be read."""
    return [
        [
            sku(n),
            "1o" if n % 1000 == 999 else 20 + n % 7 - (n % 20 == 3),
            COUNTED_AT,
            f"shelf {n % 40}" if n % 3 else "",
        ]
        for n in range(rows)
    ]


@dataclass
class Bench:
    desk: Desk
    workbook: Workbook
    tell: Connection
    layout: Layout
    rows: int
    books: Books = field(default_factory=Books)
    seen: counting.Seen = field(default_factory=counting.Seen)
    taken: counting.Taken = field(default_factory=counting.Taken)

    def type(self, rows: list[list[Any]], first: int = 5) -> None:
        where = {"sheetId": self.layout.tabs[tabs.STOCK_TAKE].id, "rowIndex": first - 1, "columnIndex": 0}
        self.told({**where, "typed": False, "rows": rows})

    def told(self, what: Any) -> float:
        self.tell.send(what)
        return float(self.tell.recv())

    def spent(self, act: Callable[[], object]) -> float:
        """Processor time of both processes."""
        before = time.process_time() + self.told({})
        act()
        return time.process_time() + self.told({}) - before

    def read(self) -> None:
        self.workbook.values(["'Stock take'!1:12", "'Stock take'!A5:I"], by="COLUMNS")

    def look(self) -> counting.Taken:
        look = self.workbook.look((tabs.SKU,))
        self.taken = counting.take(
            self.desk, self.workbook, look, self.seen, self.books, tuple, lambda: self.layout, None
        )
        return self.taken

    def show(self, taken: counting.Taken) -> int:
        batches = 0
        for batch in taken.batches:
            self.workbook.send(list(batch))
            batches += 1
        return batches


@contextmanager
def bench(rows: int, sold_every: int, folder: Path, tell: Connection) -> Iterator[Bench]:
    base_url, key = tell.recv()
    sheet = SheetSettings(spreadsheet_id=key, base_url=base_url)
    settings = Settings(
        folder / "c.toml", sheet, LedgerSettings(url=SecretStr(f"sqlite:///{folder}/l.db")), channels={}
    )
    ledger = Ledger.open(settings.ledger.url.get_secret_value(), clock=lambda: NOW)
    desk = Desk(ledger, {}, settings, lambda: NOW)
    workbook = connect(SheetAccess(base_url, key), clock=lambda: NOW)
    onboarding.set_up(desk, workbook)
    opened(ledger, rows, sold_every)
    yield Bench(desk, workbook, tell, workbook.layout(), rows)
    ledger.close()


def measure(b: Bench) -> None:
    with b.desk.ledger.read() as view:
        b.books.refresh(view)  # a running service has them
    b.show(b.look())  # and has seen the empty tab
    pasted, empty = table(b.rows), [[""] * 4 for _ in range(b.rows)]
    reads, previews = [], []
    for n in range(RUNS):
        b.type(pasted)
        reads.append(b.spent(b.read))
        b.type([[sku(0), 20 + n % 3]])
        previews.append(b.spent(b.look))
        b.seen.typed, b.seen.body, b.seen.base = (), None, ()
        b.type(empty)
    told("freshly pasted", reads, previews)
    b.type(pasted)
    b.show(b.look())
    reads, previews = [], []
    for n in range(RUNS):
        for at in range(10):
            b.type([[sku(at * 7_001 % b.rows), 20 + n]], first=5 + at * 7_001 % b.rows)
        reads.append(b.spent(b.read))
        b.type([[sku(0), 30 + n]])
        previews.append(b.spent(b.look))
        b.show(b.taken)
    told("ten corrected", reads, previews)
    post(b)


def told(what: str, reads: list[float], previews: list[float]) -> None:
    read, preview = median(reads), median(previews)
    print(f"{what}: read {read:.3f} s, preview {preview:.3f} s = {preview / read:.2f} x")


def post(b: Bench) -> None:
    """Tick Post, and passes until it is recorded; then take it back."""
    at = [column.header for column in tabs.STOCK_TAKE_HEAD].index(stocktake.POST)
    where = {"sheetId": b.layout.tabs[tabs.STOCK_TAKE].id, "rowIndex": 1, "columnIndex": at}
    tick = {"values": [{"userEnteredValue": {"boolValue": True}}]}
    b.workbook.send([{"updateCells": {"start": where, "rows": [tick], "fields": "userEnteredValue"}}])
    for _ in range(6):
        spent = time.process_time()
        taken = b.look()
        spent = time.process_time() - spent
        b.show(taken)
        if taken.events:
            print(f"posted: {len(taken.events):,} counts in one transaction; that look took {spent:.1f} s")
            break
    else:
        says = b.workbook.values(["'Stock take'!1:3"])
        raise SystemExit(f"not posted: {says}")
    spent = time.process_time()
    struck = answering.undo(b.desk, "stock-take-1")
    print(f"undone: {len(struck):,} events in one transaction, {time.process_time() - spent:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--sold", type=int, default=10, metavar="N", help="One SKU in N was sold since; 0: none.")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serving, args=(theirs,), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as folder, bench(asked.rows, asked.sold, Path(folder), ours) as b:
        measure(b)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"memory: {most:.2f} GB at most")
    ours.send(None)
    server.join(10)


if __name__ == "__main__":
    main()
