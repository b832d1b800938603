"""What a running server does, seen from outside: its system calls by strace, and the order that they must have.

A trace is read as it was stopped: a call begins at the line that shows its arguments and ends at the line that shows its
result, so "after" always means that the earlier call had returned before the later one was made.
"""

import codecs
import json
import os
import re
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field

from harness import wait_for

WRITES = {"pwrite64", "pwritev", "pwritev2", "write", "writev"}
SENDS = {"sendto", "sendmsg", "sendmmsg", "write", "writev"}
RECEIVES = {"recvfrom", "recvmsg", "read", "readv"}
SYNCS = {"fsync", "fdatasync"}
# Their last string is a new name.
GIVES_NAME = {"rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat"}
# Strings are shown up to this length: frames, manifests and packets of these tests are shorter.
STRING_BYTES = 1 << 17

RESUMED = re.compile(r"<\.\.\. \w+ resumed>")
CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)", re.DOTALL)
TEXT = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
HANDLE = re.compile(r"(-?\d+|AT_FDCWD)<([^>]*)>")


def strace(output):
    """The prefix that runs a program under strace; its process id stays the program's."""
    calls = ",".join(sorted(WRITES | SENDS | RECEIVES | SYNCS | GIVES_NAME | {"openat", "unlink", "unlinkat"}))
    return ["strace", "-D", "-f", "-y", "-q", "-s", str(STRING_BYTES), "-e", f"trace={calls}", "-o", str(output)]


@dataclass
class Call:
    """One system call that succeeded."""

    name: str
    # What its first argument is: a file's path, or `socket:[number]`.
    target: str
    # The strings among its arguments, in order.
    texts: list
    arguments: str
    # The bytes that it moved, if that is what it does.
    data: bytes
    # Lines of the trace.
    began: int
    ended: int


@dataclass
class Flow:
    """The bytes of one direction of a socket, each with the call that moved it."""

    bytes: bytearray = field(default_factory=bytearray)
    starts: list = field(default_factory=list)
    calls: list = field(default_factory=list)

    def add(self, call):
        if call.data:
            self.starts.append(len(self.bytes))
            self.calls.append(call)
            self.bytes += call.data

    def call_at(self, offset):
        return self.calls[bisect_right(self.starts, offset) - 1]


