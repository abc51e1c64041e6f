"""The conformance suite: what the runner and ingest rely on in every app, as named checks.

An app outside this tree runs it in three lines: `@pytest.mark.parametrize("check", SUITE, ids=str)`, and in the test
`async with my_bench() as bench: reason = await run(check, bench)`, then a skip with that reason if there is one.
"""

from __future__ import annotations

from services.connectors.bench import Bench, Check, Faults, Lab, must, run, sample
from services.connectors.reading_checks import READING
from services.connectors.verdicts import verdict_on
from services.contracts.app import TRASH, Ability, Gone, Trouble, Verdict
from services.contracts.commands import Tag, Untag
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from services.runtime.app import Absence, Attempt

__all__ = ["SUITE", "Bench", "Check", "Faults", "run"]

TAG = TRASH
CANARY = "canary3f9d51c2"


async def manifest_is_complete(lab: Lab) -> None:
    """Everything that generic code reads is there and makes sense."""
    manifest = lab.manifest
    assert manifest.title
    assert manifest.docs.startswith("https://")
    paths = [field.path for field in manifest.fields]
    assert len(paths) == len(set(paths))
    assert any(field.canonical == "email" and field.type == "email" for field in manifest.fields)
    assert min(manifest.pace.poll, manifest.pace.read, manifest.pace.write) > 0
    assert manifest.pace.burst >= 1
    assert manifest.batch >= 1
    assert (Ability.IDEMPOTENCY_KEY in manifest.abilities) == (manifest.key_lifetime > 0)
    assert Ability.POLL not in manifest.abilities or manifest.poll_interval > 0
    assert {credential.key for credential in manifest.credentials}.isdisjoint(
        setting.key for setting in manifest.settings
    )


async def name_is_folder(lab: Lab) -> None:
    """The app is found by its name."""
    assert lab.manifest.name in type(lab.app).__module__.split(".")


async def fields_round_trip(lab: Lab) -> None:
    """Every field that was written is read back as it was, accents and all."""
    fields = sample(lab.manifest)
    seen = await lab.seen(await lab.created(fields))
    assert {path: seen.contact.fields.get(path) for path in fields} == fields


async def creates(lab: Lab) -> None:
    """A create makes one contact, says which, and the contact carries the link's id."""
    command = lab.create()
    outcome = must(await lab.write(command), Written)
    seen = await lab.seen(outcome.contact_id)
    assert seen.contact.mark == command.aim.link
    if outcome.seen is not None:
        assert outcome.seen.contact.fields[lab.email] == command.fields[lab.email]


async def updates_only_what_changed(lab: Lab) -> None:
    """An update leaves every other field alone, also one that a person changes after the decision."""
    before = await lab.seen(await lab.created())
    outcome = must(await lab.write(lab.update(before, {lab.text: ("Changed",)})), Written)
    after = await lab.seen(outcome.contact_id)
    assert after.contact.fields == {**before.contact.fields, lab.text: ("Changed",)}


async def clears_removed_fields(lab: Lab) -> None:
    """A field that is set to nothing is empty afterwards."""
    before = await lab.seen(await lab.created())
    must(await lab.write(lab.update(before, {lab.text: ()})), Written)
    after = await lab.seen(before.contact_id)
    assert after.contact.fields.get(lab.text, ()) == ()


async def unknown_remote_fields_survive(lab: Lab) -> None:
    """What the manifest doesn't know stays as it is."""
    contact_id = await lab.created()
    await lab.bench.enrich(contact_id)
    seen = await lab.seen(contact_id)
    must(await lab.write(lab.update(seen, {lab.text: ("Changed",)})), Written)
    assert await lab.bench.is_enriched(contact_id)


async def tags_and_untags(lab: Lab) -> None:
    """A tag appears, and goes; setting it twice does no harm."""
    seen = await lab.seen(await lab.created())
    for n in range(2):
        tag = Tag(
            aim=lab.aim(),
            contact_id=seen.contact_id,
            tag=TAG,
            date="2026-11-22",
            guard=seen.contact.guard,
            object=seen.object,
        )
        answer = await lab.write(tag, key=f"tag-{n}-{tag.aim.link}")
        assert isinstance(answer, Written | Unchanged), answer
        seen = await lab.seen(seen.contact_id)
        assert TAG in seen.contact.tags
    untag = Untag(aim=lab.aim(), contact_id=seen.contact_id, tag=TAG, guard=seen.contact.guard, object=seen.object)
    must(await lab.write(untag), Written)
    assert TAG not in (await lab.seen(seen.contact_id)).contact.tags


async def finds_twin_by_match_key(lab: Lab) -> None:
    """A find shows every contact with the address, whatever its case there, and nobody else."""
    first, second = lab.create(), lab.create()
    contact_id = must(await lab.write(first), Written).contact_id
    must(await lab.write(second), Written)
    await lab.bench.settled()
    found = await lab.app.find(lab.access(), first.addresses[0])
    assert isinstance(found, tuple), found
    assert [seen.contact_id for seen in found] == [contact_id]
    assert await lab.app.find(lab.access(), "nobody@example.net") == ()


async def same_command_twice_writes_once(lab: Lab) -> None:
    """A create that is sent again makes no second contact, whatever it answers."""
    command = lab.create()
    first = must(await lab.write(command, key="twice"), Written)
    again = await lab.write(command, key="twice", sent=1)
    if isinstance(again, Written):
        assert again.contact_id == first.contact_id
    await lab.bench.settled()
    found = await lab.app.find(lab.access(), command.addresses[0])
    assert isinstance(found, tuple), found
    assert len(found) == 1


