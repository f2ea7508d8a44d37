"""What a client is told, step by step, as lines of JSON."""

import json


class Steps:
    """Says of each step what the cache did, as `cache-status` has it, and what the client made of the answer."""

    def __init__(self):
        self.cache = None

    def heard(self, response):
        """For a client's event hook: each response, before its body is read."""
        self.cache = response.headers.get("cache-status")

    async def heard_async(self, response):
        self.heard(response)

    def take(self, name, ask, errors):
        """Runs one step. An error that the client raises is its outcome."""
        self.cache = None
        try:
            outcome = {"object": ask()}
        except errors as error:
            outcome = {"error": described(error)}
        print(json.dumps({"step": name, "cache": self.cache, **outcome}), flush=True)


def described(error):
    response = getattr(error, "response", None)
    return {
        "class": type(error).__name__,
        "bases": [base.__name__ for base in type(error).__mro__],
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "type": getattr(error, "type", None),
        "param": getattr(error, "param", None),
        "message": getattr(error, "message", str(error)),
        "body": getattr(error, "body", None),
        "retry_after": response.headers.get("retry-after") if response is not None else None,
    }


def whole(answer):
    """Everything in an object of the client's, and the request's id, which is beside it."""
    return {"request_id": getattr(answer, "_request_id", None), **answer.to_dict(mode="json")}


def each(stream):
    return [chunk.to_dict(mode="json") for chunk in stream]
