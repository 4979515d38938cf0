"""Profiles: the operator's files, and what our own says."""

import json
import os
from pathlib import Path

import pytest

from controller.runtime import seccomp
from controller.runtime.seccomp import ProfileError, Profiles

GOOD = '{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "comment": "x"}]}'


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text(GOOD)
    profiles = Profiles()
    first = profiles.localhost(tmp_path, "p.json")
    assert first == '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"]}]}'
    assert profiles.localhost(tmp_path, "p.json") is first
    file.write_text(GOOD.replace("read", "write"))
    os.utime(file, ns=(1, 1))
    assert '"write"' in profiles.localhost(tmp_path, "p.json")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is no JSON"),
        ("\xff", "is no JSON"),
        ("[]", "expected a JSON object"),
        ('{"syscalls": []}', "expected defaultAction"),
        ('{"defaultAction": "A"}', "expected syscalls, a list of rules"),
        ('{"defaultAction": "A", "syscalls": [1]}', "expected syscalls, a list of rules"),
        (" " * (seccomp.MAX_BYTES + 1), "expected at most 1048576"),
    ],
)
def test_what_is_no_profile_is_told_with_the_file(
    tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "p.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ProfileError) as told:
        Profiles().localhost(tmp_path, "p.json")
    assert f"the seccomp profile {tmp_path}/p.json" in str(told.value)
    assert complaint in str(told.value)


def test_a_folder_is_no_profile(tmp_path: Path) -> None:
    (tmp_path / "p.json").mkdir()
    with pytest.raises(ProfileError, match="cannot be read: Is a directory"):
        Profiles().localhost(tmp_path, "p.json")


def test_our_own_names_each_call_once_and_says_why_it_is_there() -> None:
    folder = Path(seccomp.__file__).parent
    profile = json.loads((folder / "challenge-default.json").read_text())
    plain = [rule for rule in profile["syscalls"] if "args" not in rule]
    names = [name for rule in plain for name in rule["names"]]
    assert len(names) == len(set(names))
    assert all(rule["comment"] for rule in profile["syscalls"])
    allowed = {
        n for r in profile["syscalls"] if r["action"] == "SCMP_ACT_ALLOW" for n in r["names"]
    }
    readme = (folder / "README.md").read_text()
    table = [line.split("|")[1] for line in readme.splitlines() if line.startswith("| `")]
    told = {word.strip("`…, ") for cell in table for word in cell.split() if word.startswith("`")}
    refused = {name for name in told if name.isidentifier()} - {"clone", "socket", "personality"}
    assert {"unshare", "userfaultfd", "bpf"} <= refused
    assert not allowed & refused, "the README says that these are refused"
