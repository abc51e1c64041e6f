"""`schema`: the connections file's JSON Schema, for editors."""

from __future__ import annotations

import msgspec

from services.cli.files import manifests
from services.cli.output import say
from services.runtime.registry.jsonschema import schema


def show() -> int:
    """Print it."""
    say(msgspec.json.format(msgspec.json.encode(schema(manifests())), indent=2).decode())
    return 0
