"""``word-lists list | show | save``."""

from __future__ import annotations

import argparse

from rs_textseg_plugin.contract.text.word_list import find_word_list, known_word_lists, own_lists_home, save_word_list


def add_word_lists(parser: argparse.ArgumentParser) -> None:
    """Add the actions to the parser of the command."""
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
        for preset, values in entry.by_preset.items():
            listed = " ".join(f"{name}={value}" for name, value in values.items())
            print(f"{'':35} with the preset {preset}: {listed}")
    return 0


def _show_word_list(options: argparse.Namespace) -> int:
    print(find_word_list(options.name).text)
    return 0


def _save_word_list(options: argparse.Namespace) -> int:
    print(f"Saved as {save_word_list(options.name, options.text, options.about)}")
    return 0
