"""A program that asks the management API: a key of a workspace or of the platform, and what it sends."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from flask import Flask

from app.application import keys
from app.units import PLATFORM_ID
from tests.factories import unique


@dataclass(frozen=True)
class Program:
    """Sends requests with its key. `workspace_id` is where the key is."""

    app: Flask
    workspace_id: UUID
    key_id: UUID
    secret: str = field(repr=False)

    def get(self, path: str, query: Any = None, **options: Any) -> Any:
        """Ask for something below /api/v1."""
        headers = {"Authorization": f"Bearer {self.secret}"} | options.pop("headers", {})
        return self.app.test_client().get(f"/api/v1{path}", query_string=query, headers=headers, **options)


def program(app: Flask, workspace_id: UUID = PLATFORM_ID, **options: Any) -> Program:
    """Make a management key and the program that has it."""
    made = keys.create(workspace_id, None, unique("program"), models=["*"], kind="management", **options)
    return Program(app, workspace_id, made.key_id, made.secret)
