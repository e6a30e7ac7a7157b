"""A model that is asked through the real library, on a local Gemini, and kept in SQLite."""

import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from engine.calls import Calls, CallState, Purpose
from engine.store.sql import open_store
from llm.counsel import Counsel
from llm.gemini import Gemini
from llm.limits import Limits
from llm.model import Fault, ModelFailed, Request, Speaker, Turn
from tests.clock import FakeClock
from tests.servers import gemini
from tests.servers.gemini_answers import Answer

SCHEMA = {
    "type": "object",
    "properties": {"bias": {"type": "number"}},
    "required": ["bias"],
}
ASKED = Request("You look at markets.", (Turn(Speaker.USER, "How is BTCUSDT?"),), schema=SCHEMA)

Asking = Callable[[Limits], Counsel]


@pytest.fixture
async def calls(tmp_path: Path) -> AsyncIterator[Calls]:
    store = await open_store(f"sqlite:///{tmp_path}/desk.db")
    yield store.calls
    await store.close()


@pytest.fixture
async def model(world: gemini.Gemini) -> AsyncIterator[Gemini]:
    model = Gemini(world.key, "gemini-2.5-flash", world.url)
    yield model
    await model.close()


@pytest.fixture
def asking(model: Gemini, calls: Calls) -> Asking:
    return lambda limits: Counsel(model, calls, limits, FakeClock(), Random(1), str, "paper")


async def bias(counsel: Counsel, question: Request = ASKED) -> float:
    case = await counsel.open(Purpose.ANALYSIS, "BTCUSDT", "tom")
    return await counsel.validated(case, question, _read)


def _read(text: str) -> float:
    found = float(json.loads(text)["bias"])
    if abs(found) > 1:
        raise ValueError(f"bias is {found}; allowed: -1 to 1")
    return found


async def test_an_answer_that_breaks_its_rules_is_put_right(
    world: gemini.Gemini, asking: Asking, calls: Calls
) -> None:
    world.plays(gemini.json({"bias": 7}), gemini.json({"bias": 0.7}))
    assert await bias(asking(Limits())) == 0.7
    wrong, right = await calls.of(1)
    assert (wrong.state, wrong.answer) == (CallState.FAILED, '{"bias": 7}')
    assert (
        wrong.failure
        == "The model's answer was not valid: bias is 7.0; allowed: -1 to 1. Ask again."
    )
    assert (right.state, right.prompt.splitlines()[0]) == (
        CallState.ANSWERED,
        "(as in call 1, then)",
    )
    assert 0 < wrong.cost < right.cost < Decimal("0.001")
    assert world.violations == []


@pytest.mark.parametrize("answer", [gemini.too_many(), gemini.overloaded()], ids=["429", "503"])
async def test_what_fails_in_passing_is_sent_again(
    world: gemini.Gemini, asking: Asking, calls: Calls, answer: Answer
) -> None:
    world.plays(answer, gemini.json({"bias": 0.1}))
    assert await bias(asking(Limits())) == 0.1
    failed, answered = await calls.of(1)
    assert (failed.state, failed.cost) == (CallState.FAILED, 0)
    assert (answered.state, answered.cost > 0) == (CallState.ANSWERED, True)
    assert len(world.requests) == 2


async def test_a_quota_that_is_spent_is_not_tried_again(
    world: gemini.Gemini, asking: Asking
) -> None:
    world.plays(gemini.quota_spent())
    counsel = asking(Limits())
    for _ in range(2):
        with pytest.raises(ModelFailed) as found:
            await bias(counsel)
        assert found.value.fault is Fault.QUOTA
    assert counsel.why_not().startswith("Google's quota for today is used up. The model answers ")
    assert len(world.requests) == 1


async def test_a_connection_that_is_cut_may_have_been_billed(
    world: gemini.Gemini, asking: Asking, calls: Calls
) -> None:
    world.plays(gemini.cut(gemini.json({"bias": 0.1})), gemini.json({"bias": 0.1}))
    assert await bias(asking(Limits())) == 0.1
    cut, answered = await calls.of(1)
    assert cut.cost > answered.cost > 0


async def test_a_model_that_never_answers_is_given_up(
    world: gemini.Gemini, asking: Asking, calls: Calls
) -> None:
    world.plays(gemini.slow(gemini.json({"bias": 0.1})))
    with pytest.raises(ModelFailed) as found:
        await bias(asking(Limits(timeout_s=0.3, deadline_s=0.3)))
    assert found.value.fault is Fault.TIMEOUT
    [row] = await calls.of(1)
    assert (row.state, row.cost > 0) == (CallState.FAILED, True)


async def test_a_cap_of_a_cent_holds_to_the_cent(
    world: gemini.Gemini, asking: Asking, calls: Calls
) -> None:
    world.answers_by(lambda _: gemini.json({"bias": 0.1}, thoughts=500))
    limits = Limits(daily_usd=Decimal("0.01"), calls_a_minute=1000)
    counsel = asking(limits)
    with pytest.raises(ModelFailed) as found:
        for number in range(100):
            turn = Turn(Speaker.USER, f"How is BTCUSDT, the {number}th time?")
            await bias(counsel, Request("", (turn,), schema=SCHEMA))
    assert found.value.fault is Fault.DAILY_CAP
    assert str(found.value).endswith(
        "it answers again at 00:00 UTC, in 1d 0h. GEMINI_DAILY_USD sets the cap."
    )
    spent = await calls.spent(0)
    assert Decimal("0.008") < spent <= Decimal("0.01")
    [day] = await calls.costs(0)
    assert day.cost == counsel.spending().day == spent
    again = asking(limits)
    await again.prepare()
    assert again.why_not() == counsel.why_not()
