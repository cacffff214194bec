"""Chooses the program that serves a local model, and the name that its answers are stored under."""

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from potstill.errors import ConfigError, MissingExtraError, extra
from potstill.keys import settings_hash
from potstill.models.folder_server import VLLM, FolderServer
from potstill.models.settings import LocalSettings, OpenAISettings, VLLMSettings
from potstill.models.vllm.launcher import EXECUTABLE, ServerProgram, arguments, vllm_executable
from potstill.models.vllm.model import NEUTRAL_OPTIONS
from potstill.runtime import Runtime

if TYPE_CHECKING:
    from potstill.models.served.served_model import FolderServerModel


def server_of(settings: LocalSettings) -> FolderServer | None:
    """Returns the program that answers for a model; None where it is asked in this process.

    Raises:
        ConfigError: The program cannot load such a model.
    """
    if settings.serve is None or (settings.serve == "auto" and not shutil.which(EXECUTABLE)):
        return None
    server = settings.serve if isinstance(settings.serve, FolderServer) else FolderServer()
    reason = _unfit(settings, server)
    if reason is None:
        return server
    if settings.serve == "auto":
        return None
    raise ConfigError(
        f"serve is {program_name(server)}, and {settings.model} {reason}. Leave serve out, or set "
        "it to auto."
    )


def _unfit(settings: LocalSettings, server: FolderServer) -> str | None:
    """Returns why a program cannot load a model; None where nothing speaks against it."""
    with extra("local", needed_for="a served student"):
        from potstill.models.local.learned_prefix import PREFIX_FIELD
        from potstill.models.local.loading import load_config
    config = load_config(settings)
    if getattr(config, PREFIX_FIELD, None):
        return "has a learned prefix (train.prefix), which potstill alone loads"
    if server.program == VLLM and config.is_encoder_decoder:
        return "is an encoder-decoder model, which vLLM does not serve"
    return None


def open_served(settings: LocalSettings, runtime: Runtime | None) -> "FolderServerModel | None":
    """Returns a model that is served; None where it is asked in this process."""
    server = server_of(settings)
    if server is None:
        return None
    from potstill.models.served.served_model import FolderServerModel

    return FolderServerModel(settings, server, runtime or Runtime())


def served_name(settings: LocalSettings, name: str) -> str:
    """Returns the name that a served model's answers are stored under.

    It is told from that of the same model in this process, and of another number format.

    Args:
        settings: The model's settings.
        name: Its name in this process.
    """
    server = server_of(settings)
    if server is None:
        return name
    telling = {
        option: value for option, value in server.options.items() if option not in NEUTRAL_OPTIONS
    }
    telling.pop("max-model-len", None)  # what does not fit is an error, and no other answer
    words = [] if server.program == VLLM else [server.program]
    digest = f"#{settings_hash(telling, words)}" if telling or words else ""
    number_format = told_format(settings, server)
    return f"{name}+{program_name(server)}{number_format and f'_{number_format}'}{digest}"


def program_name(server: FolderServer) -> str:
    """Returns a server's program in one word."""
    return Path(shlex.split(server.program)[0]).name


def told_format(settings: LocalSettings, server: FolderServer) -> str:
    """Returns the number format that a server is told to compute in; empty: it is told none.

    Raises:
        ConfigError: vLLM does not compute in it.
    """
    if server.program != VLLM:
        return ""
    if isinstance(told := server.options.get("dtype"), str):
        return told
    if settings.dtype == "float64":
        raise ConfigError(
            f"{settings.model} is to compute in float64, which vLLM does not. Set dtype to "
            "float32, or leave serve out"
        )
    if settings.dtype != "auto":
        return settings.dtype
    import torch

    return "bfloat16" if torch.cuda.is_available() else "float32"


def folder_program(settings: LocalSettings, server: FolderServer) -> ServerProgram:
    """Returns the program that serves a model's folder, or a hub's model by its name."""
    source = settings.source
    asked = OpenAISettings(
        model=f"openai:{source}",
        base_url="http://127.0.0.1/v1",
        api_key_env=None,
        chat=False,
        concurrency=server.concurrency,
        timeout=server.timeout,
        prompt_price=0.0,
        completion_price=0.0,
    )

    def asked_at(port: int) -> OpenAISettings:
        return asked.model_copy(update={"base_url": f"http://127.0.0.1:{port}/v1"})

    if server.program == VLLM:
        options = {"dtype": told_format(settings, server), **server.options}
        if settings.revision is not None:
            options.setdefault("revision", settings.revision)
        vllm = VLLMSettings(model=f"vllm:{source}", chat=False, options=options)
        return ServerProgram(
            name="vLLM",
            model=source,
            label=settings.model,
            command=lambda port: [vllm_executable("serve: vllm"), *arguments(vllm, port)],
            asked=asked_at,
            health=server.health,
            startup_seconds=server.startup_seconds,
        )

    def command(port: int) -> list[str]:
        places = {"folder": source, "port": str(port)}
        first, *others = shlex.split(server.program)
        executable = shutil.which(first)
        if executable is None:
            raise MissingExtraError(
                f"serve names the program {first!r}, which is not on the PATH. Install it, or "
                "leave serve out."
            )
        return [executable, *(_filled(word, places) for word in others)]

    return ServerProgram(
        name=program_name(server),
        model=source,
        label=settings.model,
        command=command,
        asked=asked_at,
        health=server.health,
        startup_seconds=server.startup_seconds,
    )


def _filled(word: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        word = word.replace(f"{{{name}}}", value)
    return word
