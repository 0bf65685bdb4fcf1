"""A program that runs for as long as the tests do, and ends with them."""
from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time

PATIENCE = 60.0


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def program(name: str, *places: str) -> str:
    """The path of a program; `places` are patterns of folders that are not on PATH."""
    found = shutil.which(name)
    for place in places:
        found = found or next(iter(sorted(glob.glob(os.path.join(place, name)), reverse=True)), None)
    if not found:
        raise RuntimeError(f"{name} is not installed")
    return found


def as_user(name: str) -> list[str]:
    """What stands before a command that refuses to run as root."""
    if os.geteuid() != 0:
        return []
    pwd.getpwnam(name)
    return ["runuser", "-u", name, "--"]


def give(folder: str, name: str):
    """Makes a folder that user's, when we are root."""
    if os.geteuid() == 0:
        shutil.chown(folder, name)


def run(*command: str, text: str = "", **more) -> str:
    """Runs a program to its end; what it prints. A failure has all that it said."""
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False, **more)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Process:
    """A program, started when it answers on its port."""

    def __init__(self, name: str, folder: str, command: list[str], port: int, end: int = signal.SIGTERM):
        self.name, self.command, self.port, self.end = name, command, port, end
        self.log = os.path.join(folder, name + ".log")
        self.child: subprocess.Popen | None = None
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          start_new_session=True)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self.child.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{self.name} did not start:\n{self.tail()}")

    def tail(self, lines: int = 30) -> str:
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-lines:])

    def stop(self):
        child, self.child = self.child, None
        if child is None:
            return
        for number in (self.end, signal.SIGKILL):
            try:
                os.killpg(child.pid, number)
            except ProcessLookupError:
                pass
            try:
                child.wait(10)
                return
            except subprocess.TimeoutExpired:
                continue

    def restart(self):
        self.stop()
        self.start()
