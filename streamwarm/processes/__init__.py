"""Several processes as one service (`serve.processes`): a supervisor and the members that it starts."""
