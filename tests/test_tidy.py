"""The house rules, read from the source with ast: who imports whom, how long, how named, how complete.

Where the house is not yet as tidy as the rule, a number here says how far off it is. It may only be made smaller.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from sheets_sync import cli
from sheets_sync.config import KINDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sheets_sync"

PURE = {
    "alerts", "edits", "exchange", "gaps", "lines", "masses", "stock", "stocktake", "bulk", "tally", "offers", "guard",
    "kits", "names",
    "pages", "places", "seeding", "mapping", "statement", "views",
}  # fmt: skip
OUTERMOST = {"assembly", "cli", "demo", "sandbox", "webhook"}
"""They build the parts and hand them over; nothing inside asks for them."""

PURE_STDLIB = {
    "__future__", "bisect", "collections", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools",
    "hashlib", "heapq", "itertools", "json", "math", "operator", "re", "string", "types", "typing", "unicodedata",
}  # fmt: skip
PURE_LIBRARIES = {"edits": {"numpy", "pandas"}, "bulk": {"numpy"}, "tally": {"numpy"}}
ASKS_THE_WORLD = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "open", "input"}

COMES_WITH = {"numpy": "pandas", "urllib3": "requests", "werkzeug": "flask", "jinja2": "flask", "click": "typer"}
NAMED_OTHERWISE = {"google": "google-auth", "requests_aws4auth": "requests-aws4auth",
                   "prometheus_client": "prometheus-client", "graphql": "graphql-core",
                   "google_auth_oauthlib": "google-auth-oauthlib",
                   "charset_normalizer": "charset-normalizer"}  # fmt: skip

NOT_USED = {"qty", "product_code", "item_code", "integration", "cycle", "buffer"}
"""Words that DESIGN.md section 2 does not use. (`job` and `reserved` are the channels' own.)"""

LONGEST = 60
LONGER: dict[str, int] = {}
"""Functions longer than LONGEST lines, as they are; only to be made shorter."""

UNDOCUMENTED = 67
"""Public functions, methods and classes of sheets_sync (the sandbox apart) without a docstring."""


def sources(*folders: str) -> list[Path]:
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py"))


PRODUCT = sources("sheets_sync", "webhook")
PRODUCT_IDS = [str(p.relative_to(ROOT)) for p in PRODUCT]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def nodes(path: Path, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, kinds))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(p) for p in PRODUCT}


def imports(path: Path) -> Iterator[str]:
    """Full names of what is imported, `from sheets_sync import guard` giving sheets_sync.guard."""
    for node in nodes(path, ast.Import, ast.ImportFrom):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by full name"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def part(module: str) -> str:
    """Which part of the house: sheets_sync.ledger.store is of `ledger`, webhook.app of `webhook`."""
    steps = module.split(".")
    return steps[0] if steps[0] != "sheets_sync" else steps[1] if len(steps) > 1 else ""


def may_import(own: str) -> set[str] | None:
    """The parts that a part may import beside itself; None: any but the outermost."""
    nouns = {"model", "errors", ""}
    if own in ("model", "errors"):
        return {""}
    if own in PURE:
        return nouns | PURE
    if own == "ledger":  # appends by law 2, and proves it
        return nouns | {"stock", "places"}
    if own in ("sheet", "channels", "config"):
        return nouns
    return {"model", ""} if own == "sandbox" else None


# who may import whom --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PRODUCT, ids=PRODUCT_IDS)
def test_imports_go_inwards_only(path: Path) -> None:
    own = part(module_of(path))
    ours = {part(name) for name in imports(path) if name.split(".")[0] in ("sheets_sync", "webhook")} - {own}
    allowed = may_import(own)
    if path == PACKAGE / "channels" / "registry.py":  # turns settings into channels, so it knows both
        allowed = {"config", ""}
    if allowed is not None:
        assert ours <= allowed, f"{own} may import {sorted(allowed)} only"
    elif own not in OUTERMOST and own:
        assert not ours & OUTERMOST, f"{own} is built by these, and does not ask for them"


