"""Shows that each rule of check_tree.py can fail: a small sound tree, broken in one place at a time."""

import os
import subprocess
import sys
import tempfile
import unittest

import check_tree

HEADER = "/* What it is for. */\n#ifndef POLYAK_{0}_H\n#define POLYAK_{0}_H\n{1}#endif\n"

SOUND = {
    "common/err.h": HEADER.format("COMMON_ERR", ""),
    "common/err.c": '#include "common/err.h"\n/* exit() is for main only */\n'
                    'const char *text = "strcpy(";\n',
    "proto/wire.h": HEADER.format("PROTO_WIRE", '#include "common/err.h"\n'),
    "proto/wire.c": '#include "proto/wire.h"\n#include "polyak.pb-c.h"\n',
    "actor/envs/env.h": HEADER.format("ACTOR_ENVS_ENV", "#include <stdint.h>\n"),
    "actor/policy.c": '#include "proto/wire.h"\n',
    "learner/main.c": '#include "proto/wire.h"\nint main(void) { exit(1); }\n',
    "cli/train.c": '#include "actor/envs/env.h"\n#include "learner/trainer.h"\n',
    "docs/wire.md": "Plain words.\n",
    "build/generated.c": "int x; /* TO" "DO */\n",
}

# What is put in place of (or beside) the sound files, and the rule that must find it.
BROKEN = {
    "common_includes_proto": ("common/err.c", '#include "proto/wire.h"\n', "layering"),
    "proto_includes_learner": ("proto/wire.c", '#include "learner/trainer.h"\n', "layering"),
    "actor_includes_learner": ("actor/policy.c", '# include "learner/trainer.h"\n', "layering"),
    "learner_includes_actor": ("learner/main.c", '#include "actor/envs/env.h"\n', "layering"),
    "actor_includes_cli": ("actor/policy.c", '#include "cli/train/train.h"\n', "layering"),
    "header_includes_upwards": ("common/err.h", HEADER.format(
        "COMMON_ERR", '#include "learner/trainer.h"\n'), "layering"),
    "path_is_relative": ("actor/policy.c", '#include "../learner/trainer.h"\n', "includes"),
    "generated_header_in_actor": ("actor/policy.c", '#include "polyak.pb-c.h"\n', "layering"),
    "protobuf_header_in_cli": ("cli/train.c", "#include <protobuf-c/protobuf-c.h>\n", "layering"),
    "plugin_header_needs_ours": ("actor/envs/env.h", HEADER.format(
        "ACTOR_ENVS_ENV", '#include "common/err.h"\n'), "layering"),
    "library_code_exits": ("learner/trainer.c", "void f(void) { exit(1); }\n", "calls"),
    "library_code_aborts": ("learner/trainer.c", "void f(void) { abort (); }\n", "calls"),
    "library_code_draws_rand": ("learner/trainer.c", "int f(void) { return rand(); }\n", "calls"),
    "unbounded_copy": ("actor/policy.c", "void f(void) { strcpy(a, b); }\n", "calls"),
    "header_without_purpose": ("common/err.h", "#ifndef POLYAK_COMMON_ERR_H\n#endif\n", "header"),
    "header_with_wrong_guard": ("common/err.h", HEADER.format("ERR", ""), "header"),
    "long_file": ("actor/policy.c", "\n" * (check_tree.LINES_MAX + 1), "length"),
    "long_script": ("scripts/train.sh", "\n" * (check_tree.LINES_MAX + 1), "length"),
    "unfinished_work": ("actor/policy.c", "/* TO" "DO: later */\n", "words"),
    "unfinished_docs": ("docs/wire.md", "FIX" "ME\n", "words"),
    "path_of_a_machine": ("docs/wire.md", "see /ho" "me/me/polyak\n", "words"),
}


def write_tree(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)


class CheckTreeTest(unittest.TestCase):
    def test_a_sound_tree_passes(self):
        with tempfile.TemporaryDirectory() as root:
            write_tree(root, SOUND)
            self.assertEqual(check_tree.check_tree(root), [])

    def test_each_violation_is_found_where_it_is(self):
        for name, (path, text, rule) in BROKEN.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as root:
                write_tree(root, {**SOUND, path: text})
                found = check_tree.check_tree(root)
                self.assertTrue(found, "nothing was found")
                for line in found:
                    self.assertRegex(line, rf"^{path}:\d+: {rule}: ")

    def test_the_exit_code_tells(self):
        script = check_tree.__file__
        for files, expected in ((SOUND, 0), ({**SOUND, "actor/a.c": "// FIX" "ME\n"}, 1)):
            with tempfile.TemporaryDirectory() as root:
                write_tree(root, files)
                done = subprocess.run([sys.executable, script, root], capture_output=True, check=False)
                self.assertEqual(done.returncode, expected)


if __name__ == "__main__":
    unittest.main()
