"""The command line: one verb a job. A user's mistake ends with one line and exit code 2."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from poseact.errors import UserError

DESCRIPTION = "2D and 3D pose, and the action, of a person in images, from one network."


def main(argv: list[str] | None = None) -> int:
    """Run a verb; returns the exit code: 0, 2 for a user's mistake, 130 when interrupted."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    if rest and (args.run is not _train or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:  # overrides may stand on both sides of an option, which argparse alone refuses
        args.overrides += rest
    try:
        args.run(args, Console(stderr=False, soft_wrap=True, highlight=False))
    except UserError as error:
        print(f"poseact: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("poseact", description=DESCRIPTION)
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    demo = _verb(verbs, "demo", _demo, "train the smallest network on made figures, about two minutes")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results (demo)")

    train = _verb(verbs, "train", _train, "train a recipe, or go on with a run that was stopped")
    train.add_argument("recipe", help="a YAML file, or the name of a recipe of the package")
    train.add_argument("overrides", nargs="*", metavar="key.sub=value", help="such as data.root=DIR")
    train.add_argument("--out", type=Path, help="folder of the run (runs/<recipe>)")

    evaluate = _verb(verbs, "evaluate", _evaluate, "score weights on a data set, every block")
    _weights_option(evaluate)
    evaluate.add_argument("--data", required=True, metavar="NAME", help="data set: lspet or synthetic")
    evaluate.add_argument("--root", type=Path, metavar="DIR", help="folder of the data set")
    evaluate.add_argument(
        "--split", default="all", help="all, train, val, dev or test, where the set has it (all)"
    )
    evaluate.add_argument("--json", type=Path, metavar="OUT.json", help="write the scores there too")

    predict = _verb(verbs, "predict", _predict, "overlays and COCO JSON for an image or a folder")
    predict.add_argument("source", type=Path, metavar="SOURCE", help="an image or a folder of images")
    _weights_option(predict)
    predict.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")

    weights = verbs.add_parser("weights", help="published weights: list, download, convert")
    jobs = weights.add_subparsers(title="jobs", required=True, metavar="JOB")
    _verb(jobs, "list", _weights_list, "the published weight files")
    download = _verb(jobs, "download", _weights_download, "fetch a published file and check it")
    download.add_argument("name", help="a name from `poseact weights list`")
    download.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder (here)")
    convert = _verb(jobs, "convert", _weights_convert, "a published Keras file to .safetensors")
    convert.add_argument("source", type=Path, metavar="IN.h5")
    convert.add_argument("target", type=Path, metavar="OUT.safetensors")

    info = _verb(verbs, "info", _info, "versions and device, or what a weight file says of itself")
    info.add_argument("weights", nargs="?", type=Path, metavar="W.safetensors")
    return parser


def _verb(verbs: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _weights_option(parser: argparse.ArgumentParser) -> None:
    text = "a .safetensors file, or a name from `poseact weights list`"
    parser.add_argument("--weights", required=True, metavar="W", help=text)


# Verbs import what they need when they run, so that --help answers at once.


def _demo(args: argparse.Namespace, console: Console) -> None:
    from poseact.demo import run_demo

    run_demo(args.out, console)


def _train(args: argparse.Namespace, console: Console) -> None:
    from poseact.training.loop import train
    from poseact.training.recipe import read_recipe

    recipe = read_recipe(args.recipe, args.overrides)
    out = args.out or Path("runs") / Path(args.recipe).stem
    weights = train(recipe, out, console)
    console.print(f"weights: {weights}\nlog: {out / 'log.csv'}")


def _evaluate(args: argparse.Namespace, console: Console) -> None:
    from poseact.data import open_data
    from poseact.data.images import write_whole
    from poseact.evaluation.protocols import evaluate_pose, score_object
    from poseact.inference.device import pick_device
    from poseact.inference.writers import json_bytes
    from poseact.weights import load_model

    source = open_data(args.data, args.root, args.split)
    model = load_model(args.weights)
    device = pick_device()
    console.print(f"device: {device}")
    scores = evaluate_pose(model, model.layout, source, device, console)
    console.print(score_table(scores))
    if scores.damaged:
        console.print(f"{len(scores.damaged)} unreadable samples left out:", *scores.damaged, sep="\n  ")
    if args.json:
        content = score_object(scores, data=args.data, split=args.split, weights=args.weights)
        write_whole(args.json, json_bytes(content))
        console.print(f"scores: {args.json}")


def score_table(scores: Any) -> Table:
    """A table of a set of scores: blocks, then the joints of the last block."""
    title = f"{scores.metric}, {scores.samples} people ({scores.skipped} without a torso)"
    table = Table("", scores.metric, title=title)
    for k, value in enumerate(scores.by_block, 1):
        table.add_row(f"block {k}", f"{value:.3f}")
    table.add_section()
    for name, value in scores.by_joint.items():
        table.add_row(name, f"{value:.3f}")
    return table


def _predict(args: argparse.Namespace, console: Console) -> None:
    from poseact.inference.files import predict_files
    from poseact.weights import load_model

    if not args.source.exists():
        raise UserError(f"{args.source}: no such file or folder; SOURCE is an image or a folder of images")
    model = load_model(args.weights)
    written = predict_files(model, model.layout, args.source, args.out, console)
    console.print(f"{len(written.overlays)} overlays in {args.out}\nkeypoints: {written.json}")
    if written.skipped:
        console.print(f"{len(written.skipped)} images skipped:", *written.skipped, sep="\n  ")


def _weights_list(args: argparse.Namespace, console: Console) -> None:
    from poseact.weights.registry import RELEASED

    table = Table("name", "file", "network")
    for name, released in RELEASED.items():
        table.add_row(name, released.file, released.network)
    console.print(table)


def _weights_download(args: argparse.Namespace, console: Console) -> None:
    from poseact.weights.registry import download

    console.print(f"downloaded and checked: {download(args.name, args.out)}")


def _weights_convert(args: argparse.Namespace, console: Console) -> None:
    from poseact.weights.keras import convert

    convert(args.source, args.target)
    console.print(f"converted: {args.target}")


def _info(args: argparse.Namespace, console: Console) -> None:
    import torch

    import poseact
    from poseact.inference.device import cpu_has_bf16, pick_device

    if args.weights:
        from poseact.weights import load_weights

        loaded = load_weights(args.weights)
        parameters = sum(p.numel() for p in loaded.model.parameters())
        console.print(f"{args.weights}: {parameters / 1e6:.2f} M parameters")
        for key, value in loaded.metadata.items():
            console.print(f"  {key}: {value}", markup=False)
        return
    console.print(f"poseact {poseact.__version__}, torch {torch.__version__}")
    console.print(
        f"device: {pick_device()}, {torch.get_num_threads()} threads, bf16 on the CPU: {cpu_has_bf16()}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
