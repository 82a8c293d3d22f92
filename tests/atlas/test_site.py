"""An atlas from the run to its files: what the pages say is what the tables say, and a site is written once."""

import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from clipneuron.atlas import addresses, site
from clipneuron.atlas.alone import gathered
from clipneuron.atlas.gather.blocks import BlockReader
from clipneuron.atlas.html.single import single
from clipneuron.atlas.inputs import compared_with
from clipneuron.atlas.pipeline import AtlasLine
from clipneuron.operations.compare.comparison import Comparison
from clipneuron.operations.compare.sides import Side
from clipneuron.readers.arrow import tensor
from clipneuron.readers.sweep import NeuronBlock
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.store import Run, Store
from tests.samples.atlas_site import broken, unreached
from tests.samples.atlas_world import HOSTILE, atlas_of, explained, swept
from tests.samples.world import quiet_runner

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, AtlasLine, Path]:
    folder = tmp_path_factory.mktemp("atlas")
    run, recipe = explained(folder)
    line = atlas_of(run, recipe, folder)
    line.bring(quiet_runner())
    return run, line, folder


def published(run: Run, line: AtlasLine, place: Path) -> site.Published:
    return site.publish(run, line.stages().results, LocalObjects(place), lambda files: None)


def files(place: Path) -> dict[str, bytes]:
    return {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(world: tuple[Run, AtlasLine, Path]) -> dict[str, bytes]:
    run, line, folder = world
    published(run, line, folder / "site")
    return files(folder / "site")


def test_there_is_a_page_for_everything(world, written):
    run, line, _ = world
    directions = run.read(line.sources.directions, "directions")
    for row in directions.select(["layer", "neuron"]).to_pylist():
        assert addresses.neuron(row["layer"], row["neuron"]) in written
    words = run.read(line.sources.pools[0].descriptions, "neuron_words")["text"]
    assert {addresses.word(text) for text in pc.unique(words).to_pylist()} <= written.keys()
    assert {
        addresses.FRONT,
        addresses.MAP,
        addresses.layer(0),
        addresses.layer(1),
    } <= written.keys()
    assert {addresses.pair("cat:dog"), addresses.STYLE, addresses.SCRIPT} <= written.keys()
    assert sum(path.startswith("picture/cat-dog-second-order") for path in written) == 3 * 2


def test_every_link_leads_somewhere_and_to_every_page(world, written):
    place = world[2] / "site"
    assert broken(place) == []
    assert unreached(place) == []


def test_a_page_has_the_scores_of_its_words_and_classes(world, written):
    run, line, _ = world
    words = run.read(line.sources.pools[0].descriptions, "neuron_words").to_pylist()
    page = written[addresses.neuron(words[0]["layer"], words[0]["neuron"])].decode()
    assert addresses.slug(words[0]["text"]) in page
    assert "0.50" in page
    assert "0.13" in page or "0.12" in page
    assert "tree" in page
    assert "nearest" in page


def test_what_is_known_of_some_neurons_alone_is_on_their_pages(written):
    """Indirect effects are of a sample of neurons, often of one layer."""
    assert "Held at its mean" in written[addresses.neuron(1, 5)].decode()
    for other in ((1, 6), (0, 5)):
        assert "Held at its mean" not in written[addresses.neuron(*other)].decode()


def test_a_word_shows_the_pictures_whose_concepts_name_it(world, written):
    run, line, _ = world
    word = run.read(line.sources.concept_index, "concept_pictures")["concept"][0].as_py()
    pages = {path: data.decode() for path, data in written.items() if path.startswith("word/")}
    assert [path for path, page in pages.items() if "concepts name it" in page] == [
        addresses.word(word)
    ]
    section = pages[addresses.word(word)].partition("concepts name it")[2]
    assert "named by nearest" in section
    first, last = (section.index(f"picture/{index}/") for index in (1, 0))
    assert first < last, "the higher score first"
    assert "9.0" not in section, "of the control"
    assert "picture/2/" not in section
    assert "picture/999/" not in section


def test_foreign_text_is_shown_and_never_obeyed(written):
    page = written[addresses.pair("cat:dog")].decode()
    assert HOSTILE not in page
    assert "&lt;script&gt;alert" in page


def test_a_second_time_nothing_is_written_and_other_bytes_are_mended(world, written):
    run, line, folder = world
    place = folder / "site"
    again = published(run, line, place)
    assert (again.written, again.removed, again.kept) == (0, 0, len(written) - 1)
    (place / addresses.FRONT).unlink()
    (place / "note.txt").write_text("mine")
    record = json.loads((place / site.RECORD).read_text())
    record["files"]["9/9/index.html"] = "stale"
    (place / "9/9").mkdir(parents=True)
    (place / "9/9/index.html").write_text("of another run")
    (place / site.RECORD).write_text(json.dumps(record))
    fixed = published(run, line, place)
    assert (fixed.written, fixed.removed) == (1, 1)
    assert (place / "note.txt").read_text() == "mine"
    (place / "note.txt").unlink()
    assert files(place) == written


@pytest.mark.parametrize("found", ['{"frames": {}}', '{"files": 1}', '{"files": {"a"', "[]"])
def test_another_program_s_file_of_the_same_name_is_no_atlas(tmp_path, found):
    (tmp_path / site.RECORD).write_text(found)
    with pytest.raises(ValueError, match=r"atlas\.json in .* is not what an atlas records"):
        site.check(LocalObjects(tmp_path))


def test_a_writer_that_is_stopped_goes_on_where_it_was(world, written, monkeypatch):
    run, line, folder = world
    monkeypatch.setattr(site, "_OFTEN", 40)
    place = LocalObjects(folder / "stopped")
    put = LocalObjects.put

    def stopping(self: LocalObjects, key: str, data: bytes) -> None:
        if key == addresses.FRONT:
            raise KeyboardInterrupt
        put(self, key, data)

    monkeypatch.setattr(LocalObjects, "put", stopping)
    with pytest.raises(KeyboardInterrupt):
        site.publish(run, line.stages().results, place, lambda files: None)
    monkeypatch.setattr(LocalObjects, "put", put)
    rest = site.publish(run, line.stages().results, place, lambda files: None)
    assert rest.kept > 80
    assert files(folder / "stopped") == written


def test_a_folder_with_other_things_is_left_alone(world, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"thesis\.tex and no atlas\.json, so it is no atlas"):
        published(world[0], world[1], tmp_path)


def test_the_same_tables_give_the_same_bytes(world):
    run, line, _ = world
    for stage in line.stages().all:
        shard = stage.shards(run)[0]
        output = stage.build(stage.share(run)).process(
            stage.loader(run).load(shard), lambda rows: None
        )
        for table, rows in output.tables.items():
            assert rows.equals(run.read(stage.name, table, shards=[shard.name])), stage.kind


def test_a_heat_adds_up_to_the_effect(world):
    """<phi, r> is what is read from the patches, from the class token, and the remainder (Eq. 11)."""
    run, line, _ = world
    stages = line.stages()
    heats = {item.kind: item for item in stages.makers}["heats"]
    worker = heats.build(heats.share(run))
    batch, _ = heats.loader(run).load(heats.shards(run)[0])
    trace = worker.clip.trace(worker.clip.preprocess.normalize(batch.pixels, "cpu"), (0, 1))
    for layer, found in worker.layers.items():
        everyone = torch.arange(worker.clip.neurons)
        patches, effects = found.on_patches(trace).of(1, everyone)
        written = found.of(trace)
        torch.testing.assert_close(effects, written.projections[1], rtol=1e-3, atol=1e-5)
        direct = found.lens.effects(trace)[1]
        own = run.read(line.sources.directions, "directions", filters=[("layer", "==", layer)])
        along = (direct * tensor(own.sort_by("neuron")["direction"])).sum(1)
        active = trace.activations[layer][1, 0] * 0 + 1
        assert patches.shape == (len(active), 4)
        token = found.lens.coefficients(trace)[1]
        whole = (token * found.along_paths).sum(1)
        rest = found.lens.remainders(trace)[1] @ found.along_remainder
        torch.testing.assert_close(whole + rest, along, rtol=1e-3, atol=1e-4)


def test_profiles_are_those_of_the_top_effects(world):
    run, line, _ = world
    stages = line.stages()
    rows = run.read(stages.sources.profiles, "neuron_profiles").to_pylist()
    order = [("layer", "ascending"), ("neuron", "ascending")]
    directions = run.read(line.sources.directions, "directions").sort_by(order).to_pylist()
    rows.sort(key=lambda row: (row["layer"], row["neuron"]))
    for row, own in zip(rows, directions, strict=True):
        assert sum(row["counts"]) == own["count"] == 11
        assert len(row["edges"]) == len(row["counts"]) + 1
        assert row["scree"][0] == pytest.approx(own["explained_variance"], abs=1e-3)
        assert sum(row["scree"]) <= 1 + 1e-5
        assert abs(sum(row["heads"]) - 1) < 0.5  # the remainder has the rest


def test_neighbours_are_the_nearest_of_all_layers(world):
    run, line, _ = world
    order = [("layer", "ascending"), ("neuron", "ascending")]
    own = run.read(line.sources.directions, "directions").sort_by(order)
    directions = tensor(own["direction"]).numpy()
    products = np.abs(directions @ directions.T)
    np.fill_diagonal(products, 0)
    rows = run.read(line.stages().sources.neighbours, "near_neurons").sort_by(
        [*order, ("place", "ascending")]
    )
    found = np.abs(rows["cosine"].to_numpy()).reshape(-1, 2)
    expected = -np.sort(-products, axis=1)[:, :2]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_shown_pictures_are_top_ones_and_those_at_quantiles(world):
    run, line, _ = world
    shown = run.read(line.stages().sources.shown, "shown_pictures").to_pylist()
    norms = run.read("effects", "norms").to_pylist()
    good = [row for row in norms if row["status"] == "ok"]
    own = [row for row in shown if (row["layer"], row["neuron"]) == (1, 5)]
    values = {row["index"]: row["layer_1"][5] for row in good}
    ranked = sorted(values, key=lambda index: -values[index])
    assert [row["index"] for row in own[:3]] == ranked[:3]
    assert own[3]["quantile"] == 0.5
    assert own[3]["index"] == sorted(values, key=lambda index: values[index])[len(values) // 2]


def test_a_run_with_a_sweep_alone_has_a_good_atlas(tmp_path):
    run, recipe = swept(tmp_path, layers=(1,))
    line = atlas_of(run, recipe, tmp_path)
    line.bring(quiet_runner())
    published(run, line, tmp_path / "site")
    found = files(tmp_path / "site")
    page = found[addresses.neuron(1, 5)].decode()
    assert "correlation" not in page
    assert "Classes" not in page
    assert addresses.FRONT in found


def test_two_runs_stand_side_by_side(tmp_path):
    run, recipe = swept(tmp_path, layers=(1,))
    other, _ = swept(tmp_path, layers=(1,), limit=11)
    changes = Comparison.of(Side.of(other), Side.of(run)).short
    line = atlas_of(run, recipe, tmp_path).beside(compared_with(other, changes))
    line.bring(quiet_runner())
    published(run, line, tmp_path / "site")
    found = files(tmp_path / "site")
    front = found[addresses.FRONT].decode()
    assert other.name in front
    furthest = changes.sort_by("cosine")["neuron"][0].as_py()
    assert f"1/{furthest}/index.html" in front
    assert other.name in found[addresses.neuron(1, furthest)].decode()
    assert "cosine" in found[addresses.layer(1)].decode()
    assert broken(tmp_path / "site") == []
    few = atlas_of(run, recipe, tmp_path, chosen=((1, 5),)).beside(line.against)
    (card,), _, _ = gathered(few, few.bring(quiet_runner())[1])
    row = changes.filter(pc.equal(changes["neuron"], 5)).to_pylist()[0]
    assert card.change.cosine == pytest.approx(row["cosine"], abs=1e-6)
    assert card.against.pools[0].words or card.against.pools[0].note
    assert card.against.top
    assert card.against.against is None
    nowhere = NeuronBlock(0, 0, 4)
    beside = BlockReader(other, line.against.sources).rows(nowhere)
    assert beside == [], "of a layer that the other run has not swept"


def test_cards_of_a_few_neurons_are_those_of_the_site(world):
    run, line, folder = world
    recipe = line.sweep.recipe
    few = AtlasLine.of(
        recipe, Store(folder / "store"), run, clip=line.sweep.clip, chosen=((1, 5), (0, 2))
    )
    _, stages = few.bring(quiet_runner())
    cards, site_of, tiles = gathered(few, stages)
    assert [(card.layer, card.neuron) for card in cards] == [(1, 5), (0, 2)]
    assert {shown.picture.tile.path for card in cards for shown in card.top} <= tiles.keys()
    assert cards[0].heads
    assert cards[0].nearest
    assert cards[0].attacks == ()
    assert "Neuron 1:5" in single(cards, site_of, tiles)
    with pytest.raises(ValueError, match="has no neuron 7:0, 1:4000"):
        AtlasLine.of(
            recipe, Store(folder / "store"), run, clip=line.sweep.clip, chosen=((7, 0), (1, 4000))
        )
