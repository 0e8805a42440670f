"""SSH between the legs: what connection-layer messages mean, and what becomes of them."""
