"""Counts from files: as scanner apps and Excel really save them, and the command that compares and posts them."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest

from sheets_sync import countfiles, stocktake
from sheets_sync.cli import Exit
from sheets_sync.errors import BadInput
from sheets_sync.model import Cell
from tests.test_cli import Seller, log_as_before, seller, started  # noqa: F401 - fixtures
from tests.world import World

MUG, SCARF, PLATE, BOWL = "00123", "1E5", "MAR1", "1-2"


def rows_of(path: Path) -> list[list[Cell]]:
    return countfiles.read(path).rows


# reading --------------------------------------------------------------------------------------------------------

TEXT = "Artikelnr{d}Menge{d}Lagerplatz\n00123{d}12{d}Größe A, vorn\n1E5{d}3{d}\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_text_is_read_in_whatever_it_is_written(tmp_path: Path, encoding: str, delimiter: str) -> None:
    path = tmp_path / "count.csv"
    path.write_bytes(TEXT.format(d=delimiter).encode(encoding))
    header, mug, scarf = rows_of(path)
    assert (header, mug[:2], scarf) == (["Artikelnr", "Menge", "Lagerplatz"], ["00123", "12"], ["1E5", "3", None])
    assert mug[2] == "Größe A, vorn"


def test_commas_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "count.csv"
    path.write_text('SKU,Counted,Note\r\n"A,1",3,"said ""here"""\r\nB,4,\r\n', encoding="utf-8")
    assert rows_of(path)[1:] == [["A,1", "3", 'said "here"'], ["B", "4", None]]
    assert countfiles.read(path).how == "text in UTF-8, columns separated by commas"


def test_excel_is_read_as_it_stands(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["SKU", "Counted", "Counted at"])
    sheet.append(["00123", "12", datetime(2026, 3, 2, 10, 41)])  # noqa: DTZ001 - Excel knows no zones
    sheet.append([datetime(2026, 2, 1), 3.0, None])  # noqa: DTZ001
    sheet.append([4711, 3.5, None])
    book.save(tmp_path / "count.xlsx")
    rows = rows_of(tmp_path / "count.xlsx")
    assert rows[1:] == [["00123", "12", "2026-03-02 10:41:00"], ["2026-02-01 00:00:00", 3, None], [4711, 3.5, None]]
    assert [stocktake.units_of(row[1]) for row in rows[1:3]] == [12, 3]


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("count.xls", b"\xd0\xcf\x11\xe0", "save it as .xlsx"),
        ("count.xlsx", b"PK\x03\x04 broken", "no Excel file that can be read"),
        ("count.csv", b"\x89PNG\0\0\0", "neither text nor an Excel file"),
    ],
)
def test_what_is_no_count_is_told(tmp_path: Path, name: str, raw: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(BadInput, match=says):
        countfiles.read(tmp_path / name)
    with pytest.raises(BadInput, match="cannot be read"):
        countfiles.read(tmp_path / "absent.csv")


# the command ----------------------------------------------------------------------------------------------------


def test_a_file_is_compared_reported_and_posted_once(started: Seller, tmp_path: Path) -> None:  # noqa: F811
    world: World = started.world
    path = tmp_path / "count.csv"
    path.write_text("SKU;Counted\n00123;8\n1E5;20\n<b>NOPE</b>;3\nMAR1;1o\n", encoding="utf-8")
    before = world.last_event()
    said = started.does("stock-take", str(path))
    assert "00123" in said and "-2" in said and "Nothing was recorded" in said and world.last_event() == before
    with (tmp_path / "count-report.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["SKU"], r["Difference"]) for r in rows] == [
        ("00123", "-2"), ("1E5", "0"), ("<b>NOPE</b>", ""), ("MAR1", ""),
    ]  # fmt: skip
    page = (tmp_path / "count-report.html").read_text(encoding="utf-8")
    assert "<svg" in page and "&lt;b&gt;NOPE" in page and "<b>NOPE" not in page
    assert "http" not in page, "it needs nothing from anywhere"
    started.does("stock-take", str(path), "--post", "--dry-run")
    assert world.last_event() == before
    assert "Posted as stock-take-1" in started.does("stock-take", str(path), "--post")
    assert world.figures(MUG) == "8/0/8" and {e.fact.batch for e in world.events(MUG)[1:]} == {"stock-take-1"}
    assert "Posted already, as stock-take-1" in started.does("stock-take", str(path), "--post")
    assert world.last_event() == before + 2
    started.does("undo", "stock-take-1")
    assert (world.figures(MUG), world.ledger.verify()) == ("10/0/10", [])
    assert "Posted as stock-take-2" in started.does("stock-take", str(path), "--post", "--again")


def test_a_full_file_zeroes_what_is_missing_only_when_told_and_sure(started: Seller, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "count.csv"
    path.write_text("EAN,Qty\n00123,10\n1E5,20\n", encoding="utf-8")
    assert "Not in the file: 2 SKUs with stock." in started.does("stock-take", str(path), "--full")
    said = started.does("stock-take", str(path), "--full", "--zero", "--post", code=Exit.SELLER)
    assert "would become 0" in said and "--sure" in said
    started.does("stock-take", str(path), "--full", "--zero", "--post", "--sure")
    assert (started.world.figures(PLATE), started.world.figures(BOWL)) == ("0/0/0", "0/0/0")
    assert "goes with --full" in started.does("stock-take", str(path), "--zero", code=Exit.USAGE)
    path.write_text("00123,10\n", encoding="utf-8")
    assert "names a SKU" in started.does("stock-take", str(path), code=Exit.SELLER)
