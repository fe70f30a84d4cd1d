"""Fetch a URL several times and print each answer: `fetch.py URL TIMES`. Fails when an answer is missing or all come from one pod."""

import sys
import time
import urllib.error
import urllib.request

url, times = sys.argv[1], int(sys.argv[2])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch() -> str:
    """One answer; a Service that was made a moment ago may take a moment to lead somewhere."""
    for attempt in range(25):
        try:
            with opener.open(url, timeout=5) as response:
                return response.read().decode().strip()
        except (urllib.error.URLError, OSError):
            if attempt == 24:
                raise
            time.sleep(0.2)
    raise AssertionError("unreachable")


answers = [fetch() for _ in range(times)]
for answer in answers:
    print(f"  {answer}")
if len(set(answers)) < 2:
    sys.exit("all answers came from one pod")
