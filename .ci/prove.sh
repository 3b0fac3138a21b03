#!/usr/bin/env bash
# Proves a bundle: `.ci/prove.sh dist/BUNDLE.tar`, as root.
#
# In a namespace without network and with a PATH that has no compiler: unpacks it, installs it, makes the first insight with the
# bundle's own demo, three commands in all, and says how long they took. Then tries the installed llama.cpp on the processors of
# older servers, which qemu-user pretends to be (Debian: qemu-user), and says which kernels it chose there.
set -euo pipefail
bundle=$(realpath "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

if [ -z "${INSIDE:-}" ]; then
    trap - EXIT
    rmdir "$folder"
    INSIDE=1 exec unshare --net --mount --ipc -- "$0" "$bundle"
fi
ip link set lo up 2>/dev/null || true # the embedded store listens on a socket alone

mkdir "$folder/bin"
for command in /usr/local/bin/* /usr/bin/* /usr/sbin/*; do
    case ${command##*/} in
    *gcc* | *g++* | cc | c++ | c[89]9* | cpp* | *clang* | cmake | ninja | make | ld | ld.* | *-ld | as | *-as) ;;
    *) ln -sf "$command" "$folder/bin/" ;;
    esac
done
export PATH=$folder/bin HOME=$folder/home
mkdir "$HOME"
for absent in cc gcc g++ c++ clang cmake ninja ld as; do
    ! command -v "$absent" >/dev/null || { echo "$absent is still there" >&2 && exit 1; }
done
if python3 -c 'import socket; socket.create_connection(("9.9.9.9", 53), 2)' 2>/dev/null; then
    echo "there is a network" >&2 && exit 1
fi

cd "$folder"
began=$SECONDS
tar -xf "$bundle"
bash ./*/install.sh --prefix "$folder/opt" --no-systemd
installed=$SECONDS
count() {
    python3 -c 'import sqlite3, sys; print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute(
        "SELECT count(*) FROM ai_insight_triage").fetchone()[0])' "$folder/demo/.demo/helpdesk.sqlite" 2>/dev/null || echo 0
}
(until [ "$(count)" -gt 0 ]; do sleep 1; done && echo $((SECONDS - began)) >"$folder/first") &
first=$!
"$folder/opt/bin/insights-demo" "$folder/demo" | tee "$folder/demo.log"
made=$(count)
echo "proved: no network, no compiler, 3 commands: installed after $((installed - began)) s, first insight after" \
    "$(cat "$folder/first") s, $made insights after $((SECONDS - began)) s"
kill "$first" 2>/dev/null || true
[ "$made" -gt 0 ]

if command -v qemu-x86_64 >/dev/null; then
    for processor in Haswell Nehalem; do
        python=$folder/opt/venv/bin/python trial=$folder/opt/current/trial
        chosen=$(qemu-x86_64 -cpu "$processor" "$python" -I "$trial/trial.py" variant 2>/dev/null)
        OMP_WAIT_POLICY=passive qemu-x86_64 -cpu "$processor" "$python" -I "$trial/trial.py" run "$trial/models" >"$folder/trial.log" 2>&1 ||
            { tail -n 3 "$folder/trial.log" && exit 1; }
        echo "proved: on a $processor, by qemu-user: $(basename "$chosen") passed its trial"
    done
else
    echo "not proved: other processors; qemu-user is missing"
fi
