"""The input of the round trips: a text file of any number of lines, the same bytes for the same seed and sources.

The words come from the texts that every Debian machine ships in /usr/share/common-licenses, taken as runs of consecutive words,
with words of other scripts among them. Every line starts with its number, so each line is unique and a lost, doubled or moved
line can be named. A few lines are nothing but their number, a few are longer than 8 KiB.
"""

import hashlib
import pathlib
import random

SEED = 20_260_101
SOURCES = ["Apache-2.0", "Artistic", "GFDL-1.3", "GPL-1", "GPL-2", "GPL-3", "LGPL-2.1", "LGPL-3", "MPL-1.1", "MPL-2.0"]
OTHER_SCRIPTS = (
    "Überprüfung naïve café señor Ærøskøbing žluťoučký kůň Ελληνικά καλημέρα Привет мир שלום עולם مرحبا بالعالم "
    "नमस्ते दुनिया 你好世界 こんにちは世界 안녕하세요 สวัสดี 🚀 👩‍👩‍👧‍👦 ∑∞√ ﬁﬂ e\u0301 \u00a0 \u200b ÿ \U0010fffd"
).split(" ")


def lines(count, seed=SEED):
    """Yields `count` lines without their line feed. No line holds a carriage return, which line readers would strip."""
    words = []
    for name in SOURCES:
        words += pathlib.Path("/usr/share/common-licenses", name).read_text(encoding="utf-8").split()
    generator = random.Random(seed)
    draw = generator.random
    word_count = len(words)
    for number in range(count):
        kind = draw()
        if kind < 0.02:
            yield f"{number:08d}"
            continue
        if kind < 0.90:
            length = 1 + int(draw() * 20)
        elif kind < 0.9995:
            length = 20 + int(draw() * 60)
        else:
            length = 1200 + int(draw() * 400)
        start = int(draw() * (word_count - length))
        text = " ".join(words[start : start + length])
        if kind < 0.10:
            text += " " + " ".join(generator.choices(OTHER_SCRIPTS, k=4))
        elif kind < 0.12:
            text = f'\t"{text}"\\t, {{"a": [1, null]}} \x01\x7f '
        yield f"{number:08d} {text}"


def write(path, count, seed=SEED):
    """Writes the file unless a finished one is there; returns the SHA-256 of its bytes."""
    path = pathlib.Path(path)
    digest_path = path.with_suffix(".sha256")
    if path.exists() and digest_path.exists():
        return digest_path.read_text()
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for line in lines(count, seed):
            data = line.encode() + b"\n"
            digest.update(data)
            file.write(data)
    digest_path.write_text(digest.hexdigest())
    return digest.hexdigest()
