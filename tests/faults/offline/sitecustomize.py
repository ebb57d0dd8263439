"""On the path of a command, this lets it use no network: the first attempt ends it at once."""

import os
import socket
import sys

_NETWORK = {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname"}


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    opened = event == "socket.__new__" and arguments[1] != socket.AF_UNIX
    named = event in _NETWORK and not isinstance(arguments[-1], str | bytes)
    if opened or named:
        os.write(2, f"NETWORK {event} {arguments!r}\n".encode())
        os._exit(99)


sys.addaudithook(_watch)
