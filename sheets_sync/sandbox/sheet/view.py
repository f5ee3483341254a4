"""What the page shows of a tab: texts, looks and locks, as plain JSON. Pure.

Cell: null where there is nothing, else {t: text, e: text to edit where it differs, s: index into styles, n: note,
r: 1 where it stands right, k: "check" or "list", v: ticked, o: choices, x: 1 where only those are taken, m: why it is
not what its validation asks for}.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sheets_sync.sandbox.sheet import a1
from sheets_sync.sandbox.sheet.a1 import Box
from sheets_sync.sandbox.sheet.conditions import behind_filter, holds, known
from sheets_sync.sandbox.sheet.display import show
from sheets_sync.sandbox.sheet.formula import Reckoner, shifted
from sheets_sync.sandbox.sheet.grid import DEFAULT_WIDTH, Book, ErrorValue, Json, Tab, Value

LARGEST = 1000  # rows that one answer has at most
FOUND = 2000  # cells that one search names at most
CHOICES = 2000  # values that a filter offers at most


def book_view(book: Book, sheet_id: int | None, shown: Shown, start: int = 0, end: int = 200) -> Json:
    """The workbook's tabs, and one of them (the first where it is None or gone) with the shown rows start to end."""
    visible = [tab for tab in book.tabs if not tab.hidden]
    tab = next((tab for tab in visible if tab.sheet_id == sheet_id), visible[0])
    return {
        "spreadsheetId": book.spreadsheet_id,
        "title": book.properties["title"],
        "revision": book.revision,
        "tabs": [
            {"id": t.sheet_id, "title": t.title, "colour": _css_colour(t.properties.get("tabColor"))} for t in visible
        ],
        "sheet": tab_view(book, tab, shown, start, end),
    }


