"""What setup.cfg requires is what is imported, and each floor is a version that `.ci/run` can install."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fresh_process import run

from minadder import doctor

ROOT = Path(__file__).parents[1]

PACKAGES = {"sklearn": "scikit-learn", "PIL": "pillow", "llvmlite": "numba"}
"""Modules whose package has another name. Numba installs the one version of llvmlite that it goes with."""

PART_OF_A_NOTEBOOK = {"IPython"}
"""Imported where it has been imported already: in the process of a notebook."""

WITHOUT_OPTIONAL = """
import pkgutil, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "mlxtend", "pandas", "pytest", "hypothesis"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())  # and not None in sys.modules, which SciPy takes for a module

import minadder
for module in pkgutil.walk_packages(minadder.__path__, "minadder."):
    if not module.name.endswith("__main__") and module.name != "minadder.testing":
        __import__(module.name)

for use in (minadder.data.mnist5k, lambda: __import__("minadder.testing")):
    try:
        use()
    except ImportError as error:
        print(error)
"""


def requirements(section: str, option: str) -> list[str]:
    """Return the lines of one list of requirements."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config[section][option].split()


def names(*lists: list[str]) -> set[str]:
    """Return the packages that lists of requirements name."""
    return {line.partition(">=")[0] for lines in lists for line in lines}


REQUIRED = requirements("options", "install_requires")
EXTRAS = {extra: requirements("options.extras_require", extra) for extra in ("mnist5k", "torch", "test")}


def imported(folder: str) -> Iterator[str]:
    """Yield the packages that the files of a folder import, those of Python and of the project left out."""
    own = {"minadder", *(path.stem for path in (ROOT / folder).rglob("*.py"))}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module]
            for module in {name.partition(".")[0] for name in modules} - own - sys.stdlib_module_names:
                yield PACKAGES.get(module, module)


@pytest.mark.parametrize("requirement", [*REQUIRED, *(line for extra in EXTRAS.values() for line in extra)])
def test_a_requirement_is_a_name_and_a_floor(requirement: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", requirement)


def test_what_the_library_imports_is_required() -> None:
    library = set(imported("minadder"))
    assert names(REQUIRED) <= library
    optional = names(EXTRAS["mnist5k"], EXTRAS["torch"]) | {"hypothesis"}  # for minadder.testing alone
    assert library <= names(REQUIRED) | optional | PART_OF_A_NOTEBOOK


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_what_tests_and_benchmarks_import_is_required(folder: str) -> None:
    assert set(imported(folder)) <= names(REQUIRED, *EXTRAS.values())


def test_the_doctor_looks_at_all_that_is_required() -> None:
    assert {*doctor.REQUIRED.values(), "numpy", "numba"} == names(REQUIRED)
    assert set(doctor.OPTIONAL) == names(EXTRAS["mnist5k"], EXTRAS["torch"])


def test_nothing_optional_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    result = run(WITHOUT_OPTIONAL, tmp_path)
    assert result.stderr == ""
    assert 'pip install "minadder[mnist5k]"' in result.stdout
    assert 'minadder.testing needs hypothesis: pip install "minadder[test]"' in result.stdout
