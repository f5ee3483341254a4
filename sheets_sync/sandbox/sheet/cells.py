"""Requests that write, copy, move, sort and search cells, and what typing does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sheets_sync.sandbox.sheet import conditions, entered, formula, mask, metadata
from sheets_sync.sandbox.sheet.a1 import Box
from sheets_sync.sandbox.sheet.display import show
from sheets_sync.sandbox.sheet.draft import Draft, Refused, last_body_row, mask_of
from sheets_sync.sandbox.sheet.grid import ErrorValue, Json, Style, Tab, Value, splice
from sheets_sync.sandbox.sheet.moves import reordered

TEXT_LIMIT = 50_000  # characters in a cell


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of one row's cells: what is copied, cut and sorted."""

    values: list[Value]
    style: Style
    formulas: dict[int, str]


def cut(tab: Tab, row: int, c0: int, c1: int) -> Piece:
    """The cells c0 to c1 of a row, padded to that width."""
    values, style = tab.values[row][c0:c1], tab.styles[row][c0:c1]
    width = c1 - c0
    texts = {c - c0: text for c, text in tab.formulas[row].items() if c0 <= c < c1} if tab.formulas[row] else {}
    return Piece(values + [""] * (width - len(values)), style + (None,) * (width - len(style)), texts)


def lay(
    tab: Tab, row: int, column: int, piece: Piece, what: str = "PASTE_NORMAL", offset: tuple[int, int] = (0, 0)
) -> None:
    """Put a piece into a row; formulas read on from their new place, `offset` rows and columns away."""
    if what in ("PASTE_NORMAL", "PASTE_NO_BORDERS", "PASTE_VALUES", "PASTE_FORMULA"):
        tab.put_values(
            row,
            column,
            [str(v) if isinstance(v, ErrorValue) else v for v in piece.values]
            if what == "PASTE_VALUES"
            else piece.values,
        )
        if what != "PASTE_VALUES":
            for at, text in piece.formulas.items():
                tab.put_formula(row, column + at, formula.shifted(text, *offset) if offset != (0, 0) else text)
    if what in ("PASTE_NORMAL", "PASTE_NO_BORDERS"):
        if piece.style.count(None) < len(piece.style) or tab.styles[row]:
            tab.put_style(row, column, piece.style)
    elif what in ("PASTE_FORMAT", "PASTE_DATA_VALIDATION"):
        part = "userEnteredFormat" if what == "PASTE_FORMAT" else "dataValidation"
        tab.put_style(
            row, column, [_with_part(tab.style(row, column + i), part, cell) for i, cell in enumerate(piece.style)]
        )


def _with_part(cell: Json | None, part: str, source: Json | None) -> Json | None:
    result = {k: v for k, v in (cell or {}).items() if k != part}
    if source and part in source:
        result[part] = source[part]
    return result or None


def _cell_value(cell: Json) -> tuple[Value, str | None]:
    """Value and formula of an ExtendedValue; an empty one clears."""
    extended = cell.get("userEnteredValue") or {}
    kinds = [k for k in extended if extended[k] is not None]
    if len(kinds) > 1:
        raise Refused(f"a userEnteredValue has one kind of value, not {', '.join(kinds)}")
    if not kinds:
        return "", None
    kind, value = kinds[0], extended[kinds[0]]
    if kind == "numberValue" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return entered.tidy(value), None
    if kind == "boolValue" and isinstance(value, bool):
        return value, None
    if kind in ("stringValue", "formulaValue") and isinstance(value, str):
        _check_length(value)
        return (value, None) if kind == "stringValue" else ("", value if value.startswith("=") else f"={value}")
    raise Refused(f"userEnteredValue.{kind} can not be {value!r}")


def _check_length(text: str) -> None:
    if len(text) > TEXT_LIMIT:
        raise Refused(f"Your input contains more than the maximum of {TEXT_LIMIT} characters in a single cell.")


def _tidy_cell(cell: Json) -> Json:
    """A cell's format as Google keeps it: both spellings of each colour, zero components left out."""
    if not cell.get("userEnteredFormat"):
        return cell
    return {**cell, "userEnteredFormat": tidy_format(cell["userEnteredFormat"])}


