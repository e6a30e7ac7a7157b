"""Every benchmark of backtests runs, on few bars and without its peers, so that none rots."""

import ast
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks import backtest_cold, backtest_exact, backtest_fast, peers, sweep, tune
from benchmarks.workload import funded, peers_plan, random_columns, unfunded, whole_plan
from engine.backtest import exact, fast
from engine.spread import Crew

FEW = ["--bars", "4000", "--rounds", "1", "--no-peers"]


def last_line(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_fast_backtest_is_measured_and_trades_as_c_does(capsys):
    backtest_fast.main(FEW)
    found = last_line(capsys)
    assert found["bars"] == 4_000 and found["trades"] > 0
    assert found["ratio_c"] > 0


def test_the_exact_backtest_is_measured(capsys):
    assert backtest_exact.main(FEW) == 0
    found = last_line(capsys)
    assert found["trades"] > 0 and found["bars_a_second"] > 0


def test_the_sweep_is_measured(capsys):
    sweep.main([*FEW, "--sets", "20"])
    found = last_line(capsys)
    assert found["sets"] == 20 and found["trades"] > 0


def test_a_study_is_measured():
    with Crew(lambda: ThreadPoolExecutor(1)) as crew:
        assert tune.trials_a_second(crew, funded(random_columns(40_000)), 24, 1) > 0


def test_the_cold_start_is_measured(capsys):
    backtest_cold.main(FEW)
    found = last_line(capsys)
    assert found["ours_s"] > 0 and found["ours_peak_mb"] > 0


@pytest.mark.parametrize(
    ("plan", "history"), [(whole_plan, funded), (peers_plan, unfunded)], ids=("whole", "peers")
)
def test_both_speeds_do_the_same_in_a_benchmark(plan, history):
    bars = history(random_columns(4_000))
    quick, slow = fast.run(plan(), bars), exact.run(plan(), bars)
    assert len(quick.trips) == len(slow.trips) > 0
    assert quick.equity == pytest.approx(slow.equity, rel=1e-9)


def test_the_peers_pay_no_funding_and_hit_their_stops_and_targets():
    outcome = fast.run(peers_plan(), unfunded(random_columns(100_000)))
    assert outcome.funding == 0
    assert {"stop_loss", "take_profit", "ma_exit"} <= {each.exit_reason for each in outcome.trips}


def test_every_peer_has_a_script_that_parses():
    scripts = {path.stem: path.read_text() for path in peers.SCRIPTS.glob("*.py")}
    assert {f"{name}_ema" for name in peers.PEERS} <= set(scripts)
    assert {"vectorbt_sweep", "backtesting_cold"} <= set(scripts)
    for text in scripts.values():
        ast.parse(text)


def test_a_peer_that_fails_is_named_with_its_last_words(monkeypatch, tmp_path):
    monkeypatch.setattr(peers, "python_of", lambda name: sys.executable)
    monkeypatch.setattr(peers, "SCRIPTS", tmp_path)
    (tmp_path / "vectorbt_ema.py").write_text("raise SystemExit('out of memory')")
    with pytest.raises(peers.Unavailable, match=r"vectorbt_ema\.py failed: out of memory"):
        peers.bars_a_second("vectorbt", random_columns(10))


def test_a_peers_script_gets_the_bars_and_the_rules(monkeypatch, tmp_path):
    monkeypatch.setattr(peers, "python_of", lambda name: sys.executable)
    rules = (peers.SCRIPTS / "rules.py").read_text()
    script = "from rules import *\nbars, rules = given()\ntell(bars, 0.5, 7, rules.deposit)\n"
    monkeypatch.setattr(peers, "SCRIPTS", tmp_path)
    (tmp_path / "rules.py").write_text(rules)
    (tmp_path / "vectorbt_ema.py").write_text(script)
    found = peers.bars_a_second("vectorbt", random_columns(10))
    assert found == {"bars": 10, "bars_a_second": 20, "trades": 7, "final_equity": 1_000_000.0}


def test_a_benchmark_goes_on_without_a_peer_that_cant_be_had(monkeypatch, capsys):
    def refuse(name, columns):
        raise peers.Unavailable("no such package")

    monkeypatch.setattr(backtest_fast, "bars_a_second", refuse)
    backtest_fast.main(["--bars", "4000", "--rounds", "1"])
    found = last_line(capsys)
    assert found["unavailable"] == {"vectorbt": "no such package"}
    assert "ratio_vectorbt" not in found
