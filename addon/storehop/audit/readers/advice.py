"""The configuration that makes tomorrow's log auditable. Tests start the real servers with these very lines."""

from __future__ import annotations

NO_LINK = "It can't be audited: nothing in it says where clicks are redirected to, and no column holds the link."

NGINX = r"""log_format auditable escape=json '{"time":"$time_iso8601","client_ip":"$remote_addr","x_forwarded_for":"$http_x_forwarded_for","method":"$request_method","scheme":"$scheme","host":"$host","uri":"$request_uri","status":$status,"location":"$sent_http_location","user_agent":"$http_user_agent","accept_language":"$http_accept_language","referer":"$http_referer","sec_ch_ua":"$http_sec_ch_ua","sec_ch_ua_mobile":"$http_sec_ch_ua_mobile","sec_ch_ua_platform":"$http_sec_ch_ua_platform","sec_ch_ua_platform_version":"$http_sec_ch_ua_platform_version","sec_ch_ua_model":"$http_sec_ch_ua_model","sec_fetch_mode":"$http_sec_fetch_mode","sec_fetch_dest":"$http_sec_fetch_dest","sec_purpose":"$http_sec_purpose"}';
access_log /var/log/nginx/auditable.log auditable;"""  # noqa: E501

APACHE = r"""LogFormat "{\"time\":\"%{%Y-%m-%dT%H:%M:%S%z}t\",\"client_ip\":\"%{c}a\",\"x_forwarded_for\":\"%{X-Forwarded-For}i\",\"request\":\"%r\",\"host\":\"%{Host}i\",\"status\":%>s,\"location\":\"%{Location}o\",\"user_agent\":\"%{User-Agent}i\",\"accept_language\":\"%{Accept-Language}i\",\"referer\":\"%{Referer}i\",\"sec_ch_ua\":\"%{Sec-CH-UA}i\",\"sec_ch_ua_mobile\":\"%{Sec-CH-UA-Mobile}i\",\"sec_ch_ua_platform\":\"%{Sec-CH-UA-Platform}i\",\"sec_ch_ua_platform_version\":\"%{Sec-CH-UA-Platform-Version}i\",\"sec_ch_ua_model\":\"%{Sec-CH-UA-Model}i\",\"sec_fetch_mode\":\"%{Sec-Fetch-Mode}i\",\"sec_fetch_dest\":\"%{Sec-Fetch-Dest}i\",\"sec_purpose\":\"%{Sec-Purpose}i\"}" auditable
CustomLog /var/log/apache2/auditable.log auditable"""  # noqa: E501

HAPROXY = r"""log stdout len 16384 format raw local0 info
capture request header Host len 255
capture request header User-Agent len 1024
capture request header Accept-Language len 255
capture request header X-Forwarded-For len 255
capture request header Sec-CH-UA len 512
capture request header Sec-CH-UA-Platform-Version len 64
capture request header Sec-CH-UA-Model len 255
capture response header Location len 8192
log-format '{"time":%Ts.%ms,"client_ip":"%ci","method":"%HM","uri":"%[capture.req.uri,json(utf8s)]","status":%ST,"host":"%[capture.req.hdr(0),json(utf8s)]","user_agent":"%[capture.req.hdr(1),json(utf8s)]","accept_language":"%[capture.req.hdr(2),json(utf8s)]","x_forwarded_for":"%[capture.req.hdr(3),json(utf8s)]","sec_ch_ua":"%[capture.req.hdr(4),json(utf8s)]","sec_ch_ua_platform_version":"%[capture.req.hdr(5),json(utf8s)]","sec_ch_ua_model":"%[capture.req.hdr(6),json(utf8s)]","location":"%[capture.res.hdr(0),json(utf8s)]"}'"""  # noqa: E501

ENVOY = r"""access_log:
- name: envoy.access_loggers.file
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: /dev/stdout
    log_format:
      json_format: {start_time: "%START_TIME%", client_ip: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", x_forwarded_for: "%REQ(X-FORWARDED-FOR)%", method: "%REQ(:METHOD)%", scheme: "%REQ(:SCHEME)%", authority: "%REQ(:AUTHORITY)%", path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", response_code: "%RESPONSE_CODE%", location: "%RESP(LOCATION)%", user_agent: "%REQ(USER-AGENT)%", accept_language: "%REQ(ACCEPT-LANGUAGE)%", referer: "%REQ(REFERER)%", sec_ch_ua: "%REQ(SEC-CH-UA)%", sec_ch_ua_platform_version: "%REQ(SEC-CH-UA-PLATFORM-VERSION)%", sec_ch_ua_model: "%REQ(SEC-CH-UA-MODEL)%"}"""  # noqa: E501

CONFIGURATIONS = {"nginx": NGINX, "Apache": APACHE, "HAProxy": HAPROXY, "Envoy": ENVOY}


def lines_for_tomorrow() -> str:
    """What to add to the server's configuration, for people."""
    lines = "\n\n".join(f"# {server}\n{lines}" for server, lines in CONFIGURATIONS.items())
    return (
        "If a column holds the links, name it: --map link=COLUMN; if the requests themselves are links, name theirs:"
        " --map host=COLUMN,uri=COLUMN. Else tomorrow's log can be audited, with these lines"
        f" in the server's configuration:\n\n{lines}"
    )
