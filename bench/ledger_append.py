"""How near one event a transaction comes to the floor: appending a line to a file and waiting for the disk.

    python bench/ledger_append.py [--seconds 3] [--url postgresql://…]

Prints ratios to the floor measured in the same run, for one event a transaction, for batches, and for the slow road of
law 2 (a fact from before the last count of a SKU with 100 events).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from sheets_sync.ledger import Ledger
from sheets_sync.model import Fact, Kind, Stock

DAY = datetime(2026, 3, 2, tzinfo=UTC)
SKUS = 1_000


def rate(seconds: float, step: Callable[[], int]) -> float:
    """Events a second: `step` gives how many it recorded."""
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        done += step()
    return done / (time.perf_counter() - start)


def floor(folder: Path, seconds: float) -> float:
    with (folder / "floor.log").open("ab", buffering=0) as file:

        def step() -> int:
            file.write(b'{"sku": "00123", "on_hand": -1, "at": "2026-03-02T09:00:00Z", "key": "0123456789abcdef"}\n')
            os.fdatasync(file.fileno())
            return 1

        return rate(seconds, step)


def appending(ledger: Ledger, size: int, numbers: count[int], when: datetime) -> Callable[[], int]:
    """One transaction of `size` adjustments, each of another SKU."""

    def step() -> int:
        some = [next(numbers) for _ in range(size)]
        facts = [Fact(f"m{n}", f"S{n % SKUS}", Kind.ADJUSTMENT, when, Stock(-1), source="bench") for n in some]
        with ledger.begin() as tx:
            return len([event for event in tx.append(facts) if event.is_fact])

    return step


def late(ledger: Ledger, numbers: count[int]) -> Callable[[], int]:
    """One transaction of one fact that its SKU's last count has seen already."""

    def step() -> int:
        n = next(numbers)
        with ledger.begin() as tx:
            tx.append([Fact(f"late{n}", f"L{n % SKUS}", Kind.SHIPMENT, DAY, Stock(-1), source="bench")])
        return 1

    return step


def prepare(ledger: Ledger) -> None:
    with ledger.begin() as tx:
        tx.append(Fact(f"o{n}", f"S{n}", Kind.OPENING, DAY, count=100) for n in range(SKUS))
        tx.append(Fact(f"l{n}", f"L{n % SKUS}", Kind.ADJUSTMENT, DAY, Stock(1)) for n in range(99 * SKUS))
        tx.append(Fact(f"c{n}", f"L{n}", Kind.STOCK_TAKE, DAY + timedelta(days=1), count=100) for n in range(SKUS))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    options.add_argument("--url", help="the ledger to measure, empty; default: SQLite in a temporary folder")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ledger = Ledger.open(chosen.url or f"sqlite:///{folder}/ledger.db")
        prepare(ledger)
        numbers, today = count(), DAY + timedelta(days=2)
        lowest = floor(folder, chosen.seconds)
        print(f"floor (a line + fdatasync)            {lowest:9,.0f}/s   1.00")
        for words, step in (
            ("one event a transaction", appending(ledger, 1, numbers, today)),
            ("100 events a transaction", appending(ledger, 100, numbers, today)),
            ("one late event, history of 100", late(ledger, numbers)),
        ):
            reached = rate(chosen.seconds, step)
            print(f"{words:36}  {reached:9,.0f}/s  {reached / lowest:5.2f}")
        ledger.close()


if __name__ == "__main__":
    main()
