"""Stands for a mail server that restarts: it refuses the first two attempts for each order."""

from pathlib import Path

OUTBOX = Path("outbox")


def send(order: int, text: str) -> None:
    OUTBOX.mkdir(exist_ok=True)
    attempts = OUTBOX / f"{order}.attempts"
    with attempts.open("a") as file:
        file.write("*")
    if len(attempts.read_text()) < 3:
        raise ConnectionRefusedError("the mail server is being restarted")
    (OUTBOX / f"{order}.txt").write_text(text)
