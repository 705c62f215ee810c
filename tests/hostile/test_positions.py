"""Positions past 2^32 and past 2^63, end to end: rings that have, as far as anyone can tell, had so many bytes through them. Rows
go through drain, log, delivery, a kill and a restart; each arrives once, at the position where it was put, and the audit agrees.

A ring gets there by its acknowledgement in the control file and its published position, written before the first start."""

import json
import signal
import struct
import sys
import time
import unittest

from tests.hostile.support import SLOTS, TABLES, Producer, check_arrived, make
from tests.support.chdb import SKIP, engine_present

ACKS_OFFSET, DIRECTORY_OFFSET = 64, 40  # in cp_abi_control
ENTRY_SIZE, FIRST_RING = 256, 148       # of cp_abi_table; its field
ACK_SIZE, ACK_POSITIONS = 128, 16       # of cp_abi_ack; consumed, durable, delivered
PUBLISHED = 4096                        # in a ring file
BEFORE = 64 * 1024                      # so many bytes before the mark the first row is put
STARTS = {"2^32": (1 << 32) - BEFORE, "2^63": (1 << 63) - BEFORE}
RUN_SECONDS = 1.5


class Positions(unittest.TestCase):
    def start_at(self, position):
        """Every ring of every table."""
        control = self.recorder.region / "control"
        data = bytearray(control.read_bytes())
        directory, = struct.unpack_from("<Q", data, DIRECTORY_OFFSET)
        acks, = struct.unpack_from("<Q", data, ACKS_OFFSET)
        for index, table in enumerate(TABLES):
            entry = directory + index * ENTRY_SIZE
            self.assertEqual(data[entry:entry + 128].rstrip(b"\0").decode(), table)
            first, = struct.unpack_from("<I", data, entry + FIRST_RING)
            for slot in range(TABLES[table].get("slots", SLOTS)):
                struct.pack_into("<QQQ", data, acks + (first + slot) * ACK_SIZE + ACK_POSITIONS, *[position] * 3)
                with open(self.recorder.region / f"{table}.{slot}.ring", "r+b") as ring:
                    ring.seek(PUBLISHED)
                    ring.write(struct.pack("<Q", position))
        with open(control, "r+b") as file:
            file.write(data)

    def run_from(self, start):
        make(self, start=False)
        self.start_at(start)
        self.recorder.start()
        producers = [Producer(self.recorder, table) for table in TABLES]
        time.sleep(RUN_SECONDS)
        self.recorder.stop(signal.SIGKILL)
        time.sleep(0.3)
        self.recorder.start()
        time.sleep(RUN_SECONDS)
        for producer in producers:
            producer.finish()
            check_arrived(self, producer)
            low, high, rows, places = (int(value) for value in self.server.query(
                f"SELECT min(_cp_position), max(_cp_position), count(), uniqExact(_cp_position) FROM {producer.table}",
                database="test").split())
            self.assertEqual((low, places), (start, rows))
            self.assertGreater(high, start + BEFORE, "too few rows to pass the mark")
        audit = self.recorder.run("coldpath", "audit", "--json")
        self.assertEqual(audit.returncode, 0, audit.stdout + audit.stderr)
        for table in json.loads(self.recorder.run("coldpath", "status", "--json").stdout)["tables"]:
            self.assertEqual(table["rows_in_ring"], 0)
        self.assertEqual(self.recorder.stop(), 0)

    def test_past_2_32(self):
        self.run_from(STARTS["2^32"])

    def test_past_2_63(self):
        self.run_from(STARTS["2^63"])


if __name__ == "__main__":
    if not engine_present():
        sys.exit(SKIP)
    unittest.main(verbosity=2)
