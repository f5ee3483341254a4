"""`load(path)`: config.toml -> frozen settings, or every problem in it at once, each with the way out.

The models below are the whole schema: a key is known because a model has it, and what a key means stands beside it.
A secret never stands in the file. A field marked OUTSIDE, `hint_token` say, is given as `hint_token_env` (the name
of an environment variable) or `hint_token_file` (a file that holds nothing else), and no message or repr shows it.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo

from sheets_sync.errors import ConfigError
from sheets_sync.model import MAIN

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
NOT_CHANNELS = frozenset({"sheet", "cli", "ledger"})
"""Sources of events that are no channels; a channel of that name could not be told from them."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_SHEET_PAGE = re.compile(r"https://docs\.google\.com/spreadsheets/(?:u/\d+/)?d/([A-Za-z0-9_-]+)")
_PASSWORD_IN_URL = re.compile(r"//[^/@]*:[^/@]*@|[?&]password=", re.IGNORECASE)


# kinds of values ------------------------------------------------------------------------------------------------


class Outside:
    """Marks a secret: given by `<key>_env` or `<key>_file`, never in the file itself."""


OUTSIDE = Outside()


def _seconds(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number of seconds, without quotes")
    if not abs(value) < 1e9:  # also not a number at all: TOML has nan and inf
        raise ValueError("must be a number of seconds that a person can wait for")
    return timedelta(seconds=value)


def _at_least(least: float) -> BeforeValidator:
    def check(value: timedelta) -> timedelta:
        if value < timedelta(seconds=least):
            raise ValueError(f"must be at least {least:g} seconds")
        return value

    return BeforeValidator(check)


def _path(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str) or not value:
        raise ValueError("must be the path of a file, in quotes")
    path = Path(info.context["base"], Path(value).expanduser()) if info.context else Path(value)
    if not path.is_file():
        raise ValueError(f"names {path}, and there is no such file; relative paths start beside the config file")
    return path


def _address(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be text in quotes")
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError("is no web address; write it like https://example.com") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("is no web address; write it like https://example.com")
    if "@" in parts.netloc:
        raise ValueError("must not carry a user or a password; give those by the keys made for them")
    return value.rstrip("/")


def _secure_address(value: object) -> object:
    address = _address(value)
    parts = urlsplit(str(address))
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("must begin with https://: over http anyone on the way reads along")
    return address


def _spreadsheet(value: object) -> object:
    """The id alone, also where the page's whole address was pasted."""
    found = _SHEET_PAGE.match(value) if isinstance(value, str) else None
    return found[1] if found else value


def _words_list(value: object) -> object:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) and one for one in value):
        raise ValueError('must be a list of texts, like ["one", "another"]')
    return tuple(value)


def _places_map(value: object) -> object:
    """The channel's own numbers of places, also where its whole names of them were pasted, as locations of ours."""
    if not isinstance(value, dict) or not all(isinstance(name, str) and name for name in value.values()):
        raise ValueError('must name a location of yours for each of the shop\'s, like { "61234567890" = "main" }')
    named = {str(place).rsplit("/", 1)[-1]: name for place, name in value.items()}
    if not all(place.isascii() and place.isdigit() for place in named):
        raise ValueError("must name the shop's locations by their numbers, as the shop's address bar shows them")
    return named


Seconds = Annotated[timedelta, BeforeValidator(_seconds)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_words_list)]
ExistingFile = Annotated[Path, BeforeValidator(_path)]
Address = Annotated[str, BeforeValidator(_address)]
SecureAddress = Annotated[str, BeforeValidator(_secure_address)]
Secret = Annotated[SecretStr | None, OUTSIDE]


# the sections ---------------------------------------------------------------------------------------------------


