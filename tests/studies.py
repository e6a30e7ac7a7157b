"""Backtests without a worker: what is asked for is noted, and ends when a test says so."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.errors import Refused
from engine.people import Asker
from engine.studies import Finding, Setup, Stage, Study


@dataclass
class ScriptedStudies:
    """The door `Studies`, in memory."""

    found: dict[int, Study] = field(default_factory=dict)
    findings: dict[int, Finding] = field(default_factory=dict)

    async def start(self, setups: Sequence[Setup], asker: Asker) -> list[Study]:
        first = max(self.found, default=0) + 1
        started = [
            Study(number, setup, asker.actor, asker.surface, 0, asker=asker.called)
            for number, setup in enumerate(setups, first)
        ]
        self.found.update({study.number: study for study in started})
        return started

    def cancel(self, number: int) -> Study:
        if number not in self.found or self.found[number].is_over:
            raise Refused(f"Backtest {number} neither waits nor runs.")
        self.found[number] = self.found[number].at(Stage.CANCELED)
        return self.found[number]

    def ahead(self, number: int) -> int:
        return sum(not each.is_over for each in self.found.values() if each.number < number)

    def numbers(self) -> Sequence[int]:
        return sorted(self.found, reverse=True)

    async def study(self, number: int) -> Study:
        if number not in self.found:
            raise Refused(f"There is no backtest {number}. /backtest list shows them.")
        return self.found[number]

    async def finding(self, number: int) -> Finding:
        study = await self.study(number)
        if number not in self.findings:
            raise Refused(f"Backtest {number} has no result: it is {study.stage}.")
        return self.findings[number]

    async def report(self, number: int) -> str:
        await self.finding(number)
        return f"<html>{number}</html>"

    def end(self, number: int, study: Study, finding: Finding) -> None:
        """Let a backtest end as `study` did, with this finding."""
        self.found[number] = replace(study, number=number)
        self.findings[number] = finding
