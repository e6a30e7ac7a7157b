"""Discord: slash commands, buttons, forms and plain words in, embeds out. Nobody but this and
`bot.discord_message` knows discord.py.

Interactions are acknowledged first, then stored and answered. What one says is read into plain
values (`read`) before anybody believes it; so is a message.
"""

import asyncio
import io
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import discord
import structlog
from aiohttp import ClientConnectorError, ClientError
from discord.gateway import DiscordWebSocket
from discord.http import Route
from yarl import URL

from bot.discord_message import NAME, chat_kind, read_message
from bot.gate import Gate
from bot.letter import Letter
from bot.menu import application_commands, command_name, differs
from bot.offers import Offers, Pressed, pressed
from bot.render.discord import DiscordMessage, Embed, discord_messages
from bot.surface import (
    ChatGone,
    Draw,
    NotSent,
    PartlySent,
    PlatformRefused,
    SurfaceEnded,
    Take,
    Throttled,
    Undeliverable,
)
from bot.update import Update, UpdateKind, called
from engine.desk import Desk
from engine.errors import CountersignError, Unreachable
from engine.mail import Address, ChatKind
from engine.people import Role
from engine.proposal import Way
from handlers import COMMANDS
from handlers.command import Principal, PrincipalKind, find
from handlers.completion import Choice, offered
from handlers.reply import Reply

PAUSES_S = (1.0, 5.0, 15.0, 60.0, 300.0)
# An interaction's token answers for 15 minutes; a margin for the way.
TOKEN_GOOD_FOR_MS = 14 * 60_000
# How long an emergency waits until Discord knows that we are at it.
EMERGENCY_S = 1.0
# A longer rate limit is for the courier to wait out.
RATE_LIMIT_WAIT_S = 30.0
# A person waits for the answer; the library alone would try for half a minute.
IDENTIFY_S = 10.0
CHOICES_MAX = 25
CHOICE_MAX = 100
FORM = "m:"
FORM_TITLE_MAX = 45
PLACEHOLDER_MAX = 100
PHRASE_MAX = 300
# Six digits, which authenticators show with a space between.
CODE_MAX = 7
ORIGINAL: Any = "@original"
# Where messages stand that can be edited by their id alone.
PLACES = (
    discord.TextChannel,
    discord.VoiceChannel,
    discord.StageChannel,
    discord.DMChannel,
    discord.Thread,
    discord.PartialMessageable,
)
# Error codes of Discord's.
UNKNOWN_INTERACTION, ALREADY_ACKNOWLEDGED = 10062, 40060
DEAD_TOKENS = (10015, 50027, UNKNOWN_INTERACTION)
UNKNOWN_MESSAGE = 10008

NOT_KEPT = "The desk can't reach its database: nothing was changed. Send it again in a moment."

log = structlog.get_logger()


