"""Training resumes exactly, and its short cuts change nothing."""

import threading

import numpy as np
import pytest
import torch
from open_clip import CLIP

from clipneuron.demo.training.batches import draw
from clipneuron.demo.training.learner import Learner, Patches
from clipneuron.demo.training.recipe import TrainingRecipe, model_config
from clipneuron.demo.training.train import Training, read_weights, train

pytestmark = pytest.mark.slow

TINY = TrainingRecipe(
    steps=6,
    batch=4,
    strangers=2,
    merges=60,
    width=32,
    layers=2,
    text_width=16,
    text_layers=1,
    embed_dim=16,
    ramp=2,
    supervised_share=0.3,
    masked=(0.4, 0.8),
)


def _advanced(run, steps):
    for _ in range(steps):
        run.advance()
    return run.learner.state_dict()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run and its weights."""
    run = Training(tmp_path_factory.mktemp("whole"), TINY)
    return run, _advanced(run, 6)


@pytest.mark.parametrize("break_at", [1, 3, 5])
def test_a_resumed_run_gives_the_same_weights(whole, tmp_path, break_at):
    run = Training(tmp_path, TINY)
    _advanced(run, break_at)
    run.save()
    weights = _advanced(Training(tmp_path, TINY), 6 - break_at)
    assert all(torch.equal(weights[name], value) for name, value in whole[1].items())


def test_progress_goes_by_steps_and_the_rate_falls_to_nothing(whole):
    run, _ = whole
    assert run.progress == 1
    assert run._learning_rate() == pytest.approx(0)


def test_training_leaves_weights_that_can_be_read(tmp_path):
    lines = list(train(tmp_path, TINY, threading.Event()))
    assert lines[-1].startswith("step 6 ")
    model, tokenizer = read_weights(tmp_path)
    trained = Training(tmp_path, TINY).learner.clip
    for (name, value), saved in zip(
        trained.state_dict().items(), model.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(saved, value, rtol=1e-3, atol=1e-4, msg=name)
    assert model.encode_text(tokenizer(["a cat"])).shape == (1, 16)


def test_a_stopped_run_has_saved(tmp_path):
    stop = threading.Event()
    stop.set()
    assert list(train(tmp_path, TINY, stop)) == []
    assert (tmp_path / "checkpoint.pt").exists()


def test_texts_without_their_padding_are_encoded_the_same(whole):
    run, _ = whole
    tokens = run.tokenizer(["a cat", "two horses and a tractor on grass", "sea"])
    with torch.no_grad():
        expected = run.learner.clip.encode_text(tokens, normalize=True)
        torch.testing.assert_close(run.learner.encode_text(tokens), expected)


def test_patches_are_a_convolution():
    convolution = torch.nn.Conv2d(3, 16, 8, 8, bias=False)
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(
        Patches(convolution)(images), convolution(images), rtol=1e-4, atol=1e-5
    )


def test_the_label_loss_is_the_mean_over_pictures_of_all_pairs():
    config = model_config(TINY, 600)
    learner, batch = Learner(CLIP(**config["model_cfg"]), 16), draw(0, 0, 3)
    with torch.no_grad():
        (loss,) = learner.losses(batch, None, None)
        images = torch.from_numpy(batch.pictures).permute(0, 3, 1, 2) / 127.5 - 1
        image = learner.clip.encode_image(images, normalize=True)
        label = torch.nn.functional.normalize(learner.label, dim=-1)
        logits = learner.clip.logit_scale.exp() * image @ label.T + learner.bias[0]
    chance = np.where(batch.labels, logits.sigmoid(), 1 - logits.sigmoid())
    assert loss.item() == pytest.approx(-np.log(chance).sum() / 3, rel=1e-4)
