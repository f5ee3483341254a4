"""Formulas, as far as a stock sheet needs them: operators, references, and the functions of `functions`.

A text is compiled once, to a function of where it stands; `Reckoner` gives a cell's value as Google would show it. What
it does not know shows `#NAME?`, and the text is kept. A formula in a sheet of another locale is read in that locale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache

from sheets_sync.sandbox.sheet import a1
from sheets_sync.sandbox.sheet.entered import tidy
from sheets_sync.sandbox.sheet.functions import FUNCTIONS, power
from sheets_sync.sandbox.sheet.grid import Book, ErrorValue, Tab, Value
from sheets_sync.sandbox.sheet.operands import (
    BLANK,
    DIV,
    MISSING,
    NAME,
    NUMBER,
    PARSE,
    REF,
    Area,
    Failed,
    Operand,
    Scope,
    compare,
    number,
    plain,
    single,
    spread,
    text,
    truth,
)
from sheets_sync.sandbox.sheet.operands import order_key as order_key

_REFERENCE = (
    r"(?:'(?:[^']|'')+'!|[A-Za-z_][\w.]*!)?\$?[A-Za-z]{1,3}\$?[0-9]+(?::\$?[A-Za-z]{1,3}(?:\$?[0-9]+)?)?(?![\w(])"
    r"|(?:'(?:[^']|'')+'!|[A-Za-z_][\w.]*!)?(?:\$?[A-Za-z]{1,3}[0-9]*:\$?[A-Za-z]{1,3}|\$?[0-9]+:\$?[0-9]+)(?![\w(])"
)


@lru_cache
def _token(decimal: str) -> re.Pattern[str]:
    mark = re.escape(decimal)
    return re.compile(
        rf'\s*(?:(?P<text>"(?:[^"]|"")*")|(?P<ref>{_REFERENCE})|(?P<number>(?:\d+(?:{mark}\d*)?|{mark}\d+)(?:[eE][-+]?\d+)?)'
        r"|(?P<error>(?:(?:'(?:[^']|'')+'|[A-Za-z_][\w.]*)!(?=#REF!))?#(?:REF!|NAME\?|VALUE!|DIV/0!|NUM!|ERROR!|N/A))|(?P<name>[^\W\d][\w.]*)|(?P<op><=|>=|<>|[-+*/^&=<>(),;%]))"
    )


_TEXT_OR_REF = re.compile(rf'"(?:[^"]|"")*"|{_REFERENCE}')
_CORNER = re.compile(r"(?:(\$?)([A-Za-z]{1,3}))?(?:(\$?)([0-9]+))?")
DEEP = 40  # cells that wait for one another in one go; a longer chain is worked off in several

Node = Callable[[Scope], Operand]
Place = tuple[int, int, int]  # tab, row, column


class _TooDeep(Exception):
    """This cell has to be worked out first, on its own."""

    def __init__(self, tab: Tab, row: int, column: int) -> None:
        self.cell = tab, row, column


@dataclass
class Reckoner:
    """The values of a book's formulas, each worked out once; a cell that needs itself is `#REF!`."""

    book: Book
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    known: dict[Place, Value] = field(default_factory=dict)
    open: set[Place] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.locale = self.book.locale

    def value(self, tab: Tab, row: int, column: int) -> Value:
        """The effective value of a cell."""
        key = tab.sheet_id, row, column
        if column not in tab.formulas[row]:
            return tab.value(row, column)
        if key not in self.known:
            if self.open:
                return self._inner(tab, row, column)
            self._outer(tab, row, column)
        return self.known[key]

    def _outer(self, tab: Tab, row: int, column: int) -> None:
        waiting = [(tab, row, column)]
        while waiting:
            tab, row, column = waiting[-1]
            try:
                self._inner(tab, row, column)
                waiting.pop()
            except _TooDeep as deep:
                if any(c[1:] == deep.cell[1:] and c[0] is deep.cell[0] for c in waiting):
                    self.known[deep.cell[0].sheet_id, deep.cell[1], deep.cell[2]] = REF
                else:
                    waiting.append(deep.cell)

    def _inner(self, tab: Tab, row: int, column: int) -> Value:
        key = tab.sheet_id, row, column
        if key in self.known:
            return self.known[key]
        if key in self.open:
            return REF
        if len(self.open) >= DEEP:
            raise _TooDeep(tab, row, column)
        self.open.add(key)
        try:
            self.known[key] = self.work_out(tab, tab.formulas[row][column], row, column)
        finally:
            self.open.discard(key)
        return self.known[key]

    def work_out(self, tab: Tab, text: str, row: int = 0, column: int = 0) -> Value:
        """The value of a formula that stands in this tab."""
        scope = Scope(row, column, self.now, self.locale, lambda ref: self.area(tab, ref), self._named)
        try:
            return plain(single(compiled(text, self.locale.decimal)(scope)))
        except Failed as failed:
            return failed.value
        except (OverflowError, ValueError):
            return NUMBER
        except RecursionError:  # brackets in brackets, hundreds of them
            return PARSE

    def area(self, tab: Tab, reference: str) -> Area:
        """The values under a reference; raises Failed where it leads nowhere."""
        title, corner = a1.split(reference)
        target = tab if title is None else self.book.tab_named(title)
        found = _area_of(corner or "")
        if target is None or found is None:
            raise Failed(REF)
        return self._values(target, found)

    def _named(self, name: str) -> Area:
        place = next((n.range for n in self.book.named.values() if n.name.lower() == name.lower()), None)
        tab = self.book.tab((place or {}).get("sheetId") or 0)
        if place is None or tab is None:
            raise Failed(NAME)
        rows = place.get("startRowIndex") or 0, place.get("endRowIndex")
        return self._values(tab, a1.Area(*rows, place.get("startColumnIndex") or 0, place.get("endColumnIndex")))

    def _values(self, tab: Tab, found: a1.Area) -> Area:
        box = found.within(len(tab.values), len(tab.columns))
        if found.r0 >= box.r1 or found.c0 >= box.c1:
            raise Failed(REF)
        if box.height == 1 and box.width == 1:
            value = self.value(tab, box.r0, box.c0)
            return [[BLANK if value == "" and box.c0 not in tab.formulas[box.r0] else value]]
        last = box.r1 if found.r1 is not None else max(box.r0 + 1, tab.used_rows())
        return [self._row(tab, row, box.c0, box.c1) for row in range(box.r0, last)]

    def _row(self, tab: Tab, row: int, c0: int, c1: int) -> list[Value]:
        if tab.formulas[row]:
            return [self.value(tab, row, column) for column in range(c0, c1)]
        values = tab.values[row][c0:c1]
        return values + [""] * (c1 - c0 - len(values))


