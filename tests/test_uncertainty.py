"""Uncertainty: moments of maps, and a calibration that holds on people it was not made on."""

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes import lspet as fake

from poseact.cli import main
from poseact.data.lspet import LspExtended
from poseact.errors import UserError
from poseact.evaluation.calibration import THIRDS, Measurements, check, measure
from poseact.evaluation.rules import OURS
from poseact.geometry import crop_transform
from poseact.inference.predictor import View, predict
from poseact.inference.uncertainty import (
    LEVELS,
    METADATA,
    UNCALIBRATED,
    Calibration,
    calibrate,
    calibrated,
    calibration_of,
    calibrations_text,
    gaussian_radius,
    mahalanobis,
    map_covariance,
    read_calibrations,
)
from poseact.network import arguments, build
from poseact.network.pose import drawn_maps
from poseact.skeleton import LSP14, PA16
from poseact.weights import load_model, load_weights, save_weights

CPU = torch.device("cpu")
HEAVY = Calibration(
    0.02, 1.5, (0.03, 0.2), LEVELS, (1.5, 2.2, 4.5, 7.0), tuple(np.linspace(0.5, 2, 14).tolist()), "a test"
)


def brute_force(scores: np.ndarray) -> np.ndarray:
    """The covariance of one map (H, W), each cell's probability spread evenly over 40 x 40 points of it."""
    height, width = scores.shape
    p = np.exp(scores - scores.max())
    fine = (p / p.sum()).repeat(40, 0).repeat(40, 1) / 1600
    y, x = ((np.arange(n * 40) + 0.5) / (n * 40) for n in (height, width))
    x, y = np.meshgrid(x, y)
    dx, dy = x - (fine * x).sum(), y - (fine * y).sum()
    return np.array([[(fine * a * b).sum() for b in (dx, dy)] for a in (dx, dy)])


class TestMapCovariance:
    def test_second_moments_of_any_map(self):
        maps = torch.from_numpy(np.random.default_rng(0).normal(0, 3, (2, 3, 6, 9)))
        found = map_covariance(maps).numpy()
        assert found.shape == (2, 3, 2, 2) and found.dtype == np.float32
        for n, j in np.ndindex(2, 3):
            assert np.abs(found[n, j] - brute_force(maps[n, j].numpy())).max() < 2e-5

    def test_one_hot_cell_has_the_variance_of_a_cell(self):
        maps = torch.full((1, 1, 8, 16), -1e4)
        maps[0, 0, 2, 5] = 0
        expected = [[1 / (12 * 16**2), 0], [0, 1 / (12 * 8**2)]]
        assert np.allclose(map_covariance(maps)[0, 0], expected, rtol=1e-4, atol=1e-9)

    def test_an_even_map_is_the_whole_crop(self):
        assert np.allclose(map_covariance(torch.zeros(1, 1, 32, 32))[0, 0], np.eye(2) / 12, rtol=1e-5)

    def test_a_drawn_gaussian_is_as_wide_as_it_was_drawn(self):
        maps = drawn_maps(torch.tensor([[[0.4, 0.6]]]), 32, sigma=2.0).log()
        variance = (2.0**2 + 1 / 12) / 32**2
        assert np.allclose(map_covariance(maps)[0, 0], variance * np.eye(2), rtol=1e-3, atol=1e-7)

    def test_a_slanting_map_has_its_sign(self):
        slanting = torch.eye(16)[None, None] * 20
        across = map_covariance(slanting)[0, 0]
        assert across[0, 1] > 0.9 * across[0, 0] and torch.equal(across, across.T)
        assert torch.allclose(map_covariance(slanting.flip(-1))[0, 0, 0, 1], -across[0, 1])

    def test_in_bf16_it_is_computed_in_float32(self):
        maps = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
        assert torch.equal(map_covariance(maps), map_covariance(maps.float()))

    def test_one_of_a_batch_is_as_alone(self):
        maps = torch.randn(5, 14, 32, 32, generator=torch.Generator().manual_seed(0))
        assert torch.equal(map_covariance(maps)[3:4], map_covariance(maps[3:4]))