class Section(BaseModel):
    """One table of config.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_strip_whitespace=True)

    def ways_out(self) -> Iterable[str]:
        """Problems that no single key shows, each with the way out."""
        return ()


class SheetSettings(Section):
    """`[sheet]`: which spreadsheet, and how it is reached."""

    spreadsheet_id: Annotated[str, BeforeValidator(_spreadsheet), Field(pattern=r"^[A-Za-z0-9_-]*$")] = Field(
        default="", description="the long id in the spreadsheet's address; empty until `sheets-sync init` has made one"
    )
    base_url: SecureAddress | None = Field(default=None, description="a local sheet's address; left out for Google")
    credentials_file: ExistingFile | None = Field(default=None, description="the key file downloaded from Google")
    credentials_kind: Literal["service_account", "oauth_user"] = Field(
        default="service_account", description="what kind of key file it is"
    )
    look_every: Annotated[timedelta, _at_least(1), BeforeValidator(_seconds)] = Field(
        default=timedelta(seconds=5), description="seconds between two looks at the sheet"
    )
    hint_token: Secret = Field(default=None, description="what the sheet's add-on says to be heard at /sheet/edited")

    def ways_out(self) -> Iterable[str]:
        """A key for Google, where it is Google."""
        if self.base_url is None and self.credentials_file is None:
            yield (
                "credentials_file is missing: Google wants a key. Make a service account, download its JSON key and "
                'name it here, like credentials_file = "service-account.json" (docs/google.md); '
                "for a local sheet give base_url instead"
            )


class LedgerSettings(Section):
    """`[ledger]`: the database."""

    url: Annotated[SecretStr, OUTSIDE] = Field(
        default=SecretStr("sqlite:///sheets-sync.db"),
        description="sqlite:///FILE beside the config, or postgresql://USER@HOST/DATABASE",
    )
    keep_deliveries: int = Field(default=10_000, ge=100, description="webhook deliveries kept, the newest ones")

    def ways_out(self) -> Iterable[str]:
        """One of the two databases."""
        if not self.url.get_secret_value().startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            yield (
                "url is no database we know: write sqlite:///sheets-sync.db for a file beside the config, or "
                "postgresql://USER@HOST/DATABASE"
            )


class WebSettings(Section):
    """`[web]`: where webhooks come in."""

    host: str = Field(
        default="127.0.0.1", min_length=1, description="the address listened on; 127.0.0.1 behind a proxy"
    )
    port: int = Field(default=8080, ge=0, le=65535, description="the port; 0 takes a free one")
    public_url: SecureAddress | None = Field(
        default=None, description="how shops reach us from outside; without it no webhooks are asked for"
    )
    max_body: int = Field(default=5_000_000, ge=10_000, description="bytes; a longer delivery is refused")


class LimitSettings(Section):
    """`[limits]`: how much at once, how far back, and what is taken without asking."""

    clock_allowance: Annotated[timedelta, _at_least(0), BeforeValidator(_seconds)] = Field(
        default=timedelta(seconds=60), description="seconds; the most a channel's clock may differ from ours"
    )
    opening_days: int = Field(default=60, ge=1, le=365, description="days of orders that the opening reads (B2)")
    ask_after_days: int = Field(
        default=14, ge=1, le=365, description="days after which units that were never shipped are asked about (O3)"
    )
    events_in_sheet: int = Field(default=2_000, ge=10, le=50_000, description="rows kept in the Ledger tab, the newest")
    hold_edits: int = Field(
        default=100, ge=0, description="counts changed at once from which on they are asked about; 0: never (H1)"
    )
    hold_zeros: int = Field(
        default=20, ge=0, description="counts set to zero, or cleared, at once from which on they are asked about"
    )
    hold_jump: int = Field(
        default=500, ge=0, description="units from which on a count that rises tenfold is asked about; 0: never"
    )
    batch_bytes: int = Field(default=1_500_000, ge=50_000, le=2_000_000, description="bytes of one write to the sheet")
    batch_requests: int = Field(default=2_000, ge=100, description="requests in one write to the sheet")
    image_gap: int = Field(default=50, ge=0, description="rows that an image may copy in vain to save a request")

    @property
    def ask_after(self) -> timedelta:
        """How long promised units may wait before they are asked about."""
        return timedelta(days=self.ask_after_days)


class LocationSettings(Section):
    """`[locations]`: where units lie, where that is more than one place (docs/locations.md)."""

    names: Texts = Field(
        default=(MAIN,), description=f'the places, in short words, the main one first, like ["{MAIN}", "b"]'
    )
    titles: Texts = Field(default=(), description="what the sheet calls them, in the same order; left out: their names")

    @property
    def by_title(self) -> Mapping[str, str]:
        """What each is called, by its name, in order."""
        return dict(zip(self.names, self.titles or self.names, strict=True))

    @property
    def several(self) -> bool:
        """Whether the sheet and the command line speak of locations at all."""
        return len(self.names) > 1

    def ways_out(self) -> Iterable[str]:
        """Names that can be told apart, the main one first."""
        if not self.names or self.names[0] != MAIN:
            yield f'names must begin with "{MAIN}", the location that On hand in Stock is about; give it a title'
        wrong = [name for name in self.names if not _NAME.fullmatch(name)]
        if wrong:
            yield f"names has {wrong[0]!r}: a location's name is short, of small letters, digits, - and _"
        if self.titles and len(self.titles) != len(self.names):
            yield f"titles must be as many as names, {len(self.names)}, in the same order; or leave it out"
        for key, words in (("names", self.names), ("titles", self.titles)):
            if len({word.casefold() for word in words}) < len(words):
                yield f"{key} says one thing twice: two locations of one name cannot be told apart"


class AlertSettings(Section):
    """`[alerts]`: who is told at once of what needs a person, and how."""

    webhook_url: Secret = Field(default=None, description="an address that takes a POST of JSON, as chat programs give")
    email_to: Texts = Field(default=(), description="who gets an e-mail")
    email_from: str = Field(default="", description="its sender; without one the first of email_to")
    smtp_host: str = Field(default="", description="the mail server")
    smtp_port: int = Field(default=587, ge=1, le=65535, description="its port")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="how the way there is encrypted; none only on this machine"
    )
    smtp_user: str = Field(default="", description="who signs in there, where one has to")
    smtp_password: Secret = Field(default=None, description="and with what")
    digest_hour: int | None = Field(
        default=None, ge=0, le=23, description="the hour, in UTC, of a daily digest; left out for none"
    )
    failing_after: Annotated[timedelta, _at_least(60), BeforeValidator(_seconds)] = Field(
        default=timedelta(minutes=10), description="seconds that a channel or the sheet may fail before it is told"
    )
    silent_after: Annotated[timedelta, _at_least(600), BeforeValidator(_seconds)] = Field(
        default=timedelta(hours=6), description="seconds without a webhook, while orders come, before it is told"
    )

    @property
    def wanted(self) -> bool:
        """Whether anybody is to be told."""
        return self.webhook_url is not None or bool(self.email_to)

    @property
    def sender(self) -> str:
        """Whom an e-mail comes from."""
        return self.email_from or self.email_to[0]

    def ways_out(self) -> Iterable[str]:
        """A mail server for e-mail, and an encrypted way for a password."""
        if self.email_to and not self.smtp_host:
            yield "email_to needs a mail server: give smtp_host, or leave email_to out"
        if any("@" not in one or one.count("@") > 1 or any(c.isspace() for c in one) for one in self.email_to):
            yield 'email_to must be a list of e-mail addresses, like ["stock@example.com"]'
        if self.smtp_user and self.smtp_password is None:
            yield "smtp_user needs smtp_password_env (or smtp_password_file)"
        if self.smtp_security == "none" and self.smtp_host not in ("", *LOOPBACK):
            yield 'smtp_security = "none" sends mail and password in the clear: write "starttls" or "tls"'
        url = self.webhook_url.get_secret_value() if self.webhook_url else ""
        if url and not url.startswith("https://") and urlsplit(url).hostname not in LOOPBACK:
            yield "webhook_url must begin with https://: over http anyone on the way reads along"


class ChannelSettings(Section):
    """`[channels.NAME]`: what every channel has. A kind adds how it is reached."""

    needs: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Sets of secrets; one of the sets must be complete."""

    name: str = Field(description="NAME itself; part of the webhooks' address", exclude=True)
    kind: str = Field(description="which vendor")
    title: str = Field(min_length=1, max_length=60, description="the header of its column in the Stock tab")
    primary: bool = Field(default=False, description="its inventory seeds the master counts at the first import")
    enabled: bool = Field(default=True, description="false: its orders are read, and nothing is pushed")
    hold_back: int = Field(default=0, ge=0, description="units never offered there")
    hooks: bool = Field(default=True, description="ask the shop for webhooks, where [web] public_url is given")
    look_every: Annotated[timedelta, _at_least(5), BeforeValidator(_seconds)] = Field(
        default=timedelta(seconds=60), description="seconds between two looks at its orders and figures"
    )
    read_back: Annotated[timedelta, _at_least(30), BeforeValidator(_seconds)] | None = Field(
        default=None,
        description="seconds after which a figure is read again though nothing changed; as its kind needs it",
    )
    ships: Literal["when_marked", "at_once"] = Field(
        default="when_marked",
        description="when a sale counts as shipped: once marked so there, or as soon as it is paid (O6)",
    )
    returns: Literal["trust", "ask"] = Field(
        default="trust",
        description="units that came back and the channel says it restocked: believed, or asked in Review (O5)",
    )
    cancellations: Literal["ask", "back_to_stock", "gone", "damaged"] = Field(
        default="ask",
        description="units that the seller or the marketplace cancelled late: asked, or decided here (O2)",
    )
    copies_of: Texts = Field(
        default=(), description="sources whose orders another channel here has too: read, not counted (O10)"
    )
    own_sources: Texts = Field(default=(), description="sources whose orders are counted, and not asked about (O10)")
    locations: Texts = Field(
        default=(), description="which of [locations] it draws from, in this order; left out: all, in theirs (K5)"
    )
    webhook_secret: Secret = Field(default=None, description="what the shop signs its webhooks with")
    old_webhook_secret: Secret = Field(default=None, description="the one before, still taken while it is changed")

    @property
    def places(self) -> Mapping[str, str]:
        """Its own places, by their ids, as locations of ours; of a channel that keeps one figure none."""
        return {}

    @property
    def signed_with(self) -> SecretStr | None:
        """The secret that its webhooks are signed with."""
        return self.webhook_secret

    def ways_out(self) -> Iterable[str]:
        """Something to sign in with."""
        given = [one for one in self.needs if all(getattr(self, secret) is not None for secret in one)]
        if self.needs and not given:
            ways = " or ".join(" and ".join(f"{secret}_env (or {secret}_file)" for secret in one) for one in self.needs)
            yield f"nothing to sign in with: give {ways}"


