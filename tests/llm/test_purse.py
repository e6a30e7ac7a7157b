"""What models cost: no cap is ever passed, whatever goes wrong."""

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

import pytest

from engine.calls import CallState, Purpose
from engine.candle import DAY_MS, HOUR_MS
from llm.counsel import Counsel
from llm.limits import Limits, day_of, month_of
from llm.model import (
    PASSING,
    Fault,
    ModelFailed,
    Request,
    Response,
    Speaker,
    Turn,
    Usage,
)
from llm.prices import PRICES
from tests.clock import FakeClock
from tests.models import KeptCalls, Played, PlayedModel, counsel, said

PRICE = PRICES["gemini-2.5-flash"]
CENT = Limits(daily_usd=Decimal("0.01"), calls_a_minute=1000)
NOON = 1_735_732_800_000  # 2025-01-01


def request(size: int = 1000, tokens: int = 4096) -> Request:
    return Request("", (Turn(Speaker.USER, "x" * size),), output_tokens_max=tokens)


async def ask(asked: Counsel, what: Request | None = None) -> Response:
    case = await asked.open(Purpose.ANALYSIS, "BTCUSDT", "tom")
    return await asked.call(case, what or request())


async def refusal(asked: Counsel, what: Request | None = None) -> ModelFailed:
    with pytest.raises(ModelFailed) as found:
        await ask(asked, what)
    return found.value


def used(prompt: int, output: int) -> Played:
    return said("Yes.", prompt, output)


# -- the caps ----------------------------------------------------------------------------


async def test_the_daily_cap_holds_to_the_cent_and_says_when_it_resets() -> None:
    clock = FakeClock(NOON + 6 * HOUR_MS + 48 * 60_000)
    model = PlayedModel(lambda asked: used(1000, asked.output_tokens_max))
    asked = counsel(model=model, clock=clock, limits=CENT)
    spent = Decimal(0)
    with pytest.raises(ModelFailed) as found:
        while True:
            response = await ask(asked)
            spent += PRICE.of_usage(response.usage)
    assert Decimal("0.008") < spent <= Decimal("0.01")
    assert found.value.fault is Fault.DAILY_CAP
    assert str(found.value) == (
        f"The model has cost ${spent:.4f} of $0.01 today, and a call takes up to $0.0017 more; it "
        "answers again at 00:00 UTC, in 5h 12m. GEMINI_DAILY_USD sets the cap."
    )
    clock.advance(5 * 3600 + 12 * 60)
    assert asked.why_not() == ""
    assert (await ask(asked)).text == "Yes."


async def test_a_cap_that_is_spent_to_the_last_is_said_so() -> None:
    limits = Limits(daily_usd=PRICE.of(1000, 1000))
    asked = counsel(used(1000, 1000), clock=FakeClock(NOON), limits=limits)
    await ask(asked, request(size=100, tokens=600))
    assert asked.why_not() == (
        "The model has cost $0.0028 of $0.0028 today; it answers again at 00:00 UTC, in 12h 0m. "
        "GEMINI_DAILY_USD sets the cap."
    )


async def test_the_monthly_cap_holds_across_days() -> None:
    clock = FakeClock(NOON)
    limits = Limits(monthly_usd=Decimal("0.02"), calls_a_minute=1000)
    model = PlayedModel(lambda asked: used(1000, asked.output_tokens_max))
    asked = counsel(model=model, clock=clock, limits=limits)
    await ask(asked)
    clock.advance(86_400)
    await ask(asked, request(tokens=3000))
    failed = await refusal(asked)
    assert failed.fault is Fault.MONTHLY_CAP
    assert "of $0.02 this month, and a call" in str(failed)
    assert "it answers again on 2025-02-01 at 00:00 UTC, in 29d 12h. monthly_usd" in str(failed)
    assert (await ask(asked, request(size=1, tokens=100))).text == "Yes."
    clock.advance(30 * 86_400)
    assert (await ask(asked)).text == "Yes."


@pytest.mark.parametrize(
    ("limits", "fault", "words"),
    [
        (
            Limits(daily_usd=Decimal(0)),
            Fault.DAILY_CAP,
            "GEMINI_DAILY_USD is 0, so the model is never asked.",
        ),
        (
            Limits(monthly_usd=Decimal(0)),
            Fault.MONTHLY_CAP,
            "monthly_usd in [gemini] is 0, so the model is never asked.",
        ),
    ],
)
async def test_with_a_cap_of_nothing_the_model_is_never_asked(
    limits: Limits, fault: Fault, words: str
) -> None:
    model = PlayedModel(said("Yes."))
    asked = counsel(model=model, limits=limits)
    failed = await refusal(asked)
    assert (failed.fault, str(failed), asked.why_not()) == (fault, words, words)
    assert model.asked == 0


async def test_where_money_is_short_the_answer_may_be_shorter() -> None:
    model = PlayedModel(said("Yes."))
    asked = counsel(model=model, limits=Limits(daily_usd=Decimal("0.005")))
    await ask(asked, request())
    # 0.30 dollars for a million in, 2.50 out; 1288 is the most that the prompt can have.
    [sent] = model.requests
    assert sent.output_tokens_max == int((Decimal("0.005") - PRICE.of(1288, 0)) / PRICE.of(0, 1))


