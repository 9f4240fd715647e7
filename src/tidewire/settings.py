"""One frozen `Settings`, merged from tidewire.toml, then TIDEWIRE_* variables, then flags. Reads no files itself."""

import tomllib
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tidewire.model.errors import ConfigurationError

PREFIX = "TIDEWIRE_"

Port = Annotated[int, Meta(ge=1, le=65535)]
Bytes = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
SlotName = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,63}\Z")]
"""What Postgres allows as the name of a replication slot."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be configured. Secrets are never printed: see `public()`."""

    database_url: str | None = None
    """The database to follow; without it the embedded Postgres in `data_dir` runs."""
    data_dir: str = ".tidewire"
    """Where the embedded Postgres keeps its files."""
    postgres_port: Port | None = None
    """Loopback port of the embedded Postgres; without it only the unix socket listens."""
    postgres_bin: str | None = None
    """Folder with Postgres programs for the embedded server (also TIDEWIRE_PG_BIN)."""
    slot: SlotName = "tidewire"
    """Name of the durable replication slot; nodes with the same slot are one cluster."""
    publications: Annotated[tuple[str, ...], Meta(min_length=1)] = (
        "supabase_realtime",
        "supabase_realtime_messages_publication",
    )
    """Publications whose tables are followed."""
    failover_slot: bool = False
    """Ask Postgres 17+ to keep the slot on its standbys, so that a promotion loses nothing."""
    queue_bytes: Bytes = 64 * 2**20
    """How much undecoded log may wait in memory before the connection is dropped and resumed later."""
    history_bytes: Bytes = 64 * 2**20
    """How much of the recent past the in-memory bus keeps."""
    history_age_s: Seconds = 300.0
    """How old the recent past in the in-memory bus may grow."""

    def public(self) -> dict[str, Any]:
        """Return the settings without secrets, for logs and `--json`."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        if self.database_url:
            values["database_url"] = "(set)"
        return values


def load(
    toml_text: str = "", environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """Merge the three sources; later ones win. Raises ConfigurationError naming the setting that is wrong."""
    environ = environ or {}
    try:
        merged: dict[str, Any] = tomllib.loads(toml_text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"reading tidewire.toml: {error}", hint="correct the file's syntax") from None
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    if environ.get("DATABASE_URL"):
        merged["database_url"] = environ["DATABASE_URL"]
    if environ.get("TIDEWIRE_PG_BIN"):
        merged["postgres_bin"] = environ["TIDEWIRE_PG_BIN"]
    for name, field in fields.items():
        if (text := environ.get(PREFIX + name.upper())) is not None:
            merged[name] = text.split(",") if field.name == "publications" else text
    merged.update({name: value for name, value in (flags or {}).items() if value is not None})
    try:
        return msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"reading settings: {error}", hint="docs/reference/settings.md lists every setting"
        ) from None
