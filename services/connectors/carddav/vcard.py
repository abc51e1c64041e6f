"""Business cards as lines: read tolerantly, edited line by line, every untouched line kept as it was.

vCard 3.0 is RFC 2426, vCard 4.0 is RFC 6350, escaping of structured values RFC 6350 section 3.4; vCard 2.1
(versit, 1996) is read as well as possible. The published library `vobject` 0.9.9 was tried first: it sorts the
properties and their parameters by name and writes `X-ABLabel` in capitals, so an edit of one field would change
every line of somebody else's card. Hence lines that remember their own text.
"""

import binascii
import quopri
import re
from collections.abc import Iterable

import msgspec

MOST_CHARACTERS = 8 * 1024 * 1024
"""A larger card isn't read; photos of phones stay far below."""

_LINE_OCTETS = 75  # RFC 6350 section 3.2
_NAME = re.compile(r"(?:(?P<group>[A-Za-z0-9_-]+)\.)?(?P<name>[A-Za-z0-9_-]+)\Z")
_VERSION = re.compile(r"^VERSION[^:\n]*:[ \t]*([0-9.]+)", re.IGNORECASE | re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Broken(msgspec.Struct, frozen=True):
    """A text that isn't a card we can read. `reason` holds nothing of its content."""

    reason: str


class Parameter(msgspec.Struct, frozen=True):
    """One parameter: its text as it stands in the line, and what it says (in 2.1 a value may stand alone)."""

    text: str
    name: str
    """In capitals; empty for a value that stands alone."""
    values: tuple[str, ...]


class Line(msgspec.Struct, frozen=True):
    """One property with all its folds, or a line that is none (`name` is empty then)."""

    text: str
    """As it stood in the card, without the last line break; folds are kept, as \\n."""
    name: str = ""
    """In capitals."""
    group: str = ""
    parameters: tuple[Parameter, ...] = ()
    head: str = ""
    """Everything before the colon, unfolded."""
    value: str = ""
    """Unfolded, still escaped; quoted-printable text is decoded, and escaped if it needs it."""

    def parameter(self, name: str) -> tuple[str, ...]:
        """Return all values of a parameter, in lower case."""
        bare = (value for p in self.parameters if not p.name for value in p.values) if name == "TYPE" else ()
        named = (value for p in self.parameters if p.name == name for value in p.values)
        return tuple(value.lower() for value in (*named, *bare))

    def with_value(self, value: str, version: str) -> "Line":
        """Return the line with another escaped value, the rest of it unchanged."""
        head = self.head
        if self.parameter("ENCODING") or "quoted-printable" in self.parameter("TYPE"):
            head = _joined(self, [p for p in self.parameters if not _encodes(p)])
        return line(head, value, version)

    def with_parameters(self, parameters: Iterable[Parameter], version: str) -> "Line":
        """Return the line with other parameters, the value and its encoding unchanged."""
        written = _whole(self.text, version)[len(self.head) :]
        return _read_line(_fold(_joined(self, parameters) + written, version), version)


class Card(msgspec.Struct, frozen=True):
    """One card."""

    lines: tuple[Line, ...]
    """All lines, BEGIN and END included."""
    version: str

    def all(self, name: str) -> list[Line]:
        """Return the properties of that name (capitals), in order."""
        return [line for line in self.lines if line.name == name]

    def text(self) -> str:
        """Return the card as it is sent: CRLF after every line."""
        return "".join(line.text.replace("\n", "\r\n") + "\r\n" for line in self.lines)


def decode(raw: bytes | str) -> Card | Broken:
    """Read one card. Whatever the bytes are, the answer is a card or the reason why not."""
    text = raw if isinstance(raw, str) else _utf8(raw)
    if text is None:
        return Broken("it isn't UTF-8")
    if len(text) > MOST_CHARACTERS:
        return Broken("it is too large")
    if "\x00" in text:
        return Broken("it holds a NUL character")  # which no database's text can hold
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    text = text if "\n" in text else text.replace("\r", "\n")
    version = match[1] if (match := _VERSION.search(text)) else "3.0"
    physical = text.split("\n")
    begins = next((i for i, row in enumerate(physical) if row.strip()), None)
    if begins is None or physical[begins].strip().upper() != "BEGIN:VCARD":
        return Broken("it doesn't begin with BEGIN:VCARD")
    lines: list[Line] = []
    depth = 0
    rows = iter(_logical(physical[begins:]))
    for row in rows:
        marker = row.strip().upper()
        depth += (marker == "BEGIN:VCARD") - (marker == "END:VCARD")
        # A card inside a card (AGENT of 2.1) is kept and not looked into.
        inside = depth == 1 and marker != "END:VCARD"
        lines.append(_read_line(row, version) if inside else Line(text=row))
        if depth == 0:
            break
    if depth != 0:
        return Broken("it has no END:VCARD")
    if any(row.strip() for row in rows):
        return Broken("something follows its END:VCARD")
    return Card(lines=tuple(lines), version=version)


def line(head: str, value: str, version: str) -> Line:
    """Return a new property line of an escaped value, folded as the card's version wants it."""
    if version == "2.1" and (not value.isascii() or "\\n" in value):
        # 2.1 has no escape for a line break and is ASCII unless it says otherwise.
        data = unescape(value, keep=";\\").encode()
        encoded = "".join(chr(b) if 32 <= b < 127 and b != 61 else f"={b:02X}" for b in data.replace(b"\n", b"\r\n"))
        return _read_line(f"{head};CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:{encoded}", version)
    return _read_line(_fold(f"{head}:{value}", version), version)


def escape(text: str) -> str:
    """Return text as it stands in a value."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub(r"([\\,;])", r"\\\1", text).replace("\n", "\\n")


def unescape(text: str, keep: str = "") -> str:
    r"""Return what a value says: \n is a line break, any other escaped character itself, if not in `keep`."""

    def meant(match: re.Match[str]) -> str:
        character = match[1]
        return "\n" if character in "nN" else match[0] if character in keep else character

    return re.sub(r"\\(.)", meant, text, flags=re.DOTALL)


def split(value: str, separator: str) -> list[str]:
    """Return the parts of an escaped value between separators that aren't escaped, still escaped."""
    parts, start, i = [], 0, 0
    while i < len(value):
        if value[i] == "\\":
            i += 2
            continue
        if value[i] == separator:
            parts.append(value[start:i])
            start = i + 1
        i += 1
    return [*parts, value[start:]]


def holds_control(text: str) -> bool:
    """Whether text has a control character, which neither a card nor the XML around it can carry."""
    return _CONTROL.search(text.replace("\r\n", "\n").replace("\r", "\n")) is not None


def _utf8(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    try:  # some programs fold in the middle of a character
        return re.sub(rb"\r?\n[ \t]", b"", raw).decode()
    except UnicodeDecodeError:
        return None


def _logical(physical: list[str]) -> list[str]:
    """Join each line with its folds; a quoted-printable one also with what follows a `=` at its end."""
    rows: list[list[str]] = []
    soft = False
    for text in physical:
        if rows and (soft or text[:1] in {" ", "\t"}):
            rows[-1].append(text)
        else:
            rows.append([text])
        soft = text.endswith("=") and _is_soft(rows[-1][0])
    return ["\n".join(row) for row in rows]


def _is_soft(text: str) -> bool:
    return "QUOTED-PRINTABLE" in text.partition(":")[0].upper()


def _whole(text: str, version: str) -> str:
    """Return a line without its folds."""
    if _is_soft(text):
        return text.replace("=\n", "")
    # 2.1 folds before a blank that belongs to the text; later versions insert the blank.
    return re.sub(r"\n([ \t])", r"\1" if version == "2.1" else "", text)


def _fold(text: str, version: str) -> str:
    if version == "2.1" or _is_soft(text):  # both break lines only where they please
        return text
    rows, row, size = [], "", 0
    for character in text:
        octets = len(character.encode())
        if size + octets > _LINE_OCTETS:
            rows.append(row)
            row, size = " ", 1
        row += character
        size += octets
    return "\n".join([*rows, row])


def _read_line(text: str, version: str) -> Line:
    logical = _whole(text, version)
    colon = _colon(logical)
    if colon < 0:
        return Line(text=text)
    head, value = logical[:colon], logical[colon + 1 :]
    first, *rest = _outside_quotes(head, ";")
    match = _NAME.match(first.strip())
    if match is None:
        return Line(text=text)
    parameters = tuple(_parameter(part) for part in rest)
    found = Line(
        text=text,
        name=match["name"].upper(),
        group=match["group"] or "",
        parameters=parameters,
        head=head,
        value=value,
    )
    return msgspec.structs.replace(found, value=_quoted_printable(found)) if _is_soft(text) else found


def _colon(logical: str) -> int:
    quoted = False
    for i, character in enumerate(logical):
        if character == '"':
            quoted = not quoted
        elif character == ":" and not quoted:
            return i
    return logical.find(":")  # a stray quotation mark


def _outside_quotes(text: str, separator: str) -> list[str]:
    parts, start, quoted = [], 0, False
    for i, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]


def _parameter(text: str) -> Parameter:
    name, equals, values = text.partition("=")
    if not equals:
        return Parameter(text=text, name="", values=(text.strip(),))
    # TYPE="home,work" is seen as often as TYPE=home,work and means the same.
    words = [word.strip() for part in _outside_quotes(values, ",") for word in part.strip().strip('"').split(",")]
    return Parameter(text=text, name=name.strip().upper(), values=tuple(words))


def _quoted_printable(found: Line) -> str:
    try:
        data = quopri.decodestring(found.value.encode())
        text = data.decode(next(iter(found.parameter("CHARSET")), "utf-8"), errors="replace")
    except (LookupError, binascii.Error, ValueError):
        return found.value
    # Some codecs give halves of characters.
    whole = text.encode(errors="replace").decode().replace("\x00", "")
    return whole.replace("\r\n", "\n").replace("\n", "\\n")


def _encodes(parameter: Parameter) -> bool:
    alone = {value.upper() for value in parameter.values} & {"QUOTED-PRINTABLE"} if not parameter.name else set()
    return parameter.name in {"ENCODING", "CHARSET"} or bool(alone)


def _joined(found: Line, parameters: Iterable[Parameter]) -> str:
    first = _outside_quotes(found.head, ";")[0]
    return ";".join([first, *(parameter.text for parameter in parameters)])
