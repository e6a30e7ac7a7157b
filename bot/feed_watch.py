"""Watches a live market's feed, and has people told when it fails and when it is back."""

from bot.chats import tell
from engine.desk import Desk
from engine.event import ReportTrouble
from engine.ports import FeedHealth
from handlers.reply import Duration, show

LOOK_S = 5.0
# Streams drop now and then, and are back in seconds: nobody needs to know of those.
PATIENCE_MS = 30_000


class FeedWatch:
    """Makes sentences of how a feed fares, one when it has failed and one when it is back."""

    def __init__(self) -> None:
        self._well_at: int | None = None
        self._told = False

    def look(self, health: FeedHealth, now: int) -> str | None:
        """What people should be told now (`now` in UTC ms), if anything."""
        wrong = _wrong(health)
        if not wrong:
            down_since, self._well_at = self._well_at, now
            if not self._told:
                return None
            self._told = False
            away = show(Duration(now - (now if down_since is None else down_since)))
            return f"Live prices are back after {away}; the candles missed were fetched."
        if self._well_at is None:
            self._well_at = now
        if self._told or now - self._well_at < PATIENCE_MS:
            return None
        self._told = True
        return f"Live prices: {wrong}."


def _wrong(health: FeedHealth) -> str:
    found = []
    if not health.connected:
        found.append("the stream is down, candles are fetched when they have closed")
    if not health.rest_reachable:
        found.append("the exchange can't be asked either" if found else "REST can't be reached")
    if health.quiet:
        found.append(f"no candles of {', '.join(health.quiet)}")
    return "; ".join(found)


async def watch_feed(desk: Desk) -> None:
    """Watch the desk's market for as long as it runs."""
    watch = FeedWatch()
    while True:
        health = desk.market.health()
        if health is not None and (said := watch.look(health, desk.clock.now())):
            await tell(desk, ReportTrouble(said))
        await desk.clock.sleep(LOOK_S)
