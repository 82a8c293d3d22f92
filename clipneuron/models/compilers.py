"""Whether torch's compiler finds what it needs on this machine; looked for without torch."""

import os
import shutil
import subprocess
import sys

_LONGEST = 60
"""Seconds that a compiler has for an empty file."""


def check_compiler() -> None:
    """Raises ValueError where torch's compiler, which takes $CXX or the platform's, has no C++ compiler that works."""
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    path = shutil.which(name)
    trouble = _trouble(path) if path else "is not found here"
    if trouble:
        raise ValueError(
            f"`recipe.compile` takes a C++ compiler, and {name} {trouble}: install g++, or name another one by "
            "CXX, here and where workers run; or leave `recipe.compile` out, which is another run"
        )


def _trouble(path: str) -> str:
    """What is wrong with a compiler, by an empty file; "" for nothing."""
    words = [path, "-x", "c++", "-fsyntax-only", "-"]
    try:
        tried = subprocess.run(words, input=b"", capture_output=True, timeout=_LONGEST)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run ({error})"
    if tried.returncode == 0:
        return ""
    said = tried.stderr.decode(errors="replace").strip().splitlines()
    return f"does not compile an empty file ({said[-1] if said else f'exit status {tried.returncode}'})"
