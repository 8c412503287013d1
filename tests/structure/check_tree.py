"""What must hold for the tree as a whole, beyond what a compiler sees.

    python3 check_tree.py ROOT

Prints one line per violation, "file:line: rule: what is wrong", and exits with 1 when there is one.
check_tree_test.py shows that each rule can fail. Standard library only.
"""

import os
import re
import sys

LINES_MAX = 500

# Dependencies point one way: common <- proto <- {actor, net <- learner} <- {relay, cli}.
MAY_INCLUDE = {
    "common": {"common"},
    "proto": {"common", "proto"},
    "actor": {"common", "proto", "actor"},
    "net": {"common", "proto", "net"},
    "learner": {"common", "proto", "net", "learner"},
    "relay": {"common", "proto", "net", "actor", "relay"},
    "cli": {"common", "proto", "net", "actor", "learner", "cli"},
}
PARTS = tuple(MAY_INCLUDE)
PUBLIC_HEADER = "actor/envs/env.h"  # the plugin ABI: it is given away, so it stands alone

# Calls that may stand in few places, or in none: pattern, where it may stand, what to do instead.
CALLS = [
    (r"\b_?_?(?:quick_)?[eE]xit\s*\(", lambda path: path.endswith("main.c") or path.startswith("cli/"),
     "only a main may end the program: return an error"),
    (r"\babort\s*\(", lambda path: path == "common/check.h", "use CHECK()"),
    (r"\b(?:s?rand|random|drand48)\s*\(", lambda path: False, "use common/rng.h: it can be repeated"),
    (r"\b(?:strcpy|strcat|sprintf|vsprintf|gets)\s*\(", lambda path: False,
     "it does not know how large the buffer is"),
    (r"\b(?:atoi|atol|atof)\s*\(", lambda path: False, "it does not notice what is no number"),
]

# Written in pieces so that this file does not name what it looks for.
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b")
MACHINE_PATH = re.compile(r"(?<![\w.${}*>-])/(?:home|Users|root|work)/(?=\w)")

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)
TEXT_FILES = (".c", ".h", ".def", ".proto", ".py", ".sh", ".txt", ".cmake", ".md", ".json", ".yaml",
              ".yml", ".js", ".html")
LONG_FILES = (".c", ".h", ".def", ".proto", ".py", ".sh", ".js", ".html")
SKIPPED_DIRECTORIES = re.compile(r"^(?:\..*|build.*|runs|__pycache__)$")


def files_below(root):
    """Paths of our files, relative to root, in order."""
    for directory, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not SKIPPED_DIRECTORIES.match(name))
        for name in sorted(files):
            yield os.path.relpath(os.path.join(directory, name), root)


def blank_comments_and_text(source):
    """C source with comments, strings and characters blanked; lines stay where they are."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), source)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def check_includes(path, source):
    part = path.split("/")[0]
    for match in INCLUDE.finditer(source):
        style, target = match.groups()
        line = line_of(source, match.start(1))
        generated = target.endswith(".pb-c.h") or target.startswith("protobuf-c")
        if generated and part != "proto":
            yield line, "layering", f"{target}: only proto/ touches protobuf-c"
        if style == "<" or generated:
            continue
        first = target.split("/")[0]
        if path == PUBLIC_HEADER:
            yield line, "layering", f"{target}: the plugin header includes system headers only"
        elif first not in MAY_INCLUDE:
            yield line, "includes", f'"{target}" does not name the path from the top of the tree'
        elif part in MAY_INCLUDE and first not in MAY_INCLUDE[part]:
            yield line, "layering", f"{part}/ must not include {target}"


def check_calls(path, source):
    code = blank_comments_and_text(source)
    for pattern, allowed, advice in CALLS:
        if allowed(path):
            continue
        for match in re.finditer(pattern, code):
            name = match.group().rstrip("( \t")
            yield line_of(code, match.start()), "calls", f"{name}(): {advice}"


def check_header(path, source):
    guard = "POLYAK_" + re.sub(r"[^A-Z0-9]", "_", path.upper())
    if not source.startswith("/*"):
        yield 1, "header", "a header opens with what it is for"
    # A header without a guard is a body that is included more than once.
    for match in re.finditer(r"^#ifndef (POLYAK_\w+_H)$", source, re.MULTILINE):
        if match.group(1) != guard:
            yield line_of(source, match.start()), "header", f"the include guard is to be {guard}"


def check_text(path, source):
    for pattern, advice in (
        (UNFINISHED, "finish it, or say in the docs what is not there"),
        (MACHINE_PATH, "a path of one person's machine"),
    ):
        for match in pattern.finditer(source):
            yield line_of(source, match.start()), "words", f"{match.group()}: {advice}"


def check_length(path, source):
    lines = source.count("\n")
    if path.endswith(LONG_FILES) and not path.startswith("tests/ref/") and lines > LINES_MAX:
        yield lines, "length", f"{lines} lines, more than {LINES_MAX}: would two files be clearer?"


def check_file(path, source):
    yield from check_text(path, source)
    yield from check_length(path, source)
    if path.endswith((".c", ".h", ".def")) and path.startswith(PARTS):
        yield from check_includes(path, source)
        yield from check_calls(path, source)
        if path.endswith(".h"):
            yield from check_header(path, source)


def check_tree(root):
    """All violations below root, as lines for a person."""
    found = []
    for path in files_below(root):
        if not path.endswith(TEXT_FILES):
            continue
        with open(os.path.join(root, path), encoding="utf-8") as file:
            source = file.read()
        found += [f"{path}:{line}: {rule}: {text}" for line, rule, text in check_file(path, source)]
    return found


def main():
    if len(sys.argv) != 2 or not os.path.isdir(os.path.join(sys.argv[1], "common")):
        print("usage: check_tree.py ROOT", file=sys.stderr)
        return 2
    found = check_tree(sys.argv[1])
    print("\n".join(found) if found else "the tree is sound")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
