"""The running service: loops, hints, leases, and what it does when a side is away (DESIGN.md section 8).

Real threads, real HTTP, one database. Nothing sleeps: a test waits for what must come, with a deadline.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import stamina

from sheets_sync import onboarding
from sheets_sync.channel_sync import ChannelMemory, ChannelReport, channel_pass
from sheets_sync.desk import START_WANTED
from sheets_sync.errors import CredentialsRefused, LeaseLost, Unavailable
from sheets_sync.ledger import LEASE_TTL, Ledger
from sheets_sync.ledger.schema import leases
from sheets_sync.model import Event
from sheets_sync.sandbox.sheet.server import Answer, Call, Proceed
from sheets_sync.sandbox.shops import _common as shop
from sheets_sync.service import Loop, Service
from sheets_sync.sheet import tabs
from tests.hands import DEADLINE, VENDORS, Clock, hands_of
from tests.sheet_server import UNAVAILABLE
from tests.world import World

MUG = "00123"


def wait_for(true: Callable[[], Any], what: str) -> None:
    """Look until it is so. A hundred looks a second cost nothing beside a pass."""
    end = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not true():
        assert time.monotonic() < end, f"never happened: {what}"
        pause.wait(0.01)


class Town:
    """A world and the services that run in it; all of them are stopped at the end."""

    def __init__(self, folder: Path, *, url: str | None = None) -> None:
        self.clock = Clock()
        self.stack = ExitStack()
        self.stack.enter_context(stamina.set_testing(True, attempts=2))
        self.world = World(folder, vendors=VENDORS, clock=self.clock, ledger_url=url)
        self.stack.callback(self.world.close)
        self.here, self.there = (hands_of(self.world.shops[v]) for v in VENDORS)

    def service(self, holder: str) -> Service:
        """One process of ours: its own connection to the database, its own sheet client, its own channels."""
        ledger = Ledger.open(self.world.ledger_url, clock=self.clock)
        self.stack.callback(ledger.close)
        desk = replace(self.world.new_desk(), ledger=ledger)
        made = Service(desk, self.world.new_workbook, holder=holder)
        self.stack.callback(made.stop)
        return made

    def running(self, holder: str = "first") -> Service:
        made = self.service(holder)
        made.start()
        return made

    def holder(self, lease: str) -> str:
        """Who has a lease; "" where nobody has."""
        query = sa.select(leases.c.holder).where(leases.c.name == lease)
        with self.world.ledger._database.reading() as connection:
            return str(connection.scalar(query) or "")

    def wait_quiet_at(self, figures: str, shown: int, sku: str = MUG) -> None:
        """The ledger says `figures`, both shops show the offer, and so does the sheet."""

        def so() -> bool:
            return (
                self.world.figures(sku) == figures
                and (self.here.figure(sku), self.there.figure(sku)) == (shown, shown)
                and self.world.cell(sku) == int(figures.split("/")[0])
                and self.world.cell(sku, "Available") == int(figures.split("/")[2])
            )

        wait_for(so, f"{figures}, shown {shown}")

    def close(self) -> None:
        self.stack.close()


@contextmanager
def town_in(folder: Path, **how: Any) -> Iterator[Town]:
    made = Town(folder, **how)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """After Start, nobody runs yet."""
    with town_in(tmp_path) as made:
        made.world.begin()
        made.clock.tick(minutes=5)
        yield made


def poke(service: Service, *names: str) -> None:
    """As a webhook or an edit notification does: the hint shortens the wait."""
    for name in names or tuple(service.loops):
        service.wake(name)


# the road of a count --------------------------------------------------------------------------------------------


def test_a_count_typed_reaches_both_shops_and_the_ledger_tab(town: Town) -> None:
    service = town.running()
    town.world.type(MUG, "8")
    poke(service, "sheet")
    town.wait_quiet_at("8/0/8", 8)
    wait_for(
        lambda: "typed 8 over 10" in str(town.world.store.rows(town.world.book.spreadsheet_id, tabs.LEDGER)), "row"
    )


def test_a_sale_in_one_shop_reaches_the_sheet_and_the_other_shop(town: Town) -> None:
    service = town.running()
    town.here.buy(MUG, 3)
    poke(service, "shopify")
    town.wait_quiet_at("10/3/7", 7)
    assert town.world.cell(MUG) == 10 and town.world.cell(MUG, "Committed") == 3


def test_an_unknown_hint_is_nothing(town: Town) -> None:
    service = town.running()
    service.wake("no such loop")
    town.world.type(MUG, "9")
    poke(service, "sheet")
    town.wait_quiet_at("9/0/9", 9)


# start ----------------------------------------------------------------------------------------------------------


def imported(town: Town) -> None:
    onboarding.set_up(town.world.desk, town.world.workbook)
    onboarding.import_catalogues(town.world.desk)
    town.world.passes()


def channel_cell(town: Town, row: int, header: str) -> tuple[str, Any]:
    """(A1 address, what stands there) in the Channels tab."""
    rows = town.world.store.rows(town.world.book.spreadsheet_id, tabs.CHANNELS)
    at = rows[0].index(header)
    return f"{chr(65 + at)}{row}", rows[row - 1][at] if row <= len(rows) and at < len(rows[row - 1]) else None


def test_start_by_the_tick_in_the_channels_tab(tmp_path: Path) -> None:
    with town_in(tmp_path) as town:
        imported(town)
        town.here.buy(MUG, 2)
        service = town.running()
        address, _ = channel_cell(town, 2, "Start")
        town.world.store.type(town.world.book.spreadsheet_id, tabs.CHANNELS, address, "TRUE")
        poke(service, "sheet")
        wait_for(lambda: town.world.events(MUG), "the openings")
        poke(service)
        town.wait_quiet_at("10/2/8", 8)
        wait_for(lambda: channel_cell(town, 2, "Start")[1] is False, "unticked")
        assert len([e for e in town.world.events(MUG) if e.fact.kind == "opening"]) == 1


def test_a_start_that_a_person_must_help_is_told_and_does_not_end_the_service(tmp_path: Path) -> None:
    """Nothing was imported, and the service itself does not come to it, as the primary's shop is away."""
    with town_in(tmp_path) as town, town.here.away():
        onboarding.set_up(town.world.desk, town.world.workbook)
        service = town.running()
        with town.world.ledger.begin() as tx:
            tx.put(START_WANTED, {"at": town.clock().isoformat(), "row": "cli"})
        poke(service, "start")
        told = "not started: There is nothing to start from: run `sheets-sync import`"
        wait_for(lambda: told in str(channel_cell(town, 2, "Progress")[1]), "shown in the Channels tab")
        assert service.failed is None and not service.stopping.is_set()
        with town.world.ledger.read() as view:
            assert view.get(START_WANTED) is None, "it must not come true when nobody thinks of it any more"


