"""A Hoymiles DTU or storage gateway, what is behind it, and the cloud it reports to."""
