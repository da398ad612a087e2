"""Pictures of what a network looks at."""

import argparse


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "explain",
        help="what a network looks at in image files",
        description="A picture for each image: every attention map, Grad-CAM and "
        "occlusion sensitivity.",
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("path", help="folder of a run (its best network) or a .keras file in it")
    add("images", nargs="+", help="image files: JPEG, PNG, BMP, GIF")
    add("--out", help="folder of the pictures (explain in the run's folder)")
    add("--maps", nargs="+", help="of attention, grad-cam, occlusion (all)")
    add("--class", dest="about", help="what to explain (each image's own answer)")
    add("--layer", nargs="+", help="of Grad-CAM: a layer, or stage3 (the last)")
    add("--patch", type=int, help="pixels of the occluded square (1/8 of the image)")
    add("--stride", type=int, help="pixels between two squares (half of --patch)")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.cli.options import present
    from keras_attention.visualization.explaining_files import explain_run

    chosen = present(arguments, ("out", "maps", "about", "layer", "patch", "stride"))
    for option, argument in (("maps", "kinds"), ("layer", "layers")):
        if option in chosen:
            chosen[argument] = chosen.pop(option)
    for picture in explain_run(
        arguments.path, arguments.images, verbose=not arguments.quiet, **chosen
    ):
        print(picture)
