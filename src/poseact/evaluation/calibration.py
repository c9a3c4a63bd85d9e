"""A network's uncertainty on people that it was not trained on: measured, calibrated, checked, kept.

Of joints: regions that hold as many as they say. Of actions: probabilities that mean what they say.

Samples are split in two by parity (of the video, where they come from videos), so that the shares in
`Report` come from people that the radii were not chosen on. What is written into the weights is then
calibrated on all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from scipy.optimize import minimize
from scipy.special import logsumexp

from poseact.data import open_data
from poseact.data.clips import TrackSource, is_tracks
from poseact.data.images import check_place
from poseact.data.loading import DAMAGED_SHARE, SampleSource, chosen
from poseact.errors import UserError
from poseact.evaluation.actions import measure_actions
from poseact.evaluation.card import METADATA as SCORES
from poseact.evaluation.metrics import BoolArray, FloatArray, IntArray, numbered
from poseact.evaluation.poses import StillPeople
from poseact.evaluation.rules import Protocol, protocol_of, settled
from poseact.geometry import crop_transform
from poseact.inference.device import pick_device
from poseact.inference.predictor import BATCH, answer_blocks, ready
from poseact.inference.uncertainty import (
    METADATA,
    Calibration,
    calibrate,
    calibrated,
    calibrations_text,
    mahalanobis,
)
from poseact.network import MultitaskNetwork
from poseact.network.action import ACTION_BLOCKS, FullyConnectedMerge, LearntMerge
from poseact.skeleton import Layout, convert
from poseact.structures import Image, Sample
from poseact.weights import load_model, load_weights, save_weights

THIRDS = ("surest third", "middle third", "least sure third")
SHOWN_LEVELS = (0.5, 0.9)
FEWEST_VIDEOS = 16
"""That factors can be told from: half of them, and the other half to check them."""


@dataclass(frozen=True)
class Measurements:
    """What the network answers beside what is annotated, of P people, in crop units.

    - ``errors`` (P, J, 2): answer of one block minus annotation; ``covariances`` (P, J, 2, 2) of
      the maps; ``counted`` (P, J) bool: annotated, and inside the crop.
    - ``units`` (P,): the number of what was filmed: a person, or a video, or those of several cameras.
    - ``damaged``: the messages of samples that could not be read.
    """

    errors: FloatArray
    covariances: FloatArray
    counted: BoolArray
    units: IntArray
    damaged: tuple[str, ...] = ()

    def part(self, chosen: BoolArray) -> Measurements:
        """Some of the people: ``chosen`` (P,)."""
        return Measurements(
            self.errors[chosen], self.covariances[chosen], self.counted[chosen], self.units[chosen]
        )

    def calibrate(self, measured: str = "half of the people") -> Calibration:
        """See `uncertainty.calibrate`; each joint has a factor of its own."""
        joint = np.nonzero(self.counted)[1]
        errors, covariances = self.errors[self.counted], self.covariances[self.counted]
        return calibrate(errors, covariances, joint, self.counted.shape[1], measured)

    def within(self, calibration: Calibration, level: float) -> BoolArray:
        """Which joints (P, J) lie in their region of ``level``."""
        distance = mahalanobis(self.errors, calibrated(self.covariances, calibration))
        return np.asarray(distance <= calibration.radius(level))


@dataclass(frozen=True)
class Report:
    """How many of the joints lie in their regions; ``calibration`` is the one that was kept.

    - ``levels``: by level the share on the half that was calibrated on, and on the other one.
    - ``joints``, ``thirds``: shares of the regions of 50 and 90 % on that other half, by joint (those
      that are annotated), and by size of the map among all joints.
    """

    calibration: Calibration
    levels: dict[float, tuple[float, float]]
    joints: dict[str, tuple[float, ...]]
    thirds: dict[str, tuple[float, ...]]
    damaged: tuple[str, ...]


def measure(
    network: MultitaskNetwork,
    layout: Layout,
    source: SampleSource | TrackSource,
    device: torch.device,
    protocol: Protocol,
    console: Console | None = None,
) -> list[Measurements]:
    """Every person of the set through the network, in the set's own box; of every block, first to last.

    Raises `UserError` where over 1 % of the samples are unreadable, nobody is annotated, or the network
    answers what is not finite.
    """
    people, prepared = StillPeople(source, protocol), ready(network, device)
    found: list[list[tuple[FloatArray, FloatArray, BoolArray]]] = []
    units: list[str] = []
    damaged: list[str] = []
    for start in track(range(0, len(people), BATCH), "measuring", console=console, disable=console is None):
        group: list[tuple[Sample, Image]] = []
        for index in range(start, min(start + BATCH, len(people))):
            try:
                item = people[index]
                if item is not None:
                    group.append((item[0], item[0].image()[0]))
                    units.append(item[1])
            except UserError as error:
                damaged.append(str(error))
        found += [_compared(prepared, layout, group)] if group else []
    if len(damaged) > DAMAGED_SHARE * len(people):
        raise UserError(f"{len(damaged)} of {len(people)} samples cannot be read: {'; '.join(damaged[:5])}")
    if not found:
        raise UserError("no person to measure; check --root and --split")
    blocks = []
    for groups in zip(*found, strict=True):
        errors, covariances, counted = (np.concatenate(parts) for parts in zip(*groups, strict=True))
        if not (np.isfinite(errors).all() and np.isfinite(covariances).all()):
            raise UserError("the network answers numbers that are not finite; its weights are damaged")
        blocks.append(Measurements(errors, covariances, counted, numbered(units), tuple(damaged)))
    return blocks


def _compared(
    network: MultitaskNetwork, layout: Layout, group: list[tuple[Sample, Image]]
) -> list[tuple[FloatArray, FloatArray, BoolArray]]:
    """Of every block errors (n, J, 2), covariances (n, J, 2, 2) and which joints count (n, J)."""
    transforms = [crop_transform(sample.box, network.size) for sample, _ in group]
    crops = np.stack([t.warp(image) for t, (_, image) in zip(transforms, group, strict=True)])
    places, counted = [], []
    for transform, (sample, _) in zip(transforms, group, strict=True):
        place = transform.to_crop(convert(sample.joints, sample.layout, layout)[:, :2].astype(np.float64))
        annotated = convert(sample.valid, sample.layout, layout)
        places.append(place)
        counted.append(annotated & ((place >= 0) & (place <= 1)).all(1))
    known, truth = np.stack(counted), np.stack(places)
    return [
        (
            np.where(known[..., None], answers.pose[..., :2].double().cpu().numpy() - truth, 0.0),
            answers.covariance.double().cpu().numpy(),
            known,
        )
        for answers in answer_blocks(network, crops)
    ]


def check(measurements: Measurements, layout: Layout, measured: str) -> Report:
    """Calibrate on the people of even number, count on those of odd number; then calibrate on all.

    ``measured``: on what, in words. Raises `UserError` where there are too few.
    """
    even = measurements.units % 2 == 0
    used, held_out = measurements.part(even), measurements.part(~even)
    if not (used.counted.any() and held_out.counted.any()):
        raise UserError("calibration: expected people, or videos, of two halves, got one; give more")
    half = used.calibrate()
    levels = {
        level: (_share(used, half, level, used.counted), _share(held_out, half, level, held_out.counted))
        for level in half.levels
    }
    size = np.linalg.det(held_out.covariances)
    third = np.digitize(size, np.quantile(size[held_out.counted], (1 / 3, 2 / 3)))
    columns = np.arange(len(layout))
    return Report(
        calibration=measurements.calibrate(measured),
        levels=levels,
        joints={
            name: _shown(held_out, half, held_out.counted & (columns == j))
            for j, name in enumerate(layout.joints)
            if held_out.counted[:, j].any()
        },
        thirds={
            name: _shown(held_out, half, held_out.counted & (third == i)) for i, name in enumerate(THIRDS)
        },
        damaged=measurements.damaged,
    )


def _shown(people: Measurements, calibration: Calibration, counted: BoolArray) -> tuple[float, ...]:
    return tuple(_share(people, calibration, level, counted) for level in SHOWN_LEVELS)


def _share(people: Measurements, calibration: Calibration, level: float, counted: BoolArray) -> float:
    """The share within the region of ``level`` of those that count (P, J); NaN of none."""
    within = people.within(calibration, level)[counted]
    return float(within.mean()) if len(within) else float("nan")


def calibrate_weights(
    weights: Path,
    target: Path,
    data: str,
    root: Path | None,
    split: str,
    count: int | None = None,
    console: Console | None = None,
) -> Report:
    """Write ``weights`` again as ``target``, with each block's calibration on a data set in its metadata.

    Returns the report of the last block. The split has to be of people that the network was not trained
    on. ``count``: of synthetic people, how many videos. Raises `UserError` where either cannot be opened,
    or there are too few people.
    """
    check_place(target, ".safetensors")
    file, source = load_weights(weights), chosen(open_data(data, root, split, count), count)
    protocol = protocol_of("ours", data, split)
    found = measure(file.model, file.layout, source, pick_device(), protocol, console)
    joints, people = int(found[-1].counted.sum()), len(found[-1].counted)
    measured = f"{data}, split {split}: {joints} joints of {people} people"
    reports = [check(block, file.layout, measured) for block in found]
    text = calibrations_text([report.calibration for report in reports])
    save_weights(target, file.model, file.arguments, {**file.metadata, METADATA: text}, half=file.half)
    return reports[-1]


@dataclass(frozen=True)
class ActionReport:
    """How the streams of the aggregation were weighed.

    - ``pose``, ``appearance``: what their parts were multiplied by, found on all of ``videos``.
    - ``cross_entropy`` in nats and ``accuracy``, before and after, of factors that were found on one half
      of the videos, on the other half. ``damaged``: messages of videos that could not be read.
    """

    pose: float
    appearance: float
    videos: int
    cross_entropy: tuple[float, float]
    accuracy: tuple[float, float]
    damaged: tuple[str, ...]


def calibrate_actions(
    weights: Path,
    target: Path,
    data: str,
    root: Path | None,
    split: str,
    count: int | None = None,
    console: Console | None = None,
) -> ActionReport:
    """Write ``weights`` again as ``target``, each stream's part of the aggregation times a factor.

    The factors are those under which the actions performed are most probable: an inverse temperature (Guo
    et al. 2017) for each stream, since one that knows its training clips by heart weighs too much. Where
    the aggregation mixes action maps (released), both are the same. The metadata tells the factors to what
    ``weights`` had. The split has to be of videos that the network was not trained on. Raises `UserError`
    where either cannot be opened, labels do not match, or fewer than `FEWEST_VIDEOS` have one.
    """
    check_place(target, ".safetensors")
    file, source = load_weights(weights), chosen(open_data(data, root, split, count), count)
    network = load_model(weights)
    protocol = settled(protocol_of("ours", data, split), network, source)
    if not is_tracks(source):
        raise UserError(f"{data}: single images have no actions; give a set of videos")
    measured = measure_actions(network, source, pick_device(), protocol, console)
    videos = measured.videos
    answers = [(video.probabilities, video.action) for video in videos if video.probabilities is not None]
    if len(answers) < FEWEST_VIDEOS:
        raise UserError(
            f"calibration: expected at least {FEWEST_VIDEOS} videos with a label, got {len(answers)}; "
            "give more"
        )
    parts = _added(network.merge, np.stack([p for p, _ in answers]))
    truth = np.array([action for _, action in answers], np.int64)
    even = numbered([video.group for video in videos if video.probabilities is not None]) % 2 == 0
    half, held_out = best_factors(parts[:, even], truth[even]), parts[:, ~even]
    factors = best_factors(parts, truth)
    pose, appearance = float(factors[0]), float(factors[-1])
    network.merge.weigh(pose, appearance)
    told = f"pose {pose:.3f}, appearance {appearance:.3f}, {data}, split {split}: {len(truth)} videos"
    # What was measured is of the weights as they were.
    metadata = {key: text for key, text in file.metadata.items() if key != SCORES}
    metadata["action_calibration"] = told
    save_weights(target, network, file.arguments, metadata, half=file.half)
    before, after = (_scores(held_out, each, truth[~even]) for each in (np.ones(len(parts)), half))
    cross_entropy, accuracy = zip(before, after, strict=True)
    return ActionReport(pose, appearance, len(truth), cross_entropy, accuracy, tuple(measured.damaged))


def _added(merge: LearntMerge | FullyConnectedMerge, probabilities: FloatArray) -> FloatArray:
    """What is added before the soft-max, from the answers (N, S, A) of `Video`: (K, N, A).

    K = 2, one part of each stream; or 1, where only their sum is known (released).
    """
    if isinstance(merge, LearntMerge):
        return np.log(np.maximum(probabilities[None, :, -1], np.finfo(np.float64).tiny))
    last = probabilities[:, [ACTION_BLOCKS - 1, 2 * ACTION_BLOCKS - 1]]
    pose, appearance = torch.from_numpy(last).float().unbind(1)
    return np.asarray(merge.added(pose, appearance).double().numpy())


def best_factors(parts: FloatArray, truth: IntArray) -> FloatArray:
    """The factors (K,) in [1/20, 20] of the ``parts`` (K, N, A) of what the soft-max is of, so that
    ``truth`` (N,) is most probable.
    """

    def loss(logs: FloatArray) -> float:
        return _cross_entropy(np.tensordot(np.exp(logs), parts, 1), truth)

    bound = np.log(20.0)
    start = np.zeros(len(parts))
    found: FloatArray = minimize(loss, start, bounds=[(-bound, bound)] * len(parts)).x
    return np.exp(found)


def _scores(parts: FloatArray, factors: FloatArray, truth: IntArray) -> tuple[float, float]:
    """Cross-entropy and accuracy of the ``parts`` (K, N, A) times their factors."""
    scores = np.tensordot(factors, parts, 1)
    return _cross_entropy(scores, truth), float((scores.argmax(1) == truth).mean())


def _cross_entropy(scores: FloatArray, truth: IntArray) -> float:
    return float((logsumexp(scores, axis=1) - scores[np.arange(len(truth)), truth]).mean())
