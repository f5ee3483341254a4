"""The whole world in one thread: a local sheet, a local WooCommerce and a local Shopify, a ledger and the real passes.

Nothing is faked but the wire: gspread and the adapters speak HTTP to the real servers' applications, through a hand
that a test holds over every call. The shops are built once and put back to how they were for each run.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import SecretStr

from sheets_sync.channel_sync import ChannelMemory, ChannelReport, channel_pass
from sheets_sync.channels.http import Limiter, Session
from sheets_sync.config import LedgerSettings, Settings, SheetSettings
from sheets_sync.desk import Desk
from sheets_sync.ledger import Ledger
from sheets_sync.model import Lease
from sheets_sync.sandbox import shops
from sheets_sync.sandbox.sheet.server import Call, Proceed, create_app
from sheets_sync.sandbox.sheet.store import Store
from sheets_sync.sandbox.sheet.unknowns import DEFAULT, Unknowns
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sandbox.shops._common import Seen
from sheets_sync.sandbox.shops.amazon import Pace
from sheets_sync.sandbox.shops.shopify._cost import Bucket
from sheets_sync.sheet import tabs
from sheets_sync.sheet.workbook import Workbook
from sheets_sync.sync import Memory, Report, sheet_pass
from tests.hands import Hands, hands_of
from tests.in_process import AppAdapter
from tests.test_machine_sheet import ADDRESS, BEGIN, SHELF, SKUS, Quick, Steps
from tests.unhurried import Unhurried, parts

VENDORS = ("woocommerce", "shopify")
ROWS = 24  # of every tab: a machine of thousands of steps does not render a thousand empty rows each time
Meet = Callable[[str, Call, Proceed], Any]
"""What stands between the service and the other side: its name ("sheet", or a shop's), the call, how to let it go."""


def seen(call: Call) -> Seen:
    """A call as the shops' hands know it."""
    return Seen(call.method, call.path, call.query, call.headers, call.body)


class ShopAdapter(AppAdapter):
    """The same for a local shop: its own application, behind its own address."""

    def __init__(self, running: shops.Running, meet: Callable[[Call, Proceed], Any]) -> None:
        super().__init__(running.faults, meet, running.base_url)  # type: ignore[arg-type]


class Every(dict[str, Any]):
    """One and the same under every name."""

    def __init__(self, one: Any) -> None:
        super().__init__()
        self.one = one

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Any:
        return self.one


class Turned:
    """A clock that each run turns to its own time."""

    def __init__(self) -> None:
        self.by: Callable[[], Any] = Steps()

    def __call__(self) -> Any:
        return self.by()


class Now:
    """The store of the run that is on: an application is made once for all of them."""

    by: Store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.by, name)


@dataclass
class Street:
    """The shops of all runs, and how they stood when the first one began."""

    clock: Turned
    shops: dict[str, shops.Running]
    kept: dict[str, sqlite3.Connection]
    sheet: Now
    app: Any

    @classmethod
    def build(cls, stack: ExitStack, vendors: tuple[str, ...] = VENDORS) -> Street:
        clock = Turned()
        seeds = [Seed(sku, f"thing {sku}", BEGIN) for sku in SKUS]
        running = {v: stack.enter_context(shops.serve(v, None, seed=seeds, clock=clock)) for v in vendors}
        if "amazon" in running:  # the machine's clock goes by steps, and waits for nobody
            amazon = running["amazon"].shop
            amazon.pace, amazon.limits.enforced = Pace.at_once(), False
        for shop in running.values():
            with shop.shop.store._lock:  # couriers look at it, too
                shop.shop.store._db.execute("PRAGMA synchronous = OFF")
        sheet = Now()
        return cls(clock, running, {}, sheet, create_app(sheet))  # type: ignore[arg-type]

    def keep(self) -> None:
        """What `reset` goes back to."""
        for name, running in self.shops.items():
            self.kept[name] = sqlite3.connect(":memory:", check_same_thread=False)
            with running.shop.store._lock:
                running.shop.store._db.backup(self.kept[name])

    def reset(self, clock: Callable[[], Any]) -> None:
        self.clock.by = clock
        for name, kept in self.kept.items():
            shop = self.shops[name].shop
            with shop.store._lock:
                kept.backup(shop.store._db)
            if name == "shopify":
                shop.api.bucket = Bucket()


