#!/usr/bin/env bash
# Makes the secrets of compose.yaml once, a random file each in ./secrets; what is there is kept.
# The folder is its owner's alone; the files in it are readable, for a container's user is another than yours.
set -euo pipefail
cd "$(dirname "$0")"
install -d -m 0700 secrets
for name in hash_key store_admin_password store_owner_password store_password legacy_root_password legacy_password primary_password; do
    [ -s "secrets/$name" ] || head -c 32 /dev/urandom | sha256sum | cut -c1-48 >"secrets/$name"
    chmod 0444 "secrets/$name"
done
