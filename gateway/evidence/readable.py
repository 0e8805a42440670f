"""
A record as a person or a tool reads it: named fields in JSON, or one line of text.

The JSON is canonical (sorted keys, no spaces, UTF-8), because the bundle's verifier makes it
again from the proven bytes and compares. The verifier that bundles carry repeats these rules on its own.
"""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from collections.abc import Sequence
from typing import Any

from gateway.evidence import hosts
from gateway.notary.record import BODY_FIELDS, FIELDS, RESUMED, VERDICTS, Kind, Record


CONFIGURATION = ("config.started", "config.reloaded")
"""Notes of a configuration in force, which hold its text."""


def moment(time_ns: int) -> str:
    """RFC 3339 in UTC, all nine digits."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def readable(record: Record, body: list[Any] | None) -> dict[str, Any]:
    """All that is known of a record; `body` is its plain body, None when it is not opened."""
    stamp, fields = record.stamp, record.fields
    shown: dict[str, Any] = {
        "segment": stamp.segment, "index": stamp.index, "time": moment(stamp.time_ns), "boot_ns": stamp.boot_ns,
        "worker": stamp.worker, "sequence": stamp.sequence, "kind": Kind(record.kind).name.lower(),
        "terms": [term.hex() for term in stamp.terms],
    }
    if record.session:
        shown["session"] = str(uuid.UUID(bytes=record.session))
        shown["number_in_session"] = fields[2]
    if fields[3]:
        shown["target"] = fields[3]
    if fields[4]:
        shown["verdict"] = VERDICTS[fields[4]]
    if fields[5] is not None:
        shown["ref"] = plain(fields[5])
    shown["fields"] = dict(zip(FIELDS[record.kind], map(plain, record.own), strict=False))
    if body is not None:
        shown["body"] = dict(zip(BODY_FIELDS.get(record.kind, ()), map(plain, body), strict=False))
    return shown


def plain(value: Any) -> Any:
    """msgpack's values as JSON's: bytes become {"base64": …}."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def printed(shown: dict[str, Any]) -> dict[str, Any]:
    """
    The same for somebody who looks: moments in ISO 8601, and of recorded terminals the text where it is text.

    A bundle has records as `readable` says them, which is what its verifier makes of the proven bytes.
    """
    fields, body = dict(shown["fields"]), dict(shown.get("body", {}))
    if isinstance(fields.get("binding"), dict):
        bound = base64.b64decode(fields["binding"]["base64"])
        fields["binding"] = bound.hex() if any(bound) else None  # as requests have it; none where nothing was approved
    if "expires_ns" in fields:
        fields["expires"] = moment(fields.pop("expires_ns"))
    facts = body.get("facts")
    if isinstance(facts, dict) and _SECONDS.fullmatch(str(facts.get("at", ""))):
        body["facts"] = {**facts, "at": _since_1970(facts["at"])}
    if shown["kind"] == "chunk" and "events" in body:
        body["events"] = [[wait, code, _text(data)] for wait, code, data in body["events"]]
    return {**shown, "fields": fields, **({"body": body} if "body" in shown else {})}


_SECONDS = re.compile(r"[0-9]{9,11}\.[0-9]{3}")
"""Since 1970, as control writes when something was done that it could tell the notary only later."""


def _since_1970(seconds: str) -> str:
    return moment(round(float(seconds) * 1000) * 1_000_000)


def _text(data: Any) -> Any:
    """Bytes as text, where they are UTF-8: what a program wrote may be cut in the middle of a letter."""
    try:
        return base64.b64decode(data["base64"]).decode() if isinstance(data, dict) else data
    except UnicodeDecodeError:
        return data


