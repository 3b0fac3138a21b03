#!/usr/bin/env bash
# Installs the bundle that this script lies in: no network, no compiler, nothing outside the folders named below.
#
#   ./install.sh [--prefix /opt/insights] [--python PYTHON] [--no-systemd] [--etc /etc]
#
# Every file is checked against SHA256SUMS first. A release is put beside the one that runs, tried on this processor, and only then
# becomes the current one, by one renamed link: a run that was cut leaves the old one as it was, and the same call does it again.
set -euo pipefail
umask 022

prefix=/opt/insights etc=/etc systemd=1 python=
say() { printf '==> %s\n' "$*"; }
die() { printf 'install: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '4,8s/^# \{0,1\}//p' "$0"; exit "$1"; }

while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --python | --etc)
        [ -n "${2:-}" ] || die "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift 2
        ;;
    --no-systemd) systemd= && shift ;;
    -h | --help) usage 0 ;;
    *) echo "install: unknown option $1" >&2 && usage 2 ;;
    esac
done
case $prefix in /?*) ;; *) die "--prefix must be an absolute path, not '$prefix'" ;; esac
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"

# --- is it whole, and for this machine? ----------------------------------------------------------------------------------------

[ -s SHA256SUMS ] || die "SHA256SUMS is missing: the bundle was not unpacked whole; unpack it again"
say "Checking $(wc -l <SHA256SUMS) files"
if ! wrong=$(sha256sum --check --quiet --strict SHA256SUMS 2>&1); then
    head -n 5 <<<"$wrong" >&2
    die "the bundle is damaged or was changed, nothing was installed: copy and unpack it again"
fi
strange=$(comm -13 <(cut -c67- SHA256SUMS | LC_ALL=C sort) \
    <(find . -type f ! -path ./SHA256SUMS -printf '%P\n' | LC_ALL=C sort))
[ -z "$strange" ] || die "not a file of this bundle: $(head -n 1 <<<"$strange"); unpack it into an empty folder"
links=$(find . -type l -print -quit)
[ -z "$links" ] || die "a link where the bundle has none: $links; unpack it into an empty folder"

machine=$(uname -m)
[ "$machine" = x86_64 ] || die "this bundle is for x86-64, and this machine is $machine"
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2) || libc=
[ -n "$libc" ] || die "this system's C library is not GNU's: use Debian 12, Ubuntu 22.04, RHEL 9 or newer"
[ "$(printf '2.34\n%s\n' "$libc" | sort -V | head -n 1)" = 2.34 ] ||
    die "glibc $libc is too old, 2.34 is needed: use Debian 12, Ubuntu 22.04, RHEL 9 or newer"

flags=" $(sed -n 's/^flags[^:]*: //p;T;q' /proc/cpuinfo) "
has() { case $flags in *" $1 "*) ;; *) return 1 ;; esac; }
for flag in sse4_2 popcnt ssse3; do
    has "$flag" || die "this processor has no $flag (x86-64-v2, made since 2009), which numpy and PyTorch need: use another machine"
done
has avx2 || say "This processor has no AVX2: everything works, several times slower than on one made since 2015"

tags=$(find wheels -name 'numpy-*.whl' -printf '%f\n' | grep -oE 'cp3[0-9]+' | sort -u)
usable() {
    # shellcheck disable=SC2086 # a list
    "$1" -I -c 'import sys, venv; sys.exit("cp%d%d" % sys.version_info[:2] not in sys.argv[1:] or sys.version_info[3] != "final")' $tags 2>/dev/null
}
if [ -n "$python" ]; then
    usable "$python" || die "$python is not the Python this bundle is for ($tags): name another that is no release candidate, or make a bundle with that Python"
else
    for tag in $tags; do
        for found in "/usr/bin/python3.${tag#cp3}" "python3.${tag#cp3}" python3; do
            if usable "$found"; then python=$found && break 2; fi
        done
    done
    [ -n "$python" ] || die "no Python for $tags here (python3 is $(python3 --version 2>&1); a release candidate does not do): install it, or name it with --python"
fi
"$python" -I -c 'import ctypes; ctypes.CDLL("libodbc.so.2")' 2>/dev/null ||
    die "unixODBC is missing (libodbc.so.2), which every ODBC driver needs: install unixodbc and your database's driver"

# --- a release beside the current one ------------------------------------------------------------------------------------------

id=$(sha256sum SHA256SUMS | cut -c1-12)
release=$prefix/releases/$id
mkdir -p "$prefix/releases" 2>/dev/null || die "$prefix cannot be written: run this as root, or choose another --prefix"
[ -w "$prefix/releases" ] || die "$prefix/releases cannot be written: run this as root, or choose another --prefix"
exec 9>"$prefix/releases/.lock"
flock -n 9 || die "another installation into $prefix is at work"

pip() { PYTHONPATH=$(echo "$here"/wheels/pip-*.whl) "$release/venv/bin/python" -m pip --isolated --disable-pip-version-check --no-input "$@"; }
compiled() {
    # The service may not write here, and would compile at each start what it imports. All that is installed would take minutes.
    "$release/venv/bin/python" -I - <<'IMPORTS' >/dev/null 2>&1 || true
import importlib, pkgutil, insights
names = [each.name for each in pkgutil.walk_packages(insights.__path__, "insights.", onerror=lambda name: None)]
names = [name for name in names if not name.startswith("insights.migrations.")]
models = ("bert.tokenization_bert", "bert.modeling_bert", "xlm_roberta.modeling_xlm_roberta")
for name in [*names, "sentence_transformers", *(f"transformers.models.{each}" for each in models)]:
    try:
        importlib.import_module(name)
    except Exception:
        pass  # the trial says what does not work
IMPORTS
    "$release/venv/bin/python" -I -m compileall -q "$release"/venv/lib/python*/site-packages/insights >/dev/null 2>&1 || true
}
kernels() { "$release/venv/bin/python" -I "$release/trial/trial.py" variant; }

