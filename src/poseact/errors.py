"""The one exception that is a user's mistake and not a bug of the package."""

from __future__ import annotations


class UserError(Exception):
    """A user's mistake; the command line prints it without a traceback and exits with 2.

    The message is one line that names the file, what was expected, what was found and the
    remedy.
    """
