"""Tabs as CSV, both ways. Pure. (`excel` has whole workbooks.)

What comes in from a CSV stays what it says: a text that would read otherwise once it is a number or a date (`00123`,
`1E5`, `1-2`) is kept as plain text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import date

from sheets_sync.sandbox.sheet import entered
from sheets_sync.sandbox.sheet.answers import rendered
from sheets_sync.sandbox.sheet.display import show
from sheets_sync.sandbox.sheet.grid import Json, Tab

TEXT_FORMAT = {"userEnteredFormat": {"numberFormat": {"type": "TEXT"}}}


class BadFile(ValueError):
    """The file can not be read as what it says it is."""


# CSV


def csv_bytes(tab: Tab) -> bytes:
    """A tab as it is shown, hidden columns included, as Google exports it. UTF-8 with a mark, so that Excel sees it."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rendered(tab, tab.box, "FORMATTED_VALUE")[: tab.used_rows()])
    return out.getvalue().encode("utf-8-sig")


def csv_rows(raw: bytes) -> list[list[str]]:
    """Rows of a CSV as people save it: comma, semicolon or tab; UTF-8, or Windows' Latin. Raises BadFile."""
    if b"\0" in raw:
        raise BadFile("This is no CSV file: it has bytes that no text has.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")
    head = text.partition("\n")[0]
    mark = max(",;\t", key=head.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=mark))
    except csv.Error as bad:
        raise BadFile(f"This CSV file can not be read: {bad}") from None
    while rows and not any(rows[-1]):
        rows.pop()
    if not rows:
        raise BadFile("This CSV file is empty.")
    return rows


def filled(sheet_id: int, rows: Sequence[Sequence[str]]) -> list[Json]:
    """The requests that write a CSV's rows into a new tab; texts that typing would change are kept as text."""
    requests: list[Json] = []
    for row, column, count in _text_runs(rows):
        place = {"sheetId": sheet_id, "startRowIndex": row, "endRowIndex": row + count}
        place |= {"startColumnIndex": column, "endColumnIndex": column + 1}
        requests.append({"repeatCell": {"range": place, "cell": TEXT_FORMAT, "fields": "userEnteredFormat"}})
    return [*requests, {"enterValues": {"sheetId": sheet_id, "rows": [list(row) for row in rows]}}]


def _text_runs(rows: Sequence[Sequence[str]]) -> Iterator[tuple[int, int, int]]:
    """Cells to be kept as text, as (row, column, count) downwards."""
    width = max((len(row) for row in rows), default=0)
    for column in range(width):
        start: int | None = None
        for index in range(len(rows) + 1):
            keep = index < len(rows) and column < len(rows[index]) and _changes(rows[index][column])
            if keep and start is None:
                start = index
            if not keep and start is not None:
                yield start, column, index - start
                start = None


def _changes(text: str) -> bool:
    """Whether typing the text would give something that reads otherwise, or a formula from a stranger's file."""
    read = entered.read(text, False, date(2000, 1, 1))
    return read.formula is not None or show(read.value, read.number_format) != text
