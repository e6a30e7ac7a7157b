"""Bybit as the engine's exchange: what each account is told to do goes to the key it trades by."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from engine.effect import Resume, Submit, ToExchange
from engine.errors import Broken
from engine.event import CandleClosed, Journaled, PriceTicked
from engine.exchange.orders import Tell
from engine.exchange.venue import Venue, VenueHealth
from engine.ports import Books, StateRow


class BybitExchange:
    """All accounts of the desk at Bybit, behind the engine's exchange port.

    `venue_of` says by which key an account trades that is added later; the first one by default.
    Nothing is remembered here from one process to the next: what the books say is enough.
    """

    def __init__(
        self, venues: Sequence[Venue], venue_of: Callable[[str], Venue] | None = None
    ) -> None:
        if not venues:
            raise Broken("an exchange without an account")
        self._venues = tuple(venues)
        self._venue_of = venue_of or (lambda account: venues[0])

    def restore(self, states: Mapping[str, StateRow]) -> None:
        """Nothing is stored here."""

    def dirty_states(self) -> list[StateRow]:
        return []

    def quantities(self) -> None:
        """Bybit has to be asked: surveys tell."""
        return

    # -- accounts ------------------------------------------------------------------------------

    def take_over(self, books: Sequence[Books]) -> None:
        """Raises BadSettings where two accounts of one key hold the same symbol."""
        for each in books:
            if self._keeper(each.account) is None:
                self._venue_of(each.account).open_account(each.account, ())
            self._venue(each.account).take_over(each)

    def open_account(self, account: str, deposit: Decimal, symbols: Sequence[str]) -> None:
        """Raises BadSettings where another account of the same key has one of the symbols."""
        keeper = self._keeper(account) or self._venue_of(account)
        keeper.open_account(account, symbols)

    def close_account(self, account: str) -> None:
        self._venue(account).close_account(account)

    def taken(self, account: str, symbols: Sequence[str]) -> str:
        """Why an account can't trade these symbols; empty where it can."""
        keeper = self._keeper(account) or self._venue_of(account)
        return keeper.owners.taken(account, symbols)

    def _keeper(self, account: str) -> Venue | None:
        return next((v for v in self._venues if account in v.owners.accounts), None)

    def _venue(self, account: str) -> Venue:
        keeper = self._keeper(account)
        if keeper is None:
            raise Broken(f"no API key trades account {account}")
        return keeper

    # -- work ----------------------------------------------------------------------------------

    async def run(self, post: Tell) -> None:
        async with asyncio.TaskGroup() as group:
            for venue in self._venues:
                group.create_task(venue.run(post))

    async def survey(self) -> None:
        """Look at all accounts; those that can be asked are told of, whatever happens to others."""
        looks = (venue.survey() for venue in self._venues)
        for found in await asyncio.gather(*looks, return_exceptions=True):
            if isinstance(found, BaseException):
                raise found

    async def carry_out(self, instruction: ToExchange) -> Sequence[Journaled]:
        """Take an instruction; what comes of it is told by `run`."""
        match instruction:
            case Submit(order) | Resume(order):
                account = order.account
            case _:
                account = instruction.account
        self._venue(account).carry_out(instruction)
        return ()

    def on_candle(self, candle: CandleClosed) -> Sequence[Journaled]:
        return ()

    def on_tick(self, tick: PriceTicked) -> Sequence[Journaled]:
        """Prices only move stops to break-even here, which is told later."""
        for venue in self._venues:
            venue.tick(tick)
        return ()

    def health(self) -> list[VenueHealth]:
        """How each account at the exchange is heard."""
        return [venue.health() for venue in self._venues]
