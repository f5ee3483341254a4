"""Settings -> the parts that run: ledger, channels, workbook, service and web server, put together in one place.

Each is a context manager or belongs to one: leaving it gives back leases, threads, ports and files. `sync_once` is what
`run` does all the time, done until nothing is left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

from sheets_sync import onboarding, planning
from sheets_sync.channel_sync import ChannelMemory, Sent, channel_pass
from sheets_sync.channels.registry import build_all
from sheets_sync.config import Settings
from sheets_sync.desk import START_WANTED, Desk, TokenShelf, utcnow
from sheets_sync.errors import ConfigError, LeaseLost, NextPass, SellerMustAct, Unavailable
from sheets_sync.ledger import Ledger
from sheets_sync.model import Event, Lease, StoredDelivery
from sheets_sync.order_book import apply_delivery
from sheets_sync.service import RENEW_EVERY, Service, a_holder
from sheets_sync.sheet.client import SheetAccess
from sheets_sync.sheet.workbook import Workbook, connect
from sheets_sync.sync import Memory, sheet_pass
from webhook.app import Apply, create_app
from webhook.server import Running as Web
from webhook.server import serve

MOST_ROUNDS = 20
"""Rounds of `sync_once`. Each one is quick; a shop whose buyers never pause is left to `run`."""


def access(settings: Settings) -> SheetAccess:
    """Which spreadsheet, and as whom."""
    sheet = settings.sheet
    return SheetAccess(sheet.base_url, sheet.spreadsheet_id, sheet.credentials_file, sheet.credentials_kind)


def workbook_of(settings: Settings, clock: Callable[[], datetime] = utcnow) -> Workbook:
    """The seller's spreadsheet; `clock` tells when a look began. Raises ConfigError where none is named yet."""
    if not settings.sheet.spreadsheet_id:
        raise ConfigError(
            [
                f"{settings.path.name}: [sheet] spreadsheet_id is empty: write the id of your spreadsheet there, "
                "or let `sheets-sync init` make one"
            ]
        )
    return connect(access(settings), clock=clock)


@contextmanager
def desk_of(settings: Settings) -> Iterator[Desk]:
    """Ledger and channels, opened and closed again. No call is made yet."""
    with ExitStack() as stack:
        ledger = Ledger.open(settings.ledger.url.get_secret_value())
        stack.callback(ledger.close)
        channels = build_all(settings.channels, shelves=lambda name: TokenShelf(ledger, name))
        for channel in channels.values():
            stack.callback(channel.close)
        yield Desk(ledger, channels, settings, clock=ledger.clock)


# the service ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Serving:
    """A running service and the web server before it."""

    service: Service
    web: Web


@contextmanager
def serving(desk: Desk, *, holder: str = "") -> Iterator[Serving]:
    """Web server and loops, until the `with` ends. `holder` names this process in leases, where it is the only one.

    Raises SheetNotReady where doctor has not proven the spreadsheet, ConfigError where the port is taken.
    """
    onboarding.require_proven(desk)
    settings = desk.settings
    service = Service(desk, lambda: workbook_of(settings, desk.clock), holder=holder)
    token = settings.sheet.hint_token
    app = create_app(
        desk.ledger,
        desk.channels,
        apply=_applying(desk),
        wake=service.wake,
        hint_token=token.get_secret_value() if token else None,
        max_body=settings.web.max_body,
    )
    with serve(app, settings.web.host, settings.web.port) as web:
        service.start()
        try:
            yield Serving(service, web)
        finally:
            service.stop()


def _applying(desk: Desk) -> Apply:
    """What a delivery carries whole is booked at once; for an order that it only names its channel's next pass does
    not wait.
    """

    def apply(name: str, delivery: StoredDelivery) -> None:
        apply_delivery(desk, desk.channels[name], delivery, fetch=False)

    return apply


# once -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Once:
    """What `sync_once` did. `problems` hold the sheet back; `quiet`: nothing was left to do at the end."""

    events: tuple[Event, ...] = ()
    sent: tuple[Sent, ...] = ()
    problems: tuple[str, ...] = ()
    quiet: bool = False


def sheet_lease(settings: Settings) -> str:
    """The name of the sheet's lease, as the service takes it."""
    return f"sheet:{settings.sheet.spreadsheet_id}"


