"""`sheets-sync`: the command line, and the only file that prints.

What a command finds goes to stdout; progress, advice and the log go to stderr. Errors fly from wherever they happen to
one place, `advice`, which turns them into words and an exit code (docs/cli.md has the table).
"""

from __future__ import annotations

import csv
import dataclasses
import getpass
import json
import logging
import os
import re
import shutil
import signal
import sqlite3
import sys
import threading
import time
import traceback
import uuid
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from sheets_sync import __version__
from sheets_sync.errors import BadInput, ConfigError, NextPass, OtherSide, SellerMustAct, SheetsSyncError
from sheets_sync.later import Later
from sheets_sync.model import MAIN, Event, Fact, Listing, Question, Stock, StockKey, StoredDelivery
from sheets_sync.sandbox import VENDORS
from sheets_sync.sandbox.sheet.journal import DataFileError
from sheets_sync.sandbox.sheet.quotas import Quotas

if TYPE_CHECKING:
    from sheets_sync import (
        adjusting,
        adjustments,
        alarm,
        alerts,
        answering,
        assembly,
        checkup,
        config,
        counting,
        demo,
        filetake,
        healing,
        lacking,
        logs,
        mapping,
        onboarding,
        order_book,
        pausing,
        recovery,
        rehearsal,
        review,
        seed_day,
        seeding,
        showing,
        sources,
        statement,
        stocktake,
        takereport,
        views,
    )
    from sheets_sync import desk as desks
    from sheets_sync import guide as guides
    from sheets_sync.channels import Health, registry
    from sheets_sync.config import Settings
    from sheets_sync.desk import Desk
    from sheets_sync.ledger import Ledger, View
    from sheets_sync.sandbox import shops
    from sheets_sync.sandbox.sheet import server as local_sheet
    from sheets_sync.sheet import workbook as workbooks
    from webhook import server as web
else:  # a command loads the parts that it uses, and `--help` none
    for _part in """
        adjusting adjustments alarm alerts answering assembly checkup config counting demo
        filetake healing lacking logs mapping onboarding order_book pausing recovery rehearsal review seed_day seeding
        showing sources statement stocktake takereport views
    """.split():
        globals()[_part] = Later(f"sheets_sync.{_part}")
    desks, guides = Later("sheets_sync.desk"), Later("sheets_sync.guide")
    registry, workbooks = Later("sheets_sync.channels.registry"), Later("sheets_sync.sheet.workbook")
    shops, local_sheet = Later("sheets_sync.sandbox.shops"), Later("sheets_sync.sandbox.sheet.server")
    web = Later("webhook.server")

# printing -------------------------------------------------------------------------------------------------------

PLAIN_WIDTH = 200
"""Letters of a line where nobody's window sets it: in a pipe or a file."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _console(*, stderr: bool = False) -> Console:
    """Nothing that we print is markup: titles and messages come from outside."""
    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


def _say(*lines: str | Panel | Table | Text) -> None:
    for line in lines:
        _console().print(line, soft_wrap=isinstance(line, str))


def _aside(text: str) -> None:
    _console(stderr=True).print(text, soft_wrap=True)


def _table(*headers: str, numbers: Iterable[str] = (), kept: Iterable[str] = ("SKU",)) -> Table:
    """`numbers` are set to the right, `kept` are never broken."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for header in headers:
        right = "right" if header in set(numbers) else "left"
        table.add_column(header, justify=right, no_wrap=header in (*numbers, *kept))  # type: ignore[arg-type]
    return table


def _cell(value: object) -> str:
    """A value as it may be shown on a terminal: text from outside must not steer it."""
    return "" if value is None else _CONTROL.sub(" ", str(value))


@contextmanager
def _progress() -> Iterator[Progress]:
    """Bars on stderr, while it is a terminal."""
    console = _console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield bars


# errors -> advice -----------------------------------------------------------------------------------------------


class Exit(IntEnum):
    """What the command ends with."""

    OK = 0  # done
    BUG = 1  # a bug of ours, or a ledger that contradicts itself
    USAGE = 2  # the command line is not understood
    CONFIG = 3  # config.toml, or a file that it names, has to be put right
    SELLER = 4  # you have to do something: the message says what
    OTHER_SIDE = 5  # Google or a shop refused or is away, or another sheets-sync is at work: try again later
    NOT_PROVEN = 6  # `ledger verify` found something
    INTERRUPTED = 130  # Ctrl-C before it was done


ENDINGS = {
    Exit.OK: "done",
    Exit.BUG: "a bug of ours, or a ledger that contradicts itself",
    Exit.USAGE: "the command line is not understood",
    Exit.CONFIG: "config.toml, or a file that it names, has to be put right",
    Exit.SELLER: "you have to do something; the message says what",
    Exit.OTHER_SIDE: "Google or a shop refused or is away, or another sheets-sync is at work: try again later",
    Exit.NOT_PROVEN: "`ledger verify` found something",
    Exit.INTERRUPTED: "ended by Ctrl-C before it was done",
}

ADVISED = (SheetsSyncError, DataFileError)


def advice(error: BaseException) -> tuple[Exit, str]:
    """The words for an error, and the exit code."""
    match error:
        case ConfigError() if len(error.problems) > 1:
            listed = "\n".join(f"  - {problem}" for problem in error.problems)
            return Exit.CONFIG, f"{len(error.problems)} things to put right:\n{listed}"
        case ConfigError() | DataFileError():
            return Exit.CONFIG, str(error)
        case SellerMustAct():
            return Exit.SELLER, str(error)
        case OtherSide():
            return Exit.OTHER_SIDE, f"{error}\nNothing is lost: try again later."
        case NextPass():
            return Exit.OTHER_SIDE, str(error)
    return Exit.BUG, f"{error}\nThis is a bug of ours, or the ledger was changed by hand. `--verbose` shows where."


