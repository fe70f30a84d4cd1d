"""The way to the API for everything that is not the server: typed client, informers, work queue, leader election, events.

The transport is injected: `http.HttpTransport` or the server's in-process one, with identical results.
"""

from minikube_api.client.client import Client, List, WatchEvent

__all__ = ["Client", "List", "WatchEvent"]
