import pytest
import torch

from poseact.network import PRESETS, MultitaskNetwork, arguments, build, to_input
from poseact.network.action import MOTION_GAIN, with_motion
from poseact.network.layers import BatchNorm, Conv, DepthwiseConv, joined, max_pool, pad_same

SMALL_ACTION = {"joints": 16, "width": 32, "blocks": 2, "size": 64, "actions": 5, "frames": 8}


def clip(n=2, t=8):
    return torch.randn(n, t, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("variant", ["released", "paper"])
@pytest.mark.parametrize(("extra", "dim"), [({}, 2), ({"context": 2}, 2), ({"depth_maps": 4}, 3)])
def test_shapes_and_ranges_of_stills(variant, extra, dim):
    model = MultitaskNetwork(joints=14, width=32, blocks=3, size=64, variant=variant, **extra).eval()
    out = model(clip()[:, 0])
    assert len(out.blocks) == 3
    assert out.pose.shape == (2, 14, dim) and out.visibility.shape == (2, 14)
    assert out.blocks[0].heat_maps.shape == (2, 14, 8, 8)
    assert (out.pose >= 0).all() and (out.pose <= 1).all()
    assert (out.visibility > 0).all() and (out.visibility < 1).all()
    assert out.action is None and out.pose_actions == ()


@pytest.mark.parametrize("variant", ["released", "paper"])
@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"depth_maps": 4, "pose_stream": "v2"},
        {"depth_maps": 4, "depth_reading": "joint", "pose_stream": "motion"},
    ],
)
def test_clips(variant, extra):
    model = MultitaskNetwork(**SMALL_ACTION, variant=variant, **extra).eval()
    out = model(clip())
    assert out.pose.shape[:3] == (2, 8, 16)
    probabilities = [out.action, *out.pose_actions, *out.appearance_actions]
    assert len(probabilities) == 9
    for p in probabilities:
        assert p.shape == (2, 5) and torch.allclose(p.sum(-1), torch.ones(2))
    stills = model.estimate(clip().flatten(0, 1))[0][-1]
    assert torch.allclose(stills.pose, out.pose.flatten(0, 1), atol=1e-6)


def test_the_stream_of_motion_reads_places_about_their_mean_and_changes():
    torch.manual_seed(0)
    poses = torch.rand(2, 3, 8, 16, dtype=torch.float64)
    told = with_motion(poses)
    places, changes = told[:, :3], told[:, 3:]
    assert told.shape == (2, 6, 8, 16)
    assert torch.allclose(places.mean((2, 3)), torch.zeros(2, 3, dtype=torch.float64))
    assert torch.allclose(places[:, :2].square().mean((1, 2, 3)), torch.ones(2, dtype=torch.float64))
    apart, before = (x - x[:, :, :1, :1] for x in (places, poses))
    lengths = [torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True) for x in (apart, before)]
    assert torch.allclose(apart, lengths[0] / lengths[1] * before), "one scale for a clip, in x, y and z"
    assert torch.allclose(changes[:, :, 2], MOTION_GAIN * (places[:, :, 3] - places[:, :, 2]))
    assert torch.equal(changes[:, :, -1], changes[:, :, -2])
    assert torch.allclose(with_motion(0.5 * poses + 0.3), told), "wherever and however large the person is"
    assert (with_motion(poses[:, :, :1].expand(-1, -1, 8, -1))[:, 3:] == 0).all()
    assert with_motion(torch.full((1, 2, 4, 4), 0.5)).isfinite().all()


def test_given_poses_replace_the_estimated_ones():
    torch.manual_seed(0)
    model = MultitaskNetwork(**SMALL_ACTION).eval()
    plain = model(clip())
    torch.manual_seed(1)
    poses, seen = torch.rand(2, 8, 16, 2), torch.rand(2, 8, 16)
    given = model(clip(), poses=poses, visibility=seen)
    assert torch.equal(given.pose, plain.pose)
    assert not torch.allclose(given.pose_actions[0], plain.pose_actions[0])
    assert not torch.allclose(given.appearance_actions[0], plain.appearance_actions[0])
    same = model(clip(), poses=plain.pose, visibility=plain.visibility)
    assert torch.allclose(same.pose_actions[-1], plain.pose_actions[-1], atol=1e-6)


@pytest.mark.parametrize(("call", "message"), [
    (lambda m: m(torch.zeros(2, 3, 64, 64)), r"\(N, T, 3, S, S\)"),
    (lambda m: m(torch.zeros(1, 8, 3, 64, 48)), "S, S"),
    (lambda m: m(torch.zeros(1, 8, 3, 40, 40)), "multiple of 32"),
    (lambda m: m(torch.zeros(1, 6, 3, 64, 64)), "multiple of 4"),
    (lambda m: m(clip(), poses=torch.zeros(2, 8, 16, 3)), "poses: expected"),
    (lambda m: m(clip(), visibility=torch.zeros(2, 8, 15)), "visibility: expected"),
])  # fmt: skip
def test_wrong_inputs(call, message):
    with pytest.raises(ValueError, match=message):
        call(MultitaskNetwork(**SMALL_ACTION).eval())


@pytest.mark.parametrize(("args", "message"), [
    ({"joints": 16, "variant": "new"}, "variant"),
    ({"joints": 16, "size": 100}, "multiple of 32"),
    ({"joints": 17, "actions": 3, "frames": 8}, "multiples of 4"),
    ({"joints": 16, "context": 2, "depth_maps": 8}, "2D only"),
])  # fmt: skip
def test_wrong_arguments(args, message):
    with pytest.raises(ValueError, match=message):
        MultitaskNetwork(**args)


