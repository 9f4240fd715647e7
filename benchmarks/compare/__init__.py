"""Servers that people use for live pages, as the fan-out benchmark meets them. Fetched when they are measured."""

from pathlib import Path

from benchmarks.compare.django_channels import DjangoChannels
from benchmarks.compare.mosquitto import Mosquitto
from benchmarks.compare.nats import Nats
from benchmarks.compare.nchan import Nchan
from benchmarks.compare.node_ws import NodeWs
from benchmarks.compare.python_socketio import PythonSocketIO
from benchmarks.compare.socket_io import SocketIO
from tidewire.bench.subject import Peer

CLASSES = (Nats, Nchan, NodeWs, SocketIO, PythonSocketIO, DjangoChannels, Mosquitto)


def peers(folder: Path) -> list[Peer]:
    """Return all of them; each installs itself into the folder when it is first started."""
    return [peer(folder / peer.name) for peer in CLASSES]
