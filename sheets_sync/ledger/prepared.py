"""`rows` and `value`: what is asked again and again, compiled once and answered by the database's driver itself.

A pass asks the ledger a hundred small things, and for each of them SQLAlchemy makes a context, a result and its rows
anew, at ten times what SQLite needs to answer. So it builds and compiles a statement, and says how values go in and
come out, once for each kind of database; a run is then one call of the driver. Only for statements that stand in a
module or behind a cache: each is kept for good. Errors are the driver's own; `engine.py` translates those, too.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.sql.compiler import SQLCompiler

Given = Mapping[str, Any]
Processor = Callable[[Any], Any]

_NOTHING: Given = MappingProxyType({})
_kept: dict[tuple[sa.Select[Any], str], _Prepared] = {}


def rows(connection: Connection, query: sa.Select[Any], given: Given = _NOTHING) -> Iterator[Any]:
    """An answer's rows, as named tuples, while the transaction lasts."""
    key = query, connection.dialect.name
    if key not in _kept:
        _kept[key] = _Prepared(query, connection.dialect)
    return _kept[key].run(connection, given)


def value(connection: Connection, query: sa.Select[Any], given: Given = _NOTHING) -> Any:
    """The first column of the first row; None where there is none."""
    row = next(rows(connection, query, given), None)
    return None if row is None else row[0]


class _Prepared:
    def __init__(self, query: sa.Select[Any], dialect: Dialect) -> None:
        compiled = query.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        self._compiled, self._text, self._fixed = compiled, compiled.string, dict(compiled.params)
        self._has_lists = any(bind.expanding for bind in compiled.binds.values())
        made = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in compiled.binds.items()}
        self._into: Mapping[str, Processor] = {name: into for name, into in made.items() if into is not None}
        self._row = _maker(list(query.selected_columns), dialect)

    def run(self, connection: Connection, given: Given) -> Iterator[Any]:
        text, into, values = self._text, self._into, {**self._fixed, **given}
        names: Sequence[str] | None = self._compiled.positiontup
        if self._has_lists:  # the statement's text depends on how many there are
            state = self._compiled.construct_expanded_state(dict(given))
            text, values, names = state.statement, dict(state.parameters), state.positiontup
            into = {**into, **state.processors}
        ready = {name: into[name](cell) if name in into else cell for name, cell in values.items()}
        driver = connection.connection.driver_connection
        assert driver is not None
        return map(self._row, driver.execute(text, ready if names is None else [ready[name] for name in names]))


def _maker(columns: Sequence[sa.ColumnElement[Any]], dialect: Dialect) -> Callable[[Any], Any]:
    """What makes a named tuple of a driver's row."""
    named: Any = namedtuple("Row", [str(column.key) for column in columns], rename=True)  # type: ignore[misc]  # noqa: PYI024
    made = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
    out_of = [(at, processor) for at, processor in enumerate(made) if processor is not None]

    def row(cells: Sequence[Any]) -> Any:
        now = list(cells)
        for at, processor in out_of:
            now[at] = processor(now[at])
        return named._make(now)

    return row if out_of else named._make
