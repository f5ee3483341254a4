"""Seed day (RULES B1 to B7): the matrix that is looked at before Start, what Start takes from it, and Start undone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sheets_sync import answering, onboarding, review, seed_day, seeding
from sheets_sync.config import Settings
from sheets_sync.desk import Desk, start_batch
from sheets_sync.errors import BadInput, SellerMustAct
from sheets_sync.model import Listing, Ref
from sheets_sync.sandbox.shops import Seed as Stocked
from sheets_sync.sandbox.shops._common import Seen
from sheets_sync.seeding import Odd, Row, Seed, Typed
from sheets_sync.sheet import tabs
from tests.hands import Clock, Hands, hands_of
from tests.world import World

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TITLES = {"shop": "Shop", "etsy": "Etsy"}

# the matrix, pure -----------------------------------------------------------------------------------------------


def listing(sku: str | None, shown: int | None = 10, channel: str = "shop", id: str = "", **about: object) -> Listing:
    made = Listing(channel, Ref(id or f"{channel}-{sku}"), sku, title=f"The {sku}", remote_sku=sku, shown=shown)
    return replace(made, **about)  # type: ignore[arg-type]


def rows(*listings: Listing, **about: object) -> dict[str, Row]:
    seed = Seed("shop", TITLES, listings, **about)  # type: ignore[arg-type]
    return {row.sku or row.key: row for row in seeding.matrix(seed)}


def kinds(row: Row) -> set[Odd]:
    return {kind for kind, _ in row.odd}


def test_the_primary_is_preselected_and_differences_are_named() -> None:
    row = rows(listing("A", 10), listing("A", 7, "etsy"))["A"]
    assert (row.primary, row.opens, row.figures) == (10, 10, {"shop": 10, "etsy": 7})
    assert row.odd == ((Odd.DIFFERS, "Etsy shows 7"),)


def test_a_row_with_nothing_odd_says_nothing() -> None:
    assert rows(listing("A"), listing("A", 10, "etsy"))["A"].odd == ()


@pytest.mark.parametrize(
    ("found", "odd", "opens"),
    [
        ([listing("A"), listing("A", id="2")], Odd.DUPLICATE, None),
        ([listing("A", -3)], Odd.NEGATIVE, None),
        ([listing("A", 999)], Odd.FILLER, 999),
        ([listing("A", 10_000)], Odd.FILLER, 10_000),
        ([listing("A", None)], Odd.UNTRACKED, None),
        ([listing("A", pushable=False, why_not="the channel ships it itself")], Odd.NOT_SET, None),
        ([listing("A")], Odd.NO_PARTNER, 10),
        ([listing("A", 4, "etsy")], Odd.NOT_ON_PRIMARY, None),
    ],
    ids=lambda value: str(value) if isinstance(value, Odd) else "",
)
def test_what_is_odd_is_named(found: list[Listing], odd: Odd, opens: int | None) -> None:
    row = rows(*found)["A"]
    assert odd in kinds(row)
    assert row.opens == opens


def test_a_listing_without_a_sku_has_a_row_of_its_own() -> None:
    row = rows(listing(None, id="77"))["listing:shop/77/"]
    assert kinds(row) == {Odd.NO_SKU} and row.opens is None


def test_a_product_that_keeps_its_variations_stock_is_named() -> None:
    product = listing("T", id="5", title="Shirt")
    small = listing("T-S", id="6", title="Shirt, S")
    found = rows(product, replace(small, ref=Ref("6", "5")))
    assert Odd.VARIATIONS in kinds(found["T"]) and Odd.VARIATIONS not in kinds(found["T-S"])


@pytest.mark.parametrize(
    ("one", "other"),
    [("AB-1", "ab-1"), ("AB 1", "AB-1"), ("00123", "123"), ("A-007", "A7"), ("LO-5", "L0-5"), ("Il", "1l"),
     ("АВС", "ABC"), ("Ａ1", "A1")],
)  # fmt: skip
def test_skus_that_people_take_for_each_other_are_named(one: str, other: str) -> None:
    found = rows(listing(one), listing(other))
    assert {sku: Odd.LOOK_ALIKE in kinds(row) for sku, row in found.items()} == {one: True, other: True}


@pytest.mark.parametrize(("one", "other"), [("A1", "A11"), ("100", "10"), ("AB-1", "AB-2"), ("A10", "A1")])
def test_skus_that_differ_are_not_named(one: str, other: str) -> None:
    assert all(Odd.LOOK_ALIKE not in kinds(row) for row in rows(listing(one), listing(other)).values())


def test_B3_what_the_primary_left_out_is_added_and_others_are_not() -> None:
    about = {"orders": {"shop": {"A": 2}, "etsy": {"A": 3}}, "left_out": {"A": 2}}
    row = rows(listing("A", 12), **about)["A"]
    assert (row.opens, row.open_orders) == (14, {"shop": 2, "etsy": 3})
    assert rows(listing("A", 12), answer=seeding.LEFT_OUT, **about)["A"].opens == 17


@pytest.mark.parametrize(
    ("cell", "opens", "odd"),
    [(8, 8, False), (0, 0, False), ("leave out", None, False), ("12 pcs", None, True), (-1, None, True),
     (3.5, None, True)],
)  # fmt: skip
def test_B4_what_was_typed_stands_above_the_primarys_figure(cell: int | str | float, opens: int, odd: bool) -> None:
    row = rows(listing("A", 10), typed={"sku:A": Typed(cell, AT)})["A"]
    assert row.opens == opens
    assert (Odd.NOT_A_COUNT in kinds(row)) is odd


def test_K1_a_kit_opens_with_nothing_whatever_was_typed() -> None:
    row = rows(listing("A", 10), kits={"A": {"B": 2}}, typed={"sku:A": Typed(4, AT)})["A"]
    assert row.opens is None and Odd.KIT in kinds(row)


def test_the_summary_counts_by_what_is_odd() -> None:
    found = seeding.summary(rows(listing("A", 999), listing("B", 5), listing("B", 5, "etsy")).values())
    assert {odd: [row.sku for row in those] for odd, those in found.items()} == {
        Odd.FILLER: ["A"],
        Odd.NO_PARTNER: ["A"],
    }


# the tab --------------------------------------------------------------------------------------------------------

SEEDS = (Stocked("00123", "Mug, blue", 10), Stocked("MAR1", "Plate", 5), Stocked("1E5", "Scarf", 999))
MUG = "00123"


class Day:
    """A seller before Start: two shops, the first one primary, and the tab Seed day."""

    def __init__(self, world: World, clock: Clock) -> None:
        self.world, self.clock = world, clock
        self.first, self.second = (hands_of(shop) for shop in world.shops.values())
        self.names = list(world.shops)

    @property
    def desk(self) -> Desk:
        return self.world.desk

    def imports(self, **how: str) -> None:
        onboarding.set_up(self.desk, self.world.workbook)
        onboarding.import_catalogues(self.desk, **how)
        self.world.sheet_passes()

    def starts(self) -> onboarding.Started:
        self.world.sheet_passes()
        return onboarding.start(self.desk)

    def rows(self, tab: str = tabs.SEED_DAY) -> dict[str, dict[str, object]]:
        header, *found = self.world.store.rows(self.world.book.spreadsheet_id, tab)
        cells = [dict(zip(header, row, strict=False)) for row in found if any(c not in (None, "") for c in row)]
        return {str(row.get(tabs.SKU) or row.get(tabs.CHANNEL)): row for row in cells}

    def type(self, sku: str, header: str, text: str, tab: str = tabs.SEED_DAY) -> None:
        number = list(self.rows(tab)).index(sku) + 2
        where = f"{self.world.letter(header, tab)}{number}"
        self.world.store.type(self.world.book.spreadsheet_id, tab, where, text)

    def ends(self, figures: str, sku: str = MUG, *shown: int) -> None:
        self.world.passes()
        assert self.world.figures(sku) == figures
        assert tuple(hands.figure(sku) for hands in (self.first, self.second)) == (shown or self.both(figures))
        assert self.world.ledger.verify() == []

    @staticmethod
    def both(figures: str) -> tuple[int, int]:
        available = int(figures.rsplit("/", 1)[1])
        return available, available

    def undoes(self) -> None:
        with self.world.ledger.read() as view:
            batch = start_batch(self.desk, view)
        answering.undo(self.desk, batch)

    def answers(self, kind: str, word: str) -> None:
        with self.world.ledger.read() as view:
            asked = next(q for q in view.questions() if q.kind == kind)
        answering.answer(self.desk, review.short_id(asked), word)

    def settings(self, **changes: object) -> None:
        """The service, started again with another config."""
        self.world.settings = replace(self.world.settings, **changes)  # type: ignore[arg-type]
        self.world.restart()


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    clock = Clock()
    world = World(tmp_path, clock=clock, seeds=SEEDS)
    try:
        yield Day(world, clock)
    finally:
        world.close()
    assert not world.faults.problems, "\n".join(world.faults.problems)


def buy(hands: Hands, units: int, sku: str = MUG) -> str:
    return hands.buy(sku, units)


def test_the_matrix_shows_every_channel_side_by_side_before_anything_is_pushed(day: Day) -> None:
    day.second.set_figure(MUG, 7)
    day.second.shop.add_product("ONLY", "Only there", 3)
    buy(day.second, 2, "MAR1")
    day.imports()
    shown = day.rows()
    first, second = (day.desk.titles[name] for name in day.names)
    assert (shown[MUG][first], shown[MUG][second], shown[MUG]["Opens with"]) == (10, 7, 10)
    assert f"{second} shows 7" in str(shown[MUG]["What is odd"])
    assert "filler" in str(shown["1E5"]["What is odd"])
    assert shown["ONLY"].get("Opens with") in (None, "") and f"only on {second}" in str(shown["ONLY"]["What is odd"])
    assert shown["MAR1"]["Open orders"] == f"{second}: 2"
    asks = [row for row in shown.values() if row.get("Question")]
    assert len(asks) == 1 and "2 units" in str(asks[0]["Question"])
    assert day.world.events() == [] and day.second.figure(MUG) == 7
    with day.world.ledger.read() as view:
        assert Odd.DIFFERS in seeding.summary(seed_day.matrix(day.desk, view))
    day.first.set_figure(MUG, 11)
    day.clock.tick(minutes=11)
    day.world.passes()
    assert day.rows()[MUG]["Opens with"] == 11, "it follows the shops until Start"


def test_B3_the_one_question_is_answered_in_the_matrix(day: Day) -> None:
    buy(day.second, 3)
    day.second.set_figure(MUG, 10)
    day.imports()
    day.type(MUG, "Answer", "left out")
    day.world.sheet_passes()
    assert day.rows()[MUG]["Opens with"] == 13
    day.starts()
    day.ends("13/3/10")


def test_B4_an_override_counts_as_of_when_it_was_typed(day: Day) -> None:
    old = buy(day.first, 2)
    day.imports()
    day.type(MUG, "Open with", "12")
    day.type("MAR1", "Open with", "leave out")
    day.type("1E5", "Open with", "12 pcs")
    day.world.sheet_passes()
    day.clock.tick(minutes=30)
    new = buy(day.first, 1)
    day.first.ship(old)
    day.clock.tick(minutes=30)
    started = day.starts()
    assert [e.fact.sku for e in started.opened] == [MUG]
    assert day.world.events("MAR1") == day.world.events("1E5") == []
    day.ends("10/1/9")
    day.first.ship(new)
    day.ends("9/0/9")


def test_what_was_typed_is_cleared_only_when_two_looks_say_so(day: Day) -> None:
    day.imports()
    day.type(MUG, "Open with", "12")
    day.world.sheet_passes()
    day.type(MUG, "Open with", "")
    day.world.sheet_pass()
    with day.world.ledger.read() as view:
        assert seed_day.typed(view)[f"sku:{MUG}"].count == 12
    day.world.sheet_pass()
    with day.world.ledger.read() as view:
        assert seed_day.typed(view) == {}


def test_a_sku_of_another_channel_opens_with_what_was_typed(day: Day) -> None:
    day.second.shop.add_product("ONLY", "Only there", 3)
    day.imports()
    day.type("ONLY", "Open with", "4")
    day.starts()
    day.world.passes()
    assert (day.world.figures("ONLY"), day.second.figure("ONLY")) == ("4/0/4", 4)


def test_a_negative_figure_is_no_count(day: Day) -> None:
    day.first.set_figure(MUG, -4)
    day.imports()
    started = day.starts()
    assert started.below == (MUG,)
    assert day.world.events(MUG) == []


# Start undone ---------------------------------------------------------------------------------------------------


def test_B6_start_is_undone_until_the_first_sale_and_begins_again(day: Day) -> None:
    day.second.set_figure(MUG, 7)
    mine, theirs = buy(day.first, 2), buy(day.second, 1)
    day.imports()
    day.starts()
    day.ends("10/3/7")
    day.undoes()
    with day.world.ledger.read() as view:
        assert day.desk.started_at(view) is None
    assert day.world.figures(MUG) == "0/0/0" and day.world.ledger.verify() == []
    day.first.set_figure(MUG, 20)
    day.world.passes()
    assert (day.first.figure(MUG), day.second.figure(MUG)) == (20, 7), "nothing is pushed any more"
    day.clock.tick(hours=1)
    day.second.ship(theirs)
    day.clock.tick(hours=1)
    day.imports()
    day.starts()
    day.ends("22/2/20")
    day.first.ship(mine)
    day.ends("20/0/20")
    assert {e.fact.batch for e in day.world.events(MUG) if e.fact.kind == "opening"} == {
        f"start-{day.world.ledger.id}",
        f"start-{day.world.ledger.id}-2",
    }


def test_B6_the_figures_from_before_start_are_put_back_where_nobody_sold(day: Day) -> None:
    day.second.set_figure(MUG, 7)
    day.second.set_figure("MAR1", 1)
    day.imports()
    day.starts()
    day.world.passes()
    assert (day.second.figure(MUG), day.second.figure("MAR1")) == (10, 5)
    day.undoes()
    day.second.set_figure("MAR1", 4)
    day.answers("start_undone", "put back")
    day.world.passes()
    assert day.second.figure(MUG) == 7
    assert day.second.figure("MAR1") == 4, "somebody changed it since: left alone"
    assert "put back" in str(day.rows(tabs.CHANNELS)[day.desk.titles[day.names[1]]]["Progress"])


def test_B6_start_undone_while_a_pass_is_at_work_stops_that_pass_too(day: Day) -> None:
    day.second.set_figure(MUG, 7)
    day.imports()
    day.starts()

    def fault(seen: Seen) -> None:
        if day.second.is_orders(seen) and not done:
            done.append(seen)
            buy(day.second, 1)
            day.undoes()

    done: list[Seen] = []
    with day.second.watched(fault) as calls:
        day.world.channel_pass(day.names[1])
    assert done and not any(map(day.second.is_write, calls[calls.index(done[0]) :]))
    assert day.world.figures(MUG) == "0/0/0"
    day.imports()
    day.starts()
    day.ends("10/1/9")


def test_B6_after_a_sale_it_is_refused_with_the_way_out(day: Day) -> None:
    day.imports()
    day.starts()
    day.world.passes()
    day.clock.tick(minutes=5)
    buy(day.second, 1)
    day.world.passes()
    events = day.world.events()
    with pytest.raises(BadInput, match="stock-take"):
        day.undoes()
    assert day.world.events() == events


# the primary ----------------------------------------------------------------------------------------------------


def test_the_primary_is_changed_before_the_import_and_refused_after_it(day: Day) -> None:
    first, second = (day.desk.titles[name] for name in day.names)
    day.second.set_figure(MUG, 77)
    onboarding.set_up(day.desk, day.world.workbook)
    day.world.sheet_passes()
    day.type(second, "Primary", "TRUE", tabs.CHANNELS)
    day.world.sheet_passes()
    ticked = {title: row["Primary"] for title, row in day.rows(tabs.CHANNELS).items()}
    assert ticked == {first: False, second: True}
    day.imports()
    assert day.rows()[MUG]["Opens with"] == 77
    day.type(first, "Primary", "TRUE", tabs.CHANNELS)
    day.world.sheet_passes()
    row = day.rows(tabs.CHANNELS)
    assert {title: cells["Primary"] for title, cells in row.items()} == {first: False, second: True}
    assert "import --primary" in str(row[first]["Progress"])
    day.imports(primary=day.names[0])
    assert day.rows()[MUG]["Opens with"] == 10
    day.starts()
    with pytest.raises(SellerMustAct, match="undo start-"):
        day.imports(primary=day.names[1])


def test_the_primary_is_retired_after_the_first_sync(day: Day) -> None:
    day.second.set_figure(MUG, 7)
    day.imports()
    day.starts()
    day.world.channel_pass(day.names[0])
    assert not [e for e in day.world.events() if "retired" in e.fact.reference]
    day.world.passes()
    [retired] = [e for e in day.world.events() if "retired" in e.fact.reference]
    assert (retired.change.on_hand, retired.fact.source) == (0, day.names[0])
    assert "retired as primary" in str(day.rows(tabs.CHANNELS)[day.desk.titles[day.names[0]]]["State"])
    assert day.world.ledger.verify() == []


def test_B5_a_channel_added_later_commits_its_open_orders_and_adds_nothing(day: Day) -> None:
    both: Settings = day.world.settings
    day.settings(channels={day.names[0]: both.channels[day.names[0]]})
    day.imports()
    day.starts()
    day.clock.tick(days=1)
    day.second.set_figure(MUG, 50)
    day.second.ship(buy(day.second, 5))
    waiting = buy(day.second, 4)
    day.clock.tick(days=1)
    day.settings(channels=both.channels)
    onboarding.set_up(day.desk, day.world.workbook)
    day.world.passes()
    day.ends("10/4/6")
    assert day.world.questions() == {}
    day.clock.tick(minutes=5)
    day.second.ship(waiting)
    day.ends("6/0/6")


def test_B7_a_new_listing_is_asked_about_and_opened_with_its_figure(day: Day) -> None:
    day.imports()
    day.starts()
    day.world.passes()
    day.second.shop.add_product("NEW", "New thing", 8)
    buy(day.second, 2, "NEW")
    day.clock.tick(minutes=11)
    day.world.passes()
    assert day.world.questions()["NEW"] == "new_listing"
    assert day.world.events("NEW") == []
    day.answers("new_listing", "open")
    day.world.passes()
    assert (day.world.figures("NEW"), day.second.figure("NEW")) == ("8/2/6", 6)
    assert day.world.ledger.verify() == []
