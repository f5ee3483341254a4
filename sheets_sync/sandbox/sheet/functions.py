"""The functions that formulas may call. Each takes the scope and its operands; an error in one is a value like others.

Source: https://support.google.com/docs/table/25273. What is not here shows `#NAME?`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from statistics import median

from sheets_sync.sandbox.sheet import entered
from sheets_sync.sandbox.sheet.display import show
from sheets_sync.sandbox.sheet.entered import EPOCH, tidy
from sheets_sync.sandbox.sheet.grid import ErrorValue, Value
from sheets_sync.sandbox.sheet.operands import (
    BLANK,
    DIV,
    MISSING,
    NUMBER,
    REF,
    VALUE,
    Area,
    Failed,
    Operand,
    Scope,
    compare,
    flat,
    is_number,
    number,
    numbers,
    order_key,
    rows_of,
    single,
    text,
    truth,
    whole,
)

Test = Callable[[Value], bool]


@dataclass(frozen=True, slots=True)
class Function:
    """What to call, and with how many operands."""

    call: Callable[..., Operand]
    least: int
    most: int


FUNCTIONS: dict[str, Function] = {}
ANY = 255


def function(
    name: str, least: int, most: int | None = None
) -> Callable[[Callable[..., Operand]], Callable[..., Operand]]:
    """Register under a name; `most` is `least` where it is not given."""

    def keep(call: Callable[..., Operand]) -> Callable[..., Operand]:
        FUNCTIONS[name] = Function(call, least, least if most is None else most)
        return call

    return keep


def _define(table: dict[str, tuple[int, int, Callable[..., Operand]]]) -> None:
    for name, (least, most, call) in table.items():
        FUNCTIONS[name] = Function(call, least, most)


# numbers


def _divided(total: float, count: float) -> Value:
    if not count:
        raise Failed(DIV)
    return tidy(total / count)


def _average(scope: Scope, *operands: Operand) -> Operand:
    found = numbers(operands, scope)
    return _divided(math.fsum(found), len(found))


def _median(scope: Scope, *operands: Operand) -> Operand:
    found = numbers(operands, scope)
    if not found:
        raise Failed(NUMBER)
    return tidy(median(found))


def _rounded(scope: Scope, operand: Operand, places: Operand, how: Callable[[float], float]) -> Operand:
    value, scale = float(number(operand, scope)), 10.0 ** whole(places, scope)
    scaled = float(f"{abs(value) * scale:.12g}")  # 1.005 * 100 is 100.49999999999999
    return tidy(math.copysign(how(scaled) / scale, value))


@function("MOD", 2)
def _mod(scope: Scope, value: Operand, by: Operand) -> Operand:
    divisor = number(by, scope)
    if divisor == 0:
        raise Failed(DIV)
    return tidy(number(value, scope) % divisor)


def power(base: float, exponent: float) -> float:
    """Raises Failed where there is no real result."""
    if base == 0 and exponent < 0:
        raise Failed(DIV)
    result = base**exponent
    if isinstance(result, complex):
        raise Failed(NUMBER)
    return float(result)


def _ranked(scope: Scope, area: Operand, rank: Operand, largest: bool) -> Operand:
    found, place = sorted(numbers([area], scope), reverse=largest), whole(rank, scope)
    if not 1 <= place <= len(found):
        raise Failed(NUMBER)
    return found[place - 1]


@function("SUMPRODUCT", 1, ANY)
def _sum_product(scope: Scope, *operands: Operand) -> Operand:
    areas = [rows_of(operand) for operand in operands]
    if len({(len(area), len(area[0])) for area in areas}) != 1:
        raise Failed(VALUE)
    cells = [[value for row in area for value in row] for area in areas]
    return tidy(math.fsum(math.prod(v if is_number(v) else 0 for v in row) for row in zip(*cells, strict=True)))


_define(
    {
        "SUM": (1, ANY, lambda s, *a: tidy(math.fsum(numbers(a, s)))),
        "PRODUCT": (1, ANY, lambda s, *a: tidy(math.prod(numbers(a, s)))),
        "MIN": (1, ANY, lambda s, *a: min(numbers(a, s), default=0)),
        "MAX": (1, ANY, lambda s, *a: max(numbers(a, s), default=0)),
        "AVERAGE": (1, ANY, _average),
        "MEDIAN": (1, ANY, _median),
        "LARGE": (2, 2, lambda s, a, n: _ranked(s, a, n, True)),
        "SMALL": (2, 2, lambda s, a, n: _ranked(s, a, n, False)),
        "ABS": (1, 1, lambda s, v: abs(number(v, s))),
        "SIGN": (1, 1, lambda s, v: (number(v, s) > 0) - (number(v, s) < 0)),
        "INT": (1, 1, lambda s, v: whole(v, s)),
        "SQRT": (1, 1, lambda s, v: tidy(math.sqrt(number(v, s))) if number(v, s) >= 0 else _fail(NUMBER)),
        "POWER": (2, 2, lambda s, v, n: tidy(power(number(v, s), number(n, s)))),
        "ROUND": (1, 2, lambda s, v, n=0: _rounded(s, v, n, lambda x: math.floor(x + 0.5))),
        "ROUNDUP": (1, 2, lambda s, v, n=0: _rounded(s, v, n, math.ceil)),
        "ROUNDDOWN": (1, 2, lambda s, v, n=0: _rounded(s, v, n, math.floor)),
        "TRUNC": (1, 2, lambda s, v, n=0: _rounded(s, v, n, math.floor)),
    }
)


def _fail(value: ErrorValue) -> Value:
    raise Failed(value)


# counting, with and without a criterion


def criterion(wanted: Operand, scope: Scope) -> Test:
    """The test that COUNTIF and its like make of `5`, `">=5"`, `"<>x"`, `"a*"`."""
    value = single(wanted)
    if not isinstance(value, str):
        return lambda cell: type(cell) is not str and order_key(cell) == order_key(value)
    match = re.match(r"(<=|>=|<>|<|>|=)?(.*)$", value, re.S)
    assert match
    op, rest = match[1] or "=", match[2]
    read = entered.read(rest, False, scope.now.date(), scope.locale).value if rest else ""
    if not isinstance(read, str):
        return lambda cell: (
            (is_number(cell) == is_number(read) and not isinstance(cell, str) and compare(op, cell, read))
            or (op == "<>" and isinstance(cell, str))
        )
    if op in ("=", "<>"):
        pattern = wildcards(rest)
        return lambda cell: (isinstance(cell, str) and pattern.fullmatch(cell) is not None) == (op == "=")
    return lambda cell: isinstance(cell, str) and cell != "" and compare(op, cell, rest)


@lru_cache(maxsize=1024)
def wildcards(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stand for any text and any character; `~` takes that from them."""
    parts = re.findall(r"~[*?~]|.", pattern, re.S)
    return re.compile("".join({"*": ".*", "?": "."}.get(p) or re.escape(p[-1]) for p in parts), re.I | re.S)


