"""Keys of jobs, made of the arguments of their calls."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import TYPE_CHECKING, Any

from django.tasks.exceptions import InvalidTask

from offload.conf import did_you_mean

if TYPE_CHECKING:
    from offload.policies.keys import Key

MAX_KEY_LENGTH = 120
"""Characters of a key; a longer one is replaced by its hash."""
JOB_NAMES = ("tenant", "owner")
"""Names that a key may use besides the task's arguments."""


class CallArguments:
    """The arguments of calls of a task, and the keys that are made of them.

    Args:
        function: of the task.
        takes_context: whether its first argument is the context.
        path: of the task.
        of: what the keys belong to, for messages, such as "limit".
        name: of that, which begins each key.
    """

    def __init__(
        self, function: Callable[..., Any], path: str, *, takes_context: bool, of: str, name: str
    ) -> None:
        self._signature = inspect.signature(function)
        self._skipped = int(takes_context)
        self._path = path
        self._of = of
        self._name = name

    def require_names(self, key: Key, *, without: str) -> None:
        """Require that a key names arguments of the task, in braces.

        Args:
            key: a callable is not checked.
            without: what happens without a key, for the message.

        Raises:
            InvalidTask: if it does not.
        """
        if not isinstance(key, str) or not key:
            return
        try:
            names = names_in(key)
        except ValueError as error:
            raise InvalidTask(f"The key {key!r} is no format string: {error}.") from error
        known = [*list(self._signature.parameters)[self._skipped :], *JOB_NAMES]
        if not names:
            example = f"{{{key if key in known else known[0]}}}"
            raise InvalidTask(
                f'The key {key!r} names no argument in braces. Write "{example}", or leave the key '
                f"out for {without}."
            )
        for name in names:
            if not name:
                raise InvalidTask(
                    f"The key {key!r} has braces without a name. Choices are: {', '.join(known)}."
                )
            if name not in known:
                raise InvalidTask(
                    f"The key {key!r} names {name!r}, which is no argument of the task."
                    f"{did_you_mean(name, known)}"
                )

    def has(self, name: str) -> bool:
        """Return whether the task has an argument with a name."""
        return name in self._signature.parameters

    def key(
        self, key: Key, args: Sequence[Any], kwargs: Mapping[str, Any], *, tenant: str, owner: str
    ) -> str:
        """Return the key of a call, with the name before it.

        Raises:
            InvalidTask: if the key cannot be made of the arguments.
        """
        text: Any = ""
        if isinstance(key, str) and key:
            values = {"tenant": tenant, "owner": owner}
            text = self._made_of(
                f"The key {key!r}",
                lambda bound: key.format_map(values | bound.arguments),
                args,
                kwargs,
            )
        elif key:
            text = self.call(f"The key {key!r}", key, args, kwargs)
        if not isinstance(text, str) and type(text) is not int:
            raise InvalidTask(
                f"The key of the {self._of} {self._name!r} must be text or a whole number, not "
                f"{text!r}, which {key!r} returned."
            )
        return f"{self._name}:{shortened(str(text), MAX_KEY_LENGTH)}"

    def call(
        self,
        what: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Call a function of the project with the arguments of a call, defaults included.

        Args:
            what: names the function, for messages.
            function: the function.
            args, kwargs: the arguments.

        Raises:
            InvalidTask: if it raises anything.
        """
        return self._made_of(
            what,
            lambda bound: function(*bound.args[self._skipped :], **bound.kwargs),
            args,
            kwargs,
        )

    def given(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by name, without those that equal their defaults."""
        parameters = self._signature.parameters
        names = list(parameters)[: self._skipped]
        return {
            name: value
            for name, value in self._bind(args, kwargs).arguments.items()
            if name not in names and not _is_equal(value, parameters[name].default)
        }

    def _made_of(
        self,
        what: str,
        make: Callable[[inspect.BoundArguments], Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        bound = self._bind(args, kwargs)
        bound.apply_defaults()
        try:
            return make(bound)
        except Exception as error:
            arguments = [repr(value) for value in args]
            arguments += [f"{name}={value!r}" for name, value in kwargs.items()]
            raise InvalidTask(
                f"{what} of the {self._of} {self._name!r} cannot be made of the arguments "
                f"({', '.join(arguments):.200}): {type(error).__name__}: {error}."
            ) from error

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        context = [None] * self._skipped
        try:
            return self._signature.bind(*context, *args, **kwargs)
        except TypeError as error:
            raise InvalidTask(
                f"The arguments do not match the task {self._path!r}, whose {self._of} makes a key "
                f"of them: {error}."
            ) from error


def names_in(key: str) -> list[str]:
    """Return the names in the braces of a key, without attributes and indexes.

    Raises:
        ValueError: if it is no format string.
    """
    fields = [field for _, field, _, _ in Formatter().parse(key) if field is not None]
    return [field.partition(".")[0].partition("[")[0] for field in fields]


def shortened(text: str, length: int) -> str:
    """Return text, or its hash if it is too long or has other characters than a column holds."""
    if len(text) <= length and text.isprintable():
        return text
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=20).hexdigest()


def _is_equal(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)