def test_skus_that_are_being_sold_during_start_are_opened_when_they_stand(tmp_path: Path) -> None:
    with town_in(tmp_path) as town:
        town.here.set_figure("1E5", 5000)
        imported(town)
        service = town.running()
        busy = [True]

        def opened() -> list[Event]:
            return [e for e in town.world.events("1E5") if e.fact.kind == "opening"]

        def buyers(seen: shop.Seen) -> None:
            if busy and town.here.is_look(seen):
                town.here.buy("1E5", 1)

        with town.here.watched(buyers):
            address, _ = channel_cell(town, 2, "Start")
            town.world.store.type(town.world.book.spreadsheet_id, tabs.CHANNELS, address, "TRUE")
            poke(service, "sheet")
            wait_for(lambda: town.world.events(MUG), "what stands still is open")
            wait_for(lambda: "looked at again" in str(channel_cell(town, 2, "Progress")[1]), "told")
            assert not opened()
            busy.clear()
            poke(service, "start")
            wait_for(opened, "open")
        assert [e.balance.on_hand for e in opened()] == [5000]
        wait_for(lambda: not channel_cell(town, 2, "Progress")[1], "told no more")


# a side that is away --------------------------------------------------------------------------------------------


def test_a_shop_that_is_away_holds_up_nobody_and_gets_one_figure_when_it_is_back(town: Town) -> None:
    service = town.running()
    with town.here.away():
        for count in range(100, 200):
            town.world.type(MUG, str(count))
            if count % 10 == 0:
                poke(service, "sheet", "shopify")
        poke(service)
        wait_for(lambda: town.there.figure(MUG) == 199, "the other shop follows")
        wait_for(lambda: service.loops["shopify"].trouble, "noticed")
        wait_for(lambda: told(town, "Shopify"), "shown in the Channels tab")
    with town.here.watched() as calls:
        poke(service, "shopify")
        town.wait_quiet_at("199/0/199", 199)
        wait_for(lambda: not told(town, "Shopify"), "the error is gone")
        assert sum(map(town.here.is_write, calls)) == 1
    assert service.failed is None


