"""A name as one text and in parts (SEMANTICS D4): by a table of shapes, by example and as laws."""

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.contracts.contact import PersonName
from services.sync.core.names import clean, join, parse, says, split, tidy, told
from services.sync.core.names.spoken import is_native
from tests.core.name_shapes import SHAPES, Shape

PARTS = ("prefix", "given", "middle", "family", "suffix")

# Any text at all, and names made of real words, which meet the rules that any text hardly ever meets.
words = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8).filter(
    lambda word: word == clean(word)
)
spoken = st.sampled_from(sorted({word for shape in SHAPES for word in clean(shape.text).split()}))
parts = st.lists(st.one_of(words, spoken), max_size=3).map(" ".join)
names = st.builds(PersonName, prefix=parts, given=parts, middle=parts, family=parts, suffix=parts, full=parts)
texts = st.one_of(
    st.text(max_size=40),
    st.lists(st.one_of(words, spoken), max_size=6).map(" ".join),
    st.lists(st.one_of(spoken, st.just(",")), max_size=7).map(" ".join).map(lambda text: text.replace(" ,", ",")),
    st.sampled_from([shape.text for shape in SHAPES]),
)
laws = settings(max_examples=300, deadline=None)


def letters(text: str) -> Counter[str]:
    """Count what may never be lost: all but blanks and the commas between parts."""
    return Counter(clean(text)) - Counter({" ": len(text), ",": len(text), "，": len(text)})


def in_parts(name: PersonName) -> dict[str, str]:
    return {part: getattr(name, part) for part in PARTS}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: tidy(shape.text) or "nothing")
def test_d4_a_text_alone_is_read_in_these_parts(shape: Shape) -> None:
    assert split(shape.text, None) == shape.parts


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: tidy(shape.text) or "nothing")
def test_d4_what_was_read_is_said_by_its_text_and_by_its_join(shape: Shape) -> None:
    assert says(shape.text, shape.parts)
    assert split(join(shape.parts), shape.parts) == shape.parts
    assert told(shape.parts, shape.text) == shape.text


def test_the_table_names_every_shape_once() -> None:
    assert [text for text, count in Counter(shape.text for shape in SHAPES).items() if count > 1] == []


@given(names)
@laws
def test_d4_splitting_what_was_joined_gives_the_parts_back(name: PersonName) -> None:
    if join(name):
        assert split(join(name), name) == name


@given(names)
@laws
def test_d4_a_join_loses_no_letter(name: PersonName) -> None:
    if any(in_parts(name).values()):
        assert Counter(join(name).replace(" ", "")) == Counter(
            clean(" ".join(in_parts(name).values())).replace(" ", "")
        )


@given(texts)
@laws
def test_d4_what_was_split_joins_to_the_same_letters(text: str) -> None:
    assert letters(join(split(text, None))) == letters(text)


@given(texts)
@laws
def test_d4_without_a_comma_or_a_patronymic_it_joins_to_the_same_text(text: str) -> None:
    found = split(text, None)
    if not set(text) & {",", "，"} and not found.middle:
        assert join(found) == clean(text)


@given(texts, names, st.one_of(st.none(), texts))
@example("山田 太郎", PersonName(given="太郎", family="山田"), None)
@laws
def test_d4_a_split_loses_no_letter_whatever_the_target_had(text: str, present: PersonName, before: str | None) -> None:
    assert letters(join(split(text, present, before))) == letters(text)


@given(texts, names)
@laws
def test_d4_splitting_twice_changes_nothing_more(text: str, present: PersonName) -> None:
    once = split(text, present)
    assert split(text, once) == once


@given(texts, names)
@laws
def test_d4_what_was_split_is_said_by_the_text(text: str, present: PersonName) -> None:
    found = split(text, present)
    assert says(text, found)
    assert told(found, text) == text


@given(names, texts)
@laws
def test_d4_what_is_told_says_the_name(name: PersonName, present: str) -> None:
    assert says(told(name, present), name)


@given(names)
@laws
def test_d4_told_to_one_who_said_the_join_before_nothing_changes(name: PersonName) -> None:
    for before in (None, "", join(name)):
        if join(name):
            assert split(join(name), name, before) == name


