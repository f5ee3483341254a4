"""The rehearsal: a local sheet, three local shops and the service in one process, all kept in one folder.

`claim` makes the folder ours or refuses it, `running` starts everything on it. The product runs here as it runs
anywhere: it is given a config.toml and finds its sheet and its shops at the addresses in there. Started again, also
after it was killed, it goes on where it was.
"""

from __future__ import annotations

import csv
import json
import os
import secrets
import shlex
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sheets_sync import assembly, config, onboarding
from sheets_sync.assembly import Serving
from sheets_sync.channels.amazon.hooks import KEY_HEADER
from sheets_sync.desk import PROVEN, Desk
from sheets_sync.errors import ConfigError, SheetNotReady
from sheets_sync.sandbox import shops
from sheets_sync.sandbox.sheet import server as local_sheet
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sandbox.shops.amazon import Unknowns
from sheets_sync.sandbox.shops.amazon.notices import AWS_ACCOUNT, REGION
from sheets_sync.sheet import tabs

try:
    import fcntl
except ImportError:  # Windows has none; there two demos at one moment may meet
    fcntl = None  # type: ignore[assignment]

LOG = "demo.log"
MARKER = "demo.json"
FORMAT = 3
SPREADSHEET = "demo-stock"
TITLE = "Stock of a small shop"
HOLDER = "demo"  # the sheet's file is locked, so one process has the folder, and need not wait for its own old leases
AMAZON = "amazon"
TITLES = {"shopify": "Shopify", "woocommerce": "WooCommerce", AMAZON: "Amazon"}
PORTS = {"sheet": 8790, "shopify": 8791, "woocommerce": 8792, AMAZON: 8794, "web": 8793}
"""What is taken where it is free, so that bookmarks go on working; after the first start, the ports of the last one."""

OPENLY = frozenset({"shop", "seller_id", "marketplaces", "sqs_queue", "aws_region"})
"""What of a shop's credentials is no secret."""

Said = Callable[[str], object]


# what people are told -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """A running demo."""

    folder: Path
    sheet: local_sheet.Running
    shops: Mapping[str, shops.Running]
    serving: Serving

    @property
    def page(self) -> str:
        """Where a person sees the sheet."""
        return self.sheet.page_url(SPREADSHEET)

    @property
    def log(self) -> Path:
        """What the service does, as JSON lines."""
        return self.folder / LOG

    def described(self) -> dict[str, Any]:
        """What a program needs to play seller and buyer. `webhook` is our web server; shops post to /webhooks/NAME."""
        return {
            "sheet": {"base_url": self.sheet.base_url, "spreadsheet_id": SPREADSHEET, "page": self.page},
            "shops": {
                name: {
                    "base_url": shop.base_url,
                    "storefront": shop.storefront,
                    "credentials": dict(shop.credentials),
                }
                for name, shop in self.shops.items()
            },
            "shop_columns": [TITLES[name] for name in self.shops],
            "webhook": self.serving.web.url,
        }

    def addresses(self) -> list[tuple[str, str]]:
        """What to open in a browser."""
        stores = [(f"{TITLES[name]} storefront", shop.storefront) for name, shop in self.shops.items()]
        return [("The sheet", self.page), *stores, ("The service", f"{self.serving.web.url}/")]

    def to_try(self, command: str) -> tuple[str, ...]:
        """What shows in a minute what this is for. `command` is how we are called from a terminal."""
        first = catalogue(next(iter(self.shops)))[0]
        amazon = AMAZON in self.shops
        later = (
            " (Amazon gets a higher one some minutes later: its list of orders, which must be read first, may be read "
            "every three minutes.)"
        )
        late = "On Amazon, cancel an order as the seller: Amazon gives nothing back, and the Review tab asks you."
        return (
            f"In the sheet, type another number over On hand of {first.sku} ({first.title}). "
            f"Within seconds the Ledger tab has the event, and the shops the figure.{later if amazon else ''}",
            "Buy something in one shop. Committed rises in the sheet, and the other shops offer less. "
            "Then ship or cancel it on that shop's Orders page.",
            *([late] if amazon else []),
            "In another terminal: "
            + shlex.join([command, "--config", str(self.folder / "config.toml"), "ledger", "show", first.sku]),
        )


def catalogue(vendor: str) -> list[Seed]:
    """What a shop of this vendor sells in the demo; one that has no part in it sells what the first shop does."""
    vendor = vendor if vendor in TITLES else next(iter(TITLES))
    text = files("sheets_sync").joinpath("demo_catalogue.csv").read_text(encoding="utf-8")
    return [
        Seed(row["sku"], row["title"], int(row[vendor]), row["price"], row["variant_of"])
        for row in csv.DictReader(text.splitlines())
        if row[vendor]
    ]


# the folder -----------------------------------------------------------------------------------------------------


