"""Logins by way of a browser: the device flow at the identity provider that the file names."""
