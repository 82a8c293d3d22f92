"""What the paper reports (Table 4), to be shown beside other figures and never among them."""

from typing import NamedTuple


class Reported(NamedTuple):
    """Figures of one method, in per cent."""

    pixel_accuracy: float
    miou: float
    map: float


SETTING = "OpenAI's ViT-B-32 on ImageNet-Segmentation"
"""What they are of."""

TABLE_4 = {
    "second-order": Reported(78.1, 59.0, 84.9),
    "textspan": Reported(76.5, 58.1, 84.1),
    "raw-attention": Reported(69.6, 49.8, 80.0),
    "chefer": Reported(68.9, 49.1, 79.7),
    "gradcam": Reported(67.3, 39.3, 61.9),
    "lrp": Reported(62.9, 35.8, 68.5),
    "rollout": Reported(61.8, 42.6, 74.0),
    "partial-lrp": Reported(55.0, 35.5, 66.9),
}
"""Table 4, best first."""
