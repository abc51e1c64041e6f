"""Stripe's subscription object, read as a contact's subscription."""

import msgspec

from services.contracts.contact import Subscription


class Ref(msgspec.Struct, frozen=True):
    """An expanded object of which only the id matters."""

    id: str = ""


class Price(msgspec.Struct, frozen=True):
    """A price, or a plan, its predecessor."""

    id: str = ""
    product: str | Ref | None = None
    lookup_key: str | None = None

    def names(self) -> tuple[str | None, ...]:
        """Everything that it may be called by."""
        return (self.id, ident(self.product), self.lookup_key)


class Item(msgspec.Struct, frozen=True):
    """One line of a subscription."""

    price: Price | str | None = None
    plan: Price | str | None = None


class Items(msgspec.Struct, frozen=True):
    """The lines of a subscription."""

    data: list[Item] = msgspec.field(default_factory=list)


class StripeSubscription(msgspec.Struct, frozen=True):
    """The parts of a subscription that contactsync reads. `customer` may be expanded."""

    id: str
    status: str = ""
    customer: str | Ref | None = None
    items: Items | None = None
    plan: Price | str | None = None

    def subscription(self) -> Subscription:
        """The subscription with all names of its plans, in the order of its lines, each once."""
        priced = [price for item in (self.items.data if self.items else []) for price in (item.price, item.plan)]
        names: dict[str, None] = {}
        for price in (*priced, self.plan):
            for name in price.names() if isinstance(price, Price) else (price,):
                if name:
                    names[name] = None
        return Subscription(id=self.id, status=self.status, plans=tuple(names))


class StripeSubscriptions(msgspec.Struct, frozen=True):
    """The subscriptions in a customer, where the answer has them."""

    data: list[StripeSubscription] | None = None
    has_more: bool = False

    def all(self) -> tuple[Subscription, ...] | None:
        """Every one of them, or None if the list isn't there or is cut short."""
        if self.data is None or self.has_more:
            return None
        return tuple(each.subscription() for each in self.data)


_DECODER = msgspec.json.Decoder(StripeSubscription)


def subscription(raw: msgspec.Raw | bytes) -> StripeSubscription | None:
    """Read a subscription; None if it isn't one."""
    try:
        found = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if found.id else None


def ident(value: str | Ref | None) -> str:
    """The id of something that may be expanded; empty if there is none."""
    return value.id if isinstance(value, Ref) else value or ""
