"""Cards: read tolerantly, edited line by line."""

import string

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.connectors.carddav import editing, fields, vcard
from services.connectors.carddav.vcard import Broken, Card
from services.contracts.contact import Address, Fields, PersonName

FULL = """BEGIN:VCARD
VERSION:3.0
PRODID:-//Somebody//Else//EN
UID:7f9c-1
FN:Dr. Ada King
N:King;Ada;Byron,Gordon;Dr.;
item1.EMAIL;type=INTERNET;type=HOME:ada@home.example
item1.X-ABLabel:_$!<Home>!$_
EMAIL;TYPE="WORK,pref";X-Odd="a,b;c:d":ada@work.example
TEL;TYPE=CELL,VOICE:+44 20 7946 0000
item2.ADR;TYPE=HOME:;;12 St James's Sq\\nFlat 2;London;;SW1Y 4JH;UK
item2.X-ABADR:gb
ORG:Analytical Engines\\, Ltd.;Notes
TITLE:Countess\\; programmer
NOTE:One\\ntwo\\, three
CATEGORIES:Friends,Maths\\, pure
IMPP;X-SERVICE-TYPE=Skype:skype:ada
PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQSkZJRgABAQAAAQABAADAAAAAAAAAAAAAAAAAAAAAAAAAAA
 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
X-CUSTOM;B=1;A=2:kept as\\, it is
END:VCARD
"""


def card(text: str | bytes) -> Card:
    found = vcard.decode(text)
    assert isinstance(found, Card), found
    return found


def lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").splitlines()


def v4(*rows: str) -> Card:
    return card("\r\n".join(["BEGIN:VCARD", "VERSION:4.0", *rows, "END:VCARD", ""]))


def test_every_mapped_field_is_read_primary_first() -> None:
    assert fields.fields(card(FULL)) == {
        "name": (PersonName(prefix="Dr.", given="Ada", middle="Byron Gordon", family="King", full="Dr. Ada King"),),
        "email": ("ada@work.example", "ada@home.example"),
        "phone": ("+44 20 7946 0000",),
        "address": (
            Address(line1="12 St James's Sq", line2="Flat 2", city="London", postal_code="SW1Y 4JH", country="UK"),
        ),
        "company": ("Analytical Engines, Ltd.",),
        "job_title": ("Countess; programmer",),
        "note": ("One\ntwo, three",),
    }
    assert fields.tags(card(FULL)) == ("Friends", "Maths, pure")


def test_an_untouched_card_is_sent_as_it_came() -> None:
    assert lines(card(FULL).text()) == lines(FULL)
    assert editing.edit(card(FULL), fields.fields(card(FULL))) == card(FULL)


@pytest.mark.parametrize(
    ("path", "values", "changed"),
    [
        ("note", ("new",), {"NOTE"}),
        ("note", (), {"NOTE"}),
        ("job_title", ("Engineer",), {"TITLE"}),
        ("company", ("Other",), {"ORG"}),
        ("company", (), {"ORG"}),
        ("phone", ("+1 212 555 0100", "+44 20 7946 0000"), {"TEL"}),
        ("email", ("ada@work.example",), {"EMAIL", "X-ABLABEL"}),
        ("address", (), {"ADR", "X-ABADR"}),
        ("name", (PersonName(given="Ada", family="Lovelace"),), {"N", "FN"}),
    ],
)
def test_unknown_remote_fields_survive(path: str, values: tuple[object, ...], changed: set[str]) -> None:
    before = card(FULL)
    after = editing.edit(before, msgspec.convert({path: values}, Fields) if path != "name" else {path: values})  # type: ignore[dict-item]
    untouched = [line.text for line in before.lines if line.name not in changed]
    assert [line.text for line in after.lines if line.name not in changed] == untouched
    read = fields.fields(card(after.text()))
    if path == "name":
        (name,) = read["name"]
        assert isinstance(name, PersonName)
        assert (name.given, name.family, name.middle, name.full) == ("Ada", "Lovelace", "", "Ada Lovelace")
    else:
        assert read[path] == values
    assert {k: v for k, v in read.items() if k != path} == {k: v for k, v in fields.fields(before).items() if k != path}


