"""Whole days in words (tests/stories/days/*.txt) with the expected ledger, played against the local sheet and shops.

A seller can read them and say whether that is what should happen; tests/stories/days/README.md tells the words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import stamina

from sheets_sync.errors import Unavailable
from tests.hands import VENDORS, Clock, Hands, hands_of
from tests.world import World

STORIES = sorted((Path(__file__).parent / "stories" / "days").glob("*.txt"))
DAY = datetime(2026, 3, 3, 7, 0, tzinfo=UTC)


@dataclass
class Play:
    """A story on the stage. Each line of it is a `_scene` or an expectation."""

    world: World
    clock: Clock
    shops: dict[str, Hands]
    orders: dict[str, tuple[Hands, str]] = field(default_factory=dict)
    away: dict[str, ExitStack] = field(default_factory=dict)

    # what happens -----------------------------------------------------------------------------------------------

    def at(self, time: str) -> None:
        hour, minute = map(int, time.split(":"))
        wanted = DAY.replace(hour=hour, minute=minute)
        self.clock.tick(seconds=max(0.0, (wanted - self.clock()).total_seconds()))

    def buys(self, shop: str, who: str, verb: str, units: str, sku: str) -> None:
        hands = self.shops[shop]
        self.orders[who] = (hands, hands.buy(sku, int(units), paid=verb == "buys"))

    def pays(self, shop: str, who: str) -> None:
        self.act(who, shop, lambda hands, order: hands.pay(order))

    def order(self, shop: str, who: str, what: str) -> None:
        verbs: dict[str, Callable[[Hands, str], None]] = {
            "ships": lambda hands, order: hands.ship(order),
            "is cancelled": lambda hands, order: hands.cancel(order),
            "is deleted": lambda hands, order: hands.delete(order),
        }
        self.act(who, shop, verbs[what])

    def returns(self, shop: str, who: str, units: str, sku: str) -> None:
        self.act(who, shop, lambda hands, order: hands.refund(order, sku, int(units)))

    def act(self, who: str, shop: str, what: Callable[[Hands, str], None]) -> None:
        hands, order = self.orders[who]
        assert hands is self.shops[shop], f"{who} bought elsewhere"
        what(hands, order)

    def types(self, text: str, sku: str, over: str | None) -> None:
        if over is not None:
            assert str(self.world.cell(sku)) == over, "what the seller sees"
        self.world.type(sku, text)

    def hears(self, shop: str) -> None:
        """One side has been read; what it means is in no other side yet."""
        self.world.channel_pass(shop)

    def leaves(self, shop: str) -> None:
        stack = ExitStack()
        stack.enter_context(self.shops[shop].away())
        self.away[shop] = stack

    def comes_back(self, shop: str) -> None:
        self.away.pop(shop).close()

    # what must be so --------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Everyone does what is to be done; a shop that is away does not."""
        for _ in range(3):
            self.world.sheet_passes()
            for name in self.shops:
                try:
                    while self.world.channel_pass(name).again:
                        pass
                except Unavailable:
                    assert name in self.away
        self.world.sheet_passes()

    def stands(self, sku: str, figures: str, shown: str) -> None:
        wanted = {shop: int(n) for shop, n in re.findall(r"(\w+) (-?\d+)", shown)}
        wanted = {name: wanted["shops"] for name in self.shops} if "shops" in wanted else wanted
        assert self.world.figures(sku) == figures
        assert {name: self.shops[name].figure(sku) for name in wanted} == wanted

    def status(self, sku: str, text: str) -> None:
        assert self.world.status(sku) == text

    def asks(self, kind: str, sku: str | None) -> None:
        asked = self.world.questions()
        assert asked == {} if kind == "nothing" else asked.get(str(sku)) == kind, asked

    def ledger(self, sku: str, rows: list[tuple[str, int, int]]) -> None:
        told = [(e.fact.kind.value, e.change.on_hand, e.change.committed) for e in self.world.events(sku)]
        assert told == rows


SCENES: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"(\w+): (\w+) (buys|orders) (\d+) of (\S+)", Play.buys),
    (r"(\w+): (\w+) pays", Play.pays),
    (r"(\w+): (\w+)'s order (ships|is cancelled|is deleted)", Play.order),
    (r"(\w+): (\w+) returns (\d+) of (\S+)", Play.returns),
    (r"seller types (\S+) for (\S+?)(?: over (\S+))?", Play.types),
    (r"the service hears from (\w+)", Play.hears),
    (r"(\w+) is away", Play.leaves),
    (r"(\w+) is back", Play.comes_back),
)
EXPECTATIONS: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"status of (\S+): (.+)", Play.status),
    (r"Review asks (\w+)(?: about (\S+))?", Play.asks),
    (r"(\S+) (-?\d+/-?\d+/-?\d+), (.+)", Play.stands),
)


def found(line: str, among: tuple[tuple[str, Callable[..., None]], ...]) -> tuple[Callable[..., None], tuple[str, ...]]:
    for pattern, act in among:
        match = re.fullmatch(pattern, line)
        if match:
            return act, match.groups()
    raise AssertionError(f"the story says what nobody understands: {line!r}")


def sum_up(line: str) -> tuple[str, int, int]:
    """A row of the expected ledger: the first figure stands under On hand, the second under Committed."""
    what, on_hand, committed = line[:14], line[14:19], line[19:]
    return what.strip(), int(on_hand.strip() or 0), int(committed.strip() or 0)


def played(play: Play, text: str) -> None:
    quiet, expected = True, dict[str, list[tuple[str, int, int]]]()
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        try:
            if said.startswith("ledger of "):
                table = said.removeprefix("ledger of ")
                expected[table] = []
            elif table:
                expected[table].append(sum_up(line))
            elif said.startswith("=> "):
                if not quiet:
                    play.settle()
                quiet = True
                act, words = found(said.removeprefix("=> "), EXPECTATIONS)
                act(play, *words)
            else:
                time, said = said.split(maxsplit=1)
                play.at(time)
                act, words = found(said, SCENES)
                act(play, *words)
                quiet = False
        except Exception as error:
            error.add_note(f"line {number} of the story: {line.strip()}")
            raise
    for sku, rows in expected.items():
        play.ledger(sku, rows)
    assert expected, "a story ends with its ledger"
    assert play.world.ledger.verify() == []


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    clock = Clock(DAY)
    world = World(tmp_path, vendors=VENDORS, clock=clock)
    try:
        with stamina.set_testing(True, attempts=2):
            world.begin()
            yield Play(world, clock, {name: hands_of(shop) for name, shop in world.shops.items()})
    finally:
        world.close()


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_story(play: Play, story: Path) -> None:
    played(play, story.read_text(encoding="utf-8"))


def test_a_story_that_goes_otherwise_fails_and_names_its_line(play: Play) -> None:
    with pytest.raises(AssertionError) as told:
        played(play, "09:00  shopify: Ann buys 3 of 00123\n       => 00123 10/0/10, shops 10\n")
    assert "line 2" in " ".join(told.value.__notes__)


def test_there_are_stories() -> None:
    assert len(STORIES) >= 2
