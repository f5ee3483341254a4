"""`read(path)`: a file of counts, as scanner apps and spreadsheet programs save it -> its rows of cells.

Nothing is guessed about a cell: text stays text, a date stays a date (as ISO text, for a later look to name it), and a
number that a program shortened is told as it stands. Only how the file is written is found out: its encoding and what
stands between its columns, and both are said.
"""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from sheets_sync.errors import BadInput
from sheets_sync.model import Cell

MOST_BYTES = 200_000_000
MOST_ROWS = 200_000
"""Beyond these it is no count of a shop's stock, or somebody wants to fill our memory."""

_DELIMITERS = (";", ",", "\t", "|")
_LOOKED_AT = 50  # lines from which the delimiter is found out
_EVERY = 1_000

Step = Callable[[int], None]


@dataclass(frozen=True)
class CountFile:
    """The rows as they stand, the first one first, and how they were read, in words."""

    rows: list[list[Cell]]
    how: str


def read(path: Path, step: Step = lambda _: None) -> CountFile:
    """The rows of a CSV or Excel file; `step` hears of rows that are read.

    Raises BadInput, saying what to do, for a file that is none, is too large, or cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise BadInput(f"{path} has {size:,} bytes; a count has at most {MOST_BYTES:,}. Is it the right file?")
        start = path.open("rb").read(4)
        if path.suffix.lower() in (".xls", ".ods", ".numbers", ".pdf"):
            raise BadInput(f"{path}: save it as .xlsx or as .csv, and give that file.")
        if start == b"PK\x03\x04":
            return _excel(path, step)
        return _text(path.read_bytes(), path, step)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from error


# text -----------------------------------------------------------------------------------------------------------


def _text(raw: bytes, path: Path, step: Step) -> CountFile:
    if b"\0" in raw[:1000] and not raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadInput(f"{path} is neither text nor an Excel file. Save it as .xlsx or as .csv, and give that file.")
    text, encoding = _decoded(raw, path)
    delimiter = _delimiter(text)
    rows: list[list[Cell]] = []
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            rows.append([cell.strip() or None for cell in cells])
            _count(rows, path, step)
    except csv.Error as error:
        raise BadInput(f"{path}, line {len(rows) + 1}: {error}. Save it as .csv again, or as .xlsx.") from error
    between = {";": "semicolons", ",": "commas", "\t": "tabs", "|": "bars"}[delimiter]
    return CountFile(rows, f"text in {encoding}, columns separated by {between}")


def _decoded(raw: bytes, path: Path) -> tuple[str, str]:
    for name, said in (("utf-8-sig", "UTF-8"), ("utf-16", "UTF-16")):
        if name == "utf-16" and not raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            continue
        try:
            return raw.decode(name), said
        except UnicodeDecodeError:
            continue
    from charset_normalizer import from_bytes

    best = from_bytes(raw, cp_isolation=["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "mac_roman"]).best()
    if best is None:
        raise BadInput(f"{path}: the encoding of this text cannot be told. Save it as CSV in UTF-8.")
    return str(best), best.encoding


def _delimiter(text: str) -> str:
    """What cuts the first lines into the same number of columns most often; of equal ones that which cuts finer."""
    lines = [line for line in text.splitlines()[:_LOOKED_AT] if line.strip()]

    def fit(delimiter: str) -> tuple[float, int]:
        widths = Counter(len(cells) for cells in csv.reader(lines, delimiter=delimiter))
        width, times = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
        return (0.0, 1) if width == 1 else (times / max(1, len(lines)), width)

    return max(_DELIMITERS, key=fit)


# Excel ----------------------------------------------------------------------------------------------------------


def _excel(path: Path, step: Step) -> CountFile:
    import openpyxl  # takes a fifth of a second to load, and every command loads this module
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what openpyxl leaves out (pictures, styles) is nothing to us
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                sheet = book.active or book.worksheets[0]
                rows: list[list[Cell]] = []
                for cells in sheet.iter_rows(values_only=True):
                    rows.append([_cell(cell) for cell in cells])
                    _count(rows, path, step)
                return CountFile(rows, f"the Excel sheet {sheet.title!r}")
            finally:
                book.close()
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, IndexError) as error:
        raise BadInput(f"{path} is no Excel file that can be read ({error}). Save it again, or as .csv.") from error


def _cell(value: Any) -> Cell:
    match value:
        case None | bool() | int():
            return value
        case float():
            return int(value) if value.is_integer() else value
        case datetime() | date() | time():
            return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
        case timedelta():
            return str(value)
        case _:
            return str(value).strip() or None


def _count(rows: Sequence[object], path: Path, step: Step) -> None:
    if len(rows) > MOST_ROWS:
        raise BadInput(f"{path} has more than {MOST_ROWS:,} rows. Is it the right file? Otherwise count in parts.")
    if len(rows) % _EVERY == 0:
        step(_EVERY)


def columns_of(rows: Sequence[Sequence[Cell]], places: Sequence[int]) -> Iterator[list[Cell]]:
    """Columns, by their places counted from 0."""
    for at in places:
        yield [row[at] if at < len(row) else None for row in rows]
