"""Every error this program raises on purpose, by what the reader should do about it.

CountersignError
 |- Refused          tell the person, in words they can act on
 |   |- BadInput     a field, the value found, and what is allowed
 |   |- BadSettings  the program can't start as configured (exit code 2)
 |   `- ExchangeRefused  the exchange said no, and did nothing
 |- Unreachable      the other side did not answer: retry or reconcile
 |- OutcomeUnknown   the other side may have acted, or not: ask, never send again
 `- Broken           our own bug or damaged data: stop, restart from what is stored
     `- LostLock     another process trades this account now
"""

# What of a value is said back: more is a flood, and nobody reads it.
SAID_BACK_MAX = 40


class CountersignError(Exception):
    """Base of all errors raised on purpose."""


class Refused(CountersignError):
    """A request that can't be granted; `str()` is the sentence shown to the person."""


class BadInput(Refused):
    """A value that is not allowed: names the field, the value and what is allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        said = value
        if isinstance(value, str) and len(value) > SAID_BACK_MAX:
            said = f"{value[:SAID_BACK_MAX]}…"
        super().__init__(f"{field}: {said!r} is not valid. Allowed: {allowed}.")
        self.field = field
        self.value = value
        self.allowed = allowed

    def __reduce__(self) -> tuple[type["BadInput"], tuple[str, object, str]]:
        """From the process that raised it to the one that tells the person."""
        return type(self), (self.field, self.value, self.allowed)


class BadSettings(Refused):
    """A setting, data file or database the program can't start with."""


class ExchangeRefused(Refused):
    """The exchange said no, and surely did nothing. `code` is its number for why.

    `stops` says that nothing will work until a person has mended it: a key, a permission, a mode;
    `benign` that things are already as they were to become.
    """

    def __init__(
        self, code: int, message: str, *, stops: bool = False, benign: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.stops = stops
        self.benign = benign


class Unreachable(CountersignError):
    """A database, exchange or chat that did not answer in time."""


class OutcomeUnknown(CountersignError):
    """A request that may have been carried out, or not; `str()` says what went wrong."""


class Broken(CountersignError):
    """A broken promise of our own code or data."""


class LostLock(Broken):
    """This process no longer holds the desk's lock and may not write."""
