"""`plan`: what is there and what is wanted -> the requests that make or repair the workbook; none where all is well.

A person's cells, order of columns, widths, colours and further columns are left alone. Missing columns are *inserted*
behind the last header, never written over cells that have no header. The requests are sent behind the chain, like
every write: `first_exchange` makes the chain where there is none, and its id is recorded before it is sent.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import gspread

from sheets_sync.errors import SheetNotReady
from sheets_sync.model import Layout, TabInfo
from sheets_sync.sheet import tabs
from sheets_sync.sheet.tabs import Column, Format, Tab, Writer

Request = dict[str, Any]

CHAIN_NAME = "sheets_sync_exchange"

_HEADER_FILL = "#e8edf3"
_ACCENT_FILL = "#fff8e1"
_RED = "#f4c7c3"
_AMBER = "#fce8b2"
_GREY = "#9e9e9e"

_NUMBER_FORMATS: Mapping[Format, Mapping[str, str]] = {
    Format.TEXT: {"type": "TEXT"},
    Format.PROSE: {"type": "TEXT"},
    Format.NUMBER: {"type": "NUMBER", "pattern": "0"},
    Format.MONEY: {"type": "NUMBER", "pattern": "0.00"},
    Format.DATETIME: {"type": "DATE_TIME", "pattern": "yyyy-mm-dd hh:mm:ss"},
}
_OURS = "sheets-sync: "


@dataclass(frozen=True)
class Found:
    """One tab as it stands: its header, and Google's own words for the rest (a Sheet resource)."""

    info: TabInfo
    header: tuple[str, ...] = ()
    cells: tuple[tuple[Mapping[str, Any], ...], ...] = ()  # CellData of the first rows
    columns: tuple[Mapping[str, Any], ...] = ()  # DimensionProperties
    frozen_rows: int = 0
    protections: tuple[Mapping[str, Any], ...] = ()
    rules: tuple[Mapping[str, Any], ...] = ()
    top: int = 0  # the header's row, counted from 0
    head: tuple[str, ...] = ()  # the names of the settings in row 1, where the header stands below them

    @classmethod
    def of(cls, info: TabInfo, sheet: Mapping[str, Any], tab: Tab | None = None) -> Found:
        """From a Sheet resource read with the first rows' cells; zeros and empty values are left out in it."""
        block: Mapping[str, Any] = next(iter(sheet.get("data", ())), {})
        cells = tuple(tuple(row.get("values", ())) for row in block.get("rowData", ()))
        top = _header_row(cells, tab) if tab is not None and tab.head else 0
        return cls(
            info=info,
            header=_names(cells, top),
            head=_names(cells, 0) if top else (),
            top=top,
            cells=cells,
            columns=tuple(block.get("columnMetadata", ())),
            frozen_rows=sheet["properties"].get("gridProperties", {}).get("frozenRowCount", 0),
            protections=tuple(sheet.get("protectedRanges", ())),
            rules=tuple(sheet.get("conditionalFormats", ())),
        )

    def cell(self, row: int, column: int) -> Mapping[str, Any]:
        line = self.cells[row] if row < len(self.cells) else ()
        return line[column] if column < len(line) else {}

    def hidden(self, column: int) -> bool:
        return column < len(self.columns) and bool(self.columns[column].get("hiddenByUser"))


def _names(cells: Sequence[Sequence[Mapping[str, Any]]], row: int) -> tuple[str, ...]:
    header = [_shown(cell) for cell in (cells[row] if row < len(cells) else ())]
    while header and not header[-1]:
        header.pop()
    return tuple(header)


def _header_row(cells: Sequence[Sequence[Mapping[str, Any]]], tab: Tab) -> int:
    """Rows may have been inserted or deleted above it: the row that has the most of the table's headers."""
    ours = {c.header for c in tab.columns}
    most = [len(ours & set(_names(cells, row))) for row in range(len(cells))]
    return most.index(max(most)) if any(n > 1 for n in most) else tab.top


