"""Records as JSON."""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import Any, Dict, List, Optional

from gateway.evidence.verifier.fault import require
from gateway.evidence.verifier.meanings import BODIES, FIELDS, KINDS, VERDICTS


def moment(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1000000000)
    return "%s.%09dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)), rest)


def told_moment(text: str) -> str:
    """A moment as people read it: without what is below a second."""
    return "%s %s UTC" % (text[:10], text[11:19])


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def readable(stamp: List[Any], event: List[Any], body: Optional[List[Any]]) -> Dict[str, Any]:
    kind = event[0]
    require(kind in KINDS, "a record is of a kind that this verifier does not know: get a newer one")
    shown = {
        "segment": stamp[1], "index": stamp[2], "time": moment(stamp[3]), "boot_ns": stamp[4], "worker": stamp[5],
        "sequence": stamp[6], "kind": KINDS[kind], "terms": [term.hex() for term in stamp[9]],
    }
    if event[1]:
        shown["session"] = str(uuid.UUID(bytes=event[1]))
        shown["number_in_session"] = event[2]
    if event[3]:
        shown["target"] = event[3]
    if event[4]:
        shown["verdict"] = VERDICTS[event[4]]
    if event[5] is not None:
        shown["ref"] = plain(event[5])
    shown["fields"] = dict(zip(FIELDS[kind], map(plain, event[6:])))
    if body is not None:
        shown["body"] = dict(zip(BODIES.get(kind, []), map(plain, body)))
    return shown


def canonical(shown: Dict[str, Any]) -> str:
    return json.dumps(shown, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def counted(count: int, one: str, several: str = "") -> str:
    """ "1 record", "2 records"; :param several: where an s does not do."""
    return "%d %s" % (count, one if count == 1 else several or one + "s")


def clean(text: Any) -> str:
    """Text of a stranger for a terminal: no control characters, no escape sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
