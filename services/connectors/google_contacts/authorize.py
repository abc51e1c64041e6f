"""Logging in to Google: by OAuth 2, as a desktop app of one's own Google Cloud project."""

from services.connectors.google_contacts.permissions import WAY, examine
from services.runtime.authorize.way import Authorization

AUTHORIZATION = Authorization(
    examine=examine,
    oauth=WAY,
    hint=(
        "In a Google Cloud project with the People API enabled, make an OAuth client of the type “Desktop app” "
        "(https://console.cloud.google.com/auth/clients): it has the client id and secret."
    ),
)
"""Google Contacts'."""
