"""Ablations against brute force: every effect by the literal formula, replaced one by one, in float64."""

from dataclasses import replace
from inspect import unwrap
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from clipneuron.lens import ablations
from clipneuron.lens.ablations import (
    LayerAblation,
    Replacement,
    cumulative_ablations,
    representations,
)
from clipneuron.lens.directions import first_directions
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.first_order import bias_effects, head_effects, mlp_effects, stem_effects
from clipneuron.lens.paths import centre
from clipneuron.lens.pursuit import prepare
from clipneuron.lens.summaries import Moments
from tests.lens.literal import literal_effects, plain_trace, plain_weights
from tests.samples.towers import authors_tower, random_pixels, tiny_tower

NEURONS, EMBED = 32, 12
SETTINGS = [(split, normalize) for split in ("equal", "centered") for normalize in (False, True)]
EXACT = {"rtol": 1e-10, "atol": 1e-12}


@pytest.fixture(scope="module", params=[{}, {"ls_init_value": 0.5, "quick_gelu": False}])
def case(request):
    """Weights, the trace of the pictures D, and that of the pictures to evaluate."""
    tower = tiny_tower(layers=3, width=16, embed=EMBED, mlp_ratio=2.0, heads=2, **request.param)
    data, test = random_pixels(tower, 6, seed=3), random_pixels(tower, 4)
    return plain_weights(tower), plain_trace(tower, data), plain_trace(tower, test)


def lens_of(weights, layer, split="equal", normalize=True):
    return SecondOrderLens(
        SimpleNamespace(weights=weights), layer, split=split, normalize=normalize
    )


def mean_of(lens, data):
    return Moments.of(lens.coefficients(data), lens.remainders(data)).mean


def random_directions(seed, count=1):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, NEURONS, EMBED)
    return torch.randn(shape, generator=generator, dtype=torch.float64).unbind(0)


class BruteForce:
    """Centred effects of every neuron and image, materialised from the literal formula."""

    def __init__(self, case, layer, split, normalize):
        weights, data, test = case
        of_data = literal_effects(weights, data, layer, split, normalize)
        self.mean = of_data.mean(0)
        self.effects = literal_effects(weights, test, layer, split, normalize)
        self.thresholds = (of_data - self.mean).norm(dim=-1).sort(0).values[-2]
        self.embeddings = test.embeddings
        if normalize:
            self.embeddings = test.embeddings / test.embeddings.norm(dim=1, keepdim=True)

    def with_effects(self, replaced):
        """The embedding when each effect [image, neuron, embed] is exchanged, one after the other."""
        embeddings = self.embeddings.clone()
        for neuron in range(NEURONS):
            embeddings += replaced[:, neuron] - self.effects[:, neuron]
        return embeddings

    def with_means_where(self, ablated):
        return self.with_effects(torch.where(ablated[..., None], self.mean, self.effects))

    @property
    def is_large(self):
        return (self.effects - self.mean).norm(dim=-1) > self.thresholds

    def replaced(self, read, write):
        projections = ((self.effects - self.mean) * read).sum(-1, keepdim=True)
        return self.with_effects(self.mean + projections * write)


@pytest.fixture(params=SETTINGS, ids=lambda setting: f"{setting[0]}-{setting[1]}")
def setting(request):
    return request.param


@pytest.mark.parametrize("layer", [0, 1])
def test_every_ablation_equals_brute_force(case, setting, layer, monkeypatch):
    weights, data, test = case
    monkeypatch.setattr(ablations, "BLOCK", 5)  # several blocks of neurons, the last one not full
    oracle, lens = BruteForce(case, layer, *setting), lens_of(weights, layer, *setting)
    direction, texts = random_directions(0, 2)
    replacements = {
        "pc": Replacement(direction, direction),
        "paper": Replacement(direction, texts),
        "authors": Replacement(texts, texts),
    }
    ablation = LayerAblation(lens, *mean_of(lens, data), oracle.thresholds, replacements)
    everywhere = torch.ones(4, NEURONS, dtype=torch.bool)
    expected = {
        "all": oracle.with_means_where(everywhere),
        "large": oracle.with_means_where(oracle.is_large),
        "small": oracle.with_means_where(~oracle.is_large),
        "pc": oracle.replaced(direction, direction),
        "paper": oracle.replaced(direction, texts),
        "authors": oracle.replaced(texts, texts),
    }
    assert 0.05 < oracle.is_large.double().mean() < 0.95
    before = representations(test, normalize=setting[1])
    changes = ablation.changes(test)
    assert list(changes) == list(expected)
    for name, change in changes.items():
        assert_close(before + change, expected[name], **EXACT)
        assert change.norm(dim=1).min() > 1e-3


