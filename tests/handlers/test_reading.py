"""What a question may look at and draft: as far as whoever asks, audited, and nothing that acts."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from engine.desk import Desk
from engine.errors import Refused
from engine.mail import ChatKind
from engine.people import PrincipalKind, Role
from handlers import COMMANDS
from handlers.command import Argument, Command, Kind
from handlers.dispatch import dispatch
from handlers.reading import SAYS_NOTHING, DeskReading
from tests.clock import turn
from tests.handlers.desks import BOT, PEOPLE, context, propose, say

READ = [each for each in COMMANDS if each.is_for_models]
NOT_READ = [each for each in COMMANDS if not each.is_for_models]
# What only looks by its class, and is not for models all the same.
STARTS = {
    "wait", "preview", "reconcile", "backtest", "backtest cancel", "compare", "tune run",
    "tune cancel", "tune check", "schedule run", "ask", "analyze", "autopsy", "suggest", "briefing",
}  # fmt: skip
# What arguments may be that can't be listed.
SAMPLES = {
    "question": "why", "command": "why", "number": "1", "order": "P00000001", "snapshot": "1",
    "days": "3", "count": "3", "limit": "3", "amount": "100", "price": "1", "code": "123456",
    "proposal": "1", "person": "tom", "schedule": "1", "alert": "1", "when": "daily 00:00",
    "study": "1", "symbols": "BTC", "value": "1", "name": "leverage", "trade": "T1",
}  # fmt: skip


def reading(desk: Desk, role: Role = Role.ADMIN, **where: Any) -> DeskReading:
    return DeskReading(replace(context(desk, role, in_chat=True), **where))


async def audited(desk: Desk, words: str) -> list[str]:
    """The audit's rows that hold some words, once what was noted so far is stored."""
    desk.runtime.note_command("test", "the end", "")
    told: list[str] = []
    while not any("the end" in line for line in told):
        await turn()
        rows = await desk.store.audit_rows(0, 10_000)
        told = [f"{row.actor} {row.action} {row.detail}" for row in rows]
    return [line for line in told if words in line]


def typed(target: Command, desk: Desk) -> str:
    """A command as it could be typed, with what it needs."""
    words = [_word(each, desk) for each in target.arguments if each.required]
    return " ".join([f"/{target.name}", *words])


def _word(argument: Argument, desk: Desk) -> str:
    choices = [*argument.type.words, *argument.type.choices(desk)]
    return choices[0] if choices else SAMPLES.get(argument.name, "1")


# -- looking -----------------------------------------------------------------------------


def test_what_starts_something_is_not_for_models():
    assert {each.name for each in NOT_READ if each.kind is Kind.READ} == STARTS


@pytest.mark.parametrize("target", NOT_READ, ids=lambda each: each.name)
async def test_t10_no_model_says_what_acts(empty_desk, target):
    """Refused before its handler runs, and in the audit under the name of whoever asked."""
    ran = []

    async def handler(context: Any, **arguments: Any) -> Any:
        ran.append(target.name)

    commands = tuple(replace(each, handler=handler) for each in COMMANDS)
    asked = replace(context(empty_desk, in_chat=True), commands=commands)
    line = typed(target, empty_desk)
    with pytest.raises(Refused, match="is not for a model, which has no hands"):
        await DeskReading(asked).look(line)
    [noted] = await audited(empty_desk, "refused to the model")
    assert noted.startswith(f"telegram:7 (ann) command /{target.name}")
    model = replace(asked, principal=replace(asked.principal, kind=PrincipalKind.MODEL))
    assert not (await dispatch(model, target, {})).ok
    assert ran == []


class Tripwire:
    """Somebody whom only looks may reach."""

    def __init__(self, behind: object, *looks: str) -> None:
        self._behind = behind
        self._looks = looks

    def __getattr__(self, name: str) -> Any:
        assert name in self._looks, f"{name} is no look"
        return getattr(self._behind, name)


@dataclass(frozen=True)
class LookedAt(Desk):
    """A desk that only looks may reach."""

    async def ask(self, *_: Any) -> Any:
        raise AssertionError("an instruction")

    async def survey(self) -> None:
        raise AssertionError("a survey")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMIN])
async def test_what_is_for_models_only_looks(desk, role):
    guarded = {
        **vars(desk),
        "studies": Tripwire(desk.studies, "numbers", "study", "finding", "report", "ahead"),
        "tuner": Tripwire(desk.tuner, "open", "study", "compared"),
        "switch": Tripwire(desk.switch, "latch", "why"),
        "advisor": Tripwire(desk.advisor, "status", "spending", "consultation"),
    }
    looked = reading(LookedAt(**guarded), role)
    answered = 0
    for target in READ:
        try:
            answered += bool(await looked.look(typed(target, desk)))
        except Refused as error:
            assert "that is our fault" not in str(error)
    assert answered > 35


async def test_a_look_is_answered_in_words_and_audited(desk):
    told = await reading(desk).look("/why symbol=BTCUSDT")
    assert told.startswith(f"{BOT} on BTCUSDT. Holds a short of ")
    assert await audited(desk, "read for the model") == [
        "telegram:7 (ann) command /why symbol=BTCUSDT: read for the model"
    ]


@pytest.mark.parametrize("line", ["why BTC", " /why BTC ", "/why\nBTC"])
async def test_a_line_is_read_as_typed(desk, line):
    assert f"{BOT} on BTCUSDT" in await reading(desk).look(line)


async def test_words_are_no_question_to_another_model(empty_desk):
    with pytest.raises(Refused, match="There is no command /tell"):
        await reading(empty_desk).look("tell me a story about the desk")


