"""What `hack/image/build` says of itself, and of words that are wrong."""

import re
from pathlib import Path

import pytest

from controller import __version__
from hack.bed.cache import REPOSITORY
from hack.image import debian
from hack.image.__main__ import main
from hack.image.image import ENTRYPOINT, ENVIRONMENT, default_tag


@pytest.mark.parametrize("tag", ["challenge-controller", ":1", "name:", "host:5000/name"])
def test_a_tag_that_is_none_is_told(
    tag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--output", str(tmp_path / "image.tar"), "--tag", tag]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"Error: --tag {tag!r} is no NAME:TAG, such as {default_tag()}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "missing" / "image.tar"
    assert main(["--output", str(output)]) == 1
    expected = f"Error: --output {output}: there is no folder {output.parent}; make it first\n"
    assert capsys.readouterr().err == expected


def test_a_time_that_is_none_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert main(["--output", str(tmp_path / "image.tar")]) == 1
    assert "SOURCE_DATE_EPOCH='yesterday': expected seconds since 1970" in capsys.readouterr().err


def test_the_dockerfile_makes_the_same_image() -> None:
    text = (REPOSITORY / "hack" / "image" / "Dockerfile").read_text()
    words = ", ".join(f'"{word}"' for word in ENTRYPOINT)
    assert f"\nENTRYPOINT [{words}]\n" in text
    assert f"\nUSER {debian.USER}:{debian.USER}\n" in text
    assert f"\nARG VERSION={__version__}\n" in text
    assert f"\nARG BASE=debian:{debian.RELEASE}-slim\n" in text
    for name, value in ENVIRONMENT.items():
        if name != "PATH":
            assert re.search(rf"^(ENV|   ) {name}={value}( \\)?$", text, re.MULTILINE), name
    sent = (REPOSITORY / "hack" / "image" / "Dockerfile.dockerignore").read_text()
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all(f"\n!{name}\n" in sent for name in copied.split())
