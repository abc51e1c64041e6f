"""Google Contacts in memory that enforces the People API's rules; it knows nothing else of contactsync."""

from services.connectors.google_contacts.sandbox.account import GoogleAccount, GoogleSandbox
from services.connectors.google_contacts.sandbox.fault import Drop, Fail, Fault, Hold
from services.connectors.google_contacts.sandbox.keep import Keep
from services.connectors.google_contacts.sandbox.push import Push
from services.connectors.google_contacts.sandbox.quota import Limits
from services.connectors.google_contacts.sandbox.refusal import ApiError
from services.connectors.served import serve

__all__ = [
    "ApiError",
    "Drop",
    "Fail",
    "Fault",
    "GoogleAccount",
    "GoogleSandbox",
    "Hold",
    "Keep",
    "Limits",
    "Push",
    "serve",
]
