"""A name as one text and in parts (SEMANTICS D4): by example and as laws."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.contact import PersonName
from services.sync.core.names import join, split, tidy

words = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8).filter(
    lambda word: word == tidy(word)
)
parts = st.one_of(st.just(""), words, st.lists(words, min_size=2, max_size=2).map(" ".join))
names = st.builds(PersonName, prefix=parts, given=parts, middle=parts, family=parts, suffix=parts, full=parts)
texts = st.one_of(st.text(max_size=40), st.lists(words, max_size=6).map(" ".join))


@given(names)
@settings(max_examples=200, deadline=None)
def test_d4_splitting_what_was_joined_gives_the_parts_back(name: PersonName) -> None:
    if join(name):
        assert split(join(name), name) == name


@given(texts)
@settings(max_examples=200, deadline=None)
def test_d4_what_was_split_joins_to_the_same_text(text: str) -> None:
    assert join(split(text, None)) == tidy(text)


@given(texts, names)
@settings(max_examples=200, deadline=None)
def test_d4_a_split_loses_no_word_whatever_the_target_had(text: str, present: PersonName) -> None:
    assert join(split(text, present)) == tidy(text)


@given(texts, names)
@settings(max_examples=200, deadline=None)
def test_d4_splitting_twice_changes_nothing_more(text: str, present: PersonName) -> None:
    once = split(text, present)
    assert split(text, once) == once


@given(words, words, words)
@settings(max_examples=100, deadline=None)
def test_d4_a_changed_family_name_keeps_the_given_name(given_name: str, family: str, new: str) -> None:
    present = PersonName(given=given_name, family=family)
    assert split(f"{given_name} {new}", present).given == given_name


ADA = PersonName(prefix="Dr.", given="Ada", middle="Maria", family="King", suffix="Jr.")


@pytest.mark.parametrize(
    ("present", "text", "wanted"),
    [
        (PersonName(given="Ada", family="King"), "Ada Lovelace", PersonName(given="Ada", family="Lovelace")),
        (PersonName(given="Ada", family="King"), "Eva King", PersonName(given="Eva", family="King")),
        (
            PersonName(given="Ada", family="de la Cruz"),
            "Eva de la Cruz",
            PersonName(given="Eva", family="de la Cruz"),
        ),
        (
            PersonName(given="Mary Ann", family="Smith Jones"),
            "Mary Ann Brown Jones",
            PersonName(given="Mary Ann", family="Brown Jones"),
        ),
        (
            PersonName(given="Ada", family="King", suffix="Jr."),
            "Ada Lovelace Jr.",
            PersonName(given="Ada", family="Lovelace", suffix="Jr."),
        ),
        (
            PersonName(prefix="Dr.", given="Ada", family="King"),
            "Dr. Eva King",
            PersonName(prefix="Dr.", given="Eva", family="King"),
        ),
        (PersonName(given="Ada"), "Ada King", PersonName(given="Ada", family="King")),
        (PersonName(family="King"), "Ada King", PersonName(given="Ada", family="King")),
        (PersonName(given="Ada", family="King"), "Ada", PersonName(given="Ada")),
        (PersonName(given="Ada", family="King"), "", PersonName()),
    ],
)
def test_d4_only_the_part_that_changed_is_changed(present: PersonName, text: str, wanted: PersonName) -> None:
    assert split(text, present) == wanted


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
    ],
)
def test_d4_of_five_parts_only_the_one_that_changed_is_changed(text: str, wanted: dict[str, str]) -> None:
    was = {part: getattr(ADA, part) for part in ("prefix", "given", "middle", "family", "suffix")}
    found = split(text, ADA)
    assert {part: getattr(found, part) for part in was} == {**was, **wanted}


def test_d4_a_suffix_that_is_added_leaves_the_family_name() -> None:
    found = split("Ada King Jr.", PersonName(given="Ada", family="King"))
    assert (found.given, found.family, found.suffix) == ("Ada", "King", "Jr.")


def test_d4_a_title_that_is_added_leaves_the_given_name() -> None:
    found = split("Dr. Ada King", PersonName(given="Ada", family="King"))
    assert (found.prefix, found.given, found.family) == ("Dr.", "Ada", "King")


def test_d4_a_given_name_that_goes_leaves_the_title() -> None:
    found = split("Dr. King", PersonName(prefix="Dr.", given="Ada", family="King"))
    assert (found.prefix, found.given, found.family) == ("Dr.", "", "King")


def test_d4_the_display_form_goes_when_the_name_changes() -> None:
    present = PersonName(given="太郎", family="山田", full="山田 太郎")
    assert split("太郎 山田", present) == present
    assert split("太郎 鈴木", present).full == ""


def test_a_name_without_parts_is_its_display_form() -> None:
    assert join(PersonName(full=" Ada  King ")) == "Ada King"
    assert join(PersonName(given="Ada", full="Someone else")) == "Ada"
