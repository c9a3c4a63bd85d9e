"""The command line: one verb a job. A user's mistake ends with one line and exit code 2."""

from __future__ import annotations

import argparse
import io
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from poseact import DEFAULT_WEIGHTS
from poseact.errors import UserError
from poseact.tables import bench_table, calibration_tables, narrow_table, report_table, score_tables

DATA_NAMES = "mpii, human36m, penn-action, ntu, lspet, coco, folder or synthetic"
DESCRIPTION = "2D and 3D pose, and the action, of a person in images, from one network."
COUNT = "so many synthetic videos; of another set at most so many, evenly spaced"

SHOWN_MESSAGES = 20
_LESS_MEMORY = (
    "close what else uses it; a training needs less with training.accumulation=2 or more, or a smaller "
    "training.batch, in another folder"
)


def main(argv: list[str] | None = None) -> int:
    """Run a verb; returns the exit code: 0, 2 for a user's mistake, 130 when interrupted."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    if rest and (args.run not in (_train, _ablation) or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:  # overrides may stand on both sides of an option, which argparse alone refuses
        args.overrides += rest
    from poseact.memory import keep_freed_memory

    keep_freed_memory()
    with suppress(ValueError):  # not in the main thread: nothing to be told
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be stopped is to be interrupted
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # not nohup's
            signal.signal(signal.SIGHUP, _hung_up)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be in any encoding
    # Names of files and actions are text, whatever is in brackets or between colons.
    console = Console(stderr=False, soft_wrap=True, highlight=False, markup=False, emoji=False)
    try:
        _warn_untrained(args, console)
        args.run(args, console)
    except UserError as error:
        print(f"poseact: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not loaded for that alone
            raise
        told = str(error).splitlines()[0]
        print(f"poseact: the GPU's memory is full ({told}); {_LESS_MEMORY}", file=sys.stderr)
        return 2
    except OSError as error:
        place = error.filename2 or error.filename
        if place is None:
            raise
        told = f"{place}: {error.strerror}; see to the path, the disk's space and the permissions"
        print(f"poseact: {told}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("poseact", description=DESCRIPTION)
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    demo = _verb(
        verbs, "demo", _demo, "the package's weights on a clip that it draws, or on a SOURCE of yours"
    )
    demo.add_argument("source", nargs="?", metavar="SOURCE", help="as of `poseact predict`")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results (demo)")

    _train_options(_verb(verbs, "train", _train, "train a recipe, or go on with a run that was stopped"))

    evaluate = _verb(verbs, "evaluate", _evaluate, "score weights on a data set, every block")
    evaluate.description = "Score weights on a data set. Processes that torchrun starts share the work."
    _weights_option(evaluate)
    evaluate.add_argument("--data", required=True, metavar="NAME", help=f"data set: {DATA_NAMES}")
    _root_options(evaluate)
    evaluate.add_argument("--count", type=_above_zero, metavar="N", help=COUNT)
    _rule_options(evaluate)
    evaluate.add_argument(
        "--json", type=Path, metavar="OUT.json", help="write the scores, and examples as OUT.png"
    )
    evaluate.add_argument(
        "--submission", type=Path, metavar="OUT.mat", help="MPII, split test-single: the file for its server"
    )

    report = _verb(verbs, "report", _report, "the paper's tables and figures from evaluation files")
    report.add_argument(
        "sources",
        type=Path,
        nargs="+",
        metavar="RUN_OR_JSON",
        help="files of `evaluate --json`, or folders with some called eval-*.json",
    )
    report.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the report")

    text = "the paper's Table 5 and Figures 8, 9 on synthetic people: trains, evaluates, draws"
    ablation = _verb(verbs, "ablation", _ablation, text)
    ablation.description = f"{text}. It takes hours on two cores; the same command goes on."
    ablation.add_argument("overrides", nargs="*", metavar="key.sub=value", help="for all four recipes")
    ablation.add_argument(
        "--out", type=Path, default=Path("runs/ablation"), metavar="DIR", help="folder (runs/ablation)"
    )

    _predict_options(_verb(verbs, "predict", _predict, "joints and actions of pictures, videos or a camera"))

    export = _verb(verbs, "export", _export, "a folder for ONNX Runtime or OpenVINO, taken like weights")
    _weights_option(export)
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the export")
    export.add_argument("--format", default="onnx", metavar="F", help="onnx or openvino (onnx)")
    export.add_argument("--blocks", type=int, metavar="K", help="stop after block K (the last)")
    export.add_argument("--precision", default="fp32", metavar="P", help="fp32 or int8 (fp32)")
    export.add_argument("--calibrate", type=Path, metavar="DIR", help="pictures of people, which int8 needs")
    export.add_argument("--size", type=int, metavar="PX", help="side of the crops (the network's)")

    _bench_options(_verb(verbs, "bench", _bench, "speed of this machine by backend, precision and block"))

    data = verbs.add_parser("data", help="data sets: check, look at, pack, render")
    jobs = data.add_subparsers(title="jobs", required=True, metavar="JOB")
    check = _verb(jobs, "check", _data_check, "count, and list what is damaged, impossible or swapped")
    _data_options(check)
    check.add_argument("--json", type=Path, metavar="OUT.json", help="write the whole report there")
    show = _verb(jobs, "show", _data_show, "a picture of samples, before and after augmentation")
    _data_options(show)
    show.add_argument("--out", type=Path, default=Path("samples.png"), metavar="OUT.png")
    show.add_argument("--count", type=_above_zero, default=18, metavar="N", help="samples on the sheet (18)")
    show.add_argument("--seed", type=_from_zero, default=0, metavar="N", help="which samples and draws (0)")
    show.add_argument("--augmentation", default="paper", metavar="A", help="named ranges (paper)")
    pack = _verb(jobs, "pack", _data_pack, "person crops in few large files, for slow or remote disks")
    _data_options(pack)
    pack.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder; then use it as --root")
    pack.add_argument(
        "--size", type=_above_zero, default=256, metavar="PX", help="most pixels of a person's box (256)"
    )
    pack.add_argument("--count", type=_above_zero, metavar="N", help=COUNT)
    pack.add_argument("--frames", type=_above_zero, default=48, metavar="F", help="of a synthetic video (48)")
    pack.add_argument(
        "--photographs", type=Path, metavar="DIR", help="pictures for what is behind synthetic people"
    )
    pack.add_argument("--raw", action="store_true", help="plain pixels: ten times larger, faster to read")
    _render_options(_verb(jobs, "render", _data_render, "write synthetic people as a data set of files"))

    weights = verbs.add_parser("weights", help="weights: list, download, convert, calibrate, release")
    jobs = weights.add_subparsers(title="jobs", required=True, metavar="JOB")
    _verb(jobs, "list", _weights_list, "the weights that have a name")
    download = _verb(jobs, "download", _weights_download, "fetch a published file and check it")
    download.add_argument("name", help="a name from `poseact weights list`")
    download.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder (here)")
    convert = _verb(jobs, "convert", _weights_convert, "a published Keras file to .safetensors")
    convert.add_argument("source", type=Path, metavar="IN.h5")
    convert.add_argument("target", type=Path, metavar="OUT.safetensors")
    calibrate = _verb(jobs, "calibrate", _weights_calibrate, "make the uncertainty true on held-out people")
    calibrate.add_argument("source", type=Path, metavar="W.safetensors")
    calibrate.add_argument("target", type=Path, metavar="OUT.safetensors")
    calibrate.add_argument("--data", required=True, metavar="NAME", help=f"data set: {DATA_NAMES}")
    _root_options(calibrate)
    calibrate.add_argument("--count", type=_above_zero, metavar="N", help=COUNT)
    calibrate.add_argument("--actions", action="store_true", help="the probabilities of actions, not joints")

    release = _verb(
        jobs, "release", _weights_release, "filters in half precision, scores written into the file"
    )
    release.add_argument("source", type=Path, metavar="W.safetensors")
    release.add_argument("target", type=Path, metavar="OUT.safetensors")
    release.add_argument(
        "--scores", type=Path, nargs="+", default=[], metavar="EVAL.json", help="files of evaluate --json"
    )
    release.add_argument("--licence", default="", metavar="TEXT", help="what users may do with them")
    release.add_argument("--data", default="", metavar="TEXT", help="what they were trained on")

    info = _verb(verbs, "info", _info, "versions and device, or what a weight file says of itself")
    info.add_argument(
        "weights", nargs="?", metavar="W", help=f"a .safetensors file, {DEFAULT_WEIGHTS} or poseact-free"
    )
    return parser


def _hung_up(*about: object) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes may say so twice
    raise KeyboardInterrupt


def _verb(verbs: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _warn_untrained(args: argparse.Namespace, console: Console) -> None:
    """Presets' names are taken for weights too, which `bench` needs; their answers mean nothing."""
    if args.run in (_evaluate, _predict, _export):
        from poseact.network import PRESETS

        if args.weights in PRESETS and not Path(args.weights).exists():
            console.print(f"warning: {args.weights} is a network without weights: its answers are random")


