"""JSON log lines and the access log."""

import json
import logging
from datetime import UTC, datetime

ACCESS = logging.getLogger("ganad_tf.serving.access_log")


class JsonFormatter(logging.Formatter):
    """Formats records as JSON objects: `time`, `level`, `logger`, `message`, and the record's `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object on one line."""
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
    """Switches the root logger's handlers to JSON. Only the command line calls it, since it affects the process."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter())


def access_line(fields: dict[str, object]) -> None:
    """Logs an answered request as `key=value` pairs, empty values left out."""
    text = " ".join(f"{key}={value}" for key, value in fields.items() if value not in ("", None))
    ACCESS.info("%s", text, extra={"fields": fields})