class Discord:
    """One bot on Discord."""

    name = NAME

    def __init__(
        self,
        token: str,
        base: str,
        gateway: str,
        gate: Gate,
        offers: Offers,
        draw: Draw,
        desk: Desk,
    ) -> None:
        Route.BASE = base
        DiscordWebSocket.DEFAULT_GATEWAY = URL(gateway)
        self._token = token
        self._gate = gate
        self._offers = offers
        self._draw = draw
        self._desk = desk
        self._client: _Client | None = None

    def condition(self) -> tuple[bool, str]:
        client = self._client
        if client is None or client.is_closed() or not client.connected:
            return False, "not connected"
        return True, f"connected as {client.user}"

    def is_open(self, address: Address) -> bool:
        """Whether the channel belongs to a server that the settings open."""
        channel = self._client.get_channel(int(address.chat_id)) if self._client else None
        guild = getattr(channel, "guild", None)
        return guild is not None and self._gate.opens(str(guild.id))

    def admit(self, update: Update) -> Principal | None:
        person = self._gate.judge(update)
        if person is None:
            return None
        return Principal(
            PrincipalKind.PERSON, update.user_id, person.role, person.name, person.principal_id
        )

    # -- listening -----------------------------------------------------------------------

    async def run(self, take: Take) -> None:
        failures = 0
        while True:
            client = self._client = _Client(self, take)
            try:
                async with client:
                    await client.start(self._token)
            except discord.LoginFailure as error:
                raise SurfaceEnded(f"DISCORD_BOT_TOKEN: {error}") from None
            except (discord.ConnectionClosed, discord.PrivilegedIntentsRequired) as error:
                raise SurfaceEnded(f"Discord will not have this bot: {error}") from None
            except (discord.DiscordException, ClientError, OSError) as error:
                log.warning("discord can't be reached", error=str(error))
            failures = 0 if client.was_connected else failures + 1
            await self._desk.clock.sleep(PAUSES_S[min(failures, len(PAUSES_S) - 1)])

    async def synchronize(self, client: discord.Client) -> None:
        """Give Discord our commands, where it has others: it counts how often."""
        assert client.application_id is not None
        wanted = application_commands(self._desk)
        found: Any = await client.http.get_global_commands(client.application_id)
        if differs(wanted, found):
            payload: Any = wanted
            await client.http.bulk_upsert_global_commands(client.application_id, payload)
            log.info("discord has new commands", count=len(wanted))

    async def came(self, interaction: discord.Interaction, take: Take) -> None:
        """Acknowledge what somebody did, and have it answered."""
        update = read(interaction)
        if update.kind is UpdateKind.AUTOCOMPLETE:
            await _in_time(self._complete(interaction, update))
            return
        principal = self.admit(update)
        if principal is None:
            return
        if form := await self._form(interaction, update, principal):
            await _in_time(interaction.response.send_modal(form))
        elif await self._acknowledged(interaction, update):
            await self._keep(update, take)

    async def heard(self, message: discord.Message, client: discord.Client, take: Take) -> None:
        """Have a message answered that is said to us."""
        assert client.user is not None
        update = read_message(message, client.user)
        if update is not None:
            await self._keep(update, take)

    async def _form(
        self, interaction: discord.Interaction, update: Update, principal: Principal
    ) -> discord.ui.Modal | None:
        """What whoever pressed has to fill in; None where there is nothing to ask for."""
        is_button = update.kind is UpdateKind.BUTTON
        asked = pressed(_custom_id(interaction)) if is_button else None
        if asked is None:
            return None
        if asked.asks:
            return _form(asked.line, asked.asks)
        phrase = await self._offers.phrase(update, principal) if asked.asks_phrase else ""
        return _phrase_form(asked, phrase) if phrase else None

    async def _keep(self, update: Update, take: Take) -> None:
        """Have it stored and answered. Discord, unlike others, does not send it once more."""
        try:
            await take([update])
        except Unreachable:
            refusal = Letter(Reply(error=NOT_KEPT), reply_to=update.message_id, token=update.token)
            try:
                await self.send(update.address, refusal, plain=False, nonce="")
            except CountersignError as error:
                log.warning("it could not be said either", error=str(error))

    async def _acknowledged(self, interaction: discord.Interaction, update: Update) -> bool:
        """Whether to go on: an emergency does, whatever Discord says and however late."""
        if not update.is_emergency:
            return await self._acknowledge(interaction, update)
        with suppress(TimeoutError):
            async with asyncio.timeout(EMERGENCY_S):
                await self._acknowledge(interaction, update)
        return True

    async def _acknowledge(self, interaction: discord.Interaction, update: Update) -> bool:
        """Say that we are at it, within Discord's three seconds; whether that was in time."""
        try:
            try:
                await _defer(interaction, update)
            except (ClientError, OSError):
                # It may have come through: then the second time says so.
                await _defer(interaction, update)
        except (discord.HTTPException, ClientError, OSError) as error:
            if isinstance(error, discord.HTTPException) and error.code == ALREADY_ACKNOWLEDGED:
                return True
            log.warning("an interaction came too late", error=str(error), said=update.shown[:80])
            return update.always
        return True

    async def _complete(self, interaction: discord.Interaction, update: Update) -> None:
        """Offer the values that fit what is typed so far."""
        found = find(COMMANDS, update.name.split())
        # Whoever may say the command may be helped to.
        principal = self.admit(replace(update, kind=UpdateKind.SLASH))
        if principal is None or found is None or principal.role < found[0].role:
            return
        is_admin = principal.role is Role.ADMIN
        name, typed = _focused(interaction)
        fitting: Sequence[Choice] = ()
        for argument in found[0].arguments:
            if argument.name == name and (is_admin or not argument.type.for_admins):
                fitting = offered(argument, self._desk, update.arguments, typed)
        choices = [
            discord.app_commands.Choice(name=each.words[:CHOICE_MAX], value=each.value)
            for each in fitting[:CHOICES_MAX]
            if len(each.value) <= CHOICE_MAX
        ]
        await interaction.response.autocomplete(choices)

    # -- sending -------------------------------------------------------------------------

    async def send(self, address: Address, letter: Letter, *, plain: bool, nonce: str) -> str:
        client = self._connected()
        reply = letter.shown
        messages = discord_messages(reply, await self._draw(reply))
        sent: list[str] = []
        with _errors(client, sent):
            for message in messages:
                sent.append(await self._post(client, address, letter, message, nonce, len(sent)))
        return sent[0]

    async def renew(
        self, address: Address, message_id: str, letter: Letter, *, plain: bool
    ) -> None:
        client = self._connected()
        reply = letter.shown
        first, *_ = discord_messages(reply, await self._draw(reply))
        with _errors(client):
            content = await self._content(address, first, letter)
            await _edit(await _channel(client, address), message_id, content, _files(first))

    async def forget(self, address: Address, message_id: str) -> bool:
        """Delete a message of our own: what is said to us leaves none, or is not ours to delete."""
        client = self._connected()
        try:
            with _errors(client):
                return await _delete(await _channel(client, address), message_id)
        except Throttled as error:
            raise Unreachable(str(error)) from error
        except PlatformRefused as error:
            log.info("a message stays", chat=address.chat_id, error=str(error))
            return False

    def _connected(self) -> discord.Client:
        client = self._client
        if client is None or client.is_closed() or client.application_id is None:
            raise NotSent("discord is not connected")
        return client

    async def _post(
        self,
        client: discord.Client,
        address: Address,
        letter: Letter,
        message: DiscordMessage,
        nonce: str,
        place: int,
    ) -> str:
        """Send one message of a letter, the first as the letter says; its id."""
        content = await self._content(address, message, letter)
        sent = None
        if letter.token and not place:
            sent = await self._answer(client, letter, message, content)
        if sent is not None:
            return str(sent.id)
        to = await _channel(client, address)
        if letter.edit and not place:
            sent = await _edit(to, letter.edit, content, _files(message))
        if sent is None:
            reference = letter.reply_to if not place else ""
            once = f"{nonce}-{place}" if nonce else ""
            sent = await _say(to, {**content, "files": _files(message)}, reference, once)
        return str(sent.id)

    async def _content(
        self, address: Address, message: DiscordMessage, letter: Letter
    ) -> dict[str, Any]:
        """What discord.py is given, whichever way it goes, but for files: those it uses up."""
        return {
            "content": message.content,
            "embeds": [_embed(embed) for embed in message.embeds],
            "view": await self._view(address, message, letter),
        }

    async def _view(
        self, address: Address, message: DiscordMessage, letter: Letter
    ) -> discord.ui.View | None:
        if not message.buttons:
            return None
        flat = [button for row in message.buttons for button in row]
        data = iter(await self._offers.data(address, flat, letter.gives_way, letter.user_id))
        view = discord.ui.View(timeout=None)
        for place, row in enumerate(message.buttons):
            for button in row:
                view.add_item(
                    discord.ui.Button(label=button.label, custom_id=next(data), row=place)
                )
        # What a press means is in its data: the library need not remember each message.
        view.stop()
        return view

    async def _answer(
        self,
        client: discord.Client,
        letter: Letter,
        message: DiscordMessage,
        content: dict[str, Any],
    ) -> Any | None:
        """Answer the interaction itself; None where its token is not good any more."""
        interaction_id, _, token = letter.token.partition(":")
        asked_at = discord.utils.snowflake_time(int(interaction_id)).timestamp() * 1000
        if self._desk.clock.now() - asked_at > TOKEN_GOOD_FOR_MS:
            return None
        assert client.application_id is not None
        webhook = discord.Webhook.partial(client.application_id, token, client=client)
        files = _files(message)
        try:
            if letter.reply_to and not letter.edit:
                # The original may be the card that was pressed, which stays as it is.
                return await webhook.send(wait=True, **_given(content | {"files": files}))
            return await webhook.edit_message(ORIGINAL, attachments=files, **content)
        except discord.HTTPException as error:
            if error.code not in (*DEAD_TOKENS, UNKNOWN_MESSAGE):
                raise
            return None


