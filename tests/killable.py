"""Lives of the service that end by SIGKILL at a point of one's choice: `Nursery.live(life)`.

A life is a process of its own: it opens the ledger, builds the adapters and the workbook anew, and works until nothing
is left to do. On its way it passes *points*: before and after each write (a call that changes something, a commit of a
transaction that wrote), and at each call that reads. A death leaves nothing but what is durable, and nothing durable
changes from one write to the next: all deaths in between are one and the same. So it is enough to die just before each
write. It is done with SIGKILL: no `finally` runs, nothing is rolled back, and no connection is closed by us.

Processes are forked from one that has imported everything and has no threads (`python -m tests.killable`), so that a
life costs what it does and not what it imports.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect

from sheets_sync import onboarding
from sheets_sync.channels import RawRequest
from sheets_sync.channels.registry import build_all
from sheets_sync.config import Settings
from sheets_sync.desk import Desk
from sheets_sync.ledger import Ledger
from sheets_sync.model import StoredDelivery
from sheets_sync.order_book import apply_delivery
from sheets_sync.service import Service
from sheets_sync.sheet.client import SheetAccess
from sheets_sync.sheet.workbook import Workbook, connect
from webhook import create_app

DEADLINE = 60
"""Seconds after which a life that hangs is ended, and told."""

ROUNDS = 30
READS = ("SELECT", "BEGIN", "PRAGMA", "SHOW")


class Work(Enum):
    """What a life does."""

    SERVE = "what `run` does, pass after pass, until nothing is left"
    IMPORT = "what a person does at first: init and import; then SERVE"
    START = "the command that begins; then SERVE"


@dataclass(frozen=True)
class Life:
    """One start of the program. `log` gets a line a point; `deliveries` come in before the first pass.

    `loops` are the names of those that it runs; none: all of them. It dies just before write number `dies_at`, counted
    from 1, or at the first point whose name contains that text. Its clock is `ahead` of the machine's.
    """

    settings: Settings
    log: Path
    work: Work = Work.SERVE
    loops: tuple[str, ...] = ()
    deliveries: Sequence[tuple[str, RawRequest]] = ()
    dies_at: int | str | None = None
    ahead: timedelta = timedelta(0)

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass(frozen=True)
class Death:
    """How a life ended: the points that it passed, and the error it died of where it was not killed."""

    points: tuple[str, ...]
    killed: bool
    answered: frozenset[int]  # the deliveries that were answered 200: nobody sends those again
    error: str = ""


# one life -------------------------------------------------------------------------------------------------------


class Points:
    """Writes the points of this process to a file, and kills the process at one of them."""

    def __init__(self, log: Path, dies_at: int | str | None) -> None:
        self._file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._dies_at, self._writes = dies_at, 0

    def passed(self, what: str) -> None:
        self.note(what)
        self._writes += what.startswith("before")
        if self._writes == self._dies_at or (isinstance(self._dies_at, str) and self._dies_at in what):
            os.kill(os.getpid(), signal.SIGKILL)

    def note(self, what: str) -> None:
        os.write(self._file, f"{what}\n".encode())

    def watch(self) -> None:
        """From here on every call and every commit of this process is a point."""
        self._watch_calls()
        self._watch_commits()

    def _watch_calls(self) -> None:
        send = requests.adapters.HTTPAdapter.send

        def watched(adapter: Any, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
            name = f"{request.method} {request.path_url.split('?')[0]}"
            if not _writes(request):
                self.passed(f"at {name}")
                return send(adapter, request, *args, **kwargs)
            self.passed(f"before {name}")
            response = send(adapter, request, *args, **kwargs)
            self.passed(f"after {name}")
            return response

        requests.adapters.HTTPAdapter.send = watched  # type: ignore[method-assign]

    def _watch_commits(self) -> None:
        commit, wrote = DefaultDialect.do_commit, [False]

        def executed(connection: Any, cursor: Any, statement: str, values: Any, context: Any, many: bool) -> None:
            wrote[0] = wrote[0] or not statement.lstrip().upper().startswith(READS)

        def watched(dialect: DefaultDialect, connection: Any) -> None:
            if not wrote[0]:
                return commit(dialect, connection)
            wrote[0] = False
            self.passed("before commit")
            commit(dialect, connection)
            self.passed("after commit")

        sa.event.listen(Engine, "after_cursor_execute", executed)
        DefaultDialect.do_commit = watched  # type: ignore[method-assign]


def _writes(request: requests.PreparedRequest) -> bool:
    body = request.body or b""
    text = body if isinstance(body, bytes) else str(body).encode()
    return request.method != "GET" and not (b'"query"' in text and b"mutation" not in text)


def live(life: Life) -> None:
    """One start of the program, from nothing in memory to nothing left to do."""
    points = Points(life.log, life.dies_at)
    points.watch()
    settings = life.settings
    ledger = Ledger.open(settings.ledger.url.get_secret_value(), clock=life.clock)
    desk = Desk(ledger, build_all(settings.channels, clock=life.clock), settings, life.clock)
    address = SheetAccess(settings.sheet.base_url, settings.sheet.spreadsheet_id)
    if life.work is Work.IMPORT:
        onboarding.set_up(desk, connect(address, clock=life.clock))
        onboarding.import_catalogues(desk)
    elif life.work is Work.START:
        onboarding.start(desk)
    if life.deliveries:
        _receive(desk, life.deliveries, points)
    _serve(desk, lambda: connect(address, clock=life.clock), life.loops)
    ledger.close()


def _receive(desk: Desk, deliveries: Sequence[tuple[str, RawRequest]], points: Points) -> None:
    """The vendors' deliveries, through the web side, as they arrive while nothing else goes on."""

    def apply(name: str, delivery: StoredDelivery) -> None:
        apply_delivery(desk, desk.channels[name], delivery, fetch=False)

    app = create_app(desk.ledger, desk.channels, apply=apply, wake=desk.wake, clock=desk.clock).test_client()
    for number, (name, request) in enumerate(deliveries):
        answer = app.post(f"/webhooks/{name}", data=request.body, headers=dict(request.headers))
        assert answer.status_code == 200, answer.text
        points.note(f"answered {number}")


