"""A simulated Growatt stick at the inverter's serial port: the Modbus master of a recording."""
