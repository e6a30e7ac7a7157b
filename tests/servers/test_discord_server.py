"""The local Discord, held to what Discord publishes, with the real discord.py as its client."""

import asyncio
import io
import json
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yarl
from jsonschema import Draft7Validator

from tests.clock import FakeClock
from tests.servers.discord import DiscordServer
from tests.servers.discord_call import Drop, Hang, failing, rate_limited, refused
from tests.servers.discord_people import Impossible
from tests.servers.discord_schema import Json, command_problems, message_problems, read_description
from tests.servers.discord_world import Channel, Guild, Interaction, User

with warnings.catch_warnings():
    # It imports `audioop`, which Python 3.13 took away.
    warnings.simplefilter("ignore", DeprecationWarning)
    import discord
    from discord import app_commands, gateway, http

TOKEN = "TEST"
DM_INTENT = discord.Intents(guilds=True, dm_messages=True)


class Approve(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]], template=r"approve:(?P<id>\d+)"
):
    """A button that works without the view it was sent with."""

    def __init__(self, number: int) -> None:
        super().__init__(discord.ui.Button(label="Approve", custom_id=f"approve:{number}"))
        self.number = number

    @classmethod
    async def from_custom_id(cls, interaction: Any, item: Any, match: Any) -> "Approve":
        return cls(int(match["id"]))

    async def callback(self, interaction: Any) -> None:
        await interaction.response.send_modal(Confirm(self.number))


class Confirm(discord.ui.Modal, title="Confirm"):
    phrase: discord.ui.TextInput["Confirm"] = discord.ui.TextInput(label="Phrase", max_length=20)

    def __init__(self, number: int) -> None:
        super().__init__(custom_id=f"confirm:{number}")

    async def on_submit(self, interaction: Any) -> None:
        text = f"approved: {self.phrase.value}"
        if interaction.message:
            await interaction.response.edit_message(content=text, view=None)
        else:
            await interaction.response.send_message(text)


class Client(discord.Client):
    """A small bot with a command of each kind."""

    def __init__(self, intents: discord.Intents | None = None, **options: Any) -> None:
        intents = intents or discord.Intents(guilds=True)
        super().__init__(intents=intents, guild_ready_timeout=0.05, **options)
        self.tree = app_commands.CommandTree(self)
        self.seen: list[int] = []
        self.heard: list[str] = []

    async def setup_hook(self) -> None:
        self.add_dynamic_items(Approve)
        for command in commands():
            self.tree.add_command(command)
        await self.tree.sync()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Do not wait five seconds before identifying anew."""

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        self.seen.append(interaction.id)

    async def on_message(self, message: discord.Message) -> None:
        self.heard.append(message.content)


def commands() -> Iterator[Any]:
    @app_commands.command(description="How the desk is")
    async def status(interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        await interaction.followup.send("thinking")
        await interaction.followup.send("and more")
        await interaction.edit_original_response(content="all well", embed=card())

    @app_commands.command(description="A picture")
    async def chart(interaction: discord.Interaction, symbol: str, days: int = 7) -> None:
        file = discord.File(io.BytesIO(b"picture of " + symbol.encode()), "chart.png")
        await interaction.response.send_message(f"{symbol} {days}", file=file)

    @chart.autocomplete("symbol")
    async def symbols(
        interaction: discord.Interaction, text: str
    ) -> list[app_commands.Choice[str]]:
        known = ("BTCUSDT", "ETHUSDT")
        return [app_commands.Choice(name=n, value=n) for n in known if text in n]

    @app_commands.command(description="Something to decide")
    async def propose(interaction: discord.Interaction) -> None:
        view = discord.ui.View(timeout=None)
        view.add_item(Approve(7))
        await interaction.response.send_message("?", view=view)

    @app_commands.command(description="Decide at once")
    async def decide(interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Confirm(8))

    bots = app_commands.Group(name="bot", description="The bots")

    @bots.command(description="Pause one")
    async def pause(interaction: discord.Interaction, name: str) -> None:
        await interaction.response.send_message(f"{name} is paused")

    yield from (status, chart, propose, decide, bots)


def card() -> discord.Embed:
    embed = discord.Embed(title="Desk", description="paper", color=0x00FF00)
    return embed.add_field(name="Positions", value="2").set_footer(text="now")


class Place:
    """A server with a guild, a channel, its owner, and a client that is connected to it."""

    def __init__(self, server: DiscordServer) -> None:
        self.server = server
        self.ann: User = server.add_user("ann")
        self.bob: User = server.add_user("bob")
        self.guild: Guild = server.add_guild("Desk", self.ann, self.bob)
        self.channel: Channel = server.add_channel(self.guild, "trading")

    @asynccontextmanager
    async def client(self, client: Client | None = None) -> AsyncIterator[Client]:
        bot = client or Client()
        running = asyncio.create_task(bot.start(TOKEN))
        try:
            await self.server.until(lambda: self.server.gateway.connected or running.done())
            yield bot
        finally:
            await bot.close()
            await running

    async def slash(self, name: str, options: Json | None = None, **more: Any) -> Interaction:
        """Ann's command, once it has its first answer."""
        asked = await self.server.slash(self.ann, self.channel, name, options, **more)
        await self.server.until(lambda: asked.answer)
        return asked


