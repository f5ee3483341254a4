"""Import and Start, killed before and after every transaction: started again, the openings are the same, once (B4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sheets_sync import onboarding
from sheets_sync.channels import Basis, Capabilities, Page
from sheets_sync.config import Settings, SheetSettings, WooCommerceSettings
from sheets_sync.desk import Desk
from sheets_sync.ledger import Ledger, Tx
from sheets_sync.model import Figure, Lease, Order, OrderLine, OrderState, Ref, RemoteListing, Shipment

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SKUS = {"A": 10, "B": 5, "C": 7}


class Killed(BaseException):
    """As `kill -9` would end the process; nothing of ours catches it."""


class Shop:
    """Three listings in pages of one, and orders: 2 of A are open, 1 of B was cancelled, and 1 of C is sold and leaves
    just while Start looks, so that it stands still at the second look only.
    """

    kind = "shop"
    capabilities = Capabilities(Basis.AVAILABLE, True, False, False, True, 100)

    def __init__(self, name: str) -> None:
        self.name, self.looks = name, 0

    def listings(self, cursor: str | None = None) -> Page[RemoteListing]:
        at = int(cursor or 0)
        sku = list(SKUS)[at]
        more = str(at + 1) if at + 1 < len(SKUS) else None
        return Page([RemoteListing(Ref(sku), sku, sku, SKUS[sku])], more)

    def figures(self, refs: Sequence[Ref]) -> list[Figure]:
        self.looks += 1
        moves = 1 if self.looks == 1 and self.name == "web" else 0
        return [Figure(ref, SKUS[ref.listing] + (moves if ref.listing == "C" else 0)) for ref in refs]

    def orders(self, since: datetime, cursor: str | None = None) -> Page[Order]:
        placed = NOW - timedelta(days=3)
        two = OrderLine("1", 2, "A", Ref("A"), taken=2)
        one = OrderLine("1", 1, "B", Ref("B"), taken=1)
        made = [Order(f"{self.name}-1", placed, placed, OrderState.OPEN, (two,), paid=True, read_at=NOW),
                Order(f"{self.name}-2", placed, placed, OrderState.CANCELLED, (replace(one, cancelled=1, taken=0),),
                      read_at=NOW)]  # fmt: skip
        if self.name == "web" and self.looks:
            just = NOW - timedelta(seconds=20)
            sold = OrderLine("1", 1, "C", Ref("C"), taken=1, shipped=(Shipment(just, 1),) if self.looks > 1 else ())
            at = just if self.looks > 1 else just - timedelta(seconds=1)
            made.append(
                Order("web-3", just - timedelta(seconds=1), at, OrderState.OPEN, (sold,), paid=True, read_at=NOW)
            )
        return Page(made)


class Mortal:
    """A ledger whose process is killed around its nth write transaction."""

    def __init__(self, ledger: Ledger, at: int, *, after: bool) -> None:
        self._ledger, self._at, self._after, self.count = ledger, at, after, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    @contextmanager
    def begin(self, lease: Lease | None = None) -> Iterator[Tx]:
        self.count += 1
        dies = self.count == self._at
        if dies and not self._after:
            raise Killed
        with self._ledger.begin(lease) as tx:
            yield tx
        if dies:
            raise Killed


def desk_on(ledger: Any, folder: Path) -> Desk:
    about = WooCommerceSettings(name="web", title="Web", primary=True, base_url="https://web.example.com")
    other = WooCommerceSettings(name="out", title="Out", base_url="https://out.example.com")
    settings = Settings(folder / "config.toml", SheetSettings(base_url="http://127.0.0.1:1"),
                        channels={"web": about, "out": other})  # fmt: skip
    channels: dict[str, Any] = {name: Shop(name) for name in settings.channels}
    return Desk(ledger, channels, settings, clock=lambda: NOW)


def whole(desk: Desk) -> None:
    onboarding.import_catalogues(desk)
    onboarding.start(desk)


def outcome(ledger: Ledger) -> tuple[list[tuple[str, str, int]], dict[str, tuple[int, int]]]:
    with ledger.read() as view:
        events = sorted((e.fact.sku, str(e.fact.kind), e.change.on_hand) for e in view.events())
        balances = {key.sku: (b.stock.on_hand, b.stock.committed) for key, b in view.balances().items()}
    assert ledger.verify() == []
    return events, balances


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, int]:
    folder = tmp_path_factory.mktemp("untouched")
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", clock=lambda: NOW)
    counted = Mortal(ledger, 0, after=False)
    whole(desk_on(counted, folder))
    found = outcome(ledger)
    ledger.close()
    return found, counted.count


def test_the_openings_are_as_they_should_be(untouched: tuple[Any, int]) -> None:
    (_, balances), transactions = untouched
    assert balances == {"A": (12, 4), "B": (5, 0), "C": (7, 0)}
    assert transactions >= 10


@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
def test_B4_killed_at_any_transaction_and_started_again_the_openings_are_the_same_once(
    untouched: tuple[Any, int], tmp_path: Path, after: bool
) -> None:
    expected, transactions = untouched
    for at in range(1, transactions + 1):
        ledger = Ledger.open(f"sqlite:///{tmp_path}/{at}.db", clock=lambda: NOW)
        with pytest.raises(Killed):
            whole(desk_on(Mortal(ledger, at, after=after), tmp_path))
        ledger.close()
        ledger = Ledger.open(f"sqlite:///{tmp_path}/{at}.db", clock=lambda: NOW)
        whole(desk_on(ledger, tmp_path))
        assert outcome(ledger) == expected, f"killed {'after' if after else 'before'} transaction {at}"
        ledger.close()
