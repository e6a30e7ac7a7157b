"""A desk whose parameters people and the desk itself change, and short ways to look at them."""

from dataclasses import replace

from engine import changing, retuning
from engine.bot import BotPlan
from engine.candle import HOUR_MS
from engine.core import Core
from engine.effect import Proposed, Result
from engine.event import DeskStarted, PriceTicked
from engine.instruction import Instruction, SetParameters
from engine.limits import USUAL_LIMITS
from engine.memory import Memory, added_bots
from engine.people import DESK, Asker
from engine.plans import made
from engine.strategies import STRATEGIES
from engine.tunable import Tier
from engine.tuning import DESK_SCOPE, Source, values_of
from engine.tuning_view import ParameterView
from tests.askers import asking
from tests.engine.conftest import BAR, BOT, BTC, T0, bot, instrument, puppet
from tests.engine.office import ANN, POLICY, TOM, Office

BOOKS = "paper-test"
LIMITED = replace(POLICY, limits=USUAL_LIMITS)
KNOWN = {"puppet": puppet(), **STRATEGIES}
ann, tom = asking(ANN), asking(TOM)


class Tuned(Office):
    """An office with a price, whose market time goes on by `later`; it starts again as a process
    does, with the bots that people added."""

    def __init__(self, **how: object) -> None:
        how.setdefault("policy", LIMITED)
        how.setdefault("bots", [bot()])
        super().__init__(**how)

    def __post_init__(self) -> None:
        self.rules.setdefault(BTC, instrument(BTC))
        self.market_now = T0
        super().__post_init__()
        self.later(BAR)

    def _opened(self) -> Core:
        added = added_bots(self.rows, BOOKS)
        others = [made(bot_id, plan, KNOWN, BOOKS) for bot_id, plan in added.items()]
        bots = [*self.bots, *others]
        return Core(bots, self.rules, BAR, "paper", self.market, self.policy, KNOWN)

    def start_again(self) -> None:
        self.restart()
        self.step(DeskStarted("1", 2, self.now))

    def later(self, ms: int = HOUR_MS) -> None:
        """Let market time go on; the wall's stands still."""
        self.market_now += ms
        self.step(PriceTicked(BTC, 100.0, self.market_now))

    # -- asking --------------------------------------------------------------------------

    def tune(
        self,
        scope: str = BOT,
        who: Asker | None = None,
        source: Source = Source.PERSON,
        **to: float,
    ) -> Result:
        """Ask for other values: a person does, or the desk itself for any other source."""
        by = who or (ann if source is Source.PERSON else DESK)
        return self.ask(SetParameters(scope, tuple(to.items()), "as a trial", source), by)

    def confirm(self, result: Result, who: Asker = ann) -> Result:
        """Say yes to what waits, as its tier wants it."""
        if not isinstance(result, Proposed):
            return result
        proposal = result.proposal
        if proposal.tier is Tier.RED:
            return self.reply(proposal, who)
        return self.press(proposal, who)

    def carry(self, instruction: Instruction, who: Asker = ann) -> Result:
        """Ask for something and have it confirmed where it waits."""
        return self.confirm(self.ask(instruction, who))

    # -- looking -------------------------------------------------------------------------

    @property
    def memory(self) -> Memory:
        return self.core._memory

    def parameter(self, name: str, scope: str = BOT) -> ParameterView:
        return self.core.tuning().scopes[scope].parameters[name]

    def value(self, name: str, scope: str = BOT) -> float:
        return self.parameter(name, scope).value

    def values(self) -> dict[str, dict[str, float]]:
        """Every value in force, by scope and name."""
        memory = self.memory
        return {
            scope: {
                name: retuning.value(memory, scope, name)
                for name in retuning.parameters(memory, scope)
            }
            for scope in retuning.scopes(memory)
        }

    def set_values(self) -> dict[str, dict[str, float]]:
        """The values that somebody set, by scope and name."""
        state = self.memory.tuning
        found = {scope: dict(values_of(state, scope)) for scope in (*self.memory.bots, DESK_SCOPE)}
        return {scope: values for scope, values in found.items() if values}

    def replayed(self) -> dict[str, dict[str, float]]:
        """What the audit says of these."""
        return changing.replayed(self.acts, BOOKS)

    def plan(self, **values: float) -> BotPlan:
        return BotPlan("puppet", (BTC,), self.bots[0].capital, values=tuple(values.items()))
