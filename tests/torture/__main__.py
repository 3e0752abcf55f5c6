"""The long tests: ``python -m tests.torture [NAME...]``, or ``make torture``.

Without names all campaigns are run, in their long form. Each unit that is done is kept in the state directory, and a run that was
interrupted goes on where it was. Units that need what is not here are skipped, with the reason. The exit status is 1 when a promise was
broken (or with POSTHOUSE_REQUIRE_ALL=1 when something was skipped), 130 after an interrupt.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys
import time

import click
from rich.console import Console

from posthouse._kernels import compiled_kernels
from tests.torture.campaign import Campaign
from tests.torture.catalogue import CAMPAIGNS, load
from tests.torture.process import CannotBegin, clear, own_scratch
from tests.torture.progress import Progress
from tests.torture.record import Outcome, Record, revision
from tests.torture.report import print_table, write_json
from tests.torture.runner import Runner, Summary, summary_of


def print_list(console: Console, catalogue: dict[str, str]) -> None:
    """What there is."""
    for name, where in catalogue.items():
        campaign = load(where)
        alone = ", alone" if campaign.is_alone else ""
        console.print(f"{name}: {campaign.what} ({campaign.units} units{alone})", soft_wrap=True)


def replay(campaign: Campaign, record: Record, seed: int) -> int:
    """Do one unit in this process, where a debugger can look; its traceback is not caught."""
    begin = time.monotonic()
    figures = campaign.run(seed)
    seconds = round(time.monotonic() - begin, 3)
    print(json.dumps({"campaign": campaign.name, "seed": seed, "seconds": seconds, **figures}))
    record.add(Outcome(seed, seconds, figures, revision=revision()))
    return 0


def run_all(
    chosen: dict[str, str], units: int | None, jobs: int, fresh: bool, state: pathlib.Path
) -> tuple[list[Summary], int]:
    """Run campaigns one after the other; returns their summaries and the exit status."""
    console = Console()
    scratch = own_scratch(state)
    summaries: list[Summary] = []
    status = 0
    with Progress(console) as progress:
        for name, where in chosen.items():
            campaign = load(where)
            record = Record(state / f"{name}.jsonl")
            if fresh:
                record.forget()
            asked = campaign.units if units is None else units
            runner = Runner(campaign, where, record, jobs=jobs, scratch=scratch)
            try:
                summaries.append(runner.run(asked, progress))
            except CannotBegin as error:
                console.print(str(error), markup=False, soft_wrap=True)
                summaries.append(summary_of(campaign, record, asked))
            except KeyboardInterrupt:
                summaries.append(summary_of(campaign, record, asked))
                status = 130
                break
    clear(scratch)
    is_strict = os.environ.get("POSTHOUSE_REQUIRE_ALL") == "1"
    if status == 0 and not all(s.is_clean and not (is_strict and s.skipped) for s in summaries):
        status = 1
    return summaries, status


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--list", "is_list", is_flag=True, help="Say what there is.")
@click.option("--seed", type=int, help="Do this one unit of one campaign, in this process.")
@click.option("--units", type=click.IntRange(1), help="Do seeds 0 to N - 1 of each campaign.")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True)
@click.option("--fresh", is_flag=True, help="Forget what was done before.")
@click.option("--json", "json_file", type=click.Path(path_type=pathlib.Path), help="Write it.")
@click.option(
    "--state",
    type=click.Path(path_type=pathlib.Path),
    default="torture",
    show_default=True,
    help="Directory for what is done.",
)
def main(
    names: tuple[str, ...],
    is_list: bool,
    seed: int | None,
    units: int | None,
    jobs: int,
    fresh: bool,
    json_file: pathlib.Path | None,
    state: pathlib.Path,
) -> None:
    if is_list or names == ("list",):
        print_list(Console(), CAMPAIGNS)
        return
    for name in names:
        if name not in CAMPAIGNS:
            raise click.UsageError(f"no campaign {name}; there are {', '.join(CAMPAIGNS)}")
    chosen = {name: CAMPAIGNS[name] for name in names} if names else CAMPAIGNS
    if seed is not None:
        if len(names) != 1:
            raise click.UsageError("--seed wants the name of one campaign")
        campaign = load(chosen[names[0]])
        sys.exit(replay(campaign, Record(state / f"{names[0]}.jsonl"), seed))
    # The same end as by Ctrl-C: no worker is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    slow = [name for name, is_compiled in compiled_kernels().items() if not is_compiled]
    if slow:
        click.echo(f"interpreted: {', '.join(slow)}; `make build` compiles them", err=True)
    summaries, status = run_all(chosen, units, jobs, fresh, state.absolute())
    print_table(Console(), summaries)
    if json_file is not None:
        write_json(json_file, summaries)
    sys.exit(status)


if __name__ == "__main__":
    main()
