"""docs/cluster.md: its policy grants what is used, and its links lead somewhere."""

import json
import re

from tests.deploy.places import ROOT

TEXT = (ROOT / "docs" / "cluster.md").read_text()


def test_the_policy_grants_what_the_store_uses_and_no_more():
    start = TEXT.index('{"Version"')
    policy = json.JSONDecoder().raw_decode(TEXT[start:])[0]
    actions: set[str] = set()
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        named = statement["Action"]
        actions |= {named} if isinstance(named, str) else set(named)
    assert actions == {"s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject"}
    pictures = [s for s in policy["Statement"] if s["Resource"] == "arn:aws:s3:::PICTURES/*"]
    assert [s["Action"] for s in pictures] == ["s3:GetObject"], "pictures are only read"


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
