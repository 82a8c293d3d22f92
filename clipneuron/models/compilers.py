"""Whether torch's compiler finds what it needs on this machine; looked for without torch."""

import os
import shutil
import sys


def check_compiler() -> None:
    """Raises ValueError where torch's compiler, which looks for $CXX or the platform's, would find no C++ compiler."""
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if not shutil.which(name):
        raise ValueError(
            f"`recipe.compile` takes a C++ compiler, and {name} is not found here: install g++, or name another one by "
            "CXX, here and where workers run; or leave `recipe.compile` out, which is another run"
        )
