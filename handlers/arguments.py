"""Kinds of arguments that many commands share: numbers, people, proposals, codes."""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated

from engine.candle import DAY_MS
from engine.desk import Desk
from engine.errors import BadInput
from engine.manual import AMOUNT_MAX, LASTS_MAX_MS
from engine.order import ZERO
from engine.people import Role, ScopeKind, parse_scope
from engine.tunable import DURATION_MS
from handlers.command import CODES, HIDDEN, STRAY_CODES, ArgumentType

# Where commas stand, thousands do: 1,5 is no number here, and certainly not 15.
THOUSANDS = re.compile(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")
# Finer amounts and prices are nobody's.
DECIMALS_MAX = 12
# More digits are no number that a database gives.
ID_DIGITS_MAX = 18
CODE_DIGITS = 6
LINK_CODE_MAX = 64
NAME_MAX = 64
# What of a reason is kept.
REASON_MAX = 200
LASTS_DIGITS_MAX = 7
# How it is said that a level is taken away, that it stays, and that nothing ends.
NONE, KEEP, NEVER = "none", "keep", "never"
SHARES = {"all": Decimal(1), "half": Decimal("0.5")}
EVERYWHERE = "everywhere"
# Who they are is told to admins alone.
SOMEBODY_HERE = "the name, id or account of somebody here, as /people shows them to admins"


def number(word: str) -> Decimal | None:
    """The number above zero that a word is, thousands marked or not; None where it is none."""
    if "," in word and not THOUSANDS.fullmatch(word):
        return None
    try:
        found = Decimal(word.replace(",", "").replace("_", ""))
    except InvalidOperation:
        return None
    exponent = found.as_tuple().exponent
    # What is written with a great exponent is long when it is worked out or shown.
    if not isinstance(exponent, int) or abs(exponent) > DECIMALS_MAX:
        return None
    return found if 0 < found < AMOUNT_MAX else None


def is_code(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) == CODE_DIGITS


def code_span(words: Sequence[str]) -> int:
    """Two words where a code is typed as authenticators show it, `123 456`; else one."""
    halves = [len(word) == CODE_DIGITS // 2 and word.isdigit() for word in words[:2]]
    return 2 if halves == [True, True] else 1


def listed_span(words: Sequence[str]) -> int:
    """As many words as commas join: `BTC, ETH` is one list."""
    span = 1
    while span < len(words) and words[span - 1].endswith(","):
        span += 1
    return span


def _parse_strategy(field: str, word: str, desk: Desk) -> str:
    if word.lower() in desk.strategies:
        return word.lower()
    raise BadInput(field, word, ", ".join(desk.strategies))


def _parse_price(field: str, word: str, desk: Desk) -> Decimal:
    price = number(word)
    if price is None:
        decimals = f"decimals with a point, at most {DECIMALS_MAX} of them"
        raise BadInput(field, word, f"a price above zero, {decimals}, as in 70000 or 0.0525")
    return price


def _parse_amount(field: str, word: str, desk: Desk) -> Decimal:
    """An amount of quote currency."""
    plain = word.lower().removesuffix("usdt")
    times = 1000 if plain.endswith("k") else 1
    amount = number(plain.removesuffix("k"))
    if amount is None or amount * times >= AMOUNT_MAX:
        allowed = "an amount of USDT, decimals with a point, as in 100, 1500 or 1.5k"
        raise BadInput(field, word, allowed)
    return amount * times


def _parse_level(field: str, word: str, desk: Desk) -> Decimal | None:
    """A price; 0 takes the level away, None leaves it as it is."""
    if word.lower() == KEEP:
        return None
    if word.lower() in ("0", NONE):
        return ZERO
    price: Decimal = PRICE.parse(field, word, desk)
    return price


def _parse_lasts(field: str, word: str, desk: Desk) -> int:
    """How long something waits, ms; 0 for as long as it takes."""
    if word.lower() in ("0", NEVER):
        return 0
    count = word[:-1]
    plain = count.isascii() and count.isdigit() and len(count) <= LASTS_DIGITS_MAX
    lasts = int(count) * DURATION_MS.get(word[-1:].lower(), 0) if plain else 0
    if not 0 < lasts <= LASTS_MAX_MS:
        days = LASTS_MAX_MS // DAY_MS
        raise BadInput(field, word, f"a time such as 30m, 12h or 7d, at most {days}d, or {NEVER}")
    return lasts


def _parse_fraction(field: str, word: str, desk: Desk) -> Decimal:
    if word.lower() in SHARES:
        return SHARES[word.lower()]
    percent = number(word.removesuffix("%")) if word.endswith("%") else None
    if percent is None or percent > 100:
        raise BadInput(field, word, "half, all, or a percentage up to 100%, as in 25%")
    return percent / 100


def _parse_code(field: str, text: str, desk: Desk) -> str:
    code = text.replace(" ", "")
    if not is_code(code):
        raise BadInput(field, text, "the six digits that your authenticator shows")
    return code


def _parse_link_code(field: str, word: str, desk: Desk) -> str:
    if len(word) > LINK_CODE_MAX:
        raise BadInput(field, word, "the one-time word that /link gave you")
    return word


def _parse_text(field: str, text: str, desk: Desk) -> str:
    return text


def reason_of(words: str) -> str:
    """Why somebody wants something, as it is kept: without codes, and no novel."""
    return STRAY_CODES.sub(HIDDEN, " ".join(words.split()))[:REASON_MAX]


def parse_id(field: str, word: str, allowed: str) -> int:
    """The number that the desk gave something; raises BadInput, which says what is `allowed`."""
    plain = word.removeprefix("#")
    if plain.isascii() and plain.isdigit() and len(plain) <= ID_DIGITS_MAX and int(plain):
        return int(plain)
    raise BadInput(field, word, allowed)


def _parse_proposal(field: str, word: str, desk: Desk) -> int:
    open_ = ", ".join(_open_proposals(desk))
    return parse_id(field, word, open_ or "the number of a proposal; none is open")


def _open_proposals(desk: Desk) -> list[str]:
    return [str(proposal.proposal_id) for proposal in desk.view().proposals]


def _which_proposal(desk: Desk) -> str:
    open_ = ", ".join(_open_proposals(desk))
    return f"Which proposal? Open: {open_ or 'none'}."


def _parse_person(field: str, word: str, desk: Desk) -> str:
    """Somebody's principal id: by it, by their name, or by an account of theirs."""
    found = person_named(desk, word)
    if found is None:
        raise BadInput(field, word, f"{SOMEBODY_HERE}. There is nobody called that")
    return found


def person_named(desk: Desk, word: str) -> str | None:
    """The principal id of whom a word names; None where it is nobody, or not one alone."""
    view = desk.view()
    wanted = word.lower()
    by_id = {each.principal_id for each in view.people if each.principal_id.lower() == wanted}
    by_name = {each.principal_id for each in view.people if each.name.lower() == wanted}
    by_account = {
        each.principal_id
        for each in view.identities
        if each.principal_id and f"{each.surface}:{each.user_id}" == wanted
    }
    found = by_id or by_account or by_name
    return found.pop() if len(found) == 1 else None


def _known(desk: Desk) -> list[str]:
    return [each.principal_id for each in desk.view().people if each.role > Role.NOBODY]


def _parse_name(field: str, word: str, desk: Desk) -> str:
    """What to call somebody. Scopes, which may come next, have a colon."""
    if ":" in word:
        # Where it was meant as a scope, what is wrong with it is no matter of names.
        _parse_scopes("scopes", word, desk)
    # A code typed in its place would be kept for ever.
    is_none = ":" in word or word.lower() == EVERYWHERE or CODES.search(word)
    if is_none or len(word) > NAME_MAX or not word.isprintable():
        raise BadInput(field, word, f"a name of at most {NAME_MAX} characters, no code, no colon")
    return word


def _parse_scopes(field: str, text: str, desk: Desk) -> str:
    words = [] if text.lower() == EVERYWHERE else text.split()
    scopes = [parse_scope(word) for word in words]
    for scope in scopes:
        if scope.kind is ScopeKind.BOT and scope.value not in desk.bot_ids:
            raise BadInput(field, str(scope), ", ".join(f"bot:{bot}" for bot in desk.bot_ids))
    return " ".join(map(str, scopes))


def _unlisted(desk: Desk) -> Sequence[str]:
    return ()


STRATEGY = ArgumentType("a strategy", _parse_strategy, lambda desk: list(desk.strategies))
PRICE = ArgumentType("a price", _parse_price, _unlisted, numeric=True)
AMOUNT = ArgumentType(
    "an amount of USDT, as in 100 or 1.5k", _parse_amount, _unlisted, numeric=True
)
LEVEL = ArgumentType(
    f"a price, {NONE} to take it away, {KEEP} to leave it",
    _parse_level,
    _unlisted,
    numeric=True,
    unsaid="as it is",
)
LASTS = ArgumentType(f"a time such as 30m, or {NEVER}", _parse_lasts, _unlisted, unsaid="an hour")
FRACTION = ArgumentType("half, all, or a percentage", _parse_fraction, lambda desk: list(SHARES))
CODE = ArgumentType("six digits", _parse_code, _unlisted, span=code_span, secret=True)
LINK_CODE = ArgumentType("the one-time word of /link", _parse_link_code, _unlisted, secret=True)
# A code may stand at its end.
PHRASE = ArgumentType("the phrase on the card", _parse_text, _unlisted, rest=True, secret=True)
PROPOSAL = ArgumentType(
    "a proposal's number",
    _parse_proposal,
    _open_proposals,
    changing=True,
    numeric=True,
    missing=_which_proposal,
)
PERSON = ArgumentType("a person", _parse_person, _known, changing=True, for_admins=True)
NAME = ArgumentType("a name", _parse_name, _unlisted)
SCOPES = ArgumentType(
    "everywhere, or bot:ID, chat:SURFACE:ID, topic:SURFACE:ID:TOPIC, guild:ID, channel:ID",
    _parse_scopes,
    _unlisted,
    rest=True,
)

StrategyName = Annotated[str, STRATEGY]
Price = Annotated[Decimal, PRICE]
Amount = Annotated[Decimal, AMOUNT]
Level = Annotated[Decimal | None, LEVEL]
Lasts = Annotated[int, LASTS]
Fraction = Annotated[Decimal, FRACTION]
Code = Annotated[str, CODE]
LinkCode = Annotated[str, LINK_CODE]
Phrase = Annotated[str, PHRASE]
ProposalId = Annotated[int, PROPOSAL]
PersonId = Annotated[str, PERSON]
Name = Annotated[str, NAME]
Scopes = Annotated[str, SCOPES]
