"""A person's hand: what somebody does in Google Contacts itself."""

from typing import Any

from services.connectors.google_contacts.sandbox.group import Groups
from services.connectors.google_contacts.sandbox.person import People
from services.connectors.google_contacts.sandbox.refusal import Json


class Hand:
    """Changes without API, token or quota; lists show them after the same delay."""

    def __init__(self, people: People, groups: Groups) -> None:
        self._people = people
        self._groups = groups

    def create(self, email: str = "", name: str = "", **fields: Any) -> str:
        """Make a contact; fields are the API's lists. Returns its resource name."""
        body: Json = dict(fields)
        if email:
            body["emailAddresses"] = [{"value": email}]
        if name:
            body["names"] = [{"unstructuredName": name}]
        return str(self._people.create(body)["resourceName"])

    def get(self, name: str) -> Json:
        """The contact as it is."""
        return self._people.get(name)

    def update(self, name: str, **fields: Any) -> Json:
        """Replace fields; an empty list clears one."""
        body = {**fields, "metadata": self._people.get(name)["metadata"]}
        return self._people.update(name, body, ",".join(fields))

    def delete(self, name: str) -> None:
        """Put the contact in the trash."""
        self._people.delete(name)

    def restore(self, name: str) -> Json:
        """Take it out of the trash, within 30 days."""
        return self._people.restore(name)

    def rename(self, name: str) -> str:
        """Link the contact to a profile: it gets another resource name, which this returns."""
        return str(self._people.rename(name)["resourceName"])

    def label(self, name: str, label: str) -> str:
        """Put a label on the contact, made if need be. Returns the label's resource name."""
        group = self._groups.named(label) or str(self._groups.create(label)["resourceName"])
        self._people.join(name, group)
        return group

    def unlabel(self, name: str, label: str) -> None:
        """Take a label off."""
        group = self._groups.named(label)
        if group is not None:
            self._people.leave(name, group)

    def labels(self, name: str) -> list[str]:
        """The names of the contact's own labels, sorted."""
        held = {m["contactGroupMembership"]["contactGroupResourceName"] for m in self.get(name)["memberships"]}
        own = [group for group in self._groups.all() if group["groupType"] == "USER_CONTACT_GROUP"]
        return sorted(group["name"] for group in own if group["resourceName"] in held)

    def rename_label(self, label: str, new: str) -> None:
        """Give a label another name."""
        group = self._groups.named(label)
        if group is not None:
            self._groups.rename(group, new)

    def delete_label(self, label: str) -> None:
        """Delete a label and take it off its contacts."""
        group = self._groups.named(label)
        if group is not None:
            for person in self._people.live():
                self._people.leave(person["resourceName"], group)
            self._groups.delete(group)

    def everybody(self) -> list[Json]:
        """Every contact as it is."""
        return self._people.live()
