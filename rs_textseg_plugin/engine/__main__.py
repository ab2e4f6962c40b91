"""The command line: ``python -m rs_textseg_plugin.engine segment | models | word-lists | worker``."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from rs_textseg_plugin.contract import api_key
from rs_textseg_plugin.contract.errors import RecipeError, SceneError, TextSegError
from rs_textseg_plugin.contract.events import Event, Failed, Finished, Progress, Warned
from rs_textseg_plugin.contract.grid import Extent
from rs_textseg_plugin.contract.query import Query, parse_class_list
from rs_textseg_plugin.contract.recipe import (
    PIPELINES,
    PRESETS,
    SAM_CLIP,
    ParameterValue,
    Recipe,
    find_pipeline,
    find_preset,
)
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene, Stretch
from rs_textseg_plugin.contract.text.phrase import parse_phrase_for
from rs_textseg_plugin.contract.text.word_list import find_word_list, known_word_lists, own_lists_home, save_word_list
from rs_textseg_plugin.contract.version import VERSION
from rs_textseg_plugin.contract.wire import RunEvent, encode

_MAY_BEGIN_WITH_A_DASH = ("--text", "--phrase", "--extent")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0 done, 2 bad input, 1 failed, 130 cancelled."""
    _look_here_last()
    options = _parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except TextSegError as error:
        print(f"{error}", file=sys.stderr)
        return error.exit_status


def _look_here_last() -> None:
    """Let no neighbour of this package shadow a package of the engine's environment.

    Started with -m, the folder that holds this package is searched first; in a QGIS profile it holds all plugins.
    """
    here = Path(__file__).resolve().parents[2]
    if sys.path and Path(sys.path[0] or ".").resolve() == here:
        sys.path.append(sys.path.pop(0))


