"""A stock-take of 100,000 rows: how long its preview takes, in units of reading the tab; then posting it, and memory.

    python -m bench.stocktake [--rows 100000]

The local sheet runs in a process of its own. `read` is the floor: the call that brings the rows, decoded into cells,
after somebody changed one of them (the sheet gives an unchanged tab faster: in brackets).
`preview` is all that a pass does with the tab until it knows what to show, the reading included. `written` are the
batches that show it. One SKU in ten was sold since it was counted, so that its history has to be read. Memory is the
most that this process ever held: service, ledger and all.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import structlog
from pydantic import SecretStr

from sheets_sync import counting, onboarding, stocktake
from sheets_sync.config import LedgerSettings, Settings, SheetSettings
from sheets_sync.desk import STARTED, Books, Desk
from sheets_sync.ledger import Ledger
from sheets_sync.model import Fact, Kind, Stock
from sheets_sync.sandbox.sheet.server import serve
from sheets_sync.sheet import tabs
from sheets_sync.sheet.client import SheetAccess
from sheets_sync.sheet.workbook import Workbook, connect

RUNS = 3
NOW = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
COUNTED_AT = 46083 + 10 / 24


def serving(tell: Connection) -> None:
    """The sheet's process: types whole tables where it is told to."""
    with serve() as running:
        book = running.store.create("Bench", tabs=("Sheet1",))
        tell.send((running.base_url, book.spreadsheet_id))
        while (told := tell.recv()) is not None:
            running.store.apply(book.spreadsheet_id, [{"enterValues": told}])
            tell.send("done")


def sku(n: int) -> str:
    return f"SKU-{n:06}"


def opened(ledger: Ledger, rows: int) -> None:
    """Every SKU has a count, and one in ten was sold after it was counted."""
    with ledger.begin() as tx:
        tx.put(STARTED, (NOW - timedelta(days=10)).isoformat())
        for start in range(0, rows, 5_000):
            some = range(start, min(rows, start + 5_000))
            tx.append(Fact(f"o{n}", sku(n), Kind.OPENING, NOW - timedelta(days=9), count=20 + n % 7) for n in some)
            sold = (n for n in some if n % 10 == 0)
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


def seconds(act: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    taken = []
    for _ in range(RUNS):
        before()
        start = time.perf_counter()
        act()
        taken.append(time.perf_counter() - start)
    return median(taken)


def measure(rows: int, folder: Path, tell: Connection) -> None:
    base_url, key = tell.recv()
    sheet = SheetSettings(spreadsheet_id=key, base_url=base_url)
    settings = Settings(
        folder / "c.toml", sheet, LedgerSettings(url=SecretStr(f"sqlite:///{folder}/l.db")), channels={}
    )
    ledger = Ledger.open(settings.ledger.url.get_secret_value(), clock=lambda: NOW)
    desk = Desk(ledger, {}, settings, lambda: NOW)
    workbook = connect(SheetAccess(base_url, key), clock=lambda: NOW)
    onboarding.set_up(desk, workbook)
    opened(ledger, rows)
    layout = workbook.layout()
    where = {"sheetId": layout.tabs[tabs.STOCK_TAKE].id, "rowIndex": 4, "columnIndex": 0, "typed": False}
    tell.send({**where, "rows": table(rows)})
    tell.recv()

    def read() -> object:
        return workbook.values(["'Stock take'!1:12", "'Stock take'!A5:I"], by="COLUMNS")

    def typed() -> None:
        tell.send({**where, "rows": [[sku(0), 20 + time.monotonic_ns() % 3]]})
        tell.recv()

    once, again = seconds(read, typed), seconds(read)
    taken: list[counting.Taken] = []

    def preview() -> None:
        look = workbook.look((tabs.SKU,))
        taken.append(counting.take(desk, workbook, look, counting.Seen(), books, tuple, lambda: layout, None))

    books = Books()
    with ledger.read() as view:
        books.refresh(view)  # a running service has them
    worked = time.process_time()
    previewed = seconds(preview, typed)
    worked = (time.process_time() - worked) / RUNS
    start, batches = time.perf_counter(), 0
    for batch in taken[-1].batches:
        workbook.send(list(batch))
        batches += 1
    written = time.perf_counter() - start
    print(
        f"{rows:,} rows: read {once:.2f} s ({again:.2f} s)   preview {previewed:.2f} s = {previewed / once:.1f} x "
        f"({worked:.2f} s of processor time)   "
        f"written {written:.2f} s in {batches} batches"
    )
    post(desk, workbook, books, layout)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"memory: {most:.2f} GB at most")
    ledger.close()


def post(desk: Desk, workbook: Workbook, books: Books, layout: Any) -> None:
    """Tick Post, and passes until it is recorded."""
    at = [column.header for column in tabs.STOCK_TAKE_HEAD].index(stocktake.POST)
    sheet = layout.tabs[tabs.STOCK_TAKE].id
    where = {"sheetId": sheet, "rowIndex": 1, "columnIndex": at}
    tick = {"values": [{"userEnteredValue": {"boolValue": True}}]}
    workbook.send([{"updateCells": {"start": where, "rows": [tick], "fields": "userEnteredValue"}}])
    seen = counting.Seen()
    began = time.perf_counter()
    for _ in range(6):
        look = workbook.look((tabs.SKU,))
        start = time.perf_counter()
        taken = counting.take(desk, workbook, look, seen, books, tuple, lambda: layout, None)
        passed = time.perf_counter() - start
        for batch in taken.batches:
            workbook.send(list(batch))
        if taken.events:
            with desk.ledger.read() as view:
                (times,) = {e.recorded_at for e in view.events(batch="stock-take-1", limit=10)}
            print(
                f"posted: {len(taken.events):,} events in one transaction; that look took {passed:.2f} s, reading and "
                f"comparing twice among it; from tick to shown {time.perf_counter() - began:.2f} s; at {times:%H:%M}"
            )
            return
    print("not posted:", workbook.values(["'Stock take'!A3:A3"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serving, args=(theirs,), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as folder:
        measure(rows, Path(folder), ours)
    ours.send(None)
    server.join(10)


if __name__ == "__main__":
    main()
