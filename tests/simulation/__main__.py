"""``python -m tests.simulation --seed 123``: repeats a seed; ``--trace`` shows what happens; ``--seeds 0-20000`` tries many."""

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback
from collections import Counter

from tests.simulation.simulation import Simulation


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="one seed")
    parser.add_argument("--seeds", help="a range, as in 0-20000")
    parser.add_argument("--trace", action="store_true", help="show what happens")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if arguments.seed is not None:
        return one(arguments.seed, is_traced=arguments.trace)
    first, _, last = (arguments.seeds or "0-200").partition("-")
    return many(range(int(first), int(last)))


def one(seed: int, *, is_traced: bool) -> int:
    if is_traced:
        logging.disable(logging.NOTSET)
        logging.basicConfig(
            level=logging.WARNING, stream=sys.stdout, format="              log: %(message)s"
        )
    simulation = Simulation(seed, print if is_traced else None)
    print(f"seed {seed}: {simulation.switches}")
    try:
        figures = simulation.run()
    finally:
        print(f"trace hash {simulation.loop.trace_hash:08x}, {simulation.loop.events} events")
    print(dict(figures))
    return 0


def many(seeds: range) -> int:
    total: Counter[str] = Counter()
    failed = []
    begin = time.monotonic()
    shown = begin
    for seed in seeds:
        simulation = Simulation(seed)
        try:
            total.update(simulation.run())
            total["seeds"] += 1
        except Exception as error:
            failed.append(seed)
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(
                f"FAILED {type(error).__name__} {where.filename.rpartition('/')[2]}:{where.lineno}: {str(error)[:300]}"
            )
            print(f"  again: python -m tests.simulation --seed {seed} --trace", flush=True)
        now = time.monotonic()
        if now - shown > 5:
            shown = now
            done = seed - seeds.start + 1
            left = (len(seeds) - done) * (now - begin) / done
            print(
                f"{done} of {len(seeds)} seeds, {len(failed)} failed, about {left:.0f} s left",
                file=sys.stderr,
            )
    print({key: round(value, 2) for key, value in sorted(total.items())})
    took = time.monotonic() - begin
    print(
        f"{len(seeds)} seeds in {took:.1f} s ({1000 * took / len(seeds):.0f} ms each), failed: {failed or 'none'}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
