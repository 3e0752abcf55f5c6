"""What `posthouse check` says of a spoiled data directory, beside what a start says of it; and what a start serves after the repair.

Looking changes nothing. Whatever a start reports is found, damage as a loss; nothing that is undamaged is lost by a repair, and what was
repaired is not found again.
"""

from __future__ import annotations

import random
from collections import Counter

from posthouse.journal.local.check import Check
from posthouse.testing.files import MemoryFiles
from tests.support.damage import Seen, contents_of, files_of, judge_served, look
from tests.support.damage_campaign import Broken, sample_for
from tests.support.entries import DIRECTORY
from tests.support.spoil import spoil
from tests.torture.campaign import Campaign, Figures

PER_UNIT = 250


def checked(files: MemoryFiles) -> Check:
    """Look at everything."""
    check = Check(files, DIRECTORY)
    for _ in check.run():
        pass
    return check


def agree(check: Check, seen: Seen) -> list[str]:
    """Where the two differ."""
    found = check.findings
    if seen.refusal and not found:
        return [f"a start refuses, nothing is found: {seen.refusal}"]
    reports = any(seen.ranges.values()) or any("not usable" in line for line in seen.lines)
    if reports and not found:
        return ["a start reports, nothing is found"]
    is_damage = any(word in line for line in seen.lines for word in ("damage at", "is missing"))
    if is_damage and not any(finding.is_loss for finding in found):
        return ["a start reports damage, no finding is a loss"]
    if seen.lines and not found:
        return [f"a start says {seen.lines[0]!r}, nothing is found"]
    return []


def try_one(seed: int) -> tuple[int, int]:
    """One spoiled directory; how many things were found, and how many repaired.

    Raises:
        Broken: they differ, or the repair did harm.
    """
    sample = sample_for(seed)
    damaged, kinds = spoil(sample.contents, random.Random(seed))
    files = files_of(damaged)
    check = checked(files)
    broken = [] if contents_of(files) == damaged else ["looking changed something"]
    seen = look(files_of(damaged))
    broken += agree(check, seen)
    acts = [finding.act for finding in check.findings if finding.act is not None]
    for act in acts:
        act()
    broken += [f"found again: {f.path}: {f.text}" for f in checked(files).findings if f.act]
    after = look(files)
    if bool(after.refusal) != bool(seen.refusal):
        broken.append(f"the repair changed whether it starts: {after.refusal or seen.refusal}")
    elif not seen.refusal:
        broken += [f"after the repair: {text}" for text in judge_served(sample, damaged, after)]
    if broken:
        raise Broken(f"seed {seed}: {kinds}: {broken}")
    return len(check.findings), len(acts)


def run(seed: int, count: int = PER_UNIT) -> Figures:
    """Directories ``seed * count`` and following.

    Raises:
        Broken: see `try_one`.
    """
    figures: Counter[str] = Counter(directories=0, findings=0, repaired=0)
    for one in range(seed * count, (seed + 1) * count):
        findings, repaired = try_one(one)
        figures.update(directories=1, findings=findings, repaired=repaired)
    return dict(figures)


CAMPAIGN = Campaign(
    name="check",
    what=f"`posthouse check` on {PER_UNIT} spoiled directories: agrees with a start, repairs without harm (P10, P11)",
    units=40,
    run=run,
)
