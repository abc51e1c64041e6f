"""The account's contacts, every state they were in, and which of them lists and searches show yet."""

import base64
import copy
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from services.connectors.google_contacts.sandbox.group import Groups
from services.connectors.google_contacts.sandbox.refusal import ApiError, Json, not_found, stale
from services.connectors.google_contacts.sandbox.shape import SHAPES, checked, mask

TRASH_DAYS = 30
MY_CONTACTS = "contactGroups/myContacts"
_SPOKEN = ("honorificPrefix", "givenName", "middleName", "familyName", "honorificSuffix")


@dataclass(frozen=True)
class State:
    """What a contact was from a change on; `person` is None after its deletion."""

    number: int
    at: float
    visible_at: float
    """When lists and searches show it."""
    person: Json | None
    previous: str | None = None
    """The resource name that it had before."""


class People:
    """Contacts by resource name. `delay` is seconds until lists and searches show a change.

    `labels_count` says whether a change of labels is a new version of the contact (etag, updateTime), and
    `redirects` whether a contact still answers to a former resource name: Google doesn't say.
    """

    def __init__(self, clock: Callable[[], float], rng: random.Random, groups: Groups) -> None:
        self.delay = 0.0
        self.labels_count = True
        self.redirects = False
        self._clock = clock
        self._rng = rng
        self._groups = groups
        self._states: dict[str, list[State]] = {}
        self._renamed: dict[str, str] = {}
        self._number = 0
        self._visible_at = 0.0
        self._stamp = datetime(1970, 1, 1, tzinfo=UTC)

    def kept(self) -> Json:
        """Every state of every contact, as JSON: what `take_up` takes. Tokens given out stay good."""
        return {
            "states": {name: [asdict(state) for state in states] for name, states in self._states.items()},
            "renamed": self._renamed,
            "number": self._number,
            "visible_at": self._visible_at,
            "stamp": self._stamp.isoformat(),
        }

    def take_up(self, kept: Json) -> None:
        """Go on with what `kept` gave."""
        self._states = {name: [State(**state) for state in states] for name, states in kept["states"].items()}
        self._renamed = dict(kept["renamed"])
        self._number, self._visible_at = kept["number"], kept["visible_at"]
        self._stamp = datetime.fromisoformat(kept["stamp"])

    def live(self) -> list[Json]:
        """Every contact as it is now, also what lists don't show yet."""
        return [state.person for states in self._states.values() if (state := states[-1]).person is not None]

    def get(self, name: str) -> Json:
        """The contact as it is now. Raises ApiError 404."""
        states = self._states.get(self._renamed.get(name, name) if self.redirects else name)
        if not states or states[-1].person is None:
            raise not_found()
        return states[-1].person

    def create(self, given: Json) -> Json:
        """Make a contact; without memberships it is in myContacts."""
        body = _stored(checked(given))
        self._groups.check(body.get("memberships", []))
        body.setdefault("memberships", [_membership(MY_CONTACTS)])
        name = f"people/c{self._rng.randrange(10**17, 10**18)}"
        return self._put(name, {"resourceName": name, **body}, fresh=True)

    def update(self, name: str, given: Json, paths: str) -> Json:
        """Replace the fields of the mask. Raises ApiError, for a stale etag too."""
        fields = mask(paths, "updatePersonFields", SHAPES)
        present = self.get(name)
        sources = (checked(given).get("metadata") or {}).get("sources") or []
        etags = [source.get("etag") for source in sources if source.get("type") == "CONTACT"]
        if len(etags) != 1 or not etags[0]:
            raise ApiError("Request must set person.etag or person.metadata.sources.etag for the source to update.")
        if etags[0] != present["metadata"]["sources"][0]["etag"]:
            raise stale()
        body = _stored(given)
        if "memberships" in fields and not body.get("memberships"):
            raise ApiError("person.memberships must have at least one contact group membership.")
        self._groups.check(body.get("memberships", []))
        kept = {key: value for key, value in present.items() if key not in fields}
        return self._put(name, {**kept, **{path: body[path] for path in fields if body.get(path)}}, fresh=True)

    def delete(self, name: str) -> None:
        """Put the contact in the trash."""
        self.get(name)
        self._add(name, None)

    def restore(self, name: str) -> Json:
        """Take it out again. Raises ValueError where it isn't in the trash (any more)."""
        states = self._states.get(name, [])
        if not states or states[-1].person is not None:
            raise ValueError(f"{name} isn't in the trash")
        if self._clock() - states[-1].at > TRASH_DAYS * 86400:
            raise ValueError(f"{name} has been in the trash for more than {TRASH_DAYS} days")
        return self._put(name, next(state.person for state in reversed(states) if state.person), fresh=True)

    def rename(self, name: str) -> Json:
        """Give the contact another resource name, as linking it to a profile can."""
        person = self.get(name)
        new = f"people/c{self._rng.randrange(10**17, 10**18)}"
        del self._states[name]
        self._renamed[name] = new
        return self._put(new, {**person, "resourceName": new}, fresh=True, previous=name)

    def join(self, name: str, group: str) -> None:
        """Put the contact into a group."""
        person = self.get(name)
        if group not in _groups_of(person):
            self._relabel(person, [*person["memberships"], _membership(group)])

    def leave(self, name: str, group: str) -> bool:
        """Take the contact out of a group; False if that would leave it in none."""
        person = self.get(name)
        if group not in _groups_of(person):
            return True
        rest = [each for each in person["memberships"] if _group_of(each) != group]
        if rest:
            self._relabel(person, rest)
        return bool(rest)

    def now_visible(self) -> int:
        """The number of the newest change that lists show now."""
        now = self._clock()
        shown = (s.number for states in self._states.values() for s in states if s.visible_at <= now)
        return max(shown, default=0)

    def at(self, number: int) -> list[State]:
        """Every contact's state after that change, in the order of their changes."""
        found = []
        for states in self._states.values():
            shown = [state for state in states if state.number <= number]
            if shown:
                found.append(shown[-1])
        return sorted(found, key=lambda state: state.number)

    def name_of(self, state: State) -> str:
        """The resource name of the contact that was in that state."""
        return next(name for name, states in self._states.items() if state in states)

    def _relabel(self, person: Json, memberships: list[Json]) -> None:
        self._put(person["resourceName"], {**person, "memberships": memberships}, fresh=self.labels_count)

    def _put(self, name: str, body: Json, *, fresh: bool, previous: str | None = None) -> Json:
        person = _completed(copy.deepcopy(body))
        if fresh:
            self._stamp = max(datetime.fromtimestamp(self._clock(), UTC), self._stamp + timedelta(microseconds=1))
            etag = base64.b64encode(f"etag {name} {self._number}".encode()).decode()
            source = {
                "type": "CONTACT",
                "id": f"{int(name.removeprefix('people/c')):x}",
                "etag": f"#{etag}",
                "updateTime": self._stamp.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            }
            person |= {"etag": f"%{etag}", "metadata": {"sources": [source], "objectType": "PERSON"}}
        self._add(name, person, previous)
        return person

    def _add(self, name: str, person: Json | None, previous: str | None = None) -> None:
        self._number += 1
        now = self._clock()
        self._visible_at = max(self._visible_at, now + self.delay)
        state = State(self._number, now, self._visible_at, person, previous)
        self._states.setdefault(name, []).append(state)


