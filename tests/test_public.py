"""The public interface that README promises to notebooks and scripts."""

import io

import pytest
from PIL import Image

import clipneuron


def test_the_example_of_the_readme_runs():
    picture = io.BytesIO()
    Image.new("RGB", (80, 60), (200, 100, 0)).save(picture, "JPEG")
    clip = clipneuron.load_clip("demo")
    pixels = clip.preprocess.normalize(clip.preprocess.decode(picture.getvalue())[None])
    trace = clip.trace(pixels)
    lens = clipneuron.SecondOrderLens(clip, layer=4, split="equal", normalize=True)
    paths = clip.weights.paths(4)
    assert lens.coefficients(trace).shape == (1, clip.neurons, paths)
    assert lens.norms(trace).shape == (1, clip.neurons)
    effects = lens.effects(trace, neurons=[4, 39])
    assert effects.shape == (1, 2, clip.embed)
    texts = clip.encode_texts(["a cat", "a dog", "the sea"])
    indices, weights, residuals = clipneuron.pursuit(effects[0], texts, atoms=2)
    assert indices.shape == weights.shape == residuals.shape == (2, 2)


def test_every_public_name_is_there_and_no_other():
    for name in clipneuron.__all__:
        assert getattr(clipneuron, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = clipneuron.nothing
