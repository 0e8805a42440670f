"""What a bundle says of itself to people. Nothing proves it, so a verifier knows it by heart."""

from __future__ import annotations


README = """Evidence of the gateway {origin}

readable/records.jsonl   the records, one JSON object a line
readable/sessions/       recordings of terminals, if they were asked for: asciinema play FILE
segments/, ledger/       what proves them
verify.py                checks all of it: python3 verify.py BUNDLE --key PUB --anchor FILE
MANIFEST.json            the query, and the SHA-256 of every file

These are the records of the log that match the query, and the log's own record of this export, each as it was stored: its number in
its segment (`index`) is that of the log, so between two of them there may be others that do not match. `ostiary audit search --json`
prints the same records for people: moments as ISO 8601 (here `expires_ns` and `at` are nanoseconds and seconds since 1970), a `binding`
in hex, what a terminal showed as text. The log has bodies encrypted; here they are opened, but for those that are said to be withheld.

In a record: `ref` is [worker, sequence] of the intent that an outcome belongs to. `terms` are keyed pseudonyms, by which records are
found. `binding` is the hash of everything that a grant was given for. `boot_ns` is the machine's monotonic clock, which no clock
setting moves. `path` is the way a command came (simple, parse, bind, exec …). `transaction` is the transaction's state after it. Times
are UTC; {{"base64": …}} are bytes that are no text.

A parameter is [type's OID, format (0 text, 1 binary), value], of a long value [OID, format, null, length, SHA-256]. Of a host's
commands the OID is always 0: of a file operation they are its path and, where it has one, the second path, as bytes; of a command line
its exact bytes, where `text` does not show them as they are; "on a terminal", where it runs on one; and each variable that came along, NAME=value.

An intent's and a refusal's `executes` says what its EXECUTE runs, or its Bind of a statement that SQL prepared: [name, text, command] for each text that the
name may stand for, as the client sent it in that command of its session; without a text, see that command; without either, nobody saw it prepared.

Of masking: an intent's `columns` are the declared columns that the statement reads and sees masked, `clear_columns` those that it may
have read as they are, as schema.relation.column; both err by naming too much, with schema.relation.* or * where nobody can tell which.
An outcome's `cells_masked` counts the cells of its result that show masks, NULLs too. Its `masked_by` says how: "wire", each cell as it
passed, "rewrite", by the text that was sent (`cells_rewritten` of them; "unknown" where nobody can count them). Its own `columns` are those
that show masks.

Take neither the key nor verify.py from here: a forged bundle would come with a forged key, and a verifier
that calls everything sound. PUB is the log's public key; ask for it on another way. Take verify.py from an
installation of your own (`ostiary audit verifier > verify.py`), or compare the SHA-256 of this one, {verifier},
with what you got elsewhere: Ostiary's docs/evidence.md and `ostiary audit verifier --sha256` have it.
FILE holds a checkpoint of the log that you kept before; without it, whoever holds the log's signing key could have
made another log for you.

Where MANIFEST.json has `missing`, the gateway's store was damaged when this was exported: of each segment that is named there a part was lost, its
records or the bodies of some. What is here is proved all the same; that is INCOMPLETE, and nobody can tell from here what was lost.

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
