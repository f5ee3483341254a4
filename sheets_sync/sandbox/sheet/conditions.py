"""Conditions on a cell, and which rows a basic filter hides by them. Pure.

A condition that needs the whole workbook or a clock (CUSTOM_FORMULA, a range of choices, a relative date) is not known
here and hides nothing.
Source: https://developers.google.com/sheets/api/reference/rest/v4/spreadsheets/other#ConditionType
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from sheets_sync.sandbox.sheet import entered
from sheets_sync.sandbox.sheet.display import show
from sheets_sync.sandbox.sheet.grid import Json, Tab, Value
from sheets_sync.sandbox.sheet.locales import ENGLISH, Locale

_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "LESS": operator.lt,
    "LESS_THAN_EQ": operator.le,
    "GREATER": operator.gt,
    "GREATER_THAN_EQ": operator.ge,
    "EQ": operator.eq,
    "NOT_EQ": operator.ne,
    "BEFORE": operator.lt,
    "AFTER": operator.gt,
    "ON_OR_BEFORE": operator.le,
    "ON_OR_AFTER": operator.ge,
}
_TEXTS: dict[str, Callable[[str, str], bool]] = {
    "TEXT_CONTAINS": lambda text, one: one in text,
    "TEXT_NOT_CONTAINS": lambda text, one: one not in text,
    "TEXT_STARTS_WITH": str.startswith,
    "TEXT_ENDS_WITH": str.endswith,
    "TEXT_EQ": operator.eq,
    "TEXT_NOT_EQ": operator.ne,
}
_NO_DAY = date(1970, 1, 1)  # bounds are typed with their year


def known(kind: str) -> bool:
    """Whether `holds` knows this type of condition."""
    family, _, rest = kind.partition("_")
    return (
        kind in ("BLANK", "NOT_BLANK", "BOOLEAN", "ONE_OF_LIST")
        or kind in _TEXTS
        or (family in ("NUMBER", "DATE") and (rest in _COMPARED or rest in ("BETWEEN", "NOT_BETWEEN")))
    )


def holds(condition: Json, value: Value, shown: str | None = None, locale: Locale = ENGLISH) -> bool:
    """Whether a cell meets a BooleanCondition; `shown` is its text where it has a number format."""
    kind = condition.get("type") or ""
    wanted = [str(v.get("userEnteredValue") or "") for v in condition.get("values") or ()]
    text = show(value, None, locale) if shown is None else shown
    if kind in ("BLANK", "NOT_BLANK"):
        return (value == "") == (kind == "BLANK")
    if kind == "BOOLEAN":
        return isinstance(value, bool)
    if kind == "ONE_OF_LIST":
        return text in wanted
    if kind in _TEXTS:
        return _TEXTS[kind](text.casefold(), (wanted[0] if wanted else "").casefold())
    return isinstance(value, (int, float)) and not isinstance(value, bool) and _measures(kind, value, wanted, locale)


def _measures(kind: str, value: float, wanted: Sequence[str], locale: Locale) -> bool:
    family, _, rest = kind.partition("_")
    bounds = [entered.read(text, False, _NO_DAY, locale).value for text in wanted]
    numbers = [b for b in bounds if isinstance(b, (int, float)) and not isinstance(b, bool)]
    if family not in ("NUMBER", "DATE") or not numbers or len(numbers) < len(bounds):
        return False
    if rest in ("BETWEEN", "NOT_BETWEEN"):
        return (numbers[0] <= value <= numbers[-1]) == (rest == "BETWEEN")
    compare = _COMPARED.get(rest)
    return compare is not None and compare(value, numbers[0])


def behind_filter(tab: Tab, locale: Locale = ENGLISH) -> list[int]:
    """Rows that the basic filter hides: below its header, with a hidden value or one that fails a condition."""
    kept = tab.basic_filter
    if kept is None:
        return []
    specs = [(s.get("columnIndex") or 0, s.get("filterCriteria") or {}) for s in kept.get("filterSpecs") or ()]
    specs += [(int(column), criteria) for column, criteria in (kept.get("criteria") or {}).items()]
    tests = [(column, hides) for column, criteria in specs if (hides := _hides(criteria, locale))]
    place = kept.get("range") or {}
    last = min(place.get("endRowIndex") or len(tab.values), len(tab.values))
    rows = range((place.get("startRowIndex") or 0) + 1, last) if tests else ()
    return [row for row in rows if any(hides(*_cell(tab, row, column, locale)) for column, hides in tests)]


def _hides(criteria: Json, locale: Locale) -> Callable[[Value, str], bool] | None:
    values, condition = set(criteria.get("hiddenValues") or ()), criteria.get("condition") or {}
    relative = any("relativeDate" in value for value in condition.get("values") or ())  # "today" needs a clock
    if relative or not known(condition.get("type") or ""):
        return (lambda value, shown: shown in values) if values else None
    return lambda value, shown: shown in values or not holds(condition, value, shown, locale)


def _cell(tab: Tab, row: int, column: int, locale: Locale) -> tuple[Value, str]:
    shape = ((tab.style(row, column) or {}).get("userEnteredFormat") or {}).get("numberFormat")
    value = tab.value(row, column)
    return value, show(value, shape, locale)
