import pytest
import torch

from clipneuron.lens.attribution.second_order import neuron_weights

PRODUCTS = {
    4: torch.tensor([[0.5, -0.9, 0.1], [0.0, 0.2, 0.3]]),
    7: torch.tensor([[0.7, -0.2], [-0.4, 0.1]]),
}


@pytest.mark.parametrize(
    ("choice", "first", "last"),
    [
        ("absolute", [[0, 0.5, 0], [0, 0, 0.5]], [[0.5, 0], [0.5, 0]]),
        ("signed", [[0, -0.5, 0], [0, 0, 0.5]], [[0.5, 0], [-0.5, 0]]),
        ("weighted", [[0, -0.45, 0], [0, 0, 0.15]], [[0.35, 0], [-0.2, 0]]),
    ],
)
def test_two_neurons_of_two_layers_by_hand(choice, first, last):
    found = neuron_weights(PRODUCTS, 2, choice)
    assert list(found) == [4, 7]
    torch.testing.assert_close(found[4], torch.tensor(first, dtype=torch.float32))
    torch.testing.assert_close(found[7], torch.tensor(last, dtype=torch.float32))


def test_random_neurons_are_others_for_each_class_and_the_same_for_a_seed():
    products = {layer: torch.randn(5, 300) for layer in (1, 2)}
    drawn, again, other = (neuron_weights(products, 20, "random", seed) for seed in (0, 0, 1))
    whole = torch.cat(list(drawn.values()), dim=1)
    assert torch.equal(whole.sum(1), torch.ones(5))
    assert torch.equal((whole > 0).sum(1), torch.full((5,), 20))
    assert len({tuple(row.nonzero().flatten().tolist()) for row in whole}) == 5
    assert all(torch.equal(drawn[layer], again[layer]) for layer in products)
    assert not torch.equal(whole, torch.cat(list(other.values()), dim=1))


def test_no_layers_are_refused():
    with pytest.raises(ValueError, match="no layer was given"):
        neuron_weights({}, 2)


@pytest.mark.parametrize("count", [0, -1, 6])
def test_a_number_of_neurons_that_there_is_not_is_refused(count):
    with pytest.raises(ValueError, match=f"{count} neurons .* between 1 and 5"):
        neuron_weights(PRODUCTS, count)
