"""The command line's flags, one for each setting of the model, and what they say."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from controller.settings import PREFIX, Settings, SettingsError, load

F = TypeVar("F", bound=Callable[..., Any])


def settings_flags(command: F) -> F:
    """Give a click command a flag for each setting; values are checked by the settings model."""
    own = Settings.__annotations__  # inherited ones come after those of the node itself
    fields = sorted(Settings.model_fields.items(), key=lambda item: item[0] not in own)
    for name, field in reversed(fields):
        flag = f"--{name.replace('_', '-')}"
        help_text = _help(name, field)
        command = click.option(flag, name, default=None, metavar="VALUE", help=help_text)(command)
    return command


def settings_of(flags: dict[str, Any]) -> Settings:
    """What the flags and the environment say; a wrong setting ends the command with code 2."""
    try:
        return load(flags)
    except SettingsError as error:
        click.echo(f"Error: wrong settings\n{error}", err=True)
        sys.exit(2)


def _help(name: str, field: FieldInfo) -> str:
    text = f"{field.description} [{PREFIX}{name.upper()}"
    default = field.default
    if default is PydanticUndefined or default is None:
        return text + "]"
    shown = ",".join(default) if isinstance(default, tuple) else str(default)
    return f"{text}; default: {shown or 'empty'}]"
