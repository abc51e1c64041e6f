"""Labels: the account's contact groups."""

import random

from services.connectors.google_contacts.sandbox.refusal import ApiError, Json, not_found

SYSTEM = ("myContacts", "starred", "friends", "family", "coworkers", "chatBuddies", "all", "blocked")
OPEN = ("contactGroups/myContacts", "contactGroups/starred")
"""The system groups that take members."""
MOST_MEMBERS = 1000
FIELDS = frozenset({"clientData", "groupType", "memberCount", "metadata", "name"})


class Groups:
    """Contact groups by resource name."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._groups: dict[str, Json] = {}
        for name in SYSTEM:
            resource = f"contactGroups/{name}"
            self._groups[resource] = {
                "resourceName": resource,
                "groupType": "SYSTEM_CONTACT_GROUP",
                "name": name,
                "formattedName": name,
            }

    def kept(self) -> Json:
        """What there is, as JSON: what `take_up` takes."""
        return self._groups

    def take_up(self, kept: Json) -> None:
        """Go on with what `kept` gave."""
        self._groups = dict(kept)

    def all(self) -> list[Json]:
        """Every group, the system's first."""
        return list(self._groups.values())

    def get(self, resource: str) -> Json:
        """One group. Raises ApiError 404."""
        if resource not in self._groups:
            raise not_found()
        return self._groups[resource]

    def named(self, name: str) -> str | None:
        """The resource name of the person's own group of that name."""
        own = (g for g in self._groups.values() if g["groupType"] == "USER_CONTACT_GROUP")
        return next((str(g["resourceName"]) for g in own if g["name"] == name), None)

    def create(self, name: str) -> Json:
        """Make a group. Raises ApiError 409 where the name is taken."""
        if not name.strip():
            raise ApiError("Contact group name must not be empty.")
        if any(group["name"] == name.strip() for group in self._groups.values()):
            raise ApiError("Contact group name already exists.", code=409)
        resource = f"contactGroups/{self._rng.randrange(16**12, 16**14):x}"
        group = {
            "resourceName": resource,
            "etag": f"g{self._rng.randrange(10**9)}",
            "groupType": "USER_CONTACT_GROUP",
            "name": name.strip(),
            "formattedName": name.strip(),
        }
        self._groups[resource] = group
        return group

    def rename(self, resource: str, name: str) -> None:
        """Give a group another name, as a person does."""
        self.get(resource)["name"] = name

    def delete(self, resource: str) -> None:
        """Delete a group, as a person does; its members stay."""
        del self._groups[resource]

    def check(self, memberships: list[Json]) -> None:
        """Raise ApiError if one of them isn't a group of this account."""
        for each in memberships:
            resource = each.get("contactGroupMembership", {}).get("contactGroupResourceName", "")
            if resource not in self._groups:
                raise ApiError("Invalid contact group resource name in memberships.")

    def check_additions(self, resource: str, add: list[str], remove: list[str]) -> None:
        """Raise ApiError if a group can't take these changes."""
        group = self.get(resource)
        if len(add) + len(remove) > MOST_MEMBERS:
            raise ApiError(f"At most {MOST_MEMBERS} members can be modified in one request.")
        if add and group["groupType"] == "SYSTEM_CONTACT_GROUP" and resource not in OPEN:
            raise ApiError("Members can't be added to this system contact group.")
