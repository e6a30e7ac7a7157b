"""Whether an API key and its account are fit to be traded, and what a person has to mend."""

from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

from engine.bybit.account import AccountApi, AccountInfo, KeyInfo, VenuePosition
from engine.candle import DAY_MS
from engine.errors import BadSettings, ExchangeRefused
from engine.exchange.venue import CLOCK_OFF_MS
from engine.order import ZERO

# A key that expires so soon is worth a remark.
EXPIRES_SOON_MS = 7 * DAY_MS
MARGIN_MODES = {"ISOLATED_MARGIN": "isolated", "REGULAR_MARGIN": "cross"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an account should be. `margin_mode` is Bybit's word, `uid` whose books these are (empty:
    nobody's yet), `capital` what its bots have together, in USDT."""

    margin_mode: str = "ISOLATED_MARGIN"
    uid: str = ""
    allow_withdrawal: bool = False
    capital: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know: `stops` says that nothing can be traded until it is mended,
    `automatic` that the desk mends it itself when it starts."""

    stops: bool
    text: str
    mend: str
    automatic: bool = False

    def __str__(self) -> str:
        return f"{self.text} {self.mend}"


async def check_venue(
    api: AccountApi, symbols: Sequence[str], wanted: Wanted, now: int
) -> tuple[KeyInfo | None, list[Finding]]:
    """What there is to say of a key and its account, for bots in these `symbols`; only reads.

    `now` is UTC ms. Of a key that Bybit does not accept nothing else can be said: then it is None.
    Raises Unreachable.
    """
    try:
        key = await api.key_info()
        findings = [*_of_key(key, wanted, now), *await _of_account(api, wanted)]
    except ExchangeRefused as refused:
        mend = "Look at the key on Bybit's site, under API management, and put it into .env."
        return None, [Finding(True, str(refused), mend)]
    for symbol in symbols:
        findings += await _of_symbol(api, symbol)
    findings += await _of_clock(api)
    return key, findings


async def open_venue(
    api: AccountApi, symbols: Sequence[str], wanted: Wanted, now: int
) -> tuple[KeyInfo, list[Finding]]:
    """Bring an account into the modes that are wanted, where nothing is held that stands against
    it; what else there is to say.

    Raises BadSettings with the mends where something stops it from being traded, Unreachable.
    """
    key, findings = await check_venue(api, symbols, wanted, now)
    if key is not None and any(finding.automatic for finding in findings):
        await _set_up(api, symbols, wanted)
        key, findings = await check_venue(api, symbols, wanted, now)
    stopping = [str(finding) for finding in findings if finding.stops or finding.automatic]
    if key is None or stopping:
        raise BadSettings(" ".join(stopping))
    return key, findings


def _of_key(key: KeyInfo, wanted: Wanted, now: int) -> Iterable[Finding]:
    if not key.may_trade:
        kind = "can only read" if key.read_only else "may not trade contracts"
        yield Finding(
            True,
            f"The API key {kind}.",
            "Give it read and write access to Unified Trading, orders and positions.",
        )
    if key.may_withdraw and not wanted.allow_withdrawal:
        yield Finding(
            True,
            "The API key may withdraw money: whoever steals it empties the account.",
            "Make one without that permission, or set allow_withdraw_keys if you insist.",
        )
    if wanted.uid and key.uid != wanted.uid:
        yield Finding(
            True,
            f"The API key belongs to account {key.uid}, these books to account {wanted.uid}.",
            "Put the key of that account into .env, or use another DATA_DIR for this one.",
        )
    if key.expires_at is not None and key.expires_at < now + EXPIRES_SOON_MS:
        over = key.expires_at <= now
        days = (key.expires_at - now) // DAY_MS
        text = "The API key has expired." if over else f"The API key expires in {days} days."
        yield Finding(over, text, "Make a new one, or bind it to this machine's address.")
    if not key.ips:
        yield Finding(
            False,
            "The API key may be used from any address.",
            "Bind it to this machine's address on Bybit's site.",
        )


async def _of_account(api: AccountApi, wanted: Wanted) -> list[Finding]:
    info, wallet = await api.account_info(), await api.wallet()
    findings = []
    if not info.unified:
        text = "The account is not a unified trading account, and only those can be used."
        findings.append(Finding(True, text, "Upgrade it on Bybit's site."))
    elif info.margin_mode != wanted.margin_mode:
        findings.append(await _of_margin(api, info, wanted))
    if wallet.equity <= ZERO:
        text = "The account holds no USDT."
        findings.append(Finding(True, text, "Deposit some, or transfer it to Unified Trading."))
    elif wallet.equity < wanted.capital:
        text = (
            f"The account is worth {wallet.equity:.2f} USDT, its bots have a capital of "
            f"{wanted.capital:.2f} USDT together."
        )
        findings.append(Finding(False, text, "Lower their capital, or deposit more."))
    return findings


async def _of_margin(api: AccountApi, info: AccountInfo, wanted: Wanted) -> Finding:
    is_mode, to_be = (
        MARGIN_MODES.get(mode, mode) for mode in (info.margin_mode, wanted.margin_mode)
    )
    text = f"The account's margin mode is {is_mode}, the settings say {to_be}."
    if await _taken(api):
        mend = "Close all positions and orders first, or change `margin` in countersign.toml."
        return Finding(True, text, mend)
    return Finding(False, text, "The desk switches it when it starts.", automatic=True)


async def _of_symbol(api: AccountApi, symbol: str) -> list[Finding]:
    try:
        position = await api.position(symbol)
    except ExchangeRefused as refused:
        text = f"Bybit does not know {symbol} as a linear contract: {refused}"
        return [Finding(True, text, "Take it out of the bot's symbols in countersign.toml.")]
    findings = []
    if position.index:
        findings.append(await _of_hedge(api, position))
    if position.is_reduce_only:
        text = f"Bybit lets the position in {symbol} only be reduced: its risk limit was lowered."
        findings.append(Finding(False, text, "Lower its leverage or size, and confirm it there."))
    return findings


async def _of_hedge(api: AccountApi, position: VenuePosition) -> Finding:
    symbol = position.symbol
    text = f"{symbol} is in hedge mode, and only one-way mode can be traded."
    if symbol in await _taken(api):
        mend = f"Close its positions and orders, and switch {symbol} to one-way mode."
        return Finding(True, text, mend)
    return Finding(False, text, "The desk switches it when it starts.", automatic=True)


async def _taken(api: AccountApi) -> set[str]:
    """The symbols in which something is held, or rests."""
    positions, orders = await api.positions(), await api.open_orders()
    unread = {each.symbol for each in (*positions.unread, *orders.unread)}
    return unread | {each.symbol for each in positions} | {each.symbol for each in orders}


async def _of_clock(api: AccountApi) -> list[Finding]:
    await api.server_time()
    if abs(api.offset_ms) <= CLOCK_OFF_MS:
        return []
    text = f"This machine's clock is {abs(api.offset_ms)} ms off Bybit's: nothing is opened."
    return [Finding(False, text, "Turn on NTP (timedatectl set-ntp true).")]


async def _set_up(api: AccountApi, symbols: Sequence[str], wanted: Wanted) -> None:
    """Switch modes; what was refused, a second look finds."""
    if (await api.account_info()).margin_mode != wanted.margin_mode:
        await _unless_refused(api.set_margin_mode(wanted.margin_mode))
    for symbol in symbols:
        with suppress(ExchangeRefused):
            if (await api.position(symbol)).index:
                await api.set_one_way(symbol)


async def _unless_refused(change: Awaitable[None]) -> None:
    with suppress(ExchangeRefused):
        await change
