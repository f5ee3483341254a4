"""Formulas, as far as a stock sheet needs them: arithmetic, comparison, `&`, references, SUM and a few of its like.

`Reckoner` gives a formula's value as Google would show it; what it does not know shows `#NAME?`, and the text is kept.
A library of all of Excel was too heavy for this (numpy, a second model of the workbook to keep in step).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sheets_sync.sandbox.sheet import a1
from sheets_sync.sandbox.sheet.display import show
from sheets_sync.sandbox.sheet.entered import tidy
from sheets_sync.sandbox.sheet.grid import Book, ErrorValue, Tab, Value

NAME, REF, VALUE, DIV, PARSE, NUMBER = (
    ErrorValue(t) for t in ("#NAME?", "#REF!", "#VALUE!", "#DIV/0!", "#ERROR!", "#NUM!")
)

_REFERENCE = (
    r"(?:'(?:[^']|'')+'!|[A-Za-z_][\w.]*!)?\$?[A-Za-z]{1,3}\$?[0-9]+(?::\$?[A-Za-z]{1,3}\$?[0-9]+)?(?![\w(])"
    r"|(?:'(?:[^']|'')+'!|[A-Za-z_][\w.]*!)?(?:\$?[A-Za-z]{1,3}[0-9]*:\$?[A-Za-z]{1,3}|\$?[0-9]+:\$?[0-9]+)(?![\w(])"
)
_TOKEN = re.compile(
    rf'\s*(?:(?P<text>"(?:[^"]|"")*")|(?P<ref>{_REFERENCE})|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)'
    r"|(?P<error>#(?:REF!|NAME\?|VALUE!|DIV/0!|NUM!|ERROR!|N/A))|(?P<name>[A-Za-z_][\w.]*)|(?P<op><=|>=|<>|[-+*/^&=<>(),;%]))"
)
_TEXT_OR_REF = re.compile(rf'"(?:[^"]|"")*"|{_REFERENCE}')
_CORNER = re.compile(r"(\$?)([A-Za-z]{1,3})(\$?)([0-9]+)")

Area = list[list[Value]]
Operand = Value | Area


class Failed(Exception):
    """The formula shows this error value."""

    def __init__(self, value: ErrorValue) -> None:
        super().__init__(value)
        self.value = value


@dataclass
class Reckoner:
    """The values of a book's formulas, each worked out once; a cell that needs itself is `#REF!`."""

    book: Book
    known: dict[tuple[int, int, int], Value] = field(default_factory=dict)
    open: set[tuple[int, int, int]] = field(default_factory=set)

    def value(self, tab: Tab, row: int, column: int) -> Value:
        """The effective value of a cell."""
        text = tab.formulas[row].get(column)
        if text is None:
            return tab.value(row, column)
        key = (tab.sheet_id, row, column)
        if key not in self.known:
            if key in self.open or len(self.open) > 150:
                return REF
            self.open.add(key)
            self.known[key] = self.work_out(tab, text)
            self.open.discard(key)
        return self.known[key]

    def work_out(self, tab: Tab, text: str) -> Value:
        """The value of a formula that stands in this tab."""
        try:
            result = _single(_Parser(self, tab, list(_tokens(text[1:]))).whole())
        except Failed as failed:
            return failed.value
        except OverflowError:
            return NUMBER
        return tidy(result) if isinstance(result, float) else result

    def area(self, tab: Tab, text: str) -> Area:
        """The values under a reference; raises Failed where it leads nowhere."""
        title, corner = a1.split(text)
        target = tab if title is None else self.book.tab_named(title)
        found = a1.area_of(corner or "")
        if target is None or found is None:
            raise Failed(REF)
        box = found.within(len(target.values), len(target.columns))
        if found.r0 >= box.r1 or found.c0 >= box.c1:
            raise Failed(REF)
        rows = range(box.r0, box.r1 if found.r1 is not None else max(box.r0 + 1, target.used_rows()))
        return [[self.value(target, r, c) for c in range(box.c0, box.c1)] for r in rows]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at, text = 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match or match.lastgroup is None:
            raise Failed(PARSE)
        yield match.lastgroup, match[match.lastgroup]
        at = match.end()


