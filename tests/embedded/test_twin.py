"""The program's twin, which is sanitized in a sanitizer build, under many clients at once, most of them misbehaving.

The engine is the stand-in of fake_engine.c: here it is the server's own memory and threads that are looked at. Every
object of the engine must be freed once, every request answered or cut, and the sanitizer must find nothing.
"""

import concurrent.futures
import gzip
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import zlib

CLIENTS = 12
SECONDS = float(os.environ.get("CP_SECONDS", "6"))
ENCODERS = {"": lambda b: b, "gzip": gzip.compress, "deflate": zlib.compress, "zstd": lambda b: b, "lz4": lambda b: b}


def request(rng):
    """One request as bytes; often with something wrong."""
    words = [rng.choice(["", "fail ", "slow ", "midway ", "refuse "]) for _ in range(rng.randrange(3))]
    extra = "".join(words)
    kind = rng.randrange(6)
    body = b""
    if kind == 0:
        query = f"SELECT {extra}stream"
    elif kind == 1:
        query = f"SELECT {extra}1 FORMAT {rng.choice(['JSON', 'TSV', 'Nope'])}"
    elif kind == 2:
        query = ""
        body = f"SELECT {extra}stream".encode() + b" " * rng.choice([0, 10, 300000])
    else:
        query = f"INSERT INTO t SETTINGS x = '{extra}' FORMAT CSV"
        body = b"1,2\n" * rng.choice([0, 1, 1000, 400000])
    encoding = rng.choice(list(ENCODERS))
    body = ENCODERS[encoding](body) if rng.random() < 0.9 else body
    parameters = [f"query={query.replace(' ', '+')}"]
    for _ in range(rng.randrange(3)):
        parameters.append(rng.choice(["session_id=a", "session_id=b&close_session=1", "session_check=1", "database=d`b", "bad-name=1",
                                      "wait_end_of_query=1", "max_threads=1", "param_x=1", "compress=1", "user=nobody", "query_id=q",
                                      "session_timeout=0&session_id=c", "role=r", "%00=1", "buffer_size=x", "enable_http_compression=0"]))
    method = rng.choice(["POST", "POST", "POST", "GET"])
    head = [f"{method} /?{'&'.join(parameters)} HTTP/1.1", "Host: x"]
    if encoding:
        head.append(f"Content-Encoding: {encoding}")
    if rng.random() < 0.5:
        head.append(f"Accept-Encoding: {rng.choice(['gzip', 'zstd', 'lz4', 'deflate', 'br'])}")
    if rng.random() < 0.05:
        head.append("Authorization: Basic eA==")
    if rng.random() < 0.5:
        head.append("Transfer-Encoding: chunked")
        step = rng.choice([7000, 100000])
        pieces = [body[i:i + step] for i in range(0, len(body), step)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    else:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def client(port, seed, deadline):
    rng = random.Random(seed)
    done = 0
    while time.monotonic() < deadline:
        data = request(rng)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            try:
                cut = rng.random() < 0.2
                connection.sendall(data[:rng.randrange(len(data))] if cut else data)
                if not cut and rng.random() < 0.2:
                    connection.recv(1000)
                elif not cut:
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(1 << 16):
                        pass
            except (BrokenPipeError, ConnectionResetError):
                pass
        done += 1
    return done


def main(program, library):
    seed = int(os.environ.get("CP_SEED", time.time_ns() % 1000000))
    print(f"CP_SEED={seed}")
    with tempfile.TemporaryDirectory(prefix="coldpath-chdb-test-") as work, open(f"{work}/log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen([program, "--port", "0", "--library", library, "--path", f"{work}/data", "--max-body", "3000000",
                                    "--max-statements", "3", "--port-file", f"{work}/port"], stdout=log, stderr=log)
        try:
            for _ in range(300):
                if os.path.exists(f"{work}/port") or process.poll() is not None:
                    break
                time.sleep(0.1)
            with open(f"{work}/port", encoding="utf-8") as file:
                port = int(file.read())
            deadline = time.monotonic() + SECONDS
            with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
                jobs = [pool.submit(client, port, seed + i, deadline) for i in range(CLIENTS)]
                requests = sum(job.result() for job in jobs)
        finally:
            process.terminate()
            code = process.wait(60)
            log.seek(0)
            said = log.read()
        print(f"{requests} requests, exit code {code}")
        if code != 0 or "Sanitizer" in said or requests == 0:
            print(said[-6000:])
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