@dataclass(frozen=True)
class Survey:
    """The whole workbook as it stands. `plain` says of each tab with SKUs whether all of them are plain text."""

    layout: Layout
    found: Mapping[str, Found] = field(default_factory=dict)
    plain: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Requests to be sent in one chained batch, what they do in words, and the ids of the tabs once they landed."""

    requests: tuple[Request, ...]
    says: tuple[str, ...]
    tab_ids: Mapping[str, int]

    @property
    def stock_tab_id(self) -> int:
        return self.tab_ids[tabs.STOCK]


def plan(survey: Survey, wanted: Sequence[Tab], new_ids: Iterator[int]) -> Plan:
    """What makes the workbook as wanted, and nothing else: an empty plan where it is so already.

    `new_ids` gives the ids of tabs to be made (`fresh_ids`). Raises SheetNotReady where a header occurs twice.
    """
    requests: list[Request] = []
    says: list[str] = []
    ids: dict[str, int] = {}
    for tab in wanted:
        found = survey.found.get(tab.title)
        if found is None:
            ids[tab.title] = next(new_ids)
            requests += _make(tab, ids[tab.title])
            says.append(f"made the tab {tab.title}")
            continue
        ids[tab.title] = found.info.id
        _refuse_twice(tab, found)
        for words, request in _repair(tab, found, survey.plain.get(tab.title, True)):
            requests.append(request)
            says.append(f"{tab.title}: {words}")
    return Plan(tuple(requests), tuple(dict.fromkeys(says)), ids)


def first_exchange(
    exchange_id: str, ledger_id: str, spreadsheet_id: str, stock_tab_id: int, exchange_tab_id: int = 900
) -> list[Request]:
    """The chain's first link: `_exchange`, hidden, and the named range whose id is `exchange_id` (9-10 digits).

    A second one is refused whole by the range's name (ExchangeRefused). Its intention is recorded before it is sent.
    """
    ids = (exchange_id, "", ledger_id, spreadsheet_id, str(stock_tab_id))
    grid = {"rowCount": 3, "columnCount": 10}
    about = {"sheetId": exchange_tab_id, "title": tabs.EXCHANGE, "hidden": True, "gridProperties": grid}
    named = {"namedRangeId": exchange_id, "name": CHAIN_NAME, "range": _grid(exchange_tab_id, (0, 1), (0, 1))}
    cells = [{"userEnteredValue": {"stringValue": text}} if text else {} for text in ids]
    return [
        {"addSheet": {"properties": about}},
        {"addNamedRange": {"namedRange": named}},
        _cells({"range": {"sheetId": exchange_tab_id}}, cells, "userEnteredValue"),
    ]


def fresh_ids(layout: Layout) -> Iterator[int]:
    """Random ids for new tabs. Never a deleted tab's: whoever finds a new id under an old title can tell."""
    used = {tab.id for tab in layout.tabs.values()}
    while True:
        candidate = random.randrange(10**8, 2**31)
        if candidate not in used:
            used.add(candidate)
            yield candidate


def formats(sheet: int, header: Sequence[Any], columns: Sequence[Column]) -> list[Request]:
    """Number formats for whole columns: rows that were appended beyond the end of a tab have none."""
    return [_format(sheet, header.index(c.header), c, fill=False) for c in columns if c.header in header]


def letter(column: int) -> str:
    """The letters over a column, counted from 0."""
    return gspread.utils.rowcol_to_a1(1, column + 1)[:-1]


def number_format(cell: Mapping[str, Any]) -> str:
    """The type of a cell's number format, "" where nobody gave it one."""
    kind: str = cell.get("userEnteredFormat", {}).get("numberFormat", {}).get("type", "")
    return kind


def _make(tab: Tab, sheet: int) -> Iterator[Request]:
    grid = {
        "rowCount": tab.rows,
        "columnCount": max(len(tab.columns), len(tab.head)),
        "frozenRowCount": tab.top + 1,
        "frozenColumnCount": tab.frozen_columns,
    }
    yield {"addSheet": {"properties": {"sheetId": sheet, "title": tab.title, "gridProperties": grid}}}
    yield from _dress(tab, sheet, dict(enumerate(tab.columns)), tab.top)
    if tab.head:
        yield from _dress_head(tab, sheet, dict(enumerate(tab.head)))
    if tab.served:
        yield _protect(sheet, None, tab.title)
    yield from (_rule(rule, at) for at, rule in enumerate(_rules(tab, sheet, [c.header for c in tab.columns])))


