"""docs/getting-started.md followed literally, at a real terminal: its commands, its table of answers."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

from sheets_sync.channels import all_pages
from sheets_sync.channels.registry import build
from sheets_sync.cli import app
from sheets_sync.config import ChannelSettings, load
from sheets_sync.sheet.client import SheetAccess
from sheets_sync.sheet.workbook import Workbook, connect

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "getting-started.md").read_text(encoding="utf-8")
DEADLINE = 30.0
COMMAND = [sys.executable, "-c", "from sheets_sync.cli import main; main()"]


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def commands(page: str) -> list[list[str]]:
    """Every command of ours that the page tells to type, in its order."""
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("sheets-sync ")]


def answers(page: str) -> list[tuple[str, str]]:
    """The table of what is asked and what is typed."""
    table = page.split("| it asks | you type |")[1].split("\n\n")[0]
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")]
    return [(asks.strip(), typed.strip().strip("`")) for asks, typed in lines]


@contextmanager
def server(arguments: list[str], folder: Path) -> Iterator[dict[str, str]]:
    """A server in a terminal of its own, and the keys that it printed."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    printed: dict[str, str] = {}
    try:
        wanted = "consumer_secret" if "shop" in arguments else "base_url"
        for line in process.stdout:
            if found := re.match(r"\s*(\w+) = (\S+)", line):
                printed[found[1]] = found[2]
            if wanted in line:
                break
        yield printed
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=DEADLINE)


def at_a_terminal(arguments: list[str], folder: Path, typed: list[tuple[str, str]]) -> str:
    """One command at a terminal: each answer is typed once its question stands there. What the terminal showed."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execv(COMMAND[0], [*COMMAND, *arguments])
    shown, rest, until = "", list(typed), time.monotonic() + DEADLINE
    seen, ended = 0, False
    try:
        while time.monotonic() < until:
            if select.select([fd], [], [], 0.1)[0]:
                try:
                    shown += os.read(fd, 4096).decode()
                except OSError:
                    ended = True
                    break
            # The last space comes once a secret is no longer echoed, and whatever was typed before is dropped.
            if rest and (at := shown.find(rest[0][0], seen)) >= 0 and shown.endswith(": "):
                seen = max(at, len(shown))
                os.write(fd, (rest.pop(0)[1] + "\n").encode())
    finally:
        if not ended:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os.close(fd)
    assert not rest, f"was not asked {rest[0][0]!r}:\n{shown}"
    assert os.waitstatus_to_exitcode(status) == 0, shown
    return shown


def type_count(base: str, workbook: Workbook, row: int, header: str, text: str) -> None:
    """A person at the local sheet's page."""
    columns = workbook.values(["'Stock'!1:1"])[0][0]
    sheet = workbook.layout().tabs["Stock"].id
    at = {"sheetId": sheet, "rowIndex": row - 1, "columnIndex": columns.index(header), "rows": [[text]]}
    where = f"{base}/spreadsheets/{workbook.spreadsheet_id}/edits"
    requests.post(where, json={"requests": [{"enterValues": at}]}, timeout=10).raise_for_status()


def test_a_newcomer_gets_to_the_first_synced_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE
    for written, port in zip(("8765", "8767", "8768"), free_ports(3), strict=True):
        page = page.replace(written, str(port))
    sheet, first, second, init, *then = commands(page)
    assert [line[0] for line in then] == ["doctor", "import", "import", "start", "sync", "run"]
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        stack.enter_context(server(sheet, tmp_path))
        printed = [stack.enter_context(server(shop, tmp_path)) for shop in (first, second)]
        keys = {
            f"as the {which} shop printed it": shop for which, shop in zip(("first", "second"), printed, strict=True)
        }
        typed = [(asks, "" if word == "nothing" else keys[word][asks] if word in keys else word)
                 for asks, word in answers(page)]  # fmt: skip
        shown = at_a_terminal(init, tmp_path, typed)
        assert shown.count("Reached ") == 2
        assert printed[0]["consumer_secret"] not in shown, "a secret is not shown as it is typed"
        assert printed[0]["consumer_secret"] not in (tmp_path / "config.toml").read_text()
        settings = load(tmp_path / "config.toml")
        assert (list(settings.channels), settings.primary and settings.primary.name) == (["web", "outlet"], "web")
        said = [does(line) for line in then[:4]]
        assert "All is well" in said[0] and "Start would open" in said[2] and "SKUs were opened" in said[3]
        base = str(settings.sheet.base_url)
        workbook = connect(SheetAccess(base, settings.sheet.spreadsheet_id))
        sku = counted(workbook)["SKU"]
        type_count(base, workbook, 2, "On hand", "77")
        does(then[4])
        row = counted(workbook)
        assert (row["SKU"], row["On hand"], row["Web shop"], row["Outlet"]) == (sku, 77, 77, 77)
        assert [figure(about, str(sku)) for about in settings.channels.values()] == [77, 77]


def does(line: list[str]) -> str:
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    return result.stdout


def counted(workbook: Workbook) -> dict[str, Any]:
    """The first row of Stock."""
    header, row = workbook.values(["'Stock'!1:2"])[0]
    return {str(name): cell for name, cell in zip(header, row, strict=False)}


def figure(about: ChannelSettings, sku: str) -> int | None:
    """What the shop itself says."""
    channel = build(about)
    try:
        return next(item.shows for item in all_pages(channel.listings) if item.sku == sku)
    finally:
        channel.close()
