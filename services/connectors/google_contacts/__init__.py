"""Google Contacts, through the People API."""
