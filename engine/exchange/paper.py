"""The paper exchange: every paper account of the desk, behind the engine's exchange port."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

from engine.effect import Cancel, Protect, Resume, Submit, ToExchange
from engine.errors import Broken, Unreachable
from engine.event import CandleClosed, Journaled, PriceTicked
from engine.exchange.paper_book import STATE_VERSION, PaperBook
from engine.ports import Books, StateRow, stored


class PaperExchange:
    """The port `Exchange` for paper accounts. They change by candles, prices and instructions."""

    def __init__(
        self,
        books: Sequence[PaperBook],
        symbols: Mapping[str, Sequence[str]],
        new_book: Callable[[str, Decimal], PaperBook] | None = None,
    ) -> None:
        """`symbols` are those that each account trades; `new_book` makes one for an account and
        its deposit, where accounts may be opened."""
        self._books = {book.account: book for book in books}
        self._new_book = new_book
        self._by_symbol: dict[str, list[PaperBook]] = {}
        for book in books:
            self._follow(book, symbols[book.account])
        self._dirty: dict[str, None] = {}
        self._post: Callable[[Journaled], None] | None = None

    def _follow(self, book: PaperBook, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._by_symbol.setdefault(symbol, []).append(book)

    def open_account(self, account: str, deposit: Decimal, symbols: Sequence[str]) -> None:
        assert self._new_book is not None
        book = self._books[account] = self._new_book(account, deposit)
        self._follow(book, symbols)

    def close_account(self, account: str) -> None:
        closed = self._books[account]
        for symbol, books in self._by_symbol.items():
            self._by_symbol[symbol] = [book for book in books if book is not closed]

    def restore(self, states: Mapping[str, StateRow]) -> None:
        for account, book in self._books.items():
            if body := stored(states, f"paper:{account}", STATE_VERSION):
                book.load(body)
            # What is held goes on, whether or not a bot still trades its symbol.
            for symbol in book.busy:
                books = self._by_symbol.setdefault(symbol, [])
                if book not in books:
                    books.append(book)

    def take_over(self, books: Sequence[Books]) -> None:
        """A paper account has its own books, restored with the rest."""

    async def run(self, post: Callable[[Journaled], None]) -> None:
        """Candles and prices bring about what happens here, but for the emergency stop."""
        self._post = post

    @property
    def books(self) -> Mapping[str, PaperBook]:
        return self._books

    def by_force(self, account: str, act: Callable[[PaperBook], Sequence[Journaled]]) -> None:
        """Have something happen to an account now, and tell of it; raises Unreachable where nobody
        listens yet."""
        if self._post is None:
            raise Unreachable("the desk is not running yet")
        self._dirty[account] = None
        for each in act(self._books[account]):
            self._post(each)

    async def survey(self) -> None:
        """Paper accounts are never looked for elsewhere."""

    def quantities(self) -> dict[str, dict[str, Decimal]]:
        return {
            account: {p.symbol: p.quantity for p in book.state.positions.values()}
            for account, book in self._books.items()
        }

    async def carry_out(self, instruction: ToExchange) -> Sequence[Journaled]:
        account: str
        step: Submit | Cancel | Protect
        match instruction:
            case Submit(order) | Resume(order):
                account, step = order.account, Submit(order)
            case Cancel(account) | Protect(account):
                step = instruction
            case _:
                raise Broken(f"{type(instruction).__name__} is not for paper accounts")
        self._dirty[account] = None
        return self._books[account].step(step)

    def on_candle(self, candle: CandleClosed) -> Sequence[Journaled]:
        answers: Sequence[Journaled] = ()
        for book in self._by_symbol.get(candle.symbol, ()):
            self._dirty[book.account] = None
            answers = [*answers, *book.step(candle)] if answers else book.step(candle)
        return answers

    def on_tick(self, tick: PriceTicked) -> Sequence[Journaled]:
        answers: list[Journaled] = []
        for book in self._by_symbol.get(tick.symbol, ()):
            if tick.symbol in book.busy:
                self._dirty[book.account] = None
            answers.extend(book.step(tick))
        return answers

    def dirty_states(self) -> list[StateRow]:
        rows = [self._books[account].dump() for account in self._dirty]
        self._dirty.clear()
        return rows
