"""The import: page by page, in little memory, going on after a crash or a limit, whatever the shop does meanwhile."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sheets_sync import catalogue
from sheets_sync.channels import Page
from sheets_sync.config import LedgerSettings, Settings, SheetSettings, WooCommerceSettings
from sheets_sync.desk import Desk, channel_state
from sheets_sync.errors import ChannelRefused, Unavailable
from sheets_sync.ledger import Ledger
from sheets_sync.model import Ref, RemoteListing

PAGE = 500


class Shop:
    """A catalogue of any length, made up as it is read; `fails` says what happens at which page."""

    name = kind = "shop"

    def __init__(self, size: int) -> None:
        self.size, self.asked = size, list[str | None]()
        self.fails: dict[str | None, Exception] = {}
        self.waits: set[str | None] = set()

    def listings(self, cursor: str | None = None) -> Page[RemoteListing]:
        self.asked.append(cursor)
        if cursor in self.fails:
            raise self.fails.pop(cursor)
        start = int(cursor or 0)
        if cursor in self.waits:
            self.waits.discard(cursor)
            return Page([], str(start))
        end = min(start + PAGE, self.size)
        items = [RemoteListing(Ref(str(n)), f"SKU-{n}", f"Thing {n}", n % 50) for n in range(start, end)]
        return Page(items, str(end) if end < self.size else None)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    about = WooCommerceSettings(name="shop", title="Shop", primary=True, base_url="https://shop.example.com")
    settings = Settings(tmp_path / "config.toml", SheetSettings(base_url="http://127.0.0.1:1"), LedgerSettings(),
                        channels={"shop": about})  # fmt: skip
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    made: dict[str, Any] = {"shop": Shop(3 * PAGE + 7)}
    yield Desk(ledger, made, settings)
    ledger.close()


def shop_of(desk: Desk) -> Shop:
    shop = desk.channels["shop"]
    assert isinstance(shop, Shop)
    return shop


def known(desk: Desk) -> int:
    with desk.ledger.read() as view:
        return len({item.sku for item in view.listings("shop")})


def progress(desk: Desk) -> str:
    with desk.ledger.read() as view:
        return str(view.get(channel_state("shop"), {}).get("progress", ""))


@pytest.mark.parametrize("error", [Unavailable("the shop is away"), KeyboardInterrupt()], ids=["away", "killed"])
def test_an_import_goes_on_at_the_page_where_it_was(desk: Desk, error: Exception) -> None:
    shop = shop_of(desk)
    shop.fails["1000"] = error
    with pytest.raises(type(error)):
        catalogue.read_catalogue(desk, "shop")
    assert progress(desk) == "importing: 1,000 listings"
    shop.asked.clear()
    counts: list[int] = []
    assert catalogue.read_catalogue(desk, "shop", progress=counts.append) == shop.size
    assert shop.asked == ["1000", "1500"]
    assert counts == [1500, shop.size]
    assert (known(desk), progress(desk)) == (shop.size, "")


def test_a_cursor_that_the_shop_has_forgotten_begins_anew(desk: Desk) -> None:
    shop = shop_of(desk)
    shop.fails["1000"] = Unavailable("away")
    with pytest.raises(Unavailable):
        catalogue.read_catalogue(desk, "shop")
    shop.fails["1000"] = ChannelRefused("Invalid cursor")
    assert catalogue.read_catalogue(desk, "shop") == shop.size
    assert known(desk) == shop.size


def test_what_is_gone_says_so_and_what_comes_back_is_pushed_again(desk: Desk) -> None:
    shop = shop_of(desk)
    catalogue.read_catalogue(desk, "shop")
    whole, shop.size = shop.size, PAGE
    catalogue.read_catalogue(desk, "shop")
    with desk.ledger.read() as view:
        gone = [item for item in view.listings("shop") if not item.pushable]
    assert len(gone) == whole - PAGE and gone[0].why_not == "not on Shop any more"
    shop.size = whole
    catalogue.read_catalogue(desk, "shop")
    with desk.ledger.read() as view:
        assert all(item.pushable for item in view.listings("shop"))


def test_a_shop_that_still_prepares_its_answer_is_asked_again(desk: Desk) -> None:
    shop_of(desk).waits = {None, "500"}
    reading = catalogue.begin(desk, "shop")
    assert catalogue.read_page(desk, "shop", reading) and reading.waits
    while catalogue.read_page(desk, "shop", reading):
        pass
    assert known(desk) == reading.count == shop_of(desk).size


def test_a_long_catalogue_is_never_held_in_memory(desk: Desk) -> None:
    """It takes no more than a page of it and a number for each listing; all of them would be five times that."""
    shop_of(desk).size = 8_000
    tracemalloc.start()
    try:
        catalogue.read_catalogue(desk, "shop")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
