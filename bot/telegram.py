"""Telegram: long polling in, messages out. The only place that knows aiogram.

What an update says is read into plain values (`read`), judged by the gate and stored before the
next poll confirms it, so that none is lost and none acts twice.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import TelegramMethod
from aiogram.types import (
    BotCommand,
    BotCommandScopeChat,
    BotCommandScopeDefault,
    BufferedInputFile,
    CallbackQuery,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputFile,
    InputMediaDocument,
    InputMediaPhoto,
    LinkPreviewOptions,
    Message,
    ReplyParameters,
    User,
)
from aiogram.types import Update as TelegramUpdate
from aiogram.utils.token import TokenValidationError
from aiohttp import ClientConnectorError

from bot.gate import Gate
from bot.letter import REPEATED, Letter
from bot.menu import menu
from bot.offers import Offers, Pressed, pressed
from bot.people import People
from bot.render import Drawn
from bot.render.telegram import TelegramMessage, escape, plain_text, telegram_messages
from bot.surface import (
    BadMarkup,
    ChatGone,
    Draw,
    NotSent,
    PartlySent,
    SurfaceEnded,
    Take,
    Throttled,
    Trouble,
    Undeliverable,
)
from bot.update import Update, UpdateKind, called
from engine.errors import CountersignError, Unreachable
from engine.mail import Address, ChatKind
from engine.people import Role
from engine.ports import Clock
from engine.proposal import Way
from handlers import COMMANDS
from handlers.command import Principal, PrincipalKind, find
from handlers.spoken import sounds_asked

NAME = "telegram"
# Always said: what is left out keeps the setting of whoever polled before.
ALLOWED_UPDATES = ["message", "edited_message", "callback_query", "my_chat_member"]
POLL_S = 25
BATCH = 100
# A poll that says nothing for longer is broken; a new connection is made.
POLL_DEADLINE_S = 40
SILENT_MS = 60_000
# Refusals of the token in a row that are believed.
REFUSALS = 3
# Telegram has asked for hours; a wait of years is a broken gateway's.
RETRY_AFTER_MAX_S = 3_600
# A person waits for the answer.
IDENTIFY_S = 10
PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
# How often it is looked for emergencies while what came before can't be stored.
PEEK_S = 1.0
# Conflicts in a row that can't be the end of an earlier process of this desk.
CONFLICTS = 3
# The "General" topic: naming it is refused, leaving it out means it.
GENERAL_TOPIC = "1"
# Accounts of Telegram's own that speak for others: anonymous admins, channels, its service.
SPEAKS_FOR_OTHERS = {1087968824, 136817688, 777000}
REPLY_WITH = "Reply to this message with"
# In private alone: a code in a group is everybody's.
AND_CODE = "Whoever has an authenticator puts its code behind it."
# How a card of ours, and a question about it, begin; and the line that both ask for.
ABOUT_PROPOSAL = re.compile(
    rf"(?:{re.escape(REPEATED)}\s+)?Proposal ([1-9][0-9]{{0,17}})(?::|$)", re.MULTILINE
)
PHRASE = re.compile(r"^APPROVE\b", re.MULTILINE)
# What Telegram says of chats to which nothing can be sent.
CLOSED = (
    "chat not found",
    "upgraded to a supergroup",
    "not enough rights",
    "have no rights",
    "CHAT_WRITE_FORBIDDEN",
    "TOPIC_CLOSED",
    "message thread not found",
)

# What it says of a message that is to be deleted, and is not there.
NOT_THERE = "message to delete not found"

log = structlog.get_logger()


class _GetUpdates(TelegramMethod[list[dict[str, Any]]]):
    """Updates as they come: one that aiogram can't read must not hide the others."""

    __returning__ = list[dict[str, Any]]
    __api_method__ = "getUpdates"

    offset: int | None = None
    limit: int
    timeout: int
    allowed_updates: list[str]


