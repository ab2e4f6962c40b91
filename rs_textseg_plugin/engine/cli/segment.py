"""``segment``: from options to a request, and from the request's events to lines and an exit status."""

from __future__ import annotations

import argparse
import textwrap

from rs_textseg_plugin.contract.catalog import own_parameters
from rs_textseg_plugin.contract.errors import TextSegError
from rs_textseg_plugin.contract.events import Failed
from rs_textseg_plugin.contract.recipe import DEVICES, PIPELINES, PRECISIONS, PRESETS, Recipe
from rs_textseg_plugin.contract.request import Output, Request
from rs_textseg_plugin.contract.scene import Scene
from rs_textseg_plugin.contract.server import api_key
from rs_textseg_plugin.contract.text.typed_request import TypedRequest
from rs_textseg_plugin.contract.text.typed_values import parse_extent, parse_parameters
from rs_textseg_plugin.engine.cli.interrupts import stop_on_signals
from rs_textseg_plugin.engine.cli.reports import JsonReport, Report, TextReport

_HELP_WIDTH, _INDENT = 110, " " * 6


def add_segment(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser of the command."""
    parser.epilog = f"{parameter_table()}\n{preset_table()}"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(command=_segment)
    parser.add_argument("raster", metavar="RASTER", help="any raster that GDAL opens")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", help='class list, e.g. "building|roof, road, water, -shadow"')
    what.add_argument("--word-list", metavar="NAME", help="a class list under a name (see 'word-lists list') or a file")
    what.add_argument("--phrase", help='e.g. "the largest house within 50 m of a road", or a question (vlm-sam)')
    parser.add_argument("--pipeline", default=Recipe().pipeline, help=f"one of: {', '.join(PIPELINES)}")
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
    parser.add_argument("--device", default="auto", help=f"one of: {', '.join(DEVICES)}; cuda:1 for a second GPU")
    parser.add_argument("--precision", default="auto", help=f"one of: {', '.join(PRECISIONS)}")
    parser.add_argument(
        "--bands",
        default="",
        help="red, green and blue band, or one for grey (default: 1,2,3)",
    )
    parser.add_argument("--stretch", default="auto", help="auto, none, percentile:2:98 or range:0:4000")
    parser.add_argument("--nodata", default="", help="a value that marks missing pixels")
    parser.add_argument("--extent", default="", help="xmin,ymin,xmax,ymax in the raster's CRS")
    parser.add_argument("--resolution", default="", metavar="METRES", help="working pixel size on the ground")
    parser.add_argument("--json", action="store_true", help="print events as JSON lines")


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
    lines = [
        "presets (--preset name); what a word list says for one wins over it, a --param of one's own over both, and "
        "of the model set's values only those of these parameters count beside it:",
        *(
            f"  {info.name}: {', '.join(p.name for p in info.parameters if p.follows_models)}"
            for info in PIPELINES.values()
        ),
    ]
    for info in PIPELINES.values():
        for name, preset in info.presets.items():
            listed = ((p.name, preset.values[p.name]) for p in info.parameters if p.name in preset.values)
            values = " ".join(f"{key}={'auto' if value is None else value}" for key, value in listed)
            lines.append(f"  {name} ({info.name}, {preset.about}):")
            lines += textwrap.wrap(values, _HELP_WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return "\n".join(lines)


def _segment(options: argparse.Namespace) -> int:
    request = _request(options)  # before torch is imported, so that a slip of the pen is refused at once

    from rs_textseg_plugin.engine.service import run
    from rs_textseg_plugin.engine.worker import private_stdout

    stop = stop_on_signals()
    with private_stdout() as out:
        report: Report = JsonReport(out) if options.json else TextReport(out)
        try:
            for event in run(request, stop.is_set):
                report.show(event)
        except TextSegError as error:
            report.show(Failed(type(error).__name__, str(error)))
            return error.exit_status
    return 0


def _request(options: argparse.Namespace) -> Request:
    typed = TypedRequest(
        text=options.text or "",
        word_list=options.word_list or "",
        phrase=options.phrase or "",
        pipeline=options.pipeline,
        models=options.models,
        preset=options.preset,
        parameters=parse_parameters(options.param),
        of_models=own_parameters(options.models),
        device=options.device,
        precision=options.precision,
        bands=options.bands,
        stretch=options.stretch,
        nodata=options.nodata,
        resolution=options.resolution,
        agrees_to_send=options.consent_to_send,
    )
    output = Output(
        options.out,
        options.label_raster,
        options.score_raster,
        map_picture=options.map,
        clicks=options.clicks,
        class_scores=options.class_scores,
    )
    return typed.build(Scene(options.raster, bands=(), extent=parse_extent(options.extent)), output)
