"""One bus, many clients: a server that shares a Modbus link with other programs."""
