"""The words of the demo world: concepts, their groups and synonyms, and the ground colours.

Order matters: an index into `CONCEPTS` is a class number, and `seed % len(CONCEPTS)` names the concept of a scene.
Knows nothing about pixels beyond the colour ranges, and nothing about models.
"""

from __future__ import annotations

# Group -> concept -> the emoji of each sprite variant. The group is also a truth that captions may state.
GROUPS: dict[str, dict[str, str]] = {
    "animal": {
        "cat": "🐈🐱",
        "dog": "🐕🐶",
        "bird": "🐦",
        "horse": "🐎🐴",
        "cow": "🐄🐮",
        "pig": "🐖🐷",
        "sheep": "🐑",
        "elephant": "🐘",
        "lion": "🦁",
        "panda": "🐼",
        "fish": "🐟🐠",
        "whale": "🐳",
        "octopus": "🐙",
        "snake": "🐍",
        "turtle": "🐢",
        "frog": "🐸",
        "penguin": "🐧",
        "bee": "🐝",
        "butterfly": "🦋",
        "snail": "🐌",
    },
    "vehicle": {
        "car": "🚗🚙",
        "plane": "✈🛩",
        "bicycle": "🚲",
        "bus": "🚌🚍",
        "train": "🚆🚂",
        "boat": "⛵🚤",
        "truck": "🚚",
        "motorcycle": "🏍",
        "tractor": "🚜",
        "helicopter": "🚁",
        "rocket": "🚀",
    },
    "food": {
        "apple": "🍎🍏",
        "banana": "🍌",
        "lemon": "🍋",
        "strawberry": "🍓",
        "grapes": "🍇",
        "watermelon": "🍉",
        "pineapple": "🍍",
        "carrot": "🥕",
        "pizza": "🍕",
        "hamburger": "🍔",
        "cake": "🎂🍰",
        "cheese": "🧀",
        "egg": "🥚",
    },
    "plant": {
        "tree": "🌳🌲",
        "flower": "🌻🌷",
        "cactus": "🌵",
        "mushroom": "🍄",
    },
    "clothing": {
        "bag": "👜🎒",
        "hat": "🎩👒",
        "shoe": "👟👞",
        "shirt": "👕👔",
        "dress": "👗",
        "glasses": "👓",
        "crown": "👑",
    },
    "object": {
        "person": "🧍🚶",
        "traffic light": "🚦🚥",
        "house": "🏠🏡",
        "chair": "🪑",
        "bed": "🛏",
        "clock": "🕒⏰",
        "book": "📕📖",
        "cup": "☕🍵",
        "umbrella": "☂☔",
        "light bulb": "💡",
        "phone": "📱☎",
        "laptop": "💻",
        "camera": "📷",
        "television": "📺",
        "key": "🔑🗝",
        "scissors": "✂",
        "hammer": "🔨",
        "guitar": "🎸",
        "trumpet": "🎺",
        "ball": "⚽🏀",
    },
}

CONCEPTS: tuple[str, ...] = tuple(concept for members in GROUPS.values() for concept in members)
GROUP_OF: dict[str, str] = {concept: group for group, members in GROUPS.items() for concept in members}

SYNONYMS: dict[str, tuple[str, ...]] = {
    "cat": ("kitten",),
    "dog": ("puppy",),
    "plane": ("airplane", "aeroplane", "aircraft"),
    "bicycle": ("bike",),
    "car": ("automobile",),
    "train": ("locomotive",),
    "boat": ("ship",),
    "truck": ("lorry",),
    "motorcycle": ("motorbike",),
    "person": ("human",),
    "bag": ("handbag", "backpack"),
    "traffic light": ("traffic signal", "stoplight"),
    "house": ("home",),
    "cup": ("mug",),
    "phone": ("telephone",),
    "television": ("tv",),
    "ball": ("football",),
    "hamburger": ("burger",),
    "glasses": ("spectacles",),
}

# Colour -> the corners (low, high) of the box its base RGB is drawn from, 0..255.
COLOURS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "red": ((185, 10, 15), (230, 45, 45)),
    "orange": ((240, 125, 0), (255, 160, 35)),
    "yellow": ((235, 210, 20), (255, 240, 90)),
    "green": ((25, 125, 35), (90, 190, 85)),
    "blue": ((15, 50, 170), (60, 125, 240)),
    "purple": ((95, 20, 125), (140, 55, 180)),
    "pink": ((245, 145, 180), (255, 190, 215)),
    "brown": ((95, 55, 20), (130, 80, 45)),
    "gray": ((115, 115, 115), (150, 150, 150)),
    "white": ((240, 240, 240), (255, 255, 255)),
    "black": ((2, 2, 2), (28, 28, 28)),
}
COLOUR_NAMES: tuple[str, ...] = tuple(COLOURS)


def stem(concept: str) -> str:
    """The concept as a file name: `traffic light` -> `traffic_light`."""
    return concept.replace(" ", "_")
