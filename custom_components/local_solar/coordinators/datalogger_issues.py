"""What the owner of dataloggers has to know and can do something about."""

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from ..const import CONF_CLOUD_HOST, DOMAIN
from .base import LocalSolarConfigEntry


def encrypted_issue(entry: LocalSolarConfigEntry, logger: str) -> str:
    """Return the id of the issue that a logger cannot be understood."""
    return f"encrypted_{entry.entry_id}_{logger}"


def loop_issue(entry: LocalSolarConfigEntry) -> str:
    """Return the id of the issue that the name of the maker's server leads here."""
    return f"cloud_is_here_{entry.entry_id}"


@callback
def report_encryption(
    hass: HomeAssistant, entry: LocalSolarConfigEntry, logger: str, *, encrypts: bool
) -> None:
    """Say that a logger cannot be understood, or take that back."""
    issue = encrypted_issue(entry, logger)
    _report(hass, issue, encrypts, "encrypted_datalogger", {"logger": logger})


@callback
def report_loop(
    hass: HomeAssistant, entry: LocalSolarConfigEntry, *, loops: bool
) -> None:
    """Say that the name of the maker's server leads here, or take that back."""
    host = {"host": entry.data[CONF_CLOUD_HOST]}
    _report(hass, loop_issue(entry), loops, "cloud_is_here", host)


def _report(
    hass: HomeAssistant, issue: str, is_so: bool, key: str, details: dict[str, str]
) -> None:
    if not is_so:
        ir.async_delete_issue(hass, DOMAIN, issue)
        return
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue,
        is_fixable=False,
        severity=ir.IssueSeverity.WARNING,
        translation_key=key,
        translation_placeholders=details,
    )


@callback
def forget_issues(hass: HomeAssistant, entry: LocalSolarConfigEntry) -> None:
    """Take back what was said of the loggers of an entry that is deleted."""
    for domain, issue in list(ir.async_get(hass).issues):
        if domain == DOMAIN and issue.startswith(encrypted_issue(entry, "")):
            ir.async_delete_issue(hass, DOMAIN, issue)
    ir.async_delete_issue(hass, DOMAIN, loop_issue(entry))
