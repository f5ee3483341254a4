"""What a look says: which rows to exchange, what is not a count, what is held and why (RULES S, H)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheets_sync import edits
from sheets_sync.edits import (
    NOTE,
    ON_HAND,
    REASON,
    SKU,
    STATUS,
    TAG,
    TAG_EXCHANGE,
    TAG_FIGURE,
    TAG_SKU,
    UPDATED,
    Before,
    Found,
    Known,
    PutBack,
    RowWrite,
    Says,
    Wanted,
    find,
    judge,
)
from sheets_sync.model import Cell, Look, Mark, Stock, Tag
from sheets_sync.sheet import tabs

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MUG, SCARF = "00123", "1E5"
E = "1588001231"
OWN = Tag(MUG, 10, E)
Row = tuple[Cell, ...]
COLUMNS = (SKU, *TAG, ON_HAND, REASON, NOTE, STATUS, UPDATED)


def known(**more: object) -> Known:
    return replace(Known({MUG: Stock(10), SCARF: Stock(20)}), **more)  # type: ignore[arg-type]


def row(sku: Cell = MUG, figure: Cell = 10, tag: Tag = OWN, reason: Cell = None, note: Cell = None) -> Row:
    return (sku, *tag, figure, reason, note, "ok", 46_000.5)


def a_look(*rows: Row) -> Look:
    columns = {name: [cells[n] for cells in rows] for n, name in enumerate(COLUMNS)}
    return Look(AT, COLUMNS, columns, len(rows), Mark())


def wanted(**more: object) -> Wanted:
    status: Mapping[str, Mapping[str, Cell]] = {STATUS: {MUG: "ok", SCARF: "ok"}}
    return replace(Wanted(status, 46_001.5), **more)  # type: ignore[arg-type]


def found(
    *rows: Row, knows: Known | None = None, wants: Wanted | None = None, before: Before | None = None,
    started: bool = True,
) -> Found:  # fmt: skip
    return find(a_look(*rows), knows or known(), wants or wanted(), before or Before(), started=started)


def only(result: Found) -> RowWrite:
    (write,) = result.writes
    return write


# one row, by its tag --------------------------------------------------------------------------------------------

TABLE = {
    "its own figure": (MUG, 10, OWN, Says.NOTHING),
    "a change": (MUG, 8, OWN, Says.EDIT),
    "cleared": (MUG, None, OWN, Says.TEXT),
    "empty where we have not written": (MUG, None, Tag(), Says.NOTHING),
    "empty over another's tag": (MUG, None, Tag(SCARF, 20, E), Says.NOTHING),
    "our figure under another name": (SCARF, 10, OWN, Says.NOTHING),
    "a change under another name": (SCARF, 8, OWN, Says.OTHER_TAG),
    "a change under a new name": ("new", 8, OWN, Says.OTHER_TAG),
    "a new SKU": ("new", 4, Tag(), Says.OPEN),
    "a new SKU over a figure that strayed": ("new", 4, Tag(None, 7, E), Says.OPEN),
    "a strayed figure alone": ("new", 7, Tag(None, 7, E), Says.NOTHING),
    "typed where we have not written": (MUG, 8, Tag(), Says.UNTAGGED),
    "the ledger's figure where we have not written": (MUG, 10, Tag(), Says.NOTHING),
    "text": (MUG, "12 pcs", OWN, Says.TEXT),
    "a letter for a digit": (MUG, "1o", OWN, Says.TEXT),
    "half a unit": (MUG, 3.5, OWN, Says.TEXT),
    "below zero": (MUG, -2, OWN, Says.TEXT),
    "a number that is text": (MUG, "1e3", OWN, Says.TEXT),
    "a tick": (MUG, True, OWN, Says.TEXT),
    "an error": (MUG, "#DIV/0!", OWN, Says.TEXT),
    "a tick over a tag of 1": (MUG, True, Tag(MUG, 1, E), Says.TEXT),
    "no SKU": (None, 4, Tag(), Says.NOTHING),
    "a SKU that is a number": (77, 4, Tag(), Says.NOTHING),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_a_row_says(name: str) -> None:
    sku, figure, tag, says = TABLE[name]
    assert judge(sku, figure, tag, known()).says is says


def test_a_tag_is_used_once() -> None:
    taken = known(taken={(E, MUG): 8})
    assert judge(MUG, 8, OWN, taken).says is Says.USED
    assert judge(MUG, 7, OWN, taken).says is Says.USED
    assert judge(MUG, 10, OWN, taken).says is Says.NOTHING


def test_a_tag_of_another_SKU_is_not_used_up_by_this_ones_edit_in_the_same_exchange() -> None:
    taken = known(taken={(E, MUG): 8})
    assert judge(MUG, 7, Tag(SCARF, 4, E), taken).says is Says.OTHER_TAG


def test_H2_only_what_was_typed_anew_over_a_held_figure_ends_the_hold() -> None:
    low = {"stock": {MUG: Stock(7)}}
    assert judge(MUG, 7, OWN, known(**low)).says is Says.EDIT
    assert judge(MUG, 7, OWN, known(**low, held={MUG: 1})).says is Says.NOTHING
    assert judge(MUG, 7, OWN, known(**low, held={MUG: 7})).says is Says.EDIT  # the ledger came to it, not the person


@given(st.one_of(st.none(), st.text(max_size=5), st.floats(allow_nan=False), st.booleans(), st.integers(max_value=-1)))
def test_what_is_no_whole_number_changes_nothing(figure: Cell) -> None:
    cell = int(figure) if isinstance(figure, float) and figure.is_integer() else figure  # as reads give it
    if isinstance(cell, int) and not isinstance(cell, bool) and cell >= 0:
        return
    for sku, tag in (MUG, OWN), ("new", Tag()), (MUG, Tag()), (SCARF, OWN):
        verdict = judge(sku, cell, tag, known())
        assert (verdict.change, verdict.count) == (0, None)
        assert not any(write.exchanged for write in found(row(sku, cell, tag)).writes if cell is not None)


# the look -------------------------------------------------------------------------------------------------------


def test_a_row_in_step_needs_nothing() -> None:
    assert found(row()).writes == ()
    assert found().writes == ()


def test_S1_a_change_is_written_with_what_it_comes_to() -> None:
    write = only(found(row(figure=8), knows=known(stock={MUG: Stock(7)})))
    assert write.exchanged and not write.clears
    assert write.cells == {
        TAG_FIGURE: 5, ON_HAND: 5, STATUS: "-2 recorded, now 5; for exactly 8 use Set to", UPDATED: 46_001.5,
    }  # fmt: skip


def test_S5_reason_and_note_are_cleared_only_with_an_edit() -> None:
    assert only(found(row(figure=8, reason="loss"))).clears
    assert not only(found(row(reason="loss"), knows=known(stock={MUG: Stock(9)}))).clears


def test_S2_held_rows_are_left_as_they_are_but_for_status() -> None:
    result = found(row(figure=1, tag=Tag(MUG, 4, E)), knows=known(stock={MUG: Stock(1)}))
    (question,) = result.questions
    assert (question.kind, question.typed, question.tag) == ("below_zero", 1, 4)
    assert only(result).cells == {STATUS: question.text, UPDATED: 46_001.5}


def test_S4_the_figure_from_before_the_last_edit_is_asked() -> None:
    knows = known(stock={MUG: Stock(5)}, last_edit={MUG: (10, -2)})
    (question,) = found(row(figure=10, tag=Tag(MUG, 5, E)), knows=knows).questions
    assert question.kind == "undo"
    assert "gives 7" in question.text


@pytest.mark.parametrize(
    ("figure", "reason", "moves"),
    [
        (8, "damage", Stock(-2, 0, 2)),
        (12, "repaired", Stock(2, 0, -2)),
        (8, "loss", Stock(-2)),
        (12, "found", Stock(2)),
    ],
)
def test_S11_reasons_that_fit(figure: int, reason: str, moves: Stock) -> None:
    write = only(found(row(figure=figure, reason=reason), knows=known(stock={MUG: Stock(10, 0, 3)})))
    assert write.cells[ON_HAND] == 10 + moves.on_hand


@pytest.mark.parametrize(
    ("figure", "reason"), [(8, "disposed"), (12, "disposed"), (12, "damage"), (8, "repaired"), (14, "repaired")]
)
def test_S11_reasons_that_do_not_fit(figure: int, reason: str) -> None:
    result = found(row(figure=figure, reason=reason), knows=known(stock={MUG: Stock(10, 0, 3)}))
    assert [q.kind for q in result.questions] == ["reason"]
    assert not only(result).exchanged


def test_S7_a_new_row_opens_only_when_it_stood_over_two_reads() -> None:
    first = found(row("new", 4, Tag()))
    assert not only(first).opens
    assert only(found(row("new", 4, Tag()), before=first.before)).opens
    assert not only(found(row("new", 5, Tag()), before=first.before)).opens
    assert not only(found(row("new", 4, Tag()), before=first.before, started=False)).exchanged


def test_S9_missing_rows_are_asked_after_two_looks_and_stay_asked() -> None:
    wants = wanted(rows=frozenset({MUG, SCARF}))
    first = found(row(), wants=wants)
    assert first.questions == ()
    assert [q.kind for q in found(row(), wants=wants, before=first.before).questions] == ["vanished"]
    asked = replace(wants, vanished=frozenset({SCARF}))
    assert [q.kind for q in found(row(), wants=asked).questions] == ["vanished"]


def test_S9_new_while_another_vanishes_is_asked_and_of_old_absences_it_is_not() -> None:
    wants = wanted(rows=frozenset({MUG, SCARF}))
    new = row("new", 4, Tag())
    first = found(row(), new, wants=wants)
    (question,) = first.questions
    assert (question.kind, question.reference) == ("rename", SCARF)
    stays = replace(wants, vanished=frozenset({SCARF}), renamed={"new": frozenset({SCARF})})
    assert "rename" in [q.kind for q in found(row(), new, wants=stays, before=first.before).questions]
    old = replace(wants, vanished=frozenset({SCARF}))
    assert any(w.opens for w in found(row(), new, wants=old, before=first.before).writes)


def test_two_rows_of_one_sku_count_in_neither_and_ask_once() -> None:
    result = found(row(figure=8), row(SCARF, 20, Tag(SCARF, 20, E)), row(figure=9))
    assert [(q.kind, q.sku) for q in result.questions] == [("duplicate", MUG)]
    assert [w.row for w in result.writes if w.exchanged] == []
    assert "rows 2, 4" in result.questions[0].text


def test_a_sku_that_is_a_number_is_asked_about_its_row() -> None:
    (question,) = found(row(77, 4, Tag())).questions
    assert (question.kind, question.sku, question.reference) == ("sku_number", "77", "2")


def test_what_we_wrote_on_a_row_that_turned_out_blank_is_taken_away() -> None:
    write = only(found(row(None, 7, Tag(None, 7, E))))
    assert write.cells == {
        TAG_SKU: None,
        TAG_FIGURE: None,
        TAG_EXCHANGE: None,
        ON_HAND: None,
        STATUS: None,
        UPDATED: None,
    }
    assert found((None, None, None, None, 12, "found", "x", None, None)).writes == ()  # a person is writing a row


def test_H4_what_is_held_stays_asked_until_two_looks_do_not_find_it() -> None:
    """One of them may be torn; in its pass a row sorted under our write would be taken."""
    rows = row(MUG, 20, Tag(MUG, 10, "7")), row(SCARF, 10, Tag(SCARF, 20, "8"))
    knows = known(stock={MUG: Stock(10), SCARF: Stock(20)})
    asked = found(*rows, knows=knows).questions
    assert [(q.kind, q.sku) for q in asked] == [("moved_column", MUG), ("moved_column", SCARF)]
    torn = row(MUG, 10, Tag(MUG, 10, "7")), row(SCARF, 20, Tag(SCARF, 20, "8"))
    first = found(*torn, knows=replace(knows, kept=asked))
    assert first.questions == asked
    assert found(*torn, knows=replace(knows, kept=asked), before=first.before).questions == ()
    again = found(*rows, knows=replace(knows, kept=asked), before=first.before)
    assert {q.key for q in again.questions} == {q.key for q in asked} and again.before.ended == frozenset()


# what goes back -------------------------------------------------------------------------------------------------


def overwritten(sku: str = MUG, value: Cell = 8, on_hand: Cell = 7) -> list[PutBack]:
    """On hand 8 over tag 10 was overwritten by exchange 900 with 7."""
    cells = {ON_HAND: (value, on_hand), TAG_SKU: (sku, sku), TAG_FIGURE: (10, 7), TAG_EXCHANGE: (E, "900")}
    return [PutBack(n, sku, name, *pair, "900:2") for n, (name, pair) in enumerate(cells.items(), start=1)]


def test_on_hand_and_tag_go_back_as_one() -> None:
    write = only(found(row(figure=7, tag=Tag(MUG, 7, "900")), wants=wanted(put_backs=overwritten())))
    assert write.cells == {ON_HAND: 8, TAG_SKU: MUG, TAG_FIGURE: 10, TAG_EXCHANGE: E}
    assert [id for id, _, _ in write.put_backs] == [1, 2, 3, 4]


def test_what_goes_back_finds_its_row_by_the_tag_where_the_sku_was_retyped() -> None:
    rows = row(figure=10), row("other", 7, Tag(MUG, 7, "900"))
    assert only(found(*rows, wants=wanted(put_backs=overwritten()))).row == 3


def test_what_goes_back_gives_way_to_a_person_and_is_asked() -> None:
    rows = (row(figure=9, tag=Tag(MUG, 7, "900")),)
    first = found(*rows, wants=wanted(put_backs=overwritten()))
    assert (first.done, first.lost, set(first.before.done)) == ((), (), {1, 2, 3, 4})
    second = found(*rows, wants=wanted(put_backs=overwritten()), before=first.before)
    assert second.done == (1, 2, 3, 4)
    assert [(q.kind, q.sku, q.typed) for q in second.lost] == [("lost_cell", MUG, 8)]


def test_a_figure_that_we_had_not_touched_gets_its_tag_back_though_somebody_typed_over_it() -> None:
    """Else 12 would be compared with the tag that we wrote there by mistake, beside the figure and not over it."""
    items = overwritten(value=10, on_hand=10)
    first = found(row(figure=12, tag=Tag(MUG, 7, "900")), wants=wanted(put_backs=items))
    write = only(first)
    assert write.cells == {TAG_SKU: MUG, TAG_FIGURE: 10, TAG_EXCHANGE: E}
    assert [id for id, _, _ in write.put_backs] == [1, 2, 3, 4]
    assert (first.before.done, first.questions) == (frozenset(), ())


def test_what_was_typed_over_a_misplaced_figure_is_compared_with_that_figure() -> None:
    """On hand 10 was overwritten with 7, the tag's figure was not: columns had moved. A person types 12 over the 7."""
    cells = {ON_HAND: (10, 7), TAG_SKU: (MUG, MUG), TAG_FIGURE: (10, 10), TAG_EXCHANGE: (E, "900")}
    items = [PutBack(n, MUG, name, *pair, "900:2") for n, (name, pair) in enumerate(cells.items(), start=1)]
    write = only(found(row(figure=12, tag=Tag(MUG, 10, "900")), wants=wanted(put_backs=items)))
    assert (write.cells, [id for id, _, _ in write.put_backs]) == ({TAG_FIGURE: 7}, [1, 2, 3, 4])


