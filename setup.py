"""Build the kernels: plain Python modules with a ``.pxd`` twin, compiled by Cython.

``POSTHOUSE_BUILD=pure`` installs without compiling; the default is to compile and to fail loudly
when that is impossible, because an uncompiled broker is many times slower.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
import sysconfig

from setuptools import Extension, setup

ROOT = pathlib.Path(__file__).parent
SRC = ROOT / "src"
# -O3: the copy loops must become block copies. The warnings are about the C that Cython writes, not
# about ours.
COMPILE_FLAGS = [
    "-O3",
    "-fno-strict-aliasing",
    "-Wno-sign-compare",
    "-Wno-unreachable-code",
    "-Wno-unused-function",
    "-Wno-unused-variable",
]


def kernels() -> list[str]:
    """The dotted names in ``posthouse/_kernels.py``, read without importing the package."""
    scope: dict[str, object] = {}
    exec((SRC / "posthouse" / "_kernels.py").read_text(), scope)
    names = scope["KERNELS"]
    assert isinstance(names, tuple)
    return list(names)


def extensions() -> list[Extension]:
    from Cython.Build import cythonize

    modules = [
        Extension(
            name,
            [os.path.join("src", *name.split(".")) + ".py"],
            extra_compile_args=COMPILE_FLAGS,
        )
        for name in kernels()
    ]
    annotate = bool(os.environ.get("POSTHOUSE_ANNOTATE"))
    return cythonize(
        modules,
        nthreads=os.cpu_count() or 1,
        quiet=True,
        include_path=["src"],
        annotate=annotate,
        force=annotate,
        language_level=3,
        compiler_directives={
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "nonecheck": False,
            "infer_types": False,
            "annotation_typing": False,
            "embedsignature": True,
        },
    )


def require_compiler() -> None:
    """Stop with one sentence where the kernels cannot be compiled."""
    command = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    missing = ""
    if shutil.which(command) is None:
        missing = f"a C compiler, and {command!r} was not found"
        package = "gcc libc6-dev"
    elif not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists():
        missing = "Python.h, and this Python came without it"
        package = "python3-dev"
    if missing:
        sys.exit(
            f"posthouse: the kernels need {missing}: install it (Debian: apt-get install "
            f"{package}), or set POSTHOUSE_BUILD=pure for a slow uncompiled broker."
        )


if os.environ.get("POSTHOUSE_BUILD") == "pure":
    setup()
else:
    require_compiler()
    setup(ext_modules=extensions())
