"""The plugin host: a child process that imports the plugins and answers questions about them.

Started as ``python -m clworker.core.tasks.host FD PARENT`` by ``discovery.PluginHost``.
"""

import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from clworker.core.errors import ParamsRefused
from clworker.core.frames import BlockingChannel, Message, encode
from clworker.core.tasks import params, process
from clworker.core.tasks.loading import load_all
from clworker.core.tasks.messages import describe_exception


def main() -> None:
    """Load every plugin, then answer requests until the parent closes the channel."""
    channel = BlockingChannel(socket.socket(fileno=int(sys.argv[1])))
    process.die_with_parent(int(sys.argv[2]))
    first = channel.receive()
    if first is None:
        return
    registry = load_all(channel.send, first["skip"])
    while (request := channel.receive()) is not None:
        channel.send(_answer(registry, request))
    # _exit, not return: a thread that a plugin has started would keep us.
    os._exit(0)


def _answer(registry: dict[str, Any], request: Message) -> Message:
    try:
        answer: Callable[[Any, Message], Message] = {"describe": _describe, "prepare": _prepare}[request["type"]]
        found = {"type": "answer", **answer(registry[request["task_type"]].get_schema(), request)}
        encode(found)  # raises for what JSON cannot say
    except ParamsRefused as refusal:
        return {"type": "refused", "reason": str(refusal)}
    except Exception as failure:  # the schema is the plugin's code and may raise anything
        return {"type": "refused", "reason": f"the task's schema cannot be used: {describe_exception(failure)}"}
    return found


def _describe(schema: params.Schema, _request: Message) -> Message:
    return {"params": params.describe(schema)}


def _prepare(schema: params.Schema, request: Message) -> Message:
    """Check parameters for a job that has yet to be queued; the paths are placeholders of the right number."""
    if "texts" in request:
        values = params.parse_values(schema, request["texts"])
    else:
        values = request["values"]
        params.check_names(schema, values)
    paths = [f"/{number}" for number in range(request["inputs"])]
    if not params.takes_files(schema):
        if paths:
            raise ParamsRefused("the task takes no input files")
        model = params.validate(schema, values)
    else:
        model = params.validate(schema, {**values, "input_paths": paths, "output_paths": paths})
    checked = model.model_dump(mode="json", by_alias=True)
    kept = {name: checked.get(name, values[name]) for name in values}
    params.check_finite(kept)
    return {
        "params": kept,
        "takes_files": params.takes_files(schema),
        "format": checked.get("format"),
    }


if __name__ == "__main__":
    main()