class ShopifySettings(ChannelSettings):
    """A shop on Shopify: its address, and a token or the app's id and secret (docs/channels/shopify.md)."""

    needs = (("access_token",), ("client_id", "client_secret"))

    kind: Literal["shopify"] = Field(default="shopify", description="which vendor")
    shop: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*\.myshopify\.com$", description="the shop's own address, like x.myshopify.com"
    )
    base_url: SecureAddress | None = Field(
        default=None, description="a local shop's address; left out for Shopify's own"
    )
    location: str = Field(
        default="", pattern=r"^\d*$", description="the number of the one location to set, where it has several"
    )
    location_of: Annotated[dict[str, str], BeforeValidator(_places_map)] = Field(
        default_factory=dict, description="where it keeps a figure at each of several: its locations' numbers as yours"
    )
    access_token: Secret = Field(default=None, description="an access token that never ends")
    refresh_token: Secret = Field(
        default=None,
        description="where the app's tokens end after an hour: what gives the next, with its id and secret",
    )
    client_id: Secret = Field(default=None, description="the app's client id")
    client_secret: Secret = Field(default=None, description="the app's client secret; also signs its webhooks")

    def ways_out(self) -> Iterable[str]:
        """Something to sign in with, whole."""
        yield from super().ways_out()
        if self.refresh_token is not None and (self.client_id is None or self.client_secret is None):
            yield (
                "refresh_token is of use only together with the app's client_id and client_secret: give these too, or "
                "leave refresh_token out where access_token never ends"
            )
        if self.location and self.location_of:
            yield "location sets one location alone, location_of several: leave one of the two out"
        if len(set(self.location_of.values())) < len(self.location_of):
            yield "location_of names one of your locations twice: each figure lies in one place of the shop's"

    @property
    def places(self) -> Mapping[str, str]:
        """The shop's locations that are ours too."""
        return self.location_of

    @property
    def address(self) -> str:
        """Where its API is."""
        return self.base_url or f"https://{self.shop}"

    @property
    def signed_with(self) -> SecretStr | None:
        """The app's secret, unless another one is given."""
        return self.webhook_secret or self.client_secret


