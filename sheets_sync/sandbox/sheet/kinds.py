"""What each request of a `spreadsheets.batchUpdate` does to a workbook.

`Draft(book, …).run(requests)` works on a copy and returns the replies; `finish()` gives the next book. One request that
is refused raises `Refused`, and the draft is thrown away: nothing was applied. Words of refusals are Google's where
they were recorded or seen (kept in tests), else in its manner.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sheets_sync.sandbox.sheet import a1, entered, formula, mask
from sheets_sync.sandbox.sheet.a1 import Box
from sheets_sync.sandbox.sheet.display import show, text_width
from sheets_sync.sandbox.sheet.grid import NO_FORMULAS, Book, ErrorValue, Json, NamedRange, Style, Tab, Value, splice

CELL_LIMIT, COLUMN_LIMIT, TEXT_LIMIT = 10_000_000, 18_278, 50_000
_BOUNDS = ("startRowIndex", "endRowIndex", "startColumnIndex", "endColumnIndex")


class Refused(ValueError):
    """A request that is not valid; the whole batch is refused with it. Answered 400 INVALID_ARGUMENT."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of one row's cells: what is copied, cut and sorted."""

    values: list[Value]
    style: Style
    formulas: dict[int, str]


class Draft:
    """The next state of a book, in the making.

    `ids` yields fresh numbers for what a request leaves unnamed (the journal replays the same ones), `today` dates that
    were typed without a year, `owner` is the address that owns the spreadsheet.
    """

    def __init__(self, book: Book, ids: Iterator[int], today: date, owner: str) -> None:
        self.before = book
        self.book = book.copy()
        self.ids, self.today, self.owner = ids, today, owner
        self._own: set[int] = set()
        self._stale = False

    def run(self, requests: Sequence[Json]) -> list[Json]:
        """Apply all requests in order; raises Refused with the words that name the one to blame."""
        return [self._one(index, request) for index, request in enumerate(requests)]

    def _one(self, index: int, request: Json) -> Json:
        kinds = [kind for kind, body in request.items() if body is not None]
        if len(kinds) != 1:
            raise Refused(
                f"Invalid requests[{index}]: No request set."
                if not kinds
                else f"Invalid requests[{index}]: only one kind may be set, got {', '.join(kinds)}"
            )
        kind = kinds[0]
        handler = KINDS.get(kind)
        if handler is None:
            raise Refused(f"Invalid requests[{index}].{kind}: this kind of request is not known here.")
        try:
            return handler(self, request[kind]) or {}
        except Refused as refused:
            raise Refused(f"Invalid requests[{index}].{kind}: {refused}") from None
        except (KeyError, TypeError, AttributeError, mask.BadMask) as malformed:
            raise Refused(f"Invalid requests[{index}].{kind}: malformed: {malformed!r}") from malformed

    def finish(self) -> Book:
        """The next book: formulas reckoned, revision counted up."""
        if any(tab.has_formulas for tab in self.book.tabs):
            self._reckon()
        self.book.revision = self.before.revision + 1
        return self.book

    def touched(self) -> list[int]:
        """The ids of the tabs that were changed, added or removed."""
        before, after = ({tab.sheet_id: tab for tab in book.tabs} for book in (self.before, self.book))
        return [i for i in before.keys() | after.keys() if before.get(i) is not after.get(i)]

    def _reckon(self) -> None:
        reckoner = formula.Reckoner(self.book)
        for tab in list(self.book.tabs):
            for row, column, _ in list(tab.cells_with_formulas()):
                value = reckoner.value(tab, row, column)
                old = tab.value(row, column)
                if type(value) is not type(old) or value != old:
                    own, texts = self.tab(tab.sheet_id), tab.formulas[row]
                    own.put_values(row, column, [value])
                    own.formulas[row] = texts

    # finding

    def look(self, sheet_id: int) -> Tab:
        """A tab, for reading."""
        tab = self.book.tab(sheet_id)
        if tab is None:
            raise Refused(f"No sheet with id: {sheet_id}")
        return tab

    def tab(self, sheet_id: int) -> Tab:
        """A tab, for writing: copied at the first call in this batch."""
        tab = self.look(sheet_id)
        if sheet_id not in self._own:
            self._own.add(sheet_id)
            index = self.book.tabs.index(tab)
            tab = self.book.tabs[index] = tab.copy()
        return tab

    def box(self, tab: Tab, grid_range: Json, beyond: bool = False) -> Box:
        """The cells of a GridRange; refused where it leaves the grid, unless `beyond`: then it is cut."""
        r0, r1, c0, c1 = (grid_range.get(bound) for bound in _BOUNDS)
        box = Box(r0 or 0, len(tab.values) if r1 is None else r1, c0 or 0, len(tab.columns) if c1 is None else c1)
        if box.r0 < 0 or box.c0 < 0 or box.r0 > box.r1 or box.c0 > box.c1:
            raise Refused(f"{_words(grid_range)} is not a range: a start lies behind its end.")
        if beyond:
            return Box(box.r0, min(box.r1, len(tab.values)), box.c0, min(box.c1, len(tab.columns)))
        if box.r1 > len(tab.values) or box.c1 > len(tab.columns):
            name = a1.name_of(tab.title, box) if box.height and box.width else _words(grid_range)
            raise Refused(
                f"Range ({name}) exceeds grid limits. Max rows: {len(tab.values)}, max columns: {len(tab.columns)}"
            )
        return box

    def reach(self, grid_range: Json) -> tuple[Tab, Box]:
        """Tab, for writing, and cells of a GridRange."""
        tab = self.tab(grid_range.get("sheetId") or 0)
        return tab, self.box(tab, grid_range)

    def check_size(self) -> None:
        if sum(len(tab.values) * len(tab.columns) for tab in self.book.tabs) > CELL_LIMIT:
            raise Refused(
                f"This action would increase the number of cells in the workbook above the limit of {CELL_LIMIT} cells."
            )

    def fresh_id(self) -> int:
        return next(self.ids)

    def tabs_with_formulas(self) -> list[Tab]:
        return [self.tab(tab.sheet_id) for tab in self.book.tabs if tab.has_formulas]


