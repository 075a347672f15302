"""tools/bootstrap.py: which Python it takes, when an environment is up to date, and what it says when it cannot."""

import fcntl
import importlib.util
import json
import os
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def bootstrap(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module that works on a copy of the project's declarations, without an environment."""
    for name in ("pyproject.toml", "requirements.txt"):
        (tmp_path / name).write_bytes((project / name).read_bytes())
    (tmp_path / "tools").mkdir()
    script = tmp_path / "tools" / "bootstrap.py"
    script.write_bytes((project / "tools" / "bootstrap.py").read_bytes())
    specification = importlib.util.spec_from_file_location("bootstrap", script)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["bootstrap.py"])
    return module


def _program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def _stand_up(bootstrap: ModuleType) -> None:
    """Makes .venv look whole, as the end of a successful bootstrap does."""
    _program(Path(bootstrap.venv_program("python")), "exit 0")
    bootstrap.write_stamp(None)


def test_a_shim_that_fails_is_passed_over(bootstrap, tmp_path, monkeypatch):
    """A `python3.11` on PATH that cannot run does not hide the working one behind it."""
    _program(tmp_path / "shims" / "python3.11", "exit 127")
    working = _program(tmp_path / "bin" / "python3.11", "echo 3.11.9")
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'bin'}")
    assert bootstrap.find_python(None) == str(working)


def test_the_environment_is_never_made_from_itself(bootstrap, monkeypatch):
    """A Python in .venv is not chosen, even when it stands first on PATH: making the environment removes it."""
    own = _program(Path(bootstrap.venv_program("python3.11")), "echo 3.11.9")
    monkeypatch.setenv("PATH", str(own.parent))
    assert bootstrap.find_python(None) == sys.executable


def test_a_wrong_python_is_one_clear_line(bootstrap, tmp_path, monkeypatch, capsys):
    """Asked for Python 3.13, it says which versions work and which was found, and exits with 1."""
    python = _program(tmp_path / "bin" / "python3.13", "echo 3.13.0")
    monkeypatch.setattr(sys, "argv", ["bootstrap.py", "--python", str(python)])
    assert bootstrap.main() == 1
    message = capsys.readouterr().err
    assert message.startswith("error: Python 3.11 or 3.12 ")
    assert f"{python} is 3.13.0" in message
    assert message.count("\n") == 1
    assert not Path(bootstrap.VENV).exists()


def test_a_full_disk_is_one_clear_line(bootstrap, monkeypatch, capsys):
    """With less room than the environment needs, it says how much and touches nothing."""
    monkeypatch.setattr(bootstrap, "NEEDED_BYTES", 10**18)
    assert bootstrap.main() == 1
    message = capsys.readouterr().err
    assert message.startswith("error: the environment needs about ")
    assert message.count("\n") == 1
    assert not Path(bootstrap.VENV).exists()


def test_a_registry_out_of_reach_is_one_clear_line(bootstrap, monkeypatch, capsys):
    """Where no index answers, it says so instead of pip's pages, and leaves no environment that counts as whole."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    assert bootstrap.main() == 1
    message = capsys.readouterr().err
    assert message.startswith("error: no package registry answers.")
    assert message.count("\n") == 1
    assert bootstrap.read_stamp() is None


def test_a_whole_environment_is_left_alone(bootstrap, capsys):
    """With a fitting stamp nothing is done and nothing is said."""
    _stand_up(bootstrap)
    assert bootstrap.main() == 0
    assert capsys.readouterr().out == ""


def test_two_calls_do_not_make_it_twice(bootstrap, capsys):
    """A second call waits for the one that is at work, and then finds nothing left to do."""
    with Path(bootstrap.__file__).open() as script:
        fcntl.flock(script, fcntl.LOCK_EX)
        second = threading.Thread(target=bootstrap.main)
        second.start()
        second.join(0.5)
        assert second.is_alive()
        _stand_up(bootstrap)
    second.join(10)
    assert not second.is_alive()
    assert capsys.readouterr().out == "environment: another command is making .venv; waiting for it\n"


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_a_changed_dependency_makes_it_stale(bootstrap, tmp_path, name):
    """A new pin, or a new dependency in pyproject.toml, asks for an update."""
    _stand_up(bootstrap)
    path = tmp_path / name
    path.write_text("# new\n" + path.read_text())
    assert not bootstrap.is_up_to_date(None)


def test_a_changed_tool_setting_does_not(bootstrap, tmp_path):
    """A new setting of a tool in pyproject.toml needs no new environment."""
    _stand_up(bootstrap)
    path = tmp_path / "pyproject.toml"
    path.write_text(path.read_text() + "\n[tool.other]\nkey = 1\n")
    assert bootstrap.is_up_to_date(None)


def test_another_python_or_place_makes_it_stale(bootstrap):
    """An environment of another Python than the one asked for, or copied from elsewhere, is made again."""
    _stand_up(bootstrap)
    assert not bootstrap.is_up_to_date("python3.12")
    stamp = json.loads(Path(bootstrap.STAMP).read_text())
    Path(bootstrap.STAMP).write_text(json.dumps({**stamp, "folder": "/elsewhere/.venv"}))
    assert not bootstrap.is_up_to_date(None)


def test_a_half_made_environment_does_not_count(bootstrap):
    """Without its stamp, which is written last, .venv is taken for half made."""
    _stand_up(bootstrap)
    Path(bootstrap.STAMP).unlink()
    assert bootstrap.read_stamp() is None


def test_pip_settings_are_handed_to_uv(bootstrap, tmp_path, monkeypatch):
    """Index, certificate and existing find-links folders of pip reach uv; a folder that is not there does not."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        f"[global]\nindex-url = http://index.example/simple\nfind-links = {wheels}\n    {tmp_path / 'gone'}\n"
        "extra-index-url = http://one.example/simple http://two.example/simple\ncert = /certificates.pem\n"
    )
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "SSL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("PIP_FIND_LINKS", "http://wheels.example/")
    environment = bootstrap.uv_environment(sys.executable)
    assert set(environment["UV_FIND_LINKS"].split(",")) >= {str(wheels), "http://wheels.example/"}
    assert str(tmp_path / "gone") not in environment["UV_FIND_LINKS"]
    assert environment["UV_DEFAULT_INDEX"] == "http://index.example/simple"
    assert environment["UV_INDEX"].split()[-2:] == ["http://one.example/simple", "http://two.example/simple"]
    assert environment["SSL_CERT_FILE"] == "/certificates.pem"


def test_uv_settings_of_the_user_win(bootstrap, monkeypatch):
    """What the user has set for uv is not overwritten."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://mine.example/simple")
    monkeypatch.setenv("PIP_INDEX_URL", "http://other.example/simple")
    assert bootstrap.uv_environment(sys.executable)["UV_DEFAULT_INDEX"] == "http://mine.example/simple"


def test_the_pins_hold_for_any_build_of_torch(project: Path):
    """requirements.txt pins each package exactly, torch without a local version, and names no folder or index."""
    lines = [line for line in (project / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 and not line.startswith("-") for line in lines)
    assert not any("+" in line or "/" in line for line in lines)
    assert {line.split("==")[0] for line in lines} >= {"torch", "torchvision", "dvc", "mlflow", "prefect", "bentoml"}
