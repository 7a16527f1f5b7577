"""Where richd's programs, its C library and its header are.

A wheel has them inside the package; what was installed from source has the package alone, and takes
what `make install` put on the PATH.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from typing import Dict, Optional

PACKAGE = os.path.dirname(os.path.abspath(__file__))


def binary(name: str) -> Optional[str]:
    """The absolute path of a program of richd ("richd", "richctl"), or None where there is none.

    Looked for beside the package, then among the scripts of this Python, then on the PATH. Start
    it with `environment()`.
    """
    places = (os.path.join(PACKAGE, "bin"), sysconfig.get_path("scripts"))
    for path in (os.path.join(place, name) for place in places):
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    found = shutil.which(name)
    return os.path.abspath(found) if found else None


def environment() -> Dict[str, str]:
    """The environment to start `binary("richd")` with: ours, and where program and OpenBLAS lie.

    The program looks for OpenBLAS beside the package, from its own place, which the loader reads
    from /proc. Where /proc is not mounted, the loader takes LD_ORIGIN_PATH for it (ld.so(8)). Pip
    leaves OpenBLAS where it is when an environment below this one has it, or the system for
    `pip install --user`: LD_LIBRARY_PATH names it then.
    """
    own = {"LD_ORIGIN_PATH": os.path.join(PACKAGE, "bin")}
    folder = _openblas_elsewhere()
    if folder:
        path = os.environ.get("LD_LIBRARY_PATH")
        own["LD_LIBRARY_PATH"] = f"{path}:{folder}" if path else folder
    return {**os.environ, **own}


def _openblas_elsewhere() -> Optional[str]:
    """The folder of OpenBLAS's wheel, where this Python has it and not beside the package."""
    if os.path.isdir(os.path.join(os.path.dirname(PACKAGE), "scipy_openblas32")):
        return None
    found = importlib.util.find_spec("scipy_openblas32")
    return os.path.join(os.path.dirname(found.origin), "lib") if found and found.origin else None


def get_include() -> str:
    """The folder of richd.h, for a compiler's -I. Only a wheel has it: FileNotFoundError."""
    return os.path.dirname(_part("include", "richd.h"))


def get_library() -> str:
    """The path of librichd.so, for ctypes and a linker. Only a wheel has it: FileNotFoundError.

    `cc train.c -I INCLUDE LIBRARY -Wl,-rpath,FOLDER`, with FOLDER where LIBRARY is.
    """
    return _part("lib", "librichd.so.0")


def _part(*names: str) -> str:
    path = os.path.join(PACKAGE, *names)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{path} is not there: richd's wheel has it, and this package was installed from "
            "source; `make install` puts richd.h and librichd.so into its PREFIX"
        )
    return path
