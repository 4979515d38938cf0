"""Asking before something is done that cannot be undone."""

import click

from controller.cli.errors import CommandError


def confirm(question: str, refusal: CommandError) -> None:
    """Ask; raises the refusal unless somebody says yes, and says in it when nobody has answered."""
    try:
        sure = click.confirm(question)
    except click.Abort as error:
        raise type(refusal)(f"{refusal}: nobody has answered; --yes answers") from error
    if not sure:
        raise refusal
