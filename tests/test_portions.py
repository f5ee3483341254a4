"""What a pass over Amazon takes on at once, on a simulated clock: orders go on, and the smallest stock comes first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from sheets_sync import onboarding, portions
from sheets_sync.channel_sync import ChannelMemory, ChannelReport, channel_pass
from sheets_sync.channels.amazon import Amazon
from sheets_sync.config import AmazonSettings, Settings, SheetSettings
from sheets_sync.desk import Desk
from sheets_sync.ledger import Ledger
from sheets_sync.model import Event, Fact, Figure, Kind, Ref, Stock, StoredDelivery
from sheets_sync.sandbox.shops import Running, Seed, serve
from sheets_sync.sandbox.shops._common import Seen

pytestmark = pytest.mark.xdist_group("portions")  # one account for all of them

COUNT = 320


@dataclass
class Time:
    """A clock that only waiting moves."""

    at: datetime = datetime(2026, 3, 2, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Account:
    """A seller on Amazon alone, counted and in step; the limits are Amazon's own."""

    running: Running
    desk: Desk
    time: Time
    memory: ChannelMemory = field(default_factory=ChannelMemory)

    @property
    def shop(self) -> Any:
        return self.running.shop

    def visit(self) -> tuple[ChannelReport, float]:
        """A pass, and how long it took."""
        began = self.time()
        report = channel_pass(self.desk, "amazon", self.memory, None)
        return report, (self.time() - began).total_seconds()

    def in_step(self) -> None:
        for _ in range(40):
            report, _ = self.visit()
            waiting = any(item.pending_job for item in self.memory.shelf.listings.values())
            if not report.out_of_step and not waiting:
                return
            self.time.sleep(0 if report.again else report.after or 60)
        raise AssertionError("never in step")

    def change(self, units: dict[str, int]) -> None:
        now = self.time()
        with self.desk.ledger.begin() as tx:
            tx.append(
                Fact(f"{now}:{sku}", sku, Kind.ADJUSTMENT, now, change=Stock(on_hand=n)) for sku, n in units.items()
            )

    def sells(self, sku: str) -> str:
        """A buyer buys, and Amazon's notification is stored."""
        order: str = self.shop.buy(sku, 1)
        with self.desk.ledger.begin() as tx:
            tx.store_delivery(StoredDelivery("amazon", order, "ORDER_CHANGE", {}, self.notice(order), self.time()))
        return order

    def notice(self, order: str) -> bytes:
        change = {"SellerId": self.running.credentials["seller_id"], "AmazonOrderId": order}
        return orjson.dumps({"NotificationType": "ORDER_CHANGE", "Payload": {"OrderChangeNotification": change}})

    def booked(self, order: str) -> Event | None:
        with self.desk.ledger.read() as view:
            found = [e for e in view.events(newest_first=True, limit=COUNT) if order in e.fact.reference]
        return found[0] if found else None


@contextmanager
def an_account(folder: Path) -> Iterator[Account]:
    time = Time()
    seeds = [Seed(f"S-{n:03}", f"Thing {n}", 20 + n) for n in range(COUNT)]
    with ExitStack() as stack:
        running = stack.enter_context(serve("amazon", None, seed=seeds, clock=time))
        keys = running.credentials
        secrets = {name: keys[name] for name in ("client_id", "client_secret", "refresh_token")}
        about: dict[str, Any] = {"seller_id": keys["seller_id"], "marketplaces": keys["marketplaces"].split(",")}
        channel = Amazon("amazon", *about.values(), **secrets, address=running.base_url, clock=time, sleep=time.sleep)
        stack.callback(channel.close)
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", clock=time)
        stack.callback(ledger.close)
        own = AmazonSettings(
            name="amazon", title="Amazon", primary=True, base_url=running.base_url, **about,
            **{name: SecretStr(value) for name, value in secrets.items()},
        )  # fmt: skip
        settings = Settings(
            folder / "config.toml", SheetSettings(spreadsheet_id="x", base_url="http://127.0.0.1:1"),
            channels={"amazon": own},
        )  # fmt: skip
        account = Account(running, Desk(ledger, {"amazon": channel}, settings, time), time)
        onboarding.import_catalogues(account.desk)
        onboarding.start(account.desk)
        account.in_step()
        account.time.sleep(3600)
        account.in_step()
        yield account


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with an_account(tmp_path_factory.mktemp("portions")) as made:
        yield made


