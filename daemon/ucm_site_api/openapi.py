"""The OpenAPI document, made from the operations and the very types that judge requests and shape answers."""

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from ucm_site_api.app import TOKEN_HEADER
from ucm_site_api.messages import ErrorEnvelope
from ucm_site_api.operations import Operation, Query, path_parameters

_REFUSALS = {
    400: "The request is not well-formed.",
    401: "The token is missing.",
    403: "The token is not known, or its role is below what the call needs.",
    404: "There is no such resource.",
    408: "The body did not arrive in time.",
    409: "It belongs to something else already.",
    413: "The body is too large.",
    422: "The request is understood, and cannot be done.",
    429: "Too many calls with this token.",
    500: "The server failed.",
    503: "The broker is away; nothing was changed.",
}
_OF_ANY_CALL = frozenset({400, 401, 403, 429, 500})
_OF_A_BODY = frozenset({408, 413})
_WITH_RETRY_AFTER = frozenset({429, 503})

_COUNT = {"type": "integer", "minimum": 0}
_QUERY: dict[Query, dict[str, Any]] = {
    "expand": {
        "schema": {"type": "string"},
        "description": "Words with commas between them: connectivity, communication, properties, site. Others are "
        "ignored.",
    },
    "offset": {"schema": _COUNT | {"default": 0}, "description": "How many to leave out."},
    "limit": {
        "schema": _COUNT | {"default": 50},
        "description": "How many to show; never more than 1000.",
    },
    "name": {"schema": {"type": "string"}, "description": "Only those of this name."},
}
_PATH = {"device": "A device's id or slug.", "site": "A site's id."}


def document(operations: Sequence[Operation], prefix: str) -> dict[str, Any]:
    """The document for one prefix, as JSON values."""
    types = [ErrorEnvelope, *(kind for one in operations for kind in (one.answer, one.body) if kind is not None)]
    _, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Provisioning API on site", "version": version("ucm-provisiond")},
        "servers": [{"url": prefix}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER}},
        },
    }


def statuses(operation: Operation) -> list[int]:
    """Every status that a call may be refused with."""
    of_its_kind = _OF_A_BODY if operation.body else frozenset[int]()
    of_its_path = frozenset({404}) if path_parameters(operation.path) else frozenset[int]()
    return sorted(_OF_ANY_CALL | of_its_kind | of_its_path | operation.refusals)


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "summary": (operation.run.__doc__ or "").strip(),
        "description": f"Needs a token with the role {operation.least} or above.",
        "parameters": list(_parameters(operation)),
        "responses": {
            "200": {"description": "Done.", "content": _content(operation.answer)},
            **{str(status): _refusal(status) for status in statuses(operation)},
        },
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.body)}
    return described


def _operation_id(operation: Operation) -> str:
    """A function that answers on several paths has one id for each."""
    within = "_of_site" if "/sites/{site}/" in operation.path else "_by_id" if "{site}" in operation.path else ""
    return operation.name + within


def _parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    for name in path_parameters(operation.path):
        schema = {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema, "description": _PATH[name]}
    for query in operation.query:
        yield {"name": query, "in": "query", "required": False, **_QUERY[query]}


def _refusal(status: int) -> dict[str, Any]:
    described: dict[str, Any] = {"description": _REFUSALS[status], "content": _content(ErrorEnvelope)}
    if status in _WITH_RETRY_AFTER:
        described["headers"] = {
            "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer"}}
        }
    return described


def _content(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