class Telegram:
    """One bot on Telegram."""

    name = NAME

    def __init__(
        self,
        token: str,
        base: str,
        gate: Gate,
        people: People,
        offers: Offers,
        draw: Draw,
        clock: Clock,
        trouble: Trouble,
    ) -> None:
        self._bot = _bot(token, base)
        self._gate = gate
        self._people = people
        self._offers = offers
        self._draw = draw
        self._clock = clock
        self._trouble = trouble
        self._me: User | None = None
        self._offset: int | None = None
        self._polled_at = 0
        self._conflicts = 0
        self._ended = False
        self._failing = ""
        self._greeted = False
        self._menus: dict[str, Role] = {}
        self._without_menu: set[str] = set()

    def condition(self) -> tuple[bool, str]:
        if self._me is None:
            return False, "not connected"
        if self._conflicts >= CONFLICTS:
            return False, "another program polls for this bot"
        silent = self._clock.now() - self._polled_at
        if self._failing:
            return False, f"out of reach for {silent // 1000} s, trying again ({self._failing})"
        words = f"connected as @{self._me.username}, last poll {silent // 1000} s ago"
        return silent <= SILENT_MS, words

    def is_open(self, address: Address) -> bool:
        return False

    def admit(self, update: Update) -> Principal | None:
        person = self._gate.judge(update)
        if person is None:
            return None
        return Principal(
            PrincipalKind.PERSON, update.user_id, person.role, person.name, person.principal_id
        )

    # -- listening -----------------------------------------------------------------------

    async def run(self, take: Take) -> None:
        self._ended = False
        try:
            async with asyncio.TaskGroup() as tasks:
                reason = await self._listen(take, tasks)
        finally:
            self._ended = True
            await self._bot.session.close()
        raise SurfaceEnded(f"TELEGRAM_BOT_TOKEN: {reason}")

    async def _listen(self, take: Take, tasks: asyncio.TaskGroup) -> str:
        """Poll for as long as Telegram knows the bot; why it does not any more."""
        failures = 0
        while True:
            try:
                if self._me is None:
                    await self._introduce()
                await self._refresh_menus()
                await self._poll(take, tasks)
                failures = 0
            except (TelegramUnauthorizedError, TelegramNotFound) as error:
                # A gateway may say so once by mistake; Telegram says it again.
                failures += 1
                if failures >= REFUSALS:
                    return error.message
                await self._pause(error, 0)
            except TelegramConflictError as error:
                await self._in_conflict(error)
            except AiogramError as error:
                await self._pause(error, failures)
                failures += 1
            except Unreachable as error:
                # It is the desk that can't keep what came: Telegram has it again at once.
                log.warning("what came from telegram waits", error=str(error))
                await self._clock.sleep(PEEK_S)

    async def _introduce(self) -> None:
        """Learn our own name."""
        me = await self._bot.get_me()
        await self._bot.delete_webhook()
        self._me = me
        log.info("telegram is connected", bot=me.username)

    async def _poll(self, take: Take, tasks: asyncio.TaskGroup) -> None:
        """One long poll: what came is stored before the next one confirms it.

        After a silence it only fetches what has piled up, so that what comes later is known to
        be new.
        """
        was_silent = self._clock.now() - self._polled_at > SILENT_MS
        poll = _GetUpdates(
            offset=self._offset,
            limit=BATCH,
            timeout=0 if was_silent else POLL_S,
            allowed_updates=ALLOWED_UPDATES,
        )
        came = await self._bot(poll, request_timeout=POLL_DEADLINE_S)
        self._failing = ""
        if self._conflicts >= CONFLICTS:
            await self._trouble("Telegram is well again: nobody else polls for this bot.")
        self._conflicts = 0
        updates = [update for each in came for update in await self._read(each, tasks)]
        if updates:
            await self._hand_over(updates, take, tasks)
        if came:
            self._offset = int(came[-1]["update_id"]) + 1
        # Behind a full batch there may be more, and as old.
        if len(came) < BATCH:
            self._polled_at = self._clock.now()

    async def _hand_over(
        self, updates: Sequence[Update], take: Take, tasks: asyncio.TaskGroup
    ) -> None:
        """Have updates stored; while that takes long, an emergency behind them is not kept back."""

        async def stored() -> Unreachable | None:
            try:
                await take(updates)
            except Unreachable as error:
                return error
            return None

        storing = tasks.create_task(stored())
        while not storing.done():
            patience = tasks.create_task(self._clock.sleep(PEEK_S))
            await asyncio.wait([storing, patience], return_when=asyncio.FIRST_COMPLETED)
            patience.cancel()
            if not storing.done():
                await self._peek(take)
        if (error := storing.result()) is not None:
            raise error

    async def _peek(self, take: Take) -> None:
        """Hand over the emergencies among what waits, all of which stays unconfirmed."""
        look = _GetUpdates(
            offset=self._offset, limit=BATCH, timeout=0, allowed_updates=ALLOWED_UPDATES
        )
        try:
            found = await self._bot(look, request_timeout=POLL_DEADLINE_S)
        except AiogramError as error:
            log.warning("telegram can't be looked at", error=str(error))
            return
        updates = [update for _, update in filter(None, map(self._understood, found))]
        await take([each for each in updates if each is not None and each.is_emergency])

    async def _read(self, raw: dict[str, Any], tasks: asyncio.TaskGroup) -> list[Update]:
        understood = self._understood(raw)
        if understood is None:
            return []
        came, update = understood
        if came.my_chat_member is not None:
            tasks.create_task(self._joined(came))
            return []
        if update is None:
            return []
        if update.address.chat_id in self._without_menu:
            self._without_menu.discard(update.address.chat_id)
            self._menus.pop(update.address.chat_id)
        if came.callback_query is not None:
            tasks.create_task(self._acknowledge(came.callback_query))
            asked = pressed(came.callback_query.data or "")
            if asked is not None and await self._is_over(update, asked, tasks):
                return []
        return [update]

    def _understood(self, raw: dict[str, Any]) -> tuple[TelegramUpdate, Update | None] | None:
        """An update as Telegram means it and as plain values; None where it can't be read."""
        assert self._me is not None
        try:
            came = TelegramUpdate.model_validate(raw, context={"bot": self._bot})
            return came, read(came, self._me, self._polled_at)
        except Exception as error:
            # It would come again for ever, and nothing after it ever would. What is in it is
            # somebody's, and no business of the log.
            log.error(
                "an update can't be read",
                update=raw.get("update_id"),
                error=type(error).__name__,
            )
            return None

    async def _is_over(self, update: Update, asked: Pressed, tasks: asyncio.TaskGroup) -> bool:
        """Whether a press leads to a question, or to silence, and no further."""
        if asked.asks:
            if self._may_say(update):
                tasks.create_task(self._ask_for(update, asked.asks))
            return True
        if not asked.asks_phrase:
            return False
        principal = self.admit(update)
        if principal is None:
            return True
        phrase = await self._offers.phrase(update, principal)
        if phrase:
            tasks.create_task(self._ask_phrase(update, asked.proposal_id, phrase))
        return bool(phrase)

    def _may_say(self, update: Update) -> bool:
        """Whether whoever pressed may run the command that is to be completed."""
        principal = self.admit(update)
        found = find(COMMANDS, update.words)
        return bool(principal and found and principal.role >= found[0].role)

    async def _acknowledge(self, query: CallbackQuery) -> None:
        """Stop the button's clock. Nothing depends on it, and it may be too late for it."""
        try:
            await self._bot.answer_callback_query(query.id)
        except AiogramError as error:
            log.debug("a press could not be acknowledged", error=str(error))

    async def _ask_for(self, update: Update, asks: Sequence[str]) -> None:
        """Ask for what a button's command lacks; the reply to the question completes it."""
        wanted = ", ".join(asks)
        text = f"{escape(update.line)}\n{REPLY_WITH}: {escape(wanted)}"
        await self._ask(update.address, text, wanted)

    async def _ask_phrase(self, update: Update, proposal_id: int, phrase: str) -> None:
        """Ask for the phrase of a proposal; the reply to the question is the decision."""
        text = f"Proposal {proposal_id}\n{REPLY_WITH}:\n<code>{escape(phrase)}</code>"
        if update.chat_kind is ChatKind.PRIVATE:
            text += f"\n{AND_CODE}"
        await self._ask(update.address, text, phrase)

    async def _ask(self, address: Address, text: str, wanted: str) -> None:
        reply = ForceReply(selective=True, input_field_placeholder=wanted[:64] or None)
        try:
            await self._bot.send_message(
                address.chat_id,
                text,
                parse_mode="HTML",
                message_thread_id=_thread(address),
                reply_markup=reply,
            )
        except AiogramError as error:
            log.warning("a question could not be asked", error=str(error))

    async def _joined(self, came: TelegramUpdate) -> None:
        """Stay only where an admin brought us."""
        change = came.my_chat_member
        assert change is not None
        here = ("creator", "administrator", "member", "restricted")
        arrived = (
            change.new_chat_member.status in here and change.old_chat_member.status not in here
        )
        chat = Address(NAME, str(change.chat.id))
        if change.chat.type == "private" or not arrived or self._people.is_admitted(chat):
            return
        person = self._people.find(NAME, str(change.from_user.id))
        if person is not None and person.role is Role.ADMIN:
            return
        log.warning("leaving a chat that no admin brought us to", chat=change.chat.id)
        try:
            await self._bot.leave_chat(change.chat.id)
        except AiogramError as error:
            log.warning("a chat could not be left", chat=change.chat.id, error=str(error))

    async def _in_conflict(self, error: TelegramConflictError) -> None:
        self._conflicts += 1
        log.error("somebody else polls for this bot", error=error.message, times=self._conflicts)
        if self._conflicts == CONFLICTS:
            await self._trouble(
                "Telegram: another program polls for this bot. It is a second desk with the same "
                "token, or the token is stolen: then revoke it with @BotFather. Until it is over, "
                "commands from Telegram may be lost."
            )
        await self._clock.sleep(PAUSES_S[min(self._conflicts, len(PAUSES_S)) - 1])

    async def _pause(self, error: Exception, failures: int) -> None:
        pause = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
        if isinstance(error, TelegramRetryAfter):
            pause = min(error.retry_after, RETRY_AFTER_MAX_S)
        self._failing = type(error).__name__
        log.warning("telegram can't be reached", error=str(error), pause_s=pause)
        # A connection that has gone quiet is not tried again: a new one is made.
        await self._bot.session.close()
        await self._clock.sleep(pause)

    # -- menus ---------------------------------------------------------------------------

    async def _refresh_menus(self) -> None:
        """What each may do, as Telegram's list of commands, where that has changed.

        A menu that can't be put up now is tried with the next poll: it is no reason not to listen.
        """
        try:
            if not self._greeted:
                strangers = [
                    BotCommand(command="whoami", description="Your id, to give to the admin")
                ]
                await self._bot.set_my_commands(strangers, scope=BotCommandScopeDefault())
                self._greeted = True
            for chat_id, role in self._people.menus(NAME).items():
                if self._menus.get(chat_id) is not role:
                    await self._put_up_menu(chat_id, role)
                    self._menus[chat_id] = role
        except TelegramUnauthorizedError:
            raise
        except AiogramError as error:
            log.warning("menus are not up yet", error=str(error))

    async def _put_up_menu(self, chat_id: str, role: Role) -> None:
        commands = [BotCommand(command=name, description=text) for name, text in menu(role)]
        scope = BotCommandScopeChat(chat_id=int(chat_id))
        try:
            await self._bot.set_my_commands(commands, scope=scope)
        except (TelegramBadRequest, TelegramForbiddenError, TelegramMigrateToChat) as error:
            # Somebody who has not written to the bot yet has no chat to put a menu in.
            log.info("no menu in a chat", chat=chat_id, error=error.message)
            self._without_menu.add(chat_id)

    # -- sending -------------------------------------------------------------------------

    async def send(self, address: Address, letter: Letter, *, plain: bool, nonce: str) -> str:
        if self._ended:
            raise NotSent("Telegram is not listened to any more")
        reply = letter.shown
        messages = telegram_messages(reply, await self._draw(reply))
        first, *others = messages
        try:
            keyboard = await self._keyboard(address, first, letter)
            edited = None
            if letter.edit:
                edited = await self._edit(address, letter.edit, first, keyboard, plain)
            sent = edited or await self._post(address, first, keyboard, letter.reply_to, plain)
        except AiogramError as error:
            raise _translated(error) from error
        for message in others:
            await self._post_more(address, message, letter, plain)
        return sent

    async def renew(
        self, address: Address, message_id: str, letter: Letter, *, plain: bool
    ) -> None:
        if self._ended:
            raise NotSent("Telegram is not listened to any more")
        reply = letter.shown
        first, *_ = telegram_messages(reply, await self._draw(reply))
        keyboard = await self._keyboard(address, first, letter)
        try:
            await self._edit(address, message_id, first, keyboard, plain)
        except AiogramError as error:
            raise _translated(error) from error

    async def forget(self, address: Address, message_id: str) -> bool:
        if self._ended:
            raise NotSent("Telegram is not listened to any more")
        try:
            await self._bot.delete_message(address.chat_id, int(message_id))
        except AiogramError as error:
            reason = _translated(error)
            if isinstance(reason, Throttled | Unreachable):
                raise Unreachable(str(reason)) from error
            if NOT_THERE in str(reason):
                return True
            log.info("a message stays", chat=address.chat_id, error=str(reason))
            return False
        return True

    async def _post_more(
        self, address: Address, message: TelegramMessage, letter: Letter, plain: bool
    ) -> None:
        """Send a further message of a letter whose first one is out."""
        try:
            keyboard = await self._keyboard(address, message, letter)
            await self._post(address, message, keyboard, "", plain)
        except AiogramError as error:
            match _translated(error):
                case BadMarkup() if not plain:
                    await self._post_more(address, message, letter, plain=True)
                case BadMarkup() as reason:
                    raise Undeliverable(str(reason)) from error
                case Throttled(seconds=seconds):
                    raise PartlySent(seconds) from error
                case NotSent():
                    raise PartlySent(0) from error
                case reason:
                    raise reason from error
        except NotSent as error:
            raise PartlySent(0) from error

    async def _keyboard(
        self, address: Address, message: TelegramMessage, letter: Letter
    ) -> InlineKeyboardMarkup | None:
        if not message.buttons:
            return None
        flat = [button for row in message.buttons for button in row]
        data = iter(await self._offers.data(address, flat, letter.gives_way, letter.user_id))
        rows = [
            [InlineKeyboardButton(text=button.label, callback_data=next(data)) for button in row]
            for row in message.buttons
        ]
        return InlineKeyboardMarkup(inline_keyboard=rows)

    async def _post(
        self,
        address: Address,
        message: TelegramMessage,
        keyboard: InlineKeyboardMarkup | None,
        reply_to: str,
        plain: bool,
    ) -> str:
        common: dict[str, Any] = {
            "chat_id": address.chat_id,
            "message_thread_id": _thread(address),
            "parse_mode": None if plain else "HTML",
            "reply_markup": keyboard,
        }
        if reply_to:
            common["reply_parameters"] = ReplyParameters(
                message_id=int(reply_to), allow_sending_without_reply=True
            )
        text = plain_text(message) if plain else message.text
        if message.photo is not None:
            sent = await self._bot.send_photo(photo=_photo(message.photo), caption=text, **common)
        elif message.document is not None:
            sent = await self._bot.send_document(
                document=_document(message), caption=text, **common
            )
        else:
            quiet = LinkPreviewOptions(is_disabled=True)
            sent = await self._bot.send_message(text=text, link_preview_options=quiet, **common)
        return str(sent.message_id)

    async def _edit(
        self,
        address: Address,
        message_id: str,
        message: TelegramMessage,
        keyboard: InlineKeyboardMarkup | None,
        plain: bool,
    ) -> str | None:
        """Put a message in the place of another; None where that one is gone or of another kind."""
        text = plain_text(message) if plain else message.text
        parse_mode = None if plain else "HTML"
        place = {"chat_id": address.chat_id, "message_id": int(message_id)}
        try:
            if message.photo is None and message.document is None:
                await self._bot.edit_message_text(
                    text=text,
                    parse_mode=parse_mode,
                    reply_markup=keyboard,
                    link_preview_options=LinkPreviewOptions(is_disabled=True),
                    **place,  # type: ignore[arg-type]
                )
            else:
                await self._bot.edit_message_media(
                    media=_media(message, text, parse_mode),
                    reply_markup=keyboard,
                    **place,  # type: ignore[arg-type]
                )
        except TelegramBadRequest as error:
            if "message is not modified" in error.message:
                return message_id
            if "can't parse entities" in error.message:
                raise
            return None
        return message_id