def _repair(tab: Tab, found: Found, plain: bool) -> Iterator[tuple[str, Request]]:
    sheet, header = found.info.id, list(found.header)
    missing = [c for c in tab.columns if c.header not in header]
    if missing:
        words = "added " + ", ".join(repr(c.header) for c in missing)
        at = len(header)
        header += [c.header for c in missing]
        yield words, _room(found.info, at, len(missing))
        for request in _dress(tab, sheet, dict(zip(count(at), missing, strict=False)), found.top):
            yield words, request
    if not found.frozen_rows:
        about = {"sheetId": sheet, "gridProperties": {"frozenRowCount": found.top + 1}}
        yield (
            "froze the header",
            {"updateSheetProperties": {"properties": about, "fields": "gridProperties.frozenRowCount"}},
        )
    for column in tab.columns:
        if column.header in found.header:
            yield from _mend(tab, found, column, plain)
    if tab.served and not any(_covers(p, None, found.info) for p in found.protections):
        yield "protected the tab", _protect(sheet, None, tab.title)
    yield from _mend_rules(tab, found, header)
    if tab.head:
        yield from _mend_head(tab, found)


def _mend_head(tab: Tab, found: Found) -> Iterator[tuple[str, Request]]:
    """Settings that are missing are put behind those that are there; where all are gone, above the table again."""
    sheet, missing = found.info.id, [c for c in tab.head if c.header not in found.head]
    if not missing:
        return
    if len(missing) == len(tab.head):
        rows = {"sheetId": sheet, "dimension": "ROWS", "startIndex": 0, "endIndex": tab.top}
        yield "put the settings back above the rows", {"insertDimension": {"range": rows, "inheritFromBefore": False}}
    at = len(found.head) if len(missing) < len(tab.head) else 0
    short = at + len(missing) - found.info.columns
    if short > 0:
        more = {"sheetId": sheet, "dimension": "COLUMNS", "length": short}
        yield "put the settings back above the rows", {"appendDimension": more}
    for request in _dress_head(tab, sheet, dict(zip(count(at), missing, strict=False))):
        yield "put the settings back above the rows", request


def _dress_head(tab: Tab, sheet: int, new: Mapping[int, Column]) -> Iterator[Request]:
    """Settings above the table: their names, and a cell below each for what is chosen."""
    yield _cells({"start": _at(sheet, 0, min(new))}, [_header_cell(c) for c in new.values()], _HEADER_FIELDS)
    for at, column in new.items():
        yield _format(sheet, at, column, rows=(1, tab.top if column.format is Format.PROSE else 2))
        if column.choices or column.format is Format.TICK:
            yield _validate(tab, sheet, at, column, rows=(1, 2))
        if at >= len(tab.columns):
            yield _width(sheet, at, column)
            yield _protect(sheet, at, column.header)


def _dress(tab: Tab, sheet: int, new: Mapping[int, Column], top: int) -> Iterator[Request]:
    """Neighbouring new columns in full: header, formats, widths, validation, protection."""
    first = min(new)
    yield _cells({"start": _at(sheet, top, first)}, [_header_cell(c) for c in new.values()], _HEADER_FIELDS)
    for at, column in new.items():
        yield _format(sheet, at, column, rows=(top + 1, None))
        yield _width(sheet, at, column)
        if column.hidden:
            yield _hide(sheet, at)
        if column.choices or column.format is Format.TICK:
            yield _validate(tab, sheet, at, column, rows=_ruled(tab, column, top))
        if column.writer is Writer.SERVICE and not tab.served:
            yield _protect(sheet, at, column.header)


