"""A local Discord: a real HTTP and gateway server that refuses what Discord refuses.

    async with DiscordServer(spec=shared / "specs/discord") as server:
        guild = server.add_guild("Desk", owner=server.add_user("ann"))
        ...
        asked = await server.slash(ann, channel, "chart", {"symbol": "BTC"})
        await server.until(lambda: asked.original and asked.original.files)

Clients are pointed at `api_base` and `gateway_url`. Tests act as people, look at what is there,
and make things go wrong: calls with `fail`, the gateway with what `gateway` offers.
"""

import asyncio
import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from bot.clock import SystemClock
from engine.ports import Clock
from tests.servers.discord_call import BASE, Call, Fault, Violation
from tests.servers.discord_gateway import Gateway
from tests.servers.discord_people import (
    Impossible,
    command_data,
    find_command,
    pressed,
    submitted,
)
from tests.servers.discord_rest import Rest
from tests.servers.discord_schema import Json, read_description
from tests.servers.discord_world import (
    ADMINISTRATOR,
    APP_PERMISSIONS,
    ATTACHMENT_BYTES_MAX,
    Channel,
    Guild,
    Interaction,
    Message,
    User,
    World,
)

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL_SUBMIT = 2, 3, 4, 5
# Bodies beyond Discord's own limits must still be read, to be refused in its words.
BODY_BYTES_MAX = 4 * ATTACHMENT_BYTES_MAX
UNTIL_S = 10.0


