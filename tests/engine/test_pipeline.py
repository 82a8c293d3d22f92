"""A pipeline runs its list in order, stops at a kind, and its stages are named by what they do and read."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from clipneuron.engine.pipeline import Pipeline, distinct
from clipneuron.engine.stage import Named, Output, Resources, Shard, Stage, Upstream, name_of
from clipneuron.store.outlines import StageOrder
from clipneuron.store.store import Store
from tests.engine.fakes import rows_of
from tests.samples.world import quiet_runner


@dataclass(frozen=True)
class Step(Stage):
    """One shard of two rows; `heavy` stands for a model."""

    kind: str = ""
    reads: tuple[Upstream, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    heavy: bytes = b""
    resources: Resources = Resources()

    writes = ("text_embeddings",)
    unit = "texts"

    @property
    def identity(self) -> Mapping[str, object]:
        return self.settings

    def shards(self, run):
        return [Shard("all", 2)]

    def loader(self, run):
        return self

    def load(self, shard):
        return None

    def share(self, run):
        return None

    def build(self, shared):
        return self

    def process(self, loaded, advance):
        advance(2)
        return Output({"text_embeddings": rows_of(self.kind)})


def chain(**settings: object) -> tuple[Step, Step, Step]:
    first = Step("first", settings=settings)
    second = Step("second", (first,))
    return first, second, Step("third", (first, second))


def test_a_stage_that_nothing_sets_apart_is_called_by_its_kind() -> None:
    assert [stage.name for stage in chain()] == ["first", "second", "third"]


def test_a_setting_is_in_the_names_of_all_that_read_it() -> None:
    one, other = chain(layers=(1, 2)), chain(layers=(1, 3))
    names = {stage.name for stage in (*chain(), *one, *other)}
    assert len(names) == 9
    assert [stage.name for stage in one] == [stage.name for stage in chain(layers=[1, 2])]
    assert all(stage.name.startswith(f"{stage.kind}-") for stage in one)


def test_where_results_are_read_from_does_not_depend_on_how_the_list_was_made() -> None:
    first = chain(layers=(1, 2))[0]
    assert Step("second", (Named(first.name),)).name == Step("second", (first,)).name


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", float("nan"), object(), {"a": Step("first")}])
def test_what_json_cannot_express_is_no_identity(value: object) -> None:
    with pytest.raises(ValueError, match="plain JSON"):
        name_of("kind", "", {"value": value}, [])


def test_a_stage_travels_without_what_its_upstream_stages_hold() -> None:
    model = Step("first", heavy=bytes(10**6))
    described = Step("second", (model,))
    data = pickle.dumps(described)
    assert len(data) < 2000
    assert pickle.loads(data).name == described.name
    assert [read.name for read in pickle.loads(data).reads] == ["first"]


def test_a_pipeline_runs_its_stages_in_order_and_stops_at_a_kind(tmp_path) -> None:
    run = Store(tmp_path).open_run("pipeline", {})
    pipeline = Pipeline(chain(), {"recipe": {"name": "mine"}})
    assert pipeline.kinds == ("first", "second", "third")
    reports = pipeline.run(quiet_runner(), run, until="second")
    assert [report.name for report in reports] == ["first", "second"]
    assert run.stages() == ["first", "second"]
    reports = pipeline.run(quiet_runner(), run)
    assert [report.done_now for report in reports] == [0, 0, 1]
    names = ("first", "second", "third")
    assert run.announced() == StageOrder(
        stages=names, kinds=names, details={"recipe": {"name": "mine"}}
    )


def test_a_word_that_is_no_kind_is_refused_with_those_there_are_and_nothing_is_done(
    tmp_path,
) -> None:
    run = Store(tmp_path).open_run("pipeline", {})
    with pytest.raises(ValueError, match="no stage 'secnd': expected one of first, second, third"):
        Pipeline(chain()).run(quiet_runner(), run, until="secnd")
    assert run.stages() == []
    assert run.announced() is None


def test_a_list_in_which_a_stage_comes_before_what_it_reads_is_refused() -> None:
    first, second, third = chain()
    with pytest.raises(ValueError, match="third reads second, which must come before it"):
        Pipeline((first, third, second))
    with pytest.raises(ValueError, match="first is in the pipeline twice"):
        Pipeline((first, first))
    assert distinct([first, second, first, third]) == (first, second, third)


def test_a_run_knows_its_last_stage_of_a_kind(tmp_path) -> None:
    run = Store(tmp_path).open_run("pipeline", {})
    with pytest.raises(ValueError, match="no stage of the kind 'second'"):
        run.stage("second")
    Pipeline(chain(layers=[1])).announce(run)
    Pipeline(chain(layers=[2])).announce(run)
    assert run.stage("second") == chain(layers=[2])[1].name
