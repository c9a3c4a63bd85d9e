"""The four published networks and a family of smaller ones, as plain arguments.

One more preset is one more entry here: a layout's name, and arguments of `MultitaskNetwork`.
"""

from __future__ import annotations

from typing import Any

from poseact.network.multitask import MultitaskNetwork, Variant
from poseact.skeleton import LAYOUTS, Layout

# PAPER, table of networks. ``context`` and Nd = 8 are the released code's: see `arguments`.
PUBLISHED: dict[str, dict[str, Any]] = {
    "mpii": {"layout": "pa16", "blocks": 8, "context": 2},
    "human36m": {"layout": "pa17", "blocks": 8, "depth_maps": 16},
    "penn-action": {
        "layout": "pa16", "blocks": 4, "context": 2, "actions": 15, "frames": 16, "pose_stream": "v1",
    },
    "ntu": {
        "layout": "pa20", "blocks": 4, "depth_maps": 8, "actions": 60, "frames": 20, "pose_stream": "v2",
    },
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "tiny": {"layout": "pa16", "width": 96, "blocks": 2, "size": 96},
    "small": {"layout": "pa16", "width": 160, "blocks": 2, "size": 128},
    "medium": {"layout": "pa16", "width": 288, "blocks": 4, "size": 192},
}
PRESETS = PUBLISHED | SMALL


def arguments(preset: str, variant: Variant | None = None, **overrides: Any) -> dict[str, Any]:
    """A preset's arguments, ``layout`` among them, with ``overrides`` on top.

    Published presets are ``released`` unless told otherwise; the paper's variant has no
    context maps and 16 depth maps. The small ones are of the paper's variant.
    Raises ``ValueError`` on an unknown preset, argument or layout.
    """
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}: expected one of {', '.join(PRESETS)}")
    args = dict(PRESETS[preset])
    args["variant"] = variant or ("released" if preset in PUBLISHED else "paper")
    if args["variant"] == "paper" and preset in PUBLISHED:
        args["context"] = 0
        args["depth_maps"] = 16 if args.get("depth_maps") else 0
    args |= overrides
    if args["layout"] not in LAYOUTS:
        raise ValueError(f"unknown layout {args['layout']!r}: expected one of {', '.join(LAYOUTS)}")
    return args


def build(args: dict[str, Any]) -> tuple[MultitaskNetwork, Layout]:
    """The network of `arguments`, and the layout of its joints."""
    rest = dict(args)
    layout = LAYOUTS[rest.pop("layout")]
    try:
        return MultitaskNetwork(joints=len(layout), **rest), layout
    except TypeError as error:
        raise ValueError(f"network arguments: {error}") from None
