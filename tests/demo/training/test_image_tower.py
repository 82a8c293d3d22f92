"""The image tower's own training: blocks that begin silent, neurons that are kept, a run that resumes."""

import threading
from multiprocessing.pool import ThreadPool

import pytest
import torch

from clipneuron.demo.training.blocks import insert_silent, keep_neurons
from clipneuron.demo.training.image_tower import (
    TowerRecipe,
    TowerTraining,
    draw_pictures,
    train_tower,
)
from clipneuron.demo.training.recipe import TrainingRecipe
from clipneuron.demo.training.train import Training, read_weights
from tests.samples.towers import tiny_tower

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The weights of a tiny model that was never trained."""
    shape = {"width": 32, "layers": 2, "text_width": 16, "text_layers": 1, "embed_dim": 16}
    training = Training(tmp_path_factory.mktemp("start"), TrainingRecipe(merges=60, **shape))
    training.save()
    return training.out


def test_silent_blocks_change_nothing_until_they_learn():
    tower, images = tiny_tower(dtype=torch.float32), torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        before = tower(images)
        insert_silent(tower, 2, after=1)
        torch.testing.assert_close(tower(images), before)
    assert len(tower.transformer.resblocks) == 6
    tower(images).sum().backward()
    assert tower.transformer.resblocks[2].mlp.c_proj.weight.grad.abs().max() > 0


def test_the_neurons_that_write_most_are_kept():
    tower, images = tiny_tower(dtype=torch.float32), torch.randn(3, 3, 32, 32)
    silent = torch.randperm(128)[:40]
    with torch.no_grad():
        for block in tower.transformer.resblocks:
            block.mlp.c_proj.weight[:, silent] = 0  # these write nothing
        before = tower(images)
        keep_neurons(tower, 88, images)
        torch.testing.assert_close(tower(images), before)
    assert tower.transformer.resblocks[0].mlp.c_fc.out_features == 88


def test_what_pruned_neurons_write_on_average_stays():
    tower, images = tiny_tower(dtype=torch.float32), torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        for block in tower.transformer.resblocks:
            block.mlp.c_fc.weight[:64] = 0  # these are constant
        before = tower(images)
        keep_neurons(tower, 64, images)
        torch.testing.assert_close(tower(images), before, rtol=1e-4, atol=1e-4)


def test_a_tower_of_another_shape_learns_and_can_be_read(start, tmp_path):
    recipe = TowerRecipe(insert=1, after=0, neurons=96, silence=2, batch=8, minutes=60)
    training = TowerTraining(tmp_path, recipe, start)
    text_tower = {
        name: value.clone() for name, value in training.clip.transformer.state_dict().items()
    }
    drawn = draw_pictures(training.job(0))
    losses = [training.advance(drawn) for _ in range(12)]
    assert losses[-1] < losses[0]
    training.save()
    model, _ = read_weights(tmp_path)
    assert len(model.visual.transformer.resblocks) == 3
    assert model.visual.transformer.resblocks[0].mlp.c_fc.out_features == 96
    for name, value in training.clip.transformer.state_dict().items():
        assert torch.equal(value, text_tower[name]), name


def test_a_resumed_run_takes_the_same_step(start, tmp_path):
    recipe = TowerRecipe(batch=4, minutes=60)
    whole = TowerTraining(tmp_path, recipe, start)
    whole.advance(draw_pictures(whole.job(0)))
    whole.save()
    resumed = TowerTraining(tmp_path, recipe)
    assert (resumed.step, resumed.seconds) == (whole.step, whole.seconds)
    whole.seconds = resumed.seconds = 30.0
    drawn = draw_pictures(whole.job(1))
    assert whole.advance(drawn) == resumed.advance(drawn)
    for one, other in zip(
        whole.clip.visual.parameters(), resumed.clip.visual.parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_a_run_ends_by_the_clock_and_leaves_weights_and_snapshots(start, tmp_path):
    training = TowerTraining(tmp_path, TowerRecipe(batch=4, minutes=0.02), start)
    with ThreadPool(1) as painters:
        lines = list(train_tower(training, painters, threading.Event(), 0.0, 0.0))
    assert lines[-1].endswith("minutes left -0.0") or "minutes left 0.0" in lines[-1]
    assert (tmp_path / "open_clip_model.safetensors").exists()
    assert (tmp_path / "after-0-minutes" / "open_clip_model.safetensors").exists()


def test_harder_pictures_come_with_progress(start, tmp_path):
    training = TowerTraining(
        tmp_path, TowerRecipe(hardness=(0.2, 0.7), minutes=10, ramp=0.5), start
    )
    hardness = []
    for seconds in (0, 150, 300, 600):
        training.seconds = float(seconds)
        hardness.append(training.job(0)[-1])
    assert hardness == pytest.approx([0.2, 0.45, 0.7, 0.7])


def test_without_a_start_there_is_nothing_to_train(tmp_path):
    with pytest.raises(ValueError, match=r"give the weights to start from \(--start\)"):
        TowerTraining(tmp_path, TowerRecipe())
