"""The service killed with -9 at any write or call, and started again: nothing lost, nothing counted twice.

A *chapter* is something that happened (a count typed, an order shipped, a webhook) and one life of the service that
takes it in. The same chapter is told again and again: the first life dies by SIGKILL just before its first write, its
second, its third … (`killable.py` says why these are all points there are), and a second life is left alone. What the
world is like in the end must not tell the stories apart: ledger, sheet and shops, each fact once, no question without
cause.

Sheet and shops are real servers in this process, put back to where a chapter begins before each life. Their clock and
the service's move on from chapter to chapter; a service that was killed starts again when its leases have run out.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from pydantic import SecretStr

from sheets_sync.channels import RawRequest
from sheets_sync.config import LedgerSettings
from sheets_sync.exchange import CHAIN_NAME
from sheets_sync.ledger import Ledger
from sheets_sync.ledger.store import LEASE_TTL
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sandbox.shops.shopify._cost import Bucket
from sheets_sync.sheet import tabs
from tests.contract_channel import Receiver
from tests.killable import Death, Life, Nursery, Work
from tests.world import World

pytestmark = pytest.mark.slow

SEEDS = (Seed("00123", "Mug, blue", 10), Seed("1E5", "Scarf", 20), Seed("1-2", "Käthe, groß", 7))
SHOPIFY, WOO = "shopify", "woocommerce"
A_WHILE = timedelta(minutes=15)
"""Before and after what happens: longer than the overlap with which orders are read, and than clocks may differ."""
FEWEST = 8
"""A walk of fewer writes than this has not seen the chapter."""
FREE = {"Updated", "When", "tag exchange", "Event", "Batch", "Last push", "Last order"}
"""Headers of cells that hold a time, an id, or the order in which things of one moment were learned."""


# the stage ------------------------------------------------------------------------------------------------------


class Copies(Protocol):
    """Databases that can be copied whole, by URL."""

    def fresh(self) -> str: ...
    def copy(self, url: str) -> str: ...
    def drop(self, url: str) -> None: ...


class Files:
    """SQLite: a file and its write-ahead log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fresh(self) -> str:
        return f"sqlite:///{self.folder}/{secrets.token_hex(6)}.db"

    def copy(self, url: str) -> str:
        made = self.fresh()
        for tail in ("", "-wal"):
            if (file := Path(url.removeprefix("sqlite:///") + tail)).exists():
                shutil.copyfile(file, made.removeprefix("sqlite:///") + tail)
        return made

    def drop(self, url: str) -> None:
        for tail in ("", "-wal", "-shm"):
            Path(url.removeprefix("sqlite:///") + tail).unlink(missing_ok=True)


