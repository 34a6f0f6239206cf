"""The naive way, to compare with: a mitmdump addon that calls AppsFlyer in the hook and then answers 302.

`mitmdump -s naive.py --set naive_endpoint=http://127.0.0.1:PORT`. It stores nothing, retries nothing, checks little.
"""

from __future__ import annotations

from urllib.parse import quote

import httpx
from mitmproxy import ctx, http


class Naive:
    def load(self, loader):
        loader.add_option("naive_endpoint", str, "https://app.appsflyer.com", "Where clicks are reported.")

    def running(self):
        self.client = httpx.AsyncClient()

    async def request(self, flow: http.HTTPFlow):
        if flow.request.host_header != "app.appsflyer.com":
            return
        query, headers = flow.request.query, flow.request.headers
        app = flow.request.path_components[0]
        referrer = f"NetworkA_{query.get('clickid', '')}"
        facts = {
            "af_ref": referrer,
            "af_ip": headers.get("X-Forwarded-For", ""),
            "af_ua": headers.get("User-Agent", ""),
            "af_lang": headers.get("Accept-Language", "").split(",")[0],
            "redirect": "false",
        }
        extra = "".join(f"&{name}={quote(value, safe='')}" for name, value in facts.items())
        await self.client.get(
            f"{ctx.options.naive_endpoint}{flow.request.path}{extra}", headers={"User-Agent": facts["af_ua"]}
        )
        store = f"https://play.google.com/store/apps/details?id={app}&referrer={referrer}"
        flow.response = http.Response.make(302, b"", {"Location": store, "Cache-Control": "no-store"})


addons = [Naive()]
