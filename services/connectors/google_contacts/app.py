"""Google Contacts as an app: everything about it is in this folder."""

from services.connectors.google_contacts.contacts import GoogleContacts
from services.runtime.app import App

APP: App = GoogleContacts()
"""Google Contacts."""