async def lost_answers_are_settled(lab: Lab) -> None:
    """A create whose answer was lost is unknown, and proved to be there."""
    command = lab.create()
    start = round(lab.bench.clock.now().timestamp() * 1_000_000)
    lab.faults.drop()
    assert _verdict(lab, await lab.write(command, key="lost")) is Verdict.UNKNOWN
    await lab.bench.settled()
    settled = await lab.app.settle(lab.access(), command, Attempt(key="lost", n=1, first=start))
    assert (await lab.seen(must(settled, Written).contact_id)).contact.mark == command.aim.link


async def absence_is_proved(lab: Lab) -> None:
    """A create that never arrived is proved to be absent."""
    command = lab.create()
    start = round(lab.bench.clock.now().timestamp() * 1_000_000)
    await lab.bench.settled()
    must(await lab.app.settle(lab.access(), command, Attempt(key="never", n=1, first=start)), Absence)


async def honours_retry_after(lab: Lab) -> None:
    """429 is a throttle, with the seconds that the app asked for; nothing was written."""
    lab.faults.answer(429, retry_after="7")
    answer = await lab.app.look(lab.access(), lab.bench.nobody)
    assert _verdict(lab, answer) is Verdict.THROTTLED
    assert must(answer, Trouble).retry_after == 7


async def reauthorises_on_401(lab: Lab) -> None:
    """401 asks for a person, when reading and when writing."""
    command = lab.create()
    lab.faults.answer(401)
    assert _verdict(lab, await lab.write(command)) is Verdict.REAUTHORISE
    lab.faults.answer(401)
    assert _verdict(lab, await lab.app.look(lab.access(), lab.bench.nobody)) is Verdict.REAUTHORISE


async def an_unanswered_failure_is_unknown(lab: Lab) -> None:
    """A server that failed may have done its work first."""
    for status in (500, 502, 504):
        lab.faults.answer(status)
        assert _verdict(lab, await lab.write(lab.create())) is Verdict.UNKNOWN


async def reports_gone_on_404(lab: Lab) -> None:
    """A deleted contact is gone for a look, and an update of it says so and makes nothing."""
    seen = await lab.seen(await lab.created())
    await lab.bench.remove(seen.contact_id)
    assert isinstance(await lab.app.look(lab.access(), seen.contact_id), Gone)
    answer = await lab.write(lab.update(seen, {lab.text: ("Changed",)}))
    gone = answer.gone if isinstance(answer, Refused) else _verdict(lab, answer) is Verdict.GONE
    assert gone, answer
    assert isinstance(await lab.app.look(lab.access(), seen.contact_id), Gone)


async def refetches_on_409(lab: Lab) -> None:
    """A lost guard over a changed field writes nothing and is stale."""
    seen = await lab.seen(await lab.created())
    await lab.bench.edit(seen.contact_id, lab.text, "A person's")
    answer = await lab.write(lab.update(seen, {lab.text: ("Ours",)}))
    assert isinstance(answer, Stale) or _verdict(lab, answer) is Verdict.STALE
    assert (await lab.seen(seen.contact_id)).contact.fields[lab.text] == ("A person's",)


async def never_leaks_secret_in_errors(lab: Lab) -> None:
    """No error's words hold a credential or a contact's data."""
    keys = [credential.key for credential in lab.manifest.credentials]
    access = lab.access(**dict.fromkeys(keys, CANARY))
    command = lab.create()
    contents = [value for values in command.fields.values() for value in values if isinstance(value, str)]
    for status in (None, 400, 401, 403, 404, 500):
        if status is not None:
            lab.faults.answer(status)
        answers = [
            await lab.app.write(access, command, Attempt(key=f"leak-{status}", n=0)),
            await lab.app.find(access, command.addresses[0]),
        ]
        for answer in answers:
            words = repr(answer) if isinstance(answer, Trouble | Refused) else ""
            assert CANARY not in words
            assert not [value for value in contents if value in words]


def _verdict(lab: Lab, answer: object) -> Verdict:
    return verdict_on(must(answer, Trouble), lab.manifest)


_ANY: frozenset[Ability] = frozenset()

SUITE: tuple[Check, ...] = (
    Check("manifest_is_complete", _ANY, manifest_is_complete),
    Check("name_is_folder", _ANY, name_is_folder),
    Check("fields_round_trip", _ANY, fields_round_trip),
    Check("creates", _ANY, creates),
    Check("updates_only_what_changed", _ANY, updates_only_what_changed),
    Check("clears_removed_fields", _ANY, clears_removed_fields),
    Check("unknown_remote_fields_survive", _ANY, unknown_remote_fields_survive),
    Check("tags_and_untags", frozenset({Ability.TAG}), tags_and_untags),
    Check("finds_twin_by_match_key", _ANY, finds_twin_by_match_key),
    Check("same_command_twice_writes_once", _ANY, same_command_twice_writes_once),
    Check("lost_answers_are_settled", _ANY, lost_answers_are_settled),
    Check("absence_is_proved", _ANY, absence_is_proved),
    Check("honours_retry_after", _ANY, honours_retry_after),
    Check("reauthorises_on_401", _ANY, reauthorises_on_401),
    Check("an_unanswered_failure_is_unknown", _ANY, an_unanswered_failure_is_unknown),
    Check("reports_gone_on_404", _ANY, reports_gone_on_404),
    Check("refetches_on_409", frozenset({Ability.GUARD}), refetches_on_409),
    Check("never_leaks_secret_in_errors", _ANY, never_leaks_secret_in_errors),
    *READING,
)
"""(name, the abilities it needs, the check): what an app lacks, it isn't asked for."""