def _mend(tab: Tab, found: Found, column: Column, plain: bool) -> Iterator[tuple[str, Request]]:
    """What a column that is there lacks. Its look is given back only where the header lost ours as well."""
    sheet, at = found.info.id, found.header.index(column.header)
    name = repr(column.header)
    top = found.top
    head, first = found.cell(top, at), found.cell(top + 1, at)
    undressed = not head.get("userEnteredFormat", {}).get("textFormat", {}).get("bold")
    if undressed or (column.help and not head.get("note")):
        note = {"note": head["note"]} if head.get("note") else {}
        cell = {**_header_cell(column), **note}
        cell.pop("userEnteredValue")
        yield f"dressed the header {name}", _cells({"start": _at(sheet, top, at)}, [cell], _DRESS_FIELDS)
    if undressed:
        yield f"dressed the header {name}", _width(sheet, at, column)
    if column.format in _NUMBER_FORMATS:
        right = number_format(first) == _NUMBER_FORMATS[column.format]["type"]
        if undressed or not right or (column.header == tabs.SKU and not plain):
            words = "plain text" if column.format is Format.TEXT else f"a {column.format}"
            yield f"made {name} {words} again", _format(sheet, at, column, fill=undressed, rows=(top + 1, None))
    if column.hidden and not found.hidden(at):
        yield f"hid {name}", _hide(sheet, at)
    if (column.choices or column.format is Format.TICK) and not _validated(tab, found, at, column):
        yield f"gave {name} its choices again", _validate(tab, sheet, at, column, rows=_ruled(tab, column, top))
    if (
        column.writer is Writer.SERVICE
        and not tab.served
        and not any(_covers(p, at, found.info) for p in found.protections)
    ):
        yield f"protected {name} (a warning only)", _protect(sheet, at, column.header)


def _refuse_twice(tab: Tab, found: Found) -> None:
    ours = {c.header for c in tab.columns}
    twice = sorted({name for name in found.header if name in ours and found.header.count(name) > 1})
    if twice:
        raise SheetNotReady(
            f"the tab {tab.title} has the header {twice[0]!r} over more than one column; rename all but one, then again"
        )


# requests -------------------------------------------------------------------------------------------------------

_HEADER_FORMAT = {"textFormat": {"bold": True}, "verticalAlignment": "MIDDLE", "wrapStrategy": "WRAP"}
_FORMAT_NAMES = "userEnteredFormat(textFormat.bold,verticalAlignment,wrapStrategy,backgroundColor)"
_HEADER_FIELDS = f"userEnteredValue,note,{_FORMAT_NAMES}"
_DRESS_FIELDS = f"note,{_FORMAT_NAMES}"


def _header_cell(column: Column) -> dict[str, Any]:
    cell: dict[str, Any] = {
        "userEnteredValue": {"stringValue": column.header},
        "userEnteredFormat": {**_HEADER_FORMAT, "backgroundColor": _colour(_HEADER_FILL)},
    }
    return {**cell, "note": column.help} if column.help else cell


def _grid(sheet: int, rows: tuple[int, int | None], columns: tuple[int, int]) -> Request:
    """A GridRange; an open end means every row, those to come among them."""
    end = {} if rows[1] is None else {"endRowIndex": rows[1]}
    return {
        "sheetId": sheet,
        "startRowIndex": rows[0],
        **end,
        "startColumnIndex": columns[0],
        "endColumnIndex": columns[1],
    }


def _at(sheet: int, row: int, column: int) -> Request:
    return {"sheetId": sheet, "rowIndex": row, "columnIndex": column}


def _column(sheet: int, at: int, rows: tuple[int, int | None] = (1, None)) -> Request:
    return _grid(sheet, rows, (at, at + 1))


def _cells(where: Request, cells: Sequence[Mapping[str, Any]], fields: str) -> Request:
    return {"updateCells": {**where, "rows": [{"values": list(cells)}], "fields": fields}}


def _room(tab: TabInfo, at: int, columns: int) -> Request:
    """New, empty columns behind the last header; what stands there without a header moves to the right."""
    if at >= tab.columns:
        return {"appendDimension": {"sheetId": tab.id, "dimension": "COLUMNS", "length": columns}}
    span = {"sheetId": tab.id, "dimension": "COLUMNS", "startIndex": at, "endIndex": at + columns}
    return {"insertDimension": {"range": span, "inheritFromBefore": False}}


def _format(
    sheet: int, at: int, column: Column, *, fill: bool = True, rows: tuple[int, int | None] = (1, None)
) -> Request:
    form: dict[str, Any] = {}
    fields = ["numberFormat"]
    if column.format in _NUMBER_FORMATS:
        form["numberFormat"] = dict(_NUMBER_FORMATS[column.format])
    if column.format is Format.PROSE:
        form["wrapStrategy"] = "WRAP"
        fields.append("wrapStrategy")
    if fill and column.accent:
        form["backgroundColor"] = _colour(_ACCENT_FILL)
        fields.append("backgroundColor")
    what = {"range": _column(sheet, at, rows), "cell": {"userEnteredFormat": form}}
    return {"repeatCell": {**what, "fields": f"userEnteredFormat({','.join(fields)})"}}


