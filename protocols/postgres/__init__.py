"""PostgreSQL, protocol versions 3.0 and 3.2: messages, codec, auth, relay."""
