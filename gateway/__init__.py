"""Ring 3: composition, processes and disk."""