class _Parser:
    """Precedence climbing over the tokens; works out what it reads at once."""

    LEVELS: tuple[tuple[str, ...], ...] = (("=", "<>", "<", ">", "<=", ">="), ("&",), ("+", "-"), ("*", "/"))

    def __init__(self, reckoner: Reckoner, tab: Tab, tokens: list[tuple[str, str]]) -> None:
        self.reckoner, self.tab, self.tokens = reckoner, tab, tokens

    def whole(self) -> Operand:
        result = self.level(0)
        if self.tokens:
            raise Failed(PARSE)
        return result

    def next(self, *ops: str) -> str | None:
        if self.tokens and self.tokens[0][0] == "op" and self.tokens[0][1] in ops:
            return self.tokens.pop(0)[1]
        return None

    def level(self, depth: int) -> Operand:
        if depth == len(self.LEVELS):
            return self.power()
        left = self.level(depth + 1)
        while op := self.next(*self.LEVELS[depth]):
            left = _apply(op, _single(left), _single(self.level(depth + 1)))
        return left

    def power(self) -> Operand:
        left = self.signed()
        while self.next("^"):
            left = _power(_number(left), _number(self.signed()))
        return left

    def signed(self) -> Operand:
        if op := self.next("-", "+"):
            value = _number(self.signed())
            return -value if op == "-" else value
        value_ = self.atom()
        while self.next("%"):
            value_ = _number(value_) / 100
        return value_

    def atom(self) -> Operand:
        if not self.tokens:
            raise Failed(PARSE)
        kind, text = self.tokens.pop(0)
        if kind == "number":
            return tidy(float(text))
        if kind == "text":
            return text[1:-1].replace('""', '"')
        if kind == "error":
            raise Failed(ErrorValue(text))
        if kind == "ref":
            return self.reckoner.area(self.tab, text)
        if kind == "name":
            return self.call(text.upper())
        if text == "(":
            return self.closed(self.level(0))
        raise Failed(PARSE)

    def closed(self, value: Operand) -> Operand:
        if not self.next(")"):
            raise Failed(PARSE)
        return value

    def call(self, name: str) -> Operand:
        if name in ("TRUE", "FALSE") and not (self.tokens and self.tokens[0][1] == "("):
            return name == "TRUE"
        if not self.next("("):
            raise Failed(NAME)
        arguments: list[Operand] = []
        while not self.next(")"):
            arguments.append(self.argument())
            if not self.next(",", ";") and not (self.tokens and self.tokens[0][1] == ")"):
                raise Failed(PARSE)
        function = FUNCTIONS.get(name)
        if function is None:
            raise Failed(NAME)
        return function(arguments)

    def argument(self) -> Operand:
        """An error inside an argument is that argument's value: IFERROR wants to see it."""
        before = list(self.tokens)
        try:
            return self.level(0)
        except Failed as failed:
            if failed.value in (PARSE, NAME):
                raise
            self.tokens = _after_argument(before)
            return failed.value


def _after_argument(tokens: list[tuple[str, str]]) -> list[tuple[str, str]]:
    depth = 0
    for at, (kind, text) in enumerate(tokens):
        if kind == "op" and depth == 0 and text in (",", ";", ")"):
            return tokens[at:]
        depth += {"(": 1, ")": -1}.get(text, 0) if kind == "op" else 0
    return []


def _single(operand: Operand) -> Value:
    value = operand[0][0] if isinstance(operand, list) else operand
    if isinstance(operand, list) and (len(operand), len(operand[0])) != (1, 1):
        raise Failed(VALUE)
    if isinstance(value, ErrorValue):
        raise Failed(value)
    return value


def _number(operand: Operand) -> int | float:
    value = _single(operand)
    if isinstance(value, str):
        try:
            return tidy(float(value)) if value else 0
        except ValueError:
            raise Failed(VALUE) from None
    return int(value) if isinstance(value, bool) else value


def _power(base: float, exponent: float) -> float:
    if base == 0 and exponent < 0:
        raise Failed(DIV)
    result = base**exponent
    if isinstance(result, complex):
        raise Failed(NUMBER)
    return float(result)


def _apply(op: str, left: Value, right: Value) -> Value:
    if op == "&":
        return show(left) + show(right)
    if op in _Parser.LEVELS[0]:
        return _compare(op, left, right)
    a, b = _number(left), _number(right)
    if op == "/" and b == 0:
        raise Failed(DIV)
    return tidy({"+": a + b, "-": a - b, "*": a * b}[op] if op != "/" else a / b)


