"""Build step of the wheel: the libraries are compiled into the package. pyproject.toml has the rest."""

import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))

from build_libraries import VARIANTS, BuildError, build, platform_tag


class BuildWithLibraries(build_py):
    """Copies the package, then compiles the libraries beside its modules."""

    def run(self) -> None:
        super().run()
        try:
            build(Path(self.build_lib) / "rerank_kernels")
        except BuildError as error:
            raise SystemExit(f"rerank-fleet-kernels: {error}") from None

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        libraries = [str(Path(self.build_lib) / "rerank_kernels" / variant.file_name) for variant in VARIANTS]
        return [*super().get_outputs(include_bytecode), *libraries]


class LibraryWheel(bdist_wheel):
    """A wheel for one platform and any Python: the libraries know nothing of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        package = Path(self.get_finalized_command("build_py").build_lib) / "rerank_kernels"
        return "py3", "none", platform_tag([package / variant.file_name for variant in VARIANTS])


class LibraryDistribution(Distribution):
    """Installs where packages with compiled parts go."""

    def has_ext_modules(self) -> bool:
        return True


setup(cmdclass={"build_py": BuildWithLibraries, "bdist_wheel": LibraryWheel}, distclass=LibraryDistribution)
