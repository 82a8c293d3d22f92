"""The evidence's tables against brute force: every effect materialised, every intervention run through the model."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from clipneuron.data.opening import Collection
from clipneuron.engine.stage import Advance, Output, Resources, Shard
from clipneuron.evidence.pipeline import EvidenceStages, Reproduction
from clipneuron.lens.ablations import representations
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.first_order import head_effects
from clipneuron.lens.trace import Trace
from clipneuron.models.clip.model import Clip
from clipneuron.readers.sweep import Planned
from clipneuron.store.store import Run
from clipneuron.sweep.stages.classifier import ClassifierStage
from clipneuron.tables import registry as tables
from tests.samples.world import clip, quiet_runner, reproduction_of

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class World:
    """A finished reproduction, and everything about it computed the long way."""

    reproduction: Reproduction
    run: Run

    @property
    def clip(self) -> Clip:
        return clip()

    @cached_property
    def stages(self) -> EvidenceStages:
        return self.reproduction.stages(Planned.of(self.run))

    @cached_property
    def classifier(self) -> Tensor:
        rows = self.run.read(self.stages.classifier.name, "classifier").sort_by("label")
        return torch.tensor(rows["embedding"].to_pylist())

    def pixels(self, collection: Collection) -> tuple[list[int], Tensor]:
        """Numbers and normalised pixels of the pictures that can be read."""
        decode, found = self.clip.preprocess.decode, {}
        for picture in collection.pictures:
            if "005" not in picture.image:
                found[picture.index] = decode(collection.read(picture))
        return list(found), self.clip.preprocess.normalize(np.stack(list(found.values())))

    @cached_property
    def labelled(self) -> tuple[list[int], Tensor]:
        return self.pixels(self.reproduction.collection)

    @cached_property
    def swept(self) -> tuple[list[int], Tensor]:
        return self.pixels(self.reproduction.sweep.collection)

    @cached_property
    def trace(self) -> Trace:
        return self.clip.trace(self.labelled[1])

    def directions(self, layer: int, column: str) -> Tensor:
        rows = self.run.read("directions", "directions", filters=[("layer", "==", layer)])
        return torch.tensor(rows.sort_by("neuron")[column].to_pylist())

    def predicted(self, stage: str, **where: object) -> dict[int, int]:
        """What a stage has predicted of each labelled picture under one ablation."""
        filters = [("status", "==", "ok"), *((key, "==", value) for key, value in where.items())]
        rows = self.run.read(stage, "predictions", filters=filters)
        return dict(zip(rows["index"].to_pylist(), rows["prediction"].to_pylist(), strict=True))

    def agrees(self, found: dict[int, int], representations: Tensor) -> bool:
        """Whether each picture has its best class, or one that rounding could have put first."""
        logits = representations @ self.classifier.T
        chosen = torch.tensor([found[number] for number in self.labelled[0]])
        short = logits.max(1).values - logits.gather(1, chosen[:, None])[:, 0]
        return len(found) == len(logits) and bool((short <= 1e-4 * logits.std(1)).all())


@dataclass(frozen=True)
class ManyClasses:
    """A classifier of so many directions around what the pictures differ in that small changes change classes."""

    reproduction: Reproduction

    reads = ()
    writes = ("classifier",)
    unit = "classes"
    resources = Resources(local=True)

    @property
    def name(self) -> str:
        found = self.reproduction
        return ClassifierStage(found.sweep.loader, found.classes, found.templates).name

    def shards(self, run: Run) -> list[Shard]:
        return [Shard("all", 1)]

    def loader(self, run: Run) -> "ManyClasses":
        return self

    def load(self, shard: Shard) -> None:
        return None

    def share(self, run: Run) -> None:
        return None

    def build(self, shared: None) -> "ManyClasses":
        return self

    def process(self, loaded: None, advance: Advance) -> Output:
        with torch.inference_mode():
            pixels = World(self.reproduction, None).labelled[1]
            seen = torch.nn.functional.normalize(clip().visual(pixels), dim=1)
        _, sizes, axes = torch.linalg.svd(seen - seen.mean(0), full_matrices=False)
        clear = sizes > 0.05 * sizes[0]
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn(3000, int(clear.sum()), generator=generator)
        rows = torch.nn.functional.normalize(rows, dim=1) / sizes[clear] @ axes[clear]
        rows = rows - rows @ seen.mean(0)[:, None] * seen.mean(0) / seen.mean(0).square().sum()
        columns = {
            "label": pa.array(range(3000), pa.int32()),
            "name": [f"class {number}" for number in range(3000)],
            "embedding": rows.tolist(),
        }
        return Output({"classifier": pa.table(columns, tables.schema("classifier"))})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("evidence")
    reproduction = reproduction_of(folder, asked={"indirect_images": 12})
    run = reproduction.sweep.open()
    # Committed first, hence the run's: the tiny model's own would give all pictures one class whatever is replaced.
    quiet_runner().run([ManyClasses(reproduction)], run)
    reproduction.run(quiet_runner())
    return World(reproduction, run)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def test_every_ablation_is_told_apart_by_its_predictions(world: World) -> None:
    """Otherwise the tests below could not fail."""
    found = world.stages
    stages = found.ablations, found.first_order, found.indirect_ablations
    rows = [world.run.read(stage.name, "predictions").to_pandas() for stage in stages]
    seen = {
        key: tuple(group.sort_values("index")["prediction"])
        for table in rows
        for key, group in table[table["status"] == "ok"].groupby(["ablation", "layer", "head"])
    }
    # The last head of a layer is where the layer is: those two are the same by definition.
    assert len(set(seen.values())) >= len(seen) - world.clip.layers
    assert len(seen) > 20


def test_a_broken_picture_is_a_row_with_its_reason_and_no_other_is_lost(world: World) -> None:
    for stage in (world.stages.ablations, world.stages.first_order):
        rows = world.run.read(stage.name, "predictions")
        failed = rows.filter(np.array(rows["status"].to_pylist()) != "ok").to_pylist()
        assert [(row["image"], row["status"]) for row in failed] == [("cat/005.png", "truncated")]
        assert failed[0]["prediction"] is None
        assert failed[0]["label"] == 1
    assert len(world.predicted(world.stages.ablations.name, ablation="none")) == 12


def test_without_ablation_the_model_says_what_it_says(world: World) -> None:
    found = world.predicted(world.stages.ablations.name, ablation="none")
    assert world.agrees(found, world.clip.visual(world.labelled[1]))


@pytest.mark.parametrize("layer", [0, 1])
def test_second_order_ablations_equal_those_of_materialised_effects(
    world: World, layer: int
) -> None:
    stage = world.stages.ablations.name
    before, centred = representations(world.trace), centred_effects(world, layer)
    large = centred.norm(dim=-1) > world.directions(layer, "threshold")
    direction = world.directions(layer, "direction")
    along = (centred * direction).sum(-1, keepdim=True) * direction
    without = before - centred.sum(1)
    by_hand = {
        "all": without,
        "large": before - (centred * large[..., None]).sum(1),
        "small": before - (centred * ~large[..., None]).sum(1),
        "pc": without + along.sum(1),
    }
    for name, expected in by_hand.items():
        assert world.agrees(world.predicted(stage, ablation=name, layer=layer), expected), name
    rows = world.run.read(stage, "significance", filters=[("layer", "==", layer)]).to_pandas()
    assert rows.groupby("neuron")["count"].sum().unique().tolist() == [12]


@pytest.mark.parametrize("layer", [0, 1])
def test_energies_are_those_of_materialised_effects(world: World, layer: int) -> None:
    """D has 11 pictures, fewer than the remainder has coordinates: its axes alone would miss some of the norms."""
    norms = centred_effects(world, layer).norm(dim=-1).double()
    above = norms > world.directions(layer, "quantile_98")
    filters = [("layer", "==", layer)]
    rows = world.run.read(world.stages.ablations.name, "significance", filters=filters)
    sums = rows.to_pandas().groupby("neuron")[["above", "energy", "energy_above"]].sum()
    assert above.any()
    np.testing.assert_array_equal(sums["above"], above.sum(0))
    np.testing.assert_allclose(sums["energy"], norms.square().sum(0), rtol=1e-4)
    np.testing.assert_allclose(sums["energy_above"], (norms.square() * above).sum(0), rtol=1e-4)


def test_sums_of_texts_equal_least_squares_on_the_first_texts(world: World) -> None:
    reproduction, run, stages = world.reproduction, world.run, world.stages
    for pool in reproduction.pools:
        texts = torch.nn.functional.normalize(world.clip.encode_texts(pool.texts), dim=1).double()
        described = run.read(stages.pools[pool.name].descriptions.name, "descriptions")
        sums = run.read(stages.pools[pool.name].reconstructions.name, "reconstructions")
        direction = world.directions(0, "direction").double()
        for row in sums.to_pylist()[::7]:
            own = (np.array(described["neuron"]) == row["neuron"]) & (
                np.array(described["layer"]) == 0
            )
            words = described.filter(own & (np.array(described["atom"]) < row["atoms"]))
            chosen = texts[words["text_index"].to_pylist()]
            weights = torch.linalg.lstsq(chosen.T, direction[row["neuron"]][:, None]).solution
            expected = (chosen.T @ weights)[:, 0]
            np.testing.assert_allclose(row["reconstruction"], expected, atol=1e-4)


@pytest.mark.parametrize("rule", ["paper", "authors"])
def test_texts_stand_for_effects_by_either_rule(world: World, rule: str) -> None:
    reproduction, run, stages = world.reproduction, world.run, world.stages
    stage = stages.ablations
    if rule == "authors":
        stage = replace(stage, rule="authors")
        quiet_runner().run([stage], run)
    centred, direction = centred_effects(world, 0), world.directions(0, "direction")
    without = representations(world.trace) - centred.sum(1)
    for pool in reproduction.pools:
        sums = run.read(stages.pools[pool.name].reconstructions.name, "reconstructions")
        for size in (1, 3):
            own = sums.filter(np.array(sums["atoms"]) == size).sort_by("neuron")
            writes = torch.tensor(own["reconstruction"].to_pylist())
            reads = direction if rule == "paper" else writes
            replaced = without + ((centred * reads).sum(-1, keepdim=True) * writes).sum(1)
            found = world.predicted(stage.name, ablation=f"texts:{pool.name}:{size}", layer=0)
            assert world.agrees(found, replaced)


def test_first_order_ablations_take_layer_after_layer_to_its_mean_over_the_sweep(
    world: World,
) -> None:
    stage, weights = world.stages.first_order.name, world.clip.weights
    mean = heads_of(world, world.swept[1])[1].mean(0)
    trace, effects = heads_of(world, world.labelled[1])
    before = representations(trace)
    for layer in range(weights.layers):
        cut = (effects - mean)[:, : layer + 1].sum((1, 2))
        found = world.predicted(stage, ablation="attention", layer=layer)
        assert world.agrees(found, before - cut)
        by_head = (effects - mean)[:, :layer].sum((1, 2)) + (effects - mean)[:, layer, 0]
        if layer:
            found = world.predicted(stage, ablation="heads", layer=layer, head=0)
            assert world.agrees(found, before - by_head)
    rows = world.run.read(stage, "first_order").to_pandas()
    sizes = rows.groupby(["layer", "head"])["square_sum"].sum().to_numpy()
    squares = (effects - mean).square().sum((0, 3)).flatten()
    np.testing.assert_allclose(sizes, squares, rtol=1e-4)


def test_indirect_effects_equal_forward_passes_with_an_edited_activation(world: World) -> None:
    run, stage = world.run, world.stages.interventions.effects
    rows = run.read(stage.name, "indirect").to_pylist()
    assert {row["neuron"] for row in rows} == {*stage.neurons[0]}
    means = world.clip.trace(world.swept[1], [0]).activations[0].mean(0)
    lens = SecondOrderLens(world.clip, 0)
    numbers = {number: place for place, number in enumerate(world.swept[0])}
    seen = sorted({row["index"] for row in rows})
    assert seen == [number for number in range(12) if number != 5]
    for row in rows:
        pixels = world.swept[1][[numbers[row["index"]]]]
        whole = world.clip.visual(pixels)
        edited = with_neuron_at(world.clip, pixels, row["neuron"], means[:, row["neuron"]])
        expected = ((whole - edited) / whole.norm())[0]
        np.testing.assert_allclose(row["indirect"], expected, atol=2e-5)
        effects = lens.effects(world.clip.trace(pixels, [0]), [row["neuron"]])
        np.testing.assert_allclose(row["second_order"], effects[0, 0], atol=2e-5)


def test_indirect_directions_are_those_of_the_centred_effects(world: World) -> None:
    run, stages = world.run, world.stages.interventions
    assert stages.directions.top == 10
    effects = run.read(stages.effects.name, "indirect")
    found = run.read(stages.directions.name, "indirect_directions").to_pylist()
    assert [row["neuron"] for row in found] == list(stages.effects.neurons[0])
    for row in found:
        own = effects.filter(np.array(effects["neuron"]) == row["neuron"])
        for kind, some, everything in (
            ("indirect", "explained_variance", "explained_variance_all"),
            ("second_order", "second_order_variance", "second_order_variance_all"),
        ):
            rows = np.array(own[kind].to_pylist(), dtype=np.float64)
            centred = rows - rows.mean(0)
            top = centred[np.argsort(-np.linalg.norm(centred, axis=1))[: stages.directions.top]]
            for values, column in ((top, some), (centred, everything)):
                sizes = np.linalg.svd(values, compute_uv=False) ** 2
                assert row[column] == pytest.approx(sizes[0] / sizes.sum(), rel=1e-3)


def test_a_layer_held_at_its_means_equals_a_forward_pass_with_it(world: World) -> None:
    stage = world.stages.indirect_ablations.name
    means = world.clip.trace(world.swept[1], [0]).activations[0].mean(0)
    edited = with_neuron_at(world.clip, world.labelled[1], slice(None), means)
    assert world.agrees(world.predicted(stage, ablation="indirect", layer=0), edited)


def centred_effects(world: World, layer: int) -> Tensor:
    lens = SecondOrderLens(world.clip, layer)
    mean = lens.effects(world.clip.trace(world.swept[1])).mean(0)
    return lens.effects(world.trace) - mean


def heads_of(world: World, pixels: Tensor) -> tuple[Trace, Tensor]:
    trace = world.clip.trace(pixels, [], first_order=True)
    return trace, head_effects(world.clip.weights, trace)


def with_neuron_at(model: Clip, pixels: Tensor, neuron: int | slice, value: Tensor) -> Tensor:
    """M_image with a neuron of layer 0 at a value on every token."""

    def edit(module: object, inputs: object, output: Tensor) -> Tensor:
        first = model.visual.transformer.batch_first
        tokens = (output if first else output.transpose(0, 1)).clone()
        tokens[:, :, neuron] = value
        return tokens if first else tokens.transpose(0, 1)

    handle = model.visual.transformer.resblocks[0].mlp.gelu.register_forward_hook(edit)
    try:
        return model.visual(pixels)
    finally:
        handle.remove()