@lru_cache(maxsize=4096)
def _area_of(corner: str) -> a1.Area | None:
    return a1.area_of(corner)


@lru_cache(maxsize=65536)
def compiled(text: str, decimal: str = ".") -> Node:
    """What works out a formula text, its = included; raises Failed where it can not be read."""
    return _Parser(list(_tokens(text[1:], decimal)), decimal).whole()


def _tokens(text: str, decimal: str) -> Iterator[tuple[str, str]]:
    at, text, pattern = 0, text.rstrip(), _token(decimal)
    while at < len(text):
        match = pattern.match(text, at)
        if not match or match.lastgroup is None:
            raise Failed(PARSE)
        yield match.lastgroup, match[match.lastgroup]
        at = match.end()


class _Parser:
    """Precedence climbing over the tokens."""

    LEVELS: tuple[tuple[str, ...], ...] = (("=", "<>", "<", ">", "<=", ">="), ("&",), ("+", "-"), ("*", "/"))

    def __init__(self, tokens: list[tuple[str, str]], decimal: str) -> None:
        self.tokens, self.decimal, self.at = tokens, decimal, 0
        self.marks = (",", ";") if decimal == "." else (";",)

    def whole(self) -> Node:
        result = self.level(0)
        if self.at < len(self.tokens):
            raise Failed(PARSE)
        return result

    def peek(self, *ops: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at][0] == "op" and self.tokens[self.at][1] in ops

    def next(self, *ops: str) -> str | None:
        if not self.peek(*ops):
            return None
        self.at += 1
        return self.tokens[self.at - 1][1]

    def level(self, depth: int) -> Node:
        if depth == len(self.LEVELS):
            return self.power()
        left = self.level(depth + 1)
        while op := self.next(*self.LEVELS[depth]):
            left = _operation(op, left, self.level(depth + 1))
        return left

    def power(self) -> Node:
        left = self.signed()
        while self.next("^"):
            left = _raised(left, self.signed())
        return left

    def signed(self) -> Node:
        if op := self.next("-", "+"):
            value = self.signed()
            return (lambda s: spread(s, lambda v: -number(v, s), value(s))) if op == "-" else value
        value = self.atom()
        while self.next("%"):
            value = _percent(value)
        return value

    def atom(self) -> Node:
        if self.at >= len(self.tokens):
            raise Failed(PARSE)
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return _constant(tidy(float(text.replace(self.decimal, "."))))
        if kind == "text":
            return _constant(text[1:-1].replace('""', '"'))
        if kind == "error":
            return _error(ErrorValue(text[text.rindex("#") :]))
        if kind == "ref":
            return lambda s: s.area(text)
        if kind == "name":
            return self.call(text)
        if text == "(":
            value = self.level(0)
            if self.next(")"):
                return value
        raise Failed(PARSE)

    def call(self, name: str) -> Node:
        if not self.next("("):
            return _constant(name.upper() == "TRUE") if name.upper() in ("TRUE", "FALSE") else (lambda s: s.named(name))
        arguments: list[Node] = []
        while not self.next(")"):
            arguments.append(_constant(BLANK) if self.peek(*self.marks, ")") else self.level(0))
            if not self.next(*self.marks) and not self.peek(")"):
                raise Failed(PARSE)
            if self.peek(")") and self.tokens[self.at - 1][1] in self.marks:
                arguments.append(_constant(BLANK))
        return _call(name.upper(), arguments)


