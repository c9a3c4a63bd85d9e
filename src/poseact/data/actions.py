"""Names of the actions, in the order of the data sets' labels, and which one a mirror shows."""

from __future__ import annotations

import re
from collections.abc import Sequence

# fmt: off
PENN_ACTIONS = (
    "baseball_pitch", "baseball_swing", "bench_press", "bowl", "clean_and_jerk", "golf_swing",
    "jump_rope", "jumping_jacks", "pullup", "pushup", "situp", "squat", "strum_guitar",
    "tennis_forehand", "tennis_serve",
)
"""Penn Action's 15 classes, in alphabetical order as in its official labels."""

NTU_ACTIONS = (
    "drink water", "eat meal", "brush teeth", "brush hair", "drop", "pick up", "throw",
    "sit down", "stand up", "clapping", "reading", "writing", "tear up paper", "put on jacket",
    "take off jacket", "put on a shoe", "take off a shoe", "put on glasses", "take off glasses",
    "put on a hat", "take off a hat", "cheer up", "hand waving", "kick something",
    "reach into pocket", "hopping", "jump up", "phone call", "play with phone",
    "type on a keyboard", "point to something", "take a selfie", "check time", "rub two hands",
    "nod head", "shake head", "wipe face", "salute", "put palms together",
    "cross hands in front", "sneeze or cough", "staggering", "falling down", "headache",
    "chest pain", "back pain", "neck pain", "nausea", "fan self", "punch", "kicking", "pushing",
    "pat on back", "point finger", "hugging", "giving object", "touch pocket", "shaking hands",
    "walking towards", "walking apart",
)
"""NTU RGB+D's actions A001 to A060."""
# fmt: on


def mirrored_actions(names: Sequence[str]) -> tuple[int, ...]:
    """For each action, by index, the one that its mirror image shows: itself, unless it names a side.

    Left and right are changed over in the name; where there is no action of that name, nothing changes.
    """
    places = {name.lower(): i for i, name in enumerate(names)}
    other = {"left": "right", "right": "left"}
    return tuple(
        places.get(re.sub("left|right", lambda side: other[side[0]], name.lower()), i)
        for i, name in enumerate(names)
    )
