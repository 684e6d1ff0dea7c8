"""Several processes that are one service: who they are to each other, and who watches over them (`serve.processes`)."""
