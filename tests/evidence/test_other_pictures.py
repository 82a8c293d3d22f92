"""Whether the evaluation's pictures are other ones than D's, by whatever name they are called."""

import pytest

from tests.samples.world import reproduction_of, write_labelled


@pytest.mark.parametrize(
    ("images", "other"),
    [("labelled", False), ("link", False), ("elsewhere", True)],
)
def test_pictures_of_d_are_noticed_under_a_folder_above_and_behind_a_link(tmp_path, images, other):
    write_labelled(tmp_path / "labelled")
    write_labelled(tmp_path / "elsewhere")
    for number, picture in enumerate(sorted((tmp_path / "elsewhere").rglob("*.png"))):
        picture.write_bytes(picture.read_bytes() + bytes([number]))  # another digest
    (tmp_path / "link").symlink_to(tmp_path / "labelled")
    first = sorted(path for path in (tmp_path / "labelled").iterdir() if path.is_dir())[0]
    asked = {"images": str(tmp_path / images)}
    assert reproduction_of(tmp_path, images=str(first), asked=asked).has_other_pictures is other
