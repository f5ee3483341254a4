"""`sheets-sync run`: a thread a loop (the sheet, each channel, Start), woken early by hints that there is work.

A loop holds a lease while it works, so that of several machines one drives a sheet or a channel; safety does not rest
on it, but on the sheet's chain and on the fencing token that each transaction checks. An error that the next pass or
the other side will mend is logged and waited out; one that a person must mend is shown in the Channels tab; anything
else stops the service, loudly.
"""

from __future__ import annotations

import functools
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from sheets_sync import alarm, onboarding, planning
from sheets_sync.channel_sync import ChannelMemory, channel_pass
from sheets_sync.desk import START_WANTED, Desk, remember
from sheets_sync.errors import LeaseLost, NextPass, OtherSide, RateLimited, SellerMustAct, Unavailable
from sheets_sync.ledger import LEASE_TTL
from sheets_sync.model import Lease
from sheets_sync.sheet.workbook import Workbook
from sheets_sync.sync import Memory, sheet_pass

log = structlog.get_logger()

RENEW_EVERY = 10.0  # seconds; a lease lives for 30
HOOKS_EVERY = timedelta(hours=24)
BACK_OFF = (2.0, 5.0, 15.0, 30.0)  # seconds between tries while the other side is away
PERSON = 30.0  # seconds until it is tried again whether a person has put something right
START_AGAIN = 5.0
ALERTS_EVERY = 30.0
PLAN_AGAIN = 5.0