def test_what_two_copies_of_a_row_wait_for_goes_back_once_where_one_is_left() -> None:
    """Nobody typed the 7 that was written over both."""
    cells = {ON_HAND: (10, 7), TAG_SKU: (MUG, MUG), TAG_FIGURE: (10, 10), TAG_EXCHANGE: (E, "900")}
    items = [PutBack(n, MUG, name, *pair, group) for n, (group, (name, pair)) in enumerate(
        ((group, item) for group in ("900:2", "900:3") for item in cells.items()), start=1)]  # fmt: skip
    write = only(found(row(figure=7, tag=Tag(MUG, 10, "900")), wants=wanted(put_backs=items)))
    assert write.cells == {ON_HAND: 10, TAG_SKU: MUG, TAG_FIGURE: 10, TAG_EXCHANGE: E}
    left = [replace(item, expect=E) if item.column == TAG_EXCHANGE else item for item in items[:4]]
    assert found(row(), wants=wanted(put_backs=left)).writes == (), "it stands there again"


def test_what_was_typed_over_a_misplaced_figure_beside_a_misplaced_tag_gets_its_own_tag_back() -> None:
    """Another row's figure and tag went back into this row by mistake. A person types 12 over its 7."""
    for others in ("other", None):
        cells = {ON_HAND: (10, 7), TAG_SKU: (MUG, others), TAG_FIGURE: (10, 7), TAG_EXCHANGE: (E, "901")}
        items = [PutBack(n, MUG, name, *pair, "900:2") for n, (name, pair) in enumerate(cells.items(), start=1)]
        write = only(found(row(figure=12, tag=Tag(others, 7, "901")), wants=wanted(put_backs=items)))
        assert write.cells == {TAG_SKU: MUG, TAG_FIGURE: 7, TAG_EXCHANGE: E}
        assert [id for id, _, _ in write.put_backs] == [1, 2, 3, 4]