class Shown:
    """Which rows of a tab are shown: those that neither a filter nor a person hides. Remembers the last few tabs.

    Tabs that were published do not change, so a tab that is the same object shows the same rows.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[Tab, Sequence[int]]] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self, tab: Tab) -> Sequence[int]:
        with self._lock:
            known = self._known.get(id(tab))
        if known:
            return known[1]
        rows = shown_rows(tab)
        with self._lock:
            self._known[id(tab)] = tab, rows
            while len(self._known) > 8:
                self._known.popitem(last=False)
        return rows


def shown_rows(tab: Tab) -> Sequence[int]:
    """The indexes of rows that are shown; the frozen ones always are."""
    filtered = behind_filter(tab)
    hidden = {i for i, kept in enumerate(tab.rows) if kept and kept.get("hiddenByUser")}
    hidden.update(filtered)
    hidden.difference_update(range(tab.grid.get("frozenRowCount") or 0))
    return [i for i in range(len(tab.values)) if i not in hidden] if hidden else range(len(tab.values))


def shown_columns(tab: Tab) -> list[int]:
    """The indexes of columns that are shown."""
    return [c for c, kept in enumerate(tab.columns) if not (kept or {}).get("hiddenByUser")]


def tab_view(book: Book, tab: Tab, shown: Shown, start: int, end: int) -> Json:
    """One tab as the page draws it; `start` and `end` count the shown rows."""
    rows, columns, painter = shown.rows(tab), shown_columns(tab), _Painter(book, tab)
    start = max(0, start)
    end = min(max(start, end), start + LARGEST, len(rows))
    return {
        "id": tab.sheet_id,
        "title": tab.title,
        "rowCount": len(tab.values),
        "shownRows": len(rows),
        "usedRows": tab.used_rows(),
        "runs": _runs(rows),
        "frozenRows": min(tab.grid.get("frozenRowCount") or 0, len(tab.values)),
        "frozenColumns": sum(c < (tab.grid.get("frozenColumnCount") or 0) for c in columns),
        "columns": [_column(tab, column) for column in columns],
        "filter": _filter(tab),
        "start": start,
        "rows": [{"i": row, "c": [painter.cell(row, column) for column in columns]} for row in rows[start:end]],
        "styles": painter.styles,
        "merges": [
            [m.get(k) or 0 for k in ("startRowIndex", "endRowIndex", "startColumnIndex", "endColumnIndex")]
            for m in tab.merges
        ],
    }


def _runs(rows: Sequence[int]) -> list[list[int]]:
    """Rows as [first, end) runs; a filter that hides every other row of very many is sent as it is, too."""
    if isinstance(rows, range):
        return [[0, len(rows)]]
    runs: list[list[int]] = []
    for row in rows:
        if runs and runs[-1][1] == row:
            runs[-1][1] += 1
        else:
            runs.append([row, row + 1])
    return runs


def _filter(tab: Tab) -> Json | None:
    if tab.basic_filter is None:
        return None
    place = tab.basic_filter.get("range") or {}
    active = {s.get("columnIndex") or 0 for s in tab.basic_filter.get("filterSpecs") or () if s.get("filterCriteria")}
    active |= {int(column) for column, criteria in (tab.basic_filter.get("criteria") or {}).items() if criteria}
    end = place.get("endColumnIndex")
    return {
        "row": place.get("startRowIndex") or 0,
        "range": place,
        "specs": list(tab.basic_filter.get("filterSpecs") or ())
        + [{"columnIndex": int(c), "filterCriteria": f} for c, f in (tab.basic_filter.get("criteria") or {}).items()],
        "columns": [place.get("startColumnIndex") or 0, len(tab.columns) if end is None else end],
        "active": sorted(active),
    }


def choices(tab: Tab, column: int) -> Json:
    """The values that a filter of that column offers, as they are shown, with how often; and which it hides."""
    kept = tab.basic_filter or {}
    place = kept.get("range") or {}
    first, last = (place.get("startRowIndex") or 0) + 1, place.get("endRowIndex") or len(tab.values)
    counts = Counter(_shown_text(tab, row, column) for row in range(first, min(last, len(tab.values))))
    criteria = dict(kept.get("criteria") or {}).get(str(column)) or {}
    for spec in kept.get("filterSpecs") or ():
        if (spec.get("columnIndex") or 0) == column:
            criteria = spec.get("filterCriteria") or {}
    ordered = sorted(counts.items(), key=lambda item: _natural(item[0]))
    return {
        "values": ordered[:CHOICES],
        "more": len(ordered) > CHOICES,
        "hidden": list(criteria.get("hiddenValues") or ()),
    }


def _natural(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text.replace(",", "")), text
    except ValueError:
        return (2 if not text else 1), 0.0, text.casefold()


def _shown_text(tab: Tab, row: int, column: int) -> str:
    value = tab.value(row, column)
    if isinstance(value, str):
        return value
    return show(value, ((tab.style(row, column) or {}).get("userEnteredFormat") or {}).get("numberFormat"))


def find(tab: Tab, shown: Shown, text: str) -> list[list[int]]:
    """Cells that show the text, whatever its case: [shown row, shown column], in reading order."""
    wanted, found = text.casefold(), []
    columns = list(enumerate(shown_columns(tab)))
    for at, row in enumerate(shown.rows(tab)):
        width = len(tab.values[row])
        for place, column in columns:
            if column < width and wanted in _shown_text(tab, row, column).casefold():
                found.append([at, place])
                if len(found) == FOUND:
                    return found
    return found


def misfit(tab: Tab, row: int, column: int) -> str:
    """Why a cell's value is not what its validation asks for; "" where it is, or nothing is asked."""
    rule = (tab.style(row, column) or {}).get("dataValidation") or {}
    condition = rule.get("condition") or {}
    value = tab.value(row, column)
    if not known(condition.get("type") or "") or (value == "" and type(value) is str) or holds(condition, value):
        return ""
    if rule.get("inputMessage"):
        return str(rule["inputMessage"])
    wanted = ", ".join(str(v.get("userEnteredValue") or "") for v in condition.get("values") or ())
    if condition["type"] == "ONE_OF_LIST":
        return f"“{show(value)}” is none of: {wanted}."
    if condition["type"] == "BOOLEAN":
        return f"“{show(value)}” is not TRUE or FALSE: here stands a tick box."
    return f"“{show(value)}” is not what is asked for here: {condition['type'].replace('_', ' ').lower()} {wanted}."


def _column(tab: Tab, column: int) -> Json:
    width = (tab.columns[column] or {}).get("pixelSize") or DEFAULT_WIDTH
    shown: Json = {"i": column, "name": a1.letters(column), "width": width}
    lock = next((p for p in tab.protected if _locks(p, column)), None)
    if lock:
        shown["lock"] = lock.get("description") or "Protected"
    return shown


def _locks(protected: Json, column: int) -> bool:
    """Whole-column protection only: a single protected cell puts no lock on its column."""
    free = any(_covers(place, column) for place in protected.get("unprotectedRanges") or ())
    return _covers(protected.get("range") or {}, column) and not free


def _covers(grid_range: Json, column: int) -> bool:
    start, end = grid_range.get("startColumnIndex") or 0, grid_range.get("endColumnIndex")
    return grid_range.get("endRowIndex") is None and start <= column and (end is None or column < end)