def test_values_that_stay_keep_their_parameters_and_labels() -> None:
    after = editing.edit(card(FULL), {"email": ("ada@home.example", "new@work.example")}).text()
    assert "item1.EMAIL;type=INTERNET;type=HOME:ada@home.example" in after.replace("\r\n ", "")
    assert "item1.X-ABLabel:_$!<Home>!$_" in after
    assert fields.fields(card(after))["email"] == ("ada@home.example", "new@work.example")


def test_a_value_in_the_place_of_another_takes_over_its_type() -> None:
    after = editing.edit(card(FULL), {"email": ("ada@new.example", "ada@home.example")}).text().replace("\r\n ", "")
    assert 'EMAIL;TYPE="WORK,pref";X-Odd="a,b;c:d":ada@new.example' in after


def test_a_value_that_the_card_has_twice_stays_twice() -> None:
    before = v4("FN:A", "EMAIL;TYPE=home:a@x.example", "EMAIL;TYPE=work:a@x.example", "EMAIL:b@x.example")
    after = editing.edit(before, {"email": ("a@x.example", "c@x.example")})
    assert [line.head for line in after.all("EMAIL")] == ["EMAIL;TYPE=home", "EMAIL;TYPE=work", "EMAIL"]


def test_version_4_prefers_by_number_and_writes_uris_as_text_when_they_change() -> None:
    before = v4("FN:A B", "TEL;VALUE=uri;PREF=2:tel:+1-212-555-0100", "TEL;PREF=1;VALUE=uri:tel:+44-20-7946-0000")
    assert fields.fields(before)["phone"] == ("+44-20-7946-0000", "+1-212-555-0100")
    after = editing.edit(before, {"phone": ("+44 1", "+1-212-555-0100")})
    assert [line.text for line in after.all("TEL")] == [
        "TEL;VALUE=uri;PREF=2:tel:+1-212-555-0100",
        "TEL;PREF=1:+44 1",
    ]


def test_a_swapped_primary_reads_back_first() -> None:
    before = v4("FN:A B", "EMAIL;PREF=1:a@x.example", "EMAIL;PREF=2:b@x.example")
    after = editing.edit(before, {"email": ("b@x.example", "a@x.example")})
    assert fields.fields(card(after.text()))["email"] == ("b@x.example", "a@x.example")


def test_a_name_without_parts_is_its_display_form_only() -> None:
    assert fields.person(v4("FN:Prince")) == PersonName(full="Prince")


@pytest.mark.parametrize("n", ["King", "King;Ada", "King;Ada;;;", "King;Ada;;;;;;", ";Ada"])
def test_a_name_may_have_any_number_of_parts(n: str) -> None:
    name = fields.person(v4("FN:x", f"N:{n}"))
    assert name is not None
    assert {name.family, name.given} <= {"King", "Ada", ""}


@pytest.mark.parametrize(
    "wanted",
    [{"company": ("Engines",), "email": ("a@x.example",)}, {"email": ("a@x.example",)}, {"phone": ("+44 1",)}, {}],
)
def test_a_card_without_a_name_shows_something_that_isnt_taken_for_one(wanted: Fields) -> None:
    made = editing.new(wanted, "link")
    assert made.all("FN")
    assert fields.fields(made)["name"] == ()
    renamed = editing.edit(made, {"company": ("Other",)})
    assert fields.fields(renamed)["name"] == ()
    assert fields.text(renamed.all("FN")[0])


def test_a_name_that_is_cleared_leaves_the_company_to_be_shown() -> None:
    after = editing.edit(card(FULL), {"name": ()})
    assert fields.fields(after)["name"] == ()
    assert fields.text(after.all("FN")[0]) == "Analytical Engines, Ltd."


