"""What Prometheus sees of a run: its metrics, scraped from a node while it works, with the values of its commits."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.process
@pytest.mark.environment  # a Ray of its own, since the tests' cluster collects no metrics
@pytest.mark.timeout(600)
def test_a_node_offers_the_metrics_of_a_run_while_it_works() -> None:
    told = subprocess.run(
        [sys.executable, "benchmarks/scraped.py"], cwd=ROOT, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "during the run: " in told.stdout
    assert 'ray_clipneuron_pictures_total{run="demo-' in told.stdout