def test_mean_ablating_all_neurons_replaces_what_the_mlp_sent_through_later_heads(case, setting):
    """By the MLP's output itself: in both splits, what it sends differs from its neurons' by constants of the image."""
    weights, data, test = case
    split, normalize = setting
    lens = lens_of(weights, 0, "centered", normalize)
    ablation = LayerAblation(lens, *mean_of(lens, data), torch.zeros(NEURONS), {})
    sent, of_data = (mlp_path_output(weights, trace, 0, normalize) for trace in (test, data))
    bias, bias_of_data = lens.bias_effect(test), lens.bias_effect(data)
    expected = (of_data - bias_of_data).mean(0) - (sent - bias)
    assert_close(ablation.changes(test)["all"], expected, **EXACT)
    if split == "equal":
        equal = lens_of(weights, 0, "equal", normalize)
        means = LayerAblation(equal, *mean_of(equal, data), torch.zeros(NEURONS), {})
        total = equal.layer_effect(data).mean(0) - equal.layer_effect(test)
        assert_close(means.changes(test)["all"], total, **EXACT)


def test_what_the_mlps_wrote_changes_no_number(case, setting):
    weights, data, test = case
    lens, direction = lens_of(weights, 0, *setting), random_directions(0)[0]
    replacement = {"pc": Replacement(direction, direction)}
    thresholds = lens.norms(data).median(0).values / 2
    ablation = LayerAblation(lens, *mean_of(lens, data), thresholds, replacement)
    block = weights.blocks[0]
    written = test.activations[0] @ block.neuron_writes + block.neuron_bias
    found = ablation.changes(replace(test, mlp_writes={0: written}))
    for name, change in ablation.changes(test).items():
        assert_close(found[name], change, **EXACT)


def mlp_path_output(weights, trace, layer, normalize):
    """The MLP's whole output, bias and all, pushed through the linear parts of every later head."""
    block = weights.blocks[layer]
    output = trace.activations[layer] @ block.neuron_writes + block.neuron_bias
    total = torch.zeros_like(trace.embeddings)
    for later in range(layer + 1, weights.layers):
        here = weights.blocks[later]
        read = here.ln_1_gamma * centre(output) / trace.ln_1[later].sigma[..., None]
        for head in range(weights.heads):
            value = read @ here.value[head].T @ here.output[head]
            sent = (trace.attention[later][:, head, :, None] * value).sum(1)
            scaled = weights.ln_post_gamma * centre(sent) / trace.ln_post.sigma[:, None]
            total += scaled @ weights.projection
    return total / trace.embeddings.norm(dim=1, keepdim=True) if normalize else total


def test_all_components_together_give_back_the_baseline(case, setting):
    """A replacement's own part is what it adds to `all`; over an orthonormal basis the parts are the effects."""
    weights, data, test = case
    lens = lens_of(weights, 0, *setting)
    rotation = torch.linalg.qr(random_directions(4)[0][:EMBED]).Q
    components = {
        f"component {number}": Replacement(*(2 * (axis.expand(NEURONS, -1),)))
        for number, axis in enumerate(rotation)
    }
    ablation = LayerAblation(lens, *mean_of(lens, data), torch.zeros(NEURONS), components)
    changes = ablation.changes(test)
    parts = [changes[name] - changes["all"] for name in components]
    assert_close(changes["all"] + sum(parts), torch.zeros(4, EMBED).double(), rtol=0, atol=1e-12)


def test_rank_one_effects_survive_their_own_direction(case):
    """Where one image makes up D's spread, its centred effect is its first direction: nothing changes."""
    weights, data, test = case
    lens = lens_of(weights, 1)
    mean, remainder = mean_of(lens, data)
    only = plain_part(test, 0)
    coefficients = (lens.coefficients(only) - mean).transpose(0, 1)
    rest = (lens.remainders(only) - remainder).expand(NEURONS, 1, -1)
    found = first_directions(coefficients, lens.basis(), rest, lens.remainder_basis).vectors
    replacement = {"pc": Replacement(found, found)}
    ablation = LayerAblation(lens, mean, remainder, torch.zeros(NEURONS), replacement)
    change = ablation.changes(only)
    assert change["pc"].norm() < 1e-6 * change["all"].norm()