def tidy_format(shape: Json) -> Json:
    """A CellFormat with `backgroundColorStyle` and `foregroundColorStyle` in step with their old spellings."""
    shape = _both_colours({k: v for k, v in shape.items() if v is not None}, "backgroundColor")
    if isinstance(shape.get("textFormat"), dict):
        shape["textFormat"] = _both_colours(dict(shape["textFormat"]), "foregroundColor")
    return shape


def _both_colours(shape: Json, name: str) -> Json:
    style = shape.get(f"{name}Style")
    if style and "rgbColor" in style:
        shape[name] = _colour(style["rgbColor"])
    if name in shape and not (style and "themeColor" in style):
        shape[name] = _colour(shape[name])
        shape[f"{name}Style"] = {"rgbColor": shape[name]}
    return shape


def _colour(colour: Json) -> Json:
    return {part: entered.tidy(round(amount, 8)) for part, amount in colour.items() if amount}


_STYLE_FIELDS = ("userEnteredFormat", "note", "dataValidation", "textFormatRuns", "hyperlink", "chipRuns", "pivotTable")


def _style_mask(tree: mask.Mask) -> mask.Mask:
    if mask.whole(tree):
        return {name: {} for name in _STYLE_FIELDS[:3]}
    unknown = [name for name in tree if name not in (*_STYLE_FIELDS, "userEnteredValue")]
    if unknown:
        raise Refused(f"Invalid field: {unknown[0]}")
    return {name: below for name, below in tree.items() if name in _STYLE_FIELDS[:3]}


def _wire_mask(tree: mask.Mask) -> mask.Mask:
    """A mask that names one spelling of a colour clears or sets the other as well."""
    widened: mask.Mask = {name: _wire_mask(below) for name, below in tree.items()}
    for name in ("backgroundColor", "foregroundColor"):
        for spelling, other in ((name, f"{name}Style"), (f"{name}Style", name)):
            if spelling in tree and other not in tree:
                widened[other] = {}
    return widened


class Stylist:
    """Merges a mask's parts of a cell into styles; equal styles stay one object, so a column of 100,000 is cheap."""

    def __init__(self, tree: mask.Mask) -> None:
        self.tree = _wire_mask(_style_mask(tree))
        self.memo: dict[tuple[int, int, int], tuple[Style, Style]] = {}

    def cell(self, old: Json | None, new: Json) -> Json | None:
        return {k: v for k, v in mask.merge(old or {}, new, self.tree).items() if v not in ("", None)} or None

    def fill(self, tab: Tab, row: int, c0: int, c1: int, cell: Json) -> None:
        old = tab.styles[row]
        key = (id(old), c0, c1)
        known = self.memo.get(key)
        if known is None:
            known = old, splice(old, c0, [self.cell(old[c] if c < len(old) else None, cell) for c in range(c0, c1)])
            self.memo[key] = known
        tab.styles[row] = known[1]


def update_cells(draft: Draft, body: Json) -> None:
    tree = mask_of(body)
    rows = body.get("rows") or []
    if body.get("start") is not None:
        start = body["start"]
        tab = draft.tab(start.get("sheetId") or 0)
        r0, c0 = start.get("rowIndex") or 0, start.get("columnIndex") or 0
        width = max((len(row.get("values") or []) for row in rows), default=0)
        _within(tab, r0 + len(rows), c0 + width)
        for index, row in enumerate(rows):
            _write_row(tab, r0 + index, c0, row.get("values") or [], tree)
        return
    if body.get("range") is None:
        raise Refused("Must specify either 'start' or 'range'.")
    tab, box = draft.reach(body["range"])
    if len(rows) > box.height:
        raise Refused(f"Attempting to write row: {box.r1}, beyond the last requested row of: {box.r1 - 1}")
    for row in rows:
        if len(row.get("values") or []) > box.width:
            raise Refused(f"Attempting to write column: {box.c1}, beyond the last requested column of: {box.c1 - 1}")
    blank: list[Json] = [{}] * box.width
    for row_index in range(box.r0, box.r1):
        cells = (rows[row_index - box.r0].get("values") or []) if row_index - box.r0 < len(rows) else []
        _write_row(tab, row_index, box.c0, [*cells, *blank[len(cells) :]], tree)


