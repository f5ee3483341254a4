"""Requests about ranges: named, protected, filtered, validated, coloured by condition, merged."""

from __future__ import annotations

import re

from sheets_sync.sandbox.sheet import a1, mask
from sheets_sync.sandbox.sheet.a1 import Box
from sheets_sync.sandbox.sheet.cells import Stylist, tidy_format
from sheets_sync.sandbox.sheet.draft import BOUNDS, Draft, Refused, mask_of, range_of, stored_range
from sheets_sync.sandbox.sheet.grid import Json, NamedRange, Tab

_RANGE_NAME = re.compile(r"^[^\W\d][\w.]{0,249}$")


def _check_range_name(draft: Draft, name: str, but: str | None = None) -> None:
    if not _RANGE_NAME.match(name or "") or a1.area_of(name) or name.lower() in ("true", "false"):
        raise Refused(f"Invalid name for named range: {name}")
    taken = {n.name.lower() for n in draft.book.named.values() if n.named_range_id != but}
    if not draft.unknowns.name_is_free_at_once:
        taken |= draft.names_gone
    if name.lower() in taken:
        raise Refused(f"Cannot add named range with name {name}, a named range with that name already exists.")


def add_named_range(draft: Draft, body: Json) -> Json:
    wanted = body["namedRange"]
    name, key = wanted.get("name") or "", wanted.get("namedRangeId")
    _check_range_name(draft, name)
    if key and key in draft.book.named:
        raise Refused(f"Cannot add named range with id {key}, a named range with that id already exists.")
    if not draft.unknowns.keeps_given_range_ids:
        key = None
    named = NamedRange(key or str(draft.fresh_id()), name, stored_range(draft, wanted["range"]))
    draft.book.named[named.named_range_id] = named
    return {"addNamedRange": {"namedRange": {"namedRangeId": named.named_range_id, "name": name, "range": named.range}}}


def _known_range(draft: Draft, key: str | None) -> NamedRange:
    named = draft.book.named.get(key or "")
    if named is None:
        raise Refused(f"No NamedRange with id: {key or ''}")
    return named


def update_named_range(draft: Draft, body: Json) -> None:
    wanted = body.get("namedRange") or {}
    old = _known_range(draft, wanted.get("namedRangeId"))
    tree = mask_of(body, "namedRange")
    name = wanted.get("name") or "" if mask.wants(tree, "name") else old.name
    _check_range_name(draft, name, but=old.named_range_id)
    place = old.range
    if mask.wants(tree, "range"):
        place = stored_range(
            draft, mask.merge(old.range or {}, wanted.get("range") or {}, tree.get("range") or {"*": {}})
        )
    draft.book.named[old.named_range_id] = NamedRange(old.named_range_id, name, place)


def delete_named_range(draft: Draft, body: Json) -> None:
    if body.get("namedRangeId") not in draft.book.named and not draft.unknowns.refuses_missing_range:
        return
    named = _known_range(draft, body.get("namedRangeId"))
    draft.names_gone.add(named.name.lower())
    del draft.book.named[named.named_range_id]


def add_protected_range(draft: Draft, body: Json) -> Json:
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
    bounds = {bound: grid_range[bound] for bound in BOUNDS if grid_range.get(bound) is not None}
    return ({"sheetId": tab.sheet_id} if tab.sheet_id else {}) | bounds


def _protected(draft: Draft, key: int | None) -> tuple[Tab, int]:
    for tab in draft.book.tabs:
        for index, item in enumerate(tab.protected):
            if item["protectedRangeId"] == key:
                return draft.tab(tab.sheet_id), index
    raise Refused(f"No ProtectedRange with id: {key}")


def update_protected_range(draft: Draft, body: Json) -> None:
    wanted = body["protectedRange"]
    tab, index = _protected(draft, wanted.get("protectedRangeId"))
    merged = mask.merge(tab.protected[index], wanted, mask_of(body, "protectedRange"))
    merged["protectedRangeId"] = wanted["protectedRangeId"]
    merged["range"] = _protected_place(draft, merged)
    merged["editors"] = merged.get("editors") or {"users": [draft.owner]}
    target = draft.tab(merged["range"].get("sheetId") or 0)
    del tab.protected[index]
    target.protected.insert(
        index if target is tab else len(target.protected), {k: v for k, v in merged.items() if v is not False}
    )


def delete_protected_range(draft: Draft, body: Json) -> None:
    tab, index = _protected(draft, body.get("protectedRangeId"))
    del tab.protected[index]


def set_basic_filter(draft: Draft, body: Json) -> None:
    wanted = body.get("filter") or {}
    place = stored_range(draft, wanted.get("range") or {})
    draft.tab(place.get("sheetId") or 0).basic_filter = {**wanted, "range": place}


def clear_basic_filter(draft: Draft, body: Json) -> None:
    draft.tab(body.get("sheetId") or 0).basic_filter = None


def set_data_validation(draft: Draft, body: Json) -> None:
    tab, box = draft.reach(body["range"])
    rule = body.get("rule")
    if rule is not None and not (rule.get("condition") or {}).get("type"):
        raise Refused("rule.condition.type is required.")
    kept = {k: v for k, v in rule.items() if v not in (None, False, "")} if rule else None
    stylist = Stylist({"dataValidation": {}})
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


def add_conditional(draft: Draft, body: Json) -> None:
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


def update_conditional(draft: Draft, body: Json) -> Json:
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


def delete_conditional(draft: Draft, body: Json) -> Json:
    tab, index = _conditional(draft, body)
    return {"deleteConditionalFormatRule": {"rule": tab.conditional.pop(index)}}


def _overlap(one: Box, two: Box) -> bool:
    return one.r0 < two.r1 and two.r0 < one.r1 and one.c0 < two.c1 and two.c0 < one.c1


def merge_cells(draft: Draft, body: Json) -> None:
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
            tab.merges.append(range_of(tab, merged))


def _keep_first(tab: Tab, box: Box) -> None:
    """A merged range shows its first cell; the values of the others are gone."""
    for row in range(box.r0, box.r1):
        first = box.c0 + (row == box.r0)
        if len(tab.values[row]) > first or tab.formulas[row]:
            tab.put_values(row, first, [""] * (box.c1 - first))


def unmerge_cells(draft: Draft, body: Json) -> None:
    tab, box = draft.reach(body["range"])
    tab.merges = [item for item in tab.merges if not _overlap(draft.box(tab, item), box)]
