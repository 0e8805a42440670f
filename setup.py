"""
Compiles protocols/kernel.py a second time, as protocols._kernel; everything else is in setup.cfg.

The package works without it, only slower: where there is no Cython or no compiler, it is left out.
OSTIARY_PURE leaves it out on purpose.
"""

from __future__ import annotations

import os
import sys

from setuptools import Extension, setup

SOURCE = "protocols/kernel.py"


def extensions() -> list[Extension]:
    """The compiled kernel, where it can be translated to C."""
    if os.environ.get("OSTIARY_PURE"):
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        print("Cython is not installed: the kernel stays interpreted", file=sys.stderr)
        return []
    made = cythonize([Extension("protocols._kernel", [SOURCE])], build_dir="build", quiet=True)
    for extension in made:
        extension.optional = True  # a compiler that is missing or fails is no error; cythonize drops the flag
    return made


setup(ext_modules=extensions())
