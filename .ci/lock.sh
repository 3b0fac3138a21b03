#!/usr/bin/env bash
# Writes requirements.lock and .ci/*.lock (what is in which: .ci/lock.py). `.ci/lock.sh` takes the newest versions
# that pyproject.toml allows, `.ci/lock.sh keep` those that stand in the files, with what pyproject.toml asks for since.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip --disable-pip-version-check --no-input install -q uv==0.13.9
export SSL_CERT_FILE=${SSL_CERT_FILE:-${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}}
[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX=$PIP_INDEX_URL
"$scratch/venv/bin/python" .ci/lock.py "$scratch/venv/bin/uv" "${1:-newest}"
