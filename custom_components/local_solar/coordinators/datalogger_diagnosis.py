"""What is known of a listener and of all behind it, for who helps its owner."""

from collections.abc import Callable, Mapping

from ..growatt.datalogger.fleet import Fleet, Logger, ReportedInverter
from ..growatt.datalogger.server import Server
from ..growatt.masking import mask_text
from .inverter_registers import diagnosed


def diagnosed_fleet(
    server: Server, fleet: Fleet, is_silent: Callable[[ReportedInverter], bool]
) -> Mapping[str, object]:
    """Return it as JSON types, without serial numbers."""
    statistics = server.statistics
    return {
        "server": {
            "connected": len(server.sessions),
            "connections": statistics.connections,
            "refused": statistics.refused,
            "damaged": statistics.damaged,
            "loops": statistics.loops,
        },
        "loggers": [_diagnosed_logger(logger) for logger in fleet.loggers.values()],
        "inverters": [
            {
                "inverter": mask_text(inverter.serial),
                "logger": mask_text(inverter.logger),
                "unit": inverter.unit.number,
                "silent": is_silent(inverter),
                "elsewhere": inverter.is_elsewhere,
                "identification": inverter.inverter
                and diagnosed(inverter.inverter.identified),
            }
            for inverter in fleet.inverters.values()
        ],
    }


def _diagnosed_logger(logger: Logger) -> Mapping[str, object]:
    session, last = logger.session, logger.last_record
    return {
        "logger": mask_text(logger.serial),
        "protocol": session and session.protocol.name,
        "connected": session is not None,
        "connections": logger.connections,
        "answered_by_cloud": session is not None and not session.answers_itself,
        "encrypted": session is not None and session.is_encrypted,
        "interval": logger.interval,
        "records": logger.records,
        "rejected": logger.rejected,
        "blocked": logger.blocked,
        "clock_offset": logger.clock_offset,
        "last_record": last and last.isoformat(),
    }