# -- who we are --------------------------------------------------------------------------


async def identify(token: str, base: str) -> tuple[str, str]:
    """The bot's name, and the host that Telegram sends its updates to, empty where it is polled.

    Raises SurfaceEnded where Telegram knows no bot of this token, Unreachable where it can't be
    asked.
    """
    try:
        async with _bot(token, base) as bot:
            me = await bot.get_me(request_timeout=IDENTIFY_S)
            webhook = await bot.get_webhook_info(request_timeout=IDENTIFY_S)
    except (TelegramUnauthorizedError, TelegramNotFound) as error:
        raise SurfaceEnded(f"TELEGRAM_BOT_TOKEN: {error.message}") from None
    except AiogramError as error:
        raise Unreachable(str(error)) from None
    # The rest of the address is often a secret.
    return f"@{me.username}", urlsplit(webhook.url).hostname or ""


def _bot(token: str, base: str) -> Bot:
    try:
        return Bot(token, session=AiohttpSession(api=TelegramAPIServer.from_base(base)))
    except TokenValidationError as error:
        raise SurfaceEnded(f"TELEGRAM_BOT_TOKEN: {error}") from None


# -- reading -----------------------------------------------------------------------------


def read(came: TelegramUpdate, me: User, polled_at: int) -> Update | None:
    """An update as plain values; None for what is not said to us, as talk in a group.

    Nobody tells when a button was pressed: after the last poll, which was at `polled_at`.
    """
    key = f"{NAME}:{me.id}:{came.update_id}"
    if came.callback_query is not None:
        return _press(key, came.callback_query, me, polled_at)
    for kind, message in (
        (UpdateKind.MESSAGE, came.message),
        (UpdateKind.EDITED_MESSAGE, came.edited_message),
        (UpdateKind.CHANNEL_POST, came.channel_post or came.edited_channel_post),
    ):
        if message is not None:
            return _message(key, kind, message, me)
    inline = came.inline_query or came.chosen_inline_result
    kind = UpdateKind.INLINE if inline else UpdateKind.OTHER
    user_id = str(inline.from_user.id) if inline else ""
    nowhere = Address(NAME, user_id)
    return Update(NAME, key, kind, user_id, nowhere, ChatKind.PRIVATE, polled_at)


