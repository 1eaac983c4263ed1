"""What must hold of the source tree itself. One line a rule, then each place where it is broken.

Ends with `passed failed`, as the callers count.
"""

import collections
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.MULTILINE)
COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
LAYERS = ("protocol", "storage", "server")
MAY_INCLUDE = {
    "protocol": ("protocol/",),
    "storage": ("storage/", "protocol/base/", "protocol/data/"),
    "server": ("server/", "storage/", "protocol/"),
}
THIRD_PARTY = re.compile(
    r"(liburing|lmdb|curl/|msgpack|openssl/|llhttp|cjson/|cJSON|cyaml/|zstd)")
# Not used in this house: each has a bounded or a clearer sister.
UNUSED_CALLS = re.compile(
    r"\b(sprintf|vsprintf|strcpy|strcat|strtok|atoi|atol|gets|alloca|rand|srand|localtime)\s*\(")
CLEANED = re.compile(r"\bCLEANUP\(\w+\)\s+struct \w+ (\w+(?:,\s*\w+)*);")
LEAVES = re.compile(r"\breturn\b|\bTRY\(|\bgoto\b")
MARKS = re.compile(r"\b(TODO|FIXME|XXX)\b")
SOURCES = ("server", "storage", "protocol", "tests", "tools")
OURS = (".c", ".h", ".def", ".py", ".sh", ".txt", ".md", ".mjs", ".yaml", ".json", "")
GENERATED = ("node_modules", "__pycache__", "corpus", "golden", "results")


def files(*folders, endings=(".c", ".h", ".def")):
    for folder in folders:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.is_file() and path.suffix in endings and not set(path.parts) & set(GENERATED):
                yield path


def includes(path):
    return [(kind == '"', name) for kind, name in INCLUDE.findall(path.read_text())]


def arrows_run_downwards():
    for layer in LAYERS:
        for path in files(layer):
            for is_ours, name in includes(path):
                if is_ours and not name.startswith(MAY_INCLUDE[layer]):
                    yield f"{path} includes {name}"


def includes_are_written_from_the_root():
    for path in files(*LAYERS, "tests"):
        for is_ours, name in includes(path):
            if is_ours and not pathlib.Path(name).exists():
                yield f"{path} includes {name}, which is no path from the root"


def each_third_party_header_has_one_reader():
    readers = collections.defaultdict(list)
    for path in files(*LAYERS):
        for is_ours, name in includes(path):
            if not is_ours and THIRD_PARTY.match(name):
                readers[name].append(path)
    for name, paths in readers.items():
        if len(paths) > 1 or paths[0].suffix != ".c":
            yield f"<{name}> is included by {', '.join(map(str, paths))}"


def nothing_is_left_to_do():
    for path in files(*SOURCES, endings=OURS):
        if path != pathlib.Path(__file__).resolve().relative_to(pathlib.Path.cwd()):
            marks = MARKS.findall(path.read_text(errors="replace"))
            yield from (f"{path}: {mark}" for mark in marks)


def unbounded_calls_are_not_used():
    for path in files(*LAYERS, "tools", endings=(".c", ".h")):
        code = COMMENT_OR_TEXT.sub("", path.read_text())
        yield from (f"{path}: {call}" for call in UNUSED_CALLS.findall(code))


def what_is_cleaned_up_was_made():
    """Before a CLEANUP local has a value nobody returns: what it frees would be chance."""
    for path in files(*LAYERS, "tools", endings=(".c",)):
        code = path.read_text()
        for local in CLEANED.finditer(code):
            body = code[local.end() : code.find("\n}\n", local.end())]
            for name in re.split(r",\s*", local[1]):
                before = re.split(rf"&{name}\b|\b{name} =", body)[0]
                if LEAVES.search(before):
                    line = code.count("\n", 0, local.start()) + 1
                    yield f"{path}:{line}: {name}"


def headers_are_guarded():
    for path in files(*LAYERS, endings=(".h",)):
        if path.name != "bounds.h" and "#ifndef TOKENLOG_" not in path.read_text():
            yield f"{path} has no guard"


def the_readme_names_what_there_is():
    readme = pathlib.Path("README.md")
    if not readme.exists():
        yield "there is no README.md"
        return
    text = readme.read_text()
    for command in ("tools/run", "tools/test"):
        if command not in text:
            yield f"README.md does not name {command}"
    for path in re.findall(r"`((?:server|storage|protocol|tests|tools)/[\w./-]*)`", text):
        if not pathlib.Path(path).exists():
            yield f"README.md names {path}, which is not there"


RULES = [arrows_run_downwards, includes_are_written_from_the_root,
         each_third_party_header_has_one_reader, nothing_is_left_to_do,
         unbounded_calls_are_not_used, what_is_cleaned_up_was_made, headers_are_guarded,
         the_readme_names_what_there_is]


def main():
    passed = failed = 0
    for rule in RULES:
        broken = list(rule())
        passed, failed = passed + (not broken), failed + bool(broken)
        print("FAILED " if broken else "ok     ", rule.__name__.replace("_", " "))
        for place in broken:
            print("          ", place)
    print(passed, failed)
    return failed > 0


sys.exit(main())
