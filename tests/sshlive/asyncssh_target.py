"""AsyncSSH's server as a target: python asyncssh_target.py FOLDER, with `host`, `authorized` and `files` in it; prints its port."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncssh


async def answer(process: asyncssh.SSHServerProcess) -> None:
    """Says what it was asked, then what it was told, in capitals; ends with 5, or with a signal."""
    process.stdout.write(f"{process.command}\n")
    told = await process.stdin.read()
    process.stdout.write(told.upper())
    process.stderr.write("to stderr\n")
    if process.command == "signal":
        process.exit_with_signal("TERM", False, "as asked")
    else:
        process.exit(5)


async def main(folder: Path) -> None:
    def files(channel: asyncssh.SSHServerChannel) -> asyncssh.SFTPServer:
        return asyncssh.SFTPServer(channel, chroot=folder / "files")

    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[folder / "host"], authorized_client_keys=str(folder / "authorized"), process_factory=answer,
        sftp_factory=files, rekey_bytes=200_000,
    )  # fmt: skip
    print(server.get_port(), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
