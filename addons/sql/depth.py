"""
Texts that would nest deeper than PostgreSQL's parser can unwind are known before it sees them.

libpg_query writes its trees by recursion on the C stack: a sum of some twenty thousand terms
ends the process, and with it every session in it. So long texts are counted first, in one pass:
tokens in a row without a comma, AND or OR at one bracket level, words that chain, brackets and comments in each other.
"""

from __future__ import annotations

import re

SHORT = 16 << 10
"""Characters; a shorter text cannot chain enough links, which take two characters at least."""

RUN_LIMIT = 12_000  # tokens of such a row; the parser ends between 20,000 and 30,000 links
CHAIN_LIMIT = 2_000  # set operations, joins, CASEs and BETWEENs, which chain over commas and ANDs
LEVEL_LIMIT = 500  # brackets within brackets; the tree's own limit is lower
COMMENT_LIMIT = 50  # comments within comments: the lexer takes time by the square of it

_LITERAL = r"(?:-?\d[\w.]*|'(?:[^'\\]|'')*'|(?i:null|default|true|false))"
_TOKEN = re.compile(
    rf"(?P<row>\((?>{_LITERAL}\s*,\s*)*{_LITERAL}\s*\))|(?P<item>{_LITERAL}\s*,)|"
    r"--[^\n]*|(?P<comment>/\*)|[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\""
    r"|\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$|(?P<word>[^\W\d][\w$]*)|\d[\w.]*|(?P<open>[(\[])|(?P<close>[)\]])"
    r"|(?P<part>[,;])|(?P<other>\S)",
    re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_CHAINS = frozenset({"union", "intersect", "except", "join", "case", "between"})
_FLAT = frozenset({"and", "or"})
"""Lists to the parser however many there are (makeAndExpr, makeOrExpr in gram.y); BETWEEN's own AND is none, so it chains."""



def too_deep(text: str) -> str:
    """Why a text is not shown to the parser; "" when it may be."""
    if len(text) <= SHORT:
        return "" if text.count("/*") <= COMMENT_LIMIT else _comments(text)
    levels, chains, at = [0], 0, 0
    while (found := _TOKEN.search(text, at)) is not None:
        at, kind = found.end(), found.lastgroup
        if kind == "comment":
            at = _past_comment(text, at)
            if at < 0:
                return "comments are nested too deeply"
            continue
        if kind == "item":  # the comma ends what the literal went on with
            levels[-1] = 0
            continue
        if kind == "open":
            levels.append(0)
        elif kind == "close":
            levels = levels[:-1] or [0]
        word = found.group().lower() if kind == "word" else ""
        levels[-1] = 0 if kind == "part" or word in _FLAT else levels[-1] + 1
        chains += word in _CHAINS
        if levels[-1] > RUN_LIMIT or chains > CHAIN_LIMIT or len(levels) > LEVEL_LIMIT:
            return "its expressions chain or nest more than can be followed"
    return ""


def _comments(text: str) -> str:
    """The same for a short text with many comments, which may be side by side."""
    at = 0
    while (start := text.find("/*", at)) >= 0:
        at = _past_comment(text, start + 2)
        if at < 0:
            return "comments are nested too deeply"
    return ""


def _past_comment(text: str, at: int) -> int:
    """Where a comment that began before `at` ends; -1 when it nests too deeply. One without an end ends the text."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, at)
        if edge is None:
            return len(text)
        at, depth = edge.end(), depth + (1 if edge.group() == "/*" else -1)
        if depth > COMMENT_LIMIT:
            return -1
    return at