def test_the_first_count_of_a_new_sku_gives_way_to_a_newer_one_unasked() -> None:
    items = [PutBack(n, "new", item.column, item.value, item.expect, item.group)
             for n, item in enumerate(overwritten("new"), start=1)]  # fmt: skip
    for figure, lost in (9, []), ("9 pcs", [8]):
        rows = (row("new", figure, Tag("new", 7, "900")),)
        first = found(*rows, wants=wanted(put_backs=items))
        second = found(*rows, wants=wanted(put_backs=items), before=first.before)
        assert (second.done, [question.typed for question in second.lost]) == ((1, 2, 3, 4), lost)
    rows = (row("new", 9, Tag("new", 9, "901")),)
    retyped = [replace(item, value=MUG) if item.column == TAG_SKU else item for item in items]
    for put_backs, lost in (items, []), (retyped, [8]):  # of a row that was another's before nobody typed 9: it is ours
        first = found(*rows, wants=wanted(put_backs=put_backs))
        second = found(*rows, wants=wanted(put_backs=put_backs), before=first.before)
        assert [question.typed for question in second.lost] == lost


def test_what_two_exchanges_overwrote_goes_back_through_both() -> None:
    """The one of 900 has to go back into a row that 901 then wrote another SKU's figure and tag over."""
    later = {TAG_SKU: (MUG, MUG), TAG_FIGURE: (7, 20), TAG_EXCHANGE: ("900", "901"), ON_HAND: (7, 20)}
    again = [PutBack(n, MUG, name, *pair, "901:2") for n, (name, pair) in enumerate(later.items(), start=5)]
    first = found(row(figure=20, tag=Tag(MUG, 20, "901")), wants=wanted(put_backs=[*overwritten(), *again]))
    write = only(first)
    assert (first.before.done, write.cells[ON_HAND], write.cells[TAG_EXCHANGE]) == (frozenset(), 8, E)
    assert {(id, header): stood for id, header, stood in write.put_backs if header == ON_HAND} == {
        (8, ON_HAND): 20, (1, ON_HAND): 20
    }  # fmt: skip


