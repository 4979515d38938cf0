"""One pull of one image, as the engine tells of it.

Responsible for asking the engine to pull and for reading its progress to the end, in bounded time.
Runs in a thread of `Engine.call`. When to pull, and how often, is the business of `images`.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import docker
import requests
from docker.auth import encode_header, resolve_repository_name
from docker.errors import APIError, InvalidRepository
from docker.utils import parse_repository_tag
from urllib3.exceptions import HTTPError, ReadTimeoutError

from controller.runtime.errors import PullFailed
from controller.runtime.transport import raise_for_status

_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class RegistryAuth:
    """Credentials for a registry; they show in no representation."""

    username: str
    password: str = field(repr=False)


class _Progress:
    """The layers of an image and how much of them is there."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}

    def take(self, told: dict[str, Any]) -> str:
        """Take one line of the engine's in; returns all of it in a few words."""
        layer, status = str(told.get("id", "")), str(told.get("status", ""))
        detail = told.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total"):
            self._layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif status in ("Download complete", "Pull complete") and layer in self._layers:
            total = self._layers[layer][1]
            self._layers[layer] = (total, total)
        if not self._layers:
            return status
        here = sum(current for current, _ in self._layers.values()) / _MEGABYTE
        total_size = sum(total for _, total in self._layers.values()) / _MEGABYTE
        return f"{here:.0f} of {total_size:.0f} MB"


def pull_image(
    client: docker.APIClient,
    image: str,
    auth: RegistryAuth | None,
    tell: Callable[[str], None],
    *,
    stall_timeout: float,
    deadline: float,
    given_up: Callable[[], bool],
) -> None:
    """Have the engine pull the image; blocks until it is there.

    `tell` gets the progress in a few words. Fails when the engine says nothing for `stall_timeout`
    seconds, or goes on past `deadline` (time.monotonic), or when `given_up` says so; the
    connection is cut then, and the engine drops the pull. Raises PullFailed.
    """
    try:
        with _ask(client, image, auth, stall_timeout) as response:
            raise_for_status(response)
            progress = _Progress()
            for line in response.iter_lines():
                told = json.loads(line)
                if "error" in told:
                    raise PullFailed(image, str(told["error"]))
                tell(progress.take(told))
                if given_up() or time.monotonic() > deadline:
                    raise PullFailed(image, "the pull took too long and was given up")
    except APIError as error:
        raise PullFailed(image, str(error.explanation or error)) from error
    except InvalidRepository as error:
        raise PullFailed(image, str(error)) from error
    except (requests.exceptions.RequestException, HTTPError) as error:
        if _timed_out(error):
            raise PullFailed(image, f"no progress for {stall_timeout:g} s") from error
        raise


def _ask(
    client: docker.APIClient, image: str, auth: RegistryAuth | None, stall_timeout: float
) -> requests.Response:
    """Past docker-py's own method, which waits for ever and would take the agent's own login."""
    repository, tag = parse_repository_tag(image)
    resolve_repository_name(repository)  # raises InvalidRepository
    credentials = {"username": auth.username, "password": auth.password} if auth else {}
    return client.post(
        f"{client.base_url}/v{client.api_version}/images/create",
        params={"fromImage": repository, "tag": tag or "latest"},
        headers={"X-Registry-Auth": encode_header(credentials).decode()},
        stream=True,
        timeout=stall_timeout,
    )


def _timed_out(error: Exception) -> bool:
    inner = error.args[0] if error.args else None
    return any(
        isinstance(each, (requests.exceptions.Timeout, ReadTimeoutError, TimeoutError))
        for each in (error, inner)
    )
