"""What ends the demo early."""


class DemoError(Exception):
    """Something did not work. The message is one line that says what and where."""