def test_tags_are_categories_and_the_others_stay() -> None:
    tagged = editing.with_tag(card(FULL), "PieSync Trash")
    assert fields.tags(tagged) == ("Friends", "Maths, pure", "PieSync Trash")
    assert editing.with_tag(tagged, "PieSync Trash") == tagged
    assert editing.without_tag(tagged, "PieSync Trash").text() == card(FULL).text()
    alone = editing.with_tag(v4("FN:A"), "PieSync Trash")
    assert not editing.without_tag(alone, "PieSync Trash").all("CATEGORIES")


def test_version_2_1_is_read_and_edited_in_its_own_way() -> None:
    text = (
        "BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;J=C3=B6rg\r\n"
        "FN;CHARSET=ISO-8859-1;QUOTED-PRINTABLE:J=F6rg =\r\nM=FCller\r\nTEL;CELL;PREF:+49 1\r\nTEL;HOME:+49 2\r\n"
        "AGENT:\r\nBEGIN:VCARD\r\nVERSION:2.1\r\nFN:Other\r\nEMAIL:other@x.example\r\nEND:VCARD\r\n"
        "NOTE;ENCODING=QUOTED-PRINTABLE:one=0D=0Atwo\r\nPHOTO;JPEG;ENCODING=BASE64:\r\n AAAA\r\n\r\nEND:VCARD\r\n"
    )
    before = card(text)
    read = fields.fields(before)
    assert read["name"] == (PersonName(given="Jörg", family="Müller", full="Jörg Müller"),)
    assert read["phone"] == ("+49 1", "+49 2")
    assert read["note"] == ("one\ntwo",)
    assert read["email"] == ()
    after = editing.edit(before, {"note": ("drei\nvier ü",), "job_title": ("x",)})
    assert fields.fields(card(after.text()))["note"] == ("drei\nvier ü",)
    assert after.text().isascii()


def test_folds_in_the_middle_of_a_character_and_any_line_break_are_read() -> None:
    raw = b"\xef\xbb\xbfBEGIN:VCARD\nVERSION:3.0\nFN:J\xc3\n \xb6rg\nN:;J\xc3\xb6rg;;;\nEND:VCARD"
    assert fields.fields(card(raw))["name"] == (PersonName(given="Jörg", full="Jörg"),)
    assert fields.person(card(raw.replace(b"\n", b"\r\n"))) is not None


def test_long_lines_are_folded_between_characters() -> None:
    made = editing.edit(v4("FN:A"), {"note": ("ü" * 200,)})
    assert max(len(row.encode()) for row in made.text().split("\r\n")) <= 75
    assert fields.fields(card(made.text()))["note"] == ("ü" * 200,)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"hello",
        b"BEGIN:VCARD",
        b"BEGIN:VCARD\nVERSION:3.0\nBEGIN:VCARD\nEND:VCARD\n",
        FULL.encode() * 2,
    ],
)
def test_what_is_no_card_is_said_to_be_broken(raw: bytes) -> None:
    assert isinstance(vcard.decode(raw), Broken)


def test_a_group_is_no_contact() -> None:
    assert fields.unreadable(v4("FN:All", "KIND:group"))
    assert fields.unreadable(v4("FN:All", "X-ADDRESSBOOKSERVER-KIND:Group"))
    assert fields.unreadable(v4("FN:A", "KIND:individual")) is None


