"""The ledger as its users hold it: transactions, leases, proof."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sheets_sync.errors import LeaseLost
from sheets_sync.ledger import codec, prepared
from sheets_sync.ledger.clock import Steady
from sheets_sync.ledger.engine import Database
from sheets_sync.ledger.schema import deliveries, leases, metadata, state
from sheets_sync.ledger.tx import Tx, upserting
from sheets_sync.ledger.verify import problems
from sheets_sync.ledger.view import ID_NAME, View
from sheets_sync.model import Lease

LEASE_TTL = timedelta(seconds=30)
"""How long a lease is good for without being renewed."""


_LEASE = sa.select(leases).where(leases.c.name == sa.bindparam("name")).with_for_update()
_STORE_LEASE = sa.update(leases).where(leases.c.name == sa.bindparam("named"))


def utcnow() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """One ledger in one database; used by several threads, and several processes, at once.

    `clock` is ours, but never behind what this ledger has recorded: what we see ourselves takes its time from it.
    """

    def __init__(self, database: Database, id: str, clock: Steady) -> None:
        self.id = id
        self.clock = clock
        self._database = database

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], datetime] = utcnow) -> Ledger:
        """The ledger at a URL, made or brought up to date if need be.

        `sqlite:///path/ledger.db` (folders are made) or `postgresql://…`. Raises ConfigError for a URL that cannot be
        used, Unavailable where the database does not answer.
        """
        database = Database(url)
        database.migrate()
        return cls(database, _identity(database), Steady(clock, _newest(database)))

    @contextmanager
    def begin(self, lease: Lease | None = None) -> Iterator[Tx]:
        """One write transaction: committed at the end, undone by any exception.

        With a lease, only while it is ours: raises LeaseLost otherwise, before anything is read. Raises Unavailable
        when the database is busy or away; the same transaction may then be made again.
        """
        with self._database.writing() as connection:
            if lease is not None:
                _hold(connection, lease, self.clock())
            yield Tx(connection, self.clock)

    @contextmanager
    def read(self) -> Iterator[View]:
        """One consistent snapshot."""
        with self._database.reading() as connection:
            yield View(connection)

    # leases -----------------------------------------------------------------------------------------------------

    def acquire(self, name: str, holder: str, ttl: timedelta = LEASE_TTL) -> Lease | None:
        """The lease, or None while another holder's is alive.

        The token grows by one whenever the lease changes hands, so that a holder who slept is known by it.
        """
        now = self.clock()
        with self._database.writing() as connection:
            row = _lease_row(connection, name)
            if row is None:
                lease = Lease(name, holder, 1, now + ttl)
                connection.execute(sa.insert(leases).values(_lease_values(lease)))
                return lease
            if row.holder != holder and row.until > now:
                return None
            if row.holder != holder and (newest := View(connection).newest_at()) is not None:
                self.clock.not_before(newest)
            lease = Lease(name, holder, row.token + (row.holder != holder), now + ttl)
            _store_lease(connection, lease)
            return lease

    def renew(self, lease: Lease, ttl: timedelta = LEASE_TTL) -> Lease:
        """The lease with more time. Raises LeaseLost if somebody else has had it since, or it was released."""
        with self._database.writing() as connection:
            _ours(connection, lease)
            renewed = replace(lease, until=self.clock() + ttl)
            _store_lease(connection, renewed)
        return renewed

    def release(self, lease: Lease) -> None:
        """Give it back at once; nothing happens if it is not ours any more."""
        with self._database.writing() as connection:
            connection.execute(
                sa.update(leases)
                .where(leases.c.name == lease.name, leases.c.token == lease.token, leases.c.holder == lease.holder)
                .values(holder="", until=self.clock())
            )

    # ------------------------------------------------------------------------------------------------------------

    def verify(self) -> list[str]:
        """Every problem found, in words; [] means that the balances are proven by the events alone."""
        with self._database.reading() as connection:
            return problems(connection)

    def copy_to(self, file: Path) -> Ledger:
        """A copy of one snapshot in an SQLite file that is not there yet, to try things on. It has no leases, and of
        the deliveries those that are not applied yet.
        """
        copy = Database(f"sqlite:///{file}")
        copy.migrate()
        with self._database.reading() as source, copy.writing() as target:
            for table in metadata.sorted_tables:
                if table is not leases:
                    _copy(table, source, target)
        return Ledger(copy, self.id, self.clock)

    def close(self) -> None:
        self._database.close()


def _copy(table: sa.Table, source: Connection, target: Connection) -> None:
    query = sa.select(table)
    if table is deliveries:
        query = query.where(deliveries.c.state != "applied")
    for some in source.execute(query, execution_options={"yield_per": 1_000}).mappings().partitions():
        target.execute(sa.insert(table), [dict(row) for row in some])


def _newest(database: Database) -> datetime | None:
    with database.reading() as connection:
        return View(connection).newest_at()


def _identity(database: Database) -> str:
    """The ledger's id, made by the first who asks."""
    with database.reading() as connection:
        known = View(connection).get(ID_NAME)
    if known is None:
        with database.writing() as connection:
            known = View(connection).get(ID_NAME) or f"led-{secrets.token_hex(8)}"
            row = {"name": ID_NAME, "value": codec.dump_json(known)}
            connection.execute(upserting(state, connection.dialect.name), [row])
    return str(known)


def _hold(connection: Connection, lease: Lease, now: datetime) -> None:
    row = _ours(connection, lease)
    if row.until <= now:
        raise LeaseLost(f"the lease of {lease.name} ran out at {row.until.isoformat()}; nothing was recorded")


def _ours(connection: Connection, lease: Lease) -> sa.Row[Any]:
    row = _lease_row(connection, lease.name)
    if row is None or (row.holder, row.token) != (lease.holder, lease.token):
        now = f"{row.holder or 'nobody'} with token {row.token}" if row else "nobody"
        raise LeaseLost(f"the lease of {lease.name} is not {lease.holder}'s any more: it is held by {now}")
    return row


def _lease_row(connection: Connection, name: str) -> sa.Row[Any] | None:
    row: sa.Row[Any] | None = next(prepared.rows(connection, _LEASE, {"name": name}), None)
    return row


def _lease_values(lease: Lease) -> dict[str, Any]:
    return {"name": lease.name, "holder": lease.holder, "token": lease.token, "until": lease.until}


def _store_lease(connection: Connection, lease: Lease) -> None:
    connection.execute(_STORE_LEASE, {"named": lease.name, **_lease_values(lease)})
