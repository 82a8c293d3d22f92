import pytest
import torch
from torch.nn.functional import normalize

from clipneuron.models.clip.capture import capture
from clipneuron.models.clip.recording import Wanted, block_linears, recorded
from tests.models.clip.test_capture import TOWERS, embed, tolerance
from tests.samples.towers import random_pixels, tiny_tower

EVERYTHING = Wanted(
    activations=frozenset({0, 1, 2}),
    first_order=True,
    attention=frozenset(range(4)),
    score=frozenset(range(4)),
    local=frozenset({2, 3}),
    blocks=0,
    values=True,
)


def directions_of(tower, images):
    found = torch.randn(images, tower.proj.shape[1], generator=torch.Generator().manual_seed(2))
    return normalize(found, dim=1).to(tower.proj)


@pytest.mark.parametrize("kind", TOWERS)
def test_the_pass_computes_what_the_model_computes(kind):
    tower = tiny_tower(**TOWERS[kind])
    pixels = random_pixels(tower, 3)
    with torch.no_grad():
        record, _ = recorded(tower, pixels, directions_of(tower, 3), EVERYTHING)
    expected, found = capture(tower, pixels, [0, 1, 2], first_order=True), record.trace
    for name in ("activations", "attention", "normalized", "mlp_outputs"):
        theirs, ours = getattr(expected, name), getattr(found, name)
        assert sorted(ours) == sorted(theirs)
        for layer, values in ours.items():
            torch.testing.assert_close(values, theirs[layer], **tolerance(tower))
    torch.testing.assert_close(found.embeddings, expected.embeddings, **tolerance(tower))
    torch.testing.assert_close(found.stem, expected.stem, **tolerance(tower))
    torch.testing.assert_close(found.ln_post.mean, expected.ln_post.mean, **tolerance(tower))
    torch.testing.assert_close(found.ln_post.sigma, expected.ln_post.sigma, **tolerance(tower))


def test_attention_matrices_are_torchs_own():
    tower = tiny_tower()
    with torch.no_grad():
        pixels = random_pixels(tower)
        record, _ = recorded(tower, pixels, directions_of(tower, 5), EVERYTHING)
        for layer, block in enumerate(tower.transformer.resblocks):
            read = record.blocks[layer].normed_1
            _, maps = block.attn(read, read, read, need_weights=True, average_attn_weights=False)
            torch.testing.assert_close(record.attention[layer], maps)


def test_linear_layers_give_what_the_blocks_give():
    tower = tiny_tower(ls_init_value=0.3)
    with torch.no_grad():
        record, _ = recorded(tower, random_pixels(tower), directions_of(tower, 5), Wanted(blocks=0))
    for layer, module in enumerate(tower.transformer.resblocks):
        linears, block = block_linears(module), record.blocks[layer]
        pairs = [
            (linears.output, block.mixed, block.attended),
            (linears.up, block.normed_2, block.hidden),
            (linears.down, block.activations, block.written),
        ]
        for linear, inputs, outputs in pairs:
            torch.testing.assert_close(inputs @ linear.weight + linear.bias, outputs)


def test_only_what_is_wanted_is_kept():
    tower = tiny_tower()
    pixels = random_pixels(tower)
    record, gradients = recorded(tower, pixels, directions_of(tower, 5), Wanted())
    torch.testing.assert_close(record.trace.embeddings, embed(tower, pixels))
    assert not record.blocks
    assert not record.attention
    assert not gradients.score
    assert record.stem is None
    assert record.values is None
    assert not record.trace.activations
    last = recorded(tower, pixels, directions_of(tower, 5), Wanted(score=frozenset({3})))
    assert list(last[0].attention) == list(last[1].score) == [3]
    assert last[1].score[3].shape == (5, 4, 1, 17)
