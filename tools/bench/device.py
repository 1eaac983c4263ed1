"""The device's own count of flushes: what says that a commit was one.

A run whose server says it made C things durable while the device was flushed far fewer times has not been durable, whatever
it measured: it is void. The device counts everyone's flushes, so too many prove nothing.
"""

import os

# Flushes that wait at the same time are merged into one by the kernel: with other writers about, some of ours are.
FLUSHES_PER_COMMIT_MIN = 0.7
COMMITS_MIN = 20  # below it a merged flush or two decide
FLUSHES_FIELD = 15  # of the stat file, 0-based: Documentation/block/stat.rst


class Device:
    """The disk below a folder. `silent` says why its flushes cannot be counted, or is None."""

    def __init__(self, folder):
        number = os.stat(folder).st_dev
        path = os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
        if os.path.exists(os.path.join(path, "partition")):
            path = os.path.dirname(path)
        self.path, self.name = path, os.path.basename(path)
        self.silent = self._why_silent()

    def _read(self, name):
        try:
            with open(os.path.join(self.path, name), encoding="utf-8") as file:
                return file.read().strip()
        except OSError:
            return ""

    def _why_silent(self):
        if len(self._read("stat").split()) <= FLUSHES_FIELD:
            return "it has no counter of flushes"
        if self._read("queue/write_cache") != "write back":
            return "it says that it has no volatile cache, so nothing is flushed"
        if self._read("queue/fua") == "1":
            return "durable writes reach it as such (FUA), without a flush"
        return None

    def flushes(self):
        return None if self.silent else int(self._read("stat").split()[FLUSHES_FIELD])


def is_void(commits, flushes):
    return commits >= COMMITS_MIN and flushes < commits * FLUSHES_PER_COMMIT_MIN
