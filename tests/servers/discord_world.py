"""What the local Discord knows: people, guilds, channels, messages, and interactions with them.

Ids are integers here and strings in payloads, as on the wire.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

from engine.ports import Clock
from tests.servers.discord_schema import Json, walk

EPOCH_MS = 1_420_070_400_000
TEXT, DM, THREAD = 0, 1, 11
EPHEMERAL, LOADING = 1 << 6, 1 << 7
ADMINISTRATOR = str(1 << 3)
# View, send, embed, attach, history, application commands, send in threads: an invited bot's.
APP_PERMISSIONS = str(1 << 10 | 1 << 11 | 1 << 14 | 1 << 15 | 1 << 16 | 1 << 31 | 1 << 38)
ATTACHMENT_BYTES_MAX = 10 * 1024 * 1024

# How long an interaction waits for its first answer, and how long its token is good after.
FIRST_ANSWER_S = 3.0
TOKEN_S = 15 * 60.0


class Snowflakes:
    """Ids that rise with time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = count(1)

    def next(self) -> int:
        return (self._clock.now() - EPOCH_MS << 22) + next(self._numbers)


@dataclass
class User:
    """Somebody. With `closed` the bot may not write to them."""

    id: int
    name: str
    bot: bool = False
    closed: bool = False

    def payload(self) -> Json:
        payload: Json = {
            "id": str(self.id),
            "username": self.name,
            "discriminator": "0",
            "global_name": self.name.capitalize(),
            "avatar": None,
            "public_flags": 0,
            "flags": 0,
            "primary_guild": None,
        }
        return payload | ({"bot": True} if self.bot else {})

    def member(self) -> Json:
        """As a member of a guild."""
        return {
            "user": self.payload(),
            "nick": None,
            "avatar": None,
            "roles": [],
            "joined_at": "2024-01-01T00:00:00+00:00",
            "deaf": False,
            "mute": False,
            "flags": 0,
        }


@dataclass
class Channel:
    """A text channel, a thread, or a DM. The bot has no access to one that is not `visible`."""

    id: int
    name: str
    guild: "Guild | None" = None
    parent: "Channel | None" = None
    person: User | None = None
    visible: bool = True
    messages: list["Message"] = field(default_factory=list)

    @property
    def type(self) -> int:
        if self.guild is None:
            return DM
        return THREAD if self.parent else TEXT

    def payload(self) -> Json:
        common: Json = {"id": str(self.id), "type": self.type, "flags": 0, "last_message_id": None}
        if self.person:
            return common | {"name": None, "recipients": [self.person.payload()]}
        assert self.guild
        common |= {"guild_id": str(self.guild.id), "name": self.name, "rate_limit_per_user": 0}
        if self.parent:
            return common | self._thread(self.parent, self.guild)
        return common | {
            "position": 0,
            "permission_overwrites": [],
            "parent_id": None,
            "topic": None,
            "nsfw": False,
        }

    @staticmethod
    def _thread(parent: "Channel", guild: "Guild") -> Json:
        return {
            "parent_id": str(parent.id),
            "owner_id": str(guild.owner.id),
            "message_count": 0,
            "member_count": 1,
            "total_message_sent": 0,
            "thread_metadata": {
                "archived": False,
                "auto_archive_duration": 1440,
                "archive_timestamp": "2024-01-01T00:00:00+00:00",
                "locked": False,
            },
        }


@dataclass
class Guild:
    """A server with members and channels."""

    id: int
    name: str
    owner: User
    members: list[User]
    channels: list[Channel] = field(default_factory=list)

    def payload(self) -> Json:
        """As GUILD_CREATE tells a bot that has just connected."""
        seen = [channel for channel in self.channels if channel.visible]
        return GUILD | {
            "id": str(self.id),
            "name": self.name,
            "owner_id": str(self.owner.id),
            "roles": [EVERYONE | {"id": str(self.id)}],
            "member_count": len(self.members),
            "members": [member.member() for member in self.members if member.bot],
            "channels": [channel.payload() for channel in seen if not channel.parent],
            "threads": [channel.payload() for channel in seen if channel.parent],
        }


