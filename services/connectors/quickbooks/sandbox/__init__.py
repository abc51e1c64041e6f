"""QuickBooks Online in memory that enforces its API's rules; it knows nothing else of contactsync."""

from services.connectors.quickbooks.sandbox.company import Company, QuickBooksSandbox
from services.connectors.quickbooks.sandbox.fault import Drop, Fail, Fault, Hold
from services.connectors.quickbooks.sandbox.refusal import ApiError
from services.connectors.served import serve

__all__ = ["ApiError", "Company", "Drop", "Fail", "Fault", "Hold", "QuickBooksSandbox", "serve"]