# The desk has no voice, and that is no news.
discord.VoiceClient.warn_nacl = False
discord.VoiceClient.warn_dave = False


class _Client(discord.Client):
    """One connection, from login to its end."""

    def __init__(self, surface: Discord, take: Take) -> None:
        # None of these is privileged: Discord gives the words of messages in private, and of those
        # that mention us. Others come empty, and none is remembered.
        super().__init__(
            intents=discord.Intents(guilds=True, dm_messages=True, guild_messages=True),
            max_messages=None,
            allowed_mentions=discord.AllowedMentions.none(),
            max_ratelimit_timeout=RATE_LIMIT_WAIT_S,
        )
        self._surface = surface
        self._take = take
        self.was_connected = False
        self.connected = False

    async def setup_hook(self) -> None:
        await self._surface.synchronize(self)

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        # A task of the library's outlives the connection by two seconds.
        if not self.is_closed():
            super().dispatch(event, *args, **kwargs)

    async def on_connect(self) -> None:
        self.was_connected = self.connected = True
        log.info("discord is connected", bot=str(self.user))

    async def on_resumed(self) -> None:
        self.connected = True

    async def on_disconnect(self) -> None:
        self.connected = False

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        await self._surface.came(interaction, self._take)

    async def on_message(self, message: discord.Message) -> None:
        await self._surface.heard(message, self, self._take)

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        log.exception("an event from discord failed", where=event_method)


