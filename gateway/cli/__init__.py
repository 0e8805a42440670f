"""The `ostiary` command: one file per noun."""
