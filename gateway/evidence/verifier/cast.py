"""Recordings as asciicast."""

from __future__ import annotations

import codecs
import json
from typing import Any, List

CASTS = {"asciicast": 2, "asciicast-v3": 3}

SHOWN = {"o": "o", "e": "o", "n": "o", "i": "i", "r": "r", "h": "m"}


def cast(events: List[List[Any]], time_ns: int, version: int) -> str:
    """A recording's events as asciicast of a version; [microseconds, code, bytes] each."""
    size = next((data.decode() for _, code, data in events if code == "r"), "80x24")
    term = next((data.decode(errors="replace") for _, code, data in events if code == "t"), "")
    columns, rows = [int(part) for part in (size if "0" not in size.split("x") else "80x24").split("x")]
    head = {"version": 2, "width": columns, "height": rows, "timestamp": time_ns // 1000000000, "env": {"TERM": term}}
    if version == 3:
        head = {"version": 3, "term": {"cols": columns, "rows": rows, "type": term}, "timestamp": time_ns // 1000000000}
    lines = [json.dumps(head, ensure_ascii=False)]
    decoders = {code: codecs.getincrementaldecoder("utf-8")("replace") for code in SHOWN}
    sized, last = False, 0
    for micros, code, data in events:
        if code not in SHOWN or (code == "r" and not sized):
            sized = sized or code == "r"
            continue
        text = "typing that is not recorded" if code == "h" else decoders[code].decode(data)
        if text:
            since = micros - (last if version == 3 else 0)
            last = micros
            when = "%d.%06d" % (since // 1000000, since % 1000000)
            lines.append('[%s, "%s", %s]' % (when, SHOWN[code], json.dumps(text, ensure_ascii=False)))
    return "".join(line + "\n" for line in lines)
