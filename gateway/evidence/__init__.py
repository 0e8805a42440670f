"""Reading the store back: search, bundle, one file per export format."""
