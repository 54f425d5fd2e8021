"""LiteLLM's proxy, in an environment of its own: its pins are not those of this project."""

import json
import subprocess
import sys
from pathlib import Path

VERSION = "1.108.7"
"""The newest whose every requirement could be had when this was written."""

NAME = f"LiteLLM {VERSION}"

MODEL = "qwen-plus"

SETTINGS = (
    "LITELLM_MODE=PRODUCTION",
    "LITELLM_LOG=ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP=True",  # Else it asks the network for prices.
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY=true",  # No keys to check, as with us.
)

_ENVIRONMENT = Path(__file__).parents[1] / ".tools" / "litellm"


def installed() -> Path:
    """Its program, installed first where it is missing.

    Raises:
        CalledProcessError: it could not be installed.
    """
    program = _ENVIRONMENT / "bin" / "litellm"
    if not program.exists():
        uv = (sys.executable, "-m", "uv")
        subprocess.run(
            [*uv, "venv", "--clear", "--python", sys.executable, _ENVIRONMENT], check=True
        )
        python = _ENVIRONMENT / "bin" / "python"
        requirement = f"litellm[proxy]=={VERSION}"
        # Its source takes half a minute of a core to compile.
        pip = (*uv, "pip", "install", "--compile-bytecode", "--python", python)
        subprocess.run([*pip, requirement], check=True)
    return program


def command(directory: Path, port: int, upstream: int) -> list[str]:
    """What runs it with one worker, its configuration in a directory, before an upstream's port."""
    parameters = {
        "model": f"openai/{MODEL}",
        "api_base": f"http://127.0.0.1:{upstream}/v1",
        "api_key": "none",
    }
    config = directory / "litellm.yaml"
    models = [{"model_name": MODEL, "litellm_params": parameters}]
    config.write_text(json.dumps({"model_list": models}))  # JSON is YAML.
    return [
        *("env", *SETTINGS, str(installed()), "--config", str(config), "--num_workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"),
    ]
