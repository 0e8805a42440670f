"""
Compiles the kernels a second time, each under its name behind an underscore; everything else is in setup.cfg.

The package works without them, only slower: where there is no Cython or no compiler, they are left out.
OSTIARY_PURE leaves them out on purpose.
"""

from __future__ import annotations

import os
import sys

from setuptools import Extension, setup

KERNELS = {
    "protocols._kernel": "protocols/kernel.py", "gateway.notary._kernel": "gateway/notary/kernel.py",
    "gateway.notary._appended": "gateway/notary/appended.py", "gateway.notary._signing": "gateway/notary/signing.py",
}  # fmt: skip


def extensions() -> list[Extension]:
    """The compiled kernels, where they can be translated to C."""
    if os.environ.get("OSTIARY_PURE"):
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        print("Cython is not installed: the kernels stay interpreted", file=sys.stderr)
        return []
    made = cythonize([Extension(name, [source]) for name, source in KERNELS.items()], build_dir="build", quiet=True)
    for extension in made:
        extension.optional = True  # a compiler that is missing or fails is no error; cythonize drops the flag
    return made


setup(ext_modules=extensions())
