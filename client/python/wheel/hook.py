"""Puts what `make wheel` built beside the Python package, in the wheel that hatchling makes.

Without RICHD_PARTS, as in `pip install ./client/python`, the wheel is the package alone.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any, Dict

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Parts(BuildHookInterface):
    """Adds the parts that lie in RICHD_PARTS (client/python/wheel/Makefile)."""

    def initialize(self, version: str, build_data: Dict[str, Any]) -> None:
        """Reads RICHD_PARTS, RICHD_TAG (the wheel's) and RICHD_REQUIRES (one more requirement)."""
        del version  # "standard" or "editable"
        if "RICHD_PARTS" not in os.environ:
            return
        parts = pathlib.Path(os.environ["RICHD_PARTS"])
        licenses = f"richd-{self.metadata.version}.dist-info/licenses"
        build_data["pure_python"] = False
        build_data["tag"] = os.environ["RICHD_TAG"]
        build_data["dependencies"].append(os.environ["RICHD_REQUIRES"])
        build_data["force_include"][str(parts / "package")] = "richd"
        build_data["force_include"][str(parts / "licenses")] = licenses
        for script in (parts / "scripts").iterdir():
            build_data["shared_scripts"][str(script)] = script.name
