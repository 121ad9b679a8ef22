"""The laws of the house, read from the source: imports go down, listing is light, cards are literals."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each line may import the lines below it; the units of a line may import one another, in one direction.
LAW = [
    {"cli"},
    {"zoo"},  # zoo/__init__.py, the library's face
    {"training", "diagnostics", "callbacks", "engines"},
    {"demo"},
    {"sharding"},
    {"reports"},
    {"evaluation", "converting"},
    {"sampling"},
    {"exporting", "serving"},
    {"registry", "data", "runs", "checkpoints", "schedules", "timetable", "machine", "launching", "workers"},
    {"models"},
    {"base", "stages"},
    {"annealing", "layers", "distributions", "losses", "noise"},
    {"cluster", "errors", "files", "latents", "memory", "plain", "quiet"},
    {"saved_models"},
]
LEVEL = {unit: level for level, units in enumerate(LAW) for unit in units}

# What must not be loaded by a command that only lists or helps.
HEAVY = {
    "keras",
    "matplotlib",
    "pyarrow",
    "ray",
    "scipy",
    "sklearn",
    "tensorflow",
    "tensorflow_datasets",
    "tensorflow_probability",
}
# Methods of the base with a default that a model may replace; their docstrings say so.
REPLACEABLE = {"shared", "begin", "due", "phases", "measure_statistics", "fewest_rows"}


@dataclasses.dataclass(frozen=True)
class Import:
    """`module` imports `target`; `deep` if only where a function runs."""

    module: str
    line: int
    target: str
    deep: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def sources() -> dict[str, Path]:
    """Module name -> file, of all that is installed."""
    found = {}
    for folder, package in [("zoo", "zoo"), ("cli", "zoo.cli"), ("saved_models", "zoo.saved_models")]:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


def imports(module: str, path: Path) -> Iterator[Import]:
    """Every import in the file, wherever it stands; `from a import b` counts as `a.b`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    deep = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            yield Import(module, node.lineno, target, node in deep)


@functools.cache
def all_imports() -> list[Import]:
    return [each for module, path in sources().items() for each in imports(module, path)]


def unit(name: str) -> str:
    """The unit of the law that a module, or a name in one, belongs to."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in LEVEL else parts[0]


def model_names() -> list[str]:
    return sorted(path.stem for path in (ROOT / "zoo/models").glob("*.py") if path.stem != "__init__")


def test_every_module_has_its_place_in_the_law():
    homeless = [module for module in sources() if module != "zoo" and unit(module) == "zoo"]
    assert not homeless, f"give them a line in LAW: {homeless}"


def test_imports_go_down():
    wrong = []
    for each in all_imports():
        if each.target.split(".")[0] != "zoo":
            continue
        importer, imported = unit(each.module), unit(each.target)
        if importer != imported and LEVEL[importer] > LEVEL[imported]:
            wrong.append(str(each))
    assert not wrong, "\n".join(wrong)


def test_units_of_one_line_import_in_one_direction():
    edges = {
        (unit(each.module), unit(each.target)) for each in all_imports() if each.target.startswith("zoo")
    }
    both = {(a, b) for a, b in edges if a < b and (b, a) in edges}
    assert not both


def test_models_do_not_import_one_another():
    modules = {f"zoo.models.{name}" for name in model_names()}
    wrong = [
        str(each)
        for each in all_imports()
        if each.module in modules
        and each.target.startswith("zoo.models")
        and not each.target.startswith(each.module)
    ]
    assert not wrong


def test_nobody_imports_the_commands():
    users = [each for each in all_imports() if unit(each.target) == "cli" and unit(each.module) != "cli"]
    assert not users


def test_top_folders_are_imported_by_their_installed_name():
    """Bare `cli` and `saved_models` would be other module objects."""
    files = [*sources().values(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    wrong = [
        str(each)
        for path in files
        for each in imports(str(path.relative_to(ROOT)), path)
        if each.target.split(".")[0] in {"cli", "saved_models"}
    ]
    assert not wrong


def test_package_files_import_nothing_heavy():
    packages = {module for module, path in sources().items() if path.name == "__init__.py"}
    wrong = [
        str(each) for each in all_imports() if each.module in packages and each.target.split(".")[0] in HEAVY
    ]
    assert not wrong


def test_listing_and_help_load_nothing_heavy():
    """In a process of its own: all packages, the registry's and the data's lists, every command's module."""
    light = [module for module, path in sources().items() if path.name == "__init__.py"]
    light += ["zoo.registry", *(module for module in sources() if module.startswith("zoo.cli."))]
    code = (
        "import importlib, sys\n"
        f"for module in {light}: importlib.import_module(module)\n"
        "import zoo\n"
        "assert zoo.list() and zoo.data.CATALOGUE\n"
        f"print(*sorted({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "", "loaded by listing"


@pytest.mark.parametrize("name", model_names())
def test_card_and_presets_are_literals(name):
    tree = ast.parse((ROOT / f"zoo/models/{name}.py").read_text(encoding="utf-8"))
    values = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    card, presets = (ast.literal_eval(values[key]) for key in ("CARD", "PRESETS"))
    assert card["likelihood"] in {"exact", "bound", "implicit", "none"}
    assert "tiny" in presets
    assert card["default"] in presets


@pytest.fixture(scope="module")
def classes() -> list[type]:
    """Every class that the library defines; the commands hold none that this is about."""
    zoo = importlib.import_module("zoo")
    found = []
    for info in pkgutil.walk_packages(zoo.__path__, "zoo."):
        if unit(info.name) in {"cli", "saved_models"}:
            continue
        module = importlib.import_module(info.name)
        found += [
            each for _, each in inspect.getmembers(module, inspect.isclass) if each.__module__ == info.name
        ]
    return found


def ours(each: type) -> bool:
    return each.__module__.split(".")[0] == "zoo"


@pytest.mark.xdist_group("architecture")
def test_an_implemented_method_is_not_overridden(classes):
    wrong = []
    for each in classes:
        for name, value in vars(each).items():
            if (
                name.startswith("__")
                or name in REPLACEABLE
                or not (inspect.isroutine(value) or isinstance(value, property))
            ):
                continue
            for parent in filter(ours, each.__mro__[1:]):
                theirs = vars(parent).get(name)
                if theirs is not None and not getattr(theirs, "__isabstractmethod__", False):
                    wrong.append(f"{each.__qualname__}.{name} replaces {parent.__qualname__}.{name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.xdist_group("architecture")
def test_models_are_final_and_complete(classes):
    base = importlib.import_module("zoo.base").GenerativeModel
    models = [each for each in classes if issubclass(each, base) and each is not base]
    assert {each.__module__.split(".")[-1] for each in models if not inspect.isabstract(each)} == set(
        model_names()
    )
    for each in models:
        assert inspect.isabstract(each) or getattr(each, "__final__", False), (
            f"{each} is neither abstract nor final"
        )


def test_every_model_has_its_page():
    pages = sorted(path.stem for path in (ROOT / "docs/models").glob("*.md") if path.stem != "index")
    assert pages == model_names()
