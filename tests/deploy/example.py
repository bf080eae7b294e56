"""The files of `examples/deploy`, and the page that explains them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "deploy"
PAGE = (ROOT / "docs" / "howto" / "deploy.md").read_text()


def services() -> dict[str, Any]:
    """Return the services of the Compose file."""
    import yaml  # noqa: PLC0415  # only where it is used

    services: dict[str, Any] = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())["services"]
    return services


def commands() -> dict[str, str]:
    """Return the command of each service that has one."""
    return {
        name: service["command"] for name, service in services().items() if "command" in service
    }


def variables(path: Path) -> dict[str, str]:
    """Return the variables of a file as `EnvironmentFile` and `env_file` take it."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines())
