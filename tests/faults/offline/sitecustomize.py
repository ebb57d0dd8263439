"""End a process when it first uses the network, if this folder is on its `PYTHONPATH`."""

import os
import socket
import sys

_NETWORK_EVENTS = {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname"}


def _block_network(event: str, arguments: tuple[object, ...]) -> None:
    opens_socket = event == "socket.__new__" and arguments[1] != socket.AF_UNIX
    uses_address = event in _NETWORK_EVENTS and not isinstance(arguments[-1], str | bytes)
    if opens_socket or uses_address:
        os.write(2, f"NETWORK {event} {arguments!r}\n".encode())
        os._exit(99)


sys.addaudithook(_block_network)
