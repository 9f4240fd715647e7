"""Compiles the one module in C for a wheel. Without a compiler the wheel is a pure one: Python does the same work."""

import sysconfig
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

MODULE = "_tidewire_send"
ABI = "cp311-abi3"
"""The stable ABI of the oldest Python that we run on, as the source asks for it: one wheel for all later ones."""


class CompiledModule(BuildHookInterface):
    """Puts the module into the wheel itself: an editable one has it as well, and the source folders stay clean."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Compile, and let the wheel's tag say whether that worked."""
        self._folder = TemporaryDirectory(prefix="tidewire-build-")
        library = self._compile(Path(self._folder.name))
        if not library.exists():
            warnings.warn(f"{MODULE} could not be compiled: sending to many will cost more", stacklevel=1)
            return
        for place in ("force_include", "force_include_editable"):
            build_data[place][str(library)] = library.name
        build_data["pure_python"] = False
        build_data["tag"] = f"{ABI}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - as above
        """Remove what the wheel has taken in."""
        self._folder.cleanup()

    def _compile(self, folder: Path) -> Path:
        """Return where the library is, if it could be made; setuptools has said why not."""
        source = Path(self.root, "src", f"{MODULE}.c")
        extension = Extension(MODULE, [str(source)], py_limited_api=True, optional=True)
        command = build_ext(Distribution({"name": MODULE, "ext_modules": [extension]}))
        command.build_lib, command.build_temp = str(folder / "lib"), str(folder / "temp")
        command.ensure_finalized()
        command.run()
        return Path(command.get_ext_fullpath(MODULE))
