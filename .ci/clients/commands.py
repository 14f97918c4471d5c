"""Reads commands.txt for the Python clients."""

import json
import pathlib
from dataclasses import dataclass


@dataclass
class Line:
    args: list
    want: str


def read(reference):
    lines = []
    for text in (pathlib.Path(__file__).parent / "commands.txt").read_text().splitlines():
        if not text or text.startswith("#"):
            continue
        for mark in ("since 7.2 ", "newer "):
            if text.startswith(mark):
                text = "" if reference else text.removeprefix(mark)
        if not text:
            continue
        left, want = text.split(" => ", 1)
        args = ["" if a == '""' else a.replace("\\s", " ") for a in left.split(" ")]
        lines.append(Line(args, want))
    assert len(lines) > 120, "commands.txt was not read"
    return lines


def check(line, reply, who):
    if line.want.startswith("!"):
        ok = isinstance(reply, Exception) and line.want[1:].removeprefix("ERR ").lstrip() in str(reply)
        ok = ok or (isinstance(reply, Exception) and line.want == "!ERR")
    elif isinstance(reply, Exception):
        ok = False
    else:
        ok = line.want == "*" or reply == json.loads(line.want)
    if not ok:
        raise SystemExit(f"{who}: {' '.join(line.args)}: wanted {line.want}, got {reply!r}")
