"""What a running server tells the operating system, by strace, and whether an acknowledgement came too early.

An acknowledgement of a reading may leave only when

1. the bytes of its frame were written to a log segment,
2. a sync of that file began after the write had ended, and has ended well,
3. every name that led to the file (made, renamed) was followed by an ended sync of its directory.
"""

import codecs
import re
from dataclasses import dataclass
from pathlib import PurePath

from harness import program, wait_for

SYSCALLS = (
    "openat,open,creat,rename,renameat,renameat2,link,linkat,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,"
    "fsync,fdatasync,sync_file_range,syncfs"
)


def strace(output):
    """The command that runs another one under strace, which stays our own child (-D)."""
    return [program("strace"), "-D", "-f", "-yy", "-s", "262144", "-e", f"trace={SYSCALLS}", "-e", "signal=none", "-o", str(output)]


@dataclass
class Call:
    """One system call: lines of the trace where it began and ended."""

    name: str
    arguments: str
    result: str
    began: int
    ended: int

    @property
    def good(self):
        return not self.result.startswith("-1")

    @property
    def target(self):
        """The path or socket behind the first argument, a descriptor."""
        found = re.match(r"\d+<((?:[^<>]|->)*)>", self.arguments)
        return found.group(1) if found else ""

    @property
    def strings(self):
        """Every quoted argument, as bytes."""
        return [unescape(text) for text in re.findall(r'"((?:[^"\\]|\\.)*)"', self.arguments)]


def unescape(text):
    return codecs.escape_decode(text.encode("latin-1"))[0]


def read(path, process):
    """The calls of a trace, in the order in which they ended; waits until strace has written the end of `process`."""
    ended = re.compile(rf"^{process} +\+\+\+ exited", re.MULTILINE)
    wait_for("the end of the trace", lambda: ended.search(path.read_text(encoding="latin-1")[-10_000:]))
    calls, unfinished = [], {}
    for number, line in enumerate(path.read_text(encoding="latin-1").splitlines()):
        found = re.match(r"(\d+) +(.*)$", line)
        if not found:
            continue
        thread, rest = found.groups()
        if resumed := re.match(r"<\.\.\. (\w+) resumed>(.*)$", rest):
            began, start = unfinished.pop(thread, (number, f"{resumed.group(1)}("))
            rest = start + resumed.group(2)
        elif rest.endswith("<unfinished ...>"):
            unfinished[thread] = (number, rest.removesuffix("<unfinished ...>").rstrip())
            continue
        else:
            began = number
        if call := re.match(r"(\w+)\((.*)\) += (.*)$", rest):
            calls.append(Call(*call.groups(), began=began, ended=number))
    return calls


class NotDurable(AssertionError):
    """An acknowledgement left too early."""


class Disk:
    """What is on stable storage, as far as the calls so far tell."""

    def __init__(self, directory):
        self.directory = str(directory)
        # Marker -> (path, line where the write ended); path -> line where its last good sync began.
        self.written = {}
        self.synced = {}
        # Name -> line where the call that made it ended; directory -> line where its last good sync began.
        self.named = {}
        self.directory_synced = {}
        self.syncs = 0

    def take(self, call, marker):
        """Learns from a call; `marker` finds the readings in written bytes."""
        if not call.good:
            return
        if call.name in ("pwrite64", "pwritev", "pwritev2", "write", "writev") and call.target.startswith(self.directory):
            for text in call.strings:
                for found in marker.findall(text):
                    self.written.setdefault(found, (call.target, call.ended))
        elif call.name in ("fsync", "fdatasync"):
            self.syncs += 1
            self.synced[call.target] = call.began
            self.directory_synced[call.target] = call.began
        elif call.name in ("open", "openat", "creat") and "O_CREAT" in call.arguments or call.name.startswith(("rename", "link")):
            name = call.strings[-1].decode()
            if name.startswith(self.directory):
                self.named[name] = call.ended

    def check(self, reading, what):
        """Raises unless `reading` is on stable storage now."""
        if reading not in self.written:
            raise NotDurable(f"{what}: {reading} was not written to the log")
        path, written = self.written[reading]
        if self.synced.get(path, -1) <= written:
            raise NotDurable(f"{what}: {reading} was written to {path}, and no sync of it began and ended after that")
        if path in self.named:
            parent = str(PurePath(path).parent)
            if self.directory_synced.get(parent, -1) <= self.named[path]:
                raise NotDurable(f"{what}: the name {path} was not synced in its directory")


def packets(stream):
    """The MQTT packets in bytes that a server sent: (first byte, body)."""
    place = 0
    while place < len(stream):
        length, shift, at = 0, 0, place + 1
        while True:
            length |= (stream[at] & 127) << shift
            shift += 7
            at += 1
            if not stream[at - 1] & 128:
                break
        yield stream[place], stream[at : at + length]
        place = at + length
