#!/usr/bin/env bash
# Installs what a server runs, from requirements.lock, each file checked by its hash: for the Dockerfile's first stage.
#
#   packages.sh python      the packages but llama.cpp; PyTorch as its CPU build
#   packages.sh llama       llama.cpp: a wheel from ./wheels if there is one, else compiled with $CMAKE_ARGS
set -euo pipefail

pip=("${PIP:-/opt/insights/venv/bin/pip}" install --no-deps)
# requirements.lock is sorted by name; a comment of it says for which Pythons PyTorch's CPU build has a hash.
locked() { grep -E "^$1==" requirements.lock; }

case $1 in
python)
    grep -E '^[A-Za-z]' requirements.lock | grep -vE '^(torch|llama-cpp-python)==' >wanted.txt
    "${pip[@]}" -r wanted.txt
    tag=$(python3 -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
    locked torch | sed 's/^torch==\([^ ]*\)/torch==\1+cpu/' >torch.txt
    if ! grep -qE "^# torch .*\+cpu: $tag-" requirements.lock; then
        echo "no hash is known of PyTorch's CPU build for $tag: it is taken by its version alone" >&2
        sed -i 's/ --hash=.*//' torch.txt
    fi
    "${pip[@]}" --extra-index-url "$TORCH_INDEX" -r torch.txt
    ;;
llama)
    locked llama-cpp-python >llama.txt
    if compgen -G 'wheels/llama_cpp_python-*.whl' >/dev/null; then # made here, so it has no hash in the lock
        sed -i 's/ --hash=.*//' llama.txt
        "${pip[@]}" --no-index --find-links wheels -r llama.txt
    else
        "${pip[@]}" --no-binary llama-cpp-python -r llama.txt
    fi
    ;;
*)
    echo "usage: packages.sh python|llama" >&2
    exit 2
    ;;
esac
