"""All workbooks of one server: the one write path, under one lock, with the journal and whoever watches kept in step.

`Store.apply(spreadsheet_id, requests, who)` is the only way to change a workbook. The Sheets API calls it as "api"; the
page, and a test that plays the seller, as "person". Reading needs no lock: `book()` returns a value that never changes.
"""

from __future__ import annotations

import random
import secrets
import string
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sheets_sync.sandbox.sheet import a1, journal
from sheets_sync.sandbox.sheet.a1 import Box
from sheets_sync.sandbox.sheet.draft import Draft, Refused
from sheets_sync.sandbox.sheet.grid import Book, Json, NamedRange, Tab, Value
from sheets_sync.sandbox.sheet.kinds import run
from sheets_sync.sandbox.sheet.moves import Move
from sheets_sync.sandbox.sheet.unknowns import DEFAULT, Unknowns
from sheets_sync.sandbox.sheet.versions import History, Version

Who = Literal["api", "person"]
DEFAULT_OWNER = "you@localhost"
RING = 2048  # changes of a workbook that are remembered for pages that come back
KEPT_ROWS = 200_000  # rows of old versions that are written to the file when it is written anew; older ones are lost
_ID_LETTERS = string.ascii_letters + string.digits + "-_"


class Unknown(LookupError):
    """No spreadsheet has this id. Answered 404 NOT_FOUND, as Google does."""


class BadRange(ValueError):
    """A range that can not be parsed or leaves the grid. Answered 400 INVALID_ARGUMENT."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one batch changed: who made it, the revision it led to, the tabs, and the range if it was one."""

    spreadsheet_id: str
    revision: int
    who: Who
    tabs: tuple[int, ...]
    title: str = ""
    range: str = ""
    moves: tuple[Move, ...] = ()  # rows and columns that changed their numbers
    torn: bool = False  # an old version came back: no row can be found again by its number


@dataclass(frozen=True, slots=True)
class Applied:
    """The replies of a batch, the book before and after it."""

    replies: list[Json]
    before: Book
    book: Book
    moves: tuple[Move, ...] = ()


Requests = Sequence[Json] | Callable[[Book], Sequence[Json]]
Check = Callable[[Book], None]
Watcher = Callable[[Change], None]


