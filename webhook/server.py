"""`serve(app, host, port)`: the app behind a threaded WSGI server, in a thread of this process.

In this process, because a delivery is applied by the same loops that look at sheet and shops; in threads, because what
a delivery waits for is the ledger. TLS and the open internet are the business of the proxy in front (docs/webhooks.md).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog
from cheroot.wsgi import Server

from sheets_sync.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

THREADS = 32
TIMEOUT = 10
"""Seconds that a connection may keep a thread waiting for its next bytes."""

BACKLOG = 128
"""Connections that may wait to be accepted. Beyond it a SYN is dropped and comes again after a second: cheroot's own 5
makes a burst of eight deliveries take that long."""

log = structlog.get_logger(__name__)


class _Server(Server):
    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """To our log; cheroot would write to stderr, where progress bars are."""
        log.log(level, "web server", said=msg, exc_info=traceback)


class Running:
    """A server that answers at `url` until it is closed. Also a context manager."""

    def __init__(self, server: _Server, host: str) -> None:
        self._server = server
        port = server.bind_addr[1]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._thread = threading.Thread(target=server.serve, name="web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish what is being answered, a few seconds at most, and stop. May be called twice."""
        self._server.stop()
        self._thread.join(timeout=TIMEOUT)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(app: WSGIApplication, host: str = "127.0.0.1", port: int = 0, *, threads: int = THREADS) -> Running:
    """Listen on `host`:`port` (0: a free one) and answer from a pool of `threads`.

    The port is open when this returns. Raises ConfigError where it cannot be had.
    """
    server = _Server(
        (host, port), app, numthreads=threads, timeout=TIMEOUT, shutdown_timeout=5, request_queue_size=BACKLOG
    )
    server.server_name = "sheets-sync"
    server.expiration_interval = 0.1  # seconds; also how long a stop waits for the accepting loop
    try:
        server.prepare()
    except OSError as error:
        raise ConfigError(
            [f"[web] cannot listen on {host} port {port}: {error}. Stop what listens there, or give another port"]
        ) from None
    return Running(server, host)