class Whole(Quick):
    """One run's world. `meet` stands between the service and everybody else; `stumble` at each commit of the ledger."""

    def __init__(
        self, folder: Path, street: Street, meet: Meet, template: Whole | None = None, *, ledger_url: str | None = None,
        unknowns: Unknowns = DEFAULT, stumble: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.clock: Any = Steps()
        self.wrong = timedelta()  # how far the service's clock is ahead of everybody else's
        self.folder, self.street, self.meeting, self.stumble = folder, street, meet, stumble
        self.numbers = iter(range(1, 100_000))
        self.shops = street.shops
        self.hands: dict[str, Hands] = {name: hands_of(running) for name, running in self.shops.items()}
        store = street.sheet.by = Store(unknowns=unknowns)
        self.app = street.app
        self.sheet: Any = SimpleNamespace(store=store, base_url=ADDRESS)
        if template:
            self.book = store._add(template.store.book(template.id).copy())
            self.clock.now = template.clock.now
            if ledger_url is None:
                shutil.copy(template.folder / "ledger.db", folder / "ledger.db")
        else:
            self.book = store.create("Stock", tabs=("Sheet1",))
        street.reset(self.clock)
        self.ledger_url = ledger_url or f"sqlite:///{folder}/ledger.db"
        channels: dict[str, Any] = {}
        for number, (name, shop) in enumerate(self.shops.items()):
            channels[name] = self._channel(name, shop, primary=number == 0)
        sheet = SheetSettings(spreadsheet_id=self.id, base_url=ADDRESS)
        ledger = LedgerSettings(url=SecretStr(self.ledger_url))
        self.settings = Settings(folder / "config.toml", sheet, ledger, channels=channels)
        self.open()

    def open(self) -> None:
        """As a process starts: nothing is in memory."""
        self.ledger = Ledger.open(self.ledger_url, clock=lambda: self.clock() + self.wrong)
        self._watch_commits()
        self.desk, self.workbook, self.memory = self.new_desk(), self.new_workbook(), Memory()
        self.channel_memory = {name: ChannelMemory() for name in self.shops}

    def restart(self) -> None:
        self.ledger.close()
        self.open()

    def _watch_commits(self) -> None:
        begin = self.ledger.begin

        @contextmanager
        def watched(lease: Lease | None = None) -> Iterator[Any]:
            with begin(lease) as tx:
                yield tx
                self.stumble("before")
            self.stumble("after")

        self.ledger.begin = watched  # type: ignore[method-assign]

    def new_desk(self) -> Desk:
        desk = super().new_desk()
        for name, channel in desk.channels.items():
            adapter = ShopAdapter(self.shops[name], lambda call, go, name=name: self.meeting(name, call, go))
            for owner, part, held in parts(channel):
                if isinstance(held, Session):
                    held._http.mount(self.shops[name].base_url, adapter)
                if isinstance(held, Limiter):
                    setattr(owner, part, Unhurried())
                elif part == "_limits":  # Amazon's, one for each operation, made as they are needed
                    setattr(owner, part, Every(Unhurried()))
        return desk

    def meet(self, call: Call, proceed: Proceed) -> Any:
        return self.meeting("sheet", call, proceed)

    def new_workbook(self) -> Workbook:
        return super().new_workbook()

    # running ----------------------------------------------------------------------------------------------------

    def sheet_pass(self, lease: Lease | None = None) -> Report:
        return sheet_pass(self.desk, self.workbook, self.memory, lease)

    def channel_pass(self, name: str, lease: Lease | None = None) -> ChannelReport:
        return channel_pass(self.desk, name, self.channel_memory[name], lease)

    def sku_figure(self, name: str, sku: str) -> int | None:
        return self.hands[name].figure(sku)


def a_template(folder: Path, street: Street, ledger_url: str | None = None) -> Whole:
    """A world after Start: four SKUs at 1000 in both shops, a column of the person's own, small tabs."""
    whole = Whole(folder, street, lambda name, call, proceed: proceed(), ledger_url=ledger_url)
    whole.begin()
    whole.store.insert_columns(whole.id, tabs.STOCK, whole.letter(tabs.COMMITTED))
    at = next(i for i, header in enumerate(whole.header()) if header == "")
    whole.store.type(whole.id, tabs.STOCK, f"{chr(65 + at)}1", SHELF)
    for sku in SKUS:
        whole.at(whole.row(sku), SHELF, f"shelf of {sku}")
    sizes = [
        {"updateSheetProperties": {
            "properties": {"sheetId": tab.sheet_id, "gridProperties": {"rowCount": ROWS}},
            "fields": "gridProperties.rowCount",
        }}
        for tab in whole.store.book(whole.id).tabs if tab.title not in (tabs.EXCHANGE, tabs.LEDGER)
    ]  # fmt: skip
    whole.store.apply(whole.id, sizes, "person")
    whole.memory.layout = None
    whole.passes()
    street.keep()
    whole.ledger.close()
    return whole
