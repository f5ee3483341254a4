"""Two services, two processes, on one sheet and one PostgreSQL: one drives, the other waits, whatever happens.

At each point of a pass the first is killed (-9), or stopped, and continued when its successor has long been at work.
What was on its way then arrives late, too. Nothing is lost, nothing is counted twice.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from sheets_sync.config import LedgerSettings
from sheets_sync.errors import Unavailable
from sheets_sync.ledger import Ledger, engine
from sheets_sync.model import Kind
from sheets_sync.sandbox.sheet.server import DROPPED, Call, Proceed
from sheets_sync.sandbox.shops._common import Drop, Seen
from tests.sheet_server import DEADLINE, Match, is_batch_update, is_read
from tests.two_services import Pair, Worker
from tests.world import World

MUG, SCARF, PLATE = "00123", "1E5", "MAR1"
LEASE = 35.0  # seconds: longer than a lease lives
PATIENCE = 60.0  # seconds: one that is stopped within a statement is only ended after ten


def is_image(call: Call) -> bool:
    return is_read(call) and unquote(call.query).count("ranges=") == 1 and "_exchange" in call.query


@dataclass(frozen=True)
class Point:
    """Where in a pass of the first service something befalls it, and what becomes of the call that it was making."""

    match: Match
    arrives: str  # "never", "before" it happens, or "late", long after


@dataclass(frozen=True)
class ShopPoint:
    """The same, in a pass over a shop."""

    match: Callable[[Seen], bool]
    arrives: bool


def is_push(seen: Seen) -> bool:
    return seen.method in ("POST", "PUT") and "/products" in seen.path


POINTS: dict[str, Point | ShopPoint] = {
    "as it looks": Point(is_read, "never"),
    "before the exchange arrives": Point(is_batch_update, "never"),
    "and the exchange arrives late": Point(is_batch_update, "late"),
    "after the exchange arrived": Point(is_batch_update, "before"),
    "as it reads the image": Point(is_image, "never"),
    "as it reads the shop's orders": ShopPoint(lambda seen: seen.path.endswith("/orders"), arrives=False),
    "before a figure reaches the shop": ShopPoint(is_push, arrives=False),
    "after a figure reached the shop": ShopPoint(is_push, arrives=True),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with Pair(tmp_path_factory.mktemp("services")) as made:
        yield made


@pytest.fixture
def world(tmp_path: Path, postgres_url: str) -> Iterator[World]:
    made = World(tmp_path, vendors=("woocommerce",), ledger_url=postgres_url)
    try:
        made.begin()
        # not 5 s, for one that is stopped within a transaction
        soon = {"options": "-c idle_in_transaction_session_timeout=500ms"}
        url = sa.make_url(postgres_url).update_query_dict(soon).render_as_string(hide_password=False)
        made.settings = replace(made.settings, ledger=LedgerSettings(url=SecretStr(url)))
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def workers_end(pair: Pair) -> Iterator[None]:
    """Before the world goes: whoever still runs would only fill a log with its absence."""
    yield
    pair.end()


def until(true: Callable[[], Any], what: str, pair: Pair) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        errors = [path.read_text() for path in pair.folder.glob("*.error")]
        assert not errors, errors[0]
        assert time.monotonic() < end, f"waited in vain until {what}"
        threading.Event().wait(0.02)


def holder(url: str, world: World) -> str:
    """Who drives the sheet."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT holder FROM leases WHERE name = %s", (f"sheet:{world.book.spreadsheet_id}",)
        ).fetchone()
    return str(row[0]) if row else ""


def befall(
    world: World, points: Sequence[Point | ShopPoint], act: Callable[[], None]
) -> tuple[threading.Event, list[Proceed]]:
    """At the first call that is at one of these points: `act`, and what becomes of the call. The event says that it has
    happened.
    """
    happened, late = threading.Event(), list[Proceed]()
    for point in points:
        if isinstance(point, ShopPoint):
            befall_at_shop(world, point, act, happened)
        else:
            befall_at_sheet(world, point, act, happened, late)
    return happened, late


def befall_at_sheet(
    world: World, point: Point, act: Callable[[], None], happened: threading.Event, late: list[Proceed]
) -> None:
    def fault(call: Call, proceed: Proceed) -> Any:
        if point.arrives == "before":
            proceed()
        if point.arrives == "late":
            late.append(proceed)
        act()
        happened.set()
        return DROPPED

    world.faults.order(fault, point.match)


def befall_at_shop(world: World, point: ShopPoint, act: Callable[[], None], happened: threading.Event) -> None:
    once = threading.Lock()

    def hook(seen: Seen) -> Drop | None:
        if not point.match(seen) or not once.acquire(blocking=False):
            return None
        act()
        happened.set()
        return Drop(applied=point.arrives)

    world.shops["woocommerce"].faults.hook = hook


def shows(world: World, **figures: int) -> Callable[[], bool]:
    named = {"mug": MUG, "scarf": SCARF, "plate": PLATE}
    return lambda: all(
        world.cell(named[k]) == n and world.cell(named[k], "tag figure") == n for k, n in figures.items()
    )