def heavy_tailed(rng, count, joints=1, floor=0.03, power=1.0):
    """Errors (n, 2) with Student's t tails of maps whose size says something, and a floor."""
    joint = rng.integers(joints, size=count)
    sizes = np.exp(rng.uniform(np.log(0.005), np.log(0.15), count))
    turn = rng.uniform(0, np.pi, count)
    axes = np.stack([np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn)], -1).reshape(-1, 2, 2)
    covariance = np.einsum("nij,nj,nkj->nik", axes, np.stack([sizes**2, (sizes / 2) ** 2], -1), axes)
    factor = np.linspace(0.6, 1.6, joints)[joint] if joints > 1 else np.ones(count)
    roots = np.linalg.cholesky(covariance + floor**2 * np.eye(2))
    tails = np.sqrt(3 / rng.chisquare(3, count)) * factor * (sizes / 0.05) ** (power - 1)
    return np.einsum("nij,nj->ni", roots, rng.normal(size=(count, 2))) * tails[:, None], covariance, joint


def share(found, errors, covariance, level, joint=None):
    """The share of held-out errors within their regions."""
    own = np.ones(len(errors)) if joint is None else np.array(found.joints)[joint]
    alike = dataclasses.replace(found, joints=())
    scaled = calibrated(covariance[:, None], alike)[:, 0] * own[:, None, None] ** 2
    return (mahalanobis(errors, scaled) <= found.radius(level)).mean()


class TestCalibrate:
    def test_regions_hold_their_shares_on_others(self):
        rng = np.random.default_rng(0)
        found = calibrate(*heavy_tailed(rng, 3000)[:2])
        errors, covariance, _ = heavy_tailed(rng, 20_000)
        for level in (0.3, 0.5, 0.68, 0.8, 0.9, 0.95):
            assert abs(share(found, errors, covariance, level) - level) < 0.025, level
        # A Gaussian's radii would not do, or this test could not fail.
        assert found.radius(0.95) > 1.2 * gaussian_radius(0.95)

    def test_floor_and_power_are_found(self):
        rng = np.random.default_rng(1)
        with_floor = calibrate(*heavy_tailed(rng, 4000, floor=0.03)[:2])
        assert 0.015 < with_floor.floor < 0.06
        for power in (0.5, 1.0, 2.0):
            found = calibrate(*heavy_tailed(rng, 3000, floor=0.0, power=power)[:2])
            assert found.power == pytest.approx(power, abs=0.21) and found.floor < 0.006

    def test_shares_are_even_over_sizes_of_maps(self):
        rng = np.random.default_rng(2)
        found = calibrate(*heavy_tailed(rng, 4000, floor=0.01, power=1.7)[:2])
        errors, covariance, _ = heavy_tailed(rng, 30_000, floor=0.01, power=1.7)
        size = np.linalg.det(covariance)
        third = np.digitize(size, np.quantile(size, (1 / 3, 2 / 3)))
        for i in range(3):
            assert abs(share(found, errors[third == i], covariance[third == i], 0.5) - 0.5) < 0.06

    def test_joints_have_factors_of_their_own(self):
        rng = np.random.default_rng(3)
        found = calibrate(*heavy_tailed(rng, 6000, joints=4), joints=5)
        ratio = np.array(found.joints[:4]) / found.joints[0]
        assert np.allclose(ratio, np.linspace(0.6, 1.6, 4) / 0.6, rtol=0.15)
        assert found.joints[4] == 1.0  # never measured
        errors, covariance, joint = heavy_tailed(rng, 20_000, joints=4)
        for j in range(4):
            own = joint == j
            assert abs(share(found, errors[own], covariance[own], 0.5, joint[own]) - 0.5) < 0.04

    def test_a_joint_measured_rarely_stays_near_one(self):
        rng = np.random.default_rng(4)
        errors, covariance, _ = heavy_tailed(rng, 1003)
        joint = np.repeat([0, 1], [1000, 3])
        errors[joint == 1] *= 50
        found = calibrate(errors, covariance, joint, 2)
        assert 1 < found.joints[1] < 2

    def test_too_few(self):
        errors, covariance, _ = heavy_tailed(np.random.default_rng(0), 99)
        with pytest.raises(UserError, match=r"at least 100 .* got 99"):
            calibrate(errors, covariance)

    def test_a_network_that_is_never_wrong(self):
        covariance = np.tile(np.eye(2), (200, 1, 1))
        assert np.isfinite(calibrate(np.zeros((200, 2)), covariance).radii).all()