class WooCommerceSettings(ChannelSettings):
    """A WooCommerce shop: its address, and a REST key with read and write (docs/channels/woocommerce.md)."""

    needs = (("consumer_key", "consumer_secret"),)

    kind: Literal["woocommerce"] = Field(default="woocommerce", description="which vendor")
    base_url: Address = Field(description="the shop's address, like https://shop.example.com")
    consumer_key: Secret = Field(default=None, description="the REST key, ck_...")
    consumer_secret: Secret = Field(default=None, description="its secret, cs_...")
    keys_in_query: bool = Field(
        default=False, description="over https: send the key in the address, for hosts that strip the header"
    )

    @property
    def address(self) -> str:
        """Where its API is."""
        return self.base_url


class HttpJsonSettings(ChannelSettings):
    """A shop with an API of its own that speaks our protocol (docs/channels/http_json.md)."""

    needs = (("secret",),)

    kind: Literal["http_json"] = Field(default="http_json", description="which vendor")
    base_url: SecureAddress = Field(description="where the shop answers the protocol, like https://shop.example/sync")
    secret: Secret = Field(
        default=None, description="the secret shared with the shop, long and random; signs our calls"
    )

    @property
    def address(self) -> str:
        """Where its API is."""
        return self.base_url

    @property
    def signed_with(self) -> SecretStr | None:
        """The shared secret, unless its deliveries have one of their own."""
        return self.webhook_secret or self.secret