def _dimension(sheet: int, at: int, properties: Mapping[str, Any]) -> Request:
    span = {"sheetId": sheet, "dimension": "COLUMNS", "startIndex": at, "endIndex": at + 1}
    return {"updateDimensionProperties": {"range": span, "properties": properties, "fields": ",".join(properties)}}


def _width(sheet: int, at: int, column: Column) -> Request:
    return _dimension(sheet, at, {"pixelSize": column.width})


def _hide(sheet: int, at: int) -> Request:
    return _dimension(sheet, at, {"hiddenByUser": True})


def _condition(column: Column) -> tuple[Mapping[str, Any], bool]:
    """What a cell of the column may hold, and whether anything else is turned down."""
    if column.format is Format.TICK:
        return {"type": "BOOLEAN"}, True
    return {"type": "ONE_OF_LIST", "values": [{"userEnteredValue": word} for word in column.choices]}, False


def _ruled(tab: Tab, column: Column, top: int) -> tuple[int, int | None]:
    return (top + 1, top + 1 + tab.ticked) if column.format is Format.TICK else (top + 1, None)


def _validate(tab: Tab, sheet: int, at: int, column: Column, *, rows: tuple[int, int | None]) -> Request:
    condition, strict = _condition(column)
    rule = {"condition": condition, "strict": strict, "showCustomUi": True}
    return {"setDataValidation": {"range": _column(sheet, at, rows), "rule": rule}}


def _validated(tab: Tab, found: Found, at: int, column: Column) -> bool:
    wanted, _ = _condition(column)
    first = found.top + 1
    rows = range(first, first + (tab.ticked if column.format is Format.TICK else 1))
    conditions = [found.cell(row, at).get("dataValidation", {}).get("condition", {}) for row in rows]
    return all(c.get("type") == wanted["type"] and _said(c) == _said(wanted) for c in conditions)


def _protect(sheet: int, at: int | None, what: str) -> Request:
    area = {"sheetId": sheet} if at is None else {"sheetId": sheet, "startColumnIndex": at, "endColumnIndex": at + 1}
    said = f"{_OURS}{what} is written by the service"
    return {"addProtectedRange": {"protectedRange": {"range": area, "description": said, "warningOnly": True}}}


def _covers(protection: Mapping[str, Any], at: int | None, tab: TabInfo) -> bool:
    """Whether the column (or, for None, the whole tab) is protected, by us or more strictly by a person.

    An open end may come back as it was given or as the tab's size then, so of ours only the columns count.
    """
    area = protection.get("range", {})
    ours = str(protection.get("description", "")).startswith(_OURS)
    tall = not area.get("startRowIndex") and area.get("endRowIndex", tab.rows) >= tab.rows
    left, right = area.get("startColumnIndex", 0), area.get("endColumnIndex", tab.columns)
    inside = (left == 0 and right >= tab.columns) if at is None else left <= at < right
    return bool(inside and (tall or ours))


# colours that depend on what a cell says ------------------------------------------------------------------------


def _rules(tab: Tab, sheet: int, header: Sequence[str]) -> list[Request]:
    if tab.title == tabs.SEED_DAY:
        return _seed_rules(tab, sheet, header)
    if tab.title == tabs.STOCK_TAKE:
        return _stock_take_rules(tab, sheet, header)
    if tab.title in (tabs.ADJUSTMENTS, tabs.KITS):
        return [_colouring(sheet, header.index(tabs.STATUS), "TEXT_STARTS_WITH", "?", _AMBER)]
    if tab.title == tabs.REVIEW:
        return [_review_rule(sheet, header)]
    if tab.title != tabs.STOCK:
        return []
    available, low, status = (header.index(name) for name in (tabs.AVAILABLE, tabs.LOW_STOCK, tabs.STATUS))
    figure, level = f"${letter(available)}2", f"${letter(low)}2"
    return [
        _colouring(sheet, available, "NUMBER_LESS", "0", _RED),
        _colouring(
            sheet, available, "CUSTOM_FORMULA", f"=AND(ISNUMBER({figure}),ISNUMBER({level}),{figure}<={level})", _AMBER
        ),
        _colouring(sheet, status, "TEXT_STARTS_WITH", "held", _AMBER),
        _colouring(sheet, status, "TEXT_STARTS_WITH", "?", _AMBER),
    ]


