"""config.toml: everything right is read, everything wrong is said at once, and no secret is ever shown."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheets_sync import config
from sheets_sync.channels.registry import BUILDERS, build_all
from sheets_sync.config import KINDS, AmazonSettings, ShopifySettings, WooCommerceSettings, load
from sheets_sync.errors import ConfigError

EXAMPLE = Path(__file__).resolve().parents[1] / "config.example.toml"
ENVIRON = {
    "AMAZON_CLIENT_ID": "hidden6",
    "AMAZON_CLIENT_SECRET": "hidden7",
    "AMAZON_REFRESH_TOKEN": "hidden8",
    "AMAZON_WEBHOOK_KEY": "hidden9",
    "WEB_CONSUMER_KEY": "ck_hidden1",
    "WEB_CONSUMER_SECRET": "cs_hidden2",
    "WEB_WEBHOOK_SECRET": "hidden3",
    "OUTLET_CLIENT_ID": "hidden4",
    "OUTLET_CLIENT_SECRET": "hidden5",
    "OURS_SECRET": "hidden10",
}
EXAMPLES = {
    "channels.web": KINDS["woocommerce"],
    "channels.outlet": KINDS["shopify"],
    "channels.ours": KINDS["http_json"],
    "channels.amazon": KINDS["amazon"],
}
LOCAL = '[sheet]\nbase_url = "http://127.0.0.1:1"\n'
WOO = 'kind = "woocommerce"\nbase_url = "https://x.example"\nconsumer_key_env = "K"\nconsumer_secret_env = "S"\n'
KEYS = {"K": "ck_hidden", "S": "cs_hidden"}


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ if environ is not None else KEYS)
    return caught.value.problems


# the example ----------------------------------------------------------------------------------------------------


def test_the_example_loads_as_it_is() -> None:
    settings = load(EXAMPLE, ENVIRON)
    web, outlet = settings.channels["web"], settings.channels["outlet"]
    assert isinstance(web, WooCommerceSettings) and isinstance(outlet, ShopifySettings)
    assert settings.primary is web and (web.title, web.hold_back) == ("Web shop", 0)
    assert (outlet.address, outlet.hold_back) == ("https://outlet-example.myshopify.com", 1)
    assert web.consumer_key is not None and web.consumer_key.get_secret_value() == "ck_hidden1"


def example_keys(section: str) -> dict[str, str]:
    """Every key shown in a section, commented or not, with what stands there."""
    body = EXAMPLE.read_text().split(f"\n[{section}]\n", 1)[1].split("\n[", 1)[0]
    return dict(re.findall(r"^(?:# )?([a-z_]+) = (.+)$", body, re.MULTILINE))


@pytest.mark.parametrize("section", [*config.SECTIONS, *EXAMPLES])
def test_the_example_shows_every_key_and_no_other(section: str) -> None:
    models = {**config.SECTIONS, **EXAMPLES}
    assert set(example_keys(section)) == set(config.keys_of(models[section]))


@pytest.mark.parametrize("section", [*config.SECTIONS, *EXAMPLES])
def test_a_commented_line_shows_the_default(section: str) -> None:
    """Uncommenting every default changes nothing."""
    models = {**config.SECTIONS, **EXAMPLES}
    body = EXAMPLE.read_text().split(f"\n[{section}]\n", 1)[1].split("\n[", 1)[0]
    for key, value in re.findall(r"^# ([a-z_]+) = (.+)$", body, re.MULTILINE):
        default = models[section].model_fields[key].default if key in models[section].model_fields else None
        if isinstance(default, timedelta):
            assert value == f"{default.total_seconds():g}"
        elif isinstance(default, bool | int):
            assert value == str(default).lower()


def test_the_kinds_are_documented_each_by_a_section() -> None:
    shown = set(re.findall(r'^kind = "(\w+)"$', EXAMPLE.read_text(), re.MULTILINE))
    assert shown == set(KINDS)


# right ----------------------------------------------------------------------------------------------------------


def test_paths_start_beside_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key.json").write_text("{}")
    (tmp_path / "token").write_text("s3cret\n")
    path = write(tmp_path, '[sheet]\ncredentials_file = "key.json"\nhint_token_file = "token"\n')
    monkeypatch.chdir("/")
    settings = load(path)
    assert settings.sheet.credentials_file == tmp_path / "key.json"
    assert settings.sheet.hint_token is not None and settings.sheet.hint_token.get_secret_value() == "s3cret"
    assert settings.ledger.url.get_secret_value() == f"sqlite:///{tmp_path}/sheets-sync.db"


def test_an_absolute_database_stays_where_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, LOCAL + '[ledger]\nurl = "sqlite:////srv/ours.db"\n')
    assert load(path).ledger.url.get_secret_value() == "sqlite:////srv/ours.db"


def test_a_pasted_address_gives_the_id(tmp_path: Path) -> None:
    page = "https://docs.google.com/spreadsheets/d/1AbC-d_E/edit?gid=0#gid=0"
    path = write(tmp_path, f'[sheet]\nbase_url = "http://localhost:1"\nspreadsheet_id = "{page}"\n')
    assert load(path).sheet.spreadsheet_id == "1AbC-d_E"


def test_seconds_may_have_a_fraction(tmp_path: Path) -> None:
    path = write(tmp_path, LOCAL + "look_every = 2.5\n")
    assert load(path).sheet.look_every == timedelta(seconds=2.5)


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + LOCAL.encode())
    assert load(path).sheet.base_url == "http://127.0.0.1:1"


def test_a_channel_without_a_title_is_called_by_its_name(tmp_path: Path) -> None:
    assert load(write(tmp_path, LOCAL + "[channels.outlet]\n" + WOO), KEYS).channels["outlet"].title == "Outlet"


def test_a_refresh_token_alone_lets_nobody_in(tmp_path: Path) -> None:
    text = LOCAL + '[channels.web]\nkind = "shopify"\nshop = "x.myshopify.com"\nrefresh_token_env = "R"\n'
    said = problems(write(tmp_path, text + 'access_token_env = "T"\n'), {"R": "hidden", "T": "hidden"})
    assert len(said) == 1 and "client_id and client_secret" in said[0]
    said = problems(write(tmp_path, text + 'client_id_env = "T"\n'), {"R": "hidden", "T": "hidden"})
    assert any("nothing to sign in with" in problem for problem in said)


def test_the_registry_builds_every_kind_of_the_example() -> None:
    channels = build_all(load(EXAMPLE, ENVIRON).channels)
    assert set(BUILDERS) == set(KINDS)
    assert {name: (c.name, c.kind) for name, c in channels.items()} == {
        "web": ("web", "woocommerce"),
        "outlet": ("outlet", "shopify"),
        "ours": ("ours", "http_json"),
        "amazon": ("amazon", "amazon"),
    }
    for channel in channels.values():
        assert "hidden" not in repr(channel)
        channel.close()


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load(write(tmp_path, LOCAL))
    with pytest.raises(ValueError, match="frozen"):
        settings.sheet.look_every = timedelta(1)  # type: ignore[misc]


# wrong ----------------------------------------------------------------------------------------------------------


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    text = """
[sheet]
spredsheet_id = "x"
look_every = 0.1
[ledger]
url = "mysql://x"
[webb]
[web]
port = "80"
[channels.a]
kind = "shoppify"
[channels.b]
kind = "shopify"
primary = "yes"
access_token_env = "NOT_SET"
[channels."My Shop"]
kind = "shopify"
"""
    said = "\n".join(problems(write(tmp_path, text), {}))
    for expected in (
        "[sheet] spredsheet_id is unknown: did you mean spreadsheet_id?",
        "[sheet] look_every must be at least 1 seconds",
        "[ledger] url is no database we know: write sqlite:///",
        "[webb] is unknown: did you mean [web]?",
        "[web] port must be a whole number, without quotes",
        "[channels.a] kind is 'shoppify', which we cannot talk to: "
        'write kind = "amazon" or "http_json" or "shopify" or "woocommerce"',
        "[channels.b] shop is missing (the shop's own address",
        "[channels.b] primary must be true or false, without quotes",
        "[channels.b] access_token_env names NOT_SET, which is not set: export NOT_SET=...",
        "[channels.My Shop] cannot be called so",
    ):
        assert expected in said, said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "[sheet] credentials_file is missing: Google wants a key"),
        ('sheet = "x"', "[sheet] must be a section of its own"),
        ('[sheet]\ncredentials_file = "no.json"', "and there is no such file"),
        ('[sheet]\nbase_url = "ftp://x"', "is no web address; write it like https://"),
        ('[sheet]\nbase_url = "http://example.com"', "must begin with https://"),
        (LOCAL + '[web]\npublic_url = "http://example.com"', "must begin with https://"),
        (LOCAL + "[limits]\nopening_days = 0", "opening_days must be at least 1"),
        (LOCAL + "[limits]\nbatch_bytes = 9000000", "batch_bytes must be at most 2000000"),
        (LOCAL + "[limits]\nclock_allowance = true", "clock_allowance must be a number of seconds"),
        (LOCAL + "look_every = inf", "look_every must be a number of seconds that a person can wait for"),
        (LOCAL + "[limits]\nopening_days = 1.5", "opening_days must be a whole number"),
        (LOCAL + "[channels]\nweb = 3", "[channels.web] must be a section of its own"),
        (LOCAL + "[channels.sheet]\n" + WOO, "[channels.sheet] cannot be called so"),
        (LOCAL + "[channels.a]\nships = 'never'\n" + WOO, 'ships must be "when_marked" or "at_once"'),
        (LOCAL + "[channels.a]\ntitle = ''\n" + WOO, "title must not be empty"),
        (LOCAL + "[channels.a]\nkind = 'woocommerce'\nbase_url = 'https://x.example'", "nothing to sign in with"),
        ('[sheet]\nlook_every = "5"\nbase_url = "http://localhost"', "look_every must be a number of seconds"),
    ],
)
def test_each_problem_names_its_key_and_the_way_out(tmp_path: Path, text: str, expected: str) -> None:
    said = problems(write(tmp_path, text))
    assert len(said) == 1 and expected in said[0], said


def test_only_one_primary(tmp_path: Path) -> None:
    text = f"{LOCAL}[channels.a]\nprimary = true\n{WOO}[channels.b]\nprimary = true\n{WOO}"
    assert "a and b are all primary = true" in problems(write(tmp_path, text))[0]


def test_webhooks_are_not_asked_for_where_they_could_not_be_checked(tmp_path: Path) -> None:
    text = f'{LOCAL}[web]\npublic_url = "https://us.example"\n[channels.a]\n{WOO}'
    assert "webhook_secret is missing" in problems(write(tmp_path, text))[0]
    assert load(write(tmp_path, text + "hooks = false\n"), KEYS).channels["a"].signed_with is None
    signed = load(write(tmp_path, text + "webhook_secret_env = 'S'\n"), KEYS).channels["a"].signed_with
    assert signed is not None and signed.get_secret_value() == "cs_hidden"


def test_titles_differ(tmp_path: Path) -> None:
    text = f"{LOCAL}[channels.a]\ntitle = 'Shop'\n{WOO}[channels.b]\ntitle = 'shop'\n{WOO}"
    assert "title 'shop' is a's already" in problems(write(tmp_path, text))[0]


def test_no_file_and_no_toml(tmp_path: Path) -> None:
    assert "copy config.example.toml there" in problems(tmp_path / "config.toml")[0]
    assert "is not TOML" in problems(write(tmp_path, "[sheet]\nbase_url = http://x\n"))[0]
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in problems(tmp_path / "config.toml")[0]
    assert "cannot be read" in problems(tmp_path)[0]


# secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        'consumer_key = "ck_hidden"',
        'consumer_key_env = "ck_hidden"',
        'consumer_key_file = "ck_hidden"',
        "consumer_key = 17",
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, line: str) -> None:
    text = LOCAL + "[channels.a]\n" + WOO.replace('consumer_key_env = "K"', line)
    said = "\n".join(problems(write(tmp_path, text)))
    assert "consumer_key" in said and "secret" in said
    assert "hidden" not in said


def test_a_password_in_the_database_address_is_a_secret(tmp_path: Path) -> None:
    said = problems(write(tmp_path, LOCAL + '[ledger]\nurl = "postgresql://me:hidden@host/db"'))
    assert 'url_env = "ITS_NAME"' in said[0] and "hidden" not in said[0]
    path = write(tmp_path, LOCAL + '[ledger]\nurl_env = "DATABASE"')
    settings = load(path, {"DATABASE": "postgresql://me:hidden@host/db"})
    assert settings.ledger.url.get_secret_value().endswith("hidden@host/db")


def test_no_repr_shows_a_secret() -> None:
    settings = load(EXAMPLE, ENVIRON)
    assert "hidden" not in repr(settings) + str(settings) + repr(settings.channels["web"])
    assert "hidden" not in settings.channels["outlet"].model_dump_json()


def test_a_secret_given_twice_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("ck_hidden")
    said = problems(write(tmp_path, LOCAL + "[channels.a]\nconsumer_key_file = 'k'\n" + WOO))
    assert "given more than once (consumer_key_env, consumer_key_file)" in said[0]


def test_an_empty_secret_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("\n")
    said = problems(write(tmp_path, LOCAL + "hint_token_file = 'k'\n"))
    assert "is empty" in said[0]


TOML_VALUES = st.one_of(
    st.integers(-10, 10),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda f: f"{f:.3f}"),
    st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=8).map(lambda t: f'"{t}"'),
    st.just("[1, 2]"),
    st.just("{a = 1}"),
    st.just("2020-01-01"),
).map(lambda v: str(v).lower() if isinstance(v, bool) else str(v))
ANY_KEY = st.sampled_from(
    sorted({key for model in (*config.SECTIONS.values(), *KINDS.values()) for key in config.keys_of(model)})
)
TABLES = st.dictionaries(ANY_KEY, TOML_VALUES, max_size=6)


@given(st.dictionaries(st.sampled_from([*config.SECTIONS, "channels.a", "channels", "other"]), TABLES, max_size=4))
def test_whatever_stands_there_is_read_or_explained(tmp_path_factory: pytest.TempPathFactory, tables: dict) -> None:
    text = "\n".join(f"[{name}]\n" + "\n".join(f"{k} = {v}" for k, v in t.items()) for name, t in tables.items())
    path = write(tmp_path_factory.getbasetemp(), text)
    try:
        load(path, {})
    except ConfigError as error:
        assert error.problems


SHOPIFY = '[channels.s]\nkind = "shopify"\nshop = "x.myshopify.com"\naccess_token_env = "K"\nhooks = false\n'
TWO = '[locations]\nnames = ["main", "b"]\n'


def test_locations_are_named_and_a_channel_draws_from_them_in_its_own_order(tmp_path: Path) -> None:
    more = 'locations = ["b", "main"]\nlocation_of = { "gid://shopify/Location/61" = "main", "62" = "b" }\n'
    settings = load(write(tmp_path, f'{LOCAL}{TWO}titles = ["Shop", "Store"]\n{SHOPIFY}{more}'), KEYS)
    assert settings.locations.by_title == {"main": "Shop", "b": "Store"}
    assert settings.draws_from("s") == ("b", "main") and settings.draws_from("gone") == ("main", "b")
    assert settings.channels["s"].places == {"61": "main", "62": "b"}
    alone = load(write(tmp_path, LOCAL + SHOPIFY), KEYS)
    assert alone.locations.by_title == {"main": "main"} and alone.draws_from("s") == ("main",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[locations]\nnames = ["b"]\n', '[locations] names must begin with "main"'),
        ('[locations]\nnames = ["main", "main"]\n', "[locations] names says one thing twice"),
        ('[locations]\nnames = ["main", "Über"]\n', "[locations] names has 'Über'"),
        (f'{TWO}titles = ["Shop"]\n', "[locations] titles must be as many as names, 2"),
        (f'{TWO}{SHOPIFY}locations = ["c"]\n', "[channels.s] locations names 'c', and [locations] has only: main, b"),
        (f'{TWO}{SHOPIFY}locations = ["b", "b"]\n', "[channels.s] locations names one twice"),
        (f'{TWO}{SHOPIFY}location_of = {{ "1" = "c" }}\n', "[channels.s] location_of names 'c'"),
        (f'{TWO}{SHOPIFY}location_of = {{ "here" = "b" }}\n', "location_of must name the shop's locations by their"),
        (f'{TWO}{SHOPIFY}location_of = {{ "1" = "b", "2" = "b" }}\n', "location_of names one of your locations twice"),
        (f'{TWO}{SHOPIFY}location = "1"\nlocation_of = {{ "2" = "b" }}\n', "leave one of the two out"),
        (f'{TWO}{SHOPIFY}locations = ["b"]\nlocation_of = {{ "1" = "main" }}\n', "which its locations leave out"),
    ],
)
def test_a_location_that_cannot_be_found_is_told_by_its_field(tmp_path: Path, text: str, said: str) -> None:
    (problem,) = problems(write(tmp_path, LOCAL + text))
    assert said in problem


AMAZON = (
    '[channels.a]\nkind = "amazon"\nseller_id = "A1B2C3D4E5"\nmarketplaces = ["A1PA6795UKMFR9"]\nhooks = false\n'
    'client_id_env = "K"\nclient_secret_env = "S"\nrefresh_token_env = "S"\n'
)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('aws_account_id = "123456789012"', "aws_account_id and aws_region go together"),
        ('sqs_queue = "https://sqs.eu-west-1.amazonaws.com/1/q"', "sqs_queue needs aws_region"),
        ('aws_access_key_id_env = "K"', "aws_access_key_id and aws_secret_access_key go together"),
        ('region = "de"', "region must be"),
        ("marketplaces = []", "marketplaces"),
    ],
)
def test_an_amazon_section_says_what_is_missing(tmp_path: Path, more: str, said: str) -> None:
    key = more.partition(" ")[0]
    text = "".join(line for line in AMAZON.splitlines(True) if not line.startswith(f"{key} "))
    (problem,) = problems(write(tmp_path, f"{LOCAL}{text}{more}\n"))
    assert said in problem


def test_an_amazon_section_as_small_as_it_may_be(tmp_path: Path) -> None:
    amazon = load(write(tmp_path, LOCAL + AMAZON), KEYS).channels["a"]
    assert isinstance(amazon, AmazonSettings)
    assert (amazon.region, amazon.address, amazon.marketplaces) == ("eu", None, ("A1PA6795UKMFR9",))
