"""The README's code is the example that is built, and its commands do what it says they do."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from tests.support.chdb import build_dir

SOURCE = pathlib.Path(__file__).resolve().parents[2]
README = (SOURCE / "README.md").read_text()


def block(language):
    found = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    assert len(found) == 1, f"{len(found)} blocks of {language} in the README"
    return found[0]


class Readme(unittest.TestCase):
    def test_the_c_code_is_the_example(self):
        self.assertEqual(block("c"), (SOURCE / "docs/examples/put_quote.c").read_text())

    def test_the_commands_put_a_row(self):
        with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory(dir="/dev/shm") as region:
            # As a user in a clone has it: sources and build side by side.
            for name in ("docs", "base", "schema", "shm"):
                (pathlib.Path(work) / name).symlink_to(SOURCE / name)
            (pathlib.Path(work) / "build").symlink_to(build_dir())
            environment = os.environ | {"COLDPATH_REGION_DIR": region}
            done = subprocess.run(["bash", "-euxc", block("sh")], cwd=work, env=environment, capture_output=True, text=True,
                                  timeout=60)
            # status exits 69: no recorder runs. Everything before it must have succeeded.
            self.assertEqual(done.returncode, 69, done.stderr)
            self.assertIn("\nok\n", "\n" + done.stdout)
            self.assertRegex(done.stdout, r"quotes\s.*\b1\b")

    def test_it_is_finished(self):
        self.assertNotRegex(README, r"@[A-Z]+@")

    def test_every_file_it_names_is_there(self):
        for link in re.findall(r"\]\(([^)#]+)\)", README):
            with self.subTest(link=link):
                self.assertTrue((SOURCE / link).exists())

    def test_every_folder_is_in_the_house(self):
        folders = {path.name for path in SOURCE.iterdir() if path.is_dir() and not path.name.startswith((".", "build"))}
        for folder in sorted(folders - {"cmake"}):
            with self.subTest(folder=folder):
                self.assertRegex(README, rf"\n    {folder}/ ")


if __name__ == "__main__":
    if shutil.which("cc") is None:
        sys.exit(77)
    unittest.main(verbosity=2)