class _Advised(typer.core.TyperGroup):
    """Errors become advice here and nowhere else."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None
        except ADVISED as error:
            code, words = advice(error)
            if ctx.params.get("verbose"):
                _aside(traceback.format_exc().rstrip())
            _aside(_CONTROL.sub(" ", f"sheets-sync: {words}"))
            raise typer.Exit(code) from None


# the command line -----------------------------------------------------------------------------------------------

_EPILOG = "Exit codes: " + "; ".join(f"{code.value} {words}" for code, words in ENDINGS.items()) + "."
app = typer.Typer(
    cls=_Advised,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they print values of variables, secrets among them
    help="One master count per SKU, kept in a Google Sheet, offered on every sales channel.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ledger_app = typer.Typer(no_args_is_help=True, help="Show, prove and export the ledger.")
sandbox_app = typer.Typer(no_args_is_help=True, help="A local sheet and local shops, to rehearse with.")
review_app = typer.Typer(help="List the open questions, and answer them.")
deliveries_app = typer.Typer(no_args_is_help=True, help="Show the webhook deliveries that came, and apply them again.")
app.add_typer(deliveries_app, name="deliveries")
app.add_typer(review_app, name="review")
app.add_typer(ledger_app, name="ledger")
app.add_typer(sandbox_app, name="sandbox")


@dataclasses.dataclass(frozen=True)
class Asked:
    """What stands before the command."""

    path: Path
    verbose: bool

    def settings(self, level: int = logging.WARNING) -> Settings:
        """The config, and the log as it asks for."""
        settings = config.load(self.path)
        logs.configure(logging.DEBUG if self.verbose else level, sys.stderr, logs.secrets_in(settings))
        return settings


def _version(wanted: bool) -> None:
    if wanted:
        _say(f"sheets-sync {__version__}")
        raise typer.Exit


@app.callback()
def _before(
    ctx: typer.Context,
    path: Annotated[
        Path,
        typer.Option(
            "--config",
            "-c",
            envvar="SHEETS_SYNC_CONFIG",
            show_envvar=False,
            help="The config file, or set SHEETS_SYNC_CONFIG.",
            metavar="PATH",
        ),
    ] = Path("config.toml"),
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log everything, and where errors come from.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    ctx.obj = Asked(path, verbose)


@contextmanager
def _at_desk(ctx: typer.Context, level: int = logging.WARNING) -> Iterator[Desk]:
    asked: Asked = ctx.obj
    with assembly.desk_of(asked.settings(level)) as desk:
        yield desk


# the beginning --------------------------------------------------------------------------------------------------


@app.command()
def init(
    ctx: typer.Context,
    create: Annotated[
        str, typer.Option(metavar="TITLE", help="Make a new spreadsheet of this title, where config.toml names none.")
    ] = "",
    guide: Annotated[
        bool, typer.Option("--guide", help="Be asked for all that is needed; by itself where there is no config yet.")
    ] = False,
) -> None:
    """Create or repair the tabs of your spreadsheet; what you wrote there stays."""
    asked: Asked = ctx.obj
    guided = guide or (sys.stdin.isatty() and not asked.path.exists())
    if guided:
        logs.configure(logging.DEBUG if asked.verbose else logging.WARNING, sys.stderr)
        guides.write_config(asked.path, _Terminal(), _try_channel)
    settings = asked.settings()
    if create and settings.sheet.spreadsheet_id:
        raise ConfigError(
            [
                f"{settings.path.name} names a spreadsheet already ([sheet] spreadsheet_id); "
                "leave that out to make a new one, or leave out --create"
            ]
        )
    if not settings.sheet.spreadsheet_id:
        _never_two(settings)
        made = workbooks.create(assembly.access(settings), create or "Stock")
        if guided:
            guides.name_spreadsheet(settings.path, made)
            _say(f"Made a spreadsheet, {made}, and named it in {settings.path.name}.")
        else:
            _say(
                "Made a spreadsheet. Write this into the [sheet] section of your config:", f'spreadsheet_id = "{made}"'
            )
        sheet = settings.sheet.model_copy(update={"spreadsheet_id": made})
        settings = dataclasses.replace(settings, sheet=sheet)
    with assembly.desk_of(settings) as desk:
        says = onboarding.set_up(desk, assembly.workbook_of(settings, desk.clock))
    _say(*(says or ["Everything is there already."]), "Next: sheets-sync doctor")


class _Terminal:
    """The person who is guided."""

    def ask(self, text: str, *, default: str = "", hidden: bool = False) -> str:
        """What is typed; a secret is not shown."""
        said: str = typer.prompt(text, default=default, show_default=bool(default), hide_input=hidden)
        return said.strip()

    def say(self, text: str) -> None:
        """A line on the terminal."""
        _say(text)


def _try_channel(settings: Settings, name: str) -> Health:
    channel = registry.build(settings.channels[name])
    try:
        return channel.check()
    finally:
        channel.close()


def _never_two(settings: Settings) -> None:
    with assembly.desk_of(settings) as desk, desk.ledger.read() as view:
        if view.head():
            raise SellerMustAct(
                "This ledger drives a spreadsheet already. Write its id into [sheet] spreadsheet_id; "
                "for another spreadsheet give [ledger] another url."
            )


@app.command()
def doctor(ctx: typer.Context) -> None:
    """Try the whole set-up end to end, and say of each part that it is well, or what to do. No stock changes."""
    with _at_desk(ctx) as desk:
        table, well = _table("", "Checked", "Saw", kept=("",)), True
        with _console(stderr=True).status("Trying the spreadsheet on scratch tabs…") as status:
            for line in checkup.examine(desk, assembly.workbook_of(desk.settings, desk.clock), web.serve):
                table.add_row(_mark(line.ok), _cell(line.name), _cell(line.saw))
                well &= line.ok
                status.update(f"Tried {line.name}…")
        _say(table)
        if well:
            _show_in_sheet(desk)
    if not well:
        raise SellerMustAct(
            "Not everything is well yet. Put right what is marked with ✗ and run `sheets-sync doctor` again."
        )
    _say("All is well. Next: sheets-sync import, or sheets-sync run where you have started already.")


def _mark(ok: bool) -> Text:
    return Text("✓", style="green") if ok else Text("✗", style="bold red")


@app.command("import")
def import_(
    ctx: typer.Context,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show what Start would open and what is odd, as of the last import.")
    ] = False,
    primary: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Start over, before Start, with this channel as the primary marketplace.",
            show_default=False,
        ),
    ] = "",
) -> None:  # fmt: skip
    """Read every channel's listings and show them side by side. No count changes, nothing is pushed."""
    with _at_desk(ctx) as desk:
        if preview:
            _show_in_sheet(desk)
            _say_matrix(desk)
            return
        if desk.settings.sheet.spreadsheet_id:
            _show_in_sheet(desk)  # a primary ticked there counts
        with _progress() as bars:
            counts = onboarding.import_catalogues(desk, _bar_for_each(bars, desk), primary=primary)
        table = _table("Channel", "Listings", "Without a SKU of ours", numbers=("Listings", "Without a SKU of ours"))
        with desk.ledger.read() as view:
            without = {name: sum(item.sku is None for item in view.iter_listings(name)) for name in counts}
            for name, count in counts.items():
                table.add_row(desk.titles[name], str(count), str(without[name]))
            begun = desk.started_at(view) is not None
        _say(table, "No count was changed and nothing was pushed.")
        if any(without.values()):
            _say("Listings without a SKU of ours are not counted: the tab Listings says of each what to do.")
        _say_sources(desk)
        _show_in_sheet(desk)
        if not begun:
            _say_matrix(desk)
    if not begun:
        _say("Look at the figures in the tab Seed day, and type over Open with what is wrong.")
        _say("Are they right? Then: sheets-sync start (or tick Start in the Channels tab).")


