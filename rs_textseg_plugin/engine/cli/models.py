"""``models list | fetch | verify | import``."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add the actions to the parser of the command."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the sets of the catalogue and those on this machine")
    listing.set_defaults(command=_list_models)
    fetching = actions.add_parser("fetch", help="download a set of the catalogue")
    fetching.add_argument("name")
    fetching.add_argument(
        "--from",
        dest="mirror",
        default="",
        metavar="ADDRESS",
        help="a folder of a server that holds the files under their names in the set; for sets that are verified",
    )
    fetching.add_argument(
        "--accept-licence", action="store_true", help="accept a licence that restricts the use; it is remembered"
    )
    fetching.set_defaults(command=_fetch_models)
    verifying = actions.add_parser("verify", help="check that a set or folder can be loaded")
    verifying.add_argument("name")
    verifying.set_defaults(command=_verify_models)
    importing = actions.add_parser("import", help="copy checkpoints, folders of models and zip files into a named set")
    importing.add_argument("name")
    importing.add_argument("files", nargs="+", type=Path)
    importing.set_defaults(command=_import_models)


def _list_models(_: argparse.Namespace) -> int:
    from rs_textseg_plugin.engine.loading.sets import describe_sets

    print(describe_sets())
    return 0


def _fetch_models(options: argparse.Namespace) -> int:
    from rs_textseg_plugin.engine.loading.fetching import fetch_set

    print(f"Fetched to {fetch_set(options.name, options.mirror, options.accept_licence)}")
    return 0


def _verify_models(options: argparse.Namespace) -> int:
    from rs_textseg_plugin.engine.loading.sets import verify_set

    print(verify_set(options.name))
    return 0


def _import_models(options: argparse.Namespace) -> int:
    from rs_textseg_plugin.engine.loading.importing import import_set

    print(f"Imported to {import_set(options.name, options.files)}")
    return 0
