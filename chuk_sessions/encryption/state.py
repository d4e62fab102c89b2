"""The file in which a reencryption keeps its progress, so that a repeated command resumes it."""

from __future__ import annotations

import json
from pathlib import Path

from ..core import ids


def save(path: Path, job: str, bucket: int) -> None:
    """Write the number of complete buckets of a job. A crash leaves the old file or the new one."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps({"job": job, "bucket": bucket}), encoding="utf-8")
    fresh.replace(path)


def load(path: Path, job: str) -> int:
    """Return the number of complete buckets; 0 without a file. Raises ValueError for the file of another job."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0
    except ValueError:
        found = None
    bucket = found.get("bucket") if isinstance(found, dict) and found.get("job") == job else None
    if type(bucket) is not int or not 0 <= bucket <= ids.BUCKETS:
        raise ValueError(f"{path} is not the progress of this sandbox and primary key; remove it to start again")
    return bucket