def _where(scope: Scope, pairs: Sequence[Operand]) -> list[bool]:
    """For each cell of the areas in pairs (area, criterion), whether all of them hold."""
    if len(pairs) % 2:
        raise Failed(MISSING)
    kept: list[bool] | None = None
    for area, wanted in zip(pairs[::2], pairs[1::2], strict=True):
        test, cells = criterion(wanted, scope), [v for row in rows_of(area) for v in row]
        if kept is not None and len(kept) != len(cells):
            raise Failed(VALUE)
        kept = [test(v) for v in cells] if kept is None else [k and test(v) for k, v in zip(kept, cells, strict=True)]
    return kept or []


def _picked(scope: Scope, area: Operand, pairs: Sequence[Operand]) -> list[int | float]:
    kept, cells = _where(scope, pairs), [v for row in rows_of(area) for v in row]
    return numbers([[[v for v, keep in zip(cells, kept, strict=False) if keep]]], scope)


def _average_of(found: list[int | float]) -> Value:
    return _divided(math.fsum(found), len(found))


_define(
    {
        "COUNT": (1, ANY, lambda s, *a: sum(1 for v, _ in flat(a) if is_number(v))),
        "COUNTA": (1, ANY, lambda s, *a: sum(1 for v, in_area in flat(a) if v != "" or not in_area)),
        "COUNTBLANK": (1, ANY, lambda s, *a: sum(1 for v, _ in flat(a) if v == "")),
        "COUNTUNIQUE": (1, ANY, lambda s, *a: len({order_key(v) for v, _ in flat(a) if v != ""})),
        "COUNTIF": (2, 2, lambda s, *a: sum(_where(s, a))),
        "COUNTIFS": (2, ANY, lambda s, *a: sum(_where(s, a))),
        "SUMIF": (2, 3, lambda s, a, c, t=None: tidy(math.fsum(_picked(s, a if t is None else t, (a, c))))),
        "SUMIFS": (3, ANY, lambda s, t, *a: tidy(math.fsum(_picked(s, t, a)))),
        "AVERAGEIF": (2, 3, lambda s, a, c, t=None: _average_of(_picked(s, a if t is None else t, (a, c)))),
        "AVERAGEIFS": (3, ANY, lambda s, t, *a: _average_of(_picked(s, t, a))),
        "MINIFS": (3, ANY, lambda s, t, *a: min(_picked(s, t, a), default=0)),
        "MAXIFS": (3, ANY, lambda s, t, *a: max(_picked(s, t, a), default=0)),
    }
)