def shown(person: Json, fields: frozenset[str]) -> Json:
    """The person as an answer shows it: the fields of the mask, its name and its etag."""
    always = {"resourceName", "etag"}
    return copy.deepcopy({key: value for key, value in person.items() if key in fields | always})


def _stored(given: Json) -> Json:
    """The contact's own data in a request: what the API computes isn't taken over."""
    computed = {"metadata", "displayName", "displayNameLastFirst", "formattedType", "formattedValue", "canonicalForm"}
    body = {}
    for field, values in given.items():
        if field not in SHAPES:
            continue
        skip = computed - {"displayName"} if field == "emailAddresses" else computed
        kept = [{key: part for key, part in value.items() if key not in skip and part != ""} for value in values]
        body[field] = [value for value in kept if value]
    return {field: values for field, values in body.items() if values}


def _completed(person: Json) -> Json:
    """The person with what the API works out: names' display form, which value is primary."""
    for name in person.get("names", []):
        parts = [name[part] for part in _SPOKEN if name.get(part)]
        if not parts and name.get("unstructuredName"):
            given, _, family = name["unstructuredName"].rpartition(" ")
            name.update({"givenName": given, "familyName": family} if given else {"givenName": family})
            parts = [name["unstructuredName"]]
        name["displayName"] = name["unstructuredName"] = " ".join(parts)
    for field in SHAPES:
        for i, value in enumerate(person.get(field, [])):
            value["metadata"] = {**({"primary": True} if i == 0 else {}), "source": {"type": "CONTACT"}}
    return person


def _membership(group: str) -> Json:
    ident = group.removeprefix("contactGroups/")
    return {"contactGroupMembership": {"contactGroupId": ident, "contactGroupResourceName": group}}


def _group_of(membership: Json) -> str:
    return str(membership.get("contactGroupMembership", {}).get("contactGroupResourceName", ""))


def _groups_of(person: Json) -> list[str]:
    return [_group_of(each) for each in person["memberships"]]
