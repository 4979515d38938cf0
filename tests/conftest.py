"""Settings of all tests."""

from hypothesis import settings

# A failing example prints what repeats it; a machine that is busy with other work fails no test.
settings.register_profile("project", print_blob=True, deadline=None)
settings.load_profile("project")