class Databases:
    """PostgreSQL: a database can be the template of another."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.names: list[str] = []

    def fresh(self) -> str:
        return self._made("template1")

    def copy(self, url: str) -> str:
        return self._made(str(sa.make_url(url).database))

    def _made(self, template: str) -> str:
        name = f"sheets_sync_kill_{secrets.token_hex(6)}"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self._run(create.format(sql.Identifier(name), sql.Identifier(template)))
        self.names.append(name)
        return sa.make_url(self.server).set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        self._drop(str(sa.make_url(url).database))

    def _drop(self, name: str) -> None:
        self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        self.names.remove(name)

    def _run(self, statement: sql.Composable) -> None:
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(statement)

    def close(self) -> None:
        for name in list(self.names):
            self._drop(name)


@dataclass(frozen=True)
class Scene:
    """Everything durable, as it stood at one moment."""

    books: dict[str, Any]
    shops: dict[str, bytes]
    ledger: str  # the URL of a database that nobody works on
    ahead: timedelta


class Stage:
    """The servers, and the scenes that they can be put back to."""

    def __init__(self, folder: Path, nursery: Nursery, copies: Copies) -> None:
        self.folder, self.nursery, self.copies = folder, nursery, copies
        self.ledger_url, self.ahead = copies.fresh(), timedelta(0)
        vendors = (SHOPIFY, WOO)
        self.world = World(folder, vendors=vendors, seeds=SEEDS, ledger_url=self.ledger_url, clock=self.clock)
        self.world.ledger.close()
        self.world.shops[SHOPIFY].shop.api.bucket = Bucket(10**9)  # one app's allowance is too little for many lives
        self.receiver = Receiver()
        self.scenes: dict[str, Scene] = {}
        self.told: dict[str, tuple[Death, Outcome]] = {}

    def close(self) -> None:
        self.receiver.close()
        self.world.close()

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def save(self) -> Scene:
        shops = {name: running.shop.store._db.serialize() for name, running in self.world.shops.items()}
        return Scene(dict(self.world.store._books), shops, self.copies.copy(self.ledger_url), self.ahead)

    def restore(self, scene: Scene) -> None:
        self.world.faults._orders.clear()
        self.world.faults.calls.clear()
        self.world.store._books = dict(scene.books)
        for name, kept in scene.shops.items():
            store = self.world.shops[name].shop.store
            with store._lock:
                store._db.deserialize(kept)
        self.copies.drop(self.ledger_url)
        self.ledger_url, self.ahead = self.copies.copy(scene.ledger), scene.ahead

    def live(self, work: Work = Work.SERVE, loops: tuple[str, ...] = (), **how: Any) -> Death:
        settings = replace(self.world.settings, ledger=LedgerSettings(url=SecretStr(self.ledger_url)))
        died = self.nursery.live(Life(settings, self.folder / "points", work, loops, ahead=self.ahead, **how))
        self.ahead += LEASE_TTL + timedelta(seconds=1)
        return died

    def outcome(self) -> Outcome:
        ledger = Ledger.open(self.ledger_url)
        try:
            return self._outcome(ledger)
        finally:
            ledger.close()

    def _outcome(self, ledger: Ledger) -> Outcome:
        with ledger.read() as view:
            balances = {k.sku: b.stock for k, b in view.balances().items() if b.counted}
            facts = [event.fact for event in view.events()]
            questions, listings = view.questions(), view.listings()
            deliveries = [d for name in self.world.shops for d in view.deliveries(name)]
            head = view.head()
        skus = sorted({str(item.sku) for item in listings} & {seed.sku for seed in SEEDS})
        return Outcome(
            figures={sku: f"{s.on_hand}/{s.committed}/{s.available}" for sku, s in sorted(balances.items())},
            shops={name: {sku: self.world.figure(name, sku) for sku in skus} for name in self.world.shops},
            facts=Counter((f.sku, f.kind.value, f.change, f.count, f.reason, f.note, f.source) for f in facts),
            rows=Counter(self._rows(tabs.STOCK)),
            ledger_tab=Counter(self._rows(tabs.LEDGER)),
            channels_tab=Counter(self._rows(tabs.CHANNELS)),
            questions=Counter((q.sku, q.kind) for q in questions),
            listings={(i.channel, i.sku): (i.shown, i.taken, i.pushable, i.error, i.pending_job) for i in listings},
            deliveries=Counter((d.channel, d.topic, d.state) for d in deliveries),
            chain_stands=self.world.workbook.named_range_ids() == {CHAIN_NAME: head},
            problems=ledger.verify(),
        )

    def _rows(self, tab: str) -> list[tuple[Any, ...]]:
        header, *rows = self.world.store.rows(self.world.book.spreadsheet_id, tab) or [[]]
        return [tuple((h, v) for h, v in zip(header, row, strict=False) if h not in FREE and v != "") for row in rows]


@dataclass(frozen=True)
class Outcome:
    """What the world is like, without ids and times. Two stories that end alike are equal here."""

    figures: dict[str, str]  # SKU -> on_hand/committed/available, as RULES.md writes them
    shops: dict[str, dict[str, int | None]]
    facts: Counter[tuple[Any, ...]]
    rows: Counter[tuple[Any, ...]]
    ledger_tab: Counter[tuple[Any, ...]]
    channels_tab: Counter[tuple[Any, ...]]
    questions: Counter[tuple[str, str]]
    listings: dict[tuple[str, str | None], tuple[Any, ...]]
    deliveries: Counter[tuple[str, str, str]]
    chain_stands: bool
    problems: list[str]

    def summed(self) -> Outcome:
        """The same, where two changes and their sum are one: for what was typed while nobody looked."""
        total: Counter[tuple[Any, ...]] = Counter()
        for (sku, kind, change, *_), times in self.facts.items():
            total[sku, kind] += change.on_hand * times
        texts = Counter((sku, *texts) for sku, _, _, _, *texts, _ in self.facts if any(texts))
        return replace(self, facts=total + texts, rows=Counter(), ledger_tab=Counter())


# the chapters ---------------------------------------------------------------------------------------------------

Deliveries = Sequence[tuple[str, RawRequest]]


@dataclass(frozen=True)
class Chapter:
    """`happens` in the world; then a life does its `work`. `figures` is what the SKUs it touches come to."""

    name: str
    after: str  # the chapter before; "" is the empty spreadsheet
    happens: Callable[[Stage], Deliveries | None]
    figures: dict[str, str]
    work: Work = Work.SERVE
    loops: tuple[str, ...] = ()
    meanwhile: Callable[[Stage], None] | None = None  # what happens while the service is down


def nothing_more(stage: Stage) -> None:
    pass


def orders_are_open(stage: Stage) -> None:
    """Before Start: both shops have sold, and one order has left the house."""
    shop, woo = stage.world.shops[SHOPIFY].shop, stage.world.shops[WOO].shop
    shop.ship(shop.buy("1E5", 2)["id"])
    shop.buy("00123", 1)
    woo.buy("1-2", 1)


def start_is_ticked(stage: Stage) -> None:
    orders_are_open(stage)
    world = stage.world
    header, *rows = world.store.rows(world.book.spreadsheet_id, tabs.CHANNELS)
    row = next(n for n, cells in enumerate(rows, 2) if cells[header.index("Channel")] == SHOPIFY.capitalize())
    cell = f"{world.letter('Start', tabs.CHANNELS)}{row}"
    world.store.type(world.book.spreadsheet_id, tabs.CHANNELS, cell, "TRUE")


def counts_are_typed(stage: Stage) -> None:
    """One down, with Reason and Note; one up."""
    stage.world.type("00123", "8")
    stage.world.type("00123", "loss", "Reason")
    stage.world.type("00123", "fell off the shelf", "Note")
    stage.world.type("1E5", "25")


def a_row_is_added(stage: Stage) -> None:
    world = stage.world
    row = len(world.skus()) + 1
    for header, text in ((tabs.SKU, "007"), ("Title", "Tea towel"), (tabs.ON_HAND, "4")):
        world.store.type(world.book.spreadsheet_id, tabs.STOCK, f"{world.letter(header)}{row}", text)


def typed_in_the_gap(stage: Stage) -> None:
    """Between the look and the exchange the count is typed anew, another one is typed, and the rows are sorted."""
    world = stage.world
    counts_are_typed(stage)

    def act() -> None:
        world.type("00123", "7")
        world.type("1-2", "9")
        world.store.sort(world.book.spreadsheet_id, tabs.STOCK, world.letter(tabs.SKU), descending=True)

    world.faults.just_before(act)


def sold_shipped_and_counted(stage: Stage) -> None:
    """S1: 3 sold and shipped between the seller seeing 10 and typing 8: -2, result 5."""
    shop = stage.world.shops[WOO].shop
    shop.ship(shop.buy("00123", 3))
    stage.world.type("00123", "8")


def sold_in_both(stage: Stage) -> None:
    stage.world.shops[SHOPIFY].shop.buy("00123", 2)
    stage.world.shops[WOO].shop.buy("1E5", 3)


def cancelled_and_shipped(stage: Stage) -> None:
    shop, woo = stage.world.shops[SHOPIFY].shop, stage.world.shops[WOO].shop
    shop.cancel(max(int(order["id"]) for order in shop.docs.select("order")))
    woo.ship(max(int(row["id"]) for row in woo.store._db.execute("SELECT id FROM shop_order")))


def hooks_are_made(stage: Stage) -> None:
    for channel in stage.world.desk.channels.values():
        channel.ensure_hooks(stage.receiver.url)


def webhooks_come(stage: Stage) -> Deliveries:
    """An order in each shop, told by the shops' own deliveries, signed by them."""
    shop, woo = stage.world.shops[SHOPIFY].shop, stage.world.shops[WOO].shop
    assert shop.courier.wait_idle() and woo.wait_delivered()
    stage.receiver.forget()
    sold_in_both(stage)
    assert shop.courier.wait_idle() and woo.wait_delivered()
    got = [(urlsplit(request.url).path.rsplit("/", 1)[1], request) for request in stage.receiver.wait(bool)]
    assert {name for name, request in got if b"line_items" in request.body} == {SHOPIFY, WOO}
    return got


