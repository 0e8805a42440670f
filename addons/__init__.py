"""Ring 2: opinions. One per file; each is handed what it needs in its constructor."""