# -- who we are --------------------------------------------------------------------------


async def identify(token: str, base: str) -> tuple[str, str]:
    """The bot's name, and the host that Discord sends interactions to, empty where they come here.

    Raises SurfaceEnded where Discord knows no bot of this token, Unreachable where it can't be
    asked.
    """
    Route.BASE = base
    client = discord.Client(intents=discord.Intents.none())
    try:
        async with asyncio.timeout(IDENTIFY_S), client:
            await client.login(token)
    except discord.LoginFailure as error:
        raise SurfaceEnded(f"DISCORD_BOT_TOKEN: {error}") from None
    except TimeoutError:
        raise Unreachable(f"no answer in {IDENTIFY_S:g} s") from None
    except (discord.DiscordException, ClientError, OSError) as error:
        raise Unreachable(str(error)) from None
    assert client.application is not None
    endpoint = client.application.interactions_endpoint_url or ""
    return str(client.user), urlsplit(endpoint).hostname or ""


# -- reading -----------------------------------------------------------------------------


def read(interaction: discord.Interaction) -> Update:
    """An interaction as plain values."""
    kind = _kind(interaction)
    data: Any = interaction.data or {}
    name, line = "", ""
    arguments: dict[str, str] = {}
    faults: list[str] = []
    asked = None
    if kind in (UpdateKind.SLASH, UpdateKind.AUTOCOMPLETE):
        name, arguments = _said(data)
    elif kind is UpdateKind.BUTTON:
        asked = pressed(_custom_id(interaction))
        line = asked.line if asked else ""
        if asked is None:
            faults.append("a button that is not ours")
        card = interaction.message
        if card is None or card.author != interaction.client.user:
            faults.append("a button on a card that is not ours")
    elif kind is UpdateKind.MODAL:
        asked = _approved(_custom_id(interaction))
        if asked is None:
            line = _filled_in(data)
        else:
            name, arguments = "approve", {**_inputs(data), "proposal": str(asked.proposal_id)}
    if interaction.user.bot:
        faults.append("sent by a bot")
    decision = asked.decision if asked else ""
    way = Way.FORM if kind is UpdateKind.MODAL else Way.BUTTON
    return Update(
        surface=NAME,
        key=f"{NAME}:{interaction.id}",
        kind=kind,
        user_id=str(interaction.user.id),
        address=_address(interaction),
        chat_kind=chat_kind(interaction.channel),
        sent_at=int(interaction.created_at.timestamp() * 1000),
        line=line,
        name=name,
        arguments=arguments,
        faults=tuple(faults),
        message_id=str(interaction.message.id) if interaction.message else "",
        edit=bool(asked and asked.edit) and kind is UpdateKind.BUTTON,
        offer=asked.offer if asked else 0,
        token=f"{interaction.id}:{interaction.token}",
        place=str(interaction.guild_id or ""),
        decision=decision,
        way=way if decision else Way.TYPED,
        sender=called(interaction.user.display_name, interaction.user.name),
    )


