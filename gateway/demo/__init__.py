"""The demonstration clinic: an embedded PostgreSQL with invented patients, `make run`, and the guided tour."""
