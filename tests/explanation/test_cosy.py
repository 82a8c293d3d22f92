"""CoSy's AUC and MAD on painted pictures, against scikit-learn and responses that are computed anew."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from clipneuron.explanation.cosy import cosy_rows
from clipneuron.explanation.report import explanation_report
from clipneuron.lens.words.cosy import cosy
from clipneuron.models.places import UnavailableError
from clipneuron.readers.sweep import Planned
from tests.samples.explained import PAINTED, Tints, line_of
from tests.samples.world import clip, quiet_runner


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cosy")
    line = replace(line_of(folder, asked=PAINTED, words=2, negative_words=False), painter=Tints())
    run, _ = line.run(quiet_runner())
    return line, run, line.stages(Planned.of(run))


def test_the_scores_are_scikit_learns_and_the_papers():
    dice = torch.Generator().manual_seed(0)
    control = torch.randn(6, 90, generator=dice).round(decimals=1)
    painted = (torch.randn(6, 20, generator=dice) + torch.arange(6)[:, None] / 3).round(decimals=1)
    found = cosy(painted, control)
    labels = np.repeat([0, 1], [90, 20])
    for neuron in range(6):
        values = torch.cat([control[neuron], painted[neuron]]).numpy()
        assert float(found.auc[neuron]) == pytest.approx(roc_auc_score(labels, values), abs=1e-6)
        gain = painted[neuron].mean() - control[neuron].mean()
        assert float(found.mad[neuron]) == pytest.approx(
            float(gain / control[neuron].std()), rel=1e-5
        )


def test_a_neuron_that_never_varies_has_no_difference():
    found = cosy(torch.ones(1, 3), torch.zeros(1, 5))
    assert float(found.mad) == 0
    with pytest.raises(ValueError, match="at least one generated picture"):
        cosy(torch.ones(1, 0), torch.zeros(1, 5))


def test_every_word_of_the_neurons_drawn_is_painted_once(finished):
    line, run, stages = finished
    painted, scores = (stage.name for stage in stages.painted)
    for layer in line.sweep.layers:
        own = [("layer", "==", layer)]
        rows = run.read(scores, "cosy_scores", filters=own).to_pylist()
        assert {row["describer"] for row in rows} == {*stages.describers}
        neurons = {row["neuron"] for row in rows}
        assert len(neurons) == 8
        assert len(rows) == 8 * len(stages.describers)
        pictures = run.read(painted, "painted_words", filters=own).to_pylist()
        wanted = {row["text"] for row in rows} - {None}
        assert sorted((row["text"], row["copy"]) for row in pictures) == sorted(
            (word, copy) for word in wanted for copy in range(4)
        )
        assert all(
            row["caption"] == f"realistic photo of a close up of {row['text']}" for row in pictures
        )
        refused = [row for row in pictures if row["text"] == "grass"]
        assert {row["reason"] for row in refused} <= {"no grass"}
        for row in rows:
            lacks = row["text"] is None or row["text"] == "grass"
            assert row["painted"] == (0 if lacks else 4)
            assert (row["mad"] is None) == lacks


def test_responses_are_the_mean_activations_of_the_painted_pictures(finished):
    """One neuron's scores from its pictures as they lie in the table, and the control's activations."""
    line, run, stages = finished
    painted, scores = (stage.name for stage in stages.painted)
    layer = line.sweep.layers[0]
    rows = run.read(scores, "cosy_scores", filters=[("layer", "==", layer)]).to_pylist()
    row = next(row for row in rows if row["painted"])
    own = [("layer", "==", layer), ("text", "==", row["text"])]
    files = run.read(painted, "painted_words", filters=own)["image"].to_pylist()
    pixels = [clip().preprocess.decode(data) for data in files]
    assert {Image.open(io.BytesIO(data)).text["Painter"] for data in files} == {"tints"}
    with torch.inference_mode():
        trace = clip().trace(clip().preprocess.normalize(np.stack(pixels)))
    active = trace.activations[layer][:, 1:, row["neuron"]].mean(1)
    projected = run.read(stages.projections.name, "patch_activations")[f"layer_{layer}"]
    control = torch.tensor(projected.to_pylist())[:, row["neuron"]]
    gain = (active.mean() - control.mean()) / control.std()
    assert row["mad"] == pytest.approx(float(gain), rel=1e-3)


def test_the_report_shows_them_beside_the_control(finished):
    line, run, stages = finished
    report = explanation_report(line, run, 1)
    assert "### CoSy" in report.markdown()
    assert any("CoSy" in str(table.title) for table in report.tables())
    found = cosy_rows(run, stages.painted[1].name, [*stages.describers])
    assert [row.describer for row in found] == [*stages.describers]
    assert {row.describer for row in found if row.over_control is None} == {"other-neuron"}
    assert len(report.as_json()["cosy"]) == len(found)


def test_nobody_paints_unless_asked(tmp_path):
    assert line_of(tmp_path).painter is None
    found = line_of(tmp_path, asked=PAINTED)
    assert "CoSy" in found.describe()
    missing = line_of(tmp_path, asked={**PAINTED, "painter": str(tmp_path / "no pipeline")})
    with pytest.raises(UnavailableError, match=r"`explanation\.painter`"):
        missing.look()
    missing.look(until="scores")


def test_a_caption_needs_a_place_for_the_word(tmp_path):
    from clipneuron.explanation.inputs import check

    line = line_of(tmp_path, asked={**PAINTED, "painted_caption": "a photo"})
    with pytest.raises(ValueError, match=r"explanation\.painted_caption.*\{\}"):
        check(line.sweep.recipe)