def _say_matrix(desk: Desk) -> None:
    """The seed-day matrix in short: how many SKUs would be opened, and what is odd, with examples."""
    with desk.ledger.read() as view:
        if desk.started_at(view) is not None:
            _say("Counting has begun: there is nothing left to preview.")
            return
        rows, asks, primary = seed_day.matrix(desk, view), seed_day.question(desk, view), desk.primary(view)
    if not rows:
        raise SellerMustAct("There is nothing to look at yet: run `sheets-sync import` first.")
    opens = [row.opens for row in rows if row.opens is not None]
    title = desk.titles.get(primary or "", "")
    _say(f"Primary marketplace: {title}. Start would open {len(opens)} of {len(rows)} SKUs, {sum(opens)} units in all.")
    table = _table("Look at", "SKUs", "For example", numbers=("SKUs",), kept=("Look at",))
    for odd, those in seeding.summary(rows).items():
        examples = [f"{row.sku or row.title}: {next(says for kind, says in row.odd if kind is odd)}" for row in those]
        table.add_row(str(odd), str(len(those)), _cell("; ".join(examples[:2])))
    if table.row_count:
        _say(table)
    if asks:
        _say("Asked in the tab Seed day:", asks)


def _say_sources(desk: Desk) -> None:
    """O10: where a shop's orders come from; those of a marketplace that is a channel itself must not count twice."""
    with _console(stderr=True).status("Reading where orders come from…"):
        found_in = onboarding.order_sources(desk)
    with desk.ledger.read() as view:
        copies = {name: sources.copies(view, desk, name) for name in found_in}
    table = _table("Orders of", "Came from", "How many", "", numbers=("How many",))
    for name, found in found_in.items():
        for source, count in found.most_common():
            word = "copies" if source in copies[name] else ""
            table.add_row(desk.titles[name], _cell(source) or "-", str(count), word)
    if table.row_count:
        _say(f"Orders of the last {desk.settings.limits.opening_days} days:", table)
        _say(
            "Sources that may be copies of another channel's orders are asked about in Review (or said in config.toml)."
        )


def _bar_for_each(bars: Progress, desk: Desk) -> onboarding.Progress:
    tasks: dict[str, TaskID] = {}

    def progress(name: str, count: int) -> None:
        if name not in tasks:
            tasks[name] = bars.add_task(f"Listings of {desk.titles[name]}", total=None)
        bars.update(tasks[name], completed=count)

    return progress


def _show_in_sheet(desk: Desk) -> None:
    with _console(stderr=True).status("Showing it in the sheet…"):
        left = assembly.show(desk, assembly.workbook_of(desk.settings, desk.clock))
    if left:
        _aside(f"The sheet does not show it yet: {left}")


@app.command()
def start(ctx: typer.Context) -> None:
    """Write the opening counts from the primary marketplace, and let pushing begin."""
    with _at_desk(ctx) as desk:
        _show_in_sheet(desk)  # what was typed in Seed day counts
        with desk.ledger.read() as view:
            doing = "open what is not open yet" if desk.started_at(view) else "start"
        with _console(stderr=True).status("Reading figures and orders of the primary marketplace…"):
            started = assembly.start(desk)
        if started is None:
            _say(f"`sheets-sync run` is at work: it was asked to {doing}, and does so within seconds.")
            return
        _say(f"{len(started.opened)} SKUs were opened." if started.opened else "Nothing was left to open.")
        if started.moving:
            _say(
                f"{len(started.moving)} were being sold just now, so run start again: {', '.join(started.moving[:20])}"
            )
        if started.below:
            _say(
                f"{len(started.below)} are below 0 on the primary marketplace, which is no count, and were not opened: "
                f"{', '.join(started.below[:20])}. Type their On hand in the sheet."
            )
        if started.opened:
            with desk.ledger.read() as view:
                _say(f"Until the first sale it can be undone: sheets-sync undo {desks.start_batch(desk, view)}")
        _show_in_sheet(desk)
        with desk.ledger.read() as view:
            waiting = len(view.questions())
    if waiting:
        _say(f"{waiting} {'question waits' if waiting == 1 else 'questions wait'} in the tab Review.")
    _say("Next: sheets-sync run")


# every day ------------------------------------------------------------------------------------------------------


@app.command()
def run(ctx: typer.Context) -> None:
    """Keep sheet, ledger and channels in step until Ctrl-C."""
    with _ending_on_signals(), _at_desk(ctx, logging.INFO) as desk:
        with assembly.serving(desk) as serving:
            about = (
                desk.settings.web.public_url or "no public_url, so shops send no webhooks and orders wait for a look"
            )
            with _until_interrupted():
                _say(f"sheets-sync {__version__} runs. Webhooks: {serving.web.url} ({about}). Ctrl-C ends it.")
                serving.service.wait()
    _aside("Ended.")


class _Interrupt:
    """Ctrl-C once: terminals and `timeout` may send it to us twice, and the end that it began must not be cut short."""

    def __init__(self) -> None:
        self.first: float | None = None

    def __call__(self, *_: object) -> None:
        now = time.monotonic()
        if self.first is None or now - self.first > IMPATIENT:
            self.first = self.first or now
            raise KeyboardInterrupt


