"""Requests that add, change and remove tabs, rows and columns; all that names a range moves along."""

from __future__ import annotations

import re
from typing import Any

from sheets_sync.sandbox.sheet import a1, formula, mask, metadata
from sheets_sync.sandbox.sheet.display import text_width
from sheets_sync.sandbox.sheet.draft import BOUNDS, Draft, Refused, last_body_row, mask_of
from sheets_sync.sandbox.sheet.grid import NO_FORMULAS, Book, Json, NamedRange, Tab
from sheets_sync.sandbox.sheet.metadata import Place
from sheets_sync.sandbox.sheet.moves import Move


def add_sheet(draft: Draft, body: Json) -> Json:
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
    draft.check_room(sheet_id, rows, columns)
    rest = {k: v for k, v in wanted.items() if k in _TAB_PROPERTIES and v not in (None, False)}
    tab = Tab.empty(sheet_id, title, rows, columns, rest | ({"gridProperties": grid} if grid else {}))
    index = wanted.get("index")
    draft.book.tabs.insert(len(draft.book.tabs) if index is None else index, tab)
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


def delete_sheet(draft: Draft, body: Json) -> None:
    tab = draft.look(body.get("sheetId") or 0)
    if len([t for t in draft.book.tabs if not t.hidden or t is tab]) <= (0 if tab.hidden else 1):
        raise Refused("You can't remove all the visible sheets in a document.")
    draft.book.tabs.remove(tab)
    for key, named in draft.book.named.items():
        if named.range is not None and (named.range.get("sheetId") or 0) == tab.sheet_id:
            draft.book.named[key] = NamedRange(named.named_range_id, named.name, None)
    for number in [k for k, m in draft.book.metadata.items() if metadata.tab_of(m) == tab.sheet_id]:
        del draft.book.metadata[number]


def duplicate_sheet(draft: Draft, body: Json) -> Json:
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
    draft.check_room(sheet_id, len(source.values), len(source.columns))
    tab = source.copy()
    tab.sheet_id, tab.title = sheet_id, title
    for part in ("merges", "protected", "conditional"):
        setattr(tab, part, [_moved_to(item, sheet_id) for item in getattr(tab, part)])
    tab.protected = [{**item, "protectedRangeId": draft.fresh_id()} for item in tab.protected]
    tab.basic_filter = _moved_to(tab.basic_filter, sheet_id) if tab.basic_filter else None
    index = body.get("insertSheetIndex")
    draft.book.tabs.insert(draft.book.tabs.index(source) + 1 if index is None else index, tab)
    return {"duplicateSheet": {"properties": sheet_properties(draft.book, tab)}}


def _moved_to(item: Json, sheet_id: int) -> Json:
    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            fresh = {k: moved(v) for k, v in value.items() if k != "sheetId"}
            return {"sheetId": sheet_id, **fresh} if "sheetId" in value or any(b in value for b in BOUNDS) else fresh
        return [moved(v) for v in value] if isinstance(value, list) else value

    result: Json = moved(item)
    return result


def update_sheet_properties(draft: Draft, body: Json) -> None:
    wanted = body.get("properties") or {}
    tree = mask_of(body, "properties")
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
        # Google counts the index as it is before the move: to stand after the next tab is index + 2.
        at = draft.book.tabs.index(tab)
        draft.book.tabs.remove(tab)
        draft.book.tabs.insert(wanted["index"] - (wanted["index"] > at), tab)


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
    draft.check_room(tab.sheet_id, rows, columns)
    if rows < len(tab.values):
        _delete_span(draft, tab, "ROWS", rows, len(tab.values))
    elif rows > len(tab.values):
        tab.insert_rows(len(tab.values), rows - len(tab.values), like=last_body_row(tab))
    if columns < len(tab.columns):
        _delete_span(draft, tab, "COLUMNS", columns, len(tab.columns))
    elif columns > len(tab.columns):
        tab.insert_columns(len(tab.columns), columns - len(tab.columns))
    tab.properties["gridProperties"] = grid


def update_spreadsheet_properties(draft: Draft, body: Json) -> None:
    draft.book.properties = mask.merge(draft.book.properties, body.get("properties") or {}, mask_of(body, "properties"))


