"""Who the tests of control know."""

from __future__ import annotations

from gateway.config import AddonEntry, IdentityEntry

ADA, GRACE, MARY, JOAN = (f"{name}@clinic.example" for name in ("ada", "grace", "mary", "joan"))

PEOPLE = {
    entry.subject: entry
    for entry in (
        IdentityEntry("ada@clinic.example", "human", frozenset({"engineers", "approvers"})),
        IdentityEntry("grace@clinic.example", "human", frozenset({"engineers", "approvers"})),
        IdentityEntry("mary@clinic.example", "human", frozenset({"approvers"})),
        IdentityEntry("joan@clinic.example", "human", frozenset({"engineers"})),
        IdentityEntry("bot", "workload", frozenset({"approvers"})),
        IdentityEntry("claude", "agent", frozenset({"agents"}), "ada@clinic.example"),
    )
}

MASKED = AddonEntry("addons.masking.Masking", {
    "columns": [{"relation": "public.patients", "column": "ssn"}, {"relation": "public.staff", "column": "ssn", "targets": ["staff"]}],
    "reveal": {"approvers": ["approvers"], "lifetime": 3600, "uses": 0},
})  # fmt: skip
"""What is masked everywhere, and at one target, and who may let others see it."""
