"""Law 2 takes the times of what we see ourselves from our clock, so that clock never goes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sheets_sync.ledger import Ledger
from sheets_sync.ledger.clock import MOST, Steady
from sheets_sync.model import Fact, Kind, Stock, StockKey

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)


class Turned:
    """A machine's clock in somebody's hand."""

    def __init__(self, now: datetime = NINE) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def by(self, **how: float) -> None:
        self.now += timedelta(**how)


def test_a_clock_that_goes_on_is_left_alone() -> None:
    raw = Turned()
    steady = Steady(raw)
    assert steady() == steady() == NINE
    raw.by(hours=3)
    assert steady() == NINE + timedelta(hours=3)


@pytest.mark.parametrize("back", [timedelta(microseconds=1), timedelta(seconds=2), MOST])
def test_time_goes_on_at_half_its_pace_where_the_clock_went_back_until_it_has_caught_up(back: timedelta) -> None:
    raw = Turned()
    steady = Steady(raw)
    before = steady()
    raw.now -= back
    first = steady()
    assert before < first <= before + timedelta(microseconds=1)
    raw.now += back / 2
    assert steady() >= first + back / 4
    raw.now += 2 * back + timedelta(seconds=1)
    assert steady() == raw.now


def test_a_clock_that_goes_back_by_more_than_the_allowance_is_followed() -> None:
    raw = Turned()
    steady = Steady(raw)
    raw.now -= MOST + timedelta(seconds=1)
    assert steady() == raw.now
    assert Steady(raw, floor=raw.now + MOST + timedelta(seconds=1))() == raw.now


def _fact(key: str, at: datetime, change: int = 0, count: int | None = None) -> Fact:
    kind = Kind.STOCK_TAKE if count is not None else Kind.ADJUSTMENT
    return Fact(key, "MUG", kind, at, Stock(on_hand=change), count)


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("seconds", [0, 50])
def test_an_edit_after_a_count_counts_though_the_clock_went_back_between_them(
    tmp_path: Path, restarted: bool, seconds: int
) -> None:
    """`seconds` 0: the two are of one moment by the machine's clock."""
    raw, url = Turned(), f"sqlite:///{tmp_path}/ledger.db"
    ledger = Ledger.open(url, clock=raw)
    with ledger.begin() as tx:
        tx.append([_fact("count", ledger.clock(), count=10)])
    raw.by(seconds=-seconds, microseconds=-1)
    if restarted:
        ledger.close()
        ledger = Ledger.open(url, clock=raw)
    with ledger.begin() as tx:
        (edit,) = tx.append([_fact("edit", ledger.clock(), change=-2)])
    with ledger.read() as view:
        assert view.balances()[StockKey("MUG")].stock.on_hand == 8
        assert edit.recorded_at > view.events()[0].recorded_at
    assert ledger.verify() == []
    ledger.close()


def test_who_takes_over_a_lease_goes_on_after_what_the_other_recorded(tmp_path: Path) -> None:
    ahead, raw, url = Turned(NINE + timedelta(seconds=50)), Turned(), f"sqlite:///{tmp_path}/ledger.db"
    one, two = Ledger.open(url, clock=ahead), Ledger.open(url, clock=raw)
    assert one.acquire("sheet", "one", timedelta(seconds=-7200))
    with one.begin() as tx:
        tx.append([_fact("count", one.clock(), count=10)])
    assert two.acquire("sheet", "two")
    with two.begin() as tx:
        tx.append([_fact("edit", two.clock(), change=-2)])
    with two.read() as view:
        assert view.balances()[StockKey("MUG")].stock.on_hand == 8
    one.close()
    two.close()
