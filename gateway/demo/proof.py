"""
The tour's last chapters: what the evidence says, who can check it, and what becomes of a forgery.
"""

from __future__ import annotations

import json
import re
import shutil

from gateway.demo.configuration import ADA, GRACE, IDENTITIES
from gateway.demo.database import APPLICATION
from gateway.demo.stage import Stage

_STATEMENT = re.compile(rf"^\S+ \S+ \S+ \[\d+\] {APPLICATION}@\S+ LOG:  statement: (.*(?:\n\t.*)*)", re.M)


def proof(stage: Stage) -> None:
    """What happened can be proved without us"""
    stage.say("Every question and every verdict of this tour is in the evidence. What was refused:")
    refused = stage.ostiary(GRACE, "audit", "search", "--kind", "refusal", show=8)
    stage.check("refusals are there: who, what, why", ADA in refused.text and "Tables are dropped by migrations" in refused.text)
    yes = stage.ostiary(GRACE, "audit", "search", "--kind", "approval", "--text", GRACE, show=8)
    stage.check("so is every yes of Grace's, as a grant that was good once", ", 1 use\n" in f"{yes.text}\n")
    stage.say("\nAn auditor gets a bundle, and from somebody else the log's public key:")
    bundle = stage.site.directory / "evidence"
    shutil.rmtree(bundle, ignore_errors=True)
    made = stage.ostiary(GRACE, "audit", "export", "--out", str(bundle))
    stage.check("the bundle is made", made.code == 0)
    key = stage.site.directory / "audit.pub"
    shutil.copyfile(stage.site.public_key, key)
    verified = stage.python("auditor", "evidence/verify.py", "--key", "audit.pub", cwd=stage.site.directory)
    stage.check("its own verifier, plain Python without a network, calls it sound", verified.code == 0)
    records = [json.loads(line) for line in (bundle / "readable" / "records.jsonl").read_text().splitlines()]
    stage.check("the people, the workload and the agent of this tour are in it", _subjects(records) >= set(IDENTITIES))
    unseen = _unrecorded(stage.statements(), records)
    stage.check("every statement in the server's own log has its record", not unseen)
    for text in unseen:
        stage.screen.output(text)


def tampering(stage: Stage) -> None:
    """Nobody can change it unseen"""
    site = stage.site.directory
    stage.say("In a copy of the bundle, somebody lets another person have said yes:")
    forged = site / "forged"
    shutil.rmtree(forged, ignore_errors=True)
    shutil.copytree(site / "evidence", forged)
    stage.shell("mallory", "sed", "-i", f"s/{GRACE}/alice@clinic.example/", "forged/readable/records.jsonl")
    changed = stage.python("auditor", "forged/verify.py", "--key", "audit.pub", cwd=site, show=4)
    stage.check("an edited line is found", changed.code == 1 and "TAMPERED" in changed.text)
    stage.say("\nThe gateway is stopped. Somebody with every right on its disk edits a copy of the store:")
    stage.check("the gateway stops cleanly", stage.gateway.stop() == 0)
    stage.copy_store("store")
    whole = stage.ostiary("auditor", "audit", "verify", "store", "--key", "audit.pub", show=4)
    stage.check("before that it is sound", whole.code == 2 and "SOUND" in whole.text)
    stage.shell("mallory", "sh", "-c", "LC_ALL=C sed -i s/no-drop/no-drip/ store/open/0*/data.mdb")
    edited = stage.ostiary("auditor", "audit", "verify", "store", "--key", "audit.pub", show=4)
    stage.check("an edited byte is found, and where", edited.code == 1 and "TAMPERED: segment" in edited.text)
    stage.say("\nOr removes the newest segment, all of it:")
    stage.copy_store("store")
    newest = max((site / "store" / "open").glob("0*")).relative_to(site)
    stage.shell("mallory", "rm", "-r", str(newest))
    removed = stage.ostiary("auditor", "audit", "verify", "store", "--key", "audit.pub", show=4)
    stage.check("what is missing is named", removed.code == 1 and f"segment {int(newest.name)} " in removed.text)
    stage.say("\nThe store itself, against a checkpoint that the auditor kept:")
    shutil.copyfile(stage.site.directory / "state" / "anchor" / "checkpoints", site / "kept")
    sound = stage.ostiary("auditor", "audit", "verify", "--anchor", "kept")
    stage.check("is sound", sound.code == 0 and "SOUND" in sound.text)


def _subjects(records: list[dict[str, object]]) -> set[object]:
    bodies = [record.get("body") for record in records]
    return {body.get("identity") for body in bodies if isinstance(body, dict)}


def _unrecorded(log: str, records: list[dict[str, object]]) -> list[str]:
    """Statements that the gateway's account sent and no record of an intent has."""
    since = log.rpartition("VACUUM ANALYZE")[2]  # the demo's own loading is before it
    sent: set[object] = set()
    for record in records:
        body = record.get("body")
        if record.get("kind") == "intent" and isinstance(body, dict):
            sent |= {body.get("text"), body.get("sent")}
    return [text for text in (found.replace("\n\t", "\n") for found in _STATEMENT.findall(since)) if text not in sent]
