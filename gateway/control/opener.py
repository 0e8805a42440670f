"""What opened a session, as people and programs are told it. Loads no Twisted: commands wait for what they load."""

from __future__ import annotations

from typing import Any

from gateway.control.badges import Badge
from gateway.control.device.answers import opened_by

Value = dict[str, Any]


def shown(session: Value) -> Value:
    """With what opened it by the names that evidence has for that; here all four are in one place."""
    told = {name: value for name, value in session.items() if name != "token"}
    opener = session["token"] or ""
    badge = Badge.of(opener)
    if badge is not None:
        return told | {"client_certificate_serial": badge.serial, "client_certificate_authority": badge.authority}
    if opener.startswith(opened_by("")):
        return told | {"client_issuer": opener.removeprefix(opened_by(""))}
    return told | {"client_key" if opener.startswith("SHA256:") else "client_token": opener}
