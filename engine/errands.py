"""What people want of the desk besides trading: news in a chat, reports at times, price alerts.

Pure functions of the core's memory, like `booking`.
"""

from dataclasses import replace

from engine.alert import Alert
from engine.effect import Done, Effect, NotDone, Notice, NoticeKind, Notify, Outcome, Record
from engine.instruction import (
    AddAlert,
    AddSchedule,
    PutChat,
    RemoveAlert,
    RemoveSchedule,
    ReportTrouble,
    ScheduleRan,
)
from engine.memory import Memory
from engine.schedule import Schedule

# More are a script's doing, and would make every price slower to take.
ALERTS_MAX = 100
SCHEDULES_MAX = 100
# No market quotes finer, and no database keeps any number of them.
PRICE_DECIMALS_MAX = 12

Errand = (
    PutChat | ReportTrouble | AddSchedule | RemoveSchedule | ScheduleRan | AddAlert | RemoveAlert
)


def run(memory: Memory, errand: Errand, actor: str, ts: int) -> Outcome:
    """Remember what is wanted; the answer, and what is to be stored and told. `ts` is wall ms."""
    match errand:
        case PutChat():
            return _put_chat(errand, ts)
        case ReportTrouble(text):
            return Done(text), [Notify(Notice(NoticeKind.TROUBLE, ts, text=text))]
        case AddSchedule():
            return _add_schedule(memory, errand, actor, ts)
        case RemoveSchedule(schedule_id):
            return _remove_schedule(memory, schedule_id)
        case ScheduleRan(schedule_id, due):
            return _schedule_ran(memory, schedule_id, due)
        case AddAlert():
            return _add_alert(memory, errand, actor)
        case RemoveAlert(alert_id):
            return _remove_alert(memory, alert_id)


def price_alerts(
    memory: Memory, symbol: str, low: float, high: float, ts: int, since: int
) -> list[Effect]:
    """Tell the alerts that a price between `low` and `high` meets, each once.

    Prices from `since` (ms) on are meant: an alert that was set later may not have seen them.
    """
    alerts = memory.desk.alerts
    met = [
        alert
        for alert in alerts.values()
        if alert.symbol == symbol and alert.created_at <= since and alert.met(low, high)
    ]
    effects: list[Effect] = []
    for alert in met:
        del alerts[alert.alert_id]
        fired = replace(alert, fired_at=ts)
        effects += [Record(fired), Notify(_told(fired))]
    return effects


def _told(alert: Alert) -> Notice:
    return Notice(
        NoticeKind.PRICE_ALERT,
        alert.fired_at,
        symbol=alert.symbol,
        alert=alert,
        address=alert.address,
    )


def _put_chat(errand: PutChat, ts: int) -> Outcome:
    chat = errand.chat
    effects: list[Effect] = [Record(chat)]
    if chat.gone:
        text = f"Nothing can be sent to the {chat.surface} chat {chat.chat_id}: {chat.gone}."
        effects.append(Notify(Notice(NoticeKind.TROUBLE, ts, text=text)))
        return Done(text), effects
    if chat.subscribed:
        return Done("This chat is told the desk's news from now on."), effects
    return Done("This chat is told no more news."), effects


def _add_schedule(memory: Memory, errand: AddSchedule, actor: str, ts: int) -> Outcome:
    desk = memory.desk
    if len(desk.schedules) >= SCHEDULES_MAX:
        return NotDone(f"There are {SCHEDULES_MAX} schedules already. Remove one first."), []
    desk.schedules_made += 1
    at = errand.address
    schedule = Schedule(
        schedule_id=desk.schedules_made,
        cron=errand.cron,
        zone=errand.zone,
        command=errand.command,
        surface=at.surface,
        chat_id=at.chat_id,
        thread_id=at.thread_id,
        created_by=actor,
        created_at=ts,
        last_due=ts,
    )
    desk.schedules[schedule.schedule_id] = schedule
    return Done(f"Schedule {schedule.schedule_id} is set."), [Record(schedule)]


def _remove_schedule(memory: Memory, schedule_id: int) -> Outcome:
    schedule = memory.desk.schedules.pop(schedule_id, None)
    if schedule is None:
        return NotDone(f"There is no schedule {schedule_id}."), []
    return Done(f"Schedule {schedule_id} is removed."), [Record(replace(schedule, removed=True))]


def _schedule_ran(memory: Memory, schedule_id: int, due: int) -> Outcome:
    schedule = memory.desk.schedules.get(schedule_id)
    if schedule is None or due <= schedule.last_due:
        return NotDone(f"Schedule {schedule_id} has run for that time, or is removed."), []
    ran = memory.desk.schedules[schedule_id] = replace(schedule, last_due=due)
    return Done(f"Schedule {schedule_id} ran."), [Record(ran)]


def _add_alert(memory: Memory, errand: AddAlert, actor: str) -> Outcome:
    desk = memory.desk
    if len(desk.alerts) >= ALERTS_MAX:
        return NotDone(f"There are {ALERTS_MAX} alerts already. Remove one first."), []
    exponent = errand.price.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -PRICE_DECIMALS_MAX:
        return NotDone(f"A price has at most {PRICE_DECIMALS_MAX} decimals."), []
    at = errand.address
    alert = Alert(
        alert_id=desk.alerts_made + 1,
        symbol=errand.symbol,
        direction=errand.direction,
        price=errand.price,
        surface=at.surface,
        chat_id=at.chat_id,
        thread_id=at.thread_id,
        created_by=actor,
        created_at=max(desk.market_time, desk.told_until),
    )
    price = desk.prices.get(errand.symbol)
    if price is not None and alert.met(price, price):
        text = f"{errand.symbol} is at {memory.mark(errand.symbol)}, {errand.direction} that now."
        return NotDone(text), []
    desk.alerts_made += 1
    desk.alerts[alert.alert_id] = alert
    text = f"Alert {alert.alert_id} waits for {alert.symbol} {alert.direction} {alert.price:f}."
    return Done(text), [Record(alert)]


def _remove_alert(memory: Memory, alert_id: int) -> Outcome:
    alert = memory.desk.alerts.pop(alert_id, None)
    if alert is None:
        return NotDone(f"No alert {alert_id} waits."), []
    return Done(f"Alert {alert_id} is removed."), [Record(replace(alert, removed=True))]