def a_count_is_pasted_and_post_is_ticked(stage: Stage) -> None:
    world = stage.world
    for cell, text in (("A5", "00123"), ("B5", "8"), ("A6", "1E5"), ("B6", "25"), ("A7", "1-2"), ("B7", "7 pcs")):
        world.store.type(world.book.spreadsheet_id, tabs.STOCK_TAKE, cell, text)
    world.store.type(world.book.spreadsheet_id, tabs.STOCK_TAKE, "A2", "TRUE")


def one_more_is_gone(stage: Stage) -> None:
    """A person takes one off whatever the cell shows."""
    world = stage.world
    world.type("00123", str(int(world.cell("00123")) - 1))


def killed_with_the_exchange_landed(stage: Stage) -> None:
    counts_are_typed(stage)
    assert stage.live(dies_at=":batchUpdate").killed
    assert stage.live(dies_at="after POST /v4").killed


def killed_with_a_figure_on_its_way(stage: Stage) -> None:
    counts_are_typed(stage)
    assert stage.live(dies_at="after POST /wp-json").killed


SHEET, SHOPS = ("sheet",), (SHOPIFY, WOO)
OPENED = {"00123": "10/1/9", "1E5": "18/0/18", "1-2": "7/1/6"}
TYPED = {"00123": "8/0/8", "1E5": "25/0/25", "1-2": "7/0/7"}
CHAPTERS = {
    chapter.name: chapter
    for chapter in (
        Chapter("import", "", nothing_more, {}, Work.IMPORT, loops=SHEET),
        Chapter("start", "import", orders_are_open, OPENED, Work.START, loops=SHOPS),
        Chapter("tick", "import", start_is_ticked, OPENED, loops=(*SHEET, "start")),
        Chapter("edit", "begin", counts_are_typed, TYPED),
        Chapter("row", "begin", a_row_is_added, {"007": "4/0/4"}, loops=SHEET),
        Chapter("gap", "begin", typed_in_the_gap, {"00123": "7/0/7", "1E5": "25/0/25", "1-2": "9/0/9"}, loops=SHEET),
        Chapter("sale", "begin", sold_shipped_and_counted, {"00123": "5/0/5"}, loops=(*SHEET, WOO)),
        Chapter("cancel", "sold", cancelled_and_shipped, {"00123": "10/0/10", "1E5": "17/0/17"}, loops=SHOPS),
        Chapter("webhooks", "hooked", webhooks_come, {"00123": "10/2/8", "1E5": "20/3/17"}, loops=SHOPS),
        Chapter("stock-take", "begin", a_count_is_pasted_and_post_is_ticked, TYPED, loops=SHEET),
        Chapter("meanwhile", "begin", counts_are_typed, {"00123": "7/0/7"}, loops=SHEET, meanwhile=one_more_is_gone),
        Chapter("twice", "begin", killed_with_the_exchange_landed, TYPED, loops=SHEET),
        Chapter("pushing", "begin", killed_with_a_figure_on_its_way, TYPED, loops=SHOPS),
    )
}
SCENES = CHAPTERS | {
    chapter.name: chapter
    for chapter in (
        Chapter("begin", "import", nothing_more, {}, Work.START),
        Chapter("sold", "begin", sold_in_both, {}),
        Chapter("hooked", "begin", hooks_are_made, {}),
    )
}
"""Where chapters begin, too."""


