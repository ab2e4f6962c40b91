#!/usr/bin/env bash
# Makes the README's picture of the dock: starts QGIS with a fresh profile on a virtual display, loads a raster,
# types a text, runs it, and saves the window. It is made by the product itself, so it shows what the product does.
#
#   scripts/screenshot.sh RASTER MODELS TEXT [PICTURE]
#
# MODELS is a set's name or a folder, PICTURE docs/images/dock.png unless named otherwise.
# RS_TEXTSEG_ENGINE_PYTHON may name another interpreter for the engine than .venv's.
# RS_TEXTSEG_PICTURE_METHOD names a method as the dock does, RS_TEXTSEG_PICTURE_ASK=phrase takes TEXT for a phrase,
# RS_TEXTSEG_PICTURE_DOCK_PX is the width of the dock; RS_TEXTSEG_PICTURE_SERVER and RS_TEXTSEG_PICTURE_SERVER_MODEL
# name an endpoint. RS_TEXTSEG_PICTURE_OF=queryGroup takes a picture of that part of the dock only.
# RS_TEXTSEG_PICTURE_AT=running takes the picture while the run goes on; =typed before it starts.
set -euo pipefail
if [ "$#" -lt 3 ]; then
    sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
raster=$(realpath "$1") models=$2 text=$3 picture=$(realpath -m "${4:-$root/docs/images/dock.png}")
if [ -d "$models" ]; then models=$(realpath "$models"); fi

session=$(mktemp -d)
trap 'rm -rf "$session"' EXIT
profile=$session/home/.local/share/QGIS/QGIS3/profiles/default/QGIS
mkdir -p "$profile" "$session/runtime" "$session/plugins" "$(dirname "$picture")"
chmod 700 "$session/runtime"
cat > "$profile/QGIS3.ini" << 'SETTINGS'
[PythonPlugins]
rs_textseg_plugin=true
[qgis]
showTips=false
checkVersion=false
[app]
minTaskLengthForSystemNotification=3600
SETTINGS
"$root/.venv/bin/python" "$root/scripts/stage.py" "$session/plugins" --link > /dev/null

cd "$session"
env HOME="$session/home" XDG_RUNTIME_DIR="$session/runtime" QGIS_PLUGINPATH="$session/plugins" \
    RS_TEXTSEG_ENGINE_PYTHON="${RS_TEXTSEG_ENGINE_PYTHON:-$root/.venv/bin/python}" \
    RS_TEXTSEG_PICTURE="$picture" RS_TEXTSEG_PICTURE_RASTER="$raster" RS_TEXTSEG_PICTURE_MODELS="$models" \
    RS_TEXTSEG_PICTURE_TEXT="$text" GDAL_PAM_ENABLED=NO \
    xvfb-run --auto-servernum --server-args "-screen 0 1400x900x24" \
    timeout 600 qgis --nologo --code "$root/scripts/screenshot_driver.py" > "$session/log" 2>&1 || true
if [ ! -s "$session/done" ]; then
    tail -n 20 "$session/log" >&2
    echo "No picture was made; the last lines of QGIS's output are above." >&2
    exit 1
fi
cat "$session/done"
