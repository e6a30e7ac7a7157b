"""One look at all running bots: what rules and studies propose, and how live trades compare."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import structlog

from bot.sections import TuningSection
from bot.tunings import Tunings
from engine import rules
from engine.bot import BotStatus
from engine.desk import Desk
from engine.effect import NotDone
from engine.errors import CountersignError
from engine.instruction import NoteRound, SetParameters
from engine.people import DESK
from engine.position import Trade
from engine.tuning import Figures, Source, StudyStage
from engine.view import BotView

# What rules and studies may change or propose in one round: people have to follow.
CHANGES_MAX = 3
ENOUGH = f"not looked at, for {CHANGES_MAX} changes in one round are enough."

log = structlog.get_logger()


class Result(NamedTuple):
    """What came of a bot, in a sentence; whether it is a change or a proposal, and whether a study
    keeps the sentence."""

    bot_id: str
    words: str
    changes: bool = False
    is_kept: bool = False


class TunerRound:
    """Looks at the bots that run, and that [tuning] names if it names some."""

    def __init__(self, desk: Desk, tunings: Tunings, section: TuningSection) -> None:
        self.section = section
        self._desk = desk
        self._tunings = tunings

    async def tune(self) -> None:
        """Rules first, then a study of each bot that no rule wants to change."""
        if stopped := self._desk.tuning().stopped:
            log.info("nothing is tuned", reason=stopped)
            return
        results: dict[str, Result] = {}
        for look in (self._ruled, self._studied):
            for bot in self._bots():
                if bot.bot_id in results and results[bot.bot_id].changes:
                    continue
                if sum(each.changes for each in results.values()) >= CHANGES_MAX:
                    results.setdefault(bot.bot_id, Result(bot.bot_id, ENOUGH))
                elif found := await look(bot):
                    results[bot.bot_id] = found
        await self._tell(list(results.values()))

    async def compare(self) -> None:
        """Hold what each bot traded against the exact backtest; the core is told of each."""
        for bot in self._bots():
            try:
                await self._tunings.compare(bot.bot_id)
            except CountersignError as error:
                log.info("a bot was not compared", bot=bot.bot_id, reason=str(error))

    def _bots(self) -> Iterator[BotView]:
        wanted = self.section.bots
        for bot in self._desk.view().bots:
            if bot.status is BotStatus.ACTIVE and (not wanted or bot.bot_id in wanted):
                yield bot

    async def _ruled(self, bot: BotView) -> Result | None:
        """What a rule does, where its evidence is for it; None where no rule wants anything."""
        try:
            trades = await self._desk.store.recent(
                Trade, account=bot.account, bot_id=bot.bot_id, limit=rules.TRADES
            )
            scope = self._desk.tuning().scopes.get(bot.bot_id)
            wanted = rules.suggest(trades, scope.parameters) if scope else None
            return await self._proposed(bot.bot_id, wanted) if wanted else None
        except CountersignError as error:
            return Result(bot.bot_id, str(error))

    async def _proposed(self, bot_id: str, wanted: rules.Suggestion) -> Result:
        evidence = await self._tunings.evaluate(bot_id, dict(wanted.values))
        if evidence.after.total_return <= evidence.before.total_return:
            return Result(bot_id, f"{wanted.reason} {_no_better(evidence.after)}")
        change = SetParameters(bot_id, wanted.values, wanted.reason, Source.RULE, evidence=evidence)
        result = await self._desk.runtime.ask(change, DESK)
        if isinstance(result, NotDone):
            return Result(bot_id, f"{wanted.reason} But: {result.reason}")
        return Result(bot_id, wanted.reason, changes=True)

    async def _studied(self, bot: BotView) -> Result:
        try:
            begun = await self._tunings.start(bot.bot_id, DESK)
            ended = await self._tunings.end_of(begun.number)
        except CountersignError as error:
            return Result(bot.bot_id, str(error))
        proposes = ended.stage is StudyStage.PROPOSED
        return Result(bot.bot_id, ended.verdict, proposes, is_kept=True)

    async def _tell(self, results: list[Result]) -> None:
        """One message for a round in which nothing was found; what was found has its own."""
        if not results or not self.section.tell_nothing or any(each.changes for each in results):
            return
        try:
            await self._desk.ask(NoteRound(_nothing(results)), DESK)
        except CountersignError as error:
            log.warning("a round of the tuner could not be told", error=str(error))


def _nothing(results: Sequence[Result]) -> str:
    """That nothing is proposed: of one bot why, of several where that stands."""
    kept = [each.bot_id for each in results if each.is_kept] if len(results) > 1 else []
    why = f" for {', '.join(kept)}: /tune study says why." if kept else "."
    others = [f"{each.bot_id}: {each.words}" for each in results if each.bot_id not in kept]
    return " ".join([f"The tuner proposes nothing{why}", *others])


def _no_better(after: Figures) -> str:
    return f"But the last candles returned {after.total_return:.2%} with it, no more than without."