def ends_well(world: World) -> None:
    """Typed 8, then 6 over a mug's 10; a scarf's 20 became 25; a plate was sold and shipped."""
    assert (world.figures(MUG), world.figures(SCARF), world.figures(PLATE)) == ("6/0/6", "25/0/25", "4/0/4")
    typed = {
        sku: [e.change.on_hand for e in world.events(sku) if e.fact.kind is Kind.ADJUSTMENT] for sku in (MUG, SCARF)
    }
    assert typed == {MUG: [-2, -2], SCARF: [5]}
    assert world.questions() == {}
    assert world.ledger.verify() == []


def start_both(pair: Pair, world: World, url: str, name: str) -> tuple[Worker, Worker]:
    """The first one drives, the second one waits."""
    first = pair.start(f"{name}-1", world.settings)
    until(lambda: holder(url, world) == first.name, "the first one drives", pair)
    second = pair.start(f"{name}-2", world.settings)
    return first, second


@pytest.mark.parametrize("end", ["killed", "stopped and continued"])
@pytest.mark.parametrize("where", POINTS)
def test_the_second_takes_over_and_nothing_is_lost_or_doubled(
    world: World, postgres_url: str, pair: Pair, where: str, end: str
) -> None:
    takes_over(world, postgres_url, pair, [POINTS[where]], f"{list(POINTS).index(where)}-{end[:4]}", end)


@pytest.mark.parametrize("number", range(0, 26, 2))
def test_nor_is_anything_at_any_other_call(world: World, postgres_url: str, pair: Pair, number: int) -> None:
    """The first one ends at its n-th call from now on, to the sheet or to the shop."""
    calls = itertools.count()

    def this(_: object) -> bool:
        return next(calls) == number

    arrives = number % 8 < 4
    points: list[Point | ShopPoint] = [Point(this, "before" if arrives else "never"), ShopPoint(this, arrives)]
    end = "killed" if number % 4 else "stopped and continued"
    takes_over(world, postgres_url, pair, points, f"{number}-any", end)


def takes_over(
    world: World, url: str, pair: Pair, points: Sequence[Point | ShopPoint], name: str, end: str
) -> None:  # fmt: skip
    first, second = start_both(pair, world, url, name)
    happened, late = befall(world, points, first.kill if end == "killed" else first.stop)
    world.type(MUG, "8")
    assert happened.wait(DEADLINE)
    world.type(SCARF, "25")
    shop = world.shops["woocommerce"].shop
    shop.ship(shop.buy(PLATE, 1, pay=True))
    second.ahead(LEASE)
    until(shows(world, mug=8, scarf=25, plate=4), "the second one has counted all", pair)
    assert holder(url, world) == second.name
    for proceed in late:
        assert proceed().status == 400, "the sheet itself refuses what comes too late"
    if end != "killed":
        first.go_on()
    world.type(MUG, "6")
    until(lambda: shows(world, mug=6)() and world.figures(MUG) == "6/0/6", "a change after that is counted", pair)
    until(lambda: world.figure("woocommerce", MUG) == 6, "the shop shows it", pair)
    assert holder(url, world) == second.name
    ends_well(world)


def test_while_the_first_one_drives_the_second_one_writes_nothing(world: World, postgres_url: str, pair: Pair) -> None:
    first, _ = start_both(pair, world, postgres_url, "both")
    shop = world.shops["woocommerce"].shop
    with ThreadPoolExecutor() as pool:
        pool.submit(lambda: shop.ship(shop.buy(PLATE, 1, pay=True)))
        world.type(MUG, "8")
        world.type(SCARF, "25")
    until(shows(world, mug=8, scarf=25, plate=4), "all is counted", pair)
    world.type(MUG, "6")
    until(lambda: shows(world, mug=6)() and world.figures(MUG) == "6/0/6", "a change after that is counted", pair)
    assert holder(postgres_url, world) == first.name
    ends_well(world)


def test_a_process_stopped_within_a_transaction_does_not_hold_up_the_others(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction writes at a time; one that says nothing for long is ended, and its process has to begin again."""
    monkeypatch.setattr(engine, "IDLE_SECONDS", 0.2)
    stopped, other = Ledger.open(postgres_url), Ledger.open(postgres_url)
    with pytest.raises(Unavailable, match="waited too long"), stopped.begin() as tx:
        tx.put("who", "the stopped one")
        with other.begin() as second:  # waits for the first one's end
            second.put("who", "the other one")
        tx.get("who")
    with stopped.read() as view:
        assert view.get("who") == "the other one"
    stopped.close()
    other.close()


def test_nor_does_one_that_is_stopped_within_a_statement(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many rows go out without a pause for an answer. PostgreSQL waits for the rest of them for ever."""
    monkeypatch.setattr(engine, "IDLE_SECONDS", 0.2)
    other = Ledger.open(postgres_url)
    ended = pytest.raises(psycopg.OperationalError)
    with ended, psycopg.connect(postgres_url) as stopped, stopped.pipeline():
        stopped.execute("SELECT pg_advisory_xact_lock(%s)", [engine._WRITERS_LOCK])
        stopped.pgconn.send_flush_request()
        stopped.pgconn.flush()
        while not held(other):
            threading.Event().wait(0.02)
        with other.begin() as tx:
            tx.put("who", "the other one")
        stopped.execute("SELECT 1").fetchone()
    with other.read() as view:
        assert view.get("who") == "the other one"
    other.close()


def held(ledger: Ledger) -> bool:
    """Whether somebody has the writers' lock."""
    with ledger._database.engine.connect() as connection:
        return not connection.scalar(engine._TRY)