def _words(grid_range: Json) -> str:
    return "GridRange " + ", ".join(f"{k}: {v}" for k, v in grid_range.items())


# cells


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
        if len(value) > TEXT_LIMIT:
            raise Refused(f"Your input contains more than the maximum of {TEXT_LIMIT} characters in a single cell.")
        return (value, None) if kind == "stringValue" else ("", value if value.startswith("=") else f"={value}")
    raise Refused(f"userEnteredValue.{kind} can not be {value!r}")


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


def _mask_of(body: Json, root: str = "") -> mask.Mask:
    """The request's field mask, required; `root` may be spelled out in it and is dropped."""
    text = body.get("fields")
    if not text:
        raise Refused("At least one field must be listed in 'fields'. (Use '*' to indicate all fields.)")
    tree = mask.parse(text)
    inner = tree.get(root) if root else None
    return inner if inner and len(tree) == 1 else tree


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


class _Stylist:
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


def _update_cells(draft: Draft, body: Json) -> None:
    tree = _mask_of(body)
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
        stylist = _Stylist(tree)
        if stylist.tree:
            tab.put_style(
                row,
                column,
                [stylist.cell(tab.style(row, column + i), _tidy_cell(cell)) for i, cell in enumerate(cells)],
            )


def _repeat_cell(draft: Draft, body: Json) -> None:
    tree = _mask_of(body, "cell")
    tab, box = draft.reach(body["range"])
    cell = _tidy_cell(body.get("cell") or {})
    stylist = _Stylist(tree)
    value, text = _cell_value(cell)
    for row in range(box.r0, box.r1):
        if mask.wants(tree, "userEnteredValue"):
            tab.put_values(row, box.c0, [value] * box.width)
            for column in range(box.c0, box.c1) if text else ():
                tab.put_formula(row, column, formula.shifted(text or "", row - box.r0, column - box.c0))
        if stylist.tree:
            stylist.fill(tab, row, box.c0, box.c1, cell)


def _append_cells(draft: Draft, body: Json) -> None:
    tree = _mask_of(body)
    tab = draft.tab(body.get("sheetId") or 0)
    rows = body.get("rows") or []
    width = max((len(row.get("values") or []) for row in rows), default=0)
    _within(tab, 0, width)
    r0 = tab.used_rows()
    _grow(draft, tab, r0 + len(rows))
    for index, row in enumerate(rows):
        _write_row(tab, r0 + index, 0, row.get("values") or [], tree)


def _grow(draft: Draft, tab: Tab, rows: int) -> None:
    """Make the tab at least that long; new rows look like the last one."""
    missing = rows - len(tab.values)
    if missing > 0:
        tab.insert_rows(len(tab.values), missing, like=_last_body_row(tab))
        draft.check_size()


def _last_body_row(tab: Tab) -> int | None:
    last = len(tab.values) - 1
    return last if last >= (tab.grid.get("frozenRowCount") or 0) and last >= 0 else None


def _copy_paste(draft: Draft, body: Json) -> None:
    source, target = body["source"], body["destination"]
    what = body.get("pasteType") or "PASTE_NORMAL"
    if what not in PASTES:
        raise Refused(f"pasteType {what} is not known.")
    origin = draft.look(source.get("sheetId") or 0)
    box = draft.box(origin, source)
    pieces = [cut(origin, row, box.c0, box.c1) for row in range(box.r0, box.r1)]
    if body.get("pasteOrientation") == "TRANSPOSE":
        pieces = _transposed(pieces, box.width)
    tab = draft.tab(target.get("sheetId") or 0)
    place = draft.box(tab, target)
    _paste(draft, tab, place, pieces, what, box)


def _paste(draft: Draft, tab: Tab, place: Box, pieces: list[Piece], what: str, origin: Box) -> None:
    """Repeat the pieces over a destination that holds them several times, else lay them once at its first cell."""
    height, width = len(pieces), len(pieces[0].values) if pieces else 0
    if not height or not width:
        return
    down = place.height // height if place.height % height == 0 and place.height else 1
    across = place.width // width if place.width % width == 0 and place.width else 1
    draft.box(tab, {"endRowIndex": place.r0 + down * height, "endColumnIndex": place.c0 + across * width})
    for row in range(down * height):
        for column in range(0, across * width, width):
            r, c = place.r0 + row, place.c0 + column
            lay(tab, r, c, pieces[row % height], what, (r - origin.r0 - row % height, c - origin.c0))


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


def _cut_paste(draft: Draft, body: Json) -> None:
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


def _sort_range(draft: Draft, body: Json) -> None:
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
        _carry_metadata(draft, tab.sheet_id, "ROWS", {row: at for at, row in enumerate(order, box.r0)}.get)


def _find_replace(draft: Draft, body: Json) -> Json:
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
    if column in tab.formulas[row]:
        return 0
    old = tab.value(row, column)
    text, hits = pattern.subn(replacement if body.get("searchByRegex") else lambda _: replacement, show(old))
    if hits:
        enter(draft, tab, row, column, text)
    return hits


