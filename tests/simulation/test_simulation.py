"""Random stories against a small model of what has to be true in the end (PROTOCOL, "What a model must check").

`CONTACTSYNC_TEST_SEEDS` is the number of seeds of each test (default 300); `CONTACTSYNC_TEST_FIRST_SEED` where they
start. A seed that fails is told as the shortest story that still fails in the same way.
"""

import os

import pytest

from tests.simulation.features import Features
from tests.simulation.play import play, shorten

SEEDS = int(os.environ.get("CONTACTSYNC_TEST_SEEDS", "300"))
FIRST = int(os.environ.get("CONTACTSYNC_TEST_FIRST_SEED", "0"))

SIMPLE = Features()
FAULTY = Features(faults=True, between=True, clears=True, scans=True)
CREATING = Features(faults=True, between=True, creates=True, finds=True, touches=True)
DELETING = Features(faults=True, between=True, creates=True, deletions=True)
CONFIGURED = Features(faults=True, between=True, creates=True, configs=True, deletions=True, clears=True)
TURNING = Features(faults=True, between=True, creates=True, configs=True, directions=True, emails=True, clears=True)
SHARING = Features(faults=True, between=True, creates=True, shared=True, emails=True, finds=True, touches=True)
RULED = Features(faults=True, between=True, creates=True, clears=True, rules=True)
RULED_AND_TURBULENT = Features(faults=True, between=True, creates=True, deletions=True, configs=True, rules=True)
LOSING = Features(faults=True, losses=True, between=True, creates=True, deletions=True, configs=True, finds=True)
GAPING = Features(faults=True, between=True, creates=True, deletions=True, clears=True, gaps=True)
EVERYTHING = Features(
    faults=True,
    between=True,
    creates=True,
    deletions=True,
    configs=True,
    emails=True,
    shared=True,
    clears=True,
    scans=True,
    finds=True,
    touches=True,
)


def all_end_well(features: Features) -> None:
    for seed in range(FIRST, FIRST + SEEDS):
        if play(seed, features).wrong:
            ended = shorten(seed, features)
            told = "\n".join((*ended.story, *(f"WRONG  {line}" for line in ended.wrong)))
            pytest.fail(f"seed {seed} of {features}:\n{told}", pytrace=False)


def test_p1_p2_p5_edits_and_echoes_in_any_order_converge() -> None:
    all_end_well(SIMPLE)


def test_p3_p4_p14_lost_requests_and_answers_converge() -> None:
    all_end_well(FAULTY)


def test_p8_p9_contacts_made_on_both_sides_at_once_are_never_made_twice() -> None:
    all_end_well(CREATING)


def test_p13_deletions_and_restores_leave_tags_exactly_where_they_belong() -> None:
    all_end_well(DELETING)


def test_p10_p11_pauses_outages_and_older_configs_lose_nothing() -> None:
    all_end_well(CONFIGURED)


def test_p11_a_changed_direction_is_taken_over_once_everything_is_settled() -> None:
    all_end_well(TURNING)


def test_p8_b10_contacts_that_share_addresses_and_change_them_keep_one_partner_each() -> None:
    all_end_well(SHARING)


def test_b7_b9_rules_take_contacts_in_and_out_and_tag_exactly_whom_they_want() -> None:
    all_end_well(RULED)


def test_b7_b9_p13_rules_hold_through_deletions_pauses_and_outages() -> None:
    all_end_well(RULED_AND_TURBULENT)


def test_p10_p12_commands_and_receipts_that_vanish_are_sent_again_and_nothing_happens_twice() -> None:
    all_end_well(LOSING)


def test_p5_p6_p10_what_an_hour_without_webhooks_hid_is_in_the_list_of_events() -> None:
    all_end_well(GAPING)


def test_all_of_it_together_comes_to_rest_with_both_sides_equal() -> None:
    all_end_well(EVERYTHING)