IMPATIENT = 2.0
"""Seconds after which another Ctrl-C means: now."""


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM alike, also where a shell started us in the background and had SIGINT ignored."""
    handler = _Interrupt()
    before = {one: signal.signal(one, handler) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, earlier in before.items():
            signal.signal(one, earlier)


@contextmanager
def _until_interrupted() -> Iterator[None]:
    """All is up: from here on an interrupt is no failure, but the end."""
    try:
        yield
    except KeyboardInterrupt:
        _aside("Ending: what is under way is finished first…")


@app.command("sync")
def sync_command(
    ctx: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Do what is to be done now, and end. (Always so: `run` goes on.)")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print every event and every call it would make, and make none.")
    ] = False,
) -> None:
    """Do once what run does all the time: the sheet, then each channel, until nothing is left."""
    with _at_desk(ctx) as desk:
        workbook = assembly.workbook_of(desk.settings, desk.clock)
        if dry_run:
            _say_plan(desk, rehearsal.plan(desk, workbook))
            return
        done = assembly.sync_once(desk, workbook)
        for event in done.events:
            _say(f"recorded  {_told(event.fact, event.change)}")
        for sent in done.sent:
            answer = f"{sent.result.outcome} {sent.result.why}".strip() if sent.result else ""
            what = f"{desk.titles[sent.listing.channel]}: {_cell(sent.listing.sku)} to {sent.figure}"
            _say(f"pushed    {what}: {_cell(answer)}")
        if done.problems:
            raise SellerMustAct("The sheet was left alone: " + "; ".join(done.problems))
    _say(
        f"{stocktake.many(len(done.events), 'event')}, {stocktake.many(len(done.sent), 'figure')}."
        + ("" if done.quiet else " There is more: run it again.")
    )


def _say_plan(desk: Desk, plan: rehearsal.Plan) -> None:
    for problem in plan.problems:
        _say(f"the sheet would be left alone: {_cell(problem)}")
    for event in plan.events:
        _say(f"would record  {_told(event.fact, event.change)}; on hand {event.balance.on_hand}")
    for question in plan.questions:
        _say(f"would ask     {_cell(question.sku)}: {_cell(question.text)}")
    for row in plan.writes:
        cells = ", ".join(f"{header} = {_cell(value) or 'nothing'}" for header, value in row.cells.items())
        _say(f"would write   Stock row {row.row}, {_cell(row.sku)}: {cells or 'On hand and its tag'}")
    for sent in plan.sent:
        seen = "" if sent.expected is None else f" (expecting {sent.expected})"
        _say(f"would push    {desk.titles[sent.listing.channel]}: {_cell(sent.listing.sku)} to {sent.figure}{seen}")
    for one in plan.approvals:
        what = f"{desk.titles[one.listing.channel]}: {_cell(one.listing.sku)} to {one.after}"
        _say(f"would push    {what}, only if Review {review.short_id(one.hold)} is approved")
    for calls in plan.calls:
        name = desk.titles.get(calls.name, calls.name)
        _say(f"would call    {name}: {calls.writes} writes, beside the {calls.reads} reads that this took")
        if calls.trouble:
            _say(f"could not read {name} to its end: {_cell(calls.trouble)}")
    many = stocktake.many
    _say(
        f"{many(len(plan.events), 'event')}, {many(len(plan.writes), 'row')}, {many(len(plan.sent), 'figure')}, "
        f"{many(sum(calls.writes for calls in plan.calls), 'call')}; none of it was done."
    )


def _told(fact: Fact, change: Stock) -> str:
    moved = ", ".join(f"{name.replace('_', ' ')} {units:+d}" for name, units in change._asdict().items() if units)
    exact = f"counted {fact.count}" if fact.count is not None else ""
    why = ", ".join(filter(None, (fact.reference, fact.reason, fact.note)))
    what = ", ".join(filter(None, (exact, moved))) or "no change"
    at = f" at {fact.location}" if fact.location != MAIN else ""
    return f"{_cell(fact.sku)}{at}: {views.WORDS[fact.kind]}, {what}" + (f" ({_cell(why)})" if why else "")


# looking --------------------------------------------------------------------------------------------------------


@app.command()
def stock(
    ctx: typer.Context,
    skus: Annotated[
        list[str] | None, typer.Argument(metavar="[SKU]...", help="Only these.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """Show what the ledger holds of each SKU, what each channel shows, and what is asked."""
    with _at_desk(ctx) as desk:
        with desk.ledger.read() as view:
            rows = _stock_rows(view, desk)
        wanted = [row for row in rows if not skus or row["sku"] in skus]
        missing = [sku for sku in skus or () if sku not in {row["sku"] for row in rows}]
        if as_json:
            for row in wanted:
                typer.echo(json.dumps(row, ensure_ascii=False))
        else:
            _say(_stock_table(wanted, list(desk.on_hand_at.values()), list(desk.titles.values())))
    if missing:
        raise SellerMustAct(f"No such SKU: {', '.join(missing)}. A SKU is text, written just so, zeros included.")


def _stock_rows(view: View, desk: Desk) -> list[dict[str, Any]]:
    books, listings, asked = desks.Books(), view.listings(), view.questions()
    books.refresh(view)
    elsewhere = desk.on_hand_at
    cells = views.stock_cells(books.balances, listings, desk.titles, books.last, {q.sku: q for q in asked}, elsewhere)
    texts: dict[str, list[str]] = {}
    for question in asked:
        texts.setdefault(question.sku, []).append(question.text)
    titles: dict[str, str] = {}
    for item in listings:
        titles.setdefault(item.sku or "", item.title)
    titles.pop("", None)
    order = dict.fromkeys([*titles, *(key.sku for key in books.balances)])
    rows = []
    for sku in order:
        balance = books.balances.get(StockKey(sku, MAIN))
        held = balance.stock if balance is not None and balance.counted else None
        at = {"on_hand_at": {n: cells[header].get(sku) for n, header in elsewhere.items()}} if elsewhere else {}
        rows.append(
            {
                "sku": sku,
                "title": titles.get(sku, ""),
                "on_hand": held.on_hand if held else None,
                **at,
                "committed": cells["Committed"].get(sku, 0),
                "damaged": cells["Damaged"].get(sku),
                "available": cells["Available"].get(sku),
                "channels": {name: cells[title][sku] for name, title in desk.titles.items() if sku in cells[title]},
                "status": cells["Status"].get(sku, ""),
                "questions": texts.get(sku, []),
            }
        )
    return rows


def _stock_table(rows: Sequence[dict[str, Any]], elsewhere: Sequence[str], titles: Sequence[str]) -> Table:
    numbers = ("On hand", *elsewhere, "Committed", "Available", *titles)
    table = _table("SKU", "Title", *numbers, "Status", numbers=numbers)
    for row in rows:
        there = row.get("on_hand_at", {}).values()
        figures = (row["on_hand"], *there, row["committed"], row["available"], *row["channels"].values())
        figures += (None,) * (len(numbers) - len(figures))
        table.add_row(_cell(row["sku"]), _cell(row["title"]), *map(_cell, figures), _cell(row["status"]))
    return table


@app.command()
def why(
    ctx: typer.Context,
    sku: Annotated[str, typer.Argument(metavar="SKU", help="The SKU, written just so.")],
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest events to show.")] = 20,
) -> None:
    """Say why a SKU's figures are what they are: the statement, the sum in words, and what led to an oversell."""
    with _at_desk(ctx) as desk, desk.ledger.read() as view:
        events = statement.titled(view.events(sku=sku), desk.titles)
        asked, called = view.questions(sku=sku), desk.settings.locations.by_title
    if not events:
        raise SellerMustAct(f"Nothing is recorded of {sku} yet. A SKU is text, written just so, zeros included.")
    places = dict.fromkeys(event.fact.location for event in events)
    for place in places:
        mine = [event for event in events if event.fact.location == place]
        said = statement.statement(mine)
        _say(
            *([f"At {_cell(called.get(place, place))}:"] if len(places) > 1 else []),
            *map(_cell, said.sentences(_when)),
            "",
        )
        _say(_statement_table(said.rows[-limit:]))
        if len(said.rows) > limit:
            _say(f"{len(said.rows) - limit} older events are not shown: --limit {len(said.rows)} shows all.")
        sold_out = statement.oversell(mine)
        if sold_out is not None:
            _say("", *map(_cell, sold_out.sentences(_when)))
    for question in asked:
        _say("", f"Asked, and not in these figures: {_cell(review.seen(question))}")
    _say(
        "", "The same on hand over `sheets-sync ledger export`, imported into a sheet as text:", statement.formula(sku)
    )


