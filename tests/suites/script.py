"""
A psql script to the statements that psql would send: meta-commands, COPY data and psql's variables taken out.

Follows psql's lexer (PostgreSQL 15, src/fe_utils/psqlscan.l) as far as its own regression scripts need: quotes,
dollar quotes, nested comments, parentheses and BEGIN ATOMIC bodies hold a semicolon back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*) | (?P<block>/\*) | (?P<dollar>\$(?:[^\W\d]\w*)?\$) | (?P<escape>\b[eE]') | (?P<quote>') | (?P<ident>")
    | (?P<open>[(\[]) | (?P<close>[)\]]) | (?P<end>\\?;) | (?P<meta>\\[a-zA-Z]\w*[^\n]*)
    | (?P<variable>(?<![:\w]):(?:'\w+'|"\w+"|[^\W\d]\w*)) | (?P<word>[^\W\d]\w*)""",
    re.VERBOSE,
)
_COPY_IN = re.compile(r"copy\b.*\bfrom\s+stdin\b", re.IGNORECASE | re.DOTALL)
_BODY = re.compile(r"create\b.*\b(?:function|procedure)\b", re.IGNORECASE | re.DOTALL)
_SENDS = ("\\g", "\\crosstab", "\\watch")


def statements(script: str) -> Iterator[str]:
    """Each statement's text without its semicolon."""
    at, piece, depth, body = 0, "", 0, 0
    while found := _TOKEN.search(script, at):
        piece += script[at : found.start()]
        kind, text, at = found.lastgroup, found.group(), found.end()
        ends = kind == "end" and (text != ";" or not depth and not body)
        if kind == "comment":
            continue
        if kind in _CLOSERS:
            at = _closed(script, found)
            text = "" if kind == "block" else script[found.start() : at]
        elif kind in ("open", "close"):
            depth += 1 if kind == "open" else -1
        elif kind == "meta":
            ends, text = text.startswith(_SENDS), ""
        elif kind == "variable":
            text = _value(text)
        elif kind == "word":
            body += _nesting(text.lower(), piece, body)
        if not ends:
            piece += text
            continue
        if piece.strip():
            yield piece.strip()
            if _COPY_IN.match(piece.strip()):
                at = _after_data(script, at)
        piece, depth, body = "", 0, 0
    piece += script[at:]
    if piece.strip():
        yield piece.strip()


def _nesting(word: str, before: str, body: int) -> int:
    if word == "atomic" and _BODY.search(before) and before.rstrip().lower().endswith("begin"):
        return 1
    if not body:
        return 0
    return {"case": 1, "end": -1}.get(word, 0)


_CLOSERS = {"block", "dollar", "escape", "quote", "ident"}
_COMMENT = re.compile(r"/\*|\*/")
_ENDS = {"escape": re.compile(r"(?:[^'\\]|''|\\.)*'", re.DOTALL), "quote": re.compile(r"(?:[^']|'')*'"), "ident": re.compile(r'(?:[^"]|"")*"')}


def _closed(script: str, opened: re.Match[str]) -> int:
    """Where what was opened ends."""
    kind, at = opened.lastgroup, opened.end()
    if kind == "dollar":
        end = script.find(opened.group(), at)
        return len(script) if end < 0 else end + len(opened.group())
    if kind == "block":
        depth = 1
        while depth and (mark := _COMMENT.search(script, at)):
            depth, at = depth + (1 if mark.group() == "/*" else -1), mark.end()
        return len(script) if depth else at
    found = _ENDS[kind].match(script, at)
    return found.end() if found else len(script)


def _value(variable: str) -> str:
    """Something of the same shape; which value it had does not matter to a classifier."""
    return "'1'" if variable[1] == "'" else '"x"' if variable[1] == '"' else "x"


def _after_data(script: str, at: int) -> int:
    end = script.find("\n\\.\n", at)
    return at if end < 0 else end + 4
