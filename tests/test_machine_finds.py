"""Each protection of the exchange broken in turn: the machine over the sheet finds each, in the runs it always makes.

What `test_machine_sheet.py` passes is only worth what it would not pass. `docs/decisions.md` has the shortest story of
each in words.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from sheets_sync import edits, exchange, gaps, sync
from sheets_sync.edits import Known, Says, Verdict
from sheets_sync.errors import SheetsSyncError
from sheets_sync.exchange import Image, Intent
from sheets_sync.ledger import View
from sheets_sync.model import Cell, Fact, Look, Tag
from tests.test_machine_sheet import ALWAYS, EXAMPLES, Died, Sheet, a_template

Break = Callable[[pytest.MonkeyPatch], None]


def _judging(patch: pytest.MonkeyPatch, judge: Callable[..., Verdict]) -> None:
    for module in (edits, exchange):
        patch.setattr(module, "judge", judge)


def the_tag_is_the_base(patch: pytest.MonkeyPatch) -> None:
    """What was typed counts against what the ledger has."""
    honest = edits.judge

    def judge(sku: Cell, figure: Cell, tag: Tag, known: Known) -> Verdict:
        verdict = honest(sku, figure, tag, known)
        if verdict.says is not Says.EDIT:
            return verdict
        assert isinstance(figure, int) and isinstance(sku, str)
        return replace(verdict, change=figure - known.stock[sku].on_hand)

    _judging(patch, judge)


def the_tag_names_its_sku(patch: pytest.MonkeyPatch) -> None:
    """Any SKU's tag will do."""
    honest = edits.judge

    def judge(sku: Cell, figure: Cell, tag: Tag, known: Known) -> Verdict:
        named = sku if isinstance(sku, str) and tag.sku is not None else tag.sku
        return honest(sku, figure, tag._replace(sku=named), known)

    _judging(patch, judge)


def the_chain(patch: pytest.MonkeyPatch) -> None:
    """A batch lands on whatever is there."""
    patch.setattr(exchange, "chain", lambda previous, new, place: [])


def the_image(patch: pytest.MonkeyPatch) -> None:
    """What the look saw is settled."""
    one, image = sync._Pass._one, sync._Pass._image

    def looked(self: Any, look: Look, *args: Any, **how: Any) -> str:
        self.looked = look
        return one(self, look, *args, **how)

    def from_look(self: Any, intent: Intent) -> Image:
        real = image(self, intent)
        return sync._image_of(self.looked, intent) if hasattr(self, "looked") else real

    patch.setattr(sync._Pass, "_one", looked)
    patch.setattr(sync._Pass, "_image", from_look)


def a_tag_is_used_once(patch: pytest.MonkeyPatch) -> None:
    """Used tags are forgotten, and no key of an event tells that it was recorded already."""
    fact = exchange._Settling._fact

    def anew(*args: Any, **how: Any) -> Fact:
        made = fact(*args, **how)
        return replace(made, key=f"{made.key}:{uuid.uuid4()}")

    patch.setattr(View, "taken", lambda self, pairs: {})
    patch.setattr(exchange._Settling, "_fact", anew)


def the_intention(patch: pytest.MonkeyPatch) -> None:
    """Nothing is known any more of what an exchange was about."""
    patch.setattr(View, "intent", lambda self, exchange: None)
    patch.setattr(View, "open_intents", lambda self: [])


def a_look_decides_nothing(patch: pytest.MonkeyPatch) -> None:
    """A row belongs to the SKU that the look saw there."""
    identity = exchange._ImageRow.identity

    def seen(self: Any) -> tuple[Cell, Tag]:
        sku, tag = identity(self)
        if not self.straight or sku is None or self.write.sku is None:
            return sku, tag
        return self.write.sku, tag._replace(sku=self.write.sku)

    patch.setattr(exchange._ImageRow, "identity", seen)


def holds_in_settling(patch: pytest.MonkeyPatch) -> None:
    """Only looks hold."""
    patch.setattr(exchange, "hold", lambda *args: None)
    patch.setattr(gaps, "together", lambda *args: frozenset())


BREAKS: Mapping[Break, tuple[str, ...]] = {
    the_tag_is_the_base: (),
    the_tag_names_its_sku: ("type_swap", "swap"),
    the_chain: (),
    the_image: (),
    a_tag_is_used_once: ("copy", "type_copy", "uncopy"),
    the_intention: (),
    a_look_decides_nothing: ("sort", "move"),
    holds_in_settling: ("low", "low"),
}
"""And the habits of the people who run into it, of those that the machine draws."""
RUNS, SEEDS = 8, 30


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Sheet]]:
    class Machine(Sheet):
        pass

    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    Machine.template = a_template(tmp_path_factory.mktemp("template"))
    yield Machine
    structlog.configure(**before)


@pytest.mark.parametrize("broken", BREAKS, ids=lambda b: b.__name__)
def test_the_machine_finds_what_is_missing(
    machine: type[Sheet], monkeypatch: pytest.MonkeyPatch, broken: Break
) -> None:
    class Machine(machine):  # type: ignore[misc, valid-type]
        def act(self, kind: str, i: int, j: int) -> None:
            habits = (*ALWAYS, *BREAKS[broken])
            super().act(kind if kind in habits else habits[i % len(habits)], i, j)

    assert not EXAMPLES or not fails(Machine, 1), "nothing is broken yet"
    broken(monkeypatch)
    assert any(fails(Machine, number) for number in range(1, SEEDS))


def fails(machine: type[Sheet], number: int) -> bool:
    """Whether a few runs of this seed come to a bad end; the first that does is the last."""
    few = settings(
        max_examples=RUNS, stateful_step_count=25, deadline=None, database=None, derandomize=False,
        suppress_health_check=list(HealthCheck), phases={Phase.generate}, report_multiple_bugs=False,
    )  # fmt: skip
    try:
        run_state_machine_as_test(seed(number)(machine), settings=few)
    except (AssertionError, SheetsSyncError, Died):
        return True
    return False