GUILD: Json = {
    "icon": None,
    "splash": None,
    "discovery_splash": None,
    "afk_channel_id": None,
    "afk_timeout": 300,
    "verification_level": 0,
    "default_message_notifications": 0,
    "explicit_content_filter": 0,
    "emojis": [],
    "stickers": [],
    "features": [],
    "mfa_level": 0,
    "application_id": None,
    "system_channel_id": None,
    "system_channel_flags": 0,
    "rules_channel_id": None,
    "vanity_url_code": None,
    "description": None,
    "banner": None,
    "premium_tier": 0,
    "premium_progress_bar_enabled": False,
    "preferred_locale": "en-US",
    "public_updates_channel_id": None,
    "safety_alerts_channel_id": None,
    "nsfw_level": 0,
    "hub_type": None,
    "incidents_data": None,
    "joined_at": "2024-01-01T00:00:00+00:00",
    "large": False,
    "unavailable": False,
    "voice_states": [],
    "presences": [],
    "stage_instances": [],
    "guild_scheduled_events": [],
    "soundboard_sounds": [],
}

EVERYONE: Json = {
    "name": "@everyone",
    "color": 0,
    "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
    "hoist": False,
    "position": 0,
    "permissions": APP_PERMISSIONS,
    "managed": False,
    "mentionable": False,
    "flags": 0,
}


class Upload(NamedTuple):
    """A file in a request, by the number that its description names it by."""

    index: str
    name: str
    content: bytes


@dataclass
class Message:
    """A message as it stands: `data` is what Discord would show of it, `files` its bytes by name.

    Only `viewer` sees an ephemeral one. `attached` has the bytes by the attachment's id.
    """

    channel: Channel
    data: Json
    viewer: User | None = None
    attached: dict[str, bytes] = field(default_factory=dict)

    @property
    def id(self) -> int:
        return int(self.data["id"])

    @property
    def content(self) -> str:
        content: str = self.data["content"]
        return content

    @property
    def embeds(self) -> list[Json]:
        embeds: list[Json] = self.data["embeds"]
        return embeds

    @property
    def flags(self) -> int:
        flags: int = self.data["flags"]
        return flags

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def loading(self) -> bool:
        """Whether it shows "thinking": deferred, and not yet filled."""
        return bool(self.flags & LOADING)

    @property
    def controls(self) -> dict[str, Json]:
        """Buttons and selects by their custom id."""
        return {c["custom_id"]: c for c in walk(self.data["components"]) if "custom_id" in c}

    @property
    def files(self) -> dict[str, bytes]:
        return {a["filename"]: self.attached[a["id"]] for a in self.data["attachments"]}

    def reference(self) -> Json:
        """What makes another message a reply to this one."""
        channel = self.channel
        reference: Json = {"type": 0, "message_id": str(self.id), "channel_id": str(channel.id)}
        if channel.guild:
            reference["guild_id"] = str(channel.guild.id)
        return {
            "type": 19,
            "message_reference": reference,
            "referenced_message": copy.deepcopy(self.data),
        }

    def event(self) -> Json:
        """As the gateway tells of it."""
        guild = self.channel.guild
        return self.data | ({"guild_id": str(guild.id)} if guild else {})

    def write(self, body: Json, files: Sequence[Upload], ids: Snowflakes, base: str) -> None:
        """Put what `body` has in the place of what there was; what it does not name stays."""
        if "content" in body:
            self.data["content"] = body["content"] or ""
        if "embeds" in body:
            embeds = copy.deepcopy(body["embeds"] or [])
            self.data["embeds"] = [embed | {"type": "rich"} for embed in embeds]
        if "components" in body:
            self.data["components"] = numbered(body["components"] or [])
        if "attachments" in body or files:
            self._attach(body.get("attachments"), files, ids, base)
        pings = (body.get("allowed_mentions") or {}).get("parse", ["everyone"])
        named = any(name in self.content for name in ("@everyone", "@here"))
        self.data["mention_everyone"] = named and "everyone" in pings

    def _attach(
        self, wanted: list[Json] | None, files: Sequence[Upload], ids: Snowflakes, base: str
    ) -> None:
        """Keep the attachments that are named by id, and add those that were uploaded."""
        described = {str(item["id"]): item for item in wanted or ()}
        there: list[Json] = self.data["attachments"]
        kept = there if wanted is None else [a for a in there if a["id"] in described]
        self.data["attachments"] = kept
        for index, name, content in files:
            filename = described.get(index, {}).get("filename") or name
            attachment = str(ids.next())
            url = f"{base}/attachments/{self.channel.id}/{attachment}/{filename}"
            self.attached[attachment] = content
            about = {"id": attachment, "filename": filename, "size": len(content)}
            kept.append(about | {"url": url, "proxy_url": url})


