"""Grid paths: `grid/{sandbox}/{session}/{artifact}`, optionally followed by a subpath.

`session` is the id of the session, or its reference in stores that others can read.

`parse(artifact_key(...))` returns the arguments. Refused are names that could leave their directory (`..`) and names
that make a path ambiguous (`/` in a name).
"""

from __future__ import annotations

import re

from . import ids

ROOT = "grid"
MAX_SEGMENT_LENGTH = 512

_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]").search


def sandbox_prefix(sandbox_id: str) -> str:
    """Return `grid/SANDBOX/`, the prefix of all paths of a sandbox.

    Raises:
        ValueError: `sandbox_id` is not a valid id.

    """
    return f"{ROOT}/{ids.check_name(sandbox_id, 'sandbox_id')}/"


def session_prefix(sandbox_id: str, session_id: str) -> str:
    """Return `grid/SANDBOX/SESSION/`, the prefix of all paths of a session.

    Raises:
        ValueError: `sandbox_id` or `session_id` is not a valid id.

    """
    return f"{sandbox_prefix(sandbox_id)}{ids.check_name(session_id, 'session_id')}/"


def artifact_key(sandbox_id: str, session_id: str, artifact_id: str, subpath: str | None = None) -> str:
    """Return `grid/SANDBOX/SESSION/ARTIFACT`, followed by `/SUBPATH` if there is one.

    Raises:
        ValueError: an id is not valid; or the artifact id or a part of the subpath is empty, `.` or `..`, longer than
            512 characters, or contains a slash, backslash, control character, or lone surrogate.

    """
    segments = [artifact_id] if subpath is None else [artifact_id, *_split(subpath)]
    for segment in segments:
        if not _is_segment(segment):
            raise ValueError(
                f"an artifact id or part of a subpath must be 1 to {MAX_SEGMENT_LENGTH} characters without slashes, "
                "backslashes, or control characters, and not '.' or '..'"
            )
    return session_prefix(sandbox_id, session_id) + "/".join(segments)


def parse(key: object) -> dict[str, str | None] | None:
    """Return the parts of a path, or None for a path that `artifact_key` would not create.

    The keys are sandbox_id, session_id, artifact_id, and subpath (None for a path without a subpath).
    """
    if not isinstance(key, str):
        return None
    root, _, rest = key.partition("/")
    names, segments = rest.split("/")[:2], rest.split("/")[2:]
    if root != ROOT or not segments or not all(map(ids.is_name, names)) or not all(map(_is_segment, segments)):
        return None
    subpath = "/".join(segments[1:]) or None
    return {"sandbox_id": names[0], "session_id": names[1], "artifact_id": segments[0], "subpath": subpath}


def _split(subpath: object) -> list[str]:
    if not isinstance(subpath, str):
        raise ValueError(f"subpath must be a string, not {type(subpath).__name__}")
    return subpath.split("/")


def _is_segment(text: object) -> bool:
    return (
        isinstance(text, str) and 0 < len(text) <= MAX_SEGMENT_LENGTH and text not in (".", "..") and not _UNSAFE(text)
    )


def _name_in_paths(session_id: str, by_reference: bool) -> str:
    return ids.session_hash(ids.check_name(session_id, "session_id")) if by_reference else session_id


class GridPaths:
    """The grid paths of one sandbox."""

    _sandbox_id: str

    @property
    def sandbox_id(self) -> str:
        """The sandbox that this manager works in."""
        return self._sandbox_id

    def get_canonical_prefix(self, session_id: str, *, by_reference: bool = False) -> str:
        """Return `grid/SANDBOX/SESSION/`; with `by_reference`, SESSION is the session's reference instead of its id.

        Raises ValueError for a malformed session id.
        """
        return session_prefix(self.sandbox_id, _name_in_paths(session_id, by_reference))

    def generate_artifact_key(
        self, session_id: str, artifact_id: str, subpath: str | None = None, *, by_reference: bool = False
    ) -> str:
        """Return `grid/SANDBOX/SESSION/ARTIFACT`, followed by `/SUBPATH` if there is one.

        SESSION is the session id, so whoever can list the artifacts learns ids, and can use the sessions. In a store
        that others can read, pass `by_reference=True`: SESSION is then the session's reference. A rotation gives a
        session a new id and thereby a new reference, so later paths differ from earlier ones in either case.

        Raises ValueError for parts that could leave the session's directory or be ambiguous; see `artifact_key`.
        """
        return artifact_key(self.sandbox_id, _name_in_paths(session_id, by_reference), artifact_id, subpath)

    def parse_grid_key(self, key: str) -> dict[str, str | None] | None:
        """Return sandbox_id, session_id, artifact_id and subpath of a path of any sandbox; None for any other text.

        The parts are those that the path holds: in a path with a reference, `session_id` is that reference.
        """
        return parse(key)

    def get_session_prefix_pattern(self) -> str:
        """Return `grid/SANDBOX/`, the prefix of all paths of this sandbox."""
        return sandbox_prefix(self.sandbox_id)
