"""The error of a user's mistake: commands print it as one sentence and exit with status 2."""


class UserError(ValueError):
    """Something the user gave is wrong.

    The message is one sentence: what was wrong, where (file, record or flag), and what to do about it.
    """
