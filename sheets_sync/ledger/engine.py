"""One database behind a URL: connections, transactions, the schema. All that SQLite and PostgreSQL do differently.

One transaction writes at a time, on both. SQLite knows no other way; on PostgreSQL every writing transaction first
takes one advisory lock. So event ids have no gaps and become visible in their order (a reader that has seen event 7
never learns of a 6 later), nothing that a decision has read changes before it is recorded, and there are no deadlocks.
It costs little: transactions are short, and none is open during a call to the outside.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import ArgumentError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from sheets_sync.errors import ConfigError, Unavailable
from sheets_sync.ledger.schema import HEAD, VERSION_TABLE

BUSY_SECONDS = 30
"""How long a transaction waits for the one that is writing."""

IDLE_SECONDS = 5
"""How long PostgreSQL waits for the next word of a transaction: a process stopped within one holds up all others."""

MIGRATIONS = Path(__file__).with_name("migrations")

_FORMS = 'write "sqlite:///path/to/ledger.db" or "postgresql://user:password@host/database"'
_LEFT_IDLE = "25P03"  # PostgreSQL ended a transaction that nothing came from for IDLE_SECONDS
_WRITERS_LOCK = 0x5EE7_5135  # any number, the same for every process of ours
_NOT_YET = "55P03"  # PostgreSQL: the lock was not to be had within lock_timeout
_TRY = sa.select(sa.func.pg_try_advisory_xact_lock(_WRITERS_LOCK))
_QUEUE_UP = sa.select(sa.func.pg_advisory_xact_lock(_WRITERS_LOCK))
_END_STOPPED = sa.text(
    "SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.granted AND (l.classid, l.objid, l.objsubid) = (0, :lock, 1) "
    "AND a.datname = current_database() AND a.wait_event = 'ClientRead' "
    "AND a.state_change < clock_timestamp() - :idle * interval '1 second'"
)
_migrating = threading.Lock()  # Alembic keeps its context in a module


class Database:
    """The engine and its two kinds of transaction."""

    def __init__(self, url: str) -> None:
        self.url = _parsed(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite(self.url) if self.is_sqlite else _postgresql(self.url)
        # SQLite's waiting writers poll; those of one process queue here instead
        self._queue = threading.Lock() if self.is_sqlite else None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The only writer until it ends. Raises Unavailable when others write for too long or nobody answers."""
        with self._translated(), self._queued(), self.engine.connect() as connection:
            with connection.begin():
                if self.is_sqlite:
                    _begin(connection, "BEGIN IMMEDIATE")
                else:
                    _queue_up(connection)
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One snapshot: what others commit meanwhile is not seen."""
        with self._translated(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                if self.is_sqlite:
                    _begin(connection, "BEGIN")
                yield connection

    def migrate(self) -> None:
        """This version's schema, made or brought up to date in one transaction; safe when several start at once."""
        with self.reading() as connection:
            if _version(connection) == HEAD:
                return
        # loaded where there is something to migrate: it takes as long as the ledger. Not within the transaction, whose
        # patience it would try
        from alembic import command
        from alembic.config import Config

        with _migrating, self.writing() as connection:
            found = _version(connection)
            if found == HEAD:
                return
            if found is not None and not list(MIGRATIONS.glob(f"versions/{found}_*.py")):
                raise ConfigError(
                    [f"ledger {self.name}: made by a newer sheets-sync (schema {found}); update sheets-sync"]
                )
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, HEAD)

    @property
    def name(self) -> str:
        """The URL as it may be shown."""
        return self.url.render_as_string(hide_password=True)

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _queued(self) -> Iterator[None]:
        if self._queue is None:
            yield
            return
        if not self._queue.acquire(timeout=BUSY_SECONDS):
            raise _busy()
        try:
            yield
        finally:
            self._queue.release()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """A database that is busy or away: nothing was recorded, or (answer lost at the very end) all of it was.

        Everything recorded has a key, so making the same transaction again is right in both cases.
        """
        driver = self.engine.dialect.loaded_dbapi
        try:
            yield
        except (
            OperationalError,
            InterfaceError,
            InternalError,
            PoolTimeout,
            driver.OperationalError,
            driver.InterfaceError,
            driver.InternalError,
        ) as problem:
            if (idle := _left_idle(problem)) is not None:
                raise Unavailable(f"the ledger {self.name} waited too long for us: {idle}") from problem
            if isinstance(problem, (InternalError, driver.InternalError)):
                raise
            said = getattr(problem, "orig", None) or problem
            raise Unavailable(f"the ledger {self.name} is busy or away: {said}") from problem