def test_what_stood_under_a_header_that_is_gone_is_asked() -> None:
    wants = wanted(put_backs=[PutBack(1, MUG, "On hand, renamed", 8, None, "900:2")])
    first = found(row(), wants=wants)
    second = found(row(), wants=wants, before=first.before)
    assert (first.writes, second.writes, second.done) == ((), (), (1,))
    assert [(q.kind, q.sku, q.typed, q.reference) for q in second.lost] == [("lost_cell", MUG, 8, "On hand, renamed")]


def test_what_stands_there_again_is_done_without_a_word() -> None:
    rows = (row(figure=8),)
    first = found(*rows, wants=wanted(put_backs=overwritten()))
    second = found(*rows, wants=wanted(put_backs=overwritten()), before=first.before)
    assert (second.done, second.lost) == ((1, 2, 3, 4), ())


def test_rows_that_look_alike_get_each_its_own() -> None:
    mess = Tag("900", 1000, E)
    items = [
        PutBack(n * 10 + k, sku, column, value, expect, f"900:{n}")
        for n, sku in enumerate((MUG, SCARF))
        for k, (column, value, expect) in enumerate(
            [(TAG_SKU, sku, "900"), (TAG_FIGURE, 1000, 1000), (TAG_EXCHANGE, E, E), (ON_HAND, 1000, 1000)]
        )
    ]
    writes = found(row(MUG, 1000, mess), row(SCARF, 1000, mess), wants=wanted(put_backs=items)).writes
    assert [write.cells[TAG_SKU] for write in writes] == [MUG, SCARF]


