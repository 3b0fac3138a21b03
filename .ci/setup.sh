#!/usr/bin/env bash
# Sets this checkout up: `.ci/setup.sh demo|test|bench [DEMO_MODEL]`.
#
#   demo   what `make demo` needs: ODBC with the SQLite driver, a compiler, .venv
#   test   that, plus MariaDB and PostgreSQL over ODBC and the tools of `make check`
#   bench  that, plus the peers that benchmarks are measured against
#
# Each step is skipped when it is done already; a second call ends at once. What can fail says why in
# one line (.ci/diagnose.py); after Ctrl-C the same call goes on. docs/install.md has the systems.
set -euo pipefail
cd "$(dirname "$0")/.."

level=${1:-demo}
model=${2:-helpdesk}
venv=.venv
log=$venv/setup.log
began=$SECONDS

say() { printf '==> %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }
trap 'echo "setup: stopped; what is done is kept: run the same again" >&2; exit 130' INT TERM

case $level in
demo | test | bench) ;;
*) die "unknown level '$level': use demo, test or bench" ;;
esac
case $model in
helpdesk | smollm2) ;;
*) die "unknown DEMO_MODEL '$model': use helpdesk (the demo's own, 4.5 MB: it chooses and quotes) or smollm2 (a general one, 98 MB: it writes)" ;;
esac

exec 9<"$0"
flock -n 9 || { say "Another set-up is at work here: waiting for it"; flock 9; }

# --- what this machine wants ---------------------------------------------------------------------

variant=cpu
if command -v nvcc >/dev/null && [ -e /dev/nvidia0 ]; then
    variant=cuda
fi
digest() { sha256sum | cut -c1-16; }
# A .venv that moves to another processor is tried there again.
machine=$( { sed -n '/^flags/{p;q}' /proc/cpuinfo; uname -m; } | digest)
wanted="$(cat requirements.lock .ci/*.lock pyproject.toml .ci/*.py "$0" | digest) $variant $machine"
stamp=$venv/setup-$level
model_files() { [ "$model" = helpdesk ] || "$venv/bin/python" .ci/packages.py files; }
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && [ -x "$venv/bin/python" ]; then
    model_files
    exit 0
fi
[ -w . ] || die "this folder is read-only: copy the checkout to a disk that can be written"
free=$(($(df -Pk . | awk 'NR == 2 {print $4}') / 1024))
if [ ! -d "$venv" ] && [ "$free" -lt 3000 ]; then
    die "$free MB are free under $PWD, and set-up needs 3000: free some, then run the same again"
fi

# --- the system's packages -----------------------------------------------------------------------

ID=unknown VERSION_ID=
# shellcheck disable=SC1091 # there on every system that is meant
[ ! -r /etc/os-release ] || . /etc/os-release
python_packages=(python3-venv python3-dev)
mariadb=(mariadb-server-core mariadb-client-core)
python_fix="install python3.11 and its venv package"
if [ "$ID $VERSION_ID" = "ubuntu 22.04" ]; then # its python3 is 3.10, its python3.11 a release candidate
    python_packages=()
    python_fix="bring one with its venv and dev packages, such as python3.12 of ppa:deadsnakes/ppa; Ubuntu's python3.11 is a release candidate"
    mariadb=(mariadb-server-core-10.6 mariadb-client-core-10.6)
fi
packages=(build-essential cmake ninja-build "${python_packages[@]}" sqlite3 unixodbc libsqliteodbc)
if [ "$level" != demo ]; then
    packages+=(odbc-mariadb "${mariadb[@]}" odbc-postgresql odbc-mdbtools faketime systemd prometheus redis-server rabbitmq-server)
    [ "$ID" != debian ] || packages+=(chromium) # Ubuntu's is a snap, which no container runs
fi

run_apt() {
    local root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "not root, and no sudo. As root: apt-get install $*"
        root=(sudo)
        say "sudo is needed to install the system's packages: $*"
        sudo -v || die "sudo refused. As root: apt-get install $*"
    fi
    apt() { "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o=Dpkg::Use-Pty=0 "$@" >>"$aptlog" 2>&1; }
    apt install -y --no-install-recommends "$@" ||
        { apt update && apt install -y --no-install-recommends "$@"; }
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    absent=()
    for package in "${packages[@]}"; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$status" = installed ] || absent+=("$package")
    done
    aptlog=$(mktemp 2>/dev/null || mktemp -p .) # TMPDIR may name nothing
    if [ ${#absent[@]} -gt 0 ]; then
        say "Installing the system's packages: ${absent[*]}"
        run_apt "${absent[@]}" || {
            what="the system's packages (as root: apt-get install ${absent[*]})"
            python3 .ci/diagnose.py "$aptlog" "$what" || { tail -n 5 "$aptlog" >&2; die "$what"; }
            exit 1
        }
    fi
    # GCC before 13 breaks AMX; a Clang makes prompts two to three times as fast there.
    if grep -qw amx_tile /proc/cpuinfo && [ "$(cc -dumpversion | cut -d. -f1)" -lt 13 ] &&
        ! compgen -c clang- | grep -qE '^clang-(1[6-9]|2[0-9])$'; then
        say "This processor has AMX, which this GCC breaks: installing clang-19 for it"
        run_apt clang-19 || say "clang-19 is not to be had here: AMX stays unused"
    fi
    rm -f "$aptlog"
else
    missing=()
    for command in c++ cmake sqlite3 odbcinst; do
        command -v "$command" >/dev/null || missing+=("$command")
    done
    case " $ID ${ID_LIKE:-} " in
    *" rhel "* | *" fedora "*) how="dnf install gcc-c++ cmake ninja-build python3.11 python3.11-devel sqlite unixODBC" ;;
    *) how="install a C++ compiler, CMake, Python 3.11 to 3.13, sqlite3 and unixODBC" ;;
    esac
    if [ ${#missing[@]} -gt 0 ]; then
        die "not found: ${missing[*]}. As root: $how (docs/install.md says more about $ID $VERSION_ID)"
    fi
    odbcinst -q -d 2>/dev/null | grep -qi sqlite3 ||
        die "unixODBC knows no driver SQLite3, which the demo reads through: build sqliteodbc (docs/install.md)"
fi

# --- Python and its packages ---------------------------------------------------------------------

# No release candidate, such as Ubuntu 22.04's python3.11: PyTorch does not import there.
usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11, 0, "final") <= sys.version_info < (3, 14))' 2>/dev/null; }
if ! "$venv/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11, 0, "final"))' 2>/dev/null; then
    for python in python3 /usr/bin/python3 python3.13 python3.12 python3.11 none; do
        usable "$python" && break
    done
    [ "$python" != none ] ||
        die "no Python 3.11, 3.12 or 3.13 with venv here (python3 is $(python3 --version 2>&1)): $python_fix"
    say "Making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv" || die "$python made no environment: is the disk full, or its venv package missing?"
fi
# What compiles and unpacks stays off /tmp, which may be small or mounted noexec.
mkdir -p "$venv/tmp"
export TMPDIR=$PWD/$venv/tmp
: >"$log"

"$venv/bin/python" .ci/packages.py "$level"
model_files
"$venv/bin/python" .ci/llama.py "$variant"

rm -rf "$venv/tmp"
echo "$wanted" >"$stamp"
[ "$level" = demo ] || echo "$wanted" >"$venv/setup-demo"
[ "$level" != bench ] || echo "$wanted" >"$venv/setup-test"
say "Ready, after $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
