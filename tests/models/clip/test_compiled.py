"""Traces by torch's compiler: a single graph, without breaks, that leaves what the pass as it is written does.

In a process of its own, where signatures are not checked: the compiler cannot look through the checks.
"""

import pickle
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import pytest
import torch
from torch import Tensor

from clipneuron.models.clip.capture import CompiledCapture, capture
from clipneuron.models.clip.model import load_clip
from tests.samples.processes import run_in_process
from tests.samples.towers import random_pixels, tiny_clip, tiny_tower

TOWERS: dict[str, dict[str, object]] = {
    "plain": {},
    "other options": {"batch_first": False, "ls_init_value": 0.3, "output_tokens": True},
}
LAYERS = (0, 2)


def tensors(found: object, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a trace with its place in it."""
    if isinstance(found, Tensor):
        yield name, found
    elif is_dataclass(found):
        for item in fields(found):
            yield from tensors(getattr(found, item.name), f"{name}.{item.name}")
    elif isinstance(found, dict):
        for key, value in found.items():
            yield from tensors(value, f"{name}[{key}]")


def off(found: Tensor, expected: Tensor) -> float:
    """The largest difference, of the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


def apart(kind: str, backend: str, **options: bool) -> dict[str, float]:
    """Of every tensor of a compiled trace, how far it is from the usual one, of its largest value.

    The second batch is another one, and must neither be compiled for nor change the trace of the first; the third is
    smaller.
    """
    torch.set_num_threads(1)
    tower = tiny_tower(**TOWERS[kind])
    pixels = random_pixels(tower)
    others, fewer = pixels.flip(0), pixels[:2]
    compiled = CompiledCapture(tower, LAYERS, backend=backend, **options)
    first = compiled(pixels)
    kept = {name: value.clone() for name, value in tensors(first)}
    with torch.compiler.set_stance("fail_on_recompile"):
        second = compiled(others)
    assert all(torch.equal(value, kept[name]) for name, value in tensors(first))
    found: dict[str, float] = {}
    for batch, trace in ((pixels, first), (others, second), (fewer, compiled(fewer))):
        expected = dict(tensors(capture(tower, batch, LAYERS, **options)))
        got = dict(tensors(trace))
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            found[name] = max(found.get(name, 0.0), off(got[name], value))
    assert not any(module._forward_hooks for module in tower.modules()), "it has hooks of its own"
    return found


@pytest.mark.environment  # torch's compiler takes many seconds
@pytest.mark.process
@pytest.mark.parametrize("kind", TOWERS)
def test_a_compiled_trace_is_one_graph_and_the_same(kind: str) -> None:
    errors = run_in_process(apart_whole, kind)
    assert len(errors) == 26
    assert max(errors.values()) < 1e-12, (
        "in float64: torch's attention has another kernel when it is compiled"
    )


def apart_whole(kind: str) -> dict[str, float]:
    """With everything that can be asked of a trace."""
    return apart(kind, "eager", first_order=True, writes=True)


@pytest.mark.environment
@pytest.mark.process
def test_towers_that_are_compiled_in_one_process_are_not_taken_for_each_other() -> None:
    assert run_in_process(several) == [[0, 2], [1], [0, 2]]


def several() -> list[list[int]]:
    """Which layers are in traces by two compiled captures, before and after the tower is compiled without hooks."""
    tower = tiny_tower()
    pixels = random_pixels(tower)
    some, others = (CompiledCapture(tower, layers, backend="eager") for layers in (LAYERS, (1,)))
    traces = [some(pixels), others(pixels)]
    with torch.no_grad():
        torch.compile(tower.forward, backend="eager")(pixels)
    return [sorted(trace.activations) for trace in (*traces, some(pixels))]


@pytest.mark.environment
@pytest.mark.process
def test_a_model_that_compiles_goes_to_another_process_and_leaves_the_same_traces() -> None:
    apart, same, others = run_in_process(by_a_model)
    assert same, "what is compiled for a choice of layers is used again"
    assert others == [[0, 1, 2], [1]]
    assert apart < 1e-5, "float32, by the compiler that runs use"


def by_a_model() -> tuple[float, bool, list[list[int]]]:
    """How far the tensors of a trace are from the usual ones, and what else is asked of such a model."""
    torch.set_num_threads(1)
    usual = load_clip(tiny_clip())
    compiled = pickle.loads(pickle.dumps(usual.compiled()))
    pixels = random_pixels(usual.visual).float()
    trace, expected = compiled.trace(pixels, [1]), usual.trace(pixels, [1])
    usually = dict(tensors(expected))
    apart = max(off(found, usually[name]) for name, found in tensors(trace))
    with torch.compiler.set_stance("fail_on_recompile"):
        same = torch.equal(compiled.trace(pixels, [1]).embeddings, trace.embeddings)
    others = [sorted(compiled.trace(pixels, layers).activations) for layers in (None, [1])]
    return apart, same, others
