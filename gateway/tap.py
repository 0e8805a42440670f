"""
`twistd -n ostiary --config ostiary.toml`: the configuration to the service that twistd runs.

Whatever is wrong with the configuration is said, with file, key path and mend, before
twistd goes into the background; then the exit code is 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.application.service import IService
from twisted.python import usage

from gateway.revision import Revision, WrongConfig, first
from gateway.supervisor import Supervisor


class Options(usage.Options):
    """What twistd hands over."""

    synopsis = "[--config FILE]"
    longdesc = "Runs the gateway that FILE describes. `ostiary init DIR` makes one, `ostiary check FILE` looks at it."
    optParameters = [["config", "c", "ostiary.toml", "the configuration"]]


def makeService(options: Options) -> IService:
    """As twistd's ServiceMaker asks for it."""
    from twisted.internet import reactor

    return Supervisor(read(Path(options["config"])), reactor)


def read(file: Path) -> Revision:
    """
    The revision to start with.

    :raises SystemExit: code 1, after the problems were written to stderr.
    """
    try:
        return first(file)
    except WrongConfig as error:
        print(f"ostiary: {error}", file=sys.stderr)
        raise SystemExit(1) from None
