#!/usr/bin/env bash
# Sets this checkout up on a Debian machine: `.ci/setup.sh demo|test|bench`.
#
#   demo   what `make demo` needs: ODBC with the SQLite driver, a compiler, .venv
#   test   that, plus MariaDB and PostgreSQL over ODBC and the tools of `make check`
#   bench  that, plus the peers that benchmarks are measured against
#
# Each step is skipped when it is done already; a second call ends at once.
set -euo pipefail
cd "$(dirname "$0")/.."

level=${1:-demo}
venv=.venv
lock=requirements.lock
log=$venv/setup.log

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

exec 9<"$0"
flock 9 # two calls at once take turns

# --- what this machine wants ---------------------------------------------------------------------

case $level in
demo | test | bench) ;;
*) die "unknown level '$level': use demo, test or bench" ;;
esac

variant=cpu
cmake_args="-DLLAVA_BUILD=OFF -DGGML_NATIVE=ON"
if command -v nvcc >/dev/null && [ -e /dev/nvidia0 ]; then
    variant=cuda
    cmake_args+=" -DGGML_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=native"
fi

digest() { sha256sum | cut -c1-16; }
wanted="$(cat "$lock" pyproject.toml "$0" | digest) $variant"
stamp=$venv/setup-$level
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

# --- Debian packages -----------------------------------------------------------------------------

packages=(build-essential cmake python3-venv python3-dev sqlite3 unixodbc libsqliteodbc)
if [ "$level" != demo ]; then
    packages+=(odbc-mariadb mariadb-server-core mariadb-client-core odbc-postgresql faketime systemd)
fi

absent=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || absent+=("$package")
done
if [ ${#absent[@]} -gt 0 ]; then
    how="install these packages, then run this again: apt-get install ${absent[*]}"
    command -v apt-get >/dev/null || die "no apt-get here. On Debian: $how"
    root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "not root, and no sudo. As root: $how"
        root=(sudo)
        say "sudo is needed to install Debian packages: ${absent[*]}"
        sudo -v || die "sudo refused. As root: $how"
    fi
    say "Installing Debian packages: ${absent[*]}"
    aptlog=$(mktemp)
    apt() { "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o=Dpkg::Use-Pty=0 "$@" >>"$aptlog" 2>&1; }
    apt install -y --no-install-recommends "${absent[@]}" ||
        { apt update && apt install -y --no-install-recommends "${absent[@]}"; } ||
        { tail -n 20 "$aptlog" >&2; die "apt-get failed. As root: $how"; }
    rm -f "$aptlog"
fi

# --- Python and its packages ---------------------------------------------------------------------

usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    for python in python3 /usr/bin/python3 python3.13 python3.12 python3.11 none; do
        usable "$python" && break
    done
    [ "$python" != none ] || die "no Python 3.11 or newer with venv; Debian 12 and later bring one"
    say "Making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

# Shows a long step as one line that counts, or every tenth of it where nobody watches.
progress() {
    awk -v tty="$([ -t 1 ] && echo 1 || echo 0)" -v total="${1:-0}" -v log_file="$log" '
        function show(done, of) {
            if (of < 1) return
            if (tty) { printf "\r    %d of %d ", done, of; fflush() }
            else if (int(10 * done / of) > tenth) { tenth = int(10 * done / of); printf "    %d of %d\n", done, of; fflush() }
        }
        { print >> log_file; fflush(log_file) }
        total && /^Collecting |^Requirement already/ { show(++count < total ? count : total, total) }
        match($0, /\[[0-9]+\/[0-9]+\]/) { split(substr($0, RSTART + 1, RLENGTH - 2), step, "/"); show(step[1], step[2]) }
        match($0, /\[ *[0-9]+%\]/) { show(substr($0, RSTART + 1, RLENGTH - 3) + 0, 100) }
        END { if (tty) printf "\r                    \r" }'
}
failed() { tail -n 30 "$log" >&2; die "$1; the whole output is in $log"; }

# llama.cpp is compiled for this very processor. The wheel is kept outside the checkout, so that
# the next clone need not compile again; without that folder it is just compiled.
version=$(sed -n 's/^llama.cpp.python==//p' "$lock" | tr -d '[:space:]')
features=$( { sed -n '/^flags/{p;q}' /proc/cpuinfo; uname -m; . /etc/os-release; echo "$ID $VERSION_ID"; } | digest)
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/legacy-insights/llama-$version-$variant-$(echo "$cmake_args" | digest)-$features
: >"$log"
build_llama() {
    say "Compiling llama.cpp $version for this processor ($variant): about 6 minutes on two cores"
    local built
    built=$(mktemp -d)
    CMAKE_ARGS=$cmake_args CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) \
        pip wheel -v --no-deps --no-cache-dir --no-binary llama-cpp-python --wheel-dir "$built" \
        "llama-cpp-python==$version" 2>&1 | progress || failed "llama.cpp did not compile"
    wheel=$(echo "$built"/*.whl)
    if mkdir -p "$cache" 2>/dev/null && cp "$wheel" "$cache/.new" 2>/dev/null; then
        mv "$cache/.new" "$cache/$(basename "$wheel")"
    fi
}
have_llama() { [ "$(cat "$venv/setup-llama" 2>/dev/null)" = "$(basename "$cache")" ] &&
    "$venv/bin/python" -c 'import importlib.metadata as m, sys; sys.exit(m.version("llama-cpp-python") != sys.argv[1])' "$version" 2>/dev/null; }
wheel=
if ! have_llama; then
    for candidate in "$cache"/*.whl; do
        [ -f "$candidate" ] && "$venv/bin/python" -m zipfile -t "$candidate" >/dev/null 2>&1 && wheel=$candidate
    done
    [ -n "$wheel" ] || build_llama
fi

wanted_packages=$(mktemp)
if [ "$level" = bench ]; then
    cat "$lock"
else
    sed '/^# --- bench/,$d' "$lock"
fi >"$wanted_packages"
count=$(grep -c == "$wanted_packages")
say "Installing $count Python packages into $venv"
if [ -n "$wheel" ]; then
    pip install --force-reinstall --no-deps "$wheel" >>"$log" 2>&1 || failed "llama-cpp-python was not installed"
    basename "$cache" >"$venv/setup-llama"
fi
pip install -r "$wanted_packages" 2>&1 | progress "$count" || failed "pip install failed"
pip install --no-deps --no-build-isolation --editable . >>"$log" 2>&1 || failed "the project itself was not installed"
rm -f "$wanted_packages"

# Packages of which only the files are used: what they would bring along is not wanted.
[ "$level" = demo ] || sed -n 's/^# no-deps: //p' requirements.lock | xargs -r "$venv/bin/python" -m pip --disable-pip-version-check -q install --no-deps

echo "$wanted" >"$stamp"
[ "$level" = demo ] || echo "$wanted" >"$venv/setup-demo"
[ "$level" != bench ] || echo "$wanted" >"$venv/setup-test"
say "Ready"
