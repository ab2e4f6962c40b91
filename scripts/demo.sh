#!/usr/bin/env bash
# Does all the set-up, then runs the main job on a sample scene: leaves out/demo.gpkg and out/demo.png.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
mkdir -p out
[ -f out/sample.tif ] || .venv/bin/python scripts/make_sample_scene.py out/sample.tif
[ -d out/random_models ] || .venv/bin/python scripts/make_random_models.py out/random_models
# glibc gives large blocks back to the system at once and the kernel clears them again for every tensor; kept, SAM is
# up to twice as fast. This works only from the environment, before the program starts (the plugin does the same).
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000
.venv/bin/python -m rs_textseg_plugin.engine segment out/sample.tif \
    --text "${1:-building|roof, road, water, field, forest}" \
    --models "${2:-out/random_models}" --out out/demo.gpkg --map out/demo.png