def a_holder() -> str:
    """Who we are in a lease: this machine, this process, this start."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


@dataclass
class Loop:
    """One thread that works, waits until it is woken or its time has come, and works again.

    `work` returns True where there is more to do at once, or in how many seconds there will be; else False.
    """

    name: str
    every: float
    work: Callable[[Lease], bool | float]
    leased: str
    woken: threading.Event = field(default_factory=threading.Event)
    failures: int = 0
    trouble: str = ""
    kept: bool = False  # the ledger knows of its trouble, or that there is none
    waits: bool = False  # another service has the lease


class Service:
    """All loops of one process. `open_workbook` is called in the sheet's own thread: one client a thread."""

    def __init__(self, desk: Desk, open_workbook: Callable[[], Workbook], *, holder: str = "") -> None:
        self.desk, self.open_workbook, self.holder = desk, open_workbook, holder or a_holder()
        desk.wake = self.wake
        self.loops: dict[str, Loop] = {}
        self.threads: list[threading.Thread] = []
        self.stopping = threading.Event()
        self.failed: BaseException | None = None
        self.watch = alarm.Watch()
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._hooked: dict[str, datetime] = {}
        self._add_loops()

    def _add_loops(self) -> None:
        settings = self.desk.settings
        sheet = settings.sheet
        self._add("sheet", sheet.look_every, self._sheet_work(), f"sheet:{sheet.spreadsheet_id}")
        self._add("start", timedelta(seconds=START_AGAIN), self._start_work, "start")
        self._add("plan", timedelta(seconds=PLAN_AGAIN), self._plan_work, "plan")
        for name in self.desk.channels:
            self._add(name, settings.channels[name].look_every, self._channel_work(name), f"channel:{name}")
        if settings.alerts.wanted:
            self._add("alerts", timedelta(seconds=ALERTS_EVERY), self._alerts_work, "alerts")

    def _add(self, name: str, every: timedelta, work: Callable[[Lease], bool | float], leased: str) -> None:
        self.loops[name] = Loop(name, every.total_seconds(), work, leased)

    # from outside ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start every loop; returns at once."""
        self._thread("leases", self._renew)
        for loop in self.loops.values():
            self._thread(f"loop-{loop.name}", functools.partial(self._run, loop))

    def wake(self, name: str) -> None:
        """A hint: do not wait for the next look. Unknown names are ignored, as hints may be."""
        loop = self.loops.get(name)
        if loop is not None:
            loop.woken.set()

    def stop(self) -> None:
        """End every loop after the call that it is in, and give the leases back."""
        self.stopping.set()
        for loop in self.loops.values():
            loop.woken.set()
        for thread in self.threads:
            thread.join(timeout=90)
        for lease in list(self._leases.values()):
            try:
                self.desk.ledger.release(lease)
            except Unavailable as error:
                log.info("lease.kept", lease=lease.name, why=str(error)[:200])  # it runs out by itself

    def wait(self) -> None:
        """Until the service stops; raises what stopped it."""
        while not self.stopping.wait(0.5):
            pass
        if self.failed is not None:
            raise self.failed

    # the loops ------------------------------------------------------------------------------------------------

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - a bug must end the whole service, not one silent thread
                log.exception("service.failed", thread=name)
                self.failed = error
                self.stopping.set()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _run(self, loop: Loop) -> None:
        while not self.stopping.is_set():
            wait = self._once(loop)
            if wait > 0 and not self.stopping.is_set():  # a pass clears the hint that a stop gave
                loop.woken.wait(wait)
            loop.woken.clear()

    def _once(self, loop: Loop) -> float:
        """One pass, and how long to wait after it, in seconds."""
        try:
            lease = self._lease(loop)
            self._waits(loop, lease is None)
            if lease is None:
                return min(loop.every, 5.0)
            loop.woken.clear()
            again = loop.work(lease)
        except LeaseLost:
            self._forget(loop)
            return 1.0
        except NextPass as error:
            log.info("pass.again", loop=loop.name, why=str(error)[:200])
            return 0.2
        except RateLimited as error:
            self._trouble(loop, error)
            return error.retry_after if error.retry_after is not None else self._back_off(loop)
        except OtherSide as error:
            self._trouble(loop, error)
            return self._back_off(loop)
        except SellerMustAct as error:
            self._trouble(loop, error)
            return PERSON
        self._well(loop)
        if isinstance(again, float):
            return min(again, loop.every)
        return 0.0 if again else loop.every

    def _back_off(self, loop: Loop) -> float:
        loop.failures += 1
        return BACK_OFF[min(loop.failures, len(BACK_OFF)) - 1]

    def _trouble(self, loop: Loop, error: Exception) -> None:
        """Said once in the log, and shown in the Channels tab while it lasts."""
        text = str(error)
        if text == loop.trouble:
            return
        loop.trouble = text
        log.warning("pass.trouble", loop=loop.name, kind=type(error).__name__, detail=text[:500])
        if loop.name in self.desk.channels:
            self._note([loop.name], last_error=text[:300])
        self._keep_trouble(loop)

    def _keep_trouble(self, loop: Loop) -> None:
        """For alerts, whichever process sends them."""
        loop.kept = True
        if not self.desk.settings.alerts.wanted or not (loop.name == "sheet" or loop.name in self.desk.channels):
            return
        try:
            alarm.note_trouble(self.desk, loop.name, loop.trouble)
        except Unavailable as error:
            loop.kept = False
            log.info("pass.untold", loop=loop.name, why=str(error)[:200])

    def _note(self, channels: Iterable[str], **changes: Any) -> None:
        """For the Channels tab. Where it is the ledger that is away, the log has to do."""
        try:
            with self.desk.ledger.begin() as tx:
                for name in channels:
                    remember(tx, name, **changes)
        except Unavailable as error:
            log.info("pass.untold", channels=list(channels), why=str(error)[:200])
        self.wake("sheet")

    def _well(self, loop: Loop) -> None:
        if loop.trouble:
            log.info("pass.well", loop=loop.name)
        was, loop.failures, loop.trouble = loop.trouble, 0, ""
        if was or not loop.kept:
            self._keep_trouble(loop)

    def _sheet_work(self) -> Callable[[Lease], bool]:
        memory = Memory()
        workbooks: list[Workbook] = []

        def work(lease: Lease) -> bool:
            if not workbooks:
                workbooks.append(self.open_workbook())
            report = sheet_pass(self.desk, workbooks[0], memory, lease)
            if report.problems:
                raise SellerMustAct("; ".join(report.problems))
            return report.again

        return work

    def _start_work(self, lease: Lease) -> bool:
        with self.desk.ledger.read() as view:
            wanted = view.get(START_WANTED)
        if wanted:
            self._start(wanted, lease)
        return False

    def _start(self, wanted: Mapping[str, Any], lease: Lease) -> None:
        """Start, as somebody wished; the channel's Progress says what came of it.

        A wish that a person has to help first is dropped, or it would come true when nobody thinks of it any more.
        """
        row = str(wanted.get("row"))
        rows = [row] if row in self.desk.channels else list(self.desk.channels)
        try:
            started = onboarding.start(self.desk, lease)
        except SellerMustAct as error:
            with self.desk.ledger.begin(lease) as tx:
                tx.put(START_WANTED, None)
            self._note(rows, progress=f"not started: {error}"[:300])
            raise
        if started.moving:
            with self.desk.ledger.begin(lease) as tx:
                tx.put(START_WANTED, dict(wanted))
        left = len(started.moving)
        self._note(rows, progress=f"{left} SKUs are being sold just now: looked at again until they stand" * bool(left))

    def _channel_work(self, name: str) -> Callable[[Lease], bool | float]:
        memory = ChannelMemory()

        def work(lease: Lease) -> bool | float:
            self._hooks(name)
            report = channel_pass(self.desk, name, memory, lease)
            return report.again if report.again or report.after is None else report.after

        return work

    def _plan_work(self, lease: Lease) -> bool:
        """A plan that somebody ticked for. It reads much, so no other loop waits for it."""
        if planning.is_wanted(self.desk):
            planning.make(self.desk, self.open_workbook())
        return False

    def _alerts_work(self, lease: Lease) -> bool:
        alarm.tell(self.desk, watch=self.watch)
        return False

    def _hooks(self, name: str) -> None:
        """Vendors drop hooks that failed or lay idle: they are asked for again every day."""
        settings, now = self.desk.settings, self.desk.clock()
        last = self._hooked.get(name)
        if settings.web.public_url is None or not settings.channels[name].hooks:
            return
        if last is None or now - last > HOOKS_EVERY:
            for hook in self.desk.channels[name].ensure_hooks(settings.web.public_url):
                log.info("hook", channel=name, topic=hook.topic, state=hook.state)
            self._hooked[name] = now

    # leases ---------------------------------------------------------------------------------------------------

    def _lease(self, loop: Loop) -> Lease | None:
        with self._lock:
            lease = self._leases.get(loop.leased)
        if lease is None:
            lease = self.desk.ledger.acquire(loop.leased, self.holder)
            if lease is not None:
                with self._lock:
                    self._leases[loop.leased] = lease
        return lease

    def _waits(self, loop: Loop, waits: bool) -> None:
        """Said once: after a kill -9 nothing seems to happen until the old process's lease has run out."""
        if waits and not loop.waits:
            most = f"{LEASE_TTL.total_seconds():.0f} s"
            log.info("lease.waits", loop=loop.name, detail=f"another service drives it; if that died, for {most} more")
        elif loop.waits and not waits:
            log.info("lease.ours", loop=loop.name)
        loop.waits = waits

    def _forget(self, loop: Loop) -> None:
        with self._lock:
            self._leases.pop(loop.leased, None)

    def _renew(self) -> None:
        while not self.stopping.wait(RENEW_EVERY):
            with self._lock:
                held = list(self._leases.values())
            for lease in held:
                try:
                    renewed = self.desk.ledger.renew(lease)
                except LeaseLost:
                    with self._lock:
                        self._leases.pop(lease.name, None)
                    continue
                except Unavailable as error:  # whether it is still ours, the next transaction finds out
                    log.info("lease.not_renewed", lease=lease.name, why=str(error)[:200])
                    continue
                with self._lock:
                    if lease.name in self._leases:
                        self._leases[lease.name] = renewed
