"""`contactsync replay` as a person types it: clean, with a difference, from a checkpoint, from an export (G5)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from services.runtime.store import Store
from tests.integration.sync_messages import changed, scan_finished, shop
from tests.integration.test_hand_cli import Shell, installation
from tests.integration.test_hand_cli import shell as shell  # noqa: PLC0414 - the fixture
from tests.integration.test_replay_audit import Place


async def test_g5_an_audit_is_run_by_a_person(shell: Shell, store: Store, tmp_path: Path) -> None:
    async with installation(store) as (made, events):
        place = Place(made, events)
        await place.take(
            changed("shop", "cus_ada", shop("Ada", "ada@example.com")),
            changed("till", "cus_till", shop("Ada", "ada@example.com")),
        )
        await place.take(scan_finished("shop"))
        out = shell.answer("replay", "--audit")
        assert out.splitlines()[-1] == "differences=0 writes=0"
        assert "from the beginning" in out

        assert shell.answer("replay", "--audit", "--resume", "state.zst").endswith("writes=0\n")
        assert not (tmp_path / "state.zst").exists()

        # From a checkpoint, and from an export.
        assert "1 transactions" in shell.answer("replay", "--checkpoint", "known.zst")
        await place.take(changed("shop", "cus_bob", shop("Bob", "bob@example.com"), at=5))
        out = shell.answer("replay", "--audit", "--from", "known.zst")
        assert "1 transactions, 1 messages" in out
        assert out.endswith("differences=0 writes=0\n")
        shell.answer("export", "exported")
        out = shell.answer("replay", "--audit", "--archive", "exported")
        assert "2 transactions, 3 messages" in out
        assert out.endswith("differences=0 writes=0\n")
        assert shell.answer("replay", "--audit", "--archive", "exported", "--from", "known.zst").endswith("writes=0\n")

        # A decision that today's program wouldn't take.
        await store.execute("UPDATE sync.journal SET outcome = 'tag', reason = 'no reason' WHERE topic IS NOT NULL")
        done = shell.run("replay", "--audit", "--limit", "1")
        assert done.returncode == 1
        assert "outcome: shop-till link" in done.stdout or "outcome: shop-mall link" in done.stdout
        assert "was: tag (no reason)" in done.stdout
        assert "more (--limit)" in done.stdout
        assert "example.com" not in done.stdout
        assert shell.answer("replay", "--audit", "--until", "2020-01-01").endswith("differences=0 writes=0\n")
        answer = msgspec.json.decode(shell.run("replay", "--audit", "--json", "--contact", "cus_bob").stdout)
        assert {tuple(each["contact"]) for each in answer["told"]} == {("shop", "cus_bob")}

        # What can't be done says what can.
        assert shell.run("replay").returncode == 2
        await store.execute("UPDATE sync.input_start SET whole = false")
        assert "replay --checkpoint" in shell.run("replay", "--audit").stderr
        (tmp_path / "torn.zst").write_bytes((tmp_path / "known.zst").read_bytes()[:40])
        assert "Write a new one" in shell.run("replay", "--audit", "--from", "torn.zst").stderr
