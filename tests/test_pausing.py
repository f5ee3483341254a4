"""Pausing stops raises and nothing else, may have an end, and is shown wherever it matters (P7)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sheets_sync import pausing
from sheets_sync.errors import BadInput
from sheets_sync.model import Cell
from sheets_sync.pausing import Pause
from sheets_sync.sheet import setup, tabs
from tests.hands import Clock
from tests.world import World

pytestmark = pytest.mark.xdist_group("pausing")  # one world for all of them


class Street(World):
    def sets(self, sku: str, figure: int) -> list[int | None]:
        """A count typed; what both shops show then."""
        self.type(sku, str(figure))
        self.passes()
        return [self.figure(name, sku) for name in self.shops]

    def state(self, name: str) -> str:
        header, *rows = self.store.rows(self.book.spreadsheet_id, tabs.CHANNELS)
        row = next(row for row in rows if row[0] == self.desk.titles[name])
        return str(row[header.index(tabs.STATE)])


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    made = Street(tmp_path_factory.mktemp("street"), clock=Clock())
    try:
        made.begin()
        yield made
    finally:
        made.close()


def test_P7_a_paused_channel_is_lowered_and_not_raised_until_it_is_resumed(street: Street) -> None:
    pausing.pause(street.desk, Pause("woocommerce2"))
    assert street.sets("00123", 8) == [8, 8]
    assert street.sets("00123", 12) == [12, 8]
    assert street.state("woocommerce2") == "paused: lowered when it has to be, never raised"
    pausing.resume(street.desk, "woocommerce2", "")
    street.passes()
    assert street.figure("woocommerce2", "00123") == 12
    assert street.state("woocommerce2") == "in step"


def test_P7_a_paused_sku_says_so_in_its_row_and_ends_by_itself(street: Street) -> None:
    until = street.clock() + timedelta(days=1)
    pausing.pause(street.desk, Pause(sku="1E5", until=until))
    assert street.sets("1E5", 30) == [20, 20]
    assert street.status("1E5") == f"+10 recorded, now 30; paused until {until:%Y-%m-%d %H:%M} UTC"
    assert street.sets("MAR1", 6) == [6, 6], "others go on"
    street.clock.tick(hours=25)  # type: ignore[attr-defined]
    street.passes()
    assert [street.figure(name, "1E5") for name in street.shops] == [30, 30]
    assert street.status("1E5") == "+10 recorded, now 30"


def test_P7_a_sku_may_be_paused_on_one_channel_alone(street: Street) -> None:
    pausing.pause(street.desk, Pause("woocommerce", "1-2"))
    assert street.sets("1-2", 9) == [7, 9]
    assert street.status("1-2") == "+2 recorded, now 9; paused on Woocommerce"
    with street.ledger.read() as view:
        (one,) = pausing.pauses(view, street.clock())
    assert one.words(street.desk.titles) == (
        "1-2 on Woocommerce is paused: it is lowered when it has to be, and not raised."
    )
    pausing.resume(street.desk, "woocommerce", "1-2")
    street.passes()
    assert street.figure("woocommerce", "1-2") == 9


def test_P7_a_sku_is_paused_in_its_row_of_stock(street: Street) -> None:
    street.type("00123", "yes", tabs.PAUSED)
    assert street.sets("00123", 15) == [12, 12]
    assert street.status("00123") == "+3 recorded, now 15; paused"
    with pytest.raises(BadInput, match="clear its cell under Paused in Stock"):
        pausing.resume(street.desk, "", "00123")
    street.restart()
    street.passes()
    assert street.figure("woocommerce", "00123") == 12
    street.type("00123", "perhaps", tabs.PAUSED)
    street.passes()
    assert street.figure("woocommerce", "00123") == 15
    assert street.status("00123") == (
        "? not paused: 'perhaps' under Paused is neither yes nor a time like 2026-03-02 10:00; +3 recorded, now 15"
    )
    street.type("00123", "", tabs.PAUSED)
    street.sheet_passes()
    assert street.status("00123") == "+3 recorded, now 15"


def test_P7_a_channel_is_paused_in_its_row_of_channels_until_a_time(street: Street) -> None:
    until = street.clock() + timedelta(days=1)
    typed = until.astimezone(ZoneInfo(street.workbook.layout().time_zone))
    header = street.store.rows(street.book.spreadsheet_id, tabs.CHANNELS)[0]
    cell = f"{setup.letter(header.index(tabs.PAUSED))}3"
    street.store.type(street.book.spreadsheet_id, tabs.CHANNELS, cell, f"{typed:%Y-%m-%d %H:%M}")
    street.sheet_passes()
    assert street.sets("00123", 16) == [16, 15]
    assert street.state("woocommerce2").startswith(f"paused until {until:%Y-%m-%d %H:%M} UTC")
    street.clock.tick(hours=25)  # type: ignore[attr-defined]
    street.passes()
    assert street.figure("woocommerce2", "00123") == 16 and street.state("woocommerce2") == "in step"


UTC_AT = datetime(2026, 3, 2, 10, 0, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cell", "means"),
    [
        (None, None), ("", None), ("no", None), (False, None), ("Yes ", pausing.FOREVER), (True, pausing.FOREVER),
        ("2026-03-02 10:00", UTC_AT), ("2.3.2026 10:00", UTC_AT), ("2026-03-02", UTC_AT.replace(hour=0)),
        (46083, datetime(2026, 3, 2, 0, 0, 1, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_what_stands_under_paused(cell: Cell, means: datetime | None) -> None:
    assert pausing.until(cell, UTC) == means


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Pause(), "Say what to pause"),
        (Pause("ebay"), "There is no channel 'ebay'; config.toml has woocommerce, woocommerce2"),
        (Pause(sku="123"), "There is no SKU '123'"),
    ],
)
def test_what_cannot_be_paused_is_named(street: Street, wanted: Pause, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        pausing.pause(street.desk, wanted)
    with pytest.raises(BadInput, match="has passed already"):
        pausing.pause(street.desk, Pause("woocommerce", until=street.clock()))
    with pytest.raises(BadInput, match="That is not paused"):
        pausing.resume(street.desk, "woocommerce", "")