def _review_rule(sheet: int, header: Sequence[str]) -> Request:
    """What is answered is grey. From the header on: new rows come in just below it, and have to lie within."""
    formula = f'=LEFT(${letter(header.index(tabs.STATUS))}1,8)="answered"'
    condition = {"type": "CUSTOM_FORMULA", "values": [{"userEnteredValue": formula}]}
    return {
        "ranges": [{"sheetId": sheet, "startRowIndex": 0, "startColumnIndex": 0, "endColumnIndex": len(header)}],
        "booleanRule": {"condition": condition, "format": {"textFormat": {"foregroundColor": _colour(_GREY)}}},
    }


def _seed_rules(tab: Tab, sheet: int, header: Sequence[str]) -> list[Request]:
    """A channel's figure that differs from the primary's, and what a person typed instead."""
    primary = f"${letter(header.index(tabs.PRIMARY_SHOWS))}2"
    out = []
    for column in tab.columns:
        if column.key.startswith("channel:"):
            at = header.index(column.header)
            figure = f"${letter(at)}2"
            differs = f"=AND(ISNUMBER({figure}),ISNUMBER({primary}),{figure}<>{primary})"
            out.append(_colouring(sheet, at, "CUSTOM_FORMULA", differs, _AMBER))
    return out


def _stock_take_rules(tab: Tab, sheet: int, header: Sequence[str]) -> list[Request]:
    """What differs, and the rows that do not count."""
    difference, status, rows = header.index("Difference"), header.index(tabs.STATUS), (tab.top + 1, None)
    return [
        _colouring(sheet, difference, "NUMBER_LESS", "0", _RED, rows),
        _colouring(sheet, difference, "NUMBER_GREATER", "0", _AMBER, rows),
        _colouring(sheet, status, "TEXT_STARTS_WITH", "?", _AMBER, rows),
    ]


def _colouring(
    sheet: int, at: int, kind: str, value: str, colour: str, rows: tuple[int, int | None] = (1, None)
) -> Request:  # fmt: skip
    condition = {"type": kind, "values": [{"userEnteredValue": value}]}
    return {
        "ranges": [_column(sheet, at, rows)],
        "booleanRule": {"condition": condition, "format": {"backgroundColor": _colour(colour)}},
    }


def _rule(rule: Request, index: int) -> Request:
    return {"addConditionalFormatRule": {"rule": rule, "index": index}}


def _mend_rules(tab: Tab, found: Found, header: Sequence[str]) -> Iterator[tuple[str, Request]]:
    """Rules of ours that are gone are put behind a person's own; a formula that names old columns is set right."""
    here = [_rule_key(rule) for rule in found.rules]
    behind = count(len(found.rules))
    for rule in _rules(tab, found.info.id, header):
        at, kind, value = _rule_key(rule)
        if (at, kind, value) in here:
            continue
        old = [i for i, (a, k, v) in enumerate(here) if (a, k) == (at, kind) and v.startswith("=AND(ISNUMBER($")]
        if old:
            change = {"index": old[0], "sheetId": found.info.id, "rule": rule}
            yield "set a colour's columns right", {"updateConditionalFormatRule": change}
        else:
            yield "gave the colours back", _rule(rule, next(behind))


def _rule_key(rule: Mapping[str, Any]) -> tuple[int, str, str]:
    condition = rule.get("booleanRule", {}).get("condition", {})
    start = (rule.get("ranges") or [{}])[0].get("startColumnIndex", 0)
    return start, condition.get("type", ""), next(iter(_said(condition)), "")


def _said(condition: Mapping[str, Any]) -> list[str]:
    values: Iterable[Mapping[str, Any]] = condition.get("values", ())
    return [str(v.get("userEnteredValue", "")) for v in values]


def _colour(hexadecimal: str) -> dict[str, float]:
    red, green, blue = (int(hexadecimal[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return {"red": red, "green": green, "blue": blue}


def _shown(cell: Mapping[str, Any]) -> str:
    value: Mapping[str, Any] = cell.get("effectiveValue", {})
    return "" if not value else str(next(iter(value.values())))