@dataclass
class _Painter:
    """Cells of one tab; looks that are the same are sent once."""

    book: Book
    tab: Tab
    styles: list[Json] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reckoner = Reckoner(self.book)
        self.rules = [
            (self._boxes(rule), rule["booleanRule"]) for rule in self.tab.conditional if rule.get("booleanRule")
        ]

    def _boxes(self, rule: Json) -> list[Box]:
        size = len(self.tab.values), len(self.tab.columns)
        return [
            a1.Area(
                r.get("startRowIndex") or 0,
                r.get("endRowIndex"),
                r.get("startColumnIndex") or 0,
                r.get("endColumnIndex"),
            ).within(*size)
            for r in rule["ranges"]
        ]

    def cell(self, row: int, column: int) -> Json | None:
        value, kept = self.tab.value(row, column), self.tab.style(row, column) or {}
        shape = kept.get("userEnteredFormat") or {}
        text = show(value, shape.get("numberFormat"))
        shown: Json = {"t": text} if text else {}
        formula = self.tab.formulas[row].get(column)
        edit = formula or _edit_text(value, text, shape)
        if edit != text:
            shown["e"] = edit
        if not isinstance(value, str):
            shown["r"] = 1
        if kept.get("note"):
            shown["n"] = kept["note"]
        look = self._look(row, column, value, shape)
        if look:
            shown["s"] = self._style(look)
        if kept.get("dataValidation"):
            shown.update(_input(kept["dataValidation"], value))
            problem = misfit(self.tab, row, column)
            if problem:
                shown["m"] = problem
        return shown or None

    def _look(self, row: int, column: int, value: Value, shape: Json) -> Json:
        for boxes, rule in self.rules:
            box = next((b for b in boxes if b.r0 <= row < b.r1 and b.c0 <= column < b.c1), None)
            if box and self._holds(rule.get("condition") or {}, row, column, value, box):
                over = rule.get("format") or {}
                text = {**(shape.get("textFormat") or {}), **(over.get("textFormat") or {})}
                shape = {**shape, **over, "textFormat": text}
                break
        return _css(shape)

    def _holds(self, condition: Json, row: int, column: int, value: Value, box: Box) -> bool:
        wanted = [str(v.get("userEnteredValue") or "") for v in condition.get("values") or ()]
        kind = condition.get("type") or ""
        if kind == "CUSTOM_FORMULA" and wanted:
            return self.reckoner.work_out(self.tab, shifted(wanted[0], row - box.r0, column - box.c0)) is True
        return holds(condition, value)

    def _style(self, look: Json) -> int:
        key = repr(sorted(look.items()))
        if key not in self.known:
            self.known[key] = len(self.styles)
            self.styles.append(look)
        return self.known[key]


def _edit_text(value: Value, text: str, shape: Json) -> str:
    """What the editor opens with: what typed again gives the same value."""
    if isinstance(value, ErrorValue) or value == "":
        return text
    kind = (shape.get("numberFormat") or {}).get("type")
    if isinstance(value, str):
        return f"'{value}" if kind != "TEXT" and value[0] in "='+" else value
    return text if kind in ("DATE", "TIME", "DATE_TIME", "PERCENT", "CURRENCY") else show(value)


def _input(rule: Json, value: Value) -> Json:
    condition = rule.get("condition") or {}
    if condition.get("type") == "BOOLEAN":
        return {"k": "check", "v": value is True}
    if condition.get("type") == "ONE_OF_LIST":
        choices = [str(v.get("userEnteredValue") or "") for v in condition.get("values") or ()]
        return {"k": "list", "o": choices, **({"x": 1} if rule.get("strict") else {})}
    return {}


def _css_colour(colour: Any) -> str | None:
    if not isinstance(colour, dict):
        return None
    return "#" + "".join(
        f"{round(255 * min(1.0, max(0.0, float(colour.get(c) or 0)))):02x}" for c in ("red", "green", "blue")
    )


def _css(shape: Json) -> Json:
    """The format as CSS properties; only what the page draws."""
    text = shape.get("textFormat") or {}
    look = {
        "backgroundColor": _css_colour(shape.get("backgroundColor")),
        "color": _css_colour(text.get("foregroundColor")),
        "fontWeight": "600" if text.get("bold") else None,
        "fontStyle": "italic" if text.get("italic") else None,
        "textDecoration": "line-through" if text.get("strikethrough") else None,
        "textAlign": (shape.get("horizontalAlignment") or "").lower() or None,
        "whiteSpace": "pre-wrap" if shape.get("wrapStrategy") == "WRAP" else None,
    }
    if look["backgroundColor"] == "#ffffff":
        look["backgroundColor"] = None
    return {name: value for name, value in look.items() if value}
