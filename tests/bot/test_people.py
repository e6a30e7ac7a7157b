"""Who is who: the settings as tables, and what follows from them."""

from pathlib import Path
from typing import Any

import pytest

from bot.people import People, new_chat, open_people, people_of, perhaps_one, too_few_admins
from bot.settings import Settings, load
from engine.errors import BadSettings
from engine.mail import Address, Chat, ChatKind
from engine.people import Identity, Person, Role
from engine.ports import Commit, Store
from engine.store.memory import MemoryStore
from tests.chat.desks import quiet_market
from tests.handlers.desks import build

TOM = {"name": "tom", "role": "trader", "telegram": 8, "discord": 88}
GROUP = Address("telegram", "-100", "5")
SURFACES = {"telegram": None, "discord": None}


def settings(**given: Any) -> Settings:
    return Settings.model_validate(given)


async def opened(store: Store, **given: Any) -> People:
    """The people of a desk that starts with these settings."""
    runtime, desk = await build(quiet_market(), store)
    return await open_people(settings(**given), runtime, desk.store)


def role(people: People, surface: str, user_id: str) -> Role:
    person = people.find(surface, user_id)
    return person.role if person else Role.NOBODY


def chat(at: Address, kind: ChatKind = ChatKind.GROUP, **changes: Any) -> Commit:
    made = new_chat(at, kind, "ann", 1)
    given = {"subscribed": True, **changes}
    fields = {name: getattr(made, name) for name in made.__dataclass_fields__}
    return Commit(1, facts=[Chat(**{**fields, **given})])


# -- from the settings -------------------------------------------------------------------


def test_people_and_their_accounts_come_from_the_settings() -> None:
    people, identities = people_of(settings(people=[TOM], telegram_admin_ids="7, 9"))
    assert people == [
        Person("tom", "tom", Role.TRADER),
        Person("telegram:7", "7", Role.ADMIN),
        Person("telegram:9", "9", Role.ADMIN),
    ]
    assert identities == [
        Identity("telegram", "8", "tom"),
        Identity("discord", "88", "tom"),
        Identity("telegram", "7", "telegram:7"),
        Identity("telegram", "9", "telegram:9"),
    ]


def test_an_admin_who_is_also_named_is_one_person() -> None:
    ann = {"name": "ann", "role": "admin", "telegram": 7, "discord": 77}
    people, identities = people_of(settings(people=[ann], telegram_admin_ids="7"))
    assert people == [Person("ann", "ann", Role.ADMIN)]
    assert {each.principal_id for each in identities} == {"ann"}


async def test_an_account_is_known_by_platform_and_number_alone() -> None:
    people = await opened(MemoryStore(), people=[TOM])
    assert people.find("telegram", "8") == Person("tom", "tom", Role.TRADER)
    assert people.find("discord", "88") == people.find("telegram", "8")
    for surface, user_id in (("discord", "8"), ("telegram", "88"), ("telegram", "tom")):
        assert people.find(surface, user_id) is None
    for nobody in ("", "08", " 8", "-8"):
        assert people.find("telegram", nobody) is None


async def test_the_tables_follow_the_settings_at_each_start() -> None:
    store = MemoryStore()
    people = await opened(store, people=[TOM], telegram_admin_ids="7")
    assert [role(people, "telegram", each) for each in "78"] == [Role.ADMIN, Role.TRADER]
    people = await opened(store, people=[{**TOM, "role": "viewer"}])
    assert [role(people, "telegram", each) for each in "78"] == [Role.NOBODY, Role.VIEWER]
    people = await opened(store)
    assert [role(people, "telegram", each) for each in "78"] == [Role.NOBODY, Role.NOBODY]
    assert role(people, "discord", "88") is Role.NOBODY
    people = await opened(store, people=[TOM], telegram_admin_ids="7")
    assert [role(people, "telegram", each) for each in "78"] == [Role.ADMIN, Role.TRADER]


async def test_an_account_that_is_not_named_any_more_is_nobody_s() -> None:
    store = MemoryStore()
    await opened(store, people=[TOM])
    people = await opened(store, people=[{**TOM, "telegram": 9}])
    assert role(people, "telegram", "9") is Role.TRADER
    assert role(people, "telegram", "8") is Role.NOBODY
    assert not people.may_hear(Address("telegram", "8"))
    people = await opened(store, people=[{"name": "tom", "role": "trader", "discord": 88}])
    assert role(people, "telegram", "9") is Role.NOBODY
    assert role(people, "discord", "88") is Role.TRADER
    people = await opened(store, people=[TOM])
    assert role(people, "telegram", "8") is Role.TRADER


