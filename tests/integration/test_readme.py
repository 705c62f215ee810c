"""The README's code is the example that is built, and what it names is there. (Its commands are run by tests/docs.)"""

import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
README = (SOURCE / "README.md").read_text()


def block(language):
    found = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    assert len(found) == 1, f"{len(found)} blocks of {language} in the README"
    return found[0]


class Readme(unittest.TestCase):
    def test_the_c_code_is_the_example(self):
        self.assertEqual(block("c"), (SOURCE / "docs/examples/put_quote.c").read_text())

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
    unittest.main(verbosity=2)
