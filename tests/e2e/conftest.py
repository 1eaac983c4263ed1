from fixtures import *  # noqa: F401,F403 — fixtures are found by pytest in this module