@given(st.text())
@laws
def test_d4_a_clean_text_is_clean(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert tidy(clean(text)) == clean(text)


# Where the given name is in no script that puts the family name first, and the new name brings no comma form.
@given(
    words.filter(lambda word: not is_native(word)),
    words,
    words.filter(lambda word: not set(word) & {",", "，"}),
)
@laws
def test_d4_a_changed_family_name_keeps_the_given_name(given_name: str, family: str, new: str) -> None:
    present = PersonName(given=given_name, family=family)
    assert split(f"{given_name} {new}", present).given == given_name


LATIN = st.sampled_from(["Ada", "Maria", "Eva", "King", "Lovelace", "Müller", "O'Brien", "Jean-Luc", "Иван", "Νίκος"])


@given(st.lists(LATIN, min_size=5, max_size=5, unique=True), st.sampled_from(PARTS[1:4]))
@laws
def test_d4_a_word_that_changes_touches_only_its_part(drawn: list[str], part: str) -> None:
    given_name, middle, family, second, new = drawn
    present = PersonName(
        prefix="Obering.", given=given_name, middle=middle, family=f"{family} {second}", suffix="of Bath"
    )
    wanted = replace(present, **{part: new})
    assert split(join(wanted), present) == wanted


ADA = PersonName(prefix="Dr.", given="Ada", middle="Maria", family="King", suffix="Jr.")


def person(given_name: str = "", family: str = "", **others: str) -> PersonName:
    return PersonName(given=given_name, family=family, **others)


@pytest.mark.parametrize(
    ("present", "text", "wanted"),
    [
        (person("Ada", "King"), "Ada Lovelace", person("Ada", "Lovelace")),
        (person("Ada", "King"), "Eva King", person("Eva", "King")),
        (person("Ada", "King"), "Grace Hopper", person("Grace", "Hopper")),
        (person("Ada", "King"), "Ada Maria King", person("Ada", "King", middle="Maria")),
        (person("Ada", "King"), "Mary Ada King", person("Mary Ada", "King")),
        (person("Ada", "King"), "Ada King Lovelace", person("Ada", "King Lovelace")),
        (person("Ada", "King"), "Ada de King", person("Ada", "de King")),
        (person("Ada", "King"), "Ada", person("Ada")),
        (person("Ada", "King"), "King", person("", "King")),
        (person("Ada", "King"), "", person()),
        (person("Ada", "King"), "King Ada", person("King", "Ada")),
        (person("Ada", "King"), "King, Ada", person("Ada", "King")),
        (person("Ada", "King"), "Lovelace, Ada", person("Ada", "Lovelace")),
        (person("Ada", "King"), "Ada King, PhD", person("Ada", "King", suffix="PhD")),
        (person("Ada", "King"), "Ada King Jr.", person("Ada", "King", suffix="Jr.")),
        (person("Ada", "King"), "Ada Lovelace Jr.", person("Ada", "Lovelace", suffix="Jr.")),
        (person("Ada", "King"), "Dr. Ada King", person("Ada", "King", prefix="Dr.")),
        (person("Ada", "King"), "Dr. King", person("", "King", prefix="Dr.")),
        (person("Ada", "King", suffix="Jr."), "Ada Lovelace Jr.", person("Ada", "Lovelace", suffix="Jr.")),
        (person("Ada", "King", prefix="Dr."), "Dr. Eva King", person("Eva", "King", prefix="Dr.")),
        (person("Ada", "King", prefix="Dr."), "Dr. Grace Hopper", person("Grace", "Hopper", prefix="Dr.")),
        (person("Ada", "King", prefix="Dr."), "Marie Ada King", person("Marie Ada", "King")),
        (person("Ada"), "Ada King", person("Ada", "King")),
        (person("Ada"), "Ada Maria King", person("Ada", "King", middle="Maria")),
        (person("", "King"), "Ada King", person("Ada", "King")),
        (person("Ada", "de la Cruz"), "Eva de la Cruz", person("Eva", "de la Cruz")),
        (person("Ada", "de la Cruz"), "Ada de la Vega", person("Ada", "de la Vega")),
        (person("Mary Ann", "Smith Jones"), "Mary Ann Brown Jones", person("Mary Ann", "Brown Jones")),
        (person("Gabriel", "García Márquez"), "Gabriel José García Márquez", None),
        (person("Gabriel", "García Márquez"), "Gabo García Márquez", person("Gabo", "García Márquez")),
        (person("Acme", "GmbH"), "Acme GmbH", person("Acme", "GmbH")),
        (person("Acme GmbH"), "Acme Ltd", person("Acme Ltd")),
        (person("Tom", "Major"), "Tom Major", person("Tom", "Major")),
        (person("Jack", "MD"), "Jim MD", person("Jim", "MD")),
        (person("太郎", "山田"), "山田 花子", person("花子", "山田")),
        (person("太郎", "山田"), "鈴木 太郎", person("太郎", "鈴木")),
        (person("太郎", "山田"), "山田太郎", person("太郎", "山田")),
        (person("太郎", "山田"), "Taro Yamada", person("Taro", "Yamada")),
        (person("János", "Nagy"), "János Kis", person("János", "Kis")),
        (PersonName(full="Ada King"), "Ada King", PersonName(full="Ada King")),
        (PersonName(full="Ada King"), "Ada Lovelace", person("Ada", "Lovelace")),
    ],
)
def test_d4_only_the_part_that_changed_is_changed(present: PersonName, text: str, wanted: PersonName | None) -> None:
    wanted = wanted or replace(present, middle="José")
    assert split(text, present) == wanted


@pytest.mark.parametrize(
    ("before", "text", "wanted"),
    [
        ("", "Nagy János", person("János", "Nagy")),
        ("Nagy János", "Nagy János", person("János", "Nagy")),
        ("Nagy János", "Kis János", person("János", "Kis")),
        ("Nagy János", "Nagy Ferenc", person("Ferenc", "Nagy")),
        ("Nagy János", "János Nagy", person("János", "Nagy")),
        ("János Nagy", "Nagy János", person("Nagy", "János")),
        (None, "Nagy János", person("Nagy", "János")),
    ],
)
def test_d4_what_was_said_before_tells_the_order(before: str | None, text: str, wanted: PersonName) -> None:
    assert split(text, person("János", "Nagy"), before) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Dr. Ada Maria Lovelace Jr.", {"family": "Lovelace"}),
        ("Dr. Eva Maria King Jr.", {"given": "Eva"}),
        ("Dr. Ada Sophie King Jr.", {"middle": "Sophie"}),
        ("Ada Maria King Jr.", {"prefix": ""}),
        ("Prof. Ada Maria King Jr.", {"prefix": "Prof."}),
        ("Dr. Ada Maria King", {"suffix": ""}),
        ("Dr. Ada Maria King Sr.", {"suffix": "Sr."}),
        ("Prof. Ada Maria King Sr.", {"prefix": "Prof.", "suffix": "Sr."}),
        ("Dr. Eva Sophie King Jr.", {"given": "Eva", "middle": "Sophie"}),
        ("King, Dr. Ada Maria Jr.", {}),
    ],
)
def test_d4_of_five_parts_only_the_one_that_changed_is_changed(text: str, wanted: dict[str, str]) -> None:
    assert in_parts(split(text, ADA)) == {**in_parts(ADA), **wanted}


