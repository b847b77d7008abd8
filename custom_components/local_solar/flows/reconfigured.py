"""What the flows of all families have in common."""

from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntry, ConfigFlow


class ReconfigurableFlow(ConfigFlow):
    """Adds an entry, or changes where one finds its devices, in the same steps."""

    @property
    def _reconfigured(self) -> ConfigEntry | None:
        """The entry that is changed, ``None`` if one is added."""
        if self.source != SOURCE_RECONFIGURE:
            return None
        return self._get_reconfigure_entry()
