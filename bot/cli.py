"""`countersign ...`: the command line. Exit codes: 0 done, 1 failed, 2 bad usage or settings."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.backtest_command import backtest
from bot.data_commands import data
from bot.sweep_command import sweep
from bot.tune_command import tune
from bot.version import VERSION
from bot.worker_command import worker
from engine.errors import BadInput, BadSettings, CountersignError
from engine.killing import Scope

app = typer.Typer(
    help="Countersign: a trading desk run from chat.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

audit = typer.Typer(help="Look after the record of what was done.", no_args_is_help=True)
app.add_typer(audit, name="audit")
app.add_typer(data, name="data")
app.command()(backtest)
app.command()(sweep)
app.command()(tune)
app.command()(worker)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


def main() -> None:
    """The console script: runs a command, turns our errors into messages and exit codes."""
    try:
        app()
    except (BadSettings, BadInput) as error:
        _fail(str(error), 2)
    except CountersignError as error:
        _fail(str(error), 1)


@app.command()
def run() -> None:
    """Trade until stopped (containers, systemd). Never reads standard input."""
    from bot.process import run_desk

    _finish(run_desk)


@app.command()
def console(json: Json = False) -> None:
    """Talk to the desk in this terminal; starts one where none runs."""
    from bot.process import run_console

    _finish(lambda: run_console(json=json))


@app.command()
def migrate() -> None:
    """Bring the database to this version's tables."""
    from bot.process import migrate_database

    _finish(migrate_database)


@app.command()
def doctor(json: Json = False) -> None:
    """Check settings, data, database and tokens: what is wrong, and how to mend it."""
    from bot.doctor import examine

    _finish(lambda: examine(Path(), json=json))


@app.command()
def kill(
    scope: Annotated[
        Scope,
        typer.Option(
            help="stop: open nothing more; cancel: also withdraw all orders; "
            "flatten: also close all positions."
        ),
    ] = Scope.STOP,
) -> None:
    """The emergency stop: acts at once, whether or not a desk runs. Only /resume ends it."""
    from bot.kill_command import kill_now

    _finish(lambda: kill_now(scope))


@app.command()
def health(json: Json = False) -> None:
    """Ask the running desk how it is; exit code 1 when red, or when none answers."""
    from bot.door import socket_path
    from bot.health import probe
    from bot.settings import load

    _finish(lambda: probe(socket_path(load().data_dir), json=json))


@app.command()
def reconcile(json: Json = False) -> None:
    """Have the running desk compare books and exchange; exit code 1 when they differ."""
    from bot.door import socket_path
    from bot.reconcile_command import compare
    from bot.settings import load

    _finish(lambda: compare(socket_path(load().data_dir), json=json))


@audit.command()
def verify(
    head: Annotated[
        str | None,
        typer.Option(
            metavar="SEQ:MAC",
            help="An end of the audit that the desk posted, or only its mac, or how that begins.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check every row of the audit and its ends; exit code 1 when one is not as it was sealed."""
    from bot.audit_verify import verify_audit

    _finish(lambda: verify_audit(Path(), head, json=json))


@app.command()
def version(json: Json = False) -> None:
    """Print the version."""
    typer.echo(f'{{"version": "{VERSION}"}}' if json else f"countersign {VERSION}")


def _finish(work: Callable[[], Coroutine[Any, Any, int]]) -> None:
    code = asyncio.run(work())
    if code:
        raise typer.Exit(code)


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"countersign: {message}\n")
    sys.exit(code)
