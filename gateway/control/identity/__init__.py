"""Who may come in: local identities, their tokens, and the brake on guessing."""
