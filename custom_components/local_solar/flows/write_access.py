"""Options that every kind of entry has: whether its devices may be changed."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import probatio

from homeassistant.config_entries import ConfigFlowResult, OptionsFlowWithReload
from homeassistant.helpers.selector import (
    BooleanSelector,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)

from ..const import CONF_WRITE_ACCESS, WRITE_CONFIRM, WRITE_DISABLED

ACKNOWLEDGED: Final = "acknowledged"

ACKNOWLEDGEMENT: Final = probatio.Schema(
    {probatio.Required(ACKNOWLEDGED, default=False): BooleanSelector()}
)


def choice(*options: str, key: str) -> SelectSelector:
    """Return a drop-down whose options have texts under ``key``."""
    return SelectSelector(
        SelectSelectorConfig(
            options=list(options),
            mode=SelectSelectorMode.DROPDOWN,
            translation_key=key,
        )
    )


WRITING: Final = {
    probatio.Required(CONF_WRITE_ACCESS, default=WRITE_DISABLED): choice(
        WRITE_DISABLED, WRITE_CONFIRM, key="write_access"
    ),
}


class WriteAccessFlow(OptionsFlowWithReload):
    """Asks for options; switching writing on takes a written-out acknowledgement."""

    _chosen: dict[str, Any]

    @property
    @abstractmethod
    def _schema(self) -> probatio.Schema:
        """The form with the options of this kind of entry."""

    def _errors(self, user_input: Mapping[str, Any]) -> dict[str, str]:
        """Return what options have against each other."""
        return {}

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the options."""
        errors: dict[str, str] = {}
        known = self.config_entry.options
        if user_input is not None and not (errors := self._errors(user_input)):
            if (
                user_input.get(CONF_WRITE_ACCESS) == WRITE_CONFIRM
                and known.get(CONF_WRITE_ACCESS) != WRITE_CONFIRM
            ):
                self._chosen = user_input
                return await self.async_step_acknowledge()
            return self.async_create_entry(data=user_input)
        return self.async_show_form(
            step_id="init",
            data_schema=self.add_suggested_values_to_schema(
                self._schema, user_input or known
            ),
            errors=errors,
        )

    async def async_step_acknowledge(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Say what can go wrong, and ask whether that is understood."""
        errors: dict[str, str] = {}
        if user_input is not None:
            if user_input[ACKNOWLEDGED]:
                return self.async_create_entry(data=self._chosen)
            errors[ACKNOWLEDGED] = "not_acknowledged"
        return self.async_show_form(
            step_id="acknowledge",
            data_schema=ACKNOWLEDGEMENT,
            errors=errors,
            description_placeholders={"device": self.config_entry.title},
        )
