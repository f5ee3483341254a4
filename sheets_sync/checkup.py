"""`sheets-sync doctor`: the whole set-up tried end to end on the seller's own accounts, without changing stock.

Each line is a pass, or says what to do. The spreadsheet is proven first (`sheet/doctor.py`), since all safety of typed
counts hangs on it; then what surrounds it: tabs, clocks, time zone, quotas, how webhooks reach us, each channel, the
primary marketplace, and the ledger.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import requests

from sheets_sync import onboarding, showing
from sheets_sync.channels import Channel
from sheets_sync.desk import Desk
from sheets_sync.errors import ConfigError, SheetsSyncError
from sheets_sync.sheet import setup
from sheets_sync.sheet.workbook import Workbook

READS_A_MINUTE = 60
"""What Google allows a user; a project has five times that."""

App = Callable[..., Iterable[bytes]]
Serve = Callable[[App, str, int], AbstractContextManager[object]]
"""Listen on a host and port for as long as the context lasts; raises ConfigError where the port is taken."""

REACH_TIMEOUT = (5.0, 10.0)
_OLD = timedelta(seconds=2)  # how coarse and how old a server's Date may be


@dataclass(frozen=True)
class Line:
    """One thing that was tried: whether it is well, and what was seen or is to be done."""

    name: str
    ok: bool
    saw: str


def examine(desk: Desk, workbook: Workbook, serve: Serve) -> Iterator[Line]:
    """Every line, as it is found out. What keeps one from being tried at all becomes a line that says so."""
    yield from _guarded("the spreadsheet", lambda: _sheet(desk, workbook))
    yield from _guarded("webhooks", lambda: _webhooks(desk, serve))
    for name, channel in desk.channels.items():
        yield from _guarded(desk.titles[name], lambda c=channel: _channel(desk, c))  # type: ignore[misc]
    yield from _guarded("the primary marketplace", lambda: _primary(desk))
    yield from _guarded("the ledger", lambda: _ledger(desk))


def _guarded(name: str, lines: Callable[[], Iterable[Line]]) -> Iterator[Line]:
    try:
        yield from lines()
    except SheetsSyncError as error:
        yield Line(name, False, str(error))


# the spreadsheet ------------------------------------------------------------------------------------------------


def _sheet(desk: Desk, workbook: Workbook) -> Iterator[Line]:
    for check in onboarding.prove(desk, workbook).checks:
        yield Line(check.name, check.ok, check.saw)
    wanted = desk.tabs
    survey = workbook.survey(wanted)
    missing = setup.plan(survey, wanted, setup.fresh_ids(survey.layout)).says
    yield Line("tabs", not missing, "all there" if not missing else f"run sheets-sync init: {'; '.join(missing[:4])}")
    known = showing.knows_zone(survey.layout)
    zone = survey.layout.time_zone
    said = f"{zone}, where it is {desk.clock().astimezone(showing.zone_of(survey.layout)):%H:%M} now"
    unknown = f"{zone} is unknown on this machine, so UTC is shown: choose another under File > Settings"
    yield Line("time zone", known, said if known else unknown)
    yield _clock(desk, workbook)
    yield _quota(desk)


def _clock(desk: Desk, workbook: Workbook) -> Line:
    skew = workbook.clock_skew()
    if skew is None:
        return Line("clock", True, "the sheet's server does not tell its time")
    off = abs(skew) > desk.settings.limits.clock_allowance + _OLD
    if off:
        return Line(
            "clock", False, f"differs from the sheet's by {skew.total_seconds():.0f} s: set this machine's clock"
        )
    return Line("clock", True, "agrees with the sheet's within seconds")


def _quota(desk: Desk) -> Line:
    sheet = desk.settings.sheet
    looks = 60 / sheet.look_every.total_seconds()
    if sheet.base_url is not None:
        return Line("quota", True, "a local sheet has none")
    if looks > READS_A_MINUTE / 2:
        do = "raise look_every in [sheet] to 5"
        return Line(
            "quota", False, f"{looks:.0f} looks a minute leave too little of Google's {READS_A_MINUTE} reads: {do}"
        )
    return Line("quota", True, f"{looks:.0f} looks a minute of Google's {READS_A_MINUTE} reads")


# webhooks -------------------------------------------------------------------------------------------------------


def _webhooks(desk: Desk, serve: Serve) -> Iterator[Line]:
    """Whether what is sent to public_url arrives here: a page with a secret name is served for the moment."""
    web, name = desk.settings.web, "webhooks"
    if web.public_url is None:
        yield Line(name, True, "no public_url is given: orders are seen at the next look, not at once")
        return
    word = secrets.token_urlsafe(16)
    with ExitStack() as stack:
        runs = _listens(web.host, web.port)
        if not runs:
            try:
                stack.enter_context(serve(_page(word), web.host, web.port))
            except ConfigError as error:
                yield Line(name, False, str(error))
                return
        said = _answer(f"{web.public_url}/{'healthz' if runs else word}")
    well = said.strip() == ("ok" if runs else word)
    do = f"forward {web.public_url} to {web.host} port {web.port} (docs/webhooks.md)"
    saw = f"{web.public_url} arrives here" if well else f"{web.public_url} does not arrive here ({said[:120]}): {do}"
    yield Line(name, well, saw)


def _page(word: str) -> App:
    def app(environ: dict[str, str], start_response: Callable[..., object]) -> Iterable[bytes]:
        found = environ.get("PATH_INFO") == f"/{word}"
        start_response("200 OK" if found else "404 Not Found", [("Content-Type", "text/plain")])
        return [word.encode() if found else b"not found"]

    return app


def _listens(host: str, port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return port != 0 and probe.connect_ex((host if host not in ("", "0.0.0.0") else "127.0.0.1", port)) == 0


def _answer(url: str) -> str:
    try:
        answer = requests.get(url, timeout=REACH_TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        return f"no answer from {urlsplit(url).netloc}: {type(error).__name__}"
    return answer.text if answer.ok else f"it answers {answer.status_code}"


# channels, primary, ledger --------------------------------------------------------------------------------------


def _channel(desk: Desk, channel: Channel) -> Iterator[Line]:
    title = desk.titles[channel.name]
    try:
        health = channel.check()
    except SheetsSyncError as error:
        yield Line(title, False, str(error))
        return
    skew, problems = health.clock_skew, list(health.problems)
    if skew is not None and abs(skew) > desk.settings.limits.clock_allowance:
        problems.append(f"its clock differs from ours by {skew.total_seconds():.0f} s: set this machine's clock")
    about = "; ".join(f"{name}: {value}" for name, value in health.facts.items())
    well = f"reached {health.account or channel.name}" + (f" ({about})" if about else "")
    yield Line(title, health.ok and not problems, "; ".join(problems) or well)


def _primary(desk: Desk) -> Iterator[Line]:
    with desk.ledger.read() as view:
        primary, started = desk.primary(view), desk.started_at(view)
    if started is not None:
        yield Line(
            "the primary marketplace", True, f"counting has begun; it was {desk.titles.get(primary or '', primary)}"
        )
    elif primary is None:
        do = "write primary = true into one channel's section of config.toml, or tick Primary in the Channels tab"
        yield Line("the primary marketplace", False, f"none is named: {do}")
    else:
        yield Line("the primary marketplace", True, desk.titles[primary])


def _ledger(desk: Desk) -> Iterator[Line]:
    broken = desk.ledger.verify()
    do = "run sheets-sync ledger verify, and restore a backup"
    yield Line("the ledger", not broken, "every balance is proven" if not broken else f"{len(broken)} faults: {do}")
