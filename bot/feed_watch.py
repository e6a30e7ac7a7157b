"""Watches what connects a desk to its market and exchange, and has people told when it fails."""

from collections.abc import Mapping

from bot.chats import tell
from engine.desk import Desk
from engine.instruction import ReportTrouble
from engine.ports import FeedHealth
from engine.view import CoreView
from handlers.reply import Duration, show

LOOK_S = 5.0
# Streams drop now and then, and are back in seconds: nobody needs to know of those.
PATIENCE_MS = 30_000
# What an account that can't be heard means, and what is done once it can.
SHUT = "Nothing is opened until it is back; stops stand at the exchange."
BOOKED = "what happened meanwhile was read and is booked"


class LinkWatch:
    """Makes sentences of how a connection fares, one when it has failed and one when it is back.

    `name` is what it is called, `back` what is known once it is well again, `meanwhile` a sentence
    of what it means until then.
    """

    def __init__(self, name: str, back: str, meanwhile: str = "") -> None:
        self._name = name
        self._back = back
        self._meanwhile = meanwhile
        self._well_at: int | None = None
        self._told = False

    def look(self, wrong: str, now: int) -> str | None:
        """What people should be told now (`now` in UTC ms), if anything; `wrong` is empty while
        all is well."""
        if not wrong:
            down_since, self._well_at = self._well_at, now
            if not self._told:
                return None
            self._told = False
            away = show(Duration(now - (now if down_since is None else down_since)))
            return f"{self._name} back after {away}; {self._back}."
        if self._well_at is None:
            self._well_at = now
        if self._told or now - self._well_at < PATIENCE_MS:
            return None
        self._told = True
        return f"{self._name.rsplit(' ', 1)[0]}: {wrong}. {self._meanwhile}".rstrip()


def wrong_with_feed(health: FeedHealth) -> str:
    """What is wrong with live prices, in words; empty while nothing is."""
    found = []
    if not health.connected:
        found.append("the stream is down, candles are fetched when they have closed")
    if not health.rest_reachable:
        found.append("the exchange can't be asked either" if found else "REST can't be reached")
    if health.quiet:
        found.append(f"no candles of {', '.join(health.quiet)}")
    return "; ".join(found)


def wrong_with_accounts(view: CoreView) -> Mapping[str, str]:
    """Why each account at the exchange can't be heard, by the bots that share it; empty words
    while it can."""
    bots: dict[str, list[str]] = {}
    wrong: dict[str, str] = {}
    for each in view.accounts:
        if each.exchange is not None:
            account = each.exchange.uid or each.bot_id
            bots.setdefault(account, []).append(each.bot_id)
            wrong[account] = wrong.get(account) or each.exchange.down
    return {", ".join(bots[account]): wrong[account] for account in bots}


async def watch_feed(desk: Desk) -> None:
    """Watch the desk's market and accounts for as long as it runs."""
    prices = LinkWatch("Live prices are", "the candles missed were fetched")
    accounts: dict[str, LinkWatch] = {}
    while True:
        now = desk.clock.now()
        health = desk.market.health()
        said = [prices.look(wrong_with_feed(health), now)] if health is not None else []
        for bots, wrong in wrong_with_accounts(desk.view()).items():
            watch = accounts.setdefault(bots, LinkWatch(f"The account of {bots} is", BOOKED, SHUT))
            said.append(watch.look(wrong, now))
        for each in filter(None, said):
            await tell(desk, ReportTrouble(each))
        await desk.clock.sleep(LOOK_S)