def claim(folder: Path, *, amazon: bool = False) -> None:
    """Make the folder, with or without a local Amazon, or see that it is such a demo's of this version.

    Raises ConfigError otherwise; nothing is changed.
    """
    marker = folder / MARKER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if marker.exists():
            about = json.loads(marker.read_text(encoding="utf-8"))
            known = about.get("format")
            if known == FORMAT and amazon and not about.get(AMAZON):
                raise ConfigError([f"The demo in {folder} was begun without Amazon. {_AWAY}"])
            if known != FORMAT:
                raise ConfigError(
                    [f"{folder} was made by another version of the demo (format {known}, ours is {FORMAT}). {_AWAY}"]
                )
            return
        if any(folder.iterdir()):
            raise ConfigError([f"{folder} is not empty and was not made by the demo. Give another one: --data DIR"])
        _write(marker, json.dumps({"format": FORMAT, AMAZON: amazon, "ports": PORTS}))
    except (json.JSONDecodeError, AttributeError):
        raise ConfigError([f"{marker} cannot be read. {_AWAY}"]) from None
    except OSError as error:
        raise ConfigError([f"{folder} cannot be used: {error.strerror}. Give another folder: --data DIR"]) from error


_AWAY = "Move the folder away, or give another one: --data DIR"


def _write(file: Path, text: str) -> None:
    """For the owner's eyes alone, and never half."""
    fresh = file.with_name(file.name + ".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    fresh.replace(file)


def _kept(file: Path) -> str:
    """A secret, made once."""
    if not file.exists():
        _write(file, secrets.token_urlsafe(24))
    return file.read_text(encoding="utf-8")


def _ports(marker: Path, claims: ExitStack) -> dict[str, int]:
    """A free port for each part: the one of last time, the usual one, or any. They are ours until `claims` ends."""
    about = json.loads(marker.read_text(encoding="utf-8"))
    last = about.get("ports", {})
    with ExitStack() as stack:
        chosen = {part: _free(stack, claims, (last.get(part, usual), usual, 0)) for part, usual in PORTS.items()}
    _write(marker, json.dumps({**about, "ports": chosen}))
    return chosen


def _free(stack: ExitStack, claims: ExitStack, wanted: tuple[int, ...]) -> int:
    """The first of these that can be had, held until the stack ends, so that no other part is given it."""
    for port in wanted:
        if port and not _claimed(claims, port):
            continue
        probe = stack.enter_context(socket.socket())
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do; else a past one is in the way
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        found: int = probe.getsockname()[1]
        return found
    raise ConfigError(["no free port on 127.0.0.1"])


def _claimed(claims: ExitStack, port: int) -> bool:
    """Whether no other demo has this port in mind: two that start in one moment would both find it free."""
    if fcntl is None:
        return True
    try:
        claim = claims.enter_context((Path(tempfile.gettempdir()) / f"sheets-sync-demo-{port}.lock").open("a"))
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # taken, or another user's
        return False
    return True


def _settings(
    folder: Path, ports: Mapping[str, int], sheet: str, running: Mapping[str, shops.Running]
) -> config.Settings:
    """config.toml with the addresses of this start, its secrets beside it, read as anyone's config is read."""
    keys = folder / "secrets"
    for name in running.keys() - {"shopify"}:
        _kept(keys / f"{name}-webhook_secret")
    for name, shop in running.items():
        for key in sorted(shop.credentials.keys() - OPENLY):
            _write(keys / f"{name}-{key}", shop.credentials[key])
    shopify, woocommerce = running["shopify"], running["woocommerce"]
    text = _CONFIG.format(
        sheet=sheet, web=ports["web"], shop=shopify.credentials["shop"], shopify=shopify.base_url,
        woocommerce=woocommerce.base_url, spreadsheet=SPREADSHEET, titles=TITLES,
    )  # fmt: skip
    if amazon := running.get(AMAZON):
        text += _AMAZON.format(
            amazon=amazon.base_url, seller=amazon.credentials["seller_id"], aws=AWS_ACCOUNT, region=REGION,
            marketplace=amazon.credentials["marketplaces"], queue=amazon.credentials["sqs_queue"], titles=TITLES,
        )  # fmt: skip
    _write(folder / "config.toml", text)
    return config.load(folder / "config.toml")


_CONFIG = """\
# Written anew by each `sheets-sync demo`. It works for every other command too:
#   sheets-sync --config THIS_FILE stock

[sheet]
spreadsheet_id = "{spreadsheet}"
base_url = "{sheet}"
look_every = 2
hint_token_file = "secrets/hint-token"

[ledger]
url = "sqlite:///ledger.db"

[web]
port = {web}
public_url = "http://127.0.0.1:{web}"

[channels.shopify]
kind = "shopify"
title = "{titles[shopify]}"
primary = true
shop = "{shop}"
base_url = "{shopify}"
client_id_file = "secrets/shopify-client_id"
client_secret_file = "secrets/shopify-client_secret"
look_every = 5

[channels.woocommerce]
kind = "woocommerce"
title = "{titles[woocommerce]}"
base_url = "{woocommerce}"
consumer_key_file = "secrets/woocommerce-consumer_key"
consumer_secret_file = "secrets/woocommerce-consumer_secret"
webhook_secret_file = "secrets/woocommerce-webhook_secret"
look_every = 5
"""

_AMAZON = """
[channels.amazon]
kind = "amazon"
title = "{titles[amazon]}"
base_url = "{amazon}"
seller_id = "{seller}"
marketplaces = ["{marketplace}"]
client_id_file = "secrets/amazon-client_id"
client_secret_file = "secrets/amazon-client_secret"
refresh_token_file = "secrets/amazon-refresh_token"
aws_account_id = "{aws}"
aws_region = "{region}"
sqs_queue = "{queue}"
webhook_secret_file = "secrets/amazon-webhook_secret"
look_every = 5
"""


# running --------------------------------------------------------------------------------------------------------


@contextmanager
def running(folder: Path, said: Said = lambda _: None) -> Iterator[Parts]:
    """Everything, on a folder that `claim` took, until the `with` ends. `said` is told what is being done.

    Raises ConfigError where a file in the folder can't be used, DataFileError where another demo is at work there.
    """
    folder = folder.absolute()
    (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as stack:
        ports = _ports(folder / MARKER, stack)
        token = _kept(folder / "secrets" / "hint-token")
        notify = f"http://127.0.0.1:{ports['web']}/sheet/edited"
        sheet = stack.enter_context(
            local_sheet.serve(folder / "sheet.jsonl", port=ports["sheet"], notify_url=notify, notify_secret=token)
        )
        if SPREADSHEET not in {book.spreadsheet_id for book in sheet.store.books()}:
            sheet.store.create(TITLE, SPREADSHEET, tabs=(tabs.STOCK,), properties={"timeZone": _time_zone()})
        about = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        names = [name for name in TITLES if name != AMAZON or about.get(AMAZON)]
        stores = {name: stack.enter_context(_shop(folder, name, ports[name])) for name in names}
        if amazon := stores.get(AMAZON):
            amazon.shop.unknowns = Unknowns(each_type_to_one_service=True)
        settings = _settings(folder, ports, sheet.base_url, stores)
        desk = stack.enter_context(assembly.desk_of(settings))
        _begin(desk, said)
        said("Starting the service…")
        if amazon:
            _hand_on_in_aws(amazon, settings)
        serving = stack.enter_context(assembly.serving(desk, holder=HOLDER))
        yield Parts(folder, sheet, stores, serving)


def _hand_on_in_aws(amazon: shops.Running, settings: config.Settings) -> None:
    """What a seller sets up in AWS by hand: what Amazon tells is posted to us, with a key of the seller's own."""
    key = settings.channels["amazon"].signed_with
    if key is not None:
        for hand_on in (amazon.shop.notices.forward, amazon.shop.notices.pipe):
            hand_on(f"{settings.web.public_url}/webhooks/amazon", key.get_secret_value(), KEY_HEADER)


def _shop(folder: Path, name: str, port: int) -> shops.Running:
    file = folder / f"{name}.db"
    try:
        return shops.serve(name, file, port, seed=catalogue(name))
    except sqlite3.Error as error:
        raise ConfigError([f"{file} is no file of a local shop of this version ({error}). {_AWAY}"]) from error


def _begin(desk: Desk, said: Said) -> None:
    """What a seller does once: init, doctor, import, start. What was done already is not done again."""
    workbook = assembly.workbook_of(desk.settings, desk.clock)
    said("Setting up the sheet…")
    onboarding.set_up(desk, workbook)
    with desk.ledger.read() as view:
        proven, started = view.get(PROVEN, {}).get(SPREADSHEET), desk.started_at(view)
    if not proven:
        said("Proving the sheet…")
        failed = [check for check in onboarding.prove(desk, workbook).checks if not check.ok]
        if failed:
            raise SheetNotReady(f"The local sheet does not behave: {failed[0].name}: {failed[0].saw}")
    if started is None:
        said("Importing the catalogues…")
        onboarding.import_catalogues(desk)
        said("Writing the opening counts…")
        assembly.start(desk, holder=HOLDER)
        assembly.sync_once(desk, workbook, holder=HOLDER)


def _time_zone() -> str:
    """This machine's, as Google gives a spreadsheet its owner's; GMT where it cannot be told."""
    place = os.environ.get("TZ", "") or os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2]
    try:
        return ZoneInfo(place).key if "/" in place else "Etc/GMT"
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "Etc/GMT"
