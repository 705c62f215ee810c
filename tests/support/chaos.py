"""A proxy that stands between a recorder and a ClickHouse and does to their conversation what networks, load balancers and
servers do on bad days, by a seed.

    recorder ──► ChaosProxy ──► ClickHouse           calm: every byte passes unchanged, both ways
                     │
                     └── plan(request) -> Fault      how far the request goes:  nothing, a part, the whole
                                                     what comes back:           the server's answer, or one of ours
                                                     and how:                   whole, cut, dripping, reset, never

A Fault is those three and two pauses; their product has all that is of interest: nothing and never is a black hole, the
whole and reset a commit whose reply is lost. One lie is left out, for no client can see through it: a complete, empty 200 for a
request that never reached the server.

    with ChdbServer() as server, ChaosProxy(server.port) as proxy:
        recorder = Recorder(proxy.url, …)
        proxy.plan = RandomPlan(seed)
        …
        proxy.calm()

Messages are taken in whole before they go on, as far as a fault lets them; a request that waits for "100 Continue" is not
supported. The proxy is a thread with an event loop; plan is called on it."""

import asyncio
import collections
import dataclasses
import hashlib
import random
import re
import socket
import struct
import threading
import time
import urllib.parse

NOTHING, PART, WHOLE = "nothing", "part", "whole"  # of the request reaches the server
COMPLETE, CUT, DRIP, RESET, CLOSE, NEVER = "complete", "cut", "drip", "reset", "close", "never"  # how the answer comes

HEAD_MOST = 4 * 1024 * 1024  # bytes of a head; more is the end of the connection
DRIP_SECONDS = 0.004         # between the bytes of a dripping answer
HELD_MOST = 512              # connections that are held without an answer at a time; then the oldest is reset


@dataclasses.dataclass(frozen=True)
class Fault:
    """name: what it is counted under. answer: bytes of ours instead of the server's."""
    name: str
    request: str = WHOLE
    answer: bytes | None = None
    way: str = COMPLETE
    before: float = 0.0  # seconds until the request goes on
    after: float = 0.0   # seconds until the answer does


CALM = Fault("calm")


@dataclasses.dataclass(frozen=True)
class Request:
    """What a plan can see of a request."""
    number: int
    target: str
    sql: str  # of the URL; "" when it is in the body
    token: str
    digest: str  # of the body
    body_bytes: int
    time: float

    @property
    def table(self):
        """Of an INSERT; None: something else."""
        found = re.match(r"INSERT INTO `?(\w+)`?", self.sql)
        return found.group(1) if found else None


