"""WebDAV's XML and addresses, and what the manifest declares."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.connectors.carddav import dav, editing, fields
from services.connectors.carddav.manifest import MANIFEST


def test_a_document_type_is_refused() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><D:multistatus xmlns:D="DAV:">&b;</D:multistatus>'
    assert dav.parse(bomb) is None
    assert dav.parse(b'<!DOCTYPE x SYSTEM "file:///etc/hostname"><x/>') is None
    assert dav.parse(b"<a>" * 100 + b"</a>" * 100) is None
    assert dav.parse(b"<a><b/></a>") is not None


def test_an_address_has_one_spelling() -> None:
    same = ["/a%20b/%c3%a4.vcf", "/a b/ä.vcf", "https://x.example/a%20b/%C3%A4.vcf", " /a%20b/%C3%A4.vcf\n"]
    assert {dav.path_of(href) for href in same} == {"/a%20b/%C3%A4.vcf"}
    assert dav.path_of("/a%2Fb") == "/a%2Fb"
    assert dav.path_of("/%FF%25") == "/%FF%25"


pieces = st.sampled_from(
    ["<D:response>", "</D:response>", "<D:href>", "</D:href>", "/a.vcf", "http://[", "<D:propstat>", "</D:propstat>",
     "<D:prop>", "</D:prop>", "<D:status>", "</D:status>", "HTTP/1.1 404 X", "HTTP/1.1 200", "<D:sync-token>",
     "</D:sync-token>", "<C:address-data>", "</C:address-data>", "<D:getetag/>", "&#13;", "é", "<x:y/>"]
)  # fmt: skip


@given(st.lists(pieces, max_size=25) | st.text(max_size=40).map(lambda t: [t]))
def test_no_multistatus_raises(parts: list[str]) -> None:
    body = f'<D:multistatus xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav">{"".join(parts)}</D:multistatus>'
    dav.multistatus(body.encode())
    dav.multistatus("".join(parts).encode())
    dav.path_of("".join(parts))


def test_the_manifest_names_every_field_that_is_read() -> None:
    assert {field.path for field in MANIFEST.fields} == set(fields.fields(editing.new({}, "link")))


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://dav.example.org/ada/contacts/", True),
        ("https://dav.example.org", True),
        ("http://127.0.0.1:5232/ada/contacts/", True),
        ("http://localhost:5232", True),
        ("http://radicale:5232/ada/", True),
        ("http://dav.example.org/ada/", False),
        ("https://ada:secret@dav.example.org/", False),
        ("dav.example.org", False),
        ("https://dav.example.org/?x", False),
    ],
)
def test_a_password_travels_encrypted_or_within_a_private_network(url: str, taken: bool) -> None:
    (setting,) = [setting for setting in MANIFEST.settings if setting.key == "url"]
    assert bool(re.fullmatch(setting.pattern, url)) is taken
    assert re.fullmatch(setting.pattern, setting.example)


def test_a_request_escapes_what_it_carries() -> None:
    for body in (dav.query("EMAIL", "<&>\x01@x"), dav.multiget(["/a&b/<.vcf"]), dav.sync_collection('"<&')):
        assert dav.parse(body) is not None


@given(st.text())
def test_no_text_breaks_a_request(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert dav.parse(dav.query("EMAIL", text)) is not None