def enter(draft: Draft, tab: Tab, row: int, column: int, text: str) -> None:
    """Type text into a cell, as a person does."""
    style = tab.style(row, column) or {}
    shape = style.get("userEnteredFormat") or {}
    kind = (shape.get("numberFormat") or {}).get("type")
    read = entered.read(text, kind == "TEXT", draft.today)
    tab.put_values(row, column, [read.value])
    if read.formula is not None:
        tab.put_formula(row, column, read.formula)
    elif read.number_format and kind is None:
        tab.put_style(row, column, [{**style, "userEnteredFormat": {**shape, "numberFormat": read.number_format}}])


def _enter_values(draft: Draft, body: Json) -> Json:
    """Ours, not Google's: the `values` methods and the page write through it. None leaves a cell alone."""
    tab = draft.tab(body.get("sheetId") or 0)
    r0, c0, typed = body.get("rowIndex") or 0, body.get("columnIndex") or 0, body.get("typed", True)
    cells = 0
    for row, values in enumerate(body["rows"], r0):
        if not typed and None not in values:
            tab.put_values(row, c0, [_raw(value) for value in values])
            cells += len(values)
            continue
        for column, value in enumerate(values, c0):
            if value is None:
                continue
            cells += 1
            if typed and isinstance(value, str):
                enter(draft, tab, row, column, value)
            else:
                tab.put_values(row, column, [_raw(value)])
    return {}


def _raw(value: Any) -> Value:
    if isinstance(value, float):
        return entered.tidy(value)
    if isinstance(value, (str, bool, int)):
        if isinstance(value, str) and len(value) > TEXT_LIMIT:
            raise Refused(f"Your input contains more than the maximum of {TEXT_LIMIT} characters in a single cell.")
        return value
    raise Refused(f"a cell can not hold {value!r}")


# tabs


def _add_sheet(draft: Draft, body: Json) -> Json:
    wanted = body.get("properties") or {}
    sheet_id = wanted.get("sheetId")
    if sheet_id is None:
        sheet_id = draft.fresh_id()
    elif draft.book.tab(sheet_id):
        raise Refused(f'A sheet with the ID "{sheet_id}" already exists. Please specify another ID.')
    title = wanted.get("title")
    if title is None:
        title = next(
            t for t in (f"Sheet{n}" for n in range(len(draft.book.tabs) + 1, 10**6)) if not draft.book.tab_named(t)
        )
    _check_title(draft, title)
    grid = dict(wanted.get("gridProperties") or {})
    rows, columns = grid.pop("rowCount", 1000), grid.pop("columnCount", 26)
    _check_grid(rows, columns, grid)
    rest = {k: v for k, v in wanted.items() if k in _TAB_PROPERTIES and v not in (None, False)}
    tab = Tab.empty(sheet_id, title, rows, columns, rest | ({"gridProperties": grid} if grid else {}))
    index = wanted.get("index")
    draft.book.tabs.insert(len(draft.book.tabs) if index is None else index, tab)
    draft.check_size()
    return {"addSheet": {"properties": sheet_properties(draft.book, tab)}}


_TAB_PROPERTIES = ("hidden", "tabColor", "tabColorStyle", "rightToLeft")


def _check_title(draft: Draft, title: str, but: Tab | None = None) -> None:
    if not title or len(title) > 100:
        raise Refused("A sheet's name has 1 to 100 characters.")
    other = draft.book.tab_named(title)
    if other and other is not but:
        raise Refused(f'A sheet with the name "{title}" already exists. Please enter another name.')


def _check_grid(rows: int, columns: int, grid: Json) -> None:
    if rows < 1 or columns < 1:
        raise Refused("A sheet must have at least one row and one column.")
    if columns > COLUMN_LIMIT:
        raise Refused(f"A sheet can not have more than {COLUMN_LIMIT} columns.")
    if (grid.get("frozenRowCount") or 0) >= rows or (grid.get("frozenColumnCount") or 0) >= columns:
        if grid.get("frozenRowCount") or grid.get("frozenColumnCount"):
            raise Refused("You can't freeze all visible rows or columns on the sheet.")


def sheet_properties(book: Book, tab: Tab) -> Json:
    """SheetProperties as the API answers them: what is false or zero is left out, but for id and index."""
    kept = {k: v for k, v in tab.grid.items() if v}
    grid = {"rowCount": len(tab.values), "columnCount": len(tab.columns), **kept}
    rest = {k: v for k, v in tab.properties.items() if k in _TAB_PROPERTIES and v}
    index = next(i for i, other in enumerate(book.tabs) if other.sheet_id == tab.sheet_id)
    return {
        "sheetId": tab.sheet_id,
        "title": tab.title,
        "index": index,
        "sheetType": "GRID",
        "gridProperties": grid,
        **rest,
    }


def _delete_sheet(draft: Draft, body: Json) -> None:
    tab = draft.look(body.get("sheetId") or 0)
    if len([t for t in draft.book.tabs if not t.hidden or t is tab]) <= (0 if tab.hidden else 1):
        raise Refused("You can't remove all the visible sheets in a document.")
    draft.book.tabs.remove(tab)
    for key, named in draft.book.named.items():
        if named.range is not None and (named.range.get("sheetId") or 0) == tab.sheet_id:
            draft.book.named[key] = NamedRange(named.named_range_id, named.name, None)
    for number in [k for k, m in draft.book.metadata.items() if _metadata_tab(m) == tab.sheet_id]:
        del draft.book.metadata[number]