def test_what_was_typed_over_goes_back_to_no_other_row_that_shows_the_same() -> None:
    """The scarf's cells went back into the mug's row by mistake, and into its own by now: 20 under its tag, both."""
    other = Tag(SCARF, 20, "800")
    cells = {TAG_SKU: (MUG, SCARF), TAG_FIGURE: (10, 20), TAG_EXCHANGE: (E, "800"), ON_HAND: (9, 20)}
    items = [PutBack(n, MUG, name, *pair, "900:2") for n, (name, pair) in enumerate(cells.items(), start=1)]
    rows = row(MUG, 12, other), row(SCARF, 20, other)
    first = found(*rows, wants=wanted(put_backs=items))
    assert not any(write.put_backs for write in first.writes)
    second = found(*rows, wants=wanted(put_backs=items), before=first.before)
    assert [(q.kind, q.sku, q.typed) for q in second.lost] == [("lost_cell", MUG, 9)]


# whole columns at once ------------------------------------------------------------------------------------------

figures = st.sampled_from([None, 0, 1, 7, 10, 20, "x", 3.5, True, -1])
skus = st.sampled_from([MUG, SCARF, "new", None, 77, ""])
rows_of_any_kind = st.builds(
    row, skus, figures, st.builds(Tag, skus, figures, st.sampled_from([None, E, "900"])),
    st.sampled_from([None, "damage", "loss"]), st.sampled_from([None, "n"]),
)  # fmt: skip


