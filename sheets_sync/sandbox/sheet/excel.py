"""Workbooks as .xlsx, both ways. Pure but for openpyxl's own files.

Imported where a file of Excel's is asked for: openpyxl takes longer to load than the rest of the local sheet.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from openpyxl import Workbook, load_workbook
from openpyxl.cell import Cell, WriteOnlyCell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet.datavalidation import DataValidation

from sheets_sync.sandbox.sheet import entered
from sheets_sync.sandbox.sheet.display import DEFAULT_PATTERNS
from sheets_sync.sandbox.sheet.files import BadFile
from sheets_sync.sandbox.sheet.grid import DEFAULT_WIDTH, Book, ErrorValue, Json, Tab, Value

_TITLE = str.maketrans({c: "_" for c in "[]:*?/\\"})
_TITLE_LENGTH = 31


def xlsx_bytes(book: Book) -> bytes:
    """All tabs with values, formulas, number formats, colours, widths, drop-downs and what is frozen or hidden."""
    excel = Workbook(write_only=True)
    for tab in book.tabs:
        sheet = excel.create_sheet(tab.title.translate(_TITLE)[:_TITLE_LENGTH])
        sheet.sheet_state = "hidden" if tab.hidden else "visible"
        frozen = (tab.grid.get("frozenRowCount") or 0) + 1, (tab.grid.get("frozenColumnCount") or 0) + 1
        if frozen != (1, 1):
            sheet.freeze_panes = f"{get_column_letter(frozen[1])}{frozen[0]}"
        for index, kept in enumerate(tab.columns, 1):
            lane = sheet.column_dimensions[get_column_letter(index)]
            lane.width = ((kept or {}).get("pixelSize") or DEFAULT_WIDTH) / 7  # Excel counts in digits of its font
            lane.hidden = bool((kept or {}).get("hiddenByUser"))
        for row in range(tab.used_rows()):
            sheet.append(_excel_row(sheet, tab, row))
        for validation in _drop_downs(tab):
            sheet.data_validations.append(validation)
    out = io.BytesIO()
    excel.save(out)
    return out.getvalue()


def _excel_row(sheet: Any, tab: Tab, row: int) -> list[Any]:
    cells: list[Any] = []
    for column in range(max(len(tab.values[row]), len(tab.styles[row]))):
        value, text = tab.value(row, column), tab.formulas[row].get(column)
        shape = ((tab.style(row, column) or {}).get("userEnteredFormat")) or {}
        if not shape and text is None and not (isinstance(value, str) and value[:1] in ("=", "#")):
            cells.append(None if value == "" else value)  # a plain value, several times faster than a cell
            continue
        cell = WriteOnlyCell(sheet, None if value == "" and text is None else value)
        if text is not None:
            cell.value = text
        elif isinstance(value, str) and value:
            cell.data_type = "e" if isinstance(value, ErrorValue) else "s"  # a text that begins with = stays a text
        _dress(cell, shape)
        cells.append(cell)
    return cells


def _dress(cell: Cell, shape: Json) -> None:
    kind = (shape.get("numberFormat") or {}).get("type")
    if kind == "TEXT":
        cell.number_format = "@"
    elif kind:
        cell.number_format = shape["numberFormat"].get("pattern") or DEFAULT_PATTERNS.get(kind, "General")
    text = shape.get("textFormat") or {}
    ink = _argb(text.get("foregroundColor"))
    if text.get("bold") or text.get("italic") or text.get("strikethrough") or ink:
        cell.font = Font(bold=text.get("bold"), italic=text.get("italic"), strike=text.get("strikethrough"), color=ink)
    paper = _argb(shape.get("backgroundColor"))
    if paper and paper != "FFFFFFFF":
        cell.fill = PatternFill("solid", fgColor=paper)
    if shape.get("horizontalAlignment") in ("LEFT", "CENTER", "RIGHT"):
        cell.alignment = Alignment(horizontal=shape["horizontalAlignment"].lower())


def _argb(colour: Json | None) -> str | None:
    if colour is None:
        return None
    return "FF" + "".join(f"{round(255 * float(colour.get(part) or 0)):02X}" for part in ("red", "green", "blue"))


def _drop_downs(tab: Tab) -> Iterator[DataValidation]:
    """Lists to choose from, one validation for each run of cells below each other that have the same."""
    for column in range(len(tab.columns)):
        start, now = 0, ""
        for row in range(len(tab.values) + 1):
            wanted = _list_of(tab, row, column) if row < len(tab.values) else ""
            if wanted == now:
                continue
            if now:
                made = DataValidation(type="list", formula1=now, allow_blank=True, showErrorMessage=False)
                letter = get_column_letter(column + 1)
                made.add(f"{letter}{start + 1}:{letter}{row}")
                yield made
            start, now = row, wanted


def _list_of(tab: Tab, row: int, column: int) -> str:
    condition = ((tab.style(row, column) or {}).get("dataValidation") or {}).get("condition") or {}
    if condition.get("type") != "ONE_OF_LIST":
        return ""
    words = ",".join(str(v.get("userEnteredValue") or "") for v in condition.get("values") or ())
    return f'"{words}"' if len(words) < 255 and '"' not in words else ""  # Excel's limits


def xlsx_tabs(raw: bytes) -> list[tuple[Json, list[Json]]]:
    """Properties of each tab of an Excel file, without an id, and the requests that fill it; raises BadFile.

    The requests name the sheet id 0; put in the tab's own.
    """
    try:
        excel = load_workbook(io.BytesIO(raw))
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, OSError) as bad:
        raise BadFile(f"This is no .xlsx file that can be read: {bad}") from None
    return [_excel_tab(sheet) for sheet in excel.worksheets]


def _excel_tab(sheet: Any) -> tuple[Json, list[Json]]:
    rows, columns = max(sheet.max_row, 1), max(sheet.max_column, 1)
    frozen = sheet.freeze_panes
    grid: Json = {"rowCount": rows + 100, "columnCount": max(columns, 12)}
    if frozen:
        letters = "".join(c for c in frozen if c.isalpha())
        down = int("".join(c for c in frozen if c.isdigit())) - 1
        across = sum((ord(c) - 64) * 26**i for i, c in enumerate(reversed(letters))) - 1
        grid |= {"frozenRowCount": down} if down else {}
        grid |= {"frozenColumnCount": across} if across else {}
    cells = [{"values": [_cell(cell) for cell in row]} for row in sheet.iter_rows()]
    fields = "userEnteredValue,userEnteredFormat"
    requests: list[Json] = [{"updateCells": {"start": {"sheetId": 0}, "rows": cells, "fields": fields}}]
    for letter, lane in sheet.column_dimensions.items():
        index = sum((ord(c) - 64) * 26**i for i, c in enumerate(reversed(letter))) - 1
        kept = ({"pixelSize": round(lane.width * 7)} if lane.customWidth else {}) | (
            {"hiddenByUser": True} if lane.hidden else {}
        )
        if kept and index < grid["columnCount"]:
            span = {"sheetId": 0, "dimension": "COLUMNS", "startIndex": index, "endIndex": index + 1}
            requests.append({"updateDimensionProperties": {"range": span, "properties": kept, "fields": "*"}})
    properties = {"title": sheet.title, "gridProperties": grid}
    return properties | ({"hidden": True} if sheet.sheet_state != "visible" else {}), requests


def _cell(cell: Any) -> Json:
    value, kind = _excel_value(cell)
    shape: Json = {}
    if cell.number_format == "@":
        shape["numberFormat"] = {"type": "TEXT"}
    elif kind or cell.number_format not in ("General", None):
        shape["numberFormat"] = {"type": kind or "NUMBER", "pattern": cell.number_format}
    if cell.font is not None and cell.font.b:
        shape["textFormat"] = {"bold": True}
    return ({"userEnteredValue": value} if value else {}) | ({"userEnteredFormat": shape} if shape else {})


def _excel_value(cell: Any) -> tuple[Json, str]:
    value = cell.value
    if value is None:
        return {}, ""
    if isinstance(value, bool):
        return {"boolValue": value}, ""
    if isinstance(value, (int, float)):
        return {"numberValue": value}, ""
    if isinstance(value, (datetime, date, time, timedelta)):
        return {"numberValue": _serial(value)}, _moment_kind(value)
    if cell.data_type == "f":
        return {"formulaValue": str(getattr(value, "text", value))}, ""
    return {"stringValue": str(value)}, ""


def _moment_kind(value: datetime | date | time | timedelta) -> str:
    if isinstance(value, datetime):
        return "DATE_TIME"
    return "DATE" if isinstance(value, date) else "TIME"


def _serial(value: datetime | date | time | timedelta) -> Value:
    """Days since the epoch that all spreadsheets share."""
    if isinstance(value, timedelta):
        return value / timedelta(days=1)
    if isinstance(value, time):
        return (value.hour * 3600 + value.minute * 60 + value.second) / 86400
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
    epoch = datetime(entered.EPOCH.year, entered.EPOCH.month, entered.EPOCH.day, tzinfo=UTC)
    return entered.tidy(round((moment.replace(tzinfo=UTC) - epoch) / timedelta(days=1), 10))