class AmazonSettings(ChannelSettings):
    """A seller's account on Amazon in one region: its marketplaces, and an app's keys (docs/channels/amazon.md)."""

    needs = (("client_id", "client_secret", "refresh_token"),)

    kind: Literal["amazon"] = Field(default="amazon", description="which vendor")
    seller_id: str = Field(pattern=r"^[A-Z0-9]{5,30}$", description="the seller's own id, like A1B2C3D4E5F6G7")
    region: Literal["na", "eu", "fe"] = Field(
        default="eu", description="na: Americas; eu: Europe, Middle East, India; fe: Japan, Australia, Singapore"
    )
    marketplaces: Texts = Field(
        min_length=1, description='Amazon\'s ids of the countries sold in, like ["A1PA6795UKMFR9"] for Germany'
    )
    base_url: SecureAddress | None = Field(
        default=None, description="a local shop's address; left out for Amazon's own"
    )
    client_id: Secret = Field(default=None, description="the app's LWA client id, amzn1.application-oa2-client...")
    client_secret: Secret = Field(default=None, description="the app's LWA client secret")
    refresh_token: Secret = Field(default=None, description="what the app was authorised with, Atzr|...")
    aws_account_id: str = Field(
        default="", pattern=r"^(\d{12})?$", description="the AWS account whose EventBridge hands notifications on to us"
    )
    aws_region: str = Field(
        default="", pattern=r"^([a-z0-9-]+)?$", description="the AWS region of that, or of the queue, like eu-west-1"
    )
    sqs_queue: Address | None = Field(
        default=None, description="the address of an SQS queue that is read instead, https://sqs...."
    )
    aws_access_key_id: Secret = Field(
        default=None, description="for the queue: the key of a user who may read it; left out where a pipe reads it"
    )
    aws_secret_access_key: Secret = Field(default=None, description="and that key's secret")

    def ways_out(self) -> Iterable[str]:
        """Something to sign in with, and one whole way for notifications."""
        yield from super().ways_out()
        if self.sqs_queue is None and bool(self.aws_account_id) != bool(self.aws_region):
            yield "aws_account_id and aws_region go together: give both, or leave both out"
        if self.sqs_queue is not None and not self.aws_region:
            yield "sqs_queue needs aws_region: give the region in its address, like eu-west-1"
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            yield (
                "aws_access_key_id and aws_secret_access_key go together: give both (as _env or _file), or leave both "
                "out where a pipe hands the queue's messages on"
            )
        if len(set(self.marketplaces)) != len(self.marketplaces):
            yield "marketplaces names one twice: leave it once"

    @property
    def address(self) -> str | None:
        """Where its API is, where that is not Amazon's own."""
        return self.base_url


