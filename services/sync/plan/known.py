"""What a plan begins with: everything that is known, in one snapshot, and the connections in force beside the new."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from services.contracts.app import Manifest
from services.contracts.connection import Account, Connection
from services.runtime.store import Connection as Database
from services.sync.configs import Configs, read_configs
from services.sync.load import present
from services.sync.plan.make import Went, make
from services.sync.plan.proposed import accounts_added, affected, proposed, removed
from services.sync.plan.trial import Trial
from services.sync.plan.would import Plan, PlanId, digest_of

_VERSION = "SELECT coalesce(max(version), 0) FROM registry.config"
_ANY = "SELECT EXISTS (SELECT FROM sync.contact)"


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The connections as they are and as they would be, at one moment."""

    now: int
    """Microseconds since 1970 on the database's clock."""
    version: int
    """Of the config in force."""
    stored: Configs
    wanted: Configs
    read: Configs
    """The connections in force, with the accounts of the file: what fresh observations are taken in under."""
    file: str
    """What the file's content is known by."""
    any: bool
    """Whether anything is known of any contact."""

    @property
    def concerned(self) -> bool:
        """Whether any connection is new, changed or removed."""
        return bool(affected(self.stored, self.wanted) or removed(self.stored, self.wanted))

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts of the connections that are new or changed."""
        configs = [self.wanted.connections[name] for name in affected(self.stored, self.wanted)]
        return tuple(sorted({name for config in configs for name in (config.account("left"), config.account("right"))}))

    def plan(self, trial: Trial, went: Went = lambda: None) -> tuple[PlanId, Plan]:
        """Return the plan, and what an approval names it by. The trial is used up."""
        made = make(trial, self.stored, self.wanted, now=self.now, went=went)
        return PlanId(self.version, self.file, made.writes, made.digest()), made


async def ground(
    database: Database,
    manifests: Mapping[str, Manifest],
    accounts: Iterable[Account],
    connections: Iterable[Connection],
) -> Ground:
    """Return what a file with these accounts and connections would change. `manifests` is by app.

    Raises `MissingAppError`.
    """
    accounts, connections = list(accounts), list(connections)
    stored = await read_configs(database, manifests)
    content = {
        "accounts": sorted(accounts, key=lambda each: each.name),
        "connections": sorted(connections, key=lambda each: each.name),
    }
    return Ground(
        now=await present(database),
        version=await database.fetchval(_VERSION),
        stored=stored,
        wanted=proposed(stored, manifests, accounts, connections),
        read=accounts_added(stored, manifests, accounts),
        file=digest_of(msgspec.json.encode(content, order="deterministic")),
        any=await database.fetchval(_ANY),
    )
