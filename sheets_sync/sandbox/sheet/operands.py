"""What a formula works with: values, areas of values, errors, and how one becomes another. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sheets_sync.sandbox.sheet import entered
from sheets_sync.sandbox.sheet.display import show
from sheets_sync.sandbox.sheet.entered import tidy
from sheets_sync.sandbox.sheet.grid import ErrorValue, Value
from sheets_sync.sandbox.sheet.locales import Locale

NAME, REF, VALUE, DIV, PARSE, NUMBER, MISSING = (
    ErrorValue(t) for t in ("#NAME?", "#REF!", "#VALUE!", "#DIV/0!", "#ERROR!", "#NUM!", "#N/A")
)
Area = list[list[Value]]  # rows of equal length; empty cells are ""
Operand = Value | Area


class _Blank(str):
    """The type of BLANK."""

    __slots__ = ()


BLANK = _Blank("")  # an empty cell that is referred to: 0 to a number, "" to a text; a formula's "" is not one


class Failed(Exception):
    """The formula shows this error value."""

    def __init__(self, value: ErrorValue) -> None:
        super().__init__(value)
        self.value = value


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a formula stands, and what it may ask for: the values under a reference or a named range."""

    row: int
    column: int
    now: datetime
    locale: Locale
    area: Callable[[str], Area]
    named: Callable[[str], Area]
    arrays: bool = False  # within a function that works out its operands cell by cell, as SUMPRODUCT does


def single(operand: Operand) -> Value:
    """The one value of an operand; an error in it is the formula's."""
    if isinstance(operand, list):
        if len(operand) != 1 or len(operand[0]) != 1:
            raise Failed(VALUE)
        operand = operand[0][0]
    if isinstance(operand, ErrorValue):
        raise Failed(operand)
    return operand


def number(operand: Operand, scope: Scope) -> int | float:
    """A number; text is read as if it were typed."""
    value = single(operand)
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, str):
        return value
    if value == "":
        return 0
    read = entered.read(value, False, scope.now.date(), scope.locale).value
    if isinstance(read, (str, bool)):
        raise Failed(VALUE)
    return read


def whole(operand: Operand, scope: Scope) -> int:
    return int(number(operand, scope) // 1)


def text(operand: Operand, scope: Scope) -> str:
    return show(single(operand), None, scope.locale)


def truth(operand: Operand, scope: Scope) -> bool:
    value = single(operand)
    if isinstance(value, str) and value.upper() in ("TRUE", "FALSE"):
        return value.upper() == "TRUE"
    return bool(number(value, scope))


def rows_of(operand: Operand) -> Area:
    """The operand as an area."""
    return operand if isinstance(operand, list) else [[operand]]


def spread(scope: Scope, call: Callable[..., Operand], *operands: Operand) -> Operand:
    """What `call` makes of each cell, where the scope works cell by cell and an operand has several; else of all."""
    areas = [rows_of(operand) for operand in operands]
    rows, columns = max(len(area) for area in areas), max(len(area[0]) for area in areas)
    if not scope.arrays or rows == columns == 1:
        return call(*operands)
    if any(len(area) not in (1, rows) or len(area[0]) not in (1, columns) for area in areas):
        raise Failed(MISSING)

    def cell(row: int, column: int) -> Value:
        found = (area[row if len(area) > 1 else 0][column if len(area[0]) > 1 else 0] for area in areas)
        return single(call(*(BLANK if value == "" else value for value in found)))

    return [[cell(row, column) for column in range(columns)] for row in range(rows)]


def flat(operands: Iterable[Operand]) -> Iterator[tuple[Value, bool]]:
    """All values, each with whether it stood in an area."""
    for operand in operands:
        if isinstance(operand, list):
            for row in operand:
                yield from ((value, True) for value in row)
        else:
            yield operand, False


def is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def numbers(operands: Iterable[Operand], scope: Scope) -> list[int | float]:
    """Numbers; texts, blanks and truth values in an area are left out, as Google leaves them out; errors are not."""
    found: list[int | float] = []
    for value, in_area in flat(operands):
        if type(value) in (int, float):
            found.append(value)  # type: ignore[arg-type]  # which is what the line above says
        elif isinstance(value, ErrorValue):
            raise Failed(value)
        elif not in_area:
            found.append(number(value, scope))
    return found


def order_key(value: Value) -> tuple[int, float, str]:
    """How values of all kinds sort: numbers before texts before truth values; case does not count."""
    if isinstance(value, bool):
        return 2, float(value), ""
    return (1, 0.0, value.casefold()) if isinstance(value, str) else (0, float(value), "")


def compare(op: str, left: Value, right: Value) -> bool:
    """`=`, `<>`, `<`, `>`, `<=`, `>=`; a blank is whatever the other side would be if it were empty."""
    a, b = order_key(_filled(left, right)), order_key(_filled(right, left))
    return {"=": a == b, "<>": a != b, "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[op]


def _filled(value: Value, other: Value) -> Value:
    if value is not BLANK or isinstance(other, str):
        return value
    return False if isinstance(other, bool) else 0


def plain(value: Value) -> Value:
    """The value as a cell keeps it."""
    if value is BLANK:
        return ""
    return tidy(value) if isinstance(value, float) else value
