"""One HTML page about a run."""

import argparse


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "report",
        help="an HTML page about a study, a comparison, a run or a search",
        description="One HTML page that needs no network: tables, curves, confusion "
        "matrices, and what the networks look at in images.",
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("folder", help="of the study, comparison, run or search")
    add("--out", metavar="FILE", help="the page (report.html in the folder)")
    add("--images", type=int, default=10, metavar="N", help="in the gallery (10)")
    add("--data-dir", help="where the data is now, if it moved")
    add("--quiet", action="store_true", help="do not tell what is done")
    return parser


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.reports import write_report

    print(
        write_report(
            arguments.folder,
            out=arguments.out,
            images=arguments.images,
            data_dir=arguments.data_dir,
            verbose=0 if arguments.quiet else 1,
        )
    )
