"""Workbooks kept in one file: a snapshot and, line by line behind it, every batch applied since.

A line is JSON and is synced to disk before its batch is acknowledged. A crash can only tear the last line, which
was not acknowledged; it is dropped at the next start. At start, and when it has grown, the file is written anew as
snapshots and put in the old one's place in one step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from sheets_sync.sandbox.sheet.grid import (
    NO_FORMULAS,
    NO_STYLE,
    NO_VALUES,
    Book,
    ErrorValue,
    Json,
    NamedRange,
    Style,
    Tab,
    Value,
)

try:
    import fcntl
except ImportError:  # Windows has no flock; there two servers on one file are not told apart
    fcntl = None  # type: ignore[assignment]

FORMAT = 1
GROWN = 64 * 1024 * 1024  # bytes behind the snapshot at which the file is written anew


class DataFileError(Exception):
    """The file can not be used: another server has it, or it is no workbook file. Says which, and what to do."""


class Journal:
    """The open file. Not safe for several threads at once: its store calls it under a lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "ab+")  # noqa: SIM115 - held open until close()
        self._lock()
        self._snapshot_size = 0

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise DataFileError(
                f"{self.path} is in use by another local sheet server; stop that one, or name another file."
            ) from None

    def lines(self) -> Iterator[Json]:
        """All whole lines from the start; a torn last one is cut off."""
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                raise DataFileError(
                    f"{self.path}, line {number}, can not be read; the file is damaged or no workbook file."
                ) from None
            if number == 1 and (not isinstance(entry, dict) or entry.get("format") != FORMAT):
                raise DataFileError(f"{self.path} is no workbook file of this version; name another file.")
            whole += len(line)
            if number > 1:
                yield entry
        self._file.truncate(whole)
        self._file.seek(0, os.SEEK_END)

    def append(self, entry: Json) -> None:
        """Add one line, on disk when this returns; a line that could not be written whole is taken back."""
        before = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(orjson.dumps(entry) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(before)
            raise

    def grown(self) -> bool:
        """True when writing the file anew would pay."""
        return self._file.tell() > 2 * self._snapshot_size + GROWN

    def rewrite(self, entries: Iterable[Json]) -> None:
        """Replace the file by these entries, in one step."""
        fresh = self.path.with_name(self.path.name + ".new")
        with open(fresh, "wb") as out:
            out.write(orjson.dumps({"format": FORMAT}) + b"\n")
            for entry in entries:
                out.write(orjson.dumps(entry) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        os.replace(fresh, self.path)
        _sync_folder(self.path.parent)
        old, self._file = self._file, open(self.path, "ab+")  # noqa: SIM115 - as above
        self._lock()
        old.close()
        self._snapshot_size = self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        self._file.close()


def _sync_folder(folder: Path) -> None:
    """Makes the new name durable; some systems can not open a folder, and need not."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def packed(book: Book) -> Json:
    """A book as JSON; equal styles are written once."""
    return {
        "spreadsheetId": book.spreadsheet_id,
        "properties": book.properties,
        "tabs": [_packed_tab(tab) for tab in book.tabs],
        "named": [[n.named_range_id, n.name, n.range] for n in book.named.values()],
        "metadata": list(book.metadata.values()),
        "created": book.created,
        "modified": book.modified,
        "revision": book.revision,
    }


def _packed_tab(tab: Tab) -> Json:
    styles: dict[int, int] = {}
    table: list[Style] = []
    for style in tab.styles:
        if id(style) not in styles:
            styles[id(style)] = len(table)
            table.append(style)
    return {
        "sheetId": tab.sheet_id,
        "title": tab.title,
        "properties": tab.properties,
        "values": tab.values,
        "styleTable": table,
        "styles": [styles[id(style)] for style in tab.styles],
        "formulas": [[r, c, text] for r, c, text in tab.cells_with_formulas()],
        "rows": {str(i): row for i, row in enumerate(tab.rows) if row},
        "columns": tab.columns,
        "merges": tab.merges,
        "protected": tab.protected,
        "conditional": tab.conditional,
        "basicFilter": tab.basic_filter,
    }


def unpacked(entry: Json) -> Book:
    """The book of `packed`."""
    return Book(
        spreadsheet_id=entry["spreadsheetId"],
        properties=entry["properties"],
        tabs=[_unpacked_tab(tab) for tab in entry["tabs"]],
        named={key: NamedRange(key, name, place) for key, name, place in entry["named"]},
        metadata={item["metadataId"]: item for item in entry["metadata"]},
        created=entry["created"],
        modified=entry["modified"],
        revision=entry["revision"],
    )


def _unpacked_tab(entry: Json) -> Tab:
    table: list[Style] = [tuple(style) if style else NO_STYLE for style in entry["styleTable"]]
    values: list[list[Any]] = [row or NO_VALUES for row in entry["values"]]
    tab = Tab(
        sheet_id=entry["sheetId"],
        title=entry["title"],
        properties=entry["properties"],
        values=values,
        styles=[table[i] for i in entry["styles"]],
        formulas=[NO_FORMULAS] * len(values),
        rows=[None] * len(values),
        columns=entry["columns"],
        merges=entry["merges"],
        protected=entry["protected"],
        conditional=entry["conditional"],
        basic_filter=entry["basicFilter"],
    )
    for index, row in entry["rows"].items():
        tab.rows[int(index)] = row
    for row, column, text in entry["formulas"]:
        tab.put_formula(row, column, text)
        _restore_error(tab, row, column)
    return tab


def _restore_error(tab: Tab, row: int, column: int) -> None:
    value: Value = tab.value(row, column)
    if isinstance(value, str) and value.startswith("#"):
        texts = tab.formulas[row]
        tab.put_values(row, column, [ErrorValue(value)])
        tab.formulas[row] = texts