class Store:
    """Workbooks in memory and, with `data`, in a file. Safe for many threads."""

    def __init__(self, data: Path | None = None, owner: str = DEFAULT_OWNER, unknowns: Unknowns = DEFAULT) -> None:
        self.owner, self.unknowns = owner, unknowns
        self.epoch = secrets.token_hex(4)
        self.deleted: set[str] = set()
        self._books: dict[str, Book] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._changes: dict[str, deque[Change]] = {}
        self._history: dict[str, History] = {}
        self._watchers: list[Watcher] = []
        self._closed = False
        self._journal = journal.Journal(data) if data else None
        if self._journal:
            self._restore(self._journal)

    def close(self) -> None:
        """Ends all waiting, and closes the file."""
        with self._lock:
            self._closed = True
            if self._journal:
                self._journal.close()
                self._journal = None
        with self._changed:
            self._changed.notify_all()

    # journal

    def _entries(self) -> Iterator[Json]:
        yield {"deleted": sorted(self.deleted)}
        for book in self._books.values():
            yield {"book": journal.packed(book)}
            yield from _kept_versions(book, self._history.get(book.spreadsheet_id) or History())

    def _restore(self, kept: journal.Journal) -> None:
        try:
            for number, entry in enumerate(kept.lines(), 2):
                try:
                    self._replay(entry)
                except (Refused, LookupError, TypeError, ValueError) as problem:
                    raise journal.DataFileError(
                        f"{kept.path}, line {number}, can not be applied: {problem}. The file was changed by hand, "
                        "or written by another version; name another file, or use the version that wrote it."
                    ) from problem
            kept.rewrite(self._entries())
        except BaseException:  # whatever ends it, Ctrl-C too: the file is let go, and it goes on up
            kept.close()
            raise

    def _replay(self, entry: Json) -> None:
        if "book" in entry:
            book = journal.unpacked(entry["book"])
            self._books[book.spreadsheet_id] = book
            if "restored" in entry:
                self._remember(book, "person", datetime.fromisoformat(entry["at"]), entry["restored"])
        elif "version" in entry:
            self._history.setdefault(entry["id"], History()).put(_unpacked_version(entry, self._books[entry["id"]]))
        elif "requests" in entry:
            at = datetime.fromisoformat(entry["at"])
            draft = Draft(
                self._books[entry["id"]], iter(entry["ids"]), at, self.owner, Unknowns.of(entry.get("unknowns"))
            )
            run(draft, entry["requests"])
            before = self._books[entry["id"]]
            self._remember(before, "api", datetime.fromisoformat(before.modified), first=True)
            self._books[entry["id"]] = book = _stamped(draft.finish(), at)
            self._remember(book, entry.get("who", "api"), at)
        else:
            for key in map(str, entry.get("deleted", ())):
                self._forget(key)

    def _record(self, entry: Json) -> None:
        if self._closed:
            raise RuntimeError("the store is closed")
        if self._journal:
            self._journal.append(entry)

    def _compact(self) -> None:
        if self._journal and self._journal.grown():
            self._journal.rewrite(self._entries())

    # books

    def books(self) -> list[Book]:
        """All workbooks, the newest first."""
        return sorted(self._books.values(), key=lambda book: book.created, reverse=True)

    def book(self, spreadsheet_id: str) -> Book:
        """A workbook as it stands; raises Unknown."""
        try:
            return self._books[spreadsheet_id]
        except KeyError:
            raise Unknown(spreadsheet_id) from None

    def create(
        self,
        title: str,
        spreadsheet_id: str | None = None,
        tabs: Sequence[str | Json] = ("Sheet1",),
        properties: Json | None = None,
    ) -> Book:
        """A new workbook. `tabs` are titles, or SheetProperties; the first tab has the id 0, as Google's has."""
        key = spreadsheet_id or "1" + "".join(secrets.choice(_ID_LETTERS) for _ in range(43))
        now = datetime.now(UTC)
        wanted: list[Json] = [{"title": tab} if isinstance(tab, str) else dict(tab) for tab in tabs]
        if wanted and wanted[0].get("sheetId") is None:
            wanted[0]["sheetId"] = 0
        empty = Book(key, {**(properties or {}), "title": title}, created=now.isoformat(), modified=now.isoformat())
        draft = Draft(empty, _fresh_ids(), now, self.owner)
        run(draft, [{"addSheet": {"properties": tab}} for tab in wanted])
        return self._add(draft.finish())

    def copy(self, spreadsheet_id: str, title: str | None = None) -> Book:
        """A copy of a workbook under a new id."""
        book = self.book(spreadsheet_id).copy()
        now = datetime.now(UTC).isoformat()
        book.properties["title"] = title or f"Copy of {book.properties['title']}"
        book.spreadsheet_id = "1" + "".join(secrets.choice(_ID_LETTERS) for _ in range(43))
        book.created = book.modified = now
        return self._add(book)

    def _add(self, book: Book) -> Book:
        with self._lock:
            if book.spreadsheet_id in self._books:
                raise ValueError(f"a spreadsheet with the id {book.spreadsheet_id} is already there")
            self._record({"book": journal.packed(book)})
            self._books[book.spreadsheet_id] = book
            self.deleted.discard(book.spreadsheet_id)
        return book

    def delete(self, spreadsheet_id: str) -> None:
        """Take a workbook away for good; raises Unknown."""
        with self._lock:
            self.book(spreadsheet_id)
            self._record({"deleted": [spreadsheet_id]})
            self._forget(spreadsheet_id)

    def _forget(self, spreadsheet_id: str) -> None:
        for kept in (self._books, self._changes, self._history):
            kept.pop(spreadsheet_id, None)
        self.deleted.add(spreadsheet_id)

    # changing

    def apply(self, spreadsheet_id: str, requests: Requests, who: Who = "api", check: Check | None = None) -> Applied:
        """Apply a batch whole and in order, or refuse it whole; raises Refused, Unknown.

        `requests` may be made from the workbook as it is by then. `check` is shown the next workbook and may raise
        Refused. Both are called under the lock.
        """
        with self._lock:
            before = self.book(spreadsheet_id)
            if callable(requests):
                requests = requests(before)
            now, ids = datetime.now(UTC), _Recorded(_fresh_ids())
            draft = Draft(before, ids, now, self.owner, self.unknowns)
            replies = run(draft, requests)
            book = _stamped(draft.finish(), now)
            if check:
                check(book)
            entry = {"at": now.isoformat(), "id": spreadsheet_id, "who": who, "requests": requests, "ids": ids.drawn}
            odd = self.unknowns.changed()
            self._record(entry | ({"unknowns": odd} if odd else {}))
            self._remember(before, "api", datetime.fromisoformat(before.modified), first=True)
            self._books[spreadsheet_id] = book
            self._remember(book, who, now)
            self._compact()
            moves = tuple(draft.moves)
            change = Change(spreadsheet_id, book.revision, who, tuple(draft.touched()), *_place(book, requests), moves)
            self._publish(change)
        for watcher in self._watchers:
            watcher(change)
        return Applied(replies, before, book, moves)

    # versions

    def versions(self, spreadsheet_id: str, *, close: bool = True) -> list[Version]:
        """The old versions of a workbook and, last, the one that stands; raises Unknown.

        `close`: what is written from now on is a new version, so that each that is listed can be restored.
        """
        with self._lock:
            book = self.book(spreadsheet_id)
            self._remember(book, "api", datetime.fromisoformat(book.modified), first=True)
            history = self._history[spreadsheet_id]
            if close:
                history.close()
            return list(history)

    def version(self, spreadsheet_id: str, number: int) -> Book:
        """The workbook as it stood at that version; raises Unknown."""
        with self._lock:
            self.book(spreadsheet_id)
            version = (self._history.get(spreadsheet_id) or History()).find(number)
        if version is None:
            raise Unknown(f"{spreadsheet_id} has no version {number}")
        return version.book

    def restore(self, spreadsheet_id: str, version: int, named_ranges: bool | None = None) -> Book:
        """Bring an old version back, as a new one; raises Unknown.

        `named_ranges`: whether its named ranges come back with it or those of today stay; what Google does is not
        known, and None takes what `unknowns` says.
        """
        old, now = self.version(spreadsheet_id, version), datetime.now(UTC)
        with self._lock:
            today = self.book(spreadsheet_id)
            book = _stamped(old.copy(), now)
            book.revision = today.revision + 1
            if not (self.unknowns.restores_named_ranges if named_ranges is None else named_ranges):
                book.named = _named_in(book, today)
            says = f"Version of {datetime.fromisoformat(old.modified):%Y-%m-%d %H:%M} restored"
            self._record({"at": now.isoformat(), "book": journal.packed(book), "restored": says})
            self._books[spreadsheet_id] = book
            self._remember(book, "person", now, says)
            self._compact()
            tabs = {tab.sheet_id for tab in (*today.tabs, *book.tabs)}
            change = Change(spreadsheet_id, book.revision, "person", tuple(tabs), torn=True)
            self._publish(change)
        for watcher in self._watchers:
            watcher(change)
        return book

    def _remember(self, book: Book, who: str, at: datetime, says: str = "", *, first: bool = False) -> None:
        """Keep the workbook as a version; `first`: only where there is none yet."""
        history = self._history.setdefault(book.spreadsheet_id, History())
        if not first:
            history.add(book, who, at, says, apart=bool(says))
        elif not len(history):
            history.add(book, who, at, apart=True)

    # watching

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` after every change, in the thread that made it; it must not take long."""
        self._watchers.append(watcher)

    def _publish(self, change: Change) -> None:
        with self._changed:
            ring = self._changes.setdefault(change.spreadsheet_id, deque(maxlen=RING))
            ring.append(change)
            self._changed.notify_all()

    def wait(self, spreadsheet_id: str, revision: int, timeout: float) -> list[Change]:
        """Changes of a workbook after a revision; waits for one up to `timeout` seconds. Empty: none came."""

        def newer() -> list[Change]:
            return [c for c in self._changes.get(spreadsheet_id) or () if c.revision > revision]

        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(newer()), timeout)
            return newer()

    def since(self, spreadsheet_id: str, revision: int) -> list[Change] | None:
        """All changes after a revision; None where some are forgotten, or an old version came back since."""
        with self._changed:
            newer = [c for c in self._changes.get(spreadsheet_id) or () if c.revision > revision]
        now = newer[-1].revision if newer else self.book(spreadsheet_id).revision
        if now - revision != len(newer) or any(change.torn for change in newer):
            return None
        return newer

    @property
    def closed(self) -> bool:
        return self._closed

    # ranges

    def area(self, spreadsheet_id: str, text: str) -> tuple[Tab, Box]:
        """Tab and cells of a range text; raises BadRange."""
        return area_in(self.book(spreadsheet_id), text)

    # what a person does at the page

    def type(self, spreadsheet_id: str, tab: str, cell: str, text: str | Sequence[Sequence[str]]) -> None:
        """Type a text into a cell, or paste rows of texts from that cell on."""
        target, box = self._person_area(spreadsheet_id, tab, cell)
        rows = [[text]] if isinstance(text, str) else [list(row) for row in text]
        body = {"sheetId": target.sheet_id, "rowIndex": box.r0, "columnIndex": box.c0, "rows": rows}
        self.apply(spreadsheet_id, [{"enterValues": body}], "person")

    def insert_rows(self, spreadsheet_id: str, tab: str, row: int, count: int = 1) -> None:
        """Insert rows above row `row` (counted from 1)."""
        self._dimension(spreadsheet_id, tab, "insertDimension", "ROWS", row - 1, count, inheritFromBefore=row > 2)

    def delete_rows(self, spreadsheet_id: str, tab: str, row: int, count: int = 1) -> None:
        """Delete rows from row `row` (counted from 1) on."""
        self._dimension(spreadsheet_id, tab, "deleteDimension", "ROWS", row - 1, count)

    def insert_columns(self, spreadsheet_id: str, tab: str, column: str, count: int = 1) -> None:
        """Insert columns left of the one with that letter."""
        self._dimension(spreadsheet_id, tab, "insertDimension", "COLUMNS", a1.column_of(column), count)

    def delete_columns(self, spreadsheet_id: str, tab: str, column: str, count: int = 1) -> None:
        """Delete columns from the one with that letter on."""
        self._dimension(spreadsheet_id, tab, "deleteDimension", "COLUMNS", a1.column_of(column), count)

    def move_rows(self, spreadsheet_id: str, tab: str, row: int, before: int, count: int = 1) -> None:
        """Drag rows from row `row` on to stand above row `before`, both counted from 1."""
        self._move(spreadsheet_id, tab, "ROWS", row - 1, before - 1, count)

    def move_columns(self, spreadsheet_id: str, tab: str, column: str, before: str, count: int = 1) -> None:
        """Drag columns to stand left of another."""
        self._move(spreadsheet_id, tab, "COLUMNS", a1.column_of(column), a1.column_of(before), count)

    def sort(self, spreadsheet_id: str, tab: str, column: str, descending: bool = False, header_rows: int = 1) -> None:
        """Sort whole rows below the header by a column, as *Sort sheet* does: rows move."""
        target = self._tab(spreadsheet_id, tab)
        where = {
            "sheetId": target.sheet_id,
            "startRowIndex": header_rows,
            "endRowIndex": max(header_rows, target.used_rows()),
        }
        spec = {"dimensionIndex": a1.column_of(column), "sortOrder": "DESCENDING" if descending else "ASCENDING"}
        self.apply(spreadsheet_id, [{"sortRange": {"range": where, "sortSpecs": [spec]}}], "person")

    def copy_row(self, spreadsheet_id: str, tab: str, row: int, onto: int) -> None:
        """Copy a row over another, hidden cells and formats included; rows are counted from 1."""
        sheet_id = self._tab(spreadsheet_id, tab).sheet_id
        source, target = ({"sheetId": sheet_id, "startRowIndex": r - 1, "endRowIndex": r} for r in (row, onto))
        self.apply(spreadsheet_id, [{"copyPaste": {"source": source, "destination": target}}], "person")

    def cell(self, spreadsheet_id: str, tab: str, cell: str) -> Value:
        """The value of a cell, as UNFORMATTED_VALUE gives it; "" where it is empty."""
        target, box = self._person_area(spreadsheet_id, tab, cell)
        return target.value(box.r0, box.c0)

    def rows(self, spreadsheet_id: str, tab: str) -> list[list[Value]]:
        """All values of a tab, trailing empty cells and rows cut."""
        target = self._tab(spreadsheet_id, tab)
        return [list(row) for row in target.values[: target.used_rows()]]

    def _tab(self, spreadsheet_id: str, title: str) -> Tab:
        tab = self.book(spreadsheet_id).tab_named(title)
        if tab is None:
            raise BadRange(f"no tab is called {title}")
        return tab

    def _person_area(self, spreadsheet_id: str, tab: str, cell: str) -> tuple[Tab, Box]:
        return self.area(spreadsheet_id, f"{a1.quote(tab)}!{cell}")

    def _dimension(
        self, spreadsheet_id: str, tab: str, kind: str, dimension: str, start: int, count: int, **more: Any
    ) -> None:
        sheet_id = self._tab(spreadsheet_id, tab).sheet_id
        where = {"sheetId": sheet_id, "dimension": dimension, "startIndex": start, "endIndex": start + count}
        self.apply(spreadsheet_id, [{kind: {"range": where, **more}}], "person")

    def _move(self, spreadsheet_id: str, tab: str, dimension: str, start: int, before: int, count: int) -> None:
        sheet_id = self._tab(spreadsheet_id, tab).sheet_id
        source = {"sheetId": sheet_id, "dimension": dimension, "startIndex": start, "endIndex": start + count}
        self.apply(spreadsheet_id, [{"moveDimension": {"source": source, "destinationIndex": before}}], "person")


def area_in(book: Book, text: str) -> tuple[Tab, Box]:
    """Tab and cells of a range text in a book: A1 notation, a tab's title or a named range; raises BadRange."""
    title, corner = a1.split(text)
    area = a1.area_of(corner) if corner else a1.Area()
    if area is None and (named := _named(book, corner)):
        tab, area = book.tab(named.get("sheetId") or 0), _area_of_range(named)
    elif title is not None:
        tab = book.tab_named(title)
    elif area is not None:
        tab = next((t for t in book.tabs if not t.hidden), None)
    else:
        tab, area = book.tab_named(text), a1.Area()
    if tab is None or area is None:
        raise BadRange(f"Unable to parse range: {text}")
    box = area.within(len(tab.values), len(tab.columns))
    if box.r0 >= len(tab.values) or box.c0 >= len(tab.columns):
        shown = f"{a1.quote(tab.title)}!{corner}" if corner else text
        raise BadRange(
            f"Range ({shown}) exceeds grid limits. Max rows: {len(tab.values)}, max columns: {len(tab.columns)}"
        )
    return tab, box


def _named(book: Book, name: str | None) -> Json | None:
    return next((n.range for n in book.named.values() if name and n.name.lower() == name.lower()), None)


def _area_of_range(grid_range: Json) -> a1.Area:
    return a1.Area(
        grid_range.get("startRowIndex") or 0,
        grid_range.get("endRowIndex"),
        grid_range.get("startColumnIndex") or 0,
        grid_range.get("endColumnIndex"),
    )


def _named_in(book: Book, today: Book) -> dict[str, NamedRange]:
    """The named ranges of today in a workbook that came back; one whose tab is not there names nothing any more."""
    there = {tab.sheet_id for tab in book.tabs}
    return {
        key: named
        if named.range is None or (named.range.get("sheetId") or 0) in there
        else NamedRange(key, named.name, None)
        for key, named in today.named.items()
    }


def _kept_versions(book: Book, history: History) -> Iterator[Json]:
    """The newest versions for the file; the one that stands is in the file already."""
    room, kept = KEPT_ROWS, []
    for version in reversed(list(history)):
        room -= sum(len(tab.values) for tab in version.book.tabs) if version.book is not book else 0
        if room < 0:
            break
        kept.append(version)
    for version in reversed(kept):
        yield {
            "version": version.number,
            "id": book.spreadsheet_id,
            "who": version.who,
            "began": version.began.isoformat(),
            "at": version.at.isoformat(),
            "says": version.says,
            "stood": None if version.book is book else journal.packed(version.book),
        }


def _unpacked_version(entry: Json, book: Book) -> Version:
    return Version(
        entry["version"],
        entry["who"],
        datetime.fromisoformat(entry["began"]),
        datetime.fromisoformat(entry["at"]),
        journal.unpacked(entry["stood"]) if entry["stood"] else book,
        0,
        entry["says"],
    )


def _stamped(book: Book, at: datetime) -> Book:
    book.modified = at.isoformat()
    return book


def _fresh_ids() -> Iterator[int]:
    """Ids as Google makes them: nine or ten digits, 31 bits."""
    source = random.SystemRandom()
    while True:
        yield source.randrange(10**8, 2**31 - 1)


class _Recorded:
    """An iterator that remembers what was drawn from it, for the journal."""

    def __init__(self, source: Iterator[int]) -> None:
        self.source = source
        self.drawn: list[int] = []

    def __iter__(self) -> _Recorded:
        return self

    def __next__(self) -> int:
        self.drawn.append(next(self.source))
        return self.drawn[-1]


def _place(book: Book, requests: Sequence[Json]) -> tuple[str, str]:
    """Title and range of the first request, as an edit notification names them."""
    for request in requests:
        for body in request.values():
            where = body.get("range") or body.get("source") or body.get("destination") or body
            tab = book.tab(where.get("sheetId") or 0)
            if tab is None:
                continue
            if "rows" in body and "rowIndex" in body:
                width = max((len(row) for row in body["rows"]), default=1)
                box = Box(
                    body["rowIndex"],
                    body["rowIndex"] + len(body["rows"]),
                    body["columnIndex"],
                    body["columnIndex"] + width,
                )
                return tab.title, a1.name_of(tab.title, box)
            return tab.title, a1.quote(tab.title)
    return "", ""


__all__ = ["Applied", "BadRange", "Change", "Refused", "Store", "Unknown", "area_in"]