# truth and kinds; IF and its like are in `formula`, as they do not look at every operand


def _truths(scope: Scope, operands: Sequence[Operand]) -> list[bool]:
    found = [
        truth(v, scope)
        for v, in_area in flat(operands)
        if not (in_area and isinstance(v, str)) or isinstance(v, ErrorValue)
    ]
    if not found:
        raise Failed(VALUE)
    return found


def _seen(operand: Operand) -> Value:
    """The value that ISNUMBER and its like look at: an error is one, not a failure."""
    try:
        return single(operand)
    except Failed as failed:
        return failed.value


_define(
    {
        "AND": (1, ANY, lambda s, *a: all(_truths(s, a))),
        "OR": (1, ANY, lambda s, *a: any(_truths(s, a))),
        "XOR": (1, ANY, lambda s, *a: sum(_truths(s, a)) % 2 == 1),
        "NOT": (1, 1, lambda s, v: not truth(v, s)),
        "TRUE": (0, 0, lambda s: True),
        "FALSE": (0, 0, lambda s: False),
        "NA": (0, 0, lambda s: _fail(MISSING)),
        "ISNUMBER": (1, 1, lambda s, v: is_number(_seen(v))),
        "ISTEXT": (
            1,
            1,
            lambda s, v: isinstance(t := _seen(v), str) and not isinstance(t, ErrorValue) and t is not BLANK,
        ),
        "ISLOGICAL": (1, 1, lambda s, v: isinstance(_seen(v), bool)),
        "ISBLANK": (1, 1, lambda s, v: _seen(v) is BLANK),
        "ISERROR": (1, 1, lambda s, v: isinstance(_seen(v), ErrorValue)),
        "ISERR": (1, 1, lambda s, v: isinstance(_seen(v), ErrorValue) and _seen(v) != MISSING),
        "ISNA": (1, 1, lambda s, v: _seen(v) == MISSING and isinstance(_seen(v), ErrorValue)),
        "N": (1, 1, lambda s, v: number(v, s) if not isinstance(single(v), str) else 0),
    }
)


# texts


@function("MID", 3)
def _mid(scope: Scope, operand: Operand, start: Operand, count: Operand) -> Operand:
    first, length = whole(start, scope), whole(count, scope)
    if first < 1 or length < 0:
        raise Failed(VALUE)
    return text(operand, scope)[first - 1 : first - 1 + length]


def _count(operand: Operand, scope: Scope) -> int:
    count = whole(operand, scope)
    if count < 0:
        raise Failed(VALUE)
    return count


@function("RIGHT", 1, 2)
def _right(scope: Scope, operand: Operand, count: Operand = 1) -> Operand:
    content = text(operand, scope)
    return content[max(0, len(content) - _count(count, scope)) :]


def _found(scope: Scope, wanted: Operand, operand: Operand, start: Operand, exact: bool) -> Operand:
    needle, content, first = text(wanted, scope), text(operand, scope), whole(start, scope) - 1
    if exact:
        at = content.find(needle, first) if first >= 0 else -1
    else:
        match = wildcards(needle).search(content, first) if first >= 0 else None
        at = match.start() if match else -1
    if at < 0:
        raise Failed(VALUE)
    return at + 1


