"""The local sheet behind its page: edits in the right place, undo, old versions, files. No browser needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from sheets_sync.sandbox.sheet import files
from sheets_sync.sandbox.sheet.draft import Refused
from sheets_sync.sandbox.sheet.hand import Hand, NothingToDo, Outdated, Protected
from sheets_sync.sandbox.sheet.server import Running, serve
from sheets_sync.sandbox.sheet.store import Store, Unknown
from sheets_sync.sandbox.sheet.unknowns import Unknowns

KEY, STOCK, PAGE = "book", 7, "page-1"
ROWS = [["SKU", "On hand", "Sum"], ["A", "1", "=B2+1"], ["B", "2", "=B3+1"], ["C", "3", "=B4+1"], ["D", "4", "=B5+1"]]
Json = dict[str, Any]


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    fill(made)
    yield made
    made.close()


def fill(store: Store) -> None:
    grid = {"rowCount": 12, "columnCount": 5, "frozenRowCount": 1}
    store.create("Book", KEY, tabs=[{"title": "Stock", "sheetId": STOCK, "gridProperties": grid}, "Other"])
    store.type(KEY, "Stock", "A1", ROWS)


def entered(row: int, column: int, *rows: list[str]) -> Json:
    return {"enterValues": {"sheetId": STOCK, "rowIndex": row, "columnIndex": column, "rows": list(rows)}}


def lanes(kind: str, dimension: str, start: int, end: int, **more: Any) -> Json:
    name = "source" if kind == "moveDimension" else "range"
    span = {"sheetId": STOCK, "dimension": dimension, "startIndex": start, "endIndex": end}
    return {kind: {name: span, **more}}


def sort(column: int, order: str = "DESCENDING") -> Json:
    place = {"sheetId": STOCK, "startRowIndex": 1, "endRowIndex": 5}
    return {"sortRange": {"range": place, "sortSpecs": [{"dimensionIndex": column, "sortOrder": order}]}}


def content(store: Store) -> tuple[Any, ...]:
    """All that a person sees of the tab: values, formulas, looks."""
    tab = store.book(KEY).tabs[0]
    rows = [(list(v), dict(f), s) for v, f, s in zip(tab.values, tab.formulas, tab.styles, strict=True)]
    while rows and rows[-1] == ([], {}, ()):  # typing beyond the end makes the sheet larger, and it stays so
        rows.pop()
    return rows, [column for column in tab.columns if column]


# undo

EDITS = st.one_of(
    st.builds(
        lambda r, c, texts: entered(r, c, texts),
        st.integers(1, 6),
        st.integers(0, 3),
        st.lists(st.sampled_from(["", "7", "x", "=B2*2", "50%"]), min_size=1, max_size=2),
    ),
    st.builds(lambda s, n: lanes("insertDimension", "ROWS", s, s + n), st.integers(1, 6), st.integers(1, 2)),
    st.builds(lambda s, n: lanes("deleteDimension", "ROWS", s, s + n), st.integers(1, 5), st.integers(1, 2)),
    st.builds(lambda s: lanes("insertDimension", "COLUMNS", s, s + 1), st.integers(0, 3)),
    st.builds(lambda s: lanes("deleteDimension", "COLUMNS", s, s + 1), st.integers(0, 3)),
    st.builds(
        lambda s, d: lanes("moveDimension", "ROWS", s, s + 1, destinationIndex=d), st.integers(1, 5), st.integers(1, 6)
    ),
    st.builds(
        lambda s, d: lanes("moveDimension", "COLUMNS", s, s + 1, destinationIndex=d),
        st.integers(0, 3),
        st.integers(0, 4),
    ),
    st.builds(sort, st.integers(0, 1), st.sampled_from(["ASCENDING", "DESCENDING"])),
    st.builds(
        lambda r: {
            "copyPaste": {
                "source": {"sheetId": STOCK, "startRowIndex": 1, "endRowIndex": 2, **_WIDTH},
                "destination": {"sheetId": STOCK, "startRowIndex": r, "endRowIndex": r + 1, **_WIDTH},
            }
        },
        st.integers(2, 7),
    ),
    st.just(
        {
            "clearCells": {
                "range": {
                    "sheetId": STOCK,
                    "startRowIndex": 2,
                    "endRowIndex": 4,
                    "startColumnIndex": 0,
                    "endColumnIndex": 2,
                }
            }
        }
    ),
)
_WIDTH = {"startColumnIndex": 0, "endColumnIndex": 3}


@settings(max_examples=150, deadline=None)
@given(st.lists(EDITS, min_size=1, max_size=6))
def test_all_that_was_done_can_be_undone_and_done_again(edits: list[Json]) -> None:
    store = Store()
    fill(store)
    hand = Hand(store)
    states = [content(store)]
    for edit in edits:
        try:
            hand.edit(KEY, [edit], page=PAGE)
        except Refused:
            continue
        if len(states) == hand.depth(KEY, PAGE)[0]:
            states.append(content(store))
        else:
            assert content(store) == states[-1], "what can not be undone changed nothing"
    for state in states[-2::-1]:
        hand.undo(KEY, PAGE)
        assert content(store) == state
    for state in states[1:]:
        hand.redo(KEY, PAGE)
        assert content(store) == state
    with pytest.raises(NothingToDo):
        hand.redo(KEY, PAGE)
    store.close()


def test_undo_of_a_sort_keeps_what_was_written_since_and_rows_that_others_put_in(store: Store) -> None:
    hand = Hand(store)
    hand.edit(KEY, [sort(0)], page=PAGE)
    assert [row[0] for row in store.rows(KEY, "Stock")[1:]] == ["D", "C", "B", "A"]
    store.type(KEY, "Stock", "B2", "40")
    store.insert_rows(KEY, "Stock", 3)
    store.type(KEY, "Stock", "A3", "NEW")
    hand.undo(KEY, PAGE)
    assert [row[:2] for row in store.rows(KEY, "Stock")[1:]] == [["A", 1], ["NEW"], ["B", 2], ["C", 3], ["D", 40]]


def test_an_inserted_row_that_others_wrote_in_stays(store: Store) -> None:
    hand = Hand(store)
    hand.edit(KEY, [lanes("insertDimension", "ROWS", 2, 3)], page=PAGE)
    store.type(KEY, "Stock", "A3", "NEW")
    with pytest.raises(Refused, match="Row 3 was written in since; it stays"):
        hand.undo(KEY, PAGE)
    assert hand.depth(KEY, PAGE) == (0, 0), "it is not in the way of what was done before"


def test_each_page_undoes_its_own(store: Store) -> None:
    hand = Hand(store)
    hand.edit(KEY, [entered(1, 1, ["10"])], page=PAGE)
    hand.edit(KEY, [entered(2, 1, ["20"])], page="page-2")
    hand.undo(KEY, PAGE)
    assert [row[1] for row in store.rows(KEY, "Stock")[1:3]] == [1, 20]


# the right place


def test_a_typed_figure_lands_in_the_row_it_was_typed_in(store: Store) -> None:
    hand, base = Hand(store), store.book(KEY).revision
    store.insert_rows(KEY, "Stock", 2)
    store.insert_columns(KEY, "Stock", "A")
    hand.edit(KEY, [entered(3, 1, ["30"])], base)
    assert store.rows(KEY, "Stock")[4][1:3] == ["C", 30]
    store.sort(KEY, "Stock", "B", descending=True)
    hand.edit(KEY, [entered(3, 1, ["33"])], base)
    assert next(row for row in store.rows(KEY, "Stock") if row[1:2] == ["C"])[2] == 33


def test_a_row_that_is_gone_takes_no_figure(store: Store) -> None:
    hand, base = Hand(store), store.book(KEY).revision
    store.delete_rows(KEY, "Stock", 3)
    with pytest.raises(Refused, match="Row 3 was deleted by someone else"):
        hand.edit(KEY, [entered(2, 1, ["30"])], base)
    store.restore(KEY, store.versions(KEY)[-1].number)
    with pytest.raises(Outdated):
        hand.edit(KEY, [entered(2, 1, ["30"])], base)


def test_protection_is_said_and_strict_lists_are_kept(store: Store) -> None:
    place = {"sheetId": STOCK, "startColumnIndex": 2, "endColumnIndex": 3}
    words = {"type": "ONE_OF_LIST", "values": [{"userEnteredValue": "draft"}]}
    rule = {"condition": words, "strict": True}
    cells = {"sheetId": STOCK, "startRowIndex": 1, "startColumnIndex": 3, "endColumnIndex": 4}
    store.apply(
        KEY,
        [
            {"addProtectedRange": {"protectedRange": {"range": place, "description": "ours", "warningOnly": True}}},
            {"setDataValidation": {"range": cells, "rule": rule}},
        ],
    )
    hand = Hand(store)
    for edit in (entered(1, 1, ["1", "2"]), lanes("deleteDimension", "COLUMNS", 2, 3)):
        with pytest.raises(Protected, match="ours"):
            hand.edit(KEY, [edit])
    hand.edit(KEY, [entered(1, 1, ["1", "2"])], confirmed=True)
    hand.edit(KEY, [sort(0), entered(1, 3, ["draft"])])
    with pytest.raises(Refused, match="D2: “gone” is none of: draft"):
        hand.edit(KEY, [entered(1, 3, ["gone"])])


# versions


def test_versions_are_cut_where_another_takes_over(store: Store) -> None:
    store.type(KEY, "Stock", "B2", "5")
    store.apply(KEY, [entered(1, 1, ["6"])])
    store.type(KEY, "Stock", "B2", "7")
    store.type(KEY, "Stock", "B3", "8")
    versions = store.versions(KEY)
    assert [version.who for version in versions] == ["api", "person", "api", "person"]
    store.type(KEY, "Stock", "B3", "9")
    assert [v.number for v in store.versions(KEY)[:-1]] == [v.number for v in versions], "what was listed stays"
    store.type(KEY, "Stock", "B3", "8")
    versions = [*versions[:-1], store.versions(KEY)[-1]]
    assert [version.book.tabs[0].value(1, 1) for version in versions] == ["", 5, 6, 7]
    assert versions[-1].book is store.book(KEY)
    with pytest.raises(Unknown):
        store.version(KEY, 999)


@pytest.mark.parametrize("back", [True, False])
def test_a_restored_version_with_or_without_its_named_ranges(back: bool) -> None:
    store = Store(unknowns=Unknowns(restores_named_ranges=back))
    fill(store)
    place = {"sheetId": STOCK, "startRowIndex": 0, "endRowIndex": 1}
    named = {"namedRange": {"namedRangeId": "one", "name": "one", "range": place}}
    store.apply(KEY, [{"addNamedRange": named}])
    old = store.versions(KEY)[-1].number
    store.type(KEY, "Stock", "B2", "70")
    swap = [
        {"deleteNamedRange": {"namedRangeId": "one"}},
        {"addNamedRange": {"namedRange": {**named["namedRange"], "namedRangeId": "two", "name": "two"}}},
    ]
    store.apply(KEY, swap)
    before = store.book(KEY).revision
    for wanted, expected in ((None, back), (True, True), (False, False)):
        store.apply(KEY, [entered(1, 1, ["9"])])
        today = set(store.book(KEY).named)
        book = store.restore(KEY, old, named_ranges=wanted)
        assert set(book.named) == ({"one"} if expected else today)
        assert store.cell(KEY, "Stock", "B2") == 1
    assert store.book(KEY).revision == before + 6
    assert store.versions(KEY)[-1].says.endswith("restored")
    store.close()


def test_versions_survive_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "book.jsonl"
    store = Store(data)
    fill(store)
    store.apply(KEY, [entered(1, 1, ["6"])])
    store.type(KEY, "Stock", "B2", "7")
    store.restore(KEY, store.versions(KEY)[-2].number)
    kept = [(v.number, v.who, v.at, v.says) for v in store.versions(KEY)]
    store.close()
    for _ in range(2):  # from the lines, and from the file as it was written anew
        store = Store(data)
        assert [(v.number, v.who, v.at, v.says) for v in store.versions(KEY)] == kept
        assert store.version(KEY, kept[-2][0]).tabs[0].value(1, 1) == 7
        assert store.cell(KEY, "Stock", "B2") == 6
        store.close()


# the door


@pytest.fixture
def running() -> Iterator[Running]:
    with serve() as made:
        fill(made.store)
        yield made


def test_strangers_and_malformed_edits_are_refused(running: Running) -> None:
    address = f"{running.page_url(KEY)}/edits"
    body = {"requests": [entered(1, 1, ["5"])]}
    for strange in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        assert requests.post(address, json=body, headers=strange, timeout=5).status_code == 403
    assert requests.post(address, data="requests=1", timeout=5).status_code == 415
    for bad in ([], [{"deleteNamedRange": {}}], [{"enterValues": {"rows": 5}}], [{"insertDimension": {}}]):
        assert requests.post(address, json={"requests": bad}, timeout=5).status_code == 400
    assert requests.post(address, json={**body, "base": "old:3"}, timeout=5).json()["anew"]
    assert running.store.cell(KEY, "Stock", "B2") == 1
    assert requests.post(address, json=body, timeout=5).json()["revision"] == 3


def test_the_api_does_not_know_what_only_the_page_sends(running: Running) -> None:
    address = f"{running.base_url}/v4/spreadsheets/{KEY}:batchUpdate"
    for kind in ("enterValues", "clearCells", "restoreCells", "orderRows"):
        answer = requests.post(address, json={"requests": [{kind: {}}]}, timeout=5)
        assert answer.status_code == 400
        assert "Unknown name" in answer.json()["error"]["message"]


def test_a_page_that_comes_back_learns_where_rows_went(running: Running) -> None:
    address = f"{running.page_url(KEY)}/view"
    first = requests.get(address, timeout=5).json()
    running.store.insert_rows(KEY, "Stock", 2, 2)
    since = {"since": f"{first['epoch']}:{first['revision']}"}
    assert requests.get(address, since, timeout=5).json()["moves"] == [[STOCK, "ROWS", 1, 0, 2]]
    assert requests.get(address, {"since": "older:1"}, timeout=5).json()["anew"]


# files


def test_a_csv_stays_what_it_says() -> None:
    rows = files.csv_rows('SKU;Zahl\r\n00123;1\r\n1E5;2,5\r\n"a;\n""b""";ü\r\n'.encode("cp1252"))
    assert rows == [["SKU", "Zahl"], ["00123", "1"], ["1E5", "2,5"], ['a;\n"b"', "ü"]]
    store = Store()
    fill(store)
    texts = [["00123", "1E5", "1-2", "MAR1", "=1+1", "12", "50%", "'x", " 7 ", "TRUE"]]
    store.create("New", "new", tabs=[{"title": "T", "sheetId": 3}])
    store.apply("new", files.filled(3, texts), "person")
    assert files.csv_bytes(store.book("new").tabs[0]).decode("utf-8-sig").splitlines() == [",".join(texts[0])]
    assert store.rows("new", "T")[0][5] == 12
    for bad in (b"", b"PK\x03\x04\0\0", b"\n\n"):
        with pytest.raises(files.BadFile):
            files.csv_rows(bad)


