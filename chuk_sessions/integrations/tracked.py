"""A dict that notes whether it was read or changed."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self

_MISSING = object()


class TrackedDict(dict[str, Any]):
    """A dict whose `accessed` and `modified` tell whether it was read or changed.

    Its methods behave as Starlette's tests demand: to remove a missing key with a default is no access.
    """

    accessed: bool = False
    modified: bool = False

    def mark_accessed(self) -> None:
        """Note that the values were read."""
        self.accessed = True

    def mark_modified(self) -> None:
        """Note that the values were changed."""
        self.accessed = True
        self.modified = True

    def _on_use(self) -> None:
        """Refuse the use of values that are not loaded yet, in subclasses."""

    def _on_read(self) -> None:
        self._on_use()
        self.accessed = True

    def _before_read(self, key: str, value: Any) -> None:
        """Note a value that may be changed in place, before the application gets it, in subclasses."""

    def _before_values(self) -> None:
        """Note all values before the application gets them."""
        self._on_read()
        for key, value in super().items():
            self._before_read(key, value)

    def _on_write(self) -> None:
        self._on_use()
        self.mark_modified()

    def __getitem__(self, key: str) -> Any:
        self._on_read()
        value = super().__getitem__(key)
        self._before_read(key, value)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or the default."""
        self._on_read()
        value = super().get(key, default)
        self._before_read(key, value)
        return value

    def __contains__(self, key: object) -> bool:
        self._on_read()
        return super().__contains__(key)

    def __len__(self) -> int:
        self._on_read()
        return super().__len__()

    # Because of this method, dict(session) and {**session} do not read the values in a way that is not noted.
    def __iter__(self) -> Iterator[str]:
        self._on_read()
        return super().__iter__()

    def __reversed__(self) -> Iterator[str]:
        self._on_read()
        return super().__reversed__()

    def __eq__(self, other: object) -> bool:
        self._on_read()
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """Return a view of the keys."""
        self._on_read()
        return super().keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """Return a view of the values."""
        self._before_values()
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """Return a view of keys and values."""
        self._before_values()
        return super().items()

    def copy(self) -> dict[str, Any]:
        """Return the values as a plain dict."""
        self._before_values()
        return super().copy()

    def __or__(self, other: Any, /) -> dict[str, Any]:  # type: ignore[override]
        self._before_values()
        return super().copy() | other if isinstance(other, dict) else NotImplemented

    def __ror__(self, other: Any, /) -> dict[str, Any]:  # type: ignore[override]
        self._before_values()
        return other | super().copy() if isinstance(other, dict) else NotImplemented

    def __setitem__(self, key: str, value: Any) -> None:
        self._on_write()
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._on_write()
        super().__delitem__(key)

    def clear(self) -> None:
        """Remove all values."""
        self._on_write()
        super().clear()

    def pop(self, key: str, default: Any = _MISSING, /) -> Any:
        """Remove a key and return its value, or the default if there is one."""
        self._on_use()
        if super().__contains__(key):
            self._before_read(key, super().__getitem__(key))
            self.mark_modified()
        return super().pop(key) if default is _MISSING else super().pop(key, default)

    def popitem(self) -> tuple[str, Any]:
        """Remove the last key and return it with its value."""
        self._before_values()
        item = super().popitem()
        self.mark_modified()
        return item

    def setdefault(self, key: str, default: Any = None, /) -> Any:
        """Return the value of a key; set it to the default first if it is missing."""
        self._on_read()
        if not super().__contains__(key):
            self.mark_modified()
        value = super().setdefault(key, default)
        self._before_read(key, value)
        return value

    def update(self, *others: Any, **values: Any) -> None:
        """Set several values."""
        self._on_write()
        super().update(*others, **values)

    def __ior__(self, other: Mapping[str, Any], /) -> Self:  # type: ignore[override,misc]
        self._on_write()
        super().update(other)
        return self