class Trace:
    """A whole trace."""

    def __init__(self, text):
        self.calls = []
        begun = {}
        for number, line in enumerate(text.split("\n")):
            thread, _, rest = line.partition(" ")
            rest = rest.lstrip()
            if rest.endswith("<unfinished ...>"):
                begun[thread] = (number, rest.removesuffix("<unfinished ...>"))
                continue
            start = number
            if (resumed := RESUMED.match(rest)) and thread in begun:
                start, head = begun.pop(thread)
                rest = head + rest[resumed.end() :]
            self._add(rest, start, number)
        self.calls.sort(key=lambda call: call.began)
        self.log_writes = [c for c in self.calls if c.name in WRITES and c.target.endswith(".segment")]
        self.syncs = [call for call in self.calls if call.name in SYNCS]
        self.received, self.sent = defaultdict(Flow), defaultdict(Flow)
        for call in sorted(self.calls, key=lambda call: call.ended):
            if call.target.startswith("socket:"):
                if call.name in RECEIVES:
                    self.received[call.target].add(call)
                elif call.name in SENDS:
                    self.sent[call.target].add(call)

    @classmethod
    def read(cls, path, process_id):
        """The trace of a program that has ended."""
        wait_for("the end of the trace", lambda: re.search(rf"^{process_id} +\+\+\+ ", tail(path), re.MULTILINE))
        return cls(path.read_text(encoding="ascii", errors="replace"))

    def _add(self, text, began, ended):
        found = CALL.match(text)
        if not found or int(found.group(3)) < 0:
            return
        name, arguments, result = found.group(1), found.group(2), int(found.group(3))
        handle = HANDLE.match(arguments)
        texts = [codecs.escape_decode(string)[0] for string in TEXT.findall(arguments)]
        target, data = handle.group(2) if handle else "", b"".join(texts)[:result]
        self.calls.append(Call(name, target, texts, arguments, data, began, ended))

    # --- Files ---

    def synced(self, target, after, before=None):
        """The first sync of `target` that began after line `after`, and ended before line `before`."""
        for call in self.syncs:
            if call.target == target and call.began > after:
                return call if before is None or call.ended < before else None
        return None

    def made(self):
        """Names that came to be: (path, call)."""
        for call in self.calls:
            if call.name == "openat" and "O_CREAT" in call.arguments:
                yield resolve(call, 0), call
            elif call.name in GIVES_NAME:
                yield resolve(call, -1), call

    def name_durable(self, path, made):
        """The line after which the name `path`, which the call `made` made, and the names of the directories made for it
        survive a power cut; none if never.
        """
        directory = os.path.dirname(path)
        synced = self.synced(directory, made.ended)
        if synced is None:
            return None
        above = next((call for name, call in self.made() if name == directory), None)
        if above is None:
            return synced.ended
        line = self.name_durable(directory, above)
        return None if line is None else max(line, synced.ended)

    def durable(self, marker):
        """The line after which the frame that holds `marker` survives a power cut; or what is missing."""
        call = next((call for call in self.log_writes if marker in call.data), None)
        if call is None:
            return Missing("no frame holds it")
        synced = self.synced(call.target, call.ended)
        if synced is None:
            return Missing(f"{call.target} is not synced after it was written")
        line = synced.ended
        for path, made in self.made():
            if path == call.target:
                name = self.name_durable(path, made)
                if name is None:
                    return Missing(f"the directory of {path} is not synced")
                line = max(line, name)
        return line

    # --- Acknowledgements ---

    def find(self, marker):
        """Where `marker` came in: (socket, offset in its received bytes)."""
        for socket, flow in self.received.items():
            offset = flow.bytes.find(marker)
            if offset >= 0:
                return socket, offset
        return None

    def order_violations(self, markers, acknowledgement):
        """What is wrong: for each marker, its acknowledgement must begin after its frame is durable. `acknowledgement(trace,
        marker)` answers the call that sends it.
        """
        violations = []
        for marker in markers:
            sent = acknowledgement(self, marker)
            durable = self.durable(marker)
            if sent is None:
                violations.append(f"{marker.decode()}: no acknowledgement was sent")
            elif isinstance(durable, Missing):
                violations.append(f"{marker.decode()}: acknowledged at line {sent.began}, but {durable.what}")
            elif sent.began < durable:
                violations.append(f"{marker.decode()}: acknowledged at line {sent.began}, durable only at line {durable}")
        return violations

    # --- Manifests ---

    def manifest_violations(self):
        """What is wrong: files that a manifest names, and their names, must be synced before the manifest is put in its
        place; and the manifest before anything that it makes superfluous is removed. Answers the manifests too.
        """
        violations, manifests = [], []
        files = [(path, call) for path, call in self.made() if path.endswith(".parquet")]
        for path, link in self.made():
            if not re.search(r"/manifest/\d+\.json$", path):
                continue
            manifests.append(path)
            unfinished = resolve(link, 0)
            written = [c for c in self.calls if c.name in WRITES and c.target == unfinished and c.ended < link.began][-1]
            if not self.synced(unfinished, written.ended, before=link.began):
                violations.append(f"{path}: put in its place before its content is synced")
            for entry in json.loads(written.data)["manifest"]["files"]:
                # A file that a later generation keeps gets another name, after this manifest.
                name = f"-{entry['id']:020}.parquet"
                made = [(file, call) for file, call in files if file.endswith(name) and call.began < link.began]
                if not made:
                    violations.append(f"{path} names file {entry['id']}, which was not made")
                for file, creation in made:
                    violations += self.unsynced(file, creation, link, path)
            durable = self.name_durable(path, link)
            removed = [c for c in self.calls if c.name in {"unlink", "unlinkat"} and c.began > link.ended]
            older = [c for c in removed if resolve(c, 0) != unfinished]
            if durable is None or older and older[0].began < durable:
                violations.append(f"{path}: its directory is not synced before older files go")
        return manifests, violations

    def unsynced(self, file, creation, link, manifest):
        """What of `file` is not on stable storage when the manifest is linked."""
        writes = [call for call in self.calls if call.name in WRITES and call.target == file and call.ended < link.began]
        if writes and not self.synced(file, writes[-1].ended, before=link.began):
            yield f"{manifest} names {file}, whose content is not synced"
        name = self.name_durable(file, creation)
        if name is None or name > link.began:
            yield f"{manifest} names {file}, whose directory is not synced"