async def test_an_account_changes_hands() -> None:
    store = MemoryStore()
    await opened(store, people=[TOM])
    people = await opened(store, people=[{"name": "vera", "role": "viewer", "telegram": 8}])
    assert people.find("telegram", "8") == Person("vera", "vera", Role.VIEWER)
    assert role(people, "discord", "88") is Role.NOBODY


# -- what follows ------------------------------------------------------------------------


async def test_news_goes_to_admins_and_to_where_they_subscribed() -> None:
    people = await opened(MemoryStore(), people=[TOM], telegram_admin_ids="7")
    mine = Address("telegram", "7")
    assert people.audience(SURFACES) == [mine]
    people.on_commit(chat(GROUP))
    assert people.audience(SURFACES) == [mine, GROUP]
    assert people.audience({"discord": None}) == []
    people.on_commit(chat(GROUP, gone="kicked"))
    assert people.audience(SURFACES) == [mine]
    people.on_commit(chat(GROUP, subscribed=False))
    people.on_commit(chat(mine, ChatKind.PRIVATE, subscribed=False))
    assert people.audience(SURFACES) == []


async def test_an_admin_s_own_chat_is_told_the_news_again_once_it_is_back() -> None:
    people = await opened(MemoryStore(), telegram_admin_ids="7")
    mine = people.chat(Address("telegram", "7"))
    assert mine is not None and mine.subscribed
    people.on_commit(chat(mine.address, ChatKind.PRIVATE, subscribed=True, gone="blocked"))
    assert people.audience(SURFACES) == []
    people.on_commit(chat(mine.address, ChatKind.PRIVATE, subscribed=True))
    assert people.audience(SURFACES) == [mine.address]


async def test_who_may_do_nothing_hears_nothing_whatever_was_subscribed() -> None:
    store = MemoryStore()
    people = await opened(store, telegram_admin_ids="7")
    mine = Address("telegram", "7")
    await store.commit(
        Commit(await store.take_epoch("test"), facts=chat(mine, ChatKind.PRIVATE).facts)
    )
    people = await opened(store, telegram_admin_ids="9")
    assert people.audience(SURFACES) == [Address("telegram", "9")]
    assert not people.may_hear(mine)


async def test_a_group_hears_while_it_is_open() -> None:
    people = await opened(MemoryStore(), people=[TOM])
    assert not people.may_hear(GROUP)
    people.on_commit(chat(GROUP))
    other_topic = Address("telegram", "-100")
    assert people.may_hear(GROUP) and people.is_admitted(other_topic)
    assert people.kind("telegram", "-100") is ChatKind.GROUP
    people.on_commit(chat(GROUP, subscribed=False))
    assert not people.may_hear(GROUP) and not people.is_admitted(other_topic)
    assert people.may_hear(Address("telegram", "8"))
    assert people.kind("telegram", "8") is ChatKind.PRIVATE


async def test_menus_are_for_people_by_their_roles_and_for_open_groups() -> None:
    people = await opened(MemoryStore(), people=[TOM], telegram_admin_ids="7")
    people.on_commit(chat(GROUP))
    assert people.menus("telegram") == {"8": Role.TRADER, "7": Role.ADMIN, "-100": Role.VIEWER}
    assert people.menus("discord") == {"88": Role.TRADER}


async def test_too_few_admins_for_what_is_required_is_remarked() -> None:
    given = settings(telegram_admin_ids="7", approvals={"required": 1})
    runtime, desk = await build(quiet_market(), MemoryStore())
    alone = await open_people(given, runtime, desk.store)
    assert "there are 1. Nothing red can be approved" in too_few_admins(given, alone)
    given = settings(telegram_admin_ids="7,9", approvals={"required": 1})
    assert too_few_admins(given, await open_people(given, runtime, desk.store)) == ""


async def test_admins_who_may_be_one_person_are_remarked_until_they_are_one() -> None:
    async def remark(**given_: Any) -> str:
        given = settings(**{"approvals": {"required": 1}, **given_})
        runtime, desk = await build(quiet_market(), MemoryStore())
        people = await open_people(given, runtime, desk.store)
        first = perhaps_one(given, people)
        people.on_commit(Commit(1, facts=[Identity("discord", "22", "telegram:11")]))
        assert perhaps_one(given, people) == ""
        return first

    two = {"telegram_admin_ids": "11", "discord_admin_ids": "22"}
    assert await remark(**two) == (
        "telegram:11 and discord:22 count as two people; if they are one, use [[people]] or /link."
    )
    ann = {"name": "ann", "role": "admin", "telegram": 11, "discord": 22}
    assert await remark(**two, people=(ann,)) == ""
    assert await remark(**two, approvals={"required": 0}) == ""
    assert await remark(telegram_admin_ids="11") == ""