def _constant(value: Value) -> Node:
    return lambda s: value


def _error(value: ErrorValue) -> Node:
    def fail(scope: Scope) -> Operand:
        raise Failed(value)

    return fail


def _percent(value: Node) -> Node:
    return lambda s: spread(s, lambda v: number(v, s) / 100, value(s))


def _raised(base: Node, exponent: Node) -> Node:
    return lambda s: spread(s, lambda v, n: tidy(power(number(v, s), number(n, s))), base(s), exponent(s))


def _operation(op: str, left: Node, right: Node) -> Node:
    if op == "&":
        return lambda s: spread(s, lambda a, b: text(a, s) + text(b, s), left(s), right(s))
    if op in _Parser.LEVELS[0]:
        return lambda s: spread(s, lambda a, b: compare(op, single(a), single(b)), left(s), right(s))
    reckon = _ARITHMETIC[op]
    return lambda s: spread(s, lambda a, b: reckon(number(a, s), number(b, s)), left(s), right(s))


def _quotient(a: float, b: float) -> Value:
    if b == 0:
        raise Failed(DIV)
    return tidy(a / b)


_ARITHMETIC: dict[str, Callable[[float, float], Value]] = {
    "+": lambda a, b: tidy(a + b),
    "-": lambda a, b: tidy(a - b),
    "*": lambda a, b: tidy(a * b),
    "/": _quotient,
}


def _call(name: str, arguments: list[Node]) -> Node:
    if name in _CHOOSING:
        least, most, choose = _CHOOSING[name]
        return (lambda s: choose(s, arguments)) if least <= len(arguments) <= most else _error(MISSING)
    found = FUNCTIONS.get(name)
    if found is None:
        return _error(NAME)
    if not found.least <= len(arguments) <= found.most:
        return _error(MISSING)
    if name in _EACH:
        return lambda s: spread(s, lambda *a: found.call(s, *a), *[_tried(argument, s) for argument in arguments])
    if name == "SUMPRODUCT":
        return lambda s: found.call(s, *[_tried(argument, replace(s, arrays=True)) for argument in arguments])
    return lambda s: found.call(s, *[_tried(argument, s) for argument in arguments])


_EACH = frozenset("ABS EXACT INT LEN LOWER N NOT ROUND SIGN TRIM UPPER VALUE YEAR MONTH DAY".split())
"""Functions of single values that SUMPRODUCT may ask of each cell of an area."""


def _tried(node: Node, scope: Scope) -> Operand:
    """An operand whose error is its value: ISERROR and COUNT want to see it, the others fail on it themselves."""
    try:
        return node(scope)
    except Failed as failed:
        return failed.value


# functions that work out only what they choose


def _if(scope: Scope, nodes: list[Node]) -> Operand:
    if truth(nodes[0](scope), scope):
        return nodes[1](scope)
    return nodes[2](scope) if len(nodes) > 2 else False


def _ifs(scope: Scope, nodes: list[Node]) -> Operand:
    for condition, result in zip(nodes[::2], nodes[1::2], strict=False):
        if truth(condition(scope), scope):
            return result(scope)
    raise Failed(MISSING)


