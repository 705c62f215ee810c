"""`coldpath put` on bad input: one clear message each, the right exit code, and every other row goes through."""
import gzip
import os
import re
import resource
import signal
import subprocess
import time
import unittest

import support

GOOD = '{"id":1,"price":"1.5","name":"a","at":"2026-01-31 23:59:59.123"}\n'


class BadInput(support.Case):
    def setUp(self):
        super().setUp()
        self.init()

    def check(self, bad, *words, args=()):
        """A bad line between two good ones costs itself alone, and the message has these words."""
        before = self.rows_in_ring()
        code, answer, messages = self.put(GOOD.encode() + bad + b"\n" + GOOD.encode(), *args)
        self.assertEqual(code, 1, messages)
        self.assertEqual((answer["rows_put"], answer["rows_rejected"]), (2, 1), messages)
        self.assertEqual(self.rows_in_ring(), before + 2)
        self.assertEqual(len(messages), 1, messages)
        self.assertTrue(messages[0].startswith("stdin:2: "), messages[0])
        for word in words:
            self.assertIn(word, messages[0])

    def test_all_good(self):
        code, answer, messages = self.put(GOOD * 3)
        self.assertEqual((code, answer["rows_put"], answer["rows_rejected"], messages), (0, 3, 0, []))
        self.assertEqual(answer["schema_version"], 1)

    def test_unknown_column(self):
        self.check(b'{"id":1,"prise":2}', "'t'", '"prise"', "did you mean 'price'?")

    def test_wrong_type(self):
        self.check(b'{"id":1,"price":"1.2.3"}', "column 'price' (Decimal(18, 4)): '1.2.3'")
        self.check(b'{"id":"one"}', "column 'id' (UInt32): 'one'")
        self.check(b'{"id":[1]}', "column 'id' (UInt32)")

    def test_out_of_range(self):
        self.check(b'{"id":4294967296}', "column 'id' (UInt32): '4294967296'", "4294967295")
        self.check(b'{"id":-1}', "column 'id' (UInt32): '-1'")
        self.check(b'{"id":99999999999999999999999}', "'99999999999999999999999'")
        self.check(b'{"id":1,"price":"0.00001"}', "column 'price' (Decimal(18, 4))")

    def test_long_numbers(self):
        """ClickHouse writes Decimal and 128 bits as bare numbers in JSONEachRow: their digits are kept or refused."""
        self.check(b'{"id":1,"price":123456789012345678901234567890}', "'123456789012345678901234567890'")
        code, answer, messages = self.put('{"id":1,"price":99999999999999.9999}\n')
        self.assertEqual((code, answer["rows_put"]), (0, 1), messages)

    def test_column_twice(self):
        self.check(b'{"id":1,"name":"a","id":2}', "column 'id' stands twice")

    def test_half_line(self):
        code, answer, messages = self.put(GOOD + GOOD[:20])
        self.assertEqual((code, answer["rows_put"], answer["rows_rejected"]), (1, 1, 1))
        self.assertIn("stdin:2: ", messages[0])

    def test_binary_rubbish(self):
        self.check(b"\x00\x01\x02\xff\xfe\x80", "stdin:2: ")
        self.check(b"\xff\xfe\x80\x81" * 100)
        rubbish = os.urandom(100_000)
        code, answer, _ = self.put(GOOD.encode() + rubbish + b"\n" + GOOD.encode(), "--max-errors-shown", "3")
        self.assertEqual((code, answer["rows_put"]), (1, 2))

    def test_long_line(self):
        """100 MB without a newline: skipped in bounded memory."""
        limit = 400 * 1024 * 1024
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            with os.fdopen(writer, "wb") as out:
                out.write(GOOD.encode())
                for _ in range(100):
                    out.write(b"x" * 1_000_000)
                out.write(b"\n" + GOOD.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as source:
            result = subprocess.run([support.BIN / "coldpath", "put", "t", "--config", self.config], stdin=source,
                                    capture_output=True, timeout=60, check=False,
                                    preexec_fn=lambda: self.limit_memory(limit))
        os.waitpid(pid, 0)
        text = result.stderr.decode()
        self.assertEqual(result.returncode, 1, text)
        self.assertIn("stdin:2: the line has 100000000 bytes", text)
        self.assertIn("2 rows put", text)

    @staticmethod
    def limit_memory(limit):
        if not os.environ.get("COLDPATH_SANITIZE"):
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    def test_missing_columns_csv(self):
        code, answer, messages = self.put("1,2,a,\n1,2\n1,2,b,\\N\n", "--format", "CSV")
        self.assertEqual((code, answer["rows_put"], answer["rows_rejected"]), (1, 2, 1))
        self.assertIn("from column 'name' on they are missing", messages[0])

    def test_header_unknown(self):
        code, answer, messages = self.put("id,prise\n1,2\n", "--format", "CSVWithNames")
        self.assertEqual((code, answer["rows_put"]), (1, 0))
        self.assertIn("did you mean 'price'?", messages[0])
        code, answer, _ = self.put("id,prise\n1,2\n", "--format", "CSVWithNames", "--skip-unknown")
        self.assertEqual((code, answer["rows_put"]), (0, 1))
        code, answer, messages = self.put("nope;nil\n1;2\n", "--format", "CSVWithNames", "--skip-unknown")
        self.assertEqual((code, answer["rows_put"]), (1, 0))
        self.assertIn("names no column", messages[0])

    def test_unknown_table(self):
        result = self.coldpath("put", "tt", stdin=GOOD)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"did you mean 't'?", result.stderr)

    def test_many_errors_are_counted(self):
        code, answer, messages = self.put("nonsense\n" * 1000)
        self.assertEqual((code, answer["rows_rejected"]), (1, 1000))
        self.assertEqual(len(messages), 21)

    def test_reject_file(self):
        path = self.directory / "rejects"
        self.put(GOOD + 'one "bad"\n' + GOOD + "half", "--reject-file", path)
        self.assertEqual(path.read_text(), 'one "bad"\nhalf\n')

    def test_reject_file_on_a_full_disk(self):
        """Good rows are put; that rejected lines are lost is said, and is the exit code."""
        self.init()
        for bad in ("half", "x" * 3000000):  # lost at the end, and meanwhile
            code, answer, messages = self.put(GOOD + bad + "\n" + GOOD, "--reject-file", "/dev/full")
            self.assertEqual((code, answer["rows_put"], answer["rows_rejected"]), (74, 2, 1), messages)
            self.assertTrue(any("cannot write all rejected lines to /dev/full: " in line for line in messages), messages)

    def test_reject_file_is_the_input(self):
        """Under whatever name, and also as standard input: refused before anything is written."""
        path = self.directory / "rows.json"
        content = GOOD + "rubbish\n" + GOOD
        path.write_text(content)
        link = self.directory / "link"
        link.symlink_to(path)
        hard = self.directory / "hard"
        os.link(path, hard)
        for rejects in (path, link, hard):
            code, _, messages = self.put("", path, "--reject-file", rejects)
            self.assertEqual(code, 64, messages)
            self.assertIn(f"{rejects} is the input itself", messages[0])
            with open(path, "rb") as source:
                result = subprocess.run([support.BIN / "coldpath", "put", "t", "--config", self.config, "--reject-file",
                                         rejects], stdin=source, capture_output=True, timeout=60, check=False)
            self.assertEqual(result.returncode, 64, result.stderr)
        self.assertEqual(path.read_text(), content)
        self.assertEqual(self.rows_in_ring(), 0)

    def test_reject_file_is_kept_when_nothing_is_read(self):
        path = self.directory / "rejects"
        path.write_text("of the last run\n")
        code, _, _ = self.put("", "/nonexistent", "--reject-file", path)
        self.assertEqual((code, path.read_text()), (74, "of the last run\n"))
        code, _, messages = self.put(GOOD, "--reject-file", path)
        self.assertEqual((code, path.read_text()), (0, ""), messages)
        self.assertEqual(self.put("rubbish\n", "--reject-file", "/dev/null")[0], 1)

    def test_header_that_does_not_parse(self):
        """Nobody knows what the lines below it mean: nothing is put."""
        for text in ('id,"name\nid,price\n1,2\n', 'id,na"me"\nid,price\n1,2\n'):
            code, answer, messages = self.put(text, "--format", "CSVWithNames")
            self.assertEqual((code, answer["rows_put"], answer["rows_rejected"]), (1, 0, 0), messages)
            self.assertTrue(messages[0].startswith("coldpath: stdin:1: the header: "), messages)

    def test_byte_order_mark(self):
        bom = b"\xef\xbb\xbf"
        for text, args in ((GOOD, ()), ("id,price\n1,2\n", ("--format", "CSVWithNames")),
                           ("id\tprice\n1\t2\n", ("--format", "TSVWithNames"))):
            code, answer, messages = self.put(bom + text.encode(), *args)
            self.assertEqual((code, answer["rows_put"]), (0, 1), messages)

    def test_gzip(self):
        path = self.directory / "rows.tsv.gz"
        path.write_bytes(gzip.compress(b"1\t2.5\tx\t\\N\n") + gzip.compress(b"2\t2.5\tx\t1700000000000\n"))
        code, answer, messages = self.put("", path)
        self.assertEqual((code, answer["rows_put"], messages), (0, 2, []))

    def test_gzip_cut(self):
        path = self.directory / "rows.tsv.gz"
        path.write_bytes(gzip.compress(b"1\t2.5\tx\t\\N\n" * 1000)[:-9])
        code, answer, messages = self.put("", path)
        self.assertEqual(code, 1)
        self.assertIn("cut short", messages[0])
        self.assertEqual(self.rows_in_ring(), answer["rows_put"])

    def test_full_ring(self):
        """No recorder takes rows: put says how far it came, and the next put goes on from there."""
        code, answer, messages = self.put(GOOD * 5000, "--timeout", "200ms")
        self.assertEqual(code, 1)
        self.assertGreater(answer["rows_put"], 500)
        self.assertLess(answer["rows_put"], 5000)
        self.assertEqual(self.rows_in_ring(), answer["rows_put"])
        self.assertEqual(answer["last_line"], answer["rows_put"] + 1)
        self.assertIn(f"put again from line {answer['last_line']}", messages[0])
        self.assertIn("no recorder runs", messages[0])

    def test_row_too_big(self):
        self.check(b'{"id":1,"name":"' + b"x" * 5000 + b'"}', "stdin:2: ")

    def test_signal(self):
        """A signal while waiting for input ends put with a summary."""
        process = subprocess.Popen([support.BIN / "coldpath", "put", "t", "--config", self.config],
                                   stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(GOOD.encode() * 2)
        process.stdin.flush()
        deadline = time.monotonic() + 20
        while self.rows_in_ring() < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, messages = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 1)
        self.assertIn(b"2 rows put", messages)
        self.assertIn(b"stopped by a signal", messages)

    def test_signal_while_waiting(self):
        """For room, or for ClickHouse: the summary says how far it came."""
        for rows, args in ((1, ["--wait"]), (5000, [])):
            start = self.rows_in_ring()
            source = self.directory / "rows"
            source.write_text(GOOD * rows)
            process = subprocess.Popen([support.BIN / "coldpath", "put", "t", source, "--config", self.config, *args],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            deadline = time.monotonic() + 20
            before, now = -1, start
            while time.monotonic() < deadline and (now == start or now != before):
                time.sleep(0.1)
                before, now = now, self.rows_in_ring()
            process.send_signal(signal.SIGTERM)
            messages = process.stderr.read().decode()
            process.stdout.close()
            process.stderr.close()
            self.assertEqual(process.wait(20), 1, messages)
            put = int(re.search(r"([0-9,]+) rows put", messages)[1].replace(",", ""))
            self.assertEqual(put, self.rows_in_ring() - start)
            self.assertIn(f"stopped by a signal behind line {put}", messages)
            self.assertNotIn("--timeout", messages)

    def test_slots_taken(self):
        """Both slots held by others: busy, with the holders' names."""
        holders = [subprocess.Popen([support.BIN / "coldpath", "put", "t", "--config", self.config, "--producer",
                                     f"holder-{i}"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) for i in range(2)]
        try:
            for holder in holders:
                holder.stdin.write(GOOD.encode())
                holder.stdin.flush()
            deadline = time.monotonic() + 20
            while self.rows_in_ring() < 2 and time.monotonic() < deadline:
                time.sleep(0.02)
            code, _, messages = self.put(GOOD)
            self.assertEqual(code, 69)
            self.assertIn("holder-", messages[0])
        finally:
            for holder in holders:
                holder.stdin.close()
                holder.wait(20)


class NoRegion(support.Case):
    def test_absent(self):
        code, _, messages = self.put(GOOD)
        self.assertEqual(code, 69)
        self.assertIn("coldpath init", messages[0])

    def test_other_abi(self):
        self.init()
        control = self.region / "control"
        with open(control, "r+b") as file:
            file.seek(8)
            file.write((99).to_bytes(4, "little"))
        code, _, messages = self.put(GOOD)
        self.assertEqual(code, 69)
        self.assertIn("99", messages[0])

    @unittest.skipIf(os.geteuid() != 0, "needs root to become somebody else")
    def test_permissions(self):
        self.init()
        os.chmod(self.directory, 0o755)
        result = self.run_program("coldpath", "put", "t", "--region", self.region, stdin=GOOD, user=65534, group=65534)
        self.assertEqual(result.returncode, 74, result.stderr)
        self.assertIn(str(self.region).encode(), result.stderr)


if __name__ == "__main__":
    unittest.main()
