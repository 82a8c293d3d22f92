"""The whole reproduction with a model in half precision, against the same weights in float32."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
import torch

from clipneuron.models.clip.model import Clip, load_clip
from clipneuron.readers.sweep import Planned
from clipneuron.store.store import Run
from tests.samples.towers import tiny_clip
from tests.samples.world import quiet_runner, reproduction_of

pytestmark = pytest.mark.slow

HALVES = (torch.bfloat16, torch.float16)


def model(dtype: torch.dtype) -> Clip:
    """A model whose weights every format holds exactly."""
    network = tiny_clip(layers=3, width=16, embed=12, image_size=16, patch_size=8).bfloat16()
    return load_clip(network.to(dtype))


@dataclass(frozen=True)
class Finished:
    run: Run
    stages: dict[str, list[str]]

    def values(self, kind: str, table: str, column: str) -> np.ndarray:
        found = []
        for name in self.stages[kind]:
            values = self.run.read(name, table)[column].combine_chunks().drop_null()
            while pa.types.is_list(values.type) or pa.types.is_fixed_size_list(values.type):
                values = values.flatten()
            found.append(values.to_numpy(zero_copy_only=False))
        return np.concatenate(found)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> dict[torch.dtype, Finished]:
    folder, found = tmp_path_factory.mktemp("half"), {}
    for dtype in (torch.float32, *HALVES):
        asked = {"indirect_neurons": 1, "indirect_images": 2, "sizes": (1,)}
        asked |= {"pools": (f"{folder}/colours.txt",)}
        options = {"shard_size": 12, "block": 64, "batch_size": 12, "layers": (0,), "atoms": 1}
        reproduction = reproduction_of(
            folder, f"{dtype}", asked=asked, model=model(dtype), **options
        )
        run, _ = reproduction.run(quiet_runner())
        stages: dict[str, list[str]] = {}
        for stage in reproduction.stages(Planned.of(run)).all:
            stages.setdefault(stage.kind, []).append(stage.name)
        found[dtype] = Finished(run, stages)
    return found


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(
    ("kind", "table", "column", "bfloat16"),
    [
        # at most so far from float32's, of the root mean square; float16 has 8 times the resolution
        ("texts", "text_embeddings", "embedding", 0.02),
        ("calibrate", "means", "coefficients", 0.02),
        ("effects", "norms", "layer_0", 0.02),
        ("directions", "directions", "threshold", 0.03),
        ("directions", "directions", "explained_variance", 0.02),
        ("classifier", "classifier", "embedding", 0.02),
        ("first-order-means", "first_order_means", "effect", 0.02),
        ("first-order", "first_order", "square_sum", 0.03),
        ("activation-means", "activation_means", "activations", 0.02),
        ("indirect", "indirect", "second_order", 0.02),
        ("indirect", "indirect", "indirect", 0.1),
        ("indirect-directions", "indirect_directions", "explained_variance", 0.02),
    ],
)
def test_every_stage_is_near_float32(finished, half, kind, table, column, bfloat16):
    exact, found = (finished[kind_].values(kind, table, column) for kind_ in (torch.float32, half))
    share = bfloat16 if half == torch.bfloat16 else bfloat16 / 4
    assert exact.shape == found.shape
    apart = np.sqrt(np.mean((found - exact) ** 2)) / np.sqrt(np.mean(exact**2))
    assert 0 <= apart < share
    assert np.isfinite(found).all()


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("kind", ["ablations", "first-order", "indirect-ablations"])
def test_pictures_are_classified_as_in_float32_but_for_rounding(finished, half, kind):
    exact, found = (
        finished[dtype].values(kind, "predictions", "prediction") for dtype in (torch.float32, half)
    )
    assert len(exact) >= 12
    assert (exact == found).mean() > 0.9


def test_half_precision_has_been_computed_in(finished):
    """Otherwise the tests above could not fail."""
    norms = [finished[dtype].values("effects", "norms", "layer_0") for dtype in finished]
    assert not np.allclose(norms[0], norms[1], rtol=1e-5)
    assert not np.allclose(norms[0], norms[2], rtol=1e-5)
