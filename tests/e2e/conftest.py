from fixtures import *  # noqa: F401,F403 — fixtures are found by pytest in this module

LONG = ("test_crash.py", "test_kill_busy.py", "test_resume_model.py")


def pytest_collection_modifyitems(items):
    """The long ones first, or all but one worker would wait for them at the end."""
    items.sort(key=lambda item: item.path.name not in LONG)