def answer(status, body="", code=None, headers=(), reason="Chaos"):
    """A well-formed response. code: X-ClickHouse-Exception-Code."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} {reason}", *headers, f"Content-Length: {len(data)}"]
    if code is not None:
        lines.append(f"X-ClickHouse-Exception-Code: {code}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def exception(code, name, text="said the chaos proxy"):
    return f"Code: {code}. DB::Exception: {text}. ({name}) (version 26.7.1.1)\n"


class Closed(Exception):
    """A peer went away, or is not to be answered any more."""


async def read_message(reader, to_eof):
    """(head, body) as they came; body still in its chunks. None when the peer closed before the first byte. to_eof: a body without
    a length lasts until the peer closes."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise Closed from error
    except asyncio.LimitOverrunError as error:
        raise Closed from error
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    try:
        if re.search(rb"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE):
            return head, await read_chunks(reader)
        if length:
            return head, await reader.readexactly(int(length.group(1)))
        return head, await reader.read() if to_eof else b""
    except asyncio.IncompleteReadError as error:
        raise Closed from error


async def read_chunks(reader):
    parts = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        parts += [line, await reader.readexactly(size + 2)]
        if size == 0:
            return b"".join(parts)


def abort(writer):
    """Ends a connection with RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class ChaosProxy:
    """Listens on a free loopback port. plan: request -> Fault, or None. requests: every request seen, in their order."""

    def __init__(self, upstream_port, plan=None):
        self.upstream_port = upstream_port
        self.plan = plan
        self.port = 0
        self.counts = collections.Counter()
        self.requests = []
        self._held = collections.deque()
        self._serving = set()  # the loop itself remembers its tasks only weakly
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server = None

    def __enter__(self):
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_):
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def refuse(self, refused):
        """While refused, nobody listens: connections under way live on, new ones are refused."""
        self._call(self._unlisten() if refused else self._listen())

    def calm(self):
        """No more faults; what is held is reset."""
        self.plan = None
        self._call(self._let_go())
        if not self._server:
            self._call(self._listen())

    # ---- the event loop -------------------------------------------------------------------------------------------

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _listen(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=HEAD_MOST, backlog=256)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _unlisten(self):
        server, self._server = self._server, None
        if server:
            server.close()

    async def _let_go(self):
        while self._held:
            self._held.popleft().set()

    async def _end(self):
        await self._unlisten()
        await self._let_go()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _hold(self):
        """Until calm, or until too many are held."""
        event = asyncio.Event()
        self._held.append(event)
        if len(self._held) > HELD_MOST:
            self._held.popleft().set()
        await event.wait()
        raise Closed

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._serving.add(task)
        try:
            while (message := await read_message(reader, False)) is not None:
                await self._exchange(message, writer)
            writer.close()
        except (Closed, OSError, ValueError, asyncio.IncompleteReadError):
            abort(writer)
        except asyncio.CancelledError:
            abort(writer)
        finally:
            self._serving.discard(task)

    def _look(self, head, body):
        target = head.split(b" ", 2)[1].decode("latin-1")
        values = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)
        request = Request(len(self.requests), target, values.get("query", [""])[0],
                          values.get("insert_deduplication_token", [""])[0], hashlib.blake2b(body, digest_size=16).hexdigest(),
                          len(body), time.monotonic())
        self.requests.append(request)
        return request

    async def _exchange(self, message, writer):
        request = self._look(*message)
        plan = self.plan
        fault = plan(request) if plan else None
        fault = fault or CALM
        self.counts[fault.name] += 1
        await asyncio.sleep(fault.before)
        data = await self._forward(fault, *message)
        await asyncio.sleep(fault.after)
        await self._reply(fault, data if fault.answer is None else fault.answer, writer)

    async def _forward(self, fault, head, body):
        """Sends on as much as the fault allows; the server's answer, b"" when it was not asked."""
        if fault.request == NOTHING:
            return b""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream_port, limit=HEAD_MOST)
        try:
            writer.write(head + (body if fault.request == WHOLE else body[:len(body) // 2]))
            await writer.drain()
            if fault.request == PART:
                await asyncio.sleep(0.01)
                return b""
            message = await read_message(reader, True)
            if message is None:
                raise Closed
            return message[0] + message[1]
        finally:
            abort(writer)

    async def _reply(self, fault, data, writer):
        if fault.way == NEVER:
            await self._hold()
        if fault.way == RESET:
            raise Closed
        if fault.way == DRIP:
            for byte in data:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(DRIP_SECONDS)
            return
        writer.write(data[:cut_at(data)] if fault.way == CUT else data)
        await writer.drain()
        if fault.way in (CUT, CLOSE):
            writer.close()
            await writer.wait_closed()
            raise Closed


def cut_at(data):
    """The middle of a response's body; of its head when there is none."""
    head = data.find(b"\r\n\r\n") + 4
    return (head + len(data)) // 2 if head < len(data) else max(head - 4, 0) // 2 + 1


# ---- plans --------------------------------------------------------------------------------------------------------

# Codes that a resent batch survives by itself: transient, in doubt, too many parts, a table or an endpoint to be parked, unknown.
CODES = ((241, "MEMORY_LIMIT_EXCEEDED"), (202, "TOO_MANY_SIMULTANEOUS_QUERIES"), (999, "KEEPER_EXCEPTION"),
         (252, "TOO_MANY_PARTS"), (319, "UNKNOWN_STATUS_OF_INSERT"), (243, "NOT_ENOUGH_SPACE"), (60, "UNKNOWN_TABLE"),
         (516, "AUTHENTICATION_FAILED"), (4711, "NEVER_HEARD_OF"))
# Codes that blame the rows, or how many of them there are: the batch goes on in pieces, single rows to the quarantine. And of a
# block that could not be read, which is tried again before that.
REFUSALS = ((469, "VIOLATED_CONSTRAINT"), (117, "INCORRECT_DATA"), (27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"),
            (158, "TOO_MANY_ROWS"), (307, "TOO_MANY_BYTES"), (33, "CANNOT_READ_ALL_DATA"))
JUNK = b"\x16\x03\x01\x00\xff\x00not HTTP at all\x00\r\n\r\n"
OK = answer(200, reason="OK")


def lies(rng):
    """200, and yet it did not work."""
    code, name = rng.choice(CODES)
    text = exception(code, name)
    return rng.choice((answer(200, text, code=code), answer(200, "", code=code), answer(200, text),
                       answer(200, f"\r\n__exception__\r\n{text}"), answer(200, "Welcome to the guest network")))


def errors(rng):
    code, name = rng.choice(CODES)
    return rng.choice((answer(500, exception(code, name), code=code), answer(404, exception(60, "UNKNOWN_TABLE"), code=60),
                       *(answer(status, "<html>no</html>") for status in (500, 502, 503, 504, 429, 408))))


def refusals(rng):
    code, name = rng.choice(REFUSALS)
    return rng.choice((answer(400, exception(code, name), code=code), answer(413, "<html>too large</html>")))


def headers(rng):
    """Heads that no client should make sense of."""
    return rng.choice((JUNK, b"HTTP/1.1 200 OK\r\nContent-Length: banana\r\n\r\n", b"HTTP/9.9 20 OK\r\n\r\n",
                       answer(200, "x", headers=("X-Junk: " + "j" * 2_000_000,)),
                       answer(503, "", headers=("\x01\x02 garbage \xff", ": :", "no colon"))))


# name -> rng -> Fault. Weights are equal; a plan may be given some of them.
FAULTS = {
    "latency": lambda rng: Fault("latency", before=rng.uniform(0, 0.3), after=rng.uniform(0, 0.3)),
    "reset before": lambda rng: Fault("reset before", NOTHING, way=RESET),
    "reset in the body": lambda rng: Fault("reset in the body", PART, way=RESET),
    "reset after commit": lambda rng: Fault("reset after commit", WHOLE, way=RESET),
    "reset in the reply": lambda rng: Fault("reset in the reply", WHOLE, way=CUT),
    "closed after the reply": lambda rng: Fault("closed after the reply", WHOLE, way=CLOSE),
    "truncated 200": lambda rng: Fault("truncated 200", rng.choice((NOTHING, WHOLE)), OK, CUT),
    "truncated error": lambda rng: Fault("truncated error", NOTHING, errors(rng), CUT),
    "error": lambda rng: Fault("error", NOTHING, errors(rng)),
    "error after commit": lambda rng: Fault("error after commit", WHOLE, answer(rng.choice((500, 502, 504)), "gone")),
    "lying 200": lambda rng: Fault("lying 200", NOTHING, lies(rng)),
    "lying 200 after commit": lambda rng: Fault("lying 200 after commit", WHOLE, lies(rng)),
    "refusal": lambda rng: Fault("refusal", NOTHING, refusals(rng)),
    "redirect": lambda rng: Fault("redirect", NOTHING, answer(rng.choice((301, 302, 307, 308)), "",
                                                             headers=("Location: http://127.0.0.1:9/",))),
    "slow drip": lambda rng: Fault("slow drip", WHOLE, way=DRIP),
    "black hole": lambda rng: Fault("black hole", NOTHING, way=NEVER),
    "half open": lambda rng: Fault("half open", PART, way=NEVER),
    "silence after commit": lambda rng: Fault("silence after commit", WHOLE, way=NEVER),
    "bad headers": lambda rng: Fault("bad headers", NOTHING, headers(rng)),
    "bad headers after commit": lambda rng: Fault("bad headers after commit", WHOLE, headers(rng)),
}


class RandomPlan:
    """Faults by seed, in phases of a fraction of a second to two seconds: all is well, now and then one, mostly, nothing but.
    Rows that may have been stored are not refused: no server takes a batch first and calls its rows bad when it comes again."""

    def __init__(self, seed, names=(*FAULTS, *("refusal",) * 8)):
        self.rng = random.Random(seed)
        self.names = names
        self.until = 0.0
        self.chance = 0.0
        self.passed = set()  # tokens that have reached the server

    def __call__(self, request):
        fault = self.draw(request)
        while fault and fault.name == "refusal" and request.token in self.passed:
            fault = self.draw(request)
        if not fault or fault.request != NOTHING:
            self.passed.add(request.token)
        return fault

    def draw(self, request):
        if request.time > self.until:
            self.until = request.time + self.rng.uniform(0.2, 2)
            self.chance = self.rng.choice((0, 0.2, 0.5, 0.9, 1))
        if self.rng.random() >= self.chance:
            return None
        return FAULTS[self.rng.choice(self.names)](self.rng)
