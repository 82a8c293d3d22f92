"""What one process of a cluster has decoded, another finds, and the commits say so."""

import io

import pytest

from clipneuron.config.cluster import ClusterOptions
from clipneuron.data.opening import open_collection
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import Runner
from clipneuron.models.clip.preprocessing.preprocess import Preprocess
from clipneuron.readers.cache import PixelCache
from clipneuron.readers.pictures import PictureFeed
from clipneuron.reports.consoles import Console
from clipneuron.store.store import Store
from tests.readers.decoding import Decoding
from tests.samples.world import quiet_runner, write_pictures


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_pixels_kept_here_are_found_by_a_cluster_and_are_the_same(tmp_path):
    collection = open_collection(write_pictures(tmp_path / "pictures"))
    preprocess = Preprocess(size=(8, 8), mean=(0.0,) * 3, std=(1.0,) * 3)
    cache = PixelCache.at(str(tmp_path / "cache"))
    quiet = Console(file=io.StringIO())
    cluster = Runner(RayData(ClusterOptions(actors=1, actor_cpus=1), quiet), console=quiet)
    told = []
    for place, runner in ((None, quiet_runner()), (cache, quiet_runner()), (cache, cluster)):
        stage = Decoding(
            PictureFeed(collection.reader, preprocess, cache=place), collection.listing
        )
        run = Store(tmp_path / f"store-{len(told)}").open_run("decoding", {})
        runner.run_stage(stage, run)
        commits = run.committed("decoding").values()
        cached = sum(commit.usage.cached for commit in commits)
        failed = [failure.image for commit in commits for failure in commit.failures]
        told.append((cached, failed, run.read("decoding", "text_embeddings").to_pydict()))
    plain, kept, found = told
    assert [cached for cached, *_ in told] == [0, 0, 12]
    assert plain[1:] == kept[1:] == found[1:]
    assert plain[1] == ["005.png"]