class TestCalibration:
    def test_without_one_it_is_the_gaussian(self):
        covariance = np.random.default_rng(0).normal(size=(7, 2, 2))
        assert np.allclose(calibrated(covariance, UNCALIBRATED), covariance)
        for level in (0.1, 0.5, 0.77, 0.9, 0.99):
            assert UNCALIBRATED.radius(level) == pytest.approx(math.sqrt(-2 * math.log(1 - level)))
        assert "not calibrated" in UNCALIBRATED.describe()

    def test_radii_at_the_levels_and_between(self):
        one = Calibration(0.0, 1.0, (1.0, 1.0), LEVELS, HEAVY.radii)
        gain = gaussian_radius(0.5) / HEAVY.radii[0]
        assert one.radius(0.5) == pytest.approx(1.1774, abs=1e-4)
        for level, radius in zip(LEVELS, HEAVY.radii, strict=True):
            assert one.radius(level) == pytest.approx(radius * gain)
        assert np.all(np.diff([one.radius(level) for level in np.linspace(0.01, 0.999, 200)]) > 0)

    def test_scales_each_joint_and_adds_the_floor(self):
        covariance = np.tile(np.diag([0.1, 0.05]) ** 2, (3, 14, 1, 1))
        gain = HEAVY.radii[0] / gaussian_radius(0.5)
        deviations = np.sqrt([0.1**2 + 0.02**2, 0.05**2 + 0.02**2])
        stretch = (np.sqrt(deviations.prod()) / 0.03) ** 0.5
        expected = np.diag(deviations * stretch * gain * HEAVY.joints[5]) ** 2
        assert np.allclose(calibrated(covariance, HEAVY)[1, 5], expected)

    @pytest.mark.parametrize(("size", "measured"), [(1e-4, 0.03), (0.5, 0.2)])
    def test_maps_of_sizes_never_measured_are_stretched_no_more(self, size, measured):
        no_floor = dataclasses.replace(HEAVY, floor=0.0, joints=())
        gain = HEAVY.radii[0] / gaussian_radius(0.5) * (measured / 0.03) ** 0.5
        found = calibrated(size**2 * np.eye(2)[None], no_floor)[0]
        assert np.allclose(found, (gain * size) ** 2 * np.eye(2))

    @pytest.mark.parametrize("level", [0, 1, -0.5, 50])
    def test_a_level_is_a_share(self, level):
        with pytest.raises(ValueError, match="between 0 and 1"):
            HEAVY.radius(level)

    def test_round_trip_through_metadata(self):
        first = dataclasses.replace(HEAVY, floor=0.07)
        network = SimpleNamespace(metadata={METADATA: calibrations_text([first, HEAVY])}, layout=LSP14)
        assert calibration_of(network, 1) == first and calibration_of(network, 2) == HEAVY
        with pytest.raises(UserError, match="of 3 blocks, got 2"):
            calibration_of(network, 3)
        assert calibration_of(SimpleNamespace(metadata={}, layout=LSP14), 1) is UNCALIBRATED
        assert calibration_of(SimpleNamespace(layout=LSP14), 1) is UNCALIBRATED

    @pytest.mark.parametrize(
        "change",
        [
            {"floor": -1}, {"floor": None}, {"floor": float("nan")}, {"levels": [0.5, 0.5, 0.9, 2]},
            {"levels": []}, {"radii": [1, 2]}, {"radii": [4, 3, 2, 1]}, {"radii": ["a", "b", "c", "d"]},
            {"power": "x"}, {"sizes": [1.0]}, {"sizes": [0.2, 0.1]}, {"sizes": [0, 1]},
            {"joints": [0] * 14}, {"joints": 3}, {"joints": [1.0] * 13}, {"levels": "none"},
        ],
    )  # fmt: skip
    def test_damaged_metadata_is_one_line(self, change):
        with pytest.raises(UserError) as caught:
            read_calibrations(json.dumps([{**dataclasses.asdict(HEAVY), **change}]), LSP14)
        assert "\n" not in str(caught.value) and "poseact weights calibrate" in str(caught.value)

    @pytest.mark.parametrize("text", ["", "[]", "7", "{", '{"floor": 1}', '[{"floor": 1}]'])
    def test_metadata_that_is_something_else(self, text):
        with pytest.raises(UserError, match="expected a calibration"):
            read_calibrations(text, PA16)


