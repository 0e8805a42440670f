"""Runs a real house whose workers speak echo: `python echo_house.py ostiary.toml`."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.logger import globalLogBeginner, textFileLogObserver

from gateway.logs import OneLine
from gateway.supervisor import Supervisor
from gateway.tap import read

if __name__ == "__main__":
    globalLogBeginner.beginLoggingTo([OneLine(textFileLogObserver(sys.stdout))], redirectStandardIO=False)
    house = Supervisor(read(Path(sys.argv[1])), reactor, options={"gate": "echo_gate.factory_for"})
    house.privilegedStartService()
    house.startService()
    reactor.addSystemEventTrigger("before", "shutdown", house.stopService)
    reactor.run()
