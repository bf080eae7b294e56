"""A virtual environment for each package that django-offload is compared with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".bench"
DISTRIBUTIONS = {"offload": "django-offload", "celery-django": "celery"}
"""Those of packages with another name."""


def environment(package: str) -> Path:
    """Return the environment's `bin`, after creating it or installing changed requirements."""
    if package == "offload":
        return Path(sys.executable).parent
    folder = FOLDER / package
    requirements = ROOT / "requirements" / f"bench-{package}.txt"
    stamp = folder / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        print(f"Installing requirements/{requirements.name}", flush=True)
        subprocess.run(
            [sys.executable, "-m", "venv", "--clear", "--without-pip", folder], check=True
        )
        pip = [sys.executable, "-m", "pip", "--python", folder, "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "-qq", "--require-hashes", "-r", requirements], check=True)
        stamp.write_text(requirements.read_text())
    return folder / "bin"


def version(package: str, distribution: str = "") -> str:
    """Return the installed version of a package, or of another distribution beside it."""
    name = distribution or DISTRIBUTIONS.get(package, package)
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    python = environment(package) / "python"
    return subprocess.run(
        [python, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
