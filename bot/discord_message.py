"""What people write to the bot on Discord, as plain values: in private, or naming it in a channel.

Discord gives the words of these messages without its privileged intent.
"""

import re
from collections.abc import Iterator

import discord

from bot.update import Update, UpdateKind, called
from engine.mail import Address, ChatKind
from handlers.spoken import sounds_asked

NAME = "discord"
# How we write, and nothing that we say: escapes, stars, fences, small print, marks of no width.
MARKUP = re.compile(r"\\([^\sA-Za-z0-9])|\*+|^```\n?|\n?```$|^-# |\u200b", re.MULTILINE)
# What people write; everything else tells of joining, pinning and the like.
WRITTEN = (discord.MessageType.default, discord.MessageType.reply)


def read_message(message: discord.Message, me: discord.ClientUser) -> Update | None:
    """A message as plain values; None for what nobody says to us."""
    by_person = not (message.author.bot or message.webhook_id)
    line = _line(message, me) if by_person and message.type in WRITTEN else None
    if line is None:
        return None
    author, kind = message.author, chat_kind(message.channel)
    chat_id = author.id if kind is ChatKind.PRIVATE else message.channel.id
    return Update(
        surface=NAME,
        key=f"{NAME}:{message.id}",
        kind=UpdateKind.MESSAGE,
        user_id=str(author.id),
        address=Address(NAME, str(chat_id)),
        chat_kind=kind,
        sent_at=int(message.created_at.timestamp() * 1000),
        line=line,
        message_id=str(message.id),
        place=str(message.guild.id) if message.guild else "",
        sender=called(author.display_name, author.name),
        about=_about(message, me),
    )


def chat_kind(channel: object) -> ChatKind:
    """What kind of chat a channel is, as far as Discord told of it."""
    match getattr(channel, "type", None):
        case discord.ChannelType.private:
            return ChatKind.PRIVATE
        case discord.ChannelType.news:
            return ChatKind.CHANNEL
    return ChatKind.GROUP


def _line(message: discord.Message, me: discord.ClientUser) -> str | None:
    """What is said to us; None where it is said to somebody else.

    A reply to a card mentions us too: it is talk among people unless it asks something.
    """
    words = re.sub(rf"<@!?{me.id}>", " ", message.content)
    line = " ".join(words.split())
    if not message.content or message.guild is None:
        return line or None
    if words != message.content:
        return line
    return line if _about(message, me) and sounds_asked(line) else None


def _about(message: discord.Message, me: discord.ClientUser) -> str:
    """What a message of ours says that one replies to; empty where it replies to none."""
    shown = message.reference.resolved if message.reference else None
    if not isinstance(shown, discord.Message) or shown.author.id != me.id:
        return ""
    words = "\n".join(filter(None, [shown.content, *_said_in(shown)]))
    return MARKUP.sub(lambda found: found[1] or "", words)


def _said_in(message: discord.Message) -> Iterator[str]:
    """The words of a message's embeds."""
    for embed in message.embeds:
        yield embed.title or ""
        yield embed.description or ""
        yield from (f"{field.name}: {field.value}" for field in embed.fields)
        yield embed.footer.text or ""
