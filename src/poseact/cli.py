"""The command line: one verb a job. A user's mistake ends with one line and exit code 2."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
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

    demo = _verb(verbs, "demo", _demo, "train the smallest network on synthetic people, a few minutes")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results (demo)")

    _train_options(_verb(verbs, "train", _train, "train a recipe, or go on with a run that was stopped"))

    evaluate = _verb(verbs, "evaluate", _evaluate, "score weights on a data set, every block")
    evaluate.description = "Score weights on a data set. Processes that torchrun starts share the work."
    _weights_option(evaluate)
    evaluate.add_argument("--data", required=True, metavar="NAME", help=f"data set: {DATA_NAMES}")
    _root_options(evaluate)
    evaluate.add_argument("--count", type=int, metavar="N", help="synthetic videos")
    _rule_options(evaluate)
    evaluate.add_argument("--json", type=Path, metavar="OUT.json", help="write the scores, and examples")
    evaluate.add_argument(
        "--submission", type=Path, metavar="OUT.mat", help="MPII, split test-single: the file for its server"
    )

    report = _verb(verbs, "report", _report, "the paper's tables and figures from evaluation files")
    report.add_argument(
        "sources", type=Path, nargs="+", metavar="RUN_OR_JSON", help="files of `evaluate --json`, or folders"
    )
    report.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the report")

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
    _render_options(_verb(jobs, "render", _data_render, "write synthetic people as a data set of files"))

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


def _rule_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--protocol", default="ours", metavar="NAME", help="rules: ours, paper or released (ours)"
    )
    parser.add_argument("--task", metavar="T", help="pose or action (action where network and set have them)")
    parser.add_argument("--crops", metavar="C", help="one, flip, or ten: five crops and their mirror images")
    parser.add_argument("--clips", metavar="C", help="middle, or many: one each T/2 frames")
    parser.add_argument("--boxes", metavar="B", help="given, found by the network, or the authors'")
    parser.add_argument("--poses", metavar="P", help="for actions: estimated, given (annotated), or noisy")
    parser.add_argument("--noise", type=float, metavar="SD", help="of noisy poses, in sides of the crop")


def _render_options(parser: argparse.ArgumentParser) -> None:
    forms = "clips, mpii, human36m, penn-action or ntu"
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the set")
    parser.add_argument("--form", default="clips", metavar="FORM", help=f"{forms} (clips)")
    parser.add_argument("--count", type=int, metavar="N", help="videos, or people for mpii (by form)")
    parser.add_argument("--frames", type=int, metavar="F", help="frames of a video (by form)")
    parser.add_argument("--size", metavar="HxW", help="pixels, or one number for a square (by form)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="which people, motions, scenes (0)")
    parser.add_argument("--actions", metavar="A,B,C", help="only these (all that the form has a label for)")
    parser.add_argument("--motions", type=Path, metavar="M", help="motion capture: an .npz, a folder of .bvh")
    parser.add_argument("--photographs", type=Path, metavar="DIR", help="pictures for the backgrounds")


def _train_options(train: argparse.ArgumentParser) -> None:
    train.add_argument("recipe", help="a YAML file, or the name of a recipe of the package")
    text = "such as roots.mpii=DIR or training.epochs=10; STAGE:key.sub=value for one stage of a chain"
    train.add_argument("overrides", nargs="*", metavar="key.sub=value", help=text)
    train.add_argument("--out", type=Path, help="folder of the run (runs/<recipe>)")
    train.formatter_class = argparse.RawDescriptionHelpFormatter
    train.epilog = """\
