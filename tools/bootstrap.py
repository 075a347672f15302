#!/usr/bin/env python3
"""Makes `.venv`, the environment that all targets of the Makefile use; does nothing where it already stands.

Runs under any Python 3 and needs nothing but its standard library. The packages are those of requirements.txt; uv
installs them where the registry has it, else pip. pip's own settings (index, certificate, find-links) hold for uv too,
so that a machine whose pip offers the small CPU build of torch gets that one.

A stamp, written last, says what the environment was made from: without it the folder is half made and is made again.
"""

import argparse
import ast
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, "captiongen.json")
REQUIREMENTS = os.path.join(ROOT, "requirements.txt")

SUPPORTED = ("3.11", "3.12")
UV = "uv>=0.8,<1"  # a tool of this file alone, so not in requirements.txt
NEEDED_BYTES = 4 * 1000**3
FULL_DISK_BYTES = 200 * 1000**2
# What pip prints when no registry answers, as against one that answers without the package.
UNREACHABLE = ("connection broken", "ConnectionPool", "Temporary failure", "SSLError", "ProxyError", "timed out")


class BootstrapError(Exception):
    """Something that the user can mend; its message is the one line that is printed."""


def main():
    """Makes the environment; returns the exit code."""
    parser = argparse.ArgumentParser(description="Makes .venv, or does nothing where it already stands.")
    parser.add_argument("--python", help="the Python to use, 3.11 or 3.12 (default: the first that works)")
    arguments = parser.parse_args()
    try:
        if not is_up_to_date(arguments.python):
            with alone():
                if not is_up_to_date(arguments.python):  # another process may have made it meanwhile
                    make_environment(arguments.python)
    except BootstrapError as problem:
        sys.stderr.write("error: %s\n" % problem)
        return 1
    except OSError as error:
        full = error.errno == errno.ENOSPC
        sys.stderr.write("error: %s\n" % (no_space() if full else "the environment could not be made: %s" % error))
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("error: stopped; the next call starts the environment afresh.\n")
        return 130
    return 0


@contextlib.contextmanager
def alone():
    """Keeps a second call from removing what the first one is making; the lock is on this very file."""
    with open(os.path.abspath(__file__)) as own:
        try:
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another command is making .venv; waiting for it")
            fcntl.flock(own, fcntl.LOCK_EX)
        yield


def make_environment(chosen):
    """Makes or updates .venv.

    Raises:
        BootstrapError: no fitting Python, no disk space, no registry, or the packages do not install.
    """
    start = time.monotonic()
    stamp = read_stamp()
    if not stamp or stamp["folder"] != VENV or (chosen and stamp["chosen"] != chosen):
        python = find_python(chosen)
        free = shutil.disk_usage(ROOT).free
        if free < NEEDED_BYTES:
            raise BootstrapError(no_space(free))
        say("making .venv with %s" % python)
        if os.path.isdir(VENV):
            shutil.rmtree(VENV)
        run_quietly([python, "-m", "venv", VENV], "%s could not make a virtual environment" % python)
    else:
        say("requirements.txt or pyproject.toml changed: updating .venv")
        os.remove(STAMP)  # from here on it is half made
    install_packages()
    write_stamp(chosen)
    say("ready in %.0f s" % (time.monotonic() - start))


def find_python(chosen):
    """Returns the first Python that runs, has a supported version, and can make environments.

    A name on PATH may be a shim that fails when run, so each one is run.

    Raises:
        BootstrapError: there is none.
    """
    names = [chosen] if chosen else ["python3.11", sys.executable, "python3.12", "python3"]
    seen = []
    for name in names:
        for path in paths_of(name):
            version = version_of(path)
            if version and version.rsplit(".", 1)[0] in SUPPORTED:
                return path
            if version:
                seen.append("%s is %s" % (path, version))
    seen = sorted(set(seen))
    found = "found: " + ", ".join(seen) if seen else "found none that runs"
    raise BootstrapError(
        "Python 3.11 or 3.12 with its venv module is needed; %s. Install one (Debian: python3.11 and python3.11-venv), "
        "or name it: make PYTHON=/path/to/python3.11 ..." % found
    )


def paths_of(name):
    """Returns every place where PATH has `name`, but for .venv, which is about to go; a path stands for itself."""
    folders = [""] if os.path.dirname(name) else os.environ.get("PATH", "").split(os.pathsep)
    paths = [os.path.join(folder, name) for folder in folders]
    return [path for path in paths if os.access(path, os.X_OK) and not path.startswith(VENV + os.sep)]