def plain_part(trace, image):
    """The trace of one image alone, as far as second-order effects read it."""
    here = slice(image, image + 1)
    return type(trace)(
        embeddings=trace.embeddings[here],
        ln_post=type(trace.ln_post)(trace.ln_post.mean[here], trace.ln_post.sigma[here]),
        activations={layer: values[here] for layer, values in trace.activations.items()},
        attention={layer: values[here] for layer, values in trace.attention.items()},
        ln_1={
            layer: type(scale)(scale.mean[here], scale.sigma[here])
            for layer, scale in trace.ln_1.items()
        },
    )


def test_thresholds_at_the_extremes(case, setting):
    weights, data, test = case
    lens = lens_of(weights, 0, *setting)
    mean = mean_of(lens, data)
    nothing = LayerAblation(lens, *mean, torch.full((NEURONS,), torch.inf), {}).changes(test)
    everything = LayerAblation(lens, *mean, torch.full((NEURONS,), -1.0), {}).changes(test)
    assert not nothing["large"].any()
    assert torch.equal(nothing["small"], nothing["all"])
    assert_close(everything["large"], everything["all"], **EXACT)


def test_an_effect_at_its_threshold_is_not_large(case):
    """As in the authors' program: the 100th largest effect itself is not above it."""
    weights, data, test = case
    lens = lens_of(weights, 0)
    mean, remainder = mean_of(lens, data)
    norms = lens.norms_of(lens.coefficients(test, mean), lens.remainders(test) - remainder)
    ablation = LayerAblation(lens, mean, remainder, norms.amax(0), {})
    assert not ablation.changes(test)["large"].any()


