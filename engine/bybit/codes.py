"""What Bybit's error codes mean for whoever asked: one table.

The codes are those of the v5 documentation, "Error Codes". Their texts change without notice, so
nothing is ever concluded from a text.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum

from engine.errors import CountersignError, ExchangeRefused, OutcomeUnknown, Unreachable


class Deed(Enum):
    """What was asked for. PLACE opens or adds, CLOSE is an order that only reduces."""

    READ = "read"
    PLACE = "place"
    CLOSE = "close"
    CANCEL = "cancel"
    CHANGE = "change"


class Meaning(StrEnum):
    """What a code says, with the sentence for a person."""

    DONE = "It is so already."
    BUSY = "Bybit takes no more requests for a moment, and did not take this one. Try again."
    LATER = "Bybit is still at work on this order, and took nothing more for it. Try again."
    CLOCK = (
        "Bybit did not take the request: by its clock it came too late, or from the future. "
        "Keep this machine's clock right with NTP."
    )
    UNSURE = "Bybit does not say whether it did what was asked."
    DUPLICATE = "Bybit already has an order with this id: it is looked up."
    FAULTY = (
        "Bybit does not accept the request as it is: check symbol, size and prices against the "
        "symbol's rules."
    )
    FUNDS = "There is not enough free money for it: add margin, or take less size."
    LIMITS = (
        "A limit of Bybit's for this symbol or account does not allow it: take less size or "
        "leverage, or cancel what is open."
    )
    STATE = "The order, position or account is not in a state that allows it."
    BARRED = "Bybit does not let this account or key do it: look at both on Bybit's site."
    ELSEWHERE = "Bybit refused it for a product that is not traded here."


TABLE: Mapping[Meaning, tuple[int | range, ...]] = {
    Meaning.DONE: (110_025, 110_026, 110_027, 110_043, 110_075, 34_040),
    Meaning.BUSY: (10_006, 10_018, 10_429, 20_003),
    Meaning.LATER: (110_079,),
    Meaning.CLOCK: (10_002,),
    Meaning.UNSURE: (
        -1, 429, 10_000, 10_014, 10_016, 10_019, 40_004, 170_001, 170_007, 170_032, 170_035,
        170_146, 170_147, 170_234, 170_310, 500_000, 500_001, 3_400_214,
    ),
    Meaning.DUPLICATE: (110_030, 110_072, 170_141),
    Meaning.FAULTY: (
        10_001, 10_017, 10_404, 20_006, 30_208, 30_209, 110_003, 110_017, 110_019, 110_032,
        110_049, 110_050, 110_064, range(110_092, 110_095), 110_108, 110_109, 110_120, 110_121,
        3_100_181, 3_100_326,
    ),
    Meaning.FUNDS: (
        30_256, 110_004, 110_006, 110_007, 110_011, 110_012, 110_014, 110_039, 110_040,
        range(110_044, 110_048), range(110_051, 110_054), 110_131, 3_400_071,
    ),
    Meaning.LIMITS: (
        30_228, range(30_133, 30_137), 110_009, 110_013, 110_016, range(110_020, 110_024), 110_031,
        110_042, 110_048, 110_061, range(110_085, 110_088), 110_089, 110_090, 110_137, 3_400_139,
    ),
    Meaning.STATE: (
        110_001, 110_005, 110_008, 110_010, 110_015, 110_024, 110_028, 110_029,
        range(110_033, 110_039), 110_041, range(110_054, 110_061), 110_063, 110_073,
        range(110_076, 110_079), 110_082, 110_083, 110_095, 110_098, 110_099, 110_103, 110_118,
        110_135, 181_017, 3_200_403, range(3_400_052, 3_400_055), range(3_400_208, 3_400_214),
    ),
    Meaning.BARRED: (
        -2015, 10_003, 10_004, 10_005, 10_007, 10_008, 10_009, 10_010, 10_024, 10_027, 10_028,
        10_029, 33_004, 100_028, 110_018, range(110_066, 110_072), 110_074, 110_080, 110_088,
        110_096, 110_097, 110_100, range(110_123, 110_126), 110_132, 110_136, 500_010, 500_011,
        3_100_197, 3_200_320, 3_200_419, 3_200_425, 3_200_641, 3_401_010,
    ),
    # Options, spot, spreads, loans, bots and the like: refused whatever they say.
    Meaning.ELSEWHERE: (
        20_096, 30_035, range(60_000, 62_000), 81_007, 110_062, 110_065, range(110_101, 110_103),
        range(110_104, 110_108), range(110_110, 110_118), 110_119, range(110_300, 110_400),
        111_008, range(131_000, 132_000), range(140_000, 149_000), range(170_000, 171_000),
        range(176_000, 178_000), range(180_000, 183_000), range(400_000, 410_000),
        range(700_000, 701_000), range(790_000, 791_000), 3_200_316, 3_200_317,
        range(3_500_000, 3_501_000), range(3_777_000, 3_778_000), range(34_022_000, 34_023_000),
        35_000_011,
    ),
}  # fmt: skip

# Behind this word Bybit's text repeats the request that it could not verify.
ECHO = " origin_string"

# Where a request surely was not taken, and may be made again.
NOT_TAKEN = frozenset({Meaning.BUSY, Meaning.LATER, Meaning.CLOCK})

# HTTP's status for an address that asked too often, or from a country that is not served.
SHUT_OUT = 403
# HTTP's own statuses; any other may come after the request was carried out.
STATUSES = {
    400: Meaning.FAULTY,
    401: Meaning.BARRED,
    SHUT_OUT: Meaning.BUSY,
    404: Meaning.FAULTY,
    429: Meaning.BUSY,
}

# What says, for one deed only, that there is nothing left to do.
_DONE_FOR = {
    Deed.CANCEL: frozenset({110_001, 110_008, 110_010}),
    # Its texts tell of a position that is flat, or smaller than the order.
    Deed.CLOSE: frozenset({110_017}),
}

_SENTENCES = {
    10_003: "Bybit does not know this API key: it was deleted, or is one of another environment "
    "(live, demo, testnet).",
    10_004: "Bybit does not accept the signature: the API secret does not belong to the key.",
    10_005: "The API key lacks a permission: allow it orders and positions of contracts.",
    10_010: "The API key is bound to other addresses than this machine's: add this one.",
    10_027: "Bybit does not let this account trade.",
    10_028: "The account is not a unified one, and only those can be used: upgrade it.",
    33_004: "The API key has expired: make a new one.",
    110_001: "Bybit has no such order that is open.",
    110_003: "The price is outside of what Bybit allows at this moment.",
    110_017: "There is no position that this order could reduce.",
    110_024: "The position mode can't be switched while there is a position: close it first.",
    110_028: "The position mode can't be switched while there are orders: cancel them first.",
    110_066: "Bybit does not let this account trade at this moment.",
    110_074: "Bybit does not trade this symbol now.",
    110_094: "The order's value is below Bybit's minimum: take more size.",
}

_ALONE = {code: found for found, codes in TABLE.items() for code in codes if isinstance(code, int)}
_RANGES = [
    (codes, found) for found, entry in TABLE.items() for codes in entry if isinstance(codes, range)
]


def known(code: int) -> Meaning | None:
    """What a code means by the table: one that is named alone first, then its range."""
    if code in _ALONE:
        return _ALONE[code]
    return next((found for codes, found in _RANGES if code in codes), None)


def meaning(code: int, *, http: bool = False) -> Meaning:
    """What a code means, or a status of HTTP's.

    One that is not known was refused, but where the gateway or a broken server speaks, of which
    nobody knows what it did.
    """
    if http:
        return STATUSES.get(code, Meaning.UNSURE)
    unsure = code < 1_000 or 10_000 <= code < 11_000 or 500_000 <= code < 501_000
    return known(code) or (Meaning.UNSURE if unsure else Meaning.FAULTY)


def error(code: int, said: str, deed: Deed, *, http: bool = False) -> CountersignError:
    """The error that a refusal is; `said` is Bybit's text, without secrets."""
    found = meaning(code, http=http)
    sentence = found if http else _SENTENCES.get(code, found)
    said = said.partition(ECHO)[0]
    text = f"{sentence} (Bybit: {'HTTP ' if http else ''}{code} {said})"
    match found:
        case _ if found in NOT_TAKEN:
            return Unreachable(text)
        case Meaning.UNSURE | Meaning.DUPLICATE:
            return Unreachable(text) if deed is Deed.READ else OutcomeUnknown(text)
        case _:
            return ExchangeRefused(
                code,
                text,
                stops=found is Meaning.BARRED,
                benign=found is Meaning.DONE or code in _DONE_FOR.get(deed, ()),
            )
