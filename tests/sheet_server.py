"""A local sheet for tests, gspread pointed at it, and faults that a test injects between client and server.

Fixtures: `local_sheet` (running, in memory, with `faults` between), `faults`, `gspread_client`. And in every test each
answer of any local sheet in this process is held against the discovery document.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import gspread
import pytest
from flask import Flask, Response, request
from google.auth.credentials import AnonymousCredentials
from gspread.http_client import HTTPClient

from sheets_sync.sandbox.sheet import server
from sheets_sync.sandbox.sheet.grid import Book
from sheets_sync.sandbox.sheet.quotas import error_of
from sheets_sync.sandbox.sheet.server import DROPPED, Answer, Call, Proceed, Running, serve
from tests.discovery import answer_problems, request_problems

CHECKED = 2_000_000  # bytes of a body up to which it is held against the discovery document
DEADLINE = 20.0  # seconds that a test waits for what must come
Fault = Callable[[Call, Proceed], Any]
Match = Callable[[Call], bool]


def is_batch_update(call: Call) -> bool:
    return call.path.endswith(":batchUpdate") and "/values" not in call.path


def is_read(call: Call) -> bool:
    return call.method == "GET" and call.path.startswith("/v4/")


def refusal(status: int, name: str, message: str, details: list[Any] | None = None) -> Answer:
    """An error answer of Google's shape."""
    error: dict[str, Any] = {"code": status, "message": message, "status": name}
    body = json.dumps({"error": error | ({"details": details} if details else {})})
    return Answer(status, {"Content-Type": "application/json; charset=UTF-8"}, body.encode())


QUOTA = refusal(429, "RESOURCE_EXHAUSTED", **error_of("Write", 60, per_user=True))
UNAVAILABLE = refusal(503, "UNAVAILABLE", "The service is currently unavailable.")


class Faults:
    """A middleware: the next matching call meets the fault that was ordered for it. Every call is kept in `calls`.

    Every request that is answered well is held against the discovery document; what is wrong is kept in `problems`, and
    the `local_sheet` fixture fails on it.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.problems: list[str] = []
        self._orders: list[tuple[Match, Fault]] = []
        self._lock = threading.Lock()

    def __call__(self, call: Call, proceed: Proceed) -> Any:
        with self._lock:
            self.calls.append(call)
            order = next((o for o in self._orders if o[0](call)), None)
            if order:
                self._orders.remove(order)
        checked = self._checked(call, proceed)
        return order[1](call, checked) if order else checked()

    def _checked(self, call: Call, proceed: Proceed) -> Proceed:
        def run(stale: Book | None = None) -> Answer:
            answer = proceed(stale)
            if answer.status == 200 and len(call.body) < CHECKED and call.path.startswith("/v4/"):
                self.problems += request_problems(call.method, call.path, call.body)
            return answer

        return run

    def order(self, fault: Fault, match: Match = is_batch_update) -> None:
        """The next matching call meets this fault."""
        with self._lock:
            self._orders.append((match, fault))

    def refuse(self, answer: Answer = UNAVAILABLE, match: Match = is_batch_update) -> None:
        """Answered with an error; not applied."""
        self.order(lambda call, proceed: answer, match)

    def lose_answer(self, answer: Answer | None = None, match: Match = is_batch_update) -> None:
        """Applied; then the connection drops, or that answer is given."""

        def fault(call: Call, proceed: Proceed) -> Any:
            proceed()
            return answer or DROPPED

        self.order(fault, match)

    def drop(self, match: Match = is_batch_update) -> None:
        """The connection drops; not applied."""
        self.order(lambda call, proceed: DROPPED, match)

    def double(self, match: Match = is_batch_update) -> Future[tuple[Answer, Answer]]:
        """Applied twice; the client gets the first answer, the test both."""
        both: Future[tuple[Answer, Answer]] = Future()

        def fault(call: Call, proceed: Proceed) -> Answer:
            first = proceed()
            both.set_result((first, proceed()))
            return first

        self.order(fault, match)
        return both

    def late(self, match: Match = is_batch_update) -> Future[Proceed]:
        """The client sees the connection drop; the test applies the request when it likes, by calling the result."""
        held: Future[Proceed] = Future()

        def fault(call: Call, proceed: Proceed) -> Any:
            held.set_result(proceed)
            return DROPPED

        self.order(fault, match)
        return held

    def stale(self, book: Book, match: Match = is_read) -> None:
        """A read is answered from that older state of its workbook (`store.book(key)`, kept from before a write)."""
        self.order(lambda call, proceed: proceed(book), match)

    def slow(self, until: threading.Event, match: Match = is_batch_update) -> None:
        """Nothing happens until the event is set (or the deadline passes); then it is applied and answered."""

        def fault(call: Call, proceed: Proceed) -> Answer:
            until.wait(DEADLINE)
            return proceed()

        self.order(fault, match)

    def just_before(self, act: Callable[[], object], match: Match = is_batch_update) -> None:
        """Something happens (someone types) between the last request and this one."""

        def fault(call: Call, proceed: Proceed) -> Answer:
            act()
            return proceed()

        self.order(fault, match)


def client_class(base_url: str) -> type[HTTPClient]:
    """gspread's own HTTP client, with another host."""
    base = urlsplit(base_url)

    class LocalClient(HTTPClient):
        def request(self, method: str, endpoint: str, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            moved = urlsplit(endpoint)._replace(scheme=base.scheme, netloc=base.netloc)
            return super().request(method, urlunsplit(moved), *args, **kwargs)

    return LocalClient


def gspread_for(base_url: str) -> gspread.Client:
    client = gspread.Client(auth=AnonymousCredentials(), http_client=client_class(base_url))
    client.set_timeout((3.05, DEADLINE))
    return client


_wrong: list[str] = []  # what was wrong with answers in the test that runs


@pytest.fixture(scope="session", autouse=True)
def _answers_are_watched() -> Iterator[None]:
    """Puts a check behind every local sheet that is started from here on."""

    def watched(*args: Any) -> Flask:
        app = create(*args)
        app.after_request(_watched)
        return app

    create = server.create_app
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "create_app", watched)
        yield


def _watched(response: Response) -> Response:
    if request.path.startswith(("/v4/", "/drive/")) and not response.is_streamed:
        body = response.get_data()
        if len(body) < CHECKED:
            _wrong.extend(answer_problems(request.method, request.path, response.status_code, body))
    return response


@pytest.fixture(autouse=True)
def _answers_are_googles() -> Iterator[None]:
    _wrong.clear()
    yield
    assert not _wrong, "\n".join(_wrong)


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def local_sheet(faults: Faults) -> Iterator[Running]:
    with serve(middleware=faults) as running:
        yield running
    assert not faults.problems, "\n".join(faults.problems)


@pytest.fixture
def gspread_client(local_sheet: Running) -> gspread.Client:
    return gspread_for(local_sheet.base_url)
