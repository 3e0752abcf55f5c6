"""The house rules hold (`tools/tidy.py`), and the checker finds what it should."""

from __future__ import annotations

import importlib.util
import pathlib
from types import ModuleType

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def load_tidy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tidy", ROOT / "tools" / "tidy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tidy = load_tidy()


def test_the_house_is_tidy() -> None:
    assert tidy.findings() == []


def test_finds_a_long_function() -> None:
    text = "class A:\n    def f(self):\n" + "        x = 1\n" * 70
    (finding,) = tidy.check_length(tidy.SRC / "made_up.py", text)
    assert "A.f has 71 lines" in finding


def test_finds_a_long_file() -> None:
    assert list(tidy.check_length(tidy.SRC / "made_up.py", "x = 1\n" * 801))
    assert not list(tidy.check_length(tidy.SRC / "made_up.py", "x = 1\n" * 800))


def test_finds_a_coroutine_in_the_domain() -> None:
    text = "class A:\n    async def f(self): ...\n"
    assert list(tidy.check_synchronous(tidy.SRC / "broker" / "made_up.py", text))
    assert not list(tidy.check_synchronous(tidy.SRC / "server" / "made_up.py", text))


@pytest.mark.parametrize("directory", ["work", "tmp", "home", "root"])
def test_finds_a_path_of_a_machine(directory: str) -> None:
    text = f"see /{directory}/main/x"
    assert list(tidy.check_text(tidy.SRC / "made_up.md", text))


def test_leaves_vhosts_and_urls_alone() -> None:
    text = "amqp://guest:guest@localhost:5672/home/x and the host a/work/b, $HOME/tmp/x"
    assert not list(tidy.check_text(tidy.SRC / "made_up.md", text))


def test_finds_a_link_that_leads_nowhere() -> None:
    page = ROOT / "README.md"
    assert list(tidy.check_links(page, "[a](no-such-file.md)"))
    assert not list(tidy.check_links(page, "[a](LICENSE#x) [b](https://example.org/x) [c](#here)"))