def _joined(arguments: Sequence[str]) -> list[str]:
    """Tie values such as ``-shadow,road`` or ``-5.2,40,-5.1,41`` to their option; argparse takes them for options."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in _MAY_BEGIN_WITH_A_DASH and _has_one_dash(argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _has_one_dash(argument: str) -> bool:
    return argument.startswith("-") and not argument.startswith("--")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence; the list of all options would bury it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"The command is not understood ({message}): see '{self.prog} --help'.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m rs_textseg_plugin.engine", description="RS TextSeg's engine.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_segment(commands.add_parser("segment", help="segment a raster by text"))
    _add_models(commands.add_parser("models", help="list, fetch, verify or import model sets"))
    _add_word_lists(commands.add_parser("word-lists", help="list, show or save class lists under a name"))
    worker = commands.add_parser("worker", help="serve requests as JSON lines on stdin and stdout")
    worker.set_defaults(command=_worker)
    return parser


def parameter_table() -> str:
    """Return all parameters of all pipelines, for the help text."""
    lines = []
    for info in PIPELINES.values():
        lines.append(f"parameters of {info.name} (--param name=value):")
        for p in info.parameters:
            default = "auto" if p.default is None else p.default
            lines.append(f"  {p.name}={default}\n      {p.help} Source: {p.source}.")
    return "\n".join(lines)


def preset_table() -> str:
    """Return all presets with their values, for the help text."""
    lines = ["presets (--preset name); a --param of one's own wins over them, they win over the model set's:"]
    for name, preset in PRESETS.items():
        values = " ".join(f"{key}={'auto' if value is None else value}" for key, value in preset.values.items())
        lines.append(f"  {name} ({preset.pipeline}, {preset.about}): {values}")
    return "\n".join(lines)


def _add_segment(parser: argparse.ArgumentParser) -> None:
    parser.epilog = f"{parameter_table()}\n{preset_table()}"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(command=_segment)
    parser.add_argument("raster", metavar="RASTER", help="any raster that GDAL opens")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", help='class list, e.g. "building|roof, road, water, -shadow"')
    what.add_argument("--word-list", metavar="NAME", help="a class list under a name (see 'word-lists list') or a file")
    what.add_argument("--phrase", help='e.g. "the largest house within 50 m of a road", or a question (vlm-sam)')
    parser.add_argument("--pipeline", default=SAM_CLIP.name, help=f"one of: {', '.join(PIPELINES)}")
    parser.add_argument("--models", default="demo", help="a model set or a folder with checkpoints")
    parser.add_argument("--out", required=True, help="result: .gpkg, .shp, .geojson or .fgb")
    parser.add_argument("--label-raster", default="", help="GeoTIFF with the class of every pixel")
    parser.add_argument("--score-raster", default="", help="GeoTIFF with the score of every pixel")
    parser.add_argument("--class-scores", default="", help="GeoTIFF with a band for each class: its probability")
    parser.add_argument("--map", default="", help="PNG picture of the result")
    parser.add_argument("--clicks", default="", help="GeoJSON with the boxes and points of vlm-sam's model")
    consent = "pictures may be sent to the base_url of vlm-sam; the key is read from " + api_key.VARIABLE
    parser.add_argument("--consent-to-send", action="store_true", help=consent)
    parser.add_argument("--param", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="a parameter")
    parser.add_argument("--preset", default="", metavar="NAME", help=f"named parameters: {', '.join(PRESETS)}")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--precision", default="auto", help="auto, fp32 or bf16")
    parser.add_argument("--bands", default="1,2,3", help="red, green and blue band, or one band for grey")
    parser.add_argument("--stretch", default="auto", help="auto, none, percentile:2:98 or range:0:4000")
    parser.add_argument("--nodata", type=float, help="a value that marks missing pixels")
    parser.add_argument("--extent", default="", help="xmin,ymin,xmax,ymax in the raster's CRS")
    parser.add_argument("--resolution", type=float, metavar="METRES", help="working pixel size on the ground")
    parser.add_argument("--json", action="store_true", help="print events as JSON lines")


def _segment(options: argparse.Namespace) -> int:
    from rs_textseg_plugin.engine.service import run
    from rs_textseg_plugin.engine.worker import private_stdout

    request = _request(options)
    stop = _stop_on_interrupt()
    with private_stdout() as out:
        report: Callable[[Event], None] = _JsonReport(out).show if options.json else _TextReport(out).show
        try:
            for event in run(request, stop.is_set):
                report(event)
        except TextSegError as error:
            report(Failed(type(error).__name__, str(error)))
            return error.exit_status
    return 0


def _request(options: argparse.Namespace) -> Request:
    scene = Scene(
        path=options.raster,
        bands=_bands(options.bands),
        stretch=Stretch.parse(options.stretch),
        nodata=options.nodata,
        extent=_extent(options.extent),
        ground_resolution_m=options.resolution,
    )
    parameters = {**find_preset(options.preset, options.pipeline), **_parameters(options.param)}
    recipe = Recipe(options.pipeline, options.models, parameters, options.device, options.precision)
    output = Output(
        options.out,
        options.label_raster,
        options.score_raster,
        map_picture=options.map,
        clicks=options.clicks,
        class_scores=options.class_scores,
    )
    consent = str(parameters.get("base_url") or "") if options.consent_to_send else ""
    return Request(scene, _query(options), recipe, output, consent)


def _query(options: argparse.Namespace) -> Query:
    if options.phrase is not None:
        return parse_phrase_for(find_pipeline(options.pipeline), options.phrase)
    if options.word_list is not None:
        return parse_class_list(find_word_list(options.word_list).text)
    return parse_class_list(options.text)


def _bands(text: str) -> tuple[int, ...]:
    try:
        bands = tuple(int(part) for part in text.split(","))
    except ValueError:
        bands = ()
    if len(bands) not in (1, 3) or min(bands) < 1:
        raise SceneError(f"The bands {text!r} are not understood: write three numbers such as 4,3,2, or one for grey.")
    return bands


def _extent(text: str) -> Extent | None:
    if not text:
        return None
    try:
        extent = Extent(*(float(part) for part in text.split(",")))
    except (TypeError, ValueError):
        raise SceneError(f"The extent {text!r} is not understood: write xmin,ymin,xmax,ymax.") from None
    if extent.xmin >= extent.xmax or extent.ymin >= extent.ymax:
        raise SceneError(f"The extent {text!r} is empty: xmin must be below xmax, and ymin below ymax.")
    return extent


def _parameters(pairs: Sequence[str]) -> dict[str, ParameterValue]:
    parameters: dict[str, ParameterValue] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise RecipeError(f"The parameter {pair!r} is not understood: write it as name=value.")
        parameters[name] = value
    return parameters


def _stop_on_interrupt() -> threading.Event:
    """Return an event that the first Ctrl+C sets; the second one ends the program at once."""
    stop = threading.Event()

    def interrupt(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    return stop


class _JsonReport:
    """Events as the worker would send them."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: Event) -> None:
        self._out.write(encode(RunEvent("segment", event)))
        self._out.flush()


