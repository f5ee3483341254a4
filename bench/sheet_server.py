"""How long the local sheet takes to answer 100,000 rows x 3, in units of serialising the same JSON once with orjson.

    python bench/sheet_server.py [--rows 100000]

The server runs in a process of its own; the client reads the socket without decoding anything. `first` is the first
read after an edit of the tab, `again` any later one, which is what polling sees. Last line: one cell written there.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import sys
import time
from collections.abc import Callable
from itertools import product
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from sheets_sync.sandbox.sheet.server import serve

KEY, TAB = "bench", 1
RUNS = 15


def serving(rows: int, tell: Connection, done: Event) -> None:
    """The server's process."""
    with serve() as running:
        size = {"rowCount": rows, "columnCount": 3}
        running.store.create("Bench", KEY, tabs=[{"title": "Stock", "sheetId": TAB, "gridProperties": size}])
        cells = [[f"sku-{n:06}", n, n % 7] for n in range(rows)]
        fill = {"sheetId": TAB, "rowIndex": 0, "columnIndex": 0, "typed": False, "rows": cells}
        running.store.apply(KEY, [{"enterValues": fill}])
        tell.send(running.port)
        done.wait()


class Client:
    """One connection, kept open."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        self.connection.request(method, f"/v4/spreadsheets/{KEY}{path}", body)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content

    def write(self) -> bytes:
        """One cell of the last row."""
        cell = [{"values": [{"userEnteredValue": {"numberValue": time.monotonic_ns() % 1000}}]}]
        start = {"sheetId": TAB, "rowIndex": 0, "columnIndex": 1}
        update = {"updateCells": {"start": start, "rows": cell, "fields": "userEnteredValue"}}
        return self.call("POST", ":batchUpdate", orjson.dumps({"requests": [update]}))


def seconds(act: Callable[[], object], before: Callable[[], object] | None = None) -> float:
    """The median of some runs, in seconds."""
    taken = []
    for _ in range(RUNS):
        if before:
            before()
        start = time.perf_counter()
        act()
        taken.append(time.perf_counter() - start)
    return median(taken)


def measure(client: Client, render: str, major: str) -> None:
    path = "/values/Stock?" + urlencode({"valueRenderOption": render, "majorDimension": major})
    content = client.call("GET", path)
    answer = orjson.loads(content)
    once = seconds(lambda: orjson.dumps(answer))
    first = seconds(lambda: client.call("GET", path), client.write)
    again = seconds(lambda: client.call("GET", path))
    print(
        f"{render:18} {major:8} {len(content) / 1e6:5.1f} MB   orjson {once * 1e3:5.1f} ms   "
        f"first {first * 1e3:6.1f} ms = {first / once:5.1f} x   again {again * 1e3:5.1f} ms = {again / once:4.1f} x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    context = multiprocessing.get_context("spawn")
    told, tell = context.Pipe(duplex=False)
    done = context.Event()
    process = context.Process(target=serving, args=(rows, tell, done))
    process.start()
    try:
        client = Client(told.recv())
        for render, major in product(("UNFORMATTED_VALUE", "FORMATTED_VALUE"), ("ROWS", "COLUMNS")):
            measure(client, render, major)
        print(f"batchUpdate of one cell among {rows:,} rows: {seconds(client.write) * 1e3:.1f} ms")
    finally:
        done.set()
        process.join()


if __name__ == "__main__":
    main()
