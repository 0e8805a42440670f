"""The one process that owns identities, the vault, requests, grants and shared counts."""