def told(town: Town, title: str) -> str:
    """The last error of a channel, as the Channels tab shows it."""
    rows = town.world.store.rows(town.world.book.spreadsheet_id, tabs.CHANNELS)
    at = rows[0].index("Last error")
    row = next(r for r in rows if r and r[0] == title)
    return str(row[at] or "") if len(row) > at else ""


def test_while_the_sheet_is_away_sales_go_on(town: Town) -> None:
    service = town.running()
    with sheet_away(town.world):
        poke(service, "sheet")
        wait_for(lambda: service.loops["sheet"].trouble, "noticed")
        town.here.buy(MUG, 4)
        poke(service, "shopify")
        wait_for(lambda: town.there.figure(MUG) == 6, "the other shop follows all the same")
    poke(service, "sheet")
    town.wait_quiet_at("10/4/6", 6)


@contextmanager
def sheet_away(world: World) -> Iterator[None]:
    """Every call to the sheet is answered 503."""
    away = [True]

    def refuse(call: Call, proceed: Proceed) -> Answer:
        if not away:
            return proceed()
        world.faults.order(refuse, lambda _: True)
        return UNAVAILABLE

    world.faults.order(refuse, lambda _: True)
    yield
    away.clear()


# leases ---------------------------------------------------------------------------------------------------------


def test_of_two_services_on_one_database_one_drives(town: Town) -> None:
    first = town.running("first")
    wait_for(lambda: {town.holder(loop.leased) for loop in first.loops.values()} == {"first"}, "all leases")
    second = town.running("second")
    wait_for(lambda: all(loop.waits for loop in second.loops.values()), "the second one waits")
    assert not any(loop.waits for loop in first.loops.values())
    town.world.type(MUG, "8")
    poke(first)
    poke(second)
    town.wait_quiet_at("8/0/8", 8)
    assert {town.holder(loop.leased) for loop in second.loops.values()} == {"first"}
    assert len([e for e in town.world.events(MUG) if e.fact.kind == "adjustment"]) == 1


def takes_over(town: Town) -> None:
    first = town.running("first")
    wait_for(lambda: {town.holder(loop.leased) for loop in first.loops.values()} == {"first"}, "all leases")
    second = town.running("second")
    dies(first)
    town.world.type(MUG, "8")
    town.clock.tick(seconds=LEASE_TTL.total_seconds() + 1)

    def driven() -> bool:
        poke(second)
        return {town.holder(loop.leased) for loop in second.loops.values()} == {"second"}

    wait_for(driven, "the second has all leases")
    town.wait_quiet_at("8/0/8", 8)
    assert town.world.ledger.verify() == []


def dies(service: Service) -> None:
    """As by kill -9: nothing is given back."""
    service._leases.clear()
    service.stop()


def test_the_other_takes_over_when_the_first_dies(town: Town) -> None:
    takes_over(town)


def test_the_other_takes_over_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    with town_in(tmp_path, url=postgres_url) as town:
        town.world.begin()
        takes_over(town)


def test_a_service_that_stops_gives_its_leases_back_at_once(town: Town) -> None:
    first = town.running("first")
    wait_for(lambda: {town.holder(loop.leased) for loop in first.loops.values()} == {"first"}, "all leases")
    first.stop()
    second = town.running("second")
    wait_for(lambda: {town.holder(loop.leased) for loop in second.loops.values()} == {"second"}, "no 30 s pass")


def test_a_worker_that_slept_records_nothing(town: Town) -> None:
    """It wakes up in the middle of a pass, after another worker has had its channel: each transaction is refused."""
    desk, ledger = town.world.desk, town.world.ledger
    old = ledger.acquire("channel:shopify", "sleeper")
    assert old is not None

    def sleeps(seen: Any) -> None:
        if town.here.is_orders(seen):
            town.clock.tick(seconds=LEASE_TTL.total_seconds() + 1)
            assert ledger.acquire("channel:shopify", "other") is not None

    town.here.buy(MUG, 2)
    before = town.world.events()
    with town.here.watched(sleeps), pytest.raises(LeaseLost):
        channel_pass(desk, "shopify", ChannelMemory(), old)
    assert town.world.events() == before
    new = ledger.acquire("channel:shopify", "other")
    channel_pass(desk, "shopify", ChannelMemory(), new)
    assert town.world.figures(MUG) == "10/2/8"