def version_of(python):
    """Returns the version of a Python, such as 3.11.7, or "" where it does not run or cannot make environments."""
    probe = "import sys, venv, ensurepip; print('%d.%d.%d' % sys.version_info[:3])"
    try:
        process = subprocess.run(
            [python, "-c", probe], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.decode().strip() if process.returncode == 0 else ""


def install_packages():
    """Installs requirements.txt and the project itself, editable.

    Raises:
        BootstrapError: no registry answers, or the packages do not install.
    """
    python = venv_program("python")
    wanted = ["-r", REQUIREMENTS, "-e", ROOT + "[dev]"]
    if install_uv(python):
        say("installing the packages of requirements.txt with uv")
        if run_uv(["pip", "install", "--python", python, *wanted], uv_environment(python)) == 0:
            return
        say("uv did not manage; trying again with pip")
    else:
        say("installing the packages of requirements.txt with pip (the registry has no uv); this takes some minutes")
    check_space_left()
    if subprocess.call([python, "-m", "pip", "install", "--progress-bar", "off", *wanted], cwd=ROOT) != 0:
        check_space_left()
        raise BootstrapError("the packages of requirements.txt do not install; the installer's message stands above.")


def install_uv(python):
    """Installs uv into .venv; returns whether the registry has it.

    Raises:
        BootstrapError: no registry answers.
    """
    command = [python, "-m", "pip", "install", "-q", "--retries", "1", "--timeout", "20", UV]
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    output = process.stdout.decode(errors="replace")
    if process.returncode != 0:
        check_space_left()
        if any(word in output for word in UNREACHABLE):
            raise BootstrapError(
                "no package registry answers. Check the network, or pip's index settings (`pip config list`), "
                "and run the command again."
            )
    return process.returncode == 0


def run_uv(arguments, environment):
    """Runs uv and returns its exit code; shows what it prints, less the list of 300 packages."""
    command = [venv_program("uv"), *arguments]
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE)
    for line in process.stderr:
        if not line.startswith(b" + "):
            sys.stdout.write(line.decode(errors="replace"))
            sys.stdout.flush()
    return process.wait()


def uv_environment(python):
    """Returns the environment for uv: it ignores pip's settings, so they are translated; its own settings win."""
    settings = pip_settings(python)
    environment = dict(os.environ)
    environment.pop("VIRTUAL_ENV", None)
    translated = {
        # uv stops at a folder that does not exist, pip passes over it.
        "UV_FIND_LINKS": ",".join(link for link in settings.get("find-links", []) if "://" in link or exists(link)),
        "UV_DEFAULT_INDEX": " ".join(settings.get("index-url", [])[-1:]),
        "UV_INDEX": " ".join(settings.get("extra-index-url", [])),
        "UV_NO_INDEX": "1" if settings.get("no-index", ["0"])[-1].lower() in ("1", "true", "yes") else "",
        # As pip does it: of all indexes the best version, not the first index that knows the name.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": (settings.get("cert", []) or [""])[-1],
        # Registries behind a slow mirror need more than uv's 30 s.
        "UV_HTTP_TIMEOUT": "180",
    }
    for name, value in translated.items():
        if value:
            environment.setdefault(name, value)
    return environment


def pip_settings(python):
    """Returns pip's settings from its files and from the environment: name -> values, the most specific last."""
    process = subprocess.run(
        [python, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    settings = {}
    lines = process.stdout.decode(errors="replace").splitlines()
    for line in sorted(lines, key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        try:
            words = str(ast.literal_eval(value)).split()
        except (SyntaxError, ValueError):
            continue
        known = settings.setdefault(name.rsplit(".", 1)[-1], [])
        known.extend(word for word in words if word not in known)
    return settings


def exists(link):
    """Returns whether a find-links folder or file is there."""
    return os.path.exists(os.path.expanduser(link))


def is_up_to_date(chosen):
    """Returns whether .venv stands and was made from what the project asks for now."""
    stamp = read_stamp()
    return bool(stamp) and stamp == make_stamp(stamp["chosen"] if chosen is None else chosen)


def make_stamp(chosen):
    """Returns what an environment is made from; it must be made again or updated when this changes."""
    with open(os.path.join(ROOT, "pyproject.toml")) as file:
        project = file.read().split("\n[tool.", 1)[0]  # the dependencies, without the tools' settings
    with open(REQUIREMENTS) as file:
        packages = file.read()
    return {
        "folder": VENV,  # scripts in it carry this path: a moved or copied project needs a new one
        "chosen": chosen,
        "sha256": hashlib.sha256((project + packages).encode()).hexdigest(),
    }


def read_stamp():
    """Returns the stamp of a whole .venv whose Python is still there, else None."""
    try:
        with open(STAMP) as file:
            stamp = json.load(file)
    except (OSError, ValueError):
        return None
    is_whole = set(stamp) == {"folder", "chosen", "sha256"} and os.path.exists(venv_program("python"))
    return stamp if is_whole else None


def write_stamp(chosen):
    """Writes the stamp in one step."""
    with open(STAMP + ".part", "w") as file:
        json.dump(make_stamp(chosen), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(STAMP + ".part", STAMP)


def venv_program(name):
    """Returns the path of a program in .venv."""
    return os.path.join(VENV, "bin", name)


def check_space_left():
    """Raises a BootstrapError where the disk has run full."""
    free = shutil.disk_usage(ROOT).free
    if free < FULL_DISK_BYTES:
        raise BootstrapError(no_space(free))


def no_space(free=0):
    """Returns the message about a full disk; `free` in bytes."""
    message = (
        "the environment needs about %.0f GB of disk, %.1f GB are free in %s. Make room and run the command again."
    )
    return message % (NEEDED_BYTES / 1e9, free / 1e9, ROOT)


def run_quietly(command, problem):
    """Runs a command; its last line of output explains a failure."""
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if process.returncode != 0:
        lines = process.stdout.decode(errors="replace").strip().splitlines()
        raise BootstrapError("%s: %s" % (problem, lines[-1] if lines else "no message"))


def say(message):
    """Prints a line of progress."""
    sys.stdout.write("environment: %s\n" % message)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