def test_a_pass_writes_what_is_done_in_twenty_seconds_the_smallest_stock_first_and_orders_go_on(
    account: Account,
) -> None:
    account.change({f"S-{n:03}": -1 for n in range(230)})
    report, took = account.visit()
    assert took < 25 and report.again
    assert {str(sent.listing.sku) for sent in report.sent} == {f"S-{n:03}" for n in range(100)}
    order, bought = account.sells("S-229"), account.time()
    report, took = account.visit()
    event = account.booked(order)
    assert took < 25 and event is not None and event.recorded_at - bought < timedelta(seconds=25)
    assert {str(sent.listing.sku) for sent in report.sent} == {f"S-{n:03}" for n in range(100, 200)}
    account.in_step()
    assert [account.shop.figure(f"S-{n:03}") for n in (0, 100, 228, 229, 230)] == [19, 119, 247, 247, 250]


def test_what_goes_in_a_feed_is_looked_at_in_parts_and_orders_and_lowering_go_on_between_them(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are sold, and another one is counted lower, while Amazon is asked what it shows: neither waits."""
    monkeypatch.setattr(portions, "PART", 100)
    channel = account.desk.channels["amazon"]
    monkeypatch.setattr(channel, "_feed_takes", timedelta(seconds=10))
    account.time.sleep(3600)
    account.memory.catalogue_at = account.memory.tidied_at = account.time()
    raised = [n for n in range(COUNT) if n != 5]
    account.change({f"S-{n:03}": 2 for n in raised})
    account.time.sleep(200)  # the list of orders knows all up to then
    looks, order, known = 0, "", list[Event | None]()

    def watch(seen: Seen) -> None:
        nonlocal looks, order
        looks += "identifiers=" in seen.query
        if looks == 3 and not order:
            order = account.sells("S-007")
            account.change({"S-005": -3})
        if seen.method == "PATCH":
            known.append(account.booked(order))
            assert "S-005" in seen.path
        if seen.path.endswith("/feeds"):
            known.append(account.booked(order))

    account.running.middleware = watch
    report, _ = account.visit()
    account.running.middleware = None
    assert len(known) == 2 and all(known), "booked before the one write and the other"
    assert all(sent.figure <= 27 for sent in report.sent if sent.listing.sku == "S-007")
    account.in_step()
    assert [account.shop.figure(f"S-{n:03}") for n in (5, 7, 8)] == [21, 27, 29]


def test_after_a_cancellation_the_figure_is_written_again_whatever_a_look_shows(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Amazon gave nothing back, and the listing still shows what it showed before the sale: it looks as if in step."""
    channel = account.desk.channels["amazon"]
    account.time.sleep(3600)
    account.in_step()
    figure, whole = account.shop.figure("S-010"), channel.figures
    order = account.sells("S-010")
    account.visit()
    account.shop.cancel(order)
    account.shop.set_figure("S-010", figure - 1)
    written: list[bytes] = []

    def stale(refs: Sequence[Ref]) -> list[Figure]:
        return [replace(f, shows=figure) if f.ref.listing == "S-010" and not written else f for f in whole(refs)]

    monkeypatch.setattr(channel, "figures", stale)
    account.running.middleware = lambda seen: written.append(seen.body) if seen.path.endswith("/S-010") else None
    with account.desk.ledger.begin() as tx:
        tx.store_delivery(StoredDelivery("amazon", "off", "ORDER_CHANGE", {}, account.notice(order), account.time()))
    for _ in range(30):
        report, _ = account.visit()
        account.time.sleep(0 if report.again else min(report.after or 30, 30))
    account.running.middleware = None
    assert [orjson.loads(body)["patches"][0]["value"][0]["quantity"] for body in written] == [figure]
    assert account.shop.figure("S-010") == figure


def test_P5_what_is_missing_when_a_figure_is_lowered_stays_promised_until_the_list_has_caught_up(
    account: Account,
) -> None:
    """Three are sold there untold, three somewhere else: lowered for both, and not raised for the first."""
    account.time.sleep(3600)
    account.in_step()
    figure = account.shop.figure("S-020")
    account.shop.buy("S-020", 3)
    account.change({"S-020": -3})
    report, _ = account.visit()
    assert [sent.figure for sent in report.sent if sent.listing.sku == "S-020"] == [figure - 6]
    for _ in range(20):
        account.time.sleep(20)
        account.visit()
        assert account.shop.figure("S-020") == figure - 6