def _when(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _statement_table(rows: Sequence[statement.Row]) -> Table:
    numbers = ("Event", "On hand", "Committed", "Available")
    table = _table(
        "Event", "Happened", "What", *numbers[1:], "Why", "Today", numbers=numbers, kept=("Happened", "What")
    )
    for row in rows:
        event, fact = row.event, row.event.fact
        why_ = ", ".join(filter(None, (fact.source, fact.reference, fact.reason, fact.note)))
        figures = [_figure(getattr(event.balance, name), getattr(event.change, name)) for name in _STATED]
        cells = (event.id, _when(fact.occurred_at), views.WORDS[fact.kind], *figures, why_, row.does)
        table.add_row(*map(_cell, cells))
    return table


_STATED = ("on_hand", "committed", "available")


@app.command()
def listings(
    ctx: typer.Context,
    unmatched: Annotated[
        bool, typer.Option("--unmatched", help="Only listings without a SKU of yours, and SKUs that a channel lacks.")
    ] = False,
) -> None:
    """Show every listing: what it counts as, what it should show and shows. They are set in the Listings tab."""
    with _at_desk(ctx) as desk:
        with desk.ledger.read() as view:
            found, books = view.listings(), desks.Books()
            books.refresh(view)
            skus = (item.sku for item in found if item.sku)
            ours = dict.fromkeys([*view.get(desks.ROWS, ()), *books.available, *skus])
        hints = mapping.Suggestions(found)
        headers = ("Channel", "Their SKU", "Title", "Counts as", "Shows", "State")
        table = _table(*headers, numbers=("Shows",), kept=("Their SKU", "Counts as"))
        for item in found:
            if not (unmatched and item.sku):
                hint, enabled = "" if item.sku else hints.of(item), desk.settings.channels[item.channel].enabled
                says = mapping.state(item, desk.available(books, item), hint, enabled=enabled)
                cells = (desk.titles[item.channel], item.remote_sku, item.title, item.sku, item.shown, says)
                table.add_row(*map(_cell, cells))
        _say(table if table.row_count else "Every listing is matched.")
        if unmatched:
            _say_lacking(desk, list(ours), found)


def _say_lacking(desk: Desk, ours: Sequence[str], found: Sequence[Listing]) -> None:
    """SKUs that a channel has no listing of."""
    table = _table("Channel", "Has no listing of", "Title", "", kept=("Has no listing of",))
    for one in lacking.find(ours, found, desk.titles, most=len(ours)):
        table.add_row(*map(_cell, (desk.titles[one.channel], one.sku, one.title, one.says)))
    if table.row_count:
        _say(table)


@app.command("alerts")
def alerts_command(
    ctx: typer.Context,
    trial: Annotated[bool, typer.Option("--trial", help="Send a trial message to everyone who is told.")] = False,
) -> None:
    """List what needs a person now, as alerts tell it; `run` sends each once."""
    with _at_desk(ctx) as desk:
        if trial:
            ways = alarm.trial(desk)
            _say(f"Sent by {' and '.join(ways)}." if ways else "Nobody is told: fill in [alerts] of config.toml.")
            return
        stand = alarm.standing(desk)
        wanted = desk.settings.alerts.wanted
    table = _table("What", "", kept=("What",))
    for alert in stand:
        table.add_row(alerts.TITLES[alert.kind], _cell(alert.text))
    _say(table if stand else "Nothing needs you.")
    if not wanted:
        _aside("Nobody is told of these: fill in [alerts] of config.toml.")


@review_app.callback(invoke_without_command=True)
def review_(ctx: typer.Context) -> None:
    """List the open questions, with the answers that each can be given; `review answer` gives one."""
    if ctx.invoked_subcommand is not None:
        return
    with _at_desk(ctx) as desk, desk.ledger.read() as view:
        questions = view.questions()
    table = _table("Id", "SKU", "Seen", "Answers", "Suggested", kept=("Id", "SKU"))
    for question in questions:
        says = (question.sku, review.seen(question), review.words(question), review.suggested(question))
        table.add_row(review.short_id(question), *map(_cell, says))
    _say(table if questions else "Nothing is asked.")


@review_app.command("answer")
def review_answer(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="The question, as `review` lists it.")],
    word: Annotated[
        str, typer.Argument(metavar="WORD", help='The answer, in quotes: "put back". Without it, you are asked.')
    ] = "",
    units: Annotated[
        int | None, typer.Option(min=1, help="Of how many units, where not of all.", show_default=False)
    ] = None,
    note: Annotated[str, typer.Option(help="A remark for the event.", show_default=False)] = "",
) -> None:
    """Answer one question; `ok` takes the suggested answer, where there is one."""
    with _at_desk(ctx) as desk:
        word = word or _ask_for_answer(answering.open_question(desk, id))
        _say_recorded(answering.answer(desk, id, word, units=units, note=note, actor=_actor()))


def _ask_for_answer(question: Question) -> str:
    """A person's choice; Return takes the suggested one."""
    _say(_cell(review.seen(question)), *(f"  {answer.word}: {answer.does}" for answer in review.offered(question)))
    answer: str = typer.prompt("Answer", default=review.suggested(question) or None)
    return answer


@app.command()
def undo(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="EVENT", help="An event's number, or a batch's name.")],
    note: Annotated[str, typer.Option(help="A remark for the reversal.", show_default=False)] = "",
) -> None:
    """Strike an event, or a whole batch; what happened since stays."""
    with _at_desk(ctx) as desk:
        _say_recorded(answering.undo(desk, what, note=note, actor=_actor()))


Paused = Annotated[str, typer.Option("--channel", metavar="NAME", help="A channel, as config.toml names it.")]
PausedSku = Annotated[str, typer.Option("--sku", metavar="SKU", help="A SKU; with --channel on that one alone.")]