def canonical(shown: dict[str, Any]) -> str:
    """One line of JSON, always the same for the same record."""
    return json.dumps(shown, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def clean(text: str) -> str:
    """Text of a stranger for a terminal: no control characters, no escape sequences, one line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, one: str, several: str = "") -> str:
    """ "1 record", "2 records"; :param several: where an s does not do."""
    return f"{count} {one if count == 1 else several or one + 's'}"


def summary(shown: dict[str, Any], protocol: str = "") -> str:
    """What happened, in a few words; not cleaned. `protocol`: of its session, as far as it is known."""
    fields, body = shown["fields"], shown.get("body", {})
    if shown["kind"] == "closed" and not (shown.get("number_in_session") or body.get("why")):
        return "lost: its worker was gone"  # the notary's own word: what a worker closes has a number
    if shown["kind"] == "outcome" and fields["ending"] == "unknown" and not fields["micros"]:
        return "unknown: its worker, or the notary, was gone before anybody heard what came of it"
    if protocol == hosts.PROTOCOL and shown["kind"] == "outcome":
        return hosts.ended(fields, body.get("facts") or {})
    if protocol == hosts.PROTOCOL and shown["kind"] == "closed":
        return hosts.left(body.get("why") or "")
    match shown["kind"]:
        case "intent" | "refusal" | "ungranted":
            called = f"function {body['function_oid']}" if body.get("function_oid") else "(body not opened)"
            text = body.get("text") or called
            if body.get("clear_columns"):
                text = f"{', '.join(body['clear_columns'])} in the clear: {text}"
            text += "".join(map(_executed, body.get("executes") or ()))
            why = body.get("reason") or fields.get("why") or ""
            return f"{text}  -- {why}" if why else text
        case "outcome":
            told = " ".join([fields["ending"], fields["sqlstate"], *body.get("tags", [])]).replace("  ", " ")
            masked = _masked(fields["cells_masked"], body.get("facts") or {})
            alarm = f", ALARM: {body['alarm']}" if body.get("alarm") else ""
            followed = ", an error followed before the Sync" if (body.get("facts") or {}).get("error_followed") else ""
            return f"{told.strip()}{followed}, {counted(fields['rows'], 'row')}{masked}, {fields['micros'] / 1000:.1f} ms{alarm}"
        case "chunk":
            when, first = fields["offset_us"] / 1e6, f"recording {fields['recording']}, chunk {fields['chunk']}"
            return f"{first} from {when:.3f} s: {counted(fields['events'], 'event')}, {counted(fields['bytes'], 'byte')}"
        case "recorded":
            total = f"{counted(fields['chunks'], 'chunk')}, {counted(fields['output_bytes'], 'byte')}, {fields['micros'] / 1e6:.3f} s"
            return f"recording {fields['recording']} ended: {total}"
        case "opened":
            where = f" on {body['database']}" if body.get("database") else ""
            facts = body.get("facts") or {}
            floored = f", floor {facts['floor']}" if facts.get("floor") else ""
            again = f"goes on: {facts[RESUMED]}; " if RESUMED in facts else ""
            return f"{again}from {body['peer']} as {body['account']}{where}{floored}" if body else ""
        case "closed":
            return body.get("why") or ""
        case "note" | "admin":
            told = dict(body.get("facts") or {})
            if fields["what"].startswith(CONFIGURATION):
                told.pop("text", None)  # a whole file: `ostiary audit show` of the record has it
            facts = " ".join(f"{k}={_fact(k, told[k])}" for k in sorted(told, key=_rank))
            return f"{fields['what']} {facts}".strip()
        case "approval":
            uses = counted(fields["uses"], "use") if fields["uses"] else "unlimited uses"
            return f"grant {fields['grant']} of request {fields['request']}, {uses}"
        case "header":
            return f"segment {fields['segment']} of {fields['origin']}"
        case "carry":
            return f"still open when the segment began: {counted(len(fields['rows']), fields['what'].removesuffix('s'))}"
        case "notary":
            return ": ".join(filter(None, (fields["what"], fields["why"])))
        case "clock":
            return f"the wall clock moved by {fields['step_ns'] / 1e9:+.3f} s"
        case "worker":
            return f"{fields['worker_number']} {fields['what']} {fields['role']}".strip()
    return " ".join(str(value) for value in fields.values() if isinstance(value, (str, int)))


_FIRST = (
    "subject", "identity", "user", "by", "on_behalf_of", "target", "account", "database", "request", "tried", "times", "code", "state", "verdict",
    "rule", "why", "text",
)  # fmt: skip
"""Facts that a person looks for first: who, where, and what was said to it. Others follow as they are stored."""


def _rank(fact: str) -> int:
    return _FIRST.index(fact) if fact in _FIRST else len(_FIRST)


def _fact(name: str, value: Any) -> str:
    """One fact on a line; what was stored as seconds since 1970 is a moment, as the line's own."""
    if name == "at" and _SECONDS.fullmatch(str(value)):
        return f"{_since_1970(value)[:23]}Z"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _masked(cells: int, facts: dict[str, Any]) -> str:
    """How much of a result was masked; what nobody could count is said so, instead of as none."""
    if facts.get("cells_rewritten") == "unknown":
        return f", masked by {facts['masked_by']}"
    return f", {counted(cells, 'cell')} masked" if cells else ""


def _executed(stands: Sequence[Any]) -> str:
    """What a name that a command executes stands for."""
    name, text, command = stands
    known = "nobody saw what" if command is None else f"see command {command}"
    return f'; "{name}" is: {known if text is None else text}'


def table_row(shown: dict[str, Any], identity: str, protocol: str = "", width: int = 0) -> str:
    """One line of a listing. `width`: of the terminal that shows it, which more is cut for; 0 where all of it is wanted."""
    where, who, target = f"{shown['segment']}/{shown['index']}", clean(identity), clean(shown.get("target", ""))
    if width:
        who, target = cut(who, 28), cut(target, 16)
    row = f"{shown['time'][:23]}Z  {where:>10}  {shown['kind']:<9}  {who:<28}  {target:<16}  {shown.get('verdict', ''):<5}  "
    text = clean(summary(shown, protocol))
    if width:
        left = -len(row) % width  # of the terminal's line in which it begins; where that is little, another one
        text = cut(text, left if left >= _LEGIBLE else left + width)
    return (row + text).rstrip()


_LEGIBLE = 40  # characters of what happened that tell something


def cut(text: str, most: int) -> str:
    """At most so many characters, the last of them a sign that there were more."""
    return text if len(text) <= most else text[: most - 1] + "…"


HEADING = f"{'TIME':<24}  {'RECORD':>10}  {'KIND':<9}  {'IDENTITY':<28}  {'TARGET':<16}  {'WHAT':<5}"