# -- mistakes ----------------------------------------------------------------------------

PERSON = '[[people]]\nname = "tom"\nrole = "trader"\ntelegram = 8\n'
MISTAKES = {
    "no number": (
        {"TELEGRAM_ADMIN_IDS": "@ann"},
        "",
        ["TELEGRAM_ADMIN_IDS", "'@ann'", "numeric ids from 1 to 9223372036854775807, separated by"],
    ),
    "a number too few": (
        {"DISCORD_ADMIN_IDS": "7,,8"},
        "",
        ["DISCORD_ADMIN_IDS", "'7,,8'", "numeric ids from 1 to"],
    ),
    "a number that nobody has": (
        {"TELEGRAM_ADMIN_IDS": "7,9223372036854775808"},
        "",
        ["TELEGRAM_ADMIN_IDS", "'7,9223372036854775808'", "from 1 to 9223372036854775807"],
    ),
    "a number as no platform writes it": (
        {"DISCORD_ADMIN_IDS": "007"},
        "",
        ["DISCORD_ADMIN_IDS", "'007'", "numeric ids from 1 to"],
    ),
    "somebody with a number that nobody has": (
        {},
        '[[people]]\nname = "tom"\nrole = "trader"\ntelegram = 9223372036854775808\n',
        ["people tom telegram", "9223372036854775808", "less than or equal to 9223372036854775807"],
    ),
    "a name of the desk's own": (
        {},
        '[[people]]\nname = "Desk"\nrole = "trader"\ntelegram = 7\n',
        ["people Desk name", "'Desk'", "another name; operator, desk, console, schedule"],
    ),
    "an unknown role": (
        {},
        PERSON.replace("trader", "owner"),
        ["people tom role", "'owner'", "'viewer', 'trader' or 'admin'"],
    ),
    "a person without a role": ({}, '[[people]]\nname = "tom"\n', ["people tom role", "missing"]),
    "a name that is no word": ({}, PERSON.replace('"tom"', '""'), ["people", "name", "''"]),
    "an account that is no number": (
        {},
        PERSON.replace("8", '"@tom"'),
        ["people tom telegram", "'@tom'", "integer"],
    ),
    "an account below one": (
        {},
        PERSON.replace("8", "-100"),
        ["people tom telegram", "-100", "greater than or equal to 1"],
    ),
    "an unknown platform": (
        {},
        PERSON + "telegramm = 9\n",
        ["people tom telegramm", "no such setting", "Did you mean telegram?"],
    ),
    "one account of two people": (
        {},
        PERSON + PERSON.replace("tom", "vera"),
        ["PEOPLE", "each telegram once", "8 stands there twice"],
    ),
    "two people of one name": (
        {},
        PERSON + PERSON.replace("8", "9"),
        ["PEOPLE", "each name once", "tom stands there twice"],
    ),
    "the name of the console": (
        {},
        PERSON.replace("tom", "operator"),
        ["people operator name", "'operator'", "another name"],
    ),
    "a scope that is none": (
        {},
        PERSON + 'scopes = ["bots:shortseller_001"]\n',
        ["people tom scopes", "bots:shortseller_001", "bot:ID, chat:SURFACE:ID"],
    ),
    "more approvals than a team has": (
        {},
        "[approvals]\nrequired = 6\n",
        ["approvals.required", "6", "less than or equal to 5"],
    ),
    "an admin who is a trader": (
        {"TELEGRAM_ADMIN_IDS": "7,8"},
        PERSON,
        ["people", "tom", "trader", "TELEGRAM_ADMIN_IDS", "allowed: one role"],
    ),
}


@pytest.mark.parametrize(("environ", "toml", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_names_the_setting_the_value_and_what_is_allowed(
    environ: dict[str, str], toml: str, told: list[str], tmp_path: Path
) -> None:
    (tmp_path / "countersign.toml").write_text(toml)
    with pytest.raises(BadSettings) as refused:
        load(environ, tmp_path)
    assert all(part in str(refused.value) for part in told), str(refused.value)


def test_ids_twice_are_one_admin(tmp_path: Path) -> None:
    (tmp_path / "countersign.toml").write_text(PERSON)
    people, identities = people_of(load({"TELEGRAM_ADMIN_IDS": "7, 7"}, tmp_path))
    assert [each.principal_id for each in people] == ["tom", "telegram:7"]
    assert len(identities) == 2