class DiscordServer:
    """One Discord with one application. With `spec` (a folder that holds `openapi.json`) every
    call is held against Discord's published description too.

    `clock` decides how long interactions are good; ids and timestamps come from it as well.
    """

    def __init__(
        self, token: str = "TEST", spec: Path | None = None, clock: Clock | None = None
    ) -> None:
        self.token = token
        self.world = World(clock or SystemClock())
        clock = self.world.clock
        self.gateway = Gateway(token, clock, self._ready(), self._guilds, self._touch)
        description = read_description(spec) if spec else None
        self.rest = Rest(self.world, self.gateway, token, description, self._touch)
        self.application_id = self.world.application
        self.bot = self.world.bot
        self.api_base = ""
        self.gateway_url = ""
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_get("/gw", self.gateway.serve)
        app.router.add_get("/attachments/{channel}/{attachment}/{name}", self._attachment)
        app.router.add_route("*", BASE + "/{path:.*}", self.rest.serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        address = f"127.0.0.1:{self._runner.addresses[0][1]}"
        self.world.base = f"http://{address}"
        self.api_base = f"{self.world.base}{BASE}"
        self.gateway_url = self.gateway.url = f"ws://{address}/gw"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.rest.closing.set()
        await self.gateway.close(1001)
        await self._runner.cleanup()

    def _ready(self) -> Json:
        application = {"id": str(self.world.application), "flags": 0, "flags_new": "0"}
        return {"v": 10, "user": self.world.bot.payload(), "application": application}

    def _guilds(self) -> list[Json]:
        return [guild.payload() for guild in self.world.guilds.values()]

    async def _attachment(self, request: web.Request) -> web.Response:
        for channel in self.world.channels.values():
            for message in channel.messages:
                if content := message.attached.get(request.match_info["attachment"]):
                    return web.Response(body=content)
        raise web.HTTPNotFound

    # The world.

    def add_user(self, name: str, *, id: int | None = None) -> User:
        user = User(id or self.world.ids.next(), name)
        self.world.users[user.id] = user
        return user

    def add_guild(self, name: str, owner: User, *members: User, id: int | None = None) -> Guild:
        """A guild that the bot is in. Clients learn of it when they identify the next time, or by
        `dispatch("GUILD_CREATE", guild.payload())`.
        """
        guild = Guild(id or self.world.ids.next(), name, owner, [owner, *members, self.bot])
        self.world.guilds[guild.id] = guild
        return guild

    def add_channel(self, guild: Guild, name: str, *, visible: bool = True) -> Channel:
        """A text channel, to which the bot has access if it is `visible`."""
        channel = Channel(self.world.ids.next(), name, guild, visible=visible)
        guild.channels.append(channel)
        return self.world.keep(channel)

    def add_thread(self, parent: Channel, name: str) -> Channel:
        assert parent.guild
        thread = Channel(self.world.ids.next(), name, parent.guild, parent, visible=parent.visible)
        parent.guild.channels.append(thread)
        return self.world.keep(thread)

    def dm(self, user: User) -> Channel:
        """Somebody's private channel with the bot."""
        return self.world.dm(user)

    # Looking.

    @property
    def calls(self) -> list[Call]:
        """All requests, in the order they came."""
        return self.rest.calls

    @property
    def violations(self) -> list[Violation]:
        """The requests that were refused as malformed."""
        return self.rest.violations

    @property
    def interactions(self) -> list[Interaction]:
        return list(self.world.interactions.values())

    @property
    def callbacks(self) -> list[Json]:
        """The first answers to interactions."""
        return [asked.answer for asked in self.interactions if asked.answer]

    @property
    def modals(self) -> list[Interaction]:
        """The interactions that were answered with a modal."""
        return [asked for asked in self.interactions if asked.modal]

    def messages(self, channel: Channel) -> list[Message]:
        """What stands in a channel, oldest first, ephemeral messages too."""
        return list(channel.messages)

    def commands(self, guild: Guild | None = None) -> list[Json]:
        """The commands registered for a guild, or the global ones."""
        return list(self.world.commands.get(guild.id if guild else None, ()))

    async def until(self, holds: Callable[[], Any], timeout_s: float = UNTIL_S) -> Any:
        """Wait until something is true of this server, and return it.

        It is asked after every call and frame; what changes in the client alone goes unnoticed.
        """
        async with asyncio.timeout(timeout_s):
            while not (found := holds()):
                await self._changed.wait()
        return found

    def _touch(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # Making things go wrong.

    def fail(self, pattern: str, fault: Fault, times: int = 1) -> None:
        """Have the next `times` calls that match go wrong: "POST /channels/*/messages"."""
        self.rest.fail(pattern, fault, times)

    async def dispatch(self, event: str, payload: Json) -> None:
        """Send any event through the gateway."""
        await self.gateway.dispatch(event, payload)

    # People acting. Each raises Impossible where Discord's own client would not let them.

    async def say(
        self,
        user: User,
        channel: Channel,
        text: str,
        *,
        reply_to: Message | None = None,
        pings: bool = True,
        webhook: bool = False,
    ) -> Message:
        """Somebody writes a message, which a reply with `pings` tells its author of.

        By a `webhook`, its name is the user's.
        """
        extra = reply_to.reference() if reply_to else {}
        known = self.world.users.values()
        mentions = [each.payload() for each in known if f"<@{each.id}>" in text]
        if reply_to and pings and reply_to.data["author"] not in mentions:
            mentions.append(reply_to.data["author"])
        extra["mentions"] = mentions
        if webhook:
            extra["webhook_id"] = str(self.world.ids.next())
        message = self.world.post(channel, user, {"content": text}, (), extra)
        event = message.event()
        if channel.guild and not webhook:
            event["member"] = {k: v for k, v in user.member().items() if k != "user"}
        await self.dispatch("MESSAGE_CREATE", event)
        return message

    async def slash(
        self,
        user: User,
        channel: Channel,
        name: str,
        options: Mapping[str, Any] | None = None,
        *,
        subcommand: str | None = None,
    ) -> Interaction:
        """Somebody gives a command; `subcommand` is "add", or "group add"."""
        command = find_command(self._offered(channel), name)
        data = command_data(command, options or {}, subcommand)
        return await self._interact(user, channel, COMMAND, data)

    async def autocomplete(
        self,
        user: User,
        channel: Channel,
        name: str,
        option: str,
        text: str,
        others: Mapping[str, Any] | None = None,
        *,
        subcommand: str | None = None,
    ) -> Interaction:
        """Somebody types `text` into an option; `others` are filled in already."""
        command = find_command(self._offered(channel), name)
        data = command_data(command, {**(others or {}), option: text}, subcommand, option)
        return await self._interact(user, channel, AUTOCOMPLETE, data)

    async def press(
        self,
        user: User,
        message: Message,
        custom_id: str,
        values: Sequence[str] | None = None,
    ) -> Interaction:
        """Somebody presses a button, or chooses `values` in a select."""
        if message.viewer not in (None, user) or message not in message.channel.messages:
            raise Impossible(f"{user.name} does not see the message {message.id}")
        if custom_id not in message.controls:
            raise Impossible(f"message {message.id} has {list(message.controls)}, no {custom_id!r}")
        data = pressed(message.controls[custom_id], values)
        return await self._interact(user, message.channel, COMPONENT, data, message)

    async def submit(
        self, user: User, opened: Interaction, values: Mapping[str, str]
    ) -> Interaction:
        """Somebody sends off the modal that an interaction was answered with."""
        if opened.modal is None:
            raise Impossible(f"interaction {opened.id} was not answered with a modal")
        data = submitted(opened.modal, values)
        message = opened.message
        return await self._interact(user, opened.channel, MODAL_SUBMIT, data, message, opened)

    async def redeliver(self, asked: Interaction) -> None:
        """Send an interaction's event once more, as a resumed gateway may."""
        await self.dispatch("INTERACTION_CREATE", asked.payload)

    def _offered(self, channel: Channel) -> list[Json]:
        """The commands that can be given in a channel."""
        if channel.guild:
            return [*self.commands(channel.guild), *self._within(0)]
        return self._within(1)

    def _within(self, context: int) -> list[Json]:
        """The global commands for guilds (0), or for the bot's private chats (1)."""
        return [
            command
            for command in self.commands()
            if context in (command["contexts"] or ((0, 1) if command["dm_permission"] else (0,)))
        ]

    async def _interact(
        self,
        user: User,
        channel: Channel,
        kind: int,
        data: Json,
        message: Message | None = None,
        trigger: Interaction | None = None,
    ) -> Interaction:
        number = self.world.ids.next()
        payload: Json = {
            "id": str(number),
            "application_id": str(self.application_id),
            "type": kind,
            "data": data,
            "token": f"interaction-token-{number}",
            "version": 1,
            "channel_id": str(channel.id),
            "channel": channel.payload(),
            "app_permissions": APP_PERMISSIONS,
            "locale": "en-US",
            "entitlements": [],
            "entitlement_sku_ids": [],
            "attachment_size_limit": ATTACHMENT_BYTES_MAX,
        }
        payload |= _from_guild(user, channel.guild) if channel.guild else _from_dm(user)
        if message:
            payload["message"] = copy.deepcopy(message.data)
        now_s = self.world.clock.monotonic()
        asked = Interaction(payload, user, channel, now_s, message, trigger)
        self.world.interactions[number] = asked
        await self.dispatch("INTERACTION_CREATE", payload)
        return asked


def _from_guild(user: User, guild: Guild) -> Json:
    if user not in guild.members:
        raise Impossible(f"{user.name} is no member of {guild.name}")
    permissions = ADMINISTRATOR if user is guild.owner else APP_PERMISSIONS
    return {
        "guild_id": str(guild.id),
        "guild": {"id": str(guild.id), "locale": "en-US", "features": []},
        "guild_locale": "en-US",
        "member": user.member() | {"permissions": permissions},
        "context": 0,
        "authorizing_integration_owners": {"0": str(guild.id)},
    }


def _from_dm(user: User) -> Json:
    owners = {"0": "0"}
    return {"user": user.payload(), "context": 1, "authorizing_integration_owners": owners}
