"""The numbers of Luvizon, Picard and Tabia, CVPR 2018, as the report's tables set them beside ours.

Errors in mm; shares in percent, as printed. Where a column is not in the tables' averages (the single
actions of Table 1), None.
"""

from __future__ import annotations

from dataclasses import dataclass

Cells = tuple[float | None, ...]


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper: its ``title``, value columns, rows (name, values), and how to make ours.

    ``data`` and ``splits``: whose evaluations belong into it. ``commands``: to train and to evaluate.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, Cells], ...]
    kind: str
    data: str
    splits: tuple[str, ...]
    commands: tuple[str, ...]


def _evaluate(data: str, split: str, name: str, options: str = "", of: str | None = None) -> str:
    """The command; ``of``: the recipe that the weights must come from."""
    weights = f"runs/{of}/{of}/weights.safetensors" if of else "W.safetensors"
    root = data.upper().replace("-", "_")
    rules = f"--protocol paper{options}"
    return (
        f"poseact evaluate --weights {weights} --data {data} --root {root} --split {split} {rules} "
        f"--json eval-{name}.json"
    )


_HUMAN36M = ("test", "released-val", "released-test")
_NTU = ("test", "xsub-test", "xview-test")
_STREAMS = ("pose", "appearance", "both")

TABLES = {
    "Table 1": PaperTable(
        "Human3.6M: MPJPE in mm, by action",
        ("one crop", "multi-crop"),
        (("mean of actions", (55.1, 53.2)),),
        "pose",
        "human36m",
        _HUMAN36M,
        (
            _evaluate("human36m", "test", "human36m"),
            _evaluate("human36m", "test", "human36m-ten", " --crops ten"),
        ),
    ),
    "Table 2": PaperTable(
        "MPII: PCKh and AUC in percent, one person",
        ("PCKh@0.5", "AUC@0.5", "PCKh@0.2", "AUC@0.2"),
        (
            ("paper, test (labels withheld)", (91.2, 63.9, 67.7, 34.9)),
            ("authors' code, validation, one crop", (89.1, None, None, None)),
        ),
        "pose",
        "mpii",
        ("val", "released-val", "hrnet-val"),
        (
            _evaluate("mpii", "val", "mpii"),
            "poseact evaluate --weights W.safetensors --data mpii --root MPII --split test-single "
            "--submission pred_keypoints_mpii.mat  # for the server that holds the test labels",
        ),
    ),
    "Table 3": PaperTable(
        "Penn Action: accuracy in percent",
        _STREAMS,
        (
            ("paper, estimated poses", (None, None, 97.4)),
            ("paper, annotated poses", (None, None, 98.6)),
            ("paper, joint learning from the start", (None, None, 97.3)),
        ),
        "action",
        "penn-action",
        ("test", "released-test"),
        (
            _evaluate("penn-action", "test", "penn-action"),
            _evaluate("penn-action", "test", "penn-given", " --poses given --boxes given", of="penn-given"),
        ),
    ),
    "Table 4": PaperTable(
        "NTU RGB+D: accuracy in percent (the paper: cross-subject)",
        _STREAMS,
        (("paper, cross-subject", (74.3, 84.6, 85.5)),),
        "action",
        "ntu",
        _NTU,
        (
            _evaluate("ntu", "xsub-test", "ntu-xsub", " --clips many"),
            _evaluate("ntu", "xview-test", "ntu-xview", " --clips many"),
        ),
    ),
    "Table 5": PaperTable(
        "NTU RGB+D: what each step adds, accuracy in percent",
        _STREAMS,
        (
            ("paper, Kinect poses", (63.3, 76.4, 78.2)),
            ("paper, estimated poses", (64.5, 80.1, 81.1)),
            ("paper, + fine-tuning", (71.7, 83.2, 84.4)),
            ("paper, + multi-clip", (74.3, 84.6, 85.5)),
        ),
        "action",
        "ntu",
        ("test", "xsub-test"),
        (
            _evaluate("ntu", "xsub-test", "ntu-given", " --poses given --boxes given", of="ntu-given"),
            _evaluate("ntu", "xsub-test", "ntu-estimated"),
            _evaluate("ntu", "xsub-test", "ntu-clips", " --clips many"),
        ),
    ),
    "Table 6": PaperTable(
        "Human3.6M: what the photographs of MPII add, MPJPE in mm, mean of actions",
        ("one crop", "multi-crop"),
        (
            ("paper, trained on Human3.6M alone", (67.3, 63.8)),
            ("paper, trained on Human3.6M and MPII", (55.1, 53.2)),
        ),
        "pose",
        "human36m",
        _HUMAN36M,
        ("Table 1's commands, with the weights of each training",),
    ),
}
METRICS = {"pose": "accuracy_pose", "appearance": "accuracy_appearance", "both": "accuracy"}
"""The metric of each stream's column."""
