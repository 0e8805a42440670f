"""The one process that owns the audit store and its keys."""