# telling them ---------------------------------------------------------------------------------------------------


def scene(stage: Stage, name: str) -> Scene:
    """The world after a chapter in which nobody was killed."""
    if name not in stage.scenes:
        if name:
            tell(stage, SCENES[name])
        stage.scenes[name] = stage.save()
    return stage.scenes[name]


def tell(stage: Stage, chapter: Chapter, dies_at: int | None = None) -> tuple[Death, Outcome]:
    """A chapter from its beginning: with `dies_at` the first life dies before that write, and a second goes on."""
    stage.restore(scene(stage, chapter.after))
    stage.ahead += A_WHILE
    deliveries = chapter.happens(stage) or ()
    stage.ahead += A_WHILE
    death = stage.live(chapter.work, chapter.loops, deliveries=deliveries, dies_at=dies_at)
    assert not death.error, death.error
    if chapter.meanwhile:
        chapter.meanwhile(stage)
    if dies_at or chapter.meanwhile:
        again = [delivery for number, delivery in enumerate(deliveries) if number not in death.answered]
        last = stage.live(chapter.work, chapter.loops, deliveries=again)
        assert not last.killed and not last.error, f"after a death {death.points[-1]}:\n{last.error}"
    outcome = stage.outcome()
    return death, outcome.summed() if chapter.meanwhile else outcome


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as made:
        yield made


