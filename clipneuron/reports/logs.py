"""The log as JSON: a line per record, for programs that collect logs."""

import json
import logging
from datetime import UTC, datetime

_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime"}
"""What every record has; the rest is what was given with the message."""


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time, level, logger, message, and the fields given with it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record; ASCII alone, so that no text in it steers a terminal."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
