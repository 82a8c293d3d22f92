import pytest
import torch
from torch import nn

from clipneuron.models.clip.weights.filling import fill
from clipneuron.models.clip.weights.layouts import is_hugging_face, open_clip_names
from tests.samples.towers import tiny_clip


@pytest.fixture(scope="module")
def network():
    return tiny_clip()


@pytest.fixture(scope="module")
def state(network):
    return network.state_dict()


def compiled_parts(state):
    """What torch.compile of the tower, and FSDP of each block, leave in the names."""
    return {
        name.replace("visual.", "visual._orig_mod.").replace(
            "resblocks.1.", "resblocks.1._fsdp_wrapped_module."
        ): value
        for name, value in state.items()
    }


def prefixed(prefix):
    return lambda state: {prefix + name: value for name, value in state.items()}


WRAPPED = {
    "plain": lambda state: state,
    "compile": prefixed("_orig_mod."),
    "data parallel": prefixed("module."),
    "both": prefixed("module._orig_mod."),
    "lightning": prefixed("model."),
    "one's own": prefixed("student.clip."),
    "lightning with a loss": lambda state: prefixed("model.")(state) | {"loss.t": torch.zeros(1)},
    "parts": compiled_parts,
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_what_wrappers_add_is_taken_off(state, kind):
    found = open_clip_names(WRAPPED[kind](state), "file")
    assert found.keys() == state.keys()
    assert all(found[name] is state[name] for name in state)


def test_a_wrapped_model_in_fact(network, state):
    saved = nn.DataParallel(network).state_dict()
    assert next(iter(saved)).startswith("module.")
    assert open_clip_names(saved, "file").keys() == state.keys()


def test_two_models_in_one_file_are_not_chosen_from(state):
    both = prefixed("student.")(state) | prefixed("teacher.")(state)
    with pytest.raises(
        ValueError, match=r"could not load file: it holds 2 models, .*'student\.', 't"
    ):
        open_clip_names(both, "file")
    with pytest.raises(ValueError, match=r"2 models, .*'', 'ema\.'"):
        open_clip_names(state | prefixed("ema.")(state), "file")


def test_one_tensor_under_two_names_is_refused(state):
    name = "visual.proj"
    with pytest.raises(ValueError, match=r"holds visual\.proj twice"):
        open_clip_names(state | {f"_orig_mod.{name}": state[name]}, "file")


def test_names_of_hugging_face_are_known():
    assert is_hugging_face(["logit_scale", "clip.vision_model.embeddings.class_embedding"])
    assert not is_hugging_face(["visual.class_embedding"])


def test_foreign_names_pass_through():
    names = {"vision_model.embeddings.class_embedding": torch.zeros(2), "other": torch.zeros(1)}
    names["vision_model.encoder.layers.0.gate.weight"] = torch.zeros(1)
    found = open_clip_names(names, "file")
    assert set(found) == {
        "visual.class_embedding",
        "other",
        "vision_model.encoder.layers.0.gate.weight",
    }


def test_the_text_tower_of_the_other_class_of_open_clip(network, state):
    towers = ("positional_embedding", "text_projection", "token_embedding", "transformer", "ln_")
    custom = {f"text.{n}" if n.startswith(towers) else n: value for n, value in state.items()}
    other = tiny_clip(seed=1)
    fill(other, open_clip_names(custom, "file"), "file")
    assert all(torch.equal(state[name], value) for name, value in other.state_dict().items())
