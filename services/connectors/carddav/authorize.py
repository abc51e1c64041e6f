"""Logging in to a CardDAV server: a user and a password."""

from services.connectors.carddav.permissions import examine
from services.runtime.authorize.way import Authorization

AUTHORIZATION = Authorization(
    examine=examine,
    hint="Where the server has app passwords, make one for contactsync; they can be withdrawn alone.",
)
"""CardDAV's."""
