"""Published settings and variants, one file a paper.

Each file says which paper it is of, what was published and what is done otherwise here. They come
in as an extension of a user's would: ``entry_points.txt`` declares their names as an installed
distribution declares its own, and nothing outside this folder imports them, so that potstill runs
without it. See docs/papers.md for the methods, and docs/extending.md for the doors.
"""
