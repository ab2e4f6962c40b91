#!/usr/bin/env bash
# Set-up, every check, every test. Works from a clean clone, without a display and without a GPU.
#
#   scripts/test.sh                          everything: what the continuous integration runs
#   scripts/test.sh --quick                  every check, and a choice of tests from every ring: two minutes on two cores
#   scripts/test.sh [--quick] -x -k grid     the other arguments go to pytest
set -euo pipefail
cd "$(dirname "$0")/.."

# What --quick runs: something of every ring, with small models that are real, and one run through the dock.
# tests/architecture is not among them because scripts/check.py runs it.
quick=(
    tests/contract
    tests/engine/answers
    tests/engine/cli/test_bad_input.py
    tests/engine/loading/test_files.py
    tests/engine/mosaic
    tests/engine/pipelines/test_sam_clip.py
    tests/engine/raster/test_bands.py
    tests/engine/raster/test_collar.py
    tests/engine/raster/test_georeference.py
    tests/engine/raster/test_region.py
    tests/engine/raster/test_scene_tiles.py
    tests/engine/results/test_polygons.py
    tests/engine/results/test_raster_file.py
    tests/engine/results/test_vector_file.py
    tests/runtime/test_session.py
    tests/runtime/test_worker_process.py
    tests/host
    tests/gui/query
    tests/gui/state
    tests/gui/test_end_to_end.py::test_a_typed_class_list_becomes_a_layer_in_the_project
    tests/algorithms/test_segment_by_text.py
)

chosen=()
if [ "${1:-}" = --quick ]; then
    shift
    chosen=("${quick[@]}")
fi

./scripts/setup.sh
status=0
# Checks and tests keep one core busy each. What the checks said is shown after the tests.
said=$(mktemp)
.venv/bin/python scripts/check.py >"$said" 2>&1 &
checks=$!
trap 'kill "$checks" 2>/dev/null || true; rm -f "$said"' EXIT
# The tests' models are so small that threads would wait for each other most of the time.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# QGIS needs a platform before pytest has read any of our files. Its profile stays inside the checkout.
QT_QPA_PLATFORM=offscreen .venv/bin/python -m pytest "${chosen[@]}" "$@" || status=1
wait "$checks" || status=1
cat "$said"
exit "$status"
