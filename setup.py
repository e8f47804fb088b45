"""Build the compiled parts where there is a C compiler; without one hftcap installs all the same."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

PYTHON_3_11 = "0x030B0000"


def extension(package: str) -> Extension:
    """Return what is compiled of a package: _native.pyx and what it includes from native/."""
    folder = Path("hftcap", package)
    return Extension(
        f"hftcap.{package}._native",
        [str(folder / "_native.pyx")],
        include_dirs=[str(folder / "native")],
        depends=sorted(str(header) for header in (folder / "native").glob("*.h")),
        define_macros=[("Py_LIMITED_API", PYTHON_3_11)],
        py_limited_api=True,
    )


built = cythonize([extension("capture"), extension("kernel")], build_dir="build/cython", language_level=3)
for each in built:
    each.optional = True  # set here, because cythonize() drops it

setup(ext_modules=built, options={"bdist_wheel": {"py_limited_api": "cp311"}})
