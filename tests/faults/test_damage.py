"""Damaged data directories (P7, P10, P11): the broker starts, serves what is undamaged, never a wrong body, and says what is wrong.

The short forms of the campaigns ``flips`` and ``damage`` (`tests.support.damage_campaign`), and what once failed.
"""

from __future__ import annotations

import dataclasses
import random

import pytest

from posthouse.testing.files import MemoryFiles
from tests.support import check_campaign
from tests.support.damage import (
    Seen,
    contents_of,
    files_of,
    judge,
    judge_served,
    look,
    look_later,
    lost_of,
)
from tests.support.damage_campaign import SLICES, flips, spoiled_once
from tests.support.entries import DIRECTORY
from tests.support.sample import Sample, large_sample
from tests.support.spoil import KINDS

FLIP_SHARE = 4


@pytest.mark.slow
def test_flipped_and_cut_positions() -> None:
    figures = flips(1, FLIP_SHARE * SLICES)
    print(dict(figures))
    assert figures["served"] > 200
    assert figures["positions"] == figures["served"] + figures["refused"]


@pytest.mark.slow
def test_spoiled_directories() -> None:
    met: set[str] = set()
    for seed in range(1000):
        met.update(spoiled_once(seed)[0].split("+"))
    assert met == set(KINDS)


@pytest.mark.slow
def test_check_agrees_with_a_start_and_repairs_without_harm() -> None:
    repaired = 0
    for seed in range(400):
        repaired += check_campaign.try_one(seed)[1]
    assert repaired > 100


@pytest.mark.slow
def test_damage_under_a_running_broker_is_found_when_a_message_is_due() -> None:
    """Its body had left memory, and comes back bad: counted, said, passed over; all others are served."""
    lost = 0
    for seed in range(150):
        sample = large_sample(is_stopped=seed % 2 == 0)
        choice = random.Random(seed)

        def spoil(files: MemoryFiles, choice: random.Random = choice) -> None:
            names = [name for name in files.names if "/shard/" in name and name.endswith(".seg")]
            for _ in range(choice.randint(1, 3)):
                data = files.names[choice.choice(names)].data
                at, size = choice.randrange(len(data)), choice.choice([1, 1, 8, 512, 4096])
                data[at : at + size] = choice.randbytes(min(size, len(data) - at))

        files = files_of(sample.contents)
        seen = look_later(files, spoil)
        assert judge_served(sample, contents_of(files), seen) == [], f"seed {seed}"
        missing = lost_of(sample, seen)
        assert seen.damaged_records == missing, f"seed {seed}"
        assert sum("passed over" in line for line in seen.lines) == missing, f"seed {seed}"
        lost += missing
    assert lost > 100


# ---- the judge sees what it must


def seen_of(sample: Sample) -> Seen:
    return look(files_of(sample.contents))


def test_an_undamaged_directory_is_served_as_it_was() -> None:
    for is_stopped in (False, True):
        sample = large_sample(is_stopped=is_stopped)
        seen = seen_of(sample)
        assert seen.lines == []
        assert {q: {body for body, _ in served} for q, served in seen.queues.items()} == sample.live
        assert judge(sample, sample.contents, seen) == []


def test_the_sample_has_everything() -> None:
    sample = large_sample()
    kinds = {entry.octets[44] for entry in sample.entries}
    assert kinds >= {1, 2, 3, 5, 6}  # messages, acknowledgements, moves, claims, definitions
    assert sum(path.endswith(".snap") for path in sample.contents) == 2
    assert sum(path.startswith(f"{DIRECTORY}/shard/") for path in sample.contents) > 5
    assert all(sample.delivered[queue] & sample.live[queue] for queue in sample.live)


def test_the_judge_sees_a_lost_message_a_wrong_body_a_wrong_order_and_an_old_one() -> None:
    sample = large_sample()
    seen = seen_of(sample)
    served = seen.queues["a"]
    settled = next(body for body in sample.order["a"] if body not in sample.live["a"])
    unflagged = [(body, False) for body, _ in served]
    for spoiled, word in (
        (served[1:], "undamaged, but not served"),
        ([(served[0][0][:-1], True), *served[1:]], "a wrong body"),
        ([served[1], served[0], *served[2:]], "order"),
        ([served[0], *served], "order"),
        ([(settled, True), *served], "acknowledged, but served again"),
        (unflagged, "not flagged"),
    ):
        changed = dataclasses.replace(seen, queues={**seen.queues, "a": spoiled})
        assert word in " ".join(judge(sample, sample.contents, changed))


def test_the_judge_sees_damage_that_is_not_reported() -> None:
    sample = large_sample()
    path = max(path for path in sample.contents if path.endswith(".seg"))
    data = sample.contents[path]
    damaged = {**sample.contents, path: data[:60] + bytes([data[60] ^ 1]) + data[61:]}
    assert judge(sample, damaged, look(files_of(damaged))) == []
    assert any("not reported" in said for said in judge(sample, damaged, seen_of(sample)))
