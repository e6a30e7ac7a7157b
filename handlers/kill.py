"""The emergency stop: what it would do, and pulling it."""

from typing import Annotated

from engine.killing import Scope, held
from engine.people import Role
from handlers.command import Context, Kind, command, one_of
from handlers.reply import Button, Reply, Table, Text, Value, reply

KillScope = Annotated[str, one_of(*(scope.value for scope in Scope))]

BUTTONS = {
    Scope.STOP: Button("Stop entries", "/kill stop"),
    Scope.CANCEL: Button("Also cancel orders", "/kill cancel"),
    Scope.FLATTEN: Button("Also close positions", "/kill flatten"),
}
STATUS = Button("Status", "/status")
WHAT = "One press acts at once, on all accounts. Only an admin's approved /resume ends it."


@command("kill", role=Role.TRADER, kind=Kind.WRITE, always=True, emergency=True)
async def kill(context: Context, scope: KillScope | None = None) -> Reply:
    """The emergency stop: stop entries, also cancel all orders, also close all positions.

    /kill alone shows what is open, with a button for each; stop, cancel or flatten behind it acts
    at once. It works while the database can't be used, and goes on until the exchange says that it
    is done. Only an approved /resume ends it.

    Example: /kill, or /kill stop, or /kill flatten
    """
    if scope is None:
        return _card(context)
    wanted = Scope(scope)
    said = context.desk.switch.pull(wanted, context.asker)
    wider = tuple(BUTTONS[each] for each in Scope if each.widened(wanted) is not wanted)
    return reply(Text(said), buttons=(*wider, STATUS))


def _card(context: Context) -> Reply:
    """What the books say is open, and what may be done about it."""
    view = context.desk.view()
    positions = [each.position for each in view.positions]
    rows: list[tuple[Value, ...]] = [
        (each.bot_id, each.symbol, held(each.quantity)) for each in positions
    ]
    rows += [
        (each.bot_id, each.symbol, f"order to {each.side.lower()} {each.remaining.normalize():f}")
        for each in view.open_orders
    ]
    opened = Table("Open now", ("bot", "symbol", "what"), tuple(rows), empty="Nothing is open.")
    latch = context.desk.switch.latch
    stands = [Text(f"It was pulled already: {latch.why}.")] if latch else []
    return reply(*stands, opened, Text(WHAT), buttons=tuple(BUTTONS.values()))
