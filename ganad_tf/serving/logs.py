"""Log lines as JSON objects, one a line."""

import json
import logging
from datetime import UTC, datetime

ACCESS = logging.getLogger("ganad_tf.serving.access_log")


class JsonFormatter(logging.Formatter):
    """Formats records as objects with `time`, `level`, `logger`, `message`, and what the record has as `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        values = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        return json.dumps(values, default=str)


def write_json() -> None:
    """Lets the handlers of the root logger write JSON. For the command line: it is the whole process' log."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter())


def access_line(fields: dict[str, object]) -> None:
    """Logs an answered request."""
    text = " ".join(f"{key}={value}" for key, value in fields.items() if value not in ("", None))
    ACCESS.info("%s", text, extra={"fields": fields})
