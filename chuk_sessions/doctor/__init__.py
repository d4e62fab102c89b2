"""The doctor: it examines a store and says what is wrong, and what to do. docs/doctor.md lists its checks.

`await examine(url)` returns findings; `chuk-sessions doctor` prints them. User data is only read.
"""

from .checks import NAMES
from .examination import SAMPLE, examine
from .finding import Finding, Level
from .keyspace import Progress

__all__ = ["NAMES", "SAMPLE", "Finding", "Level", "Progress", "examine"]