@given(st.lists(rows_of_any_kind, max_size=8), st.booleans(), st.booleans())
def test_comparing_whole_columns_finds_what_going_row_by_row_finds(rows: list[Row], begun: bool, mending: bool) -> None:
    wants = wanted(rows=frozenset({MUG}), put_backs=overwritten() if mending else ())
    look, before = a_look(*rows), Before(new={"new": 7})
    fast = find(look, known(), wants, before, started=begun)
    whole = edits._Rows.differ
    try:
        edits._Rows.differ = lambda self: list(range(len(self.texts)))  # type: ignore[method-assign]
        slow = find(look, known(), wants, before, started=begun)
    finally:
        edits._Rows.differ = whole  # type: ignore[method-assign]
    assert fast == slow


@given(st.lists(rows_of_any_kind, max_size=8))
def test_no_row_is_exchanged_twice_and_only_counts_are_written(rows: list[Row]) -> None:
    result = found(*rows)
    assert len({write.row for write in result.writes}) == len(result.writes)
    for write in result.writes:
        if write.exchanged:
            assert isinstance(write.cells[ON_HAND], int)
            assert write.cells[ON_HAND] == write.cells[TAG_FIGURE]
            assert [cells[0] for cells in rows].count(write.sku) == 1


def test_our_headers_are_those_of_the_workbook() -> None:
    ours = (edits.SKU, edits.TITLE, *edits.TAG, edits.ON_HAND, edits.REASON, edits.NOTE, edits.STATUS, edits.UPDATED)
    theirs = (
        tabs.SKU, tabs.TITLE, tabs.TAG_SKU, tabs.TAG_FIGURE, tabs.TAG_EXCHANGE, tabs.ON_HAND, tabs.REASON, tabs.NOTE,
        tabs.STATUS, tabs.UPDATED,
    )  # fmt: skip
    assert ours == theirs


@pytest.mark.parametrize(
    ("formula", "gives"),
    [("=12+5", 17), ("= 12 - 5 + 1", 8), ("=7", 7), ("=2-5", -3), ("=3*4", None), ("=A2+5", None), ("=1.5+2", None),
     ('="8"', None), ("=12+", None), ("12", None)],
)  # fmt: skip
def test_S6_what_a_sum_of_plain_numbers_gives(formula: str, gives: int | None) -> None:
    assert edits.sum_of(formula) == gives
