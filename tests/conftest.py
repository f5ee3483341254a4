"""Fixtures that every test may use, and the promise that a check which must not be skipped is not."""

from __future__ import annotations

import gc
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings
from hypothesis.internal.conjecture import providers
from werkzeug.routing import Rule

# The same examples at every run: what `make test` says of a checkout it says again. SHEETS_SYNC_RANDOM=1 draws others.
settings.register_profile("fixed", derandomize=True)
settings.load_profile("default" if os.environ.get("SHEETS_SYNC_RANDOM") else "fixed")

# Hypothesis also draws the numbers and texts that stand in our own modules, in those imported by then: its examples
# would depend on which tests ran before in this process, and change with any line of the product.
setattr(providers, "is_local_module_file", lambda _: False)  # noqa: B010 (where Hypothesis has no such name, none is used)

# What was imported and collected lives on: looking through it for garbage, again and again, costs up to a fourth.
gc.set_threshold(100_000, 20, 20)

SHARED = Path(__file__).resolve().parents[1].parent / "shared"

# Fixtures kept in files of their own beside their servers; named here once so that every test finds them.
pytest_plugins = [
    f"tests.{name}" for name in ("postgres", "sheet_server") if importlib.util.find_spec(f"tests.{name}") is not None
]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded answers and published schemas beside the checkout; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no recordings here: {SHARED} is absent")
    return SHARED


_REQUIRED = {  # what may not be skipped where the variable is set (.ci/run sets both); words of the skip's reason
    "SHEETS_SYNC_REQUIRE_POSTGRES": ("PostgreSQL", ("postgres",)),
    "SHEETS_SYNC_REQUIRE_BROWSER": ("browser", ("chromium", "playwright")),
}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that had to run and was skipped fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    for variable, (what, words) in _REQUIRED.items():
        if reporter is None or not os.environ.get(variable):
            continue
        reasons = [str(report.longrepr).lower() for report in reporter.stats.get("skipped", ())]
        skipped = [reason for reason in reasons if any(word in reason for word in words)]
        if skipped:
            reporter.write_line(f"{len(skipped)} {what} test(s) were skipped where they must run", red=True)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _log_as_by_default() -> Iterator[None]:
    """A command that was run in this process leaves its log behind, on a stream that is closed by then."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def _addresses_are_compiled_once() -> Iterator[None]:
    """Werkzeug writes and compiles two functions for each address of an app; every local server is a new app."""
    write = Rule._compile_builder
    written: dict[Any, Any] = {}

    def kept(rule: Rule, append_unknown: bool = True) -> Any:
        key = append_unknown, tuple(rule._trace), frozenset(rule.arguments), repr(rule.defaults)
        if key not in written:
            written[key] = write(rule, append_unknown)
        return written[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", kept)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: whoever gets one last works on alone."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
