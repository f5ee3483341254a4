"""The page: a person sees and edits a workbook in the browser. A Flask blueprint.

The page posts edits and follows a stream of events with ids `<epoch>:<revision>`; whatever changed, it fetches the rows
it shows again. Streams are bounded and end by themselves: however many pages are open, threads are left to answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import orjson
from flask import Blueprint, Response, redirect, render_template, request

from sheets_sync.sandbox.sheet.draft import Refused
from sheets_sync.sandbox.sheet.grid import Json
from sheets_sync.sandbox.sheet.store import Store, Unknown
from sheets_sync.sandbox.sheet.view import book_view

STREAMS = 24  # open event streams at most; the server has more threads than that
STREAM_SECONDS = 60.0  # then the browser opens the next one
HEARTBEAT = 10.0  # seconds between signs of life, by which a closed page is noticed
PERSONS_KINDS = frozenset(
    {"enterValues", "insertDimension", "deleteDimension", "sortRange", "updateDimensionProperties"}
)
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"


def blueprint(store: Store) -> Blueprint:
    """The page's routes over a store."""
    page = Blueprint("page", __name__, template_folder="templates")
    seats = threading.BoundedSemaphore(STREAMS)

    @page.get("/")
    def index() -> str:
        return render_template("index.html", books=store.books())

    @page.get("/spreadsheets/d/<key>/edit")
    def google_address(key: str) -> Any:
        return redirect(f"/spreadsheets/{key}")

    @page.get("/spreadsheets/<key>")
    def workbook(key: str) -> str:
        return render_template("sheet.html", book=store.book(key))

    @page.get("/spreadsheets/<key>/view")
    def view(key: str) -> Response:
        sheet, first = request.args.get("sheet", type=int), request.args.get("first", 0, type=int)
        return _json(book_view(store.book(key), sheet, max(first, 0)))

    @page.post("/spreadsheets/<key>/edits")
    def edits(key: str) -> Response:
        return _edit(store, key)

    @page.get("/spreadsheets/<key>/changes")
    def changes(key: str) -> Response:
        store.book(key)
        if not seats.acquire(blocking=False):
            return _json({"error": "Too many pages are open; this one looks now and then."}, 503)
        stream = Response(_events(store, key, _known(store, key)), content_type="text/event-stream")
        stream.headers["Cache-Control"] = "no-store"
        stream.call_on_close(seats.release)
        return stream

    @page.after_request
    def headers(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @page.errorhandler(Unknown)
    def unknown(error: Unknown) -> tuple[str, int]:
        return render_template("index.html", books=store.books(), missing=True), 404

    return page


def _json(answer: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(answer), status, content_type="application/json")


def _edit(store: Store, key: str) -> Response:
    """Apply what a person did. JSON only: a form on another site can not send that."""
    if request.mimetype != "application/json":
        return _json({"error": "edits are sent as application/json"}, 415)
    try:
        body: Json = orjson.loads(request.get_data())
        requests = body["requests"]
        if not requests or any(len(item) != 1 or not PERSONS_KINDS >= item.keys() for item in requests):
            return _json({"error": f"an edit is one of {', '.join(sorted(PERSONS_KINDS))}"}, 400)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return _json({"error": 'edits are {"requests": [...]}'}, 400)
    try:
        applied = store.apply(key, requests, "person")
    except Refused as refused:
        return _json({"error": str(refused)}, 400)
    return _json({"revision": applied.book.revision})


def _known(store: Store, key: str) -> int:
    """The revision that the page has; none of this server's where it comes from before a restart."""
    epoch, _, revision = request.headers.get("Last-Event-ID", request.args.get("last", "")).partition(":")
    return int(revision) if epoch == store.epoch and revision.isdigit() else -1


def _events(store: Store, key: str, revision: int) -> Iterator[bytes]:
    """Server-sent events: the newest revision, whenever it changes; a comment as a sign of life."""
    end = time.monotonic() + STREAM_SECONDS
    yield b"retry: 500\n\n"
    while time.monotonic() < end and not store.closed:
        try:
            current = store.book(key).revision
        except Unknown:
            return
        if current != revision:
            revision = current
            yield f"id: {store.epoch}:{revision}\ndata: {revision}\n\n".encode()
        elif not store.wait(key, revision, HEARTBEAT):
            yield b": still here\n\n"
