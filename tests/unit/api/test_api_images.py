"""Names of images in full, and the patterns that they are compared with."""

import pytest

from controller.api import image_pattern, image_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("ubuntu", "docker.io/library/ubuntu:latest"),
        ("ubuntu:24.04", "docker.io/library/ubuntu:24.04"),
        ("team/web", "docker.io/team/web:latest"),
        ("docker.io/ubuntu", "docker.io/library/ubuntu:latest"),
        ("index.docker.io/team/web:1", "docker.io/team/web:1"),
        ("localhost/web", "localhost/web:latest"),
        ("registry:5000/web", "registry:5000/web:latest"),
        ("127.0.0.1:5000/a/b/c:x", "127.0.0.1:5000/a/b/c:x"),
        ("Registry.example.org/web", "Registry.example.org/web:latest"),
        (f"r.example.org/web@{DIGEST}", f"r.example.org/web@{DIGEST}"),
        (f"r.example.org/web:1@{DIGEST}", f"r.example.org/web@{DIGEST}"),
        # Docker would take it for the start of an image's id.
        ("abc", "docker.io/library/abc:latest"),
    ],
)
def test_a_short_name_is_what_docker_takes_it_for(short: str, full: str) -> None:
    parsed = image_reference.parse(short)
    assert str(parsed) == full
    assert image_reference.parse(full) == parsed


@pytest.mark.parametrize(
    "name",
    ["Team/web", "a//b", "a/../b", "web:", "web:a:b", "web@sha256:12", "a@b@c", "-a.example/b",
     "r.example/", "/web", "", "0123456789abcdef" * 4, DIGEST, "web:.tag", "a.example:x/web"],
)  # fmt: skip
def test_what_is_no_name_is_refused_with_what_was_expected(name: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        image_reference.parse(name)


CTF = "registry.example.org/ctf/*"


@pytest.mark.parametrize(
    ("pattern", "image", "allowed"),
    [
        ("*", "evil.org/x", True),
        (CTF, "registry.example.org/ctf/web", True),
        (CTF, "registry.example.org/ctf/a/b:1", True),
        (CTF, f"registry.example.org/ctf/web@{DIGEST}", True),
        (CTF, "REGISTRY.example.org/ctf/web", True),
        (CTF, "evil.org/registry.example.org/ctf/web", False),
        (CTF, "registry.example.org.evil.org/ctf/web", False),
        (CTF, "registry-example.org/ctf/web", False),
        (CTF, "registry.example.org:5000/ctf/web", False),
        (CTF, "registry.example.org/other/web", False),
        (CTF, "registry.example.org/ctf", False),
        (CTF, "ctf/web", False),
        ("*.example.org/*", "a.example.org/web", True),
        ("*.example.org/*", "evil.org/a.example.org/web", False),
        ("*.example.org/*", "evil.org:1/x.example.org/web", False),
        ("ubuntu", "docker.io/library/ubuntu:24.04", True),
        ("ubuntu", "docker.io/evil/ubuntu", False),
        ("ubuntu:24.04", "ubuntu:24.04", True),
        ("ubuntu:24.04", "ubuntu", False),
        ("ubuntu:24.04", f"ubuntu:24.04@{DIGEST}", False),
        ("ubuntu:*", f"ubuntu@{DIGEST}", False),
        ("ubuntu:24.*", "ubuntu:24.10", True),
        (f"ubuntu@{DIGEST}", f"ubuntu:latest@{DIGEST}", True),
        (f"ubuntu@{DIGEST}", "ubuntu:latest", False),
        ("docker.io/*", "team/web", True),
        ("docker.io/*", "r.example.org/web", False),
        ("ctf/*", "ctf/web", True),
        ("127.0.0.1:*/ctf/*", "127.0.0.1:5000/ctf/web", True),
        ("challenge-*", "challenge-echo:dev", True),
        ("a.example/web", "a-example/web", False),
    ],
)
def test_a_pattern_is_compared_part_by_part(pattern: str, image: str, allowed: bool) -> None:
    parsed = image_reference.parse(image)
    assert image_pattern.parse(pattern).matches(parsed) is allowed


@pytest.mark.parametrize(
    "pattern", ["a b", "r.example/", "web:", "web@", "https://r.example/x", "Ctf/*", ""]
)
def test_what_is_no_pattern_is_refused_with_an_example(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"registry\.example\.org/ctf/\*"):
        image_pattern.parse(pattern)