def _message(key: str, kind: UpdateKind, message: Message, me: User) -> Update | None:
    phrase = _phrase_for(message, me)
    line = "" if phrase else _line(message, me)
    if line is None:
        return None
    return Update(
        surface=NAME,
        key=key,
        kind=kind,
        user_id=str(message.from_user.id) if message.from_user else "",
        address=_address(message),
        chat_kind=_chat_kind(message.chat.type),
        sent_at=int(message.date.timestamp() * 1000),
        line=line,
        name="approve" if phrase else "",
        arguments=phrase,
        faults=_faults(message),
        message_id=str(message.message_id),
        way=Way.REPLY if phrase else Way.TYPED,
        sender=_called(message.from_user),
        about="" if phrase else _about(message, me),
    )


def _called(user: User | None) -> str:
    return called(user.full_name, user.username) if user else ""


def _faults(message: Message) -> tuple[str, ...]:
    """Why the words are not plainly the sender's own."""
    sender = message.from_user
    found = {
        "sent in the name of a chat": message.sender_chat is not None,
        "forwarded": message.forward_origin is not None or bool(message.is_automatic_forward),
        "sent by way of a bot": message.via_bot is not None,
        "edited": message.edit_date is not None,
        "sent for a business": message.business_connection_id is not None,
        "sent by a bot": sender is not None and (sender.is_bot or sender.id in SPEAKS_FOR_OTHERS),
    }
    return tuple(reason for reason, applies in found.items() if applies)


