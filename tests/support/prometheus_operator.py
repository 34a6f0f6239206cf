"""Small schemas of the Prometheus operator's kinds: the keys that its reference has and we use, and no other."""

NAMED = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "labels": {"type": "object"}},
    "required": ["name"],
}


def custom(kind, spec):
    """A kind of the operator with these keys in its spec."""
    keys = {
        "apiVersion": {"const": "monitoring.coreos.com/v1"},
        "kind": {"const": kind},
        "metadata": NAMED,
        "spec": {"type": "object", "additionalProperties": False, "required": list(spec), "properties": spec},
    }
    return {"type": "object", "additionalProperties": False, "required": list(keys), "properties": keys}


ENDPOINT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["port"],
    "properties": {
        "port": {"type": "string"},
        "path": {"type": "string", "pattern": "^/"},
        "interval": {"type": "string", "pattern": "^[0-9]+(s|m)$"},
    },
}
POD_MONITOR = custom(
    "PodMonitor",
    {
        "selector": {"type": "object", "minProperties": 1},
        "podMetricsEndpoints": {"type": "array", "minItems": 1, "items": ENDPOINT},
    },
)
RULE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["expr"],
    "properties": {
        "alert": {"type": "string"},
        "record": {"type": "string"},
        "expr": {"type": "string"},
        "for": {"type": "string", "pattern": "^[0-9]+(s|m|h|d)$"},
        "keep_firing_for": {"type": "string", "pattern": "^[0-9]+(s|m|h|d)$"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
GROUP = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "rules"],
    "properties": {
        "name": {"type": "string"},
        "interval": {"type": "string"},
        "rules": {"type": "array", "items": RULE},
    },
}
PROMETHEUS_RULE = custom("PrometheusRule", {"groups": {"type": "array", "minItems": 1, "items": GROUP}})
