"""Google Contacts as the demo asks it: as often as a story needs, which Google wouldn't allow."""

from __future__ import annotations

import msgspec

from services.connectors.google_contacts.contacts import GoogleContacts
from services.connectors.google_contacts.manifest import VISIBLE_AFTER
from services.contracts.app import Manifest, Pace, Trouble
from services.contracts.commands import Write
from services.contracts.receipts import Stale, Written
from services.runtime.app import Absence, Access, Attempt, Undecided

PACE = Pace(poll=5, read=50, write=50, burst=50)
MERGE_WINDOW = 2.0
"""Seconds, as for other apps: the sandbox answers at once."""


class QuickGoogle(GoogleContacts):
    """Google Contacts before a server that has quota to spare, and that shows every change at once."""

    @property
    def manifest(self) -> Manifest:
        """What Google Contacts declares, without its patience."""
        return msgspec.structs.replace(super().manifest, pace=PACE, merge_window=MERGE_WINDOW)

    async def settle(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Stale | Absence | Undecided | Trouble:
        """Find out whether a write was applied. What doesn't show needn't be waited for: it isn't there."""
        if attempt.first is not None:
            long_ago = attempt.first - round(VISIBLE_AFTER * 1_000_000)
            attempt = msgspec.structs.replace(attempt, first=long_ago)
        return await super().settle(access, command, attempt)