def test_d4_names_in_han_kana_or_hangul_are_joined_family_first() -> None:
    assert join(person("太郎", "山田")) == "山田 太郎"
    assert join(person("민준", "김", suffix="님")) == "김 민준 님"
    assert join(person("Taro", "山田")) == "Taro 山田"
    assert join(person("マイケル", "ジャクソン")) == "マイケル ジャクソン"


def test_d4_the_display_form_goes_when_the_name_changes() -> None:
    present = PersonName(given="太郎", family="山田", full="山田 太郎")
    assert split("山田 太郎", present) == present
    assert split("鈴木 太郎", present).full == ""


def test_d4_a_text_that_says_the_name_in_its_own_form_stays() -> None:
    assert told(person("Ada", "King"), "King, Ada") == "King, Ada"
    assert told(person("Ada", "Lovelace"), "King, Ada") == "Ada Lovelace"
    assert told(person("太郎", "山田"), "山田太郎") == "山田太郎"
    assert told(person("Ada", "King"), "") == "Ada King"


def test_a_name_without_parts_is_its_display_form() -> None:
    assert join(PersonName(full=" Ada  King ")) == "Ada King"
    assert join(PersonName(given="Ada", full="Someone else")) == "Ada"


def test_a_text_is_read_alike_however_often_and_wherever() -> None:
    first = [parse(clean(shape.text)) for shape in SHAPES]
    assert [parse(clean(shape.text)) for shape in reversed(SHAPES)] == first[::-1]
