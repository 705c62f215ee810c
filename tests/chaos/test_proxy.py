"""The chaos proxy itself: calm, it passes every byte unchanged; each fault does what its name says, seen from both ends."""

import random
import socket
import threading
import time
import unittest

from tests.support.chaos import (CLOSE, COMPLETE, CUT, DRIP, FAULTS, NEVER, NOTHING, OK, PART, RESET, WHOLE, ChaosProxy, Fault,
                                 RandomPlan, Request, answer)

BODY = bytes(random.Random(1).randbytes(300_000))
REQUEST = (b"POST /?query=INSERT%20INTO%20%60t%60%20(a)&insert_deduplication_token=x%3A1 HTTP/1.1\r\nHost: h\r\nX-Odd:  two  spaces\r\n"
           b"Content-Length: 300000\r\n\r\n" + BODY)
PLAIN = b"HTTP/1.1 200 OK\r\nX-Mixed-Case: \xff\r\nContent-Length: 5\r\n\r\nh\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\n\r\n"
TO_EOF = b"HTTP/1.0 200 OK\r\n\r\nuntil the end"


class Upstream(threading.Thread):
    """Takes connections one after another, keeps what comes, answers each with the same bytes."""

    def __init__(self, reply):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.reply = reply
        self.seen = []

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.seen.append(self.take(connection))

    def take(self, connection):
        data = b""
        try:
            while len(data) < len(REQUEST):
                more = connection.recv(65536)
                if not more:
                    return data
                data += more
            connection.sendall(self.reply)
        except OSError:
            pass
        return data


def read_all(client):
    """(bytes, how it ended: "closed", "reset" or "silent")"""
    data = b""
    try:
        while True:
            more = client.recv(65536)
            if not more:
                return data, "closed"
            data += more
    except ConnectionResetError:
        return data, "reset"
    except TimeoutError:
        return data, "silent"


class Proxy(unittest.TestCase):
    def through(self, fault, reply=PLAIN, timeout=0.5):
        """What one request sees: (bytes that the server got, bytes that came back, how it ended)."""
        upstream = Upstream(reply)
        upstream.start()
        with ChaosProxy(upstream.port, plan=lambda request: fault) as proxy:
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout) as client:
                client.sendall(REQUEST)
                data, end = read_all(client)
            time.sleep(0.05)
            self.assertEqual(proxy.counts, {fault.name if fault else "calm": 1})
            self.request = proxy.requests[0]
        upstream.listener.close()
        return b"".join(upstream.seen), data, end

    def test_calm_changes_nothing(self):
        for reply in (PLAIN, CHUNKED, TO_EOF):
            with self.subTest(reply=reply):
                self.assertEqual(self.through(None, reply)[:2], (REQUEST, reply))
        self.assertEqual((self.request.table, self.request.token, self.request.body_bytes), ("t", "x:1", 300_000))

    def test_calm_keeps_connections(self):
        upstream = Upstream(PLAIN)
        upstream.start()
        with ChaosProxy(upstream.port) as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
            for _ in range(3):
                client.sendall(REQUEST)
                data = b""
                while len(data) < len(PLAIN):
                    data += client.recv(65536)
                self.assertEqual(data, PLAIN)
        upstream.listener.close()
        self.assertEqual(upstream.seen, [REQUEST] * 3)

    def test_how_far_a_request_goes(self):
        self.assertEqual(self.through(Fault("f", NOTHING, OK)), (b"", OK, "silent"))
        self.assertEqual(self.through(Fault("f", WHOLE, OK)), (REQUEST, OK, "silent"))
        got, data, end = self.through(Fault("f", PART, way=RESET))
        self.assertTrue(0 < len(got) < len(REQUEST) and REQUEST.startswith(got))
        self.assertEqual((data, end), (b"", "reset"))

    def test_how_an_answer_comes(self):
        for way, ends in ((COMPLETE, "silent"), (DRIP, "silent"), (CLOSE, "closed")):
            with self.subTest(way=way):
                self.assertEqual(self.through(Fault("f", way=way)), (REQUEST, PLAIN, ends))
        self.assertEqual(self.through(Fault("f", way=RESET)), (REQUEST, b"", "reset"))
        self.assertEqual(self.through(Fault("f", way=NEVER)), (REQUEST, b"", "silent"))
        for reply in (PLAIN, OK):  # in the body; in the head, when there is no body
            _, data, end = self.through(Fault("f", way=CUT), reply)
            self.assertEqual(end, "closed")
            self.assertTrue(0 < len(data) < len(reply) and reply.startswith(data))
            self.assertEqual(b"\r\n\r\n" in data, reply == PLAIN)

    def test_latency(self):
        begin = time.monotonic()
        self.assertEqual(self.through(Fault("f", way=CLOSE, before=0.2, after=0.2), timeout=2)[1], PLAIN)
        self.assertGreater(time.monotonic() - begin, 0.4)

    def test_every_named_fault(self):
        """Each can be carried out, and none is a good answer to a request that did not get through."""
        for seed in range(2):
            for name, make in FAULTS.items():
                with self.subTest(name=name, seed=seed):
                    fault = make(random.Random(seed))
                    got, data, _ = self.through(fault, OK, timeout=0.15)
                    self.assertEqual(fault.name, name)
                    self.assertFalse(got != REQUEST and data == OK)

    def test_calm_lets_go(self):
        upstream = Upstream(PLAIN)
        with ChaosProxy(upstream.port, plan=lambda request: Fault("f", NOTHING, way=NEVER)) as proxy:
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
                client.sendall(REQUEST)
                while not proxy.counts:
                    time.sleep(0.01)
                proxy.calm()
                self.assertEqual(read_all(client), (b"", "reset"))
        upstream.listener.close()

    def test_refused(self):
        with ChaosProxy(1) as proxy:
            proxy.refuse(True)
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", proxy.port))
            proxy.refuse(False)
            socket.create_connection(("127.0.0.1", proxy.port)).close()

    def test_a_server_that_is_away(self):
        with ChaosProxy(1) as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
            client.sendall(REQUEST)
            self.assertEqual(read_all(client), (b"", "reset"))

    def test_plans_follow_their_seed(self):
        def drawn(seed):
            plan = RandomPlan(seed)
            return [plan(Request(n, "/", "", f"token{n}", "", 0, n * 0.01)) for n in range(2000)]
        self.assertEqual(drawn(7), drawn(7))
        self.assertNotEqual(drawn(7), drawn(8))
        names = {fault.name for fault in drawn(7) if fault}
        self.assertEqual(names, set(FAULTS))

    def test_answers(self):
        self.assertEqual(answer(404, "no", code=60, headers=("A: b",)),
                         b"HTTP/1.1 404 Chaos\r\nA: b\r\nContent-Length: 2\r\nX-ClickHouse-Exception-Code: 60\r\n\r\nno")


if __name__ == "__main__":
    unittest.main(verbosity=2)
