"""What a release's messages look like, kept so that the next one is held against it: `python -m tests.golden.released`.

To be run for a release, once; the file it writes is never edited. Two releases work side by side during a rolling
update: each reads what the other writes.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import inspect

from services.contracts.envelope import TYPES

Shape: TypeAlias = Any
"""A type as plain data: a word, or a dictionary with one of `struct`, `any`, `one`, `list`, `tuple`, `map`."""
Release: TypeAlias = dict[str, Any]
FOLDER = Path(__file__).with_name("releases")


def present() -> Release:
    """The messages of the present code: `types` by name with version and struct, and the `structs` they are made of."""
    structs: dict[str, Any] = {}
    types = {
        name: {"v": v, "struct": _shape(inspect.type_info(TYPES[name][1]), structs)["struct"]}
        for name, (v, _) in TYPES.items()
    }
    return {"types": types, "structs": structs}


def releases() -> list[Path]:
    """The files of all releases."""
    return sorted(FOLDER.glob("*.json"))


def unreadable(writer: Release, reader: Release) -> list[str]:
    """Return what of the writer's messages the reader couldn't read, one line each; none is as it has to be.

    A reader ignores fields it doesn't know. A type or version that it doesn't know is set aside by it, not misread:
    that is no trouble here.
    """
    both = {name for name, told in reader["types"].items() if writer["types"].get(name, {}).get("v") == told["v"]}
    return [
        line
        for name in sorted(both)
        for line in _Pair(writer, reader).differences(
            {"struct": writer["types"][name]["struct"]}, {"struct": reader["types"][name]["struct"]}, name
        )
    ]


class _Pair:
    def __init__(self, writer: Release, reader: Release) -> None:
        self._writer = writer["structs"]
        self._reader = reader["structs"]
        self._seen: set[tuple[str, str]] = set()

    def differences(self, written: Shape, read: Shape, place: str) -> list[str]:
        if read == "anything" or written == read == "raw":
            return []
        if _is(written, "any") or _is(read, "any"):
            return self._unions(written, read, place)
        if isinstance(written, str) or isinstance(read, str):
            return [] if written == read else [f"{place}: is {_word(written)}, was {_word(read)}"]
        ((kind, inner),), ((was, known),) = written.items(), read.items()
        if kind != was:
            return [f"{place}: is a {kind}, was a {was}"]
        match kind:
            case "one":
                return [f"{place}: {value!r} is new" for value in inner if value not in known]
            case "list" | "map":
                return self.differences(inner, known, f"{place}[]")
            case "tuple" if len(inner) != len(known):
                return [f"{place}: has {len(inner)} elements, had {len(known)}"]
            case "tuple":
                pairs = enumerate(zip(inner, known, strict=True))
                return [line for at, pair in pairs for line in self.differences(*pair, f"{place}[{at}]")]
            case _:
                return self._structs(inner, known, place)

    def _structs(self, written: str, read: str, place: str) -> list[str]:
        if (written, read) in self._seen:
            return []
        self._seen.add((written, read))
        one, other = self._writer[written], self._reader[read]
        if (one["tag"], one["array"]) != (other["tag"], other["array"]):
            return [f"{place}: is told apart or laid out otherwise"]
        fields = {field["name"]: field for field in one["fields"]}
        found = []
        if one["array"] and [field["name"] for field in other["fields"]] != list(fields)[: len(other["fields"])]:
            return [f"{place}: elements have other places"]
        if other["closed"]:
            known = {field["name"] for field in other["fields"]}
            found += [f"{place}.{name}: is new" for name in fields if name not in known]
        for field in other["fields"]:
            name = field["name"]
            if field["required"] and not fields.get(name, {}).get("always"):
                found.append(f"{place}.{name}: may be missing")
            if name in fields:
                found += self.differences(fields[name]["shape"], field["shape"], f"{place}.{name}")
        return found

    def _unions(self, written: Shape, read: Shape, place: str) -> list[str]:
        """Each alternative that may be written has to be one that is read."""
        found: list[str] = []
        for one in written["any"] if _is(written, "any") else [written]:
            tries: list[list[str]] = []
            for other in read["any"] if _is(read, "any") else [read]:
                before = set(self._seen)
                tries.append(self.differences(one, other, place))
                if not tries[-1]:
                    break
                self._seen = before
            if all(tries):
                closest: list[str] = min(tries, key=len)
                found += closest
        return found


def _is(shape: Shape, kind: str) -> bool:
    return isinstance(shape, dict) and kind in shape


def _word(shape: Shape) -> str:
    return shape if isinstance(shape, str) else next(iter(shape))


def _shape(told: inspect.Type, structs: dict[str, Any]) -> Shape:
    match told:
        case inspect.StructType():
            return {"struct": _struct(told, structs)}
        case inspect.UnionType(types=types):
            return {"any": [_shape(each, structs) for each in types]}
        case inspect.LiteralType(values=values):
            return {"one": sorted(values)}
        case (
            inspect.VarTupleType(item_type=item)
            | inspect.ListType(item_type=item)
            | inspect.CollectionType(item_type=item)
        ):
            return {"list": _shape(item, structs)}
        case inspect.TupleType(item_types=items):
            return {"tuple": [_shape(each, structs) for each in items]}
        case inspect.DictType(value_type=value):
            return {"map": _shape(value, structs)}
        case inspect.AnyType():
            return "anything"
        case _:
            return type(told).__name__.removesuffix("Type").lower()


def _struct(told: inspect.StructType, structs: dict[str, Any]) -> str:
    name = told.cls.__name__
    if name not in structs:
        structs[name] = {}  # one that contains itself finds it
        omits = told.cls.__struct_config__.omit_defaults
        structs[name] = {
            "tag": told.tag,
            "array": told.array_like,
            "closed": told.forbid_unknown_fields,
            "fields": [
                {
                    "name": field.encode_name,
                    "required": field.required,
                    "always": field.required or not omits or told.array_like,
                    "shape": _shape(field.type, structs),
                }
                for field in told.fields
            ],
        }
    return name


def main() -> None:
    """Write the file of the present version."""
    project = tomllib.loads((FOLDER.parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    text = json.dumps(present(), indent=1, sort_keys=True) + "\n"
    (FOLDER / f"{project['version']}.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
