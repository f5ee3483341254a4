"""The page: a person sees and edits a workbook in the browser. A Flask blueprint.

The server has the workbook, the page a window on it: it fetches the rows it shows, posts what the person does, and
follows a stream of events with ids `<epoch>:<revision>`. Each answer says which rows and columns changed their numbers
since the page last looked, so that a cursor, a selection and a half-typed figure stay with their row. Streams are
bounded and end by themselves: however many pages are open, threads are left to answer.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import orjson
from flask import Blueprint, Response, g, redirect, render_template, request

from sheets_sync.sandbox.sheet import files, hand
from sheets_sync.sandbox.sheet.draft import Refused
from sheets_sync.sandbox.sheet.grid import Book, Json, Tab
from sheets_sync.sandbox.sheet.hand import Done, Hand, NothingToDo, Outdated, Protected
from sheets_sync.sandbox.sheet.store import Store, Unknown
from sheets_sync.sandbox.sheet.view import Shown, book_view, choices, find

STREAMS = 24  # open event streams at most; the server has more threads than that
STREAM_SECONDS = 60.0  # then the browser opens the next one
HEARTBEAT = 10.0  # seconds between signs of life, by which a closed page is noticed
EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{}'; img-src 'self' data:; connect-src 'self'"


def blueprint(store: Store) -> Blueprint:
    """The page's routes over a store."""
    page = Blueprint("page", __name__, template_folder="templates")
    seats, shown, person = threading.BoundedSemaphore(STREAMS), Shown(), Hand(store)
    _look(page, store, shown)
    _act(page, store, person)
    _carry_files(page, store)

    @page.get("/spreadsheets/<key>/changes")
    def changes(key: str) -> Response:
        store.book(key)
        if not seats.acquire(blocking=False):
            return _json({"error": "Too many pages are open; this one looks now and then."}, 503)
        stream = Response(_events(store, key, _known(store, key)), content_type="text/event-stream")
        stream.headers["Cache-Control"] = "no-store"
        stream.call_on_close(seats.release)
        return stream

    @page.before_request
    def nonce() -> None:
        g.nonce = secrets.token_urlsafe(12)

    @page.after_request
    def headers(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Content-Security-Policy"] = _POLICY.format(g.nonce)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @page.errorhandler(Unknown)
    def unknown(error: Unknown) -> Any:
        if "text/html" not in request.headers.get("Accept", ""):
            return _json({"error": "This spreadsheet, tab or version is not here any more."}, 404)
        return render_template("index.html", books=store.books(), missing=True), 404

    return page


def _json(answer: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(answer), status, content_type="application/json")


def _version(store: Store, key: str) -> Book:
    """The workbook, or an old version of it where the query names one."""
    number = request.args.get("version", type=int)
    return store.book(key) if number is None else store.version(key, number)


def _tab(book: Book, sheet_id: int | None) -> Tab:
    tab = book.tab(sheet_id) if sheet_id is not None else None
    if tab is None:
        raise Unknown(f"no tab has the id {sheet_id}")
    return tab


# looking


def _look(page: Blueprint, store: Store, shown: Shown) -> None:
    @page.get("/")
    def index() -> str:
        return render_template("index.html", books=store.books())

    @page.get("/spreadsheets/d/<key>/edit")
    def google_address(key: str) -> Any:
        return redirect(f"/spreadsheets/{key}")

    @page.get("/spreadsheets/<key>")
    def workbook(key: str) -> str:
        return render_template("sheet.html", book=store.book(key), nonce=g.nonce)

    @page.get("/spreadsheets/<key>/view")
    def view(key: str) -> Response:
        sheet = request.args.get("sheet", type=int)
        start, end = request.args.get("start", 0, type=int), request.args.get("end", 200, type=int)
        answer = book_view(_version(store, key), sheet, shown, start, end)
        answer["epoch"] = store.epoch
        answer |= _moved_since(store, key, answer["revision"])
        return _json(answer)

    @page.get("/spreadsheets/<key>/find")
    def search(key: str) -> Response:
        text, tab = request.args.get("text", ""), _tab(_version(store, key), request.args.get("sheet", type=int))
        return _json({"found": find(tab, shown, text) if text else []})

    @page.get("/spreadsheets/<key>/choices")
    def offered(key: str) -> Response:
        tab = _tab(store.book(key), request.args.get("sheet", type=int))
        return _json(choices(tab, request.args.get("column", 0, type=int)))

    @page.get("/spreadsheets/<key>/versions")
    def versions(key: str) -> Response:
        kept = [
            {"number": v.number, "who": v.who, "at": v.at.isoformat(), "says": v.says}
            for v in store.versions(key, close=False)
        ]
        return _json({"versions": kept[::-1]})


def _moved_since(store: Store, key: str, revision: int) -> Json:
    """How rows and columns were renumbered since the page's last look: [tab, dimension, at, removed, added] each.

    Where that is not known (after a restart, or an old version came back) the page has to start anew.
    """
    epoch, _, known = request.args.get("since", "").partition(":")
    if not known.isdigit() or int(known) == revision:
        return {"moves": []}
    changes = store.since(key, int(known)) if epoch == store.epoch else None
    if changes is None:
        return {"moves": [], "anew": True}
    moves = [move for change in changes if change.revision <= revision for move in change.moves]
    return {"moves": [[move.sheet_id, move.dimension, *move.splice] for move in moves if move.splice]}


# acting


def _act(page: Blueprint, store: Store, person: Hand) -> None:
    @page.post("/spreadsheets/<key>/edits")
    def edits(key: str) -> Response:
        """Apply what a person did: {"requests": […]}, and from our own page `base`, `page`, `confirmed`."""
        body = _body()
        if isinstance(body, Response):
            return body
        requests = body.get("requests")
        if not isinstance(requests, list) or not requests:
            return _json({"error": 'edits are {"requests": [...]}'}, 400)
        if not all(isinstance(item, dict) and len(item) == 1 and hand.KINDS >= item.keys() for item in requests):
            return _json({"error": f"an edit is one of {', '.join(sorted(hand.KINDS))}"}, 400)
        base, confirmed = _base(store, body), bool(body.get("confirmed"))
        page_id, edit_id = str(body.get("page") or ""), str(body.get("id") or "")
        return _done(lambda: person.edit(key, requests, base, page_id, confirmed, edit_id))

    @page.post("/spreadsheets/<key>/undo")
    def undo(key: str) -> Response:
        body = _body()
        return body if isinstance(body, Response) else _done(lambda: person.undo(key, str(body.get("page") or "")))

    @page.post("/spreadsheets/<key>/redo")
    def redo(key: str) -> Response:
        body = _body()
        return body if isinstance(body, Response) else _done(lambda: person.redo(key, str(body.get("page") or "")))

    @page.get("/spreadsheets/<key>/depth")
    def depth(key: str) -> Response:
        back, forth = person.depth(key, request.args.get("page", ""))
        return _json({"undo": back, "redo": forth})

    @page.post("/spreadsheets/<key>/restore")
    def restore(key: str) -> Response:
        body = _body()
        if isinstance(body, Response):
            return body
        book = store.restore(key, int(body.get("version") or 0))
        person.forget(key)
        return _json({"revision": book.revision, "undo": 0, "redo": 0})


def _body() -> Json | Response:
    """The request's JSON object. JSON only: a form on another site can not send that."""
    if request.mimetype != "application/json":
        return _json({"error": "edits are sent as application/json"}, 415)
    try:
        body = orjson.loads(request.get_data())
    except orjson.JSONDecodeError as bad:
        return _json({"error": f"this is no JSON: {bad}"}, 400)
    return body if isinstance(body, dict) else _json({"error": 'edits are {"requests": [...]}'}, 400)


def _base(store: Store, body: Json) -> int | None:
    """The revision by which the page names rows; one of another server's life can not be known here."""
    if not body.get("base"):
        return None
    epoch, _, revision = str(body["base"]).partition(":")
    return int(revision) if epoch == store.epoch and revision.isdigit() else -1


def _done(act: Any) -> Response:
    try:
        done: Done = act()
    except Refused as refused:
        return _json({"error": _plain(str(refused))}, 400)
    except (KeyError, TypeError, ValueError, AttributeError) as malformed:
        return _json({"error": f"this edit is malformed: {malformed!r}"}, 400)
    except Protected as why:
        return _json({"protected": str(why), "error": str(why)}, 409)
    except Outdated:
        return _json({"error": "The sheet was reloaded meanwhile. Look, and do it again.", "anew": True}, 409)
    except NothingToDo:
        return _json({"nothing": True, "undo": 0, "redo": 0})
    answer = {"revision": done.revision, "undo": done.undo, "redo": done.redo, "left": done.left}
    answer |= {} if done.sheet_id is None else {"sheet": done.sheet_id}
    return _json(answer | {"replies": [reply for reply in done.replies if reply]})


def _plain(words: str) -> str:
    """A refusal without the address of the request in it, which says nothing to a person."""
    return re.sub(r"^Invalid requests\[\d+\]\.\w+: ", "", words)


# files


def _carry_files(page: Blueprint, store: Store) -> None:
    @page.get("/spreadsheets/<key>/tabs/<int:sheet>.csv")
    def as_csv(key: str, sheet: int) -> Response:
        book = store.book(key)
        tab = _tab(book, sheet)
        return _download(
            files.csv_bytes(tab), "text/csv; charset=utf-8", f"{book.properties['title']} - {tab.title}.csv"
        )

    @page.get("/spreadsheets/<key>/workbook.xlsx")
    def as_excel(key: str) -> Response:
        from sheets_sync.sandbox.sheet import excel

        book = store.book(key)
        return _download(excel.xlsx_bytes(book), EXCEL, f"{book.properties['title']}.xlsx")

    @page.post("/spreadsheets/<key>/tabs")
    def from_csv(key: str) -> Response:
        """A CSV becomes a new tab."""
        if request.mimetype != "text/csv":
            return _json({"error": "a CSV is sent as text/csv"}, 415)
        try:
            rows = files.csv_rows(request.get_data())
        except files.BadFile as bad:
            return _json({"error": str(bad)}, 400)
        return _done(lambda: _new_tab(store, key, request.args.get("title") or "Import", rows))

    @page.post("/spreadsheets")
    def from_excel() -> Response:
        """An Excel file becomes a new workbook."""
        if request.mimetype != EXCEL:
            return _json({"error": "an Excel file is sent as .xlsx"}, 415)
        from sheets_sync.sandbox.sheet import excel

        try:
            tabs = excel.xlsx_tabs(request.get_data())
        except files.BadFile as bad:
            return _json({"error": str(bad)}, 400)
        try:
            book = _new_book(store, request.args.get("title") or "Import", tabs)
        except Refused as refused:
            return _json({"error": _plain(str(refused))}, 400)
        return _json({"spreadsheetId": book.spreadsheet_id})


def _download(content: bytes, kind: str, name: str) -> Response:
    answer = Response(content, content_type=kind)
    answer.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name)}"
    return answer


