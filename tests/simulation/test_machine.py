"""A state machine over the core: Hypothesis draws what happens next, and shortens what goes wrong.

What people do, what the transport does, what the apps answer, and time: each is a rule. After every step `unsound` has
to find nothing; in the end everything is delivered, and the model of `verdict` judges.

`CONTACTSYNC_TEST_STEPS` is how many steps are made (default 20,000); `CONTACTSYNC_TEST_FIRST_SEED` where the seeds of
the rounds start. A seed makes the same steps again when it is run in the same way: Hypothesis also draws constants that
it finds in the modules imported.
"""

import os
from itertools import count

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.drawing import Tally
from tests.simulation.machine import Machine

STEPS = int(os.environ.get("CONTACTSYNC_TEST_STEPS", "20000"))
FIRST = int(os.environ.get("CONTACTSYNC_TEST_FIRST_SEED", "0"))
ROUND = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=tuple(HealthCheck),
    print_blob=False,
)


def test_whatever_happens_in_whatever_order_both_sides_end_as_the_model_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tally = Tally()
    for number in count(FIRST):
        if tally.steps >= STEPS:
            break

        @hypothesis.seed(number)
        class Counted(Machine):
            done = tally

        try:
            run_state_machine_as_test(Counted, settings=ROUND)
        except BaseException as error:
            error.add_note(f"after {tally.steps} steps; again: CONTACTSYNC_TEST_FIRST_SEED={number}")
            raise
    with capsys.disabled():
        print(f"\nthe state machine made {tally}")  # noqa: T201 - how much was tried is the test's result
    assert tally.steps >= STEPS