def test_halves_are_those_of_odd_and_even_people():
    """Where odd people are twice as wrong, the held-out half shows it, and what is kept is between."""
    rng = np.random.default_rng(0)
    people, units = 400, np.repeat(np.arange(100), 4)
    errors, covariance, _ = heavy_tailed(rng, people * 14)
    errors = errors.reshape(people, 14, 2) * (1 + units % 2)[:, None, None]
    counted = rng.random((people, 14)) < 0.9
    counted[:, 3] = False
    measurements = Measurements(errors, covariance.reshape(people, 14, 2, 2), counted, units)
    report = check(measurements, LSP14, "made up")
    used, held_out = report.levels[0.5]
    assert used == pytest.approx(0.5, abs=0.02) and held_out < 0.35
    assert len(report.joints) == 13 and LSP14.joints[3] not in report.joints
    assert set(report.thirds) == set(THIRDS)
    everyone = [
        measurements.within(report.calibration, 0.5)[counted & (units % 2 == i)[:, None]] for i in (0, 1)
    ]
    assert everyone[0].mean() > 0.55 and everyone[1].mean() < 0.45
    with pytest.raises(UserError, match="two halves"):
        check(measurements.part(units % 2 == 0), LSP14, "half")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A small set of 41 people, and weights of an untrained network."""
    root = tmp_path_factory.mktemp("people")
    fake.write(root, 41)
    torch.manual_seed(0)
    args = arguments("tiny", layout="lsp14", width=32, blocks=2)
    save_weights(root / "w.safetensors", build(args)[0], args, {"licence": "CC0"})
    return root


def test_errors_are_those_of_the_predictor(people):
    """In crop units, of the same crop; joints that are not annotated or not in the crop do not count."""
    file, source = load_weights(people / "w.safetensors"), LspExtended(people)
    measured = measure(file.model, file.layout, source, CPU, OURS)
    samples = [source[i] for i in range(len(source))]
    views = [View(s.name, s.image()[0], s.box) for s in samples]
    for i, (sample, blocks) in enumerate(zip(samples, predict(file.model, LSP14, views, CPU), strict=True)):
        to_crop = crop_transform(sample.box, 1).to_crop
        truth = to_crop(sample.joints[:, :2])
        inside = sample.valid & ((truth >= 0) & (truth <= 1)).all(1)
        for found, block in zip(measured, blocks, strict=True):
            assert np.array_equal(found.counted[i], inside)
            assert np.abs((found.errors[i] - (to_crop(block.joints) - truth))[inside]).max() < 1e-5


def test_calibrate_command(people, capsys):
    weights, out = people / "w.safetensors", people / "calibrated.safetensors"
    command = ["weights", "calibrate", str(weights), str(out), "--data", "lspet", "--root", str(people)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("held out", "90%", "least sure third", "right_ankle", str(out)))
    before, after = load_weights(weights), load_weights(out)
    assert after.metadata.pop(METADATA) and after.metadata == before.metadata
    for k, everyone in enumerate(measure(after.model, LSP14, LspExtended(people), CPU, OURS), 1):
        found = calibration_of(load_model(out), k)
        assert "lspet, split all" in found.describe() and "of 41 people" in found.describe()
        for level in (0.5, 0.9):  # what was kept is calibrated on all of them
            assert everyone.within(found, level)[everyone.counted].mean() == pytest.approx(level, abs=0.01)


@pytest.mark.parametrize(
    ("arguments_", "named"),
    [
        (["W", "out.txt", "--data", "lspet"], "safetensors"),
        (["missing.safetensors", "o.safetensors", "--data", "lspet"], "missing.safetensors"),
        (["W", "o.safetensors", "--data", "mpi"], "unknown data set"),
        (["W", "o.safetensors", "--data", "lspet", "--split", "dev"], "too few"),
    ],
)
def test_calibrate_command_refuses(people, capsys, arguments_, named):
    given = [str(people / "w.safetensors") if word == "W" else word for word in arguments_]
    assert main(["weights", "calibrate", *given, "--root", str(people)]) == 2
    error = capsys.readouterr().err
    assert named in error and error.count("\n") == 1


def test_unreadable_people_are_listed_up_to_one_in_a_hundred(people, tmp_path):
    file = load_weights(people / "w.safetensors")
    fake.write(tmp_path, 41)
    (tmp_path / "images" / "im00003.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match="1 of 41 samples cannot be read"):
        measure(file.model, file.layout, LspExtended(tmp_path), CPU, OURS)
