"""A Stripe account in memory that enforces the API's rules; it knows nothing else of contactsync."""

from services.connectors.served import serve
from services.connectors.stripe.sandbox.account import StripeSandbox
from services.connectors.stripe.sandbox.fault import Fault, Where
from services.connectors.stripe.sandbox.pace import Rate
from services.connectors.stripe.sandbox.refusal import ApiError

__all__ = ["ApiError", "Fault", "Rate", "StripeSandbox", "Where", "serve"]
