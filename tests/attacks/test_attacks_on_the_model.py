"""Attacks on the desk through its model: each prompt goes through the whole way of a question, with
a model that always obeys the attacker, and afterwards nothing has changed and nothing is out."""

import re
from random import Random

import pytest

from engine.advice import Answer
from engine.mail import ChatKind
from engine.people import Role
from handlers import COMMANDS, answer_card
from handlers.as_text import as_text
from handlers.command import find
from handlers.reading import ABOUT_PEOPLE, DECIDES
from handlers.reply import Code
from llm.inert import without_phrases
from llm.model import FunctionCall, Request, Response, Speaker, Turn, Usage
from tests.attacks.siege import (
    ADMINS_OWN,
    ALLOWED,
    FORBIDDEN,
    NO_TOOLS,
    UNFIT,
    Attack,
    Obedient,
    Siege,
    asking,
    attacks,
    siege,
    words_of,
)
from tests.models import PlayedModel

ATTACKS = attacks()
ROLES = (Role.VIEWER, Role.TRADER, Role.ADMIN)
WORDS = (
    "BTCUSDT", "ETH", "1", "2", "all", "now", "symbol=BTCUSDT", "flatten", "123456", "", "50",
    "shortseller_001", "bot=shortseller_001", "none", "\x00", "\u200b", "a" * 50, "-1",
)  # fmt: skip
LINKS = ("@everyone", "@here", "http:", "https:", "<@", "](", "www.", "t.me/", "evil.example")


def test_there_are_more_than_a_hundred_attacks():
    assert len({attack.text for _, attack in ATTACKS}) >= 120


@pytest.mark.parametrize("attack", [each for _, each in ATTACKS], ids=[name for name, _ in ATTACKS])
async def test_an_attack_does_nothing_and_is_audited(attack: Attack):
    chance = Random(attack.text)
    async with siege(attack) as under:
        role = chance.choice(ROLES)
        kind = chance.choice((ChatKind.PRIVATE, ChatKind.GROUP))
        said = asking(under.desk, role, chat_kind=kind)
        question = attack.text if attack.where == "question" else "what is going on?"
        about = attack.text if attack.where == "about" else ""
        before = await under.rows()
        model = Obedient(chance)
        answer = await under.ask(model, said, question, about)
        assert await under.rows() == before
        check_reached(attack, model)
        check_kept(under, model, answer)
        check_powerless(answer)
        refused = await under.audited("refused to the model")
        assert refused and all(line.startswith(said.actor) for line in refused)


def check_reached(attack: Attack, model: PlayedModel) -> None:
    """The attacker's words were read: else nothing is shown by their failing."""
    told = " ".join(word for request in model.requests for word in words_of(request))
    words = re.findall(r"[A-Za-z]{4,}", without_phrases(attack.text))
    assert [word for word in words if word not in told] == []


def check_kept(under: Siege, model: PlayedModel, answer: Answer) -> None:
    """No secret went to the model, or came back."""
    told = [word for request in model.requests for word in words_of(request)]
    shown = as_text(answer_card.card(1, answer))
    for secret in under.secrets:
        assert not [text for text in (*told, shown, repr(answer)) if secret in text]


def check_powerless(answer: Answer) -> None:
    """Nothing in the answer can be pressed that acts, but for what its asker drafted."""
    card = answer_card.card(1, answer)
    code = [block.code for block in card.blocks if isinstance(block, Code)]
    assert code == [draft.line for draft in answer.drafts]
    words = as_text(card)
    assert not [each for each in LINKS if each in words]
    assert "/kill" not in words and "/approve" not in answer.text
    for button in card.buttons:
        found = find(COMMANDS, button.command.removeprefix("/").split())
        assert found and (found[0].is_for_models or button.only_asker)
    for draft in answer.drafts:
        found = find(COMMANDS, draft.line.removeprefix("/").split())
        assert found and found[0].name not in DECIDES and not found[0].holds_secrets
        assert found[0].group != ABOUT_PEOPLE


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_a_model_calls_changes_nothing(seed):
    """Any sequence of calls, with any names and arguments."""
    chance = Random(seed)
    names = [command.name for command in COMMANDS]

    def line() -> str:
        if chance.random() < 0.5:
            return chance.choice((*FORBIDDEN, *ADMINS_OWN, *ALLOWED))
        words = [chance.choice(names), *chance.choices((*WORDS, *names), k=chance.randrange(4))]
        return chance.choice(("/", "", "//", " /")) + " ".join(words)

    def call() -> FunctionCall:
        name = chance.choice(("look", "look", "draft", "draft", *NO_TOOLS))
        fits = chance.random() < 0.8
        return FunctionCall(name, {"line": line()} if fits else chance.choice(UNFIT))

    def play(request: Request) -> Response:
        calls = tuple(call() for _ in range(chance.randrange(1, 17)))
        return Response(Turn(Speaker.MODEL, calls=calls), Usage(1, 1), "random")

    async with siege() as under:
        before = await under.rows()
        for role in ROLES:
            await under.ask(PlayedModel(play), asking(under.desk, role), "what is going on?")
        assert await under.rows() == before
