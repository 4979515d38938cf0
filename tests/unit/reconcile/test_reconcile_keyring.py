"""Which of the passwords an image is pulled with: by the registry's host and path."""

import pytest

from controller.cluster.pull_secrets import Login
from controller.reconcile.keyring import Keyring


def chosen(image: str, *registries: str) -> list[str]:
    """The users, each called as its registry, with which the image is pulled."""
    ring = Keyring(tuple(Login(registry, registry, "pw") for registry in registries))
    return [auth.username for auth in ring.auths(image)]


@pytest.mark.parametrize(
    ("image", "registry", "fits"),
    [
        ("r.example/ctf/web", "r.example", True),
        ("r.example/ctf/web", "https://r.example", True),
        ("r.example/ctf/web", "http://r.example/", True),
        ("r.example/ctf/web", "https://r.example/v2/", True),
        ("r.example/ctf/web", "R.Example", True),
        ("r.example/ctf/web", "*.example", True),
        ("a.r.example/ctf/web", "*.example", False),
        ("r.example:5000/ctf/web", "r.example", False),
        ("r.example:5000/ctf/web", "r.example:5000", True),
        ("r.example/ctf/web", "r.example:443", False),
        ("r.example/ctf/web", "r.example/ctf", True),
        ("r.example/ctf2/web", "r.example/ctf", False),
        ("r.example/ctf", "r.example/ctf/web", False),
        ("r.example/ctf/web", "example", False),
        ("evil.org/r.example/web", "r.example", False),
        ("ubuntu", "https://index.docker.io/v1/", True),
        ("ubuntu", "docker.io", True),
        ("team/web", "index.docker.io", True),
        ("docker.io/team/web", "docker.io/team", True),
        ("docker.io/other/web", "docker.io/team", False),
        ("ubuntu", "r.example", False),
        ("localhost:5000/web", "localhost:5000", True),
    ],
)
def test_credentials_go_to_their_registry_and_to_no_other(
    image: str, registry: str, fits: bool
) -> None:
    assert bool(chosen(image, registry)) is fits


def test_those_for_a_longer_path_go_first_and_then_the_order_of_the_secrets() -> None:
    registries = ("r.example", "https://r.example", "r.example/ctf", "other.example")
    assert chosen("r.example/ctf/web", *registries) == [
        "r.example/ctf",
        "r.example",
        "https://r.example",
    ]


def test_the_same_credentials_are_tried_once() -> None:
    ring = Keyring((Login("r.example", "a", "pw"), Login("https://r.example", "a", "pw")))
    assert len(ring.auths("r.example/web")) == 1