A recipe that comes after another one is trained after it, each stage in a folder of its own in the
run's; the same command goes on with what was stopped. Several GPUs or machines share the batch, and
the run's folder lies where all of them see it:
  accelerate launch --multi_gpu --num_processes 4 -m poseact.cli train mpii.yaml roots.mpii=DIR
  torchrun --nproc_per_node 4 -m poseact.cli train mpii.yaml roots.mpii=DIR
  torchrun --nnodes 2 --node_rank 0 --master_addr HOST --nproc_per_node 4 -m poseact.cli train ..."""


# Verbs import what they need when they run, so that --help answers at once.


def _demo(args: argparse.Namespace, console: Console) -> None:
    from poseact.demo import run_demo

    run_demo(args.out, console)


def _train(args: argparse.Namespace, console: Console) -> None:
    from poseact.training.loop import train_chain
    from poseact.training.recipe import read_chain

    chain = read_chain(args.recipe, args.overrides)
    train_chain(chain, args.out or Path("runs") / chain[-1].name, console)


def _evaluate(args: argparse.Namespace, console: Console) -> None:
    from poseact.evaluation.rules import changed, protocol_of
    from poseact.evaluation.run import open_job, run_job, submit, task_of

    options = {name: getattr(args, name) for name in ("crops", "clips", "boxes", "poses", "noise")}
    protocol = changed(protocol_of(args.protocol, args.data, args.split), **options)
    job = open_job(args.weights, args.data, args.root, args.split, protocol, args.count)
    told = console if job.main else None
    console.quiet = not job.main
    console.print(f"device: {job.device}")
    if args.submission and args.json:
        raise UserError("submission: the labels are withheld, so there are no scores; leave --json out")
    if args.submission:
        damaged = submit(job, args.submission, told)
        console.print(f"submission: {args.submission}")
    else:
        scores, written = run_job(job, task_of(job, args.task), args.json, told)
        damaged = scores.damaged
        for table in score_tables(scores):
            console.print(table)
        console.print(f"rules: {scores.rules}", markup=False)
        for path in written:
            console.print(f"written: {path}", markup=False)
    if damaged:
        console.print(f"{len(damaged)} unreadable samples left out:", *damaged, sep="\n  ", markup=False)


def score_tables(scores: Any) -> list[Table]:
    """Every metric by block; of what is reported, the main one by joint and all streams by action."""
    skipped = f", {scores.skipped} could not be" if scores.skipped else ""
    longest = max(map(len, scores.scores.values()))
    heads = [f"block {k + 1}" for k in range(longest)]
    alone = [name for name, values in scores.scores.items() if len(values) < longest]
    blocks = _narrow_table("", *heads, *(["aggregation"] if alone else []))
    blocks.title = f"{scores.samples} scored{skipped}"
    for name, values in scores.scores.items():
        cells = [""] * longest + list(values[-1:]) if name in alone else values
        blocks.add_row(name, *(cell if cell == "" else _score_text(name, cell) for cell in cells))
    tables = [blocks]
    for title, rows in (("joint", getattr(scores, "by_joint", {})), ("action", scores.by_action)):
        shown = alone + [name for name in scores.scores if alone and name not in alone] or [scores.main]
        table = _narrow_table(title, *shown)
        for key, row in rows.items():
            table.add_row(key, *(_score_text(name, row.get(name, math.nan)) for name in shown))
        tables += [table] if rows else []
    return tables


def _narrow_table(*columns: str) -> Table:
    """Eight blocks fit into 80 columns."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    return table


def _score_text(metric: str, value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.1f}" if metric.endswith("_mm") else f"{value:.3f}"


def _report(args: argparse.Namespace, console: Console) -> None:
    from poseact.evaluation.report import write_report

    for path in write_report(args.sources, args.out):
        console.print(f"written: {path}", markup=False)


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


def _data_render(args: argparse.Namespace, console: Console) -> None:
    from poseact.data.synthetic.render import render_set

    options = {name: getattr(args, name) for name in ("count", "frames", "size", "seed", "actions")}
    rendered = render_set(
        args.out, args.form, **options, motions=args.motions, photographs=args.photographs, console=console
    )
    found = f" ({rendered.found} were there)" if rendered.found else ""
    console.print(f"{args.form}: {args.out}, {rendered.made} made{found}; look at it with")
    for split in rendered.splits:
        root = f"{rendered.data} --root {args.out} --split {split}"
        console.print(f"  poseact data check {root}", markup=False)
    console.print(f"  poseact data show {root} --out samples.png", markup=False)


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
