"""How a model is asked: tried again, kept to time and rate, read strictly, kept."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from engine.advice import NO_KEY
from engine.calls import CallState, Purpose
from engine.errors import Unreachable
from llm.counsel import Case, Counsel
from llm.limits import Limits
from llm.model import (
    Fault,
    FunctionResult,
    ModelFailed,
    Request,
    Speaker,
    Turn,
)
from tests.clock import FakeClock, turn
from tests.models import KeptCalls, PlayedModel, called, counsel, said, said_json

SCHEMA = {"type": "object", "properties": {"bias": {"type": "number"}}}
OVERLOADED = ModelFailed(Fault.OVERLOADED, "The model is overloaded.")


def request(text: str = "How is BTCUSDT?", **more: Any) -> Request:
    return Request("You look at markets.", (Turn(Speaker.USER, text),), **more)


async def opened(asked: Counsel) -> Case:
    return await asked.open(Purpose.ANALYSIS, "BTCUSDT", "tom")


async def failure(asked: Counsel, case: Case | None = None) -> ModelFailed:
    with pytest.raises(ModelFailed) as found:
        await asked.call(case or await opened(asked), request())
    return found.value


async def asked_times(model: PlayedModel, count: int) -> None:
    while model.asked < count:
        await turn()


def bias(text: str) -> float:
    found = json.loads(text)["bias"]
    if not -1 <= found <= 1:
        raise ValueError(f"bias is {found}; allowed: -1 to 1")
    return float(found)


# -- one call ----------------------------------------------------------------------------


async def test_a_call_is_kept_with_what_was_sent_and_said_and_what_it_cost() -> None:
    calls = KeptCalls()
    asked = counsel(said("It rises.", 1000, 200), calls=calls)
    case = await opened(asked)
    response = await asked.call(case, request())
    assert response.text == "It rises."
    [row] = await calls.all()
    assert (row.call_id, row.consultation, row.subject, row.asked_by) == (1, 1, "BTCUSDT", "tom")
    assert row.prompt == "[system]\nYou look at markets.\n\n[user]\nHow is BTCUSDT?"
    assert (row.state, row.answer, row.model) == (
        CallState.ANSWERED,
        "It rises.",
        "gemini-2.5-flash",
    )
    assert (row.prompt_tokens, row.output_tokens) == (1000, 200)
    # 0.30 and 2.50 dollars for a million.
    assert row.cost == case.cost == Decimal("0.0008")


async def test_what_was_made_of_an_answer_is_kept_with_its_call() -> None:
    calls = KeptCalls()
    asked = counsel(said("one"), said("two"), calls=calls)
    case = await opened(asked)
    await asked.call(case, request())
    await asked.call(case, request())
    await asked.found(case, '{"bias": 0.5}')
    assert [row.result for row in await calls.of(case.number)] == ["", '{"bias": 0.5}']


async def test_a_consultation_has_the_number_of_its_first_call() -> None:
    calls = KeptCalls()
    asked = counsel(said("one"), said("two"), said("three"), calls=calls)
    first, second = await opened(asked), await opened(asked)
    for case in (first, second, first):
        await asked.call(case, request())
    assert [(row.call_id, row.consultation) for row in await calls.all()] == [
        (1, 1),
        (3, 1),
        (2, 2),
    ]


async def test_numbers_go_on_where_the_last_process_ended() -> None:
    calls = KeptCalls()
    asked = counsel(said("one"), calls=calls)
    await asked.call(await opened(asked), request())
    assert (await opened(counsel(calls=calls))).number == 2


async def test_a_later_call_keeps_what_was_not_sent_before() -> None:
    calls = KeptCalls()
    asked = counsel(called(("look", {"command": "/risk"})), said("It is low."), calls=calls)
    case = await opened(asked)
    first = request()
    response = await asked.call(case, first)
    results = (FunctionResult("look", {"said": "open risk 1 %"}, "call-1"),)
    told = Turn(Speaker.USER, results=results)
    turns = (*first.turns, response.turn, told)
    await asked.call(case, Request(first.system, turns))
    one, two = await calls.all()
    assert one.answer == 'look({"command": "/risk"})'
    assert two.prompt == (
        '(as in call 1, then)\n\n[model]\nlook({"command": "/risk"})\n\n'
        '[user]\nlook said {"said": "open risk 1 %"}'
    )


async def test_without_a_model_nobody_is_asked_and_all_is_numbered_and_kept() -> None:
    calls = KeptCalls()
    asked = counsel(calls=calls)
    assert (asked.name, asked.driver, asked.why_not()) == ("", "", NO_KEY)
    case = await opened(asked)
    failed = await failure(asked, case)
    assert (failed.fault, str(failed)) == (Fault.NO_KEY, NO_KEY)
    await asked.computed(case, "RSI 61", '{"bias": 0.2}')
    [row] = await calls.all()
    assert (row.call_id, row.state, row.model) == (1, CallState.COMPUTED, "indicators")
    assert (row.prompt, row.result, row.cost) == ("RSI 61", '{"bias": 0.2}', 0)


async def test_secrets_are_taken_out_of_all_that_is_sent_kept_and_given_back() -> None:
    calls = KeptCalls()
    model = PlayedModel(called(("look", {"line": "/x hunter2"}), text="I know hunter2"))
    asked = counsel(model=model, calls=calls, redact=lambda text: text.replace("hunter2", "***"))
    case = await asked.open(Purpose.QUESTION, "is hunter2 good?", "tom")
    results = (FunctionResult("look", {"said": ["key hunter2"]}),)
    turns = (
        Turn(Speaker.USER, "is hunter2 good?"),
        Turn(Speaker.MODEL, calls=called(("look", {"q": "hunter2"})).turn.calls),
        Turn(Speaker.USER, results=results),
    )
    response = await asked.call(case, Request("hunter2 is secret", turns))
    assert "hunter2" not in repr((model.requests, response, await calls.all()))
    assert response.turn.calls[0].arguments == {"line": "/x ***"}


# -- trying again ------------------------------------------------------------------------


async def test_what_fails_in_passing_is_tried_again_after_a_while() -> None:
    clock, calls = FakeClock(), KeptCalls()
    asked = counsel(OVERLOADED, OVERLOADED, said("Yes."), clock=clock, calls=calls)
    assert (await asked.call(await opened(asked), request())).text == "Yes."
    assert 1.5 <= clock.slept <= 4.5
    assert [(row.state, row.cost > 0) for row in await calls.all()] == [
        (CallState.FAILED, False),
        (CallState.FAILED, False),
        (CallState.ANSWERED, True),
    ]
    first, second, _ = await calls.all()
    assert first.failure == "The model is overloaded."
    assert second.prompt == "(as in call 1)"


async def test_it_is_tried_three_times_and_no_more() -> None:
    model = PlayedModel(lambda _: OVERLOADED)
    assert (await failure(counsel(model=model))).fault is Fault.OVERLOADED
    assert model.asked == 3


@pytest.mark.parametrize(
    "fault", [Fault.BAD_REQUEST, Fault.TOO_LONG, Fault.REGION, Fault.UNKNOWN_MODEL, Fault.BLOCKED]
)
async def test_what_would_be_refused_again_is_tried_once(fault: Fault) -> None:
    model = PlayedModel(ModelFailed(fault, "No."))
    assert str(await failure(counsel(model=model))) == "No."
    assert model.asked == 1


async def test_the_other_side_is_left_alone_for_as_long_as_it_says() -> None:
    clock = FakeClock()
    busy = ModelFailed(Fault.RATE, "Too many calls.", retry_after=25.0)
    asked = counsel(busy, said("Yes."), clock=clock)
    await asked.call(await opened(asked), request())
    assert clock.slept == 25.0


async def test_nobody_waits_for_longer_than_a_consultation_may_take() -> None:
    clock = FakeClock()
    busy = ModelFailed(Fault.RATE, "Too many calls. Try again in 70 s.", retry_after=70.0)
    model = PlayedModel(busy)
    failed = await failure(counsel(model=model, clock=clock))
    assert str(failed) == "Too many calls. Try again in 70 s."
    assert (clock.slept, model.asked) == (0, 1)


async def test_all_calls_of_a_consultation_share_its_time() -> None:
    clock = FakeClock()
    model = PlayedModel(lambda _: said("More."))
    asked = counsel(model=model, clock=clock, limits=Limits(timeout_s=30, deadline_s=60))
    case = await opened(asked)
    clock.advance(3600)
    await asked.call(case, request())
    clock.advance(40)
    await asked.call(case, request())
    clock.advance(19)
    failed = await failure(asked, case)
    assert failed.fault is Fault.TIMEOUT
    assert str(failed) == (
        "The model did not come to an end within 60 s. deadline_s in [gemini] sets how long it "
        "may take."
    )
    assert model.timeouts == [30, pytest.approx(20)]


async def test_a_driver_that_does_not_keep_to_its_time_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llm.counsel.GRACE_S", 0.0)
    calls = KeptCalls()
    model = PlayedModel(said("late"), gate=asyncio.Event())
    limits = Limits(timeout_s=0.01, deadline_s=0.01)
    asked = counsel(model=model, calls=calls, limits=limits)
    assert (await failure(asked)).fault is Fault.TIMEOUT
    [row] = await calls.all()
    assert (row.state, row.cost > 0) == (CallState.FAILED, True)


async def test_a_call_that_is_given_up_stays_counted() -> None:
    calls = KeptCalls()
    model = PlayedModel(said("late"), gate=asyncio.Event())
    asked = counsel(model=model, calls=calls)
    case = await opened(asked)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(asked.call(case, request()))
        await asked_times(model, 1)
        task.cancel()
    [row] = await calls.all()
    assert (row.state, row.cost > 0) == (CallState.ASKED, True)


# -- the desk's own rate -----------------------------------------------------------------


async def test_calls_keep_to_the_desks_own_rate() -> None:
    clock = FakeClock()
    asked = counsel(lambda _: said("Yes."), clock=clock, limits=Limits(calls_a_minute=2))
    for _ in range(2):
        await asked.call(await opened(asked), request())
    clock.advance(50)
    await asked.call(await opened(asked), request())
    assert clock.slept == 10


async def test_a_rate_that_would_take_too_long_to_wait_for_is_said() -> None:
    clock = FakeClock()
    asked = counsel(said("Yes."), said("Yes."), clock=clock, limits=Limits(calls_a_minute=1))
    await asked.call(await opened(asked), request())
    clock.advance(1)
    failed = await failure(asked)
    assert failed.fault is Fault.OWN_RATE
    assert str(failed) == (
        "The desk asks the model at most 1 times a minute. Try again in 59 s. calls_a_minute in "
        "[gemini] sets the rate."
    )


# -- a model that fails ------------------------------------------------------------------


async def failing(clock: FakeClock, model: PlayedModel, count: int) -> Counsel:
    asked = counsel(model=model, clock=clock, limits=Limits(calls_a_minute=1000))
    for _ in range(count):
        await failure(asked)
    return asked


async def test_after_five_failures_the_model_rests_and_then_one_call_tries() -> None:
    clock = FakeClock()
    model = PlayedModel(*[OVERLOADED] * 15)
    asked = await failing(clock, model, 5)
    assert asked.why_not() == (
        "The model failed 5 times in a row and is left alone. It is tried again in 5m."
    )
    assert (await failure(asked)).fault is Fault.RESTING
    clock.advance(300)
    assert asked.why_not() == ""
    model.plays(OVERLOADED)
    assert (await failure(asked)).fault is Fault.OVERLOADED
    assert model.asked == 16
    assert (await failure(asked)).fault is Fault.RESTING
    clock.advance(300)
    model.plays(said("Back."), OVERLOADED, said("And well."))
    assert (await asked.call(await opened(asked), request())).text == "Back."
    assert (await asked.call(await opened(asked), request())).text == "And well."


async def test_while_one_call_tries_others_are_refused() -> None:
    clock = FakeClock()
    gate = asyncio.Event()
    gate.set()
    model = PlayedModel(*[OVERLOADED] * 15, said("Back."), gate=gate)
    asked = await failing(clock, model, 5)
    clock.advance(300)
    gate.clear()
    trial, other = await opened(asked), await opened(asked)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(asked.call(trial, request()))
        await asked_times(model, 16)
        assert (await failure(asked, other)).fault is Fault.RESTING
        gate.set()
    assert task.result().text == "Back."


async def test_what_is_refused_shows_that_somebody_is_there() -> None:
    clock = FakeClock()
    model = PlayedModel(*[OVERLOADED] * 12)
    asked = await failing(clock, model, 4)
    model.plays(ModelFailed(Fault.BLOCKED, "Blocked."), *[OVERLOADED] * 3)
    await failure(asked)
    await failure(asked)
    assert asked.why_not() == ""


async def test_a_bad_key_is_not_tried_again() -> None:
    model = PlayedModel(ModelFailed(Fault.BAD_KEY, "GEMINI_API_KEY is not valid."))
    asked = counsel(model=model)
    await failure(asked)
    assert asked.why_not() == "GEMINI_API_KEY is not valid."
    assert (await failure(asked)).fault is Fault.BAD_KEY
    assert model.asked == 1


# 22:30 UTC on 2025-01-01 is 14:30 in California; on 2025-07-01 the clock is another there.
@pytest.mark.parametrize(
    ("now", "hour", "left"),
    [(1_735_770_600_000, "08:00", "9h 30m"), (1_751_409_000_000, "07:00", "8h 30m")],
)
async def test_a_quota_that_is_used_up_comes_back_with_googles_next_day(
    now: int, hour: str, left: str
) -> None:
    clock = FakeClock(now)
    model = PlayedModel(ModelFailed(Fault.QUOTA, "The quota is used up."), said("Yes."))
    asked = counsel(model=model, clock=clock)
    await failure(asked)
    assert asked.why_not() == (
        f"Google's quota for today is used up. The model answers again at {hour} UTC, in {left}."
    )
    assert (await failure(asked)).fault is Fault.QUOTA
    assert model.asked == 1
    clock.advance(9.5 * 3600)
    assert (await asked.call(await opened(asked), request())).text == "Yes."


# -- answers that are read ---------------------------------------------------------------


async def test_an_answer_is_read_and_kept() -> None:
    calls = KeptCalls()
    asked = counsel(said_json({"bias": 0.5}), calls=calls)
    assert await asked.validated(await opened(asked), request(schema=SCHEMA), bias) == 0.5
    [row] = await calls.all()
    assert row.prompt.endswith(f"[schema]\n{json.dumps(SCHEMA)}\n\n[user]\nHow is BTCUSDT?")


WRONG = [
    (said("It rises."), "it is no JSON, from line 1, column 1 on", Fault.NOT_JSON),
    (said('{"bias": NaN}'), "NaN is no number", Fault.NOT_JSON),
    (said('{"bias": 1e999}'), "1e999 is out of range", Fault.NOT_JSON),
    (said('{"bias": 0, "bias": 1}'), "a name stands in it twice", Fault.NOT_JSON),
    (said('{"bias": 0} and so on'), "it is no JSON, from line 1, column 13 on", Fault.NOT_JSON),
    (said("[" * 5000), "it is nested deeper than 20", Fault.NOT_JSON),
    (said("[" * 21 + "]" * 21), "it is nested deeper than 20", Fault.NOT_JSON),
    (said('{"a": "\\ud800"}'), "a text in it is no Unicode", Fault.NOT_JSON),
    (said('{"bias": 3}'), "bias is 3; allowed: -1 to 1", Fault.INVALID),
]


@pytest.mark.parametrize(("answer", "complaint", "fault"), WRONG)
async def test_what_is_wrong_is_said_once_and_then_the_model_is_given_up(
    answer: Any, complaint: str, fault: Fault
) -> None:
    calls = KeptCalls()
    model = PlayedModel(answer, answer)
    asked = counsel(model=model, calls=calls)
    with pytest.raises(ModelFailed) as found:
        await asked.validated(await opened(asked), request(), bias)
    assert found.value.fault is fault
    assert str(found.value) == f"The model's answer was not valid: {complaint}. Ask again."
    last = model.requests[1].turns
    assert [each.speaker for each in last] == [Speaker.USER, Speaker.MODEL, Speaker.USER]
    assert last[1].text == answer.text
    assert last[2].text == (
        f"Your answer was not valid: {complaint}. Answer again, with JSON of the given schema "
        "alone."
    )
    for row in await calls.all():
        assert (row.state, row.failure, row.cost > 0) == (
            CallState.FAILED,
            str(found.value),
            True,
        )


@pytest.mark.parametrize("fault", [Fault.EMPTY, Fault.CUT_OFF])
async def test_an_answer_that_is_empty_or_cut_off_is_asked_for_anew(fault: Fault) -> None:
    model = PlayedModel(ModelFailed(fault, "Nothing."), said_json({"bias": -1}))
    asked = counsel(model=model)
    assert await asked.validated(await opened(asked), request(), bias) == -1
    assert len(model.requests[1].turns) == 2


async def test_a_model_that_failed_otherwise_is_not_asked_for_better_json() -> None:
    model = PlayedModel(ModelFailed(Fault.BLOCKED, "Blocked."))
    asked = counsel(model=model)
    with pytest.raises(ModelFailed, match="Blocked"):
        await asked.validated(await opened(asked), request(), bias)
    assert model.asked == 1


async def test_a_complaint_is_bounded_and_without_secrets() -> None:
    def refuse(text: str) -> None:
        raise ValueError(f"hunter2 {'x' * 1000}")

    asked = counsel(lambda _: said("{}"), redact=lambda text: text.replace("hunter2", "***"))
    with pytest.raises(ModelFailed) as found:
        await asked.validated(await opened(asked), request(), refuse)
    assert str(found.value) == f"The model's answer was not valid: *** {'x' * 296}…. Ask again."


async def test_numbers_that_look_like_a_secret_are_let_be() -> None:
    """A price of six digits is no code: as a number it gives nothing away."""
    model = PlayedModel(said('{"bias": 0.5, "levels": [104250], "why": "code 104250"}'))
    asked = counsel(model=model, redact=lambda text: text.replace("104250", "***"))
    found = await asked.validated(await opened(asked), request(), json.loads)
    assert found == {"bias": 0.5, "levels": [104250], "why": "code ***"}


# -- answers that are remembered ---------------------------------------------------------


async def test_the_same_question_is_answered_from_memory_for_a_quarter_of_an_hour() -> None:
    clock, calls = FakeClock(), KeptCalls()
    model = PlayedModel(said_json({"bias": 0.5}), said_json({"bias": 0.6}))
    asked = counsel(model=model, clock=clock, calls=calls)

    async def ask() -> float:
        return await asked.validated(await opened(asked), request(), bias)

    assert [await ask(), await ask()] == [0.5, 0.5]
    clock.advance(899)
    assert await ask() == 0.5
    clock.advance(1)
    assert await ask() == 0.6
    rows = await calls.all()
    assert {row.state for row in rows} == {CallState.ANSWERED}
    assert [row.cost > 0 for row in rows] == [True, False, False, True]
    assert rows[1].answer == '{"bias": 0.5}'
    assert rows[1].prompt == rows[0].prompt


@pytest.mark.parametrize(
    "other",
    [
        request("How is ETHUSDT?"),
        request(schema=SCHEMA),
        Request("You count.", request().turns),
    ],
)
async def test_another_question_is_asked(other: Request) -> None:
    asked = counsel(said_json({"bias": 0.5}), said_json({"bias": 0.6}))
    await asked.validated(await opened(asked), request(), bias)
    assert await asked.validated(await opened(asked), other, bias) == 0.6


async def test_an_answer_that_was_wrong_is_not_remembered() -> None:
    asked = counsel(said("?"), said_json({"bias": 0.5}), said_json({"bias": 0.6}))
    first = await asked.validated(await opened(asked), request(), bias)
    assert [first, await asked.validated(await opened(asked), request(), bias)] == [0.5, 0.5]


async def test_an_answer_that_does_not_fit_any_more_is_asked_for_anew() -> None:
    asked = counsel(said_json({"bias": 0.5}), said_json({"bias": 0.6}))
    await asked.validated(await opened(asked), request(), bias)

    def read(text: str) -> float:
        if bias(text) == 0.5:
            raise ValueError("bias is of before")
        return bias(text)

    assert await asked.validated(await opened(asked), request(), read) == 0.6


async def test_at_most_a_hundred_answers_are_remembered() -> None:
    answers = [said_json({"bias": 0.5})] * 102
    model = PlayedModel(*answers)
    asked = counsel(model=model, limits=Limits(calls_a_minute=1000))
    for number in [*range(101), 100, 1, 0]:
        await asked.validated(await opened(asked), request(f"How is {number}?"), bias)
    assert model.asked == 102


# -- a store that is down ----------------------------------------------------------------


async def test_nobody_is_asked_while_nothing_can_be_stored() -> None:
    calls = KeptCalls()
    model = PlayedModel(said("Yes."))
    asked = counsel(model=model, calls=calls)
    case = await opened(asked)
    calls.is_down = True
    assert str(await failure(asked, case)) == (
        "The model is not asked while nothing can be stored: the database does not answer"
    )
    assert model.asked == 0
    calls.is_down = False
    assert (await asked.call(case, request())).text == "Yes."


async def test_an_answer_that_came_is_given_though_it_can_not_be_kept() -> None:
    calls = KeptCalls()

    def breaks(_: Request) -> Any:
        calls.is_down = True
        return said("Yes.")

    asked = counsel(breaks, calls=calls)
    case = await opened(asked)
    assert (await asked.call(case, request())).text == "Yes."
    await asked.found(case, "{}")
    calls.is_down = False
    [row] = await calls.all()
    assert (row.state, row.cost > Decimal("0.01")) == (CallState.ASKED, True)


async def test_no_consultation_begins_before_its_number_is_known() -> None:
    calls = KeptCalls()
    asked = counsel(calls=calls)
    calls.is_down = True
    with pytest.raises(Unreachable):
        await opened(asked)
    calls.is_down = False
    assert (await opened(asked)).number == 1
    calls.is_down = True
    assert (await opened(asked)).number == 2


async def test_the_model_is_closed_with_its_counsel() -> None:
    model = PlayedModel()
    await counsel(model=model).close()
    await counsel().close()
    assert model.closed