def _weights_option(parser: argparse.ArgumentParser) -> None:
    text = f"a .safetensors file, an exported folder, or a name of `poseact weights list` ({DEFAULT_WEIGHTS})"
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="W", help=text)


def _data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="NAME", help=f"data set: {DATA_NAMES}")
    _root_options(parser)


def _root_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of the data set")
    parser.add_argument(
        "--split", default="all", help="all, train, val, dev, test or others, see the README (all)"
    )


def _rule_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--protocol", default="ours", metavar="NAME", help="rules: ours, paper or released (ours)"
    )
    parser.add_argument("--task", metavar="T", help="pose or action (action where network and set have them)")
    parser.add_argument("--crops", metavar="C", help="one, flip, or ten: five crops and their mirror images")
    parser.add_argument("--clips", metavar="C", help="middle, or many: one each T/2 frames")
    parser.add_argument(
        "--stride", type=int, metavar="S", help="frames between those of a clip (by the rules)"
    )
    parser.add_argument("--boxes", metavar="B", help="given, found (by the network), found-twice, or authors")
    parser.add_argument("--poses", metavar="P", help="for actions: estimated, given (annotated), or noisy")
    parser.add_argument("--noise", type=float, metavar="SD", help="of noisy poses, in sides of the crop")


def _predict_options(parser: argparse.ArgumentParser) -> None:
    source = "picture, video, folder of either, .txt list of videos, rtsp:// or http://, number of a camera"
    parser.add_argument("source", metavar="SOURCE", help=source)
    _weights_option(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    boxes = (
        "CSV or JSON with frame,person,x,y,width,height, instead of finding one person: frames from 0 (all "
        "where empty), people from 1, pixels of the upright picture from its top left, and room around "
        "the person as in training: 1.5 times a tight box"
    )
    parser.add_argument("--boxes", type=Path, metavar="FILE", help=boxes)
    parser.add_argument(
        "--stride",
        type=int,
        metavar="S",
        help="from one frame of a clip to the next (as in training, by the video's rate)",
    )
    parser.add_argument("--blocks", type=int, metavar="K", help="stop after the first K blocks (all)")
    parser.add_argument("--precision", default="auto", metavar="P", help="auto, fp32 or bf16 (auto)")
    parser.add_argument(
        "--smooth", action="store_true", help="steadier joints, which lag; the page says by how much"
    )
    parser.add_argument("--focal", type=float, metavar="PX", help="focal length, for metres")
    parser.add_argument("--height", type=float, metavar="M", help="of the person, for metres (1.7)")
    parser.add_argument("--threshold", type=float, metavar="P", help="probability that makes a segment (0.7)")
    parser.add_argument("--only", metavar="A,B", help="of video,json,csv,npz,bvh,timeline,page (all)")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="many videos: processes (one a core, at most 8)"
    )
    parser.add_argument("--ray", action="store_true", help="many videos: through Ray Data")


