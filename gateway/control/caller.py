"""
By which way somebody reached control: beside whose name an act is recorded, since a name is only what its token proved.
"""

from __future__ import annotations

import pwd
from dataclasses import dataclass


CLI, HTTPS, WORKER = "cli", "https", "worker"


@dataclass(frozen=True, slots=True)
class Caller:
    """
    :ivar channel: "cli" for this machine's socket, "https" for the API, "session" for a command that was sent, "worker" for the
        socket that workers come to, "" for control itself.
    :ivar token: the id of the token that proved who it is, "" where none was asked for.
    :ivar address: of an API's caller.
    :ivar os_user: whose process called on this machine.
    """

    channel: str = ""
    token: str = ""
    address: str = ""
    os_user: str = ""

    def facts(self) -> dict[str, str]:
        """For the evidence; what is empty is left out there."""
        return {"channel": self.channel, "with_token": self.token, "address": self.address, "os_user": self.os_user}


ITSELF = Caller()
IN_SESSION = Caller("session")


def os_user(uid: int) -> str:
    """A user of this machine as "name (uid 1000)"."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
    return f"{name} (uid {uid})"