async def test_what_two_calls_would_take_together_the_second_is_refused() -> None:
    gate = asyncio.Event()
    model = PlayedModel(lambda asked: used(1000, asked.output_tokens_max), gate=gate)
    asked = counsel(model=model, limits=CENT)
    outcomes: list[object] = []

    async def tried() -> None:
        try:
            outcomes.append(await ask(asked))
        except ModelFailed as failed:
            outcomes.append(failed.fault)
            gate.set()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(tried())
    assert outcomes[0] is Fault.DAILY_CAP
    assert model.asked == 1


class Dies(Exception):
    """The process ends in the middle of a call."""


async def test_what_a_dead_process_had_reserved_stays_counted() -> None:
    calls = KeptCalls()
    with suppress(Dies):
        await ask(counsel(Dies(), calls=calls, limits=CENT))
    successor = counsel(said("Yes."), calls=calls, limits=CENT)
    await successor.prepare()
    assert successor.spending().day == (await calls.all())[0].cost > Decimal("0.009")
    assert (await refusal(successor)).fault is Fault.DAILY_CAP


# -- what a failure costs ----------------------------------------------------------------

USED = Usage(10, 20)


@pytest.mark.parametrize(
    ("failed", "cost"),
    [
        *((ModelFailed(fault, "x"), "nothing") for fault in (Fault.RATE, Fault.OVERLOADED)),
        *((ModelFailed(fault, "x"), "nothing") for fault in (Fault.QUOTA, Fault.BAD_KEY)),
        *((ModelFailed(fault, "x"), "all") for fault in (Fault.TIMEOUT, Fault.UNREACHABLE)),
        *((ModelFailed(fault, "x"), "all") for fault in (Fault.EMPTY, Fault.CUT_OFF)),
        (ModelFailed(Fault.BLOCKED, "x", usage=USED), "used"),
        (ModelFailed(Fault.CUT_OFF, "x", usage=USED), "used"),
        (ModelFailed(Fault.UNREACHABLE, "x", sent=False), "nothing"),
    ],
    ids=lambda value: value.fault if isinstance(value, ModelFailed) else value,
)
async def test_a_failure_costs_what_it_may_have_cost(failed: ModelFailed, cost: str) -> None:
    calls = KeptCalls()
    asked = counsel(lambda _: failed, calls=calls)
    await refusal(asked)
    rows = await calls.all()
    assert {row.state for row in rows} == {CallState.FAILED}
    assert len(rows) == (3 if failed.fault in PASSING else 1)
    most = PRICE.of(1288, 4096)
    expected = {"nothing": Decimal(0), "all": most, "used": PRICE.of_usage(USED)}[cost]
    assert {row.cost for row in rows} == {expected}
    assert asked.spending().day == expected * len(rows)


# -- what was spent ----------------------------------------------------------------------


async def test_spending_begins_anew_with_a_day_and_a_month() -> None:
    clock = FakeClock(NOON)
    asked = counsel(used(1000, 1000), clock=clock)
    await ask(asked)
    cost = PRICE.of(1000, 1000)
    found = asked.spending()
    assert (found.day, found.month, found.daily_cap, found.monthly_cap) == (cost, cost, 5, 100)
    assert (found.day_ends, found.month_ends) == (
        NOON + DAY_MS // 2,
        NOON + 31 * DAY_MS - DAY_MS // 2,
    )
    clock.advance(86_400)
    assert (asked.spending().day, asked.spending().month) == (0, cost)
    clock.advance(31 * 86_400)
    assert (asked.spending().day, asked.spending().month) == (0, 0)


async def test_what_is_known_to_be_spent_is_what_is_stored_also_of_calls_at_once() -> None:
    calls = KeptCalls()
    asked = counsel(lambda _: used(1000, 1000), calls=calls)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(ask(asked))
    assert asked.spending().day == await calls.spent(0) == PRICE.of(5000, 5000)


WARN = Limits(
    warn_daily_usd=Decimal("0.003"),
    warn_monthly_usd=Decimal("0.007"),
    calls_a_minute=1000,
)


async def test_a_day_or_a_month_that_costs_much_is_told_once() -> None:
    clock, calls = FakeClock(NOON), KeptCalls()
    model = PlayedModel(lambda _: used(1000, 1000))
    asked = counsel(model=model, clock=clock, calls=calls, limits=WARN)
    told: list[str] = []
    asked.listen(told.append)
    for _ in range(4):
        await ask(asked)
    assert told == [
        "The model has cost $0.0056 today, more than the $0.003 of warn_daily_usd. At $5 it is "
        "asked no more. /aicost says what for.",
        "The model has cost $0.0084 this month, more than the $0.007 of warn_monthly_usd. At $100 "
        "it is asked no more. /aicost says what for.",
    ]
    again = counsel(model=model, clock=clock, calls=calls, limits=WARN)
    again.listen(told.append)
    await ask(again)
    assert len(told) == 2
    clock.advance(86_400)
    await ask(again)
    await ask(again)
    assert len(told) == 3
    assert "$0.0056 today" in told[2]