def _render_options(parser: argparse.ArgumentParser) -> None:
    forms = "clips, mpii, human36m, penn-action or ntu"
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the set")
    parser.add_argument("--form", default="clips", metavar="FORM", help=f"{forms} (clips)")
    parser.add_argument("--count", type=int, metavar="N", help="videos, or people for mpii (by form)")
    parser.add_argument("--frames", type=int, metavar="F", help="frames of a video (by form)")
    parser.add_argument("--size", metavar="HxW", help="pixels, or one number for a square (by form)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="people, motions, scenes (0)")
    parser.add_argument("--actions", metavar="A,B,C", help="only these (all that the form has a label for)")
    parser.add_argument("--motions", type=Path, metavar="M", help="motion capture: an .npz, a folder of .bvh")
    parser.add_argument("--photographs", type=Path, metavar="DIR", help="pictures for the backgrounds")


def _bench_options(bench: argparse.ArgumentParser) -> None:
    _weights_option(bench)
    bench.add_argument("--size", type=int, metavar="PX", help="side of the crops (the network's)")
    bench.add_argument("--batch", type=int, default=1, metavar="N", help="crops at a time (1)")
    text = "stop after each of these (torch: every one; other backends: the last)"
    bench.add_argument("--blocks", metavar="K,K", help=text)
    bench.add_argument("--data", metavar="NAME", help=f"score poses too, on 500 people of: {DATA_NAMES}")
    _root_options(bench)
    bench.add_argument("--json", type=Path, metavar="OUT.json", help="write the figures")


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
    from poseact.demo import render_clip, told
    from poseact.inference.run import RunOptions

    clip, results = args.out / "clip.mp4", args.out / "results"
    performed = () if args.source else render_clip(clip, console)
    summary = _answer(args.source or str(clip), DEFAULT_WEIGHTS, results, RunOptions(), console)
    if performed:
        console.print(told(performed, summary.segments))
    if summary is not None and results / "index.html" in summary.written:
        console.print(f"open {results / 'index.html'}: all of it on one page")


def _train(args: argparse.Namespace, console: Console) -> None:
    from poseact.training.loop import train_chain
    from poseact.training.recipe import read_chain

    chain = read_chain(args.recipe, args.overrides)
    train_chain(chain, args.out or Path("runs") / chain[-1].name, console)


def _evaluate(args: argparse.Namespace, console: Console) -> None:
    from poseact.evaluation.rules import changed, protocol_of
    from poseact.evaluation.run import open_job, run_job, submit, task_of

    options = {name: getattr(args, name) for name in ("crops", "clips", "stride", "boxes", "poses", "noise")}
    protocol = changed(protocol_of(args.protocol, args.data, args.split), **options)
    job = open_job(args.weights, args.data, args.root, args.split, protocol, args.count)
    told = console if job.main else None
    console.quiet = not job.main
    console.print(f"device: {job.device}")
    _show_damaged(getattr(job.source, "damaged", ()), console)
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
        console.print(f"rules: {scores.rules}")
        for path in written:
            console.print(f"written: {path}")
    _show_damaged(damaged, console)


def _show_damaged(messages: Sequence[str], console: Console) -> None:
    if messages:
        console.print(f"{len(messages)} unreadable samples left out:", *messages, sep="\n  ")


def _report(args: argparse.Namespace, console: Console) -> None:
    from poseact.evaluation.report import write_report

    for path in write_report(args.sources, args.out):
        console.print(f"written: {path}")


def _ablation(args: argparse.Namespace, console: Console) -> None:
    from poseact.ablation import run_ablation

    for path in run_ablation(args.out, args.overrides, console):
        console.print(f"written: {path}")


def _predict(args: argparse.Namespace, console: Console) -> None:
    from poseact.inference.source import source_kind

    options = _run_options(args)
    many = source_kind(args.source) == "videos"
    if not many and (args.workers or args.ray):
        raise UserError("--workers and --ray are for many videos; leave them out")
    if many and args.boxes:
        raise UserError("--boxes: a file belongs to one video; give that as SOURCE")
    _answer(args.source, args.weights, args.out, options, console, args.workers, args.ray)


def _answer(
    source: str,
    weights: str,
    out: Path,
    options: Any,
    console: Console,
    workers: int | None = None,
    ray: bool = False,
) -> Any:
    """Answer a source of any kind and show what came of it: the summary, or of many videos None."""
    from poseact.inference.device import pick_device, pick_precision
    from poseact.inference.files import predict_pictures
    from poseact.inference.run import predict_video
    from poseact.inference.source import source_kind
    from poseact.weights import load_model

    kind, network, device = source_kind(source), load_model(weights), pick_device()
    engine = network.metadata.get("exported") or pick_precision(device, options.look.precision)
    console.print(f"device: {device}, {engine}")
    if kind == "videos":
        _answer_many(source, weights, out, options, network, console, workers, ray)
        return None
    if kind == "live":
        console.print("Ctrl-C ends it and writes the results")
    work = predict_pictures if kind == "pictures" else predict_video
    summary = work(source, network, out, options, console, weights)
    _show_summary(summary, console, alone=kind != "pictures" and options.boxes is None)
    return summary


def _run_options(args: argparse.Namespace) -> Any:
    from poseact.inference.run import RunOptions
    from poseact.inference.space import HEIGHT_M, CameraAssumption
    from poseact.inference.stream import Options
    from poseact.segments import THRESHOLD

    camera = CameraAssumption(args.focal, HEIGHT_M if args.height is None else args.height)
    return RunOptions(
        look=Options(args.stride, args.blocks, args.precision, args.smooth, camera),
        boxes=args.boxes,
        threshold=THRESHOLD if args.threshold is None else args.threshold,
        only=tuple(args.only.split(",")) if args.only else (),
    )


def _answer_many(
    source: str,
    weights: str,
    out: Path,
    options: Any,
    network: Any,
    console: Console,
    workers: int | None,
    ray: bool,
) -> None:
    from poseact.inference.many import listed_videos, other_pictures, predict_many
    from poseact.inference.run import VideoTask, settings, weights_text

    sources = listed_videos(Path(source), out)
    chosen = settings(weights_text(weights, network), options)
    chosen["threshold"] = f"{options.threshold:g}"
    text = ", ".join(f"{name} {value}" for name, value in chosen.items())
    one = VideoTask(weights, options)
    if left := other_pictures(Path(source)):
        console.print(f"{left} pictures left out: give a folder of pictures alone for those")
    done = predict_many(sources, out, one, task=text, workers=workers, ray=ray, console=console)
    counts = ", ".join(f"{done.count(status)} {status}" for status in ("done", "found", "failed"))
    console.print(f"{len(sources)} videos: {counts}; {done.lost} workers lost")
    for path in done.files:
        console.print(f"written: {path}")
    if done.count("failed") == len(sources):
        raise UserError(f"{source}: none of {len(sources)} videos could be answered; see above")


def _show_summary(summary: Any, console: Console, alone: bool) -> None:
    dropped = f", {summary.dropped} dropped" if summary.dropped else ""
    console.print(
        f"{summary.frames} frames at {summary.fps:.1f} frames/s{dropped}; {summary.answered} with an answer, "
        f"{summary.people} {'person' if summary.people == 1 else 'people'}"
    )
    for gap in summary.gaps[:SHOWN_MESSAGES]:
        console.print(f"frames {gap.first} to {gap.last}: {gap.reason}")
    if len(summary.gaps) > SHOWN_MESSAGES:
        console.print(f"and {len(summary.gaps) - SHOWN_MESSAGES} more without an answer")
    if summary.segments:
        table = narrow_table("action", "person", "from, s", "to, s", "probability")
        for s in summary.segments[:SHOWN_MESSAGES]:
            table.add_row(s.action, str(s.person), f"{s.start_s:.1f}", f"{s.end_s:.1f}", f"{s.score:.2f}")
        console.print(table)
        if len(summary.segments) > SHOWN_MESSAGES:
            console.print(f"and {len(summary.segments) - SHOWN_MESSAGES} more segments")
    elif summary.no_action:
        console.print(summary.no_action)
    for message in summary.messages:
        console.print(message)
    if alone and summary.people == 1:
        console.print("one person is followed; --boxes takes a file with the boxes of more")
    pictures = [path for path in summary.written if path.suffix == ".png" and path.name != "timeline.png"]
    if pictures:
        console.print(f"written: {len(pictures)} pictures in {pictures[0].parent}")
    for path in summary.written:
        if path not in pictures:
            console.print(f"written: {path}")


def _export(args: argparse.Namespace, console: Console) -> None:
    from poseact.export.network import check_options, export_network, told_differences
    from poseact.export.quantise import calibration_crops
    from poseact.weights import load_model

    network, crops = load_model(args.weights), None
    size = network.size if args.size is None else args.size
    check_options(args.format, args.precision, size, args.calibrate is not None)
    if args.calibrate:
        crops, unread = calibration_crops(network, args.calibrate, size)
        _show_damaged(unread, console)
        console.print(f"calibration: {len(crops)} crops of the pictures in {args.calibrate}")
    written = export_network(
        network,
        args.out,
        backend=args.format,
        blocks=args.blocks,
        precision=args.precision,
        crops=crops,
        size=size,
    )
    for path in written.files:
        console.print(f"written: {path}, {path.stat().st_size / 1e6:.1f} MB")
    made, given = written.compared
    differences = told_differences(written.differences)
    console.print(f"largest differences, on {made} made and {given} given crops: {differences}")


def _bench(args: argparse.Namespace, console: Console) -> None:
    from dataclasses import asdict

    import torch

    import poseact
    from poseact.bench import bench
    from poseact.data import open_data
    from poseact.data.images import check_place, write_json
    from poseact.evaluation.files import hardware
    from poseact.evaluation.rules import OURS, protocol_of
    from poseact.inference.device import pick_device
    from poseact.weights import load_model

    device = pick_device()
    about = {
        "weights": args.weights,
        "machine": hardware(device),
        "software": f"poseact {poseact.__version__}, torch {torch.__version__}",
    }
    console.print(f"device: {device}, {about['machine']}")
    network = load_model(args.weights)
    source = open_data(args.data, args.root, args.split) if args.data else None
    size = network.size if args.size is None else args.size
    if args.json:
        check_place(args.json, ".json")
    protocol = protocol_of("ours", args.data, args.split) if args.data else OURS
    report = bench(network, size, args.batch, _numbers("blocks", args.blocks), source, console, protocol)
    for precision, products in report.matrix_gflops.items():
        told = ", ".join(f"{library} {value:.0f}" for library, value in products.items())
        console.print(f"matrix product in {precision}: {told} GFLOP/s")
    console.print(bench_table(report, args.weights, size, args.batch))
    for note in report.notes:
        console.print(note, style="bright_black")
    if args.json:
        content = {"data": args.data, "split": args.split if args.data else None, **about}
        content |= {"size": size, "batch": args.batch, **asdict(report)}
        write_json(args.json, content)
        console.print(f"written: {args.json}")


def _above_zero(text: str) -> int:
    """A whole number from 1, for argparse."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text}")
    return number


def _from_zero(text: str) -> int:
    """A whole number from 0, for argparse."""
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text}")
    return number


def _numbers(name: str, text: str | None) -> list[int] | None:
    """Whole numbers with commas between them."""
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"{name}: expected numbers with commas, as 1,4,8, got {text!r}") from None


def _data_check(args: argparse.Namespace, console: Console) -> None:
    import dataclasses

    from poseact.data import open_data, published
    from poseact.data.check import check
    from poseact.data.images import write_json

    source = open_data(args.data, args.root, args.split)
    report = check(source, published(args.data, args.split), console)
    console.print(report_table(args.data, args.split, report))
    for title, messages in (("damaged", report.damaged), ("impossible", report.impossible)):
        if messages:
            console.print(f"{len(messages)} {title}:", *messages[:SHOWN_MESSAGES], sep="\n  ")
            if len(messages) > SHOWN_MESSAGES:
                console.print(f"  and {len(messages) - SHOWN_MESSAGES} more; --json lists them all")
    for warning in report.warnings():
        console.print(f"warning: {warning}")
    if args.json:
        content = {"data": args.data, "split": args.split, **dataclasses.asdict(report)}
        write_json(args.json, {**content, "warnings": report.warnings()})
        console.print(f"report: {args.json}")


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
        console.print(f"skipped: {message}")


def _data_pack(args: argparse.Namespace, console: Console) -> None:
    from poseact.data import open_data
    from poseact.data.loading import chosen
    from poseact.data.pack import pack

    opened = open_data(args.data, args.root, args.split, args.count, args.frames, args.photographs)
    source = chosen(opened, args.count)
    places = [str(place and place.resolve()) for place in (args.root, args.photographs)]
    damaged = pack(source, args.data, args.split, args.out, args.size, console, args.raw, " ".join(places))
    console.print(f"packed: {args.out / args.split}; use --root {args.out} with --split {args.split}")
    for message in damaged:
        console.print(f"left out: {message}")


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
        console.print(f"  poseact data check {root}")
    console.print(f"  poseact data show {root} --out samples.png")


def _weights_list(args: argparse.Namespace, console: Console) -> None:
    from poseact.weights import load_weights
    from poseact.weights.registry import RELEASED, SHIPPED

    table = Table("name", "file", "network; of the package's own: what you may do with it")
    for name, path in SHIPPED.items():
        size = f"carried by the package, {path.stat().st_size / 1e6:.0f} MB"
        table.add_row(name, size, load_weights(name).metadata["licence"])
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


def _weights_calibrate(args: argparse.Namespace, console: Console) -> None:
    from poseact.evaluation.calibration import calibrate_actions, calibrate_weights

    place = (args.source, args.target, args.data, args.root, args.split, args.count, console)
    if args.actions:
        found = calibrate_actions(*place)
        console.print(
            f"pose stream x {found.pose:.3f}, appearance stream x {found.appearance:.3f}, of {found.videos} "
            "videos; on the other half of them, before and after: cross-entropy "
            f"{found.cross_entropy[0]:.3f}, {found.cross_entropy[1]:.3f}, "
            f"accuracy {found.accuracy[0]:.3f}, {found.accuracy[1]:.3f}"
        )
        _show_damaged(found.damaged, console)
        console.print(f"written: {args.target}")
        return
    report = calibrate_weights(*place)
    for table in calibration_tables(report):
        console.print(table)
    if report.damaged:
        console.print(f"{len(report.damaged)} unreadable samples left out:", *report.damaged, sep="\n  ")
    console.print(report.calibration.describe())
    console.print(f"written: {args.target}")


def _weights_release(args: argparse.Namespace, console: Console) -> None:
    from poseact.evaluation.card import release_weights

    release_weights(args.source, args.target, args.scores, args.licence, args.data)
    size = args.target.stat().st_size / 1e6
    console.print(f"written: {args.target}, {size:.1f} MB; poseact info tells what it says of itself")


def _info(args: argparse.Namespace, console: Console) -> None:
    import torch

    import poseact
    from poseact.inference.device import cpu_gains_from_bf16, pick_device

    if args.weights:
        from poseact.evaluation.card import METADATA, measured
        from poseact.weights import load_weights

        loaded = load_weights(args.weights)
        parameters = sum(p.numel() for p in loaded.model.parameters())
        console.print(f"{args.weights}: {parameters / 1e6:.2f} M parameters")
        tables = measured(loaded.metadata)
        for key, value in loaded.metadata.items():
            if key != METADATA or not tables:
                console.print(f"  {key}: {value}")
        if tables:
            console.print(tables)
        return
    console.print(f"poseact {poseact.__version__}, torch {torch.__version__}")
    gains = "faster" if cpu_gains_from_bf16() else "not faster"
    console.print(f"device: {pick_device()}, {torch.get_num_threads()} threads, bf16 on the CPU: {gains}")


if __name__ == "__main__":
    raise SystemExit(main())
