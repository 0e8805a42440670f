"""
SSH: which commands, files and forwards an identity may ask a target for.

Configuration names the addon by where it is found, `addons.ssh.Ssh`, as it does for addons of
one file; hence the one import.
"""

from addons.ssh.ssh import Ssh

__all__ = ["Ssh"]