@pytest.fixture(scope="module")
def stage(nursery: Nursery) -> Iterator[Stage]:
    memory = Path("/dev/shm")  # SIGKILL takes nothing from the page cache, so that no disk need be waited for
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        made = Stage(Path(folder), nursery, Files(Path(folder)))
        yield made
        made.close()


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_life_that_nobody_kills_comes_to_the_right_figures(stage: Stage, name: str) -> None:
    chapter = CHAPTERS[name]
    _, outcome = tell(stage, chapter)
    assert outcome.problems == [] and outcome.chain_stands
    assert {sku: outcome.figures[sku] for sku in chapter.figures} == chapter.figures
    assert not outcome.questions
    assert chapter.meanwhile or all(times == 1 for times in outcome.facts.values())


@pytest.mark.parametrize("name", CHAPTERS)
def test_killed_at_any_write_or_call_nothing_is_lost_and_nothing_counted_twice(stage: Stage, name: str) -> None:
    walk(stage, CHAPTERS[name])


def walk(stage: Stage, chapter: Chapter) -> None:
    """A chapter again and again, with a death before each of its writes, until the first life comes to its own end."""
    _, wanted = tell(stage, chapter)
    for write in count(1):
        death, outcome = tell(stage, chapter, write)
        assert outcome == wanted, f"{chapter.name}: killed at {death.points[-1]}, before write {write}"
        if not death.killed:
            assert write > FEWEST
            return


def test_killed_on_postgresql_nothing_is_lost_and_nothing_counted_twice(
    postgres_server: str, nursery: Nursery, tmp_path: Path
) -> None:
    databases = Databases(postgres_server)
    stage = Stage(tmp_path, nursery, databases)
    try:
        walk(stage, replace(CHAPTERS["edit"], loops=(*SHEET, WOO)))
    finally:
        stage.close()
        databases.close()