@app.command()
def pause(
    ctx: typer.Context,
    channel: Paused = "",
    sku: PausedSku = "",
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"],
            help="When it ends, in your time; without it when you resume it.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Raise no figure of a channel, a SKU, or both together for a while; lowering goes on. Lists what is paused."""
    with _at_desk(ctx) as desk:
        if channel or sku or until:
            pausing.pause(desk, pausing.Pause(channel, sku, until.astimezone() if until else None))
        with desk.ledger.read() as view:
            found = pausing.pauses(view, desk.clock())
        _say(*([_cell(one.words(desk.titles)) for one in found] or ["Nothing is paused."]))


@app.command()
def resume(ctx: typer.Context, channel: Paused = "", sku: PausedSku = "") -> None:
    """End a pause: the next pass raises what waited."""
    with _at_desk(ctx) as desk:
        pausing.resume(desk, channel, sku)
    _say("Resumed.")


@app.command("rebuild-sheet")
def rebuild_sheet(ctx: typer.Context) -> None:
    """Make the workbook anew from the ledger: tabs that are gone, every row, the newest events."""
    with _at_desk(ctx) as desk:
        workbook = assembly.workbook_of(desk.settings, desk.clock)
        with assembly.leased(desk.ledger, [assembly.sheet_lease(desk.settings)]) as leases:
            says = healing.rebuild(desk, workbook, leases[assembly.sheet_lease(desk.settings)])
        _say(*says)
        with desk.ledger.read() as view:
            proven = view.get(desks.PROVEN, {}).get(desk.settings.sheet.spreadsheet_id)
        if proven:
            _show_in_sheet(desk)
    _say("Done." if proven else "Next: sheets-sync doctor, as this spreadsheet was never proven; then sheets-sync run.")


@app.command()
def adopt(
    ctx: typer.Context,
    stands: Annotated[
        str, typer.Argument(metavar="WHICH", help="What is right: `workbook`, or `ledger`.", show_default=False)
    ] = "",
) -> None:
    """Take over a spreadsheet that does not fit the ledger (a copy, a backup); says first what differs."""
    with _at_desk(ctx) as desk:
        workbook = assembly.workbook_of(desk.settings, desk.clock)
        _say_differences(recovery.differences(desk, workbook))
        if not stands:
            _say("sheets-sync adopt workbook   what the spreadsheet shows is counted, and the ledger takes it over")
            _say("sheets-sync adopt ledger     the ledger's figures are written; what was typed is asked about")
            return
        with assembly.leased(desk.ledger, [assembly.sheet_lease(desk.settings)]):
            differ = recovery.adopt(desk, workbook, stands)
        _say(f"The {stands} stands. {len(differ)} SKUs differed.")
        _say("Next: sheets-sync doctor, if this spreadsheet was never proven; then sheets-sync run.")


def _say_differences(differ: Sequence[recovery.Difference]) -> None:
    table = _table("SKU", "Ledger", "Spreadsheet", kept=("SKU",))
    for item in differ:
        table.add_row(*(_cell("none" if value is None else value) for value in (item.sku, item.ledger, item.sheet)))
    _say(table if differ else "Ledger and spreadsheet show the same figures.")


@app.command()
def adjust(
    ctx: typer.Context,
    sku: Annotated[str, typer.Argument(metavar="SKU", help="The SKU, written just so.")],
    change: Annotated[int | None, typer.Option(help="Units more, or fewer: --change -2.", show_default=False)] = None,
    set_to: Annotated[
        int | None, typer.Option(min=0, help="Counted: exactly so many are there now.", show_default=False)
    ] = None,
    reason: Annotated[str, typer.Option(help="Why: one of the words of the Reason column.", show_default=False)] = "",
    reference: Annotated[
        str, typer.Option(metavar="ORDER", help="An order's number: it moves that order's units.", show_default=False)
    ] = "",
    note: Annotated[str, typer.Option(help="A remark for the ledger.", show_default=False)] = "",
    plain: Annotated[
        bool, typer.Option("--plain", help="It is no order's, though an order asks about as many units.")
    ] = False,
    location: Annotated[
        str, typer.Option(metavar="LOCATION", help="Where; left out: the main location.", show_default=False)
    ] = "",
    to: Annotated[
        str, typer.Option(metavar="LOCATION", help="Move the units of --change there.", show_default=False)
    ] = "",
) -> None:
    """Change a count by hand, as a row of the Adjustments tab does."""
    if (change is None) == (set_to is None) or change == 0:
        raise typer.BadParameter("give --change or --set-to, one of the two, and not 0 as a change")
    said = (reason.strip().lower(), reference.strip(), note)
    wanted = adjustments.Wish(sku, change, set_to, *said, location=location.strip(), to=to.strip())
    with _at_desk(ctx) as desk:
        events, says = adjusting.adjust(desk, wanted, key=f"adjust:{uuid.uuid4()}", actor=_actor(), plain=plain)
    _say(_cell(says))
    _say_recorded(events)


# stock-takes ----------------------------------------------------------------------------------------------------


class OpenOrders(StrEnum):
    """Where units of open orders were during a count (C3)."""

    IN_THE_COUNT = "in-the-count"
    PACKED_APART = "packed-apart"


@app.command("stock-take")
def stock_take(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv or .xlsx with the columns SKU and Counted.")],
    full: Annotated[bool, typer.Option("--full", help="Everything was counted: list what is not in the file.")] = False,
    zero: Annotated[bool, typer.Option("--zero", help="With --full: what is not in the file becomes 0.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare only, whatever else is said.")] = False,
    post: Annotated[bool, typer.Option("--post", help="Record it, once, as one batch.")] = False,
    open_orders: Annotated[
        OpenOrders | None, typer.Option(help="Where the units of open orders were.", show_default=False)
    ] = None,
    counted_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="For rows without a time, like '2026-03-02 10:41'.", show_default=False),
    ] = None,
    sure: Annotated[bool, typer.Option("--sure", help="Improbable counts are right.")] = False,
    again: Annotated[bool, typer.Option("--again", help="This file was posted before; post it once more.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(metavar="NAME", help="Write NAME.csv and NAME.html; by default beside FILE.", show_default=False),
    ] = None,
    location: Annotated[
        str,
        typer.Option(metavar="LOCATION", help="Where it was counted; left out: the main location.", show_default=False),
    ] = "",
) -> None:
    """Compare a count from a file with the ledger, write a report, and post it with --post."""
    if zero and not full:
        raise typer.BadParameter("--zero says what becomes of SKUs that are not in the file: it goes with --full")
    choice = {None: None, OpenOrders.IN_THE_COUNT: stocktake.IN_COUNT, OpenOrders.PACKED_APART: stocktake.APART}
    asked = filetake.Asked(
        full, zero, choice[open_orders], counted_at, post and not dry_run, sure, again, location.strip()
    )
    with _at_desk(ctx) as desk, _progress() as bars:
        workbook = assembly.workbook_of(desk.settings, desk.clock)
        bar = bars.add_task("rows and SKUs", total=None)
        taken = filetake.take(
            desk,
            file,
            asked,
            showing.zone_of(workbook.layout()),
            lambda: counting.read_barcodes(workbook),
            actor=_actor(),
            step=lambda done: bars.advance(bar, done),
        )
    stem = report or file.with_name(f"{file.stem}-report")
    _write_report(taken.report, stem)
    _say_stock_take(taken, stem)


def _write_report(report: takereport.Report, stem: Path) -> None:
    with _replacing(stem.with_name(f"{stem.name}.csv")) as out:
        csv.writer(out).writerows(takereport.table(report))
    with _replacing(stem.with_name(f"{stem.name}.html")) as out:
        out.write(takereport.page(report))


