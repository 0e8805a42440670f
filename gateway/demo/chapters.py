"""
The tour: what Ostiary does with SQL, and at a host, one claim after the other, each shown and then checked.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.demo.configuration import ADA, CLAUDE, GRACE, HOST_TARGET, REPORT
from gateway.demo.proof import proof, tampering
from gateway.demo.stage import Stage, request_in

CLOSE = "UPDATE providers SET accepting = false"


def masking(stage: Stage) -> None:
    """Patients' secrets do not leave"""
    stage.say(
        "Ada is an engineer. She may read patients, but not what identifies them."
        + (" Stock psql, plain SQL:" if stage.has_psql else " There is no psql here, so a small client stands in for it:")
    )
    raw = stage.truth("SELECT ssn, phone, email, street, dob FROM patients WHERE id = 1").split("|")
    row = stage.psql(ADA, "SELECT id, last_name, dob, ssn, phone, email FROM patients WHERE id = 1")
    stage.check("the row came, masked: year of birth, last four digits, nothing else", row.code == 0 and "***" in row.text)
    tries = (
        "SELECT patients AS whole_row FROM patients WHERE id = 1",
        "SELECT row_to_json(p) -> 'phone' AS phone FROM patients p WHERE id = 1",
        "SELECT name, born, contact FROM patient_directory WHERE id = 1",
        "SELECT string_agg(phone || email, ';') FROM patients WHERE id = 1",
        "SELECT CAST(ssn AS integer) FROM patients WHERE id = 1",
    )
    stage.say("\nOther ways to the same columns: whole rows, JSON, a view, an aggregate, an error message.")
    said = "".join(stage.psql(ADA, sql, show=6).text for sql in tries)
    stage.check("none of them shows a raw value", not any(value in said + row.text for value in raw))
    stage.say("\nAsking instead of looking: does some number begin with 900?")
    oracle = stage.psql(ADA, "SELECT count(*) FROM patients WHERE ssn LIKE '900%'")
    stage.check("it would tell by its answer, so it is refused (OST-510)", "OST-510" in oracle.text)
    stage.say("\nGrace is in the group `privacy`. The same statement, by her:")
    clear = stage.psql(GRACE, "SELECT id, last_name, dob, ssn, phone, email FROM patients WHERE id = 1")
    stage.check("she sees what is there", all(raw[n] in clear.text for n in (0, 1, 2)))


def dropping(stage: Stage) -> None:
    """What policy refuses never reaches the server"""
    stage.say("The account that the gateway uses owns the tables. Policy says no all the same, from the parse:")
    plain = stage.psql(ADA, "DROP TABLE encounters")
    hidden = stage.psql(ADA, "SELECT 1; /* harmless */ dRoP\tTABLE encounters")
    stage.check("refused by the rule `no-drop`", "OST-203" in plain.text and "no-drop" in plain.text)
    stage.check("also behind a comment, in odd letters, as the second statement", "OST-203" in hidden.text)
    stage.check("the server's own log has neither", "table encounters" not in _after_load(stage).lower())
    stage.check("the table is there", int(stage.truth("SELECT count(*) FROM encounters")) > 0)


def approving(stage: Stage) -> None:
    """A privileged statement waits for a second person"""
    stage.truth("UPDATE providers SET accepting = true")
    stage.say("An UPDATE without WHERE. Ada's psql waits, and says what for:")
    waiting = stage.psql_later(ADA, CLOSE)
    notice = waiting.notice()
    request = request_in(notice)
    stage.screen.output(notice)
    stage.check("psql was told the request's id, and waits", bool(request) and not waiting.answered)
    stage.check("nothing ran yet", stage.truth("SELECT bool_and(accepting) FROM providers") == "t")
    stage.say("\nAda cannot answer herself:")
    own = stage.ostiary(ADA, "request", "approve", request, "--as", ADA)
    stage.check("self-approval is refused, and her psql still waits", own.code == 1 and not waiting.answered)
    stage.say("\nGrace looks at exactly what would run, and says yes:")
    stage.ostiary(GRACE, "request", "show", request, show=30)
    yes = stage.ostiary(GRACE, "request", "approve", request, "--as", GRACE, "--why", "clinic closes for the move")
    said = waiting.end()
    stage.say("\nAda's psql, a moment later:")
    stage.screen.output(said.text)
    stage.check("it ran", yes.code == 0 and said.code == 0 and "UPDATE 120" in said.text)
    stage.check("on the server too", stage.truth("SELECT bool_or(accepting) FROM providers") == "f")
    again = stage.ostiary(GRACE, "request", "approve", request, "--as", GRACE)
    stage.check("a yes is good once", again.code == 1)