@function("SUBSTITUTE", 3, 4)
def _substitute(scope: Scope, operand: Operand, old: Operand, new: Operand, nth: Operand | None = None) -> Operand:
    content, gone, fresh = text(operand, scope), text(old, scope), text(new, scope)
    if not gone:
        return content
    if nth is None:
        return content.replace(gone, fresh)
    parts, place = content.split(gone), whole(nth, scope)
    if not 1 <= place < len(parts):
        return content
    return gone.join(parts[:place]) + fresh + gone.join(parts[place:])


@function("VALUE", 1)
def _value(scope: Scope, operand: Operand) -> Operand:
    if isinstance(single(operand), bool):
        raise Failed(VALUE)
    return number(operand, scope)


@function("TEXT", 2)
def _shown(scope: Scope, operand: Operand, pattern: Operand) -> Operand:
    value, shape = single(operand), text(pattern, scope)
    if not is_number(value):
        return text(operand, scope)
    moment = re.search(r"[ymdhs]", re.sub(r'"[^"]*"', "", shape), re.I)
    return show(value, {"type": "DATE_TIME" if moment else "NUMBER", "pattern": shape}, scope.locale)


def _joined(scope: Scope, mark: Operand, skip_empty: bool, operands: Sequence[Operand]) -> Operand:
    texts = [text(v, scope) for v, _ in flat(operands)]
    return text(mark, scope).join(t for t in texts if t or not skip_empty)


def _proper(content: str) -> str:
    return re.sub(r"[^\W\d_]+", lambda m: m[0].capitalize(), content)


_define(
    {
        "CONCATENATE": (1, ANY, lambda s, *a: "".join(text(v, s) for v, _ in flat(a))),
        "CONCAT": (2, 2, lambda s, a, b: text(a, s) + text(b, s)),
        "JOIN": (2, ANY, lambda s, mark, *a: _joined(s, mark, False, a)),
        "TEXTJOIN": (3, ANY, lambda s, mark, skip, *a: _joined(s, mark, truth(skip, s), a)),
        "LEN": (1, 1, lambda s, v: len(text(v, s))),
        "LEFT": (1, 2, lambda s, v, n=1: text(v, s)[: _count(n, s)]),
        "TRIM": (
            1,
            1,
            lambda s, v: re.sub(" +", " ", text(v, s)).strip(" "),
        ),
        "UPPER": (1, 1, lambda s, v: text(v, s).upper()),
        "LOWER": (1, 1, lambda s, v: text(v, s).lower()),
        "PROPER": (1, 1, lambda s, v: _proper(text(v, s))),
        "REPT": (2, 2, lambda s, v, n: text(v, s) * min(_count(n, s), 50_000)),
        "EXACT": (2, 2, lambda s, a, b: text(a, s) == text(b, s)),
        "FIND": (2, 3, lambda s, a, b, n=1: _found(s, a, b, n, True)),
        "SEARCH": (2, 3, lambda s, a, b, n=1: _found(s, a, b, n, False)),
        "T": (1, 1, lambda s, v: single(v) if isinstance(single(v), str) else ""),
        "CHAR": (1, 1, lambda s, v: chr(whole(v, s)) if 0 < whole(v, s) < 0x110000 else _fail(NUMBER)),
    }
)


# dates


def _day(operand: Operand, scope: Scope) -> date:
    try:
        return EPOCH + timedelta(days=whole(operand, scope))
    except OverflowError:
        raise Failed(NUMBER) from None


def _seconds(operand: Operand, scope: Scope) -> int:
    return round((number(operand, scope) % 1) * 86400) % 86400


@function("DATE", 3)
def _date(scope: Scope, year: Operand, month: Operand, day: Operand) -> Operand:
    """Months and days beyond their end run on into the next ones."""
    years, months = divmod(whole(year, scope) * 12 + whole(month, scope) - 1, 12)
    try:
        return (date(years + (1900 if years < 1900 else 0), months + 1, 1) - EPOCH).days + whole(day, scope) - 1
    except ValueError:
        raise Failed(NUMBER) from None


@function("WEEKDAY", 1, 2)
def _weekday(scope: Scope, operand: Operand, kind: Operand = 1) -> Operand:
    monday = _day(operand, scope).weekday()
    found = {1: (monday + 1) % 7 + 1, 2: monday + 1, 3: monday}.get(whole(kind, scope))
    return _fail(NUMBER) if found is None else found


def _now(scope: Scope) -> float:
    at = scope.now.replace(tzinfo=None)
    return (at.date() - EPOCH).days + (at.hour * 3600 + at.minute * 60 + at.second) / 86400


