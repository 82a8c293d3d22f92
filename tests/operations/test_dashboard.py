"""The Grafana dashboard asks for the metrics that are recorded, all of them, and docs/usage.md names them."""

import json
import re
from pathlib import Path

from clipneuron.engine.cluster.metrics import COUNTERS, HISTOGRAMS, TAGS

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "clipneuron.json").read_text())
EXPORTED = {f"ray_{name}_total" for name in COUNTERS} | {
    f"ray_{name}{part}" for name in HISTOGRAMS for part in ("_bucket", "_sum", "_count")
}


def queries() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_every_query_is_of_metrics_and_labels_that_there_are():
    for query in queries():
        asked = set(re.findall(r"ray_clipneuron_\w+", query))
        assert asked
        assert asked <= EXPORTED, query
        for group in re.findall(r"by \(([^)]*)\)", query):
            assert {label.strip() for label in group.split(",")} <= {*TAGS, "le"}
        assert query.count("(") == query.count(")")
        assert '{run=~"$run"}' in query


def test_every_metric_is_shown():
    shown = " ".join(queries())
    for name in (*COUNTERS, *HISTOGRAMS):
        assert f"ray_{name}_" in shown, name


def test_panels_have_places_and_numbers_of_their_own():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels)))
    assert used <= names


def test_the_page_names_them_all():
    text = (ROOT / "docs" / "usage.md").read_text()
    for name, about in (COUNTERS | HISTOGRAMS).items():
        assert f"`{name}" in text
        assert about.split(",")[0] in text
