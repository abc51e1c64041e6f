"""The pages on apps, `docs/apps/APP.md`: made of what each app declares. `python -m services.cli.pages FOLDER`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from services.cli.apps import About, about, pair
from services.cli.failure import MISUSED
from services.cli.login import authorization
from services.cli.output import complain, say
from services.connectors import discover
from services.contracts.app import Ability, Manifest
from services.runtime.app import App

REMEDY = "make docs"
"""What brings the pages up to date."""
_OURS = "services.connectors."


def pages() -> Mapping[str, str]:
    """Return file name -> text, a page for each app of this tree; installed ones from elsewhere have their own."""
    apps = {name: app for name, app in discover().items() if type(app).__module__.startswith(_OURS)}
    manifests = {name: app.manifest for name, app in apps.items()}
    return {f"{name}.md": page(app, manifests) for name, app in apps.items()}


def page(app: App, manifests: Mapping[str, Manifest]) -> str:
    """Return one app's page. `manifests`: all apps that it may be paired with, itself included."""
    manifest = app.manifest
    told = about(manifest)
    parts = [
        f"<!-- Made by `{REMEDY}` of what services/connectors/{manifest.name} declares. Change it there. -->",
        f"# {told.title}",
        f"`app: {told.app}` in the connections file. Its own documentation: <{told.docs}>.",
        _account(manifest),
        *_keys(told),
        *_permissions(app),
        *_fields(manifest),
        *_rules(manifest, told),
        *_traits(app, told),
    ]
    for other in manifests.values():
        parts += _pair(manifest, other)
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the pages into a folder, and say which changed. Pages of apps that are gone are removed."""
    if len(arguments) != 1:
        complain("Name the folder that the pages go into, such as docs/apps.")
        return MISUSED
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in sorted(folder.glob("*.md")):
        if old.name not in made:
            old.unlink()
            say(f"removed {old}")
    for name, text in made.items():
        target = folder / name
        if not target.exists() or target.read_text("utf-8") != text:
            target.write_text(text, "utf-8")
            say(f"wrote {target}")
    return 0


def _account(manifest: Manifest) -> str:
    """The least that an account needs in the file."""
    lines = ["```yaml", "accounts:", f"  {manifest.name.replace('_', '-')}:", f"    app: {manifest.name}"]
    lines += [
        f"    {setting.key}: {msgspec.json.encode(setting.example).decode()}"
        for setting in manifest.settings
        if setting.required
    ]
    for credential in manifest.credentials:
        if credential.required:
            variable = f"${{{manifest.name}_{credential.key}}}".upper()
            value = f'["{variable}"]' if credential.many else variable
            lines.append(f"    {credential.key}: {value}")
    return "\n".join([*lines, "```"])


def _keys(told: About) -> list[str]:
    rows = [
        (
            f"`{key.key}`",
            "required" if key.required else f"`{key.default}` without it" if key.default else "optional",
            "yes" if key.secret else "",
            key.title,
        )
        for key in told.keys
    ]
    stored = "`contactsync authorize ACCOUNT` stores the secrets encrypted, so that the file needn't have them."
    return ["## Keys of an account", _table(("key", "", "secret", "what it is"), rows), stored]


def _permissions(app: App) -> list[str]:
    way = authorization(app)
    text = [_linked(way.hint)] if way.hint else []
    if way.oauth is not None:
        text.append(f"The login asks for {' and '.join(f'`{scope}`' for scope in way.oauth.scopes)}.")
    if not text:
        text.append("The credentials are made in the app and have to allow reading and writing contacts.")
    text.append("`contactsync doctor` tries by real calls what an account's login may do.")
    return ["## What the login has to allow", " ".join(text)]


def _fields(manifest: Manifest) -> list[str]:
    rows = [
        (
            f"`{field.path}`",
            f"`{field.canonical}`" if field.canonical else "–",
            field.type,
            "yes" if field.multi else "",
            ("a change waits for a yes" if field.guarded else "yes") if field.writable else "no",
            str(field.max_length or ""),
        )
        for field in manifest.fields
    ]
    columns = ("field", "line of the default mapping", "type", "several values", "written", "characters at most")
    parts = ["## Fields", _table(columns, rows)]
    custom = manifest.custom
    if custom is None:
        return [*parts, "It has no custom fields that could be mapped."]
    limits = [f"a key has up to {custom.max_key} characters" if custom.max_key else ""]
    limits.append(f"a value has up to {custom.max_length} characters" if custom.max_length else "")
    limits.append(f"a key can't have {' '.join(f'`{each}`' for each in custom.forbidden)}" if custom.forbidden else "")
    limits.append("a key may have several values" if custom.multi else "")
    limits.append(f"{', '.join(f'`{key}`' for key in custom.reserved)} can't be mapped" if custom.reserved else "")
    told = "; ".join(filter(None, limits))
    return [*parts, f"Custom fields: `{custom.prefix}KEY` is any {custom.title}{f'; {told}' if told else ''}."]


def _rules(manifest: Manifest, told: About) -> list[str]:
    parts = ["## Rules", f"Conditions on its contacts: {_words(told.conditions)}."]
    if Ability.TAG in manifest.abilities and manifest.tags:
        parts.append(f"The only tags that its contacts can have are {_words(manifest.tags)}.")
    if told.actions:
        rows = [(f"`{action}`", _undo(action, manifest)) for action in told.actions]
        parts.append(_table(("action on its contacts", "with `undo: true`, taken back by"), rows))
    else:
        parts.append("Rules have no actions on its contacts.")
    return [*parts, "What they mean: [rules](../rules.md)."]


def _undo(action: str, manifest: Manifest) -> str:
    opposite = {f"add_{manifest.tag_word}": "remove", f"remove_{manifest.tag_word}": "add"}.get(action)
    if opposite:
        return f"`{opposite}_{manifest.tag_word}`"
    if action.removeprefix("update_") in manifest.texts:
        return "the text that it replaced, if ours still stands there"
    return "nothing: it only lets changes through"


def _traits(app: App, told: About) -> list[str]:
    pace = told.pace
    parts = ["## What it does", "\n".join(f"- It {sentence}." for sentence in told.abilities), "## Pace"]
    parts.append(
        f"One account is asked at most {pace.poll:g} times a second for changes, {pace.read:g} times for single "
        f"contacts, and gets at most {pace.write:g} writes."
    )
    if source := _source(app):
        parts.append(source)
    return parts


def _source(app: App) -> str:
    """The comment over the pace in the app's manifest: the documented limits, and where they are documented."""
    name = f"{type(app).__module__.rpartition('.')[0]}.manifest"
    if importlib.util.find_spec(name) is None:
        return ""
    found = re.search(r"((?:^ *#[^\n]*\n)+) *pace=", inspect.getsource(importlib.import_module(name)), re.MULTILINE)
    sentences = ""
    for line in found[1].splitlines() if found else ():
        # A line that ends with an address ends a sentence: a full stop there would be taken for part of it.
        sentences += f"{_linked(line.strip(' #'))} "
    return re.sub(r"> (?=[A-Z]|$)", ">. ", sentences).strip()


def _linked(text: str) -> str:
    """The text with its addresses as links."""
    return re.sub(r"https://[^\s),:]+[^\s),.:]", lambda url: f"<{url[0]}>", text)


def _pair(left: Manifest, right: Manifest) -> list[str]:
    offer = pair(left, right)
    title = f"With {right.title}" if left is not right else f"With another account of {right.title}"
    deletions = [(f"`{each.value}`", "yes" if each.offered else f"no: {each.why_not}") for each in offer.sync_deletions]
    lines = [(f"`{line.line}`", f"`{line.left}`", f"`{line.flow}`", f"`{line.right}`") for line in offer.mapping]
    return [
        f"## {title}",
        f"{left.title} is the left account, {right.title} the right one.",
        _table(("`sync_deletions`", "possible"), deletions),
        _table(("default mapping", "left", "", "right"), lines),
    ]


def _words(words: Sequence[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
