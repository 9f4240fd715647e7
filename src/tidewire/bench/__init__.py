"""Measurements that anyone can repeat: `tidewire bench NAME`. Each builds its own throw-away server."""
