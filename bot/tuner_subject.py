"""What the tuner studies: bots as setups of backtests, and how far their parameters may go now."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.backtests import Grounds, recorded_of
from bot.sections import TuningSection
from bot.tuner_job import Job
from engine.bot import BotStatus
from engine.candle import DAY_MS
from engine.drafts import instruction_of
from engine.errors import BadInput, Refused
from engine.exchange.paper_state import PaperSettings
from engine.instruction import SetParameters
from engine.ports import Clock, Store
from engine.runtime import Runtime
from engine.strategies.kernel import Strategy
from engine.studies import Place, Setup, Source, strategy_named
from engine.tunable import STEP_SLACK
from engine.tuning_view import ParameterView
from engine.view import BotView

NOTHING_TO_SEARCH = (
    "{bot_id} has no number that may be searched now: each rests after its last change, or "
    "{strategy} has none of its own. /tune show says until when."
)


@dataclass(frozen=True, slots=True)
class Subject:
    """A desk as the tuner sees it: its runtime and store, where its candles are, its strategies
    by name, and the section [tuning]. `books` name its accounts, `scheduler` is the address of a
    cluster (empty: none), `paper` what its paper exchange takes and draws."""

    runtime: Runtime
    store: Store
    clock: Clock
    grounds: Grounds
    strategies: Mapping[str, Strategy]
    books: str
    paper: PaperSettings
    section: TuningSection
    scheduler: str = ""

    def bot(self, bot_id: str) -> BotView:
        """A bot that may be studied. Raises BadInput for an unknown one, Refused while it is
        paused."""
        bots = {bot.bot_id: bot for bot in self.runtime.view().bots}
        if bot_id not in bots:
            raise BadInput("bot", bot_id, ", ".join(bots) or "none: the desk has no bot")
        if bots[bot_id].status is BotStatus.PAUSED:
            raise Refused(f"{bot_id} is paused. /bot resume {bot_id} first.")
        return bots[bot_id]

    def parameters(self, bot_id: str) -> Mapping[str, ParameterView]:
        """A bot's parameters by name, as they stand now."""
        return self.runtime.tuning().scopes[bot_id].parameters

    def present(self, bot_id: str) -> tuple[tuple[str, float], ...]:
        """A bot's values in force, by name."""
        return tuple((name, each.value) for name, each in self.parameters(bot_id).items())

    def has_proposed(self, number: int) -> bool:
        """Whether a change of a study was made, or waits for people."""
        waiting = map(instruction_of, self.runtime.view().proposals)
        proposed = (each.evidence for each in waiting if isinstance(each, SetParameters))
        made = (each.study for each in self.runtime.tuning().changes)
        return number in (*made, *(each.study for each in proposed if each))

    def limits(self, bot: BotView) -> dict[str, tuple[float, float]]:
        """How far each number of a bot's strategy may be searched now; Refused where none may."""
        own = strategy_named(bot.strategy, self.strategies).parameters
        known = self.parameters(bot.bot_id)
        found = {
            each.name: (known[each.name].lowest, known[each.name].highest)
            for each in own
            if not each.choices and _is_open(known[each.name])
        }
        if not found:
            raise Refused(NOTHING_TO_SEARCH.format(bot_id=bot.bot_id, strategy=bot.strategy))
        return found

    def setup(self, bot: BotView) -> Setup:
        """A bot as it trades now, on the last days of its market's candles."""
        market = self.grounds.market
        strategy = strategy_named(bot.strategy, self.strategies)
        now = self.runtime.view().market_time or self.clock.now()
        stop = now - now % market.interval
        is_live = market.health() is not None
        return Setup(
            strategy=bot.strategy,
            symbols=bot.symbols,
            timeframe=bot.timeframe,
            interval=market.interval,
            start=stop - self.section.days * DAY_MS,
            stop=stop,
            source=Source.BYBIT if is_live else Source.MARKET,
            values=strategy.parse(bot.tuned),
            deposit=self._deposit(bot),
            fee=float(self.paper.taker_fee),
            slippage=self.paper.slippage + self.paper.slippage_max / 2,
        )

    def job(self, bot: BotView, seed: int) -> Job:
        """The study of a bot, as a worker is given it."""
        section = self.section
        return Job(
            self.setup(bot), self.limits(bot), section.trials, section.folds, section.workers,
            self.scheduler, self.source(bot), seed,
        )  # fmt: skip

    def source(self, bot: BotView) -> Path | None:
        """The file of a strategy of the user's own."""
        return self.grounds.sources.get(bot.strategy)

    async def place(self, setup: Setup) -> Place:
        """Where a worker finds the setup's candles. Those of a market that is not live go along."""
        grounds, recorded = self.grounds, None
        if setup.source is Source.MARKET:
            recorded = await recorded_of(grounds.market, setup, self.clock)
        return Place(grounds.data_dir, grounds.rest_base, self.clock, recorded)

    def _deposit(self, bot: BotView) -> float:
        [account] = [a for a in self.runtime.view().accounts if a.account == bot.account]
        return float(account.ledger.deposit)


def _is_open(view: ParameterView) -> bool:
    """Whether a value may be searched around now; one outside of its bounds only settings have."""
    slack = STEP_SLACK * view.parameter.step
    inside = view.lowest - slack <= view.value <= view.highest + slack
    return inside and view.lowest < view.highest and not view.rests_until
