"""The part of the image that is Debian's: packages fetched with apt and unpacked into a folder.

apt works with lists and a status of its own, so neither the machine's packages nor its sources
matter, nor root's rights. Maintainers' scripts are not run; what those of these few packages would
do is done here.
"""

import os
import shutil
from pathlib import Path

from hack.bed.errors import BedError, ProgramFailed
from hack.bed.packages import install_missing
from hack.bed.processes import run
from hack.bed.report import Report
from hack.image.mirrors import Mirrors

RELEASE = "bookworm"
PYTHON = "python3.11"
"""The release's own Python, which runs the code and which the wheels are chosen for."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TOOLS = {"apt-get": "apt", "dpkg-deb": "dpkg"}

PACKAGES = (
    "base-files",
    "ca-certificates",
    "iptables",
    f"lib{PYTHON}-stdlib",
    f"{PYTHON}-minimal",
    "tini",
)
# What the packages name as needed and an image without a package manager does without: installers'
# own tools, and libraries of modules that Python has given up (nis, dbm).
ASSUMED = ("debconf", "dpkg", "libdb5.3", "libnsl2", "mawk", "openssl")

# Nothing reads it in a container. What says under which licence a package comes stays.
STRIPPED = (
    "etc/dpkg",
    f"etc/{PYTHON}",
    "etc/update-motd.d",
    "usr/share/bash-completion",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/lib/*-linux-gnu/gconv",
    f"usr/lib/{PYTHON}/ensurepip",
    f"usr/lib/{PYTHON}/lib2to3",
    f"usr/lib/{PYTHON}/pydoc_data",
    f"usr/lib/{PYTHON}/sitecustomize.py",
    f"usr/lib/{PYTHON}/test",
    "usr/share/bug",
    "usr/share/python3",
    "usr/lib/systemd",
)
USER = 65532
_PASSWD = f"""\
root:x:0:0:root:/:/usr/sbin/nologin
challenge:x:{USER}:{USER}:challenge-controller:/:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/:/usr/sbin/nologin
"""
_GROUP = f"root:x:0:\nchallenge:x:{USER}:\nnogroup:x:65534:\n"


def unpack_packages(root: Path, scratch: Path, mirrors: Mirrors, report: Report) -> None:
    """Fetch the packages, and those that they need, and unpack them into the empty folder `root`.

    Raises BedError when this machine lacks the tools, or a package cannot be had.
    """
    if not KEYRING.exists():
        raise BedError(
            f"{KEYRING} is missing, with which Debian's packages are checked: install "
            "debian-archive-keyring (on another system than Debian build hack/image/Dockerfile)"
        )
    install_missing(report, TOOLS)
    with report.stage(f"fetch Debian {RELEASE}'s packages"):
        archives = _fetch(scratch, mirrors)
    with report.stage(f"unpack {len(archives)} packages"):
        # What Debian's installer makes first: one folder for programs, one for libraries.
        for name in ("bin", "sbin", "lib", "lib64"):
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        for archive in archives:
            _unpack(archive, root)
        _configure(root)
        _strip(root)


def _fetch(scratch: Path, mirrors: Mirrors) -> list[Path]:
    """The .deb files, in the order of their names."""
    for name in ("lists/partial", "cache/archives/partial"):
        (scratch / name).mkdir(parents=True)
    (scratch / "sources.list").write_text(mirrors.sources(RELEASE, KEYRING))
    (scratch / "status").write_text("".join(_assumed(name) for name in ASSUMED))
    options = {
        "Dir::State": scratch,
        "Dir::State::status": scratch / "status",
        "Dir::State::lists": scratch / "lists",
        "Dir::Cache": scratch / "cache",
        "Dir::Etc::sourcelist": scratch / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        # The unprivileged user that root's apt takes elsewhere cannot read our folder.
        "APT::Sandbox::User": "",
        "APT::Update::Post-Invoke": "",
        "APT::Update::Post-Invoke-Success": "",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::Retries": "3",
        # Or it goes on with what lists it has, and then does not know the packages.
        "APT::Update::Error-Mode": "any",
    }
    # A file, since lists such as Post-Invoke can be emptied only there.
    config = scratch / "apt.conf"
    lines = [f'{key} "{value}";' for key, value in options.items()]
    cleared = [f"#clear {key};" for key in options if "Invoke" in key]
    config.write_text("\n".join([*cleared, *lines, ""]))
    env = os.environ | {"APT_CONFIG": str(config), "DEBIAN_FRONTEND": "noninteractive"}
    words = ("install", "-qq", "--yes", "--no-install-recommends", "--download-only")
    try:
        run("apt-get", "update", "-qq", env=env, timeout=600)
        run("apt-get", *words, *PACKAGES, env=env, timeout=600)
    except ProgramFailed as failure:
        errors = [line for line in failure.output.splitlines() if line.startswith("E: ")]
        raise BedError(
            f"Debian {RELEASE}'s packages cannot be had: {' '.join(errors[:1])}; try again, or "
            "name mirrors that this machine can reach with --mirror and --security-mirror"
        ) from None
    return sorted((scratch / "cache" / "archives").glob("*.deb"))


def _assumed(name: str) -> str:
    """The entry of a package in dpkg's status, as if it were installed."""
    provides = "Provides: awk\n" if name == "mawk" else ""
    if name == "debconf":
        provides = "Provides: debconf-2.0\n"
    return (
        f"Package: {name}\nStatus: install ok installed\nVersion: 99:0\n{provides}"
        "Architecture: all\nMulti-Arch: foreign\nMaintainer: nobody\nDescription: not there\n\n"
    )


def _unpack(archive: Path, root: Path) -> None:
    tree = root.parent / "package.tar"
    tree.write_bytes(b"")
    run("sh", "-c", 'dpkg-deb --fsys-tarfile "$1" >"$2"', "sh", archive, tree)
    # As nobody in particular: to whom files belong is written when the layer is.
    options = ("--keep-directory-symlink", "--no-same-owner", "--preserve-permissions")
    run("tar", "--extract", *options, "--file", tree, "--directory", root)
    tree.unlink()
    # Where scanners of images look for packages when there is no package manager.
    control = run("dpkg-deb", "--field", archive).stdout
    name = archive.name.partition("_")[0]
    entry = root / "var/lib/dpkg/status.d" / name
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_text(control + "Status: install ok installed\n")


def _configure(root: Path) -> None:
    """Do what the packages' scripts would."""
    (root / "etc/passwd").write_text(_PASSWD)
    (root / "etc/group").write_text(_GROUP)
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    (root / "usr/bin/python3").symlink_to(PYTHON)
    for program in ("iptables", "ip6tables"):
        for tool in ("", "-save", "-restore"):
            (root / f"usr/sbin/{program}{tool}").symlink_to(f"{program}-nft{tool}")
    certificates = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(path.read_text().rstrip() + "\n" for path in certificates))
    # Where OpenSSL looks for it.
    (root / "usr/lib/ssl").mkdir(exist_ok=True)
    (root / "usr/lib/ssl/cert.pem").symlink_to("/etc/ssl/certs/ca-certificates.crt")
    (root / "tmp").chmod(0o1777)


def _strip(root: Path) -> None:
    for pattern in STRIPPED:
        for path in root.glob(pattern):
            if path.is_symlink():
                path.unlink()
            else:
                shutil.rmtree(path)
    for path in sorted((root / "usr/share/doc").rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.name != "copyright" and not path.is_dir():
            path.unlink()
