"""`keys`: which keys seal the stored credentials, and a new one for all of them."""

from __future__ import annotations

from services.cli.database import opened
from services.cli.failure import FAILED
from services.cli.output import complain, say, table
from services.runtime.registry.rotate import Rotated, rotate, sealed
from services.runtime.secrets import KeyFile, Vault, key_file, vault
from services.runtime.settings import Settings, load
from services.runtime.store import Store


async def show() -> int:
    """Tell which keys there are, and how much each has sealed."""
    settings = load()
    async with opened(settings) as store, store.transaction(readonly=True) as database:
        held = _vault(settings).key_ids
        stored = {each.key_id: each for each in await sealed(database)}
    rows = []
    for key_id in [*held, *sorted(set(stored) - set(held))]:
        what = "lost: it isn't among the keys" if key_id not in held else "newest" if key_id == held[0] else "older"
        counts = stored.get(key_id)
        rows.append((key_id, what, str(counts.credentials if counts else 0), str(counts.tokens if counts else 0)))
    table(("key", "is", "credentials", "tokens"), rows)
    return FAILED if set(stored) - set(held) else 0


async def rotate_keys() -> int:
    """Seal everything with the newest key; for a key file, with one that is made now."""
    settings = load()
    async with opened(settings) as store:
        safe = _vault(settings)
        file = key_file(settings.data_dir) if settings.secret_key is None else None
        if file is not None and len(safe.key_ids) == 1:  # otherwise an earlier rotation goes on
            file.add()
        done = await rotate(store, safe)
        status = _tell(safe, done)
        if status == 0:
            await _put_away(store, safe, file)
    return status


async def _put_away(store: Store, safe: Vault, file: KeyFile | None) -> None:
    """Forget older keys, once nothing is left that needs them."""
    async with store.transaction(readonly=True) as database:
        others = [each for each in await sealed(database) if each.key_id != safe.key_id]
    if others:
        say("Meanwhile something was sealed with an older key. Run `contactsync keys rotate` again.")
    elif file is not None:
        file.keep_newest()
        say("The key file holds the new key alone. Keep a copy of it, and destroy copies of the old one.")
    elif len(safe.key_ids) > 1:
        say("CONTACTSYNC_SECRET_KEY needs its first line only: take the others out, everywhere.")
    else:
        say("To change the key, put a new one on a line before it in CONTACTSYNC_SECRET_KEY, and run this again.")


def _tell(safe: Vault, done: Rotated) -> int:
    say(f"Sealed anew with the key {safe.key_id}: {done.credentials} credentials, {done.tokens} tokens.")
    if done.forgot:
        say(
            f"{len(done.forgot)} of them were authorised by hand, and the file has a value, too. Apply the file once "
            f"before you change that value there: {', '.join(done.forgot)}."
        )
    if done.left:
        complain(
            f"{len(done.left)} can't be opened with any key that is set, and stay as they are: {', '.join(done.left)}. "
            "Add the key that sealed them and run this again, or authorize these accounts again."
        )
        return FAILED
    return 0


def _vault(settings: Settings) -> Vault:
    key = settings.secret_key.get_secret_value() if settings.secret_key else None
    return vault(key, settings.data_dir, bundled_store=settings.bundled_store)