_define(
    {
        "TODAY": (0, 0, lambda s: (s.now.date() - EPOCH).days),
        "NOW": (0, 0, lambda s: tidy(_now(s))),
        "YEAR": (1, 1, lambda s, v: _day(v, s).year),
        "MONTH": (1, 1, lambda s, v: _day(v, s).month),
        "DAY": (1, 1, lambda s, v: _day(v, s).day),
        "HOUR": (1, 1, lambda s, v: _seconds(v, s) // 3600),
        "MINUTE": (1, 1, lambda s, v: _seconds(v, s) // 60 % 60),
        "SECOND": (1, 1, lambda s, v: _seconds(v, s) % 60),
        "DAYS": (2, 2, lambda s, end, start: whole(end, s) - whole(start, s)),
    }
)


# looking up


def _position(wanted: Value, cells: Sequence[Value], mode: int) -> int | None:
    """Where a value stands: equal (0), the last not above it in rising order (1), not below it in falling (-1)."""
    if mode == 0:
        if isinstance(wanted, str) and not isinstance(wanted, ErrorValue):
            pattern = wildcards(wanted)
            return next((i for i, v in enumerate(cells) if isinstance(v, str) and pattern.fullmatch(v)), None)
        return next((i for i, v in enumerate(cells) if order_key(v) == order_key(wanted) and v != ""), None)
    rank, best = order_key(wanted), None
    for index, cell in enumerate(cells):
        if cell == "" or order_key(cell)[0] != rank[0]:
            continue
        if (order_key(cell) > rank) if mode > 0 else (order_key(cell) < rank):
            break
        best = index
    return best


def _line(operand: Operand) -> list[Value]:
    area = rows_of(operand)
    if len(area) > 1 and len(area[0]) > 1:
        raise Failed(MISSING)
    return area[0] if len(area) == 1 else [row[0] for row in area]


def _looked_up(scope: Scope, wanted: Operand, rows: Area, index: Operand, is_sorted: Operand) -> Operand:
    at, column = single(wanted), whole(index, scope)
    if column < 1:
        raise Failed(VALUE)
    if column > len(rows[0]):
        raise Failed(REF)
    found = _position(at, [row[0] for row in rows], 1 if truth(is_sorted, scope) else 0)
    return _fail(MISSING) if found is None else rows[found][column - 1]


@function("MATCH", 2, 3)
def _match(scope: Scope, wanted: Operand, area: Operand, mode: Operand = 1) -> Operand:
    found = _position(single(wanted), _line(area), whole(mode, scope))
    return _fail(MISSING) if found is None else found + 1


@function("XLOOKUP", 3, 4)
def _xlookup(scope: Scope, wanted: Operand, where: Operand, result: Operand, missing: Operand = MISSING) -> Operand:
    cells, area = _line(where), rows_of(result)
    found = _position(single(wanted), cells, 0)
    if found is None:
        return missing
    upright = len(rows_of(where)) > 1 or len(cells) == 1
    if len(cells) != (len(area) if upright else len(area[0])):
        raise Failed(VALUE)
    return [area[found]] if upright else [[row[found]] for row in area]


@function("INDEX", 1, 3)
def _index(scope: Scope, operand: Operand, row: Operand = 0, column: Operand = 0) -> Operand:
    """0 stands for all rows or columns; of a single row, the one number given counts columns."""
    area, r, c = rows_of(operand), whole(row, scope), whole(column, scope)
    if len(area) == 1 and c == 0 and r > 1:
        r, c = 0, r
    if not (0 <= r <= len(area) and 0 <= c <= len(area[0])):
        raise Failed(REF)
    rows = area if r == 0 else [area[r - 1]]
    return rows if c == 0 else [[line[c - 1]] for line in rows]


def _turned(area: Area) -> Area:
    return [list(column) for column in zip(*area, strict=True)]


_define(
    {
        "VLOOKUP": (3, 4, lambda s, v, a, n, o=True: _looked_up(s, v, rows_of(a), n, o)),
        "HLOOKUP": (3, 4, lambda s, v, a, n, o=True: _looked_up(s, v, _turned(rows_of(a)), n, o)),
        "ROWS": (1, 1, lambda s, a: len(rows_of(a))),
        "COLUMNS": (1, 1, lambda s, a: len(rows_of(a)[0])),
    }
)