def _duplicate_sheet(draft: Draft, body: Json) -> Json:
    source = draft.look(body.get("sourceSheetId") or 0)
    sheet_id = body.get("newSheetId")
    if sheet_id is None:
        sheet_id = draft.fresh_id()
    elif draft.book.tab(sheet_id):
        raise Refused(f'A sheet with the ID "{sheet_id}" already exists. Please specify another ID.')
    title = body.get("newSheetName")
    if title is None:
        names = (f"Copy of {source.title}" + (f" {n}" if n > 1 else "") for n in range(1, 10**6))
        title = next(name for name in names if not draft.book.tab_named(name))
    _check_title(draft, title)
    tab = source.copy()
    tab.sheet_id, tab.title = sheet_id, title
    for part in ("merges", "protected", "conditional"):
        setattr(tab, part, [_moved_to(item, sheet_id) for item in getattr(tab, part)])
    tab.protected = [{**item, "protectedRangeId": draft.fresh_id()} for item in tab.protected]
    tab.basic_filter = _moved_to(tab.basic_filter, sheet_id) if tab.basic_filter else None
    index = body.get("insertSheetIndex")
    draft.book.tabs.insert(draft.book.tabs.index(source) + 1 if index is None else index, tab)
    draft.check_size()
    return {"duplicateSheet": {"properties": sheet_properties(draft.book, tab)}}


def _moved_to(item: Json, sheet_id: int) -> Json:
    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            fresh = {k: moved(v) for k, v in value.items() if k != "sheetId"}
            return {"sheetId": sheet_id, **fresh} if "sheetId" in value or any(b in value for b in _BOUNDS) else fresh
        return [moved(v) for v in value] if isinstance(value, list) else value

    result: Json = moved(item)
    return result


def _update_sheet_properties(draft: Draft, body: Json) -> None:
    wanted = body.get("properties") or {}
    tree = _mask_of(body, "properties")
    tab = draft.tab(wanted.get("sheetId") or 0)
    if mask.wants(tree, "title") and "title" in wanted:
        _check_title(draft, wanted["title"], but=tab)
        _rename(draft, tab, wanted["title"])
    for name in _TAB_PROPERTIES:
        if mask.wants(tree, name) and (name in tree or name in wanted):
            tab.properties[name] = wanted.get(name)
    if not any(not other.hidden for other in draft.book.tabs):
        raise Refused("You can't hide all the sheets in a document.")
    if mask.wants(tree, "gridProperties"):
        _resize(draft, tab, wanted.get("gridProperties") or {}, tree.get("gridProperties") or {})
    if mask.wants(tree, "index") and "index" in wanted:
        draft.book.tabs.remove(tab)
        draft.book.tabs.insert(wanted["index"] - (wanted["index"] > _index_before(draft, tab)), tab)


def _index_before(draft: Draft, tab: Tab) -> int:
    return next(
        (i for i, other in enumerate(draft.before.tabs) if other.sheet_id == tab.sheet_id), len(draft.book.tabs)
    )


def _rename(draft: Draft, tab: Tab, title: str) -> None:
    old, tab.title = tab.title, title
    pattern = re.compile(rf"(?<![\w'])(?:{re.escape(a1.quote(old))}|'{re.escape(old)}')!")
    for other in draft.tabs_with_formulas():
        other.formulas = [
            {c: pattern.sub(lambda _: a1.quote(title) + "!", t) for c, t in f.items()} if f else f
            for f in other.formulas
        ]


def _resize(draft: Draft, tab: Tab, wanted: Json, tree: mask.Mask) -> None:
    grid = mask.merge(tab.grid, wanted, tree) if tree and not mask.whole(tree) else {**wanted}
    rows, columns = grid.pop("rowCount", len(tab.values)), grid.pop("columnCount", len(tab.columns))
    grid = {k: v for k, v in grid.items() if v}
    _check_grid(rows, columns, grid)
    if rows < len(tab.values):
        _delete_span(draft, tab, "ROWS", rows, len(tab.values))
    elif rows > len(tab.values):
        tab.insert_rows(len(tab.values), rows - len(tab.values), like=_last_body_row(tab))
    if columns < len(tab.columns):
        _delete_span(draft, tab, "COLUMNS", columns, len(tab.columns))
    elif columns > len(tab.columns):
        tab.insert_columns(len(tab.columns), columns - len(tab.columns))
    tab.properties["gridProperties"] = grid
    draft.check_size()


def _update_spreadsheet_properties(draft: Draft, body: Json) -> None:
    draft.book.properties = mask.merge(
        draft.book.properties, body.get("properties") or {}, _mask_of(body, "properties")
    )


# rows and columns


def _span(draft: Draft, where: Json) -> tuple[Tab, str, int, int]:
    tab = draft.tab(where.get("sheetId") or 0)
    dimension = where.get("dimension")
    if dimension not in ("ROWS", "COLUMNS"):
        raise Refused("dimension must be ROWS or COLUMNS.")
    end = where.get("endIndex")
    size = len(tab.values) if dimension == "ROWS" else len(tab.columns)
    return tab, dimension, where.get("startIndex") or 0, size if end is None else end


def _insert_dimension(draft: Draft, body: Json) -> None:
    tab, dimension, start, end = _span(draft, body["range"])
    size = len(tab.values) if dimension == "ROWS" else len(tab.columns)
    if start > size or end <= start:
        raise Refused(f"range.startIndex[{start}] must lie in the grid of {size} and before endIndex[{end}].")
    before = bool(body.get("inheritFromBefore"))
    if before and start == 0:
        raise Refused("range.startIndex must be greater than zero when inheritFromBefore is true.")
    like = start - 1 if before else (start if start < size else None)
    _insert_span(draft, tab, dimension, start, end - start, like)


def _insert_span(draft: Draft, tab: Tab, dimension: str, at: int, count: int, like: int | None) -> None:
    if dimension == "ROWS":
        tab.insert_rows(at, count, like)
    else:
        _check_grid(1, len(tab.columns) + count, {})
        tab.insert_columns(at, count, like)
    draft.check_size()
    _resettle(draft, tab, dimension, lambda i: i + count if i >= at else i)


