#!/usr/bin/env bash
# Set-up, every check, every test. Works from a clean clone, without a display and without a GPU.
# Arguments go to pytest: scripts/test.sh tests/contract -k grid
set -euo pipefail
cd "$(dirname "$0")/.."

./scripts/setup.sh
status=0
.venv/bin/python scripts/check.py || status=1
# The tests' models are so small that threads would wait for each other most of the time.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# QGIS needs a platform before pytest has read any of our files. Its profile stays inside the checkout.
QT_QPA_PLATFORM=offscreen .venv/bin/python -m pytest "$@" || status=1
exit "$status"
