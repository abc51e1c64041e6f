"""Writes: creates, updates under etags (P14), labels, refusals."""

import msgspec
import pytest

from services.connectors.google_contacts.sandbox import Fail, Limits
from services.connectors.verdicts import verdict_on
from services.contracts.app import Trouble, Verdict
from services.contracts.contact import Fields, PersonName
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from tests.connectors.google_rig import ADA, LINK, OTHER_LINK, Office, create, must, tag, untag, update

NOTE: Fields = {"note": ("Ours",)}


async def test_a_create_makes_one_contact_with_our_mark() -> None:
    async with Office() as office:
        made = must(await office.write(create()), Written)
        assert made.seen is not None
        assert (made.seen.contact.mark, made.seen.contact.fields) == (LINK, ADA)
        person = office.box.hand.get(made.contact_id)
        assert [(each["key"], each["value"]) for each in person["clientData"]] == [("contactsync_link", LINK)]


async def test_e1_nothing_is_ever_deleted() -> None:
    async with Office() as office:
        seen = await office.look(must(await office.write(create()), Written).contact_id)
        await office.write(update(seen, dict.fromkeys(ADA, ())))
        await office.write(tag(seen.contact_id))
        await office.write(untag(seen.contact_id))
        assert {each.method for each in office.box.requests} == {"GET", "POST", "PATCH"}
        assert len(office.box.hand.everybody()) == 1


async def test_p4_a_create_sent_before_is_looked_for_by_its_mark() -> None:
    async with Office() as office:
        office.box.faults.drop("POST")
        assert must(await office.write(create()), Trouble).key == "unanswered"
        again = must(await office.write(create(), n=1), Written)
        assert again.looked
        assert len(office.box.hand.everybody()) == 1


async def test_p14_an_update_goes_under_the_etag_of_its_observation_without_reading() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example", "Ada King"))
        office.box.requests.clear()
        done = must(await office.write(update(seen, NOTE)), Written)
        assert [each.method for each in office.box.requests] == ["PATCH"]
        assert set(office.box.requests.to("PATCH")[0].params["updatePersonFields"].split(",")) == {
            "biographies",
            "clientData",
        }
        assert done.seen is not None
        assert done.seen.contact.guard != seen.contact.guard
        assert done.seen.contact.fields == {**seen.contact.fields, **NOTE}


async def test_p14_another_field_changed_meanwhile_is_kept_and_ours_is_written_under_the_new_etag() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        office.box.hand.update(seen.contact_id, names=[{"givenName": "Ada"}])
        done = must(await office.write(update(seen, NOTE)), Written)
        assert done.seen is not None
        assert done.seen.contact.fields["name"] == (PersonName(given="Ada", full="Ada"),)
        assert done.seen.contact.fields["note"] == ("Ours",)
        assert len(office.box.requests.to("PATCH")) == 2


async def test_p14_our_own_field_changed_meanwhile_is_stale_and_nothing_is_written() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        office.box.hand.update(seen.contact_id, biographies=[{"value": "Theirs"}])
        stale = must(await office.write(update(seen, NOTE)), Stale)
        assert stale.seen.contact.fields["note"] == ("Theirs",)
        assert office.box.requests.writes() == []


async def test_p14_a_second_change_between_reading_and_writing_is_stale() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        office.box.hand.update(seen.contact_id, names=[{"givenName": "Ada"}])
        office.box.faults.fail(400, "PATCH", rpc="FAILED_PRECONDITION", times=2)
        must(await office.write(update(seen, NOTE)), Stale)
        assert len(office.box.requests.to("PATCH")) == 2


async def test_p14_a_reading_that_lags_behind_the_refused_etag_is_tried_later() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        office.box.faults.fail(400, "PATCH", rpc="FAILED_PRECONDITION")
        answer = must(await office.write(update(seen, NOTE)), Trouble)
        assert (answer.key, verdict_on(answer, office.app.manifest)) == ("behind", Verdict.RETRY)


async def test_p4_a_refused_etag_of_our_own_applied_write_is_written() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        office.box.faults.drop("PATCH")
        must(await office.write(update(seen, NOTE)), Trouble)
        again = must(await office.write(update(seen, NOTE), n=1), Written)
        assert again.looked
        assert len(office.box.requests.writes()) == 1


@pytest.mark.parametrize("lost", ["guard", "object"])
async def test_an_update_without_guard_or_object_reads_first(lost: str) -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        command = update(seen, NOTE)
        bare: object = None if lost == "guard" else msgspec.Raw(b"null")
        command = msgspec.structs.replace(command, **{lost: bare})
        must(await office.write(command), Written)
        assert office.box.hand.get(seen.contact_id)["biographies"][0]["value"] == "Ours"


async def test_an_update_to_what_is_there_already_writes_nothing() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        office.box.requests.clear()
        must(await office.write(update(seen, {"emailAddresses": ("ada@x.example",)})), Unchanged)
        assert office.box.requests.writes() == []


async def test_an_update_of_a_deleted_contact_is_gone() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        office.box.hand.delete(seen.contact_id)
        assert must(await office.write(update(seen, NOTE)), Refused).gone
        assert office.box.hand.everybody() == []


async def test_two_connections_keep_each_others_write_marks() -> None:
    async with Office() as office:
        made = must(await office.write(create()), Written).contact_id
        await office.write(update(await office.look(made), NOTE, n=2))
        await office.write(update(await office.look(made), {"note": ("Theirs",)}, link=OTHER_LINK))
        keys = [each["key"] for each in office.box.hand.get(made)["clientData"]]
        assert keys == ["contactsync_link", "contactsync_write", "contactsync_write"]