async def test_nothing_is_told_where_no_warning_is_wanted() -> None:
    limits = Limits(warn_daily_usd=Decimal(0), warn_monthly_usd=Decimal(0))
    asked = counsel(used(1000, 1000), limits=limits)
    told: list[str] = []
    asked.listen(told.append)
    await ask(asked)
    assert told == []


async def test_prices_that_are_set_are_taken() -> None:
    limits = Limits(price_input=Decimal(10), price_output=Decimal(0))
    calls = KeptCalls()
    await ask(counsel(used(1000, 1000), calls=calls, limits=limits))
    assert (await calls.all())[0].cost == Decimal("0.01")


async def test_a_prompt_is_held_to_the_caps_where_answers_are_free() -> None:
    limits = Limits(daily_usd=Decimal("0.01"), price_input=Decimal(10), price_output=Decimal(0))
    assert (await refusal(counsel(said("Yes."), limits=limits))).fault is Fault.DAILY_CAP


# -- the property ------------------------------------------------------------------------


@dataclass
class Google:
    """Bills what it says it bills, and does everything else that may go wrong. `billed` is the
    truth, by day and by month (UTC ms)."""

    clock: FakeClock
    calls: KeptCalls
    rng: Random
    billed: dict[int, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    name: str = "gemini-2.5-flash"
    driver: str = "billed"

    async def answer(self, asked: Request, timeout_s: float) -> Response:
        now = self.clock.now()
        texts = (asked.system, *(turn.text for turn in asked.turns))
        prompt = self.rng.randint(1, sum(len(text.encode()) for text in texts))
        output = self.rng.choice([1, asked.output_tokens_max])
        usage, fault = Usage(prompt, output), self.rng.choice(list(Fault))
        await self.clock.sleep(self.rng.uniform(0, timeout_s))
        self.calls.is_down = self.rng.random() < 0.05
        match self.rng.randrange(8):
            case 0:
                self._bill(now, usage)
                raise Dies
            case 1:
                raise ModelFailed(Fault.OVERLOADED, "busy", retry_after=self.rng.choice([None, 9]))
            case 2:
                self._bill(now, usage)
                raise ModelFailed(Fault.TIMEOUT, "late")
            case 3:
                self._bill(now, usage)
                raise ModelFailed(Fault.CUT_OFF, "cut", usage=self.rng.choice([usage, Usage()]))
            case 4:
                raise ModelFailed(fault, "whatever it is")
            case _:
                self._bill(now, usage)
                return said("Yes." * self.rng.randint(1, 50), prompt, output)

    def _bill(self, now: int, usage: Usage) -> None:
        cost = PRICE.of_usage(usage)
        self.billed[day_of(now)] += cost
        self.billed[-month_of(now)] += cost

    async def check(self) -> str:
        return self.name

    async def close(self) -> None:
        pass


async def one(asked: Counsel, rng: Random) -> None:
    with suppress(ModelFailed, Dies):
        case = await asked.open(Purpose.QUESTION, "x", "tom")
        for _ in range(rng.randint(1, 3)):
            text = rng.choice(["x", "é", "漢", "🚀"]) * rng.randint(1, 800)
            turns = (Turn(Speaker.USER, text),)
            await asked.call(case, Request("", turns, output_tokens_max=rng.choice([100, 4096])))


@pytest.mark.parametrize("seed", range(12))
async def test_what_is_billed_never_passes_a_cap(seed: int) -> None:
    rng = Random(seed)
    clock, calls = FakeClock(NOON + 20 * DAY_MS), KeptCalls()
    google = Google(clock, calls, rng)
    limits = Limits(
        daily_usd=Decimal("0.03"), monthly_usd=Decimal("0.2"), calls_a_minute=60, deadline_s=200
    )
    for _ in range(25):
        calls.is_down = False
        asked = Counsel(google, calls, limits, clock, rng, str, "paper")
        for _ in range(rng.randint(1, 3)):
            calls.is_down = False
            await asked.prepare()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(rng.randint(1, 3)):
                    tasks.create_task(one(asked, rng))
            calls.is_down = False
            assert asked.spending().day == await calls.spent(day_of(clock.now()))
        clock.advance(rng.choice([0, 600, 20_000, 86_400]))
    days = [cost for since, cost in google.billed.items() if since > 0]
    months = [cost for since, cost in google.billed.items() if since < 0]
    assert max(days) <= limits.daily_usd
    assert max(months) <= limits.monthly_usd
    assert max(days) > limits.daily_usd / 2


# -- answers that say nothing of what they cost ------------------------------------------


async def test_an_answer_without_its_usage_costs_what_it_may_have_cost() -> None:
    model = PlayedModel(lambda asked: used(0, 0))
    asked = counsel(model=model, limits=CENT)
    for _ in range(100):
        with suppress(ModelFailed):
            await ask(asked)

    assert model.asked < 10
    assert Decimal("0.005") < asked.spending().day <= Decimal("0.01")
