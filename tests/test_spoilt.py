"""A hundred ways to spoil the sheet, all at once, as people do: none changes a count that it should not, none keeps a
good row from counting, and each leaves a message that a seller understands.

One world with a SKU for each way. Everything is typed, then the service looks, and the table says what must stand
there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from sheets_sync.model import Question, StockKey
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sheet import tabs
from tests.world import World

pytestmark = pytest.mark.xdist_group("spoilt")  # one world for all of them

TEXT = "is not a whole number of units; the ledger keeps 10. Type digits alone, like 12."
PART = "is not a whole number of units (a part, a percentage, a time of day?); the ledger keeps 10."
MOMENT = "is not a whole number of units (a date with a time?); the ledger keeps 10."
BELOW = "is below zero; the ledger keeps 10. Type how many are there, 0 or more."
FAILS = "; the ledger keeps 10. Mend the formula, or type a whole number."
JUMP = "ten times what was there or more"
EMPTY = "On hand is empty; the ledger keeps 10. Type a whole number."
NEW_NAME = "Is '{typed}' its new name, or a new SKU? Answer in Review; if it was a slip, type {sku} again."


@dataclass(frozen=True)
class Way:
    """What is typed where (by header), what Status says then, and the count if it is not the 10 it was."""

    typed: dict[str, str]
    says: str
    count: int = 10
    kind: str = ""  # of the question that is asked, where that is not told by `says`

    @property
    def name(self) -> str:
        return " ".join(f"{header}={text[:20]}" for header, text in self.typed.items())


def on_hand(says: str, *texts: str) -> list[Way]:
    return [Way({tabs.ON_HAND: text}, says) for text in texts]


def sku(says: str, *texts: str) -> list[Way]:
    return [Way({tabs.SKU: text}, says, kind="rename") for text in texts]


def service(header: str, text: str) -> Way:
    return Way({header: text}, "opened with 10")


ROWS = [
    *on_hand(TEXT, "12 pcs", "1o", "1,5", "1.5k", "TRUE", "FALSE", "ten", "10 8"),
    *on_hand(TEXT, "−5", "8-", "n/a", "?", "x", "10?", "~10", ">10", "10;", "8x", "0x10", "1_000"),
    *on_hand(TEXT, "1 000", "1'000", "2 dozen", "👍", "NULL", "None", "nan", "inf", "1E400", "l0", "O", "1O0", "½"),
    *on_hand(TEXT, "8\n9", "<b>8</b>", "'; DROP TABLE events;--", "8,", "8 units left", "VIII", "8+2", "8..10", "no"),
    *on_hand(TEXT, "ca. 8", "=A2", "=B2", "=TRUE"),
    *on_hand(TEXT, "a" * 3000),
    *on_hand(PART, "3.5", "10%", "12:30", "=1/3"), *on_hand(MOMENT, "=NOW()"), *on_hand(BELOW, "-1", "(5)", "=-8"),
    *on_hand(FAILS, "#N/A", "=1/0", "=10-", "=SUM(", "=nonsense(1)", '=IMPORTRANGE("x","y")', '=HYPERLINK("http://x","8")'),
    *on_hand("On hand holds nothing but spaces; the ledger keeps 10.", " "),
    *on_hand("refers to other cells, so it may change by itself.", '=IF(A2="",8,8)', "=LEN(A2)"),
    *on_hand(EMPTY, "", "=IFERROR(1/0)"),
    *on_hand("'8' is text here, not a number; the ledger keeps 10. Type it again as a number.", "'8", '="8"'),
    *on_hand(JUMP, "1e3", "1,000", "10/2", "2026-03-02", "1000000", "=TODAY()", "4006381333931"[:12]),
    *on_hand("is more than anybody has; the ledger keeps 10.", "99999999999999", "9" * 20, "4006381333931"),
    *sku(NEW_NAME, "77", "=A2", "W001 ", "w002", "W0O3", "W004, W005", "new one", "é"),
    Way({tabs.SKU: ""}, "The SKU of this row is gone; it was '{sku}'.", kind="vanished"),
    Way({tabs.SKU: "GOOD1"}, "This SKU stands in rows", kind="vanished"),
    Way({tabs.ON_HAND: "8", tabs.REASON: "disposed"}, "'disposed' takes from Damaged, not from On hand."),
    Way({tabs.ON_HAND: "8", tabs.REASON: "repaired"}, "'repaired' moves units from Damaged, where 0 are"),
    Way({tabs.ON_HAND: "12", tabs.REASON: "damage"}, "'damage' lowers On hand; this change is +2."),
    Way({tabs.ON_HAND: "", tabs.REASON: "damage"}, EMPTY),
    Way({tabs.SKU: "other 1", tabs.ON_HAND: "8"}, "Is 'other 1' its new name", kind="rename"),
    Way({tabs.TAG_FIGURE: "", tabs.ON_HAND: "8"}, "8 was typed in a new row, but this SKU already has 10."),
    Way({tabs.TAG_FIGURE: "x", tabs.ON_HAND: "8"}, "8 was typed in a new row, but this SKU already has 10."),
    Way({tabs.TAG_SKU: "W001", tabs.ON_HAND: "8"}, "This row last held 'W001'; its figure was not taken."),
    Way({tabs.TAG_SKU: "", tabs.TAG_FIGURE: "", tabs.TAG_EXCHANGE: ""}, "opened with 10"),
    Way({tabs.TAG_EXCHANGE: "nonsense"}, "opened with 10"),
    service(tabs.COMMITTED, "5"), service(tabs.DAMAGED, "x"), service(tabs.AVAILABLE, "=1/0"),
    service("Woocommerce", "99"), service(tabs.STATUS, "sold out!"), service(tabs.UPDATED, "yesterday"),
    # what looks odd and is a count all the same
    Way({tabs.ON_HAND: "$8"}, "-2 recorded, now 8", 8), Way({tabs.ON_HAND: "=12+5"}, "+7 recorded, now 17", 17),
    Way({tabs.ON_HAND: "  8 "}, "-2 recorded, now 8", 8), Way({tabs.ON_HAND: "00008"}, "-2 recorded, now 8", 8),
    Way({tabs.ON_HAND: "８"}, "-2 recorded, now 8", 8), Way({tabs.ON_HAND: "=3.5*2"}, "-3 recorded, now 7", 7),
    Way({tabs.ON_HAND: "0"}, "-10 recorded, now 0", 0), Way({tabs.ON_HAND: "499"}, "+489 recorded, now 499", 499),
    Way({tabs.ON_HAND: "8", tabs.REASON: "stolen"}, "-2 recorded, now 8", 8),
    Way({tabs.TITLE: "=1/0"}, "opened with 10"), Way({tabs.LOW_STOCK: "few"}, "opened with 10"),
]  # fmt: skip
NAMES = [f"W{n:03}" for n in range(1, len(ROWS) + 1)]

ADJUSTMENTS: list[tuple[tuple[str, str, str, str, str], str]] = [
    (("", "1", "", "", ""), "SKU: missing"),
    (("A1", "", "", "", ""), "Change or Set to"),
    (("A1", "1", "2", "", ""), "Change or Set to"),
    (("A1", "1o", "", "", ""), "Change: '1o' is not a whole number"),
    (("A1", "0", "", "", ""), "Change: 0"),
    (("A1", "2.5", "", "", ""), "Change: 2.5"),
    (("A1", "", "-1", "", ""), "Set to: -1"),
    (("A1", "", "TRUE", "", ""), "Set to: TRUE"),
    (("A1", "1", "", "because", ""), "Reason: 'because' is none of"),
    (("A1", "", "5", "damage", ""), "give it in Change"),
    (("nobody", "1", "", "", ""), "nobody"),
    (("A1", "-99", "", "", ""), "-99"),
    (("A1", "1", "", "repaired", ""), "repaired"),
]
HEADERS = (tabs.SKU, tabs.CHANGE, tabs.SET_TO, tabs.REASON, tabs.REFERENCE)


@dataclass
class Spoilt:
    """How it all stands after the service has looked."""

    rows: list[dict[str, Any]]
    counts: dict[str, int]
    questions: list[Question]
    adjustments: list[dict[str, Any]]
    service: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoilt]:
    seeds = [Seed(name, "Thing", 10) for name in (*NAMES, "GOOD1", "GOOD2", "A1")]
    world = World(tmp_path_factory.mktemp("spoilt"), vendors=("woocommerce",), seeds=seeds)
    try:
        world.begin()
        yield spoil(world)
    finally:
        world.close()


def spoil(world: World) -> Spoilt:
    book, at = world.book.spreadsheet_id, {name: world.row(name) for name in NAMES}
    letters = {header: world.letter(header) for way in ROWS for header in way.typed}
    for name, way in zip(NAMES, ROWS, strict=True):
        for header, text in way.typed.items():
            world.store.type(book, tabs.STOCK, f"{letters[header]}{at[name]}", text)
    for number, (cells, _) in enumerate(ADJUSTMENTS, start=2):
        for header, text in zip(HEADERS, cells, strict=True):
            world.store.type(book, tabs.ADJUSTMENTS, f"{world.letter(header, tabs.ADJUSTMENTS)}{number}", text)
    world.type("GOOD2", "8")
    world.sheet_passes()
    world.sheet_passes()
    found = table(world, tabs.STOCK)
    with world.ledger.read() as view:
        counts = {name: view.balances([name])[StockKey(name)].stock.on_hand for name in (*NAMES, "GOOD2", "A1")}
        return Spoilt([found[at[n] - 2] for n in NAMES], counts, view.questions(), table(world, tabs.ADJUSTMENTS))


def table(world: World, tab: str) -> list[dict[str, Any]]:
    header, *rows = world.store.rows(world.book.spreadsheet_id, tab)
    return [dict(zip(header, [*row, *[""] * (len(header) - len(row))], strict=False)) for row in rows]


def test_there_are_a_hundred_ways() -> None:
    assert len(ROWS) + len(ADJUSTMENTS) >= 110
    assert sum(way.count != 10 for way in ROWS) < 12, "nearly all of them are to be refused"


@pytest.mark.parametrize("number", range(len(ROWS)), ids=[way.name for way in ROWS])
def test_a_spoilt_row_keeps_its_count_and_says_what_to_do(spoilt: Spoilt, number: int) -> None:
    name, way, row = NAMES[number], ROWS[number], spoilt.rows[number]
    assert spoilt.counts[name] == way.count
    typed = {header: text.removeprefix("'") for header, text in way.typed.items()}
    assert way.says.format(typed=typed.get(tabs.SKU), sku=name) in str(row[tabs.STATUS])
    assert len(str(row[tabs.STATUS])) < 400, "a person reads it"
    if way.says in (TEXT, PART, MOMENT, BELOW, FAILS, JUMP, EMPTY):
        assert [q.sku for q in spoilt.questions].count(name) == 1
    if way.kind:
        assert [q.kind for q in spoilt.questions if name in (q.sku, *q.reference.split("\n"))] == [way.kind]


def test_what_a_person_typed_still_stands_there(spoilt: Spoilt) -> None:
    """Nothing of it was cleared or overwritten, so that it can be put right."""
    for way, row in zip(ROWS, spoilt.rows, strict=True):
        if way.says == TEXT and not way.typed[tabs.ON_HAND].startswith(("=", "'")):
            assert row[tabs.ON_HAND] not in ("", 10)


def test_the_services_own_cells_are_put_back(spoilt: Spoilt) -> None:
    for way, row in zip(ROWS, spoilt.rows, strict=True):
        for header, right in ((tabs.COMMITTED, 0), (tabs.DAMAGED, 0), (tabs.AVAILABLE, 10), ("Woocommerce", 10)):
            if header in way.typed:
                assert row[header] == right


@pytest.mark.parametrize("number", range(len(ADJUSTMENTS)), ids=["-".join(cells) for cells, _ in ADJUSTMENTS])
def test_a_spoilt_row_of_adjustments_says_what_to_do(spoilt: Spoilt, number: int) -> None:
    assert ADJUSTMENTS[number][1] in str(spoilt.adjustments[number][tabs.STATUS])
    assert spoilt.counts["A1"] == 10


def test_the_good_rows_go_on(spoilt: Spoilt) -> None:
    assert spoilt.counts["GOOD2"] == 8