@pytest.mark.parametrize("line", ["/audit", "/settings", "/people", "/outbox"])
async def test_reading_goes_as_far_as_the_asker(empty_desk, line):
    with pytest.raises(Refused, match="needs the role admin"):
        await reading(empty_desk, Role.TRADER).look(line)
    assert await reading(empty_desk, Role.ADMIN).look(line)
    names = {tool.name for tool in reading(empty_desk, Role.TRADER).tools()}
    assert line.removeprefix("/") not in names


async def test_in_a_group_it_is_told_what_every_viewer_may_see(empty_desk):
    group = reading(empty_desk, Role.ADMIN, chat_kind=ChatKind.GROUP)
    with pytest.raises(Refused, match="needs the role admin"):
        await group.look("/people")
    assert {each.name for each in group.tools()} == {
        each.name for each in reading(empty_desk, Role.VIEWER).tools()
    }


async def test_the_tools_are_few_and_say_what_they_take(desk):
    tools = {tool.name: tool for tool in reading(desk, Role.VIEWER).tools()}
    assert len(tools) < 50
    assert not {*SAYS_NOTHING, *STARTS} & tools.keys()
    assert tools["why"].arguments == {"symbol": "BTCUSDT, ETHUSDT"}
    assert tools["order"].required == ("order",)


# -- drafting ----------------------------------------------------------------------------


async def test_a_draft_is_what_typing_it_would_be(desk):
    before = desk.view()
    draft = reading(desk, Role.TRADER).draft("fx btc half")
    assert draft.line == "/close btc half"
    assert draft.what.startswith("Close a position, all of it or a part")
    assert desk.view() == before
    [noted] = await audited(desk, "drafted by the model")
    assert noted == (
        "telegram:8 (tom) command /close btc half: drafted by the model; nothing was done"
    )


async def test_an_emergency_may_be_drafted(empty_desk):
    assert reading(empty_desk, Role.TRADER).draft("/kill flatten").line == "/kill flatten"
    assert empty_desk.switch.pulled == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("/why BTC", "only looks"),
        ("/approve 1", "Only a person decides"),
        ("/reject 1", "Only a person decides"),
        ("/unlock 123456", "takes a code"),
        ("/link", "takes a code"),
        ("/role vic admin", "is about people"),
        ("/access trader", "is about people"),
        ("/frobnicate", "no command"),
        ("", "no command"),
        ("/halt " + "x" * 400, "no command"),
        ("/close DOGE", "symbol"),
    ],
)
async def test_nobody_is_led_to_what_decides_or_proves(empty_desk, line, why):
    with pytest.raises(Refused, match=why):
        reading(empty_desk).draft(line)


async def test_nothing_is_drafted_that_the_asker_may_not_say(empty_desk):
    with pytest.raises(Refused, match="needs the role trader"):
        reading(empty_desk, Role.VIEWER).draft("/close BTC")


async def test_a_draft_that_is_said_waits_for_a_person_as_ever(desk):
    draft = reading(desk, Role.TRADER).draft("/close BTC")
    proposal = await propose(desk, draft.line, Role.TRADER)
    assert "BTCUSDT" in proposal.title
    assert len(desk.view().positions) == 1


async def test_what_a_model_wanted_and_may_not_is_noted_without_codes(empty_desk):
    looked = reading(empty_desk)
    looked.refused("/approve 1 492817", "Only a person decides.")
    looked.refused("shell {'cmd': 'rm'}", "There is no such tool.")
    assert await audited(empty_desk, "refused to the model") == [
        "telegram:7 (ann) command /approve ***: refused to the model: Only a person decides.",
        "telegram:7 (ann) command shell {'cmd': 'rm'}: refused to the model: "
        "There is no such tool.",
    ]


async def test_a_person_is_refused_as_before(empty_desk):
    assert (await say(empty_desk, "/halt", Role.VIEWER)).error == "/halt needs the role trader."
    assert await audited(empty_desk, "refused to the model") == []


# -- whose role ends while a model thinks ------------------------------------------------


async def test_reading_ends_with_the_role_of_whoever_asked(empty_desk):
    looked = reading(empty_desk, Role.TRADER)
    assert "positions" in await looked.look("/status")
    assert looked.draft(f"/bot pause {BOT}").line == f"/bot pause {BOT}"

    await give(empty_desk, "tom", Role.VIEWER)
    assert await looked.look("/status")
    with pytest.raises(Refused, match="needs the role trader"):
        looked.draft(f"/bot pause {BOT}")

    await give(empty_desk, "tom", Role.NOBODY)
    for line in ("/status", "/positions", "/whoami"):
        with pytest.raises(Refused, match="may not use the desk any more"):
            await looked.look(line)
    assert not [each for each in looked.tools() if each.name == "positions"]


async def test_a_role_that_grows_meanwhile_is_not_lent_to_the_model(empty_desk):
    looked = reading(empty_desk, Role.TRADER)
    await give(empty_desk, "tom", Role.ADMIN)

    with pytest.raises(Refused, match="needs the role admin"):
        await looked.look("/people")


async def test_an_account_that_became_somebody_elses_reads_nothing(empty_desk):
    asked = context(empty_desk, Role.TRADER, in_chat=True)
    other = replace(asked.principal, principal_id="ann")
    looked = DeskReading(replace(asked, principal=other))

    with pytest.raises(Refused, match="may not use the desk any more"):
        await looked.look("/status")


async def give(desk: Desk, who: str, role: Role) -> None:
    """Have the settings say another role of somebody."""
    known = [person for person, _ in PEOPLE.values()]
    people = [replace(each, role=role) if each.name == who else each for each in known]
    await desk.runtime.know(people, [account for _, account in PEOPLE.values()])
