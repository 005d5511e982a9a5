"""MLflow as a mirror of the run directory: it cannot slow, hang or end a run, and what it missed is sent later.

plugin.py       the hooks: start the worker, tell the user, wait at the end
worker.py       the one thread that talks to MLflow, and what it does when that fails
mirror.py       brings one run directory and MLflow into agreement, from the directory alone
artifacts.py    the files that MLflow gets a copy of, none of them through a link
state.py        `mlflow.json` of a run directory: which MLflow run, and how far it got; it decides nothing
names.py        names and ids that it may hold, and that MLflow takes
journal.py      reads what was added to a file of JSON lines
points.py       what MLflow has already of a run that went back
destination.py  which experiment and run: named by the user or the environment, or made
fields.py       the fields of an MLflow run, filled from the files of a run directory
note.py         its description: headline, data, and where the report lies
page.py         MLflow's page of an experiment, and the view with the accuracy as a column
remote.py       one run in MLflow and the client that writes to it
store.py        where MLflow keeps things; a new SQLite file is made whole or not at all
model.py        the trained model: logged with its run, registered, promoted
system.py       load of the machine, on request
sync.py         runs that are over and that MLflow does not know the end of
"""