def _append_dimension(draft: Draft, body: Json) -> None:
    tab, dimension, _, size = _span(draft, {**body, "startIndex": None, "endIndex": None})
    count = body.get("length") or 0
    if count < 1:
        raise Refused("length must be at least 1.")
    like = _last_body_row(tab) if dimension == "ROWS" else size - 1
    _insert_span(draft, tab, dimension, size, count, like)


def _delete_dimension(draft: Draft, body: Json) -> None:
    tab, dimension, start, end = _span(draft, body["range"])
    size = len(tab.values) if dimension == "ROWS" else len(tab.columns)
    if start >= size:
        one = dimension[:-1].lower()
        raise Refused(
            f"Cannot delete a {one} that doesn't exist. Tried to delete {one} index {start} "
            f"but there are only {size} {one}s."
        )
    if end <= start:
        raise Refused("range.endIndex must be greater than startIndex.")
    if end - start >= size:
        raise Refused(f"You can't delete all the {dimension.lower()} on the sheet.")
    _delete_span(draft, tab, dimension, start, min(end, size))
    frozen = "frozenRowCount" if dimension == "ROWS" else "frozenColumnCount"
    lost = max(0, min(tab.grid.get(frozen) or 0, end) - start)
    if lost:
        tab.properties["gridProperties"] = {**tab.grid, frozen: tab.grid[frozen] - lost}


def _delete_span(draft: Draft, tab: Tab, dimension: str, start: int, end: int) -> None:
    if dimension == "ROWS":
        tab.delete_rows(start, end)
    else:
        tab.delete_columns(start, end)
    _resettle(draft, tab, dimension, lambda i: i if i < start else (None if i < end else i - (end - start)))


def _move_dimension(draft: Draft, body: Json) -> None:
    tab, dimension, start, end = _span(draft, body["source"])
    target = body.get("destinationIndex") or 0
    size = len(tab.values) if dimension == "ROWS" else len(tab.columns)
    if not 0 <= start < end <= size or not 0 <= target <= size:
        raise Refused(f"source and destinationIndex must lie in the grid; it has {size} {dimension.lower()}.")
    if start <= target <= end:
        return
    rest = [i for i in range(size) if not start <= i < end]
    at = target if target <= start else target - (end - start)
    order = rest[:at] + list(range(start, end)) + rest[at:]
    if dimension == "ROWS":
        tab.order_rows(0, order)
    else:
        tab.order_columns(order)
    place = {old: new for new, old in enumerate(order)}
    _resettle(draft, tab, dimension, place.get)


def _update_dimension_properties(draft: Draft, body: Json) -> None:
    if not body.get("range"):
        raise Refused("'range' is required.")
    tab, dimension, start, end = _span(draft, body["range"])
    lane = tab.rows if dimension == "ROWS" else tab.columns
    if end > len(lane):
        raise Refused(f"range.endIndex {end} exceeds the grid, which has {len(lane)} {dimension.lower()}.")
    tree = _mask_of(body, "properties")
    wanted = body.get("properties") or {}
    for index in range(start, end):
        merged = mask.merge(lane[index] or {}, wanted, tree)
        lane[index] = {k: v for k, v in merged.items() if v and k in ("hiddenByUser", "pixelSize")} or None


def _auto_resize(draft: Draft, body: Json) -> None:
    """Columns become as wide as their longest text; rows as high as one line."""
    tab, dimension, start, end = _span(draft, body.get("dimensions") or {})
    lane = tab.rows if dimension == "ROWS" else tab.columns
    for index in range(start, min(end, len(lane))):
        rest = {k: v for k, v in (lane[index] or {}).items() if k != "pixelSize"}
        if dimension == "COLUMNS":
            rest["pixelSize"] = (
                max((text_width(str(row[index])) for row in tab.values if len(row) > index), default=0) + 6
            )
        lane[index] = rest or None


Place = Callable[[int], int | None]


def _resettle(draft: Draft, tab: Tab, dimension: str, place: Place) -> None:
    """After rows or columns moved: all that names a range of this tab moves along, or goes with what it named."""
    for part in ("merges", "protected", "conditional"):
        moved = (_resettled_item(item, tab.sheet_id, dimension, place) for item in getattr(tab, part))
        setattr(tab, part, [item for item in moved if item is not None])
    if tab.basic_filter:
        tab.basic_filter = _resettled_item(tab.basic_filter, tab.sheet_id, dimension, place)
    for key, named in draft.book.named.items():
        if named.range is not None and (named.range.get("sheetId") or 0) == tab.sheet_id:
            draft.book.named[key] = NamedRange(
                named.named_range_id, named.name, resettled_range(named.range, dimension, place)
            )
    _carry_metadata(draft, tab.sheet_id, dimension, place)
    for other in draft.tabs_with_formulas():
        other.formulas = [
            {c: formula.resettled(t, other.title, tab.title, place, dimension == "ROWS") for c, t in f.items()}
            if f
            else NO_FORMULAS
            for f in other.formulas
        ]


def _resettled_item(item: Json, sheet_id: int, dimension: str, place: Place) -> Json | None:
    if "ranges" in item:
        ranges = [r for r in (resettled_range(r, dimension, place) for r in item["ranges"]) if r]
        return {**item, "ranges": ranges} if ranges else None
    if "range" in item:
        moved = resettled_range(item["range"], dimension, place)
        return {**item, "range": moved} if moved else None
    return resettled_range(item, dimension, place) if any(bound in item for bound in _BOUNDS) else item


