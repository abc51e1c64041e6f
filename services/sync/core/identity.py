"""Who a contact is: its addresses in the form in which they are compared."""

import unicodedata
from collections.abc import Iterable
from uuid import UUID

from services.contracts.app import Manifest
from services.contracts.contact import Contact

LONGEST_ADDRESS = 320
"""Characters: 64 before the @ and 255 after it, https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1"""


def normal_address(text: str) -> str:
    """Return an e-mail address as it is compared: NFC, without blanks around it, case folded; "" if it is none."""
    address = unicodedata.normalize("NFC", text).strip().casefold()
    fit = "@" in address and len(address) <= LONGEST_ADDRESS and address.isprintable() and " " not in address
    return address if fit else ""


def addresses(contact: Contact, manifest: Manifest) -> tuple[str, ...]:
    """Return the contact's normalized e-mail addresses, primary first, each once."""
    paths = [field.path for field in manifest.fields if field.type == "email"]
    values = (value for path in paths for value in contact.fields.get(path, ()))
    return distinct(normal_address(value) for value in values if isinstance(value, str))


def distinct(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the non-empty texts, each once, in order."""
    return tuple(dict.fromkeys(text for text in texts if text))


def link_id(mark: str | None) -> str | None:
    """Return the link that a contact's mark names, or None: a mark is text that anyone may have written."""
    try:
        return None if mark is None else str(UUID(mark))
    except ValueError:
        return None
