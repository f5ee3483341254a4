"""The command line: every command at a real local sheet and real local shops; errors as advice and exit codes."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import structlog
import typer
from typer.testing import CliRunner

from sheets_sync import cli, errors, logs
from sheets_sync.cli import Exit, advice, app
from sheets_sync.config import load
from sheets_sync.sandbox.sheet.journal import DataFileError
from tests.demo_run import COMMAND, sheets_sync, soon
from tests.world import SEEDS, World

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """A command sets the log up for its process, which is here that of all tests."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


class Seller:
    """Someone at a terminal: a world's sheet and shops, and a config of their own that reaches them."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.config = world, folder / "config.toml"
        self.section = f'base_url = "{world.sheet.base_url}"\nspreadsheet_id = "{world.book.spreadsheet_id}"'
        self.write()

    def write(self, sheet: str | None = None, more: str = "") -> None:
        text = [f"[sheet]\n{sheet or self.section}\n[ledger]\nurl = '{self.world.ledger_url}'\n[web]\nport = 0\n{more}"]
        for number, (name, shop) in enumerate(self.world.shops.items()):
            primary = "true" if number == 0 else "false"
            text.append(
                f'[channels.{name}]\nkind = "woocommerce"\ntitle = "{name.capitalize()}"\nprimary = {primary}\n'
                f'base_url = "{shop.base_url}"\nconsumer_key_file = "{name}-key"\n'
                f'consumer_secret_file = "{name}-secret"\nwebhook_secret_file = "{name}-secret"\n'
            )
            for part in ("key", "secret"):
                (self.config.parent / f"{name}-{part}").write_text(shop.credentials[f"consumer_{part}"])
        self.config.write_text("\n".join(text), encoding="utf-8")

    def does(self, *arguments: str, code: int = 0, types: str = "") -> str:
        """One command; what it printed, stdout and stderr."""
        result = CliRunner().invoke(app, ["--config", str(self.config), *arguments], input=types)
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        self.out, self.err = result.stdout, result.stderr
        return str(result.output)


@pytest.fixture
def seller(tmp_path: Path) -> Iterator[Seller]:
    world = World(tmp_path)
    try:
        yield Seller(world, tmp_path)
    finally:
        world.close()


@pytest.fixture
def started(seller: Seller) -> Seller:
    seller.world.begin()
    seller.does("doctor")
    return seller


# from an empty spreadsheet to the first push --------------------------------------------------------------------


def test_the_whole_road_by_commands(seller: Seller) -> None:
    world = seller.world
    assert "sheets-sync doctor" in seller.does("init")
    assert "Everything is there already" in seller.does("init")
    assert "has not been proven yet" in seller.does("sync", "--once", code=Exit.SELLER)
    assert "All is well" in seller.does("doctor")
    assert "No count was changed" in seller.does("import")
    assert [sku for sku in world.skus()[1:] if sku] == [seed.sku for seed in SEEDS], "import shows them in the sheet"
    assert world.events() == []
    assert "4 SKUs were opened" in seller.does("start")
    assert "Nothing was left to open" in seller.does("start")
    assert world.cell("00123") == 10
    world.type("00123", "8")
    assert "recorded  00123: adjustment, on hand -2" in seller.does("sync", "--once")
    assert [world.figure(name, "00123") for name in world.shops] == [8, 8]
    assert "0 events, 0 figures" in seller.does("sync")


def test_init_makes_a_spreadsheet_where_none_is_named(seller: Seller) -> None:
    seller.write(sheet=f'base_url = "{seller.world.sheet.base_url}"')
    assert "spreadsheet_id is empty" in seller.does("doctor", code=Exit.CONFIG)
    said = seller.does("init", "--create", "Käthes Lager")
    made = re.search(r'^spreadsheet_id = "(.+)"$', said, re.MULTILINE)
    assert made is not None
    book = seller.world.store.book(made[1])
    assert (book.properties["title"], book.tab_named("Stock") is not None) == ("Käthes Lager", True)


def test_init_makes_no_second_spreadsheet(seller: Seller) -> None:
    before = len(seller.world.store.books())
    assert "names a spreadsheet already" in seller.does("init", "--create", "Another", code=Exit.CONFIG)
    assert len(seller.world.store.books()) == before


def test_init_leaves_another_spreadsheet_alone(seller: Seller) -> None:
    seller.does("init")
    other = seller.world.store.create("Another")
    seller.write(sheet=f'base_url = "{seller.world.sheet.base_url}"\nspreadsheet_id = "{other.spreadsheet_id}"')
    assert "drives a spreadsheet already" in seller.does("init", code=Exit.SELLER)
    assert [tab.title for tab in seller.world.store.book(other.spreadsheet_id).tabs] == ["Sheet1"]


def test_doctor_tries_every_part_and_says_what_to_do(seller: Seller) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = re.sub(r"\[web\]\n(\w.*\n)*", "", seller.config.read_text())
    seller.config.write_text(f'{text}\n[web]\nport = {port}\npublic_url = "http://127.0.0.1:{port}"\n')
    said = seller.does("doctor", code=Exit.SELLER)
    assert re.search(r"✗ +tabs +run sheets-sync init", said)
    seller.does("init")
    said = seller.does("doctor")
    for part in (
        "a filter",
        "tabs",
        "time zone",
        "clock",
        "quota",
        "webhooks",
        "the primary marketplace",
        "the ledger",
    ):
        assert re.search(rf"✓ .*{part}", said), part
    assert f"http://127.0.0.1:{port} arrives here" in said
    assert "✗" not in said
    seller.config.write_text(seller.config.read_text().replace(f'"http://127.0.0.1:{port}"', '"http://127.0.0.1:9"'))
    assert re.search(r"✗ +webhooks +http://127.0.0.1:9 does not arrive here", seller.does("doctor", code=Exit.SELLER))


def test_doctor_shows_a_shop_that_refuses_us(seller: Seller) -> None:
    seller.does("init")
    (seller.config.parent / "woocommerce-secret").write_text("cs_wrong")
    said = seller.does("doctor", code=Exit.SELLER)
    assert "✗" in said
    assert "marked with ✗" in seller.err
    assert "cs_wrong" not in said


def test_start_before_import_says_what_to_do(seller: Seller) -> None:
    seller.does("init")
    assert "sheets-sync import" in seller.does("start", code=Exit.SELLER)


def test_start_asks_a_service_that_runs(started: Seller) -> None:
    ledger = started.world.ledger
    lease = ledger.acquire("start", "somebody else")
    assert lease is not None
    assert "was asked to open what is not open yet" in started.does("start")
    with ledger.read() as view:
        assert view.get("start_wanted")["row"] == "cli"


# sync -----------------------------------------------------------------------------------------------------------


def test_a_dry_run_prints_everything_and_does_nothing(started: Seller) -> None:
    world = started.world
    world.type("00123", "8")
    world.type("1E5", "12 pcs")
    calls, before = len(world.faults.calls), world.last_event()
    world.shops["woocommerce2"].shop.buy("MAR1")
    said = started.does("sync", "--once", "--dry-run")
    assert "would record  00123: adjustment, on hand -2 (typed 8 over 10); on hand 8" in said
    assert "would record  MAR1: order, committed +1" in said, "orders are read, too"
    assert "would ask     1E5: ? '12 pcs' is not a whole number" in said
    assert re.search(r"would write +Stock row 2, 00123", said)
    assert "would push    Woocommerce: 00123 to 8 (expecting 10)" in said
    assert "would push    Woocommerce2: 00123 to 8 (expecting 10)" in said
    assert "would push    Woocommerce: MAR1 to 4 (expecting 5)" in said
    assert re.search(r"would call    Woocommerce: [1-9] writes, beside the \d+ reads", said)
    assert re.search(r"would call    sheet: [1-9] writes", said)
    assert re.search(r"2 events, .* 3 figures, .*; none of it was done", said)
    assert [call.path for call in world.faults.calls[calls:] if call.method != "GET"] == []
    assert (world.last_event(), world.figure("woocommerce", "00123")) == (before, 10)
    with world.ledger.read() as view:
        assert view.questions() == []
    done = started.does("sync")
    assert "recorded  00123: adjustment, on hand -2" in done and "Woocommerce: MAR1 to 4" in done


def test_sync_steps_back_where_another_process_drives(started: Seller) -> None:
    world = started.world
    held = world.ledger.acquire(f"sheet:{world.book.spreadsheet_id}", "somebody else")
    assert held is not None
    assert "another sheets-sync drives" in started.does("sync", code=Exit.OTHER_SIDE)


def test_sync_says_what_holds_the_sheet(started: Seller) -> None:
    world = started.world
    world.store.type(world.book.spreadsheet_id, "Stock", f"{world.letter('Low-stock level')}1", "On hand")
    assert "On hand" in started.does("sync", code=Exit.SELLER)
    assert "left alone" in started.err


# looking --------------------------------------------------------------------------------------------------------


def test_stock_shows_what_is_held_shown_and_asked(started: Seller) -> None:
    world = started.world
    world.type("1E5", "1o")
    world.sheet_passes()
    shown = {row["sku"]: row for row in map(json.loads, _lines(started.does("stock", "--json")))}
    assert list(shown) == [seed.sku for seed in SEEDS]
    assert shown["1-2"] == {
        "sku": "1-2", "title": "Käthe, groß", "on_hand": 7, "committed": 0, "damaged": 0, "available": 7,
        "channels": {"woocommerce": 7, "woocommerce2": 7}, "status": "opened with 7", "questions": [],
    }  # fmt: skip
    assert shown["1E5"]["on_hand"] == 20
    assert "'1o' is not a whole number" in shown["1E5"]["questions"][0]
    table = started.does("stock", "00123", "1E5")
    assert re.search(r"^00123 +Mug, blue +10 +0 +10 +10 +10 +opened with 10", table, re.MULTILINE)
    assert "MAR1" not in table
    assert "No such SKU: 123." in started.does("stock", "123", code=Exit.SELLER)


def test_ledger_show_reads_like_a_bank_statement(started: Seller) -> None:
    world = started.world
    world.type("00123", "8")
    world.type("00123", "breakage", "Note")
    world.sheet_passes()
    newest, opening = _lines(started.does("ledger", "show", "00123"))[1:]
    assert re.search(r"00123 +adjustment +8 \(-2\) +0 +0 +breakage, typed 8 over 10 +sheet", newest)
    assert re.search(r"00123 +opening +10 \(\+10\)", opening)
    assert len(_lines(started.does("ledger", "show", "--limit", "2"))) == 3
    assert "No events of 123 yet" in started.does("ledger", "show", "123")
    said = started.does("why", "00123")
    assert "event 1 counted 10" in said and "=SUMPRODUCT(EXACT($B$2:$B" in said
    assert "Nothing is recorded of 123 yet" in started.does("why", "123", code=Exit.SELLER)


def test_ledger_verify_fails_on_a_ledger_changed_by_hand(started: Seller) -> None:
    assert "4 balances are proven by 5 events" in started.does("ledger", "verify")
    with started.world.ledger._database.writing() as connection:
        connection.exec_driver_sql("UPDATE balances SET on_hand = 11 WHERE sku = '00123'")
    assert "00123 at main" in started.does("ledger", "verify", code=Exit.NOT_PROVEN)


def test_the_export_has_every_event_and_skus_as_they_are(started: Seller, tmp_path: Path) -> None:
    world = started.world
    world.type("1-2", "6")
    world.type("1-2", 'said "no",\nthen ü', "Note")
    world.sheet_passes()
    file = tmp_path / "out" / "ledger.csv"
    file.parent.mkdir()
    assert "6 events" in started.does("ledger", "export", str(file))
    started.does("ledger", "export")
    assert started.out == file.read_bytes().decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(started.out, newline="")))
    assert tuple(rows[0]) == cli.EXPORTED
    assert [row["sku"] for row in rows if row["sku"] != "(all SKUs)"] == [*(seed.sku for seed in SEEDS), "1-2"]
    last = rows[-1]
    assert (last["what"], last["on_hand_change"], last["on_hand"], last["number"]) == ("adjustment", "-1", "6", "2")
    assert last["note"] == 'said "no",\nthen ü'
    assert [path.name for path in file.parent.iterdir()] == ["ledger.csv"], "nothing half-written is left"
    assert "cannot be written" in started.does("ledger", "export", str(tmp_path / "no" / "x.csv"), code=Exit.SELLER)


def test_a_title_cannot_steer_the_terminal(started: Seller) -> None:
    started.world.shops["woocommerce"].shop.rename("00123", title="\x1b[31mMug [bold]x[/bold]")
    started.does("import")
    said = started.does("stock", "00123")
    assert "\x1b" not in said
    assert "[bold]x[/bold]" in said


# a person's word ------------------------------------------------------------------------------------------------


def test_review_lists_and_answers(started: Seller) -> None:
    world = started.world
    assert "Nothing is asked" in started.does("review")
    world.type("MAR1", "damage", "Reason")
    world.type("MAR1", "7")
    world.passes()
    assert world.questions() == {"MAR1": "reason"}
    row = next(line for line in _lines(started.does("review")) if "MAR1" in line)
    assert "record it: takes the change without that reason" in row
    id = row.split()[0]
    assert "is no answer" in started.does("review", "answer", id, "perhaps", code=Exit.SELLER)
    said = started.does("review", "answer", id, "Record it", "--note", "two were found")
    assert "recorded  MAR1: adjustment, on hand +2" in said
    assert "Nothing is asked" in started.does("review")
    assert (world.figures("MAR1"), world.events("MAR1")[-1].fact.note) == ("7/0/7", "two were found")


def test_O2_review_offers_the_suggested_answer_and_takes_it_on_return(started: Seller) -> None:
    world = started.world
    shop = world.shops["woocommerce"].shop
    order = shop.buy("MAR1", 2)
    world.passes()
    with shop.store.transaction() as db:
        shop.set_status(db, order, "refunded")
    world.passes()
    row = next(line for line in _lines(started.does("review")) if "MAR1" in line)
    assert "ok: back to stock, as suggested; back to stock: " in row
    assert "Answer [back to stock]" in started.does("review", "answer", row.split()[0], types="\n")
    assert (world.figures("MAR1"), world.questions()) == ("5/0/5", {})


def test_undo_strikes_an_event(started: Seller) -> None:
    world = started.world
    world.type("00123", "8")
    world.sheet_passes()
    said = started.does("undo", str(world.last_event()), "--note", "typed in the wrong row")
    assert "recorded  00123: reversal, on hand +2" in said
    assert world.figures("00123") == "10/0/10"
    assert "no event or batch" in started.does("undo", "999", code=Exit.SELLER)


def test_adopt_says_what_differs_and_takes_a_copy_over(started: Seller) -> None:
    world = started.world
    assert "show the same figures" in started.does("adopt")
    assert "say `ledger` or `workbook`" in started.does("adopt", "both", code=Exit.SELLER)
    world.type("00123", "8")
    said = started.does("adopt")
    row = next(line for line in _lines(said) if "00123" in line)
    assert row.split() == ["00123", "10", "8"]
    said = started.does("adopt", "workbook")
    assert "00123" in said.partition("The workbook stands. 1 SKUs differed.")[0], "said before it is taken"
    world.restart()
    world.passes()
    assert (world.figures("00123"), world.cell("00123"), world.questions()) == ("8/0/8", 8, {})


# errors ---------------------------------------------------------------------------------------------------------


def tree(kind: type[errors.SheetsSyncError]) -> Iterator[type[errors.SheetsSyncError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from tree(below)


def test_every_error_has_its_exit_code() -> None:
    wanted = {errors.ConfigError: Exit.CONFIG, errors.SellerMustAct: Exit.SELLER, errors.OtherSide: Exit.OTHER_SIDE,
              errors.NextPass: Exit.OTHER_SIDE}  # fmt: skip
    for kind in tree(errors.SheetsSyncError):
        made = kind(["this"]) if kind is errors.ConfigError else kind("this")  # type: ignore[arg-type]
        expected = next((code for above, code in wanted.items() if issubclass(kind, above)), Exit.BUG)
        code, words = advice(made)
        assert (code, "this" in words) == (expected, True), kind
    assert advice(DataFileError("this"))[0] == Exit.CONFIG


def test_all_problems_of_a_config_are_told_at_once(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[sheet]\nlook_evry = 5\nbase_url = "http://127.0.0.1:1"\n[web]\nport = "eighty"\n')
    result = CliRunner().invoke(app, ["-c", str(config), "stock"])
    assert result.exit_code == Exit.CONFIG
    assert result.stdout == ""
    assert "2 things to put right" in result.stderr
    assert "did you mean look_every?" in result.stderr
    assert "port must be a whole number" in result.stderr


def test_the_config_may_be_named_by_the_environment(started: Seller) -> None:
    result = CliRunner().invoke(app, ["ledger", "verify"], env={"SHEETS_SYNC_CONFIG": str(started.config)})
    assert result.exit_code == 0, result.output


def test_without_a_config_it_says_where_to_begin(tmp_path: Path) -> None:
    result = sheets_sync("run", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (Exit.CONFIG, "")
    assert "copy config.example.toml" in result.stderr
    assert "Traceback" not in result.stderr


def test_usage_and_version() -> None:
    assert sheets_sync("--version").stdout.startswith("sheets-sync ")
    for arguments in (["nonsense"], ["sandbox", "shop", "etsy"], ["ledger", "show", "--limit", "0"]):
        assert CliRunner().invoke(app, arguments).exit_code == Exit.USAGE


def test_verbose_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--verbose", "-c", str(tmp_path / "none.toml"), "stock"])
    assert result.exit_code == Exit.CONFIG
    assert "Traceback" in result.stderr


# the log --------------------------------------------------------------------------------------------------------


def test_the_log_is_json_lines_without_secrets(seller: Seller) -> None:
    secret = (seller.config.parent / "woocommerce-secret").read_text()
    stream = io.StringIO()
    logs.configure(logging.INFO, stream, logs.secrets_in(load(seller.config)))
    log = structlog.get_logger()
    log.debug("not shown")
    log.info("hello", detail=f"refused {secret} there", count=3)
    entry = json.loads(stream.getvalue())
    assert (entry["event"], entry["level"], entry["count"]) == ("hello", "info", 3)
    assert entry["detail"] == f"refused {logs.HIDDEN} there"


# processes ------------------------------------------------------------------------------------------------------


def popen(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_run_keeps_everything_in_step_and_ends_cleanly(started: Seller, how: signal.Signals) -> None:
    world = started.world
    process = popen("--config", str(started.config), "run")
    try:
        assert process.stdout is not None
        assert "Ctrl-C ends it" in process.stdout.readline()
        world.type("00123", "4")
        for name in world.shops:
            soon(lambda name=name: world.figure(name, "00123"), lambda shown: shown == 4, within=30)  # type: ignore[misc]
        process.send_signal(how)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "Traceback" not in said
    logged = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert {"event", "push"} <= {entry["event"] for entry in logged}
    lease = world.ledger.acquire(f"sheet:{world.book.spreadsheet_id}", "the next one")
    assert lease is not None, "leases are given back"


def test_run_refuses_a_spreadsheet_that_was_not_proven(seller: Seller) -> None:
    seller.does("init")
    assert "sheets-sync doctor" in seller.does("run", code=Exit.SELLER)


@pytest.mark.parametrize("shop", ["http_json", "shopify", "woocommerce"])
def test_a_local_shop_is_kept_in_its_file(tmp_path: Path, shop: str) -> None:
    for seeded in (["--seed"], []):
        process = popen("sandbox", "shop", shop, "--port", "0", "--data", str(tmp_path / "shop.db"), *seeded)
        try:
            assert process.stdout is not None
            storefront = process.stdout.readline().split()[-1]
            page = requests.get(storefront, timeout=10).text
            assert [page.count(f'data-sku="{sku}"') for sku in ("00123", "1E5", "1-2")] == [1, 1, 1]
            assert "base_url" in process.stdout.readline() + process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 0, said
        assert "Traceback" not in said


def test_a_local_sheet_is_kept_in_its_file(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    for count in (1, 2):
        process = popen("sandbox", "sheet", "--port", "0", "--data", str(tmp_path / "sheet.jsonl"))
        try:
            assert process.stdout is not None
            config.write_text("[sheet]\n" + f'base_url = "{process.stdout.readline().split()[-1]}"')
            made = CliRunner().invoke(app, ["-c", str(config), "init", "--create", f"Stock {count}"])
            assert made.exit_code == (0 if count == 1 else Exit.SELLER), "one ledger drives one spreadsheet"
            page = requests.get(config.read_text().split('"')[1], timeout=10).text
            assert ("Stock 1" in page, "Stock 2" in page) == (True, False)
        finally:
            process.kill()
            process.communicate(timeout=30)


def test_a_taken_port_is_named(seller: Seller) -> None:
    port = str(seller.world.sheet.port)
    for arguments in (["sheet"], ["shop", "shopify"]):
        result = CliRunner().invoke(app, ["sandbox", *arguments, "--port", port])
        assert (result.exit_code, f"port {port} cannot be had" in result.stderr) == (Exit.CONFIG, True), result.output


# the documentation ----------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, Any]]:
    def below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield path, command
        for name, inner in getattr(command, "commands", {}).items():
            yield from below(f"{path} {name}", inner)

    return below("sheets-sync", typer.main.get_command(app))


COMMANDS = dict(commands())
DOCUMENTED = {name: c for name, c in COMMANDS.items() if not getattr(c, "commands", None) or name.endswith("review")}
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") if (ROOT / "docs" / "cli.md").exists() else ""


def sections() -> dict[str, str]:
    found = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_the_page_has_every_command_and_no_other() -> None:
    assert {name for name in sections() if name.startswith("sheets-sync")} == set(DOCUMENTED)


@pytest.mark.parametrize("name", ["sheets-sync", *DOCUMENTED])
def test_the_page_says_what_the_help_says(name: str) -> None:
    text = sections()["Options before the command" if name == "sheets-sync" else name]
    command = COMMANDS[name]
    if name != "sheets-sync":
        assert command.help in text
    options = [p for p in command.params if p.name != "help"]
    for option in options:
        assert option.help in text
        assert all(f"`{word}`" in text for word in option.opts if word.startswith("-"))
    table = "\n".join(line for line in text.splitlines() if line.startswith("| `-"))
    known = {word for option in options for word in (*option.opts, *option.secondary_opts)}
    assert set(re.findall(r"`(--?[a-z-]+)`", table)) <= known


def test_the_page_and_the_help_have_every_exit_code() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", sections()["Exit codes"], re.MULTILINE))
    assert {int(code): words for code, words in rows.items()} == {
        code.value: words for code, words in cli.ENDINGS.items()
    }
    assert set(cli.ENDINGS) == set(Exit)
    shown = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    assert "6 `ledger verify` found something" in shown


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]
