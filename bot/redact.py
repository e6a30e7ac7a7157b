"""Keeps secrets out of whatever is shown or written: known ones by value, others by their look."""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote

HIDDEN = "***"
# A shorter one is also found in ordinary words, and hiding those would give it away.
LENGTH_MIN = 6

# What stands before a secret is kept, as it says which one it was.
_LOOKS = (
    # Telegram's tokens, most often in the path of a URL.
    r"((?<!\d)\d{5,}:)[\w-]{30,}",
    # Discord's: of bots, and of interactions and webhooks in the path of a URL.
    r"(\b)[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}",
    r"(/(?:interactions|webhooks)/\d+/)[^/\s?'\"]+",
    # Google's, also as a header and in a URL.
    r"(\b)AIza[\w-]{30,}",
    r"(?i)(\bX-Goog-Api-Key\W{1,6})[\w-]+",
    r"([?&]key=)[^&\s'\"]+",
    # User and password in a URL.
    r"(://[^\s/:@]*:)[^\s/@]+(?=@)",
    # Headers, as headers or as the text of a dictionary.
    r"(?i)(X-BAPI-(?:SIGN|API-KEY)\W{1,6})[\w-]+",
    r"(?i)(\bAuthorization\W{1,6}(?:(?:Bot|Bearer|Basic) )?)[\w.+/=-]{8,}",
    # The field of a JSON text or of a dictionary, perhaps as a text within a text.
    r"(\btoken\\*[\"']\s*:\s*\\*[\"'])[^\"'\\]+",
)
# Of Telegram's tokens the number is the bot's, and known to everybody.
_TELEGRAM = re.compile(r"\d+:([\w-]{30,})")
_PATTERNS = tuple(re.compile(look) for look in _LOOKS)


class Redactor:
    """Replaces secrets in texts. `secrets` are hidden wherever they stand, also where they are
    quoted or encoded for a URL; of one that is a URL it is the password."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        # The longest first: one may be the beginning of another.
        found = sorted((form for form in forms if len(form) >= LENGTH_MIN), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, found))) if found else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\1{HIDDEN}", text)
        return text


redact = Redactor()


def _forms(secret: str) -> Iterator[str]:
    """A secret as it may be written."""
    if "://" in secret:
        secret = _password(secret)
    token = _TELEGRAM.fullmatch(secret)
    for form in (secret, unquote(secret), *(token.groups() if token else ())):
        yield form
        yield quote(form, safe="")
        yield repr(form)[1:-1]


def _password(url: str) -> str:
    # As lenient as SQLAlchemy: a password may hold what ought to be encoded.
    found = re.match(r"[^:]+://[^:/@]*:(.*)@", url)
    return found[1] if found else ""
