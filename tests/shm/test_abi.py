"""The layouts that others are compiled against: each struct and enumerator of shm/abi.h, <coldpath/coldpath.h> and <coldpath/row.h>, as the
compiler has them, against shm/abi_layout.txt, which belongs to the version in its first line.

    a layout that changed under the same version   fails
    a new CP_ABI_MINOR                             may give names to reserved bytes, and move nothing
    a new CP_ABI_MAJOR                             may change everything

`test_abi.py --write` writes the file for a new version, and refuses to for the same one."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
LAYOUT = pathlib.Path(__file__).with_name("abi_layout.txt")
HEADERS = ("shm/abi.h", "shm/include/coldpath/coldpath.h", "schema/include/coldpath/row.h")
INCLUDES = (".", "base/include", "schema/include", "shm/include")
VERSION = ("CP_ABI_MAJOR", "CP_ABI_MINOR")


def members(body):
    for declaration in filter(None, map(str.strip, body.split(";"))):
        found = re.fullmatch(r"[\w\s]+?[\s*](\w+)((?:\[[^]]+\])*)", declaration)
        if not found:
            raise AssertionError(f"no member that this test understands: {declaration}")
        yield found[1]


def enumerators(body):
    return [re.match(r"\w+", part.strip())[0] for part in body.split(",") if part.strip()]


def probe():
    """A C program that prints "name value" for versions, enumerators, sizes and offsets."""
    lines = []
    for header in HEADERS:
        text = re.sub(r"/\*.*?\*/", "", (SOURCE / header).read_text(), flags=re.S)
        text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
        for name, body in re.findall(r"\bstruct\s+(?:[A-Z_]+\s+)?(\w+)\s*\{([^{}]*)\}", text):
            lines.append(f'SHOW("{name} size", sizeof(struct {name}));')
            for member in members(body):
                place = f"struct {name}, {member}"
                lines.append(f'printf("{name}.{member} %zu+%zu\\n", offsetof({place}), sizeof(((struct {name} *)0)->{member}));')
        for body in re.findall(r"\benum(?:\s+\w+)?\s*\{([^{}]*)\}", text):
            lines += [f'SHOW("{name}", (size_t){name});' for name in enumerators(body)]
    includes = "".join(f"#include <{header}>\n" for header in ("shm/abi.h", "coldpath/coldpath.h", "coldpath/row.h", "stdio.h"))
    return f'{includes}#define SHOW(name, value) printf("%s %zu\\n", name, value)\nint main(void) {{\n' + "\n".join(lines) + "\n}\n"


def layout():
    """{name: value} of what the compiler makes of the headers now."""
    with tempfile.TemporaryDirectory(prefix="coldpath-abi-") as work:
        source = pathlib.Path(work, "probe.c")
        source.write_text(probe())
        subprocess.run([os.environ.get("CC") or "cc", "-std=gnu17", *(f"-I{SOURCE / path}" for path in INCLUDES), source, "-o", f"{work}/probe"],
                       check=True, timeout=60)
        return parse(subprocess.run([f"{work}/probe"], capture_output=True, text=True, check=True, timeout=60).stdout)


def parse(text):
    return dict(line.rsplit(" ", 1) for line in text.splitlines())


def version(found):
    return tuple(int(found[name]) for name in VERSION)


def span(place):
    return tuple(map(int, place.split("+")))


def is_reserved(name):
    return re.search(r"\.reserved\d*$", name) is not None


def problems(old, new):
    """What a step from one layout to the other breaks, of what its versions allow."""
    if version(old) == version(new):
        return [f"{name}: {old.get(name)} became {new.get(name)}, and the version did not change"
                for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    if version(new) < version(old):
        return [f"version {version(new)} is lower than {version(old)}"]
    if version(new)[0] != version(old)[0]:
        return []
    found = [f"{name}: {value} became {new.get(name)} within a major version" for name, value in old.items()
             if name not in VERSION and not is_reserved(name) and new.get(name) != value]
    room = {}  # struct -> what was reserved
    for name, place in old.items():
        if is_reserved(name):
            begin, size = span(place)
            room.setdefault(name.split(".")[0], []).append((begin, begin + size))
    for name in new.keys() - old.keys():
        owner = name.split(".")[0]
        if "." in name and f"{owner} size" in old:
            begin, size = span(new[name])
            if not any(low <= begin and begin + size <= high for low, high in room.get(owner, ())):
                found.append(f"{name}: {new[name]} is not in bytes that were reserved")
    return found


class Abi(unittest.TestCase):
    def test_layout(self):
        kept, now = parse(LAYOUT.read_text()), layout()
        self.assertEqual(problems(kept, now), [])
        self.assertEqual(version(kept), version(now), "the version is new: tests/shm/test_abi.py --write")

    def test_reach(self):
        """The probe sees what matters, so that an empty list does not pass."""
        now = layout()
        for name in ("cp_abi_control.sent_limit", "cp_abi_ack.doubtful_rows", "cp_ring.pressure", "cp_ring_hot.rows", "cp_i128.hi", "CP_SINK_DEGRADED"):
            self.assertIn(name, now)
        self.assertGreater(len(now), 200)

    def test_judgement(self):
        old = {"CP_ABI_MAJOR": "1", "CP_ABI_MINOR": "0", "s size": "16", "s.a": "0+8", "s.reserved": "8+8"}
        moved = old | {"s.a": "4+4"}
        used = old | {"s.b": "8+4", "s.reserved": "12+4"}
        minor, major = {"CP_ABI_MINOR": "1"}, {"CP_ABI_MAJOR": "2"}
        for new, sound in ((old, True), (moved, False), (used, False), (used | minor, True), (moved | minor, False), (moved | major, True),
                           (old | minor | {"s.b": "4+4"}, False), ({"CP_ABI_MAJOR": "0"} | minor, False)):
            self.assertEqual(problems(old, {**old, **new}) == [], sound, new)


def write():
    now = layout()
    found = problems(parse(LAYOUT.read_text()), now) if LAYOUT.exists() else []
    if found:
        sys.exit("\n".join(found))
    LAYOUT.write_text("".join(f"{name} {now[name]}\n" for name in [*VERSION, *(name for name in now if name not in VERSION)]))


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        unittest.main(verbosity=2)