KINDS: Mapping[str, type[ChannelSettings]] = MappingProxyType(
    {
        "amazon": AmazonSettings,
        "http_json": HttpJsonSettings,
        "shopify": ShopifySettings,
        "woocommerce": WooCommerceSettings,
    }
)
"""What each kind of channel must be told; `sheets_sync.channels.registry` builds the same kinds."""


@dataclass(frozen=True)
class Settings:
    """All of config.toml. `path` is the file; relative paths in it start in its folder."""

    path: Path
    sheet: SheetSettings
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    web: WebSettings = field(default_factory=WebSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    channels: Mapping[str, ChannelSettings] = field(default_factory=dict)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    locations: LocationSettings = field(default_factory=LocationSettings)

    def draws_from(self, channel: str) -> tuple[str, ...]:
        """The locations that a channel's orders are filled from, in order (K5)."""
        about = self.channels.get(channel)
        return (about.locations if about else ()) or self.locations.names

    @property
    def primary(self) -> ChannelSettings | None:
        """The primary marketplace, where one is named."""
        return next((c for c in self.channels.values() if c.primary), None)


# reading --------------------------------------------------------------------------------------------------------

SECTIONS = {
    "sheet": SheetSettings,
    "ledger": LedgerSettings,
    "web": WebSettings,
    "limits": LimitSettings,
    "alerts": AlertSettings,
    "locations": LocationSettings,
}
S = TypeVar("S", bound=Section)


def load(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check `path`. Secrets come from `environ` (the process's own by default) and from files.

    Raises ConfigError with every problem of the file, each naming its key and the way out.
    """
    reader = _Reader(path, os.environ if environ is None else environ)
    raw = reader.parse()
    sheet = reader.section(SheetSettings, "sheet", raw.pop("sheet", {}))
    ledger = reader.section(LedgerSettings, "ledger", raw.pop("ledger", {}))
    web = reader.section(WebSettings, "web", raw.pop("web", {}))
    limits = reader.section(LimitSettings, "limits", raw.pop("limits", {}))
    alerts = reader.section(AlertSettings, "alerts", raw.pop("alerts", {}))
    locations = reader.section(LocationSettings, "locations", raw.pop("locations", {}))
    channels = reader.channels(raw.pop("channels", {}))
    if locations is not None:
        reader.can_be_found(channels, locations.names)
    if web is not None and web.public_url is not None:
        reader.can_be_verified(channels)
    for unknown in raw:
        reader.say(f"[{unknown}] is unknown{_did_you_mean(unknown, (*SECTIONS, 'channels'), '[{}]')}")
    if reader.problems or None in (sheet, ledger, web, limits, alerts, locations):
        raise ConfigError(reader.problems)
    assert sheet and ledger and web and limits and alerts and locations
    by_name = MappingProxyType(channels)
    return Settings(reader.path, sheet, reader.beside(ledger), web, limits, by_name, alerts, locations)


class _Reader:
    """Collects problems while it reads; nothing is raised before all of them are known."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self.path = path.expanduser().absolute()
        self.environ = environ
        self.problems: list[str] = []

    def say(self, problem: str) -> None:
        self.problems.append(f"{self.path.name}: {problem}")

    def parse(self) -> dict[str, Any]:
        try:
            text = self.path.read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            raise ConfigError(
                [
                    f"there is no {self.path}: `sheets-sync init --guide` asks for all that is needed and writes it; "
                    "or copy config.example.toml there and fill it in"
                ]
            ) from None
        except OSError as error:
            raise ConfigError([f"{self.path} cannot be read: {error.strerror}"]) from None
        except UnicodeDecodeError:
            raise ConfigError([f"{self.path} is not UTF-8 text: save it as UTF-8"]) from None
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError([f"{self.path.name} is not TOML: {error}. Text stands in quotes, true is true"]) from None

    def section(self, model: type[S], where: str, raw: object) -> S | None:
        if not isinstance(raw, dict):
            self.say(f"[{where}] must be a section of its own, with its keys on the lines below it")
            return None
        before = len(self.problems)
        values = self._with_secrets(model, where, dict(raw))
        try:
            made = model.model_validate(values, context={"base": self.path.parent})
        except ValidationError as error:
            for one in error.errors(include_url=False):
                self._say_in_words(model, where, one)
            return None
        for way_out in made.ways_out() if len(self.problems) == before else ():
            self.say(f"[{where}] {way_out}")
        return made

    def channels(self, raw: object) -> dict[str, ChannelSettings]:
        if not isinstance(raw, dict):
            self.say("[channels] must hold one section a channel, like [channels.shop]")
            return {}
        made = {name: self._channel(name, table) for name, table in raw.items()}
        found = {name: channel for name, channel in made.items() if channel is not None}
        self._one_of_each(found)
        return found

    def _channel(self, name: str, raw: object) -> ChannelSettings | None:
        where = f"channels.{name}"
        if not _NAME.fullmatch(name) or name in NOT_CHANNELS:
            self.say(
                f"[{where}] cannot be called so: a channel's name is short, of small letters, digits, - and _, "
                f"and none of {', '.join(sorted(NOT_CHANNELS))}"
            )
            return None
        if not isinstance(raw, dict):
            self.say(f"[{where}] must be a section of its own, with its keys on the lines below it")
            return None
        kind = raw.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            known = " or ".join(f'"{one}"' for one in sorted(KINDS))
            said = "is missing" if kind is None else f"is {kind!r}, which we cannot talk to"
            self.say(f"[{where}] kind {said}: write kind = {known}")
            return None
        return self.section(KINDS[kind], where, {"title": name.capitalize(), **raw, "name": name})

    def _one_of_each(self, channels: Mapping[str, ChannelSettings]) -> None:
        primaries = [name for name, channel in channels.items() if channel.primary]
        if len(primaries) > 1:
            self.say(f"{' and '.join(primaries)} are all primary = true: only one can seed the counts; leave one so")
        titles: dict[str, str] = {}
        for name, channel in channels.items():
            other = titles.setdefault(channel.title.casefold(), name)
            if other != name:
                self.say(
                    f"[channels.{name}] title {channel.title!r} is {other}'s already: two columns of one name cannot "
                    "be told apart; give it another"
                )

    def can_be_found(self, channels: Mapping[str, ChannelSettings], locations: Sequence[str]) -> None:
        """A channel draws from locations that there are, from each once, and from those that it keeps figures of."""
        for name, channel in channels.items():
            draws = channel.locations or tuple(locations)
            for key, named in (("locations", draws), ("location_of", channel.places.values())):
                for unknown in [one for one in named if one not in locations]:
                    known = ", ".join(locations)
                    self.say(f"[channels.{name}] {key} names {unknown!r}, and [locations] has only: {known}")
            if len(set(draws)) < len(draws):
                self.say(f"[channels.{name}] locations names one twice: leave it once, where it comes first")
            for one in [one for one in channel.places.values() if one in locations and one not in draws]:
                self.say(
                    f"[channels.{name}] location_of names {one!r}, which its locations leave out: add it there, or "
                    "leave it out here"
                )

    def can_be_verified(self, channels: Mapping[str, ChannelSettings]) -> None:
        """Webhooks are only asked for where their signature can be checked."""
        for name, channel in channels.items():
            if channel.hooks and channel.signed_with is None:
                self.say(
                    f"[channels.{name}] webhook_secret is missing, so its webhooks could not be checked: make one up, "
                    "long and random, and give webhook_secret_env (or webhook_secret_file); or set hooks = false"
                )

    def beside(self, ledger: LedgerSettings) -> LedgerSettings:
        """A relative SQLite file lies beside the config, wherever the command was started."""
        url = ledger.url.get_secret_value()
        if not url.startswith("sqlite:///"):
            return ledger
        file = self.path.parent / Path(url.removeprefix("sqlite:///")).expanduser()
        return ledger.model_copy(update={"url": SecretStr(f"sqlite:///{file}")})

    # secrets

    def _with_secrets(self, model: type[Section], where: str, raw: dict[str, Any]) -> dict[str, Any]:
        for name in secrets_of(model):
            given = [f"{name}{how}" for how in ("_env", "_file") if f"{name}{how}" in raw]
            if name in raw and not self._may_stand_there(name, raw[name]):
                del raw[name]
                self.say(
                    f"[{where}] {name} is a secret and does not belong in this file: put it into an environment "
                    f'variable and write {name}_env = "ITS_NAME", or into a file and write {name}_file = "its path"'
                )
            if len(given) + (name in raw) > 1:
                self.say(f"[{where}] {name} is given more than once ({', '.join(given)}): leave one of them")
            for key in given:
                value = self._from_outside(where, key, raw.pop(key))
                if value is not None:
                    raw[name] = value
            if isinstance(raw.get(name), str):
                raw[name] = SecretStr(raw[name])
        return raw

    @staticmethod
    def _may_stand_there(name: str, value: object) -> bool:
        """Only a database address, and only one without a password."""
        return name == "url" and isinstance(value, str) and not _PASSWORD_IN_URL.search(value)

    def _from_outside(self, where: str, key: str, value: object) -> str | None:
        if not isinstance(value, str) or not value:
            self.say(f"[{where}] {key} must be text in quotes")
            return None
        return self._variable(where, key, value) if key.endswith("_env") else self._file(where, key, value)

    def _variable(self, where: str, key: str, name: str) -> str | None:
        if not _VARIABLE.fullmatch(name):  # may be the secret itself, so it is not repeated
            self.say(f"[{where}] {key} must be the name of an environment variable, in capitals, not the secret itself")
            return None
        value = self.environ.get(name, "").strip()
        if not value:
            self.say(f"[{where}] {key} names {name}, which is not set: export {name}=... before you start")
            return None
        return value

    def _file(self, where: str, key: str, name: str) -> str | None:
        path = Path(self.path.parent, Path(name).expanduser())
        try:
            value = path.read_text("utf-8-sig").strip()
        except (OSError, UnicodeDecodeError):
            self.say(f"[{where}] {key} must be the path of a readable text file that holds only the secret")
            return None
        if not value:
            self.say(f"[{where}] {key} names {path}, which is empty: write the secret into it")
            return None
        return value

    # words

    def _say_in_words(self, model: type[Section], where: str, error: Mapping[str, Any]) -> None:
        key = str(error["loc"][0]) if error["loc"] else ""
        if error["type"] == "extra_forbidden":
            self.say(f"[{where}] {key} is unknown{_did_you_mean(key, keys_of(model))}")
            return
        meaning = model.model_fields[key].description if key in model.model_fields else None
        self.say(f"[{where}] {key} {_words(error)}" + (f" ({meaning})" if meaning else ""))


def secrets_of(model: type[Section]) -> list[str]:
    """The fields of a section that are given as `<name>_env` or `<name>_file`."""
    return [name for name, about in model.model_fields.items() if OUTSIDE in about.metadata]


def keys_of(model: type[Section]) -> list[str]:
    """Every key that a person may write in a section."""
    secrets = secrets_of(model)
    plain = [name for name, about in model.model_fields.items() if about.exclude is not True and name not in secrets]
    literal = [name for name in secrets if model is LedgerSettings]
    return plain + literal + [f"{name}{how}" for name in secrets for how in ("_env", "_file")]


def _did_you_mean(word: str, known: Iterable[str], form: str = "{}") -> str:
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f": did you mean {form.format(close[0])}?"
    return f". Known here: {', '.join(form.format(one) for one in known)}"


def _words(error: Mapping[str, Any]) -> str:
    about: Mapping[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "is missing"
        case "string_type":
            return "must be text in quotes"
        case "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must be no longer than {about['max_length']} letters"
        case "string_pattern_mismatch":
            return "does not look right"
        case "int_type" | "int_from_float":
            return "must be a whole number, without quotes"
        case "bool_type":
            return "must be true or false, without quotes"
        case "literal_error":
            return f"must be {about['expected']}".replace("'", '"')
        case "greater_than_equal":
            return f"must be at least {about['ge']}"
        case "less_than_equal":
            return f"must be at most {about['le']}"
        case "value_error":
            return str(about["error"])
    return str(error["msg"])