def leaving(stage: Stage) -> None:
    """Who is gone does not act"""
    stage.truth("UPDATE providers SET accepting = true")
    stage.say("The same statement; then Ada's laptop dies while it waits.")
    waiting = stage.psql_later(ADA, CLOSE)
    notice = waiting.notice()
    request = request_in(notice)
    stage.screen.output(notice)
    waiting.kill()
    stage.wait_for(lambda: stage.request_state(request) != "pending")
    late = stage.ostiary(GRACE, "request", "approve", request, "--as", GRACE)
    stage.check("the yes that comes too late is refused", bool(request) and late.code == 1)
    stage.check("the statement never ran", stage.truth("SELECT bool_and(accepting) FROM providers") == "t")


def returning(stage: Stage) -> None:
    """Programs do not wait at a prompt"""
    change = "UPDATE providers SET accepting = false WHERE id = 7"
    stage.truth("UPDATE providers SET accepting = true")
    stage.say("The nightly report is a workload: it does what it always does, under its own name.")
    nightly = stage.psql(REPORT, "SELECT * FROM department_load ORDER BY department LIMIT 3")
    stage.check("it reads", nightly.code == 0 and "Cardiology" in nightly.text)
    stage.say("\nClaude is an agent that acts for Ada. Its changes need a yes; it gets the request's id and tries again.")
    first = stage.psql(CLAUDE, change)
    request = request_in(first.text)
    stage.check("refused at once, with the request's id in text and in JSON", "OST-301" in first.text and bool(request))
    own = stage.ostiary(ADA, "request", "approve", request, "--as", ADA)
    stage.check("Ada, for whom it acts, cannot approve it", own.code == 1)
    yes = stage.ostiary(GRACE, "request", "approve", request, "--as", GRACE)
    other = stage.psql(CLAUDE, change.replace("7", "8"))
    stage.check("another statement is another question", yes.code == 0 and "OST-301" in other.text)
    second, third = stage.psql(CLAUDE, change), stage.psql(CLAUDE, change)
    stage.check("the identical one passes", "UPDATE 1" in second.text)
    stage.check("once", "OST-301" in third.text)
    stage.check("and that is all that changed", stage.truth("SELECT string_agg(id::text, ',') FROM providers WHERE NOT accepting") == "7")


def committing(stage: Stage) -> None:
    """A refusal tells the truth about the transaction"""
    stage.truth("DELETE FROM departments WHERE id = 99")
    stage.say("Half of a transaction is refused. A client that goes on to COMMIT must not get half of it:")
    said = stage.psql(
        ADA, "BEGIN", "INSERT INTO departments VALUES (99, 'Sleep Medicine', 8, 6)", "DROP TABLE departments", "COMMIT"
    )
    stage.check("COMMIT says ROLLBACK, as after an error of the server's own", "ROLLBACK" in said.text and "COMMIT" not in said.text)
    stage.check("nothing was written", stage.truth("SELECT count(*) FROM departments WHERE id = 99") == "0")


