"""The verbs' common manners: help from one table, exit codes, --json on every verb, suggestions."""
import json
import os
import pathlib
import pty
import subprocess
import time
import unittest

import support


class Verbs(support.Case):
    def verbs(self):
        answer = json.loads(self.run_program("coldpath", "help", "--json").stdout)
        self.assertEqual(answer["schema_version"], 1)
        return [verb["name"] for verb in answer["verbs"]]

    def test_help(self):
        text = self.run_program("coldpath", "help").stdout.decode()
        for verb in self.verbs():
            self.assertIn(f"  {verb}", text)
            result = self.run_program("coldpath", verb, "--help")
            self.assertEqual(result.returncode, 0)
            self.assertIn(f"coldpath {verb}", result.stdout.decode())
            for option in ("--json", "--config", "--region"):
                self.assertIn(option, result.stdout.decode())

    def test_usage(self):
        for args in ([], ["stauts"], ["put"], ["put", "t", "f", "g"], ["status", "--nonsense"], ["stat", "-i", "x"],
                     ["put", "t", "--format", "CVS"], ["schema", "shw", "t"], ["schema", "show"]):
            result = self.run_program("coldpath", *args)
            self.assertEqual(result.returncode, 64, args)
            self.assertEqual(result.stdout, b"", args)
            self.assertNotEqual(result.stderr, b"", args)
        self.assertIn(b"did you mean 'status'?", self.run_program("coldpath", "stauts").stderr)
        self.assertIn(b"did you mean 'CSV'?", self.run_program("coldpath", "put", "t", "--format", "CVS").stderr)

    def test_absent_region(self):
        for verb in ("status", "stat", "tables"):
            self.assertEqual(self.coldpath(verb).returncode, 69, verb)

    def test_init_twice(self):
        self.assertIn(b"created", self.coldpath("init", "--no-tables").stdout)
        self.assertIn(b"already there", self.coldpath("init", "--no-tables").stdout)
        answer = json.loads(self.coldpath("init", "--no-tables", "--json").stdout)
        self.assertEqual((answer["schema_version"], answer["region"]["result"], answer["error"]),
                         (1, "already there", None))

    def test_exit_codes_of_regions(self):
        """Busy and damaged regions: 69 from every program, as for a region that is not there."""
        self.init()
        (self.directory / "u.sql").write_text(support.DDL.replace("TABLE t", "TABLE u"))
        holder = subprocess.Popen([support.BIN / "coldpath", "put", "t", "--config", self.config],
                                  stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            holder.stdin.write(b'{"id":1}\n')
            holder.stdin.flush()
            while json.loads(self.coldpath("status", "--json").stdout)["tables"][0]["rows_in_ring"] == 0:
                time.sleep(0.02)
            config = self.config.read_text()
            self.config.write_text(config.replace("  t:", "  u:"))  # the table in use is gone from the configuration
            result = self.coldpath("init", "--no-tables")
            self.assertEqual(result.returncode, 69, result.stderr)
            self.assertIn(b"has a producer", result.stderr)
            self.assertEqual(self.run_program("coldpathd", "--config", self.config).returncode, 69)
            self.config.write_text(config)
        finally:
            holder.stdin.close()
            holder.wait(20)
        with open(self.region / "control", "r+b") as control:
            control.truncate(4096)
        for args in (["status"], ["tables"], ["put", "t"]):
            result = self.coldpath(*args)
            self.assertEqual(result.returncode, 69, (args, result.stderr))
        for program, more in (("coldpath-hoststats", ()), ("coldpath-market", ("--synthetic",))):
            result = self.run_program(program, "--region", self.region, "--json", *more)
            self.assertEqual((result.returncode, result.stdout), (69, b""), result.stderr)

    def test_init_without_server(self):
        result = self.coldpath("init")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"127.0.0.1:9", result.stderr)
        self.assertTrue((self.region / "control").exists())

    def test_status(self):
        self.init()
        result = self.coldpath("status", "--json")
        answer = json.loads(result.stdout)
        self.assertEqual(result.returncode, 69)
        self.assertEqual((answer["schema_version"], answer["recorder"]["alive"], answer["balanced"], answer["healthy"]),
                         (1, False, True, False))
        self.assertEqual(answer["tables"][0]["table"], "t")
        text = self.coldpath("status").stdout.decode()
        self.assertIn("table\tclass\tput\tdelivered", text)

    def test_stat(self):
        self.init()
        self.put('{"id":1}\n' * 5)
        answer = json.loads(self.coldpath("stat", "--raw", "-n", "1", "--json").stdout)
        self.assertEqual(answer["tables"][0]["put"], 5)
        lines = self.coldpath("stat", "-n", "2", "-i", "50ms", "--json").stdout.splitlines()
        self.assertEqual([json.loads(line)["tables"][0]["put_per_s"] for line in lines], [0, 0])
        self.assertEqual(self.coldpath("stat", "x", "-n", "1").returncode, 1)

    def test_check(self):
        result = self.coldpath("check")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        lines = result.stdout.decode().splitlines()
        self.assertEqual(lines[0], f"ok: {self.config}: namespace test, 1 table, region {self.region}")
        self.assertEqual([line.split("\t")[0].split(",")[0] for line in lines[1:]],
                         ["limit", "memory at most", "shared memory"])
        values = self.coldpath("check", "--values").stdout
        self.assertIn(b"127.0.0.1:9", values)
        self.assertLess(len(values), len(self.coldpath("check", "--origin").stdout))
        self.assertEqual(json.loads(self.coldpath("check", "--json").stdout)["schema_version"], 1)
        json.loads(self.coldpath("check", "--json", "--origin").stdout)
        self.config.write_text("namespace: test\nnonsense: 1\ntables:\n  t: {slots: 1000}\n")
        result = self.coldpath("check")
        self.assertEqual(result.returncode, 78)
        for place in (b"coldpath.yaml:2:", b"coldpath.yaml:4:"):
            self.assertIn(place, result.stderr)
        self.config.unlink()
        self.assertEqual(self.coldpath("check").returncode, 78)

    def check(self, *args):
        result = self.coldpath("check", "--json", *args)
        return result.returncode, json.loads(result.stdout)

    def test_check_limits(self):
        """What the configuration would take, before it does."""
        code, answer = self.check()
        memory, shared = answer["limits"]
        self.assertEqual((code, memory["limit"], memory["above_watermark"], shared["above_watermark"]),
                         (0, "memory at most", False, False))
        self.assertEqual(memory["left_bytes"], memory["limit_bytes"] - memory["taken_bytes"])
        self.assertGreater(memory["taken_bytes"], 128 << 20)
        self.assertEqual(shared["taken_bytes"], (64 << 10) + 8192)
        config = self.config.read_text()
        self.config.write_text(config + "recorder: {memory_limit: 1000GiB}\n")
        code, answer = self.check()
        self.assertEqual((code, answer["limits"][0]["above_watermark"], answer["limits"][0]["left_bytes"]), (2, True, 0))
        self.assertIn("TOO MUCH", self.coldpath("check").stdout.decode())
        self.assertEqual(self.check("--values")[0], 0)  # asks for values alone
        self.assertNotIn("limits", self.check("--values")[1])
        room = os.statvfs(self.directory)
        tables = room.f_bavail * room.f_frsize // (1 << 30) + 1
        if tables <= 250:  # each with a ring of 1 GiB
            names = [f"t{number}" for number in range(tables)]
            for name in names:
                (self.directory / f"{name}.sql").write_text(support.DDL.replace("TABLE t", f"TABLE {name}"))
            self.config.write_text(config[:config.index("tables:")] + "table_defaults: {ring_size: 1GiB}\ntables:\n" +
                                   "".join(f"  {name}: {{}}\n" for name in names))
            code, answer = self.check()
            self.assertEqual((code, answer["limits"][1]["above_watermark"]), (2, True), answer["limits"][1])
        self.config.write_text(config + f"    class: critical\n    wal_limit: {15 * 1024}GiB\nwal: {{dir: {self.directory}, segment_size: 1GiB}}\n")
        code, answer = self.check()
        self.assertEqual((code, answer["limits"][-1]["limit"][:16], answer["limits"][-1]["above_watermark"]),
                         (2, "disk of the logs", True))

    def test_check_several(self):
        """Namespaces that share what is one's own are told; others are not."""
        other = self.directory / "other.yaml"
        text = self.config.read_text()
        other.write_text(text.replace("namespace: test", "namespace: other"))
        result = self.run_program("coldpath", "check", self.config, other)
        self.assertEqual((result.returncode, result.stderr), (0, b""), result.stderr)
        self.assertEqual(result.stdout.decode().count("ok: "), 2)
        code, answer = self.check(str(self.config), str(other))
        self.assertEqual((code, len(answer["configurations"]), answer["shared"]), (0, 2, []))
        other.write_text(text)
        code, answer = self.check(str(self.config), str(other))
        self.assertEqual((code, len(answer["shared"])), (2, 1))
        self.assertIn(f"the same directory for the region, {self.region}", answer["shared"][0])
        region = self.directory / "region"
        region.mkdir()
        (self.directory / "link").symlink_to(region)  # another name of the same
        other.write_text(text.replace(str(region), str(self.directory / "link")))
        self.assertEqual(self.check(str(self.config), str(other))[0], 2)
        secret = self.directory / "password"
        secret.write_text("x\n")
        secret.chmod(0o600)
        for path, name in ((self.config, "test"), (other, "other")):
            path.write_text(text.replace("namespace: test", f"namespace: {name}")
                            .replace("clickhouse:\n", f"clickhouse:\n  user: u\n  password_file: {secret}\n"))
        code, answer = self.check(str(self.config), str(other))
        self.assertEqual((code, len(answer["shared"])), (2, 1))
        self.assertIn("the same password file", answer["shared"][0])
        logs = f"    class: critical\nwal: {{dir: {self.directory}}}\n"
        self.config.write_text(text + logs)
        other.write_text(text.replace("namespace: test", "namespace: t").replace(str(region), str(self.directory / "r"))
                         + f"    class: critical\nwal: {{dir: {self.directory}/test}}\n")
        code, answer = self.check(str(self.config), str(other))
        self.assertEqual((code, len(answer["shared"])), (2, 1), answer["shared"])
        self.assertIn("lies in the other's", answer["shared"][0])
        other.write_text("nonsense: 1\n")
        result = self.run_program("coldpath", "check", other, self.config)
        self.assertEqual(result.returncode, 78)

    def test_json_of_names_that_are_no_text(self):
        """A path may have any bytes: the document stays one that a parser takes."""
        paths = [os.fsencode(self.directory) + name for name in (b"/a\xff.yaml", b"/b\xc3.yaml")]
        for path in paths:
            pathlib.Path(os.fsdecode(path)).write_text(self.config.read_text())
        done = subprocess.run([support.BIN / "coldpath", "check", "--json", *paths], capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertTrue(any("a?.yaml" in text for text in json.loads(done.stdout.decode())["shared"]), done.stdout)

    def test_days_that_are_none(self):
        for text in ("2026-02-31", "2026-11-21T03:04:60", "2026-11-21 03:04:05", ""):
            done = self.coldpath("purge", "t", "--before", text)
            self.assertEqual(done.returncode, 64, done.stderr)
            self.assertIn(b"write it as 2026-11-21", done.stderr)

    def test_a_region_where_the_configuration_s_is_meant(self):
        for args in (["purge", "t", "--before", "2026-11-21"], ["wal", "ls"], ["replay"]):
            done = self.coldpath(*args, "--region", self.region)
            self.assertEqual(done.returncode, 64, done.stderr)
            self.assertIn(b"give --config", done.stderr)

    def test_check_the_directory(self):
        """What is there already: another namespace's region, a parent that anyone can change."""
        self.init()
        self.assertEqual(self.check()[0], 0)
        self.region.rename(self.region.parent / "other")
        self.config.write_text(self.config.read_text().replace("namespace: test", "namespace: other"))
        code, answer = self.check()
        self.assertEqual((code, len(answer["shared"])), (2, 1))
        self.assertIn("holds the region of another namespace, test", answer["shared"][0])
        self.config.write_text(self.config.read_text().replace("namespace: other", "namespace: new"))
        self.region.parent.chmod(0o777)
        self.assertIn("everyone can rename directories", self.check()[1]["shared"][0])
        self.region.parent.chmod(0o1777)
        self.assertEqual(self.check()[0], 0)

    def test_schema(self):
        text = self.coldpath("schema", "show", "t").stdout.decode()
        self.assertIn("LowCardinality(String)", text)
        answer = json.loads(self.coldpath("schema", "show", "t", "--json").stdout)
        self.assertEqual([c["name"] for c in answer["columns"]], ["id", "price", "name", "at"])
        header = self.coldpath("schema", "gen", self.directory / "t.sql").stdout
        self.assertEqual(header, self.coldpath("schema", "gen", "t").stdout)
        self.assertIn(b"#ifndef", header)
        self.init()
        self.assertEqual(text, self.coldpath("schema", "show", "t", "--region", self.region).stdout.decode())
        self.assertEqual(self.coldpath("schema", "show", "x").returncode, 1)

    def test_query_without_server(self):
        result = self.coldpath("query", "SELECT 1")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, b"")
        self.assertIn(b"127.0.0.1:9", result.stderr)

    def head(self, *args):
        """Runs a verb for a reader that takes one line and closes its pipe: the verb's exit code, what it said."""
        process = subprocess.Popen([support.BIN / "coldpath", *map(str, args)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.assertNotEqual(process.stdout.readline(), b"")
        process.stdout.close()
        messages = process.stderr.read()
        process.stderr.close()
        return process.wait(20), messages

    def test_reader_closes_pipe(self):
        """Quiet, as with `| head -1`, and stat ends; the health that status says stays."""
        self.init()
        self.assertEqual(self.head("stat", "--config", self.config, "-i", "10ms"), (0, b""))
        reader, writer = os.pipe()
        os.close(reader)
        try:
            for args, code in ((["help"], 0), (["tables"], 0), (["check", "--json"], 0), (["status"], 69),
                               (["stat", "-i", "10ms"], 0)):
                extra = [] if args == ["help"] else ["--config", self.config]
                result = subprocess.run([support.BIN / "coldpath", *args, *map(str, extra)], stdout=writer,
                                        stderr=subprocess.PIPE, timeout=30, check=False)
                self.assertEqual((result.returncode, result.stderr), (code, b""), args)
        finally:
            os.close(writer)

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([support.BIN / "coldpath", "help"], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(result.returncode, 74)

    def on_terminal(self, **environment):
        self.init()
        master, slave = pty.openpty()
        env = {**os.environ, "TERM": "xterm", **environment}
        subprocess.run([support.BIN / "coldpath", "tables", "--config", self.config], stdout=slave, env=env, check=True)
        os.close(slave)
        text = os.read(master, 65536).decode()
        os.close(master)
        return text

    def test_terminal(self):
        text = self.on_terminal(NO_COLOR="")
        self.assertIn("\033[1m", text)
        self.assertNotIn("\t", text)
        self.assertNotIn("\033", self.on_terminal(NO_COLOR="1"))


if __name__ == "__main__":
    unittest.main()