def resettled_range(grid_range: Json, dimension: str, place: Place) -> Json | None:
    """A GridRange after its rows or columns moved; None where all of it is gone."""
    name = "Row" if dimension == "ROWS" else "Column"
    start, end = grid_range.get(f"start{name}Index"), grid_range.get(f"end{name}Index")
    moved = dict(grid_range)
    if end is not None:
        kept = [p for p in (place(i) for i in range(start or 0, end)) if p is not None]
        if not kept:
            return None
        moved[f"start{name}Index"], moved[f"end{name}Index"] = min(kept), max(kept) + 1
    elif start:
        moved[f"start{name}Index"] = next(
            (p for p in (place(i) for i in range(start, start + 10_000)) if p is not None), start
        )
    return moved


# named and protected ranges


def stored_range(draft: Draft, grid_range: Json) -> Json:
    """A GridRange as it is kept and answered: the id 0 is left out, the tab must be there."""
    tab = draft.look(grid_range.get("sheetId") or 0)
    draft.box(tab, grid_range)
    bounds = {bound: grid_range[bound] for bound in _BOUNDS if grid_range.get(bound) is not None}
    return ({"sheetId": tab.sheet_id} if tab.sheet_id else {}) | bounds


_RANGE_NAME = re.compile(r"^[^\W\d][\w.]{0,249}$")


def _check_range_name(draft: Draft, name: str, but: str | None = None) -> None:
    if not _RANGE_NAME.match(name or "") or a1.area_of(name) or name.lower() in ("true", "false"):
        raise Refused(f"Invalid name for named range: {name}")
    if any(n.name.lower() == name.lower() and n.named_range_id != but for n in draft.book.named.values()):
        raise Refused(f"Cannot add named range with name {name}, a named range with that name already exists.")


def _add_named_range(draft: Draft, body: Json) -> Json:
    wanted = body["namedRange"]
    name, key = wanted.get("name") or "", wanted.get("namedRangeId")
    if key and key in draft.book.named:
        raise Refused(f"Cannot add named range with id {key}, a named range with that id already exists.")
    _check_range_name(draft, name)
    named = NamedRange(key or str(draft.fresh_id()), name, stored_range(draft, wanted["range"]))
    draft.book.named[named.named_range_id] = named
    return {"addNamedRange": {"namedRange": {"namedRangeId": named.named_range_id, "name": name, "range": named.range}}}


def _known_range(draft: Draft, key: str | None) -> NamedRange:
    named = draft.book.named.get(key or "")
    if named is None:
        raise Refused(f"No NamedRange with id: {key or ''}")
    return named


def _update_named_range(draft: Draft, body: Json) -> None:
    wanted = body.get("namedRange") or {}
    old = _known_range(draft, wanted.get("namedRangeId"))
    tree = _mask_of(body, "namedRange")
    name = wanted.get("name") or "" if mask.wants(tree, "name") else old.name
    _check_range_name(draft, name, but=old.named_range_id)
    place = old.range
    if mask.wants(tree, "range"):
        place = stored_range(
            draft, mask.merge(old.range or {}, wanted.get("range") or {}, tree.get("range") or {"*": {}})
        )
    draft.book.named[old.named_range_id] = NamedRange(old.named_range_id, name, place)


def _delete_named_range(draft: Draft, body: Json) -> None:
    named = _known_range(draft, body.get("namedRangeId"))
    del draft.book.named[named.named_range_id]


def _add_protected_range(draft: Draft, body: Json) -> Json:
    wanted = body["protectedRange"]
    place = _protected_place(draft, wanted)
    tab = draft.tab(place.get("sheetId") or 0)
    key = wanted.get("protectedRangeId")
    if key is None:
        key = draft.fresh_id()
    elif any(p["protectedRangeId"] == key for t in draft.book.tabs for p in t.protected):
        raise Refused(f"A protected range with id {key} already exists.")
    answered = {
        "protectedRangeId": key,
        "range": place,
        **{k: wanted[k] for k in ("namedRangeId", "description", "warningOnly", "unprotectedRanges") if wanted.get(k)},
        "requestingUserCanEdit": True,
    }
    users = [u for u in (wanted.get("editors") or {}).get("users") or [] if u != draft.owner]
    tab.protected.append({**answered, "editors": {"users": [draft.owner, *users]}})
    return {"addProtectedRange": {"protectedRange": {**answered, "editors": {"users": users} if users else {}}}}


def _protected_place(draft: Draft, wanted: Json) -> Json:
    if wanted.get("namedRangeId"):
        return _known_range(draft, wanted["namedRangeId"]).range or {}
    grid_range = wanted.get("range") or {}
    tab = draft.look(grid_range.get("sheetId") or 0)
    bounds = {bound: grid_range[bound] for bound in _BOUNDS if grid_range.get(bound) is not None}
    return ({"sheetId": tab.sheet_id} if tab.sheet_id else {}) | bounds


def _protected(draft: Draft, key: int | None) -> tuple[Tab, int]:
    for tab in draft.book.tabs:
        for index, item in enumerate(tab.protected):
            if item["protectedRangeId"] == key:
                return draft.tab(tab.sheet_id), index
    raise Refused(f"No ProtectedRange with id: {key}")


def _update_protected_range(draft: Draft, body: Json) -> None:
    wanted = body["protectedRange"]
    tab, index = _protected(draft, wanted.get("protectedRangeId"))
    merged = mask.merge(tab.protected[index], wanted, _mask_of(body, "protectedRange"))
    merged["protectedRangeId"] = wanted["protectedRangeId"]
    merged["range"] = _protected_place(draft, merged)
    merged["editors"] = merged.get("editors") or {"users": [draft.owner]}
    target = draft.tab(merged["range"].get("sheetId") or 0)
    del tab.protected[index]
    target.protected.insert(
        index if target is tab else len(target.protected), {k: v for k, v in merged.items() if v is not False}
    )


def _delete_protected_range(draft: Draft, body: Json) -> None:
    tab, index = _protected(draft, body.get("protectedRangeId"))
    del tab.protected[index]