def _serve(desk: Desk, open_workbook: Callable[[], Workbook], names: Sequence[str]) -> None:
    """The service's own loops, one after the other instead of a thread each, until a round finds nothing."""
    service = Service(desk, open_workbook)
    order = [service.loops[name] for name in (names or service.loops)]
    if service.loops["sheet"] in order:
        order.append(service.loops["sheet"])  # a new row opens where two looks find it the same
    for _ in range(ROUNDS):
        before = _last_event(desk)
        waits = [service._once(loop) == loop.every for loop in order]
        if all(waits) and _last_event(desk) == before:
            return
    troubles = {name: loop.trouble for name, loop in service.loops.items()}
    raise AssertionError(f"not quiet after {ROUNDS} rounds: {troubles}")


def _last_event(desk: Desk) -> int:
    with desk.ledger.read() as view:
        return view.last_event_id()


# many lives -----------------------------------------------------------------------------------------------------


class Nursery:
    """The process that lives are forked from."""

    def __init__(self) -> None:
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # threads do not survive a fork
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.killable"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
            env=environment,
        )

    def live(self, life: Life) -> Death:
        """Let a process live until it ends or dies."""
        assert self._process.stdin is not None and self._process.stdout is not None
        pickle.dump(life, self._process.stdin)
        self._process.stdin.flush()
        status, error = pickle.load(self._process.stdout)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if os.WIFSIGNALED(status) and not killed:
            error = f"ended by signal {os.WTERMSIG(status)}; it hung, if that is {signal.SIGALRM.value}"
        told = life.log.read_text().splitlines() if life.log.exists() else []
        answered = frozenset(int(line.split()[1]) for line in told if line.startswith("answered"))
        return Death(tuple(line for line in told if not line.startswith("answered")), killed, answered, error)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=DEADLINE)
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _forked(life: Life) -> tuple[int, str]:
    """How a process with this life ended: its wait status, and the traceback of what it raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(DEADLINE)
        os.close(reading)
        status = 0
        try:
            live(life)
        except BaseException:  # noqa: BLE001 - whatever it is, the test must see it, and this process must end here
            os.write(writing, traceback.format_exc().encode()[-60_000:])
            status = 1
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        error = told.read().decode(errors="replace")
    return os.waitpid(child, 0)[1], error


def _warm_up() -> None:
    """What each life would load and reckon anew, though it is the same for all: imports, and what SQLAlchemy keeps."""
    for name in ("sheets_sync.channels.shopify", "sheets_sync.channels.woocommerce", "flask.testing", "psycopg"):
        import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db")
        assert not ledger.verify()
        ledger.close()
    gc.collect()
    gc.freeze()  # a collection in a life would touch, and so copy, all memory that it shares with us


def main() -> None:
    """Fork a life for each one that stdin brings, one at a time, and tell on stdout how it ended."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    _warm_up()
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            life = pickle.load(orders)
        except EOFError:
            return
        pickle.dump(_forked(life), answers)
        answers.flush()


if __name__ == "__main__":
    from tests import killable  # by its name: what is unpickled here must be of the very same classes

    killable.main()
