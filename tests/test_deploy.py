"""The container files: what they promise about users, secrets, versions and contents."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from bot.cli import app
from bot.settings import SECRETS, Settings, load

ROOT = Path(__file__).parents[1]
SETTINGS = {name.upper() for name in Settings.model_fields}
PATCH_VERSION = re.compile(r"[a-z/]+:\d+\.\d+(\.\d+)?-[a-z-]+(@sha256:[0-9a-f]{64})?")
# A value that Compose takes from .env, and that is empty where .env has none.
FROM_DOTENV = re.compile(r"\$\{\w+:-\}")


def dockerfile() -> Iterator[tuple[str, str]]:
    """Each instruction and what follows it, its lines joined."""
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        instruction, rest = line.split(maxsplit=1)
        yield instruction, " ".join(rest.split())


def last(instruction: str) -> str:
    return [rest for found, rest in dockerfile() if found == instruction][-1]


def copied() -> set[str]:
    """What the image takes from this folder."""
    copies = [rest.split() for found, rest in dockerfile() if found == "COPY"]
    return {name for words in copies if not words[0].startswith("--from") for name in words[:-1]}


def let_in() -> set[str]:
    """What .dockerignore lets into the build."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return {line.removeprefix("!") for line in lines if line.startswith("!")}


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
    return loaded


SERVICES: dict[str, dict[str, Any]] = compose()["services"]
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


# -- the image ---------------------------------------------------------------------------


def test_the_image_runs_as_a_user_without_privileges() -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", last("USER"))


def test_the_image_starts_and_is_checked_by_commands_that_exist() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    commands = typer.main.get_command(app).commands
    (program,) = json.loads(last("ENTRYPOINT"))
    (start,) = json.loads(last("CMD"))
    check = json.loads(last("HEALTHCHECK").partition("CMD ")[2])

    assert program in scripts
    assert start in commands
    assert check[0] in scripts
    assert check[1] in commands


def test_both_stages_stand_on_one_pinned_interpreter() -> None:
    stages = [rest for found, rest in dockerfile() if found == "FROM"]
    name, _, base = last("ARG").partition("=")

    assert stages == [f"${{{name}}} AS build", f"${{{name}}}"]
    assert PATCH_VERSION.fullmatch(base)
    assert base.count(".") == 2


def test_only_locked_requirements_are_installed() -> None:
    installs = [rest for found, rest in dockerfile() if "pip install" in rest]

    assert "--require-hashes" in installs[0]
    assert "--requirement deploy/requirements.txt" in installs[0]
    assert all("--no-deps" in rest for rest in installs[1:])


def test_the_image_takes_all_that_the_program_is_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    parts = {*wheel["packages"], *wheel["force-include"]}
    about = {project["project"]["readme"], *project["project"]["license-files"]}

    assert copied() == parts | about | {
        "pyproject.toml",
        "countersign.toml",
        "deploy/requirements.txt",
    }
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_the_build_is_given_nothing_that_the_image_does_not_take() -> None:
    first = next(
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    )

    assert first == "*"
    assert let_in() == copied()
    assert not let_in() & {".env", ".git", "data"}


def test_no_secret_is_built_in() -> None:
    told = " ".join(rest for found, rest in dockerfile() if found in ("ARG", "ENV", "LABEL"))

    assert [name for name in SECRETS if name.upper() in told] == []


# -- the services ------------------------------------------------------------------------


@each_service
def test_a_service_runs_as_an_unprivileged_user_in_a_read_only_container(
    service: dict[str, Any],
) -> None:
    assert service.get("user", "desk") not in ("root", "0", 0)
    assert "user" in service or service["build"] == "."
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid"} & service.keys()


@each_service
def test_a_service_says_whether_it_is_well(service: dict[str, Any]) -> None:
    assert "healthcheck" in service or service["build"] == "."
    assert "disable" not in service.get("healthcheck", {})


@each_service
def test_a_service_is_built_here_or_pinned(service: dict[str, Any]) -> None:
    assert ("image" in service) != ("build" in service)
    if "image" in service:
        assert PATCH_VERSION.fullmatch(service["image"])