def test_the_command_line_loads_later_all_that_it_names_and_nothing_at_once() -> None:
    named = "import sys, sheets_sync.cli as cli; print(*(n for n in sys.modules if n.split('.')[0] in %r))"
    heavy = ("pandas", "sqlalchemy", "gspread", "flask", "requests", "alembic", "openpyxl")
    loaded = subprocess.run([sys.executable, "-c", named % (heavy,)], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
    for node in tree(PACKAGE / "cli.py").body:
        if isinstance(node, ast.If):
            for found in (a for part in node.body if isinstance(part, ast.ImportFrom) for a in part.names):
                part = getattr(cli, found.asname or found.name, None)
                assert part is None or dir(import_module(repr(part).split("'")[1])), found.name
                assert part is not None or found.name[0].isupper(), f"{found.name} is not loaded later"


@pytest.mark.parametrize("path", sources("sheets_sync/channels"), ids=lambda p: p.stem)
def test_a_channel_imports_no_other_channel(path: Path) -> None:
    shared = {"sheets_sync.channels", "sheets_sync.channels.http"}
    others = {name for name in imports(path) if name.startswith("sheets_sync.channels")} - shared
    package = ".".join(module_of(path).split(".")[:3])
    own = {name for name in others if f"{name}.".startswith(f"{package}.")}
    assert path.stem == "registry" or others == own


@pytest.mark.parametrize("name", sorted(PURE | {"model", "errors"}))
def test_the_heart_is_pure(name: str) -> None:
    path = PACKAGE / f"{name}.py"
    outside = {found.split(".")[0] for found in imports(path)} - {"sheets_sync"}
    assert outside <= PURE_STDLIB | PURE_LIBRARIES.get(name, set())
    calls = {ast.unparse(n.func) for n in nodes(path, ast.Call) if isinstance(n, ast.Call)}
    assert not calls & ASKS_THE_WORLD, f"{name} asks for the time; it must be given"


@pytest.mark.parametrize("path", PRODUCT, ids=PRODUCT_IDS)
def test_what_is_imported_is_declared(path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[\[<>=!~;]", entry)[0].strip().lower() for entry in project["dependencies"]}
    used = {name.split(".")[0].lower() for name in imports(path)} - {"sheets_sync", "webhook", "_typeshed"}
    named = {NAMED_OTHERWISE.get(name, COMES_WITH.get(name, name)) for name in used - set(sys.stdlib_module_names)}
    assert named <= declared


# how it is written ----------------------------------------------------------------------------------------------


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in nodes(path, ast.FunctionDef, ast.AsyncFunctionDef):
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        yield f"{path.relative_to(ROOT)}::{node.name}", node


def test_functions_are_short() -> None:
    length = {name: (node.end_lineno or 0) - node.lineno + 1 for p in PRODUCT for name, node in functions(p)}
    longer = {name: lines for name, lines in length.items() if lines > LONGEST}
    assert {n: lines for n, lines in longer.items() if lines > LONGER.get(n, 0)} == {}, "split it"
    assert LONGER.keys() <= longer.keys(), "some are short by now: take them off the list"


@pytest.mark.parametrize("path", PRODUCT, ids=PRODUCT_IDS)
def test_nothing_is_caught_blindly(path: Path) -> None:
    """Unless it is raised again, or the line says why it must be (`noqa: BLE001 - reason`)."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for node in nodes(path, ast.ExceptHandler):
        assert isinstance(node, ast.ExceptHandler)
        if re.search(r"noqa: BLE001 - \w+ \w+", lines[node.lineno - 1]):
            continue
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        blind = [k for k in kinds if k is None or (isinstance(k, ast.Name) and k.id in ("Exception", "BaseException"))]
        raised_again = isinstance(node.body[-1], ast.Raise)
        assert raised_again or not blind, f"{path}:{node.lineno} catches everything"


@pytest.mark.parametrize("path", PRODUCT, ids=PRODUCT_IDS)
def test_only_the_cli_prints(path: Path) -> None:
    called = [n.func.id for n in nodes(path, ast.Call) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert "print" not in called or path == PACKAGE / "cli.py"


def defined(path: Path) -> Iterator[str]:
    """Names that this file makes up; what a library calls its things is its own business."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


@pytest.mark.parametrize("path", [p for p in PRODUCT if "sandbox" not in p.parts], ids=lambda p: p.stem)
def test_our_words_are_those_of_the_design(path: Path) -> None:
    """The local shops are left out: they speak their vendors' words."""
    for name in defined(path):
        words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
        pairs = {"_".join(pair) for pair in zip(words, words[1:], strict=False)}
        assert not (set(words) | pairs) & NOT_USED, f"{path.name} calls something {name}"


def test_what_is_public_is_documented() -> None:
    missing = []
    for path in PRODUCT:
        if "sandbox" in path.parts or "migrations" in path.parts:
            continue
        assert ast.get_docstring(tree(path)), f"{path} does not say what it is for"
        missing += [f"{path.relative_to(ROOT)}: {name}" for name, node in public(tree(path)) if not documented(node)]
    assert len(missing) <= UNDOCUMENTED, "\n".join(missing)


def public(
    body: ast.Module | ast.ClassDef,
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    for node in body.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                yield from ((f"{node.name}.{name}", inner) for name, inner in public(node))


def documented(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """A protocol's bare line (`...`) is explained by the contract it belongs to."""
    last = node.body[-1]
    bare = isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant) and last.value.value is ...
    return bare or bool(ast.get_docstring(node))


# whether it is complete -----------------------------------------------------------------------------------------

NO_CHANNELS = {"__init__", "http", "registry"}


def test_every_channel_file_is_a_kind() -> None:
    files = {p.stem for p in (PACKAGE / "channels").iterdir() if not p.stem.startswith("_")} - NO_CHANNELS
    assert files == set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_channel_has_its_six_parts(kind: str) -> None:
    """A file, a line in the registry, a class that inherits ChannelContract, a local shop, an example, a page."""
    from sheets_sync.channels.registry import BUILDERS

    shops = PACKAGE / "sandbox" / "shops"
    assert (PACKAGE / "channels" / f"{kind}.py").is_file() or (PACKAGE / "channels" / kind).is_dir()
    assert kind in BUILDERS
    assert any(inherits_contract(p) for p in (ROOT / "tests").glob(f"test_channel_{kind}*.py"))
    assert (shops / f"{kind}.py").is_file() or (shops / kind / "__init__.py").is_file()
    assert f'kind = "{kind}"' in (ROOT / "config.example.toml").read_text()
    assert (ROOT / "docs" / "channels" / f"{kind}.md").is_file()


def inherits_contract(path: Path) -> bool:
    classes = [n for n in nodes(path, ast.ClassDef) if isinstance(n, ast.ClassDef)]
    return any("ChannelContract" in ast.unparse(base) for one in classes for base in one.bases)


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "decisions.md").read_text().lower()
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = [re.split(r"[\[<>=!~;]", entry)[0].strip().lower() for entry in wanted]
    assert [name for name in names if f"`{name}`" not in page] == []
