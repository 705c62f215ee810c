"""Completion, by the shells themselves: bash completes verbs, words, options and tables; zsh reads its script."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

import support


class Completion(unittest.TestCase):
    def setUp(self):
        empty = tempfile.TemporaryDirectory()  # bash offers files, too
        self.addCleanup(empty.cleanup)
        self.empty = empty.name
        self.environment = os.environ | {"PATH": f"{support.BIN}:{os.environ['PATH']}"}
        self.verbs = [verb["name"] for verb in json.loads(self.coldpath("help", "--json"))["verbs"]]

    def coldpath(self, *args):
        return subprocess.run([support.BIN / "coldpath", *args], capture_output=True, text=True, check=True).stdout

    def bash(self, line):
        """What bash offers at the end of this line."""
        words = line.split(" ")
        script = (f'source <(coldpath completion bash); COMP_WORDS=({" ".join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}; '
                  '_coldpath; printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, env=self.environment, check=True, cwd=self.empty)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_bash(self):
        self.assertEqual(self.bash("coldpath "), self.verbs)
        self.assertEqual(set(self.bash("coldpath sta")), {"status", "stat"})
        self.assertEqual(self.bash("coldpath bench re"), ["recover"])
        self.assertIn("doctor", self.bash("coldpath help d"))
        for line, words in (("quarantine r", "retry"), ("wal v", "verify"), ("schema a", "apply"), ("degrade quotes au", "auto"), ("pause al", "all")):
            self.assertEqual(self.bash(f"coldpath {line}"), [words])
        self.assertIn("--interval", self.bash("coldpath top --i"))

    def test_bash_loads_it_in_a_function(self):
        """As bash-completion does with the installed file, at the first TAB: what the script declares has to outlive that function."""
        script = ('load() { source <(coldpath completion bash); }; load; COMP_WORDS=(coldpath bench re); COMP_CWORD=2; '
                  '_coldpath; printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, env=self.environment, check=True, cwd=self.empty)
        self.assertEqual((done.stdout.split(), done.stderr), (["recover"], ""))

    def test_options(self):
        """Every option of every verb, in both shells: a line of each verb, with what its shell offers behind --."""
        offers = {
            "bash": ['source <(coldpath completion bash); COMP_CWORD=2; ', 'COMP_WORDS=(coldpath VERB --); _coldpath; echo "VERB ${COMPREPLY[*]}"; '],
            "zsh": ['autoload -U compinit; compinit -D; source <(coldpath completion zsh); compadd() { print -- $words[2] ${@:#--} }; CURRENT=3; ',
                    'words=(coldpath VERB --); _coldpath; ']}
        for shell, (begin, each) in offers.items():
            if not shutil.which(shell):
                continue
            done = subprocess.run([shell, "-c", begin + "".join(each.replace("VERB", verb) for verb in self.verbs)], capture_output=True, text=True,
                                  env=self.environment, check=True)
            self.assertEqual(done.stderr, "")
            offered = {words[0]: sorted(words[1:]) for words in map(str.split, done.stdout.splitlines())}
            self.assertEqual(offered, {verb: support.options(verb) for verb in self.verbs}, shell)

    def test_bash_tables(self):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as region:
            config = os.path.join(region, "coldpath.yaml")
            with open(config, "w", encoding="utf-8") as file:
                file.write(f"namespace: c\nregion: {{dir: {region}}}\ntables: {{quotes: {{}}, l2_updates: {{}}}}\n")
            self.environment["COLDPATH_CONFIG"] = config
            subprocess.run([support.BIN / "coldpath", "init", "--no-tables"], env=self.environment, check=True, capture_output=True)
            self.assertIn("quotes", self.bash("coldpath put q"))

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not there")
    def test_zsh(self):
        script = 'autoload -U compinit; compinit -D; source <(coldpath completion zsh); print -l $_comps[coldpath] $_coldpath_verbs'
        done = subprocess.run(["zsh", "-fc", script], capture_output=True, text=True, env=self.environment, check=True)
        self.assertEqual(done.stderr, "")
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], "_coldpath")
        self.assertEqual([line.split(":")[0] for line in lines[1:]], self.verbs)

    def test_usage(self):
        for args in ([], ["fish"], ["bash", "zsh"]):
            self.assertEqual(subprocess.run([support.BIN / "coldpath", "completion", *args], capture_output=True, check=False).returncode, 64)


if __name__ == "__main__":
    unittest.main()