async def test_custom_fields_are_written_and_their_neighbours_stay() -> None:
    async with Office() as office:
        made = office.box.hand.create("ada@x.example", userDefined=[{"key": "size", "value": "L"}])
        await office.write(update(await office.look(made), {"custom.product": ("syncbox",)}))
        fields = (await office.look(made)).contact.fields
        assert (fields["custom.size"], fields["custom.product"]) == (("L",), ("syncbox",))


async def test_e2_a_tag_is_a_label_that_is_made_when_missing() -> None:
    async with Office() as office:
        one, two = office.box.hand.create("a@x.example"), office.box.hand.create("b@x.example")
        for name in (one, two, one):
            done = must(await office.write(tag(name)), Written)
            assert done.seen is not None
            assert done.seen.contact.tags == ("PieSync Trash",)
        assert office.box.hand.labels(two) == ["PieSync Trash"]
        assert len(office.box.requests.to("POST", "/v1/contactGroups")) == 1


async def test_e5_a_tag_is_removed_and_other_labels_stay() -> None:
    async with Office() as office:
        made = office.box.hand.create("a@x.example")
        office.box.hand.label(made, "Friends of the house")
        await office.write(tag(made))
        must(await office.write(untag(made)), Written)
        assert office.box.hand.labels(made) == ["Friends of the house"]


async def test_a_label_that_doesnt_exist_is_removed_already() -> None:
    async with Office() as office:
        must(await office.write(untag(office.box.hand.create("a@x.example"))), Unchanged)
        assert office.box.requests.writes() == []


async def test_a_label_made_by_somebody_else_meanwhile_is_used() -> None:
    async with Office() as office:
        made = office.box.hand.create("a@x.example")
        await office.look(made)
        office.box.faults.drop("POST", "/v1/contactGroups")
        answer = must(await office.write(tag(made)), Trouble)
        assert verdict_on(answer, office.app.manifest) is Verdict.RETRY, "nothing of the tag itself was sent"
        must(await office.write(tag(made), n=1), Written)
        assert office.box.hand.labels(made) == ["PieSync Trash"]


async def test_a_label_deleted_meanwhile_is_made_anew() -> None:
    async with Office() as office:
        made = office.box.hand.create("a@x.example")
        must(await office.write(tag(made)), Written)
        office.box.hand.delete_label("PieSync Trash")
        answer = must(await office.write(tag(made)), Trouble)
        assert verdict_on(answer, office.app.manifest) is Verdict.RETRY
        must(await office.write(tag(made), n=1), Written)
        assert office.box.hand.labels(made) == ["PieSync Trash"]


async def test_a_systems_group_is_no_label() -> None:
    async with Office() as office:
        made = office.box.hand.create("a@x.example")
        assert must(await office.write(tag(made, "starred")), Refused).code == "label"


async def test_the_last_label_stays_with_a_sentence() -> None:
    async with Office() as office:
        made = office.box.hand.create("a@x.example")
        office.box.hand.label(made, "PieSync Trash")
        office.box.people.leave(made, "contactGroups/myContacts")
        assert must(await office.write(untag(made)), Refused).code == "last_label"


async def test_a_label_for_a_deleted_contact_is_gone() -> None:
    async with Office() as office:
        made = office.box.hand.create("a@x.example")
        office.box.hand.delete(made)
        assert must(await office.write(tag(made)), Refused).gone


async def test_d10_a_field_that_google_refuses_is_named() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("a@x.example"))
        message = b'{"error":{"code":400,"message":"Invalid value at person.email_addresses[0].value","status":"X"}}'
        office.box.faults.add(Fail(400, message), "PATCH")
        answer = must(await office.write(update(seen, {"emailAddresses": ("b@x",)})), Trouble)
        assert (answer.key, answer.field) == (400, "emailAddresses")
        assert verdict_on(answer, office.app.manifest) is Verdict.REFUSE


@pytest.mark.parametrize(
    ("status", "rpc", "reason", "verdict"),
    [
        (400, "INVALID_ARGUMENT", "", Verdict.REFUSE),
        (403, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", Verdict.REAUTHORISE),
        (403, "PERMISSION_DENIED", "RATE_LIMIT_EXCEEDED", Verdict.THROTTLED),
        (409, "ABORTED", "", Verdict.RETRY),
        (429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED", Verdict.THROTTLED),
        (500, "INTERNAL", "", Verdict.UNKNOWN),
        (503, "UNAVAILABLE", "", Verdict.UNKNOWN),
    ],
)
async def test_p4_an_error_means(status: int, rpc: str, reason: str, verdict: Verdict) -> None:
    async with Office() as office:
        office.box.faults.fail(status, "POST", rpc=rpc, reason=reason)
        answer = must(await office.write(create()), Trouble)
        assert verdict_on(answer, office.app.manifest) is verdict
        assert "ada" not in answer.detail.casefold()


async def test_a_write_that_a_quota_stops_is_throttled_and_not_made() -> None:
    async with Office() as office:
        office.box.quota.limits = Limits(write=0)
        answer = must(await office.write(create()), Trouble)
        assert verdict_on(answer, office.app.manifest) is Verdict.THROTTLED
        assert office.box.hand.everybody() == []
