"""What the demonstration prints: headings, running text of several speakers, small tables.

Colours only on a terminal (and never with NO_COLOR); text is wrapped to the terminal's width.
"""

import os
import shutil
import sys

COLOURS = {"plain": "0", "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33",
           "blue": "34", "cyan": "36"}
HAS_COLOURS = (sys.stdout.isatty() and not os.environ.get("NO_COLOR")
               and os.environ.get("TERM", "dumb") != "dumb")
WIDTH = min(shutil.get_terminal_size((96, 24)).columns, 100)
NAME_WIDTH = 12


def paint(colour, text):
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if HAS_COLOURS else text


def heading(text):
    print(f"\n{paint('bold', '== ' + text)}", flush=True)


def say(text=""):
    print(text, flush=True)


def note(text):
    print(paint("dim", f"   {text}"), flush=True)


def table(rows):
    """[(what, value, remark)]"""
    width = max(len(what) for what, _, _ in rows)
    for what, value, remark in rows:
        print(f"   {what:<{width}}  {paint('bold', str(value).rjust(5))}  {paint('dim', remark)}")
    sys.stdout.flush()


def verdict(holds, text):
    mark = paint("green", "yes") if holds else paint("red", "NO ")
    print(f"   {mark} {text}", flush=True)
    return holds


class Speaker:
    """Text that comes in pieces, after a name and a bar, wrapped."""

    def __init__(self, name, colour):
        self.name, self.colour, self.column = name, colour, 0

    def begin(self):
        print(f"   {paint(self.colour, self.name.ljust(NAME_WIDTH))}│ ", end="")
        self.column = 3 + NAME_WIDTH + 2

    def add(self, text):
        for word in text.replace("\n", " ").split(" "):
            if word and (self.column == 0 or self.column + len(word) + 1 > WIDTH):
                self.end()
                self.begin()
            print(paint(self.colour, word + " ") if word else "", end="", flush=True)
            self.column += len(word) + 1 if word else 0

    def end(self):
        if self.column:
            print(flush=True)
        self.column = 0


class Silence:
    """A speaker that is not heard."""

    def add(self, text):
        pass

    def end(self):
        pass
