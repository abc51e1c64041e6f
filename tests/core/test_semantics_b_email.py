"""Rules that let changed e-mail addresses flow (SEMANTICS B10): as long as they match, and only into their side."""

from msgspec.structs import replace

from services.contracts.commands import Create, Update
from services.contracts.contact import Fields
from services.contracts.rule import HasTag, PermitEmail, Rule
from services.sync.core.state import Base
from tests.core.bench import CARD, only, tel, writes
from tests.core.scene import ADA, ALL_BACK, IS_GOLD, Scene, alone, gold, left, pair_of

NEW: Fields = {**CARD, "email": ("new@example.com",)}
PERMIT = Rule(source="right", actions=(PermitEmail(),))
PERMIT_GOLD = Rule(source="right", conditions=(IS_GOLD,), actions=(PermitEmail(),))
BOTH: Fields = {**CARD, "email": ("work@example.com", "ada@example.com")}


def held(scene: Scene) -> str | None:
    hold = scene.link().left.held.get("email")
    return None if hold is None else hold.value


def test_b10_with_update_email_a_changed_address_flows_and_isnt_held() -> None:
    scene = pair_of(left(), PERMIT, shop=ADA)
    update = only(scene.person("office", "card", NEW), Update)
    assert (update.fields, update.expected) == ({"email": ("new@example.com",)}, {"email": ("ada@example.com",)})
    assert held(scene) is None
    assert scene.carry_out([update]) == [update]
    assert scene.link().base["email"] == Base("new@example.com", "new@example.com")


def test_b10_without_it_the_address_is_held() -> None:
    scene = pair_of(left(), ALL_BACK, shop=ADA)
    assert scene.person("office", "card", NEW) == []
    assert held(scene) == "new@example.com"


def test_b10_the_other_sides_rule_permits_nothing_into_this_one() -> None:
    scene = pair_of(Rule(source="left", actions=(PermitEmail(),)), ALL_BACK, shop=ADA)
    assert scene.person("office", "card", NEW) == []
    assert held(scene) == "new@example.com"


def test_b10_only_a_rule_that_matches_permits() -> None:
    scene = pair_of(left(), PERMIT_GOLD, ALL_BACK, shop=ADA)
    assert scene.person("office", "card", NEW) == []
    assert held(scene) == "new@example.com"
    update = only(scene.person("office", "card", {**NEW, "tier": ("gold",)}), Update)
    assert update.fields == {"email": ("new@example.com",)}
    scene.carry_out([update])
    assert held(scene) is None


def test_b10_a_rule_that_stops_matching_stops_permitting() -> None:
    scene = pair_of(left(), PERMIT_GOLD, ALL_BACK, shop=ADA, office={**CARD, "tier": ("gold",)})
    scene.carry_out(scene.person("office", "card", {**NEW, "tier": ("gold",)}))
    assert scene.fields["shop", "cus"]["email"] == ("new@example.com",)
    assert scene.person("office", "card", {**CARD, "email": ("third@example.com",)}) == []
    assert held(scene) == "third@example.com"


def test_b10_a_change_that_comes_with_the_end_of_the_permit_is_held() -> None:
    scene = pair_of(left(), PERMIT_GOLD, ALL_BACK, shop=ADA, office={**CARD, "tier": ("gold",)})
    assert scene.person("office", "card", NEW) == []
    assert held(scene) == "new@example.com"


def test_b10_a_new_config_with_the_permit_lets_the_held_one_go_and_one_without_holds() -> None:
    scene = pair_of(left(), ALL_BACK, shop=ADA)
    scene.person("office", "card", NEW)
    (update,) = scene.carry_out(scene.configure(left(), PERMIT))
    assert isinstance(update, Update)
    assert held(scene) is None
    assert scene.carry_out(scene.configure(left(), ALL_BACK)) == []
    assert scene.person("office", "card", {**CARD, "email": ("third@example.com",)}) == []
    assert held(scene) == "third@example.com"


def test_b10_other_fields_flow_while_it_is_held() -> None:
    scene = pair_of(left(), PERMIT_GOLD, ALL_BACK, shop=ADA)
    update = only(scene.person("office", "card", {**NEW, "tel": tel("44")}), Update)
    assert update.fields == {"phone": tel("44")}


def test_b10_first_pairing_overwrites_a_differing_email_only_with_the_permit() -> None:
    for rule, wanted in ((PERMIT, ("work@example.com",)), (ALL_BACK, ("ada@example.com",))):
        scene = paired_with_the_office_winning(rule)
        assert scene.fields["shop", "cus"]["email"] == wanted
        assert held(scene) is None


def paired_with_the_office_winning(rule: Rule) -> Scene:
    """Two contacts with unequal addresses, paired for the first time."""
    scene = alone(left(), rule)
    scene.bench.configure(replace(scene.bench.connection, winner="right"))
    scene.bench.state.scanned = frozenset()
    scene.carry_out(scene.person("shop", "cus", ADA) + scene.person("office", "card", BOTH))
    return scene


def test_b10_an_emptied_address_isnt_passed_on_with_the_permit_either() -> None:
    scene = pair_of(left(), PERMIT, shop=ADA)
    none = {path: values for path, values in CARD.items() if path != "email"}
    assert writes(scene.person("office", "card", none)) == []
    assert scene.fields["shop", "cus"]["email"] == ("ada@example.com",)


def test_b10_creating_needs_no_permit() -> None:
    scene = alone(left(), ALL_BACK)
    assert only(scene.person("office", "card", CARD), Create).fields["email"] == ("ada@example.com",)


def test_b10_a_pair_that_leaves_holds_nothing_and_sends_nothing() -> None:
    scene = pair_of(gold(), replace(PERMIT, conditions=(HasTag(name="Sync"),)), tags=["Sync"])
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.person("office", "card", NEW, tags=[]) == []
    assert scene.link().status == "outside"
    assert held(scene) is None