@each_service
def test_a_service_comes_back_ends_in_order_and_fills_no_disk(service: dict[str, Any]) -> None:
    assert service["restart"] == "unless-stopped"
    assert service["init"] is True
    assert int(service["stop_grace_period"].removesuffix("s")) >= 30
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@each_service
def test_a_service_is_reached_from_nowhere_else(service: dict[str, Any]) -> None:
    assert "ports" not in service


@each_service
def test_a_service_is_told_secrets_by_dotenv_only(service: dict[str, Any]) -> None:
    secret = re.compile("PASSWORD|TOKEN|KEY|URL")
    written = {
        name: value
        for name, value in service.get("environment", {}).items()
        if secret.search(name) and not FROM_DOTENV.fullmatch(value)
    }
    assert written == {}


def test_one_service_alone_reads_the_tokens() -> None:
    readers = [name for name, service in SERVICES.items() if "env_file" in service]

    assert readers == ["desk"]
    assert SERVICES["desk"]["env_file"] == [{"path": ".env", "required": False}]
    assert "deploy" not in SERVICES["desk"]
    assert "scale" not in SERVICES["desk"]


def test_the_desk_is_told_known_settings_only() -> None:
    assert SERVICES["desk"]["environment"].keys() <= SETTINGS


def test_the_desk_keeps_its_data_in_a_volume() -> None:
    folder = SERVICES["desk"]["environment"]["DATA_DIR"]

    assert last("VOLUME") == folder
    assert f"data:{folder}" in SERVICES["desk"]["volumes"]
    assert {"data", "postgres"} == compose()["volumes"].keys()


def test_the_settings_file_is_put_where_the_desk_is_started() -> None:
    (mount,) = [found for found in SERVICES["desk"]["volumes"] if isinstance(found, dict)]

    assert (ROOT / mount["source"]).is_file()
    assert mount["target"] == f"{last('WORKDIR')}/countersign.toml"
    assert mount["read_only"] is True


def test_the_desk_needs_no_postgresql_but_waits_for_one_that_is_wanted() -> None:
    assert "profiles" not in SERVICES["desk"]
    assert SERVICES["postgres"]["profiles"] == ["postgres"]
    assert SERVICES["desk"]["depends_on"] == {
        "postgres": {"condition": "service_healthy", "required": False}
    }


# -- the page about it -------------------------------------------------------------------


def fenced(language: str = "") -> list[str]:
    text = (ROOT / "docs" / "docker.md").read_text()
    return [
        body for kind, body in re.findall(r"```(\w*)\n(.*?)```", text, re.S) if kind == language
    ]


def test_the_lines_for_postgresql_give_the_desk_the_database_of_the_service(
    tmp_path: Path,
) -> None:
    (lines,) = [block for block in fenced() if "POSTGRES_PASSWORD=" in block]
    (tmp_path / ".env").write_text(lines)
    password = re.findall(r"POSTGRES_PASSWORD=(\w+)", lines)[0]
    environment = SERVICES["postgres"]["environment"]
    user, database = environment["POSTGRES_USER"], environment["POSTGRES_DB"]

    settings = load({}, tmp_path)

    assert settings.database == f"postgresql+asyncpg://{user}:{password}@postgres/{database}"


def test_the_lines_for_valkey_give_the_desk_the_redis_of_the_service(tmp_path: Path) -> None:
    (lines,) = [block for block in fenced() if "REDIS_URL=" in block]
    (tmp_path / ".env").write_text(lines)

    settings = load({}, tmp_path)

    assert settings.cache_url == "redis://valkey:6379/0"
    assert SERVICES["valkey"]["profiles"] == ["valkey"]
    assert "COMPOSE_PROFILES=valkey" in lines


def test_the_page_names_services_and_commands_that_exist() -> None:
    lines = "\n".join(fenced())
    commands = typer.main.get_command(app).commands

    assert set(re.findall(r"exec (?:-T )?(\w+)", lines)) == SERVICES.keys()
    assert set(re.findall(r"exec desk countersign (\w+)", lines)) <= commands.keys()