@pytest.mark.parametrize("split", ["equal", "centered"])
def test_a_narrowed_lens_ablates_alike(case, split):
    """It leaves out what is the same for all images, which centring takes away anyway."""
    weights, data, _ = case
    wide = lens_of(weights, 0, split)
    moments = Moments.of(wide.coefficients(data), wide.remainders(data))
    direction = random_directions(0)[0]
    replacement = {"pc": Replacement(direction, direction)}
    mean, remainder = moments.mean
    thresholds = wide.norms(data).median(0).values / 2
    ours = LayerAblation(wide, mean, remainder, thresholds, replacement, axes=moments.axes)
    full = LayerAblation(wide, mean, remainder, thresholds, replacement).changes(data)
    for name, change in ours.changes(data).items():
        assert_close(change, full[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("split", ["equal", "centered"])
def test_the_sum_over_all_neurons_is_not_narrowed(case, split):
    """What the axes leave out is next to nothing for one neuron, but counts as often as there are neurons."""
    weights, data, test = case
    wide = lens_of(weights, 0, split)
    none = wide.remainder_basis.new_zeros(len(wide.remainder_basis), 0)
    mean = mean_of(wide, data)
    never = torch.full((NEURONS,), torch.inf)
    narrowed = LayerAblation(wide, *mean, never, {}, axes=none).changes(test)
    exact = LayerAblation(wide, *mean, never, {}).changes(test)
    for name in ("all", "small"):
        assert_close(narrowed[name], exact[name], rtol=0, atol=0)


def test_float32_is_close_to_float64(case):
    weights, data, test = case
    exact = lens_of(weights, 0)
    single = lens_of(weights.to(torch.float32), 0)
    direction = random_directions(0)[0]
    replacement = {"pc": Replacement(direction, direction)}
    thresholds = exact.norms(data).mean(0) / 2
    wanted = LayerAblation(exact, *mean_of(exact, data), thresholds, replacement).changes(test)
    tower_like = as_float32(test)
    mean = mean_of(exact, data)[0], mean_of(single, as_float32(data))[1]
    found = LayerAblation(single, *mean, thresholds, replacement).changes(tower_like)
    for name, change in found.items():
        assert change.dtype == torch.float32
        assert (change - wanted[name]).norm() < 1e-4 * wanted["all"].norm()


def as_float32(trace):
    return type(trace)(
        embeddings=trace.embeddings.float(),
        ln_post=type(trace.ln_post)(trace.ln_post.mean.float(), trace.ln_post.sigma.float()),
        activations={layer: values.float() for layer, values in trace.activations.items()},
        attention={layer: values.float() for layer, values in trace.attention.items()},
        ln_1={
            layer: type(scale)(scale.mean.float(), scale.sigma.float())
            for layer, scale in trace.ln_1.items()
        },
    )


def test_what_does_not_belong_to_the_layer_is_refused(case):
    weights, data, _ = case
    lens, other = lens_of(weights, 0), lens_of(weights, 1)
    mean, thresholds, direction = mean_of(lens, data), torch.zeros(NEURONS), random_directions(0)[0]
    with pytest.raises(ValueError, match="mean has shape"):
        LayerAblation(lens, *mean_of(other, data), thresholds, {})
    init = unwrap(LayerAblation.__init__)  # as it is where nobody checks shapes in signatures
    with pytest.raises(ValueError, match="thresholds has shape"):
        init(object.__new__(LayerAblation), lens, *mean, thresholds[1:], {})
    with pytest.raises(ValueError, match="pc: read has shape"):
        LayerAblation(lens, *mean, thresholds, {"pc": Replacement(direction[:3], direction[:3])})
    with pytest.raises(ValueError, match="cannot be named large"):
        LayerAblation(lens, *mean, thresholds, {"large": Replacement(direction, direction)})


@pytest.mark.parametrize("start", ["first", "last"])
def test_cumulative_ablations_exchange_one_term_after_the_other(case, setting, start):
    """Every cut, from the sum of all first-order terms with the ablated layers' at their means."""
    weights, data, test = case
    split, normalize = setting
    options = {"split": split, "normalize": normalize}
    layers, means = (head_effects(weights, trace, **options).sum(2) for trace in (test, data))
    means = means.mean(0)
    others = (
        mlp_effects(weights, test, **options).sum(1)
        + stem_effects(weights, test, **options)
        + bias_effects(weights, test, **options)
    )
    before = representations(test, normalize=normalize)
    found = cumulative_ablations(before, layers, means, start)
    assert found.shape == (4, 4, EMBED)
    assert torch.equal(found[0], before)
    for cut in range(4):
        gone = range(cut) if start == "first" else range(3 - cut, 3)
        terms = [means[at].expand(4, -1) if at in gone else layers[:, at] for at in range(3)]
        assert_close(found[cut], others + sum(terms), **EXACT)


def test_heads_can_be_ablated_one_by_one_too(case):
    weights, data, test = case
    heads, means = (head_effects(weights, trace).flatten(1, 2) for trace in (test, data))
    before = representations(test)
    by_head = cumulative_ablations(before, heads, means.mean(0))
    layers, layer_means = (head_effects(weights, trace).sum(2) for trace in (test, data))
    by_layer = cumulative_ablations(before, layers, layer_means.mean(0))
    assert_close(by_head[:: weights.heads], by_layer, **EXACT)


def test_cuts_of_other_terms_or_orders_are_refused(case):
    weights, _, test = case
    layers, before = head_effects(weights, test).sum(2), representations(test)
    with pytest.raises(ValueError, match="do not fit means"):
        unwrap(cumulative_ablations)(before, layers, layers[0, 1:])
    with pytest.raises(ValueError, match="unknown start 'middle'"):
        unwrap(cumulative_ablations)(before, layers, layers[0], "middle")


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_logits_are_those_of_the_authors_program(parity, layer):
    """Their 16 largest norms as thresholds, their directions; logits within 2e-4 of their spread."""
    theirs, pca = np.load(parity / "ablation_logits.npz"), np.load(parity / "pca.npz")
    images, omp = np.load(parity / "images.npz"), np.load(parity / "omp.npz")
    tower = authors_tower(parity, torch.float64)
    traces = [
        plain_trace(tower, torch.from_numpy(images[name]).double())
        for name in ("train_pixels", "test_pixels")
    ]
    lens = lens_of(plain_weights(tower), layer)
    thresholds = torch.from_numpy(pca[f"norms_L{layer}_top16"][:, 0]) / 100
    direction = torch.from_numpy(pca[f"pc_L{layer}_top16"])
    pool = torch.from_numpy(omp["pool_x100"])
    replacements = {"from_pc": Replacement(direction, direction)}
    for atoms in (4, 8, 16):
        texts = torch.from_numpy(omp[f"coef_L{layer}_m{atoms}"]) @ prepare(pool, "authors")
        replacements[f"m{atoms}"] = Replacement(texts, texts)
    ablation = LayerAblation(lens, *mean_of(lens, traces[0]), thresholds, replacements)
    changes = ablation.changes(traces[1])
    classifier = torch.from_numpy(theirs["classifier"]).double()
    names = {"all": "without_all", "large": "without_significant", "small": "without_insignificant"}
    for name, change in changes.items():
        logits = 100 * (representations(traces[1]) + change) @ classifier
        key = f"{names.get(name, name)}_L{layer}"
        expected = torch.from_numpy(
            theirs[key] if key in theirs else omp[f"eval_logits_L{layer}_{name}"]
        )
        assert (logits - expected).abs().max() < 2e-4 * expected.std()