shown = st.text(
    st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\\,;:\"'=^\n"), min_size=1, max_size=90
).map(lambda t: t.strip())
word = shown.map(lambda t: " ".join(t.split())).filter(bool)
part = st.just("") | word
name = st.builds(PersonName, prefix=part, given=part, middle=part, family=part, suffix=part).filter(
    lambda n: n != PersonName()
)
street = st.builds(Address, line1=word, line2=part, city=part, state=part, postal_code=part, country=part)
local = st.text(string.ascii_lowercase, min_size=1, max_size=8)
email = local.map(lambda t: f"{t}@x.example")
phone = st.text(string.digits, min_size=3, max_size=9).map(lambda t: "+" + t)
contacts = st.fixed_dictionaries(
    {
        "name": name.map(lambda n: (n,)),
        "email": st.lists(email, max_size=4, unique=True).map(tuple),
        "phone": st.lists(phone, max_size=4, unique=True).map(tuple),
        "address": st.lists(street, max_size=3, unique=True).map(tuple),
        "company": st.just(()) | word.map(lambda t: (t,)),
        "job_title": st.just(()) | word.map(lambda t: (t,)),
        "note": st.just(()) | shown.filter(bool).map(lambda t: (t,)),
    }
)
bare3 = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:x\r\nN:x;;;;\r\nEND:VCARD\r\n"
bare4 = "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:x\r\nEND:VCARD\r\n"


def told(wanted: Fields) -> Fields:
    """With the display form that a card shows for a name in parts."""
    (given_name,) = wanted["name"]
    assert isinstance(given_name, PersonName)
    spoken = (given_name.prefix, given_name.given, given_name.middle, given_name.family, given_name.suffix)
    return {**wanted, "name": (msgspec.structs.replace(given_name, full=" ".join(filter(None, spoken))),)}


@given(contacts, st.sampled_from([bare3, bare4, FULL]))
def test_what_is_written_is_read(wanted: Fields, start: str) -> None:
    after = editing.edit(card(start), wanted)
    assert fields.fields(card(after.text())) == told(wanted)
    assert card(after.text()).text() == after.text()


@given(contacts, contacts, st.sampled_from(sorted(fields.fields(card(FULL)))), st.sampled_from([bare3, bare4]))
def test_an_edit_of_one_field_leaves_every_other_line(first: Fields, then: Fields, path: str, start: str) -> None:
    before = card(editing.edit(card(start), first).text())
    after = card(editing.edit(before, {path: then[path]}).text())
    own = {"name": {"N", "FN"}, "company": {"ORG"}, "job_title": {"TITLE"}, "note": {"NOTE"}}
    own |= {key: {value} for key, value in fields.MULTI.items()}
    assert [row.text for row in after.lines if row.name not in own[path]] == [
        row.text for row in before.lines if row.name not in own[path]
    ]
    assert fields.fields(after)[path] == told(then)[path]


piece = st.sampled_from(
    [
        b"BEGIN:VCARD\n", b"END:VCARD\n", b"VERSION:2.1\n", b"VERSION:4.0\n", b"FN", b"N", b"EMAIL", b"ADR", b"ORG",
        b"TEL", b"CATEGORIES", b";", b":", b"=", b'"', b"\\", b",", b"\n", b"\r\n ", b"ENCODING=QUOTED-PRINTABLE",
        b"CHARSET=hex", b"PREF=\xc2\xb2", b"TYPE=pref", b"item1.", b"=C3", b"\xc3\xbc", b"x@y.z",
    ]
)  # fmt: skip


@given(
    st.binary(max_size=200)
    | st.lists(piece, max_size=40).map(lambda p: b"BEGIN:VCARD\n" + b"".join(p) + b"\nEND:VCARD")
)
@example(b"BEGIN:VCARD\nN;ENCODING=QUOTED-PRINTABLE;CHARSET=\x00:=\nEND:VCARD")
def test_arbitrary_bytes_are_read_or_broken(raw: bytes) -> None:
    found = vcard.decode(raw)
    if isinstance(found, Card):
        fields.contact(found, None)
        again = editing.with_tag(editing.edit(found, {"email": ("a@b.example",), "note": ("n",)}), "T")
        assert "T" in fields.tags(card(again.text()))
        assert fields.fields(card(again.text()))["email"] == ("a@b.example",)
