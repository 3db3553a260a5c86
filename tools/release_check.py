"""Builds the wheel and the sdist, and tries the wheel alone in an empty environment of each Python.

``make release-check``. Pythons that are not on this machine are named and left out.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
VERSIONS = ("3.11", "3.12", "3.13")
_TIMEOUT = 300.0
_PHOTO = "from PIL import Image; Image.effect_noise((640, 480), 60).save('photo.jpg')"


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def run(self, *command: str | Path, cwd: Path, **environ: str) -> str:
        """Run one of its programs with nothing else around and return its output. Raises CalledProcessError."""
        program, *args = map(str, command)
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
        return _run(str(self.folder / "bin" / program), *args, cwd=cwd, env={**kept, **environ})


def build(project: Path, into: Path, *targets: str) -> list[Path]:
    """Build a project's distributions, ``wheel`` or ``sdist``, and return their files in this order."""
    built: list[Path] = []
    for target in targets:
        folder = into / target
        _run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder), cwd=project)
        built += folder.iterdir()
    return built


def create(python: str, folder: Path) -> Environment:
    """Make an empty environment: not even pip is in it."""
    _run(python, "-m", "venv", "--without-pip", "--clear", str(folder), cwd=folder.parent)
    return Environment(folder)


def install(environment: Environment, wheel: Path, *options: str) -> None:
    """Install a wheel with this process's pip, from where that gets its packages."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", environment.python]
    _run(*pip, "install", "--quiet", "--no-compile", *options, str(wheel), cwd=wheel.parent)


def try_out(environment: Environment, folder: Path) -> dict[str, Any]:
    """Have the installed program resize a picture, and return the job."""
    settings = {"CL_SERVER_DIR": str(folder / "server"), "BROADCAST_TYPE": "noop"}
    environment.run("python", "-c", _PHOTO, cwd=folder)
    size = ("--width", "80", "--height", "60")
    environment.run("clworker", "jobs", "submit", "image_resize", "photo.jpg", *size, cwd=folder, **settings)
    job: dict[str, Any] = json.loads(environment.run("clworker", "once", "-f", "json", cwd=folder, **settings))
    return job


def main() -> int:
    """Say of each Python how it went; 1 when one failed or none was there."""
    codes = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel, sdist = build(ROOT, folder, "wheel", "sdist")
        print(f"built {wheel.name} and {sdist.name}")
        for version in VERSIONS:
            python = _find(version)
            if python is None:
                print(f"Python {version}: not on this machine")
                continue
            place = folder / version
            place.mkdir()
            environment = create(python, place / "venv")
            install(environment, wheel)
            job = try_out(environment, place)
            shown = environment.run("python", "--version", cwd=place).strip()
            print(f"{shown}: a job {job['status']} in {job['seconds']} s")
            codes.append(job["status"] != "completed")
    return int(any(codes) or not codes)


def _find(version: str) -> str | None:
    """Return a Python of this version: one of pyenv's, whose shims on the path may refuse to work, or the path's."""
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return str(pyenv[-1]) if pyenv else shutil.which(f"python{version}")


def _run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=_TIMEOUT)
    if done.returncode != 0:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        done.check_returncode()
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
