"""Why a job is where it is: gathered facts in, one plain answer and its evidence out. Pure."""
