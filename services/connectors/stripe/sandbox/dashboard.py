"""A person at work in the dashboard: the same changes, with events that carry no idempotency key."""

from typing import Any

from services.connectors.stripe.sandbox.customer import Customers
from services.connectors.stripe.sandbox.event import Cause, Plan, World
from services.connectors.stripe.sandbox.form import grow
from services.connectors.stripe.sandbox.refusal import Json
from services.connectors.stripe.sandbox.subscription import Subscriptions


class Dashboard:
    """Changes by hand to customers and subscriptions. None clears a field. Raises ApiError like the API."""

    def __init__(self, world: World, customers: Customers, subscriptions: Subscriptions) -> None:
        self._world = world
        self._customers = customers
        self._subscriptions = subscriptions

    def create(self, **fields: Any) -> Json:
        """Create a customer: `create(name="Ada", email="ada@example.com", metadata={"k": "v"})`."""
        return self._run(self._customers.create(grow(fields)))

    def update(self, customer: str, /, **fields: Any) -> Json:
        """Change a customer's fields."""
        return self._run(self._customers.update(customer, grow(fields)))

    def delete(self, customer: str, /) -> Json:
        """Delete a customer."""
        return self._run(self._customers.delete(customer))

    def subscribe(self, customer: str, price: str) -> Json:
        """Start a subscription."""
        fields = {"customer": customer, "items": [{"price": price}]}
        return self._run(self._subscriptions.create(grow(fields)))

    def set_status(self, subscription: str, status: str) -> Json:
        """Give a subscription the status that it would get by itself (`past_due`, `canceled`, …)."""
        return self._subscriptions.set_status(subscription, status, self._cause())

    def unsubscribe(self, subscription: str) -> Json:
        """Cancel a subscription at once."""
        return self._run(self._subscriptions.cancel(subscription))

    def _run(self, plan: Plan) -> Json:
        return plan(self._cause())

    def _cause(self) -> Cause:
        return Cause(self._world.new_id("req_"))
