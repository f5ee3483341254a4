"""A whole world in one process: the local sheet, local shops, a ledger and a service, driven pass by pass.

Nothing is faked: gspread and the adapters speak HTTP to real servers on loopback. Time is the clock of the machine
unless a test gives another one; no test sleeps, it runs passes until nothing is left to do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from sheets_sync import onboarding
from sheets_sync.channel_sync import ChannelMemory, ChannelReport, channel_pass
from sheets_sync.channels.registry import build_all
from sheets_sync.config import (
    AmazonSettings,
    ChannelSettings,
    HttpJsonSettings,
    LedgerSettings,
    Settings,
    SheetSettings,
    ShopifySettings,
    WooCommerceSettings,
)
from sheets_sync.desk import Desk, utcnow
from sheets_sync.ledger import Ledger
from sheets_sync.ledger.engine import Database
from sheets_sync.model import Event, StockKey
from sheets_sync.sandbox import shops
from sheets_sync.sandbox.sheet.server import serve as serve_sheet
from sheets_sync.sandbox.sheet.unknowns import DEFAULT, Unknowns
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sandbox.shops.amazon import Pace
from sheets_sync.sheet import tabs
from sheets_sync.sheet.client import SheetAccess
from sheets_sync.sheet.workbook import Workbook, connect
from sheets_sync.sync import Memory, Report, sheet_pass
from tests import pictures
from tests.sheet_server import Faults
from tests.unhurried import unhurried

SEEDS = (
    Seed("00123", "Mug, blue", 10),
    Seed("1E5", "Scarf", 20),
    Seed("MAR1", "Plate", 5),
    Seed("1-2", "Käthe, groß", 7),
)


BOOK = "1" + "Stock" * 8 + "Now"
"""The spreadsheet's id: the same in every world, as what is written in one is put into another (`pictures`)."""

METERED = {"amazon", "shopify"}
"""Vendors whose local shops count the calls, as the real ones do."""