def _within(tab: Tab, r1: int, c1: int) -> None:
    if r1 > len(tab.values):
        raise Refused(
            f"Attempting to write row: {len(tab.values)}, beyond the last requested row of: {len(tab.values) - 1}"
        )
    if c1 > len(tab.columns):
        width = len(tab.columns)
        raise Refused(f"Attempting to write column: {width}, beyond the last requested column of: {width - 1}")


def _write_row(tab: Tab, row: int, column: int, cells: Sequence[Json], tree: mask.Mask) -> None:
    if mask.wants(tree, "userEnteredValue"):
        pairs = [_cell_value(cell) for cell in cells]
        if cells and (tab.values[row] or any(value != "" for value, _ in pairs) or tab.formulas[row]):
            tab.put_values(row, column, [value for value, _ in pairs])
        for index, (_, text) in enumerate(pairs):
            if text is not None:
                tab.put_formula(row, column + index, text)
    if list(tree) != ["userEnteredValue"]:
        stylist = Stylist(tree)
        if stylist.tree:
            tab.put_style(
                row,
                column,
                [stylist.cell(tab.style(row, column + i), _tidy_cell(cell)) for i, cell in enumerate(cells)],
            )


def repeat_cell(draft: Draft, body: Json) -> None:
    tree = mask_of(body, "cell")
    tab, box = draft.reach(body["range"])
    cell = _tidy_cell(body.get("cell") or {})
    stylist = Stylist(tree)
    value, text = _cell_value(cell)
    for row in range(box.r0, box.r1):
        if mask.wants(tree, "userEnteredValue"):
            tab.put_values(row, box.c0, [value] * box.width)
            for column in range(box.c0, box.c1) if text else ():
                tab.put_formula(row, column, formula.shifted(text or "", row - box.r0, column - box.c0))
        if stylist.tree:
            stylist.fill(tab, row, box.c0, box.c1, cell)


def append_cells(draft: Draft, body: Json) -> None:
    tree = mask_of(body)
    tab = draft.tab(body.get("sheetId") or 0)
    rows = body.get("rows") or []
    width = max((len(row.get("values") or []) for row in rows), default=0)
    _within(tab, 0, width)
    r0 = tab.used_rows()
    _grow(draft, tab, r0 + len(rows))
    for index, row in enumerate(rows):
        _write_row(tab, r0 + index, 0, row.get("values") or [], tree)


def _grow(draft: Draft, tab: Tab, rows: int, columns: int = 0) -> None:
    """Make the tab at least that large, as pasting beyond its end does; new rows look like the last one."""
    if rows <= len(tab.values) and columns <= len(tab.columns):
        return
    draft.check_room(tab.sheet_id, max(rows, len(tab.values)), max(columns, len(tab.columns)))
    if rows > len(tab.values):
        tab.insert_rows(len(tab.values), rows - len(tab.values), like=last_body_row(tab))
    if columns > len(tab.columns):
        tab.insert_columns(len(tab.columns), columns - len(tab.columns))


def copy_paste(draft: Draft, body: Json) -> None:
    source, target = body["source"], body["destination"]
    what = body.get("pasteType") or "PASTE_NORMAL"
    if what not in PASTES:
        raise Refused(f"pasteType {what} is not known.")
    origin = draft.look(source.get("sheetId") or 0)
    box = draft.box(origin, source)
    left_out = _left_out(draft, origin)
    pieces = [cut(origin, row, box.c0, box.c1) for row in range(box.r0, box.r1) if row not in left_out]
    if body.get("pasteOrientation") == "TRANSPOSE":
        pieces = _transposed(pieces, box.width)
    tab = draft.tab(target.get("sheetId") or 0)
    place = draft.box(tab, target)
    _paste(draft, tab, place, pieces, what, box)


def _left_out(draft: Draft, tab: Tab) -> frozenset[int]:
    """Rows that a copy leaves out: none, or those behind a filter, whichever was asked for."""
    return (
        frozenset()
        if draft.unknowns.copies_hidden_rows
        else frozenset(conditions.behind_filter(tab, draft.book.locale))
    )


