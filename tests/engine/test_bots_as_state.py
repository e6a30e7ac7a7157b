"""Bots that people add, remove and switch off: what is kept of them, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from engine.bot import BotPlan, BotRow, BotStatus
from engine.candle import HOUR_MS
from engine.core import Core
from engine.effect import (
    CloseAccount,
    Done,
    Effect,
    NotDone,
    NoticeKind,
    OpenAccount,
    Proposed,
    RecallCandles,
    Submit,
)
from engine.event import CandlesRecalled, DeskStarted
from engine.instruction import AddBot, Instruction, PauseBot, RemoveBot, SetSides, TurnOff, TurnOn
from engine.memory import added_bots
from engine.people import Role
from engine.plans import BOTS_MAX, made, next_id
from engine.proposal import Change, Shown, shown_of, shown_text
from engine.runtime import in_parts
from engine.signal import Sides
from engine.strategies import STRATEGIES
from tests.askers import asking, person
from tests.engine.conftest import (
    BAR,
    BOT,
    BTC,
    BUY_NOW,
    SELL_NOW,
    T0,
    D,
    bar,
    bot,
    closed,
    instrument,
    puppet,
)
from tests.engine.cores import filled, of
from tests.engine.office import EVERYBODY, TOM, Office

ETH = "ETHUSDT"
BOOKS = "paper-test"
FRAGILE = puppet(name="fragile", warm_up=3, step=lambda params, state, window, bar: 1 / 0)
KNOWN = {
    "puppet": puppet(), "slow": puppet(name="slow", warm_up=3), "fragile": FRAGILE, **STRATEGIES,
}  # fmt: skip
PLAN = BotPlan("slow", (ETH,), D(5_000))


class Yard(Office):
    """An office that knows strategies, and starts again as a process does."""

    def __post_init__(self) -> None:
        self.rules |= {symbol: instrument(symbol) for symbol in (BTC, ETH)}
        super().__post_init__()

    def _opened(self) -> Core:
        added = added_bots(self.rows, BOOKS)
        others = [
            made(bot_id, plan, KNOWN, BOOKS)
            for bot_id, plan in added.items()
            if plan.strategy in KNOWN
        ]
        bots = [*self.bots, *others]
        return Core(bots, self.rules, BAR, "paper", self.market, self.policy, KNOWN)

    def carry(self, instruction: Instruction) -> list[Effect]:
        """Ask for something and confirm it; what it calls for."""
        done = self.press(self.propose(instruction), asking(TOM))
        assert isinstance(done, Done), done
        return self.effects

    def add(self, plan: BotPlan = PLAN) -> list[Effect]:
        return self.carry(AddBot(plan))

    @property
    def ids(self) -> list[str]:
        return [each.bot_id for each in self.core.view().bots]

    def bars(self, bot_id: str, symbol: str = ETH) -> int:
        """How many bars a bot still needs."""
        [found] = [each for each in self.core.view().bots if each.bot_id == bot_id]
        return found.missing.get(symbol, 0)


@pytest.fixture
def yard() -> Yard:
    return Yard()


def begun() -> Yard:
    """A desk whose market has told of both symbols for a while."""
    desk = Yard()
    for index in range(5):
        for symbol in (BTC, ETH):
            desk.candle(index, symbol=symbol)
    return desk


def told(
    bot_id: str, first: int, count: int, complete: bool = True, wish: float = 0
) -> CandlesRecalled:
    """Bars of before, the last of which closed when bar `first + count` opened."""
    candles = [closed(bar(first + i, 100, volume=wish), ETH) for i in range(count)]
    return CandlesRecalled(bot_id, ETH, [replace(each, late=True) for each in candles], complete)


# -- adding ------------------------------------------------------------------------------


def test_a_bot_is_added_on_an_account_of_its_own_once_somebody_has_confirmed_it(yard: Yard) -> None:
    proposal = yard.propose(AddBot(PLAN))
    assert yard.ids == [BOT]
    assert proposal.title == "Add a bot: slow on ETHUSDT"

    yard.press(proposal, asking(TOM))

    assert yard.ids == [BOT, "slow_001"]
    account = "paper-test-slow_001"
    assert of(OpenAccount, yard.effects) == [OpenAccount(account, D(5_000), (ETH,))]
    [row] = of(BotRow, yard.effects)
    assert (row.bot_id, row.account, row.symbols, row.status, row.initial_capital) == (
        "slow_001", account, ETH, BotStatus.ACTIVE, D(5_000),
    )  # fmt: skip
    assert [notice.text for notice in yard.told(NoticeKind.DESK_CHANGED)] == [
        "tom added slow_001: slow on ETHUSDT."
    ]


def test_its_card_shows_what_it_would_be_and_may_lose(yard: Yard) -> None:
    plan = BotPlan(
        "shortseller", (BTC, ETH), D(5_000), values=(("leverage", 3.0), ("stop_loss", 0.02))
    )
    shown = shown_of(yard.propose(AddBot(plan)))
    assert {each.name: (each.before, each.after) for each in shown.changes} == {
        "bots of shortseller": ("", "shortseller_002"),
        "symbols": ("", "BTCUSDT, ETHUSDT"),
        "account": ("", "paper-test-shortseller_002"),
        "capital": ("", "5000 USDT"),
        "bars": ("", "5m"),
        "size": ("", "5% of equity as margin"),
        "stop": ("", "2%"),
        "leverage": ("10", "3"),
        "stop_loss": ("1.5%", "2%"),
    }
    assert len(shown.changes) == 9
    # 5 % of 5,000 three times is 750: 2 % of it and two fees of 0.1 %, in each of two symbols.
    assert shown.risk == (
        "When every position runs into its stop, about 33.00 USDT with fees; at worst all of its "
        "5000 USDT."
    )


BAD_PLANS = {
    "strategy": (replace(PLAN, strategy="magic"), "strategy: 'magic' is not valid. Allowed: pupp"),
    "symbol": (replace(PLAN, symbols=("DOGE",)), "symbol: 'DOGE' is not valid. Allowed: BTCUSDT, "),
    "none": (replace(PLAN, symbols=()), "symbols: '' is not valid. Allowed: different symbols"),
    "twice": (replace(PLAN, symbols=(ETH, ETH)), "symbols: 'ETHUSDT, ETHUSDT' is not valid."),
    "poor": (replace(PLAN, capital=D("0.5")), "capital: '0.5' is not valid. Allowed: 1 to "),
    "endless": (replace(PLAN, capital=D("inf")), "capital: 'Infinity' is not valid."),
    "timeframe": (replace(PLAN, timeframe=HOUR_MS), "timeframe: '1h' is not valid. Allowed: 5m."),
    "value": (replace(PLAN, values=(("warm_up", 9_999.0),)), "warm_up: 9999.0 is not valid."),
    "parameter": (replace(PLAN, values=(("luck", 1.0),)), "parameter: 'luck' is not valid."),
}  # fmt: skip


@pytest.mark.parametrize(("plan", "said"), BAD_PLANS.values(), ids=BAD_PLANS)
def test_what_can_not_run_is_refused_with_what_is_allowed(
    yard: Yard, plan: BotPlan, said: str
) -> None:
    result = yard.ask(AddBot(plan), asking(TOM))
    assert isinstance(result, NotDone)
    assert result.reason.startswith(said)
    assert yard.core.view().proposals == ()


def test_a_strategy_whose_bars_the_market_does_not_have_is_refused() -> None:
    desk = Yard()
    KNOWN["minutes"] = puppet(name="minutes", timeframe=60_000)
    try:
        result = desk.ask(AddBot(replace(PLAN, strategy="minutes")))
    finally:
        del KNOWN["minutes"]
    assert result == NotDone("minutes needs candles of 1m, this market has 5m.")


def test_what_changed_since_it_was_shown_makes_it_void(yard: Yard) -> None:
    first, second = yard.propose(AddBot(PLAN)), yard.propose(AddBot(replace(PLAN, capital=D(9))))
    yard.press(first, asking(TOM))

    result = yard.press(second, asking(TOM))

    assert isinstance(result, NotDone)
    assert result.reason.endswith("void: bots of slow was '', it is 'slow_001' now.")
    assert yard.ids == [BOT, "slow_001"]


def test_a_card_that_another_version_made_with_other_lines_is_void(yard: Yard) -> None:
    yard.propose(AddBot(PLAN))
    office = json.loads(yard.rows["office"].body)
    [waiting] = office["proposals"].values()
    waiting["shown"] = shown_text(Shown((Change("bots of slow", "", "slow_001"),)))
    yard.rows["office"] = replace(yard.rows["office"], body=json.dumps(office))
    yard.restart()

    [proposal] = yard.core.view().proposals
    result = yard.press(proposal, asking(TOM))

    assert isinstance(result, NotDone)
    assert result.reason.endswith("is void: it would change something else now.")
    assert yard.ids == [BOT]


def test_there_are_no_more_bots_than_a_desk_can_carry() -> None:
    many = [bot(bot_id=f"b_{number}") for number in range(BOTS_MAX)]
    result = Yard(bots=many).ask(AddBot(PLAN))
    assert result == NotDone(f"There are {BOTS_MAX} bots already. Remove one first.")


@pytest.mark.parametrize(
    ("strategy", "taken", "given"),
    [
        ("rsi", [], "rsi_001"),
        ("rsi", ["rsi_001", "rsi_003"], "rsi_002"),
        ("a_name_that_is_too_long", [], "a_name_that_is__001"),
        ("rsi", [f"rsi_{number:03}" for number in range(1, 1_000)], "rsi_1000"),
    ],
)
def test_an_id_is_the_next_that_is_free(strategy: str, taken: list[str], given: str) -> None:
    assert next_id(strategy, taken) == given
    assert len(given) <= 20


def test_whoever_is_bound_to_a_bot_adds_none() -> None:
    bound = person("bob", Role.TRADER, f"bot:{BOT}")
    desk = Yard(people=[*EVERYBODY, bound])
    for wanted in (AddBot(PLAN), SetSides(Sides.LONG_ONLY), TurnOff("puppet")):
        assert isinstance(desk.ask(wanted, asking(bound)), NotDone), wanted
    assert isinstance(desk.ask(TurnOff(BOT), asking(bound)), Done)


# -- warming up --------------------------------------------------------------------------


def test_it_asks_for_the_bars_it_needs_and_says_how_many_are_missing() -> None:
    desk = begun()
    effects = desk.add()
    # Three bars, and one that may have begun before them.
    assert of(RecallCandles, effects) == [RecallCandles("slow_001", ETH, T0 + 5 * BAR, 4)]
    assert desk.bars("slow_001") == 3

    desk.step(told("slow_001", 1, 4))

    assert desk.bars("slow_001") == 0


def test_where_the_market_has_told_nothing_yet_nothing_is_asked_for(yard: Yard) -> None:
    assert of(RecallCandles, yard.add()) == []
    for index in range(3):
        assert yard.bars("slow_001") == 3 - index
        yard.candle(index, symbol=ETH)
    assert yard.bars("slow_001") == 0


def test_what_the_strategy_wanted_in_the_past_is_not_done() -> None:
    desk = begun()
    desk.add()
    assert desk.step(told("slow_001", 0, 5, wish=BUY_NOW)) == []
    assert desk.core.view().positions == () and desk.core.unfinished() == []
    assert of(Submit, desk.candle(5, wish=BUY_NOW, symbol=ETH)) != []


def test_candles_that_close_meanwhile_are_kept_back_and_taken_after() -> None:
    desk = begun()
    desk.add(replace(PLAN, values=(("warm_up", 8.0),)))
    assert of(Submit, desk.candle(5, wish=SELL_NOW, symbol=ETH)) == []
    desk.step(told("slow_001", 0, 3, complete=False))
    assert desk.bars("slow_001") == 5
    desk.candle(6, symbol=ETH)

    desk.step(told("slow_001", 3, 2))

    # Three, two, and the two of meanwhile.
    assert desk.bars("slow_001") == 1
    desk.candle(7, symbol=ETH)
    assert desk.bars("slow_001") == 0


def test_a_bot_that_was_removed_meanwhile_takes_no_candles() -> None:
    desk = begun()
    desk.add()
    desk.carry(RemoveBot("slow_001"))
    assert desk.step(told("slow_001", 0, 5)) == []


@pytest.mark.parametrize("parts_told", [0, 1], ids=["none", "a part"])
def test_a_restart_in_the_middle_of_it_begins_it_again(parts_told: int) -> None:
    desk = begun()
    desk.add()
    desk.candle(5, symbol=ETH)
    for part in range(parts_told):
        desk.step(told("slow_001", part, 1, complete=False))

    desk.restart()

    [again] = desk.core.warm_ups()
    assert again == RecallCandles("slow_001", ETH, T0 + 6 * BAR, 4)
    desk.step(told("slow_001", 2, 4))
    assert desk.bars("slow_001") == 0


def test_a_bot_that_is_warm_asks_for_nothing_after_a_restart() -> None:
    desk = begun()
    desk.add()
    desk.step(told("slow_001", 1, 4))
    desk.candle(5, symbol=ETH)

    desk.restart()

    assert desk.core.warm_ups() == []
    assert desk.bars("slow_001") == 0


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (1, [1]), (2, [2]), (5, [2, 2, 1])])
def test_candles_of_before_come_in_parts_the_last_of_which_is_complete(
    count: int, sizes: list[int]
) -> None:
    whole = told("slow_001", 0, count)
    parts = in_parts(whole, 2)
    assert [len(part.candles) for part in parts] == sizes
    assert [part.complete for part in parts] == [False] * (len(sizes) - 1) + [True]
    assert [each for part in parts for each in part.candles] == whole.candles


# -- removing ----------------------------------------------------------------------------


def test_a_bot_of_the_settings_is_not_removed_from_chat(yard: Yard) -> None:
    result = yard.ask(RemoveBot(BOT))
    assert result == NotDone(
        f"{BOT} stands in countersign.toml: it is removed there, for a restart."
    )


def test_a_bot_that_holds_something_or_is_about_to_is_not_removed() -> None:
    desk = begun()
    desk.add(replace(PLAN, strategy="puppet"))
    desk.step(told("puppet_001", 1, 4))
    waiting = desk.propose(RemoveBot("puppet_001"))
    [submit] = of(Submit, desk.candle(5, wish=SELL_NOW, symbol=ETH))

    assert desk.ask(RemoveBot("puppet_001")) == NotDone(
        "puppet_001 has an order on its way in ETHUSDT."
    )
    filled(desk.core, submit.order)
    assert desk.ask(RemoveBot("puppet_001")) == NotDone(
        "puppet_001 holds ETHUSDT. First say /close ETHUSDT bot=puppet_001."
    )
    assert isinstance(desk.press(waiting, asking(TOM)), NotDone)
    assert desk.ids == [BOT, "puppet_001"]


def test_a_removed_bot_is_gone_its_row_says_so_and_its_id_is_never_given_again(yard: Yard) -> None:
    yard.add()
    yard.ask(PauseBot("slow_001"))
    yard.ask(TurnOff("slow_001"))

    effects = yard.carry(RemoveBot("slow_001"))

    assert of(CloseAccount, effects) == [CloseAccount("paper-test-slow_001")]
    assert [row.status for row in of(BotRow, effects)] == [BotStatus.REMOVED]
    assert yard.ids == [BOT]
    assert yard.core.view().disabled == {}
    yard.add()
    yard.restart()
    assert yard.ids == [BOT, "slow_002"]
    assert yard.core.view().bots[1].status is BotStatus.ACTIVE


def test_a_bot_that_fails_on_the_candles_of_before_is_switched_off() -> None:
    desk = begun()
    desk.add(replace(PLAN, strategy="fragile"))
    desk.step(told("fragile_001", 1, 4))
    assert desk.core.view().disabled == {
        "fragile_001:ETHUSDT": "its own fault (ZeroDivisionError: division by zero)"
    }
    [*_, notice] = desk.told(NoticeKind.DESK_CHANGED)
    assert notice.text.startswith("fragile_001 on ETHUSDT is switched off: its strategy failed")


# -- restarts ----------------------------------------------------------------------------


def test_an_added_bot_is_there_after_a_restart_with_all_that_was_set(yard: Yard) -> None:
    yard.add(replace(PLAN, values=(("leverage", 4.0), ("max_age", float(HOUR_MS)))))
    yard.ask(TurnOff("slow", ETH), asking(TOM))
    yard.candle(0, symbol=ETH)
    before = yard.core.view()

    yard.restart()

    assert yard.core.view() == before
    [_, added] = before.bots
    assert added.max_ages == {ETH: HOUR_MS}
    assert (added.tuned, added.added, before.disabled) == (
        {"leverage": "4", "max_age": "1h"}, True, {"slow_001:ETHUSDT": "tom"},
    )  # fmt: skip


def test_books_of_a_desk_that_knew_no_added_bots_are_read_and_their_ids_kept(yard: Yard) -> None:
    yard.add()
    yard.carry(RemoveBot("slow_001"))
    key = "desk:paper-test"
    body = yard.rows[key].body.replace('"added":{},', "")
    start = body.index('"bot_ids"')
    body = body[:start] + body[body.index("]", start) + 2 :]
    assert "added" not in body and "bot_ids" not in body
    yard.rows[key] = replace(yard.rows[key], body=body)

    yard.restart()

    assert yard.ids == [BOT]
    yard.add()
    assert yard.ids == [BOT, "slow_002"]


def test_a_bot_whose_strategy_is_gone_keeps_its_books_and_comes_back_with_it(yard: Yard) -> None:
    yard.add()
    slow = KNOWN.pop("slow")
    try:
        yard.restart()
        yard.step(DeskStarted("1", 2, T0))
        assert yard.ids == [BOT]
        assert list(added_bots(yard.rows, BOOKS)) == ["slow_001"]
    finally:
        KNOWN["slow"] = slow
    yard.restart()
    assert yard.ids == [BOT, "slow_001"]


MOVES: list[Callable[[Random, Yard], Instruction]] = [
    lambda rng, yard: AddBot(
        BotPlan(rng.choice(["puppet", "slow"]), (rng.choice([BTC, ETH]),), D(rng.randint(1, 9)))
    ),
    lambda rng, yard: RemoveBot(rng.choice(yard.ids)),
    lambda rng, yard: TurnOff(rng.choice([*yard.ids, "slow"]), rng.choice(["", BTC, ETH])),
    lambda rng, yard: TurnOn(rng.choice([*yard.ids, "slow"]), rng.choice(["", BTC, ETH])),
    lambda rng, yard: SetSides(rng.choice(list(Sides)), rng.choice([0, HOUR_MS])),
    lambda rng, yard: PauseBot(rng.choice(yard.ids)),
]


def walk(seed: int, restarts: float = 0.0) -> Yard:
    """A desk that was told things at random, restarted so often in between."""
    rng, fate, yard = Random(seed), Random(seed), Yard()
    for index in range(40):
        result = yard.ask(rng.choice(MOVES)(rng, yard), asking(TOM))
        if isinstance(result, Proposed) and rng.random() < 0.8:
            yard.press(result.proposal, asking(TOM))
        recall(yard, yard.effects)
        if fate.random() < restarts:
            yard.restart()
            recall(yard, yard.core.warm_ups())
        yard.candle(index, symbol=rng.choice([BTC, ETH]))
    return yard


def recall(yard: Yard, effects: list[Effect]) -> None:
    """Say of what is asked for that there is nothing."""
    for asked in of(RecallCandles, effects):
        yard.step(CandlesRecalled(asked.bot_id, asked.symbol, [], complete=True))


@pytest.mark.parametrize("seed", range(12))
def test_the_same_commands_give_the_same_desk_however_often_it_is_restarted(seed: int) -> None:
    straight, again, broken = walk(seed), walk(seed), walk(seed, restarts=0.5)
    assert straight.rows == again.rows
    assert broken.core.view() == straight.core.view()
    view = straight.core.view()
    known = {f"{each.bot_id}:{symbol}" for each in view.bots for symbol in each.symbols}
    assert set(view.disabled) <= known
    assert len({each.account for each in view.accounts}) == len(view.bots) > 1


# -- what may be entered -----------------------------------------------------------------


def test_a_strategy_s_name_switches_off_all_its_bots_and_a_symbol_only_that(yard: Yard) -> None:
    yard.add(replace(PLAN, symbols=(BTC, ETH)))
    yard.add(replace(PLAN, symbols=(ETH,)))
    assert yard.ask(TurnOff("slow", ETH), asking(TOM)) == Done(
        "slow on ETHUSDT is off: no new positions. Open ones are still managed."
    )
    assert yard.core.view().disabled == {"slow_001:ETHUSDT": "tom", "slow_002:ETHUSDT": "tom"}
    yard.ask(TurnOff("slow_001"), asking(TOM))
    assert set(yard.core.view().disabled) == {
        "slow_001:ETHUSDT", "slow_002:ETHUSDT", "slow_001:BTCUSDT",
    }  # fmt: skip


def test_what_is_off_enters_nothing_until_somebody_has_confirmed_that_it_may(yard: Yard) -> None:
    yard.ask(TurnOff(BOT, BTC), asking(TOM))
    assert of(Submit, yard.candle(0, wish=SELL_NOW)) == []
    [why] = yard.core.why(BTC)
    assert [gate.detail for gate in why.gates if not gate.passed] == ["switched off by tom"]

    yard.carry(TurnOn(BOT))

    assert yard.core.view().disabled == {}
    assert of(Submit, yard.candle(1, wish=SELL_NOW)) != []


def test_switching_off_again_voids_a_waiting_switching_on(yard: Yard) -> None:
    yard.ask(TurnOff(BOT))
    waiting = yard.propose(TurnOn(BOT))
    assert yard.ask(TurnOff(BOT)) == Done(f"{BOT} is off already.")
    assert isinstance(yard.press(waiting, asking(TOM)), NotDone)
    assert set(yard.core.view().disabled) == {f"{BOT}:BTCUSDT"}


def test_what_was_switched_off_since_is_not_switched_on_by_an_older_word(yard: Yard) -> None:
    yard.add(replace(PLAN, strategy="puppet"))
    yard.ask(TurnOff(BOT))
    waiting = yard.propose(TurnOn("puppet"))
    yard.ask(TurnOff("puppet_001"))
    assert isinstance(yard.press(waiting, asking(TOM)), NotDone)
    assert len(yard.core.view().disabled) == 2


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (TurnOff("nobody"), f"bot: 'nobody' is not valid. Allowed: {BOT}, puppet."),
        (TurnOff(BOT, ETH), "symbol: 'ETHUSDT' is not valid. Allowed: BTCUSDT."),
        (TurnOn(BOT), f"{BOT} is on already."),
        (SetSides(Sides.BOTH), "It is both sides already."),
        (
            SetSides(Sides.BOTH, HOUR_MS),
            "lasts: '1h' is not valid. Allowed: at most 366d, and none",
        ),
        (SetSides(Sides.LONG_ONLY, -1), "lasts: "),
        (RemoveBot("nobody"), "There is no bot 'nobody'."),
    ],
)
def test_what_would_do_nothing_is_refused(yard: Yard, wanted: Instruction, said: str) -> None:
    result = yard.ask(wanted)
    assert isinstance(result, NotDone)
    assert result.reason.startswith(said)


def test_a_side_is_entered_no_more_until_its_time_is_over(yard: Yard) -> None:
    yard.candle(0)
    proposal = yard.propose(SetSides(Sides.LONG_ONLY, 2 * BAR))
    assert [(each.before, each.after) for each in shown_of(proposal).changes] == [
        ("both sides", "long only for 10m")
    ]
    yard.press(proposal, asking(TOM))
    assert yard.core.view().sides == "long only until 2025-01-01 00:15 UTC"
    assert of(Submit, yard.candle(1, wish=SELL_NOW)) == []
    yard.restart()
    assert yard.core.view().sides == "long only until 2025-01-01 00:15 UTC"

    effects = yard.candle(2, wish=SELL_NOW)

    assert of(Submit, effects) != []
    assert yard.core.view().sides == "both sides"
    assert [notice.text for notice in yard.told(NoticeKind.DESK_CHANGED)] == [
        "The time of long only is over: both sides are entered again."
    ]
