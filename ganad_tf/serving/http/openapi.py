"""Routes → OpenAPI 3.1 document of `/openapi.json`. Imports no HTTP library."""

import re
from collections.abc import Iterable
from typing import Any

from ganad_tf import __version__

_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_OBJECT = {"content": {"application/json": {"schema": {"type": "object"}}}}
_TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}
_B64 = {"type": "object", "required": ["b64"], "properties": {"b64": {"type": "string", "contentEncoding": "base64"}}}
_SIGNATURE = {
    "type": "string",
    "description": "One of the names that the model's metadata lists.",
    "default": "serving_default",
}
_ROWS = {"type": "array", "description": "One entry for each clip: numbers, or a file in base64.", "minItems": 1}
_BODIES = {
    ":predict": {
        "type": "object",
        "properties": {
            "signature_name": _SIGNATURE,
            "instances": _ROWS | {"items": {"anyOf": [{"type": "array"}, {"type": "object"}, _B64]}},
            "inputs": {"description": "The same by column.", "type": ["array", "object"]},
        },
        "examples": [{"signature_name": "score_wav", "instances": [{"b64": "UklGRg=="}]}],
    },
    "/infer": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object", "properties": {"signature_name": _SIGNATURE}},
            "inputs": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["name", "shape", "datatype"],
                    "properties": {
                        "name": {"type": "string"},
                        "shape": {"type": "array", "items": {"type": "integer"}},
                        "datatype": {"enum": ["FP32", "BYTES"]},
                        "data": {"type": "array"},
                    },
                },
            },
            "outputs": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        },
    },
}


def document(routes: Iterable[tuple[str, str, str]]) -> dict[str, Any]:
    """OpenAPI document of the routes.

    Args:
      routes: Method, path template and summary of each route.
    """
    paths: dict[str, dict[str, Any]] = {}
    for method, path, sentence in routes:
        if "{verb}" not in path:  # a refusal in words, nothing to call
            paths.setdefault(path, {})[method.lower()] = _operation(method, path, sentence.strip().splitlines()[0])
    return {
        "openapi": "3.1.0",
        "info": {"title": "ganad serve", "version": __version__, "summary": "Anomaly scores of machine sound."},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],  # only where the server was given a token
    }


def _operation(method: str, path: str, sentence: str) -> dict[str, Any]:
    answer = _TEXT if path == "/metrics" else _OBJECT
    error = {"description": "One sentence.", "content": {"application/json": {"schema": _ERROR}}}
    operation: dict[str, Any] = {
        "summary": sentence,
        "operationId": f"{method.lower()}{re.sub(r'[^A-Za-z0-9]+', '_', path).rstrip('_')}",
        "responses": {"200": {"description": "The answer."} | answer, "default": error},
    }
    names = re.findall(r"{(\w+)}", path)
    if names:
        operation["parameters"] = [_parameter(name) for name in names]
    body = next((body for end, body in _BODIES.items() if path.endswith(end)), None)
    if body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def _parameter(name: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 0} if name == "version" else {"type": "string"}
    return {"name": name, "in": "path", "required": True, "schema": schema}
