"""Mirrors the run directory in MLflow without ever slowing, blocking or ending a run; anything missed is sent later.

plugin.py       hooks: start the worker, inform the user, wait at the end
worker.py       the only thread that talks to MLflow, and its handling of failures
mirror.py       brings MLflow in line with one run directory, reading nothing but the directory
artifacts.py    the files that are copied to MLflow, never through a link
state.py        `mlflow.json` of a run directory: which MLflow run it is and how much was sent; it decides nothing
names.py        valid names and ids, for `mlflow.json` and for MLflow
journal.py      reads new lines of a JSON Lines file
points.py       metric points that MLflow already has of a run that was rewound
destination.py  the experiment and run, named by the user or the environment, or created
fields.py       the fields of an MLflow run, filled from the files of a run directory
note.py         the description of a run: headline, data, location of the report
page.py         MLflow's experiment page, with a view that has accuracy as a column
remote.py       one MLflow run and the client that writes to it
store.py        the MLflow store; a new SQLite file is created completely or not at all
model.py        the trained model: logged with its run, registered, promoted
system.py       system metrics, on request
sync.py         finished runs that MLflow has not seen the end of
"""