def _switch(scope: Scope, nodes: list[Node]) -> Operand:
    value = single(nodes[0](scope))
    for case, result in zip(nodes[1::2], nodes[2::2], strict=False):
        if compare("=", value, single(case(scope))):
            return result(scope)
    if len(nodes) % 2:
        raise Failed(MISSING)
    return nodes[-1](scope)


def _choose(scope: Scope, nodes: list[Node]) -> Operand:
    index = int(number(nodes[0](scope), scope))
    if not 1 <= index < len(nodes):
        raise Failed(NUMBER)
    return nodes[index](scope)


def _if_error(scope: Scope, nodes: list[Node]) -> Operand:
    try:
        return single(nodes[0](scope))
    except Failed:
        return nodes[1](scope) if len(nodes) > 1 else ""


def _if_missing(scope: Scope, nodes: list[Node]) -> Operand:
    try:
        return single(nodes[0](scope))
    except Failed as failed:
        if failed.value != MISSING:
            raise
        return nodes[1](scope)


def _row(scope: Scope, nodes: list[Node]) -> Operand:
    return scope.row + 1


def _column(scope: Scope, nodes: list[Node]) -> Operand:
    return scope.column + 1


_CHOOSING: dict[str, tuple[int, int, Callable[[Scope, list[Node]], Operand]]] = {
    "IF": (2, 3, _if),
    "IFS": (2, 255, _ifs),
    "SWITCH": (3, 255, _switch),
    "CHOOSE": (2, 255, _choose),
    "IFERROR": (1, 2, _if_error),
    "IFNA": (2, 2, _if_missing),
    "ROW": (0, 0, _row),
    "COLUMN": (0, 0, _column),
}


def shifted(text: str, rows: int, columns: int) -> str:
    """The formula as it reads when its cell is copied that far: what has no $ moves along."""

    def moved(corner: _Corner) -> str:
        row = None if corner.row is None else corner.row + (0 if corner.row_mark else rows)
        column = None if corner.column is None else corner.column + (0 if corner.column_mark else columns)
        return corner.text(row, column) if min(row or 0, column or 0) >= 0 else REF

    return _each_reference(text, lambda title, corners: ":".join(map(moved, corners)))


def resettled(text: str, own: str, title: str, place: Callable[[int], int | None], by_rows: bool) -> str:
    """The formula after rows or columns of the tab `title` moved.

    `own` is the tab in which the formula stands; `place` gives an index its new one, None where it is gone. A range
    whose end is gone becomes shorter.
    """

    def settled(target: str | None, corners: list[_Corner]) -> str | None:
        if (target or own).lower() != title.lower():
            return None
        old = [corner.row if by_rows else corner.column for corner in corners]
        first, last = old[0], old[-1]
        new = [None if index is None else place(index) for index in old]
        if first is not None and last is not None and None in new:
            left = [p for p in map(place, range(min(first, last), max(first, last) + 1)) if p is not None]
            if not left or len(corners) == 1:
                return REF
            new = [min(left) if new[0] is None else new[0], max(left) if new[-1] is None else new[-1]]
        return ":".join(
            corner.text(index, corner.column) if by_rows else corner.text(corner.row, index)
            for corner, index in zip(corners, new, strict=True)
        )

    return _each_reference(text, settled)


@dataclass(frozen=True, slots=True)
class _Corner:
    """One end of a reference; row or column is None where it names only the other. Marks are `$` or nothing."""

    column_mark: str
    column: int | None
    row_mark: str
    row: int | None

    @classmethod
    def of(cls, text: str) -> _Corner:
        match = _CORNER.fullmatch(text)
        assert match, text
        mark, letters, row_mark, digits = match.groups()
        column = a1.column_of(letters) if letters else None
        return cls(mark or "", column, row_mark or "", int(digits) - 1 if digits else None)

    def text(self, row: int | None, column: int | None) -> str:
        letters = "" if column is None else f"{self.column_mark}{a1.letters(column)}"
        return letters + ("" if row is None else f"{self.row_mark}{row + 1}")


def _each_reference(text: str, change: Callable[[str | None, list[_Corner]], str | None]) -> str:
    """Every reference rewritten by its tab's title, if it names one, and its corners; None leaves it as it is."""

    def reference(match: re.Match[str]) -> str:
        if match[0].startswith('"'):
            return match[0]
        head, mark, tail = match[0].rpartition("!")
        fresh = change(a1.split(match[0])[0], [_Corner.of(part) for part in tail.split(":")])
        return match[0] if fresh is None else head + mark + fresh

    return _TEXT_OR_REF.sub(reference, text)
