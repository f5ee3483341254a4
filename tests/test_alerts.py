"""Alerts: what is told, each once per state, by a webhook and by e-mail to real sockets; and nothing waits for them."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from sheets_sync import alarm, alerts
from sheets_sync.alerts import Alert, Seen, Silence, Trouble
from sheets_sync.config import AlertSettings, LedgerSettings, Settings, SheetSettings, load
from sheets_sync.desk import LOW_LEVELS, Desk
from sheets_sync.errors import ConfigError, Unavailable
from sheets_sync.ledger import Ledger
from sheets_sync.model import Fact, Kind, Question, Stock
from sheets_sync.service import Service
from sheets_sync.sheet import tabs
from tests.world import World, world  # noqa: F401

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TEN, SIX_HOURS = timedelta(minutes=10), timedelta(hours=6)


def ago(**how: float) -> datetime:
    return NOON - timedelta(**how)


def stand(**how: object) -> list[str]:
    seen = Seen(NOON, titles={"web": "Web shop"}, **how)  # type: ignore[arg-type]
    return [alert.key for alert in alerts.standing(seen, TEN, SIX_HOURS)]


# what is told ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "keys"),
    [
        ({"available": {"A": 5, "B": 6, "C": 0}, "low": {"A": 5, "B": 5, "C": 0, "D": 9}}, ["low:A", "low:C"]),
        ({"available": {"A": -1}, "low": {"A": 5}}, ["oversold:A"]),
        ({"held": [Question("k", "text", "A", "what?")]}, ["held:k"]),
        ({"troubles": [Trouble("web", "503", ago(minutes=9))]}, []),
        ({"troubles": [Trouble("web", "503", ago(minutes=10))]}, [f"channel:web:{ago(minutes=10).isoformat()}"]),
        ({"troubles": [Trouble("sheet", "503", ago(hours=1))]}, [f"sheet:sheet:{ago(hours=1).isoformat()}"]),
        ({"silences": [Silence("web", ago(hours=1), ago(hours=7))]}, ["webhooks:web"]),
        ({"silences": [Silence("web", ago(hours=1), None)]}, ["webhooks:web"]),
        ({"silences": [Silence("web", ago(hours=1), ago(hours=6))]}, []),  # quiet for 5 h when the order came
        ({"silences": [Silence("web", ago(minutes=5), None)]}, []),  # it may still come
    ],
)
def test_what_is_told(seen: dict[str, object], keys: list[str]) -> None:
    assert stand(**seen) == keys


def test_a_message_spells_out_the_first_and_counts_the_rest() -> None:
    many = [Alert(f"low:{n}", alerts.Kind.LOW, f"SKU {n}") for n in range(25)]
    subject, body = alerts.message([Alert("o", alerts.Kind.OVERSOLD, "A: 1 more"), *many])
    assert subject == "sheets-sync: Oversold, Low stock (25)"
    assert body.startswith("Oversold\n- A: 1 more\n\nLow stock\n- SKU 0\n") and "And 6 more" in body


# each once, by every way ----------------------------------------------------------------------------------------


@dataclass
class Way:
    """Takes messages, or is away."""

    got: list[tuple[str, str]] = field(default_factory=list)
    away: bool = False

    def __call__(self, subject: str, body: str, told: Sequence[Alert]) -> None:
        if self.away:
            raise Unavailable("nobody there")
        self.got.append((subject, body))


@dataclass
class Office:
    """A ledger whose clock is turned by hand."""

    desk: Desk
    now: datetime = NOON

    def stock(self, sku: str, on_hand: int, key: str) -> None:
        with self.desk.ledger.begin() as tx:
            tx.append([Fact(key, sku, Kind.STOCK_TAKE, self.now, count=on_hand)])

    def sold(self, sku: str, units: int, key: str) -> None:
        with self.desk.ledger.begin() as tx:
            tx.append([Fact(key, sku, Kind.ORDER, self.now, Stock(0, units), source="web", reference=key)])

    def wants(self, **how: object) -> None:
        settings = AlertSettings.model_validate(how)
        self.desk = replace(self.desk, settings=replace(self.desk.settings, alerts=settings))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made: list[Office] = []
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: made[0].now if made else NOON)
    settings = Settings(tmp_path / "config.toml", SheetSettings(), LedgerSettings())
    made.append(Office(Desk(ledger, {}, settings, clock=lambda: made[0].now)))
    yield made[0]
    ledger.close()


def test_each_is_told_once_per_state_and_again_when_it_comes_back(office: Office) -> None:
    way = Way()
    with office.desk.ledger.begin() as tx:
        tx.put(LOW_LEVELS, {"A": 3})
    office.stock("A", 10, "c1")
    assert alarm.tell(office.desk, {"x": way}) == 0
    office.sold("A", 7, "o1")
    assert [alarm.tell(office.desk, {"x": way}) for _ in range(3)] == [1, 0, 0]
    assert "A: 3 available, and its Low-stock level is 3." in way.got[0][1]
    office.sold("A", 4, "o2")
    assert [alarm.tell(office.desk, {"x": way}) for _ in range(2)] == [1, 0]
    assert way.got[1][0] == "sheets-sync: Oversold"
    office.stock("A", 20, "c2")
    assert alarm.tell(office.desk, {"x": way}) == 0
    office.sold("A", 7, "o3")
    assert alarm.tell(office.desk, {"x": way}) == 1, "it had ended in between"


def test_a_watch_reads_what_has_changed_and_knows_the_same(office: Office) -> None:
    watch = alarm.Watch()

    def available(**low: int) -> dict[str, int]:
        with office.desk.ledger.read() as view:
            found = watch.available(view, low)
            assert found == alarm.Watch().available(view, low)
            return found

    office.stock("A", 5, "c1")
    office.stock("B", 7, "c2")
    assert available() == {} and available(A=1) == {"A": 5}
    office.sold("A", 7, "o1")
    office.sold("B", 1, "o2")
    assert available(A=1) == {"A": -2} and available(A=2, B=1, C=1) == {"A": -2, "B": 6}
    office.sold("C", 1, "o3")
    with office.desk.ledger.read() as view:
        assert view.below_zero() == {"A": -2}, "what was never counted is not oversold"


def test_where_one_way_fails_the_other_is_not_told_twice(office: Office) -> None:
    well, broken = Way(), Way(away=True)
    office.stock("A", 1, "c1")
    office.sold("A", 2, "o1")
    for _ in range(2):
        with pytest.raises(Unavailable, match="broken: nobody there"):
            alarm.tell(office.desk, {"broken": broken, "well": well})
    broken.away = False
    alarm.tell(office.desk, {"broken": broken, "well": well})
    assert (len(well.got), len(broken.got)) == (1, 1)


def test_a_digest_comes_once_a_day_and_not_for_the_day_before_we_began(office: Office) -> None:
    office.wants(digest_hour=6)
    way = Way()
    office.stock("A", 5, "c1")
    assert alarm.tell(office.desk, {"x": way}) == 0
    office.sold("A", 1, "o1")
    office.now += timedelta(hours=17)
    assert alarm.tell(office.desk, {"x": way}) == 0, "five in the morning"
    office.now += timedelta(hours=1)
    assert [alarm.tell(office.desk, {"x": way}) for _ in range(2)] == [1, 0]
    assert way.got[0][0] == "sheets-sync: all is well"
    assert "Orders: web 1. Events in the ledger: 2. Questions in Review: 0." in way.got[0][1]


def test_a_trouble_keeps_its_first_time_until_it_is_over(office: Office) -> None:
    alarm.note_trouble(office.desk, "web", "503")
    office.now += timedelta(minutes=11)
    alarm.note_trouble(office.desk, "web", "504")
    (alert,) = alarm.standing(office.desk)
    assert alert.text == "web has not worked for 11 minutes: 504 It is tried again all the time."
    alarm.note_trouble(office.desk, "web", "")
    assert alarm.standing(office.desk) == []


def test_the_service_notes_its_trouble_tells_it_once_and_goes_on(office: Office) -> None:
    """A loop of its own; a mail server that is away is that loop's trouble and nobody else's."""
    office.wants(email_to=["a@example.com"], smtp_host="127.0.0.1", smtp_port=1, smtp_security="none")
    service = Service(office.desk, lambda: pytest.fail("the sheet's loop does not run here"))
    sheet = service.loops["sheet"]
    service._trouble(sheet, Unavailable("503"))
    office.now += timedelta(minutes=10)
    assert [alert.kind for alert in alarm.standing(office.desk)] == [alerts.Kind.SHEET]
    assert service._once(service.loops["alerts"]) > 0
    assert service.loops["alerts"].trouble.startswith("Alerts could not be sent. email: the mail server 127.0.0.1")
    service._well(sheet)
    assert alarm.standing(office.desk) == [], "and the mail server's absence is not told by mail"
    assert service._once(service.loops["alerts"]) == service.loops["alerts"].every


# over the wire --------------------------------------------------------------------------------------------------


class _Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as a client says."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline().strip():
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.got.append(text.decode())  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 well\r\n")


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening(server: socketserver.TCPServer) -> Iterator[socketserver.TCPServer]:
    server.got, server.status = [], 204  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_webhook_and_an_e_mail_arrive(office: Office) -> None:
    office.stock("A", 1, "c1")
    office.sold("A", 2, "o1")
    with (
        listening(socketserver.TCPServer(("127.0.0.1", 0), _Mail)) as mail,
        listening(HTTPServer(("127.0.0.1", 0), _Hook)) as hook,
    ):
        office.wants(
            webhook_url=SecretStr(f"http://127.0.0.1:{hook.server_address[1]}/key"), email_to=["a@example.com"],
            smtp_host="127.0.0.1", smtp_port=mail.server_address[1], smtp_security="none",
        )  # fmt: skip
        assert alarm.tell(office.desk) == 2
        assert alarm.trial(office.desk) == ["webhook", "email"]
        hook.status = 500  # type: ignore[attr-defined]
        office.sold("B", 1, "o2")
        office.stock("B", 0, "c2")
        with pytest.raises(Unavailable) as refused:
            alarm.tell(office.desk)
        assert str(refused.value) == "Alerts could not be sent. webhook: the webhook answered 500"
        posted, mails = hook.got, mail.got  # type: ignore[attr-defined]
    assert posted[0]["alerts"] == [{"key": "oversold:A", "kind": "oversold", "text": posted[0]["alerts"][0]["text"]}]
    assert posted[0]["text"].startswith("sheets-sync: Oversold\nOversold\n- A: 1 more promised than there are.")
    assert "Subject: sheets-sync: Oversold" in mails[0] and "To: a@example.com" in mails[0]
    assert len(mails) == 3


def test_nobody_there_is_said_without_the_address(office: Office) -> None:
    office.stock("A", -0, "c1")
    office.sold("A", 2, "o1")
    office.wants(
        webhook_url=SecretStr("http://127.0.0.1:1/secret"), email_to=["a@example.com"], smtp_host="127.0.0.1",
        smtp_port=1, smtp_security="none",
    )  # fmt: skip
    with pytest.raises(Unavailable) as refused:
        alarm.tell(office.desk)
    assert "the webhook cannot be reached" in str(refused.value) and "secret" not in str(refused.value)
    assert "the mail server 127.0.0.1 did not take it" in str(refused.value)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('email_to = ["a@example.com"]', "email_to needs a mail server"),
        ('email_to = ["a example.com"]\nsmtp_host = "x"', "must be a list of e-mail addresses"),
        ('email_to = ["a@b"]\nsmtp_host = "x"\nsmtp_user = "u"', "smtp_user needs smtp_password_env"),
        ('email_to = ["a@b"]\nsmtp_host = "x.example"\nsmtp_security = "none"', "in the clear"),
        ('webhook_url = "https://x"', "is a secret and does not belong in this file"),
        ('webhook_url_env = "HOOK"', "webhook_url must begin with https://"),
        ("digest_hour = 24", "digest_hour must be at most 23"),
        ("failing_after = 1", "failing_after must be at least 60 seconds"),
    ],
)
def test_a_config_that_cannot_tell_anybody(tmp_path: Path, lines: str, says: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[sheet]\nbase_url = "http://127.0.0.1:1"\n[alerts]\n{lines}\n')
    with pytest.raises(ConfigError, match=says):
        load(path, {"HOOK": "http://shop.example/hook"})


# in the world ---------------------------------------------------------------------------------------------------


def test_the_low_stock_level_is_read_from_the_sheet(world: World) -> None:  # noqa: F811
    settings = replace(
        world.settings, alerts=AlertSettings.model_validate({"webhook_url": SecretStr("http://localhost")})
    )
    world.desk = replace(world.desk, settings=settings)
    world.begin()
    world.type("MAR1", "5", tabs.LOW_STOCK)
    world.type("1E5", "many", tabs.LOW_STOCK)
    world.sheet_passes()
    assert world.status("1E5") == (
        "? 'many' under Low-stock level is not a whole number, so nothing warns of this SKU: type one, like 5, "
        "or clear that cell; opened with 20"
    )
    assert world.status("MAR1") == "opened with 5"
    assert [alert.key for alert in alarm.standing(world.desk)] == ["low:MAR1"]
    world.type("MAR1", "4", tabs.LOW_STOCK)
    world.type("1E5", "", tabs.LOW_STOCK)
    world.sheet_passes()
    assert (alarm.standing(world.desk), world.status("1E5")) == ([], "opened with 20")
