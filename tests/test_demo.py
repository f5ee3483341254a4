"""The demo: one process that is started, used as a seller and a buyer would, interrupted, killed and started again."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sheets_sync import demo
from sheets_sync.cli import app
from sheets_sync.sandbox.sheet.journal import DataFileError
from tests.demo_run import Demo, sheets_sync, soon

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with Demo(tmp_path_factory.mktemp("demo") / "data", "--amazon") as started:
        yield started


SHOPS = ("shopify", "woocommerce", "amazon")


def everywhere(running: Demo, sku: str, figure: int) -> None:
    for shop in running.about["shops"]:
        soon(lambda name=shop: running.figure(name, sku), lambda shown: shown == figure)


# what it says ---------------------------------------------------------------------------------------------------


def test_one_line_of_json_says_where_everything_is(running: Demo) -> None:
    about = running.about
    assert set(about) == {"sheet", "shops", "shop_columns", "webhook"}
    assert about["sheet"]["page"].startswith(about["sheet"]["base_url"])
    assert set(about["shops"]) == set(SHOPS)
    assert set(about["shop_columns"]) <= running.row("00123").keys()
    assert [set(shop) for shop in about["shops"].values()] == [{"base_url", "storefront", "credentials"}] * 3
    assert len(running.out) == 1


def test_the_catalogue_is_in_sheet_and_shops_as_it_is_written(running: Demo) -> None:
    rows = {row["SKU"]: row for row in running.rows("Stock")}
    assert rows.keys() == {seed.sku for seed in demo.catalogue("shopify")}
    assert {"00123", "1E5", "MAR1", "1-2", "8e3"} <= rows.keys()
    assert rows["1-2"]["Title"] == "Käthe, große Vase, mundgeblasen"
    assert rows["KRZ-S"]["Title"] == "Stumpenkerze, Bienenwachs - Small", "as the primary calls it"
    for shop in ("woocommerce", "amazon"):
        assert running.storefront(shop).keys() == {seed.sku for seed in demo.catalogue(shop)}
    assert {sku: row["On hand"] for sku, row in rows.items()} == {s.sku: s.stock for s in demo.catalogue("shopify")}


# what it does ---------------------------------------------------------------------------------------------------


def test_a_typed_count_is_an_event_and_a_figure_in_every_shop(running: Demo) -> None:
    before = running.row("MAR1")["On hand"]
    running.type("MAR1", str(before - 4))
    everywhere(running, "MAR1", before - 4)
    soon(lambda: running.row("MAR1")["Status"], lambda said: said.startswith("-4 recorded"))
    newest = soon(lambda: running.rows("Ledger")[0], lambda row: row["SKU"] == "MAR1")
    assert (newest["What"], newest["On hand change"], newest["On hand"]) == ("adjustment", -4, before - 4)


@pytest.mark.parametrize(("shop", "other"), [("woocommerce", "shopify"), ("shopify", "amazon"), ("amazon", "shopify")])
def test_a_sale_in_one_shop_is_in_the_sheet_and_the_other_shop(running: Demo, shop: str, other: str) -> None:
    sku = {"woocommerce": "00123", "shopify": "1E5", "amazon": "0043"}[shop]
    before = running.row(sku)
    running.buy(shop, sku, 2)
    soon(lambda: running.figure(other, sku), lambda shown: shown == before["Available"] - 2)
    row = soon(lambda: running.row(sku), lambda row: row["Available"] == before["Available"] - 2)
    assert (row["On hand"], row["Committed"]) == (before["On hand"], before["Committed"] + 2)


ORDER = """
mutation($order: OrderCreateOrderInput!) {
  orderCreate(order: $order, options: {inventoryBehaviour: DECREMENT_OBEYING_POLICY}) {
    order { id } userErrors { message }
  }
}
"""
VARIANT = '{ productVariants(first: 1, query: "sku:0042") { nodes { id sku } } }'


def test_an_order_through_the_vendors_own_api_is_counted(running: Demo) -> None:
    variant = running.graphql(VARIANT, {})["productVariants"]["nodes"][0]
    assert variant["sku"] == "0042"
    before = running.row("0042")["Available"]
    line = {"variantId": variant["id"], "quantity": 3}
    made = running.graphql(ORDER, {"order": {"lineItems": [line]}})["orderCreate"]
    assert made["userErrors"] == []
    soon(lambda: running.figure("woocommerce", "0042"), lambda shown: shown == before - 3)
    soon(lambda: running.row("0042")["Available"], lambda units: units == before - 3)


def test_nonsense_in_a_count_changes_nothing_and_is_asked(running: Demo) -> None:
    before = running.row("BRD-ASH")["Available"]
    running.type("BRD-ASH", "12 pcs")
    soon(lambda: running.row("BRD-ASH")["Status"], lambda said: said.startswith("? '12 pcs' is not a whole number"))
    assert {running.figure(shop, "BRD-ASH") for shop in running.about["shops"]} == {before}
    assert "'12 pcs'" in sheets_sync("review", config=running.folder / "config.toml").stdout
    running.type("BRD-ASH", str(before))
    soon(lambda: running.row("BRD-ASH")["Status"], lambda said: not said.startswith("?"))


def test_its_config_works_for_every_other_command(running: Demo) -> None:
    config = running.folder / "config.toml"
    shown = json.loads(sheets_sync("stock", "--json", "CAL-27", config=config).stdout)
    assert (shown["on_hand"], shown["channels"]) == (40, dict.fromkeys(SHOPS, 40))
    verified = sheets_sync("ledger", "verify", config=config)
    assert verified.returncode == 0, verified.stdout
    refused = sheets_sync("sync", "--once", config=config)
    assert refused.returncode == 5
    assert "another sheets-sync drives" in refused.stderr


# its end and its next start -------------------------------------------------------------------------------------


def test_a_signal_ends_it_cleanly(tmp_path: Path) -> None:
    """SIGTERM, as a service manager sends it; Ctrl-C is below."""
    folder = tmp_path / "data"
    with Demo(folder) as started:
        assert started.end(signal.SIGTERM) == 0
        assert "Traceback" not in started.said
    assert "error" not in {json.loads(line)["level"] for line in (folder / demo.LOG).read_text().splitlines()}
    with sqlite3.connect(folder / "ledger.db") as ledger:
        assert ledger.execute("SELECT DISTINCT holder FROM leases").fetchall() == [("",)], "leases are given back"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_started_again_it_goes_on_where_it_was(tmp_path: Path, how: signal.Signals) -> None:
    folder = tmp_path / "data"
    with Demo(folder) as first:
        assert list(first.about["shops"]) == ["shopify", "woocommerce"], "Amazon only where it is asked for"
        first.type("INK-GRN", "15")
        everywhere(first, "INK-GRN", 15)
        if how == signal.SIGINT:
            first.process.send_signal(how)  # twice at once, as `timeout` and some terminals do
        code = first.end(how)
        assert code == (0 if how == signal.SIGINT else -signal.SIGKILL)
        assert "Traceback" not in first.said
    with Demo(folder) as second:
        assert second.about["sheet"] == first.about["sheet"], "bookmarks go on working"
        assert second.row("INK-GRN")["On hand"] == 15
        assert len(second.rows("Stock")) == 60
        second.buy("woocommerce", "INK-GRN", 1)
        soon(lambda: second.figure("shopify", "INK-GRN"), lambda shown: shown == 14)
        events = sheets_sync("ledger", "show", "INK-GRN", config=folder / "config.toml").stdout.splitlines()[1:]
        assert [re.split(r"\s{2,}", line.strip())[3] for line in events] == ["order", "adjustment", "opening"]
        assert second.end() == 0


def test_killed_while_it_sets_up_it_begins_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = Demo(folder)
    soon(lambda: (folder / "ledger.db").exists(), bool, within=30)
    first.end(signal.SIGKILL)
    with Demo(folder) as second:
        assert len(second.rows("Stock")) == 60
        assert second.end() == 0


def test_where_its_ports_are_taken_it_has_others(running: Demo, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    demo.claim(folder)
    (folder / demo.MARKER).write_text((running.folder / demo.MARKER).read_text())
    with Demo(folder) as other:
        taken, fresh = ({a["sheet"]["base_url"], a["webhook"]} for a in (running.about, other.about))
        assert not taken & fresh
        other.type("RUG-S", "4")
        soon(lambda: other.row("RUG-S")["Status"], lambda said: said.startswith("-1 recorded"))
        assert other.end() == 0


# folders that it can't use --------------------------------------------------------------------------------------


def refused(folder: Path, *words: str) -> None:
    """It says so, with exit code 3, and prints no line that a program could take for an answer."""
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != demo.LOG}
    result = CliRunner().invoke(app, ["demo", "--json", "--no-browser", "--data", str(folder)])
    assert (result.exit_code, result.stdout) == (3, ""), result.output
    assert [word for word in words if word not in result.stderr] == []
    assert {file: file.read_bytes() for file in before} == before


def test_two_demos_never_share_a_folder(running: Demo) -> None:
    assert (running.folder / "config.toml").exists()
    with pytest.raises(DataFileError, match="in use by another"), demo.running(running.folder):
        pass
    assert running.row("00125")["SKU"] == "00125"


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    refused(tmp_path, "was not made by the demo", "--data")
    assert [file.name for file in tmp_path.iterdir()] == ["diary.txt"]


@pytest.mark.parametrize(
    ("content", "words"), [('{"format": 99}', "another version"), ("{", "cannot be read"), ("[]", "cannot be read")]
)
def test_a_folder_of_another_version_is_left_alone(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / demo.MARKER).write_text(content)
    refused(tmp_path, words, "Move the folder away")


@pytest.mark.parametrize("file", ["sheet.jsonl", "shopify.db", "woocommerce.db", "amazon.db", "ledger.db"])
def test_a_file_that_it_cannot_read_is_named(tmp_path: Path, file: str) -> None:
    demo.claim(tmp_path, amazon=True)
    (tmp_path / file).write_text("something else entirely, and long enough to be a header\n" * 4)
    result = CliRunner().invoke(app, ["demo", "--json", "--no-browser", "--data", str(tmp_path)])
    assert result.exit_code == 3, result.output
    assert file in result.stderr


def test_a_demo_begun_without_amazon_stays_without(tmp_path: Path) -> None:
    demo.claim(tmp_path)
    result = CliRunner().invoke(app, ["demo", "--amazon", "--json", "--no-browser", "--data", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (3, "")
    assert "begun without Amazon" in result.stderr and "--data" in result.stderr


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file" / "data", "cannot be used")


def test_secrets_are_for_the_owner_alone(running: Demo) -> None:
    kept: list[Any] = [running.folder / "config.toml", *(running.folder / "secrets").iterdir()]
    assert {oct(file.stat().st_mode & 0o777) for file in kept} == {"0o600"}
    log = (running.folder / demo.LOG).read_text(encoding="utf-8")
    secrets = [file.read_text() for file in (running.folder / "secrets").iterdir() if not file.name.endswith("-shop")]
    assert [secret for secret in secrets if secret in log] == []
