# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture of every dashboard, as a person sees it, in .dev/screenshots.

    python -m tests.testbed.screenshots http://127.0.0.1:3000 --password-file .../grafana_admin_password.txt

Needs Chromium: apt-get install chromium. With --post the dashboards of this checkout are put there first.
"""

import argparse
import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import requests

from .console import Failure, relative, say
from .panels import read
from .paths import DEV

SHOTS = DEV / "screenshots"
WIDTH = 1600
# Of one step of the grid, with its gap.
CELL = 38
# Nothing was asked for so long: the page is complete.
QUIET, LIMIT = 2.0, 60.0
# Shared memory is small in containers, and root has no sandbox there.
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")


class Page:
    """One page of Chromium, spoken to by its DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.numbers = itertools.count(1)
        self.answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.pending: set[str] = set()
        self.last = time.monotonic()
        self.session: str | None = None

    async def listen(self) -> None:
        """Answers go to who asked; requests of the page are counted."""
        async for message in self.socket:
            content = json.loads(message.data)
            if "id" in content:
                self.answers.pop(content["id"]).set_result(content)
            elif content["method"] in ("Network.requestWillBeSent", "Network.loadingFinished", "Network.loadingFailed"):
                self.last = time.monotonic()
                change = self.pending.add if content["method"].endswith("Sent") else self.pending.discard
                change(content["params"]["requestId"])

    async def call(self, method: str, **parameters: Any) -> Any:
        number = next(self.numbers)
        future = self.answers[number] = asyncio.get_running_loop().create_future()
        session = {"sessionId": self.session} if self.session else {}
        await self.socket.send_json({"id": number, "method": method, "params": parameters, **session})
        answer = await asyncio.wait_for(future, LIMIT)
        if "error" in answer:
            raise Failure(
                f"Chromium refuses {method}: {answer['error']['message']}", "is this a Chromium of 2023 or later?"
            )
        return answer["result"]

    async def evaluate(self, expression: str) -> Any:
        return (await self.call("Runtime.evaluate", expression=expression))["result"].get("value")

    async def complete(self) -> bool:
        """There are panels, and nothing is asked for any more."""
        if self.pending or time.monotonic() - self.last < QUIET:
            return False
        return bool(await self.evaluate("document.querySelectorAll('.react-grid-item').length > 0"))

    async def open_tab(self, auth: tuple[str, str]) -> None:
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            await self.call(f"{domain}.enable")
        token = base64.b64encode(":".join(auth).encode()).decode()
        await self.call("Network.setExtraHTTPHeaders", headers={"Authorization": f"Basic {token}"})

    async def shoot(self, url: str, width: int, height: int) -> bytes:
        """The whole page: what is outside of the window is not even asked for, so the window is as tall as the page."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        self.pending.clear()
        self.last = time.monotonic()
        await self.call("Page.navigate", url=url)
        end = time.monotonic() + LIMIT
        while not await self.complete():
            if time.monotonic() > end:
                text = await self.evaluate("document.body.innerText")
                raise Failure(f"{url} is not complete after {LIMIT:.0f} s", "open it in a browser", text[:2000])
            await asyncio.sleep(0.2)
        picture = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(picture["data"])


@contextlib.asynccontextmanager
async def browser(auth: tuple[str, str]) -> AsyncIterator[Page]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        raise Failure("there is no Chromium", "apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", stderr=asyncio.subprocess.PIPE
        )
        try:
            async with aiohttp.ClientSession() as session:
                address = await asyncio.wait_for(devtools(process), 30)
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    page = Page(socket)
                    listening = asyncio.create_task(page.listen())
                    await page.open_tab(auth)
                    yield page
                    listening.cancel()
        finally:
            process.terminate()
            await process.wait()


async def devtools(process: asyncio.subprocess.Process) -> str:
    """The address that Chromium says on its standard error."""
    assert process.stderr
    said = []
    async for line in process.stderr:
        text = line.decode(errors="replace").strip()
        if text.startswith("DevTools listening on "):
            return text.removeprefix("DevTools listening on ")
        said.append(text)
    raise Failure("Chromium does not start", "see what it says above", "\n".join(said[-10:]))


def height_of(dashboard: dict[str, Any]) -> int:
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    return int(max(place["y"] + place["h"] for place in places)) * CELL + 120


def post(url: str, auth: tuple[str, str], dashboards: Sequence[dict[str, Any]]) -> None:
    for dashboard in dashboards:
        body = {"dashboard": {**dashboard, "id": None}, "overwrite": True}
        answer = requests.post(f"{url}/api/dashboards/db", json=body, auth=auth, timeout=30)
        if answer.status_code != 200:
            raise Failure(f"Grafana refuses {dashboard['uid']}: {answer.text}", "is the password right?")


async def shoot_all(
    url: str, auth: tuple[str, str], dashboards: Sequence[dict[str, Any]], query: str, full: bool
) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    async with browser(auth) as page:
        for dashboard in dashboards:
            address = f"{url}/d/{dashboard['uid']}?orgId=1&to=now&refresh=&kiosk&{query}"
            height = height_of(dashboard) if full else 1000
            picture = SHOTS / f"{dashboard['uid']}.png"
            picture.write_bytes(await page.shoot(address, WIDTH, height))
            say(f"{relative(picture)}: {picture.stat().st_size // 1024} KiB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="address of Grafana")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--post", action="store_true", help="put the dashboards of this checkout there first")
    parser.add_argument("--from", dest="since", default="now-1h", help="the beginning of what is shown")
    parser.add_argument("--theme", default="dark", choices=["dark", "light"])
    parser.add_argument("--first-screen", action="store_true", help="only what is seen without scrolling")
    parser.add_argument("--var", action="append", default=[], metavar="var-NAME=VALUE", help="a variable's value")
    parser.add_argument("--only", action="append", metavar="UID", help="this dashboard; may be repeated")
    given = parser.parse_args()
    auth, url = (given.user, given.password_file.read_text().strip()), given.url.rstrip("/")
    dashboards = [one for one in read() if not given.only or one["uid"] in given.only]
    try:
        if given.post:
            post(url, auth, dashboards)
        query = "&".join([f"from={given.since}", f"theme={given.theme}", *given.var])
        asyncio.run(shoot_all(url, auth, dashboards, query, not given.first_screen))
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
