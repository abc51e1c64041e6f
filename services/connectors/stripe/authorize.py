"""Logging in to Stripe: a restricted key is made in the dashboard and pasted."""

from services.connectors.stripe.endpoints import hooks
from services.connectors.stripe.permissions import DASHBOARD, examine
from services.runtime.authorize.way import Authorization

AUTHORIZATION = Authorization(
    examine=examine,
    hooks=hooks,
    hint=(
        f"Make a restricted key at {DASHBOARD} with Customers: Write, Subscriptions: Read and Events: Read. The "
        "signing secret is shown where the webhook endpoint is made; it can come later."
    ),
)
"""Stripe's."""
