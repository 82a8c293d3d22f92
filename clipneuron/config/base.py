"""What all configurations have in common."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Base of every configuration: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
