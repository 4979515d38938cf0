# The virtual environment of this checkout's commands. To be sourced by bash; sets PYTHON.
#
# It lives in the user's cache folder, is shared by all checkouts with the same requirements, and
# holds the requirements only: the checkout itself is put on PYTHONPATH. Half an environment is
# never seen under its final name.

REPOSITORY=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

bootstrap_fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

bootstrap_python() {
    local name
    for name in python3.13 python3.12 python3.11 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            # Of an environment that is on the PATH, such as this one, the one that it was made of.
            "$name" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))'
            return
        fi
    done
    bootstrap_fail "Python 3.11 or newer is needed; on Debian: apt-get install python3 python3-venv"
}

# The requirements of the project and of its development, as pip takes them.
bootstrap_requirements() {
    "$1" - "$REPOSITORY/pyproject.toml" <<'PYTHON'
import sys, tomllib

project = tomllib.load(open(sys.argv[1], "rb"))["project"]
print(*project["dependencies"], *project["optional-dependencies"]["dev"], sep="\n")
PYTHON
}

bootstrap_venv() {
    local base=$1 folder=$2
    "$base" -m venv "$folder" >/dev/null 2>&1 && return
    rm -rf "$folder"
    if [[ -f /etc/debian_version && $EUID -eq 0 ]]; then
        local package
        package=$("$base" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        printf 'Installing the Debian package %s\n' "$package" >&2
        apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >&2
    fi
    "$base" -m venv "$folder" >&2 ||
        bootstrap_fail "$base cannot make a virtual environment; on Debian: apt-get install python3-venv"
}

bootstrap() {
    local base requirements key cache target
    base=$(bootstrap_python)
    requirements=$(bootstrap_requirements "$base")
    key=$({ "$base" -VV; printf '%s\n' "$base" "$requirements"; cat "$REPOSITORY/hack/constraints.txt"; } |
        sha256sum | cut -c1-12)
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/challenge-controller
    target=$cache/venv-$key
    PYTHON=$target/bin/python
    [[ -e $target/complete ]] && return
    mkdir -p "$cache"
    (
        flock 9
        [[ -e $target/complete ]] && exit
        # Scripts in it name its path, so it is made in its place and marked as complete at the end.
        trap 'rm -rf "$target"' EXIT
        trap 'exit 130' INT TERM
        rm -rf "$target"
        printf 'Setting up the virtual environment %s (only the first time)\n' "$target" >&2
        bootstrap_venv "$base" "$target"
        printf '%s\n' "$requirements" >"$target/requirements.txt"
        "$PYTHON" -m pip install --quiet --disable-pip-version-check \
            --constraint "$REPOSITORY/hack/constraints.txt" --requirement "$target/requirements.txt" >&2
        touch "$target/complete"
        trap - EXIT
    ) 9>"$cache/venv.lock"
}

bootstrap || bootstrap_fail "The virtual environment could not be set up; see the lines above"
export PYTHONPATH=$REPOSITORY${PYTHONPATH:+:$PYTHONPATH}
export PATH=${PYTHON%/*}:$PATH