def test_a_worker_that_slept_sends_nothing_more(town: Town) -> None:
    """What is about to be sent is recorded first, in a transaction that the lease is checked in."""
    ledger = town.world.ledger
    town.world.type(MUG, "8")
    town.world.sheet_passes()
    old = ledger.acquire("channel:shopify", "sleeper")
    assert old is not None
    town.clock.tick(seconds=LEASE_TTL.total_seconds() + 1)
    with town.here.watched() as calls, pytest.raises(LeaseLost):
        channel_pass(town.world.desk, "shopify", ChannelMemory(), old)
    assert not any(map(town.here.is_write, calls))
    assert town.here.figure(MUG) == 10


def test_what_a_worker_sent_and_slept_over_is_looked_at_again(town: Town) -> None:
    """It comes in after its successor's write, at a shop that compares nothing: only who sent it can know."""
    world, shop = town.world, town.there
    assert not shop.compare_and_set
    world.type(MUG, "8")
    world.sheet_passes()
    old, successor, asleep = world.ledger.acquire("channel:woocommerce", "sleeper"), ChannelMemory(), list[int]()

    def sleeps(seen: Any) -> None:
        if shop.is_write(seen) and not asleep:
            asleep.append(1)
            town.clock.tick(seconds=LEASE_TTL.total_seconds() + 1)
            world.type(MUG, "5")
            world.sheet_passes()
            channel_pass(world.new_desk(), "woocommerce", successor, lease())

    def lease() -> Any:
        return world.ledger.acquire("channel:woocommerce", "successor")

    with shop.watched(sleeps), pytest.raises(LeaseLost):
        channel_pass(world.desk, "woocommerce", ChannelMemory(), old)
    assert shop.figure(MUG) == 8
    channel_pass(world.desk, "woocommerce", successor, lease())
    assert shop.figure(MUG) == 5


def test_P6_the_same_figure_a_minute_later_is_no_bar(town: Town) -> None:
    """The shop showed 8 when we expected 10, and the pass ended there. An order is cancelled: it shows 10 again."""
    world, here, memory = town.world, town.here, ChannelMemory()
    channel_pass(world.desk, "shopify", memory, None)
    world.type(MUG, "7")
    world.sheet_passes()
    bought = list[str]()

    def overtaken(seen: Any) -> Any:
        if here.is_write(seen) and not bought:
            bought.append(here.buy(MUG, 2))
        elif bought and here.is_look(seen):
            return shop.Drop()
        return None

    with here.watched(overtaken), pytest.raises(Unavailable):
        channel_pass(world.desk, "shopify", memory, None)
    here.cancel(bought[0])
    assert here.figure(MUG) == 10
    town.clock.tick(minutes=1)
    channel_pass(world.desk, "shopify", memory, None)
    assert here.figure(MUG) == 7


def test_a_write_that_is_refused_as_a_whole_is_looked_after(town: Town) -> None:
    """A proxy that asks for a password, say, after it has let the write through."""
    world, there, memory = town.world, town.there, ChannelMemory()
    channel_pass(world.desk, "woocommerce", memory, None)
    world.type(MUG, "8")
    world.sheet_passes()
    refused = shop.Answer(401, {}, b'{"code": "x"}', applied=True)
    with there.watched(lambda seen: refused if there.is_write(seen) else None), pytest.raises(CredentialsRefused):
        channel_pass(world.desk, "woocommerce", memory, None)
    assert there.figure(MUG) == 8
    world.type(MUG, "10")
    world.sheet_passes()
    channel_pass(world.desk, "woocommerce", memory, None)
    assert there.figure(MUG) == 10


def test_a_lease_lost_is_waited_for_and_no_error(town: Town) -> None:
    service = town.running("first")
    wait_for(lambda: town.holder("channel:shopify") == "first", "its lease")
    town.clock.tick(seconds=LEASE_TTL.total_seconds() + 1)
    assert town.world.ledger.acquire("channel:shopify", "other") is not None
    poke(service, "shopify")
    wait_for(lambda: "channel:shopify" not in service._leases, "forgotten")
    assert service.failed is None and not service.stopping.is_set()
    assert town.holder("channel:shopify") == "other"