@dataclass
class Missing:
    """Why something is not durable."""

    what: str


def tail(path):
    """The last bytes of a file."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 400))
        return file.read().decode("ascii", "replace")


def resolve(call, index):
    """The path that the string number `index` of a call names; relative ones lie where its handle says."""
    path = call.texts[index].decode()
    return path if path.startswith("/") else os.path.join(call.target, path)


# --- Protocols ---


def mqtt_packets(stream):
    """(offset, first byte, body) of each whole MQTT packet."""
    at = 0
    while at + 2 <= len(stream):
        length, shift, body = 0, 0, at + 1
        while body < len(stream):
            byte = stream[body]
            length |= (byte & 0x7F) << shift
            shift += 7
            body += 1
            if byte < 0x80:
                break
        if body + length > len(stream):
            return
        yield at, stream[at], bytes(stream[body : body + length])
        at = body + length


def mqtt_acknowledgement(trace, marker):
    """The call that sends the PUBACK of the PUBLISH that carries `marker`."""
    found = trace.find(marker)
    if found is None:
        return None
    socket, offset = found
    received = trace.received[socket]
    for start, first, body in mqtt_packets(received.bytes):
        if first >> 4 == 3 and marker in body:
            topic = int.from_bytes(body[:2], "big")
            packet_id = body[2 + topic : 4 + topic]
            taken = received.call_at(start)
            for at, kind, answer in mqtt_packets(trace.sent[socket].bytes):
                call = trace.sent[socket].call_at(at)
                if kind >> 4 == 4 and answer[:2] == packet_id and call.ended > taken.ended:
                    return call
    return None


NATS_MESSAGE = re.compile(rb"H?MSG \S+ \S+ (\$JS\.ACK\.\S+) ")


def nats_acknowledgement(trace, marker):
    """The call that sends the JetStream acknowledgement of the message that carries `marker`."""
    found = trace.find(marker)
    if found is None:
        return None
    socket, offset = found
    heads = list(NATS_MESSAGE.finditer(bytes(trace.received[socket].bytes[:offset])))
    if not heads:
        return None
    at = trace.sent[socket].bytes.find(b"PUB " + heads[-1].group(1) + b" ")
    return trace.sent[socket].call_at(at) if at >= 0 else None


def http_acknowledgement(trace, marker):
    """The call that sends the HTTP 200 of the request that carries `marker`."""
    found = trace.find(marker)
    if found is None:
        return None
    socket, offset = found
    asked = trace.received[socket].call_at(offset)
    for call in trace.sent[socket].calls:
        if call.ended > asked.ended and call.data.startswith(b"HTTP/1.1 "):
            return call if call.data.startswith(b"HTTP/1.1 200 ") else None
    return None


def mark(entrance, number):
    """Bytes that occur once: in a payload, in the frame that holds it, and nowhere else."""
    return f"mark-{entrance}-{number:05}-end"


def payload(entrance, number):
    """A reading that carries its mark."""
    return json.dumps({"mark": mark(entrance, number), "ts": 1_700_000_000_000 + number})
