"""The local Discord's HTTP API: the calls that bots make, refused as Discord refuses them."""

import asyncio
import copy
import re
from collections.abc import Awaitable, Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from aiohttp import web

from tests.servers.discord_call import (
    UNREADABLE,
    Answer,
    Call,
    Drop,
    Fault,
    Hang,
    Refusal,
    Violation,
    read_call,
    respond,
)
from tests.servers.discord_gateway import Gateway
from tests.servers.discord_schema import (
    COMMANDS_MAX,
    COMPONENTS_V2,
    Description,
    Json,
    Problem,
    choice_problems,
    command_problems,
    message_problems,
    modal_problems,
)
from tests.servers.discord_world import (
    ATTACHMENT_BYTES_MAX,
    EPHEMERAL,
    FIRST_ANSWER_S,
    LOADING,
    TOKEN_S,
    Channel,
    Guild,
    Interaction,
    Message,
    Upload,
    World,
    shown_command,
)

FILES_MAX = 10
# What a bot may set of a message's flags: no embeds, no push, components v2.
SETTABLE_FLAGS = 1 << 2 | 1 << 12 | COMPONENTS_V2

# Which first answers each kind of interaction takes: a command, a component, an
# autocompletion, a modal.
MESSAGE, DEFERRED, DEFERRED_UPDATE, UPDATE, CHOICES, MODAL = 4, 5, 6, 7, 8, 9
ANSWERS = {
    2: (MESSAGE, DEFERRED, MODAL),
    3: (MESSAGE, DEFERRED, DEFERRED_UPDATE, UPDATE, MODAL),
    4: (CHOICES,),
    5: (MESSAGE, DEFERRED, DEFERRED_UPDATE, UPDATE),
}

Result = tuple[int, Any]
Handler = Callable[[Call], Awaitable[Result]]


class Route(NamedTuple):
    """A call that is served: how it looks, who does it, and which limits its body has.

    An `open` one asks for no token, as the path has one.
    """

    method: str
    template: str
    handler: Handler
    check: Callable[[Any], list[Problem]] | None = None
    open: bool = False

    def match(self, call: Call) -> re.Match[str] | None:
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.template)
        return re.fullmatch(pattern, call.path) if call.method == self.method else None


def callback_problems(body: Json) -> list[Problem]:
    """Documented limits on the first answer to an interaction."""
    data = body.get("data") or {}
    if body.get("type") == MODAL:
        return modal_problems(data, ("data",))
    if body.get("type") == CHOICES:
        return choice_problems(data.get("choices") or (), ("data", "choices"))
    return message_problems(data, ("data",))


