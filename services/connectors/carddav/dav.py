"""WebDAV's XML: requests written, answers read. Nothing an answer holds or lacks raises.

Read with the standard library's expat, which expands entities only if a document type declares them: answers
with one are refused, and with them every attack by expansion or outside reference.
"""

import html
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers.expat import ExpatError, ParserCreate, XMLParserType

import msgspec

DAV = "{DAV:}"
CARD = "{urn:ietf:params:xml:ns:carddav}"

_DEEPEST = 64
_STATUS = re.compile(r"HTTP/\S+\s+([0-9]{3})")
_ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_FRAME = '<?xml version="1.0" encoding="utf-8"?>\n<{0} xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav">{1}</{0}>'


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One response of a multistatus."""

    path: str
    """Where the resource is: the normalized path of its address."""
    status: int | None = None
    """The status of the resource as a whole, where the row has one."""
    etag: str | None = None
    card: str | None = None
    kinds: frozenset[str] = frozenset()
    """Its resource types, as `{namespace}name`."""
    principal: str | None = None
    home: str | None = None


class Multistatus(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with status 207."""

    rows: tuple[Row, ...] = ()
    token: str | None = None
    """Where the change feed goes on."""


def path_of(href: str) -> str:
    """Return an address's path in one spelling, whatever the server escaped: the same resource, the same text."""
    try:
        path = urlsplit(href.strip()).path
    except ValueError:
        return ""
    segments = (unquote(segment, errors="surrogateescape") for segment in path.split("/"))
    return "/".join(quote(segment, safe="!$&'()*+,;=:@~", errors="surrogateescape") for segment in segments)


def propfind(*names: str) -> bytes:
    """Return the body that asks for properties: `getetag`, `C:addressbook-home-set` and the like."""
    return _document("propfind", _props(names))


def sync_collection(token: str) -> bytes:
    """Return the body that asks for what changed since `token`; everything for an empty one (RFC 6578)."""
    body = f"<sync-token>{html.escape(token)}</sync-token><sync-level>1</sync-level>"
    return _document("sync-collection", body + _props(["getetag"]))


def multiget(paths: Iterable[str]) -> bytes:
    """Return the body that asks for several cards (RFC 6352 section 8.7)."""
    hrefs = "".join(f"<href>{html.escape(path)}</href>" for path in paths)
    return _document("C:addressbook-multiget", _props(["getetag", "C:address-data"]) + hrefs)


def query(name: str, text: str) -> bytes:
    """Return the body that asks for the cards one of whose properties contains a text (RFC 6352 section 8.6)."""
    match = (
        f'<C:filter><C:prop-filter name="{name}"><C:text-match collation="i;unicode-casemap" match-type="contains">'
        f"{html.escape(_ILLEGAL.sub('', text))}</C:text-match></C:prop-filter></C:filter>"
    )
    return _document("C:addressbook-query", _props(["getetag", "C:address-data"]) + match)


def multistatus(body: bytes) -> Multistatus | None:
    """Read a multistatus; None if it isn't one. Rows without an address are left out."""
    root = parse(body)
    if root is None or root.tag != DAV + "multistatus":
        return None
    rows = (row for element in root.findall(DAV + "response") for row in _rows(element))
    return Multistatus(rows=tuple(rows), token=_text(root.find(DAV + "sync-token")) or None)


def names_condition(body: bytes, *conditions: str) -> bool:
    """Whether an error's body names one of the preconditions, such as `valid-sync-token`."""
    root = parse(body)
    return root is not None and any(element.tag.rpartition("}")[2] in conditions for element in root.iter())


def parse(body: bytes) -> Element | None:
    """Read XML; None if it isn't well-formed, brings a document type or is nested too deeply."""
    builder = TreeBuilder()
    parser = ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise _RefusedError
        builder.start(_clark(tag), attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_clark(tag))

    _listen(parser)
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(body, True)
        root: Element = builder.close()
    except (ExpatError, _RefusedError, AssertionError, ValueError, LookupError):
        return None
    return root


class _RefusedError(Exception):
    """The document has something that no answer of WebDAV needs."""


def _listen(parser: XMLParserType) -> None:
    def doctype(*_: object) -> None:
        raise _RefusedError

    parser.StartDoctypeDeclHandler = doctype


def _clark(name: str) -> str:
    return "{" + name if "}" in name else name


def _document(root: str, body: str) -> bytes:
    return _FRAME.format(root, body).encode()


def _props(names: Iterable[str]) -> str:
    return "<prop>" + "".join(f"<{name}/>" for name in names) + "</prop>"


def _rows(element: Element) -> Iterable[Row]:
    hrefs = [path for href in element.findall(DAV + "href") if (path := path_of(_text(href)))]
    status = _status(element)
    found: dict[str, Element] = {}
    for propstat in element.findall(DAV + "propstat"):
        if _status(propstat) in {None, 200}:
            found |= {prop.tag: prop for holder in propstat.findall(DAV + "prop") for prop in holder}
    kinds = found.get(DAV + "resourcetype")
    for path in hrefs:
        yield Row(
            path=path,
            status=status,
            etag=_printable(_text(found.get(DAV + "getetag"))),
            card=_raw(found.get(CARD + "address-data")),
            kinds=frozenset(kind.tag for kind in kinds) if kinds is not None else frozenset(),
            principal=_href(found.get(DAV + "current-user-principal")),
            home=_href(found.get(CARD + "addressbook-home-set")),
        )


def _status(element: Element) -> int | None:
    match = _STATUS.match(_text(element.find(DAV + "status")))
    return int(match[1]) if match else None


def _href(element: Element | None) -> str | None:
    return (_text(element.find(DAV + "href")) or None) if element is not None else None


def _printable(text: str) -> str | None:
    """Return an etag that a header can carry."""
    return text if text and text.isascii() and text.isprintable() else None


def _raw(element: Element | None) -> str | None:
    return "".join(element.itertext()) if element is not None else None


def _text(element: Element | None) -> str:
    return (_raw(element) or "").strip()
