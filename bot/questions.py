"""What somebody asks in plain words, among what they say."""

from dataclasses import replace

from bot import update as updates
from bot.update import Update, UpdateKind
from engine.desk import Desk
from engine.people import Role
from handlers import COMMANDS
from handlers.spoken import ASK, QUESTION, question, without_codes


def as_question(update: Update, role: Role, desk: Desk) -> Update:
    """A message in plain words that asks something, said as /ask; any other as it is."""
    if update.kind is not UpdateKind.MESSAGE or update.name:
        return update
    asked = question(update.line, role, desk, COMMANDS, is_reply=bool(update.about))
    return replace(update, line="", name=ASK, arguments={QUESTION: asked}) if asked else update


def shows_code(update: Update, desk: Desk) -> bool:
    """Whether a code of theirs is left standing in the chat. A price of six digits is none."""
    target = update.command
    if update.kind is not UpdateKind.MESSAGE or target is None:
        return False
    if target.name == ASK:
        asked = update.arguments.get(QUESTION, update.line)
        return without_codes(asked, desk) != asked
    return update.cut or updates.without_codes(update).cut
