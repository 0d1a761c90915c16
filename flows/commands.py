"""Short commands whose output is read whole; what takes longer is for `process_group`."""

import subprocess


def output(*command: str) -> str:
    """What a command writes. Raises RuntimeError with its message."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` failed with exit status {done.returncode}:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout


def git(*arguments: str) -> str:
    """What git prints in the working directory. Raises RuntimeError with its message."""
    return output("git", *arguments)
