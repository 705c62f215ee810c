"""What README and docs tell to type. A command is

    each fenced block of shell (```sh), as a whole;
    each line of an indented block that begins with a program, up to two blanks or a #, behind which it is explained (a loop is one
    command);
    code in backticks that begins with a program.

`a|b|c` are three commands, and `coldpath pause, resume` two. What a program is: PROGRAMS, and in indented blocks whatever this
host can run. test_commands.py says of each how it is executed."""

import dataclasses
import pathlib
import re
import shutil

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = [SOURCE / "README.md", *sorted((SOURCE / "docs").glob("*.md"))]
PROGRAMS = set("""apt-get awk cat cd chmod chown cmake cp cpack ctest curl cut dd docker dpkg echo export fio for gdb git grep
    gunzip head install ip journalctl kill less ln losetup ls lslocks lsof make mkdir mkfs mount mv nc npm
    numactl openssl perf pip podman promtool ps pytest python3 rm rsync runuser scp sed sqlite3 ssh stat
    strace sudo swapon sysctl systemctl systemd-analyze tail tar taskset tee ulimit umount unset useradd
    vmstat wget xargs zcat""".split())
OURS = re.compile(r"coldpath(d|-chdb|-market|-hoststats)?|\.?(\./)?(tests/run|quickstart)|(\./)?build/bin/\S+")
NAMES = {"coldpath", "coldpathd", "coldpath-chdb", "export", "install", "kill", "tail"}  # alone in backticks: a program's name, or a verb's


@dataclasses.dataclass(frozen=True)
class Command:
    document: str
    text: str


def program(line):
    """The word of a line that would be run."""
    words = line.split()
    while words and re.fullmatch(r"[A-Z_]+=\S*|sudo", words[0]):
        words.pop(0)
    return words[0] if words else ""


def is_program(word):
    return bool(OURS.fullmatch(word)) or word in PROGRAMS


def alternatives(text):
    """Each command of `pause TABLE|all`, of `pause, resume`."""
    listed = re.fullmatch(r"(coldpath) (\w+(?:, \w+)+)", text)
    if listed:
        return [f"coldpath {verb}" for verb in listed[2].split(", ")]
    several = re.search(r"(?<=\s)[\w-]+(?:\|(?:[\w-]+|…))+(?=\s|$)", text)
    if not several:
        return [text]
    return [text[:several.start()] + one + text[several.end():] for one in several[0].split("|") if one != "…"]


def indented(text):
    """The commands of indented blocks: a loop's lines are one."""
    loop = None
    for line in re.findall(r"^ {4,}(\S.*)$", text, re.M):
        command = re.split(r"\s#|(?<=\S)  +(?=\S)", line)[0].rstrip() if loop is None else line
        if loop is not None:
            loop.append(command)
            if command == "done":
                yield "\n".join(loop)
                loop = None
        elif command.startswith("for "):
            loop = [command]
        elif is_program(program(command)) or " " in command and shutil.which(program(command)):
            yield command


def commands(path):
    """The commands of a document, in its order as far as each kind goes."""
    text = path.read_text()
    found = [block for block in re.findall(r"^```(?:sh|bash|console)\n(.*?)^```$", text, re.S | re.M)]
    text = re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)
    lines = list(indented(text))
    text = re.sub(r"^ {4,}\S.*$", "", text, flags=re.M)
    for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text):
        code = " ".join(code.split())
        if is_program(program(code)) and code not in NAMES:
            lines.append(code)
    for line in lines:
        found += alternatives(line)
    return [Command(path.name, text) for text in found]


def all_commands():
    return [command for path in DOCUMENTS for command in commands(path)]
