"""The desk as commands see it: what it is, how it stands, what is stored, and how to ask it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.advice import Advisor
from engine.board import BoardView
from engine.candle import Candle
from engine.effect import Done, NotDone, Proposed
from engine.errors import Refused
from engine.instruction import Instruction
from engine.instrument import Instrument
from engine.killing import Switch
from engine.market.holdings import Holding
from engine.pace import Paces
from engine.people import Asker
from engine.ports import Clock, F, Market, Store
from engine.proposal import Proposal
from engine.runtime import Runtime, Seal
from engine.strategies import STRATEGIES
from engine.strategies.kernel import Strategy
from engine.studies import Studies
from engine.tunable import Tier
from engine.tuning import Studying
from engine.tuning_view import TuningView
from engine.view import CoreView, WhyView

# Whether a connection is well, and how it is in words.
Link = Callable[[], tuple[bool, str]]
# A part of the settings: named values, or things that have such, each alike.
Section = Mapping[str, str] | Sequence[Mapping[str, str]]


def tail(uid: str) -> str:
    """How an exchange account is called where its whole number is too much: by its end."""
    return f"..{uid[-4:]}" if uid else ""


@dataclass(frozen=True)
class Desk:
    """One running desk. `started_at` is wall time in UTC ms.

    `remarks` are sentences a person should know before believing a number: what was wrong with
    the candles, what is assumed, what of the settings does not take effect. `links` are what
    connects the desk to people, by name, each telling how it is. `settings` are those in force,
    by section, without secrets; `rates` how often each may say what; `studies` are its backtests,
    `holdings` lists the candles stored for them; `switch` is its emergency stop; `tuner` searches
    for better parameters, and holds live trades against backtests; `advisor` answers what is no
    fact; `strategies` are the program's and the user's own, by name. `uids` are the exchange
    accounts that are traded, none on paper; `mirror` tells how what others read of the desk is.
    """

    mode: str
    version: str
    started_at: int
    runtime: Runtime
    store: Store
    market: Market
    clock: Clock
    settings: Mapping[str, Section]
    rates: Paces
    studies: Studies
    switch: Switch
    tuner: Studying
    advisor: Advisor
    holdings: Callable[[], Sequence[Holding]] = tuple
    strategies: Mapping[str, Strategy] = field(default_factory=lambda: STRATEGIES)
    remarks: tuple[str, ...] = ()
    uids: tuple[str, ...] = ()
    mirror: Link = lambda: (True, "none")
    links: dict[str, Link] = field(default_factory=dict)

    @property
    def badge(self) -> str:
        """Mode, market and accounts: stands on everything that shows or moves money."""
        accounts = f" - account {', '.join(map(tail, self.uids))}" if self.uids else ""
        return f"{self.mode.upper()} - {self.market.label}{self._pace}{accounts}"

    @property
    def _pace(self) -> str:
        """The market's speed, while it is behind the clock and so has one."""
        if self.market.speed in (0, 1) or self.market.caught_up:
            return ""
        return f" at {self.market.speed:g}x speed"

    @property
    def symbols(self) -> Sequence[str]:
        return self.market.symbols

    @property
    def bot_ids(self) -> list[str]:
        return [bot.bot_id for bot in self.view().bots]

    def view(self) -> CoreView:
        return self.runtime.view()

    async def survey(self) -> None:
        """Have books and exchange compared now. Raises Unreachable."""
        await self.runtime.survey()

    def why(self, symbol: str) -> list[WhyView]:
        return self.runtime.why(symbol)

    def risk(self) -> BoardView:
        return self.runtime.risk()

    def tuning(self) -> TuningView:
        """Every parameter of the desk and its bots, and what came of its changes."""
        return self.runtime.tuning()

    def tier(self, instruction: Instruction) -> Tier:
        """What it takes to carry out an instruction now. Raises Refused where it can't be told."""
        return self.runtime.tier(instruction)

    def instrument(self, symbol: str) -> Instrument:
        return self.market.instrument(symbol)

    async def candles(self, symbol: str, interval: int, limit: int) -> list[Candle]:
        """The last bars of `interval` ms that the desk has seen closed, oldest first."""
        return await self.market.history(symbol, interval, self.view().market_time, limit)

    async def ask(
        self, instruction: Instruction, asker: Asker, seal: Seal | None = None
    ) -> Done | Proposed:
        """Have an instruction carried out, or made a proposal. Raises Refused."""
        result = await self.runtime.ask(instruction, asker, seal)
        if isinstance(result, NotDone):
            raise Refused(result.reason)
        return result

    def preview(self, instruction: Instruction, asker: Asker) -> Proposal:
        """What an instruction would do and cost; nothing is changed. Raises Refused."""
        return self.runtime.preview(instruction, asker)

    def enrollment(self, principal_id: str) -> str | None:
        """The otpauth URI of somebody's enrollment while it waits for its first code."""
        return self.runtime.enrollment(principal_id)

    async def proposal(self, proposal_id: int) -> Proposal | None:
        """A proposal as it stands now, whether it waits or ended long ago."""
        for each in self.view().proposals:
            if each.proposal_id == proposal_id:
                return each
        if found := self.runtime.ended(proposal_id):
            return found
        return await self.store.one(Proposal, proposal_id)

    async def recent(
        self,
        kind: type[F],
        key: Callable[[F], int],
        *,
        symbol: str | None = None,
        since: int | None = None,
        limit: int | None = None,
    ) -> list[F]:
        """Stored facts of this desk's accounts, oldest first by `key`: the last `limit`.

        The database may hold other books too: those of another mode or market.
        """
        found: list[F] = []
        for account in self.view().accounts:
            found += await self.store.recent(
                kind, account=account.account, symbol=symbol, since=since, limit=limit
            )
        found.sort(key=key)
        return found if limit is None else found[-limit:]
