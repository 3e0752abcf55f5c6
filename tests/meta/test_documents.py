"""The documents are true: generated pages are current, examples run, the change log has an entry for this version."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

from posthouse import __version__

ROOT = pathlib.Path(__file__).resolve().parents[2]

MARKED = re.compile(r"<!-- run: [^>]*-->\n```python\n(.*?)```", re.DOTALL)
FENCED = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def test_the_configuration_page_is_current() -> None:
    script = ROOT / "tools" / "generate_config_reference.py"
    result = subprocess.run(
        [sys.executable, str(script), "--check"],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, "run `make docs`"


def test_the_change_log_has_an_entry_for_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[?{re.escape(__version__)}\]?", text, re.MULTILINE)


def test_version_stands_once_more_in_the_project_file() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{__version__}"\n' in text


def test_every_decision_has_its_four_parts_and_stands_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text(encoding="utf-8")
    decisions = sorted(folder.glob("0*.md"))
    assert decisions
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        for heading in ("Context", "Decision", "Consequences", "What would change our mind"):
            assert f"\n## {heading}\n" in text, f"{path.name} lacks {heading}"
        assert f"({path.name})" in index, f"{path.name} is not in the index"


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")) + sorted(ROOT.glob("*.md")))
def test_python_in_documents_is_python(page: pathlib.Path) -> None:
    for language, code in FENCED.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            compile(code, str(page), "exec")


def test_both_readmes_show_the_same_script() -> None:
    def scripts(name: str) -> list[str]:
        text = (ROOT / name).read_text(encoding="utf-8")
        return [
            re.sub(r"#.*", "", code)
            for language, code in FENCED.findall(text)
            if language == "python"
        ]

    assert scripts("README.md") == scripts("README.zh-CN.md")


def test_measured_figures_are_those_of_the_recorded_run() -> None:
    script = ROOT / "tools" / "fill_measured.py"
    result = subprocess.run(
        [sys.executable, str(script), "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout


def test_the_security_page_names_tests_that_there_are() -> None:
    """Every test, and every row of the table of attacks."""
    from tests.conformance.bad_input.attacks import ATTACKS

    page = (ROOT / "docs" / "explanation" / "security.md").read_text(encoding="utf-8")
    paths = list((ROOT / "tests").rglob("*.py"))
    sources = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    known = {path.name for path in paths} | set(re.findall(r"\bdef (test_\w+)", sources))
    named = re.findall(r"`(test_\w+(?:\.py)?)`", page)
    assert len(named) > 40
    assert [name for name in named if name not in known] == []
    attacks = re.findall(r'"((?:new|started|tuned|open): [^"]*?)(?: ?\.\.\.)?"', page)
    assert len(attacks) > 20
    starts = [name for name in attacks if not any(a.name.startswith(name) for a in ATTACKS)]
    assert starts == []
