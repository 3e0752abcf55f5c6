"""Named hot functions of kernels stay free of Python objects in the C that Cython generates.

A module-level constant that was not declared in the ``.pxd``, a literal above 2**31-1 or an untyped
local silently turns a nanosecond into a hundred. The C of a kernel carries a comment with file and
line before each statement; this test cuts the named functions out of it and looks for calls of the
object API, statement by statement. Reference counting of kernel classes is allowed (it is an
increment), and so is anything in a statement that raises or asserts.
"""

from __future__ import annotations

import os
import pathlib
import re
from typing import NamedTuple

import pytest

from posthouse._kernels import KERNELS

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIST = pathlib.Path(__file__).with_name("hot_functions.txt")

# What costs: calls, numbers as objects, look-ups by name, subscripts and attributes of objects.
OBJECT_API = re.compile(
    r"__Pyx_PyObject_\w+|PyObject_\w+\(|PyNumber_\w+|__Pyx_(?:PyInt|PyLong)_\w+|PyLong_From\w+"
    r"|__Pyx_GetModuleGlobalName|__Pyx_GetBuiltinName|__Pyx_[GS]etItemInt\w*|PyTuple_New|PyList_New"
    r"|__Pyx_PyInt_As\w+|PyDict_\w+|__Pyx_PyDict_\w+|PySlice_New|__Pyx_PyObject_Call\w*"
)
STATEMENT = re.compile(r'^ */\* "[^"]*\.py":(\d+)$', re.MULTILINE)


class Hot(NamedTuple):
    """One function of the list, with the statements that may use objects because they are rare."""

    module: str
    name: str
    allowed: tuple[str, ...] = ()


def hot_functions() -> list[Hot]:
    functions: list[Hot] = []
    for line in LIST.read_text(encoding="utf-8").splitlines():
        text = line.split("  #")[0].strip()
        if line.startswith("    "):
            last = functions.pop()
            functions.append(last._replace(allowed=(*last.allowed, text)))
        elif text and not text.startswith("#"):
            module, name = text.split()
            functions.append(Hot(module, name))
    return functions


def mangled(hot: Hot) -> str:
    """Cython's C name of a ``cdef`` function: each part preceded by its length."""
    parts = [*hot.module.split("."), *hot.name.split(".")]
    *scopes, function = parts
    return "__pyx_f_" + "_".join(f"{len(part)}{part}" for part in scopes) + f"_{function}"


def body_of(code: str, name: str) -> str:
    """The text of the C function's definition, braces included. Empty when there is none."""
    for match in re.finditer(rf"\b{name}\([^;{{}}]*\) *\{{", code):
        end = code.index("\n}\n", match.end())
        return code[match.end() : end]
    return ""


def offences(code: str, name: str, source: list[str]) -> dict[int, set[str]]:
    """Source line (from 1) -> object API used there, without statements that raise or assert."""
    body = body_of(code, name)
    assert body, f"{name} is not in the generated C: is it a cdef function in the .pxd?"
    found: dict[int, set[str]] = {}
    pieces = STATEMENT.split(body)
    for number, text in zip(pieces[1::2], pieces[2::2], strict=True):
        line = int(number)
        if source[line - 1].lstrip().startswith(("raise ", "assert ", "def ")):
            continue
        # The comment quotes the source around the line; the code follows after it. The function's
        # error exit stands behind the last statement.
        code_only = text.split("*/", 1)[-1].split("/* function exit code */")[0]
        calls = {match.group().rstrip("(") for match in OBJECT_API.finditer(code_only)}
        if calls:
            found.setdefault(line, set()).update(calls)
    return found


@pytest.mark.parametrize("hot", hot_functions(), ids=lambda hot: f"{hot.module}:{hot.name}")
def test_touches_no_python_object(hot: Hot) -> None:
    assert hot.module in KERNELS
    path = (ROOT / "src").joinpath(*hot.module.split("."))
    generated = path.with_suffix(".c")
    if not generated.exists():
        if os.environ.get("POSTHOUSE_REQUIRE_ALL") == "1":
            pytest.fail(f"{generated.name} is not there: build the kernels in place")
        pytest.skip(f"{generated.name} is not there: the kernels were not built in place")
    source = path.with_suffix(".py").read_text(encoding="utf-8").splitlines()
    found = offences(generated.read_text(encoding="utf-8"), mangled(hot), source)
    shown = [
        f"{line}: {source[line - 1].strip()}  <- {found[line]}"
        for line in sorted(found)
        if source[line - 1].strip() not in hot.allowed
    ]
    assert shown == []


EXAMPLE = """
static int __pyx_f_1m_1C_f(struct C *self, int n) {
  /* "src/m.py":2
 *     def f(self, n):
 *         x = n             # <<<<<<<<
 */
  x = n;
  /* "src/m.py":3
 *         x = n
 *         y = big           # <<<<<<<<
 */
  __Pyx_GetModuleGlobalName(t, big);
  /* "src/m.py":4
 *         raise ValueError(x)   # <<<<<<<<
 */
  t = __Pyx_PyObject_CallOneArg(a, b);
  /* function exit code */
  PyObject_Free(q);
}
"""


def test_the_checker_finds_a_global_and_forgives_a_raise() -> None:
    source = ["def f(self, n):", "x = n", "y = big", "raise ValueError(x)"]
    found = offences(EXAMPLE, mangled(Hot("m", "C.f")), source)
    assert found == {3: {"__Pyx_GetModuleGlobalName"}}


def test_the_checker_refuses_a_function_that_is_not_there() -> None:
    with pytest.raises(AssertionError, match="is not in the generated C"):
        offences(EXAMPLE, mangled(Hot("m", "C.g")), [])
