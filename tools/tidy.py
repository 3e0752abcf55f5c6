"""House rules that a program can check; run by ``make lint`` and by ``tests/meta``.

Checked over the files that git tracks (or would track): length of files and functions, paths of
somebody's machine, layers without coroutines, stray and large files, kernels with their twins,
links and headings of the documents.

Usage: ``python tools/tidy.py`` prints one line per finding and exits 1 if there is any.
"""

from __future__ import annotations

import ast
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "posthouse"

FILE_LINES_MAX = 800
FILE_LINES_NOTED = 400
FUNCTION_LINES_MAX = 70
FILE_BYTES_MAX = 512 * 1024

# Written by generators; their length says nothing.
GENERATED = {"src/posthouse/wire/amqp091/methods.py"}
# Longer than a screen for a reason that is worth the length.
LONG_FUNCTIONS: dict[str, str] = {}

# Modules whose .pxd declares, in C, what kernels use; the .py is the interpreted form of the same.
TWINS_ONLY = {"posthouse.core.mem", "posthouse.core.layout", "posthouse.journal.crc"}

# Layers 0 to 4: whoever cannot suspend has no interleavings to test.
SYNCHRONOUS = ("core", "wire", "journal", "broker", "auth", "protocols")

MACHINE_PATH = re.compile(r"(?<![\w./$}>*-])/(?:work|tmp|home|root|Users)/[\w.]")
LINK = re.compile(r"(?<!!)\[[^\]\[]*\]\(([^()\s]+)\)")
TEXT_SUFFIXES = {".py", ".pxd", ".md", ".toml", ".txt", ".json", ".yml", ".js", ".go", ".java", ""}


def tracked() -> list[pathlib.Path]:
    """The files of the repository, without what .gitignore names. Without git: everything that is
    text."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        skipped = {".git", ".venv", "build", "dist", ".cache", "data"}
        return [
            path
            for path in ROOT.rglob("*")
            if path.is_file() and not skipped & set(path.relative_to(ROOT).parts)
        ]
    names = [name.decode() for name in listed.split(b"\0") if name]
    return sorted(path for path in (ROOT / name for name in names) if path.is_file())


def name_of(path: pathlib.Path) -> str:
    """The path as findings show it."""
    return path.relative_to(ROOT).as_posix()


def check_length(path: pathlib.Path, text: str) -> Iterator[str]:
    """Files of at most 800 lines, functions of at most 70."""
    name = name_of(path)
    if name in GENERATED:
        return
    lines = text.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{name}: {lines} lines; split what is longer than {FILE_LINES_MAX}"
    for qualified, node in functions(ast.parse(text)):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES_MAX and f"{name}:{qualified}" not in LONG_FUNCTIONS:
            where = f"{name}:{node.lineno}: {qualified}"
            yield f"{where} has {length} lines, at most {FUNCTION_LINES_MAX}"


def functions(
    tree: ast.AST, prefix: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """All functions below ``tree`` with their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        else:
            yield from functions(node, prefix)


def check_synchronous(path: pathlib.Path, text: str) -> Iterator[str]:
    """No ``async def`` below the server."""
    parts = path.relative_to(ROOT).parts
    if parts[:2] != ("src", "posthouse") or len(parts) < 4 or parts[2] not in SYNCHRONOUS:
        return
    for qualified, node in functions(ast.parse(text)):
        if isinstance(node, ast.AsyncFunctionDef):
            where = f"{name_of(path)}:{node.lineno}: {qualified}"
            yield f"{where} is a coroutine in a layer without any"


def check_text(path: pathlib.Path, text: str) -> Iterator[str]:
    """No path of a machine, no unfinished merge, no tabs or trailing blanks in Python."""
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{name_of(path)}:{number}"
        if MACHINE_PATH.search(line):
            yield f"{where}: names a path of somebody's machine"
        if line.startswith(("<<<<<<< ", ">>>>>>> ")):
            yield f"{where}: unfinished merge"
        if path.suffix == ".pxd" and line != line.rstrip():
            yield f"{where}: blanks at the end of the line"


def check_links(path: pathlib.Path, text: str) -> Iterator[str]:
    """Relative links of a document lead to files that are there."""
    for match in LINK.finditer(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        target = match[1].split("#")[0]
        if not target or "://" in target or target.startswith("mailto:"):
            continue
        if not (path.parent / target).exists():
            yield f"{name_of(path)}: the link to {target} leads nowhere"


def check_subscripts(kernel: str) -> Iterator[str]:
    """No negative subscripts: kernels are compiled without wraparound, where they read what lies before a list."""
    path = SRC.parent.joinpath(*kernel.split(".")).with_suffix(".py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.UnaryOp):
            yield f"{name_of(path)}:{node.lineno}: a negative subscript in a kernel"


def check_kernels() -> Iterator[str]:
    """Every kernel has a twin, and every ``.pxd`` belongs to a kernel, a package or the byte
    helpers."""
    scope: dict[str, object] = {}
    exec((SRC / "_kernels.py").read_text(encoding="utf-8"), scope)
    kernels = scope["KERNELS"]
    assert isinstance(kernels, tuple)
    twins = {
        ".".join(twin.relative_to(SRC.parent).with_suffix("").parts)
        for twin in SRC.rglob("*.pxd")
        if twin.stem != "__init__"
    }
    for name in sorted(twins - set(kernels) - TWINS_ONLY):
        yield f"{name}: has a .pxd but is not in KERNELS"
    for name in sorted(set(kernels) - twins):
        yield f"{name}: is in KERNELS but has no .pxd"
    for name in kernels:
        if not SRC.parent.joinpath(*name.split(".")).with_suffix(".py").exists():
            yield f"{name}: is in KERNELS but has no .py"
        else:
            yield from check_subscripts(name)
    if len(set(kernels)) != len(kernels):
        yield "KERNELS: a name stands twice"


def findings() -> list[str]:
    """All findings, one sentence each."""
    found = list(check_kernels())
    for path in tracked():
        if path.stat().st_size > FILE_BYTES_MAX:
            found.append(f"{name_of(path)}: {path.stat().st_size >> 10} KiB is too large")
        if path.suffix not in TEXT_SUFFIXES or path.stat().st_size > FILE_BYTES_MAX:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += check_text(path, text)
        if path.suffix == ".py":
            found += check_length(path, text)
            found += check_synchronous(path, text)
        if path.suffix == ".md":
            found += check_links(path, text)
    return found


def noted() -> list[str]:
    """Files between 400 and 800 lines: allowed, but looked at in review."""
    long: list[str] = []
    for path in tracked():
        if path.suffix == ".py" and name_of(path) not in GENERATED:
            lines = path.read_text(encoding="utf-8").count("\n")
            if FILE_LINES_NOTED < lines <= FILE_LINES_MAX:
                long.append(f"{name_of(path)}: {lines} lines")
    return long


def main() -> int:
    """Print findings; 1 if there are any."""
    found = findings()
    for line in noted():
        print(f"note: {line}")
    for line in found:
        print(line)
    print("tidy" if not found else f"{len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