def test_a_workbook_goes_through_excel_and_back(running: Running) -> None:
    bold = {"userEnteredFormat": {"textFormat": {"bold": True}}}
    text = {"userEnteredFormat": {"numberFormat": {"type": "TEXT"}}}
    place = {"sheetId": STOCK, "startRowIndex": 0, "endRowIndex": 1, "startColumnIndex": 0, "endColumnIndex": 3}
    sku = {"sheetId": STOCK, "startRowIndex": 1, "startColumnIndex": 0, "endColumnIndex": 1}
    running.store.apply(
        KEY,
        [
            {"repeatCell": {"range": place, "cell": bold, "fields": "userEnteredFormat"}},
            {"repeatCell": {"range": sku, "cell": text, "fields": "userEnteredFormat"}},
            entered(1, 0, ["00123"], ["1E5"], ["=1+1"]),
            entered(5, 1, ["2026-03-01"], ["50%"], ["TRUE"]),
        ],
    )
    excel = requests.get(f"{running.page_url(KEY)}/workbook.xlsx", timeout=5)
    assert excel.headers["Content-Type"] == "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    made = requests.post(
        f"{running.base_url}/spreadsheets?title=Again",
        data=excel.content,
        headers={"Content-Type": excel.headers["Content-Type"]},
        timeout=5,
    ).json()["spreadsheetId"]
    assert running.store.rows(made, "Stock") == running.store.rows(KEY, "Stock")
    again = running.store.book(made).tabs[0]
    assert again.formulas[1] == {2: "=B2+1"}
    assert again.formulas[3] == {2: "=B4+1"}
    assert again.grid["frozenRowCount"] == 1
    assert again.style(0, 0)["userEnteredFormat"]["textFormat"]["bold"]  # type: ignore[index]
    bad = requests.post(
        f"{running.base_url}/spreadsheets",
        data=b"no",
        headers={"Content-Type": excel.headers["Content-Type"]},
        timeout=5,
    )
    assert (bad.status_code, "no .xlsx file" in bad.json()["error"]) == (400, True)


def test_the_example_in_the_docs_runs() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "local-sheet.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    exec(compile(code, "docs/local-sheet.md", "exec"), {})
