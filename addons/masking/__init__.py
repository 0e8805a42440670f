"""
Masking: the declarations, the strategies, and the addon that asks for both.

Configuration names the addons by where they are found, such as `addons.masking.Masking`, as it does for addons of one
file; hence the imports.
"""

from addons.masking.content import Content
from addons.masking.masking import Masking
from addons.masking.output import Output

__all__ = ["Content", "Masking", "Output"]
