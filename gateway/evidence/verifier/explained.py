"""What a bundle says of itself to people. Nothing proves it, so a verifier knows it by heart."""

from __future__ import annotations


README = """Evidence of the gateway {origin}

readable/records.jsonl   the records, one JSON object a line
readable/sessions/       recordings of terminals, if they were asked for: asciinema play FILE
segments/, ledger/       what proves them
verify.py                checks all of it: python3 verify.py BUNDLE --key PUB --anchor FILE
MANIFEST.json            the query, and the SHA-256 of every file

In a record: `ref` is [worker, sequence] of the intent that an outcome belongs to. `terms` are keyed pseudonyms, by which records are
found. `binding` is the hash of everything that a grant was given for. `boot_ns` is the machine's monotonic clock, which no clock
setting moves. `path` is the way a command came (simple, parse, bind, exec …). `transaction` is the transaction's state after it. A
parameter is [type's OID, format (0 text, 1 binary), value]. Times are UTC; {{"base64": …}} are bytes that are no text.

Take neither the key nor verify.py from here: a forged bundle would come with a forged key, and a verifier
that calls everything sound. PUB is the log's public key; ask for it on another way. Take verify.py from an
installation of your own (`ostiary audit verifier > verify.py`), or compare the SHA-256 of this one, {verifier},
with what you got elsewhere: Ostiary's docs/evidence.md and `ostiary audit verifier --sha256` have it.
FILE holds a checkpoint of the log that you kept before; without it, whoever holds the log's signing key could have
made another log for you.

What is proved: each record was in the log, at its place, unchanged, and each opened body is the one
recorded then; of a whole log (a query that is empty), that nothing is missing; otherwise what the log itself recorded of
this export: what was asked for, and how many records matched. What is not: that the gateway saw everything (compare with
the target's own log).
"""


def readme(origin: str, verifier: str) -> bytes:
    """
    README.txt of a bundle of this log.

    :param verifier: the SHA-256 of the verify.py beside it.
    """
    return README.format(origin=origin, verifier=verifier).encode()
