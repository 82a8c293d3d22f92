"""Which text-to-image model a name stands for; none is loaded before it is first asked."""

from typing import Any

from clipneuron.demo.painter import ScenePainter
from clipneuron.models.painting.painter import Painter


def painter_of(name: str, batch_size: int, offload: bool, field: str) -> Painter:
    """The painter that the option `field` names: deepfloyd, flux, demo, a pipeline of the hub or of a folder.

    It is given `batch_size` orders at once; `offload` saves GPU memory.
    """
    if name == "demo":
        return ScenePainter()
    from clipneuron.models.painting.diffusion import DEEPFLOYD, FLUX, DiffusersPainter
    from clipneuron.models.painting.pipelines import PipelineSource

    options: dict[str, Any] = {"batch_size": batch_size, "offload": offload, "field": field}
    if name == "deepfloyd":
        return DiffusersPainter(*DEEPFLOYD, **options)
    return DiffusersPainter(FLUX if name == "flux" else PipelineSource(model=name), **options)
