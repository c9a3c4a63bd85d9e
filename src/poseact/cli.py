"""The command line: one verb a job. A user's mistake ends with one line and exit code 2."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from poseact.errors import UserError

DATA_NAMES = "mpii, human36m, penn-action, ntu, lspet, coco, folder or synthetic"
DESCRIPTION = "2D and 3D pose, and the action, of a person in images, from one network."

SHOWN_MESSAGES = 20


def main(argv: list[str] | None = None) -> int:
    """Run a verb; returns the exit code: 0, 2 for a user's mistake, 130 when interrupted."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    if rest and (args.run is not _train or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:  # overrides may stand on both sides of an option, which argparse alone refuses
        args.overrides += rest
    from poseact.memory import keep_freed_memory

    keep_freed_memory()
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
    evaluate.add_argument("--data", required=True, metavar="NAME", help=f"data set: {DATA_NAMES}")
    _root_options(evaluate)
    evaluate.add_argument("--json", type=Path, metavar="OUT.json", help="write the scores there too")

    predict = _verb(verbs, "predict", _predict, "overlays and COCO JSON for an image or a folder")
    predict.add_argument("source", type=Path, metavar="SOURCE", help="an image or a folder of images")
    _weights_option(predict)
    predict.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")

    data = verbs.add_parser("data", help="data sets: check, look at, pack")
    jobs = data.add_subparsers(title="jobs", required=True, metavar="JOB")
    check = _verb(jobs, "check", _data_check, "count, and list what is damaged, impossible or swapped")
    _data_options(check)
    check.add_argument("--json", type=Path, metavar="OUT.json", help="write the whole report there")
    show = _verb(jobs, "show", _data_show, "a picture of samples, before and after augmentation")
    _data_options(show)
    show.add_argument("--out", type=Path, default=Path("samples.png"), metavar="OUT.png")
    show.add_argument("--count", type=int, default=18, metavar="N", help="samples on the sheet (18)")
    show.add_argument("--seed", type=int, default=0, metavar="N", help="which samples and which draws (0)")
    show.add_argument("--augmentation", default="paper", metavar="A", help="named ranges (paper)")
    pack = _verb(jobs, "pack", _data_pack, "person crops in few large files, for slow or remote disks")
    _data_options(pack)
    pack.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder; then use it as --root")
    pack.add_argument(
        "--size", type=int, default=256, metavar="PX", help="most pixels of a person's box (256)"
    )
    pack.add_argument("--raw", action="store_true", help="plain pixels: ten times larger, faster to read")

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


def _data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="NAME", help=f"data set: {DATA_NAMES}")
    _root_options(parser)


def _root_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of the data set")
    parser.add_argument(
        "--split", default="all", help="all, train, val, dev or test, where the set has it (all)"
    )


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
    from poseact.data import as_stills, open_data
    from poseact.data.human36m import TEST_STEP
    from poseact.data.images import write_whole
    from poseact.evaluation.protocols import evaluate_pose, score_object
    from poseact.inference.device import pick_device
    from poseact.inference.writers import json_bytes
    from poseact.weights import load_model

    source = as_stills(open_data(args.data, args.root, args.split), TEST_STEP)
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


def _data_check(args: argparse.Namespace, console: Console) -> None:
    import dataclasses

    from poseact.data import open_data, published
    from poseact.data.check import check
    from poseact.data.images import write_whole
    from poseact.inference.writers import json_bytes

    source = open_data(args.data, args.root, args.split)
    report = check(source, published(args.data, args.split), console)
    console.print(report_table(args.data, args.split, report))
    for title, messages in (("damaged", report.damaged), ("impossible", report.impossible)):
        if messages:
            console.print(f"{len(messages)} {title}:", *messages[:SHOWN_MESSAGES], sep="\n  ", markup=False)
            if len(messages) > SHOWN_MESSAGES:
                console.print(f"  and {len(messages) - SHOWN_MESSAGES} more; --json lists them all")
    for warning in report.warnings():
        console.print(f"warning: {warning}")
    if args.json:
        content = {"data": args.data, "split": args.split, **dataclasses.asdict(report)}
        write_whole(args.json, json_bytes({**content, "warnings": report.warnings()}))
        console.print(f"report: {args.json}")


def report_table(data: str, split: str, report: Any) -> Table:
    """What a check counted."""
    table = Table("", "", title=f"{data}, {split}", show_header=False)
    table.add_row("people or tracks", str(report.items))
    table.add_row(
        "published", "not known for this split" if report.published is None else str(report.published)
    )
    table.add_row("frames annotated", str(report.frames))
    table.add_row("damaged", str(len(report.damaged)))
    table.add_row("impossible joints", str(len(report.impossible)))
    for name, text in (
        ("facing", "upright people who show their face"),
        ("agreeing", "shoulders and hips in the same order"),
        ("feet_forward", "feet that point forwards in 3D"),
    ):
        share = getattr(report, name)
        table.add_row(text, "-" if math.isnan(share) else f"{share:.1%}")
    return table


def _data_show(args: argparse.Namespace, console: Console) -> None:
    from poseact.data import open_data
    from poseact.data.augment import AUGMENTATIONS
    from poseact.data.images import write_png
    from poseact.visual.samples import sample_sheet

    if args.augmentation not in AUGMENTATIONS:
        known = ", ".join(AUGMENTATIONS)
        raise UserError(f"unknown augmentation {args.augmentation!r}; expected one of {known}")
    source = open_data(args.data, args.root, args.split)
    sheet, damaged = sample_sheet(source, AUGMENTATIONS[args.augmentation], args.count, args.seed)
    write_png(args.out, sheet)
    console.print(f"sheet: {args.out}; yellow: what the crop beside it shows; right limbs orange, left blue")
    for message in damaged:
        console.print(f"skipped: {message}", markup=False)


def _data_pack(args: argparse.Namespace, console: Console) -> None:
    from poseact.data import open_data
    from poseact.data.pack import pack

    source = open_data(args.data, args.root, args.split)
    damaged = pack(source, args.data, args.split, args.out, args.size, console, args.raw)
    console.print(f"packed: {args.out / args.split}; use --root {args.out} with --split {args.split}")
    for message in damaged:
        console.print(f"left out: {message}", markup=False)


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