@cache
def _laid_out() -> bytes:
    """A ledger's file with the tables and nothing in them: to make them takes longer than most tests need a ledger."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.db"
        database = Database(f"sqlite:///{file}")
        database.migrate()
        database.close()
        return file.read_bytes()


def _lay_out(url: str) -> None:
    file = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not file.exists():
        file.write_bytes(_laid_out())


class World:
    """`passes()` runs everything until it is quiet; `type`, `figure`, `on_hand` are what people and shops see."""

    def __init__(
        self, folder: Path, *, vendors: Sequence[str] = ("woocommerce", "woocommerce"), seeds: Sequence[Seed] = SEEDS,
        ledger_url: str | None = None, clock: Callable[[], datetime] = utcnow, sheet_data: Path | None = None,
        unknowns: Unknowns = DEFAULT,
    ) -> None:  # fmt: skip
        self.stack = ExitStack()
        self.faults, self.clock, self.seeds, self.unknowns = Faults(), clock, tuple(seeds), unknowns
        self.sheet = self.stack.enter_context(serve_sheet(sheet_data, middleware=self.faults, unknowns=unknowns))
        self.book = self.sheet.store.create("Stock", BOOK, tabs=("Sheet1",))
        self.shops = {}
        for number, vendor in enumerate(vendors):
            name = vendor if vendor not in self.shops else f"{vendor}{number + 1}"
            self.shops[name] = self.stack.enter_context(shops.serve(vendor, None, seed=list(seeds), clock=clock))
            if vendor == "amazon":  # a test that wants Amazon's own pace sets it
                self.shops[name].shop.pace = Pace.at_once()
        self.ledger_url = ledger_url or f"sqlite:///{folder}/ledger.db"
        self.settings = self._settings(folder)
        _lay_out(self.ledger_url)
        self.ledger = Ledger.open(self.ledger_url, clock=clock)
        self.stack.callback(lambda: self.ledger.close())
        self.desk = self.new_desk()
        self.workbook = self.new_workbook()
        self.memory = Memory()
        self.channel_memory = {name: ChannelMemory() for name in self.desk.channels}
        self.as_built = pictures.untouched(self)

    def _settings(self, folder: Path) -> Settings:
        channels: dict[str, Any] = {}
        for number, (name, shop) in enumerate(self.shops.items()):
            channels[name] = self._channel(name, shop, primary=number == 0)
        sheet = SheetSettings(spreadsheet_id=self.book.spreadsheet_id, base_url=self.sheet.base_url)
        ledger = LedgerSettings(url=SecretStr(self.ledger_url))
        return Settings(folder / "config.toml", sheet, ledger, channels=channels)

    @staticmethod
    def _channel(name: str, shop: shops.Running, *, primary: bool) -> ChannelSettings:
        given = {k: SecretStr(v) for k, v in shop.credentials.items()}
        common: dict[str, Any] = {"name": name, "title": name.capitalize(), "primary": primary}
        if name.startswith("shopify"):
            return ShopifySettings(
                **common, shop=shop.credentials["shop"], base_url=shop.base_url, access_token=given["access_token"],
                client_secret=given.get("client_secret"), webhook_secret=given.get("client_secret"),
            )  # fmt: skip
        if name.startswith("http_json"):
            return HttpJsonSettings(**common, base_url=shop.base_url, secret=given["secret"])
        if name.startswith("amazon"):
            keys = {key: given[key] for key in ("client_id", "client_secret", "refresh_token")}
            return AmazonSettings(
                **common, **keys, base_url=shop.base_url, seller_id=shop.credentials["seller_id"],
                marketplaces=shop.credentials["marketplaces"].split(","), webhook_secret=SecretStr("hook-secret"),
            )  # fmt: skip
        return WooCommerceSettings(
            **common, base_url=shop.base_url, consumer_key=given["consumer_key"],
            consumer_secret=given["consumer_secret"], webhook_secret=SecretStr("hook-secret"),
        )  # fmt: skip

    def new_desk(self) -> Desk:
        channels = build_all(self.settings.channels, clock=self.clock)
        for name, channel in channels.items():
            if self.shops[name].name not in METERED:
                unhurried(channel)
        return Desk(self.ledger, channels, self.settings, self.ledger.clock)

    def new_workbook(self) -> Workbook:
        return connect(SheetAccess(self.sheet.base_url, self.book.spreadsheet_id), clock=self.ledger.clock)

    # running ----------------------------------------------------------------------------------------------------

    def begin(self, road: Callable[[World], None] | None = None) -> None:
        """From an empty spreadsheet to Start, all rows shown; or another `road`, which goes on from there."""
        pictures.begin(self, road or World.go)

    def go(self) -> None:
        """The road itself, as a seller goes it."""
        onboarding.set_up(self.desk, self.workbook)
        onboarding.import_catalogues(self.desk)
        self.passes()
        onboarding.start(self.desk)
        self.passes()

    def sheet_pass(self) -> Report:
        return sheet_pass(self.desk, self.workbook, self.memory, None)

    def channel_pass(self, name: str) -> ChannelReport:
        return channel_pass(self.desk, name, self.channel_memory[name], None)

    def sheet_passes(self, most: int = 12) -> list[Event]:
        """Passes over the sheet until one finds nothing to do, and one more, as rows open only after two looks."""
        events: list[Event] = []
        quiet = 0
        for _ in range(most):
            report = self.sheet_pass()
            events += report.events
            quiet = 0 if report.again else quiet + 1
            if quiet == 2:
                return events
        raise AssertionError(f"the sheet is not quiet after {most} passes")

    def passes(self, most: int = 12) -> None:
        """Every side in turn until nothing is left to do."""
        for _ in range(most):
            before = self.last_event()
            self.sheet_passes()
            again = [self.channel_pass(name).again for name in self.desk.channels]
            if not any(again) and self.last_event() == before and not self.sheet_pass().again:
                return
        raise AssertionError(f"the world is not quiet after {most} rounds")

    def restart(self) -> None:
        """As after a crash: everything in memory is gone."""
        self.ledger.close()
        self.ledger = Ledger.open(self.ledger_url, clock=self.clock)
        self.desk, self.workbook, self.memory = self.new_desk(), self.new_workbook(), Memory()
        self.channel_memory = {name: ChannelMemory() for name in self.desk.channels}

    # what a person does and sees --------------------------------------------------------------------------------

    @property
    def store(self) -> Any:
        return self.sheet.store

    def header(self, tab: str = tabs.STOCK) -> list[Any]:
        return self.store.rows(self.book.spreadsheet_id, tab)[0]

    def letter(self, header: str, tab: str = tabs.STOCK) -> str:
        number = self.header(tab).index(header)
        return ("" if number < 26 else chr(64 + number // 26)) + chr(65 + number % 26)

    def row(self, sku: str) -> int:
        """The row number of a SKU, as people count."""
        return self.skus().index(sku) + 1

    def skus(self) -> list[Any]:
        at = self.header().index(tabs.SKU)
        return [row[at] if len(row) > at else None for row in self.store.rows(self.book.spreadsheet_id, tabs.STOCK)]

    def type(self, sku: str, text: str, header: str = tabs.ON_HAND) -> None:
        self.store.type(self.book.spreadsheet_id, tabs.STOCK, f"{self.letter(header)}{self.row(sku)}", text)

    def cell(self, sku: str, header: str = tabs.ON_HAND) -> Any:
        row = self.store.rows(self.book.spreadsheet_id, tabs.STOCK)[self.row(sku) - 1]
        at = self.header().index(header)
        return row[at] if at < len(row) else None

    def status(self, sku: str) -> str:
        return str(self.cell(sku, tabs.STATUS))

    def figure(self, name: str, sku: str) -> int | None:
        """What the shop shows."""
        return self.shops[name].shop.figure(sku)

    # what the ledger says ---------------------------------------------------------------------------------------

    def figures(self, sku: str) -> str:
        """on_hand/committed/available, as RULES.md writes them."""
        with self.ledger.read() as view:
            stock = view.balances([sku])[StockKey(sku)].stock
        return f"{stock.on_hand}/{stock.committed}/{stock.available}"

    def events(self, sku: str | None = None) -> list[Event]:
        with self.ledger.read() as view:
            return view.events(sku=sku)

    def last_event(self) -> int:
        with self.ledger.read() as view:
            return view.last_event_id()

    def questions(self) -> dict[str, str]:
        """Open questions: SKU -> kind."""
        with self.ledger.read() as view:
            return {q.sku: q.kind for q in view.questions()}

    def close(self) -> None:
        self.stack.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    try:
        yield made
    finally:
        made.close()
    assert not made.faults.problems, "\n".join(made.faults.problems)
