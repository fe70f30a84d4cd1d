"""The watch cache: what GET, LIST and WATCH are answered from.

    feed = Feed(store)                      # one per store; `await feed.run()` in the server's TaskGroup
    pods = Cacher(feed, "/registry/pods/", namespaced=True, fields=resource.selectable_fields)
    entry = await pods.get("default", "web", resource_version="")     # Entry | None; entry.body = JSON with resourceVersion
    page = await pods.list(ListRequest(...))                          # Page(items=entries, revision, continue_token, remaining)
    bodies = await pods.rendered(page.items, rendering)               # list[bytes]
    async with pods.watch(WatchRequest(...), rendering) as watch:     # Expired, Timeout are raised on entering
        async for chunk in watch: ...                                 # bytes: whole `{"type":..,"object":..}\n` lines
    await pods.wait(revision)                                         # after a write: until the cache has seen it

`entries.encode(tree)` gives the bytes to put into the store. Nothing here knows kinds, HTTP or users.
"""

from minikube_api.cache.cacher import Cacher
from minikube_api.cache.entries import Entry, encode
from minikube_api.cache.feed import Feed
from minikube_api.cache.renderings import Rendering
from minikube_api.cache.requests import ListRequest, Page, Selection, WatchRequest
from minikube_api.cache.watching import Watch

__all__ = ["Cacher", "Entry", "Feed", "ListRequest", "Page", "Rendering", "Selection", "Watch", "WatchRequest", "encode"]