def _phrase_for(message: Message, me: User) -> dict[str, str]:
    """The proposal and the words of a reply to its card or to the question about it.

    What is said to a card that asks for no phrase is talk, unless it begins like one: a phrase
    may come when its card has ended already. None ends with a question mark.
    """
    text = (message.text or message.caption or "").strip()
    shown = _about(message, me)
    about = ABOUT_PROPOSAL.match(shown)
    if not text or not about or text.startswith("/") or text.endswith("?"):
        return {}
    if not (PHRASE.search(shown) or PHRASE.match(text.upper())):
        return {}
    return {"proposal": about[1], "phrase": text}


def _about(message: Message, me: User) -> str:
    """What a message of ours says that one replies to; empty where it replies to none."""
    asked = message.reply_to_message
    if not asked or not asked.from_user or asked.from_user.id != me.id:
        return ""
    return asked.text or asked.caption or ""


def _line(message: Message, me: User) -> str | None:
    """The command or the question in a message; None where it is said to somebody else."""
    text = (message.text or "").strip()
    if not text.startswith("/"):
        command, _, question = _about(message, me).partition("\n")
        if command.startswith("/") and question.startswith(REPLY_WITH):
            words = (word.rstrip(",") for word in text.split())
            return " ".join([command, *words])
        return text if message.chat.type == "private" else _said_to(message, me)
    word, _, rest = text.partition(" ")
    name, at, addressee = word.partition("@")
    if at and addressee.lower() != (me.username or "").lower():
        return None
    # A link to the bot may carry a word of its own with /start.
    return name if name == "/start" else f"{name} {rest}".strip()


