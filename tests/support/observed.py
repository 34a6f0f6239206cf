"""A click that went direct, for whoever watches: metrics, log, dashboards."""

from storehop.model import Click, Direct, Likeness, Param, Platform, S2SCall, Source
from storehop.settings import Store

CLICK = Click("c1", "GET", "https://app.appsflyer.com/com.x.y?pid=x", {}, "8.8.8.8")
CALL = S2SCall("c1", "https://app.appsflyer.com", "/com.x.y?redirect=false", (), "games")
PARAMS = (
    Param("pid", "x", Source.LINK),
    Param("af_ip", "8.8.8.8", Source.ADDRESS),
    Param("af_model", None, Source.OMITTED),
)
DIRECT = Direct(
    "games", "com.x.y", Platform.ANDROID, Store.GOOGLE_PLAY, "N_1", "https://play", CALL, PARAMS, Likeness(b"key", "")
)
