"""Counts the tests of JUnit reports, as ctest and pytest write them.

Prints `passed failed skipped`, and then a line for each test that failed. A test that ctest could
not start counts as failed; a report that is not there, or is no XML, is one failure.
"""

import sys
import xml.etree.ElementTree as tree


def name_of(case):
    place = case.get("classname") or ""
    name = case.get("name")
    return name if place in ("", name) else f"{place}.{name}"


def verdict_of(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    skipped = case.find("skipped")
    if case.get("status") == "notrun":
        return "skipped" if "SKIP" in (skipped.get("message") or "") else "failed"
    return "passed" if skipped is None else "skipped"


def main(paths):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failures = []
    for path in paths:
        try:
            cases = list(tree.parse(path).iter("testcase"))
        except (OSError, tree.ParseError) as error:
            cases = []
            counts["failed"] += 1
            failures.append(f"{path}: {error}")
        for case in cases:
            verdict = verdict_of(case)
            counts[verdict] += 1
            if verdict == "failed":
                failures.append(name_of(case))
    print(*counts.values())
    for failure in failures:
        print(failure)


main(sys.argv[1:])
