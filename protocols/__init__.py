"""Ring 1: the wire and the words. Imports nothing of `addons` or `gateway`."""