class _TextReport:
    """Progress on stderr, the table of classes on stdout."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._show_progress(event)
        elif isinstance(event, Warned):
            print(f"Note: {event.message}", file=sys.stderr, flush=True)
        elif isinstance(event, Finished):
            print(summary(event), file=self._out, flush=True)
        elif isinstance(event, Failed):
            print("\n".join(filter(None, (event.details, event.message))), file=sys.stderr, flush=True)

    def _show_progress(self, event: Progress) -> None:
        """One line that is written over on a terminal, one line each in a log."""
        line, end = progress_line(event), "\n"
        if sys.stderr.isatty():
            line, end = f"{line:70}", "\n" if event.fraction >= 1 else "\r"
        print(line, end=end, file=sys.stderr, flush=True)


def progress_line(event: Progress) -> str:
    """Return progress in one line: share, stage, tiles, time left."""
    tiles = f", tile {event.tiles_done} of {event.tiles_total}" if event.tiles_total else ""
    left = f", about {_duration(event.seconds_left)} left" if event.seconds_left else ""
    return f"{event.fraction:4.0%} {event.stage}{tiles}{left}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def summary(event: Finished) -> str:
    """Return the table of classes and where the results lie."""
    width = max(5, *(len(row.name) for row in event.classes))
    lines = [f"{'class':{width}}  polygons     area m2  mean score"]
    lines += [
        f"{row.name:{width}}  {row.count:8d}  {row.area_m2:10.1f}  {row.mean_score:10.3f}" for row in event.classes
    ]
    lines.append(f"{event.seconds:.1f} s on {event.device}")
    if event.is_demo:
        lines.append("Made with the demo models: for trying the product, not for maps.")
    paths = (
        event.path, event.label_raster, event.score_raster, event.class_scores, event.map_picture, event.clicks,
    )  # fmt: skip
    lines.append("Written: " + ", ".join(path for path in paths if path))
    return "\n".join(lines)


def _worker(_: argparse.Namespace) -> int:
    from rs_textseg_plugin.engine.worker import serve

    return serve()


def _add_models(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the sets of the catalogue and those on this machine")
    listing.set_defaults(command=_list_models)
    fetching = actions.add_parser("fetch", help="download a set of the catalogue")
    fetching.add_argument("name")
    fetching.set_defaults(command=_fetch_models)
    verifying = actions.add_parser("verify", help="check that a set or folder can be loaded")
    verifying.add_argument("name")
    verifying.set_defaults(command=_verify_models)
    importing = actions.add_parser("import", help="copy checkpoint files into a named set")
    importing.add_argument("name")
    importing.add_argument("files", nargs="+", type=Path)
    importing.set_defaults(command=_import_models)


def _list_models(_: argparse.Namespace) -> int:
    from rs_textseg_plugin.engine.loading.sets import describe_sets

    print(describe_sets())
    return 0


def _fetch_models(options: argparse.Namespace) -> int:
    from rs_textseg_plugin.engine.loading.sets import fetch_set

    print(f"Fetched to {fetch_set(options.name)}")
    return 0


def _verify_models(options: argparse.Namespace) -> int:
    from rs_textseg_plugin.engine.loading.sets import verify_set

    print(verify_set(options.name))
    return 0


def _import_models(options: argparse.Namespace) -> int:
    from rs_textseg_plugin.engine.loading.sets import import_set

    print(f"Imported to {import_set(options.name, options.files)}")
    return 0


def _add_word_lists(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help=f"the published lists and your own (in {own_lists_home()})")
    listing.set_defaults(command=_list_word_lists)
    showing = actions.add_parser("show", help="print the classes of a list")
    showing.add_argument("name")
    showing.set_defaults(command=_show_word_list)
    saving = actions.add_parser("save", help="save a class list under a name")
    saving.add_argument("name")
    saving.add_argument("--text", required=True, help='class list, e.g. "building|roof, road, -shadow"')
    saving.add_argument("--about", default="", help="what it is, in a sentence")
    saving.set_defaults(command=_save_word_list)


def _list_word_lists(_: argparse.Namespace) -> int:
    for entry in known_word_lists():
        print(f"{entry.name:24} {'yours' if entry.is_own else 'published':10} {entry.about}".rstrip())
    return 0


def _show_word_list(options: argparse.Namespace) -> int:
    print(find_word_list(options.name).text)
    return 0


def _save_word_list(options: argparse.Namespace) -> int:
    print(f"Saved as {save_word_list(options.name, options.text, options.about)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
