"""What the numbers in a record mean."""

from __future__ import annotations

VERDICTS = ("", "allow", "deny")

WHO = ["identity", "on_behalf_of", "account", "database", "peer"]

KINDS = {
    1: "header", 2: "carry", 10: "opened", 11: "closed", 20: "intent", 21: "outcome", 22: "refusal", 23: "ungranted",
    24: "chunk", 25: "recorded", 30: "note", 40: "approval", 60: "worker", 61: "notary", 62: "clock", 70: "admin",
}

FIELDS = {
    1: "origin stream segment previous_root ledger_size ledger_root public_key boot_id next_worker".split(),
    2: "what rows".split(),
    10: "protocol policy_revision".split(),
    11: ["commands"],
    20: "command path rule grant request binding rewritten parameter_count masked_columns policy_revision".split(),
    21: "command ending sqlstate rows bytes cells_masked copied_bytes micros transaction".split(),
    22: "command path rule code request addon policy_revision".split(),
    23: "command grant why".split(),
    24: "recording chunk channel command offset_us events bytes".split(),
    25: "recording channel command chunks output_bytes input_bytes micros".split(),
    30: ["what"],
    40: "grant binding expires_ns uses request".split(),
    60: "what worker_number role pid uid".split(),
    61: "what why".split(),
    62: ["step_ns"],
    70: "what pid uid".split(),
}

COMMAND_BODY = WHO + "text sent parameters columns addon name function_oid clear_columns executes".split()

BODIES = {
    10: WHO + "identity_kind groups proof application facts".split(),
    11: ["why"],
    20: COMMAND_BODY,
    21: "tags columns alarm facts copied_sha256".split(),
    22: WHO + "text sent parameters reason hint sqlstate name function_oid executes".split(),
    23: COMMAND_BODY,
    24: ["events"],
    25: ["sha256"],
    30: ["facts"],
    40: ["facts"],
    70: ["facts"],
}
