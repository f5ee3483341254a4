"""Kits (RULES K1 to K3, K6): no balance of their own, available by their components, orders that commit those."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sheets_sync import kits, onboarding
from sheets_sync.desk import kits_of
from sheets_sync.model import Balance, Cell, LineState, OrderLine, OrderState, Ref, Stock, StockKey
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sheet import tabs
from tests.hands import Clock
from tests.test_seed_day import Day
from tests.world import World

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SET = "SET"

# pure -----------------------------------------------------------------------------------------------------------


def rows(*cells: tuple[Cell, Cell, Cell]) -> kits.Rows:
    page = {n: dict(zip((kits.KIT, kits.COMPONENT, kits.UNITS), row, strict=True)) for n, row in enumerate(cells, 2)}
    return kits.read(page, {"A", "B", "SET", "BIG"})


def test_rows_make_kits() -> None:
    found = rows(("SET", "A", 2), ("SET", "B", "1"), (None, None, None))
    assert (found.kits, found.problems) == ({"SET": {"A": 2, "B": 1}}, {})


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ([("SET", "A", 0)], "whole number"),
        ([("SET", "A", 1.5)], "whole number"),
        ([("SET", "Z", 1)], "Z is no SKU of yours"),
        ([("SET", None, 1)], "Component SKU is missing"),
        ([(None, "A", 1)], "Kit SKU is missing"),
        ([("SET", "A", 1), ("SET", "A", 2)], "two rows"),
        ([("SET", "SET", 1)], "SET > SET"),
        ([("SET", "BIG", 1), ("BIG", "A", 1)], "SET > BIG > A"),
        ([("SET", "BIG", 1), ("BIG", "SET", 1)], "SET > BIG > SET"),
    ],
)
def test_K1_what_is_wrong_is_named_and_the_whole_kit_waits(cells: list[Any], says: str) -> None:
    found = rows(*cells)
    assert any(says in text for text in found.problems.values()), found.problems
    assert "SET" not in found.kits


def balances(**figures: int) -> dict[StockKey, Balance]:
    """`A_b=5`: 5 of A at b."""
    keys = {name: StockKey(*name.split("_")) if "_" in name else StockKey(name) for name in figures}
    return {keys[name]: Balance(keys[name], Stock(units), counted=True) for name, units in figures.items()}


@pytest.mark.parametrize(
    ("figures", "places", "available"),
    [
        ({"A": 7, "B": 2}, {"main"}, 2),
        ({"A": 3, "B": 9}, {"main"}, 1),
        ({"A": 7}, {"main"}, None),
        ({"A": -3, "B": 5}, {"main"}, -2),
        ({"A": 5, "B_b": 5}, {"main", "b"}, 0),
        ({"A": 4, "B": 1, "A_b": 2, "B_b": 3}, {"main", "b"}, 2),
    ],
    ids=["the fewest", "whole kits only", "no count", "below zero", "K2 apart", "K2 summed"],
)
def test_K2_what_is_available_is_worked_out_where_it_lies(
    figures: dict[str, int], places: set[str], available: int | None
) -> None:
    assert kits.available({"A": 2, "B": 1}, balances(**figures), places) == available


def test_K3_a_line_keeps_the_components_it_had() -> None:
    line = OrderLine("7", 2, "SET", Ref("1"), taken=2)
    made = kits.expand(line, {}, lambda _: ("SET", 3), {"SET": {"A": 2, "B": 1}})
    assert [(part.id, sku, units, part.taken) for part, sku, units in made] == [("7#0", "A", 6, 2), ("7#1", "B", 3, 0)]
    stored = {
        part.id: LineState(
            f"web/1/{part.id}", "web", "1", part, AT, AT, None, OrderState.OPEN, sku=sku, pack_size=units
        )
        for part, sku, units in made
    }
    later = kits.expand(line, stored, lambda _: ("SET", 3), {"SET": {"A": 9}})
    assert [(sku, units) for _, sku, units in later] == [("A", 6), ("B", 3)]
    plain = {"7": LineState("web/1/7", "web", "1", line, AT, AT, None, OrderState.OPEN, sku="SET")}
    assert kits.expand(line, plain, lambda _: ("SET", 1), {"SET": {"A": 2}}) == [(line, "SET", 1)]


# through the sheet ----------------------------------------------------------------------------------------------


class Kitted(Day):
    """A seller with two mugs and a tray, and a set of them in both shops."""

    def makes(self, *parts: tuple[str, str], at: int = 2, kit: str = SET) -> None:
        for number, (component, units) in enumerate(parts, start=at):
            for header, text in ((kits.KIT, kit), (kits.COMPONENT, component), (kits.UNITS, units)):
                where = f"{self.world.letter(header, tabs.KITS)}{number}"
                self.world.store.type(self.world.book.spreadsheet_id, tabs.KITS, where, text)
        self.follows()

    def follows(self) -> None:
        for _ in range(2):
            self.clock.tick(minutes=11)
            self.world.passes()

    def status(self, row: int = 2) -> str:
        return str(self.world.workbook.values([f"'Kits'!A{row}:E{row}"])[0][0][4])

    def shown(self) -> tuple[int | None, int | None]:
        return self.first.figure(SET), self.second.figure(SET)


def a_day(folder: Path, *seeds: Seed) -> Kitted:
    clock = Clock()
    return Kitted(World(folder, clock=clock, seeds=(Seed("A", "Mug", 7), Seed("B", "Tray", 4), *seeds)), clock)


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Kitted]:
    made = a_day(tmp_path)
    try:
        yield made
    finally:
        made.world.close()
    assert not made.world.faults.problems, "\n".join(made.world.faults.problems)


def test_a_kit_offers_what_can_be_made_and_its_orders_commit_components(day: Kitted) -> None:
    for hands in (day.first, day.second):
        hands.shop.add_product(SET, "Two mugs and a tray", 1)
    onboarding.set_up(day.desk, day.world.workbook)
    onboarding.import_catalogues(day.desk)
    day.world.sheet_passes()
    day.makes(("A", "2"), ("B", "1"))
    started = day.starts()
    assert {e.fact.sku for e in started.opened} == {"A", "B"}, "K1: a kit is not opened"
    day.follows()
    assert day.shown() == (3, 3)
    assert day.world.cell(SET, "Available") == 3 and "a kit of 2 A and 1 B" in day.world.status(SET)
    order = day.second.buy(SET, 1)
    day.follows()
    assert (day.world.figures("A"), day.world.figures("B")) == ("7/2/5", "4/1/3")
    assert day.shown() == (2, 2)
    day.makes(("A", "3"))
    assert day.shown() == (1, 1)
    assert (day.world.figures("A"), day.world.figures("B")) == ("7/2/5", "4/1/3"), "K3: as the kit was then"
    day.second.ship(order)
    day.follows()
    assert (day.world.figures("A"), day.world.figures("B")) == ("5/0/5", "3/0/3")
    day.world.type("A", "2")
    day.follows()
    assert day.shown() == (0, 0)
    day.world.type(SET, "5")
    day.follows()
    assert "has no count" in day.world.status(SET)
    assert day.world.events(SET) == [] and day.world.ledger.verify() == []


def test_K1_a_sku_with_a_count_becomes_a_kit_on_a_persons_word(tmp_path: Path) -> None:
    day = a_day(tmp_path, Seed(SET, "Two mugs and a tray", 6))
    try:
        day.imports()
        day.starts()
        waiting = day.first.buy(SET, 1)
        day.follows()
        assert day.world.figures(SET) == "6/1/5"
        day.makes(("A", "2"), ("B", "1"))
        assert day.world.questions()[SET] == "make_kit"
        assert day.shown() == (5, 5), "it keeps its count until then"
        day.answers("make_kit", "turn into components")
        day.follows()
        assert (day.world.figures("A"), day.world.figures("B")) == ("17/0/17", "9/0/9")
        assert day.shown() == (8, 8)
        day.first.ship(waiting)
        day.follows()
        assert day.world.figures(SET) == "0/0/0", "what was ordered before left as it was"
        assert (day.world.figures("A"), day.world.figures("B")) == ("17/0/17", "9/0/9")
        assert day.world.ledger.verify() == []
        with day.world.ledger.read() as view:
            assert kits_of(view) == {SET: {"A": 2, "B": 1}}
    finally:
        day.world.close()