def numbered(components: Sequence[Json]) -> list[Json]:
    """Components as Discord shows them: those without an `id` got one."""
    shown = copy.deepcopy(list(components))
    numbers = count(1)
    for component in walk(shown):
        component["id"] = component.get("id") or next(numbers)
    return shown


@dataclass
class Interaction:
    """Something that a person did, and the first answer to it (the callback's body).

    `trigger` is what opened the modal that was submitted.
    """

    payload: Json
    user: User
    channel: Channel
    asked_s: float
    message: Message | None = None
    trigger: "Interaction | None" = None
    answer: Json | None = None
    original: Message | None = None
    followups: list[Message] = field(default_factory=list)

    @property
    def id(self) -> int:
        return int(self.payload["id"])

    @property
    def token(self) -> str:
        token: str = self.payload["token"]
        return token

    @property
    def type(self) -> int:
        kind: int = self.payload["type"]
        return kind

    @property
    def modal(self) -> Json | None:
        """The modal it was answered with."""
        return self.answer["data"] if self.answer and self.answer["type"] == 9 else None

    @property
    def choices(self) -> list[Json]:
        """The choices that an autocompletion was answered with."""
        data: Json = (self.answer or {}).get("data") or {}
        choices: list[Json] = data.get("choices") or []
        return choices

    def metadata(self) -> Json:
        """As the messages that answer it tell where they come from."""
        about: Json = {
            "id": str(self.id),
            "type": self.type,
            "user": self.user.payload(),
            "authorizing_integration_owners": self.payload["authorizing_integration_owners"],
        }
        if self.trigger:
            about["triggering_interaction_metadata"] = self.trigger.metadata()
        elif self.message:
            about["interacted_message_id"] = str(self.message.id)
        return about


class World:
    """Everything there is. `base` is the server's own address, where attachments lie."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ids = Snowflakes(clock)
        self.base = ""
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.interactions: dict[int, Interaction] = {}
        self.commands: dict[int | None, list[Json]] = {None: []}
        self.application = self.ids.next()
        # An application made today has the same id as its bot.
        self.bot = User(self.application, "countersign", bot=True)
        self.users[self.bot.id] = self.bot

    def timestamp(self) -> str:
        """The present time as Discord writes it."""
        return datetime.fromtimestamp(self.clock.now() / 1000, UTC).isoformat()

    def dm(self, user: User) -> Channel:
        """The bot's private channel with somebody, made when it is first asked for."""
        for channel in self.channels.values():
            if channel.person is user:
                return channel
        return self.keep(Channel(self.ids.next(), "", person=user))

    def keep(self, channel: Channel) -> Channel:
        self.channels[channel.id] = channel
        return channel

    def post(
        self,
        channel: Channel,
        author: User,
        body: Json,
        files: Sequence[Upload],
        extra: Json | None = None,
        viewer: User | None = None,
    ) -> Message:
        """Put a new message into a channel; `extra` goes over what messages have by default."""
        data: Json = {
            "id": str(self.ids.next()),
            "channel_id": str(channel.id),
            "type": 0,
            "author": author.payload(),
            "content": "",
            "timestamp": self.timestamp(),
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [],
            "embeds": [],
            "components": [],
            "pinned": False,
            "flags": 0,
        }
        message = Message(channel, data | (extra or {}), viewer)
        message.write(body, files, self.ids, self.base)
        channel.messages.append(message)
        return message


def shown_command(command: Json, ids: dict[str, Any]) -> Json:
    """A registered command as Discord tells it: defaults filled in, empty settings left out."""
    permissions = command.get("default_member_permissions")
    shown: Json = {
        "type": command.get("type") or 1,
        "name": command["name"],
        "name_localizations": command.get("name_localizations"),
        "description": command.get("description") or "",
        "description_localizations": command.get("description_localizations"),
        "default_member_permissions": None if permissions is None else str(permissions),
        "dm_permission": command.get("dm_permission") is not False,
        "contexts": command.get("contexts"),
        "integration_types": command.get("integration_types") or [0],
        "nsfw": bool(command.get("nsfw")),
    }
    options = [_shown_option(option) for option in command.get("options") or ()]
    return shown | ({"options": options} if options else {}) | ids


def _shown_option(option: Json) -> Json:
    shown = {key: value for key, value in option.items() if value not in (None, False, [], {})}
    if inner := option.get("options"):
        shown["options"] = [_shown_option(each) for each in inner]
    return shown
