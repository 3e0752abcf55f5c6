"""The command ``posthouse``: a group whose subcommands are imported only when they are called.

A failure is one sentence on stderr and an exit code of sysexits.h: 64 the command line, 69 a
service or port that is not available, 70 a fault of ours (with its traceback), 78 the
configuration. 0 is success, 1 a negative result.
"""

from __future__ import annotations

import importlib
import sys
from typing import Final

import click

from posthouse import __version__
from posthouse._kernels import compiled_kernels
from posthouse.core.errors import ConfigError, PosthouseError

EX_USAGE: Final = 64
EX_UNAVAILABLE: Final = 69
EX_SOFTWARE: Final = 70
EX_CONFIG: Final = 78

# command -> (module, attribute, sentence for --help)
COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "start": ("posthouse.cli.start", "start", "Run a broker in the foreground."),
    "check": ("posthouse.cli.check", "check", "Check a data directory offline, and repair it."),
    "perf": ("posthouse.cli.perf", "perf", "Load a broker and measure it."),
    "version": (
        "posthouse.cli.version",
        "version",
        "Print the version and which kernels are compiled.",
    ),
}


class LazyGroup(click.Group):
    """Finds subcommands in `COMMANDS`, so that ``posthouse start`` does not pay for the others'
    imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, for --help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command; None if there is no such name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in --help, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in COMMANDS.items()])


def version_line() -> str:
    """One line: version, and how many kernels are compiled in this installation."""
    kernels = compiled_kernels()
    return f"posthouse {__version__} ({sum(kernels.values())} of {len(kernels)} kernels compiled)"


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(version_line())
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version,
    help="Print the version and exit.",
)  # fmt: skip
def cli() -> None:
    """Posthouse (驿站), a message broker: RabbitMQ's protocol over one append-only log."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; unforeseen exceptions are shown and exit with 70."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run the command line; returns the exit code."""
    try:
        result = cli.main(args=arguments, prog_name="posthouse", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return EX_USAGE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except ConfigError as error:
        click.echo(f"posthouse: {error.explanation}", err=True)
        return EX_CONFIG
    except PosthouseError as error:
        click.echo(f"posthouse: {error.explanation}", err=True)
        return EX_UNAVAILABLE
    except BrokenPipeError:
        return 0
    except Exception:
        sys.excepthook(*sys.exc_info())
        click.echo("posthouse: this is a fault of Posthouse; please report it.", err=True)
        return EX_SOFTWARE
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    main()
