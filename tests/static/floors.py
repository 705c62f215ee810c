"""Every #include leads to the same folder or to a floor below it, as README.md ("The house") has the floors from the top down; a folder
beside the tower stands on no floor but those named here.

    python3 tests/static/floors.py"""

import pathlib
import re
import sys

TOP = pathlib.Path(__file__).parent.parent.parent
# Beside the tower: what each stands on, and who may stand on a part of it.
BESIDE = {"embedded": {"base"}, "feeds": {"base", "schema", "shm"}, "python": {"base", "schema", "shm"}}
PARTS = {("cli", "feeds/producer.h")}  # how our own programs put rows
INCLUDE = re.compile(r'\s*#\s*include\s*(?:"([^"]+)"|<(coldpath/[^>]+)>)')


def tower():
    """The floors, from the bottom up."""
    house = (TOP / "README.md").read_text().partition("## The house")[2].partition("    embedded/")[0]
    return re.findall(r"^    (\w+)/ ", house, re.MULTILINE)[::-1]


def target(file, quoted, public):
    """The path, from the top, of the file that is included; None: it is none of ours, or generated."""
    if public:
        found = [path for path in TOP.glob(f"*/include/{public}")]
    else:
        found = [path for path in (TOP / quoted, file.parent / quoted) if path.exists()]
    return found[0].resolve().relative_to(TOP) if found else None


def main():
    floors = tower()
    below = {floor: set(floors[:height + 1]) for height, floor in enumerate(floors)} | BESIDE
    missing = [name for name in ("base", "cli", *BESIDE) if name not in below or not (TOP / name).is_dir()]
    bad, seen = len(missing), 0
    for name in missing:
        print(f"README.md or this test names a floor that is not there, or not one that is: {name}")
    for folder, may in below.items():
        for file in sorted(path for path in (TOP / folder).rglob("*") if path.suffix in (".c", ".h", ".hpp")):
            for number, line in enumerate(file.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                used = match and target(file, *match.groups())
                seen += bool(used)
                if used and used.parts[0] not in may | {folder} and (folder, str(used)) not in PARTS:
                    bad += 1
                    print(f"{file.relative_to(TOP)}:{number}: {folder}/ does not stand on {used.parts[0]}/: {line.strip()}")
    print(f"{len(floors)} floors, {seen} uses, {bad} that lead up")
    return 1 if bad or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
