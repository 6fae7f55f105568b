#!/bin/sh
# Run once, on empty data: a database for each service, which only its own role may enter.
set -eu
for name in retrue labelstudio prefect mlflow; do
    variable="$(printf %s "$name" | tr a-z A-Z)_PASSWORD"
    eval "password=\$$variable"
    psql --username postgres --set ON_ERROR_STOP=1 --set name="$name" --set password="$password" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
