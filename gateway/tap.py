"""
`twistd -n ostiary --config ostiary.toml`: the configuration to the service that twistd runs.

Whatever is wrong with the configuration is said, with file, key path and mend, before
twistd goes into the background; then the exit code is 1.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.logger import ILogObserver, textFileLogObserver
from twisted.python import usage
from twisted.python.logfile import LogFile

from gateway.logs import OneLine
from gateway.revision import Revision, WrongConfig, first
from gateway.supervisor import Supervisor


class Options(usage.Options):
    """What twistd hands over."""

    synopsis = "[--config FILE]"
    longdesc = "Runs the gateway that FILE describes. `ostiary init DIR` makes one, `ostiary check FILE` looks at it."
    optParameters = [["config", "c", "ostiary.toml", "the configuration"]]


class Root(MultiService):
    """
    What twistd runs. Its application's log has one line per event, unless twistd was told of a logger.

    :param pidfile: where twistd writes this process's number; "" for nowhere.
    """

    def __init__(self, supervisor: Supervisor, observer: ILogObserver | None, pidfile: str) -> None:
        super().__init__()
        self._observer, self._pidfile = observer, pidfile
        supervisor.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """
        As every service.

        :raises SystemExit: it cannot start. Of other exceptions alone twistd takes its file back itself.
        """
        try:
            super().privilegedStartService()
        except SystemExit:
            if self._pidfile:
                Path(self._pidfile).unlink(missing_ok=True)
            raise

    def setServiceParent(self, parent: Any) -> None:
        if self._observer is not None:
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)


def _observer(twistd: Mapping[str, Any]) -> ILogObserver | None:
    """Ours on what twistd would write to; its own writes tracebacks, with whatever an exception quotes."""
    name, here = twistd.get("logfile"), twistd.get("nodaemon")
    if twistd.get("logger") or twistd.get("syslog") or (name == "-" and not here):  # the last is its to refuse
        return None
    if here and name in (None, "", "-"):
        return OneLine(textFileLogObserver(sys.stdout))
    return OneLine(textFileLogObserver(LogFile.fromFullPath(name or "twistd.log")))


def makeService(options: Options) -> IService:
    """As twistd's ServiceMaker asks for it."""
    from twisted.internet import reactor

    gc.disable()  # what is loaded now is kept: looking through it meanwhile would only delay the children
    supervisor = Supervisor(read(Path(options["config"])), reactor)
    gc.freeze()
    gc.enable()
    twistd = options.parent or {}
    return Root(supervisor, _observer(twistd), twistd.get("pidfile") or "")


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
