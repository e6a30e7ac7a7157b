"""The desk keeps its promises in some hundred seeds, and what finds a broken one works."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.sim import made_up
from tests.sim.__main__ import BROKEN, CLEAN, DIFFERENT, REGRESS, main
from tests.sim.shrink import SHORT_S, read, shrink, written
from tests.sim.tally import Tally
from tests.sim.trial import ENDS, attempt
from tests.sim.weather import Fault, Kind, Plan
from tests.sim.world import run

# As many as take about fifteen seconds of a processor; `make sim` goes through more.
SEEDS = 60
KEPT = sorted(REGRESS.glob("*.json"))


def test_the_desk_keeps_its_promises_whatever_goes_wrong():
    tally = Tally()
    for seed in range(SEEDS):
        tally.add(attempt(Plan.of(seed), run))
    assert not tally.broken, tally.words(0)
    assert [kind for kind in Kind if not tally.struck[kind]] == []
    assert min(tally.checks.values()) > 0


@pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])
def test_what_broke_a_promise_once_does_so_no_more(path):
    assert attempt(read(path.read_text()), run).violations == []


def test_a_seed_does_the_same_twice():
    first, second = attempt(Plan.of(3), run), attempt(Plan.of(3), run)
    assert len(first.trace) > 10
    assert first.trace == second.trace


# -- shrinking ---------------------------------------------------------------------------


def lasting(plan: Plan) -> Iterator[Fault]:
    return (fault for fault in plan.faults if fault.lasts)


def hits(plan: Plan, at: float) -> bool:
    """Whether something lasts over a moment and a desk crashes in the same plan."""
    crashes = any(fault.kind is Kind.CRASH for fault in plan.faults)
    return crashes and any(fault.at <= at < fault.at + fault.lasts for fault in lasting(plan))


class Tried:
    """Fails where a fault lasts over a moment of a plan, and a desk crashes in it."""

    def __init__(self) -> None:
        self.plan = next(found for found in map(Plan.of, range(100)) if hits(found, 400.0))
        self.count = 0

    def __call__(self, smaller: Plan) -> bool:
        self.count += 1
        return hits(smaller, 400.0)


def test_a_plan_is_shrunk_to_what_it_takes():
    tried = Tried()
    plan, small = tried.plan, shrink(tried.plan, tried)
    assert len(plan.faults) > 10 and tried.count < 100
    assert sorted(fault.kind is Kind.CRASH for fault in small.faults) == [False, True]
    assert hits(small, 400.0) and small.seed == plan.seed
    assert [fault.lasts <= SHORT_S for fault in lasting(small)] == [True]


def test_what_fails_without_a_fault_needs_none():
    assert shrink(Plan.of(1), lambda plan: True) == Plan(1, ())


def test_what_takes_every_fault_keeps_them_all():
    plan = Plan.of(1)
    assert shrink(plan, lambda smaller: smaller.faults == plan.faults) == plan


def test_shrinking_ends_after_so_many_tries():
    tried = Tried()
    assert hits(shrink(tried.plan, tried, tries_max=5), 400.0)
    assert tried.count == 5


# -- plans as files ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_that_is_written_is_read_as_it_was(seed):
    assert read(written(Plan.of(seed))) == Plan.of(seed)


def test_a_plan_is_written_for_people():
    plan = Plan(7, (Fault(Kind.CRASH, 31.5), Fault(Kind.REFUSED, 40.0, 5.0, 0.2, 1)))
    assert written(plan).splitlines() == [
        '{"seed": 7, "faults": [',
        '  {"kind": "crash", "at": 31.5},',
        '  {"kind": "refused", "at": 40.0, "lasts": 5.0, "chance": 0.2, "number": 1}',
        "]}",
    ]
    assert json.loads(written(Plan(7, ()))) == {"seed": 7, "faults": []}


def test_a_plan_with_an_unknown_kind_is_not_read():
    with pytest.raises(ValueError, match="meteor"):
        read('{"seed": 7, "faults": [{"kind": "meteor", "at": 1.0}]}')


# -- the command -------------------------------------------------------------------------


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_broken_promise_is_shrunk_kept_and_replayed(capsys, tmp_path):
    few = ["--seeds", "12", "--workers", "1", "--json"]
    assert main(few, made_up.breaks, tmp_path) == BROKEN
    found = last_line(capsys)
    assert found["seeds"] == 12 and found["different"] == []
    assert len(found["violations"][made_up.PROMISE]) > 1
    (kept,) = tmp_path.glob("*.json")
    assert re.fullmatch(r"nobody-s-made-up-promise-\d+", kept.stem)
    assert [fault.kind for fault in read(kept.read_text()).faults] == [Kind.CRASH, Kind.FUNDING]
    assert found["commands"] == [f".venv/bin/python -m tests.sim --plan {kept} --trace"]
    assert main(["--plan", str(kept)], made_up.breaks) == BROKEN
    assert "it broke" in capsys.readouterr().out


def test_a_seed_that_does_not_do_the_same_twice_is_found(capsys, tmp_path):
    few = ["--seeds", "101", "--workers", "1", "--json"]
    assert main(few, made_up.differs, tmp_path) == DIFFERENT
    assert last_line(capsys)["different"] == [100, 0]


def test_a_seed_does_the_same_where_strings_hash_in_another_way(capsys, tmp_path):
    few = ["--from", "3", "--seeds", "2", "--workers", "1", "--json"]
    assert main(few, regress=tmp_path) == CLEAN
    found = last_line(capsys)
    assert found["seeds"] == 2 and found["different"] == []
    assert not list(tmp_path.iterdir())


def test_the_report_has_every_kind_and_traces_are_printed(capsys):
    assert main(["--seeds", "3", "--from", "5", "--trace"], made_up.keeps) == CLEAN
    said = capsys.readouterr().out
    assert str(Plan.of(5)) in said
    assert "3 seeds, 3.0 simulated hours, 3 desks" in said
    assert all(f"  {kind} " in said for kind in Kind)


@pytest.mark.parametrize(
    ("world", "words"), [(made_up.fails, "no such seed"), (made_up.circles, "0.2 s")]
)
def test_a_simulation_that_does_not_end_by_itself_broke_a_promise(world, words):
    (violation,) = attempt(Plan.of(1), world, cpu_s_max=0.2).violations
    assert violation.promise == ENDS
    assert words in violation.words
