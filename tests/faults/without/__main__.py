"""A role's process that does without one of the remedies: `python -m tests.faults.without run sync`, for instance.

It is `contactsync ARGUMENT…` with the remedy that `CONTACTSYNC_TEST_WITHOUT` names taken away, and with whatever else
the environment says of a process under test (`tests.faults.child`). The product has no switch for it.
"""

from __future__ import annotations

import os
import sys

from services.cli import main
from tests.faults.child import prepare
from tests.faults.without.remedies import take_away
from tests.faults.without.remedy import WITHOUT

if __name__ == "__main__":
    take_away(os.environ.get(WITHOUT, ""))
    prepare()
    sys.exit(main())