def _busy() -> Unavailable:
    return Unavailable(f"the ledger is busy: another transaction has been writing for {BUSY_SECONDS} s")


def _left_idle(problem: BaseException | None) -> BaseException | None:
    """That the transaction was ended by PostgreSQL, for which there may have been nothing left to roll back."""
    while problem is not None and getattr(problem, "sqlstate", "") != _LEFT_IDLE:
        problem = problem.__context__
    return problem


def _parsed(url: str) -> URL:
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError) as problem:
        raise ConfigError([f"ledger url {url!r} cannot be read; {_FORMS}"]) from problem
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "sqlite":
        raise ConfigError([f"ledger url: {parsed.drivername!r} is no database that we know; {_FORMS}"])
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigError([f"ledger url {url!r} names no file; {_FORMS}"])
    return parsed


def _version(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))
    return found


# SQLite ---------------------------------------------------------------------------------------------------------


def _sqlite(url: URL) -> Engine:
    file = Path(url.database or "")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_ahead(file)
    except (OSError, sqlite3.Error) as problem:
        raise ConfigError([f"ledger file {file}: {problem}; give a path that can be written"]) from problem
    engine = sa.create_engine(url, pool_size=8, max_overflow=32, connect_args={"timeout": BUSY_SECONDS})
    sa.event.listen(engine, "connect", _prepare)
    return engine


def _begin(connection: Connection, words: str) -> None:
    """Every transaction's first statement, said to the driver itself: it has nothing that SQLAlchemy would add to."""
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute(words)


def _write_ahead(file: Path) -> None:
    """The journal mode stays in the file. SQLite does not wait for others while it changes it, so we do."""
    deadline = time.monotonic() + BUSY_SECONDS
    connection = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
    finally:
        connection.close()


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own; `Database` does
    for pragma in ("foreign_keys = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")


# PostgreSQL -----------------------------------------------------------------------------------------------------


def _queue_up(connection: Connection) -> None:
    """Take the writers' lock. One that was stopped within a statement (psycopg sends many rows without a pause for an
    answer) keeps it for ever: PostgreSQL ends only what is silent *between* two, so we end the other.
    """
    if connection.scalar(_TRY):
        return
    seconds = min(IDLE_SECONDS, BUSY_SECONDS)
    patience = sa.text(f"SET LOCAL lock_timeout = '{round(seconds * 1000)}ms'")
    for _ in range(round(BUSY_SECONDS / seconds)):
        connection.execute(_END_STOPPED, {"lock": _WRITERS_LOCK, "idle": 2 * IDLE_SECONDS})
        try:
            with connection.begin_nested():
                connection.execute(patience)
                connection.execute(_QUEUE_UP)
            return
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", "") != _NOT_YET:
                raise
    raise _busy()


def _postgresql(url: URL) -> Engine:
    given = url.query.get("options", "")
    options = f"-c lock_timeout={BUSY_SECONDS}s -c idle_in_transaction_session_timeout={IDLE_SECONDS}s "
    options += given if isinstance(given, str) else " ".join(given)
    return sa.create_engine(
        url,
        pool_size=8,
        max_overflow=32,
        pool_pre_ping=True,  # a server that was started again is not a failed pass
        connect_args={"connect_timeout": 10, "options": options},
    )