def naming(stage: Stage) -> None:
    """COPY is masked at its source; what cannot be masked is refused by name"""
    stage.say("COPY streams rows without naming their columns, and a write would keep them.")
    copied = stage.psql(ADA, "COPY (SELECT * FROM patients ORDER BY id LIMIT 3) TO STDOUT (FORMAT csv)")
    secrets = stage.truth("SELECT string_agg(ssn, ' ') FROM (SELECT ssn FROM patients ORDER BY id LIMIT 3) few").split()
    stage.check("COPY shows masks too", copied.code == 0 and "***" in copied.text and len(secrets) == 3)
    stage.check("and none of the values", not any(secret in copied.text for secret in secrets))
    kept = stage.psql(ADA, "CREATE TABLE mine AS TABLE patients")
    stage.check("a table made of a masked one is refused, with its reason", "OST-512" in kept.text and "public.patients" in kept.text)
    kept = stage.psql(ADA, "INSERT INTO departments (id, name, floor, beds) SELECT 1000 + id, ssn, 1, 1 FROM patients")
    stage.check("so is a write that reads what is masked", "OST-514" in kept.text and "public.patients" in kept.text)
    written = stage.psql(ADA, "UPDATE patients SET phone = '***' WHERE id = 1")
    stage.check("and writing a mask over what it hides", "OST-513" in written.text)
    free = stage.psql(ADA, "COPY (SELECT * FROM departments ORDER BY id LIMIT 2) TO STDOUT")
    stage.check("COPY of what nobody masks works", free.code == 0 and "Emergency" in free.text)


def visiting(stage: Stage) -> None:
    """A host is guarded as a database is"""
    if stage.site.host is None:
        stage.say("There is no OpenSSH server here (Debian: openssh-server), so there is no host to show.")
        return
    stage.say("Ada's own ssh, with her token as the password. The key to the account there is the gateway's:")
    made = stage.ssh(ADA, "mkdir -p reports && date > reports/june && uname -s")
    stage.check("it runs, and answers", made.code == 0 and "Linux" in made.text)
    ended = stage.ssh(ADA, "exit 3")
    stage.check("how it ended is told as it was", ended.code == 3)
    *removing, reading = refusals = ("rm -rf reports", r"echo tidy; r\m -rf reports", "cat /etc/shadow")
    removed = [stage.ssh(ADA, command) for command in removing]
    both = all("Nothing is deleted here" in one.text and one.code == 126 for one in removed)
    stage.check("refused by policy, by what a shell would make of it too", both)
    secret = stage.ssh(ADA, reading)
    stage.check("so is reading what nobody reads there", "Keys and passwords" in secret.text and secret.code == 126)
    kept = stage.ssh(ADA, "ls reports")
    stage.check("the host heard of none of it: the file is there", kept.text.split() == ["june"])
    told = {one["body"]["text"] for one in stage.records("--target", HOST_TARGET, "--kind", "refusal")}
    stage.check("the evidence has every command, also those that the host never heard of", told >= set(refusals))


def dying(stage: Stage) -> None:
    """A worker is killed, and the next client does not notice"""
    stage.say("A statement runs. The process that holds its session is killed with -9:")
    waiting = stage.psql_later(ADA, "SELECT pg_sleep(3600)")
    session = stage.session_of(ADA)
    stage.wait_for(lambda: "pg_sleep" in _after_load(stage))
    pids = {name: pid for name, pid in stage.gateway.pids().items() if name.startswith("worker")}
    seen = len(stage.gateway.lines)
    stage.shell("root", "kill", "-9", *map(str, pids.values()))
    said = waiting.end()
    stage.screen.output(said.text)
    stage.check("its session ends", bool(session) and said.code == 2)
    stage.check("new workers stand in", all(stage.gateway.heard(rf"{name} is process", 30, seen) for name in pids))
    after = stage.psql(ADA, "SELECT count(*) FROM departments")
    stage.check("the next session is served", after.code == 0 and "13" in after.text)
    endings = [one["fields"]["ending"] for one in stage.records("--kind", "outcome", "--session", session)]
    stage.check("the evidence says that nobody knows how it ended", endings == ["unknown"])


CHAPTERS: tuple[Callable[[Stage], None], ...] = (
    masking, dropping, approving, leaving, returning, committing, naming, visiting, dying, proof, tampering,
)
"""In the order they are shown; each one's docstring is its title."""


def _after_load(stage: Stage) -> str:
    """The server's log from where a client could have spoken."""
    return stage.statements().rpartition("VACUUM ANALYZE")[2]
