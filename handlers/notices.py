"""News of the desk in words: one or two lines each, for every surface alike."""

from decimal import Decimal

from engine.drafts import instruction_of
from engine.effect import Notice, NoticeKind
from engine.instruction import SetRole
from engine.order import Fill, Order, Reason, Side
from engine.position import Trade
from engine.proposal import Proposal, ProposalKind, ProposalState
from engine.tuning import ChangeKind
from handlers.cards import ended, headline, standing
from handlers.market import symbol_buttons
from handlers.reply import (
    Button,
    Code,
    Duration,
    Money,
    Percent,
    Quantity,
    Reply,
    Text,
    Time,
    reply,
    show,
)
from handlers.tickets import exact_price
from handlers.tuning_cards import (
    HISTORY,
    OUTCOMES,
    STUDIES,
    evidence_chart,
    in_a_line,
    made_by,
    study_button,
    undo_button,
    watched_words,
)

REASON_WORDS = {
    Reason.EMA_CROSS: "the price fell through a long average",
    Reason.STOP_LOSS: "stop loss",
    Reason.TAKE_PROFIT: "take profit",
    Reason.TRAILING_STOP: "trailing stop",
    Reason.MA_EXIT: "the price is on the wrong side of its average",
    Reason.TIME_EXIT: "greatest age reached",
    Reason.LIQUIDATION: "LIQUIDATION: the margin was used up",
    Reason.MANUAL_ENTRY: "ordered by hand",
    Reason.MANUAL_EXIT: "closed by hand",
    Reason.KILL: "emergency stop",
    Reason.LONG_ENTRY: "the strategy expects a rise",
    Reason.SHORT_ENTRY: "the strategy expects a fall",
    Reason.LONG_EXIT: "the rise it was bought for is over",
    Reason.SHORT_EXIT: "the fall it was sold for is over",
    Reason.SIGNAL_REVERSAL: "the strategy's signal turned around",
    Reason.VOLATILITY_BREAKOUT: "the price broke out of a quiet stretch",
    Reason.RULE_6: "a pump with momentum and volatility (rule 6)",
    Reason.RULE_8: "a pump with a good score (rule 8)",
    Reason.AUTO_DELEVERAGING: "AUTO-DELEVERAGING: the exchange closed it for somebody else's loss",
    Reason.SETTLEMENT: "the exchange settled it",
    Reason.EXTERNAL: "not the desk's own doing",
    Reason.UNPROTECTED: "it could be given no stop",
}

ANCHOR = (
    "The audit's end today. Keep this message: countersign audit verify --head with it shows "
    "whether anything before it was changed or cut away."
)
STATUS = Button("Status", "/status")
TRADES = Button("Trades", "/trades")
ORDERS = Button("Orders", "/orders")
TUNE = Button("Parameters", "/tune show")


def notice_reply(notice: Notice) -> Reply:
    """What people are told; the surface that shows it adds the badge."""
    match notice.kind:
        case NoticeKind.ENTRY:
            return _entry(notice)
        case NoticeKind.EXIT:
            return _exit(notice)
        case NoticeKind.ORDER_REJECTED:
            return _rejected(notice)
        case NoticeKind.ORDER_CANCELED:
            return _canceled(notice)
        case NoticeKind.BOT_PAUSED:
            text = f"{notice.bot_id} was paused by {notice.text}. Open positions are still managed."
            return _told(text, Button(f"Resume {notice.bot_id}", f"/bot resume {notice.bot_id}"))
        case NoticeKind.BOT_RESUMED:
            text = f"{notice.bot_id} was resumed by {notice.text}."
            return _told(text, Button(f"Pause {notice.bot_id}", f"/bot pause {notice.bot_id}"))
        case NoticeKind.DESK_STARTED:
            return _told(f"The desk is running, version {notice.text}.", STATUS)
        case NoticeKind.DESK_STOPPED:
            return _told(
                f"The desk has stopped, {show(Time(notice.ts))}. Nothing is traded until it runs "
                "again; what is open is managed by nobody but the exchange."
            )
        case NoticeKind.DESK_HALTED:
            return _halted(notice)
        case NoticeKind.MARKET_ENDED:
            text = "The market has ended: every candle there is was taken."
            return _told(text, Button("P&L", "/pnl"), TRADES)
        case NoticeKind.MARKET_REMARK:
            return _told(f"About this market: {notice.text}")
        case NoticeKind.PRICE_ALERT:
            return _alert(notice)
        case NoticeKind.TROUBLE:
            return _told(f"{notice.text}", Button("Health", "/health"))
        case NoticeKind.DESK_RESUMED:
            text = f"Trading was resumed by {notice.actor}: bots may open positions again."
            return _told(text, STATUS, Button("Halt", "/halt"))
        case NoticeKind.PROPOSED:
            return _told(_proposed(_proposal(notice)))
        case NoticeKind.PROPOSAL_ENDED if _proposal(notice).kind is ProposalKind.ACCESS:
            return _told(_let_in(_proposal(notice)))
        case NoticeKind.PROPOSAL_CHANGED | NoticeKind.PROPOSAL_ENDED:
            return _told(_changed(_proposal(notice)))
        case NoticeKind.SECURITY:
            return _told(f"Security: {notice.text}", Button("People", "/people"))
        case NoticeKind.KILL:
            return _told(f"KILL: {notice.text}", STATUS, Button("Positions", "/positions"))
        case NoticeKind.DIFFERENCE:
            return _told(f"{notice.text}", Button("Reconcile", "/reconcile"))
        case NoticeKind.PROTECTION:
            return _told(f"{notice.text}", Button("Positions", "/positions"), ORDERS)
        case NoticeKind.ORDER_UNKNOWN:
            return _unknown(notice)
        case NoticeKind.RISK:
            return _told(f"{notice.text}", Button("Risk", "/risk"), Button("Locks", "/locks"))
        case NoticeKind.DESK_CHANGED:
            return _told(f"{notice.text}", Button("Bots", "/bot list"))
        case NoticeKind.TUNED:
            return _tuned(notice)
        case NoticeKind.TUNING:
            return _told(f"{notice.text}", TUNE, OUTCOMES if notice.change else STUDIES)
        case NoticeKind.AUDIT_ANCHOR:
            return reply(Text(ANCHOR), Code(f"{notice.text}"))


