"""`write_config`: the guided set-up. It asks for the sheet, the channels and the primary marketplace.

What is asked comes from the config's own models, so that a new kind of channel needs nothing here. Secrets go into
files of their own beside the config, for the owner's eyes only. Each channel is tried at once by a harmless call, which
names a scope that is missing; everything can be done by config alone just as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, get_args, get_origin

from pydantic.fields import FieldInfo

from sheets_sync import config
from sheets_sync.channels import Health
from sheets_sync.config import KINDS, ChannelSettings, Settings
from sheets_sync.errors import ConfigError, SheetsSyncError

Check = Callable[[Settings, str], Health]
"""Try the channel of that name: its `check()`."""


class Terminal(Protocol):
    """A person at a terminal."""

    def ask(self, text: str, *, default: str = "", hidden: bool = False) -> str:
        """What the person types; the default for nothing."""
        ...

    def say(self, text: str) -> None:
        """Show a line."""
        ...


@dataclass
class _Draft:
    """config.toml as far as it is known, a list of lines a section."""

    sheet: list[str] = field(default_factory=list)
    channels: dict[str, list[str]] = field(default_factory=dict)
    primary: str = ""

    def text(self) -> str:
        parts = ["# Written by `sheets-sync init`. config.example.toml explains every key.", "", "[sheet]", *self.sheet]
        for name, lines in self.channels.items():
            parts += ["", f"[channels.{name}]", *lines, *(["primary = true"] if name == self.primary else [])]
        return "\n".join(parts) + "\n"


def write_config(path: Path, terminal: Terminal, check: Check) -> None:
    """Ask for all that is needed, and write `path` and the secrets beside it. Nothing is written before the end but
    secrets. Raises ConfigError where the file is there already.
    """
    if path.exists():
        raise ConfigError([f"{path} is there already: change it, or move it away to be asked anew"])
    folder = path.expanduser().absolute().parent
    draft = _Draft()
    terminal.say("This asks for your sheet and your channels, tries each, and writes config.toml. Ctrl-C ends it.")
    local = _sheet(draft, terminal)
    terminal.say("Now your channels, one after the other.")
    while True:
        kind = _choice(terminal, "Kind of channel" + (" (nothing: no more)" if draft.channels else ""), sorted(KINDS),
                       optional=bool(draft.channels))  # fmt: skip
        if not kind:
            break
        _channel(draft, kind, folder, terminal, check, local=local)
    names = list(draft.channels)
    terminal.say(
        "Which channel's inventory is right? It seeds the counts at the first import, and is asked no more after."
    )
    draft.primary = names[0] if len(names) == 1 else _choice(terminal, "Primary marketplace", names)
    _write(path, draft.text())
    config.load(path)
    terminal.say(f"Wrote {path}. Keep it and the folder secrets to yourself.")


def name_spreadsheet(path: Path, spreadsheet_id: str) -> None:
    """Write the id of a spreadsheet that was made into a config that has none."""
    text = path.read_text(encoding="utf-8")
    _write(path, text.replace("[sheet]\n", f"[sheet]\nspreadsheet_id = {_quoted(spreadsheet_id)}\n", 1))


# the sheet ------------------------------------------------------------------------------------------------------


def _sheet(draft: _Draft, terminal: Terminal) -> bool:
    """Whether the sheet is a local one."""
    where = terminal.ask(
        "Spreadsheet: its address or id at Google, or the address of a local sheet (http://127.0.0.1:…)"
    )
    if where.startswith("http") and "docs.google.com" not in where:
        draft.sheet.append(f"base_url = {_quoted(where)}")
        known = terminal.ask("The spreadsheet's id there (nothing: a new one is made)")
        draft.sheet += [f"spreadsheet_id = {_quoted(known)}"] if known else []
        return True
    draft.sheet += [f"spreadsheet_id = {_quoted(where)}"] if where else []
    while True:
        file = Path(
            terminal.ask("Google's key file, downloaded as JSON (docs/google.md)", default="service-account.json")
        )
        try:
            about = json.loads(file.expanduser().read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            terminal.say(f"{file} cannot be read: {error}. Where did you save it?")
            continue
        kind = "service_account" if about.get("type") == "service_account" else "oauth_user"
        draft.sheet += [
            f"credentials_file = {_quoted(str(file.expanduser().absolute()))}",
            f'credentials_kind = "{kind}"',
        ]
        if kind == "service_account":
            terminal.say(f"Share the spreadsheet with {about.get('client_email')} as an editor, if you have not yet.")
        return False


# a channel ------------------------------------------------------------------------------------------------------


def _channel(draft: _Draft, kind: str, folder: Path, terminal: Terminal, check: Check, *, local: bool) -> None:
    model = KINDS[kind]
    terminal.say((model.__doc__ or kind).strip().splitlines()[0])
    usual = kind if kind not in draft.channels else f"{kind}{len(draft.channels) + 1}"
    name = terminal.ask("A short name for it, part of addresses", default=usual)
    title = terminal.ask("Its title, the header of its column", default=name.capitalize())
    while True:
        lines = [f'kind = "{kind}"', f"title = {_quoted(title)}"]
        lines += [f"{key} = {value}" for key, value in _plain(model, terminal, local=local)]
        lines += [f"{key}_file = {_quoted(str(file))}" for key, file in _secrets(model, name, folder, terminal)]
        if _is_well(draft, name, lines, folder, terminal, check):
            draft.channels[name] = lines
            return


def _plain(model: type[ChannelSettings], terminal: Terminal, *, local: bool) -> Iterator[tuple[str, str]]:
    """What is no secret: what must be given, choices, and the address where a rehearsal needs another one."""
    for key, about in model.model_fields.items():
        if key in ChannelSettings.model_fields or key in config.secrets_of(model):
            continue
        choices = get_args(about.annotation) if get_origin(about.annotation) is Literal else ()
        if key == "kind" or not (about.is_required() or choices or (local and key == "base_url")):
            continue
        value = _value(key, about, [str(choice) for choice in choices], terminal)
        if about.is_required() or value != '""':
            yield key, value


def _value(key: str, about: FieldInfo, choices: Sequence[str], terminal: Terminal) -> str:
    words = f"{key}: {about.description}"
    if choices:
        return _quoted(_choice(terminal, words, choices, usual=str(about.default)))
    said = terminal.ask(words)
    if get_origin(about.annotation) is tuple:
        return json.dumps([one.strip() for one in said.split(",") if one.strip()])
    return _quoted(said)


def _secrets(
    model: type[ChannelSettings], name: str, folder: Path, terminal: Terminal
) -> Iterator[tuple[str, Path]]:  # fmt: skip
    """What it is signed in with, each in a file of its own."""
    ways = {" and ".join(one): one for one in model.needs}
    way = next(iter(ways)) if len(ways) == 1 else _choice(terminal, "Sign in with", list(ways))
    for key in ways[way]:
        said = terminal.ask(f"{key}: {model.model_fields[key].description}", hidden=True)
        file = Path("secrets") / f"{name}-{key}"
        (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
        _write(folder / file, said)
        yield key, file


def _is_well(
    draft: _Draft, name: str, lines: list[str], folder: Path, terminal: Terminal, check: Check
) -> bool:  # fmt: skip
    """Read the channel's section as any config is read, and try it; what is wrong is shown, and asked again."""
    trial = folder / ".config.toml.trial"
    _write(trial, _Draft(draft.sheet, {**draft.channels, name: lines}).text())
    try:
        health = check(config.load(trial), name)
        problems = [] if health.ok else list(health.problems)
    except ConfigError as error:
        problems = [problem.replace(f"{trial.name}: ", "") for problem in error.problems]
    except SheetsSyncError as error:
        problems = [str(error)]
    else:
        if not problems:
            terminal.say(f"Reached {health.account or name}.")
    finally:
        trial.unlink()
    for problem in problems:
        terminal.say(f"Not well yet: {problem}")
    return not problems or _choice(terminal, "Type it again, or keep it as it is", ["again", "keep"]) == "keep"


# small pieces ---------------------------------------------------------------------------------------------------


def _choice(
    terminal: Terminal, text: str, choices: Sequence[str], *, usual: str = "", optional: bool = False
) -> str:  # fmt: skip
    while True:
        said = terminal.ask(f"{text} [{', '.join(choices)}]", default=usual)
        if said in choices or (optional and not said):
            return said
        terminal.say(f"Please choose one of {', '.join(choices)}.")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _write(file: Path, text: str) -> None:
    """For the owner's eyes alone."""
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