@pytest.fixture
def spec(shared: Path) -> Path:
    return shared / "specs" / "discord"


@pytest.fixture
async def place(spec: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    async with DiscordServer(TOKEN, spec) as server:
        monkeypatch.setattr(http.Route, "BASE", server.api_base)
        monkeypatch.setattr(
            gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(server.gateway_url)
        )
        yield Place(server)
        for call in server.calls:
            assert not wrong_answer(spec, call), call


def wrong_answer(spec: Path, call: Any) -> list[Any]:
    """What Discord's description has against our own answer to a call."""
    if call.template is None or call.status is None or call.status >= 500 or call.status == 429:
        return []
    description = read_description(spec)
    return description.answer_problems(call.method, call.template, call.status, call.answer)


@asynccontextmanager
async def logged_in(place: Place) -> AsyncIterator[Any]:
    """A client without a gateway connection, and the channel as it sees it."""
    async with discord.Client(intents=discord.Intents.none()) as client:
        await client.login(TOKEN)
        yield await client.fetch_channel(place.channel.id)


# Commands, answers, buttons and modals.


async def test_the_client_logs_in_registers_its_commands_and_connects(place: Place) -> None:
    async with place.client() as client:
        await client.wait_until_ready()
        assert client.user and client.user.id == place.server.bot.id
        assert [guild.name for guild in client.guilds] == ["Desk"]
        assert [c.name for c in client.guilds[0].text_channels] == ["trading"]
    names = [command["name"] for command in place.server.commands()]
    assert names == ["status", "chart", "propose", "decide", "bot"]
    assert place.server.violations == []


async def test_a_deferred_answer_is_filled_by_the_first_follow_up_and_edited(place: Place) -> None:
    async with place.client():
        asked = await place.slash("status")
        await place.server.until(lambda: asked.original and asked.original.content == "all well")
    assert asked.answer and asked.answer["type"] == 5
    original, more = place.server.messages(place.channel)
    assert original is asked.original and original.ephemeral and not original.loading
    assert original.embeds[0]["fields"] == [{"name": "Positions", "value": "2", "inline": True}]
    assert (more.content, more.ephemeral) == ("and more", False)
    assert place.server.violations == []


async def test_a_subcommand_gets_its_options(place: Place) -> None:
    async with place.client():
        asked = await place.slash("bot", {"name": "shortseller_001"}, subcommand="pause")
    assert asked.original and asked.original.content == "shortseller_001 is paused"


async def test_an_option_is_autocompleted(place: Place) -> None:
    async with place.client():
        asked = await place.server.autocomplete(place.ann, place.channel, "chart", "symbol", "BT")
        await place.server.until(lambda: asked.answer)
    assert asked.choices == [{"name": "BTCUSDT", "value": "BTCUSDT"}]
    assert place.server.violations == []


async def test_an_uploaded_file_stands_in_the_message(place: Place) -> None:
    async with place.client():
        asked = await place.slash("chart", {"symbol": "BTCUSDT", "days": 3})
        assert asked.original
        url = asked.original.data["attachments"][0]["url"]
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert await answer.read() == b"picture of BTCUSDT"
    assert asked.original.content == "BTCUSDT 3"
    assert asked.original.files == {"chart.png": b"picture of BTCUSDT"}
    assert place.server.violations == []


async def test_a_button_opens_a_modal_that_edits_the_message(place: Place) -> None:
    async with place.client():
        asked = await place.slash("propose")
        assert asked.original
        pressed = await place.server.press(place.bob, asked.original, "approve:7")
        await place.server.until(lambda: pressed.modal)
        assert place.server.modals == [pressed]
        sent = await place.server.submit(place.bob, pressed, {custom_id(pressed): "yes"})
        await place.server.until(lambda: sent.answer)
    assert asked.original.content == "approved: yes"
    assert asked.original.controls == {}
    assert place.server.violations == []


async def test_a_modal_opened_by_a_command_is_answered_with_a_message(place: Place) -> None:
    async with place.client():
        opened = await place.slash("decide")
        for wrong in ({}, {custom_id(opened): "x" * 21}, {"unknown": "yes"}):
            with pytest.raises(Impossible):
                await place.server.submit(place.ann, opened, wrong)
        sent = await place.server.submit(place.ann, opened, {custom_id(opened): "yes"})
        await place.server.until(lambda: sent.answer)
    [message] = place.server.messages(place.channel)
    assert message.content == "approved: yes"
    trigger = message.data["interaction_metadata"]["triggering_interaction_metadata"]
    assert trigger["id"] == str(opened.id)


def custom_id(opened: Interaction) -> str:
    """The custom id of the first input of the modal that was opened."""
    assert opened.modal
    name: str = opened.modal["components"][0]["components"][0]["custom_id"]
    return name


async def test_a_button_of_an_earlier_process_still_works(place: Place) -> None:
    async with place.client():
        asked = await place.slash("propose")
    assert asked.original
    async with place.client():
        await place.server.until(lambda: place.server.gateway.connected)
        pressed = await place.server.press(place.ann, asked.original, "approve:7")
        await place.server.until(lambda: pressed.modal)


async def test_private_chats_offer_global_commands_and_carry_text(place: Place) -> None:
    private = place.server.dm(place.ann)
    async with place.client(Client(DM_INTENT)) as client:
        asked = await place.server.slash(place.ann, private, "status")
        await place.server.until(lambda: asked.answer)
        await place.server.say(place.ann, private, "hello")
        await place.server.say(place.ann, place.channel, "not heard")
        user = await client.fetch_user(place.ann.id)
        message = await user.send("fill")
    assert asked.payload["user"]["id"] == str(place.ann.id)
    assert "hello" in client.heard and "not heard" not in client.heard
    assert place.server.messages(private)[-1].id == message.id


async def test_people_can_only_do_what_the_client_registered(place: Place) -> None:
    server, ann, channel = place.server, place.ann, place.channel
    async with place.client():
        asked = await place.slash("propose")
        assert asked.original
        impossible = [
            server.slash(ann, channel, "sell"),
            server.slash(ann, channel, "chart"),
            server.slash(ann, channel, "chart", {"symbol": "BTC", "weeks": 1}),
            server.slash(ann, channel, "chart", {"symbol": "BTC", "days": "many"}),
            server.slash(ann, channel, "bot"),
            server.slash(ann, channel, "bot", subcommand="sell"),
            server.autocomplete(ann, channel, "chart", "days", "1"),
            server.press(ann, asked.original, "reject:7"),
            server.submit(ann, asked, {}),
            server.slash(server.add_user("eve"), channel, "status"),
        ]
        for attempt in impossible:
            with pytest.raises(Impossible):
                await attempt


# The gateway.


async def test_a_resumed_session_gets_what_it_missed_and_repeats(place: Place) -> None:
    server = place.server
    async with place.client() as client:
        first = await place.slash("propose")
        server.gateway.repeat = 1
        server.gateway.drop()
        missed = await server.slash(place.ann, place.channel, "propose")
        await server.until(lambda: missed.answer)
        assert client.seen == [first.id, first.id, missed.id]
        await server.redeliver(missed)
        await server.until(lambda: len(calls(server, "/callback", 400)) == 2)
    assert server.gateway.count(6) == 1
    # The client answered twice, and was told so: "already acknowledged".
    assert [call.answer["code"] for call in calls(server, "/callback", 400)] == [40060, 40060]


def calls(server: DiscordServer, part: str, status: int) -> list[Any]:
    return [call for call in server.calls if part in call.path and call.status == status]


async def test_a_reconnect_resumes_and_an_invalid_session_identifies_anew(place: Place) -> None:
    server = place.server
    async with place.client():
        await server.gateway.reconnect()
        await server.until(lambda: server.gateway.count(6) == 1 and server.gateway.connected)
        await server.gateway.invalidate(resumable=True)
        await server.until(lambda: server.gateway.count(6) == 2 and server.gateway.connected)
        assert server.gateway.count(2) == 1
        await server.gateway.invalidate()
        await server.until(lambda: server.gateway.count(2) == 2 and server.gateway.connected)
        server.gateway.refuse_resume = True
        await server.gateway.close(4000)
        await server.until(lambda: server.gateway.count(2) == 3 and server.gateway.connected)
        await place.slash("propose")


async def test_a_silent_gateway_is_left_and_found_again(place: Place) -> None:
    server = place.server
    server.gateway.heartbeat_ms = 50
    server.gateway.silent = True
    async with place.client(Client(heartbeat_timeout=0.2)):
        await server.until(lambda: server.gateway.count(6) == 1)
        server.gateway.silent = False
        await place.slash("propose")


async def test_a_wrong_token_is_refused_by_both_doors(place: Place) -> None:
    async with discord.Client(intents=discord.Intents.none()) as stranger:
        with pytest.raises(discord.LoginFailure):
            await stranger.login("wrong")
    place.server.gateway.identify_close = 4004
    client = Client()
    with pytest.raises(discord.ConnectionClosed) as closed:
        await client.start(TOKEN)
    assert closed.value.code == 4004
    await client.close()


async def test_privileged_intents_are_refused_unless_they_were_given(place: Place) -> None:
    intents = discord.Intents(guilds=True, guild_messages=True, message_content=True)
    client = Client(intents)
    with pytest.raises(discord.PrivilegedIntentsRequired):
        await client.start(TOKEN)
    await client.close()
    place.server.gateway.accepted = 1 << 15
    async with place.client(Client(intents)) as allowed:
        await place.server.say(place.ann, place.channel, "read this")
        await place.slash("propose")
    assert allowed.heard[0] == "read this"


async def test_without_the_privilege_a_guilds_words_are_given_where_they_are_for_the_bot(
    place: Place,
) -> None:
    server, channel, me = place.server, place.channel, f"<@{place.server.bot.id}>"
    intents = discord.Intents(guilds=True, guild_messages=True)
    async with place.client(Client(intents)) as client:
        ours = await (await client.fetch_channel(channel.id)).send("ours")
        [card] = [each for each in server.messages(channel) if each.id == ours.id]
        theirs = await server.say(place.bob, channel, "theirs")
        said = [
            await server.say(place.ann, channel, f"{me} hello"),
            await server.say(place.ann, channel, "a reply", reply_to=card),
            await server.say(place.ann, channel, "no ping", reply_to=card, pings=False),
            await server.say(place.ann, channel, f"{me} theirs?", reply_to=theirs),
        ]
        events = [frame["d"] for frame in server.gateway.frames if frame["t"] == "MESSAGE_CREATE"]
        given = {int(each["id"]): each for each in events}
        assert [given[each.id]["content"] for each in said] == [
            f"{me} hello",
            "a reply",
            "",
            f"{me} theirs?",
        ]
        assert given[theirs.id]["content"] == ""
        quoted = [given[each.id]["referenced_message"]["content"] for each in said[1:]]
        assert quoted == ["ours", "ours", ""]


async def test_the_bot_may_delete_its_own_messages_alone(place: Place) -> None:
    server, private = place.server, place.server.dm(place.ann)
    async with logged_in(place) as channel:
        client = channel._state._get_client()
        for where, code in ((place.channel, 50013), (private, 50003)):
            theirs = await server.say(place.ann, where, "mine")
            to = client.get_partial_messageable(where.id)
            with pytest.raises(discord.Forbidden) as refusal:
                await to.get_partial_message(theirs.id).delete()
            assert refusal.value.code == code


MISBEHAVING = {
    "no json": ("{", 4002),
    "not identified": (json.dumps({"op": 3, "d": {}}), 4003),
    "wrong token": (json.dumps({"op": 2, "d": {"token": "x", "intents": 1}}), 4004),
    "unknown intent": (json.dumps({"op": 2, "d": {"token": TOKEN, "intents": 1 << 40}}), 4013),
    "voice": (json.dumps({"op": 4, "d": {}}), 4003),
    "too long": (json.dumps({"op": 1, "d": "x" * 5000}), 4002),
}


@pytest.mark.parametrize("name", MISBEHAVING)
async def test_misbehaving_clients_are_closed_with_discords_codes(name: str) -> None:
    said, code = MISBEHAVING[name]
    async with DiscordServer(TOKEN) as server, aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{server.gateway_url}?v=10&encoding=json") as socket:
            await socket.receive_json()
            await socket.send_str(said)
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == code


FRAMES = {
    "READY": "GatewayReady",
    "RESUMED": "GatewayResumed",
    "GUILD_CREATE": "GuildCreate",
    "MESSAGE_CREATE": "MessageCreate",
}
# The schema takes the one flag that roles can have for one that they must have.
ROLE_FLAGS = ["items", "properties", "flags", "const"]
INTERACTIONS = {
    2: "ChatInputInteraction",
    3: "ButtonInteraction",
    4: "AutocompleteInteraction",
    5: "ModalSubmitInteraction",
}


async def test_every_frame_is_as_discord_describes_it(place: Place, spec: Path) -> None:
    server = place.server
    server.add_thread(place.channel, "fills")
    async with place.client(Client(DM_INTENT | discord.Intents(guild_messages=True))):
        asked = await place.slash("propose")
        assert asked.original
        pressed = await server.press(place.ann, asked.original, "approve:7")
        await server.until(lambda: pressed.modal)
        await server.submit(place.ann, pressed, {custom_id(pressed): "yes"})
        await server.autocomplete(place.ann, place.channel, "chart", "symbol", "BT")
        await server.slash(
            place.ann, server.dm(place.ann), "bot", {"name": "x"}, subcommand="pause"
        )
        hello = await server.say(place.ann, server.dm(place.ann), "hello")
        await server.say(place.ann, server.dm(place.ann), "more", reply_to=hello)
        channel, me = place.channel, f"<@{server.bot.id}>"
        await server.say(place.ann, channel, f"{me} hello")
        await server.say(place.ann, channel, "ping", reply_to=asked.original)
        await server.say(place.ann, channel, "no ping", reply_to=asked.original, pings=False)
        await server.say(place.ann, channel, "hook", webhook=True)
        await server.until(lambda: len(server.callbacks) == 5)
        server.gateway.drop()
        await server.until(lambda: server.gateway.count(6) == 1 and server.gateway.connected)
    checked = [name for frame in server.gateway.frames if (name := check(spec, frame))]
    assert set(checked) == {"GatewayHello", *FRAMES.values(), *INTERACTIONS.values()}


def check(spec: Path, frame: Json) -> str | None:
    """Hold a frame against its schema, where there is one, and say which."""
    name, thing = described(frame)
    if name is None:
        return None
    schema = json.loads((spec / "ts_schema" / f"{name}.json").read_text(encoding="utf-8"))
    errors = list(Draft7Validator(schema).iter_errors(thing))
    assert [error for error in errors if list(error.schema_path)[-4:] != ROLE_FLAGS] == []
    return name


def described(frame: Json) -> tuple[str | None, Json]:
    if frame["op"] == 10:
        return "GatewayHello", frame
    if frame["t"] == "INTERACTION_CREATE":
        return INTERACTIONS[frame["d"]["type"]], frame["d"]
    if frame["t"] == "RESUMED":
        # Its data is described as never there, which no client relies on.
        return "GatewayResumed", {key: frame[key] for key in ("t", "s", "op")}
    return FRAMES.get(frame["t"]), frame


async def test_a_client_that_sends_too_much_is_closed() -> None:
    clock = FakeClock()
    async with DiscordServer(TOKEN, clock=clock) as server, aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{server.gateway_url}?v=10&encoding=json") as socket:
            await socket.receive_json()
            for seconds in (61, 0):
                for _ in range(120):
                    await socket.send_json({"op": 1, "d": None})
                    assert (await socket.receive_json())["op"] == 11
                clock.advance(seconds)
            await socket.send_json({"op": 1, "d": None})
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4008


# Refusals.

LONG = "x" * 2001
TWICE = discord.ui.View()
for _ in range(2):
    TWICE.add_item(discord.ui.Button(label="Buy", custom_id="buy"))

REFUSED: dict[str, Json] = {
    "long content": {"content": LONG},
    "long title": {"embed": discord.Embed(title="x" * 257)},
    "long description": {"embed": discord.Embed(description="x" * 4097)},
    "long fields": {"embed": discord.Embed().add_field(name="n", value="x" * 1025)},
    "large embeds": {"embeds": [discord.Embed(description="x" * 3001) for _ in range(2)]},
    "same custom id twice": {"view": TWICE},
}


@pytest.mark.parametrize("name", REFUSED)
async def test_messages_beyond_the_limits_are_refused(place: Place, name: str) -> None:
    async with logged_in(place) as channel:
        with pytest.raises(discord.HTTPException) as refusal:
            await channel.send(**REFUSED[name])
    assert (refusal.value.status, refusal.value.code) == (400, 50035)
    assert len(place.server.violations) == 1
    assert place.server.messages(place.channel) == []


async def test_the_refusal_names_the_field(place: Place) -> None:
    async with logged_in(place) as channel:
        with pytest.raises(discord.HTTPException, match="Must be 2000 or fewer in length"):
            await channel.send(LONG)
    [violation] = place.server.violations
    assert violation.call.answer["errors"] == {
        "content": {
            "_errors": [
                {"code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 2000 or fewer in length."}
            ]
        }
    }


def button(**about: Any) -> Json:
    return {"type": 2, "style": 1, "label": "Buy", "custom_id": "buy"} | about


def row(*controls: Json) -> Json:
    return {"components": [{"type": 1, "components": list(controls)}]}


BODIES: dict[str, Json] = {
    "label of 81": row(button(label="x" * 81)),
    "custom id of 101": row(button(custom_id="x" * 101)),
    "no custom id": row({"type": 2, "style": 1, "label": "Buy"}),
    "six in a row": row(*(button(custom_id=str(n)) for n in range(6))),
    "button beside a select": row(
        button(), {"type": 3, "custom_id": "s", "options": [{"label": "a", "value": "a"}]}
    ),
    "26 options": row(
        {
            "type": 3,
            "custom_id": "s",
            "options": [{"label": str(n), "value": str(n)} for n in range(26)],
        }
    ),
    "six rows": {"components": [row(button(custom_id=str(n)))["components"][0] for n in range(6)]},
    "eleven embeds": {"embeds": [{"title": "t"}] * 11},
    "26 fields": {"embeds": [{"fields": [{"name": "n", "value": "v"}] * 26}]},
    "field without a value": {"embeds": [{"fields": [{"name": "n", "value": ""}]}]},
}


@pytest.mark.parametrize("name", BODIES)
def test_the_documented_limits_hold_without_the_description(name: str) -> None:
    assert message_problems(BODIES[name])


def test_what_is_within_the_limits_passes() -> None:
    full = [button(custom_id=str(n), label="x" * 80) for n in range(5)]
    assert message_problems({"content": "x" * 2000, "embeds": [{"title": "t" * 256}]}) == []
    assert message_problems(row(*full)) == []


def command(**about: Any) -> Json:
    return {"name": "chart", "description": "A picture"} | about


def option(**about: Any) -> Json:
    return {"type": 3, "name": "symbol", "description": "Which"} | about


COMMANDS: dict[str, Json] = {
    "upper case": command(name="Chart"),
    "space": command(name="my chart"),
    "long name": command(name="x" * 33),
    "no description": command(description=""),
    "long description": command(description="x" * 101),
    "26 options": command(options=[option(name=f"o{n}") for n in range(26)]),
    "26 choices": command(
        options=[option(choices=[{"name": str(n), "value": str(n)} for n in range(26)])]
    ),
    "optional first": command(options=[option(), option(name="days", required=True)]),
    "same name twice": command(options=[option(), option()]),
    "too large": command(
        options=[
            option(name=f"o{n}", choices=[{"name": "x" * 100, "value": str(i)} for i in range(25)])
            for n in range(4)
        ]
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_beyond_the_limits_are_refused(name: str) -> None:
    assert command_problems([COMMANDS[name]])


def test_command_names_may_be_in_any_language() -> None:
    assert command_problems([command(name="график-1", options=[option(required=True)])]) == []


async def test_unknown_calls_and_ill_typed_bodies_are_violations(place: Place) -> None:
    server = place.server
    messages = f"{server.api_base}/channels/{place.channel.id}/messages"
    headers = {"Authorization": f"Bot {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(messages, json={"content": "x", "tts": "yes"}) as answer:
            assert answer.status == 400
            assert answer.headers["Content-Type"] == "application/json"
            assert list((await answer.json())["errors"]) == ["tts"]
        async with session.post(messages, data=b"{", headers=headers) as answer:
            assert (await answer.json())["code"] == 50109
        async with session.get(f"{server.api_base}/users/@me/wallet") as answer:
            assert answer.status == 404
    assert len(server.violations) == 2


async def test_the_limits_hold_where_the_description_is_absent() -> None:
    headers = {"Authorization": f"Bot {TOKEN}"}
    async with DiscordServer(TOKEN) as server, aiohttp.ClientSession(headers=headers) as session:
        place = Place(server)
        messages = f"{server.api_base}/channels/{place.channel.id}/messages"
        for content, status in (("x" * 2000, 200), (LONG, 400)):
            async with session.post(messages, json={"content": content}) as answer:
                assert answer.status == status
    assert len(server.violations) == 1


async def test_a_file_beyond_ten_mebibytes_is_too_large(place: Place) -> None:
    large = discord.File(io.BytesIO(bytes(10 * 1024 * 1024 + 1)), "large.png")
    async with logged_in(place) as channel:
        with pytest.raises(discord.HTTPException) as refusal:
            await channel.send(file=large)
    assert (refusal.value.status, refusal.value.code) == (413, 40005)


async def test_what_is_not_there_or_not_allowed_has_discords_codes(place: Place) -> None:
    server = place.server
    hidden = server.add_channel(place.guild, "hidden", visible=False)
    place.bob.closed = True
    theirs = await server.say(place.ann, place.channel, "mine")
    async with logged_in(place) as channel:
        client = channel._state._get_client()
        attempts = {
            10003: client.fetch_channel(1),
            10004: client.fetch_guild(1),
            10008: channel.fetch_message(1),
            10013: client.fetch_user(1),
            50001: client.fetch_channel(hidden.id),
            50005: channel.get_partial_message(theirs.id).edit(content="yours"),
            50006: channel.send(" ".strip()),
            50007: (await client.fetch_user(place.bob.id)).send("fill"),
        }
        for code, attempt in attempts.items():
            with pytest.raises(discord.HTTPException) as refusal:
                await attempt
            assert refusal.value.code == code
    assert server.violations == []


async def test_messages_are_edited_replied_to_and_deleted(place: Place) -> None:
    async with logged_in(place) as channel:
        first = await channel.send("opened", file=discord.File(io.BytesIO(b"a"), "a.txt"))
        await first.edit(content="open", attachments=[discord.File(io.BytesIO(b"b"), "b.txt")])
        reply = await channel.send("closed", reference=first)
        other = await channel.send("gone @everyone")
        await other.delete()
        history = [message.content async for message in channel.history()]
        async with channel.typing():
            pass
    one, two = place.server.messages(place.channel)
    assert history == ["closed", "open"]
    assert one.files == {"b.txt": b"b"} and one.data["edited_timestamp"]
    assert two.data["message_reference"]["message_id"] == str(first.id) and two.id == reply.id
    assert place.server.violations == []


async def test_a_reply_to_a_deleted_message_is_refused_unless_it_may_stand_alone(
    place: Place,
) -> None:
    async with logged_in(place) as channel:
        gone = await channel.send("gone")
        await gone.delete()
        with pytest.raises(discord.HTTPException, match="Unknown message"):
            await channel.send("reply", reference=gone)
        await channel.send("alone", reference=gone.to_reference(fail_if_not_exists=False))
    assert [message.content for message in place.server.messages(place.channel)] == ["alone"]


async def test_the_same_nonce_makes_one_message(place: Place) -> None:
    async with logged_in(place) as channel:
        sent = [await channel.send("fill", nonce=5) for _ in range(2)]
    assert sent[0].id == sent[1].id
    assert len(place.server.messages(place.channel)) == 1


async def test_mentions_of_everyone_are_told_from_harmless_text(place: Place) -> None:
    async with logged_in(place) as channel:
        await channel.send("@everyone")
        await channel.send("@everyone", allowed_mentions=discord.AllowedMentions.none())
    found = [m.data["mention_everyone"] for m in place.server.messages(place.channel)]
    assert found == [True, False]


async def test_commands_are_kept_with_their_ids_and_edited_one_by_one(place: Place) -> None:
    server = place.server
    async with discord.Client(intents=discord.Intents.none()) as client:
        await client.login(TOKEN)
        tree = app_commands.CommandTree(client)
        for each in commands():
            tree.add_command(each)
        first = await tree.sync()
        again = await tree.sync()
        assert [c.id for c in first] == [c.id for c in again]
        fetched = await tree.fetch_commands()
        await fetched[0].edit(description="changed")
        await fetched[1].delete()
        tree.copy_global_to(guild=discord.Object(place.guild.id))
        await tree.sync(guild=discord.Object(place.guild.id))
    assert [c["name"] for c in server.commands()] == ["status", "propose", "decide", "bot"]
    assert server.commands()[0]["description"] == "changed"
    assert len(server.commands(place.guild)) == 5
    # A sync is one call, so that a test can count them.
    assert len([call for call in server.calls if call.method == "PUT"]) == 3
    # As on Discord, what was not set is not told.
    chart = server.commands(place.guild)[1]
    assert "required" not in chart["options"][1]
    assert server.violations == []


# Time.


@pytest.fixture
async def asked(spec: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """A clock that is moved by hand, a command that nobody has answered, and its answers."""
    clock = FakeClock()
    async with DiscordServer(TOKEN, spec, clock) as server, aiohttp.ClientSession() as session:
        place = Place(server)
        server.world.commands[None].append(
            command(id="1", type=1, contexts=None, dm_permission=True)
        )
        interaction = await server.slash(place.ann, place.channel, "chart")

        async def post(path: str, body: Json, method: str = "POST") -> tuple[int, Any]:
            async with session.request(method, server.api_base + path, json=body) as answer:
                told = await answer.json() if answer.status != 204 else {}
                return answer.status, told.get("code")

        yield clock, interaction, post


def paths(interaction: Interaction) -> tuple[str, str]:
    webhook = f"/webhooks/{interaction.payload['application_id']}/{interaction.token}"
    return f"/interactions/{interaction.id}/{interaction.token}/callback", webhook


async def test_the_first_answer_has_three_seconds(asked: Any) -> None:
    clock, interaction, post = asked
    callback, webhook = paths(interaction)
    assert await post(webhook, {"content": "too early"}) == (404, 10015)
    clock.advance(3.1)
    assert await post(callback, {"type": 5}) == (404, 10062)
    assert interaction.answer is None


async def test_there_is_one_first_answer_and_its_token_lasts_a_quarter_of_an_hour(
    asked: Any,
) -> None:
    clock, interaction, post = asked
    callback, webhook = paths(interaction)
    assert await post(callback, {"type": 6}) == (400, 50035)
    assert await post(callback, {"type": 5}) == (204, None)
    assert await post(callback, {"type": 5}) == (400, 40060)
    clock.advance(14 * 60)
    assert await post(webhook, {"content": "in time"}) == (200, None)
    clock.advance(61)
    assert await post(webhook, {"content": "late"}) == (401, 50027)
    assert await post(f"{webhook}/messages/@original", {"content": "late"}, "PATCH") == (401, 50027)


async def test_a_modal_and_choices_are_held_to_their_limits(asked: Any) -> None:
    _, interaction, post = asked
    callback, _ = paths(interaction)
    modal: Json = {"custom_id": "m", "title": "x" * 46, "components": []}
    choices = [{"name": "x" * 101, "value": "x"}]
    assert await post(callback, {"type": 9, "data": modal}) == (400, 50035)
    assert await post(callback, {"type": 8, "data": {"choices": choices}}) == (400, 50035)


# Faults.


async def test_a_429_is_waited_for_and_the_call_made_again(place: Place) -> None:
    place.server.fail("POST /channels/*/messages", rate_limited(0.05), times=2)
    async with logged_in(place) as channel:
        await channel.send("patient")
    statuses = [call.status for call in place.server.calls if call.method == "POST"]
    assert statuses == [429, 429, 200]
    assert len(place.server.messages(place.channel)) == 1


async def test_a_dropped_call_was_performed_or_not(place: Place) -> None:
    server = place.server
    async with logged_in(place) as channel:
        for performed in (False, True):
            server.fail("POST *", Drop(performed))
            with pytest.raises(aiohttp.ClientConnectionError):
                await channel.send("cut")
            assert len(server.messages(place.channel)) == performed


async def test_a_call_may_hang_or_be_refused(place: Place) -> None:
    server = place.server
    server.fail("GET /channels/*/messages", Hang())
    server.fail("POST *", refused(50001))
    async with logged_in(place) as channel:
        with pytest.raises(discord.Forbidden):
            await channel.send("no")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await anext(channel.history())


async def test_an_outage_is_answered_without_json(place: Place) -> None:
    place.server.fail("GET *", failing(503))
    async with discord.Client(intents=discord.Intents.none()) as client:
        with pytest.raises(discord.DiscordServerError):
            await client.login(TOKEN)
