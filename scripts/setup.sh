#!/usr/bin/env bash
# Makes .venv at the repository's root: the system's Python with its site packages (PyQGIS),
# plus the engine's requirements and the tests'. Safe to run again; it does only what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

system_packages=(qgis python3-qgis python3-venv python3-pip xvfb xauth gdal-bin)
missing=()
for package in "${system_packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    echo "Installing with apt: ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

[ -x .venv/bin/python ] || /usr/bin/python3 -m venv --system-site-packages .venv
stamp=.venv/requirements.stamp
wanted=$(cat requirements.txt requirements-dev.txt)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "Installing the Python packages of requirements-dev.txt into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
    printf '%s\n' "$wanted" > "$stamp"
fi
