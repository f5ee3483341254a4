"""The ledger on both databases, and what is particular to each."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from sheets_sync.errors import ConfigError, Unavailable
from sheets_sync.ledger import Ledger, codec
from sheets_sync.ledger.schema import Instant, balances, events, listings, order_lines, questions
from sheets_sync.model import Balance, Cell, Event, LineState, Listing, Question
from tests.contract_ledger import LedgerContract, database


class TestSqlite(LedgerContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/a folder/that is new/ledger.db"

    def tamper(self, url: str, statement: str) -> None:
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.executescript(f"DROP TRIGGER events_no_update; DROP TRIGGER events_no_delete; {statement}")
        connection.close()

    def test_it_is_durable_and_guards_its_references(self, ledger: Ledger) -> None:
        with ledger.read() as view:
            told = [
                view._connection.scalar(sa.text(f"PRAGMA {name}"))
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        assert told == ["wal", 2, 1]


class TestPostgresql(LedgerContract):
    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        return postgres_url

    def tamper(self, url: str, statement: str) -> None:
        with database(url).begin() as connection:
            connection.execute(sa.text("SET session_replication_role = replica"))
            connection.execute(sa.text(statement))


# addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ledger.db", 'cannot be read; write "sqlite:///path/to/ledger.db"'),
        ("mysql://host/db", "'mysql' is no database that we know"),
        ("sqlite+aiosqlite:///x.db", "no database that we know"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////proc/none/x.db", "give a path that can be written"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_with_the_way_out(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Ledger.open(url)
    assert said in str(refused.value)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but somebody's notes" * 50)
    with pytest.raises(ConfigError, match="file is not a database"):
        Ledger.open(f"sqlite:///{file}")
    assert file.read_text().startswith("not a database")


def test_a_server_that_does_not_answer_is_unavailable_and_its_password_stays_secret(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="busy or away") as away:
        Ledger.open(f"postgresql://ana:geheim@/db?host={tmp_path}")
    assert "geheim" not in str(away.value)


# nouns come back as they were -----------------------------------------------------------------------------------

PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    int: st.integers(-(10**12), 10**12),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    datetime: st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
}


def any_of(hint: Any) -> st.SearchStrategy[Any]:
    """Every value of a noun, or of one of its fields."""
    origin, args = get_origin(hint), get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if origin in (Union, UnionType):
        return st.one_of(*map(any_of, args))
    if origin is Mapping:
        return st.dictionaries(*map(any_of, args), max_size=3)
    if origin is frozenset:
        return st.frozensets(any_of(args[0]), max_size=3)
    if origin is tuple:
        return st.lists(any_of(args[0]), max_size=3).map(tuple) if args[-1] is ... else st.tuples(*map(any_of, args))
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    return st.builds(hint, **{name: any_of(field) for name, field in get_type_hints(hint).items()})


class Row:
    """A row as a database gives it: columns by name."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


def through(table: sa.Table, values: dict[str, Any]) -> Any:
    """What comes back of a row, with the columns' own conversions."""
    assert set(values) <= set(table.columns.keys())
    for column in table.columns:
        if isinstance(column.type, Instant) and values.get(column.name) is not None:
            stored = column.type.process_bind_param(values[column.name], None)  # type: ignore[arg-type]
            assert isinstance(stored, int)
            values[column.name] = column.type.process_result_value(stored, None)  # type: ignore[arg-type]
    return Row(values)


@given(any_of(LineState))
def test_order_lines_come_back(line: LineState) -> None:
    assert codec.line_of(through(order_lines, codec.line_values(line))) == line


@given(any_of(Listing))
def test_listings_come_back(listing: Listing) -> None:
    assert codec.listing_of(through(listings, codec.listing_values(listing))) == listing


@given(any_of(Question))
def test_questions_come_back_with_their_cells_as_they_were(question: Question) -> None:
    found = codec.question_of(through(questions, codec.question_values(question)))
    assert found == question
    assert [repr(c) for c in (found.typed, found.tag)] == [repr(c) for c in (question.typed, question.tag)]


@given(any_of(Event))
def test_events_come_back(event: Event) -> None:
    event = replace(event, fact=replace(event.fact, change=event.change))
    assert codec.event_of(through(events, codec.event_values(event))) == event


@given(any_of(Balance))
def test_balances_come_back(balance: Balance) -> None:
    assert codec.balance_of(through(balances, codec.balance_values(balance))) == balance


@given(any_of(Cell))
def test_cells_come_back_as_they_were(cell: Cell) -> None:
    assert repr(codec.load_json(codec.dump_json(cell))) == repr(cell)
