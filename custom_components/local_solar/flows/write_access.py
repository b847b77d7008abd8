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
from .trial import FormError

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
    _form: str = "init"
    """The steps whose texts the forms have. Those that a kind of entry has of its own
    must lead to the steps here."""
    _acknowledgement: str = "acknowledge"

    @property
    @abstractmethod
    def _schema(self) -> probatio.Schema:
        """The form with the options of this kind of entry."""

    def _errors(self, user_input: Mapping[str, Any]) -> dict[str, str]:
        """Return what options have against each other."""
        return {}

    def _cleaned(self, user_input: dict[str, Any]) -> dict[str, Any]:
        """Return what is stored of a form. Raises ``FormError`` if something is wrong."""
        return user_input

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the options."""
        errors: dict[str, str] = {}
        placeholders: dict[str, str] = {}
        known = self.config_entry.options
        if user_input is not None and not (errors := self._errors(user_input)):
            try:
                return await self._async_take(self._cleaned(user_input))
            except FormError as err:
                errors[err.field] = err.key
                placeholders = err.placeholders
        return self.async_show_form(
            step_id=self._form,
            data_schema=self.add_suggested_values_to_schema(
                self._schema, user_input or known
            ),
            errors=errors,
            description_placeholders=placeholders,
        )

    async def _async_take(self, chosen: dict[str, Any]) -> ConfigFlowResult:
        """Store the options, or ask first whether what they allow is understood."""
        known = self.config_entry.options
        if (
            chosen.get(CONF_WRITE_ACCESS) == WRITE_CONFIRM
            and known.get(CONF_WRITE_ACCESS) != WRITE_CONFIRM
        ):
            self._chosen = chosen
            return await self.async_step_acknowledge()
        return self.async_create_entry(data=chosen)

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
            step_id=self._acknowledgement,
            data_schema=ACKNOWLEDGEMENT,
            errors=errors,
            description_placeholders={"device": self.config_entry.title},
        )
