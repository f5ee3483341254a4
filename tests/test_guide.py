"""The guided set-up: what is wrong is said at once and asked again, and secrets lie in files of their own."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sheets_sync.channels import Health
from sheets_sync.config import Settings, load
from sheets_sync.errors import ConfigError, CredentialsRefused
from sheets_sync.guide import name_spreadsheet, write_config

WOO = ["woocommerce", "web", "Web", "https://shop.example.com", "ck_1", "cs_1"]


class Person:
    """Types these, one after the other; keeps what was shown."""

    def __init__(self, *types: str) -> None:
        self.types, self.shown, self.hidden = list(types), list[str](), list[str]()

    def ask(self, text: str, *, default: str = "", hidden: bool = False) -> str:
        said = self.types.pop(0) or default
        self.hidden += [said] if hidden else []
        return said

    def say(self, text: str) -> None:
        self.shown.append(text)


def well(settings: Settings, name: str) -> Health:
    return Health(True, account=f"The shop {name}")


def test_config_alone_would_say_the_same(tmp_path: Path) -> None:
    person = Person("http://127.0.0.1:8765", "", *WOO, "shopify", "", "", "not-a-shop", "", "access_token", "shpat_1",
                    "again", "x.myshopify.com", "", "access_token", "shpat_2", "", "shopify")  # fmt: skip
    write_config(tmp_path / "config.toml", person, well)
    settings = load(tmp_path / "config.toml")
    assert (list(settings.channels), settings.primary and settings.primary.name) == (["web", "shopify"], "shopify")
    assert any("shop does not look right" in line for line in person.shown), "said as any config's problem is"
    assert person.hidden == ["ck_1", "cs_1", "shpat_1", "shpat_2"]
    secrets = sorted((tmp_path / "secrets").iterdir())
    assert [file.name for file in secrets] == ["shopify-access_token", "web-consumer_key", "web-consumer_secret"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in (*secrets, tmp_path / "config.toml")} == {0o600}
    assert not list(tmp_path.glob(".config*")), "the trial is gone"
    name_spreadsheet(tmp_path / "config.toml", "THE-ID")
    assert load(tmp_path / "config.toml").sheet.spreadsheet_id == "THE-ID"


def test_a_scope_that_is_missing_is_named_and_the_channel_asked_again(tmp_path: Path) -> None:
    answers = [Health(False, problems=("the key may only read: make one with Read/Write",)), CredentialsRefused("no")]

    def check(settings: Settings, name: str) -> Health:
        answer = answers.pop(0) if answers else Health(True, account="The shop")
        if isinstance(answer, Exception):
            raise answer
        return answer

    person = Person("http://127.0.0.1:8765", "", *WOO, "again", *WOO[3:], "keep", "")
    write_config(tmp_path / "config.toml", person, check)
    assert "Not well yet: the key may only read: make one with Read/Write" in person.shown
    assert load(tmp_path / "config.toml").primary is not None, "the only channel is the primary"


def test_google_names_the_account_to_share_with(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text('{"type": "service_account", "client_email": "stock@example.iam.gserviceaccount.com"}')
    page = "https://docs.google.com/spreadsheets/d/1AbC/edit"
    person = Person(page, str(tmp_path / "none.json"), str(key), *WOO, "")
    write_config(tmp_path / "config.toml", person, well)
    assert any("stock@example.iam.gserviceaccount.com as an editor" in line for line in person.shown)
    assert load(tmp_path / "config.toml").sheet.spreadsheet_id == "1AbC"


def test_a_config_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("# mine")
    with pytest.raises(ConfigError, match="is there already"):
        write_config(tmp_path / "config.toml", Person(), well)
    assert (tmp_path / "config.toml").read_text() == "# mine"
