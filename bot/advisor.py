"""The desk's advisor: what people and the desk want to be told, one after the other.

Facts are gathered here, a model is asked at arm's length (`llm`), and what comes of it goes the way
of everybody's: a bias into the core as an instruction of the desk's own, a change of parameters
through the tuner's evidence to a person.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial

import structlog
from pydantic import TypeAdapter

from bot.day_facts import day_facts
from bot.market_facts import market_facts
from bot.trade_facts import bot_facts, trade_facts
from bot.trying import Try
from engine.advice import (
    INDICATORS,
    Advice,
    AdviceStage,
    Advised,
    Analysis,
    Answer,
    Autopsy,
    Briefing,
    Consultation,
    MarketRead,
    ModelStatus,
    Reading,
)
from engine.bias import Bias
from engine.calls import Purpose, Spending
from engine.desk import Desk
from engine.errors import CountersignError, Refused, Unreachable
from engine.instruction import Instruction, NoteBias, ReportTrouble
from engine.people import DESK, Asker, PrincipalKind, Role
from engine.position import Trade
from llm import agent, analyst, autopsy, briefing, suggest
from llm.counsel import Case, Counsel
from llm.limits import cap_words, dollars

# How many are thought about at once, and how many may wait, of all and of one asker.
AT_ONCE = 3
OPEN_MAX, OPEN_OF_ONE_MAX = 20, 3
# What the questions of one person who is no admin may cost of a day's cap: the rest is for others,
# and for what the desk asks by itself.
SHARE_OF_ONE = Decimal("0.5")
# How many that are over are remembered, for messages that have to be brought up to date.
REMEMBERED = 200
SUBJECT_MAX = 80

TOO_MANY = "Too many questions wait already. Ask again in a minute."
TOO_MANY_OF_ONE = "Your last questions are not answered yet. Ask again when they are."
SPENT = (
    "What you asked today has cost {} of the model's {}, and one person may take half. "
    "Ask again after 00:00 UTC, or ask an admin."
)
OUR_FAULT = "It failed, and that is our fault. What happened is in the desk's log."

Listener = Callable[[Consultation], None]
Work = Callable[[Desk, Case], Awaitable[Advised]]

_ADVICE = TypeAdapter(Advice)

log = structlog.get_logger()


class Consultations:
    """The door `Advisor`. Listeners are told of every change of a consultation."""

    def __init__(self, counsel: Counsel, bias_ms: int, attempt: Try) -> None:
        """A bias lasts for `bias_ms` of market time; `attempt` tries what is suggested on candles
        and proposes it where it is better."""
        self._counsel = counsel
        self._bias_ms = bias_ms
        self._attempt = attempt
        self._known: dict[int, Consultation] = {}
        self._over: dict[int, asyncio.Event] = {}
        self._waiting: deque[tuple[Case, Work]] = deque()
        self._came = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._whose: dict[int, str] = {}
        self._spent: dict[str, Decimal] = {}
        self._day_ends = 0
        self._listeners: list[Listener] = []
        self._warnings: deque[str] = deque()
        counsel.listen(self._warnings.append)

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    # -- the door ------------------------------------------------------------------------

    def status(self) -> ModelStatus:
        counsel = self._counsel
        return ModelStatus(counsel.name, counsel.driver, counsel.why_not())

    def spending(self) -> Spending:
        return self._counsel.spending()

    async def analyze(self, symbols: Sequence[str], asker: Asker) -> Consultation:
        work = partial(self._analyze, symbols, may_lean(asker))
        return await self._begin(Purpose.ANALYSIS, ", ".join(symbols), asker, work)

    async def ask(self, question: str, about: str, reading: Reading, asker: Asker) -> Consultation:
        work = partial(self._answer, question, about, reading)
        return await self._begin(Purpose.QUESTION, question, asker, work)

    async def autopsy(self, trade: Trade, asker: Asker) -> Consultation:
        subject = f"{trade.name} of {trade.bot_id}"
        work = partial(self._examine, trade)
        return await self._begin(Purpose.AUTOPSY, subject, asker, work)

    async def suggest(self, bot_id: str, asker: Asker) -> Consultation:
        work = partial(self._suggest, bot_id)
        return await self._begin(Purpose.SUGGESTION, bot_id, asker, work)

    async def brief(self, weekly: bool, asker: Asker) -> Consultation:
        subject = "the weekly briefing" if weekly else "the daily briefing"
        return await self._begin(Purpose.BRIEFING, subject, asker, partial(self._brief, weekly))

    def consultation(self, number: int) -> Consultation | None:
        return self._known.get(number)

    async def end_of(self, number: int) -> Consultation:
        if number not in self._known:
            raise Refused(f"Consultation {number} is of before. /analysis {number} shows it.")
        if number in self._over:
            await self._over[number].wait()
        return self._known[number]

    # -- the queue -----------------------------------------------------------------------

    async def _begin(
        self, purpose: Purpose, subject: str, asker: Asker, work: Work
    ) -> Consultation:
        self._check_room(asker)
        case = await self._counsel.open(purpose, subject, asker.actor)
        # Cut any sooner, half a secret would be known as none.
        if len(case.subject) > SUBJECT_MAX:
            case.subject = f"{case.subject[:SUBJECT_MAX]}…"
        consultation = Consultation(
            number=case.number,
            purpose=purpose,
            subject=case.subject,
            asked_by=asker.actor,
            asker=asker.called,
            surface=asker.surface,
            asked_at=case.opened_at,
        )
        self._known[case.number] = consultation
        self._whose[case.number] = _whose(asker)
        self._over[case.number] = asyncio.Event()
        self._waiting.append((case, work))
        self._came.set()
        return consultation

    def _check_room(self, asker: Asker) -> None:
        self._check_share(asker)
        if len(self._over) >= OPEN_MAX:
            raise Refused(TOO_MANY)
        own = [n for n in self._over if self._whose[n] == _whose(asker)]
        if asker.principal.kind is PrincipalKind.PERSON and len(own) >= OPEN_OF_ONE_MAX:
            raise Refused(TOO_MANY_OF_ONE)

    def _check_share(self, asker: Asker) -> None:
        who, cap = asker.principal, self.spending().daily_cap
        if who.kind is not PrincipalKind.PERSON or who.role >= Role.ADMIN:
            return
        spent = self._spent_today().get(_whose(asker), Decimal(0))
        if spent and spent >= SHARE_OF_ONE * cap:
            raise Refused(SPENT.format(dollars(spent), cap_words(cap)))

    def _spent_today(self) -> dict[str, Decimal]:
        """What each human has spent today (US dollars)."""
        day_ends = self.spending().day_ends
        if day_ends != self._day_ends:
            self._day_ends = day_ends
            self._spent.clear()
        return self._spent

    async def run(self, desk: Desk) -> None:
        """Answer until canceled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                while not self._waiting:
                    self._came.clear()
                    await self._came.wait()
                await self._places.acquire()
                case, work = self._waiting.popleft()
                tasks.create_task(self._serve(desk, case, work), name=f"consultation {case.number}")

    async def _serve(self, desk: Desk, case: Case, work: Work) -> None:
        number = case.number
        try:
            self._change(number, AdviceStage.THINKING)
            result = await work(desk, case)
        except (Refused, Unreachable) as error:
            self._change(number, AdviceStage.FAILED, failure=str(error))
        except Exception:
            # What failed is one answer, and that is no reason to stop trading.
            log.exception("a consultation failed", number=number)
            self._change(number, AdviceStage.FAILED, failure=OUR_FAULT)
        else:
            self._change(number, AdviceStage.DONE, result=result)
        finally:
            spent, whose = self._spent_today(), self._whose.pop(number)
            spent[whose] = spent.get(whose, Decimal(0)) + case.cost
            self._places.release()
            self._over.pop(number).set()
        self._forget_old()
        while self._warnings:
            await _tell(desk, ReportTrouble(self._warnings.popleft()))

    def _change(self, number: int, stage: AdviceStage, **changed: object) -> None:
        self._known[number] = self._known[number].at(stage, **changed)
        for listener in self._listeners:
            listener(self._known[number])

    def _forget_old(self) -> None:
        over = [number for number in self._known if number not in self._over]
        for number in over[:-REMEMBERED]:
            del self._known[number]

    # -- the work ------------------------------------------------------------------------

    async def _analyze(
        self, symbols: Sequence[str], leans: bool, desk: Desk, case: Case
    ) -> Analysis:
        facts = [await market_facts(desk, symbol) for symbol in symbols]
        found = await analyst.analyze(self._counsel, case, facts)
        for read in found.reads:
            if leans and read.by != INDICATORS:
                await self._note(desk, case, read)
        return found

    async def _note(self, desk: Desk, case: Case, read: MarketRead) -> None:
        """Have the core know which way the model leans; a read that is refused changes nothing.
        It is as old as what the model was told, however long that thought."""
        until = read.ts + self._bias_ms
        bias = Bias(read.symbol, read.bias, read.confidence, read.ts, until, case.number)
        await _tell(desk, NoteBias(bias))

    async def _answer(
        self, question: str, about: str, reading: Reading, desk: Desk, case: Case
    ) -> Answer:
        def told(step: str) -> None:
            known = self._known[case.number]
            self._change(case.number, AdviceStage.THINKING, steps=(*known.steps, step))

        return await agent.answer(self._counsel, case, question, about, reading, told)

    async def _examine(self, trade: Trade, desk: Desk, case: Case) -> Autopsy:
        return await autopsy.examine(self._counsel, case, await trade_facts(desk, trade))

    async def _suggest(self, bot_id: str, desk: Desk, case: Case) -> Advice:
        found = await suggest.suggest(self._counsel, case, await bot_facts(desk, bot_id))
        if not found.wishes:
            return found
        tried = await self._attempt(desk, case.number, found)
        outcome = f"{found.outcome} {tried.outcome}".strip()
        found = replace(found, outcome=outcome, proposal=tried.proposal)
        await self._counsel.found(case, _ADVICE.dump_json(found).decode())
        return found

    async def _brief(self, weekly: bool, desk: Desk, case: Case) -> Briefing:
        return await briefing.brief(self._counsel, case, await day_facts(desk, weekly))


def may_lean(asker: Asker) -> bool:
    """Whether an analysis that somebody asks for may come to a bias: it may stop entries, which
    those who only look may not have done."""
    is_person = asker.principal.kind is PrincipalKind.PERSON
    return not is_person or asker.principal.role >= Role.TRADER


def _whose(asker: Asker) -> str:
    """Which human it is, however many accounts they have; else the actor of the audit."""
    return asker.principal.principal_id or asker.actor


async def _tell(desk: Desk, instruction: Instruction) -> None:
    """Have the core note something; where it refuses, nothing is changed."""
    try:
        await desk.ask(instruction, DESK)
    except CountersignError as error:
        log.warning("it could not be noted", what=type(instruction).__name__, error=str(error))
