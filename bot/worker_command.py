"""`countersign worker`: one worker of a Dask cluster, for the studies of desks elsewhere.

It needs none of a desk's settings, secrets or files, and forgets those it was started with.
"""

import asyncio
import os
import platform
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from bot.desk_settings import scheduler_address
from bot.executors import EXTRA_MISSING, ONE_THREAD, be_nice, check_certificates, forget_secrets
from bot.version import VERSION
from engine.errors import BadInput, BadSettings, Unreachable

if TYPE_CHECKING:
    from distributed import Nanny

# A scheduler that is started together with its workers, or again, is there by then.
START_S = 60
# So long its process may take to end by itself.
END_S = 5
SCHEDULER = "DASK_SCHEDULER"


def worker(
    scheduler: Annotated[
        str, typer.Option(envvar=SCHEDULER, help="Its address, as tcp://10.0.0.5:8786.")
    ] = "",
    name: Annotated[str, typer.Option(help="What the scheduler calls it.")] = "",
    memory: Annotated[
        str, typer.Option(help="The most it may take, as 2GB; auto is its share of the machine.")
    ] = "auto",
) -> None:
    """Work for studies of desks on other machines, until stopped."""
    try:
        address = scheduler_address(scheduler)
    except ValueError as error:
        found = f"{scheduler!r} is not valid" if scheduler else "is not set"
        raise BadSettings(f"{SCHEDULER}: {found}; {error}.") from None
    be_nice()
    forget_secrets()
    # Read when the library is loaded, here and in the process: what there is to say is said by us.
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")
    named = name or f"{platform.node()}-{os.getpid()}"
    limit = _checked(memory)
    check_certificates(address, "worker")
    asyncio.run(serve(address, named, limit))


async def serve(scheduler: str, name: str, memory: str) -> None:
    """One worker process until SIGTERM or Ctrl-C; one that crashes is started again.

    Raises Unreachable where the scheduler is not there, or has gone away.
    """
    nanny = _nanny(scheduler, name, memory)
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(_work(nanny, f"{name} works for {scheduler}"))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    if not working.cancelled():
        raise Unreachable(f"The Dask scheduler at {scheduler} {working.result()}.")
    # What has not ended by then ends with this process.
    with suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await nanny.close(timeout=END_S, reason="asked to end")
    typer.echo(f"{name} has ended.")


async def _work(nanny: "Nanny", what: str) -> str:
    """Work until there is no scheduler; what has become of it."""
    try:
        await nanny
    except (OSError, RuntimeError) as error:
        return f"does not answer: {error.__cause__ or error}"
    typer.echo(f"{what}: countersign {VERSION}, one job at a time.")
    await nanny.finished()
    return "is gone"


def _nanny(scheduler: str, name: str, memory: str) -> "Nanny":
    """What starts the worker's process, and starts it again when it has crashed."""
    from distributed import Nanny

    return Nanny(
        scheduler,
        name=name,
        nthreads=1,
        memory_limit=memory,
        death_timeout=START_S,
        env=ONE_THREAD,
    )


def _checked(memory: str) -> str:
    """An amount that Dask reads. Raises BadInput for another, BadSettings where it is not there."""
    try:
        from dask.utils import parse_bytes
    except ImportError:
        raise BadSettings(EXTRA_MISSING) from None
    if memory == "auto":
        return memory
    try:
        parse_bytes(memory)
    except ValueError:
        raise BadInput("memory", memory, "auto, or an amount as 2GB") from None
    return memory
