"""What a person is told when they open the terminal: once in full, afterwards in one line."""

from engine.candle import DAY_MS
from engine.desk import Desk
from engine.market.simulated import SimulatedMarket

TOUR = """Welcome to Countersign: a trading desk that you run by typing.

  No money is real here. This is a paper account of {deposit:,.0f} USDT on a
  {market}: its prices are made up. The bot {bot}
  has traded {days:.0f} days of it already. Now a candle of five minutes comes every
  {seconds:.0f} seconds until the market has caught up with the clock; fills appear above
  this line as they happen.

  On these invented prices it made {net:+,.2f} USDT net in {trades} trades:
  {realized:+,.2f} by price, {fees:,.2f} paid in fees, {funding:+,.2f} of funding. On Bybit's
  real BTC candles of ten months it lost about 40 %, two thirds of it in fees. Try a
  strategy on real candles before you believe in it: `countersign data fetch` stores
  them for /backtest; MARKET=bybit brings today's as they come, still on paper.

  Try    /status   /positions   /chart BTC   /pnl   /why BTC
         /strategy list   /backtest macross BTC 20   /bot pause {bot}
  Chat   The same desk answers in Telegram and Discord; `countersign doctor` says how
         to connect them: token, first admin, first message.
  Leave  Ctrl-D. The desk in this window ends with it; `countersign run` keeps
         one going without a window.
"""

BACK = "Countersign {version}. {badge}.\n/help lists the commands, Ctrl-D leaves."


def greeting(desk: Desk, newcomer: bool) -> str:
    """The tour for whoever is new to the demo, else one line."""
    view = desk.view()
    market = desk.market
    if not (newcomer and isinstance(market, SimulatedMarket) and market.speed > 0):
        return BACK.format(version=desk.version, badge=desk.badge)
    account = view.accounts[0]
    ledger = account.ledger
    return TOUR.format(
        deposit=ledger.deposit,
        market=market.label,
        bot=account.bot_id,
        days=(view.market_time - market.anchor) / DAY_MS,
        seconds=market.interval / 1000 / market.speed,
        net=ledger.net,
        realized=ledger.realized,
        fees=ledger.fees,
        funding=ledger.funding,
        trades=ledger.trades,
    )
