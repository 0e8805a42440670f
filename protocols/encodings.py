"""
Client encodings whose text can be judged: their PostgreSQL names to Python's codecs.

All single-byte supersets of ASCII, and UTF-8: no byte of a character can be a quote or a backslash, and Python reads each
byte as the server does, or not at all (tests compare them with a server's own tables). Not here, so refused by name:
SJIS, SHIFT_JIS_2004, BIG5, GBK, UHC, GB18030 and JOHAB, where a character's second byte may be ASCII; EUC_* and
MULE_INTERNAL, which are safe in that but which Python reads otherwise than the server, or not at all.

Source: PostgreSQL 18 manual, 23.3 "Character Set Support"; the aliases of pg_encname_tbl in the server's encnames.c.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

UTF8 = "utf-8"

# Latin alphabets are not numbered as the parts of ISO 8859 are.
_LATIN = {1: 1, 2: 2, 3: 3, 4: 4, 5: 9, 6: 10, 7: 13, 8: 14, 9: 15, 10: 16}
_WINDOWS = (866, 874, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258)

CODECS: Mapping[str, str] = {
    "utf8": UTF8,
    "unicode": UTF8,
    **{f"latin{number}": f"iso8859-{part}" for number, part in _LATIN.items()},
    **{f"iso8859{part}": f"iso8859-{part}" for part in (*_LATIN.values(), 5, 6, 7, 8)},
    **{f"{prefix}{page}": f"cp{page}" for prefix in ("win", "windows") for page in _WINDOWS},
    "koi8r": "koi8-r",
    "koi8u": "koi8-u",
}
"""By name in lower case, letters and digits only."""

UNCONVERTED = "sqlascii"
"""The name of no encoding: the server takes the bytes as they are, in its database's encoding."""


UNREADABLE = frozenset("""
    big5 euccn eucjis2004 eucjp euckr euctw gb18030 gbk johab mskanji muleinternal shiftjis shiftjis2004 sjis uhc win932 win936
    win949 win950 windows932 windows936 windows949 windows950
""".split())
"""What the server knows besides, by name likewise: under these no text can be judged."""


def plain(name: str) -> str:
    """A name as the server compares it."""
    return re.sub("[^a-z0-9]", "", name.lower())


def safe(name: str) -> bool:
    """Whether text in this client encoding can be judged."""
    return plain(name) in CODECS or plain(name) == UNCONVERTED


def codec_of(settings: Mapping[str, str]) -> str:
    """What a client's bytes are to be read with under these reported settings."""
    name = plain(settings.get("client_encoding", "utf8"))
    if name == UNCONVERTED:
        name = plain(settings.get("server_encoding", "utf8"))
    return CODECS.get(name, UTF8)
