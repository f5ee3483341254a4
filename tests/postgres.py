"""A PostgreSQL for the tests: the server that SHEETS_SYNC_TEST_POSTGRES names, or a throw-away one, started once.

`postgres_url` is an empty database of its own for each test. The throw-away server listens on a unix socket only, so it
meets no other; it does not wait for the disk, since nobody reads it after a power loss.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

SETTINGS = "-c listen_addresses='' -c fsync=off -c synchronous_commit=off -c max_connections=200"


def _tool(name: str) -> Path | None:
    """A server tool on PATH, or where Debian keeps it; the newest version."""
    if found := shutil.which(name):
        return Path(found)
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    return max(versions, key=lambda p: int(p.parent.parent.name), default=None)


def _account() -> str | None:
    """PostgreSQL refuses to run as root: whom to become then."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


def _run(account: str | None, *command: str | Path) -> None:
    group = None if account is None else pwd.getpwnam(account).pw_gid
    done = subprocess.run(
        [str(part) for part in command],
        user=account,
        group=group,
        extra_groups=None if account is None else [],
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stdout}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a server on which databases may be made."""
    if given := os.environ.get("SHEETS_SYNC_TEST_POSTGRES"):
        yield given
        return
    initdb, pg_ctl, account = _tool("initdb"), _tool("pg_ctl"), _account()
    if initdb is None or pg_ctl is None:
        pytest.skip("no PostgreSQL: initdb and pg_ctl are neither on PATH nor under /usr/lib/postgresql")
    if os.geteuid() == 0 and account is None:
        pytest.skip("no PostgreSQL: it does not run as root, and there is no user postgres or nobody")
    home = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a short path: a socket's may have 107 bytes
    try:
        if account is not None:
            shutil.chown(home, account)
        data = home / "data"
        _run(account, initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"{SETTINGS} -c unix_socket_directories={home}"
        # -l: a server that kept our pipe open would keep `_run` waiting
        _run(account, pg_ctl, "-D", data, "-w", "-l", home / "log", "-o", options, "start")
        try:
            yield f"postgresql://postgres@/postgres?host={home}"
        finally:
            _run(account, pg_ctl, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty database."""
    name = f"sheets_sync_test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} STRATEGY FILE_COPY").format(sql.Identifier(name)))
    url = sa.make_url(postgres_server).set(database=name)
    yield url.render_as_string(hide_password=False)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