def _proposed(proposal: Proposal) -> str:
    """One line for where there are no cards, with what to type."""
    number = proposal.proposal_id
    approve = f"/approve {number} {proposal.phrase}".rstrip()
    return (
        f"{headline(proposal)}. Asked by {proposal.asker}, ends {show(Time(proposal.expires_at))}: "
        f"{approve} or /reject {number}; /proposals {number} shows it."
    )


def _let_in(proposal: Proposal) -> str:
    """What whoever asked to be let in is told; the desk's own words are for those who are in."""
    wanted = instruction_of(proposal)
    if proposal.state is not ProposalState.DONE or not isinstance(wanted, SetRole):
        return "You are not let in. /access asks again."
    return f"You are let in as {wanted.role.word}. /start says what you can do."


def _changed(proposal: Proposal) -> str:
    if proposal.state.is_final:
        return ended(proposal)
    return f"{headline(proposal)}. {standing(proposal)}"


def _told(text: str, *buttons: Button) -> Reply:
    return reply(Text(text), buttons=buttons)


def _entry(notice: Notice) -> Reply:
    fill = _fill(notice)
    verb = "Bought" if fill.side is Side.BUY else "Sold"
    is_strange = fill.close_reason is Reason.EXTERNAL
    levels = ", with no stop of the desk's" if is_strange else _levels(notice.order)
    why = REASON_WORDS[fill.close_reason]
    text = f"{verb} {_traded(fill)}{levels}.\n{_by(notice)}: {why}."
    return _told(text, *symbol_buttons(fill.symbol))


def _exit(notice: Notice) -> Reply:
    fill = _fill(notice)
    verb = "Sold" if fill.side is Side.SELL else "Bought back"
    result = _result(notice.trade) if notice.trade else "part of the position, the rest is open"
    balance = "" if notice.balance is None else f" Balance {_usdt(notice.balance)}."
    why = REASON_WORDS[fill.close_reason]
    text = f"{verb} {_traded(fill)}: {result}.\n{_by(notice)}: {why}.{balance}"
    return _told(text, TRADES, *symbol_buttons(fill.symbol))


def _rejected(notice: Notice) -> Reply:
    order = notice.order
    assert order is not None
    verb = "buy" if order.side is Side.BUY else "sell"
    what = f"The order to {verb} {show(Quantity(order.quantity))} {order.symbol}"
    why = (notice.text or "").rstrip(".")
    text = f"{what} was not carried out: {why}.{_still_open(order)}\n{_by(notice)}."
    if order.reduce_only:
        return _told(text, Button("Positions", "/positions"), ORDERS)
    return _told(text, ORDERS, Button("Why", f"/why {order.symbol}"))


def _still_open(order: Order) -> str:
    """What becomes of the position that an order should have closed and did not."""
    if not order.reduce_only:
        return ""
    if order.reason is Reason.MANUAL_EXIT:
        return " The position is open as before; /close tries again."
    return " The position is open as before; the desk tries again until it is closed."


