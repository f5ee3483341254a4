"""The local sheet as a running server: `serve` for code, `run` for the command line.

    with serve(Path("workbook.jsonl")) as sheet:
        gspread…  sheet.base_url

It listens on 127.0.0.1 alone unless told otherwise, and refuses requests whose Host or Origin is another: a web page
elsewhere must not be able to edit the workbook.
"""

from __future__ import annotations

import errno
import io
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from cheroot import wsgi
from flask import Flask

from sheets_sync.sandbox.sheet import api, page
from sheets_sync.sandbox.sheet.grid import Book
from sheets_sync.sandbox.sheet.notify import Notifier
from sheets_sync.sandbox.sheet.quotas import Meter, Quotas
from sheets_sync.sandbox.sheet.store import DEFAULT_OWNER, Store
from sheets_sync.sandbox.sheet.unknowns import DEFAULT, Unknowns
from sheets_sync.sandbox.stopping import stop_at_once

THREADS = 40  # more than the page's streams may hold, see page.STREAMS
LARGEST_BODY = 64 * 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A request to one of the APIs, as a middleware sees it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a middleware gives back."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Dropped:
    """The type of DROPPED."""


DROPPED: Final = _Dropped()  # instead of an Answer: the connection is cut without one


class Proceed(Protocol):
    """Applies the request and gives its answer. A read can be answered from an older state of its workbook."""

    def __call__(self, stale: Book | None = None) -> Answer: ...


Middleware = Callable[[Call, Proceed], Answer | _Dropped]


class Doorman:
    """WSGI: turns strangers away, and lets a middleware stand between client and API.

    A middleware may call `proceed` never, once, twice, or later from another thread: each call applies the request.
    """

    def __init__(self, app: Flask, hosts: frozenset[str], middleware: Middleware | None) -> None:
        self.app, self.hosts, self.middleware = app, hosts, middleware

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not self._welcome(environ):
            start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"This local sheet answers only to its own address.\n"]
        if self.middleware is None or not environ["PATH_INFO"].startswith(("/v4/", "/drive/", "/token")):
            return self.app(environ, start_response)
        call = _call(environ)
        answer = self.middleware(call, lambda stale=None: _proceed(self.app, environ, call, stale))
        if isinstance(answer, _Dropped):
            raise ConnectionResetError(errno.ECONNRESET, "dropped")  # cheroot closes the connection without a word
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", list(answer.headers.items()))
        return [answer.body]

    def _welcome(self, environ: dict[str, Any]) -> bool:
        host = _name(f"//{environ.get('HTTP_HOST', '')}")
        origin = environ.get("HTTP_ORIGIN")
        if host not in self.hosts:
            return False
        return origin is None or urlsplit(origin).netloc == environ.get("HTTP_HOST")


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _call(environ: dict[str, Any]) -> Call:
    length = min(int(environ.get("CONTENT_LENGTH") or 0), LARGEST_BODY)
    body = environ["wsgi.input"].read() if environ.get("HTTP_TRANSFER_ENCODING") else environ["wsgi.input"].read(length)
    headers = {k[5:].replace("_", "-").title(): v for k, v in environ.items() if k.startswith("HTTP_")}
    return Call(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""), headers, body)


def _proceed(app: Flask, environ: dict[str, Any], call: Call, stale: Book | None) -> Answer:
    answered: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        answered[:] = [int(status.split()[0]), dict(headers)]
        return answered.append

    fresh = {**environ, "wsgi.input": io.BytesIO(call.body), "CONTENT_LENGTH": str(len(call.body)), api.STALE: stale}
    fresh.pop("HTTP_TRANSFER_ENCODING", None)
    body = b"".join(app(fresh, start))
    return Answer(answered[0], answered[1], body)


class Running:
    """A server that is up. A context manager: leaving it closes the server."""

    def __init__(self, server: wsgi.Server, store: Store, notifier: Notifier | None, host: str) -> None:
        self.store = store
        self._server, self._notifier = server, notifier
        self._thread = threading.Thread(target=server.serve, name="local-sheet", daemon=True)
        self._thread.start()
        self.port: int = server.bind_addr[1]
        self.base_url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def page_url(self, spreadsheet_id: str) -> str:
        """The address at which a person sees and edits a workbook."""
        return f"{self.base_url}/spreadsheets/{spreadsheet_id}"

    def close(self) -> None:
        """Stop serving; all that was acknowledged is in the file."""
        if self._notifier:
            self._notifier.close()
        self.store.close()
        stop_at_once(self._server)
        self._thread.join(10)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def create_app(store: Store, quotas: Quotas | None = None) -> Flask:
    """The Flask app over a store: both APIs and the page."""
    app = Flask(__name__, static_folder="static", static_url_path="/static")
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.register_blueprint(api.blueprint(store, Meter(quotas) if quotas else None))
    app.register_blueprint(page.blueprint(store))
    return app


def serve(
    data: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    notify_url: str | None = None,
    notify_secret: str | None = None,
    middleware: Middleware | None = None,
    owner: str = DEFAULT_OWNER,
    hosts: Iterable[str] = (),
    quotas: Quotas | None = None,
    unknowns: Unknowns = DEFAULT,
) -> Running:
    """Start a local sheet server in threads of its own.

    `data`: the file that keeps the workbooks; None keeps them in memory. Port 0 takes a free one. `notify_url` is told
    of every edit made at the page, with `notify_secret` in X-Sheets-Sync-Token. `hosts`: further names under which it
    may be reached. `quotas`: Google's limits a minute, off unless given. `unknowns`: how it behaves where nobody knows
    what Google does. Raises DataFileError where the file can not be used, OSError where the port is taken.
    """
    store = Store(data, owner, unknowns)
    try:
        notifier = Notifier(store, notify_url, notify_secret or "") if notify_url else None
        allowed = frozenset({"127.0.0.1", "localhost", "::1", host, *hosts})
        server = wsgi.Server(
            (host, port),
            Doorman(create_app(store, quotas), allowed, middleware),
            numthreads=THREADS,
            request_queue_size=128,
        )
        server.max_request_body_size = LARGEST_BODY
        server.shutdown_timeout = 2
        server.prepare()
    except BaseException:  # whatever ends it, Ctrl-C too: the file is let go, and it goes on up
        store.close()
        raise
    return Running(server, store, notifier, host)


def run(
    data: Path | None,
    port: int,
    host: str = "127.0.0.1",
    notify_url: str | None = None,
    notify_secret: str | None = None,
    ready: Callable[[Running], object] | None = None,
    stop: threading.Event | None = None,
    quotas: Quotas | None = None,
) -> None:
    """Serve until `stop` is set or Ctrl-C; `ready` is told the running server as soon as it answers."""
    stop = stop or threading.Event()
    with serve(data, host, port, notify_url, notify_secret, quotas=quotas) as running:
        if ready:
            ready(running)
        try:
            while not stop.wait(3600):
                pass
        except KeyboardInterrupt:
            return