# filters, validation, conditional formats, merges


def _set_basic_filter(draft: Draft, body: Json) -> None:
    wanted = body.get("filter") or {}
    place = stored_range(draft, wanted.get("range") or {})
    draft.tab(place.get("sheetId") or 0).basic_filter = {**wanted, "range": place}


def _clear_basic_filter(draft: Draft, body: Json) -> None:
    draft.tab(body.get("sheetId") or 0).basic_filter = None


def _set_data_validation(draft: Draft, body: Json) -> None:
    tab, box = draft.reach(body["range"])
    rule = body.get("rule")
    if rule is not None and not (rule.get("condition") or {}).get("type"):
        raise Refused("rule.condition.type is required.")
    kept = {k: v for k, v in rule.items() if v not in (None, False, "")} if rule else None
    stylist = _Stylist({"dataValidation": {}})
    cell = {"dataValidation": kept} if kept else {}
    for row in range(box.r0, box.r1):
        stylist.fill(tab, row, box.c0, box.c1, cell)


def _rule_tab(draft: Draft, rule: Json, sheet_id: int | None = None) -> Tab:
    ranges = rule.get("ranges") or []
    if not ranges:
        raise Refused("rule.ranges must name at least one range.")
    ids = {r.get("sheetId") or 0 for r in ranges}
    if len(ids) != 1:
        raise Refused("all ranges of a rule must be on the same sheet.")
    return draft.tab(ids.pop())


def _tidy_rule(draft: Draft, rule: Json) -> Json:
    for grid_range in rule["ranges"]:
        draft.look(grid_range.get("sheetId") or 0)
    shaped = dict(rule, ranges=[{k: v for k, v in r.items() if not (k == "sheetId" and not v)} for r in rule["ranges"]])
    condition = shaped.get("booleanRule")
    if condition and condition.get("format"):
        shaped["booleanRule"] = {**condition, "format": tidy_format(condition["format"])}
    return shaped


def _add_conditional(draft: Draft, body: Json) -> None:
    rule = body.get("rule") or {}
    tab = _rule_tab(draft, rule)
    if not rule.get("booleanRule") and not rule.get("gradientRule"):
        raise Refused("rule must have a booleanRule or a gradientRule.")
    tab.conditional.insert(body.get("index") or 0, _tidy_rule(draft, rule))


def _conditional(draft: Draft, body: Json) -> tuple[Tab, int]:
    tab, index = draft.tab(body.get("sheetId") or 0), body.get("index") or 0
    if not 0 <= index < len(tab.conditional):
        raise Refused(f"No conditional format on sheet: {tab.sheet_id} at index: {index}")
    return tab, index


def _update_conditional(draft: Draft, body: Json) -> Json:
    rule = body.get("rule")
    tab, index = _conditional(
        draft, {**body, "sheetId": body.get("sheetId") or (_rule_tab(draft, rule).sheet_id if rule else 0)}
    )
    old = tab.conditional.pop(index)
    if rule:
        tab.conditional.insert(index, _tidy_rule(draft, rule))
        return {"updateConditionalFormatRule": {"newRule": tab.conditional[index], "newIndex": index, "oldRule": old}}
    at = body.get("newIndex") or 0
    tab.conditional.insert(at, old)
    return {"updateConditionalFormatRule": {"newRule": old, "newIndex": at, "oldRule": old, "oldIndex": index}}


def _delete_conditional(draft: Draft, body: Json) -> Json:
    tab, index = _conditional(draft, body)
    return {"deleteConditionalFormatRule": {"rule": tab.conditional.pop(index)}}


def _overlap(one: Box, two: Box) -> bool:
    return one.r0 < two.r1 and two.r0 < one.r1 and one.c0 < two.c1 and two.c0 < one.c1


def _range_of(tab: Tab, box: Box) -> Json:
    where = dict(zip(_BOUNDS, (box.r0, box.r1, box.c0, box.c1), strict=True))
    return ({"sheetId": tab.sheet_id} if tab.sheet_id else {}) | where


def _merge_cells(draft: Draft, body: Json) -> None:
    tab, box = draft.reach(body["range"])
    kind = body.get("mergeType") or "MERGE_ALL"
    if kind == "MERGE_ALL":
        fresh = [box]
    elif kind == "MERGE_ROWS":
        fresh = [Box(r, r + 1, box.c0, box.c1) for r in range(box.r0, box.r1)]
    elif kind == "MERGE_COLUMNS":
        fresh = [Box(box.r0, box.r1, c, c + 1) for c in range(box.c0, box.c1)]
    else:
        raise Refused(f"mergeType {kind} is not known.")
    for item in tab.merges:
        old = draft.box(tab, item)
        if _overlap(old, box) and not (box.r0 <= old.r0 and old.r1 <= box.r1 and box.c0 <= old.c0 and old.c1 <= box.c1):
            raise Refused("You must select all cells in a merged range to merge or unmerge them.")
    tab.merges = [item for item in tab.merges if not _overlap(draft.box(tab, item), box)]
    for merged in fresh:
        _keep_first(tab, merged)
        if merged.height * merged.width > 1:
            tab.merges.append(_range_of(tab, merged))


def _keep_first(tab: Tab, box: Box) -> None:
    """A merged range shows its first cell; the values of the others are gone."""
    for row in range(box.r0, box.r1):
        first = box.c0 + (row == box.r0)
        if len(tab.values[row]) > first or tab.formulas[row]:
            tab.put_values(row, first, [""] * (box.c1 - first))


def _unmerge_cells(draft: Draft, body: Json) -> None:
    tab, box = draft.reach(body["range"])
    tab.merges = [item for item in tab.merges if not _overlap(draft.box(tab, item), box)]


# developer metadata