def _canceled(notice: Notice) -> Reply:
    order = notice.order
    assert order is not None
    verb = "buy" if order.side is Side.BUY else "sell"
    price = order.price or order.trigger_price
    at = "" if price is None else f" at {_price(price)}"
    what = f"The order to {verb} {show(Quantity(order.remaining))} {order.symbol}{at}"
    if order.expires_at and notice.ts >= order.expires_at:
        waited = show(Duration(order.expires_at - order.created_at))
        return _told(f"{what} is withdrawn: it waited {waited}.\n{_by(notice)}.", ORDERS)
    if notice.text == "withdrawn":
        return _told(f"{what} is withdrawn.\n{_by(notice)}.", ORDERS)
    why = "" if notice.text in (None, "", "canceled") else f": {notice.text}"
    return _told(f"{what} is canceled{why}.\n{_by(notice)}.", ORDERS)


def _unknown(notice: Notice) -> Reply:
    order = notice.order
    assert order is not None
    verb = "buy" if order.side is Side.BUY else "sell"
    what = f"An order to {verb} {show(Quantity(order.quantity))} {order.symbol}"
    text = (
        f"{what} was sent, and nobody knows yet whether it arrived: {notice.text}. The exchange is "
        f"being asked; nothing is sent again.\n{_by(notice)}."
    )
    return _told(text, ORDERS, Button("Reconcile", "/reconcile"))


def _alert(notice: Notice) -> Reply:
    alert = notice.alert
    assert alert is not None
    text = (
        f"{alert.symbol} is {alert.direction} {_price(alert.price)}.\n"
        f"Alert {alert.alert_id}, {show(Time(notice.ts))}. It is done; /alert sets another."
    )
    return _told(text, *symbol_buttons(alert.symbol))


def _tuned(notice: Notice) -> Reply:
    """A change of parameters that took effect: what, by whom, why, on what grounds."""
    change, evidence = notice.change, notice.evidence
    assert change is not None
    who = made_by(change, f"{notice.actor}")
    because = f": {change.reason.rstrip('.')}" if change.reason else ""
    is_new = change.kind is ChangeKind.SET
    watched = f" {watched_words(change.expected, change.tier)}" if is_new else ""
    lines = [f"{notice.text}", f"{who[:1].upper()}{who[1:]}{because}.{watched}"]
    if evidence is not None:
        lines.insert(1, in_a_line(evidence))
    undo = () if change.kind is ChangeKind.UNDO else (undo_button(change),)
    drawn = [] if evidence is None else [evidence_chart(evidence, notice.bot_id or "")]
    return reply(
        Text("\n".join(lines)), *drawn, buttons=(*undo, *study_button(change.study), HISTORY)
    )


def _halted(notice: Notice) -> Reply:
    managed = "Open positions are still managed."
    if notice.actor:
        why = f" ({notice.text})" if notice.text else ""
        said = f"HALTED by {notice.actor}{why}: no new positions until an admin says /resume."
        text = f"{said}\n{managed}"
        return _told(text, STATUS, Button("Resume", "/resume"))
    why = notice.text or ""
    said = f"{why[:1].upper()}{why[1:]}"
    text = f"HALTED: no new positions until an admin says /resume. {said}.\n{managed}"
    return _told(text, STATUS, Button("Health", "/health"), Button("Resume", "/resume"))


def _proposal(notice: Notice) -> Proposal:
    assert notice.proposal is not None
    return notice.proposal


def _fill(notice: Notice) -> Fill:
    assert notice.fill is not None
    return notice.fill


def _traded(fill: Fill) -> str:
    return f"{show(Quantity(fill.exec_qty))} {fill.symbol} at {_price(fill.exec_price)}"


def _levels(order: Order | None) -> str:
    """The protection that an entry carries, as far as it has one."""
    if order is None:
        return ""
    named = {"stop": order.stop_loss, "target": order.take_profit}
    words = [f"{name} {_price(level)}" for name, level in named.items() if level is not None]
    return f", {', '.join(words)}" if words else ""


def _result(trade: Trade) -> str:
    net = show(Money(trade.net_pnl, signed=True))
    share = show(Percent(trade.pnl_pct, signed=True))
    held = show(Duration(trade.exit_time - trade.entry_time))
    return f"{net} USDT net ({share}) after {held}"


def _by(notice: Notice) -> str:
    return f"{notice.bot_id}, {show(Time(notice.ts))}"


def _price(price: Decimal) -> str:
    return show(exact_price(price))


def _usdt(amount: Decimal) -> str:
    return f"{show(Money(amount))} USDT"