def test_a_ledger_that_is_busy_for_a_while_ends_no_service(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases can't be taken or renewed, errors can't be noted: all of it is tried again."""
    service = town.service("first")
    real = Ledger.begin
    busy = threading.Event()
    busy.set()
    refused = threading.Semaphore(0)

    @contextmanager
    def begin(self: Ledger, lease: Any = None) -> Iterator[Any]:
        if busy.is_set() and self is service.desk.ledger:
            refused.release()
            raise Unavailable("the ledger is busy or away")
        with real(self, lease) as tx:
            yield tx

    acquire = Ledger.acquire

    def acquiring(self: Ledger, name: str, holder: str, ttl: timedelta = LEASE_TTL) -> Any:
        if busy.is_set() and self is service.desk.ledger:
            refused.release()
            raise Unavailable("the ledger is busy or away")
        return acquire(self, name, holder, ttl)

    monkeypatch.setattr(Ledger, "begin", begin)
    monkeypatch.setattr(Ledger, "acquire", acquiring)
    service.start()
    for _ in service.loops:
        assert refused.acquire(timeout=DEADLINE)
    busy.clear()
    town.world.type(MUG, "8")

    def so() -> bool:
        poke(service)
        return town.world.figures(MUG) == "8/0/8"

    wait_for(so, "it goes on")
    town.wait_quiet_at("8/0/8", 8)
    assert service.failed is None


# the end --------------------------------------------------------------------------------------------------------


def test_stop_ends_every_thread_and_may_be_called_twice(town: Town) -> None:
    service = town.running()
    wait_for(lambda: town.holder("channel:shopify") == "first", "it works")
    service.stop()
    service.stop()
    assert not any(thread.is_alive() for thread in service.threads)
    assert {town.holder(loop.leased) for loop in service.loops.values()} == {""}
    service.wait()


def test_a_stop_that_comes_as_a_pass_begins_is_not_slept_through(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass begins by clearing the hint that woke it, and a stop is a hint too."""
    service = town.service("first")
    service.loops = {"shopify": service.loops["shopify"]}
    real = service._lease

    def lease(loop: Loop) -> Any:
        service.stopping.set()
        loop.woken.set()
        return real(loop)

    monkeypatch.setattr(service, "_lease", lease)
    service.start()
    for thread in service.threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()


def test_a_bug_ends_the_whole_service_loudly(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    service = town.service("first")

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("sheets_sync.service.channel_pass", broken)
    service.start()
    with pytest.raises(ZeroDivisionError):
        service.wait()
    service.stop()
    assert not any(thread.is_alive() for thread in service.threads)


def test_hooks_are_asked_for_once_a_day(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    service = town.service("first")
    web = service.desk.settings.web.model_copy(update={"public_url": "https://hooks.example"})
    monkeypatch.setattr(service.desk, "settings", replace(service.desk.settings, web=web))
    channel = service.desk.channels["shopify"]
    monkeypatch.setattr(channel, "ensure_hooks", lambda url: asked.append(url) or ())
    for _ in range(3):
        service._hooks("shopify")
    assert asked == ["https://hooks.example"]
    town.clock.tick(hours=25)
    service._hooks("shopify")
    assert len(asked) == 2


def test_a_channel_is_looked_at_when_its_pass_said_that_there_would_be_something_to_do(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = town.service("first")
    loop = service.loops["shopify"]
    both = ChannelReport(again=True, after=7.5)
    reports = [ChannelReport(after=7.5), ChannelReport(after=999.0), both, ChannelReport()]
    monkeypatch.setattr("sheets_sync.service.channel_pass", lambda *given: reports.pop(0))
    assert [service._once(loop) for _ in range(4)] == [7.5, loop.every, 0.0, loop.every]
    service.stop()


def test_a_shop_that_answers_nonsense_is_told_and_waited_out(town: Town) -> None:
    service = town.running()
    with town.here.watched(lambda seen: shop.Answer(200, {"Content-Type": "text/html"}, b"<html>maintenance</html>")):
        poke(service, "shopify")
        wait_for(lambda: service.loops["shopify"].trouble or service.failed, "noticed")
        assert service.failed is None
    town.world.type(MUG, "7")
    poke(service)

    def so() -> bool:
        poke(service, "shopify")
        return town.here.figure(MUG) == 7

    wait_for(so, "it goes on")
    town.wait_quiet_at("7/0/7", 7)