def _said_to(message: Message, me: User) -> str | None:
    """Plain words in a group that name us or ask about a card of ours; None for other talk."""
    text, name = message.text or "", f"@{me.username}".lower()
    mentions = [each for each in message.entities or () if each.type == "mention"]
    named = {each.extract_from(text) for each in mentions}
    ours = {each for each in named if each.lower() == name}
    if not ours:
        return text.strip() if _about(message, me) and sounds_asked(text) else None
    words = re.sub("|".join(rf"{re.escape(each)}\b" for each in ours), " ", text)
    return " ".join(words.split())


def _press(key: str, query: CallbackQuery, me: User, polled_at: int) -> Update:
    asked = pressed(query.data or "")
    card = query.message
    faults = []
    if asked is None:
        faults.append("a button that is not ours")
    if card is None:
        faults.append("a button without its card")
    elif isinstance(card, Message) and (card.from_user is None or card.from_user.id != me.id):
        faults.append("a button on a card that is not ours")
    if query.from_user.is_bot or query.from_user.id in SPEAKS_FOR_OTHERS:
        faults.append("pressed by a bot")
    topic = _address(card) if isinstance(card, Message) else None
    chat_id = str(card.chat.id) if card else str(query.from_user.id)
    return Update(
        surface=NAME,
        key=key,
        kind=UpdateKind.BUTTON,
        user_id=str(query.from_user.id),
        address=topic or Address(NAME, chat_id),
        chat_kind=_chat_kind(card.chat.type) if card else ChatKind.PRIVATE,
        sent_at=polled_at,
        line=asked.line if asked else "",
        faults=tuple(faults),
        message_id=str(card.message_id) if card else "",
        edit=bool(asked and asked.edit),
        offer=asked.offer if asked else 0,
        decision=asked.decision if asked else "",
        way=Way.BUTTON if asked and asked.decision else Way.TYPED,
        sender=_called(query.from_user),
    )


