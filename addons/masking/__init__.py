"""
Masking: the declarations, the strategies, and the addon that asks for both.

Configuration names the addon by where it is found, `addons.masking.Masking`, as it does for addons of
one file; hence the one import.
"""

from addons.masking.masking import Masking

__all__ = ["Masking"]