def sync_once(desk: Desk, workbook: Workbook, *, channels: bool = True, holder: str = "") -> Once:
    """Passes over the sheet, and over each channel, until nothing is left to do.

    Raises LeaseLost where another process drives one of them, SheetNotReady where the sheet is not proven.
    """
    onboarding.require_proven(desk)
    names = tuple(desk.channels) if channels else ()
    wanted = [sheet_lease(desk.settings), *(f"channel:{name}" for name in names)]
    with leased(desk.ledger, wanted, holder) as leases:
        return _Rounds(desk, workbook, names, leases).run()


class _Rounds:
    def __init__(self, desk: Desk, workbook: Workbook, names: Sequence[str], leases: Mapping[str, Lease]) -> None:
        self.desk, self.workbook, self.leases = desk, workbook, leases
        self.memory, self.memories = Memory(), {name: ChannelMemory() for name in names}
        self.events: list[Event] = []
        self.sent: list[Sent] = []

    def run(self) -> Once:
        problems: tuple[str, ...] = ()
        quiet = 0  # a new row opens only after two looks, so one quiet round is not enough
        for _ in range(MOST_ROUNDS):
            before = len(self.events) + len(self.sent)
            again, problems = self._sheet()
            again |= any([self._channel(name) for name in self.memories])
            quiet = 0 if again or len(self.events) + len(self.sent) > before else quiet + 1
            if problems or quiet == 2:
                break
        if self.memories and not problems and planning.is_wanted(self.desk):  # somebody ticked for it
            planning.make(self.desk, self.workbook)
            self._sheet()
        return Once(tuple(self.events), tuple(self.sent), problems, quiet == 2)

    def _sheet(self) -> tuple[bool, tuple[str, ...]]:
        try:
            report = sheet_pass(self.desk, self.workbook, self.memory, self.leases[sheet_lease(self.desk.settings)])
        except LeaseLost:
            raise
        except NextPass:
            return True, ()
        self.events += report.events
        return report.again, report.problems

    def _channel(self, name: str) -> bool:
        try:
            report = channel_pass(self.desk, name, self.memories[name], self.leases[f"channel:{name}"])
        except LeaseLost:
            raise
        except NextPass:
            return True
        self.events += report.events
        self.sent += report.sent
        return report.again


@contextmanager
def leased(ledger: Ledger, names: Sequence[str], holder: str = "") -> Iterator[dict[str, Lease]]:
    """All of these leases, renewed while they are held. Raises LeaseLost where somebody else has one."""
    holder, held = holder or a_holder(), dict[str, Lease]()
    done = threading.Event()
    keeper = threading.Thread(target=_keep, args=(ledger, held, done), name="leases", daemon=True)
    try:
        for name in names:
            lease = ledger.acquire(name, holder)
            if lease is None:
                raise LeaseLost(
                    f"another sheets-sync drives {name} now, and does this by itself. "
                    "If it has just died, its right ends after 30 seconds: try again then."
                )
            held[name] = lease
        keeper.start()
        yield held
    finally:
        done.set()
        if keeper.is_alive():
            keeper.join()
        for lease in held.values():
            ledger.release(lease)


def _keep(ledger: Ledger, held: Mapping[str, Lease], done: threading.Event) -> None:
    """A lease that could not be renewed is found out by the transaction that needs it."""
    while not done.wait(RENEW_EVERY):
        for lease in list(held.values()):
            try:
                ledger.renew(lease)
            except (LeaseLost, Unavailable):
                continue


# the beginning --------------------------------------------------------------------------------------------------


def start(desk: Desk, *, holder: str = "") -> onboarding.Started | None:
    """Start, here and now; None where a running service was asked to do it, as a tick in the Channels tab does."""
    try:
        with leased(desk.ledger, ["start"], holder) as leases:
            return onboarding.start(desk, leases["start"])
    except LeaseLost:
        with desk.ledger.begin() as tx:
            tx.put(START_WANTED, {"at": desk.clock().isoformat(), "row": "cli"})
        return None


def show(desk: Desk, workbook: Workbook) -> str:
    """Bring the sheet up to date; says what keeps it from that. A running service does it by itself."""
    try:
        once = sync_once(desk, workbook, channels=False)
    except LeaseLost:
        return ""
    except SellerMustAct as error:
        return str(error)
    return "; ".join(once.problems)
