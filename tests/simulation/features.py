"""What a story may contain."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Features:
    """What may happen besides edits, echoes, delays, doubles and reordering."""

    faults: bool = False
    """Requests and answers get lost, accounts throttle."""
    creates: bool = False
    """People make contacts, also on both sides at once."""
    deletions: bool = False
    """People delete and restore contacts and remove our tag."""
    configs: bool = False
    """Pause and resume, config versions rise, accounts go down, workers hold the config before."""
    directions: bool = False
    emails: bool = False
    """People change addresses, and approve or reject what is held."""
    shared: bool = False
    """Several contacts share a few addresses."""
    clears: bool = False
    scans: bool = False
    between: bool = False
    """People edit while a request of ours is on its way."""
    finds: bool = False
    """The target is asked before anything is created."""
    losses: bool = False
    """Commands and their answers vanish from the log, as when a topic is deleted."""
    touches: bool = False
    gaps: bool = False
    """For an hour no webhook of the shop comes; its list of events tells of what happened meanwhile."""
    twin: bool = False
    """A second connection shares the office with the first."""
    hands: bool = False
    """People link, unlink and retry by hand."""
    merges: bool = False
    """People merge contacts: one is deleted, the other takes its address."""
    refusals: bool = False
    """People write values that no other account takes."""
    rules: bool = False
    """Rules take some contacts and tag their partners; people change whom they take, and the rules."""