if [ -f "$release/installed" ]; then
    say "This release is installed already: trying it again"
else
    rm -rf "$release"
    needed=$(($(du -sk . | cut -f1) * 4 / 1024 + 100))
    free=$(($(df -Pk "$prefix" | awk 'NR == 2 {print $4}') / 1024))
    [ "$free" -ge "$needed" ] || die "$free MB are free under $prefix, and $needed are needed"
    trap 'rm -rf "$release"; echo "install: stopped, nothing was changed: run the same again" >&2; exit 130' INT TERM
    failed() { trap - INT TERM; rm -rf "$release"; die "$1; nothing was changed"; }
    say "Installing $(wc -l <wheels.txt) packages for $("$python" --version) under $release"
    "$python" -I -m venv --without-pip "$release/venv" || failed "$python made no environment (its venv package may be missing)"
    output=$(pip install --no-index --find-links wheels --no-deps --require-hashes --no-compile -q -r wheels.txt 2>&1) || {
        tail -n 5 <<<"$output" >&2
        failed "a package was not installed, $(($(df -Pk "$prefix" | awk 'NR == 2 {print $4}') / 1024)) MB are free"
    }
    compiled
    find . -mindepth 1 -maxdepth 1 ! -name wheels ! -name install.sh -exec cp -r {} "$release/" \; || failed "the disk is full"
fi

# --- does it compute, here? ----------------------------------------------------------------------------------------------------

say "Trying it on this processor: $(sed -n 's/^model name[^:]*: //p;T;q' /proc/cpuinfo)"
while :; do
    chosen=$(kernels) || chosen=
    if said=$("$release/venv/bin/python" -I "$release/trial/trial.py" run "$release/trial/models" 2>&1); then
        break
    fi
    said=$(tail -n 1 <<<"$said")
    [ -n "$chosen" ] || die "llama.cpp computes nothing of use on this processor ($said): the release in $release is not used"
    say "Refused $(basename "$chosen"): $said. The next is tried"
    mv "$chosen" "$(dirname "$chosen")/refused-$(basename "$chosen")"
done
say "Passed, with $(basename "${chosen:-libggml-cpu.so}")"
"$release/venv/bin/insights" --help >/dev/null || die "the command insights does not start: $release/venv/bin/insights --help"
sync -f "$release" 2>/dev/null || sync # a power cut must not leave the mark without what it marks
touch "$release/installed"
trap - INT TERM

ln -sfn "releases/$id/venv" "$prefix/venv.new" && mv -T "$prefix/venv.new" "$prefix/venv"
ln -sfn "releases/$id" "$prefix/current.new" && mv -T "$prefix/current.new" "$prefix/current"

mkdir -p "$prefix/bin"
cat >"$prefix/bin/insights-demo.new" <<DEMO
#!/bin/sh
# A legacy helpdesk whose tickets get insights, in a folder of its own: insights-demo [FOLDER]
set -e
folder=\${1:-\$HOME/insights-demo}
mkdir -p "\$folder"
cp -r "$prefix/current/demo" "\$folder/"
cd "\$folder"
export DEMO_COMMAND="\$0\${1:+ \$1}"
export PYTHONDONTWRITEBYTECODE=1
exec "$prefix/venv/bin/python" -m demo
DEMO
chmod 755 "$prefix/bin/insights-demo.new" && mv "$prefix/bin/insights-demo.new" "$prefix/bin/insights-demo"

# --- user, unit, places for credentials ----------------------------------------------------------------------------------------

if [ -n "$systemd" ]; then
    if [ "$etc" = /etc ] && ! getent passwd insights >/dev/null; then
        useradd --system --user-group --no-create-home --home-dir /var/lib/insights --shell /usr/sbin/nologin insights ||
            die "the user insights was not made: run this as root, or with --no-systemd"
        say "Made the user insights"
    fi
    install -d -m 0755 "$etc/insights" "$etc/systemd/system" "$etc/systemd/system/insights.service.d"
    install -d -m 0700 "$etc/credstore" "$etc/credstore.encrypted"
    unit=$etc/systemd/system/insights.service
    sed "s#/opt/insights/#$prefix/#g" systemd/insights.service >"$unit.new"
    if cmp -s "$unit.new" "$unit"; then rm "$unit.new"; else mv "$unit.new" "$unit" && say "Wrote $unit"; fi
    if [ "$etc" = /etc ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
    missing=()
    for name in hash_key store_password; do
        [ -e "$etc/credstore/insights.$name" ] || [ -e "$etc/credstore.encrypted/insights.$name" ] || missing+=("insights.$name")
    done
    [ ${#missing[@]} -eq 0 ] || say "Credentials that the unit reads and $etc/credstore does not have yet: ${missing[*]} (0400, root)"
fi

say "Done, after $SECONDS s"
if grep -qsi '^\[SQLite3\]' "${ODBCSYSINI:-/etc}/odbcinst.ini"; then
    say "Next, without anything of yours:"
    printf '\n    %s\n\n' "$prefix/bin/insights-demo"
else
    say "The demo, $prefix/bin/insights-demo, needs the ODBC driver SQLite3 (Debian: libsqliteodbc)"
fi
say "Next, with your database (docs: $prefix/current/docs/install.md):"
printf '\n    %s\n' "$prefix/venv/bin/insights --config $etc/insights/insights.toml init"