def _paste(draft: Draft, tab: Tab, place: Box, pieces: list[Piece], what: str, origin: Box) -> None:
    """Repeat the pieces over a destination that holds them several times, else lay them once at its first cell."""
    height, width = len(pieces), len(pieces[0].values) if pieces else 0
    if not height or not width:
        return
    down = place.height // height if place.height % height == 0 and place.height else 1
    across = place.width // width if place.width % width == 0 and place.width else 1
    draft.box(tab, {"endRowIndex": place.r0 + down * height, "endColumnIndex": place.c0 + across * width})
    rows = _rows_from(tab, place.r0, down * height, _left_out(draft, tab))
    for row, r in enumerate(rows):
        for column in range(0, across * width, width):
            c = place.c0 + column
            lay(tab, r, c, pieces[row % height], what, (r - origin.r0 - row % height, c - origin.c0))


def _rows_from(tab: Tab, first: int, count: int, left_out: frozenset[int]) -> Sequence[int]:
    if not left_out:
        return range(first, first + count)
    return [row for row in range(first, len(tab.values)) if row not in left_out][:count]


def _transposed(pieces: list[Piece], width: int) -> list[Piece]:
    turned = []
    for column in range(width):
        texts = {r: piece.formulas[column] for r, piece in enumerate(pieces) if column in piece.formulas}
        turned.append(Piece([p.values[column] for p in pieces], tuple(p.style[column] for p in pieces), texts))
    return turned


PASTES = (
    "PASTE_NORMAL",
    "PASTE_VALUES",
    "PASTE_FORMAT",
    "PASTE_NO_BORDERS",
    "PASTE_FORMULA",
    "PASTE_DATA_VALIDATION",
    "PASTE_CONDITIONAL_FORMATTING",
)


def cut_paste(draft: Draft, body: Json) -> None:
    source, start = body["source"], body["destination"]
    origin, box = draft.reach(source)
    pieces = [cut(origin, row, box.c0, box.c1) for row in range(box.r0, box.r1)]
    empty = Piece([""] * box.width, (None,) * box.width, {})
    for row in range(box.r0, box.r1):
        lay(origin, row, box.c0, empty)
    tab = draft.tab(start.get("sheetId") or 0)
    r0, c0 = start.get("rowIndex") or 0, start.get("columnIndex") or 0
    draft.box(tab, {"endRowIndex": r0 + box.height, "endColumnIndex": c0 + box.width})
    for index, piece in enumerate(pieces):
        lay(tab, r0 + index, c0, piece, body.get("pasteType") or "PASTE_NORMAL")


def sort_range(draft: Draft, body: Json) -> None:
    tab, box = draft.reach(body["range"])
    specs = body.get("sortSpecs") or [{"dimensionIndex": box.c0}]
    order = list(range(box.r0, box.r1))
    for spec in reversed(specs):
        column = spec.get("dimensionIndex") or 0
        if not box.c0 <= column < box.c1:
            raise Refused(f"sort column {column} lies outside of the range.")
        filled = [row for row in order if tab.value(row, column) != ""]
        filled.sort(
            key=lambda row: formula.order_key(tab.value(row, column)), reverse=spec.get("sortOrder") == "DESCENDING"
        )
        order = filled + [row for row in order if tab.value(row, column) == ""]
    pieces = {row: cut(tab, row, box.c0, box.c1) for row in order if row != order[row - box.r0]}
    for target, row in enumerate(order, box.r0):
        if target != row:
            lay(tab, target, box.c0, pieces[row], offset=(target - row, 0))
    if box.width == len(tab.columns):
        places = {row: at for at, row in enumerate(order, box.r0)}
        metadata.carry(draft, tab.sheet_id, "ROWS", places.get)
        draft.moves.append(reordered(tab.sheet_id, places))


def find_replace(draft: Draft, body: Json) -> Json:
    find, replacement = body.get("find") or "", body.get("replacement") or ""
    if not find:
        raise Refused("'find' must not be empty.")
    pattern = _search_pattern(body, find)
    counts = {"valuesChanged": 0, "formulasChanged": 0, "rowsChanged": 0, "sheetsChanged": 0, "occurrencesChanged": 0}
    for tab, box in _search_places(draft, body):
        rows = set()
        for row, column in [
            (r, c) for r in range(box.r0, box.r1) for c in range(box.c0, min(box.c1, len(tab.values[r])))
        ]:
            hits = _replace_in(draft, tab, row, column, pattern, replacement, body)
            if hits:
                rows.add(row)
                counts["valuesChanged"] += 1
                counts["occurrencesChanged"] += hits
        counts["rowsChanged"] += len(rows)
        counts["sheetsChanged"] += bool(rows)
    return {"findReplace": {name: count for name, count in counts.items() if count}}


