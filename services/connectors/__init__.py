"""Writes to the target apps; one folder per app."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from services.runtime.app import App

GROUP = "contactsync.apps"
"""The entry-point group in which apps outside this tree name their `APP`."""


def discover() -> Mapping[str, App]:
    """Return every app there is, by its name, sorted: folders here with an `app.py`, then entry points.

    An app's `app` module has its `APP`. Raises `ValueError` when two apps have one name, or a folder isn't named
    as its app; what an app's own import raises comes through.
    """
    found: dict[str, App] = {}
    for folder in pkgutil.iter_modules(__path__):
        if not folder.ispkg or importlib.util.find_spec(f"{__name__}.{folder.name}.app") is None:
            continue
        app: Any = importlib.import_module(f"{__name__}.{folder.name}.app").APP
        if app.manifest.name != folder.name:
            raise ValueError(f"The folder {folder.name} holds the app {app.manifest.name}: give both the same name.")
        found[folder.name] = app
    for entry in metadata.entry_points(group=GROUP):
        app = entry.load()
        name = app.manifest.name
        if name in found and found[name] is not app:
            raise ValueError(f"There are two apps named {name}, one from {entry.value}: uninstall or rename one.")
        found[name] = app
    return dict(sorted(found.items()))