def _address(message: Message) -> Address:
    thread = message.message_thread_id if message.is_topic_message else None
    return Address(NAME, str(message.chat.id), str(thread or ""))


def _chat_kind(kind: str) -> ChatKind:
    return {"private": ChatKind.PRIVATE, "channel": ChatKind.CHANNEL}.get(kind, ChatKind.GROUP)


# -- writing -----------------------------------------------------------------------------


def _thread(address: Address) -> int | None:
    if address.thread_id in ("", GENERAL_TOPIC):
        return None
    return int(address.thread_id)


def _photo(drawn: Drawn) -> InputFile:
    return BufferedInputFile(drawn.read_bytes(), drawn.name)


def _document(message: TelegramMessage) -> InputFile:
    assert message.document is not None
    return BufferedInputFile(message.document.content, message.document.name)


def _media(
    message: TelegramMessage, caption: str, parse_mode: str | None
) -> InputMediaPhoto | InputMediaDocument:
    if message.photo is not None:
        photo = _photo(message.photo)
        return InputMediaPhoto(media=photo, caption=caption, parse_mode=parse_mode)
    return InputMediaDocument(media=_document(message), caption=caption, parse_mode=parse_mode)


def _translated(error: AiogramError) -> CountersignError:
    """What aiogram raises, by what is to be done about it."""
    match error:
        case TelegramRetryAfter():
            return Throttled(min(error.retry_after, RETRY_AFTER_MAX_S))
        case TelegramMigrateToChat():
            return ChatGone(
                f"the group became a supergroup; an admin says /subscribe there "
                f"(its id is {error.migrate_to_chat_id})"
            )
        case TelegramForbiddenError():
            return ChatGone(error.message)
        case TelegramUnauthorizedError() | TelegramNotFound():
            return NotSent(error.message)
        case TelegramBadRequest():
            return _bad_request(error.message)
        case TelegramEntityTooLarge():
            return Undeliverable(error.message)
        case TelegramNetworkError():
            refused = isinstance(error.__cause__, ClientConnectorError)
            return NotSent(error.message) if refused else Unreachable(error.message)
        case ClientDecodeError():
            return Unreachable("the answer could not be read")
        case _:
            return Unreachable(str(error))


def _bad_request(message: str) -> CountersignError:
    if "can't parse entities" in message:
        return BadMarkup(message)
    if any(reason in message for reason in CLOSED):
        return ChatGone(message)
    return Undeliverable(message)
