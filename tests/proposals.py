"""Proposals as the core makes them, for tests of what is done with one."""

from dataclasses import replace

from engine.proposal import Proposal, ProposalKind
from engine.tunable import Tier
from tests.clock import FakeClock

# When a clock for tests starts.
NOW = FakeClock().now()
PHRASE = "APPROVE RESUME TRADING 7Q3K"

RED = Proposal(
    proposal_id=17,
    books="paper-sim",
    kind=ProposalKind.COMMAND,
    tier=Tier.RED,
    title="Resume trading",
    instruction="ResumeDesk {}",
    shown='{"changes":[],"ticket":null,"risk":""}',
    asked_by="tom",
    asker="tom",
    surface="telegram",
    chat_id="8",
    thread_id="",
    created_at=NOW - 1_000,
    expires_at=NOW + 60_000,
    needed=0,
    nonce="7Q3K",
    phrase=PHRASE,
)
YELLOW = replace(RED, tier=Tier.YELLOW, phrase="")
