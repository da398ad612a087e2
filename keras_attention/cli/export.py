"""From a trained network to a file for another runtime."""

import argparse

from keras_attention.cli.options import add_json, show


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "export",
        help="a file for phones and other runtimes, compared with the network",
        description="Write a trained network as a SavedModel, a LiteRT (TFLite) or an "
        "ONNX file. The file is run beside the network, and kept only if it computes "
        "the same.",
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("path", help="folder of a run (its best network) or a .keras file")
    add("--format", default="litert", help="litert (default), onnx or saved_model")
    add("--precision", default="float32", help="float32 (default), float16 or int8")
    add("--out", metavar="FILE", help="by default beside the network: best.int8.tflite")
    add("--data", help="to calibrate int8 and to compare on; by default the run's")
    add("--data-dir", help="where the data is")
    add("--images", type=int, default=500, metavar="N", help="to calibrate int8 (500)")
    add("--batch-size", type=int, default=1, metavar="N", help="images at a time (1)")
    add("--any-batch-size", action="store_true", help="leave it open, which is slower")
    add(
        "--float-layers",
        nargs="+",
        default=[],
        metavar="LAYER",
        help="names or patterns of layers that stay in float32 in an int8 file",
    )
    add("--overwrite", action="store_true", help="replace what is there")
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.saved_models.from_run import export_run

    found = export_run(
        arguments.path,
        arguments.format,
        arguments.precision,
        out=arguments.out,
        data=arguments.data,
        data_dir=arguments.data_dir,
        images=arguments.images,
        batch_size=None if arguments.any_batch_size else arguments.batch_size,
        float_layers=arguments.float_layers,
        overwrite=arguments.overwrite,
        verbose=False,
    )
    show(found, found.to_dict(), arguments.json)
