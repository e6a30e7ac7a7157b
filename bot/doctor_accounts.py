"""What the doctor finds of what stands beside the desk: accounts at Bybit, and the mirror.

It only reads: the desk itself switches what it may switch, when it starts.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from bot.lineup import planned
from bot.settings import Settings
from bot.venues import Share, check_apart, shares
from engine.bot import Bot
from engine.bybit.account import KeyInfo
from engine.bybit.address import Address
from engine.bybit.private import PrivateRest
from engine.desk import tail
from engine.errors import BadInput, BadSettings, CountersignError, Unreachable
from engine.exchange.checking import check_venue
from engine.memory import added_bots, kept_uids
from engine.plans import made
from engine.ports import Clock, StateRow
from engine.store.cache import Keeper, open_keeper
from engine.store.database import open_database
from engine.store.migrations import HEAD, revision_of
from engine.store.mirror import MirroredBot, bot_key, is_stale, read
from engine.store.sql import states_of
from handlers.reply import Duration, show


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `ok`, `note` (nothing to mend) or `wrong`, and what to do."""

    what: str
    state: str
    detail: str


async def look_at_accounts(settings: Settings, clock: Clock) -> AsyncIterator[Finding]:
    """Each key: whether its account can be traded by these bots, and goes with their books."""
    try:
        states = await _stored(settings)
        books = f"{settings.mode}-{settings.market}"
        bots = _bots(settings, states, books)
        uids = kept_uids(states, [bot.account for bot in bots])
        found: dict[str, KeyInfo] = {}
        address = Address(clock)
        for share in shares(settings, bots):
            base = settings.bases.private_rest
            with closing(PrivateRest(base, share.key, clock, address)) as api:
                wanted = share.wanted(settings, uids)
                key, findings = await check_venue(api, share.symbols, wanted, clock.now())
            for each in findings:
                state = "wrong" if each.stops else "note"
                yield Finding("account", state, f"{share.name}: {each}")
            if key is not None:
                found[share.name] = key
                if not any(each.stops for each in findings):
                    yield _well(share, key)
        check_apart(found)
    except Unreachable as error:
        base = settings.bases.private_rest
        yield Finding("account", "wrong", f"{base}: {error}")
    except CountersignError as error:
        yield Finding("account", "wrong", str(error))


def _well(share: Share, key: KeyInfo) -> Finding:
    bots = ", ".join(bot.bot_id for bot in share.bots)
    detail = f"{share.name}: account {tail(key.uid)} can be traded by {bots}"
    return Finding("account", "ok", detail)


async def _stored(settings: Settings) -> Mapping[str, StateRow]:
    """What a desk stored here, as far as this version can read it."""
    path = settings.database.removeprefix("sqlite:///")
    if path != settings.database and not os.access(path, os.F_OK):
        return {}
    database = open_database(settings.database)
    try:
        if await database.read(revision_of) != HEAD:
            return {}
        return await states_of(database)
    except CountersignError:
        # What is wrong with the database is a finding of its own.
        return {}
    finally:
        await database.close()


def _bots(settings: Settings, states: Mapping[str, StateRow], books: str) -> list[Bot]:
    bots = []
    for bot_id, plan in planned(settings, added_bots(states, books)).items():
        try:
            bots.append(made(bot_id, plan, settings.strategies, books))
        except BadInput as error:
            raise BadSettings(f"{bot_id}: {error}") from None
    return bots


# -- the mirror --------------------------------------------------------------------------


async def look_at_mirror(settings: Settings, clock: Clock) -> Finding:
    """Whether Redis is there, and what it holds is of a desk that runs."""
    if not settings.cache_url:
        return Finding("redis", "note", "REDIS_URL is not set: what a desk knows is not mirrored")
    keeper = open_keeper(settings.cache_url)
    try:
        return await _mirrored(settings, keeper, clock)
    except Unreachable as error:
        detail = f"{keeper.label} can't be reached ({error}); the desk trades without it"
        return Finding("redis", "wrong", detail)
    finally:
        await keeper.close()


async def _mirrored(settings: Settings, keeper: Keeper, clock: Clock) -> Finding:
    texts = await keeper.values([bot_key(bot.id) for bot in settings.bots])
    try:
        bots = [read(MirroredBot, text) for text in texts if text is not None]
    except ValueError:
        detail = f"{keeper.label} holds what no desk wrote: give the desk a database of its own"
        return Finding("redis", "wrong", detail)
    if not bots:
        return Finding("redis", "ok", f"{keeper.label} holds nothing of these bots yet")
    newest = max(bots, key=lambda bot: bot.ts)
    age = show(Duration(max(clock.now() - newest.ts, 0)))
    if is_stale(newest, clock.now()):
        detail = f"{keeper.label}: what it holds was written {age} ago; no desk keeps it up"
        return Finding("redis", "note", detail)
    return Finding("redis", "ok", f"{keeper.label}: {len(bots)} bot(s), written {age} ago")
