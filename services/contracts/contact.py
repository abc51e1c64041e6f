"""A contact as every app's reader normalizes it, and the order in which observations of it compare."""

from typing import Literal, TypeAlias

import msgspec


class PersonName(msgspec.Struct, frozen=True, kw_only=True, tag="name", omit_defaults=True):
    """A person's name in parts, as apps with structured names keep it. Every part may be empty."""

    prefix: str = ""
    given: str = ""
    middle: str = ""
    family: str = ""
    suffix: str = ""
    full: str = ""
    """The name as the app displays it; may differ from the joined parts, or stand alone."""


class Address(msgspec.Struct, frozen=True, kw_only=True, tag="address", omit_defaults=True):
    """A postal address. `country` is an ISO 3166-1 alpha-2 code where the app has one, else its own text."""

    line1: str = ""
    line2: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""


Value: TypeAlias = str | PersonName | Address
"""One value of a field. Later kinds are added here, never changed."""

Values: TypeAlias = tuple[Value, ...]
"""All values of a field, primary first. A single-valued field has none or one; `()` is an empty field."""

Fields: TypeAlias = dict[str, Values]
"""App field path -> values. A path that is absent was not observed; a path with `()` was seen empty."""

Side: TypeAlias = Literal["left", "right"]
"""Which half of a connection or of a link."""

SIDES: tuple[Side, Side] = ("left", "right")


class Contact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One contact of one account at one moment, in the app's own field paths."""

    fields: Fields = msgspec.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    """Names of the tags (labels, categories, Stripe tag keys) that are set, sorted."""
    mark: str | None = None
    """The id of the link whose create made this contact, where the app keeps such a mark for us."""
    unsubscribed: bool = False
    """Whether the contact doesn't want mail any more, where the app reports that."""
    guard: str | None = None
    """The etag or version to write under (compare-and-set); None where the app has no lock."""


class Subscription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A contact's subscription to a plan. `status` is the app's own word."""

    id: str
    status: str
    plans: tuple[str, ...] = ()
    """Everything the plan may be called by: price ids, product ids, lookup keys."""


class Order(msgspec.Struct, frozen=True, array_like=True):
    """When an observation was true: a closed interval in microseconds since 1970 (UTC), or a version twice.

    Where an app numbers its versions, `start == end ==` that number. Two orders of one contact compare only
    if they are wholly apart; overlapping ones can't be told apart and ask for a look.
    """

    start: int
    end: int

    def later_than(self, other: "Order") -> bool:
        """Whether this observation is wholly later than `other`."""
        return self.start > other.end

    def joined(self, other: "Order") -> "Order":
        """The order of the later of two observations with equal content, whichever that was."""
        return Order(max(self.start, other.start), max(self.end, other.end))
