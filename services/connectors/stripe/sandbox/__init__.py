"""A Stripe account in memory that enforces the API's rules; it imports nothing else of contactsync."""

from services.connectors.stripe.sandbox.account import StripeSandbox
from services.connectors.stripe.sandbox.fault import Fault, Where
from services.connectors.stripe.sandbox.pace import Rate
from services.connectors.stripe.sandbox.refusal import ApiError
from services.connectors.stripe.sandbox.serve import serve

__all__ = ["ApiError", "Fault", "Rate", "StripeSandbox", "Where", "serve"]
