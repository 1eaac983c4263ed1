#!/usr/bin/python3
"""other_compiler.py COMPILE_COMMANDS — what that compiler says of every file; nothing is made. Exit 1 if it refuses one."""

import concurrent.futures
import json
import os
import shlex
import subprocess
import sys


def refused(entry):
    """What it says of one file, or nothing."""
    command = shlex.split(entry["command"])
    at = command.index("-o")
    done = subprocess.run([*command[:at], *command[at + 2:], "-fsyntax-only"], cwd=entry["directory"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
    return done.stdout or f"{entry['file']}: status {done.returncode}" if done.returncode else ""


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        entries = json.load(file)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        words = list(filter(None, pool.map(refused, entries)))
    print("\n".join([*words, f"{len(entries)} files, {len(words)} refused"]))
    sys.exit(1 if words or not entries else 0)


if __name__ == "__main__":
    main()
