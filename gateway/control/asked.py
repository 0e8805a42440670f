"""
What was asked for, as the evidence holds it: all that an approver could read, whether or not it ever runs.

Values are kept as an intent keeps a command's: long ones by length and SHA-256.
"""

from __future__ import annotations


from gateway.control.store import Value
from gateway.values import recorded_values
from protocols.command import Digest, Parameter

_NAMES = ("subject", "on_behalf_of", "target", "account", "database", "session", "peer", "rule", "mode", "why", "quorum", "timeout", "lifetime")


def facts(record: Value) -> Value:
    """Of a request as it is submitted. Lists stay lists; who or what is not there is left out."""
    told: Value = {name: record[name] for name in _NAMES} | {"approvers": list(record["approvers"])}
    if record["statements"]:
        told["statements"] = list(record["statements"])
    else:
        told["text"] = record["text"]
    if any(record["binding"]):  # of a list nothing is bound until a statement of it comes
        told["binding"] = record["binding"].hex()
    if record["sent"] not in ("", record["text"]):
        told["sent"] = record["sent"]
    if record["parameters"]:
        told["parameters"] = recorded_values([_parameter(*one) for one in record["parameters"]])
    if "columns" in record:
        told |= {"columns": list(record["columns"]), "uses": record["uses"]}
    return told


def released(asked: Value) -> Value:
    """Of the statement of a list that is about to run: as it came, and what its grant is bound to."""
    sent = asked["sent"] if asked["sent"] not in ("", asked["text"]) else ""
    return {"session": asked["session"], "text": asked["text"], "sent": sent, "binding": asked["binding"].hex()}


def _parameter(type_oid: int, form: int, value: bytes | None, length: int | None = None, sha256: bytes = b"") -> Parameter:
    return Parameter(type_oid, form, value if length is None else Digest(length, sha256))
