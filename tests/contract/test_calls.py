"""Every promise of the port for calls of models, kept by each store."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.calls import Calls, CallState, DayCost, ModelCall, Purpose
from engine.candle import DAY_MS
from engine.errors import LostLock
from engine.order import Reason, Side
from engine.ports import Commit, Store
from engine.signal import Action, Decision
from engine.store.memory import MemoryStore
from tests.contract.conftest import Opened

D = Decimal
TODAY = 1_700_006_400_000
assert TODAY % DAY_MS == 0
FLASH, PRO = "gemini-2.5-flash", "gemini-2.5-pro"


def call(number: int, consultation: int = 0, **changes: Any) -> ModelCall:
    """A call that was answered; without a consultation it is the first of its own."""
    made = ModelCall(
        call_id=number,
        consultation=consultation or number,
        books="paper-sim42",
        ts=TODAY + number,
        purpose=Purpose.QUESTION,
        subject="why are we short ETH?",
        asked_by="telegram:7 (ann)",
        model=FLASH,
        prompt=f"prompt {number}",
        state=CallState.ANSWERED,
        answer="because",
        result='{"text": "because"}',
        prompt_tokens=1_000,
        output_tokens=200,
        cost=D("0.0008"),
        latency_ms=1_250,
    )
    return replace(made, **changes)


@pytest.fixture
def calls(store: Store) -> Calls:
    return store.calls


async def put(calls: Calls, *made: ModelCall) -> None:
    for each in made:
        await calls.put(each)


def numbers(found: list[ModelCall]) -> list[int]:
    return [each.call_id for each in found]


# -- keeping -----------------------------------------------------------------------------


async def test_nothing_is_known_at_first(calls: Calls) -> None:
    assert await calls.last_id() == 0
    assert await calls.of(1) == []
    assert await calls.last(10) == []
    assert await calls.spent(0) == 0
    assert await calls.costs(0) == []
    await calls.prune(TODAY)


async def test_a_call_comes_back_as_it_was_stored(calls: Calls) -> None:
    whole = call(
        7,
        cost=D("0.000000123456789"),
        failure="The answer was blocked.",
        prompt="<b>@everyone</b>\n\t\u202eΩ 🟢 'quoted' %s",
        prompt_tokens=2**40,
    )
    bare = ModelCall(8, 8, "live-bybit", TODAY, Purpose.ANALYSIS, "BTCUSDT", "desk", PRO, "look")
    await put(calls, whole, bare)
    assert await calls.of(7) == [whole]
    assert await calls.of(8) == [bare]


async def test_a_call_takes_the_place_of_the_row_with_its_number(calls: Calls) -> None:
    asked = call(3, state=CallState.ASKED, answer="", result="", cost=D("0.5"))
    await put(calls, asked, call(4))
    await put(calls, call(3))
    assert await calls.of(3) == [call(3)]
    assert await calls.spent(0) == D("0.0016")


async def test_what_no_database_can_keep_is_marked(calls: Calls) -> None:
    await put(calls, call(1, answer="a\x00b\ud800c", subject="\x00", model="m\udfff"))
    [found] = await calls.of(1)
    assert (found.answer, found.subject, found.model) == ("a\ufffdb\ufffdc", "\ufffd", "m\ufffd")


# -- finding -----------------------------------------------------------------------------


async def test_the_calls_of_a_consultation_come_in_their_order(calls: Calls) -> None:
    await put(calls, call(5, 2), call(2), call(3), call(9, 2), call(4, 3))
    assert numbers(await calls.of(2)) == [2, 5, 9]
    assert numbers(await calls.of(3)) == [3, 4]
    assert await calls.of(5) == []
    assert await calls.last_id() == 9


async def test_the_last_consultations_come_newest_first_by_their_first_call(calls: Calls) -> None:
    await put(calls, *(call(n) for n in (1, 2, 4, 6)), call(3, 2), call(5, 1))
    assert numbers(await calls.last(10)) == [6, 4, 2, 1]
    assert numbers(await calls.last(2)) == [6, 4]


async def test_the_last_of_a_purpose_are_of_that_purpose(calls: Calls) -> None:
    purposes = [Purpose.ANALYSIS, Purpose.QUESTION, Purpose.ANALYSIS, Purpose.BRIEFING]
    await put(calls, *(call(n, purpose=each) for n, each in enumerate(purposes, start=1)))
    assert numbers(await calls.last(10, Purpose.ANALYSIS)) == [3, 1]
    assert numbers(await calls.last(1, Purpose.ANALYSIS)) == [3]
    assert await calls.last(10, Purpose.AUTOPSY) == []


# -- summing -----------------------------------------------------------------------------


async def test_all_that_was_spent_counts_whatever_books_and_state(calls: Calls) -> None:
    await put(
        calls,
        call(1, ts=TODAY - 1, cost=D(8)),
        call(2, ts=TODAY, books="live-bybit", cost=D("0.1")),
        call(3, ts=TODAY + 1, state=CallState.ASKED, cost=D("0.2")),
        call(4, ts=TODAY + 2, state=CallState.FAILED, cost=D("0.0001")),
        call(5, ts=TODAY + 3, state=CallState.COMPUTED, cost=D(0)),
    )
    assert await calls.spent(TODAY) == D("0.3001")
    assert await calls.spent(TODAY - 1) == D("8.3001")
    assert await calls.spent(TODAY + 3) == 0


async def test_a_sum_is_exact(calls: Calls) -> None:
    await put(calls, *(call(n, cost=D("0.1")) for n in range(1, 11)))
    await put(calls, call(11, cost=D("1E-12")))
    assert await calls.spent(0) == D("1.000000000001")


async def test_costs_are_summed_by_day_purpose_and_model(calls: Calls) -> None:
    ask, analyze = Purpose.QUESTION, Purpose.ANALYSIS
    await put(
        calls,
        call(1, ts=TODAY - 1, cost=D("0.5")),
        call(2, ts=TODAY, purpose=analyze, model=PRO),
        call(3, ts=TODAY + DAY_MS - 1, state=CallState.FAILED, cost=D(0), output_tokens=0),
        call(4, ts=TODAY + 5, books="live-bybit"),
        call(5, ts=TODAY + 6, state=CallState.ASKED, prompt_tokens=0, output_tokens=0),
        call(6, ts=TODAY + 7, state=CallState.COMPUTED, model="indicators", cost=D(0)),
        call(7, ts=TODAY + DAY_MS),
    )
    yesterday, tomorrow = TODAY - DAY_MS, TODAY + DAY_MS
    assert await calls.costs(TODAY - 1) == [
        DayCost(tomorrow, ask, FLASH, 1, 0, 1_000, 200, D("0.0008")),
        DayCost(TODAY, analyze, PRO, 1, 0, 1_000, 200, D("0.0008")),
        DayCost(TODAY, ask, FLASH, 3, 1, 2_000, 200, D("0.0016")),
        DayCost(yesterday, ask, FLASH, 1, 0, 1_000, 200, D("0.5")),
    ]
    assert [each.day for each in await calls.costs(TODAY + DAY_MS)] == [tomorrow]


# -- forgetting --------------------------------------------------------------------------


async def test_what_was_said_is_forgotten_after_its_time_and_its_cost_is_not(calls: Calls) -> None:
    old, young = call(1, ts=TODAY - 1, failure="It was cut off."), call(2, 1, ts=TODAY)
    await put(calls, old, young)
    before = await calls.costs(0)
    await calls.prune(TODAY)
    await calls.prune(TODAY)
    empty = replace(old, subject="", prompt="", answer="", result="", failure="")
    assert await calls.of(1) == [empty, young]
    assert await calls.last(10) == [empty]
    assert await calls.costs(0) == before
    assert await calls.spent(0) == D("0.0016")


async def test_the_number_of_a_forgotten_call_is_not_given_again(calls: Calls) -> None:
    await put(calls, call(41))
    await calls.prune(TODAY + DAY_MS)
    assert await calls.last_id() == 41


# -- the next process, and two at once ---------------------------------------------------


async def test_all_of_it_is_there_after_a_restart(opened: Opened) -> None:
    await put(opened.store.calls, call(1), call(2, 1))
    calls = (await opened.restart()).calls
    assert await calls.of(1) == [call(1), call(2, 1)]
    assert await calls.last_id() == 2


WRITES: dict[str, Callable[[Calls], Awaitable[object]]] = {
    "put": lambda calls: calls.put(call(1)),
    "prune": lambda calls: calls.prune(TODAY + DAY_MS),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_process_whose_epoch_is_over_writes_nothing_and_still_reads(
    opened: Opened, write: Callable[[Calls], Awaitable[object]]
) -> None:
    if opened.open is None:
        pytest.skip("memory has one process")
    old, new = opened.store, await opened.open()
    try:
        await old.take_epoch("old")
        await put(old.calls, call(1, cost=D(5)))
        await new.take_epoch("new")
        with pytest.raises(LostLock, match="new trades this account now"):
            await write(old.calls)
        assert await old.calls.of(1) == [call(1, cost=D(5))]
        await write(new.calls)
    finally:
        await new.close()


async def test_calls_of_one_moment_are_all_kept(calls: Calls) -> None:
    await asyncio.gather(*(calls.put(call(n)) for n in range(1, 21)))
    assert numbers(await calls.last(100)) == list(range(20, 0, -1))
    assert await calls.spent(0) == D("0.0160")


# -- what used it ------------------------------------------------------------------------


def decision(number: int, consultation: int, account: str = "a") -> Decision:
    return Decision(
        number, account, "b", "BTCUSDT", TODAY + number, Action.ENTRY, Side.BUY, Reason.EMA_CROSS,
        100.5, False, "model bias", "it leans down", None, 0.8, consultation, "would have bought 1",
    )  # fmt: skip


async def test_the_decisions_under_a_consultation_are_found_by_its_number(store: Store) -> None:
    made = [decision(1, 0), decision(2, 17), decision(3, 17, "other"), decision(4, 18)]
    await store.commit(Commit(await store.take_epoch("test"), facts=[*made]))
    assert await store.recent(Decision, consultation=17) == made[1:3]
    assert await store.recent(Decision, consultation=17, account="a") == made[1:2]
    assert await store.recent(Decision, consultation=99) == []
    assert await store.recent(Decision) == made


# -- any order of things -----------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(
        st.just("put"),
        st.builds(
            call,
            st.integers(1, 6),
            st.integers(0, 3),
            ts=st.integers(TODAY - 2, TODAY + DAY_MS),
            state=st.sampled_from(CallState),
            purpose=st.sampled_from(Purpose),
            cost=st.decimals(0, 9, places=6),
        ),
    ),
    st.tuples(st.just("prune"), st.integers(TODAY - 2, TODAY + DAY_MS)),
)


async def all_of(calls: Calls) -> list[Any]:
    return [
        [await calls.of(number) for number in range(1, 7)],
        await calls.last(3),
        [await calls.last(9, purpose) for purpose in Purpose],
        [await calls.spent(since) for since in (0, TODAY, TODAY + DAY_MS)],
        await calls.costs(TODAY),
    ]


async def compare(stores: list[Store], steps: list[tuple[str, Any]]) -> None:
    for name, given_ in steps:
        for store in stores:
            await getattr(store.calls, name)(given_)
    first, second = [await all_of(store.calls) for store in stores]
    assert first == second


@pytest.mark.parametrize("opened", ["sqlite"], indirect=True)
async def test_a_database_does_what_memory_does(opened: Opened) -> None:
    loop = asyncio.get_running_loop()
    memory = MemoryStore()

    # Both go on from where the last example left them.
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(STEPS, max_size=12))
    def check(steps: list[tuple[str, Any]]) -> None:
        run = asyncio.run_coroutine_threadsafe(compare([memory, opened.store], steps), loop)
        run.result(30)

    await asyncio.to_thread(check)
