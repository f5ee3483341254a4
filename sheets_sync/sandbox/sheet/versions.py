"""Old versions of workbooks, as *Version history* keeps them.

A version is the workbook as it stood when someone else took over, or after a pause: what one hand does in a row is one
version. Books share what did not change, so a version costs what its batch touched; the oldest are dropped first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sheets_sync.sandbox.sheet.grid import Book

PAUSE = timedelta(minutes=2)  # so long after its first edit a version is closed
LONGEST = 200  # versions of one workbook
ROWS = 4_000_000  # rows that all versions of one workbook may hold beyond what they share; some 32 bytes each


@dataclass(frozen=True, slots=True)
class Version:
    """A workbook as it stood: its revision is the version's number. `began` is its first edit, `at` its last."""

    number: int
    who: str
    began: datetime
    at: datetime
    book: Book
    cost: int
    says: str = ""


class History:
    """The versions of one workbook, oldest first. Not safe for several threads: its store calls it under a lock."""

    def __init__(self) -> None:
        self._kept: list[Version] = []
        self._closed = False

    def __iter__(self) -> Iterator[Version]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, version: Version) -> None:
        """A version that comes back from the file."""
        before = self._kept[-1].book if self._kept else None
        self._kept.append(replace(version, cost=_cost(before, version.book)))

    def add(self, book: Book, who: str, at: datetime, says: str = "", *, apart: bool = False) -> None:
        """The workbook as it stands after an edit; `apart` begins a new version in any case."""
        last = self._kept[-1] if self._kept else None
        began = at
        if last and not (apart or self._closed) and not last.says and last.who == who and at - last.began < PAUSE:
            began = last.began
            self._kept.pop()
        before = self._kept[-1].book if self._kept else None
        self._closed = False
        self._kept.append(Version(book.revision, who, began, at, book, _cost(before, book), says))
        self._drop()

    def close(self) -> None:
        """The last version stays as it is; the next edit begins a new one."""
        self._closed = True

    def find(self, number: int) -> Version | None:
        return next((version for version in self._kept if version.number == number), None)

    def _drop(self) -> None:
        total = sum(version.cost for version in self._kept)
        while len(self._kept) > 1 and (len(self._kept) > LONGEST or total > ROWS):
            total -= self._kept.pop(0).cost


def _cost(before: Book | None, book: Book) -> int:
    shared = {id(tab) for tab in before.tabs} if before else set()
    return sum(len(tab.values) for tab in book.tabs if id(tab) not in shared)
