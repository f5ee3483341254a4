"""The README does what it says: its commands run, in its order; its config loads; its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from sheets_sync import config, demo
from tests.demo_run import COMMAND
from tests.test_cli import Seller, log_as_before
from tests.world import World

__all__ = ["log_as_before"]  # used by its name

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(kind: str) -> list[str]:
    found = re.findall(rf"^ *```{kind}\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
    return [re.sub(r"^ {3}", "", block, flags=re.MULTILINE) for block in found]


def command_lines(program: str) -> list[list[str]]:
    lines = [line.strip() for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(program)]


def test_every_line_is_a_command_that_is_tested_here() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    known = [line for line in lines if line.strip().startswith(("make ", "sheets-sync ", "export PATH="))]
    assert lines == known


@pytest.fixture
def seller(tmp_path: Path) -> Iterator[Seller]:
    """A shop with the demo's catalogue, so that there are a few events to look at and to undo."""
    world = World(tmp_path, seeds=demo.catalogue("shopify")[:12])
    try:
        yield Seller(world, tmp_path)
    finally:
        world.close()


def test_the_commands_do_what_the_readme_says_in_its_order(
    seller: Seller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: dict[str, str] = {}
    for _, *arguments in command_lines("sheets-sync"):
        said[" ".join(arguments)] = runs_and_ends(seller) if arguments == ["run"] else seller.does(*arguments)
    assert list(said)[:3] == ["init", "doctor", "import"]
    assert "12 SKUs were opened" in said["start"]
    assert "none of it was done" in said["sync --once --dry-run"]
    assert "reversal" in said["undo 7"]
    assert "balances are proven" in said["ledger verify"]
    assert (tmp_path / "ledger.csv").read_text(encoding="utf-8").startswith("event,sku,")


def runs_and_ends(seller: Seller) -> str:
    process = subprocess.Popen(
        [*COMMAND, "--config", str(seller.config), "run"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, err
    return first


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
@pytest.mark.parametrize(("target", "does"), [("demo", "sheets-sync demo"), ("test", "-m pytest")])
def test_the_two_commands_are_in_the_makefile(target: str, does: str) -> None:
    assert ["make", target] in command_lines("make")
    shown = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert does in shown.stdout, shown.stderr


def test_the_example_of_a_config_loads(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    (tmp_path / "service-account.json").write_text("{}")
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    named = set(re.findall(r'_env = "(\w+)"', text))
    settings = config.load(tmp_path / "config.toml", dict.fromkeys(named, "something long"))
    assert settings.primary is not None
    assert settings.primary.title == "Web shop"
    assert list(settings.channels) == ["web", "outlet"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)(?:#[^)]*)?\)", text)
    assert [target for target in targets if not (page.parent / unquote(target)).exists()] == []


def test_every_page_can_be_found_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(([^)#\s]+\.md)\)", README)) | {
        f"docs/channels/{name}" for name in re.findall(r"\[(\w+\.md)\]\(docs/channels/", README)
    }
    assert {str(page.relative_to(ROOT)) for page in PAGES} - {"README.md"} <= linked


def test_pictures_are_small_enough_to_load_at_once() -> None:
    assert [p.name for p in (ROOT / "docs").rglob("*.png") if p.stat().st_size > 250_000] == []
