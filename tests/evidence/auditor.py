"""The verifier as an auditor has it: the one file that is shipped, and nothing of the product beside it."""

from __future__ import annotations

from types import ModuleType

from gateway.evidence.standalone import joined

verifier = ModuleType("verify")
exec(compile(joined(), "verify.py", "exec"), verifier.__dict__)