def test_given_poses_need_an_action_network():
    model = MultitaskNetwork(joints=16, width=32, blocks=1, size=64)
    with pytest.raises(ValueError, match="pose network"):
        model(torch.zeros(1, 3, 64, 64), poses=torch.zeros(1, 16, 2))


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_build_in_both_variants(preset):
    for variant in ("released", "paper"):
        args = arguments(preset, variant, width=32)
        model, layout = build(args)
        assert model.joints == len(layout)
    assert "context" not in args or args["context"] == 0


@pytest.mark.parametrize(("call", "message"), [
    (lambda: arguments("huge"), "unknown preset"),
    (lambda: arguments("tiny", layout="spider"), "unknown layout"),
    (lambda: build(arguments("tiny", legs=8)), "legs"),
    (lambda: build(arguments("tiny", depth_maps=4, depth_reading="best")), "depth_reading: expected"),
])  # fmt: skip
def test_unknown_names(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("length", "stride", "expected"), [(6, 2, (0, 1)), (7, 2, (1, 1)), (6, 1, (1, 1))])
def test_same_padding_puts_the_odd_one_last(length, stride, expected):
    x = torch.ones(1, 1, length, length)
    padded = pad_same(x, (3, 3), stride, value=5.0)[0, 0, length // 2]
    before, after = expected
    assert padded.tolist() == [5.0] * before + [1.0] * length + [5.0] * after


def test_max_pool_pads_with_nothing():
    assert max_pool(-torch.ones(1, 1, 5, 5), 3).max() == -1


def test_batch_norm_has_no_gamma():
    bn = BatchNorm(4)
    assert [n for n, _ in bn.named_parameters()] == ["bias"] and "weight" not in bn.state_dict()
    x = torch.randn(8, 4, 5, 5) * 3 + 1
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    assert torch.allclose(bn(x), (x - mean) / (var + 1e-3).sqrt(), atol=1e-5)
    assert torch.allclose(bn.running_mean, 0.01 * mean.flatten())


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("size", [(9, 9), (4, 7), (2, 1), (1, 1)])
def test_depthwise_gradients_equal_the_plain_ones(kernel, size):
    torch.manual_seed(0)
    conv = DepthwiseConv(6, kernel).double()
    x = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, (x,))
    grad = torch.randn_like(x)
    plain = torch.autograd.grad(
        torch.nn.functional.conv2d(x, conv.weight, padding=kernel // 2, groups=6), (x, conv.weight), grad
    )
    ours = torch.autograd.grad(conv(x), (x, conv.weight), grad)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(plain, ours, strict=True))


@pytest.mark.parametrize("kernel", [3, 5])
def test_depthwise_gradients_in_bf16_are_those_of_fp32_within_its_rounding(kernel):
    torch.manual_seed(0)
    conv = DepthwiseConv(16, kernel)
    x = torch.randn(4, 16, 12, 10).contiguous(memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn(4, 16, 12, 10)
    exact = torch.autograd.grad(conv(x), (x, conv.weight), grad)
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x)
    assert out.dtype == torch.bfloat16
    rounded = torch.autograd.grad(out, (x, conv.weight), grad.bfloat16())
    for a, b in zip(exact, rounded, strict=True):
        assert a.dtype == b.dtype and (a - b).norm() < 0.01 * a.norm()


def test_depthwise_has_no_gradient_that_nobody_asks_for():
    conv = DepthwiseConv(4, 5).requires_grad_(False)
    x = torch.randn(1, 4, 6, 6, requires_grad=True)
    conv(x).sum().backward()
    assert x.grad is not None and conv.weight.grad is None
    conv.requires_grad_(True)
    conv(x.detach()).sum().backward()
    assert conv.weight.grad is not None


def test_gradients_of_what_is_joined_are_laid_out_as_the_parts():
    a, b = (torch.randn(2, c, 4, 4).contiguous(memory_format=torch.channels_last) for c in (3, 5))
    parts = [x.requires_grad_() * 1 for x in (a, b)]
    out = joined(*parts)
    seen = []
    for part in parts:  # after those of joined
        part.register_hook(lambda g: seen.append(g.is_contiguous(memory_format=torch.channels_last)))
    weight = torch.randn(2, 8, 4, 4)
    out.backward(weight.contiguous(memory_format=torch.channels_last))
    assert seen == [True, True] and torch.equal(out, torch.cat(parts, 1))
    assert torch.equal(torch.cat([a.grad, b.grad], 1), weight)


def test_convolutions_have_no_bias():
    model, _ = build(arguments("penn-action", width=32))
    assert all(m.bias is None for m in model.modules() if isinstance(m, Conv))


def test_the_door():
    frames = torch.tensor([0, 127, 255], dtype=torch.uint8).expand(1, 2, 2, 3)
    assert torch.allclose(to_input(frames)[0, :, 0, 0], torch.tensor([-1.0, 127 / 127.5 - 1, 1.0]))
    with pytest.raises(ValueError, match="uint8"):
        to_input(frames.float())


@pytest.mark.gpu
def test_gpu_answers_what_the_cpu_does():
    model, _ = build(arguments("small"))
    model.eval()
    x = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        cpu, gpu = model(x), model.cuda()(x.cuda())
    assert torch.allclose(cpu.pose, gpu.pose.cpu(), atol=1e-3)