def _search_pattern(body: Json, find: str) -> re.Pattern[str]:
    try:
        text = find if body.get("searchByRegex") else re.escape(find)
        return re.compile(
            f"^(?:{text})$" if body.get("matchEntireCell") else text, 0 if body.get("matchCase") else re.IGNORECASE
        )
    except re.error as bad:
        raise Refused(f"'find' is no regular expression: {bad}") from None


def _search_places(draft: Draft, body: Json) -> list[tuple[Tab, Box]]:
    if body.get("range"):
        return [draft.reach(body["range"])]
    ids = [tab.sheet_id for tab in draft.book.tabs] if body.get("allSheets") else [body.get("sheetId") or 0]
    return [(tab, tab.box) for tab in (draft.tab(i) for i in ids)]


def _replace_in(
    draft: Draft, tab: Tab, row: int, column: int, pattern: re.Pattern[str], replacement: str, body: Json
) -> int:
    old = tab.value(row, column)
    if column in tab.formulas[row] or not (isinstance(old, str) or draft.unknowns.replaces_in_numbers):
        return 0
    text, hits = pattern.subn(
        replacement if body.get("searchByRegex") else lambda _: replacement, show(old, None, draft.book.locale)
    )
    if hits:
        enter(draft, tab, row, column, text)
    return hits


def enter(draft: Draft, tab: Tab, row: int, column: int, text: str) -> None:
    """Type text into a cell, as a person does."""
    _check_length(text)
    style = tab.style(row, column) or {}
    shape = style.get("userEnteredFormat") or {}
    kind = (shape.get("numberFormat") or {}).get("type")
    read = entered.read(text, kind == "TEXT", draft.now.date(), draft.book.locale)
    tab.put_values(row, column, [read.value])
    if read.formula is not None:
        tab.put_formula(row, column, read.formula)
    elif read.number_format and kind is None:
        tab.put_style(row, column, [{**style, "userEnteredFormat": {**shape, "numberFormat": read.number_format}}])


def enter_values(draft: Draft, body: Json) -> None:
    """Ours, not Google's: the `values` methods and the page write through it. None leaves a cell alone.

    What is typed beyond the end makes the sheet larger; the `values` methods refuse that before they come here.
    """
    tab = draft.tab(body.get("sheetId") or 0)
    r0, c0, typed = body.get("rowIndex") or 0, body.get("columnIndex") or 0, body.get("typed", True)
    if r0 < 0 or c0 < 0:
        raise Refused(f"row {r0}, column {c0} is outside of the sheet.")
    _grow(draft, tab, r0 + len(body["rows"]), c0 + max((len(row) for row in body["rows"]), default=0))
    for row, values in enumerate(body["rows"], r0):
        if not typed and None not in values:
            tab.put_values(row, c0, [_raw(value) for value in values])
            continue
        for column, value in enumerate(values, c0):
            if value is None:
                continue
            if typed and isinstance(value, str):
                enter(draft, tab, row, column, value)
            else:
                tab.put_values(row, column, [_raw(value)])


def _raw(value: Any) -> Value:
    if isinstance(value, float):
        return entered.tidy(value)
    if isinstance(value, (str, bool, int)):
        if isinstance(value, str):
            _check_length(value)
        return value
    raise Refused(f"a cell can not hold {value!r}")


def clear_cells(draft: Draft, body: Json) -> None:
    """Ours: what the Delete key does. Cells are emptied, tick boxes unticked; looks and validation stay."""
    tab, box = draft.reach(body["range"])
    for row in range(box.r0, min(box.r1, len(tab.values))):
        if not tab.values[row] and not tab.formulas[row]:
            continue
        style = tab.styles[row][box.c0 : box.c1]
        cleared: list[Value] = [False if _is_tick(cell) else "" for cell in style]
        tab.put_values(row, box.c0, cleared + [""] * (box.width - len(cleared)))


def _is_tick(cell: Json | None) -> bool:
    condition = ((cell or {}).get("dataValidation") or {}).get("condition") or {}
    return condition.get("type") == "BOOLEAN" and not condition.get("values")
