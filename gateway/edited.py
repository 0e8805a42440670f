"""A site's addons whose code was changed after the gateway began: it goes on with what it imported then, also after a reload."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from gateway.config import Config
from gateway.nowhere import OWN
from gateway.section import Problem


def edited(config: Config, began: float) -> Iterator[Problem]:
    """:param began: in seconds of the epoch."""
    for index, addon in enumerate(config.addons):
        file = None if addon.use.startswith(OWN) else _file(addon.use.rpartition(".")[0])
        if file is not None and file.stat().st_mtime > began:
            why = f"{file} was changed after the gateway began, which goes on with the code that it imported then"
            yield Problem(f"addon[{index}].use", why, "restart the gateway")


def _file(module: str) -> Path | None:
    """Where Python finds a module, without importing what is around it; None where it is not a file of its path."""
    inside = module.replace(".", "/")
    found = (Path(directory or ".") / name for directory in sys.path for name in (f"{inside}.py", f"{inside}/__init__.py"))
    return next((file for file in found if file.is_file()), None)
