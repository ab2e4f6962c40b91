#!/usr/bin/env bash
# Does all the set-up, then runs the main job on the sample scene: leaves out/demo.gpkg and out/demo.png.
#   scripts/demo.sh ["class list" [MODELS]]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
mkdir -p out
# glibc gives large blocks back to the system at once and the kernel clears them again for every tensor; kept, SAM is
# up to twice as fast. This works only from the environment, before the program starts (the plugin does the same).
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000
everything="building, road, car park, car, water, grass, forest, tree, cropland, bare soil"
everything="$everything, solar panel, swimming pool, storage tank, ship"
closed_list=$([ $# = 0 ] && echo true || echo false) # nothing but these classes was drawn
.venv/bin/python -m rs_textseg_plugin.engine segment resources/demo/scene.tif \
    --text "${1:-$everything}" --param closed_list="$closed_list" --models "${2:-demo}" \
    --out out/demo.gpkg --map out/demo.png
