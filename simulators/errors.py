"""What makes a simulator refuse to start."""


class SimulatorError(Exception):
    """Bad input. The message is one line that says what is wrong and where."""