def _compare(op: str, left: Value, right: Value) -> bool:
    """Numbers come before texts, texts before truth values; case does not count."""
    a, b = order_key(left), order_key(right)
    return {"=": a == b, "<>": a != b, "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[op]


def order_key(value: Value) -> tuple[int, float, str]:
    """How values of all kinds sort among each other."""
    if isinstance(value, bool):
        return 2, float(value), ""
    return (1, 0.0, value.casefold()) if isinstance(value, str) else (0, float(value), "")


def _flat(arguments: list[Operand]) -> Iterator[tuple[Value, bool]]:
    for argument in arguments:
        if isinstance(argument, list):
            for row in argument:
                yield from ((value, True) for value in row)
        else:
            yield argument, False


def _numbers(arguments: list[Operand]) -> list[int | float]:
    """Texts and blanks in a range are left out, as Google leaves them out; errors are not."""
    found = []
    for value, in_range in _flat(arguments):
        if isinstance(value, ErrorValue):
            raise Failed(value)
        if not in_range:
            found.append(_number(value))
        elif not isinstance(value, (str, bool)):
            found.append(value)
    return found


def _average(arguments: list[Operand]) -> Value:
    numbers = _numbers(arguments)
    if not numbers:
        raise Failed(DIV)
    return tidy(sum(numbers) / len(numbers))


def _if(arguments: list[Operand]) -> Operand:
    if not 2 <= len(arguments) <= 3:
        raise Failed(ErrorValue("#N/A"))
    if _number(arguments[0]):
        return arguments[1]
    return arguments[2] if len(arguments) == 3 else False


def _iferror(arguments: list[Operand]) -> Operand:
    try:
        return _single(arguments[0])
    except Failed:
        return arguments[1] if len(arguments) > 1 else ""


def _truths(arguments: list[Operand]) -> list[bool]:
    return [bool(_number(value)) for value, in_range in _flat(arguments) if not (in_range and isinstance(value, str))]


def _kind(arguments: list[Operand]) -> Value:
    """The value that ISNUMBER and its like look at: an error is one, not a failure."""
    try:
        return _single(arguments[0]) if arguments else ""
    except Failed as failed:
        return failed.value


def _round(arguments: list[Operand]) -> Value:
    places = int(_number(arguments[1])) if len(arguments) > 1 else 0
    scale, number = 10.0**places, float(_number(arguments[0]))
    return tidy((1 if number >= 0 else -1) * int(abs(number) * scale + 0.5) / scale)


FUNCTIONS: dict[str, Callable[[list[Operand]], Operand]] = {
    "SUM": lambda a: tidy(sum(_numbers(a))),
    "MIN": lambda a: min(_numbers(a), default=0),
    "MAX": lambda a: max(_numbers(a), default=0),
    "AVERAGE": _average,
    "COUNT": lambda a: sum(1 for v, _ in _flat(a) if isinstance(v, (int, float)) and not isinstance(v, bool)),
    "COUNTA": lambda a: sum(1 for v, _ in _flat(a) if v != ""),
    "ABS": lambda a: abs(_number(a[0])) if a else NAME,
    "ROUND": lambda a: _round(a) if a else NAME,
    "IF": _if,
    "AND": lambda a: all(_truths(a)),
    "OR": lambda a: any(_truths(a)),
    "NOT": lambda a: not _number(a[0]) if a else NAME,
    "ISNUMBER": lambda a: isinstance(_kind(a), (int, float)) and not isinstance(_kind(a), bool),
    "ISTEXT": lambda a: isinstance(v := _kind(a), str) and not isinstance(v, ErrorValue) and v != "",
    "ISBLANK": lambda a: _kind(a) == "",
    "ISERROR": lambda a: isinstance(_kind(a), ErrorValue),
    "IFERROR": lambda a: _iferror(a) if a else NAME,
    "CONCATENATE": lambda a: "".join(show(v) for v, _ in _flat(a)),
    "LEN": lambda a: len(show(_single(a[0]))) if a else NAME,
    "TRUE": lambda a: True,
    "FALSE": lambda a: False,
}


def shifted(text: str, rows: int, columns: int) -> str:
    """The formula as it reads when its cell is copied that far: what has no $ moves along."""
    return _each_corner(text, lambda corner: _moved_corner(corner, rows, columns))


def _moved_corner(corner: re.Match[str], rows: int, columns: int) -> str:
    row = int(corner[4]) + (0 if corner[3] else rows)
    column = a1.column_of(corner[2]) + (0 if corner[1] else columns)
    return f"{corner[1]}{a1.letters(column)}{corner[3]}{row}" if row > 0 and column >= 0 else REF


def resettled(text: str, own: str, title: str, place: Callable[[int], int | None], by_rows: bool) -> str:
    """The formula after rows or columns of the tab `title` moved.

    `own` is the tab in which the formula stands; `place` gives an index its new one, None where it is gone.
    """

    def corner(match: re.Match[str]) -> str:
        old = int(match[4]) - 1 if by_rows else a1.column_of(match[2])
        new = place(old)
        if new is None:
            return str(REF)
        return (
            f"{match[1]}{match[2]}{match[3]}{new + 1}"
            if by_rows
            else f"{match[1]}{a1.letters(new)}{match[3]}{match[4]}"
        )

    def reference(match: re.Match[str]) -> str:
        target, _ = a1.split(match[0])
        if match[0].startswith('"') or (target or own).lower() != title.lower():
            return match[0]
        head, mark, tail = match[0].rpartition("!")
        return head + mark + _CORNER.sub(corner, tail)

    return _TEXT_OR_REF.sub(reference, text)


def _each_corner(text: str, change: Callable[[re.Match[str]], str]) -> str:
    def reference(match: re.Match[str]) -> str:
        if match[0].startswith('"'):
            return match[0]
        head, mark, tail = match[0].rpartition("!")
        return head + mark + _CORNER.sub(change, tail)

    return _TEXT_OR_REF.sub(reference, text)