class Rest:
    """Serves the calls of bots against a world; `changed` is called after each."""

    def __init__(
        self,
        world: World,
        gateway: Gateway,
        token: str,
        description: Description | None,
        changed: Callable[[], None],
    ) -> None:
        self.world = world
        self.gateway = gateway
        self.calls: list[Call] = []
        self.violations: list[Violation] = []
        self.closing = asyncio.Event()
        self._token = token
        self._description = description
        self._changed = changed
        self._faults: list[tuple[str, Fault]] = []
        self._nonces: dict[tuple[int, str], Message] = {}
        self._routes = self._table()

    def fail(self, pattern: str, fault: Fault, times: int = 1) -> None:
        """Have the next `times` calls that match go wrong: "POST /channels/*/messages"."""
        self._faults += [(pattern, fault)] * times

    def _table(self) -> list[Route]:
        application = "/applications/{application_id}"
        messages = "/channels/{channel_id}/messages"
        webhook = "/webhooks/{webhook_id}/{webhook_token}"
        callback = "/interactions/{interaction_id}/{interaction_token}/callback"
        written = message_problems
        return [
            Route("GET", "/gateway", self._gateway, open=True),
            Route("GET", "/gateway/bot", self._gateway_bot),
            Route("GET", "/users/@me", self._me),
            Route("POST", "/users/@me/channels", self._open_dm),
            Route("DELETE", "/users/@me/guilds/{guild_id}", self._leave),
            Route("GET", "/users/{user_id}", self._user),
            Route("GET", "/oauth2/applications/@me", self._application),
            Route("GET", "/applications/@me", self._application),
            *self._command_routes(f"{application}/commands"),
            *self._command_routes(f"{application}/guilds/{{guild_id}}/commands"),
            Route("GET", "/guilds/{guild_id}", self._guild),
            Route("GET", "/guilds/{guild_id}/members/{user_id}", self._member),
            Route("GET", "/channels/{channel_id}", self._channel),
            Route("POST", "/channels/{channel_id}/typing", self._typing),
            Route("GET", messages, self._list),
            Route("POST", messages, self._create, written),
            Route("GET", messages + "/{message_id}", self._read),
            Route("PATCH", messages + "/{message_id}", self._edit, written),
            Route("DELETE", messages + "/{message_id}", self._delete),
            Route("POST", callback, self._callback, callback_problems, open=True),
            Route("POST", webhook, self._follow_up, written, open=True),
            *self._answer_routes(webhook + "/messages/@original"),
            *self._answer_routes(webhook + "/messages/{message_id}"),
        ]

    def _command_routes(self, path: str) -> list[Route]:
        def one(command: Json) -> list[Problem]:
            return [problem._replace(place=problem.place[1:]) for problem in many([command])]

        def changed(change: Json) -> list[Problem]:
            return one({"name": "unchanged", "description": "unchanged"} | change)

        many = command_problems
        return [
            Route("GET", path, self._commands),
            Route("PUT", path, self._overwrite_commands, many),
            Route("POST", path, self._create_command, one),
            Route("GET", path + "/{command_id}", self._read_command),
            Route("PATCH", path + "/{command_id}", self._edit_command, changed),
            Route("DELETE", path + "/{command_id}", self._delete_command),
        ]

    def _answer_routes(self, path: str) -> list[Route]:
        return [
            Route("GET", path, self._read_answer, open=True),
            Route("PATCH", path, self._edit_answer, message_problems, open=True),
            Route("DELETE", path, self._delete_answer, open=True),
        ]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, or do what a fault says."""
        call = await read_call(request)
        self.calls.append(call)
        self._changed()
        fault = self._next_fault(call)
        if isinstance(fault, Hang):
            await self.closing.wait()
        if isinstance(fault, Answer):
            return respond(call, fault.status, fault.body, fault.headers)
        if fault is None or fault == Drop(performed=True):
            call.status, call.answer = await self._perform(call)
            self._changed()
        if fault is not None and request.transport:
            request.transport.abort()
        return respond(call, call.status or 500, call.answer, {})

    def _next_fault(self, call: Call) -> Fault | None:
        for index, (pattern, fault) in enumerate(self._faults):
            if fnmatchcase(f"{call.method} {call.path}", pattern):
                del self._faults[index]
                return fault
        return None

    async def _perform(self, call: Call) -> Result:
        route = self._find(call)
        if route is None:
            return self._unserved(call)
        try:
            if not route.open and call.token != f"Bot {self._token}":
                raise Refusal(0)
            self._check(call, route)
            return await route.handler(call)
        except Refusal as refusal:
            if refusal.problems:
                self.violations.append(Violation(call, refusal.problems))
            return refusal.status, refusal.body

    def _find(self, call: Call) -> Route | None:
        for route in self._routes:
            if match := route.match(call):
                call.template = route.template
                call.params = match.groupdict()
                return route
        return None

    def _unserved(self, call: Call) -> Result:
        words = f"{call.method} {call.path}: no such call, or none that is served here."
        self.violations.append(Violation(call, [Problem((), "UNKNOWN_CALL", words)]))
        return 404, {"message": "404: Not Found", "code": 0}

    def _check(self, call: Call, route: Route) -> None:
        """Raise the refusal that a body deserves."""
        if call.body is UNREADABLE or (route.check and call.body is None):
            raise Refusal(50109)
        if any(len(upload.content) > ATTACHMENT_BYTES_MAX for upload in call.files):
            raise Refusal(40005)
        problems: list[Problem] = []
        if len(call.files) > FILES_MAX:
            words = f"Must be {FILES_MAX} or fewer in length."
            problems.append(Problem(("attachments",), "BASE_TYPE_MAX_LENGTH", words))
        if self._description:
            method, template = route.method, route.template
            problems += self._description.request_problems(method, template, call.body)
        if not problems and route.check:
            problems = route.check(call.body)
        if problems:
            raise Refusal(50035, problems)

    # The application and its world.

    async def _gateway(self, call: Call) -> Result:
        return 200, {"url": self.gateway.url}

    async def _gateway_bot(self, call: Call) -> Result:
        limit = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
        return 200, {"url": self.gateway.url, "shards": 1, "session_start_limit": limit}

    async def _me(self, call: Call) -> Result:
        about = {"mfa_enabled": False, "locale": "en-US", "verified": True, "email": None}
        return 200, self.world.bot.payload() | about

    async def _application(self, call: Call) -> Result:
        owner = next((g.owner for g in self.world.guilds.values()), self.world.bot)
        return 200, {
            "id": str(self.world.application),
            "name": self.world.bot.name,
            "icon": None,
            "description": "",
            "type": None,
            "verify_key": "0" * 64,
            "flags": 0,
            "flags_new": "0",
            "bot_public": True,
            "bot_require_code_grant": False,
            "redirect_uris": [],
            "interactions_endpoint_url": None,
            "role_connections_verification_url": None,
            "owner": owner.payload(),
            "approximate_guild_count": len(self.world.guilds),
            "approximate_user_install_count": 0,
            "approximate_user_authorization_count": 0,
            "explicit_content_filter": 0,
            "team": None,
            "eligible_oauth2_scopes": [],
        }

    async def _user(self, call: Call) -> Result:
        user = self.world.users.get(call.id("user_id"))
        if user is None:
            raise Refusal(10013)
        return 200, user.payload()

    async def _open_dm(self, call: Call) -> Result:
        user = self.world.users.get(int((call.body or {}).get("recipient_id") or 0))
        if user is None or user.bot:
            raise Refusal(10013)
        return 200, self.world.dm(user).payload()

    async def _leave(self, call: Call) -> Result:
        guild = self._known_guild(call)
        del self.world.guilds[guild.id]
        for channel in guild.channels:
            del self.world.channels[channel.id]
        await self.gateway.dispatch("GUILD_DELETE", {"id": str(guild.id)})
        return 204, None

    def _known_guild(self, call: Call) -> Guild:
        guild = self.world.guilds.get(call.id("guild_id"))
        if guild is None:
            raise Refusal(10004)
        return guild

    async def _guild(self, call: Call) -> Result:
        return 200, self._known_guild(call).payload()

    async def _member(self, call: Call) -> Result:
        for member in self._known_guild(call).members:
            if member.id == call.id("user_id"):
                return 200, member.member()
        raise Refusal(10007)

    # Commands.

    def _scope(self, call: Call) -> list[Json]:
        """The commands of the guild in the path, or the global ones."""
        if call.id("application_id") != self.world.application:
            raise Refusal(50001)
        if "guild_id" not in call.params:
            return self.world.commands[None]
        if call.id("guild_id") not in self.world.guilds:
            raise Refusal(50001)
        return self.world.commands.setdefault(call.id("guild_id"), [])

    def _register(self, call: Call, command: Json, known: list[Json]) -> Json:
        """The command as it is from now on; it keeps its id where its name is known."""
        kind = command.get("type") or 1
        same = [c for c in known if (c["name"], c["type"]) == (command["name"], kind)]
        ids = {
            "id": same[0]["id"] if same else str(self.world.ids.next()),
            "application_id": str(self.world.application),
            "version": str(self.world.ids.next()),
        }
        guild = {"guild_id": call.params["guild_id"]} if "guild_id" in call.params else {}
        return shown_command(command, ids | guild)

    async def _commands(self, call: Call) -> Result:
        return 200, self._scope(call)

    async def _overwrite_commands(self, call: Call) -> Result:
        known = self._scope(call)
        wanted = call.body or []
        names = [(command.get("type") or 1, command["name"]) for command in wanted]
        if len(names) != len(set(names)):
            words = "Application command names must be unique"
            raise Refusal(50035, [Problem((), "APPLICATION_COMMANDS_DUPLICATE_NAME", words)])
        if len(wanted) > COMMANDS_MAX:
            raise Refusal(30032)
        known[:] = [self._register(call, command, known) for command in wanted]
        return 200, known

    async def _create_command(self, call: Call) -> Result:
        known = self._scope(call)
        command = self._register(call, call.body, known)
        older = next((c for c in known if c["id"] == command["id"]), None)
        if older:
            known.remove(older)
        elif len(known) >= COMMANDS_MAX:
            raise Refusal(30032)
        known.append(command)
        return (200 if older else 201), command

    def _known_command(self, call: Call) -> tuple[list[Json], Json]:
        known = self._scope(call)
        for command in known:
            if command["id"] == call.params["command_id"]:
                return known, command
        raise Refusal(10063)

    async def _read_command(self, call: Call) -> Result:
        return 200, self._known_command(call)[1]

    async def _edit_command(self, call: Call) -> Result:
        known, command = self._known_command(call)
        kept = {key: command[key] for key in ("id", "application_id", "guild_id") if key in command}
        ids = kept | {"version": str(self.world.ids.next())}
        changed = shown_command(command | call.body, ids)
        known[known.index(command)] = changed
        return 200, changed

    async def _delete_command(self, call: Call) -> Result:
        known, command = self._known_command(call)
        known.remove(command)
        return 204, None

    # Messages.

    def _known_channel(self, call: Call) -> Channel:
        channel = self.world.channels.get(call.id("channel_id"))
        if channel is None:
            raise Refusal(10003)
        if not channel.visible:
            raise Refusal(50001)
        return channel

    def _known_message(self, call: Call) -> Message:
        for message in self._known_channel(call).messages:
            if message.id == call.id("message_id") and not message.ephemeral:
                return message
        raise Refusal(10008)

    async def _channel(self, call: Call) -> Result:
        return 200, self._known_channel(call).payload()

    async def _typing(self, call: Call) -> Result:
        self._known_channel(call)
        return 204, None

    async def _list(self, call: Call) -> Result:
        before = int(call.query.get("before", 1 << 63))
        after = int(call.query.get("after", 0))
        found = [
            message.data
            for message in reversed(self._known_channel(call).messages)
            if after < message.id < before and not message.ephemeral
        ]
        return 200, found[: int(call.query.get("limit", 50))]

    async def _read(self, call: Call) -> Result:
        return 200, self._known_message(call).data

    async def _create(self, call: Call) -> Result:
        channel = self._known_channel(call)
        if channel.person and channel.person.closed:
            raise Refusal(50007)
        nonce = call.body.get("nonce")
        if call.body.get("enforce_nonce") and (channel.id, str(nonce)) in self._nonces:
            return 200, self._nonces[channel.id, str(nonce)].data
        _refuse_empty(call.body, call.files)
        extra = self._reference(channel, call.body)
        if nonce is not None:
            extra["nonce"] = nonce
        extra["flags"] = (call.body.get("flags") or 0) & SETTABLE_FLAGS
        message = self.world.post(channel, self.world.bot, call.body, call.files, extra)
        if nonce is not None:
            self._nonces[channel.id, str(nonce)] = message
        await self._publish("MESSAGE_CREATE", message)
        return 200, message.data

    def _reference(self, channel: Channel, body: Json) -> Json:
        """What makes a message a reply, where the body names one."""
        wanted = body.get("message_reference")
        if not wanted:
            return {}
        for message in channel.messages:
            if str(message.id) == str(wanted["message_id"]) and not message.ephemeral:
                return message.reference()
        if wanted.get("fail_if_not_exists") is False:
            return {}
        problem = Problem(("message_reference",), "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        raise Refusal(50035, [problem])

    async def _edit(self, call: Call) -> Result:
        message = self._known_message(call)
        if message.data["author"]["id"] != str(self.world.bot.id):
            raise Refusal(50005)
        return 200, await self._rewrite(message, call.body, call.files)

    async def _rewrite(self, message: Message, body: Json, files: Sequence[Upload]) -> Json:
        changed = copy.deepcopy(message)
        changed.write(body, files, self.world.ids, self.world.base)
        _refuse_empty(changed.data, ())
        message.write(body, files, self.world.ids, self.world.base)
        message.data["edited_timestamp"] = self.world.timestamp()
        message.data["flags"] &= ~LOADING
        await self._publish("MESSAGE_UPDATE", message)
        return message.data

    async def _delete(self, call: Call) -> Result:
        message = self._known_message(call)
        if message.data["author"]["id"] != str(self.world.bot.id):
            # The bot may not manage messages.
            raise Refusal(50013 if message.channel.guild else 50003)
        return await self._remove(message)

    async def _remove(self, message: Message) -> Result:
        message.channel.messages.remove(message)
        await self._publish("MESSAGE_DELETE", message)
        return 204, None

    async def _publish(self, event: str, message: Message) -> None:
        """Tell the gateway's clients; an ephemeral message is nobody else's business."""
        if not message.ephemeral:
            await self.gateway.dispatch(event, message.event())

    # Interactions.

    async def _callback(self, call: Call) -> Result:
        interaction = self.world.interactions.get(call.id("interaction_id"))
        if interaction is None or interaction.token != call.params["interaction_token"]:
            raise Refusal(10062)
        if interaction.answer:
            raise Refusal(40060)
        if self.world.clock.monotonic() - interaction.asked_s > FIRST_ANSWER_S:
            raise Refusal(10062)
        self._refuse_kind(interaction, call.body["type"])
        await self._answer(interaction, call)
        if call.query.get("with_response") in ("1", "true", "True"):
            return 200, _callback_response(interaction)
        return 204, None

    @staticmethod
    def _refuse_kind(interaction: Interaction, kind: int) -> None:
        allowed = set(ANSWERS[interaction.type])
        if interaction.message is None:
            allowed -= {DEFERRED_UPDATE, UPDATE}
        if kind not in allowed:
            words = f"Value must be one of {tuple(sorted(allowed))}."
            raise Refusal(50035, [Problem(("type",), "BASE_TYPE_CHOICES", words)])

    async def _answer(self, interaction: Interaction, call: Call) -> None:
        kind, data = call.body["type"], call.body.get("data") or {}
        if kind == MESSAGE:
            _refuse_empty(data, call.files)
        if kind == UPDATE and interaction.message:
            await self._rewrite(interaction.message, data, call.files)
        interaction.answer = call.body
        if kind in (MESSAGE, DEFERRED):
            loading = LOADING if kind == DEFERRED else 0
            interaction.original = await self._say(interaction, data, call.files, loading)
        elif kind in (UPDATE, DEFERRED_UPDATE):
            interaction.original = interaction.message

    async def _say(
        self, interaction: Interaction, body: Json, files: Sequence[Upload], loading: int = 0
    ) -> Message:
        """A new message that answers an interaction."""
        flags = (body.get("flags") or 0) & (SETTABLE_FLAGS | EPHEMERAL) | loading
        extra = {
            "type": 20 if interaction.type == 2 else 0,
            "flags": flags,
            "webhook_id": str(self.world.application),
            "application_id": str(self.world.application),
            "interaction_metadata": interaction.metadata(),
        }
        viewer = interaction.user if flags & EPHEMERAL else None
        channel = interaction.channel
        message = self.world.post(channel, self.world.bot, body, files, extra, viewer)
        await self._publish("MESSAGE_CREATE", message)
        return message

    def _answered(self, call: Call) -> Interaction:
        """The interaction whose token is in the path, where that is still good."""
        if call.id("webhook_id") != self.world.application:
            raise Refusal(10015)
        for interaction in self.world.interactions.values():
            if interaction.token == call.params["webhook_token"]:
                if self.world.clock.monotonic() - interaction.asked_s > TOKEN_S:
                    raise Refusal(50027)
                if interaction.answer is None:
                    raise Refusal(10015)
                return interaction
        raise Refusal(50027)

    async def _follow_up(self, call: Call) -> Result:
        """A further message; while the deferred first one waits, it is filled instead."""
        interaction = self._answered(call)
        _refuse_empty(call.body, call.files)
        original = interaction.original
        if original and original.loading:
            return 200, await self._rewrite(original, call.body, call.files)
        message = await self._say(interaction, call.body, call.files)
        interaction.followups.append(message)
        return 200, message.data

    def _known_answer(self, call: Call) -> Message:
        interaction = self._answered(call)
        if "message_id" not in call.params:
            found = [interaction.original] if interaction.original else []
        else:
            said = [*interaction.followups, interaction.original]
            found = [m for m in said if m and m.id == call.id("message_id")]
        if not found or found[0] not in found[0].channel.messages:
            raise Refusal(10008)
        return found[0]

    async def _read_answer(self, call: Call) -> Result:
        return 200, self._known_answer(call).data

    async def _edit_answer(self, call: Call) -> Result:
        return 200, await self._rewrite(self._known_answer(call), call.body, call.files)

    async def _delete_answer(self, call: Call) -> Result:
        return await self._remove(self._known_answer(call))


def _callback_response(interaction: Interaction) -> Json:
    """What a callback is told when it asks `with_response`."""
    assert interaction.answer
    about: Json = {"id": str(interaction.id), "type": interaction.type}
    kind, original = interaction.answer["type"], interaction.original
    if original is None:
        return {"interaction": about}
    about["response_message_id"] = str(original.id)
    about["response_message_loading"] = original.loading
    about["response_message_ephemeral"] = original.ephemeral
    shown = MESSAGE if kind == DEFERRED else kind
    if shown == DEFERRED_UPDATE:
        return {"interaction": about}
    return {"interaction": about, "resource": {"type": shown, "message": original.data}}


def _refuse_empty(body: Json, files: Sequence[Upload]) -> None:
    filled = ("content", "embeds", "components", "attachments", "poll", "sticker_ids")
    if not files and not any(body.get(key) for key in filled):
        raise Refusal(50006)
