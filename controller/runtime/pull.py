"""One pull of one image, as the engine tells of it.

Responsible for asking the engine to pull and for reading its progress to the end, in bounded time.
Runs in a thread of `Engine.call`. When to pull, and how often, is the business of `images`.
"""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import docker
import requests
from docker.auth import encode_header, resolve_repository_name
from docker.errors import APIError, InvalidRepository
from docker.utils import parse_repository_tag
from urllib3.exceptions import HTTPError, ReadTimeoutError

from controller.runtime.errors import PullFailed
from controller.runtime.progress import Layers
from controller.runtime.transport import raise_for_status


@dataclass(frozen=True)
class RegistryAuth:
    """Credentials for a registry: a password, or a token that stands for one.

    They show in no representation.
    """

    username: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)

    def header(self) -> dict[str, str]:
        """What the engine's X-Registry-Auth is to say."""
        if self.identity_token:
            return {"identitytoken": self.identity_token}
        return {"username": self.username, "password": self.password}

    def redact(self, message: str) -> str:
        """The message without the credentials, should a registry have repeated them."""
        basic = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        for secret in (basic, self.password, self.identity_token):
            # One of three letters is part of many words; to blot it out would only tell it.
            if len(secret) > 3:
                message = message.replace(secret, "***")
        return message


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
            layers = Layers()
            for line in response.iter_lines():
                told = json.loads(line)
                if "error" in told:
                    raise PullFailed(image, str(told["error"]))
                tell(layers.take(told))
                if given_up() or time.monotonic() > deadline:
                    raise PullFailed(image, "the pull took too long and was given up", silent=True)
    except APIError as error:
        raise PullFailed(image, str(error.explanation or error)) from error
    except InvalidRepository as error:
        raise PullFailed(image, str(error)) from error
    except (requests.exceptions.RequestException, HTTPError) as error:
        if _timed_out(error):
            message = f"no progress for {stall_timeout:g} s"
            raise PullFailed(image, message, silent=True) from error
        raise


def _ask(
    client: docker.APIClient, image: str, auth: RegistryAuth | None, stall_timeout: float
) -> requests.Response:
    """Past docker-py's own method, which waits for ever and would take the agent's own login."""
    repository, tag = parse_repository_tag(image)
    resolve_repository_name(repository)  # raises InvalidRepository
    credentials = auth.header() if auth else {}
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