def _new_tab(store: Store, key: str, title: str, rows: list[list[str]]) -> Done:
    book = store.book(key)
    names = (title[:90] + (f" {n}" if n > 1 else "") for n in range(1, 10**6))
    name = next(name for name in names if not book.tab_named(name))
    sheet_id = secrets.randbelow(2**31 - 10**8) + 10**8
    grid = {"rowCount": len(rows) + 100, "columnCount": max(12, *(len(row) for row in rows))}
    properties = {"sheetId": sheet_id, "title": name, "gridProperties": grid}
    applied = store.apply(key, [{"addSheet": {"properties": properties}}, *files.filled(sheet_id, rows)], "person")
    return Done(applied.book.revision, 0, 0, replies=applied.replies)


def _new_book(store: Store, title: str, tabs: list[tuple[Json, list[Json]]]) -> Book:
    numbered = [{**properties, "sheetId": number} for number, (properties, _) in enumerate(tabs)]
    book = store.create(title, tabs=numbered)
    requests = [_for_tab(item, number) for number, (_, made) in enumerate(tabs) for item in made]
    if requests:
        return store.apply(book.spreadsheet_id, requests, "person").book
    return book


def _for_tab(item: Json, sheet_id: int) -> Json:
    """The request with the tab's own id in it."""
    kind, body = next(iter(item.items()))
    return {kind: {k: {**v, "sheetId": sheet_id} if k in ("start", "range") else v for k, v in body.items()}}


# following


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
