"""``posthouse version``: the version, and each kernel with whether it is compiled."""

from __future__ import annotations

import platform

import click

from posthouse._kernels import compiled_kernels
from posthouse.cli.main import version_line


@click.command()
def version() -> None:
    """Print the version and which kernels are compiled."""
    click.echo(version_line())
    click.echo(f"Python {platform.python_version()} on {platform.platform(terse=True)}")
    for name, is_compiled in sorted(compiled_kernels().items()):
        click.echo(f"  {name:44} {'compiled' if is_compiled else 'interpreted'}")