def _metadata_place(metadata: Json) -> Json:
    place: Json = metadata.get("location") or {}
    return place


def _metadata_tab(metadata: Json) -> int | None:
    place = _metadata_place(metadata)
    if "dimensionRange" in place:
        return place["dimensionRange"].get("sheetId") or 0
    return place.get("sheetId") if "sheetId" in place else None


def _carry_metadata(draft: Draft, sheet_id: int, dimension: str, place: Place) -> None:
    """Metadata of a row or column follows it, and vanishes with it."""
    for key, metadata in list(draft.book.metadata.items()):
        span = _metadata_place(metadata).get("dimensionRange")
        if not span or (span.get("sheetId") or 0) != sheet_id or span.get("dimension") != dimension:
            continue
        moved = place(span.get("startIndex") or 0)
        if moved is None:
            del draft.book.metadata[key]
        else:
            span = {**span, "startIndex": moved, "endIndex": moved + 1}
            draft.book.metadata[key] = {**metadata, "location": {**_metadata_place(metadata), "dimensionRange": span}}


def _create_metadata(draft: Draft, body: Json) -> Json:
    wanted = body["developerMetadata"]
    key = wanted.get("metadataId") or draft.fresh_id()
    if key in draft.book.metadata:
        raise Refused(f"A developer metadata with id {key} already exists.")
    if not wanted.get("metadataKey") or wanted.get("visibility") not in ("DOCUMENT", "PROJECT"):
        raise Refused("metadataKey and visibility are required.")
    place = wanted.get("location") or {}
    if "dimensionRange" in place:
        span = place["dimensionRange"]
        if (span.get("endIndex") or 0) - (span.get("startIndex") or 0) != 1:
            raise Refused("location.dimensionRange must span one row or column.")
        draft.look(span.get("sheetId") or 0)
        location = {"locationType": "ROW" if span.get("dimension") == "ROWS" else "COLUMN", "dimensionRange": span}
    elif "sheetId" in place:
        location = {"locationType": "SHEET", "sheetId": draft.look(place["sheetId"]).sheet_id}
    else:
        location = {"locationType": "SPREADSHEET", "spreadsheet": True}
    draft.book.metadata[key] = {**wanted, "metadataId": key, "location": location}
    return {"createDeveloperMetadata": {"developerMetadata": draft.book.metadata[key]}}


def metadata_matches(metadata: Json, lookup: Json) -> bool:
    """Whether a DeveloperMetadataLookup finds this metadata."""
    for name in ("metadataId", "metadataKey", "metadataValue", "visibility"):
        if lookup.get(name) is not None and metadata.get(name) != lookup[name]:
            return False
    kind = lookup.get("locationType")
    return kind is None or _metadata_place(metadata).get("locationType") == kind


def _found_metadata(draft: Draft, body: Json) -> list[int]:
    lookups = [f["developerMetadataLookup"] for f in body.get("dataFilters") or [] if "developerMetadataLookup" in f]
    if not lookups:
        raise Refused("dataFilters must hold a developerMetadataLookup.")
    return [
        key for key, item in draft.book.metadata.items() if any(metadata_matches(item, lookup) for lookup in lookups)
    ]


def _update_metadata(draft: Draft, body: Json) -> Json:
    tree, changed = _mask_of(body, "developerMetadata"), []
    for key in _found_metadata(draft, body):
        draft.book.metadata[key] = {
            **mask.merge(draft.book.metadata[key], body["developerMetadata"], tree),
            "metadataId": key,
        }
        changed.append(draft.book.metadata[key])
    return {"updateDeveloperMetadata": {"developerMetadata": changed}}


def _delete_metadata(draft: Draft, body: Json) -> Json:
    found = _found_metadata(draft, {"dataFilters": [body["dataFilter"]]})
    return {"deleteDeveloperMetadata": {"deletedDeveloperMetadata": [draft.book.metadata.pop(key) for key in found]}}


Handler = Callable[[Draft, Json], Json | None]
KINDS: dict[str, Handler] = {
    "addConditionalFormatRule": _add_conditional,
    "addNamedRange": _add_named_range,
    "addProtectedRange": _add_protected_range,
    "addSheet": _add_sheet,
    "appendCells": _append_cells,
    "appendDimension": _append_dimension,
    "autoResizeDimensions": _auto_resize,
    "clearBasicFilter": _clear_basic_filter,
    "copyPaste": _copy_paste,
    "createDeveloperMetadata": _create_metadata,
    "cutPaste": _cut_paste,
    "deleteConditionalFormatRule": _delete_conditional,
    "deleteDeveloperMetadata": _delete_metadata,
    "deleteDimension": _delete_dimension,
    "deleteNamedRange": _delete_named_range,
    "deleteProtectedRange": _delete_protected_range,
    "deleteSheet": _delete_sheet,
    "duplicateSheet": _duplicate_sheet,
    "enterValues": _enter_values,
    "findReplace": _find_replace,
    "insertDimension": _insert_dimension,
    "mergeCells": _merge_cells,
    "moveDimension": _move_dimension,
    "repeatCell": _repeat_cell,
    "setBasicFilter": _set_basic_filter,
    "setDataValidation": _set_data_validation,
    "sortRange": _sort_range,
    "unmergeCells": _unmerge_cells,
    "updateCells": _update_cells,
    "updateConditionalFormatRule": _update_conditional,
    "updateDeveloperMetadata": _update_metadata,
    "updateDimensionProperties": _update_dimension_properties,
    "updateNamedRange": _update_named_range,
    "updateProtectedRange": _update_protected_range,
    "updateSheetProperties": _update_sheet_properties,
    "updateSpreadsheetProperties": _update_spreadsheet_properties,
}
INTERNAL = frozenset({"enterValues"})  # not to be had through the API