def _say_stock_take(taken: filetake.Taken, stem: Path) -> None:
    report = taken.report
    differ = sorted((n for n in report.lines if n.difference), key=lambda n: (-abs(n.difference or 0), n.take.sku))
    if differ:
        table = _table("SKU", "Expected", "Counted", "Difference", "", numbers=("Expected", "Counted", "Difference"))
        for line in differ[:_DIFFERENCES]:
            said = stocktake.said(line, report.zone, report.at, posted=report.posted)
            figures = (line.expected, line.take.units, f"{line.difference:+}")
            table.add_row(*map(_cell, (line.take.sku, *figures, said)))
        _say(table)
    for row, why in sorted(report.flags.items())[:_DIFFERENCES]:
        _say(f"row {row}: {_cell(why.removeprefix('? '))}")
    if report.missing:
        _say(f"Not in the file: {stocktake.many(len(report.missing), 'SKU')} with stock.")
    _say(report.totals.words(), *map(_cell, report.notes), f"Report: {stem}.csv and {stem}.html")
    if taken.before:
        _say(f"Posted already, as {taken.before}; nothing was recorded now. To post it once more: --again")
    elif taken.name:
        _say(f"Posted as {taken.name}: {stocktake.many(len(report.lines), 'SKU')}.")
    else:
        _say("Nothing was recorded. To record it: --post")


_DIFFERENCES = 20


# deliveries -----------------------------------------------------------------------------------------------------


class DeliveryState(StrEnum):
    """What became of a delivery."""

    WAITING = "waiting"  # its channel's next pass applies it
    APPLIED = "applied"
    FAILED = "failed"


@deliveries_app.command("list")
def deliveries_list(
    ctx: typer.Context,
    channel: Annotated[str | None, typer.Argument(help="Only this channel's.", show_default=False)] = None,
    state: Annotated[DeliveryState | None, typer.Option(help="Only those in this state.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
) -> None:
    """List the newest webhook deliveries, newest first."""
    with _at_desk(ctx) as desk, desk.ledger.read() as view:
        found = view.deliveries(channel, state=state.value if state else None, limit=limit, newest_first=True)
    table = _table("Channel", "Id", "Received", "Topic", "State", "Bytes", numbers=("Bytes",), kept=("Id", "Received"))
    for one in found:
        received = f"{one.received_at.astimezone():%Y-%m-%d %H:%M:%S}"
        state_ = f"{one.state}: {one.note}" if one.note else one.state
        table.add_row(*map(_cell, (one.channel, one.id, received, one.topic, state_, len(one.body))))
    _say(table if found else "No deliveries.")


Channel_ = Annotated[str, typer.Argument(metavar="CHANNEL", help="Its name in config.toml.")]


@deliveries_app.command("show")
def deliveries_show(
    ctx: typer.Context,
    channel: Channel_,
    id: Annotated[str, typer.Argument(metavar="ID", help="The delivery, as `deliveries list` shows it.")],
) -> None:
    """Show one delivery as it came: headers, then body."""
    with _at_desk(ctx) as desk:
        one = _delivery(desk, channel, id)
    for name, value in sorted(one.headers.items()):
        _say(f"{_cell(name)}: {_cell(value)}")
    _say("", *(_cell(line) for line in _body(one.body).splitlines()))


def _body(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode("utf-8", "replace")


@deliveries_app.command("replay")
def deliveries_replay(
    ctx: typer.Context,
    channel: Channel_,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="The deliveries, as `deliveries list` shows them.")],
) -> None:
    """Apply deliveries once more. One that says nothing new changes nothing."""
    with _at_desk(ctx) as desk:
        for one in [_delivery(desk, channel, id) for id in ids]:
            events = order_book.apply_delivery(desk, desk.channels[channel], one, fetch=True)
            _say(f"{_cell(one.id)}: {len(events)} events")
            if events:
                _say_recorded(events)


def _delivery(desk: Desk, channel: str, id: str) -> StoredDelivery:
    if channel not in desk.channels:
        raise BadInput(f"There is no channel {channel!r}; config.toml has {', '.join(desk.channels)}.")
    with desk.ledger.read() as view:
        one = view.delivery(channel, id)
    if one is None:
        raise BadInput(f"{channel} has no delivery {id!r}; `sheets-sync deliveries list` shows those that are kept.")
    return one


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name is known for this user
        return "cli"


def _say_recorded(events: Sequence[Event]) -> None:
    for event in events:
        _say(f"recorded  {_told(event.fact, event.change)}; on hand {event.balance.on_hand}")
    if not events:
        _say("Done. No event was needed.")


@ledger_app.command("show")
def ledger_show(
    ctx: typer.Context,
    sku: Annotated[str | None, typer.Argument(help="Only this SKU.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many events.")] = 20,
) -> None:
    """Show the newest events, newest first, like a bank statement."""
    with _at_desk(ctx) as desk, desk.ledger.read() as view:
        events = view.events(sku=sku, limit=limit, newest_first=True)
    numbers = ("Event", "On hand", "Committed", "Damaged")
    table = _table(
        "Event",
        "When",
        "SKU",
        "What",
        *numbers[1:],
        "Why",
        "Source",
        "Batch",
        numbers=numbers,
        kept=("SKU", "When", "What"),
    )
    for event in events:
        fact, change, balance = event.fact, event.change, event.balance
        why = ", ".join(filter(None, (fact.reason, fact.note, fact.reference)))
        table.add_row(
            str(event.id),
            f"{fact.occurred_at.astimezone():%Y-%m-%d %H:%M:%S}",
            _cell(fact.sku),
            views.WORDS[fact.kind],
            *(_figure(getattr(balance, name), getattr(change, name)) for name in Stock._fields),
            _cell(why),
            _cell(fact.source),
            _cell(fact.batch),
        )
    _say(table if events else "No events yet." if sku is None else f"No events of {sku} yet.")


def _figure(now: int, change: int) -> str:
    return f"{now} ({change:+d})" if change else str(now)


@ledger_app.command("verify")
def ledger_verify(ctx: typer.Context) -> None:
    """Prove every balance from the events alone."""
    with _at_desk(ctx) as desk:
        with _console(stderr=True).status("Proving…"):
            problems = desk.ledger.verify()
        with desk.ledger.read() as view:
            events, balances = view.last_event_id(), len(view.balances())
    for problem in problems:
        _say(_cell(problem))
    if problems:
        _aside(f"sheets-sync: {len(problems)} problems. The ledger was changed by hand or damaged: restore a backup.")
        raise typer.Exit(Exit.NOT_PROVEN)
    _say(f"{balances} balances are proven by {events} events.")


EXPORTED = (
    "event", "sku", "location", "number", "what", "on_hand_change", "committed_change", "damaged_change", "on_hand",
    "committed", "damaged", "available", "occurred_at", "recorded_at", "counted", "reason", "note", "source", "actor",
    "reference", "batch", "key", "strikes", "corrects",
)  # fmt: skip
"""The columns of the exported ledger. Times are UTC; `key` is what makes an event one, `strikes` what it undoes."""


@ledger_app.command("export")
def ledger_export(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE.csv]", help="Where to; to stdout without it.", show_default=False)
    ] = None,
) -> None:
    """Write all events as CSV (UTF-8), oldest first; SKUs stand as they are."""
    with _at_desk(ctx) as desk:
        if file is None:
            sys.stdout.reconfigure(encoding="utf-8") if hasattr(sys.stdout, "reconfigure") else None
            _export(desk.ledger, sys.stdout)
            return
        with _replacing(file) as out:
            count = _export(desk.ledger, out)
    _aside(f"{count} events in {file}")


