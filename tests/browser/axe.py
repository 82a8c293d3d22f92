"""axe-core, which finds what keeps people with disabilities out of a page; fetched when a test asks, and not kept."""

import json
import subprocess
from pathlib import Path

from tests.browser.chromium import Page

PACKAGE = "axe-core@4.14.1"
_SERIOUS = ("serious", "critical")


def script(folder: Path) -> str:
    """The script, by npm into an empty folder; raises OSError or SubprocessError where npm does not get it."""
    fetch = ["npm", "pack", PACKAGE, "--silent", f"--cache={folder / 'cache'}"]
    subprocess.run(fetch, cwd=folder, check=True, timeout=60, capture_output=True)
    (archive,) = folder.glob("*.tgz")
    subprocess.run(["tar", "xzf", archive.name], cwd=folder, check=True)
    return (folder / "package" / "axe.min.js").read_text("utf-8")


def findings(page: Page, source: str, rules: list[str] | None = None) -> list[tuple[str, str]]:
    """The serious findings in a page by some rules, or by all: the rule's name and the first element's HTML."""
    options = {"preload": False} | ({"runOnly": rules} if rules else {})
    page.value(f"{source}; 0")
    told = page.value(
        f"axe.run({json.dumps(options)})"
        ".then(r => r.violations.map(v => [v.impact, v.id, v.nodes[0].html]))"
    )
    return [(rule, html) for impact, rule, html in told if impact in _SERIOUS]
