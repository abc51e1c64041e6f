"""QuickBooks Online as an app: everything about it is in this folder."""

from services.connectors.quickbooks.online import QuickBooks
from services.runtime.app import App

APP: App = QuickBooks()
"""QuickBooks Online."""
