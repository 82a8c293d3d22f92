"""The scale model agrees with the tables of docs/scale.md, and a proposal ends in time with as little as that takes."""

import doctest
import re
from pathlib import Path

import pytest

from clipneuron.cli import main
from clipneuron.cli.operations import cluster
from clipneuron.operations.sizing.proposals import Nodes, proposal
from clipneuron.operations.sizing.scale import GPUS, MODELS
from clipneuron.sweep import trees

TEXT = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
IMAGENET = 1_281_167
UNITS = {"s": 1 / 3600, "min": 1 / 60, "h": 1}


def table(title):
    """The rows of one table of the page, by heading."""
    lines = TEXT[TEXT.index(f"### {title}") :].split("\n\n")[1].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def number(text):
    return float(re.sub(r"[^\d.]", "", text))


def hours(text):
    amount, unit = text.split()
    return float(amount) * UNITS[unit]


@pytest.mark.parametrize(("gpu", "title"), [("RTX-4090", "RTX 4090s"), ("A100", "A100s")])
def test_times_are_those_of_the_page(gpu, title):
    for row in table(f"Sweeps on {title}"):
        model, rate = MODELS[row["model"]], GPUS[gpu][row["model"]]
        pictures, said = int(number(row["pictures"])), row["calibrated on"]
        calibrated = 0 if said == "all" else int(number(said))
        assert model.shards(pictures) == number(row["shards"])
        cores = model.core_hours(pictures, calibrated=calibrated)
        assert cores == pytest.approx(number(row["core-hours"]), abs=0.06)
        for gpus in (1, 8, 64):
            shown = hours(row[f"{gpus} GPU{'s' * (gpus > 1)}"])
            taken = model.hours(pictures, gpus, rate, calibrated=calibrated)
            assert taken == pytest.approx(shown, rel=0.07, abs=0.06 / 3600)


def test_cores_and_bytes_are_those_of_the_page():
    for row in table("One GPU"):
        rate = number(row["forward passes/s"])
        shown = [number(row[name]) for name in row if name.startswith(("decoding", "commits"))]
        found = MODELS[row["model"]].cores(rate, IMAGENET)
        assert found == pytest.approx(shown, rel=0.03, abs=0.06)
        if row["GPU"].replace(" ", "-") in GPUS:
            assert rate == pytest.approx(GPUS[row["GPU"].replace(" ", "-")][row["model"]], abs=1)
    for row in table("Stored"):
        written = MODELS[row["model"]].written(int(number(row["pictures"]))) / 1e9
        assert written == pytest.approx(number(row["GB"]), rel=0.02)


def test_what_is_no_picture_takes_little_of_a_large_collection():
    model = MODELS["ViT-B-32"]
    besides = model.written(IMAGENET) - IMAGENET * model.per_picture
    assert model.tops(5_000) == 300 * model.per_top
    assert besides < 90e9


@pytest.mark.parametrize("name", MODELS)
def test_gpus_wait_for_each_other_at_the_end_of_each_wave(name):
    model, one, many = MODELS[name], 1.0, 64
    alone, shared = (model.hours(IMAGENET, gpus, one) for gpus in (1, many))
    calibrate, effects = model.pass_seconds(one)
    # 626 shards: 10 rounds of the first pass; 8, 56 and 562 of the second, which take 1, 1 and 9.
    assert shared == pytest.approx(2048 * (10 * calibrate + 11 * effects) / 3600)
    assert alone == pytest.approx(IMAGENET * (calibrate + effects) / 3600)


@pytest.mark.parametrize("name", MODELS)
def test_most_of_a_large_collection_is_passed_over_once_where_means_come_from_few(name):
    model = MODELS[name]
    twice, once = (model.hours(IMAGENET, 8, 1.0, calibrated=count) for count in (0, 5_000))
    calibrate, effects = model.pass_seconds(1.0)
    assert once / twice == pytest.approx(effects / (calibrate + effects), abs=0.02)


def test_the_command_knows_the_models_and_gpus_that_there_are():
    assert set(cluster.MODELS) == MODELS.keys()
    assert set(cluster.GPUS) == GPUS.keys()
    assert doctest.testmod(trees).attempted > 0
    assert doctest.testmod(trees).failed == 0


@pytest.mark.parametrize("asked", [0.3, 0.5, 1, 2, 5])
@pytest.mark.parametrize("name", MODELS)
def test_a_proposal_ends_in_time_and_one_gpu_less_would_not(name, asked):
    model, rate, nodes = MODELS[name], GPUS["A100"][name], Nodes()
    found = proposal(model, IMAGENET, asked, rate, nodes)
    assert found.hours <= asked
    if found.gpus > 1:
        fewer = model.hours(IMAGENET, found.gpus - 1, rate)
        assert fewer + nodes.start / 60 > asked
    cores = found.clip_nodes * nodes.clip_cores - found.gpus + found.feeders * nodes.feeder_cores
    assert cores >= found.cores_per_gpu * found.gpus
    if found.feeders:
        assert cores - nodes.feeder_cores < found.cores_per_gpu * found.gpus


def test_several_gpus_share_a_node():
    nodes = Nodes(gpus=8, clip_cores=96)
    found = proposal(MODELS["ViT-L-14"], IMAGENET, 0.4, 483.0, nodes)
    assert found.clip_nodes == -(-found.gpus // 8)


def test_what_cannot_be_done_is_said(capsys):
    words = ["cluster", "size", "--model", "ViT-L-14", "--images", str(IMAGENET)]
    assert main([*words, "--hours", "0.1"]) == 1
    assert "before nodes have started" in capsys.readouterr().err
    assert main([*words, "--hours", "0.17", "--shard-size", "8192"]) == 1
    assert "smaller shards (--shard-size)" in capsys.readouterr().err
    assert main([*words, "--hours", "2", "--calibrate-on", "2000000"]) == 1
    assert "there are 1,281,167: calibrate on at most these" in capsys.readouterr().err
    for wrong in (["--hours", "0"], ["--hours", "2", "--model", "ViT-H-14"]):
        with pytest.raises(SystemExit, match="2"):
            main([*words, *wrong])


def test_dollars_are_asked_for_or_counted(capsys):
    words = ["cluster", "size", "--model", "ViT-B-32", "--images", str(IMAGENET), "--hours", "1"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "give their prices: --head-node-hour, --clip-node-hour, --feeder-node-hour" in out
    assert "a lower bound; give your own by --gpu-rate" in out
    assert "both passes, if the GPUs are fed" in out
    assert main([*words, "--calibrate-on", "5000"]) == 0
    assert "means of 5,000 pictures and a pass over all, if the GPUs" in capsys.readouterr().out
    prices = ["--head-node-hour", "1", "--clip-node-hour", "10", "--feeder-node-hour", "100"]
    assert main([*words, *prices, "--gpu-rate", "8877"]) == 0
    out = capsys.readouterr().out
    assert "a head, 1 clip node (1 GPU, 32 cores each) and 1 feeder of 64 cores" in out
    assert "111.00" in out
    assert "8,877 (given)" in out
