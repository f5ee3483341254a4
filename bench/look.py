"""How long it takes to understand a look, against its floor: decoding the answer that brought it.

    python bench/look.py [rows]

100,000 rows x 16 columns, all but a few just as they should be: the look of a quiet shop, every two seconds. `find`
compares whole columns; the floor is what orjson needs for the `values:batchGet` answer of the same columns.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from sheets_sync import edits
from sheets_sync.edits import NOTE, ON_HAND, REASON, SKU, TAG, TITLE, UPDATED, Before, Known, Wanted
from sheets_sync.model import Cell, Look, Mark, Stock

SERVICE = ("Committed", "Damaged", "Available", "Shopify", "Etsy", "Amazon", "Status")
EDITS = 20  # rows in which somebody typed
ROUNDS = 7


def a_shop(rows: int) -> tuple[dict[str, list[Cell]], Known, Wanted]:
    """Columns in step with the ledger but for EDITS rows, and what the ledger knows."""
    skus = [f"SKU-{n:06d}" for n in range(rows)]
    stock = {sku: Stock(n % 50, n % 3) for n, sku in enumerate(skus)}
    service: dict[str, dict[str, Cell]] = {
        "Committed": {sku: s.committed for sku, s in stock.items()},
        "Damaged": dict.fromkeys(skus, 0),
        "Available": {sku: s.available for sku, s in stock.items()},
        **{title: {sku: max(0, s.available) for sku, s in stock.items()} for title in SERVICE[3:6]},
        "Status": {sku: f"opened with {s.on_hand}" for sku, s in stock.items()},
    }
    figures: list[Cell] = [stock[sku].on_hand for sku in skus]
    columns: dict[str, list[Cell]] = {
        SKU: list(skus),
        TITLE: [f"A thing of beauty, no. {n}" for n in range(rows)],
        **dict(zip(TAG, (list(skus), list(figures), ["1588001231"] * rows), strict=True)),
        ON_HAND: list(figures),
        REASON: [None] * rows,
        NOTE: [None] * rows,
        **{name: [service[name][sku] for sku in skus] for name in SERVICE},
        UPDATED: [46_351.75 + n / 1e6 for n in range(rows)],
    }
    for n in range(0, rows, max(1, rows // EDITS)):
        columns[ON_HAND][n] = 77
    return columns, Known(stock), Wanted(service, 46_352.0, frozenset(skus))


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest round."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def main(rows: int) -> None:
    columns, known, wanted = a_shop(rows)
    answer = {"valueRanges": [{"values": [["" if c is None else c for c in cells]]} for cells in columns.values()]}
    body = orjson.dumps(answer)
    look = Look(datetime.now(UTC), tuple(columns), columns, rows, Mark())

    def understand() -> edits.Found:
        return edits.find(look, known, wanted, Before(), started=True)

    changed = sum(write.exchanged for write in understand().writes)
    floor, found = best(lambda: orjson.loads(body)), best(understand)
    print(f"{rows:,} rows x {len(columns)} columns, {len(body) / 1e6:.1f} MB, {changed} rows typed over")
    print(f"decode (floor)  {floor * 1000:8.1f} ms")
    print(f"find            {found * 1000:8.1f} ms   {found / floor:.2f} x the floor")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