def _kind(interaction: discord.Interaction) -> UpdateKind:
    match interaction.type:
        case discord.InteractionType.application_command:
            return UpdateKind.SLASH
        case discord.InteractionType.component:
            return UpdateKind.BUTTON
        case discord.InteractionType.modal_submit:
            return UpdateKind.MODAL
        case discord.InteractionType.autocomplete:
            return UpdateKind.AUTOCOMPLETE
        case _:
            return UpdateKind.OTHER


def _said(data: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The command's whole name, and its options as texts."""
    name, options = data["name"], data.get("options", [])
    while options and options[0]["type"] in (1, 2):
        name = f"{name} {options[0]['name']}"
        options = options[0].get("options", [])
    texts = {option["name"]: str(option.get("value", "")) for option in options}
    return command_name(name), texts


def _focused(interaction: discord.Interaction) -> tuple[str, str]:
    """The option that somebody is typing, and what there is of it."""
    data: Any = interaction.data or {}
    options = data.get("options", [])
    while options and options[0]["type"] in (1, 2):
        options = options[0].get("options", [])
    for option in options:
        if option.get("focused"):
            return option["name"], str(option.get("value", ""))
    return "", ""


def _custom_id(interaction: discord.Interaction) -> str:
    data: Any = interaction.data or {}
    return str(data.get("custom_id", ""))


def _approved(custom_id: str) -> Pressed | None:
    """What a form approves with its phrase; None for any other form."""
    asked = pressed(custom_id.removeprefix(FORM)) if custom_id.startswith(FORM) else None
    return asked if asked and asked.asks_phrase else None


def _filled_in(data: dict[str, Any]) -> str:
    """The line that a form completes."""
    custom_id = str(data.get("custom_id", ""))
    if not custom_id.startswith(FORM):
        return ""
    words = [f"{name}={value}" for name, value in _inputs(data).items()]
    return " ".join([custom_id.removeprefix(FORM), *words])


def _inputs(data: dict[str, Any]) -> dict[str, str]:
    """What was typed into a form, by the names of its fields; what was left empty is not in it."""
    inputs: list[dict[str, Any]] = []
    for row in data.get("components", []):
        inputs += row.get("components", []) or [row.get("component", {})]
    return {each["custom_id"]: str(each["value"]) for each in inputs if each.get("value")}


def _address(interaction: discord.Interaction) -> Address:
    """A private chat is named by the person, as on every platform."""
    if chat_kind(interaction.channel) is ChatKind.PRIVATE:
        return Address(NAME, str(interaction.user.id))
    return Address(NAME, str(interaction.channel_id or ""))


# -- writing -----------------------------------------------------------------------------


async def _defer(interaction: discord.Interaction, update: Update) -> None:
    if update.edit:
        await interaction.response.defer()
    else:
        await interaction.response.defer(thinking=True)


async def _in_time(answering: Awaitable[object]) -> None:
    """Give an answer that is worth nothing later."""
    try:
        await answering
    except (discord.HTTPException, ClientError, OSError) as error:
        log.info("an interaction could not be answered", error=str(error))


def _form(line: str, asks: Sequence[str]) -> discord.ui.Modal:
    form = discord.ui.Modal(title=line[:FORM_TITLE_MAX], custom_id=f"{FORM}{line}")
    for name in asks:
        form.add_item(discord.ui.TextInput(label=name, custom_id=name, max_length=100))
    # What comes back has the line in it: the library need not remember who is typing.
    form.stop()
    return form


def _phrase_form(asked: Pressed, phrase: str) -> discord.ui.Modal:
    title = f"Approve proposal {asked.proposal_id}"
    form = discord.ui.Modal(title=title, custom_id=f"{FORM}{asked.decision}")
    typed: discord.ui.TextInput[Any] = discord.ui.TextInput(
        label="The phrase, exactly as on the card",
        custom_id="phrase",
        placeholder=phrase[:PLACEHOLDER_MAX],
        max_length=PHRASE_MAX,
    )
    code: discord.ui.TextInput[Any] = discord.ui.TextInput(
        label="Your authenticator's code, if you have one",
        custom_id="code",
        required=False,
        max_length=CODE_MAX,
    )
    form.add_item(typed).add_item(code)
    form.stop()
    return form


def _embed(embed: Embed) -> discord.Embed:
    made = discord.Embed(
        title=embed.title or None, description=embed.description or None, color=embed.color
    )
    for field in embed.fields:
        made.add_field(name=field.name, value=field.value, inline=field.inline)
    if embed.footer:
        made.set_footer(text=embed.footer)
    if embed.image is not None:
        made.set_image(url=f"attachment://{embed.image.name}")
    return made


def _files(message: DiscordMessage) -> list[discord.File]:
    """A message's files; discord.py closes those that it has sent."""
    named = [(path.name, path.read_bytes()) for path in message.files]
    if message.document is not None:
        named.append((message.document.name, message.document.content))
    return [discord.File(io.BytesIO(content), name) for name, content in named]


def _given(content: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty: a new message says nothing of it."""
    return {key: value for key, value in content.items() if value}


async def _channel(client: discord.Client, address: Address) -> discord.abc.Messageable:
    channel = client.get_channel(int(address.chat_id))
    if isinstance(channel, discord.abc.Messageable):
        return channel
    try:
        return await client.create_dm(discord.Object(int(address.chat_id)))
    except discord.HTTPException as error:
        if error.status not in (400, 404):
            raise
        # Nobody's id: a channel that the bot can't see, or has not been told of yet.
        return client.get_partial_messageable(int(address.chat_id))


async def _edit(
    to: discord.abc.Messageable, message_id: str, content: dict[str, Any], files: list[discord.File]
) -> discord.Message | None:
    """Put a message in the place of another; None where that one is gone."""
    if not isinstance(to, PLACES):
        return None
    try:
        message = to.get_partial_message(int(message_id))
        return await message.edit(attachments=files, **content)
    except discord.NotFound as error:
        if error.code != UNKNOWN_MESSAGE:
            raise
        return None


async def _delete(to: discord.abc.Messageable, message_id: str) -> bool:
    """Delete a message, whether or not it is there; False where messages can't be named."""
    if not isinstance(to, PLACES):
        return False
    try:
        await to.get_partial_message(int(message_id)).delete()
    except discord.NotFound as error:
        if error.code != UNKNOWN_MESSAGE:
            raise
    return True


async def _say(
    to: discord.abc.Messageable,
    content: dict[str, Any],
    reply_to: str,
    nonce: str,
) -> discord.Message:
    known = _given(content)
    if nonce:
        known["nonce"] = nonce
    if reply_to and isinstance(to, discord.TextChannel | discord.DMChannel | discord.Thread):
        known["reference"] = discord.MessageReference(
            message_id=int(reply_to), channel_id=to.id, fail_if_not_exists=False
        )
    return await to.send(**known)


@contextmanager
def _errors(client: discord.Client, sent: Sequence[str] = ()) -> Iterator[None]:
    """Raise what discord.py does by what is to be done about it; `sent` is what is out already."""
    try:
        yield
    except (discord.DiscordException, ClientError, OSError) as error:
        raise _partly(_translated(error), sent) from error
    except NotSent as error:
        raise _partly(error, sent) from error
    except RuntimeError as error:
        # What a closed session answers whoever still held it.
        if not client.is_closed():
            raise
        raise _partly(NotSent("discord is not connected"), sent) from error


def _partly(error: CountersignError, sent: Sequence[str]) -> CountersignError:
    """What an error means once the first messages of a letter are out."""
    if not sent:
        return error
    match error:
        case Throttled(seconds=seconds):
            return PartlySent(seconds)
        case NotSent():
            return PartlySent(0)
        case _:
            return error


def _translated(error: Exception) -> CountersignError:
    """What discord.py raises, by what is to be done about it."""
    match error:
        case discord.RateLimited():
            return Throttled(error.retry_after)
        case discord.HTTPException(status=401):
            return NotSent("Discord does not take DISCORD_BOT_TOKEN any more")
        case discord.Forbidden() | discord.NotFound() if not error.code:
            # Not Discord's own words, but those of somebody on the way.
            return Unreachable(f"Discord answered {error.status}")
        case discord.Forbidden():
            return ChatGone(f"{error.text or error} ({error.code})")
        case discord.NotFound() if error.code != UNKNOWN_MESSAGE:
            return ChatGone(f"{error.text or error} ({error.code})")
        case discord.DiscordServerError():
            return Unreachable(f"Discord answered {error.status}")
        case discord.HTTPException(status=429):
            return Throttled(RATE_LIMIT_WAIT_S)
        case discord.HTTPException():
            return Undeliverable(f"{error.text or error} ({error.code})")
        case ClientConnectorError():
            return NotSent(str(error))
        case _:
            return Unreachable(str(error))