def _export(ledger: Ledger, out: IO[str]) -> int:
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(EXPORTED)
    count = 0
    with ledger.read() as view:
        for event in view.iter_events():
            rows.writerow(_exported(event))
            count += 1
    return count


def _exported(event: Event) -> tuple[object, ...]:
    fact = event.fact
    return (
        event.id, fact.sku, fact.location, event.seq, fact.kind.value, *event.change, *event.balance,
        event.balance.available, _iso(fact.occurred_at), _iso(event.recorded_at), fact.count, fact.reason, fact.note,
        fact.source, fact.actor, fact.reference, fact.batch, fact.key, fact.strikes, event.corrects,
    )  # fmt: skip


def _iso(at: datetime) -> str:
    return at.isoformat()


@contextmanager
def _replacing(file: Path) -> Iterator[IO[str]]:
    """A file that is whole or not there: an export that breaks off leaves the one before."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8", newline="") as out:
            yield out
        fresh.replace(file)
    except OSError as error:
        raise SellerMustAct(f"{file} cannot be written: {error.strerror}. Give another path.") from error
    finally:
        fresh.unlink(missing_ok=True)


# rehearsing -----------------------------------------------------------------------------------------------------

R = TypeVar("R")
Vendor = StrEnum("Vendor", {name: name for name in VENDORS})  # type: ignore[misc]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="The file that keeps it; without one all is gone at the end.", show_default=False
    ),
]


@sandbox_app.command("sheet")
def sandbox_sheet(
    port: Port = 8790,
    data: Data = None,
    quota: Annotated[
        int | None, typer.Option(metavar="N", help="Refuse more than N reads and N writes a minute, as Google does.")
    ] = None,
) -> None:
    """A local sheet that speaks the Google Sheets API, with a page to see and edit it, until Ctrl-C."""
    limits = None if quota is None else Quotas(reads_per_user=quota, writes_per_user=quota)
    with _ending_on_signals(), _had(port, lambda: local_sheet.serve(data, port=port, quotas=limits)) as running:
        with _until_interrupted():
            _say(f"The local sheet: {running.base_url}", f'In config.toml: [sheet] base_url = "{running.base_url}"')
            _wait()


@sandbox_app.command("shop")
def sandbox_shop(
    name: Annotated[Vendor, typer.Argument(help="Whose shop.")],
    port: Port = 8791,
    data: Data = None,
    seed: Annotated[bool, typer.Option("--seed", help="Fill it with the demo's catalogue, if it is empty.")] = False,
) -> None:
    """A local shop that speaks its vendor's API, with a storefront to buy and cancel on, until Ctrl-C."""
    catalogue = demo.catalogue(name.value) if seed else None
    with _ending_on_signals(), _had(port, lambda: shops.serve(name.value, data, port, seed=catalogue)) as running:
        keys = {"base_url": running.base_url, **running.credentials}
        with _until_interrupted():
            _say(f"The storefront: {running.storefront}", "The keys of this local shop, for config.toml:")
            _say(*(f"  {key} = {value}" for key, value in keys.items()))
            _wait()


def _had(port: int, serve: Callable[[], R]) -> R:
    """A server, or words about its port or its file."""
    try:
        return serve()
    except OSError as error:
        if error.filename:
            raise ConfigError([f"{error.filename} cannot be used: {error.strerror}. Give another --data"]) from error
        raise ConfigError([f"port {port} cannot be had: {error}. Give another --port, or 0 for a free one"]) from error
    except sqlite3.Error as error:
        raise ConfigError([f"--data names no file of a local shop of this version: {error}"]) from error


def _wait() -> None:
    while True:
        threading.Event().wait(3600)


@app.command("demo")
def demo_command(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Where it keeps its files; it goes on from there.")] = Path(
        "demo-data"
    ),
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the sheet in your browser, if there is one.")
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON once all is up, and open no browser.")
    ] = False,
    amazon: Annotated[bool, typer.Option("--amazon", help="With a local Amazon as the third shop.")] = False,
) -> None:
    """A local sheet, two local shops and the service, on this machine alone, until Ctrl-C."""
    demo.claim(data, amazon=amazon)
    with _ending_on_signals(), (data / demo.LOG).open("a", encoding="utf-8") as log:
        logs.configure(logging.INFO, log)
        with _console(stderr=True).status("Starting a sheet, the shops and the service…") as status:
            with demo.running(data, status.update) as parts:
                status.stop()
                with _until_interrupted():
                    typer.echo(json.dumps(parts.described())) if as_json else _say(_welcome(parts))
                    if browser and not as_json:
                        _open(parts.page)
                    parts.serving.service.wait()
        _aside("Ended. The next demo goes on from here.")


def _welcome(parts: demo.Parts) -> Panel:
    lines = Text()
    addresses = parts.addresses()
    width = 2 + max(len(what) for what, _ in addresses)
    for what, where in addresses:
        lines.append(what.ljust(width), style="bold")
        lines.append(f"{where}\n", style="cyan")
    lines.append("\nThings to try\n", style="bold")
    for number, text in enumerate(parts.to_try(_command()), start=1):
        lines.append(f" {number}. {text}\n")
    lines.append(f"\nThe log is {parts.log}. Ctrl-C ends everything; `make demo` goes on from there.", style="dim")
    return Panel(
        lines, title="sheets-sync demo", border_style="green", padding=(1, 2), width=min(_console().width, 100)
    )


def _command() -> str:
    """How to call us once more: by name where the terminal knows it, else by the path that was used."""
    known = shutil.which("sheets-sync")
    return "sheets-sync" if known and Path(known).samefile(sys.argv[0]) else sys.argv[0]


def _open(page: str) -> None:
    """A browser with a window; one that runs in the terminal would only hide what we say."""
    windows = sys.platform in ("darwin", "win32") or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))
    if windows or os.environ.get("BROWSER"):
        try:
            webbrowser.open(page)
        except webbrowser.Error:
            _aside("No browser could be opened: open the address of the sheet yourself.")


def main() -> None:
    """The `sheets-sync` command."""
    app(prog_name="sheets-sync")


if __name__ == "__main__":
    main()