def _span(draft: Draft, where: Json) -> tuple[Tab, str, int, int]:
    tab = draft.tab(where.get("sheetId") or 0)
    dimension = where.get("dimension")
    if dimension not in ("ROWS", "COLUMNS"):
        raise Refused("dimension must be ROWS or COLUMNS.")
    end = where.get("endIndex")
    size = len(tab.values) if dimension == "ROWS" else len(tab.columns)
    return tab, dimension, where.get("startIndex") or 0, size if end is None else end


def insert_dimension(draft: Draft, body: Json) -> None:
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
    rows, columns = len(tab.values), len(tab.columns)
    if dimension == "ROWS":
        draft.check_room(tab.sheet_id, rows + count, columns)
        tab.insert_rows(at, count, like)
    else:
        draft.check_room(tab.sheet_id, rows, columns + count)
        tab.insert_columns(at, count, like)
    _resettle(draft, tab, dimension, lambda i: i + count if i >= at else i, (at, 0, count))


def append_dimension(draft: Draft, body: Json) -> None:
    tab, dimension, _, size = _span(draft, {**body, "startIndex": None, "endIndex": None})
    count = body.get("length") or 0
    if count < 1:
        raise Refused("length must be at least 1.")
    like = last_body_row(tab) if dimension == "ROWS" else size - 1
    _insert_span(draft, tab, dimension, size, count, like)


def delete_dimension(draft: Draft, body: Json) -> None:
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
    gone = end - start
    _resettle(draft, tab, dimension, lambda i: i if i < start else (None if i < end else i - gone), (start, gone, 0))


def move_dimension(draft: Draft, body: Json) -> None:
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


def update_dimension_properties(draft: Draft, body: Json) -> None:
    if not body.get("range"):
        raise Refused("'range' is required.")
    tab, dimension, start, end = _span(draft, body["range"])
    lane = tab.rows if dimension == "ROWS" else tab.columns
    if end > len(lane):
        raise Refused(f"range.endIndex {end} exceeds the grid, which has {len(lane)} {dimension.lower()}.")
    tree = mask_of(body, "properties")
    wanted = body.get("properties") or {}
    for index in range(start, end):
        merged = mask.merge(lane[index] or {}, wanted, tree)
        lane[index] = {k: v for k, v in merged.items() if v and k in ("hiddenByUser", "pixelSize")} or None


def auto_resize(draft: Draft, body: Json) -> None:
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


def _resettle(draft: Draft, tab: Tab, dimension: str, place: Place, splice: tuple[int, int, int] | None = None) -> None:
    """After rows or columns moved: all that names a range of this tab moves along, or goes with what it named."""
    draft.moves.append(Move(tab.sheet_id, dimension, place, splice))
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
    tab.conditional = [_resettled_rule(rule, tab.title, place, dimension == "ROWS") for rule in tab.conditional]
    metadata.carry(draft, tab.sheet_id, dimension, place)
    for other in draft.tabs_with_formulas():
        other.formulas = [
            {c: formula.resettled(t, other.title, tab.title, place, dimension == "ROWS") for c, t in f.items()}
            if f
            else NO_FORMULAS
            for f in other.formulas
        ]


def _resettled_rule(rule: Json, title: str, place: Place, by_rows: bool) -> Json:
    """A conditional format whose formula reads on from where its cells went."""
    condition = (rule.get("booleanRule") or {}).get("condition") or {}
    if condition.get("type") != "CUSTOM_FORMULA":
        return rule
    values = [
        {**v, "userEnteredValue": formula.resettled(v["userEnteredValue"], title, title, place, by_rows)}
        if v.get("userEnteredValue")
        else v
        for v in condition.get("values") or ()
    ]
    return {**rule, "booleanRule": {**rule["booleanRule"], "condition": {**condition, "values": values}}}


def _resettled_item(item: Json, sheet_id: int, dimension: str, place: Place) -> Json | None:
    if "ranges" in item:
        ranges = [r for r in (resettled_range(r, dimension, place) for r in item["ranges"]) if r]
        return {**item, "ranges": ranges} if ranges else None
    if "range" in item:
        moved = resettled_range(item["range"], dimension, place)
        return {**item, "range": moved} if moved else None
    return resettled_range(item, dimension, place) if any(bound in item for bound in BOUNDS) else item


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
