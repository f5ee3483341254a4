"""Processes that run the real service side by side: `Pair.start(settings)` forks one, with a clock that tests turn.

They are forked from a process that has imported everything and has no threads (`python -m tests.two_services`), so that
a start costs what it does and not what it imports. A worker's clock runs as the machine's, ahead by what its own file
says: so a test waits out no lease. Workers are killed, stopped and continued by their process id.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from sheets_sync.channels.registry import build_all
from sheets_sync.config import Settings
from sheets_sync.desk import Desk
from sheets_sync.ledger import Ledger
from sheets_sync.service import Service
from sheets_sync.sheet.client import SheetAccess
from sheets_sync.sheet.workbook import connect

EVERY = 0.1
"""Seconds between two looks: the config allows no less than a second, and a test has less time than a seller."""


@dataclass(frozen=True)
class Worker:
    """One running service, as its test holds it."""

    name: str
    pid: int
    ahead_file: Path
    log: Path

    def ahead(self, seconds: float) -> None:
        """Its clock goes forward."""
        part = self.ahead_file.with_suffix(".part")
        part.write_text(str(seconds))
        part.replace(self.ahead_file)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


@dataclass(frozen=True)
class Order:
    name: str
    settings: Settings
    ahead_file: Path
    log: Path


class Pair:
    """The process that workers are forked from, and the workers that are still there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.workers = folder, list[Worker]()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.two_services"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # threads do not survive a fork
        )

    def start(self, name: str, settings: Settings) -> Worker:
        assert self._process.stdin is not None and self._process.stdout is not None
        ahead, log = self.folder / f"{name}.ahead", self.folder / f"{name}.log"
        ahead.write_text("0")
        pickle.dump(Order(name, settings, ahead, log), self._process.stdin)
        self._process.stdin.flush()
        worker = Worker(name, pickle.load(self._process.stdout), ahead, log)
        self.workers.append(worker)
        return worker

    def end(self) -> None:
        """Every worker of ours that is still there is killed."""
        for worker in self.workers:
            try:
                worker.kill()
            except ProcessLookupError:
                pass
        self.workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.end()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()


# in the other process -------------------------------------------------------------------------------------------


def work(order: Order) -> None:
    """Serve until killed."""

    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(order.ahead_file.read_text() or 0))

    settings = order.settings
    ledger = Ledger.open(settings.ledger.url.get_secret_value(), clock=clock)
    desk = Desk(ledger, build_all(settings.channels, clock=clock), settings, clock)
    access = SheetAccess(settings.sheet.base_url, settings.sheet.spreadsheet_id)
    service = Service(desk, lambda: connect(access, clock=clock), holder=order.name)
    for loop in service.loops.values():
        loop.every = EVERY
    service.start()
    service.wait()


def _forked(order: Order) -> int:
    child = os.fork()
    if child:
        return child
    try:
        with order.log.open("w") as log:
            structlog.configure(logger_factory=structlog.PrintLoggerFactory(log))
            work(order)
    except BaseException:  # noqa: BLE001 - whatever it is, the test must see it, and this process must end here
        order.log.with_suffix(".error").write_text(traceback.format_exc())
    finally:
        os._exit(1)


def main() -> None:
    """Fork a worker for each order that stdin brings, and tell its process id on stdout."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a worker
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    assert threading.active_count() == 1
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            order = pickle.load(orders)
        except EOFError:
            return
        pickle.dump(_forked(order), answers)
        answers.flush()


if __name__ == "__main__":
    from tests import two_services  # by its name: what is unpickled here must be of the very same classes

    two_services.main()
